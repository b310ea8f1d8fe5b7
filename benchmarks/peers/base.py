"""The interface of a participant: what it measures, and how."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
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
        Turns the result into an array; not timed. None where there is no result to compare (the floor).
    """

    label: str
    task: str
    prepare: Callable[[], Callable[[], Any]]
    to_numpy: Callable[[Any], np.ndarray] | None = np.asarray


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
