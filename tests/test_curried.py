"""Functions made of functions: what they look like, what a pickle holds of them, and completion and names."""

from __future__ import annotations

import copy
import functools
import inspect
import pickle
import subprocess
import sys
import types

import numpy as np
import pytest

import hessian as hs
from hessian.errors import OptionError, PickleError

X = np.array([1.0, 2.0])


def loss(x, scale=1.0):
    """Add cubes."""
    return scale * np.sum(x**3)


def model(x):
    return x**2


class Model:
    def loss(self, x):
        return np.sum(x**3)

    slope = hs.grad(loss, 1)


class Energy:
    """An energy."""

    def __call__(self, x):
        return np.sum(x**3)


@hs.record
def recorded(x):
    return np.sum(x**3)


MADE = {
    "grad": hs.grad,
    "value_and_grad": hs.value_and_grad,
    "jacobian": hs.jacobian,
    "hessian": hs.hessian,
    "third_derivative": hs.third_derivative,
    "hessian_diagonal": hs.hessian_diagonal,
    "laplacian": hs.laplacian,
    "sparse.hessian": hs.sparse.hessian,
    "sparse.jacobian": hs.sparse.jacobian,
    "sparse.split_hessian": hs.sparse.split_hessian,
}


@pytest.mark.parametrize("name", MADE)
def test_what_is_made_of_a_function_says_so_and_looks_like_it(name):
    made = MADE[name](loss)
    assert repr(made) == f"<{name} of loss with respect to argument 0>"
    assert made.__doc__ == f"{name} of loss with respect to argument 0.\n\nAdd cubes."
    assert (made.__name__, made.__wrapped__) == ("loss", loss)
    assert inspect.signature(made) == inspect.signature(loss)


@pytest.mark.parametrize("name", MADE)
def test_what_is_made_of_a_function_is_pickled_and_copied(name):
    made = MADE[name](loss)
    for again in (pickle.loads(pickle.dumps(made)), copy.copy(made), copy.deepcopy(made)):
        assert repr(again) == repr(made)
        results = [value(X) for value in (made, again)]
        assert repr(results[0]) == repr(results[1])


@pytest.mark.parametrize("name", MADE)
def test_a_lambda_is_copied_and_not_pickled(name):
    made = MADE[name](lambda x: np.sum(x**3))
    assert repr(copy.deepcopy(made)) == repr(made)
    with pytest.raises(
        PickleError, match=r"of .*<lambda>, a function that has no name in its module .*Define the function with def"
    ):
        pickle.dumps(made)


def test_names_of_what_is_made_of_others():
    assert repr(hs.grad(hs.grad(loss))) == "<grad of grad of loss with respect to argument 0>"
    assert repr(hs.grad(loss, (0, 1))) == "<grad of loss with respect to arguments 0 and 1>"
    assert repr(hs.hessian(Model().loss)) == "<hessian of Model.loss with respect to argument 0>"
    assert repr(hs.grad(Energy())) == "<grad of Energy with respect to argument 0>"
    assert repr(hs.grad(functools.partial(loss, scale=2.0))) == "<grad of loss with respect to argument 0>"
    assert repr(hs.grad(np.sin)) == "<grad of sin with respect to argument 0>"
    assert repr(hs.grad(hs.record(loss))) == "<grad of loss with respect to argument 0>"
    assert hs.grad(functools.partial(loss, scale=2.0)).__doc__ == "grad of loss with respect to argument 0."


def test_a_derivative_in_a_class_is_a_method():
    assert Model.slope is vars(Model)["slope"]
    assert isinstance(Model().slope, types.MethodType)

    class Of:
        slope = hs.grad(Energy())

        def loss(self, x):
            return np.sum(x**2)

        gradient = hs.grad(loss, 1)

    np.testing.assert_array_equal(Of().gradient(X), 2 * X)
    np.testing.assert_array_equal(Of().slope(X), 3 * X**2)


def test_what_decorates_a_function_is_pickled_by_its_name():
    assert pickle.loads(pickle.dumps(recorded)) is recorded
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(hs.grad(recorded)))(X), 3 * X**2)


@pytest.mark.parametrize(
    ("make", "kind"),
    [
        (lambda f: hs.record(f), "RecordedFunction"),
        (lambda f: hs.record(functools.partial(f)), "RecordedFunction"),
        (lambda f: hs.HessianOperator(f, X), "HessianOperator"),
        (lambda f: 2.0 * hs.HessianOperator(f, X), "HessianOperator"),
        (lambda f: hs.JacobianOperator(f, X), "JacobianOperator"),
        (lambda f: hs.GaussNewtonOperator(model, f, X), "GaussNewtonOperator"),
        (lambda f: hs.vjp(f, X)[1], "Pullback"),
    ],
)
def test_what_no_pickle_can_hold_says_what_to_pickle(make, kind):
    made = make(lambda x: np.sum(x**3))
    copy.copy(made)
    instead = (
        "Pickle to_dense" if kind.endswith("Operator") else "Define the function with def|Pickle x, and call vjp anew"
    )
    with pytest.raises(PickleError, match=rf"{kind} of .*<lambda>.*({instead}).*cloudpickle"):
        pickle.dumps(made)
    assert issubclass(PickleError, pickle.PicklingError)


@pytest.mark.parametrize("products", [0, 1, 12])
@pytest.mark.parametrize(
    "make",
    [
        lambda x: hs.HessianOperator(loss, x),
        lambda x: hs.HessianOperator(hs.record(loss), x),
        lambda x: 2.0 * hs.HessianOperator(loss, x),
        lambda x: hs.GaussNewtonOperator(model, loss, x),
        lambda x: hs.JacobianOperator(model, x),
        lambda x: hs.JacobianOperator(hs.record(model), x),
        lambda x: hs.FisherOperator(model, x, likelihood="gaussian"),
    ],
)
def test_operators_are_pickled_and_copied_at_their_point_however_often_they_have_multiplied(make, products):
    x = X.copy()
    A = make(x)
    for _ in range(products):
        A @ X
    x += 1.0  # the operator stays where it was
    for again in (pickle.loads(pickle.dumps(A)), copy.copy(A), copy.deepcopy(A)):
        for _ in range(6):
            np.testing.assert_allclose(again @ X, A @ X, rtol=1e-14)
        np.testing.assert_allclose(again.to_dense(), A.to_dense(), rtol=1e-14)


def test_a_pullback_is_pickled():
    _, pullback = hs.vjp(model, X)
    assert repr(pullback) == "<pullback of model>"
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(pullback))(X), pullback(X))


def test_misspelt_arguments_are_answered_by_the_name_that_was_meant():
    network, rows = hs.nn.mlp((1, 1)), np.ones((3, 1))
    with pytest.raises(OptionError, match=r"there is no argument 'methd'.*Did you mean 'method'\?"):
        hs.nn.train(network, rows, rows, methd="adam")
    with pytest.raises(OptionError, match=r"there is no argument 'metod'. Did you mean 'method'\?"):
        hs.optimize.minimize(loss, X, metod="newton")
    with pytest.raises(OptionError, match=r"there is no argument 'los'. Did you mean 'loss'\?"):
        hs.optimize.least_squares(model, X, los="huber")
    with pytest.raises(OptionError, match=r"Did you mean 'maxiter'\?"):
        hs.optimize.minimize(loss, X, options={"maxitr": 3})
    with pytest.raises(OptionError, match=r"Did you mean 'learning_rate'\?"):
        hs.nn.train(network, rows, rows, loss="squared_error", method="adam", options={"lerning_rate": 0.1})


def test_completion_shows_public_names_of_rooms_that_were_not_loaded():
    code = (
        "import sys, hessian as hs; print(sorted(set(dir(hs)) ^ set(hs.__all__)), 'hessian.curvature' in sys.modules)"
    )
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert shown.split() == ["[]", "False"]


@pytest.mark.parametrize("room", ["sparse", "scipy", "transforms", "programs", "rules", "tape"])
def test_completion_of_rooms_shows_no_modules_that_they_import(room):
    module = getattr(hs, room, None) or __import__(f"hessian.{room}", fromlist=["_"])
    if hasattr(module, "__all__"):
        assert dir(module) == sorted(module.__all__)
    assert not {"annotations", "importlib", "Any", "TYPE_CHECKING"} & set(dir(module))
