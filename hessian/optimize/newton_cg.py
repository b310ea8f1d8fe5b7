"""Line-search truncated Newton with capped conjugate gradients and negative-curvature steps."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from hessian.linalg import limits
from hessian.linalg.vectors import norm
from hessian.optimize.bounds import StepLength, unit_length
from hessian.optimize.krylov import Product
from hessian.optimize.local_model import LineModel
from hessian.optimize.method import Method, line_escape
from hessian.optimize.objective import Point
from hessian.optimize.optimality import Curvature
from hessian.optimize.options import Options

DAMPING = 1e-3
"""Largest damping, relative to the norm of H seen so far; it falls with the gradient."""


@dataclass(frozen=True, slots=True)
class CappedDirection:
    """What capped CG found: a direction d, its curvature ``d.H d / |g|``, and why it ended there."""

    vector: np.ndarray
    curvature: float
    status: str
    products: int


def capped_cg(
    product: Product, gradient: np.ndarray, damping: float, tolerance: float, max_products: int
) -> CappedDirection:
    """Run conjugate gradients on ``(H + 2 eps I) d = -g``, eps the damping relative to ``|H|``, or find negative curvature.

    Curvature below ``eps |v|^2`` of the damped matrix, which is below ``-eps |v|^2`` of H, is looked for along every
    direction and every iterate. Where H has none of it, the residual falls at the rate of a condition number of
    ``(|H| + 2 eps) / eps``; a residual that falls more slowly betrays negative curvature between two iterates.

    Parameters
    ----------
    product : callable
        ``v -> H v``.
    gradient : ndarray, shape (n,)
    damping : float
        ``eps / |H|``.
    tolerance : float
        Bound on the residual of the damped system.
    max_products : int
        Bound on the number of products, at least 1.

    Returns
    -------
    CappedDirection

    Notes
    -----
    Everything is divided by ``|g|``, which changes no direction and keeps squares from overflow and underflow; so is the
    curvature returned.

    Deviations from the source: the tolerance is the caller's forcing term, in place of ``zeta / (3 kappa) |g|``; the
    norm of H is the largest ratio ``|H p| / |p|`` along search directions; eps is relative to the first of those.

    References
    ----------
    C. W. Royer, M. O'Neill and S. J. Wright, Math. Program. 180 (2020) 451-488, algorithm 1.
    """
    scale = norm(gradient)
    gradient = gradient / scale
    y, r, p = np.zeros_like(gradient), gradient, -gradient
    rr = first = float(r @ r)
    eps = largest = 0.0
    residuals: list[np.ndarray] = [r]
    steps: list[tuple[float, float]] = []
    limit = max(2, limits.RESIDUAL_NUMBERS // gradient.size)
    for k in range(max_products):
        hp = product(p) / scale
        pp, curvature = float(p @ p), float(p @ hp)
        if not math.isfinite(curvature):
            return _fallback(y, r, gradient, eps, "not-finite", k + 1)
        largest = max(largest, norm(hp) / math.sqrt(pp))
        if k == 0:
            eps = damping * largest
        if curvature + 2.0 * eps * pp <= eps * pp:
            return CappedDirection(p, curvature, "negative-curvature", k + 1)
        length = rr / (curvature + 2.0 * eps * pp)
        y = y + length * p
        r = r + length * (hp + 2.0 * eps * p)
        # The damped matrix times y is r - g: the curvature along an iterate costs no product.
        yy, along = float(y @ y), float(y @ (r - gradient))
        if along < eps * yy:
            return CappedDirection(y, along - 2.0 * eps * yy, "negative-curvature", k + 1)
        rr, before = float(r @ r), rr
        if math.sqrt(rr) * scale <= tolerance:
            return CappedDirection(y, along - 2.0 * eps * yy, "converged", k + 1)
        if eps > 0.0 and math.log(rr / first) > _log_bound(largest, eps, k + 1):
            negative = _between(residuals, steps, y, r, eps)
            if negative is not None:
                return CappedDirection(*negative, "negative-curvature", k + 1)
        if len(residuals) < limit:
            residuals.append(r)
            steps.append((length, rr / before))
        p = (rr / before) * p - r
    return _fallback(y, r, gradient, eps, "cg-limit", max_products)


def _log_bound(largest: float, eps: float, k: int) -> float:
    """Logarithm of ``T tau^k``, which ``|r_k|^2 / |g|^2`` obeys where the damped matrix is at least eps."""
    kappa = (largest + 2.0 * eps) / eps
    root = math.sqrt(kappa)
    log_tau = -math.log1p(1.0 / root)
    # 1 - sqrt(tau) = (1 - tau) / (1 + sqrt(tau)), and 1 - tau = 1 / (root + 1): nothing cancels.
    log_gap = -math.log1p(root) - math.log1p(math.exp(0.5 * log_tau))
    return math.log(4.0) + 4.0 * math.log(kappa) - 2.0 * log_gap + k * log_tau


def _between(
    residuals: list[np.ndarray], steps: list[tuple[float, float]], y: np.ndarray, r: np.ndarray, eps: float
) -> tuple[np.ndarray, float] | None:
    """Look for negative curvature between the last iterate and an earlier one, rebuilt from what was stored.

    With ``r_i = g + A y_i`` the curvature along ``y - y_i`` is ``(y - y_i).(r - r_i)``: no product is spent.
    """
    iterate, p = np.zeros_like(y), -residuals[0]
    for residual, (length, growth), following in zip(residuals, steps, residuals[1:], strict=False):
        step = y - iterate
        square, curvature = float(step @ step), float(step @ (r - residual))
        if square > 0.0 and curvature < eps * square:
            return step, curvature - 2.0 * eps * square
        iterate = iterate + length * p
        p = growth * p - following
    return None


def _fallback(
    y: np.ndarray, r: np.ndarray, gradient: np.ndarray, eps: float, status: str, products: int
) -> CappedDirection:
    """Take the iterate there is; with none, follow the gradient as far as a linear model can tell: not at all far."""
    if not np.any(y):
        return CappedDirection(-gradient, 0.0, status, products)
    return CappedDirection(y, float(y @ (r - gradient)) - 2.0 * eps * float(y @ y), status, products)


class NewtonCG(Method):
    """Searches along the direction of :func:`capped_cg`.

    References
    ----------
    C. W. Royer, M. O'Neill and S. J. Wright, Math. Program. 180 (2020) 451-488, algorithm 3.
    """

    name = "newton-cg"

    def __init__(self, options: Options) -> None:
        super().__init__(options, StepLength())

    def model(self, point: Point) -> LineModel:
        """Find a direction at a point.

        One of negative curvature gets a length that has to be learnt; the source scales it by its curvature, which
        assumes a unit for third derivatives.
        """
        tolerance = self.tolerance(point)
        # Not below rounding, at which curvature has no sign.
        rounding = 10.0 * float(np.finfo(point.x.dtype).eps)
        damping = max(rounding, DAMPING * min(1.0, point.gradient_norm / self._largest_norm))
        direction = capped_cg(point.product, point.gradient, damping, tolerance, self.cg_limit(point))
        vector, curvature = direction.vector, point.gradient_norm * direction.curvature
        has_length = curvature > 0.0
        if not has_length:
            scale = unit_length(point) / norm(vector)
            vector, curvature = scale * vector, scale * (scale * curvature)
        slope = float(point.gradient @ vector)
        if slope > 0.0:
            vector, slope = -vector, -slope
        return LineModel(vector, slope, curvature, direction.status, has_length, direction.products)

    def escape(self, point: Point, curvature: Curvature) -> LineModel:
        """Search along negative curvature."""
        return line_escape(point, curvature)
