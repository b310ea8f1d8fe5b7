"""Diagonals of inverses from factors: Takahashi's equations, on blocks of a band and on the supernodes of a sparse factor.

With ``A = L D L'`` the inverse Z obeys ``Z = L^-T D^-1 L^-1``, and its entries in the pattern of L follow from those of later rows in the
pattern of L: for columns J of L with rows R below them, ``B = L_RJ L_JJ^-1``,

    Z_RJ = -Z_RR B,    Z_JJ = L_JJ^-T D_J^-1 L_JJ^-1 + B' Z_RR B.

Both terms of the last are positive semidefinite: nothing cancels.

References
----------
K. Takahashi, J. Fagan and M.-S. Chen, Formation of a sparse bus impedance matrix (1973). A. M. Erisman and W. F. Tinney, Comm. ACM 18
(1975) 177-179. L. Lin, C. Yang, J. C. Meza, J. Lu, L. Ying and W. E, "SelInv", ACM TOMS 37 (2011), for supernodes. J. W. H. Liu, SIAM J.
Matrix Anal. Appl. 11 (1990), for elimination trees.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
from scipy.linalg import lapack

from hessian.linalg import limits

_BLOCK = 8
"""Order of the blocks that a narrow band is cut into: products of smaller ones take as long."""


def banded_diagonal(factor: np.ndarray) -> np.ndarray:
    """Return the diagonal of the inverse of ``L L'``, L in LAPACK's lower banded form.

    In blocks as wide as the band, ``S_i = C_i + G_i' S_(i+1) G_i``: a recurrence that doubles its stride in whole-array operations.
    """
    width, n = factor.shape[0] - 1, factor.shape[1]
    if not width:
        return np.asarray(1.0 / factor[0] ** 2)
    order = max(width, _BLOCK)
    count = -(-n // order)
    result = np.empty(count * order)
    behind = np.zeros((order, order))
    step = max(1, limits.BLOCK_NUMBERS // order**2)
    for stop in range(count, 0, -step):
        start = max(0, stop - step)
        starts, links = _blocks(factor, start, stop, order)
        found = _recurrence(starts, links, behind)
        result[start * order : stop * order] = np.einsum("bii->bi", found).ravel()
        behind = found[0]
    return result[:n]


def _blocks(factor: np.ndarray, start: int, stop: int, order: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the blocks C and G of some block columns of a banded factor; behind its end it is the identity."""
    width, n = factor.shape[0] - 1, factor.shape[1]
    count, first = stop - start, start * order
    # Rows of both blocks of a column: the triangle on the diagonal, and the one below it.
    both = np.zeros((count, 2 * order, order))
    every = np.arange(order)
    for d in range(width + 1):
        numbers = np.full(count * order, 0.0 if d else 1.0)
        numbers[: max(0, min(n - d - first, count * order))] = factor[d, first : min(n - d, stop * order)]
        both[:, every + d, every] = numbers.reshape(count, order)
    inverse = np.zeros((count, order, order))
    for i in range(order):
        row = -(both[:, i : i + 1, :i] @ inverse[:, :i])[:, 0]
        row[:, i] += 1.0
        inverse[:, i] = row / both[:, i, i, None]
    return np.swapaxes(inverse, 1, 2) @ inverse, both[:, order:] @ inverse


def _recurrence(starts: np.ndarray, links: np.ndarray, behind: np.ndarray) -> np.ndarray:
    """Return all ``S_i = C_i + G_i' S_(i+1) G_i``, with the one behind the last given: pairs are one step of half as many."""
    count = len(starts)
    if count == 1:
        return starts + np.swapaxes(links, 1, 2) @ behind @ links
    result = np.empty_like(starts)
    first, second = slice(0, count - 1, 2), slice(1, None, 2)
    back = np.swapaxes(links[first], 1, 2)
    folded = starts[first] + back @ starts[second][: len(back)] @ links[first]
    joined = links[second] @ links[first]
    if count % 2:
        folded, joined = np.concatenate([folded, starts[-1:]]), np.concatenate([joined, links[-1:]])
    result[::2] = _recurrence(folded, joined, behind)
    after = np.concatenate([result[2::2], behind[None]])[: count // 2]
    result[1::2] = starts[1::2] + np.swapaxes(links[1::2], 1, 2) @ after @ links[1::2]
    return result


class Fronts:
    """The supernodes of a sparse factor: columns with the same rows below them, in a postorder of the elimination tree.

    Parameters
    ----------
    starts, rows : ndarray of int
        The pattern of L by columns, sorted, its diagonal in it: closed under elimination.
    """

    def __init__(self, starts: np.ndarray, rows: np.ndarray) -> None:
        n = self.order = len(starts) - 1
        columns = np.repeat(np.arange(n), np.diff(starts))
        #: Entries by column and row, as numbers that ascend.
        self._keys = columns * n + rows
        below = np.minimum(starts[:-1] + 1, len(rows) - 1)
        parents = np.where(np.diff(starts) > 1, rows[below], n)
        self.place = _postorder(parents)
        columns, rows = self.place[columns], self.place[rows]
        self._gather = np.lexsort((rows, columns))
        self._rows = rows[self._gather]
        lengths = np.bincount(columns, minlength=n)
        self._starts = np.concatenate([[0], np.cumsum(lengths)])
        after = np.full(n + 1, n)
        after[self.place] = np.append(self.place, n)[parents]
        # A column continues the one before it where that has this one below it, and no other row besides.
        continues = (after[: n - 1] == np.arange(1, n)) & (lengths[1:] == lengths[:-1] - 1)
        self._begins = np.concatenate([[0], 1 + np.flatnonzero(~continues), [n]])
        number = np.repeat(np.arange(len(self._begins) - 1), np.diff(self._begins))
        last = self._begins[1:] - 1
        self._parents = np.append(number, -1)[np.where(after[last] < n, after[last], n)]

    def diagonal(
        self, starts: np.ndarray, rows: np.ndarray, values: np.ndarray, pivots: np.ndarray
    ) -> np.ndarray | None:
        """Return the diagonal of the inverse of ``L D L'``, L with units on its diagonal by columns, sorted, and D of pivots.

        ``None`` where an entry of L is outside of the pattern.
        """
        n = self.order
        keys = np.repeat(np.arange(n), np.diff(starts)) * n + rows
        at = np.searchsorted(self._keys, keys)
        if len(keys) and not np.array_equal(self._keys[np.minimum(at, len(self._keys) - 1)], keys):
            return None
        numbers = np.zeros(len(self._keys))
        numbers[at] = values
        scale = np.empty(n)
        scale[self.place] = pivots
        return self._sweep(numbers[self._gather], scale)[self.place]

    def _sweep(self, numbers: np.ndarray, pivots: np.ndarray) -> np.ndarray:
        """Go from the roots down: the part of the inverse that a supernode needs is one of its parent's."""
        result = np.empty(self.order)
        fronts: dict[int, tuple[np.ndarray, np.ndarray]] = {}
        begins, ends, rows = self._starts, self._begins, self._rows
        parents = self._parents.tolist()
        left = np.bincount(self._parents[self._parents >= 0], minlength=len(parents)).tolist()
        for node in range(len(parents) - 1, -1, -1):
            a, b = int(ends[node]), int(ends[node + 1])
            k = b - a
            front = rows[begins[a] : begins[a + 1]]
            r = len(front) - k
            block = np.zeros((k, k + r))
            block[_triangle(k, k + r)] = numbers[begins[a] : begins[b]]
            corner, inverse = _corner(block[:, :k], pivots[a:b])
            if r:
                parent = parents[node]
                above, whole = fronts[parent]
                at = np.searchsorted(above, front[k:])
                rest = whole[at[:, None], at]
                across = inverse @ block[:, k:] if k > 1 else block[:, k:]
                beside = across @ rest
                corner = corner + beside @ across.T
                left[parent] -= 1
                if not left[parent]:
                    del fronts[parent]
            result[a:b] = corner.diagonal()
            if left[node]:
                full = np.empty((k + r, k + r))
                full[:k, :k] = corner
                if r:
                    full[:k, k:], full[k:, :k], full[k:, k:] = -beside, -beside.T, rest
                fronts[node] = front, full
        return result


def _corner(upper: np.ndarray, pivots: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return ``L^-T D^-1 L^-1`` and the transpose of ``L^-1`` for a triangle, given by its transpose."""
    if len(pivots) == 1:
        return (1.0 / pivots)[:, None], upper
    inverse = lapack.dtrtri(upper, lower=0, unitdiag=1)[0]
    return (inverse / pivots) @ inverse.T, inverse


@cache
def _triangle(height: int, width: int) -> Any:
    return np.triu_indices(height, 0, width)


def _postorder(parents: np.ndarray) -> np.ndarray:
    """Return the places of the nodes of a forest in which subtrees are together and children come first; a root has parent n."""
    n = len(parents)
    above, sizes = parents.tolist(), [1] * (n + 1)
    for node in range(n):
        sizes[above[node]] += sizes[node]
    free, place = [0] * (n + 1), [0] * n
    for node in range(n - 1, -1, -1):
        parent = above[node]
        start = free[node] = free[parent]
        free[parent] = start + sizes[node]
        place[node] = free[parent] - 1
    return np.array(place, np.intp)
