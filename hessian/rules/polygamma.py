"""Polygamma functions and their differences, which the gamma function's relatives are differentiated by."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import scipy.special as sc
from numpy.polynomial import Polynomial

from hessian.rules.spec import HALF_LINE, Elementwise, register

_SHIFT, _REFLECTED = 10, -20.0
_BERNOULLI = (1 / 6, -1 / 30, 1 / 42, -1 / 30, 5 / 66, -691 / 2730, 7 / 6, -3617 / 510, 43867 / 798)


def _polygamma(x: Any, n: int) -> Any:
    """Evaluate psi^(n)(x) = (-1)^(n+1) n! zeta(n+1, x) for n >= 1 (Abramowitz & Stegun 6.4.10)."""
    far = np.less(x, _REFLECTED)
    if not np.any(far):
        return (-1.0) ** (n + 1) * math.factorial(n) * sc.zeta(n + 1, x)
    # There zeta takes a step per unit of length, for ever at -1e15: psi^(n)(x) = (-1)^n psi^(n)(1-x) - pi cot^(n)(pi x).
    t = np.where(far, x, 0.5)
    cotangent = 1 / np.tan(math.pi * (t - np.rint(t)))
    slopes = Polynomial([0.0, 1.0])
    for _ in range(n):
        slopes = -Polynomial([1.0, 0.0, 1.0]) * slopes.deriv()
    reflected = (-1.0) ** n * _polygamma(1 - t, n) - math.pi ** (n + 1) * slopes(cotangent)
    return np.where(far, reflected, _polygamma(np.where(far, 0.5, x), n))


polygamma_op: Elementwise = register(
    Elementwise(
        "polygamma",
        lambda x, *, n: _polygamma(x, n),
        d1=[lambda y, x, *, n: polygamma_op(x, n=n + 1)],
        d2={(0, 0): lambda y, x, *, n: polygamma_op(x, n=n + 2)},
        reference="x, n: psi(n, x)",
        points=HALF_LINE,
        variants=[{"n": 1}, {"n": 3}],
        domain=[(0.4, 4.0)],
    )
)


def _polygamma_drop(a: Any, b: Any, *, n: int) -> Any:
    """Evaluate psi^(n)(a + b) - psi^(n)(a); for n = 0, 1 and arguments of one sign without cancellation."""
    end = np.add(a, b)
    value = _polygamma(end, n) - _polygamma(a, n) if n else sc.digamma(end) - sc.digamma(a)
    if n > 1:
        return value
    drop = _drop_of_trigamma if n else _drop_of_digamma
    direct = np.logical_and(a > 0, end > 0)
    reflected = np.logical_and(~direct, np.logical_and(np.less(a, 1), end < 1))
    # Somewhere to compute at where the result is not taken.
    if direct.any():
        value = np.where(direct, drop(np.where(direct, a, 1.0), np.where(direct, b, 1.0)), value)
    if reflected.any():
        a, b = np.where(reflected, a, -0.5), np.where(reflected, b, -0.25)
        value = np.where(reflected, (-1.0) ** n * drop(1 - a, -b) + _drop_of_cotangent(a, b, n), value)
    return value


def _drop_of_cotangent(a: Any, b: Any, n: int) -> Any:
    """Return what reflection adds: f(a + b) - f(a) for f(x) = -pi cot(pi x), or for its derivative (n = 1)."""
    sine = lambda x: np.sin(math.pi * (x - 2 * np.rint(x / 2)))
    start, end = np.abs(sine(a)), np.abs(sine(a + b))
    sign = np.sign(sine(a)) * np.sign(sine(a + b))
    near, far = np.minimum(start, end), np.maximum(start, end)
    if n == 0:
        # sin(pi b) / (sin(pi a) sin(pi (a + b))), whose divisor may underflow.
        return math.pi * sign * (sine(b) / far / near)
    return -(math.pi**2) * ((sine(2 * a + b) / far) * (sine(b) / far) / near / near)


def _shares(a: Any, b: Any, k: int) -> tuple[Any, Any, Any]:
    """Return 1/p, 1/q and 1/p - 1/q for p = a + k, q = a + b + k."""
    u, v = 1 / (a + k), 1 / (a + b + k)
    return u, v, u * np.where(np.isinf(b), 1.0, b * v)


def _drop_of_digamma(a: Any, b: Any) -> Any:
    """Return psi(a + b) - psi(a): the recurrence, then the asymptotic series, all by differences of reciprocals."""
    total = sum(_shares(a, b, k)[2] for k in range(_SHIFT))
    u, v, difference = _shares(a, b, _SHIFT)
    series, powers, v_power = 0.5, 1.0, 1.0
    for m, bernoulli in enumerate(_BERNOULLI, start=1):
        series = series + bernoulli / (2 * m) * (u + v) * powers
        v_power = v_power * v * v
        powers = u * u * powers + v_power
    return total + np.log1p(b * u) + difference * series


def _drop_of_trigamma(a: Any, b: Any) -> Any:
    """Return psi'(a + b) - psi'(a), likewise."""
    total = 0.0
    for k in range(_SHIFT):
        u, v, difference = _shares(a, b, k)
        total = total - difference * (u + v)
    u, v, difference = _shares(a, b, _SHIFT)
    series, powers, u_power = 1 + (u + v) / 2, 1.0, 1.0
    for bernoulli in _BERNOULLI:
        powers = v * v * powers + u_power * u * (u + v)
        u_power = u_power * u * u
        series = series + bernoulli * powers
    return total - difference * series


polygamma_drop_op: Elementwise = register(
    Elementwise(
        "polygamma_drop",
        _polygamma_drop,
        d1=[lambda y, a, b, *, n: polygamma_drop_op(a, b, n=n + 1), lambda y, a, b, *, n: polygamma_op(a + b, n=n + 1)],
        d2={
            (0, 0): lambda y, a, b, *, n: polygamma_drop_op(a, b, n=n + 2),
            (0, 1): lambda y, a, b, *, n: polygamma_op(a + b, n=n + 2),
            (1, 1): lambda y, a, b, *, n: polygamma_op(a + b, n=n + 2),
        },
        variants=[{"n": 0}, {"n": 1}],
        domain=[(0.4, 4.0), (0.4, 4.0)],
    )
)
