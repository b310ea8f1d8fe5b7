"""JAX on the CPU, compiled by `jit`."""

from __future__ import annotations

from collections.abc import Callable
from importlib.metadata import version
from importlib.util import find_spec
from typing import Any

import numpy as np

from benchmarks.cases import Case, Function
from benchmarks.errors import BenchmarkError
from benchmarks.peers.base import Contender, one_shot, replayed


class CompiledPeer:
    """`jax.jit` of each task on the same source, with `jax.numpy`; points and directions are JAX arrays already."""

    name = "jax"

    def __init__(self) -> None:
        if find_spec("jax") is None:
            raise BenchmarkError(
                "jax, which everything is compared with, is not installed: `pip install -e '.[peers]'`"
            )
        import jax

        jax.config.update("jax_enable_x64", True)
        jax.config.update("jax_platforms", "cpu")
        self._jax = jax

    def versions(self) -> dict[str, str]:
        """Return the versions of JAX and its compiler."""
        return {"jax": version("jax"), "jaxlib": version("jaxlib")}

    def contenders(self, case: Case) -> list[Contender]:
        """Return one contender per task, and two ways to a first product; the same for a loop by `lax.scan`."""
        found = self._contenders(self.name, case.bind(self._jax.numpy), case) if case.has_unrolled else []
        if case.bind_scan:
            found += self._contenders(f"{self.name}.scan", case.bind_scan(self._jax), case)
        return found

    def _contenders(self, label: str, fresh: Callable[[], Function], case: Case) -> list[Contender]:
        """Return the contenders of one way to write the function."""
        jax, forget = self._jax, self._jax.clear_caches
        w, v, *points = map(jax.numpy.asarray, (case.w, case.v, *case.points()))

        def linearized() -> Callable[..., Any]:
            return self._blocking(jax.linearize(jax.grad(fresh()), w)[1])

        def pushed() -> Callable[..., Any]:
            gradient = jax.grad(fresh())
            return self._blocking(lambda w, v: jax.jvp(gradient, (w,), (v,))[1])

        def repeated() -> Callable[[], Any]:
            product = linearized()
            product(w)  # what is compared is not the first product
            return lambda: product(v)

        def newpoint() -> Callable[[], Any]:
            product = pushed()
            return replayed(lambda w: product(w, v), points)

        return [
            Contender(label, "repeated", repeated),
            Contender(label, "newpoint", newpoint),
            Contender(
                label,
                "gradient",
                lambda: replayed(self._blocking(jax.value_and_grad(fresh())), points),
                lambda pair: (np.asarray(pair[0]), np.asarray(pair[1])),
            ),
            Contender(label, "dense", lambda: replayed(self._blocking(jax.hessian(fresh())), points)),
            Contender(label, "first", one_shot(lambda: linearized()(v)), forget=forget),
            Contender(f"{label}.jvp", "first", one_shot(lambda: pushed()(w, v)), forget=forget),
        ]

    def _blocking(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """Return the compiled function, made to wait for its result: JAX dispatches asynchronously."""
        compiled, wait = self._jax.jit(function), self._jax.block_until_ready
        return lambda *args: wait(compiled(*args))
