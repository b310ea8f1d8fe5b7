"""Compare curvature of the digits network with curvlinops and PyHessian: products, eigenpairs, and errors of traces.

Run as `python -m benchmarks.curvature`; see `benchmarks/README.md`.
"""

from __future__ import annotations

import argparse
import json
import sys
import warnings
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from importlib import import_module
from importlib.metadata import version
from importlib.util import find_spec
from typing import Any

import numpy as np

from benchmarks.digits import SIZES, load_problem
from benchmarks.errors import BenchmarkError
from benchmarks.machine import describe_machine, thread_count
from benchmarks.options import add_measuring
from benchmarks.peers.base import Contender
from benchmarks.report import format_header, format_table
from benchmarks.timing import Measurement, measure

DESCRIPTION = """\
The Hessian of mean softmax cross-entropy of a 64-32-10 tanh network on scikit-learn's digits (all 1797 rows, pixels in
[0, 1], float64) at its Glorot start, or at a trained point: one product, twenty at once, and the five largest eigenpairs, in turns in
one process with curvlinops (and SciPy's eigsh) and PyHessian on torch. Then what each spends for what accuracy, and how the errors
of trace estimates fall with products."""

COLUMNS, PAIRS = 20, 5
#: Largest relative difference of the top eigenvalues from those of the dense Hessian.
EIGENVALUE_TOLERANCE = 1e-6
#: PyHessian's own: it divides vectors by their norm plus 1e-6, which its eigenvalues keep twice over.
PYHESSIAN_TOLERANCE = 1e-5
#: Largest ratios wanted of our time to that of curvlinops, by task.
WANTED = {"product": 0.25, "20 products": 0.25, "5 eigenpairs": 0.25}
BASELINE = "curvlinops"
BUDGETS = (12, 24, 48, 96, 192)


@dataclass(frozen=True)
class Accuracy:
    """What one way to the top eigenvalues costs and gives."""

    label: str
    products: int
    error: float
    residual: float
    tolerance: float = EIGENVALUE_TOLERANCE


@dataclass(frozen=True)
class Curve:
    """Root mean square error of the trace, and root mean of the variance claimed, by budget."""

    problem: str
    method: str
    budgets: list[int]
    errors: list[float]
    claimed: list[float]


class Ours:
    """This library on the recorded loss."""

    def __init__(self, X: np.ndarray, y: np.ndarray, w: np.ndarray) -> None:
        import hessian as hs
        from hessian import curvature

        self._hs, self._curvature = hs, curvature
        self.loss = make_loss(X, y)
        self._w = w

    def operator(self) -> Any:
        """Return the Hessian, compiled."""
        return self._hs.HessianOperator(self._hs.record(self.loss), self._w)

    def eigenpairs(self, H: Any, **options: Any) -> Any:
        """Return the largest eigenpairs."""
        return self._curvature.eigenvalues(H, PAIRS, "LA", **options)

    def trace(self, H: Any, max_hvp: int, seed: int, method: str) -> Any:
        """Return an estimate of the trace."""
        return self._curvature.trace(H, max_hvp, rng=seed, method=method)

    def contenders(self, v: np.ndarray, V: np.ndarray) -> list[Contender]:
        """Return the ways to perform the tasks."""

        def with_operator(run: Callable[[Any], Any]) -> Callable[[], Callable[[], Any]]:
            def prepare() -> Callable[[], Any]:
                H = self.operator()
                H @ V  # compiled for one and for many before what is compared
                H @ V[:, 0]
                return lambda: run(H)

            return prepare

        values = lambda found: found.values
        return [
            Contender("hessian", "product", with_operator(lambda H: H @ v)),
            Contender("hessian", "20 products", with_operator(lambda H: H @ V)),
            Contender("hessian", "5 eigenpairs", with_operator(self.eigenpairs), values),
            Contender(
                "hessian, one look", "5 eigenpairs", with_operator(lambda H: self.eigenpairs(H, confirm=False)), values
            ),
        ]

    def accuracies(self, exact: np.ndarray) -> list[Accuracy]:
        """Run to several accuracies, and count."""
        H, found = self.operator(), []
        for label, options in (
            ("hessian", {}),
            ("hessian, one look", {"confirm": False}),
            ("hessian, one look, tol 1e-6", {"confirm": False, "tol": 1e-6}),
        ):
            pairs = self.eigenpairs(H, **options)
            true = np.linalg.norm(H @ pairs.vectors - pairs.vectors * pairs.values, axis=0)
            found.append(Accuracy(label, pairs.n_hvp, relative_error(pairs.values, exact), float(true.max())))
        return found


class TorchNetwork:
    """The same network in torch, and the order of its parameters: weights are transposed."""

    def __init__(self, X: np.ndarray, y: np.ndarray, w: np.ndarray) -> None:
        import torch

        torch.set_num_threads(thread_count())
        self.torch = torch
        n_in, n_hidden, n_out = SIZES
        self.model = torch.nn.Sequential(
            torch.nn.Linear(n_in, n_hidden), torch.nn.Tanh(), torch.nn.Linear(n_hidden, n_out)
        ).double()
        self.parameters = list(self.model.parameters())
        positions, start = [], 0
        for rows, columns in ((n_in, n_hidden), (n_hidden, n_out)):
            middle, stop = start + rows * columns, start + (rows + 1) * columns
            positions += [np.arange(start, middle).reshape(rows, columns).T.ravel(), np.arange(middle, stop)]
            start = stop
        self.order = np.concatenate(positions)
        with torch.no_grad():
            for parameter, part in zip(self.parameters, positions, strict=True):
                parameter.copy_(torch.from_numpy(w[part].reshape(parameter.shape)))
        self.inputs, self.labels = torch.from_numpy(X), torch.from_numpy(y)
        self.loss = torch.nn.CrossEntropyLoss()

    def to_torch(self, v: np.ndarray) -> Any:
        """Put a vector, or columns, into torch's order."""
        return self.torch.from_numpy(np.ascontiguousarray(v[self.order]))

    def to_numpy(self, v: Any) -> np.ndarray:
        """Put a vector, or columns, into ours."""
        result = np.empty(tuple(v.shape))
        result[self.order] = v.detach().numpy()
        return result


class Curvlinops:
    """curvlinops' Hessian, with SciPy's eigsh as in its documentation."""

    def __init__(self, network: TorchNetwork) -> None:
        import curvlinops

        self._network = network
        self._make = curvlinops.HessianLinearOperator

    def operator(self) -> Any:
        """Return the Hessian on the whole data as one batch."""
        network = self._network
        data = [(network.inputs, network.labels)]
        return self._make(network.model, network.loss, network.parameters, data, check_deterministic=False)

    def eigenvalues(self, H: Any, tol: float = 0.0) -> np.ndarray:
        """Return the largest eigenvalues."""
        return self._eigsh(H.to_scipy(), tol)[0]

    def contenders(self, v: np.ndarray, V: np.ndarray) -> list[Contender]:
        """Return the ways to perform the tasks."""
        network = self._network
        one, many = network.to_torch(v), network.to_torch(V)

        def with_operator(run: Callable[[Any], Any]) -> Callable[[], Callable[[], Any]]:
            def prepare() -> Callable[[], Any]:
                H = self.operator()
                return lambda: run(H)

            return prepare

        return [
            Contender(BASELINE, "product", with_operator(lambda H: H @ one), network.to_numpy),
            Contender(BASELINE, "20 products", with_operator(lambda H: H @ many), network.to_numpy),
            Contender(BASELINE, "5 eigenpairs", with_operator(self.eigenvalues), np.sort),
        ]

    def accuracies(self, exact: np.ndarray) -> list[Accuracy]:
        """Run eigsh to several tolerances, and count its products."""
        from scipy.sparse.linalg import LinearOperator

        H, found = self.operator().to_scipy(), []
        for label, tol in (("curvlinops, eigsh", 0.0), ("curvlinops, eigsh, tol 1e-6", 1e-6)):
            count = 0

            def product(v: np.ndarray) -> np.ndarray:
                nonlocal count
                count += 1
                return H @ v

            values, vectors = self._eigsh(LinearOperator(H.shape, matvec=product, dtype=np.float64), tol)
            true = np.linalg.norm(H @ vectors - vectors * values, axis=0)
            found.append(Accuracy(label, count, relative_error(np.sort(values), exact), float(true.max())))
        return found

    def _eigsh(self, operator: Any, tol: float) -> tuple[np.ndarray, np.ndarray]:
        from scipy.sparse.linalg import eigsh

        start = np.random.default_rng(0).standard_normal(operator.shape[0])
        return eigsh(operator, PAIRS, which="LA", tol=tol, v0=start)


class PyHessian:
    """PyHessian, whose graph of the gradient is kept, and whose eigenvalues come from power iterations."""

    TOLERANCE, ITERATIONS = 1e-10, 1000

    def __init__(self, network: TorchNetwork) -> None:
        from pyhessian import hessian
        from pyhessian.utils import hessian_vector_product

        self._network = network
        self._make, self._product = hessian, hessian_vector_product

    def operator(self) -> Any:
        """Return the Hessian, the gradient's graph built."""
        network = self._network
        # It reads the gradient where backward() adds it up.
        network.model.zero_grad()
        with warnings.catch_warnings():
            # About the reference cycle that keeping a graph on parameters makes.
            warnings.simplefilter("ignore", UserWarning)
            return self._make(network.model, network.loss, data=(network.inputs, network.labels), cuda=False)

    def eigenvalues(self, H: Any) -> np.ndarray:
        """Return the eigenvalues largest in magnitude, which are the largest here."""
        self._network.torch.manual_seed(0)
        with _doubles(self._network.torch):
            values, _ = H.eigenvalues(maxIter=self.ITERATIONS, rtol=self.TOLERANCE, top_n=PAIRS)
        return np.sort(values)

    def contenders(self, v: np.ndarray, V: np.ndarray) -> list[Contender]:
        """Return the ways to perform the tasks; it has no products at once."""
        network = self._network
        flat, parts, start = network.to_torch(v), [], 0
        for parameter in network.parameters:
            parts.append(flat[start : start + parameter.numel()].reshape(parameter.shape))
            start += parameter.numel()

        def one() -> Callable[[], Any]:
            H = self.operator()
            return lambda: self._product(H.gradsH, H.params, parts)

        def pairs() -> Callable[[], Any]:
            H = self.operator()
            return lambda: self.eigenvalues(H)

        join = lambda found: network.to_numpy(network.torch.cat([part.reshape(-1) for part in found]))
        # Power iterations to another accuracy are timed, and their error stands in the other table.
        return [Contender("pyhessian", "product", one, join), Contender("pyhessian", "5 eigenpairs", pairs, None)]

    def accuracies(self, exact: np.ndarray) -> list[Accuracy]:
        """Run once, and count products."""
        module = import_module("pyhessian.hessian")  # the package shadows it with its class
        H, count, product = self.operator(), 0, module.hessian_vector_product

        def counted(*args: Any) -> Any:
            nonlocal count
            count += 1
            return product(*args)

        module.hessian_vector_product = counted
        try:
            values = self.eigenvalues(H)
        finally:
            module.hessian_vector_product = product
        return [Accuracy("pyhessian, power", count, relative_error(values, exact), float("nan"), PYHESSIAN_TOLERANCE)]


class _doubles:
    """torch's default dtype set to float64: PyHessian draws its starting vectors in the default."""

    def __init__(self, torch: Any) -> None:
        self._torch = torch

    def __enter__(self) -> None:
        self._before = self._torch.get_default_dtype()
        self._torch.set_default_dtype(self._torch.float64)

    def __exit__(self, *_: object) -> None:
        self._torch.set_default_dtype(self._before)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the comparison and return the exit status."""
    options = make_parser().parse_args(argv)
    missing = [name for name in ("torch", "curvlinops", "pyhessian") if find_spec(name) is None]
    if missing:
        print(
            f"not installed: {', '.join(missing)}. Run: pip install torch curvlinops-for-pytorch pyhessian",
            file=sys.stderr,
        )
        return 2
    try:
        return _run(options)
    except BenchmarkError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1


def _run(options: argparse.Namespace) -> int:
    import scipy

    import hessian

    X, y, start = load_problem(options.seed)
    w = trained(X, y, start) if options.point == "trained" else start
    ours, network = Ours(X, y, w), TorchNetwork(X, y, w)
    versions = {"hessian": hessian.__version__, "numpy": np.__version__, "scipy": scipy.__version__}
    versions |= {name: version(name) for name in ("torch", "curvlinops-for-pytorch", "pyhessian")}
    print(format_header(describe_machine(), versions))
    print(f"digits, 64-32-10, {len(y)} rows, {len(w)} parameters, float64, at the {options.point} point", end="\n\n")

    peers = [ours, Curvlinops(network), PyHessian(network)]
    spectrum = np.linalg.eigvalsh(ours.operator().to_dense())
    accuracies = [row for peer in peers for row in peer.accuracies(spectrum[-PAIRS:])]
    print(format_accuracies(accuracies), end="\n\n")
    wrong = [row.label for row in accuracies if not row.error <= row.tolerance]
    if wrong:
        raise BenchmarkError(f"top eigenvalues are not those of the dense Hessian: {', '.join(wrong)}")

    rng = np.random.default_rng(options.seed)
    v, V = rng.standard_normal(len(w)), rng.standard_normal((len(w), COLUMNS))
    contenders = [contender for peer in peers for contender in peer.contenders(v, V)]
    measurements = measure(contenders, dtype="float64", rounds=options.rounds, budget=options.budget, seed=options.seed)
    print(format_times(measurements), end="\n\n")

    curves = trace_curves(ours, float(spectrum.sum()), options.curve_seeds)
    print(format_curves(curves))
    if options.json:
        raw = {
            "machine": describe_machine(),
            "versions": versions,
            "point": options.point,
            "accuracies": [asdict(row) for row in accuracies],
            "measurements": [measurement.to_json() for measurement in measurements],
            "curves": [asdict(curve) for curve in curves],
        }
        options.json.write_text(json.dumps(raw, indent=1) + "\n", encoding="utf-8")
    return 0


def make_loss(X: np.ndarray, y: np.ndarray) -> Callable[[Any], Any]:
    """Write the objective in plain NumPy."""
    n_in, n_hidden, n_out = SIZES
    cuts = np.cumsum([n_in * n_hidden, n_hidden, n_hidden * n_out, n_out])
    rows = np.arange(len(y))

    def loss(w: Any) -> Any:
        W1, b1 = w[: cuts[0]].reshape(n_in, n_hidden), w[cuts[0] : cuts[1]]
        W2, b2 = w[cuts[1] : cuts[2]].reshape(n_hidden, n_out), w[cuts[2] :]
        z = np.tanh(X @ W1 + b1) @ W2 + b2
        z = z - np.max(z, axis=1, keepdims=True)
        return np.mean(np.log(np.sum(np.exp(z), axis=1)) - z[rows, y])

    return loss


def trained(X: np.ndarray, y: np.ndarray, start: np.ndarray) -> np.ndarray:
    """Go twenty Newton steps from the start."""
    from hessian.optimize import minimize

    return minimize(make_loss(X, y), start, options={"maxiter": 20, "check_curvature": False}).x


def relative_error(values: np.ndarray, exact: np.ndarray) -> float:
    """Return the largest difference over the largest eigenvalue."""
    return float(np.max(np.abs(np.asarray(values) - exact)) / np.max(np.abs(exact)))


def trace_curves(ours: Ours, exact: float, seeds: int) -> list[Curve]:
    """Estimate traces of the network's Hessian and of a decaying spectrum, over seeds and budgets."""
    from scipy.sparse import diags_array
    from scipy.sparse.linalg import aslinearoperator

    decaying = 0.95 ** np.arange(2000.0)
    # Rotated: on a diagonal matrix Hutchinson's signs would have no error at all.
    vectors = np.linalg.qr(np.random.default_rng(0).standard_normal((len(decaying), 400)))[0]
    low_rank = vectors @ diags_array(decaying[:400]) @ vectors.T
    problems = {
        "network": (ours.operator(), exact),
        "0.95^k": (aslinearoperator(0.5 * (low_rank + low_rank.T)), float(decaying[:400].sum())),
    }
    curves = []
    for problem, (H, truth) in problems.items():
        for method in ("hutchinson", "hutch++", "xtrace"):
            errors, claimed = [], []
            for max_hvp in BUDGETS:
                print(f"trace of {problem}: {method}, {max_hvp} products ...", file=sys.stderr)
                found = [ours.trace(H, max_hvp, seed, method) for seed in range(seeds)]
                errors.append(float(np.sqrt(np.mean([(e.value - truth) ** 2 for e in found]))))
                claimed.append(float(np.sqrt(np.mean([e.standard_error**2 for e in found]))))
            curves.append(Curve(problem, method, list(BUDGETS), errors, claimed))
    return curves


def format_accuracies(rows: Sequence[Accuracy]) -> str:
    """Return products and errors of the top eigenvalues."""
    title = f"The {PAIRS} largest eigenvalues: products, error relative to the largest, residual |Hv - theta v|"
    table = [("", "products", "error", "residual")]
    table += [(row.label, str(row.products), f"{row.error:.1e}", f"{row.residual:.1e}") for row in rows]
    return f"{title}\n{format_table(table)}"


def format_times(measurements: Sequence[Measurement]) -> str:
    """Return medians, and their ratios to the baseline's."""
    table = [("", "task", "ms", "spread", f"/ {BASELINE}", "wanted")]
    for task, wanted in WANTED.items():
        rows = [m for m in measurements if m.task == task]
        baseline = next(m for m in rows if m.label == BASELINE)
        for m in rows:
            goal = f"<= {wanted:g}" if m.label.startswith("hessian") else ""
            ratio = m.median / baseline.median
            table.append((m.label, task, f"{1e3 * m.median:.3f}", f"{m.spread:.2f}", f"{ratio:.2f}", goal))
        many = next((m for m in rows if m.label == "hessian"), None)
        if task == "20 products" and many is not None:
            each, theirs = many.median / COLUMNS, baseline.median / COLUMNS
            table.append(("hessian, each", task, f"{1e3 * each:.3f}", "", f"{each / theirs:.2f}", ""))
    return f"Medians in milliseconds, in turns\n{format_table(table)}"


def format_curves(curves: Sequence[Curve]) -> str:
    """Return root mean square errors of traces, and in brackets what the standard errors claimed."""
    table = [("trace of", "method", *(f"{max_hvp} products" for max_hvp in BUDGETS))]
    for curve in curves:
        cells = [f"{error:.1e} ({claim:.1e})" for error, claim in zip(curve.errors, curve.claimed, strict=True)]
        table.append((curve.problem, curve.method, *cells))
    return f"Errors of trace estimates, root mean square (claimed)\n{format_table(table)}"


def make_parser() -> argparse.ArgumentParser:
    """Return the command's parser."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.curvature", description=DESCRIPTION)
    add_measuring(parser)
    parser.add_argument(
        "--point", choices=("start", "trained"), default="start", help="where the Hessian is taken (default: start)"
    )
    parser.add_argument("--curve-seeds", type=int, default=10, metavar="N", help="seeds per trace (default: 10)")
    return parser


if __name__ == "__main__":
    sys.exit(main())
