"""What a method adds to the loop they all share: a model at every point, and how far to trust it."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from hessian.optimize.bounds import StepBound, unit_length
from hessian.optimize.krylov import Step
from hessian.optimize.local_model import LineModel, LocalModel
from hessian.optimize.objective import Point
from hessian.optimize.optimality import Curvature
from hessian.optimize.options import Options
from hessian.optimize.ratio_test import Assessment
from hessian.optimize.spectral import SpectralModel

ETA = 1e-4
"""Least ratio of actual to predicted reduction: any decrease is worth a new model where that costs little."""
ETA_OF_FACTORS = 0.1
"""Where a model takes a sparse factorisation, as long as a hundred values, a shorter step of the one that is there is tried first."""
FORCING = 0.9
GOLDEN = 0.5 * (1.0 + math.sqrt(5.0))
LARGE_FORCING = 0.1
LOOSEST = 0.5
"""Constants of the forcing term; the last is Dembo and Steihaug's."""


class Method:
    """A direction times a globalisation; one instance is one run.

    Attributes
    ----------
    name : str
        As :func:`hessian.optimize.minimize` knows it.
    is_dense : bool
        Whether it takes the whole Hessian, so that its eigenvalues cost nothing more.
    bound : StepBound
        How far its models are trusted.
    goal : float
        Gradient norm to reach; gtol, until the loop asks for less.
    identity : dict
        What else a run must share with the checkpoint it is resumed from.
    """

    name: str
    is_dense = False
    identity: dict[str, str] = {}  # noqa: RUF012 - replaced, never changed
    note = ""
    """What a run has decided on its way, for the message."""

    least_ratio = ETA
    """Ratio of actual to predicted reduction at which a step is accepted, where the options do not say."""

    def __init__(self, options: Options, bound: StepBound) -> None:
        self.options = options
        self.bound = bound
        self.goal = options.gtol
        self._largest_norm = 0.0
        self._last_norm = 0.0
        self._forcing = LOOSEST
        self._patience = 1

    @property
    def eta(self) -> float:
        """Least ratio at which a step is accepted."""
        return self.least_ratio if self.options.eta is None else self.options.eta

    def model(self, point: Point) -> LocalModel:
        """Build the model at a point with a gradient that is not small."""
        raise NotImplementedError

    def escape(self, point: Point, curvature: Curvature) -> LocalModel:
        """Build the model along a direction of negative curvature, where the gradient is small."""
        return _along(point, curvature)

    def tolerance(self, point: Point) -> float:
        """Residual of the Newton equation to ask for at a point.

        The linear system is solved no better than it pays (Dembo and Steihaug 1983): up to ``|g + H s| <= eta |g|`` with
        the forcing term ``eta = 0.9 (|g| / |g before|)^1.618`` of Eisenstat and Walker (1996, choice 2), at most 1/2, and
        not much below the last one while that was large. Convergence is superlinear, and unlike SciPy's ``sqrt(|g|)`` the
        term does not change when the objective is multiplied by a constant. A residual below half the goal is never asked
        for: the next gradient would be small enough anyway.
        """
        size = point.gradient_norm
        self._largest_norm = max(self._largest_norm, size)
        eta = LOOSEST
        if self._last_norm > 0.0:
            eta = FORCING * (size / self._last_norm) ** GOLDEN
            kept = FORCING * self._forcing**GOLDEN
            eta = min(LOOSEST, max(eta, kept) if kept > LARGE_FORCING else eta)
        self._last_norm, self._forcing = size, eta
        return max(eta * size, 0.5 * self.goal)

    def cg_limit(self, point: Point) -> int:
        """Products the next model may spend."""
        left = self.options.max_hvp - point.counters.n_hvp
        return max(1, min(self.options.max_cg or self._patience * (2 * point.x.size + 10), left))

    def update(self, step: Step, assessment: Assessment, rejections: int) -> None:
        """Learn from a trial that followed so many rejections at its point how far models are to be trusted.

        Conjugate gradients end after n products in exact arithmetic, and after many times n in floating point where the
        Hessian is ill-conditioned. Where their limit cut a step that the model predicted well, more products would have
        carried further, and what they had gathered is lost: the limit doubles.
        """
        self.bound.update(step, assessment, rejections)
        if step.status == "cg-limit" and assessment.accepted and assessment.ratio > 0.75:
            self._patience *= 2

    def state(self) -> dict[str, Any]:
        """What a resumed run needs to go on as if it had not been interrupted."""
        return {
            "bound": self.bound.state(),
            "largest_norm": self._largest_norm,
            "last_norm": self._last_norm,
            "forcing": self._forcing,
            "patience": self._patience,
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Take over a state."""
        self.bound.restore(state["bound"])
        self._largest_norm, self._last_norm = float(state["largest_norm"]), float(state["last_norm"])
        self._forcing, self._patience = float(state["forcing"]), int(state["patience"])


def _along(point: Point, curvature: Curvature) -> SpectralModel:
    """Model of one dimension, along a direction of negative curvature."""
    direction = curvature.direction
    assert direction is not None
    slope = float(point.gradient @ direction)
    eps = float(np.finfo(point.x.dtype).eps)
    return SpectralModel(
        np.array([curvature.smallest]), np.array([slope]), lambda y: y[0].astype(direction.dtype) * direction, eps
    )


def line_escape(point: Point, curvature: Curvature) -> LineModel:
    """Step of a line search along negative curvature."""
    direction = curvature.direction
    assert direction is not None
    vector = unit_length(point) * direction
    length_squared = float(vector @ vector)
    return LineModel(vector, float(point.gradient @ vector), curvature.smallest * length_squared, "escape", False)
