"""From products with seeds to sparse matrices: which number of which product is which entry, decided once."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from typing import Any

import numpy as np
from scipy.sparse import csc_array, csr_array

from hessian.sparse.coloring import Coloring, mirror, readable, rows_of
from hessian.sparse.columns import readable_sides
from hessian.sparse.pattern import SparsityPattern

_SEEDS = 2**24
"""Numbers in directions that are kept for the next point."""


class Structure:
    """A pattern with its colors, the seeds, and where every entry is in the products.

    Parameters
    ----------
    pattern : SparsityPattern

    Attributes
    ----------
    pattern : SparsityPattern
    """

    def __init__(self, pattern: SparsityPattern) -> None:
        self.pattern = pattern
        columns = pattern.matrix.tocsc()
        index = np.int32 if max(columns.nnz, *columns.shape) < 2**31 else np.int64
        self._idle: list[np.ndarray] = []
        self._seeds: dict[Any, tuple[np.ndarray, np.ndarray]] = {}
        self._starts, self._rows = columns.indptr.astype(index), columns.indices.astype(index)

    # Where products are not needed, colors are not either.

    @property
    def pushed(self) -> Coloring:
        """Colors of the products with columns, or of a symmetric matrix."""
        return self.pattern.sides.columns

    @property
    def pulled(self) -> Coloring:
        """Colors of the products with rows."""
        return self.pattern.sides.rows

    @cached_property
    def _at(self) -> np.ndarray | None:
        """Where entries are in the products; ``None`` where they are solved for."""
        if self.pattern.solution is not None:
            return None
        return self._symmetric() if self.pattern.is_symmetric else self._two_sided()

    def _symmetric(self) -> np.ndarray:
        """Return where entries are in the stacked products: in row i of that of the color of j, or the other way round."""
        matrix, colors = self.pattern.matrix, self.pushed.colors
        n, rows = matrix.shape[0], rows_of(matrix)
        here, other = readable(matrix, colors), mirror(matrix)
        assert (here | here[other]).all(), "a coloring does not give every entry"
        at = np.where(here, colors[matrix.indices] * n + rows, colors[rows] * n + matrix.indices)
        # An entry and its mirror image are one number; by rows or by columns is then the same.
        return np.where(rows > matrix.indices, at[other], at)

    def _two_sided(self) -> np.ndarray:
        matrix = self.pattern.matrix
        m, n = matrix.shape
        transposed = csr_array(matrix.T.tocsr())
        transposed.sort_indices()
        columns, rows = self.pushed.colors, self.pulled.colors
        forward, back = readable_sides(matrix, transposed, columns, rows)
        assert (forward | back).all(), "a coloring does not give every entry"
        behind = self.pushed.n_colors * m
        row = rows_of(matrix)
        at = np.where(forward, columns[matrix.indices] * m + row, behind + rows[row] * n + matrix.indices)
        return at[csr_array((np.arange(matrix.nnz), matrix.indices, matrix.indptr), shape=matrix.shape).tocsc().data]

    def seeds(self, dtype: Any) -> tuple[np.ndarray, np.ndarray]:
        """Return the directions of pushforwards, as rows, and those of pullbacks; not to be changed."""
        dtype = np.dtype(dtype)
        if dtype not in self._seeds:
            seeds = self.pushed.seeds(dtype), self.pulled.seeds(dtype)
            if sum(part.size for part in seeds) > _SEEDS:
                return seeds
            self._seeds[dtype] = seeds
        return self._seeds[dtype]

    @contextmanager
    def memory(self, dtype: Any) -> Iterator[np.ndarray | None]:
        """Lend memory for products with columns, to one caller at a time: fresh memory costs more than what is done in it."""
        shape = (self.pushed.n_colors, self.pattern.shape[0])
        if shape[0] * shape[1] > _SEEDS:
            yield None
            return
        known = self._idle.pop() if self._idle else None
        fits = known is not None and known.dtype == dtype
        lent = known if known is not None and fits else np.empty(shape, dtype)
        yield lent
        self._idle[:] = [lent]

    def __getstate__(self) -> dict[str, Any]:
        return {name: x for name, x in vars(self).items() if name != "_empty"} | {"_seeds": {}, "_idle": []}

    def matrix(self, pushed: np.ndarray, pulled: np.ndarray) -> csc_array:
        """Put products, one a row, together to the matrix."""
        if self.pattern.solution is not None:
            data = self.pattern.solution.entries(pushed)
        else:
            assert self._at is not None
            numbers = np.concatenate((pushed.ravel(), pulled.ravel())) if pulled.size else pushed.ravel()
            data = numbers.take(self._at, mode="clip")
        return self.filled(data)

    @property
    def columns(self) -> tuple[np.ndarray, np.ndarray]:
        """Where columns start, and the rows of the entries; not to be changed."""
        return self._starts, self._rows

    def filled(self, data: np.ndarray) -> csc_array:
        """Return the matrix with these entries, column by column."""
        # Index arrays of its own: what changes a matrix in place changes them too.
        matrix = copy.copy(self._empty)
        matrix.data, matrix.indices, matrix.indptr = data, self._rows.copy(), self._starts.copy()
        return matrix

    @cached_property
    def _empty(self) -> csc_array:
        """A matrix with these index arrays that has been looked at: to look through them takes as long as to fill in numbers."""
        matrix = csc_array((np.zeros(len(self._rows), np.int8), self._rows, self._starts), shape=self.pattern.shape)
        assert matrix.has_canonical_format
        return matrix
