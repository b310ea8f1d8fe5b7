"""One measurement of `benchmarks.memory`, in a process of its own: `python -m benchmarks.memory_probe WHO CONFIG DTYPE SEED`."""

from __future__ import annotations

import json
import resource
import sys
from collections.abc import Callable
from typing import Any

import numpy as np

from benchmarks.cases import Case, network_case

PRODUCTS = 3

#: `ru_maxrss` counts bytes on macOS and kibibytes elsewhere.
UNIT = 1 if sys.platform == "darwin" else 1024


def main(who: str, config: str, dtype: str, seed: str) -> None:
    """Print peak memory before and after linearising and a few products, and the last product's norm and sum."""
    case = network_case(config, dtype, int(seed))
    linearize = {"hessian": _hessian, "jax": _jax}[who](case)
    before = _peak()
    product = linearize()
    for _ in range(PRODUCTS):
        result = product()
    found = np.asarray(result, np.float64)
    answer = [float(np.linalg.norm(found)), float(found @ case.v)]
    version = sys.modules[who].__version__
    print(json.dumps({"before": before, "after": _peak(), "answer": answer, "version": version}))


def _hessian(case: Case) -> Callable[[], Callable[[], Any]]:
    """Import the library, bind the data, and return what linearises."""
    import hessian as hs

    f = case.bind(np)()

    def linearize() -> Callable[[], Any]:
        linearized = hs.HessianOperator(hs.record(f), case.w)
        return lambda: linearized @ case.v

    return linearize


def _jax(case: Case) -> Callable[[], Callable[[], Any]]:
    """Import JAX, bind the data, and return what linearises and compiles."""
    import jax

    jax.config.update("jax_enable_x64", True)
    jax.config.update("jax_platforms", "cpu")
    f = case.bind(jax.numpy)()
    w, v = jax.block_until_ready((jax.numpy.asarray(case.w), jax.numpy.asarray(case.v)))

    def linearize() -> Callable[[], Any]:
        product = jax.jit(jax.linearize(jax.grad(f), w)[1])
        return lambda: jax.block_until_ready(product(v))

    return linearize


def _peak() -> int:
    """Return the largest resident memory of this process so far, in bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * UNIT


if __name__ == "__main__":
    main(*sys.argv[1:])
