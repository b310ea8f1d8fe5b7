"""Methods of ufuncs, keywords, and functions that write into an array: NumPy's values, and derivatives that differences confirm."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose

import hessian as hs
from hessian.errors import HessianError, LeavesTapeError, OptionError

X = np.array([0.7, -1.3, 2.1, 0.4, 1.6, -0.2])
M = np.arange(6).reshape(2, 3)


def written(write: Callable[[Any, Any], Any]) -> Callable[[Any], Any]:
    """Return a function that writes into a copy of its argument."""

    def f(x: Any) -> Any:
        y = np.copy(x)
        write(y, x)
        return y

    return f


_SMOOTH = (np.add, np.multiply, np.maximum, np.minimum, np.fmax, np.fmin, np.logaddexp, np.logaddexp2, np.hypot)


def along(ufunc: np.ufunc, method: str) -> Callable[[Any], Any]:
    return lambda x: getattr(ufunc, method)(x.reshape(2, 3), axis=1)


METHODS: dict[str, Callable[[Any], Any]] = {
    f"{ufunc.__name__}.{method}": along(ufunc, method)
    for ufunc in (*_SMOOTH, np.subtract, np.divide)
    for method in ("reduce", "accumulate")
}
METHODS |= {
    f"{ufunc.__name__}.outer": (lambda x, f=ufunc.outer: f(x[:2], x[2:]))
    for ufunc in (np.add, np.multiply, np.maximum, np.logaddexp, np.hypot, np.arctan2)
}
METHODS |= {
    f"{ufunc.__name__}.at": written(lambda y, x, u=ufunc: u.at(y, [0, 2, 2, 5, 2], x[:5] + 0.3))
    for ufunc in (np.add, np.subtract, np.multiply, np.maximum, np.minimum, np.logaddexp, np.hypot, np.divide)
}
METHODS |= {
    "add.reduceat": lambda x: np.add.reduceat(x, [0, 2, 5, 1]),
    "logaddexp.reduceat": lambda x: np.logaddexp.reduceat(x.reshape(2, 3), [0, 1], axis=1),
    "negative.at": written(lambda y, x: np.negative.at(y, [1, 1, 3])),
    "logaddexp.reduce, first axis": lambda x: np.logaddexp.reduce(x.reshape(3, 2)),
    "subtract.reduce, kept": lambda x: np.subtract.reduce(x.reshape(2, 3), axis=0, keepdims=True),
    "at, matrix": lambda x: written(lambda y, x: np.multiply.at(y, ([0, 0, 1], [1, 1, 2]), x[0, 0]))(x.reshape(2, 3)),
    "copyto": written(lambda y, x: np.copyto(y[1:4], x[0] * x[3:])),
    "copyto, where": written(lambda y, x: np.copyto(y, x**2, where=[True, False, False, True, False, True])),
    "copyto, number": written(lambda y, x: np.copyto(y, x[1])),
    "fill_diagonal": lambda x: written(lambda y, x: np.fill_diagonal(y, x[0, 1] * x[1]))(x.reshape(2, 3)),
    "fill_diagonal, wrap": lambda x: written(lambda y, x: np.fill_diagonal(y, x[0, 1], wrap=True))(x.reshape(3, 2)),
    "put": written(lambda y, x: np.put(y, [0, -1, 2, 0], x[1:4] ** 2)),
    "put, clip": written(lambda y, x: np.put(y, [9, 1], x[0], mode="clip")),
    "place": written(lambda y, x: np.place(y, [True, True, False, True, True, True], x[:2] * x[1])),
    "putmask": written(lambda y, x: np.putmask(y, [True, False, True, True, False, True], x[:4] * 3.0)),
    "put_along_axis": lambda x: written(lambda y, x: np.put_along_axis(y, np.array([[2], [0]]), x[:, :1] ** 2, axis=1))(
        x.reshape(2, 3)
    ),
    "put_along_axis, flat": written(lambda y, x: np.put_along_axis(y, np.array([3, 1]), x[:2] ** 2, axis=None)),
    "prod, where and initial": lambda x: np.prod(x, where=x > 0, initial=3.0),
    "var, where": lambda x: np.var(x.reshape(2, 3), axis=1, where=(x > -0.5).reshape(2, 3)),
    "std, where": lambda x: np.std(x, ddof=1, where=x > 0, keepdims=True),
    "diff, ends": lambda x: np.diff(x.reshape(2, 3), n=2, axis=0, prepend=x[:3].reshape(1, 3) ** 2, append=4.0),
    "hypot.reduce, one": lambda x: np.hypot.reduce(x.reshape(6, 1), axis=1),
    "hypot.reduceat, one": lambda x: np.hypot.reduceat(x, [1, 2, 4, 1]),
    "out, after writes": lambda x: np.add(x, x**2, out=written(lambda y, x: y.__setitem__(0, x[1]))(x)),
    "std of one value": lambda x: np.nanstd(np.where(M == 1, np.nan, x.reshape(2, 3) ** 2)[:, :2], axis=1) * x[:2],
    "apply_along_axis": lambda x: np.apply_along_axis(lambda r: r[0] * r, 1, x.reshape(2, 3)),
    "apply_along_axis, numbers": lambda x: np.apply_along_axis(np.prod, 0, x.reshape(2, 3)),
    "apply_over_axes": lambda x: np.apply_over_axes(np.sum, (x**2).reshape(2, 3), [0, 1]),
}
if hasattr(np, "unstack"):  # NumPy 2.1
    METHODS["unstack"] = lambda x: np.stack([a * b for a, b in zip(*np.unstack(x.reshape(2, 3)), strict=True)])


@pytest.mark.parametrize("name", METHODS)
def test_values_are_numpys_and_derivatives_those_of_differences(name: str) -> None:
    f = METHODS[name]
    kept = X.copy()
    assert_allclose(hs.jvp(f, X, np.ones(6))[0], f(X), rtol=1e-14, atol=0)
    assert np.array_equal(X, kept)
    weights = np.cos(np.arange(np.size(f(X)), dtype=float)).reshape(np.shape(f(X)))
    scalar = lambda x: np.sum(weights * f(x) ** 2) + np.sum(f(x))
    hs.check_derivatives(scalar, X)
    assert_allclose(hs.grad(hs.record(scalar))(X), hs.grad(scalar)(X), rtol=1e-13, atol=1e-14)


@pytest.mark.parametrize(
    "write",
    [
        lambda y, x: np.copyto(y, x),
        lambda y, x: np.put(y, [0], x[0]),
        lambda y, x: np.putmask(y, [True] * 6, x),
        lambda y, x: np.multiply.at(y, [0, 0], x[:2]),
    ],
)
def test_a_plain_target_is_refused(write: Callable[[Any, Any], Any]) -> None:
    def f(x: Any) -> Any:
        y = X.copy()
        write(y, x)
        return y.sum()

    with pytest.raises(LeavesTapeError, match=r"np\.zeros_like\(x\)"):
        hs.grad(f)(X)


@pytest.mark.parametrize(
    ("f", "error", "text"),
    [
        (lambda x: np.copyto(np.copy(x).astype(int) * 1, x), TypeError, "same_kind"),
        (lambda x: np.fill_diagonal(np.copy(x), 1.0), ValueError, "at least 2-d"),
        (lambda x: np.place(np.copy(x), X > 0, []), ValueError, "empty array"),
        (lambda x: np.maximum.accumulate(x)[:0] + np.fmax.reduce(x[:0]), ValueError, "no identity"),
        (lambda x: np.hypot.reduceat(x, [9]), IndexError, "out-of-bounds"),
        (lambda x: np.hypot.reduce(x, where=X > 0), OptionError, "neutral element"),
        (lambda x: np.put(np.zeros_like(x, dtype=int), [0], x), HessianError, "of floats"),
    ],
)
def test_what_numpy_refuses_is_refused(f: Callable[[Any], Any], error: type[Exception], text: str) -> None:
    with pytest.raises(error, match=text):
        hs.grad(f)(X)


def test_reductions_of_nothing_have_numpys_identity() -> None:
    for ufunc in (np.hypot, np.logaddexp, np.logaddexp2):
        for empty in (X[:0], X.reshape(2, 3)[:0]):
            value, tangent = hs.jvp(ufunc.reduce, empty, empty)
            assert_allclose(value, ufunc.reduce(empty))
            assert not np.any(tangent)
