"""Compiled programs and the frames they run in."""

from __future__ import annotations

import contextvars
import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from hessian.programs.backends.base import arena
from hessian.programs.backends.choice import chosen_backend
from hessian.programs.compilation import paused_collection
from hessian.programs.ir import Guard, Node, Section, reachable
from hessian.programs.passes.job import Job, SectionSpec
from hessian.programs.passes.place import Layout, Place
from hessian.programs.pipeline import compile_sections, run_passes
from hessian.programs.verify import verify

_SPARE_FRAMES = 4


class Program:
    """A recorded computation, compiled to straight-line Python, in sections that run one after the other.

    Parameters
    ----------
    whole : Section
        All that is computed, its inputs and outputs.
    specs : sequence of SectionSpec
        The sections to cut. What a section computes stays for the later ones.

    Notes
    -----
    A program is run in a :class:`Frame`, which owns its memory. Frames are handed out to one caller at a time, so that any
    number of threads may use a program; results are copies, or memory of their own.
    """

    def __init__(self, whole: Section, specs: Sequence[SectionSpec]) -> None:
        verify([whole], "trace")
        self.sections = run_passes("program", [whole], Job(chosen_backend(), specs))
        self._compile()

    def _compile(self) -> None:
        self._spare: list[Frame] = []
        #: Batched programs of sections that take a direction, by their number; see :mod:`hessian.programs.runtime.directions`.
        self.batched: dict[int, Any] = {}
        self.numbers = {section.name: i for i, section in enumerate(self.sections)}
        #: The last section that products wait for: those that take no direction come first.
        self.last_at_point = max((i for i, section in enumerate(self.sections) if not section.inputs), default=0)
        job = Job(chosen_backend())
        sections = run_passes("run", self.sections, job)
        layout, self._executable = compile_sections(sections, job)
        self._sizes = layout.sizes
        #: Where values are that batched programs find computed. They are made from the sections as they were before the last passes.
        self.places = {key: place for key, place in layout.places.items() if _lasts(place, layout)}
        for section in sections:
            renewed = {old: self.places.get(new.serial) for old, new in section.stands_for.items()}
            self.places.update({old: place for old, place in renewed.items() if place is not None})

    @property
    def source(self) -> str:
        """The program as Python source."""
        return str(self._executable.code)

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
            has_check = len(self.sections) > 1 and self.sections[1].name == "check"
            return frame.call(run_first, frame.sections, inputs, check and has_check)
        finally:
            self.release(frame)  # whatever was left undone is written again by the next run

    def __getstate__(self) -> dict[str, Any]:
        return pack(self.sections)

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.sections = unpack(state)
        with paused_collection():
            self._compile()

    def __repr__(self) -> str:
        counts = ", ".join(f"{s.name}: {sum(1 for n in s.nodes if n.operation)} operations" for s in self.sections)
        return f"<Program {counts}>"

    def __str__(self) -> str:
        return describe(self.sections)


class Run(NamedTuple):
    """What a run of the first section gives: its results, the function's own where they are another section, whether all is finite."""

    values: tuple[Any, ...]
    checked: tuple[Any, ...] | None
    finite: bool


def run_first(sections: Sequence[Any], inputs: Sequence[Any], check: bool) -> Run:
    """Run the first section, and the second one if that gives the function's own results to check them."""
    values = sections[0](*inputs)
    checked = sections[1]() if check else None
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
        return program._executable.bind(self.residuals, arena(program._sizes["T"]))

    def more(self) -> tuple[tuple[Any, ...], Callable[..., Any]]:
        """Return the sections again, with scratch memory of their own, and what calls them."""
        return self._bound()[0], silent()

    def __repr__(self) -> str:
        return f"<Frame of {self._program!r}>"


def pack(sections: Sequence[Section]) -> dict[str, Any]:
    """Return sections as plain lists, nodes by number: pickling them as they are would recurse as deep as a program is long."""
    nodes = reachable([n for s in sections for n in (*s.inputs, *s.nodes, *s.ends)])
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
                [(number[g.node.serial], g.seen, g.early) for g in s.guards],
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
        guards = [Guard(nodes[i], seen, early) for i, seen, early in found]
        given, computed, returned = ([nodes[i] for i in part] for part in (inputs, inside, outputs))
        sections.append(Section(name, given, computed, returned, guards))
    return sections


def describe(sections: Sequence[Section]) -> str:
    """Return the operations of a program, one per line, as a reader would write them, and what its guards have to see."""
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
        for guard in section.guards:
            seen = (
                guard.seen.tolist() if guard.seen.size <= 4 else f"as recorded, {'x'.join(map(str, guard.seen.shape))}"
            )
            lines.append(f"    guard {name(guard.node)}: {seen}")
        lines.append(f"    return {', '.join(name(n) for n in section.outputs)}".rstrip())
    return "\n".join(lines)
