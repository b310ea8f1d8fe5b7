"""A glance at a tape before its pattern is looked for: elements that depend on many variables and enter nonlinearly settle it.

Shapes alone say where such elements may be; walking back from one shows it. The walk over all sets, which would find the same in the
end, takes as long as many products.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from hessian.rules.spec import Bilinear, Elementwise, General, Linear, Traced
from hessian.sparse.links import Mask
from hessian.sparse.walk import Walk
from hessian.tape.tape import Instruction, Tape, reaching


@dataclass(frozen=True)
class _Sum:
    """Elements of a value that an element of a later one adds up, or otherwise depends on together.

    Attributes
    ----------
    slot : int
        Of the value.
    mask : ndarray of bool, or None
        Which elements; ``None`` for those that one in the middle of the result at the slot depends on.
    count : float
        How many they are, about.
    share : float
        Share of them that is multiplied with something else than zero.
    """

    slot: int
    mask: np.ndarray | None
    count: float
    share: float = 1.0


def is_wide(tape: Tape, inputs: Sequence[int], results: Sequence[int], widest: int) -> bool:
    """Tell whether an element that enters nonlinearly depends on more than so many variables; ``False`` where a glance does not tell."""
    n = sum(int(np.size(tape.values[slot])) for slot in inputs)
    if n <= widest:
        return False
    found = _widest(tape, inputs, results, n, widest)
    if found is None:
        return False
    part, enough = found
    return part.share * _variables(tape, inputs, part) > enough


def _widest(
    tape: Tape, inputs: Sequence[int], results: Sequence[int], n: int, widest: int
) -> tuple[_Sum, float] | None:
    """Return what an operation with second derivatives reads that may depend on so many variables, and how many are too many there."""
    reached = reaching(tape, results)
    sums: dict[int, _Sum | None] = dict.fromkeys(inputs)
    for slot, instruction in enumerate(tape.instructions):
        if instruction is None or not reached[slot]:
            continue
        active = [source for source in instruction.sources if source in sums]
        if not active:
            continue
        row = instruction.operation
        part = max((sums[source] for source in active), key=_count)
        if not isinstance(row, Elementwise | Bilinear) or (isinstance(row, Bilinear) and len(active) < 2):
            part = max(part, _joined(slot, instruction, active, tape), key=_count)
        enough = _enough(instruction, tape, slot, n, widest)
        if part is not None and _count(part) > enough:
            return part, enough
        sums[slot] = part
    return None


def _enough(instruction: Instruction, tape: Tape, slot: int, n: int, widest: int) -> float:
    """Return beyond how many variables of an element an operation has more second derivatives than so many products give."""
    row, sources = instruction.operation, instruction.sources
    active = [p for p, source in enumerate(sources) if source >= 0]
    if isinstance(row, Elementwise):
        if row.d2 is None or any(row.d2.get((p, p), 0) for p in active):
            return widest
        is_product = len(active) > 1 and any(row.d2.values())
    else:
        is_product = isinstance(row, Bilinear) and len(active) > 1
        if isinstance(row, General) and row.curved:
            return widest
    if not is_product:
        return math.inf
    if sources[active[0]] == sources[active[1]]:
        return widest
    # Each of so many elements meets as many variables, in pairs that are there twice at most.
    pairs = max(int(np.size(tape.values[sources[p]])) for p in active)
    return 2.0 * n * widest / max(pairs, 1)


def _count(part: _Sum | None) -> float:
    return 1.0 if part is None else part.count * part.share


def _joined(slot: int, instruction: Instruction, active: list[int], tape: Tape) -> _Sum | None:
    """Guess what an element of a result depends on of an operand."""
    row: Any = instruction.operation
    if isinstance(row, Bilinear):
        return _contracted(instruction, tape) if len(active) == 1 else None
    if (isinstance(row, Linear) and row.says == "transpose") or isinstance(row, General):
        sizes = [int(np.size(tape.values[source])) for source in active]
        return _Sum(slot, None, max(sizes) / max(np.size(tape.values[slot]), 1))
    return None


def _contracted(instruction: Instruction, tape: Tape) -> _Sum | None:
    """Return the elements of an operand that a product with constants adds up for one element of its result."""
    row: Any = instruction.operation
    p = next(p for p, source in enumerate(instruction.sources) if source >= 0)
    other = instruction.operands[1 - p]
    shape, names = np.shape(tape.values[instruction.sources[p]]), row.labels[p]
    lead = len(shape) - len(names)
    index = tuple(
        slice(None) if k >= lead and names[k - lead] not in row.labels[2] else n // 2 for k, n in enumerate(shape)
    )
    if isinstance(other, Traced) or 0 in shape or not np.size(other) or slice(None) not in index:
        return None
    count = math.prod(n for n, at in zip(shape, index, strict=True) if at == slice(None))
    share = np.count_nonzero(other) / np.size(other)
    mask = np.zeros(shape, bool)
    mask[index] = True
    return _Sum(instruction.sources[p], mask.ravel(), float(count), share)


def _variables(tape: Tape, inputs: Sequence[int], start: _Sum) -> int:
    """Count the variables that elements of a value depend on; 0 where that is not seen by walking back."""
    one = start.mask
    if one is None:
        size = int(np.size(tape.values[start.slot]))
        one = np.zeros(size, bool)
        one[size // 2] = True
    masks: dict[int, Mask] = {start.slot: one}
    walk = Walk(tape, inputs, {})
    for slot in range(start.slot, -1, -1):
        link = walk.link(slot) if slot in masks else None
        if link is None:
            continue
        if walk.inner(slot) is not None:
            return 0
        mask = masks.pop(slot)
        for p, source in walk.sources(slot):
            reached = link.reached(mask, p)
            if source in masks:
                known = masks[source]
                reached = None if known is None or reached is None else known | reached
            masks[source] = reached
    found = [(masks[slot], int(np.size(tape.values[slot]))) for slot in inputs if slot in masks]
    return sum(size if mask is None else int(np.count_nonzero(mask)) for mask, size in found)
