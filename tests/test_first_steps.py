"""The commonest mistakes of the first hour: each is answered with what to write instead."""

from __future__ import annotations

import math
import traceback

import numpy as np
import pytest

import hessian as hs
from hessian.errors import (
    DtypeError,
    LeavesTapeError,
    NotScalarError,
    OptionError,
    ShapeMismatchError,
    StaleRecordingError,
)

X = np.array([1.0, 2.0, 3.0])
SQUARE = lambda x: np.sum(x**2)
ROOMS = ("curvature", "nn", "operators", "optimize", "plotting", "statistics")
CURRIED = ("grad", "value_and_grad", "jacobian", "hessian", "hessian_diagonal", "laplacian", "third_derivative")


@pytest.mark.parametrize("name", CURRIED)
def test_a_point_given_with_the_function_is_told_where_it_goes(name):
    with pytest.raises(OptionError, match=rf"is its argument. Write hs\.{name}\(f\)\(x\)"):
        getattr(hs, name)(SQUARE, X)
    with pytest.raises(OptionError, match="the first argument is ndarray, not a function"):
        getattr(hs, name)(X)


@pytest.mark.parametrize(
    ("call", "kind", "match"),
    [
        (lambda: hs.grad(lambda x: x**2)(X), NotScalarError, r"Return a scalar \(np.sum, x\[0\]\)"),
        (lambda: hs.grad(SQUARE)(np.array([1, 2, 3])), DtypeError, r"Pass floats: x.astype\(float\)"),
        (lambda: hs.grad(lambda x: None)(X), DtypeError, "the function returned None"),
        (lambda: hs.optimize.minimize(lambda x: None, X), DtypeError, "the function returned None"),
        (lambda: hs.grad(lambda x: math.sin(x[0]))(X), LeavesTapeError, "Use np.sin rather than math.sin"),
        (lambda: hs.hvp(SQUARE, X, np.ones(2)), ShapeMismatchError, r"Pass v with shape \(3,\)"),
        (lambda: hs.HessianOperator(SQUARE, X) @ np.ones(2), ShapeMismatchError, "Pass a vector of 3 numbers"),
        (lambda: hs.HessianOperator(SQUARE, X) @ [1.0, 2.0], ShapeMismatchError, r"operand has shape \(2,\)"),
        (lambda: hs.JacobianOperator(lambda x: x[:2], X) @ np.ones(2), ShapeMismatchError, r"the operator \(2, 3\)"),
        (lambda: 2 * hs.HessianOperator(SQUARE, X) @ np.ones((2, 3)), ShapeMismatchError, "a matrix of 3 rows"),
    ],
)
def test_what_is_wrong_is_said_with_what_to_write(call, kind, match):
    with pytest.raises(kind, match=match):
        call()


def test_lists_stay_lists_and_the_error_of_a_product_says_so():
    with pytest.raises(TypeError) as caught:
        hs.grad(lambda x: np.sum(x * 2.0))([1.0, 2.0])
    assert "Pass np.array(x) for an array" in caught.value.__notes__[0]


def test_a_random_draw_inside_names_the_function_and_the_way_out():
    rng = np.random.default_rng(0)

    def noisy(x):
        return np.sum((x - rng.standard_normal(3)) ** 2)

    with pytest.raises(StaleRecordingError, match=r"<locals>.noisy now gives another value.*random draw.*record=False"):
        hs.optimize.minimize(noisy, X)


def test_completion_shows_rooms_and_python_suggests_names():
    assert set(ROOMS) < set(dir(hs))
    with pytest.raises(AttributeError) as caught:
        _ = hs.hesian
    assert "Did you mean: 'hessian'" in "".join(traceback.format_exception(caught.value)) or caught.value.obj is hs


@pytest.mark.parametrize("room", ROOMS)
def test_completion_shows_public_names_only(room):
    assert dir(getattr(hs, room)) == sorted(getattr(hs, room).__all__)


def test_few_variables_have_few_eigenvalues():
    H = hs.HessianOperator(SQUARE, X)
    assert hs.curvature.eigenvalues(H).values.tolist() == H.eigsh()[0].tolist() == [2.0, 2.0, 2.0]


def test_where_a_value_stops_being_finite_is_shown_as_a_sentence():
    shown = repr(hs.locate_nonfinite(lambda x: np.sum(np.log(x)), -X))
    assert shown.startswith("log is not finite in 3 of 3 elements, first at [0], where it is given -1, at ")


def test_a_print_inside_shows_numbers(capsys):
    hs.grad(lambda x: print(x, f"{x[0]:.3f}") or SQUARE(x))(X)
    shown = capsys.readouterr().out
    assert "[1., 2., 3.]" in shown
    assert "1.000" in shown
