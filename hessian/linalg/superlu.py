"""Sparse symmetric matrices by SuperLU in its symmetric mode, dense rows last, the order kept."""

from __future__ import annotations

import math
from functools import cached_property
from typing import Any

import numpy as np
from scipy.sparse import csc_array, csc_matrix
from scipy.sparse.linalg import splu

from hessian.linalg.banded import dense_rows
from hessian.linalg.factor import Factor, FactorStatus, Failed, Plan, is_lost, of_least, unit
from hessian.linalg.selected import Fronts

ROUNDING = 1e3
"""Units of rounding up to which the backward error of a solution is at rounding level."""
_TERMS = 8
"""Terms that a pivot is taken to be a sum of, whose roundings add up."""
_OPTIONS = {"SymmetricMode": True}


def _splu(matrix: Any, order: str) -> Any:
    return splu(csc_matrix(matrix), permc_spec=order, diag_pivot_thresh=0.0, options=_OPTIONS)


class SuperLUPlan(Plan):
    """The order of elimination of matrices of one pattern, and where their entries are in it.

    Parameters
    ----------
    matrix : csc_array
        Symmetric, with its diagonal in the pattern.
    """

    kind = "superlu"

    def __init__(self, matrix: Any) -> None:
        n = self.order = matrix.shape[0]
        degrees = np.diff(matrix.indptr)
        last = dense_rows(degrees)
        first = np.setdiff1d(np.arange(n), last)
        # Minimum degree takes a tenth of a factorisation, unless there are dense rows, which take it n^2.
        self._order, self._rule = np.arange(n), "MMD_AT_PLUS_A"
        if len(last):
            self._order, self._rule = np.concatenate([first[_minimum_degree(matrix, first)], last]), "NATURAL"
        place = np.empty(n, np.intp)
        place[self._order] = np.arange(n)
        self._place = place
        columns = np.repeat(np.arange(n), degrees)
        row, column = place[matrix.indices], place[columns]
        self._gather = np.lexsort((row, column))
        self._indices = row[self._gather].astype(np.int32)
        starts = np.concatenate([[0], np.cumsum(np.bincount(column, minlength=n))])
        self._indptr = starts.astype(np.int32)
        self._diagonal = np.flatnonzero(self._indices == column[self._gather])
        self._fronts: Fronts | None = None
        self.fill = 4 * matrix.nnz

    def factor(self, matrix: Any, shift: float = 0.0, *, definite: bool = False) -> Factor:
        """Factor ``matrix + shift I``, a ``csc_array`` of the pattern."""
        data = matrix.data[self._gather]
        if shift:
            data[self._diagonal] += shift
        if not np.isfinite(data).all():
            return Failed(self.order, self.kind, FactorStatus.NOT_FINITE)
        moved = csc_matrix((data, self._indices, self._indptr), shape=(self.order, self.order))
        if definite and data[self._diagonal].min(initial=math.inf) <= 0.0:
            at = int(np.argmin(data[self._diagonal]))
            direction = np.zeros(self.order)
            direction[self._order[at]] = 1.0
            return Failed(self.order, self.kind, FactorStatus.NOT_DEFINITE, direction)
        try:
            found = SuperLUFactor(self, moved, _splu(moved, self._rule))
            if found.status is FactorStatus.UNKNOWN and not definite and not found.can_solve:
                # Pivots near the diagonal have grown: with the largest of each column instead, it is not symmetric, but right.
                found = SuperLUFactor(self, moved, splu(moved))
        except RuntimeError:
            # The only error of SuperLU's that is not about its arguments or memory: a pivot that is exactly zero.
            return Failed(self.order, self.kind, FactorStatus.SINGULAR)
        self.fill = found.fill
        return found

    def fronts(self) -> Fronts:
        """Return the supernodes of factors of the pattern: those of numbers of which no sum that is eliminated cancels."""
        if self._fronts is None:
            lower = _splu(_without_cancelling(self._indices, self._indptr), self._rule).L
            lower.sort_indices()
            self._fronts = Fronts(lower.indptr, lower.indices)
        return self._fronts

    def forth(self, b: np.ndarray) -> np.ndarray:
        """Put a vector, or rows of a matrix, in the order of elimination."""
        return b[self._order]

    def back(self, z: np.ndarray) -> np.ndarray:
        """Undo that."""
        return z[self._place]

    def rows(self, at: np.ndarray) -> np.ndarray:
        """Return the variables at places in the order of elimination."""
        return self._order[at]


def _minimum_degree(matrix: Any, first: np.ndarray) -> np.ndarray:
    """Return the order of minimum degree of some of the variables, as SuperLU finds it: for any numbers in the pattern."""
    part = csc_array(matrix)[:, first][first, :] if len(first) < matrix.shape[0] else matrix
    order = np.empty(part.shape[0], np.intp)
    order[_splu(_without_cancelling(part.indices, part.indptr), "MMD_AT_PLUS_A").perm_c] = np.arange(part.shape[0])
    return order


def _without_cancelling(indices: np.ndarray, indptr: np.ndarray) -> csc_matrix:
    """Return a definite matrix of a pattern whose factor has no zero by chance: entries beside the diagonal only become more negative."""
    n = len(indptr) - 1
    columns = np.repeat(np.arange(n), np.diff(indptr))
    data = np.where(indices == columns, 2.0 * np.diff(indptr)[columns], -1.0)
    return csc_matrix((data, indices, indptr), shape=(n, n))


class SuperLUFactor(Factor):
    """``A = L U`` with pivots on the diagonal, where none was zero."""

    kind = "superlu"

    def __init__(self, plan: SuperLUPlan, moved: Any, lu: Any) -> None:
        self._plan, self._lu, self._moved, self.fill = plan, lu, moved, int(lu.nnz)
        n = plan.order
        pivots = np.asarray(lu.U.diagonal())
        self._pivots = pivots
        is_diagonal = np.array_equal(lu.perm_r, lu.perm_c)
        diagonal = self._diagonal = np.asarray(moved.diagonal())
        size = float(np.max(np.abs(moved.data), initial=0.0))
        tiny = n * float(np.finfo(np.float64).eps) * size
        eliminated = diagonal[np.argsort(lu.perm_c)]
        is_positive = is_diagonal and bool(pivots.min() > 0.0)
        is_zero = not np.isfinite(pivots).all() or not np.all(pivots)
        if is_zero or (is_positive and is_lost(pivots, eliminated, _TERMS)):
            super().__init__(n, FactorStatus.SINGULAR)
        elif is_positive:
            # Pivots of a definite matrix never grow: sums of their size bound the backward error.
            grown = float((pivots - eliminated).max())
            sound = grown <= tiny or self._is_sound(moved)
            inertia = (n, 0, 0) if sound else None
            super().__init__(n, FactorStatus.DEFINITE if sound else FactorStatus.UNKNOWN, inertia)
            self.least_pivot = float(pivots.min()) if sound else math.nan
        elif is_diagonal and self._is_sound(moved):
            negative = int((pivots < 0.0).sum())
            super().__init__(n, FactorStatus.INDEFINITE, (n - negative, negative, 0))
            self.direction = self._downward(int(np.argmin(pivots)))
        else:
            super().__init__(n, FactorStatus.UNKNOWN)

    @cached_property
    def can_solve(self) -> bool:  # type: ignore[override]
        """Whether systems can be solved: where exchanges of rows were needed, few of them may not have been enough."""
        return super().can_solve and (self.status is not FactorStatus.UNKNOWN or self._is_sound(self._moved))

    def _is_sound(self, moved: Any) -> bool:
        """Whether a solution has a backward error at rounding level."""
        b = np.random.default_rng(0).standard_normal(moved.shape[0])
        z = self._lu.solve(b)
        residual = np.abs(b - moved @ z).max()
        norm = float(np.asarray(abs(moved).sum(axis=1)).max()) * np.abs(z).max() + np.abs(b).max()
        return bool(residual <= ROUNDING * np.finfo(np.float64).eps * norm)

    def _downward(self, at: int) -> np.ndarray | None:
        """Return ``L^-T e``, whose curvature is the pivot: ``A^-1 L e`` times the pivot, in any order of rows."""
        column = np.asarray(self._lu.L[:, [at]].toarray()).ravel()
        return unit(self._plan.back(self._lu.solve(column[self._lu.perm_r])))

    def weakest(self, most: int) -> np.ndarray:
        """Return the rows whose pivots are next to nothing, or are not theirs."""
        n, lu = self.order, self._lu
        place = np.empty(n, np.intp)
        place[lu.perm_c] = np.arange(n)
        is_moved = (lu.perm_r != lu.perm_c)[place]
        at = of_least(np.where(is_moved, 0.0, self._pivots), self._diagonal[place], most)
        return self._plan.rows(place[at])

    def _solve(self, b: np.ndarray) -> np.ndarray:
        return self._plan.back(self._lu.solve(np.ascontiguousarray(self._plan.forth(b))))

    def _logdet(self) -> float:
        return float(np.log(np.abs(self._pivots)).sum())

    def _inverse_diagonal(self) -> np.ndarray:
        fronts = self._plan.fronts() if self.is_definite else None
        lower = self._lu.L
        lower.sort_indices()
        # In the order of the columns of L, which is that of its rows: no pivot was off the diagonal.
        found = None if fronts is None else fronts.diagonal(lower.indptr, lower.indices, lower.data, self._pivots)
        return super()._inverse_diagonal() if found is None else self._plan.back(found[self._lu.perm_c])

    def _spread(self, z: np.ndarray) -> np.ndarray:
        # With A = L D L', A^-1 L D^(1/2).
        through = self._lu.L @ (np.sqrt(self._pivots) * z.T).T
        return self._plan.back(self._lu.solve(np.ascontiguousarray(through[self._lu.perm_c])))
