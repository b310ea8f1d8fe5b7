"""Errors about functions without a rule hold a declaration to paste, of that very function."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import scipy
import scipy.integrate
import scipy.interpolate
import scipy.ndimage
import scipy.signal
import scipy.special as sc
import scipy.stats

import hessian as hs
from hessian.errors import LeavesTapeError, MissingRuleError
from hessian.rules.templates import template_of, template_of_ufunc

X = np.array([0.3, 0.7, 0.2, 0.6])


def told(f: Callable[[Any], Any]) -> tuple[str, str]:
    """Return the text of an error and the declaration in it."""
    with pytest.raises((MissingRuleError, LeavesTapeError)) as caught:
        hs.grad(lambda x: np.sum(f(x)))(X)
    text, _, template = str(caught.value).partition("(hs.check_rule tries it):\n")
    return text, template


def pasted(template: str, formulas: list[str], fields: str = "") -> Any:
    """Run a declaration with formulas at the dots, and return the rule."""
    for formula in formulas:
        template = template.replace("...", formula, 1)
    assert "..." not in template
    template = template[:-1].rstrip().removesuffix(",") + fields + ")"
    scope: dict[str, Any] = {"hs": hs, "np": np, "scipy": scipy, "sc": sc, "slope": _slope}
    exec(template, scope)
    return scope[template.partition(" = ")[0]]


def _slope(a: Any, b: Any) -> Any:
    """Return the derivative in b of the arithmetic-geometric mean pi a / (2 K(m)), where m is 1 - (b / a)^2."""
    m = 1 - (b / a) ** 2
    K = sc.ellipk(m)
    return math.pi * b / (a * K * K) * (sc.ellipe(m) / (1 - m) - K) / (2 * m)


_SERIES = "8 * y * sum((-1.0) ** k * k * k * np.exp(-2.0 * k * k * y * y) for k in range(1, 9))"
UFUNCS: dict[str, tuple[Callable[[Any], Any], list[str], str]] = {
    "kolmogorov": (lambda x: sc.kolmogorov(x), [_SERIES], ", domain=[(0.6, 2.0)], kinks='at 0'"),
    "agm": (
        lambda x: sc.agm(x, x + 1),
        ["(y - b * slope(a, b)) / a", "slope(a, b)"],
        ", domain=[(2.0, 3.0), (0.5, 1.5)], kinks='at 0, 1'",
    ),
    "it2j0y0_0": (lambda x: sc.it2j0y0(x)[0], ["(1 - sc.j0(x)) / x"], ", domain=[(0.5, 3.0)], kinks='at 0'"),
}


@pytest.mark.parametrize("name", UFUNCS)
def test_declarations_of_ufuncs_work_as_they_are_told(name: str) -> None:
    f, formulas, fields = UFUNCS[name]
    text, template = told(f)
    assert f"scipy.special.{name.removesuffix('_0')}: no derivative rule" in text
    assert template.startswith(f"{name} = hs.custom_rule(")
    rule = pasted(template, formulas, fields)
    hs.check_rule(rule)
    assert rule.name == f"custom.{name}"


def test_declarations_name_arguments_and_leave_out_whole_numbers() -> None:
    entry = "lambda y, a, b: ..."
    assert told(lambda x: sc.agm(x, 2 * x))[1] == f"agm = hs.custom_rule(scipy.special.agm, d1=[{entry}, {entry}])"
    assert told(lambda x: sc.agm(3, x))[1] == f"agm = hs.custom_rule(scipy.special.agm, d1=[hs.rules.MISSING, {entry}])"
    assert "lambda y, v, z: ..." in told(lambda x: sc.jv(x, 1.0))[1]
    made = np.frompyfunc(lambda x, y: x, 2, 1)
    assert template_of_ufunc(made).endswith("d1=[lambda y, x1, x2: ..., lambda y, x1, x2: ...])")
    assert "lambda value, x, y: ..." in template_of_ufunc(sc.elliprc)
    assert "[x, axis]" not in template_of(np.sort_complex, (X,))


def test_declarations_of_distributions_work_as_they_are_told() -> None:
    text, template = told(lambda x: hs.scipy.stats.vonmises.cdf(x, 2.0))
    assert "scipy.stats.vonmises has no cdf that can be differentiated" in text
    assert template.count("lambda y, x, kappa: ...") == 2
    template = template.replace("lambda y, x, kappa: ...]", "hs.rules.MISSING]")
    rule = pasted(
        template, ["hs.scipy.stats.vonmises.pdf(x, kappa)"], ", domain=[(-3.0, 3.0), (0.5, 2.0)], kinks='at 0'"
    )
    np.testing.assert_allclose(hs.grad(lambda x: np.sum(rule(x, 2.0)))(X), scipy.stats.vonmises.pdf(X, 2.0))


ARRAYS: dict[str, tuple[Callable[[Any], Any], list[str], tuple[Any, ...], dict[str, Any]]] = {
    "savgol_filter": (
        lambda x: scipy.signal.savgol_filter(x, 3, 1),
        [
            "savgol_filter(x_dots[0], **settings)",
            "y_bar @ scipy.signal.savgol_filter(np.eye(len(xs[0])), axis=0, **settings)",
        ],
        (X,),
        {"window_length": 3, "polyorder": 1},
    ),
    "chebval": (
        lambda c: np.polynomial.chebyshev.chebval(0.3, c),
        [
            "chebval(x_dots[0], **settings)",
            "y_bar * np.polynomial.chebyshev.chebvander(settings['x'], len(xs[0]) - 1)[0]",
        ],
        (X,),
        {"x": 0.3},
    ),
    "zoom": (
        lambda x: scipy.ndimage.zoom(x, 2, order=1),
        ["zoom(x_dots[0], **settings)", "y_bar @ np.stack([zoom(row, **settings) for row in np.eye(len(xs[0]))], 1)"],
        (X,),
        {"zoom": 2, "order": 1},
    ),
}


@pytest.mark.parametrize("name", ["CubicSpline", "PchipInterpolator"])
def test_methods_that_a_private_class_lends_lead_to_the_twin_of_their_own(name: str) -> None:
    curve = getattr(scipy.interpolate, name)(np.arange(4.0), np.arange(4.0) ** 2)
    with pytest.raises(hs.HessianError, match=rf"Use hessian\.scipy\.interpolate\.{name}"):
        hs.grad(lambda x: np.sum(curve(x)))(np.array([0.5, 1.5]))


@pytest.mark.parametrize("name", ARRAYS)
def test_declarations_of_functions_of_arrays_work_as_they_are_told(name: str) -> None:
    f, formulas, args, settings = ARRAYS[name]
    text, template = told(f)
    assert "it takes plain arrays" in text
    assert len(template.splitlines()) == 6
    hs.check_rule(pasted(template, formulas), *args, **settings)


def test_declarations_name_all_arrays_of_the_call() -> None:
    text, template = told(lambda x: scipy.ndimage.map_coordinates(np.eye(4), [x, x]))
    assert "Write what scipy.ndimage.map_coordinates computes in NumPy" in text
    assert "# xs is [input, coordinates]" in template
    assert "[..., ...]" in template


def test_twins_come_first_and_where_nothing_could_be_declared_nothing_is() -> None:
    text, template = told(lambda x: scipy.stats.norm.logpdf(x))
    assert "Use the distribution of that name in hessian.scipy.stats" in text
    assert not template
    for f, says in (
        (lambda x: sc.hankel1e(0, x), "declare its derivative with hs.custom_rule"),
        (lambda x: np.bitwise_count(x), r"It takes whole numbers, which have no derivative\. Call it on plain numbers"),
        (lambda x: scipy.stats.gaussian_kde(x)(1.0), "Write what scipy.stats.gaussian_kde computes"),
        (lambda x: scipy.integrate.quad(lambda t: t * x[0], 0, 1)[0], "Write what scipy.integrate.quad computes"),
        (lambda x: scipy.stats.kurtosis(x), "Write what scipy.stats.kurtosis computes"),
    ):
        with pytest.raises((MissingRuleError, LeavesTapeError), match=says) as caught:
            hs.grad(lambda x, f=f: np.sum(f(x)))(X)
        assert "hs.check_rule" not in str(caught.value)
