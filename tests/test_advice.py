"""Advice in errors fits what was written, or is left out."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import scipy.sparse.linalg
import scipy.special
from numpy import array, asarray, zeros
from numpy.testing import assert_allclose

import hessian as hs
from hessian.errors import LeavesTapeError, MissingRuleError
from hessian.rules.dispatch import DISPATCH, public_name
from hessian.rules.meanings import MEANINGS, meaning
from hessian.tape import advice

X = np.array([0.6, 0.2, 0.9, 1.4])
M = np.array([[0.5, 1.0, 3.0], [2.0, 0.5, 0.1], [1.0, 1.0, 4.0], [0.3, 2.0, 1.0]])
GAPS = np.array([0.5, np.nan, 2.0])

# What each function of the table is called with; functions of one or two numbers are called with x and y.
CALLS: dict[str, tuple[Callable[..., Any], dict[str, Any]]] = {
    "numpy.insert": (lambda x, i, v: np.insert(x, i, v), {"x": X, "i": 2, "v": 7.0}),
    "numpy.median": (np.median, {"x": X}),
    "numpy.quantile": (lambda x, q: np.quantile(x, q), {"x": X, "q": 0.3}),
    "numpy.percentile": (lambda x, q: np.percentile(x, q), {"x": X, "q": 40}),
    "numpy.cov": (np.cov, {"x": M.T}),
    "numpy.corrcoef": (np.corrcoef, {"x": M.T}),
    "numpy.polyval": (lambda x, p: np.polyval(p, x), {"x": X, "p": [1.0, 2.0, 3.0]}),
    "numpy.vander": (lambda x, n: np.vander(x, n), {"x": X, "n": 3}),
    "numpy.select": (
        lambda x, c, default: np.select(c, x, default),
        {"x": [X, 2 * X], "c": [X > 1.0, X > 0.5], "default": 3.0},
    ),
    "numpy.block": (
        lambda a, b, c, d: np.block([[a, b], [c, d]]),
        {"a": M[:2], "b": M[2:], "c": 3 * M[:2], "d": 4 * M[:2]},
    ),
    **{f"numpy.{n}": (getattr(np, n), {"x": GAPS}) for n in ("nansum", "nanprod", "nanmean", "nanmax", "nanmin")},
    **{f"numpy.{n}": (getattr(np, n), {"x": GAPS}) for n in ("nancumsum", "nancumprod")},
    "numpy.divmod": (lambda x, y: np.divmod(x, y), {"x": 3 * X, "y": 0.75 + X}),
    "numpy.modf": (np.modf, {"x": 3 * X}),
    "numpy.ldexp": (lambda x, i: np.ldexp(x, i), {"x": X, "i": np.array([0, 1, 2, -3])}),
    **{
        f"numpy.{name}": (lambda a, b, n, name=name: getattr(np, name)(a, b, n), {"a": 0.5, "b": 2.0, "n": 4})
        for name in ("linspace", "geomspace", "logspace")
    },
    "numpy.cumulative_sum": (lambda x: np.cumulative_sum(x), {"x": X}),
    "numpy.cumulative_prod": (lambda x: np.cumulative_prod(x), {"x": X}),
    "numpy.amax": (np.amax, {"x": X}),
    "numpy.amin": (np.amin, {"x": X}),
    "numpy.ediff1d": (np.ediff1d, {"x": X}),
    "numpy.apply_along_axis": (lambda x, f: np.apply_along_axis(f, -1, x), {"x": M, "f": lambda row: np.sum(row**2)}),
    "numpy.linalg.svdvals": (lambda A: np.linalg.svdvals(A), {"A": M}),
    "numpy.linalg.pinv": (np.linalg.pinv, {"A": M}),
    "numpy.linalg.lstsq": (lambda A, b: np.linalg.lstsq(A, b, rcond=None)[0], {"A": M, "b": X}),
    "numpy.linalg.eigvals": (lambda A: np.sort(np.linalg.eigvals(A)), {"A": M.T @ M}),
    "numpy.linalg.matrix_norm": (lambda A: np.linalg.matrix_norm(A), {"A": M}),
}


def call_of(name: str) -> tuple[Callable[..., Any], dict[str, Any]]:
    if name in CALLS:
        return CALLS[name]
    function = getattr(scipy.special, name.rsplit(".", 1)[-1])
    numbers = {"x": X + 1.0, "y": X / 2} if function.nin == 2 else {"x": X + 1.0}
    return (lambda x, y=None: function(x) if y is None else function(x, y)), numbers


def resolve(dotted: str) -> Any:
    found: Any = {"np": np, "scipy": scipy}[dotted.split(".")[0]]
    for part in dotted.split(".")[1:]:
        found = getattr(found, part)
    return found


@pytest.mark.parametrize("name", MEANINGS)
def test_what_the_table_says_is_the_same_function(name: str) -> None:
    row = MEANINGS[name]
    if not hasattr(np, name.split(".")[-1]) and not name.startswith(("scipy", "numpy.linalg")):
        pytest.skip("this NumPy does not have it")
    original, given = call_of(name)

    def written(first: Any) -> Any:
        scope = {**given, key: first, "np": np, "scipy": scipy}
        exec(row.letters, scope)
        return eval(row.expression, scope)

    key = next(iter(given))
    expected, found = original(*given.values()), written(given[key])
    if isinstance(found, tuple):
        expected, found = np.stack(expected), np.stack(found)
    assert_allclose(found, expected, rtol=1e-10)
    if isinstance(given[key], list):
        return
    # It works on traced values, and its derivative is that of the function.
    along = np.cos(np.arange(np.size(given[key]))).reshape(np.shape(given[key]))
    step, total = 1e-6, lambda y: sum(map(np.sum, y)) if isinstance(y, tuple) else np.sum(y)
    slope = hs.jvp(lambda x: total(written(x)), given[key], along)[1]
    at = lambda t: total(original(*{**given, key: given[key] + t * along}.values()))
    assert_allclose(slope, (at(step) - at(-step)) / (2 * step), rtol=1e-6, atol=1e-8)


def test_every_name_in_the_table_is_supported() -> None:
    for row in MEANINGS.values():
        for dotted in re.findall(r"(?:np|scipy\.special)\.[\w.]+", row.expression + " " + row.letters):
            target = resolve(dotted)
            assert not callable(target) or target in DISPATCH or dotted in ("np.arange", "np.linspace"), dotted


def test_no_supported_function_is_in_the_table() -> None:
    assert not MEANINGS.keys() & {public_name(target) for target in DISPATCH}


def test_what_is_not_in_the_table_has_no_advice() -> None:
    assert meaning(np.roots) == meaning(np.histogram2d) == ""
    for f in (lambda x: np.linalg.eig(np.outer(x, x))[0], lambda x: np.roots(x), lambda x: np.histogram2d(x, x)[0]):
        with pytest.raises(MissingRuleError) as caught:
            hs.grad(lambda x, f=f: np.sum(f(x)))(X)
        assert re.search(
            r"would be lost\. Write it in supported operations or declare its derivative with hs\.custom_rule",
            str(caught.value),
        )


# What makes plain numbers, and what to write instead. Lines that hold more than one pattern get advice on what is running.


def two_on_a_line(x: Any) -> Any:
    a, b = zeros(4), [0.0]
    b[0], a[0] = math.sin(1.0), x[0]
    return np.sum(a)


def stored(x: Any) -> Any:
    a = zeros(4)
    a[1:3] = x[:2]
    return np.sum(a)


def augmented(x: Any) -> Any:
    a = zeros(4)
    a += x
    return np.sum(a)


def divided(x: Any) -> Any:
    a = zeros(4)
    np.divide(1.0, x, out=a, where=X > 0.5)
    return np.sum(a)


def made(x: Any) -> Any:
    return np.sum(array([x, x], dtype=float))


def several_lines(x: Any) -> Any:
    return math.exp(x[0]) + 3.0


LEAVING: dict[str, tuple[Callable[[Any], Any], str]] = {
    "math": (lambda x: math.sin(x[0]), "Use np.sin rather than math.sin"),
    "math of two": (lambda x: math.atan2(x[0], 1.0), "Use np.atan2 rather than math.atan2"),
    "log to a base": (lambda x: math.log(x[0], 2), "Apply np functions to x directly"),
    "math with a twin elsewhere": (lambda x: math.lgamma(x[0]), "Use scipy.special.gammaln rather than math.lgamma"),
    "math without": (lambda x: math.nextafter(x[0], 1.0), "Apply np functions to x directly"),
    "several lines": (several_lines, "Use np.exp rather than math.exp"),
    "float": (lambda x: next(float(t) for t in x), "Use x itself, without the conversion"),
    "dot": (lambda x: np.sum(M.T.dot(x)), "Use A @ x rather than A.dot(x)"),
    "item": (lambda x: math.sin(1.0) * x[0].item(), "Use x[i] without .item()"),
    "tolist": (lambda x: sum(x.tolist()), "Use list(x)"),
    "asarray": (lambda x: np.sum(asarray(x, dtype=float)), "Use x itself: it already is an array"),
    "list of arrays": (made, "Use np.stack"),
    "two on a line": (two_on_a_line, "Assign into np.zeros_like(x)"),
    "slice": (stored, "Assign into np.zeros_like(x)"),
    "augmented": (augmented, "Write y = y + x instead of y += x"),
    "out": (divided, "Pass out=np.zeros_like(x) with x traced, or use the result"),
    "index": (lambda x: X[x[0]], ""),
}


@pytest.mark.parametrize("name", LEAVING)
def test_advice_fits_what_is_running(name: str) -> None:
    f, says = LEAVING[name]
    with pytest.raises((LeavesTapeError, TypeError, IndexError, ValueError)) as caught:
        hs.grad(f)(X)
    text = "\n".join([str(caught.value), *getattr(caught.value, "__notes__", [])])
    assert says in text
    others = [words for _, words in LEAVING.values() if words and words not in says and says not in words]
    assert not [words for words in others if words in text]


def test_names_in_advice_exist_and_are_supported() -> None:
    for name, most in advice._MATH.items():
        assert hasattr(math, name) or name == "exp2"
        assert getattr(np, name) in DISPATCH, name
        assert most in (1, 2)
    for name, other in advice._OTHER_NAMES.items():
        assert hasattr(math, name.removeprefix("math."))
        assert resolve(other) in DISPATCH
    assert {np.stack, np.zeros_like} <= set(DISPATCH)


def test_without_source_there_is_no_advice() -> None:
    scope: dict[str, Any] = {"np": np, "math": math}
    exec("f = lambda x: math.sin(x[0])", scope)
    with pytest.raises(LeavesTapeError, match="Apply np functions to x directly"):
        hs.grad(scope["f"])(X)


def test_what_scipy_computes_is_named_by_what_users_write() -> None:
    for f, name in (
        (lambda x: np.sum(scipy.sparse.diags([x], [0]) @ x), r"scipy\.sparse\.diags"),
        (
            lambda x: np.sum(scipy.sparse.linalg.aslinearoperator(np.eye(4)) @ x),
            r"scipy\.sparse\.linalg\.LinearOperator",
        ),
        (lambda x: np.polynomial.polynomial.polyval(0.5, x), r"numpy\.polynomial\.polynomial\.polyval"),
        (lambda x: np.sum(scipy.sparse.csr_array((x, (range(4), range(4))))), r"scipy\.sparse"),
    ):
        with pytest.raises((LeavesTapeError, MissingRuleError), match=f"Write what {name} computes in NumPy"):
            hs.grad(f)(X)
