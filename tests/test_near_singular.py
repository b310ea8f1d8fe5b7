"""Inverses and solutions whose derivatives have no correct digit raise, whatever the units of rows and columns."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose

import hessian as hs

# Where a pivot is zero, NumPy itself says so.
SINGULAR = r"singular to working precision, at .*test_near_singular|^Singular matrix"
ROTATION = np.linalg.qr(np.random.default_rng(3).normal(size=(3, 3)))[0]
FUNCTIONS: dict[str, Callable[[Any], Any]] = {
    "inv": lambda a: np.sum(np.linalg.inv(a)),
    "solve": lambda a: np.sum(np.linalg.solve(a, ROTATION[:, 2])),
    "solve of columns": lambda a: np.sum(np.linalg.solve(a, ROTATION[:, 1:])),
    "matrix_power": lambda a: np.sum(np.linalg.matrix_power(a, -2)),
}
every_function = pytest.mark.parametrize("f", FUNCTIONS.values(), ids=FUNCTIONS)
WAYS: dict[str, Callable[[Any, Any], Any]] = {
    "grad": lambda f, a: hs.grad(f)(a),
    "jvp": lambda f, a: hs.jvp(f, a, np.ones_like(a)),
    "hvp": lambda f, a: hs.hvp(f, a, np.ones_like(a)),
    "recorded": lambda f, a: hs.hvp(hs.record(f), a, np.ones_like(a)),
    "nested": lambda f, a: hs.grad(lambda b: np.sum(hs.grad(f)(b)))(a),
}


@every_function
@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
def test_matrices_that_are_singular_to_working_precision_raise(f, way):
    a = (ROTATION * [1.0, 2.0, 1e-17]) @ ROTATION.T
    with pytest.raises(np.linalg.LinAlgError, match=SINGULAR):
        way(f, a)


def test_units_hide_no_singular_matrix():
    a = (ROTATION * [1.0, 2.0, 1e-17]) @ ROTATION.T
    units = np.array([1e90, 1.0, 1e-90])
    for matrix in (units[:, None] * a, a * units, units[:, None] * a * units):
        with pytest.raises(np.linalg.LinAlgError, match=SINGULAR):
            hs.grad(lambda b: np.sum(np.linalg.inv(b)))(matrix)


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
def test_solutions_in_the_range_of_a_singular_matrix_raise(way):
    a = (ROTATION * [1.0, 2.0, 1e-17]) @ ROTATION.T
    for b in (a @ np.ones(3), ROTATION[:, 0], a @ a):
        with pytest.raises(np.linalg.LinAlgError, match=SINGULAR):
            way(lambda a, b=b: np.sum(np.linalg.solve(a, b)), a)
    with pytest.raises(np.linalg.LinAlgError, match=SINGULAR):
        way(lambda a: np.sum(np.linalg.solve(a, a @ a)), a)


def test_single_precision_has_its_own_limit():
    a = (ROTATION * [1.0, 2.0, 1e-10]) @ ROTATION.T
    f = lambda a: np.sum(np.linalg.inv(a))
    assert np.isfinite(hs.grad(f)(a)).all()
    with pytest.raises(np.linalg.LinAlgError, match=SINGULAR):
        hs.grad(f)(a.astype(np.float32))


def test_one_of_a_stack_is_enough():
    stack = np.stack([np.eye(3), (ROTATION * [1.0, 2.0, 1e-17]) @ ROTATION.T])
    with pytest.raises(np.linalg.LinAlgError, match=SINGULAR):
        hs.grad(lambda a: np.sum(np.linalg.inv(a)))(stack)
    with pytest.raises(np.linalg.LinAlgError, match=SINGULAR):
        hs.grad(lambda b: np.sum(np.linalg.solve(stack, b)))(np.ones((3, 1)))


@every_function
def test_matrices_of_mixed_units_do_not(f):
    a = np.array([[2.0, 1.0, 0.0], [1.0, 3.0, 1.0], [0.0, 1.0, 2.0]])
    units = np.array([1e90, 1.0, 1e-90])
    scaled = lambda b: f((units[:, None] * b * units) / units / units[:, None])
    assert_allclose(hs.grad(scaled)(a), hs.grad(f)(a), rtol=1e-12)
    for matrix in (np.diag(units), units[:, None] * a * units):
        assert np.isfinite(hs.grad(lambda b: np.sum(np.linalg.inv(b) * units[:, None] * units))(matrix)).all()
        assert np.isfinite(hs.grad(lambda b: np.sum(np.linalg.solve(b, units) * units))(matrix)).all()


def test_columns_of_zeros_tell_nothing():
    gradient = hs.grad(lambda a: np.sum(np.linalg.solve(a, np.array([[0.0, 1.0], [0.0, 1.0]]))))(np.eye(2))
    assert_allclose(gradient, [[-1.0, -1.0], [-1.0, -1.0]])
    assert hs.grad(lambda a: np.sum(np.linalg.inv(a)))(np.zeros((0, 0))).shape == (0, 0)
