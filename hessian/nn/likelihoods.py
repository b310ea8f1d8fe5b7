"""Losses that are negative log-likelihoods of Bernoulli, Poisson and Gaussian targets."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from hessian.errors import ShapeMismatchError, message
from hessian.nn.reduction import as_constant, check_range, check_shapes, reduce


def sigmoid_cross_entropy(
    logits: Any, targets: npt.ArrayLike, *, weights: npt.ArrayLike | None = None, reduction: str = "mean"
) -> Any:
    """Measure the surprise at yes-or-no targets: ``(1/n) Σ_i Σ_k [log(1 + exp(z_ik)) - t_ik z_ik]``.

    Parameters
    ----------
    logits : array, (n,) or (n, k)
        Log-odds z; may be traced. The outputs of a row are independent of each other: they are not classes of which one
        is right, which is what `softmax_cross_entropy` is for.
    targets : array
        The same shape exactly, in [0, 1]: 0 and 1, booleans, or probabilities.
    weights : array, (n,), optional
        Of the examples, at least 0; the mean is then ``Σ w_i loss_i / Σ w_i``.
    reduction : {"mean", "sum"}

    Returns
    -------
    scalar

    Raises
    ------
    ShapeMismatchError
        If the shapes differ: (n, 1) against (n,) would broadcast to n² terms.
    OptionError
        If a target lies outside [0, 1], or `reduction` is unknown.

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
    t = as_constant(targets, logits)
    check_shapes("sigmoid_cross_entropy", logits, t, "logits")
    check_range(
        "sigmoid_cross_entropy",
        t,
        0.0,
        1.0,
        "a target is a probability",
        "Code the classes as 0 and 1, or pass one-hot",
    )
    likely = t >= 0.5
    signed = np.where(likely, -logits, logits)
    return reduce(
        "sigmoid_cross_entropy", np.logaddexp(signed, 0) - np.where(likely, 1 - t, t) * signed, reduction, weights
    )


def poisson(
    log_rates: Any, targets: npt.ArrayLike, *, weights: npt.ArrayLike | None = None, reduction: str = "mean"
) -> Any:
    """Measure the surprise at counts: ``(1/n) Σ_i Σ_k [exp(z_ik) - y_ik z_ik]``.

    Parameters
    ----------
    log_rates : array, (n,) or (n, k)
        Logarithms z of the expected counts; may be traced.
    targets : array
        The same shape exactly, at least 0: counts, or counts per exposure.
    weights : array, (n,), optional
        Of the examples, at least 0; the mean is then ``Σ w_i loss_i / Σ w_i``.
    reduction : {"mean", "sum"}

    Returns
    -------
    scalar
        May be negative.

    Raises
    ------
    ShapeMismatchError
        If the shapes differ.
    OptionError
        If a target is negative or not finite, or `reduction` is unknown.

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
    y = as_constant(targets, log_rates)
    check_shapes("poisson", log_rates, y, "log_rates")
    largest = np.finfo(y.dtype).max if y.dtype.kind == "f" else np.inf
    check_range("poisson", y, 0.0, largest, "a count is finite and at least 0", "Pass counts")
    return reduce("poisson", np.exp(log_rates) - y * log_rates, reduction, weights)


def gaussian_nll(
    outputs: Any, targets: npt.ArrayLike, *, weights: npt.ArrayLike | None = None, reduction: str = "mean"
) -> Any:
    """Measure the surprise at values, with a variance per value: ``(1/n) Σ_i Σ_k ½ [s_ik + (y_ik - m_ik)² exp(-s_ik)]``.

    Parameters
    ----------
    outputs : array, (n, 2 k)
        The means m in the first k columns, the logarithms s of the variances in the last k; may be traced.
    targets : array, (n, k), or (n,) where k = 1
    weights : array, (n,), optional
        Of the examples, at least 0; the mean is then ``Σ w_i loss_i / Σ w_i``.
    reduction : {"mean", "sum"}

    Returns
    -------
    scalar
        May be negative.

    Raises
    ------
    ShapeMismatchError
        If `outputs` are not twice as wide as `targets`.
    OptionError
        If `reduction` is unknown.

    Notes
    -----
    The loss is not convex in m and s together, so a Gauss-Newton matrix built on it may be indefinite. The constant
    ``½ log 2π`` for each value is left out, as in torch's ``GaussianNLLLoss``; there is no floor under the
    variances. A residual is divided by its standard deviation before it is squared. The curvature in the mean is
    ``exp(-s)``: it overflows where s is below -709, in float32 -88.

    Examples
    --------
    >>> float(gaussian_nll(np.array([[1.0, 0.0]]), [3.0])), float(gaussian_nll(np.array([[1.0, np.log(4.0)]]), [1.0]))
    (2.0, 0.6931471805599453)
    """
    y = as_constant(targets, outputs)
    shape = np.shape(outputs)
    if len(np.shape(y)) == 1:
        y = np.reshape(y, (-1, 1))
    if len(shape) != 2 or np.ndim(y) != 2 or shape != (np.shape(y)[0], 2 * np.shape(y)[1]):
        raise ShapeMismatchError(
            message(
                "gaussian_nll",
                f"outputs have shape {shape}, targets {np.shape(targets)}",
                "each target takes two outputs, a mean and the logarithm of a variance",
                "Give outputs of shape (n, 2 k) and targets of shape (n, k)",
            )
        )
    k = shape[1] // 2
    mean, log_variance = outputs[:, :k], outputs[:, k:]
    scaled = (mean - y) * np.exp(-0.5 * log_variance)
    return reduce("gaussian_nll", 0.5 * (log_variance + scaled * scaled), reduction, weights)
