"""Pictures of the sharpness along a training run."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from hessian.plotting.canvas import (
    as_row,
    axes_for,
    check_range,
    counted,
    label_axes,
    line_style,
    note_below,
    note_left_out,
    title_of,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def plot_sharpness(trace: Any, *, ax: Axes | None = None, label: str | None = None) -> Axes:
    """Draw the sharpness against the iteration, with its errors, and the threshold of stability as a dashed line.

    Parameters
    ----------
    trace : SharpnessTrace
        What :func:`hessian.curvature.edge_of_stability` or a ``SharpnessMeter`` measured.
    ax : Axes, optional
        Where to draw; draw several runs into one to compare them.
    label : str, optional
        Name in the legend.

    Returns
    -------
    Axes
        ``ax.figure`` is the figure.

    Raises
    ------
    OptionError
        Nothing has been measured, or numbers are of a size that matplotlib draws at a wrong place.

    Notes
    -----
    Bars are as long as the residuals: some eigenvalue is there. Above what was found, a band shows how far the largest may be, with
    probability 0.95 at each point (``standard_error``), unless most points bound nothing. What is not finite is left out, and lines
    below say how much, and where so few products bound nothing.

    Examples
    --------
    >>> import numpy as np
    >>> from hessian.curvature import edge_of_stability
    >>> trace, _ = edge_of_stability(lambda x: 1.5 * np.sum(x**2), np.ones(2), step_size=0.1, steps=20)
    >>> ax = plot_sharpness(trace)
    >>> ax.get_xlabel(), ax.lines[0].get_ydata().round(9).tolist(), ax.lines[-1].get_label()
    ('iteration', [3.0, 3.0, 3.0], 'edge of stability, 20')
    """
    where = "plot_sharpness"
    iterations = as_row(where, "the trace", trace.iterations)
    sharpness = as_row(where, "the sharpness", trace.sharpness)
    check_range(where, "the sharpness", sharpness, trace.threshold)
    ax = axes_for(where, ax)
    style, is_first = line_style(len(ax.containers)), not ax.containers
    residuals = np.asarray(trace.residuals, dtype=float)
    # A run that diverged is drawn as far as it can be.
    finite = np.isfinite(sharpness)
    known = finite & np.isfinite(residuals)
    ax.errorbar(
        iterations,
        np.where(finite, sharpness, np.nan),
        yerr=np.where(known, residuals, 0.0),
        marker="o",
        markersize=2.5,
        linewidth=1.3,
        elinewidth=0.8,
        label=label,
        **style,
    )
    if not math.isnan(trace.threshold):
        name = f"edge of stability{'' if label is None else f' of {label}'}, {trace.threshold:.4g}"
        ax.axhline(trace.threshold, color=style["color"], linestyle="--", linewidth=1.0, label=name)
    _band(ax, iterations, np.where(finite, sharpness, np.nan), trace, style["color"], label)
    ends = sharpness[known] - residuals[known]
    bottom = float(np.min(ends, initial=0.0))
    ax.set_ylim(bottom=bottom if is_first else min(bottom, ax.get_ylim()[0]))
    title_of(
        ax,
        f"Sharpness at {counted(len(iterations), 'point')} of a run, by Lanczos",
        "Sharpness of several runs, by Lanczos",
    )
    if np.any(residuals[known] > 0.0):
        note_below(ax, "bars: bounds on the errors of the eigenvalues")
    note_left_out(ax, int(np.sum(~finite)), len(sharpness), "not finite", label)
    unbounded = int(np.sum(finite & ~known))
    if unbounded:
        what = f"{unbounded} of {len(sharpness)} without a bound on the error"
        note_below(ax, what if label is None else f"{label}: {what}")
    return label_axes(ax, "iteration", "sharpness (largest eigenvalue)")


def _band(ax: Axes, iterations: np.ndarray, sharpness: np.ndarray, trace: Any, color: str, label: str | None) -> None:
    """Shade how far above what was found the largest eigenvalue may be, where most points bound that; it may leave the picture."""
    reach = 2.0 * np.asarray(getattr(trace, "standard_error", ()), dtype=float)
    if reach.shape != sharpness.shape:
        return
    bounded = np.isfinite(reach)
    if not bounded.all():
        few = f"{np.sum(~bounded)} of {len(reach)} not bounded from above by so few products"
        note_below(ax, few if label is None else f"{label}: {few}")
    if np.any(reach[bounded] > 0.0) and np.mean(bounded) > 0.5:
        ends = ax.get_ylim()
        top = np.where(bounded, sharpness + reach, np.nan)
        ax.fill_between(iterations, sharpness, top, color=color, alpha=0.25, linewidth=0.0)
        ax.set_ylim(*ends)
        note_below(ax, "bands: hold the largest eigenvalue with probability 0.95 each")
