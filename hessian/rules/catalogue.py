"""The registry as a table: what NumPy and SciPy callables work on traced values, and what holds at their kinks."""

from __future__ import annotations

from hessian.rules.dispatch import DISPATCH, Entry
from hessian.rules.measured import MEASURED
from hessian.rules.spec import Elementwise


def catalogue() -> str:
    """List every supported callable, a line each: name, kind, accuracy, convention where the derivative does not exist.

    The accuracy of an elementwise rule is the largest relative error, in float64 against mpmath, of the value, of first
    and of second partials, and the number of points from 1e-300 to 1e300 it was measured at.

    Returns
    -------
    str
        Columns of text, sorted by name.

    Examples
    --------
    >>> from hessian.rules.catalogue import catalogue
    >>> print(next(line for line in catalogue().splitlines() if line.startswith("numpy.maximum ")))
    numpy.maximum                                elementwise        0.0e+00 0.0e+00 0.0e+00 at 231  1/2 in each argument at a tie
    """
    rows = sorted((entry.name, kind(entry), accuracy(entry), remarks(entry)) for entry in DISPATCH.values())
    width = max(len(name) for name, *_ in rows)
    return "\n".join(
        f"{name:<{width}}  {kind:<17}  {reached:<30}  {kinks}".rstrip() for name, kind, reached, kinks in rows
    )


def accuracy(entry: Entry) -> str:
    """Return what was measured of an elementwise rule."""
    if entry.row is None or entry.row.name not in MEASURED:
        return ""
    count, *errors = MEASURED[entry.row.name]
    return f"{' '.join(f'{error:.1e}' for error in errors)} at {count}"


def remarks(entry: Entry) -> str:
    """Return the convention at kinks, and why less than 1e-13 is reached."""
    short = entry.row.accuracy if isinstance(entry.row, Elementwise) else None
    return "; ".join(filter(None, [entry.kinks, short.reason if short is not None else ""]))


def kind(entry: Entry) -> str:
    """Return the kind of a rule."""
    return "composed" if entry.row is None else type(entry.row).__name__.lower()
