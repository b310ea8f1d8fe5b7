"""Regressions of discrete outcomes: probit, multinomial and ordered choices, counts."""

from __future__ import annotations

import mpmath as mp
import numpy as np

from hessian.scipy import special, stats
from models.model import dot, model

rng = np.random.default_rng(11)
N = 60
X = np.column_stack([np.ones(N), rng.normal(size=N), rng.uniform(-1, 1, N)])
Y = (X @ [0.3, 1.0, -0.7] + rng.normal(size=N) > 0).astype(int)
Z = X @ [0.2, 1.2, -0.5] + rng.normal(size=N)
LEVEL = np.digitize(Z, [-0.8, 0.4, 1.3])
KIND = np.argmax(X @ np.array([[0.0, 0.4, -0.3], [0.0, 0.8, -0.5], [0.0, 0.2, 0.9]]) + rng.gumbel(size=(N, 3)), axis=1)
COUNT = rng.negative_binomial(2.0, 2.0 / (2.0 + np.exp(X @ [0.8, 0.5, -0.4])))
MANY = np.where(rng.uniform(size=N) < 0.3, 0, rng.poisson(np.exp(X @ [1.0, 0.4, 0.3])))


def _normal(x):
    return mp.erfc(-x / mp.sqrt(2)) / 2


def _logistic(x):
    return 1 / (1 + mp.exp(-x))


@model(
    "probit",
    start=(0.0, 0.0, 0.0),
    at=(0.4, -0.6, 1.5),
    exact=lambda p: -sum(mp.log(_normal((2 * y - 1) * dot(x, p))) for x, y in zip(X.tolist(), Y.tolist(), strict=True)),
)
def probit(b):
    return -np.sum(special.log_ndtr((2 * Y - 1) * (X @ b)))


def _multinomial(p):
    total = 0
    for x, k in zip(X.tolist(), KIND.tolist(), strict=True):
        logits = [0, dot(x, p[:3]), dot(x, p[3:])]
        total += mp.log(sum(mp.exp(v) for v in logits)) - logits[k]
    return total


@model(
    "multinomial logit",
    start=(0.0,) * 6,
    at=(0.5, -1.0, 0.3, 2.0, 0.1, -0.4),
    exact=_multinomial,
)
def multinomial_logit(p):
    B = p.reshape(2, 3)
    logits = np.column_stack([np.zeros(N), X @ B.T])
    return np.sum(special.logsumexp(logits, axis=1) - logits[np.arange(N), KIND])


def _ordered(cdf, p):
    ends = [p[2], p[2] + mp.exp(p[3]), p[2] + mp.exp(p[3]) + mp.exp(p[4])]
    total = 0
    for x, k in zip(X[:, 1:].tolist(), LEVEL.tolist(), strict=True):
        eta = dot(x, p[:2])
        above = cdf(ends[k] - eta) if k < 3 else 1
        below = cdf(ends[k - 1] - eta) if k > 0 else 0
        total -= mp.log(above - below)
    return total


ORDERED = {"start": (0.0, 0.0, -1.0, 0.0, 0.0), "at": (0.5, 0.7, -0.4, 0.3, -1.0)}


@model("ordered probit", exact=lambda p: _ordered(_normal, p), **ORDERED)
def ordered_probit(p):
    cuts = np.concatenate([[-np.inf], p[2:3], p[2] + np.cumsum(np.exp(p[3:])), [np.inf]])
    eta = X[:, 1:] @ p[:2]
    return -np.sum(np.log(stats.norm.cdf(cuts[LEVEL + 1] - eta) - stats.norm.cdf(cuts[LEVEL] - eta)))


@model("ordered logit", exact=lambda p: _ordered(_logistic, p), **ORDERED)
def ordered_logit(p):
    cuts = np.r_[-np.inf, p[2], p[2] + np.cumsum(np.exp(p[3:])), np.inf]
    eta = X[:, 1:] @ p[:2]
    return -np.sum(np.log(special.expit(cuts[LEVEL + 1] - eta) - special.expit(cuts[LEVEL] - eta)))


def _nb2(p):
    total = 0
    for x, y in zip(X.tolist(), COUNT.tolist(), strict=True):
        mu, size = mp.exp(dot(x, p[:3])), 1 / p[3]
        total -= mp.loggamma(y + size) - mp.loggamma(size) - mp.loggamma(y + 1)
        total -= size * mp.log(size / (size + mu)) + y * mp.log(mu / (size + mu))
    return total


NB2 = {"start": (0.0, 0.0, 0.0, 1.0), "at": (0.5, 0.8, -0.2, 0.3), "exact": _nb2}


@model("negative binomial by nbinom", **NB2)
def nb2_by_stats(p):
    mu, alpha = np.exp(X @ p[:3]), p[3]
    return -np.sum(stats.nbinom.logpmf(COUNT, 1 / alpha, 1 / (1 + alpha * mu)))


@model("negative binomial by gammaln", **NB2)
def nb2(p):
    mu, r = np.exp(X @ p[:3]), 1 / p[3]
    ll = special.gammaln(COUNT + r) - special.gammaln(r) - special.gammaln(COUNT + 1)
    return -np.sum(ll + r * np.log(r / (r + mu)) + COUNT * np.log(mu / (r + mu)))


def _zip(p):
    total = 0
    for x, y in zip(X.tolist(), MANY.tolist(), strict=True):
        pi, mu = _logistic(p[0]), mp.exp(dot(x, p[1:]))
        total -= mp.log((pi if y == 0 else 0) + (1 - pi) * mp.exp(-mu) * mu**y / mp.factorial(y))
    return total


ZIP = {"start": (0.0, 0.0, 0.0, 0.0), "at": (-0.5, 0.8, 0.2, -0.6), "exact": _zip}


@model("zero-inflated Poisson by where", **ZIP)
def zero_inflated_poisson(p):
    pi, mu = special.expit(p[0]), np.exp(X @ p[1:])
    none = np.log(pi + (1 - pi) * np.exp(-mu))
    some = np.log1p(-pi) + MANY * np.log(mu) - mu - special.gammaln(MANY + 1)
    return -np.sum(np.where(MANY == 0, none, some))


@model("zero-inflated Poisson by masks", **ZIP)
def zero_inflated_poisson_masks(p):
    pi, ll = special.expit(p[0]), stats.poisson.logpmf(MANY, np.exp(X @ p[1:]))
    zero = MANY == 0
    return -np.sum(np.log(pi + (1 - pi) * np.exp(ll[zero]))) - np.sum(np.log(1 - pi) + ll[~zero])
