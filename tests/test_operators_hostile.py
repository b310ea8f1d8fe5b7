"""Operators given what is not finite, nothing at all, seeds of every kind, and operators that raise."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy.sparse.linalg import ArpackNoConvergence, LinearOperator, aslinearoperator

import hessian as hs
from hessian.curvature import SharpnessMeter, block_spectra, eigenvalues, inverse_product, summary, trace
from hessian.errors import DtypeError, NonFiniteError, OptionError, ShapeMismatchError
from hessian.operators import DampedOperator, FisherOperator, MatrixOperator
from hessian.statistics import influence, leverage


def kink() -> hs.HessianOperator:
    """No second derivative at zero."""
    return hs.HessianOperator(lambda x: np.sum(np.abs(x) ** 1.5), np.zeros(3))


@pytest.mark.parametrize("use", [lambda H: H.solve(np.ones(3)), lambda H: H.eigsh(1)])
def test_operators_that_are_not_finite_say_so(use: Callable[[Any], Any]) -> None:
    with pytest.raises(NonFiniteError, match="HessianOperator holds NaN or inf"):
        use(kink())


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize("use", [lambda H: H.solve(np.ones(701)), lambda H: H.eigsh(2)])
def test_large_operators_that_are_not_finite_say_so(use: Callable[[Any], Any]) -> None:
    H = DampedOperator(aslinearoperator(np.diag(np.r_[np.nan, np.ones(700)])), 1.0)
    with pytest.raises(NonFiniteError, match="DampedOperator holds NaN or inf"):
        use(H)


def test_matrices_that_are_not_finite_are_not_called_lopsided() -> None:
    with pytest.raises(NonFiniteError, match="the matrix holds NaN or inf"):
        MatrixOperator(np.diag([1.0, np.nan]))


class Broken(Exception):
    """What a product raises."""


@pytest.mark.parametrize(
    "use",
    [
        lambda H: trace(H, 10),
        lambda H: eigenvalues(H, 2),
        lambda H: summary(H, 20),
        lambda H: DampedOperator(H, 1.0) @ np.ones(50),
        lambda H: inverse_product(H, np.ones(50)),
    ],
)
def test_what_a_product_raises_goes_through(use: Callable[[Any], Any]) -> None:
    def product(v: np.ndarray) -> np.ndarray:
        raise Broken

    with pytest.raises(Broken):
        use(LinearOperator((50, 50), matvec=product, dtype=float))


SEEDED: dict[str, Callable[[Any], Any]] = {
    "trace": lambda rng: trace(aslinearoperator(np.diag(np.arange(50.0))), 10, rng=rng),
    "blocks": lambda rng: block_spectra(aslinearoperator(np.eye(50)), {"all": slice(0, 50)}, max_hvp=12, rng=rng),
    "fisher": lambda rng: FisherOperator(lambda w: np.ones((3, 2)) @ w, np.ones((2, 2)), rng=rng),
    "sharpness": lambda rng: SharpnessMeter(lambda x: np.sum(x**2), rng=rng),
}


@pytest.mark.parametrize("use", SEEDED)
@pytest.mark.parametrize("rng", [-1, 1.5, True, "a", [1, 2], np.random.RandomState(0)], ids=str)
def test_seeds_that_are_none(use: str, rng: Any) -> None:
    with pytest.raises(OptionError, match=r"rng is .*expected a seed >= 0, a numpy\.random\.Generator or None"):
        SEEDED[use](rng)


@pytest.mark.parametrize("use", SEEDED)
def test_seeds_of_either_kind(use: str) -> None:
    for rng in (0, np.int64(3), np.random.default_rng(1), None):
        SEEDED[use](rng)


def test_points_without_parameters() -> None:
    F = FisherOperator(lambda w: np.zeros((3, 2)) + 0.0 * np.sum(w), np.zeros(0))
    assert F.diagonal().shape == F.standard_error.shape == (0,)
    assert F.to_dense().shape == (0, 0)
    with pytest.raises(ShapeMismatchError, match="x holds no numbers"):
        SharpnessMeter(lambda x: np.sum(x**2)).measure(np.zeros(0))
    assert "no points" in repr(SharpnessMeter(lambda x: np.sum(x**2)))


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("which", ["LA", "SA", "LM", "BE"])
def test_twenty_copies_out_of_two_eigenvalues(dtype: Any, which: str) -> None:
    """The Krylov space of one start is exhausted after two steps, and every restart ends in a breakdown."""
    q, _ = np.linalg.qr(np.random.default_rng(0).standard_normal((200, 200)))
    matrix = ((q * np.repeat([1.0, 50.0], 100)) @ q.T).astype(dtype)
    found = eigenvalues(aslinearoperator(0.5 * (matrix + matrix.T)), 20, which)
    expected = {"LA": [50.0] * 20, "SA": [1.0] * 20, "LM": [50.0] * 20, "BE": [1.0] * 10 + [50.0] * 10}[which]
    bound = found.residuals + 50.0 * 8.0 * np.finfo(dtype).eps
    assert np.all(np.abs(found.values - expected) <= bound)
    assert_allclose(found.vectors.T @ found.vectors, np.eye(20), atol=1e3 * np.finfo(dtype).eps)


MASKED = np.ma.array([1.0, 2.0, 3.0], mask=[False, True, False])
COMPLEX = np.array([1.0 + 1.0j, 2.0, 3.0])
TAKES: dict[str, Callable[[Any], Any]] = {
    "Hessian product": lambda v: hs.HessianOperator(lambda x: np.sum(x**3), np.ones(3)) @ v,
    "Hessian matvec": lambda v: hs.HessianOperator(lambda x: np.sum(x**3), np.ones(3)).matvec(v),
    "Jacobian product": lambda v: hs.JacobianOperator(lambda x: x**3, np.ones(3)) @ v,
    "matrix product": lambda v: MatrixOperator(np.eye(3)) @ v,
    "solve": lambda v: MatrixOperator(np.eye(3)).solve(v),
    "scaling": lambda v: DampedOperator(np.eye(3), 1.0, v),
    "start": lambda v: DampedOperator(np.eye(60), 1.0).eigsh(2, v0=v),
    "inverse_product": lambda v: inverse_product(np.eye(3), v),
    "influence, target": lambda v: influence(np.eye(3), np.eye(3), v),
    "influence, gradients": lambda v: influence(np.eye(3), v[None], np.ones(3)),
    "leverage": lambda v: leverage(np.eye(3), v[None]),
    "matrix": lambda v: MatrixOperator(v[:, None] * v),
    "trace": lambda v: trace(v[:, None] * v),
}


@pytest.mark.parametrize("use", TAKES)
@pytest.mark.parametrize("vector", [MASKED, COMPLEX], ids=["masked", "complex"])
def test_numbers_that_would_lose_a_mask_or_an_imaginary_part(use: str, vector: Any) -> None:
    with pytest.raises(DtypeError, match=r"is a masked array|dtype complex128"):
        TAKES[use](vector)


def test_iterative_eigenpairs_at_their_limits() -> None:
    values, vectors = DampedOperator(aslinearoperator(np.zeros((100, 100))), 0.0).eigsh(2)
    assert values.tolist() == [0.0, 0.0]
    assert_allclose(vectors.T @ vectors, np.eye(2))
    H = DampedOperator(aslinearoperator(np.diag(np.arange(1.0, 101.0))), 0.0)
    for wrong in (np.ones(3), np.ones(300)):
        with pytest.raises(ShapeMismatchError, match="Pass a vector of 100 numbers"):
            H.eigsh(2, v0=wrong)
    assert_allclose(H.eigsh(2, v0=np.ones(100))[0], [99.0, 100.0])
    with pytest.raises(OptionError, match="rtol is nan"):
        H.solve(np.ones(100), rtol=np.nan)


def test_exact_summaries_refuse_bounds_that_do_not_hold() -> None:
    with pytest.raises(OptionError, match="lower_bound is 5, and H has an eigenvalue of at most 1"):
        summary(np.diag([1.0, 2.0]), lower_bound=5.0)
    assert summary(np.diag([1.0, 2.0]), lower_bound=1.0).is_exact


def test_what_arpack_says_otherwise_goes_through() -> None:
    H = DampedOperator(aslinearoperator(np.diag(np.linspace(0.0, 1.0, 300) ** 3)), 0.0)
    with pytest.raises(ArpackNoConvergence):
        H.eigsh(5, which="SA", maxiter=1)
