"""Losses of least squares: what a residual costs, what it pulls with, and how much curvature it lends to the model."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from hessian.arguments import POSITIVE, real_number, unknown

Curve = Callable[[np.ndarray], np.ndarray]
"""A function of the squared residuals ``t = (r / f_scale)^2``, entry by entry."""

LEAST_WEIGHT = 0.1
"""Least weight of a residual in the model, relative to that of iterative reweighting. Without it residuals far out would
have no curvature or a negative one, and a model of nothing else no minimum."""


@dataclass(frozen=True, slots=True)
class Loss:
    """A loss ``1/2 sum_i C^2 rho((r_i / C)^2)`` of residuals r, C being ``f_scale``.

    Attributes
    ----------
    name : str
        As :func:`hessian.optimize.least_squares` knows it.
    rho : callable
        rho(t), with ``rho(0) = 0`` and ``rho'(0) = 1``: small residuals cost what their squares cost.
    slope : callable
        rho'(t). The derivative of the loss in r_i is ``rho' r_i``.
    bend : callable
        rho'(t) + 2 t rho''(t), the second derivative of the loss in r_i, written without cancellation or overflow.
    """

    name: str
    rho: Curve
    slope: Curve
    bend: Curve


LOSSES = {
    loss.name: loss
    for loss in (
        Loss("linear", lambda t: t, np.ones_like, np.ones_like),
        Loss(
            "soft_l1",
            lambda t: 2.0 * t / (np.sqrt(1.0 + t) + 1.0),
            lambda t: 1.0 / np.sqrt(1.0 + t),
            lambda t: (1.0 + t) ** -1.5,
        ),
        Loss(
            "huber",
            lambda t: np.where(t <= 1.0, t, 2.0 * np.sqrt(t) - 1.0),
            lambda t: 1.0 / np.sqrt(np.maximum(t, 1.0)),
            lambda t: np.where(t <= 1.0, 1.0, 0.0),
        ),
        Loss(
            "cauchy",
            np.log1p,
            lambda t: 1.0 / (1.0 + t),
            lambda t: 2.0 / (1.0 + t) ** 2 - 1.0 / (1.0 + t),
        ),
        Loss(
            "arctan",
            np.arctan,
            lambda t: 1.0 / (1.0 + t**2),
            lambda t: 4.0 / (1.0 + t**2) ** 2 - 3.0 / (1.0 + t**2),
        ),
    )
}


@dataclass(frozen=True, slots=True)
class Weights:
    """A loss at a vector of residuals, in double precision.

    Attributes
    ----------
    cost : float
        ``1/2 sum_i C^2 rho_i``.
    slopes : ndarray, shape (m,)
        ``rho'_i``: the gradient of the cost is ``J^T (slopes * r)``, and ``J^T diag(slopes) J`` the matrix of iterative
        reweighting.
    bends : ndarray, shape (m,)
        Second derivatives of the loss; the exact generalised Gauss-Newton matrix is ``J^T diag(bends) J``.
    lengths : ndarray, shape (m,)
        ``sqrt(rho'_i) |r_i|``, but at most ``f_scale`` where the loss is robust: what a residual counts.
    is_far : ndarray of bool, shape (m,)
        Which of them are cut.
    """

    cost: float
    slopes: np.ndarray
    bends: np.ndarray
    lengths: np.ndarray
    is_far: np.ndarray

    @property
    def roots(self) -> np.ndarray:
        """Square roots of the slopes."""
        return np.sqrt(self.slopes)

    @property
    def model(self) -> np.ndarray:
        """Weights of the model: the second derivatives, never below a tenth of the slopes."""
        return np.maximum(self.bends, LEAST_WEIGHT * self.slopes)


@dataclass(frozen=True, slots=True)
class ScaledLoss:
    """A loss with its ``f_scale``."""

    loss: Loss
    f_scale: float

    @property
    def is_linear(self) -> bool:
        """Whether the cost is plainly half the sum of squares."""
        return self.loss.name == "linear"

    def at(self, residuals: np.ndarray) -> Weights:
        """Evaluate at residuals; a cost that is not finite is the caller's to judge."""
        r = residuals.astype(np.float64)
        with np.errstate(over="ignore", invalid="ignore"):
            if self.is_linear:
                ones = np.ones_like(r)
                return Weights(0.5 * float(r @ r), ones, ones, np.abs(r), ones == 0.0)
            t = (r / self.f_scale) ** 2
            cost, slopes = 0.5 * self.f_scale**2 * float(np.sum(self.loss.rho(t))), self.loss.slope(t)
            lengths = np.sqrt(slopes) * np.abs(r)
            is_far = lengths > self.f_scale
            return Weights(cost, slopes, self.loss.bend(t), np.where(is_far, self.f_scale, lengths), is_far)


def find_loss(name: str, f_scale: float) -> ScaledLoss:
    """Return a loss by its name.

    Raises
    ------
    OptionError
        There is no such loss, or f_scale is not a finite number > 0.

    Examples
    --------
    >>> import numpy as np
    >>> from hessian.optimize.robust_losses import find_loss
    >>> [round(find_loss(name, 1.0).at(np.array([3.0])).cost, 6) for name in ("linear", "huber", "cauchy")]
    [4.5, 2.5, 1.151293]
    """
    if name not in LOSSES:
        raise unknown("least_squares", "loss", name, LOSSES)
    why = "It is the size from which on a residual counts as an outlier"
    return ScaledLoss(LOSSES[name], real_number("least_squares", "f_scale", f_scale, POSITIVE, why))
