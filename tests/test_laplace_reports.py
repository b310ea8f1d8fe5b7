"""Laplace approximations where users of other libraries stumbled: weak priors, single precision, saddles, kinks, tails, many classes."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.special
import scipy.stats
from numpy.testing import assert_allclose, assert_array_equal

import hessian as hs
from hessian.errors import ConvergenceError, NonFiniteError, OptionError, ShapeMismatchError
from hessian.statistics import laplace

ravel = hs.tape.trees.ravel


def _regression(seed=0, n=30):
    """A linear model with all that is known of it, in closed form."""
    rng = np.random.default_rng(seed)
    X, noise = rng.standard_normal((n, 4)), 0.3
    precision, mean = np.array([0.5, 2.0, 1.0, 3.0]), np.array([0.1, -0.2, 0.3, 0.0])
    y = X @ rng.standard_normal(4) + noise * rng.standard_normal(n)
    P = X.T @ X / noise**2 + np.diag(precision)
    mode = np.linalg.solve(P, X.T @ y / noise**2 + precision * mean)
    nll = lambda w: 0.5 * np.sum((y - X @ w) ** 2) / noise**2 + n * np.log(np.sqrt(2.0 * np.pi) * noise)
    cov = lambda prior: noise**2 * np.eye(n) + X @ np.diag(1.0 / prior) @ X.T
    evidence = lambda prior: scipy.stats.multivariate_normal(X @ mean, cov(prior)).logpdf(y)
    return nll, mode, precision, mean, evidence, P


@pytest.mark.parametrize("structure", ["dense", "sparse", "low-rank"])
def test_evidence_is_the_density_of_the_data(structure):
    nll, mode, precision, mean, evidence, P = _regression()
    n = 30
    for f, scale in ((nll, 1), (lambda w: nll(w) / n, n), (lambda w: 0.09 * nll(w), 1.0 / 0.09)):
        found = laplace(f, mode, prior_precision=precision, prior_mean=mean, scale=scale, structure=structure)
        assert_allclose(found.log_evidence, evidence(precision), rtol=1e-11)
        assert_allclose(found.covariance, np.linalg.inv(P), rtol=1e-10, atol=1e-14)
        assert_allclose(found.log_prior, scipy.stats.norm(mean, precision**-0.5).logpdf(mode).sum(), rtol=1e-12)


def test_the_mean_of_the_prior_stays():
    nll, mode, precision, mean, evidence, _ = _regression()
    found = laplace(nll, mode, prior_precision=precision, prior_mean=mean)
    again = found.with_prior(precision)
    assert again.log_evidence == found.log_evidence
    assert found.with_prior(precision, 0.0).log_evidence != found.log_evidence
    tuned = found.tune_prior()
    assert_allclose(found.with_prior(tuned.prior_precision).log_evidence, tuned.log_evidence, rtol=1e-13)
    # Minimised and tuned in turns, it is the prior under which the data have their largest density.
    factor = 1.0
    for _ in range(60):
        prior = factor * precision
        x = mode if factor == 1.0 else hs.optimize.minimize(
            lambda w, prior=prior: nll(w) + 0.5 * prior @ (w - mean) ** 2, mode, options={"gtol": 1e-10}
        ).x  # fmt: skip
        found = laplace(nll, x, prior_precision=prior, prior_mean=mean).tune_prior()
        factor = float(found.prior_precision[0] / precision[0])
    grid = np.exp(np.linspace(-1e-3, 1e-3, 3)) * factor
    values = [evidence(one * precision) for one in grid]
    assert values[1] > values[0]
    assert values[1] > values[2]


def test_priors_of_what_is_held_do_not_matter():
    f = lambda p: 2.0 * np.sum((p["a"] - 1.0) ** 2) + np.sum(p["c"] ** 2)
    x = {"a": np.full(2, 0.8), "c": np.ones(3)}
    found = laplace(f, x, prior_precision=1.0, only="a")
    assert np.all(np.isinf(found.prior_precision["c"]))
    assert found.with_prior(found.prior_precision).log_evidence == found.log_evidence
    assert laplace(f, x, prior_precision=found.prior_precision, only="a").log_evidence == found.log_evidence
    assert np.all(found.with_prior(found.prior_precision).evidence_gradient["c"] == 0.0)
    with pytest.raises(OptionError, match="not positive and finite"):
        found.with_prior({"a": np.inf, "c": 1.0})


@pytest.mark.parametrize("structure", ["dense", "diagonal", "low-rank", "sparse"])
def test_no_parameters(structure):
    for x in (np.zeros(0), [], {}, np.zeros((2, 0))):
        with pytest.raises(ShapeMismatchError, match="x holds no numbers"):
            laplace(lambda x: 0.0, x, prior_precision=1.0, structure=structure)


def test_means_are_finite():
    found = laplace(lambda x: np.sum(x**2), np.zeros(2), prior_precision=1.0)
    for mean in (np.nan, np.inf, [0.0, -np.inf]):
        with pytest.raises(NonFiniteError if mean is not np.nan else (NonFiniteError, OptionError), match="prior_mean"):
            laplace(lambda x: np.sum(x**2), np.zeros(2), prior_precision=1.0, prior_mean=mean)
        with pytest.raises((NonFiniteError, OptionError), match="prior_mean"):
            found.with_prior(1.0, mean)


@pytest.mark.parametrize("structure", ["diagonal", "low-rank"])
@pytest.mark.parametrize("n", [2, 200])
def test_saddles_are_not_modes(structure, n):
    # The diagonal is 0, the largest eigenvalue positive: only what is left out tells of a saddle.
    f = lambda x: 5.0 * x[0] * x[1] + np.sum(x**2) * (0.0 if n == 2 else 0.1)
    keywords = {"rank": 1} if structure == "low-rank" else {}
    with pytest.raises(ConvergenceError, match=r"negative curvature along 0\.71 x\[0\] - 0\.71 x\[1\]"):
        laplace(f, np.zeros(n), prior_precision=1.0, structure=structure, **keywords)
    sketch = hs.curvature.nystrom(np.eye(n), 1)
    with pytest.raises(ConvergenceError, match="is a saddle"):
        laplace(f, np.zeros(n), prior_precision=1.0, structure=sketch)
    assert laplace(f, np.zeros(n), prior_precision=1.0, structure=structure, at_mode=False, **keywords)
    assert laplace(f, np.zeros(n), prior_precision=6.0, structure=structure, **keywords)


def test_rounding_is_no_saddle():
    rng = np.random.default_rng(1)
    A = rng.standard_normal((3, 20)) * 1e6
    found = laplace(
        lambda x: 0.5 * np.sum((A @ x) ** 2), np.zeros(20), prior_precision=1e-6, structure="low-rank", rank=3
    )
    exact = np.linalg.slogdet(np.eye(3) + A @ A.T * 1e6)[1]
    assert_allclose(found.log_evidence, -0.5 * exact, rtol=1e-10)


@pytest.mark.parametrize("structure", ["dense", "diagonal", "low-rank"])
def test_kinks_have_no_curvature(structure):
    f = lambda x: np.sum(np.abs(x))
    with pytest.raises(ConvergenceError, match=r"laplace: f has a kink at x .*only="):
        laplace(f, np.zeros(2), prior_precision=1.0, structure=structure)
    laplace(f, np.full(2, 0.5), prior_precision=1.0, prior_mean=1.5)


def test_keys_of_a_single_group():
    found = laplace(lambda x: np.sum((x - 1.0) ** 2), np.array([0.5, 0.6]), prior_precision=1.0, at_mode=False)
    one, same = found.tune_prior(groups="x[0]"), found.tune_prior(groups=["x[0]"])
    assert_array_equal(one.prior_precision, same.prior_precision)
    assert one.prior_precision[0] != one.prior_precision[1]
    with pytest.raises(OptionError, match="there is no parameter 5"):
        found.tune_prior(groups=5)


# Single precision, where the curvature is many times the prior.


def _large(dtype):
    rng = np.random.default_rng(0)
    X = rng.standard_normal((500, 12)) * np.r_[np.zeros(3), np.ones(6), 30.0 * np.ones(3)]
    y = rng.integers(0, 3, 500)
    network = hs.nn.mlp((12, 6, 3), "tanh")
    x = [{key: one.astype(np.float32).astype(dtype) for key, one in layer.items()} for layer in network.init(1)]
    loss = lambda z: hs.nn.softmax_cross_entropy(z, y, reduction="sum")
    return network, loss, x, X.astype(np.float32).astype(dtype)


def _of(dtype, prior, **keywords):
    network, loss, x, X = _large(dtype)
    found = laplace(loss, x, X, model=network, prior_precision=prior, at_mode=False, **keywords)
    return found, found.predict(network, X[:20]).variance


@pytest.mark.parametrize("prior", [1e-4, 1e-2, 1.0])
def test_kronecker_factors_of_single_precision_keep_their_zeros(prior):
    (single, narrow), (double, wide) = (_of(dtype, prior, structure="kronecker") for dtype in (np.float32, np.float64))
    assert_allclose(single.log_occam, double.log_occam, atol=1e-3)
    assert_allclose(single.effective_parameters, double.effective_parameters, atol=1e-3)
    assert_allclose(narrow, wide, rtol=1e-3)
    assert single.mode.curvature._blocks[0].bases[0].dtype == np.float32


@pytest.mark.parametrize("prior", [1e-4, 1e-2, 1.0])
def test_low_rank_of_single_precision_tells_what_it_lost(prior):
    single = _of(np.float32, prior, structure="low-rank", rank=99)[0]
    exact = _of(np.float64, prior)[0]
    assert -5e-3 <= single.log_occam - exact.log_occam <= single.truncation


def test_priors_are_tuned_in_single_precision():
    wanted = ravel(_of(np.float64, 1.0)[0].tune_prior().prior_precision)[0]
    for structure in ("dense", "kronecker", "low-rank"):
        keywords = {"rank": 60} if structure == "low-rank" else {}
        found = _of(np.float32, 1.0, structure=structure, **keywords)[0].tune_prior()
        exact = _of(np.float64, 1.0, structure=structure, **keywords)[0].tune_prior()
        assert_allclose(ravel(found.prior_precision)[0], ravel(exact.prior_precision)[0], rtol=2e-3)
    assert wanted[0] > 0.0


# Classes.


def _softmax_mean(mean, covariance, nodes=60):
    """Expected softmax of three normal logits, by quadrature in the two differences that matter."""
    D = np.array([[1.0, 0.0, -1.0], [0.0, 1.0, -1.0]])
    root = np.linalg.cholesky(D @ covariance @ D.T)
    t, w = np.polynomial.hermite_e.hermegauss(nodes)
    grid, weights = np.stack(np.meshgrid(t, t), -1).reshape(-1, 2), np.outer(w, w).ravel() / w.sum() ** 2
    z = np.c_[D @ mean + grid @ root.T, np.zeros(nodes**2)]
    return weights @ scipy.special.softmax(z, axis=1)


def test_what_logits_have_in_common_changes_no_probability():
    rng = np.random.default_rng(0)
    X = rng.standard_normal((60, 2))
    y = np.array([np.argmax(a @ rng.standard_normal((2, 3)) + rng.gumbel(size=3)) for a in X])
    model = lambda w, X: X @ w
    loss = lambda z: hs.nn.softmax_cross_entropy(z, y, reduction="sum")
    for precision in (1.0, 1e-3, 1e-6):
        start = np.zeros((2, 3))
        x = hs.optimize.minimize(lambda w, p=precision: loss(model(w, X)) + 0.5 * p * np.sum(w**2), start).x
        found = laplace(loss, x, X, model=model, prior_precision=precision)
        got = found.predict_classes(model, X)
        exact = np.array([_softmax_mean(z, C) for z, C in zip(got.logits, got.covariance, strict=True)])
        assert np.abs(got.probabilities - exact).max() < 0.02
        assert_allclose(got.probabilities.sum(axis=1), 1.0, rtol=1e-13)
    # The variances of single logits are those of the prior: all classes seem equally likely.
    probit = found.predict_classes(model, X, method="probit").probabilities
    assert np.abs(probit - 1.0 / 3.0).max() < 0.01 < np.abs(exact - 1.0 / 3.0).max()


def test_pairs_of_two_classes_are_log_odds():
    rng = np.random.default_rng(3)
    X, x = rng.standard_normal((9, 2)), rng.standard_normal((2, 2))
    found = laplace(lambda w: 0.5 * np.sum(w**2), x, prior_precision=0.5, at_mode=False)
    two = found.predict_classes(lambda w, X: X @ w, X)
    one = found.predict_classes(lambda w, X: X @ (w[:, 1] - w[:, 0]), X)
    assert_allclose(two.probabilities[:, 1], one.probabilities, rtol=1e-12)
    assert_array_equal(
        one.probabilities, found.predict_classes(lambda w, X: X @ (w[:, 1] - w[:, 0]), X, method="probit").probabilities
    )
    three = found.predict_classes(lambda w, X: np.concatenate([X @ w, np.zeros((9, 1))], axis=1), X)
    for z, C, p in zip(three.logits, three.covariance, three.probabilities, strict=True):
        e = np.eye(3)
        odds = [
            sum(
                np.exp(-(z[k] - z[j]) / np.sqrt(1.0 + np.pi / 8.0 * ((e[k] - e[j]) @ C @ (e[k] - e[j]))))
                for j in range(3)
            )
            for k in range(3)
        ]
        assert_allclose(p, 1.0 / np.array(odds) / np.sum(1.0 / np.array(odds)), rtol=1e-12)


@pytest.mark.parametrize("width", [1, 2, 3])
def test_errors_of_samples_count_the_tails(width):
    """Log-odds so far out that hardly a draw crosses: what is told must cover the mean all the same, and stay small where nothing is."""
    grid = np.linspace(-12.0, 12.0, 100001)
    density = scipy.stats.norm.pdf(grid)
    model = lambda w, X: (X @ w)[:, None] * np.array([[1.0, 0.0, -50.0]])[:, :width]
    for mean, deviation in ((-40.0, 8.0), (-20.0, 6.0), (-12.0, 3.0), (-30.0, 10.0), (40.0, 8.0)):
        x = np.array([mean])
        found = laplace(lambda w: 0.0 * np.sum(w), x, prior_precision=deviation**-2, prior_mean=x)
        if width == 3:
            model = lambda w, X: np.concatenate([(X @ w)[:, None], np.zeros((1, 1)), np.full((1, 1), -90.0)], axis=1)
        exact = np.trapezoid(scipy.special.expit(mean + deviation * grid) * density, grid)
        for seed in range(5):
            got = found.predict_classes(model, np.ones((1, 1)), method="samples", n_samples=1000, rng=seed)
            assert abs(got.probabilities[0, 0] - exact) < 4.0 * got.standard_error[0, 0]
            if width > 1:
                assert abs(got.probabilities[0, 1] - 1.0 + exact) < 4.0 * got.standard_error[0, 1]
    certain = laplace(lambda w: 0.0 * np.sum(w), x, prior_precision=1e20, prior_mean=x)
    assert certain.predict_classes(model, np.ones((1, 1)), method="samples").standard_error.max() < 1e-9


def test_logits_of_one_example_are_no_log_odds():
    W = np.eye(3, 2)
    found = laplace(lambda w: np.sum(w**2), np.zeros((3, 2)), prior_precision=1.0)
    with pytest.raises(ShapeMismatchError, match="no input has 2 rows"):
        found.predict_classes(lambda w, x: x @ w, W[:, 0])
    with pytest.raises(ShapeMismatchError, match="the outputs are a container"):
        found.predict_classes(lambda w: {"a": w})
    with pytest.raises(ShapeMismatchError, match=r"\(2, 0\)"):
        found.predict_classes(lambda w: np.zeros((2, 0)))
    for outputs in (np.zeros((0, 3)), np.zeros(0)):
        none = found.predict_classes(lambda w, X, outputs=outputs: outputs, np.zeros((0, 2)))
        assert none.probabilities.shape == outputs.shape
        assert "0 examples" in repr(none)
    assert repr(found.predict(lambda w, X: X @ w.T, np.zeros((0, 2)))) == "<Prediction of 0 outputs, linearized>"


@pytest.mark.parametrize("structure", ["diagonal", "kronecker"])
@pytest.mark.parametrize("only", [None, [-1], ["x[1].W"]])
def test_many_classes_by_factors(structure, only):
    """What Jacobians as outer products give is what they give written out."""
    if structure == "kronecker" and only == ["x[1].W"]:
        return
    rng = np.random.default_rng(2)
    network = hs.nn.mlp((3, 5, 40), "tanh")
    x, X, y = network.init(0), rng.standard_normal((11, 3)), rng.integers(0, 40, 11)
    loss = lambda z: hs.nn.softmax_cross_entropy(z, y, reduction="sum")
    found = laplace(loss, x, X, model=network, prior_precision=0.3, structure=structure, only=only, at_mode=False)
    J = hs.JacobianOperator(network, x, X).to_dense().reshape(11, 40, -1)
    blocks = J @ found.covariance @ J.swapaxes(1, 2)
    assert_allclose(found.predict_classes(network, X).covariance, blocks, rtol=1e-9, atol=1e-13)
    assert_allclose(found.predict(network, X).variance, np.diagonal(blocks, axis1=1, axis2=2), rtol=1e-9)


def test_rounding_is_not_known_by_the_data():
    """Of 60 eigenvalues 57 are zero; single precision leaves a little of them, which must not count in MacKay's condition."""
    rng = np.random.default_rng(4)
    A = (np.linalg.qr(rng.standard_normal((60, 3)))[0] * 3e3).T
    found = []
    for dtype in (np.float32, np.float64):
        B, x = A.astype(np.float32).astype(dtype), np.ones(60, dtype)
        x = dtype(0.005) * (x - B.T @ (B @ x) / dtype(9e6))
        f = lambda x, B=B: np.sum((B @ x) ** 2) / 2
        found.append(laplace(f, x, prior_precision=1e3, structure="dense", at_mode=False).tune_prior())
    single, double = (float(one.prior_precision[0]) for one in found)
    assert_allclose(double * float(np.sum(found[1].value ** 2)), 3.0 * 9e6 / (9e6 + double), rtol=1e-6)
    assert_allclose(single, double, rtol=1e-4)
