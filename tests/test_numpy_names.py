"""What plain NumPy means: every name of the list is in the registry, reached otherwise, or has its reason and a way around."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.special
from numpy.testing import assert_allclose, assert_array_equal

import hessian as hs
from hessian.rules.dispatch import DISPATCH
from hessian.rules.unsupported import UNSUPPORTED
from hessian.tape.creation import BRACKETS, CONVERTING, CREATING

LINES = (Path(__file__).parent / "data" / "numpy_names.txt").read_text(encoding="utf-8").splitlines()
NAMES = [line.split("\t")[0] for line in LINES if line and not line.startswith("#")]
METHODS = [name for name in NAMES if name.count(".") == 2 and isinstance(getattr(np, name.split(".")[1]), np.ufunc)]
X = np.array([0.6, 1.3, 0.9, 1.7])


def resolved(name: str) -> Any:
    found: Any = np
    for part in name.split(".")[1:]:
        found = getattr(found, part, None)
    return found


def home(name: str) -> str:
    """Where a name is taken care of; empty if nowhere."""
    target, last = resolved(name), name.removeprefix("numpy.")
    if last in (*CREATING, *CONVERTING):
        return "creation"
    if last in BRACKETS:
        return "brackets"
    if name in METHODS:
        return "method"
    if callable(target) and target in DISPATCH:
        return "registry"
    return "unsupported" if name in UNSUPPORTED else ""


def test_every_name_is_taken_care_of() -> None:
    there = [name for name in NAMES if resolved(name) is not None]
    homes = {name: home(name) for name in there}
    assert [name for name, place in homes.items() if not place] == []
    missing = [name for name, place in homes.items() if place == "unsupported"]
    assert len(missing) < 0.05 * len(there), missing


def test_nothing_supported_is_said_to_be_missing() -> None:
    assert not [name for name in UNSUPPORTED if callable(resolved(name)) and resolved(name) in DISPATCH]


def agrees(f: Callable[[Any], Any], x: np.ndarray) -> None:
    """Compare value and gradient of sums of squares with the plain function's and with differences."""
    g = lambda x: np.sum(np.square(f(x)))
    value, gradient = hs.value_and_grad(g)(x)
    slopes = [(g(x + h) - g(x - h)) / 2e-6 for h in 1e-6 * np.eye(x.size).reshape(x.size, *x.shape)]
    assert_allclose(value, g(x), rtol=1e-14)
    assert_allclose(np.ravel(gradient), slopes, rtol=1e-7, atol=1e-8)


@pytest.mark.parametrize("name", METHODS)
def test_methods_of_ufuncs(name: str) -> None:
    ufunc, method = resolved(name.rpartition(".")[0]), name.rpartition(".")[2]

    def at(x: Any) -> Any:
        y = 1.1 * x
        ufunc.at(y, [0, 2, 0], x[1:])
        return y

    wide = np.stack([X, X[::-1] + 0.05])
    if method == "at":
        return agrees(at, X)
    if method == "outer":
        return agrees(lambda x: ufunc.outer(x, x[:3]), X)
    agrees(lambda x: getattr(ufunc, method)(x, axis=1), wide)
    if method == "reduce":
        agrees(lambda x: ufunc.reduce(x, axis=None, initial=0.3), wide)
        agrees(lambda x: ufunc.reduce(x, axis=(0, 1), keepdims=True), wide)
        agrees(lambda x: ufunc.reduce(x, axis=(0, 1), dtype=np.float64), wide)
    return None


BRACKETED: dict[str, Callable[[Any], Any]] = {
    "row of anything": lambda x: np.r_[x, 1.0, x[0], [x[1], 2.0], 0:3],
    "whole numbers beside": lambda x: np.r_[1, x, True],
    "along an axis": lambda x: np.r_["1,2,0", x, x * 2],
    "as rows": lambda x: np.r_["0,2", x, x * 2],
    "between traced ends": lambda x: np.r_[x[1] : x[2] : 5j, x],
    "columns": lambda x: np.c_[x, x**2, np.ones(4)],
    "columns of numbers": lambda x: np.c_[[x[0], x[1], 1.0], 1.0 * np.arange(3)],
    "an index": lambda x: x[np.s_[1:]],
    "a number or not": lambda x: 2 * x if np.isscalar(x[0]) and not np.isscalar(x) else x,
}


@pytest.mark.parametrize("f", BRACKETED.values(), ids=BRACKETED)
def test_brackets(f: Callable[[Any], Any]) -> None:
    agrees(f, X)
    seen = []
    hs.grad(lambda x: np.sum(seen.append(f(x)) or seen[-1]))(X)
    assert (seen[0].shape, seen[0].dtype) == (f(X).shape, f(X).dtype)


def test_brackets_of_plain_numbers_may_become_traced() -> None:
    def f(x: Any) -> Any:
        y = np.r_[0.0, 1.0]
        y[0] = x[0]
        return np.sum(y * y) + len(np.r_)

    assert_array_equal(hs.grad(f)(X), [1.2, 0, 0, 0])
    assert type(np.r_).__module__.startswith("numpy")


def test_brackets_make_no_matrices() -> None:
    with pytest.raises(hs.errors.OptionError, match="asks for a matrix"):
        hs.grad(lambda x: np.sum(np.r_["r", x]))(X)


def test_ufuncs_compute_in_the_precision_they_are_asked_for() -> None:
    def f(x: Any) -> Any:
        y = np.exp(x, dtype=np.float32, casting="same_kind", order="K")
        assert y.dtype == np.float32
        return np.sum(y)

    assert_allclose(hs.grad(f)(X), np.exp(X), rtol=1e-6)
    for keywords, error in (({"dtype": int}, hs.errors.OptionError), ({"dtype": "f4", "casting": "safe"}, TypeError)):
        with pytest.raises(error, match=r"astype|casting rule"):
            hs.grad(lambda x, k=keywords: np.sum(np.exp(x, **k)))(X)


def test_what_two_sets_share_has_no_derivative() -> None:
    def f(x: Any) -> Any:
        common, first, second = np.intersect1d(x, [0.9, 1.3, 5.0], return_indices=True)
        assert (first.tolist(), second.tolist()) == ([2, 1], [0, 1])
        return np.sum(common) + np.sum(np.intersect1d([0.6], x)) + x[0]

    value, gradient = hs.value_and_grad(f)(X)
    assert value == pytest.approx(0.9 + 1.3 + 0.6 + 0.6)
    assert_array_equal(gradient, [1.0, 0, 0, 0])


REFUSED: dict[str, tuple[Callable[[Any], Any], type[Exception], str]] = {
    "equal eigenvalues": (
        lambda x: np.linalg.eig(x[0] * np.eye(2))[1],
        hs.errors.UndefinedDerivativeError,
        "equal to working precision",
    ),
    "no square matrix": (lambda x: np.linalg.eigvals(np.outer(x, x[:2])), np.linalg.LinAlgError, "square"),
    "roots of a matrix": (lambda x: np.roots(np.outer(x, x)), ValueError, "rank-1"),
    "a mask without what it leaves": (
        lambda x: np.hypot.reduce(x, where=X > 1),
        hs.errors.OptionError,
        "neutral element",
    ),
    "several axes of a scan": (lambda x: np.hypot.accumulate(x, axis=(0,)), hs.errors.OptionError, "Pass one axis"),
    "several axes one after the other": (
        lambda x: np.float_power.reduce(np.outer(x, x), axis=(0, 1)),
        hs.errors.OptionError,
        "Write the loop out",
    ),
    "points of a histogram": (lambda x: np.histogramdd(np.ones((2, 2, 2)), weights=x)[0], ValueError, "unpack"),
    "bins of a histogram": (lambda x: np.histogramdd(x, 0)[0], ValueError, "positive"),
    "matrix of bins": (lambda x: np.histogramdd([x], [np.ones((2, 2))])[0], ValueError, "1d array"),
    "bins per axis": (lambda x: np.histogramdd([x, x], (2, 2, 2))[0], ValueError, "dimension"),
    "ranges per axis": (lambda x: np.histogramdd([x, x], 2, [[0, 1]])[0], ValueError, "range"),
    "lengths of coordinates": (lambda x: np.histogram2d(x, X[:3])[0], ValueError, "same length"),
    "lengths of weights": (lambda x: np.histogram2d(x, x, weights=X[:3])[0], ValueError, "same length"),
    "both tolerances": (lambda x: np.linalg.pinv(np.outer(x, x), 0.1, rtol=0.1), ValueError, "both set"),
    "too few points": (lambda x: np.polyfit([0.0, 1.0], x[:2], 1, cov=True)[1], ValueError, "exceed order"),
    "several degrees": (lambda x: np.polyfit(X, x, [0, 2]), hs.errors.OptionError, "deg is"),
    "result by position": (lambda x: np.cumsum(x, 0, None, np.zeros(4)), hs.errors.OptionError, "by name"),
    "order of a polynomial": (
        lambda x: scipy.special.eval_legendre(x, 0.5),
        hs.errors.MissingRuleError,
        "derivative in argument 0 has no rule",
    ),
}


@pytest.mark.parametrize(("f", "error", "text"), REFUSED.values(), ids=REFUSED)
def test_refused(f: Callable[[Any], Any], error: Any, text: str) -> None:
    with pytest.raises(error, match=text):
        hs.grad(lambda x: np.sum(f(x)))(X)
