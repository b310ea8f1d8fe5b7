"""Models of statistics in plain NumPy (``tests/models``): value, gradient, Hessian and fits against mpmath."""

from __future__ import annotations

import numpy as np
import pytest
from models import choices, kernels, regressions, series, survival
from models.model import MODELS, Model, names, truth
from numpy.testing import assert_allclose

import hessian as hs
from hessian.errors import NonFiniteError

assert all((choices, regressions, survival))  # they fill the table


def assert_close(actual, expected, tolerance):
    """Compare arrays relative to the largest expected entry."""
    assert np.shape(actual) == np.shape(expected)
    assert_allclose(actual, expected, rtol=0, atol=tolerance * np.max(np.abs(expected)))


def assert_exact(f, model: Model, point):
    """Compare value, gradient and Hessian at a point with the reference."""
    x, right = np.array(point), truth(model.exact, tuple(point))
    assert_close(f(x), right.value, model.digits)
    assert_close(hs.grad(f)(x), right.gradient, model.digits)
    assert_close(hs.hessian(f)(x), right.hessian, model.digits)


@pytest.mark.parametrize("name", sorted(MODELS))
def test_derivatives(name: str) -> None:
    model = MODELS[name]
    assert_exact(model.f, model, model.start)


@pytest.mark.parametrize("name", names(pytest.mark.long))
def test_programs_at_a_second_point(name: str) -> None:
    model = MODELS[name]
    recorded = hs.record(model.f)
    hs.grad(recorded)(np.array(model.start))
    hs.hessian(recorded)(np.array(model.start))
    assert_exact(recorded, model, model.at)


@pytest.mark.parametrize("name", names(pytest.mark.long))
def test_fits_and_standard_errors(name: str) -> None:
    model = MODELS[name]
    res = hs.optimize.minimize(model.f, np.array(model.start))
    assert res.success
    right = truth(model.exact, tuple(res.x.tolist()))
    covariance = np.linalg.inv(right.hessian)
    error = np.sqrt(np.diag(covariance))
    # A Newton step from here would move no parameter by a thousandth of a standard error.
    assert np.all(np.abs(covariance @ right.gradient) <= 1e-3 * error)
    assert_allclose(res.covariance().standard_error, error, rtol=1e3 * model.digits)


def test_a_hidden_markov_model_is_the_sum_over_all_paths() -> None:
    p = MODELS["hidden Markov model"].at
    assert_allclose(series.hidden_markov(np.array(p), series.SWITCHING[:8]), series.paths(p, 8), rtol=1e-14)


def test_a_norm_of_differences_of_equal_points_says_so() -> None:
    def f(p):
        Z = kernels.X / np.exp(p[0])
        d = np.linalg.norm(Z[:, None, :] - Z[None, :, :], axis=-1)
        return kernels.process(np.exp(p[1] - d), np.exp(p[2]))

    x = np.zeros(3)
    assert_close(
        hs.grad(f)(x), truth(MODELS["Gaussian process, Matern 1/2 by cdist"].exact, (0.0, 0.0, 0.0)).gradient, 1e-12
    )
    with pytest.raises(NonFiniteError, match=r"A norm has no derivative at zero\. Write s = np\.sum\(x\*\*2\)"):
        hs.statistics.covariance(f, x)
