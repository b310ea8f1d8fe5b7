"""Newton methods on Hessians that are sparse plus low rank: chosen by themselves, with the minima and statuses of products."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.sparse import csc_array

import hessian as hs
from hessian.errors import DerivativeCheckError, TooDenseError
from hessian.linalg.factoring import analyse
from hessian.linalg.sum_factor import factor_sum
from hessian.linalg.sums import SymmetricSum
from hessian.optimize import Status, minimize
from hessian.optimize.factors import Factors
from hessian.optimize.objective import VectorObjective
from hessian.optimize.shifted import ShiftedModel
from hessian.optimize.spectral import EigenModel
from hessian.sparse import split
from hessian.sparse.split import PartsOverflowError

N = 400
RNG = np.random.default_rng(0)
NOISE, COUNTS = RNG.standard_normal(N), RNG.poisson(1.0, N).astype(float)


def issue(x):
    return np.sum(x**4) + (np.sum(x**2) - 1.0) ** 2 + np.log(np.sum(np.exp(x)))


def grid_of_a_mean(x):
    u = x.reshape(20, 20)
    return (
        0.5 * np.sum((u[1:] - u[:-1]) ** 2)
        + 0.5 * np.sum((u[:, 1:] - u[:, :-1]) ** 2)
        + np.sum(np.cosh(u - 0.1 * NOISE.reshape(20, 20)))
        + 3.0 * (np.sum(x) - 5.0) ** 2
    )


def chain_of_a_mean(x):
    # Without the mean the Hessian is singular.
    return np.sum((x[1:] - x[:-1] - np.sin(np.arange(N - 1))) ** 2) + 50.0 * (np.mean(x) - 1.0) ** 2


def softmax(x):
    return N * hs.special.logsumexp(x) - COUNTS @ x + 0.05 * np.sum((x[1:] - x[:-1]) ** 2) + 0.1 * np.sum(x**2)


def norm_penalty(x):
    return (
        np.sum(np.arange(1, N + 1) / N * x**2)
        - np.sum(NOISE * x) / 10
        + 10.0 * (np.sqrt(np.sum(x**2)) - 1.0) ** 2
        + np.sum(x**2)
    )


def panel(x):
    return np.sum(np.cosh(x - np.mean(x) - 0.3 * NOISE)) + 0.5 * np.sum(x) ** 2 / N


def nested(x):
    mean = np.mean(x)
    return np.sum(x**4) + np.log(1.0 + np.sum((x - mean) ** 2)) + np.sum((x - NOISE) ** 2)


PROBLEMS = {
    "issue": (issue, 0.1 * NOISE),
    "grid of a mean": (grid_of_a_mean, np.zeros(N)),
    "chain of a mean": (chain_of_a_mean, np.zeros(N)),
    "softmax": (softmax, np.zeros(N)),
    "norm": (norm_penalty, 0.1 * NOISE),
    "panel": (panel, np.zeros(N)),
    "nested": (nested, np.zeros(N)),
}


@pytest.mark.parametrize("method", ["trust-exact", "newton", "arc"])
@pytest.mark.parametrize("name", PROBLEMS)
def test_minima_are_those_of_products(name, method):
    fun, start = PROBLEMS[name]
    options = {"gtol": 1e-8}
    res = minimize(fun, start, method=method, structure="sparse", options=options)
    other = minimize(fun, start, method="trust-ncg", options=options)
    assert (res.method, res.structure) == (method, "sparse plus low rank")
    assert res.status is Status.CONVERGED, res.message
    # Products do not always tell; what they tell is the same.
    assert other.status in (Status.CONVERGED, Status.CONVERGED_UNDECIDED, Status.PRECISION)
    np.testing.assert_allclose(res.fun, other.fun, rtol=1e-10, atol=1e-12)
    np.testing.assert_allclose(res.x, other.x, atol=1e-4 if name == "chain of a mean" else 1e-6)
    assert "Steps are by a sparse matrix of" in res.message
    assert "plus one of low rank, by " in res.message
    dense = hs.hessian(fun)(res.x)
    values = np.linalg.eigvalsh(dense)
    assert values[0] > 0.0
    assert np.abs(values - res.smallest_eigenvalue).min() <= res.smallest_eigenvalue_residual + 1e-9 * values[-1]
    assert res.smallest_eigenvalue <= 1.1 * values[0]


def test_it_is_chosen_by_itself():
    for method in ("trust-exact", "newton"):
        res = minimize(softmax, np.zeros(N), method=method)
        assert (res.structure, res.status) == ("sparse plus low rank", Status.CONVERGED)
    # A run without a method goes over once it has taken many products.
    n = 2000
    slow = lambda x: np.sum((x[1:] - x[:-1] - 1.0) ** 2) + (np.mean(x) - 1.0) ** 2
    res = minimize(slow, np.zeros(n))
    assert (res.method, res.structure, res.status) == ("trust-exact", "sparse plus low rank", Status.CONVERGED)
    assert "products it went on with a sparse matrix of 5998 entries plus one of rank 1" in res.message
    # And stays with products where few are needed.
    assert minimize(panel, np.zeros(N)).structure == "operator"


@pytest.mark.parametrize("method", ["trust-exact", "newton", "arc"])
def test_saddles_are_left(method):
    fun = lambda x: np.sum((x**2 - 1.0) ** 2) + 0.1 * np.sum((x[1:] - x[:-1]) ** 2) + 0.01 * np.sum(x) ** 2
    res = minimize(fun, np.zeros(300), method=method, structure="sparse")
    assert res.status is Status.CONVERGED, res.message
    assert res.structure == "sparse plus low rank"
    assert len(res.saddles) >= 1
    assert np.linalg.eigvalsh(hs.hessian(fun)(res.x))[0] > 0.0


def test_flat_directions_are_said():
    # A constant may be added: what is taken away from the identity makes it singular.
    res = minimize(lambda x: np.sum((x - np.mean(x) - 0.1 * NOISE) ** 2), NOISE.copy(), structure="sparse")
    assert res.status is Status.CONVERGED_SEMIDEFINITE, res.message
    assert res.structure == "sparse plus low rank"


@pytest.mark.parametrize("signs", [[1.0], [-1.0], [1.0, -1.0], [1.0, 1.0, -1.0]])
@pytest.mark.parametrize("middle", [0.0, 5.0])
@pytest.mark.parametrize("seed", range(4))
def test_shifted_steps_are_nearly_exact(seed, middle, signs):
    n, rng = 120, np.random.default_rng(seed)
    diagonal, beside = rng.standard_normal(n) + middle, rng.standard_normal(n - 1)
    rows, g = rng.standard_normal((len(signs), n)), rng.standard_normal(n)

    def fun(x):
        total = g @ x + 0.5 * np.sum(diagonal * x**2) + np.sum(beside * x[1:] * x[:-1])
        for sign, row in zip(signs, rows, strict=True):
            total = total + 0.5 * sign * np.sum(row * x) ** 2
        return total

    objective = VectorObjective(fun, np.zeros(n), ())
    objective.factors.refuse_dense(objective.hessian_at(objective.first), "test")
    assert objective.factors.is_split
    objective.factors.is_on = True
    point = objective.start()
    dense = hs.hessian(fun)(np.zeros(n))
    sparse, exact = ShiftedModel(point.sparse(), g, point.factored), EigenModel(dense, g)
    np.testing.assert_allclose(sparse.end_norm, exact.end_norm, rtol=1e-9)
    for radius in (10.0, 1.0, 0.3, 1e-3):
        step, best = sparse.step(radius), exact.step(radius)
        assert step.norm <= 1.1 * radius
        assert step.predicted >= 0.8 * best.predicted
        s = step.vector
        np.testing.assert_allclose(step.predicted, -(g @ s + 0.5 * s @ dense @ s), rtol=1e-9)


def test_branches_with_and_without_cuts():
    def fun(x):
        rest = np.sum((x[1:] - x[:-1] - 1.0) ** 2) + (x[0] - 3.0) ** 4
        return rest + 0.1 * (np.mean(x) - 1.0) ** 2 if x[0] < 1.0 else rest

    res = minimize(fun, np.zeros(300), structure="sparse")
    assert res.success, res.message
    np.testing.assert_allclose(np.diff(res.x), 1.0, atol=1e-5)


def test_resumed_runs_repeat_those_that_were_not_interrupted(tmp_path):
    options = {"preconditioner": "factor", "gtol": 1e-8}
    slow = lambda x: np.sum((x[1:] - x[:-1] - 1.0) ** 2) + 1e-7 * np.sum(x**4) + (np.mean(x) - 1.0) ** 2
    for number, (fun, settings) in enumerate(
        [(softmax, {"structure": "sparse"}), (softmax, {"method": "trust-ncg", "options": options}), (slow, {})]
    ):
        whole = minimize(fun, np.zeros(N), **settings)
        for maxiter in (2, 4, 7, 1000):
            more = {"checkpoint": tmp_path / str(number), "resume": True, "checkpoint_every": 0.0}
            more |= {"maxiter": maxiter} | settings.get("options", {})
            again = minimize(fun, np.zeros(N), **{**settings, "options": more})
        assert whole.structure == again.structure == "sparse plus low rank"
        np.testing.assert_array_equal(again.x, whole.x)


def test_containers_single_precision_and_no_programs():
    fun = lambda p: np.sum((p["a"] - p["b"]) ** 2) + np.sum(p["b"] ** 4) + (np.sum(p["a"]) - 2.0) ** 2
    start = {"a": np.full(200, 0.5), "b": np.ones(200)}
    res = minimize(fun, start, structure="sparse")
    assert (res.structure, res.success) == ("sparse plus low rank", True), res.message
    single = minimize(fun, {name: x.astype(np.float32) for name, x in start.items()}, structure="sparse")
    assert (single.structure, single.success, single.x["a"].dtype) == ("sparse plus low rank", True, np.float32)
    np.testing.assert_allclose(single.x["a"], res.x["a"], atol=1e-3)
    plain = minimize(fun, start, structure="sparse", options={"record": False})
    np.testing.assert_allclose(plain.fun, res.fun, rtol=1e-9)


def test_looking_is_bounded():
    mixed = np.random.default_rng(1).standard_normal((300, 300))
    fun = lambda x: np.sum((mixed @ x) ** 4) + np.sum(x) ** 2
    objective = VectorObjective(fun, np.ones(300), ())
    assert not Factors().is_sparse(objective.hessian_at(objective.first))
    with pytest.raises(TooDenseError, match=r"matmul|square|power"):
        minimize(fun, np.ones(300), structure="sparse")


@pytest.mark.long
def test_hundred_thousand_variables():
    n = 10**5
    start = 0.1 * np.random.default_rng(0).standard_normal(n)
    res = minimize(issue, start, method="newton", structure="sparse")
    other = minimize(issue, start, method="trust-ncg")
    assert res.status is other.status is Status.CONVERGED
    np.testing.assert_allclose(res.fun, other.fun, rtol=1e-12)
    found = hs.sparse.split_hessian(issue)(res.x)
    assert (found.sparse.nnz, found.rank <= 3) == (n, True)


def test_parts_that_are_not_the_function_are_not_used(monkeypatch):
    slow = lambda x: np.sum((x[1:] - x[:-1] - 1.0) ** 2) + (np.mean(x) - 1.0) ** 2

    def refuse(calls, good):
        def check(*args):
            calls.append(args)
            if len(calls) > good:
                raise DerivativeCheckError("split: parts differ")

        return check

    for good in (0, 1):
        calls = []
        monkeypatch.setattr(split, "check_product", refuse(calls, good))
        res = minimize(slow, np.zeros(500))
        assert (res.structure, res.method, res.success, bool(calls)) == ("operator", "trust-ncg", True, True)
    curved = lambda x: slow(x) + np.sum(x**4)
    for good in (0, 1):
        monkeypatch.setattr(split, "check_product", refuse([], good))
        with pytest.raises(DerivativeCheckError):
            minimize(curved, np.zeros(500), structure="sparse")
    # Where the test of the end is the first to look.
    monkeypatch.setattr(split, "check_product", refuse([], 10))
    objective = VectorObjective(curved, np.zeros(500), ())
    objective.factors.refuse_dense(objective.hessian_at(objective.first), "test")
    objective.factors.is_on = objective.factors.is_asked = True
    point = objective.start()
    monkeypatch.setattr(split, "check_product", refuse([], 0))
    with pytest.raises(DerivativeCheckError):
        _ = point.is_factored


@pytest.mark.parametrize("method", ["trust-exact", "newton", "arc"])
@pytest.mark.parametrize("start", [0.15, 0.3])
def test_what_is_of_low_rank_may_be_as_large_as_it_likes(method, start):
    # exp(120) beside 1: a product with V V' has no digit of S left.
    n = 400
    fun = lambda x: 0.5 * np.sum((x - NOISE) ** 2) + np.exp(np.sum(x))
    res = minimize(fun, np.full(n, start), method=method, structure="sparse", options={"maxiter": 300, "gtol": 1e-7})
    total = np.sum(res.x)
    assert (res.structure, res.status) == ("sparse plus low rank", Status.CONVERGED), res.message
    np.testing.assert_allclose(res.x, NOISE - np.exp(total), atol=1e-7)


@pytest.mark.parametrize("weight", [1e9, 1e15, 1e24])
def test_solutions_beside_large_columns(weight):
    n = 200
    b = np.cos(np.arange(n)) + weight
    matrix = SymmetricSum(csc_array(np.eye(n)), np.full((n, 1), np.sqrt(weight)), np.ones(1))
    found = factor_sum(analyse(matrix.sparse), matrix).solve(b)
    mean = np.mean(b) / (1.0 + n * weight)
    # The numbers of b are no closer.
    np.testing.assert_allclose(found, b - np.mean(b) + mean, rtol=0.0, atol=n * np.spacing(weight))
    assert abs(np.mean(found) - mean) <= 1e-13 * np.abs(found).max()


def test_single_precision_inside_is_no_mistake():
    def fun(x):
        single = np.float32(0.37) * x.astype(np.float32)
        return np.sum((x - NOISE) ** 2) + 1e-3 * np.sum(single).astype(float) ** 4 + np.sum(np.sin(single) ** 2)

    hess = hs.sparse.split_hessian(fun)
    for x in (NOISE, np.ones(N)):
        dense = hs.hessian(fun)(x)
        np.testing.assert_allclose(hess(x).to_dense(), dense, rtol=0.0, atol=1e-5 * np.abs(dense).max())
    res = minimize(fun, np.ones(N), method="newton", structure="sparse", options={"maxiter": 5})
    assert res.structure == "sparse plus low rank"


def test_parts_that_overflow():
    # Squares of these lengths are zero: what is cut has no derivative, where f has.
    fun = lambda x: np.sum(x**2) + 10.0 * np.linalg.norm(x)
    x = 1e-170 * NOISE
    with pytest.raises(DerivativeCheckError, match="overflow"):
        hs.sparse.split_hessian(fun)(x)
    for is_asked in (False, True):
        objective = VectorObjective(fun, NOISE, ())
        operator = objective.hessian_at(objective.first)
        factors = Factors()
        factors.refuse_dense(operator, "test")
        assert factors.is_split
        factors.is_asked = is_asked
        small = hs.HessianOperator(fun, x)
        if is_asked:
            assert not factors.matrix(small).is_finite
        else:
            with pytest.raises(PartsOverflowError):
                factors.matrix(small)


@pytest.mark.parametrize("method", ["trust-exact", "newton", "arc"])
def test_runs_go_on_where_parts_overflow(method):
    fun = lambda x: np.sum(x**2) + 10.0 * np.linalg.norm(x)
    res = minimize(fun, np.ones(60), method=method, structure="sparse", options={"maxiter": 300})
    assert res.fun < 1e-6
    assert res.status is not Status.CONVERGED
