"""Levenberg-Marquardt on sparse factors: the normal matrix in scaled variables, shifted until steps fit the radius."""

from __future__ import annotations

import math
from typing import Any, NoReturn

import numpy as np
from scipy.sparse import csc_array

from hessian.errors import TooDenseError, message
from hessian.linalg import limits
from hessian.linalg.factor import Factor, Plan
from hessian.linalg.factoring import analyse, factor, with_diagonal
from hessian.linalg.sums import SymmetricSum
from hessian.linalg.vectors import norm
from hessian.optimize.gauss_newton_cg import ScaledPath
from hessian.optimize.levenberg_marquardt import ScaledMethod
from hessian.optimize.residuals import ResidualPoint
from hessian.optimize.shifted import ShiftedModel


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
