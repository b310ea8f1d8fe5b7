"""Time minimisation on sparse factors: chains against products, grids against a Newton iteration by hand; see `benchmarks/README.md`.

Run as `python -m benchmarks.sparse_newton`. Seconds are the processor's, of one thread, in turns, the least of some rounds.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from scipy.sparse import csc_matrix, csr_array
from scipy.sparse.linalg import splu

from benchmarks.machine import describe_machine
from benchmarks.options import positive_int, writable_path
from benchmarks.sparse import bratu, surface

#: What issue 13 asks for: shares of trust-ncg's time on each chain, and in the geometric mean; of the iteration by hand; of the fastest.
EACH, MEAN, BY_HAND, FASTEST = 1.2, 0.5, 1.3, 1.2
GTOL = 1e-8


def arwhead(x: Any) -> Any:
    """An arrow."""
    return np.sum((x[:-1] ** 2 + x[-1] ** 2) ** 2 - 4.0 * x[:-1] + 3.0)


def engval1(x: Any) -> Any:
    """Three diagonals."""
    return np.sum((x[:-1] ** 2 + x[1:] ** 2) ** 2 - 4.0 * x[:-1] + 3.0)


def freuroth(x: Any) -> Any:
    """Three diagonals, and large residuals."""
    a, b = x[:-1], x[1:]
    return np.sum((a - 13.0 + 5.0 * b**2 - b**3 - 2.0 * b) ** 2 + (a - 29.0 + b**2 + b**3 - 14.0 * b) ** 2)


def tointgss(x: Any) -> Any:
    """Five diagonals."""
    a, b, c = x[:-2], x[1:-1], x[2:]
    return np.sum((10.0 / (x.shape[0] - 2) + c**2) * (2.0 - np.exp(-((a - b) ** 2) / (0.1 + c**2))))


def tridia(x: Any) -> Any:
    """Three diagonals of a quadratic."""
    weights = np.arange(2.0, x.shape[0] + 1.0)
    return (x[0] - 1.0) ** 2 + np.sum(weights * (2.0 * x[1:] - x[:-1]) ** 2)


def chains(n: int) -> dict[str, tuple[Callable[[Any], Any], np.ndarray]]:
    """Return functions and starts."""
    freuroth_start = np.zeros(n)
    freuroth_start[:2] = 0.5, -2.0
    return {
        "ARWHEAD": (arwhead, np.ones(n)),
        "ENGVAL1": (engval1, np.full(n, 2.0)),
        "FREUROTH": (freuroth, freuroth_start),
        "TOINTGSS": (tointgss, np.full(n, 3.0)),
        "TRIDIA": (tridia, np.ones(n)),
    }


def bratu_by_hand(m: int) -> Callable[[np.ndarray], tuple[float, np.ndarray, Any]]:
    """Return value, gradient and Hessian of the Bratu energy, as somebody writes them who knows the grid."""
    h2 = 1.0 / (m + 1) ** 2
    n = m * m
    numbers = np.arange(n).reshape(m, m)
    pairs = np.concatenate(
        [
            np.stack([numbers[1:].ravel(), numbers[:-1].ravel()]),
            np.stack([numbers[:, 1:].ravel(), numbers[:, :-1].ravel()]),
        ],
        axis=1,
    )
    off = csr_array((-np.ones(pairs.shape[1]), (pairs[0], pairs[1])), shape=(n, n))
    laplacian = csc_matrix(off + off.T + csr_array((np.full(n, 4.0), (np.arange(n), np.arange(n))), shape=(n, n)))
    laplacian.sort_indices()
    columns = np.repeat(np.arange(n), np.diff(laplacian.indptr))
    diagonal = np.flatnonzero(laplacian.indices == columns)

    def derivatives(x: np.ndarray) -> tuple[float, np.ndarray, Any]:
        e = np.exp(x)
        image = laplacian @ x
        hess = laplacian.copy()
        hess.data[diagonal] -= h2 * e
        return float(0.5 * x @ image - h2 * e.sum()), image - h2 * e, hess

    return derivatives


def surface_by_hand(m: int) -> Callable[[np.ndarray], tuple[float, np.ndarray, Any]]:
    """Return value, gradient and Hessian of the area: a block of order four for each cell."""
    t = np.linspace(0.0, 1.0, m + 2)
    boundary = np.sin(np.pi * t)[:, None] + t[None, :] ** 2
    boundary[1:-1, 1:-1] = 0.0
    scale = (m + 1) ** 2
    numbers = np.full((m + 2, m + 2), -1)
    numbers[1:-1, 1:-1] = np.arange(m * m).reshape(m, m)
    corners = np.stack([numbers[1:, 1:], numbers[:-1, :-1], numbers[1:, :-1], numbers[:-1, 1:]]).reshape(4, -1)
    rows, columns = np.broadcast_arrays(corners[:, None], corners[None, :])
    inside = (rows >= 0) & (columns >= 0)
    n = m * m
    keys = columns[inside] * n + rows[inside]
    places, at = np.unique(keys, return_inverse=True)
    starts = np.searchsorted(places, np.arange(n + 1) * n).astype(np.int32)
    index = (places % n).astype(np.int32)
    first, second = np.array([1.0, -1.0, 0.0, 0.0]), np.array([0.0, 0.0, 1.0, -1.0])

    def derivatives(x: np.ndarray) -> tuple[float, np.ndarray, Any]:
        u = boundary.copy()
        u[1:-1, 1:-1] = x.reshape(m, m)
        a, b = (u[1:, 1:] - u[:-1, :-1]).ravel(), (u[1:, :-1] - u[:-1, 1:]).ravel()
        w = np.sqrt(1.0 + (a * a + b * b) * (scale / 2))
        slope = 0.5 / w
        g = first[:, None] * (slope * a) + second[:, None] * (slope * b)
        gradient = np.bincount((corners + 1).ravel(), g.ravel(), n + 1)[1:]
        bend = -0.25 * scale / w**3
        along = first[:, None] * a + second[:, None] * b
        blocks = slope * (np.multiply.outer(first, first) + np.multiply.outer(second, second))[:, :, None]
        blocks = blocks + bend * along[:, None] * along[None, :]
        hess = csc_matrix((np.bincount(at, blocks[inside], len(places)), index, starts), shape=(n, n))
        return float(w.sum() / scale), gradient, hess

    return derivatives


def newton_by_hand(
    derivatives: Callable[[np.ndarray], tuple[float, np.ndarray, Any]], x: np.ndarray
) -> tuple[np.ndarray, int]:
    """Iterate with SciPy's splu, steps halved until the value falls."""
    value, gradient, hess = derivatives(x)
    count = 0
    while float(np.linalg.norm(gradient)) > GTOL and count < 100:
        step = -splu(hess, permc_spec="MMD_AT_PLUS_A", diag_pivot_thresh=0.0, options={"SymmetricMode": True}).solve(
            gradient
        )
        length = 1.0
        while True:
            trial = derivatives(x + length * step)
            if trial[0] <= value + 1e-4 * length * float(gradient @ step) or length < 1e-6:
                break
            length *= 0.5
        x = x + length * step
        value, gradient, hess = trial
        count += 1
    return x, count


def timed(runs: dict[str, Callable[[], Any]], rounds: int) -> tuple[dict[str, float], dict[str, Any]]:
    """Run in turns; return the least of the processor's seconds, and the last results."""
    least: dict[str, float] = {}
    results: dict[str, Any] = {}
    for _ in range(rounds):
        for name, run in runs.items():
            start = time.process_time()
            results[name] = run()
            least[name] = min(least.get(name, math.inf), time.process_time() - start)
    return least, results


def time_chains(n: int, rounds: int) -> dict[str, dict[str, Any]]:
    """Time runs as they come against products."""
    from hessian.optimize import minimize

    found = {}
    for name, (f, x) in chains(n).items():
        runs = {
            "auto": lambda f=f, x=x: minimize(f, x),
            "trust-ncg": lambda f=f, x=x: minimize(f, x, method="trust-ncg"),
        }
        # What takes long is run once.
        is_long = name == "TRIDIA" and n > 20000
        times, results = timed(runs, 1 if is_long else rounds)
        if is_long:
            times["auto"] = timed({"auto": runs["auto"]}, rounds)[0]["auto"]
        found[name] = {
            "times": times,
            "status": {who: res.status.name for who, res in results.items()},
            "structure": results["auto"].structure,
        }
    return found


def time_grids(m: int, rounds: int, methods: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Time runs as they come, on sparse factors and by products, against the iteration by hand."""
    from hessian.optimize import minimize

    found = {}
    for name, f, hand in (("bratu", bratu(m), bratu_by_hand(m)), ("surface", surface(m), surface_by_hand(m))):
        x, fun = np.zeros(m * m), lambda x, f=f: f(np, x)
        run = lambda f=fun, x=x, **settings: minimize(f, x, options={"gtol": GTOL}, **settings)
        runs: dict[str, Callable[[], Any]] = {
            "by hand": partial(newton_by_hand, hand, x),
            "auto": run,
            "sparse": partial(run, structure="sparse"),
            "sparse newton": partial(run, structure="sparse", method="newton"),
            **{method: partial(run, method=method) for method in methods},
        }
        times, results = timed(runs, rounds)
        statuses = {who: res.status.name for who, res in results.items() if who != "by hand"}
        gap = max(
            float(np.max(np.abs(res.x - results["by hand"][0])))
            for who, res in results.items()
            if who != "by hand" and res.success
        )
        counts = {
            who: (res.nit, res.n_hvp, res.n_hess, res.n_factor) for who, res in results.items() if who != "by hand"
        }
        found[name] = {
            "times": times,
            "status": statuses,
            "by hand": results["by hand"][1],
            "gap": gap,
            "counts": counts,
        }
    return found


def main(argv: Sequence[str] | None = None) -> int:
    """Run the benchmark and return the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.sparse_newton", description="Time minimisation on sparse factors."
    )
    parser.add_argument(
        "sizes", nargs="*", type=positive_int, default=[5000, 100000], help="variables of chains (default: 5000 100000)"
    )
    parser.add_argument("--grid", type=positive_int, default=224, help="points on a side of the grids (default: 224)")
    parser.add_argument("--rounds", type=positive_int, default=5, help="rounds (default: 5)")
    parser.add_argument("--methods", nargs="*", default=["trust-ncg"], help="other methods on grids")
    parser.add_argument("--json", type=writable_path, help="file for the raw numbers")
    options = parser.parse_args(argv)
    results: dict[str, Any] = {"chains": {}, "grids": {}}
    ratios = []
    for n in options.sizes:
        results["chains"][n] = time_chains(n, options.rounds)
        for name, row in results["chains"][n].items():
            auto, other = row["times"]["auto"], row["times"]["trust-ncg"]
            ratios.append(auto / other)
            ways = f"{row['structure']}, {row['status']}"
            print(
                f"{name:9} n={n}: {auto * 1e3:.3g} ms, trust-ncg {other * 1e3:.4g} ms, ratio {auto / other:.3f}; {ways}",
                flush=True,
            )
    if ratios:
        mean = math.exp(sum(map(math.log, ratios)) / len(ratios))
        print(f"worst {max(ratios):.2f} (at most {EACH}), geometric mean {mean:.3f} (at most {MEAN})", flush=True)
    results["grids"] = time_grids(options.grid, min(options.rounds, 3), options.methods)
    for name, row in results["grids"].items():
        hand, fastest = (
            row["times"]["by hand"],
            min(t for who, t in row["times"].items() if who not in ("auto", "by hand")),
        )
        auto, sparse = row["times"]["auto"], row["times"]["sparse"]
        print(f"{name}: " + ", ".join(f"{who} {t:.3g} s" for who, t in row["times"].items()))
        print(
            f"    sparse / by hand {sparse / hand:.2f} (at most {BY_HAND}), newton {row['times']['sparse newton'] / hand:.2f}"
        )
        print(f"    auto / fastest {auto / fastest:.2f} (at most {FASTEST}), solutions differ by {row['gap']:.2g}")
        print(
            f"    {row['status']}, by hand {row['by hand']} steps, (nit, n_hvp, n_hess, n_factor) {row['counts']}",
            flush=True,
        )
    if options.json:
        text = json.dumps({"machine": describe_machine(), "rounds": options.rounds, "results": results}, indent=1)
        Path(options.json).write_text(text + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
