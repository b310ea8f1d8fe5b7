"""The library itself."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import scipy

from benchmarks.networks import Problem, make_loss
from benchmarks.peers.base import Contender, one_shot


class HessianPeer:
    """`hessian` on plain NumPy code."""

    name = "hessian"

    def __init__(self) -> None:
        import hessian

        self._hs = hessian

    def versions(self) -> dict[str, str]:
        """Return the versions of the library and of SciPy."""
        return {"hessian": getattr(self._hs, "__version__", "unknown"), "scipy": scipy.__version__}

    def contenders(self, problem: Problem) -> list[Contender]:
        """Return one contender per task."""
        hs, loss, w, v = self._hs, make_loss(problem.sizes, np), problem.w, problem.v
        data = (problem.inputs, problem.labels)

        def operator() -> Callable[[], Any]:
            linearized = hs.HessianOperator(loss, w, *data)
            return lambda: linearized @ v

        return [
            Contender(self.name, "gradient", one_shot(lambda: hs.grad(loss)(w, *data))),
            Contender(self.name, "hvp", one_shot(lambda: hs.hvp(loss, w, v, *data))),
            Contender(self.name, "repeated", operator),
            Contender(self.name, "dense", one_shot(lambda: hs.hessian(loss)(w, *data))),
        ]
