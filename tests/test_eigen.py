"""Eigenvalues and eigenvectors at repeated eigenvalues: what treats the copies alike is smooth, the rest raises."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.linalg
from numpy.testing import assert_allclose, assert_array_equal

import hessian as hs


def _half(a):
    return 0.5 * (a + a.swapaxes(-1, -2))


def _with_eigenvalues(w):
    q = np.linalg.qr(np.random.default_rng(len(w)).normal(size=(len(w), len(w))))[0]
    return _half(q * w @ q.T)


MATRICES = {
    "identity": np.eye(3),
    "a pair": _with_eigenvalues([2.0, 2.0, 1.0]),
    "three and two": _with_eigenvalues([1.0, 1.0, 1.0, 3.0, 3.0]),
    "diagonal": np.diag([2.0, 1.0, 1.0, 2.0]),
    "apart": _with_eigenvalues([1.0, 2.0, 4.0]),
    "1e-14 apart": _with_eigenvalues([1.0, 1.0 + 1e-14, 2.0]),
    "1e-9 apart": _with_eigenvalues([1.0, 1.0 + 1e-9, 2.0]),
    "1e-6 apart": _with_eigenvalues([1.0, 1.0 + 1e-6, 2.0]),
}
# Where a gap is small, half the digits of the Hessian at worst.
TOLERANCE = {"1e-14 apart": 1e-12, "1e-9 apart": 2e-8, "1e-6 apart": 2e-9}
FUNCTIONS = {
    "sum": (np.sum, np.trace),
    "sum of cubes": (lambda w: np.sum(w**3), lambda a: np.trace(a @ a @ a)),
    "log-determinant": (lambda w: np.sum(np.log(w)), lambda a: np.linalg.slogdet(a)[1]),
    "product": (np.prod, np.linalg.det),
    "nonlinear": (lambda w: np.sum(w) ** 2 * np.sum(1 / w), lambda a: np.trace(a) ** 2 * np.trace(np.linalg.inv(a))),
}


@pytest.mark.parametrize("function", FUNCTIONS)
@pytest.mark.parametrize("matrix", MATRICES)
def test_functions_of_all_eigenvalues_alike(matrix, function):
    of_values, of_matrix = FUNCTIONS[function]
    a, f, reference = MATRICES[matrix], lambda a: of_values(np.linalg.eigvalsh(_half(a))), lambda a: of_matrix(_half(a))
    gradient, H = hs.grad(reference)(a), hs.hessian(reference)(a)
    assert_allclose(hs.grad(f)(a), gradient, atol=1e-13 * np.abs(gradient).max())
    assert_allclose(hs.grad(hs.record(f))(a), gradient, atol=1e-13 * np.abs(gradient).max())
    v = np.random.default_rng(0).normal(size=a.shape)
    product = np.tensordot(H, v)
    size = max(1.0, np.abs(H).max())
    tolerance = TOLERANCE.get(matrix, 2e-13) * size
    assert_allclose(hs.hessian(f)(a), H, atol=tolerance)
    assert_allclose(hs.hessian(hs.record(f))(a), H, atol=tolerance)
    assert_allclose(hs.hvp(f, a, v), product, atol=10 * tolerance)
    assert_allclose(hs.jvp(hs.grad(f), a, v)[1], product, atol=10 * tolerance)
    assert_allclose(hs.jvp(f, a, v)[1], np.sum(gradient * v), atol=1e-12 * size)


def test_stacks_of_matrices():
    x = np.stack([MATRICES["identity"], MATRICES["a pair"], MATRICES["apart"]])
    f = lambda x: np.sum(np.linalg.eigvalsh(_half(x)) ** 3)
    reference = lambda x: np.sum(np.einsum("bij,bjk,bki->b", _half(x), _half(x), _half(x)))
    assert_allclose(hs.hessian(f)(x), hs.hessian(reference)(x), atol=1e-12)
    assert_allclose(hs.hessian(hs.record(f))(x), hs.hessian(reference)(x), atol=1e-12)


def test_values_are_those_of_numpy():
    a = MATRICES["apart"]
    assert_array_equal(hs.jvp(np.linalg.eigvalsh, a, a)[0], np.linalg.eigvalsh(a))
    assert hs.value_and_grad(lambda a: np.linalg.eigh(a)[1][0, 0])(a)[0] == np.linalg.eigh(a)[1][0, 0]


@pytest.mark.parametrize(
    "f",
    [
        lambda a: np.linalg.eigvalsh(a)[0],
        lambda a: np.linalg.eigvalsh(a) @ np.arange(3.0),
        lambda a: np.linalg.eigh(a).eigenvalues[-1] ** 2,
        lambda a: np.linalg.eigh(a)[1][0, 0],
        lambda a: np.sum(np.linalg.eigh(a)[1] ** 3),
    ],
)
@pytest.mark.parametrize("a", [np.eye(3), _with_eigenvalues([2.0, 2.0, 2.0 + 1e-15])])
def test_what_tells_equal_eigenvalues_apart_raises(a, f):
    for derivative in (hs.grad(f), hs.grad(hs.record(f)), hs.hessian(f), hs.hessian(hs.record(f))):
        with pytest.raises(
            hs.errors.UndefinedDerivativeError,
            match=r"derivative of eigen(values|vectors): .* equal .*test_eigen.py:\d+: ",
        ):
            derivative(a)


def test_products_of_a_program_raise_as_well_where_nobody_asks_for_the_gradient():
    f = hs.record(lambda a: np.linalg.eigvalsh(a)[0])
    v = np.array([[1.0, 0.5], [0.5, -1.0]])
    for _ in range(3):
        hs.hvp(f, np.array([[2.0, 0.5], [0.5, 1.0]]), v)
    for _ in range(2):
        with pytest.raises(hs.errors.UndefinedDerivativeError, match=r"derivative of eigenvalues: .* equal"):
            hs.hvp(f, np.eye(2), v)


def test_what_leaves_the_equal_ones_alone_has_a_derivative():
    a = np.diag([2.0, 2.0, 1.0, 5.0])
    assert_allclose(hs.grad(lambda a: np.linalg.eigvalsh(a)[-1])(a), np.diag([0, 0, 0, 1.0]))
    assert_allclose(hs.hessian(lambda a: np.linalg.eigvalsh(_half(a))[-1])(a)[3, 0, 3, 0], 0.5 / 3)
    # The first component of the last eigenvector turns with the off-diagonal entry over the gap.
    gradient = hs.grad(lambda a: np.linalg.eigh(a)[1][0, -1])(a)
    assert_allclose(np.abs(gradient[3, 0]), 1 / 3)


def test_reverse_over_reverse_and_third_order_raise_where_eigenvalues_are_equal():
    f = lambda a: np.sum(np.linalg.eigvalsh(a) ** 3)
    with pytest.raises(hs.errors.UndefinedDerivativeError, match=r"in reverse, of the gradient .*hs\.hessian"):
        hs.jacobian(hs.grad(f))(np.eye(3))
    with pytest.raises(hs.errors.UndefinedDerivativeError, match="third derivative of eigenvalues"):
        hs.taylor(lambda t: f(np.eye(3) + t * MATRICES["apart"]), 0.0, 1.0, order=3)


def test_higher_orders_where_eigenvalues_are_apart():
    a, b = MATRICES["apart"], MATRICES["a pair"]
    found = hs.taylor(lambda t: np.sum(np.exp(np.linalg.eigvalsh(a + t * b))), 0.0, 1.0, order=3)
    t = np.linspace(-0.1, 0.1, 21)
    values = [np.trace(scipy.linalg.expm(a + s * b)) for s in t]
    assert_allclose(found, np.polynomial.polynomial.polyfit(t, values, 8)[:4], rtol=1e-7)
    hs.check_derivatives(lambda a: np.sum(np.linalg.eigh(a)[1] ** 3), a)


def test_forward_the_derivatives_at_equal_eigenvalues_are_one_sided():
    x = MATRICES["apart"]
    assert_allclose(hs.jvp(np.linalg.eigvalsh, np.eye(3), x)[1], np.linalg.eigvalsh(x), atol=1e-14)


@pytest.mark.parametrize("gap", [1e-3, 1e-5, 1e-6, 1e-7, 1e-8, 1e-9, 1e-12])
def test_hessians_through_eigenvectors_are_right_or_refused(gap):
    rng = np.random.default_rng(0)
    q = np.linalg.qr(rng.standard_normal((4, 4)))[0]
    a = (q * [1.0, 1.0 + gap, 2.0, 3.0]) @ q.T
    direction = rng.standard_normal((4, 4))
    direction = direction + direction.T

    def exponential(a):
        w, v = np.linalg.eigh(0.5 * (a + a.T))
        return np.sum((v * np.exp(w)) @ v.T)

    along = lambda t: np.sum(scipy.linalg.expm(a + t * direction))
    h = 1e-3
    truth = (16 * (along(h) + along(-h)) - along(2 * h) - along(-2 * h) - 30 * along(0.0)) / (12 * h * h)
    if gap < 2e-7:
        with pytest.raises(hs.errors.UndefinedDerivativeError, match=r"no correct digit|working precision"):
            hs.hvp(exponential, a, direction)
        return
    got = np.sum(direction * hs.hvp(exponential, a, direction))
    # Twice divided by the gap, rounding is what it is.
    assert_allclose(got, truth, rtol=1e-6 + 50 * np.finfo(float).eps / gap**2)


def test_errors_about_singular_values_say_which_eigenvalues_they_mean() -> None:
    for a in (np.diag([1.0, 1.0, 2.0]), np.diag([1.0, 0.0])):
        for f in (lambda a: np.linalg.svd(a)[0][0, 1], lambda a: np.linalg.svdvals(a)[-1] + a[0, 0]):
            with pytest.raises(
                hs.errors.UndefinedDerivativeError, match="the singular values and, before them, their negatives"
            ) as raised:
                hs.grad(f)(a)
            assert "(-0)" not in str(raised.value)
