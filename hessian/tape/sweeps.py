"""Sweeps over a tape: forward, reverse, and forward-over-reverse.

A :class:`Linearization` holds one step per instruction that the outputs depend on. Each slot of the tape is then the
primal half of a dual number; a sweep carries the other half. A reverse sweep of duals (x_bar, x_bar_dot) is the gradient
together with the Hessian-vector product: Pearlmutter, "Fast exact multiplication by the Hessian" (1994), in the form of
Griewank & Walther, *Evaluating Derivatives* (2008), section 5.1.

All loops are flat: the length of a tape is limited by memory alone. Floating-point warnings are off in sweeps: derivatives
may be infinite where values are not (sqrt at 0), and that is an answer, not an accident to warn about.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from hessian.rules.indexing import embed_op, indexed_ndim
from hessian.rules.pieces import assemble_op
from hessian.rules.spec import Traced
from hessian.tape.array_steps import LinearStep, local_linearization
from hessian.tape.handle import settled
from hessian.tape.masks import Masks
from hessian.tape.steps import Step, added
from hessian.tape.tape import Tape
from hessian.tape.variable import Variable, variable


class Linearization:
    """The derivative of a recorded function at the recorded point.

    Parameters
    ----------
    tape : Tape
    inputs : sequence of int
        Slots of the independent variables.
    outputs : sequence of int or None
        Slots of the dependent variables; ``None`` for one that depends on no input.
    fixed : bool
        Whether constants of the tape are constants of the function, and not cotangents held fixed.
    """

    def __init__(self, tape: Tape, inputs: Sequence[int], outputs: Sequence[int | None], *, fixed: bool = True) -> None:
        self.inputs = list(inputs)
        self.outputs = list(outputs)
        self.length = len(tape)
        self.pullback_residuals: list[Any] | None = None
        with np.errstate(all="ignore"):
            self.steps = _steps(tape, self.outputs)
            self._masks = Masks(self.steps, self.outputs, fixed=fixed)
            self._masks.mask_dead_branches()

    # First order.

    def pushforward(self, dots: Sequence[Any], batch: int = 0) -> list[Any]:
        """Carry tangents of the inputs forward to the outputs; ``None`` is an exact zero."""
        with np.errstate(all="ignore"):
            table = self._carry_forward(dots, batch)
        return [None if slot is None else table[slot] for slot in self.outputs]

    def _carry_forward(self, dots: Sequence[Any], batch: int) -> list[Any]:
        table: list[Any] = [None] * self.length
        for slot, t in zip(self.inputs, dots, strict=True):
            table[slot] = t
        for slot, sources, step in self.steps:
            table[slot] = step.pushforward([table[s] for s in sources], batch)
        return table

    def pullback(self, bars: Sequence[Any], batch: int = 0) -> list[Any]:
        """Carry cotangents of the outputs back to the inputs; ``None`` is an exact zero."""
        with np.errstate(all="ignore"):
            table = self._carry_back(bars, batch)
        return [table[slot] for slot in self.inputs]

    def cotangents(self) -> list[Any]:
        """Return the cotangents of all slots for a scalar function, ``None`` for exact zeros."""
        return self._carry_back([np.ones(())], 0)

    def _carry_back(self, bars: Sequence[Any], batch: int) -> list[Any]:
        sums = Accumulator(self.length, self.outputs, bars)
        for slot, sources, step in reversed(self.steps):
            g = sums.total(slot)
            if g is not None:
                sums.add_pullback(step, sources, g, batch)
        for slot in self.inputs:
            sums.total(slot)
        return sums.table

    # Second order.

    def linearize_pullback(self, bars: Sequence[Any]) -> list[Any]:
        """Run the reverse sweep once, keep what products with the Hessian of ``bars . outputs`` need, return cotangents."""
        with np.errstate(all="ignore"):
            table = self._carry_back(bars, 0)
            self.pullback_residuals = [
                None
                if table[slot] is None
                else step.linearize_pullback(table[slot], self._masks.reach(slot, sources), record_function)
                for slot, sources, step in self.steps
            ]
        return [table[slot] for slot in self.inputs]

    def pullback_tangent(self, dots: Sequence[Any], batch: int = 0) -> list[Any]:
        """Multiply tangents with the Hessian of the function fixed by :meth:`linearize_pullback`: one tangent sweep, no primals."""
        if self.pullback_residuals is None:
            raise RuntimeError("Linearization.pullback_tangent: call linearize_pullback first")
        with np.errstate(all="ignore"):
            table = self._carry_forward(dots, batch)
            sums = Accumulator(self.length, [], [])
            for (slot, sources, step), pullback_residuals in zip(
                reversed(self.steps), reversed(self.pullback_residuals), strict=True
            ):
                g_dot = sums.total(slot)
                if pullback_residuals is not None:
                    sums.add(
                        sources,
                        step.pullback_tangent(
                            pullback_residuals, [table[s] for s in sources], table[slot], g_dot, batch
                        ),
                    )
                elif g_dot is not None:
                    sums.add_pullback(step, sources, g_dot, batch)
            return [sums.total(slot) for slot in self.inputs]


class Accumulator:
    """Cotangents by slot.

    An array that is read slice by slice, as in a loop, gets as many cotangents as there are slices. Padding each with zeros
    would take time and memory in proportion to their number times the size of the array: numbers are added to a buffer in
    place, traced values wait by their place until the slot is read.
    """

    __slots__ = ("_buffers", "_pieces", "table")

    def __init__(self, length: int, slots: Sequence[int | None], bars: Sequence[Any]) -> None:
        self.table: list[Any] = [None] * length
        self._buffers: set[int] = set()
        self._pieces: dict[int, _Pieces] = {}
        for slot, g in zip(slots, bars, strict=True):
            if slot is not None and g is not None:
                self.table[slot] = added(self.table[slot], g)

    def total(self, slot: int) -> Any:
        """Return the cotangent of a slot to which nothing is added any more."""
        if self._pieces:
            pieces = self._pieces.pop(slot, None)
            if pieces is not None:
                self.table[slot] = added(self.table[slot], pieces.total())
        return self.table[slot]

    def add(self, sources: Sequence[int], pieces: Sequence[Any]) -> None:
        """Add one piece per source; ``None`` is an exact zero."""
        table, detached = self.table, self._buffers
        for i, source in enumerate(sources):
            piece = pieces[i]
            if piece is not None:
                known = table[source]
                table[source] = piece if known is None else known + piece
                if detached:
                    detached.discard(source)

    def add_pullback(self, step: Step, sources: Sequence[int], g: Any, batch: int) -> None:
        """Add the pullback of ``g``."""
        if not isinstance(step, LinearStep) or step.operation.add_transpose is None:
            self.add(sources, step.pullback(g, batch))
            return
        source = sources[0]
        if isinstance(g, Traced):
            pieces = self._pieces.get(source)
            if pieces is None:
                pieces = self._pieces[source] = _Pieces(step.shapes[0])
            pieces.add(step.params, g)
            return
        if source not in self._buffers:
            known, buffer = self.table[source], np.zeros(g.shape[:batch] + step.shapes[0], g.dtype)
            if isinstance(known, Traced):
                self.add(sources, step.pullback(g, batch))
                return
            self.table[source] = buffer if known is None else np.asarray(buffer + known)  # not a number
            self._buffers.add(source)
        step.operation.add_transpose(self.table[source], g, **step.params)


class _Pieces:
    """Traced cotangents of slices of an array, those of equal slices added up."""

    __slots__ = ("_shape", "_totals")

    def __init__(self, shape: tuple[int, ...]) -> None:
        self._shape = shape
        self._totals: dict[Any, tuple[Any, Any]] = {}

    def add(self, params: dict[str, Any], g: Any) -> None:
        """Add the cotangent of the slice that ``params`` describe."""
        index = (slice(None),) * (len(self._shape) - params["ndim"]) + params["index"]
        key = tuple([(part.start, part.stop, part.step) if isinstance(part, slice) else part for part in index])
        known = self._totals.get(key)
        self._totals[key] = (index, g if known is None else known[1] + g)

    def total(self) -> Any:
        """Return the cotangent of the array, with every slice in its place."""
        indices, pieces = zip(*self._totals.values(), strict=True)
        first = pieces[0]
        lead = first.ndim - indexed_ndim(indices[0])
        alike = all(
            piece.dtype == first.dtype and piece.shape[: piece.ndim - indexed_ndim(index)] == first.shape[:lead]
            for index, piece in zip(indices, pieces, strict=True)
        )
        if alike and len(pieces) > 1:
            return assemble_op(*pieces, indices=indices, shape=self._shape)
        total = None
        for index, piece in zip(indices, pieces, strict=True):
            total = added(total, embed_op(piece, index=index, shape=self._shape))
        return total


def _steps(tape: Tape, outputs: Sequence[int | None]) -> list[tuple[int, tuple[int, ...], Step]]:
    """Linearise, in order, the instructions that some output depends on."""
    needed = bytearray(len(tape))
    for slot in outputs:
        if slot is not None:
            needed[slot] = 1
    active, instructions = tape.active, tape.instructions
    wanted = []
    for slot in range(len(tape) - 1, -1, -1):
        instruction = instructions[slot]
        if needed[slot] and active[slot] and instruction is not None:
            wanted.append(slot)
            for source in instruction.sources:
                if source >= 0 and active[source]:
                    needed[source] = 1
    steps = []
    for slot in reversed(wanted):
        instruction = instructions[slot]
        assert instruction is not None
        operation, sources = instruction.operation, instruction.sources
        states = operation.states
        positions = []
        for p, source in enumerate(sources):
            if source >= 0 and active[source] and (states is None or states[p] is None):
                positions.append(p)
        step = local_linearization(
            operation, instruction.operands, tuple(positions), tape.values[slot], instruction.params
        )
        steps.append((slot, tuple([sources[p] for p in positions]), step))
    return steps


def record_function(
    function: Callable[..., Sequence[Any]], values: Sequence[Any], tape: Tape | None = None
) -> Linearization:
    """Record ``function`` of several values with several results, which holds others fixed, and linearise it there."""
    tape = Tape() if tape is None else tape
    variables = [variable(tape, tape.add_input(value, value.dtype.kind not in "iub"), value) for value in values]
    slots = [v._slot for v in variables]  # in-place assignment moves a variable
    try:
        results = [in_place(r) for r in function(*variables)]
    finally:
        tape.close()
    return Linearization(tape, slots, [output_slot(tape, r) for r in results], fixed=False)


def in_place(result: Any) -> Any:
    """Return a result with what waits to be written to it in its place, which has to be before the tape is closed."""
    if isinstance(result, Variable):
        result.check_fresh()
    return settled(result)


def output_slot(tape: Tape, result: Any) -> int | None:
    """Return the slot of a result on ``tape``, or ``None`` if it does not depend on the inputs."""
    if isinstance(result, Variable) and result._tape is tape and result.active:
        return result._slot
    return None
