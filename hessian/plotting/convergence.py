"""Pictures of a solver's run, and of several side by side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, Protocol

import numpy as np

from hessian.errors import OptionError, message
from hessian.plotting.canvas import (
    COLORS,
    GREY,
    check_range,
    counted,
    grid,
    line_style,
    note_below,
    note_left_out,
    pair_of_axes,
    show_labels,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_AXES = {
    "n_hvp": "Hessian-vector products",
    "iteration": "iteration",
    "seconds": "seconds",
}
_ROUNDING = 4.0 * float(np.finfo(float).eps)
_DOTS = 30


class Record(Protocol):
    """What a row of a solver's history needs to be drawn."""

    @property
    def iteration(self) -> int:
        """Number of the iteration."""

    @property
    def value(self) -> float:
        """The objective."""

    @property
    def gradient_norm(self) -> float:
        """Norm of its gradient."""

    @property
    def accepted(self) -> bool:
        """Whether the step was taken."""


def plot_convergence(
    history: Sequence[Record],
    *,
    ax: Any = None,
    against: Literal["auto", "n_hvp", "iteration", "seconds"] = "auto",
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
    against : {"auto", "n_hvp", "iteration", "seconds"}
        The horizontal axis; ``"auto"`` counts the work in products, so that an iteration of fifty is as wide as fifty of one, and takes
        iterations where there are no products.
    gtol : float, optional
        The tolerance that was asked for, drawn as a dashed line.

    Returns
    -------
    ndarray of two Axes
        ``axes[0].figure`` is the figure.

    Raises
    ------
    OptionError
        The history is empty, ``against`` is unknown, there are not two axes, or numbers are of a size that matplotlib draws at a wrong
        place.

    Notes
    -----
    What a log axis cannot show is left out, and lines below tell how much: the lowest value itself, which is at zero, with those that are
    no farther above it than rounding, gradients of zero, and what is not finite. Crosses are rejected steps.

    Examples
    --------
    >>> from types import SimpleNamespace
    >>> def row(k):
    ...     return SimpleNamespace(iteration=k, n_hvp=3 * k, value=4.0**-k, gradient_norm=2.0**-k, accepted=True)
    >>> left, right = plot_convergence([row(k) for k in range(5)], gtol=0.1)
    >>> right.get_xlabel(), right.get_yscale()
    ('Hessian-vector products', 'log')
    """
    if against not in ("auto", *_AXES):
        raise OptionError(
            message("plot_convergence", f"against is {against!r}", fix=f"Pass one of: auto, {', '.join(_AXES)}")
        )
    if not history:
        raise OptionError(
            message("plot_convergence", "the history is empty", "there is nothing to draw", "Pass result.history")
        )
    if against == "auto":
        against = "n_hvp" if getattr(history[-1], "n_hvp", 0) else "iteration"
    x = np.array([getattr(record, against) for record in history], dtype=float)
    values = np.array([record.value for record in history], dtype=float)
    norms = np.array([record.gradient_norm for record in history], dtype=float)
    accepted = np.array([record.accepted for record in history], dtype=bool)
    check_range("plot_convergence", "the objective", values, log=True)
    check_range("plot_convergence", "the gradient norm", norms, log=True)
    panels = left, right = pair_of_axes("plot_convergence", ax)
    lowest = _lowest(values)
    above = _above(values, lowest)
    _draw(left, x, above, accepted, f"objective - {lowest:.6g}")
    _draw(right, x, norms, accepted, "gradient norm")
    rejected = f", {np.sum(~accepted)} rejected" if not accepted.all() else ""
    left.set_title(f"Objective: {counted(len(history) - 1, 'iteration')}{rejected}", fontsize=10)
    right.set_title("Gradient norm", fontsize=10)
    _note_lowest(left, values, above, lowest)
    note_left_out(right, int(np.sum(norms == 0.0)), len(norms), "zero")
    note_left_out(right, int(np.sum(~np.isfinite(norms))), len(norms), "not finite")
    if gtol is not None and gtol > 0.0:
        if not np.any(np.isfinite(norms) & (norms > 0.0)):
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
        right; all axes are logarithmic. What these cannot show, a line below tells: starts, which are at zero, and the lowest value.

    Raises
    ------
    OptionError
        There is no history, there are not two axes, or numbers are of a size that matplotlib draws at a wrong place.

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
    values = {name: np.array([row.value for row in history], dtype=float) for name, history in histories.items()}
    every = np.concatenate(list(values.values()))
    check_range("plot_comparison", "the objective", every, log=True)
    panels = left, right = pair_of_axes("plot_comparison", ax, sharey=True)
    lowest = _lowest(every)
    absent: dict[str, list[str]] = {"n_hvp": [], "seconds": []}
    for number, (name, history) in enumerate(histories.items()):
        style: dict[str, Any] = {"linewidth": 1.4, "label": name, **line_style(number)}
        above = _above(values[name], lowest)
        # One point alone is no line.
        style["marker"] = "o" if len(history) <= _DOTS else ""
        for axes, key in ((left, "n_hvp"), (right, "seconds")):
            x = np.array([getattr(row, key) for row in history], dtype=float)
            if np.any((x > 0.0) & np.isfinite(above)):
                axes.loglog(np.where(x > 0.0, x, np.nan), above, markersize=3, **style)
            else:
                absent[key].append(name)
    for axes, key in ((left, "n_hvp"), (right, "seconds")):
        axes.set_xlabel(_AXES[key])
        grid(axes)
        if absent[key]:
            note_below(axes, f"nothing to draw: {', '.join(absent[key])}")
    note_below(left, "starts, at 0 of both axes: not drawn")
    left.set_title(f"Objective of {counted(len(histories), 'run')} by work", fontsize=10)
    right.set_title("by time", fontsize=10)
    _note_lowest(left, every, _above(every, lowest), lowest)
    left.set_ylabel(f"objective - {lowest:.6g}")
    show_labels(right, fontsize=8)
    return panels


def _lowest(values: np.ndarray) -> float:
    """Lowest finite value, NaN where there is none."""
    return float(np.min(values, where=np.isfinite(values), initial=np.inf)) if np.isfinite(values).any() else np.nan


def _above(values: np.ndarray, lowest: float) -> np.ndarray:
    """Height above the lowest value, NaN where a log axis cannot show it, or it is rounding."""
    above = np.subtract(values, lowest, out=np.full(values.shape, np.nan), where=np.isfinite(values))
    return np.where(above > _ROUNDING * abs(lowest), above, np.nan)


def _note_lowest(ax: Axes, values: np.ndarray, above: np.ndarray, lowest: float) -> None:
    """Tell what is left out of heights above the lowest value."""
    finite = np.isfinite(values)
    low = int(np.sum(finite & np.isnan(above)))
    if low:
        what = "is the lowest" if low == 1 else "are the lowest, to rounding"
        note_below(ax, f"{low} of {len(values)} {what}, at 0 here: not drawn")
    note_left_out(ax, int(np.sum(~finite)), len(values), "not finite")


def _draw(axes: Axes, x: np.ndarray, y: np.ndarray, accepted: np.ndarray, label: str) -> None:
    """Draw one positive curve on a log axis and mark its rejected steps."""
    shown = np.where((y > 0) & np.isfinite(y), y, np.nan)
    options: dict[str, Any] = {"marker": "o", "markersize": 3, "linewidth": 1.2, "color": COLORS[0]}
    axes.semilogy(x[accepted], shown[accepted], label="accepted", **options)
    if not accepted.all():
        axes.semilogy(x[~accepted], shown[~accepted], "x", color=COLORS[1], label="rejected")
    axes.set_ylabel(label)
    grid(axes)
