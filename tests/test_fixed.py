"""Parameters that are held: `fixed=` of `minimize` and `least_squares`, in every way that it meets what else they take."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import pytest
import scipy.optimize
from scipy.optimize import Bounds, LinearConstraint, NonlinearConstraint
from scipy.sparse.linalg import aslinearoperator

import hessian as hs
from hessian.errors import OptionError, ShapeMismatchError
from hessian.optimize import OptimizeResult, least_squares, minimize
from hessian.optimize.choice import METHODS
from hessian.optimize.fixed import Held
from hessian.optimize.scipy_methods import SCIPY_METHODS
from hessian.tape.names import find_part, parameter_names

TIGHT = {"gtol": 1e-11}


class Pair(NamedTuple):
    low: Any
    high: Any


def tree() -> dict[Any, Any]:
    return {
        "beta": np.arange(3.0),
        "layers": [{"W": np.ones((2, 3))}, Pair(np.zeros(2), 0.5)],
        7: 1.0,
        "log sigma": 2.0,
    }


@pytest.mark.parametrize(
    ("key", "name", "places"),
    [
        ("beta", "beta", [0, 1, 2]),
        ("beta[1]", "beta[1]", 1),
        ("beta[-1]", "beta[-1]", 2),
        ("beta[1:]", "beta[1:]", [1, 2]),
        ("beta[::2]", "beta[::2]", [0, 2]),
        (("beta", 2), "beta[2]", 2),
        ("layers[0].W[1, 2]", "layers[0].W[1, 2]", 8),
        ("layers[0].W[:, 0]", "layers[0].W[:, 0]", [3, 6]),
        (("layers", 0, "W", 1, 2), "layers[0].W[1, 2]", 8),
        (("layers", -1, "high"), "layers[1].high", 11),
        (("layers", 1, 0), "layers[1].low", [9, 10]),
        ("layers[1].low", "layers[1].low", [9, 10]),
        (7, "7", 12),
        ("7", "7", 12),
        ("log sigma", "log sigma", 13),
    ],
)
def test_names_keys_and_indices_of_parts(key: Any, name: str, places: Any) -> None:
    part = find_part(tree(), key, "test")
    assert part.name == name
    assert np.array_equal(np.concatenate([np.ravel(p) for p in part.places]), np.ravel(places))


def test_a_name_of_every_number_finds_it() -> None:
    for x in (tree(), np.zeros((2, 3)), [np.zeros(2), 1.0], 0.5):
        found = [int(find_part(x, name, "test").places[0]) for name in parameter_names(x)]
        assert found == list(range(len(found)))
    assert find_part(np.zeros(3), 2, "test").places[0] == 2
    assert find_part(np.zeros((2, 3)), (1, 0), "test").places[0] == 3
    assert len(find_part(tree(), "layers[1]", "test").places) == 2


@pytest.mark.parametrize(
    ("key", "said"),
    [
        ("bata", "Did you mean 'beta'"),
        ("beta[3]", "beta of shape"),
        ("beta[x]", "there is no parameter 'beta\\[x\\]'"),
        ("beta[]", "there is no parameter"),
        ("layers[0][1]", "there is no parameter"),
        (("layers", 5), "there is no parameter"),
        (("beta", "W"), "there is no parameter"),
        (True, "there is no parameter True"),
        ("logsigma", "Did you mean 'log sigma'"),
    ],
)
def test_names_of_nothing_are_answered_with_the_nearest(key: Any, said: str) -> None:
    with pytest.raises(OptionError, match=said):
        minimize(lambda x: 0.0, tree(), fixed={key: 1.0})


def chain(x: Any) -> Any:
    return np.sum((x[1:] - x[:-1] ** 2) ** 2) + 0.1 * np.sum((x - 1.5) ** 2)


def free_minimum(held: dict[int, float], n: int = 5) -> np.ndarray:
    free = [k for k in range(n) if k not in held]
    full = np.zeros(n)
    full[list(held)] = list(held.values())

    def put(y: np.ndarray) -> np.ndarray:
        x = full.copy()
        x[free] = y
        return x

    jac = lambda y: hs.grad(chain)(put(y))[free]
    hess = lambda y: hs.hessian(chain)(put(y))[np.ix_(free, free)]
    res = scipy.optimize.minimize(
        lambda y: chain(put(y)), np.ones(len(free)), jac=jac, hess=hess, method="trust-exact", options={"gtol": 1e-12}
    )
    return put(res.x)


@pytest.mark.parametrize("method", [None, *METHODS, *SCIPY_METHODS])
def test_every_method(method: str | None) -> None:
    expected = free_minimum({1: 0.7, 3: 1.2})
    options = {"maxiter": 4000} if method in ("Nelder-Mead", "COBYLA", "CG") else None
    tol = 1e-8 if method in (None, *METHODS) else None  # SciPy's methods stop by criteria of their own
    res = minimize(chain, np.ones(5), method=method, fixed={1: 0.7, "x[3]": 1.2}, options=options, tol=tol)
    assert res.success, res.message
    assert isinstance(res, OptimizeResult)
    assert (res.x[1], res.x[3]) == (0.7, 1.2)
    np.testing.assert_allclose(res.x, expected, atol=1e-6 if tol else 5e-4)
    assert res.fixed == {"x[1]": 0.7, "x[3]": 1.2}
    assert "2 of 5 parameters were held: x[1], x[3]" in res.message
    if "jac" in res:
        np.testing.assert_allclose(res.jac, hs.grad(chain)(res.x), atol=1e-12)
        assert abs(res.jac[1]) > 0.1 > res.gradient_norm
    assert res.hess.shape == (5, 5)


@pytest.mark.parametrize("structure", ["dense", "sparse", "operator"])
def test_every_structure(structure: str) -> None:
    x0 = np.ones(300)
    held = {"x[10:20]": np.linspace(0.5, 1.0, 10)}
    res = minimize(chain, x0, structure=structure, fixed=held, options={"gtol": 1e-9})
    assert res.success
    assert res.structure == structure
    gradient = hs.grad(chain)(res.x)
    assert np.abs(np.delete(gradient, np.arange(10, 20))).max() < 1e-9
    np.testing.assert_array_equal(res.x[10:20], held["x[10:20]"])


def negative_log_likelihood(p: Any, t: np.ndarray, y: np.ndarray) -> Any:
    r = (y - p["a"] * np.exp(-p["k"] * t)) / p["sigma"]
    return np.sum(0.5 * r**2) + len(y) * np.log(p["sigma"])


T = np.linspace(0.0, 3.0, 20)
Y = 2.0 * np.exp(-0.7 * T) + 0.1 * np.sin(7.0 * T)


def test_recordings_are_shared_between_values() -> None:
    f = hs.record(negative_log_likelihood)
    x0 = {"a": 1.0, "k": 0.5, "sigma": 1.0}
    counts = []
    for sigma in (0.5, 0.1, 0.2, 0.3):
        res = minimize(f, x0, (T, Y), fixed={"sigma": sigma}, options=TIGHT)
        assert res.success
        assert res.x["sigma"] == sigma
        counts.append(f.stats.recordings)
    assert len(set(counts)) == 1, "another value takes no new recording"
    plain = minimize(negative_log_likelihood, x0, (T, Y), fixed={"sigma": 0.3}, options=TIGHT)
    np.testing.assert_allclose([plain.x["a"], plain.x["k"]], [res.x["a"], res.x["k"]], rtol=1e-12)
    slope = hs.grad(negative_log_likelihood)(plain.x, T, Y)["sigma"]
    np.testing.assert_allclose(plain.jac["sigma"], slope)
    assert plain.gradient_norm < 1e-10 < abs(slope)


def test_recordings_of_other_sets_are_others() -> None:
    f = hs.record(chain)
    for held in ({1: 0.7}, {3: 0.7}, {"x[2:4]": [0.7, 1.2]}, {"x[1:3]": [0.7, 1.2]}, {1: 0.9}):
        ((key, value),) = held.items()
        numbers = np.ravel(find_part(np.zeros(5), key, "test").places[0])
        places = dict(zip(numbers.tolist(), np.ravel(value).tolist(), strict=True))
        res = minimize(f, np.ones(5), fixed=held, options=TIGHT)
        np.testing.assert_allclose(res.x, free_minimum(places), atol=1e-8)


def test_keys_alone_hold_what_x0_has() -> None:
    x0 = {"a": 1.0, "k": 0.5, "sigma": 0.25}
    held = minimize(negative_log_likelihood, x0, (T, Y), fixed=["sigma"])
    assert held.x["sigma"] == 0.25
    assert held.fixed == {"sigma": 0.25}
    nothing = minimize(negative_log_likelihood, x0, (T, Y), fixed={})
    assert "fixed" not in nothing


def test_covariance_is_that_of_the_others() -> None:
    x0 = {"a": 1.0, "k": 0.5, "sigma": 1.0}
    res = minimize(negative_log_likelihood, x0, (T, Y), fixed={"sigma": 0.2}, options=TIGHT)
    C = res.covariance()
    inner = np.linalg.inv(hs.hessian(lambda p: negative_log_likelihood({"a": p[0], "k": p[1], "sigma": 0.2}, T, Y))(
        np.array([res.x["a"], res.x["k"]])
    ))  # fmt: skip
    np.testing.assert_allclose(C.matrix[:2, :2], inner, rtol=1e-10)
    assert not C.matrix[2].any()
    assert C.standard_error["sigma"] == 0.0
    assert C.fixed == ("sigma",)
    assert C.names == ("a", "k", "sigma")
    assert "3 parameters, 1 of them held" in repr(C)
    assert repr(C).endswith("held")
    np.testing.assert_array_equal(C.correlation[2], [0.0, 0.0, 1.0])
    terms = lambda p, t, y: 0.5 * ((y - p["a"] * np.exp(-p["k"] * t)) / p["sigma"]) ** 2 + np.log(p["sigma"])
    sandwich = res.covariance("sandwich", per_example=terms)
    scores = hs.jacobian(terms)(res.x, T, Y)
    S = np.column_stack([scores["a"], scores["k"]])
    np.testing.assert_allclose(sandwich.matrix[:2, :2], inner @ S.T @ S @ inner, rtol=1e-9)
    model = lambda p, t, y: p["a"] * np.exp(-p["k"] * t)
    expected = res.covariance("expected", model=model, likelihood="gaussian", scale=1.0 / 0.2**2)
    J = hs.jacobian(model)(res.x, T, Y)
    J = np.column_stack([J["a"], J["k"]])
    np.testing.assert_allclose(expected.matrix[:2, :2], 0.2**2 * np.linalg.inv(J.T @ J), rtol=1e-9)


def test_bounds_are_those_of_all() -> None:
    expected = free_minimum({1: 0.7})
    res = minimize(chain, np.ones(5), bounds=Bounds(0.0, 3.0), fixed={1: 0.7}, tol=1e-9)
    np.testing.assert_allclose(res.x, expected, atol=1e-6)
    pairs = [(0, 3), (0, 1), (0, 0.5), (None, None), (0, 3)]
    res = minimize(chain, np.ones(5), bounds=pairs, fixed={1: 0.7}, tol=1e-9)
    assert res.x[2] == 0.5
    assert res.jac.shape == (5,)
    with pytest.raises(OptionError, match="its bounds are 0 and 1"):
        minimize(chain, np.ones(5), bounds=pairs, fixed={1: 2.0})


@pytest.mark.parametrize("method", ["SLSQP", "trust-constr"])
def test_constraints_are_those_of_all(method: str) -> None:
    matrix = np.array([[1.0, 1.0, 1.0, 0.0, 0.0]])
    held = [(0, 3), (0.7, 0.7), (0, 3), (0, 3), (0, 3)]
    plane = LinearConstraint(matrix, 2.0, 2.0)
    direct = minimize(chain, np.ones(5), constraints=plane, bounds=held, method="SLSQP", options={"ftol": 1e-14})
    products = aslinearoperator(np.zeros((5, 5)))
    kinds = [
        plane,
        NonlinearConstraint(lambda x: x[0] + x[1] + x[2], 2.0, 2.0),
        NonlinearConstraint(lambda x: x[0] + x[1] + x[2], 2.0, 2.0, jac=lambda x: matrix, hess=lambda x, v: products),
        NonlinearConstraint(
            lambda x: x[0] + x[1] + x[2], 2.0, 2.0, jac=lambda x: matrix, hess=lambda x, v: np.zeros((5, 5))
        ),
        {"type": "eq", "fun": lambda x, total: x[0] + x[1] + x[2] - total, "args": (2.0,)},
        {"type": "eq", "fun": lambda x: x[0] + x[1] + x[2] - 2.0, "jac": lambda x: matrix[0]},
    ]
    options = {"ftol": 1e-14} if method == "SLSQP" else {"maxiter": 300}
    for item in kinds[: 5 if method == "trust-constr" else 6]:  # SciPy's approximation of a Hessian of zero warns
        res = minimize(chain, np.ones(5), constraints=item, fixed={1: 0.7}, method=method, options=options)
        assert res.success, res.message
        np.testing.assert_allclose(res.x, direct.x, atol=2e-5)
    with pytest.raises(ShapeMismatchError, match="A of a linear constraint"):
        minimize(chain, np.ones(5), constraints=LinearConstraint(np.ones((1, 4)), 0.0, 1.0), fixed={1: 0.7})
    with pytest.raises(OptionError, match="constraints contains a str"):
        minimize(chain, np.ones(5), constraints=["x"], fixed={1: 0.7}, method=method)


def test_callbacks_are_told_of_all() -> None:
    seen: list[Any] = []
    minimize(chain, np.ones(5), fixed={1: 0.7}, callback=seen.append)
    assert all(x.shape == (5,) and x[1] == 0.7 for x in seen)
    states: list[Any] = []

    def told(intermediate_result: Any) -> bool:
        states.append(intermediate_result)
        return len(states) == 2

    res = minimize(chain, np.ones(5), fixed={1: 0.7}, callback=told)
    assert res.status.name == "CALLBACK"
    assert states[-1].x[1] == 0.7
    assert states[-1].jac.shape == (5,)
    both: list[Any] = []
    minimize(chain, np.ones(5), fixed={1: 0.7}, method="trust-constr", callback=lambda x, s: both.append((x, s)))
    assert both[-1][0].shape == (5,)
    fit: list[Any] = []
    least_squares(residuals, START, fixed={"k": 0.7}, callback=fit.append)
    assert fit[-1]["k"] == 0.7


def test_checkpoints_go_on(tmp_path: Any) -> None:
    options = {"checkpoint": tmp_path / "run", "checkpoint_every": 0.0}
    first = minimize(chain, np.full(5, 3.0), fixed={1: 0.7}, options={**options, "maxiter": 2})
    again = minimize(chain, np.full(5, 3.0), fixed={1: 0.7}, options={**options, "resume": True})
    straight = minimize(chain, np.full(5, 3.0), fixed={1: 0.7})
    assert not first.success
    np.testing.assert_array_equal(again.x, straight.x)


def test_preconditioners_are_those_of_all() -> None:
    expected = free_minimum({1: 0.7})
    curvatures = lambda x: np.abs(np.diag(hs.hessian(chain)(x))) + 0.1
    for given in (np.ones(5), curvatures, "jacobi"):
        options = {"preconditioner": given, "gtol": 1e-9}
        res = minimize(chain, np.ones(5), method="trust-ncg", fixed={1: 0.7}, options=options)
        np.testing.assert_allclose(res.x, expected, atol=1e-7)
    with pytest.raises(ShapeMismatchError, match="the preconditioner has 4 numbers, x0 has 5"):
        minimize(chain, np.ones(5), method="trust-ncg", fixed={1: 0.7}, options={"preconditioner": np.ones(4)})
    with pytest.raises(OptionError, match="a preconditioner that is a matrix"):
        minimize(chain, np.ones(5), method="trust-ncg", fixed={1: 0.7}, options={"preconditioner": np.eye(5)})


def residuals(p: Any) -> Any:
    return p["a"] * np.exp(-p["k"] * T) + p["c"] - Y


START = {"a": 1.0, "k": 0.5, "c": 0.0}


@pytest.mark.parametrize("method", ["lm", "gauss-newton-cg"])
@pytest.mark.parametrize("loss", ["linear", "soft_l1"])
def test_least_squares(method: str, loss: str) -> None:
    res = least_squares(residuals, START, method=method, loss=loss, f_scale=0.1, fixed={"c": 0.05}, x_scale="jac")
    reference = scipy.optimize.least_squares(
        lambda b: residuals({"a": b[0], "k": b[1], "c": 0.05}), [1.0, 0.5], loss=loss, f_scale=0.1, xtol=1e-15, ftol=1e-15, gtol=1e-15
    )  # fmt: skip
    assert res.success
    np.testing.assert_allclose([res.x["a"], res.x["k"]], reference.x, rtol=1e-6)
    np.testing.assert_allclose(res.cost, reference.cost)
    if loss == "linear":
        slopes = hs.grad(lambda p: 0.5 * np.sum(residuals(p) ** 2))(res.x)
        np.testing.assert_allclose([res.grad[k] for k in "akc"], [slopes[k] for k in "akc"], atol=1e-9)
        assert res.degrees_of_freedom == len(T) - 2
        C = res.covariance()
        assert C.standard_error["c"] == 0.0
        s2 = 2.0 * res.cost / (len(T) - 2)
        J = reference.jac
        np.testing.assert_allclose(C.matrix[:2, :2], s2 * np.linalg.inv(J.T @ J), rtol=1e-5)
    if method == "lm":
        assert res.jac.shape == (len(T), 2)
    if method == "lm" and loss == "linear":
        assert res.standard_error["c"] == 0.0
        np.testing.assert_allclose(res.standard_error["a"], C.standard_error["a"])


def test_least_squares_with_scales_and_sparse_factors() -> None:
    res = least_squares(residuals, START, fixed={"c": 0.05})
    scaled = least_squares(residuals, START, fixed={"c": 0.05}, x_scale={"a": 1.0, "k": 2.0, "c": 1.0})
    sparse = least_squares(residuals, START, fixed={"c": 0.05}, structure="sparse")
    for other in (scaled, sparse):
        np.testing.assert_allclose([other.x["a"], other.x["k"]], [res.x["a"], res.x["k"]], rtol=1e-6)


def test_complex_and_single_precision_parameters() -> None:
    f = lambda p: np.sum(np.abs(p["z"] - p["w"]) ** 2) + p["s"] ** 2
    x0 = {"z": np.zeros(2, complex), "w": 0.0, "s": 1.0}
    res = minimize(f, x0, fixed={"z": [1.0 + 1.0j, 3.0 - 1.0j]})
    np.testing.assert_array_equal(res.x["z"], [1.0 + 1.0j, 3.0 - 1.0j])
    np.testing.assert_allclose(res.x["w"], 2.0, atol=1e-6)
    single = minimize(lambda x: np.sum((x - 2.0) ** 2), np.zeros(3, np.float32), fixed={0: 0.5})
    assert single.x.dtype == np.float32
    np.testing.assert_allclose(single.x, [0.5, 2.0, 2.0], atol=1e-3)


def test_derivatives_where_there_are_none() -> None:
    """A held parameter at the edge of its domain, or beyond it."""
    x0 = {"a": np.zeros(2), "s": 1.0}
    root = lambda p: np.sum((p["a"] - 1.0) ** 2) + np.sqrt(p["s"])
    res = minimize(hs.record(root), x0, fixed={"s": 0.0})
    assert res.success
    assert not np.isfinite(res.jac["s"])
    asked: list[Any] = []

    def fails_once(p: Any) -> Any:
        """Where all is asked for at the end."""
        if asked:
            raise np.linalg.LinAlgError("no value")
        return np.sum((p["a"] - 1.0) ** 2) + p["s"]

    solved = Held(x0, {"s": 0.0}, "test")
    inner = minimize(solved.function(fails_once), solved.first, (solved.values,))
    solved.restored(inner, fails_once, ())
    asked.append(True)
    solved.with_derivatives(inner, "jac", hs.grad(fails_once))
    assert np.isnan(inner.jac["s"])
    assert np.isfinite(inner.jac["a"]).all()


def test_what_cannot_be_held_is_refused() -> None:
    x0 = tree()
    f = lambda x: 0.0 * x["log sigma"]
    with pytest.raises(OptionError, match="every one of the 2 parameters is held"):
        minimize(np.sum, np.zeros(2), fixed={"x": 0.0})
    with pytest.raises(OptionError, match=r"beta\[1\] is held twice"):
        minimize(f, x0, fixed={"beta": 0.0, "beta[1]": 1.0})
    with pytest.raises(OptionError, match="neither a dict nor a list"):
        minimize(f, x0, fixed="beta")
    with pytest.raises(OptionError, match="a dict with keys"):
        minimize(f, x0, fixed={"layers[0]": 1.0})
    with pytest.raises(ShapeMismatchError, match="of shape \\(3,\\) is to be held"):
        minimize(f, x0, fixed={"beta": np.zeros(2)})
    with pytest.raises(OptionError, match="Nothing can be computed there"):
        minimize(f, x0, fixed={"beta": np.nan})
    with pytest.raises(OptionError, match=r"x\[1\] is to be held at nan"):
        minimize(np.sum, np.array([0.0, np.nan]), fixed=[1])
    with pytest.raises(OptionError, match=r"traced value.*hs.argmin"):
        hs.grad(lambda s: minimize(lambda x: np.sum(x**2), np.zeros(2), fixed={1: s}).x[0])(1.0)
    parts = {"layers[0]": {"W": np.zeros((2, 3))}, "beta": 0.0, "layers[1]": Pair(0.0, 0.0), 7: 0.0}
    res = minimize(lambda x: x["layers"][0]["W"].sum() + (x["log sigma"] - 1.0) ** 2, x0, fixed=parts)
    assert res.success
    assert res.x["layers"][0]["W"].sum() == 0.0
