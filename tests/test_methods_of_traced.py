"""Methods and operators of arrays whose arguments stand in another order than the function's, or whose shortcut is for floats."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_array_equal

import hessian as hs

Z = np.array([0.3, 0.7, 1.1])


def test_compress_takes_the_condition_as_its_argument() -> None:
    keep = np.array([True, False, True])
    assert_array_equal(hs.grad(lambda x: np.sum(x[np.argsort(x).compress(keep)]))(Z), [1, 0, 1])
    assert_array_equal(hs.grad(lambda x: np.sum(x.compress(keep) ** 2))(Z), [0.6, 0, 2.2])


def test_powers_of_masks_and_integers_are_numpys() -> None:
    assert_array_equal(hs.grad(lambda x: np.sum(x * (x > 0.5) ** 1))(Z), [0, 1, 1])
    with pytest.raises(ValueError, match="Integers to negative integer powers"):
        hs.grad(lambda x: np.sum(x * np.argsort(x) ** -1))(Z)


def test_the_deviation_of_one_value_is_flat() -> None:
    assert_array_equal(hs.grad(np.std)(np.array([2.0])), [0.0])
    assert_array_equal(hs.hessian(np.std)(np.array([2.0])), [[0.0]])


@pytest.mark.parametrize("scale", [1e200, 1.0, 1e-200])
def test_the_norm_of_numbers_whose_squares_leave_the_range(scale: float) -> None:
    x = scale * np.array([3.0, 4.0])
    with np.errstate(over="ignore"):  # the value is NumPy's, infinite at 1e200
        slope, bend = hs.grad_and_hvp(np.linalg.norm, x, np.array([1.0, 0.0]))
    assert_array_equal(slope.round(12), [0.6, 0.8])
    assert_array_equal((scale * bend).round(12), [0.128, -0.096])
