"""Pictures of the gradient's share in the directions of largest curvature."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from hessian.plotting.canvas import COLORS, GREY, as_row, axes_for, label_axes, whole_numbers

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
        With a dotted line at what the sum would be, on average, for a random gradient.

    Raises
    ------
    OptionError
        There are no shares.

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
    shares = as_row(where, "the shares", alignment.shares)
    ax = axes_for(where, ax)
    rank = np.arange(1, len(shares) + 1)
    ax.bar(rank, shares, width=0.7, color=COLORS[5], label="along each eigenvector")
    ax.plot(rank, alignment.cumulative, "o-", color=COLORS[0], markersize=4, linewidth=1.4, label="in all up to it")
    by_chance = alignment.chance / len(shares) * rank
    ax.plot(rank, by_chance, linestyle=":", color=GREY, linewidth=1.4, label="by chance")
    ax.set_ylim(0.0, 1.05)
    whole_numbers(ax)
    return label_axes(ax, "rank of the eigenvector", "share of the squared gradient")
