"""Steps of random programs: each takes a machine, two values and a number that says which, and returns a value or None."""

from __future__ import annotations

import operator
from collections.abc import Callable
from numbers import Real
from typing import Any

import numpy as np
from random_operations import OPERATIONS, fixed

Step = Callable[[Any, Any, Any, int], Any]


def by_operation(f: Callable[..., Any]) -> Step:
    """Make a step of an operation of random programs."""
    return lambda m, x, y, k: m.make(lambda xp, x, y: f(xp, x, y, k), x, y)


def fitted(xp: Any, shape: tuple[int, ...], y: Any) -> Any:
    """Return y where it broadcasts into a shape, else its sum."""
    into = y.ndim <= len(shape) and all(n in (1, s) for n, s in zip(y.shape[::-1], shape[::-1], strict=False))
    return y if into else xp.sum(xp.tanh(y))


def square(xp: Any, x: Any) -> Any:
    """Return a square matrix near three times the identity."""
    n = min(x.shape[-2:]) if x.ndim > 1 else 2
    core = x.reshape(-1, *x.shape[-2:])[0, :n, :n] if x.ndim > 1 and x.size else xp.ones((2, 2)) * xp.sum(x)
    return 3.0 * xp.eye(n) + 0.3 * xp.tanh(core)


MORE: list[Callable[[Any, Any, Any], Any]] = [
    lambda xp, x, y: xp.linalg.norm(xp.sin(x) + 2.0),
    lambda xp, x, y: xp.linalg.norm(x + fixed(x.shape, 3), axis=-1) if x.ndim and x.size else xp.cosh(xp.tanh(x)),
    lambda xp, x, y: xp.std(x * fixed(x.shape, 9) + fixed(x.shape, 8)) if x.size > 1 else x,
    lambda xp, x, y: xp.var(x, axis=0) if x.ndim and x.shape[0] else x,
    lambda xp, x, y: xp.hypot(x, 1.0 + fitted(xp, x.shape, y) ** 2),
    lambda xp, x, y: xp.logaddexp(x, fitted(xp, x.shape, y)),
    lambda xp, x, y: xp.log1p(x * x) - xp.expm1(-xp.abs(x - 0.0123)),
    lambda xp, x, y: xp.arcsinh(x) ** 3 + (1.2 + xp.tanh(x)) ** fixed(x.shape, 2),
    lambda xp, x, y: (1.2 + xp.tanh(x)) ** xp.sin(fitted(xp, x.shape, y)),
    lambda xp, x, y: xp.linalg.solve(square(xp, x), square(xp, y)[:, :1] * 0 + xp.sum(y)) if x.ndim > 1 else x,
    lambda xp, x, y: xp.linalg.inv(square(xp, x)),
    lambda xp, x, y: xp.linalg.det(square(xp, x)),
    lambda xp, x, y: xp.linalg.slogdet(square(xp, x))[1],
    lambda xp, x, y: xp.linalg.cholesky(square(xp, x) @ square(xp, x).T),
    lambda xp, x, y: xp.trace(square(xp, x) @ square(xp, y)) if square(xp, x).shape == square(xp, y).shape else x,
    lambda xp, x, y: xp.kron(x, fixed((2,), 4)) if x.ndim == 1 else xp.tensordot(x, fixed(x.shape, 5), x.ndim),
    lambda xp, x, y: xp.cumprod(1.0 + 0.2 * xp.sin(x)),
    lambda xp, x, y: xp.diff(x, axis=0) if x.ndim and x.shape[0] > 1 else x,
    lambda xp, x, y: xp.sort(x + fixed(x.shape, 6), axis=0) if x.ndim else x,
    lambda xp, x, y: xp.clip(x, -0.7 + 0.01 * fixed((), 1), 0.6),
    lambda xp, x, y: xp.abs(x + fixed(x.shape, 7)) * xp.sign(x - 0.01) + xp.floor(x),
    lambda xp, x, y: xp.trapezoid(xp.sin(x), axis=-1) if x.ndim and x.shape[-1] > 1 else x,
    lambda xp, x, y: xp.linalg.norm(x) ** 2 + xp.abs(xp.sum(x)) ** 2,
    lambda xp, x, y: xp.average(x, axis=-1, weights=1.0 + fixed(x.shape[-1:], 3) ** 2) if x.ndim and x.size else x,
    lambda xp, x, y: xp.vstack([x, 2.0 * x]) if x.ndim < 3 else xp.hstack([x, x]),
    lambda xp, x, y: xp.column_stack([x, xp.cos(x)]) if x.ndim in (1, 2) else x,
    lambda xp, x, y: xp.cross(x, fixed((3,), 4)) if x.shape == (3,) else xp.tan(0.3 * xp.tanh(x)),
]


def more(m: Any, x: Any, y: Any, k: int) -> Any:
    return m.make(lambda xp, x, y: MORE[k % len(MORE)](xp, x, y), x, y)


# Views: what NumPy makes of them is a view or a copy, by how the value lies in memory.

VIEWS: list[Callable[[Any, Any], Any]] = [
    lambda xp, x: x.T,
    lambda xp, x: x.ravel(),
    lambda xp, x: x.reshape(-1),
    lambda xp, x: xp.reshape(x, -1, order="F"),
    lambda xp, x: x[::-1] if x.ndim else x[None],
    lambda xp, x: x[1:] if x.ndim else x,
    lambda xp, x: x[..., 0] if x.ndim and x.shape[-1] else x[None],
    lambda xp, x: x[0] if x.ndim and x.shape[0] else x,
    lambda xp, x: x[-1, ...] if x.ndim and x.shape[0] else x,
    lambda xp, x: xp.flip(x, 0) if x.ndim else x,
    lambda xp, x: xp.squeeze(x),
    lambda xp, x: xp.expand_dims(x, 0),
    lambda xp, x: xp.swapaxes(x, 0, -1) if x.ndim else x,
    lambda xp, x: xp.moveaxis(x, 0, -1) if x.ndim else x,
    lambda xp, x: xp.atleast_2d(x),
    lambda xp, x: xp.rot90(x) if x.ndim > 1 else x,
    lambda xp, x: xp.array_split(x, 2)[1] if x.ndim else x,
    lambda xp, x: x.real,
    lambda xp, x: x.copy(),
    lambda xp, x: x.flatten(),
    lambda xp, x: xp.ravel(x.T)[::2],
    lambda xp, x: x.reshape(-1)[1:-1],
    lambda xp, x: x[..., ::2] if x.ndim else x,
    lambda xp, x: x[:2, None] if x.ndim else x,
    lambda xp, x: xp.copy(x.T),
    lambda xp, x: xp.broadcast_to(x, (2, *x.shape)),
    lambda xp, x: xp.diag(x) if x.ndim == 2 else x,
    lambda xp, x: xp.transpose(x)[..., None],
]


def view(m: Any, x: Any, y: Any, k: int) -> Any:
    return m.make(lambda xp, x: VIEWS[k % len(VIEWS)](xp, x), x)


# Changes in place: what is done, and what x is afterwards.


def _divided(x: Any, w: Any) -> Any:
    x /= 1.5 + w * w
    return x


def _rows(x: Any, w: Any) -> Any:
    for i, row in enumerate(x):
        row *= 0.5 + i
    return x


def _swapped(x: Any, w: Any) -> Any:
    x[0], x[-1] = x[-1], x[0]
    return x


def _after_rows(xp: Any, x: Any, w: Any) -> Any:
    return x * (0.5 + np.arange(len(x))).reshape(-1, *[1] * (x.ndim - 1)) if x.ndim > 1 else x


def _after_swap(xp: Any, x: Any, w: Any) -> Any:
    return x.at[0].set(x[-1]) if x.ndim > 1 else x.at[0].set(x[-1]).at[-1].set(x[0])


def _sorted(x: Any, w: Any) -> Any:
    x.sort(axis=-1)
    return x


def _filled(x: Any, w: Any) -> Any:
    x.fill(0.25)
    return x


def _overlapping(x: Any, w: Any) -> Any:
    x[1:] += x[:-1]
    return x


def _reversed(x: Any, w: Any) -> Any:
    x[::-1] = x
    return x


def _at(x: Any, w: Any) -> Any:
    np.add.at(x, [0, len(x) - 1, 0], 0.5)
    np.subtract.at(x, [0, 0], np.sum(w))
    return x


def _multiplied_into(x: Any, w: Any) -> Any:
    return np.multiply(x, np.tanh(w), out=x)


def _where(x: Any, w: Any) -> Any:
    return np.subtract(x, w, out=x, where=fixed(x.shape, 11) > 0)


#: (act, value, least number of axes)
CHANGES: list[tuple[Callable[..., Any], Callable[..., Any], int]] = [
    (lambda x, w: operator.iadd(x, w), lambda xp, x, w: x + w, 0),
    (lambda x, w: operator.isub(x, 0.5 * w), lambda xp, x, w: x - 0.5 * w, 0),
    (lambda x, w: operator.imul(x, np.sin(w)), lambda xp, x, w: x * xp.sin(w), 0),
    (lambda x, w: operator.imul(x, 2.0), lambda xp, x, w: x * 2.0, 0),
    (_divided, lambda xp, x, w: x / (1.5 + w * w), 0),
    (_multiplied_into, lambda xp, x, w: x * xp.tanh(w), 1),
    (lambda x, w: np.add(w, x, out=x), lambda xp, x, w: w + x, 1),
    (lambda x, w: np.sin(x, out=x), lambda xp, x, w: xp.sin(x), 1),
    (lambda x, w: np.maximum(x, w, out=x), lambda xp, x, w: xp.maximum(x, w), 1),
    (_where, lambda xp, x, w: xp.where(fixed(x.shape, 11) > 0, x - w, x), 1),
    (_rows, _after_rows, 1),
    (_swapped, _after_swap, 1),
    (_sorted, lambda xp, x, w: xp.sort(x, axis=-1), 1),
    (_filled, lambda xp, x, w: xp.full_like(x, 0.25), 1),
    (_overlapping, lambda xp, x, w: x.at[1:].add(x[:-1]), 1),
    (_reversed, lambda xp, x, w: x[::-1], 1),
    (_at, lambda xp, x, w: x.at[0].add(1.0 - 2.0 * xp.sum(w)).at[-1].add(0.5), 1),
]


def changed(m: Any, x: Any, y: Any, k: int) -> Any:
    act, value, least = CHANGES[k % len(CHANGES)]
    if x.ndim < least or not x.size:
        act, value = CHANGES[0][:2]
    w = m.make(lambda xp, y: xp.tanh(fitted(xp, x.shape, y)), y)
    return m.change(act, value, x, w)


INDICES: list[Any] = [
    *(0, -1, np.s_[1:], np.s_[::-1], np.s_[..., 0], np.s_[...], np.s_[:-1], np.s_[::2], [0, -1], np.s_[..., 0:1]),
    *(np.array([0]), np.s_[None], "mask", "compare", (0, ..., -1)),
]


def _index(x: Any, k: int) -> Any:
    index = INDICES[k % len(INDICES)]
    if isinstance(index, str):
        return fixed(x.shape, k) > 0 if index == "mask" else x > 0.05
    return (0,) if isinstance(index, tuple) and x.ndim < 2 and 0 in index else index


def set_elements(m: Any, x: Any, y: Any, k: int) -> Any:
    """Assign to elements: a number, a value, what was there in another order, and in steps."""
    if not x.ndim or not x.size:
        return changed(m, x, y, 0)
    way = k // len(INDICES) % 4
    w = m.make(lambda xp, y: xp.sum(xp.tanh(y)), y)

    def act(x: Any, w: Any) -> Any:
        index = _index(x, k)
        if way == 0:
            x[index] = w
        elif way == 1:
            x[index] += 0.5 * w
        elif way == 2:
            x[index] = x[index] ** 2
        else:
            x[index] *= np.sin(x[index])
        return x

    def value(xp: Any, x: Any, w: Any) -> Any:
        index = _index(x, k)
        new = [w + 0.0 * x, x + 0.5 * w, x**2, x * xp.sin(x)][way]
        if isinstance(INDICES[k % len(INDICES)], str):
            return xp.where(index, new, x)
        index = np.array(index) if isinstance(index, list) else index
        return x.at[index].set(new[index])

    return m.change(act, value, x, w)


# What decides without numbers that are differentiated.

PREDICATES: list[Callable[[Any], Any]] = [
    lambda x: isinstance(x, np.ndarray),
    lambda x: isinstance(x, float),
    lambda x: isinstance(x, np.floating),
    lambda x: isinstance(x, Real),
    lambda x: isinstance(x, np.generic),
    np.isscalar,
    lambda x: hasattr(x, "__len__"),
    lambda x: hasattr(x, "__iter__"),
    lambda x: np.ndim(x) > 0,
    lambda x: isinstance(x, list | tuple),
    lambda x: x.__class__ is np.ndarray,
]
BRANCHES: list[Callable[[Any], Any]] = [
    lambda x: np.sum(x) > 0.1,
    lambda x: x.ravel()[0] < 0.2 if x.size else False,
    lambda x: np.any(x > 0.7),
    lambda x: np.all(x < 1.5),
    lambda x: np.argmax(x) == 0 if x.size else False,
    lambda x: np.max(x) > 0.5 if x.size else True,
    lambda x: np.allclose(x, 0.0),
    lambda x: np.count_nonzero(x > 0) > 2,
    lambda x: round(float(x.shape[0])) > 2 if x.ndim else False,
]


def predicated(m: Any, x: Any, y: Any, k: int) -> Any:
    x = m.make(lambda xp, x: [x, xp.sum(x), xp.mean(x) if x.size else x, xp.ravel(x)[0] if x.size else x][k % 4], x)
    taken = m.decide(PREDICATES[k // 4 % len(PREDICATES)], x)
    return m.make(lambda xp, x: x * 2.0 if taken else xp.sin(x) - 0.5, x)


def branched(m: Any, x: Any, y: Any, k: int) -> Any:
    taken = m.decide(BRANCHES[k % len(BRANCHES)], x)
    return m.make(lambda xp, x, y: xp.cos(x) if taken else xp.tanh(y) * 1.5, x, y)


# Checkpoints and inner gradients.


def checkpointed(m: Any, x: Any, y: Any, k: int) -> Any:
    """Call a checkpointed function that changes its argument, and returns it, a part, a copy or nothing."""

    def body(x: Any, y: Any) -> Any:
        h = changed(m, x, y, k // 4)
        h = set_elements(m, h, y, k // 2) if k % 3 == 0 else h
        if k % 4 == 3:
            return None
        return m.make(lambda xp, h: [h, VIEWS[k // 3 % len(VIEWS)](xp, h), h * 1.0][k % 4], h)

    return m.checkpoint(body, x, y)


def checkpointed_dictionary(m: Any, x: Any, y: Any, k: int) -> Any:
    def body(state: dict[str, Any]) -> Any:
        h = changed(m, state["h"], state["n"][0], k)
        return [h, m.make(lambda xp, h, y: xp.sum(h) * xp.sin(y), h, state["n"][0])]

    return m.checkpoint(body, {"h": x, "n": [y]})[k % 2]


def _inner_list(t: Any, x: Any) -> Any:
    z = t * 1.0
    z[0] = [t[0] ** 2, 1.0][0] if t.ndim == 1 else t[0] ** 2
    return np.sum(z) * np.sum(x)


def _closed_list(xp: Any, t: Any, x: Any) -> Any:
    first = 2.0 * t[:1]
    return xp.concatenate([first, xp.ones_like(t[1:])]) * xp.sum(x)


INNER: list[tuple[Callable[..., Any], Callable[..., Any], int]] = [
    (lambda t, x: np.sum(np.sin(t)) * np.sum(x * x), lambda xp, t, x: xp.cos(t) * xp.sum(x * x), 0),
    (lambda t, x: np.sum(t**3) + np.sum(x), lambda xp, t, x: 3.0 * t**2, 0),
    (
        lambda t, x: np.sum(np.exp(-t)) / (2.0 + np.sum(x) ** 2),
        lambda xp, t, x: -xp.exp(-t) / (2.0 + xp.sum(x) ** 2),
        0,
    ),
    (_inner_list, _closed_list, 1),
]


def gradient(m: Any, x: Any, y: Any, k: int) -> Any:
    inner, closed, least = INNER[k % len(INNER)]
    if y.ndim < least or not y.size:
        inner, closed = INNER[0][:2]
    t = m.make(lambda xp, y: xp.tanh(y), y)
    return m.gradient(inner, closed, t, x)


# Calls that NumPy refuses.

WRONG: list[Callable[[Any, Any], Any]] = [
    lambda x, y: np.sum(x, axis=7),
    lambda x, y: np.reshape(x, (x.size + 1,)),
    lambda x, y: np.concatenate([np.ravel(x), np.ones((2, 2))]),
    lambda x, y: np.stack([np.ravel(x), np.zeros(x.size + 1)]),
    lambda x, y: np.ravel(x) @ np.ones(x.size + 2),
    lambda x, y: np.ravel(x)[x.size + 3],
    lambda x, y: np.ravel(x)[0, 0],
    lambda x, y: np.broadcast_to(np.append(x, [1.0, 2.0, 3.0]), (2,)),
    lambda x, y: np.split(np.append(x, [1.0, 2.0, 3.0]), x.size + 2),
    lambda x, y: np.squeeze(np.stack([x, x]), axis=0),
    lambda x, y: np.moveaxis(x, 5, 0),
    lambda x, y: np.transpose(x, (0, 0)),
    lambda x, y: np.take(np.ravel(x), [x.size + 5]),
    lambda x, y: np.where(x > 0, x),
    lambda x, y: np.diff(np.ravel(x), n=-1),
    lambda x, y: np.einsum("ij,jk->ik", np.ravel(x), y),
    lambda x, y: np.linalg.det(np.ravel(x)),
    lambda x, y: np.linalg.solve(3.0 * np.eye(2) * np.cos(np.sum(x)), np.ones(3)),
    lambda x, y: np.ravel(x) + np.ones(x.size + 2) if x.size > 1 else x[5, 5],
    lambda x, y: np.expand_dims(x, 9),
    lambda x, y: np.roll(x, 1, axis=8),
    lambda x, y: np.swapaxes(x, 0, 6),
    lambda x, y: np.flip(x, 6),
    lambda x, y: np.cumsum(x, axis=6),
    lambda x, y: np.max(x[..., None][..., :0]),
    lambda x, y: np.append(x, [1.0]).reshape(2, -1, -1),
    lambda x, y: np.linalg.norm(x, axis=9),
    lambda x, y: np.trace(np.ravel(x)),
    lambda x, y: np.kron(x, object) if x.ndim > 90 else np.tensordot(np.ravel(x), np.ones(x.size + 1), 1),
    lambda x, y: np.matmul(np.sum(x), np.sum(y)),
    lambda x, y: np.repeat(np.stack([x, x]), [1, 2, 3], axis=0),
    lambda x, y: operator.setitem(np.append(x, 1.0), slice(None), np.ones(x.size + 3)),
    lambda x, y: operator.iadd(np.append(x, 1.0), np.ones((2, x.size + 1))),
    lambda x, y: np.sin(np.append(x, 1.0), out=np.zeros_like(np.append(x, [1.0, 2.0]))),
    lambda x, y: np.vstack([np.ones(2), np.append(x, [1.0, 2.0])]),
    lambda x, y: np.outer(x),
    lambda x, y: np.clip(np.append(x, 1.0), np.ones(x.size + 3), 2.0),
]


def refused(m: Any, x: Any, y: Any, k: int) -> Any:
    """Make a call that raises in NumPy, and go on without it where it does."""

    def raises(x: Any) -> bool:
        try:
            WRONG[k % len(WRONG)](x, np.ones(3))
        except (ValueError, TypeError, IndexError):
            return True
        return False

    taken = m.decide(raises, x)
    return m.make(lambda xp, x: x * 1.5 if taken else x * 100.0, x)


def wrong(m: Any, x: Any, y: Any, k: int) -> Any:
    """Make a call that raises in NumPy."""
    return m.make(lambda xp, x, y: WRONG[k % len(WRONG)](x, y), x, y)


ON_VALUES: dict[str, Step] = {f.__name__: by_operation(f) for f in OPERATIONS} | {
    f.__name__: f
    for f in (more, view, changed, set_elements, predicated, branched, checkpointed, checkpointed_dictionary, gradient)
}
ON_VALUES |= {"refused": refused, "wrong": wrong}
