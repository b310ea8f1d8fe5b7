"""Endings that hold: what a run says where it stops is true, at degenerate minima, inflexion points, edges and kinks."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import scipy.special as sc
from numpy.testing import assert_allclose

from hessian.optimize import Status, minimize
from hessian.optimize.choice import METHODS

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


@pytest.mark.parametrize(
    ("method", "fun"),
    [
        ("trust-exact", lambda x: np.sum(np.log(x))),
        ("newton", lambda x: np.sum(np.log(x))),
        # By |H| the step for a logarithm is -x, to the pole but for rounding; here it is -2 x / 3.
        ("saddle-free", lambda x: -np.sum(x**-0.5)),
    ],
)
def test_second_derivatives_near_the_largest_number(method: str, fun: Any) -> None:
    # x falls until the second derivative, 1 / x^2 for the logarithm, overflows when it is doubled.
    res = minimize(fun, np.full(3, 5.0), method=method, options={"maxiter": 1100})
    assert not res.success
    assert res.fun < -800.0


# Steps that are bounded.


@pytest.mark.parametrize("size", [10, 100])
def test_newton_is_not_led_astray_by_nearly_singular_hessians(size: int) -> None:
    def fun(x: Any) -> Any:
        return np.sum(np.cos(-0.5 * x[1:] + x[:-1] ** 2))

    res = minimize(fun, np.ones(size), method="newton", options={"maxiter": 100})
    assert res.gradient_norm <= 1e-6
    assert_allclose(res.fun, 1.0 - size, rtol=1e-12)


# Minima that are not isolated.


def factorisation() -> tuple[Any, Any]:
    target = np.random.default_rng(0).normal(size=(12, 10))
    best = 0.5 * np.sum(np.linalg.svd(target, compute_uv=False)[3:] ** 2)

    def fun(p: Any) -> Any:
        return 0.5 * np.sum((p["U"] @ p["V"].T - target) ** 2) - best

    def start(rng: np.random.Generator) -> Any:
        return {"U": 0.1 * rng.normal(size=(12, 3)), "V": 0.1 * rng.normal(size=(10, 3))}

    return fun, start


def deep_linear() -> tuple[Any, Any]:
    rng = np.random.default_rng(1)
    inputs = rng.normal(size=(30, 4))
    outputs = inputs @ rng.normal(size=(4, 3)) + 0.1 * rng.normal(size=(30, 3))
    best = 0.5 * np.mean((inputs @ np.linalg.lstsq(inputs, outputs)[0] - outputs) ** 2)

    def fun(p: Any) -> Any:
        return 0.5 * np.mean((inputs @ p[0] @ p[1] @ p[2] - outputs) ** 2) - best

    def start(rng: np.random.Generator) -> Any:
        return [0.3 * rng.normal(size=shape) for shape in ((4, 5), (5, 5), (5, 3))]

    return fun, start


def circle() -> tuple[Any, Any]:
    def fun(x: Any) -> Any:
        return 2.0 * np.exp(-np.sum(x**2)) + 0.05 * np.sum(x**2) - 0.05 * (1.0 + math.log(40.0))

    return fun, lambda rng: rng.normal(size=2)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("problem", [factorisation, deep_linear, circle])
def test_minima_of_a_symmetry_end_in_success(problem: Any, method: str) -> None:
    fun, start = problem()
    for seed in range(3):
        res = minimize(fun, start(np.random.default_rng(seed)), method=method)
        assert res.success, res
        assert res.status in (Status.CONVERGED_SEMIDEFINITE, Status.CONVERGED_UNDECIDED)
        assert abs(res.fun) <= 1e-9
        assert res.nit <= 60
        assert len(res.saddles) <= 2


@pytest.mark.long
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("problem", [factorisation, deep_linear, circle])
def test_minima_of_a_symmetry_from_twenty_starts(problem: Any, method: str) -> None:
    fun, start = problem()
    for seed in range(20):
        res = minimize(fun, start(np.random.default_rng(100 + seed)), method=method)
        assert res.success, res
        assert abs(res.fun) <= 1e-9


@pytest.mark.parametrize("method", METHODS)
def test_the_maximum_within_a_circle_of_minima_is_left(method: str) -> None:
    fun, _ = circle()
    res = minimize(fun, np.zeros(2), method=method)
    assert (res.status, len(res.saddles)) == (Status.CONVERGED_SEMIDEFINITE, 1)
    assert_allclose(np.sum(res.x**2), math.log(40.0), rtol=1e-6)


def test_small_wells_are_not_taken_for_flat() -> None:
    # A maximum with curvature -1e-6 between minima of value -2.5e-13.
    res = minimize(lambda x: x[0] ** 4 / 4.0 - 1e-6 * x[0] ** 2 / 2.0, [0.0], options={"gtol": 1e-12})
    assert res.status is Status.CONVERGED
    assert_allclose(abs(res.x[0]), 1e-3, rtol=1e-4)


# Places that look like minima.


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("power", [3, 5, 7])
@pytest.mark.parametrize("constant", [0.0, 5.0])
def test_an_inflexion_point_is_not_a_minimum(constant: float, power: int, method: str) -> None:
    res = minimize(lambda x: constant + x[0] ** power, [1.0], method=method)
    assert (res.status, res.success) == (Status.UNBOUNDED, False)


@pytest.mark.parametrize("method", METHODS)
def test_a_degenerate_saddle_as_a_start(method: str) -> None:
    for fun, start in (
        (lambda x: x[0] ** 3 + x[1] ** 2, [0.0, 1.0]),
        (lambda x: x[0] ** 3 - 3.0 * x[0] * x[1] ** 2, [0.0, 0.0]),
    ):
        res = minimize(fun, start, method=method)
        assert (res.status, res.success) == (Status.UNBOUNDED, False)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("power", [4, 6, 8])
@pytest.mark.parametrize("constant", [0.0, 1.0])
def test_minima_without_curvature_are_still_found(constant: float, power: int, method: str) -> None:
    res = minimize(lambda x: constant + x[0] ** power, [1.0], method=method)
    assert res.success, res
    assert_allclose(res.x, 0.0, atol=0.1)


@pytest.mark.parametrize("method", METHODS)
def test_a_hessian_that_is_rounding_is_no_minimum(method: str) -> None:
    counts = np.array([4.0, 5.0, 5.0, 6.0, 4.0, 5.0, 6.0, 5.0])

    def negative_binomial(p: Any) -> Any:
        # Less spread than Poisson's: the likelihood grows with the size for ever.
        mean, size = np.exp(p[0]), np.exp(p[1])
        log_choose = sc.gammaln(counts + size) - sc.gammaln(size) - sc.gammaln(counts + 1.0)
        return -np.sum(log_choose + size * np.log(size / (size + mean)) + counts * np.log(mean / (size + mean)))

    res = minimize(negative_binomial, [1.0, 1.0], method=method)
    assert not res.success, res
    assert_allclose(res.x[0], math.log(5.0), rtol=1e-6)


@pytest.mark.parametrize("method", METHODS)
def test_definiteness_does_not_depend_on_units(method: str) -> None:
    # Powell's badly scaled function (3): x = (1.098e-5, 9.106), and eigenvalues 2e10 and 2e-8 there.
    def fun(x: Any) -> Any:
        return (1e4 * x[0] * x[1] - 1.0) ** 2 + (np.exp(-x[0]) + np.exp(-x[1]) - 1.0001) ** 2

    res = minimize(fun, [0.0, 1.0], method=method)
    assert not res.success or abs(res.x[0] - 1.09815933e-5) < 1e-3 * 1.09815933e-5
    near = minimize(fun, minimize(fun, [0.0, 1.0], method="trust-exact").x, method=method)
    assert near.status is Status.CONVERGED
    assert_allclose(near.smallest_eigenvalue, 2.4e-8, rtol=0.05)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(
    ("fun", "start"),
    [
        (lambda x: 1.0 / (1.0 + x[0] ** 2), [1.0]),
        (lambda x: np.exp(-x[0]), [1.0]),
        (lambda x: np.sum(np.log1p(np.exp(-np.array([1.0, 2.0, 3.0]) * x[0]))), [0.0]),
    ],
    ids=["witch", "exp", "separable"],
)
def test_no_finite_minimum_is_no_success(fun: Any, start: list[float], method: str) -> None:
    res = minimize(fun, start, method=method)
    assert (res.status, res.success) == (Status.CONVERGED_FAR, False)
    assert "at infinity" in res.message


@pytest.mark.parametrize("method", METHODS)
def test_a_valley_that_falls_off_to_infinity_is_no_minimum(method: str) -> None:
    """Its slope is lost beside the steeper one across it, where only gradients of the size of gtol are left of both."""
    valley = lambda x: (x[1] - 1.0) ** 2 + np.exp(-x[0]) * (1.0 + x[1] ** 2)
    uneven = lambda x: np.sum(np.logaddexp(0.0, x))
    for fun, start in ((valley, [0.0, 0.0]), (uneven, [1.0, 2.0])):
        res = minimize(fun, start, method=method)
        assert not res.success, res
        assert res.status is Status.CONVERGED_FAR


@pytest.mark.parametrize("method", METHODS)
def test_a_small_gradient_beside_a_kink_is_no_way_down(method: str) -> None:
    res = minimize(lambda x: np.maximum(x[0], -x[0]) + x[1] ** 2, [0.0, 2.0], method=method)
    assert (res.status, res.success) == (Status.CONVERGED_AT_KINK, True), res
    assert res.fun <= 1e-12
