"""Pictures of spectral densities with their confidence bands."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from hessian.errors import ShapeMismatchError, message
from hessian.plotting.canvas import as_row, axes_for, label_axes, line_style, wants_log

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_FLOOR = 1e-6


def plot_density(
    density: Any,
    *,
    ax: Axes | None = None,
    label: str | None = None,
    scale: str = "log",
    eigenvalues: Any = None,
) -> Axes:
    """Draw a density of eigenvalues with the band that holds it.

    Parameters
    ----------
    density : SpectralDensity
        What :func:`hessian.curvature.spectral_density` returns: ``grid`` and ``density``, shape (m,), ``band``, shape (2, m).
    ax : Axes, optional
        Where to draw; draw several densities into one to compare them.
    label : str, optional
        Name in the legend.
    scale : {"log", "linear", "auto"}
        Of the vertical axis. The log axis, which shows single outlying eigenvalues beside the bulk, ends a factor 1e6 below
        the highest peak.
    eigenvalues : array_like, shape (k,), optional
        Exact ones, or Ritz values, marked below the curve.

    Raises
    ------
    OptionError
        The grid is empty, or the scale is unknown.
    ShapeMismatchError
        Density or band do not fit the grid.

    Examples
    --------
    >>> import numpy as np
    >>> from hessian.curvature import spectral_density
    >>> ax = plot_density(spectral_density(np.diag([1.0, 2.0, 5.0])), eigenvalues=[1.0, 2.0, 5.0])
    >>> ax.get_xlabel(), ax.get_ylabel(), ax.get_yscale()
    ('eigenvalue', 'share of eigenvalues per unit', 'log')
    """
    where = "plot_density"
    grid_points = as_row(where, "the grid", density.grid)
    heights, band = np.asarray(density.density, dtype=float), np.asarray(density.band, dtype=float)
    if heights.shape != grid_points.shape or band.shape != (2, *grid_points.shape):
        what = f"density and band have shapes {heights.shape} and {band.shape}, the grid {grid_points.shape}"
        raise ShapeMismatchError(message(where, what, fix="Pass a density per grid point, and a band of shape (2, m)"))
    is_log = wants_log(where, scale, heights)
    ax = axes_for(where, ax)
    style = line_style(len(ax.lines))
    ax.plot(grid_points, heights, linewidth=1.4, label=label, **style)
    level = getattr(density, "level", None)
    name = None if level is None else f"{level:.0%} band"
    # Where curves have names, a band is explained by the colour of its curve.
    explained = name if label is None else None
    ax.fill_between(grid_points, *band, color=style["color"], alpha=0.25, linewidth=0.0, label=explained)
    if eigenvalues is not None:
        marks = as_row(where, "the eigenvalues", eigenvalues)
        below = ax.get_xaxis_transform()
        ax.plot(
            marks, np.full(marks.shape, 0.02), "|", color="black", markersize=7, transform=below, label="eigenvalues"
        )
    peak = float(np.max(heights, where=np.isfinite(heights), initial=0.0))
    if is_log and peak > 0.0:
        ax.set_yscale("log")
        ax.set_ylim(bottom=_FLOOR * peak)
    return label_axes(ax, "eigenvalue", "share of eigenvalues per unit")
