"""The parts of the solvers against theory: conjugate-gradient paths, exact models, Lanczos, ratio test, radius rule."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from optimize_problems import rosenbrock

import hessian as hs
from hessian.optimize.bounds import next_radius, power_of_two_below
from hessian.optimize.krylov import Step, boundary_root, lanczos_lowest, steihaug_toint
from hessian.optimize.newton_cg import NewtonCG
from hessian.optimize.objective import VectorObjective
from hessian.optimize.optimality import Curvature, Definiteness, _downhill, judge
from hessian.optimize.options import Options
from hessian.optimize.ratio_test import Assessment, RatioTest
from hessian.optimize.spectral import EigenModel
from hessian.optimize.trust_krylov import Arc, TrustKrylov

Array = np.ndarray


class Counted:
    """A matrix as a product that counts its calls."""

    def __init__(self, matrix: Array) -> None:
        self.matrix = matrix
        self.calls = 0

    def __call__(self, v: Array) -> Array:
        self.calls += 1
        return self.matrix @ v


def symmetric(values: Any, seed: int) -> Array:
    """Build a symmetric matrix with given eigenvalues and a random basis."""
    q, _ = np.linalg.qr(np.random.default_rng(seed).standard_normal((len(values), len(values))))
    return (q * np.asarray(values)) @ q.T


def model_value(matrix: Array, gradient: Array, s: Array) -> float:
    """Evaluate the quadratic model the long way."""
    return float(gradient @ s + 0.5 * s @ (matrix @ s))


DEFINITE = np.geomspace(0.01, 10.0, 12)
INDEFINITE = np.concatenate([[-2.0, -0.3], np.geomspace(0.01, 10.0, 10)])
SPECTRA = {"definite": DEFINITE, "indefinite": INDEFINITE, "negative": -DEFINITE, "singular": np.r_[0.0, 0.0, DEFINITE]}


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("radius", [0.25, 1.0, 8.0, 64.0])
@pytest.mark.parametrize("name", SPECTRA)
def test_predicted_reduction_comes_from_the_recurrence(name: str, radius: float, seed: int) -> None:
    matrix = symmetric(SPECTRA[name], seed)
    gradient = np.random.default_rng(seed + 100).standard_normal(len(matrix))
    product = Counted(matrix)
    path = steihaug_toint(product, gradient, radius, 1e-10, 50)
    step = path.step(radius)
    assert product.calls == path.products
    assert_allclose(step.predicted, -model_value(matrix, gradient, step.vector), rtol=1e-9)
    assert_allclose(step.norm, np.linalg.norm(step.vector), rtol=1e-14)
    assert step.norm <= radius * (1 + 1e-12)
    # Sufficient decrease of the Cauchy point (Nocedal and Wright, lemma 4.3).
    size, curvature = np.linalg.norm(gradient), np.abs(SPECTRA[name]).max()
    assert step.predicted >= 0.5 * size * min(radius, size / curvature)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("name", SPECTRA)
def test_a_smaller_radius_costs_no_product(name: str, seed: int) -> None:
    matrix = symmetric(SPECTRA[name], seed)
    gradient = np.random.default_rng(seed + 100).standard_normal(len(matrix))
    product = Counted(matrix)
    path = steihaug_toint(product, gradient, 64.0, 1e-10, 50)
    spent = product.calls
    for exponent in range(6, -8, -1):
        radius = 2.0**exponent
        step = path.step(radius)
        assert product.calls == spent
        fresh = steihaug_toint(matrix.__matmul__, gradient, radius, 1e-10, 50).step(radius)
        assert_allclose(step.vector, fresh.vector, rtol=1e-9, atol=1e-12 * radius)
        assert_allclose(step.predicted, fresh.predicted, rtol=1e-9)
        assert (step.status, step.on_boundary) == (fresh.status, fresh.on_boundary)


def test_a_radius_that_is_no_power_of_two_still_gives_an_iterate_within_it() -> None:
    matrix = symmetric(DEFINITE, 0)
    gradient = np.random.default_rng(1).standard_normal(len(matrix))
    path = steihaug_toint(matrix.__matmul__, gradient, 64.0, 1e-10, 50)
    for radius in np.geomspace(0.01, 60.0, 25):
        step = path.step(radius)
        assert step.norm <= radius * (1 + 1e-12)
        assert_allclose(step.predicted, -model_value(matrix, gradient, step.vector), rtol=1e-9)
        assert step.predicted > 0


def test_few_vectors_are_kept() -> None:
    n = 400
    matrix = np.diag(np.geomspace(1e-4, 1.0, n))
    path = steihaug_toint(matrix.__matmul__, np.ones(n), 2.0**20, 1e-9, 2000)
    assert path.products > 150
    # One segment per octave between the first iterate and the last.
    assert len(path._stored) <= 13


def test_cg_solves_and_stops_at_the_tolerance() -> None:
    matrix = symmetric(DEFINITE, 4)
    gradient = np.random.default_rng(5).standard_normal(len(matrix))
    path = steihaug_toint(matrix.__matmul__, gradient, math.inf, 1e-11, 100)
    assert path.status == "converged"
    assert_allclose(path.step(1e6).vector, -np.linalg.solve(matrix, gradient), rtol=1e-9)
    loose = steihaug_toint(matrix.__matmul__, gradient, math.inf, 0.1, 100)
    assert loose.products < path.products
    assert np.linalg.norm(gradient + matrix @ loose.step(1e6).vector) <= 0.1
    # Finite termination: as many products as there are distinct eigenvalues.
    three = symmetric([1.0, 1.0, 5.0, 5.0, 5.0, 9.0], 6)
    assert steihaug_toint(three.__matmul__, np.arange(1.0, 7.0), math.inf, 1e-10, 100).products == 3


def test_cg_limit_and_product_that_is_not_finite() -> None:
    matrix = symmetric(DEFINITE, 7)
    gradient = np.ones(len(matrix))
    limited = steihaug_toint(matrix.__matmul__, gradient, math.inf, 0.0, 2)
    assert (limited.status, limited.products) == ("cg-limit", 2)
    assert limited.step(1e9).predicted > 0

    never = steihaug_toint(lambda v: np.full_like(v, np.nan), gradient, 2.0, 0.0, 9)
    step = never.step(2.0)
    assert (never.products, step.status) == (1, "not-finite")
    assert_allclose(step.vector, -2.0 * gradient / np.linalg.norm(gradient))
    assert_allclose(step.predicted, 2.0 * np.linalg.norm(gradient))

    calls = Counted(matrix)
    later = steihaug_toint(lambda v: calls(v) if calls.calls < 2 else v * np.inf, gradient, 1e9, 0.0, 9)
    assert later.status == later.step(1e9).status == "not-finite"
    assert_allclose(later.step(1e9).vector, limited.step(1e9).vector)


@pytest.mark.parametrize("exponent", [-300, 300])
def test_the_path_does_not_depend_on_the_scale_of_the_model(exponent: int) -> None:
    matrix = symmetric(INDEFINITE, 8)
    gradient = np.random.default_rng(9).standard_normal(len(matrix))
    plain = steihaug_toint(matrix.__matmul__, gradient, 4.0, 1e-6, 50)
    scale = 10.0**exponent
    scaled = steihaug_toint((scale * matrix).__matmul__, scale * gradient, 4.0, scale * 1e-6, 50)
    assert scaled.products == plain.products
    assert_allclose(scaled.step(4.0).vector, plain.step(4.0).vector, rtol=1e-10)
    assert_allclose(scaled.step(4.0).predicted / scale, plain.step(4.0).predicted, rtol=1e-10)


def test_float32_stays_float32() -> None:
    matrix = symmetric(DEFINITE, 0).astype(np.float32)
    gradient = np.ones(len(matrix), np.float32)
    path = steihaug_toint(matrix.__matmul__, gradient, 4.0, 1e-3, 50)
    assert path.step(4.0).vector.dtype == np.float32
    assert EigenModel(matrix, gradient).step(1.0).vector.dtype == np.float32
    assert lanczos_lowest(matrix.__matmul__, gradient, 5).vector.dtype == np.float32


@pytest.mark.parametrize("start_scale", [0.0, 1e-9, 0.5, 1.0])
def test_boundary_root(start_scale: float) -> None:
    rng = np.random.default_rng(0)
    for _ in range(20):
        start, direction = rng.standard_normal(5), rng.standard_normal(5) * 10.0 ** rng.integers(-8, 8)
        start *= start_scale * 3.0 / np.linalg.norm(start)
        t = boundary_root(start, direction, 3.0)
        assert t >= 0
        assert_allclose(np.linalg.norm(start + t * direction), 3.0, rtol=1e-12)


class Steep:
    """A point of which only gradient and position count."""

    gradient = np.array([1e-9, 0.0])
    units = 1.0
    x = np.zeros(2)


@pytest.mark.parametrize("method", [TrustKrylov, NewtonCG, Arc])
def test_an_escape_does_not_climb(method: Any) -> None:
    for sign in (1.0, -1.0):
        curvature = Curvature(-2.0, Definiteness.NEGATIVE, 0.0, _downhill(np.array([sign, 0.0]), Steep()))
        solver = method(Options())
        model = solver.escape(Steep(), curvature)
        bound = {"trust-krylov": 0.5, "newton-cg": 5.0, "arc": 4.0}[solver.name]
        step = model.step(bound)
        assert_allclose(step.vector, [-0.5, 0.0])
        assert_allclose(step.predicted, 0.5e-9 + 0.25 - (4.0 / 3.0 * 0.125 if solver.name == "arc" else 0.0))


# The exact model.


def assert_minimises(matrix: Array, gradient: Array, radius: float, step: Step) -> float:
    """Check the optimality conditions of Moré and Sorensen; return the multiplier."""
    values = np.linalg.eigvalsh(matrix)
    scale = max(np.abs(values).max(), np.linalg.norm(gradient) / radius)
    s = step.vector
    assert step.norm <= radius * (1 + 1e-9)
    multiplier = float(-s @ (matrix @ s + gradient) / (s @ s))
    assert_allclose(matrix @ s + multiplier * s, -gradient, atol=1e-8 * scale * radius)
    assert multiplier >= max(0.0, -values[0]) - 1e-8 * scale
    if multiplier > 1e-8 * scale:
        assert_allclose(step.norm, radius, rtol=1e-8)
    assert_allclose(step.predicted, -model_value(matrix, gradient, s), rtol=1e-9, atol=1e-15 * scale * radius**2)
    return multiplier


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("radius", [1e-3, 0.5, 3.0, 1e4])
@pytest.mark.parametrize("name", SPECTRA)
def test_eigen_model_satisfies_the_optimality_conditions(name: str, radius: float, seed: int) -> None:
    matrix = symmetric(SPECTRA[name], seed)
    gradient = np.random.default_rng(seed + 50).standard_normal(len(matrix))
    assert_minimises(matrix, gradient, radius, EigenModel(matrix, gradient).step(radius))


@pytest.mark.parametrize("component", [0.0, 1e-30, 1e-18, 1e-12, 1e-6])
def test_eigen_model_in_and_near_the_hard_case(component: float) -> None:
    matrix = np.diag([-2.0, -2.0, 1.0, 3.0])
    gradient = np.array([component, 0.0, 1.0, -1.0])
    step = EigenModel(matrix, gradient).step(2.0)
    assert_minimises(matrix, gradient, 2.0, step)
    assert_allclose(step.norm, 2.0)
    assert step.status == "negative-curvature"


def test_eigen_model_at_a_saddle_moves_along_the_lowest_eigenvector() -> None:
    step = EigenModel(np.diag([3.0, -1.0]), np.zeros(2)).step(0.5)
    assert_allclose(np.abs(step.vector), [0.0, 0.5])
    assert_allclose(step.predicted, 0.125)


def test_eigen_model_takes_the_newton_step_where_it_fits() -> None:
    matrix, gradient = symmetric(DEFINITE, 1), np.ones(12)
    model = EigenModel(matrix, gradient)
    newton = -np.linalg.solve(matrix, gradient)
    assert_allclose(model.end_norm, np.linalg.norm(newton), rtol=1e-10)
    step = model.step(model.end_norm)
    assert_allclose(step.vector, newton, rtol=1e-9)
    assert (step.status, step.on_boundary) == ("newton", False)
    assert EigenModel(-matrix, gradient).end_norm == math.inf


def test_eigen_model_gives_the_shortest_solution_of_a_consistent_singular_system() -> None:
    rng = np.random.default_rng(3)
    a = rng.standard_normal((3, 6))
    b = rng.standard_normal(3)
    model = EigenModel(a.T @ a, a.T @ -b)
    assert_allclose(model.step(1e3).vector, np.linalg.pinv(a) @ b, rtol=1e-8)


def test_eigen_model_without_curvature_is_linear() -> None:
    gradient = np.array([3.0, 4.0])
    for matrix in (np.zeros((2, 2)), np.full((2, 2), np.nan)):
        step = EigenModel(matrix, gradient).step(10.0)
        assert_allclose(step.vector, [-6.0, -8.0])
        assert_allclose(step.predicted, 50.0)


# Lanczos.


@pytest.mark.parametrize("seed", range(5))
def test_lanczos_finds_one_negative_eigenvalue_among_thousands(seed: int) -> None:
    values = np.linspace(1.0, 2.0, 3000)
    values[1234] = -0.05
    product = Counted(np.empty((0, 0)))
    product.matrix = _Diagonal(values)
    pair = lanczos_lowest(product, np.random.default_rng(seed).standard_normal(3000), 40)
    assert pair.value < 0
    assert pair.value >= -0.05 * (1 + 1e-12)
    assert product.calls <= 40
    assert_allclose(np.linalg.norm(pair.vector), 1.0, rtol=1e-12)
    assert_allclose(pair.vector @ (values * pair.vector), pair.value, rtol=1e-9)
    assert judge(pair.value, pair.scale, np.dtype(float), pair.is_certain) is Definiteness.NEGATIVE


class _Diagonal:
    def __init__(self, values: Array) -> None:
        self.values = values

    def __matmul__(self, v: Array) -> Array:
        return self.values * v


def test_lanczos_is_exact_when_the_space_is_exhausted() -> None:
    values = np.array([0.5, 1.0, 2.0, 7.0])
    pair = lanczos_lowest(np.diag(values).__matmul__, np.ones(4), 40)
    assert pair.is_certain
    assert_allclose([pair.value, pair.scale], [0.5, 7.0])
    identity = Counted(np.eye(50))
    pair = lanczos_lowest(identity, np.ones(50), 40)
    assert (pair.is_certain, identity.calls) == (True, 1)
    assert_allclose(pair.value, 1.0)


def test_lanczos_says_when_it_does_not_know() -> None:
    values = np.geomspace(1e-8, 1.0, 2000)
    pair = lanczos_lowest(lambda v: values * v, np.random.default_rng(0).standard_normal(2000), 20)
    assert not pair.is_certain
    assert judge(pair.value, pair.scale, np.dtype(float), pair.is_certain) is Definiteness.UNDECIDED
    pair = lanczos_lowest(lambda v: v * np.nan, np.ones(5), 20)
    assert math.isnan(pair.value)
    assert judge(pair.value, pair.scale, np.dtype(float), pair.is_certain) is Definiteness.UNDECIDED


@pytest.mark.parametrize(
    ("smallest", "certain", "expected"),
    [
        (1e-3, True, Definiteness.POSITIVE),
        (1e-3, False, Definiteness.UNDECIDED),
        (1e-17, True, Definiteness.ZERO),
        (-1e-17, True, Definiteness.ZERO),
        (-1e-9, True, Definiteness.NEGATIVE),
        (-1e-9, False, Definiteness.NEGATIVE),
    ],
)
def test_judge(smallest: float, certain: bool, expected: Definiteness) -> None:
    assert judge(smallest, 1.0, np.dtype(float), certain) is expected


# Ratio test and radius.


def assess(fun: Any, x: Any, s: Any, *, rejections: int = 0, eta: float = 1e-4) -> Assessment:
    """Judge a step by the exact quadratic model of ``fun``."""
    objective = VectorObjective(fun, np.asarray(x, dtype=float), ())
    point = objective.start()
    s = np.asarray(s, dtype=float)
    predicted = -model_value(point.dense(), point.gradient, s)
    step = Step(s, float(np.linalg.norm(s)), predicted, False, "test")
    return RatioTest(point, eta).assess(point, objective.trial(point.x + s), step, rejections)


def test_ratio_of_a_quadratic_is_one() -> None:
    assessment = assess(lambda x: x @ x, [3.0, 4.0], [-1.0, 0.5])
    assert assessment.accepted
    assert assessment.resolved
    assert_allclose(assessment.ratio, 1.0, rtol=1e-12)


def test_a_rise_is_rejected() -> None:
    assessment = assess(lambda x: x[0] ** 4 - x[0] ** 2, [0.2], [1.5])
    assert not assessment.accepted
    assert assessment.resolved
    assert assessment.ratio < 0


def test_the_gradients_decide_below_the_rounding_of_the_values() -> None:
    # The decrease of 1e-18 is invisible next to 1e4; both signs are told apart all the same.
    good = assess(lambda x: 1e4 + x @ x, [1e-9, 0.0], [-1e-9, 0.0])
    assert (good.accepted, good.resolved) == (True, False)
    assert_allclose(good.ratio, 1.0, rtol=1e-6)
    bad = assess(lambda x: 1e4 + x[0] ** 2 + 10.0 * np.minimum(x[0], 0.0) ** 2, [1e-10, 0.0], [-1.8e-10, 0.0])
    assert (bad.accepted, bad.resolved) == (False, False)


def noisy(x: Any) -> Any:
    """A parabola with an error of 1e-13 in its value only: it changes with the last digits of x."""
    return 1.0 + x @ x + 1e-13 * np.sum(np.round(x * 1e9) % 2.0)


def test_noise_in_the_values_is_overruled_by_agreeing_gradients() -> None:
    # Predicted: 1e-16. The values differ by the noise, 1e-13, and say it went up.
    assessment = assess(noisy, [2e-8, 0.0], [-1.9e-8, 0.0])
    assert noisy(np.array([1e-9, 0.0])) > noisy(np.array([2e-8, 0.0]))
    assert (assessment.accepted, assessment.resolved) == (True, False)
    assert_allclose(assessment.ratio, 1.0, rtol=1e-6)


def test_values_small_by_cancellation_are_doubted_after_three_rejections() -> None:
    big = 1e6

    def cancels(x: Any) -> Any:
        return (big + x @ x) - big

    # Near the minimum the value carries an error of 1e-10, more than itself.
    x, s = np.array([1e-5, 0.0]), np.array([-1e-5 + 1e-6, 0.0])
    objective = VectorObjective(cancels, np.array([1e3, 0.0]), ())
    start = objective.start()
    point, trial = objective.trial(x), objective.trial(x + s)
    step = Step(s, 9e-6, -model_value(2 * np.eye(2), 2 * x, s), False, "test")
    verdicts = [RatioTest(start, 1e-4).assess(point, trial, step, rejections) for rejections in (0, 3)]
    assert [verdict.accepted for verdict in verdicts][1]
    assert verdicts[1].ratio > 0.5


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_trial_that_is_not_finite_is_rejected(bad: float) -> None:
    assessment = assess(lambda x: np.where(x[0] < 0.0, bad, x[0] ** 2), [1.0], [-2.0])
    assert not assessment.accepted
    assert math.isnan(assessment.ratio)


def test_a_trial_whose_gradient_is_not_finite_is_rejected() -> None:
    # At 0 the value of sqrt is fine and its slope is not.
    assessment = assess(lambda x: np.sqrt(x[0]) + 0.0 * x[0], [1.0], [-1.0])
    assert not assessment.accepted
    assert math.isnan(assessment.ratio)


def verdict(ratio: float, accepted: bool) -> Assessment:
    return Assessment(ratio, accepted, True)


@pytest.mark.parametrize("ratio", [math.nan, -math.inf, -1e9, -5.0, -1.0, 0.0, 1e-5])
@pytest.mark.parametrize("length", [1e-9, 0.3, 1.0, 1.7, 1e6])
def test_a_rejection_shrinks_to_a_power_of_two(ratio: float, length: float) -> None:
    step = Step(np.array([length]), length, 1.0, True, "boundary")
    radius = next_radius(length, step, verdict(ratio, False), 0, math.inf)
    assert 0.05 * length <= radius <= 0.75 * length
    assert math.frexp(radius)[0] == 0.5


def test_radius_after_an_accepted_step() -> None:
    boundary = Step(np.array([2.0]), 2.0, 1.0, True, "boundary")
    inside = Step(np.array([0.5]), 0.5, 1.0, False, "converged")
    assert next_radius(2.0, boundary, verdict(0.9, True), 0, math.inf) == 4.0
    assert next_radius(2.0, boundary, verdict(0.9, True), 0, 3.0) == 3.0
    # A longer step from the same point has just been rejected.
    assert next_radius(2.0, boundary, verdict(0.9, True), 1, math.inf) == 2.0
    assert next_radius(2.0, inside, verdict(0.9, True), 0, math.inf) == 2.0
    assert next_radius(2.0, boundary, verdict(0.5, True), 0, math.inf) == 2.0
    assert next_radius(2.0, inside, verdict(0.1, True), 0, math.inf) == 0.25


@pytest.mark.parametrize(("length", "expected"), [(1.0, 1.0), (1.99, 1.0), (0.75, 0.5), (2.0**-1000, 2.0**-1000)])
def test_power_of_two_below(length: float, expected: float) -> None:
    assert power_of_two_below(length) == expected


def test_points_count_what_is_asked_of_them_once() -> None:
    objective = VectorObjective(rosenbrock, [-1.2, 1.0], ())
    point = objective.start()
    first = point.gradient
    assert point.gradient is first
    assert_allclose(point.gradient_norm, np.linalg.norm(first), rtol=1e-14)
    assert_array_equal(point.product(np.array([1.0, 0.0])), point.dense()[:, 0])
    counters = objective.counters
    assert (counters.n_value, counters.n_grad, counters.n_hvp, counters.n_hess) == (1, 1, 1, 1)
    assert_allclose(point.dense(), hs.hessian(rosenbrock)(np.array([-1.2, 1.0])))
