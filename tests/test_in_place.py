"""In-place idioms: what is written through one name is seen through every other, as in NumPy, or is refused."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy import zeros
from numpy.testing import assert_allclose, assert_array_equal

import hessian as hs
from hessian.errors import DtypeError, HessianError, LeavesTapeError, OptionError, ReadOnlyError

X = np.array([[0.3, 0.8, 1.4], [0.9, 0.2, 0.6], [1.1, 0.7, 0.5]])
ORDERS = {"C": X, "F": np.asfortranarray(X)}


def slopes(f: Callable[[Any], Any], x: np.ndarray) -> np.ndarray:
    """Differences of the plain function, of fourth order."""
    out, h = np.empty(x.size), 1e-3
    for i, e in enumerate(np.eye(x.size).reshape(-1, *x.shape)):
        e = np.copy(e, order="F") if x.flags.f_contiguous and x.ndim > 1 else e
        near, far = f(x + h * e) - f(x - h * e), f(x + 2 * h * e) - f(x - 2 * h * e)
        out[i] = (8 * near - far) / (12 * h)
    return out.reshape(x.shape)


def is_numpys(f: Callable[[Any], Any], x: np.ndarray, nested: bool = True) -> None:
    """Require value and gradient of the plain function, plainly and inside another derivative."""
    wanted, exact = f(x.copy(order="K")), slopes(lambda z: f(z.copy(order="K")), x)
    kept = x.copy(order="K")
    value, gradient = hs.value_and_grad(f)(x)
    assert_allclose(value, wanted, rtol=1e-13)
    assert_allclose(gradient, exact, rtol=1e-6, atol=1e-7)
    assert_array_equal(x, kept)
    if not nested:
        return
    along = np.cos(np.arange(x.size)).reshape(x.shape)
    assert_allclose(hs.jvp(lambda z: hs.grad(f)(z), x, along)[0], gradient, rtol=1e-12, atol=1e-14)
    assert_allclose(hs.grad(lambda z: np.sum(along * hs.grad(f)(z)))(x), hs.hvp(f, x, along), rtol=1e-9, atol=1e-11)


VIEWS: dict[str, Callable[[Any], Any]] = {
    "itself": lambda y: y,
    "row": lambda y: y[1],
    "rows": lambda y: y[1:],
    "column": lambda y: y[:, 1],
    "block": lambda y: y[1:, :2],
    "reversed": lambda y: y[::-1, ::2],
    "T": lambda y: y.T,
    "row of T": lambda y: y.T[2],
    "slice of slice": lambda y: y[1:][:, 1:][0],
    "ravel": lambda y: y.ravel(),
    "ravel of T": lambda y: y.T.ravel(),
    "ravel of rows": lambda y: y[1:].ravel(),
    "ravel of columns": lambda y: y[:, 1:].ravel(),
    "reshape": lambda y: y.reshape(1, 9),
    "part of reshape": lambda y: y.reshape(-1)[2:7],
    "reshape of T": lambda y: y.T.reshape(9),
    "reshape of a column": lambda y: y[:, 0].reshape(3, 1),
    "ravel of a column": lambda y: np.ravel(y[:, 2]),
    "reshape in F": lambda y: y.reshape(9, order="F")[3:],
    "flip": lambda y: np.flip(y, 0)[:2],
    "rot90": lambda y: np.rot90(y)[0],
    "swapaxes of newaxis": lambda y: np.swapaxes(y[None], 0, 2)[1],
    "squeeze": lambda y: np.squeeze(y[1:2])[1:],
    "expand_dims": lambda y: np.expand_dims(y, 1)[0],
    "split": lambda y: np.split(y, 3)[2],
    "array of no axes": lambda y: y[..., 1][2, ...],
    "moveaxis": lambda y: np.moveaxis(y, 0, 1)[0],
    "real": lambda y: y.real[0],
    "conj": lambda y: y.conj()[1:],
    "copy": lambda y: y.copy().ravel(),
    "copy of T": lambda y: y.T.copy().ravel(),
    "K copy of T": lambda y: np.copy(y.T).ravel(),
    "sum of T": lambda y: (y.T + 0.0).reshape(9),
    "flatten": lambda y: y.flatten(),
    "fancy": lambda y: y[[0, 2]],
    "mask": lambda y: y[y > 0.65],
    "flattened in F": lambda y: y.flatten("F"),
    "atleast_2d": lambda y: np.atleast_2d(y[0]),
    "copied astype": lambda y: y.astype(float),
    "astype": lambda y: y.astype(float, copy=False)[2],
}


def multiplied(window: Any, y: Any, x: Any) -> None:
    window *= 2.0


def added(window: Any, y: Any, x: Any) -> None:
    window += x[0, 1]


def assigned(window: Any, y: Any, x: Any) -> None:
    window[...] = x[1, 0] ** 2


def element(window: Any, y: Any, x: Any) -> None:
    window[(0,) * window.ndim] = x[2, 2] * x[0, 0]


def masked(window: Any, y: Any, x: Any) -> None:
    window[window > 0.65] *= 3.0


def out(window: Any, y: Any, x: Any) -> None:
    np.multiply(window, window, out=window)


def owner_first(window: Any, y: Any, x: Any) -> None:
    y[1] = y[0] * x[1]
    window -= 0.5


def in_turns(window: Any, y: Any, x: Any) -> None:
    window *= 2.0
    y[:, 1] += x[0]
    window += 1.0
    y *= 0.5


UPDATES = [multiplied, added, assigned, element, masked, out, owner_first, in_turns]


@pytest.mark.parametrize("update", UPDATES, ids=lambda update: update.__name__)
@pytest.mark.parametrize("name", VIEWS)
@pytest.mark.parametrize("order", ORDERS)
def test_a_view_and_its_owner(order: str, name: str, update: Callable[[Any, Any, Any], None]) -> None:
    def f(x: Any) -> Any:
        y = x * 1.0
        window = VIEWS[name](y)
        update(window, y, x)
        return np.sum(np.sin(y)) + np.sum(window * window)

    is_numpys(f, ORDERS[order])


AFTER: dict[str, Callable[[Any], Any]] = {
    "row": lambda y: y.__setitem__(1, 0.25),
    "column": lambda y: y.__setitem__((slice(None), 1), y[:, 0] ** 2),
    "fancy": lambda y: y.__setitem__([0, 2], 0.5),
    "mask": lambda y: y.__setitem__(X > 0.6, 0.75),
    "transpose": lambda y: y.T.__setitem__(0, 1.5),
    "times": lambda y: np.multiply(y, 2.0, out=y),
    "sort": lambda y: y.sort(axis=0),
    "fill": lambda y: y[1:].fill(0.1),
}


@pytest.mark.parametrize("first", AFTER)
@pytest.mark.parametrize("name", VIEWS)
@pytest.mark.parametrize("order", ORDERS)
def test_a_view_taken_after_a_change(order: str, name: str, first: str) -> None:
    def f(x: Any) -> Any:
        y = x * 1.0
        AFTER[first](y)
        window = VIEWS[name](y)
        window += x[2, 1]
        return np.sum(np.sin(y)) + np.sum(window * window)

    is_numpys(f, ORDERS[order], nested=False)


MADE: dict[str, Callable[[Any], Any]] = {
    "sum": lambda x: x + X,
    "sum with T": lambda x: x + X.T,
    "T with T": lambda x: x.T * X.T,
    "matmul": lambda x: x @ X,
    "matmul of T": lambda x: x.T @ x,
    "einsum": lambda x: np.einsum("ij,kj->ki", x, X),
    "einsum transposed": lambda x: np.einsum("ij->ji", x),
    "tensordot": lambda x: np.tensordot(x, X, ([0], [1])),
    "outer": lambda x: np.outer(x[0], x[:, 1]),
    "where": lambda x: np.where(x > 0.65, x, 0.0),
    "where of T": lambda x: np.where(X.T > 0.65, x.T, x),
    "stack": lambda x: np.stack([x[0], x[1], x[2]], axis=1),
    "concatenate": lambda x: np.concatenate([x.T[:1], x.T[1:]]),
    "sort": lambda x: np.sort(x, axis=0),
    "fancy": lambda x: x[[2, 0, 1]],
    "fancy columns": lambda x: x[:, [2, 0, 1]],
    "take": lambda x: np.take(x, [1, 2, 0], axis=1),
    "roll": lambda x: np.roll(x, 1, axis=0),
    "repeat": lambda x: np.repeat(x[:1], 3, axis=0),
    "tile": lambda x: np.tile(x[0], (3, 1)),
    "tril": lambda x: np.tril(x),
    "cumsum": lambda x: np.cumsum(x, axis=1),
    "diff": lambda x: np.diff(np.concatenate([x, x[:1]]), axis=0),
    "clip": lambda x: np.clip(x, 0.25, 1.0),
    "max": lambda x: np.maximum(x, 0.55),
    "mean": lambda x: np.mean(x[:, None, :] * x[None], axis=2),
    "mean of middle": lambda x: np.mean(x[:, None, :] * x[None], axis=1),
    "max of first": lambda x: np.max(x[:, None, :] * x[None] + X[:, :, None], axis=0),
    "solve": lambda x: np.linalg.solve(x + 3 * np.eye(3), X),
    "inv": lambda x: np.linalg.inv(x + 3 * np.eye(3)),
    "zeros_like": lambda x: np.zeros_like(x) + x[0, 0],
    "zeros_like alone": lambda x: np.zeros_like(x),
    "full_like": lambda x: np.full_like(x, 2.0),
    "pad": lambda x: np.pad(x[:2], ((0, 1), (0, 0))),
    "broadcast sum": lambda x: x[0] + x[:, :1],
    "vstack": lambda x: np.vstack([x[0], x[1:]]),
    "column_stack": lambda x: np.column_stack([x[0], x[1:].T]),
    "copied slice": lambda x: np.copy(np.concatenate([x, x], axis=1)[:, ::2]),
    "kron": lambda x: np.kron(x[:1], X[:, :1]),
    "flip": lambda x: np.flip(x, 1) * 1.0,
    "delete": lambda x: np.delete(np.vstack([x, x[:1]]), 1, axis=0),
    "prod": lambda x: np.prod(x[:, None, :] + x[None], axis=2),
    "cumprod": lambda x: np.cumprod(x, axis=0),
    "average": lambda x: np.average(x[:, None, :] * x[None], axis=0, weights=[1.0, 2.0, 3.0]),
    "cross": lambda x: np.cross(x, X),
    "norm": lambda x: np.linalg.norm(x[:, None, :] - x[None] + 1.0, axis=2),
    "cholesky": lambda x: np.linalg.cholesky(x @ x.T + np.eye(3)),
    "moveaxis": lambda x: np.moveaxis(x * 1.0, 0, 1) * 2.0,
    "sort of axes in turn": lambda x: np.sort(np.moveaxis(np.stack([x, X]), 0, 1), axis=0)[:, 0] * 1.0,
}


@pytest.mark.parametrize("name", MADE)
@pytest.mark.parametrize("order", ORDERS)
def test_what_is_a_view_of_a_result(order: str, name: str) -> None:
    """Where a result lies in memory decides whether raveling copies it: there NumPy's answer, or none."""

    def f(x: Any) -> Any:
        y = MADE[name](x)
        for window in (y.ravel(), y.T.ravel(), y.reshape(-1), y.T.reshape(-1)):
            window *= 1.5
            window += x[0, 0]
        return np.sum(np.sin(y))

    is_numpys(f, ORDERS[order])


def maximum_then_added(x: Any) -> Any:
    m = np.max(x)
    kept = m
    m += 1.0
    return m * kept


def norm_scaled(x: Any) -> Any:
    r = np.linalg.norm(x[0])
    r *= 2.0
    return r * np.sum(x)


def disjoint_rows(x: Any) -> Any:
    y = x.copy()
    first, second = y[0], y[1]
    first += second**2
    second *= first
    return np.sum(y)


def overlapping_parts(x: Any) -> Any:
    y = x.ravel().copy()
    y[1:] += y[:-1]
    y[:-1] = y[1:]
    return np.sum(y * np.arange(9.0))


def swapped_rows(x: Any) -> Any:
    y = x.copy()
    y[0], y[2] = y[2].copy(), y[0].copy()
    return np.sum(y * X)


def swapped_views(x: Any) -> Any:
    y = x.copy()
    y[0], y[2] = y[2], y[0]
    return np.sum(y * X)


def loop_over_rows(x: Any) -> Any:
    y = x.copy()
    for i, row in enumerate(y):
        row *= x[i, i]
    return np.sum(y**2)


def added_at(x: Any) -> Any:
    y = np.zeros_like(x[0])
    np.add.at(y, [0, 2, 0, 1], x.ravel()[:4] ** 2)
    np.subtract.at(y, [1, 1], x[2, 0])
    np.multiply.at(y, [0, 1], x[0, :2])
    return np.sum(y * x[1])


def added_at_through_a_view(x: Any) -> Any:
    y = x * 1.0
    np.add.at(y.T, (np.array([0, 0]), np.array([1, 1])), x[0, 0])
    return np.sum(y**2)


def divided_where(x: Any) -> Any:
    mask = x > 0.55
    return np.sum(np.divide(1.0, x - 0.5, out=np.zeros_like(x), where=mask))


def logarithm_where(x: Any) -> Any:
    out = x * 2.0
    result = np.log(x, out=out, where=np.eye(3, dtype=bool))
    assert result is out
    return np.sum(out)


def summed_into(x: Any) -> Any:
    total = np.zeros_like(x[0])
    np.sum(x**2, axis=0, out=total)
    np.add(total, x[1], out=total)
    return total @ x[2]


def sorted_view(x: Any) -> Any:
    y = x * 1.0
    y[1].sort()
    y.T[0].fill(2.0)
    return np.sum(y * X)


def lists_assigned(x: Any) -> Any:
    y = np.zeros_like(x)
    y[0] = [x[0, 0], 1.0, x[1, 1] ** 2]
    y[:, 2] = (x[2, 0], x[2, 1], x[2, 2])
    y[1:, :2] = [[x[0, 1], 2.0], list(x[0, 1:])]
    return np.sum(y * X)


def of_another_function(x: Any) -> Any:
    r = hs.checkpoint(np.tanh)(x)
    r *= 2.0
    r[0] += r[1]
    return np.sum(r**2)


def outer_array_written_inside(x: Any) -> Any:
    y = x * 1.0
    row = y[1]
    slope = hs.grad(lambda t: np.sum((row * t) ** 2))(x[0])
    y[1] = slope
    return np.sum(row * y[0])


IDIOMS = [
    maximum_then_added,
    norm_scaled,
    disjoint_rows,
    overlapping_parts,
    swapped_rows,
    swapped_views,
    loop_over_rows,
]
IDIOMS += [added_at, added_at_through_a_view, divided_where, logarithm_where, summed_into, sorted_view, lists_assigned]
IDIOMS += [of_another_function, outer_array_written_inside]


@pytest.mark.parametrize("f", IDIOMS, ids=lambda f: f.__name__)
@pytest.mark.parametrize("order", ORDERS)
def test_idioms(order: str, f: Callable[[Any], Any]) -> None:
    is_numpys(f, ORDERS[order])


def plain_output(x: Any) -> Any:
    return np.sum(np.divide(1.0, x, out=zeros(x.shape), where=X > 0.5))


def no_output(x: Any) -> Any:
    return np.sum(np.divide(1.0, x, where=X > 0.5))


def plain_target(x: Any) -> Any:
    y = zeros(3)
    np.add.at(y, [0, 1], x[0, :2])
    return np.sum(y)


def number_filled(x: Any) -> Any:
    m = np.max(x)
    m.fill(1.0)
    return m


@pytest.mark.parametrize(
    ("f", "kind", "saying"),
    [
        (plain_output, LeavesTapeError, "out=np.zeros_like"),
        (no_output, OptionError, "out=np.zeros_like"),
        (plain_target, LeavesTapeError, "np.zeros_like"),
        (number_filled, DtypeError, "immutable"),
        (lambda x: np.broadcast_to(x[0], (2, 3)).fill(1.0), ReadOnlyError, "read-only"),
    ],
    ids=lambda x: getattr(x, "__name__", str(x)),
)
def test_refusals_say_what_to_write(f: Callable[[Any], Any], kind: type[HessianError], saying: str) -> None:
    with pytest.raises(kind, match=saying):
        hs.grad(f)(X)
