"""Laplace approximations equal those of laplace-torch on the same networks: evidence, covariance, functional variance, probabilities."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from numpy.testing import assert_allclose

import hessian as hs
from hessian.nn.losses import softmax_cross_entropy
from hessian.statistics import laplace

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    torch = pytest.importorskip("torch")
    theirs = pytest.importorskip("laplace")
    backends = pytest.importorskip("laplace.curvature.curvlinops")

pytestmark = [pytest.mark.long, pytest.mark.filterwarnings("ignore")]


@pytest.fixture(autouse=True)
def _double_precision():
    """The full matrix of theirs is otherwise formed in single precision, whatever the network's is."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(before)


SIZES, PRIOR, NOISE = (3, 5, 4), 0.7, 0.4


class _AddOne(torch.nn.Module):
    """Appends the one that a bias multiplies: Kronecker factors of weights and biases together."""

    def forward(self, x):
        return torch.cat([x, torch.ones_like(x[..., :1])], dim=-1)


def _pair(kind):
    """The same network twice, the data, and where each number of torch's parameters is in ours."""
    rng = np.random.default_rng(8)
    network = hs.nn.mlp(SIZES, "tanh")
    params = network.init(2)
    modules, places = [], []
    vector, unravel = hs.tape.trees.ravel(params)
    numbers = unravel(np.arange(vector.size, dtype=float))
    for k, (layer, where) in enumerate(zip(params, numbers, strict=True)):
        linear = torch.nn.Linear(SIZES[k] + 1, SIZES[k + 1], bias=False)
        with torch.no_grad():
            linear.weight = torch.nn.Parameter(torch.tensor(np.vstack([layer["W"], layer["b"]]).T.copy()))
        places.append(np.vstack([where["W"], where["b"]]).T.ravel())
        modules += [_AddOne(), linear] + ([torch.nn.Tanh()] if k + 1 < len(params) else [])
    X = rng.standard_normal((30, 3))
    y = rng.integers(0, 4, 30) if kind == "classification" else rng.standard_normal((30, 4))
    return network, params, torch.nn.Sequential(*modules).double(), X, y, np.concatenate(places).astype(int)


def _ours(kind, network, params, X, y, structure, **keywords):
    if kind == "classification":
        loss = lambda z: softmax_cross_entropy(z, y, reduction="sum")
    else:
        constant = y.size * np.log(np.sqrt(2.0 * np.pi) * NOISE)
        loss = lambda z: 0.5 * np.sum((z - y) ** 2) / NOISE**2 + constant
    return laplace(
        loss, params, X, model=network, prior_precision=PRIOR, structure=structure, at_mode=False, **keywords
    )


def _theirs(kind, module, X, y, structure, subset="all"):
    noise = {} if kind == "classification" else {"sigma_noise": NOISE}
    backend = backends.CurvlinopsGGN
    found = theirs.Laplace(
        module,
        kind,
        subset_of_weights=subset,
        hessian_structure=structure,
        prior_precision=PRIOR,
        backend=backend,
        **noise,
    )
    data = torch.utils.data.TensorDataset(torch.tensor(X), torch.tensor(y))
    found.fit(torch.utils.data.DataLoader(data, batch_size=len(X)))
    return found


STRUCTURES = {"dense": "full", "diagonal": "diag", "kronecker": "kron"}


def _covariance(found, structure):
    if structure == "kronecker":
        return found.posterior_precision.to_matrix(exponent=-1).detach().numpy()
    if structure == "diagonal":
        return np.diag(found.posterior_variance.detach().numpy())
    return found.posterior_covariance.detach().numpy()


@pytest.mark.parametrize("kind", ["regression", "classification"])
@pytest.mark.parametrize("structure", list(STRUCTURES))
@pytest.mark.parametrize("subset", ["all", "last_layer"])
def test_numbers_are_those_of_laplace_torch(kind, structure, subset):
    network, params, module, X, y, places = _pair(kind)
    only = {} if subset == "all" else {"only": [-1]}
    ours = _ours(kind, network, params, X, y, structure, **only)
    other = _theirs(kind, module, X, y, STRUCTURES[structure], subset)
    places = places if subset == "all" else places[20:]
    assert_allclose(ours.log_evidence, float(other.log_marginal_likelihood()), rtol=1e-10)
    covariance = _covariance(other, structure)
    assert_allclose(ours.covariance[np.ix_(places, places)], covariance, rtol=1e-8, atol=1e-11)
    mean, variance = other._glm_predictive_distribution(torch.tensor(X))
    prediction = ours.predict(network, X)
    assert_allclose(prediction.mean, mean.detach().numpy(), rtol=1e-10)
    blocks = variance.detach().numpy()
    assert_allclose(prediction.variance, np.diagonal(blocks, axis1=1, axis2=2), rtol=1e-8)
    # Samples of either have the covariance of both, whitened to the identity.
    draws = np.array([hs.tape.trees.ravel(draw)[0] for draw in ours.sample(20000)])[:, places]
    root = np.linalg.cholesky(covariance)
    torch.manual_seed(0)
    for drawn in (draws, other.sample(20000).detach().numpy()):
        white = np.linalg.solve(root, (drawn - hs.tape.trees.ravel(params)[0][places]).T)
        assert np.abs(white @ white.T / 20000 - np.eye(len(places))).max() < 0.05
    if kind == "classification":
        assert_allclose(ours.predict_classes(network, X).covariance, blocks, rtol=1e-8, atol=1e-11)
        probit = other(torch.tensor(X), pred_type="glm", link_approx="probit").detach().numpy()
        assert_allclose(ours.predict_classes(network, X, method="probit").probabilities, probit, rtol=1e-8)
        sampled = ours.predict_classes(network, X, method="samples", n_samples=20000)
        again = other(torch.tensor(X), pred_type="glm", link_approx="mc", n_samples=20000).detach().numpy()
        assert np.abs((sampled.probabilities - again) / sampled.standard_error).max() < 4.5 * np.sqrt(2.0)


@pytest.mark.parametrize("kind", ["regression", "classification"])
@pytest.mark.parametrize("structure", list(STRUCTURES))
def test_priors_are_those_of_laplace_torch(kind, structure):
    network, params, module, X, y, _ = _pair(kind)
    ours = _ours(kind, network, params, X, y, structure)
    other = _theirs(kind, module, X, y, STRUCTURES[structure])
    for precision in (0.01, 1.0, 50.0):
        value = torch.tensor(precision, dtype=torch.float64, requires_grad=True)
        evidence = other.log_marginal_likelihood(prior_precision=value)
        found = ours.with_prior(precision)
        assert_allclose(found.log_evidence, float(evidence), rtol=1e-10)
        slope = precision * float(torch.autograd.grad(evidence, value)[0])
        assert_allclose(hs.tape.trees.ravel(found.evidence_gradient)[0].sum(), slope, rtol=1e-8)
    tuned = ours.tune_prior()
    best = float(np.ravel(tuned.prior_precision[0]["b"])[0])
    for near in (0.98 * best, 1.02 * best):
        assert float(other.log_marginal_likelihood(prior_precision=torch.tensor(near))) < tuned.log_evidence
