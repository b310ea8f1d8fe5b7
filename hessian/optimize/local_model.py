"""What a local model of the objective offers, and the one along a line."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from hessian.linalg.vectors import norm
from hessian.optimize.krylov import Step


class LocalModel(Protocol):
    """A local model of the objective, to be minimised within a radius, with a cubic term, or along a line.

    What the number given to :meth:`step` means is the method's and its bound's affair: a radius (any up to the one the
    model was built for), the weight of the cubic term, or the share of the full step.
    """

    @property
    def products(self) -> int:
        """Hessian-vector products spent on it."""

    @property
    def end_norm(self) -> float:
        """Length of the step without a radius; infinite where the model is unbounded below."""

    def step(self, bound: float) -> Step:
        """Minimise (approximately) under the bound."""


@dataclass(frozen=True, slots=True)
class LineModel:
    """The model along one direction: ``t slope + t^2 curvature / 2`` at the share t of it.

    ``has_length`` says whether the direction's own length means something, as a Newton step's does.
    """

    direction: np.ndarray
    slope: float
    curvature: float
    status: str
    has_length: bool
    products: int = 0

    @property
    def end_norm(self) -> float:
        """Length of the full step; infinite where it means nothing."""
        return norm(self.direction) if self.has_length else math.inf

    def step(self, share: float) -> Step:
        """Go the share of the way, though not beyond the minimum of the model."""
        if self.curvature > 0.0:
            share = min(share, -self.slope / self.curvature)
        vector = share * self.direction
        predicted = -share * (self.slope + 0.5 * share * self.curvature)
        return Step(vector, norm(vector), predicted, not self.has_length, self.status)
