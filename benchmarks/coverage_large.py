"""What the study of coverage runs on sparse matrices: eigenvalues inside, closest to numbers anywhere in the spectrum."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import scipy.sparse

from benchmarks.coverage_case import SPARSE, Case
from hessian.curvature import eigenvalues

K = 5


def matrices() -> Iterator[tuple[str, Any, np.ndarray]]:
    """Yield a grid, with pairs of equal eigenvalues, and a random matrix, whose factors without exchanges do not solve."""
    g = 25
    line = scipy.sparse.diags_array([-np.ones(g - 1), np.full(g, 2.0), -np.ones(g - 1)], offsets=[-1, 0, 1])
    eye = scipy.sparse.eye_array(g)
    each = 2.0 - 2.0 * np.cos(np.arange(1, g + 1) * np.pi / (g + 1))
    grid = scipy.sparse.kron(line, eye) + scipy.sparse.kron(eye, line)
    yield "grid", grid.tocsc(), np.sort(np.add.outer(each, each).ravel())
    rng = np.random.default_rng(3)
    at = rng.integers(0, 600, (2, 2000))
    half = scipy.sparse.coo_array((rng.random(2000), (at[0], at[1])), shape=(600, 600))
    random = (half + half.T).tocsc()
    yield "random", random, np.linalg.eigvalsh(random.toarray())


def large() -> Iterator[Case]:
    """Yield the closest eigenvalues: each within its residual of one, and none that is closer left out."""
    for name, matrix, every in matrices():

        def run(seed: int, matrix: Any = matrix, every: np.ndarray = every) -> Any:
            sigma = float(np.random.default_rng(seed).uniform(every[0] - 0.1, every[-1] + 0.1))
            return sigma, eigenvalues(matrix, K, sigma=sigma, rng=seed)

        def hold(pair: Any, every: np.ndarray = every) -> dict[str, float]:
            sigma, found = pair
            gap = np.min(np.abs(found.values[:, None] - every), axis=1)
            doubt = float(found.residuals.max()) + 1e-12
            wanted = np.sort(np.abs(every - sigma))[:K]
            right = np.all(np.abs(np.sort(np.abs(found.values - sigma)) - wanted) <= 2.0 * doubt)
            return {
                "closest": float(right and np.all(gap <= found.residuals + 1e-12) and found.miss_probability <= 1e-3),
                "square": float(np.mean(gap**2)),
                "width": float(np.median(found.residuals)),
            }

        yield Case("eigenvalues inside", name, SPARSE, 0, run, hold, {"closest": 0.999}, 4)
