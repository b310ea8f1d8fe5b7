"""For every element of an array the set of inputs that it depends on, in operations on whole arrays.

Sets lie in a table, one a row, sorted; elements say which row is theirs. What only moves elements moves numbers of rows, and what is
dense over what it reads is one row for all.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.sparse import csr_array

_SMALL = 4096
_MANY, _WRITTEN = 2 * 10**5, 5 * 10**7
"""Members from which on a union is looked at before it is written down, and those that are written down at most."""


@dataclass(frozen=True, eq=False)
class Table:
    """Sets of inputs as the rows of a sparse matrix of ones.

    Attributes
    ----------
    n : int
        Number of inputs.
    starts, members : ndarray or None
        Row i has the members ``members[starts[i]:starts[i + 1]]``, in order and each once; ``None`` where row i is input i.
    """

    n: int
    starts: np.ndarray | None = None
    members: np.ndarray | None = None

    @property
    def length(self) -> int:
        """Number of sets."""
        return self.n if self.starts is None else len(self.starts) - 1

    def arrays(self) -> tuple[np.ndarray, np.ndarray]:
        """Return where rows start, and the members."""
        if self.starts is None or self.members is None:
            return np.arange(self.n + 1), np.arange(self.n)
        return self.starts, self.members

    def lengths(self, rows: np.ndarray) -> np.ndarray:
        """Return how many members rows have; a negative row has none."""
        if self.starts is None:
            return (rows >= 0).astype(np.intp)
        return np.where(rows >= 0, self.starts[rows + 1] - self.starts[rows], 0)

    def matrix(self) -> csr_array:
        """Return the table as a sparse matrix."""
        starts, members = self.arrays()
        return csr_array((np.ones(len(members), bool), members, starts), shape=(self.length, self.n))

    def select(self, rows: np.ndarray) -> Table:
        """Return the table of some rows, in the order given."""
        lengths = self.lengths(rows)
        starts = np.concatenate(([0], np.cumsum(lengths)))
        if self.starts is None or self.members is None:
            return Table(self.n, starts, rows[rows >= 0])
        first = np.repeat(self.starts[np.maximum(rows, 0)] - starts[:-1], lengths)
        return Table(self.n, starts, self.members[first + np.arange(starts[-1])])


def of_matrix(matrix: csr_array) -> Table:
    """Return the table of a sparse matrix."""
    matrix.sum_duplicates()
    return Table(matrix.shape[1], matrix.indptr.astype(np.intp), matrix.indices.astype(np.intp))


@dataclass(frozen=True, eq=False)
class Sets:
    """The sets of the elements of an array, raveled: element e has row ``rows[e]`` of the table, or none where that is negative."""

    rows: np.ndarray
    table: Table

    @property
    def size(self) -> int:
        """Number of elements."""
        return len(self.rows)

    def used(self) -> np.ndarray:
        """Return the rows that some element has, each once."""
        if self.size <= _SMALL < self.table.length:
            return np.unique(self.rows[self.rows >= 0])
        mark = np.zeros(self.table.length + 1, bool)
        mark[self.rows] = True  # a negative one marks the last
        return np.flatnonzero(mark[:-1])

    def compact(self) -> Sets:
        """Return the same sets with a table of the rows in use."""
        used = self.used()
        if len(used) == self.table.length:
            return self
        renumbered = np.searchsorted(used, self.rows)
        return Sets(np.where(self.rows < 0, -1, renumbered), self.table.select(used))

    def everything(self) -> np.ndarray:
        """Return the inputs that any element depends on."""
        table = self.table.select(self.used())
        members = table.arrays()[1]
        if len(members) <= _SMALL:
            return np.unique(members)
        mark = np.zeros(self.table.n, bool)
        mark[members] = True
        return np.flatnonzero(mark)

    def expanded(self) -> Table:
        """Return a table with a row for every element."""
        return self.table.select(self.rows)

    def where(self, mask: np.ndarray | None) -> Sets:
        """Return the sets of some elements; of all, if there is no mask."""
        return self if mask is None else Sets(self.rows[mask], self.table)


def identity(start: int, size: int, table: Table) -> Sets:
    """Return the sets of inputs themselves."""
    return Sets(np.arange(start, start + size), table)


def common(members: np.ndarray, size: int, n: int) -> Sets:
    """Return the sets of elements that all depend on the same inputs."""
    return Sets(np.zeros(size, np.intp), Table(n, np.array([0, len(members)]), members))


def grouped(sets: Sets, groups: np.ndarray, count: int) -> Sets:
    """Return for each of ``count`` groups the union of the sets of its elements; a negative group is none."""
    n = sets.table.n
    if count == 1:
        inside = groups >= 0
        return common((sets if inside.all() else sets.where(inside)).everything(), 1, n)
    keep = (groups >= 0) & (sets.rows >= 0)
    rows = (groups[keep], sets.rows[keep])
    chosen = csr_array((np.ones(len(rows[0]), bool), rows), shape=(count, sets.table.length))
    chosen.sum_duplicates()
    matrix = chosen if sets.table.starts is None else _product(chosen, sets.table.matrix())
    return Sets(np.arange(count), of_matrix(matrix))


def _product(a: csr_array, b: csr_array) -> csr_array:
    product = csr_array(a @ b)
    product.sort_indices()
    return product


def multiplied(jacobian: csr_array, sets: Sets) -> Sets:
    """Return the sets of elements of a result from where its Jacobian is not zero."""
    coo = jacobian.tocoo()
    keep = sets.rows[coo.col] >= 0
    rows = (coo.row[keep], sets.rows[coo.col[keep]])
    relabelled = csr_array((np.ones(len(rows[0]), bool), rows), shape=(jacobian.shape[0], sets.table.length))
    relabelled.sum_duplicates()
    matrix = relabelled if sets.table.starts is None else _product(relabelled, sets.table.matrix())
    return Sets(np.arange(jacobian.shape[0]), of_matrix(matrix))


def stacked(parts: Sequence[Sets | None]) -> tuple[list[Sets | None], Table | None]:
    """Return sets with one table for all of them."""
    known = [part for part in parts if part is not None]
    if not known:
        return list(parts), None
    if all(part.table is known[0].table for part in known):
        return list(parts), known[0].table
    known = [part.compact() if 2 * part.size < part.table.length else part for part in known]
    tables: dict[int, int] = {}
    pieces: list[tuple[np.ndarray, np.ndarray]] = []
    offset = total = 0
    starts: list[np.ndarray] = []
    for part in known:
        if id(part.table) in tables:
            continue
        tables[id(part.table)] = offset
        begin, members = part.table.arrays()
        starts.append(begin[:-1] + total)
        pieces.append((begin, members))
        offset += part.table.length
        total += len(members)
    table = Table(known[0].table.n, np.concatenate([*starts, [total]]), np.concatenate([m for _, m in pieces]))
    supply: Iterator[Sets] = iter(known)
    moved: list[Sets | None] = []
    for given in parts:
        if given is None:
            moved.append(None)
            continue
        own = next(supply)
        moved.append(Sets(np.where(own.rows < 0, -1, own.rows + tables[id(own.table)]), table))
    return moved, table


def united(a: Sets, b: Sets) -> Sets:
    """Return the unions of sets, element by element."""
    if a.table is b.table and (a.rows is b.rows or np.array_equal(a.rows, b.rows)):
        return a
    if a.table.starts is None and b.table.starts is None and a.size > _SMALL:
        return _pairs(a, b)
    sizes = [int(part.table.lengths(part.rows).sum()) for part in (a, b)]
    if max(sizes) > _MANY:
        small, large = (a, b) if sizes[0] < sizes[1] else (b, a)
        if _contains(large, small):
            return large
        if sum(sizes) > _WRITTEN:
            # Too many to write down: everything that any of them depends on is sound.
            return common(np.union1d(a.everything(), b.everything()), a.size, a.table.n)
    first, second = a.expanded(), b.expanded()
    (starts, members), (more_starts, more) = first.arrays(), second.arrays()
    n, m = a.table.n, a.size
    if len(members) + len(more) <= _SMALL:
        ahead = np.repeat(np.arange(m), np.diff(starts))
        behind = np.repeat(np.arange(m), np.diff(more_starts))
        keys = np.unique(np.concatenate((ahead * n + members, behind * n + more)))
        row, column = np.divmod(keys, n)
        return Sets(np.arange(m), Table(n, np.searchsorted(row, np.arange(m + 1)), column))
    return Sets(np.arange(m), of_matrix(csr_array(first.matrix() + second.matrix())))


def _contains(large: Sets, small: Sets) -> bool:
    """Tell whether the sets of one are in those of the other, element by element, as of a row less its mean in the mean."""
    n = large.table.n
    starts, members = large.table.arrays()
    known = np.repeat(np.arange(large.table.length), np.diff(starts)) * n + members
    begin, inside = small.expanded().arrays()
    of = np.repeat(large.rows, np.diff(begin))
    wanted = of * n + inside
    at = np.minimum(np.searchsorted(known, wanted), max(len(known) - 1, 0))
    return bool(len(known)) and bool(((of >= 0) & (known[at] == wanted)).all())


def _pairs(a: Sets, b: Sets) -> Sets:
    """Return the unions of sets of at most one input each."""
    pairs = np.stack((np.minimum(a.rows, b.rows), np.maximum(a.rows, b.rows)), axis=1)
    valid = pairs >= 0
    valid[:, 0] &= pairs[:, 0] != pairs[:, 1]
    if valid.all():
        return Sets(np.arange(a.size), Table(a.table.n, np.arange(0, 2 * a.size + 1, 2), pairs.ravel()))
    starts = np.concatenate(([0], np.cumsum(valid.sum(axis=1))))
    return Sets(np.arange(a.size), Table(a.table.n, starts, pairs[valid]))
