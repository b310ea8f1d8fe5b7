"""Patterns of recorded functions: index sets go back from the results to what matters, then forward from the inputs.

A pattern holds for every point at which the function does the same operations, whatever its numbers are: it may name an entry that is
zero, and never misses one that is not.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.sparse import csr_array

from hessian.errors import HessianError, TooDenseError, message
from hessian.programs.runtime.arguments import Arguments
from hessian.programs.runtime.functions import programs_of
from hessian.sparse.links import Link, Mask
from hessian.sparse.meetings import Meetings, TooDense
from hessian.sparse.sets import Sets, Table, identity
from hessian.tape.origins import LinedTape
from hessian.tape.tape import Tape
from hessian.tape.trace import Trace, chosen_arguments, replaced
from hessian.tape.variable import variable

MOST_ENTRIES = 10**8
"""Entries of a pattern from which on it is refused: with its values it would take some 2 GiB."""


@dataclass(frozen=True)
class Detection:
    """What has been detected.

    Attributes
    ----------
    matrix : csr_array
        Of ones, sorted.
    dense_because : tuple of str
        Operations without a pattern, and the user's lines.
    is_volatile : bool
        Whether the pattern depends on numbers besides the branch: it has to be looked for at every point.
    """

    matrix: csr_array
    dense_because: tuple[str, ...]
    is_volatile: bool


@dataclass(frozen=True)
class Source:
    """A function with its arguments, to be run on tapes.

    Attributes
    ----------
    f : callable
    args : sequence
    kwargs : dict
    argnums : int or tuple of int
    where : str
    """

    f: Callable[..., Any]
    args: Sequence[Any]
    kwargs: dict[str, Any]
    argnums: Any
    where: str

    def trace(self, make: Callable[[], Tape]) -> tuple[Trace, bool]:
        """Run the function on a tape; second, whether what other arguments decide could not be told from what is constant."""
        f = programs_of(self.f).function
        numbers = (self.argnums,) if isinstance(self.argnums, int) else self.argnums
        arguments = Arguments(self.args, self.kwargs, numbers)
        if arguments.traced:
            return self._run(f, self.args, self.kwargs, make), True
        # Arguments are values of a tape around: what is decided by their numbers is told from what is constant.
        outer = Tape(replayed=True, borrows=True)
        try:
            values = [np.asarray(x)[()] for x in arguments.inputs]
            inputs = [variable(outer, outer.add_input(x, x.dtype.kind == "f"), x) for x in values]
            args, kwargs = arguments.rebuild(inputs)
            return self._run(f, args, kwargs, make), False
        except (HessianError, TypeError, ValueError):
            # It needs plain numbers.
            return self._run(f, self.args, self.kwargs, make), True
        finally:
            outer.close()

    def _run(
        self, f: Callable[..., Any], args: Sequence[Any], kwargs: dict[str, Any], make: Callable[[], Tape]
    ) -> Trace:
        primal, numbers = chosen_arguments(args, self.argnums, self.where)
        call = lambda x: f(*replaced(args, self.argnums, numbers, x), **kwargs)
        return Trace(primal, call, where=self.where, tape=make())

    def lines(self) -> dict[int, str]:
        """Return the user's line of every instruction."""
        trace, _ = self.trace(LinedTape)
        assert isinstance(trace.tape, LinedTape)
        return trace.tape.lines


def _tape() -> Tape:
    return Tape(borrows=True)


class _Walk:
    """The links of a tape that results depend on."""

    def __init__(self, source: Source, traced: Trace | None) -> None:
        self.source = source
        self.traced, self.is_volatile = source.trace(_tape) if traced is None else (traced, True)
        self.tape = self.traced.tape
        self.n = self.traced.primal.size
        self.links: dict[int, Link] = {}
        self.masks: dict[int, Mask] = {slot: None for slot in self.traced.slots if slot is not None}
        self.dense: list[int] = []

    def link(self, slot: int) -> Link | None:
        """Return the link at a slot; ``None`` for an input."""
        if slot not in self.links:
            instruction = self.tape.instructions[slot]
            if instruction is None:
                return None
            states, active = instruction.operation.states, self.tape.active
            chosen = [
                p
                for p, s in enumerate(instruction.sources)
                if s >= 0 and active[s] and (states is None or states[p] is None)
            ]
            self.links[slot] = Link(instruction, self.tape.values[slot].shape, chosen)
        return self.links[slot]

    def sources(self, slot: int) -> list[tuple[int, int]]:
        """Return the operands of a link that carry derivatives, with their slots."""
        instruction, link = self.tape.instructions[slot], self.link(slot)
        return [] if instruction is None or link is None else [(p, instruction.sources[p]) for p in link.active]

    def mark(self) -> None:
        """Go back from the results: which elements of which values reach them."""
        inputs = set(self.traced.inputs)
        for slot in range(len(self.tape) - 1, -1, -1):
            link = self.link(slot) if slot in self.masks else None
            if link is None:
                continue
            mask = self.masks[slot]
            for p, source in self.sources(slot):
                if source in inputs:
                    self.masks[source] = None
                    continue
                reached = link.reached(mask, p)
                if reached is not None and not reached.any():
                    continue
                known = self.masks.get(source, False)
                both = reached if known is False else None if known is None or reached is None else known | reached
                self.masks[source] = None if both is None or both.all() else both

    def wanted(self, ends: Sequence[int]) -> bytearray:
        """Mark what the sets of some slots are made from, themselves included."""
        wanted = bytearray(len(self.tape))
        for slot in ends:
            wanted[slot] = 1
        for slot in range(len(self.tape) - 1, -1, -1):
            if wanted[slot]:
                for _, source in self.sources(slot):
                    wanted[source] = 1
        return wanted

    def inputs(self) -> dict[int, Sets]:
        """Return the sets of the inputs."""
        table, start, sets = Table(self.n), 0, {}
        for slot, shape in zip(self.traced.inputs, self.traced.primal.shapes, strict=True):
            sets[slot] = identity(start, math.prod(shape), self.n, table)
            start += math.prod(shape)
        return sets

    def forward(self, ends: Sequence[int], meetings: Meetings | None = None) -> dict[int, Sets]:
        """Carry sets forward to some slots, and enter what meets on the way; return those of the ends."""
        wanted, keep, last = self.wanted(ends), set(ends), {}
        for slot in range(len(self.tape)):
            for _, source in self.sources(slot) if slot in self.masks or wanted[slot] else ():
                last[source] = slot
        sets = self.inputs()
        for slot in range(len(self.tape)):
            link = self.link(slot) if slot in self.masks or wanted[slot] else None
            if link is None:
                continue
            known = {p: sets[source] for p, source in self.sources(slot) if source in sets}
            self.is_volatile |= link.is_volatile
            if meetings is not None and slot in self.masks:
                self._meet(slot, link, known, meetings)
            if wanted[slot]:
                made = link.first_order(known)
                if made is not None:
                    sets[slot] = made
                if link.dense and slot not in self.dense:
                    self.dense.append(slot)
            for _, source in self.sources(slot):
                if last[source] == slot and source not in keep:
                    sets.pop(source, None)
        return {slot: sets[slot] for slot in ends if slot in sets}

    def _meet(self, slot: int, link: Link, known: dict[int, Sets], meetings: Meetings) -> None:
        if not link.pairs or not known:
            return
        if link.dense and slot not in self.dense:
            self.dense.append(slot)
        try:
            link.second_order(known, self.masks[slot], meetings)
        except TooDense:
            self.refuse(slot)

    def refuse(self, slot: int | None) -> None:
        """Raise the error for a pattern that is too dense because of the operation at a slot, or of all together."""
        name = "the function"
        if slot is not None:
            instruction = self.tape.instructions[slot]
            assert instruction is not None
            name = f"{instruction.operation.name}, at {self.source.lines().get(slot) or 'a line that is not known'},"
        what = f"{name} makes the pattern of {self.n} variables dense: it has more than {MOST_ENTRIES:.0e} entries"
        why = "a sparse matrix of it would not fit in memory"
        fix = "Use hs.HessianOperator(f, x) (or hs.JacobianOperator), which multiplies with it"
        raise TooDenseError(message(self.source.where, what, why, fix))

    def reasons(self) -> tuple[str, ...]:
        """Name the operations without a pattern, with the user's lines."""
        if not self.dense:
            return ()
        lines, found = self.source.lines(), []
        for slot in self.dense:
            instruction = self.tape.instructions[slot]
            assert instruction is not None
            line = lines.get(slot, "")
            found.append(f"{instruction.operation.name}, at {line}" if line else instruction.operation.name)
        return tuple(dict.fromkeys(found))


def hessian_pattern(source: Source, traced: Trace | None = None, widest: int | None = None) -> Detection:
    """Return where second derivatives of a scalar function may be.

    Where the function is traced already, the pattern is that of this point. It is given up where more than ``widest`` variables meet one
    another, so that it takes more products than that.
    """
    walk = _Walk(source, traced)
    walk.traced.scalar()
    walk.mark()
    curved = [slot for slot in walk.masks if (link := walk.link(slot)) is not None and link.pairs]
    ends = sorted({source for slot in curved for _, source in walk.sources(slot)})
    meetings = Meetings(walk.n, MOST_ENTRIES, walk.n if widest is None else widest)
    walk.forward(ends, meetings)
    try:
        matrix = meetings.matrix()
    except TooDense:
        walk.refuse(None)
    return Detection(matrix, walk.reasons(), walk.is_volatile)


def jacobian_pattern(source: Source, traced: Trace | None = None) -> Detection:
    """Return where first derivatives of a function may be; rows are the raveled results, one after the other."""
    walk = _Walk(source, traced)
    sets = walk.forward([slot for slot in walk.traced.slots if slot is not None])
    starts, members, total = [np.zeros(1, np.intp)], [np.zeros(0, np.intp)], 0
    for slot, value in zip(walk.traced.slots, walk.traced.values, strict=True):
        size = math.prod(value.shape)
        if slot is None or slot not in sets:
            starts.append(np.full(size, total))
            continue
        lengths = sets[slot].table.lengths(sets[slot].rows)
        if total + int(lengths.sum()) > MOST_ENTRIES:
            walk.refuse(slot)
        begin, inside = sets[slot].expanded().arrays()
        starts.append(begin[1:] + total)
        members.append(inside)
        total += len(inside)
    indptr, indices = np.concatenate(starts), np.concatenate(members)
    shape = (len(indptr) - 1, walk.n)
    return Detection(
        csr_array((np.ones(len(indices), bool), indices, indptr), shape=shape), walk.reasons(), walk.is_volatile
    )
