"""Sparse symmetric matrices by SuperLU in its symmetric mode, dense rows last, the order kept."""

from __future__ import annotations

import math
from functools import cached_property
from typing import Any

import numpy as np
from scipy.sparse import csc_array, csc_matrix, csr_array
from scipy.sparse.linalg import splu

from hessian.linalg.banded import dense_rows
from hessian.linalg.factor import Factor, FactorStatus, Failed, Plan, is_lost, of_least, unit
from hessian.linalg.selected import Fronts

ROUNDING = 1e3
"""Units of rounding up to which the backward error of a solution is at rounding level."""
_TERMS = 8
"""Terms that a pivot is taken to be a sum of, whose roundings add up."""
EXCHANGED = 0.1
"""Share of the largest number of its column below which a pivot is exchanged where none had to be: with the largest itself, a random
matrix of order 3000 takes five times as long, a grid of 1e4 variables five hundred times."""
_OPTIONS = {"SymmetricMode": True}
_PANEL = 4
"""Columns that SuperLU updates together: with its own 20 grids of 5e4 variables take a quarter to a half longer."""
SETTLING = 2
"""Factorisations after which the order is kept that SuperLU has found each time: a tenth of each of them, and to keep it takes as long."""


def _splu(matrix: Any, rule: str, threshold: float = 0.0) -> Any:
    return splu(csc_matrix(matrix), permc_spec=rule, diag_pivot_thresh=threshold, panel_size=_PANEL, options=_OPTIONS)


class Elimination:
    """An order in which the variables of a pattern are eliminated, and where entries are in it.

    Parameters
    ----------
    matrix : csc_array
    order : ndarray or None
        Variables, the first to be eliminated first; ``None`` for the order that they are in.
    rule : str
        What SuperLU makes of that: ``"NATURAL"`` keeps it.
    """

    def __init__(self, matrix: Any, order: np.ndarray | None, rule: str) -> None:
        n = self.size = matrix.shape[0]
        self._rule, self._order, self._place = rule, order, order
        self._gather: np.ndarray | None = None
        self._indices, self._indptr = matrix.indices.astype(np.int32), matrix.indptr.astype(np.int32)
        if order is not None:
            self._place = np.empty(n, np.intp)
            self._place[order] = np.arange(n)
            numbered = csr_array((np.arange(matrix.nnz), self._place[matrix.indices], matrix.indptr), shape=(n, n))
            # Transposing sorts, and a symmetric pattern is its transpose.
            moved = csr_array(numbered[order].tocsc().T).tocsc()
            self._gather = moved.data
            self._indices, self._indptr = moved.indices.astype(np.int32), moved.indptr.astype(np.int32)
        columns = np.repeat(np.arange(n, dtype=np.int32), np.diff(self._indptr))
        self._diagonal = np.flatnonzero(self._indices == columns)
        self._fronts: Fronts | None = None

    def moved(self, matrix: Any, shift: float) -> tuple[csc_matrix, np.ndarray]:
        """Return ``matrix + shift I`` in the order, and its diagonal."""
        data = matrix.data if self._gather is None else matrix.data[self._gather]
        if shift:
            data = data.copy() if self._gather is None else data
            data[self._diagonal] += shift
        return csc_matrix((data, self._indices, self._indptr), shape=(self.size, self.size)), data[self._diagonal]

    def factored(self, moved: csc_matrix, threshold: float = 0.0) -> Any:
        """Factor a matrix in the order, with pivots on the diagonal down to a share of the largest of their columns."""
        return _splu(moved, self._rule, threshold)

    def settled(self, matrix: Any, lu: Any) -> Elimination:
        """Return the order that SuperLU has made of this, which it need not look for again."""
        if self._rule == "NATURAL":
            return self
        found = np.empty(self.size, np.intp)
        found[lu.perm_c] = np.arange(self.size)
        return Elimination(matrix, found, "NATURAL")

    def fronts(self) -> Fronts:
        """Return the supernodes of factors of the pattern: those of numbers of which no sum that is eliminated cancels."""
        if self._fronts is None:
            lower = _splu(_without_cancelling(self._indices, self._indptr), self._rule).L
            lower.sort_indices()
            self._fronts = Fronts(lower.indptr, lower.indices)
        return self._fronts

    def forth(self, b: np.ndarray) -> np.ndarray:
        """Put a vector, or rows of a matrix, in the order of elimination."""
        return b if self._order is None else b[self._order]

    def back(self, z: np.ndarray) -> np.ndarray:
        """Undo that."""
        return z if self._place is None else z[self._place]

    def rows(self, at: np.ndarray) -> np.ndarray:
        """Return the variables at places in the order of elimination."""
        return at if self._order is None else self._order[at]


def elimination(matrix: Any) -> Elimination:
    """Return the order of minimum degree of a symmetric ``csc_array`` with its diagonal in the pattern, dense rows last."""
    n = matrix.shape[0]
    last = dense_rows(np.diff(matrix.indptr))
    # Minimum degree takes a tenth of a factorisation, unless there are dense rows, which take it n^2.
    if len(last):
        first = np.setdiff1d(np.arange(n), last)
        order = np.concatenate([first[_minimum_degree(matrix, first)], last])
        return Elimination(matrix, order, "NATURAL")
    return Elimination(matrix, None, "MMD_AT_PLUS_A")


class SuperLUPlan(Plan):
    """The order of elimination of matrices of one pattern.

    Parameters
    ----------
    matrix : csc_array
        Symmetric, with its diagonal in the pattern.
    """

    kind = "superlu"

    def __init__(self, matrix: Any) -> None:
        self.order, self._elimination = matrix.shape[0], elimination(matrix)
        self._count = 0
        self.fill = 4 * matrix.nnz

    def factor(self, matrix: Any, shift: float = 0.0, *, definite: bool = False) -> Factor:
        """Factor ``matrix + shift I``, a ``csc_array`` of the pattern."""
        if not (np.isfinite(matrix.data).all() and math.isfinite(shift)):
            return Failed(self.order, self.kind, FactorStatus.NOT_FINITE)
        way = self._elimination
        moved, diagonal = way.moved(matrix, shift)
        if definite and diagonal.min(initial=math.inf) <= 0.0:
            direction = np.zeros(self.order)
            direction[way.rows(np.array([int(np.argmin(diagonal))]))] = 1.0
            return Failed(self.order, self.kind, FactorStatus.NOT_DEFINITE, direction)
        try:
            lu = way.factored(moved)
            found = SuperLUFactor(way, moved, diagonal, lu)
            if found.status is FactorStatus.UNKNOWN and not definite and not found.can_solve:
                # Pivots on the diagonal have grown: with a few others it is not symmetric, but right, at little more than the same fill.
                found = SuperLUFactor(way, moved, diagonal, way.factored(moved, EXCHANGED))
            if found.status is FactorStatus.UNKNOWN and not definite and not found.can_solve:
                found = SuperLUFactor(way, moved, diagonal, splu(moved))
        except RuntimeError:
            # The only error of SuperLU's that is not about its arguments or memory: a pivot that is exactly zero.
            return Failed(self.order, self.kind, FactorStatus.SINGULAR)
        self.fill = found.fill
        self._count += 1
        if self._count == SETTLING:
            self._elimination = way.settled(matrix, lu)
        return found


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

    def __init__(self, way: Elimination, moved: Any, diagonal: np.ndarray, lu: Any) -> None:
        self._way, self._lu, self._moved, self.fill = way, lu, moved, int(lu.nnz)
        n = way.size
        pivots = np.asarray(lu.U.diagonal())
        self._pivots = pivots
        is_diagonal = np.array_equal(lu.perm_r, lu.perm_c)
        self._diagonal = diagonal
        size = float(np.max(np.abs(moved.data), initial=0.0))
        tiny = n * float(np.finfo(np.float64).eps) * size
        eliminated = np.empty(n)
        eliminated[lu.perm_c] = diagonal
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
        return unit(self._way.back(self._lu.solve(column[self._lu.perm_r])))

    def weakest(self, most: int) -> np.ndarray:
        """Return the rows whose pivots are next to nothing, or are not theirs."""
        n, lu = self.order, self._lu
        place = np.empty(n, np.intp)
        place[lu.perm_c] = np.arange(n)
        is_moved = (lu.perm_r != lu.perm_c)[place]
        at = of_least(np.where(is_moved, 0.0, self._pivots), self._diagonal[place], most)
        return self._way.rows(place[at])

    def _solve(self, b: np.ndarray) -> np.ndarray:
        return self._way.back(self._lu.solve(np.ascontiguousarray(self._way.forth(b))))

    def _logdet(self) -> float:
        return float(np.log(np.abs(self._pivots)).sum())

    def _inverse_diagonal(self) -> np.ndarray:
        fronts = self._way.fronts() if self.is_definite else None
        lower = self._lu.L
        lower.sort_indices()
        # In the order of the columns of L, which is that of its rows: no pivot was off the diagonal.
        found = None if fronts is None else fronts.diagonal(lower.indptr, lower.indices, lower.data, self._pivots)
        return super()._inverse_diagonal() if found is None else self._way.back(found[self._lu.perm_c])

    def _spread(self, z: np.ndarray) -> np.ndarray:
        # With A = L D L', A^-1 L D^(1/2).
        through = self._lu.L @ (np.sqrt(self._pivots) * z.T).T
        return self._way.back(self._lu.solve(np.ascontiguousarray(through[self._lu.perm_c])))

    # With A = K K', K being L D^(1/2) in the order of the rows, the root R of the inverse is K^-T.

    def spread_transposed(self, x: np.ndarray) -> np.ndarray:
        """Return R'x of a definite matrix, R that of :meth:`spread`."""
        return self._of_rows(self._lu.solve(np.ascontiguousarray(self._way.forth(x))))

    def gather(self, x: np.ndarray) -> np.ndarray:
        """Return the inverse of R times x."""
        return self._of_rows(self._way.forth(x))

    def gather_transposed(self, y: np.ndarray) -> np.ndarray:
        """Return the inverse of R' times y."""
        through = self._lu.L @ (np.sqrt(self._pivots) * y.T).T
        return self._way.back(through[self._lu.perm_c])

    def _of_rows(self, w: np.ndarray) -> np.ndarray:
        """Multiply with K'."""
        moved = np.empty_like(w)
        moved[self._lu.perm_c] = w
        return np.asarray((np.sqrt(self._pivots) * (self._lu.L.T @ moved).T).T)
