"""Values, gradients, Hessian-vector products and Hessians equal JAX's in double precision on the whole catalogue."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from differential.check import double_precision
from functions import CASES, Case, direction, flatten, leaves, map_leaves
from numpy.testing import assert_allclose

import hessian as hs

jax = pytest.importorskip("jax")

TOLERANCE = 1e-10


@pytest.fixture(name="double_precision")
def in_double_precision() -> Iterator[None]:
    """Switch JAX to float64 for one test; its own deprecations are not this library's errors."""
    with double_precision(DeprecationWarning):
        yield


def reference(case: Case, v: Any) -> tuple[float, np.ndarray, np.ndarray, np.ndarray]:
    """Compute value, gradient, H v and H with JAX, the last three on the raveled parameters."""

    def everything(x: Any) -> tuple[Any, Any, Any]:
        return case.with_jax(x), jax.grad(case.with_jax)(x), jax.hessian(case.with_jax)(x)

    value, gradient, blocks = jax.jit(everything)(case.x)
    assert all(leaf.dtype == np.float64 for leaf in leaves(gradient))
    dense = assemble(blocks, case.x)
    return float(value), flatten(gradient), dense @ flatten(v), dense


def assemble(blocks: Any, x: Any) -> np.ndarray:
    """Lay the nested blocks of a tree-structured Hessian out as one matrix."""
    sizes = [leaf.size for leaf in leaves(x)]
    parts = iter(leaves(blocks))
    return np.block([[next(parts).reshape(m, n) for n in sizes] for m in sizes])


def assert_close(actual: Any, expected: Any) -> None:
    """Compare with a relative tolerance in the norm of the expected array."""
    actual, expected = np.asarray(actual), np.asarray(expected)
    assert actual.shape == expected.shape
    assert_allclose(actual, expected, rtol=0, atol=TOLERANCE * max(np.max(abs(expected)), 1e-12))


def test_catalogue_is_large_enough() -> None:
    assert len(CASES) >= 48
    assert len({case.name for case in CASES}) == len(CASES)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
@pytest.mark.usefixtures("double_precision")
def test_parity(case: Case) -> None:
    v = direction(case.x, seed=1)
    before = map_leaves(np.copy, case.x)
    value, gradient, product, dense = reference(case, v)

    assert_close(hs.value_and_grad(case.with_numpy)(case.x)[0], value)
    assert_close(flatten(hs.grad(case.with_numpy)(case.x)), gradient)
    assert_close(flatten(hs.hvp(case.with_numpy, case.x, v)), product)

    both = hs.grad_and_hvp(case.with_numpy, case.x, v)
    assert_close(flatten(both[0]), gradient)
    assert_close(flatten(both[1]), product)

    operator = hs.HessianOperator(case.with_numpy, case.x)
    assert_close(operator.value, value)
    assert_close(operator.gradient, gradient)
    assert_close(operator @ flatten(v), product)
    assert_close(operator.to_dense(), dense)

    for kept, current in zip(leaves(before), leaves(case.x), strict=True):
        np.testing.assert_array_equal(kept, current)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_hessian_is_the_operator_and_symmetric(case: Case) -> None:
    dense = hs.HessianOperator(case.with_numpy, case.x).to_dense()
    assert_allclose(dense, dense.T, rtol=0, atol=1e-12 * np.max(abs(dense)))
    matrix = assemble(hs.hessian(case.with_numpy)(case.x), case.x)
    assert_allclose(matrix, dense, rtol=0, atol=1e-12 * np.max(abs(dense)))


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_forward_and_reverse_modes_agree(case: Case) -> None:
    v = direction(case.x, seed=2)
    value, slope = hs.jvp(case.with_numpy, case.x, v)
    again, pullback = hs.vjp(case.with_numpy, case.x)
    gradient = flatten(pullback(1.0))
    scale = np.linalg.norm(gradient) * np.linalg.norm(flatten(v))
    assert_allclose(value, again, rtol=1e-15)
    assert_allclose(slope, gradient @ flatten(v), rtol=0, atol=1e-13 * scale)
    assert_allclose(gradient, flatten(hs.grad(case.with_numpy)(case.x)), rtol=1e-13, atol=1e-15 * scale)
