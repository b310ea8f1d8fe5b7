"""The passes of the compiler, in their order, and what follows them: places in memory, and the backend."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from hessian.programs.backends.base import Executable
from hessian.programs.ir import Section
from hessian.programs.passes.assemble import assemble
from hessian.programs.passes.batch import batch
from hessian.programs.passes.cut import cut
from hessian.programs.passes.job import Job
from hessian.programs.passes.place import Layout
from hessian.programs.passes.restrict import restrict
from hessian.programs.passes.rows import split_rows
from hessian.programs.verify import verify, verify_layout

Pass = Callable[[Sequence[Section], Job], Sequence[Section]]

PASSES: dict[str, tuple[Pass, ...]] = {
    "program": (assemble, cut),
    "run": (split_rows,),
    "directions": (restrict, batch, assemble, cut),
}
"""From what has been captured to the sections of a program; from these to what runs; and from a section that takes a direction to
one that takes many."""


def run_passes(goal: str, sections: Sequence[Section], job: Job) -> Sequence[Section]:
    """Run the passes to a goal; while debugging each result is verified."""
    for each in PASSES[goal]:
        sections = each(sections, job)
        verify(sections, each.__name__, job.places)
    return sections


def compile_sections(sections: Sequence[Section], job: Job, lasting: str = "R") -> tuple[Layout, Executable]:
    """Give every value a place and compile what computes it; ``lasting`` is the arena of what later sections read."""
    layout = Layout(sections, job.backend.writes, job.places, lasting)
    verify_layout(layout)
    return layout, job.backend.compile(layout)
