"""Compare the solvers with SciPy's Hessian methods on the test problems, all fed the same derivatives.

Run as `python -m benchmarks.solvers`; see `benchmarks/README.md`.
"""

from __future__ import annotations

import argparse
import importlib
import json
import math
import sys
import warnings
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from benchmarks.machine import describe_machine
from benchmarks.options import add_names, writable_path
from benchmarks.report import format_header

DESCRIPTION = """\
Run this library's methods and SciPy's six that take Hessians on the problems of tests/optimize_problems.py, from the
standard starts, with the same exact derivatives and the same gradient tolerance. A problem is solved where the value is
within 1e-8 max(1, |f*|) of a known minimum or, where there are more minima than are known, the gradient is within 1e-6, whatever
a method says about itself. Work is counted in sweeps: a value 1, a gradient 1, a Hessian-vector product 1, a dense Hessian n.
SciPy's products are counted where they are computed; ours include those of the check of the curvature at the end."""

OURS = (
    "default",
    "trust-ncg+lbfgs",
    "trust-ncg",
    "trust-krylov",
    "trust-exact",
    "newton",
    "newton-cg",
    "arc",
    "saddle-free",
)
SCIPYS = ("Newton-CG", "dogleg", "trust-ncg", "trust-krylov", "trust-exact", "trust-constr")
DENSE = {"ours newton", "ours trust-exact", "scipy dogleg", "scipy trust-exact"}
DENSE_LIMIT = 200
MAXITER = 1000
MAX_SECONDS = 60.0
TOLERANCE = {"small": 1e-8, "large": 1e-8}


@dataclass(frozen=True)
class Run:
    """One method on one problem."""

    method: str
    problem: str
    n: int
    solved: bool
    claimed: bool
    value: float
    n_value: int
    n_grad: int
    n_hvp: int
    n_hess: int

    @property
    def products(self) -> int:
        """Products, a dense Hessian counted as n."""
        return self.n_hvp + self.n * self.n_hess

    @property
    def sweeps(self) -> int:
        """Work."""
        return self.n_value + self.n_grad + self.products


def main(argv: Sequence[str] | None = None) -> int:
    """Run the comparison and return the exit status."""
    options = make_parser().parse_args(argv)
    import scipy

    import hessian

    versions = {"hessian": hessian.__version__, "numpy": np.__version__, "scipy": scipy.__version__}
    print(format_header(describe_machine(), versions), end="\n\n")
    problems = load_problems()
    chosen = problems.MGH + problems.CUTEST + problems.large()
    runs = [
        run_one(f"{library} {name}", problem)
        for problem in chosen
        for library, names in (("ours", options.ours), ("scipy", options.scipys))
        for name in names
        if problem.start.size <= DENSE_LIMIT or f"{library} {name}" not in DENSE
    ]
    print(format_table(runs), end="\n\n")
    print(format_totals(runs), end="\n\n")
    print(format_products(runs))
    if options.json:
        rows = [asdict(run) | {"sweeps": run.sweeps} for run in runs]
        options.json.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")
    if options.plot:
        draw_profile(runs, options.plot)
    return 0


def load_problems() -> ModuleType:
    """Load the problems that the tests use; their package lies beside them."""
    folder = str(Path(__file__).resolve().parents[1] / "tests")
    if folder not in sys.path:
        sys.path.insert(0, folder)
    return importlib.import_module("optimize_problems")


def run_one(method: str, problem: Any) -> Run:
    """Run a method on a problem."""
    print(f"{problem.name}: {method} ...", file=sys.stderr)
    library, name = method.split()
    run = run_ours if library == "ours" else run_scipy
    x, value, claimed, counts = run(name, problem)
    return Run(method, problem.name, problem.start.size, is_solved(problem, x, value), claimed, value, *counts)


def is_solved(problem: Any, x: np.ndarray, value: float) -> bool:
    """Whether a run ended at a minimum, whatever it says."""
    import hessian as hs

    if any(abs(value - minimum) <= 1e-8 * max(1.0, abs(minimum)) for minimum in problem.minima):
        return True
    return problem.has_many_minima and float(np.linalg.norm(hs.grad(problem.fun)(x))) <= 1e-6


def run_ours(name: str, problem: Any) -> tuple[np.ndarray, float, bool, tuple[int, int, int, int]]:
    """Run one of ours; the curvature check at the end is counted."""
    from hessian.optimize import minimize

    options: dict[str, Any] = {"gtol": 1e-8, "maxiter": MAXITER, "max_seconds": MAX_SECONDS}
    method, _, preconditioner = name.partition("+")
    if preconditioner:
        options["preconditioner"] = preconditioner
    res = minimize(problem.fun, problem.start, method=None if method == "default" else method, options=options)
    return res.x, res.fun, res.success, (res.n_value, res.n_grad, res.n_hvp, res.n_hess)


def run_scipy(name: str, problem: Any) -> tuple[np.ndarray, float, bool, tuple[int, int, int, int]]:
    """Run one of SciPy's, with our derivatives."""
    import scipy.optimize

    import hessian as hs

    fun = hs.record(problem.fun)
    counts = dict.fromkeys(("value", "grad", "hvp", "hess"), 0)

    def counted(key: str, f: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any) -> Any:
            counts[key] += 1
            return f(*args)

        return call

    gradient, hessian = hs.grad(fun), hs.hessian(fun)
    products: dict[str, Any] = {}
    if name in ("dogleg", "trust-exact"):
        products["hess"] = counted("hess", hessian)
    else:
        products["hessp"] = counted("hvp", lambda x, v: hs.hvp(fun, x, v))
    tolerance = {"xtol": 1e-10} if name == "Newton-CG" else {"gtol": 1e-8}
    if name == "trust-constr":
        tolerance["xtol"] = 1e-14
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        try:
            res = scipy.optimize.minimize(
                counted("value", lambda x: float(fun(x))), problem.start, method=name, jac=counted("grad", gradient),
                options={**tolerance, "maxiter": MAXITER}, **products,
            )  # fmt: skip
            x, value, claimed = res.x, float(res.fun), bool(res.success)
        except (ValueError, FloatingPointError, np.linalg.LinAlgError) as error:
            print(f"  {type(error).__name__}: {error}", file=sys.stderr)
            x, value, claimed = problem.start, math.nan, False
    value = value if math.isfinite(value) else math.inf
    return x, value, claimed, tuple(counts.values())  # type: ignore[return-value]


def format_table(runs: Sequence[Run]) -> str:
    """Sweeps per problem and method; what was not solved in brackets."""
    methods = list(dict.fromkeys(run.method for run in runs))
    lines = ["| problem | " + " | ".join(methods) + " |", "|---|" + "---|" * len(methods)]
    found = {(run.problem, run.method): run for run in runs}
    for problem in dict.fromkeys(run.problem for run in runs):
        cells = []
        for method in methods:
            run = found.get((problem, method))
            cells.append("-" if run is None else str(run.sweeps) if run.solved else f"({run.sweeps})")
        lines.append(f"| {problem} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def format_totals(runs: Sequence[Run]) -> str:
    """How many each method solved, and how often it was wrong about it."""
    lines = ["| method | solved | of | success claimed, not solved |", "|---|---|---|---|"]
    for method in dict.fromkeys(run.method for run in runs):
        mine = [run for run in runs if run.method == method]
        wrong = sum(run.claimed and not run.solved for run in mine)
        lines.append(f"| {method} | {sum(run.solved for run in mine)} | {len(mine)} | {wrong} |")
    return "\n".join(lines)


def format_products(runs: Sequence[Run]) -> str:
    """Geometric means of products over SciPy's trust-ncg, where both solved the problem."""
    base = {run.problem: run for run in runs if run.method == "scipy trust-ncg" and run.solved and run.products}
    lines = [
        "| method | products / SciPy trust-ncg's, geometric mean (problems) | up to 32 variables | more |",
        "|---|---|---|---|",
    ]
    for method in dict.fromkeys(run.method for run in runs):
        mine = [run for run in runs if run.method == method and run.solved and run.products and run.problem in base]
        groups = (mine, [run for run in mine if run.n <= 32], [run for run in mine if run.n > 32])
        cells = [f"{mean_ratio(group, base):.3f} ({len(group)})" if group else "-" for group in groups]
        lines.append(f"| {method} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def mean_ratio(runs: Sequence[Run], base: dict[str, Run]) -> float:
    """Geometric mean of products over those of the base."""
    return math.exp(sum(math.log(run.products / base[run.problem].products) for run in runs) / len(runs))


def draw_profile(runs: Sequence[Run], path: Path) -> None:
    """Draw the performance profile (Dolan and Moré 2002): share of problems solved within a factor of the least work."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    problems = list(dict.fromkeys(run.problem for run in runs))
    best = {
        name: min((run.sweeps for run in runs if run.problem == name and run.solved), default=0) for name in problems
    }
    figure, axes = plt.subplots(figsize=(9.0, 5.5), layout="constrained")
    limit = 100.0
    for library, names, style in (("ours", OURS, "-"), ("scipy", SCIPYS, "--")):
        colors = plt.get_cmap("viridis" if library == "ours" else "autumn")(np.linspace(0.0, 0.85, len(names)))
        for name, color in zip(names, colors, strict=True):
            mine = [run for run in runs if run.method == f"{library} {name}"]
            ratios = sorted(run.sweeps / best[run.problem] for run in mine if run.solved)
            if not mine:
                continue
            x = [1.0, *ratios, limit]
            y = [0.0, *(np.arange(1, len(ratios) + 1) / len(problems)), len(ratios) / len(problems)]
            label = f"{'hessian' if library == 'ours' else 'SciPy'} {name}"
            axes.step(x, y, where="post", linestyle=style, color=color, linewidth=1.8, label=label)
    axes.set(
        xscale="log", xlim=(1.0, limit), ylim=(0.0, 1.02), xlabel="work, as a multiple of the best method's (sweeps)",
        ylabel=f"share of the {len(problems)} problems solved",
        title="Performance profile (dense methods are not run on problems of more than 200 variables)",
    )  # fmt: skip
    axes.grid(alpha=0.3)
    axes.legend(loc="lower right", fontsize=9, ncols=2)
    figure.savefig(path, dpi=120)
    plt.close(figure)


def make_parser() -> argparse.ArgumentParser:
    """Return the command's parser."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.solvers", description=DESCRIPTION)
    add_names(parser, "--ours", "method", OURS, f"comma-separated from {', '.join(OURS)}")
    add_names(parser, "--scipys", "method", SCIPYS, f"comma-separated from {', '.join(SCIPYS)}")
    parser.add_argument("--json", type=writable_path, metavar="FILE", help="write every number to FILE")
    parser.add_argument("--plot", type=writable_path, metavar="FILE", help="draw the performance profile into FILE")
    return parser


if __name__ == "__main__":
    sys.exit(main())
