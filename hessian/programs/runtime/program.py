"""Compiled programs and the frames they run in."""

from __future__ import annotations

import contextvars
import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from hessian.programs.backends.numpy import Source
from hessian.programs.capture import Graph, Guard
from hessian.programs.compilation import paused_collection
from hessian.programs.ir import DIRECTION, Node, reachable
from hessian.programs.passes.assemble import assemble
from hessian.programs.passes.place import Layout, Place, Section
from hessian.programs.passes.rows import RowSplitter, rows_of
from hessian.programs.verify import sections_of, verify, verify_layout

_SPARE_FRAMES = 4
SectionSpec = tuple[str, Sequence[int], "Sequence[int] | None"]


class Program:
    """A recorded computation, compiled to straight-line Python, in sections that run one after the other.

    Parameters
    ----------
    graph : Graph
    sections : sequence of (name, input numbers, output numbers)
        Which inputs each section takes and which outputs it returns. What a section computes stays for the later ones.
        ``None`` for the outputs: everything that the later sections need and that depends on the point alone.

    Notes
    -----
    A program is run in a :class:`Frame`, which owns its memory. Frames are handed out to one caller at a time, so that any
    number of threads may use a program; results are copies, or memory of their own.
    """

    def __init__(self, graph: Graph, sections: Sequence[SectionSpec]) -> None:
        self.sections = _cut(graph, sections)
        verify(self.sections, "assemble")
        self._spare: list[Frame] = []
        #: Batched programs of sections that take a direction, by their number; see :mod:`hessian.programs.runtime.directions`.
        self.batched: dict[int, Any] = {}
        self._compile()

    def _compile(self) -> None:
        sections, renewed = _by_rows(self.sections)
        verify(sections, "rows")
        layout = Layout(sections)
        verify_layout(layout)
        emitted = Source(layout)
        self.code = emitted.code
        self.places = {key: place for key, place in layout.places.items() if _lasts(place, layout)}
        # Batched programs are made from the sections as they were before they were split by rows.
        self.places.update({old: self.places[new.serial] for old, new in renewed.items() if new.serial in self.places})
        self._constants = emitted.constants
        self._sizes = layout.sizes
        self.numbers = {section.name: i for i, section in enumerate(self.sections)}
        self._bind = emitted.code.bind()

    @property
    def source(self) -> str:
        """The program as Python source."""
        return self.code.text

    def frame(self) -> Frame:
        """Return a frame to run in: a spare one, or a new one."""
        try:
            return self._spare.pop()
        except IndexError:
            return Frame(self)

    def release(self, frame: Frame) -> None:
        """Take back a frame that nobody uses any more."""
        if len(self._spare) < _SPARE_FRAMES:
            self._spare.append(frame)

    def run(self, inputs: Sequence[Any], check: bool = False) -> Run:
        """Run the first section; with ``check`` return the function's own results as well, if they are a section."""
        frame = self.frame()
        try:
            return frame.call(run_first, frame.sections, inputs, check)
        finally:
            self.release(frame)  # whatever was left undone is written again by the next run

    def __getstate__(self) -> dict[str, Any]:
        return pack(self.sections)

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.sections = unpack(state)
        self._spare = []
        self.batched = {}
        with paused_collection():
            self._compile()

    def __repr__(self) -> str:
        counts = ", ".join(f"{s.name}: {sum(1 for n in s.nodes if n.operation)} operations" for s in self.sections)
        return f"<Program {counts}>"

    def __str__(self) -> str:
        return describe(self.sections)


def _by_rows(sections: list[Section]) -> tuple[list[Section], dict[int, Node]]:
    """Let long batches run in blocks of rows, where they are independent; second, what stands for each old node."""
    length = rows_of([node for section in sections for node in section.nodes])
    if length is None:
        return sections, {}
    splitter = RowSplitter(length, compile_block)
    result = []
    for number, section in enumerate(sections):
        later = {arg.serial for other in sections[number + 1 :] for node in other.nodes for arg in node.args}
        result.append(splitter.split(section, later))
    return result, splitter.renewed


class Run(NamedTuple):
    """What a run of the first section gives: its results, the function's own where they are another section, whether all is finite."""

    values: tuple[Any, ...]
    checked: tuple[Any, ...] | None
    finite: bool


def run_first(sections: Sequence[Any], inputs: Sequence[Any], check: bool) -> Run:
    """Run the first section, and the second one if the first is to be checked."""
    values = sections[0](*inputs)
    checked = sections[1]() if check and len(sections) > 1 else None
    return Run(values, checked, all(map(is_finite, values)))


def silent() -> Callable[..., Any]:
    """Return a function that calls another one with NumPy's floating-point errors ignored; one call at a time.

    NumPy keeps its error state in a context variable: to enter a context takes a twentieth of the time of ``np.errstate``.
    """
    context = contextvars.Context()
    context.run(np.seterr, all="ignore")
    return context.run


def is_finite(x: Any) -> bool:
    """Tell whether a number, or every element of an array, is finite. Sums decide: they are never finite when it is not."""
    if isinstance(x, np.ndarray):
        if x.dtype.kind != "f":
            return True
        return math.isfinite(x.dot(x) if x.ndim == 1 and x.size < 4096 else np.add.reduce(x, axis=None))
    return math.isfinite(x)


def _lasts(place: Place, layout: Layout) -> bool:
    """Tell whether a value is there for batched programs: it, or what it is a view of, outlives its section."""
    while place.kind == "view" and place.of is not None:
        place = layout.places[place.of.serial]
    return place.kind in ("R", "constant")


def compile_block(section: Section) -> Any:
    """Compile a section whose inputs stay where they are; return a function that binds it to memory of its own."""
    # Memory to fill may be cut along another axis than the first: only elementwise results are computed right into it.
    layout = Layout([section], {n.serial: Place("argument", block=n.operation is None) for n in section.inputs})
    verify([section], "block")
    verify_layout(layout)
    emitted = Source(layout, lend=True)
    bind = emitted.code.bind()

    def make() -> Any:
        return bind(emitted.constants, arena(layout.sizes["R"]), arena(layout.sizes["T"]))[0][0]

    return make


class Frame:
    """Memory for one run of a program, with the program's sections bound to it.

    Attributes
    ----------
    sections : tuple of callables
    call : callable
        Calls a function with floating-point errors ignored.
    residuals : ndarray of bytes
        The arena ``R``.
    inputs : tuple of ndarray
        Those of the first section, as the frame keeps them; ``None`` for one that stays where the caller has it.
    """

    __slots__ = ("_program", "call", "inputs", "residuals", "sections")

    def __init__(self, program: Program) -> None:
        self._program = program
        self.residuals = arena(program._sizes["R"])
        self.sections, self.inputs = self._bound()
        self.call = silent()

    def _bound(self) -> Any:
        program = self._program
        return program._bind(program._constants, self.residuals, arena(program._sizes["T"]))

    def more(self) -> tuple[tuple[Any, ...], Callable[..., Any]]:
        """Return the sections again, with scratch memory of their own, and what calls them."""
        return self._bound()[0], silent()

    def __repr__(self) -> str:
        return f"<Frame of {self._program!r}>"


def arena(size: int) -> np.ndarray:
    """Return zeroed memory that starts on a cache line."""
    raw = np.zeros(size + 64, np.uint8)
    start = -raw.ctypes.data % 64
    return raw[start : start + size]


def _cut(graph: Graph, sections: Sequence[SectionSpec]) -> list[Section]:
    """Distribute the nodes of a graph over the sections that need them first."""
    guarded = [guard.node for guard in graph.guards]
    roots = [*graph.outputs, *guarded]
    nodes = reachable([*roots, *graph.inputs])
    verify(sections_of("whole", graph.inputs, nodes, roots), "trace")
    new = assemble(nodes, roots)
    for guard in graph.guards:
        guard.node = new[guard.node.serial]
    inputs, outputs = [new[n.serial] for n in graph.inputs], [new[n.serial] for n in graph.outputs]
    done: set[int] = set()
    result = []
    for number, (name, taken, given) in enumerate(sections):
        if given is None:
            later = [outputs[i] for _, _, rest in sections[number + 1 :] for i in rest or ()]
            ahead = [n for n in reachable(later, done) if n.level < DIRECTION and n.operation]
            result.append(Section(name, [inputs[i] for i in taken], ahead, []))
            done.update(n.serial for n in ahead)
            continue
        returned = [outputs[i] for i in given]
        # What a value depends on is checked with it; derivatives may have guards of their own.
        due = [g for g in graph.guards if g.early or number > 0 or name != "value"]
        due = [g for g in due if id(g) not in done]
        nodes = reachable([*returned, *(g.node for g in due)], done)
        guards: dict[int, list[Any]] = {}
        for guard in due:
            guards.setdefault(guard.node.serial, []).append(guard)
        result.append(Section(name, [inputs[i] for i in taken], [n for n in nodes if n.operation], returned, guards))
        done.update(n.serial for n in nodes)
        done.update(id(g) for g in due)
    return result


def pack(sections: Sequence[Section]) -> dict[str, Any]:
    """Return sections as plain lists, nodes by number: pickling them as they are would recurse as deep as a program is long."""
    roots = [n for s in sections for n in (*s.inputs, *s.nodes, *s.outputs)]
    nodes = reachable([*roots, *(g.node for s in sections for found in s.guards.values() for g in found)])
    number = {node.serial: i for i, node in enumerate(nodes)}

    def numbers(of: Sequence[Node]) -> list[int]:
        return [number[node.serial] for node in of]

    return {
        "nodes": [
            (n.operation, numbers(n.args), n.params, n.shape, n.dtype, n.level, n.value, n.bitwise) for n in nodes
        ],
        "sections": [
            (
                *(s.name, numbers(s.inputs), numbers(s.nodes), numbers(s.outputs)),
                [(number[g.node.serial], g.seen, g.early) for found in s.guards.values() for g in found],
            )
            for s in sections
        ],
    }


def unpack(state: dict[str, Any]) -> list[Section]:
    """Return the sections that :func:`pack` has put away."""
    nodes: list[Node] = []
    for operation, args, *rest in state["nodes"]:
        nodes.append(Node(operation, tuple(nodes[i] for i in args), *rest))
    sections = []
    for name, inputs, inside, outputs, found in state["sections"]:
        guards: dict[int, list[Any]] = {}
        for i, seen, early in found:
            guards.setdefault(nodes[i].serial, []).append(Guard(nodes[i], seen, early))
        given, computed, returned = ([nodes[i] for i in part] for part in (inputs, inside, outputs))
        sections.append(Section(name, given, computed, returned, guards))
    return sections


def describe(sections: Sequence[Section]) -> str:
    """Return the operations of a program, one per line, as a reader would write them."""
    names: dict[int, str] = {}
    lines: list[str] = []

    def name(node: Node) -> str:
        if node.serial not in names:
            if node.is_constant:
                number = node.scalar()
                names[node.serial] = repr(number) if not node.shape else f"constant{list(node.shape)}"
            else:
                names[node.serial] = f"v{len(names)}"
        return names[node.serial]

    for section in sections:
        lines.append(f"{section.name}({', '.join(name(n) for n in section.inputs)}):")
        for node in section.nodes:
            assert node.operation is not None
            arguments = ", ".join(name(arg) for arg in node.args)
            shape = "x".join(map(str, node.shape)) or "scalar"
            lines.append(f"    {name(node)} = {node.operation.name}({arguments})    # {node.dtype} {shape}")
        lines.append(f"    return {', '.join(name(n) for n in section.outputs)}")
    return "\n".join(lines)
