"""Colorings of symmetric patterns: variables of one color share a product, and every entry can still be read off some product.

Entry (i, j) stands alone in row i of the product with the seed of the color of j if no other entry of that row has a column of that
color. A star coloring makes that so for every entry or its mirror image; :func:`readable` looks, for any coloring, in time linear in
the number of entries, so that colorings may come from anywhere: regular ones from the lattice that a pattern lives on, greedy ones else.

References
----------
A. H. Gebremedhin, A. Tarafdar, F. Manne, A. Pothen, "New acyclic and star coloring algorithms with application to computing
Hessians", SIAM J. Sci. Comput. 29 (2007), algorithm 4.1. A. H. Gebremedhin, A. Tarafdar, A. Pothen, A. Walther, "Efficient
computation of sparse Hessians using coloring and automatic differentiation", INFORMS J. Comput. 21 (2009). A. Montoison,
G. Dalle, A. Gebremedhin, "Revisiting sparse matrix coloring and bicoloring" (2025), on colors that no entry needs.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.sparse import csr_array

from hessian.linalg import limits
from hessian.sparse.lattice import lattice_colors
from hessian.sparse.orders import ORDERS
from hessian.sparse.rounds import distance_two_colors

_EDGES = 2 * 10**6
"""Entries up to which colors are chosen one variable after the other, which takes about a microsecond an entry."""


@dataclass(frozen=True, eq=False)
class Coloring:
    """Colors of the variables of a pattern.

    Attributes
    ----------
    colors : ndarray, shape (n,)
        0, 1, ...; -1 for a variable that needs no product.
    n_colors : int
        Number of products.
    method : str
        How they were found.
    """

    colors: np.ndarray
    n_colors: int
    method: str

    def seeds(self, dtype: Any = float) -> np.ndarray:
        """Return the directions to multiply with, shape (n_colors, n): ones where a variable has the color."""
        seeds = np.zeros((self.n_colors, len(self.colors)), dtype)
        at = np.flatnonzero(self.colors >= 0)
        seeds[self.colors[at], at] = 1.0
        return seeds


def rows_of(matrix: csr_array) -> np.ndarray:
    """Return the row of every entry."""
    return np.repeat(np.arange(matrix.shape[0]), np.diff(matrix.indptr))


def mirror(matrix: csr_array) -> np.ndarray:
    """Return the position of the mirror image of every entry of a symmetric pattern."""
    numbered = csr_array((np.arange(matrix.nnz), matrix.indices, matrix.indptr), shape=matrix.shape)
    return np.asarray(numbered.tocsc().data)


def alone(rows: np.ndarray, colors: np.ndarray, height: int, count: int) -> np.ndarray:
    """Tell of every entry whether no other one of its row has its color; a negative color is no product."""
    keys = rows * count + colors
    if height * count <= 4 * len(rows) + 2**20:
        result = np.bincount(keys[colors >= 0], minlength=height * count + 1)[keys] == 1
    else:
        _, inverse, counts = np.unique(keys, return_inverse=True, return_counts=True)
        result = counts[inverse] == 1
    return result & (colors >= 0)


def readable(matrix: csr_array, colors: np.ndarray) -> np.ndarray:
    """Tell of every entry of a symmetric pattern whether it stands alone in its row of the product with its column's color."""
    count = int(colors.max(initial=-1)) + 1
    return alone(rows_of(matrix), colors[matrix.indices], matrix.shape[0], max(count, 1))


def is_star(matrix: csr_array, colors: np.ndarray) -> bool:
    """Tell whether every entry of a symmetric pattern, or its mirror image, can be read off a product."""
    here = readable(matrix, colors)
    return bool((here | here[mirror(matrix)]).all())


def star_coloring(matrix: csr_array, order: str = "auto") -> Coloring:
    """Color a symmetric pattern so that every entry can be read off some product.

    Parameters
    ----------
    matrix : csr_array
        Symmetric pattern, sorted.
    order : {"auto", "natural", "largest first", "smallest last", "incidence", "lattice", "rounds"}
        In which order variables get their colors, one after the other; by the lattice, if the pattern lives on one; or in rounds, many
        variables at a time, for very large patterns. ``"auto"`` takes the fewest colors of those that take little time.
    """
    n = matrix.shape[0]
    if matrix.nnz == 0:
        return Coloring(np.full(n, -1), 0, "empty")
    if 2 * matrix.nnz > n * n and n > limits.COLORED_DENSE_ORDER:
        return without_neutral(matrix, np.arange(n), "one each")
    found: list[tuple[np.ndarray, str]] = []
    if order in ("auto", "lattice"):
        colors = lattice_colors(matrix, is_star)
        if colors is not None:
            found.append((colors, "lattice"))
    is_small = matrix.nnz <= limits.ALL_ORDERS_ENTRIES
    names = list(ORDERS) if order == "auto" and is_small else ["natural"] if order == "auto" else []
    if order == "auto" and (matrix.nnz > _EDGES or found):
        names = names if found and is_small else []
    names += [order] if order in ORDERS else []
    adjacency = off_diagonal(matrix)
    least = fewest(adjacency)
    for name in names:
        if not any(int(one[0].max()) < least for one in found):
            found.append((greedy_star(adjacency, ORDERS[name](adjacency)), name))
    if order == "rounds" or not found:
        found.append((distance_two_colors(adjacency), "rounds"))
    colors, method = min(found, key=lambda one: int(one[0].max()))
    return without_neutral(matrix, colors, method)


def fewest(adjacency: csr_array) -> int:
    """Return how many colors a star coloring has at least: three if an entry's variables both have other neighbors, else two or one."""
    degrees = np.diff(adjacency.indptr)
    if not len(adjacency.indices):
        return 1
    return 3 if np.any((degrees[rows_of(adjacency)] > 1) & (degrees[adjacency.indices] > 1)) else 2


def off_diagonal(matrix: csr_array) -> csr_array:
    """Return a pattern without its diagonal."""
    rows = rows_of(matrix)
    keep = rows != matrix.indices
    starts = np.concatenate(([0], np.cumsum(np.bincount(rows[keep], minlength=matrix.shape[0]))))
    return csr_array((np.ones(int(keep.sum()), bool), matrix.indices[keep], starts), shape=matrix.shape)


def greedy_star(adjacency: csr_array, order: np.ndarray) -> np.ndarray:
    """Give variables, in an order, the smallest color that leaves no path of four with two colors.

    Sets of colors are the bits of integers. ``seen`` has the colors beside a variable, ``hubs`` those of its neighbors that are
    centers of stars it is a spoke of: of the former none may be given where two neighbors have one color, of the latter none at all.
    """
    n = adjacency.shape[0]
    starts, neighbors = adjacency.indptr.tolist(), adjacency.indices.tolist()
    color, seen, hubs = [-1] * n, [0] * n, [0] * n
    first: dict[int, int] = {}
    for v in order.tolist():
        beside = [w for w in neighbors[starts[v] : starts[v + 1]] if color[w] >= 0]
        own = twice = banned = 0
        for w in beside:
            bit = 1 << color[w]
            twice |= own & bit
            own |= bit
        for w in beside:
            banned |= seen[w] if twice >> color[w] & 1 else hubs[w]
        banned |= own
        c = (~banned & (banned + 1)).bit_length() - 1
        color[v], bit, centers = c, 1 << c, 0
        for w in beside:
            theirs = color[w]
            if seen[w] & bit:
                # Another neighbor of w has this color: w is the center of a star.
                hubs[first[w * n + c]] |= 1 << theirs
                centers |= 1 << theirs
            else:
                first[w * n + c] = v
                seen[w] |= bit
            if twice >> theirs & 1:
                hubs[w] |= bit
            first.setdefault(v * n + theirs, w)
        hubs[v], seen[v] = centers, own
    return np.array(color)


def without_neutral(matrix: csr_array, colors: np.ndarray, method: str) -> Coloring:
    """Return a coloring without the colors that no entry needs: every one of theirs can be read off another product."""
    count = int(colors.max()) + 1
    here = readable(matrix, colors)
    there = here[mirror(matrix)]
    of_column, of_row = colors[matrix.indices], colors[rows_of(matrix)]
    needed = np.zeros(count, bool)
    needed[of_column[here & ~there]] = True
    needed[of_column[here & (rows_of(matrix) == matrix.indices)]] = True
    both = here & there & ~needed[of_column] & ~needed[of_row]
    # Of two colors between which there are entries that either gives, one must stay.
    for pair in np.unique(of_column[both] * count + of_row[both]).tolist():
        a, b = divmod(pair, count)
        if not needed[a] and not needed[b]:
            needed[b] = True
    if needed.all():
        return Coloring(colors, count, method)
    renumbered = np.where(needed, np.cumsum(needed) - 1, -1)
    return Coloring(renumbered[colors], int(needed.sum()), method)
