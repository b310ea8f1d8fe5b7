"""Time sparse Hessians, from nothing and at further points, against asdex on JAX; see `benchmarks/README.md`.

Run as `python -m benchmarks.sparse`. Set-up is pattern, colors, compilation and the first Hessian. Memory is the peak of a process of
its own.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from benchmarks.machine import describe_machine
from benchmarks.options import positive_int, writable_path

#: What issue 13 asks for: seconds of set-up and of a further Hessian, and GiB; None where nothing is said.
TARGETS: dict[str, tuple[float | None, float | None, float | None]] = {
    "rosenbrock_1e5": (0.42, 0.97e-3, None),
    "rosenbrock_1e6": (5.0, None, 3.0),
    "bratu_224": (None, None, None),
    "surface_224": (1.5, None, None),
}


@dataclass(frozen=True)
class Case:
    """A function ``f(xp, x)`` with the array module as its first argument, and its first point."""

    f: Callable[[Any, Any], Any]
    x: np.ndarray


def rosenbrock(xp: Any, x: Any) -> Any:
    """A chain: three diagonals."""
    return xp.sum(100 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2)


def _framed(xp: Any, x: Any, boundary: np.ndarray) -> Any:
    m = boundary.shape[0] - 2
    return xp.pad(x.reshape(m, m), 1) + boundary


def bratu(m: int) -> Callable[[Any, Any], Any]:
    """Squared differences and exponentials on a grid: five points."""
    zero, h2 = np.zeros((m + 2, m + 2)), 1.0 / (m + 1) ** 2

    def f(xp: Any, x: Any) -> Any:
        u = _framed(xp, x, zero)
        squares = xp.sum((u[1:] - u[:-1]) ** 2) + xp.sum((u[:, 1:] - u[:, :-1]) ** 2)
        return squares / 2 - h2 * xp.sum(xp.exp(x))

    return f


def surface(m: int) -> Callable[[Any, Any], Any]:
    """The area of a surface over a grid, by both diagonals of each cell: nine points."""
    t = np.linspace(0.0, 1.0, m + 2)
    boundary = np.sin(np.pi * t)[:, None] + t[None, :] ** 2
    boundary[1:-1, 1:-1] = 0.0
    scale = (m + 1) ** 2

    def f(xp: Any, x: Any) -> Any:
        u = _framed(xp, x, boundary)
        a, b = u[1:, 1:] - u[:-1, :-1], u[1:, :-1] - u[:-1, 1:]
        return xp.sum(xp.sqrt(1 + (a**2 + b**2) * (scale / 2))) / scale

    return f


def cases() -> dict[str, Case]:
    """Return all cases by name."""
    rng = np.random.default_rng(0)
    return {
        "rosenbrock_1e5": Case(rosenbrock, rng.uniform(0.5, 1.5, 10**5)),
        "rosenbrock_1e6": Case(rosenbrock, rng.uniform(0.5, 1.5, 10**6)),
        "bratu_224": Case(bratu(224), rng.uniform(0.0, 0.1, 224**2)),
        "surface_224": Case(surface(224), rng.uniform(0.0, 0.1, 224**2)),
    }


def ours(case: Case) -> Callable[[np.ndarray], Any]:
    """Return the library's Hessian of a recorded function, as the peer's is compiled."""
    import hessian as hs

    return hs.sparse.hessian(hs.record(lambda x: case.f(np, x)))


def plain(case: Case) -> Callable[[np.ndarray], Any]:
    """Return the library's Hessian of a plain function, whose value is looked at in every call."""
    import hessian as hs

    return hs.sparse.hessian(lambda x: case.f(np, x))


def asdex_peer(case: Case) -> Callable[[np.ndarray], Any]:
    """Return asdex's, compiled by JAX."""
    import asdex
    import jax
    import jax.numpy as jnp

    jax.config.update("jax_enable_x64", True)
    hess = jax.jit(asdex.hessian(lambda x: case.f(jnp, x), jnp.asarray(case.x)))

    def run(x: np.ndarray) -> Any:
        found = hess(x)
        found.data.block_until_ready()
        return found

    return run


MAKERS = {"hessian": ours, "plain": plain, "asdex": asdex_peer}


def measure(name: str, rounds: int, peers: Sequence[str]) -> dict[str, dict[str, float]]:
    """Time set-up and further Hessians of a case, in turns."""
    case, found, makers = cases()[name], {}, {}
    for who in peers:
        # Imports, and what every program of the process shares, are not part of it.
        MAKERS[who](Case(rosenbrock, np.linspace(0.5, 1.5, 100)))(np.linspace(0.5, 1.5, 100))
        start = time.perf_counter()
        makers[who] = MAKERS[who](case)
        first = makers[who](case.x)
        found[who] = {"setup": time.perf_counter() - start, "nnz": int(getattr(first, "nnz", getattr(first, "nse", 0)))}
    samples: dict[str, list[float]] = {who: [] for who in peers}
    for i in range(rounds):
        for who in peers:
            makers[who](case.x)
            # A few in a row: the other library's threads have gone to sleep, and its arrays have left the caches.
            for j in range(4):
                x = case.x + 1e-6 * (4 * i + j + 1)
                start = time.perf_counter()
                makers[who](x)
                samples[who].append(time.perf_counter() - start)
    for who in peers:
        found[who] |= {"further": median(samples[who]), "least": min(samples[who])}
    return found


def peak(name: str) -> float:
    """Return the peak memory of set-up and two Hessians, in GiB, in a process of its own."""
    code = (
        "import sys, numpy as np; from benchmarks import sparse; case = sparse.cases()[sys.argv[1]];"
        "h = sparse.ours(case); h(case.x); h(case.x + 1e-6);"
        "print(sparse.peak_here())"
    )
    run = subprocess.run([sys.executable, "-c", code, name], capture_output=True, text=True, check=True)
    return float(run.stdout)


def peak_here() -> float:
    """Return the peak memory of this process in GiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


def verdict(value: float, target: float | None, unit: str) -> str:
    """Write a number beside what it should be."""
    scaled, name = (value * 1e3, "ms") if unit == "s" and value < 0.1 else (value, unit)
    if target is None:
        return f"{scaled:.3g} {name}"
    aim = target * (1e3 if name == "ms" else 1.0)
    return f"{scaled:.3g} {name} ({'holds' if value <= target else 'misses'} {aim:.3g})"


def main(argv: Sequence[str] | None = None) -> int:
    """Run the benchmark and return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.sparse", description="Time sparse Hessians.")
    parser.add_argument("cases", nargs="*", default=list(TARGETS), help="which cases; all by default")
    parser.add_argument("--rounds", type=positive_int, default=15, help="rounds of four Hessians each (default: 15)")
    parser.add_argument("--json", type=writable_path, help="file for the raw numbers")
    options = parser.parse_args(argv)
    peers = [who for who in MAKERS if who != "asdex" or find_spec("asdex")]
    # While this process is small: a child may count its parent's peak as its own.
    memories = {name: peak(name) for name in options.cases}
    results: dict[str, Any] = {}
    for name in options.cases:
        found, memory = measure(name, options.rounds, peers), memories[name]
        results[name] = {"times": found, "peak": memory}
        setup, further, most = TARGETS[name]
        print(f"{name}: {found['hessian']['nnz']} entries, peak {verdict(memory, most, 'GiB')}")
        for who, times in found.items():
            aims = (setup, further) if who == "hessian" else (None, None)
            print(
                f"    {who:8} set-up {verdict(times['setup'], aims[0], 's')},"
                f" further {verdict(times['further'], aims[1], 's')}, at least {verdict(times['least'], None, 's')}"
            )
    if options.json:
        text = json.dumps({"machine": describe_machine(), "rounds": options.rounds, "results": results}, indent=1)
        Path(options.json).write_text(text + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
