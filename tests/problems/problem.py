"""A test problem for the solvers: a function in plain NumPy, its start, and what may honestly be said at the end."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Problem:
    """A function, its standard start and every ending a solver may honestly report.

    Attributes
    ----------
    name : str
    fun : callable
        Of one array.
    start : ndarray, shape (n,)
    minima : tuple of float
        Values of the local minima that runs from the start reach.
    infima : tuple of float
        Values that the function tends to at infinity without a minimum there; a run that heads there is not a success.
    is_unbounded : bool
        Whether the function has no lower bound.
    has_many_minima : bool
        Whether there are more local minima than ``minima`` lists: a success is then judged by gradient and Hessian.
    flatness : float
        How far from the value of a minimum, relative to it (absolute where it is zero), a point with a gradient of 1e-6 may
        lie: larger than the default only where the minimum is degenerate or nearly so.
    is_hard : bool
        Whether runs may honestly end at a limit of iterations.
    """

    name: str
    fun: Callable[[Any], Any]
    start: np.ndarray
    minima: tuple[float, ...] = ()
    infima: tuple[float, ...] = ()
    is_unbounded: bool = False
    has_many_minima: bool = False
    flatness: float = 1e-8
    is_hard: bool = False

    @property
    def size(self) -> int:
        """Number of variables."""
        return self.start.size

    def misses(self, value: float) -> bool:
        """Whether a value is none of the known minima's."""
        return not any(abs(value - known) <= self.flatness * (abs(known) or 1.0) for known in self.minima)
