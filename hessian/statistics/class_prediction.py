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
from hessian.statistics.example_jacobians import blocks_of, by_examples
from hessian.statistics.selection import Selection
from hessian.statistics.spread import Spread
from hessian.tape.trees import is_container, only_numbers
from hessian.text import Shown
from hessian.transforms.locate import not_finite

WHERE = "predict_classes"
_METHODS = ("pairs", "probit", "samples", "mean")
_NODES, _REACH = 48, 8.0
"""Points at which the tail of a normal law is taken, and how far: beyond, 1e-15 of it is left."""


@dataclass(frozen=True, eq=False, repr=False)
class ClassPrediction(Shown):
    """Probabilities of classes.

    Attributes
    ----------
    probabilities : ndarray
        Like the outputs: of every class, shape (N, K), or of a yes, shape (N,) or (N, 1).
    standard_error : ndarray
        Of the samples, widened for few of them, and by what they hardly see: classes that are likely where one draw in ``n_samples``
        goes. ``inf`` for the other methods, whose error nothing bounds.
    logits : ndarray
        At x.
    covariance : ndarray, shape (N, K, K)
        Of the linearised logits of each example.
    method : {"pairs", "probit", "samples", "mean"}
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
        table = self.probabilities if self.probabilities.ndim == 2 else self.probabilities[:, None]
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
    outputs = _logits(whole.value, args)
    table = outputs if outputs.ndim == 2 else outputs[:, None]
    width = table.shape[1]
    parts = by_examples(model, value, chosen, args, whole, table, spread)
    covariance = np.concatenate([np.zeros((0, width, width)), *(blocks_of(spread, part) for part in parts)])
    if not (np.isfinite(table).all() and np.isfinite(covariance).all()):
        what = "logits or their derivatives are not finite at x"
        raise not_finite(WHERE, what, "", "Check the inputs", whole.origin_of_nonfinite())
    error = np.full(table.shape, math.inf)
    if method == "samples":
        found, error = _sampled(table, covariance, n_samples, rng)
    elif method == "pairs":
        found = _paired(table, covariance)
    else:
        variances = np.diagonal(covariance, axis1=1, axis2=2)
        found = _probabilities(_narrowed(table, variances) if method == "probit" else table)
    shape, count = outputs.shape, n_samples if method == "samples" else 0
    return ClassPrediction(found.reshape(shape), error.reshape(shape), outputs, covariance, method, count)


def _logits(value: Any, args: tuple[Any, ...]) -> np.ndarray:
    """Return outputs that are a table of logits, or a vector of log-odds: of as many examples as there are rows of inputs."""
    shape = None if is_container(value) and not only_numbers(value) else np.shape(value)
    if shape is None or len(shape) not in (1, 2) or shape[1:] == (0,):
        what = "the outputs are a container" if shape is None else f"the outputs have shape {shape}"
        raise ShapeMismatchError(message(WHERE, what, "They are logits", "Return shape (N, K), or (N,) of log-odds"))
    inputs = [np.shape(a) for a in args if isinstance(a, np.ndarray) and np.ndim(a)]
    if len(shape) == 1 and inputs and all(given[0] != shape[0] for given in inputs):
        what = f"the outputs have shape {shape}, and no input has {shape[0]} rows"
        why = "They would be log-odds of as many examples"
        raise ShapeMismatchError(message(WHERE, what, why, "Return shape (1, K) for the logits of one example"))
    return np.asarray(value, np.float64)


def _probabilities(logits: np.ndarray) -> np.ndarray:
    """Softmax, or of one column the logistic function."""
    return np.asarray(scipy.special.expit(logits) if logits.shape[-1] == 1 else scipy.special.softmax(logits, axis=-1))


def _narrowed(logits: np.ndarray, variances: np.ndarray) -> np.ndarray:
    """Return log-odds of about the mean of the logistic function over a normal law (MacKay 1992)."""
    return np.asarray(logits / np.sqrt(1.0 + math.pi / 8.0 * variances))


def _paired(table: np.ndarray, covariance: np.ndarray) -> np.ndarray:
    r"""Return ``1 / (1 + sum_j exp(-u_kj))``, with the differences of logits divided by what their variances make of them.

    Nothing depends on what all logits have in common, as softmax does not.
    """
    if table.shape[1] == 1:
        return _probabilities(_narrowed(table, covariance[:, :, 0]))
    found = np.empty_like(table)
    step = max(1, limits.BLOCK_NUMBERS // table.shape[1] ** 2)
    for start in range(0, len(table), step):
        part = slice(start, start + step)
        gaps, variances = _differences(table[part], covariance[part])
        odds = scipy.special.logsumexp(-_narrowed(gaps, variances), axis=2)
        found[part] = scipy.special.softmax(-odds, axis=1)
    return found


def _differences(table: np.ndarray, covariance: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return differences of logits k and j of each example, and their variances, (N, K, K)."""
    own = np.diagonal(covariance, axis1=1, axis2=2)
    variances = own[:, :, None] + own[:, None, :] - covariance - covariance.swapaxes(1, 2)
    return table[:, :, None] - table[:, None, :], np.maximum(variances, 0.0)


def _sampled(
    table: np.ndarray, covariance: np.ndarray, n_samples: int, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Return the mean of probabilities over draws of the logits of each example, and its standard error."""
    values, vectors = np.linalg.eigh(0.5 * (covariance + covariance.swapaxes(1, 2)))
    roots = vectors * np.sqrt(np.maximum(values, 0.0))[:, None, :]
    mean, error = np.empty((2, *table.shape))
    step = max(1, limits.BLOCK_NUMBERS // (max(n_samples, _NODES) * table.shape[1]))
    for start in range(0, len(table), step):
        part = slice(start, start + step)
        normal = rng.standard_normal((n_samples, *table[part].shape, 1))
        drawn = _probabilities(table[part] + (roots[part] @ normal)[..., 0])
        mean[part] = drawn.mean(axis=0)
        deviation = np.hypot(drawn.std(axis=0, ddof=1), _unseen(table[part], covariance[part], n_samples))
        error[part] = widened(deviation / math.sqrt(n_samples), n_samples - 1.0)
    return mean, error


def _unseen(table: np.ndarray, covariance: np.ndarray, n_samples: int) -> np.ndarray:
    """Bound what probabilities deviate by where one draw in ``n_samples`` goes, by what each class has against the likeliest alone."""
    step = _REACH / _NODES
    nodes = scipy.special.ndtri(1.0 - 1.0 / n_samples) + step * (np.arange(_NODES) + 0.5)
    weights = step * np.exp(-0.5 * nodes**2) / math.sqrt(2.0 * math.pi)

    def tail(gaps: np.ndarray, variances: np.ndarray) -> np.ndarray:
        moved = scipy.special.expit(gaps[..., None] + np.sqrt(variances)[..., None] * nodes)
        return np.asarray(np.sqrt((moved - scipy.special.expit(gaps)[..., None]) ** 2 @ weights))

    if table.shape[1] == 1:
        variances = np.maximum(covariance[:, :, 0], 0.0)
        return np.hypot(tail(table, variances), tail(-table, variances))
    rows, best = np.arange(len(table)), table.argmax(axis=1)
    own = np.diagonal(covariance, axis1=1, axis2=2)
    to_best = covariance[rows, best]
    variances = np.maximum(own + own[rows, best][:, None] - to_best - covariance[rows, :, best], 0.0)
    gains = tail(table - table[rows, best][:, None], variances)
    return np.asarray(gains + _probabilities(table) * gains.sum(axis=1, keepdims=True))
