"""What a tape did, done again on other values: with some of them given, with some moved, with rows written out."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from hessian.rules.linalg import norm_op, unit_op
from hessian.rules.reductions import prod_op
from hessian.rules.smooth import smooth_op
from hessian.rules.softmax import log_softmax_op, logsumexp_op, shares_op, softmax_op
from hessian.rules.spec import Operation
from hessian.tape.array_methods import primal_array
from hessian.tape.tape import Instruction, Tape, reaching
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


def _product(x: Any, axes: tuple[int, ...]) -> tuple[Any, bool]:
    """Return a product as an exponential of a sum, and whether factors are zero at this point, which stay apart."""
    zero = np.equal(primal_array(x), 0)
    away = np.where(zero, np.ones((), x.dtype), x) if zero.any() else x
    size = np.exp(np.sum(np.log(np.abs(away)), axis=axes))
    result = prod_op(np.sign(away), axes=axes) * size
    if not zero.any():
        return result, False
    # Of three and more no second derivative is left.
    few = zero & (np.sum(zero, axis=axes, keepdims=True) < 3)
    constant = np.where(zero, np.zeros((), x.dtype), np.ones((), x.dtype))
    return result * np.prod(np.where(few, x, constant), axis=axes), True


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
    widest : int
        Factors up to which a product stays as it is.

    Attributes
    ----------
    met_zeros : bool
        Whether a product has been written out at a point where factors are zero, for that point.

    Notes
    -----
    What is constant on the tape is either a number or a value of the tape around, which is computed again from the arguments.
    """

    def __init__(self, traced: Trace, widest: int) -> None:
        self._instructions = list(traced.tape.instructions)
        self._products = dict(_products(traced.tape, widest))
        self.met_zeros = False
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
        written = any(step is not None and step.operation in WRITTEN_OUT for step in self._instructions)
        return written or self.has_products

    @property
    def has_products(self) -> bool:
        """Whether products of many factors are among them."""
        return bool(self._products)

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
            if written_out and slot in self._products:
                factors, axes = self._products[slot]
                operands[0], zeros = _product(values[factors], axes)
                self.met_zeros = self.met_zeros or zeros
            do = WRITTEN_OUT.get(step.operation, step.operation) if written_out else step.operation
            values[slot] = do(*operands, **step.params)
            if change is not None:
                values[slot] = change(slot, values[slot])
        return values[self._result]


def _products(tape: Tape, widest: int) -> Iterator[tuple[int, tuple[int, tuple[int, ...]]]]:
    """Yield the slots of products of many factors, each with the slot of the factors and the axes along which they are."""
    for slot, step in enumerate(tape.instructions):
        if step is None or step.operation is not smooth_op or step.sources[1] < 0:
            continue
        value = tape.instructions[step.sources[1]]
        if value is None or value.operation is not prod_op or value.sources[0] < 0:
            continue
        count = tape.values[value.sources[0]].size // max(tape.values[slot].size, 1)
        if count > widest:
            yield slot, (value.sources[0], value.params["axes"])


def _is_outer(x: Any) -> bool:
    return isinstance(x, Variable)


def _needed(around: Tape, instructions: Sequence[Instruction | None]) -> list[int]:
    """Return the slots of the tape around that constants of the inner one are made from, in order."""
    wanted = {x._slot for step in instructions if step is not None for x in step.operands if _is_outer(x)}
    return [slot for slot, is_needed in enumerate(reaching(around, wanted)) if is_needed]
