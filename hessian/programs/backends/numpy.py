"""From a graph with places to straight-line code.

What a section does per call is one line per array operation, with everything in place: views and bound methods that the
sections need are made once per frame.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from hessian.programs.backends.source import (
    COPY,
    DOT,
    DOT_OF,
    FILL,
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
from hessian.programs.ir import Node
from hessian.programs.passes import place as where_is
from hessian.programs.passes.batch import arrange_op, spread_op
from hessian.programs.passes.place import Layout, Place, Section
from hessian.programs.passes.rows import reserve_op
from hessian.rules.elementwise import negative
from hessian.rules.indexing import gather_op, slice_op
from hessian.rules.pieces import assemble_op
from hessian.rules.products import outer_op
from hessian.rules.reductions import max_op, min_op, sum_op
from hessian.rules.shaping import astype_op, broadcast_op, cast_op, permute_op, reshape_op
from hessian.rules.spec import Operation
from hessian.tape.tape import GuardMiss

_COPYTO, _ARRAY, _UNSAFE, _SAME_KIND = "copyto", "array", "unsafe", "same_kind"


class Source:
    """The code of a program, with the objects its names stand for.

    Parameters
    ----------
    layout : Layout
    lend : bool
        Return results where they are instead of handing out copies.

    Attributes
    ----------
    code : Code
    constants : list
        What ``K`` holds.
    """

    def __init__(self, layout: Layout, *, lend: bool = False) -> None:
        self._layout = layout
        self._lend = lend
        self._names: dict[str, Any] = {"ndarray": np.ndarray, "empty": np.empty, "zeros": np.zeros, "array": np.array}
        self._names.update(copyto=np.copyto, broadcast_to=np.broadcast_to, reshaped=reshaped)
        self._names.update({word: word for word in (_UNSAFE, _SAME_KIND)})
        self.constants: list[Any] = []
        self._refs: dict[int, Name] = {}
        self._extra: dict[Any, Name] = {}
        self._bind: list[Call] = []
        self._body: list[Call] = []
        self._count = 0
        functions = [self._section(section) for section in layout.sections]
        bound = [self._ref(x) if layout.is_bound(x) else None for x in layout.sections[0].inputs]
        self.code = Code(self._names, self._bind, functions, bound)

    # Sections.

    def _section(self, section: Section) -> Function:
        self._body = []
        arguments = []
        for node in section.inputs:
            place = self._layout.places[node.serial]
            name = self._new("a")
            arguments.append(name)
            if place.kind == "argument":
                self._refs[node.serial] = name
            else:
                self._do(_COPYTO, self._ref(node), name)
        for node in section.inputs:
            self._guard(section, node)
        for node in section.nodes:
            if self._layout.places[node.serial].kind == "result":
                self._allocate(node)
        for node in section.nodes:
            if node.operation is not None:
                self._emit(node)
            if section.guards:
                self._guard(section, node)
        first: set[int] = set()
        returned = []
        for node in section.outputs:
            # Equal results are one value, and still arrays of their own.
            returned.append(self._handed_out(node, again=node.serial in first))
            first.add(node.serial)
        return Function(section.name, arguments, self._body, returned)

    def _guard(self, section: Section, node: Node) -> None:
        """Look whether a value that steered Python is the one that was seen."""
        for guard in section.guards.get(node.serial, ()):
            self._do(self._function("see", see), self._ref(node), self._constant(guard.seen))

    def _allocate(self, node: Node) -> None:
        """Make new memory for a result."""
        name = self._refs[node.serial] = self._new("o")
        whole = node.operation is not assemble_op or where_is.is_covered(node)
        make = Name("empty" if whole else "zeros")
        self._body.append(Call(name, make, (node.shape, self._dtype(node))))

    def _handed_out(self, node: Node, again: bool) -> Name:
        """Return the name of a result: memory that nothing here will touch again."""
        place, ref = self._layout.places[node.serial], self._ref(node)
        if not again and (place.kind == "result" or self._lend):
            return ref
        if not again and node.shape and place.kind == "R":
            return self._let("r", COPY, (ref,), bound=False)
        copy = self._let("r", _ARRAY, (ref,), bound=False)
        return copy if node.shape else self._let("r", ITEM, (copy, ()), bound=False)

    # Names.

    def _do(self, function: Any, *args: Any) -> None:
        self._body.append(Call(None, function, args))

    def _new(self, prefix: str) -> Name:
        self._count += 1
        return f"{prefix}{self._count}"

    def _ref(self, node: Node) -> Name:
        """Return the name of a node's value, defining it where it can be defined."""
        name = self._refs.get(node.serial)
        if name is None:
            places, path = self._layout.places, [node]
            # A part of a part of a part: as long as the program, perhaps.
            while (of := places[path[-1].serial].of) is not None and of.serial not in self._refs:
                path.append(of)
            for each in reversed(path):
                name = self._refs[each.serial] = self._define(each, places[each.serial])
        assert name is not None
        return name

    def _define(self, node: Node, place: Place) -> Any:
        if place.kind == "constant":
            return self._constant(node.value)
        if place.of is not None:
            bound = self._layout.is_bound(node)
            base = self._ref(place.of)
            if place.kind != "part":
                return self._let("x", *_view(node, base), bound=bound)
            shape = place.of.shape
            if place.index is not None:
                shape = np.empty(shape, bool)[place.index].shape
                base = self._let("x", ITEM, (base, _index(place.index)), bound=bound)
            if shape == node.shape:
                return base
            return self._let("x", SHAPED, (base, node.shape), bound=bound)
        # Values that have a place one after the other have one view of it.
        key = (place.kind, place.offset, node.shape, node.dtype)
        if key not in self._extra:
            args = (node.shape, self._dtype(node), place.kind, place.offset)
            self._extra[key] = self._let("x", "ndarray", args, bound=True)
        return self._extra[key]

    def _let(self, prefix: str, function: Any, args: tuple[Any, ...], *, bound: bool) -> Name:
        """Name the result of a call, once per frame if its memory is bound, else where it stands."""
        name = self._new(prefix)
        if bound and function is SHAPED:
            # A view for good: if NumPy had to copy, it would never see another value.
            function = "reshaped"
        (self._bind if bound else self._body).append(Call(name, function, args))
        return name

    def _extra_view(self, node: Node, function: Any, *args: Any) -> Name:
        """Return the name of an attribute or view of a node's value."""
        ref = self._ref(node)
        if not self._layout.is_bound(node):
            return self._let("y", function, (ref, *args), bound=False)
        key = (ref, function, repr(args))
        if key not in self._extra:
            self._extra[key] = self._let("y", function, (ref, *args), bound=True)
        return self._extra[key]

    def _constant(self, value: Any) -> Any:
        """Return a constant: a number as it is, else a name."""
        if is_written(value) and type(value) is not tuple:
            return value
        key = ("constant", id(value))
        if key not in self._extra:
            self.constants.append(value)
            self._extra[key] = self._let("k", ITEM, ("K", len(self.constants) - 1), bound=True)
        return self._extra[key]

    def _dtype(self, node: Node) -> Name:
        dtype = node.dtype
        assert dtype is not None
        name = _DTYPES.get(dtype) or f"dtype_{dtype.name}{'' if dtype.isnative else '_swapped'}"
        self._names[name] = dtype
        return name

    def _function(self, name: str, function: Callable[..., Any]) -> Name:
        known = self._names.setdefault(name, function)
        if known is not function:
            return self._function(name + "_", function)
        return name

    def _watched(self, operation: Operation) -> Name:
        """Return the name of an operation's own function, which may raise."""
        if not operation.raises:
            return self._function(operation.name, operation.function)
        key = ("watched", operation)
        if key not in self._extra:
            self._extra[key] = self._function(operation.name, watched(operation.function, operation.raises))
        return self._extra[key]

    # One operation.

    def _emit(self, node: Node) -> None:
        operation = node.operation
        place = self._layout.places[node.serial]
        if place.kind == "view" or operation is reserve_op:
            return  # named where it is read
        if where_is.is_ufunc(operation) and not node.params:
            self._ufunc(node)
        elif operation in where_is.VIEWS:
            self._copy_reshaped(node)
        elif not where_is.writes(node):
            self._call(node, place)
        else:
            self._write(node)

    def _ufunc(self, node: Node) -> None:
        operation = node.operation
        assert operation is not None
        if operation is negative and not self._layout.is_contiguous(node):
            # np.negative writes wrong numbers to memory with a step of 64 bytes (NumPy 2.4.6 with AVX-512).
            self._do(self._function("multiply", np.multiply), self._ref(node.args[0]), -1, self._ref(node))
            return
        name = self._function(operation.function.__name__, operation.function)
        args = tuple(map(self._ref, node.args))
        if operation.function in (np.maximum, np.minimum):
            # NumPy deprecates a third positional argument of these two.
            self._body.append(Call(None, name, args, {"out": self._ref(node)}))
        else:
            self._do(name, *args, self._ref(node))

    def _write(self, node: Node) -> None:
        """Compute into given memory what is not a ufunc."""
        operation, args = node.operation, node.args
        if operation is assemble_op:
            self._assemble(node)
        elif where_is.is_dot(node):
            self._dot(args[0], self._ref(args[1]), self._ref(node))
        elif operation is sum_op:
            self._sum(node)
        elif operation in (max_op, min_op):
            ufunc: Any = np.maximum if operation is max_op else np.minimum
            reduce = self._function(f"{operation.name}_reduce", ufunc.reduce)
            self._do(reduce, self._ref(args[0]), node.params["axes"], None, self._ref(node), True)
        elif operation is gather_op:
            self._gather(node)
        elif operation is spread_op:
            self._do(_COPYTO, self._ref(node), self._ref(args[0]))
        elif operation is arrange_op:
            moved = self._extra_view(args[0], TRANSPOSED, node.params["axes"])
            self._do(_COPYTO, self._ref(node), moved)
        elif operation in (astype_op, cast_op):
            self._do(_COPYTO, self._ref(node), self._ref(args[0]), _UNSAFE)
        elif operation is outer_op:
            left = self._extra_view(args[0], ITEM, (..., slice(None), None))
            right = self._extra_view(args[1], ITEM, (..., None, slice(None)))
            self._do(self._function("multiply", np.multiply), left, right, self._ref(node))
        elif operation is where_is.WHERE:
            mask, taken, other = map(self._ref, args)
            self._do(_COPYTO, self._ref(node), other)
            self._do(_COPYTO, self._ref(node), taken, _SAME_KIND, mask)
        else:
            self._do(self._function("matmul", np.matmul), *map(self._ref, args), self._ref(node))

    def _dot(self, a: Node, b: Any, out: Any) -> None:
        if self._layout.is_bound(a):
            self._do(self._extra_view(a, DOT_OF), b, out)
        else:
            self._do(DOT, self._ref(a), b, out)

    def _gather(self, node: Node) -> None:
        positions, (x,) = node.params["positions"], node.args
        lead = x.shape[: len(x.shape) - len(positions.shape)]
        shape = (*lead, positions.size)
        # What is not in order is copied by reshaping: at every run, not once.
        if self._layout.is_in_order(x):
            flat = self._extra_view(x, SHAPED, shape)
        else:
            flat = self._let("y", SHAPED, (self._ref(x), shape), bound=False)
        self._do(self._function("take", take), flat, self._constant(positions.flat), self._ref(node))

    def _call(self, node: Node, place: Place) -> None:
        """Call the operation's own function; what it returns is new memory, kept where a later section reads it."""
        assert node.operation is not None
        name = self._watched(node.operation)
        keywords = {key: value if is_written(value) else self._constant(value) for key, value in node.params.items()}
        result = self._new("x")
        self._body.append(Call(result, name, tuple(map(self._ref, node.args)), keywords))
        if place.kind == "local":
            self._refs[node.serial] = result
        else:
            self._do(_COPYTO, self._ref(node), result)

    def _copy_reshaped(self, node: Node) -> None:
        """Put in order what cannot be reshaped as it lies."""
        (base,) = node.args
        if node.operation is reshape_op:
            self._do(_COPYTO, self._extra_view(node, SHAPED, base.shape), self._ref(base))
        else:
            self._do(_COPYTO, self._ref(node), self._let("y", *_view(node, self._ref(base)), bound=False))

    def _sum(self, node: Node) -> None:
        (x,), axes, keepdims = node.args, node.params["axes"], node.params["keepdims"]
        dtype = x.dtype
        assert dtype is not None
        # A sum along one axis of a matrix is a product with ones, which BLAS does two to five times as fast.
        as_product = not node.bitwise and dtype == node.dtype and dtype.kind == "f"
        if as_product and len(x.shape) == 2 and axes in ((-2,), (-1,)) and x.shape[axes[0]]:
            out = self._extra_view(node, SHAPED, -1) if keepdims else self._ref(node)
            ones = self._ones(x.shape[axes[0]], dtype)
            if axes == (-2,):
                self._do(ones[1], self._ref(x), out)
            else:
                self._dot(x, ones[0], out)
            return
        reduce = self._function("add_reduce", np.add.reduce)
        self._do(reduce, self._ref(x), axes, None, self._ref(node), keepdims)

    def _ones(self, length: int, dtype: np.dtype) -> tuple[Name, Name]:
        """Return the names of a vector of ones and of its product with something."""
        key, product = ("ones", length, dtype), ("ones dot", length, dtype)
        if key not in self._extra:
            self.constants.append(np.ones(length, dtype))
            name = self._extra[key] = self._let("k", ITEM, ("K", len(self.constants) - 1), bound=True)
            self._extra[product] = self._let("k", DOT_OF, (name,), bound=True)
        return self._extra[key], self._extra[product]

    def _assemble(self, node: Node) -> None:
        for start, stop in _runs(where_is.holes(node)):
            flat = self._extra_view(node, SHAPED, -1)
            if self._layout.is_bound(node):
                key = (node.serial, "hole", start)
                self._extra[key] = self._let("y", ITEM, (flat, (slice(start, stop),)), bound=True)
                self._do(FILL, self._extra[key], 0)
            else:
                self._do(FILL, self._let("y", ITEM, (flat, (slice(start, stop),)), bound=False), 0)
        add = self._function("add", np.add)
        for piece, index, role in zip(node.args, node.params["indices"], where_is.roles(node), strict=True):
            if self._is_placed(piece, node):
                continue
            target = self._extra_view(node, ITEM, _index(index))
            if role == "add":
                self._do(add, target, self._ref(piece), target)
            else:
                self._do(_COPYTO, target, self._ref(piece))

    def _is_placed(self, piece: Node, target: Node) -> bool:
        """Tell whether a piece has been computed right in its target."""
        while piece.operation is reshape_op:
            piece = piece.args[0]
        place = self._layout.places[piece.serial]
        return place.kind == "part" and place.of is target


_DTYPES = {np.dtype(name): f"dtype_{name}" for name in ("float64", "float32", "bool", "int64")}


def take(flat: np.ndarray, positions: np.ndarray, out: np.ndarray) -> None:
    """Pick elements along the last axis into given memory."""
    flat.take(positions, -1, out, "clip")


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
        return ITEM, (base, _index(params["index"]))
    assert operation is broadcast_op
    return "broadcast_to", (base, node.shape)


def _index(index: tuple[Any, ...]) -> tuple[Any, ...]:
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


def _runs(mask: np.ndarray) -> list[tuple[int, int]]:
    """Return the stretches of a raveled mask that are true."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], mask.ravel(), [False]]).astype(np.int8)))
    return [(int(a), int(b)) for a, b in edges.reshape(-1, 2)]
