"""Sequences that hold traced values are stacked at the door of whatever takes them."""

from __future__ import annotations

from collections import UserList, deque
from collections.abc import Callable, Iterable, Sized
from numbers import Number, Real
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

import hessian as hs
from hessian.errors import DtypeError, HessianError, LeavesTapeError, ShapeMismatchError, StaleVariableError

Z = np.array([0.3, 0.7, 1.1])


class Series:
    """What a column of a table is to NumPy: something that turns into an array of objects."""

    def __init__(self, items: Any) -> None:
        self.items = list(items)

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, i: int) -> Any:
        return self.items[i]

    def __array__(self, dtype: Any = None, copy: Any = None) -> np.ndarray:
        out = np.empty(len(self.items), dtype or object)
        for i, item in enumerate(self.items):
            out[i] = item
        return out


def objects(items: Any) -> np.ndarray:
    items = list(items)
    out = np.empty(len(items), object)
    for i, item in enumerate(items):
        out[i] = item
    return out


KINDS: dict[str, Callable[[Any], Any]] = {
    "list": list,
    "tuple": tuple,
    "deque": deque,
    "UserList": UserList,
    "series": Series,
    "objects": objects,
    "array of numbers": lambda items: np.array(list(items)),
}

#: Each takes a sequence of three numbers s and an array x.
USES: dict[str, Callable[[Any, Any], Any]] = {
    "add": lambda s, x: x + s,
    "radd": lambda s, x: (
        s + x if isinstance(s, np.ndarray | Series) is False and not hasattr(s, "append") else np.add(s, x)
    ),
    "power": lambda s, x: x**s,
    "matmul": lambda s, x: x @ s,
    "rmatmul": lambda s, x: np.matmul(s, x),
    "compare": lambda s, x: x * (x < s),
    "floor divide": lambda s, x: x // s + x,
    "ufunc": lambda s, x: np.hypot(s, x),
    "ufunc of two": lambda s, x: np.add(s, x) * np.subtract(x, s),
    "where": lambda s, x: np.where(x > 0.5, s, x),
    "where mask": lambda s, x: np.where(np.greater(x, s), x, s),
    "clip": lambda s, x: np.clip(x, 0.0, s),
    "dot": lambda s, x: np.dot(s, x),
    "method": lambda s, x: x.dot(s),
    "outer": lambda s, x: np.outer(s, x),
    "einsum": lambda s, x: np.einsum("i,j->ij", s, x),
    "append": lambda s, x: np.append(x, s) * np.arange(6.0),
    "concatenate": lambda s, x: np.concatenate([s, x[1:]]) * np.arange(5.0),
    "stack": lambda s, x: np.stack([x, s])[1],
    "vstack": lambda s, x: np.vstack((s, x))[0],
    "hstack": lambda s, x: np.hstack([x, s]) ** 2,
    "column_stack": lambda s, x: np.column_stack([s, x])[:, 0],
    "solve": lambda s, x: np.linalg.solve(np.diag(x), s),
    "interpolated": lambda s, x: np.trapezoid(x, s),
    "average": lambda s, x: np.average(x, weights=s),
    "select": lambda s, x: np.select([x > 0.5], [s], x),
    "block": lambda s, x: np.block([[x[:2], x[:1]], [np.add(s, 0.0 * x)]]),
    "assignment": lambda s, x: _assigned(s, x, slice(None)),
    "assignment of a mask": lambda s, x: _assigned(s, x, np.array([True, True, True])),
    "in place": lambda s, x: _added(s, x),
    "at": lambda s, x: _added_at(s, x),
    "full_like": lambda s, x: np.full_like(x, s),
    "isclose": lambda s, x: np.isclose(x, s) * x,
    "logaddexp": lambda s, x: np.logaddexp(s, x),
    "special": lambda s, x: hs.special.logsumexp(np.stack([np.multiply(s, x), x])),
}


def _assigned(s: Any, x: Any, index: Any) -> Any:
    y = np.zeros_like(x)
    y[index] = s
    return y * x


def _added(s: Any, x: Any) -> Any:
    y = x * 1.0
    y += s
    y *= s
    return y


def _added_at(s: Any, x: Any) -> Any:
    y = np.zeros_like(x)
    np.add.at(y, [2, 0, 2], s)
    return y * x


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("use", USES)
def test_a_sequence_is_the_array_of_its_items(use: str, kind: str) -> None:
    def of(make: Callable[[Any], Any]) -> Callable[[Any], Any]:
        return lambda x: np.sum(np.sin(USES[use](make([x[0] ** 2, 1.5, x[1] * x[2]]), x)))

    by_hand, written = of(np.stack), of(KINDS[kind])
    value, gradient = hs.value_and_grad(by_hand)(Z)
    found, slopes = hs.value_and_grad(written)(Z)
    assert_allclose(found, value, rtol=1e-14)
    assert_allclose(slopes, gradient, rtol=1e-14, atol=1e-15)
    assert_allclose(hs.hessian(written)(Z), hs.hessian(by_hand)(Z), rtol=1e-12, atol=1e-14)
    primal, tangent = hs.jvp(written, Z, Z)
    assert type(primal) is np.float64
    assert_allclose([primal, tangent], [value, gradient @ Z], rtol=1e-13, atol=1e-14)


@pytest.mark.parametrize("kind", KINDS)
def test_the_innermost_of_the_items_decides(kind: str) -> None:
    """Values of two recordings in one sequence: the inner one takes the operation, whatever stands beside it."""

    def mixed(x: Any) -> Any:
        inner = lambda t: np.sum(np.multiply(KINDS[kind]([x[0], t[1] ** 2, t[0] * x[2]]), x))
        return np.sum(hs.grad(inner)(x) ** 2)

    def by_hand(x: Any) -> Any:
        inner = lambda t: x[0] * x[0] + t[1] ** 2 * x[1] + t[0] * x[2] * x[2]
        return np.sum(hs.grad(inner)(x) ** 2)

    assert_allclose(hs.grad(mixed)(Z), hs.grad(by_hand)(Z), rtol=1e-13)
    assert_allclose(hs.hessian(mixed)(Z), hs.hessian(by_hand)(Z), rtol=1e-12)


def test_a_list_of_inner_values_beside_an_outer_one() -> None:
    f = lambda x: np.sum(hs.grad(lambda t: np.sum(np.concatenate([[t[0] ** 2], x[1:] * t[1]]) * x))(x * 1.0))
    g = lambda x: np.sum(np.stack([2 * x[0] * x[0], x[1] * x[1] + x[2] * x[2]]))
    assert_allclose(hs.grad(f)(Z), hs.grad(g)(Z), rtol=1e-14)


def test_values_that_outlived_their_recording_are_no_constants() -> None:
    kept: list[Any] = []
    hs.grad(lambda x: kept.append(x * 2.0) or np.sum(x))(Z)  # type: ignore[func-returns-value]
    for use in (lambda x: x * kept[0], lambda x: np.add(x, list(kept[0])), lambda x: np.concatenate([x, [kept[0][0]]])):
        with pytest.raises(StaleVariableError, match="after the function"):
            hs.grad(lambda x, use=use: np.sum(use(x)))(Z)

    def outer(x: Any) -> Any:
        inside: list[Any] = []
        hs.grad(lambda t: inside.append(t * x) or np.sum(t))(x)  # type: ignore[func-returns-value]
        return np.sum(x * inside[0])

    with pytest.raises(StaleVariableError, match="returned"):
        hs.grad(outer)(Z)


@pytest.mark.parametrize(
    ("sequence", "kind", "saying"),
    [
        (lambda x: [x[0], x[1:]], ShapeMismatchError, "another shape"),
        (lambda x: [x[0], "a", 1.0], DtypeError, "no number"),
        (lambda x: [x[0], None, 1.0], DtypeError, "no number"),
        (lambda x: objects([x[:1], x[1:], x[:1]]), ShapeMismatchError, "array of arrays"),
        (lambda x: {x.ndim}, HessianError, "numbers"),
        (lambda x: object(), HessianError, "numbers"),
    ],
)
def test_what_makes_no_array_is_refused(sequence: Callable[[Any], Any], kind: type[Exception], saying: str) -> None:
    with pytest.raises(kind, match=saying):
        hs.grad(lambda x: np.sum(np.add(sequence(x), x)))(Z)


def test_indices_in_sequences() -> None:
    f = lambda x: np.sum(x[[np.argmax(x), 0]] ** 2) + x.reshape((np.argmax(x) + 1, 1))[int(np.argmin(x))][0]
    assert_allclose(hs.grad(f)(Z), [1.6, 0, 2.2])


# What a traced value says of its type.


def _iterates(x: Any) -> bool:
    try:
        iter(x)
    except TypeError:
        return False
    return True


def _has_length(x: Any) -> bool:
    try:
        len(x)
    except TypeError:
        return False
    return True


PREDICATES: dict[str, Callable[[Any], Any]] = {
    "ndarray": lambda x: isinstance(x, np.ndarray),
    "generic": lambda x: isinstance(x, np.generic),
    "floating": lambda x: isinstance(x, np.floating),
    "float64": lambda x: isinstance(x, np.float64),
    "float32": lambda x: isinstance(x, np.float32),
    "float": lambda x: isinstance(x, float),
    "int": lambda x: isinstance(x, int),
    "integer": lambda x: isinstance(x, np.integer),
    "bool_": lambda x: isinstance(x, np.bool_),
    "Real": lambda x: isinstance(x, Real),
    "Number": lambda x: isinstance(x, Number),
    "isscalar": np.isscalar,
    "iterable": np.iterable,
    "Iterable": lambda x: isinstance(x, Iterable),
    "Sized": lambda x: isinstance(x, Sized),
    "iter": _iterates,
    "len": _has_length,
    "hasattr len": lambda x: hasattr(x, "__len__"),
    "hasattr iter": lambda x: hasattr(x, "__iter__"),
    "hasattr shape": lambda x: hasattr(x, "shape"),
    "hasattr dtype": lambda x: hasattr(x, "dtype"),
    "callable": callable,
    "list": lambda x: isinstance(x, list | tuple),
    "class": lambda x: x.__class__ is np.ndarray,
    "ndim": np.ndim,
    "either": lambda x: isinstance(x, (list, float)),
}
VALUES: dict[str, Callable[[Any], Any]] = {
    "array": lambda x: x,
    "number": lambda x: x[0],
    "sum": np.sum,
    "max": np.max,
    "mean": lambda x: x.mean(),
    "norm": np.linalg.norm,
    "dot": lambda x: x @ x,
    "array of no axes": lambda x: x[0, ...],
    "mask": lambda x: x > 0.5,
    "truth value": lambda x: x[0] > 0.5,
    "index": np.argmax,
    "integers": lambda x: np.floor(x).astype(int),
    "single": lambda x: x.astype(np.float32),
    "single number": lambda x: x.astype(np.float32)[1],
    "product": np.prod,
    "det": lambda x: np.linalg.det(np.diag(x)),
    "einsum": lambda x: np.einsum("i,i->", x, x),
    "variance": np.var,
    "copy of a number": lambda x: np.copy(x[0]),
    "number in place": lambda x: _counted(x[0]),
}


def _counted(m: Any) -> Any:
    m += 1.0
    return m


@pytest.mark.parametrize("name", VALUES)
def test_predicates_on_types(name: str) -> None:
    wanted = {key: bool(predicate(VALUES[name](Z))) for key, predicate in PREDICATES.items()}
    seen: list[dict[str, bool]] = []

    def f(x: Any) -> Any:
        seen.append({key: bool(predicate(VALUES[name](x))) for key, predicate in PREDICATES.items()})
        return np.sum(x)

    hs.grad(f)(Z)
    hs.hvp(f, Z, Z)
    hs.grad(lambda x: np.sum(hs.grad(f)(x) * x))(Z)
    hs.hessian(hs.record(f))(Z)
    assert len(seen) > 3
    for found in seen:
        assert found == wanted


def test_the_branch_of_a_predicate_is_the_one_of_numpy() -> None:
    f = lambda x: np.sum(x**2) if isinstance(x, np.ndarray) else np.sum(x)
    assert_allclose(hs.value_and_grad(f)(Z)[1], 2 * Z)
    g = lambda x: x * 3.0 if isinstance(x, float) else np.sum(x) * 2.0
    assert hs.grad(g)(0.5) == 3.0
    h = lambda x: sum((v**2 if np.isscalar(v) else v[0]) for v in x)
    assert_allclose(hs.grad(h)(Z), 2 * Z)


@pytest.mark.parametrize(
    "leave",
    [
        lambda x: x.value,
        lambda x: x.slot,
        lambda x: x.data,
        lambda x: x.base,
        lambda x: x.ctypes,
        lambda x: x.flags,
        lambda x: x.strides,
        lambda x: x.view(),
        lambda x: x.view(np.int64),
        lambda x: x.tobytes(),
        lambda x: x[0].hex(),
        lambda x: x.dumps(),
        lambda x: x.__array_interface__,
        lambda x: memoryview(x),
        lambda x: bytes(x[0]),
        lambda x: np.frombuffer(x),
    ],
)
def test_nothing_plain_is_read_off_a_traced_value(leave: Callable[[Any], Any]) -> None:
    with pytest.raises((LeavesTapeError, AttributeError, TypeError)):
        hs.grad(lambda x: np.sum(x) * (leave(x) is None))(Z)


def test_blocks_and_pieces() -> None:
    f = lambda x: np.sum(np.block([[np.diag(x), x[:, None]], [x, 1.0]]) ** 2)
    assert_allclose(hs.grad(f)(Z), 6 * Z)
    g = lambda x: np.sum(np.piecewise(x, [x < 0.5, x > 1], [lambda t: t**2, 4.0, lambda t: -t]))
    assert_array_equal(hs.grad(g)(Z), [0.6, -1.0, 0.0])
    assert_allclose(hs.value_and_grad(g)(Z)[0], g(Z))
