"""Entries of sparse Hessians without products: which functions have them, what they hold, what is done where they do not."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
import scipy.sparse
from scipy.interpolate import BSpline
from sparse_walk import compare

import hessian as hs
from hessian.errors import ProgramWarning
from hessian.programs.runtime.program import Program
from hessian.sparse import entries
from hessian.sparse.placement import Placement, Planner, Scatter, regular
from hessian.transforms.point import FunctionAtPoint

RNG = np.random.default_rng(0)
EDGES = RNG.integers(0, 20, (60, 2))
EDGES = EDGES[EDGES[:, 0] != EDGES[:, 1]]
GROUPS = np.repeat(np.arange(30), 4)
COVARIATES = RNG.standard_normal((120, 2))
CHOICES = RNG.integers(0, 2, 120)
KNOTS = np.concatenate(([0.0] * 3, np.linspace(0, 1, 20), [1.0] * 3))
BASIS = scipy.sparse.csr_array(BSpline.design_matrix(np.sort(RNG.uniform(0, 1, 150)), KNOTS, 3))
COUNTS = RNG.poisson(3.0, 150)
MASK = RNG.random(90) < 0.5


def chain(x: Any) -> Any:
    return np.sum(100 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2)


def bratu(x: Any) -> Any:
    u = np.pad(x.reshape(9, 10), 1)
    return np.sum((u[1:] - u[:-1]) ** 2) / 2 + np.sum(np.diff(u, axis=1) ** 2) / 2 - 0.1 * np.sum(np.exp(x))


def surface(x: Any) -> Any:
    u = np.zeros((11, 12))
    u[1:-1, 1:-1] = x.reshape(9, 10)
    a, b = u[1:, 1:] - u[:-1, :-1], u[1:, :-1] - u[:-1, 1:]
    return np.sum(np.sqrt(1 + (a**2 + b**2) * 3.0)) / 7


def network(x: Any) -> Any:
    points = x[:60].reshape(20, 3)
    lengths = np.sqrt(np.sum((points[EDGES[:, 0]] - points[EDGES[:, 1]]) ** 2, axis=1) + 0.1)
    return np.sum((lengths - 1) ** 2)


def panel(x: Any) -> Any:
    eta = x[:30][GROUPS] + COVARIATES @ x[30:32]
    return np.sum(np.logaddexp(0, eta) - CHOICES * eta) + 0.5 * np.sum(x[:30] ** 2)


def spline(x: Any) -> Any:
    eta = BASIS @ x[: BASIS.shape[1]]
    return np.sum(np.exp(eta) - COUNTS * eta) + 10 * np.sum(np.diff(x[: BASIS.shape[1]], 2) ** 2)


def choices(x: Any) -> Any:
    smooth = np.where(np.abs(x) < 1, x**4 / 4, np.sqrt(np.abs(x)))
    return (
        np.sum(smooth * np.where(MASK, 2.0, np.exp(x)))
        + np.sum(np.maximum(x[1:], x[:-1]) ** 3)
        + np.sum(np.clip(x, -1, 1) ** 2)
    )


def arrow(x: Any) -> Any:
    return np.sum((x[:-1] ** 2 + x[-1] ** 2) ** 2 - 4 * x[:-1] + 3) / 50


def products(x: Any) -> Any:
    A, B = x[:36].reshape(9, 2, 2), x[36:72].reshape(9, 2, 2)
    return np.sum(np.sin(A @ B)) + np.sum(np.einsum("nij,nj->ni", A, B[:, 0]) ** 2) + x[:9] @ x[9:18] ** 2


def quotients(x: Any) -> Any:
    return np.sum(x[:-2] / (2 + x[1:-1] ** 2)) + np.sum(np.roll(x, 3)[::2] ** 2 * x[::2]) + np.sum(np.sort(x)[:9] ** 3)


def turned(x: Any) -> Any:
    return np.sum((x**2)[::-1] ** 3 * np.exp(x)) + np.sum(np.sin(x.reshape(9, 10) ** 2).T ** 2 * x.reshape(10, 9))


def deep(x: Any) -> Any:
    for k in range(12):
        x = np.tanh(x[1:] * x[:-1] + 0.1 * k)
    return x**2


FOLLOWED: dict[str, Callable[..., Any]] = {
    f.__name__: f for f in (chain, bratu, surface, network, panel, spline, choices, arrow, products, quotients, turned)
}
X = RNG.uniform(-1.5, 1.5, 90)


def is_followed(hess: Any) -> bool:
    """Tell whether every program of a sparse Hessian computes its entries."""
    return all([section.name for section in program.sections] == ["run", "check"] for program in hess.function.programs)


@pytest.mark.parametrize("name", FOLLOWED)
def test_entries_equal_the_dense_hessian(name: str) -> None:
    hess = hs.sparse.hessian(FOLLOWED[name])
    for x in (X, X[::-1].copy(), 0.3 * X):
        compare(hess, x, hs.hessian(FOLLOWED[name])(x))
    assert hess.function.programs
    assert is_followed(hess)


@pytest.mark.parametrize("name", FOLLOWED)
def test_no_product_is_made(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(FunctionAtPoint, "__init__", None)
    if name in ("chain", "bratu", "surface", "panel"):  # with more coefficients the number of products decides
        monkeypatch.setattr("hessian.sparse.pattern.star_coloring", None)
    hess = hs.sparse.hessian(FOLLOWED[name])
    assert hess(X).shape == (90, 90)
    assert hess.pattern(X).nnz == hess(X).nnz
    assert hess.function.stats.recordings == 1


def test_single_precision_stays() -> None:
    x = X.astype(np.float32)
    found = hs.sparse.hessian(chain)(x)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found.toarray(), hs.hessian(chain)(X), rtol=0, atol=1e-3)


def test_quadratic_functions_are_known_beforehand() -> None:
    f = lambda x: np.sum(np.diff(x) ** 2) + x @ x
    hess = hs.sparse.hessian(f)
    first, second = hess(X), hess(-X)
    first.data[:] = 0.0
    np.testing.assert_array_equal(second.toarray(), hs.hessian(f)(X))
    np.testing.assert_array_equal(hess(X).toarray(), second.toarray())


def test_arguments_and_containers() -> None:
    def f(parameters: Any, weight: float, data: Any) -> Any:
        return weight * np.sum((parameters["a"][1:] - parameters["a"][:-1] * parameters["b"]) ** 4) + np.sum(
            data * parameters["a"] ** 3
        )

    def joined(z: Any, weight: float, data: Any) -> Any:
        return f({"a": z[:8], "b": z[8]}, weight, data)

    hess = hs.sparse.hessian(f)
    for seed in range(3):
        rng = np.random.default_rng(seed)
        z, weight, data = rng.standard_normal(9), float(seed + 1), rng.standard_normal(8)
        dense = hs.hessian(joined)(z, weight, data)
        found = hess({"a": z[:8], "b": z[8]}, weight, data)
        np.testing.assert_allclose(found.toarray(), dense, rtol=0, atol=1e-12 * abs(dense).max())
    assert is_followed(hess)
    other = hs.sparse.hessian(joined, argnums=2)
    assert other(z, weight, data).nnz == 0


def test_results_stay_and_belong_to_their_owner() -> None:
    hess = hs.sparse.hessian(chain)
    first = hess(X)
    kept = first.toarray()
    second = hess(2 * X)
    np.testing.assert_array_equal(first.toarray(), kept)
    second.data[::2] = 0.0
    second.eliminate_zeros()
    second.setdiag(5.0)
    np.testing.assert_array_equal(hess(X).toarray(), kept)
    assert hess(X).has_canonical_format
    np.testing.assert_array_equal((first + first.T).toarray(), 2 * kept)
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(first)).toarray(), kept)


def test_programs_of_entries_are_pickled(monkeypatch: pytest.MonkeyPatch) -> None:
    for f in (chain, surface, network, panel):
        hess = hs.sparse.hessian(f)
        expected = hess(X)
        again = pickle.loads(pickle.dumps(hess))
        with monkeypatch.context() as patched:
            patched.setattr("hessian.sparse.functions.hessian_pattern", None)
            np.testing.assert_array_equal(again(X).toarray(), expected.toarray())
        assert again.function.stats.recordings == 1


def test_another_branch_has_other_entries() -> None:
    def f(x: Any) -> Any:
        return np.sum(x[1:] ** 2 * x[:-1]) if x[0] > 0 else np.sum(x[3:] ** 3 * x[:-3])

    hess = hs.sparse.hessian(f)
    for x in (np.abs(X), -np.abs(X), np.abs(X)):
        compare(hess, x, hs.hessian(f)(x))
    assert hess.function.stats.recordings == 2
    assert is_followed(hess)


def test_what_is_not_finite_is_left_to_sweeps() -> None:
    f = lambda x: np.sum(np.where(x > 0, np.sqrt(np.abs(x)), x) ** 2) + np.sum(x[1:] * x[:-1])
    x = np.concatenate((np.zeros(3), np.abs(X[:20]), [-1.0]))
    compare(hs.sparse.hessian(f), x, hs.hessian(f)(x))


@pytest.mark.parametrize(
    "f",
    [
        lambda x: np.sum(np.cumsum(x) ** 4),
        lambda x: np.sum(deep(x)),
        lambda x: np.sum(np.take(x, np.argsort(x)[:9]) ** 3),
    ],
    ids=["an operation that is not followed", "many coefficients", "computed positions"],
)
def test_others_are_done_by_products(f: Callable[..., Any]) -> None:
    hess = hs.sparse.hessian(f)
    compare(hess, X, hs.hessian(f)(X))
    compare(hess, -X, hs.hessian(f)(-X))
    assert not is_followed(hess)
    assert hess.function.stats.recordings <= 2


def test_wrong_entries_are_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    fill = Placement.fill

    def wrong(self: Placement, out: np.ndarray, *arrays: Any) -> None:
        fill(self, out, *arrays)
        out[7] += 1.0

    monkeypatch.setattr(Placement, "fill", wrong)
    monkeypatch.setenv("HESSIAN_DEBUG", "0")
    hess = hs.sparse.hessian(chain)
    with pytest.warns(ProgramWarning, match="do not multiply as sweeps do"):
        found = hess(X)
    for _ in range(2):
        np.testing.assert_allclose(found.toarray(), hs.hessian(chain)(X), rtol=1e-12, atol=1e-9)
        found = hess(X)


def test_mixed_precision_is_compared_in_the_coarser_one() -> None:
    f = lambda x: np.sum(x.astype(np.float32)[1:] ** 3) + np.sum(x**4)
    hess = hs.sparse.hessian(f)
    np.testing.assert_allclose(hess(X).toarray(), hs.hessian(f)(X), rtol=0, atol=1e-4)
    assert is_followed(hess)


def test_a_replay_of_another_thread_meanwhile_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    hess = hs.sparse.hessian(chain)
    expected = [hess(k * X) for k in range(1, 5)]
    (specializations,) = hess.function._cache.kinds.values()
    run = Program.run

    def slow(self: Program, inputs: Any, check: bool = False) -> Any:
        specializations.items[0].replays += 1
        return run(self, inputs, check)

    monkeypatch.setattr(Program, "run", slow)
    for _ in range(3):
        for k in range(1, 5):
            assert np.array_equal(hess(k * X).data, expected[k - 1].data)


def test_threads_get_their_own_matrices() -> None:
    x = np.random.default_rng(0).standard_normal(20_000)
    expected = [hs.sparse.hessian(chain)(k * x).data for k in range(1, 5)]
    hess = hs.sparse.hessian(chain)

    def work(k: int) -> bool:
        return all(np.array_equal(hess(k * x).data, expected[k - 1]) for _ in range(10))

    with ThreadPoolExecutor(4) as pool:
        assert all(pool.map(work, range(1, 5)))


def test_entries_are_placed_by_stretches_where_they_can() -> None:
    hess = hs.sparse.hessian(chain)
    hess(X)
    placement = hess.function.programs[0].sections[0].outputs[0].params["placement"]
    assert placement.scatter is None
    assert len(placement.stretches) == 3
    network_hess = hs.sparse.hessian(network)
    network_hess(X)
    placement = network_hess.function.programs[0].sections[0].outputs[0].params["placement"]
    assert isinstance(placement.scatter, Scatter)


def test_planner_adds_up_what_meets() -> None:
    n = 200
    mirrors = np.concatenate((np.arange(n), 2 * n + np.arange(n), n + np.arange(n)))
    planner = Planner(mirrors, np.dtype(float))
    planner.fixed[:] = np.concatenate((np.arange(n), np.full(2 * n, 3.0)))
    numbers = np.random.default_rng(0).standard_normal((3, n))
    planner.add(0, np.arange(n), np.arange(n), 1.0)
    planner.add(1, np.arange(n), np.arange(n), -1.0)
    planner.add(1, n + np.arange(n), np.arange(n), -1.0)
    planner.add(2, n + np.arange(0, n, 2), np.arange(n // 2), np.arange(n // 2) + 0.5)
    found = planner.placement([n] * 3)(*numbers)
    beside = 3.0 - numbers[1]
    beside[::2] += (np.arange(n // 2) + 0.5) * numbers[2, : n // 2]
    expected = np.concatenate((np.arange(n) + numbers[0] - numbers[1], beside, beside))
    np.testing.assert_allclose(found, expected, rtol=1e-14, atol=1e-14)
    assert np.array_equal(found[n : 2 * n], found[2 * n :])


def test_regular_numbers_are_slices() -> None:
    assert regular(np.array([3, 6, 9])) == slice(3, 10, 3)
    assert regular(np.array([4])) == slice(4, 5)
    assert regular(np.array([3, 2, 1])) is regular(np.array([0, 1, 3])) is regular(np.zeros(0, int)) is None


def test_pieces_of_pieces_take_products() -> None:
    # Each of two hundred sums would look through the terms of all.
    starts = np.arange(0, 600, 3)
    hess = hs.sparse.hessian(lambda x: np.sum(np.add.reduceat(x, starts) ** 3))
    for x in (np.ones(600), np.arange(600.0)):
        sums = np.repeat(np.add.reduceat(x, starts), 3)
        assert (
            abs(
                hess(x) - scipy.sparse.block_diag([scipy.sparse.coo_array(np.full((3, 3), 6.0 * s)) for s in sums[::3]])
            ).max()
            <= 1e-9
        )
    assert not is_followed(hess)


def test_products_of_many_terms_take_products(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(entries, "_PRODUCTS", 10)
    rng = np.random.default_rng(1)
    x, A = rng.standard_normal(8), rng.standard_normal((8, 8))
    S = scipy.sparse.csr_array(np.where(rng.random((6, 4)) < 0.5, 1.0, 0.0))
    for f, args in ((lambda x, A: np.sum((A @ x) ** 3), (A,)), (lambda x: np.sum((S @ x.reshape(4, 2)) ** 3), ())):
        hess = hs.sparse.hessian(f)
        np.testing.assert_allclose(hess(x, *args).toarray(), hs.hessian(f)(x, *args), rtol=1e-12, atol=1e-13)
        assert not is_followed(hess)
