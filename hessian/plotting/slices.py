"""Pictures of a loss along a line or over a plane, with its Taylor models."""

from __future__ import annotations

import functools
import math
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from hessian.errors import OptionError, message
from hessian.plotting.canvas import (
    COLORS,
    SEQUENTIAL,
    as_row,
    axes_for,
    check_range,
    label_axes,
    note_left_out,
    show_labels,
    title_of,
    wants_log,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MODELS = ("quadratic", "cubic")
_MARGIN = 0.15
_LEVELS = 16


def plot_line(line: Any, *, ax: Axes | None = None, models: tuple[str, ...] = MODELS) -> Axes:
    """Draw the loss along a line through a point, with its exact Taylor models there.

    Parameters
    ----------
    line : LineSlice
        What :func:`hessian.curvature.line_slice` returns.
    ax : Axes, optional
        Where to draw.
    models : tuple of {"quadratic", "cubic"}
        Which to draw over the loss.

    Returns
    -------
    matplotlib.axes.Axes
        As high as the losses in it need it: the models leave it where they go beyond. Losses that are not finite are left out, and a
        line below says how many.

    Raises
    ------
    OptionError
        An unknown model, no point on the line, or numbers of a size that matplotlib draws at a wrong place.
    NonFiniteError
        A multiple of the direction is NaN or infinite.

    Examples
    --------
    >>> import numpy as np
    >>> from hessian.curvature import line_slice
    >>> ax = plot_line(line_slice(lambda x: np.sum(np.exp(x)), np.zeros(2), np.array([1.0, 0.0])))
    >>> ax.get_xlabel(), [text.get_text() for text in ax.get_legend().get_texts()]
    ('multiple of direction (length 1)', ['loss', 'quadratic model', 'cubic model', 'x'])
    """
    where = "plot_line"
    t = as_row(where, "t", line.t, finite=True)
    values = as_row(where, "the loss", line.values)
    _check_models(where, models)
    check_range(where, "the loss", values, line.value)
    check_range(where, "t", t)
    ax = axes_for(where, ax)
    before = ax.get_ylim() if ax.get_lines() else (np.inf, -np.inf)
    ax.plot(t, np.where(np.isfinite(values), values, np.nan), color=COLORS[0], linewidth=2.0, label="loss")
    for name, dashes, color in (("quadratic", "--", COLORS[1]), ("cubic", "-.", COLORS[2])):
        if name in models:
            ax.plot(t, getattr(line, name), linestyle=dashes, color=color, linewidth=1.3, label=f"{name} model")
    ax.plot([0.0], [line.value], "o", color="black", markersize=5, label="x")
    low, high = _reach(np.append(values, line.value))
    ax.set_ylim(min(low, before[0]), max(high, before[1]))
    taylor = f"\nand exact Taylor model{'s' * (len(models) > 1)} at x" if models else ""
    title_of(ax, f"Loss along {line.label}{taylor}", f"Losses along several lines{taylor}")
    note_left_out(ax, int(np.sum(~np.isfinite(values))), len(values), "not finite")
    return label_axes(ax, f"multiple of {line.label} (length {line.length:.3g})", "loss")


def plot_plane(
    plane: Any,
    *,
    ax: Axes | None = None,
    model: Literal["quadratic", "cubic"] | None = "quadratic",
    scale: Literal["auto", "linear", "log"] = "auto",
) -> Axes:
    """Draw the loss over a plane through a point as filled contours, those of its Taylor model as dashed lines.

    Parameters
    ----------
    plane : PlaneSlice
        What :func:`hessian.curvature.plane_slice` returns.
    ax : Axes, optional
        Where to draw; a colour bar is added beside it.
    model : {"quadratic", "cubic"} or None
        Which to draw, at the same levels as the loss.
    scale : {"auto", "linear", "log"}
        Of the levels; ``"auto"`` takes logarithmic ones where all losses are positive and a factor 30 apart.

    Returns
    -------
    Axes
        ``ax.figure`` is the figure.

    Raises
    ------
    OptionError
        An unknown model or scale, no finite loss, a log scale for losses that are not all positive, or losses of a size that matplotlib
        draws at a wrong place.

    Examples
    --------
    >>> import numpy as np
    >>> from hessian.curvature import plane_slice
    >>> plane = plane_slice(lambda x: np.sum(np.cosh(x)), np.zeros(2), np.array([1.0, 0.0]), np.array([0.0, 1.0]))
    >>> ax = plot_plane(plane)
    >>> ax.get_xlabel(), ax.get_ylabel()
    ('multiple of direction 1 (length 1)', 'multiple of direction 2 (length 1)')
    """
    where = "plot_plane"
    _check_models(where, () if model is None else (model,))
    # Rows of a picture run along the vertical axis, those of the slice along its first direction.
    values = np.ma.masked_invalid(np.asarray(plane.values, dtype=float).T)
    if not values.count():
        raise OptionError(message(where, "no loss is finite", "There is nothing to draw", "Choose a smaller span"))
    is_log = wants_log(where, scale, values.compressed())
    if is_log and values.min() <= 0.0:
        what = f"scale is 'log' and the loss goes down to {values.min():.4g}"
        raise OptionError(message(where, what, "It has no logarithm there", 'Pass scale="linear"'))
    check_range(where, "the loss", values.compressed())
    levels = _levels(values, is_log)
    ax = axes_for(where, ax, 5.4, 4.2)
    from matplotlib.colors import LogNorm, Normalize

    norm: Any = LogNorm(levels[0], levels[-1]) if is_log else Normalize(levels[0], levels[-1])
    filled = ax.contourf(plane.a, plane.b, values, levels=levels, cmap=SEQUENTIAL, norm=norm, extend="both")
    bar = ax.figure.colorbar(filled, ax=ax, label="loss", shrink=0.9)
    bar.set_ticks(levels[:: max(1, len(levels) // 5)].tolist())
    bar.minorticks_off()
    bar.ax.yaxis.set_major_formatter(functools.partial(_level_name, _digits(levels)))
    modelled_by = "" if model is None else f"\nand its exact {model} model at x"
    title_of(ax, f"Loss over a plane{modelled_by}", "Losses over several planes")
    note_left_out(ax, int(values.size - values.count()), int(values.size), "not finite (white)")
    if model is not None:
        modelled = np.asarray(getattr(plane, model), dtype=float).T
        if np.any((modelled[:-1] < levels[-2]) & (modelled[1:] > levels[1])):
            ax.contour(plane.a, plane.b, modelled, levels=levels[1:-1], colors="white", linestyles="--", linewidths=0.9)
        ax.plot([], [], color="white", linestyle="--", linewidth=0.9, label=f"{model} model")
    ax.plot([0.0], [0.0], "*", color=COLORS[1], markersize=11, markeredgecolor="white", label="x")
    ax.set_xlabel(f"multiple of {plane.labels[0]} (length {plane.lengths[0]:.3g})")
    ax.set_ylabel(f"multiple of {plane.labels[1]} (length {plane.lengths[1]:.3g})")
    # The lines of the model are white: their legend needs a dark ground.
    show_labels(ax, frameon=True, loc="upper right", facecolor="#303a52", labelcolor="white", framealpha=0.85)
    return ax


def _digits(levels: np.ndarray) -> int:
    """Return how many digits tell levels apart."""
    apart = float(np.max(np.abs(levels[1:]) / np.diff(levels)))
    return max(3, min(15, 1 + math.ceil(math.log10(max(apart, 1.0)))))


def _level_name(digits: int, level: float, _: int) -> str:
    return f"{level:.{digits}g}"


def _check_models(where: str, models: tuple[str, ...]) -> None:
    """Refuse models that a slice does not have."""
    for model in models:
        if model not in MODELS:
            raise OptionError(message(where, f"model is {model!r}", fix=f"Pass some of: {', '.join(MODELS)}"))


def _reach(values: np.ndarray) -> tuple[float, float]:
    """Limits of an axis that shows all finite values, with a margin."""
    finite = values[np.isfinite(values)]
    low, high = (float(finite.min()), float(finite.max())) if finite.size else (0.0, 1.0)
    margin = _MARGIN * (high - low) or max(1e-3 * abs(high), 1e-12)
    return low - margin, high + margin


def _levels(values: np.ma.MaskedArray, is_log: bool) -> np.ndarray:
    """Ascending levels over the range of the values, however small it is."""
    low, high = float(values.min()), float(values.max())
    if high - low <= 1e-12 * max(abs(low), abs(high)):
        low, high = (0.999 * low, 1.001 * high) if is_log else _reach(np.array([low, high]))
    return np.geomspace(low, high, _LEVELS) if is_log else np.linspace(low, high, _LEVELS)
