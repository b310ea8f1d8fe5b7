"""log(1 + exp(-|x|)) beside the kinks that cancel its own: stable logistic losses and log cosh, at zero and away from it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

import hessian as hs

X = np.array([[1.0, 2.0], [3.0, -1.0], [0.5, 1.5], [0.0, 0.0]])
Y = np.array([1.0, 0.0, 1.0, 0.0])
Function = Callable[[Any], Any]

# What is written against overflow, and the same function without kinks.
PAIRS: dict[str, tuple[Function, Function]] = {
    "softplus": (lambda z: np.maximum(z, 0) + np.log1p(np.exp(-np.abs(z))), lambda z: np.logaddexp(0, z)),
    "by log": (lambda z: np.log(1 + np.exp(-np.abs(z))) + np.maximum(0, z), lambda z: np.logaddexp(0, z)),
    "by logaddexp": (lambda z: np.logaddexp(-np.abs(z), 0.0) + np.maximum(0, z), lambda z: np.logaddexp(0, z)),
    "logistic loss": (
        lambda z: np.maximum(z, 0) - z * 0.3 + np.log1p(np.exp(-np.fabs(z))),
        lambda z: np.logaddexp(0, z) - 0.3 * z,
    ),
    "log of the logistic": (lambda z: np.minimum(z, 0) - np.log1p(np.exp(-abs(z))), lambda z: -np.logaddexp(0, -z)),
    "log cosh": (lambda z: abs(z) + np.log1p(np.exp(-2 * abs(z))), lambda z: np.logaddexp(z, -z)),
    "scaled": (lambda z: abs(z) / 2 + np.log1p(np.exp(abs(z) * -1.0)), lambda z: np.logaddexp(z / 2, -z / 2)),
    "modulus by maximum": (lambda z: np.log1p(np.exp(-np.maximum(z, -z))) + abs(z) / 2, lambda z: np.logaddexp(z / 2, -z / 2)),
}  # fmt: skip


@pytest.mark.parametrize("name", PAIRS)
@pytest.mark.parametrize("w", [[0.0, 0.0], [0.5, -0.25], [1e-200, 0.0], [30.0, -7.0]])
def test_a_loss_has_the_derivatives_of_what_it_is(name: str, w: list[float]) -> None:
    written, smooth = PAIRS[name]
    f, g = (lambda w: np.sum(written(X @ w))), (lambda w: np.sum(smooth(X @ w)))
    w, v = np.array(w), np.array([1.0, -0.5])
    H = hs.hessian(g)(w)
    for loss in (f, hs.record(f), hs.checkpoint(f)):
        assert_allclose(hs.grad(loss)(w), hs.grad(g)(w), rtol=1e-12, atol=1e-15)
        assert_allclose(hs.hessian(loss)(w), H, rtol=1e-11, atol=1e-18)
        assert_allclose(hs.jacobian(hs.grad(loss))(w), H, rtol=1e-11, atol=1e-18)
    assert_allclose(hs.HessianOperator(f, w) @ v, H @ v, rtol=1e-10, atol=1e-18)
    assert_allclose(hs.directional(f, w, v, v), v @ H @ v, rtol=1e-10)
    assert_allclose(hs.directional(f, w, v, v, v, v), hs.directional(g, w, v, v, v, v), rtol=1e-8, atol=1e-16)


@pytest.mark.parametrize("name", PAIRS)
def test_the_value_is_that_of_what_was_written_to_the_last_bit(name: str) -> None:
    z = np.array([0.0, -0.0, 1e-300, 0.7, -3.0, 40.0])
    f = lambda z: np.sum(PAIRS[name][0](z))
    assert hs.value_and_grad(f)(z)[0] == f(z)
    assert hs.value_and_grad(hs.record(f))(z)[0] == f(z)


def test_the_far_tail_keeps_its_digits() -> None:
    f = lambda z: np.log1p(np.exp(-np.abs(z)))
    assert_allclose(hs.grad(f)(40.0), -1 / (1 + np.exp(40.0)), rtol=1e-14)
    assert_allclose(hs.hessian(f)(700.0), np.exp(-700.0), rtol=1e-13)


def test_every_order_of_log_cosh_at_zero() -> None:
    f = lambda z: np.abs(z[0]) + np.log1p(np.exp(-2 * np.abs(z[0])))
    found = [hs.directional(f, np.zeros(1), *[np.ones(1)] * k) for k in range(1, 9)]
    assert_allclose(found, [0, 1, 0, -2, 0, 16, 0, -272], rtol=1e-12)


def test_dtypes_and_what_is_no_softplus() -> None:
    f = lambda z: np.sum(np.abs(z) + np.log1p(np.exp(-2 * np.abs(z))))
    H = hs.hessian(f)(np.zeros(2, np.float32))
    assert H.dtype == np.float32
    assert_array_equal(H, np.eye(2))
    x = np.array([0.3, -0.7])
    for other in (
        lambda x: np.sum(np.log(2 + np.exp(-np.abs(x)))),
        lambda x: np.sum(np.log(x[0] ** 2 + np.exp(-np.abs(x)))),
        lambda x: np.sum(np.logaddexp(1, -np.abs(x))),
        lambda x: np.sum(np.log1p(np.abs(x))),
        lambda x: np.sum(np.log1p(np.exp(-np.abs(x[:, None] * np.abs(x))))),
    ):
        hs.check_derivatives(other, x)


def test_a_fit_from_zero_sees_the_curvature() -> None:
    f = lambda w: np.sum(np.maximum(X @ w, 0) - Y * (X @ w) + np.log1p(np.exp(-np.abs(X @ w)))) + 0.5 * w @ w
    assert_allclose(hs.hessian(f)(np.zeros(2)), X.T @ X / 4 + np.eye(2), rtol=1e-14)
    assert hs.optimize.minimize(f, np.zeros(2)).success
