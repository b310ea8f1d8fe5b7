"""The table of operations: what NumPy and SciPy functions do on traced values, their conventions, and the errors that were measured."""

from __future__ import annotations

import itertools

from hessian.rules.catalogue import kind, remarks
from hessian.rules.dispatch import DISPATCH, Entry
from hessian.rules.measured import MEASURED

OPENING = """# Operations: rules, conventions, accuracy

For whoever asks whether a function of NumPy or SciPy has a derivative here, what holds where none exists, and how many digits are right.
What does *not* work, and what to write instead, is on the page {doc}`/coverage`; a function that is missing gets its derivative by
{func}`hessian.custom_rule` ({doc}`/guides/operations`).

- *Kind*: `elementwise` rules give first and mostly second partials in closed form; `linear`, `bilinear` and `general` rules give sweeps;
  `composed` functions are written in terms of others; `nondifferentiable` ones have a zero derivative wherever there is one.
- *Errors*: the largest relative error in float64, against mpmath, of the value, of first and of second partials, and at how many points
  between 1e-300 and 1e300 it was measured. Every value is NumPy's or SciPy's own, to the last bit.
- *Convention*: what is returned where the derivative does not exist, and why fewer digits are reached where that is so.

"""
HEAD = "| function | kind | convention | value | first | second | points |\n|---|---|---|--:|--:|--:|--:|\n"


def page() -> str:
    """Text of the page: one table for each namespace."""
    entries = sorted(
        DISPATCH.values(), key=lambda entry: (_room(entry.name).startswith("hessian"), _room(entry.name), entry.name)
    )
    text = OPENING
    for room, group in itertools.groupby(entries, key=lambda entry: _room(entry.name)):
        title = room.replace("hessian.special", "hessian.scipy.special")
        rows = [
            f"| `{entry.name.removeprefix(f'{room}.')}` | {kind(entry)} | {_safe(remarks(entry))} | {_errors(entry)} |"
            for entry in group
        ]
        text += f"## {title}\n\n{HEAD}" + "\n".join(rows) + "\n\n"
    return text


def _room(name: str) -> str:
    return name.rpartition(".")[0]


def _errors(entry: Entry) -> str:
    """Four cells: errors of value, first and second partials; points."""
    if entry.row is None or entry.row.name not in MEASURED:
        return " | | | "
    count, *errors = MEASURED[entry.row.name]
    return " | ".join(["0" if error == 0 else f"{error:.1e}" for error in errors] + [str(count)])


def _safe(text: str) -> str:
    return text.replace("|", "\\|").replace("*", "\\*")
