"""One instruction of a tape as index sets see it: what operands reach results, what results depend on, what meets nonlinearly.

Kinds of rows are told apart by what they say of themselves (:mod:`hessian.rules.spec`), never by name. A mask says which elements matter;
``None`` is all of them.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from functools import cached_property, partial
from typing import Any

import numpy as np
from scipy.sparse import csr_array

from hessian.rules import patterns
from hessian.rules.reductions import cumsum_op
from hessian.rules.spec import NONDIFF, Bilinear, Elementwise, General, Linear, Traced
from hessian.sparse import products
from hessian.sparse.meetings import Meetings
from hessian.sparse.sets import Sets, common, grouped, multiplied, stacked, united
from hessian.tape.array_methods import primal_array
from hessian.tape.tape import Instruction

Mask = np.ndarray | None
_UNITS = 2**24
"""Numbers in the unit vectors that a linear map without a pattern is asked about; above it is taken to be dense."""


@functools.lru_cache(maxsize=256)
def _stand_in(shape: tuple[int, ...]) -> np.ndarray:
    """Return an array of a shape whose numbers nobody reads, in the memory of one."""
    return np.ndarray(shape, float, b"\0" * 8, 0, (0,) * len(shape))


class Link:
    """An instruction with what index sets need of it.

    Parameters
    ----------
    instruction : Instruction
    shape : tuple of int
        Of the result.
    active : list of int
        Numbers of the operands that carry derivatives.

    Attributes
    ----------
    dense : bool
        Whether the row says no pattern, so that everything depends on everything it reads.
    is_volatile : bool
        Whether the pattern depends on numbers that are not constants: positions that are computed.
    """

    def __init__(self, instruction: Instruction, shape: tuple[int, ...], active: list[int]) -> None:
        self.row, self.params, self.active = instruction.operation, instruction.params, active
        self.y, self._sources = _stand_in(shape), instruction.sources
        states = self.row.states or (None,) * len(instruction.operands)
        self.active_of_all = [p for p, state in enumerate(states) if state is None]
        self.xs: list[Any] = []
        self.is_volatile = False
        says = getattr(self.row, "says", None)
        operands, sources = instruction.operands, instruction.sources
        self.constant = [s < 0 and not isinstance(x, Traced) for s, x in zip(sources, operands, strict=True)]
        for p, x in enumerate(operands):
            if p in active:
                self.xs.append(_stand_in(np.shape(x)))
                continue
            read = states[p] is NONDIFF and not isinstance(self.row, Elementwise)
            self.is_volatile |= read and not self.constant[p]
            self.xs.append(primal_array(x) if isinstance(x, Traced) else x)
        self.dense = not isinstance(self.row, Elementwise | Bilinear) and says is None
        if isinstance(self.row, Linear):
            self.dense = says is None and sum(np.size(x) ** 2 for x in self.xs) + self._cells() > _UNITS
        if self.row is cumsum_op:
            self.dense = self._cells() > _UNITS

    def _cells(self) -> int:
        return sum(np.size(self.xs[p]) for p in self.active) * self.y.size

    @property
    def pairs(self) -> list[tuple[int, int]]:
        """Pairs of operands that meet in second derivatives."""
        row, active = self.row, self.active
        every = [(i, j) for i in active for j in active if i <= j]
        if isinstance(row, Linear):
            return []
        if isinstance(row, Elementwise):
            return [pair for pair in every if row.d2 is None or row.d2.get(pair, 0)]
        if isinstance(row, Bilinear):
            return [(0, 1)] if len(active) > 1 else []
        return every if not isinstance(row, General) or row.curved else []

    # Shared parts.

    @cached_property
    def _function(self) -> Any:
        return partial(self.row.function, **self.params)

    def _broadcast(self, p: int) -> np.ndarray | None:
        """Return which element of an operand stands beside an element of the result; ``None`` if they are the same."""
        shape = np.shape(self.xs[p])
        if shape == self.y.shape:
            return None
        return np.broadcast_to(np.arange(np.size(self.xs[p])).reshape(shape), self.y.shape).ravel()

    @cached_property
    def _absent(self) -> dict[int, np.ndarray]:
        """Where the result does not depend on an operand, by itself or by constants: sides not taken, factors of zero, x - x."""
        row: Any = self.row
        if not isinstance(row, Elementwise):
            return {}
        cancelled = self._cancelled()
        found = dict.fromkeys(cancelled, np.ones(self.y.size, bool)) if cancelled else {}
        if not any(self.constant):
            return found
        states = [state for state in row.d1 if state is NONDIFF]
        by_choice = row.selects and bool(states)
        by_choice &= all(c for c, state in zip(self.constant, row.d1, strict=True) if state is NONDIFF)
        for p in self.active:
            # Its slope depends on what it meets alone, if on anything.
            met = [q for q in range(len(self.xs)) if row.d2 is None or row.d2.get((p, q), 0)]
            by_factor = not row.kinks and bool(met) and all(self.constant[q] for q in met)
            if callable(row.d1[p]) and (by_choice or by_factor):
                slope = row.formulas[p](self.y, *self.xs, **self.params)
                off = np.broadcast_to(np.equal(slope, 0), self.y.shape).ravel()
                if off.any():
                    found[p] = off
        return found

    def _cancelled(self) -> list[int]:
        """Return operands that are one value with slopes that add up to zero."""
        row: Any = self.row
        slopes: dict[int, float] = {}
        for p in self.active:
            if not isinstance(row.d1[p], int | float):
                return []
            slopes[self._sources[p]] = slopes.get(self._sources[p], 0.0) + row.d1[p]
        return [p for p in self.active if slopes[self._sources[p]] == 0.0]

    @cached_property
    def _goals(self) -> list[np.ndarray]:
        """Which element of the result an element of an operand is added to; negative for none."""
        numbers, shapes = np.arange(1, self.y.size + 1).reshape(self.y.shape), [np.shape(x) for x in self.xs]
        row: Any = self.row
        if row.variadic:
            pieces = row.transpose(numbers, range(len(self.xs)), shapes, **self.params)
        else:
            pieces = [row.transpose(numbers, shapes[0], **self.params)]
        return [np.asarray(piece).ravel() - 1 for piece in pieces]

    @cached_property
    def _matrices(self) -> list[csr_array | None]:
        """Where Jacobians are not zero."""
        row: Any = self.row
        if isinstance(row, Linear | General) and callable(row.says):
            said = row.says(self.y, self.xs, **self.params)
        elif isinstance(row, Linear):
            said = patterns.acting(self._function, self.y, self.xs)
        else:
            said = row.pattern(self.y, self.xs, **self.params).jacobians
        return [patterns.as_matrix(matrix) for matrix in said]

    @cached_property
    def _blocks(self) -> tuple[np.ndarray, list[csr_array]]:
        """The block of every element of the result, and the elements of operands in every block."""
        row: Any = self.row
        if row.core:
            of_y, members = patterns.blocks(row.core, self.y, self.xs)
        else:
            of_y, members = patterns.lines(self.params["axes"], self.y, self.xs)
        return csr_array(of_y).indices.astype(np.intp), [csr_array(matrix) for matrix in members]

    @property
    def _way(self) -> str:
        row: Any = self.row
        if self.dense:
            return "dense"
        if isinstance(row, Elementwise):
            return "elements"
        if isinstance(row, Bilinear):
            return "labels"
        if isinstance(row, Linear) and isinstance(row.says, str):
            return row.says
        if isinstance(row, General) and isinstance(row.says, str):
            return "blocks"
        return "matrices"

    # What matters of the operands.

    def reached(self, mask: Mask, p: int) -> Mask:
        """Return which elements of an operand reach elements of the result that matter."""
        size = int(np.size(self.xs[p]))
        way = self._way
        if p in self._absent:
            off = self._absent[p]
            mask = ~off if mask is None else mask & ~off
        if way == "dense" or (mask is None and way in ("elements", "labels", "blocks")):
            return None
        if way == "elements":
            at = self._broadcast(p)
            return mask if at is None else _marked(size, at[mask])
        if way == "labels":
            return _marked(size, products.partners(self.row, self.y, self.xs, mask)[p])
        if way == "blocks":
            of_y, members = self._blocks
            inside = _marked(members[p].shape[0], of_y[mask])
            return None if inside is None else _reduced(members[p].T @ inside > 0)
        if way == "positions":
            return self._origins(mask, p)
        if way == "transpose":
            goals = self._goals[p]
            return _reduced(goals >= 0 if mask is None else (goals >= 0) & mask[goals])
        matrix = self._matrices[p]
        weights = np.ones(self.y.size) if mask is None else mask.astype(float)
        return None if matrix is None else _reduced(matrix.T @ weights > 0)

    def _origins(self, mask: Mask, p: int) -> Mask:
        """Return which elements of an operand are moved to where they matter."""
        size, shape = int(np.size(self.xs[p])), np.shape(self.xs[p])
        numbers = [
            np.arange(1, size + 1).reshape(shape) if i == p else np.broadcast_to(np.zeros((), np.intp), np.shape(x))
            for i, x in enumerate(self.xs)
        ]
        origins = np.asarray(self._function(*numbers)).ravel() - 1
        return _marked(size, origins[origins >= 0] if mask is None else origins[mask & (origins >= 0)])

    # What the result depends on.

    def first_order(self, sets: dict[int, Sets]) -> Sets | None:
        """Return the sets of the result from those of the operands that depend on some input."""
        if not sets or not self.y.size:
            return None
        way = self._way
        if way == "dense":
            return common(_everything(sets.values()), self.y.size, next(iter(sets.values())).table.n)
        if way == "elements":
            return self._together(sets)
        if way == "labels":
            return _sum([products.results(self, p, x) for p, x in sets.items()])
        if way == "positions":
            return self._moved(sets)
        if way == "transpose":
            return self._added(sets)
        if way == "blocks":
            of_y, members = self._blocks
            each = _sum([multiplied(members[p], x) for p, x in sets.items()])
            return Sets(each.rows[of_y], each.table)
        matrices = [(self._matrices[p], x) for p, x in sets.items()]
        known = [multiplied(matrix, x) for matrix, x in matrices if matrix is not None]
        return _sum(known) if known else None

    def _together(self, sets: dict[int, Sets]) -> Sets:
        """Return the unions element by element, with broadcasting."""
        if not self._absent.keys().isdisjoint(sets):
            return _sum([self._without(p, x) for p, x in sets.items()])
        numbers = [x for p, x in sets.items() if np.size(self.xs[p]) == 1]
        arrays = {p: x for p, x in sets.items() if np.size(self.xs[p]) > 1}
        if numbers and arrays and len(arrays) == 1:
            # One set joins the sets of all: before they are repeated.
            ((p, own),) = arrays.items()
            one = _sum(numbers)
            whole = _with_one(own, one)
            at = self._broadcast(p)
            return whole if at is None else Sets(whole.rows[at], whole.table)
        result = None
        for p, x in sets.items():
            at = self._broadcast(p)
            placed = x if at is None else Sets(x.rows[at], x.table)
            result = placed if result is None else united(result, placed)
        assert result is not None
        return result

    def _without(self, p: int, sets: Sets) -> Sets:
        """Return the sets of one operand beside the result, none where constants take it away."""
        at, off = self._broadcast(p), self._absent.get(p)
        rows = sets.rows if at is None else sets.rows[at]
        return Sets(rows if off is None else np.where(off, -1, rows), sets.table)

    def _moved(self, sets: dict[int, Sets]) -> Sets | None:
        parts, table = stacked([sets.get(p) for p in range(len(self.xs))])
        if table is None:
            return None
        rows = [
            np.broadcast_to(np.zeros((), np.intp), np.shape(x))
            if part is None
            else (part.rows + 1).reshape(np.shape(x))
            for part, x in zip(parts, self.xs, strict=True)
        ]
        return Sets(np.asarray(self._function(*rows)).ravel().astype(np.intp) - 1, table)

    def _added(self, sets: dict[int, Sets]) -> Sets | None:
        numbers = sorted(sets)
        parts, table = stacked([sets[p] for p in numbers])
        if table is None:
            return None
        rows = np.concatenate([part.rows for part in parts if part is not None])
        goals = np.concatenate([self._goals[p] for p in numbers])
        inside = goals >= 0
        if self.y.size > 1 and np.bincount(goals[inside], minlength=1).max(initial=0) <= 1:
            moved = np.full(self.y.size, -1)
            moved[goals[inside]] = rows[inside]
            return Sets(moved, table)
        return grouped(Sets(rows, table), goals, self.y.size)

    # What meets.

    def second_order(self, sets: dict[int, Sets], mask: Mask, meetings: Meetings) -> None:
        """Enter which inputs meet in second derivatives of results that matter."""
        pairs = [(i, j) for i, j in self.pairs if i in sets and j in sets]
        if not pairs or not self.y.size:
            return
        way = self._way
        if way == "elements":
            self._elements_meet(sets, pairs, mask, meetings)
        elif way == "labels":
            for a, b in products.meetings(self, sets, mask):
                meetings.cross(a, b)
        elif way == "dense":
            meetings.cliques(common(_everything(sets.values()), 1, meetings.n))
        elif way == "blocks":
            of_y, members = self._blocks
            each = _sum([multiplied(members[p], x) for p, x in sets.items()])
            meetings.cliques(each if mask is None else each.where(_marked(members[0].shape[0], of_y[mask])))
        elif isinstance(self.row, General):
            result = self.first_order(sets)
            if result is not None:
                meetings.cliques(result.where(mask))
        else:
            said = self.row.pattern(self.y, self.xs, **self.params)
            for i, j, a, b in said.pairs:
                if (i, j) in pairs or (j, i) in pairs:
                    meetings.cross(multiplied(csr_array(a), sets[i]), multiplied(csr_array(b), sets[j]))

    def _elements_meet(
        self, sets: dict[int, Sets], pairs: Sequence[tuple[int, int]], mask: Mask, meetings: Meetings
    ) -> None:
        if len(pairs) == len(sets) * (len(sets) + 1) // 2:
            meetings.cliques(self._together(sets).where(mask))
            return
        for i, j in pairs:
            if i == j:
                meetings.cliques(sets[i].where(self.reached(mask, i)))
                continue
            for p, q in ((i, j), (j, i)):
                if np.size(self.xs[p]) == 1 and np.size(self.xs[q]) > 1:
                    # A number meets everything: one row for it, one for all.
                    others = sets[q].where(self.reached(mask, q))
                    meetings.cross(sets[p], common(others.everything(), 1, meetings.n))
                    break
            else:
                placed = []
                for p in (i, j):
                    at = self._broadcast(p)
                    placed.append((sets[p] if at is None else Sets(sets[p].rows[at], sets[p].table)).where(mask))
                meetings.cross(*placed)


def _marked(size: int, at: np.ndarray) -> Mask:
    mark = np.zeros(size, bool)
    mark[at] = True
    return _reduced(mark)


def _reduced(mask: np.ndarray) -> Mask:
    return None if mask.all() else mask


def _sum(parts: Sequence[Sets]) -> Sets:
    total = parts[0]
    for part in parts[1:]:
        total = united(total, part)
    return total


def _everything(parts: Any) -> np.ndarray:
    members = [part.everything() for part in parts]
    return members[0] if len(members) == 1 else np.unique(np.concatenate(members))


_JOINED = 5 * 10**7


def _with_one(own: Sets, one: Sets) -> Sets:
    """Return the sets of an array with one more set in each."""
    extra = one.everything()
    n = own.table.n
    if len(extra) == n or len(extra) * own.size > _JOINED:
        # All of them, or too many to write down: then everything that any element depends on, which is sound.
        members = np.union1d(extra, own.everything()) if len(extra) < n else extra
        return common(members, own.size, n)
    return united(own, common(extra, own.size, n))
