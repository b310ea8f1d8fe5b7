"""Pictures of the sharpness along a training run."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from hessian.plotting.canvas import as_row, axes_for, label_axes, line_style, note_below

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def plot_sharpness(trace: Any, *, ax: Axes | None = None, label: str | None = None) -> Axes:
    """Draw the sharpness against the iteration, with its residuals, and the threshold of stability as a dashed line.

    Parameters
    ----------
    trace : SharpnessTrace
        What :func:`hessian.curvature.edge_of_stability` or a ``SharpnessMeter`` measured.
    ax : Axes, optional
        Where to draw; draw several runs into one to compare them.
    label : str, optional
        Name in the legend.

    Raises
    ------
    OptionError
        Nothing has been measured.

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
    ax = axes_for(where, ax)
    style = line_style(len(ax.containers))
    residuals = np.asarray(trace.residuals, dtype=float)
    # A run that diverged is drawn as far as it can be.
    known = np.isfinite(sharpness) & np.isfinite(residuals)
    ax.errorbar(
        iterations,
        np.where(np.isfinite(sharpness), sharpness, np.nan),
        yerr=np.where(known, residuals, 0.0),
        marker="o",
        markersize=2.5,
        linewidth=1.3,
        elinewidth=0.8,
        label=label,
        **style,
    )
    if not math.isnan(trace.threshold):
        name = f"edge of stability, {trace.threshold:.4g}"
        ax.axhline(trace.threshold, color=style["color"], linestyle="--", linewidth=1.0, label=name)
    ends = sharpness[known] - residuals[known]
    ax.set_ylim(bottom=float(np.min(ends, initial=0.0)))
    if np.any(residuals[known] > 0.0):
        note_below(ax, "bars: bounds on the errors of the eigenvalues")
    return label_axes(ax, "iteration", "sharpness (largest eigenvalue)")
