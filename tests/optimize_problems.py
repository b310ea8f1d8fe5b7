"""Test problems for the solvers, from the collection in ``problems/`` beside this file.

``MGH``: the 35 of Moré, Garbow and Hillstrom, ACM TOMS 7 (1981), some at two sizes. ``CUTEST``: some 80 of CUTEst's at 2 to
100 variables. ``SMALL`` and ``large()``: a short list for tests of single methods, and five at 5000 variables.
"""

from __future__ import annotations

import numpy as np
from problems.cutest_chains import arwhead, engval1, freuroth, tointgss, tridia
from problems.cutest_list import CUTEST, collection
from problems.mgh import BARD_Y, KOWALIK_U, KOWALIK_Y, OSBORNE_Y, beale, brown_dennis, rosenbrock
from problems.mgh_list import MGH
from problems.problem import Problem

__all__ = [
    "BARD_Y",
    "CUTEST",
    "KOWALIK_U",
    "KOWALIK_Y",
    "MGH",
    "OSBORNE_Y",
    "SMALL",
    "Problem",
    "beale",
    "brown_dennis",
    "collection",
    "double_well",
    "engval1",
    "large",
    "rosenbrock",
]


def double_well(x):
    """x^4 / 4 - x^2 / 2 + y^2 / 2: a saddle at the origin, minima of value -1/4 at x = -1 and x = 1."""
    return x[0] ** 4 / 4.0 - x[0] ** 2 / 2.0 + x[1] ** 2 / 2.0


SMALL_NAMES = (
    "rosenbrock", "rosenbrock-10", "freudenstein-roth", "beale", "jennrich-sampson", "helical-valley", "bard",
    "powell-singular", "powell-singular-20", "wood", "kowalik-osborne", "brown-dennis", "osborne-1", "biggs-exp6",
    "watson-6", "watson-9", "penalty1-4", "penalty1-10",
)  # fmt: skip
SMALL = [problem for name in SMALL_NAMES for problem in MGH if problem.name == name]


def large(n: int = 5000) -> list[Problem]:
    """Build the structured problems; the stated minima hold for n = 5000."""
    freuroth_start = np.zeros(n)
    freuroth_start[:2] = 0.5, -2.0
    return [
        Problem("engval1", engval1, np.full(n, 2.0), (5548.6684194,)),
        Problem("freuroth", freuroth, freuroth_start, (6.0815918905e5, 608065.16572860)),
        Problem("tointgss", tointgss, np.full(n, 3.0), (10.002000800,)),
        Problem("arwhead", arwhead, np.ones(n), (0.0,)),
        Problem("tridia", tridia, np.ones(n), (0.0,)),
    ]
