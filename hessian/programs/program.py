"""Compiled programs and the frames they run in."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from hessian.programs.assemble import assemble
from hessian.programs.emit import Source
from hessian.programs.graph import DIRECTION, Node, reachable
from hessian.programs.layout import Layout, Section
from hessian.programs.tracing import Graph

if TYPE_CHECKING:
    from hessian.programs.directions import Directions

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
        self._spare: list[Frame] = []
        self._directions: dict[int, Directions] = {}
        self._compile()

    def _compile(self) -> None:
        layout = Layout(self.sections)
        emitted = Source(layout)
        self.source = emitted.text
        self.places = {key: place for key, place in layout.places.items() if place.kind in ("R", "constant", "view")}
        self._constants = emitted.constants
        self._sizes = layout.sizes
        self._bind = compiled(emitted)

    def frame(self) -> Frame:
        """Return a frame to run in: a spare one, or a new one."""
        try:
            return self._spare.pop()
        except IndexError:
            return Frame(self)

    def directions(self, number: int, symmetric: bool) -> Directions:
        """Return the batched programs of a section."""
        found = self._directions.get(number)
        if found is None:
            from hessian.programs.directions import Directions  # which compiles programs in turn

            found = self._directions.setdefault(number, Directions(self, number, symmetric))
        return found

    def release(self, frame: Frame) -> None:
        """Take back a frame that nobody uses any more."""
        if len(self._spare) < _SPARE_FRAMES:
            self._spare.append(frame)

    def run(self, *inputs: Any) -> tuple[Any, ...]:
        """Run a program of one section."""
        frame = self.frame()
        with np.errstate(all="ignore"):
            results = frame.sections[0](*inputs)
        self._spare.append(frame)
        return results

    def __getstate__(self) -> dict[str, Any]:
        return {"sections": self.sections}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.sections = state["sections"]
        self._spare = []
        self._directions = {}
        self._compile()

    def __repr__(self) -> str:
        counts = ", ".join(f"{s.name}: {sum(1 for n in s.nodes if n.operation)} operations" for s in self.sections)
        return f"<Program {counts}>"

    def __str__(self) -> str:
        return describe(self.sections)


def compiled(emitted: Source) -> Any:
    """Return the function ``bind`` of a program's source."""
    scope: dict[str, Any] = dict(emitted.names)
    exec(compile(emitted.text, "<hessian program>", "exec"), scope)
    return scope["bind"]


class Frame:
    """Memory for one run of a program, with the program's sections bound to it.

    Attributes
    ----------
    sections : tuple of callables
    residuals : ndarray of bytes
        The arena ``R``.
    inputs : tuple of ndarray
        Those of the first section, as the frame keeps them; ``None`` for one that stays where the caller has it.
    """

    __slots__ = ("_program", "inputs", "residuals", "sections")

    def __init__(self, program: Program) -> None:
        self._program = program
        self.residuals = arena(program._sizes["R"])
        self.sections, self.inputs = self._bound()

    def _bound(self) -> Any:
        program = self._program
        return program._bind(program._constants, self.residuals, arena(program._sizes["T"]))

    def more(self) -> tuple[Any, ...]:
        """Return the sections again, with scratch memory of their own."""
        return self._bound()[0]

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
    new = assemble(reachable([*roots, *graph.inputs]), roots)
    for guard in graph.guards:
        guard.node = new[id(guard.node)]
    inputs, outputs = [new[id(n)] for n in graph.inputs], [new[id(n)] for n in graph.outputs]
    done: set[int] = set()
    result = []
    for number, (name, taken, given) in enumerate(sections):
        if given is None:
            later = [outputs[i] for _, _, rest in sections[number + 1 :] for i in rest or ()]
            ahead = [n for n in reachable(later) if n.level < DIRECTION and id(n) not in done and n.operation]
            result.append(Section(name, [inputs[i] for i in taken], ahead, []))
            done.update(id(n) for n in ahead)
            continue
        returned = [outputs[i] for i in given]
        due = [g for g in graph.guards if g.early or number > 0 or len(sections) == 1]
        due = [g for g in due if id(g) not in done]
        nodes = [n for n in reachable([*returned, *(g.node for g in due)]) if id(n) not in done]
        guards: dict[int, list[Any]] = {}
        for guard in due:
            guards.setdefault(id(guard.node), []).append(guard)
        result.append(Section(name, [inputs[i] for i in taken], [n for n in nodes if n.operation], returned, guards))
        done.update(id(n) for n in nodes)
        done.update(id(g) for g in due)
    return result


def describe(sections: Sequence[Section]) -> str:
    """Return the operations of a program, one per line, as a reader would write them."""
    names: dict[int, str] = {}
    lines: list[str] = []

    def name(node: Node) -> str:
        if id(node) not in names:
            if node.is_constant:
                number = node.scalar()
                names[id(node)] = repr(number) if not node.shape else f"constant{list(node.shape)}"
            else:
                names[id(node)] = f"v{len(names)}"
        return names[id(node)]

    for section in sections:
        lines.append(f"{section.name}({', '.join(name(n) for n in section.inputs)}):")
        for node in section.nodes:
            assert node.operation is not None
            arguments = ", ".join(name(arg) for arg in node.args)
            shape = "x".join(map(str, node.shape)) or "scalar"
            lines.append(f"    {name(node)} = {node.operation.name}({arguments})    # {node.dtype} {shape}")
        lines.append(f"    return {', '.join(name(n) for n in section.outputs)}")
    return "\n".join(lines)
