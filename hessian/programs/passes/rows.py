"""Long batches: the part of a section that treats rows independently, run block by block and on several threads.

A value is *by rows* along an axis of length N if row i of it depends on row i of others alone; sums over rows end such a part.
Blocks small enough for the cache pass through the whole part before the next one starts, so that intermediate values never
reach main memory; blocks are dealt to threads in a fixed order, and partial sums are added in a fixed order, so results do
not depend on timing.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import wait
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from hessian.programs.ir import POINT, Node
from hessian.programs.passes.place import VIEWS, Section, is_ufunc
from hessian.programs.passes.row_kinds import POST, SUM, Kind, Mixed, cut_along, kind_of
from hessian.programs.runtime.threads import pool_of, single_threaded_blas, worker_count
from hessian.rules.indexing import gather_op
from hessian.rules.shaping import broadcast_op, reshape_op
from hessian.rules.spec import Nondifferentiable, nondifferentiable

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


def _writes_columns(parts: _Split, kinds: dict[int, Kind], later: set[int]) -> bool:
    """Tell whether blocks would have to compute products into memory that is not in one stretch."""
    later = set(later)
    for node in reversed(parts.inside):
        if node.serial in later and node.operation in VIEWS:
            later.add(node.args[0].serial)
    return any(
        node.serial in later
        and isinstance(kinds[node.serial], tuple)
        and kinds[node.serial][1]
        and not is_ufunc(node.operation)
        and node.operation not in VIEWS
        for node in parts.inside
    )


class RowSplitter:
    """Rewrites the sections of a program so that rows run in blocks.

    What is by rows and read by a later section becomes memory that the blocks fill.
    """

    def __init__(self, length: int, compile_block: Callable[[Section], Any]) -> None:
        self._length = length
        self._compile = compile_block
        self._kinds: dict[int, Kind] = {}
        self._new: dict[int, Node] = {}

    @property
    def renewed(self) -> dict[int, Node]:
        """What stands for a node, by the serial of the node as it was."""
        return self._new

    def split(self, section: Section, later: set[int]) -> Section:
        """Return a section whose rows run in blocks; ``later`` names the nodes that other sections read."""
        nodes = [self._renewed(node) for node in section.nodes]
        outputs = [self._new.get(node.serial, node) for node in section.outputs]
        guards = {self._new[key].serial if key in self._new else key: found for key, found in section.guards.items()}
        plain = Section(section.name, section.inputs, nodes, outputs, guards)
        kinds = dict(self._kinds)
        parts = _take_apart(plain, kinds, self._length)
        new_later = {self._new[key].serial for key in later if key in self._new}
        if parts is not None and _writes_columns(parts, kinds, new_later):
            parts = None
        if parts is not None:
            self._kinds = kinds
            plain = self._rebuilt(plain, parts, new_later)
        # For later sections everything is there in full; it can be cut wherever it is as long as the rows are many.
        by_rows = {node.serial for node in parts.inside if isinstance(kinds[node.serial], tuple)} if parts else set()
        for node in (*nodes, *plain.nodes):
            if node.serial not in by_rows and not isinstance(self._kinds.get(node.serial), tuple):
                self._kinds[node.serial] = cut_along(node, self._length)
        return plain

    def _renewed(self, node: Node) -> Node:
        args = tuple(self._new.get(arg.serial, arg) for arg in node.args)
        changed = any(a is not b for a, b in zip(args, node.args, strict=True))
        renewed = node.on(args) if changed else node
        self._new[node.serial] = renewed
        return renewed

    def _rebuilt(self, section: Section, parts: _Split, later: set[int]) -> Section:
        read = {arg.serial for node in parts.after for arg in node.args} | {node.serial for node in section.outputs}
        sums = [node for node in parts.inside if self._kinds[node.serial] == SUM and node.serial in read | later]
        stored, views = self._stored(parts, later)
        given = _given(parts.inside)
        back: dict[int, list[int]] = {}
        for old, new in self._new.items():
            back.setdefault(new.serial, []).append(old)
        memory, replaced = [], {}
        for node in stored:
            empty = Node(reserve_op, (), {}, node.shape, node.dtype, node.level)
            memory.append(empty)
            replaced[node.serial] = empty
        again = []
        for node in parts.inside:
            if node.serial in views:
                base = replaced.get(node.args[0].serial, node.args[0])
                view = node.on([base])
                again.append(view)
                replaced[node.serial] = view
        for key, node in replaced.items():
            self._kinds[node.serial] = self._kinds[key]
            for old in back[key]:
                self._new[old] = node
        runner = RowRunner(self._length, parts.inside, given, stored, sums, self._kinds, self._compile)
        operation = Nondifferentiable("rows", runner, raises=())  # what it runs tells whose errors they are
        level = max(node.level for node in parts.inside)
        whole = Node(operation, (*given, *memory), {}, (), None, level)
        renamed = {node.serial: Node(item_op, (whole,), {"i": i}, node.shape, node.dtype, node.level)
                   for i, node in enumerate(sums)}  # fmt: skip
        after = []
        for node in parts.after:
            args = tuple(renamed.get(arg.serial, arg) for arg in node.args)
            renamed[node.serial] = node.on(args)
            after.append(renamed[node.serial])
        for old, new in list(self._new.items()):
            self._new[old] = renamed.get(new.serial, new)
        outputs = [renamed.get(node.serial, node) for node in section.outputs]
        items = [renamed[node.serial] for node in sums]
        nodes = [*parts.before, *memory, whole, *again, *items, *after]
        return Section(section.name, section.inputs, nodes, outputs, {})

    def _stored(self, parts: _Split, later: set[int]) -> tuple[list[Node], dict[int, Node]]:
        """Return what the blocks have to store for later sections, and the views by serial that are taken of it again.

        What such views are of joins ``later``.
        """
        inside = {node.serial for node in parts.inside}
        # A view that is read later is taken again, of memory that holds what it is a view of.
        views = {node.serial: node for node in parts.inside if node.operation in VIEWS and node.serial in later}
        for node in reversed(parts.inside):
            if node.serial in views:
                later.add(node.args[0].serial)
                if node.args[0].operation in VIEWS and node.args[0].serial in inside:
                    views[node.args[0].serial] = node.args[0]
        stored = [
            node
            for node in parts.inside
            if node.serial in later and node.serial not in views and isinstance(self._kinds[node.serial], tuple)
        ]
        return stored, views


def _given(nodes: list[Node]) -> list[Node]:
    """Return what nodes read from outside, numbers excepted."""
    inside = {node.serial for node in nodes}
    given: dict[int, Node] = {}
    for node in nodes:
        for arg in node.args:
            if arg.serial not in inside and not (arg.is_constant and arg.size == 1):
                given.setdefault(arg.serial, arg)
    return list(given.values())


reserve_op = nondifferentiable("reserve", lambda: None)
"""Memory that is filled by what reads it."""
item_op = nondifferentiable("item", lambda parts, *, i: parts[i])
"""One of several results."""


class RowRunner:
    """Runs the part of a section that is by rows, block by block.

    Called with the values that come from outside (those by rows are cut) and the memory to fill, it returns sums over rows.
    """

    def __init__(
        self,
        length: int,
        nodes: list[Node],
        given: list[Node],
        stored: list[Node],
        sums: list[Node],
        kinds: dict[int, Kind],
        compile_block: Callable[[Section], Any],
    ) -> None:
        widest = max(
            node.size * node.dtype.itemsize for node in nodes if node.dtype and isinstance(kinds[node.serial], tuple)
        )
        count = max(1, -(-widest // BLOCK_BYTES))
        workers = worker_count()
        count = -(-count // workers) * workers
        edges = [length * i // count for i in range(count + 1)]
        self._blocks = list(pairwise(edges))
        self._axes = [_axis(node, kinds, length) for node in given]
        self._axes += [kinds[node.serial][1] for node in stored]
        self._sums = sums
        self._bodies: dict[int, Any] = {}
        for start, stop in self._blocks:
            size = stop - start
            if size not in self._bodies:
                self._bodies[size] = compile_block(_Block(length, size, kinds).section(nodes, given, stored, sums))
        self._positions = [(node, node.params["positions"]) for node in nodes if node.operation is gather_op]
        self._idle: list[Any] = []

    def __call__(self, *arrays: Any) -> list[np.ndarray]:
        workers = worker_count()
        if workers == 1:
            return self._work(arrays, 0, 1)
        with single_threaded_blas():
            jobs = [pool_of(workers).submit(self._work, arrays, i, workers) for i in range(1, workers)]
            try:
                totals = self._work(arrays, 0, workers)
            finally:
                wait(jobs)  # nobody may still write to memory that the next call uses
            for job in jobs:
                for total, part in zip(totals, job.result(), strict=True):
                    np.add(total, part, out=total)
        return totals

    def _work(self, arrays: Sequence[Any], first: int, step: int) -> list[np.ndarray]:
        """Run every ``step``-th block; return the sums over their rows."""
        try:
            bound = self._idle.pop()
        except IndexError:
            bound = {size: make() for size, make in self._bodies.items()}
        totals = [np.zeros(node.shape, node.dtype) for node in self._sums]
        with np.errstate(all="ignore"):
            for start, stop in self._blocks[first::step]:
                cut = [
                    x
                    if axis is None
                    else x[start:stop]
                    if axis == 0
                    else x[(slice(None),) * axis + (slice(start, stop),)]
                    for x, axis in zip(arrays, self._axes, strict=True)
                ]
                parts = bound[stop - start](*cut, *self._local(start, stop))
                for total, part in zip(totals, parts, strict=True):
                    np.add(total, part, out=total)
        self._idle.append(bound)
        return totals

    def _local(self, start: int, stop: int) -> list[np.ndarray]:
        """Return the positions that gathers of a block use, counted from its first row."""
        return [
            positions.flat[start:stop] - start * (positions.size // positions.shape[0])
            for _, positions in self._positions
        ]


def _axis(node: Node, kinds: dict[int, Kind], length: int) -> int | None:
    kind = kind_of(node, kinds, length)
    return kind[1] if isinstance(kind, tuple) else None


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


take_op = nondifferentiable("take", lambda x, index: x.reshape(-1).take(index, mode="clip"))
"""Elements at flat positions."""
