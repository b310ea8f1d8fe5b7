"""Hessians that are sparse plus low rank: against dense ones, where they are cut, and systems with them."""

from __future__ import annotations

import pickle
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import csc_array, diags_array, eye_array

import hessian as hs
from hessian.errors import (
    ConvergenceError,
    DerivativeCheckError,
    DtypeError,
    NotScalarError,
    OptionError,
    ShapeMismatchError,
    TooDenseError,
)
from hessian.rules.spec import OPERATIONS
from hessian.sparse import SparsePlusLowRank
from hessian.sparse.replay import WRITTEN_OUT

N = 14
RNG = np.random.default_rng(0)
X = RNG.uniform(0.5, 1.5, N)
A = RNG.standard_normal((3, N))
B = RNG.standard_normal((40, N))


def target(x: Any) -> Any:
    return np.sum(x**4) + (np.sum(x**2) - 1) ** 2 + np.log(np.sum(np.exp(x)))


def chain(x: Any) -> Any:
    return np.sum(100 * (x[1:] - x[:-1] ** 2) ** 2) + (np.sum(x) - 1) ** 2


def in_a_loop(x: Any) -> Any:
    total, level = 0.0, np.sum(x**2)
    for k in range(3):
        level = np.sin(level) + np.sum(x ** (k + 1)) * 0.1
        total = total + level**2
    return total


def batch_normalised(x: Any) -> Any:
    return np.sum(np.tanh((x - x.mean()) / np.sqrt(x.var() + 0.1)) * np.arange(N))


FUNCTIONS = {
    # f, columns, entries of S
    "target": (target, 2, N),
    "chain": (chain, 1, 3 * N - 2),
    "norm and differences": (lambda x: np.linalg.norm(x) + np.sum(np.diff(x) ** 2), 1, 3 * N - 2),
    "norm as it is": (lambda x: np.linalg.norm(x) ** 2 + np.sum(x**3), 0, N),
    "mean and variance": (lambda x: np.mean(x) ** 2 + 3 * np.var(x) ** 2 + np.sum(np.exp(x)), 4, N),
    "standard deviation": (lambda x: np.exp(np.std(x)) * np.mean(x), 4, N),
    "logsumexp": (lambda x: hs.special.logsumexp(x) + np.sum(x**2), 1, N),
    "logsumexp of few and of all": (lambda x: hs.special.logsumexp(x[:2]) + hs.special.logsumexp(3 * x) ** 2, 1, N + 2),
    "softmax": (lambda x: np.sum(hs.special.softmax(x) ** 2), 2, N),
    "log_softmax": (lambda x: -3.0 * hs.special.log_softmax(x)[3] + x[0] * x[1], 1, N + 2),
    "nested": (lambda x: np.sum(np.sin(x * np.sum(x))) * np.sum((x - np.mean(x**2)) ** 3), 6, N),
    "dot products": (lambda x: np.dot(x, x) * (x @ np.cos(x)) + A[0] @ x, 2, N),
    "few rows": (lambda x: np.sum(np.exp(A @ x)) + np.sum(x[1:] * x[:-1] ** 2), 3, 3 * N - 3),
    "batch norm": (batch_normalised, 6, N),
    "loop": (in_a_loop, 4, N),
    "bilinear form": (lambda x: np.exp(-(x[1:] @ x[:-1])), 1, 2 * N - 2),
    "sorted": (lambda x: np.sum(np.sort(x)[:3]) * np.sum(x**2) ** 2, None, None),
    "by computed positions": (lambda x: _in_order(x[np.argsort(x)]) + np.sum(x**2) ** 2, None, None),
    "gradient inside": (lambda x: np.sum(hs.grad(lambda y: np.sum(y**2) ** 2)(x) ** 2), None, None),
    "checkpoint": (lambda x: hs.checkpoint(lambda y: np.sum(y**3))(x) ** 2 + np.sum(x**4), 1, N),
    "means of rows": (lambda x: np.sum(x.reshape(2, -1).mean(1) ** 3) + np.sum(x**2), 2, N),
    "in place": (lambda x: _in_place(x), None, None),
    "recursion": (lambda x: _recursion(x), None, None),
    "quadratic": (lambda x: np.sum(x**2) + x[0] * x[1], 0, N + 2),
    "constant": (lambda x: 3.0, 0, 0),
    "product": (lambda x: np.prod(x) + np.sum(x**4), 1, N),
    "square of a product": (lambda x: np.prod(-x) ** 2 + np.sum(np.diff(x) ** 2), 1, 3 * N - 2),
    "products of rows": (lambda x: np.sum(np.sin(np.prod(x.reshape(2, -1), axis=1))) * x[0], 4, N),
    "products of few": (lambda x: np.sum(np.prod(x.reshape(-1, 2), axis=1) ** 2), 0, 2 * N),
    "sums inside of checkpoints": (lambda x: np.sum(_normed(_normed(x)) ** 3), 4, N),
}


@hs.checkpoint
def _normed(x: Any) -> Any:
    return x * np.sum(x**2) + np.sin(x)


def _recursion(x: Any) -> Any:
    h = 0.0
    for i in range(N):
        h = np.tanh(0.9 * h + x[i])
    return h**2


def _in_order(x: Any) -> Any:
    return np.sum(x[1:] ** 2 * x[:-1])


def _in_place(x: Any) -> Any:
    y = np.zeros(N)
    y[:] = x
    y[0] *= np.sum(x)
    y -= y.mean()
    return np.sum(y**2) ** 2


def close(found: SparsePlusLowRank, dense: np.ndarray, tolerance: float = 1e-12) -> None:
    np.testing.assert_allclose(found.to_dense(), dense, rtol=0, atol=tolerance * max(abs(dense).max(), 1e-300))


@pytest.mark.parametrize("name", FUNCTIONS)
def test_parts_are_those_of_the_hessian(name: str) -> None:
    f, rank, entries = FUNCTIONS[name]
    hess = hs.sparse.split_hessian(f, widest=5)
    for x in (X, X + 0.1, RNG.permutation(X), X**2):
        found = hess(x)
        dense = hs.hessian(f)(x)
        close(found, dense)
        if rank is not None:
            assert (found.rank, found.sparse.nnz) == (rank, entries)
        v = RNG.standard_normal((N, 2))
        np.testing.assert_allclose(found @ v, dense @ v, rtol=0, atol=1e-11 * max(abs(dense).max(), 1e-300))
        np.testing.assert_allclose(
            found.diagonal(), dense.diagonal(), rtol=0, atol=1e-12 * max(abs(dense).max(), 1e-300)
        )


def test_factors_of_zero_stand_apart() -> None:
    f = lambda x: np.prod(x) * x[2] + np.sum(np.prod(x.reshape(2, -1), axis=1) ** 2) + np.sum(x**4)
    points = []
    for zeros in ([], [3], [3, 9], [0, 1, 2], list(range(N)), []):
        x = X * np.where(np.arange(N) % 3, 1.0, -1.0)
        x[zeros] = 0.0
        points.append(x)
    first = hs.sparse.split_hessian(f, widest=5)
    last = hs.sparse.split_hessian(f, widest=5)
    for x, y in zip(points, reversed(points), strict=True):
        close(first(x), hs.hessian(f)(x))
        close(last(y), hs.hessian(f)(y))
    assert first(points[0]).rank == last(points[0]).rank > 0
    single = points[1].astype(np.float32)
    assert first(single).dtype == np.float32
    close(first(single), hs.hessian(f)(points[1]), 1e-5)


def test_what_a_checkpoint_decides_is_looked_at_anew() -> None:
    g = hs.checkpoint(lambda y: np.sort(y)[:5] * np.sum(y**2) if y[0] > 0 else y[:5] * np.sum(np.cos(y)))
    f = lambda x: np.sum(g(x) ** 2)
    hess = hs.sparse.split_hessian(f, widest=5)
    for seed in range(6):
        x = RNG.permutation(X) * (-1.0) ** seed
        close(hess(x), hs.hessian(f)(x))
    held = hs.sparse.split_hessian(lambda x: np.sum(_normed(x)) ** 2, widest=5)
    for k in (1.0, 2.0, 3.0):
        close(held(k * X), hs.hessian(held.function.function)(k * X))


def test_values_are_cut_where_columns_are_fewer_than_entries(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = RNG.standard_normal((40, 200))
    x = RNG.uniform(0.5, 1.5, 200)
    for m, rank, entries in ((40, 40, 200), (20, 20, 200)):
        f = lambda x, m=m: np.sum(np.tanh(rows[:m] @ x / 9.0)) + np.sum(x**4)
        found = hs.sparse.split_hessian(f)(x)
        assert (found.rank, found.sparse.nnz) == (rank, entries)
        close(found, hs.hessian(f)(x))
    # Few large groups are columns, many small ones are blocks.
    for groups, rank, entries in ((4, 4, 200), (5, 5, 200), (20, 0, 2000)):
        f = lambda x, groups=groups: np.sum(x.reshape(groups, -1).sum(1) ** 4) + np.sum(x**4)
        found = hs.sparse.split_hessian(f, widest=4)(x)
        assert (found.rank, found.sparse.nnz) == (rank, entries)
        close(found, hs.hessian(f)(x))
    # More than half as many rows as variables, or more directions than fit: the matrix is as small.
    wide = hs.sparse.split_hessian(lambda x: np.sum((rows @ x[:200]) ** 4) + np.sum(x**4))
    assert wide(x[:70].repeat(3)[:200]).rank == 40
    monkeypatch.setattr("hessian.linalg.limits.CUT_NUMBERS", 10_000)
    few = hs.sparse.split_hessian(lambda x: np.sum((rows @ x) ** 4) + np.sum(x) ** 4)(x)
    assert (few.rank, few.sparse.nnz) == (1, 40_000)


def test_rows_that_are_written_out_are_all_that_are_a_diagonal_plus_rank_one() -> None:
    whole = {row.name for row in WRITTEN_OUT}
    assert whole == {"norm", "unit", "logsumexp", "softmax", "shares", "log_softmax"}
    assert whole <= OPERATIONS.keys()


@pytest.mark.parametrize("row", list(WRITTEN_OUT), ids=lambda row: row.name)
@pytest.mark.parametrize("axes", [(0,), (1,), (0, 1)])
def test_rows_written_out_have_the_values_of_the_rows(row: Any, axes: tuple[int, ...]) -> None:
    x = 30.0 * RNG.standard_normal((4, 5))
    for params in ({"whole": False}, {"whole": True}) if row.name == "norm" else ({},):
        found, expected = WRITTEN_OUT[row](x, axes=axes, **params), row(x, axes=axes, **params)
        np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-15)


def ridge(w: Any, y: Any, penalty: float = 0.1) -> Any:
    return np.sum((B @ w["slopes"] + w["intercept"] - y) ** 2) + penalty * np.sum(w["slopes"] ** 2) ** 2


def test_arguments_are_arguments_and_containers_are_raveled() -> None:
    w = {"slopes": X, "intercept": np.array(0.5)}
    hess = hs.sparse.split_hessian(
        lambda w, y, penalty=0.1: (
            np.sum((w["slopes"] - y) ** 4) + penalty * np.sum(y * w["slopes"] + w["intercept"]) ** 4
        ),
        widest=5,
    )
    for y, penalty in ((X + 1, 0.1), (X - 1, 0.2), (2 * X, 0.3)):
        found = hess(w, y, penalty=penalty)
        blocks = hs.hessian(hess.function.function)(w, y, penalty=penalty)
        names = ("slopes", "intercept")
        dense = np.block(
            [[np.atleast_2d(blocks[a][b]).reshape(np.size(w[a]), np.size(w[b])) for b in names] for a in names]
        )
        assert found.rank == 1
        close(found, dense)
    assert hess.function.stats.recordings == 1


def test_arguments_by_number() -> None:
    f = lambda a, x, b: np.sum((a * x + b) ** 2) ** 2 + np.sum(x**4)
    hess = hs.sparse.split_hessian(f, (2, 1), widest=5)
    for a in (X, 2 * X, X - 1):
        blocks = hs.hessian(f, (2, 1))(a, X, 2 * X)
        found = hess(a, X, 2 * X)
        close(found, np.block([list(row) for row in blocks]))
        close(hs.sparse.split_hessian(f, 1, widest=5)(a, X, 2 * X), hs.hessian(f, 1)(a, X, 2 * X))
        norm = lambda a, x: np.linalg.norm(a * x) * np.sum(x**2)
        close(hs.sparse.split_hessian(norm, 1, widest=5)(a, X), hs.hessian(norm, 1)(a, X))


def test_integers_and_positions_among_the_arguments() -> None:
    f = lambda x, at, k: np.sum(x[at] ** k) ** 2 + np.sum(x**4)
    hess = hs.sparse.split_hessian(f, widest=5)
    for at, k in ((np.arange(8), 2), (np.arange(4, 12), 2), (np.array([1] * 8), 3), (np.arange(8)[::-1].copy(), 3)):
        close(hess(X, at, k), hs.hessian(f)(X, at, k))


def test_branches_and_data_of_others() -> None:
    hess = hs.sparse.split_hessian(lambda x: np.sum(x**2) ** 2 if x[0] > 0 else np.sum(np.cos(x)) ** 3, widest=5)
    for x in (X, -X, X + 0.5, -2 * X):
        close(hess(x), hs.hessian(hess.function.function)(x))
    work = np.zeros(N)

    def refills(x: Any) -> Any:
        work[:] = np.arange(N)
        first = np.sum(work * x**2) ** 2
        work[:] = 7.0
        return first + np.sum(work * x) ** 3

    hess = hs.sparse.split_hessian(refills, widest=5)
    for x in (X, X + 0.5):
        close(hess(x), hs.hessian(refills)(x))


def test_functions_that_keep_no_program() -> None:
    def changes(x: Any) -> Any:
        x[0] *= 2.0
        return np.sum(x**2) ** 2

    hess = hs.sparse.split_hessian(changes, widest=5)
    for x in (X, X + 1, 2 * X):
        close(hess(x.copy()), hs.hessian(changes)(x.copy()))


def test_rows_of_ones_own() -> None:
    cube = hs.custom_rule(lambda x: x**3, d1=[lambda y, x: 3 * x**2])
    f = lambda x: cube(np.sum(cube(x))) + np.sum(x**2)
    close(hs.sparse.split_hessian(f, widest=5)(X), hs.hessian(f)(X))


def test_single_precision() -> None:
    for f in (target, batch_normalised, FUNCTIONS["norm and differences"][0]):
        found = hs.sparse.split_hessian(f, widest=5)(X.astype(np.float32))
        assert found.dtype == np.float32
        close(found, hs.hessian(f)(X), 1e-5)


def test_it_is_cut_by_itself_where_the_pattern_would_be_dense() -> None:
    hess = hs.sparse.split_hessian(target)
    assert hess(X).rank == 0
    assert hess(X).sparse.nnz == N**2
    found = hess(np.linspace(-1.0, 1.0, 10**5))
    assert found.rank == 2
    assert found.sparse.nnz == 10**5
    v = RNG.standard_normal(10**5)
    np.testing.assert_allclose(found @ v, hs.hvp(target, np.linspace(-1.0, 1.0, 10**5), v), rtol=1e-9)
    # Sums of few variables stay where they are: they cost colors, not columns.
    blocks = hs.sparse.split_hessian(lambda x: np.sum(x.reshape(-1, 8).sum(1) ** 4) + np.sum(x) ** 2)(np.ones(8000))
    assert blocks.rank == 1
    assert blocks.sparse.nnz == 64000


def test_softmax_cross_entropy_with_one_normaliser_and_a_ridge() -> None:
    n, target_at = 3000, np.arange(0, 3000, 7)
    f = lambda z: hs.special.logsumexp(z) - np.mean(z[target_at]) + 0.1 * np.sum(z**2)
    z = RNG.standard_normal(n)
    found = hs.sparse.split_hessian(f)(z)
    assert found.rank == 1
    share = np.exp(z - z.max()) / np.exp(z - z.max()).sum()
    b = RNG.standard_normal(n)
    np.testing.assert_allclose(found @ b, (share + 0.2) * b - share * (share @ b), rtol=1e-10, atol=1e-14)
    np.testing.assert_allclose(found @ found.solve(b), b, rtol=1e-10, atol=1e-12)


# Random compositions.

_UNARY = [np.sin, np.exp, np.tanh, lambda t: t * t, lambda t: 1.0 / (2.0 + t * t), np.logaddexp.outer and np.cos]
_REDUCE = [
    np.sum,
    np.mean,
    np.var,
    lambda v: np.dot(v, np.sin(v)),
    np.linalg.norm,
    lambda v: hs.special.logsumexp(v),
    lambda v: np.sum(A[:, : v.shape[0]] @ v) if v.shape[0] == N else np.sum(v**3),
    lambda v: np.log(1.0 + np.sum(v**2)),
]
_LOCAL = [
    lambda v: v[1:] * v[:-1],
    lambda v: np.diff(v),
    lambda v: v - np.mean(v),
    lambda v: v / (1.0 + np.sum(v**2)),
    lambda v: hs.special.softmax(v),
    np.sin,
    lambda v: v * v,
    lambda v: np.where(v > 0.8, v, v**3),
    lambda v: np.concatenate([v[2:], np.array([np.sum(v), v[0]])]),
]


def _program(steps: list[tuple[int, int, int]]) -> Any:
    def f(x: Any) -> Any:
        vectors, numbers = [x], [np.sum(x**2) * 0.1]
        for kind, which, on in steps:
            v, t = vectors[on % len(vectors)], numbers[on % len(numbers)]
            if kind == 0:
                numbers.append(_REDUCE[which % len(_REDUCE)](v))
            elif kind == 1:
                vectors.append(_LOCAL[which % len(_LOCAL)](v))
            elif kind == 2:
                numbers.append(_UNARY[which % len(_UNARY)](0.1 * t) * numbers[-1])
            else:
                vectors.append(np.cos(0.3 * t) * v)
        return sum(numbers) + np.sum(np.tanh(vectors[-1]) ** 2)

    return f


_STEPS = st.lists(st.tuples(st.integers(0, 3), st.integers(0, 8), st.integers(0, 6)), min_size=1, max_size=6)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(_STEPS, st.integers(2, 9))
def test_random_compositions(steps: list[tuple[int, int, int]], widest: int) -> None:
    f = _program(steps)
    hess = hs.sparse.split_hessian(f, widest=widest)
    for x in (X, X[::-1].copy()):
        close(hess(x), hs.hessian(f)(x), 1e-10)


# Systems.


@pytest.mark.parametrize(
    "name", ["target", "chain", "norm and differences", "mean and variance", "logsumexp", "nested", "few rows"]
)
def test_systems(name: str) -> None:
    found = hs.sparse.split_hessian(FUNCTIONS[name][0], widest=5)(X)
    dense = found.to_dense()
    for b in (RNG.standard_normal(N), RNG.standard_normal((N, 3))):
        for damping in (0.0, 0.7):
            expected = np.linalg.solve(dense + damping * np.eye(N), b)
            y = found.solve(b, damping=damping)
            assert y.shape == b.shape
            np.testing.assert_allclose(y, expected, rtol=0, atol=1e-9 * abs(expected).max())
            np.testing.assert_allclose(
                found.factor(damping=damping).solve(b), expected, rtol=0, atol=1e-8 * abs(expected).max()
            )


def test_systems_without_cuts() -> None:
    for n in (20, 200):
        x = RNG.uniform(0.5, 1.5, n)
        found = hs.sparse.split_hessian(lambda x: np.sum(x**4) + np.sum(np.diff(x) ** 2))(x)
        assert found.rank == 0
        np.testing.assert_allclose(found.solve(found @ x), x, rtol=1e-11)
        np.testing.assert_allclose(found.factor().solve(np.stack((found @ x, x), axis=1))[:, 0], x, rtol=1e-11)


def test_systems_whose_sparse_part_is_singular() -> None:
    # An intercept is nowhere but in the sum.
    f = lambda w: np.sum(w[1:]) * w[0] + 3 * w[0] * w[0] + np.sum(w[2:] ** 2) + (np.sum(w) - 1) ** 2
    found = hs.sparse.split_hessian(f, widest=5)(X)
    assert found.rank
    b = RNG.standard_normal(N)
    np.testing.assert_allclose(found.solve(b), np.linalg.solve(hs.hessian(f)(X), b), rtol=1e-9, atol=1e-12)
    # S has rows of zeros alone.
    U = np.eye(6)[:, :2]
    part = SparsePlusLowRank(diags_array([0.0, 0.0, 1.0, 2.0, 3.0, 4.0]), U, np.array([[0.0, 2.0], [2.0, 0.0]]))
    np.testing.assert_allclose(part.solve(np.arange(1.0, 7.0)), [1.0, 0.5, 3.0, 2.0, 5 / 3, 1.5], rtol=1e-14)
    assert not part.factor().can_solve
    # The core is singular, the matrix is not.
    whole = SparsePlusLowRank(eye_array(6), np.column_stack((U, U[:, 0])), np.diag([1.0, 0.0, 2.0]))
    np.testing.assert_allclose(whole.solve(np.ones(6)), [0.25, 1.0, 1.0, 1.0, 1.0, 1.0], rtol=1e-14)


def test_systems_with_a_diagonal_and_no_capacity() -> None:
    # 1 - 1 / 2 * 2: the matrix is singular, and so is the small one.
    part = SparsePlusLowRank(2.0 * eye_array(4), np.eye(4)[:, :1], np.array([[-2.0]]))
    with pytest.raises(ConvergenceError, match="singular"):
        part.solve(np.ones(4))
    np.testing.assert_allclose(part.solve(np.ones(4), damping=-1.0), [-1.0, 1.0, 1.0, 1.0], rtol=1e-14)


def test_complex_and_nested_arguments() -> None:
    z = X + 1j * X[::-1]
    for f, x in (
        (lambda z: np.sum(np.abs(z) ** 2) ** 2 + np.sum(z.real**3), z),
        (lambda p: (p[0] * np.sum(p[1]) + np.sum(p[1] ** 2)) ** 2, [2.0, X]),
    ):
        found = hs.sparse.split_hessian(f, widest=5)(x)
        assert found.rank
        close(found, hs.sparse.hessian(f)(x).toarray())


def test_systems_of_very_different_scales() -> None:
    scales = 10.0 ** np.arange(-20.0, 20.0, 5.0)
    wide = SparsePlusLowRank(diags_array(scales), np.ones((8, 1)), np.array([[1e-3]]))
    b = RNG.standard_normal(8)
    y = wide.solve(b)
    assert (abs(wide @ y - b) <= 1e-10 * (wide.magnitude(y) + abs(b))).all()
    tiny = SparsePlusLowRank(1e-200 * eye_array(8), 1e-100 * np.ones((8, 1)), np.array([[1.0]]))
    np.testing.assert_allclose(tiny.solve(1e-200 * np.ones(8)), np.full(8, 1 / 9), rtol=1e-12)


def test_singular_matrices_are_refused_and_damping_helps() -> None:
    f = lambda z: hs.special.logsumexp(z)
    found = hs.sparse.split_hessian(f, widest=5)(X)
    for b in (np.ones(N), RNG.standard_normal(N), found @ RNG.standard_normal(N)):
        with pytest.raises(ConvergenceError, match=r"singular to working precision.*damping"):
            found.solve(b)
        y = found.solve(b, damping=0.1)
        np.testing.assert_allclose((hs.hessian(f)(X) + 0.1 * np.eye(N)) @ y, b, rtol=1e-10, atol=1e-12)
    for zero in (
        SparsePlusLowRank(csc_array((5, 5)), np.zeros((5, 0)), np.zeros((0, 0))),
        hs.sparse.split_hessian(lambda x: 3.0)(X),
    ):
        with pytest.raises(ConvergenceError, match="singular"):
            zero.solve(np.ones(zero.shape[0]))


def test_systems_of_nothing_and_of_what_is_not_finite() -> None:
    nothing = SparsePlusLowRank(csc_array((0, 0)), np.zeros((0, 0)), np.zeros((0, 0)))
    assert nothing.solve(np.zeros(0)).shape == (0,)
    broken = SparsePlusLowRank(eye_array(3), np.full((3, 1), np.nan), np.ones((1, 1)))
    with pytest.raises(ConvergenceError, match="not finite"):
        broken.solve(np.ones(3))
    whole = SparsePlusLowRank(eye_array(3), np.ones((3, 1)), np.ones((1, 1)))
    for damping in (np.nan, np.ones(3)):
        with pytest.raises(OptionError, match="damping"):
            whole.solve(np.ones(3), damping=damping)
    with pytest.raises(ShapeMismatchError, match="order 3"):
        whole.solve(np.ones(4))
    with pytest.raises(ShapeMismatchError, match="order 3"):
        whole @ np.ones((2, 3))


def test_parts_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ShapeMismatchError, match="S has shape"):
        SparsePlusLowRank(eye_array(3), np.ones((4, 1)), np.ones((1, 1)))
    with pytest.raises(ShapeMismatchError, match="D has shape"):
        SparsePlusLowRank(eye_array(3), np.ones((3, 1)), np.ones((2, 2)))
    large = SparsePlusLowRank(eye_array(10**6), np.ones((10**6, 1)), np.ones((1, 1)))
    with pytest.raises(TooDenseError, match="GiB"):
        large.to_dense()


# Refusals.


def test_wrong_parts_are_never_returned(monkeypatch: pytest.MonkeyPatch) -> None:
    from hessian.transforms.point import FunctionAtPoint

    rows = FunctionAtPoint.rows
    monkeypatch.setattr(FunctionAtPoint, "rows", lambda self, V, *a, **k: rows(self, V, *a, **k) * (1 + 1e-6))
    with pytest.raises(DerivativeCheckError, match="differs from the product"):
        hs.sparse.split_hessian(target, widest=5)(X)


def test_what_is_not_finite_in_parts_alone_is_refused() -> None:
    # The sum of squares overflows, the norm does not.
    f = lambda x: np.linalg.norm(x) + np.sum(x**2 * 1e-300)
    hess = hs.sparse.split_hessian(f, widest=5)
    x = 1e160 * X
    with pytest.raises(DerivativeCheckError), np.errstate(all="ignore"):
        hess(x)


def test_points_without_a_hessian_give_numbers_that_are_not_finite() -> None:
    with np.errstate(all="ignore"):
        found = hs.sparse.split_hessian(lambda x: np.sqrt(np.sum(x**2)) * np.sum(x), widest=5)(np.zeros(N))
    with pytest.raises(ConvergenceError, match="not finite"):
        found.solve(np.ones(N))


def test_refusals() -> None:
    with pytest.raises(OptionError, match="widest"):
        hs.sparse.split_hessian(target, widest=0)
    with pytest.raises(OptionError, match="function"):
        hs.sparse.split_hessian(X)  # type: ignore[arg-type]
    with pytest.raises(NotScalarError):
        hs.sparse.split_hessian(lambda x: x**2)(X)
    with pytest.raises(DtypeError, match="traced by somebody else"):
        hs.grad(lambda t: hs.sparse.split_hessian(target)(t * X).to_dense().sum())(1.0)
    with pytest.raises(TooDenseError, match="split_hessian"):
        hs.sparse.split_hessian(lambda x: np.sum(np.cumsum(x) ** 4) + np.sum(x) ** 2)(np.ones(20000))


def test_pickles_go_on() -> None:
    hess = hs.sparse.split_hessian(target, widest=5)
    expected = hess(X).to_dense()
    again = pickle.loads(pickle.dumps(hess))
    np.testing.assert_array_equal(again(X).to_dense(), expected)
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(hess(X))).to_dense(), expected)
