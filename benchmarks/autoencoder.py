"""Train a deep autoencoder by Hessian-free optimisation and by torch's Adam for the same wall-clock time.

Run as `python -m benchmarks.autoencoder`; see `benchmarks/README.md`.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from typing import Any

import numpy as np

from benchmarks.errors import BenchmarkError
from benchmarks.machine import describe_machine, thread_count
from benchmarks.options import positive_int, writable_path
from benchmarks.report import format_header, format_table

DESCRIPTION = """\
Train a 64-32-16-8-16-32-64 tanh autoencoder with linear output on the 1797 digits of scikit-learn, pixels scaled to
[0, 1], by the mean squared error (summed over pixels): this library's hessian-free method against torch's Adam, from
the same starting parameters and for the same seconds each. Adam runs once per learning rate, and its best loss counts."""

SIZES = (64, 32, 16, 8, 16, 32, 64)
RATES = (3e-4, 1e-3, 3e-3, 1e-2, 3e-2)
#: Shares of the time at which losses are reported; Adam's clock stands still while its loss is measured.
SHARES = (0.25, 0.5, 1.0)


@dataclass(frozen=True)
class Trial:
    """One training: how many iterations it made, and its loss over all rows after each share of the time."""

    name: str
    iterations: int
    seconds: float
    losses: tuple[float, ...]

    @property
    def final(self) -> float:
        """Loss at the end; infinite if the training has diverged."""
        return self.losses[-1] if math.isfinite(self.losses[-1]) else math.inf


def main(argv: Sequence[str] | None = None) -> int:
    """Run the benchmark and return the exit status."""
    options = make_parser().parse_args(argv)
    try:
        X = load_rows(options.dtype)
        machine, versions = describe_machine(), {name: version(name) for name in ("hessian", "numpy", "torch")}
        print(format_header(machine, versions), end="\n\n")
        trials = run(X, options)
    except (BenchmarkError, ImportError) as error:
        print(f"benchmarks.autoencoder: error: {error}", file=sys.stderr)
        return 1
    print(format_trials(trials))
    if options.json:
        settings = {name: value for name, value in vars(options).items() if name != "json"}
        found = {"machine": machine, "versions": versions, "settings": settings, "trials": list(map(asdict, trials))}
        options.json.write_text(json.dumps(found, indent=1) + "\n")
        print(f"\nRaw numbers in {options.json}.")
    return 0


def make_parser() -> argparse.ArgumentParser:
    """Return the command's parser."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.autoencoder", description=DESCRIPTION)
    add = parser.add_argument
    add("--seconds", type=_seconds, default=20.0, metavar="S", help="time of each training (default: 20)")
    add("--batch-size", type=positive_int, default=128, metavar="N", help="rows of Adam's batches (default: 128)")
    add("--dtype", choices=("float64", "float32"), default="float64", help="of both (default: float64)")
    add("--seed", type=int, default=0, metavar="N", help="seed of parameters and batches (default: 0)")
    add("--json", type=writable_path, metavar="FILE", help="write every raw number to FILE")
    return parser


def load_rows(dtype: str) -> np.ndarray:
    """Return the digits, one image per row, in [0, 1]."""
    from sklearn.datasets import load_digits

    return (load_digits().data / 16.0).astype(dtype)


def run(X: np.ndarray, options: argparse.Namespace) -> list[Trial]:
    """Train by every method in turn, telling on stderr which."""
    print(f"hessian-free for {options.seconds:g} s ...", file=sys.stderr)
    trials = [train_hessian_free(X, options)]
    for rate in RATES:
        print(f"Adam at {rate:g} for {options.seconds:g} s ...", file=sys.stderr)
        trials.append(train_adam(X, rate, options))
    start = trials[0].losses[0]
    if any(not math.isclose(trial.losses[0], start, rel_tol=1e-4) for trial in trials):
        raise BenchmarkError("the libraries disagree about the loss at the start: nothing to compare")
    return trials


def train_hessian_free(X: np.ndarray, options: argparse.Namespace) -> Trial:
    """Train by this library with default options; recording is part of the time."""
    from hessian.nn import mlp, train

    limits = {"max_seconds": options.seconds, "maxiter": 10**6, "gtol": 0.0}
    fit = train(
        mlp(SIZES), X, X, loss="squared_error", method="hessian-free", rng=options.seed, dtype=options.dtype,
        options=limits,
    )  # fmt: skip
    history = fit.result.history
    losses = [history[0].value]
    for share in SHARES:
        losses.append([r.value for r in history if r.seconds <= share * options.seconds][-1])
    # The last iteration may end after the time is up: it does not count.
    counted = sum(record.seconds <= options.seconds for record in history) - 1
    return Trial("hessian-free", counted, history[counted].seconds, tuple(losses))


def train_adam(X: np.ndarray, rate: float, options: argparse.Namespace) -> Trial:
    """Train by torch."""
    import torch

    torch.set_num_threads(thread_count())
    from hessian.nn import mlp

    rows = torch.from_numpy(X)
    layers = mlp(SIZES).init(options.seed, options.dtype)
    weights = [torch.from_numpy(layer[name]).requires_grad_() for layer in layers for name in ("W", "b")]
    optimizer = torch.optim.Adam(weights, lr=rate)
    order = torch.Generator().manual_seed(options.seed)

    def loss(batch: Any) -> Any:
        a = batch
        for k in range(0, len(weights), 2):
            a = torch.addmm(weights[k + 1], a, weights[k])
            a = torch.tanh(a) if k < len(weights) - 2 else a
        return ((a - batch) ** 2).sum(dim=1).mean()

    def measure() -> float:
        with torch.no_grad():
            return float(loss(rows))

    losses, steps, spent, epoch = [measure()], 0, 0.0, iter(())
    for share in SHARES:
        began = time.perf_counter()
        while spent + time.perf_counter() - began < share * options.seconds:
            batch = next(epoch, None)
            if batch is None:
                epoch = iter(torch.randperm(len(rows), generator=order).split(options.batch_size))
                continue
            optimizer.zero_grad()
            loss(rows[batch]).backward()
            optimizer.step()
            steps += 1
        spent += time.perf_counter() - began
        losses.append(measure())
    return Trial(f"Adam {rate:g}", steps, spent, tuple(losses))


def format_trials(trials: Sequence[Trial]) -> str:
    """Return the table of losses, and whether ours is the smallest."""
    rows = [["", "iterations", "seconds", "start", *(f"{share:.0%}" for share in SHARES)]]
    for trial in trials:
        losses = (f"{value:.5f}" for value in trial.losses)
        rows.append([trial.name, str(trial.iterations), f"{trial.seconds:.1f}", *losses])
    own, best = trials[0], min(trials[1:], key=lambda trial: trial.final)
    verdict = "met" if own.final < best.final else "MISSED"
    return (
        f"Loss over all rows after shares of the time\n{format_table(rows)}\n\n"
        f"hessian-free / best Adam ({best.name}): {own.final / best.final:.3f}, target below 1: {verdict}"
    )


def _seconds(text: str) -> float:
    """Parse a finite number of seconds above 0."""
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if not 0 < seconds < math.inf:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of seconds above 0")
    return seconds


if __name__ == "__main__":
    sys.exit(main())
