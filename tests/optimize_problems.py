"""Test problems for the solvers: plain NumPy functions with the starts and minima of the literature.

Moré, Garbow and Hillstrom, "Testing unconstrained optimization software", ACM TOMS 7 (1981), and CUTEst's large
structured problems. Numbers in comments are the problem numbers of the first reference.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Problem:
    """A function, its standard start and every value a solver may honestly end at."""

    name: str
    fun: Callable[[Any], Any]
    start: np.ndarray
    minima: tuple[float, ...]


def rosenbrock(x):
    """Extended Rosenbrock (21): pairs of variables (1 is the case of one pair)."""
    a, b = x[0::2], x[1::2]
    return np.sum(100.0 * (b - a**2) ** 2 + (1.0 - a) ** 2)


def freudenstein_roth(x):
    """Freudenstein and Roth (2)."""
    first = -13.0 + x[0] + ((5.0 - x[1]) * x[1] - 2.0) * x[1]
    second = -29.0 + x[0] + ((x[1] + 1.0) * x[1] - 14.0) * x[1]
    return first**2 + second**2


def beale(x):
    """Beale (5)."""
    return sum((y - x[0] * (1.0 - x[1] ** power)) ** 2 for power, y in ((1, 1.5), (2, 2.25), (3, 2.625)))


def jennrich_sampson(x):
    """Jennrich and Sampson (6), m = 10."""
    i = np.arange(1.0, 11.0)
    return np.sum((2.0 + 2.0 * i - (np.exp(i * x[0]) + np.exp(i * x[1]))) ** 2)


def helical_valley(x):
    """Helical valley (7); the angle is arctan(x2 / x1) on the branch of the sign of x1."""
    theta = np.arctan(x[1] / x[0]) / (2.0 * np.pi) + (0.5 if x[0] < 0 else 0.0)
    radius = np.sqrt(x[0] ** 2 + x[1] ** 2)
    return (10.0 * (x[2] - 10.0 * theta)) ** 2 + (10.0 * (radius - 1.0)) ** 2 + x[2] ** 2


BARD_Y = np.array([0.14, 0.18, 0.22, 0.25, 0.29, 0.32, 0.35, 0.39, 0.37, 0.58, 0.73, 0.96, 1.34, 2.10, 4.39])


def bard(x):
    """Bard (8)."""
    u = np.arange(1.0, 16.0)
    v = 16.0 - u
    return np.sum((BARD_Y - (x[0] + u / (v * x[1] + np.minimum(u, v) * x[2]))) ** 2)


def powell_singular(x):
    """Extended Powell singular (22): quadruples of variables (13 is the case of one)."""
    a, b, c, d = x[0::4], x[1::4], x[2::4], x[3::4]
    return np.sum((a + 10.0 * b) ** 2 + 5.0 * (c - d) ** 2 + (b - 2.0 * c) ** 4 + 10.0 * (a - d) ** 4)


def wood(x):
    """Wood (14)."""
    return (
        100.0 * (x[1] - x[0] ** 2) ** 2
        + (1.0 - x[0]) ** 2
        + 90.0 * (x[3] - x[2] ** 2) ** 2
        + (1.0 - x[2]) ** 2
        + 10.0 * (x[1] + x[3] - 2.0) ** 2
        + 0.1 * (x[1] - x[3]) ** 2
    )


KOWALIK_Y = np.array([0.1957, 0.1947, 0.1735, 0.1600, 0.0844, 0.0627, 0.0456, 0.0342, 0.0323, 0.0235, 0.0246])
KOWALIK_U = np.array([4.0, 2.0, 1.0, 0.5, 0.25, 0.167, 0.125, 0.1, 0.0833, 0.0714, 0.0625])


def kowalik_osborne(x):
    """Kowalik and Osborne (15)."""
    u = KOWALIK_U
    return np.sum((KOWALIK_Y - x[0] * (u**2 + u * x[1]) / (u**2 + u * x[2] + x[3])) ** 2)


def brown_dennis(x):
    """Brown and Dennis (16), m = 20."""
    t = np.arange(1.0, 21.0) / 5.0
    return np.sum(((x[0] + t * x[1] - np.exp(t)) ** 2 + (x[2] + x[3] * np.sin(t) - np.cos(t)) ** 2) ** 2)


# fmt: off
OSBORNE_Y = np.array([
    0.844, 0.908, 0.932, 0.936, 0.925, 0.908, 0.881, 0.850, 0.818, 0.784, 0.751, 0.718, 0.685, 0.658, 0.628, 0.603,
    0.580, 0.558, 0.538, 0.522, 0.506, 0.490, 0.478, 0.467, 0.457, 0.448, 0.438, 0.431, 0.424, 0.420, 0.414, 0.411,
    0.406,
])
# fmt: on


def osborne1(x):
    """Osborne 1 (17)."""
    t = 10.0 * np.arange(33.0)
    return np.sum((OSBORNE_Y - (x[0] + x[1] * np.exp(-t * x[3]) + x[2] * np.exp(-t * x[4]))) ** 2)


def biggs_exp6(x):
    """Biggs EXP6 (18), m = 13."""
    t = 0.1 * np.arange(1.0, 14.0)
    y = np.exp(-t) - 5.0 * np.exp(-10.0 * t) + 3.0 * np.exp(-4.0 * t)
    return np.sum((x[2] * np.exp(-t * x[0]) - x[3] * np.exp(-t * x[1]) + x[5] * np.exp(-t * x[4]) - y) ** 2)


def watson(x):
    """Watson (20)."""
    t = np.arange(1.0, 30.0) / 29.0
    powers = t[:, None] ** np.arange(x.shape[0])
    slope = powers[:, :-1] @ (np.arange(1.0, x.shape[0]) * x[1:])
    value = powers @ x
    return np.sum((slope - value**2 - 1.0) ** 2) + x[0] ** 2 + (x[1] - x[0] ** 2 - 1.0) ** 2


def penalty1(x):
    """Penalty I (23)."""
    return 1e-5 * np.sum((x - 1.0) ** 2) + (np.sum(x**2) - 0.25) ** 2


def engval1(x):
    """CUTEst ENGVAL1: tridiagonal Hessian."""
    a, b = x[:-1], x[1:]
    return np.sum((a**2 + b**2) ** 2 - 4.0 * a + 3.0)


def freuroth(x):
    """CUTEst FREUROTH: a chain of Freudenstein-Roth residuals, tridiagonal Hessian."""
    a, b = x[:-1], x[1:]
    first = a - 13.0 + 5.0 * b**2 - b**3 - 2.0 * b
    second = a - 29.0 + b**2 + b**3 - 14.0 * b
    return np.sum(first**2 + second**2)


def tointgss(x):
    """CUTEst TOINTGSS: Toint's Gaussian problem, pentadiagonal Hessian."""
    a, b, c = x[:-2], x[1:-1], x[2:]
    return np.sum((10.0 / (x.shape[0] - 2) + c**2) * (2.0 - np.exp(-((a - b) ** 2) / (0.1 + c**2))))


def arwhead(x):
    """CUTEst ARWHEAD: arrowhead Hessian."""
    return np.sum((x[:-1] ** 2 + x[-1] ** 2) ** 2 - 4.0 * x[:-1] + 3.0)


def tridia(x):
    """CUTEst TRIDIA: a tridiagonal quadratic."""
    weights = np.arange(2.0, x.shape[0] + 1.0)
    return (x[0] - 1.0) ** 2 + np.sum(weights * (2.0 * x[1:] - x[:-1]) ** 2)


def double_well(x):
    """x^4 / 4 - x^2 / 2 + y^2 / 2: a saddle at the origin, minima of value -1/4 at x = -1 and x = 1."""
    return x[0] ** 4 / 4.0 - x[0] ** 2 / 2.0 + x[1] ** 2 / 2.0


SMALL = [
    Problem("rosenbrock", rosenbrock, np.array([-1.2, 1.0]), (0.0,)),
    Problem("rosenbrock-10", rosenbrock, np.tile([-1.2, 1.0], 5), (0.0,)),
    Problem("freudenstein-roth", freudenstein_roth, np.array([0.5, -2.0]), (0.0, 48.98425367924)),
    Problem("beale", beale, np.array([1.0, 1.0]), (0.0,)),
    Problem("jennrich-sampson", jennrich_sampson, np.array([0.3, 0.4]), (124.3621823556,)),
    Problem("helical-valley", helical_valley, np.array([-1.0, 0.0, 0.0]), (0.0,)),
    Problem("bard", bard, np.array([1.0, 1.0, 1.0]), (8.214877306579e-3,)),
    Problem("powell-singular", powell_singular, np.array([3.0, -1.0, 0.0, 1.0]), (0.0,)),
    Problem("powell-singular-20", powell_singular, np.tile([3.0, -1.0, 0.0, 1.0], 5), (0.0,)),
    Problem("wood", wood, np.array([-3.0, -1.0, -3.0, -1.0]), (0.0,)),
    Problem("kowalik-osborne", kowalik_osborne, np.array([0.25, 0.39, 0.415, 0.39]), (3.075056038492e-4,)),
    Problem("brown-dennis", brown_dennis, np.array([25.0, 5.0, -5.0, -1.0]), (85822.20162636,)),
    Problem("osborne-1", osborne1, np.array([0.5, 1.5, -1.0, 0.01, 0.02]), (5.464894697e-5,)),
    Problem("biggs-exp6", biggs_exp6, np.array([1.0, 2.0, 1.0, 1.0, 1.0, 1.0]), (0.0, 5.65565e-3)),
    Problem("watson-6", watson, np.zeros(6), (2.287670053552e-3,)),
    Problem("watson-9", watson, np.zeros(9), (1.3997601382e-6,)),
    Problem("penalty1-4", penalty1, np.arange(1.0, 5.0), (2.249977500900e-5,)),
    Problem("penalty1-10", penalty1, np.arange(1.0, 11.0), (7.087651467e-5,)),
]


def large(n: int = 5000) -> list[Problem]:
    """Build the structured problems; the stated minima hold for n = 5000."""
    freuroth_start = np.zeros(n)
    freuroth_start[:2] = 0.5, -2.0
    return [
        Problem("engval1", engval1, np.full(n, 2.0), (5548.6684194,)),
        Problem("freuroth", freuroth, freuroth_start, (6.0815918905e5,)),
        Problem("tointgss", tointgss, np.full(n, 3.0), (10.002000800,)),
        Problem("arwhead", arwhead, np.ones(n), (0.0,)),
        Problem("tridia", tridia, np.ones(n), (0.0,)),
    ]
