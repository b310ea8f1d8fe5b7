"""What a function is a sum of, read off its tape: whether it is the mean of its terms, and not yet a log-likelihood."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from hessian.tape.tape import Tape
from hessian.tape.trace import Primal, Trace

# A factor of one half stands before squares as often as it makes a mean of two.
_LEAST = 3
# Weight from which on terms are no part of a mean.
_WHOLE = 0.5


@dataclass(frozen=True)
class Terms:
    """An array whose sum is part of a function: its shape, and what it is multiplied with."""

    shape: tuple[int, ...]
    weight: float

    @property
    def size(self) -> int:
        """How many terms."""
        return int(np.prod(self.shape))


def terms_of(f: Callable[..., Any], x: Any, args: tuple[Any, ...]) -> list[Terms]:
    """Return the arrays that f adds up: followed from its value back through sums, differences and factors, each on the way.

    A mean of halves is a mean of halves, and half a mean.
    """
    trace = Trace(Primal(x, "summary"), lambda point: f(point, *args), where="summary")
    tape, found = trace.tape, []
    left = [(slot, 1.0) for slot in trace.slots if slot is not None]
    while left:
        slot, weight = left.pop()
        instruction, shape = tape.instructions[slot], np.shape(tape.values[slot])
        if np.prod(shape) > 1:
            found.append(Terms(shape, weight))
        if instruction is None:
            continue
        name, operands = instruction.operation.name, _operands(tape, instruction)
        if name in _LINEAR:
            left += _LINEAR[name](instruction, operands, weight, shape)
        elif not shape and name not in _PICKED:
            # What one number is made of: the products that a scalar product adds up, for one.
            found.append(Terms(max(map(np.shape, operands), key=np.prod, default=()), weight))
    return found


def _operands(tape: Tape, instruction: Any) -> list[Any]:
    """What an instruction reads, in numbers."""
    return [
        tape.values[source] if source >= 0 else operand
        for source, operand in zip(instruction.sources, instruction.operands, strict=True)
    ]


Parts = list[tuple[int, float]]


def _sum(*signs: float) -> Any:
    """Parts of the shape of the whole: one that is repeated is as many terms as it is repeated."""

    def parts(instruction: Any, operands: list[Any], weight: float, shape: tuple[int, ...]) -> Parts:
        triples = zip(instruction.sources, operands, signs, strict=True)
        return [(source, sign * weight) for source, part, sign in triples if source >= 0 and np.shape(part) == shape]

    return parts


def _same(instruction: Any, operands: list[Any], weight: float, shape: tuple[int, ...]) -> Parts:
    return [(instruction.sources[0], weight)]


def _product(instruction: Any, operands: list[Any], weight: float, shape: tuple[int, ...]) -> Parts:
    for k in (0, 1):
        if instruction.sources[1 - k] < 0 and np.ndim(operands[1 - k]) == 0:
            return [(instruction.sources[k], weight * float(operands[1 - k]))]
    return []


def _quotient(instruction: Any, operands: list[Any], weight: float, shape: tuple[int, ...]) -> Parts:
    if instruction.sources[1] < 0 and np.ndim(operands[1]) == 0:
        return [(instruction.sources[0], weight / float(operands[1]))]
    return []


# One element of an array.
_PICKED = ("slice", "take", "item", "gather", "gather_view", "gather_at")
_LINEAR: dict[str, Any] = {
    "add": _sum(1.0, 1.0),
    "subtract": _sum(1.0, -1.0),
    "negative": _sum(-1.0),
    "positive": _sum(1.0),
    "sum": _same,
    "reshape": _same,
    "astype": _same,
    "cast": _same,
    "multiply": _product,
    "divide": _quotient,
}


def missing_factor(terms: list[Terms], scale: float) -> tuple[int, float] | None:
    """Return how many terms scale * f is the mean of, and what the scale should be; ``None`` where nothing says so.

    The most numerous terms decide. They are a mean where their weight is one over their number (or half of that, before squares), or
    over that of their rows or columns, and nothing as numerous is added up whole.
    """
    most = max((found.size for found in terms), default=0)
    largest = [(found, abs(found.weight) * scale) for found in terms if found.size == most]
    for found, weight in largest:
        for count in sorted({most, *found.shape}, reverse=True):
            if count < _LEAST:
                continue
            is_mean = min(abs(weight * count - 1.0), abs(weight * count - 0.5)) < 1e-9
            if is_mean and all(other < _WHOLE for _, other in largest):
                return count, scale * count
            if abs(weight / count - 1.0) < 1e-9 and scale != 1.0:
                return count, scale / count
    return None


def scale_note(f: Callable[..., Any], x: Any, args: tuple[Any, ...], scale: float) -> str:
    """Say so where scale * f is the mean of its terms, or many times their sum; nothing where it may be a log-likelihood."""
    factor = missing_factor(terms_of(f, x, args), scale)
    if factor is None:
        return ""
    count, meant = factor
    given = "f" if scale == 1.0 else "scale * f"
    is_mean = f"is the mean of {count} terms, and a log-likelihood is their sum"
    return f"{given} {is_mean if meant > scale else f'is {count} times the sum of its terms'}: pass scale={meant:g}."
