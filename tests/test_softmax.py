"""Sums of exponentials and cross-entropies at logits whose rounding error exceeds one."""

from __future__ import annotations

import mpmath
import numpy as np
import pytest
import scipy.special
from numpy.testing import assert_allclose, assert_array_equal

import hessian as hs
from hessian.nn.losses import softmax_cross_entropy
from hessian.nn.sklearn.penalized import weighted_cross_entropy
from hessian.special import log_softmax, logsumexp, softmax

INF = np.inf


def _exact(x):
    """Softmax in fifty digits."""
    with mpmath.workdps(50):
        powers = [mpmath.exp(mpmath.mpf(float(v)) - mpmath.mpf(float(np.max(x)))) for v in x]
        return np.array([float(p / mpmath.fsum(powers)) for p in powers])


def _hessians(f, x):
    return [
        hs.hessian(f)(x),
        hs.hessian(hs.record(f))(x),
        hs.jacobian(hs.grad(f))(x),
        hs.HessianOperator(f, x) @ np.eye(len(x)),
    ]


POINTS = [
    np.array([1e8, 1e8, 1e8 - 1], np.float32),
    np.array([-1e8, -1e8 - 8, -2e8], np.float32),
    np.array([1e300, 1e300, -1e300]),
    np.array([1e15, 1e15 - 1, 1e15 + 0.5]),
    np.array([0.0, -40.0, -700.0]),
    np.array([3.0, 3.0, 3.0]),
]


@pytest.mark.parametrize("x", POINTS)
def test_shares_at_any_size_of_the_logits(x):
    p, eps = _exact(x), np.finfo(x.dtype).eps
    assert_allclose(softmax(x), p, rtol=8 * eps)
    assert abs(float(np.sum(softmax(x))) - 1) <= 2 * eps
    assert softmax(x).dtype == x.dtype
    assert_allclose(hs.grad(logsumexp)(x), p, rtol=8 * eps)
    for H in _hessians(logsumexp, x):
        assert_allclose(H, np.diag(p) - np.outer(p, p), rtol=1e-5 if x.dtype == np.float32 else 1e-12, atol=4 * eps)
    assert_allclose(hs.jacobian(softmax)(x), np.diag(p) - np.outer(p, p), atol=4 * eps)
    assert_allclose(hs.jacobian(log_softmax)(x), np.eye(3) - p, atol=4 * eps)


def test_values_are_those_of_scipy():
    x = np.random.default_rng(0).normal(size=(40, 7)) * np.logspace(-2, 3, 40)[:, None]
    assert_array_equal(softmax(x, axis=1), scipy.special.softmax(x, axis=1))
    assert_allclose(logsumexp(x, axis=1), scipy.special.logsumexp(x, axis=1), rtol=4e-16)


def test_what_is_small_beside_the_largest_entry_counts():
    x = np.array([0.0, -100.0])
    assert_allclose(logsumexp(x), np.exp(-100.0), rtol=1e-15)
    assert_allclose(log_softmax(x)[0], -np.exp(-100.0), rtol=1e-15)
    assert_allclose(log_softmax(x + 2.0**40), log_softmax(x), rtol=1e-15)


@pytest.mark.parametrize(
    ("x", "value", "gradient"),
    [
        ([-INF, 0.0, 0.0], np.log(2), [0, 0.5, 0.5]),
        ([-INF, -INF, -INF], -INF, [0, 0, 0]),
        ([INF, 0.0, -INF], INF, [1, 0, 0]),
        ([-INF, -INF, 7.0], 7.0, [0, 0, 1]),
    ],
)
def test_infinite_entries(x, value, gradient):
    x, p = np.array(x), np.array(gradient)
    assert_allclose(logsumexp(x), value)
    assert_allclose(hs.grad(logsumexp)(x), p)
    assert_allclose(hs.hessian(logsumexp)(x), np.diag(p) - np.outer(p, p), atol=1e-16)
    assert_allclose(hs.hessian(hs.record(logsumexp))(x), np.diag(p) - np.outer(p, p), atol=1e-16)


@pytest.mark.parametrize("labels", [[0, 1], [[1, 0, 0], [0, 1, 0]]])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_cross_entropy_at_large_and_masked_logits(labels, dtype):
    z = np.array([[1e8, 1e8 - 8, -INF], [0.0, 3.0, -INF]], dtype)
    p = np.array([_exact(row) for row in z])
    f = lambda z: softmax_cross_entropy(z, labels, reduction="sum")
    eps = np.finfo(dtype).eps
    assert_allclose(f(z), -np.log(p[0, 0]) - np.log(p[1, 1]), rtol=8 * eps)
    assert_allclose(hs.grad(f)(z), p - [[1, 0, 0], [0, 1, 0]], atol=4 * eps)
    expected = [np.diag(row) - np.outer(row, row) for row in p]
    for H in (hs.hessian(f)(z), hs.hessian(hs.record(f))(z)):
        for i in (0, 1):
            assert_allclose(H[i, :, i], expected[i], atol=4 * eps)
            assert_array_equal(H[i, :, 1 - i], np.zeros((3, 3)))


def test_surprises_of_estimators_lose_no_digits():
    two = weighted_cross_entropy(np.array([[40.0], [-1e8]]), np.array([1, 0]), None)
    assert_allclose(two, np.log1p(np.exp(-40.0)), rtol=1e-14)
    three = weighted_cross_entropy(np.array([[1e8, 1e8 - 30, 0]]), np.array([0]), np.ones(1))
    assert_allclose(three, np.log1p(np.exp(-30.0)), rtol=1e-14)
    assert weighted_cross_entropy(np.ones((1, 1), np.float32), np.array([1]), None).dtype == np.float32
