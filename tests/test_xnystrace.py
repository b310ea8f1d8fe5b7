"""XNysTrace: unbiased, with error bars that hold, exact on low rank, and loud where the matrix is not semidefinite."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy import stats
from scipy.sparse.linalg import aslinearoperator
from spectra import with_spectrum

from hessian.curvature import trace
from hessian.curvature.leave_out import judged
from hessian.curvature.xnystrace import _left_out
from hessian.errors import NonFiniteError, OptionError

N = 150


SPECTRA = {
    "flat": np.linspace(0.9, 1.1, N),
    "linear": np.linspace(0.0, 2.0, N),
    "polynomial": np.arange(1.0, N + 1.0) ** -1.5,
    "exponential": 0.85 ** np.arange(N),
    "one outlier": np.r_[1000.0, np.linspace(0.1, 1.0, N - 1)],
    "clusters": np.repeat([100.0, 1.0, 0.01], [3, 30, N - 33]),
}


@pytest.mark.parametrize("max_hvp", [4, 12, 40])
@pytest.mark.parametrize("name", SPECTRA)
def test_error_bars_hold(name: str, max_hvp: int) -> None:
    H, truth, seeds = aslinearoperator(with_spectrum(SPECTRA[name])), SPECTRA[name].sum(), 150
    found = [trace(H, max_hvp, rng=seed, method="xnystrace") for seed in range(seeds)]
    assert all(e.n_hvp == max_hvp and e.method == "xnystrace" for e in found)
    z = np.array([abs(e.value - truth) / e.standard_error for e in found])
    for reach, promise in ((1.0, 0.6827), (2.0, 0.9545), (3.0, 0.9973)):
        assert np.sum(z <= reach) >= stats.binom.ppf(1e-5, seeds, promise)
    for level in (0.5, 0.9, 0.99):
        inside = sum(low <= truth <= high for low, high in (e.interval(level) for e in found))
        assert inside >= stats.binom.ppf(1e-5, seeds, level)
    # Without being absurdly wide, and without bias.
    errors, widths = np.array([e.value - truth for e in found]), np.array([e.standard_error for e in found])
    assert np.sqrt(np.mean(errors**2)) > 0.2 * np.median(widths)
    assert abs(np.mean(errors)) < 5.0 * np.std(errors) / np.sqrt(seeds)


def test_the_formulas_are_those_of_leaving_vectors_out() -> None:
    """Against approximations that are made anew without one vector, and without two."""
    n, k = 12, 5
    A = with_spectrum(np.linspace(0.1, 3.0, n))
    W = np.random.default_rng(2).standard_normal((n, k))

    def estimate(i: int, rest: list[int]) -> float:
        X = W[:, rest]
        left = A - A @ X @ np.linalg.solve(X.T @ A @ X, X.T @ A)
        off = W[:, i] - X @ np.linalg.lstsq(X, W[:, i], rcond=None)[0]
        return float(np.trace(A - left) + (n - len(rest)) * (W[:, i] @ left @ W[:, i]) / (off @ off))

    g, inverse = np.linalg.inv(W.T @ A @ W), np.linalg.inv(W.T @ W)
    Z = A @ W @ g
    total = float(np.trace(Z @ W.T @ A))
    one, variance, _ = _left_out(n, total, g, Z.T @ Z, inverse)
    others = {i: [j for j in range(k) if j != i] for i in range(k)}
    assert one == pytest.approx([estimate(i, others[i]) for i in range(k)], rel=1e-10)
    two = np.array([[estimate(i, [m for m in others[i] if m != j]) for j in range(k)] for i in range(k)])
    delta = np.array(one)[:, None] - two
    assert variance >= judged(np.array(one), delta, 0.0)[0] * (1.0 - 1e-9)


def test_it_leaves_xtrace_behind_at_equal_products() -> None:
    spectrum = 0.9 ** np.arange(300)
    H = aslinearoperator(with_spectrum(spectrum))

    def rms(method: str) -> float:
        found = [trace(H, 60, rng=seed, method=method) for seed in range(20)]
        return float(np.sqrt(np.mean([(e.value - spectrum.sum()) ** 2 for e in found])))

    assert rms("xnystrace") < 0.3 * rms("xtrace")


@pytest.mark.parametrize("rank", [1, 3])
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_low_rank_is_exact_to_rounding(rank: int, dtype: Any) -> None:
    spectrum = np.r_[np.arange(1.0, rank + 1.0), np.zeros(N - rank)]
    H = aslinearoperator(with_spectrum(spectrum).astype(dtype))
    eps = float(np.finfo(dtype).eps)
    for seed in range(20):
        found = trace(H, 20, rng=seed, method="xnystrace")
        assert abs(found.value - spectrum.sum()) <= found.standard_error
        assert found.standard_error < 2e4 * eps


def test_zero_and_scales() -> None:
    zero = trace(aslinearoperator(np.zeros((40, 40))), 10, method="xnystrace")
    assert (zero.value, zero.standard_error) == (0.0, 0.0)
    H = with_spectrum(SPECTRA["polynomial"])
    plain = trace(aslinearoperator(H), 20, method="xnystrace")
    for scale in (1e-140, 1e140):
        scaled = trace(aslinearoperator(scale * H), 20, method="xnystrace")
        assert scaled.value == pytest.approx(scale * plain.value, rel=1e-9)
        assert scaled.standard_error == pytest.approx(scale * plain.standard_error, rel=1e-6)
    for scale in (1e-300, 1e300):
        with pytest.raises(NonFiniteError, match="Pass a multiple of H"):
            trace(aslinearoperator(scale * H), 20, method="xnystrace")


@pytest.mark.parametrize("lowest", [-1.0, -1e-6])
def test_an_indefinite_matrix_is_refused(lowest: float) -> None:
    q, _ = np.linalg.qr(np.random.default_rng(0).standard_normal((40, 40)))
    H = (q * np.r_[np.ones(5), np.full(35, lowest)]) @ q.T
    with pytest.raises(OptionError, match=r"H is not positive semidefinite: .* at most -.* Pass method=\"xtrace\""):
        trace(aslinearoperator(0.5 * (H + H.T)), 20, method="xnystrace")


def test_one_that_is_indefinite_unseen_is_unbiased_all_the_same() -> None:
    """Three vectors that see a definite matrix only: the formulas need no more than that."""
    spectrum = np.r_[np.linspace(1.0, 2.0, 60), -0.5]
    H = aslinearoperator(with_spectrum(spectrum))
    found = [trace(H, 8, rng=seed, method="xnystrace") for seed in range(200)]
    z = np.array([abs(e.value - spectrum.sum()) / e.standard_error for e in found])
    assert np.mean(z <= 2.0) > 0.93


def test_refusals() -> None:
    with pytest.raises(OptionError, match="Xnystrace has no standard error below 4"):
        trace(aslinearoperator(np.eye(40)), 3, method="xnystrace")
    for n in (1, 2, 3):
        with pytest.raises(OptionError, match=f"xnystrace on an operator of order {n}"):
            trace(aslinearoperator(np.eye(n)), 6, method="xnystrace")
    assert trace(aslinearoperator(np.eye(4)), 6, method="xnystrace").value == pytest.approx(4.0)
    assert trace(aslinearoperator(np.eye(100)), method="xnystrace").n_hvp == 50


def test_an_outlier_of_which_all_vectors_have_little() -> None:
    """Then all estimates are too low by as much, and their scatter is small."""
    spectrum = np.r_[1000.0, np.linspace(0.1, 1.0, 119)]
    H = aslinearoperator(np.diag(spectrum))
    far = 0
    for seed in range(600):
        found = trace(H, 12, method="xnystrace", rng=seed)
        far += abs(found.value - spectrum.sum()) > 3.0 * found.standard_error
    assert far <= 5
