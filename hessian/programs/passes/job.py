"""What the passes are told besides the sections."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from hessian.programs.backends.base import Backend
from hessian.programs.passes.place import Place

SectionSpec = tuple[str, Sequence[int], "Sequence[int] | None"]
"""A section to be cut out: its name, the numbers of the inputs it takes and of the outputs it returns. ``None`` for these: it computes
everything that the later sections need and that depends on the point alone."""


@dataclass(frozen=True)
class Group:
    """Unit directions [start, stop) that touch one block of the variables, and the results that are needed of them."""

    start: int
    stop: int
    wanted: tuple[tuple[int, int], ...]


@dataclass(frozen=True)
class Job:
    """What is to be made of some sections.

    Attributes
    ----------
    backend : Backend
        That will compile them.
    specs : sequence of SectionSpec
        The sections to cut.
    places : mapping
        Where another program has put nodes that it computes, by their serials.
    count : int
        Number of directions that a section is to take at once.
    group : Group or None
        Outside which these directions are zero.
    """

    backend: Backend
    specs: Sequence[SectionSpec] = ()
    places: Mapping[int, Place] = field(default_factory=dict)
    count: int = 1
    group: Group | None = None
