"""Arrays made inside a traced function: plain until a traced value is written to them, and NumPy's for everybody else."""

from __future__ import annotations

import copy
import math
import pickle
import sysconfig
import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import scipy.linalg
import scipy.sparse
import scipy.sparse.linalg
from numpy.testing import assert_allclose, assert_array_equal

import hessian as hs
from hessian.errors import HessianError, LeavesTapeError
from hessian.tape.blank import Blank

X = np.array([0.7, -1.3, 2.1, 0.4])
A = np.cos(np.arange(16.0)).reshape(4, 4)
TRUE_ZEROS, TRUE_ARRAY = np.zeros, np.array


def filled(x: Any) -> Any:
    y = np.zeros(4)
    for t in range(4):
        y[t] = x[t] ** 2 + (y[t - 1] if t else 0.0)
    return y


def matrix(x: Any) -> Any:
    K = np.empty((2, 2))
    K[0, 0], K[1, 1] = x[0] ** 2 + 2.0, x[1] ** 2 + 2.0
    K[0, 1] = K[1, 0] = 0.3 * x[2]
    return np.linalg.solve(K, np.ones(2))


def viewed_before(x: Any) -> Any:
    y = np.zeros(4)
    head, square = y[:2], y.reshape(2, 2)
    y[0] = x[0]
    square[1] = x[:2] ** 2
    return np.concatenate([head, square.ravel(), y])


def viewed_through(x: Any) -> Any:
    y = np.ones((2, 3))
    y.T[1] = x[:2]
    y[0][2] = x[3] ** 2
    row = y[1]
    row *= x[1]
    return y


def split(x: Any) -> Any:
    y = np.zeros(4)
    left, right = np.split(y, 2)
    left[:] = x[:2] * x[2]
    right += x[3]
    return y


def iterated(x: Any) -> Any:
    y = np.zeros((2, 4))
    for row, factor in zip(y, (1.0, 3.0), strict=True):
        row[:] = factor * x**2
    return y


def with_plain_writes(x: Any) -> Any:
    y = np.zeros(4)
    y[1] = 5.0
    y += 1.0
    y[2:] = [7.0, 8.0]
    y[0] = x[0] * y[1]
    y[3] = 2.0
    return y * x


def accumulated(x: Any) -> Any:
    total = np.zeros(4)
    for k in range(3):
        total += x**k
    np.add(total, x, out=total)
    return total


def written_by_functions(x: Any) -> Any:
    y, z, w = np.zeros(4), np.eye(4), np.full(4, 2.0)
    np.copyto(y, x**2)
    np.fill_diagonal(z, x)
    np.add.at(w, [0, 0, 2], x[:3])
    np.multiply(w, x, out=w)
    return np.concatenate([y, z.ravel(), w])


def read_and_used(x: Any) -> Any:
    weights = np.linspace(0.0, 1.0, 4) + np.zeros(4)
    table = np.zeros((4, 4))
    for i in range(4):
        table[i, i] = weights[i] + 1.0
    inverse = scipy.linalg.inv(table)
    sparse = scipy.sparse.csr_array(table)
    return inverse @ x + sparse @ x + float(weights[1]) * x + math.fsum(weights) * x


def copied(x: Any) -> Any:
    y = np.zeros(4)
    before = y.copy()
    also = copy.deepcopy(y)
    y[:] = x
    before[0], also[1] = x[1], x[2] ** 2
    return np.concatenate([y, before, also])


def written(y: Any, x: Any, everywhere: Any = None) -> Any:
    if everywhere is not None:
        y[:] = everywhere
    y[1] = x[1] * x[2]
    return y


def shown_by_others(x: Any) -> Any:
    """Views that are all of an array, of later arguments, of keywords, and by copies not made."""
    y, other, square = np.zeros(4), np.ones(4), np.zeros((2, 2))
    first, second = np.atleast_1d(y, other)
    flat = np.ravel(a=square)
    real, same, uncopied, raised = (
        y.real,
        y.astype(float, copy=False),
        np.array(y, copy=None),
        np.array(y, copy=None, ndmin=2),
    )
    replaced, target = np.nan_to_num(y, copy=False), np.zeros(4)
    result = np.cumsum(np.ones(4), 0, None, target)
    result[1] = x[1] ** 2
    second[1] = x[1] ** 3
    flat[2] = x[2]
    square.flat[1] = x[3] ** 2
    first[0] = x[0] ** 2
    other[3], real[1], same[2] = 3.0 * x[0], x[1], x[2]
    uncopied[3] = x[0] * x[3]
    raised[0, 0] *= x[1]
    replaced[1] += 2.0
    return np.concatenate([y, other, square.ravel(), target, first, real, raised[0]])


def like_others(x: Any) -> Any:
    y, z, w = np.zeros_like(X), np.linspace(0.0, 1.0, 4), np.copy(X)
    y[1], z[2], w[0] = x[0] ** 2, x[1], x[2] ** 3
    return y + z + w + np.full_like(X, x[3])


def within_a_checkpoint(x: Any) -> Any:
    def changes(y: Any, x: Any) -> Any:
        z = np.zeros(4)
        z[0], y[1] = x[0] ** 2, x[1] ** 2
        return np.sum(y * x) * z

    y = np.ones(4)
    return hs.checkpoint(changes)(y, x) + y


CASES: dict[str, Callable[[Any], Any]] = {
    f.__name__: f
    for f in (
        *(filled, matrix, viewed_before, viewed_through, split, iterated, with_plain_writes, accumulated),
        *(written_by_functions, read_and_used, copied, shown_by_others, like_others, within_a_checkpoint),
    )
} | {
    "array of numbers": lambda x: np.array([x[0], x[1] ** 2, 1.0]),
    "array of arrays": lambda x: np.array([x, 2.0 * x, X]),
    "array of mixtures": lambda x: np.array([[x[0], 1.0], [2.0, x[1]], x[2:]]),
    "array of numbers, inverse": lambda x: np.linalg.inv(np.array([[x[0] + 3.0, x[1]], [x[1], x[2] + 3.0]])),
    "array with a type": lambda x: np.array([x[0], x[1]], dtype=np.float64, ndmin=2) * x[2],
    "array copies": lambda x: (lambda y: [y.__setitem__(0, 3.0), np.concatenate([x, y])][1])(np.array(x)),
    "asarray is itself": lambda x: np.asarray(x) ** 2 + np.asanyarray(x, dtype=float),
    "asarray of a list": lambda x: np.asarray([x[0], x[1]]) ** 2,
    "full": lambda x: np.full((2, 2), x[0]) * x[1] + np.full(2, 3.0),
    "mean of a list": lambda x: np.mean([x[0] ** 2, x[1]]) * x[2],
    "std of a list": lambda x: np.std([x[0] ** 2, x[1], x[2]]),
    "solve of lists": lambda x: np.linalg.solve([[x[0] + 3.0, x[1]], [x[1], 4.0]], [x[2], 1.0]),
    "norm of a list": lambda x: np.linalg.norm([x[0], x[1] ** 2]),
    "dot": lambda x: np.array(A).dot(x) + np.eye(4).dot(x**2),
    "comprehension": lambda x: np.array([[x[i] * x[j] for j in range(4)] for i in range(4)]) @ X,
    "matmul": lambda x: np.array([x[0], x[1], x[2], x[3]]) @ np.diag(X) @ x,
    "zeros like data": lambda x: written(np.zeros_like(X), x) + written(np.ones_like(A)[1], x),
    "full like data": lambda x: (
        written(np.full_like(X, 2.0), x) + np.full_like(X, x[0] ** 2) + written(np.empty_like(X), x, x)
    ),
    "copy of data": lambda x: written(np.copy(X), x),
    "grid": lambda x: written(np.linspace(0.0, 1.0, 4), x),
    "flat": lambda x: (lambda y: [y.flat.__setitem__(2, x[0] ** 2), y][1])(np.zeros((2, 2))),
    "put": lambda x: (lambda y: [y.put([1, 2], x[:2] ** 2), y][1])(np.zeros((2, 2))),
    "view": lambda x: (lambda y: [written(y.view(), x), y][1])(np.zeros(4)),
    "dot, out": lambda x: np.dot(A, x, out=np.empty(4)) * 2.0,
    "outer, out": lambda x: np.outer(x, x, out=np.empty((4, 4))),
    "cumsum, out": lambda x: np.cumsum(x, out=np.empty(4)),
    "concatenate, out": lambda x: np.concatenate([x, x], out=np.empty(8)),
    "ufunc, out and where": lambda x: np.divide(1.0, x, out=np.zeros(4), where=X > 0.5),
    "ones like": lambda x: np.ones(4) * x + x / np.arange(1.0, 5.0),
}


@pytest.mark.parametrize("name", CASES)
def test_derivatives_are_those_of_differences(name: str) -> None:
    f = CASES[name]
    scalar = lambda x: np.sum(np.cos(f(x))) + np.sum(f(x) ** 2)
    assert_allclose(hs.jvp(f, X, X)[0], f(X), rtol=1e-14, atol=1e-15)
    hs.check_derivatives(scalar, X)
    recorded = hs.record(scalar)
    for x in (X, X + 0.1, X - 0.05):
        assert_allclose(hs.grad(recorded)(x), hs.grad(scalar)(x), rtol=1e-12, atol=1e-13)
        assert_allclose(hs.hvp(recorded, x, X), hs.hvp(scalar, x, X), rtol=1e-11, atol=1e-12)
    nested = hs.grad(lambda x: hs.grad(scalar)(x) @ X)(X)
    assert_allclose(nested, hs.hvp(scalar, X, X), rtol=1e-11, atol=1e-12)


def test_numpy_is_as_it_was_afterwards_whatever_happens() -> None:
    def broken(x: Any) -> Any:
        assert np.zeros is not TRUE_ZEROS
        raise KeyError("broken")

    with pytest.raises(KeyError, match="broken"):
        hs.grad(broken)(X)
    assert np.zeros is TRUE_ZEROS
    assert np.array is TRUE_ARRAY
    hs.grad(lambda x: np.sum(hs.grad(lambda y: np.sum(np.zeros(4) * y + y**2))(x) * x))(X)
    assert np.zeros is TRUE_ZEROS


def test_other_threads_and_other_code_get_plain_arrays() -> None:
    kinds: list[type] = []

    def f(x: Any) -> Any:
        thread = threading.Thread(target=lambda: kinds.append(type(np.zeros(3))))
        thread.start()
        thread.join()
        # Compiled code and libraries call NumPy's functions, too.
        kinds.append(type(np.random.default_rng(0).standard_normal(3)))
        kinds.append(type(scipy.linalg.toeplitz([1.0, 2.0])))
        kinds.append(type(np.zeros(3)))
        kinds.append(type(np.zeros(3, int)))
        return np.sum(x)

    hs.grad(f)(X)
    assert kinds == [np.ndarray, np.ndarray, np.ndarray, Blank, np.ndarray]


def test_what_is_handed_out_is_plain() -> None:
    seen: list[Any] = []

    def f(x: Any) -> Any:
        y = np.zeros(2)
        seen.append(pickle.loads(pickle.dumps(y)))
        seen.append(y.__array__())
        assert isinstance(y, np.ndarray)
        assert (y.shape, y.dtype, y.ndim, len(y), str(y)) == ((2,), np.dtype(float), 1, 2, "[0. 0.]")
        assert y.sum() == 0.0
        assert not (y == 1.0).any()
        return np.sum(x), {"blank": y, "list": [np.ones(3)], "text": "a"}

    _, aux = hs.value_and_grad(f, has_aux=True)(X)[0]
    assert type(aux["blank"]) is type(aux["list"][0]) is np.ndarray
    assert all(type(item) is np.ndarray for item in seen)
    assert type(hs.jvp(lambda x: np.zeros(2), X, X)[0]) is np.ndarray


def test_memory_that_was_handed_out_is_no_silent_zero() -> None:
    def f(x: Any) -> Any:
        y = np.zeros(4)
        outside = scipy.linalg.norm  # asks for an array of its own
        assert outside(y) == 0.0
        stale = y.__array__()
        y[0] = x[0]
        assert np.isnan(stale).all()
        return np.sum(y**2)

    assert_array_equal(hs.grad(f)(X), [2 * X[0], 0.0, 0.0, 0.0])


def test_arrays_of_a_closure_stay_plain_and_whole() -> None:
    data = np.zeros(4)

    def f(x: Any) -> Any:
        data[0] = x[0]
        return np.sum(data)

    with pytest.raises((HessianError, TypeError, ValueError)):
        hs.grad(f)(X)
    assert_array_equal(data, np.zeros(4))


def test_attributes_that_lead_to_memory_are_missing() -> None:
    def f(x: Any) -> Any:
        assert not hasattr(np.zeros(2), "__array_interface__")
        assert not hasattr(np.zeros(2), "ctypes")
        return np.sum(x)

    hs.grad(f)(X)


def test_transforms_and_operators_take_them() -> None:
    def f(x: Any) -> Any:
        v, start = np.ones(4), np.zeros(4)
        start[0] = 1.0
        inner = lambda y: np.sum(np.exp(y) * x)
        value, slope = hs.jvp(inner, start, v)
        H = hs.HessianOperator(inner, start)
        return value + slope + np.sum(hs.grad(inner)(start)) + np.sum(hs.hvp(inner, start, v)) + np.sum(H @ v)

    hs.check_derivatives(f, X)


def test_memory_of_others_is_never_taken_over() -> None:
    class Holder:
        def __init__(self) -> None:
            self.values = np.arange(4.0)

        def __array__(self, dtype: Any = None, copy: Any = None) -> np.ndarray:
            return self.values

    data, holder = np.arange(4.0), Holder()

    def f(x: Any, make: Callable[[], Any]) -> Any:
        y = make()
        y[0] = x[0]
        return np.sum(y)

    for make in (
        lambda: np.asarray(data),
        lambda: np.asarray(holder),
        lambda: np.array(data, ndmin=1, copy=None),
        lambda: np.ascontiguousarray(data),
        lambda: np.broadcast_arrays(np.zeros(4), data)[1],
    ):
        with pytest.raises((HessianError, TypeError, ValueError)):
            hs.grad(f)(X, make)
    assert_array_equal(hs.grad(f)(X, lambda: np.array(data)), [1.0, 0.0, 0.0, 0.0])
    assert_array_equal(data, np.arange(4.0))
    assert_array_equal(holder.values, np.arange(4.0))


def test_linear_solvers_of_scipy_take_them() -> None:
    def f(x: Any) -> Any:
        start = scipy.sparse.linalg.cg(2.0 * np.eye(4), np.ones(4))[0]
        return (scipy.sparse.linalg.aslinearoperator(np.diag(np.ones(4))) @ start) @ x

    assert_allclose(hs.grad(f)(X), np.full(4, 0.5))


def test_compiled_code_that_asks_for_memory_is_explained() -> None:
    solver = scipy.sparse.linalg.splu(scipy.sparse.eye_array(4, format="csc"))
    for f in (lambda x: np.sum(solver.solve(x)), lambda x: np.sum(np.frombuffer(np.ones(4)) * x)):
        with pytest.raises(TypeError) as caught:
            hs.grad(f)(X)
        assert "compiled code asks for the memory" in caught.value.__notes__[0]


def test_views_of_views_may_be_many() -> None:
    def f(x: Any) -> Any:
        y = np.zeros(1100)
        tail = y
        for _ in range(1050):
            tail = tail[1:]
        y[1050] = x[0] ** 3
        return tail[0]

    assert_allclose(hs.jvp(f, X, X)[1], 3.0 * X[0] ** 3)


def test_memory_of_others_stays_theirs() -> None:
    """What shows data from outside, as a result or as a target, is no array of the function's own."""
    data, target = np.ones(4), np.zeros(4)

    def f(x: Any) -> Any:
        shown, _ = np.atleast_1d(data, np.zeros(4))
        with pytest.raises(ValueError, match="sequence"):
            shown[0] = x[0]
        _, whole = np.modf(np.full(4, 2.5), out=(target, None))
        assert type(np.add(np.ones(4), 1.0, out=data)) is np.ndarray
        whole[0] = x[0]
        return np.sum(whole * x)

    assert_array_equal(hs.grad(f)(X), [2 * X[0], 2.0, 2.0, 2.0])
    assert_array_equal(data, np.full(4, 2.0))
    assert_array_equal(target, np.full(4, 0.5))


def test_what_cannot_follow_raises_or_is_read_only() -> None:
    def bits(x: Any) -> Any:
        y = np.zeros(4)
        bits = y.view(np.float32)
        y[0] = x[0]
        return np.sum(bits)

    def turned(x: Any) -> Any:
        y = np.zeros(4)
        outside = y.__array__()
        y[0] = x[0]
        outside[1] = 5.0
        return np.sum(y)

    def unread(x: Any) -> Any:
        y = np.broadcast_to(np.zeros(4), (2, 4))
        y[0] = x
        return np.sum(y)

    def trimmed(x: Any) -> Any:
        y = np.array([0.0, 1.0, 0.0])
        middle = np.trim_zeros(y)
        y[0] = x[0]
        return np.sum(middle)

    with pytest.raises((HessianError, AttributeError), match="view"):
        hs.grad(bits)(X)
    for f in (turned, unread):
        with pytest.raises(ValueError, match="read-only"):
            hs.grad(f)(X)
    with pytest.raises(LeavesTapeError, match="shows nothing any more"):
        hs.grad(trimmed)(X)


def test_a_buffer_kept_from_an_earlier_call_is_refused_with_advice() -> None:
    kept: list[Any] = []

    def f(x: Any) -> Any:
        if not kept:
            kept.append(np.zeros(4))
        kept[0][:] = x**2
        return np.sum(kept[0])

    assert_array_equal(hs.grad(f)(X), 2 * X)
    with pytest.raises(HessianError, match="make arrays that are written to anew in every call"):
        hs.grad(f)(X)


def test_functions_of_an_installed_package_are_their_users_in_every_transform() -> None:
    source = (
        "def f(x):\n    y = np.zeros(2)\n    y[0] = x[0] ** 3\n    y[1] = x[1]\n    return np.sum(y * y)\n"
        "def model(x):\n    y = np.zeros(2)\n    y[0] = x[0] ** 3\n    y[1] = x[1]\n    return y\n"
    )
    space: dict[str, Any] = {"__name__": "installed_package.module", "np": np}
    exec(compile(source, f"{sysconfig.get_path('purelib')}/installed_package/module.py", "exec"), space)
    f, model, x, v = space["f"], space["model"], np.array([0.5, 2.0]), np.array([1.0, -1.0])
    slope = [6 * x[0] ** 5, 2 * x[1]]
    assert_allclose(hs.grad(f)(x), slope)
    assert_allclose(hs.grad(hs.record(f))(x), slope)
    assert_allclose(hs.record(f)(x), f(x))
    assert_allclose(hs.third_derivative(f)(x)[0, 0, 0], 120 * x[0] ** 3)
    assert_allclose(hs.GaussNewtonOperator(model, f, x) @ v, hs.GaussNewtonOperator(hs.record(model), f, x) @ v)
    assert hs.locate_nonfinite(f, x, v) is None
    assert hs.optimize.minimize(f, x).fun < 1e-8
    assert_allclose(hs.jacobian(hs.record(model))(x), [[3 * x[0] ** 2, 0.0], [0.0, 1.0]])


def test_arrays_without_axes_may_become_traced() -> None:
    def real(x: Any) -> Any:
        out = np.zeros(())
        out[()] = x**2
        out += x
        return out

    def pair(x: Any) -> Any:
        out = np.zeros((), dtype=complex)
        out[()] = x**2 + 1j * x
        out.real[...] += x
        return np.abs(out) ** 2

    assert hs.grad(real)(3.0) == 7.0
    assert hs.grad(hs.grad(real))(3.0) == 2.0
    assert_allclose(hs.grad(pair)(3.0), 2 * 12.0 * 7.0 + 2 * 3.0)
