"""What a model of these tests is, and exact derivatives of its reference."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

import mpmath
import numpy as np
import pytest

MODELS: dict[str, Model] = {}


@dataclass(frozen=True)
class Model:
    """A negative log-likelihood in plain NumPy, and the same written apart from it.

    Attributes
    ----------
    f : callable
        The natural lines, of an array of parameters.
    start, at : tuple of float
        Where the fit starts, and a second point.
    exact : callable
        The same number in loops over mpmath's numbers, of a list of parameters.
    digits : float
        Relative error of value, gradient and Hessian that the arithmetic allows.
    is_slow : bool
        Whether it takes seconds where every program is verified.
    """

    f: Callable[[Any], Any]
    start: tuple[float, ...]
    at: tuple[float, ...]
    exact: Callable[[list[Any]], Any]
    digits: float = 1e-12
    is_slow: bool = False


@dataclass(frozen=True)
class Truth:
    """Value, gradient and Hessian."""

    value: float
    gradient: np.ndarray
    hessian: np.ndarray


@cache
def truth(reference: Callable[[list[Any]], Any], point: tuple[float, ...]) -> Truth:
    """Differentiate a reference at a point by central differences of step 1e-11 in 45 digits."""
    n, h = len(point), mpmath.mpf("1e-11")

    def moved(*steps: tuple[int, int]) -> Any:
        p = [mpmath.mpf(v) for v in point]
        for i, sign in steps:
            p[i] += sign * h
        return reference(p)

    with mpmath.workdps(45):
        middle = moved()
        ends = [(moved((i, 1)), moved((i, -1))) for i in range(n)]
        gradient = [(a - b) / (2 * h) for a, b in ends]
        hessian = np.empty((n, n))
        for i in range(n):
            hessian[i, i] = (ends[i][0] - 2 * middle + ends[i][1]) / h**2
            for j in range(i):
                # f(++) + f(--) - f(+0) - f(-0) - f(0+) - f(0-) + 2 f = 2 h² f_ij up to fourth order.
                corner = moved((i, 1), (j, 1)) + moved((i, -1), (j, -1))
                hessian[i, j] = hessian[j, i] = (corner - sum(ends[i]) - sum(ends[j]) + 2 * middle) / (2 * h**2)
        return Truth(float(middle), np.array(gradient, dtype=float), hessian)


def model(name: str, **fields: Any) -> Callable[[Callable[[Any], Any]], Callable[[Any], Any]]:
    """Enter the decorated function into the table."""

    def enter(f: Callable[[Any], Any]) -> Callable[[Any], Any]:
        MODELS[name] = Model(f, **fields)
        return f

    return enter


def names(slow: Any) -> list[Any]:
    """Return the names of all models as parameters of a test; slow ones are marked."""
    return [pytest.param(name, marks=[slow] if MODELS[name].is_slow else []) for name in sorted(MODELS)]


def dot(a: Any, b: Any) -> Any:
    """Sum the products of two lists."""
    return sum(x * y for x, y in zip(a, b, strict=True))
