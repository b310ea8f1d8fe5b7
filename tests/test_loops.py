"""Functions as long as a loop makes them: nothing recurses along a program, nothing takes more than in proportion to its length."""

from __future__ import annotations

import copy
import gc
import pickle
import sys
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose

import hessian as hs

STEPS = 600
DEPTH = 110
"""Frames that a call may use beyond those of the test: far fewer than steps."""


@contextmanager
def shallow() -> Iterator[None]:
    """Let Python recurse less deep than a chain is long."""
    frame, depth = sys._getframe(), 0
    while frame is not None:
        frame, depth = frame.f_back, depth + 1
    before = sys.getrecursionlimit()
    sys.setrecursionlimit(depth + DEPTH)
    try:
        yield
    finally:
        sys.setrecursionlimit(before)


def _sum_of_scalars(x: Any) -> Any:
    h, total = x[2], 0.0
    for _ in range(STEPS // 3):
        h = np.tanh(x[0] * h + x[1])
        total = total + h * h
    return total


def _sines(x: Any) -> Any:
    for _ in range(STEPS):
        x = x + 0.001 * np.sin(x)
    return np.sum(x * x)


def _shrinking(x: Any) -> Any:
    y = x
    for _ in range(STEPS // 3):
        y = np.concatenate([y[1:], y[:1] * 0.999])
    return np.sum(y**3)


def _views(x: Any) -> Any:
    y = np.stack([x, x * x])
    for _ in range(STEPS // 3):
        y = y.T.reshape(2, -1)[::-1]
    return np.sum(np.sin(y) * np.arange(y.size).reshape(y.shape))


CHAINS: dict[str, Callable[[Any], Any]] = {
    "scalars": _sum_of_scalars,
    "sines": _sines,
    "pieces": _shrinking,
    "views": _views,
}
X3 = np.array([0.5, 0.1, 0.2])


@pytest.mark.parametrize("name", CHAINS)
def test_long_chains_do_not_recurse(name: str) -> None:
    f, v = CHAINS[name], np.array([1.0, -2.0, 0.5])
    expected = hs.hessian(f)(X3)
    with shallow():
        rec = hs.record(f)
        assert_allclose(hs.grad(rec)(X3), hs.grad(f)(X3), rtol=1e-10)
        H = hs.HessianOperator(rec, X3)
        assert_allclose(H @ v, expected @ v, rtol=1e-9, atol=1e-12)
        assert_allclose(H @ np.stack([v, 2 * v], axis=1), np.stack([expected @ v, 2 * expected @ v], axis=1), rtol=1e-9)
        assert_allclose(H.to_dense(), expected, rtol=1e-9, atol=1e-12)
        loaded = pickle.loads(pickle.dumps(hs.record(f)))
        assert rec.stats.recordings == 2
        assert loaded(X3) == f(X3)


def test_long_programs_are_pickled_copied_and_printed() -> None:
    with shallow():
        rec = hs.record(_sines)
        H = hs.HessianOperator(rec, X3)
        product = H @ X3
        for again in (pickle.loads(pickle.dumps(rec)), copy.deepcopy(rec)):
            assert_allclose(hs.HessianOperator(again, X3) @ X3, product, rtol=1e-14)
            assert again.stats.recordings == 1
        (program,) = rec.programs
        assert str(program).count("sin(") == STEPS
        assert program.source.count("sin(") >= STEPS


def test_operators_of_long_chains_do_not_recurse() -> None:
    def model(x: Any) -> Any:
        for _ in range(STEPS // 3):
            x = x + 0.001 * np.sin(x)
        return x * x

    loss = lambda z: 0.5 * np.sum(z * z)
    J, z = hs.jacobian(model)(X3), model(X3)
    with shallow():
        for f in (model, hs.record(model)):
            operator = hs.JacobianOperator(f, X3)
            for _ in range(4):
                assert_allclose(operator @ X3, J @ X3, rtol=1e-10)
                assert_allclose(operator.T @ X3, J.T @ X3, rtol=1e-10)
            assert_allclose(operator.to_dense(), J, rtol=1e-10, atol=1e-15)
            G = hs.GaussNewtonOperator(f, loss, X3)
            for _ in range(4):
                assert_allclose(G @ X3, J.T @ (J @ X3), rtol=1e-10)
            F = hs.FisherOperator(f, X3, likelihood=lambda z, rng: z, reduction="sum")
            for _ in range(4):
                assert_allclose(F @ X3, J.T @ (z * z * (J @ X3)), rtol=1e-10)


def test_checkpoints_of_long_chains_do_not_recurse() -> None:
    stretch = hs.checkpoint(lambda x: _chained(x, 100))
    f = lambda x: np.sum(_repeated(stretch, x, STEPS // 100) ** 2)
    with shallow():
        assert_allclose(hs.hvp(f, X3, X3), hs.hvp(_sines, X3, X3), rtol=1e-10)
        assert_allclose(hs.hvp(hs.record(f), X3, X3), hs.hvp(_sines, X3, X3), rtol=1e-10)


def _chained(x: Any, count: int) -> Any:
    for _ in range(count):
        x = x + 0.001 * np.sin(x)
    return x


def _repeated(f: Any, x: Any, count: int) -> Any:
    for _ in range(count):
        x = f(x)
    return x


def _reads(x: Any) -> Any:
    total = 0.0
    for i in range(len(x)):
        total = total + np.sin(x[i]) * x[(i + 1) % len(x)]
    return total


def _writes(x: Any) -> Any:
    y = np.zeros_like(x)
    for i in range(1, len(x)):
        y[i] = 0.5 * y[i - 1] + np.sin(x[i])
    return np.sum(y * y)


def _rows(x: Any) -> Any:
    y = np.stack([x, np.cos(x)], axis=1)
    total = np.zeros(2)
    for i in range(len(x)):
        total = np.tanh(total + y[i])
    return np.sum(total)


def _solves(x: Any) -> Any:
    P = np.eye(2)
    for i in range(len(x)):
        P = np.linalg.inv(P + x[i] * np.eye(2))
    return np.sum(P)


BY_LENGTH = {"reads": _reads, "writes": _writes, "rows": _rows, "solves": _solves}


def _recorded(f: Callable[[Any], Any], x: np.ndarray) -> Callable[[], Any]:
    def run() -> Any:
        rec = hs.record(f)
        H = hs.HessianOperator(rec, x)
        return hs.grad(rec)(x), H @ x.ravel()

    return run


@pytest.mark.parametrize("name", BY_LENGTH)
def test_recording_takes_calls_in_proportion_to_length(name: str) -> None:
    counts = []
    for n in (20, 80):
        run, count = _recorded(BY_LENGTH[name], np.linspace(0.1, 1.0, n)), 0

        def note(frame: Any, event: str, arg: Any) -> None:
            nonlocal count
            count += event in ("call", "c_call")

        sys.setprofile(note)
        try:
            run()
        finally:
            sys.setprofile(None)
        counts.append(count)
    assert counts[1] < 4.2 * counts[0]


def test_recording_takes_memory_in_proportion_to_length() -> None:
    peaks = []
    for n in (20, 80):
        tracemalloc.start()
        _recorded(lambda x: np.sum(_reads(x)), np.linspace(0.1, 1.0, 200 * n).reshape(n, 200))()
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < 4.2 * peaks[0]


@pytest.mark.parametrize("name", BY_LENGTH)
def test_sweeps_and_recordings_leave_no_cycles_behind(name: str) -> None:
    f, x = BY_LENGTH[name], np.linspace(0.1, 1.0, 6)
    _recorded(f, x)()
    gc.collect()
    before = _parts_of_sweeps()
    gc.disable()
    try:
        hs.hvp(f, x, x)
        _recorded(f, x)()
        assert _parts_of_sweeps() == before
    finally:
        gc.enable()


def _parts_of_sweeps() -> int:
    names = {"Linearization", "Instruction", "Array", "Number", "ElementwiseStep"}
    return sum(type(thing).__name__ in names for thing in gc.get_objects())


@pytest.mark.parametrize("name", BY_LENGTH)
def test_derivatives_of_what_is_read_slice_by_slice(name: str) -> None:
    f, x, v = BY_LENGTH[name], np.linspace(0.1, 1.0, 5), np.array([1.0, -2.0, 0.5, 3.0, -1.0])
    hs.check_derivatives(f, x)
    rec = hs.record(f)
    assert_allclose(hs.grad(rec)(x), hs.grad(f)(x), rtol=1e-12)
    assert_allclose(hs.HessianOperator(rec, x) @ v, hs.hvp(f, x, v), rtol=1e-12)
    assert_allclose(hs.HessianOperator(rec, x).to_dense(), hs.hessian(f)(x), rtol=1e-12, atol=1e-14)
    assert_allclose(v @ hs.jvp(lambda x: hs.hvp(f, x, v), x, v)[1], hs.directional(f, x, v, v, v), rtol=1e-10)
