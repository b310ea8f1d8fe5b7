"""Colorings of Jacobians: of columns, of rows, or of both, whichever takes the fewest products.

Columns of one color share a pushforward if no row has entries in two of them; rows of one color share a pullback. With both, an entry is
read off whichever product it stands alone in: a star coloring of the symmetric pattern [[0, J^T], [J, 0]] without the colors that
no entry needs.

References
----------
A. Montoison, G. Dalle, A. Gebremedhin, "Revisiting sparse matrix coloring and bicoloring" (2025).
T. F. Coleman, A. Verma, "The efficient computation of sparse Jacobian matrices using automatic differentiation", SIAM J. Sci.
Comput. 19 (1998).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.sparse import block_array, csr_array

from hessian.sparse.coloring import Coloring, alone, greedy_star, rows_of
from hessian.sparse.lattice import lattice_colors
from hessian.sparse.orders import largest_first, natural

_TWO_SIDED = 3
"""Products up to which one side is colored and it is left at that."""
_ENTRIES = 10**6
"""Entries up to which both sides are colored."""


@dataclass(frozen=True, eq=False)
class Sides:
    """Colors of columns, for pushforwards, and of rows, for pullbacks; a side may have none."""

    columns: Coloring
    rows: Coloring

    @property
    def n_colors(self) -> int:
        """Number of products."""
        return self.columns.n_colors + self.rows.n_colors

    @property
    def method(self) -> str:
        """How the colors were found."""
        return " and ".join(f"{side.method} ({name})" for name, side in self._used) or "empty"

    @property
    def _used(self) -> list[tuple[str, Coloring]]:
        return [(name, side) for name, side in (("columns", self.columns), ("rows", self.rows)) if side.n_colors]


def are_apart(matrix: csr_array, colors: np.ndarray) -> bool:
    """Tell whether no row has entries in two columns of one color."""
    count = int(colors.max(initial=0)) + 1
    return bool(alone(rows_of(matrix), colors[matrix.indices], matrix.shape[0], count).all())


def jacobian_coloring(matrix: csr_array, side: str = "auto") -> Sides:
    """Color a Jacobian's columns, its rows, or both.

    Parameters
    ----------
    matrix : csr_array
        Sorted pattern.
    side : {"auto", "columns", "rows", "both"}
    """
    m, n = matrix.shape
    none = [Coloring(np.full(k, -1), 0, "none") for k in (n, m)]
    if not matrix.nnz:
        return Sides(*none)
    transposed = csr_array(matrix.T.tocsr())
    transposed.sort_indices()
    found = []
    if side in ("auto", "columns"):
        found.append(Sides(_one_sided(matrix), none[1]))
    if side in ("auto", "rows"):
        found.append(Sides(none[0], _one_sided(transposed)))
    least = min((sides.n_colors for sides in found), default=m + n)
    if side == "both" or (side == "auto" and least > _TWO_SIDED and matrix.nnz <= _ENTRIES):
        found.append(_two_sided(matrix, transposed))
    return min(found, key=lambda sides: sides.n_colors)


def _one_sided(matrix: csr_array) -> Coloring:
    """Color columns."""
    least = int(np.diff(matrix.indptr).max())
    if least == matrix.shape[1]:
        return Coloring(np.arange(least), least, "one each")
    candidates = []
    colors = lattice_colors(matrix, are_apart)
    if colors is not None:
        candidates.append((colors, "lattice"))
    # No coloring has fewer colors than a row has entries.
    if colors is None or int(colors.max()) + 1 > least:
        for name, order in (("natural", None), ("largest first", largest_first)):
            if not candidates or int(min(c.max() for c, _ in candidates)) + 1 > least:
                candidates.append((_greedy_columns(matrix, order is not None), name))
    colors, method = min(candidates, key=lambda one: int(one[0].max()))
    counts = np.bincount(matrix.indices, minlength=matrix.shape[1])
    return _compacted(np.where(counts > 0, colors, -1), method)


def _compacted(colors: np.ndarray, method: str) -> Coloring:
    used = np.unique(colors[colors >= 0])
    renumbered = np.where(colors >= 0, np.searchsorted(used, colors), -1)
    return Coloring(renumbered, len(used), method)


def _greedy_columns(matrix: csr_array, largest: bool) -> np.ndarray:
    """Give columns the smallest color that none has with which they share a row; sets of colors are the bits of integers."""
    columns = csr_array(matrix.T.tocsr())
    starts, rows = columns.indptr.tolist(), columns.indices.tolist()
    order = np.argsort(-np.diff(columns.indptr), kind="stable") if largest else np.arange(columns.shape[0])
    color, seen = [0] * columns.shape[0], [0] * columns.shape[1]
    for v in order.tolist():
        own = rows[starts[v] : starts[v + 1]]
        banned = 0
        for r in own:
            banned |= seen[r]
        bit = ~banned & (banned + 1)
        color[v] = bit.bit_length() - 1
        for r in own:
            seen[r] |= bit
    return np.array(color)


def _two_sided(matrix: csr_array, transposed: csr_array) -> Sides:
    """Color columns and rows together: by a star coloring of both, or with a product for each of the fullest rows or columns."""
    n = matrix.shape[1]
    whole = csr_array(block_array([[None, transposed], [matrix, None]], format="csr"))
    whole.sort_indices()
    found = []
    for name, order in (("natural", natural), ("largest first", largest_first)):
        colors = greedy_star(whole, order(whole))
        columns, rows = _needed(matrix, transposed, colors[:n], colors[n:])
        found.append(Sides(_compacted(columns, name), _compacted(rows, name)))
    fullest, rest = _without_fullest(matrix)
    found.append(Sides(rest, fullest))
    fullest, rest = _without_fullest(transposed)
    found.append(Sides(fullest, rest))
    return min(found, key=lambda sides: sides.n_colors)


def _without_fullest(matrix: csr_array) -> tuple[Coloring, Coloring]:
    """Give the fullest rows a product each, and color columns for the rest."""
    counts = np.diff(matrix.indptr)
    ranked = np.sort(counts)[::-1]
    count = int(np.argmin(np.arange(len(ranked)) + ranked))
    rows = np.full(len(counts), -1)
    rows[np.argsort(-counts, kind="stable")[:count]] = np.arange(count)
    rest = csr_array(matrix[rows < 0])
    none = Coloring(np.full(matrix.shape[1], -1), 0, "none")
    return Coloring(rows, count, "one each"), _one_sided(rest) if rest.nnz else none


def readable_sides(
    matrix: csr_array, transposed: csr_array, columns: np.ndarray, rows: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Tell of every entry, in the order of the rows, whether it stands alone in a pushforward, and whether in a pullback."""
    forward = alone(rows_of(matrix), columns[matrix.indices], matrix.shape[0], int(columns.max(initial=0)) + 1)
    back = alone(rows_of(transposed), rows[transposed.indices], transposed.shape[0], int(rows.max(initial=0)) + 1)
    numbered = csr_array((np.arange(matrix.nnz), matrix.indices, matrix.indptr), shape=matrix.shape).tocsc().data
    in_rows = np.empty(matrix.nnz, bool)
    in_rows[numbered] = back
    return forward, in_rows


def _needed(
    matrix: csr_array, transposed: csr_array, columns: np.ndarray, rows: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Leave out colors of columns, then of rows, that no entry needs."""
    forward, back = readable_sides(matrix, transposed, columns, rows)
    of_column, of_row = columns[matrix.indices], rows[rows_of(matrix)]
    keep_column = np.zeros(int(columns.max(initial=0)) + 1, bool)
    keep_row = np.zeros(int(rows.max(initial=0)) + 1, bool)
    keep_column[of_column[forward & ~back]] = True
    keep_row[of_row[back & ~forward]] = True
    open_ = forward & back & ~keep_column[of_column] & ~keep_row[of_row]
    # Of the two sides that give the rest the one with fewer colors.
    if len(np.unique(of_column[open_])) <= len(np.unique(of_row[open_])):
        keep_column[of_column[open_]] = True
    else:
        keep_row[of_row[open_]] = True
    return np.where(keep_column[columns], columns, -1), np.where(keep_row[rows], rows, -1)
