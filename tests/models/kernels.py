"""Gaussian processes with kernels of distances."""

from __future__ import annotations

import mpmath as mp
import numpy as np

import hessian.scipy as scipy
from models.model import model

rng = np.random.default_rng(26)
N = 10
X = rng.uniform(0, 3, size=(N, 2))
Y = np.sin(2 * X[:, 0]) + 0.3 * X[:, 1] + 0.4 * rng.normal(size=N)


def _exact(kernel):
    """Make the negative log-likelihood of log length, log scale and log noise."""

    def exact(p):
        length, scale, noise = (mp.exp(v) for v in p[:3])
        points = [[mp.mpf(v) for v in row] for row in X.tolist()]
        K = mp.zeros(N)
        for i in range(N):
            for j in range(i):
                d = mp.sqrt(sum((a - b) ** 2 for a, b in zip(points[i], points[j], strict=True))) / length
                K[i, j] = K[j, i] = scale * kernel(d, p)
            K[i, i] = scale + noise
        L = mp.cholesky(K)
        z = mp.lu_solve(L, mp.matrix(Y.tolist()))
        return sum(mp.log(L[i, i]) + z[i] ** 2 / 2 + mp.log(2 * mp.pi) / 2 for i in range(N))

    return exact


def process(K, noise):
    """Evaluate the negative log-likelihood of Y."""
    factor = scipy.linalg.cho_factor(K + noise * np.eye(N), lower=True)
    alpha = scipy.linalg.cho_solve(factor, Y)
    return 0.5 * Y @ alpha + np.sum(np.log(np.diag(factor[0]))) + 0.5 * N * np.log(2 * np.pi)


GP = {"start": (0.0, 0.0, -1.0), "at": (0.4, -0.3, -2.0)}
ROOT3, ROOT5 = np.sqrt(3), np.sqrt(5)


def _half(d, p):
    return mp.exp(-d)


def _three_halves(d, p):
    return (1 + mp.sqrt(3) * d) * mp.exp(-mp.sqrt(3) * d)


def _five_halves(d, p):
    return (1 + mp.sqrt(5) * d + 5 * d * d / 3) * mp.exp(-mp.sqrt(5) * d)


def _general(nu):
    def kernel(d, p):
        z = mp.sqrt(2 * mp.mpf(nu)) * d
        return 2 ** (1 - mp.mpf(nu)) / mp.gamma(nu) * z**nu * mp.besselk(nu, z)

    return kernel


@model("Gaussian process, Matern 1/2 by cdist", exact=_exact(_half), **GP)
def matern_half(p):
    d = scipy.spatial.distance.cdist(X, X) / np.exp(p[0])
    return process(np.exp(p[1]) * np.exp(-d), np.exp(p[2]))


@model("Gaussian process, Matern 3/2, scaled points", exact=_exact(_three_halves), **GP)
def matern_three_halves(p):
    Z = X / np.exp(p[0])
    d = ROOT3 * scipy.spatial.distance.cdist(Z, Z)
    return process(np.exp(p[1]) * (1 + d) * np.exp(-d), np.exp(p[2]))


@model("Gaussian process, Matern 3/2 by guarded roots", exact=_exact(_three_halves), **GP)
def matern_by_roots(p):
    Z = X / np.exp(p[0])
    d2 = np.sum((Z[:, None, :] - Z[None, :, :]) ** 2, axis=-1)
    d = ROOT3 * np.where(d2 > 0, np.sqrt(np.where(d2 > 0, d2, 1.0)), 0.0)
    return process(np.exp(p[1]) * (1 + d) * np.exp(-d), np.exp(p[2]))


@model("Gaussian process, Matern 5/2 by pdist", exact=_exact(_five_halves), **GP)
def matern_five_halves(p):
    distance = scipy.spatial.distance
    d = ROOT5 * distance.squareform(distance.pdist(X / np.exp(p[0])))
    return process(np.exp(p[1]) * (1 + d + d**2 / 3) * np.exp(-d), np.exp(p[2]))


@model(
    "Gaussian process, squared exponential",
    exact=_exact(lambda d, p: mp.exp(-d * d / 2)),
    **{**GP, "at": (0.2, -0.3, -1.5)},
)
def squared_exponential(p):
    d2 = scipy.spatial.distance.cdist(X, X, "sqeuclidean") / np.exp(2 * p[0])
    return process(np.exp(p[1]) * np.exp(-0.5 * d2), np.exp(p[2]))


def _matern(nu, d):
    z = np.sqrt(2 * nu) * d
    return 2 ** (1 - nu) / scipy.special.gamma(nu) * z**nu * scipy.special.kv(nu, z)


@model("Gaussian process, Matern 0.8 by kv and where", exact=_exact(_general(0.8)), digits=1e-11, **GP)
def matern_general(p):
    d = scipy.spatial.distance.cdist(X, X) / np.exp(p[0])
    return process(np.exp(p[1]) * np.where(d == 0, 1.0, _matern(0.8, np.where(d == 0, 1.0, d))), np.exp(p[2]))


@model("Gaussian process, Matern 1.7 by kv and a mask", is_slow=True, exact=_exact(_general(1.7)), digits=1e-11, **GP)
def matern_mask(p):
    d = scipy.spatial.distance.pdist(X / np.exp(p[0]))
    K = scipy.spatial.distance.squareform(_matern(1.7, d)) + np.eye(N)
    return process(np.exp(p[1]) * K, np.exp(p[2]))
