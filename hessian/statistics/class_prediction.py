"""Probabilities of classes where the parameters of a model are uncertain."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.special

from hessian.arguments import unknown, whole_number
from hessian.curvature.estimate import widened
from hessian.errors import OptionError, ShapeMismatchError, message
from hessian.linalg import limits
from hessian.operators.jacobian_operator import JacobianOperator
from hessian.statistics.spread import Spread
from hessian.text import Shown
from hessian.transforms.locate import not_finite

WHERE = "predict_classes"
_METHODS = ("probit", "samples", "mean")
_ROWS = 16
"""Examples whose Jacobians are computed together: an evaluation costs some of them, and each has a sweep over all of these."""


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
    x: Any,
    args: tuple[Any, ...],
    spread: Spread,
    method: str,
    n_samples: int,
    rng: np.random.Generator,
) -> ClassPrediction:
    """Predict probabilities by a model of the uncertain parameters x."""
    if method not in _METHODS:
        raise unknown(WHERE, "method", method, _METHODS)
    if method == "samples" and whole_number(WHERE, "n_samples", n_samples) < 2:
        raise OptionError(message(WHERE, "n_samples is 1", "An error takes two", "Pass n_samples >= 2"))
    whole = JacobianOperator(model, x, *args)
    outputs = np.asarray(whole.value, np.float64)
    if outputs.ndim not in (1, 2) or not outputs.size:
        what = f"the outputs have shape {outputs.shape}"
        raise ShapeMismatchError(message(WHERE, what, "They are logits", "Return shape (N, K), or (N,) of log-odds"))
    table = outputs.reshape(len(outputs), -1)
    covariance = np.concatenate([spread.blocks(rows) for rows in _jacobians(model, x, args, whole, table)])
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


def _jacobians(
    model: Callable[..., Any], x: Any, args: tuple[Any, ...], whole: JacobianOperator, table: np.ndarray
) -> Iterator[np.ndarray]:
    """Yield the Jacobians of examples, (b, K, n), a few at a time."""
    size, width = table.shape
    has_rows = args and all(isinstance(a, np.ndarray) and a.ndim and len(a) == size for a in args)
    if size > _ROWS and has_rows and _is_apart(model, x, args, whole, table):
        for start in range(0, size, _ROWS):
            part = JacobianOperator(model, x, *(a[start : start + _ROWS] for a in args))
            yield part.to_dense().reshape(-1, width, whole.shape[1]).astype(np.float64)
        return
    step = max(1, limits.BLOCK_NUMBERS // (width * max(whole.shape)))
    for start in range(0, size, step):
        count = min(step, size - start)
        units = np.zeros((whole.shape[0], count * width), whole.dtype)
        units[start * width + np.arange(count * width), np.arange(count * width)] = 1.0
        yield np.asarray(whole.T @ units, np.float64).T.reshape(count, width, -1)


def _is_apart(
    model: Callable[..., Any], x: Any, args: tuple[Any, ...], whole: JacobianOperator, table: np.ndarray
) -> bool:
    """Whether outputs of blocks of rows are those of all rows, and a weighted sum of derivatives is."""
    weights = np.random.default_rng(0).standard_normal(table.shape).astype(whole.dtype)
    total, scale = np.zeros((2, whole.shape[1]))
    for start in range(0, len(table), _ROWS):
        part = slice(start, start + _ROWS)
        try:
            block = JacobianOperator(model, x, *(a[part] for a in args))
        except Exception:  # What fails on some of the rows is not a function of single rows: all are taken together.
            return False
        if np.shape(block.value) != (len(table[part]), *np.shape(whole.value)[1:]):
            return False
        pulled = block.T @ weights[part].ravel()
        total += pulled
        scale += np.abs(pulled)
    gap = np.abs(total - whole.T @ weights.ravel())
    return bool(np.all(gap <= 1e3 * float(np.finfo(whole.dtype).eps) * np.max(scale, initial=0.0)))
