"""How finely values and gradients are resolved at a point, measured on its neighbours among the floating-point numbers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from hessian.linalg.vectors import norm
from hessian.optimize.objective import Point

NEIGHBOURS = 4
"""Points looked at; each costs a value and a gradient, at the end of a run that came to a halt."""


class Evaluates(Protocol):
    """An objective as far as it is needed here."""

    def trial(self, vector: np.ndarray) -> Point:
        """Evaluate at a vector."""


@dataclass(frozen=True, slots=True)
class Rounding:
    """Largest change of the value, and of the gradient in the 2-norm, between a point and its neighbours."""

    value: float
    gradient: float


def measure_rounding(objective: Evaluates, point: Point, seed: int) -> Rounding:
    """Evaluate at points that differ by about one unit of rounding in every variable.

    What changes there is what no step can resolve: the rounding errors of the evaluation and those of the variables
    themselves, ``|H| eps |x|``. Variables much smaller than the largest move by a unit of a thousandth of that one's size, because
    zero has no neighbours to speak of.
    """
    # Neighbours may share a value that is rounded coarsely: its own spacing is the least there is to resolve.
    values, gradients = [float(np.spacing(point.x.dtype.type(abs(point.value))))], [0.0]
    for neighbour in neighbours(objective, point, seed, (1.0,) * NEIGHBOURS):
        values.append(abs(neighbour.value - point.value))
        gradients.append(norm(neighbour.gradient - point.gradient))
    return Rounding(max(values), max(gradients))


def neighbours(objective: Evaluates, point: Point, seed: int, units: Sequence[float]) -> Iterator[Point]:
    """Evaluate at neighbours of a point so many units of rounding away; those without a finite value and gradient are left out."""
    x = point.x
    eps = float(np.finfo(x.dtype).eps)
    largest = float(np.max(np.abs(x)))
    unit = eps * np.maximum(np.abs(x), 1e-3 * largest if largest > 0.0 else 1.0)
    rng = np.random.default_rng(seed)
    for multiple in units:
        neighbour = objective.trial((x + multiple * unit * rng.choice((-1.0, 1.0), x.size)).astype(x.dtype))
        if np.isfinite(neighbour.value) and np.isfinite(neighbour.gradient_norm):
            yield neighbour
