"""One factor for what is solved, inverted and measured with a matrix, whatever the matrix is."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_allclose

import hessian as hs
from hessian.rules.factors import factor_op, inverted, with_factor_op

N = 70
_rng = np.random.default_rng(0)
GENERAL = _rng.standard_normal((N, N)) + 6 * np.eye(N)
INDEFINITE = GENERAL + GENERAL.T - 12 * np.eye(N)
np.fill_diagonal(INDEFINITE, 1.0)
MATRICES = {
    "general": (GENERAL, 0),
    "positive definite": (GENERAL @ GENERAL.T, -3),
    "symmetric, indefinite": (INDEFINITE, 0),
    "symmetric, negative diagonal": (-GENERAL @ GENERAL.T, 0),
    "lower": (np.tril(GENERAL), -1),
    "upper": (np.triu(GENERAL), -2),
    "lower but for its last column": (np.tril(GENERAL) + np.eye(N, k=1) * (np.arange(N) == N - 2)[:, None], 0),
}


@pytest.mark.parametrize("kind", MATRICES)
@pytest.mark.parametrize("dtype", [float, np.float32])
def test_every_factor_solves_and_inverts(kind, dtype):
    a, first = MATRICES[kind]
    a = a.astype(dtype)
    factor, exact, rtol = factor_op(a), a.astype(float), 1e-9 if dtype is float else 5e-2
    assert factor.dtype == dtype
    assert min(factor[0, 0], 0) == first
    b = _rng.standard_normal((N, 3)).astype(dtype)
    for trans, matrix in ((False, exact), (True, exact.T)):
        x = with_factor_op(a, b, factor, trans=trans)
        assert x.dtype == dtype
        scale = np.max(np.abs(np.linalg.inv(exact)))
        assert_allclose(x, np.linalg.solve(matrix, b), atol=rtol * scale, rtol=rtol)
        stacked = with_factor_op(a, np.stack([b, 2 * b]), factor, trans=trans)
        assert_allclose(stacked[1], 2 * x, rtol=rtol, atol=rtol * scale)
    assert_allclose(inverted(factor), np.linalg.inv(exact), rtol=rtol, atol=rtol * scale)


def test_a_factor_without_a_pivot_has_no_inverse():
    a = GENERAL.copy()
    a[0] = a[1]
    a[:, 0] = a[:, 1] = 0.0
    assert inverted(factor_op(a)) is None


@pytest.mark.parametrize("dtype", [float, np.float32])
@pytest.mark.parametrize("of_triangle", [np.tril, np.triu])
def test_a_triangle_with_a_zero_on_its_diagonal_is_singular(of_triangle, dtype):
    a = of_triangle(GENERAL).astype(dtype)
    a[3, 3] = a[9, 9] = 0.0
    factor = factor_op(a)
    assert inverted(factor) is None
    for b in (np.ones(N, dtype), np.ones((N, 2), dtype)):
        for trans in (False, True):
            with pytest.raises(np.linalg.LinAlgError, match="singular matrix: resolution failed at diagonal 3"):
                with_factor_op(a, b.reshape(N, -1), factor, trans=trans)


@pytest.mark.parametrize("kind", list(MATRICES))
def test_derivatives_do_not_depend_on_what_is_seen(kind):
    a, b = MATRICES[kind][0], _rng.standard_normal(N)
    f = lambda a: np.sum(np.sin(np.linalg.solve(a, b))) + np.linalg.slogdet(a)[1] + np.sum(np.linalg.inv(a) ** 2)
    v, w = _rng.standard_normal((2, N, N))
    inverse = np.linalg.inv(a)
    x = inverse @ b
    gradient = -np.outer(inverse.T @ np.cos(x), x) + inverse.T - 2 * inverse.T @ inverse @ inverse.T
    scale = np.max(np.abs(gradient))
    assert_allclose(hs.grad(f)(a), gradient, rtol=1e-8, atol=1e-10 * scale)
    product = hs.hvp(f, a, v)
    assert_allclose(hs.hvp(hs.record(f), a, v), product, rtol=1e-8, atol=1e-8 * np.max(np.abs(product)))
    assert_allclose(np.sum(w * product), np.sum(v * hs.hvp(f, a, w)), rtol=1e-6)


def test_a_program_finds_one_factor_for_all(monkeypatch):
    calls = []
    original = factor_op.function
    monkeypatch.setattr(factor_op, "function", lambda a: calls.append(1) or original(a))
    b = _rng.standard_normal(N)
    recorded = hs.record(lambda a: b @ np.linalg.solve(a, b) + np.linalg.slogdet(a)[1])
    a = GENERAL @ GENERAL.T
    hs.value_and_grad(recorded)(a)
    calls.clear()
    hs.value_and_grad(recorded)(a + np.eye(N))
    assert len(calls) == 1


def test_a_matrix_that_stops_being_symmetric_is_solved_as_it_is():
    b = _rng.standard_normal(N)
    f = lambda a: np.sum(np.linalg.solve(a, b) ** 2)
    recorded, a = hs.record(f), GENERAL @ GENERAL.T
    for matrix in (a, a + np.eye(N, k=3), np.tril(a), a):
        assert_allclose(hs.grad(recorded)(matrix), hs.grad(f)(matrix), rtol=1e-9)
