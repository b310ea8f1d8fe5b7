"""Directions that are zero outside one block of the variables: what they cannot reach is left out."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from hessian.programs.ir import DIRECTION, Node, Section, reachable
from hessian.programs.passes.job import Group, Job
from hessian.rules import elementwise as ew
from hessian.rules.indexing import slice_op
from hessian.rules.pieces import assemble_op
from hessian.rules.spec import Bilinear, Elementwise, Linear

#: Fewer directions than this are not worth a program of their own.
SMALL_GROUP = 32


def restrict(sections: Sequence[Section], job: Job) -> Sequence[Section]:
    """Leave out of a section what the directions of a group cannot reach."""
    (section,) = sections
    (direction,), (output,) = section.inputs, section.outputs
    group = job.group
    if group is None or (group.start, group.stop) == (0, direction.size):
        return sections
    result = _Restriction(direction, group).of(section.nodes, output)
    nodes = [node for node in reachable([result], job.places) if node.operation is not None]
    return [Section(section.name, section.inputs, nodes, [result])]


def groups_of(section: Section) -> list[Group]:
    """Cut the variables where a section with a symmetric matrix does, in the order in which it first uses them."""
    (direction,) = section.inputs
    pieces = _pieces(section, direction)
    if pieces is None:
        return [Group(0, direction.size, ((0, section.outputs[0].size),))]
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


def _pieces(section: Section, direction: Node) -> list[tuple[int, int]] | None:
    """Return disjoint stretches that cover the variables, if the section cuts its direction into such."""
    stretches = []
    for node in [node for node in section.nodes if direction in node.args]:
        index = node.params.get("index", ())
        if node.operation is not slice_op or len(index) != 1 or not isinstance(index[0], slice):
            return None
        start, stop, step = index[0].indices(direction.size)
        if step != 1 or stop <= start:
            return None
        if (start, stop) not in stretches:
            stretches.append((start, stop))
    ends = sorted(stretches)
    covers = bool(ends) and ends[0][0] == 0 and ends[-1][1] == direction.size
    fits = all(a[1] == b[0] for a, b in pairwise(ends))
    return stretches if covers and fits and len(ends) > 1 else None


class _Restriction:
    """Rebuilds nodes for directions that are zero outside a group; a node that is zero becomes ``None``."""

    def __init__(self, direction: Node, group: Group) -> None:
        self._direction = direction
        self._group = group
        self._output: Node | None = None
        self._new: dict[int, Node | None] = {}

    def of(self, nodes: Sequence[Node], output: Node) -> Node:
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
