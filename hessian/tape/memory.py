"""How the numbers of traced arrays lie in memory: it decides what NumPy takes as a view and what it copies."""

from __future__ import annotations

from typing import Any

import numpy as np

from hessian.rules.memory import axes_in_memory, in_memory, laid_out
from hessian.rules.shaping import broadcast_op
from hessian.rules.spec import Operation
from hessian.rules.traced import Traced
from hessian.tape.array_methods import primal_array


class InMemory(Traced):
    """Mixin: what a traced value says of how its numbers lie in memory."""

    __slots__ = ()

    def depends_on_memory(self) -> None:
        """Note on all tapes that what is done depends on how arrays lie in memory."""
        value: Any = self
        while isinstance(value, InMemory):
            value._tape.by_order = True
            value = value._value

    def lies_in(self, order: str) -> bool:
        """Tell whether the numbers lie in memory in C order, or in Fortran order."""
        self.depends_on_memory()
        flags = primal_array(self).flags
        return flags.c_contiguous if order == "C" else flags.f_contiguous

    def memory_axes(self) -> tuple[int, ...]:
        """Return the axes from the slowest to the fastest in memory."""
        return axes_in_memory(primal_array(self))

    def apart(self) -> Traced:
        """Return the value as a copy of its own: writing to it reaches no other array."""
        return self.frozen()

    def lying_in(self, axes: tuple[int, ...]) -> Traced:
        """Return the value in memory of its own, whose axes go from the slowest to the fastest as given."""
        return with_memory(self, in_memory(primal_array(self), axes))


def shows_memory(operation: Operation, base: Any, value: Any) -> bool:
    """Tell whether NumPy's result of an operation that takes views is one of its operand, not a copy."""
    if base.is_number:
        # What shows a number many times is read-only: all else that is made of it is a copy.
        return operation is broadcast_op
    if not operation.copies:
        return True
    owner = primal_array(base)
    return owner.flags.c_contiguous or np.may_share_memory(primal_array(value), owner)


def lying_as(old: Any, new: Any) -> Any:
    """Return new numbers as they lie in the memory of the old ones."""
    memory, numbers = primal_array(old), primal_array(new)
    if numbers.strides == memory.strides:
        return new
    out = np.empty_like(memory, dtype=numbers.dtype)
    out[...] = numbers
    return with_memory(new, out)


def lying_by(value: Any, strides: tuple[int, ...]) -> Any:
    """Return a value whose plain numbers lie in memory by the given strides."""
    numbers = primal_array(value)
    if numbers.strides == strides or numbers.ndim != len(strides):
        return value
    return with_memory(value, laid_out(numbers, strides=strides))


def with_memory(value: Any, array: np.ndarray) -> Any:
    """Return a value whose plain numbers, underneath any number of traced layers, are those of an array."""
    if not isinstance(value, Traced):
        return array
    constant: Any = value.frozen()
    constant._value = with_memory(constant._value, array)
    return constant
