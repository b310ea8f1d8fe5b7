"""Directions and preconditioners of the solvers against theory."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import scipy.linalg
from numpy.testing import assert_allclose, assert_array_equal
from optimize_problems import SMALL, brown_dennis, large, rosenbrock
from scipy.sparse.linalg import LinearOperator

import hessian as hs
from hessian.errors import OptionError, ShapeMismatchError
from hessian.optimize import Status, minimize
from hessian.optimize.choice import METHODS
from hessian.optimize.krylov import steihaug_toint
from hessian.optimize.lanczos import KrylovSpace, grow_until
from hessian.optimize.newton import Factorization, Newton
from hessian.optimize.newton_cg import capped_cg
from hessian.optimize.objective import VectorObjective
from hessian.optimize.options import Options
from hessian.optimize.precondition import CollectedPairs, Jacobi
from hessian.optimize.rounding import measure_rounding
from hessian.optimize.spectral import AbsoluteModel, EigenModel, SpectralModel

Array = np.ndarray
EPS = float(np.finfo(float).eps)


def symmetric(values: Any, seed: int) -> Array:
    """Build a symmetric matrix with given eigenvalues and a random basis."""
    q, _ = np.linalg.qr(np.random.default_rng(seed).standard_normal((len(values), len(values))))
    return (q * np.asarray(values)) @ q.T


DEFINITE = np.geomspace(0.01, 10.0, 12)
INDEFINITE = np.concatenate([[-2.0, -0.3], np.geomspace(0.01, 10.0, 10)])
SPECTRA = {"definite": DEFINITE, "indefinite": INDEFINITE, "negative": -DEFINITE, "singular": np.r_[0.0, 0.0, DEFINITE]}


def cubic_value(matrix: Array, gradient: Array, weight: float, s: Array) -> float:
    """Evaluate the cubic model the long way."""
    return float(gradient @ s + 0.5 * s @ (matrix @ s) + weight / 3.0 * np.linalg.norm(s) ** 3)


# The cubic model.


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("weight", [1e-6, 0.1, 1.0, 1e4])
@pytest.mark.parametrize("name", SPECTRA)
def test_cubic_step_satisfies_the_optimality_conditions(name: str, weight: float, seed: int) -> None:
    matrix = symmetric(SPECTRA[name], seed)
    gradient = np.random.default_rng(seed + 50).standard_normal(len(matrix))
    step = EigenModel(matrix, gradient).cubic_step(weight)
    s, multiplier = step.vector, weight * step.norm
    # Cartis, Gould and Toint (2011), theorem 3.1.
    scale = max(np.abs(SPECTRA[name]).max(), multiplier)
    assert_allclose((matrix + multiplier * np.eye(len(matrix))) @ s, -gradient, atol=1e-7 * scale * max(step.norm, 1.0))
    assert multiplier >= -np.linalg.eigvalsh(matrix)[0] - 1e-8 * scale
    assert_allclose(step.predicted, -cubic_value(matrix, gradient, weight, s), rtol=1e-7, atol=1e-12)
    rng = np.random.default_rng(seed)
    for _ in range(50):
        other = s + 0.3 * step.norm * rng.standard_normal(len(s)) / math.sqrt(len(s))
        assert cubic_value(matrix, gradient, weight, other) >= -step.predicted - 1e-9 * abs(step.predicted)


def test_cubic_step_in_the_hard_case() -> None:
    matrix, gradient = np.diag([-2.0, 1.0, 3.0]), np.array([0.0, 1.0, -1.0])
    step = EigenModel(matrix, gradient).cubic_step(0.5)
    assert_allclose(step.norm, 4.0)
    assert_allclose(step.vector[1:], [-1.0 / 3.0, 1.0 / 5.0])
    assert step.status == "negative-curvature"
    at_saddle = EigenModel(np.diag([3.0, -1.0]), np.zeros(2)).cubic_step(2.0)
    assert_allclose(np.abs(at_saddle.vector), [0.0, 0.5])
    assert_allclose(at_saddle.predicted, 0.5 * 0.25 - 2.0 / 3.0 * 0.125)


def test_cubic_step_without_weight_is_newtons() -> None:
    matrix, gradient = symmetric(DEFINITE, 2), np.ones(12)
    newton = -np.linalg.solve(matrix, gradient)
    assert_allclose(EigenModel(matrix, gradient).cubic_step(0.0).vector, newton, rtol=1e-9)
    assert_allclose(EigenModel(matrix, gradient).cubic_step(1e-14).vector, newton, rtol=1e-6)


# The model of |H|.


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("name", ["definite", "indefinite", "negative"])
def test_absolute_model_takes_the_saddle_free_step(name: str, seed: int) -> None:
    matrix = symmetric(SPECTRA[name], seed)
    gradient = np.random.default_rng(seed).standard_normal(len(matrix))
    values, vectors = np.linalg.eigh(matrix)
    model = AbsoluteModel(values, vectors.T @ gradient, lambda y: vectors @ y, EPS)
    step = model.step(math.inf)
    absolute = (vectors * np.abs(values)) @ vectors.T
    assert_allclose(step.vector, -np.linalg.solve(absolute, gradient), rtol=1e-9)
    s = step.vector
    assert_allclose(step.predicted, -(gradient @ s + 0.5 * s @ matrix @ s), rtol=1e-9)
    assert step.predicted >= -(gradient @ s + 0.5 * s @ absolute @ s) * (1 - 1e-12)
    assert step.status == ("newton" if name == "definite" else "saddle-free")
    short = model.step(0.1 * step.norm)
    assert_allclose(short.norm, 0.1 * step.norm)
    s = short.vector
    assert_allclose(short.predicted, -(gradient @ s + 0.5 * s @ matrix @ s), rtol=1e-9)


# Krylov spaces.


@pytest.mark.parametrize("name", SPECTRA)
def test_lanczos_relation(name: str) -> None:
    matrix = symmetric(SPECTRA[name], 3)
    gradient = np.random.default_rng(4).standard_normal(len(matrix))
    space = KrylovSpace(matrix.__matmul__, gradient, 7)
    while not space.is_complete:
        space.grow()
    k = space.products
    assert k == 7
    process = space._process
    Q = process.basis.rows.T
    T = np.diag(process.alphas) + np.diag(process.betas[: k - 1], 1) + np.diag(process.betas[: k - 1], -1)
    residual = np.outer(process.next * space.residual_scale, np.eye(k)[-1])
    assert_allclose(matrix @ Q, Q @ T + residual, atol=1e-12)
    assert_allclose(Q.T @ Q, np.eye(k), atol=1e-13)
    model, last = space.model()
    y, multiplier, _ = model.coordinates(0.5)
    s = model.step(0.5).vector
    left = np.linalg.norm(matrix @ s + multiplier * s + gradient)
    assert_allclose(left, space.residual_scale * abs(last @ y), rtol=1e-7, atol=1e-11)


@pytest.mark.parametrize("radius", [0.1, 1.0, 100.0])
@pytest.mark.parametrize("name", SPECTRA)
def test_a_full_krylov_space_gives_the_exact_step(name: str, radius: float) -> None:
    matrix = symmetric(SPECTRA[name], 5)
    gradient = np.random.default_rng(6).standard_normal(len(matrix))
    space = KrylovSpace(matrix.__matmul__, gradient, 1000)
    model = grow_until(space, lambda model, last: math.inf, 0.0)
    exact = EigenModel(matrix, gradient).step(radius)
    step = model.step(radius)
    assert_allclose(step.predicted, exact.predicted, rtol=1e-8)
    if name != "singular" or radius < 100.0:
        assert_allclose(step.vector, exact.vector, rtol=1e-5, atol=1e-7 * exact.norm)
    assert space.products <= len(matrix)


def test_a_space_that_the_matrix_maps_to_itself_ends_early() -> None:
    three = symmetric([1.0, 1.0, 5.0, 5.0, 5.0, 9.0], 6)
    space = KrylovSpace(three.__matmul__, np.arange(1.0, 7.0), 100)
    while not space.is_complete:
        space.grow()
    assert space.products == 3
    assert space.residual_scale == 0.0


def test_a_product_that_is_not_finite_ends_the_space() -> None:
    matrix, calls = symmetric(DEFINITE, 1), 0

    def product(v: Array) -> Array:
        nonlocal calls
        calls += 1
        return matrix @ v if calls < 4 else v * np.nan

    space = KrylovSpace(product, np.ones(12), 50)
    model = grow_until(space, lambda model, last: math.inf, 0.0)
    assert space.products == 4
    assert model.step(1.0).predicted > 0.0
    never = KrylovSpace(lambda v: v * np.inf, np.array([3.0, 4.0]), 50)
    model = grow_until(never, lambda model, last: math.inf, 0.0)
    step = model.step(10.0)
    assert_allclose(step.vector, [-6.0, -8.0])
    assert_allclose(step.predicted, 50.0)


# Capped conjugate gradients.


@pytest.mark.parametrize("seed", range(5))
def test_capped_cg_solves_the_damped_system(seed: int) -> None:
    matrix = symmetric(DEFINITE, seed)
    gradient = np.random.default_rng(seed).standard_normal(12)
    found = capped_cg(matrix.__matmul__, gradient, 0.0, 1e-12, 100)
    assert found.status == "converged"
    assert_allclose(found.vector, -np.linalg.solve(matrix, gradient), rtol=1e-7)
    assert_allclose(found.curvature, found.vector @ matrix @ found.vector / np.linalg.norm(gradient), rtol=1e-7)


@pytest.mark.parametrize("seed", range(10))
@pytest.mark.parametrize("damping", [1e-8, 1e-3])
def test_capped_cg_finds_negative_curvature(damping: float, seed: int) -> None:
    matrix = symmetric(INDEFINITE, seed)
    gradient = np.random.default_rng(seed).standard_normal(12)
    found = capped_cg(matrix.__matmul__, gradient, damping, 1e-14, 100)
    assert found.status == "negative-curvature"
    size = np.linalg.norm(gradient)
    assert_allclose(found.curvature, found.vector @ matrix @ found.vector / size, rtol=1e-6, atol=1e-12)
    assert found.curvature < 0.0


def test_capped_cg_is_cut_off_by_a_slow_decrease() -> None:
    # An eigenvalue of the damped matrix between 0 and eps shows along no direction, only in a residual that lingers.
    rng = np.random.default_rng(0)
    values = np.concatenate([np.linspace(1.0, 2.0, 60), [-0.29]])
    matrix, gradient = np.diag(values), np.r_[rng.standard_normal(60), 1e-9]
    found = capped_cg(matrix.__matmul__, gradient, 0.15, 0.0, 5000)
    assert found.status == "negative-curvature"
    assert found.products < 300
    assert_allclose(found.curvature, found.vector @ matrix @ found.vector / np.linalg.norm(gradient), rtol=1e-5)
    assert found.curvature < 0.0


def test_capped_cg_at_its_limit_and_without_products() -> None:
    matrix = symmetric(DEFINITE, 7)
    found = capped_cg(matrix.__matmul__, np.ones(12), 1e-6, 0.0, 3)
    assert (found.status, found.products) == ("cg-limit", 3)
    assert found.vector @ np.ones(12) < 0.0
    never = capped_cg(lambda v: v * np.nan, np.ones(12), 1e-6, 0.0, 3)
    assert (never.status, never.products) == ("not-finite", 1)
    assert_allclose(never.vector / np.linalg.norm(never.vector), -np.ones(12) / math.sqrt(12.0))


# Factorisations.


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("name", ["definite", "indefinite", "negative"])
def test_factorization_solves_and_shows_the_inertia(name: str, seed: int) -> None:
    matrix = symmetric(SPECTRA[name], seed)
    factors = Factorization(matrix)
    b = np.random.default_rng(seed).standard_normal(12)
    assert_allclose(factors.solve(b), np.linalg.solve(matrix, b), rtol=1e-8)
    assert np.sum(factors.values < 0.0) == np.sum(SPECTRA[name] < 0.0)


def test_factorization_of_blocks_of_order_two() -> None:
    matrix = scipy.linalg.block_diag([[0.0, 1.0], [1.0, 0.0]], [[0.0, 3.0], [3.0, 0.0]], [[2.0]])
    factors = Factorization(matrix)
    assert_allclose(np.sort(factors.values), [-3.0, -1.0, 1.0, 2.0, 3.0])
    assert_allclose(factors.solve(np.arange(5.0)), np.linalg.solve(matrix, np.arange(5.0)))


def test_newton_direction_is_one_of_descent_where_the_hessian_is_indefinite() -> None:
    def saddle(x: Any) -> Any:
        return x[0] ** 2 - x[1] ** 2 + 0.1 * x[1] ** 4 + x[2] ** 4

    objective = VectorObjective(saddle, np.array([1.0, 0.3, 0.5]), ())
    point = objective.start()
    method = Newton(Options())
    model = method.model(point)
    assert model.status == "shifted"
    assert model.slope < 0.0
    assert point.counters.n_factor > 1
    assert point.counters.n_hess == 1


# Preconditioners.


def diagonal_of_rosenbrock(x: Array) -> Array:
    """Exact diagonal, made positive."""
    return np.maximum(np.abs(np.diag(hs.hessian(rosenbrock)(x))), 1e-3)


CHAIN = np.tile([-1.2, 1.0], 20)
CHOICES = {
    "jacobi": "jacobi",
    "lbfgs": "lbfgs",
    "diagonal": np.tile([800.0, 200.0], 20),
    "operator": LinearOperator((40, 40), matvec=lambda v: v / np.tile([800.0, 200.0], 20), dtype=float),
    "function": diagonal_of_rosenbrock,
    "matrix": np.diag(1.0 / np.tile([800.0, 200.0], 20)),
}


@pytest.mark.parametrize("name", CHOICES)
def test_preconditioned_runs_end_at_the_minimum(name: str) -> None:
    res = minimize(rosenbrock, CHAIN, method="trust-ncg", options={"preconditioner": CHOICES[name]})
    assert res.status is Status.CONVERGED
    assert_allclose(res.x, 1.0, atol=1e-5)
    spent = sum(record.cg_iterations for record in res.history)
    assert spent <= res.history[-1].n_hvp


@pytest.mark.parametrize("problem", SMALL + [p for p in large() if p.name != "freuroth"], ids=lambda p: p.name)
def test_pairs_collected_from_cg_solve_every_problem(problem: Any) -> None:
    res = minimize(problem.fun, problem.start, method="trust-ncg", options={"preconditioner": "lbfgs", "gtol": 1e-8})
    assert res.success
    assert min(abs(res.fun - minimum) - 1e-8 * max(1.0, abs(minimum)) for minimum in problem.minima) <= 0.0


@pytest.mark.parametrize("radius", [0.25, 2.0, math.inf])
@pytest.mark.parametrize("name", SPECTRA)
def test_preconditioned_cg_is_cg_in_scaled_variables(name: str, radius: float) -> None:
    matrix = symmetric(SPECTRA[name], 1)
    n = len(matrix)
    rng = np.random.default_rng(2)
    gradient, root = rng.standard_normal(n), np.exp(rng.standard_normal(n))
    # u = root * s: M = diag(root^2), and the norm of M is the 2-norm of u.
    path = steihaug_toint(matrix.__matmul__, gradient, radius, 0.0, 6, precondition=lambda v: v / root**2)
    scaled = steihaug_toint(lambda u: (matrix @ (u / root)) / root, gradient / root, radius, 0.0, 6)
    for bound in (radius, 0.125):
        if math.isinf(bound) and math.isinf(path.end_norm):
            continue
        step, other = path.step(bound), scaled.step(bound)
        assert_allclose(step.vector, other.vector / root, rtol=1e-7)
        assert_allclose([step.norm, step.predicted], [other.norm, other.predicted], rtol=1e-7)
        s = step.vector
        assert_allclose(step.predicted, -(gradient @ s + 0.5 * s @ matrix @ s), rtol=1e-7)
        assert_allclose(step.norm, np.linalg.norm(root * s), rtol=1e-7)


def test_pairs_of_a_quadratic_make_the_next_solve_short() -> None:
    matrix = symmetric(np.r_[np.geomspace(100.0, 1000.0, 8), np.ones(22)], 0)

    class At:
        gradient = np.random.default_rng(1).standard_normal(30)
        gradient_norm = float(np.linalg.norm(gradient))

    pairs = CollectedPairs()
    assert pairs.at(At(), 1000) is None
    first = steihaug_toint(matrix.__matmul__, At.gradient, math.inf, 1e-8, 100, collect=pairs.collect)
    again = steihaug_toint(matrix.__matmul__, At.gradient, math.inf, 1e-8, 100, precondition=pairs.at(At(), 1000))
    # Nine different eigenvalues: the pairs know the matrix on all of the space that the gradient meets.
    assert (first.products, again.products) == (9, 1)
    apply = pairs.at(At(), 1000)
    assert apply is not None
    inverse = np.stack([apply(row) for row in np.eye(30)])
    assert_allclose(inverse, inverse.T, atol=1e-12)
    assert np.linalg.eigvalsh(inverse)[0] > 0.0


def test_the_estimated_diagonal_is_positive_and_close() -> None:
    scales = np.geomspace(1e-2, 1e2, 400)
    dense = lambda x: 0.5 * np.sum(scales * x**2) + np.sum(x) ** 2 * 1e-4
    sparse = lambda x: 0.5 * np.sum(scales * x**2) + np.sum(x[1:] * x[:-1]) * 1e-3
    for f, products, rtol in ((dense, 8, 0.05), (sparse, 3, 1e-3)):
        point = VectorObjective(f, np.ones(400), ()).start()
        jacobi = Jacobi(0)
        jacobi.at(point, 1000)
        assert point.counters.n_hvp == products
        assert jacobi._diagonal is not None
        assert_allclose(jacobi._diagonal, np.maximum(scales, 0.1), rtol=rtol)


@pytest.mark.parametrize(
    ("choice", "error", "text"),
    [
        (np.r_[-1.0, np.ones(39)], OptionError, "entries that are not positive and finite"),
        (np.ones(3), ShapeMismatchError, "has 3 numbers. There are 40 variables"),
        (LinearOperator((3, 3), matvec=lambda v: v, dtype=float), ShapeMismatchError, "has shape (3, 3)"),
        (LinearOperator((40, 40), matvec=lambda v: -v, dtype=float), OptionError, "gives v.M^-1 v = "),
        ("ilu", OptionError, "option 'preconditioner' is 'ilu', expected 'jacobi', 'lbfgs'"),
        (3.0, OptionError, "option 'preconditioner' is 3.0"),
    ],
)
def test_bad_preconditioners(choice: Any, error: type[Exception], text: str) -> None:
    with pytest.raises(error) as caught:
        minimize(rosenbrock, CHAIN, method="trust-ncg", options={"preconditioner": choice})
    assert text in str(caught.value)


@pytest.mark.parametrize("method", [method for method in METHODS if method != "trust-ncg"])
def test_other_methods_refuse_a_preconditioner(method: str) -> None:
    with pytest.raises(OptionError, match="takes no preconditioner"):
        minimize(rosenbrock, CHAIN, method=method, options={"preconditioner": "jacobi"})


# Rounding and endings.


def test_rounding_is_measured() -> None:
    objective = VectorObjective(brown_dennis, np.array([-11.6, 13.2, -0.4, 0.23]), ())
    point = objective.start()
    rounding = measure_rounding(objective, point, 0)
    assert 0.0 < rounding.value < 1e-9 * abs(point.value)
    assert 1e-13 < rounding.gradient < 1e-6
    noisy = VectorObjective(lambda x: np.round(x[0] ** 2, 3) + x[0], np.array([1.0]), ())
    assert measure_rounding(noisy, noisy.start(), 0).value < 1e-3


@pytest.mark.parametrize("method", METHODS)
def test_the_edge_of_the_domain_is_named(method: str) -> None:
    # The gradient at the edge of the domain leads out of it.
    res = minimize(
        lambda x: np.sum(np.sqrt(x - 1.0) * 0.0 + x) + np.where(x[0] < 1.5, np.nan, 0.0), [1.5, 4.0], method=method
    )
    assert res.status in (Status.LEFT_DOMAIN, Status.STALLED, Status.UNBOUNDED)
    assert not res.success
    assert res.x[0] >= 1.5


@pytest.mark.parametrize("method", METHODS)
def test_saddles_left_are_told(method: str) -> None:
    res = minimize(lambda x: x[0] ** 4 / 4.0 - x[0] ** 2 / 2.0 + x[1] ** 2 / 2.0, [0.0, 0.0], method=method)
    assert len(res.saddles) == 1
    assert_allclose(res.saddles[0].eigenvalue, -1.0)
    assert "A saddle was left along negative curvature, last at iteration 0" in res.message
    assert_allclose(res.smallest_eigenvalue, 1.0, atol=1e-5)
    assert res.smallest_eigenvalue_residual < 1e-12


def test_the_residual_bounds_the_distance_to_an_eigenvalue() -> None:
    scales = np.linspace(1.0, 50.0, 300)
    res = minimize(lambda x: 0.5 * np.sum(scales * x**2), np.ones(300), method="trust-ncg")
    nearest = np.min(np.abs(scales - res.smallest_eigenvalue))
    assert nearest <= res.smallest_eigenvalue_residual
    assert "Smallest eigenvalue" in res.message


def test_the_default_says_why() -> None:
    assert "(Method trust-exact was chosen for 2 variables" in minimize(rosenbrock, CHAIN[:2]).message
    assert "was chosen" not in minimize(rosenbrock, CHAIN[:2], method="arc").message


def test_spectral_model_in_any_order() -> None:
    values, gradient = np.array([3.0, -1.0, 0.5]), np.array([1.0, 2.0, -1.0])
    model = SpectralModel(values, gradient, lambda y: y, EPS)
    assert_allclose(model.step(1.5).vector, EigenModel(np.diag(values), gradient).step(1.5).vector, rtol=1e-9)
    assert_array_equal(model.values, values)
