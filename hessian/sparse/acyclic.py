"""Acyclic colorings: fewer products than star colorings, whose entries are solved for one after another.

In an acyclic coloring neighbors differ in color and no cycle has two colors, so that the variables of any two colors, with the entries
between them, are a forest. An entry between a leaf and its parent stands alone in the row of the leaf; taken away, the next one does.
Rounding errors of the products add up on the way: :attr:`Substitution.growth` says how many there are in an entry at most.

References
----------
A. H. Gebremedhin, A. Tarafdar, F. Manne, A. Pothen, "New acyclic and star coloring algorithms with application to computing
Hessians", SIAM J. Sci. Comput. 29 (2007), algorithm 3.1. A. H. Gebremedhin, A. Tarafdar, A. Pothen, A. Walther, "Efficient
computation of sparse Hessians using coloring and automatic differentiation", INFORMS J. Comput. 21 (2009), section 4.
"""

from __future__ import annotations

from collections import deque

import numpy as np
from scipy.sparse import csr_array
from scipy.sparse.linalg import spsolve_triangular

from hessian.linalg import limits
from hessian.sparse.coloring import Coloring, mirror, off_diagonal, rows_of
from hessian.sparse.orders import ORDERS


def acyclic_coloring(matrix: csr_array, order: str = "auto") -> Coloring:
    """Color a symmetric pattern so that neighbors differ and no cycle has two colors.

    Parameters
    ----------
    matrix : csr_array
        Symmetric pattern, sorted.
    order : {"auto", "natural", "largest first", "smallest last", "incidence"}
    """
    n = matrix.shape[0]
    if not matrix.nnz:
        return Coloring(np.full(n, -1), 0, "empty")
    adjacency = off_diagonal(matrix)
    names = [order] if order in ORDERS else list(ORDERS) if matrix.nnz <= limits.ALL_ORDERS_ENTRIES else ["natural"]
    found = [(greedy_acyclic(adjacency, ORDERS[name](adjacency)), name) for name in names]
    colors, name = min(found, key=lambda one: int(one[0].max()))
    return Coloring(colors, int(colors.max()) + 1, f"acyclic, {name}")


def greedy_acyclic(adjacency: csr_array, order: np.ndarray) -> np.ndarray:
    """Give variables, in an order, the smallest color that closes no cycle of two colors.

    All entries between a variable and its neighbors of one color are in one tree; trees are disjoint sets that grow together.
    """
    n = adjacency.shape[0]
    starts, neighbors = adjacency.indptr.tolist(), adjacency.indices.tolist()
    color: list[int] = [-1] * n
    trees: list[dict[int, int]] = [{} for _ in range(n)]
    parent: list[int] = []

    def root(tree: int) -> int:
        while parent[tree] != tree:
            parent[tree] = parent[parent[tree]]
            tree = parent[tree]
        return tree

    for v in order.tolist():
        beside = [w for w in neighbors[starts[v] : starts[v + 1]] if color[w] >= 0]
        banned = {color[w] for w in beside}
        met: set[tuple[int, int]] = set()
        several = len(banned) < len(beside)
        for w in beside if several else ():
            for c, tree in trees[w].items():
                key = (color[w], root(tree))
                if key in met:
                    banned.add(c)
                met.add(key)
        chosen = 0
        while chosen in banned:
            chosen += 1
        color[v] = chosen
        for w in beside:
            tree = trees[w].get(chosen, -1)
            known = trees[v].get(color[w], -1)
            if tree < 0 and known < 0:
                tree = known = len(parent)
                parent.append(tree)
            elif tree >= 0 and known >= 0:
                parent[root(tree)] = root(known)
            trees[w][chosen] = trees[v][color[w]] = known if tree < 0 else tree
    return np.array(color)


class Substitution:
    """The order in which the entries of a symmetric pattern with an acyclic coloring are solved for.

    Parameters
    ----------
    matrix : csr_array
        Symmetric pattern, sorted.
    colors : ndarray

    Attributes
    ----------
    growth : int
        The largest number of products that are added up for an entry: its error is at most that many times the largest of theirs.
    """

    def __init__(self, matrix: csr_array, colors: np.ndarray) -> None:
        n, rows = matrix.shape[0], rows_of(matrix)
        edge, solved, at, after = _peeled(matrix, colors, rows)
        count = len(solved)
        size = sum(map(len, after))
        row = np.repeat(np.arange(count), [len(earlier) for earlier in after])
        column = np.fromiter((i for earlier in after for i in earlier), np.intp, size)
        values = np.concatenate((np.ones(size), np.ones(count)))
        places = (np.concatenate((row, np.arange(count))), np.concatenate((column, np.arange(count))))
        system = csr_array((values, places), shape=(count, count))
        system.sum_duplicates()
        # SuperLU counts in 32 bits.
        index = (system.indices.astype(np.int32), system.indptr.astype(np.int32))
        self._system = csr_array((system.data, *index), shape=(count, count))
        self._at = np.array(at, np.intp)
        # Entry by entry: the number of its solution, or of the product that the diagonal is read off.
        of_edge = np.full(matrix.nnz, -1)
        of_edge[np.array(solved, np.intp)] = np.arange(count)
        self._of = of_edge[edge]
        self._diagonal = np.where(rows == matrix.indices, colors[rows] * n + rows, -1)
        self.growth = int(self._amounts().max(initial=1.0))

    def _amounts(self) -> np.ndarray:
        count = self._system.shape[0]
        if not count:
            return np.ones(1)
        absolute = self._system.copy()
        absolute.data[absolute.indices != rows_of(absolute)] = -1.0
        return np.asarray(spsolve_triangular(absolute, np.ones(count), lower=True, unit_diagonal=True))

    def entries(self, products: np.ndarray) -> np.ndarray:
        """Return all entries, row by row, from products with the seeds of the colors, one a row."""
        numbers = products.ravel()
        known = numbers[np.maximum(self._diagonal, 0)]
        if not self._system.shape[0]:
            return known
        given = numbers[self._at].astype(np.float64)
        solution = spsolve_triangular(self._system, given, lower=True, unit_diagonal=True)
        return np.where(self._diagonal >= 0, known, solution[self._of]).astype(products.dtype)


def _peeled(
    matrix: csr_array, colors: np.ndarray, rows: np.ndarray
) -> tuple[np.ndarray, list[int], list[int], list[list[int]]]:
    """Take leaves off the forests of two colors.

    Returns
    -------
    edge : ndarray
        Of every entry, the position of it or of its mirror image that stands for both.
    solved : list of int
        These positions in the order in which they are solved for.
    at : list of int
        The number in the products that each is solved from.
    after : list of list of int
        Which solutions before it are to be taken away.
    """
    n, count = matrix.shape[0], int(colors.max(initial=0)) + 1
    edge = np.where(rows <= matrix.indices, np.arange(matrix.nnz), mirror(matrix))
    off = np.flatnonzero(rows < matrix.indices).tolist()
    first, second, shade = rows.tolist(), matrix.indices.tolist(), colors.tolist()
    # The edges of a variable to neighbors of a color that are not solved for yet: how many, and their exclusive or.
    left: dict[int, int] = {}
    which: dict[int, int] = {}
    done: dict[int, list[int]] = {}
    for e in off:
        for v, w in ((first[e], second[e]), (second[e], first[e])):
            key = v * count + shade[w]
            left[key] = left.get(key, 0) + 1
            which[key] = which.get(key, 0) ^ e
    leaves = deque(key for key, number in left.items() if number == 1)
    solved: list[int] = []
    at: list[int] = []
    after: list[list[int]] = []
    while leaves:
        # First come, first solved for: from all ends inward, so that few errors add up.
        key = leaves.popleft()
        if left[key] != 1:
            continue
        v, c = divmod(key, count)
        e = which[key]
        w = second[e] if first[e] == v else first[e]
        solved.append(e)
        at.append(c * n + v)
        after.append(done.get(key, []))
        left[key] = 0
        other = w * count + shade[v]
        left[other] -= 1
        which[other] ^= e
        done.setdefault(other, []).append(len(solved) - 1)
        if left[other] == 1:
            leaves.append(other)
    assert len(solved) == len(off), "a cycle has two colors"
    return edge, solved, at, after
