"""Truncated Newton: trust-region steps by conjugate gradients on Hessian-vector products."""

from __future__ import annotations

import math

import numpy as np
import scipy.linalg

from hessian.optimize.krylov import Path, lanczos_lowest, ray, steihaug_toint
from hessian.optimize.objective import Point
from hessian.optimize.optimality import Curvature, Definiteness, judge
from hessian.optimize.options import Options

DENSE_CHECK = 64
"""Up to this many variables the second-order check takes the whole Hessian: one batched sweep, and certain."""
LANCZOS_STEPS = 40
"""Products, and vectors kept, for the check beyond that."""
LANCZOS_NUMBERS = 2**27
"""Numbers kept at most for it (1 GiB in float64), though never fewer than five vectors."""


class TruncatedNewton:
    """Builds a :class:`~hessian.optimize.krylov.Path` at every accepted point.

    The linear system is solved no better than it pays (Dembo and Steihaug 1983): up to ``|g + H s| <= eta |g|`` with
    the forcing term ``eta = min(1/2, sqrt(|g| / max |g|))``, the largest gradient met so far below the root.
    Convergence is superlinear (order 3/2), and unlike SciPy's ``sqrt(|g|)`` the term does not change when the objective
    is multiplied by a constant. A residual below gtol / 2 is never asked for: the next gradient would be small enough
    anyway.
    """

    name = "truncated-newton"

    def __init__(self, options: Options) -> None:
        self._options = options
        self._largest_norm = 0.0

    def model(self, point: Point, radius: float) -> Path:
        """Run CG at a point, within what is left of the budget of products."""
        size = point.gradient_norm
        self._largest_norm = max(self._largest_norm, size)
        eta = min(0.5, math.sqrt(size / self._largest_norm))
        tolerance = max(eta * size, 0.5 * self._options.gtol)
        limit = min(self._options.max_cg or 2 * point.x.size + 10, self._left(point))
        return steihaug_toint(point.product, point.gradient, radius, tolerance, limit)

    def curvature(self, point: Point) -> Curvature:
        """Look for negative curvature, with the whole Hessian if it is small, else with a few Lanczos steps."""
        if point.x.size <= DENSE_CHECK:
            return self._dense_curvature(point)
        steps = min(LANCZOS_STEPS, max(5, LANCZOS_NUMBERS // point.x.size), self._left(point))
        if steps < 1:
            return Curvature(math.nan, Definiteness.UNDECIDED)
        start = np.random.default_rng(self._options.seed).standard_normal(point.x.size).astype(point.x.dtype)
        pair = lanczos_lowest(point.product, start, steps)
        return _verdict(point, pair.value, pair.vector, pair.scale, pair.is_certain)

    def is_spent(self, point: Point) -> bool:
        """Whether the budget of products is used up."""
        return self._left(point) <= 0

    def _dense_curvature(self, point: Point) -> Curvature:
        """Smallest eigenpair of the dense Hessian."""
        hessian = point.dense()
        if not np.all(np.isfinite(hessian)):
            return Curvature(math.nan, Definiteness.UNDECIDED)
        point.counters.n_factor += 1
        values, vectors = scipy.linalg.eigh(0.5 * (hessian + hessian.T), driver="evd")
        return _verdict(point, float(values[0]), vectors[:, 0], float(np.max(np.abs(values))), True)

    def _left(self, point: Point) -> int:
        """Products left in the budget."""
        return self._options.max_hvp - point.counters.n_hvp


def _verdict(point: Point, smallest: float, vector: np.ndarray, scale: float, is_certain: bool) -> Curvature:
    """Grade an eigenpair, and follow its vector when it is a direction of negative curvature."""
    definiteness = judge(smallest, scale, point.x.dtype, is_certain)
    if definiteness is not Definiteness.NEGATIVE:
        return Curvature(smallest, definiteness)
    return Curvature(smallest, definiteness, ray(vector, point.gradient, smallest))
