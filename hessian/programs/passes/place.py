"""Where the values of a program live: shared scratch memory, memory that lasts, or the caller's.

A frame of a program has two arenas. What one section computes and a later one reads (residuals of a linearisation) has a
place of its own in the arena ``R``. Everything else is in ``T``, of which each run that goes on at the same time has its own:
what is put together from pieces in a place of its own, the rest by lifetime. A place is handed on when its value has been
read for the last time, to an elementwise result in place where shapes allow.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from hessian.programs.ir import DIRECTION, VIEWS, Node, Section, is_ufunc
from hessian.programs.operations import arrange_op, roles
from hessian.rules.indexing import slice_op
from hessian.rules.pieces import assemble_op
from hessian.rules.shaping import reshape_op

_ALIGNMENT = 64
LARGE = 2**14
"""Elements from which an input is read where the caller has it, and a result is written to memory of its own, instead of
being copied in or out of the frame. A copy of 128 KiB costs some 5 us; binding views anew costs 0.1 us for each."""


@dataclass
class Place:
    """Where a value is.

    Attributes
    ----------
    kind : str
        ``constant``; ``argument`` (the caller's array); ``result`` (new memory, handed out); ``local`` (what a call returned);
        ``view`` of another node; ``part`` (a view that is written to) of another node; ``R``, ``T`` or ``P`` (in an arena).
    offset : int
        In the arena.
    of : Node or None
        What a view or part is of.
    index : Any
        Of a part; ``None`` for all of it.
    block : bool
        Whether the memory is contiguous, as far as it is known to be.
    """

    kind: str
    offset: int = 0
    of: Node | None = None
    index: Any = None
    block: bool = True


class Layout:
    """Assigns a place to every node of the sections of a program.

    Parameters
    ----------
    sections : sequence of Section
    writes : callable
        Whether the backend can compute a node into memory that is given.
    known : mapping
        Where another program has put nodes, by their serials.
    lasting : str
        The arena of what lasts from one section to the next.

    Attributes
    ----------
    places : dict
        By the serial of the node.
    sizes : dict
        Bytes of the arenas ``R`` and ``T``.
    """

    def __init__(
        self,
        sections: Sequence[Section],
        writes: Callable[[Node], bool],
        known: Mapping[int, Place] | None = None,
        lasting: str = "R",
    ) -> None:
        self.sections = sections
        self.writes = writes
        self._lasting = lasting
        self.places: dict[int, Place] = dict(known or {})
        self.sizes = {lasting: 0, "T": 0}
        self._section: dict[int, int] = {}
        self._last_section: dict[int, int] = {}
        self._uses: dict[int, int] = {}
        self._free: dict[int, list[int]] = {}
        self._memories: dict[int, tuple[Node, bool]] = {}
        self._survey()
        for number, section in enumerate(sections):
            self._place_inputs(number, section)
            self._place_outputs(number, section)
            for node in reversed(section.nodes):
                self._pass_destination(node)
            self._place_rest(number, section)

    def crosses(self, node: Node) -> bool:
        """Tell whether a later section reads a node."""
        return self._last_section.get(node.serial, -1) > self._section.get(node.serial, 0)

    def is_bound(self, node: Node) -> bool:
        """Tell whether the memory of a node is known before the section runs."""
        return self.places[self._memory(node)[0].serial].kind in ("constant", "R", "T", "P")

    def is_in_order(self, node: Node) -> bool:
        """Tell whether a value is known to lie in memory in C order, so that any reshaping of it is a view."""
        while (place := self.places[node.serial]).of is not None:
            if place.kind == "view":
                block = node.operation is slice_op and _is_block(node.args[0].shape, node.params["index"])
                if not (block or node.operation is reshape_op):
                    return False
            elif not place.block:
                return False
            node = place.of
        return place.kind in ("R", "T", "P", "result") or (
            place.kind == "constant" and isinstance(node.value, np.ndarray) and bool(node.value.flags.c_contiguous)
        )

    def is_contiguous(self, node: Node) -> bool:
        """Tell whether the memory a node is computed into is known to be in one stretch."""
        owner, block = self._memory(node)
        return block and self.places[owner.serial].kind != "argument"

    def _memory(self, node: Node) -> tuple[Node, bool]:
        """Return the node whose memory a node is a view or part of, and whether all on the way to it are blocks."""
        known, path, block = self._memories, [], True
        while node.serial not in known and (of := self.places[node.serial].of) is not None:
            path.append(node)
            node = of
        owner, block = known.get(node.serial, (node, True))
        for each in reversed(path):
            block = block and self.places[each.serial].block
            known[each.serial] = owner, block
        return owner, block

    def _survey(self) -> None:
        """Count uses, and find in which sections nodes are made and read last."""
        uses = self._uses
        for number, section in enumerate(self.sections):
            for node in (*section.inputs, *section.nodes):
                self._section.setdefault(node.serial, number)
            for node in section.nodes:
                for arg in node.args:
                    serial = arg.serial
                    if serial not in uses and arg.is_constant:
                        self.places.setdefault(serial, Place("constant"))
                    uses[serial] = uses.get(serial, 0) + 1
                    self._last_section[serial] = number
            for node in section.ends:
                self._uses[node.serial] = self._uses.get(node.serial, 0) + 1
                self._last_section[node.serial] = max(number, self._last_section.get(node.serial, 0))
        # A view that is read later keeps what it is a view of.
        for section in reversed(self.sections):
            for node in reversed(section.nodes):
                if node.operation in VIEWS and node.serial in self._last_section:
                    base = node.args[0]
                    last = max(self._last_section.get(base.serial, 0), self._last_section[node.serial])
                    self._last_section[base.serial] = last

    def _place_inputs(self, number: int, section: Section) -> None:
        for node in section.inputs:
            if node.serial in self.places:
                continue
            # A point that has directions is kept whole, so that it can be computed again without the program; a direction is
            # read by its own section alone.
            lent = len(self.sections) == 1 or node.level == DIRECTION
            if node.size >= LARGE and lent:
                self.places[node.serial] = Place("argument")
            else:
                self.places[node.serial] = self._reserve("T" if node.level == DIRECTION else self._lasting, node)

    def _place_outputs(self, number: int, section: Section) -> None:
        for node in section.outputs:
            if self._section.get(node.serial) != number or node.serial in self.places or node.operation in VIEWS:
                continue
            if node.size >= LARGE and self.writes(node) and not self.crosses(node):
                self.places[node.serial] = Place("result")

    def _pass_destination(self, node: Node) -> None:
        """Let what a node is put together from, or adds up in place, be computed right where the node will be."""
        if node.operation is assemble_op:
            if node.serial not in self.places:
                self.places[node.serial] = self._reserve(self._lasting if self.crosses(node) else "T", node)
            for piece, index, role in zip(node.args, node.params["indices"], roles(node), strict=True):
                if role == "assign":
                    self._offer(piece, node, index)
        place = self.places.get(node.serial)
        if place is not None and place.kind in ("result", "part", "argument") and is_ufunc(node.operation):
            for arg in node.args:
                if arg.shape == node.shape and arg.dtype == node.dtype and self._offer(arg, node, None):
                    break

    def _offer(self, piece: Node, target: Node, index: Any) -> bool:
        """Make a node a part of ``target`` if nobody else reads it and it can be computed there."""
        kernel = piece
        while kernel.operation is reshape_op and self._uses[kernel.serial] == 1:
            kernel = kernel.args[0]
        free = self._uses[kernel.serial] == 1 and kernel.serial not in self.places and not self.crosses(kernel)
        same = kernel.dtype == target.dtype and self._section.get(kernel.serial) == self._section[target.serial]
        if not (free and same and self.writes(kernel) and kernel.operation is not assemble_op and kernel.size):
            return False
        block = self.places[target.serial].block and (index is None or _is_block(target.shape, index))
        if not block and not (index is None or _fits_rows(kernel, target, index)):
            return False
        # Products and gathers write to contiguous memory only.
        if not block and not (kernel.operation is arrange_op or is_ufunc(kernel.operation)):
            return False
        self.places[kernel.serial] = Place("part", of=target, index=index, block=block)
        return True

    def _place_rest(self, number: int, section: Section) -> None:
        for node in section.outputs:
            if node.is_constant:
                self.places.setdefault(node.serial, Place("constant"))
        for node in section.nodes:
            if node.serial in self.places:
                continue
            if node.operation in VIEWS and self._is_view(node):
                self.places[node.serial] = Place("view", of=node.args[0])
            elif self.crosses(node):
                self.places[node.serial] = self._reserve(self._lasting, node)
            elif node.operation not in VIEWS and not self.writes(node):
                self.places[node.serial] = Place("local")
            else:
                self.places[node.serial] = Place("T", offset=-1)
        self._share(section)

    def _is_view(self, node: Node) -> bool:
        """Tell whether NumPy gives a view: always, but for reshaping what is not in order."""
        if node.operation is not reshape_op:
            return True
        base = node.args[0]
        place = self.places.get(base.serial)
        if place is not None and not place.block:
            return False
        while base.operation is reshape_op or (base.operation is slice_op and _is_block(base.args[0].shape,
                                                                                       base.params["index"])):  # fmt: skip
            base = base.args[0]
        if base.operation not in VIEWS or not base.size:
            return True
        # A dimension of length one can be dropped or inserted anywhere.
        return [n for n in node.shape if n != 1] == [n for n in node.args[0].shape if n != 1]

    def _share(self, section: Section) -> None:
        """Give places in the arena ``T`` by lifetime."""
        last = self._last_reads(section)
        self._free = {}
        ending: dict[int, list[tuple[int, int]]] = {}
        sizes: dict[int, int] = {}
        for i, node in enumerate(section.nodes):
            place = self.places[node.serial]
            if place.kind == "T" and place.offset < 0:
                heir = self._in_place(node, last, i, sizes)
                if heir is not None:
                    place.offset, size = self.places[heir.serial].offset, sizes[heir.serial]
                    ending[i].remove((place.offset, size))
                else:
                    place.offset, size = self._take(_padded(node))
                sizes[node.serial] = size
                ending.setdefault(max(last.get(node.serial, i), i), []).append((place.offset, size))
            for offset, size in ending.pop(i, ()):
                self._free.setdefault(size, []).append(offset)

    def _last_reads(self, section: Section) -> dict[int, int]:
        """Return where in a section the memory of each node is read for the last time.

        What reads a view reads what it is a view of; what a call returned may be a view of its arguments.
        """
        last: dict[int, int] = {}
        for i, node in enumerate(section.nodes):
            for arg in node.args:
                last[arg.serial] = i
        for node in section.ends:
            last[node.serial] = len(section.nodes)
        for node in reversed(section.nodes):
            place, end = self.places[node.serial], last.get(node.serial, -1)
            for owner in (place.of,) if place.of is not None else node.args if place.kind == "local" else ():
                if last.get(owner.serial, -1) < end:
                    last[owner.serial] = end
        return last

    def _in_place(self, node: Node, last: dict[int, int], i: int, shared: dict[int, int]) -> Node | None:
        """Return an operand that is read here for the last time and whose memory the result can take over."""
        if not is_ufunc(node.operation):
            return None
        for arg in node.args:
            if (
                arg.serial in shared
                and last.get(arg.serial) == i
                and arg.shape == node.shape
                and arg.dtype == node.dtype
                and arg.operation is not None
            ):
                return arg
        return None

    def _take(self, size: int) -> tuple[int, int]:
        """Return the free stretch that fits best, or a new one."""
        fitting = [length for length, offsets in self._free.items() if size <= length <= 2 * size + 4096 and offsets]
        if fitting:
            best = min(fitting)
            return self._free[best].pop(), best
        offset = self.sizes["T"]
        self.sizes["T"] += size
        return offset, size

    def _reserve(self, arena: str, node: Node) -> Place:
        """Return a place that nobody else gets."""
        offset = self.sizes[arena]
        self.sizes[arena] += _padded(node)
        return Place(arena, offset)


def _padded(node: Node) -> int:
    assert node.dtype is not None
    size = max(node.size, 1) * node.dtype.itemsize
    padded = -(-size // _ALIGNMENT) * _ALIGNMENT
    # Large arrays whose sizes are powers of two would all start at the same place of a page, and of the cache.
    return padded + (5 * _ALIGNMENT if size >= 4096 else 0)


def _is_block(shape: tuple[int, ...], index: tuple[Any, ...]) -> bool:
    """Tell whether a basic index picks a contiguous stretch of an array in C order."""
    if len(index) < len(shape) or any(part is None for part in index):
        return False
    partial = False
    for n, part in reversed(list(zip(shape, index, strict=True))):
        if isinstance(part, slice):
            start, stop, step = part.indices(n)
            length, whole = max(stop - start, 0), (start, stop, step) == (0, n, 1)
            if step != 1 or (partial and length != 1):
                return False
        else:
            whole = n == 1
        partial = partial or not whole
    return True


def _fits_rows(kernel: Node, target: Node, index: tuple[Any, ...]) -> bool:
    """Tell whether a node can be written into columns of a matrix, the first axis of both being the rows."""
    if len(target.shape) != 2:
        return False
    rows, columns = index[0], index[1:]
    whole = isinstance(rows, slice) and rows.indices(target.shape[0]) == (0, target.shape[0], 1)
    return whole and kernel.shape[:1] == target.shape[:1] and _is_block(target.shape[1:], columns)
