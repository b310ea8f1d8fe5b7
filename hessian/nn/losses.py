"""Losses of a whole batch, the l2 penalty, and the accuracy and r² of predictions.

Every loss is a sum over the outputs of one example, reduced over examples: ``reduction="mean"`` (the default) divides
by the number of rows and ``"sum"`` does not. With ``weights``, the mean is the weighted one, ``Σ w_i loss_i / Σ w_i``, so
that an integer weight counts as that many copies of its row. Targets and weights are constants, and take the dtype of the
predictions.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from hessian import special
from hessian.core.trees import flatten
from hessian.errors import OptionError, ShapeMismatchError, message
from hessian.nn.choices import choose
from hessian.nn.likelihoods import gaussian_nll, poisson, sigmoid_cross_entropy
from hessian.nn.reduction import as_constant, check_shapes, check_weights, reduce
from hessian.optimize.options import is_real
from hessian.rules.spec import Traced

Loss = Callable[[Any, Any], Any]


def squared_error(
    predictions: Any, targets: npt.ArrayLike, *, weights: npt.ArrayLike | None = None, reduction: str = "mean"
) -> Any:
    """Sum the squared residuals: ``(1/n) Σ_i ||predictions_i - targets_i||²``.

    There is no factor one half, and the mean is over rows only: a network with ten outputs is penalised for all ten.
    With ``reduction="sum"`` a linear model ``X w`` has gradient ``2 Xᵀr`` and Hessian ``2 XᵀX``.

    Parameters
    ----------
    predictions : array, (n, ...) or (n,)
        May be traced.
    targets : array
        The same shape exactly.
    weights : array, (n,), optional
        Of the examples, at least 0; the mean is then ``Σ w_i loss_i / Σ w_i``.
    reduction : {"mean", "sum"}

    Returns
    -------
    scalar

    Raises
    ------
    ShapeMismatchError
        If the shapes differ: (n, 1) against (n,) would broadcast to n² residuals.
    OptionError
        If `reduction` is neither, or `weights` are negative or all zero.

    Examples
    --------
    >>> float(squared_error(np.array([1.0, 2.0]), [0.0, 4.0])), float(squared_error(np.ones((2, 3)), np.zeros((2, 3))))
    (2.5, 3.0)
    """
    constants = as_constant(targets, predictions)
    check_shapes("squared_error", predictions, constants)
    residual = predictions - constants
    return reduce("squared_error", residual * residual, reduction, weights)


def huber(
    predictions: Any,
    targets: npt.ArrayLike,
    *,
    delta: float = 1.0,
    weights: npt.ArrayLike | None = None,
    reduction: str = "mean",
) -> Any:
    """Sum residuals squared near zero and linear far out: ``(1/n) Σ_i Σ_k φ(predictions_ik - targets_ik)``.

    ``φ(r) = r²/2`` where ``|r| <= delta`` and ``delta (|r| - delta/2)`` elsewhere: half of `squared_error` for small
    residuals, as in torch and in statistics.

    Parameters
    ----------
    predictions : array, (n, ...) or (n,)
        May be traced.
    targets : array
        The same shape exactly.
    delta : float
        Where the loss becomes linear, in the units of the targets; greater than 0.
    weights : array, (n,), optional
        Of the examples, at least 0; the mean is then ``Σ w_i loss_i / Σ w_i``.
    reduction : {"mean", "sum"}

    Returns
    -------
    scalar

    Raises
    ------
    ShapeMismatchError
        If the shapes differ.
    OptionError
        If `delta` is not a positive number, or `reduction` is unknown.

    Notes
    -----
    Computed as ``c (r - c/2)`` with ``c = clip(r, -delta, delta)``, which squares no large number. The second derivative
    jumps at ``|r| = delta``, where it is taken from inside: 1.

    References
    ----------
    Huber (1964), section 5.

    Examples
    --------
    >>> float(huber(np.array([0.5, 4.0]), [0.0, 0.0], reduction="sum"))
    3.625
    """
    if not (np.isfinite(delta) and delta > 0):
        raise OptionError(message("huber", f"delta is {delta!r}", "it bounds the influence", "Pass a number > 0"))
    constants = as_constant(targets, predictions)
    check_shapes("huber", predictions, constants)
    residual = predictions - constants
    clipped = np.clip(residual, -float(delta), float(delta))
    return reduce("huber", clipped * (residual - 0.5 * clipped), reduction, weights)


def softmax_cross_entropy(
    logits: Any, labels: npt.ArrayLike, *, weights: npt.ArrayLike | None = None, reduction: str = "mean"
) -> Any:
    """Measure the surprise at the labels: ``-(1/n) Σ_i Σ_k y_ik [z_ik - logsumexp(z_i)]``.

    Parameters
    ----------
    logits : array, (n, K)
        Unnormalised log-probabilities z; may be traced.
    labels : array, (n,) of integers in [0, K), or (n, K)
        Class numbers, or one row of probabilities per example (one-hot or soft, each row summing to 1).
    weights : array, (n,), optional
        Of the examples, at least 0; the mean is then ``Σ w_i loss_i / Σ w_i``.
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
    Computed from ``log_softmax``, which loses no digits at large logits. A logit of -inf is a class that is masked out. At
    ``z = 0`` the loss is ``log K`` whatever the labels. In W of a linear model at ``W = 0`` its Hessian is
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
    # A traced value stays traced: labels that are arguments of a recorded function change from call to call.
    targets = labels if isinstance(labels, Traced) else np.asarray(labels)
    surprises = -special.log_softmax(logits, axis=1)
    if targets.shape == (n,):
        at_labels = surprises[np.arange(n), check_labels("softmax_cross_entropy", targets, n_classes)]
    else:
        shares = _check_probabilities(as_constant(targets, logits), (n, n_classes))
        # Classes without a share may be masked out, and 0 times inf is 0 here.
        at_labels = np.sum(shares * np.where(np.equal(shares, 0), 0.0, surprises), axis=1)
    return reduce("softmax_cross_entropy", at_labels, reduction, weights)


LOSSES: dict[str, Loss] = {
    "softmax_cross_entropy": softmax_cross_entropy,
    "sigmoid_cross_entropy": sigmoid_cross_entropy,
    "squared_error": squared_error,
    "huber": huber,
    "poisson": poisson,
    "gaussian_nll": gaussian_nll,
}


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
    if not (is_real(l2) and 0 <= l2 < math.inf):
        why = "a negative penalty is unbounded below" if is_real(l2) and l2 < 0 else ""
        raise OptionError(message("l2_penalty", f"l2 is {l2!r}", why, "Pass a finite number >= 0"))
    return 0.5 * float(l2) * sum(np.sum(leaf * leaf) for leaf in flatten(params)[0])


def accuracy(logits: npt.ArrayLike, labels: npt.ArrayLike, *, weights: npt.ArrayLike | None = None) -> float:
    """Return the share of rows whose largest logit is at the label, or whose one logit has its sign.

    Parameters
    ----------
    logits : array, (n, K) or (n,)
        One column per class, or log-odds of class 1 against class 0; odds of exactly one count for class 0.
    labels : array, (n,) of integers, or (n, K) of probabilities, whose largest entry counts.
        With logits of shape (n,), 0 and 1 or booleans.
    weights : array, (n,), optional
        Of the rows, at least 0: the share is one of weight.

    Raises
    ------
    ShapeMismatchError
        If the numbers of rows differ.

    Examples
    --------
    >>> accuracy(np.eye(4), [0, 1, 2, 0]), accuracy(np.array([-1.0, 2.0]), [0, 0])
    (0.75, 0.5)
    """
    scores, targets = np.asarray(logits), np.asarray(labels)
    fits = targets.ndim == 1 if scores.ndim == 1 else scores.ndim == 2 and targets.ndim in (1, 2)
    if not fits or len(targets) != len(scores):
        raise ShapeMismatchError(
            message(
                "accuracy",
                f"logits have shape {scores.shape}, labels {targets.shape}",
                fix="Give one row of logits per label",
            )
        )
    truth = targets if targets.ndim == 1 else targets.argmax(axis=1)
    right = (scores > 0 if scores.ndim == 1 else scores.argmax(axis=1)) == truth
    return float(np.mean(right) if weights is None else _weighted_mean("accuracy", right, weights))


def r2(predictions: npt.ArrayLike, targets: npt.ArrayLike, *, weights: npt.ArrayLike | None = None) -> float:
    """Return the share of variance explained, averaged over outputs: ``1 - Σ_i (y_i - p_i)² / Σ_i (y_i - mean(y))²``.

    Parameters
    ----------
    predictions : array, (n,) or (n, k)
    targets : array
        The same shape exactly.
    weights : array, (n,), optional
        Of the rows, at least 0, in both sums and in the mean.

    Returns
    -------
    float
        1 for perfect predictions, 0 for the mean, negative for worse; NaN where a column of targets is constant, whose
        variance cannot be explained.

    Raises
    ------
    ShapeMismatchError
        If the shapes differ.

    Examples
    --------
    >>> r2(np.array([1.0, 2.0, 3.0]), [1.0, 2.0, 3.0]), r2(np.array([2.0, 2.0, 2.0]), [1.0, 2.0, 3.0])
    (1.0, 0.0)
    """
    p, y = np.asarray(predictions, dtype=np.float64), np.asarray(targets, dtype=np.float64)
    check_shapes("r2", p, y)
    w: npt.ArrayLike = np.ones(len(y)) if weights is None else weights
    unexplained = _weighted_mean("r2", (y - p) ** 2, w)
    variance = _weighted_mean("r2", (y - _weighted_mean("r2", y, w)) ** 2, w)
    share = np.divide(unexplained, variance, out=np.full_like(variance, np.nan), where=variance > 0)
    return float(np.mean(1.0 - share))


def _weighted_mean(where: str, values: np.ndarray, weights: npt.ArrayLike) -> np.ndarray:
    """Average over rows."""
    w = check_weights(where, weights, len(values), np.zeros(0))
    return np.asarray(np.tensordot(w, values, axes=1) / np.sum(w))


def check_labels(where: str, labels: Any, n_classes: int) -> Any:
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
    if labels.size and not (labels.min() >= 0 and labels.max() < n_classes):
        raise OptionError(
            message(
                where,
                f"labels run from {int(labels.min())} to {int(labels.max())}, the {n_classes} classes are 0 to {n_classes - 1}",
                "a label chooses a column of the logits",
                "Number the classes from 0, or widen the last layer",
            )
        )
    return labels


def _check_probabilities(targets: Any, wanted: tuple[int, int]) -> Any:
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
    if not np.all(np.abs(totals - 1.0) <= 1e-5):
        worst = int(np.argmax(np.abs(totals - 1.0)))
        raise OptionError(
            message(
                "softmax_cross_entropy",
                f"row {worst} of labels sums to {float(totals[worst]):.6g}",
                "each row is a probability distribution over the classes",
                "Normalise the rows, or pass class numbers",
            )
        )
    return targets
