"""Regressions of proportions, censored and heavy-tailed outcomes, directions and groups."""

from __future__ import annotations

import mpmath as mp
import numpy as np

import hessian.scipy as scipy
from hessian.scipy import special, stats
from models.model import dot, model

rng = np.random.default_rng(12)
N = 50
X = np.column_stack([np.ones(N), rng.normal(size=N)])
SHARE = rng.beta(8 * special.expit(X @ [0.3, 0.8]), 8 * special.expit(-X @ [0.3, 0.8]))
WAGE = np.maximum(X @ [0.4, 1.0] + 0.8 * rng.normal(size=N), 0.0)
HEAVY = X @ [1.0, -0.5] + 0.6 * rng.standard_t(3, size=N)
ANGLE = rng.vonmises(0.5 + 2 * np.arctan(0.6 * X[:, 1]), 3.0)
TIME = np.exp(X @ [0.7, -0.4] + 0.5 * np.log(rng.exponential(size=N)))
LIMIT = rng.exponential(4.0, size=N)
SEEN = TIME <= LIMIT
TIME = np.minimum(TIME, LIMIT)
GROUP = np.repeat(np.arange(10), 5)
GROUPED = X @ [1.0, 0.5] + 0.8 * rng.normal(size=10)[GROUP] + 0.6 * rng.normal(size=N)
BALLOTS = np.array([rng.multinomial(12, rng.dirichlet([2.0, 1.0, 3.0])) for _ in range(25)])
PAIR = np.column_stack([X @ [0.5, 1.0], X @ [-0.2, 0.4]]) + rng.multivariate_normal([0, 0], [[1.0, 0.6], [0.6, 0.8]], N)


def _rows(*columns):
    return zip(*(np.asarray(c).tolist() for c in columns), strict=True)


def _beta(p):
    total, phi = 0, mp.exp(p[2])
    for x, y in _rows(X, SHARE):
        mu = 1 / (1 + mp.exp(-dot(x, p[:2])))
        a, b = mu * phi, (1 - mu) * phi
        total -= (
            mp.loggamma(phi) - mp.loggamma(a) - mp.loggamma(b) + (a - 1) * mp.log(y) + (b - 1) * mp.log(1 - mp.mpf(y))
        )
    return total


@model("beta regression", start=(0.0, 0.0, 0.0), at=(0.6, 0.4, 1.5), exact=_beta)
def beta_regression(p):
    mu, phi = special.expit(X @ p[:2]), np.exp(p[2])
    return -np.sum(stats.beta.logpdf(SHARE, mu * phi, (1 - mu) * phi))


def _tobit(p):
    total, s = 0, mp.exp(p[2])
    for x, y in _rows(X, WAGE):
        z = (y - dot(x, p[:2])) / s
        total -= -z * z / 2 - mp.log(2 * mp.pi) / 2 - p[2] if y > 0 else mp.log(mp.erfc(-z / mp.sqrt(2)) / 2)
    return total


@model("Tobit", start=(0.0, 0.0, 0.0), at=(0.2, 0.7, -0.5), exact=_tobit)
def tobit(p):
    mu, sigma = X @ p[:2], np.exp(p[2])
    seen = WAGE > 0
    return -np.sum(np.where(seen, stats.norm.logpdf(WAGE, mu, sigma), stats.norm.logcdf(0.0, mu, sigma)))


def _weibull(p):
    total, k = 0, mp.exp(p[2])
    for x, t, seen in _rows(X, TIME, SEEN):
        scale = mp.exp(dot(x, p[:2]))
        total += (t / scale) ** k - (mp.log(k / scale) + (k - 1) * mp.log(t / scale) if seen else 0)
    return total


WEIBULL = {"start": (0.0, 0.0, 0.0), "at": (0.5, -0.2, 0.9), "exact": _weibull}


@model("Weibull with censoring by weibull_min", **WEIBULL)
def weibull(p):
    k, scale = np.exp(p[2]), np.exp(X @ p[:2])
    seen = stats.weibull_min.logpdf(TIME, k, scale=scale)
    return -np.sum(np.where(SEEN, seen, stats.weibull_min.logsf(TIME, k, scale=scale)))


@model("accelerated failure times by hand", **WEIBULL)
def accelerated_failure(p):
    z = (np.log(TIME) - X @ p[:2]) * np.exp(p[2])
    return np.sum(np.exp(z)) - np.sum((p[2] + z - np.log(TIME))[SEEN])


def _student(p):
    total, s, v = 0, mp.exp(p[2]), mp.exp(p[3])
    for x, y in _rows(X, HEAVY):
        z = (y - dot(x, p[:2])) / s
        total -= mp.loggamma((v + 1) / 2) - mp.loggamma(v / 2) - mp.log(v * mp.pi) / 2 - mp.log(s)
        total += (v + 1) / 2 * mp.log1p(z * z / v)
    return total


@model("Student-t regression", start=(0.0, 0.0, 0.0, 1.0), at=(0.8, -0.2, -0.4, 0.5), exact=_student)
def student(p):
    return -np.sum(stats.t.logpdf(HEAVY, np.exp(p[3]), loc=X @ p[:2], scale=np.exp(p[2])))


def _von_mises(p):
    kappa, total = mp.exp(p[2]), 0
    for x, y in _rows(X[:, 1], ANGLE):
        total -= kappa * mp.cos(y - p[0] - 2 * mp.atan(p[1] * x)) - mp.log(2 * mp.pi * mp.besseli(0, kappa))
    return total


@model("von Mises regression", start=(0.0, 0.1, 0.0), at=(0.3, 0.9, 0.7), exact=_von_mises)
def von_mises(p):
    mu, kappa = p[0] + 2 * np.arctan(p[1] * X[:, 1]), np.exp(p[2])
    return -np.sum(kappa * (np.cos(ANGLE - mu) - 1) - np.log(2 * np.pi * special.i0e(kappa)))


@model("von Mises regression by vonmises", start=(0.0, 0.1, 0.0), at=(0.3, 0.9, 0.7), exact=_von_mises)
def von_mises_by_stats(p):
    return -np.sum(stats.vonmises.logpdf(ANGLE, np.exp(p[2]), loc=p[0] + 2 * np.arctan(p[1] * X[:, 1])))


def _dirichlet_multinomial(p):
    a, total = [mp.exp(v) for v in p], 0
    for row in BALLOTS.tolist():
        total -= mp.loggamma(sum(a)) - mp.loggamma(sum(a) + sum(row)) + mp.loggamma(sum(row) + 1)
        total -= sum(mp.loggamma(v + n) - mp.loggamma(v) - mp.loggamma(n + 1) for v, n in zip(a, row, strict=True))
    return total


@model("Dirichlet-multinomial", start=(0.0, 0.0, 0.0), at=(0.8, -0.1, 1.2), exact=_dirichlet_multinomial)
def dirichlet_multinomial(p):
    a, n = np.exp(p), BALLOTS.sum(axis=1)
    each = special.gammaln(BALLOTS + a) - special.gammaln(a) - special.gammaln(BALLOTS + 1)
    total = special.gammaln(a.sum()) - special.gammaln(a.sum() + n) + special.gammaln(n + 1)
    return -(total.sum() + each.sum())


def _intercepts(p):
    s2, t2, total = mp.exp(p[2]), mp.exp(p[3]), 0
    for g in range(10):
        r = [y - dot(x, p[:2]) for x, y in _rows(X[g == GROUP], GROUPED[g == GROUP])]
        m = len(r)
        # Woodbury: (s² I + t² 1 1ᵀ)⁻¹ and its determinant.
        quad = (dot(r, r) - t2 * sum(r) ** 2 / (s2 + m * t2)) / s2
        total += (m * mp.log(2 * mp.pi) + (m - 1) * p[2] + mp.log(s2 + m * t2) + quad) / 2
    return total


INTERCEPTS = {"start": (0.0, 0.0, 0.0, 0.0), "at": (0.7, 0.9, -0.6, 0.4), "exact": _intercepts}


@model("random intercepts by linalg", **INTERCEPTS)
def random_intercepts(p):
    total = 0.0
    for g in range(10):
        r = GROUPED[g == GROUP] - X[g == GROUP] @ p[:2]
        V = np.exp(p[2]) * np.eye(len(r)) + np.exp(p[3])
        total += np.linalg.slogdet(V)[1] + r @ np.linalg.solve(V, r) + len(r) * np.log(2 * np.pi)
    return total / 2


@model("random intercepts by multivariate_normal", **INTERCEPTS)
def random_intercepts_by_stats(p):
    V = scipy.linalg.block_diag(*[np.exp(p[3]) * np.ones((5, 5))] * 10) + np.exp(p[2]) * np.eye(N)
    return -stats.multivariate_normal.logpdf(GROUPED, X @ p[:2], V)


def _unrelated(p):
    a, b, c = mp.exp(p[4]), p[5], mp.exp(p[6])
    total = 0
    for x, (y, z) in _rows(X, PAIR):
        u = (y - dot(x, p[:2])) / a
        v = (z - dot(x, p[2:4]) - b * u) / c
        total += (u * u + v * v) / 2 + p[4] + p[6] + mp.log(2 * mp.pi)
    return total


UNRELATED = {"start": (0.0,) * 7, "at": (0.4, 0.8, 0.0, 0.5, 0.1, 0.4, -0.3), "exact": _unrelated}


@model("seemingly unrelated regressions", **UNRELATED)
def seemingly_unrelated(p):
    R = PAIR - X @ p[:4].reshape(2, 2).T
    L = np.array([[np.exp(p[4]), 0.0], [p[5], np.exp(p[6])]])
    S = L @ L.T
    quad = np.sum(R * np.linalg.solve(S, R.T).T)
    return 0.5 * (quad + N * np.log(np.linalg.det(S))) + N * np.log(2 * np.pi)


@model("seemingly unrelated regressions by solve_triangular", **UNRELATED)
def seemingly_unrelated_by_factor(p):
    L = np.zeros((2, 2))
    L[0, 0], L[1, 0], L[1, 1] = np.exp(p[4]), p[5], np.exp(p[6])
    R = PAIR - np.stack([X @ p[:2], X @ p[2:4]], axis=1)
    E = scipy.linalg.solve_triangular(L, R.T, lower=True)
    return 0.5 * np.sum(E**2) + N * np.sum(np.log(np.diag(L))) + N * np.log(2 * np.pi)
