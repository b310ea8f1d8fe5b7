"""Generalised eigenproblems: against SciPy's, M-orthonormal vectors, residuals in the norm of the inverse of M that hold."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import scipy.linalg
import scipy.sparse
from numpy.testing import assert_allclose
from scipy.sparse.linalg import LinearOperator, aslinearoperator

import hessian as hs
from hessian.curvature import eigenvalues
from hessian.curvature.metric import metric_of
from hessian.errors import DtypeError, NonFiniteError, OptionError, ShapeMismatchError


def tridiagonal(below: float, diagonal: float, n: int) -> Any:
    side = np.full(n - 1, below)
    return scipy.sparse.diags_array([side, np.full(n, diagonal), side], offsets=[-1, 0, 1]).tocsc()


def symmetric(n: int, seed: int = 0) -> np.ndarray:
    A = np.random.default_rng(seed).standard_normal((n, n))
    return A + A.T


def definite(n: int, condition: float = 1e3, seed: int = 1) -> np.ndarray:
    q, _ = np.linalg.qr(np.random.default_rng(seed).standard_normal((n, n)))
    matrix = (q * np.logspace(0, -np.log10(condition), n)) @ q.T
    return 0.5 * (matrix + matrix.T)


def check(found: Any, H: np.ndarray, M: np.ndarray, which: str, *, atol: float = 1e-10) -> None:
    k = len(found.values)
    every = scipy.linalg.eigh(H, M, eigvals_only=True)
    wanted = {"LA": every[len(every) - k :], "SA": every[:k]}[which]
    size = np.abs(every).max()
    assert_allclose(found.values, wanted, atol=float(found.residuals.max()) + 1e-12 * size)
    assert_allclose(found.vectors.T @ M @ found.vectors, np.eye(k), atol=atol)
    left = H @ found.vectors - M @ found.vectors * found.values
    true = np.sqrt(np.sum(left * np.linalg.solve(M, left), axis=0))
    assert np.all(true <= found.residuals)
    assert found.success


METRICS = {
    "masses": lambda n: np.random.default_rng(5).uniform(0.5, 20.0, n),
    "sparse diagonal": lambda n: scipy.sparse.diags_array(np.linspace(1.0, 3.0, n)),
    "finite elements": lambda n: tridiagonal(1.0, 4.0, n) / 6.0,
    "dense": lambda n: definite(n),
    "operator": lambda n: aslinearoperator(definite(n)),
    "hessian": lambda n: hs.HessianOperator(
        lambda x: np.sum(np.exp(x)) + np.sum(np.diff(x) ** 2), np.linspace(0.0, 1.0, n)
    ),
}


def as_dense(M: Any) -> np.ndarray:
    if isinstance(M, LinearOperator):
        return M @ np.eye(M.shape[0])
    return (
        np.diag(M)
        if np.ndim(M) == 1 and not scipy.sparse.issparse(M)
        else M.toarray()
        if scipy.sparse.issparse(M)
        else M
    )


@pytest.mark.parametrize("which", ["LA", "SA"])
@pytest.mark.parametrize("name", METRICS)
@pytest.mark.parametrize("n", [3, 60, 200])
def test_pencils_are_scipys(n: int, name: str, which: str) -> None:
    H, M = symmetric(n), METRICS[name](n)
    for operator in (H, aslinearoperator(H), scipy.sparse.csr_array(H)):
        found = eigenvalues(operator, 3, which, M=M)
        check(found, H, as_dense(M), which)
        assert found.miss_probability <= 1e-3


def test_closest_of_pencils() -> None:
    n = 700
    H = tridiagonal(-1.0, 2.0, n)
    for M in (METRICS["masses"](n), METRICS["finite elements"](n), METRICS["sparse diagonal"](n), definite(n, 10.0)):
        every = scipy.linalg.eigh(H.toarray(), as_dense(M), eigvals_only=True)
        for sigma in (0.0, 0.4):
            found = eigenvalues(H, 5, sigma=sigma, M=M)
            wanted = np.sort(np.abs(every - sigma))[:5]
            assert_allclose(np.sort(np.abs(found.values - sigma)), wanted, atol=float(found.residuals.max()))
            assert_allclose(found.vectors.T @ as_dense(M) @ found.vectors, np.eye(5), atol=1e-10)
            assert found.miss_probability <= 3e-7
            assert found.residuals.max() < 1e-8
    small = eigenvalues(symmetric(20), 2, sigma=0.1, M=definite(20))
    every = scipy.linalg.eigh(symmetric(20), definite(20), eigvals_only=True)
    assert_allclose(np.sort(np.abs(small.values - 0.1)), np.sort(np.abs(every - 0.1))[:2], rtol=1e-8)


def test_frequencies_of_a_chain_of_two_masses() -> None:
    """Known in closed form: acoustic and optical branches of a ring of alternating masses on equal springs."""
    cells, light, heavy = 40, 1.0, 3.0
    masses = np.tile([light, heavy], cells)

    def energy(u: np.ndarray) -> Any:
        return 0.5 * np.sum((np.roll(u, -1) - u) ** 2)

    H = hs.HessianOperator(energy, np.zeros(2 * cells))
    found = eigenvalues(H, 2 * cells, "SA", M=masses)
    wave = 2.0 * np.pi * np.arange(cells) / cells
    both = 1.0 / light + 1.0 / heavy
    root = np.sqrt(both**2 - 4.0 * np.sin(wave / 2.0) ** 2 / (light * heavy))
    exact = np.sort(np.r_[both - root, both + root])
    assert np.all(np.abs(found.values - exact) <= found.residuals)
    assert found.residuals.max() < 1e-12


@pytest.mark.parametrize("condition", [1e8, 1e12])
def test_an_ill_conditioned_metric_has_wide_bounds_that_hold(condition: float) -> None:
    H, M = symmetric(50), definite(50, condition)
    found = eigenvalues(H, 4, "LA", M=M)
    mpmath = pytest.importorskip("mpmath")
    with mpmath.workdps(50):
        lower = mpmath.cholesky(mpmath.matrix(M.tolist()))
        inverse = lower**-1
        values = mpmath.eigsy(inverse * mpmath.matrix(H.tolist()) * inverse.T, eigvals_only=True)
    exact = np.array([float(v) for v in values])[-4:]
    assert np.all(np.abs(found.values - exact) <= found.residuals)


@pytest.mark.parametrize("name", ["masses", "finite elements", "dense"])
def test_roots_of_the_inverse(name: str) -> None:
    n = 60
    M = METRICS[name](n)
    metric, dense = metric_of(M, n, "test"), as_dense(M)
    eye = np.eye(n)
    R = metric.root(eye)
    assert_allclose(R @ R.T @ dense, eye, atol=1e-10)
    assert_allclose(metric.adjoint(eye), R.T, atol=1e-10)
    assert_allclose(metric.unroot(R), eye, atol=1e-10)
    assert_allclose(metric.unadjoint(R.T), eye, atol=1e-10)
    assert_allclose(metric.product(eye), dense, atol=1e-14)
    v = np.arange(1.0, n + 1.0)
    for one in (metric.root, metric.adjoint, metric.unroot, metric.unadjoint, metric.product):
        assert_allclose(one(v), one(np.stack([v, -v], axis=1))[:, 0], rtol=1e-9, atol=1e-12)
    assert np.linalg.norm(R, 2) <= metric.root_norm() <= 2.1 * np.linalg.norm(R, 2)


def test_an_operator_beyond_what_is_formed() -> None:
    n = 2100
    H, M = (
        tridiagonal(-1.0, 2.0, n) + scipy.sparse.diags_array(np.r_[5.0, np.zeros(n - 1)]),
        tridiagonal(1.0, 4.0, n) / 6.0,
    )
    found = eigenvalues(aslinearoperator(H), 1, "LA", M=aslinearoperator(M), rtol=1e-6)
    by_factor = eigenvalues(aslinearoperator(H), 1, "LA", M=M, rtol=1e-6)
    assert_allclose(found.values, by_factor.values, atol=float(found.residuals.max() + by_factor.residuals.max()))
    assert_allclose(found.vectors.T @ (M @ found.vectors), 1.0, atol=1e-10)
    with pytest.raises(OptionError, match="M is an operator beyond order 2000"):
        eigenvalues(H, 1, sigma=0.0, M=aslinearoperator(M))


@pytest.mark.parametrize("scale", [1e-100, 1e-8, 1e8, 1e100])
def test_scales(scale: float) -> None:
    H, M = symmetric(40), definite(40)
    for metric in (scale * M, scipy.sparse.csc_array(scale * M), scale * np.diag(M)):
        found = eigenvalues(H, 3, M=metric)
        every = scipy.linalg.eigh(H, as_dense(metric), eigvals_only=True)
        assert_allclose(found.values, every[-3:], rtol=1e-9)
        assert found.residuals.max() <= 1e-8 * every[-1]


def test_order_one_single_precision_and_zero() -> None:
    found = eigenvalues(np.array([[6.0]]), M=np.array([2.0]))
    assert_allclose(found.values, [3.0])
    assert_allclose(found.vectors**2, [[0.5]])
    single = eigenvalues(symmetric(40).astype(np.float32), 3, M=METRICS["masses"](40))
    assert single.values.dtype == np.float32
    exact = scipy.linalg.eigh(symmetric(40), np.diag(METRICS["masses"](40)), eigvals_only=True)[-3:]
    assert np.all(np.abs(single.values - exact) <= single.residuals)
    zero = eigenvalues(np.zeros((30, 30)), 3, M=definite(30))
    assert not zero.values.any()


def test_budgets() -> None:
    H, M = symmetric(300), definite(300, 10.0)
    found = eigenvalues(aslinearoperator(H), 3, M=M, max_hvp=30)
    assert found.n_hvp <= 30
    every = scipy.linalg.eigh(H, M, eigvals_only=True)
    assert np.all(np.min(np.abs(found.values[:, None] - every), axis=1) <= found.residuals)
    with pytest.raises(OptionError, match="max_hvp is 5, expected an integer >= 6"):
        eigenvalues(aslinearoperator(H), 3, M=M, max_hvp=5)


def test_masses_in_the_shape_of_the_point() -> None:
    H, masses = symmetric(12), np.random.default_rng(0).uniform(1.0, 2.0, (4, 3))
    for M in (masses, masses.tolist(), masses.reshape(12, 1)):
        np.testing.assert_array_equal(eigenvalues(H, 3, M=M).values, eigenvalues(H, 3, M=masses.ravel()).values)
    np.testing.assert_allclose(eigenvalues(np.eye(1), 1, M=[[4.0]]).values, 0.25)


def test_refusals() -> None:
    H = symmetric(40)
    for M in (
        -np.ones(40),
        np.r_[0.0, np.ones(39)],
        symmetric(40),
        scipy.sparse.csc_array(symmetric(40)),
        -definite(40),
    ):
        for which in ("LA", "closest"):
            with pytest.raises(OptionError, match="M is not positive definite"):
                eigenvalues(H, 2, which, M=M)
    for M in (np.ones(3), np.eye(3), scipy.sparse.eye_array(3)):
        with pytest.raises(ShapeMismatchError, match="M has order 3, H has order 40"):
            eigenvalues(H, 2, M=M)
    with pytest.raises(ShapeMismatchError, match=r"M has order 20, H has order 40.*np\.repeat\(masses, 2\)"):
        eigenvalues(H, 2, M=np.ones(20))
    with pytest.raises(ShapeMismatchError, match=r"M has shape \(4, 3\)"):
        eigenvalues(H, 2, M=np.ones((4, 3)))
    with pytest.raises(DtypeError, match="M has dtype complex128"):
        eigenvalues(H, 2, M=np.ones(40, complex))
    with pytest.raises(DtypeError, match="masked"):
        eigenvalues(H, 2, M=np.ma.masked_equal(np.arange(40.0), 0.0))
    with pytest.raises(ShapeMismatchError, match="M is dict"):
        eigenvalues(H, 2, M={"a": 1.0})
    with pytest.raises(NonFiniteError, match="M holds NaN or inf, M is ndarray of order 40"):
        eigenvalues(H, 2, M=np.full((40, 40), np.nan))
    with pytest.raises(NonFiniteError, match="M holds NaN or inf"):
        eigenvalues(H, 2, M=np.full(40, np.nan))
    with pytest.raises(OptionError, match="M is not symmetric"):
        eigenvalues(H, 2, M=np.triu(np.ones((40, 40))))
    with pytest.raises(OptionError, match="an eigenvalue that is negative"):
        eigenvalues(aslinearoperator(tridiagonal(-1.0, 2.0, 2100)), 1, M=aslinearoperator(tridiagonal(1.0, 0.5, 2100)))


@pytest.mark.parametrize("size", [1e200, 1e-200])
def test_eigenvalues_whose_squares_are_no_numbers(size: float) -> None:
    H, half = np.array([[2.0, 1.0], [1.0, 3.0]]), np.sqrt(size)
    every = np.linalg.eigvalsh(H)
    for found in (eigenvalues(size * H, 2), eigenvalues(half * H, 2, M=np.full(2, 1.0 / half))):
        assert_allclose(found.values / size, every, rtol=1e-14)
        assert np.all(found.residuals < 1e-12 * size)


def test_an_operator_for_m_that_is_not_definite_is_called_m() -> None:
    M = aslinearoperator(np.diag(np.r_[-1.0, np.ones(2099)]))
    H = aslinearoperator(np.diag(np.arange(1.0, 2101.0)))
    with pytest.raises(
        OptionError, match="M is not positive definite: it has an eigenvalue that is negative: at most -1"
    ):
        eigenvalues(H, 1, M=M)
    with pytest.raises(OptionError, match="is not symmetric"):
        eigenvalues(H, 1, M=aslinearoperator(np.triu(np.ones((2100, 2100)))))
