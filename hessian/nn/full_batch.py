"""Training on all rows at once: `hessian.optimize.minimize`, with an eye on the validation rows."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from hessian.core.trees import ravel
from hessian.nn.minibatch import Supervision, describe_best
from hessian.nn.objective import Objective
from hessian.nn.reporting import adapt
from hessian.optimize import OptimizeResult, Status, minimize
from hessian.optimize.minimize import DENSE_LIMIT
from hessian.optimize.trust_ncg import TrustNCG
from hessian.optimize.vectors import norm
from hessian.transforms.first_order import value_and_grad


def minimize_all_rows(
    objective: Objective,
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
    if name == TrustNCG.name or (name is None and ravel(start)[0].size > DENSE_LIMIT):
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
    """A callback that measures the validation rows before it calls the caller's own."""

    def __init__(
        self, objective: Objective, start: Any, supervision: Supervision, callback: Callable[..., Any] | None
    ) -> None:
        X, y = supervision.validation or (objective.X, objective.y)
        self._objective, self._measured = objective, Objective(objective.model, X, y, objective.loss)
        self._patience, self._callback = supervision.patience, None if callback is None else adapt(callback)
        self._ran_out = False
        self.seen = [(0, float(self._measured(start)))]
        self._best, self._params = self.seen[0], start

    def __call__(self, *, intermediate_result: OptimizeResult) -> bool:
        """Measure, remember the best, and stop when patience has run out."""
        number, loss = int(intermediate_result.nit), float(self._measured(intermediate_result.x))
        self.seen.append((number, loss))
        if loss < self._best[1]:
            self._best, self._params = (number, loss), intermediate_result.x
        self._ran_out = self._patience is not None and number - self._best[0] >= self._patience
        is_stopped = self._callback is not None and self._callback(intermediate_result)
        return is_stopped or self._ran_out

    def finished(self, result: OptimizeResult) -> OptimizeResult:
        """Return the result at the best parameters, if patience was to find them."""
        if self._patience is None:
            return result
        if self._best[0] != result.nit:
            value, gradient = value_and_grad(self._objective)(self._params)
            result.x, result.fun, result.jac = self._params, float(value), gradient
            result.gradient_norm = norm(ravel(gradient)[0])
        if self._ran_out:
            result.status, result.success = Status.EARLY_STOPPED, Status.EARLY_STOPPED.success
            result.message = f"{Status.EARLY_STOPPED.advice} {describe_best(*self._best)}"
        return result
