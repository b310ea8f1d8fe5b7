"""Probabilities of classes where the parameters of a model are uncertain."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.special

from hessian.arguments import unknown, whole_number
from hessian.curvature.estimate import widened
from hessian.errors import OptionError, ShapeMismatchError, message
from hessian.linalg import limits
from hessian.operators.jacobian_operator import JacobianOperator
from hessian.statistics.example_jacobians import by_examples
from hessian.statistics.selection import Selection
from hessian.statistics.spread import Spread
from hessian.text import Shown
from hessian.transforms.locate import not_finite

WHERE = "predict_classes"
_METHODS = ("probit", "samples", "mean")


@dataclass(frozen=True, eq=False, repr=False)
class ClassPrediction(Shown):
    """Probabilities of classes.

    Attributes
    ----------
    probabilities : ndarray
        Like the outputs: of every class, shape (N, K), or of a yes, shape (N,) or (N, 1).
    standard_error : ndarray
        Of the samples, widened for few of them; ``inf`` for the other methods, whose error nothing bounds.
    logits : ndarray
        At x.
    covariance : ndarray, shape (N, K, K)
        Of the linearised logits of each example.
    method : {"probit", "samples", "mean"}
    n_samples : int
        0 without samples.
    """

    probabilities: np.ndarray
    standard_error: np.ndarray
    logits: np.ndarray
    covariance: np.ndarray
    method: str
    n_samples: int

    def __repr__(self) -> str:
        table = self.probabilities.reshape(len(self.probabilities), -1)
        surest = np.maximum(table, 1.0 - table) if table.shape[1] == 1 else table
        sure = float(surest.max(axis=1).mean()) if table.size else math.nan
        doubt = f", ± up to {self.standard_error.max(initial=0.0):.2g}" if self.n_samples else ""
        return f"<ClassPrediction of {len(table)} examples, {self.method}: likeliest classes {sure:.3g} in the mean{doubt}>"


def predict_classes(
    model: Callable[..., Any],
    value: Any,
    chosen: Selection,
    args: tuple[Any, ...],
    spread: Spread,
    method: str,
    n_samples: int,
    rng: np.random.Generator,
) -> ClassPrediction:
    """Predict probabilities by a model, where the chosen parameters are uncertain."""
    if method not in _METHODS:
        raise unknown(WHERE, "method", method, _METHODS)
    if method == "samples" and whole_number(WHERE, "n_samples", n_samples) < 2:
        raise OptionError(message(WHERE, "n_samples is 1", "An error takes two", "Pass n_samples >= 2"))
    whole = JacobianOperator(chosen.function(model), chosen.free, *args)
    outputs = np.asarray(whole.value, np.float64)
    if outputs.ndim not in (1, 2) or not outputs.size:
        what = f"the outputs have shape {outputs.shape}"
        raise ShapeMismatchError(message(WHERE, what, "They are logits", "Return shape (N, K), or (N,) of log-odds"))
    table = outputs.reshape(len(outputs), -1)
    rows = by_examples(model, value, chosen, args, whole, table)
    covariance = np.concatenate([spread.blocks(jacobian) for jacobian in rows])
    if not (np.isfinite(table).all() and np.isfinite(covariance).all()):
        what = "logits or their derivatives are not finite at x"
        raise not_finite(WHERE, what, "", "Check the inputs", whole.origin_of_nonfinite())
    unknown_error = np.full(table.shape, math.inf)
    if method == "samples":
        found, error = _sampled(table, covariance, n_samples, rng)
        return ClassPrediction(
            found.reshape(outputs.shape), error.reshape(outputs.shape), outputs, covariance, method, n_samples
        )
    variances = np.diagonal(covariance, axis1=1, axis2=2)
    narrowed = table / np.sqrt(1.0 + math.pi / 8.0 * variances) if method == "probit" else table
    found = _probabilities(narrowed).reshape(outputs.shape)
    return ClassPrediction(found, unknown_error.reshape(outputs.shape), outputs, covariance, method, 0)


def _probabilities(logits: np.ndarray) -> np.ndarray:
    """Softmax, or of one column the logistic function."""
    return np.asarray(scipy.special.expit(logits) if logits.shape[-1] == 1 else scipy.special.softmax(logits, axis=-1))


def _sampled(
    table: np.ndarray, covariance: np.ndarray, n_samples: int, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Return the mean of probabilities over draws of the logits of each example, and its standard error."""
    values, vectors = np.linalg.eigh(0.5 * (covariance + covariance.swapaxes(1, 2)))
    roots = vectors * np.sqrt(np.maximum(values, 0.0))[:, None, :]
    mean, error = np.empty((2, *table.shape))
    step = max(1, limits.BLOCK_NUMBERS // (n_samples * table.shape[1]))
    for start in range(0, len(table), step):
        part = slice(start, start + step)
        normal = rng.standard_normal((n_samples, *table[part].shape, 1))
        drawn = _probabilities(table[part] + (roots[part] @ normal)[..., 0])
        mean[part] = drawn.mean(axis=0)
        error[part] = widened(drawn.std(axis=0, ddof=1) / math.sqrt(n_samples), n_samples - 1.0)
    return mean, error
