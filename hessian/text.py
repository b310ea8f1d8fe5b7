"""Numbers and tables as text: a number with its error, columns under their titles, named values, bars, HTML."""

from __future__ import annotations

import math
import re
import textwrap
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


def by_error(value: float, error: float) -> str:
    """Write a number to the decimal at which its error has three digits.

    >>> by_error(1.23456789, 0.0456), by_error(12345.6, 789.0), by_error(1e-12, 1e-14)
    ('1.2346', '12346', '1.0000e-12')
    """
    if not (error > 0.0 and math.isfinite(error) and math.isfinite(value)):
        return f"{value:.6g}"
    decimals = 2 - math.floor(math.log10(error))
    if decimals <= 8 and abs(value) < 1e9:
        return f"{value:.{max(decimals, 0)}f}"
    digits = decimals + math.floor(math.log10(abs(value))) if value != 0.0 else 0
    return f"{value:.{min(max(digits, 2), 16)}e}"


def grid_text(header: Sequence[str], rows: Sequence[Sequence[str]], indent: str = "  ") -> str:
    """Lay out columns of numbers, the first of names, decimal points below each other."""
    columns = [_pointed([row[i] for row in rows]) if i else [row[0] for row in rows] for i in range(len(header))]
    widths = [max(map(len, (title, *column))) for title, column in zip(header, columns, strict=True)]
    lines = [header, *zip(*columns, strict=True)]
    cells = lambda line: [c.rjust(w) if i else c.ljust(w) for i, (c, w) in enumerate(zip(line, widths, strict=True))]
    return "\n".join((indent + "  ".join(cells(line))).rstrip() for line in lines)


def _pointed(cells: list[str]) -> list[str]:
    """Fill up on the right, so that decimal points are below each other where all follow the last cell's edge."""
    after = [len(cell) - cell.index(".") if "." in cell else 0 for cell in cells]
    most = max(after, default=0)
    return [cell + " " * (most - count) for cell, count in zip(cells, after, strict=True)]


def grid_html(
    header: Sequence[str], rows: Sequence[Sequence[str]], title: str, facts: Sequence[str], notes: Sequence[str]
) -> str:
    """Write columns of numbers as a table for notebooks, with a title and lines above, and notes below."""
    from html import escape

    right, across = 'style="text-align: right"', f'colspan="{len(header)}" {_LEFT}'
    heads = "".join(f"<th {right if i else _LEFT}>{escape(cell)}</th>" for i, cell in enumerate(header))
    body = "".join(
        f"<tr><th {_LEFT}>{escape(name)}</th>" + "".join(f"<td {right}>{escape(c)}</td>" for c in cells) + "</tr>"
        for name, *cells in rows
    )
    above = f"<tr><th {across}>{escape(title)}</th></tr>"
    above += "".join(f"<tr><td {across}>{escape(fact)}</td></tr>" for fact in facts)
    below = "".join(f"<tr><td {across}>{escape(note)}</td></tr>" for note in notes)
    foot = f"<tfoot>{below}</tfoot>" if notes else ""
    return f"<table><thead>{above}<tr>{heads}</tr></thead><tbody>{body}</tbody>{foot}</table>"


_LATEX = {
    **{sign: "\\" + sign for sign in "&%$#_{}"},
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "±": r"$\pm$",
}


def latex_text(text: str) -> str:
    r"""Write text so that LaTeX prints it as it is.

    >>> latex_text("5 % of a_1")
    '5 \\% of a\\_1'
    """
    return re.sub(r"(?<!\S)-(?=\d)", r"$-$", "".join(_LATEX.get(sign, sign) for sign in text))


def latex_number(cell: str) -> str:
    r"""Write a number, or what compares with one, as mathematics; anything else as text.

    >>> latex_number("-1.20e-09"), latex_number("<0.001"), latex_number("held")
    ('$-1.20 \\times 10^{-9}$', '$<0.001$', 'held')
    """
    found = re.fullmatch(r"(<?-?\d+(?:\.\d+)?)(?:e([+-]\d+))?", cell)
    if found is None:
        return latex_text(cell)
    power = rf" \times 10^{{{int(found[2])}}}" if found[2] else ""
    return f"${found[1]}{power}$"


def grid_latex(header: Sequence[str], rows: Sequence[Sequence[str]], notes: Sequence[str]) -> str:
    """Write columns of numbers as a ``tabular`` with the rules of the package booktabs, notes below."""
    join = lambda cells: " & ".join(cells) + r" \\"
    titles = [f"${title}$" if len(title) == 1 else latex_text(title) for title in header]
    notes = [line for note in notes for line in textwrap.wrap(note, 80)]
    lines = [
        rf"\begin{{tabular}}{{l{'r' * (len(header) - 1)}}}",
        r"\toprule",
        join(titles),
        r"\midrule",
    ]
    # A bracket or a star behind the end of a row would belong to it.
    lead = lambda name: "{}" * name.startswith(("[", "*")) + latex_text(name)
    lines += [join([lead(name), *map(latex_number, cells)]) for name, *cells in rows]
    lines += [r"\midrule"] * bool(notes)
    lines += [rf"\multicolumn{{{len(header)}}}{{l}}{{{latex_text(note)}}} \\" for note in notes]
    return "\n".join([*lines, r"\bottomrule", r"\end{tabular}"])
