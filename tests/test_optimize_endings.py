"""Endings that hold: what a run says where it stops is true, at degenerate minima, inflexion points, edges and kinks."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose

from hessian.optimize import Status, minimize
from hessian.optimize.minimize import METHODS

# Trial points at which there is no value.


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("error", [np.linalg.LinAlgError, FloatingPointError, ZeroDivisionError, OverflowError])
def test_an_exception_at_a_trial_point_is_a_rejected_step(error: type[Exception], method: str) -> None:
    def fun(x: Any) -> Any:
        if x[0] <= 0.0:
            raise error("no value here")
        return np.sum(x - np.log(x))

    # The first Newton step from 5 leads to 5 - 20.
    res = minimize(fun, np.full(3, 5.0), method=method)
    assert res.status is Status.CONVERGED
    assert_allclose(res.x, 1.0, atol=1e-6)
    assert any(not record.accepted and math.isnan(record.ratio) for record in res.history[1:])
    with pytest.raises(error, match="no value here"):
        minimize(fun, np.full(3, -1.0), method=method)


@pytest.mark.parametrize("method", METHODS)
def test_a_cholesky_decomposition_that_fails_at_a_trial_point(method: str) -> None:
    target = np.array([[2.0, 0.3], [0.3, 1.0]])

    def barrier(p: Any) -> Any:
        factor = np.linalg.cholesky(np.stack([np.stack([p[0], p[2]]), np.stack([p[2], p[1]])]))
        return (
            p[0] * target[0, 0]
            + p[1] * target[1, 1]
            + 2.0 * p[2] * target[0, 1]
            - 2.0 * np.sum(np.log(np.diag(factor)))
        )

    res = minimize(barrier, np.array([9.0, 9.0, 8.0]), method=method)
    assert res.success, res
    inverse = np.linalg.inv(target)
    assert_allclose(res.x, [inverse[0, 0], inverse[1, 1], inverse[0, 1]], atol=1e-5)


@pytest.mark.parametrize("method", METHODS)
def test_minus_infinity_is_unbounded(method: str) -> None:
    res = minimize(lambda x: np.where(x[0] < -2.0, -np.inf, x[0] ** 2 + 5.0 * x[0]), [3.0], method=method)
    assert (res.status, res.success) == (Status.UNBOUNDED, False)
    assert math.isfinite(res.fun)


@pytest.mark.parametrize("method", METHODS)
def test_second_derivatives_near_the_largest_number(method: str) -> None:
    # x falls until 1 / x^2 overflows when it is doubled.
    res = minimize(lambda x: np.sum(np.log(x)), np.full(3, 5.0), method=method, options={"maxiter": 1500})
    assert not res.success
    assert res.fun < -600.0


# Steps that are bounded.


@pytest.mark.parametrize("size", [10, 100])
def test_newton_is_not_led_astray_by_nearly_singular_hessians(size: int) -> None:
    def fun(x: Any) -> Any:
        return np.sum(np.cos(-0.5 * x[1:] + x[:-1] ** 2))

    res = minimize(fun, np.ones(size), method="newton", options={"maxiter": 100})
    assert res.gradient_norm <= 1e-6
    assert_allclose(res.fun, 1.0 - size, rtol=1e-12)
