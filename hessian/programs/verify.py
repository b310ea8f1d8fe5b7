"""What must hold of a program after every pass, found again from scratch: for debugging and for the tests.

Nodes: what each reads is there before it, and its shape, dtype, level and exactness are those that follow from its operation and
its arguments. Memory: a run is played through with marks in place of numbers. Each value leaves its own marks where it is
written; whoever reads a value must find them as they were left. No lifetimes are taken on trust.

It costs about as much as compiling and runs with ``HESSIAN_DEBUG=1`` in the environment.
"""

from __future__ import annotations

from collections.abc import Container, Sequence
from typing import Any

import numpy as np

from hessian.programs.compilation import is_debugging
from hessian.programs.ir import CONSTANT, DIRECTION, VIEWS, Node, Section, is_ufunc
from hessian.programs.operations import item_op, reserve_op, roles, rows_op
from hessian.programs.passes.place import Layout, Place
from hessian.rules.indexing import slice_op
from hessian.rules.pieces import assemble_op
from hessian.rules.shaping import permute_op, reshape_op
from hessian.rules.spec import Operation


class InvalidProgram(Exception):
    """A pass has made a program that cannot be right."""


def verify(sections: Sequence[Section], after: str, known: Container[int] = ()) -> None:
    """While debugging, raise if the nodes of some sections are not what their arguments make of them.

    Parameters
    ----------
    sections : sequence of Section
    after : str
        The pass they come from, for messages.
    known : container of int
        Serials of nodes that are computed elsewhere.
    """
    if is_debugging():
        check_nodes(sections, after, known)


def verify_layout(layout: Layout, after: str = "layout") -> None:
    """While debugging, raise if two values that are needed at the same time share memory."""
    if is_debugging():
        _Rehearsal(layout, after).play()


# Nodes.


def check_nodes(sections: Sequence[Section], after: str, known: Container[int] = ()) -> None:
    """Raise if a node is not what its arguments make of it."""
    there: set[int] = set()
    kinds: dict[Any, tuple[Any, Any]] = {}
    for section in sections:
        where = f"{after}, section {section.name}"
        there.update(node.serial for node in section.inputs)
        for node in section.nodes:
            for arg in node.args:
                if arg.serial not in there and not arg.is_constant and arg.serial not in known:
                    raise InvalidProgram(f"{where}: {node!r} reads {arg!r}, which is not there yet")
            _check(node, where, kinds)
            there.add(node.serial)
        for node in section.ends:
            if node.serial not in there and not node.is_constant and node.serial not in known:
                raise InvalidProgram(f"{where}: {node!r} is returned and never computed")
        for node in [guard.node for guard in section.guards]:
            if node.operation is not None and not node.bitwise:
                raise InvalidProgram(f"{where}: {node!r} steers Python and is not computed as it is written")


def _check(node: Node, where: str, kinds: dict[Any, tuple[Any, Any]]) -> None:
    """Compare what a node says of itself with what follows from its arguments."""
    if node.operation is None or _is_made_up(node.operation):
        return
    level = max((arg.level for arg in node.args), default=CONSTANT)
    if node.level != level:
        raise InvalidProgram(f"{where}: {node!r} has level {node.level}, its arguments make it {level}")
    # Sums over blocks of rows add up in an order of their own, whatever depends on them.
    rounded = [arg for arg in node.args if arg.operation not in (None, item_op) and not arg.bitwise]
    if node.bitwise and rounded:
        raise InvalidProgram(f"{where}: {node!r} is exact and reads {rounded[0]!r}, which is not")
    found = _inferred(node, where, kinds)
    assert node.dtype is not None
    if found is not None and found != (node.shape, node.dtype.newbyteorder("=")):
        raise InvalidProgram(f"{where}: {node!r} gives {found[1]}{list(found[0])}")


def _is_made_up(operation: Operation) -> bool:
    """Tell what runs code of a user or of a block, or stands for memory."""
    return operation in (reserve_op, item_op, rows_op) or operation.runs_user_code


def _inferred(node: Node, where: str, kinds: dict[Any, tuple[Any, Any]]) -> tuple[Any, Any] | None:
    """Return shape and dtype of the operation on examples; ``None`` where it does not take them."""
    operation = node.operation
    assert operation is not None
    inner = node.params.get("operation")
    if isinstance(inner, Operation) and _is_made_up(inner):
        return None
    plain = not node.params and not any(arg.is_constant for arg in node.args)
    key = (operation, *[(arg.shape, arg.dtype) for arg in node.args])
    if plain and key in kinds:
        return kinds[key]
    try:
        with np.errstate(all="ignore"):
            value = operation.function(*map(_example, node.args), **node.params)
    except np.linalg.LinAlgError:
        return None
    except Exception as error:
        raise InvalidProgram(
            f"{where}: {node!r} of {list(node.args)} raises {type(error).__name__}: {error}"
        ) from error
    found = np.shape(value), np.asarray(value).dtype.newbyteorder("=")
    if plain:
        kinds[key] = found
    return found


def _example(node: Node) -> Any:
    """Return a value such as a node may have: matrices can be inverted, whole numbers are indices."""
    if node.is_constant:
        return node.value
    dtype, shape = node.dtype, node.shape
    assert dtype is not None
    if dtype.kind in "iu":
        return np.zeros(shape, dtype)[()]
    if len(shape) > 1 and shape[-1] == shape[-2]:
        return np.broadcast_to(np.eye(shape[-1], dtype=dtype), shape)
    return np.broadcast_to(np.ones((), dtype), shape) if shape else dtype.type(1)


# Memory.


class _Rehearsal:
    """Runs the sections of a layout with marks in place of numbers.

    Arenas hold a mark per grain of memory: 0 where nothing was ever written, the number of a write elsewhere. Shadows have an
    axis besides those of their values, for the grains of an element.
    """

    def __init__(self, layout: Layout, after: str) -> None:
        self._layout = layout
        self._after = after
        nodes = [node for section in layout.sections for node in (*section.inputs, *section.nodes)]
        self._grain = min((node.dtype.itemsize for node in nodes if node.dtype is not None), default=8)
        self._arenas = {name: np.zeros(-(-size // self._grain), np.int32) for name, size in layout.sizes.items()}
        self._shadows: dict[int, np.ndarray] = {}
        self._left: dict[int, np.ndarray] = {}
        self._empty: set[int] = set()
        self._writes = 0

    def play(self) -> None:
        """Run the sections in order, and those that take a direction again: they run any number of times."""
        sections = self._layout.sections
        first = next((i for i, s in enumerate(sections) if i and any(n.level == DIRECTION for n in s.inputs)), 0)
        for section in (*sections, *sections[first:]):
            self._run(section)

    def _run(self, section: Section) -> None:
        scratch = self._arenas["T"]
        # Each run has scratch memory of its own: zeros, or what other runs left in the same places.
        scratch[scratch != 0] = -1
        for node in section.nodes:
            if self._layout.places[node.serial].kind == "result":
                self._shadow(node)[...] = 0  # allocated anew
        for node in section.inputs:
            self._write(node, section)
        for node in section.nodes:
            self._compute(node, section)
        for node in section.ends:
            self._read(node, section)
        for node in (*section.inputs, *section.nodes):
            shadow = self._shadows.get(node.serial)
            if shadow is not None and self._layout.places[node.serial].kind in ("argument", "result", "local"):
                shadow[...] = -1  # the caller's again

    def _compute(self, node: Node, section: Section) -> None:
        place = self._layout.places[node.serial]
        for arg in node.args:
            if arg.serial not in self._empty:
                self._read(arg, section)
        if place.kind == "view":
            self._note(node)
        elif node.operation is assemble_op:
            self._assemble(node, section)
        else:
            self._write(node, section)
            # A ufunc minds its operands; what else is computed into given memory has not read all of them yet.
            if self._layout.writes(node) and not is_ufunc(node.operation):
                for arg in node.args:
                    self._read(arg, section)
        for arg in node.args:
            if arg.serial in self._empty and node.operation not in VIEWS:  # what takes empty memory fills it
                self._write(arg, section)
                self._empty.remove(arg.serial)
        if node.operation is reserve_op:
            self._empty.add(node.serial)

    def _assemble(self, node: Node, section: Section) -> None:
        """Put pieces in their places, which those computed right there have reached already."""
        shadow, covered = self._shadow(node), np.zeros(node.shape, bool)
        self._writes += 1
        for piece, index, role in zip(node.args, node.params["indices"], roles(node), strict=True):
            covered[index] = True
            if role != "assign" or not self._is_part(piece, node):
                shadow[index] = self._writes
        if shadow[~covered].any():
            self._fail(node, section, "is put together in memory that is not zero everywhere else")
        self._note(node)

    def _is_part(self, piece: Node, node: Node) -> bool:
        while piece.operation is reshape_op:
            piece = piece.args[0]
        place = self._layout.places[piece.serial]
        return place.kind == "part" and place.of is node

    def _write(self, node: Node, section: Section) -> None:
        if node.dtype is None:
            return
        place = self._owner(node)
        if place.kind not in (*self._arenas, "argument", "result", "local"):
            self._fail(node, section, f"is written to memory of the kind {place.kind}")
        self._writes += 1
        self._shadow(node)[...] = self._writes
        self._note(node)

    def _note(self, node: Node) -> None:
        """Remember the marks that a value has left."""
        self._left[node.serial] = self._shadow(node).copy()

    def _read(self, node: Node, section: Section) -> None:
        """Raise unless a value is what it was when it was computed."""
        pending = [node]
        while pending:
            node = pending.pop()
            if node.dtype is None or self._owner(node).kind == "constant":
                continue
            left = self._left.get(node.serial)
            if left is None:
                # Of another program, which keeps it.
                self._note(node)
            elif not np.array_equal(left, self._shadow(node)):
                self._fail(node, section, "is read after something else was written to its memory")
            if self._layout.places[node.serial].kind == "local":
                # It may be a view of what it was computed from.
                pending.extend(arg for arg in node.args if arg.serial in self._left)

    def _owner(self, node: Node) -> Place:
        place = self._layout.places[node.serial]
        while place.of is not None:
            place = self._layout.places[place.of.serial]
        return place

    def _shadow(self, node: Node) -> np.ndarray:
        """Return the marks where a value is."""
        path = [node]
        while path[-1].serial not in self._shadows and (of := self._layout.places[path[-1].serial].of) is not None:
            path.append(of)
        for each in reversed(path):
            if each.serial not in self._shadows:
                self._shadows[each.serial] = self._laid(each)
        return self._shadows[node.serial]

    def _laid(self, node: Node) -> np.ndarray:
        place = self._layout.places[node.serial]
        assert node.dtype is not None
        shape = (*node.shape, node.dtype.itemsize // self._grain)
        if place.of is None:
            arena = self._arenas.get(place.kind)
            if arena is None:
                return np.zeros(shape, np.int32)
            return np.ndarray(shape, np.int32, arena, place.offset // self._grain * arena.itemsize)
        base = self._shadows[place.of.serial]
        if place.kind == "part":
            base = base if place.index is None else base[(*place.index, slice(None))]
            view = base.reshape(shape)
        elif node.operation is reshape_op:
            view = base.reshape(shape)
        elif node.operation is permute_op:
            view = base.transpose((*node.params["axes"], len(node.shape)))
        elif node.operation is slice_op:
            view = base[(*node.params["index"], slice(None))]
        else:
            view = np.broadcast_to(base.reshape((*(1,) * (len(node.shape) + 1 - base.ndim), *base.shape)), shape)
        if view.size and not np.may_share_memory(view, base):
            raise InvalidProgram(f"{self._after}: {node!r} is no view of {place.of!r} where that lies")
        return view

    def _fail(self, node: Node, section: Section, what: str) -> None:
        raise InvalidProgram(f"{self._after}, section {section.name}: {node!r} {what}")
