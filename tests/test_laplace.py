"""Laplace approximations with structure, of some of the parameters, their predictions of classes and their priors."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest
import scipy.linalg
import scipy.optimize
import scipy.special
from numpy.testing import assert_allclose, assert_array_equal

import hessian as hs
from hessian.errors import ConvergenceError, NonFiniteError, OptionError, ShapeMismatchError
from hessian.statistics import delta_method, laplace

rng = np.random.default_rng(5)
X = rng.standard_normal((40, 3))
y = rng.integers(0, 3, 40)
network = hs.nn.mlp((3, 4, 3), "tanh")
params = network.init(1)
vector, unravel = hs.tape.trees.ravel(params)
N = vector.size
loss = lambda z: hs.nn.softmax_cross_entropy(z, y)
G = 40.0 * hs.GaussNewtonOperator(network, loss, params, X).to_dense()
J = hs.JacobianOperator(network, params, X).to_dense()
layers = [np.concatenate([np.ravel(a) for a in leaf.values()]) for leaf in unravel(np.arange(N, dtype=float))]
last = np.sort(layers[-1].astype(int))
per_layer = [{"W": 0.5, "b": 0.5}, {"W": 2.0, "b": 2.0}]
precision = np.where(np.isin(np.arange(N), last), 2.0, 0.5)


def of(structure="auto", prior_precision=per_layer, **keywords):
    return laplace(
        loss, params, X, model=network, scale=40, prior_precision=prior_precision, structure=structure, at_mode=False,
        **keywords,
    )  # fmt: skip


def dense_of(structure):
    """The curvature that a structure keeps, as a matrix."""
    if structure == "diagonal":
        return np.diag(np.diag(G))
    if structure == "kronecker":
        return 40.0 * hs.KFACOperator(network, loss, params, X).to_dense()
    if structure == "low-rank":
        values, vectors = scipy.linalg.eigh(G)
        return (vectors[:, -6:] * values[-6:]) @ vectors[:, -6:].T
    return G


def options(structure):
    return {"rank": 6} if structure == "low-rank" else {}


def log_evidence(H, prior, at=vector):
    """Of the Gaussian with this precision about the parameters, from dense linear algebra."""
    nll = 40.0 * float(loss(network(params, X)))
    return -nll - 0.5 * at @ (prior * at) + 0.5 * np.sum(np.log(prior)) - 0.5 * np.linalg.slogdet(H + np.diag(prior))[1]


STRUCTURES = ("dense", "diagonal", "kronecker", "low-rank")


@pytest.mark.parametrize("structure", STRUCTURES)
def test_structures_are_those_of_dense_matrices(structure):
    found = of(structure, **options(structure))
    H = dense_of(structure)
    V = np.linalg.inv(H + np.diag(precision))
    assert found.structure == structure
    assert structure in repr(found) or structure == "dense"
    assert_allclose(found.covariance, V, rtol=1e-9, atol=1e-12)
    assert_allclose(found.root @ found.root.T, V, rtol=1e-9, atol=1e-12)
    assert_allclose(hs.tape.trees.ravel(found.standard_error)[0], np.sqrt(np.diag(V)), rtol=1e-10)
    assert_allclose(found.log_evidence, log_evidence(H, precision), rtol=1e-12)
    assert_allclose(found.effective_parameters, N - np.sum(precision * np.diag(V)), rtol=1e-9)
    assert_allclose(found.multiply(vector), V @ vector, rtol=1e-9)
    assert_allclose(found.among("x[1].b"), V[np.ix_(last, last)][-3:, -3:], rtol=1e-9)
    prediction = found.predict(network, X[:5], full=True)
    assert_allclose(prediction.covariance, J[:15] @ V @ J[:15].T, rtol=1e-9, atol=1e-12)
    assert_allclose(prediction.variance.ravel(), np.diag(prediction.covariance), rtol=1e-12)
    assert found.predict(network, X[:5]).covariance is None
    assert_allclose(delta_method(lambda p: network(p, X[:2]), found).standard_error, prediction.standard_deviation[:2])


@pytest.mark.parametrize("structure", STRUCTURES)
def test_only_some_parameters_are_uncertain(structure):
    found = of(structure, only=[-1], **options(structure))
    H = dense_of("dense")[np.ix_(last, last)]
    if structure == "kronecker":
        H = dense_of(structure)[np.ix_(last, last)]
    elif structure == "diagonal":
        H = np.diag(np.diag(H))
    elif structure == "low-rank":
        values, vectors = scipy.linalg.eigh(H)
        H = (vectors[:, -6:] * values[-6:]) @ vectors[:, -6:].T
    V = np.zeros((N, N))
    V[np.ix_(last, last)] = np.linalg.inv(H + 2.0 * np.eye(len(last)))
    assert_allclose(found.covariance, V, rtol=1e-9, atol=1e-12)
    assert_allclose(found.root @ found.root.T, V, rtol=1e-9, atol=1e-12)
    assert_allclose(found.log_evidence, log_evidence(H, np.full(len(last), 2.0), vector[last]), rtol=1e-12)
    assert len(found.names) == len(last)
    assert np.all(found.standard_error[0]["W"] == 0.0)
    assert np.all(found.evidence_gradient[0]["W"] == 0.0)
    assert np.all(np.isinf(found.prior_precision[0]["W"]))
    assert np.all(found.prior_precision[1]["W"] == 2.0)
    assert_allclose(found.predict(network, X, full=True).covariance, J @ V @ J.T, rtol=1e-9, atol=1e-11)
    drawn = found.sample(3)
    assert_array_equal(drawn[0][0]["W"], params[0]["W"])
    assert np.all(drawn[0][1]["b"] != params[1]["b"])
    assert_allclose(delta_method(lambda p: network(p, X[:2]), found).covariance, (J @ V @ J.T)[:6, :6], atol=1e-10)


@pytest.mark.parametrize("structure", STRUCTURES)
def test_samples_have_the_covariance(structure):
    found = of(structure, **options(structure))
    draws = np.array([hs.tape.trees.ravel(draw)[0] for draw in found.sample(20000, rng=3)])
    root = np.linalg.cholesky(found.covariance)
    # Whitened by the covariance the moments are those of standard normal numbers.
    whitened = np.linalg.solve(root, (draws - vector).T)
    assert np.abs(whitened @ whitened.T / 20000 - np.eye(N)).max() < 0.05
    assert np.abs(whitened.mean(axis=1)).max() < 0.04
    again = found.sample(2, rng=3)[1][0]["W"]
    assert_array_equal(again, found.sample(2, rng=3)[1][0]["W"])


@pytest.mark.parametrize("structure", STRUCTURES)
def test_evidence_by_its_gradient(structure):
    found = of(structure, **options(structure))
    flat = hs.tape.trees.ravel(found.evidence_gradient)[0]
    H = dense_of(structure)
    by_layer = lambda t: log_evidence(H, precision * np.where(np.isin(np.arange(N), last), np.exp(t[1]), np.exp(t[0])))
    step = 1e-5
    for layer, places in enumerate((np.setdiff1d(np.arange(N), last), last)):
        e = step * np.eye(2)[layer]
        assert_allclose(flat[places].sum(), (by_layer(e) - by_layer(-e)) / (2.0 * step), rtol=1e-6)
    tuned = found.tune_prior()
    best = scipy.optimize.minimize_scalar(lambda t: -by_layer(np.full(2, t)), bounds=(-9.0, 9.0), method="bounded")
    assert_allclose(np.log(tuned.prior_precision[0]["b"][0] / 0.5), best.x, atol=1e-4)
    assert tuned.log_evidence >= -best.fun - 1e-9
    assert abs(hs.tape.trees.ravel(tuned.evidence_gradient)[0].sum()) < 1e-9
    grouped = found.tune_prior(groups=[1])
    both = scipy.optimize.minimize(lambda t: -by_layer(t), np.zeros(2), method="BFGS")
    assert_allclose(grouped.log_evidence, -both.fun, rtol=1e-8)
    assert grouped.log_evidence > tuned.log_evidence
    assert abs(hs.tape.trees.ravel(grouped.evidence_gradient)[0][last].sum()) < 1e-4
    assert_allclose(found.with_prior(tuned.prior_precision).log_evidence, tuned.log_evidence, rtol=1e-12)


def test_groups_have_precisions_of_their_own():
    found = of(prior_precision=1.0, prior_mean=0.3).tune_prior(groups=["x[0].W", 1])
    slopes, precisions = found.evidence_gradient, found.prior_precision
    sums = [slopes[0]["W"].sum(), slopes[0]["b"].sum(), slopes[1]["W"].sum() + slopes[1]["b"].sum()]
    assert_allclose(sums, 0.0, atol=1e-4)
    values = [np.unique(precisions[k][key]) for k, key in ((0, "W"), (0, "b"), (1, "W"), (1, "b"))]
    assert [len(value) for value in values] == [1, 1, 1, 1]
    assert values[2] == values[3]
    assert len({float(value[0]) for value in values}) == 3


def test_low_rank_says_what_is_left_out():
    full = of("dense")
    values = np.linalg.eigvalsh(G)
    for rank in (2, 6, 12):
        found = of("low-rank", rank=rank)
        assert_allclose(found.truncation, 0.5 * (N - rank) * np.log1p(values[-rank] / 0.5), rtol=1e-8)
        assert -1e-9 <= found.log_evidence - full.log_evidence <= found.truncation
    whole = of("low-rank", rank=N)
    assert_allclose(whole.covariance, full.covariance, rtol=1e-8, atol=1e-10)
    assert full.truncation == 0.0
    assert_allclose(of("low-rank").log_evidence, full.log_evidence, rtol=1e-10)


def test_low_rank_keeps_digits_where_data_are_precise():
    # Variances of parameters that data determine to 1e-6 of the prior's deviation are not differences of the prior's.
    A = np.diag([1e12, 1e10, 0.0])
    found = laplace(lambda x: 0.5 * x @ A @ x, np.zeros(3), prior_precision=1.0, structure="low-rank", rank=2)
    assert_allclose(found.standard_error**2, [1.0 / (1.0 + 1e12), 1.0 / (1.0 + 1e10), 1.0], rtol=1e-12)
    assert_allclose(np.diag(found.covariance), found.standard_error**2, rtol=1e-12)


def test_operators_as_structures():
    K = hs.KFACOperator(network, loss, params, X, eigenvalue_corrected=True)
    found = of(K)
    V = np.linalg.inv(40.0 * K.to_dense() + np.diag(precision))
    assert_allclose(found.covariance, V, rtol=1e-9, atol=1e-12)
    H = hs.GaussNewtonOperator(network, loss, params, X)
    sketch = hs.curvature.nystrom(H, 10)
    left_out = np.log1p(40.0 * sketch.error_bound / 0.5)
    assert_allclose(of(sketch).truncation, 0.5 * (N - 10) * left_out, rtol=1e-12)
    assert 0.0 <= of(sketch).log_evidence - of("dense").log_evidence <= of(sketch).truncation
    found = of(sketch)
    V = np.linalg.inv(40.0 * sketch.to_dense() + np.diag(precision))
    assert_allclose(found.covariance, V, rtol=1e-9, atol=1e-12)
    with pytest.raises(ShapeMismatchError, match="operator of order 31"):
        of(sketch, only=[-1])


def test_diagonals_by_products_and_by_layers():
    plain = laplace(
        loss, params, X, model=lambda p, X: network(p, X), scale=40, prior_precision=per_layer, structure="diagonal",
        at_mode=False,
    )  # fmt: skip
    assert_allclose(plain.log_evidence, of("diagonal").log_evidence, rtol=1e-12)
    normed = hs.nn.sequential(hs.nn.Dense(3, 4), lambda z: z - np.mean(z, axis=0), hs.nn.Dense(4, 3))
    x = normed.init(0)
    H = hs.GaussNewtonOperator(normed, loss, x, X)
    found = laplace(loss, x, X, model=normed, prior_precision=1.0, structure="diagonal", at_mode=False)
    assert_allclose(hs.tape.trees.ravel(found.standard_error)[0], 1.0 / np.sqrt(H.diagonal() + 1.0), rtol=1e-10)
    quadratic = laplace(lambda x: x[0] ** 2 + 3.0 * x[0] * x[1] + 8.0 * x[1] ** 2, np.zeros(2), prior_precision=1.0,
                        structure="diagonal")  # fmt: skip
    assert_allclose(quadratic.standard_error**2, [1.0 / 3.0, 1.0 / 17.0])


# Classes.


@pytest.mark.parametrize("structure", ["dense", "kronecker"])
def test_probabilities_of_classes(structure):
    found = of(structure)
    H = dense_of(structure)
    V = np.linalg.inv(H + np.diag(precision))
    blocks = np.stack([J[3 * i : 3 * i + 3] @ V @ J[3 * i : 3 * i + 3].T for i in range(40)])
    z = network(params, X)
    probit = found.predict_classes(network, X, method="probit")
    assert_allclose(probit.covariance, blocks, rtol=1e-9, atol=1e-12)
    widths = np.sqrt(1.0 + np.pi / 8.0 * np.diagonal(blocks, axis1=1, axis2=2))
    assert_allclose(probit.probabilities, scipy.special.softmax(z / widths, axis=1), rtol=1e-10)
    assert np.all(np.isinf(probit.standard_error))
    mean = found.predict_classes(network, X, method="mean")
    assert_allclose(mean.probabilities, scipy.special.softmax(z, axis=1), rtol=1e-12)
    few = found.predict_classes(network, X[:7], method="probit")
    assert_allclose(few.probabilities, probit.probabilities[:7], rtol=1e-10)
    assert "probit: likeliest classes 0." in repr(probit)
    assert "±" not in repr(probit)


def test_sampled_probabilities_and_their_errors():
    found = of()
    exact = found.predict_classes(network, X, method="samples", n_samples=40000, rng=1)
    errors = []
    for seed in range(20):
        one = found.predict_classes(network, X, method="samples", n_samples=100, rng=seed)
        errors.append((one.probabilities - exact.probabilities) / one.standard_error)
    assert_allclose(one.probabilities.sum(axis=1), 1.0)
    # Errors in units of the error that is told: 1 in the mean square.
    assert 0.85 < np.sqrt(np.mean(np.square(errors))) < 1.1
    assert_array_equal(
        one.probabilities, found.predict_classes(network, X, method="samples", n_samples=100, rng=19).probabilities
    )
    assert "± up to" in repr(one)


def test_log_odds():
    t = (y > 0).astype(float)
    model = lambda w, X: X @ w
    nll = lambda z: np.sum(np.logaddexp(0.0, z) - t * z)
    res = hs.optimize.minimize(lambda w: nll(model(w, X)) + 0.5 * w @ w, np.zeros(3))
    found = laplace(nll, res.x, X, model=model, prior_precision=1.0)
    z, v = X @ res.x, np.einsum("ij,jk,ik->i", X, found.covariance, X)
    got = found.predict_classes(model, X)
    assert got.probabilities.shape == (40,)
    assert_allclose(got.probabilities, scipy.special.expit(z / np.sqrt(1.0 + np.pi / 8.0 * v)), rtol=1e-12)
    column = found.predict_classes(lambda w, X: (X @ w)[:, None], X, method="samples", n_samples=20000)
    nodes, weights = np.polynomial.hermite_e.hermegauss(40)
    exact = scipy.special.expit(z[:, None] + np.sqrt(v)[:, None] * nodes) @ weights / weights.sum()
    assert column.probabilities.shape == (40, 1)
    assert np.abs((column.probabilities[:, 0] - exact) / column.standard_error[:, 0]).max() < 4.5
    assert "likeliest classes" in repr(column)


def test_examples_that_meet_are_taken_together():
    whole = lambda w, X: (X - np.mean(X @ w)) @ np.ones((3, 2)) * w[0]
    w = np.array([1.0, -0.5, 0.2])
    found = laplace(lambda z: np.sum(z**2), w, X, model=whole, prior_precision=1.0, at_mode=False)
    K = hs.JacobianOperator(whole, w, X).to_dense()
    blocks = np.stack([K[2 * i : 2 * i + 2] @ found.covariance @ K[2 * i : 2 * i + 2].T for i in range(40)])
    assert_allclose(found.predict_classes(whole, X).covariance, blocks, rtol=1e-9)
    # One that fails on some of the rows, and one that returns another number of them.
    for model in (lambda w, X: np.ones((40, 3)) * X @ w, lambda w, X: (X[:20] @ w)[np.arange(40) % 20]):
        found = laplace(lambda z: np.sum(z**2), w, X, model=model, prior_precision=1.0, at_mode=False)
        K = hs.JacobianOperator(model, w, X).to_dense()
        assert_allclose(
            found.predict_classes(model, X).covariance.ravel(), np.sum(K @ found.covariance * K, axis=1), rtol=1e-9
        )


def test_examples_that_meet_in_a_parameter_of_small_effect_are_taken_together():
    def model(w, X):
        return 1e9 * w[0] * X[:, :1] + 1e-9 * w[1] * np.mean(X) * X[:, 1:2]

    found = laplace(lambda w: 0.0 * np.sum(w**2), np.zeros(2), prior_precision=np.array([1e18, 1e-18]))
    variance = X[:, 0] ** 2 + (np.mean(X) * X[:, 1]) ** 2
    assert_allclose(found.predict_classes(model, X).covariance.ravel(), variance, rtol=1e-9)


@pytest.mark.parametrize("only", [None, [0], ["x[3].W"]])
@pytest.mark.parametrize("numbers", [2**22, 500])
def test_variances_by_layers(only, numbers, monkeypatch):
    images = rng.standard_normal((20, 4, 4, 1))
    model = hs.nn.sequential(hs.nn.Convolution(1, 2, 3), "tanh", hs.nn.Flatten(), hs.nn.Dense(8, 2))
    x = model.init(0)
    half = lambda z: 0.5 * np.sum(z**2)
    found = laplace(half, x, images, model=model, prior_precision=1.0, structure="diagonal", only=only, at_mode=False)
    K = hs.JacobianOperator(model, x, images).to_dense()
    wanted = K @ found.covariance @ K.T
    # In one block, and one example at a time.
    monkeypatch.setattr(hs.linalg.limits, "BLOCK_NUMBERS", numbers)
    assert_allclose(found.predict(model, images).variance.ravel(), np.diag(wanted), rtol=1e-9)
    assert_allclose(found.predict(model, images, full=True).covariance, wanted, rtol=1e-9, atol=1e-12)
    blocks = found.predict_classes(model, images).covariance
    assert_allclose(blocks[7], wanted[14:16, 14:16], rtol=1e-9)
    plain = found.predict(lambda p, X: model(p, X), images)
    assert_allclose(plain.variance.ravel(), np.diag(wanted), rtol=1e-9)


# What goes wrong is said.


@pytest.mark.parametrize(
    ("keywords", "error", "text"),
    [
        ({"structure": "kron"}, OptionError, "there is no structure 'kron'"),
        ({"structure": 3}, OptionError, "structure"),
        ({"structure": "dense", "rank": 3}, OptionError, "rank is 3 with structure='dense'"),
        ({"structure": "low-rank", "rank": N + 1}, OptionError, f"rank is {N + 1} for {N} parameters"),
        ({"structure": "low-rank", "rank": 0}, OptionError, "rank is 0"),
        ({"structure": "kronecker", "only": ["x[0].W"]}, OptionError, "some of the arrays of the layer"),
        ({"only": ["x[0].W[1]"]}, OptionError, "names a part of an array"),
        ({"only": []}, OptionError, "only names no parameter"),
        ({"only": [7]}, OptionError, "7"),
        (
            {"structure": "kronecker", "prior_precision": [{"W": 1.0, "b": 2.0}, {"W": 1.0, "b": 1.0}]},
            OptionError,
            "differs within the layer [0]",
        ),
    ],
)
def test_bad_structures(keywords, error, text):
    with pytest.raises(error) as caught:
        of(**keywords)
    assert text in str(caught.value)


def test_kronecker_factors_take_a_network():
    with pytest.raises(OptionError, match="without model"):
        laplace(lambda x: np.sum(x**2), np.zeros(2), prior_precision=1.0, structure="kronecker")
    with pytest.raises(OptionError, match="does not tell the rows"):
        laplace(
            lambda z: np.sum(z**2), np.ones(3), X, model=_Layer(), prior_precision=1.0, structure="kronecker",
            at_mode=False,
        )  # fmt: skip


class _Layer:
    n_parameters = 3

    def apply(self, w, X):
        return X @ w

    def __call__(self, w, X):
        return X @ w


def test_bad_diagonals():
    f = lambda x: x[0] ** 2 - x[1] ** 2
    with pytest.raises(ConvergenceError, match=r"negative curvature along 1\.00 x\[1\]"):
        laplace(f, np.zeros(2), prior_precision=1.0, structure="diagonal")
    with pytest.raises(ConvergenceError, match=r"singular to working precision along 1\.00 x\[1\]"):
        laplace(f, np.zeros(2), prior_precision=2.0, structure="diagonal")
    with pytest.raises(NonFiniteError, match="diagonal of the curvature"), np.errstate(all="ignore"):
        laplace(lambda x: np.sum(x**1.5), np.zeros(2), prior_precision=1.0, structure="diagonal")


@pytest.mark.parametrize("structure", STRUCTURES)
def test_away_from_the_mode(structure):
    with pytest.raises(ConvergenceError, match="pass at_mode=False"):
        laplace(
            loss, params, X, model=network, scale=40, prior_precision=1.0,
            structure=structure, **options(structure),
        )  # fmt: skip


def test_bad_class_predictions():
    found = of()
    with pytest.raises(OptionError, match="there is no method 'bridge'"):
        found.predict_classes(network, X, method="bridge")
    with pytest.raises(OptionError, match="An error takes two"):
        found.predict_classes(network, X, method="samples", n_samples=1)
    with pytest.raises(ShapeMismatchError, match="They are logits"):
        found.predict_classes(lambda p, X: np.sum(network(p, X)), X)
    with pytest.raises(NonFiniteError, match="logits or their derivatives"), np.errstate(all="ignore"):
        found.predict_classes(lambda p, X: np.log(network(p, X) - 100.0), X)


def test_priors_without_a_best():
    with pytest.raises(ConvergenceError, match="is at the prior mean"):
        laplace(lambda x: np.sum(x**2), np.zeros(2), prior_precision=1.0).tune_prior()
    with pytest.raises(ConvergenceError, match="there is negative curvature"):
        laplace(
            lambda x: np.sum(x**2 * np.array([-0.2, 1.0])), np.ones(2), prior_precision=1.0, at_mode=False
        ).tune_prior()
    with pytest.raises(ConvergenceError, match="the data do not depend"):
        laplace(lambda x: 0.0 * np.sum(x**2), np.ones(2), prior_precision=1.0, at_mode=False).tune_prior()
    half = laplace(lambda x: np.sum((x["a"] - 2.0) ** 2), {"a": 1.0, "b": 1.0}, prior_precision=1.0, at_mode=False)
    with pytest.raises(ConvergenceError, match="no maximum of the evidence was found along the precision of b"):
        half.tune_prior(groups=["b"])
    with pytest.raises(OptionError, match="groups names 'a' twice"):
        half.tune_prior(groups=["a", "a"])
    with pytest.raises(OptionError, match="'c'"):
        half.tune_prior(groups=["c"])


def test_priors_of_sparse_models():
    n = 600
    target = np.sin(np.arange(n) / 7.0)
    f = lambda x: np.sum(0.5 * (x - target) ** 2) + np.sum(0.5 * (x[1:] - x[:-1]) ** 2)
    D = scipy.linalg.toeplitz(np.r_[3.0, -1.0, np.zeros(n - 2)])
    D[0, 0] = D[-1, -1] = 2.0
    x = np.linalg.solve(D + np.eye(n), target)
    found = laplace(f, x, prior_precision=1.0)
    assert found.structure == "sparse"
    tuned, dense = found.tune_prior(), laplace(f, x, prior_precision=1.0, structure="dense").tune_prior()
    assert_allclose(tuned.prior_precision, dense.prior_precision, rtol=1e-5)
    assert_allclose(tuned.log_evidence, dense.log_evidence, rtol=1e-10)
    # A model of which one part is uncertain.
    pair = lambda p: f(p["x"]) + np.sum(p["s"] ** 2)
    part = laplace(pair, {"s": np.ones(2), "x": x}, prior_precision=1.0, only="x")
    assert part.structure == "sparse"
    assert_allclose(part.standard_error["x"], found.standard_error, rtol=1e-10)
    assert_allclose(part.log_evidence, found.log_evidence - 2.0, rtol=1e-12)
    assert_allclose(part.predict(lambda p: p["x"][:3] * p["s"][0]).variance, found.standard_error[:3] ** 2, rtol=1e-9)
    classes = part.predict_classes(lambda p: p["x"][:3])
    assert_allclose(classes.covariance.ravel(), found.standard_error[:3] ** 2, rtol=1e-9)


@pytest.mark.parametrize("structure", STRUCTURES)
def test_results_are_copied_and_pickled(structure):
    found = laplace(lambda x: np.sum((x - 1.0) ** 2), np.full(2, 2.0 / 3.0), prior_precision=1.0, only="x",
                    structure="dense" if structure == "kronecker" else structure)  # fmt: skip
    for again in (pickle.loads(pickle.dumps(found)), copy.deepcopy(found)):
        assert_array_equal(again.covariance, found.covariance)
        assert again.tune_prior().log_evidence == found.tune_prior().log_evidence
    network_one = of("kronecker")
    assert_array_equal(pickle.loads(pickle.dumps(network_one)).covariance, network_one.covariance)


def test_single_precision():
    x = [{key: value.astype(np.float32) for key, value in layer.items()} for layer in params]
    for structure in STRUCTURES:
        found = laplace(loss, x, X.astype(np.float32), model=network, scale=40, prior_precision=per_layer,
                        structure=structure, at_mode=False, **options(structure))  # fmt: skip
        wanted = of(structure, **options(structure))
        assert_allclose(found.log_evidence, wanted.log_evidence, rtol=1e-4)
        assert found.sample(1)[0][0]["W"].dtype == np.float32
        assert_allclose(
            found.predict_classes(network, X.astype(np.float32)).probabilities,
            wanted.predict_classes(network, X).probabilities,
            rtol=2e-3,
        )
