"""Value numbers: values of a tape that are equal because they were computed in the same way have one number.

Cocke & Schwartz, *Programming Languages and Their Compilers* (1970). Numbers are given when somebody asks, to what the value
depends on and to nothing else, so that recording does not pay for them. They follow from operations and constants alone,
never from the numbers that variables happen to hold: what is equal at one point is equal at every other.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from hessian.rules import choices
from hessian.rules import elementwise as ew
from hessian.rules.spec import Traced
from hessian.tape.array_methods import primal_array
from hessian.tape.tape import Instruction, Tape

# Constants of more bytes are compared with those of the same shape, smaller ones are looked up.
_SMALL = 4096
_COMMUTATIVE = {ew.add, ew.multiply, ew.hypot, choices.maximum, choices.minimum, choices.fmax, choices.fmin}


class Numbering:
    """Value numbers of the slots of one tape."""

    __slots__ = ("_arrays", "_keys", "_named", "_numbers", "_tape")

    def __init__(self, tape: Tape) -> None:
        self._tape = tape
        self._numbers: dict[int, int] = {}
        self._keys: dict[Any, int] = {}
        self._arrays: dict[Any, list[tuple[np.ndarray, int]]] = {}
        # What a key names by its identity must outlive the key.
        self._named: list[Any] = []

    def of(self, slot: int) -> int:
        """Return the number of a slot; equal numbers mean equal values."""
        numbers, instructions = self._numbers, self._tape.instructions
        pending = [slot]
        while pending:
            at = pending[-1]
            instruction = instructions[at]
            if at in numbers:
                pending.pop()
            elif instruction is None:
                numbers[at] = self.key("input", at)
            elif unknown := [s for s in instruction.sources if s >= 0 and s not in numbers]:
                pending += unknown
            elif self._is_as_recorded(at, instruction):
                numbers[at] = self._of_instruction(instruction)
            else:
                numbers[at] = self.key("written to", at)
        return numbers[slot]

    def key(self, *parts: Any) -> int:
        """Return the number of what hashable parts describe; no other parts have it."""
        return self._keys.setdefault(parts, len(self._keys))

    def parameters(self, params: dict[str, Any]) -> int:
        """Return a number for the parameters of an instruction."""
        return self.key("parameters", *[(name, self._constant(value)) for name, value in params.items()])

    def _is_as_recorded(self, slot: int, instruction: Instruction) -> bool:
        """Tell whether no constant was written to since, so far as it shows in the result.

        Constants that derivatives are not made of are not copied: the user may fill a work array anew between two sums. If what
        they hold now gives the same result, the derivatives of both are equal as well.
        """
        operation = instruction.operation
        if operation.retains or self._tape.replayed:
            return True
        constants = [x for x, s in zip(instruction.operands, instruction.sources, strict=True) if s < 0]
        if not any(isinstance(x, np.ndarray) and not isinstance(x, Traced) and x.flags.writeable for x in constants):
            return True
        with np.errstate(all="ignore"):
            again = operation.function(*map(primal_array, instruction.operands), **instruction.params)
        return np.array_equal(again, primal_array(self._tape.values[slot]), equal_nan=True)

    def _of_instruction(self, instruction: Instruction) -> int:
        operands = [
            self._numbers[source] if source >= 0 else self._constant(operand)
            for source, operand in zip(instruction.sources, instruction.operands, strict=True)
        ]
        if instruction.operation in _COMMUTATIVE:
            operands.sort()
        return self.key(instruction.operation, *operands, self.parameters(instruction.params))

    def _constant(self, x: Any) -> int:
        if isinstance(x, np.ndarray) and not isinstance(x, Traced):
            return self._array(x)
        if isinstance(x, slice):
            return self.key("slice", x.start, x.stop, x.step)
        if isinstance(x, tuple):
            return self.key("tuple", *map(self._constant, x))
        if isinstance(x, int | float | bool | str | np.generic | np.dtype | type(None)):
            # The sign of a zero and the type tell numbers apart that compare equal.
            return self.key("number", type(x), repr(x))
        tape, slot = getattr(x, "_tape", None), getattr(x, "_slot", None)
        if isinstance(x, Traced) and isinstance(tape, Tape) and slot is not None:
            return self.key("outside", tape.serial, numbering(tape).of(slot))
        self._named.append(x)
        return self.key("object", id(x))

    def _array(self, x: np.ndarray) -> int:
        if x.dtype.hasobject:
            self._named.append(x)
            return self.key("object", id(x))
        if x.nbytes <= _SMALL:
            return self.key("array", x.shape, x.dtype, x.tobytes())
        alike = self._arrays.setdefault((x.shape, x.dtype), [])
        for known, number in alike:
            if known is x or known.tobytes() == x.tobytes():
                return number
        number = self.key("array", len(alike), x.shape, x.dtype)
        alike.append((x, number))
        return number


def numbering(tape: Tape) -> Numbering:
    """Return the value numbers of a tape."""
    if tape.numbers is None:
        tape.numbers = Numbering(tape)
    return tape.numbers
