"""Pictures of eigenvalues with the bounds on their errors."""

from __future__ import annotations

import functools
import math
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from hessian.errors import ShapeMismatchError, message
from hessian.plotting.canvas import (
    COLORS,
    as_row,
    axes_for,
    check_log,
    check_range,
    counted,
    label_axes,
    line_style,
    note_below,
    note_left_out,
    ranks_along,
    title_of,
    wants_log,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_MANY = 100
_WIDE = 20
_ENDS = (0, 2, 9, 49)


def plot_spectrum(
    pairs: Any,
    *,
    ax: Axes | None = None,
    label: str | None = None,
    scale: Literal["auto", "linear", "log"] = "auto",
    marker: str = "o",
) -> Axes:
    """Draw eigenvalues against their rank, the largest first, each with a bar as long as its residual.

    Parameters
    ----------
    pairs : Eigenpairs or array_like, shape (k,)
        What :func:`hessian.curvature.eigenvalues` returns, or numbers alone, which get no bars.
    ax : Axes, optional
        Where to draw; draw several spectra into one to compare them.
    label : str, optional
        Name in the legend.
    scale : {"auto", "linear", "log"}
        Of the vertical axis. A log axis shows magnitudes, with triangles that point down for negative eigenvalues.
        ``"auto"`` takes it where all that are not zero to rounding are positive and a factor 30 apart; axes that hold a spectrum
        already keep theirs.
    marker : str
        As matplotlib names it.

    Returns
    -------
    Axes
        ``ax.figure`` is the figure.

    Raises
    ------
    OptionError
        There are no eigenvalues, they are not real, the scale is unknown, it is a log one and all eigenvalues are zero, or numbers are
        of a size that matplotlib draws at a wrong place.
    NonFiniteError
        An eigenvalue is NaN or infinite.
    ShapeMismatchError
        There are not as many residuals as eigenvalues.

    Notes
    -----
    Eigenvalues that are zero to rounding of the largest are left out, on a log axis also those that are zero within their errors, and a
    line below tells how many. Ranks are those among all n eigenvalues (:attr:`hessian.curvature.Eigenpairs.ranks`); of those inside
    the spectrum, and of bare numbers, those among the eigenvalues given. Where both ends of more than twenty are drawn, the axis
    spreads both. More than a hundred from one end are drawn as points against the logarithm of their rank. Eigenvalues without a
    bound on their errors are hollow.

    Examples
    --------
    >>> import numpy as np
    >>> from hessian.curvature import eigenvalues
    >>> ax = plot_spectrum(eigenvalues(np.diag([1.0, 2.0, 300.0]), 3), label="example")
    >>> ax.get_xlabel(), ax.get_ylabel(), ax.get_yscale(), ax.lines[0].get_ydata().tolist()
    ('rank', 'eigenvalue', 'log', [300.0, 2.0, 1.0])
    """
    where = "plot_spectrum"
    given = getattr(pairs, "values", pairs)
    values = as_row(where, "the spectrum", given, finite=True)
    errors = _errors(where, pairs, values.shape)
    cut = _rounding(pairs, given, values)
    alive = np.abs(values) > cut
    # A log axis would drop what another spectrum has below zero.
    keeps = scale == "auto" and ax is not None and bool(ax.containers)
    is_log = wants_log(where, ax.get_yscale() if keeps and ax is not None else scale, values[alive])
    check_range(where, "the spectrum", values, errors[np.isfinite(errors)], log=is_log)
    if is_log:
        check_log(where, np.abs(values[alive]))
    ax = axes_for(where, ax)
    color, is_first = line_style(len(ax.containers))["color"], not ax.containers
    order = np.argsort(-values, kind="stable")
    rank, ranked = _ranks(pairs, order)
    values, errors, alive = values[order], errors[order], alive[order]
    has_errors = getattr(pairs, "residuals", None) is not None
    _entitle(ax, pairs, len(values), has_errors, label)
    named = {"marker": marker, "color": color, "label": label}
    note_left_out(ax, int(np.sum(~alive)), len(values), f"zero to rounding (within ±{cut:.1g})", label)
    if is_log:
        ax.set_yscale("log")
        # What is no larger than its error has no sign and no magnitude.
        within = alive & (np.abs(values) <= errors) & np.isfinite(errors)
        note_left_out(ax, int(within.sum()), len(values), "zero within their errors", label)
        alive &= ~within
        _draw(ax, alive & (values > 0.0), rank, values, errors, named)
        negative = {"marker": "v", "color": COLORS[1], "label": "negative" if label is None else f"{label}, negative"}
        _draw(ax, alive & (values < 0.0), rank, -values, errors, negative)
    else:
        _draw(ax, alive, rank, values, errors, named)
        ax.axhline(0.0, color="black", linewidth=0.6)
    if not np.isfinite(errors).all():
        note_below(ax, "hollow: no bound on the error")
    _scale_ranks(ax, rank, _order_of(pairs, values), is_first)
    magnitudes = is_log and np.any(values[alive] < 0.0)
    return label_axes(ax, ranked, "magnitude of the eigenvalue" if magnitudes else "eigenvalue")


def _order_of(pairs: Any, values: np.ndarray) -> int:
    """Return how many eigenvalues there are in all, as far as that is known."""
    return len(getattr(pairs, "vectors", values))


def _ranks(pairs: Any, order: np.ndarray) -> tuple[np.ndarray, str]:
    """Return the ranks of eigenvalues in an order, and what they are."""
    ranks, n = getattr(pairs, "ranks", None), _order_of(pairs, order)
    if n == len(order):
        return np.arange(1, n + 1), "rank"
    if ranks is None:
        return np.arange(1, len(order) + 1), f"rank among these {len(order)} of {n}"
    return np.asarray(ranks)[order], f"rank, of {n}"


def _scale_ranks(ax: Axes, rank: np.ndarray, n: int, is_first: bool) -> None:
    """Scale the horizontal axis so that ranks can be read at the ends where they are."""
    has_gap = bool(np.any(np.diff(rank) > 1))
    if is_first and has_gap and n > _WIDE:
        ax.set_xscale("function", functions=(functools.partial(_spread, n), functools.partial(_gathered, n)))
        ticks = sorted({1 + k for k in _ENDS if k < n // 4} | {n - k for k in _ENDS if k < n // 4})
        ax.set_xticks(ticks, [str(tick) for tick in ticks], fontsize=8)
        ax.set_xlim(0.8, n + 0.2)
    elif is_first and len(rank) > _MANY and not has_gap and rank[0] == 1:
        ax.set_xscale("log")
    elif ax.get_xscale() == "linear" or (ax.get_xscale() == "function" and rank[-1] > ax.get_xlim()[1]):
        # One that is spread has no place for higher ranks.
        if ax.get_xscale() == "function":
            ends = ax.get_xlim()
            ax.set_xscale("linear")
            ranks_along(ax, 1, round(ends[1]))
        ranks_along(ax, int(rank[0]), int(rank[-1]))


def _spread(n: int, rank: Any) -> Any:
    """Position of a rank on an axis that is logarithmic at both of its ends."""
    rank = np.clip(rank, 0.1, n + 0.9)
    return np.log(rank) - np.log(n + 1.0 - rank)


def _gathered(n: int, position: Any) -> Any:
    """Invert ``_spread``."""
    return (n + 1.0) / (1.0 + np.exp(-np.asarray(position)))


def _entitle(ax: Axes, pairs: Any, count: int, has_errors: bool, label: str | None) -> None:
    """Say how many eigenvalues there are, by what method, and what the bars are; of several spectra each in a note."""
    method = getattr(pairs, "method", None)
    named = counted(count, "eigenvalue") + (f" ({method})" if method else "")
    bars = ", bars: bounds on their errors" if has_errors else ""
    if label is not None:
        note_below(ax, f"{label}: {named}")
    title_of(ax, named + bars, "Eigenvalues" + bars)


def _rounding(pairs: Any, given: Any, values: np.ndarray) -> float:
    """Magnitude below which an eigenvalue is rounding of the largest."""
    kind = np.asarray(given).dtype
    eps = float(np.finfo(kind if kind.kind == "f" else np.float64).eps)
    return 4.0 * math.sqrt(_order_of(pairs, values)) * eps * float(np.max(np.abs(values)))


def _errors(where: str, pairs: Any, shape: tuple[int, ...]) -> np.ndarray:
    """Residuals of eigenpairs, infinite where they are not known; numbers alone have none."""
    residuals = getattr(pairs, "residuals", None)
    if residuals is None:
        return np.zeros(shape)
    errors = np.asarray(residuals, dtype=float)
    if errors.shape != shape:
        what = f"there are residuals of shape {errors.shape} for eigenvalues of shape {shape}"
        raise ShapeMismatchError(message(where, what, fix="Pass one residual per eigenvalue"))
    return np.where(np.isfinite(errors), errors, np.inf)


def _draw(
    ax: Axes, chosen: np.ndarray, rank: np.ndarray, heights: np.ndarray, errors: np.ndarray, named: dict[str, Any]
) -> None:
    """Draw markers for some of the eigenvalues, with bars where they have a length, hollow where nothing bounds their errors."""
    style: dict[str, Any] = {"linestyle": "none", "markersize": 2.5 if len(rank) > _MANY else 4.5, **named}
    is_bounded = np.isfinite(errors)
    for part, fill in ((chosen & is_bounded, {}), (chosen & ~is_bounded, {"markerfacecolor": "none"})):
        if not part.any():
            continue
        bars = {"capsize": 2.5, "elinewidth": 1.0, "yerr": errors[part]} if errors[part & is_bounded].any() else {}
        ax.errorbar(rank[part], heights[part], **{**style, **fill, **bars})
        style["label"] = None
