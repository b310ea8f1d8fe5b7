"""Unconstrained problems of CUTEst whose terms couple few neighbouring variables, in plain NumPy."""

from __future__ import annotations

import numpy as np


def engval1(x):
    """ENGVAL1: tridiagonal Hessian."""
    a, b = x[:-1], x[1:]
    return np.sum((a**2 + b**2) ** 2 - 4.0 * a + 3.0)


def freuroth(x):
    """FREUROTH: a chain of Freudenstein-Roth residuals, tridiagonal Hessian."""
    a, b = x[:-1], x[1:]
    first = a - 13.0 + 5.0 * b**2 - b**3 - 2.0 * b
    second = a - 29.0 + b**2 + b**3 - 14.0 * b
    return np.sum(first**2 + second**2)


def tointgss(x):
    """TOINTGSS: Toint's Gaussian problem, pentadiagonal Hessian."""
    a, b, c = x[:-2], x[1:-1], x[2:]
    return np.sum((10.0 / (x.shape[0] - 2) + c**2) * (2.0 - np.exp(-((a - b) ** 2) / (0.1 + c**2))))


def arwhead(x):
    """ARWHEAD: arrowhead Hessian."""
    return np.sum((x[:-1] ** 2 + x[-1] ** 2) ** 2 - 4.0 * x[:-1] + 3.0)


def tridia(x):
    """TRIDIA: a tridiagonal quadratic."""
    weights = np.arange(2.0, x.shape[0] + 1.0)
    return (x[0] - 1.0) ** 2 + np.sum(weights * (2.0 * x[1:] - x[:-1]) ** 2)


def bdqrtic(x):
    """BDQRTIC: banded quartic with an arrow."""
    a, b, c, d, last = x[:-4], x[1:-3], x[2:-2], x[3:-1], x[-1]
    return np.sum((3.0 - 4.0 * a) ** 2 + (a**2 + 2.0 * b**2 + 3.0 * c**2 + 4.0 * d**2 + 5.0 * last**2) ** 2)


def broydn7d(x):
    """BROYDN7D: powers 7/3 of tridiagonal residuals and of sums across half the vector."""
    half = x.shape[0] // 2
    ends = np.zeros(1)
    padded = np.concatenate([ends, x, ends])
    residuals = (3.0 - 0.5 * x) * x - padded[:-2] - 2.0 * padded[2:] + 1.0
    return np.sum(np.abs(residuals) ** (7.0 / 3.0)) + np.sum(np.abs(x[:half] + x[half:]) ** (7.0 / 3.0))


def chainwoo(x):
    """CHAINWOO: overlapping Wood functions."""
    a, b, c, d = x[0:-2:2], x[1:-2:2], x[2::2], x[3::2]
    return 1.0 + np.sum(
        100.0 * (b - a**2) ** 2
        + (1.0 - a) ** 2
        + 90.0 * (d - c**2) ** 2
        + (1.0 - c) ** 2
        + 10.0 * (b + d - 2.0) ** 2
        + 0.1 * (b - d) ** 2
    )


def cragglvy(x):
    """CRAGGLVY: overlapping Cragg and Levy functions, degrees up to eight."""
    a, b, c, d = x[0:-2:2], x[1:-2:2], x[2::2], x[3::2]
    return np.sum((np.exp(a) - b) ** 4 + 100.0 * (b - c) ** 6 + (np.tan(c - d) + c - d) ** 4 + a**8 + (d - 1.0) ** 2)


def cube(x):
    """CUBE: a valley along a cubic."""
    return (x[0] - 1.0) ** 2 + 100.0 * np.sum((x[1:] - x[:-1] ** 3) ** 2)


def dixon3dq(x):
    """DIXON3DQ: a tridiagonal quadratic."""
    return (x[0] - 1.0) ** 2 + np.sum((x[1:-1] - x[2:]) ** 2) + (x[-1] - 1.0) ** 2


def dqdrtic(x):
    """DQDRTIC: a diagonal quadratic."""
    return np.sum(x[:-2] ** 2 + 100.0 * x[1:-1] ** 2 + 100.0 * x[2:] ** 2)


def dqrtic(x):
    """DQRTIC (QUARTC): fourth powers, a degenerate minimum."""
    return np.sum((x - np.arange(1.0, x.shape[0] + 1.0)) ** 4)


def edensch(x):
    """EDENSCH: extended Dennis and Schnabel."""
    a, b = x[:-1], x[1:]
    return 16.0 + np.sum((a - 2.0) ** 4 + (a * b - 2.0 * b) ** 2 + (b + 1.0) ** 2)


def errinros(x):
    """ERRINROS: an erroneous chained Rosenbrock function, with weights (3/2 + sin i)^2."""
    a, b = x[:-1], x[1:]
    weights = (1.5 + np.sin(np.arange(2.0, x.shape[0] + 1.0))) ** 2
    return np.sum((a - 16.0 * weights * b**2) ** 2 + (1.0 - b) ** 2)


def chnrosnb(x):
    """CHNROSNB: chained Rosenbrock, with weights (3/2 + sin i)^2."""
    a, b = x[:-1], x[1:]
    weights = (1.5 + np.sin(np.arange(2.0, x.shape[0] + 1.0))) ** 2
    return np.sum(16.0 * weights * (a - b**2) ** 2 + (1.0 - b) ** 2)


def extrosnb(x):
    """EXTROSNB: a chain of Rosenbrock valleys held at one end only."""
    return (x[0] - 1.0) ** 2 + 100.0 * np.sum((x[1:] - x[:-1] ** 2) ** 2)


def genrose(x):
    """GENROSE: chained Rosenbrock plus one."""
    a, b = x[:-1], x[1:]
    return 1.0 + np.sum(100.0 * (b - a**2) ** 2 + (b - 1.0) ** 2)


def fletchcr(x):
    """FLETCHCR: a chain of valleys of Fletcher's."""
    return 100.0 * np.sum((x[1:] - x[:-1] + 1.0 - x[:-1] ** 2) ** 2)


def fletcbv2(x):
    """FLETCBV2: a boundary value problem of Fletcher's."""
    h = 1.0 / (x.shape[0] + 1)
    quadratic = x[0] ** 2 + np.sum((x[:-1] - x[1:]) ** 2) + x[-1] ** 2
    return 0.5 * quadratic - h**2 * np.sum(2.0 * x + np.cos(x)) - x[-1]


def liarwhd(x):
    """LIARWHD: an arrow with a quartic in every variable."""
    return np.sum(4.0 * (x**2 - x[0]) ** 2 + (x - 1.0) ** 2)


def nondia(x):
    """NONDIA: a Rosenbrock function whose variables all meet the first."""
    return (x[0] - 1.0) ** 2 + 100.0 * np.sum((x[0] - x[:-1] ** 2) ** 2)


def nondquar(x):
    """NONDQUAR: a nondiagonal quartic, degenerate at its minimum."""
    return (x[0] - x[1]) ** 2 + (x[-2] - x[-1]) ** 2 + np.sum((x[:-2] + x[1:-1] + x[-1]) ** 4)


def sinquad(x):
    """SINQUAD: sines and squares that all meet the last variable."""
    middle = np.sin(x[1:-1] - x[-1]) - x[0] ** 2 + x[1:-1] ** 2
    return (x[0] - 1.0) ** 4 + (x[-1] ** 2 - x[0] ** 2) ** 2 + np.sum(middle**2)


def tquartic(x):
    """TQUARTIC: a quartic whose variables all meet the first."""
    return (x[0] - 1.0) ** 2 + np.sum((x[0] ** 2 - x[1:] ** 2) ** 2)


def morebv(x):
    """MOREBV: the discrete boundary value problem at any size."""
    n = x.shape[0]
    h = 1.0 / (n + 1)
    t = h * np.arange(1.0, n + 1.0)
    ends = np.zeros(1)
    padded = np.concatenate([ends, x, ends])
    return np.sum((2.0 * x - padded[:-2] - padded[2:] + 0.5 * h**2 * (x + t + 1.0) ** 3) ** 2)


def dixmaan(x, weights, powers):
    """DIXMAANA to DIXMAANP: Dixon and Maany's family, by the weights and the powers of i / n of its four sums."""
    n = x.shape[0]
    third = n // 3
    alpha, beta, gamma, delta = weights
    scale = [(np.arange(1.0, n + 1.0) / n) ** power for power in powers]
    first = np.sum(alpha * x**2 * scale[0])
    second = np.sum(beta * x[:-1] ** 2 * (x[1:] + x[1:] ** 2) ** 2 * scale[1][:-1])
    fourth_powers = np.sum(gamma * x[: 2 * third] ** 2 * x[third:] ** 4 * scale[2][: 2 * third])
    products = np.sum(delta * x[:third] * x[2 * third :] * scale[3][:third])
    return 1.0 + first + second + fourth_powers + products


def sbrybnd(x):
    """SBRYBND: Broyden's banded function in variables scaled from 1 to exp(6)."""
    n = x.shape[0]
    y = np.exp(6.0 * np.arange(n) / (n - 1)) * x
    band = np.tril(np.ones((n, n)), 1) - np.tril(np.ones((n, n)), -6) - np.eye(n)
    return np.sum(((2.0 + 5.0 * y**2) * y + 1.0 - band @ (y * (1.0 + y))) ** 2)
