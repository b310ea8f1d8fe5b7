"""What an optimum says of large sparse models: by the factor of the information, as the dense matrix would say it, and as is known."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import numpy as np
import pytest
import scipy.sparse
from test_selected_inverse import smoothed_variances

import hessian as hs
from hessian.errors import ConvergenceError, NonFiniteError, OptionError, ShapeMismatchError, TooDenseError
from hessian.linalg import limits
from hessian.linalg.factoring import analyse
from hessian.optimize import least_squares, minimize
from hessian.statistics import covariance, delta_method, laplace, least_squares_covariance, sandwich_diagonal, wald_test
from hessian.statistics.outputs import Outputs

N = 620
Y = np.cumsum(0.2 * np.random.default_rng(0).standard_normal(N)) + np.random.default_rng(1).standard_normal(N)


def chain(x: Any, y: Any = Y) -> Any:
    """A random walk with noise whose tails are longer than normal."""
    return np.sum((x[1:] - x[:-1]) ** 2) / 0.08 + np.sum(np.log1p((y - x) ** 2 / 3.0)) * 2.0


def terms(x: Any, y: Any = Y) -> Any:
    return np.concatenate([(x[1:] - x[:-1]) ** 2 / 0.08, np.log1p((y - x) ** 2 / 3.0) * 2.0])


SIDE = 26


def surface(x: Any) -> Any:
    """A surface that bends, seen with noise."""
    u = x.reshape(SIDE, SIDE)
    seen = np.sin(np.arange(SIDE**2)).reshape(SIDE, SIDE)
    return np.sum(np.diff(u, axis=0) ** 2 + 0.1) + np.sum(np.diff(u, axis=1) ** 4) + 0.5 * np.sum((u - seen) ** 2)


MODELS = {"chain": (chain, np.zeros(N)), "surface": (surface, np.zeros(SIDE**2))}


@pytest.fixture(scope="module", params=MODELS)
def both(request: pytest.FixtureRequest) -> tuple[Any, Any]:
    f, start = MODELS[request.param]
    res = minimize(f, start, options={"gtol": 1e-10})
    return res.covariance(), res.covariance(structure="dense")


def test_covariances_are_those_of_the_dense_matrix(both: tuple[Any, Any]) -> None:
    sparse, dense = both
    assert (sparse.structure, dense.structure) == ("sparse", "dense")
    np.testing.assert_allclose(sparse.standard_error, dense.standard_error, rtol=1e-10)
    np.testing.assert_allclose(sparse.matrix, dense.matrix, rtol=0.0, atol=1e-12)
    np.testing.assert_allclose(sparse.root @ sparse.root.T, dense.matrix, rtol=0.0, atol=1e-12)
    np.testing.assert_allclose(sparse.correlation, dense.correlation, rtol=0.0, atol=1e-12)
    for one in both:
        np.testing.assert_allclose(
            one.among("x[5]", "x[300:303]", 7),
            dense.matrix[np.ix_([5, 300, 301, 302, 7], [5, 300, 301, 302, 7])],
            atol=1e-12,
        )
        v = np.cos(np.arange(len(dense.names)))
        np.testing.assert_allclose(one.multiply(v), dense.matrix @ v, rtol=0.0, atol=1e-11)
        np.testing.assert_allclose(one.multiply(np.stack([v, v], 1)), (dense.matrix @ np.stack([v, v], 1)), atol=1e-11)
    # Those of the sparse one are among those of the dense one, and the weakest is.
    weak = [direction.eigenvalue for direction in dense.weak_directions]
    for direction in sparse.weak_directions:
        assert np.min(np.abs(np.array(weak) - direction.eigenvalue)) <= 0.05 * direction.eigenvalue
    assert bool(weak) == bool(sparse.weak_directions)
    assert repr(sparse).splitlines()[:8] == repr(dense).splitlines()[:8]


def test_functions_of_parameters(both: tuple[Any, Any]) -> None:
    found, wanted = (delta_method(lambda x: np.exp(0.1 * x[3]), one) for one in both)
    np.testing.assert_allclose(found.standard_error, wanted.standard_error, rtol=1e-10)


@pytest.mark.parametrize(
    "f",
    [
        lambda x: x[3] * x[9] + np.exp(x[11]),
        lambda x: {"a": x[:4] ** 2, "b": np.sum(x[100:105])},
        lambda x: (x[7] - 0.0 * x[8]) ** 2,
        lambda x: np.ones(2) * x[0] * 0.0 + 1.0,
    ],
)
def test_functions_of_a_few_parameters(both: tuple[Any, Any], f: Any) -> None:
    found, wanted = (delta_method(f, one) for one in both)
    for name in ("standard_error", "bias", "second_order_error"):
        ours, theirs = (Outputs(getattr(one, name)).vector for one in (found, wanted))
        np.testing.assert_allclose(ours, theirs, rtol=1e-9, atol=1e-14)
    np.testing.assert_allclose(found.covariance, wanted.covariance, rtol=1e-9, atol=1e-14)


def test_functions_of_a_few_of_1e5_parameters() -> None:
    n = 10**5
    found = covariance(lambda x: 0.5 * np.sum((x[1:] - x[:-1]) ** 2) + np.sum(x**2), np.zeros(n))
    apart = delta_method(lambda x: x[10] - x[11], found)
    among = found.among(10, 11)
    np.testing.assert_allclose(apart.standard_error**2, among[0, 0] + among[1, 1] - 2.0 * among[0, 1], rtol=1e-12)
    assert wald_test(found, ["x[10]", "x[11]"]).statistic == pytest.approx(0.0)
    constant = delta_method(lambda x: np.ones(2), found)
    assert constant.standard_error.tolist() == [0.0, 0.0]
    with pytest.raises(TooDenseError, match=r"root of a covariance of 100000 numbers.*\.multiply"):
        delta_method(np.mean, found)


def test_copies_factor_again(both: tuple[Any, Any]) -> None:
    for again in (pickle.loads(pickle.dumps(both[0].spread)), copy.deepcopy(both[0].spread)):
        np.testing.assert_allclose(again.product(np.ones(again.order)), both[0].spread.product(np.ones(again.order)))


def test_sandwiches() -> None:
    res = minimize(chain, np.zeros(N), options={"gtol": 1e-10})
    sparse, dense = (
        res.covariance("sandwich", per_example=terms, structure=structure) for structure in ("sparse", "dense")
    )
    assert (sparse.structure, dense.structure) == ("sparse", "dense")
    np.testing.assert_allclose(sparse.standard_error, dense.standard_error, rtol=1e-10)
    np.testing.assert_allclose(sparse.matrix, dense.matrix, rtol=0.0, atol=1e-11)
    np.testing.assert_allclose(sparse.root @ sparse.root.T, dense.matrix, rtol=0.0, atol=1e-11)
    np.testing.assert_allclose(sparse.among("x[1]", "x[2]"), dense.matrix[1:3, 1:3], rtol=1e-10)


def test_what_was_held_is_known() -> None:
    res = minimize(chain, np.zeros(N), options={"gtol": 1e-10}, fixed={"x[10:20]": 0.5, "x[0]": 0.0})
    sparse, dense = (res.covariance(structure=structure) for structure in ("sparse", "dense"))
    assert sparse.structure == "sparse"
    assert sparse.fixed == dense.fixed
    assert sparse.standard_error[10] == 0.0
    np.testing.assert_allclose(sparse.standard_error, dense.standard_error, rtol=1e-10)
    np.testing.assert_allclose(sparse.matrix, dense.matrix, rtol=0.0, atol=1e-12)


def residuals(x: Any) -> Any:
    return np.concatenate([(x[1:] - x[:-1]) / 0.2, np.tanh(x) - Y / 3.0])


@pytest.mark.parametrize("kind", ["expected", "observed", "sandwich"])
def test_least_squares(kind: str) -> None:
    res = least_squares(residuals, np.zeros(N), structure="sparse", options={"gtol": 1e-12})
    sparse, dense = res.covariance(kind), res.covariance(kind, structure="dense")
    assert (sparse.structure, dense.structure) == ("sparse", "dense")
    np.testing.assert_allclose(sparse.standard_error, dense.standard_error, rtol=1e-9)
    np.testing.assert_allclose(sparse.among(3, 4), dense.matrix[3:5, 3:5], rtol=1e-9)
    if kind == "expected":
        np.testing.assert_allclose(sparse.standard_error, res.standard_error, rtol=1e-11)


def test_a_jacobian_that_does_not_fit_is_sparse(monkeypatch: pytest.MonkeyPatch) -> None:
    res = least_squares(residuals, np.zeros(N), structure="sparse", options={"gtol": 1e-12})
    assert least_squares_covariance(residuals, res.x).structure == "dense"
    monkeypatch.setattr(limits, "MATRIX_BYTES", 10**6)
    assert least_squares_covariance(residuals, res.x).structure == "sparse"


def test_the_smoother_of_1e5_steps() -> None:
    n, noise, drift = 10**5, 0.7, 0.01
    y = np.sin(np.linspace(0.0, 30.0, n))

    def f(x: Any) -> Any:
        return 0.5 * (np.sum((x[1:] - x[:-1]) ** 2) / drift + np.sum((y - x) ** 2) / noise)

    found = minimize(f, np.zeros(n)).covariance()
    np.testing.assert_allclose(found.standard_error**2, smoothed_variances(n, noise, drift), rtol=1e-11)
    for ask in (lambda: found.matrix, lambda: found.root, lambda: np.asarray(found), lambda: found.correlation):
        with pytest.raises(TooDenseError, match=r"(?s)100000 numbers.*74.5 GiB.*\.among.*\.multiply"):
            ask()


def test_an_autoregression_of_1e5_steps() -> None:
    n, share, spread = 10**5, 0.9, 1.3

    def f(x: Any) -> Any:
        steps = x[1:] - share * x[:-1]
        return 0.5 * ((1.0 - share**2) * x[0] ** 2 + np.sum(steps**2)) / spread**2

    found = covariance(f, np.zeros(n))
    variance = spread**2 / (1.0 - share**2)
    np.testing.assert_allclose(found.standard_error**2, np.full(n, variance), rtol=1e-12)
    at = [0, 50_000, 50_003, n - 1]
    apart = np.abs(np.subtract.outer(at, at))
    np.testing.assert_allclose(found.among(*at), variance * share**apart, rtol=1e-11, atol=1e-14)
    # A mean of all: the sum of a geometric series.
    ones = np.full(n, 1.0 / n)
    wanted = variance / n**2 * (n + 2.0 * share / (1.0 - share) * (n - (1.0 - share**n) / (1.0 - share)))
    np.testing.assert_allclose(ones @ found.multiply(ones), wanted, rtol=1e-11)


def test_an_evidence_of_1e5_parameters() -> None:
    n, tension, prior = 10**5, 3.0, 0.2

    def f(x: Any) -> Any:
        return 0.5 * tension * (x[0] ** 2 + np.sum((x[1:] - x[:-1]) ** 2) + x[-1] ** 2)

    found = laplace(f, np.zeros(n), prior_precision=prior)
    values = tension * (2.0 - 2.0 * np.cos(np.arange(1, n + 1) * np.pi / (n + 1))) + prior
    occam = 0.5 * (n * np.log(2.0 * np.pi) - np.sum(np.log(values)))
    np.testing.assert_allclose(found.log_occam, occam, rtol=1e-12)
    np.testing.assert_allclose(found.log_evidence, 0.5 * np.sum(np.log(prior / values)), rtol=1e-12)
    np.testing.assert_allclose(found.effective_parameters, n - prior * np.sum(1.0 / values), rtol=1e-10)
    with pytest.raises(TooDenseError, match=r"\.among"):
        found.covariance  # noqa: B018
    with pytest.raises(TooDenseError, match="covariance of 100000 numbers"):
        found.predict(lambda x: x, full=True)


@pytest.mark.parametrize("curvature", ["hessian", "gauss-newton"])
def test_laplace_is_that_of_the_dense_matrix(curvature: str) -> None:
    prior = np.linspace(0.5, 1.5, N)
    if curvature == "hessian":
        x = minimize(lambda x: chain(x) + 0.5 * np.sum(prior * x**2), np.zeros(N), options={"gtol": 1e-10}).x
        args: dict[str, Any] = {"f": chain, "x": x}
    else:
        half = lambda z: 0.5 * np.sum(z**2)
        x = minimize(lambda x: half(residuals(x)) + 0.5 * np.sum(prior * x**2), np.zeros(N), options={"gtol": 1e-10}).x
        args = {"f": half, "x": x, "model": residuals}
    sparse, dense = laplace(**args, prior_precision=prior), laplace(**args, prior_precision=prior, structure="dense")
    assert (sparse.structure, dense.structure, sparse.curvature) == ("sparse", "dense", curvature)
    np.testing.assert_allclose(sparse.standard_error, dense.standard_error, rtol=1e-11)
    for name in ("log_evidence", "log_occam", "log_prior", "effective_parameters"):
        np.testing.assert_allclose(getattr(sparse, name), getattr(dense, name), rtol=1e-11)
    np.testing.assert_allclose(sparse.covariance, dense.covariance, rtol=0.0, atol=1e-12)
    np.testing.assert_allclose(sparse.among("x[1:3]"), dense.covariance[1:3, 1:3], rtol=1e-11)
    model = lambda x: {"a": x[1:] * x[:-1], "b": np.sum(x)}
    ours, theirs = (one.predict(model, full=True) for one in (sparse, dense))
    np.testing.assert_allclose(ours.variance["a"], theirs.variance["a"], rtol=1e-10)
    np.testing.assert_allclose(ours.variance["b"], theirs.variance["b"], rtol=1e-10)
    np.testing.assert_allclose(ours.covariance, theirs.covariance, rtol=0.0, atol=1e-10)
    # Draws have the covariance: sums of squares in its units are chi-square.
    draws = np.stack(sparse.sample(200)) - x
    squares = np.sum(draws * np.linalg.solve(dense.covariance, draws.T).T, axis=1)
    assert abs(np.mean(squares) - N) < 4.0 * np.sqrt(2.0 * N / 200)
    np.testing.assert_allclose(np.std(draws[:, ::50], axis=0), dense.standard_error[::50], rtol=0.25)


def test_single_precision() -> None:
    x = minimize(chain, np.zeros(N), options={"gtol": 1e-10}).x
    wanted = covariance(chain, x).standard_error
    found = covariance(chain, x.astype(np.float32), Y.astype(np.float32))
    assert found.structure == "sparse"
    np.testing.assert_allclose(found.standard_error, wanted, rtol=1e-5)


def flat(x: Any) -> Any:
    return np.sum((x[1:] - x[:-1]) ** 2)


@pytest.mark.parametrize("n", [N, 10**5])
def test_what_nothing_determines_is_named(n: int) -> None:
    with pytest.raises(ConvergenceError, match=r"(?s)singular to working precision along.* x\[.*infinite"):
        covariance(flat, np.zeros(n))
    with pytest.raises(ConvergenceError, match=r"(?s)negative curvature along.*x\[7\].*no minimum"):
        covariance(lambda x: flat(x) + np.sum(x**2) - 8.0 * x[7] ** 2, np.zeros(n))
    with pytest.raises(ConvergenceError, match="negative curvature"):
        covariance(lambda x: -flat(x) - np.sum(x**2), np.zeros(n))
    # A parameter that does not appear.
    with pytest.raises(ConvergenceError, match=r"singular.* along 1\.00 x\[3\]"):
        covariance(lambda x: np.sum(x[:3] ** 2) + np.sum(x[4:] ** 2), np.zeros(n))


def test_units_do_not_matter() -> None:
    units = np.exp(np.linspace(-12.0, 12.0, N))
    found = covariance(lambda x: chain(x / units), minimize(chain, np.zeros(N), options={"gtol": 1e-10}).x * units)
    assert found.structure == "sparse"
    wanted = minimize(chain, np.zeros(N), options={"gtol": 1e-10}).covariance().standard_error
    np.testing.assert_allclose(found.standard_error / units, wanted, rtol=1e-9)


def test_refusals() -> None:
    x = minimize(chain, np.zeros(N), options={"gtol": 1e-10}).x
    found, every = covariance(chain, x), np.random.default_rng(0).standard_normal((N, N))
    with pytest.raises(OptionError, match=r"no structure 'banded'"):
        covariance(chain, x, structure="banded")
    with pytest.raises(OptionError, match=r"laplace: there is no structure"):
        laplace(chain, x, prior_precision=1.0, structure="operator")
    with pytest.raises(TooDenseError, match=r"(?s)information matrix of 620 parameters.*is dense.*Leave structure out"):
        covariance(lambda x: np.sum(np.cos(every @ x)), x, structure="sparse")
    with pytest.raises(TooDenseError, match="is dense"):
        least_squares_covariance(lambda x: np.append(x, np.sum(x)), x, structure="sparse")
    with pytest.raises(ConvergenceError, match="standard errors from the minimum"):
        covariance(chain, x + 1.0)
    with pytest.raises(NonFiniteError, match="NaN or infinity"):
        covariance(lambda x: chain(x) + np.abs(x[0] - x[0]) ** 1.5, x)
    with pytest.raises(ShapeMismatchError, match="among: no parameter is named"):
        found.among()
    with pytest.raises(OptionError, match=r"no parameter 'y\[3\]'"):
        found.among("y[3]")
    with pytest.raises(ShapeMismatchError, match=r"multiply: v has shape \(3,\)"):
        found.multiply(np.ones(3))


def test_a_dense_model_stays_dense() -> None:
    n = 520
    matrix = np.eye(n) + 0.5 / n
    f = lambda x: 0.5 * x @ matrix @ x
    found = hs.statistics.covariance(f, np.zeros(n))
    assert found.structure == "dense"
    np.testing.assert_allclose(found.matrix, np.linalg.inv(matrix), atol=1e-13)


def test_kinds_with_scores() -> None:
    x = minimize(chain, np.zeros(N), options={"gtol": 1e-10}).x
    groups = np.arange(2 * N - 1) % 640
    for keywords in ({"kind": "HC1", "n_obs": 2 * N}, {"kind": "cluster", "groups": groups}):
        sparse, dense = (
            covariance(chain, x, per_example=terms, structure=structure, **keywords)  # type: ignore[arg-type]
            for structure in ("auto", "dense")
        )
        assert (sparse.structure, sparse.n_groups) == ("sparse", dense.n_groups)
        np.testing.assert_allclose(sparse.standard_error, dense.standard_error, rtol=1e-10)
    res = least_squares(residuals, np.zeros(N), structure="sparse", options={"gtol": 1e-12})
    assert res.covariance("HC3").structure == "dense"
    with pytest.raises(OptionError, match=r"HC2.*structure='sparse'"):
        res.covariance("HC2", structure="sparse")


def test_hypotheses_about_a_few_parameters(both: tuple[Any, Any]) -> None:
    found, wanted = (wald_test(one, ["x[3]", "x[9]"]) for one in both)
    np.testing.assert_allclose(found.statistic, wanted.statistic, rtol=1e-10)
    with pytest.raises(ConvergenceError, match="not independent"):
        wald_test(both[0], lambda x: np.stack([x[3] + x[9], x[3] - x[9], 2.0 * x[9]]))


def test_a_minimum_that_recedes_is_told() -> None:
    with pytest.raises(ConvergenceError, match=r"off what the Hessian at x predicts\. The minimum recedes"):
        covariance(lambda x: np.sum(np.exp(-x)) + 1e-12 * np.sum((x[1:] - x[:-1]) ** 2), np.full(N, 18.0), scale=1e2)


def pulled(x: Any) -> Any:
    """A chain whose mean and norm are known: dense, but for two numbers that everything passes through."""
    return chain(x) + 40.0 * (np.mean(x) - 0.2) ** 2 * N + 0.5 * (np.sum(x**2) / N - 1.0) ** 2 * N


def softened(x: Any) -> Any:
    return chain(x) + 3.0 * np.log(np.sum(np.exp(x)))


@pytest.mark.parametrize("f", [pulled, softened])
def test_sparse_plus_low_rank(f: Any) -> None:
    res = minimize(f, np.zeros(N), options={"gtol": 1e-10})
    sparse, dense = res.covariance(), res.covariance(structure="dense")
    assert (sparse.structure, dense.structure) == ("sparse", "dense")
    assert sparse.spread.factor.kind == "sum"
    np.testing.assert_allclose(sparse.standard_error, dense.standard_error, rtol=1e-10)
    np.testing.assert_allclose(sparse.among(5, 6), dense.matrix[5:7, 5:7], rtol=1e-10)
    np.testing.assert_allclose(sparse.root @ sparse.root.T, dense.matrix, rtol=0.0, atol=1e-11)
    np.testing.assert_allclose(
        pickle.loads(pickle.dumps(sparse.spread)).product(np.ones(N)), dense.matrix.sum(axis=1), rtol=1e-9
    )
    held = covariance(f, res.x, fixed=["x[3]"], structure="sparse")
    np.testing.assert_allclose(
        held.standard_error, covariance(f, res.x, fixed=["x[3]"], structure="dense").standard_error, rtol=1e-10
    )
    ours, theirs = (
        laplace(lambda x: f(x) - 0.05 * np.sum(x**2), res.x, prior_precision=0.1, structure=structure)
        for structure in ("auto", "dense")
    )
    assert (ours.structure, theirs.structure) == ("sparse", "dense")
    np.testing.assert_allclose(ours.log_evidence, theirs.log_evidence, rtol=1e-12)
    np.testing.assert_allclose(ours.standard_error, theirs.standard_error, rtol=1e-10)


def test_a_level_that_only_what_is_of_low_rank_determines() -> None:
    f = lambda x: 0.5 * np.sum((x[1:] - x[:-1]) ** 2) + 1e-9 * np.sum(x**2) + 0.5 * N * np.mean(x) ** 2
    sparse, dense = (covariance(f, np.zeros(N), structure=structure) for structure in ("auto", "dense"))
    assert sparse.structure == "sparse"
    np.testing.assert_allclose(sparse.standard_error, dense.standard_error, rtol=1e-9)


def test_sparse_plus_low_rank_of_1e5_parameters() -> None:
    n = 10**5
    weights = np.linspace(1.0, 2.0, n)
    found = covariance(lambda x: 0.5 * np.sum(weights * x**2) + 0.5 * np.sum(x) ** 2, np.zeros(n))
    rest = 1.0 + np.sum(1.0 / weights)
    np.testing.assert_allclose(found.standard_error**2, 1.0 / weights - 1.0 / weights**2 / rest, rtol=1e-12)
    np.testing.assert_allclose(found.among(3, 7)[0, 1], -1.0 / weights[3] / weights[7] / rest, rtol=1e-10)


def _chain(x: Any, y: np.ndarray, weights: np.ndarray) -> Any:
    step = np.concatenate([np.zeros(1), x[1:] - x[:-1]])
    return 0.5 * weights * (x - y) ** 2 + 0.5 * step**2


def _grid(x: Any, y: np.ndarray, weights: np.ndarray) -> Any:
    X = x.reshape(40, -1)
    down, right = X[1:] - X[:-1], X[:, 1:] - X[:, :-1]
    parts = [0.5 * weights * (x - y) ** 2, 0.05 * (down**2).reshape(-1), 0.05 * (right**2).reshape(-1)]
    return np.concatenate(parts)


@pytest.mark.parametrize("terms", [_chain, _grid])
@pytest.mark.parametrize("spread", [0.0, 3.0])
def test_sandwiches_by_factors_are_those_by_solves(terms: Any, spread: float, monkeypatch: pytest.MonkeyPatch) -> None:
    rng, n = np.random.default_rng(4), 1200
    # Scores whose sizes lie far apart: eigenvalues of the pencil do, too.
    y, weights = np.exp(spread * rng.standard_normal(n)) * rng.standard_normal(n), rng.uniform(0.5, 2.0, n)
    f = lambda x: np.sum(terms(x, y, weights))
    x = minimize(f, np.zeros(n), options={"gtol": 1e-9}).x
    given: dict[str, Any] = {"kind": "sandwich", "per_example": lambda x: terms(x, y, weights), "structure": "sparse"}
    found = covariance(f, x, fixed=("x[3]",), **given)
    inner, scores = found.spread._inner, found.spread._scores
    variances, known = inner.sandwiched(scores)
    monkeypatch.setattr(limits, "SANDWICH_ORDER", n + 1)
    assert inner.sandwiched(scores) is None
    solved = covariance(f, x, fixed=("x[3]",), **given).standard_error
    assert solved[3] == found.standard_error[3] == 0.0
    np.testing.assert_allclose(found.standard_error, solved, rtol=1e-9)
    np.testing.assert_allclose(variances[known], solved[known] ** 2, rtol=1e-9)
    assert known.mean() > (0.5 if spread == 0.0 else 0.0)


def test_when_sandwiches_are_left_to_solves() -> None:
    points = 0.125 * (1.0 - np.cos(np.pi * np.arange(14) / 13))
    weights = sandwich_diagonal.slope_weights(points)
    np.testing.assert_allclose(weights @ points**3, 0.0, atol=1e-12)
    np.testing.assert_allclose(weights @ np.column_stack([points, points**2]), [1.0, 0.0], atol=1e-12)
    assert sandwich_diagonal.truncation(points, weights) < 1e-10
    eye = scipy.sparse.csc_array(scipy.sparse.eye_array(1100))
    plan = analyse(eye)
    factor = plan.factor(eye, definite=True)
    full = scipy.sparse.csc_array(np.ones((1100, 1100)))
    for middle in (full, 0.0 * eye):
        assert sandwich_diagonal.sandwich_diagonal(eye, factor, middle) is None
    found, known = sandwich_diagonal.sandwich_diagonal(eye, factor, 2.0 * eye)
    np.testing.assert_allclose(found, 2.0, rtol=1e-9)
    assert known.all()
    # More than the polynomial reaches is not semidefinite, and no factor of it is had.
    assert (
        sandwich_diagonal.sandwich_diagonal(
            eye, factor, scipy.sparse.csc_array(scipy.sparse.diags_array(np.r_[1.0, np.full(1099, -1e3)]))
        )
        is None
    )
