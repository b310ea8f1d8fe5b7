"""Methods on sparse factors: what the exact trust region, Newton's method and cubic regularisation do with large sparse Hessians."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from hessian.linalg.factor import Factor
from hessian.optimize.bounds import TrustRadius
from hessian.optimize.factors import Factors
from hessian.optimize.krylov import CGPath, steihaug_toint
from hessian.optimize.local_model import LineModel, LocalModel
from hessian.optimize.method import ETA_OF_FACTORS, Method
from hessian.optimize.newton import Newton, along_gradient
from hessian.optimize.objective import ObjectivePoint, Point
from hessian.optimize.options import Options
from hessian.optimize.precondition import CollectedPairs
from hessian.optimize.shifted import CubicShiftedModel, ShiftedModel, StraightModel
from hessian.optimize.spectral import CubicModel, SpectralModel
from hessian.optimize.trust_krylov import Arc
from hessian.optimize.trust_ncg import TrustNCG

LOOK_AFTER = 100
"""Products after which a run looks whether the Hessian is sparse: finding its pattern takes about as long."""
LONG_MODEL = 20
"""Products of a single model after which it does so at once: the next models ask for smaller residuals, and take more."""
FILLED_MODEL = 300
"""Products of a single model from which on a factorisation with fill costs less: on grids of 5e4 variables it takes what 300 do."""
NEAR, FAR = 4, 8
"""Powers of the Hessian whose neighbourhoods are compared."""
SPREADING = 3.0
"""How many times as many variables are within twice as many steps, from which on a pattern is like that of a grid, or worse: twice as
many in chains, four times in grids, eight times in those of three dimensions."""


def shifted_model(point: Point, kind: type[ShiftedModel] = StraightModel) -> ShiftedModel | SpectralModel:
    """Build the model of the sparse Hessian at a point; where that is not finite, a linear one along the gradient."""
    matrix = point.sparse()
    if matrix.is_finite:
        return kind(matrix, point.gradient, point.factored)
    size, dtype = point.gradient_norm, point.x.dtype
    along = point.gradient / size
    eps = float(np.finfo(dtype).eps)
    return SpectralModel(np.zeros(1), np.array([size]), lambda y: np.asarray(y[0] * along).astype(dtype), eps)


def spreads(point: Point) -> bool:
    """Tell by eight products whether the neighbourhood of a variable grows like a grid's, whose factors fill in."""
    n, sizes = point.x.size, []
    rng, direction = np.random.default_rng(0), np.zeros(n, point.x.dtype)
    direction[n // 3] = 1.0
    for _ in range(FAR):
        reached = point.product(direction) != 0.0
        sizes.append(int(np.count_nonzero(reached)))
        direction = np.where(reached, rng.standard_normal(n), 0.0).astype(point.x.dtype)
    # Where all are reached, there is a hub, or nothing is sparse.
    return SPREADING * sizes[NEAR - 1] < sizes[FAR - 1] < n // 2


class SparseTrustExact(Method):
    """The exact trust region with a :class:`~hessian.optimize.shifted.StraightModel` at every accepted point."""

    name = "trust-exact"
    least_ratio = ETA_OF_FACTORS

    def __init__(self, options: Options) -> None:
        super().__init__(options, TrustRadius(options.initial_radius, options.max_radius))

    def model(self, point: Point) -> LocalModel:
        """Model at a point."""
        return shifted_model(point)


class SparseArc(Arc):
    """Adaptive regularisation by cubics, minimised exactly by shifted factorisations instead of on a Krylov space."""

    def model(self, point: Point) -> Any:
        """Model at a point."""
        model = shifted_model(point, ShiftedModel)
        return CubicShiftedModel(model) if isinstance(model, ShiftedModel) else CubicModel(model)


class SparseNewton(Newton):
    """Newton's method with a line search, its shifts by sparse factors: as few as are needed, for they are what a step costs."""

    is_dense = False
    least_ratio = ETA_OF_FACTORS
    shortenings = 0

    def model(self, point: Point) -> LineModel:
        """Factor the Hessian and take the Newton direction; where H is not finite, that of the gradient."""
        matrix = point.sparse()
        if not matrix.is_finite:
            return along_gradient(point)
        gradient = point.gradient.astype(np.float64)
        scale = matrix.size or 1.0
        floor = matrix.order * float(np.finfo(point.x.dtype).eps) * scale
        direction, shift = self._shifted(point.factored, gradient, scale, floor, point)
        curvature = float(direction @ (matrix @ direction))
        status = "shifted" if shift else "newton"
        return LineModel(direction.astype(point.x.dtype), float(gradient @ direction), curvature, status, not shift)

    def _is_good(self, factors: Any, floor: float) -> bool:
        assert isinstance(factors, Factor)
        return factors.is_definite and factors.least_pivot > floor


class Adaptive(TrustNCG):
    """Truncated Newton that looks for a sparse Hessian once that is worth it, and then goes on with its factors.

    Until then conjugate gradients run as they are; from then on with a preconditioner of pairs where the Hessian is not sparse.
    It looks once a model has taken tens of products, or all together a hundred; where eight products show that factors would fill in,
    once a model has taken as many as such a factorisation costs. What is decided depends on counts alone, and between two models: a run
    without a sparse Hessian is that of trust-ncg.
    """

    def __init__(self, options: Options, factors: Factors) -> None:
        super().__init__(options, CollectedPairs())
        self._factors = factors
        self._has_asked = self._has_looked = self._spreads = False
        self._is_sparse = self._is_cheap = False
        self._spent = self._after = 0

    @property
    def name(self) -> str:  # type: ignore[override]
        """The method that it is by now."""
        return SparseTrustExact.name if self._factors.is_on else TrustNCG.name

    @property
    def least_ratio(self) -> float:  # type: ignore[override]
        """That of the method that it is by now."""
        return SparseTrustExact.least_ratio if self._factors.is_on else TrustNCG.least_ratio

    @property
    def note(self) -> str:  # type: ignore[override]
        """What has been decided."""
        if not self._factors.is_on:
            return ""
        return f"(After {self._after} products it went on with {self._factors.text()}.)"

    def model(self, point: Point) -> LocalModel:  # type: ignore[override]
        """Model at a point."""
        if not self._factors.is_on and isinstance(point, ObjectivePoint):
            self._consider(point)
        if point.is_factored:
            return shifted_model(point)
        path = self._truncated(point)
        self._spent = path.products
        return path

    def _truncated(self, point: Point) -> CGPath:
        if self._has_asked:
            return super().model(point)
        tolerance = self.tolerance(point)
        return steihaug_toint(point.product, point.gradient, self.bound.value, tolerance, self.cg_limit(point))

    def _consider(self, point: ObjectivePoint) -> None:
        """Decide whether to look, and whether to go on with factors."""
        if not self._has_asked:
            if self._spent < LONG_MODEL and point.counters.n_hvp < LOOK_AFTER:
                return
            self._has_asked, self._spreads = True, spreads(point)
        if not self._has_looked and (self._spent >= FILLED_MODEL or not self._spreads):
            self._has_looked = True
            self._is_sparse = point.looks_sparse(self._factors)
            self._is_cheap = self._is_sparse and self._factors.is_cheap()
        if self._is_cheap or (self._is_sparse and self._spent >= FILLED_MODEL):
            self._factors.is_on = True
            # The radius was that of paths that were cut short.
            self.bound.value = math.inf
            self._after = point.counters.n_hvp

    def state(self) -> dict[str, Any]:
        """Add what was decided."""
        return {
            **super().state(),
            "has_asked": self._has_asked,
            "spreads": self._spreads,
            "has_looked": self._has_looked,
            "spent": self._spent,
            "after": self._after,
            "is_sparse": self._is_sparse,
            "is_cheap": self._is_cheap,
            "factors": self._factors.state(),
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Take over a state."""
        super().restore(state)
        self._has_asked, self._spreads = state["has_asked"], state["spreads"]
        self._has_looked, self._spent, self._after = state["has_looked"], state["spent"], state["after"]
        self._is_sparse, self._is_cheap = state["is_sparse"], state["is_cheap"]
        self._factors.restore(state["factors"])
