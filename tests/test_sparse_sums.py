"""Factors of sparse plus low rank whose sparse part is singular or indefinite: the inertia is right, or not said."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp

from hessian.linalg.factor import FactorStatus
from hessian.linalg.factoring import analyse, with_diagonal
from hessian.linalg.sum_factor import factor_sum
from hessian.linalg.sums import SymmetricSum


def path(n):
    return sp.diags_array(
        [np.full(n - 1, -1.0), np.r_[1.0, np.full(n - 2, 2.0), 1.0], np.full(n - 1, -1.0)], offsets=[-1, 0, 1]
    )


def neumann_grid(m):
    return sp.kron(path(m), sp.eye_array(m)) + sp.kron(sp.eye_array(m), path(m))


def diagonal(n, seed, zeros=0, negative=0):
    values = np.random.default_rng(seed).uniform(0.5, 2.0, n)
    values[:zeros] = 0.0
    values[zeros : zeros + negative] *= -1.0
    return sp.diags_array(values)


def scattered(n, seed):
    rng = np.random.default_rng(seed)
    rows, columns = rng.integers(0, n, (2, 3 * n))
    part = sp.csc_array(sp.coo_array((rng.uniform(0.0, 1.0, 3 * n), (rows, columns)), shape=(n, n)))
    return part + part.T + sp.diags_array(rng.uniform(-1.0, 3.0, n))


CASES = {
    "diagonal": diagonal(200, 0),
    "zeros": diagonal(200, 1, zeros=2),
    "many zeros": diagonal(200, 1, zeros=80),
    "negative": diagonal(200, 2, negative=3),
    "both": diagonal(200, 3, zeros=2, negative=2),
    "path": path(150),
    "two paths": sp.block_diag((path(90), path(70))),
    "grid": neumann_grid(15),
    "no diagonal": sp.diags_array([np.ones(199), np.ones(199)], offsets=[-1, 1]) + diagonal(200, 3, zeros=200),
    "scattered": scattered(250, 5),
    "small": diagonal(20, 6, zeros=1),
    "nothing": sp.csc_array((120, 120)),
}


@pytest.mark.parametrize("definite", [False, True])
@pytest.mark.parametrize("signs", [[1], [1, 1], [-1], [1, -1], [1, 1, 1, -1, -1]])
@pytest.mark.parametrize("name", CASES)
def test_inertia_and_solutions(name, signs, definite):
    sparse = with_diagonal(CASES[name])
    n, signs = sparse.shape[0], np.array(signs, float)
    known = 0
    for seed, shift in ((0, 0.0), (1, 0.0), (2, 0.3), (3, -0.01)):
        columns = np.random.default_rng(seed).standard_normal((n, len(signs)))
        if seed == 1:
            columns[:] = np.ones((n, 1)) * np.arange(1.0, len(signs) + 1)
            columns[: len(signs), :] += 3.0 * np.eye(len(signs))
        matrix = SymmetricSum(sparse, columns, signs)
        dense = sparse.toarray() + columns @ np.diag(signs) @ columns.T + shift * np.eye(n)
        values = np.linalg.eigvalsh(dense)
        size = np.abs(values).max()
        found = factor_sum(analyse(sparse), matrix, shift, definite=definite)
        if found.inertia is not None and found.can_solve:
            known += 1
            assert np.abs(values).min() > 1e-12 * size
            assert found.inertia == (int((values > 0).sum()), int((values < 0).sum()), 0)
            b = np.random.default_rng(seed + 9).standard_normal((n, 2))
            for z, c in ((found.solve(b), b), (found.solve(b[:, 0]), b[:, 0])):
                assert np.abs(dense @ z - c).max() <= 1e-11 * (size * np.abs(z).max() + 1.0)
            np.testing.assert_allclose(found.logdet, np.linalg.slogdet(dense)[1], rtol=1e-6, atol=1e-6)
        if values[0] > 1e-6 * size and name != "many zeros":
            assert found.is_definite, (seed, found, values[:3])
            assert found.least_pivot > 0.0
            if name not in ("two paths", "no diagonal"):
                np.testing.assert_allclose(found.inverse_diagonal(), np.diag(np.linalg.inv(dense)), rtol=1e-6)
        if found.is_definite:
            assert values[0] > 0.0
        if found.direction is not None and seed != 3:
            assert found.direction @ dense @ found.direction <= 1e-9 * size or not definite
    assert known >= (0 if name in ("many zeros", "nothing", "no diagonal") or definite else 2)


def test_products_bounds_and_changes():
    rng = np.random.default_rng(0)
    sparse, signs = with_diagonal(scattered(100, 1)), np.array([1.0, -1.0, 1.0])
    columns = rng.standard_normal((100, 3))
    matrix = SymmetricSum(sparse, columns, signs)
    dense = sparse.toarray() + (columns * signs) @ columns.T
    for v in (rng.standard_normal(100), rng.standard_normal((100, 4))):
        np.testing.assert_allclose(matrix @ v, dense @ v, rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(matrix.diagonal(), np.diag(dense), rtol=1e-12, atol=1e-13)
    values = np.linalg.eigvalsh(dense)
    low, high = matrix.bounds()
    assert low <= values[0] <= values[-1] <= high
    assert np.abs(values).max() <= matrix.size
    units = rng.uniform(0.5, 2.0, 100)
    np.testing.assert_allclose(
        matrix.scaled(units) @ np.eye(100), dense * units * units[:, None], rtol=1e-12, atol=1e-12
    )
    for k in (0, 3):
        other = SymmetricSum(sparse, columns[:, :k] + 1e-3, signs[:k])
        gap = dense - other @ np.eye(100)
        norm = np.linalg.norm(gap, 2)
        assert norm * (1.0 - 1e-9) <= matrix.change(other) <= norm * (1.0 + 1e-6)
    assert matrix.change(SymmetricSum(with_diagonal(path(100)))) == np.inf
    assert matrix.change(SymmetricSum(with_diagonal(path(99)))) == np.inf
    same = SymmetricSum.of_parts(matrix.parts())
    assert matrix.change(same) <= 1e-13 * matrix.size
    assert (matrix.rank, matrix.is_finite, same.order) == (3, True, 100)


def test_what_is_not_finite():
    sparse = with_diagonal(path(100))
    columns = np.full((100, 1), np.nan)
    found = factor_sum(analyse(sparse), SymmetricSum(sparse, columns, np.ones(1)))
    assert found.status is FactorStatus.NOT_FINITE
    assert not SymmetricSum(sparse, columns, np.ones(1)).is_finite
    broken = with_diagonal(path(100))
    broken.data[0] = np.inf
    assert factor_sum(analyse(sparse), SymmetricSum(broken)).status is FactorStatus.NOT_FINITE
