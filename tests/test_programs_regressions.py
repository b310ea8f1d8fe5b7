"""Recorded functions against the plain ones where they once differed: branches at ties, zeros, lists, captured values."""

from __future__ import annotations

import operator
import os
import pickle
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import scipy.sparse
from numpy.testing import assert_allclose, assert_array_equal

import hessian as hs
from hessian.errors import HessianError, OptionError, StaleRecordingError
from hessian.programs import simplify
from hessian.programs.runtime import cache as variants
from hessian.programs.runtime import recorded
from hessian.programs.runtime.arguments import Identity
from hessian.programs.runtime.cache import RecompilePolicy
from hessian.rules import OPERATIONS

X3 = np.array([1.0, -2.0, 3.0])


def assert_identical(actual: Any, expected: Any) -> None:
    """Compare to the last bit, the signs of zeros included."""
    a, b = np.asarray(actual), np.asarray(expected)
    assert (a.shape, a.dtype) == (b.shape, b.dtype)
    assert a.tobytes() == b.tobytes()


def assert_same_type(actual: Any, expected: Any) -> None:
    """Compare trees with their containers."""
    assert type(actual) is type(expected)
    if isinstance(expected, list | tuple):
        assert len(actual) == len(expected)
        for a, b in zip(actual, expected, strict=True):
            assert_same_type(a, b)
    else:
        assert_allclose(actual, expected, rtol=1e-14)


def mirrored(rng: np.random.Generator, rows: int = 2) -> np.ndarray:
    """Draw a matrix whose rows are the same numbers in other orders: their sums are ties up to rounding."""
    r = rng.integers(1, 10, 12) / 10
    return np.stack([r, *(np.roll(r[::-1], i) for i in range(rows - 1))])


# Guards are what the plain function computes.


def _largest_row(X: Any) -> Any:
    i = int(np.argmax(X.sum(axis=1)))
    return 100 * X[i, 0] + 0 * np.sum(X)


def _largest_column(X: Any) -> Any:
    i = int(np.argmax(X.T.sum(axis=0)))
    return 100 * X[i, 0] + 0 * np.sum(X)


def _compared(X: Any) -> Any:
    a, b, c = X[0, :3]
    p = b * c
    return np.sum(X) * 0 + (a * p if a * b * c > a * p else 2.0 * a * p)


def _shifted(X: Any) -> Any:
    i = int(np.argmax((X.T + 1.0).sum(axis=0)))
    return 100 * X[i, 0] + 0 * np.sum(X)


@pytest.mark.parametrize("f", [_largest_row, _largest_column, _compared, _shifted])
@pytest.mark.parametrize("order", ["C", "F", "strided"])
@pytest.mark.parametrize("count", [2, 3])
def test_guards_at_ties(f: Callable[[Any], Any], order: str, count: int) -> None:
    rng, rec = np.random.default_rng(1), hs.record(f)
    gradient, product = hs.grad(rec), lambda X: hs.hvp(rec, X, X)
    for k in range(300):
        X = mirrored(rng, count)
        if order == "F":
            X = np.asfortranarray(X)
        elif order == "strided":
            X = np.repeat(X, 2, axis=1)[:, ::2]
        assert rec(X) == f(X)
        if k % 20 == 0:
            assert_array_equal(gradient(X), hs.grad(f)(X))
            assert_array_equal(product(X), hs.hvp(f, X, X))


def test_a_fresh_program_that_misses_is_replaced_by_the_plain_function(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hessian.programs.backends.emit.differs", lambda value, seen: True)
    f = lambda x: np.sum(x**3) if x[0] > 0 else np.sum(x**2)
    rec = hs.record(f)
    for _ in range(2):
        assert rec(X3) == f(X3)
        assert_array_equal(hs.grad(rec)(X3), hs.grad(f)(X3))
        assert_array_equal(hs.hessian(rec)(X3), hs.hessian(f)(X3))
        assert_array_equal(hs.hvp(rec, X3, np.eye(3)), hs.hvp(f, X3, np.eye(3)))
        assert_array_equal(hs.HessianOperator(rec, X3) @ X3, hs.HessianOperator(f, X3) @ X3)
        assert_array_equal(hs.jacobian(rec)(X3), hs.jacobian(f)(X3))
    assert hs.optimize.minimize(rec, X3 / 10).fun == hs.optimize.minimize(f, X3 / 10).fun
    assert rec.stats.plain > 0


def test_guards_keep_what_was_computed_before_a_cast() -> None:
    f = lambda x: np.sum(x * np.array(np.round(x, 1), dtype=np.float32))
    rec = hs.record(f)
    for x in (X3 / 7, X3 / 7, X3 / 7 + 1e-4):
        assert_allclose(rec(x), f(x), rtol=1e-14)
    assert rec.stats.replays >= 1


# Own values are what the plain function computes, to the last bit.

EXACT: dict[str, tuple[Callable[[Any], Any], Any]] = {
    "underflow": (lambda x: x[0] * x[1] * x[2] + x[1] * x[2], [1e200, 1e-200, 1e-200]),
    "quotient": (lambda x: (1e-300 / x[0]) * 1e300, [1e-10, 1.0, 1.0]),
    "overflow": (lambda x: (1e300 / x[0]) * 1e300 * 1e-300, [1e300, 1.0, 1.0]),
    "negated_difference": (lambda x: np.arctan2(-(x[0] - x[1]), -1.0), [1.0, 1.0, 0.0]),
    "plus_zero": (lambda x: np.arctan2(x + 0.0, -1.0), [-0.0, 1.0, 0.0]),
    "minus_zero": (lambda x: np.arctan2(x - 0.0, -1.0), [-0.0, 1.0, 0.0]),
    "sum_of_signed_zeros": (lambda x: np.arctan2(x + np.array([0.0, -0.0, 0.0]), -1.0), [-0.0, -0.0, -0.0]),
    "several_results": (lambda x: (x[0], np.outer(x, x).sum(axis=0), np.outer(x, x / 3).sum(axis=1)), [0.1, 0.2, 0.7]),
    "two_signs": (lambda x: np.sum(np.outer(-x, -x), axis=0) - (-x), [0.1, 0.2, 0.7]),
}


@pytest.mark.parametrize("name", EXACT)
def test_values_are_exact(name: str) -> None:
    f, at = EXACT[name]
    x, rec = np.array(at), hs.record(f, verify="always")
    for _ in range(3):
        found, expected = rec(x), f(x)
        for a, b in zip(*((t if isinstance(t, tuple) else (t,)) for t in (found, expected)), strict=True):
            assert_identical(a, b)
        y = hs.jvp(rec, x, np.ones(3))[0]
        for a, b in zip(*((t if isinstance(t, tuple) else (t,)) for t in (y, expected)), strict=True):
            assert_identical(a, b)


@pytest.mark.parametrize("name", ["underflow", "negated_difference"])
def test_values_beside_derivatives_are_exact(name: str) -> None:
    f, at = EXACT[name]
    x, rec = np.array(at) + np.array([0.0, 0.0, 1e-300]), hs.record(f, verify="always")
    for _ in range(3):
        assert_identical(hs.value_and_grad(rec)(x)[0], f(x))
        assert_identical(hs.HessianOperator(rec, x).value, f(x))


# Verification compares with the plain function.


def test_a_program_that_computes_something_else_is_noticed_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    x, y = simplify.Pattern("x"), simplify.Pattern("y")
    wrong = simplify.Rule("x - y = x + y", x - y, x + y, bitwise=True)
    monkeypatch.setattr(simplify, "RULES", (wrong,))
    monkeypatch.setattr(simplify, "forms_of", simplify.forms_of.__wrapped__)
    f = lambda x: np.sum((x - 1.0) * x)
    rec = hs.record(f)
    for _ in range(4):
        assert rec(X3) == f(X3)
        assert_array_equal(hs.value_and_grad(rec)(X3)[0], f(X3))
    assert rec.programs == []


def test_functions_that_ask_for_types_are_noticed() -> None:
    f = lambda x: np.sum(x**2) if type(x) is np.ndarray else np.sum(x**3)
    rec = hs.record(f)
    rec(X3)
    with pytest.raises(StaleRecordingError, match="type of its arguments"):
        rec(X3)


def test_sums_that_decide_everything_are_left_to_the_plain_function() -> None:
    """A product whose value path is summed in another order: chaos makes something else of it."""

    def chaotic(x: Any) -> Any:
        y = np.outer(x, np.ones(40)).sum(axis=1) / 40 * (1 + 1e-3 * np.sin(np.outer(x, np.arange(40.0))).sum(axis=1))
        for _ in range(200):
            y = 3.9 * y * (1 - y)
        return np.sum(y)

    rec = hs.record(chaotic, verify="always")
    for k in range(6):
        x = np.array([0.2, 0.3, 0.4 + 0.01 * k])
        assert rec(x) == chaotic(x)
        hs.grad(rec)(x)
        hs.hvp(rec, x, x)


# Lists of numbers are what they were.


def _indexed(x: Any, i: Any) -> Any:
    return np.sum(np.arange(12.0).reshape(3, 4)[i] * x[0])


LISTS: dict[str, tuple[Callable[..., Any], list[Any]]] = {
    "index": (_indexed, [(1, 2), (2, 1), (0, 0)]),
    "list_index": (_indexed, [[1, 2], [2, 1], (1, 2)]),
    "sizes": (lambda x, hidden: np.sum(x) * sum([2, *hidden]), [[3], [3, 4], (5,)]),
    "concatenated": (lambda x, hidden: np.sum(x) * sum(operator.add([2], hidden)), [[3], [3, 4]]),
    "shape": (lambda x, shape: np.sum(x.reshape(shape)[0] ** 2), [(3, 1), (1, 3), [1, 3]]),
    "axes": (lambda x, ax: np.sum(np.sum(np.outer(x, x) * np.arange(3.0), axis=ax)), [(0, 1), (0,)]),
    "transposed": (lambda x, ax: np.sum(np.transpose(np.outer(x, np.arange(3.0)), ax)[0]), [(1, 0), (0, 1)]),
    "compared": (lambda x, s: np.sum(x) if s == [1, 2] else np.sum(x**2), [[1, 2], [2, 1], [1, 2]]),
    "nested": (lambda x, s: np.sum(x) * s[1][0] + isinstance(s, tuple), [([1, 2], [3]), ([1, 2], [4])]),
    "floats": (
        lambda x, w: np.sum(x) * len(operator.add(w, [1.0])) + isinstance(w[0], float),
        [[0.5, 1.0], [0.25], [-0.0]],
    ),
    "array_of_floats": (lambda x, w: np.sum(x * w), [[0.5, 1.0, 2.0], (1.0, 2.0, 3.0)]),
    "booleans": (lambda x, m: np.sum(x[m]), [[True, False, True], [True, True, False]]),
}


@pytest.mark.parametrize("name", LISTS)
def test_lists_of_numbers(name: str) -> None:
    f, values = LISTS[name]
    rec = hs.record(f, verify="never")
    for value in values * 2:
        assert rec(X3, value) == f(X3, value)
        assert_allclose(hs.grad(rec)(X3, value), hs.grad(f)(X3, value), rtol=1e-14)
        assert_allclose(hs.jvp(rec, X3, X3, value)[1], hs.jvp(f, X3, X3, value)[1], rtol=1e-14)


def test_lists_as_points_are_lists() -> None:
    f = lambda x, *rest: sum([np.sin(a) * b for a, b in zip(x, x[::-1], strict=True)], 0.0)
    rec, x = hs.record(f), [1.0, 2.0]
    for _ in range(2):
        for call in (
            lambda f: hs.grad(f)(x),
            lambda f: hs.grad(f, argnums=(0,))(x)[0],
            lambda f: hs.grad(f, argnums=-1)(x),
            lambda f: hs.hessian(f)(x),
            lambda f: hs.jacobian(f)(x),
            lambda f: hs.hvp(f, x, [1.0, 0.0]),
            lambda f: hs.jvp(f, x, [1.0, 0.0])[1],
            lambda f: hs.vjp(f, x)[1](2.0),
            lambda f: hs.directional(f, x, [1.0, 0.0], [0.0, 1.0]),
            lambda f: hs.taylor(f, x, [1.0, 0.0], order=2),
            lambda f: hs.HessianOperator(f, x) @ np.ones(2),
            lambda f: hs.optimize.minimize(f, x).fun,
        ):
            assert_allclose(call(rec), call(f), rtol=1e-13)
    assert isinstance(hs.grad(rec)(x), list)


# Functions that write into their arguments.


def _in_place(x: Any) -> Any:
    x -= 1.0
    return np.sum(x**4) + np.sum(x**2)


def test_functions_that_write_into_their_point() -> None:
    rec, x = hs.record(_in_place, verify="always"), np.array([3.0, 4.0])
    for _ in range(4):
        assert_array_equal(hs.grad(rec)(x), hs.grad(_in_place)(x))
        assert_array_equal(hs.hvp(rec, x, x), hs.hvp(_in_place, x, x))
        assert_array_equal(hs.vjp(rec, x)[1](1.0), hs.grad(_in_place)(x))
        assert_array_equal(x, [3.0, 4.0])
    assert_allclose(hs.optimize.minimize(_in_place, x).x, 1.0, atol=1e-4)
    assert_array_equal(x, [3.0, 4.0])


def test_functions_that_write_into_an_argument_do_so() -> None:
    def f(x: Any, log: Any) -> Any:
        log += 1.0
        return np.sum(x**2 * log)

    rec = hs.record(f, verify="always")
    for call in (lambda f, log: f(X3, log), lambda f, log: hs.grad(f)(X3, log)):
        mine, theirs = np.zeros(3), np.zeros(3)
        for _ in range(4):
            assert_array_equal(call(rec, mine), call(f, theirs))
            assert_array_equal(mine, theirs)


# Values of a recording outside.


def test_captured_values_of_a_recording_outside_keep_their_derivatives() -> None:
    assert hs.grad(lambda c: hs.record(lambda y: (y, c * 2.0))(1.0)[1])(3.0) == 2.0
    assert hs.grad(lambda c: hs.record(lambda y: c * y)(2.0))(3.0) == 2.0
    assert hs.grad(lambda c: hs.grad(hs.record(lambda y: c * y**2))(2.0))(3.0) == 4.0


def test_captured_values_reach_a_function_that_has_been_recorded() -> None:
    state: dict[str, Any] = {"c": 3.0}
    rec = hs.record(lambda y: state["c"] * y * y)
    for _ in range(3):
        rec(2.0), hs.grad(rec)(2.0)

    def g(c: Any) -> Any:
        state["c"] = c
        return rec(2.0) + hs.grad(rec)(2.0)

    for _ in range(3):
        assert hs.grad(g)(3.0) == 8.0
    state["c"] = 3.0
    assert rec(2.0) == 12.0


@pytest.mark.parametrize("recorder", [lambda f: f, hs.record])
def test_operators_of_functions_that_capture(recorder: Callable[..., Any]) -> None:
    x, v = np.array([1.0, 2.0]), np.array([1.0, -1.0])

    def total(c: Any) -> Any:
        H = hs.HessianOperator(recorder(lambda y: c * np.sum(y**3)), x)
        J = hs.JacobianOperator(recorder(lambda y: c * y**2), x)
        G = hs.GaussNewtonOperator(recorder(lambda y: c * y**2), lambda z: np.sum(z**2), x)
        return sum(np.sum(H @ v) + np.sum(J @ v) + np.sum(G @ v) for _ in range(5))

    slope = np.sum(6 * x * v) + np.sum(2 * x * v) + 2 * 3.0 * np.sum(2 * (2 * x) ** 2 * v)
    assert_allclose(hs.grad(total)(3.0), 5 * slope)


def test_nothing_is_left_open_when_user_code_raises() -> None:
    from hessian.tape.tape import is_tracing

    def broken(x: Any) -> Any:
        raise RuntimeError("no")

    for call in (lambda: hs.grad(broken)(X3), lambda: hs.record(broken)(X3)):
        with pytest.raises(RuntimeError, match="no"):
            call()
        assert not is_tracing()


# Checkpoints, text, pullbacks, threads.


def test_checkpoints_whose_results_change_shape() -> None:
    positive = hs.checkpoint(lambda x: x[x > 0])
    f = lambda x: np.mean(positive(x)) + np.sum(positive(x) ** 2)
    rec, p, q = hs.record(f), np.array([1.0, 2.0, 3.0, 4.0]), np.array([1.0, -2.0, 3.0, 4.0])
    for x in (p, p, p, p, q, q, p, q):
        assert_allclose(rec(x), f(x), rtol=1e-14)
        assert_allclose(hs.grad(rec)(x), hs.grad(f)(x), rtol=1e-14)
        assert_allclose(hs.hvp(rec, x, x), hs.hvp(f, x, x), rtol=1e-14)
        assert_allclose(hs.hessian(rec)(x), hs.hessian(f)(x), rtol=1e-14)


def test_checkpoints_that_depend_on_more_than_their_arguments_are_refused() -> None:
    lengths = iter(range(2, 20))
    changing = hs.checkpoint(lambda x: np.broadcast_to(np.sum(x), (next(lengths),)))
    with pytest.raises(StaleRecordingError, match="checkpoint"):
        hs.grad(lambda x: np.sum(changing(x)))(X3)


@pytest.mark.parametrize("text", [lambda t: f"{t:.0f}", lambda t: f"{t}", str, lambda t: format(t, ".1f")])
def test_text_steers(text: Callable[[Any], str]) -> None:
    weights = {text(np.float64(1.0)): 1.0, text(np.float64(2.0)): 10.0}
    f = lambda x: weights[text(x[0])] * np.sum(x)
    rec = hs.record(f)
    for t in (1.0, 1.0, 2.0, 1.0, 2.0, 2.0):
        x = np.array([t, 3.0])
        assert rec(x) == f(x)
        assert_array_equal(hs.grad(rec)(x), hs.grad(f)(x))


def test_pullbacks_keep_lists_as_they_were() -> None:
    f = lambda x, w: sum(a**2 for a in x) * w[0]
    point, w = [1.0, 2.0], [3.0]
    for function in (f, hs.record(f)):
        y, pullback = hs.vjp(function, point, w)
        point[0], w[0] = 5.0, 7.0
        assert y == 15.0
        assert_array_equal(pullback(1.0), [6.0, 12.0])
        point[0], w[0] = 1.0, 3.0


_FORK = """
import os, sys
from hessian.programs.backends import threads

assert threads.pool_of(3).submit(lambda: 1).result() == 1
child = os.fork()
if child == 0:
    os._exit(threads.pool_of(3).submit(lambda: 0).result(timeout=20))
sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no processes are forked here")
def test_threads_after_a_fork() -> None:
    done = subprocess.run([sys.executable, "-c", _FORK], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr


# Precision.


@pytest.mark.parametrize("shape", [(5, 7), (50, 20_000)])
def test_directions_take_the_precision_of_the_point(shape: tuple[int, int]) -> None:
    A = np.random.default_rng(0).standard_normal(shape).astype(np.float32)
    f, x = lambda x: (A @ x).astype(float), np.ones(shape[1], np.float32)
    plain, rec = hs.JacobianOperator(f, x), hs.JacobianOperator(hs.record(f), x)
    v, V = np.ones(shape[1]), np.ones((shape[1], 2))
    for _ in range(4):
        assert_allclose(rec @ v, A @ v, rtol=1e-3, atol=1e-3)
        assert (rec @ v).dtype == (hs.JacobianOperator(f, x) @ v).dtype
        assert_allclose(rec @ V, plain @ V, rtol=1e-3, atol=1e-3)
        assert_allclose(rec.T @ np.ones(shape[0]), plain.T @ np.ones(shape[0]), rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("recorder", [lambda f: f, hs.record])
def test_dense_jacobians_have_the_precision_of_their_operator(recorder: Callable[..., Any]) -> None:
    x = np.arange(1.0, 4.0, dtype=np.float32)
    for f in (lambda x: [np.ones(2), x * x[0]], lambda x: (x.astype(float) * 2.0)[:2]):
        J = hs.JacobianOperator(recorder(f), x)
        for _ in range(5):
            assert (J @ np.ones(3)).dtype == J.to_dense().dtype == J.dtype == np.float64


A32 = np.arange(3, dtype=np.float32) / 3


@pytest.mark.parametrize(
    "f",
    [
        lambda x, c: A32 * c,
        lambda x, c: x.astype(np.float32) * c,
        lambda x, c: (x * c, A32 + c, c * 2.0),
        lambda x, c: np.sum(x) * c,
    ],
)
def test_python_floats_beside_captured_float32(f: Callable[..., Any]) -> None:
    rec = hs.record(f)
    for c in (0.1, 0.1, 0.7, 0.1):
        found, expected = rec(X3, c), f(X3, c)
        for a, b in zip(*((t if isinstance(t, tuple) else (t,)) for t in (found, expected)), strict=True):
            assert np.asarray(a).dtype == np.asarray(b).dtype
            assert_array_equal(a, b)
    with_number = hs.record(lambda c: A32 * c)
    for c in (0.1, 0.7):
        assert with_number(c).dtype == np.float32
        assert_array_equal(with_number(c), A32 * c)


# Structure of results.


@pytest.mark.parametrize(
    "f",
    [
        lambda x, c: [np.sum(c)],
        lambda x, c: [np.prod(c)],
        lambda x, c: [np.sum(x)],
        lambda x, c: [np.sum(c), np.sum(c) ** 2],
        lambda x, c: (np.sum(c), c[0]),
        lambda x, c: [np.sum(c), np.sum(x)],
        lambda x, c: ([np.sum(c), 1.0], x * c),
    ],
)
def test_lists_of_numbers_as_results(f: Callable[..., Any]) -> None:
    rec = hs.record(f)
    for _ in range(2):
        assert_same_type(hs.jacobian(rec)(X3, X3), hs.jacobian(f)(X3, X3))
        assert_same_type(hs.jvp(rec, X3, X3, X3), hs.jvp(f, X3, X3, X3))
        (y, pullback), (expected, plain) = hs.vjp(rec, X3, X3), hs.vjp(f, X3, X3)
        assert_same_type(y, expected)
        assert_allclose(pullback(expected), plain(expected), rtol=1e-14)
        if all(np.ndim(leaf) == 0 for leaf in f(X3, X3)):
            numbers = [float(leaf) for leaf in f(X3, X3)]
            assert_allclose(pullback(numbers), plain(numbers), rtol=1e-14)


# Messages and the cache.


@pytest.mark.parametrize("argnums", [np.int64(0), None, 1.5, "0", ()])
def test_argument_numbers_are_checked_first(argnums: Any) -> None:
    f = lambda x: np.sum(x**2)
    for transform in (hs.grad, hs.value_and_grad, hs.hessian, hs.jacobian):
        for function in (f, hs.record(f)):
            with pytest.raises(OptionError, match="argnums"):
                transform(function, argnums=argnums)(X3)


def test_counters_stop_recording() -> None:
    f = lambda x, i: np.sum(x**2) * i
    rec = hs.record(f)
    for i in range(400):
        assert rec(X3, i) == f(X3, i)
    assert rec.stats.recordings <= 4 * variants.PATIENCE + 3 * variants.TRIALS
    assert len(rec.programs) <= variants.MAX_KINDS


def test_recording_is_tried_again() -> None:
    f = lambda x: np.sum(x ** int(np.floor(x[0])))
    rec = hs.record(f)
    for k in range(variants.PATIENCE + 5):
        rec(np.array([k + 0.5, 1.1]))
    assert rec.stats.plain == 5
    x = np.array([2.5, 1.1])
    for _ in range(3 * variants.PAUSE):
        assert rec(x) == f(x)
    assert rec.stats.replays > variants.PAUSE
    assert rec.stats.recordings <= variants.PATIENCE + variants.TRIALS


def test_the_least_recently_used_kind_goes_first() -> None:
    rec, often = hs.record(lambda x: np.sum(x**2)), np.ones(1)
    rec(often)
    kept = rec.programs[0]
    for n in range(2, variants.MAX_KINDS + 20):
        rec(np.ones(n))
        rec(often)
    assert any(program is kept for program in rec.programs)


class Model:
    """A recorded method."""

    def __init__(self, scale: float) -> None:
        self.scale = scale

    @hs.record
    def loss(self, x: Any) -> Any:
        """Return a loss."""
        return self.scale * np.sum(x**2)


def test_methods_are_recorded() -> None:
    one, two = Model(1.0), Model(2.0)
    for _ in range(3):
        for model in (one, two):
            assert model.loss(X3) == model.scale * 14
            assert_array_equal(hs.grad(model.loss)(X3), 2 * model.scale * X3)
    assert isinstance(one.loss, recorded.RecordedFunction)
    assert one.loss.stats.replays > 0
    assert one.loss.__doc__ == "Return a loss."
    assert isinstance(Model.loss, recorded.RecordedFunction)


@pytest.mark.parametrize(
    "f",
    [
        lambda x, labels: np.sum(x[: len(np.unique(labels))]),
        lambda x, labels: np.sum(x * np.bincount(labels, minlength=3)),
        lambda x, labels: np.sum(x) * np.gcd.reduce(np.array([4, 6])) * len(np.unique(labels, return_counts=True)[1]),
    ],
)
def test_labels_reach_functions_without_rules(f: Callable[..., Any]) -> None:
    rec = hs.record(f)
    for labels in (np.array([0, 1, 1]), np.array([0, 1, 2]), np.array([0, 1, 1]), np.array([2, 2, 2])):
        assert_allclose(rec(X3, labels), f(X3, labels))
        assert_allclose(hs.grad(rec)(X3, labels), hs.grad(f)(X3, labels))


def test_errors_of_maps_name_who_was_called() -> None:
    rec = hs.record(lambda x: x**2)
    hs.jvp(rec, X3, X3)
    with pytest.raises(HessianError, match=r"^jvp"):
        hs.jvp(rec, X3, np.ones(2))
    hs.directional(rec, X3, X3)
    with pytest.raises(HessianError, match=r"^directional"):
        hs.directional(rec, X3, np.ones(2))


def test_pickled_recordings_stay_exact() -> None:
    rec = hs.record(_largest_row)
    rng = np.random.default_rng(5)
    rec(mirrored(rng))
    copy = pickle.loads(pickle.dumps(rec))
    for _ in range(200):
        X = mirrored(rng)
        assert copy(X) == _largest_row(X)


def test_constants_that_are_finite_need_no_guard_against_equal_infinities() -> None:
    f = lambda x: np.sum(np.logaddexp(0.0, x)) + np.sum(np.logaddexp(np.zeros(3), x))
    rec = hs.record(f)
    assert_allclose(hs.HessianOperator(rec, X3).to_dense(), hs.hessian(f)(X3), rtol=1e-14)
    assert "isinf" not in str(rec.programs[0])
    for infinity in (np.inf, -np.inf):
        both = np.array([infinity, infinity, 1.0])
        assert_array_equal(hs.grad(lambda x: np.sum(np.logaddexp(x, x)))(both), np.ones(3))
        assert_array_equal(hs.grad(lambda x, both=both: np.sum(np.logaddexp(both, x)))(both), np.full(3, 0.5))


def test_numbers_of_python_stay_weak_where_programs_move_them():
    x = np.array([0.3, -0.7, 1.1], np.float32)
    f = lambda x: np.sum((3.0 * (x - 10.0 * np.tanh(x))) ** 2) + (2.0 * (x[0] - 5.0 * x[1])) ** 2
    H = hs.HessianOperator(hs.record(f), x)
    assert H.gradient.dtype == np.float32
    np.testing.assert_allclose(H.to_dense(), hs.hessian(f)(x), rtol=1e-5, atol=1e-4)


def test_zeros_of_both_signs_are_different_numbers():
    f = lambda x: np.arctan2(0.0, x[0]) - np.arctan2(-0.0, x[0]) + np.sum(x**2)
    x = np.array([-1.0, 2.0])
    recorded = hs.record(f)
    for _ in range(3):
        value, gradient = hs.value_and_grad(recorded)(x)
        assert value == f(x) > 6.0
        np.testing.assert_array_equal(gradient, hs.grad(f)(x))
    assert recorded.stats.replays >= 1  # nothing was left to the plain function
    assert recorded.stats.failures == 0


def test_arrays_of_zeros_of_both_signs_are_no_number():
    f = lambda x: np.sum(np.arctan2(np.array([0.0, -0.0, 0.0]), x)) + np.sum(x**2)
    recorded, x = hs.record(f), -np.ones(3)
    for _ in range(3):
        assert hs.value_and_grad(recorded)(x)[0] == f(x)
    assert recorded.stats.replays >= 1
    assert recorded.stats.plain == 0


def test_equal_matrices_of_numbers_are_told_apart():
    A, B = (scipy.sparse.csr_array(np.diag(d)) for d in ([1.0, 2.0, 3.0], [3.0, 5.0, 7.0]))
    f = lambda x: np.sum((A @ x) * (B @ x))
    recorded, x = hs.record(f), np.array([1.0, -1.0, 2.0])
    for _ in range(3):
        assert_allclose(hs.grad(recorded)(x), 2 * np.array([3.0, 10.0, 21.0]) * x)
    assert recorded.stats.replays >= 1
    assert recorded.stats.plain == 0


def test_a_function_that_writes_to_its_argument_does_so_each_time():
    def f(z):
        z[0] = 5.0
        return np.sum(z**2)

    recorded = hs.record(f)
    for k in range(4):
        z = np.full(3, float(k))
        assert recorded(z) == 25.0 + 2.0 * k**2
        assert z[0] == 5.0


def test_values_of_an_outer_recording_reach_a_recorded_function_that_has_a_program():
    x, held = np.array([2.0, 3.0]), {"y": np.array([1.0, 2.0])}
    inner = hs.record(lambda x: np.sum(x * held["y"]))
    for _ in range(3):
        inner(x)

    def outer(y):
        held["y"] = y
        return inner(x) ** 2

    y = np.array([0.5, -1.0])
    assert_allclose(hs.grad(outer)(y), 2 * np.sum(x * y) * x)


def test_numbers_in_lists_are_told_apart_by_sign_and_type():
    recorded = hs.record(lambda x, flags: np.sum(np.arctan2(flags[0], x)) * (2.0 if flags[1] is True else 1.0))
    x = -np.ones(2)
    for _ in range(3):
        for zero, one in ((0.0, 1), (-0.0, 1), (0.0, True), (-0.0, True)):
            wanted = np.copysign(2 * np.pi, zero) * (2.0 if one is True else 1.0)
            assert_allclose(recorded(x, [zero, one]), wanted)


def test_objects_are_keys_by_identity():
    thing = [1.0]
    assert Identity(thing) == Identity(thing)
    assert Identity(thing) != Identity([1.0])
    assert Identity(thing) != thing


@pytest.mark.parametrize(("change", "is_seen"), [(1e-8, True), (1e-13, False)])
def test_data_that_change_a_little_are_seen_above_rounding(change, is_seen):
    data = np.array([1.0, 2.0, 3.0])
    recorded, x = hs.record(lambda x: np.sum(np.sin(x) * data)), np.ones(3)
    recorded(x)
    recorded(x)
    data *= 1.0 + change
    four_times = lambda: [recorded(x) for _ in range(4)]
    if is_seen:
        with pytest.raises(hs.errors.StaleRecordingError, match="another value than its recording"):
            four_times()
    else:
        four_times()


def test_patience_outlasts_misses_where_replays_make_up_for_them():
    patience = RecompilePolicy(2, 3)
    patience.recordings, patience.replays = 5, 15
    assert patience.allows()
    patience.replays = 14
    assert not patience.allows()


def test_rounding_left_after_cancellation_is_no_change_of_data(monkeypatch):
    """NumPy's scalars may be raised to powers in other last bits than its arrays: what cancels then differs by all there is."""
    power = OPERATIONS["power"]
    plain = power.function
    off = lambda x, p: plain(x, p) * (1 + 2 * np.finfo(float).eps) if np.ndim(x) == 0 else plain(x, p)
    monkeypatch.setattr(power, "function", off)
    x = np.array([1.1, 2.3])
    target = x[0] ** 3.7 + x[1]
    recorded = hs.record(lambda x: (x[0] ** 3.7 + x[1] - target) ** 2)
    for k in range(8):
        value, gradient = hs.value_and_grad(recorded)(x * (1 + 1e-9 * k))
        assert abs(value) < 1e-12
        assert np.isfinite(gradient).all()


def test_a_function_that_asks_for_types_is_no_rounding():
    recorded = hs.record(lambda x: np.sum(x**2) * (1.0 if type(x) is np.ndarray else 1.0 + 1e-6))
    four_times = lambda: [recorded(np.array([1.0, 2.0])) for _ in range(4)]
    with pytest.raises(hs.errors.StaleRecordingError, match="asks for the type of its arguments"):
        four_times()
