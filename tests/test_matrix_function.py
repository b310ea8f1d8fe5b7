"""Functions of operators: against dense references, within bounds that are called so, and loud where f is not defined."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import scipy.linalg
import scipy.sparse
from numpy.testing import assert_allclose
from scipy.sparse.linalg import aslinearoperator

import hessian as hs
from hessian.curvature import MatrixFunction, matrix_function, quadratic_form
from hessian.errors import ConvergenceError, NonFiniteError, OptionError, ShapeMismatchError
from hessian.linalg.monotone import KNOWN, known
from hessian.operators import DampedOperator

N = 120
FUNCTIONS: dict[str, Callable[[Any], Any]] = {
    "sqrt": np.sqrt,
    "inverse_sqrt": lambda t: t**-0.5,
    "log": np.log,
    "inverse": lambda t: 1.0 / t,
    "exp": np.exp,
}
SPECTRA = {
    "linear": np.linspace(1.0, 4.0, N),
    "logarithmic": np.logspace(-3, 1, N),
    "polynomial": np.arange(1.0, N + 1.0) ** -2.0,
    "clusters": np.repeat([0.01, 1.0, 20.0], N // 3),
    "one outlier": np.r_[100.0, np.linspace(0.5, 1.0, N - 1)],
}


def turned(spectrum: np.ndarray, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """A symmetric matrix with random eigenvectors, and those."""
    q, _ = np.linalg.qr(np.random.default_rng(seed).standard_normal((len(spectrum), len(spectrum))))
    matrix = (q * spectrum) @ q.T
    return 0.5 * (matrix + matrix.T), q


def truth(spectrum: np.ndarray, q: np.ndarray, name: str, v: np.ndarray) -> np.ndarray:
    return q @ (FUNCTIONS[name](spectrum) * (q.T @ v))


@pytest.mark.parametrize("name", FUNCTIONS)
@pytest.mark.parametrize("kind", SPECTRA)
def test_the_error_is_within_its_bound(kind: str, name: str) -> None:
    spectrum = SPECTRA[kind]
    H, q = turned(spectrum)
    ends = {"lower_bound": spectrum.min() * (1 - 1e-12), "upper_bound": spectrum.max() * (1 + 1e-12)}
    for seed in range(5):
        v = np.random.default_rng(seed).standard_normal(N)
        exact = truth(spectrum, q, name, v)
        for rtol in (1e-2, 1e-10):
            found = matrix_function(aslinearoperator(H), name, v, rtol=rtol, **ends)
            error = np.linalg.norm(found.value - exact)
            assert found.is_bound
            assert found.success
            assert error <= found.error_bound == found.error_estimate
            form = quadratic_form(aslinearoperator(H), name, v, rtol=rtol, **ends)
            assert form.is_bound
            assert form.bounds[0] <= v @ exact <= form.bounds[1]
            assert abs(form.value - v @ exact) <= form.error_bound
            assert form.n_hvp <= found.n_hvp
        # Rounding of a steep function apart, as small as was asked for.
        if name in ("sqrt", "log", "exp") or kind == "linear":
            assert found.error_bound <= 2e-9 * np.linalg.norm(exact)


@pytest.mark.parametrize("name", FUNCTIONS)
@pytest.mark.parametrize("kind", SPECTRA)
def test_without_the_end_it_is_an_estimate_and_says_so(kind: str, name: str) -> None:
    spectrum = SPECTRA[kind]
    H, q = turned(spectrum)
    v = np.random.default_rng(1).standard_normal(N)
    exact = truth(spectrum, q, name, v)
    for func in (name, lambda t: FUNCTIONS[name](t)):
        found = matrix_function(aslinearoperator(H), func, v)
        assert not found.is_bound
        assert found.error_bound == np.inf
        assert np.linalg.norm(found.value - exact) <= 2.0 * found.error_estimate
        assert "error estimated at" in repr(found)
        form = quadratic_form(aslinearoperator(H), func, v)
        assert not form.is_bound
        assert abs(form.value - v @ exact) <= 2.0 * form.error_estimate
        assert form.bounds[0] <= v @ exact <= form.bounds[1]
        # Gauss's rule is a bound on its side where no eigenvalue is outside the domain.
        assert np.isinf(form.bounds).sum() == (1 if func is name == "exp" else 2)
    form = quadratic_form(aslinearoperator(H), name, v, lower_bound=0.0)
    assert form.bounds[0] <= v @ exact <= form.bounds[1]
    assert np.isinf(form.bounds).sum() == (0 if name == "sqrt" else 1)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_the_dense_way_and_its_rounding(name: str) -> None:
    spectrum = SPECTRA["logarithmic"]
    H, q = turned(spectrum)
    v = np.random.default_rng(1).standard_normal(N)
    exact = truth(spectrum, q, name, v)
    for func in (name, lambda t: FUNCTIONS[name](t)):
        found = matrix_function(H, func, v)
        assert found.n_hvp == 0
        assert found.method == "dense"
        assert found.is_bound == (func is name)
        assert np.linalg.norm(found.value - exact) <= found.error_estimate <= 1e-6 * np.linalg.norm(exact)
        form = quadratic_form(H, func, v)
        assert abs(form.value - v @ exact) <= form.error_estimate
        assert form.bounds[0] <= v @ exact <= form.bounds[1]


def test_it_is_scipys_function_of_matrices() -> None:
    H, _ = turned(np.linspace(0.5, 3.0, 30))
    v = np.random.default_rng(0).standard_normal(30)
    for func, theirs in ((np.exp, scipy.linalg.expm), (np.log, scipy.linalg.logm), (np.sqrt, scipy.linalg.sqrtm)):
        for operator in (H, aslinearoperator(H), scipy.sparse.csr_array(H)):
            assert_allclose(matrix_function(operator, func, v).value, theirs(H) @ v, atol=1e-8)
    assert_allclose(matrix_function(H, lambda t: np.sin(t), v).value, scipy.linalg.sinm(H) @ v, rtol=1e-10)
    assert_allclose(matrix_function(H, lambda t: 2.0, v).value, 2.0 * v, rtol=1e-12)


def test_divided_differences_are_those_of_long_arithmetic() -> None:
    mpmath = pytest.importorskip("mpmath")
    functions = {
        "sqrt": mpmath.sqrt,
        "inverse_sqrt": lambda t: 1 / mpmath.sqrt(t),
        "log": mpmath.log,
        "inverse": lambda t: 1 / t,
    }
    functions["exp"] = mpmath.exp
    with mpmath.workdps(60):
        for name, f in functions.items():
            for c in (0.3, 1.0, 7.0):
                for gap in (0.0, 1e-12, 1e-7, 1.1e-5, 1e-3, 0.5, 20.0, -1e-6, -0.1):
                    t, near, far = c + gap, mpmath.mpf(c), mpmath.mpf(c + gap)
                    exact = mpmath.diff(f, near) if t == c else (f(far) - f(near)) / (far - near)
                    assert KNOWN[name].divided(np.array([t]), c)[0] == pytest.approx(float(exact), rel=1e-10)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_what_a_change_of_the_matrix_does_is_bounded(name: str) -> None:
    rng = np.random.default_rng(0)
    for size in (1e-3, 0.3):
        for _ in range(20):
            A, _ = turned(rng.uniform(0.5, 2.0, 8), int(rng.integers(1000)))
            change = rng.standard_normal((8, 8))
            change = change + change.T
            change *= size / np.linalg.norm(change, 2)
            values, q = np.linalg.eigh(A)
            moved, p = np.linalg.eigh(A + change)
            apart = (q * FUNCTIONS[name](values)) @ q.T - (p * FUNCTIONS[name](moved)) @ p.T
            end = values[0] if name != "exp" else values[-1]
            assert np.linalg.norm(apart, 2) <= KNOWN[name].growth(end, size) * (1 + 1e-12)
    assert KNOWN["sqrt"].growth(0.0, 1e-8) == pytest.approx(1e-4)
    assert KNOWN["log"].growth(1e-8, 1e-8) == np.inf
    assert KNOWN["log"].growth(1.0, 0.0) == 0.0


class TestUndefined:
    """Functions that are not defined on the spectrum."""

    @pytest.mark.parametrize("func", ["sqrt", "log", "inverse_sqrt", "inverse", np.log, np.sqrt])
    def test_of_indefinite_operators(self, func: Any) -> None:
        H, _ = turned(np.r_[np.linspace(1.0, 2.0, N - 1), -0.1])
        for operator in (H, aslinearoperator(H)):
            for compute in (matrix_function, quadratic_form):
                with pytest.raises(
                    OptionError, match=r"H has an eigenvalue that is negative: at most -.*DampedOperator"
                ):
                    compute(operator, func, np.ones(N))

    @pytest.mark.parametrize("func", [lambda t: np.log(t), lambda t: np.where(t < 0.0, np.nan, t)])
    def test_of_a_users_function(self, func: Any) -> None:
        H, _ = turned(np.r_[np.linspace(1.0, 2.0, N - 1), -0.1])
        for operator in (H, aslinearoperator(H)):
            with pytest.raises(OptionError, match=r"func is nan at -0.*an approximate eigenvalue of H"):
                matrix_function(operator, func, np.ones(N))

    def test_of_singular_operators(self) -> None:
        H, q = turned(np.r_[np.linspace(1.0, 2.0, N - 1), 0.0])
        v = np.random.default_rng(0).standard_normal(N)
        for operator in (H, aslinearoperator(H)):
            with pytest.raises(OptionError, match="zero to working precision"):
                matrix_function(operator, "log", v)
            root = matrix_function(operator, "sqrt", v)
            exact = q @ (np.sqrt(np.r_[np.linspace(1.0, 2.0, N - 1), 0.0]) * (q.T @ v))
            assert np.linalg.norm(root.value - exact) <= root.error_estimate
        bounded = matrix_function(aslinearoperator(H), "sqrt", v, lower_bound=0.0)
        assert bounded.is_bound
        assert np.linalg.norm(bounded.value - exact) <= bounded.error_bound
        form = quadratic_form(aslinearoperator(H), "sqrt", v, lower_bound=0.0)
        assert form.bounds[0] <= v @ exact <= form.bounds[1]

    def test_a_pole_between_eigenvalues_is_none_of_its_business(self) -> None:
        """The first Ritz value is exactly zero, where nothing is."""
        H = np.diag(np.r_[np.ones(20), -np.ones(20)])
        found = matrix_function(aslinearoperator(H), lambda t: 1.0 / t, np.ones(40))
        assert_allclose(found.value, np.diag(H))

    def test_what_func_must_return(self) -> None:
        H = aslinearoperator(np.diag(np.linspace(1.0, 2.0, 30)))
        with pytest.raises(OptionError, match=r"func returned an array of shape \(2,\)"):
            matrix_function(H, lambda t: np.ones(2), np.ones(30))
        with pytest.raises(OptionError, match=r"dtype complex128.*Return one real number for each"):
            matrix_function(H, lambda t: 1j * t, np.ones(30))
        with pytest.raises(OptionError, match=r"no function 'sqr'.*Did you mean 'sqrt'"):
            matrix_function(H, "sqr", np.ones(30))


class TestHostile:
    """Zero, rank one, order one, single precision, ends of the range."""

    def test_zero_vectors_and_matrices(self) -> None:
        Z = aslinearoperator(np.zeros((30, 30)))
        found = matrix_function(Z, "log", np.zeros(30))
        assert not found.value.any()
        assert (found.error_bound, found.n_hvp) == (0.0, 0)
        assert quadratic_form(Z, "log", np.zeros(30)).value == 0.0
        assert_allclose(matrix_function(Z, np.exp, np.ones(30)).value, np.ones(30))
        assert_allclose(matrix_function(Z, np.sqrt, np.ones(30)).value, np.zeros(30), atol=1e-15)
        with pytest.raises(OptionError, match="zero to working precision"):
            matrix_function(Z, "log", np.ones(30))

    def test_rank_one(self) -> None:
        u = np.random.default_rng(0).standard_normal(50)
        v = np.random.default_rng(1).standard_normal(50)
        for operator in (np.outer(u, u), aslinearoperator(np.outer(u, u))):
            found = matrix_function(operator, "sqrt", v)
            assert_allclose(found.value, u * (u @ v) / np.linalg.norm(u), atol=found.error_estimate)
            assert found.n_hvp <= 2

    @pytest.mark.parametrize("name", FUNCTIONS)
    def test_order_one(self, name: str) -> None:
        exact = FUNCTIONS[name](2.0)
        for operator in (np.array([[2.0]]), aslinearoperator(np.array([[2.0]]))):
            for func in (name, FUNCTIONS[name]):
                found = matrix_function(operator, func, [3.0])
                assert_allclose(found.value, [3.0 * exact])
                assert quadratic_form(operator, func, [3.0]).value == pytest.approx(9.0 * exact)
            assert matrix_function(operator, name, [3.0]).is_bound

    @pytest.mark.parametrize("name", FUNCTIONS)
    def test_single_precision(self, name: str) -> None:
        spectrum = SPECTRA["linear"]
        H, q = turned(spectrum)
        v = np.random.default_rng(1).standard_normal(N).astype(np.float32)
        exact = truth(spectrum, q, name, v)
        for operator in (H.astype(np.float32), aslinearoperator(H.astype(np.float32))):
            found = matrix_function(operator, name, v, lower_bound=0.99, upper_bound=4.01)
            assert found.value.dtype == np.float32
            assert found.is_bound
            assert found.success
            assert np.linalg.norm(found.value - exact) <= found.error_bound <= 1e-3 * np.linalg.norm(exact)

    @pytest.mark.parametrize("scale", [1e-140, 1e-10, 1e10, 1e140])
    def test_scaled_operators(self, scale: float) -> None:
        spectrum = SPECTRA["logarithmic"]
        H, q = turned(spectrum)
        v = np.random.default_rng(1).standard_normal(N)
        for name in ("sqrt", "inverse_sqrt", "inverse", "log"):
            exact = q @ (FUNCTIONS[name](scale * spectrum) * (q.T @ v))
            for operator in (scale * H, aslinearoperator(scale * H)):
                found = matrix_function(operator, name, v)
                assert np.linalg.norm(found.value - exact) <= 2.0 * found.error_estimate
                assert found.error_estimate <= 1e-5 * np.linalg.norm(exact)

    def test_scaled_vectors(self) -> None:
        H, _ = turned(SPECTRA["linear"])
        v = np.random.default_rng(1).standard_normal(N)
        plain = matrix_function(aslinearoperator(H), "sqrt", v)
        for scale in (1e-300, 1e-100, 1e100, 1e300):
            found = matrix_function(aslinearoperator(H), "sqrt", scale * v)
            assert_allclose(found.value, scale * plain.value, rtol=1e-8)
        for operator in (H, aslinearoperator(H)):
            with pytest.raises(NonFiniteError, match="the result leaves float64"):
                quadratic_form(operator, "sqrt", 1e200 * v)
        with pytest.raises(NonFiniteError, match="Pass a multiple of H"):
            matrix_function(aslinearoperator(1e300 * H), "sqrt", v)

    def test_a_function_that_overflows(self) -> None:
        H, _ = turned(np.linspace(1.0, 800.0, 40))
        for operator in (H, aslinearoperator(H)):
            with pytest.raises(OptionError, match=r"func is inf at [78]"):
                matrix_function(operator, np.exp, np.ones(40))

    def test_an_eigenvector_and_clusters_end_early(self) -> None:
        H, q = turned(SPECTRA["clusters"])
        found = matrix_function(aslinearoperator(H), "log", q[:, 0])
        assert_allclose(found.value, np.log(0.01) * q[:, 0], atol=1e-10)
        assert found.n_hvp == 1
        assert matrix_function(aslinearoperator(H), "log", np.ones(N)).n_hvp <= 4


class TestEnds:
    """Where the ends of the spectrum come from."""

    def test_of_sparse_matrices(self) -> None:
        """Gershgorin's discs have the upper end; the lower one of a singular-looking matrix is proved by a factorisation."""
        n = 2500
        H = scipy.sparse.diags_array([-np.ones(n - 1), np.full(n, 2.01), -np.ones(n - 1)], offsets=[-1, 0, 1]).tocsr()
        v = np.random.default_rng(0).standard_normal(n)
        spectrum = 2.01 - 2.0 * np.cos(np.arange(1, n + 1) * np.pi / (n + 1))
        q = np.sqrt(2.0 / (n + 1)) * np.sin(np.outer(np.arange(1, n + 1), np.arange(1, n + 1)) * np.pi / (n + 1))
        for name in ("exp", "inverse_sqrt", "log"):
            found = matrix_function(H, name, v)
            assert found.is_bound
            assert np.linalg.norm(found.value - truth(spectrum, q, name, v)) <= found.error_bound
        wide = H + scipy.sparse.diags_array([np.full(n - 2, 0.5)] * 2, offsets=[-2, 2])
        assert matrix_function(wide + scipy.sparse.eye_array(n), "inverse_sqrt", v, rtol=1e-6).is_bound
        hidden = aslinearoperator(wide + scipy.sparse.eye_array(n))
        assert not matrix_function(hidden, "inverse_sqrt", v, rtol=1e-6).is_bound

    def test_a_matrix_that_no_factorisation_proves(self) -> None:
        """The vector has nothing of the lowest eigenvector, which is negative."""
        n = 2100
        entries = np.r_[-1.0, np.linspace(1.0, 2.0, n - 1)]
        v = np.r_[0.0, np.ones(n - 1)]
        coupled = scipy.sparse.diags_array(entries).tolil()
        coupled[1, 2] = coupled[2, 1] = 0.1
        found = matrix_function(coupled.tocsr(), "log", v)
        assert not found.is_bound

    def test_bounds_that_are_refuted(self) -> None:
        H, _ = turned(SPECTRA["linear"])
        for operator in (H, aslinearoperator(H)):
            with pytest.raises(OptionError, match=r"lower_bound is 2, and H has an eigenvalue of at most 1\."):
                matrix_function(operator, "sqrt", np.ones(N), lower_bound=2.0)
            with pytest.raises(OptionError, match="upper_bound is 3, and H has an eigenvalue of at least"):
                matrix_function(operator, "exp", np.ones(N), upper_bound=3.0)

    def test_damping_is_a_bound(self) -> None:
        G = hs.GaussNewtonOperator(
            lambda x: np.tanh(np.outer(x, x)).ravel(), lambda z: np.sum(z**2), np.linspace(0.1, 1.0, 50)
        )
        found = matrix_function(DampedOperator(G, 1e-3), "inverse_sqrt", np.ones(50), lower_bound=1e-3 * (1 - 1e-9))
        dense = G.to_dense() + 1e-3 * np.eye(50)
        values, q = np.linalg.eigh(dense)
        assert found.is_bound
        assert np.linalg.norm(found.value - q @ (values**-0.5 * (q.T @ np.ones(50)))) <= found.error_bound


def test_budgets() -> None:
    H, q = turned(SPECTRA["logarithmic"])
    v = np.random.default_rng(0).standard_normal(N)
    exact = truth(SPECTRA["logarithmic"], q, "log", v)
    for max_hvp in (1, 2, 5, 20, 60):
        found = matrix_function(aslinearoperator(H), "log", v, max_hvp=max_hvp, lower_bound=1e-3 * (1 - 1e-9))
        assert found.n_hvp == max_hvp
        assert not found.success
        assert "not converged" in repr(found)
        assert np.linalg.norm(found.value - exact) <= found.error_bound
        form = quadratic_form(aslinearoperator(H), "log", v, max_hvp=max_hvp, lower_bound=1e-3 * (1 - 1e-9))
        assert form.bounds[0] <= v @ exact <= form.bounds[1]
        assert not matrix_function(aslinearoperator(H), lambda t: t**2.5, v, max_hvp=max_hvp).is_bound


def test_no_bound_rests_on_definiteness_that_nobody_knows() -> None:
    """One product has not seen the negative eigenvalue, beyond which Gauss's rule is no bound of the inverse."""
    H, v = np.diag([-1.0, 2.0]), np.array([0.1, 1.0])
    for ends in ({}, {"lower_bound": -1.0}):
        form = quadratic_form(aslinearoperator(H), "inverse", v, max_hvp=1, **ends)
        assert not form.success
        assert form.bounds == (-np.inf, np.inf)
    with pytest.raises(OptionError, match="negative"):
        quadratic_form(aslinearoperator(H), "inverse", v)


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_an_end_that_no_ritz_value_rests_at_is_no_success(dtype: Any) -> None:
    """At first steps the estimate of the end is far off: rounding seemed to be all that was left, or everything had underflowed."""
    low = np.diag(np.r_[1e-17, np.linspace(1.0, 2.0, N - 1)]).astype(dtype)
    for compute in (matrix_function, quadratic_form):
        with pytest.raises(OptionError, match="zero to working precision"):
            compute(aslinearoperator(low), "inverse", np.ones(N, dtype), rtol=1e-4)
        far = compute(aslinearoperator(np.diag([-1.0, -900.0]).astype(dtype)), "exp", np.array([0.25, 2.0], dtype))
        assert far.success
        exact = 0.25 * np.exp(-1.0) if np.ndim(far.value) else 0.0625 * np.exp(-1.0)
        assert_allclose(np.max(far.value), exact, rtol=1e-5 if dtype == np.float32 else 1e-12)


@pytest.mark.parametrize("seed", range(4))
def test_functions_that_are_constant_where_anybody_has_looked(seed: int) -> None:
    """A few steps see positive Ritz values alone, and a sign that does not change from one to the next."""
    v = np.random.default_rng(seed).standard_normal(200)
    for spectrum in (np.linspace(0.0, 1.0, 200), np.r_[-1e-2, np.linspace(0.5, 1.0, 199)]):
        for func in (lambda t: np.sign(t), lambda t: (t > 0.0).astype(int), lambda t: np.heaviside(t, 0.5)):
            exact, H = func(spectrum) * v, aslinearoperator(np.diag(spectrum))
            found = matrix_function(H, func, v, rtol=1e-3, max_hvp=100)
            assert np.linalg.norm(found.value - exact) <= 3.0 * found.error_estimate
    smooth = matrix_function(aslinearoperator(np.diag(spectrum)), lambda t: np.exp(-t), v)
    assert smooth.n_hvp <= 15


def test_weights_beyond_single_precision_are_loud() -> None:
    H = np.diag(np.array([1.0, 700.0], np.float32))
    with pytest.raises(NonFiniteError, match="the result leaves float32"):
        matrix_function(aslinearoperator(H), "exp", np.ones(2, np.float32))
    assert quadratic_form(aslinearoperator(H), "exp", np.ones(2, np.float32)).value == pytest.approx(
        np.exp(700.0), rel=1e-4
    )


def test_no_convergence_is_loud(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hessian.linalg.limits.BASIS_NUMBERS", 10 * N)
    H, _ = turned(SPECTRA["logarithmic"])
    for compute in (matrix_function, quadratic_form):
        with pytest.raises(ConvergenceError, match=r"after 10 products, asked for 1\.0e-10\. Pass max_hvp"):
            compute(aslinearoperator(H), "log", np.ones(N))


def test_arguments() -> None:
    H = np.eye(4)
    with pytest.raises(ShapeMismatchError, match=r"v has shape \(4, 1\)"):
        matrix_function(H, "sqrt", np.ones((4, 1)))
    with pytest.raises(ShapeMismatchError):
        matrix_function(H, "sqrt", np.ones(3))
    with pytest.raises(OptionError, match="rtol is 0"):
        matrix_function(H, "sqrt", np.ones(4), rtol=0.0)
    with pytest.raises(OptionError, match="max_hvp is 0"):
        matrix_function(aslinearoperator(H), "sqrt", np.ones(4), max_hvp=0)
    with pytest.raises(OptionError, match="is not symmetric"):
        matrix_function(aslinearoperator(np.triu(np.ones((30, 30)))), "exp", np.ones(30))
    assert known(np.sin) is None
    assert known(3) is None
    found = matrix_function(H, "sqrt", np.ones(4))
    assert isinstance(found, MatrixFunction)
    assert repr(found).startswith("sqrt(H)v, 4 numbers: error at most")
    assert repr(quadratic_form(H, lambda t: t, np.ones(4))).startswith("vᵀf(H)v = 4: error estimated at")
