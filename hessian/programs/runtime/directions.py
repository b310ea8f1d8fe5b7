"""Products with many directions: batched programs of a section, and dense matrices by blocks of unit directions."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from hessian.programs.backends.numpy import Source
from hessian.programs.compilation import paused_collection
from hessian.programs.ir import DIRECTION, Node, reachable
from hessian.programs.passes.assemble import assemble
from hessian.programs.passes.batch import batch_nodes
from hessian.programs.passes.place import Layout, Section
from hessian.programs.runtime.program import Program, arena
from hessian.programs.verify import sections_of, verify, verify_layout
from hessian.rules import elementwise as ew
from hessian.rules.indexing import slice_op
from hessian.rules.pieces import assemble_op
from hessian.rules.spec import Bilinear, Elementwise, Linear

#: Elements of the largest batched value: blocks of directions stay in the cache.
BLOCK_ELEMENTS = 2**16
#: Fewer directions than this are not worth a program of their own.
SMALL_GROUP = 32


@dataclass(frozen=True)
class Group:
    """Unit directions [start, stop) that touch one block of the variables, and the results that are needed of them."""

    start: int
    stop: int
    wanted: tuple[tuple[int, int], ...]


def directions_of(program: Program, number: int, symmetric: bool) -> Directions:
    """Return the batched programs of a section, which its program keeps."""
    found = program.batched.get(number)
    if found is None:
        found = program.batched.setdefault(number, Directions(program, number, symmetric))
    return found


class Directions:
    """The batched programs of a section that takes one direction, compiled as they are needed.

    Parameters
    ----------
    program : Program
    number : int
        Of the section.
    symmetric : bool
        Whether the section multiplies with a symmetric matrix, so that half of it is enough.
    """

    def __init__(self, program: Program, number: int, symmetric: bool) -> None:
        self._program = program
        self._section = program.sections[number]
        (self._input,), (self._output,) = self._section.inputs, self._section.outputs
        self._symmetric = symmetric
        self._compiled: dict[Any, BatchedSection] = {}
        self._groups: list[Group] | None = None

    def block_length(self) -> int:
        """Return how many directions to take at once."""
        largest = max((node.size for node in self._section.nodes if node.level == DIRECTION), default=1)
        return max(1, BLOCK_ELEMENTS // max(largest, 1))

    def rows(self, residuals: np.ndarray, directions: np.ndarray) -> np.ndarray:
        """Apply the section to every row of ``directions``, shape (k, n); return the results as rows."""
        count = len(directions)
        if not (count and self._input.size and self._output.size):
            return np.zeros((count, self._output.size), self._output.dtype)
        length = min(self.block_length(), max(count, 1))
        # Few sizes, so that few programs are compiled: powers of two, the last block padded.
        length = 1 << (length - 1).bit_length() if length < self.block_length() else length
        out = np.empty((count, self._output.size), self._output.dtype)
        with self._batched(length, None).at(residuals) as run:
            for start in range(0, count, length):
                block = directions[start : start + length]
                if len(block) < length:
                    padded = np.zeros((length, block.shape[1]), block.dtype)
                    padded[: len(block)] = block
                    block = padded
                out[start : start + length] = run(np.ascontiguousarray(block))[: count - start]
        return out

    def matrix(self, residuals: np.ndarray) -> np.ndarray:
        """Return the matrix of the section, by unit directions; rows are results, columns directions."""
        n, m = self._input.size, self._output.size
        out = np.empty((n, m), self._output.dtype)
        if not (n and m):
            return out.T
        for group in self._partition():
            for start, rows in self._unit_rows(residuals, group):
                stop = start + len(rows)
                for a, b in group.wanted:
                    out[start:stop, a:b] = rows[:, a:b]
                    if self._symmetric:
                        out[a:b, start:stop] = rows[:, a:b].T
        return out if self._symmetric else out.T

    def diagonal(self, residuals: np.ndarray) -> np.ndarray:
        """Return the diagonal of a symmetric matrix without forming it."""
        out = np.empty(self._output.size, self._output.dtype)
        for group in self._partition() if out.size else ():
            for start, rows in self._unit_rows(residuals, group):
                stop = start + len(rows)
                out[start:stop] = rows[np.arange(stop - start), np.arange(start, stop)]
        return out

    def _unit_rows(self, residuals: np.ndarray, group: Group) -> Iterator[tuple[int, np.ndarray]]:
        """Yield results for the unit directions of a group, block by block."""
        size = group.stop - group.start
        # Blocks of equal length, so that the last one is not mostly padding.
        length = -(-size // -(-size // self.block_length()))
        units = np.zeros((length, self._input.size), self._input.dtype)
        with self._batched(length, group).at(residuals) as run:
            for start in range(group.start, group.stop, length):
                stop = min(start + length, group.stop)
                places = np.arange(stop - start), np.arange(start, stop)
                units[places] = 1.0
                yield start, run(units)[: stop - start]
                units[places] = 0.0

    def _batched(self, k: int, group: Group | None) -> BatchedSection:
        key = (k, group)
        found = self._compiled.get(key)
        if found is None:
            with paused_collection():
                found = self._compiled[key] = BatchedSection(self._program, *self._restricted(group), k)
        return found

    # Structure: what a block of variables reaches.

    def _partition(self) -> list[Group]:
        """Cut the variables where the function does, in the order in which it first uses them."""
        if self._groups is None:
            n, m = self._input.size, self._output.size
            whole = [Group(0, n, ((0, m),))]
            self._groups = (self._find_groups(n) or whole) if self._symmetric else whole
        return self._groups

    def _find_groups(self, n: int) -> list[Group]:
        pieces = self._pieces(n)
        if pieces is None:
            return []
        merged: list[list[tuple[int, int]]] = []
        for piece in pieces:
            joins = merged and piece[1] - piece[0] < SMALL_GROUP and piece[0] == merged[-1][-1][1]
            if joins:
                merged[-1].append(piece)
            else:
                merged.append([piece])
        # By symmetry, directions of a block need the results of this block and of those used later.
        groups = []
        for i, parts in enumerate(merged):
            wanted = tuple(piece for later in merged[i:] for piece in later)
            groups.append(Group(parts[0][0], parts[-1][1], wanted))
        return groups

    def _pieces(self, n: int) -> list[tuple[int, int]] | None:
        """Return disjoint stretches that cover the variables, if the section cuts its direction into such."""
        readers = [node for node in self._section.nodes if self._input in node.args]
        stretches = []
        for node in readers:
            index = node.params.get("index", ())
            if node.operation is not slice_op or len(index) != 1 or not isinstance(index[0], slice):
                return None
            start, stop, step = index[0].indices(n)
            if step != 1 or stop <= start:
                return None
            if (start, stop) not in stretches:
                stretches.append((start, stop))
        ends = sorted(stretches)
        covers = bool(ends) and ends[0][0] == 0 and ends[-1][1] == n
        fits = all(a[1] == b[0] for a, b in pairwise(ends))
        return stretches if covers and fits and len(ends) > 1 else None

    def _restricted(self, group: Group | None) -> tuple[Node, Node]:
        """Return the direction and the result of the section, without what a group's directions cannot reach."""
        if group is None or (group.start, group.stop) == (0, self._input.size):
            return self._input, self._output
        return self._input, _Restriction(self._input, group).of(self._section.nodes, self._output)


class _Restriction:
    """Rebuilds nodes for directions that are zero outside a group; a node that is zero becomes ``None``."""

    def __init__(self, direction: Node, group: Group) -> None:
        self._direction = direction
        self._group = group
        self._output: Node | None = None
        self._new: dict[int, Node | None] = {}

    def of(self, nodes: list[Node], output: Node) -> Node:
        """Return the result, zero outside what is wanted of it."""
        self._output = output
        for node in nodes:
            if node.level == DIRECTION and node.operation is not None:
                self._new[node.serial] = self._rebuilt(node)
        result = self._get(output)
        return output if result is None else result

    def _get(self, node: Node) -> Node | None:
        return self._new.get(node.serial, node)

    def _rebuilt(self, node: Node) -> Node | None:
        if node.operation is slice_op and node.args[0] is self._direction:  # a stretch, else there were no groups
            start, stop, _ = node.params["index"][0].indices(self._direction.size)
            return node if start < self._group.stop and stop > self._group.start else None
        if node.operation is assemble_op:
            return self._assembled(node)
        args = [self._get(arg) for arg in node.args]
        if all(a is b for a, b in zip(args, node.args, strict=True)):
            return node
        if None not in args:
            return _like(node, args)
        operation = node.operation
        if operation in (ew.add, ew.subtract):
            a, b = args
            if a is None and b is None:
                return None
            operand = a if b is None else b
            if operand is not None and operand.shape == node.shape and operand.dtype == node.dtype:
                return Node(ew.negative, (operand,), {}, node.shape, node.dtype, DIRECTION) if (
                    a is None and operation is ew.subtract) else operand  # fmt: skip
            return _like(node, [_zeros(x) if y is None else y for x, y in zip(node.args, args, strict=True)])
        is_map = isinstance(operation, Bilinear) or operation is ew.multiply
        is_unary = isinstance(operation, Linear | Elementwise) and len(node.args) == 1
        carried = [a for a, old in zip(args, node.args, strict=True) if old.level == DIRECTION]
        if is_map or is_unary or all(a is None for a in carried):
            return None
        return _like(node, [_zeros(x) if y is None else y for x, y in zip(node.args, args, strict=True)])

    def _assembled(self, node: Node) -> Node | None:
        pieces, indices = [], []
        for piece, index in zip(node.args, node.params["indices"], strict=True):
            new = self._get(piece)
            # Only the result itself has the variables' own numbering.
            if new is not None and (node is not self._output or self._is_wanted(index, node.shape)):
                pieces.append(new)
                indices.append(index)
        if not pieces:
            return None
        params = {"indices": tuple(indices), "shape": node.shape}
        return Node(assemble_op, tuple(pieces), params, node.shape, node.dtype, DIRECTION)

    def _is_wanted(self, index: tuple[Any, ...], shape: tuple[int, ...]) -> bool:
        if len(shape) != 1 or len(index) != 1 or not isinstance(index[0], slice):
            return True
        start, stop, step = index[0].indices(shape[0])
        return step != 1 or any(a < stop and b > start for a, b in self._group.wanted)


def _like(node: Node, args: Sequence[Any]) -> Node:
    level = max(arg.level for arg in args)
    return Node(node.operation, tuple(args), node.params, node.shape, node.dtype, level)


def _zeros(node: Node) -> Node:
    return Node(None, (), {}, node.shape, node.dtype, 0, np.zeros(node.shape, node.dtype))


class BatchedSection:
    """A section compiled for k directions, which reads the residuals of any frame of its program."""

    def __init__(self, program: Program, direction: Node, result: Node, k: int) -> None:
        rows, output = batch_nodes(reachable([result]), direction, result, k)
        nodes = _new_nodes(output, program)
        verify(sections_of("whole", [rows], nodes, [output]), "batch", program.places)
        output = assemble(nodes, [output])[output.serial]
        nodes = [node for node in _new_nodes(output, program) if node.operation is not None]
        shared = Section("prepare", [], [node for node in nodes if node.level < DIRECTION], [])
        section = Section("rows", [rows], [node for node in nodes if node.level == DIRECTION], [output])
        verify([shared, section], "assemble", program.places)
        layout = Layout([shared, section], program.places, "P")
        verify_layout(layout)
        emitted = Source(layout)
        self.code = emitted.code
        self._bind = emitted.code.bind()
        self._constants = emitted.constants
        self._sizes = layout.sizes
        self._idle: list[tuple[np.ndarray, np.ndarray, np.ndarray, Any]] = []

    @contextmanager
    def at(self, residuals: np.ndarray) -> Iterator[Any]:
        """Give the function that takes k directions at the point of a frame; no other thread has its memory meanwhile."""
        try:
            owner, scratch, lasting, sections = self._idle.pop()
        except IndexError:
            owner, scratch, lasting, sections = None, arena(self._sizes["T"]), arena(self._sizes["P"]), None
        if owner is not residuals:
            sections, _ = self._bind(self._constants, residuals, scratch, lasting)
        with np.errstate(all="ignore"):
            sections[0]()
            yield lambda directions: sections[1](directions)[0]
        self._idle.append((residuals, scratch, lasting, sections))


def _new_nodes(output: Node, program: Program) -> list[Node]:
    """Return the nodes of a batched section: those that the program has not computed already."""
    found: dict[int, Node] = {}
    pending = [output]
    while pending:
        node = pending.pop()
        if node.serial not in found and node.serial not in program.places:
            found[node.serial] = node
            pending.extend(node.args)
    return sorted(found.values(), key=lambda node: node.serial)
