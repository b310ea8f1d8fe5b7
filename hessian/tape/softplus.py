r"""log(1 + exp(-|x|)): half of it is smooth where x is 0.

.. math::

    \log(1 + e^u) = \frac{u}{2} + \log 2 + \frac{u^2}{8} - \frac{u^4}{192} + \frac{u^6}{2880} - \frac{17 u^8}{645120} + O(u^{10})

The sum after u/2 is even in u: with u = -|x| it has all derivatives at 0, of which a chain rule that meets the convention
:math:`|x|' = 0` sees nothing. It is how a logistic loss is written against overflow, ``max(x, 0) + log1p(exp(-abs(x)))``, and a
logarithm of cosh; the kinks of what is added, and of u/2, are those that cancel.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from hessian.rules import elementwise as ew
from hessian.rules.spec import Traced
from hessian.tape.tape import Instruction, Tape

LOGARITHMS = {ew.log1p, ew.log, ew.logaddexp}
_EVEN = (1 / 8, -1 / 192, 1 / 2880, -17 / 645120)


def halved(tape: Tape, slot: int, has_roots: Callable[[int], Any], at: Callable[[int], Any]) -> Any:
    """Return what was written with its smooth half spelled out where the exponent is zero; ``None`` if it is something else."""
    instruction = tape.instructions[slot]
    assert instruction is not None
    exponent = _exponent(tape, instruction)
    if exponent is None or not has_roots(exponent):
        return None
    u, written = at(exponent), at(slot)
    if u.shape != written.shape:
        return None
    square = np.square(u)
    even = square * 0.0
    for coefficient in reversed(_EVEN):
        even = square * (even + coefficient)
    return np.where(np.equal(u, 0), u / 2 + even + math.log(2), written)


def _exponent(tape: Tape, instruction: Instruction) -> int | None:
    """Return the slot of u in log1p(exp(u)), log(1 + exp(u)) and logaddexp(0, u)."""
    operation, sources, operands = instruction.operation, instruction.sources, instruction.operands
    if operation is ew.logaddexp:
        return _beside(sources, operands, 0)
    power = sources[0]
    if operation is ew.log:
        total = _made_by(tape, power, ew.add)
        beside = None if total is None else _beside(total.sources, total.operands, 1)
        power = -1 if beside is None else beside
    made = _made_by(tape, power, ew.exp)
    return None if made is None or made.sources[0] < 0 else made.sources[0]


def _made_by(tape: Tape, slot: int, operation: Any) -> Instruction | None:
    made = tape.instructions[slot] if slot >= 0 else None
    return made if made is not None and made.operation is operation else None


def _beside(sources: tuple[int, ...], operands: tuple[Any, ...], constant: float) -> int | None:
    """Return the slot of an operand whose other one is a constant."""
    for i, other in ((0, 1), (1, 0)):
        if (
            sources[i] >= 0 > sources[other]
            and not isinstance(operands[other], Traced)
            and np.all(operands[other] == constant)
        ):
            return sources[i]
    return None
