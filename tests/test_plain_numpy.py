"""What "plain NumPy" means: idioms people write, differentiated as they stand."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import scipy.sparse
from functions import CASES, Case, direction, flatten, leaves, map_leaves
from numpy.testing import assert_allclose, assert_array_equal

import hessian as hs
from hessian.errors import HessianError, ReadOnlyError

Array = np.ndarray
X = np.array([0.5, -1.5, 2.0, 3.0])


def assert_derivatives(f: Callable[[Any], Any], x: Array, gradient: Any, hessian: Any) -> None:
    """Check value, gradient, Hessian and product, every call twice and with the input left as it was."""
    kept, v = x.copy(), np.random.default_rng(0).standard_normal(x.shape)
    dense = np.reshape(hessian, (x.size, x.size))
    product = (dense @ v.ravel()).reshape(x.shape)
    for _ in range(2):
        value, found = hs.value_and_grad(f)(x)
        assert_allclose(value, f(x), rtol=1e-14, atol=1e-15)
        assert_allclose(found, gradient, rtol=1e-12, atol=1e-14)
        assert_allclose(hs.hessian(f)(x), np.reshape(dense, x.shape * 2), rtol=1e-12, atol=1e-13)
        assert_allclose(hs.hvp(f, x, v), product, rtol=1e-12, atol=1e-13)
        assert_array_equal(x, kept)


SQUARE = (2 * X, 2 * np.eye(4))


# Mixing traced values with Python and NumPy scalars, lists and arrays.

SQUARES: dict[str, Callable[[Any], Any]] = {
    "numpy_scalar_first": lambda x: np.sum(np.float64(2) * x * x) / np.float64(2),
    "array_first": lambda x: np.sum(np.full(4, 2.0) * x * x / np.array(2.0)),
    "zero_dimensional_array": lambda x: (np.array(2.0) * (x * x)).sum() * 0.5,
    "reflected_operators": lambda x: -(1 - (1 + x @ x)),
    "python_sum": lambda x: sum([x[i] ** 2 for i in range(4)]),
    "python_sum_of_iteration": lambda x: sum(xi * xi for xi in x),
    "array_of_scalars": lambda x: np.sum(np.array([x[0], x[1], x[2], x[3]]) ** 2),
    "array_of_expressions": lambda x: np.array([x[0] ** 2, x[1] ** 2 + x[2] ** 2, 0.0, x[3] * x[3]]).sum(),
    "nested_array_of_scalars": lambda x: np.sum(np.array([[x[0], x[1]], [x[2], x[3]]]) ** 2),
    "matmul_with_list_array": lambda x: np.array([x[0], x[1], x[2], x[3]]) @ x,
    "unpacking": lambda x: (lambda a, b, c, d: a * a + b * b + c * c + d * d)(*x),
    "range_of_len": lambda x: sum(x[i] * x[i] for i in range(len(x))),
    "range_of_shape": lambda x: sum(x[i] * x[i] for i in range(x.shape[0])),
    "enumerate_zip": lambda x: sum(a * b for _, (a, b) in enumerate(zip(x, x, strict=True))),
    "abs_builtin": lambda x: sum(abs(xi) ** 2 for xi in x),
    "abs_of_array": lambda x: np.sum(abs(x) * np.absolute(x)),
    "pow_builtin": lambda x: pow(x, 2).sum(),
    "negative_index": lambda x: x[-1] ** 2 + x[-2] ** 2 + x[-3] ** 2 + x[-4] ** 2,
    "ellipsis_and_newaxis": lambda x: np.sum(x[..., None] * x[:, np.newaxis]),
    "reversed_slices": lambda x: x[::-1] @ x[::-1],
    "fancy_index": lambda x: np.sum(x[[3, 1, 0, 2]] ** 2),
    "boolean_masks": lambda x: np.sum(x[x > 0] ** 2) + np.sum(x[x <= 0] ** 2),
    "boolean_mask_array": lambda x: np.sum(x[np.array([True, False, True, True])] ** 2) + x[1] ** 2,
    "comparison_product": lambda x: np.sum((x > 0) * x**2 + (x <= 0) * x**2),
    "argmax_as_index": lambda x: x[int(np.argmax(x))] ** 2 + np.sum(x[: int(np.argmax(x))] ** 2),
    "argsort_as_index": lambda x: np.sum(x[np.argsort(x)] ** 2),
    "sorted_by_numpy": lambda x: np.sum(np.sort(x) ** 2),
    "list_of_indices": lambda x: np.sum(np.stack([x[i] for i in (0, 1, 2, 3)]) ** 2),
    "dot_method": lambda x: x.dot(x),
    "numpy_dot": lambda x: np.dot(x, x),
    "outer_trace": lambda x: np.trace(np.outer(x, x)),
    "norm": lambda x: np.linalg.norm(x) ** 2,
    "einsum": lambda x: np.einsum("i,i->", x, x),
    "assert_in_function": lambda x: np.square(x).sum(axis=0, keepdims=False),
    "zeros_like_plus": lambda x: np.sum((np.zeros_like(x) + x) * (np.ones_like(x) * x)),
    "full_like": lambda x: np.sum(np.full_like(x, 2.0) * x * x) / 2,
    "copy": lambda x: np.sum(x.copy() * np.copy(x)),
    "asanyarray_constant": lambda x: np.asanyarray([1.0, 1.0, 1.0, 1.0]) @ x**2,
    "integer_array_first": lambda x: np.array([1, 1, 1, 1]) @ (x * x),
    "boolean_where": lambda x: np.where(x > 0, x, -x) @ np.where(x > 0, x, -x),
    "positive_and_true_divide": lambda x: np.sum((+x) * x / 1),
    "floor_divide_of_constants": lambda x: np.sum(x**2) * (5 // 5),
}


@pytest.mark.parametrize("name", SQUARES)
def test_ways_to_write_a_sum_of_squares(name: str) -> None:
    assert_derivatives(SQUARES[name], X, *SQUARE)


METHODS: dict[str, tuple[Callable[[Any], Any], Callable[[Any], Any]]] = {
    "sum": (lambda x: (x**2).sum(axis=1)[0], lambda x: np.sum(x**2, axis=1)[0]),
    "mean": (lambda x: (x**2).mean(), lambda x: np.mean(x**2)),
    "prod": (lambda x: x.prod(axis=0).sum(), lambda x: np.sum(np.prod(x, axis=0))),
    "var": (lambda x: x.var(), lambda x: np.var(x)),
    "std": (lambda x: x.std(axis=1).sum(), lambda x: np.sum(np.std(x, axis=1))),
    "max": (lambda x: (x * x).max(axis=1).sum(), lambda x: np.sum(np.max(x * x, axis=1))),
    "min": (lambda x: (x * x).min(), lambda x: np.min(x * x)),
    "cumsum": (lambda x: (x.cumsum(axis=1) ** 2).sum(), lambda x: np.sum(np.cumsum(x, axis=1) ** 2)),
    "reshape": (
        lambda x: x.reshape(3, 2)[1] @ x.reshape((-1,))[:2],
        lambda x: np.reshape(x, (3, 2))[1] @ np.ravel(x)[:2],
    ),
    "T": (lambda x: (x.T @ x).trace(), lambda x: np.trace(np.transpose(x) @ x)),
    "transpose": (lambda x: x.transpose(1, 0)[0] @ x[:, 1], lambda x: np.transpose(x)[0] @ x[:, 1]),
    "swapaxes": (lambda x: x.swapaxes(0, 1)[2] @ x[:, 0], lambda x: np.swapaxes(x, 0, 1)[2] @ x[:, 0]),
    "ravel": (lambda x: x.ravel()[4] * x.ravel()[0], lambda x: np.ravel(x)[4] * x[0, 0]),
    "flatten": (lambda x: x.flatten() @ x.flatten(), lambda x: np.sum(x * x)),
    "squeeze": (lambda x: x[:1].squeeze() @ x[1], lambda x: np.squeeze(x[:1]) @ x[1]),
    "take": (lambda x: (x.take([0, 2], axis=1) ** 2).sum(), lambda x: np.sum(np.take(x, [0, 2], axis=1) ** 2)),
    "repeat": (lambda x: (x.repeat(2, axis=0) ** 2).sum(), lambda x: np.sum(np.repeat(x, 2, axis=0) ** 2)),
    "diagonal": (lambda x: x.diagonal() @ x.diagonal(), lambda x: np.sum(np.diagonal(x) ** 2)),
    "clip": (lambda x: (x.clip(-1, 1) ** 2).sum(), lambda x: np.sum(np.clip(x, -1, 1) ** 2)),
    "dot": (lambda x: x.dot(np.ones(3)) @ x[:, 0], lambda x: np.dot(x, np.ones(3)) @ x[:, 0]),
    "astype": (lambda x: (x.astype(float) ** 2).sum(), lambda x: np.sum(x**2)),
}


@pytest.mark.parametrize("name", METHODS)
def test_methods_are_the_functions(name: str) -> None:
    method, function = METHODS[name]
    x = np.array([[0.5, -1.2, 2.0], [1.5, 0.3, -0.7]])
    assert_allclose(method(x), function(x), rtol=1e-15)
    assert_allclose(hs.value_and_grad(method)(x)[0], function(x), rtol=1e-15)
    assert_array_equal(hs.grad(method)(x), hs.grad(function)(x))
    assert_array_equal(hs.hessian(method)(x), hs.hessian(function)(x))
    assert np.any(hs.hessian(method)(x))


def test_attributes_of_a_traced_value() -> None:
    seen: dict[str, Any] = {}

    def f(x: Any) -> Any:
        seen.update(shape=x.shape, ndim=x.ndim, size=x.size, dtype=x.dtype, length=len(x), numpy=np.shape(x))
        seen.update(ndims=np.ndim(x), sizes=np.size(x), transposed=x.T.shape, text=repr(x))
        return np.sum(x**2)

    hs.grad(f)(np.ones((2, 3)))
    assert seen["shape"] == seen["numpy"] == (2, 3)
    assert seen["ndim"] == seen["ndims"] == 2
    assert seen["size"] == seen["sizes"] == 6
    assert seen["dtype"] == np.float64
    assert seen["length"] == 2
    assert seen["transposed"] == (3, 2)
    assert "Variable" in seen["text"]


# Control flow steered by values.


def branching(x: Any) -> Any:
    if x[0] > 0 and not x[1] >= 0:
        return x[0] ** 3 * x[1]
    elif x.sum() < 0 or x[0] == x[1]:
        return np.exp(x[0] - x[1])
    return x[1] ** 2


@pytest.mark.parametrize(
    ("x", "gradient", "hessian"),
    [
        ([2.0, -1.0], [-12.0, 8.0], [[-12.0, 12.0], [12.0, 0.0]]),
        ([-2.0, -2.0], [1.0, -1.0], [[1.0, -1.0], [-1.0, 1.0]]),
        ([-2.0, 5.0], [0.0, 10.0], [[0.0, 0.0], [0.0, 2.0]]),
    ],
)
def test_branches(x: list[float], gradient: list[float], hessian: list[list[float]]) -> None:
    assert_derivatives(branching, np.array(x), gradient, hessian)


def test_the_same_function_on_both_sides_of_a_branch() -> None:
    """Calls do not remember the branch that an earlier call took."""
    gradient = hs.grad(branching)
    for _ in range(2):
        assert_array_equal(gradient(np.array([2.0, -1.0])), [-12.0, 8.0])
        assert_array_equal(gradient(np.array([-2.0, 5.0])), [0.0, 10.0])


def test_while_loop_and_break() -> None:
    def halve(x: Any) -> Any:
        count = 0
        while x > 1.0:
            x, count = x / 2, count + 1
            if count > 20:
                break
        return x**2 * count

    # 10 -> 0.625 in four halvings: f = 4 (x / 16)^2.
    assert_allclose(hs.grad(halve)(10.0), 8 * 10.0 / 256, rtol=1e-15)
    assert_allclose(hs.hessian(halve)(10.0), 8 / 256, rtol=1e-15)


def test_max_min_sorted_builtins() -> None:
    x = np.array([3.0, -1.0, 2.0])
    assert_derivatives(lambda x: max(x) * min(x), x, [-1.0, 3.0, 0.0], [[0, 1, 0], [1, 0, 0], [0, 0, 0]])
    assert_derivatives(lambda x: sorted(x)[1] ** 2, x, [0.0, 0.0, 4.0], np.diag([0.0, 0.0, 2.0]))


def test_divmod_and_modulo() -> None:
    x = np.array([7.5, 2.25])
    assert_derivatives(lambda x: np.sum((x % 2.0) ** 2), x, 2 * (x % 2.0), 2 * np.eye(2))

    def f(x: Any) -> Any:
        quotient, remainder = divmod(x, 2.0)
        return np.sum(quotient * remainder**2)

    assert_derivatives(f, x, 2 * (x // 2.0) * (x % 2.0), np.diag(2 * (x // 2.0)))


def test_functions_of_zero_slope() -> None:
    x = np.array([1.3, -2.6])
    pieces = (np.floor, np.ceil, np.sign, np.rint, np.trunc)
    for piece in pieces:
        assert_derivatives(lambda x, piece=piece: np.sum(piece(x) * x), x, piece(x), np.zeros((2, 2)))


def test_comparisons_are_plain_booleans_to_python() -> None:
    seen = []

    def f(x: Any) -> Any:
        seen.extend([bool(x[0] < x[1]), bool(x[0] != x[1]), bool(np.all(x > 0)), bool(np.any(x > 2)), bool(x[0])])
        seen.append(np.isfinite(x).all() and not np.isnan(x).any())
        return x @ x

    hs.grad(f)(np.array([1.0, 2.0]))
    assert [bool(entry) for entry in seen] == [True, True, True, False, True, True]


# Assignment in place.


def test_assignment_to_zeros_like() -> None:
    def f(x: Any) -> Any:
        y = np.zeros_like(x)
        for i in range(4):
            y[i] = x[i] ** 2 * (i + 1)
        y *= 2
        y[1:3] += x[:2]
        y[-1] = 0.0
        return np.sum(y)

    weights = np.array([4.0, 8.0, 12.0, 0.0])
    assert_derivatives(f, X, weights * X / 1.0 + np.array([1.0, 1.0, 0.0, 0.0]), np.diag(weights))


def test_assignment_replaces_what_was_there() -> None:
    def f(x: Any) -> Any:
        y = x * x
        y[0] = x[1]
        y[0] = x[2] ** 3
        return np.sum(y)

    gradient, hessian = [0.0, -3.0, 4.0 + 12.0, 6.0], np.diag([0.0, 2.0, 2.0 + 12.0, 2.0])
    assert_derivatives(f, X, gradient, hessian)


def test_assignment_of_a_constant_and_by_masks() -> None:
    def f(x: Any) -> Any:
        y = x**2
        y[x < 0] = 7.0
        y[[0, 3]] *= x[2]
        return np.sum(y)

    # 0.5^2 x2 + 7 + x2^2 + 3^2 x2
    hessian = np.zeros((4, 4))
    hessian[0, 0] = hessian[3, 3] = 2 * X[2]
    hessian[0, 2] = hessian[2, 0] = 2 * X[0]
    hessian[3, 2] = hessian[2, 3] = 2 * X[3]
    hessian[2, 2] = 2.0
    gradient = [2 * X[0] * X[2], 0.0, 2 * X[2] + X[0] ** 2 + X[3] ** 2, 2 * X[3] * X[2]]
    assert_derivatives(f, X, gradient, hessian)


@pytest.mark.parametrize(
    "change",
    [
        lambda y: y.__iadd__(1.0),
        lambda y: y.__isub__(-1.0),
        lambda y: y.__imul__(2.0),
        lambda y: y.__itruediv__(0.5),
        lambda y: y.__ipow__(2),
    ],
    ids=["+=", "-=", "*=", "/=", "**="],
)
def test_augmented_assignment_equals_the_plain_operation(change: Callable[[Any], Any]) -> None:
    def f(x: Any) -> Any:
        y = x * x
        y = change(y)
        return np.sum(y * x)

    expected = hs.grad(f)(X)
    step = 1e-6
    plain = [(f(X + step * e) - f(X - step * e)) / (2 * step) for e in np.eye(4)]
    assert_allclose(expected, plain, rtol=1e-7)


def test_assignment_does_not_touch_the_argument() -> None:
    def f(x: Any) -> Any:
        y = x.copy()
        y[0] = 0.0
        return y @ y + x[0] ** 3

    assert_derivatives(f, X, [3 * 0.25, -3.0, 4.0, 6.0], np.diag([3.0, 2.0, 2.0, 2.0]))


def test_assignment_to_the_parameter_itself() -> None:
    """Changing the argument inside f changes f's own copy, never the caller's array."""

    def f(x: Any) -> Any:
        value = x[0] ** 2
        x[0] = 5.0
        return value + x[0] * x[1]

    x = np.array([3.0, 2.0])
    assert_array_equal(hs.grad(f)(x), [6.0, 5.0])
    assert_array_equal(x, [3.0, 2.0])


def test_handles_to_the_same_value_see_the_assignment() -> None:
    def f(x: Any) -> Any:
        y = x * 1.0
        alias = y
        y[0] = x[1] ** 2
        return alias[0] * x[0]

    assert_array_equal(hs.grad(f)(np.array([3.0, 2.0])), [4.0, 12.0])


# In NumPy these are views: they show later changes of the array, and changes made through them reach it.

VIEWS: dict[str, Callable[[Any], Any]] = {
    "slice": lambda y: y[1:],
    "reversed": lambda y: y[::-1],
    "whole": lambda y: y[:],
    "ellipsis": lambda y: y[...],
    "newaxis": lambda y: y[None],
    "row": lambda y: y[1],
    "column": lambda y: y[:, 1],
    "iteration": lambda y: list(y)[1],
    "reshape": lambda y: y.reshape(9),
    "ravel": np.ravel,
    "ravel_method": lambda y: y.ravel(),
    "flat": lambda y: y.flat,
    "T": lambda y: y.T,
    "mT": lambda y: y.mT,
    "transpose": np.transpose,
    "swapaxes": lambda y: np.swapaxes(y, 0, 1),
    "moveaxis": lambda y: np.moveaxis(y, 0, 1),
    "rollaxis": lambda y: np.rollaxis(y, 1),
    "flip": np.flip,
    "fliplr": np.fliplr,
    "flipud": np.flipud,
    "rot90": np.rot90,
    "squeeze": np.squeeze,
    "expand_dims": lambda y: np.expand_dims(y, 0),
    "atleast_2d": np.atleast_2d,
    "broadcast_to": lambda y: np.broadcast_to(y, (2, 3, 3)),
    "diagonal": np.diagonal,
    "diagonal_method": lambda y: y.diagonal(),
    "linalg_diagonal": np.linalg.diagonal,
    "diag": np.diag,
    "split": lambda y: np.split(y, 3)[1],
    "hsplit": lambda y: np.hsplit(y, 3)[1],
    "real": np.real,
    "astype_without_copy": lambda y: y.astype(float, copy=False),
}
SQUARE_MATRIX = np.arange(1.0, 10.0).reshape(3, 3)


def assert_as_numpy_or_refused(f: Callable[[Any], Any], x: Array) -> None:
    """Require NumPy's value and its slopes (by differences), or an error: a different number is the one wrong answer."""
    try:
        hs.value_and_grad(f)(x)
    except HessianError:
        return
    assert_as_numpy(f, x)


def assert_as_numpy(f: Callable[[Any], Any], x: Array) -> None:
    """Require NumPy's value and its slopes by differences."""
    value, gradient = hs.value_and_grad(f)(x)
    step, slopes = 1e-6, np.zeros(x.size)
    for i, e in enumerate(np.eye(x.size).reshape(-1, *x.shape)):
        slopes[i] = (f(x + step * e) - f(x - step * e)) / (2 * step)
    assert_allclose(value, f(x.copy()), rtol=1e-14)
    assert_allclose(gradient.ravel(), slopes, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("name", [name for name in VIEWS if name != "flat"])  # NumPy has no arithmetic of flatiters
def test_a_view_taken_before_an_assignment(name: str) -> None:
    def f(x: Any) -> Any:
        y = x * 1.0
        window = VIEWS[name](y)
        y[1, 1] = x[0, 0] ** 2
        y[1] += 1.0
        return np.sum(window * window)

    assert_as_numpy(f, SQUARE_MATRIX)


@pytest.mark.parametrize("name", [name for name in VIEWS if name not in ("diagonal", "diagonal_method", "diag")])
def test_writing_through_a_view(name: str) -> None:
    if name in ("broadcast_to", "linalg_diagonal"):
        pytest.skip("NumPy makes this view read-only")

    def f(x: Any) -> Any:
        y = x * 1.0
        window = VIEWS[name](y)
        window[1:] = 0.5
        return np.sum(y * y)

    assert_as_numpy(f, SQUARE_MATRIX)


@pytest.mark.parametrize("name", ["broadcast_to", "linalg_diagonal", "diagonal", "diagonal_method", "diag"])
def test_writing_to_a_read_only_view(name: str) -> None:
    def f(x: Any) -> Any:
        y = x * 1.0
        VIEWS[name](y)[1:] = 0.5
        return np.sum(y * y)

    with pytest.raises(ValueError, match="read-only"):
        f(SQUARE_MATRIX)
    with pytest.raises(ReadOnlyError, match="read-only"):
        hs.grad(f)(SQUARE_MATRIX)


IN_PLACE: dict[str, Callable[[Any], Any]] = {
    "sort": lambda y: y.sort(),
    "sort_axis": lambda y: y.sort(axis=0),
    "partition": lambda y: y.partition(1),
    "fill": lambda y: y.fill(2.0),
    "put": lambda y: y.put([0], [5.0]),
    "np.put": lambda y: np.put(y, [0], [5.0]),
    "np.copyto": lambda y: np.copyto(y, 3.0),
    "np.fill_diagonal": lambda y: np.fill_diagonal(y, 0.0),
    "np.place": lambda y: np.place(y, SQUARE_MATRIX > 4, [5.0]),
    "np.putmask": lambda y: np.putmask(y, SQUARE_MATRIX > 4, 5.0),
    "np.add.at": lambda y: np.add.at(y, [0, 0], 1.0),
    "resize": lambda y: y.resize((3, 3)),
}


@pytest.mark.parametrize("name", IN_PLACE)
def test_methods_that_change_the_array(name: str) -> None:
    def f(x: Any) -> Any:
        y = x[::-1, ::-1] * 1.0
        IN_PLACE[name](y)
        return np.sum(y * np.arange(9.0).reshape(3, 3))

    try:
        assert_as_numpy_or_refused(f, SQUARE_MATRIX)
    except (AttributeError, TypeError) as error:
        assert "traced" in str(error) or "Variable" in str(error)  # noqa: PT017


def test_assignment_into_integers_truncates_or_is_refused() -> None:
    def f(x: Any) -> Any:
        y = np.zeros_like(x, dtype=int)
        y[0] = 3.7 * x[0]
        return np.sum(y * x)

    assert_as_numpy_or_refused(f, np.array([3.1, 1.0]))


def test_an_index_that_names_an_element_twice() -> None:
    def f(x: Any) -> Any:
        y = x * 1.0
        y[[0, 0]] = np.stack([x[1] ** 2, x[2] ** 3])
        return np.sum(y)

    assert_as_numpy_or_refused(f, X)


def test_overlapping_and_simultaneous_assignment() -> None:
    def shift(x: Any) -> Any:
        y = x * 1.0
        y[1:] += y[:-1] ** 2
        y[:] = y[::-1]
        y[0], y[1] = y[1], y[0]
        return np.sum(y * x)

    def rows(x: Any) -> Any:
        y = x.reshape(2, 2) * 1.0
        y[[0, 1]] = y[[1, 0]]
        for row in y:
            row *= x[0]
            row[0] += 1.0
        y[0][1] = x[3] ** 2
        return np.sum(y**2)

    for f in (shift, rows):
        hs.grad(f)(X)
        assert_as_numpy_or_refused(f, X)


# Constants that change after their use: the recording keeps what was seen.


def refilled_factor(x: Any) -> Any:
    work = np.ones(4)
    y = work * x**2
    work[:] = 7.0
    return np.sum(y * work * x)


def refilled_index(x: Any) -> Any:
    index = np.array([0, 1])
    y = x[index] ** 2 + np.take(x, index) * np.take_along_axis(x, index, 0)
    index[:] = 2
    return np.sum(y)


def refilled_mask(x: Any) -> Any:
    mask = np.array([True, False, True, False])
    y = np.where(mask, x, x**3) + np.sum(x[mask] ** 2)
    mask[:] = True
    return np.sum(y * x)


def refilled_matrix(x: Any) -> Any:
    matrix = 2.0 * np.eye(4)
    y = np.linalg.solve(matrix, matrix @ x) * np.einsum("ij,j->i", matrix, x)
    matrix[:] = 3.0
    return np.sum(y**2)


def refilled_sparse_matrix(x: Any) -> Any:
    matrix = scipy.sparse.csr_array(np.eye(4))
    y = matrix @ x
    matrix.data[:] = 3.0
    return np.sum(y**2)


def refilled_base_of_a_read_only_view(x: Any) -> Any:
    work = np.ones(4)
    y = np.broadcast_to(work, (4,)) * x**2
    work[:] = 7.0
    return np.sum(y)


@pytest.mark.parametrize(
    "f",
    [
        refilled_factor,
        refilled_index,
        refilled_mask,
        refilled_matrix,
        refilled_sparse_matrix,
        refilled_base_of_a_read_only_view,
    ],
    ids=lambda f: f.__name__,
)
def test_constants_that_change_after_their_use(f: Callable[[Any], Any]) -> None:
    v, step = np.array([1.0, -0.5, 0.3, 2.0]), 1e-6
    hs.grad(f)(X)
    assert_as_numpy_or_refused(f, X)
    slope = (hs.grad(f)(X + step * v) - hs.grad(f)(X - step * v)) / (2 * step)
    assert_allclose(hs.hvp(f, X, v), slope, rtol=1e-6, atol=1e-6)


def test_a_copy_is_not_a_view() -> None:
    def f(x: Any) -> Any:
        y = x * 1.0
        kept = y[1:].copy()
        y[1] = 0.0
        return np.sum(kept**2) + np.sum(y)

    assert_array_equal(hs.grad(f)(X), [1.0, -3.0, 5.0, 7.0])


# Sparse matrices.


@pytest.mark.parametrize("kind", ["csr_array", "csc_array", "coo_array", "bsr_array", "dia_array", "csr_matrix"])
def test_sparse_times_traced(kind: str) -> None:
    dense = np.array([[1.0, 0.0, -2.0, 0.0], [0.0, 3.0, 0.0, 0.0], [0.0, 0.0, 0.0, 4.0]])
    sparse = getattr(scipy.sparse, kind)(dense)
    assert_derivatives(lambda x: 0.5 * np.sum((sparse @ x) ** 2), X, dense.T @ dense @ X, dense.T @ dense)
    assert_derivatives(
        lambda x: np.sum((sparse.T @ x[:3]) ** 2),
        X,
        np.append(2 * dense @ dense.T @ X[:3], 0.0),
        np.pad(2 * dense @ dense.T, ((0, 1), (0, 1))),
    )


def test_sparse_times_a_traced_matrix_and_from_the_right() -> None:
    dense = np.array([[1.0, 0.0, -2.0], [0.0, 3.0, 0.0]])
    sparse = scipy.sparse.csr_array(dense)
    x = np.arange(6.0).reshape(3, 2) + 1
    expected = 2 * dense.T @ (dense @ x)
    assert_array_equal(hs.grad(lambda x: np.sum((sparse @ x) ** 2))(x), expected)
    y = x.T[:, :2]
    assert_array_equal(hs.grad(lambda y: np.sum((y @ sparse) ** 2))(y), 2 * (y @ dense) @ dense.T)


# Types of numbers.


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_dtype_is_kept(dtype: type) -> None:
    x, v = X.astype(dtype), np.ones(4, dtype)

    def f(x: Any) -> Any:
        smooth = np.mean(np.tanh(2.0 * x) ** 2) + np.sum(np.exp(-x) / 3)
        return smooth + 0.5 * np.sum(x[1:] * x[:-1]) + np.sqrt(np.var(x))

    assert f(x).dtype == dtype
    value, gradient = hs.value_and_grad(f)(x)
    assert np.asarray(value).dtype == dtype
    assert gradient.dtype == dtype
    assert hs.hessian(f)(x).dtype == dtype
    assert all(part.dtype == dtype for part in hs.grad_and_hvp(f, x, v))
    assert all(np.asarray(part).dtype == dtype for part in hs.jvp(f, x, v))
    assert hs.jacobian(lambda x: x * x)(x).dtype == dtype
    assert_allclose(hs.hessian(f)(x), hs.hessian(f)(X), rtol=0, atol=2e-6 if dtype == np.float32 else 1e-14)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_catalogue_in_single_precision(case: Case) -> None:
    """The gradient has the parameters' dtype whatever the constants in f are, and the digits that dtype allows."""
    x = map_leaves(lambda leaf: leaf.astype(np.float32), case.x)
    gradient = hs.grad(case.with_numpy)(x)
    assert all(leaf.dtype == np.float32 for leaf in leaves(gradient))
    exact = flatten(hs.grad(case.with_numpy)(case.x))
    assert_allclose(flatten(gradient), exact, rtol=0, atol=2e-3 * np.max(abs(exact)))


def test_python_floats_and_ints_as_parameters() -> None:
    assert hs.grad(lambda x: x**2)(3.0) == 6.0
    assert hs.hessian(lambda x: x**3)(2.0) == 12.0
    assert np.shape(hs.grad(np.sin)(0.5)) == ()
    assert hs.hvp(lambda x: x**3, 2.0, 1.0) == 12.0


# Every call twice, inputs unmutated, results the caller's own.


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_calls_repeat_and_leave_everything_alone(case: Case) -> None:
    f, x, v = case.with_numpy, case.x, direction(case.x, seed=3)
    kept = flatten(x).copy(), flatten(v).copy()
    first, copies = None, None
    for _ in range(2):
        results = [hs.grad(f)(x), hs.hvp(f, x, v)]
        if first is None:
            first, copies = results, [flatten(result).copy() for result in results]
        for result, copy in zip(results, copies, strict=True):
            assert_array_equal(flatten(result), copy)
    for result, copy in zip(first, copies, strict=True):
        assert_array_equal(flatten(result), copy)
    assert_array_equal(flatten(x), kept[0])
    assert_array_equal(flatten(v), kept[1])


def test_results_are_not_overwritten_by_later_calls() -> None:
    def f(x: Any) -> Any:
        return np.sum(np.exp(x) * x)

    operator = hs.HessianOperator(f, X)
    v, w = np.ones(4), np.arange(4.0)
    first = operator @ v
    gradient = operator.gradient
    kept, kept_gradient = first.copy(), gradient.copy()
    operator @ w
    operator @ np.eye(4)
    operator.to_dense()
    assert_array_equal(first, kept)
    assert_array_equal(operator.gradient, kept_gradient)
    assert_array_equal(operator @ v, kept)


def test_results_do_not_share_memory_with_inputs_or_constants() -> None:
    constant = np.array([1.0, 2.0, 3.0, 4.0])
    gradient = hs.grad(lambda x: np.sum(x) + 0 * np.sum(x**2))(X)
    gradient[:] = -1.0
    assert_array_equal(hs.grad(lambda x: np.sum(x))(X), np.ones(4))
    linear = hs.grad(lambda x: constant @ x)(X)
    assert not np.shares_memory(linear, constant)
    assert not np.shares_memory(hs.grad(lambda x: 0.5 * x @ x)(X), X)
    identity = hs.jvp(lambda x: x, X, constant)
    assert not np.shares_memory(identity[0], X)
    assert not np.shares_memory(identity[1], constant)


def test_an_operator_keeps_its_point_when_the_input_changes() -> None:
    x = X.copy()
    operator = hs.HessianOperator(lambda x: np.sum(x**4), x)
    x[:] = 0.0
    assert_allclose(operator @ np.ones(4), 12 * X**2, rtol=1e-14)
    assert_allclose(operator.gradient, 4 * X**3, rtol=1e-14)


def test_unused_and_constant_outputs() -> None:
    assert_derivatives(lambda x: x[0] * 2.0, X, [2.0, 0.0, 0.0, 0.0], np.zeros((4, 4)))
    assert_derivatives(lambda x: 3.0, X, np.zeros(4), np.zeros((4, 4)))
    assert_derivatives(lambda x: np.sum(np.ones(3)), X, np.zeros(4), np.zeros((4, 4)))


def test_empty_arrays() -> None:
    empty = np.zeros(0)
    assert hs.grad(lambda x: np.sum(x**2))(empty).shape == (0,)
    assert hs.hessian(lambda x: np.sum(x**2))(empty).shape == (0, 0)


@pytest.mark.parametrize("order", ["C", "F"])
def test_memory_layout_does_not_matter(order: str) -> None:
    x = np.asarray(np.arange(12.0).reshape(3, 4) / 7, order=order)
    functions: list[Callable[[Any], Any]] = [
        lambda x: np.sum(np.sin(x) @ x.T),
        lambda x: np.sum(x.reshape(4, 3)[:, 0] ** 3),
        lambda x: np.sum(x.ravel()[::2] ** 3),
    ]
    for f in functions:
        reference = np.ascontiguousarray(x)
        assert_allclose(hs.grad(f)(x), hs.grad(f)(reference), rtol=1e-14)
        assert_allclose(hs.hessian(f)(x), hs.hessian(f)(reference), rtol=1e-14)


def test_read_only_input() -> None:
    x = X.copy()
    x.flags.writeable = False
    assert_array_equal(hs.grad(lambda x: x @ x)(x), 2 * X)
    assert_array_equal(hs.HessianOperator(lambda x: x @ x, x) @ x, 2 * X)
