"""What a handle of an array holds: the slots that traced arrays, and arrays that may become traced, have in common."""

from __future__ import annotations

from typing import Any


class Handle:
    """Base of :class:`~hessian.tape.variable.Variable` and :class:`~hessian.tape.blank.Blank`, one of which may become the other."""

    __slots__ = ("_slot", "_tape", "_value", "_version", "_view", "_writes", "trace_level")

    def settled(self) -> Any:
        """Return the value itself, or the ndarray of a blank that has not become traced."""
        return self

    def become_traced(self, values: Any) -> None:
        """Turn a blank into a traced array on the tape of some values; a traced array is one."""


def settled(x: Any) -> Any:
    """Return an operand: of a blank the ndarray, or the traced array that it has become."""
    return x.settled() if issubclass(type(x), Handle) else x
