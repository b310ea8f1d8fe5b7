r"""Powers of roots: products of values that are not smooth, and are smooth themselves.

:math:`|x|` has no derivative at 0 and :math:`\|x\|` none at the origin, their squares have: a chain rule that takes the
factors one by one meets 0 or NaN there. Rows say which powers of their results are smooth (:mod:`hessian.rules.smooth`). When a
product is recorded, the roots among its factors are looked up, through views, signs, multiples and quotients; enough equal
ones make the product smooth. Equal are a value and itself, and values that were computed separately in the same way
(:mod:`hessian.tape.numbering`). A tape without roots, which is nearly every tape, does none of this.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from hessian.rules import choices
from hessian.rules import elementwise as ew
from hessian.rules.indexing import assign_op, embed_op, gather_at_op, gather_op, gather_view_op, slice_op
from hessian.rules.pieces import assemble_op
from hessian.rules.products import matmul_op, matvec_op, vecdot_op, vecmat_op
from hessian.rules.reductions import sum_op
from hessian.rules.shaping import broadcast_op, concatenate_op, permute_op, reshape_op
from hessian.rules.smooth import smooth_op
from hessian.rules.spec import OPERATIONS, Operation, Traced
from hessian.tape.numbering import numbering
from hessian.tape.softplus import LOGARITHMS, halved
from hessian.tape.tape import Instruction, Tape

# Where nothing is left out, repeated or added up, these only cut the elements into other axes.
_CUTS = {reshape_op, permute_op, broadcast_op, slice_op, sum_op}
# Results whose every element is one of the first operand, or zero.
_PICKS = {reshape_op, permute_op, broadcast_op, slice_op, embed_op, gather_op, gather_view_op, gather_at_op}
# Results whose every element is one of some operand; the operands they choose among begin at a position.
_JOINS: dict[Operation, int] = {concatenate_op: 0, assign_op: 0, assemble_op: 0, OPERATIONS["where"]: 1}
# Of one operand, its factors are factors of the result.
_SIGNS = {ew.negative, ew.positive}
_CHOICES = {choices.maximum, choices.minimum, choices.fmax, choices.fmin}
_POWERS = {ew.power, ew.float_power}
# A product of more roots than these is looked through no further: the list is kept for every value.
_MOST = 16


def _joins(instruction: Instruction) -> bool:
    """Tell whether every element of a result is one of some operand; pieces that overlap add up."""
    if instruction.operation is not assemble_op:
        return instruction.operation in _JOINS
    seen, indices = np.zeros(instruction.params["shape"], bool), instruction.params["indices"]
    for index in indices:
        if seen[index].any():
            return False
        seen[index] = True
    return True


class Factor:
    """A root among the factors of a value, and the way from the value down to it.

    Attributes
    ----------
    root : int
        Its slot.
    view : int
        A number for the views it is seen through.
    shape : tuple of int
        Of what is seen.
    slot, position : int
        The instruction at this end of the way, and its operand that goes on; ``below`` is the rest of the way.
    weighted : bool
        Whether there is anything else than views on the way.
    """

    __slots__ = ("below", "position", "root", "shape", "slot", "view", "weighted")

    def __init__(
        self,
        root: int,
        view: int,
        shape: tuple[int, ...],
        slot: int,
        position: int,
        below: Factor | None,
        weighted: bool,
    ) -> None:
        self.root, self.view, self.shape = root, view, shape
        self.slot, self.position, self.below, self.weighted = slot, position, below, weighted


class Roots:
    """The roots on a tape; ``at`` returns the variable of a slot."""

    __slots__ = ("_at", "_factors", "_numbers", "_squares", "_tape", "_uncut", "_unseen")

    def __init__(self, tape: Tape, at: Callable[[int], Any]) -> None:
        self._tape = tape
        self._at = at
        self._numbers = numbering(tape)
        self._unseen = self._numbers.key("as it is")
        self._uncut: dict[int, tuple[int, tuple[int, ...]]] = {}
        self._factors: dict[int, tuple[Factor, ...]] = {}
        self._squares: dict[int, Any] = {}

    def _instruction(self, slot: int) -> Instruction:
        instruction = self._tape.instructions[slot]
        assert instruction is not None
        return instruction

    # Factors.

    def factors(self, slot: int) -> tuple[Factor, ...]:
        """Return the roots among the factors of a value."""
        known = self._factors
        pending = [slot]
        while pending:
            at = pending[-1]
            if at in known:
                pending.pop()
                continue
            unknown = [source for _, source in self._read(at) if source not in known]
            if unknown:
                pending += unknown
            else:
                known[at] = self._find(at)
        return known[slot]

    def _read(self, slot: int) -> list[tuple[int, int]]:
        """Return position and slot of the operands whose factors are factors of this value."""
        instruction, active = self._tape.instructions[slot], self._tape.active
        if instruction is None or not active[slot]:
            return []
        operation = instruction.operation
        if operation is ew.multiply or _joins(instruction):
            places = range(_JOINS.get(operation, 0), len(instruction.sources))
        elif operation in _PICKS or operation in _SIGNS or operation in (ew.divide, smooth_op) or self._keeps(slot):
            places = range(1)
        else:
            return []
        sources = instruction.sources
        return [(p, sources[p]) for p in places if sources[p] >= 0 and active[sources[p]]]

    def _find(self, slot: int) -> tuple[Factor, ...]:
        instruction, read = self._tape.instructions[slot], self._read(slot)
        if instruction is None or not self._tape.active[slot]:
            return ()
        operation = instruction.operation
        if _joins(instruction):
            return (self._itself(slot),) if any(self._factors[source] for _, source in read) else ()
        if operation.root is not None and is_root(self._tape, instruction):
            return (self._itself(slot),)
        if operation in _PICKS or operation is sum_op:
            seen = [
                (p, factor, *self._seen(factor, slot), factor.weighted) for p, s in read for factor in self._factors[s]
            ]
        else:
            bare = operation in (ew.positive, smooth_op)
            seen = [
                (p, factor, factor.view, factor.shape, factor.weighted or not bare)
                for p, s in read
                for factor in self._factors[s]
            ]
        if len(seen) > _MOST:
            return ()
        return tuple([Factor(f.root, view, shape, slot, p, f, weighted) for p, f, view, shape, weighted in seen])

    def _itself(self, slot: int) -> Factor:
        return Factor(slot, self._unseen, self._tape.values[slot].shape, slot, 0, None, False)

    def _seen(self, factor: Factor, slot: int) -> tuple[int, tuple[int, ...]]:
        """Return number and shape of a root seen through one more view."""
        instruction, numbers = self._instruction(slot), self._numbers
        below, shape = self._tape.values[instruction.sources[0]].shape, self._tape.values[slot].shape
        view = factor.view if factor.shape == below else numbers.key("spread", below, factor.view)
        if not self._keeps(slot):
            params = numbers.parameters(instruction.params)
            extra = [numbers.of(source) for source in instruction.sources[1:] if source >= 0]
            return numbers.key("view", instruction.operation, params, *extra, below, view), shape
        # However the elements, in their order, were cut into axes on the way: they end up alike.
        base, cut = self._uncut.get(view, (view, below))
        if shape == cut:
            return base, shape
        view = numbers.key("cut", cut, shape, base)
        self._uncut[view] = base, cut
        return view, shape

    def _keeps(self, slot: int) -> bool:
        """Tell whether a view or a sum keeps all elements in their order."""
        instruction, values = self._instruction(slot), self._tape.values
        operation, source = instruction.operation, instruction.sources[0] if instruction.sources else -1
        if operation not in _CUTS or source < 0 or values[source].size != values[slot].size:
            return False
        if operation is permute_op:
            lengths = values[source].shape
            moved = [axis % len(lengths) for axis in instruction.params["axes"] if lengths[axis] != 1]
            return moved == sorted(moved)
        if operation is slice_op:
            index = instruction.params["index"]
            return not any(isinstance(part, slice) and part.step is not None and part.step < 0 for part in index)
        return True

    # Products.

    def product(self, *sides: int, degree: int = 0) -> Any:
        """Return the product of values as a smooth function; ``None`` if their roots do not make it one.

        ``degree`` is the number of equal roots to look for; by default what the roots need.
        """
        for factor in self.factors(sides[0]):
            alike = [self._alike(factor, side) for side in sides]
            total = sum(map(len, alike))
            degrees = self._degrees(factor) or (len(sides),)
            wanted = next((d for d in degrees if d <= total and degree in (0, d)), 0)
            if wanted >= len(sides) and all(alike):
                return self._power(factor, wanted, sides, [len(group) for group in alike])
        return None

    def power(self, base: int, exponent: Any) -> Any:
        """Return the power of a value with a known exponent as a smooth function, or ``None``."""
        exponent = np.asarray(exponent)
        if exponent.dtype.kind not in "fiu" or not exponent.size or not np.all((exponent >= 2) & (exponent % 1 == 0)):
            return None
        whole = int(exponent.flat[0])
        for factor in self.factors(base):
            degrees = self._degrees(factor) or ((whole,) if np.all(exponent == whole) and whole <= _MOST else ())
            for degree in degrees:
                if np.all(exponent % degree == 0):
                    product = self.product(*[base] * degree, degree=degree)
                    return (
                        product
                        if product is None or np.all(exponent == degree)
                        else product ** (exponent // degree)[()]
                    )
        return None

    def _alike(self, factor: Factor, slot: int) -> list[Factor]:
        """Return the factors of a slot that are equal to one."""
        operation, numbers = self._instruction(factor.root).operation, self._numbers
        return [
            other
            for other in self.factors(slot)
            if other.view == factor.view
            and (
                other.root == factor.root
                or (
                    self._instruction(other.root).operation is operation
                    and numbers.of(other.root) == numbers.of(factor.root)
                )
            )
        ]

    def _degrees(self, factor: Factor) -> tuple[int, ...]:
        """Return how many equal factors are smooth; nothing if any number is."""
        root = self._instruction(factor.root).operation.root
        return (2,) if root is None else root.degrees

    def _power(self, factor: Factor, degree: int, sides: Sequence[int], available: Sequence[int]) -> Any:
        """Return the product of ``sides`` with ``degree`` roots equal to one taken together."""
        counts = [1] * len(sides)
        for i, count in enumerate(available):
            counts[i] += min(count - 1, degree - sum(counts))

        def product(a: Any, b: Any) -> Any:
            total: Any = 1
            for i, side in enumerate(sides):
                part = self._replaced(side, counts[i], factor, (a, b)[i] if i < 2 else 1)
                if not isinstance(part, int):
                    total = part if isinstance(total, int) else total * part
            return total

        instruction = self._instruction(factor.root)
        root = instruction.operation.root
        if root is None:
            return product(self._square_joined(factor.root), 1)
        return root.power(product, degree, *self._operands(instruction), **instruction.params)

    def _operands(self, instruction: Instruction) -> list[Any]:
        return [
            self._at(source) if source >= 0 else operand
            for source, operand in zip(instruction.sources, instruction.operands, strict=True)
        ]

    def _replaced(self, side: int, count: int, factor: Factor, value: Any) -> Any:
        """Return what a value is with ``value`` instead of one of its roots and 1 instead of ``count - 1`` others."""
        for _ in range(count - 1):
            side = self._substituted(self._alike(factor, side)[0], 1)._slot
        return self._substituted(self._alike(factor, side)[0], value)

    def _substituted(self, factor: Factor, value: Any) -> Any:
        """Return what stands at the end of the way from a root with another value for the root."""
        shape, dtype = self._tape.values[factor.root].shape, self._tape.values[factor.root].dtype
        if isinstance(value, int):
            if not factor.weighted:
                return value
            value = np.ones(shape, dtype)
        way = []
        while factor.below is not None:
            way.append(factor)
            factor = factor.below
        if way and np.shape(value) != shape:
            value = np.broadcast_to(value, shape)
        for step in reversed(way):
            instruction = self._instruction(step.slot)
            if instruction.operation is not smooth_op:
                operands = self._operands(instruction)
                operands[step.position] = value
                value = instruction.operation(*operands, **instruction.params)
        return value

    def _square_joined(self, slot: int) -> Any:
        """Return the square of what was put together of roots and other values: the squares, put together."""
        squares, pending = self._squares, [slot]
        while pending:
            instruction = self._instruction(pending[-1])
            start, sources = _JOINS[instruction.operation], instruction.sources
            joined = [s for s in sources[start:] if s >= 0 and self._is_joined(s)]
            unknown = [s for s in joined if s not in squares]
            if unknown:
                pending += unknown
                continue
            operands = self._operands(instruction)
            parts = [
                squares[s] if s in joined else np.square(x)
                for s, x in zip(sources[start:], operands[start:], strict=True)
            ]
            squares[pending.pop()] = instruction.operation(*operands[:start], *parts, **instruction.params)
        return squares[slot]

    def _is_joined(self, slot: int) -> bool:
        instruction = self._tape.instructions[slot]
        return instruction is not None and instruction.operation in _JOINS and bool(self.factors(slot))


def smooth_form(tape: Tape, slot: int, at: Callable[[int], Any]) -> Any:
    """Return the smooth function that what was recorded last is, if that is a product of roots; else ``None``.

    It has the derivatives from then on, what was written has the value.
    """
    instruction = tape.instructions[slot]
    assert instruction is not None
    if tape.roots is None:
        if instruction.operation.root is not None and is_root(tape, instruction):
            tape.roots = Roots(tape, at)
        return None
    if instruction.operation in LOGARITHMS:
        return halved(tape, slot, tape.roots.factors, at)
    product = _PRODUCTS.get(instruction.operation)
    smooth = None if product is None else product(tape.roots, instruction, at)
    if smooth is None:
        return None
    value = tape.values[slot]
    tape.active[slot] = False
    smooth = smooth if smooth.shape == value.shape else np.reshape(smooth, value.shape)
    return smooth if smooth.dtype == value.dtype else smooth.astype(value.dtype)


def is_root(tape: Tape, instruction: Instruction) -> bool:
    """Tell whether an operation whose row declares a root is one with the operands it has."""
    operation, operands, sources = instruction.operation, instruction.operands, instruction.sources
    if operation in _POWERS:
        exponent = operands[1]
        if sources[1] >= 0 or isinstance(exponent, Traced):
            return False
        return bool(np.any(np.asarray(exponent) % 1 != 0))
    if operation not in _CHOICES:
        return True
    for a, b in (sources, sources[::-1]):
        negated = tape.instructions[b] if b >= 0 else None
        if a >= 0 and negated is not None and negated.operation is ew.negative and negated.sources[0] >= 0:
            return numbering(tape).of(negated.sources[0]) == numbering(tape).of(a)
    return False


def _both(roots: Roots, instruction: Instruction, at: Any) -> Any:
    a, b = instruction.sources
    return roots.product(a, b) if a >= 0 and b >= 0 else None


def _square(roots: Roots, instruction: Instruction, at: Any) -> Any:
    (x,) = instruction.sources
    return roots.product(x, x)


def _power(roots: Roots, instruction: Instruction, at: Any) -> Any:
    a, b = instruction.sources
    exponent = instruction.operands[1]
    return None if a < 0 or b >= 0 or isinstance(exponent, Traced) else roots.power(a, exponent)


def _dot(roots: Roots, instruction: Instruction, at: Any) -> Any:
    """Sum the products of a row and a column, in whichever of the products of arrays."""
    a, b = instruction.sources
    if a < 0 or b < 0 or not roots.factors(a) or not roots.factors(b):
        return None
    operation, row, column = instruction.operation, at(a), at(b)
    if operation in (matmul_op, matvec_op):
        if row.shape[-2] != 1:
            return None
        row = row[..., 0, :]
    if operation in (matmul_op, vecmat_op):
        if column.shape[-1] != 1:
            return None
        column = column[..., 0]
    product = roots.product(row._slot, column._slot)
    # The axes of length one that the result has are put back by whoever asks for its shape.
    return None if product is None else np.sum(product, axis=-1)


_PRODUCTS: dict[Operation, Callable[[Roots, Instruction, Callable[[int], Any]], Any]] = {
    ew.multiply: _both,
    ew.square: _square,
    ew.power: _power,
    ew.float_power: _power,
    **dict.fromkeys((vecdot_op, matvec_op, vecmat_op, matmul_op), _dot),
}
