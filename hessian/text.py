"""Numbers and tables as text: a number with its error, columns under their titles, named values, bars, HTML."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

Column = tuple[str, str, str]
"""Title, name of the value, and its format."""

_BARS = " ▁▂▃▄▅▆▇█"
_LEFT = 'style="text-align: left; vertical-align: top"'


def with_error(value: float, error: float, exact: bool) -> str:
    """Write a number with as many digits as its error, of which two are shown, leaves it; ten where it is exact.

    >>> with_error(10.0, 0.5, False)
    '10.00 ± 0.50'
    """
    if not exact and math.isinf(error):
        return f"{value:.10g} ± inf"
    if exact or not error > 0.0 or not math.isfinite(error):
        return f"{value:.10g}"
    decimals = 1 - math.floor(math.log10(error))
    if -6 <= decimals <= 10 and abs(value) < 1e12:
        places = max(decimals, 0)
        return f"{round(value, decimals):.{places}f} ± {round(error, decimals):.{places}f}"
    digits = 1 if value == 0.0 else max(1, decimals + math.floor(math.log10(abs(value))) + 1)
    return f"{value:.{min(digits, 17)}g} ± {error:.2g}"


def sparkline(heights: np.ndarray) -> str:
    """Draw heights >= 0, of which one is positive, as a line of bars."""
    return "".join(_BARS[int(level)] for level in np.ceil(heights / heights.max() * (len(_BARS) - 1)))


def heading(columns: Iterable[Column]) -> str:
    """Return the titles of columns, aligned as their values are."""
    cells = []
    for title, _, spec in columns:
        width = int(re.match(r"[<>]?(\d*)", spec)[1] or 0)  # type: ignore[index]
        cells.append(title.ljust(width) if spec.endswith("s") or spec.startswith("<") else title.rjust(width))
    return " ".join(cells).rstrip()


def line(columns: Iterable[Column], value_of: Callable[[str], Any]) -> str:
    """Return the values of one record under their titles; flags as yes and no."""
    values = [(value_of(name), spec) for _, name, spec in columns]
    cells = [format(("no", "yes")[v] if isinstance(v, bool) else v, spec) for v, spec in values]
    return " ".join(cells).rstrip()


def named_values(rows: Iterable[tuple[str, str]], indent: str = "") -> str:
    """Write names and what they have, one a line, what they have aligned.

    >>> print(named_values([("n", "3"), ("trace", "1.5")]))
    n      3
    trace  1.5
    """
    rows = list(rows)
    width = max((len(name) for name, _ in rows), default=0)
    return "\n".join(f"{indent}{name:<{width}}  {value}" for name, value in rows)


class Shown:
    """A result, which notebooks show as a table: the first line of its text as the heading, the others in columns."""

    def _repr_html_(self) -> str:
        title, *lines = repr(self).splitlines()
        return html_table([re.split(r"\s{2,}", text.strip()) for text in lines], title.strip("<>"))


def html_table(rows: Iterable[Sequence[str]], title: str = "") -> str:
    """Write rows as a table for notebooks, the first cell of each as its heading."""
    from html import escape

    rows = list(rows)
    body = "".join(
        f"<tr><th {_LEFT}>{escape(name)}</th>" + "".join(f"<td {_LEFT}>{escape(cell)}</td>" for cell in cells) + "</tr>"
        for name, *cells in rows
    )
    span = max(map(len, rows), default=1)
    head = f'<thead><tr><th colspan="{span}" {_LEFT}>{escape(title)}</th></tr></thead>' if title else ""
    return f"<table>{head}<tbody>{body}</tbody></table>"
