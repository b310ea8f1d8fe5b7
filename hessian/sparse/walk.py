"""Index sets over a tape: back from the results to what matters, forward from the inputs, through what a checkpoint runs again."""

from __future__ import annotations

from collections.abc import Sequence

from hessian.rules.spec import General, Traced
from hessian.sparse.links import Link, Mask
from hessian.sparse.meetings import Meetings
from hessian.sparse.sets import Sets
from hessian.tape.array_methods import primal_array
from hessian.tape.tape import Instruction, Tape


class Walk:
    """The links of a tape that results depend on.

    Parameters
    ----------
    tape : Tape
    inputs : sequence of int
        Slots of the independent variables.
    results : mapping
        Slots of the results, and which of their elements matter.

    Attributes
    ----------
    masks : dict
        By slot, which elements reach a result that matters; complete after :meth:`mark`.
    dense : dict
        Operations without a pattern, by the slots of this tape at which they are met.
    is_volatile : bool
        Whether some pattern depends on numbers that may be others the next time.
    at : int or None
        The slot of the operation that is looked at.
    """

    def __init__(self, tape: Tape, inputs: Sequence[int], results: dict[int, Mask]) -> None:
        self.tape, self.inputs = tape, list(inputs)
        self.masks = dict(results)
        self.dense: dict[int, list[str]] = {}
        self.is_volatile = False
        self.at: int | None = None
        self._results = list(results)
        self._links: dict[int, Link] = {}
        self._inner: dict[int, Walk] = {}

    def _instruction(self, slot: int) -> Instruction:
        instruction = self.tape.instructions[slot]
        assert instruction is not None
        return instruction

    def link(self, slot: int) -> Link | None:
        """Return the link at a slot; ``None`` for an input."""
        if slot not in self._links:
            instruction = self.tape.instructions[slot]
            if instruction is None:
                return None
            states, active = instruction.operation.states, self.tape.active
            chosen = [
                p
                for p, s in enumerate(instruction.sources)
                if s >= 0 and active[s] and (states is None or states[p] is None)
            ]
            self._links[slot] = Link(instruction, self.tape.values[slot].shape, chosen)
        return self._links[slot]

    def inner(self, slot: int) -> Walk | None:
        """Return the walk over the tape of a function that an operation runs; ``None`` for any other operation."""
        operation = self._instruction(slot).operation
        if not isinstance(operation, General) or operation.runs is None:
            return None
        if slot not in self._inner:
            operands = self._instruction(slot).operands
            tape, inputs, result = operation.runs([primal_array(x) if isinstance(x, Traced) else x for x in operands])
            # What its numbers decide is a matter of this point.
            self.is_volatile = self.is_volatile or bool(tape.guards)
            walk = Walk(tape, inputs, {} if result is None else {result: self.masks.get(slot)})
            walk.mark()
            self._inner[slot] = walk
        return self._inner[slot]

    def sources(self, slot: int) -> list[tuple[int, int]]:
        """Return the operands of a link that carry derivatives, with their slots."""
        instruction, link = self.tape.instructions[slot], self.link(slot)
        return [] if instruction is None or link is None else [(p, instruction.sources[p]) for p in link.active]

    def is_curved(self, slot: int) -> bool:
        """Tell whether an operation has second derivatives."""
        link = self.link(slot)
        if link is None:
            return False
        inner = self.inner(slot)
        return bool(link.pairs) if inner is None else any(map(inner.is_curved, inner.masks))

    # Back.

    def mark(self) -> None:
        """Go back from the results: which elements of which values reach them."""
        inputs = set(self.inputs)
        for slot in range(len(self.tape) - 1, -1, -1):
            if slot not in self.masks or self.link(slot) is None:
                continue
            for p, source in self.sources(slot):
                if source in inputs:
                    self.masks[source] = None
                    continue
                reached = self._reached(slot, p)
                if reached is not None and not reached.any():
                    continue
                known = self.masks.get(source, False)
                both = reached if known is False else None if known is None or reached is None else known | reached
                self.masks[source] = None if both is None or both.all() else both

    def _reached(self, slot: int, p: int) -> Mask:
        link = self.link(slot)
        assert link is not None
        # All of an argument of a function that is run again: what is asked of it is decided by what it does with it.
        return None if self.inner(slot) is not None else link.reached(self.masks[slot], p)

    # Forward.

    def curved_operands(self) -> list[int]:
        """Return the slots of operands that meet somewhere."""
        curved = [slot for slot in self.masks if self.is_curved(slot)]
        return sorted({source for slot in curved for _, source in self.sources(slot)})

    def _wanted(self, ends: Sequence[int]) -> bytearray:
        """Mark what the sets of some slots are made from, themselves included."""
        wanted = bytearray(len(self.tape))
        for slot in ends:
            wanted[slot] = 1
        for slot in range(len(self.tape) - 1, -1, -1):
            if wanted[slot]:
                for _, source in self.sources(slot):
                    wanted[source] = 1
        return wanted

    def forward(self, given: dict[int, Sets], ends: Sequence[int], meetings: Meetings | None = None) -> dict[int, Sets]:
        """Carry sets of the inputs forward to some slots, and enter what meets on the way; return those of the ends."""
        wanted, keep, last = self._wanted(ends), set(ends), {}
        for slot in range(len(self.tape)):
            for _, source in self.sources(slot) if slot in self.masks or wanted[slot] else ():
                last[source] = slot
        sets = dict(given)
        for slot in range(len(self.tape)):
            link = self.link(slot) if slot in self.masks or wanted[slot] else None
            if link is None:
                continue
            known = {p: sets[source] for p, source in self.sources(slot) if source in sets}
            self.at, self.is_volatile = slot, self.is_volatile or link.is_volatile
            made = self._step(slot, link, known, bool(wanted[slot]), meetings if slot in self.masks else None)
            if made is not None:
                sets[slot] = made
            for _, source in self.sources(slot):
                if last[source] == slot and source not in keep:
                    sets.pop(source, None)
        return {slot: sets[slot] for slot in ends if slot in sets}

    def _step(
        self, slot: int, link: Link, known: dict[int, Sets], wanted: bool, meetings: Meetings | None
    ) -> Sets | None:
        """Enter what meets in an operation, and return the sets of its result if they are wanted."""
        if not known:
            return None
        inner = self.inner(slot)
        if inner is not None:
            return self._run(slot, inner, known, wanted, meetings)
        meets = meetings is not None and bool(link.pairs)
        if link.dense and (meets or wanted):
            self.dense[slot] = [link.row.name]
        if meets and meetings is not None:
            link.second_order(known, self.masks[slot], meetings)
        return link.first_order(known) if wanted else None

    def _run(
        self, slot: int, inner: Walk, known: dict[int, Sets], wanted: bool, meetings: Meetings | None
    ) -> Sets | None:
        """Carry sets through the function that an operation runs."""
        link = self.link(slot)
        assert link is not None
        given = {at: known[p] for p, at in zip(link.active_of_all, inner.inputs, strict=True) if p in known}
        ends = [*(inner._results if wanted else ()), *(inner.curved_operands() if meetings is not None else ())]
        found = inner.forward(given, ends, meetings)
        self.is_volatile = self.is_volatile or inner.is_volatile
        if inner.dense:
            self.dense[slot] = [name for names in inner.dense.values() for name in names]
        return next((found[result] for result in inner._results if result in found), None) if wanted else None
