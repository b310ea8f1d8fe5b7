"""Which inputs meet in second derivatives: pairs from sets of inputs, gathered into one symmetric pattern."""

from __future__ import annotations

import numpy as np
from scipy.sparse import csr_array

from hessian.errors import TooDenseError
from hessian.sparse.sets import Sets, Table

_PAIRS = 2**23
"""Pairs that are written down one by one; more are multiplied out."""


class TooDense(TooDenseError):
    """A pattern has more entries than are allowed."""


class Meetings:
    """A symmetric pattern in the making.

    Parameters
    ----------
    n : int
        Number of inputs.
    most : int
        Entries from which on it is given up.
    widest : int
        Products for all entries from which on it is: a clique takes one for each of its members, and one gives n numbers.
    """

    def __init__(self, n: int, most: int, widest: int) -> None:
        self.n = n
        self._most = most
        self._widest = widest
        self._diagonal = np.zeros(n, bool)
        self._keys: list[np.ndarray] = []

    def cliques(self, sets: Sets) -> None:
        """Let all inputs of a set meet one another, for every set."""
        used = sets.used()
        if sets.table.starts is None:
            self._diagonal[used] = True
            return
        table = sets.table if len(used) == sets.table.length else sets.table.select(used)
        starts, members = table.arrays()
        lengths = np.diff(starts)
        self._diagonal[members] = True
        longest = int(lengths.max(initial=0))
        if longest < 2:
            return
        if longest**2 > self._most or longest > self._widest:
            raise TooDense
        pairs = int(np.dot(lengths, lengths))
        if (lengths == longest).all() and pairs <= _PAIRS:
            square = members.reshape(-1, longest)
            upper = np.triu_indices(longest, 1)
            self._add(square[:, upper[0]].ravel(), square[:, upper[1]].ravel())
        elif pairs <= _PAIRS:
            self._expand(table, table)
        else:
            matrix = _distinct(table).matrix()
            self._add_matrix(csr_array(matrix.T @ matrix))

    def cross(self, a: Sets, b: Sets) -> None:
        """Let the inputs of two sets meet, element by element."""
        both = (a.rows >= 0) & (b.rows >= 0)
        if not both.all():
            a, b = a.where(both), b.where(both)
        if not a.size:
            return
        of_a, of_b = a.table.lengths(a.rows), b.table.lengths(b.rows)
        sizes = of_a * of_b
        if int(sizes.max(initial=0)) > self._most:
            raise TooDense
        for one, lengths in ((a, of_b), (b, of_a)):
            # Of different inputs alone, half of the pairs differ.
            if one.table.starts is None and int(lengths.sum()) > 2 * self.n * self._widest and _differ(one.rows):
                raise TooDense
        if a.table.starts is None and b.table.starts is None:
            self._add(np.minimum(a.rows, b.rows), np.maximum(a.rows, b.rows))
        elif int(sizes.sum()) <= _PAIRS:
            self._expand(a.expanded(), b.expanded())
        else:
            beside = csr_array((np.ones(a.size, bool), (a.rows, b.rows)), shape=(a.table.length, b.table.length))
            beside.sum_duplicates()
            right = csr_array(beside @ b.table.matrix()) if b.table.starts is not None else beside
            counts = np.diff(right.indptr)
            if int((a.table.lengths(np.arange(a.table.length)) * counts).max(initial=0)) > self._most:
                raise TooDense
            self._add_matrix(csr_array(a.table.matrix().T @ right) if a.table.starts is not None else right)

    def _expand(self, a: Table, b: Table) -> None:
        """Write down all pairs of members of two rows, for every row of two tables."""
        (starts, members), (more_starts, more) = a.arrays(), b.arrays()
        of_a, of_b = np.diff(starts), np.diff(more_starts)
        # Every member of a row of a, beside all of that row of b.
        repeat = np.repeat(of_b, of_a)
        left = np.repeat(members, repeat)
        first = np.repeat(np.repeat(more_starts[:-1], of_a), repeat)
        within = np.arange(len(left)) - np.repeat(np.cumsum(repeat) - repeat, repeat)
        right = more[first + within]
        self._add(np.minimum(left, right), np.maximum(left, right))

    def _add(self, low: np.ndarray, high: np.ndarray) -> None:
        """Enter pairs of which the first is the smaller."""
        same = low == high
        if same.any():
            self._diagonal[low[same]] = True
            low, high = low[~same], high[~same]
        self._keys.append(low * self.n + high)

    def _add_matrix(self, matrix: csr_array) -> None:
        coo = matrix.tocoo()
        low, high = np.minimum(coo.row, coo.col).astype(np.intp), np.maximum(coo.row, coo.col).astype(np.intp)
        self._add(low, high)
        self._keys[-1] = np.unique(self._keys[-1])
        if 2 * len(self._keys[-1]) > self._most:
            raise TooDense

    def matrix(self) -> csr_array:
        """Return the pattern, sorted, each entry once."""
        n = self.n
        on = np.flatnonzero(self._diagonal)
        keys = np.concatenate(self._keys) if self._keys else np.zeros(0, np.intp)
        low, high = np.divmod(keys, max(n, 1))
        # Duplicates go by summing ones in a type that does not overflow to zero: booleans add by "or".
        half = csr_array((np.ones(len(low), bool), (low, high)), shape=(n, n))
        half.sum_duplicates()
        if half.nnz > n * self._widest:
            raise TooDense
        diagonal = csr_array((np.ones(len(on), bool), (on, on)), shape=(n, n))
        whole = csr_array(half + half.T.tocsr() + diagonal)
        whole.sum_duplicates()
        if whole.nnz > self._most:
            raise TooDense
        return whole


def _differ(rows: np.ndarray) -> bool:
    """Whether no number is there twice."""
    return int(np.bincount(rows).max(initial=0)) < 2


def _distinct(table: Table) -> Table:
    """Return a table of the rows that differ: equal ones are told by two sums of random numbers."""
    starts, members = table.arrays()
    numbers = np.random.default_rng(0).integers(0, 2**63, (2, table.n), dtype=np.uint64)
    sums = np.concatenate(
        (np.zeros((2, 1), np.uint64), np.cumsum(numbers[:, members], axis=1, dtype=np.uint64)), axis=1
    )
    hashes = sums[:, starts[1:]] - sums[:, starts[:-1]]
    order = np.lexsort((hashes[1], hashes[0]))
    ranked = hashes[:, order]
    first = np.concatenate(([True], (ranked[:, 1:] != ranked[:, :-1]).any(axis=0)))
    return table.select(np.sort(order[first]))
