"""Twins of scipy.linalg: SciPy's values on plain arrays, derivatives of every factor and of what is solved with it."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.linalg

import hessian as hs
from hessian.errors import OptionError

LINALG = hs.scipy.linalg
RNG = np.random.default_rng(0)
A = 2 * np.eye(4) + RNG.uniform(-0.4, 0.4, (4, 4))
S = A @ A.T
B, V = RNG.normal(size=(4, 2)), RNG.normal(size=4)
BANDS = np.vstack([RNG.uniform(-0.4, 0.4, (1, 5)), np.full((1, 5), 2.0), RNG.uniform(-0.4, 0.4, (2, 5))])
CHOLESKY_BANDS = np.vstack([np.full((1, 5), 1.5), RNG.uniform(-0.4, 0.4, (2, 5))])
W = RNG.normal(size=5)


def triangle(x, lower):
    """Return what is defined of a factor that SciPy leaves other numbers beside."""
    return np.tril(x) if lower else np.triu(x)


CASES = {
    "cholesky": (lambda m, a: m.cholesky(a, lower=True), S),
    "cholesky_upper": (lambda m, a: m.cholesky(a), S),
    "cho_factor": (lambda m, a: triangle(m.cho_factor(a)[0], False), S),
    "cho_factor_lower": (lambda m, a: triangle(m.cho_factor(a, lower=True)[0], True), S),
    "cho_solve": (lambda m, a: m.cho_solve(m.cho_factor(a), B), S),
    "cho_solve_lower": (lambda m, a: m.cho_solve(m.cho_factor(a, lower=True), a[0] ** 2), S),
    "solve_triangular": (lambda m, a: m.solve_triangular(a, B, lower=True), A),
    "solve_triangular_turned": (lambda m, a: m.solve_triangular(a, a[:, 1], trans="T", unit_diagonal=True), A),
    "lu_factor": (lambda m, a: m.lu_factor(a)[0], A[[2, 0, 3, 1]]),
    "lu_solve": (lambda m, a: m.lu_solve(m.lu_factor(a), B), A[[2, 0, 3, 1]]),
    "lu_solve_turned": (lambda m, a: m.lu_solve(m.lu_factor(a), a[:, 1], trans=1), A[[2, 0, 3, 1]]),
    "solve": (lambda m, a: m.solve(a, B), A),
    "solve_pos": (lambda m, a: m.solve(a, V, assume_a="pos"), S),
    "solve_sym": (lambda m, a: m.solve(a, a[1] ** 2, assume_a="sym", lower=True), S),
    "solve_transposed": (lambda m, a: m.solve(a, V, transposed=True), A),
    "inv": (lambda m, a: m.inv(a), A),
    "det": (lambda m, a: m.det(a), A),
    "expm": (lambda m, a: m.expm(a), A / 3),
    "logm": (lambda m, a: m.logm(a), S),
    "sqrtm": (lambda m, a: m.sqrtm(a), S),
    "sinm": (lambda m, a: m.sinm(a), A),
    "cosm": (lambda m, a: m.cosm(a), A),
    "toeplitz": (lambda m, a: m.toeplitz(a[0], a[:, 1]), A),
    "toeplitz_symmetric": (lambda m, a: m.toeplitz(a[0]), A),
    "block_diag": (lambda m, a: m.block_diag(a[:2], a[0], 2 * a[:1, :1]), A),
    "solve_sylvester": (lambda m, a: m.solve_sylvester(a, a[:2, :2], a[:, :2]), A),
    "solve_banded": (lambda m, a: m.solve_banded((2, 1), a, a[0] + W), BANDS),
    "solve_banded_columns": (lambda m, a: m.solve_banded((2, 1), a, np.outer(W, V)), BANDS),
    "cho_solve_banded": (lambda m, a: m.cho_solve_banded((a, True), W), CHOLESKY_BANDS),
    "cho_solve_banded_upper": (lambda m, a: m.cho_solve_banded((a, False), W), CHOLESKY_BANDS[::-1].copy()),
}


@pytest.mark.parametrize("name", CASES)
def test_values_are_scipys(name):
    f, a = CASES[name]
    plain = f(scipy.linalg, a)
    np.testing.assert_array_equal(f(LINALG, a), plain)
    traced, _ = hs.vjp(lambda a: f(LINALG, a), a)
    np.testing.assert_allclose(traced, plain, rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("name", CASES)
def test_derivatives_plain_recorded_and_nested(name):
    f, a = CASES[name]
    weight = np.random.default_rng(1).uniform(0.5, 1.5, np.shape(f(LINALG, a)))
    loss = lambda a: np.sum(weight * f(LINALG, a)) + 0.5 * np.sum(f(LINALG, a) ** 2)
    hs.check_derivatives(loss, a)
    recorded, v = hs.record(loss), np.random.default_rng(2).normal(size=a.shape)
    product = hs.hvp(loss, a, v)
    for _ in range(2):
        np.testing.assert_allclose(hs.grad(recorded)(a), hs.grad(loss)(a), rtol=1e-10, atol=1e-11)
        np.testing.assert_allclose(hs.hvp(recorded, a, v), product, rtol=1e-9, atol=1e-10)
        a = a + 0.01 * np.eye(*a.shape) if a is not BANDS else a
        product = hs.hvp(loss, a, v)
    nested = hs.grad(lambda a: np.sum(hs.grad(loss)(a) * v))(a)
    np.testing.assert_allclose(nested, product, rtol=1e-9, atol=1e-10)
    together = hs.hvp(loss, a, np.stack([v, 2 * v]))
    np.testing.assert_allclose(together, np.stack([product, 2 * product]), rtol=1e-9, atol=1e-10)


def test_what_is_refused():
    for f, saying in (
        (lambda a: LINALG.solve(a, V, assume_a="nothing"), "assume_a is 'nothing'"),
        (lambda a: LINALG.solve_triangular(a, V, trans="X"), "trans is 'X'"),
        (lambda a: LINALG.sqrtm(a, True), "further arguments"),
    ):
        with pytest.raises(OptionError, match=saying):
            hs.grad(lambda a, f=f: np.sum(f(a)))(S)
    with pytest.raises(np.linalg.LinAlgError):
        hs.grad(lambda a: np.sum(LINALG.cholesky(a)))(-S)


def test_other_structures_of_a_matrix():
    for kind, matrix in (
        ("diagonal", np.diag(np.diagonal(A))),
        ("tridiagonal", np.triu(np.tril(A, 1), -1)),
        ("upper triangular", np.triu(A)),
        ("lower triangular", np.tril(A)),
    ):
        f = lambda a, kind=kind: np.sum(LINALG.solve(a, V, assume_a=kind) ** 2)
        g = lambda a, kind=kind, pattern=matrix != 0: np.sum(np.linalg.solve(a * pattern, V) ** 2)
        np.testing.assert_allclose(hs.grad(f)(matrix), hs.grad(g)(matrix), rtol=1e-11)


def test_a_gaussian_process_factors_once_per_point(monkeypatch):
    t, y = np.linspace(0, 1, 30), np.sin(np.linspace(0, 6, 30))
    gaps = np.subtract.outer(t, t) ** 2

    def loss(p):
        K = np.exp(p[0]) * np.exp(-gaps / np.exp(p[1])) + np.exp(p[2]) * np.eye(30)
        factor, lower = LINALG.cho_factor(K, lower=True)
        return 0.5 * y @ LINALG.cho_solve((factor, lower), y) + np.sum(np.log(np.diag(factor)))

    p = np.array([0.1, -2.0, -2.0])
    hs.check_derivatives(loss, p)
    H = hs.HessianOperator(hs.record(loss), p)
    for _ in range(4):
        H @ np.ones(3)
    calls = []
    original = np.linalg.cholesky
    monkeypatch.setattr("hessian.rules.cholesky.cholesky_op.function", lambda a, **how: calls.append(1) or original(a))
    for v in np.eye(3):
        H @ v
    assert not calls
