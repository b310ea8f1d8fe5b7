"""Factorisations of sparse symmetric matrices: solutions, inertia and determinants against dense ones, failures as statuses."""

from __future__ import annotations

import sys
import types

import numpy as np
import pytest
import scipy.sparse as sp

from hessian.errors import ConvergenceError, DtypeError, OptionError, ShapeMismatchError
from hessian.linalg.cholmod import is_installed
from hessian.linalg.factor import FactorStatus
from hessian.linalg.factoring import analyse, factor, with_diagonal
from hessian.linalg.superlu import SuperLUPlan


def band(n, width, seed=0):
    rng = np.random.default_rng(seed)
    diagonals = [rng.uniform(-1.0, 1.0, n - d) for d in range(1, width + 1)]
    lower = sp.diags_array([np.zeros(n), *diagonals], offsets=[-d for d in range(width + 1)], shape=(n, n))
    return sp.csc_array(lower + lower.T + sp.diags_array(rng.uniform(2.0, 3.0, n) * (width + 1)))


def shuffled(matrix, seed=0):
    order = np.random.default_rng(seed).permutation(matrix.shape[0])
    return sp.csc_array(matrix.tocsr()[order][:, order])


def arrow(n, seed=0, border=1):
    rng = np.random.default_rng(seed)
    rows = sp.csc_array(rng.uniform(-1.0, 1.0, (border, n)))
    corner = sp.csc_array(float(n) * np.eye(border))
    return sp.csc_array(sp.block_array([[corner, rows], [rows.T, sp.csc_array(band(n, 1, seed))]]))


def grid(m):
    line = sp.diags_array([-np.ones(m - 1), 2.0 * np.ones(m), -np.ones(m - 1)], offsets=[-1, 0, 1])
    return sp.csc_array(sp.kron(line, sp.eye_array(m)) + sp.kron(sp.eye_array(m), line))


def scattered(n, seed=0):
    rng = np.random.default_rng(seed)
    at = rng.integers(0, n, (2, 3 * n))
    half = sp.csc_array((rng.uniform(0.0, 1.0, 3 * n), (at[0], at[1])), shape=(n, n))
    return sp.csc_array(half + half.T + 8.0 * sp.eye_array(n))


def headed(matrix):
    n = matrix.shape[0]
    row = sp.csc_array(np.r_[np.full(n - 1, 0.1), 50.0][None, :])
    full = matrix + sp.vstack([sp.csc_array((n - 1, n)), row])
    return sp.csc_array(0.5 * (full + full.T))


CASES = {
    "diagonal": (band(200, 0), "diagonal"),
    "tridiagonal": (band(300, 1), "banded"),
    "shuffled": (shuffled(band(300, 2)), "banded"),
    "arrow": (arrow(400), "bordered"),
    "two-dense-rows": (shuffled(arrow(500, border=2)), "bordered"),
    "grid": (grid(60), "superlu"),
    "scattered": (scattered(600), "superlu"),
    "scattered-arrow": (headed(scattered(600)), "superlu"),
    "small": (band(20, 3), "dense"),
}


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("shift", [0.0, 0.7])
def test_definite(name, shift):
    matrix, kind = CASES[name]
    dense = matrix.toarray() + shift * np.eye(matrix.shape[0])
    found = factor(matrix, shift)
    assert found.kind == kind
    assert found.status is FactorStatus.DEFINITE
    assert found.inertia == (len(dense), 0, 0)
    rng = np.random.default_rng(1)
    for b in (rng.standard_normal(len(dense)), rng.standard_normal((len(dense), 3))):
        np.testing.assert_allclose(found.solve(b), np.linalg.solve(dense, b), rtol=1e-9, atol=1e-11)
    np.testing.assert_allclose(found.logdet, np.linalg.slogdet(dense)[1], rtol=1e-12)
    if len(dense) < 1000:
        np.testing.assert_allclose(found.inverse_diagonal(), np.diag(np.linalg.inv(dense)), rtol=1e-9)
    assert 0.0 < found.least_pivot <= np.diag(dense).max() * (1.0 + 1e-12)


@pytest.mark.parametrize("name", [name for name in CASES if name not in ("grid", "small")])
def test_not_definite(name):
    matrix, kind = CASES[name]
    values = np.linalg.eigvalsh(matrix.toarray())
    shift = -0.5 * (values[3] + values[4])
    dense = matrix.toarray() + shift * np.eye(len(values))
    tried = factor(matrix, shift, definite=True)
    assert not tried.is_definite
    if tried.direction is not None:
        assert tried.direction @ dense @ tried.direction <= 1e-9 * np.abs(dense).max()
        np.testing.assert_allclose(np.linalg.norm(tried.direction), 1.0)
    assert tried.direction is not None or kind == "superlu"
    found = factor(matrix, shift)
    # Known to be so, or not known; never another number.
    assert found.inertia in ((len(dense) - 4, 4, 0), None)
    if found.inertia is not None:
        assert found.status is FactorStatus.INDEFINITE
        assert found.direction @ dense @ found.direction < 0.0
        b = np.random.default_rng(2).standard_normal(len(dense))
        np.testing.assert_allclose(dense @ found.solve(b), b, atol=1e-8)


def test_inertia_is_mostly_known():
    known = 0
    for seed in range(20):
        matrix = scattered(200, seed)
        values = np.linalg.eigvalsh(matrix.toarray())
        shift = -0.5 * (values[30] + values[31])
        inertia = factor(matrix, shift).inertia
        assert inertia in ((169, 31, 0), None)
        known += inertia is not None
    assert known >= 15


def test_plans_are_kept():
    matrix = with_diagonal(scattered(300))
    plan = analyse(matrix)
    for seed in range(3):
        other = matrix.copy()
        other.data = other.data * (1.0 + 0.0 * other.data)
        other.setdiag(np.random.default_rng(seed).uniform(5.0, 6.0, 300))
        b = np.ones(300)
        np.testing.assert_allclose(other @ factor(other, plan=plan).solve(b), b, rtol=1e-10)


def test_missing_diagonal_is_filled_in():
    matrix = sp.csc_array(np.array([[0.0, 2.0], [2.0, 0.0]]))
    filled = with_diagonal(matrix)
    assert filled.nnz == 4
    assert (filled != matrix).nnz == 0
    assert factor(matrix).inertia == (1, 1, 0)
    large = sp.block_diag([matrix] * 40, format="csc")
    assert factor(large).inertia in ((40, 40, 0), None)


@pytest.mark.parametrize("n", [2, 50])
def test_singular_is_a_status(n):
    line = sp.csc_array(
        sp.diags_array([-np.ones(n - 1), np.r_[1.0, 2.0 * np.ones(n - 2), 1.0], -np.ones(n - 1)], offsets=[-1, 0, 1])
    )
    found = factor(line)
    assert found.status in (FactorStatus.SINGULAR, FactorStatus.UNKNOWN, FactorStatus.NOT_DEFINITE)
    zeros = factor(sp.csc_array((60, 60)))
    assert zeros.status is FactorStatus.SINGULAR
    assert np.isnan(zeros.logdet)
    assert "SINGULAR" in repr(zeros)
    with pytest.raises(ConvergenceError, match=r"no factor to solve with\. The matrix is singular"):
        zeros.solve(np.ones(60))
    with pytest.raises(ConvergenceError, match="no factor to invert by"):
        zeros.inverse_diagonal()


def test_not_finite_is_a_status():
    for matrix in (CASES["tridiagonal"][0], CASES["scattered"][0], CASES["small"][0]):
        bad = matrix.copy()
        bad.data[0] = np.nan
        assert factor(bad).status is FactorStatus.NOT_FINITE
    assert factor(np.full((2, 2), np.inf)).status is FactorStatus.NOT_FINITE


def test_refusals():
    lopsided = sp.csc_array(np.triu(np.ones((50, 50))))
    with pytest.raises(OptionError, match="not symmetric"):
        factor(lopsided)
    with pytest.raises(ShapeMismatchError, match="square"):
        factor(np.ones((2, 3)))
    with pytest.raises(ShapeMismatchError, match="no elements"):
        factor(np.zeros((0, 0)))
    with pytest.raises(DtypeError, match="complex"):
        factor(np.eye(2) * 1j)
    with pytest.raises(ShapeMismatchError, match=r"b has shape \(3,\)"):
        factor(np.eye(2)).solve(np.ones(3))
    with pytest.raises(ShapeMismatchError, match="U and D have shapes"):
        factor(np.eye(3), low_rank=(np.ones((3, 1)), np.eye(2)))


@pytest.mark.parametrize("core", [[[2.0]], [[-0.5]], [[1.0, 0.3], [0.3, -2.0]]])
@pytest.mark.parametrize("name", ["tridiagonal", "scattered", "small"])
def test_low_rank(name, core):
    matrix, core = CASES[name][0], np.array(core)
    n = matrix.shape[0]
    columns = np.random.default_rng(3).standard_normal((n, len(core)))
    dense = matrix.toarray() + columns @ core @ columns.T
    found = factor(matrix, low_rank=(columns, core))
    b = np.random.default_rng(4).standard_normal((n, 2))
    np.testing.assert_allclose(found.solve(b), np.linalg.solve(dense, b), rtol=1e-8, atol=1e-11)
    np.testing.assert_allclose(found.logdet, np.linalg.slogdet(dense)[1], rtol=1e-11)
    np.testing.assert_allclose(found.inverse_diagonal(), np.diag(np.linalg.inv(dense)), rtol=1e-8)
    negative = int((np.linalg.eigvalsh(dense) < 0).sum())
    assert found.inertia == (n - negative, negative, 0)


def test_low_rank_that_makes_singular():
    v = np.zeros((50, 1))
    v[0] = 1.0
    matrix = sp.csc_array(sp.eye_array(50))
    assert factor(matrix, low_rank=(v, -np.eye(1))).status is FactorStatus.SINGULAR
    assert factor(matrix, low_rank=(v, np.zeros((1, 1)))).status is FactorStatus.SINGULAR
    assert factor(sp.csc_array((50, 50)), low_rank=(v, np.eye(1))).status is FactorStatus.SINGULAR


def test_superlu_keeps_its_order():
    matrix = with_diagonal(grid(40))
    plan = SuperLUPlan(matrix)
    first, second = plan.factor(matrix), plan.factor(matrix, 1.0)
    assert first.is_definite
    assert second.is_definite
    others = [plan.factor(matrix, float(shift)) for shift in range(4)]
    # Also those that were made before the order was settled.
    for shift, found in [(0.0, first), (1.0, second), *enumerate(others)]:
        np.testing.assert_allclose(found.solve(matrix @ np.ones(1600) + shift), np.ones(1600), rtol=1e-12)
        inverse = np.linalg.inv(matrix.toarray() + shift * np.eye(1600))
        np.testing.assert_allclose(found.inverse_diagonal(), np.diag(inverse), rtol=1e-10)
    low = plan.factor(matrix, -1.0, definite=False)
    assert low.inertia == (
        np.sum(np.linalg.eigvalsh(matrix.toarray()) > 1.0),
        np.sum(np.linalg.eigvalsh(matrix.toarray()) < 1.0),
        0,
    )
    assert low.direction @ (matrix @ low.direction) < 1.0


class _Cholmod(types.ModuleType):
    """What scikit-sparse offers, by SciPy."""

    class CholmodNotPositiveDefiniteError(Exception):
        pass

    def __init__(self):
        super().__init__("sksparse.cholmod")
        self.calls = 0
        self.__spec__ = types.SimpleNamespace(name="sksparse.cholmod")

    def analyze(self, matrix):
        module = self

        class Analysis:
            def cholesky(self, matrix, beta=0.0):
                module.calls += 1
                dense = matrix.toarray() + beta * np.eye(matrix.shape[0])
                try:
                    lower = np.linalg.cholesky(dense)
                except np.linalg.LinAlgError:
                    raise module.CholmodNotPositiveDefiniteError from None
                return types.SimpleNamespace(
                    D=lambda: np.diag(lower) ** 2,
                    solve_A=lambda b: np.linalg.solve(dense, b),
                    logdet=lambda: 2.0 * np.log(np.diag(lower)).sum(),
                    solve_Lt=lambda z, use_LDLt_decomposition: np.linalg.solve(lower.T, z),
                    apply_Pt=lambda z: z,
                )

        return Analysis()


def test_cholmod_where_it_is_installed(monkeypatch):
    assert not is_installed()
    module, package = _Cholmod(), types.ModuleType("sksparse")
    package.cholmod, package.__path__ = module, []
    monkeypatch.setitem(sys.modules, "sksparse", package)
    monkeypatch.setitem(sys.modules, "sksparse.cholmod", module)
    assert is_installed()
    matrix = CASES["scattered"][0]
    found = factor(matrix, 0.5)
    assert (found.kind, found.status, module.calls) == ("cholmod", FactorStatus.DEFINITE, 1)
    dense, b = matrix.toarray() + 0.5 * np.eye(600), np.ones(600)
    np.testing.assert_allclose(found.solve(b), np.linalg.solve(dense, b), rtol=1e-9)
    np.testing.assert_allclose(found.logdet, np.linalg.slogdet(dense)[1], rtol=1e-12)
    root = found.spread(np.eye(600))
    np.testing.assert_allclose(root @ root.T, np.linalg.inv(dense), rtol=0.0, atol=1e-12)
    np.testing.assert_allclose(found.inverse_diagonal(), np.diag(np.linalg.inv(dense)), rtol=1e-12)
    # Not definite: the inertia comes from SuperLU, or is not asked for.
    values = np.linalg.eigvalsh(matrix.toarray())
    shift = -0.5 * (values[3] + values[4])
    assert factor(matrix, shift, definite=True).status is FactorStatus.NOT_DEFINITE
    assert factor(matrix, shift).inertia in ((596, 4, 0), None)
    bad = matrix.copy()
    bad.data[0] = np.inf
    assert factor(bad).status is FactorStatus.NOT_FINITE
