"""Where numbers stop being finite: the operation, the user's line, the elements, and what to write instead."""

from __future__ import annotations

import inspect
import linecache
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import hessian as hs
from hessian.errors import NonFiniteError, OptionError
from hessian.statistics import delta_method, laplace

X = np.array([1.0, 0.0, 4.0])
DATA = np.array([1.0, np.nan, 2.0])


def roots(x: Any) -> Any:
    doubled = 2 * x
    rooted = np.sqrt(doubled)
    return np.sum(rooted**3 + rooted)


def powers(x: Any) -> Any:
    return np.sum(x**1.5)


def steep(x: Any) -> Any:
    return np.sum(x**2.5)


def norm(x: Any) -> Any:
    return np.linalg.norm(x - np.array([1.0, 0.0, 4.0]))


def logarithm(x: Any) -> Any:
    return np.sum(np.log(x))


def quotient(x: Any) -> Any:
    total = np.sum(x)
    for _ in range(3):
        total = total + np.sum(x[:2] / x[1:])
    return total


def data(x: Any) -> Any:
    return np.sum(DATA * x)


def overflow(x: Any) -> Any:
    return np.sum(np.exp(300 * x))


def squares(x: Any) -> Any:
    return np.sum((1e200 * x) ** 2)


def angle(x: Any) -> Any:
    return np.arctan2(x[1], 2 * x[1])


def guarded(x: Any) -> Any:
    return np.sum(np.where(x > 0, np.log(x) + np.sqrt(np.abs(x)), 0.0))


def inverted(x: Any) -> Any:
    return np.sum(np.where(x > 0, x, 1 / x))


def inner(x: Any) -> Any:
    return np.sum(hs.grad(powers)(x))


CASES: dict[str, tuple[Callable[..., Any], int, str, list[list[int]], str, str]] = {
    "roots": (roots, 1, "sqrt", [[1]], "np.sqrt(doubled)", "np.where(ok, np.sqrt(np.where(ok, x, 1.0)), 0.0)"),
    "powers": (powers, 2, "power", [[1]], "x**1.5", "np.where(ok, np.where(ok, x, 1.0) ** p, 0.0)"),
    "steep": (steep, 3, "power", [[1]], "x**2.5", "** p"),
    "norm": (norm, 2, "norm", [[0], [1], [2]], "np.linalg.norm", "np.sqrt(np.sum(x**2) + eps**2)"),
    "logarithm": (logarithm, 0, "log", [[1]], "np.log(x)", "np.where(ok, np.log(np.where(ok, x, 1.0)), 0.0)"),
    "quotient": (quotient, 0, "divide", [[0]], "x[:2] / x[1:]", "np.where(ok, y / np.where(ok, x, 1.0), 0.0)"),
    "data": (data, 0, "argument 0 of multiply, which is data,", [[1]], "DATA * x", "Clean the data"),
    "overflow": (overflow, 0, "exp", [[2]], "np.exp(300 * x)", "hs.special.logsumexp"),
    "squares": (squares, 0, "square", [[0], [2]], "(1e200 * x) ** 2", "rescale"),
    "angle": (angle, 1, "arctan2", [[]], "np.arctan2", "np.arctan2(y, np.where(ok, x, 1.0))"),
    "inverted": (inverted, 0, "divide", [[1]], "1 / x", "np.where(ok, y / np.where(ok, x, 1.0), 0.0)"),
}


def line_of(f: Callable[..., Any], source: str) -> str:
    lines, first = inspect.getsourcelines(f)
    at = next(i for i, text in enumerate(lines) if source in text)
    return f"{__file__}:{first + at}: {lines[at].strip()}"


@pytest.mark.parametrize("recorded", [False, True], ids=["plain", "recorded"])
@pytest.mark.parametrize("name", CASES)
def test_what_is_found(name: str, recorded: bool) -> None:
    f, order, operation, indices, source, fix = CASES[name]
    found = hs.locate_nonfinite(hs.record(f) if recorded else f, X)
    assert found is not None
    assert (found.order, found.operation, found.indices.tolist()) == (order, operation, indices)
    assert found.line == line_of(f, source)
    assert fix in found.fix
    for part in (operation, found.line, fix):
        assert part in str(found)


def test_data_are_told_from_branches_not_taken() -> None:
    f = lambda x: np.sum(np.where(x > 0, np.log(x), DATA))
    with np.errstate(all="ignore"):
        found = hs.locate_nonfinite(f, X)
    assert found is not None
    assert found.operation == "argument 2 of where, which is data,"


def test_operands_are_told() -> None:
    found = hs.locate_nonfinite(roots, X)
    assert found is not None
    assert "where it is given 0" in str(found)
    assert found.operands[0].tolist() == [2.0, 0.0, 8.0]
    assert "where it is given 1, 0" in str(hs.locate_nonfinite(lambda x: np.sum(x[:, None] / x[None, :]), X))
    assert "an array of shape (2, 3)" in str(
        hs.locate_nonfinite(lambda x: np.sum(np.full((2, 3), 1e308) @ (1e9 * x)), X)
    )


def test_nothing_is_found() -> None:
    assert hs.locate_nonfinite(guarded, X) is None
    assert hs.locate_nonfinite(powers, X, order=1) is None
    assert hs.locate_nonfinite(steep, X, order=2) is None
    assert hs.locate_nonfinite(powers, X, np.array([1.0, 0.0, 1.0]), order=1) is None
    assert hs.locate_nonfinite(lambda x: 3.0, X) is None


def test_the_advice_helps() -> None:
    """What it says to write is finite to every order."""

    def safe_root(x: Any) -> Any:
        ok = x > 0
        return np.sum(np.where(ok, np.sqrt(np.where(ok, x, 1.0)), 0.0))

    def safe_norm(x: Any) -> Any:
        s = np.sum(x**2)
        ok = s > 0
        return np.where(ok, np.sqrt(np.where(ok, s, 1.0)), 0.0)

    assert hs.locate_nonfinite(safe_root, X, order=4) is None
    assert hs.locate_nonfinite(safe_norm, np.zeros(3), order=4) is None
    assert hs.locate_nonfinite(lambda x: np.linalg.norm(x), np.zeros(3)) is not None


def test_arguments() -> None:
    found = hs.locate_nonfinite(lambda d: np.sum(d["w"] * 2), {"w": np.array([1.0, np.inf])})
    assert found is not None
    assert str(found) == "x['w'] is not finite in 1 of 2 elements, first at [1]. Pass a finite x['w']."
    shifted = lambda x, shift: np.sum(np.sqrt(x + shift))
    assert hs.locate_nonfinite(shifted, X, None, 1.0) is None
    second = hs.locate_nonfinite(lambda a, x: a * np.sum(np.sqrt(x)), 2.0, None, X, argnums=1)
    assert second is not None
    assert second.operation == "sqrt"
    third = hs.locate_nonfinite(lambda x: np.full(2, np.inf), X)
    assert third is not None
    assert "does not depend on x" in str(third)
    with pytest.raises(OptionError, match="order"):
        hs.locate_nonfinite(roots, X, order=-1)


def test_functions_that_differentiate_themselves() -> None:
    found = hs.locate_nonfinite(inner, X)
    assert found is not None
    assert found.order == 1
    assert line_of(inner, "hs.grad(powers)").split(":")[0] in found.line


def test_sums_that_overflow() -> None:
    found = hs.locate_nonfinite(lambda x: np.sum(1e308 * x[0] + 1e308 * x[0] + x), np.array([1e-9, 1.0]))
    assert found is not None
    assert found.order == 1
    assert "rescale" in found.fix


FLAT = np.array([1.0, 0.0])


def said(call: Callable[[], Any]) -> str:
    with pytest.raises(NonFiniteError) as caught, np.errstate(all="ignore"):
        call()
    return str(caught.value)


def bent(x: Any) -> Any:
    return np.sum(x**1.5)


def rooted(x: Any) -> Any:
    return np.sum(np.sqrt(x))


def logs(x: Any) -> Any:
    return np.log(x)


def roots_of(x: Any) -> Any:
    return np.sqrt(x)


def network(p: Any, X: Any) -> Any:
    return X @ np.sqrt(p)


ERRORS: dict[str, tuple[Callable[[], Any], Callable[..., Any]]] = {
    "minimize": (lambda: hs.optimize.minimize(rooted, FLAT), rooted),
    "minimize, value": (lambda: hs.optimize.minimize(lambda x: np.sum(logs(x)), FLAT), logs),
    "minimize, recorded": (lambda: hs.optimize.minimize(hs.record(rooted), FLAT), rooted),
    "minimize, SciPy": (lambda: hs.optimize.minimize(rooted, FLAT, method="L-BFGS-B"), rooted),
    "minimize, constraint": (
        lambda: hs.optimize.minimize(bent, FLAT, constraints={"type": "ineq", "fun": logs}, method="SLSQP"),
        logs,
    ),
    "least_squares": (lambda: hs.optimize.least_squares(logs, FLAT), logs),
    "root": (lambda: hs.root(logs, FLAT), logs),
    "root, derivative": (lambda: hs.root(lambda x: rooted(x) * np.ones(2), np.zeros(2)), rooted),
    "solve": (lambda: hs.HessianOperator(bent, FLAT).solve(np.ones(2)), bent),
    "solve, damped": (lambda: hs.operators.DampedOperator(hs.HessianOperator(bent, FLAT), 1.0).solve(np.ones(2)), bent),
    "solve, sum": (
        lambda: (hs.HessianOperator(lambda x: x @ x, FLAT) + hs.HessianOperator(bent, FLAT)).solve(np.ones(2)),
        bent,
    ),
    "eigsh": (lambda: hs.HessianOperator(bent, FLAT).eigsh(1), bent),
    "Gauss-Newton": (lambda: hs.GaussNewtonOperator(lambda x: 1.0 * x, bent, FLAT).solve(np.ones(2)), bent),
    "trace": (lambda: hs.curvature.trace(hs.HessianOperator(bent, FLAT), 10), bent),
    "eigenvalues": (lambda: hs.curvature.eigenvalues(hs.HessianOperator(bent, FLAT), 1), bent),
    "empirical Fisher": (
        lambda: hs.EmpiricalFisherOperator(lambda x: np.sqrt(x) + bent(x), FLAT).solve(np.ones(2)),
        rooted,
    ),
    "check_derivatives": (lambda: hs.check_derivatives(lambda x: np.sum(logs(x)), FLAT), logs),
    "sharpness": (lambda: hs.curvature.SharpnessMeter(bent).measure(FLAT, 0), bent),
    "influence": (
        lambda: hs.statistics.influence(np.eye(2), hs.JacobianOperator(roots_of, FLAT), np.ones(2)),
        roots_of,
    ),
    "train": (lambda: hs.nn.train(network, np.ones((4, 2)), np.ones(4), params=FLAT, loss="squared_error"), network),
    "train, batches": (
        lambda: hs.nn.train(
            network, np.ones((4, 2)), np.ones(4), params=-FLAT, loss="squared_error", method="adam", batch_size=2
        ),
        network,
    ),
    "laplace": (lambda: laplace(bent, FLAT, prior_precision=1.0), bent),
    "laplace, value": (lambda: laplace(lambda x: np.sum(logs(x)), FLAT, prior_precision=1.0), logs),
}


@pytest.mark.parametrize("name", ERRORS)
def test_errors_say_where(name: str) -> None:
    call, f = ERRORS[name]
    text = said(call)
    if name == "empirical Fisher":
        assert "sqrt" in text
        return
    assert "is not finite" in text
    assert line_of(f, "np.").split(": ")[0] in text
    assert "np.where(ok" in text


def test_the_delta_method_says_where() -> None:
    result = hs.optimize.minimize(lambda x: np.sum((x - 1.0) ** 2), np.zeros(2))
    text = said(lambda: delta_method(lambda x: np.sum(np.sqrt(x - result.x)), result.covariance()))
    assert "sqrt" in text


def test_an_error_stands_where_the_search_fails() -> None:
    """A function that does not run a second time."""
    calls = []

    def once(x: Any) -> Any:
        calls.append(1)
        if len(calls) > 1:
            raise ValueError("no second time")
        return np.sum(np.log(x))

    text = said(lambda: hs.check_derivatives(once, FLAT))
    assert text.startswith("check_derivatives: f(x) is ")


def at_edge(x: Any) -> Any:
    return np.sum(-x) + 0.0 * np.sum(np.sqrt(1.0 - x))


@pytest.mark.parametrize("method", ["trust-ncg", "newton-cg", "trust-exact", "L-BFGS-B", "BFGS"])
def test_runs_that_end_at_the_edge_of_a_domain_say_where_it_is(method: str) -> None:
    f = at_edge if "-" in method and method != "L-BFGS-B" else lambda x: at_edge(x) - np.sum(x**2)
    with np.errstate(all="ignore"):
        res = hs.optimize.minimize(f, np.array([0.5, 0.9]), method=method)
    assert not res.success
    assert "sqrt is not finite" in res.message
    assert line_of(at_edge, "np.").split(": ")[0] in res.message


@pytest.mark.parametrize("options", [{"learning_rate": 1e100}, {"learning_rate": 1e300}])
@pytest.mark.parametrize("method", ["gradient-descent", "adam"])
def test_trainings_that_diverge_say_where(method: str, options: dict[str, Any]) -> None:
    rows = 100 * np.random.default_rng(0).standard_normal((8, 2))
    with np.errstate(all="ignore"):
        run = hs.nn.train(
            network_of_squares, rows, np.ones(8), params=FLAT, loss="squared_error", method=method, options=options
        ).result
    assert run.status.name == "DIVERGED"
    assert " is not finite" in run.message


def network_of_squares(p: Any, X: Any) -> Any:
    return (X @ p) ** 2


def test_gauss_newton_and_chunks_say_where() -> None:
    squared = lambda z: np.sum(z * z)
    for H in (
        hs.GaussNewtonOperator(roots_of, squared, FLAT),
        hs.ChunkedOperator(lambda c: hs.HessianOperator(lambda x: c * bent(x), FLAT), [1.0, 2.0]),
    ):
        text = said(lambda H=H: hs.curvature.trace(H))
        assert "derivative of" in text
        assert "is not finite in 1 of 2 elements, first at [1], where it is given 0" in text
    fine = hs.ChunkedOperator(lambda c: hs.operators.MatrixOperator(np.eye(2)), [1.0])
    assert fine.origin_of_nonfinite() is None


def test_predictions_and_jacobians_say_where() -> None:
    posterior = laplace(lambda w: np.sum((w - np.array([0.0, 2.0])) ** 2), np.array([0.0, 4 / 3]), prior_precision=1.0)
    text = said(lambda: posterior.predict(roots_of))
    assert "at the mode" in text
    assert "The first derivative of sqrt is not finite in 1 of 2 elements" in text
    text = said(lambda: posterior.predict(logs, method="samples", n_samples=8))
    assert "at a draw" in text
    assert "log is not finite in 1 of 2 elements, first at [0], where it is given -" in text
    residuals = lambda w: np.concatenate([np.sqrt(w) - 1.0, w])
    text = said(lambda: hs.statistics.least_squares_covariance(residuals, X, kind="expected"))
    assert "Jacobian at x holds NaN or infinity" in text
    assert "first derivative of sqrt" in text


def test_arguments_that_are_not_finite_are_named_by_their_place() -> None:
    square = lambda p: np.sum(p["a"] ** 2)
    text = said(lambda: hs.optimize.minimize(square, {"a": np.array([1.0, np.nan, np.inf]), "b": 2.0}))
    assert "x0['a'][1] is nan, and 1 more of 3 entries are not finite" in text
    assert "x0[1] is inf" in said(lambda: hs.optimize.least_squares(lambda x: x, np.array([1.0, np.inf])))
    assert "x0[0] is nan" in said(lambda: hs.optimize.minimize(lambda x: x**2, np.nan))
    H = hs.HessianOperator(lambda x: x @ x, FLAT)
    assert "b[1] is inf" in said(lambda: H.solve(np.array([1.0, np.inf])))
    assert "matrix[0, 1] is nan, and 1 more" in said(
        lambda: hs.operators.MatrixOperator(np.array([[1.0, np.nan], [np.nan, 1.0]]))
    )


def test_checked_derivatives_that_are_nan_say_where() -> None:
    told = "The first derivative of sqrt is not finite"
    with np.errstate(all="ignore"), pytest.raises(hs.errors.DerivativeCheckError, match=told) as caught:
        hs.check_derivatives(rooted, FLAT)
    assert line_of(rooted, "np.").split(": ")[0] in str(caught.value)


def test_advice_fits_functions_made_of_others() -> None:
    for f, says in (
        (lambda x: np.std(x), "A standard deviation has no derivative"),
        (lambda x: np.corrcoef(x, np.arange(3.0))[0, 1], "have no correlation"),
        (lambda x: np.mean(x[x > 9]), "The divisor does not depend on x"),
    ):
        assert says in str(hs.locate_nonfinite(f, np.ones(3)))


def test_derivatives_that_a_function_takes_itself_are_named_as_such() -> None:
    found = hs.locate_nonfinite(lambda x: hs.grad(lambda t: np.sum(np.log(t)))(x)[1], X)
    assert found is not None
    assert found.operation == "the derivative of log"
    assert str(found).startswith(
        "The derivative of log is not finite in 1 of 3 elements, first at [1], where it is given 0"
    )
    assert "ok = x > 0" in found.fix


def test_complex_numbers_have_their_own_guards() -> None:
    f = lambda x: np.sum(np.real(np.log(x + 0j)))
    found = hs.locate_nonfinite(f, X)
    assert found is not None
    assert found.operation == "log of complex numbers"
    assert found.indices.tolist() == [[1]]
    assert "ok = z != 0; np.where(ok, np.log(np.where(ok, z, 1.0)), 0.0)" in found.fix
    guarded = lambda x: (lambda z, ok: np.sum(np.where(ok, np.log(np.where(ok, z, 1.0)), 0.0).real))(x + 0j, x != 0)
    assert hs.locate_nonfinite(guarded, X) is None
    spectrum = hs.locate_nonfinite(lambda x: np.sum(np.abs(np.fft.fft(x))), np.zeros(3))
    assert spectrum is not None
    assert spectrum.operation == "modulus"
    assert "z.real**2 + z.imag**2" in spectrum.fix


def test_a_line_whose_source_cannot_be_read_is_told_by_its_number(monkeypatch: pytest.MonkeyPatch) -> None:
    """doctest puts a function in the place of linecache's that fails for functions of an earlier test."""

    def fails(filename: str, module_globals: Any = None) -> list[str]:
        raise IndexError(filename)

    monkeypatch.setattr(linecache, "getlines", fails)
    found = hs.locate_nonfinite(roots, X)
    assert found is not None
    assert found.line.endswith(f"test_locate.py:{inspect.unwrap(roots).__code__.co_firstlineno + 2}")
    with pytest.raises(NonFiniteError, match="The first derivative of sqrt is not finite"):
        hs.optimize.minimize(roots, X)
