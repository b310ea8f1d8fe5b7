"""Kronecker factors, their correction and diagonals equal those of curvlinops and BackPACK on the same networks."""

from __future__ import annotations

import warnings

import numpy as np
import pytest

import hessian as hs
from hessian.nn.losses import softmax_cross_entropy, squared_error

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    torch = pytest.importorskip("torch")
    curvlinops = pytest.importorskip("curvlinops")

pytestmark = [pytest.mark.long, pytest.mark.filterwarnings("ignore")]


def _dense(rng):
    network = hs.nn.mlp((3, 5, 4), "tanh")
    module = torch.nn.Sequential(torch.nn.Linear(3, 5), torch.nn.Tanh(), torch.nn.Linear(5, 4)).double()
    params = network.init(0)
    linear = [module[0], module[2]]
    with torch.no_grad():
        for layer, block in zip(linear, params, strict=True):
            layer.weight.copy_(torch.tensor(block["W"].T))
            layer.bias.copy_(torch.tensor(block["b"]))
    X = rng.standard_normal((7, 3))
    return network, params, module, X, X


def _convolution(rng):
    network = hs.nn.sequential(hs.nn.Convolution(2, 3, 3), "tanh", hs.nn.Flatten(), hs.nn.Dense(3 * 9, 4))
    params = network.init(0)
    # As many examples as entries of a row, or averaged rows leave eigenvectors open, and with them what is put on them.
    X = rng.standard_normal((24, 5, 5, 2))

    module = torch.nn.Sequential(
        torch.nn.Conv2d(2, 3, 3), torch.nn.Tanh(), torch.nn.Flatten(), torch.nn.Linear(27, 4)
    ).double()
    with torch.no_grad():
        module[0].weight.copy_(torch.tensor(params[0]["W"].transpose(3, 2, 0, 1)))
        module[0].bias.copy_(torch.tensor(params[0]["b"]))
        module[3].weight.copy_(torch.tensor(_channels_first(params[3]["W"])))
        module[3].bias.copy_(torch.tensor(params[3]["b"]))
    return network, params, module, X, X.transpose(0, 3, 1, 2)


def _channels_first(W):
    """Return the transpose of the weights of flattened images for channels before places."""
    return W.reshape(3, 3, 3, 4).transpose(3, 2, 0, 1).reshape(4, 27) if len(W) == 27 else W.T


def _order(network, params):
    """Return where each number of torch's parameters is in ours."""
    vector, unravel = hs.tape.trees.ravel(params)
    places = []
    for block in unravel(np.arange(vector.size, dtype=float)):
        if block:
            W = block["W"]
            places += [(_channels_first(W) if W.ndim == 2 else W.transpose(3, 2, 0, 1)).ravel(), block["b"]]
    return np.concatenate(places).astype(int)


@pytest.mark.parametrize("make", [_dense, _convolution], ids=["dense", "convolution"])
@pytest.mark.parametrize("kind", ["classes", "regression"])
@pytest.mark.parametrize("sharing", ["expand", "reduce"])
@pytest.mark.parametrize("corrected", [False, True])
def test_kronecker_factors(make, kind, sharing, corrected):
    rng = np.random.default_rng(3)
    network, params, module, X, images = make(rng)
    if kind == "classes":
        y = rng.integers(0, 4, len(X))
        ours, theirs = softmax_cross_entropy, torch.nn.CrossEntropyLoss()
    else:
        y = rng.standard_normal((len(X), 4))
        ours, theirs = squared_error, torch.nn.MSELoss()
    data = [(torch.tensor(images), torch.tensor(y))]
    kind_of = curvlinops.EKFACLinearOperator if corrected else curvlinops.KFACLinearOperator
    operator = kind_of(
        module,
        theirs,
        list(module.parameters()),
        data,
        fisher_type=curvlinops.FisherType.TYPE2,
        kfac_approx=sharing,
        separate_weight_and_bias=False,
    )
    wanted = (operator @ torch.eye(operator.shape[1], dtype=torch.float64)).detach().numpy()
    K = hs.KFACOperator(network, ours, params, X, loss_args=(y,), sharing=sharing, eigenvalue_corrected=corrected)
    places = _order(network, params)
    scale = 1.0
    if kind == "regression":
        loss = float(theirs(module(data[0][0]), data[0][1]))
        scale = loss / float(ours(network(params, X), y))
    np.testing.assert_allclose(scale * K.to_dense()[np.ix_(places, places)], wanted, rtol=1e-8, atol=1e-12)


@pytest.mark.parametrize("make", [_dense, _convolution], ids=["dense", "convolution"])
def test_diagonals_and_second_moments(make):
    backpack = pytest.importorskip("backpack")
    extensions = pytest.importorskip("backpack.extensions")
    rng = np.random.default_rng(4)
    network, params, module, X, images = make(rng)
    y = rng.integers(0, 4, len(X))
    module, loss = backpack.extend(module), backpack.extend(torch.nn.CrossEntropyLoss())
    with backpack.backpack(extensions.DiagGGNExact(), extensions.BatchGrad()):
        loss(module(torch.tensor(images)), torch.tensor(y)).backward()
    places = _order(network, params)
    diagonal = np.concatenate([p.diag_ggn_exact.numpy().ravel() for p in module.parameters()])
    found = hs.curvature.gauss_newton_diagonal(network, softmax_cross_entropy, params, X, loss_args=(y,))
    np.testing.assert_allclose(found[places], diagonal, rtol=1e-8, atol=1e-14)

    def losses(params, X, y):
        return -hs.special.log_softmax(network(params, X), axis=1)[np.arange(len(y)), y]

    gradients = np.concatenate([p.grad_batch.reshape(len(X), -1).numpy() for p in module.parameters()], axis=1)
    ours = hs.curvature.per_example(losses, params, X, y)
    np.testing.assert_allclose(ours.gradients[:, places] / len(X), gradients, rtol=1e-8, atol=1e-14)
