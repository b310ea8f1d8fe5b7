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
from functools import partial
from typing import Any

import numpy as np

from hessian.core.array_steps import LinearStep, linearize
from hessian.core.steps import Step, added
from hessian.core.tape import Tape
from hessian.core.variable import Variable, variable


class Linearization:
    """The derivative of a recorded function at the recorded point.

    Parameters
    ----------
    tape : Tape
    inputs : sequence of int
        Slots of the independent variables.
    outputs : sequence of int or None
        Slots of the dependent variables; ``None`` for one that depends on no input.
    """

    def __init__(self, tape: Tape, inputs: Sequence[int], outputs: Sequence[int | None]) -> None:
        self.inputs = list(inputs)
        self.outputs = list(outputs)
        self.length = len(tape)
        self._bent: list[Any] | None = None
        self._live: dict[int, np.ndarray | None] | None = None
        self._varying: dict[int, np.ndarray | None] = {}
        with np.errstate(all="ignore"):
            self.steps = _steps(tape, self.outputs)
            self._mask_dead_branches()

    # First order.

    def push(self, dots: Sequence[Any], batch: int = 0) -> list[Any]:
        """Carry tangents of the inputs forward to the outputs; ``None`` is an exact zero."""
        with np.errstate(all="ignore"):
            table = self._push(dots, batch)
        return [None if slot is None else table[slot] for slot in self.outputs]

    def _push(self, dots: Sequence[Any], batch: int) -> list[Any]:
        table: list[Any] = [None] * self.length
        for slot, t in zip(self.inputs, dots, strict=True):
            table[slot] = t
        for slot, sources, step in self.steps:
            table[slot] = step.push([table[s] for s in sources], batch)
        return table

    def pull(self, bars: Sequence[Any], batch: int = 0) -> list[Any]:
        """Carry cotangents of the outputs back to the inputs; ``None`` is an exact zero."""
        with np.errstate(all="ignore"):
            table = self._pull(bars, batch)
        return [table[slot] for slot in self.inputs]

    def _pull(self, bars: Sequence[Any], batch: int) -> list[Any]:
        sums = _Accumulator(self.length, self.outputs, bars)
        for slot, sources, step in reversed(self.steps):
            g = sums.table[slot]
            if g is not None:
                sums.add_pull(step, sources, g, batch)
        return sums.table

    # Second order.

    def bend(self, bars: Sequence[Any]) -> list[Any]:
        """Run the reverse sweep once, keep what products with the Hessian of ``bars . outputs`` need, return cotangents."""
        with np.errstate(all="ignore"):
            table = self._pull(bars, 0)
            self._bent = [
                None if table[slot] is None else step.bend(table[slot], partial(self._live_mask, slot))
                for slot, _, step in self.steps
            ]
        return [table[slot] for slot in self.inputs]

    def turn(self, dots: Sequence[Any], batch: int = 0) -> list[Any]:
        """Multiply tangents with the Hessian of the function fixed by :meth:`bend`: one tangent sweep, no primals."""
        if self._bent is None:
            raise RuntimeError("Linearization.turn: call bend first")
        with np.errstate(all="ignore"):
            table = self._push(dots, batch)
            sums = _Accumulator(self.length, [], [])
            for (slot, sources, step), bent in zip(reversed(self.steps), reversed(self._bent), strict=True):
                g_dot = sums.table[slot]
                if bent is not None:
                    sums.add(sources, step.turn(bent, [table[s] for s in sources], table[slot], g_dot, batch))
                elif g_dot is not None:
                    sums.add_pull(step, sources, g_dot, batch)
        return [sums.table[slot] for slot in self.inputs]

    # Branches not taken.

    def _mask_dead_branches(self) -> None:
        """Zero the infinite partials of elements that join no input to any output.

        A zero is only as good as the partial it meets: 0 * inf is NaN. Where ``where``, a mask or an index did not select
        an element, or selected a constant in its place, its derivative is zero whatever its partial is.
        """
        for slot, _, step in self.steps:
            if step.needs_mask():
                mask = self._live_mask(slot)
                if mask is not None:
                    step.restrict(mask)

    def _live_mask(self, slot: int) -> np.ndarray | None:
        """Return which elements of a slot lie between some input and some output; ``None`` means all."""
        if self._live is None:
            self._live = self._find_live()
            self._varying = self._find_varying()
        live, varying = self._live.get(slot), self._varying.get(slot)
        if live is None or varying is None:
            return varying if live is None else live
        return live & varying

    def _find_live(self) -> dict[int, np.ndarray | None]:
        """Carry masks of the elements that matter from the outputs back through every step."""
        live: dict[int, np.ndarray | None] = {slot: None for slot in self.outputs if slot is not None}
        for slot, sources, step in reversed(self.steps):
            if slot not in live:
                continue
            for source, mask in zip(sources, step.live_operands(live[slot]), strict=True):
                if source not in live:
                    live[source] = mask
                else:
                    known = live[source]
                    live[source] = None if known is None or mask is None else known | mask
        return live

    def _find_varying(self) -> dict[int, np.ndarray | None]:
        """Carry masks of the elements that vary from the inputs forward through every step."""
        varying: dict[int, np.ndarray | None] = {}
        for slot, sources, step in self.steps:
            varying[slot] = step.varying_result([varying.get(source) for source in sources])
        return varying


class _Accumulator:
    """Cotangents by slot. Buffers it has opened itself are added to in place."""

    __slots__ = ("_owned", "table")

    def __init__(self, length: int, slots: Sequence[int | None], bars: Sequence[Any]) -> None:
        self.table: list[Any] = [None] * length
        self._owned: set[int] = set()
        for slot, g in zip(slots, bars, strict=True):
            if slot is not None and g is not None:
                self.table[slot] = added(self.table[slot], g)

    def add(self, sources: Sequence[int], pieces: Sequence[Any]) -> None:
        """Add one piece per source; ``None`` is an exact zero."""
        table, owned = self.table, self._owned
        for i, source in enumerate(sources):
            piece = pieces[i]
            if piece is not None:
                known = table[source]
                table[source] = piece if known is None else known + piece
                if owned:
                    owned.discard(source)

    def add_pull(self, step: Step, sources: Sequence[int], g: Any, batch: int) -> None:
        """Add the pullback of ``g``; a slice adds to its part of a buffer instead of padding itself with zeros."""
        if isinstance(step, LinearStep) and step.operation.add_transpose is not None and type(g) is np.ndarray:
            source = sources[0]
            if source not in self._owned:
                buffer = np.zeros(g.shape[:batch] + step.shapes[0], g.dtype)
                if self.table[source] is not None:
                    buffer = buffer + self.table[source]
                if type(buffer) is not np.ndarray:
                    self.add(sources, step.pull(g, batch))
                    return
                self.table[source] = buffer
                self._owned.add(source)
            step.operation.add_transpose(self.table[source], g, **step.params)
            return
        self.add(sources, step.pull(g, batch))


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
        step = linearize(operation, instruction.operands, tuple(positions), tape.values[slot], instruction.params)
        steps.append((slot, tuple([sources[p] for p in positions]), step))
    return steps


def record_function(function: Callable[..., Sequence[Any]], values: Sequence[Any]) -> Linearization:
    """Record ``function`` of several values with several results and linearise it there."""
    tape = Tape()
    variables = [variable(tape, tape.add_input(value), value) for value in values]
    try:
        results = function(*variables)
    finally:
        tape.close()
    return Linearization(tape, [v._slot for v in variables], [output_slot(tape, r) for r in results])


def output_slot(tape: Tape, result: Any) -> int | None:
    """Return the slot of a result on ``tape``, or ``None`` if it does not depend on the inputs."""
    if isinstance(result, Variable) and result._tape is tape and result.active:
        return result._slot
    return None
