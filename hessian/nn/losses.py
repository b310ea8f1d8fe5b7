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
from typing import Any

import numpy as np
import numpy.typing as npt

from hessian.arguments import choose, is_real
from hessian.errors import OptionError, ShapeMismatchError, message
from hessian.nn.metrics import accuracy, r2
from hessian.nn.reduction import as_constant, check_range, check_shapes, reduce
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
{options}
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
    check: Check, outputs: str, targets: str, options: str = "", metric: Callable[..., float] | None = None
) -> Callable[[Loss], Loss]:
    """Make a loss of a function that returns the terms of the examples, (n,) or (n, ...), from outputs and checked targets.

    Weights, reduction, signature and documentation follow, and the metric by which people read its outputs goes with it.
    """

    def declare(terms: Loss) -> Loss:
        name, signature = terms.__name__, inspect.signature(terms)
        first, second = list(signature.parameters)[:2]

        @functools.wraps(terms)
        def call(*arguments: Any, weights: Any = None, reduction: str = "mean", **keywords: Any) -> Any:
            given = signature.bind(*arguments, **keywords).arguments
            given[second] = check(name, given[first], given[second], first)
            return reduce(name, terms(**given), reduction, weights)

        shared = inspect.signature(call, follow_wrapped=False).parameters
        everything = [*signature.parameters.values(), shared["weights"], shared["reduction"]]
        call.__signature__ = signature.replace(parameters=everything)  # type: ignore[attr-defined]
        head, _, tail = (terms.__doc__ or "").partition("\n\n")
        text = _SECTIONS.format(outputs=outputs, targets=targets, options=options)
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


@_loss(
    _same_shape,
    "predictions : array, (n, ...) or (n,)",
    "targets : array\n        The same shape exactly.",
    "    delta : float\n        Where the loss becomes linear, in the units of the targets; greater than 0.\n",
    metric=r2,
)
def huber(predictions: Any, targets: Any, *, delta: float = 1.0) -> Any:
    """Sum residuals squared near zero and linear far out: ``(1/n) Σ_i Σ_k φ(predictions_ik - targets_ik)``.

    ``φ(r) = r²/2`` where ``|r| <= delta`` and ``delta (|r| - delta/2)`` elsewhere: half of ``squared_error`` for small
    residuals, as in torch and in statistics.

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
    residual = predictions - targets
    clipped = np.clip(residual, -float(delta), float(delta))
    return clipped * (residual - 0.5 * clipped)


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


def _shares(where: str, logits: Any, targets: npt.ArrayLike, name: str) -> Any:
    """Return targets in [0, 1], one for each logit."""
    t = _same_shape(where, logits, targets, name)
    check_range(where, t, 0.0, 1.0, "a target is a probability", "Code the classes as 0 and 1, or pass one-hot")
    return t


@_loss(
    _shares,
    """logits : array, (n,) or (n, k)
        Log-odds z. The outputs of a row are independent of each other: they are not classes of which one is right, which is
        what ``softmax_cross_entropy`` is for.""",
    "targets : array\n        The same shape exactly, in [0, 1]: 0 and 1, booleans, or probabilities.",
)
def sigmoid_cross_entropy(logits: Any, targets: Any) -> Any:
    """Measure the surprise at yes-or-no targets: ``(1/n) Σ_i Σ_k [log(1 + exp(z_ik)) - t_ik z_ik]``.

    Notes
    -----
    With ``s = -1`` where ``t >= 1/2`` and 1 elsewhere, and ``a = min(t, 1 - t)``, a term is computed as
    ``log(1 + exp(s z)) - a s z``. Nothing cancels there: at ``t = 1`` and ``z = 40`` the loss is 4e-18 and its gradient
    -4e-18, where the formula above gives 0, and no z overflows.

    Examples
    --------
    >>> float(sigmoid_cross_entropy(np.zeros(3), [0, 1, 1])) == float(np.log(2.0))
    True
    """
    return LIKELIHOODS["bernoulli"].loss(logits, targets)


def _counts(where: str, log_rates: Any, targets: npt.ArrayLike, name: str) -> Any:
    """Return finite targets that are at least 0, one for each rate."""
    y = _same_shape(where, log_rates, targets, name)
    largest = np.finfo(y.dtype).max if y.dtype.kind == "f" else np.inf
    check_range(where, y, 0.0, largest, "a count is finite and at least 0", "Pass counts")
    return y


@_loss(
    _counts,
    "log_rates : array, (n,) or (n, k)\n        Logarithms z of the expected counts.",
    "targets : array\n        The same shape exactly, finite and at least 0: counts, or counts per exposure.",
)
def poisson(log_rates: Any, targets: Any) -> Any:
    """Measure the surprise at counts: ``(1/n) Σ_i Σ_k [exp(z_ik) - y_ik z_ik]``, which may be negative.

    Notes
    -----
    The constant ``log y!`` of the negative log-likelihood is left out, as in torch's ``PoissonNLLLoss`` and scikit-learn's
    ``PoissonRegressor``; it moves no derivative. Twice the difference to the loss at ``z = log y`` is scikit-learn's
    ``mean_poisson_deviance``. A rate beyond the largest floating number (z of 709, in float32 88) overflows to infinity,
    with NumPy's warning.

    Examples
    --------
    >>> float(poisson(np.zeros(2), [0, 3]))
    1.0
    """
    return LIKELIHOODS["poisson"].loss(log_rates, targets)


def _values(where: str, outputs: Any, targets: npt.ArrayLike, name: str) -> Any:
    """Return one target, (n, k), for each pair of outputs."""
    y = as_constant(targets, outputs)
    shape = np.shape(outputs)
    if len(np.shape(y)) == 1:
        y = np.reshape(y, (-1, 1))
    if len(shape) != 2 or np.ndim(y) != 2 or shape != (np.shape(y)[0], 2 * np.shape(y)[1]):
        what = f"outputs have shape {shape}, targets {np.shape(targets)}"
        why = "each target takes two outputs, a mean and the logarithm of a variance"
        fix = "Give outputs of shape (n, 2 k) and targets of shape (n, k)"
        raise ShapeMismatchError(message(where, what, why, fix))
    return y


@_loss(
    _values,
    "outputs : array, (n, 2 k)\n        The means m in the first k columns, the logarithms s of the variances in the last k.",
    "targets : array, (n, k), or (n,) where k = 1",
)
def gaussian_nll(outputs: Any, targets: Any) -> Any:
    """Measure the surprise at values, with a variance per value: ``(1/n) Σ_i Σ_k ½ [s_ik + (y_ik - m_ik)² exp(-s_ik)]``.

    Notes
    -----
    The loss may be negative, and is not convex in m and s together, so a Gauss-Newton matrix built on it may be indefinite.
    The constant ``½ log 2π`` for each value is left out, as in torch's ``GaussianNLLLoss``; there is no floor under the
    variances. A residual is divided by its standard deviation before it is squared. The curvature in the mean is
    ``exp(-s)``: it overflows where s is below -709, in float32 -88.

    Examples
    --------
    >>> float(gaussian_nll(np.array([[1.0, 0.0]]), [3.0])), float(gaussian_nll(np.array([[1.0, np.log(4.0)]]), [1.0]))
    (2.0, 0.6931471805599453)
    """
    k = np.shape(outputs)[1] // 2
    mean, log_variance = outputs[:, :k], outputs[:, k:]
    scaled = (mean - targets) * np.exp(-0.5 * log_variance)
    return 0.5 * (log_variance + scaled * scaled)


LOSSES: dict[str, Loss] = {
    "softmax_cross_entropy": softmax_cross_entropy,
    "sigmoid_cross_entropy": sigmoid_cross_entropy,
    "squared_error": squared_error,
    "huber": huber,
    "poisson": poisson,
    "gaussian_nll": gaussian_nll,
}


def get_loss(loss: str | Loss) -> Loss:
    """Return the loss of a name, or the function ``(outputs, targets) -> scalar`` given."""
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
