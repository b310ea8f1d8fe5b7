"""Training on all rows at once: `hessian.optimize.minimize`, with an eye on the validation rows."""

from __future__ import annotations

import contextlib
import math
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from hessian.linalg import limits
from hessian.linalg.vectors import norm
from hessian.nn.minibatch import Supervision, checksum, describe_best, grade_best
from hessian.nn.objective import TrainingObjective
from hessian.nn.reporting import adapt
from hessian.optimize import OptimizeResult, Status, minimize
from hessian.optimize.checkpoint import Checkpoint
from hessian.optimize.trust_ncg import TrustNCG
from hessian.tape.trees import ravel
from hessian.transforms.first_order import value_and_grad


def minimize_all_rows(
    objective: TrainingObjective,
    start: Any,
    method: str | None,
    callback: Callable[..., Any] | None,
    options: Mapping[str, Any] | None,
    supervision: Supervision,
) -> tuple[OptimizeResult, list[tuple[int, float]]]:
    """Minimise an objective; with patience, end at the parameters with the smallest loss on the validation rows.

    Returns
    -------
    result : OptimizeResult
    validation : list of (int, float)
        Iteration and loss on the validation rows.
    """
    name = None if method is None else str(method).lower().replace("_", "-")
    if name == TrustNCG.name or (name is None and ravel(start)[0].size > limits.STEP_ORDER):
        # On networks pairs of earlier iterations save a quarter to a third of the products (digits, five starts).
        options = {"preconditioner": "lbfgs", **(options or {})}
    if supervision.checkpoint is not None:
        options = {**(options or {}), "checkpoint": supervision.checkpoint, "resume": supervision.resume}
    if supervision.validation is None:
        return minimize(objective, start, method=method, callback=callback, options=options), []
    watch = _Watch(objective, start, supervision, callback)
    result = minimize(objective, start, method=method, callback=watch, options=options)
    return watch.finished(result), watch.seen


class _Watch:
    """A callback that measures the validation rows before it calls the caller's own.

    What it has seen goes to a file beside the checkpoint, whenever that has been written. A resumed run repeats what comes
    after its checkpoint bit by bit, so that parameters seen later than that do no harm.
    """

    def __init__(
        self, objective: TrainingObjective, start: Any, supervision: Supervision, callback: Callable[..., Any] | None
    ) -> None:
        X, y = supervision.validation or (objective.X, objective.y)
        self._objective, self._measured = objective, TrainingObjective(objective.model, X, y, objective.loss)
        self._patience, self._callback = supervision.patience, None if callback is None else adapt(callback)
        self._ran_out = False
        self.seen = [(0, float(self._measured(start)))]
        self._best, self._params = self.seen[0], start
        vector, self._unravel = ravel(start)
        self._fingerprint = {"start": checksum(vector), "validation": checksum(X, y)}
        self._watched = None if supervision.checkpoint is None else Path(supervision.checkpoint)
        self._file = Checkpoint(None if self._watched is None else _beside(self._watched))
        self._written = self._written_at()
        self._begin(supervision.resume)

    def _begin(self, resume: bool) -> None:
        """Take up what a run to resume has seen; what another run has seen is forgotten."""
        if resume and self._written is not None:
            state = self._file.load(self._fingerprint)
            if state is not None:
                self.seen = [(int(number), float(loss)) for number, loss in state["seen"]]
                self._best = int(state["best"][0]), float(state["best"][1])
                self._params = self._unravel(state["x"])
        elif self._file.path is not None:
            with contextlib.suppress(OSError):
                self._file.path.unlink(missing_ok=True)

    def __call__(self, *, intermediate_result: OptimizeResult) -> bool:
        """Measure, remember the best, and stop when patience has run out."""
        number, loss = int(intermediate_result.nit), float(self._measured(intermediate_result.x))
        while self.seen[-1][0] >= number:
            self.seen.pop()
        self.seen.append((number, loss))
        if loss < self._best[1]:
            self._best, self._params = (number, loss), intermediate_result.x
        if self._written_at() != self._written:
            self._keep()
        self._ran_out = self._patience is not None and number - self._best[0] >= self._patience
        is_stopped = self._callback is not None and self._callback(intermediate_result)
        return is_stopped or self._ran_out

    def finished(self, result: OptimizeResult) -> OptimizeResult:
        """Return the result at the best parameters, if patience was to find them."""
        if self._written_at() != self._written:
            self._keep()
        if self._patience is None:
            return result
        status, said = result.status, result.message
        if self._ran_out:
            status, said = Status.EARLY_STOPPED, f"{Status.EARLY_STOPPED.advice} {describe_best(*self._best)}"
        if not np.array_equal(ravel(self._params)[0], ravel(result.x)[0]):
            if not self._ran_out:
                status, said = grade_best(status, said, *self._best, int(result.nit))
            self._move(result)
        result.status, result.success, result.message = status, status.success, said
        return result

    def _move(self, result: OptimizeResult) -> None:
        """Make a result that of the best parameters, where nobody looked at the curvature."""
        value, gradient = value_and_grad(self._objective)(self._params)
        result.x, result.fun, result.jac = self._params, float(value), gradient
        result.gradient_norm = norm(ravel(gradient)[0])
        for name in ("smallest_eigenvalue", "smallest_eigenvalue_residual"):
            if name in result:
                result[name] = math.nan

    def _written_at(self) -> tuple[int, int] | None:
        """When the checkpoint was written, and which file it is; None if there is none."""
        if self._watched is None:
            return None
        try:
            found = os.stat(self._watched)
        except OSError:
            return None
        return found.st_mtime_ns, found.st_ino

    def _keep(self) -> None:
        """Write down what was seen."""
        state = {"seen": self.seen, "best": self._best, "x": ravel(self._params)[0]}
        self._file.offer(lambda: state, self._fingerprint, now=True)
        self._written = self._written_at()


def _beside(checkpoint: Path) -> Path:
    """File of the best parameters."""
    return checkpoint.with_name(f"{checkpoint.name}.best")
