"""Newton's method with a line search: a symmetric indefinite factorisation, its inertia corrected by a shift."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from hessian.linalg.dense import symmetrized
from hessian.linalg.ldl import Factorization
from hessian.linalg.vectors import norm
from hessian.optimize.bounds import StepLength, unit_length
from hessian.optimize.local_model import LineModel
from hessian.optimize.method import Method, line_escape
from hessian.optimize.objective import Point
from hessian.optimize.optimality import Curvature
from hessian.optimize.options import Options

FIRST_SHIFT, FIRST_GROWTH, GROWTH, DECAY = 1e-4, 100.0, 8.0, 1.0 / 3.0
"""Shifts relative to the largest diagonal entry or off-diagonal row of H: the first ever, its growth until one works, later
growth, and the share of the last one to begin with at the next point. Wächter and Biegler's."""
MOST_SHIFTS = 60
SHORTENINGS = 3
"""Factorisations spent on a direction that is longer than steps have proved to be good for."""


def along_gradient(point: Point) -> LineModel:
    """Return the model along the gradient, where the Hessian is not finite."""
    length = unit_length(point) / point.gradient_norm
    slope = -(length * point.gradient_norm) * point.gradient_norm
    return LineModel(-length * point.gradient, slope, 0.0, "not-finite", False)


class Newton(Method):
    """Solves ``(H + tau I) d = -g``, tau zero where H is positive definite, and searches along d.

    Where the factorisation shows eigenvalues that are not positive, a shift is raised until it shows none: H is computed
    once and factored again. The last shift is remembered, and a third of it tried first at the next point. The shift also keeps
    directions from being longer than steps have proved to be good for: a direction of a nearly singular Hessian is not only
    too long, it is the wrong one.

    References
    ----------
    A. Wächter and L. T. Biegler, Math. Program. 106 (2006) 25-57, algorithm IC. J. R. Bunch and L. Kaufman, Math. Comp.
    31 (1977) 163-179.
    """

    name = "newton"
    is_dense = True
    shortenings = SHORTENINGS
    bound: StepLength

    def __init__(self, options: Options) -> None:
        super().__init__(options, StepLength())
        self._shift = 0.0

    def model(self, point: Point) -> LineModel:
        """Factor the Hessian and take the Newton direction; where H is not finite, that of the gradient."""
        hessian = point.dense()
        gradient = point.gradient.astype(np.float64)
        if not np.all(np.isfinite(hessian)):
            return along_gradient(point)
        symmetric = symmetrized(hessian)
        direction, shift = self._solve(symmetric, gradient, point)
        curvature = float(direction @ (symmetric @ direction))
        status = "shifted" if shift else "newton"
        return LineModel(direction.astype(point.x.dtype), float(gradient @ direction), curvature, status, not shift)

    def escape(self, point: Point, curvature: Curvature) -> LineModel:
        """Search along negative curvature."""
        return line_escape(point, curvature)

    def _solve(self, matrix: np.ndarray, gradient: np.ndarray, point: Point) -> tuple[np.ndarray, float]:
        """Raise the shift until the inertia is right; return direction and shift."""
        # Divided by a power of two near its largest entry, sums of entries do not overflow and no digit changes.
        size = math.ldexp(1.0, math.frexp(float(np.max(np.abs(matrix))))[1] - 1) or 1.0
        matrix, gradient = matrix / size, gradient / size
        scale = float(np.max(np.abs(matrix).sum(axis=1))) or 1.0
        floor = matrix.shape[0] * float(np.finfo(point.x.dtype).eps) * scale
        return self._shifted(lambda shift: self._factored(matrix, shift, point), gradient, scale, floor, point)

    def _shifted(
        self, factored: Callable[[float], Any], gradient: np.ndarray, scale: float, floor: float, point: Point
    ) -> tuple[np.ndarray, float]:
        """Do so with factorisations by shift; pivots above the floor are positive, the scale is that of the matrix."""
        shift = 0.0
        for trial in range(MOST_SHIFTS):
            factors = factored(shift)
            if self._is_good(factors, floor):
                break
            if trial == 0:
                shift = max(DECAY * self._shift, FIRST_SHIFT * scale if self._shift == 0.0 else floor)
            else:
                shift *= FIRST_GROWTH if self._shift == 0.0 else GROWTH
        self._shift = shift or self._shift
        direction = factors.solve(-gradient)
        if self.bound.reach == math.inf:
            self.bound.reach = unit_length(point) if shift else norm(direction)
        for _ in range(self.shortenings):
            length = norm(direction)
            if length <= 1.1 * self.bound.reach:
                break
            # One step of Newton's method on 1 / |d| - 1 / reach, which never overshoots.
            unit = direction / length
            shift += (length - self.bound.reach) / self.bound.reach / float(unit @ factors.solve(unit))
            factors = factored(shift)
            direction = factors.solve(-gradient)
        return direction, shift

    def _is_good(self, factors: Any, floor: float) -> bool:
        """Whether factors are those of a positive definite matrix."""
        return bool(np.all(factors.values > floor))

    def _factored(self, matrix: np.ndarray, shift: float, point: Point) -> Factorization:
        point.counters.n_factor += 1
        return Factorization(matrix + shift * np.eye(len(matrix)) if shift else matrix)

    def state(self) -> dict[str, float]:
        """Add the last shift."""
        return {**super().state(), "shift": self._shift}

    def restore(self, state: dict[str, float]) -> None:
        """Take over a state."""
        super().restore(state)
        self._shift = state["shift"]
