"""HIPS autograd."""

from __future__ import annotations

from collections.abc import Callable
from importlib.metadata import version
from typing import Any

from benchmarks.networks import Problem, make_loss
from benchmarks.peers.base import Contender, one_shot


class AutogradPeer:
    """`autograd` on the same source, with `autograd.numpy`."""

    name = "autograd"

    def __init__(self) -> None:
        import autograd
        import autograd.numpy
        from autograd.differential_operators import make_hvp

        self._autograd, self._numpy, self._make_hvp = autograd, autograd.numpy, make_hvp

    def versions(self) -> dict[str, str]:
        """Return autograd's version."""
        return {"autograd": version("autograd")}

    def contenders(self, problem: Problem) -> list[Contender]:
        """Return one contender per task."""
        ag, loss, w, v = self._autograd, make_loss(problem.sizes, self._numpy), problem.w, problem.v
        data = (problem.inputs, problem.labels)

        def linearized() -> Callable[[], Any]:
            product = self._make_hvp(loss)(w, *data)[0]
            return lambda: product(v)

        return [
            Contender(self.name, "gradient", one_shot(lambda: ag.grad(loss)(w, *data))),
            Contender(self.name, "hvp", one_shot(lambda: ag.hessian_vector_product(loss)(w, *data, v))),
            Contender(self.name, "repeated", linearized),
            Contender(self.name, "dense", one_shot(lambda: ag.hessian(loss)(w, *data))),
        ]
