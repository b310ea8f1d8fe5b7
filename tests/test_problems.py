"""Problems with known answers: curvature in closed form, and the derivatives that trip other libraries."""

from __future__ import annotations

import decimal
from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import Any

import numpy as np
import pytest
import scipy.optimize
import scipy.sparse
from numpy import asarray
from numpy.testing import assert_allclose, assert_array_equal

import hessian as hs
from hessian.errors import LeavesTapeError

Array = np.ndarray


def assert_relative(actual: Any, expected: Any, tolerance: float) -> None:
    """Compare arrays relative to the largest expected entry."""
    expected = np.asarray(expected)
    assert np.shape(actual) == expected.shape
    assert_allclose(actual, expected, rtol=0, atol=tolerance * max(np.max(abs(expected)), 1.0))


# Curvature with closed forms.


@pytest.fixture(scope="module")
def digits() -> tuple[Array, Array]:
    """Give the 1797 x 64 digits, scaled to [0, 1], and their labels."""
    datasets = pytest.importorskip("sklearn.datasets")
    x, y = datasets.load_digits(return_X_y=True)
    return x / 16.0, y


# A tenth of the largest eigenvalue of X'X / n, from the exact integer matrix with 40 digits.
DIGITS_LARGEST = 1.04552996869546


def softmax_loss(weights: Any, x: Array, y: Array) -> Any:
    """Average the cross-entropy of a linear model with weights (K, d)."""
    logits = x @ weights.T
    return np.mean(hs.special.logsumexp(logits, axis=1) - logits[np.arange(len(y)), y])


def test_digits_softmax_hessian_at_zero(digits: tuple[Array, Array]) -> None:
    x, y = digits
    operator = hs.HessianOperator(softmax_loss, np.zeros((10, 64)), x, y)
    factor = (np.eye(10) - np.ones((10, 10)) / 10) / 10
    expected = np.kron(factor, x.T @ x / len(y))
    dense = operator.to_dense()
    assert_allclose(dense, expected, rtol=0, atol=1e-12 * expected.max())
    assert_allclose(np.trace(dense), 13.512779111, rtol=1e-10)
    assert_allclose(np.linalg.eigvalsh(dense)[-1], DIGITS_LARGEST, rtol=1e-10)
    assert_allclose(np.sum(operator.diagonal()), 13.512779111, rtol=1e-10)


def test_digits_softmax_largest_eigenvalue_without_the_matrix(digits: tuple[Array, Array]) -> None:
    x, y = digits
    operator = hs.HessianOperator(softmax_loss, np.zeros((10, 64)), x, y)
    values = operator.eigsh(2, which="LA", v0=np.random.default_rng(0).standard_normal(640))
    values = values[0] if isinstance(values, tuple) else values
    assert_allclose(np.max(values), DIGITS_LARGEST, rtol=1e-10)


def test_breast_cancer_logistic_optimum() -> None:
    datasets = pytest.importorskip("sklearn.datasets")
    x, labels = datasets.load_breast_cancer(return_X_y=True)
    x = (x - x.mean(axis=0)) / x.std(axis=0)
    signs = np.where(labels == 1, 1.0, -1.0)

    def loss(w: Any) -> Any:
        return np.sum(np.logaddexp(0.0, -signs * (x @ w[1:] + w[0]))) + 0.5 * w[1:] @ w[1:]

    w = np.zeros(31)
    for _ in range(30):
        value, gradient = hs.value_and_grad(loss)(w)
        step = np.linalg.solve(hs.hessian(loss)(w), gradient)
        length = 1.0
        while loss(w - length * step) > value - 1e-4 * length * gradient @ step and length > 1e-6:
            length *= 0.5
        w = w - length * step
        if np.max(abs(gradient)) < 1e-11:
            break
    dense = hs.hessian(loss)(w)
    spectrum = np.linalg.eigvalsh(dense)
    assert np.linalg.norm(hs.grad(loss)(w)) < 1e-9
    assert_allclose(loss(w), 37.758945961876, rtol=1e-12)
    assert_allclose(spectrum[[0, -1]], [0.99663, 85.57012], rtol=1e-5)
    assert_allclose(np.trace(dense), 272.2058998, rtol=1e-9)


@pytest.mark.parametrize(
    ("n", "smallest", "largest", "trace"),
    [
        (2, 0.39936076749, 1001.60063923, 1002.0),
        (10, 0.49875, 1762.8408815, 9018.0),
        (100, 0.498753, 1801.6052439, 99198.0),
    ],
)
def test_rosen_spectrum_at_its_minimum(n: int, smallest: float, largest: float, trace: float) -> None:
    dense = hs.hessian(scipy.optimize.rosen)(np.ones(n))
    spectrum = np.linalg.eigvalsh(dense)
    assert_allclose(spectrum[0], smallest, rtol=1e-5 if n > 2 else 1e-9)
    assert_allclose(spectrum[-1], largest, rtol=1e-10)
    assert_allclose(np.trace(dense), trace, rtol=1e-14)


@pytest.mark.parametrize("n", [2, 3, 10, 100])
def test_rosen_of_scipy_itself(n: int) -> None:
    rng = np.random.default_rng(n)
    x, v = rng.standard_normal(n), rng.standard_normal(n)
    assert_allclose(hs.value_and_grad(scipy.optimize.rosen)(x)[0], scipy.optimize.rosen(x), rtol=1e-14)
    assert_relative(hs.grad(scipy.optimize.rosen)(x), scipy.optimize.rosen_der(x), 1e-12)
    assert_relative(hs.hessian(scipy.optimize.rosen)(x), scipy.optimize.rosen_hess(x), 1e-12)
    assert_relative(hs.hvp(scipy.optimize.rosen, x, v), scipy.optimize.rosen_hess_prod(x, v), 1e-12)
    operator = hs.HessianOperator(scipy.optimize.rosen, x)
    assert_relative(operator @ v, scipy.optimize.rosen_hess_prod(x, v), 1e-12)


@pytest.mark.parametrize("symmetric", [True, False])
def test_quadratic_form(symmetric: bool) -> None:
    rng = np.random.default_rng(0)
    a, b, x = rng.standard_normal((6, 6)), rng.standard_normal(6), rng.standard_normal(6)
    a = a + a.T if symmetric else a

    def quadratic(x: Any) -> Any:
        return 0.5 * x @ a @ x - b @ x

    assert_relative(hs.grad(quadratic)(x), 0.5 * (a + a.T) @ x - b, 1e-14)
    assert_relative(hs.hessian(quadratic)(x), 0.5 * (a + a.T), 1e-14)


@pytest.mark.parametrize("n", [5, 60])
def test_discrete_laplacian_spectrum(n: int) -> None:
    laplacian = scipy.sparse.diags_array([-1.0, 2.0, -1.0], offsets=[-1, 0, 1], shape=(n, n), format="csr")
    expected = 2.0 - 2.0 * np.cos(np.arange(1, n + 1) * np.pi / (n + 1))

    def by_matrix(u: Any) -> Any:
        return 0.5 * u @ (laplacian @ u)

    def by_differences(u: Any) -> Any:
        return 0.5 * (np.sum(np.diff(u) ** 2) + u[0] ** 2 + u[-1] ** 2)

    for energy in (by_matrix, by_differences):
        dense = hs.hessian(energy)(np.random.default_rng(1).standard_normal(n))
        assert_allclose(dense, laplacian.toarray(), atol=1e-14)
        assert_allclose(np.linalg.eigvalsh(dense), expected, atol=1e-12)


# Derivatives that trip other libraries.


def root_where_positive(x: Any) -> Any:
    return np.sum(np.where(x > 0, np.sqrt(x), 0.0))


def log_where_positive(x: Any) -> Any:
    return np.sum(np.where(x > 0, np.log(np.where(x > 0, x, 1.0)) * np.sqrt(x), 0.0))


@pytest.mark.parametrize("f", [root_where_positive, log_where_positive])
def test_where_hides_the_branch_not_taken(f: Callable[[Any], Any]) -> None:
    x, v = np.zeros(2), np.array([1.0, 2.0])
    assert_array_equal(hs.grad(f)(x), np.zeros(2))
    assert_array_equal(hs.hessian(f)(x), np.zeros((2, 2)))
    assert_array_equal(hs.hvp(f, x, v), np.zeros(2))
    assert hs.jvp(f, x, v) == (0.0, 0.0)
    assert hs.grad(f)(np.array(0.0)) == 0.0
    assert hs.hessian(f)(np.array(0.0)) == 0.0


def test_where_hides_the_branch_not_taken_next_to_one_taken() -> None:
    x = np.array([0.0, 4.0])
    assert_array_equal(hs.grad(root_where_positive)(x), [0.0, 0.25])
    assert_array_equal(hs.hessian(root_where_positive)(x), np.diag([0.0, -1.0 / 32.0]))


@pytest.mark.parametrize(
    "floor",
    [
        lambda x: np.maximum(x, 0.0),
        lambda x: np.fmax(0.0, x),
        lambda x: np.clip(x, 0.0, None),
        lambda x: np.where(x > 0, x, 0.0),
    ],
    ids=["maximum", "fmax", "clip", "where"],
)
@pytest.mark.parametrize(
    "root", [np.sqrt, lambda y: y**0.5, lambda y: y**1.5, np.cbrt], ids=["sqrt", "0.5", "1.5", "cbrt"]
)
def test_an_infinite_slope_stops_at_an_element_not_taken(
    root: Callable[[Any], Any], floor: Callable[[Any], Any]
) -> None:
    """Left of zero root(max(x, 0)) is constant: 0 * inf = 0 in the branch not taken, at first and second order."""
    x, v = np.array([-1.0, -3.0]), np.array([2.0, 5.0])

    def f(x: Any) -> Any:
        return np.sum(root(floor(x)))

    assert_array_equal(hs.grad(f)(x), np.zeros(2))
    assert_array_equal(hs.hessian(f)(x), np.zeros((2, 2)))
    assert_array_equal(hs.hvp(f, x, v), np.zeros(2))
    assert hs.jvp(f, x, v)[1] == 0.0


@pytest.mark.parametrize(
    "f",
    [
        lambda x: x.sum() * x[0].item(),
        lambda x: x.sum() * float(x[0]),
        lambda x: x.sum() * asarray(x)[0],
    ],
    ids=["item", "float", "asarray"],
)
def test_a_value_that_leaves_the_tape_is_an_error(f: Callable[[Any], Any]) -> None:
    x = np.array([1.0, 2.0, 3.0])
    for call in (hs.grad(f), hs.hessian(f), lambda x: hs.hvp(f, x, x), lambda x: hs.HessianOperator(f, x)):
        with pytest.raises(LeavesTapeError):
            call(x)


def slope_by_jvp(f: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """Differentiate a function of one number in forward mode."""
    return lambda x: hs.jvp(f, x, np.ones_like(x))[1]


@pytest.mark.parametrize("inner", [hs.grad, slope_by_jvp], ids=["reverse", "forward"])
@pytest.mark.parametrize("outer", [hs.grad, slope_by_jvp], ids=["reverse", "forward"])
def test_perturbations_are_not_confused(outer: Callable[..., Any], inner: Callable[..., Any]) -> None:
    assert outer(lambda x: x * inner(lambda y: x + y)(1.0))(1.0) == 1.0
    assert outer(lambda x: x * inner(lambda y: x * y)(2.0))(3.0) == 6.0
    # x (d/dy) x y^2 = 2 x^2 y at y = x^2, the inner point depending on x too: 2 x^4, slope 8 x^3.
    assert outer(lambda x: x * inner(lambda y: x * y**2)(x**2))(2.0) == 64.0


def product_hessian(x: Array) -> Array:
    """Give the Hessian of the product of all entries, without dividing."""
    n = x.size
    dense = np.zeros((n, n))
    for i in range(n):
        for j in range(n):
            if i != j:
                dense[i, j] = np.prod(np.delete(x, [i, j]))
    return dense


@pytest.mark.parametrize("zeros", [[], [1], [0, 3], [1, 2, 4], [0, 1, 2, 3, 4]])
def test_product_with_zeros(zeros: list[int]) -> None:
    x = np.array([1.5, -2.0, 3.0, 0.5, -1.25])
    x[zeros] = 0.0
    assert_allclose(hs.grad(np.prod)(x), [np.prod(np.delete(x, i)) for i in range(5)], rtol=1e-14)
    assert_allclose(hs.hessian(np.prod)(x), product_hessian(x), rtol=1e-13)
    v = np.array([1.0, -1.0, 0.5, 2.0, 3.0])
    assert_allclose(hs.hvp(np.prod, x, v), product_hessian(x) @ v, rtol=1e-13, atol=1e-14)


def test_product_along_an_axis_with_zeros() -> None:
    x = np.array([[2.0, 0.0, 3.0], [0.0, 5.0, 0.0], [1.0, 2.0, 4.0]])
    weights = np.array([1.0, -2.0, 3.0])
    dense = hs.hessian(lambda x: np.prod(x, axis=1) @ weights)(x).reshape(9, 9)
    expected = np.zeros((9, 9))
    for row in range(3):
        expected[3 * row : 3 * row + 3, 3 * row : 3 * row + 3] = weights[row] * product_hessian(x[row])
    assert_allclose(dense, expected, rtol=1e-13)


def test_third_derivative_of_a_product_of_zeros() -> None:
    third = hs.jacobian(hs.hessian(np.prod))(np.zeros(3))
    expected = np.zeros((3, 3, 3))
    for i, j, k in [(0, 1, 2), (0, 2, 1), (1, 0, 2), (1, 2, 0), (2, 0, 1), (2, 1, 0)]:
        expected[i, j, k] = 1.0
    assert_allclose(third, expected, atol=1e-15)


@pytest.mark.parametrize(
    ("power", "first", "second"),
    [(0, 0.0, 0.0), (1, 1.0, 0.0), (2, 0.0, 2.0), (3, 0.0, 0.0), (4, 0.0, 0.0)],
)
@pytest.mark.parametrize("kind", [int, float, np.float64, np.array], ids=lambda kind: kind.__name__)
def test_whole_powers_at_zero(power: int, first: float, second: float, kind: Callable[[float], Any]) -> None:
    exponent = kind(float(power))
    for f in (lambda x: x**exponent, lambda x: np.power(x, exponent)):
        assert hs.grad(f)(0.0) == first
        assert hs.hessian(f)(0.0) == second
        assert hs.hvp(f, np.array(0.0), np.array(3.0)) == 3.0 * second


def test_power_zero_is_constant_everywhere() -> None:
    x = np.array([-2.0, 0.0, 1.5])
    assert_array_equal(hs.grad(lambda x: np.sum(x**0))(x), np.zeros(3))
    assert_array_equal(hs.hessian(lambda x: np.sum(x**0.0))(x), np.zeros((3, 3)))


@pytest.mark.parametrize("y", [0.5, 1.0, 2.0, 3.7])
def test_zero_to_a_positive_power(y: float) -> None:
    for f in (lambda y: 0.0**y, lambda y: np.power(0.0, y)):
        assert hs.grad(f)(y) == 0.0
        assert hs.hessian(f)(y) == 0.0


@pytest.mark.parametrize(("y", "second"), [(2.0, 2.0), (3.0, 0.0), (5.0, 0.0)])
def test_power_in_both_arguments_at_a_zero_base(y: float, second: float) -> None:
    dense = hs.hessian(lambda p: p[0] ** p[1])(np.array([0.0, y]))
    assert_array_equal(dense, [[second, 0.0], [0.0, 0.0]])
    assert_array_equal(hs.grad(lambda p: p[0] ** p[1])(np.array([0.0, y])), [0.0, 0.0])


def test_negative_base_with_a_constant_exponent() -> None:
    x = np.array([-2.0, -0.5])
    assert_allclose(hs.grad(lambda x: np.sum(x**3))(x), 3 * x**2, rtol=1e-15)
    assert_allclose(hs.hessian(lambda x: np.sum(x**3.0))(x), np.diag(6 * x), rtol=1e-15)


@pytest.mark.parametrize("shape", [(1,), (3,), (2, 2)])
def test_norm_at_zero(shape: tuple[int, ...]) -> None:
    """The gradient is the subgradient of least norm, zero; the Hessian does not exist and must not look finite."""
    x = np.zeros(shape)
    assert_array_equal(hs.grad(np.linalg.norm)(x), x)
    if x.size > 1:
        with np.errstate(all="ignore"):
            assert not np.isfinite(hs.hessian(np.linalg.norm)(x)).all()


def test_norm_of_rows_with_a_zero_row() -> None:
    x = np.array([[3.0, 4.0], [0.0, 0.0]])
    found = hs.grad(lambda x: np.sum(np.linalg.norm(x, axis=1)))(x)
    assert_array_equal(found, [[0.6, 0.8], [0.0, 0.0]])


def test_norm_away_from_zero() -> None:
    x = np.array([1.0, -2.0, 2.0])
    expected = (np.eye(3) - np.outer(x, x) / 9.0) / 3.0
    assert_allclose(hs.hessian(np.linalg.norm)(x), expected, rtol=1e-14)


@pytest.mark.parametrize(("f", "slope"), [(np.abs, 0.0), (lambda x: np.maximum(x, 0.0), None)], ids=["abs", "relu"])
def test_kinks_stay_between_their_one_sided_slopes(f: Callable[[Any], Any], slope: float | None) -> None:
    found = hs.grad(f)(0.0)
    assert -1.0 <= found <= 1.0
    assert slope is None or found == slope
    assert hs.hessian(f)(0.0) == 0.0


# Linear algebra, forward over reverse.

_RNG = np.random.default_rng(7)
GENERAL = _RNG.standard_normal((4, 4)) + 2 * np.eye(4)
DIRECTION = _RNG.standard_normal((4, 4))
SYMMETRIC = np.array([[2.0, 0.3, -0.4], [0.3, 3.5, 0.2], [-0.4, 0.2, 5.0]])
SYMMETRIC_DIRECTIONS = np.array(
    [[[0.5, 1.0, -0.7], [1.0, 0.2, 0.4], [-0.7, 0.4, -1.1]], [[1.2, -0.3, 0.6], [-0.3, 0.8, 0.9], [0.6, 0.9, 0.1]]]
)


def test_slogdet_and_det() -> None:
    inverse = np.linalg.inv(GENERAL)
    product = -(inverse @ DIRECTION @ inverse).T

    def logdet(a: Any) -> Any:
        return np.linalg.slogdet(a)[1]

    gradient, found = hs.grad_and_hvp(logdet, GENERAL, DIRECTION)
    assert_relative(gradient, inverse.T, 1e-13)
    assert_relative(found, product, 1e-12)

    gradient, found = hs.grad_and_hvp(np.linalg.det, GENERAL, DIRECTION)
    det = np.linalg.det(GENERAL)
    assert_relative(gradient, det * inverse.T, 1e-12)
    assert_relative(found, det * (np.trace(inverse @ DIRECTION) * inverse.T + product), 1e-12)


def test_solve_and_inverse() -> None:
    b, c = np.arange(1.0, 5.0), np.array([1.0, -1.0, 2.0, 0.5])
    inverse = np.linalg.inv(GENERAL)
    # f = c' A^-1 b: gradient -A^-T c b' A^-T, and its derivative along V by the product rule.
    first = -np.outer(inverse.T @ c, inverse @ b)
    moved = -inverse @ DIRECTION @ inverse
    second = -np.outer(moved.T @ c, inverse @ b) - np.outer(inverse.T @ c, moved @ b)
    for f in (lambda a: c @ np.linalg.solve(a, b), lambda a: c @ np.linalg.inv(a) @ b):
        gradient, found = hs.grad_and_hvp(f, GENERAL, DIRECTION)
        assert_relative(gradient, first, 1e-12)
        assert_relative(found, second, 1e-12)


def test_solve_in_both_arguments() -> None:
    b = np.arange(1.0, 5.0)
    inverse = np.linalg.inv(GENERAL)
    c = np.array([1.0, -1.0, 2.0, 0.5])
    cross = hs.HessianOperator(lambda p: c @ np.linalg.solve(p[0], p[1]), (GENERAL, b)).to_dense()
    assert_relative(cross[16:, 16:], np.zeros((4, 4)), 1e-15)
    assert_relative(cross[:16, 16:].reshape(4, 4, 4), -np.einsum("i,jk->ijk", inverse.T @ c, inverse), 1e-12)


def decimal_cholesky(a: Sequence[Sequence[Decimal]]) -> list[list[Decimal]]:
    """Factor a small matrix in high precision."""
    n = len(a)
    lower = [[Decimal(0)] * n for _ in range(n)]
    for i in range(n):
        for j in range(i + 1):
            rest = a[i][j] - sum(lower[i][k] * lower[j][k] for k in range(j))
            lower[i][j] = rest.sqrt() if i == j else rest / lower[j][j]
    return lower


def decimal_matrix(s: Decimal, t: Decimal) -> list[list[Decimal]]:
    """Evaluate SYMMETRIC + s V + t W in high precision."""
    terms = zip(SYMMETRIC.flat, SYMMETRIC_DIRECTIONS[0].flat, SYMMETRIC_DIRECTIONS[1].flat, strict=True)
    flat = [Decimal(float(a)) + s * Decimal(float(v)) + t * Decimal(float(w)) for a, v, w in terms]
    return [flat[3 * i : 3 * i + 3] for i in range(3)]


def mixed_difference(f: Callable[[list[list[Decimal]]], Decimal]) -> float:
    """Differentiate once along V and once along W, by differences with 60 digits and a step of 1e-12 (error 1e-24)."""
    with decimal.localcontext() as context:
        context.prec = 60
        h = Decimal("1e-12")
        corners = [(1, 1, 1), (1, -1, -1), (-1, 1, -1), (-1, -1, 1)]
        total = sum(sign * f(decimal_matrix(s * h, t * h)) for s, t, sign in corners)
        return float(total / (4 * h * h))


def second_derivative(f: Callable[[Any], Any]) -> float:
    """Contract the library's Hessian-vector product at SYMMETRIC with V and W."""
    first, second = SYMMETRIC_DIRECTIONS
    found = float(np.sum(first * hs.hvp(f, SYMMETRIC, second)))
    assert_allclose(found, np.sum(second * hs.hvp(f, SYMMETRIC, first)), rtol=1e-11)
    return found


COEFFICIENTS = np.array([[1.0, 0.0, 0.0], [-2.0, 0.5, 0.0], [3.0, 1.5, -1.0]])


def test_cholesky_second_derivative() -> None:
    def high_precision(a: list[list[Decimal]]) -> Decimal:
        lower = decimal_cholesky(a)
        terms = (Decimal(float(COEFFICIENTS[i, j])) * lower[i][j] ** 2 for i in range(3) for j in range(3))
        return sum(terms, Decimal(0))

    def f(a: Any) -> Any:
        return np.sum(COEFFICIENTS * np.linalg.cholesky(a) ** 2)

    assert_allclose(second_derivative(f), mixed_difference(high_precision), rtol=1e-12)


def test_cholesky_log_determinant_has_the_closed_form() -> None:
    inverse = np.linalg.inv(SYMMETRIC)
    first, second = SYMMETRIC_DIRECTIONS

    def f(a: Any) -> Any:
        return 2 * np.sum(np.log(np.diag(np.linalg.cholesky(a))))

    assert_allclose(second_derivative(f), -np.trace(inverse @ first @ inverse @ second), rtol=1e-12)


def test_eigenvalues_second_derivative() -> None:
    values, vectors = np.linalg.eigh(SYMMETRIC)
    first, second = (vectors.T @ v @ vectors for v in SYMMETRIC_DIRECTIONS)
    for i in range(3):
        others = [j for j in range(3) if j != i]
        expected = sum(2 * first[i, j] * second[i, j] / (values[i] - values[j]) for j in others)
        assert_allclose(second_derivative(lambda a, i=i: np.linalg.eigh(a)[0][i]), expected, rtol=1e-11)


def test_eigenvectors_second_derivative() -> None:
    """U diag(lambda^3) U' is A^3: its second derivative is a sum of words in A, V and W."""

    def f(a: Any) -> Any:
        values, vectors = np.linalg.eigh(a)
        return np.sum(COEFFICIENTS * ((vectors * values**3) @ vectors.T))

    a, (v, w) = SYMMETRIC, SYMMETRIC_DIRECTIONS
    words = a @ v @ w + a @ w @ v + v @ a @ w + w @ a @ v + v @ w @ a + w @ v @ a
    assert_allclose(second_derivative(f), np.sum(COEFFICIENTS * words), rtol=1e-11)


def test_eigenvectors_projected_second_derivative() -> None:
    """The leading eigenvector's projector against two-by-two closed forms, which the complex step differentiates."""

    def by_library(p: Any) -> Any:
        a = np.stack([np.stack([p[0], p[1]]), np.stack([p[1], p[2]])])
        leading = np.linalg.eigh(a)[1][:, 1]
        return (leading[0] * 2.0 + leading[1]) ** 2

    def gradient_by_hand(p: Array) -> Array:
        # With delta = (a - c)/2, r = sqrt(delta^2 + b^2) the projector is [[1 + delta/r, b/r], [b/r, 1 - delta/r]] / 2.
        delta, b = (p[0] - p[2]) / 2, p[1]
        r = np.sqrt(delta**2 + b**2)
        along_delta = 1.5 * (1 / r - delta**2 / r**3) - 2 * b * delta / r**3
        along_b = -1.5 * delta * b / r**3 + 2 * (1 / r - b**2 / r**3)
        return np.array([along_delta / 2, along_b, -along_delta / 2])

    p = np.array([1.3, 0.6, -0.4])
    expected = np.stack([gradient_by_hand(p + 1e-30j * e).imag / 1e-30 for e in np.eye(3)])
    assert_allclose(hs.grad(by_library)(p), gradient_by_hand(p), rtol=1e-12)
    assert_relative(hs.hessian(by_library)(p), expected, 1e-12)
