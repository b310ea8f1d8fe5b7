"""From a graph with places to straight-line Python.

The source of a program is one function, ``bind(K, R, T)``: it takes the constants and the two arenas of a frame, names every
view and bound method that the sections need, and returns the sections as closures, and the inputs it keeps. What a section
then does per call is one line per array operation, with everything in place.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from hessian.core.tape import GuardMiss
from hessian.programs import layout as where_is
from hessian.programs.assemble import assemble_op
from hessian.programs.batch import arrange_op, spread_op
from hessian.programs.graph import Node
from hessian.programs.layout import Layout, Place, Section
from hessian.programs.rows import reserve_op
from hessian.rules.elementwise import negative
from hessian.rules.indexing import gather_op, slice_op
from hessian.rules.products import outer_op
from hessian.rules.reductions import max_op, min_op, sum_op
from hessian.rules.shaping import astype_op, broadcast_op, cast_op, permute_op, reshape_op

LONG = 4000
"""Lines from which on a program is compiled in pieces."""


@dataclass(frozen=True)
class _Function:
    """A section as source."""

    name: str
    arguments: list[str]
    lines: list[str]
    results: str


class Source:
    """Python source of a program, with the objects its names stand for.

    Parameters
    ----------
    layout : Layout
    lend : bool
        Return results where they are instead of handing out copies.

    Attributes
    ----------
    text : str
    names : dict
        Functions and NumPy objects by name.
    constants : list
        What ``K`` holds.
    """

    def __init__(self, layout: Layout, *, lend: bool = False) -> None:
        self._layout = layout
        self._lend = lend
        self.names: dict[str, Any] = {"ndarray": np.ndarray, "empty": np.empty, "zeros": np.zeros, "array": np.array}
        self.names.update(copyto=np.copyto, broadcast_to=np.broadcast_to)
        self.constants: list[Any] = []
        self._refs: dict[int, str] = {}
        self._extra: dict[Any, str] = {}
        self._bind: list[str] = []
        self._body: list[str] = []
        self._count = 0
        self._functions = [self._section(section) for section in layout.sections]
        kept = [self._ref(x) if layout.is_bound(x) else "None" for x in layout.sections[0].inputs]
        self._kept = f"({''.join(name + ', ' for name in kept)})"
        self.text = self._text()

    def compile(self) -> Callable[..., Any]:
        """Return ``bind``."""
        if len(self._bind) + sum(len(function.lines) for function in self._functions) > LONG:
            return self._compile_in_pieces()
        scope = dict(self.names)
        exec(compile(self.text, "<hessian program>", "exec"), scope)
        return scope["bind"]

    def _text(self) -> str:
        lines = ["def bind(K, R, T, P=None):", *("    " + line for line in self._bind)]
        for function in self._functions:
            lines.append(f"    def {function.name}({', '.join(function.arguments)}):")
            lines += ["        " + line for line in (*function.lines, f"return {function.results}")]
        names = "".join(function.name + ", " for function in self._functions)
        return "\n".join([*lines, f"    return ({names}), {self._kept}", ""])

    def _compile_in_pieces(self) -> Callable[..., Any]:
        """Return ``bind`` for a long program.

        Python's compiler takes time that grows faster than the length of a function with its number of free variables: 4 s for
        a recurrence of a thousand steps. The same lines run as pieces in a name space of each frame.
        """
        binding = _pieces(self._bind)
        functions = [
            (f.arguments, _pieces(f.lines), compile(f.results, "<hessian program>", "eval")) for f in self._functions
        ]
        kept, names = compile(self._kept, "<hessian program>", "eval"), self.names

        def bind(K: Any, R: Any, T: Any, P: Any = None) -> Any:
            space = {**names, "K": K, "R": R, "T": T, "P": P}
            for code in binding:
                exec(code, space)

            def section(arguments: list[str], body: list[Any], results: Any) -> Callable[..., Any]:
                def run(*inputs: Any) -> Any:
                    space.update(zip(arguments, inputs, strict=True))
                    for code in body:
                        exec(code, space)
                    return eval(results, space)

                return run

            return tuple(section(*function) for function in functions), eval(kept, space)

        return bind

    # Sections.

    def _section(self, section: Section) -> _Function:
        self._body = []
        arguments = []
        for node in section.inputs:
            place = self._layout.places[node.serial]
            name = self._new("a")
            arguments.append(name)
            if place.kind == "argument":
                self._refs[node.serial] = name
            else:
                self._body.append(f"copyto({self._ref(node)}, {name})")
        for node in section.inputs:
            self._guard(section, node)
        for node in section.nodes:
            if self._layout.places[node.serial].kind == "result":
                self._allocate(node)
        for node in section.nodes:
            if node.operation is not None:
                self._emit(node)
            self._guard(section, node)
        first: set[int] = set()
        returned = []
        for node in section.outputs:
            # Equal results are one value, and still arrays of their own.
            returned.append(f"array({self._ref(node)})[()]" if node.serial in first else self._handed_out(node))
            first.add(node.serial)
        results = ", ".join(returned)
        return _Function(section.name, arguments, self._body, f"({results},)" if section.outputs else "()")

    def _guard(self, section: Section, node: Node) -> None:
        """Look whether a value that steered Python is the one that was seen."""
        for guard in section.guards.get(node.serial, ()):
            self.names["differs"] = differs
            self.names["GuardMiss"] = GuardMiss
            self._body.append(f"if differs({self._ref(node)}, {self._constant(guard.seen)}): raise GuardMiss")

    def _allocate(self, node: Node) -> None:
        """Make new memory for a result."""
        name = self._refs[node.serial] = self._new("o")
        whole = node.operation is not assemble_op or where_is.is_covered(node)
        make = "empty" if whole else "zeros"
        self._body.append(f"{name} = {make}({node.shape}, {self._dtype(node)})")

    def _handed_out(self, node: Node) -> str:
        """Return the expression of a result: memory that nothing here will touch again."""
        place, ref = self._layout.places[node.serial], self._ref(node)
        if place.kind == "result" or self._lend:
            return ref
        return f"array({ref})[()]" if not node.shape else f"array({ref})" if place.kind != "R" else f"{ref}.copy()"

    # Names.

    def _new(self, prefix: str) -> str:
        self._count += 1
        return f"{prefix}{self._count}"

    def _ref(self, node: Node) -> str:
        """Return the name of a node's value, defining it where it can be defined."""
        name = self._refs.get(node.serial)
        if name is None:
            name = self._refs[node.serial] = self._define(node, self._layout.places[node.serial])
        return name

    def _define(self, node: Node, place: Place) -> str:
        if place.kind == "constant":
            return self._constant(node.value)
        if place.of is not None:
            base = self._ref(place.of)
            if place.kind == "part":
                view = base if place.index is None else f"{base}[{_index(place.index)}]"
                shape = place.of.shape if place.index is None else np.empty(place.of.shape, bool)[place.index].shape
                expression = view if shape == node.shape else f"{view}.reshape({node.shape})"
            else:
                expression = _view(node, base)
            return self._let("x", expression, self._layout.is_bound(node))
        name = self._new("x")
        self._bind.append(f"{name} = ndarray({node.shape}, {self._dtype(node)}, {place.kind}, {place.offset})")
        return name

    def _let(self, prefix: str, expression: str, bound: bool) -> str:
        """Name the value of an expression, once per frame if its memory is bound, else where it stands."""
        name = self._new(prefix)
        if bound and ".reshape(" in expression:
            # A view for good: if NumPy had to copy, it would never see another value.
            base, _, rest = expression.partition(".reshape(")
            shape, _, more = rest.partition(")" if not rest.startswith("(") else "))")
            shape = shape if not rest.startswith("(") else shape + ")"
            self.names["reshaped"] = reshaped
            expression = f"reshaped({base}, {shape}){more}"
        (self._bind if bound else self._body).append(f"{name} = {expression}")
        return name

    def _extra_view(self, node: Node, suffix: str) -> str:
        """Return the name of an attribute, method or view of a node's value."""
        bound = self._layout.is_bound(node)
        if not bound:
            return self._ref(node) + suffix
        key = (node.serial, suffix)
        if key not in self._extra:
            self._extra[key] = self._let("y", self._ref(node) + suffix, True)
        return self._extra[key]

    def _constant(self, value: Any) -> str:
        if type(value) in (int, bool) or (type(value) is float and math.isfinite(value)):
            return repr(value)
        key = ("constant", id(value))
        if key not in self._extra:
            self.constants.append(value)
            self._extra[key] = self._let("k", f"K[{len(self.constants) - 1}]", True)
        return self._extra[key]

    def _dtype(self, node: Node) -> str:
        assert node.dtype is not None
        name = f"dtype_{node.dtype.name}{'' if node.dtype.isnative else '_swapped'}"
        self.names[name] = node.dtype
        return name

    def _function(self, name: str, function: Callable[..., Any]) -> str:
        known = self.names.setdefault(name, function)
        if known is not function:
            return self._function(name + "_", function)
        return name

    # One operation.

    def _emit(self, node: Node) -> None:
        layout, operation = self._layout, node.operation
        place = layout.places[node.serial]
        if place.kind == "view" or operation is reserve_op:
            return  # named where it is read
        if operation in where_is.VIEWS:
            self._copy_reshaped(node)
            return
        if not where_is.writes(node):
            self._call(node, place)
            return
        assert operation is not None
        if operation is assemble_op:
            self._assemble(node)
        elif operation is negative and not layout.is_contiguous(node):
            # np.negative writes wrong numbers to memory with a step of 64 bytes (NumPy 2.4.6 with AVX-512).
            self._body.append(
                f"{self._function('multiply', np.multiply)}({self._ref(node.args[0])}, -1, {self._ref(node)})"
            )
        elif where_is.is_ufunc(operation):
            name = self._function(operation.function.__name__, operation.function)
            # NumPy deprecates a third positional argument of these two.
            out = "out=" if operation.function in (np.maximum, np.minimum) else ""
            self._body.append(f"{name}({', '.join(map(self._ref, node.args))}, {out}{self._ref(node)})")
        elif where_is.is_dot(node):
            a, b = node.args
            self._body.append(f"{self._extra_view(a, '.dot')}({self._ref(b)}, {self._ref(node)})")
        elif operation is sum_op:
            self._sum(node)
        elif operation in (max_op, min_op):
            ufunc: Any = np.maximum if operation is max_op else np.minimum
            reduce = self._function(f"{operation.name}_reduce", ufunc.reduce)
            self._body.append(
                f"{reduce}({self._ref(node.args[0])}, {node.params['axes']}, None, {self._ref(node)}, True)"
            )
        elif operation is gather_op:
            positions, (x,) = node.params["positions"], node.args
            lead = x.shape[: len(x.shape) - len(positions.shape)]
            shape = f".reshape({(*lead, positions.size)})"
            # What is not in order is copied by reshaping: at every run, not once.
            flat = self._extra_view(x, shape) if self._layout.is_in_order(x) else self._ref(x) + shape
            self._body.append(f"{flat}.take({self._constant(positions.flat)}, -1, {self._ref(node)}, 'clip')")
        elif operation is spread_op:
            self._body.append(f"copyto({self._ref(node)}, {self._ref(node.args[0])})")
        elif operation is arrange_op:
            moved = self._extra_view(node.args[0], f".transpose({node.params['axes']})")
            self._body.append(f"copyto({self._ref(node)}, {moved})")
        elif operation in (astype_op, cast_op):
            self._body.append(f"copyto({self._ref(node)}, {self._ref(node.args[0])}, 'unsafe')")
        elif operation is outer_op:
            left = self._extra_view(node.args[0], "[..., :, None]")
            right = self._extra_view(node.args[1], "[..., None, :]")
            self._body.append(f"{self._function('multiply', np.multiply)}({left}, {right}, {self._ref(node)})")
        elif operation is where_is.WHERE:
            mask, taken, other = map(self._ref, node.args)
            self._body.append(f"copyto({self._ref(node)}, {other})")
            self._body.append(f"copyto({self._ref(node)}, {taken}, 'same_kind', {mask})")
        else:
            factors = ", ".join(map(self._ref, node.args))
            self._body.append(f"{self._function('matmul', np.matmul)}({factors}, {self._ref(node)})")

    def _call(self, node: Node, place: Place) -> None:
        """Call the operation's own function; what it returns is new memory, kept where a later section reads it."""
        assert node.operation is not None
        name = self._function(node.operation.name, node.operation.function)
        keywords = "".join(f", {key}={self._parameter(value)}" for key, value in node.params.items())
        call = f"{name}({', '.join(map(self._ref, node.args))}{keywords})"
        if place.kind == "local":
            self._refs[node.serial] = self._let("x", call, False)
        else:
            self._body.append(f"copyto({self._ref(node)}, {call})")

    def _parameter(self, value: Any) -> str:
        if type(value) in (int, bool, str, type(None)) or (type(value) is float and math.isfinite(value)):
            return repr(value)
        if isinstance(value, tuple) and all(type(part) is int for part in value):
            return repr(value)
        return self._constant(value)

    def _copy_reshaped(self, node: Node) -> None:
        """Put in order what cannot be reshaped as it lies."""
        (base,) = node.args
        if node.operation is reshape_op:
            self._body.append(f"copyto({self._extra_view(node, f'.reshape({base.shape})')}, {self._ref(base)})")
        else:
            self._body.append(f"copyto({self._ref(node)}, {_view(node, self._ref(base))})")

    def _sum(self, node: Node) -> None:
        (x,), axes, keepdims = node.args, node.params["axes"], node.params["keepdims"]
        dtype = x.dtype
        assert dtype is not None
        # A sum along one axis of a matrix is a product with ones, which BLAS does two to five times as fast.
        as_product = not node.exact and dtype == node.dtype and dtype.kind == "f"
        if as_product and len(x.shape) == 2 and axes in ((-2,), (-1,)) and x.shape[axes[0]]:
            out = self._extra_view(node, ".reshape(-1)") if keepdims else self._ref(node)
            ones = self._ones(x.shape[axes[0]], dtype)
            if axes == (-2,):
                self._body.append(f"{ones}_dot({self._ref(x)}, {out})")
            else:
                self._body.append(f"{self._extra_view(x, '.dot')}({ones}, {out})")
            return
        reduce = self._function("add_reduce", np.add.reduce)
        self._body.append(f"{reduce}({self._ref(x)}, {axes}, None, {self._ref(node)}, {keepdims})")

    def _ones(self, length: int, dtype: np.dtype) -> str:
        key = ("ones", length, dtype)
        if key not in self._extra:
            self.constants.append(np.ones(length, dtype))
            name = self._extra[key] = self._let("k", f"K[{len(self.constants) - 1}]", True)
            self._bind.append(f"{name}_dot = {name}.dot")
        return self._extra[key]

    def _assemble(self, node: Node) -> None:
        for start, stop in _runs(where_is.holes(node)):
            self._body.append(f"{self._extra_view(node, f'.reshape(-1)[{start}:{stop}]')}.fill(0)")
        add = self._function("add", np.add)
        for piece, index, role in zip(node.args, node.params["indices"], where_is.roles(node), strict=True):
            if self._is_placed(piece, node):
                continue
            target = self._extra_view(node, f"[{_index(index)}]")
            if role == "add":
                self._body.append(f"{add}({target}, {self._ref(piece)}, {target})")
            else:
                self._body.append(f"copyto({target}, {self._ref(piece)})")

    def _is_placed(self, piece: Node, target: Node) -> bool:
        """Tell whether a piece has been computed right in its target."""
        while piece.operation is reshape_op:
            piece = piece.args[0]
        place = self._layout.places[piece.serial]
        return place.kind == "part" and place.of is target


def _pieces(lines: list[str]) -> list[Any]:
    """Compile lines in pieces."""
    return [compile("\n".join(lines[i : i + 1000]), "<hessian program>", "exec") for i in range(0, len(lines), 1000)]


def reshaped(x: np.ndarray, shape: Any) -> np.ndarray:
    """Return a view of another shape, never a copy."""
    view = x.reshape(shape)
    if view.base is None or (view.base is not x and view.base is not x.base):
        raise RuntimeError(
            f"hessian.programs: an array of shape {x.shape}, strides {x.strides} has no view of shape {shape}"
        )
    return view


def differs(value: Any, seen: np.ndarray) -> bool:
    """Tell whether a guarded value is not the one that was seen."""
    if seen.ndim == 0:
        return not (value == seen or (value != value and seen != seen))
    return not (np.array_equal(value, seen) or (seen.dtype.kind == "f" and np.array_equal(value, seen, equal_nan=True)))


def _view(node: Node, base: str) -> str:
    """Return the expression of a view."""
    operation, params = node.operation, node.params
    if operation is reshape_op:
        return f"{base}.reshape({node.shape})"
    if operation is permute_op:
        axes = params["axes"]
        return f"{base}.T" if axes == tuple(reversed(range(len(axes)))) else f"{base}.transpose({axes})"
    if operation is slice_op:
        return f"{base}[{_index(params['index'])}]"
    assert operation is broadcast_op
    return f"broadcast_to({base}, {node.shape})"


def _index(index: tuple[Any, ...]) -> str:
    parts = []
    for part in index:
        if isinstance(part, slice):
            pieces = ["" if x is None else str(int(x)) for x in (part.start, part.stop)]
            parts.append(":".join(pieces) + ("" if part.step is None else f":{int(part.step)}"))
        else:
            parts.append("None" if part is None else str(int(part)))
    # Integers alone would give a number; with the ellipsis it is a view.
    return ", ".join([*parts, "..."])


def _runs(mask: np.ndarray) -> list[tuple[int, int]]:
    """Return the stretches of a raveled mask that are true."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], mask.ravel(), [False]]).astype(np.int8)))
    return [(int(a), int(b)) for a, b in edges.reshape(-1, 2)]
