"""What a tape did, done again on other values: with some of them given, with some moved, with rows written out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from hessian.rules.linalg import norm_op, unit_op
from hessian.rules.softmax import log_softmax_op, logsumexp_op, shares_op, softmax_op
from hessian.rules.spec import Operation
from hessian.tape.tape import Instruction, Tape
from hessian.tape.trace import Trace
from hessian.tape.variable import Variable


def _norm(x: Any, *, axes: tuple[int, ...], whole: bool = False) -> Any:
    # The order of the sum does not matter here.
    return np.sqrt(np.sum(x * x, axis=axes, keepdims=True))


def _above(x: Any, axes: tuple[int, ...]) -> tuple[Any, Any]:
    # Rounded, the largest has no derivative, and what is made of it need not depend on everything.
    top = np.floor(np.max(x, axis=axes, keepdims=True))
    return x - top, top


def _logsumexp(x: Any, *, axes: tuple[int, ...]) -> Any:
    above, top = _above(x, axes)
    return np.log(np.sum(np.exp(above), axis=axes, keepdims=True)) + top


def _softmax(x: Any, *, axes: tuple[int, ...]) -> Any:
    powers = np.exp(_above(x, axes)[0])
    return powers / np.sum(powers, axis=axes, keepdims=True)


def _log_softmax(x: Any, *, axes: tuple[int, ...]) -> Any:
    above, _ = _above(x, axes)
    return above - np.log(np.sum(np.exp(above), axis=axes, keepdims=True))


WRITTEN_OUT: dict[Operation, Callable[..., Any]] = {
    norm_op: _norm,
    unit_op: lambda x, *, axes: x / _norm(x, axes=axes),
    logsumexp_op: _logsumexp,
    softmax_op: _softmax,
    shares_op: _softmax,
    log_softmax_op: _log_softmax,
}
"""Rows whose second derivatives are sparse plus low rank, as sums and functions of these and of single elements."""


class Replay:
    """The instructions of a traced scalar function, without the numbers they were seen with.

    Parameters
    ----------
    traced : Trace
        Its inputs may be values of one tape around it, whose inputs are then all arguments of the function.

    Notes
    -----
    What is constant on the tape is either a number or a value of the tape around, which is computed again from the arguments.
    """

    def __init__(self, traced: Trace) -> None:
        self._instructions = list(traced.tape.instructions)
        self._inputs = list(traced.inputs)
        self._result = -1 if traced.slots[0] is None else traced.slots[0]
        outer = {x._tape for step in self._instructions if step is not None for x in step.operands if _is_outer(x)}
        self._outer: list[Instruction | None] = []
        self._wanted: list[int] = []
        if outer:
            (around,) = outer
            self._outer = list(around.instructions)
            self._wanted = _needed(around, self._instructions)

    @property
    def can_be_written_out(self) -> bool:
        """Whether some row has a form in other rows."""
        return any(step is not None and step.operation in WRITTEN_OUT for step in self._instructions)

    def _around(self, arguments: Sequence[Any]) -> dict[int, Any]:
        """Return the values of the tape around that are read."""
        values: dict[int, Any] = {}
        for slot in self._wanted:
            step = self._outer[slot]
            if step is None:
                values[slot] = arguments[slot]
                continue
            operands = [values[s] if s >= 0 else x for s, x in zip(step.sources, step.operands, strict=True)]
            values[slot] = step.operation(*operands, **step.params)
        return values

    def __call__(
        self,
        leaves: Sequence[Any],
        arguments: Sequence[Any],
        change: Callable[[int, Any], Any] | None = None,
        *,
        written_out: bool = False,
    ) -> Any:
        """Return the value of the function.

        Parameters
        ----------
        leaves : sequence of arrays
            In place of the inputs.
        arguments : sequence of arrays
            All arguments: what is constant is computed from them.
        change : callable, optional
            ``(slot, value)`` to the value that takes its place from there on.
        written_out : bool
            Whether rows of :data:`WRITTEN_OUT` are.
        """
        around = self._around(arguments)
        values: list[Any] = [None] * len(self._instructions)
        for slot, leaf in zip(self._inputs, leaves, strict=True):
            values[slot] = leaf
        for slot, step in enumerate(self._instructions):
            if step is None:
                continue
            operands = [
                values[s] if s >= 0 else around[x._slot] if _is_outer(x) else x
                for s, x in zip(step.sources, step.operands, strict=True)
            ]
            do = WRITTEN_OUT.get(step.operation, step.operation) if written_out else step.operation
            values[slot] = do(*operands, **step.params)
            if change is not None:
                values[slot] = change(slot, values[slot])
        return values[self._result]


def _is_outer(x: Any) -> bool:
    return isinstance(x, Variable)


def _needed(around: Tape, instructions: Sequence[Instruction | None]) -> list[int]:
    """Return the slots of the tape around that constants of the inner one are made from, in order."""
    wanted = {x._slot for step in instructions if step is not None for x in step.operands if _is_outer(x)}
    for slot in range(len(around.instructions) - 1, -1, -1):
        step = around.instructions[slot]
        if slot in wanted and step is not None:
            wanted.update(source for source in step.sources if source >= 0)
    return sorted(wanted)
