"""Time series: Kalman filters, GARCH, a hidden Markov model, vector autoregression."""

from __future__ import annotations

from itertools import pairwise, product

import mpmath as mp
import numpy as np

import hessian.scipy as scipy
from hessian.scipy import special, stats
from models.model import model

rng = np.random.default_rng(13)
T = 40
LEVEL = np.cumsum(0.5 * rng.normal(size=T)) + rng.normal(size=T)
_noise = np.random.default_rng(3).normal(size=(3, T))
TREND = np.cumsum(np.cumsum(0.5 * _noise[0]) + 0.7 * _noise[1]) + _noise[2]
DIFFUSE = 1e6


def _autoregression():
    y = np.zeros(T + 50)
    for t in range(2, T + 50):
        y[t] = 0.6 * y[t - 1] - 0.3 * y[t - 2] + rng.normal()
    return y[50:]


def _returns():
    rng = np.random.default_rng(2)
    e, h = np.empty(90), 1.0
    for t in range(90):
        e[t] = np.sqrt(h) * rng.normal()
        h = 0.2 + 0.2 * e[t] ** 2 + 0.6 * h
    return e


AR = _autoregression()
RETURNS = _returns()
SWITCHING = np.where(np.arange(T) // 12 % 2 == 0, -1.0, 1.5) + 0.7 * rng.normal(size=T)
VECTOR = np.zeros((T, 2))
for _t in range(1, T):
    VECTOR[_t] = (
        [0.3, -0.1]
        + np.array([[0.5, 0.2], [-0.1, 0.4]]) @ VECTOR[_t - 1]
        + rng.normal(size=2) @ [[1.0, 0.3], [0.0, 0.7]]
    )


def kalman(y, F, Q, H, R, a, P, burn):
    """Filter as textbooks write it: a negative log-likelihood without the first ``burn`` terms."""
    total = 0.0
    for t in range(len(y)):
        v = y[t] - H @ a
        S = H @ P @ H.T + R
        if t >= burn:
            total = total + 0.5 * (np.log(2 * np.pi) + np.linalg.slogdet(S)[1] + v @ np.linalg.solve(S, v))
        K = P @ H.T @ np.linalg.inv(S)
        a = F @ (a + K @ v)
        P = F @ (P - K @ H @ P) @ F.T + Q
    return total


def _local_level(p):
    eps, eta, total = mp.exp(p[0]), mp.exp(p[1]), 0
    a, P = mp.mpf(0), mp.mpf(DIFFUSE)
    for t, y in enumerate(LEVEL.tolist()):
        v, S = y - a, P + eps
        total += (mp.log(2 * mp.pi * S) + v * v / S) / 2 if t else 0
        a, P = a + P / S * v, P * eps / S + eta
    return total


LOCAL = {"start": (0.0, 0.0), "at": (0.5, -1.2), "exact": _local_level}


@model("local level by matrices", is_slow=True, digits=1e-11, **LOCAL)
def local_level(p):
    one = np.eye(1)
    return kalman(LEVEL[:, None], one, np.exp(p[1]) * one, one, np.exp(p[0]) * one, np.zeros(1), DIFFUSE * one, 1)


@model("local level by scalars", digits=1e-11, **LOCAL)
def local_level_by_scalars(p):
    s2_eps, s2_eta = np.exp(p)
    a, P, total = 0.0, DIFFUSE, 0.0
    for t, y in enumerate(LEVEL):
        v, S = y - a, P + s2_eps
        if t > 0:
            total += 0.5 * (np.log(2 * np.pi * S) + v**2 / S)
        K = P / S
        a, P = a + K * v, P * (1 - K) + s2_eta
    return total


def _local_trend(p):
    eps, eta, zeta = (mp.exp(v) for v in p)
    a, b, P, C, D, total = mp.mpf(0), mp.mpf(0), mp.mpf(DIFFUSE), mp.mpf(0), mp.mpf(DIFFUSE), 0
    for t, y in enumerate(TREND.tolist()):
        v, S = y - a, P + eps
        total += (mp.log(2 * mp.pi * S) + v * v / S) / 2 if t > 1 else 0
        a, b = a + P / S * v, b + C / S * v
        P, C, D = P - P * P / S, C - C * P / S, D - C * C / S
        a, P, C, D = a + b, P + 2 * C + D + eta, C + D, D + zeta
    return total


@model(
    "local linear trend", start=(0.0, -1.0, -2.0), at=(0.4, -1.5, -3.0), exact=_local_trend, digits=1e-9, is_slow=True
)
def local_trend(p):
    R = np.array([[np.exp(p[0])]])
    Q = np.array([[np.exp(p[1]), 0.0], [0.0, np.exp(p[2])]])
    F = np.array([[1.0, 1.0], [0.0, 1.0]])
    H = np.array([[1.0, 0.0]])
    return kalman(TREND[:, None], F, Q, H, R, np.zeros(2), DIFFUSE * np.eye(2), 2)


def _ar2(p):
    a, b, s2, y = p[0], p[1], mp.exp(p[2]), AR.tolist()
    # Variance and first correlation of the stationary process.
    r = a / (1 - b)
    g = s2 / (1 - a * r - b * (a * r + b))
    total = (mp.log(2 * mp.pi * g) + y[0] ** 2 / g) / 2
    v = g * (1 - r * r)
    total += (mp.log(2 * mp.pi * v) + (y[1] - r * y[0]) ** 2 / v) / 2
    return total + sum(
        (mp.log(2 * mp.pi * s2) + (y[t] - a * y[t - 1] - b * y[t - 2]) ** 2 / s2) / 2 for t in range(2, T)
    )


AR2 = {"start": (0.0, 0.0, 0.0), "at": (0.4, -0.5, 0.3), "exact": _ar2, "digits": 1e-11}


@model("AR(2) in state-space form", is_slow=True, **AR2)
def ar2(p):
    F = np.array([[p[0], 1.0], [p[1], 0.0]])
    Q = np.diag([np.exp(p[2]), 0.0])
    P = np.linalg.solve(np.eye(4) - np.kron(F, F), Q.ravel()).reshape(2, 2)
    return kalman(AR[:, None], F, Q, np.array([[1.0, 0.0]]), np.zeros((1, 1)), np.zeros(2), P, 0)


@model("AR(2) by a Toeplitz covariance", **AR2)
def ar2_toeplitz(p):
    a, b, s2 = p[0], p[1], np.exp(p[2])
    gamma = [s2 * (1 - b) / ((1 + b) * ((1 - b) ** 2 - a**2))]
    gamma.append(gamma[0] * a / (1 - b))
    for _ in range(T - 2):
        gamma.append(a * gamma[-1] + b * gamma[-2])
    return -stats.multivariate_normal.logpdf(AR, np.zeros(T), scipy.linalg.toeplitz(gamma))


def _garch(p):
    w, a, b = (mp.exp(v) for v in p)
    h, total = mp.mpf(float(np.var(RETURNS))), 0
    for e in RETURNS.tolist():
        total += (mp.log(2 * mp.pi) + mp.log(h) + mp.mpf(e) ** 2 / h) / 2
        h = w + a * mp.mpf(e) ** 2 + b * h
    return total


GARCH = {"start": (-2.0, -2.0, -0.7), "at": (-1.5, -1.0, -0.9), "exact": _garch}


@model("GARCH(1, 1) in place", **GARCH)
def garch(p):
    w, a, b = np.exp(p)
    h = np.zeros(len(RETURNS))
    h[0] = np.var(RETURNS)
    for t in range(1, len(RETURNS)):
        h[t] = w + a * RETURNS[t - 1] ** 2 + b * h[t - 1]
    return -np.sum(stats.norm.logpdf(RETURNS, 0, np.sqrt(h)))


@model("GARCH(1, 1) by a list", **GARCH)
def garch_list(p):
    w, a, b = np.exp(p)
    h = [np.var(RETURNS)]
    for e in RETURNS[:-1]:
        h.append(w + a * e**2 + b * h[-1])
    h = np.array(h)
    return 0.5 * np.sum(np.log(2 * np.pi) + np.log(h) + RETURNS**2 / h)


@model("GARCH(1, 1) by lfilter", **GARCH)
def garch_filter(p):
    w, a, b = np.exp(p)
    h0 = np.var(RETURNS)
    h, _ = scipy.signal.lfilter([1.0], np.array([1.0, -b]), w + a * RETURNS[:-1] ** 2, zi=np.array([b * h0]))
    h = np.append(h0, h)
    return 0.5 * np.sum(np.log(2 * np.pi * h) + RETURNS**2 / h)


def _states(p):
    """Give initial and transition probabilities and densities of every observation."""
    stay = [1 / (1 + mp.exp(-v)) for v in p[:2]]
    A = [[stay[0], 1 - stay[0]], [1 - stay[1], stay[1]]]
    density = lambda y, k: mp.exp(-(((y - p[2 + k]) / mp.exp(p[4])) ** 2) / 2) / mp.exp(p[4]) / mp.sqrt(2 * mp.pi)
    return A, density


def _forward(p):
    A, density = _states(p)
    alpha = [density(SWITCHING[0], k) / 2 for k in (0, 1)]
    for y in SWITCHING[1:].tolist():
        alpha = [(alpha[0] * A[0][k] + alpha[1] * A[1][k]) * density(y, k) for k in (0, 1)]
    return -mp.log(sum(alpha))


def paths(p, T):
    """Sum over all paths of the first T states, by brute force."""
    A, density = _states([mp.mpf(v) for v in p])
    total = 0
    for states in product((0, 1), repeat=T):
        term = mp.mpf(1) / 2
        for t, k in enumerate(states):
            term *= density(SWITCHING[t], k) * (A[states[t - 1]][k] if t else 1)
        total += term
    return float(-mp.log(total))


@model("hidden Markov model", start=(1.0, 1.0, -0.5, 0.5, 0.0), at=(2.0, 1.2, -0.8, 1.0, -0.2), exact=_forward)
def hidden_markov(p, y=SWITCHING):
    stay = special.expit(p[:2])
    log_A = np.log(np.array([[stay[0], 1 - stay[0]], [1 - stay[1], stay[1]]]))
    log_b = stats.norm.logpdf(y[:, None], p[2:4], np.exp(p[4]))
    log_alpha = np.log(0.5) + log_b[0]
    for t in range(1, len(y)):
        log_alpha = special.logsumexp(log_alpha[:, None] + log_A, axis=0) + log_b[t]
    return -special.logsumexp(log_alpha)


def _var(p):
    a, b, c = mp.exp(p[6]), p[7], mp.exp(p[8])
    total, rows = 0, VECTOR.tolist()
    for (y0, z0), (y, z) in pairwise(rows):
        u = (y - p[0] - p[1] * y0 - p[2] * z0) / a
        v = (z - p[3] - p[4] * y0 - p[5] * z0 - b * u) / c
        total += (u * u + v * v) / 2 + p[6] + p[8] + mp.log(2 * mp.pi)
    return total


@model("VAR(1)", start=(0.0,) * 9, at=(0.2, 0.4, 0.1, -0.2, 0.0, 0.3, 0.2, 0.3, -0.4), exact=_var)
def vector_autoregression(p):
    c, A = p[[0, 3]], np.array([p[1:3], p[4:6]])
    L = np.array([[np.exp(p[6]), 0.0], [p[7], np.exp(p[8])]])
    residuals = VECTOR[1:] - c - VECTOR[:-1] @ A.T
    return -np.sum(stats.multivariate_normal.logpdf(residuals, np.zeros(2), L @ L.T))
