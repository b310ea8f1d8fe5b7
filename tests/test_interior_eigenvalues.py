"""Eigenvalues closest to a number: against dense references, with bounds that hold, none missed and copies counted."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import scipy.linalg
import scipy.sparse
from numpy.testing import assert_allclose
from scipy.sparse.linalg import aslinearoperator

import hessian as hs
from hessian.curvature import Eigenpairs, eigenvalues, interior
from hessian.errors import ConvergenceError, OptionError
from hessian.linalg import counting
from hessian.linalg.factor import Factor, FactorStatus

N = 800
SURE = 2.0 * counting.MISS
"""What is left where the error of a factor was measured, rather than known."""


def tridiagonal(below: float, diagonal: float, n: int = N) -> Any:
    """A sparse Toeplitz matrix; second differences with -1 and 2."""
    side = np.full(n - 1, below)
    return scipy.sparse.diags_array([side, np.full(n, diagonal), side], offsets=[-1, 0, 1]).tocsc()


def free() -> Any:
    """Second differences whose constants are null vectors."""
    matrix = tridiagonal(-1.0, 2.0).tolil()
    matrix[0, 0] = matrix[-1, -1] = 1.0
    return matrix.tocsc()


def grid(g: int = 28) -> Any:
    """Second differences of a square: of 4 there are g copies."""
    line, eye = tridiagonal(-1.0, 2.0, g), scipy.sparse.eye_array(g)
    return (scipy.sparse.kron(line, eye) + scipy.sparse.kron(eye, line)).tocsc()


def scattered() -> Any:
    """A random indefinite matrix, of which no factor keeps its pivots on the diagonal."""
    rng = np.random.default_rng(0)
    at = rng.integers(0, N, (2, 4 * N // 5 * 4))
    matrix = scipy.sparse.coo_array((rng.random(at.shape[1]), (at[0], at[1])), shape=(N, N)).tocsc()
    return (matrix + matrix.T).tocsc()


MATRICES = {
    "line": tridiagonal(-1.0, 2.0),
    "free": free(),
    "grid": grid(),
    "scattered": scattered(),
    "copies": scipy.sparse.diags_array(np.r_[np.full(20, 1.0), np.linspace(2.0, 3.0, N - 20)]).tocsc(),
    "identity": scipy.sparse.eye_array(N, format="csc"),
    "rank one": scipy.sparse.csc_array(([7.0], ([3], [3])), shape=(N, N)),
    "zero": scipy.sparse.csc_array((N, N)),
}


def check(found: Eigenpairs, matrix: Any, k: int, sigma: float, M: Any = None) -> None:
    """Compare with all eigenvalues of the dense matrix."""
    dense = matrix.toarray() if scipy.sparse.issparse(matrix) else matrix
    metric = np.eye(len(dense)) if M is None else M
    every = scipy.linalg.eigh(dense, metric, eigvals_only=True)
    slack = 1e-13 * np.abs(every).max()
    nearest = np.min(np.abs(found.values[:, None] - every), axis=1)
    assert np.all(nearest <= found.residuals + slack)
    wanted = np.sort(np.abs(every - sigma))[:k]
    assert_allclose(np.sort(np.abs(found.values - sigma)), wanted, atol=float(found.residuals.max()) + slack)
    assert np.all(np.diff(found.values) >= 0.0)
    assert_allclose(found.vectors.T @ metric @ found.vectors, np.eye(k), atol=1e-10)
    assert found.success


@pytest.mark.parametrize("sigma", [0.0, 1.0, 2.5, -3.0, 30.0])
@pytest.mark.parametrize("name", MATRICES)
def test_the_closest_are_found_and_proved_to_be(name: str, sigma: float) -> None:
    matrix = MATRICES[name]
    for k in (1, 7):
        found = eigenvalues(matrix, k, sigma=sigma)
        check(found, matrix, k, sigma)
        assert found.miss_probability <= SURE
        assert found.method.startswith("zero" if name == "zero" else "shift-invert Lanczos, ")
        assert found.residuals.max() <= 3e-10 * max(1.0, abs(matrix).max() * 4)


def test_eigenvalues_in_the_middle_of_copies() -> None:
    check(eigenvalues(grid(), 40, sigma=4.0), grid(), 40, 4.0)
    check(eigenvalues(MATRICES["copies"], 25, sigma=1.01), MATRICES["copies"], 25, 1.01)


def test_copies_that_one_start_does_not_see_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    """A single direction per step sees one of three copies of an eigenvalue that is nearer than others."""
    monkeypatch.setattr(interior, "BLOCK", 1)
    monkeypatch.setattr(interior, "GUARDS", 0)
    entries = np.r_[np.full(3, 1.0), np.arange(2.0, N - 1.0)]
    looked: list[int] = []
    whole = interior._Search._found
    monkeypatch.setattr(interior._Search, "_found", lambda self, w, b: looked.append(b) or whole(self, w, b))
    found = eigenvalues(scipy.sparse.diags_array(entries).tocsc(), 5, sigma=0.9)
    assert_allclose(found.values, np.sort(entries)[:5], atol=1e-9)
    assert len(looked) == 2
    monkeypatch.setattr(interior, "LOOKS", 1)
    with pytest.raises(ConvergenceError, match="eigenvalues that are closer were not found"):
        eigenvalues(scipy.sparse.diags_array(entries).tocsc(), 5, sigma=0.9)


def test_sigma_at_an_eigenvalue() -> None:
    """There the matrix is singular: factors are made beside it."""
    for sigma, matrix in ((0.0, free()), (4.0, grid()), (1.0, MATRICES["copies"])):
        check(eigenvalues(matrix, 3, sigma=sigma), matrix, 3, sigma)


@pytest.mark.parametrize("scale", [1e-140, 1e-9, 1e9, 1e140])
def test_scales(scale: float) -> None:
    matrix = scale * tridiagonal(-1.0, 2.0)
    check(eigenvalues(matrix, 4, sigma=scale), matrix, 4, scale)


@pytest.mark.parametrize("n", [1, 2, 5, 40])
def test_small_and_dense_matrices_and_operators(n: int) -> None:
    A = np.random.default_rng(n).standard_normal((n, n))
    matrix = A + A.T
    for operator in (matrix, scipy.sparse.csr_array(matrix), aslinearoperator(matrix), matrix.tolist()):
        for k in {1, n}:
            found = eigenvalues(operator, k, "closest", sigma=0.3)
            check(found, matrix, k, 0.3)
            assert (found.method, found.miss_probability) == ("dense", 0.0)
    assert eigenvalues(aslinearoperator(matrix), 1, "closest").n_hvp == n
    check(eigenvalues(matrix, 1, "closest"), matrix, 1, 0.0)


def test_single_precision() -> None:
    for matrix in (tridiagonal(-1.0, 2.0), tridiagonal(-1.0, 2.0, 30)):
        found = eigenvalues(matrix.astype(np.float32), 4, sigma=1.0)
        assert found.values.dtype == found.vectors.dtype == np.float32
        every = np.linalg.eigvalsh(matrix.toarray())
        assert np.all(np.min(np.abs(found.values[:, None] - every), axis=1) <= found.residuals)
        assert_allclose(
            np.sort(np.abs(found.values - 1.0)), np.sort(np.abs(every - 1.0))[:4], atol=float(found.residuals.max())
        )


def test_a_sparse_hessian() -> None:
    f = lambda x: np.sum((x[1:] - x[:-1]) ** 2) + np.sum(np.cos(x))
    x = np.linspace(0.0, 3.0, 3000)
    H = hs.HessianOperator(f, x)
    found = eigenvalues(H, 5, sigma=1.0)
    check(found, H.to_sparse(), 5, 1.0)
    assert found.miss_probability <= SURE
    assert found.n_hvp < 40
    dense = hs.HessianOperator(lambda x: np.sum(x) ** 2 + np.sum(x**4), np.linspace(0.0, 1.0, 600))
    check(eigenvalues(dense, 2, sigma=0.5), dense.to_dense(), 2, 0.5)


def test_a_large_grid_takes_few_solves() -> None:
    matrix = grid(100)
    found = eigenvalues(matrix, 6, sigma=1.0)
    line = 2.0 - 2.0 * np.cos(np.arange(1, 101) * np.pi / 101)
    every = np.add.outer(line, line).ravel()
    assert_allclose(np.sort(np.abs(found.values - 1.0)), np.sort(np.abs(every - 1.0))[:6], atol=1e-9)
    assert found.miss_probability <= SURE
    assert int(found.method.split()[-2]) < 200


def test_a_dense_matrix_beyond_what_is_diagonalised(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hessian.linalg.limits.MATRIX_ORDER", 50)
    A = np.random.default_rng(0).standard_normal((80, 80))
    found = eigenvalues(A + A.T, 4, sigma=0.5)
    check(found, A + A.T, 4, 0.5)
    assert found.method.startswith("shift-invert")


def test_what_no_factor_tells_another_look_does(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(interior._Search, "_below", lambda self, x, room: (None, 1.0))
    for name in ("line", "grid", "scattered", "copies"):
        for sigma in (1.0, 2.5):
            found = eigenvalues(MATRICES[name], 4, sigma=sigma)
            check(found, MATRICES[name], 4, sigma)
            assert 0.0 <= found.miss_probability <= 1e-3
    monkeypatch.setattr(interior._Search, "_overlooked", lambda self, found: (0, np.nan))
    assert np.isnan(eigenvalues(MATRICES["line"], 4, sigma=1.0).miss_probability)


def test_another_look_finds_copies_that_the_first_has_not_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(interior, "BLOCK", 1)
    monkeypatch.setattr(interior, "GUARDS", 0)
    monkeypatch.setattr(interior._Search, "_below", lambda self, x, room: (None, 1.0))
    entries = np.r_[np.full(3, 1.0), np.arange(2.0, N - 1.0)]
    found = eigenvalues(scipy.sparse.diags_array(entries).tocsc(), 5, sigma=0.9)
    assert_allclose(found.values, np.sort(entries)[:5], atol=1e-9)
    assert found.miss_probability <= 1e-3


def test_counts_that_contradict_what_was_found_prove_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(interior._Search, "_below", lambda self, x, room: (0, 0.0))
    assert 0.0 < eigenvalues(tridiagonal(-1.0, 2.0), 4, sigma=1.0).miss_probability <= 1e-3


def test_where_one_cut_does_not_tell_another_may(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[float] = []
    below = interior._Search._below

    def deaf(self: Any, x: float, room: float) -> Any:
        asked.append(x)
        return (None, 0.0) if len(asked) <= 1 else below(self, x, room)

    monkeypatch.setattr(interior._Search, "_below", deaf)
    found = eigenvalues(tridiagonal(-1.0, 2.0), 4, sigma=1.0)
    assert found.miss_probability <= SURE
    assert len(asked) == 3


def test_factors_that_do_not_solve_count_within_what_they_are_off_by() -> None:
    """Pivots without exchanges grow, and yet are those of a matrix that is not far."""
    rng, matrix = np.random.default_rng(0), scattered()
    every, seen = np.linalg.eigvalsh(matrix.toarray()), 0
    for x in np.linspace(-3.0, 3.0, 7):
        moved = (matrix - x * scipy.sparse.eye_array(N)).tocsc()
        for count in counting.counts(moved, rng):
            same = lambda v: v
            exact = np.max(np.abs(np.linalg.eigvalsh(count.difference(np.eye(N)))))
            doubt = count.doubt(N, same, same, rng)
            assert exact <= doubt
            assert np.sum(every < x - doubt) <= count.negative <= np.sum(every < x + doubt)
            seen += exact > 1e-12
    assert seen >= 3
    assert not list(counting.counts(scipy.sparse.csc_array(np.ones((40, 40))), rng))
    assert [count.negative for count in counting.counts(np.diag([1.0, -1.0, 3.0]), rng)] == [1]
    arrow = scipy.sparse.lil_array((200, 200))
    arrow[0, 1:] = arrow[1:, 0] = 1.0
    assert not list(counting.counts(arrow.tocsc(), rng))


@pytest.mark.parametrize(("scale", "mass"), [(1e120, 1e-60), (1e-120, 1e50), (1.0, 1e20)])
def test_scales_of_pencils(scale: float, mass: float) -> None:
    """Squares of the eigenvalues are not numbers; far beyond them all distances from sigma are one number."""
    H, M = tridiagonal(-1.0, 2.0), tridiagonal(1.0, 4.0) / 6.0
    every = scipy.linalg.eigh(H.toarray(), M.toarray(), eigvals_only=True)
    unit = scale / mass
    for sigma, wanted in ((0.0, every[:3]), (unit * 1e30, every[-3:]), (-unit * 1e30, every[:3])):
        found = eigenvalues(scale * H, 3, sigma=sigma, M=mass * M)
        assert_allclose(found.values / unit, wanted, atol=1e-9)
        assert np.all(np.abs(found.values / unit - wanted) <= found.residuals / unit)
        assert found.miss_probability <= SURE


def test_refusals(monkeypatch: pytest.MonkeyPatch) -> None:
    matrix = tridiagonal(-1.0, 2.0)
    with pytest.raises(OptionError, match=r"sigma is 1\.0 and which is 'LA'"):
        eigenvalues(matrix, 2, "LA", sigma=1.0)
    with pytest.raises(OptionError, match="Pass one of LA, SA, LM, BE, closest"):
        eigenvalues(matrix, 2, "nearest")
    with pytest.raises(OptionError, match="sigma is inf"):
        eigenvalues(matrix, 2, sigma=np.inf)
    big = tridiagonal(-1.0, 2.0, 2100)
    with pytest.raises(OptionError, match=r"which is not a matrix.*Pass a sparse matrix"):
        eigenvalues(aslinearoperator(big), 2, sigma=1.0)
    with pytest.raises(OptionError, match="which is not a matrix"):
        eigenvalues(aslinearoperator(matrix), 2, sigma=1.0, max_hvp=20)
    monkeypatch.setattr(interior, "STEPS", 4)
    with pytest.raises(ConvergenceError, match="solves have not found 7 eigenvalues"):
        eigenvalues(matrix, 7, sigma=1.0)
    monkeypatch.setattr(interior, "factor", lambda matrix: Factor(N, FactorStatus.SINGULAR))
    with pytest.raises(ConvergenceError, match="0 solves have not found 7 eigenvalues"):
        eigenvalues(matrix, 7, sigma=1.0)
