"""Unconstrained problems of CUTEst with waves, many minima or none, in plain NumPy."""

from __future__ import annotations

import numpy as np


def cosine(x):
    """COSINE."""
    return np.sum(np.cos(x[:-1] ** 2 - 0.5 * x[1:]))


def curly(x, band):
    """CURLY10, CURLY20, CURLY30: quartics of sums over a window, with curls of negative curvature."""
    n = x.shape[0]
    sums = np.concatenate([np.zeros(1), np.cumsum(x)])
    q = sums[np.minimum(np.arange(n) + band + 1, n)] - sums[:-1]
    return np.sum(q**4 - 20.0 * q**2 - 0.1 * q)


def eg2(x):
    """EG2."""
    return np.sum(np.sin(x[0] + x[:-1] ** 2 - 1.0)) + 0.5 * np.sin(x[-1] ** 2)


def genhumps(x):
    """GENHUMPS: a shallow bowl full of humps."""
    waves = np.sin(20.0 * x) ** 2
    return np.sum(waves[:-1] * waves[1:] + 0.05 * (x[:-1] ** 2 + x[1:] ** 2))


def indef(x):
    """INDEF: a slope with waves, unbounded below."""
    return np.sum(x) + 0.5 * np.sum(np.cos(2.0 * x[1:-1] - x[-1] - x[0]))


def indefm(x):
    """INDEFM: the same with the slope bent into a long wave, so that it has minima."""
    return 100.0 * np.sum(np.sin(x / 100.0)) + 0.5 * np.sum(np.cos(2.0 * x[1:-1] - x[-1] - x[0]))


def windows(x, length):
    """Sums over windows of a length."""
    sums = np.concatenate([np.zeros(1), np.cumsum(x)])
    return sums[length:] - sums[:-length]


def ncb20b(x):
    """NCB20B: nonconvex, each term with twenty variables."""
    i = np.arange(1.0, x.shape[0] - 18.0)
    terms = 10.0 / i * windows(x / (1.0 + x**2), 20) ** 2 - 0.2 * windows(x, 20)
    return np.sum(terms) + np.sum(100.0 * x**4 + 2.0)


def ncb20(x):
    """NCB20: nonconvex, each term with twenty variables, and a small cubic coupling of the last ten."""
    n = x.shape[0]
    i = np.arange(1.0, n - 29.0)
    inner = x[: n - 11]
    terms = 10.0 / i * windows(inner / (1.0 + inner**2), 20) ** 2 - 0.2 * windows(inner, 20)
    last = x[n - 10 :]
    coupling = x[:10] * x[10:20] * last + 2.0 * last**2
    return 2.0 + np.sum(terms) + np.sum(x[: n - 10] ** 4 + 2.0) + 1e-4 * np.sum(coupling)


def noncvx(x, first, second, shifts):
    """NONCVXU2 and NONCVXUN: squares and cosines of sums of three scattered variables."""
    i = np.arange(1, x.shape[0] + 1)
    s = x + x[(first * i - shifts[0]) % x.shape[0]] + x[(second * i - shifts[1]) % x.shape[0]]
    return np.sum(s**2 + 4.0 * np.cos(s))


def schmvett(x):
    """SCHMVETT: Schmidt and Vetters."""
    a, b, c = x[:-2], x[1:-1], x[2:]
    return -np.sum(1.0 / (1.0 + (a - b) ** 2) + np.sin(0.5 * (np.pi * b + c)) + np.exp(-(((a + c) / b - 2.0) ** 2)))


def sensors(x):
    """SENSORS: optimal places of sensors, by angles."""
    sines = np.sin(x)
    return -np.sum((sines[:, None] * sines * np.sin(x[:, None] - x)) ** 2)


def scattered(x, multiples):
    """Positions (m i - 1) mod n + 1 of CUTEst's sparse problems, as columns."""
    i = np.arange(1, x.shape[0] + 1)
    return [x[(m * i - 1) % x.shape[0]] for m in multiples]


def sparsine(x):
    """SPARSINE: squares of sums of six scattered sines."""
    weights = 0.5 * np.arange(1.0, x.shape[0] + 1.0)
    return np.sum(weights * sum(np.sin(part) for part in scattered(x, (1, 2, 3, 5, 7, 11))) ** 2)


def sparsqur(x):
    """SPARSQUR: squares of sums of six scattered squares; its Hessian vanishes at the minimum."""
    weights = 0.125 * np.arange(1.0, x.shape[0] + 1.0)
    return np.sum(weights * sum(part**2 for part in scattered(x, (1, 2, 3, 5, 7, 11))) ** 2)


def snail(x):
    """SNAIL: a spiralling valley."""
    squared = x[0] ** 2 + x[1] ** 2
    radius = np.sqrt(squared)
    return squared / (1.0 + squared) * (1.0 + radius * (1.5 - 0.5 * np.cos(radius - np.arctan2(x[1], x[0]))))


def oscipath(x, weight=500.0):
    """OSCIPATH: Nesterov's oscillating path, of exponential length."""
    return 0.25 * (x[0] - 1.0) ** 2 + weight * np.sum((x[1:] - 2.0 * x[:-1] ** 2 + 1.0) ** 2)


def denschna(x):
    """DENSCHNA."""
    return x[0] ** 4 + (x[0] + x[1]) ** 2 + np.expm1(x[1]) ** 2


def denschnb(x):
    """DENSCHNB."""
    return (x[0] - 2.0) ** 2 + ((x[0] - 2.0) * x[1]) ** 2 + (x[1] + 1.0) ** 2


def denschnc(x):
    """DENSCHNC."""
    return (x[0] ** 2 + x[1] ** 2 - 2.0) ** 2 + (np.exp(x[0] - 1.0) + x[1] ** 3 - 2.0) ** 2


def denschnd(x):
    """DENSCHND: a minimum with a Hessian of zeros."""
    a, b, c = x[0], x[1], x[2]
    return (a**2 + b**3 - c**4) ** 2 + (2.0 * a * b * c) ** 2 + (2.0 * a * b - 3.0 * b * c + a * c) ** 2


def denschne(x):
    """DENSCHNE: a minimum, and an infimum at infinity along the exponential."""
    return x[0] ** 2 + (x[1] + x[1] ** 2) ** 2 + np.expm1(x[2]) ** 2


def denschnf(x):
    """DENSCHNF."""
    a, b = x[0], x[1]
    return (2.0 * (a + b) ** 2 + (a - b) ** 2 - 8.0) ** 2 + (5.0 * a**2 + (b - 3.0) ** 2 - 9.0) ** 2


def engval2(x):
    """ENGVAL2."""
    a, b, c = x[0], x[1], x[2]
    return (
        (a**2 + b**2 + c**2 - 1.0) ** 2
        + (a**2 + b**2 + (c - 2.0) ** 2 - 1.0) ** 2
        + (a + b + c - 1.0) ** 2
        + (a + b - c + 1.0) ** 2
        + (a**3 + 3.0 * b**2 + (5.0 * c - a + 1.0) ** 2 - 36.0) ** 2
    )


def cliff(x):
    """CLIFF."""
    return (0.01 * (x[0] - 3.0)) ** 2 - (x[0] - x[1]) + np.exp(20.0 * (x[0] - x[1]))


def sisser(x):
    """SISSER: a minimum with a Hessian of zeros."""
    return 3.0 * x[0] ** 4 - 2.0 * (x[0] * x[1]) ** 2 + 3.0 * x[1] ** 4


def himmelbg(x):
    """HIMMELBG: a minimum of value 0, which is the infimum at infinity, too."""
    return np.exp(-x[0] - x[1]) * (2.0 * x[0] ** 2 + 3.0 * x[1] ** 2)


def himmelbh(x):
    """HIMMELBH: a local minimum; unbounded below on the other side."""
    return -3.0 * x[0] - 2.0 * x[1] + x[0] ** 3 + x[1] ** 2 + 2.0


def humps(x):
    """HUMPS."""
    return 0.05 * (x[0] ** 2 + x[1] ** 2) + (np.sin(20.0 * x[0]) * np.sin(20.0 * x[1])) ** 2
