"""Time Kronecker-factored curvature, diagonals and gradients of single examples beside curvlinops and BackPACK; see `benchmarks/README.md`.

Run as `python -m benchmarks.kronecker` where torch, curvlinops-for-pytorch and backpack-for-pytorch are installed. In turns in one
process, medians; the numbers of both sides are compared first.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
import warnings
from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

import hessian as hs
from benchmarks.machine import describe_machine
from benchmarks.options import positive_int, writable_path
from hessian.commands.datasets import load_dataset
from hessian.nn.losses import softmax_cross_entropy

SIZES = (64, 128, 64, 10)


def tasks() -> dict[str, tuple[Callable[[], Any], Callable[[], Any]]]:
    """Return what both sides do, by name: ours, theirs."""
    import backpack
    import curvlinops
    import torch
    from backpack import extensions

    data = load_dataset("digits")
    X, y = np.asarray(data.X, float), data.y
    network = hs.nn.mlp(SIZES, "tanh")
    params = network.init(0)
    layers: list[Any] = []
    for k, (n, m) in enumerate(pairwise(SIZES)):
        layers += [torch.nn.Linear(n, m)] + [torch.nn.Tanh()] * (k < len(SIZES) - 2)
    module = torch.nn.Sequential(*layers).double()
    with torch.no_grad():
        for layer, block in zip(module[::2], params, strict=True):
            layer.weight.copy_(torch.tensor(block["W"].T))
            layer.bias.copy_(torch.tensor(block["b"]))
    tX, ty, weights = torch.tensor(X), torch.tensor(y), list(module.parameters())
    loss = torch.nn.CrossEntropyLoss()
    vector = np.random.default_rng(0).standard_normal(network.n_parameters)

    def ours(corrected: bool) -> hs.KFACOperator:
        options = {"loss_args": (y,), "eigenvalue_corrected": corrected}
        return hs.KFACOperator(network, softmax_cross_entropy, params, X, **options)

    def theirs(corrected: bool) -> Any:
        kind = curvlinops.EKFACLinearOperator if corrected else curvlinops.KFACLinearOperator
        options = {"fisher_type": curvlinops.FisherType.TYPE2, "separate_weight_and_bias": False}
        operator = kind(module, loss, weights, [(tX, ty)], check_deterministic=False, **options)
        # They compute factors when they are first needed.
        return operator, operator.trace

    def backpacked(*extension: Any) -> Callable[[], Any]:
        extended, of = backpack.extend(module), backpack.extend(torch.nn.CrossEntropyLoss())

        def run() -> Any:
            module.zero_grad()
            with backpack.backpack(*extension):
                of(extended(tX), ty).backward()

        return run

    def losses(p: Any, X: np.ndarray, y: np.ndarray) -> Any:
        return -hs.special.log_softmax(network(p, X), axis=1)[np.arange(len(y)), y]

    K, E, (tK, _), (tE, _) = ours(False), ours(True), theirs(False), theirs(True)
    tv = torch.tensor(vector)
    return {
        "KFAC": (lambda: ours(False), lambda: theirs(False)),
        "EKFAC": (lambda: ours(True), lambda: theirs(True)),
        "product of KFAC": (lambda: K @ vector, lambda: tK @ tv),
        "product of EKFAC": (lambda: E @ vector, lambda: tE @ tv),
        "solve with KFAC": (
            lambda: K.solve(vector, damping=0.01),
            lambda: curvlinops.KFACInverseLinearOperator(tK, damping=0.01, use_exact_damping=True) @ tv,
        ),
        "diagonal of Gauss-Newton": (
            lambda: hs.curvature.gauss_newton_diagonal(network, softmax_cross_entropy, params, X, loss_args=(y,)),
            backpacked(extensions.DiagGGNExact()),
        ),
        "gradients of single examples": (
            lambda: hs.curvature.per_example(losses, params, X, y),
            backpacked(extensions.BatchGrad(), extensions.SumGradSquared()),
        ),
    }


def in_turns(ours: Callable[[], Any], theirs: Callable[[], Any], rounds: int) -> tuple[float, float]:
    """Return medians of seconds."""
    seconds: tuple[list[float], list[float]] = ([], [])
    for _ in range(rounds):
        for side, run in zip(seconds, (ours, theirs), strict=True):
            start = time.perf_counter()
            run()
            side.append(time.perf_counter() - start)
    return median(seconds[0]), median(seconds[1])


def alone(run: Callable[[], Any], rounds: int) -> float:
    """Return the median of seconds of processor time where nobody else has a turn."""
    seconds = []
    for _ in range(rounds):
        start = time.process_time()
        run()
        seconds.append(time.process_time() - start)
    return median(seconds)


def main(arguments: Sequence[str] | None = None) -> int:
    """Print a table."""
    parser = argparse.ArgumentParser(description="Time Kronecker-factored curvature.")
    parser.add_argument("--rounds", type=positive_int, default=7, help="turns of each (default: %(default)s)")
    parser.add_argument("--json", type=writable_path, help="file for the raw numbers")
    parser.add_argument(
        "--alone", choices=("hessian", "peer"), help="processor time of one side, without turns of the other"
    )
    options = parser.parse_args(arguments)
    warnings.simplefilter("ignore")
    machine = describe_machine()
    print(machine)
    found: dict[str, dict[str, float]] = {}
    for name, pair in tasks().items():
        if options.alone is not None:
            run = pair[("hessian", "peer").index(options.alone)]
            run()
            found[name] = {options.alone: alone(run, options.rounds)}
            print(f"{name:<30} {options.alone} alone {1e3 * found[name][options.alone]:9.2f} ms", flush=True)
            continue
        pair[0](), pair[1]()
        ours, theirs = in_turns(*pair, options.rounds)
        found[name] = {"hessian": ours, "peer": theirs}
        print(f"{name:<30} {1e3 * ours:9.2f} ms, peer {1e3 * theirs:9.2f} ms, ratio {ours / theirs:.2f}", flush=True)
    if options.json is not None:
        Path(options.json).write_text(json.dumps({"machine": machine, "seconds": found}, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
