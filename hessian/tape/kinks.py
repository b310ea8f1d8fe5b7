"""One-sided slopes where a recorded function has kinks: |x| at 0, a maximum of equal numbers, a norm at the origin.

The derivative there is a convention of the operation. Along a direction d the slope f'(x; d) exists all the same: a forward
sweep in which each choice is made by the tangents of what is equal. Where f'(x; d) + f'(x; -d) is not zero, the function has a
kink and no derivative; where it is, kinks cancel, as in ``max(x, 0) + log1p(exp(-abs(x)))``.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from hessian.tape.steps import Step
from hessian.tape.sweeps import Linearization
from hessian.tape.trace import Trace

_CANCELS = 1e-6
"""Size of what is left of kinks that cancel, relative to theirs."""


class Slopes(NamedTuple):
    """Slopes at a kink: operations that have one, and the direction among those tried along which the slope is smallest."""

    names: tuple[str, ...]
    direction: list[Any]
    least: float


def kinked_slopes(traced: Trace, directions: Sequence[list[Any]]) -> Slopes | None:
    """Return the slopes to both sides along directions, or ``None`` where the function has a derivative along all of them."""
    linearization = traced.linearization()
    ties = {slot: mask for slot, _, step in linearization.steps if (mask := _tie(step)) is not None and mask.any()}
    output = linearization.outputs[0]
    if not ties or output is None:
        return None
    with np.errstate(all="ignore"):
        bars = linearization.cotangents()
        names = {step.operation.name for slot, _, step in linearization.steps if slot in ties}
        kinked, least, along = False, 0.0, directions[0]
        for direction in directions:
            total = size = 0.0
            for dots in (direction, [-d for d in direction]):
                slope, kinks = _slope(linearization, output, dots, ties, bars)
                total, size = total + slope, size + kinks
                if slope < least - _CANCELS * size:
                    least, along = slope, dots
            kinked = kinked or abs(total) > _CANCELS * size
    return Slopes(tuple(sorted(names)), along, least) if kinked else None


def _slope(
    linearization: Linearization, output: int, dots: list[Any], ties: dict[int, np.ndarray], bars: list[Any]
) -> tuple[float, float]:
    """Return the slope of the output to the side that tangents of the inputs lead to, and the size of what kinks have in it."""
    table: list[Any] = [None] * linearization.length
    for slot, t in zip(linearization.inputs, dots, strict=True):
        table[slot] = t
    size = 0.0
    for slot, sources, step in linearization.steps:
        given = [table[s] for s in sources]
        if slot not in ties:
            table[slot] = step.pushforward(given, 0)
        elif any(t is not None for t in given):
            table[slot] = _sided(step, given, ties[slot])
            if bars[slot] is not None:
                size += float(np.sum(np.abs(bars[slot] * table[slot]) * ties[slot]))
    return 0.0 if table[output] is None else float(table[output]), size


def _tie(step: Step) -> np.ndarray | None:
    """Return where the result is a kink of the operands, ``None`` for an operation that has none."""
    sides = step.operation.sides
    return None if sides is None else np.broadcast_to(sides.tie(step.y, *step.operands, **step.params), step.shape)


def _sided(step: Step, dots: list[Any], ties: np.ndarray) -> Any:
    """Return the tangent of the result to the side that tangents of the operands lead to."""
    full: list[Any] = [np.zeros(np.shape(x)) for x in step.operands]
    for p, t in zip(step.positions, dots, strict=True):
        if t is not None:
            full[p] = t
    there = step.operation.sides.slope(step.y, step.operands, full, **step.params)
    return np.where(ties, there, step.pushforward(dots, 0))
