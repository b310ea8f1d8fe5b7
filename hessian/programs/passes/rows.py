"""Long batches: the part of a section that treats rows independently, run block by block and on several threads.

A value is *by rows* along an axis of length N if row i of it depends on row i of others alone; sums over rows end such a part.
Blocks small enough for the cache pass through the whole part before the next one starts, so that intermediate values never
reach main memory; blocks are dealt to threads in a fixed order, and partial sums are added in a fixed order, so results do
not depend on timing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from hessian.programs.ir import POINT, VIEWS, Guard, Node, Section, is_ufunc
from hessian.programs.operations import item_op, reserve_op, rows_op, take_op
from hessian.programs.passes.job import Job
from hessian.programs.passes.row_kinds import POST, SUM, Kind, Mixed, cut_along, kind_of
from hessian.rules.indexing import gather_op
from hessian.rules.shaping import broadcast_op, reshape_op

#: Fewer rows are not split, nor are rows of which a block does not fit the cache.
MIN_ROWS = 4096
#: Elements computed in a section below which handing blocks out costs more than it saves.
MIN_WORK = 2**17
BLOCK_BYTES = 2**19
"""Of the widest value of a block: 1024 rows of 64 columns in float64. A quarter of it lost 10 to 40 %, twice as much 5 %."""

# Splitting a section.


@dataclass
class _Split:
    """A section taken apart: what comes before the blocks, what is done in them, what comes after."""

    before: list[Node]
    inside: list[Node]
    after: list[Node]


def _take_apart(section: Section, kinds: dict[int, Kind], length: int) -> _Split | None:
    """Classify the nodes of a section; ``None`` if it cannot be run by rows."""
    split = _Split([], [], [])
    try:
        for node in section.nodes:
            kind = kinds[node.serial] = kind_of(node, kinds, length)
            by_rows = any(isinstance(kind_of(arg, kinds, length), tuple) for arg in node.args)
            if kind == POST:
                split.after.append(node)
            elif kind == SUM or by_rows:
                split.inside.append(node)
            else:
                split.before.append(node)
    except Mixed:
        return None
    ends = [*section.outputs, *(node for node in split.inside if node.operation is None)]
    if any(isinstance(kinds.get(node.serial), tuple) for node in ends) or section.guards:
        return None
    work = sum(node.size for node in split.inside if isinstance(kinds[node.serial], tuple))
    return split if work >= max(MIN_WORK, 1) else None


def rows_of(nodes: Sequence[Node]) -> int | None:
    """Return the number of rows that most of the work of a program has in common, if they are many."""
    work: dict[int, int] = {}
    for node in nodes:
        if node.operation is not None and node.shape:
            longest = max(node.shape)
            work[longest] = work.get(longest, 0) + node.size
    best = max(work, key=lambda n: work[n], default=0)
    return best if best >= MIN_ROWS else None


def _read_later(parts: _Split, later: set[int]) -> set[int]:
    """Add to what later sections read what their views are views of: views are taken again, of memory that holds it."""
    later = set(later)
    for node in reversed(parts.inside):
        if node.serial in later and node.operation in VIEWS:
            later.add(node.args[0].serial)
    return later


def _writes_columns(stored: list[Node], kinds: dict[int, Kind]) -> bool:
    """Tell whether blocks would have to compute products into memory that is not in one stretch."""
    return any(kinds[node.serial][1] and not is_ufunc(node.operation) for node in stored)


def split_rows(sections: Sequence[Section], job: Job) -> Sequence[Section]:
    """Let long batches run in blocks of rows, where these are independent."""
    length = rows_of([node for section in sections for node in section.nodes])
    workers = job.backend.workers
    if length is None or not workers:
        return sections
    splitter, result = _RowSplitter(length, workers), []
    for number, section in enumerate(sections):
        later = {arg.serial for other in sections[number + 1 :] for node in other.nodes for arg in node.args}
        result.append(splitter.split(section, later))
    return result


class _RowSplitter:
    """Rewrites sections, one after the other, so that rows run in blocks.

    What is by rows and read by a later section becomes memory that the blocks fill.
    """

    def __init__(self, length: int, workers: int) -> None:
        self._length = length
        self._workers = workers
        self._kinds: dict[int, Kind] = {}
        self._new: dict[int, Node] = {}

    def split(self, section: Section, later: set[int]) -> Section:
        """Return a section whose rows run in blocks; ``later`` names the nodes that other sections read."""
        for node in section.nodes:
            self._new[node.serial] = node.on([self._now(arg) for arg in node.args])
        nodes = [self._now(node) for node in section.nodes]
        outputs = [self._now(node) for node in section.outputs]
        guards = [Guard(self._now(guard.node), guard.seen, guard.early) for guard in section.guards]
        kinds = dict(self._kinds)
        parts = _take_apart(Section(section.name, section.inputs, nodes, outputs, guards), kinds, self._length)
        stored: list[Node] = []
        if parts is not None:
            later = _read_later(parts, {self._new[key].serial for key in later if key in self._new})
            stored = [node for node in parts.inside if node.serial in later and node.operation not in VIEWS]
            stored = [node for node in stored if isinstance(kinds[node.serial], tuple)]
            if _writes_columns(stored, kinds):
                parts = None
        by_rows: set[int] = set()
        if parts is not None:
            self._kinds = kinds
            by_rows = {node.serial for node in parts.inside if isinstance(kinds[node.serial], tuple)}
            rebuilt, final = self._rebuilt(parts, stored, later, {node.serial for node in outputs})
            outputs = [final.get(node.serial, node) for node in outputs]
            self._new.update(
                {node.serial: final.get(self._now(node).serial, self._now(node)) for node in section.nodes}
            )
            known, nodes = nodes, rebuilt
        else:
            known = nodes
        # For later sections everything is there in full; it can be cut wherever it is as long as the rows are many.
        for node in (*known, *nodes):
            if node.serial not in by_rows and not isinstance(self._kinds.get(node.serial), tuple):
                self._kinds[node.serial] = cut_along(node, self._length)
        stands_for = {node.serial: self._now(node) for node in section.nodes}
        return Section(section.name, section.inputs, nodes, outputs, guards, stands_for)

    def _now(self, node: Node) -> Node:
        """Return what has taken the place of a node."""
        return self._new.get(node.serial, node)

    def _rebuilt(
        self, parts: _Split, stored: list[Node], later: set[int], returned: set[int]
    ) -> tuple[list[Node], dict[int, Node]]:
        """Return the nodes of a section that runs in blocks, and what they are instead of."""
        read = {arg.serial for node in parts.after for arg in node.args} | returned | later
        sums = [node for node in parts.inside if self._kinds[node.serial] == SUM and node.serial in read]
        given = _given(parts.inside)
        final: dict[int, Node] = {}
        memory, views, after = [], [], []
        for node in stored:
            memory.append(Node(reserve_op, (), {}, node.shape, node.dtype, node.level))
            final[node.serial] = memory[-1]
        for node in parts.inside:
            if node.operation in VIEWS and node.serial in later:
                views.append(node.on([final.get(arg.serial, arg) for arg in node.args]))
                final[node.serial] = views[-1]
        self._kinds.update({new.serial: self._kinds[serial] for serial, new in final.items()})
        blocks = _blocks(self._length, self._workers, parts.inside, given, stored, sums, self._kinds)
        level = max(node.level for node in parts.inside)
        whole = Node(rows_op, (*given, *memory), {"blocks": blocks}, (), None, level)
        items = [Node(item_op, (whole,), {"i": i}, node.shape, node.dtype, node.level) for i, node in enumerate(sums)]
        final.update(zip([node.serial for node in sums], items, strict=True))
        for node in parts.after:
            after.append(node.on([final.get(arg.serial, arg) for arg in node.args]))
            final[node.serial] = after[-1]
        return [*parts.before, *memory, whole, *views, *items, *after], final


def _given(nodes: list[Node]) -> list[Node]:
    """Return what nodes read from outside, numbers excepted."""
    inside = {node.serial for node in nodes}
    given: dict[int, Node] = {}
    for node in nodes:
        for arg in node.args:
            if arg.serial not in inside and not (arg.is_constant and arg.size == 1):
                given.setdefault(arg.serial, arg)
    return list(given.values())


# Blocks.


@dataclass(frozen=True)
class Blocks:
    """How a part of a section runs by blocks of rows.

    Attributes
    ----------
    edges : list of (start, stop)
    bodies : dict
        Sections by the number of rows they are for. They take what the whole is given, the memory to fill, and the positions of
        gathers; they return sums over their rows.
    axes : list
        Along which each value that the whole is given has the rows; ``None`` for one that every block gets whole.
    sums : list of (shape, dtype)
    positions : list of Positions
    """

    edges: list[tuple[int, int]]
    bodies: dict[int, Section]
    axes: list[int | None]
    sums: list[tuple[tuple[int, ...], Any]]
    positions: list[Any]


def _blocks(
    length: int,
    workers: int,
    nodes: list[Node],
    given: list[Node],
    stored: list[Node],
    sums: list[Node],
    kinds: dict[int, Kind],
) -> Blocks:
    by_rows = [node for node in nodes if node.dtype is not None and isinstance(kinds[node.serial], tuple)]
    widest = max(node.size * node.dtype.itemsize for node in by_rows)  # type: ignore[union-attr]
    # As many for each thread.
    count = -(-max(1, -(-widest // BLOCK_BYTES)) // workers) * workers
    edges = list(pairwise(length * i // count for i in range(count + 1)))
    kinds_given = [kind_of(node, kinds, length) for node in (*given, *stored)]
    axes = [kind[1] if isinstance(kind, tuple) else None for kind in kinds_given]
    sizes = {stop - start for start, stop in edges}
    bodies = {size: _Block(length, size, kinds).section(nodes, given, stored, sums) for size in sorted(sizes)}
    positions = [node.params["positions"] for node in nodes if node.operation is gather_op]
    return Blocks(edges, bodies, axes, [(node.shape, node.dtype) for node in sums], positions)


class _Block:
    """Rewrites nodes for a block of ``size`` rows instead of all."""

    def __init__(self, length: int, size: int, kinds: dict[int, Kind]) -> None:
        self._length = length
        self._size = size
        self._kinds = kinds
        self._new: dict[int, Node] = {}
        self._indices: list[Node] = []

    def section(self, nodes: list[Node], given: list[Node], stored: list[Node], sums: list[Node]) -> Section:
        """Return the section that takes what is given, the memory to fill and positions, and returns sums."""
        inputs = []
        for node in given:
            kind = kind_of(node, self._kinds, self._length)
            level = max(node.level, POINT)
            self._new[node.serial] = Node(None, (), {}, self._shape(node.shape, kind), node.dtype, level)
            inputs.append(self._new[node.serial])
        cut = [self._cut(node) for node in nodes]
        return Section("block", [*inputs, *(self._new[n.serial] for n in stored), *self._indices], cut,
                       [self._new[node.serial] for node in sums])  # fmt: skip

    def _shape(self, shape: tuple[int, ...], kind: Kind) -> tuple[int, ...]:
        if not isinstance(kind, tuple):
            return shape
        return tuple(self._size if i == kind[1] else n for i, n in enumerate(shape))

    def _cut(self, node: Node) -> Node:
        args = [self._new.get(arg.serial, arg) for arg in node.args]
        shape, params = self._shape(node.shape, self._kinds[node.serial]), node.params
        operation = node.operation
        if operation is gather_op:
            index = Node(None, (), {}, (self._size, *params["positions"].flat.shape[1:]), np.dtype(np.intp), 1)
            self._indices.append(index)
            args.append(index)
            operation, params = take_op, {}
        elif operation in (reshape_op, broadcast_op):
            params = {**params, "shape": shape}
        # Sums over rows are cut into blocks: nothing inside is exact to the last bit.
        new = Node(operation, tuple(args), params, shape, node.dtype, node.level)
        self._new[node.serial] = new
        return new
