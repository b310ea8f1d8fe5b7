"""The front door of the solvers: counters, history, callbacks, options, errors, results."""

from __future__ import annotations

import csv
import gc
import math
import pickle
import sys
import weakref
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.optimize
from numpy.testing import assert_allclose, assert_array_equal
from optimize_problems import double_well, rosenbrock

import hessian as hs
import hessian.optimize.objective as objective_module
from hessian.errors import (
    ConvergenceError,
    DtypeError,
    MissingDependencyError,
    NonFiniteError,
    NotScalarError,
    OptionError,
    ShapeMismatchError,
)
from hessian.linalg.limits import STEP_ORDER
from hessian.optimize import IterationRecord, OptimizeResult, Status, format_history, minimize, write_history

METHODS = ["trust-exact", "trust-ncg", "trust-krylov", "newton", "newton-cg", "arc", "saddle-free"]
START = np.array([-1.2, 1.0])
CHAIN = np.tile(START, 50)


class Spy(hs.HessianOperator):
    """An operator that counts what it is asked for, independently of the solver's counters."""

    counts: dict[str, int]
    alive: weakref.WeakSet[Spy]
    most_alive: int

    @classmethod
    def reset(cls) -> None:
        cls.counts = dict.fromkeys(("value", "gradient", "hvp", "dense"), 0)
        cls.alive = weakref.WeakSet()
        cls.most_alive = 0

    def __init__(self, *args: Any) -> None:
        self.counts["value"] += 1
        self.alive.add(self)
        Spy.most_alive = max(Spy.most_alive, len(self.alive))
        super().__init__(*args)

    @property
    def gradient(self) -> Any:
        self.counts["gradient"] += 1
        return super().gradient

    def _matvec(self, v: Any) -> Any:
        self.counts["hvp"] += 1
        return super()._matvec(v)

    def compiled_product(self, v: Any) -> Any:
        product = super().compiled_product(v)
        self.counts["hvp"] += product is not None
        return product

    def to_dense(self) -> Any:
        self.counts["dense"] += 1
        return super().to_dense()


@pytest.fixture
def spy(monkeypatch: pytest.MonkeyPatch) -> type[Spy]:
    """Put the counting operator in place of the real one."""
    Spy.reset()
    monkeypatch.setattr(objective_module, "HessianOperator", Spy)
    return Spy


# Counters and history.


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("start", [START, CHAIN], ids=["2", "100"])
def test_counters_are_what_was_done(spy: type[Spy], start: np.ndarray, method: str) -> None:
    calls = 0

    def fun(x: Any) -> Any:
        nonlocal calls
        calls += 1
        return rosenbrock(x)

    res = minimize(fun, start, method=method)
    assert res.success
    assert (res.n_value, res.n_grad, res.n_hvp, res.n_hess) == tuple(spy.counts.values())
    # Recorded once, and compared with its replays at the 1st, 2nd, 4th, ... of them.
    assert calls == 1 + (res.n_value - 1).bit_length()
    assert (res.nfev, res.njev, res.nhev) == (res.n_value, res.n_grad, res.n_hess)
    assert (res.n_hvp == 0) == (method in ("newton", "trust-exact"))
    # Newton's line search factors again where the inertia is wrong; the others decompose a matrix of products at the end.
    least = res.n_hess if method in ("newton", "trust-exact") else int(len(start) <= 64)
    assert res.n_factor == least or (method == "newton" and res.n_factor > least)


@pytest.mark.parametrize("method", METHODS)
def test_nothing_is_computed_twice(method: str) -> None:
    res = minimize(rosenbrock, START, method=method)
    assert [record.iteration for record in res.history] == list(range(res.nit + 1))
    # And one value and gradient beyond the end, which could have refuted the minimum.
    assert res.n_value == res.nit + 2
    accepted = sum(record.accepted for record in res.history)
    # One gradient per accepted point; no more, as no trial here has a value that its gradient overrules.
    assert res.n_grad == accepted + 1
    assert accepted < len(res.history), "the test needs rejections"
    if method in ("newton", "trust-exact"):
        # A Hessian wherever the run went on, and one for the verdict.
        assert res.n_hess == accepted


def test_products_are_those_of_the_iterations_and_the_check(spy: type[Spy]) -> None:
    start = np.tile(START, 300)
    res = minimize(rosenbrock, start, method="trust-ncg")
    spent = sum(record.cg_iterations for record in res.history)
    assert spent == res.history[-1].n_hvp
    # More than 512 variables: the check is by Lanczos.
    assert 0 < res.n_hvp - spent <= 40
    assert res.n_hvp == spy.counts["hvp"]
    unchecked = minimize(rosenbrock, start, method="trust-ncg", options={"check_curvature": False})
    assert unchecked.n_hvp == spent


@pytest.mark.parametrize("method", METHODS)
def test_a_rejected_step_costs_one_value(method: str) -> None:
    history = minimize(rosenbrock, CHAIN, method=method).history
    rejected = [i for i, record in enumerate(history[:-1]) if not record.accepted]
    assert rejected
    bound = "step_norm" if method.startswith("newton") else "radius"
    for i in rejected:
        before, after = history[i], history[i + 1]
        assert after.n_value == before.n_value + 1
        assert (after.n_hvp, after.n_hess, after.n_factor) == (before.n_hvp, before.n_hess, before.n_factor)
        assert after.cg_iterations == 0
        if method == "arc":
            assert after.regularization > before.regularization
        else:
            assert getattr(after, bound) < before.step_norm


def test_the_recording_of_the_previous_point_is_dropped(spy: type[Spy]) -> None:
    gc.disable()
    try:
        res = minimize(rosenbrock, START, method="trust-ncg")
        # The point and its trial, without help of the garbage collector.
        assert spy.most_alive == 2
        assert not spy.alive
    finally:
        gc.enable()
    assert res.success


@pytest.mark.parametrize("method", METHODS)
def test_history_is_consistent(method: str) -> None:
    res = minimize(rosenbrock, CHAIN, method=method)
    first, last = res.history[0], res.history[-1]
    assert first.cg_status == "start"
    assert_allclose([first.value, first.gradient_norm], [rosenbrock(CHAIN), np.linalg.norm(hs.grad(rosenbrock)(CHAIN))])
    assert (last.value, last.gradient_norm) == (res.fun, res.gradient_norm)
    for before, after in zip(res.history, res.history[1:], strict=False):
        assert math.isnan(after.radius) or after.step_norm <= after.radius * (1 + 1e-9)
        assert after.seconds >= before.seconds
        if after.accepted:
            assert after.value < before.value
        else:
            assert (after.value, after.gradient_norm) == (before.value, before.gradient_norm)
    with pytest.raises(AttributeError):
        last.value = 0.0  # type: ignore[misc]


def test_history_as_table_and_file(tmp_path: Path) -> None:
    res = minimize(rosenbrock, START, method="trust-ncg")
    lines = format_history(res.history).splitlines()
    assert len(lines) == res.nit + 2
    assert lines[0].split()[:3] == ["iter", "value", "|grad|"]
    assert lines[1].split()[0] == "0"
    assert lines[-1].split()[8] == "yes"
    assert max(map(len, lines)) < 170

    write_history(res.history, tmp_path / "history.csv")
    with open(tmp_path / "history.csv", newline="", encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    assert len(rows) == len(res.history)
    assert [float(row["value"]) for row in rows] == [record.value for record in res.history]
    assert rows[1]["cg_status"] == res.history[1].cg_status


# Choice of method and options.


@pytest.mark.parametrize(
    ("size", "expected"), [(2, "trust-exact"), (STEP_ORDER, "trust-exact"), (STEP_ORDER + 1, "trust-ncg")]
)
def test_default_method(size: int, expected: str) -> None:
    res = minimize(lambda x: np.sum((x - 1.0) ** 2), np.zeros(size))
    assert res.method == expected
    assert res.success


@pytest.mark.parametrize("name", ["Newton", "NEWTON", "trust_ncg", "Trust-NCG", "ARC"])
def test_method_names_are_forgiving(name: str) -> None:
    assert minimize(double_well, [1.5, 0.0], method=name).method == name.lower().replace("_", "-")


def test_tol_stands_for_gtol() -> None:
    loose = minimize(rosenbrock, START, tol=1e-2)
    assert 1e-6 < loose.gradient_norm <= 1e-2
    assert minimize(rosenbrock, START, tol=1e-2, options={"gtol": 1e-9}).gradient_norm <= 1e-9
    assert minimize(rosenbrock, START, tol=None, options={"gtol": None}).gradient_norm <= 1e-6


def test_limits() -> None:
    res = minimize(rosenbrock, START, options={"maxiter": 3})
    assert (res.status, res.nit, res.success) == (Status.MAX_ITERATIONS, 3, False)
    res = minimize(rosenbrock, START, options={"maxiter": 0})
    assert (res.nit, res.n_value) == (0, 1)
    assert_array_equal(res.x, START)
    for max_hvp in (0, 1, 7, 30):
        res = minimize(rosenbrock, CHAIN, options={"max_hvp": max_hvp})
        assert (res.status, res.success) == (Status.MAX_HVP, False)
        assert res.n_hvp == max_hvp
    res = minimize(rosenbrock, CHAIN, options={"max_seconds": 0})
    assert (res.status, res.nit, res.success) == (Status.MAX_SECONDS, 0, False)
    res = minimize(rosenbrock, CHAIN, options={"max_cg": 2})
    assert max(record.cg_iterations for record in res.history) == 2
    # The budget is not for the method that takes no products.
    assert minimize(rosenbrock, START, method="newton", options={"max_hvp": 0}).success
    assert minimize(rosenbrock, START, method="trust-exact", options={"max_hvp": 0}).success


def test_a_spent_budget_leaves_the_curvature_undecided() -> None:
    res = minimize(lambda x: np.sum(x**2), np.zeros(100), options={"max_hvp": 0})
    assert (res.status, res.n_hvp) == (Status.CONVERGED_UNDECIDED, 0)


@pytest.mark.parametrize("method", METHODS)
def test_radius_options(method: str) -> None:
    options = {"initial_radius": 0.3, "max_radius": 0.5}
    if method in ("newton", "newton-cg", "arc"):
        with pytest.raises(OptionError, match=r"takes no initial_radius\. Leave it out, or use 'trust-ncg'"):
            minimize(rosenbrock, START, method=method, options=options)
        assert all(math.isnan(record.radius) for record in minimize(rosenbrock, START, method=method).history)
        return
    res = minimize(rosenbrock, START, method=method, options=options)
    assert res.success
    assert res.history[0].radius == res.history[1].radius == 0.3
    assert max(record.radius for record in res.history) <= 0.5
    alias = {"initial_trust_radius": 0.3, "max_trust_radius": 0.5}
    assert_array_equal(minimize(rosenbrock, START, method=method, options=alias).x, res.x)


def test_eta_rejects_poor_steps() -> None:
    res = minimize(rosenbrock, START, method="newton", options={"eta": 0.2})
    assert res.success
    assert all(record.ratio > 0.2 for record in res.history[1:] if record.accepted)


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"gtoll": 1e-3}, "there is no option 'gtoll'. There are gtol, "),
        ({"max_iter": 5}, "Did you mean 'maxiter'?"),
        ({"xtol": 5}, "Did you mean 'gtol'?"),
        ({3: 5}, "there is no option 3"),
        ({"gtol": -1.0}, "option 'gtol' is -1.0, expected a number >= 0"),
        ({"gtol": np.nan}, "option 'gtol' is nan"),
        ({"gtol": "small"}, "option 'gtol' is 'small'"),
        ({"maxiter": 2.5}, "option 'maxiter' is 2.5, expected an integer >= 0"),
        ({"maxiter": True}, "option 'maxiter' is True"),
        ({"max_hvp": -1}, "option 'max_hvp' is -1"),
        ({"max_cg": 0}, "option 'max_cg' is 0, expected an integer >= 1"),
        ({"initial_radius": 0.0}, "option 'initial_radius' is 0.0, expected a finite number > 0"),
        ({"initial_radius": math.inf}, "option 'initial_radius' is inf"),
        ({"max_radius": 0}, "option 'max_radius' is 0"),
        ({"initial_radius": 2.0, "max_radius": 1.0}, "initial_radius 2 is larger than max_radius 1"),
        ({"eta": 0.25}, "option 'eta' is 0.25, expected a number in [0, 0.25)"),
        ({"check_curvature": "no"}, "option 'check_curvature' is 'no', expected True or False"),
        ({"rng": 1.5}, "option 'rng' is 1.5"),
        ({"disp": 2}, "option 'progress' is 2"),
        ([("gtol", 1e-3)], "options is [('gtol', 0.001)], not a dict"),
    ],
)
def test_bad_options(options: Any, text: str) -> None:
    with pytest.raises(OptionError) as caught:
        minimize(rosenbrock, START, options=options)
    assert text in str(caught.value)


@pytest.mark.parametrize(
    ("keywords", "text"),
    [
        ({"jac": True}, "let it return the value only"),
        ({"hess": lambda x: x}, "Leave hess out"),
        ({"hessp": lambda x: x}, "Leave hessp out"),
        (
            {"bounds": [(0, 1)], "method": "arc"},
            "takes neither bounds nor constraints. The methods here are unconstrained",
        ),
        (
            {"constraints": {"type": "eq", "fun": np.sum}, "method": "newton"},
            "or substitute variables, e.g. x = exp(u)",
        ),
        ({"gtol": 1e-3}, "gtol is an option, not an argument. Pass options={'gtol': 0.001}"),
        ({"foo": 1}, "there is no argument 'foo'"),
        ({"method": "newtn"}, "Did you mean 'newton'?"),
        ({"method": "trust-region-ncg"}, "Did you mean 'trust-ncg'?"),
        ({"method": "exact"}, "Did you mean 'trust-exact'?"),
        ({"method": "levenberg"}, "dogleg."),  # nothing near, so nothing is suggested
        ({"callback": 3}, "callback is 3, which cannot be called"),
        ({"tol": "x"}, "option 'gtol' is 'x'"),
    ],
)
def test_bad_arguments(keywords: dict[str, Any], text: str) -> None:
    with pytest.raises(OptionError) as caught:
        minimize(rosenbrock, START, **keywords)
    assert text in str(caught.value)


def test_arguments_of_scipy_left_at_none_are_accepted() -> None:
    assert minimize(rosenbrock, START, jac=None, hess=None, hessp=None, bounds=None, constraints=None).success


def test_methods_of_scipy_by_name() -> None:
    res = minimize(rosenbrock, START, method="l-bfgs-b")
    assert (res.method, res.status) == ("L-BFGS-B", Status.EXTERNAL_SUCCESS)
    bounded = minimize(rosenbrock, START, bounds=[(-2.0, 0.5), (None, None)])
    assert bounded.method == "L-BFGS-B"
    assert_allclose(bounded.x, [0.5, 0.25], atol=1e-5)
    ring = {"type": "ineq", "fun": lambda x: 0.5 - x @ x}
    constrained = minimize(rosenbrock, START, constraints=[ring])
    assert constrained.method == "SLSQP"
    assert_allclose(constrained.x @ constrained.x, 0.5, rtol=1e-6)


# The start and the function.


def test_start_as_scipy_takes_it() -> None:
    for start in ([-1, 1], (-1, 1), np.array([-1, 1]), np.array([-1, 1], np.int8)):
        res = minimize(rosenbrock, start)
        assert res.x.dtype == np.float64
        assert_allclose(res.x, 1.0, atol=1e-6)
    assert_array_equal(np.asarray(start), [-1, 1])
    swapped = minimize(rosenbrock, np.array([-1.0, 1.0], ">f4"))
    assert swapped.x.dtype == np.float32
    scalar = minimize(lambda x: (x - 3.0) ** 2, 0)
    assert scalar.x.shape == (1,)
    assert_allclose(scalar.x, 3.0)


def test_extra_arguments() -> None:
    def fun(x: Any, a: float, b: float = 0.0) -> Any:
        return np.sum((x - a - b) ** 2)

    assert_allclose(minimize(fun, [0.0], args=(2.0, 1.0)).x, 3.0)
    assert_allclose(minimize(fun, [0.0], args=2.0).x, 2.0)
    assert_allclose(minimize(fun, [0.0], (2.0,), "newton").x, 2.0)


@pytest.mark.parametrize("method", METHODS)
def test_nothing_of_the_callers_is_changed_or_shared(method: str) -> None:
    start, data = START.copy(), np.array([100.0, 1.0])

    def fun(x: Any, weights: np.ndarray) -> Any:
        x[0] = x[0] * 1.0  # a traced value is its own
        return weights[0] * (x[1] - x[0] ** 2) ** 2 + weights[1] * (1.0 - x[0]) ** 2

    options = {"gtol": 1e-8}
    res = minimize(fun, start, args=(data,), method=method, options=options)
    assert res.success
    assert_array_equal(start, START)
    assert_array_equal(data, [100.0, 1.0])
    assert options == {"gtol": 1e-8}
    done = minimize(lambda x: np.sum(x**2), np.zeros(2), method=method)
    done.x[0] = done.jac[0] = 7.0
    assert_array_equal([done.x[1], done.jac[1]], 0.0)
    held = np.zeros(2)
    minimize(lambda x: np.sum(x**2), held, method=method).x[0] = 7.0
    assert_array_equal(held, 0.0)


@pytest.mark.parametrize(
    ("start", "error", "text"),
    [
        (np.array([1.0 + 2.0j, 1.0]), DtypeError, "the function returned a number of dtype complex128"),
        (np.array(["a"]), DtypeError, "x0 has dtype <U1"),
        (np.array([1.0, 2.0], np.float16), DtypeError, "x0 has dtype float16"),
        ([np.nan, 1.0], NonFiniteError, "x0 contains NaN or infinity"),
        ([np.inf, 1.0], NonFiniteError, "x0 contains NaN or infinity"),
        ([], ShapeMismatchError, "x0 has no elements"),
        ({"a": np.zeros((0, 3))}, ShapeMismatchError, "x0 has no elements"),
    ],
)
def test_bad_starts(start: Any, error: type[Exception], text: str) -> None:
    with pytest.raises(error) as caught:
        minimize(rosenbrock, start)
    assert text in str(caught.value)


@pytest.mark.parametrize(
    ("fun", "text"),
    [
        (lambda x: x[0] * np.nan, "fun(x0) is nan. The start decides"),
        (lambda x: x[0] - np.inf, "fun(x0) is -inf"),
        (lambda x: np.where(x[0] < 9.0, np.inf, x[0]), "fun(x0) is inf"),
    ],
)
def test_a_value_that_is_not_finite_at_the_start(fun: Any, text: str) -> None:
    with pytest.raises(NonFiniteError) as caught:
        minimize(fun, [1.0, 1.0])
    assert text in str(caught.value)


@pytest.mark.filterwarnings("ignore:divide by zero:RuntimeWarning")
def test_a_gradient_that_is_not_finite_at_the_start() -> None:
    with pytest.raises(NonFiniteError) as caught:
        minimize(lambda x: np.sum(np.sqrt(x)), [1.0, 0.0, 0.0])
    assert "not finite in 2 of 3 entries, first in entry 1" in str(caught.value)


def test_functions_that_are_not_scalar() -> None:
    for fun in (lambda x: x, lambda x: (x[0], x[1])):
        with pytest.raises(NotScalarError):
            minimize(fun, START)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("error", [SystemExit, KeyError, StopIteration])
def test_errors_of_the_function_pass_through(error: type[BaseException], method: str) -> None:
    raised = error("mine")
    calls = 0

    def fun(x: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == 5:
            raise raised
        return rosenbrock(x)

    with pytest.raises(error) as caught:
        minimize(fun, START, method=method)
    assert caught.value is raised


def test_floating_point_settings_of_the_user_hold() -> None:
    def fun(x: Any) -> Any:
        return np.sum(x - np.log(x))

    with np.errstate(invalid="raise"):
        # At the start they are the caller's affair, at a trial point an error is a rejected step.
        with pytest.raises(FloatingPointError):
            minimize(fun, [-5.0])
        assert minimize(fun, [5.0]).success
    assert minimize(fun, [5.0]).success


# Callbacks.


@pytest.mark.parametrize("method", METHODS)
def test_callback_with_the_full_state(method: str) -> None:
    seen: list[OptimizeResult] = []

    def callback(intermediate_result: OptimizeResult) -> None:
        seen.append(intermediate_result)

    res = minimize(rosenbrock, START, method=method, callback=callback)
    assert len(seen) == res.nit
    for state, record in zip(seen, res.history[1:], strict=True):
        assert isinstance(state, OptimizeResult)
        assert (state.nit, state.fun) == (record.iteration, record.value)
        assert (state.radius, state.step_norm, state.ratio) == pytest.approx(
            (record.radius, record.step_norm, record.ratio), nan_ok=True
        )
        assert (state.cg_iterations, state.cg_status, state.accepted) == (
            record.cg_iterations,
            record.cg_status,
            record.accepted,
        )
        assert (state.nfev, state.njev, state.nhev) == (state.n_value, state.n_grad, state.n_hess)
        assert (state.n_hvp, state.n_factor, state.seconds) == (record.n_hvp, record.n_factor, record.seconds)
        assert_allclose(rosenbrock(state.x), state.fun, rtol=1e-12)
        assert_allclose(np.linalg.norm(state.jac), state.gradient_norm, rtol=1e-12)
    assert "fun" in repr(seen[-1])


def test_callback_with_x_alone() -> None:
    points: list[np.ndarray] = []
    res = minimize(rosenbrock, START, callback=points.append)
    assert_array_equal(points[-1], res.x)
    assert not np.array_equal(points[0], points[-1])

    def spoil(xk: np.ndarray) -> None:
        xk[:] = np.nan

    assert_array_equal(minimize(rosenbrock, START, callback=spoil).x, res.x)
    tree = minimize(lambda t: np.sum((t["a"] - 1.0) ** 2), {"a": np.zeros(2)}, callback=points.append)
    assert_array_equal(points[-1]["a"], tree.x["a"])


@pytest.mark.parametrize("answer", [True, np.True_, StopIteration])
def test_callback_stops_the_run(answer: Any) -> None:
    def callback(intermediate_result: OptimizeResult) -> Any:
        if intermediate_result.nit < 4:
            return False
        if answer is StopIteration:
            raise StopIteration
        return answer

    res = minimize(rosenbrock, START, callback=callback)
    assert (res.status, res.success, res.nit) == (Status.CALLBACK, False, 4)


def test_other_answers_of_a_callback_do_not_stop_the_run() -> None:
    assert minimize(rosenbrock, START, callback=lambda xk: 1).success
    assert minimize(rosenbrock, START, callback=lambda xk: xk).success


def test_errors_of_the_callback_pass_through() -> None:
    def callback(xk: np.ndarray) -> None:
        raise ZeroDivisionError("mine")

    with pytest.raises(ZeroDivisionError, match="mine"):
        minimize(rosenbrock, START, callback=callback)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("at", [1, 2, 5, 12, 17])
def test_an_interrupt_returns_the_best_point(at: int, method: str) -> None:
    calls = 0

    def fun(x: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == at:
            raise KeyboardInterrupt
        return rosenbrock(x)

    if at == 1:
        # There is no point to return yet.
        with pytest.raises(KeyboardInterrupt):
            minimize(fun, CHAIN, method=method)
        return
    seen: list[OptimizeResult] = []
    res = minimize(fun, CHAIN, method=method, callback=lambda intermediate_result: seen.append(intermediate_result))
    if calls < at:
        assert res.success
        return
    assert (res.status, res.success) == (Status.INTERRUPTED, False)
    best = seen[-1] if seen else res
    assert res.fun <= best.fun
    assert_allclose(rosenbrock(res.x), res.fun, rtol=1e-12)
    assert_allclose(hs.grad(rosenbrock)(res.x), res.jac, rtol=1e-9, atol=1e-12)
    # The next run is not disturbed.
    assert minimize(rosenbrock, CHAIN, method=method).success


def test_an_interrupt_in_the_callback_ends_the_run() -> None:
    def callback(intermediate_result: OptimizeResult) -> None:
        if intermediate_result.nit == 4:
            raise KeyboardInterrupt

    res = minimize(rosenbrock, START, callback=callback)
    assert (res.status, res.nit) == (Status.INTERRUPTED, 4)


def test_progress_bar(capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("tqdm")
    for name in ("progress", "disp"):
        res = minimize(rosenbrock, START, options={name: True})
        captured = capsys.readouterr()
        assert captured.out == ""
        assert "minimize" in captured.err
        assert f"{res.nit} it" in captured.err
    minimize(rosenbrock, START, options={"disp": False})
    assert capsys.readouterr() == ("", "")


def test_progress_without_tqdm(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tqdm", None)
    with pytest.raises(MissingDependencyError) as caught:
        minimize(rosenbrock, START, options={"progress": True})
    assert 'pip install "hessian[train]"' in str(caught.value)
    assert minimize(rosenbrock, START).success


# Results.


def test_result_is_scipys() -> None:
    res = minimize(rosenbrock, START)
    assert isinstance(res, scipy.optimize.OptimizeResult)
    assert res["fun"] == res.fun
    assert res.status == 0
    assert res.raise_if_failed() is res
    assert isinstance(res.fun, float)
    assert "gtol 1e-06" in res.message
    for name in ("x", "fun", "jac", "nit", "nfev", "njev", "nhev", "success", "status", "message", "n_hvp", "history"):
        assert name in dir(res)


def test_raise_if_failed() -> None:
    res = minimize(rosenbrock, START, options={"maxiter": 2})
    with pytest.raises(ConvergenceError) as caught:
        res.raise_if_failed()
    assert "stopped after 2 iterations with status MAX_ITERATIONS" in str(caught.value)
    assert "raise maxiter" in str(caught.value)


def test_representation() -> None:
    res = minimize(rosenbrock, CHAIN)
    text = repr(res)
    assert text.startswith("OptimizeResult: CONVERGED\n")
    assert "shape (100,)" in text
    assert f"{res.nit + 1} records" in text
    assert max(map(len, text.splitlines())) <= 120
    tree = minimize(lambda t: t["a"] @ t["a"] + t["b"][0] ** 2, {"a": np.ones(20), "b": (np.array(1.0),)})
    assert "{'a': [" in repr(tree)
    assert "'b': (" in repr(tree)
    assert repr(OptimizeResult(x=1.0)).split() == ["x:", "1.0"]


def test_pickle() -> None:
    res = minimize(rosenbrock, START)
    back = pickle.loads(pickle.dumps(res))
    assert back.status is res.status
    assert list(map(repr, back.history)) == list(map(repr, res.history))
    assert_array_equal(back.x, res.x)


def test_statuses_advise() -> None:
    assert [status.value for status in Status] == list(range(len(Status)))
    others = {Status.EARLY_STOPPED, Status.EXTERNAL_SUCCESS}
    converged = {status for status in Status if status.name.startswith("CONVERGED")} - {Status.CONVERGED_FAR}
    assert {status for status in Status if status.success} == converged | others
    for status in Status:
        assert status.advice.endswith(".")
        assert len(status.advice) > 40
    assert Status.CONVERGED.advice != Status.CALLBACK.advice
    assert isinstance(IterationRecord.__doc__, str)
