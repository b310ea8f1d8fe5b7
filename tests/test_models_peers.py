"""Models of statistics in plain NumPy (``tests/models``) against statsmodels and scikit-learn."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from models.model import MODELS
from models.peers import PEERS, Peer
from numpy.testing import assert_allclose

import hessian as hs

NAMES = [pytest.param(name, marks=[pytest.mark.long] if MODELS[name].is_slow else []) for name in sorted(PEERS)]


@pytest.fixture(scope="module")
def peers():
    """Make each peer once, whatever its package warns of."""
    made: dict[str, Peer] = {}

    def get(name: str) -> Peer:
        if name not in made:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                made[name] = PEERS[name]()
        return made[name]

    return get


def _assert_close(actual, expected, tolerance):
    expected = np.asarray(expected)
    assert_allclose(np.reshape(actual, expected.shape), expected, rtol=0, atol=tolerance * np.max(np.abs(expected)))


@pytest.mark.parametrize("name", NAMES)
def test_log_likelihood_and_its_derivatives(peers, name: str) -> None:
    peer, model = peers(name), MODELS[name]
    for point in (
        (model.start, model.at)
        if peer.params is None or np.isfinite(peer.loglike(np.array(model.at)))
        else (peer.params,)
    ):
        x = np.array(point)
        _assert_close(-model.f(x), peer.loglike(x), max(model.digits, 1e-11))
        if peer.score:
            _assert_close(-hs.grad(model.f)(x), peer.score(x), peer.accuracy)
        if peer.hessian:
            _assert_close(-hs.hessian(model.f)(x), peer.hessian(x), peer.accuracy)


@pytest.mark.parametrize("name", NAMES)
def test_estimates_and_standard_errors(peers, name: str) -> None:
    peer, model = peers(name), MODELS[name]
    if peer.params is None:
        assert peer.bse is None
        return
    res = hs.optimize.minimize(model.f, np.array(model.start))
    error = res.covariance().standard_error
    assert_allclose(res.x, peer.params, rtol=0, atol=peer.tolerance * np.max(error))
    assert res.fun <= -peer.loglike(peer.params) + 1e-9 * abs(res.fun)
    if peer.bse is not None:
        given = np.isfinite(peer.bse)
        assert given.any()
        assert_allclose(error[given], peer.bse[given], rtol=peer.tolerance)
