"""Transforms compose: every order, combination and container, against closed forms and algebraic identities."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from functions import CASES, Case, by_name, direction, flatten, map_leaves
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

import hessian as hs
from hessian.rules.pieces import assemble_op

Array = np.ndarray
Transform = Callable[[Callable[[Any], Any]], Callable[[Any], Any]]


# Orders one to four of functions of one number, by every combination of transforms.

DERIVATIVES: dict[str, Transform] = {
    "grad": lambda f: hs.grad(f),
    "jvp": lambda f: lambda x: hs.jvp(f, x, np.ones_like(x))[1],
    "vjp": lambda f: lambda x: hs.vjp(f, x)[1](np.ones_like(x)),
    "jacobian": lambda f: hs.jacobian(f),
    "directional": lambda f: lambda x: hs.directional(f, x, np.ones_like(x)),
    "value_and_grad": lambda f: lambda x: hs.value_and_grad(f)(x)[1],
}
SECOND_DERIVATIVES: dict[str, Transform] = {
    "hvp": lambda f: lambda x: hs.hvp(f, x, np.ones_like(x)),
    "grad_and_hvp": lambda f: lambda x: hs.grad_and_hvp(f, x, np.ones_like(x))[1],
    "hessian": lambda f: hs.hessian(f),
    "directional": lambda f: lambda x: hs.directional(f, x, np.ones_like(x), np.ones_like(x)),
    "taylor": lambda f: lambda x: 2.0 * hs.taylor(f, x, np.ones_like(x), order=2)[2],
}

# Each function with its derivatives of order 0 to 4.
SCALARS: dict[str, list[Callable[[float], float]]] = {
    "polynomial": [
        lambda x: x**5 - 3 * x**3 + x,
        lambda x: 5 * x**4 - 9 * x**2 + 1,
        lambda x: 20 * x**3 - 18 * x,
        lambda x: 60 * x**2 - 18,
        lambda x: 120 * x,
    ],
    "exp": [lambda x: np.exp(2 * x)] + [lambda x, k=k: 2.0**k * np.exp(2 * x) for k in range(1, 5)],
    "sin": [np.sin, np.cos, lambda x: -np.sin(x), lambda x: -np.cos(x), np.sin],
    "reciprocal": [lambda x, k=k: (-1) ** k * math.factorial(k) / x ** (k + 1) for k in range(5)],
    "log": [np.log] + [lambda x, k=k: (-1) ** (k - 1) * math.factorial(k - 1) / x**k for k in range(1, 5)],
    "gaussian": [
        lambda x: np.exp(-(x**2) / 2),
        lambda x: -x * np.exp(-(x**2) / 2),
        lambda x: (x**2 - 1) * np.exp(-(x**2) / 2),
        lambda x: (3 * x - x**3) * np.exp(-(x**2) / 2),
        lambda x: (x**4 - 6 * x**2 + 3) * np.exp(-(x**2) / 2),
    ],
}
POINT = 0.7


@pytest.mark.parametrize("name", SCALARS)
@pytest.mark.parametrize("order", [1, 2, 3])
def test_orders_one_to_three_by_all_combinations(name: str, order: int) -> None:
    f, expected = SCALARS[name][0], SCALARS[name][order](POINT)
    for chain in itertools.product(DERIVATIVES.values(), repeat=order):
        nested = f
        for transform in chain:
            nested = transform(nested)
        assert_allclose(nested(POINT), expected, rtol=1e-12)


@pytest.mark.parametrize("name", SCALARS)
def test_order_four(name: str) -> None:
    f, expected = SCALARS[name][0], SCALARS[name][4](POINT)
    chains = list(itertools.product((DERIVATIVES["grad"], DERIVATIVES["jvp"]), repeat=4))
    chains += list(itertools.product(SECOND_DERIVATIVES.values(), repeat=2))
    for chain in chains:
        nested = f
        for transform in chain:
            nested = transform(nested)
        assert_allclose(nested(POINT), expected, rtol=1e-11)


@pytest.mark.parametrize("name", SCALARS)
def test_first_orders_of_second_orders(name: str) -> None:
    f, expected = SCALARS[name][0], SCALARS[name][3](POINT)
    for first, second in itertools.product(DERIVATIVES.values(), SECOND_DERIVATIVES.values()):
        assert_allclose(first(second(f))(POINT), expected, rtol=1e-12)
        assert_allclose(second(first(f))(POINT), expected, rtol=1e-12)


@pytest.mark.parametrize("order", range(7))
def test_directional_of_any_order_in_one_variable(order: int) -> None:
    assert_allclose(hs.directional(np.exp, 0.3, *[2.0] * order), 2.0**order * np.exp(0.3), rtol=1e-12)


# Functions of arrays: all combinations of order two and three as tensors.


def cubic(x: Any) -> Any:
    """Evaluate sum of a_ijk x_i x_j x_k: its third derivative is the symmetrised tensor times six."""
    return np.einsum("ijk,i,j,k->", TENSOR, x, x, x)


TENSOR = np.random.default_rng(0).standard_normal((3, 3, 3))
SYMMETRISED = sum(np.transpose(TENSOR, axes) for axes in itertools.permutations(range(3)))
XS = np.array([0.4, -1.2, 0.9])


def filled_cubic(x):
    """The same, of an array whose elements are numbers before they are written."""
    y = np.zeros(3)
    y[:] = 1.0
    y[0] = x[0]
    y[1:] = x[1:]
    return cubic(y)


def test_tensor_of_third_derivatives() -> None:
    second = SYMMETRISED @ XS
    for f in (hs.hessian(cubic), hs.jacobian(hs.grad(cubic)), hs.jacobian(hs.jacobian(cubic))):
        assert_allclose(f(XS), second, rtol=1e-12, atol=1e-13)
        assert_allclose(hs.jacobian(f)(XS), SYMMETRISED, rtol=1e-12, atol=1e-13)
    assert_allclose(hs.grad(cubic)(XS), SYMMETRISED @ XS @ XS / 2, rtol=1e-12)
    assert_allclose(hs.third_derivative(filled_cubic)(XS), SYMMETRISED, rtol=1e-12, atol=1e-13)


def test_directional_contracts_the_tensor() -> None:
    u, v, w = np.random.default_rng(1).standard_normal((3, 3))
    assert_allclose(hs.directional(cubic, XS, u, v, w), np.einsum("ijk,i,j,k->", SYMMETRISED, u, v, w), rtol=1e-12)
    assert_allclose(hs.directional(cubic, XS, u, v), u @ (SYMMETRISED @ XS) @ v, rtol=1e-12)
    assert_allclose(hs.directional(cubic, XS, u, v, w, u), 0.0, atol=1e-12)
    assert_allclose(hs.directional(cubic, XS, w, v, u), hs.directional(cubic, XS, u, v, w), rtol=1e-12)


def test_directional_of_a_function_of_arrays() -> None:
    v, w = np.random.default_rng(2).standard_normal((2, 3))
    assert_allclose(hs.directional(np.sin, XS, v), np.cos(XS) * v, rtol=1e-13)
    assert_allclose(hs.directional(np.sin, XS, v, w, v), -np.cos(XS) * v * w * v, rtol=1e-12)


def test_sine_of_a_matrix_product() -> None:
    """f(A) = sum C * sin(A B): gradient (C * cos(A B)) B', product (-C * sin(A B) * (V B)) B', and so on."""
    rng = np.random.default_rng(3)
    a, b, c, v, w = (rng.standard_normal((3, 3)) for _ in range(5))

    def f(a: Any) -> Any:
        return np.sum(c * np.sin(a @ b))

    z, vb, wb = a @ b, v @ b, w @ b
    assert_allclose(hs.grad(f)(a), (c * np.cos(z)) @ b.T, rtol=1e-12)
    assert_allclose(hs.hvp(f, a, v), (-c * np.sin(z) * vb) @ b.T, rtol=1e-11)
    third = (-c * np.cos(z) * vb * wb) @ b.T
    assert_allclose(hs.jvp(lambda a: hs.hvp(f, a, v), a, w)[1], third, rtol=1e-11)
    assert_allclose(hs.hvp(lambda a: np.sum(hs.grad(f)(a) * v), a, w), third, rtol=1e-11)
    assert_allclose(hs.grad(lambda a: np.sum(hs.hvp(f, a, v) * w))(a), third, rtol=1e-11)
    fourth = (c * np.sin(z) * vb * wb * vb) @ b.T
    assert_allclose(hs.hvp(lambda a: np.sum(hs.hvp(f, a, v) * w), a, v), fourth, rtol=1e-11)
    assert_allclose(hs.directional(f, a, v, w, v, w), np.sum(c * np.sin(z) * (vb * wb) ** 2), rtol=1e-11)


@pytest.mark.parametrize("outer", ["grad", "jvp", "hvp", "jacobian"])
def test_a_function_that_contains_a_gradient(outer: str) -> None:
    """g(x) = |grad f(x)|^2 with f = sum x^4 / 4 + (sum x)^2: g = sum (x^3 + 2 s)^2."""

    def f(x: Any) -> Any:
        return np.sum(x**4) / 4 + np.sum(x) ** 2

    def g(x: Any) -> Any:
        return np.sum(hs.grad(f)(x) ** 2)

    v, residual = np.array([1.0, -2.0, 0.5]), XS**3 + 2 * XS.sum()
    inner = np.diag(3 * XS**2) + 2.0
    gradient = 2 * inner @ residual
    hessian = 2 * inner @ inner + 2 * np.diag(6 * XS * residual)
    assert_allclose(g(XS), residual @ residual, rtol=1e-13)
    if outer == "grad":
        assert_allclose(hs.grad(g)(XS), gradient, rtol=1e-12)
    elif outer == "jvp":
        assert_allclose(hs.jvp(g, XS, v)[1], gradient @ v, rtol=1e-12)
    elif outer == "hvp":
        assert_allclose(hs.hvp(g, XS, v), hessian @ v, rtol=1e-12)
        assert_allclose(hs.HessianOperator(g, XS) @ v, hessian @ v, rtol=1e-12)
    else:
        assert_allclose(hs.jacobian(hs.grad(g))(XS), hessian, rtol=1e-12)
        assert_allclose(hs.hessian(g)(XS), hessian, rtol=1e-12)


def test_one_step_of_descent_inside_the_objective() -> None:
    """Differentiate through an inner gradient step: x - r grad f(x) with f = 0.5 x'A x, then sum of squares."""
    a = np.array([[2.0, 0.5, 0.0], [0.5, 1.0, 0.3], [0.0, 0.3, 3.0]])

    def outer(x: Any, rate: Any) -> Any:
        moved = x - rate * hs.grad(lambda x: 0.5 * x @ a @ x)(x)
        return np.sum(moved**2)

    step = np.eye(3) - 0.1 * a
    assert_allclose(hs.hessian(outer)(XS, 0.1), 2 * step @ step, rtol=1e-13, atol=1e-14)
    assert_allclose(hs.grad(outer, argnums=1)(XS, 0.1), -2 * (step @ XS) @ a @ XS, rtol=1e-13)


def test_hessian_of_a_function_that_closes_over_an_outer_variable() -> None:
    """H(t) of y -> sum (t y)^3 / 6 is diag(t^3 y): its derivative in t is 3 t^2 y."""

    def trace(t: Any) -> Any:
        return np.trace(hs.hessian(lambda y: np.sum((t * y) ** 3) / 6)(XS))

    assert_allclose(trace(2.0), 8.0 * XS.sum(), rtol=1e-13)
    assert_allclose(hs.grad(trace)(2.0), 12.0 * XS.sum(), rtol=1e-13)
    assert_allclose(hs.hessian(trace)(2.0), 12.0 * XS.sum(), rtol=1e-13)
    assert_allclose(hs.jvp(trace, 2.0, 1.0)[1], 12.0 * XS.sum(), rtol=1e-13)


def test_outer_variable_as_point_direction_and_argument() -> None:
    def f(x: Any, t: Any) -> Any:
        return np.sum(np.exp(t * x))

    v = np.array([1.0, 2.0, -1.0])
    along = hs.grad(lambda t: np.sum(hs.hvp(f, XS, v, t)))(0.5)
    assert_allclose(along, np.sum((2 * 0.5 + 0.25 * XS) * np.exp(0.5 * XS) * v), rtol=1e-12)
    second = 0.25 * np.exp(0.5 * XS) * v
    assert_allclose(hs.grad(lambda s: np.sum(hs.hvp(f, XS, s * v, 0.5)))(3.0), np.sum(second), rtol=1e-12)
    assert_allclose(hs.grad(lambda s: np.sum(hs.hvp(f, s * XS, v, 0.5)))(1.0), np.sum(0.5 * XS * second), rtol=1e-12)
    jacobian = hs.jacobian(lambda v: hs.hvp(f, XS, v, 0.5))(v)
    assert_allclose(jacobian, hs.hessian(f)(XS, 0.5), rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize("escape", [float, lambda z: z.item(), lambda z: z.tolist()], ids=["float", "item", "tolist"])
def test_an_outer_derivative_does_not_escape_through_an_inner_constant(escape: Callable[[Any], Any]) -> None:
    """For the inner variable floor(y) + t is constant, for the outer one it is not: leaving the tape is an error."""

    def f(t: Any) -> Any:
        return hs.grad(lambda y: y * escape(np.floor(y) + t))(2.0)

    assert f(3.0) == 5.0
    with pytest.raises(hs.errors.LeavesTapeError):
        hs.grad(f)(3.0)


def test_a_scalar_in_an_object_array_keeps_its_outer_derivative() -> None:
    """np.asarray of a 0-d traced value holds the value itself, derivative and all."""
    f = lambda t: hs.grad(lambda y: y * np.asarray(np.floor(y) + t))(2.0)
    assert f(3.0) == 5.0
    assert hs.grad(f)(3.0) == 1.0


def test_three_levels_see_their_own_variables() -> None:
    """d/dx d/dy d/dz of x^2 y^3 z^4 at (2, 3, 1): every level differentiates its own variable only."""
    inner = lambda x, y: hs.grad(lambda z: x**2 * y**3 * z**4)(1.0)
    middle = lambda x: hs.grad(lambda y: inner(x, y))(3.0)
    assert_allclose(hs.grad(middle)(2.0), 4.0 * 27.0 * 4.0, rtol=1e-14)
    assert_allclose(hs.hessian(middle)(2.0), 2.0 * 27.0 * 4.0, rtol=1e-14)


def test_gradient_through_an_operator_product() -> None:
    """v'H(x)u with f = sum exp x: gradient exp(x) u v in x, and linear in u and v."""
    u, v = np.array([1.0, -2.0, 0.5]), np.array([0.3, 0.4, -1.0])

    def form(x: Any) -> Any:
        return v @ (hs.HessianOperator(lambda x: np.sum(np.exp(x)), x) @ u)

    assert_allclose(form(XS), np.sum(np.exp(XS) * u * v), rtol=1e-13)
    assert_allclose(hs.grad(form)(XS), np.exp(XS) * u * v, rtol=1e-12)
    operator = hs.HessianOperator(lambda x: np.sum(np.exp(x)), XS)
    assert_allclose(hs.grad(lambda u: v @ (operator @ u))(u), np.exp(XS) * v, rtol=1e-12)


# Taylor coefficients.

SERIES: dict[str, tuple[Callable[[Any], Any], float, Callable[[int], float]]] = {
    "exp": (np.exp, 0.0, lambda k: 1 / math.factorial(k)),
    "sin": (np.sin, 0.0, lambda k: (0.0, 1.0, 0.0, -1.0)[k % 4] / math.factorial(k)),
    "geometric": (lambda x: 1 / (1 - x), 0.0, lambda k: 1.0),
    "log1p": (np.log1p, 0.0, lambda k: 0.0 if k == 0 else (-1.0) ** (k + 1) / k),
    "arctan": (np.arctan, 0.0, lambda k: (0.0, 1.0, 0.0, -1.0)[k % 4] / max(k, 1)),
    "sqrt": (np.sqrt, 1.0, lambda k: np.prod([(1.5 - j) / j for j in range(1, k + 1)])),
    "tan": (np.tan, 0.0, lambda k: (0, 1, 0, 1 / 3, 0, 2 / 15, 0, 17 / 315)[k]),
    "tanh": (np.tanh, 0.0, lambda k: (0, 1, 0, -1 / 3, 0, 2 / 15, 0, -17 / 315)[k]),
}


@pytest.mark.parametrize("name", SERIES)
def test_taylor_of_known_series(name: str) -> None:
    f, x, coefficient = SERIES[name]
    expected = [coefficient(k) for k in range(7)]
    assert_allclose(hs.taylor(f, x, 1.0, order=6), expected, rtol=1e-11, atol=1e-13)
    # Along a direction of length 2 the k-th coefficient grows by 2^k.
    assert_allclose(hs.taylor(f, x, 2.0, order=6), [c * 2.0**k for k, c in enumerate(expected)], rtol=1e-11, atol=1e-12)


def test_taylor_along_a_line_in_many_variables() -> None:
    v = np.array([1.0, -0.5, 2.0])
    found = hs.taylor(cubic, XS, v, order=5)
    expected = [
        cubic(XS),
        SYMMETRISED @ XS @ XS @ v / 2,
        v @ (SYMMETRISED @ XS) @ v / 2,
        np.einsum("ijk,i,j,k->", SYMMETRISED, v, v, v) / 6,
        0.0,
        0.0,
    ]
    assert np.shape(found) == (6,)
    assert_allclose(found, expected, rtol=1e-12, atol=1e-12)


def test_taylor_of_a_function_of_arrays() -> None:
    v = np.array([1.0, -0.5, 2.0])
    found = hs.taylor(np.exp, XS, v, order=3)
    assert np.shape(found) == (4, 3)
    assert_allclose(found, [np.exp(XS) * v**k / math.factorial(k) for k in range(4)], rtol=1e-12)
    assert_allclose(hs.taylor(np.exp, XS, v, order=0), [np.exp(XS)], rtol=1e-15)


@pytest.mark.parametrize("case", CASES[::6], ids=lambda case: case.name)
def test_taylor_agrees_with_directional(case: Case) -> None:
    v = direction(case.x, seed=4)
    found = hs.taylor(case.with_numpy, case.x, v, order=3)
    scale = np.max(abs(np.asarray(found)))
    for order in range(4):
        expected = hs.directional(case.with_numpy, case.x, *[v] * order) / math.factorial(order)
        assert_allclose(found[order], expected, rtol=0, atol=1e-11 * scale)


# Batches of directions.


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_batch_of_directions_equals_a_loop(case: Case) -> None:
    directions = [direction(case.x, seed=seed) for seed in range(3)]
    batch = stack_trees(directions)
    products = hs.hvp(case.with_numpy, case.x, batch)
    gradient, again = hs.grad_and_hvp(case.with_numpy, case.x, batch)
    looped = stack_trees([hs.hvp(case.with_numpy, case.x, v) for v in directions])
    scale = np.max(abs(flatten(looped)))
    assert_same_structure(products, looped)
    assert_allclose(flatten(products), flatten(looped), rtol=0, atol=1e-12 * scale)
    assert_allclose(flatten(again), flatten(looped), rtol=0, atol=1e-12 * scale)
    assert_same_structure(gradient, case.x)
    assert_allclose(flatten(gradient), flatten(hs.grad(case.with_numpy)(case.x)), rtol=1e-12)

    operator = hs.HessianOperator(case.with_numpy, case.x)
    columns = np.stack([flatten(v) for v in directions], axis=1)
    assert_allclose(operator @ columns, np.stack([operator @ c for c in columns.T], axis=1), rtol=0, atol=1e-12 * scale)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_batch_of_tangents_equals_a_loop(case: Case) -> None:
    directions = [direction(case.x, seed=seed) for seed in range(3)]
    value, slopes = hs.jvp(case.with_numpy, case.x, stack_trees(directions))
    looped = [hs.jvp(case.with_numpy, case.x, v)[1] for v in directions]
    assert_allclose(slopes, looped, rtol=1e-12, atol=1e-12 * np.max(np.abs(looped)))
    assert_allclose(value, case.with_numpy(case.x), rtol=1e-14)


def test_two_batch_axes_and_an_empty_batch() -> None:
    batch = np.random.default_rng(5).standard_normal((2, 4, 3))
    assert_allclose(hs.hvp(cubic, XS, batch), batch @ (SYMMETRISED @ XS), rtol=1e-12, atol=1e-13)
    assert hs.hvp(cubic, XS, np.zeros((0, 3))).shape == (0, 3)


def test_a_batch_whose_length_is_the_dimension() -> None:
    """Three directions of three entries: batch and parameter axes must not be confused."""
    rng = np.random.default_rng(6)
    x, batch = rng.standard_normal((3, 3)), rng.standard_normal((3, 3, 3))

    def f(x: Any) -> Any:
        return np.sum(np.sin(x @ x.T)) + np.linalg.det(x + 3 * np.eye(3)) + np.trace(np.linalg.inv(x.T + 4 * np.eye(3)))

    looped = np.stack([hs.hvp(f, x, v) for v in batch])
    assert_allclose(hs.hvp(f, x, batch), looped, rtol=1e-11, atol=1e-12)


def stack_trees(trees: list[Any]) -> Any:
    """Stack trees of equal structure leaf by leaf."""
    first = trees[0]
    if isinstance(first, dict):
        return {key: stack_trees([tree[key] for tree in trees]) for key in first}
    if isinstance(first, (list, tuple)):
        return type(first)(stack_trees(list(parts)) for parts in zip(*trees, strict=True))
    return np.stack(trees)


def assert_same_structure(actual: Any, expected: Any) -> None:
    """Require the same containers, keys and leaf shapes."""
    assert map_leaves(np.shape, actual) == map_leaves(np.shape, expected)


# argnums, has_aux, keywords, trees.


def three(a: Any, b: Any, c: Any, *, scale: Any = 1.0, power: int = 2) -> Any:
    return scale * np.sum(a**power * b) * c


A, B, C = np.array([1.0, 2.0]), np.array([3.0, -1.0]), 2.0


@pytest.mark.parametrize("argnums", [0, 1, 2, -1, (0,), (0, 1), (1, 0), (0, 2), (2, 1, 0), [0, 1]])
def test_argnums(argnums: Any) -> None:
    gradients = {0: 2 * A * B * C, 1: A**2 * C, 2: np.sum(A**2 * B), -1: np.sum(A**2 * B)}
    found = hs.grad(three, argnums=argnums)(A, B, C)
    value, again = hs.value_and_grad(three, argnums=argnums)(A, B, C)
    assert_allclose(value, three(A, B, C))
    if isinstance(argnums, int):
        found, again, argnums = (found,), (again,), (argnums,)
    assert len(found) == len(again) == len(argnums)
    for position, one, other in zip(argnums, found, again, strict=True):
        assert_allclose(one, gradients[position], rtol=1e-14)
        assert_allclose(other, gradients[position], rtol=1e-14)


def test_argnums_of_jacobian_and_hessian() -> None:
    assert_allclose(hs.hessian(three, argnums=0)(A, B, C), np.diag(2 * B * C))
    assert_allclose(hs.hessian(three, argnums=1)(A, B, C), np.zeros((2, 2)))
    assert_allclose(hs.jacobian(lambda a, b: a * b, argnums=1)(A, B), np.diag(A))
    blocks = hs.hessian(three, argnums=(0, 1))(A, B, C)
    assert_allclose(blocks[0][1], np.diag(2 * A * C))
    assert_allclose(blocks[1][0], np.diag(2 * A * C))
    assert_allclose(blocks[0][0], np.diag(2 * B * C))


def test_keyword_arguments() -> None:
    assert_allclose(hs.grad(three)(A, B, C, scale=3.0, power=3), 9 * A**2 * B * C)
    assert_allclose(hs.grad(three)(A, B, c=C, scale=3.0), 6 * A * B * C)
    assert_allclose(hs.hessian(three)(A, b=B, c=C), np.diag(2 * B * C))
    assert_allclose(hs.value_and_grad(three)(A, B, C, power=1)[0], np.sum(A * B) * C)


def test_extra_arguments_of_direct_transforms() -> None:
    v = np.array([1.0, -1.0])
    assert_allclose(hs.hvp(three, A, v, B, C), 2 * B * C * v)
    assert_allclose(hs.grad_and_hvp(three, A, v, B, C)[0], 2 * A * B * C)
    assert_allclose(hs.jvp(three, A, v, B, C)[1], np.sum(2 * A * B * v) * C)
    assert_allclose(hs.vjp(three, A, B, C)[1](1.0), 2 * A * B * C)
    assert_allclose(hs.HessianOperator(three, A, B, C) @ v, 2 * B * C * v)


def test_extra_arguments_may_be_anything() -> None:
    def f(x: Any, mode: str, table: dict[str, Any], counts: Array) -> Any:
        assert mode == "sum"
        assert counts.dtype.kind == "i"
        return np.sum(counts * x**2) * table["scale"]

    extras = ("sum", {"scale": 0.5}, np.array([1, 2]))
    assert_allclose(hs.grad(f)(A, *extras), extras[2] * A)
    assert_allclose(hs.hvp(f, A, A, *extras), extras[2] * A)


def test_has_aux() -> None:
    def f(x: Any) -> Any:
        residual = x**2 - 1.0
        return np.sum(residual**2), {"residual": residual, "name": "f"}

    gradient, aux = hs.grad(f, has_aux=True)(A)
    (value, again), second = hs.value_and_grad(f, has_aux=True)(A)
    matrix, third = hs.hessian(f, has_aux=True)(A)
    slopes, fourth = hs.jacobian(lambda x: (x**2, f(x)[1]), has_aux=True)(A)
    assert_allclose(gradient, 4 * A * (A**2 - 1))
    assert_allclose([matrix, slopes], [np.diag(12 * A**2 - 4), np.diag(2 * A)])
    diagonal, fifth = hs.hessian_diagonal(f, has_aux=True)(A)
    total, sixth = hs.laplacian(f, has_aux=True)(A)
    tensor, seventh = hs.third_derivative(f, has_aux=True)(A)
    assert_allclose(diagonal, 12 * A**2 - 4)
    assert_allclose(total, np.sum(diagonal))
    assert_allclose(np.einsum("iii->i", tensor), 24 * A)
    assert_allclose(second, gradient)
    assert_allclose(value, np.sum((A**2 - 1) ** 2))
    for extra in (aux, again, third, fourth, fifth, sixth, seventh):
        assert extra["name"] == "f"
        assert type(extra["residual"]) is np.ndarray
        assert_allclose(extra["residual"], A**2 - 1)


def test_has_aux_under_another_transform() -> None:
    def f(x: Any) -> Any:
        return np.sum(x**3), 2.0 * x

    def g(x: Any) -> Any:
        gradient, doubled = hs.grad(f, has_aux=True)(x)
        return np.sum(gradient * doubled)

    # g = sum 3 x^2 * 2 x, so the gradient is 18 x^2: aux carries the outer derivative.
    assert_allclose(hs.grad(g)(A), 18 * A**2, rtol=1e-14)


TREE = {
    "z": [np.array([1.0, 2.0]), (np.array(3.0), np.array([[4.0]]))],
    "a": {"nested": np.array([0.5, -0.5, 1.5])},
}


def of_tree(p: Any) -> Any:
    first, (second, third) = p["z"]
    return np.sum(first**3) * second + third[0, 0] ** 2 * np.sum(p["a"]["nested"] ** 2)


def test_trees() -> None:
    gradient = hs.grad(of_tree)(TREE)
    assert_same_structure(gradient, TREE)
    assert list(gradient) == list(TREE)
    assert isinstance(gradient["z"], list)
    assert isinstance(gradient["z"][1], tuple)
    assert_allclose(gradient["z"][0], 3 * np.array([1.0, 4.0]) * 3)
    assert_allclose(gradient["z"][1][0], 9.0)
    assert_allclose(gradient["z"][1][1], [[8 * 2.75]])
    assert_allclose(gradient["a"]["nested"], 16 * 2 * np.array([0.5, -0.5, 1.5]))

    v = map_leaves(np.ones_like, TREE)
    product = hs.hvp(of_tree, TREE, v)
    assert_same_structure(product, TREE)
    assert_allclose(product["z"][1][0], 3 * (1 + 4))
    assert_allclose(product["z"][0], 6 * np.array([1.0, 2.0]) * 3 + 3 * np.array([1.0, 4.0]))


def test_ravel_and_operator_agree_on_the_order_of_a_tree() -> None:
    from hessian.tape.trees import ravel

    vector, unravel = ravel(TREE)
    assert vector.shape == (7,)
    assert_same_structure(unravel(vector), TREE)
    assert_array_equal(flatten(unravel(vector)), flatten(TREE))
    operator = hs.HessianOperator(of_tree, TREE)
    assert operator.shape == (7, 7)
    assert_allclose(operator.gradient, ravel(hs.grad(of_tree)(TREE))[0])
    v = np.arange(7.0)
    assert_allclose(operator @ v, ravel(hs.hvp(of_tree, TREE, unravel(v)))[0])


def test_order_of_keys_does_not_matter() -> None:
    """A direction lists its keys in another order than the parameters: entries go by key."""
    x = {"b": np.array([1.0, 2.0]), "a": np.array([3.0])}
    v = {"a": np.array([10.0]), "b": np.array([1.0, -1.0])}

    def f(p: Any) -> Any:
        return np.sum(p["b"] ** 3) + p["a"][0] ** 2

    product = hs.hvp(f, x, v)
    assert_allclose(product["b"], [6.0, -12.0])
    assert_allclose(product["a"], [20.0])


@pytest.mark.parametrize("x", [{}, [], (), {"a": []}, [np.zeros(0)]], ids=repr)
def test_trees_without_numbers(x: Any) -> None:
    """Nothing to differentiate is an empty answer or a clear error, never a crash."""
    try:
        found = hs.grad(lambda p: np.sum(np.ones(2)))(x)
    except hs.errors.HessianError:
        return
    assert_same_structure(found, x)


def test_functions_that_return_trees() -> None:
    """A Jacobian of several outputs keeps the structure of the outputs, or says that one array is wanted."""

    def f(x: Any) -> Any:
        return {"square": x**2, "total": np.sum(x)}

    try:
        found = hs.jacobian(f)(A)
    except hs.errors.HessianError:
        return
    assert_allclose(found["square"], np.diag(2 * A))
    assert_allclose(found["total"], np.ones(2))


def test_shapes_of_jacobian_and_hessian() -> None:
    x = np.random.default_rng(7).standard_normal((2, 3))
    jacobian = hs.jacobian(lambda x: np.sin(x).T)(x)
    assert jacobian.shape == (3, 2, 2, 3)
    assert_allclose(jacobian, np.einsum("ij,ik,jl->jikl", np.cos(x), np.eye(2), np.eye(3)), atol=1e-15)
    assert hs.hessian(lambda x: np.sum(np.sin(x)))(x).shape == (2, 3, 2, 3)
    assert hs.jacobian(np.sum)(x).shape == (2, 3)
    assert hs.jacobian(lambda t: t * x)(2.0).shape == (2, 3)
    for wide in (lambda x: x.reshape(-1)[:2] ** 2, lambda x: np.concatenate([x.ravel(), x.ravel() ** 2])):
        found = hs.jacobian(wide)(x)
        slopes = np.stack([hs.jvp(wide, x, e.reshape(2, 3))[1] for e in np.eye(6)], axis=-1)
        assert_allclose(found.reshape(len(slopes), 6), slopes, rtol=1e-14)


# Long tapes: sweeps are iterative.


def long_recurrence(x: Any, steps: int) -> Any:
    """Iterate y <- 0.999 y + 0.001 x: y tends to x, two instructions and one constant product a step."""
    y, drive = 0.0 * x, 0.001 * x
    for _ in range(steps):
        y = 0.999 * y + drive
    return 0.5 * y * y


def assert_long_recurrence(steps: int) -> None:
    factor = 1 - 0.999**steps
    gradient, product = hs.grad_and_hvp(long_recurrence, 3.0, 1.0, steps)
    assert_allclose(gradient, 3.0 * factor**2, rtol=1e-9)
    assert_allclose(product, factor**2, rtol=1e-9)


def test_two_hundred_thousand_instructions() -> None:
    assert_long_recurrence(100_000)


@pytest.mark.long
def test_a_million_instructions() -> None:
    assert_long_recurrence(500_000)


def test_a_long_chain_of_nonlinear_instructions() -> None:
    """sin applied 30000 times to x: the derivative is the product of cosines along the way."""

    def chain(x: Any) -> Any:
        for _ in range(30_000):
            x = np.sin(x)
        return x

    x, slope = 1.0, 1.0
    for _ in range(30_000):
        slope *= math.cos(x)
        x = math.sin(x)
    assert_allclose(hs.grad(chain)(1.0), slope, rtol=1e-9)
    assert_allclose(hs.jvp(chain, 1.0, 1.0)[1], slope, rtol=1e-9)


# Property tests.

CHEAP = settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
NAMES = st.sampled_from(
    ["network_tanh", "gaussian_mixture", "einsum_attention", "norms", "logarithms_and_powers", "lennard_jones"]
)
SEEDS = st.integers(0, 2**32 - 1)
NUMBERS = st.floats(-3.0, 3.0, allow_nan=False).map(lambda number: round(number, 3))


def flat_product(case: Case, v: Any) -> Array:
    return flatten(hs.hvp(case.with_numpy, case.x, v))


@CHEAP
@given(name=NAMES, seed=SEEDS, a=NUMBERS, b=NUMBERS)
def test_products_are_linear_in_the_direction(name: str, seed: int, a: float, b: float) -> None:
    case = by_name(name)
    v, w = direction(case.x, seed), direction(case.x, seed + 1)
    vector_v, vector_w = flatten(v), flatten(w)
    operator = hs.HessianOperator(case.with_numpy, case.x)
    combined = operator @ (a * vector_v + b * vector_w)
    parts = a * flat_product(case, v) + b * flat_product(case, w)
    scale = np.max(abs(flat_product(case, v))) + np.max(abs(flat_product(case, w)))
    assert_allclose(combined, parts, rtol=0, atol=1e-12 * (1 + abs(a) + abs(b)) * scale)


@CHEAP
@given(name=NAMES, seed=SEEDS)
def test_products_are_symmetric(name: str, seed: int) -> None:
    case = by_name(name)
    u, v = direction(case.x, seed), direction(case.x, seed + 1)
    first, second = flatten(u) @ flat_product(case, v), flatten(v) @ flat_product(case, u)
    scale = np.linalg.norm(flatten(u)) * np.linalg.norm(flat_product(case, v))
    assert_allclose(first, second, rtol=0, atol=1e-12 * scale)


@CHEAP
@given(seed=SEEDS, degree=st.integers(1, 5))
def test_polynomials_of_any_degree(seed: int, degree: int) -> None:
    rng = np.random.default_rng(seed)
    coefficients, x = rng.standard_normal(degree + 1), rng.uniform(-1.5, 1.5)
    polynomial = np.polynomial.Polynomial(coefficients)

    def horner(x: Any) -> Any:
        total = 0.0
        for c in coefficients[::-1]:
            total = total * x + c
        return total

    expected = [polynomial.deriv(k)(x) / math.factorial(k) if k else polynomial(x) for k in range(degree + 2)]
    assert_allclose(hs.taylor(horner, x, 1.0, order=degree + 1), expected, rtol=1e-10, atol=1e-12)
    assert_allclose(hs.grad(horner)(x), polynomial.deriv()(x), rtol=1e-10, atol=1e-12)
    assert_allclose(hs.hessian(horner)(x), polynomial.deriv(2)(x), rtol=1e-10, atol=1e-12)


@CHEAP
@given(
    seed=SEEDS,
    sizes=st.lists(st.integers(1, 4), min_size=1, max_size=3),
    length=st.integers(1, 4),
)
def test_quadratic_forms_of_any_shape(seed: int, sizes: list[int], length: int) -> None:
    rng = np.random.default_rng(seed)
    n = int(np.prod(sizes))
    a, x, batch = rng.standard_normal((n, n)), rng.standard_normal(sizes), rng.standard_normal((length, *sizes))

    def quadratic(x: Any) -> Any:
        return 0.5 * x.reshape(-1) @ a @ x.reshape(-1)

    symmetric = (a + a.T) / 2
    expected = (batch.reshape(length, n) @ symmetric).reshape(batch.shape)
    assert_allclose(hs.hvp(quadratic, x, batch), expected, rtol=1e-10, atol=1e-12)
    assert_allclose(hs.hessian(quadratic)(x).reshape(n, n), symmetric, rtol=1e-10, atol=1e-12)


def test_check_derivatives_passes_on_the_catalogue() -> None:
    for name in ("network_tanh", "gaussian_process_rbf_cholesky", "sparse_laplacian"):
        case = by_name(name)
        assert hs.check_derivatives(case.with_numpy, case.x) is not None


def test_cotangents_of_slices_that_overlap_in_turn_are_all_added() -> None:
    x = np.array([0.3, 0.7, 1.1, 0.4])
    parts = (lambda x: x[0], lambda x: x[:-1], lambda x: x[1:], lambda x: x[2:], lambda x: x[::2])
    for order in itertools.permutations(parts, 4):
        f = lambda x: np.sum(np.sin(sum(np.sum(part(x) ** 3) for part in order)))  # noqa: B023
        product = hs.hvp(f, x, x)
        assert_allclose(hs.grad(lambda y: hs.grad(f)(y) @ x)(x), product, rtol=1e-12)  # noqa: B023
        assert_allclose(hs.jvp(hs.grad(f), x, x)[1], product, rtol=1e-12)


@pytest.mark.parametrize("order", list(itertools.permutations(range(3))))
def test_pieces_that_overlap_are_added_in_any_order(order) -> None:
    indices = [(0,), (slice(None, -1),), (slice(1, None),)]
    pieces = [np.array(1.0), np.array([2.0, 3.0]), np.array([4.0, 5.0])]
    chosen = [pieces[i] for i in order]
    joined = lambda *pieces: assemble_op(*pieces, indices=tuple(indices[i] for i in order), shape=(3,))
    assert_allclose(joined(*chosen), [3.0, 7.0, 5.0])
    assert_allclose(hs.jvp(lambda p: joined(*p), chosen, chosen)[1], [3.0, 7.0, 5.0])
