"""Advice in errors fits what was written, or is left out."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import scipy.optimize
import scipy.sparse.linalg
import scipy.special
from numpy import array, asarray, zeros

import hessian as hs
from hessian.errors import LeavesTapeError, MissingRuleError
from hessian.rules.dispatch import DISPATCH
from hessian.tape import advice

X = np.array([0.6, 0.2, 0.9, 1.4])
M = np.array([[0.5, 1.0, 3.0], [2.0, 0.5, 0.1], [1.0, 1.0, 4.0], [0.3, 2.0, 1.0]])


def resolve(dotted: str) -> Any:
    found: Any = {"np": np, "scipy": scipy}[dotted.split(".")[0]]
    for part in dotted.split(".")[1:]:
        found = getattr(found, part)
    return found


def test_what_has_no_derivative_says_why() -> None:
    for f, why in ((np.isnat, "it is about files"), (np.bitwise_count, "it takes whole numbers")):
        with pytest.raises(MissingRuleError) as caught:
            hs.grad(lambda x, f=f: np.sum(f(x)))(X)
        assert re.search(rf"{why[0].upper()}{why[1:]}.*\. Call it on plain numbers", str(caught.value))


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
    "whole numbers": (lambda x: X[np.int64(x)], "Use x.astype(np.int64), where no derivative is meant"),
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
        (lambda x: np.sum(scipy.sparse.csr_array((x, (range(4), range(4))))), r"scipy\.sparse\.csr_array"),
    ):
        with pytest.raises((LeavesTapeError, MissingRuleError), match=f"Write what {name} computes in NumPy"):
            hs.grad(f)(X)


def test_solvers_within_a_function_are_answered_by_those_with_derivatives() -> None:
    for f, says in (
        (lambda a: hs.optimize.minimize(lambda w: np.sum((w - a) ** 2), X).fun, r"Use hs\.argmin or hs\.root"),
        (lambda a: hs.optimize.least_squares(lambda w: w - a, X).cost, r"Use hs\.argmin or hs\.root"),
        (lambda a: hs.optimize.minimize(lambda w: np.sum(w**2), a * X).fun, r"Use hs\.argmin or hs\.root"),
        (
            lambda a: hs.curvature.trace(hs.HessianOperator(lambda w: np.sum(a * w**2), X)).value,
            r"Call hs\.curvature outside",
        ),
        (lambda a: scipy.optimize.newton(lambda t: t**3 - a, 1.0), r"Use hessian\.root"),
        (lambda a: scipy.optimize.golden(lambda t: np.cosh(t - a), brack=(-5.0, 0.0, 5.0)), r"Use hessian\.argmin"),
        (lambda a: scipy.optimize.minimize(lambda t: np.sum((t - a) ** 2), X).fun, r"Use hessian\.argmin"),
    ):
        with pytest.raises(LeavesTapeError, match=says):
            hs.grad(f)(2.0)
    with pytest.raises(LeavesTapeError, match=r"Use np\.sin rather"):
        hs.optimize.minimize(lambda t: math.sin(t), 0.5)


def test_compiled_solvers_of_scipy_are_answered_by_those_with_derivatives() -> None:
    for f in (
        lambda a: scipy.optimize.brentq(lambda t: t**2 - a, 0.0, 3.0),
        lambda a: scipy.optimize.root(lambda t: t - a, X).x[0],
    ):
        with pytest.raises(Exception, match=r"\w") as caught:
            hs.grad(f)(2.0)
        assert "Use hessian.root" in "\n".join([str(caught.value), *getattr(caught.value, "__notes__", [])])
