"""What does not reach the result has no derivative, however singular it is: through every kind of operation, in every mode."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import scipy.sparse
from numpy.testing import assert_allclose

import hessian as hs
from hessian.special import log_softmax, logsumexp, softmax

Function = Callable[[Any], Any]

# Columns of these are independent of each other, and the first is singular at x[0] = 0.
COLUMNS: dict[str, Function] = {
    "norm": lambda x: np.linalg.norm(np.stack([x, x * x]), axis=0),
    "vector_norm": lambda x: np.linalg.vector_norm(np.stack([x, x * x]), axis=0),
    "std": lambda x: np.std(np.stack([x, x * x]), axis=0),
    "softmax": lambda x: softmax(np.stack([1 / x, x * x]), axis=0)[1],
    "log_softmax": lambda x: log_softmax(np.stack([1 / x, x * x]), axis=0)[1],
    "logsumexp": lambda x: logsumexp(np.stack([np.log(x), x * np.log(x)]), axis=0),
    "vecdot": lambda x: np.vecdot(np.stack([np.sqrt(x), x * x], axis=1), np.stack([x, np.sqrt(x)], axis=1)),
    "vecmat": lambda x: np.array([1.0, 2.0]) @ np.stack([np.sqrt(x), x * x]),
    "matmul": lambda x: (np.array([[1.0, 2.0]]) @ np.stack([np.sqrt(x), x * np.log(x)]))[0],
    "matvec": lambda x: np.stack([1 / x, x * x], axis=1) @ np.array([1.0, 2.0]),
    "outer": lambda x: np.outer(np.sqrt(x), np.array([1.0, 2.0]))[:, 1],
    "einsum": lambda x: np.einsum("ij,ij->j", np.stack([np.sqrt(x), x * x]), np.stack([x, 1 / x])),
    "sparse": lambda x: scipy.sparse.csr_array(np.diag([2.0, 3.0])) @ np.sqrt(x),
    "det": lambda x: np.linalg.det(np.reshape(np.stack([x, x * x, np.sqrt(x), x + 1], axis=1), (2, 2, 2))),
    "solve": lambda x: np.linalg.solve(np.eye(2) * (np.sqrt(x) + 2)[:, None, None], np.ones((2, 1)))[:, 0, 0],
}
HIDE: dict[str, Function] = {
    "where": lambda y: np.sum(np.where(np.array([False, True]), y, 0.0)),
    "mask": lambda y: np.sum(y[np.array([False, True])]),
    "where=": lambda y: np.sum(y, where=np.array([False, True])),
    "slice": lambda y: y[1],
}


def _difference_quotients(f: Function, at: float) -> tuple[float, float]:
    h = 1e-4
    left, mid, right = (float(f(np.array([0.0, at + k * h]))) for k in (-1, 0, 1))
    return (right - left) / (2 * h), (right - 2 * mid + left) / h**2


@pytest.mark.parametrize("hide", HIDE)
@pytest.mark.parametrize("column", COLUMNS)
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_what_is_left_out_has_no_derivative(column: str, hide: str) -> None:
    f = lambda x: HIDE[hide](COLUMNS[column](x))
    x, v = np.array([0.0, 0.6]), np.array([0.7, 1.0])
    slope, curvature = _difference_quotients(f, 0.6)
    gradient = hs.grad(f)(x)
    assert gradient[0] == 0
    assert_allclose(gradient[1], slope, rtol=1e-6, atol=1e-7)
    H = hs.hessian(f)(x)
    assert_allclose(H, [[0, 0], [0, curvature]], rtol=1e-5, atol=1e-5)
    assert_allclose(hs.jvp(f, x, v)[1], gradient @ v, rtol=1e-13)
    assert_allclose(hs.jacobian(hs.grad(f))(x), H, rtol=1e-12, atol=1e-13)
    assert_allclose(hs.jvp(hs.grad(f), x, v)[1], H @ v, rtol=1e-12, atol=1e-13)
    assert_allclose(hs.grad(lambda z: hs.grad(f)(z) @ v)(x), H @ v, rtol=1e-12, atol=1e-13)
    assert_allclose(hs.hessian(hs.checkpoint(f))(x), H, rtol=1e-12, atol=1e-13)
    assert_allclose(hs.HessianOperator(f, x).to_dense(), H, rtol=1e-12, atol=1e-13)
    assert_allclose(hs.hessian(hs.record(f))(x), H, rtol=1e-12, atol=1e-13)


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_missing_rows_of_data_do_not_reach_the_coefficients() -> None:
    X = np.array([[1.0, 2.0], [np.nan, 1.0], [0.5, -1.0], [np.inf, 0.0]])
    seen = np.array([True, False, True, False])
    f = lambda w: np.sum(np.where(seen, np.exp(X @ w), 0.0))
    w, rest = np.array([0.3, -0.2]), X[seen]
    for g in (f, hs.record(f), hs.checkpoint(f)):
        assert_allclose(hs.grad(g)(w), rest.T @ np.exp(rest @ w), rtol=1e-14)
        assert_allclose(hs.hessian(g)(w), (rest.T * np.exp(rest @ w)) @ rest, rtol=1e-14)
    assert_allclose(hs.jacobian(hs.grad(f))(w), (rest.T * np.exp(rest @ w)) @ rest, rtol=1e-14)
    assert_allclose(hs.jvp(f, w, w)[1], hs.grad(f)(w) @ w, rtol=1e-14)


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_what_was_replaced_before_a_product_does_not_vary() -> None:
    A = np.array([[1.0, 0.5], [2.0, 0.25]])
    f = lambda x: np.sum(np.sqrt(A[:, None] @ np.where(x > 0, x, 0.0)[..., None]))
    x = np.array([-1.0, -2.0])
    for derivative in (hs.grad(f)(x), hs.hessian(f)(x), hs.jacobian(hs.grad(f))(x), hs.jvp(f, x, x)[1]):
        assert not np.any(derivative)


MASK = np.array([0.0, 1.0])


@pytest.mark.parametrize(
    "f",
    [
        lambda x: np.sum(MASK * np.sqrt(x)),
        lambda x: np.sum(x**0.5 * MASK),
        lambda x: np.sum(np.multiply(np.cbrt(x), MASK > 0)),
        lambda x: np.sum(np.sqrt(MASK / np.exp(-x))),
        lambda x: np.sum(np.sqrt(MASK[:, None] * np.exp([[1.0, 2.0]] * x[:, None]))),
        lambda x: MASK @ (MASK * np.sqrt(x)),
        lambda x: 0 * np.sqrt(x[0]) + np.sqrt(x[1]),
    ],
)
def test_a_constant_factor_of_zero_leaves_no_derivative(f: Function) -> None:
    x, v = np.array([0.0, 0.6]), np.array([0.7, 1.0])
    slope, curvature = _difference_quotients(f, 0.6)
    for g in (f, hs.record(f), hs.checkpoint(f)):
        assert_allclose(hs.grad(g)(x), [0, slope], rtol=1e-6)
        assert_allclose(hs.hessian(g)(x), [[0, 0], [0, curvature]], rtol=1e-5)
        assert_allclose(hs.jvp(hs.grad(g), x, v)[1], [0, curvature], rtol=1e-5)
    assert_allclose(hs.jvp(f, x, v)[1], slope, rtol=1e-6)


def test_zero_times_survives_its_exponent() -> None:
    """(k / scale)**shape is zero for all parameters where k is, though the slope in its base is infinite."""
    k = np.array([0.0, 1.0, 2.0])
    for shape in (0.35, 1.35):
        x = np.array([np.log(shape), 0.2])
        f = lambda x: np.sum((k / np.exp(x[1])) ** np.exp(x[0]))
        g = lambda x: np.sum((k[1:] / np.exp(x[1])) ** np.exp(x[0]))
        assert_allclose(hs.grad(f)(x), hs.grad(g)(x), rtol=1e-14)
        assert_allclose(hs.hessian(f)(x), hs.hessian(g)(x), rtol=1e-14)
        assert_allclose(hs.hessian(hs.record(f))(x), hs.hessian(g)(x), rtol=1e-14)
        assert_allclose(hs.jacobian(hs.grad(f))(x), hs.hessian(g)(x), rtol=1e-14)


@pytest.mark.parametrize("even", [np.cos, np.cosh])
def test_a_slope_that_happens_to_vanish_at_a_kink_stays_loud(even: Function) -> None:
    """cos |x| has the Hessian -I at the origin, which 0 times the infinite one of |x| cannot know: NaN, never 0."""
    f = lambda x: even(np.linalg.norm(x))
    assert np.isnan(hs.hessian(f)(np.zeros(2))).all()
    assert np.isnan(hs.hessian(hs.record(f))(np.zeros(2))).all()
    assert np.isnan(hs.jacobian(hs.grad(f))(np.zeros(2))).all()
