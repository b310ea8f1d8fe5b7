"""Symmetric matrices of solvers: a sparse one with its whole diagonal, and what of low rank is added to it."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import scipy.linalg
from scipy.sparse import csc_array


class SymmetricSum:
    r"""The matrix :math:`A = S + V \operatorname{diag}(s) V^T` of order n, S sparse, V with r columns, s of signs; r may be 0.

    Parameters
    ----------
    sparse : csc_array
        S, in double precision, sorted, with its whole diagonal in the pattern.
    columns : ndarray, shape (n, r), optional
        V.
    signs : ndarray, shape (r,), optional
        1 and -1.
    """

    def __init__(self, sparse: csc_array, columns: np.ndarray | None = None, signs: np.ndarray | None = None) -> None:
        self.sparse = sparse
        self.order = sparse.shape[0]
        self.columns = np.zeros((self.order, 0)) if columns is None else columns
        self.signs = np.zeros(0) if signs is None else signs
        self._sums: np.ndarray | None = None
        self._gains: tuple[float, float] | None = None

    @property
    def rank(self) -> int:
        """Number of columns of V."""
        return len(self.signs)

    @property
    def is_finite(self) -> bool:
        """Whether all numbers are."""
        return bool(np.isfinite(self.sparse.data).all() and np.isfinite(self.columns).all())

    def __matmul__(self, v: np.ndarray) -> np.ndarray:
        """Multiply with a vector, or with the columns of a matrix."""
        image = np.asarray(self.sparse @ v)
        if self.rank:
            image += self.columns @ (self.signs * (self.columns.T @ v).T).T
        return image

    def diagonal(self) -> np.ndarray:
        """Return the diagonal, shape (n,)."""
        diagonal = np.asarray(self.sparse.diagonal())
        return diagonal + (self.columns**2) @ self.signs if self.rank else diagonal

    def bounds(self) -> tuple[float, float]:
        """Return numbers between which all eigenvalues are (Gershgorin's for S, Weyl's for the rest)."""
        diagonal, sums = np.asarray(self.sparse.diagonal()), self._row_sums()
        beside = sums - np.abs(diagonal)
        down, up = self._gain()
        return float((diagonal - beside).min()) - down, float((diagonal + beside).max()) + up

    @property
    def size(self) -> float:
        """A bound on the magnitudes of eigenvalues: the largest row of S, and the norm of the rest."""
        return float(self._row_sums().max()) + max(self._gain())

    def _row_sums(self) -> np.ndarray:
        """Sums of magnitudes in the rows of S, none of which is empty."""
        if self._sums is None:
            self._sums = np.add.reduceat(np.abs(self.sparse.data), self.sparse.indptr[:-1])
        return self._sums

    def _gain(self) -> tuple[float, float]:
        """By how much at most the columns with a minus lower eigenvalues, and those with a plus raise them."""
        if self._gains is None:
            down, up = (self.columns[:, self.signs == sign] for sign in (-1.0, 1.0))
            self._gains = _square_norm(down), _square_norm(up)
        return self._gains

    def scaled(self, units: np.ndarray) -> SymmetricSum:
        """Return ``D A D`` with D the diagonal matrix of the units."""
        starts = self.sparse.indptr
        data = self.sparse.data * units[self.sparse.indices] * np.repeat(units, np.diff(starts))
        sparse = csc_array((data, self.sparse.indices, starts), shape=self.sparse.shape)
        return SymmetricSum(sparse, self.columns * units[:, None], self.signs)

    def times(self, factor: float) -> SymmetricSum:
        """Return the multiple by a positive number."""
        return SymmetricSum(self.sparse * factor, self.columns * math.sqrt(factor), self.signs)

    def within(self, places: np.ndarray) -> SymmetricSum:
        """Return the rows and columns at some places."""
        if len(places) == self.order:
            return self
        return SymmetricSum(csc_array(self.sparse[places][:, places]), self.columns[places], self.signs)

    def plus_diagonal(self, numbers: np.ndarray) -> SymmetricSum:
        """Return the sum with a diagonal matrix."""
        columns = np.repeat(np.arange(self.order), np.diff(self.sparse.indptr))
        data = self.sparse.data.copy()
        data[self.sparse.indices == columns] += numbers
        sparse = csc_array((data, self.sparse.indices, self.sparse.indptr), shape=self.sparse.shape)
        return SymmetricSum(sparse, self.columns, self.signs)

    def change(self, before: SymmetricSum) -> float:
        """Return a bound on the norm of the difference from another one; infinity where entries are in other places."""
        mine, other = self.sparse, before.sparse
        if mine.shape != other.shape or mine.nnz != other.nnz:
            return math.inf
        if mine.indices is not other.indices and not (
            np.array_equal(mine.indptr, other.indptr) and np.array_equal(mine.indices, other.indices)
        ):
            return math.inf
        gap = float(np.add.reduceat(np.abs(mine.data - other.data), mine.indptr[:-1]).max())
        if not (self.rank or before.rank) or not math.isfinite(gap):
            return gap
        both, signs = np.concatenate((self.columns, before.columns), axis=1), np.append(self.signs, -before.signs)
        triangle = scipy.linalg.qr(both, mode="r", check_finite=False)[0][: both.shape[1]]
        return gap + float(np.abs(np.linalg.eigvalsh((triangle * signs) @ triangle.T)).max())

    def parts(self) -> list[np.ndarray]:
        """Return the arrays it is made of, for a file."""
        return [self.sparse.data, self.sparse.indices, self.sparse.indptr, self.columns, self.signs]

    @classmethod
    def of_parts(cls, parts: list[Any]) -> SymmetricSum:
        """Put it together from these."""
        data, indices, starts, columns, signs = parts
        n = len(starts) - 1
        return cls(csc_array((data, indices, starts), shape=(n, n)), columns, signs)


def _square_norm(columns: np.ndarray) -> float:
    """Square of the largest singular value of few columns."""
    return float(np.linalg.eigvalsh(columns.T @ columns)[-1]) if columns.shape[1] else 0.0
