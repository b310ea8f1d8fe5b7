"""Losses of a whole batch, the l2 penalty, and the accuracy of a classifier.

Every loss is a sum over the outputs of one example, reduced over examples: ``reduction="mean"`` (the default) divides
by the number of rows and ``"sum"`` does not. Targets are constants: no derivative flows into them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from hessian import special
from hessian.core.trees import flatten
from hessian.errors import OptionError, ShapeMismatchError, message
from hessian.nn.choices import choose

Loss = Callable[[Any, Any], Any]


def squared_error(predictions: Any, targets: npt.ArrayLike, *, reduction: str = "mean") -> Any:
    """Sum the squared residuals: ``(1/n) Σ_i ||predictions_i - targets_i||²``.

    There is no factor one half, and the mean is over rows only: a network with ten outputs is penalised for all ten.
    With ``reduction="sum"`` a linear model ``X w`` has gradient ``2 Xᵀr`` and Hessian ``2 XᵀX``.

    Parameters
    ----------
    predictions : array, (n, ...) or (n,)
        May be traced.
    targets : array
        The same shape exactly.
    reduction : {"mean", "sum"}

    Returns
    -------
    scalar

    Raises
    ------
    ShapeMismatchError
        If the shapes differ: (n, 1) against (n,) would broadcast to n² residuals.
    OptionError
        If `reduction` is neither.

    Examples
    --------
    >>> float(squared_error(np.array([1.0, 2.0]), [0.0, 4.0])), float(squared_error(np.ones((2, 3)), np.zeros((2, 3))))
    (2.5, 3.0)
    """
    wanted = np.shape(targets)
    if np.shape(predictions) != wanted or not wanted:
        raise ShapeMismatchError(
            message(
                "squared_error",
                f"predictions have shape {np.shape(predictions)}, targets {wanted}",
                "they are compared entry by entry, and broadcasting would compare the wrong pairs",
                "Give both the same shape, one row per example",
            )
        )
    residual = predictions - targets
    return _reduce("squared_error", np.sum(residual * residual), wanted[0], reduction)


def softmax_cross_entropy(logits: Any, labels: npt.ArrayLike, *, reduction: str = "mean") -> Any:
    """Measure the surprise at the labels: ``(1/n) Σ_i [logsumexp(z_i) - Σ_k y_ik z_ik]``.

    Parameters
    ----------
    logits : array, (n, K)
        Unnormalised log-probabilities z; may be traced.
    labels : array, (n,) of integers in [0, K), or (n, K)
        Class numbers, or one row of probabilities per example (one-hot or soft, each row summing to 1).
    reduction : {"mean", "sum"}

    Returns
    -------
    scalar

    Raises
    ------
    ShapeMismatchError
        If `logits` is not a matrix or `labels` fits neither form.
    OptionError
        If a class number lies outside [0, K), rows do not sum to 1, or `reduction` is unknown.

    Notes
    -----
    At ``z = 0`` the loss is ``log K`` whatever the labels. In W of a linear model at ``W = 0`` its Hessian is
    ``(1/K)(I - 11ᵀ/K) ⊗ XᵀX/n``.

    Examples
    --------
    >>> float(softmax_cross_entropy(np.zeros((4, 10)), [3, 1, 4, 1])) == float(np.log(10.0))
    True
    """
    if np.ndim(logits) != 2:
        raise ShapeMismatchError(
            message(
                "softmax_cross_entropy",
                f"logits have shape {np.shape(logits)}, expected (n, K)",
                fix="Give one row per example and one column per class",
            )
        )
    n, n_classes = np.shape(logits)
    targets = np.asarray(labels)
    if targets.shape == (n,):
        chosen = logits[np.arange(n), check_labels("softmax_cross_entropy", targets, n_classes)]
    else:
        chosen = logits * _check_probabilities(targets, (n, n_classes))
    return _reduce("softmax_cross_entropy", np.sum(special.logsumexp(logits, axis=1)) - np.sum(chosen), n, reduction)


LOSSES: dict[str, Loss] = {"softmax_cross_entropy": softmax_cross_entropy, "squared_error": squared_error}


def get_loss(loss: str | Loss) -> Loss:
    """Return the loss of a name; a function ``(outputs, targets) -> scalar`` is returned as it is.

    Raises
    ------
    OptionError
        If the name is unknown; the message names the nearest known one.

    Examples
    --------
    >>> get_loss("squared_error") is squared_error
    True
    """
    return choose("loss", loss, LOSSES)


def l2_penalty(params: Any, l2: float) -> Any:
    """Weigh the parameters: ``(l2 / 2) ||params||²``, over every array of the container, weights and biases alike.

    The penalty is part of the objective, so its gradient is ``l2 · params`` and its Hessian ``l2 · I``: every
    eigenvalue of the Hessian of a loss rises by exactly `l2`. Penalising biases as well is what makes that true, and
    leaves no direction flat.

    Parameters
    ----------
    params : array, or lists and dicts of arrays
        May be traced.
    l2 : float
        At least 0.

    Returns
    -------
    scalar

    Raises
    ------
    OptionError
        If `l2` is negative or not finite.

    Examples
    --------
    >>> float(l2_penalty([{"W": np.ones((2, 3)), "b": np.array([2.0])}], 0.5))
    2.5
    """
    if not (np.isfinite(l2) and l2 >= 0):
        raise OptionError(
            message("l2_penalty", f"l2 is {l2!r}", "a negative penalty is unbounded below", "Pass a number >= 0")
        )
    return 0.5 * float(l2) * sum(np.sum(leaf * leaf) for leaf in flatten(params)[0])


def accuracy(logits: npt.ArrayLike, labels: npt.ArrayLike) -> float:
    """Return the share of rows whose largest logit is at the label.

    Parameters
    ----------
    logits : array, (n, K)
    labels : array, (n,) of integers, or (n, K) of probabilities, whose largest entry counts.

    Raises
    ------
    ShapeMismatchError
        If the numbers of rows differ.

    Examples
    --------
    >>> accuracy(np.eye(4), [0, 1, 2, 0])
    0.75
    """
    scores, targets = np.asarray(logits), np.asarray(labels)
    if scores.ndim != 2 or len(targets) != len(scores):
        raise ShapeMismatchError(
            message(
                "accuracy",
                f"logits have shape {scores.shape}, labels {targets.shape}",
                fix="Give one row of logits per label",
            )
        )
    truth = targets if targets.ndim == 1 else targets.argmax(axis=1)
    return float(np.mean(scores.argmax(axis=1) == truth))


def check_labels(where: str, labels: np.ndarray, n_classes: int) -> np.ndarray:
    """Return class numbers that may index a row of `n_classes` logits."""
    if labels.dtype.kind not in "iu":
        raise OptionError(
            message(
                where,
                f"labels of shape {labels.shape} have dtype {labels.dtype}",
                "one number per row is a class number",
                "Pass labels.astype(int), or a row of probabilities per example",
            )
        )
    if labels.size and not 0 <= labels.min() <= labels.max() < n_classes:
        raise OptionError(
            message(
                where,
                f"labels run from {labels.min()} to {labels.max()}, the {n_classes} classes are 0 to {n_classes - 1}",
                "a label chooses a column of the logits",
                "Number the classes from 0, or widen the last layer",
            )
        )
    return labels


def _check_probabilities(targets: np.ndarray, wanted: tuple[int, int]) -> np.ndarray:
    """Return rows of probabilities of the logits' shape."""
    if targets.shape != wanted:
        raise ShapeMismatchError(
            message(
                "softmax_cross_entropy",
                f"labels have shape {targets.shape}, logits {wanted}",
                fix=f"Pass class numbers of shape ({wanted[0]},) or probabilities of shape {wanted}",
            )
        )
    totals = targets.sum(axis=1)
    if not np.allclose(totals, 1.0, rtol=0, atol=1e-5):
        worst = int(np.argmax(np.abs(totals - 1.0)))
        raise OptionError(
            message(
                "softmax_cross_entropy",
                f"row {worst} of labels sums to {totals[worst]:.6g}",
                "each row is a probability distribution over the classes",
                "Normalise the rows, or pass class numbers",
            )
        )
    return targets


def _reduce(where: str, total: Any, n: int, reduction: str) -> Any:
    """Turn a total over `n` examples into the reduction asked for."""
    if reduction == "mean":
        return total / n
    if reduction == "sum":
        return total
    raise OptionError(message(where, f"reduction is {reduction!r}", fix="Pass 'mean' or 'sum'"))
