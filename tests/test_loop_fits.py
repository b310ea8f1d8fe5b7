"""Models written as plain loops, fit by ``minimize(f, x0)``: the optima of SciPy on the plain functions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import scipy.optimize
from numpy.testing import assert_allclose

import hessian as hs

pytestmark = pytest.mark.long


def _returns(n: int) -> np.ndarray:
    """Draw a GARCH(1, 1) series with omega = 0.1, alpha = 0.1, beta = 0.8."""
    rng, h, e = np.random.default_rng(0), 1.0, np.empty(n)
    for t in range(n):
        e[t] = np.sqrt(h) * rng.normal()
        h = 0.1 + 0.1 * e[t] ** 2 + 0.8 * h
    return e


E = _returns(2000)
V = np.var(E)


def _garch_in_place(p: Any) -> Any:
    w, a, b = np.exp(p)
    s = np.zeros_like(E * p[0])
    s[0] = V
    for t in range(1, len(E)):
        s[t] = w + a * E[t - 1] ** 2 + b * s[t - 1]
    return 0.5 * np.sum(np.log(s) + E**2 / s)


def _garch_list(p: Any) -> Any:
    w, a, b = np.exp(p)
    s = [V + 0.0 * w]
    for t in range(1, len(E)):
        s.append(w + a * E[t - 1] ** 2 + b * s[-1])
    h = np.stack(s)
    return 0.5 * np.sum(np.log(h) + E**2 / h)


def _garch_scalars(p: Any) -> Any:
    w, a, b = np.exp(p)
    h, total = V, 0.0
    for e in E:
        total = total + 0.5 * (np.log(h) + e**2 / h)
        h = w + a * e**2 + b * h
    return total


@pytest.mark.parametrize("f", [_garch_in_place, _garch_list, _garch_scalars])
def test_garch(f: Callable[[Any], Any]) -> None:
    start = np.log([0.05, 0.05, 0.7])
    res = hs.optimize.minimize(f, start)
    assert res.success
    # Nelder-Mead on the plain function, fatol 1e-10.
    assert_allclose(res.fun, 950.1502941598534, rtol=1e-11)
    assert_allclose(res.x, [-3.05179233, -2.73295894, -0.11916325], atol=1e-5)


def test_a_recurrent_network() -> None:
    rng, k, n = np.random.default_rng(1), 4, 500
    X = rng.normal(size=(n, 2))
    y = np.sin(0.3 * np.cumsum(X[:, 0]))

    def loss(p: Any) -> Any:
        h, total = np.zeros(k), 0.0
        for t in range(n):
            h = np.tanh(p["W"] @ h + p["U"] @ X[t])
            total = total + (p["v"] @ h - y[t]) ** 2
        return total / n + 1e-3 * (np.sum(p["W"] ** 2) + np.sum(p["U"] ** 2) + np.sum(p["v"] ** 2))

    start = {"W": 0.3 * rng.normal(size=(k, k)), "U": 0.3 * rng.normal(size=(k, 2)), "v": 0.3 * rng.normal(size=k)}
    res = hs.optimize.minimize(loss, start, options={"gtol": 1e-4, "maxiter": 60})
    assert res.fun < 0.6 * loss(start)
    assert_allclose(res.fun, loss(res.x), rtol=1e-12)


def _local_level(y: np.ndarray) -> Callable[[Any], Any]:
    def f(p: Any) -> Any:
        q, r = np.exp(p)
        m, P, total = 0.0, 10.0, 0.0
        for value in y:
            P = P + q
            S = P + r
            v = value - m
            total = total + 0.5 * (np.log(S) + v * v / S)
            m, P = m + P / S * v, P * r / S
        return total

    return f


def _two_states(y: np.ndarray) -> Callable[[Any], Any]:
    F, H = np.array([[1.0, 1.0], [0.0, 1.0]]), np.array([[1.0, 0.0]])
    level, slope = np.diag([1.0, 0.0]), np.diag([0.0, 1.0])

    def f(p: Any) -> Any:
        Q, R = np.exp(p[0]) * level + np.exp(p[1]) * slope, np.exp(p[2]) * np.eye(1)
        m, P, total = np.zeros(2), 10.0 * np.eye(2), 0.0
        for value in y:
            m, P = F @ m, F @ P @ F.T + Q
            S, v = H @ P @ H.T + R, value - H @ m
            K = np.linalg.solve(S, H @ P).T
            total = total + 0.5 * (np.linalg.slogdet(S)[1] + v @ np.linalg.solve(S, v))
            m, P = m + K @ v, P - K @ H @ P
        return total

    return f


@pytest.mark.parametrize("make", [_local_level, _two_states])
def test_a_kalman_filter(make: Callable[[np.ndarray], Callable[[Any], Any]]) -> None:
    rng, x, y = np.random.default_rng(2), np.zeros(2), []
    for _ in range(500):
        x = np.array([x[0] + x[1], x[1]]) + np.array([0.3, 0.05 * (make is _two_states)]) * rng.normal(size=2)
        y.append(x[0] + rng.normal())
    f, start = make(np.array(y)), np.array([-2.0, 0.5] if make is _local_level else [-2.0, -4.0, 0.5])
    res = hs.optimize.minimize(f, start)
    reference = scipy.optimize.minimize(f, start, method="BFGS")
    assert res.success
    assert res.fun <= reference.fun + 1e-8
    assert_allclose(res.x, reference.x, atol=1e-2)


def _path(r: Any) -> Any:
    """Two competing species by 1000 steps of Runge and Kutta's method; every fiftieth state."""
    M, dt, z, seen = np.array([[1.0, 0.4], [0.3, 1.0]]), 0.01, np.array([0.1, 0.2]), []
    slope = lambda z: z * (r - M @ z)
    for t in range(1000):
        a = slope(z)
        b = slope(z + 0.5 * dt * a)
        c = slope(z + 0.5 * dt * b)
        z = z + dt / 6.0 * (a + 2.0 * b + 2.0 * c + slope(z + dt * c))
        if t % 50 == 49:
            seen.append(z)
    return np.stack(seen)


def test_an_ordinary_differential_equation() -> None:
    data = _path(np.array([1.2, 0.8])) + 0.01 * np.random.default_rng(3).normal(size=(20, 2))
    start = np.array([1.0, 1.0])
    res = hs.optimize.minimize(lambda r: np.sum((_path(r) - data) ** 2), start, options={"gtol": 1e-8})
    fit = hs.optimize.least_squares(lambda r: _path(r) - data, start)
    reference = scipy.optimize.least_squares(lambda r: (_path(r) - data).ravel(), start, xtol=1e-12, gtol=1e-12)
    assert res.success
    assert fit.success
    assert_allclose(res.x, reference.x, atol=1e-6)
    assert_allclose(fit.x, reference.x, atol=1e-6)
