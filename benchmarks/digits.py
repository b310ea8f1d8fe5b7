"""Train the digits network to a tight gradient by our solvers and by SciPy's trust-ncg on compiled JAX derivatives.

Run as `python -m benchmarks.digits`; see `benchmarks/README.md`.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from benchmarks.machine import describe_machine
from benchmarks.options import add_names, positive_int, writable_path
from benchmarks.report import format_header

DESCRIPTION = """\
Minimise mean softmax cross-entropy + (l2/2)|w|^2 of a 64-32-10 tanh network on scikit-learn's digits (all 1797 rows, pixels
in [0, 1], l2 = 1e-3) to a gradient norm of 1e-6 from the same Glorot weights: SciPy's trust-ncg with value, gradient and
Hessian-vector products of jax.jit, compiled before the clock starts, against this library's methods, which record and
compile inside it. Several starts, because which valley a run ends in is chance. Rounds take turns in one process; times are medians."""

METHODS: dict[str, tuple[str, dict[str, Any]]] = {
    "trust-ncg+lbfgs": ("trust-ncg", {"preconditioner": "lbfgs"}),  # what hs.nn.train takes
    **{name: (name, {}) for name in ("trust-ncg", "trust-krylov", "newton-cg", "arc", "saddle-free")},
}
L2, GTOL = 1e-3, 1e-6
SIZES = (64, 32, 10)


@dataclass(frozen=True)
class Run:
    """One run to the tolerance."""

    name: str
    seconds: float
    value: float
    gradient_norm: float
    nit: int
    n_hvp: int


def main(argv: Sequence[str] | None = None) -> int:
    """Run the comparison and return the exit status."""
    options = make_parser().parse_args(argv)
    import jax
    import scipy

    import hessian

    versions = {
        "hessian": hessian.__version__, "numpy": np.__version__, "scipy": scipy.__version__, "jax": jax.__version__,
    }  # fmt: skip
    print(format_header(describe_machine(), versions), end="\n\n")
    X, y, _ = load_problem(0)
    participants = {"SciPy trust-ncg on jax.jit": scipy_on_jax(X, y)}
    participants |= {f"hessian {name}": ours(X, y, *METHODS[name]) for name in options.methods}
    runs: list[Run] = []
    for k in range(options.rounds):
        for seed in range(options.seeds):
            for name, participant in participants.items():
                print(f"round {k + 1}, start {seed}: {name} ...", file=sys.stderr)
                runs.append(participant(name, load_problem(seed)[2]))
    print(format_runs(runs))
    if options.json:
        options.json.write_text(json.dumps([asdict(run) for run in runs], indent=1) + "\n", encoding="utf-8")
    return 0


def load_problem(seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Data and starting weights, raveled layer by layer: biases after weights."""
    from sklearn.datasets import load_digits

    from hessian.nn import mlp

    X, y = load_digits(return_X_y=True)
    parts = [layer[key].ravel() for layer in mlp(SIZES).init(seed) for key in ("W", "b")]
    return X / 16.0, y, np.concatenate(parts)


def make_loss(xp: Any, X: Any, y: Any) -> Callable[[Any], Any]:
    """Write the objective with a NumPy-like module."""
    n_in, n_hidden, n_out = SIZES
    cuts = np.cumsum([n_in * n_hidden, n_hidden, n_hidden * n_out, n_out])
    rows = np.arange(len(y))

    def loss(w: Any) -> Any:
        W1, b1 = w[: cuts[0]].reshape(n_in, n_hidden), w[cuts[0] : cuts[1]]
        W2, b2 = w[cuts[1] : cuts[2]].reshape(n_hidden, n_out), w[cuts[2] :]
        z = xp.tanh(X @ W1 + b1) @ W2 + b2
        z = z - xp.max(z, axis=1, keepdims=True)
        return xp.mean(xp.log(xp.sum(xp.exp(z), axis=1)) - z[rows, y]) + 0.5 * L2 * (w @ w)

    return loss


def ours(X: np.ndarray, y: np.ndarray, method: str, extra: dict[str, Any]) -> Callable[[str, np.ndarray], Run]:
    """One of our methods, from the plain function."""
    from hessian.optimize import minimize

    def run(name: str, start: np.ndarray) -> Run:
        loss = make_loss(np, X, y)  # a new function: nothing recorded is left over from the last round
        began = time.perf_counter()
        res = minimize(loss, start, method=method, options={"gtol": GTOL, **extra})
        return Run(name, time.perf_counter() - began, res.fun, res.gradient_norm, res.nit, res.n_hvp)

    return run


def scipy_on_jax(X: np.ndarray, y: np.ndarray) -> Callable[[str, np.ndarray], Run]:
    """SciPy's trust-ncg on compiled derivatives, compiled at the first call, which is not timed."""
    import jax
    import jax.numpy as jnp
    import scipy.optimize

    jax.config.update("jax_enable_x64", True)
    loss = make_loss(jnp, jnp.asarray(X), jnp.asarray(y))
    value_and_grad = jax.jit(jax.value_and_grad(loss))
    product = jax.jit(lambda w, v: jax.jvp(jax.grad(loss), (w,), (v,))[1])

    def run(name: str, start: np.ndarray) -> Run:
        counts = 0

        def fun(w: np.ndarray) -> tuple[float, np.ndarray]:
            value, gradient = value_and_grad(w)
            return float(value), np.asarray(gradient)

        def hessp(w: np.ndarray, v: np.ndarray) -> np.ndarray:
            nonlocal counts
            counts += 1
            return np.asarray(product(w, v))

        fun(start), hessp(start, start)
        counts = 0
        began = time.perf_counter()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            res = scipy.optimize.minimize(
                fun, start, jac=True, hessp=hessp, method="trust-ncg", options={"gtol": GTOL, "maxiter": 5000}
            )
        seconds = time.perf_counter() - began
        return Run(name, seconds, float(res.fun), float(np.linalg.norm(res.jac)), int(res.nit), counts)

    return run


def format_runs(runs: Sequence[Run]) -> str:
    """One line per participant, with its time over the first one's: medians over starts and rounds."""
    names = list(dict.fromkeys(run.name for run in runs))
    mine = {name: [run for run in runs if run.name == name] for name in names}
    times = {name: statistics.median(run.seconds for run in mine[name]) for name in names}
    lines = [
        "| medians | seconds | ratio | objective | largest gradient norm | iterations | products |",
        "|---|---|---|---|---|---|---|",
    ]
    for name in names:
        value, nit, n_hvp = (
            statistics.median(getattr(run, key) for run in mine[name]) for key in ("value", "nit", "n_hvp")
        )
        lines.append(
            f"| {name} | {times[name]:.2f} | {times[name] / times[names[0]]:.2f} | {value:.6f} "
            f"| {max(run.gradient_norm for run in mine[name]):.1e} | {nit:.0f} | {n_hvp:.0f} |"
        )
    return "\n".join(lines)


def make_parser() -> argparse.ArgumentParser:
    """Return the command's parser."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.digits", description=DESCRIPTION)
    add_names(parser, "--methods", "method", METHODS, f"comma-separated from {', '.join(METHODS)}")
    parser.add_argument("--rounds", type=positive_int, default=2, metavar="N", help="rounds (default: 2)")
    parser.add_argument(
        "--seeds", type=positive_int, default=3, metavar="N", help="starts, from seeds 0, 1, ... (default: 3)"
    )
    parser.add_argument("--json", type=writable_path, metavar="FILE", help="write every number to FILE")
    return parser


if __name__ == "__main__":
    sys.exit(main())
