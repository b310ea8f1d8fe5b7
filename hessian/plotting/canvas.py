"""What the pictures share: axes made without pyplot, colours that everybody tells apart, scales that suit the data."""

from __future__ import annotations

import functools
import io
from typing import TYPE_CHECKING, Any

import numpy as np

from hessian.errors import OptionError, message, missing_dependency

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
"""Blue, vermilion, green, purple, orange, sky blue, black: those of M. Okabe and K. Ito, "Color universal design" (2008),
without their yellow, which is faint on white."""
GREY = "#666666"
SEQUENTIAL = "cividis"
"""A colour map whose lightness rises evenly, with and without colour vision: J. R. Nuñez, C. R. Anderton and R. S. Renslow,
PLoS ONE 13 (2018)."""
SCALES = ("auto", "linear", "log")
_LINES = ("-", "--", "-.", ":")
_WIDE = 30.0


def require_matplotlib(where: str) -> None:
    """Raise the error that names the extra where matplotlib is missing; to be called before long work that ends in a
    picture.

    Raises
    ------
    MissingDependencyError
        Matplotlib is not installed.
    """
    try:
        import matplotlib.figure  # noqa: F401
    except ModuleNotFoundError as error:
        raise missing_dependency(where, "matplotlib", "plot") from error


def new_figure(where: str, width: float = 9.0, height: float = 3.6) -> Figure:
    """Make a figure without pyplot, so that no window system and no global state is touched; sizes are in inches."""
    require_matplotlib(where)
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    # Notebooks show figures of pyplot only, and only once it has been used: this one shows itself.
    figure._repr_png_ = functools.partial(_to_png, figure)  # type: ignore[attr-defined]
    return figure


def _to_png(figure: Figure) -> bytes:
    """Draw a figure into the bytes of a PNG file."""
    stream = io.BytesIO()
    figure.savefig(stream, format="png", bbox_inches="tight")
    return stream.getvalue()


def axes_for(where: str, ax: Axes | None, width: float = 6.0, height: float = 3.6) -> Axes:
    """Return the axes given, or those of a new figure."""
    return new_figure(where, width, height).subplots() if ax is None else ax


def pair_of_axes(where: str, ax: Any, *, sharey: bool = False) -> np.ndarray:
    """Return the two axes given, or those of a new figure, side by side."""
    if ax is None:
        return np.asarray(new_figure(where).subplots(1, 2, sharey=sharey))
    pair = np.ravel(np.asarray(ax, dtype=object))
    if pair.shape != (2,):
        raise OptionError(message(where, f"ax holds {pair.size} axes, the picture has two panels", fix="Pass two"))
    return pair


def label_axes(ax: Axes, x: str, y: str) -> Axes:
    """Name the axes, draw a grid, and say what the curves are."""
    ax.set_xlabel(x)
    ax.set_ylabel(y)
    grid(ax)
    show_labels(ax)
    return ax


def name_rows(ax: Axes, names: list[str], label: str) -> None:
    """Name the rows of a picture, the first on top, and the numbers along them."""
    ax.set_yticks(np.arange(len(names)), names)
    ax.set_ylim(len(names) - 0.4, -0.6)
    ax.set_xlabel(label)
    ax.grid(True, axis="x", alpha=0.3)
    ax.set_axisbelow(True)


def line_style(number: int) -> dict[str, Any]:
    """Colour and dashes of the series of a number: new dashes where the colours begin again."""
    return {"color": COLORS[number % len(COLORS)], "linestyle": _LINES[number // len(COLORS) % len(_LINES)]}


def grid(ax: Axes) -> None:
    """Draw faint lines at the major ticks, below the data."""
    ax.grid(True, which="major", alpha=0.3)
    ax.set_axisbelow(True)


def whole_numbers(ax: Axes) -> None:
    """Put no ticks between the whole numbers of the horizontal axis."""
    from matplotlib.ticker import MaxNLocator

    ax.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))


def few_ticks(ax: Axes) -> None:
    """Put few enough ticks on the horizontal axis for long numbers."""
    from matplotlib.ticker import MaxNLocator

    ax.xaxis.set_major_locator(MaxNLocator(nbins=5))


def wants_log(where: str, scale: str, values: np.ndarray) -> bool:
    """Decide between a linear and a log axis: ``"auto"`` takes a log axis for positive values a factor 30 apart."""
    if scale not in SCALES:
        raise OptionError(message(where, f"scale is {scale!r}", fix=f"Pass one of: {', '.join(SCALES)}"))
    if scale != "auto":
        return scale == "log"
    finite = values[np.isfinite(values)]
    return bool(finite.size and finite.min() > 0.0 and finite.max() >= _WIDE * finite.min())


def check_log(where: str, shown: np.ndarray) -> None:
    """Refuse a log axis for numbers of which it can show none.

    Raises
    ------
    OptionError
        None of the numbers is positive.
    """
    if not np.any(np.isfinite(shown) & (shown > 0.0)):
        what = "scale is 'log' and there is no positive number"
        raise OptionError(message(where, what, "A log axis has no place for the others", 'Pass scale="linear"'))


def note_below(ax: Axes, text: str) -> None:
    """Write a line below the axes, after those that are there."""
    notes = [one for one in ax.texts if one.get_gid() == "notes"]
    # One that is there already is not said twice.
    lines = [line for one in notes for line in one.get_text().splitlines()]
    text = "\n".join([*lines, *(line for line in text.splitlines() if line not in lines)])
    for one in notes:
        one.remove()
    place: dict[str, Any] = {"xycoords": "axes fraction", "xytext": (0.0, -40.0), "textcoords": "offset points"}
    ax.annotate(text, (0.0, 0.0), va="top", fontsize=8, color=GREY, gid="notes", **place)


def as_row(where: str, name: str, data: Any) -> np.ndarray:
    """Return data as float64, shape (m,), m > 0."""
    row = np.asarray(data, dtype=float)
    if row.ndim != 1 or not row.size:
        what = f"{name} has shape {row.shape}"
        raise OptionError(message(where, what, "There is nothing to draw", "Pass a sequence of at least one number"))
    return row


def show_labels(ax: Axes, **options: Any) -> None:
    """Draw the legend where there is something to say in it."""
    if ax.get_legend_handles_labels()[1]:
        ax.legend(**({"frameon": False, "fontsize": 9} | options))
