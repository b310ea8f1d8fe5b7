"""All 35 problems of Moré, Garbow and Hillstrom, "Testing unconstrained optimization software", ACM TOMS 7 (1981).

Numbers in comments are those of the paper.
"""

from __future__ import annotations

import numpy as np


def rosenbrock(x):
    """Extended Rosenbrock (21): pairs of variables (1 is the case of one pair)."""
    a, b = x[0::2], x[1::2]
    return np.sum(100.0 * (b - a**2) ** 2 + (1.0 - a) ** 2)


def freudenstein_roth(x):
    """Freudenstein and Roth (2)."""
    first = -13.0 + x[0] + ((5.0 - x[1]) * x[1] - 2.0) * x[1]
    second = -29.0 + x[0] + ((x[1] + 1.0) * x[1] - 14.0) * x[1]
    return first**2 + second**2


def powell_badly_scaled(x):
    """Powell badly scaled (3)."""
    return (1e4 * x[0] * x[1] - 1.0) ** 2 + (np.exp(-x[0]) + np.exp(-x[1]) - 1.0001) ** 2


def brown_badly_scaled(x):
    """Brown badly scaled (4)."""
    return (x[0] - 1e6) ** 2 + (x[1] - 2e-6) ** 2 + (x[0] * x[1] - 2.0) ** 2


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


GAUSSIAN_Y = np.array([0.0009, 0.0044, 0.0175, 0.0540, 0.1295, 0.2420, 0.3521, 0.3989])
GAUSSIAN_Y = np.concatenate([GAUSSIAN_Y, GAUSSIAN_Y[-2::-1]])


def gaussian(x):
    """Gaussian (9)."""
    t = (8.0 - np.arange(1.0, 16.0)) / 2.0
    return np.sum((x[0] * np.exp(-0.5 * x[1] * (t - x[2]) ** 2) - GAUSSIAN_Y) ** 2)


# fmt: off
MEYER_Y = np.array([34780.0, 28610.0, 23650.0, 19630.0, 16370.0, 13720.0, 11540.0, 9744.0, 8261.0, 7030.0, 6005.0, 5147.0,
                    4427.0, 3820.0, 3307.0, 2872.0])
# fmt: on


def meyer(x):
    """Meyer (10)."""
    t = 45.0 + 5.0 * np.arange(1.0, 17.0)
    return np.sum((x[0] * np.exp(x[1] / (t + x[2])) - MEYER_Y) ** 2)


def gulf(x):
    """Gulf research and development (11), m = 99."""
    t = np.arange(1.0, 100.0) / 100.0
    y = 25.0 + (-50.0 * np.log(t)) ** (2.0 / 3.0)
    return np.sum((np.exp(-(np.abs(y - x[1]) ** x[2]) / x[0]) - t) ** 2)


def box3d(x):
    """Box three-dimensional (12), m = 10."""
    t = 0.1 * np.arange(1.0, 11.0)
    return np.sum((np.exp(-t * x[0]) - np.exp(-t * x[1]) - x[2] * (np.exp(-t) - np.exp(-10.0 * t))) ** 2)


def powell_singular(x):
    """Extended Powell singular (22): quadruples of variables (13 is the case of one)."""
    a, b, c, d = x[0::4], x[1::4], x[2::4], x[3::4]
    return np.sum((a + 10.0 * b) ** 2 + 5.0 * (c - d) ** 2 + (b - 2.0 * c) ** 4 + 10.0 * (a - d) ** 4)


def wood(x):
    """Wood (14), by quadruples of variables (CUTEst's WOODS)."""
    a, b, c, d = x[0::4], x[1::4], x[2::4], x[3::4]
    return np.sum(
        100.0 * (b - a**2) ** 2
        + (1.0 - a) ** 2
        + 90.0 * (d - c**2) ** 2
        + (1.0 - c) ** 2
        + 10.0 * (b + d - 2.0) ** 2
        + 0.1 * (b - d) ** 2
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
OSBORNE2_Y = np.array([
    1.366, 1.191, 1.112, 1.013, 0.991, 0.885, 0.831, 0.847, 0.786, 0.725, 0.746, 0.679, 0.608, 0.655, 0.616, 0.606,
    0.602, 0.626, 0.651, 0.724, 0.649, 0.649, 0.694, 0.644, 0.624, 0.661, 0.612, 0.558, 0.533, 0.495, 0.500, 0.423,
    0.395, 0.375, 0.372, 0.391, 0.396, 0.405, 0.428, 0.429, 0.523, 0.562, 0.607, 0.653, 0.672, 0.708, 0.633, 0.668,
    0.645, 0.632, 0.591, 0.559, 0.597, 0.625, 0.739, 0.710, 0.729, 0.720, 0.636, 0.581, 0.428, 0.292, 0.162, 0.098,
    0.054,
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


def osborne2(x):
    """Osborne 2 (19)."""
    t = np.arange(65.0) / 10.0
    model = x[0] * np.exp(-t * x[4])
    for height, width, place in ((1, 5, 8), (2, 6, 9), (3, 7, 10)):
        model = model + x[height] * np.exp(-((t - x[place]) ** 2) * x[width])
    return np.sum((OSBORNE2_Y - model) ** 2)


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


def penalty2(x):
    """Penalty II (24)."""
    n = x.shape[0]
    i = np.arange(2.0, n + 1.0)
    grown = np.exp(x / 10.0)
    pairs = grown[1:] + grown[:-1] - (np.exp(i / 10.0) + np.exp((i - 1.0) / 10.0))
    singles = grown[1:] - np.exp(-0.1)
    ball = np.sum(np.arange(n, 0.0, -1.0) * x**2) - 1.0
    return (x[0] - 0.2) ** 2 + 1e-5 * (np.sum(pairs**2) + np.sum(singles**2)) + ball**2


def variably_dimensioned(x):
    """Variably dimensioned (25)."""
    total = np.sum(np.arange(1.0, x.shape[0] + 1.0) * (x - 1.0))
    return np.sum((x - 1.0) ** 2) + total**2 + total**4


def trigonometric(x):
    """Trigonometric (26)."""
    n = x.shape[0]
    return np.sum((n - np.sum(np.cos(x)) + np.arange(1.0, n + 1.0) * (1.0 - np.cos(x)) - np.sin(x)) ** 2)


def brown_almost_linear(x):
    """Brown almost linear (27)."""
    return np.sum((x[:-1] + np.sum(x) - (x.shape[0] + 1.0)) ** 2) + (np.prod(x) - 1.0) ** 2


def discrete_boundary_value(x):
    """Discrete boundary value (28)."""
    n = x.shape[0]
    h = 1.0 / (n + 1)
    t = h * np.arange(1.0, n + 1.0)
    ends = np.zeros(1)
    padded = np.concatenate([ends, x, ends])
    return np.sum((2.0 * x - padded[:-2] - padded[2:] + 0.5 * h**2 * (x + t + 1.0) ** 3) ** 2)


def discrete_integral_equation(x):
    """Discrete integral equation (29)."""
    n = x.shape[0]
    h = 1.0 / (n + 1)
    t = h * np.arange(1.0, n + 1.0)
    cubes = (x + t + 1.0) ** 3
    below = np.tril(np.outer(1.0 - t, t)) + np.triu(np.outer(t, 1.0 - t), 1)
    return np.sum((x + 0.5 * h * (below @ cubes)) ** 2)


def broyden_tridiagonal(x):
    """Broyden tridiagonal (30)."""
    ends = np.zeros(1)
    padded = np.concatenate([ends, x, ends])
    return np.sum(((3.0 - 2.0 * x) * x - padded[:-2] - 2.0 * padded[2:] + 1.0) ** 2)


def broyden_banded(x):
    """Broyden banded (31): five neighbours below, one above."""
    n = x.shape[0]
    band = np.tril(np.ones((n, n)), 1) - np.tril(np.ones((n, n)), -6) - np.eye(n)
    return np.sum((x * (2.0 + 5.0 * x**2) + 1.0 - band @ (x * (1.0 + x))) ** 2)


def linear_full_rank(x, rows=20):
    """Linear, full rank (32)."""
    n = x.shape[0]
    shift = 2.0 / rows * np.sum(x) + 1.0
    return np.sum((x - shift) ** 2) + (rows - n) * shift**2


def linear_rank1(x, rows=20):
    """Linear, rank 1 (33)."""
    total = np.sum(np.arange(1.0, x.shape[0] + 1.0) * x)
    return np.sum((np.arange(1.0, rows + 1.0) * total - 1.0) ** 2)


def linear_rank1_zeros(x, rows=20):
    """Linear, rank 1 with zero columns and rows (34)."""
    n = x.shape[0]
    total = np.sum(np.arange(2.0, n) * x[1:-1])
    return 2.0 + np.sum((np.arange(1.0, rows - 1.0) * total - 1.0) ** 2)


def chebyquad(x):
    """Chebyquad (35), m = n."""
    n = x.shape[0]
    shifted = 2.0 * x - 1.0
    before, now = 1.0, shifted
    total = 0.0
    for i in range(1, n + 1):
        integral = 0.0 if i % 2 else -1.0 / (i**2 - 1.0)
        total = total + (np.mean(now) - integral) ** 2
        before, now = now, 2.0 * shifted * now - before
    return total
