"""Who watches a run: the caller's function, by SciPy's convention, and a progress bar."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Callable
from typing import Any

from hessian.errors import missing_dependency
from hessian.optimize.history import IterationRecord
from hessian.optimize.loop import Observer
from hessian.optimize.objective import Point, VectorObjective
from hessian.optimize.options import Options
from hessian.optimize.result import OptimizeResult
from hessian.optimize.scipy_conventions import Callback


def make_observer(
    callback: Callable[..., Any] | Callback | None, objective: VectorObjective, progress: Progress
) -> Observer:
    """Adapt the user's callback, by SciPy's convention, and the progress bar to the loop."""
    adapted = callback if isinstance(callback, Callback) else Callback(callback, objective.where)

    def observe(record: IterationRecord, point: Point) -> bool:
        progress.update(record)
        return adapted.asks_to_stop(lambda: objective.structured(point.x), lambda: _state(objective, record, point))

    return observe


def _state(objective: VectorObjective, record: IterationRecord, point: Point) -> OptimizeResult:
    """Everything about an iteration, in arrays the callback may keep or change."""
    fields = dataclasses.asdict(record)
    fields["nit"] = fields.pop("iteration")
    fields["fun"] = fields.pop("value")
    counts = {"nfev": record.n_value, "njev": record.n_grad, "nhev": record.n_hess}
    return OptimizeResult(x=objective.structured(point.x), jac=objective.structured(point.gradient), **fields, **counts)


class Progress:
    """Progress bar on the standard error stream, named after who shows it, or nothing."""

    def __init__(self, options: Options, where: str) -> None:
        self._bar: Any = None
        if options.progress:
            try:
                from tqdm import tqdm
            except ImportError as error:
                raise missing_dependency(where, "tqdm", "train") from error
            self._bar = tqdm(desc=where, unit=" it", file=sys.stderr)

    def __enter__(self) -> Progress:
        return self

    def __exit__(self, *exception: object) -> None:
        if self._bar is not None:
            self._bar.close()

    def compiling(self) -> None:
        """Say that a program is being made."""
        if self._bar is not None:
            self._bar.set_postfix_str("compiling")

    def update(self, record: IterationRecord) -> None:
        """Advance by one iteration."""
        if self._bar is not None:
            shown = {"f": f"{record.value:.8g}", "|g|": f"{record.gradient_norm:.2e}", "hvp": record.n_hvp}
            self._bar.set_postfix(shown, refresh=False)
            self._bar.update()
