"""Recorded functions: replays equal the plain sweeps, whatever changes between calls, and never touch what they handed out."""

from __future__ import annotations

import itertools
import math
import pickle
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
import scipy.special as sc
from functions import CASES, Case, direction, flatten, leaves, map_leaves, normal
from numpy.testing import assert_allclose, assert_array_equal

import hessian as hs
from hessian.errors import (
    DtypeError,
    HessianError,
    LeavesTapeError,
    NotScalarError,
    OptionError,
    ShapeMismatchError,
    StaleRecordingError,
)
from hessian.programs.runtime import cache as variants
from hessian.programs.runtime import recorded

X3 = np.array([1.0, -2.0, 3.0])
X23 = np.arange(6.0).reshape(2, 3) / 3 - 0.7
#: Elements from which programs read arguments in place and hand results out without a copy.
MANY = 20_000


def assert_same(actual: Any, expected: Any, rtol: float = 1e-11) -> None:
    """Compare trees: structure, shapes, dtypes, and values relative to the largest of a leaf."""
    if isinstance(expected, dict):
        assert list(actual) == list(expected)
        actual, expected = list(actual.values()), list(expected.values())
    if isinstance(expected, (list, tuple)):
        assert type(actual) is type(expected)
        assert len(actual) == len(expected)
        for a, b in zip(actual, expected, strict=True):
            assert_same(a, b, rtol)
        return
    a, b = np.asarray(actual), np.asarray(expected)
    assert a.shape == b.shape
    assert a.dtype == b.dtype
    if a.size:
        finite = np.abs(b[np.isfinite(b)])
        precision = 1e-5 if b.dtype == np.float32 else rtol
        assert_allclose(a, b, rtol=0, atol=precision * np.max(finite, initial=0.0) + 1e-300)


def stacked(x: Any, k: int, seed: int) -> Any:
    """Draw ``k`` directions at ``x``: leaves with a leading axis."""
    rng = np.random.default_rng(seed)
    return map_leaves(lambda leaf: rng.standard_normal((k, *np.shape(leaf))).astype(np.asarray(leaf).dtype), x)


def points(x: Any) -> list[Any]:
    """Give the point and two near it."""
    rng = np.random.default_rng(0)
    return [x, *(map_leaves(lambda leaf: leaf * (1 + 0.05 * rng.standard_normal(np.shape(leaf))), x) for _ in range(2))]


def agrees(
    f: Callable[..., Any], xs: list[Any], *args: Any, rec: Any = None, **kwargs: Any
) -> recorded.RecordedFunction:
    """Compare all transforms of a recording with those of the plain function, point after point."""
    rec = hs.record(f) if rec is None else rec
    for i, x in enumerate(xs):
        assert_same(rec(x, *args, **kwargs), f(x, *args, **kwargs))
        assert_same(hs.value_and_grad(rec)(x, *args, **kwargs), hs.value_and_grad(f)(x, *args, **kwargs))
        assert_same(hs.hessian(rec)(x, *args, **kwargs), hs.hessian(f)(x, *args, **kwargs))
        if not kwargs:
            v, rows = direction(x, i), stacked(x, 3, i)
            assert_same(hs.grad_and_hvp(rec, x, v, *args), hs.grad_and_hvp(f, x, v, *args))
            assert_same(hs.hvp(rec, x, rows, *args), hs.hvp(f, x, rows, *args))
    return rec


def dense(f: Callable[..., Any], x: Any) -> np.ndarray:
    """Return the Hessian of a plain function between raveled vectors, by plain sweeps."""
    n = flatten(x).size
    size = [np.size(leaf) for leaf in leaves(x)]
    rows = np.split(np.eye(n), np.cumsum(size)[:-1], axis=1)
    parts = iter(rows)
    v = map_leaves(lambda leaf: next(parts).reshape(n, *np.shape(leaf)), x)
    return np.concatenate([leaf.reshape(n, -1) for leaf in leaves(hs.hvp(f, x, v))], axis=1)


# Replays equal the plain sweeps on the catalogue.

#: Cases that branch on the numbers: another point may need another recording.
STEERED = {"newton_square_roots"}

TRANSFORMS: dict[str, Callable[[Any, Any], Any]] = {
    "value": lambda f, x: f(x),
    "value_and_grad": lambda f, x: hs.value_and_grad(f)(x),
    "grad_and_hvp": lambda f, x: hs.grad_and_hvp(f, x, direction(x, 1)),
    "batched_hvp": lambda f, x: hs.hvp(f, x, stacked(x, 3, 2)),
    "hessian": lambda f, x: hs.hessian(f)(x),
    "jvp": lambda f, x: hs.jvp(f, x, direction(x, 3)),
    "batched_jvp": lambda f, x: hs.jvp(f, x, stacked(x, 2, 3)),
    "jacobian": lambda f, x: hs.jacobian(f)(x),
}


@pytest.mark.parametrize("transform", TRANSFORMS)
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_catalogue(case: Case, transform: str) -> None:
    f, apply = case.with_numpy, TRANSFORMS[transform]
    rec = hs.record(f)
    for x in points(case.x):
        before = map_leaves(np.copy, x)
        assert_same(apply(rec, x), apply(f, x))
        assert_array_equal(flatten(before), flatten(x))
    assert rec.stats.plain == 0
    assert rec.stats.recordings == 1 or case.name in STEERED
    assert rec.stats.replays >= 2 or case.name in STEERED


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_catalogue_pullbacks(case: Case) -> None:
    f = case.with_numpy
    rec = hs.record(f)
    for x in points(case.x):
        (value, pullback), (expected, plain) = hs.vjp(rec, x), hs.vjp(f, x)
        assert_same(value, expected)
        for y_bar in (1.5, np.array([1.0, -2.0])):
            assert_same(pullback(y_bar), plain(y_bar))


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_catalogue_operators(case: Case) -> None:
    f = case.with_numpy
    rec = hs.record(f)
    for x in points(case.x):
        H, matrix = hs.HessianOperator(rec, x), dense(f, x)
        rng = np.random.default_rng(4)
        v, V = rng.standard_normal(len(matrix)), rng.standard_normal((len(matrix), 3))
        assert_same(H.value, f(x))
        assert_same(H.gradient, flatten(hs.grad(f)(x)))
        assert_same(H @ v, matrix @ v, rtol=1e-10)
        assert_same(H @ V, matrix @ V, rtol=1e-10)
        assert_same(H.to_dense(), matrix)
        assert_same(H.diagonal(), np.diag(matrix).copy())
        assert_same(H @ v, matrix @ v, rtol=1e-10)
    assert rec.stats.recordings == 1 or case.name in STEERED


VECTOR_FUNCTIONS: dict[str, tuple[Callable[[Any], Any], Any]] = {
    "permuted": (lambda x: x.T * 1.0, X23),
    "moved": (lambda x: np.moveaxis(x, 0, -1) * 2.0, normal(1, 2, 3, 4)),
    "row": (lambda x: x[0], X23),
    "reversed": (lambda x: x[1:, ::-1], X23),
    "new_axis": (lambda x: x[:, None, -1], X23),
    "concatenated": (lambda x: np.concatenate([x, 2 * x], axis=0), X23),
    "stacked": (lambda x: np.stack([x.T, x.T**2]), X23),
    "product": (lambda x: x @ x.T, X23),
    "assigned": (lambda x: assigned(x), X23),
    "summed": (lambda x: x.sum(axis=0) * np.cumsum(x, axis=1), X23),
    "gathered": (lambda x: x[np.array([1, 0, 1])] * x[:, np.array([2, 2, 0])][:1], X23),
    "outer": (lambda x: np.outer(x, np.sin(x)), X3),
    "broadcast": (lambda x: np.broadcast_to(x[:, None], (2, 2, 3)) * 1.0, X23),
    "number": (lambda x: np.sin(x) * x, np.float64(0.3)),
    "tree": (lambda p: {"u": p["a"] * p["b"][0], "w": (p["a"].sum(), p["b"][1] ** 2)}, {"a": X3, "b": [X3, X23]}),
    "constant": (lambda x: np.concatenate([x, np.ones(2)]), X3),
}


def assigned(x: Any) -> Any:
    y = np.zeros_like(x)
    y[0] = x[1] ** 2
    y[1, ::-1] = x[0]
    return y


@pytest.mark.parametrize("batch", [(), (3,), (2, 2), (1,)], ids=str)
@pytest.mark.parametrize("name", VECTOR_FUNCTIONS)
def test_maps_with_leading_axes(name: str, batch: tuple[int, ...]) -> None:
    f, x = VECTOR_FUNCTIONS[name]
    rec, rng = hs.record(f), np.random.default_rng(5)
    for _ in range(2):
        v = map_leaves(lambda leaf: rng.standard_normal((*batch, *np.shape(leaf))), x)
        assert_same(hs.jvp(rec, x, v), hs.jvp(f, x, v))
        y_bar = map_leaves(lambda leaf: rng.standard_normal((*batch, *np.shape(leaf))), f(x))
        assert_same(hs.vjp(rec, x)[1](y_bar), hs.vjp(f, x)[1](y_bar))


@pytest.mark.parametrize("name", VECTOR_FUNCTIONS)
def test_jacobians(name: str) -> None:
    f, x = VECTOR_FUNCTIONS[name]
    rec = hs.record(f)
    for _ in range(2):
        assert_same(hs.jacobian(rec)(x), hs.jacobian(f)(x))
        J, reference = hs.JacobianOperator(rec, x), hs.JacobianOperator(f, x)
        matrix = reference.to_dense()
        assert_same(J.to_dense(), matrix)
        rng = np.random.default_rng(6)
        v, u = rng.standard_normal(J.shape[1]), rng.standard_normal(J.shape[0])
        assert_same(J @ v, matrix @ v)
        assert_same(J.T @ u, matrix.T @ u)
        assert_same(J @ np.stack([v, 2 * v], axis=1), matrix @ np.stack([v, 2 * v], axis=1))


def test_higher_orders() -> None:
    f = lambda x: np.sum(np.sin(x) * x[::-1] ** 2)
    rec = hs.record(f)
    for x in (X3, 2 * X3):
        assert_same(hs.directional(rec, x, X3, X3**2, X3), hs.directional(f, x, X3, X3**2, X3))
        assert_same(hs.taylor(rec, x, X3, order=3), hs.taylor(f, x, X3, order=3))


# Memory: results are nobody's but the caller's.


def _everything(rec: Any, x: np.ndarray, small: bool) -> list[np.ndarray]:
    H = hs.HessianOperator(rec, x)
    v = np.cos(np.arange(x.size)).reshape(x.shape)
    results: list[Any] = [rec(x), *hs.value_and_grad(rec)(x), *hs.grad_and_hvp(rec, x, v)]
    results += [H.value, H.gradient, H @ v.ravel(), H @ np.stack([v.ravel(), 2 * v.ravel()], axis=1)]
    results += [hs.hvp(rec, x, np.stack([v, v + 1])), *hs.jvp(rec, x, v), hs.vjp(rec, x)[1](1.0)]
    if small:
        results += [hs.hessian(rec)(x), H.to_dense(), H.diagonal()]
    return [np.asarray(r) for r in results]


@pytest.mark.parametrize("n", [3, MANY])
def test_results_outlive_later_calls(n: int) -> None:
    rec = hs.record(lambda x: np.sum(np.sin(x) * x[::-1]) + np.sum(x**2) ** 2 / x.size)
    held, copies, xs = [], [], [np.linspace(0.0, 1.0, n) + 0.1 * k for k in range(3)]
    kept = [x.copy() for x in xs]
    for x in xs:
        results = _everything(rec, x, n < 10)
        held.append(results)
        copies.append([r.copy() for r in results])
    for results, copied in zip(held, copies, strict=True):
        for result, copy in zip(results, copied, strict=True):
            assert_array_equal(result, copy)
    for x, copy in zip(xs, kept, strict=True):
        assert_array_equal(x, copy)
    every = [r for results in held for r in results] + xs
    # An operator's gradient is one array, handed out read-only.
    for a, b in itertools.combinations(every, 2):
        assert not np.shares_memory(a, b)


@pytest.mark.parametrize("n", [3, MANY])
def test_equal_results_are_separate_arrays(n: int) -> None:
    x, y = np.linspace(0.1, 1.0, n), np.linspace(1.0, 2.0, n)
    pair = hs.record(lambda x: (np.sin(x), np.sin(x), x, x[::-1], 1.0 * x))
    loss = hs.record(lambda x, y: np.sum(np.sin(x + y)))
    for _ in range(3):
        results = [*pair(x), *hs.grad(loss, argnums=(0, 1))(x, y), x, y]
        for a, b in itertools.combinations(results, 2):
            assert not np.shares_memory(a, b)
        results[0][...] = 0.0
        assert_allclose(results[1], np.sin(x))


@pytest.mark.parametrize("n", [3, MANY])
def test_constant_results_are_copies(n: int) -> None:
    data = np.linspace(0.0, 1.0, n)
    rec = hs.record(lambda x: (data, np.sum(x)))
    gradient = hs.grad(hs.record(lambda x: np.sum(data * x)))
    for _ in range(3):
        rec(data + 1)[0][...] = -1.0
        gradient(data + 1)[...] = -1.0
    assert_array_equal(rec(data + 1)[0], data)
    assert_array_equal(gradient(data + 1), data)


def test_points_of_operators_and_pullbacks_are_copies() -> None:
    x = X3.copy()
    f = lambda x: np.sum(x**4)
    rec = hs.record(f)
    H, (_, pullback) = hs.HessianOperator(rec, x), hs.vjp(rec, x)
    x[...] = 100.0
    assert_allclose(H.to_dense(), np.diag(12 * X3**2))
    assert_allclose(H.gradient, 4 * X3**3)
    assert_allclose(pullback(1.0), 4 * X3**3)


def test_two_operators_of_one_recording() -> None:
    rec = hs.record(lambda x: np.sum(x**4))
    operators = [hs.HessianOperator(rec, k * X3) for k in (1.0, 2.0, 3.0)]
    for _ in range(2):
        for k, H in zip((1.0, 2.0, 3.0), operators, strict=True):
            assert_allclose(H @ X3, 12 * (k * X3) ** 2 * X3)
            assert_allclose(H @ np.eye(3), np.diag(12 * (k * X3) ** 2))
            assert_allclose(H.to_dense(), np.diag(12 * (k * X3) ** 2))
    del operators[1]
    again = hs.HessianOperator(rec, -X3)
    assert_allclose(operators[1] @ np.eye(3), np.diag(12 * (3 * X3) ** 2))
    assert_allclose(again @ np.eye(3), np.diag(12 * X3**2))


# Threads.

_MATRIX = normal(11, 8, 8)


def _tanh_loss(x: Any) -> Any:
    return np.sum(np.tanh(_MATRIX @ x) ** 2) + np.sum(x[:4] * x[4:])


def test_threads_share_a_recording() -> None:
    rec = hs.record(_tanh_loss)
    xs = [normal(seed, 8) for seed in range(40)]

    def job(i: int) -> list[Any]:
        x = xs[i]
        H = hs.HessianOperator(rec, x)
        return [
            *(rec(x), *hs.value_and_grad(rec)(x), *hs.grad_and_hvp(rec, x, xs[0])),
            *(H @ xs[0], H @ np.stack(xs[:3], axis=1), H.to_dense(), hs.hvp(rec, x, np.stack(xs[:5]))),
            *(hs.hessian(rec)(x), hs.jvp(rec, x, xs[1])[1]),
        ]

    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(job, range(len(xs))))
    for x, results in zip(xs, found, strict=True):
        matrix, gradient = dense(_tanh_loss, x), hs.grad(_tanh_loss)(x)
        expected = [
            *(_tanh_loss(x), _tanh_loss(x), gradient, gradient, matrix @ xs[0]),
            *(matrix @ xs[0], matrix @ np.stack(xs[:3], axis=1), matrix, np.stack(xs[:5]) @ matrix),
            *(matrix, gradient @ xs[1]),
        ]
        for a, b in zip(results, expected, strict=True):
            assert_allclose(a, b, rtol=1e-11, atol=1e-12)


def test_threads_share_an_operator() -> None:
    H = hs.HessianOperator(hs.record(_tanh_loss), normal(1, 8))
    matrix = dense(_tanh_loss, normal(1, 8))
    vs = [normal(seed, 8) for seed in range(200)]
    with ThreadPoolExecutor(4) as pool:
        products = list(pool.map(lambda v: H @ v, vs))
        blocks = list(pool.map(lambda k: H @ np.stack(vs[k : k + 3], axis=1), range(50)))
    for v, product in zip(vs, products, strict=True):
        assert_allclose(product, matrix @ v, rtol=1e-11, atol=1e-12)
    for k, block in enumerate(blocks):
        assert_allclose(block, matrix @ np.stack(vs[k : k + 3], axis=1), rtol=1e-11, atol=1e-12)


def test_threads_with_branches() -> None:
    rec = hs.record(_steered)
    xs = [normal(seed, 3) for seed in range(60)]
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda x: hs.grad(rec)(x), xs * 3))
    for x, gradient in zip(xs * 3, found, strict=True):
        assert_allclose(gradient, hs.grad(_steered)(x), rtol=1e-12)


# Pickles.


def _steered(x: Any) -> Any:
    return np.sum(np.exp(x)) if x[0] > 0 else np.sum(x**3)


def _long(x: Any) -> Any:
    y = x
    for k in range(500):
        y = y + 0.01 * np.sin(y * (1 + k % 3))
    return np.sum(y**2)


def _with_options(x: Any, power: int, mode: str = "plain", scale: float = 1.0) -> Any:
    y = x[np.array([0, 2, 2])] ** power
    return scale * np.sum(np.sin(y) if mode == "sine" else y)


@pytest.mark.parametrize("f", [_tanh_loss, _steered, _long], ids=lambda f: f.__name__)
def test_pickled_recordings_replay(f: Callable[..., Any]) -> None:
    rec = hs.record(f)
    n = 8 if f is _tanh_loss else 3
    agrees(f, [normal(1, n), normal(2, n)], rec=rec)
    copy = pickle.loads(pickle.dumps(rec))
    recordings = copy.stats.recordings
    assert recordings == rec.stats.recordings
    agrees(f, [normal(2, n), normal(1, n)], rec=copy)
    assert copy.stats.recordings == recordings
    assert copy.stats.replays > rec.stats.replays


def test_pickled_recordings_keep_static_arguments() -> None:
    rec = hs.record(_with_options)
    calls: list[dict[str, Any]] = [{"mode": "plain"}, {"mode": "sine"}, {"mode": "sine", "scale": 0.3}]
    for kwargs in calls:
        hs.grad(rec)(X3, 2, **kwargs)
    copy = pickle.loads(pickle.dumps(rec))
    for kwargs in calls:
        assert_same(hs.grad(copy)(2 * X3, 2, **kwargs), hs.grad(_with_options)(2 * X3, 2, **kwargs))
    assert copy.stats.recordings == rec.stats.recordings == 3
    assert_same(hs.grad(copy)(X3, 3), hs.grad(_with_options)(X3, 3))
    assert copy.stats.recordings == 4


def test_a_long_loop_is_one_program() -> None:
    rec = agrees(_long, [X3, 0.5 * X3])
    assert rec.stats.recordings == 4  # value, gradient, product, curvature
    assert rec.stats.plain == 0


# Guards.


def _data_dependent_loop(x: Any) -> Any:
    y, n = x, 0
    while np.sum(y**2) > 1:
        y, n = 0.5 * y * np.cos(0.1 * y), n + 1
    return np.sum(y**2) * n + np.sum(np.sin(x))


def _masked_assignment(x: Any) -> Any:
    y = x * x
    y[x < 0] = 0.5
    return np.sum(y * x)


GUARDED: dict[str, Callable[[Any], Any]] = {
    "branch": _steered,
    "while": _data_dependent_loop,
    "mask": lambda x: np.sum(x[x > 0] ** 3) + np.prod(np.sin(x)),
    "masked_assignment": _masked_assignment,
    "sort": lambda x: np.sum(np.sort(x) * np.array([1.0, 2.0, 4.0]) * x),
    "argsort": lambda x: np.sum(x[np.argsort(x)] * np.array([1.0, 2.0, 4.0]) * x),
    "argmax": lambda x: x[int(np.argmax(x))] ** 3 + np.sum(x**2),
    "nonzero": lambda x: np.sum(x[np.nonzero(x > 0)] ** 3),
    "any": lambda x: np.sum(x**3) if np.any(x > 2) else np.sum(np.cos(x)),
    "elements": lambda x: sum(v * v * i for i, v in enumerate(x) if v > 0) + np.sum(x**2),
    "trip_count": lambda x: sum(np.sum(x**k) for k in range(1, 3 + int(np.sum(x > 0)))),
    "where": lambda x: np.sum(np.where(x > 0, x**3, np.sin(x))),
    "maximum": lambda x: np.sum(np.maximum(x, 0.5) ** 2 * x) + np.max(x) * np.min(x),
    "clip": lambda x: np.sum(np.clip(x, -1.0, 1.0) ** 3),
    "sign_and_floor": lambda x: np.sum(np.sign(x) * np.floor(x) * x**3),
    "two_branches": lambda x: (np.sum(x**2) if x[0] > 0 else np.sum(x**3)) * (np.sin(x[1]) if x[1] > 0 else x[2]),
}


@pytest.mark.parametrize("name", GUARDED)
def test_guards(name: str) -> None:
    xs = [X3, X3[::-1].copy(), np.array([0.5, 1.5, 2.5]), -X3, 0.1 * X3]
    agrees(GUARDED[name], xs + xs[::-1] + xs)


def test_programs_of_known_branches_are_found_again() -> None:
    rec = hs.record(_steered)
    for _ in range(5):
        for x in (X3, -X3):
            assert_same(hs.grad(rec)(x), hs.grad(_steered)(x))
    assert rec.stats.recordings == 2
    assert rec.stats.replays == 8
    assert rec.stats.plain == 0


def test_variants_are_bounded_and_hopeless_functions_left_alone() -> None:
    """Every call takes another path: recording gives up, and the answers stay right."""
    f = lambda x: np.sum(x ** int(np.floor(x[0])))
    rec, calls = hs.record(f), 60
    for k in range(calls):
        x = np.array([k + 0.5, 1.1])
        assert_same(hs.value_and_grad(rec)(x), hs.value_and_grad(f)(x))
        assert len(rec.programs) <= variants.MAX_VARIANTS
    assert rec.stats.recordings <= variants.PATIENCE
    assert rec.stats.plain >= calls - variants.PATIENCE


def test_kinds_of_arguments_are_bounded() -> None:
    f = lambda x: np.sum(x**2)
    rec = hs.record(f)
    for n in range(1, variants.MAX_KINDS + 10):
        assert_allclose(hs.grad(rec)(np.full(n, 0.5)), np.ones(n))
    assert len(rec.programs) <= variants.MAX_KINDS
    assert_allclose(hs.grad(rec)(np.full(1, 0.5)), 1.0)


def test_integer_and_boolean_arrays_are_inputs() -> None:
    rng = np.random.default_rng(7)

    def loss(W: Any, X: Any, y: Any) -> Any:
        logits = X @ W
        return np.mean(hs.special.logsumexp(logits, axis=1) - logits[np.arange(len(y)), y])

    rec = hs.record(loss, verify="never")
    W = rng.standard_normal((3, 4))
    for _ in range(6):
        X, y = rng.standard_normal((5, 3)), rng.integers(0, 4, 5)
        agrees(loss, [W], X, y, rec=rec)


INTEGER_ARGUMENTS: dict[str, tuple[Callable[..., Any], list[np.ndarray]]] = {
    "labels": (lambda x, k: np.sum(x[k] ** 3), [np.array(k) for k in ([0, 2, 1], [2, 2, 0], [0, 0, 0])]),
    "one_hot": (
        lambda x, k: np.sum((x[:, None] * (k[:, None] == np.arange(3))) ** 3),
        [np.arange(3), np.zeros(3, int)],
    ),
    "take": (lambda x, k: np.sum(np.take(x, k) ** 3), [np.array([0, 1]), np.array([2, 2])]),
    "rows_of_data": (lambda x, k: np.sum((np.eye(3)[k] @ x) ** 3), [np.array([0, 1]), np.array([2, 2])]),
    "mask": (lambda x, m: np.sum(x[m] ** 3), [np.array(m, bool) for m in ([1, 0, 1], [0, 1, 0], [1, 1, 1])]),
    "where": (lambda x, m: np.sum(np.where(m, x**3, np.sin(x))), [np.array(m, bool) for m in ([1, 0, 1], [0, 1, 0])]),
    "count": (lambda x, n: np.sum(x ** int(n[0])), [np.array([2]), np.array([3])]),
    "power": (lambda x, n: np.sum(x**n), [np.array([2, 3, 1]), np.array([3, 1, 2])]),
    "branch": (lambda x, n: np.sum(x**2) if n[0] > 2 else np.sum(x**3), [np.array([1]), np.array([3])]),
    "assigned": (lambda x, k: _assigned_at(x, k), [np.array([0, 1]), np.array([2, 0])]),
    "assigned_mask": (lambda x, k: _assigned_at(x, k), [np.array(m, bool) for m in ([1, 0, 0], [0, 1, 0])]),
}


def _assigned_at(x: Any, k: Any) -> Any:
    y = x**3
    y[k] = 2.0
    return np.sum(y * x)


@pytest.mark.parametrize("name", INTEGER_ARGUMENTS)
def test_values_of_integer_arguments_are_looked_at(name: str) -> None:
    """Without verification, which would notice that a replay used the labels of the recording."""
    f, arguments = INTEGER_ARGUMENTS[name]
    rec = hs.record(f, verify="never")
    for k in arguments * 3:
        agrees(f, [X3], k, rec=rec)


@pytest.mark.parametrize("dtype", [np.uint8, np.int8, np.uint32, np.int64, bool])
def test_arithmetic_of_integers_is_that_of_numpy(dtype: Any) -> None:
    """Minus signs and sums of one term may be moved for floats alone: -u wraps, and a sum widens."""
    u = np.array([1, 0, 200]).astype(dtype)
    functions: list[Callable[..., Any]] = [
        lambda x, u: np.sum((-x * (u + u)) ** 2 * x),
        lambda x, u: np.sum((-(x * np.uint8(3))) * x * x),
        lambda x, u: np.sum(x[None] ** 3 * (u[None].sum(axis=0) + u[None].sum(axis=0))),
        lambda x, u: np.sum((-x * x) @ (u + u)) * np.sum(-x),
        lambda x, u: np.sum(x**3) * np.mean(u) * np.sum(u),
        lambda x, u: np.sum(x**3) * np.sum((x > 0)[None].sum(axis=0) + (x > 0)[None].sum(axis=0)),
        lambda x, u: np.sum((-x * (x > 0)) ** 3),
    ]
    if dtype is not bool:
        functions += [
            lambda x, u: np.sum(x**2) * np.sum(-u),
            lambda x, u: np.sum((-x * u) ** 2 * np.sum(x * -u)),
            lambda x, u: np.sum(x**2 * -(u - u[::-1])),
            lambda x, u: np.sum((-u)[:, None] * x**2) * np.sum(np.negative(-u)),
        ]
    for f in functions:
        agrees(f, [X3, 2 * X3], u)


def test_static_arguments() -> None:
    def f(x: Any, n: int, mode: str = "a", flag: bool = False, extra: Any = None) -> Any:
        y = x**n
        y = np.sin(y) if mode == "b" else y
        y = 2 * y if flag else y
        return np.sum(y if extra is None else y + x)

    rec = hs.record(f)
    options = list(itertools.product((1, 2, 3), "ab", (True, False), (None, 1)))
    for n, mode, flag, extra in options * 2:
        agrees(f, [X3], n, mode, flag, extra, rec=rec)
        assert_same(hs.grad(rec)(X3, n, flag=flag, mode=mode), hs.grad(f)(X3, n, flag=flag, mode=mode))


def test_true_and_one_are_different_arguments() -> None:
    f = lambda x, n: np.sum(x) * (100 if n is True else n)
    rec = hs.record(f)
    for n in (True, 1, np.int64(1), 2, True, 1):
        assert_same(rec(X3, n), f(X3, n))


def test_python_floats_are_inputs() -> None:
    f = lambda x, t: np.sum(x**2) * t + (np.sum(x) if t > 0 else 0.0)
    rec = hs.record(f)
    for t in (0.1, 0.2, 0.3, -1.0, 0.5):
        agrees(f, [X3], t, rec=rec)
        assert_same(hs.grad(rec, argnums=(0, 1))(X3, t), hs.grad(f, argnums=(0, 1))(X3, t))
    assert rec.stats.recordings <= 2 * 5
    with pytest.raises(LeavesTapeError):
        hs.record(lambda x, t: np.sum(x) * math.sqrt(t))(X3, 2.0)


@pytest.mark.parametrize(
    "f",
    [
        lambda x, t: np.sum(x**2 * t),
        lambda x, t: np.sum(x) ** 2 * t,
        lambda x, t: np.sum(np.arange(3.0) * t) * np.sum(x).astype(float),
        lambda x, t: np.sum(x * np.float32(2)) * t + t,
    ],
)
def test_python_floats_keep_their_precision_and_that_of_arrays(f: Callable[..., Any]) -> None:
    x, rec = X3.astype(np.float32), hs.record(f)
    for t in (0.1, 0.7):
        value, expected = rec(x, t), f(x, t)
        assert value.dtype == expected.dtype
        assert_allclose(value, expected, rtol=1e-6 if value.dtype == np.float32 else 1e-12)
        assert_same(hs.grad(rec)(x, t), hs.grad(f)(x, t))


def test_python_floats_between_arrays_of_two_precisions() -> None:
    f = lambda x, y, t: (x * t, y * t, (x * t).sum() + (y * t).sum())
    rec = hs.record(f)
    for t in (0.1, 0.7):
        assert_same(rec(X3.astype(np.float32), X3, t), f(X3.astype(np.float32), X3, t))
        value = rec(X3.astype(np.float32), X3, t)
        assert_allclose(value[1], X3 * t, rtol=1e-15)


def test_shapes_and_dtypes_between_calls() -> None:
    f = lambda x: np.sum(np.sin(x) * x) ** 2
    rec = hs.record(f)
    for _ in range(2):
        for shape, dtype in itertools.product([(3,), (2, 3), (), (0,), (2, 0), (1,), (1, 1)], (np.float64, np.float32)):
            x = np.linspace(0.1, 1.0, math.prod(shape)).reshape(shape).astype(dtype)
            agrees(f, [x], rec=rec)


@pytest.mark.parametrize(
    "v", [np.array([1, 2, 3]), X3.astype(np.float32), [1.0, 2.0, 3.0], np.array([True, False, True])]
)
def test_directions_of_other_dtypes(v: Any) -> None:
    f = lambda x: np.sum(x**3)
    rec = hs.record(f)
    for x in (X3, X3.astype(np.float32)):
        assert_same(hs.grad_and_hvp(rec, x, v), hs.grad_and_hvp(f, x, v))
        assert_same(hs.jvp(rec, x, v), hs.jvp(f, x, v))


@pytest.mark.parametrize("shape", [(0,), (2, 0), (0, 3)])
def test_empty_arrays(shape: tuple[int, ...]) -> None:
    f = lambda x: np.sum(np.sin(x) * x) + np.sum(np.sum(x, axis=0) ** 2)
    x = np.zeros(shape)
    rec = agrees(f, [x, x])
    H = hs.HessianOperator(rec, x)
    assert H.to_dense().shape == (0, 0)
    assert H.diagonal().shape == (0,)


@pytest.mark.parametrize("batch", [(0,), (2, 0), (1,), (2, 3), (40,)], ids=str)
def test_batches_of_directions(batch: tuple[int, ...]) -> None:
    f = lambda x: np.sum(np.tanh(x[:2] @ x.T) ** 2) + np.sum(x[0] * x[1])
    rec, V = hs.record(f), np.random.default_rng(8).standard_normal((*batch, 2, 3))
    for x in (X23, 2 * X23):
        assert_same(hs.grad_and_hvp(rec, x, V), hs.grad_and_hvp(f, x, V))


def _layouts(x: np.ndarray) -> Iterator[np.ndarray]:
    frozen = x.copy()
    frozen.flags.writeable = False
    yield from (x, np.asfortranarray(x), x[::-1], x[:, ::-1], np.repeat(x, 2, axis=1)[:, ::2], frozen)
    yield np.broadcast_to(x[0], x.shape)
    buffer = np.zeros(x.nbytes + 1, np.uint8)
    unaligned = buffer[1:].view(x.dtype).reshape(x.shape)
    unaligned[...] = x
    yield unaligned


@pytest.mark.parametrize("shape", [(3, 4), (150, 200)])
def test_layouts_of_arguments_and_directions(shape: tuple[int, int]) -> None:
    def f(x: Any) -> Any:
        rows = np.sum(np.sum(x, axis=0) ** 2) + np.sum(np.tanh(x.T) @ np.ones(len(x)))
        return np.sum(np.sin(x) * x[::-1]) + rows + np.sum(x.reshape(-1)[::7] ** 2) + np.take(x, 5) ** 3

    X = normal(9, *shape)
    rec = hs.record(f)
    for x in _layouts(X):
        copy = x.copy()
        assert_same(rec(x), f(x))
        assert_same(hs.value_and_grad(rec)(x), hs.value_and_grad(f)(x))
        for v in (x, X, np.asfortranarray(X)):
            assert_same(hs.grad_and_hvp(rec, x, v), hs.grad_and_hvp(f, x, v))
        V = np.stack([X, x], axis=-1).transpose(2, 0, 1)
        assert_same(hs.hvp(rec, x, V), hs.hvp(f, x, V))
        assert_array_equal(x, copy)
    # Reshaping follows the order in memory, of which there are six; value, gradient and products are recorded once for each.
    assert rec.stats.recordings == 4 * 6


def test_foreign_byte_order_and_subclasses() -> None:
    class Tagged(np.ndarray):
        pass

    f = lambda x: np.sum(np.sin(x) * x * np.array([1.0, 2.0, 3.0]))
    rec = hs.record(f)
    for x in (X3.astype(">f8"), X3.astype("<f8"), X3.view(Tagged), X3.astype(">f8")):
        for _ in range(2):
            assert_same(rec(x), f(x))
            assert_allclose(hs.grad(rec)(x), hs.grad(f)(x), rtol=1e-13)
            assert_allclose(hs.hessian(rec)(x), hs.hessian(f)(x), rtol=1e-13)
            assert_allclose(hs.hvp(rec, x, X3), hs.hvp(f, x, X3), rtol=1e-13)


def test_arrays_of_other_kinds_are_static_or_refused() -> None:
    f = lambda x, names: np.sum(x**2 * np.array([name == "a" for name in names]))
    rec = hs.record(f)
    for names in (np.array(["a", "b", "a"]), np.array(["b", "b", "a"]), np.array(["a", "b", "a"])):
        assert_same(hs.grad(rec)(X3, names), hs.grad(f)(X3, names))


def test_keywords_and_containers() -> None:
    f = lambda p, *, data, scale=1.0: scale * np.sum(p["a"] ** 2 * data["x"]) * p["b"][0] + np.sum(np.sin(p["b"][1]))
    rec = hs.record(f)
    for seed in range(3):
        p = {"a": normal(seed, 3), "b": (np.float64(seed + 0.5), normal(seed, 2, 2)), "unused": [normal(seed, 2)]}
        for kwargs in ({"data": {"x": X3}}, {"data": {"x": 2 * X3}, "scale": 0.5}):
            agrees(f, [p], rec=rec, **kwargs)
    assert rec.stats.recordings == 2 * 3


def test_order_of_dictionary_keys() -> None:
    f = lambda p: p["a"] ** 2 * p["b"]
    rec = hs.record(f)
    for p in ({"a": 1.0, "b": 2.0}, {"b": 5.0, "a": 3.0}, {"a": 4.0, "b": 7.0}):
        assert_same(hs.grad(rec)(p), hs.grad(f)(p))


def test_mixed_precision_parameters() -> None:
    f = lambda p: np.sum(p["a"] ** 2) * p["b"] + np.sum(np.sin(p["c"]) * p["a"])
    p = {"a": X3.astype(np.float32), "b": np.float64(1.5), "c": X3}
    rec, v = hs.record(f), {"a": X3.astype(np.float32), "b": np.float64(0.5), "c": X3[::-1].copy()}
    for x in (p, map_leaves(lambda leaf: leaf * 2, p)):
        assert_same(hs.grad_and_hvp(rec, x, v), hs.grad_and_hvp(f, x, v), rtol=1e-6)
        assert_same(hs.hessian(rec)(x), hs.hessian(f)(x), rtol=1e-6)
        assert_same(hs.hvp(rec, x, stacked(x, 3, 1)), hs.hvp(f, x, stacked(x, 3, 1)), rtol=1e-6)


@pytest.mark.parametrize(
    ("call", "error"),
    [
        (lambda f: hs.grad(f)(np.array([1, 2]), 1.0), DtypeError),
        (lambda f: hs.grad(f)(X3 + 1j, 1.0), NotScalarError),
        (lambda f: hs.grad(f)(X3.astype(np.float16), 1.0), DtypeError),
        (lambda f: hs.hvp(f, X3, np.ones(4), 1.0), ShapeMismatchError),
        (lambda f: hs.hvp(f, X3, X3 + 1j, 1.0), DtypeError),
        (lambda f: hs.hvp(f, np.array([1, 2]), np.array([1, 2]), 1.0), DtypeError),
        (lambda f: hs.grad(f, argnums=5)(X3, 1.0), OptionError),
        (lambda f: hs.grad(f, argnums=(0, 0))(X3, 1.0), OptionError),
        (lambda f: hs.grad(f)(), OptionError),
        (lambda f: hs.hessian(f)(X3, X3), NotScalarError),
    ],
)
def test_errors_are_those_of_the_plain_transforms(call: Callable[[Any], Any], error: type[Exception]) -> None:
    f = lambda x, t: np.sum(x**2) * t
    rec, messages = hs.record(f), []
    for g in (f, rec, rec):
        with pytest.raises(error) as caught:
            call(g)
        messages.append(str(caught.value))
    assert messages[1] == messages[0]
    assert messages[2] == messages[0]
    assert_same(hs.grad(rec)(X3, 2.0), 4 * X3)


@pytest.mark.parametrize("argnums", [0, 1, -1, (0, 1), (1, 0), [0, 1]], ids=str)
def test_argument_numbers(argnums: Any) -> None:
    f = lambda x, y: np.sum(x**2 * y**3)
    rec = hs.record(f)
    for k in (1.0, 2.0):
        assert_same(hs.grad(rec, argnums=argnums)(X3, k * X3), hs.grad(f, argnums=argnums)(X3, k * X3))
        assert_same(hs.hessian(rec, argnums=argnums)(X3, k * X3), hs.hessian(f, argnums=argnums)(X3, k * X3))
        assert_same(hs.jacobian(rec, argnums=argnums)(X3, k * X3), hs.jacobian(f, argnums=argnums)(X3, k * X3))


def test_auxiliary_results() -> None:
    f = lambda x: (np.sum(x**2), {"residual": x - 1})
    rec = hs.record(f)
    for x in (X3, 2 * X3, 3 * X3):
        assert_same(hs.value_and_grad(rec, has_aux=True)(x), hs.value_and_grad(f, has_aux=True)(x))
        assert_same(hs.grad(rec, has_aux=True)(x), hs.grad(f, has_aux=True)(x))
        assert_same(hs.jacobian(rec, has_aux=True)(x), hs.jacobian(f, has_aux=True)(x))
        assert_same(hs.hessian(rec, has_aux=True)(x), hs.hessian(f, has_aux=True)(x))


def test_callables_with_attributes_of_their_own() -> None:
    class Loss:
        def __init__(self) -> None:
            self.function, self.stats, self.verify, self._cache = "mine", 1, 2, None

        def __call__(self, x: Any) -> Any:
            return np.sum(x**2)

    def f(x: Any) -> Any:
        return np.sum(x**2)

    for name in ("function", "stats", "verify", "_cache", "_lock", "_derived"):
        setattr(f, name, None)
    for g in (Loss(), f, hs.record(f)):
        rec = hs.record(g)
        for _ in range(3):
            assert_same(hs.grad(rec)(X3), 2 * X3)
            assert_same(hs.jvp(rec, X3, X3), (np.sum(X3**2), 2 * X3 @ X3))
            assert_same(hs.jacobian(rec)(X3), 2 * X3)


def test_tuples_of_numbers() -> None:
    """A tuple of NumPy numbers is a container, whatever a tuple of Python numbers stands for."""
    f = lambda x: (np.sum(x), np.sum(x**2))
    rec = hs.record(f, verify="always")
    for x in (X3, 2 * X3, 3 * X3):
        assert_same(rec(x), f(x))
        assert_same(hs.jvp(rec, x, X3), hs.jvp(f, x, X3))
    assert_same(
        hs.record(lambda x: {"a": x[0], "b": [x[1], x[2] ** 2]}, verify="always")(X3), {"a": 1.0, "b": [-2.0, 9.0]}
    )


def test_products_that_broadcast() -> None:
    A, x = normal(19, 3, 3), normal(20, 3, 3)
    since_2_2 = (
        lambda x: np.sum(np.sin(np.matvec(A, x)) ** 2),
        lambda x: np.sum(np.sin(np.matvec(x, A)) * x),
        lambda x: np.sum(np.sin(np.vecmat(A, x)) ** 2),
        lambda x: np.sum(np.sin(np.vecmat(x, A)) ** 2),
    )
    for f in (
        *(since_2_2 if hasattr(np, "matvec") else ()),
        lambda x: np.sum(np.sin(np.vecdot(A, x)) ** 2),
        lambda x: np.sum(np.tanh(np.einsum("ij,kj->ki", A, x)) ** 2),
        lambda x: np.sum(np.sin(np.linalg.vecdot(x, x * A)) ** 2),
    ):
        agrees(f, [x, 2 * x])


# Verified replay.


def _replays_until_stale(rec: Any, change: Callable[[], None], call: Callable[[Any], Any]) -> int:
    """Return the number of the replay that noticed the change."""
    call(rec)
    for count in range(1, 9):
        change()
        try:
            call(rec)
        except StaleRecordingError:
            return count
    raise AssertionError("eight replays of stale data went unnoticed")


CALLS: dict[str, Callable[[Any], Any]] = {
    "value": lambda rec: rec(X3),
    "grad": lambda rec: hs.grad(rec)(X3),
    "hvp": lambda rec: hs.hvp(rec, X3, X3),
    "batched_hvp": lambda rec: hs.hvp(rec, X3, np.eye(3)),
    "hessian": lambda rec: hs.hessian(rec)(X3),
    "operator": lambda rec: hs.HessianOperator(rec, X3),
    "jvp": lambda rec: hs.jvp(rec, X3, X3),
    "jacobian": lambda rec: hs.jacobian(rec)(X3),
}


@pytest.mark.parametrize("call", CALLS)
def test_changed_data_is_noticed(call: str) -> None:
    state = {"batch": np.ones(3)}
    data, rng = np.ones(3), np.random.default_rng(0)

    def swap() -> None:
        state["batch"] = state["batch"] + 1.0

    def mutate() -> None:
        data[0] += 1.0

    nothing = lambda: None
    assert _replays_until_stale(hs.record(lambda x: np.sum(state["batch"] * x**2)), swap, CALLS[call]) == 1
    assert _replays_until_stale(hs.record(lambda x: np.sum(data * x**2)), mutate, CALLS[call]) == 1
    assert _replays_until_stale(hs.record(lambda x: rng.random() * np.sum(x**2)), nothing, CALLS[call]) == 1


@pytest.mark.parametrize("late", [1, 2, 3, 4, 5, 7])
def test_changed_data_is_noticed_at_the_next_power_of_two(late: int) -> None:
    scale = [1.0]
    rec = hs.record(lambda x: scale[0] * np.sum(x**2))
    rec(X3)
    for _ in range(late - 1):
        rec(X3)
    scale[0] = 2.0
    due = 2 ** math.ceil(math.log2(late))
    for _ in range(late, due):
        rec(X3)
    with pytest.raises(StaleRecordingError):
        rec(X3)


def test_verification_can_be_chosen() -> None:
    scale = [1.0]
    f = lambda x: scale[0] * np.sum(x**2)
    never, always = hs.record(f, verify="never"), hs.record(f, verify="always")
    for rec in (never, always):
        for _ in range(4):
            rec(X3)
    assert never.stats.verifications == 0
    assert always.stats.verifications == 3
    scale[0] = 2.0
    assert_allclose(never(X3), np.sum(X3**2))
    with pytest.raises(StaleRecordingError):
        always(X3)
    assert hs.record(f, verify=True).verify == "doubling"
    assert hs.record(f, verify=False).verify == "never"
    with pytest.raises(OptionError, match="verify"):
        hs.record(f, verify="sometimes")
    with pytest.raises(OptionError, match="not a function"):
        hs.record(3.0)  # type: ignore[arg-type]


def test_the_message_says_what_to_do() -> None:
    scale = [1.0]

    def scaled_loss(x: Any) -> Any:
        return scale[0] * np.sum(x**2)

    rec = hs.record(scaled_loss)
    rec(X3)
    scale[0] = 2.0
    with pytest.raises(StaleRecordingError) as caught:
        rec(X3)
    for part in ("scaled_loss", "Pass what changes as an argument", "verify='never'", "5.0e-01"):
        assert part in str(caught.value)
    assert isinstance(caught.value, HessianError)


MINIMA: dict[str, tuple[Callable[[Any], Any], np.ndarray]] = {
    "squares": (lambda x: np.sum((x - X3) ** 2), X3),
    "rosenbrock": (lambda x: np.sum(100 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2), np.ones(3)),
    "cancelling": (lambda x: np.sum(x) - np.sum(x[::-1]), X3 / 7),
    "matrix": (lambda x: np.sum((_MATRIX[:, :3] @ x - _MATRIX[:, :3] @ X3) ** 2), X3),
    "axes": (lambda x: np.sum(np.sum(np.outer(x, x), axis=0)) - np.sum(x) ** 2, X3 / 7),
}


@pytest.mark.parametrize("name", MINIMA)
@pytest.mark.parametrize("distance", [1e-3, 1e-6, 1e-9, 1e-12, 0.0])
def test_no_false_alarm_near_zero(name: str, distance: float) -> None:
    f, at = MINIMA[name]
    rec = hs.record(f, verify="always")
    for x in (at + 1.0, at + distance, at + distance * X3, at + 2 * distance):
        for call in (rec, hs.grad(rec), hs.hessian(rec)):
            call(x)
    fresh = hs.record(f, verify="always")
    for _ in range(4):
        assert_allclose(fresh(at + distance * X3), f(at + distance * X3), atol=1e-12)


def test_no_false_alarm_in_long_loops() -> None:
    def chaotic(x: Any) -> Any:
        for _ in range(300):
            x = 3.9 * x * (1 - x)
        return np.sum(x)

    rec = hs.record(chaotic, verify="always")
    for k in range(4):
        x = np.array([0.2, 0.3, 0.4 + 0.01 * k])
        assert_allclose(rec(x), chaotic(x), rtol=1e-9)
        hs.grad(rec)(x)
    agrees(_long, [X3, -X3, 2 * X3], rec=hs.record(_long, verify="always"))


# Infinite partials.

_ROOTS, _ZERO = np.array([1.0, 4.0, 9.0]), np.array([0.0, 4.0, 9.0])


def _assigned_over(x: Any) -> Any:
    y = np.sqrt(x)
    y[0] = 1.0
    return np.sum(y * x)


SINGULAR: dict[str, tuple[Callable[[Any], Any], np.ndarray]] = {
    "where_sqrt": (lambda x: np.sum(np.where(x > 0, np.sqrt(x), 0.0)), _ZERO),
    "where_sqrt_times": (lambda x: np.sum(np.where(x > 0, np.sqrt(x), 0) * x), _ZERO),
    "where_log": (lambda x: np.sum(np.where(x > 0, x * np.log(np.where(x > 0, x, 1)), 0)), _ZERO),
    "where_nan": (lambda x: np.sum(np.where(x >= 0, x**2, np.log(x))), -_ROOTS),
    "nested_where": (lambda x: np.sum(np.where(x > 1, np.where(x > 0, np.sqrt(x), 0), x**2)), _ZERO),
    "norm": (lambda x: np.linalg.norm(x) * (1 + x[0]), np.zeros(3)),
    "log": (lambda x: np.sum(np.log(x)), _ZERO),
    "log_of_negative": (lambda x: np.sum(np.log(x)), -_ROOTS),
    "sqrt": (lambda x: np.sum(np.sqrt(x)), _ZERO),
    "difference_of_infinities": (lambda x: np.sum(np.sqrt(x[0]) * np.ones((2, 2))) - np.sum(np.sqrt(x[1])), 0 * _ZERO),
    "xlogy": (lambda x: np.sum(sc.xlogy(x, x)), _ZERO),
    "reciprocal": (lambda x: np.sum(1 / x), _ZERO),
    "clipped_root": (lambda x: np.sum(np.sqrt(np.clip(x, 0, 5))), _ZERO),
    "prod": (np.prod, np.zeros(3)),
    "prod_one_zero": (np.prod, _ZERO),
    "powers": (lambda x: np.sum(x**1.5) + np.sum(x ** x[::-1]), _ZERO),
    "masked_root": (lambda x: np.sum(np.sqrt(x[x > 0])), _ZERO),
    "root_not_read": (lambda x: np.sum(np.sqrt(x)[1:]), _ZERO),
    "root_times_zero": (lambda x: np.sum(np.sqrt(x) * np.array([0.0, 1.0, 1.0])), _ZERO),
    "root_not_largest": (lambda x: np.max(np.sqrt(x)), _ZERO),
    "root_assigned_over": (_assigned_over, _ZERO),
    "overflow": (lambda x: np.sum(np.exp(x)), 1000 * _ROOTS),
    "softplus": (lambda x: np.sum(np.where(x > 20, x, np.log1p(np.exp(x)))), 1000 * _ROOTS),
    "large": (lambda x: np.sum(x**2), 1e200 * _ROOTS),
    "nan": (lambda x: np.sum(x**2), np.array([np.nan, 1.0, 2.0])),
    "infinite": (lambda x: np.sum(np.tanh(x)), np.array([np.inf, 1.0, 2.0])),
    "hypot": (lambda x: np.hypot(x[0], x[1]) + np.cbrt(x[2]), np.zeros(3)),
    "std": (np.std, np.ones(3)),
}


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize("at_singular_first", [False, True])
@pytest.mark.parametrize("name", SINGULAR)
def test_infinite_partials(name: str, at_singular_first: bool) -> None:
    f, singular = SINGULAR[name]
    rec = hs.record(f)
    xs = [singular, _ROOTS] if at_singular_first else [_ROOTS, singular]
    for x in xs * 2:
        agrees(f, [x], rec=rec)
        H, reference = hs.HessianOperator(rec, x), hs.HessianOperator(f, x)
        assert_same(H.gradient, reference.gradient)
        assert_same(H @ X3, reference @ X3)
        assert_same(H.to_dense(), dense(f, x))
        assert_same(hs.jvp(rec, x, X3), hs.jvp(f, x, X3))


def test_dead_branches_are_zero_through_a_recording() -> None:
    rec = hs.record(lambda x: np.sum(np.where(x > 0, np.sqrt(x), 0)))
    hs.grad(rec)(np.ones(2)), hs.hessian(rec)(np.ones(2))
    assert_array_equal(hs.grad(rec)(np.zeros(2)), np.zeros(2))
    assert_array_equal(hs.hessian(rec)(np.zeros(2)), np.zeros((2, 2)))
    assert rec.stats.plain >= 2


def test_infinite_results_warn_no_more_than_the_plain_function() -> None:
    f = lambda x: np.sum(np.sqrt(x[0])) - np.sum(np.sqrt(x[1]))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        rec = hs.record(f)
        for x in (np.ones((2, 3)), np.zeros((2, 3)), np.ones((2, 3))):
            assert_same(hs.grad(rec)(x), hs.grad(f)(x))
            assert_same(hs.hvp(rec, x, x), hs.hvp(f, x, x))


# Recorded functions inside others.


def _inner(x: Any) -> Any:
    return np.sum(np.sin(x) * x)


@pytest.mark.parametrize(
    "make",
    [
        lambda f: lambda x: f(x) ** 2,
        lambda f: lambda x: np.sum(hs.grad(f)(x) ** 2),
        lambda f: lambda x: hs.hvp(f, x, x) @ x,
        lambda f: lambda x: np.sum(hs.hessian(f)(x) ** 2),
        lambda f: lambda x: hs.jvp(f, x, x**2)[1],
        lambda f: lambda x: np.sum(hs.vjp(f, x)[1](2.0) ** 3),
        lambda f: lambda x: f(hs.grad(f)(x)),
        lambda f: lambda x: np.sum(x * hs.grad(lambda y: f(x + y))(x)),
        lambda f: lambda x: np.sum((hs.HessianOperator(f, x) @ x) ** 2),
    ],
)
def test_inside_other_transforms(make: Callable[[Any], Any]) -> None:
    plain, rec = make(_inner), hs.record(_inner)
    rec(X3), hs.grad(rec)(X3), hs.hessian(rec)(X3)
    outer = make(rec)
    agrees(plain, [X3, 2 * X3], rec=hs.record(outer))
    for x in (X3, 2 * X3):
        assert_same(hs.value_and_grad(outer)(x), hs.value_and_grad(plain)(x))
        assert_same(hs.hessian(outer)(x), hs.hessian(plain)(x))
        assert_same(hs.grad(rec)(x), hs.grad(_inner)(x))


def test_transforms_of_transforms_of_a_recording() -> None:
    rec = hs.record(_inner)
    third = lambda f: hs.grad(lambda x: hs.grad(lambda y: np.sum(hs.grad(f)(y)))(x)[0])
    for x in (X3, 2 * X3):
        assert_same(third(rec)(x), third(_inner)(x))
        assert_same(hs.jacobian(hs.grad(rec))(x), hs.hessian(_inner)(x))
        assert_same(hs.hessian(lambda y: rec(y) * rec(2 * y))(x), hs.hessian(lambda y: _inner(y) * _inner(2 * y))(x))


def test_perturbations_are_not_confused() -> None:
    def f(x: Any) -> Any:
        return x * hs.grad(hs.record(lambda y: x + y))(x)

    assert hs.grad(hs.record(f))(1.0) == 1.0
    assert hs.grad(f)(1.0) == 1.0


def test_a_recorded_function_calls_another() -> None:
    inner = hs.record(_inner)
    f, plain = lambda x: inner(x) * inner(x[::-1] ** 2), lambda x: _inner(x) * _inner(x[::-1] ** 2)
    agrees(plain, [X3, 2 * X3, X3], rec=hs.record(f))


def test_traced_arguments_besides_x() -> None:
    rec = hs.record(lambda x, y: np.sum(x**2 * y))
    f = lambda y: np.sum(hs.grad(rec)(X3, y) ** 2)
    assert_allclose(hs.grad(f)(X3), 8 * X3**2 * X3)
    assert_allclose(hs.grad(hs.record(f))(X3), 8 * X3**2 * X3)


def test_checkpoints_inside_recordings() -> None:
    stretch = hs.checkpoint(lambda x: np.sin(x) * x if x[0] > 0 else np.cos(x))
    f = lambda x: np.sum(stretch(stretch(x)) ** 2)
    agrees(f, [X3, -X3, X3, 0.1 * X3, -X3, 2 * X3])


def test_exceptions_leave_a_recording_usable() -> None:
    calls = []

    def f(x: Any) -> Any:
        calls.append(1)
        if x[0] > 0:
            raise RuntimeError("no")
        return np.sum(x**2)

    rec = hs.record(f)
    for _ in range(3):
        with pytest.raises(RuntimeError, match="no"):
            hs.grad(rec)(X3)
        with pytest.raises(RuntimeError, match="no"):
            hs.hessian(rec)(X3)
        agrees(f, [-X3, -2 * X3], rec=rec)
    assert rec.stats.recordings == 4


def test_interrupted_programs_leave_a_recording_usable() -> None:
    rec = hs.record(lambda A: np.sum(np.linalg.inv(A) ** 2))
    good = np.array([[2.0, 1.0], [0.0, 3.0]])
    expected = hs.grad(rec)(good)
    for _ in range(6):
        with pytest.raises(np.linalg.LinAlgError):
            hs.grad(rec)(np.zeros((2, 2)))
        assert_same(hs.grad(rec)(good), expected)


def test_functions_that_return_the_wrong_thing() -> None:
    rec = hs.record(lambda x: x**2)
    for _ in range(2):
        with pytest.raises(NotScalarError):
            hs.grad(rec)(X3)
        assert_same(rec(X3), X3**2)
    for result in (None, "text"):
        with pytest.raises(DtypeError):
            hs.record(lambda x, result=result: result)(X3)
    assert hs.record(lambda x: 1 + 2j)(X3) == 1 + 2j


@pytest.mark.parametrize("value", [3.0, 2, np.arange(3.0), (1.0, np.ones(2))], ids=str)
def test_constant_functions(value: Any) -> None:
    rec = hs.record(lambda x: value)
    for _ in range(3):
        for a, b in zip(leaves(rec(X3)), leaves(value), strict=True):
            assert_array_equal(a, b)
    gradient = hs.grad(hs.record(lambda x: 3.0))
    for _ in range(3):
        assert_array_equal(gradient(X3), np.zeros(3))


def test_no_arguments_and_unused_arguments() -> None:
    assert hs.record(lambda: 3.0)() == 3.0
    rec = hs.record(lambda x, y: np.sum(x**2))
    for _ in range(2):
        assert_same(hs.grad(rec, argnums=(0, 1))(X3, X3), (2 * X3, 0 * X3))
        assert_same(hs.hessian(rec, argnums=1)(X3, X3), np.zeros((3, 3)))


# Structure of programs: aliases, slices, pieces.

N = 96


def _pieces_reversed(x: Any) -> Any:
    return np.sum(np.sin(x[48:]) * x[:48])


def _column_through_reversed_rows(x: Any) -> Any:
    z = x.reshape(12, 8)
    return np.sum(np.arange(1.0, 13.0)[:, None] * np.cos(z[:, -1:])) + np.sum(np.cos(z[:, 3]))


STRUCTURED: dict[str, Callable[[Any], Any]] = {
    "cut_in_two": lambda x: np.sum(np.sin(x[:48])) * np.sum(x[48:] ** 2),
    "cut_backwards": _pieces_reversed,
    "piece_used_twice": lambda x: np.sum(x[:48] ** 3) + np.sum(x[48:] ** 2) + x[48:][0] ** 3 + x[:48][5] * x[48:][7],
    "slice_of_the_second_piece": lambda x: np.sum(x[:48] ** 3) + np.sum(x[48:] ** 2) + np.sum(x[48:][:5] ** 3),
    "second_piece_joined": lambda x: np.sum(x[:48] ** 3) + np.sum(np.concatenate([x[48:], 2 * x[48:]])[1::2] ** 3),
    "second_piece_padded": lambda x: np.sum(x[:48] ** 3) + np.prod(1 + 0.1 * np.pad(np.sin(x[48:]), (3, 0))),
    "second_piece_updated": lambda x: np.sum(x[:48] ** 3) * _shifted_in_place(x[48:]),
    "piece_of_a_piece": lambda x: (
        np.sum(x[48:] ** 2 * x[:48]) + np.sum(np.concatenate([x[48:], 2 * x[48:]])[1::2] ** 3)
    ),
    "piece_padded": lambda x: (
        np.sum(np.pad(np.sin(x[48:].reshape(6, 8)), 1).prod()) + np.sum(np.sin(np.pad(x[:48], 1)))
    ),
    "piece_in_place": lambda x: _shifted_in_place(x[:48]) * np.sum(x[48:] ** 2),
    "sum_assigned_to_a_piece": lambda x: _sum_assigned(x),
    "shifted_second_piece": lambda x: np.sum(np.sin(x[:48]) * x[:48]) + np.sum(_shifted(x[48:]) ** 3),
    "overlapping": lambda x: np.sum(x[:60] ** 3) * np.sum(x[40:] ** 2),
    "gap": lambda x: np.sum(x[:40] ** 3) * np.sum(x[56:] ** 2),
    "unused": lambda x: np.sum(x[10:20] ** 3),
    "three": lambda x: (
        np.sum(np.tanh(x[:32].reshape(4, 8) @ x[32:64].reshape(8, 4)) * x[64:80].reshape(4, 4)) + x[95] ** 2
    ),
    "whole_and_cut": lambda x: np.sum(x[:48] * x[48:]) + np.sum(x**4),
    "strided": lambda x: np.sum(x[::2] ** 2 * x[1::2]) + np.sum(x[::-3] ** 3),
    "reversed": lambda x: np.sum(x * x[::-1]) + np.sum((x + x[::-1]) ** 3),
    "transposed": lambda x: np.sum((x[:81].reshape(9, 9) + x[:81].reshape(9, 9).T) ** 3),
    "transposed_product": lambda x: np.sum(x[:81].reshape(9, 9) * np.sin(x[:81].reshape(9, 9).T)),
    "gathered_transpose": lambda x: np.sum(
        x.reshape(12, 8).T[np.array([0, 3, 3])] ** 3 * x.reshape(12, 8)[:3, :].sum()
    ),
    "gathered_transpose_flat": lambda x: np.sum(np.take(np.sin(x.reshape(12, 8)).T, np.array([0, 5, 17])) ** 3),
    "repeated_diagonal": lambda x: np.sum(np.repeat(np.outer(x[:5], x[:5]).T, 2) * np.arange(50.0)) ** 2,
    "columns": _column_through_reversed_rows,
    "assigned_column": lambda x: _assigned_column(x),
    "negated_permuted": lambda x: np.sum(
        np.tanh(np.outer(x[:4], np.tanh(-x[4:8]))).T * np.exp(-(np.outer(x[4:8], x[:4]) ** 2))
    ),
    "broadcast_strided": lambda x: np.sum(
        np.broadcast_to(np.sin(x.reshape(12, 8)[:, ::2]), (3, 12, 4)) * np.arange(3.0)[:, None, None]
    ),
    "broadcast_column": lambda x: np.sum((x.reshape(12, 8)[:, :1] + np.zeros((12, 8))) ** 3 * x.reshape(12, 8)),
    "size_one_axes": lambda x: np.sum((x[:12].reshape(1, 12, 1) * x[12:24].reshape(12, 1, 1)).sum(axis=0) ** 2),
    "maximum": lambda x: np.sum(np.maximum(x[:48], x[48:]) ** 3) + np.sum(np.minimum(x, 0.1) ** 2),
    "maximum_in_place": lambda x: np.sum(np.maximum(np.sin(x[:48]), 0.0) * x[48:]),
    "cumulative": lambda x: np.sum(np.cumsum(x.reshape(12, 8), axis=0) ** 2) + np.sum(np.cumsum(x[::-1]) ** 3) / 1e3,
    "five_axes": lambda x: np.sum(np.transpose(x.reshape(2, 3, 4, 2, 2), (4, 2, 0, 3, 1))[1] ** 3),
    "batched_products": lambda x: np.sum(np.tanh(x[:48].reshape(3, 4, 4) @ x[48:].reshape(3, 4, 4)) ** 2),
    "broadcast_products": lambda x: np.sum(np.tanh(x[:48].reshape(3, 4, 4) @ x[48:64].reshape(4, 4)) @ x[64:68]),
}


def _shifted_in_place(x: Any) -> Any:
    y = x * x
    y[1:] += x[:-1]
    y[::2] = y[::2] * y[::2]
    return np.sum(y)


def _sum_assigned(x: Any) -> Any:
    y = x[48:] * 1.0
    y[-1] = np.sum(x[:48])
    return np.sum(y**2)


def _shifted(x: Any) -> Any:
    y = np.copy(x)
    y[:-1] = x[1:]
    y[-1] = 0.5 * y[0]
    return y


def _assigned_column(x: Any) -> Any:
    z = np.zeros_like(x[16:].reshape(10, 8))
    z[..., 0:1] = np.cos(x[16:].reshape(10, 8)[..., -1:])
    return np.sum(np.arange(1.0, 81.0).reshape(10, 8) * z) + np.sum(x[:16] ** 3)


@pytest.mark.parametrize("blocks", [False, True], ids=["", "small_blocks"])
@pytest.mark.parametrize("name", STRUCTURED)
def test_structure(name: str, blocks: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if blocks:
        from hessian.programs.passes import place, restrict
        from hessian.programs.runtime import directions

        monkeypatch.setattr(restrict, "SMALL_GROUP", 1)
        monkeypatch.setattr(directions, "BLOCK_ELEMENTS", 7 * N)
        monkeypatch.setattr(place, "LARGE", 2)
    f = STRUCTURED[name]
    rec = hs.record(f)
    for x in (0.6 * normal(12, N), 0.6 * normal(13, N)):
        matrix = dense(f, x)
        assert_same(hs.value_and_grad(rec)(x), hs.value_and_grad(f)(x))
        assert_same(hs.hessian(rec)(x), matrix)
        assert_same(hs.hvp(rec, x, np.eye(N)[:5]), matrix[:5])
        assert_same(hs.grad_and_hvp(rec, x, x), hs.grad_and_hvp(f, x, x))
        for g in (rec, f):  # operators of plain functions compile their products as well
            H = hs.HessianOperator(g, x)
            assert_same(H.to_dense(), matrix)
            assert_same(H.diagonal(), np.diag(matrix).copy())
            assert_same(H @ np.eye(N)[:, :3], matrix[:, :3].copy())
            for _ in range(4):
                assert_same(H @ x, matrix @ x, rtol=1e-10)


@pytest.mark.parametrize("name", STRUCTURED)
def test_structure_of_float32(name: str) -> None:
    f, x = STRUCTURED[name], (0.6 * normal(12, N)).astype(np.float32)
    exact, rec = hs.hessian(f)(x.astype(float)), hs.record(f)
    found = hs.hessian(rec)(x)
    assert found.dtype == np.float32
    assert_allclose(found, exact, rtol=0, atol=3e-5 * np.max(np.abs(exact)))


def test_structure_of_trees() -> None:
    def f(p: Any) -> Any:
        h = np.tanh(p["w"] @ p["u"].T + p["b"])
        return np.sum(h**2 * p["w"].sum()) + np.sum(p["b"][::-1] * p["b"])

    p = {"b": normal(1, 40), "u": normal(2, 40, 3), "unused": normal(3, 5), "w": normal(4, 2, 3)}
    rec = agrees(f, points(p))
    assert_same(hs.HessianOperator(rec, p).to_dense(), dense(f, p))


# Long batches, which run by rows.

ROWS = 5000


@pytest.mark.parametrize(
    "f",
    [
        lambda w, X: np.mean(np.log1p(np.exp(-(X @ w)))) + 0.5 * w @ w,
        lambda w, X: np.sum(np.tanh(X @ np.outer(w, w)) ** 2),
        lambda w, X: np.sum((X * w).sum(axis=1) ** 2 * X[:, 0]) / len(X),
        lambda w, X: np.mean(np.max(np.sin(X * w), axis=1) + np.linalg.norm(X - w, axis=1)),
        lambda w, X: np.sum(np.cumsum(np.sin(X @ w)) ** 2) / len(X),
        lambda w, X: np.sum((X.T @ np.tanh(X @ w)) ** 2) / len(X),
        lambda w, X: np.mean(hs.special.logsumexp(X[:, None, :4] * w[:6, None], axis=2)),
        lambda w, X: np.sum(np.tanh(w[:20].reshape(4, 5) @ np.tanh(w.reshape(5, 6) @ X[:, :6].T)) ** 2) / len(X),
        lambda w, X: np.sum(np.sin(w.reshape(2, 15) @ X[:, :15].T)[0] * np.cos(X[:, 15:] @ w[15:])) / len(X),
        lambda w, X: np.sum(np.maximum(w.reshape(5, 6) @ X[:, :6].T, 0.0).max(axis=0) ** 2) / len(X),
    ],
)
def test_long_batches(f: Callable[..., Any]) -> None:
    rec, w, rng = hs.record(f), 0.3 * normal(14, 30), np.random.default_rng(15)
    for n in (ROWS, ROWS, ROWS + 1):
        X = rng.standard_normal((n, 30))
        assert_same(hs.value_and_grad(rec)(w, X), hs.value_and_grad(f)(w, X))
        assert_same(hs.grad_and_hvp(rec, w, w**2, X), hs.grad_and_hvp(f, w, w**2, X))
        H, expected = hs.HessianOperator(rec, w, X), hs.hvp(f, w, np.stack([w, w**2]), X)
        assert_same(H @ w, expected[0].copy())
        assert_same(H @ np.stack([w, w**2], axis=1), expected.T.copy())


def test_rows_next_to_a_square_of_their_length(monkeypatch: pytest.MonkeyPatch) -> None:
    """An (n, n) matrix has two axes that could be the rows."""
    from hessian.programs.passes import rows

    monkeypatch.setattr(rows, "MIN_ROWS", 8)
    monkeypatch.setattr(rows, "MIN_WORK", 0)
    monkeypatch.setattr(rows, "BLOCK_BYTES", 128)
    square = normal(16, 12, 12)
    functions: list[Callable[[Any], Any]] = [
        lambda x: np.sum(np.exp(-((x[:, None] - x) ** 2))),
        lambda x: np.sum(square * np.sin(x)),
        lambda x: np.sum(np.tanh(square @ np.sin(x)) * x),
        lambda x: np.sum(np.tanh(square * x[:, None]) @ x),
    ]
    for f in functions:
        agrees(f, [normal(17, 12), normal(18, 12)])


# What a reader sees.


def test_programs_are_readable() -> None:
    rec = hs.record(_tanh_loss)
    assert "_tanh_loss" in repr(rec)
    assert "0 programs" in repr(rec)
    hs.grad(rec)(normal(1, 8))
    hs.HessianOperator(rec, normal(1, 8))
    assert "2 programs" in repr(rec)
    gradient, curvature = rec.programs
    assert repr(gradient) == f"<Program run: {sum(1 for n in gradient.sections[0].nodes if n.operation)} operations>"
    text = str(gradient)
    for part in ("run(v0):", "tanh(", "float64 8", "float64 scalar", "return v"):
        assert part in text
    for name in ("value(", "gradient(", "curve(", "product("):
        assert name in str(curvature)
    for part in ("def bind(", "def run(", "tanh(", "ndarray((8,), dtype_"):
        assert part in gradient.source
    compile(gradient.source, "source", "exec")


def test_statistics_count() -> None:
    rec = hs.record(_steered)
    for x in (X3, X3, X3, -X3, -X3, X3):
        hs.grad(rec)(x)
    stats = rec.stats
    assert (stats.recordings, stats.replays, stats.guard_misses, stats.plain) == (2, 4, 2, 0)
    assert stats.verifications == 3  # the 1st and 2nd replay of one program, the 1st of the other
    assert rec.function is _steered
    assert rec.__name__ == "_steered"
    assert hs.record(rec).function is _steered


def test_a_printed_program_says_what_its_guards_have_to_see() -> None:
    recorded = hs.record(lambda x: np.sum(x**2) if x[0] > 0 else np.sum(x[x > -1]))
    recorded(np.ones(2))
    recorded(-0.5 * np.ones(6))
    first, second = map(str, recorded.programs)
    assert first.splitlines()[-2].split()[0::2] == ["guard", "True"]
    assert [line.split(": ")[1] for line in second.splitlines() if "guard" in line] == ["False", "as recorded, 6"]
