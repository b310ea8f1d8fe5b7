"""Sums at positions: what repeats adds up, what is nowhere is left out, with and without axes in front."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import hessian as hs
from hessian.rules.indexing import Positions, gather_op, scatter_add_op, scatter_at_op


@pytest.mark.parametrize("batch", [(), (3,), (2, 2)])
@pytest.mark.parametrize("shape", [(7,), (4, 5), (40, 20)])
def test_scatter_adds_in_order(shape: tuple[int, ...], batch: tuple[int, ...]) -> None:
    """The sums are those of ``np.add.at``, to the last bit, in every row; holes are left out."""
    rng = np.random.default_rng(0)
    flat = rng.integers(-1, 6, size=shape)
    flat.ravel()[:4] = [-1, 2, 2, -1]
    g = rng.normal(size=batch + shape)
    expected = np.zeros((*batch, 7))
    np.add.at(expected, (Ellipsis, flat), g)
    positions = Positions(flat, (2, 3))
    result: Any = scatter_add_op(g, positions=positions)
    np.testing.assert_array_equal(result, expected[..., :6].reshape((*batch, 2, 3)))
    x = rng.normal(size=(*batch, 2, 3))
    np.testing.assert_allclose(np.sum(result * x), np.sum(g * gather_op(x, positions=positions)), rtol=1e-12)
    inside = np.where(flat < 0, 0, flat)
    expected = np.zeros((*batch, 6))
    np.add.at(expected, (Ellipsis, inside), g)
    np.testing.assert_array_equal(scatter_at_op(g, inside, shape=(2, 3)), expected.reshape((*batch, 2, 3)))


def test_windows_have_many_products_at_once() -> None:
    """A convolution by windows of an image has the Hessian of its closed form, by single products and by a batch of them."""
    kernel = np.array([[1.0, -2.0], [0.5, 3.0]])

    def f(x: Any) -> Any:
        windows = np.lib.stride_tricks.sliding_window_view(x, (2, 2))
        return 0.5 * np.sum(np.einsum("ijkl,kl->ij", windows, kernel) ** 2)

    x = np.random.default_rng(1).normal(size=(4, 5))
    rows = np.array([np.lib.stride_tricks.sliding_window_view(unit.reshape(4, 5), (2, 2)) for unit in np.eye(20)])
    A = np.einsum("nijkl,kl->nij", rows, kernel).reshape(20, -1)
    for g in (f, hs.record(f)):
        H = hs.HessianOperator(g, x)
        for _ in range(4):  # the third of them is compiled
            np.testing.assert_allclose(H @ np.eye(20), A @ A.T, atol=1e-13)
            np.testing.assert_allclose(H @ np.ones(20), A @ A.T @ np.ones(20), atol=1e-13)
