"""Sparse definite matrices by CHOLMOD, where scikit-sparse is installed (the extra ``hessian[sparse]``)."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Any

import numpy as np
from scipy.sparse import csc_matrix

from hessian.linalg.factor import Factor, FactorStatus, Failed, Plan


def is_installed() -> bool:
    """Whether scikit-sparse can be imported."""
    try:
        return find_spec("sksparse.cholmod") is not None
    except (ModuleNotFoundError, ValueError):
        return False


class CholmodPlan(Plan):
    """CHOLMOD's analysis of a pattern.

    Parameters
    ----------
    matrix : csc_array
        Symmetric.

    References
    ----------
    Y. Chen, T. A. Davis, W. W. Hager and S. Rajamanickam, "Algorithm 887: CHOLMOD", ACM TOMS 35 (2008).
    """

    kind = "cholmod"

    def __init__(self, matrix: Any) -> None:
        from sksparse import cholmod

        self._failures = (cholmod.CholmodNotPositiveDefiniteError,)
        self.order, self.fill = matrix.shape[0], 4 * matrix.nnz
        self._analysis = cholmod.analyze(csc_matrix(matrix, dtype=np.float64))

    def factor(self, matrix: Any, shift: float = 0.0, *, definite: bool = False) -> Factor:
        """Factor ``matrix + shift I``; the inertia of one that is not definite is not known."""
        if not np.isfinite(matrix.data).all():
            return Failed(self.order, self.kind, FactorStatus.NOT_FINITE)
        try:
            factor = self._analysis.cholesky(csc_matrix(matrix, dtype=np.float64), shift)
            pivots = np.asarray(factor.D())
        except self._failures:
            return Failed(self.order, self.kind, FactorStatus.NOT_DEFINITE)
        if not pivots.min() > 0.0:
            return Failed(self.order, self.kind, FactorStatus.NOT_DEFINITE)
        return CholmodFactor(factor, pivots)


class CholmodFactor(Factor):
    """CHOLMOD's factor."""

    kind = "cholmod"

    def __init__(self, factor: Any, pivots: np.ndarray) -> None:
        super().__init__(len(pivots), FactorStatus.DEFINITE, (len(pivots), 0, 0))
        self._factor, self.least_pivot = factor, float(pivots.min())

    def _solve(self, b: np.ndarray) -> np.ndarray:
        return np.asarray(self._factor.solve_A(b))

    def _logdet(self) -> float:
        return float(self._factor.logdet())

    def _spread(self, z: np.ndarray) -> np.ndarray:
        return np.asarray(self._factor.apply_Pt(self._factor.solve_Lt(z, use_LDLt_decomposition=False)))
