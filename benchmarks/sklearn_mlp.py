"""Train a network on scikit-learn's digits, by this library's estimator and by scikit-learn's, from the same weights.

Run as `python -m benchmarks.sklearn_mlp`; see `benchmarks/README.md`.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from statistics import median
from typing import Any

import numpy as np

from benchmarks.errors import BenchmarkError
from benchmarks.machine import describe_machine
from benchmarks.options import positive_int, writable_path
from benchmarks.report import format_header, format_table

DESCRIPTION = """\
Train 64-32-10 (tanh) on all 1797 digits / 16 by NewtonMLPClassifier and by MLPClassifier(solver="lbfgs"): the same
objective, mean log-loss + 5e-4 ||weights||^2, and the same starting weights, seed by seed. The first fit of either is
not timed. scikit-learn's runs with tol = 1e-10 and without limits on iterations and evaluations: what ends it is
L-BFGS-B's own test of the decrease (ftol, 2.2e-9), which MLPClassifier does not expose. Losses and gradients at the
end are evaluated by one function for both."""

HIDDEN = (32,)
#: Penalty per row: alpha = n * PENALTY, which both estimators divide by 2 n.
PENALTY = 1e-3
#: Ours stops here, so that the gradient, in the norm that is aimed at, ends below 1e-6.
TOLERANCE = 9e-7
GRADIENT_TARGET = 1e-6
TIME_TARGET = 0.5

OWN, PEER = "hessian", "scikit-learn"


@dataclass(frozen=True)
class Fit:
    """One training run: the objective and its gradient's 2-norm at the end, and what it took."""

    label: str
    seed: int
    loss: float
    gradient_norm: float
    seconds: float
    iterations: int


def main(argv: Sequence[str] | None = None) -> int:
    """Run the benchmark and return the exit status."""
    options = make_parser().parse_args(argv)
    try:
        trainer = make_trainer()
        machine = describe_machine()
        print(format_header(machine, trainer.versions()), end="\n\n")
        fits = run(trainer, options)
    except BenchmarkError as error:
        print(f"benchmarks.sklearn_mlp: error: {error}", file=sys.stderr)
        return 1
    print(f"{format_fits(fits)}\n\n{format_targets(fits)}")
    if options.json:
        settings = {name: value for name, value in vars(options).items() if name != "json"}
        content = {
            "machine": machine,
            "versions": trainer.versions(),
            "settings": settings,
            "fits": [asdict(fit) for fit in fits],
        }
        options.json.write_text(json.dumps(content, indent=1) + "\n")
        print(f"\nRaw numbers in {options.json}.")
    return 0


def make_parser() -> argparse.ArgumentParser:
    """Return the command's parser."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.sklearn_mlp", description=DESCRIPTION)
    add = parser.add_argument
    add("--seeds", type=positive_int, default=5, metavar="N", help="starts, from seeds 0, 1, ... (default: 5)")
    add("--method", metavar="NAME", help="method of hessian.optimize.minimize (default: its own choice)")
    add("--json", type=writable_path, metavar="FILE", help="write every raw number to FILE")
    return parser


@dataclass(frozen=True, eq=False)
class Trainer:
    """The data, the objective both minimise, and makers of both estimators."""

    inputs: np.ndarray
    labels: np.ndarray
    objective: Callable[[Any], Any]
    estimators: dict[str, Callable[[int, str | None], Any]]

    def versions(self) -> dict[str, str]:
        """Return the versions of everything that is compared."""
        import scipy
        import sklearn

        import hessian

        found = (np, scipy, sklearn, hessian)
        return {module.__name__: module.__version__ for module in found}

    def fit(self, label: str, seed: int, method: str | None) -> Fit:
        """Train one estimator from the weights of a seed, and evaluate where it ends."""
        import hessian as hs

        estimator = self.estimators[label](seed, method)
        with warnings.catch_warnings():
            # A fit that stops early shows in the gradient it ends with.
            warnings.simplefilter("ignore")
            begin = time.perf_counter()
            estimator.fit(self.inputs, self.labels)
            seconds = time.perf_counter() - begin
        layers = [{"W": W, "b": b} for W, b in zip(estimator.coefs_, estimator.intercepts_, strict=True)]
        value, gradient = hs.value_and_grad(self.objective)(layers)
        difference = abs(float(value) - estimator.loss_)
        if not difference <= 1e-12:
            raise BenchmarkError(f"{label} reports a loss that differs from the objective by {difference:.1e}")
        squares = sum(np.sum(array * array) for layer in gradient for array in layer.values())
        return Fit(label, seed, float(value), float(np.sqrt(squares)), seconds, int(estimator.n_iter_))


def make_trainer() -> Trainer:
    """Load scikit-learn, its digits and the estimators."""
    try:
        from sklearn.datasets import load_digits
        from sklearn.neural_network import MLPClassifier
    except ImportError as error:
        raise BenchmarkError('scikit-learn is not installed; run: pip install "hessian[train]"') from error
    from hessian.nn import mlp
    from hessian.nn.sklearn.estimators import NewtonMLPClassifier
    from hessian.nn.sklearn.penalized import PenalizedObjective, weighted_cross_entropy

    inputs, labels = load_digits(return_X_y=True)
    inputs = inputs / 16
    alpha = len(inputs) * PENALTY

    def own(seed: int, method: str | None) -> Any:
        return NewtonMLPClassifier(
            HIDDEN, "tanh", alpha=alpha, method=method, max_iter=10_000, tol=TOLERANCE, random_state=seed
        )

    def peer(seed: int, method: str | None) -> Any:
        return MLPClassifier(
            HIDDEN,
            "tanh",
            solver="lbfgs",
            alpha=alpha,
            max_iter=10**6,
            max_fun=10**9,
            tol=1e-10,
            random_state=seed,
        )

    network = mlp((inputs.shape[1], *HIDDEN, 10), "tanh")
    objective = PenalizedObjective(network, inputs, labels, weighted_cross_entropy, alpha)
    return Trainer(inputs, labels, objective, {OWN: own, PEER: peer})


def run(trainer: Trainer, options: argparse.Namespace) -> list[Fit]:
    """Train from every seed, the two in turns whose order is drawn, telling on stderr what is being measured."""
    rng = np.random.default_rng(0)
    fits = []
    for label in trainer.estimators:
        print(f"warming up {label} ...", file=sys.stderr)
        trainer.fit(label, options.seeds, options.method)
    for seed in range(options.seeds):
        print(f"seed {seed} ...", file=sys.stderr)
        for label in rng.permutation(list(trainer.estimators)):
            fits.append(trainer.fit(str(label), seed, options.method))
    return fits


def format_fits(fits: Sequence[Fit]) -> str:
    """Return one row per run, and one of medians per estimator."""
    rows = [["", "seed", "loss", "gradient norm", "seconds", "iterations"]]
    for label in (OWN, PEER):
        found = sorted((fit for fit in fits if fit.label == label), key=lambda fit: fit.seed)
        rows += [_row(label, str(fit.seed), fit.loss, fit.gradient_norm, fit.seconds, fit.iterations) for fit in found]
        rows.append(_row(label, "median", *(_median(fits, label, name) for name in _COLUMNS)))
    return format_table(rows)


def format_targets(fits: Sequence[Fit]) -> str:
    """Return what was aimed at, and whether it is met."""
    losses, seconds = ([_median(fits, label, name) for label in (OWN, PEER)] for name in ("loss", "seconds"))
    largest = max(fit.gradient_norm for fit in fits if fit.label == OWN)
    ratio = seconds[0] / seconds[1]
    return "\n".join(
        [
            "Targets",
            _target("median loss, ours - scikit-learn's", losses[0] - losses[1], 0.0),
            _target("largest gradient norm, ours", largest, GRADIENT_TARGET),
            _target("median seconds, ours / scikit-learn's", ratio, TIME_TARGET),
        ]
    )


_COLUMNS = ("loss", "gradient_norm", "seconds", "iterations")


def _median(fits: Sequence[Fit], label: str, name: str) -> float:
    """Return the median of a number over one estimator's runs."""
    return median(getattr(fit, name) for fit in fits if fit.label == label)


def _row(label: str, seed: str, loss: float, gradient_norm: float, seconds: float, iterations: float) -> list[str]:
    """Return the cells of one run."""
    return [label, seed, f"{loss:.8f}", f"{gradient_norm:.1e}", f"{seconds:.2f}", f"{iterations:.0f}"]


def _target(text: str, value: float, limit: float) -> str:
    """Return one line about one target."""
    return f"  {text}: {value:.3g}, target at most {limit:g}: {'met' if value <= limit else 'MISSED'}"


if __name__ == "__main__":
    sys.exit(main())
