"""What every run has: a history, a clock, limits, a file that outlives the process, and somebody who watches."""

from __future__ import annotations

import math
import time
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any, Protocol

import numpy as np

from hessian.errors import CheckpointError, message
from hessian.linalg.vectors import norm
from hessian.optimize.checkpoint import Checkpoint
from hessian.optimize.history import IterationRecord
from hessian.optimize.objective import COUNTER_NAMES, Counters
from hessian.optimize.observer import Progress
from hessian.optimize.options import LoopOptions
from hessian.optimize.result import OptimizeResult
from hessian.optimize.scipy_conventions import Callback
from hessian.optimize.status import Status

Ending = tuple[Status, str]
"""Why a run stopped, and what there is to say about it."""


class Counted(Protocol):
    """An objective as far as every loop needs it."""

    @property
    def counters(self) -> Counters:
        """Evaluations so far."""

    def structured(self, vector: np.ndarray) -> Any:
        """Give a vector the structure of the start, in memory of its own."""


class Loop(ABC):
    """Iterates until there is a reason to stop; one instance is one run.

    A subclass says how a run begins, iterates and ends, where it is, and what a resumed run needs of that. An iteration is
    recorded, then told, then kept: a checkpoint holds what the callback has made of all it was told.

    Parameters
    ----------
    objective : Counted
    options : LoopOptions
    identity : mapping
        What a run must share with the checkpoint it is resumed from.
    callback : Callback, optional
    progress : Progress, optional
    """

    def __init__(
        self,
        objective: Counted,
        options: LoopOptions,
        identity: Mapping[str, Any],
        callback: Callback | None = None,
        progress: Progress | None = None,
    ) -> None:
        self._began = time.perf_counter()
        self._options = options
        self._callback = callback or Callback(None)
        self._progress = progress or Progress(False, "")
        self._counters, self._structured = objective.counters, objective.structured
        self._history: list[IterationRecord] = []
        self._ended: Ending | None = None
        self._checkpoint = Checkpoint(options.checkpoint, options.checkpoint_every)
        self._kept: dict[str, Any] = {}
        self._fingerprint = {**identity, **self._callback.identity}

    @abstractmethod
    def _begin(self) -> None:
        """Evaluate the start, and note it."""

    @abstractmethod
    def _iterate(self) -> None:
        """Do a piece of work; note an iteration that has ended, and keep what can be gone on from."""

    @abstractmethod
    def _stop(self) -> Ending | None:
        """Reason to stop, if there is one."""

    @abstractmethod
    def _position(self) -> np.ndarray:
        """The variables now."""

    @abstractmethod
    def _snapshot(self) -> dict[str, Any]:
        """What a resumed run needs besides history, counters and clock."""

    @abstractmethod
    def _restore(self, state: Mapping[str, Any]) -> None:
        """Go on from what a file holds, if the objective still is what it was: a snapshot under ``"run"``."""

    @abstractmethod
    def _result(self, status: Status, details: str) -> OptimizeResult:
        """Put the outcome together."""

    def run(self) -> OptimizeResult:
        """Iterate until there is a reason to stop."""
        try:
            if not self._resume():
                self._begin()
                self._keep()
            while (ending := self._stop()) is None:
                self._iterate()
        except KeyboardInterrupt:
            path = self._checkpoint.path
            is_lost = path is not None and not self._kept and not path.exists()
            ending = Status.INTERRUPTED, "It had no time to write a checkpoint." if is_lost else ""
        if self._kept:
            self._checkpoint.offer(self._state, self._fingerprint, now=True)
        return self._result(*ending)

    def _limits(self) -> Ending | None:
        """Reason to stop that has nothing to do with the point."""
        if len(self._history) - 1 >= self._options.maxiter:
            return Status.MAX_ITERATIONS, ""
        return (Status.MAX_SECONDS, "") if self._is_late() else None

    def _seconds(self) -> float:
        """Time spent, that of the runs before this one included."""
        return time.perf_counter() - self._began

    def _is_late(self) -> bool:
        return self._seconds() >= self._options.max_seconds

    def _note(self, *, is_told: bool = True, **fields: Any) -> None:
        """Append a row to the history, and tell of the iteration."""
        counts = asdict(self._counters)
        record = IterationRecord(iteration=len(self._history), **fields, **counts, seconds=self._seconds())
        self._history.append(record)
        if not is_told:
            return
        point = lambda: self._structured(self._position())
        is_stopped = self._callback.asks_to_stop(point, lambda: self._described(record))
        self._progress.update(record, self._callback.shown)
        if is_stopped:
            self._ended = Status.CALLBACK, ""

    def _described(self, record: IterationRecord) -> OptimizeResult:
        """Everything about an iteration, in arrays the callback may keep or change."""
        fields = asdict(record)
        fields["nit"], fields["fun"] = fields.pop("iteration"), fields.pop("value")
        return OptimizeResult(x=self._structured(self._position()), **fields)

    # Checkpoints.

    def _keep(self) -> None:
        """Note what a checkpoint needs, at a place to go on from: an interrupt may come at any other."""
        if self._checkpoint.path is None:
            return
        self._kept = {
            "history": len(self._history),
            "counters": asdict(self._counters),
            "seconds": self._seconds(),
            "callback": self._callback.state(),
            "run": self._snapshot(),
        }
        self._checkpoint.offer(self._state, self._fingerprint)

    def _state(self) -> dict[str, Any]:
        """Everything a resumed run needs, as of the last place kept; the history is cut there."""
        return {**self._kept, "history": [asdict(record) for record in self._history[: self._kept["history"]]]}

    def _resume(self) -> bool:
        """Go on where a checkpoint was left, if there is one and it is asked for."""
        state = self._checkpoint.load(self._fingerprint) if self._options.resume else None
        if state is None:
            return False
        self._restore(state)
        for name in COUNTER_NAMES:
            setattr(self._counters, name, state["counters"][name])
        self._history = [IterationRecord(**row) for row in state["history"]]
        self._callback.restore(state["callback"])
        self._began -= state["seconds"]
        return True

    # The end.

    def _outcome(
        self, status: Status, text: str, method: str, x: np.ndarray, value: float, gradient: np.ndarray
    ) -> OptimizeResult:
        """Return what the results of all loops have."""
        return OptimizeResult(
            message=text,
            success=status.success,
            status=status,
            method=method,
            fun=value,
            gradient_norm=norm(gradient),
            smallest_eigenvalue=math.nan,
            x=self._structured(x),
            jac=self._structured(gradient),
            nit=max(len(self._history) - 1, 0),
            nfev=self._counters.n_value,
            njev=self._counters.n_grad,
            nhev=self._counters.n_hess,
            **asdict(self._counters),
            history=self._history,
        )


def refuse_other(value: float, kept: float, scale: float) -> None:
    """Refuse to go on with an objective whose value, at the point of a checkpoint, is not near the one kept.

    Raises
    ------
    CheckpointError
    """
    is_same = abs(value - kept) <= scale if math.isfinite(value) and math.isfinite(kept) else str(value) == str(kept)
    if not is_same:
        what = f"the objective is {value:.17g} where the checkpoint was taken with {kept:.17g}"
        why = "The function, its arguments or its data have changed since"
        raise CheckpointError(message("resume", what, why, "Resume with what the run was started with, or start anew"))
