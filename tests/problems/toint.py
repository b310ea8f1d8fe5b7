"""TOINTQOR, TOINTGOR, TOINTPSP of CUTEst: Toint's operations research problems on one network of 50 variables."""

from __future__ import annotations

import numpy as np

# fmt: off
ALPHA = np.array([
    1.25, 1.40, 2.40, 1.40, 1.75, 1.20, 2.25, 1.20, 1.00, 1.10, 1.50, 1.60, 1.25, 1.25, 1.20, 1.20, 1.40, 0.50, 0.50,
    1.25, 1.80, 0.75, 1.25, 1.40, 1.60, 2.00, 1.00, 1.60, 1.25, 2.75, 1.25, 1.25, 1.25, 3.00, 1.50, 2.00, 1.25, 1.40,
    1.80, 1.50, 2.20, 1.40, 1.50, 1.25, 2.00, 1.50, 1.25, 1.40, 0.60, 1.50,
])
BETA = np.array([
    1.0, 1.5, 1.0, 0.1, 1.5, 2.0, 1.0, 1.5, 3.0, 2.0, 1.0, 3.0, 0.1, 1.5, 0.15, 2.0, 1.0, 0.1, 3.0, 0.1, 1.2, 1.0, 0.1,
    2.0, 1.2, 3.0, 1.5, 3.0, 2.0, 1.0, 1.2, 2.0, 1.0,
])
DEMAND = np.array([
    5.0, 5.0, 5.0, 2.5, 6.0, 6.0, 5.0, 6.0, 10.0, 6.0, 5.0, 9.0, 2.0, 7.0, 2.5, 6.0, 5.0, 2.0, 9.0, 2.0, 5.0, 5.0, 2.5,
    5.0, 6.0, 10.0, 7.0, 10.0, 6.0, 5.0, 4.0, 4.0, 4.0,
])
#: What leaves and what enters each node.
NODES = [
    ((31,), (1,)), ((1,), (2, 3)), ((2,), (4, 5)), ((4,), (6, 7)), ((6,), (8, 9)), ((8,), (10, 11)), ((10,), (12, 13)),
    ((12,), (14, 15)), ((11, 13, 14), (16, 17)), ((16,), (18, 19)), ((9, 18), (20,)), ((5, 20, 21), ()),
    ((19,), (22, 23, 24)), ((23,), (25, 26)), ((7, 25), (27, 28)), ((28,), (29, 30)), ((29,), (31, 32)),
    ((32,), (33, 34)), ((3, 33), (35,)), ((35,), (21, 36)), ((36,), (37, 38)), ((30, 37), (39,)), ((38, 39), (40,)),
    ((40,), (41, 42)), ((41,), (43, 44, 50)), ((44,), (45, 46, 47)), ((46,), (48,)), ((42, 45, 48, 50), (49,)),
    ((26, 34, 43), ()), ((15, 17, 24, 47), ()), ((49,), ()), ((22,), ()), ((27,), ()),
]
# fmt: on


def incidence() -> np.ndarray:
    """Matrix of the network: -1 where a variable leaves a node, 1 where it enters."""
    matrix = np.zeros((33, 50))
    for row, (leaving, entering) in enumerate(NODES):
        matrix[row, [k - 1 for k in leaving]] = -1.0
        matrix[row, [k - 1 for k in entering]] = 1.0
    return matrix


INCIDENCE = incidence()


def tointqor(x):
    """TOINTQOR: quadratic costs."""
    return np.sum(ALPHA * x**2) + np.sum(BETA * (INCIDENCE @ x + DEMAND) ** 2)


def tointgor(x):
    """TOINTGOR: costs that grow like ``|t| log(1 + |t|)``, and like ``t^2 log(1 + t)`` for what exceeds the demand."""
    excess = INCIDENCE @ x + DEMAND
    over = np.maximum(excess, 0.0)
    size = np.abs(x)
    penalty = np.where(excess > 0.0, over**2 * np.log1p(over), excess**2)
    return np.sum(ALPHA * size * np.log1p(size)) + np.sum(BETA * penalty)


def tointpsp(x):
    """TOINTPSP: a penalty 1 / t, continued by its tangent below t = 0.1."""
    excess = INCIDENCE @ x + DEMAND
    is_far = excess >= 0.1
    penalty = np.where(is_far, 1.0 / np.where(is_far, excess, 1.0), 20.0 - 100.0 * excess)
    return np.sum(ALPHA * (x - 5.0) ** 2) + np.sum(BETA * penalty)
