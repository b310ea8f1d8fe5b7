"""The registry as a table: what NumPy and SciPy callables work on traced values, and what holds at their kinks."""

from __future__ import annotations

from hessian.rules.spec import DISPATCH, Entry, Operation


def catalogue() -> str:
    """List every supported callable, a line each: name, kind of its rule, convention where the derivative does not exist.

    Returns
    -------
    str
        Columns of text, sorted by name.

    Examples
    --------
    >>> from hessian.rules.catalogue import catalogue
    >>> print(next(line for line in catalogue().splitlines() if line.startswith("numpy.maximum ")))
    numpy.maximum                  elementwise        1/2 in each argument at a tie
    """
    rows = sorted((entry.name, _kind(entry), entry.kinks) for entry in DISPATCH.values())
    width = max(len(name) for name, _, _ in rows)
    return "\n".join(f"{name:<{width}}  {kind:<17}  {kinks}".rstrip() for name, kind, kinks in rows)


def _kind(entry: Entry) -> str:
    operation = getattr(entry.call, "operation", entry.call)
    return type(operation).__name__.lower() if isinstance(operation, Operation) else "composed"
