"""Rows held out of a training: what their loss was after each iteration, and when to stop for it."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from hessian.linalg.vectors import norm
from hessian.nn.batch_methods.loop import Rows, checksum
from hessian.nn.objective import TrainingObjective
from hessian.optimize import OptimizeResult, Status
from hessian.optimize.scipy_conventions import Callback
from hessian.tape.trees import ravel
from hessian.transforms.first_order import value_and_grad


class Validation(Callback):
    """A callback that measures the rows held out before it calls the caller's own, and stops when patience has run out.

    Attributes
    ----------
    seen : list of (int, float)
        Iteration and loss on the rows, without the penalty.
    """

    def __init__(
        self,
        objective: TrainingObjective,
        start: Any,
        rows: Rows,
        patience: int | None,
        function: Callable[..., Any] | None,
    ) -> None:
        super().__init__(function, "train")
        self._objective, self._patience = objective, patience
        self._measured = dataclasses.replace(objective, X=rows[0], y=rows[1], l2=0.0)
        self._is_over = False
        self.seen: list[tuple[int, float]] = []
        self._best, (self._x, self._unravel) = (0, math.inf), ravel(start)
        self.identity = {"validation": checksum(*rows)}
        self._measure(0, start)

    def _measure(self, number: int, params: Any) -> float:
        """Measure parameters, and keep the best."""
        with np.errstate(all="ignore"):
            loss = float(self._measured(params))
        self.seen.append((number, loss))
        if loss < self._best[1]:
            self._best, self._x = (number, loss), np.array(ravel(params)[0])  # the callback may write to its own
        return loss

    def asks_to_stop(self, point: Callable[[], Any], state: Callable[[], Any]) -> bool:
        """Measure, tell the caller's callback of it, and stop if that asks to, or when patience has run out."""
        now = state()
        now.validation = self._measure(int(now.nit), now.x)
        self.shown = {"validation": f"{now.validation:.6g}"}
        self._is_over = self._patience is not None and now.nit - self._best[0] >= self._patience
        return super().asks_to_stop(lambda: now.x, lambda: now) or self._is_over

    def state(self) -> dict[str, Any]:
        """What was seen."""
        return {"seen": list(self.seen), "best": self._best, "x": self._x}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Take up what a run to resume has seen."""
        self.seen[:] = [(int(number), float(loss)) for number, loss in state["seen"]]
        self._best, self._x = (int(state["best"][0]), float(state["best"][1])), state["x"]

    def finished(self, result: OptimizeResult) -> OptimizeResult:
        """Return the result at the best parameters, if patience was to find them or the run was broken off."""
        is_broken_off = result.status in (Status.INTERRUPTED, Status.DIVERGED)
        if self._patience is None and not is_broken_off:
            return result
        status, said = result.status, result.message
        if self._is_over:
            number, loss = self._best
            status = Status.EARLY_STOPPED
            said = f"{status.advice} The smallest loss, {loss:.6g}, was at iteration {number}."
        if not np.array_equal(self._x, ravel(result.x)[0]):
            if not (self._is_over or is_broken_off):
                status, said = self._graded(status, said, int(result.nit))
            self._move(result)
        result.status, result.success, result.message = status, status.success, said
        return result

    def _graded(self, status: Status, said: str, last: int) -> tuple[Status, str]:
        """Say what is known where patience returns other parameters than those the method ended at.

        What a status claims about a point (a small gradient, positive curvature) is true of the last one alone. A method
        that had reached its aim leaves nothing to wait for; one that had not still has not.
        """
        number, loss = self._best
        where = f"The smallest loss on the validation rows, {loss:.6g}, was at iteration {number}, whose parameters these are."
        if not status.success:
            return status, f"{said} (That is about iteration {last}, the last.) {where}"
        ended = f"The method went on to iteration {last} and ended with {status.name}: {said}"
        return Status.EARLY_STOPPED, f"{where} {ended}"

    def _move(self, result: OptimizeResult) -> None:
        """Make a result that of the best parameters, where nobody looked at the curvature."""
        result.x = self._unravel(self._x.copy())
        with np.errstate(all="ignore"):
            value, gradient = value_and_grad(self._objective)(result.x)
        result.fun, result.jac, result.gradient_norm = float(value), gradient, norm(ravel(gradient)[0])
        for name in ("smallest_eigenvalue", "smallest_eigenvalue_residual"):
            if name in result:
                result[name] = math.nan
