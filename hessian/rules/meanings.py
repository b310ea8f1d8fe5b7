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


_D = "d = x - np.mean(x, axis=1, keepdims=True)"
_STEPS = "np.linspace(0.0, 1.0, n)"
_NAN = "np.where(np.isnan(x), {}, x)"

MEANINGS: dict[str, Meaning] = {
    "numpy.insert": Meaning("np.concatenate([x[:i], [v], x[i:]])"),
    "numpy.median": Meaning("np.mean(np.sort(x)[(n - 1) // 2 : n // 2 + 1])", "n = len(x)"),
    "numpy.quantile": Meaning(
        "(1 - t) * np.sort(x)[i] + t * np.sort(x)[i + 1]", "i, t = int(q * (len(x) - 1)), q * (len(x) - 1) % 1"
    ),
    "numpy.percentile": Meaning(
        "(1 - t) * np.sort(x)[i] + t * np.sort(x)[i + 1]",
        "i, t = int(q / 100 * (len(x) - 1)), q / 100 * (len(x) - 1) % 1",
    ),
    "numpy.cov": Meaning("d @ d.T / (d.shape[1] - 1)", _D, "rows are variables"),
    "numpy.corrcoef": Meaning("d @ d.T / np.outer(s, s)", f"{_D}; s = np.linalg.norm(d, axis=1)", "rows are variables"),
    "numpy.polyval": Meaning("sum(c * x**k for k, c in enumerate(p[::-1]))"),
    "numpy.vander": Meaning("x[:, None] ** np.arange(n)[::-1]"),
    "numpy.select": Meaning("np.where(c[0], x[0], np.where(c[1], x[1], default))"),
    "numpy.block": Meaning("np.concatenate([np.concatenate([a, b], axis=1), np.concatenate([c, d], axis=1)])"),
    "numpy.nansum": Meaning(f"np.sum({_NAN.format(0.0)})"),
    "numpy.nanprod": Meaning(f"np.prod({_NAN.format(1.0)})"),
    "numpy.nanmean": Meaning(f"np.sum({_NAN.format(0.0)}) / np.sum(~np.isnan(x))"),
    "numpy.nanmax": Meaning(f"np.max({_NAN.format('-np.inf')})"),
    "numpy.nanmin": Meaning(f"np.min({_NAN.format('np.inf')})"),
    "numpy.nancumsum": Meaning(f"np.cumsum({_NAN.format(0.0)})"),
    "numpy.nancumprod": Meaning(f"np.cumprod({_NAN.format(1.0)})"),
    "numpy.divmod": Meaning("(x // y, x % y)"),
    "numpy.modf": Meaning("(x - np.trunc(x), np.trunc(x))"),
    "numpy.ldexp": Meaning("x * 2.0**i"),
    "numpy.linspace": Meaning(f"a + (b - a) * {_STEPS}"),
    "numpy.geomspace": Meaning(f"a * (b / a) ** {_STEPS}"),
    "numpy.logspace": Meaning(f"10.0 ** (a + (b - a) * {_STEPS})"),
    "numpy.cumulative_sum": Meaning("np.cumsum(x)"),
    "numpy.cumulative_prod": Meaning("np.cumprod(x)"),
    "numpy.amax": Meaning("np.max(x)"),
    "numpy.amin": Meaning("np.min(x)"),
    "numpy.ediff1d": Meaning("np.diff(x)"),
    "numpy.apply_along_axis": Meaning("np.stack([f(row) for row in x])", condition="along the last axis"),
    "numpy.linalg.svdvals": Meaning("np.sqrt(np.linalg.eigvalsh(A.T @ A))[::-1]", condition="A has full column rank"),
    "numpy.linalg.pinv": Meaning("np.linalg.solve(A.T @ A, A.T)", condition="A has full column rank"),
    "numpy.linalg.lstsq": Meaning("np.linalg.solve(A.T @ A, A.T @ b)", condition="A has full column rank"),
    "numpy.linalg.eigvals": Meaning("np.linalg.eigvalsh(A)", condition="A is symmetric"),
    "numpy.linalg.matrix_norm": Meaning("np.linalg.norm(A)"),
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
