"""Extreme eigenvalues against closed forms: true residual bounds, copies, clusters, counts of products, both dtypes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import scipy.optimize
import scipy.sparse
from numpy.testing import assert_allclose, assert_array_equal
from scipy.sparse.linalg import LinearOperator, aslinearoperator
from spectra import with_spectrum

import hessian as hs
from hessian.curvature import eigenvalues
from hessian.errors import ConvergenceError, DtypeError, NonFiniteError, OptionError, ShapeMismatchError


def laplacian(n: int) -> Any:
    """Second differences, sparse; its eigenvalues are 2 - 2 cos(k pi / (n + 1))."""
    return scipy.sparse.diags_array([-np.ones(n - 1), 2.0 * np.ones(n), -np.ones(n - 1)], offsets=[-1, 0, 1])


class Counted(LinearOperator):
    """An operator that counts its products and knows nothing else."""

    def __init__(self, matrix: Any) -> None:
        super().__init__(matrix.dtype, matrix.shape)
        self.matrix = matrix
        self.products = 0

    def _matvec(self, v: np.ndarray) -> np.ndarray:
        self.products += 1
        return self.matrix @ v


def wanted(spectrum: np.ndarray, k: int, which: str) -> np.ndarray:
    values = np.sort(spectrum)
    if which == "LM":
        return np.sort(values[np.argsort(np.abs(values), kind="stable")[-k:]])
    low = {"LA": 0, "SA": k, "BE": k // 2}[which]
    return np.concatenate([values[:low], values[len(values) - (k - low) :]])


SPECTRA = {
    "uniform": np.linspace(-1.0, 2.0, 200),
    "decaying": 0.8 ** np.arange(200),
    "nine copies": np.concatenate([np.full(9, 3.0), np.linspace(-1.0, 1.0, 191)]),
    "cluster": np.concatenate([3.0 + 1e-6 * np.arange(5), np.linspace(0.0, 1.0, 195)]),
    "negative definite": -np.linspace(1.0, 2.0, 200),
    "rank one": np.concatenate([[7.0], np.zeros(199)]),
    "zero": np.zeros(200),
    "identity": np.ones(200),
}


@pytest.mark.parametrize("block", [1, 3])
@pytest.mark.parametrize("which", ["LA", "SA", "LM", "BE"])
@pytest.mark.parametrize("name", SPECTRA)
def test_values_lie_within_their_residuals_of_the_spectrum(name, which, block):
    spectrum = SPECTRA[name]
    H = Counted(with_spectrum(spectrum))
    found = eigenvalues(H, 5, which, block=block)
    scale = max(1.0, np.abs(spectrum).max())
    nearest = np.min(np.abs(found.values[:, None] - spectrum), axis=1)
    assert np.all(nearest <= found.residuals)
    assert found.residuals.max() <= 2e-10 * scale
    assert_allclose(found.values, wanted(spectrum, 5, which), atol=1e-9 * scale)
    assert_allclose(found.vectors.T @ found.vectors, np.eye(5), atol=1e-12)
    true = np.linalg.norm(H.matrix @ found.vectors - found.vectors * found.values, axis=0)
    assert np.all(true <= found.residuals)
    assert found.success
    assert found.miss_probability <= 1e-3
    assert H.products == found.n_hvp


@pytest.mark.parametrize("n", [30, 100, 400])
@pytest.mark.parametrize("which", ["LA", "SA"])
def test_second_differences_have_their_closed_form(n, which):
    found = eigenvalues(aslinearoperator(laplacian(n)), 4, which)
    exact = wanted(2.0 - 2.0 * np.cos(np.arange(1, n + 1) * np.pi / (n + 1)), 4, which)
    assert_allclose(found.values, exact, atol=1e-9)
    assert np.all(np.abs(found.values - exact) <= found.residuals)


@pytest.mark.parametrize(
    ("n", "low", "high"),
    [(2, 0.39936076749, 1001.60063923), (10, 0.49875, 1762.8408815), (100, 0.498753, 1801.6052439)],
)
def test_rosenbrock_at_its_minimum(n, low, high):
    H = hs.HessianOperator(lambda x: np.sum(100.0 * (x[1:] - x[:-1] ** 2) ** 2 + (1.0 - x[:-1]) ** 2), np.ones(n))
    found = eigenvalues(H, 2, "BE") if n > 2 else eigenvalues(H, 2)
    exact = np.linalg.eigvalsh(scipy.optimize.rosen_hess(np.ones(n)))
    assert_allclose(found.values, exact[[0, -1]], atol=1e-9 * high)
    assert np.all(np.abs(found.values - exact[[0, -1]]) <= found.residuals)
    # The known digits, to half a unit of the last one printed.
    assert found.values[0] == pytest.approx(low, abs=5e-7 if n == 100 else 5e-6 if n == 10 else 5e-12)
    assert found.values[-1] == pytest.approx(high, abs=5e-8 if n > 2 else 5e-9)


def softmax_hessian() -> tuple[hs.HessianOperator, np.ndarray]:
    """Mean softmax cross-entropy of a linear model of the digits at W = 0: an operator and its dense closed form."""
    datasets = pytest.importorskip("sklearn.datasets")
    data, labels = datasets.load_digits(return_X_y=True)
    X = data / 16.0

    def loss(W: Any) -> Any:
        z = X @ W
        return np.mean(hs.special.logsumexp(z, axis=1) - z[np.arange(len(labels)), labels])

    centre = (np.eye(10) - 0.1) / 10.0
    return hs.HessianOperator(loss, np.zeros((64, 10))), np.kron(X.T @ X / len(X), centre)


def test_digits_softmax_at_zero_has_nine_copies_of_its_largest_eigenvalue():
    H, closed = softmax_hessian()
    found = eigenvalues(H, 10)
    exact = np.linalg.eigvalsh(closed)[-10:]
    assert_allclose(found.values, exact, atol=1e-9)
    # 40 digits from the integers of the data, by power iteration: 1.045529968695459811793804...
    assert found.values[-1] == pytest.approx(1.04552996869545981, abs=1e-13)
    assert np.ptp(found.values[1:]) < 1e-9
    assert found.values[0] < found.values[1] - 0.5
    assert np.all(np.abs(found.values - exact) <= found.residuals)


def test_one_product_per_step_and_no_more_than_arpack():
    spectrum = np.concatenate([[20.0, 16.0, 13.0, 11.0, 10.0], np.linspace(-1.0, 5.0, 1995)])
    counted = Counted(scipy.sparse.diags_array(spectrum).tocsr())
    ours = eigenvalues(counted, 5, confirm=False)
    arpack = Counted(counted.matrix)
    reference = scipy.sparse.linalg.eigsh(arpack, 5, which="LA", tol=1e-9, v0=np.ones(2000))[0]
    assert_allclose(ours.values, np.sort(reference), rtol=1e-9)
    assert counted.products == ours.n_hvp <= arpack.products
    assert np.isnan(ours.miss_probability)


def test_without_a_second_look_copies_are_missed_and_with_one_they_are_not():
    spectrum = np.concatenate([[3.0, 3.0, 2.0], np.linspace(-1.0, 1.0, 297)])
    H = aslinearoperator(scipy.sparse.diags_array(spectrum))
    assert_allclose(eigenvalues(H, 2, confirm=False).values, [2.0, 3.0], atol=1e-9)
    assert_allclose(eigenvalues(H, 2).values, [3.0, 3.0], atol=1e-9)


def test_a_budget_gives_what_there_is_with_honest_residuals():
    spectrum = np.linspace(0.0, 1.0, 500)
    H = Counted(with_spectrum(spectrum))
    found = eigenvalues(H, 3, max_hvp=20)
    assert not found.success
    assert found.n_hvp == H.products <= 20
    assert np.all(np.min(np.abs(found.values[:, None] - spectrum), axis=1) <= found.residuals)
    assert "not converged" in repr(found)


def test_float32_stays_float32():
    matrix = with_spectrum(np.linspace(0.0, 4.0, 150) ** 2).astype(np.float32)
    for H in (matrix, aslinearoperator(matrix)):
        found = eigenvalues(H, 3)
        assert found.values.dtype == found.vectors.dtype == np.float32
        exact = np.linalg.eigvalsh(matrix.astype(np.float64))[-3:]
        assert np.all(np.abs(found.values - exact) <= found.residuals)


def test_an_operator_of_a_float32_function_stays_float32():
    H = hs.HessianOperator(lambda x: np.sum(np.cosh(x)), np.linspace(0.0, 1.0, 200, dtype=np.float32))
    found = eigenvalues(H, 2)
    assert found.vectors.dtype == np.float32
    assert_allclose(found.values, np.cosh([1.0 - 1.0 / 199.0, 1.0]), rtol=1e-5)


def test_a_seed_decides_everything_and_inputs_are_left_alone():
    matrix = with_spectrum(np.linspace(-1.0, 2.0, 100))
    kept = matrix.copy()
    H = aslinearoperator(matrix)
    first, second = (eigenvalues(H, 3, rng=seed) for seed in (4, np.random.default_rng(4)))
    assert_array_equal(first.vectors, second.vectors)
    assert_array_equal(matrix, kept)


def test_one_parameter():
    found = eigenvalues(hs.HessianOperator(lambda x: x[0] ** 3, np.array([2.0])), 1)
    assert found.values.tolist() == [12.0]
    assert found.miss_probability == 0.0


@pytest.mark.parametrize(
    ("arguments", "error", "text"),
    [
        ((np.eye(3), 4), OptionError, "k is 4 for an operator of order 3"),
        ((np.eye(3), 0), OptionError, "k is 0"),
        ((np.eye(3), 1, "XX"), OptionError, "which is 'XX'"),
        ((np.zeros((0, 0)), 1), ShapeMismatchError, "order 0"),
        ((np.ones((2, 3)), 1), ShapeMismatchError, "shape"),
        (("H", 1), ShapeMismatchError, "H is str"),
        ((1j * np.eye(3), 1), DtypeError, "complex"),
        ((np.array([[1.0, 2.0], [0.0, 1.0]]), 1), OptionError, "not symmetric"),
        ((np.diag([1.0, np.nan]), 1), NonFiniteError, "NaN"),
    ],
)
def test_wrong_arguments_are_refused(arguments, error, text):
    with pytest.raises(error, match=text):
        eigenvalues(*arguments)


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"max_hvp": 2}, "max_hvp is 2"),
        ({"rtol": 2.0}, "rtol is 2.0"),
        ({"rng": "x"}, "rng is 'x'"),
        ({"block": 0}, "block is 0"),
    ],
)
def test_wrong_options_are_refused(options, text):
    with pytest.raises(OptionError, match=text):
        eigenvalues(np.eye(50), 3, **options)


@pytest.mark.parametrize("block", [1, 2])
def test_an_operator_that_is_not_symmetric_is_noticed_without_a_product(block):
    matrix = np.random.default_rng(0).standard_normal((80, 80))
    with pytest.raises(OptionError, match="not symmetric"):
        eigenvalues(aslinearoperator(matrix), 2, block=block)


def test_products_that_are_not_finite_are_an_error():
    H = LinearOperator((60, 60), matvec=lambda v: np.full(60, np.nan), dtype=float)
    with pytest.raises(NonFiniteError, match="product 1 holds NaN"):
        eigenvalues(H, 2)


def test_a_tolerance_out_of_reach_is_an_error():
    noise = np.random.default_rng(0)
    matrix = with_spectrum(np.linspace(0.0, 1.0, 130))
    H = LinearOperator((130, 130), matvec=lambda v: matrix @ v.ravel() + 1e-9 * noise.standard_normal(130), dtype=float)
    with pytest.raises(ConvergenceError, match="residuals are up to"):
        eigenvalues(H, 2, rtol=1e-14)


@pytest.mark.parametrize("which", ["SA", "BE"])
def test_a_crowd_at_an_end_takes_a_look_at_everything_at_most(which: str) -> None:
    """The smallest eigenvalues of a decaying spectrum are a crowd: restarts took more than twenty times as many products as n."""
    q, _ = np.linalg.qr(np.random.default_rng(0).standard_normal((300, 300)))
    spectrum = np.sort(0.9 ** np.arange(300))
    matrix = (q * spectrum) @ q.T
    found = eigenvalues(aslinearoperator(0.5 * (matrix + matrix.T)), 4, which)
    expected = spectrum[:4] if which == "SA" else spectrum[[0, 1, -2, -1]]
    assert found.success
    assert found.n_hvp <= 600
    assert np.all(np.abs(found.values - expected) <= found.residuals)


def test_no_bound_is_zero_where_arithmetic_rounds():
    for matrix in (np.diag([1.0, 2.0, 3.0]), np.diag([1.0, 2.0, 3.0]).astype(np.float32)):
        found = eigenvalues(matrix, 2)
        assert np.all(found.residuals > 0.0)
        assert np.all(found.residuals < 100 * np.finfo(matrix.dtype).eps)
