"""JAX on the CPU, with and without `jit`."""

from __future__ import annotations

from collections.abc import Callable
from importlib.metadata import version
from typing import Any

from benchmarks.networks import Problem, make_loss
from benchmarks.peers.base import Contender, one_shot


class JaxPeer:
    """`jax` on the same source, with `jax.numpy`; data are arguments of compiled functions, not constants in them."""

    name = "jax"

    def __init__(self) -> None:
        import jax

        jax.config.update("jax_enable_x64", True)
        jax.config.update("jax_platforms", "cpu")
        self._jax = jax

    def versions(self) -> dict[str, str]:
        """Return the versions of JAX and its compiler."""
        return {"jax": version("jax"), "jaxlib": version("jaxlib")}

    def contenders(self, problem: Problem) -> list[Contender]:
        """Return a plain and a compiled contender per task; only a compiled one for repeated products."""
        jax = self._jax
        loss = make_loss(problem.sizes, jax.numpy)
        gradient = jax.grad(loss)
        w, v, *data = map(jax.numpy.asarray, (problem.w, problem.v, problem.inputs, problem.labels))

        def product(w: Any, v: Any, *data: Any) -> Any:
            return jax.jvp(lambda w: gradient(w, *data), (w,), (v,))[1]

        def linearized() -> Callable[[], Any]:
            _, tangent = jax.linearize(lambda w: gradient(w, *data), w)
            return self._blocking(jax.jit(tangent), v)

        return [
            *self._pair("gradient", gradient, w, *data),
            *self._pair("hvp", product, w, v, *data),
            Contender("jax.jit", "repeated", linearized),
            *self._pair("dense", jax.hessian(loss), w, *data),
        ]

    def _pair(self, task: str, function: Callable[..., Any], *args: Any) -> list[Contender]:
        """Return the plain and the compiled contender of a task."""

        def compiled() -> Callable[[], Any]:
            # A new function object each time: jit caches by identity, and the first result includes compilation.
            return self._blocking(self._jax.jit(lambda *args: function(*args)), *args)

        return [
            Contender("jax", task, one_shot(self._blocking(function, *args))),
            Contender("jax.jit", task, compiled),
        ]

    def _blocking(self, function: Callable[..., Any], *args: Any) -> Callable[[], Any]:
        """Return a call that waits for its result: JAX dispatches asynchronously."""
        return lambda: self._jax.block_until_ready(function(*args))
