"""The preconditioner from estimated norms of rows: positive, near the truth everywhere, and no worse than none where rows are alike."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import hessian as hs
from hessian.optimize import minimize
from hessian.optimize.objective import VectorObjective
from hessian.optimize.precondition import Jacobi


def surface(u: Any) -> Any:
    """Area of a surface over a square grid, with waves on its rim."""
    m = round(u.shape[0] ** 0.5)
    t = np.linspace(0.0, 1.0, m + 2)
    z = np.concatenate([(0.3 - t[1:-1])[:, None], u.reshape(m, m), (t[1:-1] ** 2)[:, None]], axis=1)
    z = np.concatenate([0.5 * np.sin(2.0 * np.pi * t)[None, :], z, 0.5 * np.cos(3.0 * t)[None, :]], axis=0)
    across, along = (z[1:, :-1] - z[:-1, :-1]) * (m + 1), (z[:-1, 1:] - z[:-1, :-1]) * (m + 1)
    return np.sum(np.sqrt(1.0 + across**2 + along**2)) / (m + 1) ** 2


@pytest.mark.parametrize("seed", range(5))
def test_no_row_is_taken_for_far_less_than_it_is(seed: int) -> None:
    x = np.random.default_rng(seed).normal(size=20 * 20)
    # One product more, which makes the pattern dense: norms are estimated.
    point = VectorObjective(lambda x: surface(x) + 1e-12 * np.sum(x) ** 2, x, ()).start()
    applied = Jacobi(seed).at(point, 1000)
    assert applied is not None
    before = point.counters.n_hvp
    found = 1.0 / applied(np.ones(x.size))
    assert (before, point.counters.n_hvp) == (8, 8)
    norms = np.linalg.norm(hs.hessian(surface)(x), axis=0)
    ratios = found / norms
    ratios /= np.median(ratios)
    assert np.min(ratios[norms > 0.01 * norms.max()]) > 0.1
    assert np.max(ratios[norms > 0.01 * norms.max()]) < 3.0


def test_rows_that_are_alike_lose_little_and_rows_that_are_not_gain_much() -> None:
    counts = {}
    for name in (None, "jacobi"):
        res = minimize(surface, np.zeros(40 * 40), method="trust-ncg", options={"preconditioner": name})
        assert res.success
        counts[name] = res.n_hvp
    assert counts["jacobi"] < 1.5 * counts[None]
    weights = np.random.default_rng(0).permutation(np.geomspace(1e-3, 1e3, 2000))

    def chain(x: Any) -> Any:
        u = np.sqrt(weights) * x
        return 0.5 * np.sum(u**2) + 0.25 * np.sum((u[1:] - u[:-1]) ** 2) - np.sum(u) + 0.01 * np.sum(np.cos(u))

    res = minimize(chain, np.zeros(2000), method="trust-ncg", options={"preconditioner": "jacobi"})
    assert res.success
    assert res.n_hvp < 650  # 755 by the mean of signs times products, 11 000 without


def test_few_colors_give_norms_exactly() -> None:
    x = np.random.default_rng(0).normal(size=20 * 20)
    objective = VectorObjective(surface, x, ())
    for point in (objective.start(), objective.trial(x + 0.1)):
        before = point.counters.n_hvp
        applied = Jacobi(0).at(point, 1000)
        assert applied is not None
        assert point.counters.n_hvp - before == 7
        found = 1.0 / applied(np.ones(x.size))
        norms = np.linalg.norm(hs.hessian(surface)(point.x), axis=0)
        ratios = found / np.maximum(norms, 1e-3 * norms.max())
        np.testing.assert_allclose(ratios, ratios[0], rtol=1e-10)
    # Not beyond what is left of the budget.
    assert Jacobi(0).at(objective.start(), 8) is None


def test_products_that_overflow_when_squared_are_no_matter() -> None:
    scale = np.where(np.arange(300) % 2, 1e170, 1.0)
    point = VectorObjective(lambda x: np.sum(scale * x**2), np.zeros(300), ()).trial(np.full(300, 1e-180))
    applied = Jacobi(0).at(point, 1000)
    assert applied is not None
    assert np.all(np.isfinite(applied(np.ones(300))))
    assert np.all(applied(np.ones(300)) > 0.0)
