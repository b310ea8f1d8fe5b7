"""Pictures of spectral densities with their confidence bands."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from hessian.curvature.density import AXES, SpectralDensity
from hessian.curvature.density_view import DensityView
from hessian.errors import OptionError, ShapeMismatchError, message
from hessian.plotting.canvas import (
    as_row,
    axes_for,
    check_range,
    label_axes,
    line_style,
    note_below,
    note_left_out,
    title_of,
    wants_log,
)

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

    Returns
    -------
    Axes
        ``ax.figure`` is the figure.

    Raises
    ------
    OptionError
        The grid is empty, the scale or the axis is unknown, or numbers are of a size that matplotlib draws at a wrong place.
    NonFiniteError
        An eigenvalue to be marked, or a grid point, is NaN or infinite.
    ShapeMismatchError
        Density or band do not fit the grid.

    Notes
    -----
    Nothing is drawn where bounds say that there is no eigenvalue, nor for eigenvalues that are zero to rounding, of which a line
    below the axis tells the count. On a symlog axis the area under the curve is the share of eigenvalues per decade. Limits of the
    axis hold all densities and all marks in it.

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
    points, heights, band = _curves(where, density if view is None else view, is_checked=view is not None)
    is_log = wants_log(where, scale, heights)
    marks = np.zeros(0) if eigenvalues is None else as_row(where, "the eigenvalues", eigenvalues, finite=True)
    check_range(where, "the grid", points, marks)
    check_range(where, "the density", heights, band, log=is_log)
    color, is_first = line_style(len(ax.get_lines()))["color"], not ax.get_lines()
    name: str | None = "density" if label is None else label
    if view is not None:
        name = f"{name}, {view.kernel()}" if len(view.grid) else label
    ax.plot(points, heights, linewidth=1.4, label=name, **line_style(len(ax.get_lines())))
    if view is None or not (view.measured.is_exact or not len(view.grid)):
        level = getattr(density, "level", None)
        title = ("band" if level is None else f"{level:.0%} band") + ("" if label is None else f" of {label}")
        ax.fill_between(points, *band, color=color, alpha=0.25, linewidth=0.0, label=title)
    if view is not None:
        _annotate(ax, view, color, label, is_first)
    else:
        title_of(ax, "Spectral density, from numbers", "Spectral densities")
    if eigenvalues is not None:
        _mark(ax, marks, 0.0 if view is None else view.zero_below)
    peak = float(np.max(heights, where=np.isfinite(heights), initial=0.0))
    if is_log and peak > 0.0:
        ax.set_yscale("log")
        _limit_heights(ax, view, _FLOOR * peak if view is None else view.floor, band, is_first)
    elif peak > 0.0:
        ax.set_ylim(bottom=0.0)
    return label_axes(ax, "eigenvalue", f"share of eigenvalues per {'unit' if view is None else view.unit}")


def _curves(where: str, drawn: Any, is_checked: bool) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return grid, density and band."""
    points = np.asarray(drawn.grid, float) if is_checked else as_row(where, "the grid", drawn.grid, finite=True)
    heights, band = np.asarray(drawn.density, dtype=float), np.asarray(drawn.band, dtype=float)
    if heights.shape != points.shape or band.shape != (2, *points.shape):
        what = f"density and band have shapes {heights.shape} and {band.shape}, the grid {points.shape}"
        raise ShapeMismatchError(message(where, what, fix="Pass a density per grid point, and a band of shape (2, m)"))
    return points, heights, band


def _limit_heights(ax: Axes, view: DensityView | None, bottom: float, band: np.ndarray, is_first: bool) -> None:
    """Let a log axis end below at what nobody needs to see, and leave a third of it above for the legend."""
    ends = ax.get_ylim()
    ax.set_ylim(bottom=bottom if is_first else min(bottom, ends[0]))
    if view is not None:
        spots = (share * view.measured.n * view.single for *_, share in view.spots)
        highest = max(float(band[1].max()), *spots, 0.0)
        top = highest * max(20.0, math.sqrt(highest / bottom) if bottom > 0.0 else 0.0)
        ax.set_ylim(top=top if is_first else max(top, ends[1]))


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
    title_of(ax, view.title(), "Spectral densities")
    if label is not None:
        note_below(ax, f"{label}: {view.data()}")
    for name, (_, mean, _, share) in zip(view.spot_names(), view.spots, strict=True):
        height = share * view.measured.n * view.single
        ax.plot(
            [mean, mean], [0.0 if not len(view.grid) else view.floor, height], color=color, linewidth=2.0, label=name
        )
    if not len(view.grid):
        # A height that is per length of the axis says nothing of what has no length.
        ax.set_yticks([])
    shown = np.concatenate([view.grid[view.shown()], [mean for _, mean, _, _ in view.spots]])
    if shown.size:
        _limit(ax, float(shown.min()), float(shown.max()), None if is_first else ax.get_xlim())
    elif is_first:
        ax.set_xlim(-1.0, 1.0)
    note_below(ax, "\n".join(note if label is None else f"{label}: {note}" for note in view.notes()))


def _limit(ax: Axes, low: float, high: float, before: tuple[float, float] | None) -> None:
    """Let the axis end a little beyond what is drawn, now and before, and put few powers of ten on it."""
    before = (math.inf, -math.inf) if before is None else before
    if ax.get_xscale() != "symlog":
        margin = 0.04 * (high - low) or 0.5 * abs(high) or 1.0
        ax.set_xlim(min(low - margin, before[0]), max(high + margin, before[1]))
        return
    linear_below: float = ax.xaxis.get_transform().linthresh  # type: ignore[attr-defined]
    ends = [min(_beyond(low, -1.0, linear_below), before[0]), max(_beyond(high, 1.0, linear_below), before[1])]
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
    alive = np.abs(marks) > zero_below
    note_left_out(ax, int(np.sum(~alive)), len(marks), "zero to rounding", "marks")
    marks = marks[alive]
    if not len(marks):
        return
    if marks.min() < ax.get_xlim()[0] or marks.max() > ax.get_xlim()[1]:
        _limit(ax, float(marks.min()), float(marks.max()), ax.get_xlim())
    below = ax.get_xaxis_transform()
    ax.plot(marks, np.full(marks.shape, 0.02), "|", color="black", markersize=7, transform=below, label="eigenvalues")
