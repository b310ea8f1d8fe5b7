"""Calls as SciPy's users write them: numbers for points, results of one element, callbacks, bounds that bound nothing."""

from __future__ import annotations

import collections
import functools
import pickle
from typing import Any

import numpy as np
import pytest
import scipy.optimize
from numpy.testing import assert_allclose, assert_array_equal
from optimize_problems import rosenbrock
from scipy.optimize import Bounds

from hessian.errors import DtypeError, NotScalarError, OptionError
from hessian.optimize import OptimizeResult, Status, least_squares, minimize
from hessian.optimize.scipy_constraints import binds
from hessian.optimize.scipy_conventions import Callback
from hessian.tape.trees import scipy_point

METHODS = [None, "newton", "trust-ncg", "L-BFGS-B", "trust-constr", "Nelder-Mead"]
START = np.array([-1.2, 1.0])


# Points.


@pytest.mark.parametrize("x0", [5, 5.0, np.float64(5.0), np.array(5.0), [5], (5.0,)])
@pytest.mark.parametrize("method", METHODS)
def test_a_number_is_an_array_of_one(x0: Any, method: str | None) -> None:
    res = minimize(lambda x: (x[0] - 3.0) ** 2, x0, method=method)
    assert isinstance(res.x, np.ndarray)
    assert res.x.shape == (1,)
    assert_allclose(res.x, 3.0, atol=1e-4)
    assert scipy.optimize.minimize(lambda x: (x[0] - 3.0) ** 2, x0).x.shape == (1,)


def test_rectangular_lists_are_arrays_and_ragged_ones_are_not() -> None:
    res = minimize(lambda x: np.sum((x - 1.0) ** 2), [[0, 0], [0, 0]])
    assert_array_equal(res.x, np.ones((2, 2)))
    assert scipy_point(((1, 2), (3, 4))).shape == (2, 2)
    assert scipy_point([1.0, [2.0, 3.0]]) == [1.0, [2.0, 3.0]]
    tree = {"a": 1.0, "b": [2.0, 3.0]}
    assert scipy_point(tree) is tree
    arrays = [np.zeros(2), np.zeros(2)]
    assert scipy_point(arrays) is arrays
    named = collections.namedtuple("Line", "slope offset")(1.0, 2.0)
    assert scipy_point(named) is named
    assert minimize(lambda p: (p.slope - 3.0) ** 2 + p.offset**2, named).x.slope == pytest.approx(3.0)
    same = np.zeros((2, 3))
    assert scipy_point(same) is same


def test_least_squares_takes_a_number() -> None:
    res = least_squares(lambda x: x[0] - np.array([1.0, 2.0]), 0)
    assert_allclose(res.x, [1.5])
    assert scipy.optimize.least_squares(lambda x: x[0] - np.array([1.0, 2.0]), 0).x.shape == (1,)


# Objectives.


@pytest.mark.parametrize("shape", [(), (1,), (1, 1)])
@pytest.mark.parametrize("method", METHODS)
def test_a_result_of_one_element_is_a_number(shape: tuple[int, ...], method: str | None) -> None:
    res = minimize(lambda x: np.reshape(rosenbrock(x), shape), START, method=method)
    assert isinstance(res.fun, float)
    assert_allclose(res.x, 1.0, atol=1e-2)


def test_lists_of_one_number_and_covariances_of_such_objectives() -> None:
    res = minimize(lambda x: [(x[0] - 3.0) ** 2], 1.0)
    assert_allclose(res.hess, [[2.0]])
    assert_allclose(res.covariance().standard_error, np.sqrt(0.5))


@pytest.mark.parametrize("method", ["newton", "L-BFGS-B", "trust-constr"])
@pytest.mark.parametrize(
    ("result", "kind", "text"),
    [
        (lambda x: x, NotScalarError, r"minimize: the function returned an array of shape \(2,\)"),
        (lambda x: (x[0] ** 2, 2.0 * x), NotScalarError, "minimize: the function returned a tuple of 2.*value only"),
        (lambda x: None, DtypeError, "minimize: the function returned None"),
        (lambda x: "a", DtypeError, "minimize: the function returned str"),
        (lambda x: np.argmax(x), DtypeError, "minimize: the function returned a number of dtype int64"),
    ],
)
def test_errors_are_signed_by_what_was_called(result: Any, kind: type, text: str, method: str) -> None:
    with pytest.raises(kind, match=text):
        minimize(result, START, method=method)


@pytest.mark.parametrize(("result", "text"), [(None, "None"), ("a", "a text")])
def test_errors_of_residuals_are_signed_by_least_squares(result: Any, text: str) -> None:
    with pytest.raises(DtypeError, match=f"least_squares: the function returned {text}"):
        least_squares(lambda x: result, 1.0)


# Callbacks.


class Listener:
    """A callback that is a method."""

    def __init__(self) -> None:
        self.seen: list[Any] = []

    def by_point(self, xk: np.ndarray) -> None:
        self.seen.append(xk)

    def by_name(self, intermediate_result: OptimizeResult) -> None:
        self.seen.append(intermediate_result.x)

    def by_both(self, x: np.ndarray, state: OptimizeResult) -> None:
        assert_array_equal(x, state.x)
        assert isinstance(state.fun, float)
        self.seen.append(x)


@pytest.mark.parametrize("kind", ["by_point", "by_name", "by_both"])
@pytest.mark.parametrize("method", [*METHODS, "SLSQP", "TNC", "COBYQA"])
def test_three_kinds_of_callbacks(method: str | None, kind: str) -> None:
    listener = Listener()
    limit = {"maxfun" if method == "TNC" else "maxiter": 30}
    res = minimize(rosenbrock, START, method=method, callback=getattr(listener, kind), options=limit)
    assert listener.seen
    assert all(x.shape == (2,) for x in listener.seen)
    assert rosenbrock(res.x) <= rosenbrock(listener.seen[0])


@pytest.mark.parametrize("kind", ["by_point", "by_name", "by_both"])
@pytest.mark.parametrize("solver", ["minimize", "least_squares"])
def test_stop_iteration_ends_each_kind(solver: str, kind: str) -> None:
    listener = Listener()

    def stop(*args: Any, **named: Any) -> None:
        getattr(listener, kind)(*args, **named)
        if len(listener.seen) == 3:
            raise StopIteration

    if kind == "by_name":
        callback: Any = lambda intermediate_result: stop(intermediate_result=intermediate_result)
    elif kind == "by_both":
        callback = lambda x, s: stop(x, OptimizeResult(x=s.x, fun=float(np.sum(s.fun))))
    else:
        callback = lambda xk: stop(xk)
    if solver == "minimize":
        res = minimize(rosenbrock, START, callback=callback)
    else:
        res = least_squares(lambda x: np.array([1.0 - x[0], 10.0 * (x[1] - x[0] ** 2)]), START, callback=callback)
    assert res.status is Status.CALLBACK
    assert len(listener.seen) == 3


def test_callbacks_that_do_not_tell_their_parameters_get_the_point() -> None:
    seen: list[Any] = []
    minimize(rosenbrock, START, callback=seen.append)
    minimize(rosenbrock, START, callback=lambda *xs: seen.append(xs[0]))
    minimize(rosenbrock, START, callback=functools.partial(lambda tag, xk: seen.append(xk), "tag"))
    assert all(isinstance(x, np.ndarray) for x in seen)
    # A second parameter with a default is the state for trust-constr only, as in SciPy.
    states: list[Any] = []
    minimize(rosenbrock, START, method="trust-constr", callback=lambda x, s=None: states.append(s))
    assert all(isinstance(state, OptimizeResult) for state in states)
    minimize(rosenbrock, START, callback=lambda x, s=None: states.append(s))
    assert states[-1] is None


@pytest.mark.parametrize("callback", [lambda x, state, more: None, lambda *, only: None])
@pytest.mark.parametrize("method", [None, "BFGS"])
def test_callbacks_that_fit_no_convention(callback: Any, method: str | None) -> None:
    with pytest.raises(OptionError, match=r"minimize: callback takes .*Write callback\(xk\)"):
        minimize(rosenbrock, START, method=method, callback=callback)
    with pytest.raises(OptionError, match="least_squares: callback is 3, which cannot be called"):
        Callback(3, "least_squares")  # type: ignore[arg-type]


# Bounds.


@pytest.mark.parametrize(
    "bounds",
    [None, [], [(None, None)] * 2, [(-np.inf, np.inf), (None, np.inf)], Bounds(), Bounds([-np.inf] * 2, np.inf)],
)
def test_bounds_that_bound_nothing_are_none(bounds: Any) -> None:
    assert not binds(bounds)
    for method in ("newton", "BFGS", None):
        res = minimize(rosenbrock, START, method=method, bounds=bounds)
        assert res.method == (method or "trust-exact")


def test_bounds_that_bind_are_refused_by_unconstrained_methods() -> None:
    assert binds([(0.0, None), (None, None)])
    assert binds({"a": np.array([-np.inf, 1.0])})
    with pytest.raises(OptionError, match="takes neither bounds nor constraints"):
        minimize(rosenbrock, START, method="newton", bounds=[(0.0, None), (None, None)])
    with pytest.raises(OptionError, match="takes no bounds"):
        minimize(rosenbrock, START, method="BFGS", bounds=[(0.0, None), (None, None)])


def test_arguments_of_least_squares_that_ask_for_nothing() -> None:
    def residuals(x: Any) -> Any:
        return x - 3.0

    res = least_squares(residuals, 1.0, bounds=(-np.inf, np.inf), verbose=0, kwargs={})
    assert_allclose(res.x, 3.0)
    for name, item in (("bounds", (0.0, 1.0)), ("verbose", 2), ("kwargs", {"a": 1})):
        with pytest.raises(OptionError, match=f"the argument {name} is not supported"):
            least_squares(residuals, 1.0, **{name: item})
    for method in ("trf", "dogbox"):
        with pytest.raises(OptionError, match=r"is for bounds.*pass 'lm'"):
            least_squares(residuals, 1.0, method=method)


@pytest.mark.parametrize("name", ["jac", "hess", "hessp"])
def test_derivatives_that_are_not_given(name: str) -> None:
    assert minimize(rosenbrock, START, **{name: None}).success
    assert minimize(rosenbrock, START, **{name: False}).success
    with pytest.raises(OptionError, match=f"minimize: the argument {name} is not supported"):
        minimize(rosenbrock, START, method="BFGS", **{name: True})


def test_args_that_are_no_tuple() -> None:
    res = minimize(lambda x, a: np.sum((x - a) ** 2), START, np.array([1.0, 2.0]))
    assert_allclose(res.x, [1.0, 2.0])


@pytest.mark.parametrize("spelling", ["NEWTON", "Trust-NCG", "trust_ncg", "nelder-mead", "bfgs", "l-bfgs-b", "cobyqa"])
def test_names_of_methods_in_any_spelling(spelling: str) -> None:
    assert minimize(rosenbrock, START, method=spelling).method.lower() == spelling.lower().replace("_", "-")


# Results.


def test_hess_is_formed_when_asked_for() -> None:
    res = minimize(rosenbrock, START)
    assert "hess" not in res
    assert "hess" in dir(res)
    assert_allclose(res.hess, [[802.0, -400.0], [-400.0, 200.0]], rtol=1e-5)
    assert res["hess"] is res.hess
    bounded = minimize(rosenbrock, START, bounds=[(-2.0, 0.5)] * 2)
    assert_allclose(bounded.hess, scipy.optimize.rosen_hess(bounded.x), rtol=1e-9)


def test_hess_inv_points_to_the_covariance() -> None:
    res = minimize(rosenbrock, START)
    assert not hasattr(res, "hess_inv")
    with pytest.raises(AttributeError, match=r"res\.covariance\(\)"):
        _ = res.hess_inv
    assert minimize(rosenbrock, START, method="BFGS").hess_inv.shape == (2, 2)
    with pytest.raises(AttributeError, match="nonsense"):
        _ = res.nonsense


def test_hess_of_results_that_do_not_know_it() -> None:
    for res in (pickle.loads(pickle.dumps(minimize(rosenbrock, START))), least_squares(lambda x: x, 1.0)):
        with pytest.raises(AttributeError, match="HessianOperator"):
            _ = res.hess


@pytest.mark.parametrize("method", [None, "L-BFGS-B", "Nelder-Mead"])
def test_results_as_text_and_html(method: str | None) -> None:
    res = minimize(rosenbrock, START, method=method)
    assert repr(res).startswith(f"OptimizeResult: {res.status.name}\n")
    page = res._repr_html_()
    assert page.startswith("<table>")
    assert res.status.name in page
    assert page.count("<tr>") == len([key for key in res if key != "status"]) + 1
    assert "<b>" not in OptimizeResult(message="<b>")._repr_html_()
    assert "<table>" in least_squares(lambda x: x - 1.0, 3.0)._repr_html_()
