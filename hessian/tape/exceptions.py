"""Exceptions as branches: whether an operation raises steers a function that catches it, as any guarded value does."""

from __future__ import annotations

from typing import Any

import numpy as np

from hessian.rules.raising import raises_op
from hessian.rules.spec import Operation
from hessian.tape.tape import Instruction, Tape


def note_exception(
    tape: Tape,
    operation: Operation,
    operands: tuple[Any, ...],
    sources: tuple[int, ...],
    params: dict[str, Any],
    error: Exception | None,
) -> None:
    """Guard that an operation raises the exception it has raised, or none under error settings that make it raise."""
    kind = FloatingPointError if error is None else type(error)
    settings = {"operation": operation, "given": params, "kind": kind, "errors": tuple(np.geterr().items())}
    seen = np.bool_(error is not None)
    # An exception is none of the values of the function: nobody reads the slot but the guard.
    slot = tape.append(Instruction(raises_op, operands, sources, settings), seen, False)
    tape.guards.append((slot, np.array(seen)))
