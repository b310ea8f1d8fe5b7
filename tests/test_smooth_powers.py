"""Even powers of moduli, norms, roots, lengths and deviations: smooth where the factors are not."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

import hessian as hs

norm = np.linalg.norm
Z, ONES, C = np.zeros(3), np.ones(3), np.array([0.1, 0.2, 0.3])
EYE, A = np.eye(3), np.diag([1.0, 2.0, 3.0])
CENTERED = EYE - 1 / 3


def _squared_in_place(x):
    y = np.abs(x)
    y *= y
    return np.sum(y)


def _assigned(x):
    y = np.zeros_like(x)
    for i in range(3):
        y[i] = norm(x)
    return np.sum(y**2)


CASES = {
    "abs squared": (lambda x: np.sum(np.abs(x) ** 2), Z, 2 * EYE),
    "float exponent": (lambda x: np.sum(np.abs(x) ** 2.0), Z, 2 * EYE),
    "array of exponents": (lambda x: np.sum(np.abs(x) ** np.array([2, 2, 4])), Z, np.diag([2.0, 2, 0])),
    "fabs": (lambda x: np.sum(np.fabs(x) ** 2), Z, 2 * EYE),
    "abs times abs": (lambda x: np.sum(np.abs(x) * np.abs(x)), Z, 2 * EYE),
    "square of abs": (lambda x: np.sum(np.square(np.abs(x))), Z, 2 * EYE),
    "maximum of x and -x": (lambda x: np.sum(np.maximum(x, -x) ** 2), Z, 2 * EYE),
    "in either order": (lambda x: np.sum(np.maximum(-x, x) * np.maximum(x, -x)), Z, 2 * EYE),
    "minimum of x and -x": (lambda x: np.sum(np.minimum(x, -x) ** 2), Z, 2 * EYE),
    "norm": (lambda x: norm(x) ** 2, Z, 2 * EYE),
    "norm along an axis": (lambda x: np.sum(norm(x.reshape(3, 1), axis=1) ** 2), Z, 2 * EYE),
    "axes kept": (lambda x: np.sum(norm(x.reshape(3, 1), axis=0, keepdims=True) ** 2), Z, 2 * EYE),
    "ord=2": (lambda x: norm(x, 2) ** 2, Z, 2 * EYE),
    "Frobenius": (lambda x: norm(x.reshape(1, 3), "fro") ** 2, Z, 2 * EYE),
    "vector_norm": (lambda x: np.linalg.vector_norm(x) ** 2, Z, 2 * EYE),
    "sqrt of a sum": (lambda x: np.sqrt(np.sum(x * x)) ** 2, Z, 2 * EYE),
    "sqrt of a form": (lambda x: np.sqrt(x @ A @ x) ** 2, Z, 2 * A),
    "power 1/2": (lambda x: np.power(x @ x, 0.5) ** 2, Z, 2 * EYE),
    "power 1/4": (lambda x: np.power(x @ x, 0.25) ** 4, Z, 2 * EYE),
    "hypot": (lambda x: np.hypot(x[0], x[1]) ** 2 + x[2] ** 2, Z, 2 * EYE),
    "gaussian": (lambda x: np.exp(-(norm(x - C) ** 2)), C, -2 * EYE),
    "separate calls": (lambda x: norm(x - C) * norm(x - C), C, 2 * EYE),
    "fourth power": (lambda x: norm(x) ** 4 + norm(x) ** 2, Z, 2 * EYE),
    "square of a square": (lambda x: (norm(x) ** 2) ** 2, Z, 0 * EYE),
    "np.power": (lambda x: np.power(norm(x), 2), Z, 2 * EYE),
    "float_power": (lambda x: np.sum(np.float_power(np.abs(x), 2)), Z, 2 * EYE),
    "third power of abs": (lambda x: np.sum(np.abs(x) ** 3), Z, 0 * EYE),
    "cbrt cubed": (lambda x: np.sum(np.cbrt(x * x) ** 3), Z, 2 * EYE),
    "three times cbrt": (lambda x: np.sum(np.cbrt(x * x) * np.cbrt(x * x) * np.cbrt(x * x)), Z, 2 * EYE),
    "cbrt, two on the right": (lambda x: np.sum(np.cbrt(x * x) * (np.cbrt(x * x) * np.cbrt(x * x))), Z, 2 * EYE),
    "dot": (lambda x: np.dot(np.abs(x), np.abs(x)), Z, 2 * EYE),
    "matmul": (lambda x: np.abs(x) @ np.abs(x), Z, 2 * EYE),
    "vdot": (lambda x: np.vdot(np.abs(x), np.abs(x)), Z, 2 * EYE),
    "vecdot": (lambda x: np.vecdot(np.abs(x), np.abs(x)), Z, 2 * EYE),
    "inner": (lambda x: np.inner(np.abs(x), np.abs(x)), Z, 2 * EYE),
    "tensordot": (lambda x: np.tensordot(np.abs(x), np.abs(x), 1), Z, 2 * EYE),
    "einsum": (lambda x: np.einsum("i,i", np.abs(x), np.abs(x)), Z, 2 * EYE),
    "einsum of three": (lambda x: np.einsum("i,i,i->", np.abs(x), np.diag(A), np.abs(x)), Z, 2 * A),
    "row times vector": (lambda x: (np.abs(x)[None] @ np.abs(x))[0], Z, 2 * EYE),
    "vector times column": (lambda x: (np.abs(x) @ np.abs(x)[:, None])[0], Z, 2 * EYE),
    "row times column": (lambda x: (np.abs(x)[None] @ np.abs(x)[:, None])[0, 0], Z, 2 * EYE),
    "multiple of a square": (lambda x: np.sum(np.abs(x) * np.abs(x) * 3), Z, 6 * EYE),
    "a number between": (lambda x: np.sum(np.abs(x) * 3 * np.abs(x)), Z, 6 * EYE),
    "square of a multiple": (lambda x: np.sum((-2 * np.abs(x)) ** 2), Z, 8 * EYE),
    "square of a quotient": (lambda x: np.sum((np.abs(x) / 4) ** 2), Z, EYE / 8),
    "of a quotient by a variable": (lambda x: np.sum((np.abs(x[:2]) / np.exp(x[2])) ** 2), Z, np.diag([2.0, 2, 0])),
    "half": (lambda x: norm(x) ** 2 / 2, Z, EYE),
    "square of sqrt": (lambda x: np.sum(np.square(np.sqrt(x * x))), Z, 2 * EYE),
    "std": (lambda x: np.std(x) ** 2, ONES, 2 / 3 * CENTERED),
    "std, ddof": (lambda x: np.std(x, ddof=1) ** 2, ONES, CENTERED),
    "std, axis": (lambda x: np.sum(np.std(np.stack([x, 2 * x]), axis=1) ** 2), ONES, 10 / 3 * CENTERED),
    "stack": (lambda x: np.sum(np.stack([norm(x), 2.0 * norm(2 * x)]) ** 2), Z, 34 * EYE),
    "array of numbers": (lambda x: np.sum(np.array([norm(x), 2.0]) ** 2), Z, 2 * EYE),
    "concatenate": (lambda x: np.sum(np.concatenate([np.abs(x), np.ones(2)]) ** 2), Z, 2 * EYE),
    "slices": (lambda x: np.sum(np.abs(x)[1:] ** 2) + np.abs(x[0]) ** 2, Z, 2 * EYE),
    "take": (lambda x: np.sum(np.abs(x)[np.array([0, 0, 2])] ** 2), Z, np.diag([4.0, 0, 2])),
    "where": (lambda x: np.sum(np.where([True, True, False], np.abs(x), 0.0) ** 2), Z, np.diag([2.0, 2, 0])),
    "diag": (lambda x: np.sum(np.diag(np.abs(x)) ** 2), Z, 2 * EYE),
    "broadcast": (lambda x: np.sum((np.abs(x)[:, None] * np.ones((3, 2))).ravel() ** 2), Z, 4 * EYE),
    "two roots": (lambda x: np.sum((np.abs(x) * norm(x)) ** 2) + np.abs(x) @ np.abs(x), Z, 2 * EYE),
    "sum of one": (lambda x: sum(np.sum(np.abs(x[i : i + 1])) ** 2 for i in range(3)), Z, 2 * EYE),
    "norm of abs": (lambda x: norm(np.abs(x)) ** 2, Z, 2 * EYE),
    "norm, order 4": (lambda x: norm(x, 4) ** 4 + norm(x) ** 2, Z, 2 * EYE),
    "in place": (_squared_in_place, Z, 2 * EYE),
    "assigned": (_assigned, Z, 6 * EYE),
}


@pytest.mark.parametrize("name", CASES)
def test_the_square_of_a_root_is_smooth_where_the_root_vanishes(name):
    f, x, H = CASES[name]
    recorded = hs.record(f)
    assert_allclose(hs.grad(f)(x), hs.grad(recorded)(x))
    assert np.isfinite(hs.grad(f)(x)).all()
    assert_allclose(hs.hessian(f)(x), H, atol=1e-12)
    assert_allclose(hs.hessian(recorded)(x), H, atol=1e-12)
    assert_allclose(hs.HessianOperator(f, x) @ np.eye(3), H, atol=1e-12)
    assert_allclose(hs.jacobian(hs.grad(f))(x), H, atol=1e-12)
    assert_allclose(hs.jvp(hs.grad(f), x, ONES)[1], H @ ONES, atol=1e-12)
    assert_allclose(hs.hvp(hs.checkpoint(f), x, ONES), H @ ONES, atol=1e-12)


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("x", [np.array([0.3, -0.7, 1.1]), np.array([-0.2, 0.0, 5.0])])
def test_the_value_is_that_of_what_was_written_to_the_last_bit(name, x):
    f = CASES[name][0]
    value = hs.value_and_grad(f)(x)[0]
    # Sums of products by labels are composed of others, which add up in an order of their own. And NumPy raises its scalars to
    # powers by the C library, arrays by a vectorised loop that may round otherwise.
    assert_allclose(value, f(x), rtol=1e-15 if name.startswith(("einsum", "power")) else 0, atol=0)
    assert hs.value_and_grad(hs.record(f))(x)[0] == value


@pytest.mark.parametrize("name", CASES)
def test_elsewhere_derivatives_are_those_of_the_factors(name):
    hs.check_derivatives(CASES[name][0], np.array([0.3, -0.7, 1.1]))


def test_what_is_not_a_square_keeps_its_convention():
    assert_array_equal(hs.grad(norm)(Z), Z)
    assert not np.isfinite(hs.hessian(norm)(Z)).any()
    assert_array_equal(hs.hessian(lambda x: np.sum(np.abs(x) * np.abs(x[::-1])))(Z), 0 * EYE)
    assert_array_equal(hs.grad(lambda x: np.sum(np.abs(x)) ** 2)(Z), Z)
    # Of x and 0 - 2 x the larger is no modulus.
    H = hs.hessian(lambda x: np.sum(np.maximum(x, -2 * x) * np.maximum(x, -2 * x)))(np.array([1.0, -1.0]))
    assert_array_equal(H, np.diag([2.0, 8.0]))


@pytest.mark.parametrize("root", [norm, lambda x: np.sqrt(x @ x), lambda x: np.hypot(x[0], x[1])])
def test_higher_orders(root):
    v = np.array([1.0, 2.0])
    assert_allclose(hs.taylor(lambda x: root(x) ** 4, np.zeros(2), v, order=4), [0, 0, 0, 0, 25.0])
    assert_allclose(hs.directional(lambda x: root(x) ** 4, np.zeros(2), v, v, v, v), 24 * 25.0)


def test_values_of_an_outer_recording():
    # The inner function is linear in y, and its factors belong to the recording outside.
    def outer(x):
        return np.sum(hs.grad(lambda y: np.sum(norm(x) * norm(x) * y))(x))

    assert_allclose(hs.hessian(outer)(np.zeros(2)), 4 * np.eye(2))
    assert_allclose(hs.hessian(hs.record(outer))(np.zeros(2)), 4 * np.eye(2))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_precision_is_kept(dtype):
    H = hs.hessian(lambda x: norm(x) ** 2 + np.sum(np.abs(x) * np.abs(x)))(np.zeros(2, dtype))
    assert H.dtype == dtype
    assert_array_equal(H, 4 * np.eye(2))


def test_constants_are_equal_by_content_whatever_their_size():
    big = np.arange(3000.0)
    product = hs.hvp(lambda x: norm(x - 2 * big) * norm(x - 2 * big), 2 * big, np.ones(3000))
    assert_array_equal(product, np.full(3000, 2.0))
    other = hs.grad(lambda x: norm(x - 2 * big) * norm(x - 3 * big))(2 * big)
    assert_array_equal(other, np.zeros(3000))


def test_no_overflow_where_the_factors_have_none():
    f = lambda x: (np.abs(x) / 1e200) ** 2 + (np.hypot(x, 1e200) / 1e200) ** 2
    assert_allclose(hs.grad(f)(3e200), 12e-200, rtol=1e-14)


def test_a_long_chain_is_no_recursion():
    def views(x):
        r = np.abs(x)
        for _ in range(1500):
            r = -(r * 1.0).reshape(3, 1).ravel()
        return np.sum(r * r)

    def assigned(x):
        y = np.zeros(1500) * x[0]
        for i in range(1500):
            y[i] = x[0] if i else norm(x)
        return np.sum(y**2)

    assert_array_equal(hs.hvp(views, Z, ONES), 2 * ONES)
    assert_array_equal(hs.hvp(assigned, Z, ONES), [2 * 1500, 2, 2])


def test_trace_and_diagonal_at_the_origin():
    H = hs.HessianOperator(lambda x: norm(x) ** 2, Z)
    assert hs.curvature.trace(H).value == pytest.approx(6)
    assert_allclose(hs.curvature.diagonal(H).value, 2 * ONES)


@pytest.mark.parametrize("scale", [5e-324, 1e-320, 1e-310, 1e-160, 1.0, 1e150])
def test_the_curvature_of_a_norm_is_true_for_vectors_of_any_length(scale):
    """(I - u uᵀ) / |x| overflows next to the origin; along x it stays zero, which no infinity may hide."""
    x = scale * np.array([0.0, 1.0])
    with np.errstate(over="ignore"):
        H = np.diag([np.divide(1.0, scale), 0.0])
    for f in (norm, np.linalg.vector_norm, lambda x: norm(np.stack([x, x]), axis=1)[0], hs.record(norm)):
        assert_allclose(hs.hessian(f)(x), H, rtol=1e-13)
    assert_allclose(hs.jacobian(hs.grad(norm))(x), H, rtol=1e-13)
    assert hs.hessian(norm)(x[1:]) == 0


def test_constants_that_were_written_to_make_other_roots():
    """A work array that is filled anew between two sums: the roots look alike and are none."""

    def f(x):
        work = np.zeros(3)
        a = np.abs(work + x)
        work += 1.0
        return np.sum(a * np.abs(work + x))

    def written_out(x):
        return np.sum(np.abs(x) * np.abs(1.0 + x))

    def untouched(x):
        work = np.zeros(3)
        return np.sum(np.abs(work + x) * np.abs(work + x))

    for x in (C, -5 * C, np.full(3, -0.5)):
        assert_array_equal(hs.grad(f)(x), hs.grad(written_out)(x))
        assert_array_equal(hs.hessian(f)(x), hs.hessian(written_out)(x))
        assert_allclose(hs.grad(lambda x: hs.grad(f)(x) @ ONES)(x), hs.hessian(written_out)(x) @ ONES)
    assert_array_equal(hs.hessian(untouched)(Z), 2 * EYE)


def test_roots_alike_may_be_of_values_of_a_tape_around():
    slope = hs.grad(lambda a: np.sum(hs.grad(lambda x: norm(x + a) * norm(x + a))(ONES) ** 2))(C)
    assert_allclose(slope, 8 * (ONES + C), rtol=1e-14)
    assert_allclose(hs.grad(lambda a: np.sum(hs.grad(lambda x: norm(x - a) * norm(x - a))(C) ** 2))(C), Z, atol=1e-14)
