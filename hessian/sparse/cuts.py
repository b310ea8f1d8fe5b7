"""Which values of a function to cut: few numbers that depend on many variables, and in which everything would meet."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from hessian.linalg import limits
from hessian.sparse.links import Link, Mask
from hessian.sparse.meetings import Meetings
from hessian.sparse.sets import Sets
from hessian.sparse.walk import Walk
from hessian.tape.tape import Tape


def widest_of(n: int) -> int:
    """Return up to how many variables may meet in a value of n without its being cut: as many as it pays to have colors for."""
    return max(32, math.isqrt(n))


class CuttingWalk(Walk):
    """A walk behind which values that depend on more than ``widest`` variables, and on more than they have elements, depend on none.

    What a value is made of meets in it as before; what it is used in is taken to be a function of a constant. Values that no second
    derivative reaches have no sets, and are not cut.

    Attributes
    ----------
    cuts : list of int
        Slots of these values.
    """

    def __init__(self, tape: Tape, inputs: Sequence[int], results: dict[int, Mask], *, widest: int) -> None:
        super().__init__(tape, inputs, results)
        self.cuts: list[int] = []
        self._widest, self._numbers = widest, 0

    def _step(
        self, slot: int, link: Link, known: dict[int, Sets], wanted: bool, meetings: Meetings | None
    ) -> Sets | None:
        made = super()._step(slot, link, known, wanted, meetings)
        if made is None or made.size > limits.CUT_NUMBERS or self._numbers + made.size > 4 * limits.CUT_NUMBERS:
            return made
        longest = int(np.max(made.table.lengths(made.rows), initial=0))
        if longest <= max(self._widest, made.size):
            return made
        self.cuts.append(slot)
        self._numbers += made.size
        return None
