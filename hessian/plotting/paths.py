"""Pictures of the ways that solvers took over a function of two variables."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from hessian.arguments import whole_number
from hessian.errors import OptionError, ShapeMismatchError, message
from hessian.plotting.canvas import (
    GREY,
    axes_for,
    check_range,
    counted,
    line_style,
    note_below,
    note_left_out,
    show_labels,
    title_of,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_MARGIN = 0.15
_LEVELS = 18
_DOTS = 60


def plot_paths(
    f: Callable[..., Any],
    paths: Mapping[str, Any],
    *args: Any,
    ax: Axes | None = None,
    span: tuple[tuple[float, float], tuple[float, float]] | None = None,
    points: int = 120,
) -> Axes:
    """Draw the level lines of a function of two variables and the paths of solvers over it.

    Parameters
    ----------
    f : callable
        ``f(x, *args)`` with x of shape (2,) returns one number.
    paths : mapping of str to array_like, shape (m, 2)
        Points by the name of the solver; the start is a square, the end a star. Paths of more than 60 points are
        drawn without dots.
    *args
        Further arguments of f.
    ax : Axes, optional
        Where to draw.
    span : ((left, right), (bottom, top)), optional
        What to show; by default all paths, with a margin.
    points : int
        Of the grid on which f is evaluated, along each axis.

    Returns
    -------
    matplotlib.axes.Axes
        Levels have equal shares of the area between them, so that a valley is seen beside its walls; darker is higher. Points that are
        not finite, or outside of what is shown, are counted below.

    Raises
    ------
    OptionError
        There is no path, the span is empty, there are too few points, or numbers are of a size that matplotlib draws at a wrong place.
    ShapeMismatchError
        A path is not of shape (m, 2).

    Examples
    --------
    >>> ax = plot_paths(lambda x: x[0] ** 2 + 4 * x[1] ** 2, {"newton": [[1.0, 1.0], [0.0, 0.0]]}, points=20)
    >>> ax.get_xlabel(), ax.get_ylabel(), ax.lines[0].get_label(), ax.lines[0].get_xdata().tolist()
    ('$x_0$', '$x_1$', 'newton', [1.0, 0.0])
    """
    where = "plot_paths"
    if not paths:
        raise OptionError(message(where, "there is no path", "There is nothing to draw", "Pass points by a name"))
    tracks = {name: np.asarray(path, dtype=float) for name, path in paths.items()}
    for name, track in tracks.items():
        if track.ndim != 2 or track.shape[1] != 2 or not len(track):
            what = f"the path {name!r} has shape {track.shape}"
            raise ShapeMismatchError(message(where, what, fix="Pass points of two coordinates, shape (m, 2)"))
    whole_number(where, "points", points, 2)
    (left, right), (bottom, top) = _reach(np.concatenate(list(tracks.values()))) if span is None else span
    if not (left < right and bottom < top):
        raise OptionError(message(where, f"span is {span!r}", fix="Pass ((left, right), (bottom, top)), ascending"))
    check_range(where, "the span", left, right, bottom, top)
    ax = axes_for(where, ax, 5.4, 4.2)
    _draw_levels(ax, lambda x: f(x, *args), np.linspace(left, right, points), np.linspace(bottom, top, points))
    for number, (name, track) in enumerate(tracks.items()):
        style: dict[str, Any] = line_style(number)
        marker = "." if len(track) <= _DOTS else ""
        ax.plot(*track.T, marker=marker, markersize=7, linewidth=1.4, label=name, **style)
        ax.plot(*track[0], "s", color="black", markersize=5, zorder=3)
        ax.plot(*track[-1], "*", color=style["color"], markeredgecolor="white", markersize=12, zorder=4)
        finite = np.all(np.isfinite(track), axis=1)
        inside = np.all((track >= [left, bottom]) & (track <= [right, top]), axis=1)
        note_left_out(ax, int(np.sum(~finite)), len(track), "not finite", name)
        note_left_out(ax, int(np.sum(finite & ~inside)), len(track), "outside", name)
    ax.plot([], [], "s", color="black", markersize=5, label="start")
    ax.plot([], [], "*", color=GREY, markersize=10, label="end")
    title_of(ax, f"{counted(len(tracks), 'path')} over the function", "Paths over several functions")
    note_below(ax, "shades: levels with equal areas between them, darker is higher")
    ax.set_xlim(left, right)
    ax.set_ylim(bottom, top)
    ax.set_xlabel("$x_0$")
    ax.set_ylabel("$x_1$")
    show_labels(ax, frameon=True, framealpha=0.9)
    return ax


def _reach(points: np.ndarray) -> tuple[tuple[float, float], ...]:
    """Limits of both axes that show all finite points, with a margin."""
    finite = points[np.all(np.isfinite(points), axis=1)]
    low, high = (finite.min(axis=0), finite.max(axis=0)) if len(finite) else (np.zeros(2), np.ones(2))
    extent = float(np.max(high - low)) or 1.0
    margin = _MARGIN * np.maximum(high - low, 0.2 * extent)
    return tuple((float(a - m), float(b + m)) for a, b, m in zip(low, high, margin, strict=True))


def _draw_levels(ax: Axes, f: Callable[[np.ndarray], Any], xs: np.ndarray, ys: np.ndarray) -> None:
    """Fill between level lines at equal shares of the values."""
    with np.errstate(all="ignore"):
        values = np.array([[float(f(np.array([x, y]))) for x in xs] for y in ys])
    shown = np.ma.masked_invalid(values)
    levels = (
        np.unique(np.quantile(shown.compressed(), np.linspace(0.0, 1.0, _LEVELS))) if shown.count() else np.zeros(0)
    )
    if len(levels) < 2:
        return
    from matplotlib.colors import BoundaryNorm

    norm: Any = BoundaryNorm(levels, 256)
    ax.contourf(xs, ys, shown, levels=levels, cmap="Greys", norm=norm, alpha=0.55)
    ax.contour(xs, ys, shown, levels=levels, colors="white", linestyles="solid", linewidths=0.6)
