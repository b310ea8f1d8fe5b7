"""Pictures of a solver's run, and of several side by side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, Protocol

import numpy as np

from hessian.errors import OptionError, message
from hessian.plotting.canvas import COLORS, GREY, grid, line_style, pair_of_axes, show_labels

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_AXES = {
    "n_hvp": "Hessian-vector products",
    "iteration": "iteration",
    "seconds": "seconds",
}


class Record(Protocol):
    """What a row of a solver's history needs to be drawn."""

    @property
    def iteration(self) -> int: ...
    @property
    def value(self) -> float: ...
    @property
    def gradient_norm(self) -> float: ...
    @property
    def accepted(self) -> bool: ...


def plot_convergence(
    history: Sequence[Record],
    *,
    ax: Any = None,
    against: Literal["n_hvp", "iteration", "seconds"] = "n_hvp",
    gtol: float | None = None,
) -> np.ndarray:
    """Draw a solver's history: objective above its lowest value on the left, gradient norm on the right, both on log
    axes.

    Parameters
    ----------
    history : sequence of records
        ``result.history`` of ``hessian.optimize.minimize``.
    ax : pair of Axes, optional
        Where to draw.
    against : {"n_hvp", "iteration", "seconds"}
        The horizontal axis; the default counts the work, so that an iteration of fifty products is as wide as fifty of
        one.
    gtol : float, optional
        The tolerance that was asked for, drawn as a dashed line.

    Raises
    ------
    OptionError
        The history is empty, ``against`` is unknown, or there are not two axes.

    Notes
    -----
    The lowest value itself is at zero, which a log axis cannot show: the left curve ends before it. Values that are not
    finite are left out. Crosses are rejected steps.

    Examples
    --------
    >>> from types import SimpleNamespace
    >>> def row(k):
    ...     return SimpleNamespace(iteration=k, n_hvp=3 * k, value=4.0**-k, gradient_norm=2.0**-k, accepted=True)
    >>> left, right = plot_convergence([row(k) for k in range(5)], gtol=0.1)
    >>> right.get_xlabel(), right.get_yscale()
    ('Hessian-vector products', 'log')
    """
    if against not in _AXES:
        raise OptionError(
            message("plot_convergence", f"against is {against!r}", fix=f"Pass one of: {', '.join(_AXES)}")
        )
    if not history:
        raise OptionError(
            message("plot_convergence", "the history is empty", "there is nothing to draw", "Pass result.history")
        )
    panels = left, right = pair_of_axes("plot_convergence", ax)
    x = np.array([getattr(record, against) for record in history], dtype=float)
    values = np.array([record.value for record in history], dtype=float)
    norms = np.array([record.gradient_norm for record in history], dtype=float)
    accepted = np.array([record.accepted for record in history], dtype=bool)
    lowest = _lowest(values)
    _draw(left, x, _above(values, lowest), accepted, f"objective - {lowest:.6g}")
    _draw(right, x, norms, accepted, "gradient norm")
    if gtol is not None:
        if gtol > 0.0 and not np.any(np.isfinite(norms) & (norms > 0.0)):
            # A log axis finds no limits around a line alone.
            right.set_ylim(0.1 * gtol, 10.0 * gtol)
        right.axhline(gtol, color=GREY, linestyle="--", linewidth=1, label=f"gtol = {gtol:g}")
    for axes in (left, right):
        axes.set_xlabel(_AXES[against])
    right.legend(frameon=False)
    return panels


def plot_comparison(histories: Mapping[str, Sequence[Record]], *, ax: Any = None) -> np.ndarray:
    """Draw the objective of several runs of one problem above the lowest value any of them reached.

    Parameters
    ----------
    histories : mapping of str to sequence of records
        Histories of ``hessian.optimize.minimize`` or ``hessian.nn.train`` by the name to show.
    ax : pair of Axes, optional
        Where to draw.

    Returns
    -------
    ndarray of matplotlib.axes.Axes, shape (2,)
        Against Hessian-vector products on the left, where methods that take none are left out, and against seconds on the
        right; all axes are logarithmic.

    Raises
    ------
    OptionError
        There is no history, or there are not two axes.

    Examples
    --------
    >>> from types import SimpleNamespace
    >>> def row(k, rate):
    ...     return SimpleNamespace(n_hvp=3 * k, seconds=0.1 * k, value=rate**-k, gradient_norm=rate**-k, accepted=True)
    >>> runs = {f"rate {rate}": [row(k, rate) for k in range(6)] for rate in (2.0, 4.0)}
    >>> left, right = plot_comparison(runs)
    >>> left.get_xlabel(), right.get_xlabel(), len(right.get_lines())
    ('Hessian-vector products', 'seconds', 2)
    """
    if not histories or not all(histories.values()):
        raise OptionError(message("plot_comparison", "a history is empty", "there is nothing to draw"))
    panels = left, right = pair_of_axes("plot_comparison", ax, sharey=True)
    values = {name: np.array([row.value for row in history], dtype=float) for name, history in histories.items()}
    lowest = _lowest(np.concatenate(list(values.values())))
    for number, (name, history) in enumerate(histories.items()):
        style: dict[str, Any] = {"linewidth": 1.4, "label": name, **line_style(number)}
        above = _above(values[name], lowest)
        for axes, key in ((left, "n_hvp"), (right, "seconds")):
            x = np.array([getattr(row, key) for row in history], dtype=float)
            if x[-1] > 0.0:
                axes.loglog(np.where(x > 0.0, x, np.nan), above, **style)
    for axes, key in ((left, "n_hvp"), (right, "seconds")):
        axes.set_xlabel(_AXES[key])
        grid(axes)
    left.set_ylabel(f"objective - {lowest:.6g}")
    show_labels(right, fontsize=8)
    return panels


def _lowest(values: np.ndarray) -> float:
    """Lowest finite value, NaN where there is none."""
    return float(np.min(values, where=np.isfinite(values), initial=np.inf)) if np.isfinite(values).any() else np.nan


def _above(values: np.ndarray, lowest: float) -> np.ndarray:
    """Height above the lowest value, NaN where a log axis cannot show it."""
    return np.subtract(values, lowest, out=np.full(values.shape, np.nan), where=np.isfinite(values) & (values > lowest))


def _draw(axes: Axes, x: np.ndarray, y: np.ndarray, accepted: np.ndarray, label: str) -> None:
    """Draw one positive curve on a log axis and mark its rejected steps."""
    shown = np.where((y > 0) & np.isfinite(y), y, np.nan)
    options: dict[str, Any] = {"marker": "o", "markersize": 3, "linewidth": 1.2, "color": COLORS[0]}
    axes.semilogy(x[accepted], shown[accepted], label="accepted", **options)
    if not accepted.all():
        axes.semilogy(x[~accepted], shown[~accepted], "x", color=COLORS[1], label="rejected")
    axes.set_ylabel(label)
    grid(axes)
