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
    """A walk behind which values that depend on more than ``widest`` variables depend on none, where that takes fewer numbers.

    What a value is made of meets in it as before; what it is used in is taken to be a function of a constant. Values that no second
    derivative reaches have no sets, and are not cut. If ``most`` is given, no more directions are taken, two for each element.

    Attributes
    ----------
    cuts : list of int
        Slots of these values.
    """

    def __init__(
        self, tape: Tape, inputs: Sequence[int], results: dict[int, Mask], *, n: int, widest: int, most: int | None
    ) -> None:
        super().__init__(tape, inputs, results)
        self.cuts: list[int] = []
        self._n, self._widest, self._most, self._numbers = n, widest, most, 0

    def _step(
        self, slot: int, link: Link, known: dict[int, Sets], wanted: bool, meetings: Meetings | None
    ) -> Sets | None:
        made = super()._step(slot, link, known, wanted, meetings)
        if made is None or not self._pays(made):
            return made
        self.cuts.append(slot)
        self._numbers += made.size
        return None

    def _pays(self, made: Sets) -> bool:
        """Tell whether a value is to be cut: by the columns that it gives, and the entries that it would give."""
        lengths = made.table.lengths(made.rows).astype(float)
        if not made.size or np.max(lengths) <= self._widest:
            return False
        directions = 2 * (self._numbers + made.size)
        if directions * (self._n + directions) > limits.CUT_NUMBERS or directions > (self._most or directions):
            return False
        return 2 * made.size * self._n < min(float(np.sum(lengths**2)), float(self._n) ** 2)
