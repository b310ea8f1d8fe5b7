"""What a row says about how it is tested: samples of its arguments, special points, and the accuracy it reaches."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

LINE = (0.0, -0.0, math.inf, -math.inf)
"""Special points of a function of the whole line."""
HALF_LINE = (0.0, math.inf)
"""Special points of a function of positive numbers."""
PLANE = tuple(itertools.product((0.0, 1.0, -1.0, math.inf, -math.inf), repeat=2))
"""Special points of a function of two numbers."""


@dataclass(frozen=True)
class Accuracy:
    """How far a row falls short of 1e-13: the largest relative error, and the function that is at fault.

    Attributes
    ----------
    error : float
        Of the value, which is that of NumPy or SciPy.
    reason : str
        The function at fault.
    grid : tuple
        Where it has digits at all, per argument ``(low, high)`` or a list of the numbers it is tried at: what the walk draws from.
        Empty for the whole of the floating-point numbers.
    partials : float
        Of the partials, where they are made of functions that reach no more.
    """

    error: float
    reason: str
    grid: tuple[Any, ...] = ()
    partials: float = 1e-13


@dataclass(frozen=True)
class Sample:
    """An array argument of a test case: its shape and how to draw it."""

    shape: tuple[int, ...]
    domain: tuple[float, float] | None = None
    make: Callable[[np.random.Generator], np.ndarray] | None = None

    def draw(self, rng: np.random.Generator, domain: tuple[float, float]) -> np.ndarray:
        """Draw the array, from ``domain`` unless the sample has its own."""
        if self.make is not None:
            return self.make(rng)
        return rng.uniform(*within(self.domain or domain), self.shape)


def within(domain: tuple[float, float]) -> tuple[float, float]:
    """Return the ends of a domain, or of a part of it where it goes on without end."""
    low, high = domain
    if math.isfinite(high - low):
        return low, high
    return (
        (low + 0.5, low + 2.5)
        if math.isfinite(low)
        else (high - 2.5, high - 0.5)
        if math.isfinite(high)
        else (-2.0, 2.0)
    )


@dataclass(frozen=True)
class Case:
    """One call of an operation for the registry walk: arguments (arrays as :class:`Sample`) and keywords."""

    args: tuple[Any, ...]
    kwargs: dict[str, Any] = field(default_factory=dict)


def A(*shape: int, domain: tuple[float, float] | None = None, make: Any = None) -> Sample:
    """Abbreviate :class:`Sample` in rows."""
    return Sample(shape, domain, make)


def case(*args: Any, **kwargs: Any) -> Case:
    """Abbreviate :class:`Case` in rows."""
    return Case(args, kwargs)
