"""Determinants near and at singular matrices: cofactors, their derivatives, and what has none."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

import hessian as hs


def _by_permutations(a):
    total = 0.0
    for p in itertools.permutations(range(len(a))):
        term = (-1.0) ** sum(p[j] > p[i] for i in range(len(p)) for j in range(i))
        for i, j in enumerate(p):
            term = term * a[i, j]
        total = total + term
    return total


def _matrix(singular_values):
    rng = np.random.default_rng(7)
    u, _, v = np.linalg.svd(rng.normal(size=(4, 4)))
    return u * singular_values @ v


MATRICES = {
    "regular": _matrix([3.0, 2.0, 1.0, 0.5]),
    **{f"{d:g} from singular": _matrix([3.0, 2.0, 1.0, d]) for d in (1e-6, 1e-10, 1e-12, 1e-14)},
    "two small": _matrix([3.0, 2.0, 1e-9, 1e-10]),
    "rank 3": np.array([[1.0, 2, 3, 4], [0, 1, 0, 2], [1, 3, 3, 6], [5, 1, 0, 2]]),
    "rank 2": np.array([[1.0, 2, 3, 4], [0, 1, 0, 2], [1, 3, 3, 6], [2, 5, 6, 10]]),
    "rank 1": np.outer([1.0, 2, 3, 4], [1.0, -1, 2, 1]),
    "zero": np.zeros((4, 4)),
    "identity": np.eye(4),
    "a zero row": np.diag([1.0, 0.0, 2.0, 3.0]),
    "one by one": np.zeros((1, 1)),
    "two by two": np.array([[1.0, 2.0], [2.0, 4.0]]),
}


@pytest.mark.parametrize("name", MATRICES)
def test_gradient_and_hessian_are_those_of_the_polynomial(name):
    a = MATRICES[name]
    gradient, H = hs.grad(_by_permutations)(a), hs.hessian(_by_permutations)(a)
    size = max(1.0, np.abs(a).max()) ** len(a)
    assert_allclose(hs.grad(np.linalg.det)(a), gradient, atol=1e-14 * size)
    assert_allclose(hs.grad(hs.record(np.linalg.det))(a), gradient, atol=1e-14 * size)
    for found in (
        hs.hessian(np.linalg.det)(a),
        hs.hessian(hs.record(np.linalg.det))(a),
        hs.jacobian(hs.grad(np.linalg.det))(a),
    ):
        assert_allclose(found, H, atol=2e-14 * size)
    v = np.ones_like(a)
    assert_allclose(hs.jvp(np.linalg.det, a, v)[1], np.sum(gradient), atol=1e-13 * size)


def test_matrices_of_mixed_units_lose_no_digits():
    scales = np.array([1e8, 1.0, 1e-8, 1e4])
    a = scales[:, None] * MATRICES["regular"] * scales
    assert_allclose(hs.grad(np.linalg.det)(a), hs.grad(_by_permutations)(a), rtol=1e-12)
    wide = np.diag([1e-200, 1.0, 1e200])
    assert_array_equal(hs.grad(np.linalg.det)(wide), np.diag([1e200, 1.0, 1e-200]))


def test_long_products_do_not_overflow_on_the_way():
    s = np.concatenate([np.full(200, 1e3), np.full(200, 1e-3)])
    assert_allclose(np.diag(hs.grad(np.linalg.det)(np.diag(s))), 1 / s, rtol=1e-12)


def test_stacks_and_orders():
    x = np.random.default_rng(0).normal(size=(5, 3, 3))
    hs.check_derivatives(lambda x: np.sum(np.linalg.det(x) ** 2), x)
    a, b = MATRICES["regular"], MATRICES["rank 3"]
    t = np.linspace(-1, 1, 9)
    coefficients = np.polynomial.polynomial.polyfit(t, [np.linalg.det(a + s * b) for s in t], 4)
    assert_allclose(hs.taylor(lambda t: np.linalg.det(a + t * b), 0.0, 1.0, order=4), coefficients, atol=1e-12)


def test_what_needs_an_inverse_says_so_at_a_singular_matrix():
    singular = MATRICES["rank 3"]
    with pytest.raises(
        hs.errors.UndefinedDerivativeError, match=r"third derivative of det: .*singular.*test_determinant.py:\d+: "
    ):
        hs.taylor(lambda t: np.linalg.det(singular + t * np.eye(4)), 0.0, 1.0, order=3)
    for f in (lambda a: np.linalg.slogdet(a)[1], lambda a: np.linalg.slogdet(a).logabsdet):
        for a in (singular, np.zeros((2, 2)), np.ones((3, 3)), _matrix([3.0, 2.0, 1.0, 1e-17])):
            with pytest.raises(
                np.linalg.LinAlgError, match=r"derivative of slogdet: .*singular.*test_determinant.py:\d+: .*Add a"
            ):
                hs.grad(f)(a)
            with pytest.raises(hs.errors.UndefinedDerivativeError, match="slogdet"):
                hs.hessian(hs.record(f))(a)
    # Unequal units are no singularity.
    assert_allclose(
        hs.grad(lambda a: np.linalg.slogdet(a)[1])(np.diag([1e-200, 1.0, 1e200])), np.diag([1e200, 1.0, 1e-200])
    )


@pytest.mark.parametrize("condition", [1e4, 1e8, 1e12])
def test_inverses_near_singular_are_right_to_condition_times_precision(condition):
    a = _matrix([1.0, 0.7, 0.3, 1 / condition])
    inverse = np.linalg.inv(a)
    tolerance = 20 * condition * np.finfo(float).eps
    gradient = hs.grad(lambda a: np.sum(np.linalg.inv(a)))(a)
    expected = -np.outer(inverse.sum(0), inverse.sum(1))
    assert_allclose(gradient, expected, atol=tolerance * np.abs(expected).max())
    b = np.arange(1.0, 5.0)
    gradient = hs.grad(lambda a: np.sum(np.linalg.solve(a, b)))(a)
    expected = -np.outer(inverse.sum(0), inverse @ b)
    assert_allclose(gradient, expected, atol=tolerance * np.abs(expected).max())


@pytest.mark.parametrize(
    "f", [np.linalg.inv, lambda a: np.linalg.solve(a, np.ones(3)), lambda a: np.linalg.cholesky(a - np.eye(3))]
)
def test_singular_systems_raise_as_numpy_does(f):
    with pytest.raises(np.linalg.LinAlgError):
        hs.grad(lambda a: np.sum(f(a)))(np.zeros((3, 3)))
