"""Exceptions that a function catches, or does not, are its own business in replays too."""

from __future__ import annotations

import gc
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

import hessian as hs
from hessian.errors import ProgramWarning
from hessian.programs import RecordedFunction, pipeline
from hessian.programs.backends.base import Executable
from hessian.programs.compilation import CompilationError


def _cholesky(x: Any) -> Any:
    try:
        L = np.linalg.cholesky(x[0] * np.eye(2) + x[1] * np.ones((2, 2)))
    except np.linalg.LinAlgError:
        return 1e3 + x @ x
    return np.sum(np.log(np.diagonal(L))) + x @ x


def _inverse(x: Any) -> Any:
    try:
        A = np.linalg.inv(np.round(x[0]) * np.eye(2))
    except np.linalg.LinAlgError:
        return 5.0 * x[0] + x[1] ** 2
    return np.sum(A) * x[0] ** 2 + x[1] ** 2


def _solution(x: Any) -> Any:
    try:
        z = np.linalg.solve(np.eye(2) * np.floor(x[0]), x)
    except np.linalg.LinAlgError:
        z = x**3
    return np.sum(z**2)


def _overflow(x: Any) -> Any:
    try:
        with np.errstate(over="raise"):
            y = np.exp(x[0])
    except FloatingPointError:
        return -x[0] + x[1] ** 2
    return 1.0 / (1.0 + y) + x[1] ** 2


def _division(x: Any) -> Any:
    try:
        with np.errstate(divide="raise", invalid="raise"):
            y = 1.0 / np.round(x[0])
    except FloatingPointError:
        return x[0] ** 2 - x[1] ** 2
    return 1.0 / (1.0 + np.exp(-y)) + x[1] ** 2


def _label(x: Any) -> Any:
    try:
        n = int("12"[: int(np.round(x.sum()) > 0)] or "none")
    except ValueError:
        return np.sum(x**3)
    return n * np.sum(x**2)


#: A function, a point where it does not raise and one where it does.
CASES: dict[str, tuple[Callable[[Any], Any], list[float], list[float]]] = {
    "cholesky": (_cholesky, [2.0, 0.5], [-2.0, 0.5]),
    "inv": (_inverse, [2.2, 0.5], [0.2, 0.5]),
    "solve": (_solution, [2.2, 0.5], [0.2, 0.5]),
    "overflow": (_overflow, [1.0, 0.5], [800.0, 0.5]),
    "division": (_division, [1.2, 0.5], [0.2, 0.5]),
    "int": (_label, [1.2, 0.5], [-1.2, 0.5]),
}


@pytest.mark.parametrize("first", [0, 1])
@pytest.mark.parametrize("name", CASES)
def test_caught_exceptions_are_branches(name: str, first: int) -> None:
    f, *points = CASES[name]
    rec = hs.record(f)
    x, y = np.array(points[first]), np.array(points[1 - first])
    for at in (x, x * 1.001, y, y * 1.001, x, y):
        assert rec(at) == f(at)
        assert_allclose(hs.grad(rec)(at), hs.grad(f)(at), rtol=1e-12)
        assert_allclose(hs.hvp(rec, at, at), hs.hvp(f, at, at), rtol=1e-12, atol=1e-14)
        assert_allclose(hs.HessianOperator(rec, at).to_dense(), hs.hessian(f)(at), rtol=1e-12, atol=1e-14)
    assert rec.stats.replays > 0


def test_uncaught_exceptions_come_from_the_function() -> None:
    def f(x: Any) -> Any:
        return np.sum(np.linalg.cholesky(x[0] * np.eye(2))) + x[1] ** 2

    rec = hs.record(f)
    good, bad = np.array([2.0, 1.0]), np.array([-2.0, 1.0])
    for _ in range(2):
        assert rec(good) == f(good)
        for call in (rec, hs.grad(rec), lambda x: hs.hvp(rec, x, x), lambda x: hs.HessianOperator(rec, x)):
            with pytest.raises(np.linalg.LinAlgError) as caught:
                call(bad)
            assert any(entry.name == "f" for entry in caught.traceback)
    assert rec(good) == f(good)


def test_error_settings_of_the_caller_hold() -> None:
    f = lambda x: np.sum(1.0 / (1.0 + np.exp(x)))
    rec, far = hs.record(f), np.array([800.0, 1.0])
    assert rec(np.ones(2)) == f(np.ones(2))
    with np.errstate(over="raise"), pytest.raises(FloatingPointError):
        rec(far)
    with np.errstate(over="ignore"):
        assert rec(far) == f(far)


def test_trial_points_that_raise_are_left_to_the_function() -> None:
    K = np.array([[1.0, 0.9], [0.9, 1.0]])

    def barrier(x: Any) -> Any:
        try:
            L = np.linalg.cholesky(K * x[0])
        except np.linalg.LinAlgError:
            return 1e6 + 0.0 * x[0]
        return x[0] - np.sum(np.log(np.diagonal(L)))

    res = hs.optimize.minimize(barrier, np.array([4.0]))
    assert_allclose(res.x, [1.0], rtol=1e-6)


# Programs that cannot be made or run.


@pytest.fixture(params=[MemoryError, RecursionError, KeyError])
def broken(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Let compiling fail; the list holds how often it was tried."""
    monkeypatch.setenv("HESSIAN_DEBUG", "0")
    tries = [0]

    def fail(*args: Any) -> Any:
        tries[0] += 1
        raise request.param("no program")

    monkeypatch.setattr(pipeline, "Layout", fail)
    return tries


def _quartic(x: Any) -> Any:
    return np.sum(x**4) + np.sum(x) ** 2


def test_programs_that_cannot_be_compiled_are_done_without(broken: list[int]) -> None:
    rec, x = hs.record(_quartic), np.array([1.0, 2.0])
    with pytest.warns(ProgramWarning, match="no program could be made"):
        assert rec(x) == _quartic(x)
    for _ in range(3):
        assert rec(x) == _quartic(x)
    assert broken == [1]
    # One warning for a function; each task is tried once.
    for _ in range(3):
        assert_array_equal(hs.grad(rec)(x), hs.grad(_quartic)(x))
        assert_array_equal(hs.HessianOperator(rec, x).to_dense(), hs.hessian(_quartic)(x))
    assert rec.stats.recordings == 0
    # The value, the gradient and the operator.
    assert rec.stats.failures == 3
    assert gc.isenabled()


@pytest.mark.filterwarnings("ignore::hessian.errors.ProgramWarning")
def test_operators_and_solvers_do_without_programs_that_fail(broken: list[int]) -> None:
    x = np.array([1.0, 2.0])
    H, expected = hs.HessianOperator(_quartic, x), hs.hessian(_quartic)(x)
    J = hs.JacobianOperator(lambda x: x**2, x)
    for _ in range(6):
        assert_allclose(H @ x, expected @ x, rtol=1e-14)
        assert_allclose(J @ x, 2 * x * x, rtol=1e-14)
        assert_allclose(J.T @ x, 2 * x * x, rtol=1e-14)
    assert broken == [2]
    assert_allclose(hs.optimize.minimize(lambda x: np.sum((x - 1) ** 4 + x**2), x).jac, 0.0, atol=1e-6)


def test_an_interrupt_while_compiling_leaves_nothing_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    rec, x = hs.record(_quartic), np.array([1.0, 2.0])
    with monkeypatch.context() as patch:
        patch.setattr(pipeline, "Layout", _interrupt)
        with pytest.raises(KeyboardInterrupt):
            rec(x)
    assert gc.isenabled()
    assert rec(x) == _quartic(x)
    assert (rec.stats.recordings, rec.stats.plain) == (1, 0)


def _interrupt(*args: Any) -> Any:
    raise KeyboardInterrupt


def test_a_function_that_recurses_too_deeply_says_so_itself() -> None:
    def f(x: Any) -> Any:
        return f(x + 1.0)

    with pytest.warns(ProgramWarning), pytest.raises(RecursionError):
        hs.record(f)(np.ones(2))


@pytest.fixture
def spoiled(monkeypatch: pytest.MonkeyPatch) -> Callable[[Any], None]:
    """Let the sections of a recorded function or of an operator fail as no operation does."""

    def fail(*args: Any) -> Any:
        raise KeyError("x17")

    def spoil(rec: Any) -> None:
        for program in rec.programs:
            program._spare.clear()
            monkeypatch.setattr(program, "_executable", Executable(lambda *args: ((fail,) * 4, (None,) * 4), ""))

    return spoil


def test_a_program_that_fails_as_no_operation_does_is_told_once(
    spoiled: Callable[[Any], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HESSIAN_DEBUG", "0")
    rec, x = hs.record(_quartic), np.array([1.0, 2.0])
    assert rec(x) == _quartic(x)
    spoiled(rec)
    with pytest.warns(ProgramWarning, match=r"a program failed \(KeyError: 'x17'\)"):
        assert rec(x) == _quartic(x)
    for _ in range(3):
        assert rec(x) == _quartic(x)
    assert (rec.stats.failures, rec.stats.plain) == (1, 4)


def test_products_that_fail_as_no_operation_does_are_told_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HESSIAN_DEBUG", "0")
    x = np.array([1.0, 2.0])
    expected, rec = hs.hessian(_quartic)(x), hs.record(_quartic)
    for f in (_quartic, rec):
        H = hs.HessianOperator(f, x)
        for _ in range(4):
            H @ x  # compiles
        H._at._program._idle[:] = [((_fail_with_key_error,) * 4, lambda call, *args: call(*args))]
        with pytest.warns(ProgramWarning, match="a program failed"):
            assert_allclose(H @ x, expected @ x, rtol=1e-14)
        assert_allclose(H @ x, expected @ x, rtol=1e-14)
    assert rec.stats.failures == 1


def _fail_with_key_error(*args: Any) -> Any:
    raise KeyError("x17")


def test_while_debugging_a_program_that_fails_raises(
    spoiled: Callable[[Any], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HESSIAN_DEBUG", "1")
    rec, x = hs.record(_quartic), np.array([1.0, 2.0])
    rec(x)
    spoiled(rec)
    with pytest.raises(KeyError, match="x17"):
        rec(x)
    monkeypatch.setattr(pipeline, "Layout", _fail_with_key_error)
    with pytest.raises(CompilationError, match="KeyError"):
        hs.record(_quartic)(x)


def test_what_operations_raise_at_other_values_is_no_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HESSIAN_DEBUG", "1")

    @hs.checkpoint
    def checked(x: Any) -> Any:
        if x[0] > 5.0:
            raise KeyError("the function's own")
        return x * x

    f = lambda x: np.sum(np.linalg.solve(np.eye(2) * x[0], x)) + np.sum(checked(x))
    rec, x = hs.record(f), np.array([1.0, 2.0])
    assert rec(x) == f(x)
    with pytest.raises(np.linalg.LinAlgError):
        rec(np.array([0.0, 1.0]))
    with pytest.raises(KeyError, match="own"):
        rec(np.array([6.0, 1.0]))
    assert rec.stats.failures == 0


# Without programs.


def test_record_false_makes_no_program(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pipeline, "Layout", _interrupt)
    x, loss = np.array([1.0, 2.0]), lambda z: 0.5 * z @ z
    model = lambda x: np.stack([x[0] ** 2, x[0] * x[1], x[1]])
    J = hs.jacobian(model)(x)
    for f in (model, hs.record(model)):
        for _ in range(4):
            operator = hs.JacobianOperator(f, x, record=False)
            assert_allclose(operator.to_dense(), J)
        G = hs.GaussNewtonOperator(f, loss, x, record=False)
        F = hs.FisherOperator(f, x, likelihood="gaussian", record=False)
        E = hs.EmpiricalFisherOperator(f, x, record=False)
        for _ in range(6):
            assert_allclose(operator @ x, J @ x)
            assert_allclose(G @ x, J.T @ (J @ x))
            assert_allclose(F @ x, F.to_dense() @ x)
            assert_allclose(E @ x, E.to_dense() @ x)
    for g in (_quartic, hs.record(_quartic)):
        H = hs.HessianOperator(g, x, record=False)
        for _ in range(6):
            assert_allclose(H @ x, hs.hessian(_quartic)(x) @ x)
        for method in (None, "trust-ncg", "newton", "BFGS", "trust-krylov", "Newton-CG"):
            res = hs.optimize.minimize(g, x, method=method, options={"record": False})
            assert_allclose(res.x, 0.0, atol=1e-1)
        assert hs.optimize.least_squares(lambda x: x**3 + x, x, options={"record": False}).cost < 1e-12
    X = np.linspace(-1.0, 1.0, 8)[:, None]
    for method in (None, "adam", "hessian-free"):
        options = {"record": False, "maxiter": 3}
        hs.nn.train(hs.nn.mlp((1, 2, 1)), X, X**2, loss="squared_error", method=method, options=options)


@pytest.mark.parametrize("options", [{"record": 2}, {"record": "no"}])
def test_record_is_a_flag(options: dict[str, Any]) -> None:
    X = np.zeros((4, 1))
    for solve in (
        lambda: hs.optimize.minimize(_quartic, np.ones(2), options=options),
        lambda: hs.optimize.minimize(_quartic, np.ones(2), method="BFGS", options=options),
        lambda: hs.optimize.least_squares(lambda x: x, np.ones(2), options=options),
        lambda: hs.nn.train(hs.nn.mlp((1, 1)), X, X, loss="squared_error", method="adam", options=options),
    ):
        with pytest.raises(hs.errors.OptionError, match="record"):
            solve()


def test_long_functions_are_swept_until_a_program_pays() -> None:
    def chain(x: Any) -> Any:
        for _ in range(700):
            x = x + 0.001 * np.sin(x)
        return np.sum((x - 1.0) ** 2)

    f, x = RecordedFunction(chain, eager=False), np.array([0.3, 2.0])
    expected = hs.grad(chain)(x)
    calls = 0
    while not f.stats.recordings:
        assert_allclose(hs.HessianOperator(f, x).gradient, expected, rtol=1e-10)
        calls += 1
    assert 5 < calls < 20
    assert f.stats.replays == 0
    assert_allclose(hs.HessianOperator(f, x).gradient, expected, rtol=1e-10)
    assert f.stats.replays == 1
    # Products count as well.
    f = RecordedFunction(chain, eager=False)
    H = hs.HessianOperator(f, x)
    for _ in range(22):
        H @ x
    hs.HessianOperator(f, x)
    assert f.stats.recordings == 1
    assert hs.record(chain)(x) == chain(x)


def test_progress_tells_of_compiling(capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("tqdm")
    hs.optimize.minimize(_quartic, np.ones(2), options={"progress": True})
    assert "compiling" in capsys.readouterr().err


def test_a_failure_of_a_program_that_nobody_hears_of_is_raised():
    H = hs.HessianOperator(hs.record(lambda x: np.sum(np.sin(x))), np.ones(3))
    H._at._ran.on_failure = None
    with pytest.raises(ZeroDivisionError):
        H._at._ran.attempt(lambda: 1 / 0)
    assert H._at._ran.attempt(lambda: np.ones(3)) is None  # broken from then on
    np.testing.assert_allclose(H @ np.ones(3), -np.sin(np.ones(3)))
