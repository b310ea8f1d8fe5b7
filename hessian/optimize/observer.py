"""Who watches a run: the caller's function, by SciPy's convention, and a progress bar."""

from __future__ import annotations

import dataclasses
import inspect
import sys
from collections.abc import Callable
from typing import Any

import numpy as np

from hessian.errors import OptionError, message, missing_dependency
from hessian.optimize.loop import Observer
from hessian.optimize.objective import Objective, Point
from hessian.optimize.options import Options
from hessian.optimize.result import IterationRecord, OptimizeResult


def make_observer(callback: Callable[..., Any] | None, objective: Objective, progress: Progress) -> Observer:
    """Adapt the user's callback, by SciPy's convention, and the progress bar to the loop."""
    if callback is not None and not callable(callback):
        what = f"callback is {callback!r}, which cannot be called"
        raise OptionError(message("minimize", what, fix="Pass a function or leave it out"))
    takes_state = callback is not None and parameter_names(callback) == {"intermediate_result"}

    def observe(record: IterationRecord, point: Point) -> bool:
        progress.update(record)
        if callback is None:
            return False
        try:
            if takes_state:
                answer = callback(intermediate_result=_state(objective, record, point))
            else:
                answer = callback(objective.structured(point.x))
        except StopIteration:
            return True
        return isinstance(answer, (bool, np.bool_)) and bool(answer)

    return observe


def parameter_names(callback: Callable[..., Any]) -> set[str]:
    """Names of a callable's parameters; none for those that do not tell."""
    try:
        return set(inspect.signature(callback).parameters)
    except (TypeError, ValueError):
        return set()


def _state(objective: Objective, record: IterationRecord, point: Point) -> OptimizeResult:
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

    def update(self, record: IterationRecord) -> None:
        """Advance by one iteration."""
        if self._bar is not None:
            shown = {"f": f"{record.value:.8g}", "|g|": f"{record.gradient_norm:.2e}", "hvp": record.n_hvp}
            self._bar.set_postfix(shown, refresh=False)
            self._bar.update()
