"""The loop of methods with local models: model, step, trial, verdict, bound, until a status says why to stop."""

from __future__ import annotations

import math
import zlib
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import numpy as np

from hessian.linalg.vectors import norm
from hessian.optimize.certificate import Certificate
from hessian.optimize.history import IterationRecord, SaddleRecord
from hessian.optimize.krylov import Step
from hessian.optimize.local_model import LocalModel
from hessian.optimize.loop import Ending, Loop, refuse_other
from hessian.optimize.method import Method
from hessian.optimize.objective import Point, VectorObjective
from hessian.optimize.observer import Progress
from hessian.optimize.optimality import UNKNOWN
from hessian.optimize.options import Options
from hessian.optimize.ratio_test import ROUNDING, Assessment, RatioTest
from hessian.optimize.result import OptimizeResult
from hessian.optimize.rounding import measure_rounding
from hessian.optimize.scipy_conventions import Callback
from hessian.optimize.status import Status

UNRESOLVED_LIMIT = 5
"""Iterations in a row that the values do not resolve and that do not halve the gradient, before the run ends."""
AS_PREDICTED = 0.05
"""What such an iteration counts for that was accepted and whose gradients confirm the model."""
SETTLING = 20
"""Iterations for which a run goes on from a small gradient at which a minimum is in doubt."""
UNBOUNDED = 1e20
"""Fall of the objective, relative to max(1, |start|), at which it is called unbounded."""
NOISE_FACTOR = 10.0
"""Gradients and predicted reductions within so many times the measured rounding are at the limit of precision."""


class ModelLoop(Loop):
    """Minimise by a method; one instance is one run.

    A rejected step keeps the point, its gradient and its model, and only asks the model for a shorter step: the cost
    is one evaluation of the objective. A point with a small gradient and negative curvature gets a model that leads
    along it, and the run goes on.

    Checkpoints are taken where a point has just been accepted: everything else of a run follows from it and from a few
    numbers, so that a resumed run repeats the one that was not interrupted bit by bit.
    """

    def __init__(
        self,
        objective: VectorObjective,
        method: Method,
        options: Options,
        callback: Callback | None = None,
        progress: Progress | None = None,
        note: str = "",
    ) -> None:
        first = zlib.crc32(np.ascontiguousarray(objective.first).tobytes())
        problem = {"variables": objective.size, "dtype": str(objective.dtype), "x0": first}
        super().__init__(objective, options, {"method": method.name, **problem, **method.identity}, callback, progress)
        self._objective = objective
        self._method = method
        self._options: Options = options
        self._note_at_end = note
        self._point = start = objective.start()
        self._ratio_test = RatioTest(start, method.eta)
        self._floor = -UNBOUNDED * max(1.0, abs(start.value))
        self._start_norm = norm(start.x)
        self._model: LocalModel | None = None
        self._curvature = UNKNOWN
        self._certificate = Certificate(objective, method.is_dense, options.rng)
        self._settling = math.inf
        self._rejections = 0
        self._outside = 0
        # The last trial since the last step at which the objective was not finite.
        self._left: np.ndarray | None = None
        self._unresolved = 0.0
        self._best_norm = start.gradient_norm
        self._largest_norm = start.gradient_norm

    def _begin(self) -> None:
        nothing = Step(self._point.x, 0.0, 0.0, False, "start")
        self._record(self._method.bound.radius, math.nan, nothing, Assessment(math.nan, True, True), 0, is_told=False)

    def _position(self) -> np.ndarray:
        return self._point.x

    def _described(self, record: IterationRecord) -> OptimizeResult:
        """Add the gradient, and SciPy's names of counters."""
        state = super()._described(record)
        state.update(jac=self._structured(self._point.gradient))
        state.update(nfev=record.n_value, njev=record.n_grad, nhev=record.n_hess)
        return state

    def _snapshot(self) -> dict[str, Any]:
        """What a resumed run needs, at a point that has just been accepted."""
        point = self._point
        return {
            "x": point.x,
            "value": point.value,
            "gradient": point.gradient,
            "method": self._method.state(),
            "ratio_test": self._ratio_test.state(),
            "best_norm": self._best_norm,
            "largest_norm": self._largest_norm,
            "floor": self._floor,
            "unresolved": self._unresolved,
            "saddles": [asdict(saddle) for saddle in self._saddles],
            "certificate": self._certificate.state(),
            "goal": self._method.goal,
            "settling": self._settling,
        }

    def _restore(self, state: Mapping[str, Any]) -> None:
        """Return to the point kept, value and gradient to the last bit."""
        run = state["run"]
        self._ratio_test.restore(run["ratio_test"])
        self._point, value = self._objective.known(run["x"]), float(run["value"])
        eps = float(np.finfo(self._point.x.dtype).eps)
        refuse_other(
            self._point.value, value, max(math.sqrt(eps) * abs(value), ROUNDING * eps * self._ratio_test.largest)
        )
        self._point.adopt(value, run["gradient"])
        self._method.restore(run["method"])
        self._best_norm, self._largest_norm = run["best_norm"], run["largest_norm"]
        self._floor, self._unresolved = run["floor"], run["unresolved"]
        self._certificate.restore(run["certificate"])
        self._certificate.saddles = [SaddleRecord(**row) for row in run["saddles"]]
        self._method.goal, self._settling = run["goal"], run["settling"]

    def _stop(self) -> Ending | None:
        """Reason to stop at the current point, in the order in which a reader would want to know them."""
        options = self._options
        if self._ended is not None and self._ended[0] is Status.CALLBACK:
            return self._ended
        while self._is_small() and self._model is None:
            status = self._convergence()
            if status is not None:
                return status, ""
        reason = self._limits()
        if self._certificate.has_doubts and (reason is not None or len(self._history) > self._settling):
            is_small = self._point.gradient_norm <= options.gtol
            if is_small and (reason is None or reason[0] is not Status.UNBOUNDED):
                return Status.CONVERGED_FAR, ""
        return reason

    def _limits(self) -> Ending | None:
        """Reason to stop other than a small gradient."""
        if self._ended is not None:
            if self._ended[0] is not Status.UNBOUNDED and self._is_small():
                # With a small gradient, what could not be improved is an escape.
                return self._certificate.trapped(self._curvature, self._point), ""
            return self._ended
        if self._point.value < self._floor:
            return Status.UNBOUNDED, ""
        is_spent = self._model is None and not self._method.is_dense and self._products_left() <= 0
        return super()._limits() or ((Status.MAX_HVP, "") if is_spent else None)

    def _is_small(self) -> bool:
        """Whether the gradient is as small as was asked for, or as a doubt about that asks for."""
        return self._point.gradient_norm <= self._method.goal

    def _numbers(self) -> str:
        """Say how small it is."""
        return f"(Gradient 2-norm {self._point.gradient_norm:.3g}, gtol {self._options.gtol:g}.)"

    def _products_left(self) -> int:
        return self._options.max_hvp - self._objective.counters.n_hvp

    def _convergence(self) -> Status | None:
        """Grade a small gradient; None, with a model that leads away, at a saddle."""
        options, point = self._options, self._point
        if not options.check_curvature:
            return Status.CONVERGED_UNCHECKED
        verdict = self._certificate.judge(point, self._ratio_test.largest, self._products_left(), self._is_late)
        self._curvature = verdict.curvature
        if verdict.status is not None:
            return verdict.status
        if verdict.is_doubtful:
            return self._settle()
        self._ended, self._unresolved = None, 0
        if verdict.lower is not None:
            self._move(verdict.lower)
        else:
            self._model = self._method.escape(point, verdict.curvature)
            self._certificate.leave(len(self._history) - 1, point, verdict.curvature)
        return None

    def _settle(self) -> Status | None:
        """Ask for a smaller gradient, for a while."""
        if self._settling == math.inf:
            self._settling = len(self._history) + SETTLING
        size = self._point.gradient_norm
        if size == 0.0 or self._ended is not None or len(self._history) > self._settling:
            return Status.CONVERGED_FAR
        self._method.goal = 0.1 * size
        return None

    def _move(self, lower: Point) -> None:
        """Go on from a lower point that probing has found."""
        length = norm(lower.x - self._point.x)
        self._point, self._rejections = lower, 0
        bound = self._method.bound
        step = Step(lower.x, length, math.nan, False, "probe")
        self._record(bound.radius, bound.regularization, step, Assessment(math.nan, True, True), 0, is_told=False)

    @property
    def _saddles(self) -> list[SaddleRecord]:
        return self._certificate.saddles

    def _iterate(self) -> None:
        point, products, bound = self._point, 0, self._method.bound
        if self._model is None:
            self._model = self._method.model(point)
            products = self._model.products
        bound.prepare(self._model, point)
        radius, regularization = bound.radius, bound.regularization
        step = self._model.step(bound.value)
        target = point.x + step.vector
        if np.array_equal(target, point.x) or not step.predicted > 0.0:
            self._ended = self._limit(step)
            assessment = Assessment(math.nan, False, False)
        else:
            rejections = self._rejections
            assessment = self._try(self._objective.trial(target), step)
            self._method.update(step, assessment, rejections)
        self._record(radius, regularization, step, assessment, products)
        if assessment.accepted:
            self._keep()

    def _try(self, trial: Point, step: Step) -> Assessment:
        """Judge a trial, move there if it is good, and notice when values stop telling anything."""
        if trial.value == -math.inf:
            self._ended = Status.UNBOUNDED, ""
            return Assessment(math.inf, False, True)
        self._ratio_test.eta = self._method.eta
        assessment = self._ratio_test.assess(self._point, trial, step, self._rejections)
        self._outside = 0 if math.isfinite(trial.value) else self._outside + 1
        if self._outside:
            self._left = trial.x
        if assessment.accepted:
            self._point, self._model, self._rejections, self._left = trial, None, 0, None
            self._curvature = UNKNOWN
        else:
            self._rejections += 1
        size = self._point.gradient_norm
        self._largest_norm = max(self._largest_norm, size)
        if size <= 0.5 * self._best_norm or (assessment.accepted and assessment.resolved):
            self._unresolved, self._best_norm = 0, size
        elif not assessment.resolved:
            # Gradients that confirm the model go on shrinking where conditioning is bad; for a while.
            as_predicted = assessment.accepted and abs(assessment.ratio - 1.0) <= 0.5
            self._unresolved += AS_PREDICTED if as_predicted else 1.0
        if self._unresolved >= UNRESOLVED_LIMIT:
            self._ended = self._limit(step)
        return assessment

    def _limit(self, step: Step) -> Ending:
        """Say why no step helps any more: rounding if measurement shows it, the edge of the domain, no smoothness."""
        if self._outside and self._outside == self._rejections:
            return Status.LEFT_DOMAIN, self._origin()
        point = self._point
        eps = float(np.finfo(point.x.dtype).eps)
        tiny = math.sqrt(eps)
        if tiny * point.value < self._floor / UNBOUNDED and tiny * norm(point.x) > max(1.0, self._start_norm):
            return Status.UNBOUNDED, ""  # far out and far down, at the end of what floating point can follow
        rounding = measure_rounding(self._objective, point, self._options.rng)
        is_smooth = rounding.gradient <= tiny * self._largest_norm
        is_flat = point.gradient_norm <= tiny * self._largest_norm
        is_flat |= point.gradient_norm * norm(point.x) <= tiny * abs(point.value)
        at_noise = point.gradient_norm <= NOISE_FACTOR * rounding.gradient and is_smooth
        below_values = step.predicted <= NOISE_FACTOR * rounding.value and is_flat
        if not (at_noise or below_values):
            return Status.STALLED, self._origin()
        measured = (
            f"Between neighbouring floating-point numbers the objective changes by {rounding.value:.2g} "
            f"and the gradient by {rounding.gradient:.2g}; the step predicted a decrease of {step.predicted:.2g}."
        )
        return Status.PRECISION, measured

    def _origin(self) -> str:
        """Say in which operation the objective stopped being finite at the last trial outside of its domain."""
        return "" if self._left is None else str(self._objective.origin_of_nonfinite(self._left) or "")

    def _record(
        self,
        radius: float,
        regularization: float,
        step: Step,
        assessment: Assessment,
        products: int,
        *,
        is_told: bool = True,
    ) -> None:
        self._note(
            is_told=is_told,
            value=self._point.value,
            gradient_norm=self._point.gradient_norm,
            radius=radius,
            regularization=regularization,
            step_norm=step.norm,
            ratio=assessment.ratio,
            cg_iterations=products,
            cg_status=step.status,
            accepted=assessment.accepted,
        )

    def _result(self, status: Status, details: str) -> OptimizeResult:
        """Put the outcome together in SciPy's names and ours."""
        point = self._point
        parts = [
            status.advice,
            self._numbers(),
            details,
            self._curvature_text(),
            self._saddles_text(),
            self._note_at_end,
            self._method.note,
        ]
        text = " ".join(part for part in parts if part)
        result = self._outcome(status, text, self._method.name, point.x, point.value, point.gradient)
        result.update(
            smallest_eigenvalue=self._curvature.smallest,
            smallest_eigenvalue_residual=self._curvature.residual,
            saddles=self._saddles,
        )
        result.remember(*self._objective.source)
        return result

    def _curvature_text(self) -> str:
        """Say what the curvature check found."""
        if math.isnan(self._curvature.smallest):
            return ""
        curvature = self._curvature
        return f"(Smallest eigenvalue {curvature.smallest:.3g}, an eigenvalue within {curvature.residual:.1g} of that.)"

    def _saddles_text(self) -> str:
        """Say which saddles were left, and how."""
        if not self._saddles:
            return ""
        last = self._saddles[-1]
        count = "A saddle was" if len(self._saddles) == 1 else f"{len(self._saddles)} saddles were"
        return (
            f"{count} left along negative curvature, last at iteration {last.iteration} with value {last.value:.6g} "
            f"and eigenvalue {last.eigenvalue:.3g}."
        )
