"""Inputs and idioms that nobody would write on purpose: the plain function's number, or an error."""

from __future__ import annotations

import warnings
from array import array
from collections import deque
from fractions import Fraction

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

import hessian as hs
from hessian.errors import DtypeError, OptionError

X = np.array([0.7, 0.45, 1.3])


# Numbers and sequences.


@pytest.mark.parametrize("make", [list, tuple, deque, lambda items: array("d", items)])
@pytest.mark.parametrize("product", [lambda s, n: s * n, lambda s, n: n * s], ids=["s * n", "n * s"])
def test_sequences_are_repeated_by_traced_counts(make, product):
    def f(x):
        repeated = product(make([1.0, 3.0]), np.sum(x > 0.5))
        assert type(repeated) is type(make([]))
        return x[0] * sum(item**2 for item in repeated)

    assert_array_equal(hs.grad(f)(X), [20.0, 0.0, 0.0])


@pytest.mark.parametrize("product", [lambda s, x: s * x, lambda s, x: x * s], ids=["s * x", "x * s"])
def test_sequences_times_traced_floats_and_truths_raise_as_in_numpy(product):
    for number in (lambda x: x[0], lambda x: x[0] > 0.5):
        with pytest.raises(TypeError, match="integer"):
            hs.grad(lambda x: np.sum(product([1.0, 2.0], number(x))))(X)  # noqa: B023


def test_arrays_times_sequences_are_elementwise():
    assert_array_equal(hs.grad(lambda x: np.sum([1.0, 2.0, 3.0] * x))(X), [1.0, 2.0, 3.0])
    assert_array_equal(hs.grad(lambda x: np.sum([1.0, 2.0, 3.0] * x.sum().reshape(())))(X), [6.0] * 3)


def test_fill_takes_one_value():
    def f(x):
        y = x * 1.0
        y.fill([x[0], 1.0, 2.0])
        return np.sum(y)

    with pytest.raises(ValueError, match="setting an array element with a sequence"):
        hs.grad(f)(X)


# What is added at an index that names an element twice.


@pytest.mark.parametrize(
    "added",
    [True, np.array([True, False, True, True]), np.uint8(200), np.full(4, 200, np.uint8), np.float32(0.1)],
    ids=["True", "mask", "small", "smalls", "float32"],
)
@pytest.mark.parametrize("ufunc", [np.add, np.subtract])
def test_what_is_added_at_an_index_counts_in_the_precision_of_the_target(ufunc, added):
    def f(x):
        y = x * 1.0
        ufunc.at(y, [0, 1, 1, 1], added)
        return np.sum(y**2)

    value, gradient = hs.value_and_grad(f)(X)
    y = X.copy()
    ufunc.at(y, [0, 1, 1, 1], added)
    assert_allclose(value, np.sum(y**2), rtol=1e-14)
    assert_allclose(gradient, 2 * y, rtol=1e-14)


def test_traced_masks_are_counted_at_an_index():
    def f(x):
        y = np.zeros_like(x)
        np.add.at(y, [0, 1, 1], x > 0.1)
        return np.sum(y * x)

    assert_array_equal(hs.grad(f)(X), [1.0, 2.0, 0.0])


# Arrays of no axes.


def test_an_ellipsis_gives_a_view_of_an_array_of_no_axes():
    def f(x):
        y = x[...]
        y += 1.0
        return x * y

    assert hs.grad(f)(np.array(0.7)) == 3.4
    assert_array_equal(hs.grad(lambda x: f(x[:1].reshape(())))(X), [3.4, 0.0, 0.0])


# Precision.


@pytest.mark.parametrize(
    "f",
    [
        lambda x: x ** np.int64(2),
        lambda x: x ** np.float64(0.5),
        lambda x: np.mean(x, where=np.array([True, False, True])),
        lambda x: np.std(x, ddof=3),
        lambda x: np.var(x, ddof=4),
    ],
)
def test_results_have_the_dtype_and_the_value_of_numpys(f):
    for x in (X, X.astype(np.float32)):
        seen = []

        def g(x):
            seen.append(f(x))  # noqa: B023
            return np.sum(seen[-1])  # noqa: B023

        with np.errstate(divide="ignore", invalid="ignore"), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            value, _ = hs.value_and_grad(g)(x)
            plain = f(x)
        assert seen[0].dtype == plain.dtype
        assert_array_equal(value, np.sum(plain))


# Calls that NumPy refuses.


@pytest.mark.parametrize(
    ("kind", "f"),
    [
        (ValueError, lambda x: np.sum(x, where=np.ones((2, 3), bool))),
        (ValueError, lambda x: np.mean(x[None], where=np.ones((2, 3), bool))),
        (ValueError, lambda x: np.max(x, where=np.ones((2, 3), bool), initial=0.0)),
        (ValueError, lambda x: np.mean(x, dtype=int)),
        (ValueError, lambda x: np.linalg.norm(np.outer(x, x), axis=())),
        (TypeError, lambda x: np.tensordot(x, x, 0.5)),
        (ValueError, lambda x: np.einsum("1j,j->", np.outer(x, x), x)),
        (ValueError, lambda x: np.einsum("i,.i->", x, x)),
        (ValueError, lambda x: np.einsum("i->i->", x)),
        (TypeError, lambda x: np.concatenate({"a": x, "b": x}.values())),
        (ValueError, lambda x: np.rot90(np.outer(x, x), axes=(0, 2))),
        (ValueError, lambda x: np.rot90(np.outer(x, x), axes=(0, 0))),
        (np.exceptions.AxisError, lambda x: np.rollaxis(np.outer(x, x), 2)),
        (np.exceptions.AxisError, lambda x: np.rollaxis(np.outer(x, x), 1, -3)),
        (np.exceptions.AxisError, lambda x: np.rollaxis(np.outer(x, x), 1, 4)),
    ],
)
def test_calls_that_numpy_refuses_are_refused(kind, f):
    with pytest.raises(kind):
        hs.grad(lambda x: np.sum(f(x)))(X)


# What is no array, and what the errors call it.


@pytest.mark.parametrize("x", [Fraction(1, 2), 10**30, np.longdouble(0.5), np.float16(0.5)])
def test_numbers_of_other_kinds_are_refused(x):
    for transform in (hs.grad, hs.hessian, lambda f: hs.grad(hs.record(f))):
        with pytest.raises(DtypeError, match="argument x has dtype"):
            transform(lambda x: x * x)(x)


def test_errors_name_arguments_as_they_are_written():
    f = lambda x, y: np.sum(x * y)
    for way in (lambda f: f, hs.record):
        with pytest.raises(DtypeError, match=r"argument args\[1\] has .*: args\[1\]\.astype"):
            hs.grad(way(f), argnums=1)(X, 2)
        with pytest.raises(DtypeError, match=r"argument args\[1\]\[0\] has .*: args\[1\]\[0\]\.astype"):
            hs.grad(way(lambda x, y: x[0] * y[0]), argnums=(0, 1))(X, [2])
    with pytest.raises(DtypeError, match=r"argument x\[0\] has"):
        hs.grad(f, argnums=(1, 0))([2], X)
    with pytest.raises(OptionError, match="it returned a float64"):
        hs.grad(np.sum, has_aux=True)(X)


def test_minimize_takes_arrays_of_traced_numbers_and_names_what_it_cannot_take():
    for f in (lambda x: np.array([np.sum((x - 1.0) ** 2)]), lambda x: np.array([[np.sum((x - 1.0) ** 2)]])):
        for method in ("trust-exact", "L-BFGS-B", "Nelder-Mead"):
            assert_allclose(hs.optimize.minimize(f, np.zeros(2), method=method).x, 1.0, atol=1e-3)
    for x0, what in ((None, "x0 is None"), (object(), "x0 is a object"), ("ab", "x0 is a str")):
        with pytest.raises(DtypeError, match=what):
            hs.optimize.minimize(np.sum, x0)
    assert hs.optimize.minimize(lambda x: (x["a"] - 1.0) ** 2, {"a": Fraction(1, 2)}).x["a"] == 1.0
    with pytest.raises(DtypeError, match=r"returned int.*Return a float"):
        hs.optimize.minimize(lambda x: 3, np.zeros(2))


# Values are NumPy's own where other orders would leave the range.


@pytest.mark.parametrize(
    "x",
    [
        [2.0, 0.6, 2e-308, 1.7e308, -1.6, 0.2],
        [1e-16, 1e300, 1e16, -0.0, 0.5, -0.0, 1e16],
        [-5e-324, 1.8, 1e300, -5e-324, 0.5],
        [1e200, 1e200, 1e-200, 1e-200],
        [np.inf, 2.0, 0.5],
    ],
)
@pytest.mark.parametrize("f", [np.prod, np.cumprod, lambda x: np.prod(x[None], axis=1, keepdims=True)])
def test_products_are_numpys_to_the_last_bit(f, x):
    x = np.array(x)
    with np.errstate(all="ignore"):
        value, _ = hs.jvp(f, x, x)
        assert_array_equal(value, f(x))
        assert_array_equal(hs.record(f)(x), f(x))
    y = np.array([0.3, -0.7, 1.1])
    assert_allclose(hs.hessian(np.prod)(y), [[0, 1.1, -0.7], [1.1, 0, 0.3], [-0.7, 0.3, 0]], rtol=1e-15)


def test_the_determinant_of_a_matrix_with_nan_has_a_gradient_of_nan():
    stack = np.array([[[np.nan, 1.0], [0.0, 2.0]], [[1.0, 2.0], [3.0, 5.0]], [[np.inf, 1.0], [0.0, 2.0]]])
    with np.errstate(invalid="ignore"):
        gradient = hs.grad(lambda a: np.sum(np.linalg.det(a)))(stack)
    assert np.isnan(gradient[[0, 2]]).all()
    assert_allclose(gradient[1], [[5.0, -3.0], [-2.0, 1.0]])
