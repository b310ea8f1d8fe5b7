"""Long batches in blocks of rows: forced on small problems, they give what the plain sweeps give."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import pytest
from functions import CASES, Case, direction, flatten
from numpy.testing import assert_allclose

import hessian as hs
from hessian.programs.backends import blocks as blocks_of_rows
from hessian.programs.backends.numpy import NumPy
from hessian.programs.passes import rows


@pytest.fixture(params=[1, 2, 3], ids=["one thread", "two", "three"])
def blocks(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[bool]]:
    """Split from three rows on, in blocks of a few rows, and tell which sections were."""
    taken: list[bool] = []
    take_apart = rows._take_apart

    def spy(*args: object) -> object:
        parts = take_apart(*args)
        taken.append(parts is not None)
        return parts

    monkeypatch.setattr(rows, "MIN_ROWS", 3)
    monkeypatch.setattr(rows, "MIN_WORK", 0)
    monkeypatch.setattr(rows, "BLOCK_BYTES", 64)
    monkeypatch.setattr(NumPy, "workers", request.param)
    if request.param > 1:
        pytest.importorskip("threadpoolctl")
    monkeypatch.setattr(rows, "_take_apart", spy)
    return taken


def close(actual: object, expected: object) -> None:
    """Compare to rounding, relative to the largest entry."""
    a, b = (flatten(x) if not np.isscalar(x) else np.asarray([x]) for x in (actual, expected))
    assert_allclose(a, b, rtol=0, atol=1e-10 * max(np.max(np.abs(b), initial=0.0), 1e-3))


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_blocks_give_what_plain_sweeps_give(case: Case, blocks: list[bool]) -> None:
    f = case.with_numpy
    recorded, v = hs.record(f), direction(case.x)
    value, gradient = hs.value_and_grad(f)(case.x)
    for _ in range(2):  # twice: memory is used again
        replayed_value, replayed_gradient = hs.value_and_grad(recorded)(case.x)
        close(replayed_value, value)
        close(replayed_gradient, gradient)
        close(hs.hvp(recorded, case.x, v), hs.hvp(f, case.x, v))
        H = hs.HessianOperator(recorded, case.x)
        close(H @ flatten(v), hs.hvp(f, case.x, v))
    close(H.gradient, gradient)
    close(H.to_dense(), hs.HessianOperator(f, case.x).to_dense())


def network(w: np.ndarray, inputs: np.ndarray, targets: np.ndarray) -> np.floating:
    hidden = np.tanh(inputs @ w[:12].reshape(3, 4) + w[12:16])
    return np.mean((hidden @ w[16:20] - targets) ** 2)


def test_every_section_of_a_network_is_split(blocks: list[bool]) -> None:
    rng = np.random.default_rng(0)
    inputs, targets = rng.standard_normal((50, 3)), rng.standard_normal(50)
    w, v = rng.standard_normal(20), rng.standard_normal(20)
    plain = lambda w: network(w, inputs, targets)
    close(hs.HessianOperator(hs.record(plain), w) @ v, hs.hvp(plain, w, v))
    assert blocks == [True] * 4  # value, gradient, what products share, products


def test_results_do_not_depend_on_timing(blocks: list[bool]) -> None:
    rng = np.random.default_rng(1)
    inputs, targets = rng.standard_normal((501, 3)), rng.standard_normal(501)
    w, v = rng.standard_normal(20), rng.standard_normal(20)
    H = hs.HessianOperator(hs.record(lambda w: network(w, inputs, targets)), w)
    first = H @ v
    for _ in range(20):
        assert np.array_equal(H @ v, first)


@pytest.mark.parametrize(
    "f", [lambda X, A: np.sum(np.tanh(A @ np.tanh(X)) ** 2), lambda X, A: np.sum((np.tanh(X[:, 0]) @ A) ** 2)]
)
def test_factors_that_have_as_many_rows_by_chance(f: Callable[..., object], blocks: list[bool]) -> None:
    rng = np.random.default_rng(7)
    X, A = rng.standard_normal((12, 2)), rng.standard_normal((12, 12))
    recorded = hs.record(f)
    for _ in range(2):
        close(recorded(X, A), f(X, A))
        close(hs.grad(recorded)(X, A), hs.grad(f)(X, A))
        close(hs.HessianOperator(recorded, X, A).to_dense(), hs.HessianOperator(f, X, A).to_dense())


def test_an_error_in_a_thread_leaves_the_call_to_the_function(
    blocks: list[bool], monkeypatch: pytest.MonkeyPatch
) -> None:
    rng = np.random.default_rng(2)
    inputs, targets = rng.standard_normal((50, 3)), rng.standard_normal(50)
    f = hs.record(lambda w: network(w, inputs, targets))
    w = rng.standard_normal(20)
    gradient = hs.grad(f)(w)
    calls = []

    def fail(*args: object) -> None:
        calls.append(1)
        raise MemoryError("no room")

    monkeypatch.setattr(blocks_of_rows.RowRunner, "_local", fail)
    plain = f.stats.plain
    assert_allclose(hs.grad(f)(w), gradient, rtol=1e-13)
    assert f.stats.plain == plain + 1
    monkeypatch.undo()
    assert calls
    assert_allclose(hs.grad(f)(w), gradient, rtol=1e-13)
