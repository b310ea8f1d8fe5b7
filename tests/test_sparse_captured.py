"""Sparse derivatives of plain functions follow data that the function captures; recorded ones say when they are looked at."""

from __future__ import annotations

import pickle
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_array_equal

import hessian as hs
from hessian.errors import StaleRecordingError

WEIGHTS = np.arange(1.0, 6.0)


def cubes(x: Any) -> Any:
    return np.sum(WEIGHTS * x**3)


@pytest.mark.parametrize("changes", [(), (2,), (3, 5, 6, 7), range(12)])
def test_matrices_follow_captured_data(changes: Any) -> None:
    """Whenever data changes, between any two calls, entries, products and parts are those of the function as it is."""
    w, total = np.arange(1.0, 6.0), np.ones(5)
    hess = hs.sparse.hessian(lambda x: np.sum(w * x**3))
    colored = hs.sparse.hessian(lambda x: np.sum(w * x**3), substitution=True)
    jac = hs.sparse.jacobian(lambda x: w * x**2)
    split = hs.sparse.split_hessian(lambda x: np.sum(w * x**3) + np.sum(total * x) ** 2, widest=2)
    for k in range(12):
        if k in changes:
            w, total = w + k, total * 2.0
        x = np.linspace(0.5, 1.5, 5) + k
        assert_array_equal(hess(x).toarray(), np.diag(6 * w * x))
        assert_array_equal(colored(x).toarray(), np.diag(6 * w * x))
        assert_array_equal(jac(x).toarray(), np.diag(2 * w * x))
        np.testing.assert_allclose(split(x).to_dense(), np.diag(6 * w * x) + 2 * np.outer(total, total), rtol=1e-13)


def test_patterns_follow_captured_data() -> None:
    """Positions that a function captures are positions of its pattern."""
    at = np.array([0, 1])
    hess = hs.sparse.hessian(lambda x: np.sum(x[at] * x[at + 1] + x[at] ** 2))
    for k in range(6):
        at = np.array([k % 3, 3])
        expected = np.zeros((5, 5), bool)
        expected[at, at] = expected[at, at + 1] = expected[at + 1, at] = True
        x = np.arange(1.0, 6.0) + k
        assert_array_equal(hess.pattern(x).matrix.toarray(), expected)
        assert_array_equal(hess(x).toarray() != 0.0, expected)


def test_a_loaded_derivative_follows_them(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is known after loading, too, that nobody has recorded the function."""
    hess = hs.sparse.hessian(cubes)
    split = hs.sparse.split_hessian(cubes)
    x = np.ones(5)
    assert_array_equal(hess(x).toarray(), split(x).to_dense())
    again, parts = pickle.loads(pickle.dumps((hess, split)))
    for k in range(3):
        monkeypatch.setattr(f"{__name__}.WEIGHTS", np.full(5, k + 7.0))
        assert_array_equal(again(x).toarray(), np.diag(6 * WEIGHTS))
        assert_array_equal(parts(x).to_dense(), np.diag(6 * WEIGHTS))


def test_recorded_functions_tell_that_data_have_changed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who records a function is told at the next call that looks."""
    for made in (hs.sparse.hessian, hs.sparse.split_hessian):
        derivative = made(hs.record(cubes, verify="always"))
        derivative(np.ones(5))
        monkeypatch.setattr(f"{__name__}.WEIGHTS", WEIGHTS + 1.0)
        with pytest.raises(StaleRecordingError, match="now gives another value than its recording"):
            derivative(np.ones(5))


def test_sharpness_tells_that_data_have_changed() -> None:
    """A meter of a plain function does not measure what the function was when it was first measured."""
    w = np.arange(1.0, 6.0)
    meter = hs.curvature.SharpnessMeter(lambda x: np.sum(w * x**2))
    for step in range(3):
        meter.measure(np.ones(5), step)
    w = w + 1.0
    with pytest.raises(StaleRecordingError, match="Pass what changes as an argument"):
        meter.measure(np.ones(5), 3)
