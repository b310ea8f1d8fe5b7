"""The sums of squares among the problems of ``optimize_problems``, as vectors of residuals."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from optimize_problems import BARD_Y, KOWALIK_U, KOWALIK_Y, OSBORNE_Y


def rosenbrock(x):
    """Extended Rosenbrock."""
    a, b = x[0::2], x[1::2]
    return np.concatenate([10.0 * (b - a**2), 1.0 - a])


def freudenstein_roth(x):
    """Freudenstein and Roth."""
    first = -13.0 + x[0] + ((5.0 - x[1]) * x[1] - 2.0) * x[1]
    second = -29.0 + x[0] + ((x[1] + 1.0) * x[1] - 14.0) * x[1]
    return np.array([first, second])


def beale(x):
    """Beale."""
    return np.array([1.5, 2.25, 2.625]) - x[0] * (1.0 - x[1] ** np.arange(1.0, 4.0))


def jennrich_sampson(x):
    """Jennrich and Sampson, m = 10."""
    i = np.arange(1.0, 11.0)
    return 2.0 + 2.0 * i - (np.exp(i * x[0]) + np.exp(i * x[1]))


def helical_valley(x):
    """Helical valley."""
    theta = np.arctan(x[1] / x[0]) / (2.0 * np.pi) + (0.5 if x[0] < 0 else 0.0)
    radius = np.sqrt(x[0] ** 2 + x[1] ** 2)
    return np.array([10.0 * (x[2] - 10.0 * theta), 10.0 * (radius - 1.0), x[2]])


def bard(x):
    """Bard."""
    u = np.arange(1.0, 16.0)
    v = 16.0 - u
    return BARD_Y - (x[0] + u / (v * x[1] + np.minimum(u, v) * x[2]))


def powell_singular(x):
    """Extended Powell singular: the Jacobian has half its rank at the solution."""
    a, b, c, d = x[0::4], x[1::4], x[2::4], x[3::4]
    parts = [a + 10.0 * b, np.sqrt(5.0) * (c - d), (b - 2.0 * c) ** 2, np.sqrt(10.0) * (a - d) ** 2]
    return np.concatenate(parts)


def wood(x):
    """Wood."""
    parts = [
        10.0 * (x[1] - x[0] ** 2),
        1.0 - x[0],
        np.sqrt(90.0) * (x[3] - x[2] ** 2),
        1.0 - x[2],
        np.sqrt(10.0) * (x[1] + x[3] - 2.0),
        np.sqrt(0.1) * (x[1] - x[3]),
    ]
    return np.array(parts)


def kowalik_osborne(x):
    """Kowalik and Osborne."""
    u = KOWALIK_U
    return KOWALIK_Y - x[0] * (u**2 + u * x[1]) / (u**2 + u * x[2] + x[3])


def brown_dennis(x):
    """Brown and Dennis, m = 20: large residuals, on which Gauss-Newton converges linearly."""
    t = np.arange(1.0, 21.0) / 5.0
    return (x[0] + t * x[1] - np.exp(t)) ** 2 + (x[2] + x[3] * np.sin(t) - np.cos(t)) ** 2


def osborne1(x):
    """Osborne 1."""
    t = 10.0 * np.arange(33.0)
    return OSBORNE_Y - (x[0] + x[1] * np.exp(-t * x[3]) + x[2] * np.exp(-t * x[4]))


def biggs_exp6(x):
    """Biggs EXP6, m = 13."""
    t = 0.1 * np.arange(1.0, 14.0)
    y = np.exp(-t) - 5.0 * np.exp(-10.0 * t) + 3.0 * np.exp(-4.0 * t)
    return x[2] * np.exp(-t * x[0]) - x[3] * np.exp(-t * x[1]) + x[5] * np.exp(-t * x[4]) - y


def watson(x):
    """Watson."""
    t = np.arange(1.0, 30.0) / 29.0
    powers = t[:, None] ** np.arange(x.shape[0])
    slope = powers[:, :-1] @ (np.arange(1.0, x.shape[0]) * x[1:])
    value = powers @ x
    return np.concatenate([slope - value**2 - 1.0, np.stack([x[0], x[1] - x[0] ** 2 - 1.0])])


def penalty1(x):
    """Penalty I."""
    return np.concatenate([np.sqrt(1e-5) * (x - 1.0), np.stack([np.sum(x**2) - 0.25])])


RESIDUALS: dict[str, Callable[[Any], Any]] = {
    "rosenbrock": rosenbrock,
    "rosenbrock-10": rosenbrock,
    "freudenstein-roth": freudenstein_roth,
    "beale": beale,
    "jennrich-sampson": jennrich_sampson,
    "helical-valley": helical_valley,
    "bard": bard,
    "powell-singular": powell_singular,
    "powell-singular-20": powell_singular,
    "wood": wood,
    "kowalik-osborne": kowalik_osborne,
    "brown-dennis": brown_dennis,
    "osborne-1": osborne1,
    "biggs-exp6": biggs_exp6,
    "watson-6": watson,
    "watson-9": watson,
    "penalty1-4": penalty1,
    "penalty1-10": penalty1,
}
