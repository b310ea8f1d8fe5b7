"""Random programs: plain sweeps, recorded programs and JAX agree on functions nobody thought of."""

from __future__ import annotations

import contextlib
import os
import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from functions import direction, flatten, leaves, map_leaves
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from random_operations import OPERATIONS, fixed

import hessian as hs
from hessian.errors import HessianError
from hessian.programs.passes import place, restrict, rows
from hessian.programs.runtime import directions

#: More examples for a hunt: HESSIAN_EXAMPLES=20000 pytest tests/test_programs_random.py
EXAMPLES = int(os.environ.get("HESSIAN_EXAMPLES", "60"))
TOLERANCE = 1e-10
#: Values of more elements or axes are dropped, so that programs stay small.
LARGEST, AXES = 80, 5

# Parameters: a flat vector cut into pieces (apart, with gaps, overlapping, used twice, backwards), a dictionary, an array.

Cut = tuple[int, list[tuple[int, int, tuple[int, ...]]]]
PARAMETERS: list[Any] = [
    *((12, [(0, 12, (3, 4))]), (12, [(0, 4, (2, 2)), (4, 8, (4,)), (8, 12, (4, 1))])),
    *((10, [(0, 6, (2, 3)), (4, 10, (3, 2))]), (9, [(0, 3, (3,)), (5, 9, (2, 2))])),
    *((8, [(4, 8, (4,)), (0, 4, (4,)), (4, 8, (2, 2))]), (7, [(0, 1, (1,)), (1, 7, (2, 3)), (3, 4, (1, 1))])),
    *((8, [(0, 4, (2, 2)), (4, 8, (4,))]), (9, [(0, 3, (3,)), (3, 9, (6,)), (3, 9, (2, 3))])),
    *((70, [(0, 35, (5, 7)), (35, 70, (35,))]), (80, [(40, 80, (5, 8)), (0, 40, (40,))]), (5, [(0, 5, (5,))])),
    *([(2, 3), (3,)], [(), (3,), (1, 2)], [(2, 2), (2, 2), (4,)], [(0,), (2,), (2, 0, 3)]),
    *((2, 1, 3), (), (2, 2), (1,), (3, 3), (2, 1, 2, 2)),
]


def is_cut(parameters: Any) -> bool:
    return isinstance(parameters, tuple) and len(parameters) == 2 and isinstance(parameters[1], list)


def pieces(parameters: Any, p: Any) -> list[Any]:
    """Take parameters apart into the first values of a program."""
    if is_cut(parameters):
        return [p[start:stop].reshape(shape) for start, stop, shape in parameters[1]]
    return list(p.values()) if isinstance(parameters, list) else [p]


def point(parameters: Any, seed: int) -> Any:
    """Draw parameters."""
    rng = np.random.default_rng(seed)
    draw = lambda shape: np.asarray(rng.standard_normal(shape))[()]
    if is_cut(parameters):
        return draw(parameters[0])
    if isinstance(parameters, list):
        return {f"p{i}": draw(shape) for i, shape in enumerate(parameters)}
    return draw(parameters)


class Program:
    """A random function: steps that make values of earlier ones; the last few values are summed up."""

    def __init__(self, parameters: Any, steps: list[tuple[int, int, int, int]], last: int) -> None:
        self.parameters = parameters
        self.steps = steps
        self.last = last

    def __repr__(self) -> str:
        steps = ", ".join(f"{OPERATIONS[i % len(OPERATIONS)].__name__}{tuple(rest)}" for i, *rest in self.steps)
        return f"Program({self.parameters}, steps=[{steps}], last={self.last}); as given: {self.steps}"

    def __call__(self, p: Any, xp: Any = np) -> Any:
        values = pieces(self.parameters, p)
        for i, a, b, k in self.steps:
            x, y = values[-1 - a % len(values)], values[-1 - b % len(values)]
            made = OPERATIONS[i % len(OPERATIONS)](xp, x, y, k)
            if made.size <= LARGEST and made.ndim <= AXES:
                values.append(made)
        total = 0.0
        for k, value in enumerate(values[-1 - self.last :]):
            total = total + xp.sum(fixed(value.shape, k + 3) * value) + xp.sum(xp.sin(value) * value)
        return total


def is_tiled(parameters: Any) -> bool:
    """Tell whether the pieces of a flat vector cover it without overlap: its Hessian is then computed by blocks."""
    if not is_cut(parameters):
        return False
    ends = sorted({(start, stop) for start, stop, _ in parameters[1]})
    edges = [0, *(edge for end in ends for edge in end), parameters[0]]
    return len(ends) > 1 and edges[::2] == edges[1::2]


_small = st.integers(0, 5)


def programs_of(parameters: list[Any]) -> st.SearchStrategy[Program]:
    step = st.tuples(st.integers(0, len(OPERATIONS) - 1), _small, _small, st.integers(0, 29))
    return st.builds(Program, st.sampled_from(parameters), st.lists(step, min_size=1, max_size=9), st.integers(0, 3))


programs = programs_of(PARAMETERS)

fixed_examples = settings(
    max_examples=EXAMPLES,
    derandomize=True,
    database=None,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much, HealthCheck.data_too_large],
)


def batch_of_directions(x: Any, batch: tuple[int, ...], seed: int) -> Any:
    rng = np.random.default_rng(seed)
    return map_leaves(lambda leaf: rng.standard_normal((*batch, *np.shape(leaf))), x)


def assert_close(actual: Any, expected: Any, what: str) -> None:
    """Compare trees, relative to the largest number of the expected one."""
    assert len(leaves(actual)) == len(leaves(expected)), what
    for a, b in zip(leaves(actual), leaves(expected), strict=True):
        assert a.shape == b.shape, what
        assert a.dtype == b.dtype, what
    a, b = flatten(actual), flatten(expected)
    difference = np.max(np.abs(a - b), initial=0.0)
    assert difference <= TOLERANCE * max(1.0, np.max(np.abs(b), initial=0.0)), (what, difference)


def matrix_of(blocks: Any, x: Any) -> np.ndarray:
    """Lay nested blocks of a Hessian out as one matrix."""
    sizes = [np.size(leaf) for leaf in leaves(x)]
    found = iter(leaves(blocks))
    return np.block([[next(found).reshape(m, n) for n in sizes] for m in sizes])


def plain_derivatives(f: Program) -> list[Any] | None:
    """Return points with value, gradient and Hessian by plain sweeps; ``None`` if f fails or its numbers are too large."""
    found = []
    for seed in range(2):
        x = point(f.parameters, seed)
        try:
            value, gradient = hs.value_and_grad(f)(x)
        except (HessianError, TypeError, ValueError):
            return None  # operations may refuse shapes; they then refuse them in a recording as well
        blocks = hs.hessian(f)(x)
        if not np.all(np.abs(flatten([value, gradient, blocks])) < 1e5):
            return None
        found.append((x, value, gradient, blocks))
    return found


def check(f: Program) -> None:
    """Compare recordings of a program with plain sweeps, at two points, each twice."""
    plain = plain_derivatives(f)
    if plain is None:
        return
    rec = hs.record(f, verify="always")
    for i, (x, value, gradient, blocks) in enumerate(plain + plain[:1]):
        matrix, v, V = matrix_of(blocks, x), direction(x, i), batch_of_directions(x, (3,), i)
        before = flatten(x)
        assert_close(rec(x), value, "value")
        assert_close(hs.value_and_grad(rec)(x), (value, gradient), "gradient")
        assert_close(hs.grad_and_hvp(rec, x, v), hs.grad_and_hvp(f, x, v), "product")
        assert_close(hs.hessian(rec)(x), blocks, "hessian")
        assert_close(hs.hvp(rec, x, V), hs.hvp(f, x, V), "products")
        assert_close(hs.jvp(rec, x, V), hs.jvp(f, x, V), "slopes")
        if len(matrix):
            for name, g in {"recorded": rec, "plain": f}.items():  # operators of plain functions compile as well
                H = hs.HessianOperator(g, x)
                assert_close(H.to_dense(), matrix, f"{name} operator, dense")
                assert_close(H.diagonal(), np.diag(matrix), f"{name} operator, diagonal")
                for _ in range(2):
                    w = flatten(v)
                    assert_close(H @ w, matrix @ w, f"{name} operator, product")
                    W = np.stack([w, -w, 2 * w], axis=1)
                    assert_close(H @ W, matrix @ W, f"{name} operator, products")
        np.testing.assert_array_equal(flatten(x), before)
    assert rec.stats.plain == 0


@contextlib.contextmanager
def constants(**values: int) -> Iterator[None]:
    """Set the sizes from which programs treat values in another way, so that small ones reach every way."""
    homes = {"LARGE": place, "SMALL_GROUP": restrict, "BLOCK_ELEMENTS": directions}
    homes |= {"MIN_ROWS": rows, "MIN_WORK": rows, "BLOCK_BYTES": rows}
    with pytest.MonkeyPatch.context() as patch:
        for name, value in values.items():
            patch.setattr(homes[name], name, value)
        yield


def named(parameters: Any, steps: list[tuple[str, int, int, int]], last: int) -> Program:
    """Make a program of the names of its operations."""
    names = [f.__name__ for f in OPERATIONS]
    return Program(parameters, [(names.index(name), a, b, k) for name, a, b, k in steps], last)


#: Found by long runs.
FOUND: dict[str, tuple[Program, dict[str, int]]] = {
    "view_of_scratch_memory": (
        named(
            (1,),
            [
                *(("accumulated", 0, 4, 7), ("with_itself", 2, 0, 4), ("normalized", 1, 4, 24)),
                *(("multiply", 5, 3, 18), ("divide", 0, 1, 5), ("gathered", 4, 3, 20)),
            ],
            1,
        ),
        {"SMALL_GROUP": 1, "BLOCK_ELEMENTS": 50},
    ),
    "nothing_but_constants_left": (
        named((70, [(0, 35, (5, 7)), (35, 70, (35,))]), [("updated", 2, 4, 3)], 2),
        {},
    ),
    "broadcast_of_a_strided_value": (
        named((8, [(0, 4, (2, 2)), (4, 8, (4,))]), [("assigned", 0, 3, 24), ("add", 0, 4, 23)], 0),
        {},
    ),
    "gather_of_a_transpose": (
        named(
            (80, [(40, 80, (5, 8)), (0, 40, (40,))]),
            [
                *(("with_constant", 1, 3, 28), ("divide", 0, 5, 29), ("outer_and_einsum", 1, 5, 5)),
                *(("joined", 3, 5, 23), ("moved", 1, 4, 25)),
            ],
            0,
        ),
        {},
    ),
    "columns_of_a_long_batch": (
        named((12, [(0, 12, (3, 4))]), [("matrix_product", 0, 2, 14)], 0),
        {"MIN_ROWS": 3, "MIN_WORK": 0, "BLOCK_BYTES": 64, "LARGE": 4},
    ),
    "part_of_a_restricted_piece": (
        named(
            (9, [(0, 3, (3,)), (3, 9, (6,)), (3, 9, (2, 3))]),
            [("accumulated", 1, 3, 27), ("divide", 0, 4, 20), ("matrix_product", 4, 4, 28)],
            1,
        ),
        {"SMALL_GROUP": 1, "BLOCK_ELEMENTS": 50},
    ),
}


@pytest.mark.parametrize("name", FOUND)
def test_programs_found_by_long_runs(name: str) -> None:
    f, sizes = FOUND[name]
    assert plain_derivatives(f) is not None
    with constants(**sizes):
        check(f)


@fixed_examples
@given(programs)
def test_recordings_equal_plain_sweeps(f: Program) -> None:
    check(f)


@fixed_examples
@given(programs)
def test_with_results_in_memory_of_their_own(f: Program) -> None:
    with constants(LARGE=2):
        check(f)


@settings(fixed_examples, max_examples=2 * EXAMPLES)
@given(programs_of([parameters for parameters in PARAMETERS if is_tiled(parameters)]))
def test_in_small_blocks_of_directions(f: Program) -> None:
    with constants(SMALL_GROUP=1, BLOCK_ELEMENTS=50):
        check(f)


@fixed_examples
@given(programs)
def test_in_blocks_of_rows(f: Program) -> None:
    with constants(MIN_ROWS=3, MIN_WORK=0, BLOCK_BYTES=64, LARGE=4):
        check(f)


@settings(fixed_examples, max_examples=min(EXAMPLES, 12))
@given(programs)
def test_jax_agrees(f: Program) -> None:
    jax = pytest.importorskip("jax")
    jnp = pytest.importorskip("jax.numpy")
    plain = plain_derivatives(f)
    if plain is None:
        return
    with warnings.catch_warnings(), jax.enable_x64(True) if hasattr(jax, "enable_x64") else _experimental_x64():
        warnings.simplefilter("ignore")
        of = lambda p: f(p, jnp)
        everything = jax.jit(lambda p: (of(p), jax.grad(of)(p), jax.hessian(of)(p)))
        for x, _, _, _ in plain[:1]:
            value, gradient, blocks = everything(x)
            rec = hs.record(f)
            for _ in range(2):
                assert_close(
                    hs.value_and_grad(rec)(x), (np.asarray(value), map_leaves(np.asarray, gradient)), "gradient"
                )
                assert_close(hs.hessian(rec)(x), map_leaves(np.asarray, blocks), "hessian")


def _experimental_x64() -> Any:
    from jax.experimental import enable_x64

    return enable_x64()
