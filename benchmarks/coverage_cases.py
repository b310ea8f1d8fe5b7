"""What the study of coverage runs: spectra, bases, and statements of estimators with the truths they are held against."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import scipy.linalg
from scipy.sparse.linalg import LinearOperator

from benchmarks.coverage_case import LEVELS, Case
from benchmarks.coverage_large import large
from benchmarks.coverage_models import models
from hessian import curvature as hc
from hessian.statistics import leverage

N, N_LARGE = 120, 320


def spectra(n: int = N) -> dict[str, np.ndarray]:
    """Nine spectra, of what is easy and of what misleads."""
    tail = np.sort(np.abs(np.random.default_rng(7).standard_cauchy(n)))[::-1]
    return {
        "flat": np.linspace(0.9, 1.1, n),
        "linear": np.linspace(0.05, 2.0, n),
        "geometric": 0.9 ** np.arange(n),
        "one outlier": np.r_[1000.0, np.linspace(0.1, 1.0, n - 1)],
        "indefinite pair": np.r_[50.0, -50.0, np.ones(n - 2)],
        "low rank": np.r_[5.0, 3.0, 1.0, np.zeros(n - 3)],
        "clusters": np.repeat([0.01, 1.0, 10.0, 100.0], [n - n // 4 - 8, n // 4, 5, 3]),
        "crowd at zero": np.abs(np.linspace(-1.0, 1.0, n) + 0.05) + 1e-3,
        "heavy tail": tail + 1e-2,
    }


def bases(n: int = N) -> dict[str, np.ndarray]:
    """Eigenvectors: the axes, pairs of axes turned by 45 degrees, and a random rotation."""
    pairs = np.kron(np.eye(n // 2), np.array([[1.0, 1.0], [1.0, -1.0]]) / np.sqrt(2.0))
    rotated, _ = np.linalg.qr(np.random.default_rng(11).standard_normal((n, n)))
    return {"axes": np.eye(n), "pairs": pairs, "rotated": rotated}


@dataclass(frozen=True)
class Matrix:
    """A matrix whose eigenvalues are known, and an operator that hides it."""

    spectrum: str
    basis: str
    values: np.ndarray
    dense: np.ndarray

    @property
    def operator(self) -> LinearOperator:
        """The matrix behind its products."""
        A, n = self.dense, len(self.dense)
        return LinearOperator((n, n), matvec=lambda v: A @ v, matmat=lambda V: A @ V, dtype=float)

    @property
    def is_definite(self) -> bool:
        """Whether all eigenvalues are positive."""
        return bool(self.values.min() > 0.0)


def matrices(n: int = N) -> Iterator[Matrix]:
    """Yield every spectrum in every basis."""
    for spectrum, values in spectra(n).items():
        for basis, vectors in bases(n).items():
            dense = (vectors * values) @ vectors.T
            yield Matrix(spectrum, basis, values, 0.5 * (dense + dense.T))


def cases() -> Iterator[Case]:
    """Yield everything that the study runs."""
    for matrix in matrices():
        yield from _traces(matrix)
        yield from _diagonals(matrix)
        if matrix.basis != "pairs":
            # From the sphere, where no basis is special.
            yield from _norms_and_logarithms(matrix)
            yield from _counts(matrix)
        if matrix.basis == "rotated":
            yield from (replace(case, stride=4) for case in (*_bounds(matrix), *_summaries(matrix)))
    for matrix in matrices(N_LARGE):
        if matrix.basis == "rotated":
            for method in ("hutchinson", "xtrace"):
                yield replace(_trace(matrix, method, 300), stride=4)
    yield from large()
    yield from models()


def held(truth: Any) -> Callable[[Any], dict[str, float]]:
    """Return the shares of entries within multiples of the standard error and within intervals, and errors and widths."""
    T = np.ravel(truth).astype(float)
    # Exact results are off by rounding of the truth as well.
    slack = 1e-11 * float(np.abs(T).max())

    def hold(estimate: Any) -> dict[str, float]:
        error = np.abs(np.ravel(estimate.value) - T)
        width = np.broadcast_to(np.ravel(estimate.standard_error), error.shape)
        shares = {f"{k} standard errors": float(np.mean(error <= k * width + slack)) for k in (1, 2, 3)}
        for level in LEVELS:
            low, high = (np.ravel(end) for end in estimate.interval(level))
            shares[f"interval {level:g}"] = float(np.mean((low - slack <= T) & (high + slack >= T)))
        return shares | {"square": float(np.mean(error**2)), "width": float(np.median(width))}

    return hold


def _trace(matrix: Matrix, method: str, max_hvp: int) -> Case:
    H = matrix.operator

    def run(seed: int) -> Any:
        return hc.trace(H, max_hvp, rng=seed, method=method)

    return Case(f"trace, {method}", matrix.spectrum, matrix.basis, max_hvp, run, held(matrix.values.sum()))


def _traces(matrix: Matrix) -> Iterator[Case]:
    for max_hvp in (2, 4, 10, 40):
        yield _trace(matrix, "hutchinson", max_hvp)
    for max_hvp in (6, 12, 60):
        yield _trace(matrix, "hutch++", max_hvp)
    if matrix.basis != "pairs":
        for max_hvp in (6, 20, 60):
            yield _trace(matrix, "xtrace", max_hvp)
        if matrix.values.min() >= 0.0:
            for max_hvp in (4, 12, 60):
                yield _trace(matrix, "xnystrace", max_hvp)


def _diagonals(matrix: Matrix) -> Iterator[Case]:
    H, hold = matrix.operator, held(np.diag(matrix.dense))
    for max_hvp in (6, 12, 24, 60) if matrix.basis != "axes" else (6, 12):
        run = lambda seed, max_hvp=max_hvp: hc.diagonal(H, max_hvp, rng=seed)
        yield Case("diagonal", matrix.spectrum, matrix.basis, max_hvp, run, hold)


def _norms_and_logarithms(matrix: Matrix) -> Iterator[Case]:
    H, where = matrix.operator, (matrix.spectrum, matrix.basis)
    for max_hvp in (6, 20, 60):
        run = lambda seed, max_hvp=max_hvp: hc.frobenius_norm(H, max_hvp, rng=seed)
        yield Case("Frobenius norm", *where, max_hvp, run, held(np.linalg.norm(matrix.values)))
    if matrix.is_definite and matrix.basis == "rotated":
        for max_hvp in (8, 20, 60):
            run = lambda seed, max_hvp=max_hvp: hc.logdet(H, max_hvp, rng=seed)
            yield Case("log-determinant", *where, max_hvp, run, held(np.log(matrix.values).sum()))


def _counts(matrix: Matrix) -> Iterator[Case]:
    H = matrix.operator
    for max_hvp in (10, 40):
        run = lambda seed, max_hvp=max_hvp: hc.inertia(H, max_hvp, rng=seed)
        yield Case("inertia", matrix.spectrum, matrix.basis, max_hvp, run, _signs(matrix), {"ranges": 0.9})


def _signs(matrix: Matrix) -> Callable[[Any], dict[str, float]]:
    """Whether all three ranges hold, and the width of the first."""
    values = matrix.values

    def hold(found: Any) -> dict[str, float]:
        cut = max(found.threshold, 1e-12)
        truth = [np.sum(values < -cut), np.sum(np.abs(values) <= cut), np.sum(values > cut)]
        inside = all(low <= count <= high for count, (low, high) in zip(truth, found.ranges, strict=True))
        low, high = found.ranges[0]
        return {"ranges": float(inside), "square": float(found.negative - truth[0]) ** 2, "width": 0.25 * (high - low)}

    return hold


def _bounds(matrix: Matrix) -> Iterator[Case]:
    """Yield what comes with bounds: condition numbers, eigenvalues, densities, leverages."""
    H, where, values = matrix.operator, (matrix.spectrum, matrix.basis), np.sort(matrix.values)
    if matrix.is_definite:
        kappa = values[-1] / values[0]

        def between(found: Any) -> dict[str, float]:
            inside = found.low <= kappa * (1.0 + 1e-9) and kappa <= found.high * (1.0 + 1e-9)
            return {"bounds": float(inside), "square": (found.value - kappa) ** 2, "width": found.standard_error}

        for max_hvp in (10, 40):
            run = lambda seed, max_hvp=max_hvp: hc.condition_number(H, max_hvp, rng=seed)
            yield Case("condition number", *where, max_hvp, run, between, {"bounds": 0.999})

    def near(found: Any) -> dict[str, float]:
        gap = np.min(np.abs(found.values[:, None] - values), axis=1)
        slack = 1e-12 * float(np.abs(values).max())
        inside = bool(np.all(gap <= found.residuals + slack))
        return {
            "residuals": float(inside),
            "square": float(np.mean(gap**2)),
            "width": float(np.median(found.residuals)),
        }

    yield Case(
        "eigenvalues",
        *where,
        20,
        lambda seed: hc.eigenvalues(H, 4, "BE", max_hvp=20, rng=seed),
        near,
        {"residuals": 1.0},
    )

    def banded(found: Any) -> dict[str, float]:
        z = (found.grid[:, None] - values) / found.width
        exact = np.exp(-0.5 * z * z).mean(axis=1) / (found.width * np.sqrt(2.0 * np.pi))
        slack = 1e-9 * exact.max()
        inside = bool(np.all((found.band[0] <= exact + slack) & (exact <= found.band[1] + slack)))
        error = float(np.mean((found.density - exact) ** 2))
        return {"band": float(inside), "square": error, "width": 0.25 * float(np.mean(np.ptp(found.band, axis=0)))}

    for max_hvp in (20, 60):
        grid = np.linspace(values[0], values[-1], 60) if np.ptp(values) else None
        run = lambda seed, max_hvp=max_hvp, grid=grid: hc.spectral_density(H, max_hvp, rng=seed, grid=grid)
        yield Case("density", *where, max_hvp, run, banded, {"band": 0.95})
    if matrix.is_definite:
        yield _leverage(matrix)
        yield from _functions(matrix)
    yield _pencil(matrix)
    if values[0] >= 0.0:
        yield from (_nystrom(matrix, looks) for looks in (2, 10))


def _pencil(matrix: Matrix) -> Case:
    """Both ends of a pencil with masses from a tenth to ten."""
    masses = np.random.default_rng(5).uniform(0.1, 10.0, len(matrix.values))
    values = scipy.linalg.eigh(matrix.dense, np.diag(masses), eigvals_only=True)

    def hold(found: Any) -> dict[str, float]:
        gap = np.min(np.abs(found.values[:, None] - values), axis=1)
        inside = bool(np.all(gap <= found.residuals + 1e-11 * np.abs(values).max()))
        return {
            "residuals": float(inside),
            "square": float(np.mean(gap**2)),
            "width": float(np.median(found.residuals)),
        }

    run = lambda seed: hc.eigenvalues(matrix.operator, 4, "BE", M=masses, max_hvp=24, rng=seed)
    return Case("eigenvalues of pencils", matrix.spectrum, matrix.basis, 24, run, hold, {"residuals": 1.0})


def _nystrom(matrix: Matrix, looks: int) -> Case:
    """The error of an approximation of rank 15, which some more products bound but for one start in a thousand."""

    def hold(found: Any) -> dict[str, float]:
        error = float(np.linalg.norm(matrix.dense - found.to_dense(), 2))
        held = found.error_estimate - 1e-12 * matrix.values.max() <= error <= found.error_bound
        return {"bounds": float(held), "square": error**2, "width": found.error_bound}

    run = lambda seed: hc.nystrom(matrix.operator, 15, max_hvp=15 + looks, rng=seed)
    return Case("Nystrom approximation", matrix.spectrum, matrix.basis, 15 + looks, run, hold, {"bounds": 0.999})


def _functions(matrix: Matrix) -> Iterator[Case]:
    """Yield functions times random vectors and their quadratic forms, after a few products."""
    values, vectors = np.linalg.eigh(matrix.dense)
    exact: dict[str, Callable[[Any], Any]] = {"sqrt": np.sqrt, "log": np.log, "inverse_sqrt": lambda t: t**-0.5}
    lowest = float(values[0]) * (1.0 - 1e-9)

    def hold(pair: Any) -> dict[str, float]:
        found, truth = pair
        error = float(np.linalg.norm(found.value - truth))
        inside = error <= found.error_bound and (np.ndim(truth) or found.bounds[0] <= truth <= found.bounds[1])
        return {"bounds": float(inside), "square": error**2, "width": found.error_bound}

    for name, f in exact.items():
        for compute in (hc.matrix_function, hc.quadratic_form):

            def run(seed: int, compute: Any = compute, name: str = name, f: Any = f) -> Any:
                v = np.random.default_rng(seed).standard_normal(len(values))
                found = compute(matrix.operator, name, v, max_hvp=10, lower_bound=lowest)
                image = vectors @ (f(values) * (vectors.T @ v))
                return found, image if np.ndim(found.value) else float(v @ image)

            quantity = f"function, {name}" if compute is hc.matrix_function else f"quadratic form, {name}"
            yield Case(quantity, matrix.spectrum, matrix.basis, 10, run, hold, {"bounds": 1.0})


def _leverage(matrix: Matrix) -> Case:
    """Leverages of random rows, from systems solved to a tenth."""
    H, lowest = matrix.operator, float(matrix.values.min())
    inverse = np.linalg.inv(matrix.dense)

    def run(seed: int) -> Any:
        rows = np.random.default_rng(seed).standard_normal((3, len(matrix.values)))
        found = leverage(H, rows, rtol=0.1, lower_bound=lowest)
        return found, np.einsum("mn,nk,mk->m", rows, inverse, rows)

    def hold(pair: Any) -> dict[str, float]:
        found, exact = pair
        error = np.abs(found.value - exact)
        inside = bool(np.all(error <= found.standard_error + 1e-9 * exact.max()))
        return {
            "bounds": float(inside),
            "square": float(np.mean(error**2)),
            "width": float(np.median(found.standard_error)),
        }

    return Case("leverage", matrix.spectrum, matrix.basis, 0, run, hold, {"bounds": 1.0})


def _summaries(matrix: Matrix) -> Iterator[Case]:
    """Yield the parts of summaries, and the traces of block spectra."""
    H, where, values = matrix.operator, (matrix.spectrum, matrix.basis), matrix.values
    parts = {"trace": values.sum(), "frobenius_norm": np.linalg.norm(values)}
    if matrix.is_definite:
        parts["logdet"] = np.log(values).sum()
    holds = {name: held(truth) for name, truth in parts.items()}

    for max_hvp in (30,):
        found: dict[int, Any] = {}

        def run(seed: int, max_hvp: int = max_hvp, found: dict[int, Any] = found) -> Any:
            # Its parts are looked at one after the other, on one run each.
            if seed not in found:
                found[seed] = hc.summary(H, max_hvp, rng=seed)
            return found[seed]

        for name, hold in holds.items():
            pick = lambda made, name=name, hold=hold: hold(getattr(made, name)) if getattr(made, name) else {}
            yield Case(f"summary, {name}", *where, max_hvp, run, pick)
        yield Case("summary, inertia", *where, max_hvp, run, lambda made: _signs(matrix)(made.inertia), {"ranges": 0.9})
    blocks = {"all": slice(0, len(values))}
    yield Case(
        "block spectra, trace",
        *where,
        12,
        lambda seed: hc.block_spectra(H, blocks, k=1, max_hvp=12, rng=seed)["all"].trace,
        held(values.sum()),
    )
