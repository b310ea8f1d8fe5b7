"""Time Laplace approximations, their predictions and the tuning of priors beside laplace-torch; see `benchmarks/README.md`.

Run as `python -m benchmarks.laplace` where torch and laplace-torch are installed. In turns in one process, medians of processor
time of one thread; the log evidences and the losses of both sides are printed first.
"""

from __future__ import annotations

import argparse
import json
import os
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

PRIOR, NOISE, INPUTS = 1.0, 0.3, 1000
STRUCTURES = {"dense": "full", "diagonal": "diag", "kronecker": "kron", "last layer": "full"}
SIZES = {"classification": (64, 8, 10), "regression": (8, 40, 1)}


def data(kind: str) -> tuple[np.ndarray, np.ndarray]:
    """Return inputs and targets: 500 digits, or a noisy function of eight numbers."""
    if kind == "classification":
        digits = load_dataset("digits")
        return np.asarray(digits.X, float)[:500], digits.y[:500]
    rng = np.random.default_rng(0)
    X = rng.standard_normal((500, SIZES[kind][0]))
    return X, np.sin(X[:, :1]) + 0.5 * X[:, 1:2] * X[:, 2:3] + NOISE * rng.standard_normal((500, 1))


class Ours:
    """The network, trained to its mode, and what is done with it."""

    def __init__(self, kind: str) -> None:
        self.kind, self.network = kind, hs.nn.mlp(SIZES[kind], "tanh")
        self.X, y = data(kind)
        constant = y.size * np.log(np.sqrt(2.0 * np.pi) * NOISE)
        if kind == "classification":
            self.loss = lambda z: softmax_cross_entropy(z, y, reduction="sum")
        else:
            self.loss = lambda z: 0.5 * np.sum((z - y) ** 2) / NOISE**2 + constant
        start, unravel = hs.tape.trees.ravel(self.network.init(0))
        posterior = lambda v: self.loss(self.network(unravel(v), self.X)) + 0.5 * PRIOR * v @ v
        self.params = unravel(hs.optimize.minimize(posterior, start, options={"maxiter": 100}).x)
        self.new = np.tile(self.X, (INPUTS // len(self.X) + 1, 1))[:INPUTS]

    def fit(self, structure: str) -> Any:
        """Approximate."""
        only = {"only": [-1], "structure": "dense"} if structure == "last layer" else {"structure": structure}
        return hs.statistics.laplace(
            self.loss, self.params, self.X, model=self.network, prior_precision=PRIOR, at_mode=False, **only
        )

    def predict(self, found: Any) -> Any:
        """Predict for the new inputs."""
        if self.kind == "regression":
            return found.predict(self.network, self.new)
        return found.predict_classes(self.network, self.new, method="probit")


class Theirs:
    """The same network in torch."""

    def __init__(self, ours: Ours) -> None:
        import torch

        torch.set_default_dtype(torch.float64)
        self.kind, self.params = ours.kind, ours.params
        X, y = data(ours.kind)
        rows = torch.utils.data.TensorDataset(torch.tensor(X), torch.tensor(y))
        self.loader = torch.utils.data.DataLoader(rows, batch_size=len(X))
        self.new = torch.tensor(ours.new)

    def module(self) -> Any:
        """Return the network anew: backends leave hooks in it."""
        import torch

        layers: list[Any] = []
        sizes = SIZES[self.kind]
        for k, ((n, m), block) in enumerate(zip(pairwise(sizes), self.params, strict=True)):
            linear = torch.nn.Linear(n, m)
            with torch.no_grad():
                linear.weight.copy_(torch.tensor(block["W"].T))
                linear.bias.copy_(torch.tensor(block["b"]))
            layers += [linear] + [torch.nn.Tanh()] * (k < len(sizes) - 2)
        return torch.nn.Sequential(*layers)

    def fit(self, structure: str) -> Any:
        """Approximate, by the fastest of their backends that has exact numbers."""
        import laplace
        from laplace.curvature.backpack import BackPackGGN
        from laplace.curvature.curvlinops import CurvlinopsGGN

        noise = {} if self.kind == "classification" else {"sigma_noise": NOISE}
        found = laplace.Laplace(
            self.module(),
            self.kind,
            subset_of_weights="last_layer" if structure == "last layer" else "all",
            hessian_structure=STRUCTURES[structure],
            prior_precision=PRIOR,
            backend=BackPackGGN if structure == "diagonal" else CurvlinopsGGN,
            **noise,
        )
        found.fit(self.loader)
        # Factors of the precision are made when they are first needed.
        found.log_marginal_likelihood()
        return found

    def predict(self, found: Any) -> Any:
        """Predict for the new inputs."""
        if self.kind == "regression":
            return found(self.new)
        return found(self.new, pred_type="glm", link_approx="probit")


def tuned(theirs: Any) -> Any:
    """Tune as they do by default: a hundred steps of Adam."""
    theirs.prior_precision = PRIOR
    theirs.optimize_prior_precision(method="marglik")
    return theirs


def compare(ours: Any, theirs: Any, name: str) -> None:
    """Print what both sides found before they are timed."""
    peer = float(theirs.log_marginal_likelihood())
    print(f"{name}: loss {-ours.log_likelihood:.6f}, log evidence {ours.log_evidence:.6f}, peer {peer:.6f}")
    best = ours.tune_prior()
    precision = float(np.min(hs.tape.trees.ravel(best.prior_precision)[0]))
    print(f"  tuned {precision:.4f}: {best.log_evidence:.6f}, peer ", end="")
    tuned(theirs)
    print(f"{float(theirs.prior_precision.detach().ravel()[0]):.4f}: {float(theirs.log_marginal_likelihood()):.6f}")
    theirs.prior_precision = PRIOR


def tasks(kind: str) -> dict[str, tuple[Callable[[], Any], Callable[[], Any]]]:
    """Return what both sides do, by name: ours, theirs."""
    ours = Ours(kind)
    theirs = Theirs(ours)
    found: dict[str, tuple[Callable[[], Any], Callable[[], Any]]] = {}
    for structure in STRUCTURES:
        mine, other = ours.fit(structure), theirs.fit(structure)
        compare(mine, other, f"{kind}, {structure}")
        name = f"{kind}, {structure}: "
        found[name + "fit"] = (lambda s=structure: ours.fit(s), lambda s=structure: theirs.fit(s))
        found[name + "predict"] = (lambda m=mine: ours.predict(m), lambda m=other: theirs.predict(m))
        found[name + "tune"] = (lambda m=mine: m.tune_prior(), lambda m=other: tuned(m))
    return found


def in_turns(runs: Sequence[Callable[[], Any]], rounds: int) -> list[float]:
    """Return medians of seconds."""
    seconds: list[list[float]] = [[] for _ in runs]
    for _ in range(rounds + 1):
        for side, run in zip(seconds, runs, strict=True):
            start = time.process_time()
            run()
            side.append(time.process_time() - start)
    # The first turn warms up.
    return [median(side[1:]) for side in seconds]


def main(arguments: Sequence[str] | None = None) -> int:
    """Print a table."""
    parser = argparse.ArgumentParser(description="Time Laplace approximations.")
    parser.add_argument("--rounds", type=positive_int, default=5, help="turns of each (default: %(default)s)")
    parser.add_argument("--json", type=writable_path, help="file for the raw numbers")
    parser.add_argument("--alone", choices=("hessian", "peer"), help="time one side only, without turns of the other")
    options = parser.parse_args(arguments)
    warnings.simplefilter("ignore")
    machine = f"{describe_machine()}, load {os.getloadavg()[0]:.1f}"
    print(machine)
    seconds: dict[str, dict[str, float]] = {}
    for kind in SIZES:
        for name, pair in tasks(kind).items():
            if options.alone is not None:
                run = pair[("hessian", "peer").index(options.alone)]
                seconds[name] = {options.alone: in_turns([run], options.rounds)[0]}
                print(f"{name:<40} {options.alone} alone {1e3 * seconds[name][options.alone]:9.2f} ms", flush=True)
                continue
            ours, theirs = in_turns(pair, options.rounds)
            seconds[name] = {"hessian": ours, "peer": theirs}
            print(
                f"{name:<40} {1e3 * ours:9.2f} ms, peer {1e3 * theirs:9.2f} ms, ratio {ours / theirs:.2f}", flush=True
            )
    if options.json is not None:
        Path(options.json).write_text(json.dumps({"machine": machine, "seconds": seconds}, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
