"""What the pages of the benchmarks say: one function for each, from its file of numbers."""

from __future__ import annotations

from statistics import geometric_mean, median
from typing import Any

from docs.tools.benchmarks import Page, Ratio, load, machine, mark, picture, replayed, seconds, steady, summary, table

NETWORKS = """Networks with tanh between their layers, as plain NumPy in one flat vector of parameters: tiny 2-16-16-2 with 32 rows, small
64-32-10 with 128, medium 64-128-128-10 with 1797, wide 784-512-512-10 with 1024, long 32-64-64-2 with 20 000; dense Hessians of 64-16-10
with 256 rows and 64-32-10 with 512. """


def recorded() -> Page:
    """Recorded functions against compiled JAX."""
    content, alone = load("programs"), load("programs_alone")
    opening = (
        "For whoever evaluates the same derivative many times: functions recorded by {func}`hessian.record` against `jax.jit`, in turns in one"
        f" process, and each library alone in a process of its own. {NETWORKS}\n\nIn turns: {machine(content)} `python -m benchmarks.programs`"
        f"\n\nAlone: {alone['measured']}."
    )
    more = (
        "In turns, JAX shares its cores with another library's threads, which costs it most at medium: there it is faster than we are when it"
        " has the machine to itself. *Function to first HVP* starts from a new function: what a compiler takes before it returns anything. JAX is"
        " measured by `jit` of `linearize` (JAX) and by `jit` of `jvp` of `grad` (JAX.jvp), its quicker way.\n\n"
    )
    return Page("Recorded functions against compiled JAX", opening, replayed(content, alone), more)


def problems() -> Page:
    """Problems that are no networks."""
    content = load("problems")
    opening = (
        "For whoever's function is no network: Rosenbrock's function in slices, a logistic regression of 10 000 x 1000, a Gaussian process,"
        " and Python loops of 200 steps, recorded, against compiled JAX, in turns in one process. JAX takes loops unrolled (JAX) and"
        f" rewritten by `lax.scan` (JAX.scan).\n\nMeasured on: {machine(content)} `python -m benchmarks.problems`"
    )
    more = (
        "Where it loses, and why: NumPy passes over memory once for each operation where a compiler fuses them (Rosenbrock from 1e5 variables"
        " on); a loop over single numbers costs NumPy most of a microsecond for each of them (the pendulum); the Gaussian process of this"
        " file solves with `np.linalg.solve`: by its factor it is another matter ({doc}`gaussian-process`).\n\n"
    )
    return Page("Other problems: loops, regressions, long vectors", opening, replayed(content), more)


def gaussian_process() -> Page:
    """A Gaussian process by its factor."""
    content = load("gaussian_process")
    ratios = replayed(content)
    opening = (
        "For whoever fits covariance matrices: the marginal likelihood of 300 and 1000 rows, squared exponential kernel, four parameters,"
        " written by `cho_factor` and `cho_solve` (factor), by `np.linalg.cholesky` and `solve` (cholesky) and by `slogdet` and `solve`"
        f" (slogdet); against compiled JAX, processor time of one core.\n\nMeasured on: {machine(content)}"
        " `python -m benchmarks.gaussian_process --clock processor`"
    )
    return Page("Gaussian processes by their factors", opening, ratios)


def sparse() -> Page:
    """Sparse Hessians, and minimisation on them."""
    content, newton = load("sparse"), load("sparse_newton")
    ratios = []
    for case, result in content["results"].items():
        own, other = result["times"]["hessian"], result["times"]["asdex"]
        ratios.append(Ratio("pattern, compilation and the first Hessian", case, own["setup"], other["setup"], "asdex"))
        ratios.append(Ratio("a further Hessian (least of 40)", case, own["least"], other["least"], "asdex"))
    ratios.sort(key=lambda ratio: ratio.task, reverse=True)
    grids = newton["results"]["grids"]
    ways = ["by hand", "sparse", "sparse newton", "trust-ncg", "auto"]
    rows = [[name, *(seconds(grid["times"][way]) for way in ways)] for name, grid in grids.items()]
    chains = newton["results"]["chains"]
    names = list(next(iter(chains.values())))
    factors = [
        [
            f"{int(n):,}".replace(",", " "),
            *(mark(chains[n][name]["times"]["auto"] / chains[n][name]["times"]["trust-ncg"]) for name in names),
        ]
        for n in chains
    ]
    more = (
        "## Minimisation on sparse factors\n\nTwo energies on a grid of 224 x 224, gradient to 1e-8, processor time of one thread: a Newton"
        " iteration by hand with `scipy.sparse.linalg.splu`, ours on sparse factors (`trust-exact`, `newton`), by products, and as"
        f" `minimize(f, x0)` comes.\n\n{table(['', 'by hand', 'sparse, trust-exact', 'sparse, newton', 'trust-ncg', 'as it comes'], rows)}"
        'Chains: `minimize(f, x0)` as it comes over `method="trust-ncg"`, by number of variables. Bold is a loss.\n\n'
        f"{table(['n', *names], factors)}Measured on: {machine(newton)} `python -m benchmarks.sparse_newton`\n\n"
    )
    opening = (
        "For whoever has a Hessian that is mostly zero: {func}`hessian.sparse.hessian` against asdex on JAX. Set-up is measured once; of"
        f" further Hessians the least of 40 times counts, since others used the machine.\n\nMeasured on: {machine(content)} `python -m benchmarks.sparse`"
    )
    return Page("Sparse Hessians", opening, ratios, more, "asdex")


def solvers() -> Page:
    """Solvers on a collection of problems."""
    runs = load("solvers")
    reference = {run["problem"]: run["sweeps"] for run in runs if run["method"] == "scipy trust-ncg" and run["solved"]}
    rows = []
    for method in dict.fromkeys(run["method"] for run in runs):
        own = [run for run in runs if run["method"] == method]
        shared = [
            run["sweeps"] / reference[run["problem"]] for run in own if run["solved"] and run["problem"] in reference
        ]
        false = sum(run["claimed"] and not run["solved"] for run in own)
        spent = mark(geometric_mean(shared)) if shared else ""
        rows.append(
            [
                f"`{method}`",
                f"{sum(run['solved'] for run in own)} of {len(own)}",
                f"**{false}**" if false else "0",
                spent,
            ]
        )
    more = (
        table(["method", "solved", "false success", "sweeps over SciPy trust-ncg's"], rows)
        + picture("solvers", "Performance profile: share of problems solved within a multiple of the fewest sweeps")
        + "The picture: the share of problems that a method solves within a multiple of the fewest sweeps that any needs. Further up is better;"
        " at the left end, how often a method is the cheapest; at the right, how many it solves at all.\n\n"
    )
    opening = (
        "For whoever chooses a method: 147 problems (Moré, Garbow and Hillstrom; CUTEst; five of 5000 variables) from their standard starts,"
        " with the same exact derivatives and gradient tolerance 1e-8 for everybody. *Solved* means a value within 1e-8 max(1, abs(f*)) of a"
        " known minimum, or a gradient within 1e-6 where more minima exist than are known, whatever the method says; *false success* means"
        " that it says so wrongly. Sweeps are values, gradients and products together, a dense Hessian counted as n products, our check of the"
        " curvature at the end included; their ratio is the geometric mean where both solve the problem. `python -m benchmarks.solvers`"
    )
    return Page(
        "Solvers: how many problems, at what cost", opening, [], more, "SciPy", "who solves how many of 147 problems"
    )


def training() -> Page:
    """Training to a tight gradient, and against Adam."""
    digits, forest, deep = load("digits"), load("sklearn_mlp"), load("autoencoder")
    base = median(run["seconds"] for run in digits if run["name"].startswith("SciPy"))
    rows = []
    for name in dict.fromkeys(run["name"] for run in digits):
        own = [run for run in digits if run["name"] == name]
        middle = {key: median(run[key] for run in own) for key in ("seconds", "value", "nit", "n_hvp")}
        worst = max(run["gradient_norm"] for run in own)
        ratio = middle["seconds"] / base
        cells = [
            f"{middle['seconds']:.2f}",
            mark(ratio),
            f"{middle['value']:.6f}",
            f"{worst:.1e}",
            f"{middle['nit']:.0f}",
            f"{middle['n_hvp']:.0f}",
        ]
        rows.append([name, *cells])
    head = ["medians", "seconds", "ratio", "objective", "largest gradient", "iterations", "products"]
    fits = [
        [
            label,
            *(
                f"{median(fit[key] for fit in forest['fits'] if fit['label'] == label):.3g}"
                for key in ("seconds", "loss", "gradient_norm")
            ),
        ]
        for label in dict.fromkeys(fit["label"] for fit in forest["fits"])
    ]
    losses = [
        [trial["name"], str(trial["iterations"]), *(f"{loss:.3f}" for loss in trial["losses"])]
        for trial in deep["trials"]
    ]
    quarter = deep["settings"]["seconds"] / 4
    marks = [f"loss after {quarter * k:.0f} s" for k in (0, 1, 2, 4)]
    more = (
        "## To a gradient norm of 1e-6\n\nThe 64-32-10 network on scikit-learn's 1797 digits, l2 = 1e-3, from three starts. SciPy's trust-ncg gets"
        " value, gradient and products of `jax.jit`, compiled before the clock starts; ours record and compile inside it. Bold is slower."
        f" `python -m benchmarks.digits`\n\n{table(head, rows)}"
        '## Against scikit-learn\n\n`NewtonMLPClassifier` against `MLPClassifier(solver="lbfgs", tol=1e-10)`: the same objective and starting'
        f" weights, five seeds, medians.\n\n{table(['', 'seconds', 'loss', 'gradient norm'], fits)}Measured on: {machine(forest)}"
        " `python -m benchmarks.sklearn_mlp`\n\n"
        "## A deep autoencoder, equal seconds\n\n64-32-16-8-16-32-64 on the digits, squared error; Adam is torch's.\n\n"
        f"{table(['', 'steps', *marks[: len(losses[0]) - 2]], losses)}Measured on: {machine(deep)} `python -m benchmarks.autoencoder`\n\n"
    )
    return Page(
        "Training networks",
        "For whoever trains networks of a few thousand parameters and wants the minimum, not a guess.",
        [],
        more,
        holds="seconds to a gradient of 1e-6 on digits",
    )


def curvature() -> Page:
    """Curvature against PyTorch's libraries."""
    content, blocks = load("curvature"), load("kronecker")
    times: dict[tuple[str, str], float] = {
        (m["task"], m["label"]): median(m["samples"]) for m in content["measurements"]
    }
    ratios = [
        Ratio("eigenvalues and products", f"{task}, {label}", times[task, "hessian"], value, label)
        for (task, label), value in times.items()
        if not label.startswith("hessian")
    ]
    ratios += [
        Ratio("Kronecker factors, diagonals, examples", name, value["hessian"], value["peer"], "peer")
        for name, value in blocks["seconds"].items()
    ]
    ratios = [ratio._replace(peer="peer") for ratio in ratios]
    errors = [[a["label"], str(a["products"]), f"{a['error']:.0e}"] for a in content["accuracies"]]
    curves = [[f"{c['problem']}, {c['method']}", *(f"{error:.3g}" for error in c["errors"])] for c in content["curves"]]
    budgets = [f"{budget} products" for budget in content["curves"][0]["budgets"]]
    more = (
        f"## The same eigenvalues\n\nErrors relative to the largest of five, and products spent.\n\n{table(['', 'products', 'error'], errors)}"
        "## Traces\n\nRoot mean square error of three estimators, of the network's Hessian and of a spectrum that decays like 0.95^k.\n\n"
        f"{table(['', *budgets], curves)}"
    )
    opening = (
        "For whoever looks at the Hessians of networks: against curvlinops, PyHessian and BackPACK on torch, in turns in one process. First the digits"
        " network of 2410 parameters, then 64-128-64-10 with 17 226 (curvlinops for KFAC, BackPACK for diagonal and examples); numbers of both"
        f" sides agree.\n\nMeasured on: {machine(content)} `python -m benchmarks.curvature`\n\nFactors: {machine(blocks)} `python -m benchmarks.kronecker`"
    )
    return Page("Curvature against PyHessian, curvlinops and BackPACK", opening, ratios, more, "peer")


def error_bars() -> Page:
    """How often error bars hold."""
    content = load("coverage")
    promised = {
        "1 standard errors": 0.6827,
        "2 standard errors": 0.9545,
        "3 standard errors": 0.9973,
        "interval 0.95": 0.95,
    }
    rows = []
    for quantity in dict.fromkeys(row["quantity"] for row in content["rows"]):
        own = [row["rates"] for row in content["rows"] if row["quantity"] == quantity]
        if not all(key in own[0] for key in promised):
            continue
        cells = [
            f"{min(rates[key] for rates in own):.3f} / {median(rates[key] for rates in own):.3f}" for key in promised
        ]
        rows.append([quantity, str(len(own)), *cells])
    head = [
        "lowest / median rate",
        "cases",
        *(f"{key.replace('1 standard errors', '1 standard error')} ({value:.1%})" for key, value in promised.items()),
    ]
    more = (
        f"{table(head, rows)}{picture('coverage', 'Rates of every estimate as colours')}The picture: white keeps the promise, blue is conservative,"
        " red falls short.\n\n"
    )
    opening = (
        f"For whoever relies on an error bar: {len(content['rows'])} estimates of {{mod}}`hessian.curvature` over up to {content['seeds']} seeds, on nine"
        " spectra, axis-aligned, in pairs and rotated, with 2 to 300 products. A rate is how often the truth is inside. With few seeds a rate"
        f" scatters by chance.\n\nMeasured on: {machine(content)} `.ci/full coverage`"
    )
    return Page(
        "How often error bars hold",
        opening,
        [],
        more,
        holds="how often 553 estimates are inside their bars".replace("553", str(len(content["rows"]))),
    )


def memory() -> Page:
    """Memory, and agreement on random programs."""
    content, random = load("memory"), load("differential")
    rows = []
    for name, probes in content["probes"].items():
        after, gained = (
            median(probe[key] if key == "after" else probe["after"] - probe["before"] for probe in probes)
            for key in ("after", "gained")
        )
        rows.append([name, f"{after / 2**20:.0f}", f"{gained / 2**20:.0f}"])
    outcomes: dict[str, Any] = random["outcomes"]
    words = {
        "agrees": "agree",
        "raises": "raise as NumPy does",
        "large": "have numbers too large to compare",
        "refused": "refused by name",
        "wrong": "wrong",
    }
    counts = [[words.get(name, name), str(count)] for name, count in outcomes.items()] + [
        ["wrong", str(len(random["faults"]))]
    ]
    more = (
        "## Peak memory\n\nA linearised operator of the wide network and three products, each library in a process of its own; JAX's includes what its"
        f" compiler needs.\n\n{table(['', 'peak, MiB', 'above imports and data, MiB'], rows)}Measured on: {machine(content)} `python -m benchmarks.memory`\n\n"
        f"## Random programs\n\n{random['programs']} random programs in plain NumPy, compared with JAX and with differences of the plain function,"
        " plainly, recorded and as gradients of gradients"
        f"{' (the run was stopped early)' if random.get('stopped') else ''}.\n\n{table(['outcome', 'programs'], counts)}`.ci/full differential`\n\n"
    )
    return Page(
        "Memory, and agreement on random programs",
        "For whoever asks what a product keeps, and whether the numbers are right.",
        [],
        more,
        holds="peak memory; wrong numbers: none",
    )


def laplace() -> Page:
    """Laplace approximations against laplace-torch."""
    content = load("laplace")
    ratios = []
    for name, times in content["seconds"].items():
        case, _, task = name.rpartition(": ")
        ratios.append(Ratio(task, case, times["hessian"], times["peer"], "laplace-torch"))
    ratios.sort(key=lambda ratio: ratio.task)
    opening = (
        "For whoever takes posteriors of networks: {func}`hessian.statistics.laplace` against laplace-torch, in turns in one process, processor time"
        " of one thread. Tanh networks at the mode: 64-8-10 on 500 digits (610 parameters) and 8-40-1 on 500 rows (401 parameters); predictions are"
        " of 1000 inputs. To *fit* is to make the approximation at the mode, to *tune* to find the prior precision of most evidence.\n\nMeasured on:"
        f" {machine(content)} `python -m benchmarks.laplace`"
    )
    return Page("Laplace approximations against laplace-torch", opening, ratios, peers="laplace-torch")


PAGES = {
    "recorded": recorded,
    "problems": problems,
    "gaussian-process": gaussian_process,
    "sparse": sparse,
    "solvers": solvers,
    "training": training,
    "curvature": curvature,
    "laplace": laplace,
    "error-bars": error_bars,
    "memory": memory,
}

OPENING = """# Benchmarks

For whoever asks how fast it is, and where it loses. Everything is measured in turns in one process unless said otherwise, on CPUs, after
comparing results: a participant whose numbers differ is not timed. Ratios are our time over the peer's: below 1 we are faster, **bold is a
loss**. What is paid once, such as
compilation, is left out of the means of this table. Nothing here is a timed test; `python -m benchmarks.NAME` measures anew, and these pages are written from the files that it leaves in
`benchmarks/results`. How each is measured, and one-shot calls against R-operators written by hand, stand in `benchmarks/README.md`.

"""


def overview(pages: dict[str, Page]) -> str:
    """Text of the first page."""
    rows = []
    for name, page in pages.items():
        peer = {"JAX": "compiled JAX", "peer": "curvlinops, PyHessian, BackPACK"}.get(page.peers, page.peers)
        cells = summary(steady(page.ratios)) if page.ratios else ["", "", "", page.holds]
        rows.append(
            [f"{{doc}}`{page.title} <{name}>`", *cells[:3], f"{cells[3]}, against {peer}" if page.ratios else cells[3]]
        )
        if apart := [ratio._replace(own=ratio.alone, other=1.0) for ratio in page.ratios if ratio.alone is not None]:
            cells = summary(apart)
            rows.append(["the same, each library alone in its process", *cells[:3], f"{cells[3]}, against {peer}"])
    toc = "\n".join(pages)
    return f"{OPENING}{table(['', 'geometric mean', 'slower in', 'worst', ''], rows)}```{{toctree}}\n:hidden:\n\n{toc}\n```\n"
