"""Who hears of the iterations of a training on batches: the caller's callback and a progress bar."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Callable
from typing import Any

from hessian.errors import missing_dependency
from hessian.optimize import OptimizeResult
from hessian.optimize.history import IterationRecord
from hessian.optimize.scipy_conventions import Callback


class Reporter:
    """Hands each iteration to the callback and to the progress bar; a context manager that closes the bar.

    Parameters
    ----------
    callback : callable or None
        By the convention of `hessian.optimize.minimize`: with a single parameter named ``intermediate_result`` it gets an
        OptimizeResult, otherwise the parameters. Returning True or raising StopIteration ends the training.
    progress : bool
        Show a bar on the standard error stream.
    method : str
        Its label.
    total : int
        Iterations it counts towards.

    Raises
    ------
    OptionError
        If the callback cannot be called.
    MissingDependencyError
        If a bar is wanted and tqdm is not installed.
    """

    def __init__(self, callback: Callable[..., Any] | None, progress: bool, method: str, total: int) -> None:
        self._callback = None if callback is None else adapt(callback)
        self._bar: Any = None
        if progress:
            try:
                from tqdm import tqdm
            except ImportError as error:
                raise missing_dependency("train", "tqdm", "train") from error
            self._bar = tqdm(desc=method, unit=" it", total=total, file=sys.stderr)

    def __enter__(self) -> Reporter:
        return self

    def __exit__(self, *exception: object) -> None:
        if self._bar is not None:
            self._bar.close()

    def tell(self, record: IterationRecord, params: Callable[[], Any], validation: float | None) -> bool:
        """Report an iteration; the answer is whether the callback wants to stop."""
        if self._bar is not None:
            shown: dict[str, Any] = {"f": f"{record.value:.8g}"}
            if validation is not None:
                shown["validation"] = f"{validation:.6g}"
            self._bar.set_postfix(shown, refresh=False)
            self._bar.update()
        return self._callback is not None and self._callback(_state(record, params(), validation))


def adapt(callback: Callable[..., Any]) -> Callable[[OptimizeResult], bool]:
    """Return the function of a state that calls a callback in the way it expects, and tells whether it wants to stop.

    Raises
    ------
    OptionError
        If the callback cannot be called.
    """
    heard = Callback(callback, "train")
    return lambda state: heard.asks_to_stop(lambda: state.x, lambda: state)


def _state(record: IterationRecord, params: Any, validation: float | None) -> OptimizeResult:
    """Everything about an iteration, in arrays the callback may keep or change."""
    fields = dataclasses.asdict(record)
    fields["nit"] = fields.pop("iteration")
    fields["fun"] = fields.pop("value")
    return OptimizeResult(x=params, validation=validation, **fields)
