"""Factors of sparse matrices plus low rank whose sparse part alone may be singular or indefinite."""

from __future__ import annotations

import math

import numpy as np
import scipy.linalg
from scipy.sparse import csc_array

from hessian.linalg import limits
from hessian.linalg.factor import Factor, FactorStatus, Failed, Plan, unit
from hessian.linalg.low_rank import LowRankFactor
from hessian.linalg.sums import SymmetricSum
from hessian.linalg.vectors import norm

ROUNDS = 4
"""Times that weak rows are strengthened and S is factored again."""
NEARLY = 1e-12
"""Multiple of the identity, beside the rows of S, with which a matrix that is exactly singular shows where."""
REFINEMENTS = 4
"""Times that a solution is refined: each leaves of an error the share that rounding is of what is of low rank beside S."""
_REFINED = 16.0
"""Units of rounding up to which a backward error is left as it is."""
ROUNDING = 1e3
"""Units of rounding up to which the backward error of a solution is at rounding level."""
_EPS = float(np.finfo(np.float64).eps)


def factor_sum(plan: Plan, matrix: SymmetricSum, shift: float = 0.0, *, definite: bool = False) -> Factor:
    r"""Factor ``S + V s V' + shift I`` by a factor of ``S + shift I``, whatever the signs of its eigenvalues.

    Rows at which the elimination of S meets next to nothing get a number more on the diagonal, :math:`\gamma e e^T`, which is taken
    away again among the columns of low rank. The inertia is that of the bordered matrix (Haynsworth), and said where a solution has a
    backward error at rounding level.

    Parameters
    ----------
    plan : Plan
        Of matrices with the pattern of S.
    matrix : SymmetricSum
    shift : float
    definite : bool
        Whether only definite matrices are of use.

    Notes
    -----
    Cost: a factorisation of S, r solves and products of order n r^2; a factorisation more for weak rows.
    """
    if not matrix.rank:
        return plan.factor(matrix.sparse, shift, definite=definite)
    if not matrix.is_finite:
        return Failed(matrix.order, "sum", FactorStatus.NOT_FINITE)
    if plan.kind == "dense":
        whole = matrix.sparse.toarray() + (matrix.columns * matrix.signs) @ matrix.columns.T
        return plan.factor(whole, shift, definite=definite)
    up = int((matrix.signs > 0.0).sum())
    if definite:
        first = plan.factor(matrix.sparse, shift, definite=True)
        if not first.is_definite and not up:
            # What is taken away makes nothing definite.
            return Failed(matrix.order, "sum", FactorStatus.NOT_DEFINITE, first.direction)
        base = first if first.is_definite else plan.factor(matrix.sparse, shift)
    else:
        base = plan.factor(matrix.sparse, shift)
    sparse, rows, gains = matrix.sparse, np.zeros(0, np.intp), np.zeros(0)
    for _ in range(ROUNDS):
        found = SumFactor(base, matrix, shift, rows, gains)
        if found.inertia is not None or found.status is FactorStatus.NOT_FINITE:
            return found
        weak = _weak_rows(plan, base, sparse, shift)
        if not len(weak) or np.isin(weak, rows).any():
            return found
        more = _row_sums(matrix.sparse, weak) + abs(shift)
        more = np.where(more > 0.0, more, matrix.size or 1.0)
        rows, gains = np.concatenate((rows, weak)), np.concatenate((gains, more))
        sparse = _strengthened(sparse, weak, more)
        base = plan.factor(sparse, shift)
    return found


def _weak_rows(plan: Plan, base: Factor, sparse: csc_array, shift: float) -> np.ndarray:
    """Return the rows that spoil a factor of S, few at most."""
    if isinstance(base, Failed):
        size = float(np.max(np.abs(sparse.data), initial=0.0)) or 1.0
        base = plan.factor(sparse, shift + NEARLY * size)
    return base.weakest(limits.WEAK_ROWS)


def _row_sums(sparse: csc_array, rows: np.ndarray) -> np.ndarray:
    return np.asarray(abs(sparse[:, rows]).sum(axis=0)).ravel()


def _strengthened(sparse: csc_array, rows: np.ndarray, gains: np.ndarray) -> csc_array:
    """Return S with numbers added to some entries of its diagonal."""
    data = sparse.data.copy()
    for row, gain in zip(rows, gains, strict=True):
        start, stop = sparse.indptr[row], sparse.indptr[row + 1]
        data[start + np.searchsorted(sparse.indices[start:stop], row)] += gain
    return csc_array((data, sparse.indices, sparse.indptr), shape=sparse.shape)


class SumFactor(Factor):
    """A factor of ``S + V s V' + shift I``, solutions refined where that changes anything."""

    kind = "sum"

    def __init__(self, base: Factor, matrix: SymmetricSum, shift: float, rows: np.ndarray, gains: np.ndarray) -> None:
        units = np.zeros((matrix.order, len(rows)))
        units[rows, np.arange(len(rows))] = np.sqrt(gains)
        columns = np.concatenate((matrix.columns, units), axis=1)
        self._signs = np.append(matrix.signs, -np.ones(len(rows)))
        self._columns, self._units = columns, units
        self._inner = LowRankFactor(base, columns, np.diag(self._signs))
        super().__init__(matrix.order, self._inner.status, self._inner.inertia)
        self._matrix, self._shift = matrix, shift
        self._size = matrix.size + abs(shift)
        reach = self._reach() if self.can_solve and self.inertia is not None else math.nan
        if self.inertia is not None and math.isnan(reach):
            self.status, self.inertia = FactorStatus.UNKNOWN, None
        if self.is_definite:
            self.least_pivot = min(reach, base.least_pivot) if base.is_definite else reach
        elif base.is_definite and self.inertia is not None:
            self.direction = self._downward()

    def _residual(self, z: np.ndarray, b: np.ndarray) -> np.ndarray:
        return b - (self._matrix @ z + self._shift * z)

    def _error(self, z: np.ndarray, residual: np.ndarray, b: np.ndarray) -> float:
        """Return the backward error of solutions in units of rounding."""
        with np.errstate(all="ignore"):
            scale = self._size * np.max(np.abs(z), axis=0) + np.max(np.abs(b), axis=0)
            share = np.max(np.abs(residual), axis=0) / np.where(scale > 0.0, scale, 1.0)
        return float(np.max(share, initial=0.0)) / _EPS

    def _reach(self) -> float:
        """Return the length of a vector over that of its solution, which no eigenvalue is far above; NaN with errors above rounding."""
        b = np.random.default_rng(0).standard_normal(self.order)
        z = self._inner.solve(b)
        return norm(b) / norm(z) if self._error(z, self._residual(z, b), b) <= ROUNDING else math.nan

    def _downward(self) -> np.ndarray | None:
        """Return the direction of least curvature in the range of ``S^-1 V``, which holds all that is negative if S is definite."""
        through, gram = self._inner.through, self._inner.gram
        curved = gram + (gram * self._signs) @ gram
        metric = through.T @ through
        scale = 1.0 / np.sqrt(np.diag(metric))
        try:
            vectors = scipy.linalg.eigh(curved * scale[:, None] * scale, metric * scale[:, None] * scale)[1]
        except np.linalg.LinAlgError:
            # Columns that depend on each other.
            return None
        return unit(through @ (scale * vectors[:, 0]))

    def _solve(self, b: np.ndarray) -> np.ndarray:
        z, w = self._inner.bordered(b, 0.0)
        error = self._error(z, self._residual(z, b), b)
        for _ in range(REFINEMENTS):
            if not _REFINED < error < math.inf:
                break
            # Residuals of the bordered system: V V' alone might lose all of S beside it.
            beside = self._matrix.sparse @ z + self._shift * z + self._units @ (self._units.T @ z)
            first, second = b - beside - self._columns @ w, (self._signs * w.T).T - self._columns.T @ z
            more, weights = self._inner.bordered(first, second)
            found = self._error(z + more, self._residual(z + more, b), b)
            if not found < error:
                break
            z, w, error = z + more, w + weights, found
        return np.asarray(z)

    def _logdet(self) -> float:
        return self._inner.logdet

    def _inverse_diagonal(self) -> np.ndarray:
        found, lost = self._inner.lost()
        width = max(1, 2**21 // self.order)
        for start in range(0, len(lost), width):
            # By solutions, which are refined.
            at = lost[start : start + width]
            found[at] = self.inverse_columns(at)[at, np.arange(len(at))]
        return found

    def _spread(self, z: np.ndarray) -> np.ndarray:
        return self._inner.spread(z)
