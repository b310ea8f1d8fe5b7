"""Random programs: plain sweeps, recorded programs and JAX agree on functions nobody thought of."""

from __future__ import annotations

import contextlib
import os
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from functions import direction, flatten, leaves, map_leaves
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import hessian as hs
from hessian.errors import HessianError
from hessian.programs import directions, layout, rows

#: More examples for a hunt: HESSIAN_EXAMPLES=20000 pytest tests/test_programs_random.py
EXAMPLES = int(os.environ.get("HESSIAN_EXAMPLES", "60"))
TOLERANCE = 1e-10
#: Values of more elements or axes are dropped, so that programs stay small.
LARGEST, AXES = 80, 5

_NUMBERS = np.random.default_rng(12345).standard_normal(1000)


def fixed(shape: tuple[int, ...], k: int) -> np.ndarray:
    """Give a constant array of a shape; ``k`` chooses which."""
    count = int(np.prod(shape, dtype=int))
    start = (37 * k) % 500
    return _NUMBERS[start : start + count].reshape(shape).copy()


def fits(x: Any, y: Any) -> bool:
    """Tell whether two values broadcast."""
    try:
        np.broadcast_shapes(x.shape, y.shape)
    except ValueError:
        return False
    return True


def assign(z: Any, index: Any, value: Any) -> Any:
    """Assign in place; in JAX, return the array with the value assigned."""
    if hasattr(z, "at"):
        return z.at[index].set(value)
    z[index] = value
    return z


# Operations: ``f(xp, x, y, k)`` makes a value of two others and a number. Each is defined for all shapes.

Operation = Callable[[Any, Any, Any, int], Any]
OPERATIONS: list[Operation] = []


def operation(f: Operation) -> Operation:
    OPERATIONS.append(f)
    return f


@operation
def elementary(xp: Any, x: Any, y: Any, k: int) -> Any:
    functions = [xp.sin, xp.tanh, xp.arctan, lambda x: xp.exp(-x * x), lambda x: xp.sqrt(1.5 + x**2), xp.negative]
    functions += [lambda x: 0.5 * x * x, lambda x: 0.5 * x**2, lambda x: 0.5 * xp.square(x), lambda x: 1 / (2 + x * x)]
    return functions[k % len(functions)](x)


@operation
def add(xp: Any, x: Any, y: Any, k: int) -> Any:
    return (x + y if k % 2 else y - x) if fits(x, y) else x - xp.sum(y)


@operation
def multiply(xp: Any, x: Any, y: Any, k: int) -> Any:
    return (x * xp.tanh(y) if k % 2 else -0.5 * x * y) if fits(x, y) else x * xp.sum(xp.sin(y))


@operation
def divide(xp: Any, x: Any, y: Any, k: int) -> Any:
    return x / (1.5 + y * y) if fits(x, y) else -x / (2 + x * x)


@operation
def select(xp: Any, x: Any, y: Any, k: int) -> Any:
    mask = x > 0.05 if k % 2 else fixed(x.shape, k) > 0
    return xp.where(mask, x, y) if fits(x, y) else xp.where(mask, -x, [0.0, 1.5, xp.sin(x)][k % 3])


@operation
def extremes(xp: Any, x: Any, y: Any, k: int) -> Any:
    if k % 2 or not x.size or not x.ndim:
        return xp.maximum(x, y) if fits(x, y) else xp.minimum(x, 0.1)
    z = x + fixed(x.shape, k)
    return [xp.max(z), xp.max(z, axis=0), xp.min(z, axis=-1), xp.max(z, axis=0, keepdims=True)][k // 2 % 4]


@operation
def with_number(xp: Any, x: Any, y: Any, k: int) -> Any:
    number = [1, 0, -1, 0.5, 2.0, -0.3][k % 6]
    return [x + number, number - x, number * x, x * number][k // 6 % 4]


@operation
def with_constant(xp: Any, x: Any, y: Any, k: int) -> Any:
    shape = [x.shape, (2, *x.shape), x.shape[-1:], (1,) * x.ndim, (1, *x.shape)][k % 5]
    return fixed(shape, k) * x if k % 2 else x - fixed(shape, k)


@operation
def matrix_product(xp: Any, x: Any, y: Any, k: int) -> Any:
    if not x.ndim:
        return x * xp.cos(x)
    n, m = x.shape[-1], x.shape[-2] if x.ndim > 1 else x.shape[-1]
    shapes = [(n,), (n, 1 + k % 3), (2, n, 2)]
    if k % 2:
        return x @ fixed(shapes[k // 2 % 3] if x.ndim > 1 else shapes[k // 2 % 2], k)
    return fixed([(m,), (1 + k % 3, m), (2, 2, m)][k // 2 % 3 if x.ndim > 1 else k // 2 % 2], k) @ x


@operation
def product_of_values(xp: Any, x: Any, y: Any, k: int) -> Any:
    inner = y.shape[-2] if y.ndim > 1 else y.shape[-1] if y.ndim else -1
    if x.ndim and y.ndim and x.shape[-1] == inner and (x.ndim < 3 or y.ndim < 3):
        return xp.tanh(x) @ y
    if x.ndim > 1:
        return x @ xp.swapaxes(xp.sin(x), -1, -2)
    return [x @ xp.sin(x), xp.dot(x, x), xp.inner(x, x), xp.vdot(x, xp.cos(x))][k % 4] if x.ndim else x * x


@operation
def outer_and_einsum(xp: Any, x: Any, y: Any, k: int) -> Any:
    if x.ndim == 2 and k % 2:
        subscripts = ["ij,kj->ik", "ij,ij->j", "ij,ij->ji"][k // 2 % 3]
        return xp.einsum(subscripts, x, xp.sin(x))
    return xp.outer(xp.tanh(x), y)


_SLICES: list[Any] = [
    *(np.s_[::-1], np.s_[..., 0], np.s_[0], np.s_[-1], np.s_[1:], np.s_[..., None], np.s_[None], np.s_[::2]),
    *(np.s_[..., ::-1], np.s_[:, None], np.s_[..., 0:1], np.s_[-2:], np.s_[1:-1], np.s_[..., -1, :], np.s_[0:0]),
    *(np.s_[::-2, ..., 1:], np.s_[-1::-1], np.s_[:2], np.s_[:, 0], np.s_[...], np.s_[None, ..., None, ::-1]),
]


@operation
def part(xp: Any, x: Any, y: Any, k: int) -> Any:
    index = _SLICES[k % len(_SLICES)]
    try:
        np.empty(x.shape)[index]
    except IndexError:
        return x[None]
    return x[index]


@operation
def reshaped(xp: Any, x: Any, y: Any, k: int) -> Any:
    n = x.size
    shapes: list[tuple[int, ...]] = [(n,), (1, n), (n, 1), (1, n, 1)]
    shapes += [(d, n // d) for d in (2, 3) if n % d == 0] + [(n // 2, 1, 2)] * (n % 2 == 0)
    return xp.reshape(x, shapes[k % len(shapes)])


@operation
def transposed(xp: Any, x: Any, y: Any, k: int) -> Any:
    return [x.T, xp.swapaxes(x, 0, -1), xp.moveaxis(x, 0, -1)][k % 3] if x.ndim > 1 else x[None].T


@operation
def with_itself(xp: Any, x: Any, y: Any, k: int) -> Any:
    if x.ndim == 2 and x.shape[0] == x.shape[1]:
        return [x + x.T, x * x.T, x - x.T, x @ x.T, x.T @ x, x @ x][k % 6]
    return [x + x[::-1], x * x[::-1], x - x[::-1]][k % 3] if x.ndim else x + x


@operation
def joined(xp: Any, x: Any, y: Any, k: int) -> Any:
    if k % 3 == 0:
        return xp.stack([x, y if x.shape == y.shape else xp.sin(x)], axis=-(k // 3 % 2))
    if x.ndim and x.ndim == y.ndim:
        for axis in range(x.ndim):
            if x.shape[:axis] + x.shape[axis + 1 :] == y.shape[:axis] + y.shape[axis + 1 :]:
                return xp.concatenate([x, y] if k % 2 else [y, 2 * x, y], axis=axis)
    return xp.concatenate([xp.ravel(x), xp.ravel(y)])


@operation
def summed(xp: Any, x: Any, y: Any, k: int) -> Any:
    if x.ndim > 1 and k % 3 == 0:
        return xp.sum(x, axis=[(0, 1), (0, -1), (-2, -1)][k // 3 % 3])
    if x.ndim and k % 3 == 1:
        return xp.sum(x, axis=k // 3 % x.ndim, keepdims=bool(k % 2))
    return xp.mean(x) if x.size else xp.sum(x)


@operation
def accumulated(xp: Any, x: Any, y: Any, k: int) -> Any:
    z = 1 + 0.1 * xp.sin(x)
    if not x.ndim:
        return z
    return [xp.cumsum(x, axis=k // 3 % x.ndim), xp.cumsum(x), xp.prod(z, axis=0), xp.prod(z)][k % 4]


@operation
def gathered(xp: Any, x: Any, y: Any, k: int) -> Any:
    if not x.ndim or not x.size:
        return x
    n, m = x.shape[0], x.shape[-1]
    index: Any = [[0, n - 1, 0], [[0, n // 2], [n - 1, 0]], list(range(n))[::-1], [-1]][k % 4]
    if k % 5 == 0 and x.ndim > 1:
        pair = np.arange(max(n, m))
        return x[pair % n, ..., pair % m] if k % 2 else x[..., np.array([0, m - 1, 0])]
    if k % 5 == 1:
        return x[np.array([True] + [False] * (n - 1))]
    return xp.take(x, np.array(index), axis=0 if k % 2 else None) if k % 5 == 2 else x[np.array(index)]


@operation
def moved(xp: Any, x: Any, y: Any, k: int) -> Any:
    if x.ndim in (1, 2) and x.size and k % 3 == 0:
        return xp.pad(x, 1) if k % 2 else xp.diag(x)
    return [xp.repeat(x, 2), xp.tile(x, 2), xp.roll(x, 1), xp.flip(x), xp.tril(x) if x.ndim > 1 else x][k % 5]


@operation
def broadcast(xp: Any, x: Any, y: Any, k: int) -> Any:
    return xp.broadcast_to(x, [(2, *x.shape), (1, *x.shape), x.shape][k % 3])


@operation
def normalized(xp: Any, x: Any, y: Any, k: int) -> Any:
    weights = xp.exp(xp.tanh(x))
    return weights / xp.sum(weights, axis=-1, keepdims=True) if x.ndim else weights


@operation
def assigned(xp: Any, x: Any, y: Any, k: int) -> Any:
    if not x.ndim or not x.shape[0]:
        return x
    z = xp.zeros_like(x) if k % 2 else x * 1.0
    cases: list[tuple[Any, Any]] = [
        *((0, x[-1] * x[-1]), (np.s_[::-1], xp.sin(x)), (np.array([0]), 1.5), (np.s_[..., 0:1], xp.cos(x[..., -1:]))),
        *((-1, xp.sum(y)), (np.s_[1:], 2.0), (np.s_[...], -x), (fixed(x.shape, k) > 0, 0.25)),
    ]
    index, value = cases[k // 2 % len(cases)]
    return assign(z, index, value) if not isinstance(index, tuple) or x.shape[-1] else z


@operation
def updated(xp: Any, x: Any, y: Any, k: int) -> Any:
    if not x.ndim or x.shape[0] < 2:
        return x
    z = xp.copy(x)
    if k % 4 == 0:
        return assign(z, np.s_[1:], z[1:] + x[:-1])
    if k % 4 == 1:
        return assign(z, np.s_[::2], z[::2] * z[::2])
    if k % 4 == 2:
        z *= x
        return assign(z, 0, z[0] - 1.0)
    z = assign(z, np.s_[:-1], x[1:])
    return assign(z, -1, 0.5 * z[0])


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
    homes = {"LARGE": layout, "SMALL_GROUP": directions, "BLOCK_ELEMENTS": directions}
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
