"""The tape: what was computed, in order, with the values seen.

A slot holds one value; inputs come first, then one slot per instruction. The number of a tape is its creation order, and
orders nested recordings: an operation belongs to the innermost tape among its operands, for which every value of an outer
tape is a constant. No operation looks at global trace state; which tapes of a thread are open is known only so that recorded
functions do not replay inside another recording.
"""

from __future__ import annotations

import itertools
import threading
import weakref
from collections.abc import Callable, Iterable
from typing import Any, NoReturn

import numpy as np

from hessian.errors import StaleVariableError, message
from hessian.rules.spec import Operation, Traced

_SERIAL = itertools.count()
_OPEN = threading.local()
# Arrays of fewer bytes are copied at every use: cheaper than looking for a copy to share.
_SMALL = 4096


class Instruction:
    """One recorded operation: operand values, the slots they came from (-1 for constants) and parameters."""

    __slots__ = ("operands", "operation", "params", "sources")

    def __init__(
        self, operation: Operation, operands: tuple[Any, ...], sources: tuple[int, ...], params: dict[str, Any]
    ) -> None:
        self.operation = operation
        self.operands = operands
        self.sources = sources
        self.params = params


class Tape:
    """A list of instructions and the values of their slots.

    Attributes
    ----------
    values : list
        One value per slot; plain arrays, or values of an outer tape.
    active : list of bool
        Whether a slot depends differentiably on an input.
    instructions : list
        One per slot; ``None`` for inputs.
    nested : bool
        Whether some value is itself traced by an outer tape.
    guards : list of (slot, value)
        Values that left the tape to steer Python (branches, indices): what a replay must see again.
    replayed : bool
        Whether the instructions will run again on other numbers. Such a tape keeps every constant, and nothing may be decided
        from the numbers it happens to hold except through a guard.
    private : bool
        Whether it belongs to one run of a checkpointed function: nobody else may see its values.
    failed : bool
        Whether that function raised after it had changed an argument.
    borrows : bool
        Whether constants belong to the library, which does not change them: they need no copies.
    user_results : set of int
        Slots of results of the function itself, not of derivatives: a replay must give them to the last bit.
    regrouped : bool
        Whether some array was given other axes, which is a view or a copy according to how it lies in memory.
    by_order : bool
        Whether what was done depends on how arrays lie in memory.
    numbers, roots
        Value numbers, and roots whose powers may be smooth, while they are looked for; see :mod:`hessian.tape.roots`.
    """

    __slots__ = (
        *("__weakref__", "_borrows", "_snapshots", "active", "by_order", "closed", "failed", "guards"),
        *(
            "instructions",
            "nested",
            "numbers",
            "user_results",
            "private",
            "regrouped",
            "replayed",
            "roots",
            "serial",
            "values",
        ),
    )

    def __init__(self, *, replayed: bool = False, borrows: bool = False, private: bool = False) -> None:
        self.serial = next(_SERIAL)
        self.private = private
        self.replayed = replayed
        self._borrows = borrows
        self.regrouped = self.by_order = self.failed = False
        self.values: list[Any] = []
        self.active: list[bool] = []
        self.instructions: list[Instruction | None] = []
        self.guards: list[tuple[int, Any]] = []
        self.user_results: set[int] = set()
        self.closed = False
        self.nested = False
        self.numbers: Any = None
        self.roots: Any = None
        self._snapshots: dict[Any, tuple[np.ndarray, np.ndarray]] = {}
        _open_tapes().append(weakref.ref(self))

    def __repr__(self) -> str:
        count = sum(1 for instruction in self.instructions if instruction is not None)
        return f"<Tape {self.serial}: {len(self.values) - count} inputs, {count} instructions>"

    def __str__(self) -> str:
        """Return the instructions, one per line, with what they read and the shape they gave."""
        lines = [repr(self)]
        for slot, (instruction, value) in enumerate(zip(self.instructions, self.values, strict=True)):
            made = "input"
            if instruction is not None:
                read = ", ".join(
                    f"s{source}" if source >= 0 else _brief(operand)
                    for source, operand in zip(instruction.sources, instruction.operands, strict=True)
                )
                made = f"{instruction.operation.name}({read})"
            shape = "x".join(map(str, value.shape)) or "scalar"
            lines.append(f"    s{slot} = {made}    # {value.dtype} {shape}")
        return "\n".join(lines)

    def __len__(self) -> int:
        return len(self.values)

    def add_input(self, value: Any, active: bool = True) -> int:
        """Open a slot for an independent variable; ``active=False`` if no derivative is taken in it."""
        self.nested = self.nested or isinstance(value, Traced)
        self.instructions.append(None)
        self.values.append(value)
        self.active.append(active)
        return len(self.values) - 1

    def append(self, instruction: Instruction, value: Any, active: bool) -> int:
        """Record an instruction with its result and return the slot."""
        if self.closed:
            self.refuse(instruction.operation.name)
        self.instructions.append(instruction)
        self.values.append(value)
        self.active.append(active)
        return len(self.values) - 1

    def refuse(self, where: str) -> NoReturn:
        """Raise the error for a value that is used after its tape was closed."""
        if self.failed:
            what = "an array is used that a checkpointed function had changed in place when it raised"
            raise StaleVariableError(message(where, what, "the changes are lost", "Pass a copy, or let the error pass"))
        owner, more = "the function that was being differentiated", "; plain numbers can come back with has_aux=True"
        if self.private:
            owner, more = "the checkpointed function that made it", ""
        raise StaleVariableError(
            message(
                where,
                f"a traced value is used after {owner} has returned",
                "it no longer takes part in any derivative",
                f"Return it from the function instead of storing it, and make arrays that are written to anew in every call{more}",
            )
        )

    def close(self) -> None:
        """End the recording: nothing can be added any more."""
        self.closed = True
        self._snapshots.clear()
        self.numbers = self.roots = None
        is_tracing()

    def snapshot(self, x: np.ndarray) -> np.ndarray:
        """Return the array as it is now, safe from later changes by its owner.

        A user may refill a work array between two operations, or change data after an operator was built; a sweep that
        read the array then would be silently wrong. A copy is shared between uses as long as the contents agree.
        Arrays that nobody can write to are kept as they are.
        """
        if self._borrows or _is_frozen(x):
            return x
        if x.nbytes < _SMALL:
            return _frozen_copy(x)
        key = (x.__array_interface__["data"][0], x.shape, x.strides, x.dtype)
        known = self._snapshots.get(key)
        if known is not None and np.array_equal(known[1], x):
            return known[1]
        copy = _frozen_copy(x)
        # The array is kept as well, so that its address is not given to another one meanwhile.
        self._snapshots[key] = (x, copy)
        return copy


class GuardMiss(Exception):
    """A value that steered Python when a program was recorded is another one now."""


def is_tracing() -> bool:
    """Tell whether some tape of this thread is open: what runs now may use its values, whatever its arguments are."""
    tapes = _open_tapes()
    while tapes:
        tape = tapes[-1]()
        if tape is not None and not tape.closed:
            return True
        tapes.pop()
    return False


def _open_tapes() -> list[weakref.ref[Tape]]:
    """Return the tapes of this thread that may be open, the innermost last."""
    tapes: list[weakref.ref[Tape]] | None = getattr(_OPEN, "tapes", None)
    if tapes is None:
        tapes = _OPEN.tapes = []
    return tapes


def _brief(operand: Any) -> str:
    """Return a constant as a reader would write it."""
    shape = np.shape(operand)
    return f"constant{list(shape)}" if shape else repr(operand)


def _frozen_copy(x: np.ndarray) -> np.ndarray:
    """Copy an array for good, so that a tape around this one need not copy it again."""
    copy = x.copy(order="K")
    copy.flags.writeable = False
    return copy


def _is_frozen(x: Any) -> bool:
    """Tell whether nobody can write to the memory of an array, through it or through what it is a view of."""
    while isinstance(x, np.ndarray):
        if x.flags.writeable:
            return False
        x = x.base
    return x is None


def reaching(
    tape: Tape, slots: Iterable[int], sources: Callable[[Instruction], Iterable[int]] = lambda step: step.sources
) -> bytearray:
    """Mark what some slots of a tape are made of, themselves included."""
    marked = bytearray(len(tape))
    for slot in slots:
        marked[slot] = 1
    for slot in range(len(tape) - 1, -1, -1):
        instruction = tape.instructions[slot]
        if marked[slot] and instruction is not None:
            for source in sources(instruction):
                if source >= 0:
                    marked[source] = 1
    return marked
