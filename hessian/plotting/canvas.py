"""What the pictures share: axes made without pyplot, colours that everybody tells apart, scales that suit the data."""

from __future__ import annotations

import functools
import io
from typing import TYPE_CHECKING, Any

import numpy as np

from hessian.errors import NonFiniteError, OptionError, message, missing_dependency

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
# Below, matplotlib takes all limits of a linear axis for zero (`matplotlib.transforms.nonsingular`); above, its margins overflow.
_LEAST, _MOST = 1e-280, 1e300


def require_matplotlib(where: str) -> None:
    """Raise the error that names the extra where matplotlib is missing; to be called before long work that ends in a
    picture.

    Parameters
    ----------
    where : str
        Who asks, for the message.

    Returns
    -------
    None

    Raises
    ------
    MissingDependencyError
        Matplotlib is not installed.

    Examples
    --------
    >>> require_matplotlib("report")  # no error: it is installed
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


def ranks_along(ax: Axes, first: int, last: int) -> None:
    """Let the horizontal axis hold ranks, drawn or not; there is none of zero."""
    whole_numbers(ax)
    margin = 0.6 + 0.03 * (last - first)
    low, high = max(first - margin, 0.4), last + margin
    ends = ax.get_xlim() if ax.get_gid() == "ranks" else (low, high)
    ax.set_xlim(min(low, ends[0]), max(high, ends[1]))
    ax.set_gid("ranks")


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


def counted(count: int, noun: str) -> str:
    """Write a number of things.

    >>> counted(1, "layer"), counted(2, "layer")
    ('1 layer', '2 layers')
    """
    return f"{count} {noun}{'s' * (count != 1)}"


def note_left_out(ax: Axes, count: int, of: int, what: str, label: str | None = None) -> None:
    """Tell how many of the data are not drawn, and why; nothing where all are."""
    if count:
        text = f"{count} of {of} {'is' if count == 1 else 'are'} {what}: not drawn"
        note_below(ax, text if label is None else f"{label}: {text}")


def note_below(ax: Axes, text: str) -> None:
    """Write a line below the axes, after those that are there; nothing where the text is empty."""
    if not text:
        return
    notes = [one for one in ax.texts if one.get_gid() == "notes"]
    # One that is there already is not said twice.
    lines = [line for one in notes for line in one.get_text().splitlines()]
    text = "\n".join([*lines, *(line for line in text.splitlines() if line not in lines)])
    for one in notes:
        one.remove()
    place: dict[str, Any] = {"xycoords": "axes fraction", "xytext": (0.0, -40.0), "textcoords": "offset points"}
    ax.annotate(text, (0.0, 0.0), va="top", fontsize=8, color=GREY, gid="notes", **place)


def as_row(where: str, name: str, data: Any, *, finite: bool = False) -> np.ndarray:
    """Return data as float64, shape (m,), m > 0.

    Raises
    ------
    OptionError
        They are no real numbers, or none.
    NonFiniteError
        One is NaN or infinite, where all have to be finite.
    """
    row = np.asarray(data)
    if row.dtype.kind not in "biuf":
        what = f"{name} has dtype {row.dtype}"
        raise OptionError(message(where, what, "An axis has a place for real numbers only", "Pass real numbers"))
    if row.ndim != 1 or not row.size:
        what = f"{name} has shape {row.shape}"
        raise OptionError(message(where, what, "There is nothing to draw", "Pass a sequence of at least one number"))
    row = row.astype(float)
    if finite and not np.isfinite(row).all():
        place = int(np.argmin(np.isfinite(row)))
        what = f"number {place} of {name} is {row[place]:g}"
        raise NonFiniteError(message(where, what, "It has no place on an axis", "Look at where it comes from"))
    return row


def check_range(where: str, name: str, *data: Any, log: bool = False) -> None:
    """Refuse numbers that matplotlib would draw at a wrong place: a linear axis takes those below 1e-280 for zero, and margins
    around those beyond 1e300 overflow.

    Raises
    ------
    OptionError
        The largest magnitude is outside of that, and not zero.
    """
    sizes = np.abs(np.concatenate([np.ravel(np.asarray(one, dtype=float)) for one in data]))
    largest = float(np.max(sizes, where=np.isfinite(sizes), initial=0.0))
    if largest > _MOST or (0.0 < largest < _LEAST and not log):
        what = f"numbers of {name} are of size {largest:.3g}"
        raise OptionError(message(where, what, "Matplotlib draws such numbers at a wrong place", "Pass a multiple"))


def title_of(ax: Axes, text: str, several: str) -> None:
    """Say above the axes what was drawn and how; of more than one the name of all, and each in a note below."""
    ax.set_title(several if ax.get_title() else text, fontsize=10)


def show_labels(ax: Axes, **options: Any) -> None:
    """Draw the legend where there is something to say in it."""
    if ax.get_legend_handles_labels()[1]:
        ax.legend(**({"frameon": False, "fontsize": 9} | options))
