"""Patterns of Hessians and Jacobians: no entry outside of them, values equal to dense ones, few entries too many."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import pytest
import scipy.sparse
from differential.programs import Program
from functions import CASES, Case, leaves, map_leaves
from sparse_sides import looseness
from sparse_walk import compare, holds, program_holds

import hessian as hs
from hessian.errors import DtypeError, NotScalarError, OptionError, TooDenseError
from hessian.sparse.detect import Source, hessian_pattern


def raveled(f: Any, x: Any) -> tuple[Any, np.ndarray]:
    """Return a function of a container as one of a vector, and the vector."""
    arrays = leaves(x)
    ends = np.cumsum([a.size for a in arrays])

    def of_vector(v: Any) -> Any:
        pieces = iter(v[end - a.size : end].reshape(a.shape) for a, end in zip(arrays, ends, strict=True))
        return f(map_leaves(lambda _: next(pieces), x))

    return of_vector, np.concatenate([a.ravel() for a in arrays])


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_the_catalogue(case: Case) -> None:
    f, x = raveled(case.with_numpy, case.x)
    rng = np.random.default_rng(0)
    holds(f, [x, x + 1e-3 * rng.standard_normal(x.shape), x * (1 + 1e-2 * rng.random(x.shape))])


def test_containers_are_raveled() -> None:
    x = {"a": np.array([1.0, 2.0]), "b": [np.array([[3.0]]), 0.5]}
    hess = hs.sparse.hessian(lambda p: np.sum(p["a"] ** 3) + p["b"][0][0, 0] * p["b"][1] ** 2)
    assert hess(x).toarray().tolist() == [[6, 0, 0, 0], [0, 12, 0, 0], [0, 0, 0, 1], [0, 0, 1, 6]]


@pytest.mark.parametrize("seed", [*range(12), 7256])  # the last: no entries, and coefficients that are zero
def test_a_few_random_programs(seed: int) -> None:
    program_holds(seed)


@pytest.mark.long
@pytest.mark.parametrize("part", range(2))
def test_two_thousand_random_programs(part: int) -> None:
    """Of 1 846 programs 94.8 % have the pattern of their three points, 95.9 % with the sides of choices that these do not take.

    In 3.0 % values that one of several is chosen into meet, as in ``maximum(x, y) ** 2``, which holds x * x or y * y, never x * y. The
    rest, 1.1 %, cancels: x and -x in different terms, shares that add up to one, solutions with a diagonal that was assembled.
    """
    went: Counter[str] = Counter()
    for seed in range(1000 * part, 1000 * (part + 1)):
        found = program_holds(seed)
        if found is None:
            continue
        went["tight" if np.array_equal(*found) else looseness(Program.of(seed), *found)] += 1
    total = sum(went.values())
    assert went["tight"] + went["another side"] >= 0.95 * total
    assert went["sides that meet"] <= 0.05 * total
    assert went["else"] <= 0.025 * total


A = np.random.default_rng(1).standard_normal((8, 8))
D = np.diff(np.eye(8), axis=0)
M = np.array([True, False, True, True, False, False, True, False])
TIGHT: dict[str, tuple[Any, tuple[Any, ...]]] = {
    "chain": (lambda x: np.sum(100 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2), ()),
    "dense quadratic": (lambda x: np.sum((A @ x) ** 2), ()),
    "differences by a matrix": (lambda x: np.sum((D @ x) ** 4), ()),
    "differences by a sparse matrix": (lambda x: np.sum((scipy.sparse.csr_array(D) @ x) ** 4), ()),
    "products of neighbors": (lambda x: np.sum(x[:-1] * x[1:]), ()),
    "linear": (lambda x: np.sum(np.cumsum(x)), ()),
    "sorted": (lambda x: np.sum(np.sort(x)[:-1] * np.sort(x)[1:]), ()),
    "gathered": (lambda x, i: np.sum(x[i] * x[i[::-1]]), (np.arange(8) // 2,)),
    "log-determinant": (lambda x: np.linalg.slogdet(x.reshape(2, 4)[:, :2] + 2 * np.eye(2))[1], ()),
    "norm": (lambda x: np.linalg.norm(x[:3]), ()),
    "groups": (lambda x: np.sum(np.sum(x.reshape(4, 2), axis=1) ** 2), ()),
    "an entry of a product": (lambda x: (x.reshape(2, 4) @ x.reshape(4, 2))[0, 0], ()),
    "with a hole": (lambda x: np.sum(x * np.pad(x[1:], (0, 1))), ()),
    "one of some sums": (lambda x: np.sum(np.exp(x).reshape(4, 2), axis=1)[1] ** 2, ()),
    "outer": (lambda x: np.sum(np.outer(x[:2], x[2:4]) ** 2), ()),
    "assigned": (lambda x: _assigned(x), ()),
    "logsumexp of rows": (lambda x: np.sum(hs.special.logsumexp(x.reshape(2, 4), axis=1)), ()),
    "a mean": (lambda x: np.sum((x[:4] - np.mean(x[4:])) ** 2), ()),
    "masked": (lambda x: np.sum(np.where(M, x, x[::-1]) ** 3) + np.where(M[0], x[0], np.sum(x)) ** 2, ()),
    "times a mask": (lambda x: np.sum((M * x) ** 3) + np.sum((x * (A > 0.5)) ** 2), ()),
    "sum of some": (lambda x: np.sum(x**2, where=M) ** 2, ()),
    "assigned under a mask": (lambda x: np.sum(np.where(M, x, 1.0) ** 2 * np.where(M, 2.0, x[::-1])), ()),
    "less itself alone": (lambda x: np.sum(np.cos(x - x)), ()),
    "less itself": (lambda x: np.sum(np.cos(x - x) * x[0] ** 2), ()),
    "a scalar times": (lambda x: x[0] * np.sum(np.exp(x[1:])), ()),
}


def _assigned(x: Any) -> Any:
    y = np.zeros_like(x)
    y[0] = x[0] ** 2
    for i in range(1, 4):
        y[i] = np.sin(x[i]) + 0.5 * y[i - 1]
    return np.prod(y[:4])


@pytest.mark.parametrize("name", TIGHT)
def test_patterns_are_tight(name: str) -> None:
    f, args = TIGHT[name]
    x = np.random.default_rng(0).uniform(0.5, 1.5, 8)
    inside, true = holds(f, [x, x[::-1].copy()], args)
    assert np.array_equal(inside, true)


def test_both_sides_of_a_choice_count() -> None:
    x = np.array([1.0, -1.0, 2.0, -3.0])
    hess = hs.sparse.hessian(lambda x: np.sum(np.where(x > 0, x**3, x)) + np.sum(np.maximum(x[:2], x[2:]) ** 2))
    assert hess.pattern(x).matrix.toarray().tolist() == [[1, 0, 1, 0], [0, 1, 0, 1], [1, 0, 1, 0], [0, 1, 0, 1]]
    for point in (x, -x):
        compare(hess, point, hs.hessian(hess.function.function)(point))
    assert hess.function.stats.recordings == 1


def test_masks_among_the_arguments_count_with_both_sides() -> None:
    x = np.arange(1.0, 9.0)
    for f in (
        lambda x, mask: np.sum(np.where(mask, x, x[::-1] ** 2) ** 3),
        lambda x, mask: np.sum((x * mask) ** 3),
    ):
        hess = hs.sparse.hessian(f)
        for mask in (M * 1.0, 1.0 - M, np.zeros(8)):
            compare(hess, x, hs.hessian(f)(x, mask), (mask,))
        assert hess.function.stats.recordings == 1


def test_another_branch_has_another_pattern() -> None:
    def f(x: Any) -> Any:
        return np.sum(x**2) if x[0] > 0 else np.sum(x) ** 2

    hess = hs.sparse.hessian(f)
    for x in (np.ones(4), -np.ones(4), np.ones(4)):
        assert hess.pattern(x).nnz == (4 if x[0] > 0 else 16)
        compare(hess, x, hs.hessian(f)(x))
    assert hess.function.stats.recordings == 2


def test_computed_positions_are_looked_for_at_every_point() -> None:
    f = lambda x, i: np.sum(x[i] * x[i[::-1]])
    hess, x = hs.sparse.hessian(f), np.arange(1.0, 7.0)
    for i in (np.arange(6), np.arange(6)[::-1] // 2, np.array([0, 0, 1, 1, 5, 5])):
        compare(hess, x, hs.hessian(f)(x, i), (i,))
    g = lambda x: np.sum(np.take(x, np.argsort(x)[:3]) ** 2 * x[np.argmax(x)])
    hess = hs.sparse.hessian(g)
    for seed in range(4):
        x = np.random.default_rng(seed).standard_normal(6)
        compare(hess, x, hs.hessian(g)(x))


def test_data_may_be_zero_at_the_first_point() -> None:
    f = lambda x, D: np.sum((D @ x) ** 4)
    hess, x = hs.sparse.hessian(f), np.arange(1.0, 9.0)
    for data in (np.zeros((5, 8)), np.diff(np.eye(8), axis=0)[:5], A[:5]):
        compare(hess, x, hs.hessian(f)(x, data), (data,))
    hess = hs.sparse.hessian(lambda x, w: np.sum(w * x[:-1] * x[1:]))
    assert hess.pattern(x, np.zeros(7)).nnz == 14


cube = hs.custom_rule(
    lambda x: x**3,
    name="cube",
    pushforward=lambda y, xs, dots: 3 * xs[0] ** 2 * dots[0],
    pullback=lambda y, xs, g, wanted: [3 * xs[0] ** 2 * g],
)
"""An operation that does not say its pattern."""


def test_an_operation_without_a_pattern_is_named_with_its_line() -> None:
    def f(x: Any) -> Any:
        return np.sum(cube(x[:3])) + np.sum(x**3)

    pattern = hs.sparse.hessian(f).pattern(np.ones(6))
    assert pattern.nnz == 9 + 3
    (reason,) = pattern.dense_because
    assert "test_sparse_pattern.py" in reason
    assert reason.startswith("custom.cube, at ")
    assert "np.sum(cube(x[:3]))" in reason
    assert "dense because of" in repr(pattern)
    compare(hs.sparse.hessian(f), np.ones(6), hs.hessian(f)(np.ones(6)))
    inside = hs.sparse.hessian(hs.checkpoint(f)).pattern(np.ones(6))
    assert inside == pattern
    assert "custom.cube" in inside.dense_because[0]


def test_what_a_checkpoint_runs_again_is_looked_into() -> None:
    step = hs.checkpoint(lambda x, w: w * np.sin(x[1:]) * x[:-1])

    def f(x: Any) -> Any:
        return np.sum(step(step(x, 2.0), x[1:-1]))

    x = np.random.default_rng(0).uniform(0.5, 1.5, 6)
    inside, true = holds(f, [x, x[::-1].copy()])
    assert np.array_equal(inside, true)
    ordered = hs.checkpoint(lambda x: np.take(x, np.argsort(x)[:3]) * x[np.argmax(x)])
    holds(lambda x: np.sum(ordered(x) ** 2), [x, x[::-1].copy(), -x])


def test_a_dense_pattern_is_refused_with_the_operation_and_a_way_out() -> None:
    def f(x: Any) -> Any:
        total = np.sum(x)
        return total**2 + np.sum(x**3)

    with pytest.raises(TooDenseError, match=r"(?s)power|square.*total\*\*2.*hs.HessianOperator"):
        hs.sparse.hessian(f).pattern(np.ones(20_000))
    with pytest.raises(TooDenseError, match="more than 1e"):
        hs.sparse.hessian(lambda x: np.sum(x[:15_000]) * np.sum(x[15_000:])).pattern(np.ones(30_000))
    with pytest.raises(TooDenseError, match="JacobianOperator"):
        hs.sparse.jacobian(lambda x: x - np.mean(x)).pattern(np.ones(20_000))


def test_many_dense_terms_together_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hessian.sparse.detect.MOST_ENTRIES", 50)
    with pytest.raises(TooDenseError, match="the function makes the pattern"):
        hs.sparse.hessian(lambda x: np.sum(x[:7]) ** 2 + np.sum(x[5:]) ** 2).pattern(np.ones(12))


def test_what_is_no_sparse_hessian() -> None:
    with pytest.raises(NotScalarError):
        hs.sparse.hessian(lambda x: x**2)(np.ones(3))
    with pytest.raises(DtypeError):
        hs.sparse.hessian(np.sum)(np.arange(3))
    with pytest.raises(OptionError, match=r"Write hs\.sparse\.hessian"):
        hs.sparse.hessian(np.sum, np.ones(3))
    inner = hs.sparse.hessian(lambda x: np.sum(x**3))
    with pytest.raises(DtypeError, match="traced by somebody else"):
        hs.grad(lambda x: inner(x).sum())(np.ones(3))
    captured = lambda t: hs.sparse.hessian(lambda x: np.sum(t * x**3))(np.ones(3)).sum()
    with pytest.raises(DtypeError, match="traced by somebody else"):
        hs.grad(captured)(1.0)
    with pytest.raises(OptionError, match="not symmetric"):
        hs.sparse.SparsityPattern(np.triu(np.ones((3, 3))), symmetric=True)
    with pytest.raises(hs.errors.ShapeMismatchError, match="square"):
        hs.sparse.SparsityPattern(np.ones((2, 3)), symmetric=True)


def test_constant_and_empty_functions() -> None:
    assert hs.sparse.hessian(lambda x: 3.0)(np.ones(4)).nnz == 0
    assert hs.sparse.hessian(lambda x: np.sum(x))(np.ones(4)).nnz == 0
    assert hs.sparse.hessian(lambda x: np.sum(x**2))(np.ones(0)).shape == (0, 0)
    assert hs.sparse.jacobian(lambda x: np.ones(2))(np.ones(4)).shape == (2, 4)


def test_float32_stays() -> None:
    x = np.arange(1, 6, dtype=np.float32)
    hess = hs.sparse.hessian(lambda x: np.sum(x[1:] * x[:-1] ** 2))
    assert hess(x).dtype == np.float32
    np.testing.assert_allclose(hess(x).toarray(), hs.hessian(hess.function.function)(x))


def test_keywords_and_argnums() -> None:
    f = lambda a, x, *, c: np.sum(a * x**3) * c
    a, x = np.array([1.0, 2.0]), np.array([3.0, 4.0])
    np.testing.assert_allclose(hs.sparse.hessian(f, 1)(a, x, c=2.0).toarray(), hs.hessian(f, 1)(a, x, c=2.0))
    both = hs.sparse.hessian(f, (0, 1))(a, x, c=2.0)
    assert both.shape == (4, 4)
    assert both.nnz == 6


@pytest.mark.parametrize("name", TIGHT)
def test_pairs_that_are_multiplied_out_are_those_written_down(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    f, args = TIGHT[name]
    x = np.random.default_rng(0).uniform(0.5, 1.5, 8)
    expected = hs.sparse.hessian(f).pattern(x, *args)
    monkeypatch.setattr("hessian.sparse.meetings._PAIRS", 0)
    assert hs.sparse.hessian(f).pattern(x, *args) == expected


def test_products_of_pairs_that_do_not_fit_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hessian.sparse.meetings._PAIRS", 0)
    monkeypatch.setattr("hessian.sparse.detect.MOST_ENTRIES", 5)
    for f in (
        lambda x: np.sum(x[np.zeros(5, int)] * (x[1:6] + x[6:11])),
        lambda x: np.sum((x[1:] + x[:-1]) ** 2),
    ):
        with pytest.raises(TooDenseError, match="makes the pattern"):
            hs.sparse.hessian(f).pattern(np.ones(12))


def test_large_arrays_go_other_ways_to_the_same_patterns() -> None:
    """Small sets are united by sorting, large ones by sparse sums; both must say the same."""
    n = 6000
    x = np.linspace(0.5, 1.5, n)
    chain = hs.sparse.hessian(lambda x: np.sum((x[1:] - x[:-1] ** 2) ** 2)).pattern(x)
    assert chain.nnz == 3 * n - 2
    second = hs.sparse.hessian(lambda x: np.sum(np.exp(x[2:] - 2 * x[1:-1] + x[:-2]))).pattern(x)
    assert second.nnz == 5 * n - 6
    shared = hs.sparse.hessian(lambda x: np.sum((x[1:] * x[0]) ** 2)).pattern(x)
    assert shared.nnz == 3 * n - 2
    rows = hs.sparse.hessian(lambda x: np.sum(np.linalg.norm(x.reshape(-1, 3), axis=1))).pattern(x)
    assert rows.nnz == 3 * n
    matrix = scipy.sparse.diags_array([np.ones(n - 1), np.ones(n)], offsets=[1, 0]).tocsr()
    assert hs.sparse.hessian(lambda x: np.sum((matrix @ x) ** 4)).pattern(x).nnz == 3 * n - 2
    holes = hs.sparse.hessian(lambda x: np.sum((np.pad(x, 1)[2:] + np.pad(x, 1)[:-2]) ** 2)).pattern(x)
    assert holes.nnz == 3 * n - 4
    for pattern in (chain, second, shared, rows, holes):
        assert (pattern.matrix != pattern.matrix.T).nnz == 0


def test_unions_that_are_one_of_the_two_are_not_written_down(monkeypatch: pytest.MonkeyPatch) -> None:
    x = np.random.default_rng(0).uniform(0.5, 1.5, 12)
    centered = lambda x: np.sum(np.exp(x.reshape(3, 4) - np.mean(x.reshape(3, 4), axis=1, keepdims=True)))
    apart = lambda x: np.sum(np.exp(x[:8].reshape(2, 4) - np.mean(x[4:].reshape(2, 4), axis=1, keepdims=True)))
    patterns = [hs.sparse.hessian(f).pattern(x) for f in (centered, apart)]
    monkeypatch.setattr("hessian.sparse.sets._MANY", 0)
    for f, pattern in zip((centered, apart), patterns, strict=True):
        assert hs.sparse.hessian(f).pattern(x) == pattern
    monkeypatch.setattr("hessian.sparse.sets._WRITTEN", 0)
    inside, true = holds(apart, [x])
    assert inside.sum() > true.sum()
    assert hs.sparse.hessian(centered).pattern(x) == patterns[0]


def test_many_pairs_of_few_each_are_given_up():
    """Bands that were entered one by one, each of them narrow."""
    x, wide = np.ones(300), lambda x: sum(np.sum(x[k:] * np.sin(x[:-k])) for k in range(1, 12))
    source = Source(wide, (x,), {}, 0, "test")
    assert hessian_pattern(source, widest=24).matrix.nnz == 299 + 2 * sum(300 - k for k in range(1, 12))
    with pytest.raises(TooDenseError):
        hessian_pattern(source, widest=9)
