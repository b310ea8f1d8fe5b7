"""What a model predicts where its parameters are uncertain."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from hessian.curvature.estimate import spread_error, widened
from hessian.statistics.outputs import Outputs
from hessian.tape.origins import Origin
from hessian.tape.trees import map_leaves
from hessian.text import Shown
from hessian.transforms.locate import not_finite, origin_in


@dataclass(frozen=True, eq=False, repr=False)
class Prediction(Shown):
    """What a model predicts where its parameters are uncertain.

    Attributes
    ----------
    mean, variance : like the model's output
        Of the model's output over the posterior: the uncertainty of the parameters, without noise of the data.
    covariance : ndarray, shape (m, m), or None
        Between raveled outputs, where it was asked for.
    method : {"linearized", "samples"}
    n_samples : int
        0 for the linearised prediction.
    standard_error : like the model's output
        Of the mean, over the samples, widened for few of them; ``inf`` for the linearised prediction, whose error nothing bounds.
        Of outputs with long tails, samples that never reached them say too little of both errors.
    variance_error : like the model's output
        Standard error of the variance, by the fourth moments of the samples, likewise.
    """

    mean: Any
    variance: Any
    covariance: np.ndarray | None
    method: str
    n_samples: int
    standard_error: Any
    variance_error: Any

    @property
    def standard_deviation(self) -> Any:
        """Square root of the variance."""
        return map_leaves(np.sqrt, self.variance)

    def __repr__(self) -> str:
        deviations = np.sqrt(Outputs(self.variance).vector)
        count = "" if self.method == "linearized" else f" of {self.n_samples}"
        if not deviations.size:
            return f"<Prediction of 0 outputs, {self.method}>"
        return (
            f"<Prediction of {deviations.size} outputs, {self.method}{count}: "
            f"standard deviations {deviations.min():.3g} to {deviations.max():.3g}, {self._doubt()}>"
        )

    def _doubt(self) -> str:
        """Say how well the mean is known."""
        if self.method == "linearized":
            return "error of the linearisation not bounded"
        return f"means ± up to {Outputs(self.standard_error).vector.max(initial=0.0):.2g}"


def sampled(model: Callable[..., Any], draws: list[Any], args: tuple[Any, ...], full: bool) -> Prediction:
    """Take moments of the outputs at parameters that were drawn."""
    n_samples = len(draws)
    outputs = [model(draw, *args) for draw in draws]
    table = np.stack([Outputs(output).vector for output in outputs])
    mean = table.mean(axis=0)
    apart = table - mean
    variance = np.sum(apart * apart, axis=0) / (n_samples - 1)
    covariance = apart.T @ apart / (n_samples - 1) if full else None
    # Relative to the spread: the fourth powers of small numbers vanish.
    relative = apart / np.where(variance > 0.0, np.sqrt(variance), 1.0)
    kurtosis = np.maximum(np.mean(relative**4, axis=0), 3.0)
    dof = (n_samples - 1.0) * 2.0 / (kurtosis - 1.0)
    errors = widened(np.sqrt(variance / n_samples), n_samples - 1.0), variance * spread_error(dof)
    lost = next((draw for draw, row in zip(draws, table, strict=True) if not np.isfinite(row).all()), None)
    find = lambda: None if lost is None else origin_in(model, (lost, *args), order=0)
    return prediction(outputs[0], mean, variance, covariance, "samples", n_samples, errors, find)


def prediction(
    like: Any,
    mean: np.ndarray | None,
    variance: np.ndarray,
    covariance: np.ndarray | None,
    method: str,
    count: int,
    errors: tuple[np.ndarray, np.ndarray],
    find: Callable[[], Origin | None],
) -> Prediction:
    """Give moments the structure of an output."""
    outputs = Outputs(like)
    finite = np.all(np.isfinite(variance)) and np.all(np.isfinite(outputs.vector if mean is None else mean))
    if not finite:
        why = "Some parameters within the posterior lead out of the model's domain" if count else ""
        what = "the model is not finite at a draw" if count else "the model or its derivative is not finite at the mode"
        raise not_finite("predict", what, why, "Check the inputs", find())
    value = like if mean is None else outputs.structured(mean)
    mean_error, variance_error = (outputs.structured(error) for error in errors)
    return Prediction(value, outputs.structured(variance), covariance, method, count, mean_error, variance_error)
