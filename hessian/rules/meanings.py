"""What to write instead of functions that have no rule, where something means the same.

The table goes by what a function computes, not by its name: every expression is evaluated and differentiated by the tests,
and what is not here has no advice, which is better than advice that does not fit.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from hessian.rules.dispatch import public_name


class Meaning(NamedTuple):
    """An expression that computes the same, and what its letters stand for, as an assignment or in words."""

    expression: str
    letters: str = ""
    condition: str = ""


MEANINGS: dict[str, Meaning] = {
    "numpy.ldexp": Meaning("x * 2.0**i"),
    "numpy.linalg.eigvals": Meaning("np.linalg.eigvalsh(A)", condition="A is symmetric"),
}
"""By public name. Letters: ``x, y`` stand for the arguments of functions of numbers, others are said."""


def meaning(target: Any) -> str:
    """Return advice for a function without a rule, to be followed by what always can be done; empty if there is none."""
    meaning = MEANINGS.get(public_name(target))
    if meaning is None:
        return ""
    where = ", ".join(part for part in (meaning.letters, meaning.condition) if part)
    return f"It is {meaning.expression}{f' ({where})' if where else ''}; else "
