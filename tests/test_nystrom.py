"""Nystrom's approximation: right by its own bound, loud where H is not semidefinite, and worth its products as a preconditioner."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.sparse
from numpy.testing import assert_allclose
from scipy.sparse.linalg import LinearOperator, aslinearoperator
from spectra import with_spectrum

import hessian as hs
from hessian.curvature import NystromApproximation, inverse_product, nystrom
from hessian.errors import ConvergenceError, NonFiniteError, OptionError, ShapeMismatchError
from hessian.operators import DampedOperator

N = 150


SPECTRA = {
    "exponential": 0.8 ** np.arange(N),
    "polynomial": np.arange(1.0, N + 1.0) ** -2.0,
    "flat": np.linspace(0.9, 1.1, N),
    "low rank": np.r_[5.0, 3.0, 1.0, np.zeros(N - 3)],
    "rank one": np.r_[2.0, np.zeros(N - 1)],
    "clusters": np.repeat([100.0, 1.0, 1e-3], [5, 20, N - 25]),
    "wide": np.logspace(0, -16, N),
}


@pytest.mark.parametrize("name", SPECTRA)
def test_the_error_is_within_its_bound_and_the_bound_is_of_its_size(name: str) -> None:
    H = with_spectrum(SPECTRA[name])
    for seed in range(20):
        found = nystrom(aslinearoperator(H), 20, rng=seed)
        error = np.linalg.norm(H - found.to_dense(), 2)
        assert error <= found.error_bound
        assert error >= found.error_estimate - 1e-12 * SPECTRA[name].max()
        assert found.error_bound <= 3.0 * error + 1e-9 * SPECTRA[name].max()
        assert found.n_hvp <= 30
        assert found.miss_probability == 1e-3
        assert np.all(np.diff(found.values) <= 0.0)
        assert found.values[-1] >= 0.0
        assert_allclose(found.vectors.T @ found.vectors, np.eye(20), atol=1e-12)


def test_few_looks_at_the_error_give_a_wide_bound_and_none_give_none() -> None:
    H = with_spectrum(SPECTRA["polynomial"])
    one = [nystrom(aslinearoperator(H), 20, max_hvp=21, rng=seed) for seed in range(50)]
    assert all(np.linalg.norm(H - found.to_dense(), 2) <= found.error_bound < np.inf for found in one)
    none = nystrom(aslinearoperator(H), 20, max_hvp=20)
    assert none.error_bound == np.inf
    assert np.isnan(none.error_estimate)
    assert none.n_hvp == 20
    assert "error not looked at" in repr(none)


def test_the_error_is_near_that_of_the_best_approximation() -> None:
    """At a rank of 40 of a spectrum that halves, no worse than the tenth eigenvalue before."""
    spectrum = 0.5 ** np.arange(N)
    found = nystrom(aslinearoperator(with_spectrum(spectrum)), 40)
    assert found.error_bound < spectrum[30]
    assert_allclose(found.values[:10], spectrum[:10], rtol=1e-8)


@pytest.mark.parametrize(
    "spectrum", [-SPECTRA["exponential"], np.r_[SPECTRA["exponential"][:-1], -1.0], np.r_[np.ones(N - 1), -1e-3]]
)
def test_an_indefinite_operator_is_refused(spectrum: np.ndarray) -> None:
    for seed in range(5):
        H = with_spectrum(spectrum)
        with pytest.raises(
            OptionError, match=r"H is not positive semidefinite: it has an eigenvalue of at most -.*DampedOperator"
        ):
            nystrom(aslinearoperator(H), 20, rng=seed, max_hvp=80)
    assert nystrom(DampedOperator(H, 1.1), 20).error_bound < 3.0


def test_what_is_said_of_a_negative_eigenvalue_is_so() -> None:
    """It is the quotient of a vector, so not below the lowest."""
    H = with_spectrum(np.r_[SPECTRA["exponential"][:-1], -0.01])
    with pytest.raises(OptionError) as caught:
        nystrom(aslinearoperator(H), 20, max_hvp=100)
    said = float(str(caught.value).split("at most ")[1].split(". ")[0])
    assert -0.0101 <= said < 0.0


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("n", [1, 2, 7])
def test_a_sketch_of_everything_is_exact(n: int, dtype: Any) -> None:
    H = with_spectrum(np.arange(1.0, n + 1.0)).astype(dtype)
    eps = float(np.finfo(dtype).eps)
    for found in (nystrom(H, n), nystrom(aslinearoperator(H), n)):
        assert found.dtype == dtype
        assert_allclose(found.to_dense(), H, atol=100 * n * eps)
        assert found.miss_probability == 0.0
        assert found.error_bound < 1e4 * n * eps
        b = np.arange(1.0, n + 1.0, dtype=dtype)
        assert_allclose(found.solve(b), np.linalg.solve(H.astype(float), b), rtol=1e3 * n * eps)
        assert found.logdet() == pytest.approx(np.linalg.slogdet(H.astype(float))[1], abs=1e3 * n * eps)
        assert_allclose(found.spread(found.spread(b)), np.linalg.solve(H.astype(float), b), rtol=1e3 * n * eps)


@pytest.mark.parametrize("spectrum", [np.ones(130), np.r_[np.ones(65), np.zeros(65)]])
def test_products_stay_within_their_number(spectrum: np.ndarray) -> None:
    """Rounding of what is left looks like negative curvature, which is looked into without a product."""
    for scale in (1.0, 1e-140):
        for rank in (61, 110):
            H = aslinearoperator(scale * with_spectrum(spectrum))
            assert nystrom(H, rank).n_hvp <= rank + 10
            assert nystrom(H, rank, max_hvp=rank + 30).n_hvp <= rank + 30


def test_negative_curvature_beside_the_sketch_is_found_without_further_products() -> None:
    seen = 0
    for seed in range(30):
        H = with_spectrum(np.r_[-1e-3, np.linspace(0.0, 1.0, 59)], seed)
        try:
            nystrom(aslinearoperator(H), 30, max_hvp=50, rng=seed)
        except OptionError as error:
            seen += "is not positive semidefinite" in str(error)
    assert seen >= 25


def test_zero_is_zero() -> None:
    found = nystrom(aslinearoperator(np.zeros((30, 30))), 4)
    assert not found.to_dense().any()
    assert found.error_bound == 0.0
    assert_allclose(found.solve(np.ones(30), damping=2.0), 0.5 * np.ones(30))
    assert found.logdet(2.0) == pytest.approx(30 * np.log(2.0))
    assert_allclose(found.preconditioner() @ np.ones(30), np.ones(30))


@pytest.mark.parametrize("scale", [1e-140, 1e-20, 1e20, 1e140])
def test_scales_pass_through(scale: float) -> None:
    H = with_spectrum(SPECTRA["exponential"])
    plain, scaled = nystrom(aslinearoperator(H), 20), nystrom(aslinearoperator(scale * H), 20)
    assert_allclose(scaled.values, scale * plain.values, rtol=1e-7)
    assert scaled.error_bound == pytest.approx(scale * plain.error_bound, rel=1e-3)


@pytest.mark.parametrize("scale", [1e-300, 1e300])
def test_scales_whose_squares_do_not_fit_are_refused(scale: float) -> None:
    with pytest.raises(NonFiniteError, match="Pass a multiple of H"):
        nystrom(aslinearoperator(scale * with_spectrum(SPECTRA["exponential"])), 20)


def test_the_operator_is_its_matrix() -> None:
    found = nystrom(aslinearoperator(with_spectrum(SPECTRA["polynomial"])), 15)
    dense, rng = found.to_dense(), np.random.default_rng(1)
    v, V = rng.standard_normal(N), rng.standard_normal((N, 3))
    assert_allclose(dense, (found.vectors * found.values) @ found.vectors.T, atol=1e-15)
    assert_allclose(found @ v, dense @ v, atol=1e-14)
    assert_allclose(found @ V, dense @ V, atol=1e-14)
    assert_allclose(found.diagonal(), np.diag(dense), atol=1e-15)
    damped = dense + 1e-3 * np.eye(N)
    assert_allclose(found.solve(v, damping=1e-3), np.linalg.solve(damped, v), rtol=1e-9)
    assert_allclose(found.solve(V, damping=1e-3), np.linalg.solve(damped, V), rtol=1e-9)
    assert found.logdet(1e-3) == pytest.approx(np.linalg.slogdet(damped)[1], rel=1e-12)
    root = found.spread(np.eye(N), 1e-3)
    assert_allclose(root @ root.T @ damped, np.eye(N), atol=1e-9)
    assert found.rank == 15
    assert "rank 15: eigenvalues 0.98" in repr(found)
    assert "<table" in found._repr_html_()


def test_the_logdet_is_off_by_no_more_than_is_said() -> None:
    for spectrum in (SPECTRA["polynomial"], SPECTRA["clusters"], SPECTRA["exponential"]):
        H = with_spectrum(spectrum)
        found = nystrom(aslinearoperator(H), 20)
        truth = np.linalg.slogdet(H + 1e-2 * np.eye(N))[1]
        apart = truth - found.logdet(1e-2)
        assert -1e-9 <= apart <= (N - 20) * np.log1p(found.error_bound / 1e-2)


def test_the_preconditioned_condition_number_is_bounded() -> None:
    damping = 1e-4
    for name in ("exponential", "polynomial", "clusters", "low rank"):
        H = with_spectrum(SPECTRA[name])
        found = nystrom(aslinearoperator(H), 20)
        P = found.preconditioner(damping)
        values = np.sort(np.linalg.eigvals(P @ (H + damping * np.eye(N))).real)
        assert values[-1] / values[0] <= (found.values[-1] + damping + found.error_bound) / damping * (1 + 1e-6)
        assert "rank 20, damping 0.0001" in repr(P)


def test_refusals() -> None:
    H = np.eye(4)
    with pytest.raises(OptionError, match="rank is 5 for an operator of order 4"):
        nystrom(H, 5)
    with pytest.raises(OptionError, match="rank is 0"):
        nystrom(H, 0)
    with pytest.raises(OptionError, match="max_hvp is 2, expected an integer >= 3"):
        nystrom(H, 3, max_hvp=2)
    found = nystrom(H, 2)
    with pytest.raises(ConvergenceError, match="of rank 2 and order 4 is singular"):
        found.solve(np.ones(4))
    with pytest.raises(ConvergenceError, match="Pass damping > 0"):
        found.logdet()
    with pytest.raises(OptionError, match="damping is -1"):
        found.preconditioner(-1.0)
    with pytest.raises(ShapeMismatchError):
        found.solve(np.ones(3), damping=1.0)


class TestInverseProduct:
    """Solves with an approximation as preconditioner: the same solution by fewer products."""

    H = with_spectrum(np.r_[np.logspace(4, 0, 30), np.linspace(1.0, 0.5, N - 30)])
    b = np.random.default_rng(3).standard_normal((N, 2))

    def test_it_saves_products(self) -> None:
        plain = inverse_product(aslinearoperator(self.H), self.b, damping=1e-2)
        given = inverse_product(aslinearoperator(self.H), self.b, damping=1e-2, preconditioner="nystrom")
        exact = np.linalg.solve(self.H + 1e-2 * np.eye(N), self.b)
        assert_allclose(given.value, exact, atol=1e-7 * np.abs(exact).max())
        assert given.n_hvp < 0.5 * plain.n_hvp
        assert given.method == "cg"
        made = nystrom(aslinearoperator(self.H), 40)
        for preconditioner in (made, made.preconditioner(1e-2), made.preconditioner(1e-2).to_dense()):
            again = inverse_product(aslinearoperator(self.H), self.b, damping=1e-2, preconditioner=preconditioner)
            assert_allclose(again.value, exact, atol=1e-7 * np.abs(exact).max())
            assert again.n_hvp <= given.n_hvp - 38

    def test_within_a_budget(self) -> None:
        found = inverse_product(aslinearoperator(self.H), self.b, damping=1.0, max_hvp=30, preconditioner="nystrom")
        assert found.n_hvp <= 30
        least = inverse_product(aslinearoperator(self.H), self.b, damping=1.0, max_hvp=4, preconditioner="nystrom")
        assert least.n_hvp <= 4
        assert not least.success

    def test_refusals(self) -> None:
        H, b = aslinearoperator(self.H), self.b
        with pytest.raises(OptionError, match="MINRES is asked for with a preconditioner"):
            inverse_product(H, b, method="minres", preconditioner="nystrom")
        with pytest.raises(OptionError, match="preconditioner is 'jacobi'"):
            inverse_product(H, b, preconditioner="jacobi")
        with pytest.raises(ShapeMismatchError, match=r"the preconditioner has shape \(3, 3\)"):
            inverse_product(H, b, preconditioner=np.eye(3))
        with pytest.raises(OptionError, match=r"the preconditioner gives r\.P\^-1 r = -"):
            inverse_product(H, b, preconditioner=-np.eye(N))
        with pytest.raises(OptionError, match="H is not positive semidefinite"):
            inverse_product(aslinearoperator(self.H - 10.0 * np.eye(N)), b, preconditioner="nystrom", damping=20.0)


def logistic(n: int = 300, rows: int = 500) -> Any:
    """A penalised logistic regression whose features decay as 1 / k^2, in a random basis."""
    rng = np.random.default_rng(0)
    turn = np.linalg.qr(rng.standard_normal((n, n)))[0]
    X = rng.standard_normal((rows, n)) * (100.0 * np.arange(1, n + 1.0) ** -2) @ turn
    y = np.sign(X @ rng.standard_normal(n) / 30.0 + rng.standard_normal(rows))
    return lambda w: np.mean(np.log1p(np.exp(-y * (X @ w)))) + 1e-7 * np.sum(w**2)


class TestMinimize:
    """``preconditioner="nystrom"`` of truncated Newton."""

    def test_by_name_and_as_an_approximation(self) -> None:
        f, x0 = hs.record(logistic()), np.zeros(300)
        plain = hs.optimize.minimize(f, x0, method="trust-ncg")
        runs = [
            hs.optimize.minimize(f, x0, method="trust-ncg", options={"preconditioner": "nystrom"}) for _ in range(2)
        ]
        assert plain.success
        assert runs[0].success
        assert runs[0].n_hvp < 0.6 * plain.n_hvp
        assert runs[0].fun == pytest.approx(plain.fun, rel=1e-6)
        assert np.array_equal(runs[0].x, runs[1].x)
        once = nystrom(hs.HessianOperator(f, x0), 40)
        for given in (once, lambda x: nystrom(hs.HessianOperator(f, x), 40)):
            res = hs.optimize.minimize(f, x0, method="trust-ncg", options={"preconditioner": given})
            assert res.success
            assert res.fun == pytest.approx(plain.fun, rel=1e-6)

    def test_few_variables_and_negative_curvature(self) -> None:
        for n in (1, 3, 30):
            f = lambda x: np.sum((x**2 - 1.0) ** 2) + 0.1 * np.sum(x)
            x0 = np.full(n, 0.1)
            res = hs.optimize.minimize(f, x0, method="trust-ncg", options={"preconditioner": "nystrom"})
            assert res.success
            assert np.all(hs.hessian(f)(res.x).diagonal() > 0.0)

    def test_a_linear_function_and_float32(self) -> None:
        f = lambda x: np.sum(x**4)
        x0 = np.zeros(40, np.float32) + np.float32(0.5)
        res = hs.optimize.minimize(f, x0, method="trust-ncg", options={"preconditioner": "nystrom"})
        assert res.success
        assert res.x.dtype == np.float32
        flat = hs.optimize.minimize(
            lambda x: np.sum(x), np.zeros(3), method="trust-ncg", options={"preconditioner": "nystrom", "maxiter": 3}
        )
        assert flat.nit == 3

    def test_a_run_resumes_to_the_same_end(self, tmp_path: Path) -> None:
        f, x0 = logistic(60, 100), np.zeros(60)
        options = {"preconditioner": "nystrom", "checkpoint": tmp_path / "run", "checkpoint_every": 0.0}
        whole = hs.optimize.minimize(f, x0, method="trust-ncg", options={"preconditioner": "nystrom"})
        hs.optimize.minimize(f, x0, method="trust-ncg", options=options | {"maxiter": whole.nit - 2})
        rest = hs.optimize.minimize(f, x0, method="trust-ncg", options=options | {"resume": True})
        assert np.array_equal(rest.x, whole.x)
        assert rest.n_hvp == whole.n_hvp


def test_a_preconditioner_does_as_m_of_scipys_solvers() -> None:
    H = with_spectrum(np.r_[np.logspace(4, 0, 30), np.ones(N - 30)])
    found = nystrom(scipy.sparse.csr_array(H), 40)
    assert isinstance(found, NystromApproximation)
    assert isinstance(found.preconditioner(), LinearOperator)
    count = []
    scipy.sparse.linalg.cg(H, np.ones(N), M=found.preconditioner(), callback=count.append, rtol=1e-8)
    plain: list[Any] = []
    scipy.sparse.linalg.cg(H, np.ones(N), callback=plain.append, rtol=1e-8)
    assert len(count) < 0.3 * len(plain)
