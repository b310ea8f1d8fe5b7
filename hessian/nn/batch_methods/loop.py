"""The loop of training methods that work on batches."""

from __future__ import annotations

import math
import zlib
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Protocol

import numpy as np

from hessian.nn.batch_methods.settings import BatchOptions, fingerprint_of
from hessian.nn.objective import BatchObjective
from hessian.optimize import OptimizeResult, Status
from hessian.optimize.loop import Ending, Loop, refuse_other
from hessian.optimize.observer import Progress
from hessian.optimize.scipy_conventions import Callback
from hessian.tape.origins import Origin
from hessian.transforms.locate import not_finite

Rows = tuple[np.ndarray, np.ndarray]


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


def check_start(
    value: float, dtype: np.dtype[Any], find: Callable[[], Origin | None], gradient_norm: float = 0.0
) -> None:
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
        raise not_finite("train", what, "no step leads away from there", fix, find())


class BatchLoop(Loop):
    """A training on batches.

    The parameters with the smallest objective on the training rows are those of a run that was broken off.
    """

    def __init__(
        self,
        method: BatchMethod,
        objective: BatchObjective,
        rows: Rows,
        options: BatchOptions,
        callback: Callback,
        progress: Progress,
        identity: Mapping[str, Any],
    ) -> None:
        problem = {"method": method.name, "rows": len(rows[0]), "data": checksum(*rows), "start": checksum(method.x)}
        problem |= {"dtype": str(method.x.dtype), "options": fingerprint_of(options)}
        super().__init__(objective, options, {**problem, **identity}, callback, progress)
        self._method, self._objective, self._rows = method, objective, rows
        self._best, self._lowest = method.x, math.inf

    def _begin(self) -> None:
        self._add(self._method.start(), is_told=False)

    def _iterate(self) -> None:
        iteration = self._method.advance(self._began + self._options.max_seconds)
        if iteration is not None:
            self._add(iteration)
        self._keep()

    def _add(self, iteration: Iteration, *, is_told: bool = True) -> None:
        """Note an iteration, and whether it led lower than all before."""
        if iteration.value < self._lowest:
            self._best, self._lowest = self._method.x, iteration.value
        self._note(is_told=is_told, radius=math.nan, **asdict(iteration))

    def _position(self) -> np.ndarray:
        return self._method.x

    def _stop(self) -> Ending | None:
        """Reason to stop, if there is one."""
        return self._ended or self._method.ending or self._limits()

    def _snapshot(self) -> dict[str, Any]:
        """What a resumed run needs after a piece of work that is whole."""
        method = self._method
        return {"x": method.x, "method": method.state(), "best": self._best, "lowest": self._lowest}

    def _state(self) -> dict[str, Any]:
        """Add the loss, which tells networks and losses apart."""
        return {**super()._state(), "loss": self._objective.loss(self._kept["run"]["x"], *self._rows)}

    def _restore(self, state: Mapping[str, Any]) -> None:
        """Go on from the parameters kept."""
        run, kept = state["run"], float(state["loss"])
        eps = float(np.finfo(self._method.x.dtype).eps)
        refuse_other(self._objective.loss(run["x"], *self._rows), kept, max(math.sqrt(eps) * abs(kept), eps))
        self._method.x = run["x"]
        self._method.restore(run["method"])
        self._best, self._lowest = run["best"], run["lowest"]

    def _result(self, status: Status, details: str) -> OptimizeResult:
        """Put the result together: the best parameters where the run was broken off, else the last."""
        x = self._best if status in (Status.INTERRUPTED, Status.DIVERGED) else self._method.x
        advice = _UNCHECKED if status is Status.CONVERGED_UNCHECKED else status.advice
        value, gradient = self._objective.value_and_gradient(x, *self._rows)
        return self._outcome(status, f"{advice} {details}".strip(), self._method.name, x, value, gradient)


_UNCHECKED = (
    "The gradient is at most gtol; the curvature was not looked at, which this method never does: this may be a saddle. "
    'To find out, go on from these parameters with method="trust-ncg".'
)
"""These methods have no option to look at the curvature."""


def checksum(*arrays: np.ndarray) -> int:
    """Number that tells arrays apart."""
    check = 0
    for array in arrays:
        check = zlib.crc32(np.ascontiguousarray(array).tobytes(), check)
    return check
