"""The two references every ratio can be read against: the hand-written R-operator and the bare matrix products."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np

from benchmarks import floor, rop
from benchmarks.networks import TASKS, Problem
from benchmarks.peers.base import Contender, one_shot


class ROperator:
    """Hand-written NumPy for this network; its `hvp` gives the gradient as well."""

    name = "R-op"

    def versions(self) -> dict[str, str]:
        """Return NumPy's version."""
        return {"numpy": np.__version__}

    def contenders(self, problem: Problem) -> list[Contender]:
        """Return one contender per task."""

        def linearized() -> Callable[[], np.ndarray]:
            return partial(rop.product, rop.linearize(problem), problem.v)

        return [
            Contender(self.name, "gradient", one_shot(partial(rop.gradient, problem))),
            Contender(self.name, "hvp", one_shot(partial(rop.gradient_and_product, problem)), lambda pair: pair[1]),
            Contender(self.name, "repeated", linearized),
            Contender(self.name, "dense", one_shot(partial(rop.dense, problem))),
        ]


class Floor:
    """Bare matrix products: no result, so nothing to compare."""

    name = "floor"

    def versions(self) -> dict[str, str]:
        """Return nothing: NumPy is listed by the R-operator."""
        return {}

    def contenders(self, problem: Problem) -> list[Contender]:
        """Return one contender per task."""
        return [Contender(self.name, task, partial(floor.make_floor, problem, task), None) for task in TASKS]
