"""Patterns of recorded functions: index sets go back from the results to what matters, then forward from the inputs.

A pattern holds for every point at which the function does the same operations, whatever its numbers are: it may name an entry that is
zero, and never misses one that is not.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from scipy.sparse import csr_array

from hessian.errors import HessianError, TooDenseError, message
from hessian.programs.runtime.arguments import Arguments
from hessian.programs.runtime.functions import programs_of
from hessian.programs.tasks import Composition
from hessian.sparse.glance import is_wide
from hessian.sparse.links import Link, Mask
from hessian.sparse.meetings import Meetings, TooDense
from hessian.sparse.sets import Sets, Table, identity
from hessian.sparse.walk import Walk
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

    def trace(self, make: Callable[[], Tape], *, borrows: bool = True) -> tuple[Trace, bool]:
        """Run the function on a tape; second, whether what other arguments decide could not be told from what is constant."""
        f = programs_of(self.f).function
        numbers = (self.argnums,) if isinstance(self.argnums, int) else self.argnums
        arguments = Arguments(self.args, self.kwargs, numbers)
        if arguments.traced:
            return self._run(f, self.args, self.kwargs, make), True
        # Arguments are values of a tape around: what is decided by their numbers is told from what is constant.
        outer = Tape(replayed=True, borrows=borrows)
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
    """The walk over the tape of a function, from its raveled arguments."""

    def __init__(self, source: Source, traced: Trace | None, kind: Callable[..., Walk] = Walk) -> None:
        self.source = source
        self.traced, self.is_volatile = source.trace(_tape) if traced is None else (traced, True)
        self.n = self.traced.primal.size
        results: dict[int, Mask] = {slot: None for slot in self.traced.slots if slot is not None}
        self.walk = kind(self.traced.tape, self.traced.inputs, results)

    def inputs(self) -> dict[int, Sets]:
        """Return the sets of the inputs."""
        table, start, sets = Table(self.n), 0, {}
        for slot, shape in zip(self.traced.inputs, self.traced.primal.shapes, strict=True):
            sets[slot] = identity(start, math.prod(shape), table)
            start += math.prod(shape)
        return sets

    def detection(self, matrix: csr_array) -> Detection:
        """Return a pattern with what is known of it."""
        reasons: list[str] = []
        if self.walk.dense:
            lines = self.source.lines()
            for slot, names in self.walk.dense.items():
                reasons += [f"{name}, at {lines[slot]}" if lines.get(slot) else name for name in names]
        return Detection(matrix, tuple(dict.fromkeys(reasons)), self.is_volatile or self.walk.is_volatile)

    def named(self, slot: int | None) -> str:
        """Name the operation at a slot, and the user's line."""
        instruction = None if slot is None else self.traced.tape.instructions[slot]
        if slot is None or instruction is None:
            return "the function"
        return f"{instruction.operation.name}, at {self.source.lines().get(slot) or 'a line that is not known'},"

    def refusal(self, slot: int | None) -> TooDenseError:
        """Return the error for a pattern that is too dense because of the operation at a slot, or of all together."""
        what = f"{self.named(slot)} makes the pattern of {self.n} variables dense: it has more than {MOST_ENTRIES:.0e} entries"
        why = "a sparse matrix of it would not fit in memory"
        fix = "Use hs.HessianOperator(f, x) (or hs.JacobianOperator), which multiplies with it"
        return TooDenseError(message(self.source.where, what, why, fix))


def hessian_pattern(
    source: Source,
    traced: Trace | None = None,
    widest: int | None = None,
    kind: Callable[..., Walk] = Walk,
) -> Detection:
    """Return where second derivatives of a scalar function may be.

    Where the function is traced already, the pattern is that of this point. It is given up, by :class:`TooDense`, where more than
    ``widest`` variables meet one another, so that it takes more products than that. The walk may be of another ``kind``.
    """
    whole = _Walk(source, traced, kind)
    whole.traced.scalar()
    walk = whole.walk
    if widest is not None and kind is Walk and is_wide(walk.tape, walk.inputs, list(walk.masks), widest):
        raise TooDense
    walk.mark()
    meetings = Meetings(whole.n, MOST_ENTRIES, whole.n if widest is None else widest)
    try:
        walk.forward(whole.inputs(), walk.curved_operands(), meetings)
        walk.at = None
        matrix = meetings.matrix()
    except TooDense:
        if widest is not None:
            raise
        raise whole.refusal(walk.at) from None
    return whole.detection(matrix)


def makes_dense(source: Source, widest: int) -> str:
    """Name the operation, and the user's line, in which more than so many variables of a scalar function meet one another first."""
    whole = _Walk(source, None)
    walk = whole.walk
    walk.mark()
    try:
        walk.forward(whole.inputs(), walk.curved_operands(), Meetings(whole.n, MOST_ENTRIES, widest))
    except TooDense:
        return whole.named(walk.at)
    return whole.named(None)


class _WideningWalk(Walk):
    """A walk that breaks off where a value depends on many variables."""

    widest = 0

    def _step(
        self, slot: int, link: Link, known: dict[int, Sets], wanted: bool, meetings: Meetings | None
    ) -> Sets | None:
        made = super()._step(slot, link, known, wanted, meetings)
        if made is not None and int(np.max(made.table.lengths(made.rows), initial=0)) > self.widest:
            raise TooDense
        return made


def makes_jacobian_dense(source: Source, widest: int) -> str:
    """Name the operation, and the user's line, of the first value that depends on more than so many variables."""
    whole = _Walk(source, None, _WideningWalk)
    walk = whole.walk
    assert isinstance(walk, _WideningWalk)
    walk.widest = widest
    try:
        walk.forward(whole.inputs(), [slot for slot in whole.traced.slots if slot is not None])
    except TooDense:
        return whole.named(walk.at)
    return whole.named(None)


def jacobian_pattern(source: Source, traced: Trace | None = None, widest: int | None = None) -> Detection:
    """Return where first derivatives of a function may be; rows are the raveled results, one after the other.

    It is given up, by :class:`TooDense`, where a result depends on more than ``widest`` variables.
    """
    whole = _Walk(source, traced)
    slots = whole.traced.slots
    sets = whole.walk.forward(whole.inputs(), [slot for slot in slots if slot is not None])
    starts, members, total = [np.zeros(1, np.intp)], [np.zeros(0, np.intp)], 0
    for slot, value in zip(slots, whole.traced.values, strict=True):
        size = math.prod(value.shape)
        if slot is None or slot not in sets:
            starts.append(np.full(size, total))
            continue
        lengths = sets[slot].table.lengths(sets[slot].rows)
        if widest is not None and int(lengths.max(initial=0)) > widest:
            raise TooDense
        if total + int(lengths.sum()) > MOST_ENTRIES:
            raise whole.refusal(slot)
        begin, inside = sets[slot].expanded().arrays()
        starts.append(begin[1:] + total)
        members.append(inside)
        total += len(inside)
    indptr, indices = np.concatenate(starts), np.concatenate(members)
    ones = np.ones(len(indices), bool)
    return whole.detection(csr_array((ones, indices, indptr), shape=(len(indptr) - 1, whole.n)))


def gauss_newton_pattern(
    source: Source, traced: tuple[Trace, Trace] | None = None, widest: int | None = None
) -> Detection:
    """Return where ``J' B J`` of a composition may have entries, J the Jacobian of its model and B the Hessian of its loss.

    It is given up, by :class:`TooDense`, where a result of the model depends on more than ``widest`` variables.
    """
    composition = source.f
    assert isinstance(composition, Composition)
    args, loss_args = composition.split(source.args)
    model = replace(source, f=composition.model, args=args)
    inner = jacobian_pattern(model, traced and traced[0], widest)
    z = composition.model(*args) if traced is None else traced[0].output_structure.build(traced[0].values)
    loss = Source(composition.loss, (z, *loss_args), {}, 0, f"{source.where} (loss)")
    outer = hessian_pattern(loss, traced and traced[1])
    jacobian = inner.matrix
    beside = csr_array(outer.matrix @ jacobian)
    # Of a row of J and one of B J every pair is an entry.
    heights, widths = np.diff(jacobian.indptr), np.diff(beside.indptr)
    if int(np.max(heights * widths, initial=0)) > MOST_ENTRIES:
        n, most = jacobian.shape[1], heights.max()
        what = f"the Gauss-Newton matrix of {n} variables is dense: a result of the model depends on {most} of them"
        why, fix = "a sparse matrix of it would not fit in memory", "Use the operator, which multiplies with it"
        raise TooDenseError(message(source.where, what, why, fix))
    matrix = csr_array(jacobian.T @ beside)
    matrix.sort_indices()
    reasons = dict.fromkeys(inner.dense_because + outer.dense_because)
    return Detection(matrix, tuple(reasons), inner.is_volatile or outer.is_volatile)
