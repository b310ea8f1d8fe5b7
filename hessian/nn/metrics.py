"""Shares of a whole batch that are no losses: the accuracy and the r² of predictions."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from hessian.errors import ShapeMismatchError, message
from hessian.nn.reduction import check_shapes


def accuracy(logits: npt.ArrayLike, labels: npt.ArrayLike) -> float:
    """Return the share of rows whose largest logit is at the label, or whose one logit has its sign.

    Parameters
    ----------
    logits : array, (n, K) or (n,)
        One column per class, or log-odds of class 1 against class 0; odds of exactly one count for class 0.
    labels : array, (n,) of integers, or (n, K) of probabilities, whose largest entry counts.
        With logits of shape (n,), 0 and 1 or booleans.

    Returns
    -------
    float

    Raises
    ------
    ShapeMismatchError
        The numbers of rows differ.

    Examples
    --------
    >>> accuracy(np.eye(4), [0, 1, 2, 0]), accuracy(np.array([-1.0, 2.0]), [0, 0])
    (0.75, 0.5)
    """
    scores, targets = np.asarray(logits), np.asarray(labels)
    fits = targets.ndim == 1 if scores.ndim == 1 else scores.ndim == 2 and targets.ndim in (1, 2)
    if not fits or len(targets) != len(scores):
        what = f"logits have shape {scores.shape}, labels {targets.shape}"
        raise ShapeMismatchError(message("accuracy", what, fix="Give one row of logits per label"))
    truth = targets if targets.ndim == 1 else targets.argmax(axis=1)
    right = (scores > 0 if scores.ndim == 1 else scores.argmax(axis=1)) == truth
    return float(np.mean(right))


def r2(predictions: npt.ArrayLike, targets: npt.ArrayLike) -> float:
    """Return the share of variance explained, averaged over outputs: ``1 - Σ_i (y_i - p_i)² / Σ_i (y_i - mean(y))²``.

    Parameters
    ----------
    predictions : array, (n,) or (n, k)
    targets : array
        The same shape exactly.

    Returns
    -------
    float
        1 for perfect predictions, 0 for the mean, negative for worse; NaN where a column of targets is constant, whose
        variance cannot be explained.

    Raises
    ------
    ShapeMismatchError
        The shapes differ.

    Examples
    --------
    >>> r2(np.array([1.0, 2.0, 3.0]), [1.0, 2.0, 3.0]), r2(np.array([2.0, 2.0, 2.0]), [1.0, 2.0, 3.0])
    (1.0, 0.0)
    """
    p, y = np.asarray(predictions, dtype=np.float64), np.asarray(targets, dtype=np.float64)
    check_shapes("r2", p, y)
    unexplained, variance = np.mean((y - p) ** 2, axis=0), np.var(y, axis=0)
    share = np.divide(unexplained, variance, out=np.full_like(variance, np.nan), where=variance > 0)
    return float(np.mean(1.0 - share))
