"""Operators of somebody else's are looked at on every path: what is not symmetric is refused, not symmetrised."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy.sparse.linalg import LinearOperator, aslinearoperator

import hessian as hs
from hessian.curvature import diagonal, eigenvalues, inverse_product, summary, trace
from hessian.curvature.products import Products
from hessian.errors import DtypeError, OptionError, ShapeMismatchError
from hessian.operators import ChunkedOperator, DampedOperator, RestrictedOperator, ScaledOperator, SumOperator

N = 30
LOPSIDED = np.eye(N) + np.triu(np.random.default_rng(0).standard_normal((N, N)), 1)


class WithItsOwn(LinearOperator):
    """An operator that gives its diagonal and its matrix away, but not that it is not symmetric."""

    def __init__(self, matrix: np.ndarray) -> None:
        self.matrix = matrix
        super().__init__(matrix.dtype, matrix.shape)

    def _matvec(self, v: np.ndarray) -> np.ndarray:
        return self.matrix @ v

    def diagonal(self) -> np.ndarray:
        return np.diag(self.matrix)

    def to_dense(self) -> np.ndarray:
        return self.matrix


MADE: dict[str, Callable[[Any], Any]] = {
    "sum": lambda A: SumOperator([A, np.eye(N)]),
    "multiple": lambda A: ScaledOperator(A, 2.0),
    "damped": lambda A: DampedOperator(A, 1.0),
    "block": lambda A: RestrictedOperator(A, slice(0, N)),
    "chunks": lambda A: ChunkedOperator(lambda _: A, [0, 1], keep=2),
}
USES: dict[str, Callable[[Any], Any]] = {
    "solve": lambda H: H.solve(np.ones(N)),
    "eigsh": lambda H: H.eigsh(2),
    "to_dense": lambda H: H.to_dense(),
    "products": lambda H: [H @ v for v in np.random.default_rng(1).standard_normal((3, N))],
    "columns": lambda H: H @ np.random.default_rng(1).standard_normal((N, 3)),
}


@pytest.mark.parametrize("use", USES)
@pytest.mark.parametrize("made", MADE)
@pytest.mark.parametrize("wrap", [aslinearoperator, WithItsOwn])
def test_what_is_made_of_an_operator_that_is_not_symmetric_refuses(
    wrap: Callable[[Any], Any], made: str, use: str
) -> None:
    with pytest.raises(OptionError, match=r"is not symmetric: x\.Hy and y\.Hx differ by"):
        USES[use](MADE[made](wrap(LOPSIDED)))


@pytest.mark.parametrize("made", MADE)
def test_what_is_made_of_one_that_is_goes_through(made: str) -> None:
    matrix = LOPSIDED + LOPSIDED.T
    ours = MADE[made](matrix)
    for wrap in (aslinearoperator, WithItsOwn):
        theirs = MADE[made](wrap(matrix))
        assert_allclose(theirs.to_dense(), ours.to_dense(), atol=1e-12)
        assert_allclose(theirs.diagonal(), ours.diagonal(), atol=1e-12)
        assert_allclose(theirs.solve(np.ones(N)), ours.solve(np.ones(N)), rtol=1e-9)


@pytest.mark.parametrize("estimator", [trace, diagonal])
def test_a_diagonal_of_its_own_does_not_make_an_operator_symmetric(estimator: Callable[..., Any]) -> None:
    with pytest.raises(OptionError, match="is not symmetric"):
        estimator(WithItsOwn(LOPSIDED), N)
    found = estimator(WithItsOwn(np.diag(np.arange(30.0))), N)
    assert found.is_exact
    assert found.n_hvp == N


def test_asymmetry_that_the_first_direction_does_not_see() -> None:
    """The first product is with an eigenvector of both sides; later ones are compared with each other as well."""
    matrix = np.eye(N)
    matrix[1:, 1:] = LOPSIDED[1:, 1:]
    first = np.eye(N)[0]
    with pytest.raises(OptionError, match="is not symmetric"):
        inverse_product(aslinearoperator(matrix), np.stack([first, np.ones(N)], axis=1))
    H = DampedOperator(aslinearoperator(matrix), 1.0)
    assert np.array_equal(H @ first, 2.0 * first)
    directions = np.random.default_rng(1).standard_normal((3, N))
    with pytest.raises(OptionError, match="is not symmetric"):
        _ = [H @ v for v in directions]


def test_symmetric_operators_far_from_one_are_not_refused() -> None:
    for scale in (1e-150, 1e-12, 1e12, 1e150):
        H = aslinearoperator(scale * (LOPSIDED + LOPSIDED.T))
        assert eigenvalues(H, 2).success
        (DampedOperator(H, 0.0) @ np.full(N, 1e-100)).sum()
    small = aslinearoperator((LOPSIDED + LOPSIDED.T).astype(np.float32))
    assert ScaledOperator(small, 3.0).solve(np.ones(N)).dtype == np.float32


def test_operators_that_cannot_be_symmetric() -> None:
    with pytest.raises(DtypeError, match="an operator has dtype complex128"):
        ScaledOperator(aslinearoperator(1j * np.eye(3)), 2.0)
    with pytest.raises(ShapeMismatchError, match="Pass square ones"):
        ScaledOperator(aslinearoperator(np.ones((2, 3))), 2.0)
    whole = ScaledOperator(aslinearoperator(np.eye(3, dtype=int)), 0.5)
    assert (whole @ np.ones(3)).tolist() == [0.5, 0.5, 0.5]
    assert "taken to be symmetric" in repr(whole)


def test_gauss_newton_and_hessian_operators_are_symmetric_to_rounding() -> None:
    x = np.random.default_rng(0).standard_normal(6)
    H = hs.HessianOperator(lambda p: np.sum(np.exp(p) * np.roll(p, 1) ** 2), x)
    G = hs.GaussNewtonOperator(lambda p: np.sin(np.outer(p, p)).ravel(), lambda z: np.sum(z**4), x)
    for operator in (H, G):
        columns = operator @ np.eye(6)
        assert_allclose(columns, columns.T, atol=1e-13 * np.abs(columns).max())
        assert trace(operator).is_exact


def test_rounding_of_null_directions_is_no_asymmetry() -> None:
    """Products with null vectors of a large matrix are rounding, which has no symmetry."""
    q, _ = np.linalg.qr(np.random.default_rng(0).standard_normal((60, 60)))
    matrix = (q[:, :2] * [100.0, -100.0]) @ q[:, :2].T
    H = aslinearoperator(0.5 * (matrix + matrix.T))
    null = q[:, 2:]
    for operator in (DampedOperator(H, 0.0), RestrictedOperator(H, slice(0, 60))):
        for v in null.T[:10]:
            assert np.linalg.norm(operator @ v) < 1e-12
        assert np.linalg.norm(operator @ null) < 1e-10
    assert trace(RestrictedOperator(H, slice(0, 60)), 20, method="xtrace").value == pytest.approx(0.0, abs=1e-10)
    for seed in range(10):
        for max_hvp in (12, 20, 33):
            found = summary(H, max_hvp, rng=seed)
            assert abs(found.trace.value) <= 3.0 * found.trace.standard_error + 1e-11
    lopsided = matrix + 1e-3 * np.outer(q[:, 3], q[:, 4])
    with pytest.raises(OptionError, match="is not symmetric"):
        trace(aslinearoperator(lopsided), 20, method="xtrace")


def test_vectors_whose_products_do_not_mirror_each_other_are_seen():
    products = Products(aslinearoperator(np.eye(3)), "test")
    products(np.eye(3))
    products.check_symmetric(np.array([[2.0, 1.0], [1.0, 3.0]]))
    with pytest.raises(OptionError, match=r"H is not symmetric: x\.Hy and y\.Hx differ by 0\.5"):
        products.check_symmetric(np.array([[2.0, 1.0], [1.5, 3.0]]))
