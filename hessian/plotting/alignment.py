"""Pictures of the gradient's share in the directions of largest curvature."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from hessian.plotting.canvas import (
    COLORS,
    GREY,
    as_row,
    axes_for,
    counted,
    label_axes,
    note_below,
    ranks_along,
    title_of,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def plot_alignment(alignment: Any, *, ax: Axes | None = None) -> Axes:
    """Draw the share of the squared gradient along each leading eigenvector as bars, and their sum as a line.

    Parameters
    ----------
    alignment : Alignment
        What :func:`hessian.curvature.gradient_alignment` returns.
    ax : Axes, optional
        Where to draw.

    Returns
    -------
    matplotlib.axes.Axes
        With a dotted line at what the sum would be, on average, for a random gradient, and a bar for the bound on the error of the
        sum where that is seen. Where the bound is 1, a line below says so.

    Raises
    ------
    OptionError
        There are no shares.
    NonFiniteError
        One of them is NaN or infinite.

    Examples
    --------
    >>> import numpy as np
    >>> from hessian.curvature import gradient_alignment
    >>> weights = np.array([1.0, 2.0, 10.0])
    >>> found = gradient_alignment(lambda x: 0.5 * np.sum(weights * x**2), np.array([4.0, 0.0, 0.3]), k=2)
    >>> ax = plot_alignment(found)
    >>> ax.lines[0].get_ydata().round(9).tolist()
    [0.36, 0.36]
    """
    where = "plot_alignment"
    shares = as_row(where, "the shares", alignment.shares, finite=True)
    ax = axes_for(where, ax)
    rank = np.arange(1, len(shares) + 1)
    ax.bar(rank, shares, width=0.7, color=COLORS[5], label="along each eigenvector")
    ax.plot(rank, alignment.cumulative, "o-", color=COLORS[0], markersize=4, linewidth=1.4, label="in all up to it")
    by_chance = alignment.chance / len(shares) * rank
    ax.plot(rank, by_chance, linestyle=":", color=GREY, linewidth=1.4, label="by chance")
    ax.set_ylim(0.0, 1.05)
    error = float(getattr(alignment, "share_error", 0.0))
    if error >= 1.0:
        note_below(ax, f"no gap behind eigenvalue {len(shares)}: the first ones are not determined")
    elif error > 1e-3:
        total = float(np.sum(shares))
        bar = [[min(error, total)], [min(error, max(1.0 - total, 0.0))]]
        ax.errorbar(rank[-1:], [total], yerr=bar, color=COLORS[0], capsize=3)
        note_below(ax, "bar: bound on the error of the sum")
    ranks_along(ax, 1, len(shares))
    order = round(len(shares) / alignment.chance)
    title = f"Gradient along {counted(len(shares), 'eigenvector')} of the largest eigenvalues, order {order}"
    title_of(ax, title, "Gradients along eigenvectors of the largest eigenvalues")
    return label_axes(ax, "rank of the eigenvector", "share of the squared gradient")
