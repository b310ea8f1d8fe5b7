"""The loop every trust-region method shares: model, step, trial, verdict, radius, until a status says why to stop."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import Protocol

import numpy as np

from hessian.optimize.globalize import Assessment, Judge, Model, next_radius
from hessian.optimize.krylov import Step
from hessian.optimize.objective import COUNTER_NAMES, Objective, Point
from hessian.optimize.optimality import Curvature, Definiteness
from hessian.optimize.options import Options
from hessian.optimize.result import IterationRecord, OptimizeResult, Status
from hessian.optimize.vectors import norm

UNRESOLVED_LIMIT = 5
"""Iterations in a row that the values do not resolve and that do not halve the gradient, before the run ends."""
UNBOUNDED = 1e20
"""Fall of the objective, relative to max(1, |start|), at which it is called unbounded."""

_CONVERGED = {
    Definiteness.POSITIVE: Status.CONVERGED,
    Definiteness.ZERO: Status.CONVERGED_SEMIDEFINITE,
    Definiteness.UNDECIDED: Status.CONVERGED_UNDECIDED,
}


class Method(Protocol):
    """What a method adds to the loop: the model at a point, and a look at the curvature where the gradient is small."""

    name: str

    def model(self, point: Point, radius: float) -> Model:
        """Build the model at a point with a gradient that is not small."""

    def curvature(self, point: Point) -> Curvature:
        """Judge the Hessian at a point with a small gradient."""

    def is_spent(self, point: Point) -> bool:
        """Whether the budget of products is used up."""


Observer = Callable[[IterationRecord, Point], bool]
"""Sees every iteration's record and the point kept; True stops the run."""


class TrustRegion:
    """Minimise by trust-region steps of a method; one instance is one run.

    A rejected step keeps the point, its gradient and its model, and only leaves the model at a smaller radius: the cost
    is one evaluation of the objective. A point with a small gradient and negative curvature gets a model that leads
    along it, and the run goes on.
    """

    def __init__(self, objective: Objective, method: Method, options: Options, observer: Observer) -> None:
        self._began = time.perf_counter()
        self._objective = objective
        self._method = method
        self._options = options
        self._observer = observer
        self._point = start = objective.start()
        self._judge = Judge(start, options.eta)
        self._floor = -UNBOUNDED * max(1.0, abs(start.value))
        self._model: Model | None = None
        self._radius = options.initial_radius if options.initial_radius is not None else math.inf
        self._smallest = math.nan
        self._rejections = 0
        self._unresolved = 0
        self._best_norm = start.gradient_norm
        self._largest_norm = start.gradient_norm
        self._ended: Status | None = None
        self._history: list[IterationRecord] = []

    def run(self) -> OptimizeResult:
        """Iterate until there is a reason to stop."""
        radius = self._radius if math.isfinite(self._radius) else math.nan
        self._record(radius, Step(self._point.x, 0.0, 0.0, False, "start"), Assessment(math.nan, True, True), 0)
        while (status := self._stop()) is None:
            self._iterate()
        return self._result(status)

    def _stop(self) -> Status | None:
        """Reason to stop at the current point, in the order in which a reader would want to know them."""
        if self._ended is Status.CALLBACK:
            return self._ended
        is_small = self._point.gradient_norm <= self._options.gtol
        if is_small and self._model is None and (status := self._convergence()) is not None:
            return status
        if self._ended is not None:
            # With a small gradient, what could not be improved is an escape.
            return Status.NEGATIVE_CURVATURE if is_small else self._ended
        if self._point.value < self._floor:
            return Status.UNBOUNDED
        if len(self._history) - 1 >= self._options.maxiter:
            return Status.MAX_ITERATIONS
        if self._model is None and self._method.is_spent(self._point):
            return Status.MAX_PRODUCTS
        return None

    def _convergence(self) -> Status | None:
        """Grade a small gradient; None, with a model that leads away, at a saddle."""
        if not self._options.check_curvature:
            return Status.CONVERGED_UNCHECKED
        curvature = self._method.curvature(self._point)
        self._smallest = curvature.smallest
        if curvature.escape is None:
            return _CONVERGED[curvature.definiteness]
        self._model, self._ended, self._unresolved = curvature.escape, None, 0
        return None

    def _iterate(self) -> None:
        """Take one step, accepted or not."""
        point, products = self._point, 0
        if self._model is None:
            self._model = self._method.model(point, self._radius)
            products = self._model.products
        if self._radius == math.inf:
            self._radius = self._first_radius(self._model)
        radius = self._radius
        step = self._model.step(radius)
        target = point.x + step.vector
        if np.array_equal(target, point.x) or not step.predicted > 0.0:
            self._ended = self._limit()
            assessment = Assessment(math.nan, False, False)
        else:
            rejections = self._rejections
            assessment = self._try(self._objective.trial(target), step)
            self._radius = next_radius(radius, step, assessment, rejections, self._options.max_radius)
        self._record(radius, step, assessment, products)
        if self._observer(self._history[-1], self._point):
            self._ended = Status.CALLBACK

    def _first_radius(self, model: Model) -> float:
        """Length of the model's own step; where it is unbounded below, a tenth of the length of x, at least 1/10."""
        natural = model.end_norm
        if not math.isfinite(natural):
            natural = 0.1 * max(1.0, norm(self._point.x))
        return min(natural, self._options.max_radius)

    def _try(self, trial: Point, step: Step) -> Assessment:
        """Judge a trial, move there if it is good, and notice when values stop telling anything."""
        assessment = self._judge.assess(self._point, trial, step, self._rejections)
        if assessment.accepted:
            self._point, self._model, self._rejections = trial, None, 0
        else:
            self._rejections += 1
        size = self._point.gradient_norm
        self._largest_norm = max(self._largest_norm, size)
        if size <= 0.5 * self._best_norm or (assessment.accepted and assessment.resolved):
            self._unresolved, self._best_norm = 0, size
        elif not assessment.resolved:
            self._unresolved += 1
        if self._unresolved >= UNRESOLVED_LIMIT:
            self._ended = self._limit()
        return assessment

    def _limit(self) -> Status:
        """Say why no step helps any more: rounding if the gradient is small by some standard, else no smoothness."""
        point = self._point
        tiny = math.sqrt(float(np.finfo(point.x.dtype).eps))
        is_small = point.gradient_norm <= tiny * self._largest_norm
        is_small |= point.gradient_norm * norm(point.x) <= tiny * abs(point.value)
        return Status.PRECISION if is_small else Status.STALLED

    def _record(self, radius: float, step: Step, assessment: Assessment, products: int) -> None:
        """Append a row to the history."""
        counters = self._point.counters
        record = IterationRecord(
            iteration=len(self._history),
            value=self._point.value,
            gradient_norm=self._point.gradient_norm,
            radius=radius,
            step_norm=step.norm,
            ratio=assessment.ratio,
            cg_iterations=products,
            cg_status=step.status,
            accepted=assessment.accepted,
            n_value=counters.n_value,
            n_grad=counters.n_grad,
            n_hvp=counters.n_hvp,
            n_hess=counters.n_hess,
            n_factor=counters.n_factor,
            seconds=time.perf_counter() - self._began,
        )
        self._history.append(record)

    def _result(self, status: Status) -> OptimizeResult:
        """Put the outcome together in SciPy's names and ours."""
        point, counters = self._point, self._point.counters
        return OptimizeResult(
            message=f"{status.advice} (Gradient 2-norm {point.gradient_norm:.3g}, gtol {self._options.gtol:g}.)",
            success=status.success,
            status=status,
            method=self._method.name,
            fun=point.value,
            gradient_norm=point.gradient_norm,
            smallest_eigenvalue=self._smallest,
            x=self._objective.structured(point.x),
            jac=self._objective.structured(point.gradient),
            nit=len(self._history) - 1,
            nfev=counters.n_value,
            njev=counters.n_grad,
            nhev=counters.n_hess,
            **{name: getattr(counters, name) for name in COUNTER_NAMES},
            history=self._history,
        )
