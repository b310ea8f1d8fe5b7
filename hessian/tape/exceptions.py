"""Exceptions as branches: whether an operation raises steers a function that catches it, as any guarded value does."""

from __future__ import annotations

import numpy as np

from hessian.rules.raising import raises_op
from hessian.tape.tape import Instruction, Tape


def note_exception(tape: Tape, instruction: Instruction, error: Exception | None) -> None:
    """Guard that an operation raises the exception it has raised, or none under error settings that make it raise."""
    kind = FloatingPointError if error is None else type(error)
    errors = tuple(np.geterr().items())
    settings = {"operation": instruction.operation, "given": instruction.params, "kind": kind, "errors": errors}
    seen = np.bool_(error is not None)
    # An exception is none of the values of the function: nobody reads the slot but the guard.
    slot = tape.append(Instruction(raises_op, instruction.operands, instruction.sources, settings), seen, False)
    tape.guards.append((slot, np.array(seen)))
