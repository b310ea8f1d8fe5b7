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
    "scipy.special.beta": Meaning("np.exp(scipy.special.betaln(x, y))"),
    "scipy.special.binom": Meaning(
        "np.exp(-scipy.special.betaln(x - y + 1, y + 1)) / (x + 1)", condition="0 <= y <= x"
    ),
    "scipy.special.poch": Meaning("np.exp(scipy.special.gammaln(x + y) - scipy.special.gammaln(x))", condition="x > 0"),
    "scipy.special.loggamma": Meaning("scipy.special.gammaln(x)", condition="x > 0"),
    "scipy.special.rgamma": Meaning("np.exp(-scipy.special.gammaln(x))", condition="x > 0"),
    "scipy.special.boxcox": Meaning("np.expm1(y * np.log(x)) / y", condition="y is not 0"),
    "scipy.special.boxcox1p": Meaning("np.expm1(y * np.log1p(x)) / y", condition="y is not 0"),
    "scipy.special.inv_boxcox": Meaning("np.exp(np.log1p(y * x) / y)", condition="y is not 0"),
    "scipy.special.inv_boxcox1p": Meaning("np.expm1(np.log1p(y * x) / y)", condition="y is not 0"),
    "scipy.special.powm1": Meaning("np.expm1(y * np.log(x))", condition="x > 0"),
    "scipy.special.exp10": Meaning("10.0**x"),
    "scipy.special.cosm1": Meaning("-2 * np.sin(x / 2) ** 2"),
    "scipy.special.sindg": Meaning("np.sin(np.deg2rad(x))"),
    "scipy.special.cosdg": Meaning("np.cos(np.deg2rad(x))"),
    "scipy.special.tandg": Meaning("np.tan(np.deg2rad(x))"),
    "scipy.special.huber": Meaning(
        "np.where(np.abs(y) <= x, 0.5 * y**2, x * (np.abs(y) - 0.5 * x))", condition="x > 0"
    ),
    "scipy.special.pseudo_huber": Meaning("x**2 * (np.sqrt(1 + (y / x) ** 2) - 1)"),
}
"""By public name. Letters: ``x, y`` stand for the arguments of functions of numbers, others are said."""


def meaning(target: Any) -> str:
    """Return advice for a function without a rule, to be followed by what always can be done; empty if there is none."""
    meaning = MEANINGS.get(public_name(target))
    if meaning is None:
        return ""
    where = ", ".join(part for part in (meaning.letters, meaning.condition) if part)
    return f"It is {meaning.expression}{f' ({where})' if where else ''}; else "
