"""Operations that random programs are made of, for NumPy and for JAX."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

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
