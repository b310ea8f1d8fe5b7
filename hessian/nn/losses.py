"""Losses of a whole batch, each a row: the terms of the examples and what their targets have to be.

Every loss is a sum over the outputs of one example, reduced over examples: ``reduction="mean"`` (the default) divides
by the number of rows and ``"sum"`` does not. With ``weights``, the mean is the weighted one, ``Σ w_i loss_i / Σ w_i``, so
that an integer weight counts as that many copies of its row. Targets and weights are constants, and take the dtype of the
outputs.
"""

from __future__ import annotations

import functools
import inspect
import math
from collections.abc import Callable
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from hessian.arguments import choose, is_real
from hessian.errors import OptionError, ShapeMismatchError, message
from hessian.nn.metrics import accuracy, r2
from hessian.nn.reduction import as_constant, check_shapes, reduce
from hessian.operators.likelihoods import LIKELIHOODS
from hessian.rules.spec import Traced
from hessian.tape.trees import flatten

Loss = Callable[..., Any]
Check = Callable[[str, Any, npt.ArrayLike, str], Any]

_SECTIONS = """

    Parameters
    ----------
    {outputs}
        May be traced.
    {targets}
    weights : array, (n,), optional
        Of the examples, at least 0; the mean is then ``Σ w_i loss_i / Σ w_i``.
    reduction : {{"mean", "sum"}}

    Returns
    -------
    scalar

    Raises
    ------
    ShapeMismatchError
        Outputs, targets and weights do not fit each other; none of them is broadcast.
    OptionError
        A target is none of this loss, weights are negative or all zero, or ``reduction`` is unknown.
"""


def _loss(
    check: Check, outputs: str, targets: str, metric: Callable[..., float] | None = None
) -> Callable[[Loss], Loss]:
    """Make a loss of a function that returns the terms of the examples, (n,) or (n, ...), from outputs and checked targets.

    Weights, reduction, signature and documentation follow, and the metric by which people read its outputs goes with it.
    """

    def declare(terms: Loss) -> Loss:
        name, signature = terms.__name__, inspect.signature(terms)
        first, second = list(signature.parameters)[:2]

        @functools.wraps(terms)
        def call(
            *arguments: Any, weights: Any = None, reduction: Literal["mean", "sum"] = "mean", **keywords: Any
        ) -> Any:
            given = signature.bind(*arguments, **keywords).arguments
            given[second] = check(name, given[first], given[second], first)
            return reduce(name, terms(**given), reduction, weights)

        shared = inspect.signature(call, follow_wrapped=False).parameters
        everything = [*signature.parameters.values(), shared["weights"], shared["reduction"]]
        call.__signature__ = signature.replace(parameters=everything)  # type: ignore[attr-defined]
        head, _, tail = (terms.__doc__ or "").partition("\n\n")
        text = _SECTIONS.format(outputs=outputs, targets=targets)
        call.metric = metric  # type: ignore[attr-defined]
        call.__doc__ = f"{head}{text}\n{tail}"
        return call

    return declare


def _same_shape(where: str, outputs: Any, targets: npt.ArrayLike, name: str) -> Any:
    """Return real targets, one for each output."""
    constants = as_constant(targets, outputs)
    check_shapes(where, outputs, constants, name)
    return constants


@_loss(
    _same_shape, "predictions : array, (n, ...) or (n,)", "targets : array\n        The same shape exactly.", metric=r2
)
def squared_error(predictions: Any, targets: Any) -> Any:
    """Sum the squared residuals: ``(1/n) Σ_i ||predictions_i - targets_i||²``.

    Notes
    -----
    There is no factor one half, and the mean is over rows only: a network with ten outputs is penalised for all ten.
    With ``reduction="sum"`` a linear model ``X w`` has gradient ``2 Xᵀr`` and Hessian ``2 XᵀX``.

    Examples
    --------
    >>> float(squared_error(np.array([1.0, 2.0]), [0.0, 4.0])), float(squared_error(np.ones((2, 3)), np.zeros((2, 3))))
    (2.5, 3.0)
    """
    residual = predictions - targets
    return residual * residual


def _labels(where: str, logits: Any, labels: npt.ArrayLike, name: str) -> Any:
    """Return class numbers, or one row of probabilities per example."""
    if np.ndim(logits) != 2:
        what = f"logits have shape {np.shape(logits)}, expected (n, K)"
        raise ShapeMismatchError(message(where, what, fix="Give one row per example and one column per class"))
    n, n_classes = np.shape(logits)
    # A traced value stays traced: labels that are arguments of a recorded function change from call to call.
    targets = labels if isinstance(labels, Traced) else np.asarray(labels)
    if targets.shape == (n,):
        return check_labels(where, targets, n_classes)
    return _check_probabilities(as_constant(targets, logits), (n, n_classes))


@_loss(
    _labels,
    "logits : array, (n, K)\n        Unnormalised log-probabilities z.",
    """labels : array, (n,) of integers in [0, K), or (n, K)
        Class numbers, or one row of probabilities per example (one-hot or soft, each row summing to 1).""",
    metric=accuracy,
)
def softmax_cross_entropy(logits: Any, labels: Any) -> Any:
    """Measure the surprise at the labels: ``-(1/n) Σ_i Σ_k y_ik [z_ik - logsumexp(z_i)]``.

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
    return LIKELIHOODS["categorical"].loss(logits, labels)


LOSSES: dict[str, Loss] = {
    "softmax_cross_entropy": softmax_cross_entropy,
    "squared_error": squared_error,
}
"""Losses by name, each ``(outputs, targets) -> scalar``."""


def get_loss(loss: str | Loss) -> Loss:
    """Return the loss of a name, or the function given.

    Parameters
    ----------
    loss : str or callable
        A name of ``hessian.nn.LOSSES``, or a function ``(outputs, targets) -> scalar``.

    Returns
    -------
    callable

    Raises
    ------
    OptionError
        There is no loss of that name; the message suggests the nearest.

    Examples
    --------
    >>> get_loss("squared_error") is squared_error
    True
    """
    return choose("hessian.nn", "loss", loss, LOSSES)


def l2_penalty(params: Any, l2: float) -> Any:
    """Weigh the parameters: ``(l2 / 2) ||params||²``, over every array of the container, weights and biases alike.

    The penalty is part of the objective, so its gradient is ``l2 · params`` and its Hessian ``l2 · I``: every
    eigenvalue of the Hessian of a loss rises by exactly ``l2``. Penalising biases as well is what makes that true, and
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
        ``l2`` is negative or not finite.

    Examples
    --------
    >>> float(l2_penalty([{"W": np.ones((2, 3)), "b": np.array([2.0])}], 0.5))
    2.5
    """
    if not (is_real(l2) and 0 <= l2 < math.inf):
        why = "a negative penalty is unbounded below" if is_real(l2) and l2 < 0 else ""
        raise OptionError(message("l2_penalty", f"l2 is {l2!r}", why, "Pass a finite number >= 0"))
    return 0.5 * float(l2) * sum(np.sum(leaf * leaf) for leaf in flatten(params)[0])


def check_labels(where: str, labels: Any, n_classes: int) -> Any:
    """Return class numbers that may index a row of ``n_classes`` logits."""
    if labels.dtype.kind not in "iu":
        what, why = f"labels of shape {labels.shape} have dtype {labels.dtype}", "one number per row is a class number"
        raise OptionError(message(where, what, why, "Pass labels.astype(int), or a row of probabilities per example"))
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
        what = f"labels have shape {targets.shape}, logits {wanted}"
        fix = f"Pass class numbers of shape ({wanted[0]},) or probabilities of shape {wanted}"
        raise ShapeMismatchError(message("softmax_cross_entropy", what, fix=fix))
    totals = targets.sum(axis=1)
    if not np.all(np.abs(totals - 1.0) <= 1e-5):
        worst = int(np.argmax(np.abs(totals - 1.0)))
        what = f"row {worst} of labels sums to {float(totals[worst]):.6g}"
        why = "each row is a probability distribution over the classes"
        raise OptionError(message("softmax_cross_entropy", what, why, "Normalise the rows, or pass class numbers"))
    return targets
