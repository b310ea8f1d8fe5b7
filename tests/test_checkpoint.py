"""Checkpointed functions: the same derivatives with less kept, in every sweep and in programs."""

from __future__ import annotations

import tracemalloc
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose

import hessian as hs

A = 0.4 * np.random.default_rng(0).standard_normal((5, 5))
X = np.linspace(0.1, 1.0, 5)


def step(state: dict[str, Any], x: Any) -> dict[str, Any]:
    """Advance a state of two arrays."""
    h = np.tanh(A @ state["h"] + x)
    return {"h": h, "sum": state["sum"] + h @ h}


def run(step: Any, x: Any) -> Any:
    state = {"h": x, "sum": x[0]}
    for _ in range(6):
        state = step(state, x)
    return state["sum"] * np.sum(state["h"] ** 2)


def plain(x: Any) -> Any:
    return run(step, x)


def kept(x: Any) -> Any:
    return run(hs.checkpoint(step), x)


def close(actual: Any, expected: Any) -> None:
    assert_allclose(actual, expected, rtol=0, atol=1e-12 * np.max(np.abs(expected)))


@pytest.mark.parametrize("f", [kept, hs.record(kept)], ids=["plain sweeps", "recorded"])
def test_derivatives_are_those_of_the_plain_function(f: Any) -> None:
    directions = np.random.default_rng(1).standard_normal((3, 5))
    for x in (X, 2 * X, -X):
        assert f(x) == plain(x)
        close(hs.grad(f)(x), hs.grad(plain)(x))
        close(hs.jvp(f, x, directions)[1], hs.jvp(plain, x, directions)[1])
        close(hs.hvp(f, x, directions), hs.hvp(plain, x, directions))
        close(hs.hessian(f)(x), hs.hessian(plain)(x))
        H = hs.HessianOperator(f, x)
        for _ in range(4):  # plain sweeps, then a program
            close(H @ X, hs.hvp(plain, x, X))
        close(H.to_dense(), hs.hessian(plain)(x))
        close(hs.directional(f, x, X, X, X), hs.directional(plain, x, X, X, X))


def test_intermediate_values_are_not_kept() -> None:
    x = np.random.default_rng(2).standard_normal(20_000)

    def stretch(h: Any) -> Any:
        for _ in range(20):
            h = np.sin(h)
        return h

    def peak(stretch: Any) -> int:
        def f(x: Any) -> Any:
            for _ in range(10):
                x = stretch(x)
            return np.sum(x)

        hs.grad(f)(x[:3])
        tracemalloc.start()
        hs.grad(f)(x)
        memory = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return memory

    assert peak(hs.checkpoint(stretch)) < 0.3 * peak(stretch)


def test_later_changes_of_captured_arguments_do_not_matter() -> None:
    data = np.arange(1.0, 6.0)
    scaled = hs.checkpoint(lambda x, data: np.sum((x * data) ** 3))
    _, pullback = hs.vjp(lambda x: scaled(x, data), X)
    expected = 3 * X**2 * np.arange(1.0, 6.0) ** 3
    data[:] = 0.0
    assert_allclose(pullback(1.0), expected, rtol=1e-14)


def test_plain_numbers_pass_through() -> None:
    assert hs.checkpoint(lambda x, *, power: x**power)(3.0, power=2) == 9.0


def test_integers_are_refused_as_results() -> None:
    with pytest.raises(TypeError, match="checkpoint: the function returned int64"):
        hs.grad(lambda x: hs.checkpoint(lambda x: np.argmax(x))(x) * np.sum(x))(X)
    with pytest.raises(ValueError, match="checkpoint: the argument is int, not a function"):
        hs.checkpoint(3)


def test_a_tape_prints_what_was_recorded() -> None:
    from hessian.core.trace import record

    text = str(record(lambda x: np.sum(2.0 * x * A[0]), (X,), where="test").tape)
    assert text.splitlines()[1:] == [
        "    s0 = input    # float64 5",
        "    s1 = multiply(2.0, s0)    # float64 5",
        "    s2 = multiply(s1, constant[5])    # float64 5",
        "    s3 = sum(s2)    # float64 scalar",
    ]
