"""Line-search truncated Newton with capped conjugate gradients and negative-curvature steps."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from hessian.linalg import limits
from hessian.linalg.cg import ConjugateGradients, Product, run
from hessian.linalg.vectors import norm
from hessian.optimize.bounds import StepLength, unit_length
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
    product: Product, gradient: np.ndarray, damping: float, tolerance: float, max_hvp: int
) -> CappedDirection:
    """Run conjugate gradients on ``(H + 2 eps I) d = -g``, eps the damping relative to ``|H|``, or find negative curvature.

    Curvature below ``eps |v|^2`` of the damped matrix, which is below ``-eps |v|^2`` of H, is looked for along every
    direction and every iterate. Where H has none of it, the residual falls at the rate of a condition number of
    ``(|H| + 2 eps) / eps``; a residual that falls more slowly betrays negative curvature between two iterates.

    The tolerance is a bound on the residual of the damped system.

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
    search = _Search(lambda p: product(p) / scale, gradient / scale, damping, tolerance / scale)
    cg = ConjugateGradients(gradient / scale)
    status = run(cg, search.product, max_hvp, search.at_direction, search.at_iterate)
    # A residual whose square is nothing has long been small.
    status = {"limit": "cg-limit", "solved": "converged"}.get(status, status)
    if search.negative is not None:
        return CappedDirection(*search.negative, status, cg.products)
    if not np.any(cg.iterate):
        # The gradient is followed as far as a linear model can tell: not at all far.
        return CappedDirection(-gradient / scale, 0.0, status, cg.products)
    return CappedDirection(cg.iterate, search.along_iterate(cg), status, cg.products)


class _Search:
    """What conjugate gradients on ``A = H + 2 eps I`` are asked: whether negative curvature shows, and where."""

    def __init__(self, product: Product, gradient: np.ndarray, damping: float, tolerance: float) -> None:
        self._product, self._gradient, self._damping, self._tolerance = product, gradient, damping, tolerance
        self._eps = self._largest = self._square = 0.0
        self._residuals: list[np.ndarray] = [gradient]
        self._steps: list[tuple[float, float]] = []
        self._limit = max(2, limits.RESIDUAL_NUMBERS // gradient.size)
        #: The direction found, and its curvature.
        self.negative: tuple[np.ndarray, float] | None = None

    def product(self, p: np.ndarray) -> np.ndarray:
        """Multiply with A; the first product sets eps."""
        image = self._product(p)
        length = norm(p)
        self._square, largest = length**2, norm(image) / length
        if math.isfinite(largest):
            self._largest = max(self._largest, largest)
            self._eps = self._eps or self._damping * self._largest
        return image + 2.0 * self._eps * p

    def at_direction(self, cg: ConjugateGradients) -> str | None:
        """Look along a direction."""
        if not math.isfinite(cg.curvature):
            return "not-finite"
        if cg.curvature <= self._eps * self._square:
            return self._take(cg.direction, cg.curvature, self._square)
        return None

    def at_iterate(self, cg: ConjugateGradients) -> str | None:
        """Look along an iterate and, where the residual falls too slowly, between it and those before."""
        y, r = cg.iterate, cg.residual
        # A y is r - g: the curvature along an iterate costs no product.
        square, along = float(y @ y), float(y @ (r - self._gradient))
        if along < self._eps * square:
            return self._take(y, along, square)
        left = norm(r)
        if left <= self._tolerance:
            return "converged"
        is_slow = self._eps > 0.0 and 2.0 * math.log(left) > _log_bound(self._largest, self._eps, cg.products)
        if is_slow and self._between(y, r):
            return "negative-curvature"
        if len(self._residuals) < self._limit:
            self._residuals.append(r)
            self._steps.append((cg.length, left**2 / cg.slope))
        return None

    def along_iterate(self, cg: ConjugateGradients) -> float:
        """Curvature of H along the iterate."""
        y = cg.iterate
        return float(y @ (cg.residual - self._gradient)) - 2.0 * self._eps * float(y @ y)

    def _take(self, vector: np.ndarray, curvature: float, square: float) -> str:
        """Keep a direction of negative curvature, given that of A."""
        self.negative = vector, curvature - 2.0 * self._eps * square
        return "negative-curvature"

    def _between(self, y: np.ndarray, r: np.ndarray) -> bool:
        """Look for negative curvature between the last iterate and an earlier one, rebuilt from what was stored.

        With ``r_i = g + A y_i`` the curvature along ``y - y_i`` is ``(y - y_i).(r - r_i)``: no product is spent.
        """
        residuals = self._residuals
        iterate, p = np.zeros_like(y), -residuals[0]
        for residual, (length, growth), following in zip(residuals, self._steps, residuals[1:], strict=False):
            step = y - iterate
            square, curvature = float(step @ step), float(step @ (r - residual))
            if square > 0.0 and curvature < self._eps * square:
                self._take(step, curvature, square)
                return True
            iterate = iterate + length * p
            p = growth * p - following
        return False


def _log_bound(largest: float, eps: float, k: int) -> float:
    """Logarithm of ``T tau^k``, which ``|r_k|^2 / |g|^2`` obeys where the damped matrix is at least eps."""
    kappa = (largest + 2.0 * eps) / eps
    root = math.sqrt(kappa)
    log_tau = -math.log1p(1.0 / root)
    # 1 - sqrt(tau) = (1 - tau) / (1 + sqrt(tau)), and 1 - tau = 1 / (root + 1): nothing cancels.
    log_gap = -math.log1p(root) - math.log1p(math.exp(0.5 * log_tau))
    return math.log(4.0) + 4.0 * math.log(kappa) - 2.0 * log_gap + k * log_tau


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
