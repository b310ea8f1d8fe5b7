"""Arrays that a loop fills element by element or row by row: values, derivatives, views, and work in proportion to their length."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

import hessian as hs
from hessian.tape.trace import trace

N = 12


def _recurrence(x: Any) -> Any:
    s = np.zeros_like(x)
    s[0] = x[1] * 2.0
    for t in range(1, N):
        s[t] = np.sin(s[t - 1]) + x[t]
    return np.sum(s**2) + s[-1]


def _backwards(x: Any) -> Any:
    s = x * 1.0
    for t in range(N - 2, -1, -1):
        s[t] = s[t + 1] * x[t]
    return np.sum(np.exp(0.1 * s))


def _some(x: Any) -> Any:
    s = np.cos(x)
    for t in range(1, N, 2):
        s[t] = x[t] * s[t - 1]
    return np.sum(s**3)


def _twice(x: Any) -> Any:
    s = np.zeros_like(x)
    for t in range(N):
        s[t] = x[t]
    for t in range(N):
        s[t] = s[t] * s[N - 1 - t]
    return np.sum(s * x)


def _windows(x: Any) -> Any:
    s = np.zeros_like(x)
    s[:3] = x[:3]
    weights = np.array([0.5, 0.3, 0.1])
    for t in range(3, N):
        s[t] = np.tanh(s[t - 3 : t] @ weights) + x[t]
    return s @ s


def _rows(x: Any) -> Any:
    H = np.zeros_like(np.outer(x, x[:3]))
    H[0] = x[:3]
    for t in range(1, N):
        H[t] = np.tanh(H[t - 1] * x[t] + H[t - 1, ::-1])
    return np.sum(H**2) + H[3, 1] * H[-1, 0]


def _columns(x: Any) -> Any:
    H = np.zeros_like(np.outer(x[:3], x))
    H[:, 0] = x[:3]
    for t in range(1, N):
        H[:, t] = np.tanh(H[:, t - 1]) + x[t]
    return np.sum(H**2)


def _table(x: Any) -> Any:
    D = np.zeros_like(np.outer(x[:4], x[:5]))
    for i in range(4):
        for j in range(5):
            D[i, j] = x[i] * x[j]
            if i and j:
                D[i, j] = D[i, j] + np.sin(D[i - 1, j] * D[i, j - 1]) + D[i - 1, j - 1]
    return np.sum(D) + D[-1, -1]


def _summed_between(x: Any) -> Any:
    s = np.zeros_like(x)
    for t in range(N):
        s[t] = x[t] * (1.0 + np.sum(s))
    return np.sum(s)


def _view_kept(x: Any) -> Any:
    H = np.zeros_like(np.outer(x, x[:2]))
    last = H[N - 1]
    for t in range(N):
        H[t] = x[t] * x[:2]
    last *= 2.0
    return np.sum(H**2) + np.sum(last)


def _augmented(x: Any) -> Any:
    s = np.zeros_like(x)
    for t in range(N):
        s[t] += x[t] ** 2
        s[-1] += s[t]
    return np.sum(np.sqrt(1.0 + s))


def _negative_zeros(x: Any) -> Any:
    s = np.zeros_like(x)
    for t in range(N):
        s[t] = -0.0 * x[t]
    return np.sum(np.arctan2(s, -1.0))


def _copied(x: Any) -> Any:
    s = np.zeros_like(x)
    for t in range(N):
        s[t] = x[t]
    kept = s.copy()
    for t in range(N):
        s[t] = s[t] * kept[t] + kept[-1]
    return np.sum(s) + np.sum(kept**2)


def _constants(x: Any) -> Any:
    s = np.zeros_like(x)
    for t in range(N):
        s[t] = float(t) if t % 2 else x[t]
    return np.sum(s * x * s)


def _wholly_overwritten(x: Any) -> Any:
    s = np.zeros_like(x)
    for t in range(N):
        s[t] = x[t]
    s[...] = x**2
    s[2] = x[3]
    return np.sum(s)


FUNCTIONS: dict[str, Callable[[Any], Any]] = {
    name.strip("_"): f for name, f in list(globals().items()) if name.startswith("_") and callable(f) and name[1] != "_"
}
X = np.random.default_rng(0).normal(size=N)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_values_and_derivatives(name: str) -> None:
    f = FUNCTIONS[name]
    value, gradient = hs.value_and_grad(f)(X)
    assert value == f(X)
    steps = 1e-5 * np.eye(N)
    differences = np.array([(f(X + e) - f(X - e)) / 2e-5 for e in steps])
    assert_allclose(gradient, differences, rtol=1e-6, atol=1e-7)
    H = hs.hessian(f)(X)
    curved = np.array([(hs.grad(f)(X + e) - hs.grad(f)(X - e)) / 2e-5 for e in steps])
    assert_allclose(H, curved, rtol=1e-5, atol=1e-5)
    assert_allclose(hs.jvp(f, X, X)[1], gradient @ X, rtol=1e-12)
    rec = hs.record(f)
    for _ in range(2):
        assert rec(X) == f(X)
        assert_allclose(hs.grad(rec)(X), gradient, rtol=1e-12, atol=1e-13)
        assert_allclose(hs.hvp(rec, X, X), H @ X, rtol=1e-10, atol=1e-12)
        assert_allclose(hs.HessianOperator(rec, X).to_dense(), H, rtol=1e-10, atol=1e-12)
    assert rec(2 * X) == f(2 * X)


def test_errors_are_numpys() -> None:
    def outside(x: Any) -> Any:
        s = np.zeros_like(x)
        for t in range(N + 1):
            s[t] = x[0]
        return np.sum(s)

    def misshapen(x: Any) -> Any:
        s = np.zeros_like(x)
        s[0] = x[1]
        s[1] = x[:2]
        return np.sum(s)

    for f, error in ((outside, IndexError), (misshapen, ValueError)):
        with pytest.raises(error):
            f(X)
        with pytest.raises(error):
            hs.grad(f)(X)


def test_arguments_written_to_keep_their_callers_value() -> None:
    def f(x: Any) -> Any:
        for t in range(1, N):
            x[t] = x[t] * x[t - 1]
        return np.sum(x)

    kept = X.copy()
    expected = hs.grad(lambda x: f(x * 1.0))(X)
    for g in (f, hs.record(f)):
        assert_allclose(hs.grad(g)(X), expected, rtol=1e-12)
        assert_array_equal(X, kept)
    again = X.copy()
    assert hs.record(f)(again) == f(kept.copy())


def test_work_is_in_proportion_to_the_length() -> None:
    def f(x: Any, n: int) -> Any:
        s = np.zeros_like(x)
        s[0] = x[0]
        for t in range(1, n):
            s[t] = 0.5 * s[t - 1] + x[0]
        return np.sum(s**2)

    elements = []
    for n in (200, 400):
        tape = trace(lambda x, n=n: f(np.zeros(n) * x[0] + x[0], n), (np.ones(2),), where="test").tape
        elements.append(sum(int(np.size(value)) for value in tape.values))
    assert elements[1] < 2.2 * elements[0]


def test_what_was_written_is_not_changed_by_later_writes_to_its_source() -> None:
    def f(x: Any) -> Any:
        y, row = x * 0.0, x[0] * 2.0
        y[0] = row
        row *= 3.0
        y[1] = row
        return np.sum(y * x)

    x = np.array([[0.3, -0.7], [1.1, 0.4]])
    assert_allclose(hs.value_and_grad(f)(x)[0], f(x), rtol=1e-14)
    assert_allclose(hs.grad(f)(x), [4 * x[0] + 6 * x[1], 6 * x[0]], rtol=1e-14)
