"""Pictures of sparse patterns and their colors."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.sparse import csr_array

from hessian.errors import OptionError, message
from hessian.plotting.canvas import COLORS, GREY, axes_for, note_below
from hessian.sparse.columns import readable_sides
from hessian.sparse.pattern import SparsityPattern

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_POINTS = 200_000


def plot_pattern(pattern: Any, *, ax: Axes | None = None, color: bool = True) -> Axes:
    """Draw where a sparse matrix has entries, each in the color of the product that its column shares.

    Parameters
    ----------
    pattern : SparsityPattern
        What ``.pattern(x)`` of :func:`hessian.sparse.hessian` and :func:`hessian.sparse.jacobian` returns.
    ax : Axes, optional
        Where to draw.
    color : bool
        ``False`` draws all entries alike. Colors begin again after seven.

    Returns
    -------
    matplotlib.axes.Axes
        Rows from top to bottom, as a matrix is written.

    Raises
    ------
    OptionError
        The matrix has no rows or no columns; it is not a SparsityPattern.

    Notes
    -----
    Of more than 2e5 entries every so many-th is drawn, and a line below says so.

    Examples
    --------
    >>> import numpy as np, hessian as hs
    >>> pattern = hs.sparse.hessian(lambda x: np.sum((x[1:] - x[:-1] ** 2) ** 2)).pattern(np.zeros(12))
    >>> ax = plot_pattern(pattern)
    >>> ax.get_title()
    '12 × 12, 34 entries, 3 colors'
    """
    where = "plot_pattern"
    if not isinstance(pattern, SparsityPattern):
        fix = "Pass hs.sparse.hessian(f).pattern(x), or SparsityPattern(matrix, symmetric=False)"
        raise OptionError(message(where, f"the pattern is {type(pattern).__name__}", fix=fix))
    m, n = pattern.shape
    if not m * n:
        raise OptionError(message(where, f"the matrix has shape ({m}, {n})", "There is nothing to draw"))
    ax = axes_for(where, ax, 4.6, 4.6)
    rows, columns = pattern.matrix.nonzero()
    step = -(-len(rows) // _POINTS) or 1
    rows, columns = rows[::step], columns[::step]
    sides = pattern.sides
    of_entry = sides.columns.colors[columns]
    if sides.rows.n_colors:
        transposed = csr_array(pattern.matrix.T.tocsr())
        transposed.sort_indices()
        forward, _ = readable_sides(pattern.matrix, transposed, sides.columns.colors, sides.rows.colors)
        of_entry = np.where(forward[::step], of_entry, sides.columns.n_colors + sides.rows.colors[rows])
    shades = np.array([*COLORS, GREY])
    shown = np.where(of_entry >= 0, of_entry % len(COLORS), len(COLORS)) if color else np.full(len(rows), len(COLORS))
    size = max(0.2, min(60.0, (220.0 / max(m, n)) ** 2))
    ax.scatter(columns, rows, s=size, c=shades[shown], marker="s", linewidths=0)
    ax.set_xlim(-0.5, n - 0.5)
    ax.set_ylim(m - 0.5, -0.5)
    ax.set_aspect("equal" if max(m, n) <= 10 * min(m, n) else "auto")
    ax.set_xlabel("variable")
    ax.set_ylabel("variable" if pattern.is_symmetric else "result")
    ax.set_title(f"{m} × {n}, {pattern.nnz} entries, {pattern.n_colors} colors", fontsize=10)
    if step > 1:
        note_below(ax, f"{len(rows)} of {pattern.nnz} entries are drawn, one of {step}")
    if color and pattern.n_colors > len(COLORS):
        note_below(ax, f"colors begin again after {len(COLORS)}")
    return ax
