"""Entries of inverses by the pattern of a factor: against dense inverses, and against models whose variances are known."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp
from scipy.linalg import cholesky_banded

from hessian.errors import ConvergenceError
from hessian.linalg import limits
from hessian.linalg.factor import Factor
from hessian.linalg.factoring import analyse, factor, with_diagonal
from hessian.linalg.selected import Fronts, banded_diagonal
from hessian.linalg.sum_factor import factor_sum
from hessian.linalg.sums import SymmetricSum
from hessian.linalg.superlu import SuperLUPlan


def banded(n, width, seed):
    """A definite matrix in lower banded form, and dense."""
    rng = np.random.default_rng(seed)
    lower = rng.uniform(-1.0, 1.0, (width + 1, n))
    lower[0] = 2.0 * (width + 1)
    dense = np.zeros((n, n))
    for d in range(width + 1):
        at = np.arange(n - d)
        dense[at + d, at] = dense[at, at + d] = lower[d, : n - d]
    return lower, dense


@pytest.mark.parametrize("n", [1, 2, 7, 8, 9, 40, 301])
@pytest.mark.parametrize("width", [0, 1, 2, 5, 8, 9, 23])
def test_a_band_of_any_length(n, width):
    lower, dense = banded(n, min(width, n - 1), 10 * n + width)
    got = banded_diagonal(cholesky_banded(lower, lower=True))
    np.testing.assert_allclose(got, np.diag(np.linalg.inv(dense)), rtol=1e-13)


def test_a_band_piece_by_piece(monkeypatch):
    # What is behind a piece is handed on to the one before.
    lower, dense = banded(500, 3, 0)
    monkeypatch.setattr(limits, "BLOCK_NUMBERS", 300)
    got = banded_diagonal(cholesky_banded(lower, lower=True))
    np.testing.assert_allclose(got, np.diag(np.linalg.inv(dense)), rtol=1e-13)


def scattered(n, per_row, seed):
    """A definite matrix with entries anywhere, some of them zero, in parts that do not touch."""
    rng = np.random.default_rng(seed)
    count = int(per_row * n)
    rows, columns = rng.integers(0, n, (2, count))
    parts = rng.integers(0, 3, n)
    keep = parts[rows] == parts[columns]
    values = rng.choice([-1.0, 0.0, 1.0, 0.3], count)
    half = sp.coo_array((values[keep], (rows[keep], columns[keep])), shape=(n, n)).tocsc()
    matrix = sp.csc_array(half + half.T)
    size = float(np.asarray(abs(matrix).sum(axis=1)).max())
    return sp.csc_array(matrix + (size + 0.1) * sp.eye_array(n))


@pytest.mark.parametrize("seed", range(12))
def test_supernodes_of_scattered_entries(seed):
    n = 40 + 20 * seed
    matrix = with_diagonal(scattered(n, [0.3, 1.0, 2.5][seed % 3], seed))
    found = SuperLUPlan(matrix).factor(matrix)
    inverse = np.linalg.inv(matrix.toarray())
    np.testing.assert_allclose(found.inverse_diagonal(), np.diag(inverse), rtol=1e-12)
    np.testing.assert_allclose(found.inverse_columns([3, 0]), inverse[:, [3, 0]], rtol=0.0, atol=1e-14)
    root = found.spread(np.eye(n))
    np.testing.assert_allclose(root @ root.T, inverse, rtol=0.0, atol=1e-14)


def test_entries_that_cancel_keep_their_place():
    # Of u u' + I with parts that are orthogonal, numbers of the factor vanish that its pattern has.
    n = 60
    rng = np.random.default_rng(1)
    dense = np.kron(np.eye(n // 4), np.array([[4.0, 1, 1, 0], [1, 4, 0, 1], [1, 0, 4, -1], [0, 1, -1, 4.0]]))
    order = rng.permutation(n)
    matrix = with_diagonal(sp.csc_array(dense[np.ix_(order, order)]))
    found = SuperLUPlan(matrix).factor(matrix)
    np.testing.assert_allclose(
        found.inverse_diagonal(), np.diag(np.linalg.inv(dense[np.ix_(order, order)])), rtol=1e-13
    )


def test_another_pattern_is_told():
    # That of a diagonal has no room for an entry below.
    fronts = Fronts(np.arange(4), np.arange(3))
    lower = sp.csc_array(np.array([[1.0, 0, 0], [0.5, 1.0, 0], [0, 0, 1.0]]))
    assert fronts.diagonal(lower.indptr, lower.indices, lower.data, np.ones(3)) is None
    units = sp.eye_array(3, format="csc")
    got = fronts.diagonal(units.indptr, units.indices, units.data, np.array([1.0, 2.0, 4.0]))
    assert got is not None
    assert got.tolist() == [1.0, 0.5, 0.25]


def test_indefinite_factors_take_solves():
    matrix = with_diagonal(scattered(300, 1.0, 0) - 4.0 * sp.eye_array(300))
    found = factor(matrix)
    assert found.can_solve
    assert not found.is_definite
    np.testing.assert_allclose(found.inverse_diagonal(), np.diag(np.linalg.inv(matrix.toarray())), rtol=1e-9)
    with pytest.raises(ConvergenceError, match="only definite matrices have a root"):
        found.spread(np.ones(300))


def test_roots_of_other_factors():
    dense = scattered(30, 2.0, 0).toarray()
    columns = np.random.default_rng(0).standard_normal((30, 2))
    for found, matrix in (
        (factor(dense), dense),
        (factor(dense, low_rank=(columns, np.eye(2))), dense + columns @ columns.T),
    ):
        root = found.spread(np.eye(30))
        np.testing.assert_allclose(root @ root.T, np.linalg.inv(matrix), rtol=0.0, atol=1e-13)


@pytest.mark.parametrize("signs", [[1.0, 1.0], [-1.0, -1.0], [1.0, -1.0]])
def test_roots_and_diagonals_of_sums(signs):
    sparse = with_diagonal(scattered(200, 1.0, 4))
    columns = 0.05 * np.random.default_rng(2).standard_normal((200, 3))
    # A column twice: the matrix between them is singular.
    columns[:, 2] = columns[:, 0]
    matrix = SymmetricSum(sparse, columns, np.append(signs, 1.0))
    found = factor_sum(analyse(sparse), matrix, definite=True)
    assert found.is_definite
    inverse = np.linalg.inv(sparse.toarray() + (columns * matrix.signs) @ columns.T)
    root = found.spread(np.eye(200))
    np.testing.assert_allclose(root @ root.T, inverse, rtol=0.0, atol=1e-12)
    np.testing.assert_allclose(found.inverse_diagonal(), np.diag(inverse), rtol=1e-12)


def test_what_loses_digits_is_solved_for(monkeypatch):
    sparse = with_diagonal(scattered(200, 1.0, 4))
    columns = 0.05 * np.random.default_rng(2).standard_normal((200, 2))
    found = factor_sum(analyse(sparse), SymmetricSum(sparse, columns, np.ones(2)), definite=True)
    plain = found.inverse_diagonal()
    solved = []
    columns_of = Factor.inverse_columns
    monkeypatch.setattr(Factor, "inverse_columns", lambda self, at: (solved.extend(at), columns_of(self, at))[1])
    assert found.inverse_diagonal().tolist() == plain.tolist()
    assert not solved
    # As if every difference had lost too many.
    monkeypatch.setattr("hessian.linalg.low_rank.LOST", 0.0)
    np.testing.assert_allclose(found.inverse_diagonal(), plain, rtol=1e-13)
    assert solved == list(range(200))


def test_a_sum_whose_sparse_part_is_indefinite():
    sparse = with_diagonal(scattered(200, 1.0, 4))
    sparse = with_diagonal(sparse - 40.0 * sp.eye_array(200).tocsr()[:, [7]] @ sp.eye_array(200).tocsr()[[7], :])
    columns = np.zeros((200, 1))
    columns[7] = 7.0
    found = factor_sum(analyse(sparse), SymmetricSum(sparse, columns, np.ones(1)), definite=True)
    assert found.is_definite
    inverse = np.linalg.inv(sparse.toarray() + columns @ columns.T)
    root = found.spread(np.eye(200))
    np.testing.assert_allclose(root @ root.T, inverse, rtol=0.0, atol=1e-12)
    np.testing.assert_allclose(found.inverse_diagonal(), np.diag(inverse), rtol=1e-11)


def smoothed_variances(n, noise, drift):
    """Variances of a random walk seen with noise, by Kalman's filter and the smoother of Rauch, Tung and Striebel."""
    filtered, ahead = np.empty(n), np.empty(n)
    for t in range(n):
        # Before the first observation nothing is known.
        ahead[t] = np.inf if t == 0 else filtered[t - 1] + drift
        filtered[t] = noise if t == 0 else ahead[t] * noise / (ahead[t] + noise)
    smooth = filtered.copy()
    for t in range(n - 2, -1, -1):
        gain = filtered[t] / ahead[t + 1]
        smooth[t] = filtered[t] + gain**2 * (smooth[t + 1] - ahead[t + 1])
    return smooth


def test_a_random_walk_of_1e5_steps():
    n, noise, drift = 10**5, 0.7, 0.01
    main = np.full(n, 1.0 / noise + 2.0 / drift)
    main[[0, -1]] -= 1.0 / drift
    beside = np.full(n - 1, -1.0 / drift)
    found = factor(sp.diags_array([beside, main, beside], offsets=[-1, 0, 1], format="csc"), definite=True)
    np.testing.assert_allclose(found.inverse_diagonal(), smoothed_variances(n, noise, drift), rtol=1e-11)


def test_a_grid_in_closed_form():
    # Of Laplace's operator with zeros around it, eigenvectors are sines: the variance in the middle is a sum of them.
    m = 101
    line = sp.diags_array([-np.ones(m - 1), 2.0 * np.ones(m), -np.ones(m - 1)], offsets=[-1, 0, 1])
    matrix = sp.kron(line, sp.eye_array(m)) + sp.kron(sp.eye_array(m), line)
    variances = factor(matrix, definite=True).inverse_diagonal().reshape(m, m)
    angles = np.arange(1, m + 1) * np.pi / (m + 1)
    values = 2.0 - 2.0 * np.cos(angles)
    shares = np.sin(np.outer(np.arange(1, m + 1), angles)) ** 2 * 2.0 / (m + 1)
    np.testing.assert_allclose(variances, shares @ (1.0 / (values[:, None] + values)) @ shares.T, rtol=1e-11)


def test_supernodes_are_found_once(monkeypatch):
    matrix = with_diagonal(scattered(600, 1.5, 3))
    plan = SuperLUPlan(matrix)
    calls = []
    init = Fronts.__init__
    monkeypatch.setattr(Fronts, "__init__", lambda self, *args: (calls.append(1), init(self, *args))[1])
    # Not by solves, of which there would be hundreds.
    monkeypatch.setattr(Factor, "_inverse_diagonal", None)
    for shift in (0.0, 1.0):
        plan.factor(matrix, shift).inverse_diagonal()
    assert calls == [1]
