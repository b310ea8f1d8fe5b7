"""The loop around training methods that work on batches: what to stop for, what to keep, what to write down."""

from __future__ import annotations

import math
import os
import time
import zlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Protocol

import numpy as np

from hessian.errors import CheckpointError, NonFiniteError, message
from hessian.linalg.vectors import norm
from hessian.nn.objective import BatchObjective
from hessian.nn.reporting import Reporter
from hessian.nn.settings import LoopOptions, fingerprint_of
from hessian.optimize import OptimizeResult, Status
from hessian.optimize.checkpoint import Checkpoint
from hessian.optimize.history import IterationRecord

Rows = tuple[np.ndarray, np.ndarray]
Ending = tuple[Status, str]


@dataclass(frozen=True, slots=True)
class Iteration:
    """What a method tells about an iteration that has ended; NaN and 0 where it has nothing to tell."""

    value: float
    gradient_norm: float = math.nan
    regularization: float = math.nan
    step_norm: float = math.nan
    ratio: float = math.nan
    cg_iterations: int = 0
    cg_status: str = ""
    accepted: bool = True


class BatchMethod(Protocol):
    """A training method: a vector of parameters that moves.

    ``start`` prepares the first iteration and describes where it begins. ``advance`` does a piece of work after which the
    state can be kept, and describes the iteration if that ended one. Arrays are replaced, never written to, so that whoever
    holds an earlier ``x`` holds that.
    """

    name: str
    x: np.ndarray
    ending: Ending | None

    def start(self) -> Iteration:
        """Evaluate the start."""

    def advance(self, deadline: float) -> Iteration | None:
        """Work on; where there is a choice, not past a time of ``time.perf_counter``."""

    def state(self) -> dict[str, Any]:
        """Everything a resumed run needs besides x."""

    def restore(self, state: Mapping[str, Any]) -> None:
        """Continue from a state."""


@dataclass(slots=True)
class Best:
    """The parameters with the smallest loss seen: on validation rows if there are some, else on the training rows."""

    x: np.ndarray
    loss: float = math.inf
    iteration: int = 0

    def update(self, x: np.ndarray, loss: float, iteration: int) -> None:
        """Take over parameters that are better."""
        if loss < self.loss:
            self.x, self.loss, self.iteration = x, loss, iteration


@dataclass(frozen=True, slots=True)
class Supervision:
    """What watches over a run: rows to validate on, how long to wait for them, and the file that outlives the process."""

    validation: Rows | None = None
    patience: int | None = None
    checkpoint: str | os.PathLike[str] | None = None
    resume: bool = False


def check_start(value: float, dtype: np.dtype[Any], gradient_norm: float = 0.0) -> None:
    """Refuse a start at which the objective or its gradient is not finite.

    Raises
    ------
    NonFiniteError
    """
    if not (math.isfinite(value) and math.isfinite(gradient_norm)):
        what = f"the objective is {value} and its gradient's norm {gradient_norm} at the start"
        if not math.isfinite(value):
            what = f"the objective is {value} at the start"
        fix = "Scale X and y, or start elsewhere"
        if dtype.itemsize < np.dtype(np.float64).itemsize:
            fix += ", or pass dtype=float64"
        raise NonFiniteError(message("train", what, "no step leads away from there", fix))


def describe_best(iteration: int, loss: float) -> str:
    """Say where the smallest loss on the validation rows was."""
    return f"The smallest loss, {loss:.6g}, was at iteration {iteration}."


def grade_best(status: Status, said: str, iteration: int, loss: float, last: int) -> Ending:
    """Say what is known where patience returns other parameters than those the method ended at.

    What a status claims about a point (a small gradient, positive curvature) is true of the last one alone. A method that
    had reached its aim leaves nothing to wait for; one that had not still has not.
    """
    where = f"The smallest loss on the validation rows, {loss:.6g}, was at iteration {iteration}, whose parameters these are."
    if status.success:
        return (
            Status.EARLY_STOPPED,
            f"{where} The method went on to iteration {last} and ended with {status.name}: {said}",
        )
    return status, f"{said} (That is about iteration {last}, the last.) {where}"


def is_same_value(value: float, kept: float, dtype: np.dtype[Any]) -> bool:
    """Whether two evaluations, perhaps on different machines, may be of the same function at the same point."""
    if not (math.isfinite(value) and math.isfinite(kept)):
        return str(value) == str(kept)
    eps = float(np.finfo(dtype).eps)
    return math.isclose(value, kept, rel_tol=math.sqrt(eps), abs_tol=eps)


class Run:
    """A training on batches, from a start or from a checkpoint to a reason to stop.

    Attributes
    ----------
    validation : list of (int, float)
        Iteration and loss on the validation rows, without the penalty.
    """

    def __init__(
        self,
        method: BatchMethod,
        objective: BatchObjective,
        rows: Rows,
        options: LoopOptions,
        *,
        reporter: Reporter,
        supervision: Supervision,
        identity: Mapping[str, Any],
    ) -> None:
        self.validation: list[tuple[int, float]] = []
        self._method, self._objective, self._options = method, objective, options
        self._rows, self._reporter, self._supervision = rows, reporter, supervision
        self._checkpoint = Checkpoint(supervision.checkpoint, options.checkpoint_every)
        self._history: list[IterationRecord] = []
        self._best = Best(method.x)
        self._is_stopped = False
        self._kept: dict[str, Any] = {}
        self._began = time.perf_counter()
        self._fingerprint = {
            "method": method.name,
            "rows": len(rows[0]),
            "data": checksum(*rows),
            "validation": None if supervision.validation is None else checksum(*supervision.validation),
            "start": checksum(method.x),
            "dtype": str(method.x.dtype),
            "options": fingerprint_of(options),
            **identity,
        }

    def run(self) -> OptimizeResult:
        """Iterate until there is a reason to stop."""
        deadline = self._began + self._options.max_seconds
        try:
            spent = self._restored()
            if spent is None:
                self._note(self._method.start())
                self._keep()
            else:
                self._began -= spent
                deadline -= spent
            while (ending := self._stop(deadline)) is None:
                iteration = self._method.advance(deadline)
                if iteration is not None:
                    self._note(iteration)
                self._keep()
                self._checkpoint.offer(self._state, self._fingerprint)
        except KeyboardInterrupt:
            ending = Status.INTERRUPTED, self._about_checkpoint()
        if self._kept:
            self._checkpoint.offer(self._state, self._fingerprint, now=True)
        return self._result(*ending)

    def _note(self, iteration: Iteration) -> None:
        """Record an iteration that has ended, and measure the validation rows."""
        number = len(self._history)
        counters = self._objective
        record = IterationRecord(
            iteration=number,
            **{"radius": math.nan, **asdict(iteration)},
            n_value=counters.n_value,
            n_grad=counters.n_grad,
            n_hvp=counters.n_hvp,
            n_hess=0,
            n_factor=0,
            seconds=time.perf_counter() - self._began,
        )
        rows = self._supervision.validation
        held = None if rows is None else self._objective.loss(self._method.x, *rows)
        if held is not None:
            self.validation.append((number, held))
        self._history.append(record)
        self._best.update(self._method.x, iteration.value if held is None else held, number)
        if number:
            self._is_stopped = self._reporter.tell(record, self._params, held)

    def _stop(self, deadline: float) -> Ending | None:
        """Reason to stop, if there is one."""
        number = len(self._history) - 1
        if self._is_stopped:
            return Status.CALLBACK, ""
        if self._method.ending is not None:
            return self._method.ending
        patience = self._supervision.patience
        if patience is not None and number - self._best.iteration >= patience:
            return Status.EARLY_STOPPED, describe_best(self._best.iteration, self._best.loss)
        if number >= self._options.maxiter:
            return Status.MAX_ITERATIONS, ""
        if time.perf_counter() >= deadline:
            return Status.MAX_SECONDS, ""
        return None

    def _params(self) -> Any:
        """The parameters now, in arrays of their own."""
        return self._objective.unravel(self._method.x.copy())

    # Checkpoints.

    def _keep(self) -> None:
        """Note what a checkpoint needs after a piece of work that is whole: an interrupt may come in the middle of the next."""
        if self._checkpoint.path is None:
            return
        counters, best = self._objective, self._best
        self._kept = {
            "x": self._method.x,
            "method": self._method.state(),
            "best": {"x": best.x, "loss": best.loss, "iteration": best.iteration},
            "history": len(self._history),
            "validation": len(self.validation),
            "counters": [counters.n_value, counters.n_grad, counters.n_hvp],
            "seconds": time.perf_counter() - self._began,
        }

    def _state(self) -> dict[str, Any]:
        """Everything a resumed run needs, as of the last piece of work, and the loss there, which tells objectives apart."""
        kept = self._kept
        return {
            **kept,
            "loss": self._objective.loss(kept["x"], *self._rows),
            "history": [asdict(record) for record in self._history[: kept["history"]]],
            "validation": self.validation[: kept["validation"]],
        }

    def _about_checkpoint(self) -> str:
        """Say that there is none to resume from, where one was to be kept."""
        path = self._checkpoint.path
        return "" if path is None or self._kept or path.exists() else "It had no time to write a checkpoint."

    def _restored(self) -> float | None:
        """Go on where a checkpoint was left; the answer is the seconds spent until then, None if there is no checkpoint."""
        state = self._checkpoint.load(self._fingerprint) if self._supervision.resume else None
        if state is None:
            return None
        self._check_objective(state)
        self._method.x = state["x"]
        self._method.restore(state["method"])
        self._best = Best(**state["best"])
        self._history = [IterationRecord(**fields) for fields in state["history"]]
        self.validation[:] = [(int(number), float(loss)) for number, loss in state["validation"]]
        self._objective.n_value, self._objective.n_grad, self._objective.n_hvp = state["counters"]
        return float(state["seconds"])

    def _check_objective(self, state: Mapping[str, Any]) -> None:
        """Refuse a checkpoint of another network or loss, which give the parameters another value."""
        loss, kept = self._objective.loss(state["x"], *self._rows), float(state.get("loss", math.nan))
        if not is_same_value(loss, kept, self._method.x.dtype):
            what = f"the loss is {loss:.17g} where the checkpoint was taken with {kept:.17g}"
            why = "The network, its activation or the loss is another one"
            fix = "Resume with the arguments it was started with, or delete the file"
            raise CheckpointError(message("resume", what, why, fix))

    # The end.

    def _is_told_of_another_point(self, status: Status) -> bool:
        """Whether a status is about the last parameters, and the best are others."""
        about_best = (Status.EARLY_STOPPED, Status.INTERRUPTED, Status.DIVERGED)
        return status not in about_best and not np.array_equal(self._best.x, self._method.x)

    def _advice(self, status: Status) -> str:
        """Return what a status means; these methods have no option to look at the curvature."""
        if status is not Status.CONVERGED_UNCHECKED:
            return status.advice
        return (
            "The gradient is at most gtol; the curvature was not looked at, which this method never does: this may be a saddle. "
            'To find out, go on from these parameters with method="trust-ncg".'
        )

    def _result(self, status: Status, text: str) -> OptimizeResult:
        """Put the result together: the best parameters where the run was to find them or was broken off, else the last."""
        takes_best = self._supervision.patience is not None or status in (Status.INTERRUPTED, Status.DIVERGED)
        x = self._best.x if takes_best else self._method.x
        said = f"{self._advice(status)} {text}".strip()
        if self._supervision.patience is not None and self._is_told_of_another_point(status):
            status, said = grade_best(status, said, self._best.iteration, self._best.loss, len(self._history) - 1)
        value, gradient = self._objective.value_and_gradient(x, *self._rows)
        counters = self._objective
        return OptimizeResult(
            x=self._objective.unravel(x.copy()),
            fun=value,
            jac=self._objective.unravel(gradient.copy()),
            gradient_norm=norm(gradient),
            success=status.success,
            status=status,
            message=said,
            smallest_eigenvalue=math.nan,
            nit=max(0, len(self._history) - 1),
            nfev=counters.n_value,
            njev=counters.n_grad,
            nhev=0,
            n_value=counters.n_value,
            n_grad=counters.n_grad,
            n_hvp=counters.n_hvp,
            n_hess=0,
            n_factor=0,
            history=self._history,
            method=self._method.name,
        )


def checksum(*arrays: np.ndarray) -> int:
    """Number that tells arrays apart."""
    check = 0
    for array in arrays:
        check = zlib.crc32(np.ascontiguousarray(array).tobytes(), check)
    return check
