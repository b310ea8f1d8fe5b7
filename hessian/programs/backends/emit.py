"""From a graph with places to straight-line code.

What a section does per call is one line per array operation, with everything in place: views and bound methods that the
sections need are made once per frame.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from hessian.programs.backends.lent import LONG, allocated
from hessian.programs.backends.source import (
    COPY,
    ITEM,
    REVERSED,
    SHAPED,
    TRANSPOSED,
    Call,
    Code,
    Function,
    Name,
    is_written,
)
from hessian.programs.compilation import watched
from hessian.programs.ir import VIEWS, Guard, Node, Section
from hessian.programs.operations import is_covered, reserve_op, rows_op
from hessian.programs.passes.place import Layout, Place
from hessian.rules.indexing import slice_op
from hessian.rules.pieces import assemble_op
from hessian.rules.shaping import broadcast_op, permute_op, reshape_op
from hessian.rules.spec import Operation
from hessian.tape.tape import GuardMiss

COPYTO, _ARRAY, UNSAFE, SAME_KIND = "copyto", "array", "unsafe", "same_kind"


class Emitter:
    """Writes the code of a program, with the objects its names stand for.

    Parameters
    ----------
    layout : Layout
    write : callable
        ``(emitter, node)``: writes the lines that compute a node into its place, if it can be.
    run_blocks : callable
        Makes what runs the blocks of a ``rows`` operation.
    lend : bool
        Return results where they are instead of handing out copies.

    Attributes
    ----------
    code : Code
    constants : list
        What ``K`` holds.
    """

    def __init__(
        self,
        layout: Layout,
        write: Callable[[Emitter, Node], None],
        run_blocks: Callable[[Any], Any],
        *,
        lend: bool = False,
    ) -> None:
        self.layout = layout
        self._write = write
        self._run_blocks = run_blocks
        self._lend = lend
        self._names: dict[str, Any] = {"ndarray": np.ndarray, "empty": np.empty, "zeros": np.zeros, "array": np.array}
        self._names["allocated"] = allocated
        self._names.update(copyto=np.copyto, broadcast_to=np.broadcast_to, reshaped=reshaped)
        self._names.update({word: word for word in (UNSAFE, SAME_KIND)})
        self.constants: list[Any] = []
        self._refs: dict[int, Name] = {}
        self._extra: dict[Any, Name] = {}
        self._bind: list[Call] = []
        self._body: list[Call] = []
        self._count = 0
        functions = [self._section(section) for section in layout.sections]
        bound = [self.ref(x) if layout.is_bound(x) else None for x in layout.sections[0].inputs]
        self.code = Code(self._names, self._bind, functions, bound)

    # Sections.

    def _section(self, section: Section) -> Function:
        self._body = []
        arguments = []
        for node in section.inputs:
            place = self.layout.places[node.serial]
            name = self._new("a")
            arguments.append(name)
            if place.kind == "argument":
                self._refs[node.serial] = name
            else:
                self.do(COPYTO, self.ref(node), name)
        guards: dict[int, list[Guard]] = {}
        for guard in section.guards:
            guards.setdefault(guard.node.serial, []).append(guard)
        for node in section.inputs:
            self._guard(node, guards.get(node.serial, ()))
        for node in section.nodes:
            if self.layout.places[node.serial].kind == "result":
                self._allocate(node)
        for node in section.nodes:
            if node.operation is not None:
                self._emit(node)
            if guards:
                self._guard(node, guards.get(node.serial, ()))
        first: set[int] = set()
        returned = []
        for node in section.outputs:
            # Equal results are one value, and still arrays of their own.
            returned.append(self._handed_out(node, again=node.serial in first))
            first.add(node.serial)
        return Function(section.name, arguments, self._body, returned)

    def _guard(self, node: Node, guards: Sequence[Guard]) -> None:
        """Look whether a value that steered Python is the one that was seen."""
        for guard in guards:
            self.do(self.function("see", see), self.ref(node), self.constant(guard.seen))

    def _allocate(self, node: Node) -> None:
        """Make new memory for a result."""
        name = self._refs[node.serial] = self._new("o")
        whole = node.operation is not assemble_op or is_covered(node)
        make = Name(("allocated" if node.size >= LONG else "empty") if whole else "zeros")
        self._body.append(Call(name, make, (node.shape, self._dtype(node))))

    def _handed_out(self, node: Node, again: bool) -> Name:
        """Return the name of a result: memory that nothing here will touch again."""
        place, ref = self.layout.places[node.serial], self.ref(node)
        if not again and (place.kind == "result" or self._lend):
            return ref
        if not again and node.shape and place.kind == "R":
            return self.let("r", COPY, (ref,), bound=False)
        copy = self.let("r", _ARRAY, (ref,), bound=False)
        return copy if node.shape else self.let("r", ITEM, (copy, ()), bound=False)

    # Lines and names.

    def do(self, function: Any, *args: Any, out: Name | None = None) -> None:
        """Write a call whose result has no name."""
        self._body.append(Call(None, function, args, None if out is None else {"out": out}))

    def _new(self, prefix: str) -> Name:
        self._count += 1
        return f"{prefix}{self._count}"

    def ref(self, node: Node) -> Name:
        """Return the name of a node's value, defining it where it can be defined."""
        name = self._refs.get(node.serial)
        if name is None:
            places, path = self.layout.places, [node]
            # A part of a part of a part: as long as the program, perhaps.
            while (of := places[path[-1].serial].of) is not None and of.serial not in self._refs:
                path.append(of)
            for each in reversed(path):
                name = self._refs[each.serial] = self._define(each, places[each.serial])
        assert name is not None
        return name

    def _define(self, node: Node, place: Place) -> Any:
        if place.kind == "constant":
            return self.constant(node.value)
        if place.of is not None:
            bound = self.layout.is_bound(node)
            base = self.ref(place.of)
            if place.kind != "part":
                return self.let("x", *_view(node, base), bound=bound)
            shape = place.of.shape
            if place.index is not None:
                shape = np.empty(shape, bool)[place.index].shape
                base = self.let("x", ITEM, (base, plain_index(place.index)), bound=bound)
            if shape == node.shape:
                return base
            return self.let("x", SHAPED, (base, node.shape), bound=bound)
        # Values that have a place one after the other have one view of it.
        key = (place.kind, place.offset, node.shape, node.dtype)
        return self.once(key, "ndarray", node.shape, self._dtype(node), place.kind, place.offset)

    def let(self, prefix: str, function: Any, args: tuple[Any, ...], *, bound: bool) -> Name:
        """Name the result of a call, once per frame if its memory is bound, else where it stands."""
        name = self._new(prefix)
        if bound and function is SHAPED:
            # A view for good: if NumPy had to copy, it would never see another value.
            function = "reshaped"
        (self._bind if bound else self._body).append(Call(name, function, args))
        return name

    def extra_view(self, node: Node, function: Any, *args: Any) -> Name:
        """Return the name of an attribute or view of a node's value."""
        ref = self.ref(node)
        if not self.layout.is_bound(node):
            return self.let("y", function, (ref, *args), bound=False)
        return self.once((ref, function, repr(args)), function, ref, *args)

    def once(self, key: Any, function: Any, *args: Any) -> Name:
        """Name the result of a call that is made once per frame, and asked for again by its key."""
        if key not in self._extra:
            self._extra[key] = self.let("x", function, args, bound=True)
        return self._extra[key]

    def constant(self, value: Any) -> Any:
        """Return a constant: a number as it is, else a name."""
        if is_written(value) and type(value) is not tuple:
            return value
        return self.array(("constant", id(value)), lambda: value)

    def array(self, key: Any, make: Callable[[], Any]) -> Name:
        """Return the name of an object that the code brings along, made once and asked for again by its key."""
        if key not in self._extra:
            self.constants.append(make())
            self._extra[key] = self.let("k", ITEM, ("K", len(self.constants) - 1), bound=True)
        return self._extra[key]

    def _dtype(self, node: Node) -> Name:
        dtype = node.dtype
        assert dtype is not None
        name = _DTYPES.get(dtype) or f"dtype_{dtype.name}{'' if dtype.isnative else '_swapped'}"
        self._names[name] = dtype
        return name

    def function(self, name: str, function: Callable[..., Any]) -> Name:
        """Return the name of a function, which is like ``name`` where nothing else is called so."""
        known = self._names.setdefault(name, function)
        if known is not function:
            return self.function(name + "_", function)
        return name

    def _watched(self, operation: Operation) -> Name:
        """Return the name of an operation's own function, which may raise."""
        if not operation.raises:
            return self.function(operation.name, operation.function)
        key = ("watched", operation)
        if key not in self._extra:
            name = operation.name.replace(".", "_")
            self._extra[key] = self.function(name, watched(operation.function, operation.raises))
        return self._extra[key]

    # One operation.

    def _emit(self, node: Node) -> None:
        if self.layout.places[node.serial].kind == "view" or node.operation is reserve_op:
            return  # named where it is read
        if node.operation in VIEWS:
            self._copy_reshaped(node)
        elif self.layout.writes(node):
            self._write(self, node)
        else:
            self._call(node)

    def _call(self, node: Node) -> None:
        """Call the operation's own function; what it returns is new memory, kept where a later section reads it."""
        assert node.operation is not None
        params = node.params
        if node.operation is rows_op:
            params = {"blocks": self._run_blocks(params["blocks"])}
        keywords = {key: value if is_written(value) else self.constant(value) for key, value in params.items()}
        result = self._new("x")
        self._body.append(Call(result, self._watched(node.operation), tuple(map(self.ref, node.args)), keywords))
        if self.layout.places[node.serial].kind == "local":
            self._refs[node.serial] = result
        else:
            self.do(COPYTO, self.ref(node), result)

    def _copy_reshaped(self, node: Node) -> None:
        """Put in order what cannot be reshaped as it lies."""
        (base,) = node.args
        if node.operation is reshape_op:
            self.do(COPYTO, self.extra_view(node, SHAPED, base.shape), self.ref(base))
        else:
            self.do(COPYTO, self.ref(node), self.let("y", *_view(node, self.ref(base)), bound=False))


_DTYPES = {np.dtype(name): f"dtype_{name}" for name in ("float64", "float32", "bool", "int64")}


def reshaped(x: np.ndarray, shape: Any) -> np.ndarray:
    """Return a view of another shape, never a copy."""
    view = x.reshape(shape)
    if view.base is None or (view.base is not x and view.base is not x.base):
        raise RuntimeError(
            f"hessian.programs: an array of shape {x.shape}, strides {x.strides} has no view of shape {shape}"
        )
    return view


def see(value: Any, seen: np.ndarray) -> None:
    """Raise if a value that steered Python is not the one that was seen."""
    if differs(value, seen):
        raise GuardMiss


def differs(value: Any, seen: np.ndarray) -> bool:
    """Tell whether a guarded value is not the one that was seen."""
    if seen.ndim == 0:
        return not (value == seen or (value != value and seen != seen))
    return not (np.array_equal(value, seen) or (seen.dtype.kind == "f" and np.array_equal(value, seen, equal_nan=True)))


def _view(node: Node, base: Name) -> tuple[Any, tuple[Any, ...]]:
    """Return the call that gives a view."""
    operation, params = node.operation, node.params
    if operation is reshape_op:
        return SHAPED, (base, node.shape)
    if operation is permute_op:
        axes = params["axes"]
        return (REVERSED, (base,)) if axes == tuple(reversed(range(len(axes)))) else (TRANSPOSED, (base, axes))
    if operation is slice_op:
        return ITEM, (base, plain_index(params["index"]))
    assert operation is broadcast_op
    return "broadcast_to", (base, node.shape)


def plain_index(index: tuple[Any, ...]) -> tuple[Any, ...]:
    """Return an index of plain numbers that gives a view."""
    parts: list[Any] = []
    for part in index:
        if isinstance(part, slice):
            ends = [None if x is None else int(x) for x in (part.start, part.stop, part.step)]
            parts.append(slice(*ends))
        else:
            parts.append(None if part is None else int(part))
    # Integers alone would give a number; with the ellipsis it is a view.
    return (*parts, ...)
