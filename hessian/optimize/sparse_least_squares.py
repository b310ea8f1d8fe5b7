"""Levenberg-Marquardt on sparse factors: the normal matrix in scaled variables, shifted until steps fit the radius; and when to take it."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NoReturn

import numpy as np
from scipy.sparse import csc_array

from hessian.errors import TooDenseError, message
from hessian.linalg import limits
from hessian.linalg.factor import Factor, Plan
from hessian.linalg.factoring import analyse, factor, with_diagonal
from hessian.linalg.sums import SymmetricSum
from hessian.linalg.vectors import norm
from hessian.optimize.gauss_newton_cg import GaussNewtonCG, ScaledPath
from hessian.optimize.levenberg_marquardt import ScaledMethod
from hessian.optimize.local_model import LocalModel
from hessian.optimize.objective import FAILURES, Point
from hessian.optimize.residuals import ResidualPoint, Residuals
from hessian.optimize.shifted import ShiftedModel
from hessian.optimize.sparse_methods import FILLED_MODEL, LONG_MODEL, LOOK_AFTER


def refuse_dense(point: ResidualPoint) -> None:
    """Refuse a Jacobian, or a normal matrix, most of whose numbers are entries."""
    jacobian, n = point.sparse_jacobian, point.x.size
    if n <= limits.STEP_ORDER:
        return
    product = "product of the Jacobian with itself"
    if limits.DENSE_SHARE * jacobian.nnz > jacobian.shape[0] * n:
        _refuse(point, "Jacobian", jacobian.shape, jacobian.nnz)
    longest = int(np.bincount(jacobian.indices, minlength=1).max())
    # A row of the Jacobian is a block of the product, which need not fit in memory.
    entries = longest**2 if limits.DENSE_SHARE * longest**2 > n * n else (jacobian.T @ jacobian).nnz
    if limits.DENSE_SHARE * entries > n * n:
        _refuse(point, product, (n, n), entries)


def _refuse(point: ResidualPoint, what: str, shape: tuple[int, ...], entries: int) -> NoReturn:
    because = point.operator.makes_dense()
    said = f"the {what}, shape {shape}, has {entries} entries: {because} makes it dense"
    fix = "Leave structure out, or pass structure='operator', which multiplies with it"
    raise TooDenseError(message("least_squares", said, "Factors of it take n^3 operations", fix))


class SparseLevenbergMarquardt(ScaledMethod):
    """Minimises the Gauss-Newton model within ``|D s| <= radius`` by sparse factors of ``D^-1 J' W J D^-1``.

    The product of the Jacobian with itself is formed, and with it half of the digits of an ill-conditioned problem are lost; the dense
    method keeps them.
    """

    name = "lm"

    def __init__(self, options: Any, fixed: np.ndarray | None) -> None:
        super().__init__(options, fixed)
        self._plans: dict[bool, tuple[csc_array, Plan]] = {}

    def scaled_model(self, point: ResidualPoint, scale: np.ndarray) -> ScaledPath:
        """Factor the Gauss-Newton matrix at a point."""
        if not self._plans:
            refuse_dense(point)
        return self._model(point.sparse_normal(point.weights.model, 1.0 / scale), point, scale, False)

    def exact_model(self, point: ResidualPoint, scale: np.ndarray) -> ScaledPath:
        """Factor the exact Hessian at a point; where it is not finite, the Gauss-Newton matrix."""
        units = 1.0 / scale
        curvature = point.sparse_curvature().multiply(units[:, None]).multiply(units)
        matrix = csc_array(point.sparse_normal(point.weights.bends, units) + curvature)
        if not np.isfinite(matrix.data).all():
            return self.scaled_model(point, scale)
        return self._model(matrix, point, scale, True)

    def _model(self, matrix: csc_array, point: ResidualPoint, scale: np.ndarray, is_exact: bool) -> ScaledPath:
        matrix = with_diagonal(matrix)
        known = self._plans.get(is_exact)
        if known is None or not same_pattern(known[0], matrix):
            known = self._plans[is_exact] = matrix, analyse(matrix)

        def factored(shift: float) -> Factor:
            point.counters.n_factor += 1
            return known[1].factor(matrix, shift, definite=True)

        gradient = point.gradient.astype(np.float64) / scale
        return ScaledPath(ShiftedModel(SymmetricSum(matrix), gradient, factored), scale, point.x.dtype)


class AdaptiveGaussNewton(GaussNewtonCG):
    """Gauss-Newton by conjugate gradients that looks for a sparse Jacobian once that is worth it, and then goes on with sparse factors.

    It looks once a model has taken tens of products, or all together a hundred. What is decided depends on counts alone: a run without
    a sparse Jacobian is that of gauss-newton-cg, but for a model that is built a second time.
    """

    def __init__(self, options: Any, fixed: np.ndarray | None, objective: Residuals) -> None:
        super().__init__(options, fixed)
        self._objective, self._factors = objective, SparseLevenbergMarquardt(options, fixed)
        self._has_looked = False
        self._plan: Plan | None = None
        self._spent = 0

    def model(self, point: Point) -> LocalModel:
        """Model at a point."""
        assert isinstance(point, ResidualPoint)
        if not self._objective.is_sparse:
            self._consider(point)
        return super().model(point)

    def scaled_model(self, point: ResidualPoint, scale: np.ndarray) -> ScaledPath:
        """Gauss-Newton model at a point, by products or by factors."""
        return self._looking(lambda way: way.scaled_model(point, scale), point)

    def exact_model(self, point: ResidualPoint, scale: np.ndarray) -> ScaledPath:
        """Model with the exact Hessian at a point, by products or by factors."""
        return self._looking(lambda way: way.exact_model(point, scale), point)

    def cg_limit(self, point: Point) -> int:
        """Products the next model may spend: no more than it takes to look, until it has looked."""
        most = super().cg_limit(point)
        return most if self._has_looked else min(most, LOOK_AFTER)

    def _looking(self, build: Callable[[Any], ScaledPath], point: ResidualPoint) -> ScaledPath:
        """Return a model; one that is cut short to look is built again."""
        path = build(self._factors if self._objective.is_sparse else super())
        self._spent = path.products
        if not self._has_looked and path.products >= LOOK_AFTER:
            self._consider(point)
            path = build(self._factors if self._objective.is_sparse else super())
            self._spent = path.products
        return path

    def _consider(self, point: ResidualPoint) -> None:
        """Decide whether to look, and whether to go on with factors."""
        if not self._has_looked:
            if self._spent < LONG_MODEL and point.counters.n_hvp < LOOK_AFTER:
                return
            self._has_looked = True
            self._plan = _worthwhile(point)
        if self._plan is None or (self._plan.kind not in _NARROW and self._spent < FILLED_MODEL):
            return
        self._objective.is_sparse = True
        point.forget_estimates()
        # The radius was that of paths that were cut short.
        self.bound.value = math.inf
        entries = f"{point.sparse_jacobian.nnz} entries, factors {self._plan.kind}"
        self.note = f"(After {point.counters.n_hvp} products it went on with a sparse Jacobian of {entries}.)"
        self.name = SparseLevenbergMarquardt.name

    def state(self) -> dict[str, Any]:
        """Add what was decided."""
        own = {"has_looked": self._has_looked, "spent": self._spent, "is_sparse": self._objective.is_sparse}
        return {**super().state(), **own, "note": self.note, "is_found": self._plan is not None}

    def restore(self, state: dict[str, Any]) -> None:
        """Take over a state."""
        super().restore(state)
        # A plan that was made before is made again where it is asked for.
        self._has_looked, self._spent = state["has_looked"] and not state["is_found"], state["spent"]
        self._objective.is_sparse, self.note = state["is_sparse"], state["note"]
        self.name = SparseLevenbergMarquardt.name if state["is_sparse"] else GaussNewtonCG.name


_NARROW = ("diagonal", "banded", "bordered", "dense")
"""Factors that cost what tens of products do."""


def _worthwhile(point: ResidualPoint) -> Plan | None:
    """Return how the Gauss-Newton matrix would be factored, where the Jacobian takes few products and few of its numbers are entries."""
    n = point.x.size
    try:
        if point.operator.few_products(min(limits.FACTOR_COLORS, n // limits.SPARSE_SHARE)) is None:
            return None
        jacobian = point.sparse_jacobian
    except FAILURES:
        return None
    lengths = np.bincount(jacobian.indices, minlength=jacobian.shape[0]).astype(np.float64)
    if limits.SPARSE_SHARE * float(lengths @ lengths) > float(n) * n or not np.isfinite(jacobian.data).all():
        return None
    return analyse(with_diagonal(point.sparse_normal(np.ones(len(lengths)), np.ones(n))))


def same_pattern(a: csc_array, b: csc_array) -> bool:
    """Whether two matrices have the same entries."""
    return np.array_equal(a.indptr, b.indptr) and np.array_equal(a.indices, b.indices)


def standard_errors(point: ResidualPoint) -> np.ndarray:
    """Return the square roots of the diagonal of ``s^2 (J' J)^-1``; NaN where that has no inverse to working precision, or m <= n."""
    m, n = point.sparse_jacobian.shape
    if m <= n:
        return np.full(n, math.nan)
    # In units in which the columns have length 1.
    units = 1.0 / point.scale
    found = factor(with_diagonal(point.sparse_normal(np.ones(m), units)), definite=True)
    if not found.is_definite:
        return np.full(n, math.nan)
    variances = found.inverse_diagonal()
    return np.asarray(norm(point.residuals) / math.sqrt(m - n) * np.sqrt(variances) * units)
