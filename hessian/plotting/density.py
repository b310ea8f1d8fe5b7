"""Pictures of spectral densities with their confidence bands."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from hessian.curvature.density import AXES, SpectralDensity
from hessian.curvature.density_view import DensityView
from hessian.errors import OptionError, ShapeMismatchError, message
from hessian.plotting.canvas import as_row, axes_for, label_axes, line_style, note_below, wants_log

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_FLOOR = 1e-6
_LINEAR = 0.9 / math.log(10.0)
# Least distance of ticks, by the length of the axis, and decades that are looked at.
_APART = 0.08
_DECADES = 40


def plot_density(
    density: Any,
    *,
    ax: Axes | None = None,
    label: str | None = None,
    scale: Literal["auto", "linear", "log"] = "log",
    axis: Literal["auto", "linear", "symlog"] = "auto",
    eigenvalues: Any = None,
) -> Axes:
    """Draw a density of eigenvalues with the band that holds it.

    Parameters
    ----------
    density : SpectralDensity
        What :func:`hessian.curvature.spectral_density` returns; or bare numbers, anything with ``grid`` and ``density``, shape
        (m,), and ``band``, shape (2, m).
    ax : Axes, optional
        Where to draw; draw several densities into one to compare them.
    label : str, optional
        Name in the legend.
    scale : {"log", "linear", "auto"}
        Of the vertical axis. The log axis, which shows single outlying eigenvalues beside the bulk, ends at a tenth of what one
        eigenvalue shows, or for bare numbers a factor 1e6 below the highest peak.
    axis : {"auto", "linear", "symlog"}
        The horizontal one: that of :meth:`SpectralDensity.view`. Axes that hold a density already keep theirs. Bare numbers are
        drawn as they are.
    eigenvalues : array_like, shape (k,), optional
        Exact ones, or Ritz values, marked below the curve.

    Raises
    ------
    OptionError
        The grid is empty, or the scale or the axis is unknown.
    ShapeMismatchError
        Density or band do not fit the grid.

    Notes
    -----
    Nothing is drawn where bounds say that there is no eigenvalue, nor for eigenvalues that are zero to rounding, of which a line
    below the axis tells the count. On a symlog axis the area under the curve is the share of eigenvalues per decade.

    Examples
    --------
    >>> import numpy as np
    >>> from hessian.curvature import spectral_density
    >>> ax = plot_density(spectral_density(np.diag([1.0, 2.0, 5.0])), eigenvalues=[1.0, 2.0, 5.0])
    >>> ax.get_xlabel(), ax.get_ylabel(), ax.get_yscale()
    ('eigenvalue', 'share of eigenvalues per unit', 'log')
    """
    where = "plot_density"
    if axis not in AXES:
        raise OptionError(message(where, f"axis is {axis!r}", fix=f"Pass one of: {', '.join(AXES)}"))
    ax = axes_for(where, ax, 6.4, 4.0)
    view = _view(density, ax, axis)
    drawn = density if view is None else view
    grid_points = np.asarray(drawn.grid, float) if view is not None else as_row(where, "the grid", drawn.grid)
    heights, band = np.asarray(drawn.density, dtype=float), np.asarray(drawn.band, dtype=float)
    if heights.shape != grid_points.shape or band.shape != (2, *grid_points.shape):
        what = f"density and band have shapes {heights.shape} and {band.shape}, the grid {grid_points.shape}"
        raise ShapeMismatchError(message(where, what, fix="Pass a density per grid point, and a band of shape (2, m)"))
    is_log = wants_log(where, scale, heights)
    style = line_style(len(ax.get_lines()))
    is_first = not ax.get_lines()
    name = label if label is not None or view is None or not len(view.grid) else f"density, {view.kernel()}"
    ax.plot(grid_points, heights, linewidth=1.4, label=name, **style)
    level = getattr(density, "level", None)
    if view is None or not (view.measured.is_exact or not len(view.grid)):
        title = None if level is None else f"{level:.0%} band" if label is None else f"{level:.0%} band of {label}"
        ax.fill_between(grid_points, *band, color=style["color"], alpha=0.25, linewidth=0.0, label=title)
    peak = float(np.max(heights, where=np.isfinite(heights), initial=0.0))
    if view is not None:
        _annotate(ax, view, style["color"], label, is_first)
    if eigenvalues is not None:
        _mark(ax, as_row(where, "the eigenvalues", eigenvalues), 0.0 if view is None else view.zero_below)
    if is_log and peak > 0.0:
        ax.set_yscale("log")
        bottom = _FLOOR * peak if view is None else view.floor
        ends = ax.get_ylim()
        ax.set_ylim(bottom=bottom if is_first else min(bottom, ends[0]))
        if view is not None:
            highest = max(
                float(band[1].max()), *(share * view.measured.n * view.single for *_, share in view.spots), 0.0
            )
            # Room for the legend above what is drawn: a third of the axis.
            top = highest * max(20.0, math.sqrt(highest / bottom) if bottom > 0.0 else 0.0)
            ax.set_ylim(top=top if is_first else max(top, ends[1]))
    elif peak > 0.0:
        ax.set_ylim(bottom=0.0)
    return label_axes(ax, "eigenvalue", f"share of eigenvalues per {'unit' if view is None else view.unit}")


def _view(density: Any, ax: Axes, axis: Any) -> DensityView | None:
    """Return the density on an axis that suits it, or on the one that is there; ``None`` for numbers alone."""
    if not isinstance(density, SpectralDensity):
        return None
    if ax.get_lines():
        is_symlog = ax.get_xscale() == "symlog"
        below: Any = getattr(ax.xaxis.get_transform(), "linthresh", None)
        return density.view("symlog", linear_below=below) if is_symlog else density.view("linear")
    view = density.view(axis)
    if view.axis == "symlog":
        # So long a linear part makes the axis smooth, and one with the positions of the view.
        ax.set_xscale("symlog", linthresh=view.linear_below, linscale=_LINEAR)
    return view


def _annotate(ax: Axes, view: DensityView, color: str, label: str | None, is_first: bool) -> None:
    """Say what was measured and how, draw what has no extent, and tell what is not drawn."""
    ax.set_title(view.title() if is_first else "Spectral densities", fontsize=10)
    for name, (_, mean, _, share) in zip(view.spot_names(), view.spots, strict=True):
        height = share * view.measured.n * view.single
        ax.plot(
            [mean, mean], [0.0 if not len(view.grid) else view.floor, height], color=color, linewidth=2.0, label=name
        )
    if not len(view.grid):
        # A height that is per length of the axis says nothing of what has no length.
        ax.set_yticks([])
    if not len(view.grid) and not view.spots:
        ax.set_xlim(-1.0, 1.0)
    elif is_first:
        _limit(ax, view)
    notes = "\n".join(view.notes())
    note_below(ax, notes if label is None else f"{label}: {notes}")


def _limit(ax: Axes, view: DensityView) -> None:
    """Let the axis end a little beyond what is drawn, and put few powers of ten on it."""
    shown = np.concatenate([view.grid[view.shown()], [mean for _, mean, _, _ in view.spots]])
    low, high = float(shown.min()), float(shown.max())
    if view.axis == "linear":
        margin = 0.04 * (high - low) or 0.5 * abs(high) or 1.0
        ax.set_xlim(low - margin, high + margin)
        return
    ends = [_beyond(low, -1.0, view.linear_below), _beyond(high, 1.0, view.linear_below)]
    ax.set_xlim(*ends)
    ticks = _ticks(ax, *ends)
    ax.set_xticks(ticks, [_tick_name(tick) for tick in ticks])
    ax.minorticks_off()


def _beyond(end: float, sign: float, linear_below: float) -> float:
    """Move an end outwards: by half beyond the linear part, by a third of that inside of it."""
    if abs(end) <= linear_below:
        return end + sign * 0.3 * linear_below
    return end * 1.6 if end * sign > 0.0 else end / 1.6


def _ticks(ax: Axes, low: float, high: float) -> list[float]:
    """Zero and powers of ten of both signs, those far out first, then their multiples, where there is room."""
    place = ax.xaxis.get_transform().transform
    least = _APART * float(np.ptp(place(np.array([low, high]))))
    powers = np.arange(math.floor(math.log10(max(abs(low), abs(high)))), -324, -1)[:_DECADES]
    wanted = [0.0, *(sign * factor * 10.0**k for factor in (1, 5, 2) for k in powers.tolist() for sign in (1.0, -1.0))]
    found: list[float] = []
    for tick in wanted:
        if low <= tick <= high and all(abs(float(np.diff(place(np.array([tick, one])))[0])) >= least for one in found):
            found.append(tick)
    return sorted(found)


def _tick_name(tick: float) -> str:
    """Write a power of ten short."""
    if tick == 0.0:
        return "0"
    if 1e-3 < abs(tick) < 1e4:
        return f"{tick:g}"
    power = math.floor(math.log10(abs(tick)) + 1e-9)
    factor = round(abs(tick) / 10.0**power)
    return f"${'-' if tick < 0.0 else ''}{'' if factor == 1 else f'{factor}·'}10^{{{power}}}$"


def _mark(ax: Axes, marks: np.ndarray, zero_below: float) -> None:
    """Mark eigenvalues at the bottom, but those that are zero to rounding."""
    marks = marks[np.abs(marks) > zero_below]
    if not len(marks):
        return
    below = ax.get_xaxis_transform()
    ax.plot(marks, np.full(marks.shape, 0.02), "|", color="black", markersize=7, transform=below, label="eigenvalues")
