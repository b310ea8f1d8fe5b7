"""The interface of a participant: what it measures, and how."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import cycle
from typing import Any, Protocol

import numpy as np

from benchmarks.networks import Problem


@dataclass(frozen=True)
class Contender:
    """One way to perform one task.

    Parameters
    ----------
    label
        Column of the report: the library, and the variant if it has several.
    task
        One of `benchmarks.networks.TASKS`.
    prepare
        Does what happens once per point (nothing, a compilation, a linearisation) and returns the function that is
        timed. That function returns only when its result is complete.
    to_numpy
        Turns the result into an array, or a tuple of arrays that are compared one by one; not timed. None where there
        is no result to compare (the floor).
    forget
        Empties the caches that would make a second call from nothing cheaper than the first; not timed. A contender
        that has one is timed one call at a time.
    """

    label: str
    task: str
    prepare: Callable[[], Callable[[], Any]]
    to_numpy: Callable[[Any], np.ndarray | tuple[np.ndarray, ...]] | None = np.asarray
    forget: Callable[[], None] | None = None


class Participant(Protocol):
    """A library, or a reference, that takes part in the benchmark."""

    name: str

    def versions(self) -> dict[str, str]:
        """Return the versions of the packages that do the work."""

    def contenders(self, problem: Problem) -> list[Contender]:
        """Return the ways this participant performs the tasks on a problem."""


def one_shot(run: Callable[[], Any]) -> Callable[[], Callable[[], Any]]:
    """Return the `prepare` of a contender that has nothing to prepare."""
    return lambda: run


def replayed(run: Callable[[Any], Any], points: Sequence[Any]) -> Callable[[], Any]:
    """Return a call that runs at the next point each time, after one run at the last point.

    The first result that is compared thus belongs to another point than the first one that was computed, and a cache of
    what was found at a point never helps.
    """
    run(points[-1])
    turns = cycle(points)
    return lambda: run(next(turns))
