"""Containers reach a function as they were given, and results have their structure."""

from __future__ import annotations

from collections import OrderedDict, defaultdict, deque
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
import pytest
import scipy.sparse
from numpy.testing import assert_allclose

import hessian as hs
from hessian.errors import LeavesTapeError


class Pair(NamedTuple):
    """Two arrays."""

    a: Any
    b: Any


@dataclass(frozen=True)
class Params:
    """Two parameters, checked where they are made."""

    scale: Any
    rest: Any = 1.0

    def __post_init__(self) -> None:
        if isinstance(self.scale, float) and self.scale <= 0.0:
            raise ValueError("scale must be positive")

    @cached_property
    def square(self) -> Any:
        """Computed once, from what the object holds."""
        return self.scale**2


class Named(dict):
    """A dict with a class of its own."""

    def product(self) -> Any:
        """Multiply all there is."""
        return self["a"] * np.sum(self["b"])


def ring(p: Any) -> Any:
    return sum(a * b for a, b in zip(p, p[1:] + p[:1], strict=True))


@pytest.mark.parametrize("kind", [list, tuple])
@pytest.mark.parametrize("recorded", [False, True], ids=["plain", "recorded"])
def test_a_list_of_numbers_stays_one(kind: Any, recorded: bool) -> None:
    f, hessian = (hs.record(ring) if recorded else ring), np.ones((3, 3)) - np.eye(3)
    for x in (kind([1.0, 2.0, 4.0]), kind([2.0, 3.0, 5.0])):
        value, gradient = hs.value_and_grad(f)(x)
        assert value == ring(x)
        expected = [sum(x) - a for a in x]
        assert type(gradient) is kind
        assert list(gradient) == expected
        assert all(isinstance(g, np.float64) for g in gradient)
        v = kind([1.0, 0.0, 2.0])
        assert_allclose(hs.hvp(f, x, v), hessian @ v)
        assert type(hs.hvp(f, x, v)) is kind
        assert_allclose(hs.hvp(f, x, np.asarray(v)), hessian @ v)
        assert_allclose(hs.hvp(f, x, np.eye(3)), hessian)
        assert_allclose(hs.hessian(f)(x), hessian)
        assert type(hs.hessian(f)(x)[0]) is kind
        assert_allclose(hs.jacobian(f)(x), expected)
        assert_allclose(hs.jvp(f, x, v)[1], np.dot(expected, v))
        assert_allclose(hs.vjp(f, x)[1](2.0), 2.0 * np.array(expected))
        assert_allclose(hs.directional(f, x, v, v), v @ hessian @ v)
        assert_allclose(hs.taylor(f, x, v, order=2)[2], v @ hessian @ v / 2)
        H = hs.HessianOperator(f, x)
        assert_allclose(H @ np.asarray(v), hessian @ v)
        assert_allclose(H.gradient, expected)
        assert_allclose(hs.JacobianOperator(f, x).to_dense(), [expected])
    assert hs.check_derivatives(ring, kind([1.0, 2.0, 4.0])).success


def test_tangents_of_arrays_may_be_lists_and_must_fit() -> None:
    x = np.array([1.0, 2.0])
    for f in (lambda x: x[0] ** 2 * x[1], hs.record(lambda x: x[0] ** 2 * x[1])):
        assert_allclose(hs.hvp(f, x, [1.0, 0.0]), [4.0, 2.0])
        assert_allclose(hs.jvp(f, x, [1.0, 0.0])[1], 4.0)
        with pytest.raises(hs.errors.ShapeMismatchError):
            hs.jvp(f, [1.0, 2.0], [1.0, 0.0, 0.0])
        with pytest.raises(hs.errors.DtypeError, match="jvp: v is a MaskedArray"):
            hs.jvp(f, x, np.ma.array([1.0, 0.0], mask=[0, 1]))


def test_ragged_lists_of_floats_are_containers() -> None:
    f = lambda p: p[0] ** 2 * p[1][0] + p[1][1]
    assert hs.grad(f)([1.0, [2.0, 3.0]]) == [4.0, [1.0, 1.0]]
    res = hs.optimize.minimize(lambda p: (p[0] - 1) ** 2 + (p[1][0] - 2) ** 2 + p[1][1] ** 2, [0.0, [0.0, 3.0]])
    assert_allclose([res.x[0], *res.x[1]], [1.0, 2.0, 0.0], atol=1e-9)


CONTAINERS = {
    "dict": lambda a, b: {"a": a, "b": b},
    "ordered": lambda a, b: OrderedDict(a=a, b=b),
    "default": lambda a, b: defaultdict(lambda: 3.0, a=a, b=b),
    "own dict": lambda a, b: Named(a=a, b=b),
    "named tuple": Pair,
    "dataclass": Params,
    "nested": lambda a, b: {"layers": [{"W": b}, (a, [])], "none": {}},
}


def first_and_rest(p: Any) -> tuple[Any, Any]:
    """Return the number and the array of a container, the way its class is used."""
    if isinstance(p, Pair):
        return p.a, p.b
    if isinstance(p, Params):
        return np.sqrt(p.square), p.rest
    if "layers" in p:
        return p["layers"][1][0], p["layers"][0]["W"]
    if isinstance(p, defaultdict):
        return p["a"] * p.default_factory() / 3.0, p["b"]
    return (p.product() / np.sum(p["b"]), p["b"]) if isinstance(p, Named) else (p["a"], p["b"])


def objective(p: Any) -> Any:
    a, b = first_and_rest(p)
    return a**2 * np.sum(np.sin(b)) + np.sum(b**2)


@pytest.mark.parametrize("name", CONTAINERS)
@pytest.mark.parametrize("wrap", [lambda f: f, hs.record, hs.checkpoint], ids=["plain", "recorded", "checkpointed"])
def test_containers_keep_their_class(name: str, wrap: Any) -> None:
    make, f = CONTAINERS[name], wrap(objective)
    flat = lambda z: objective({"a": z[0], "b": z[1:]})
    z, v = np.array([1.5, 0.3, 0.7]), np.array([0.2, -1.0, 0.5])
    for _ in range(2):
        x, dots = make(z[0], z[1:].copy()), make(abs(v[0]), v[1:])
        if name == "dataclass":
            assert x.square == z[0] ** 2  # what the object has stored does not reach f
        value, gradient = hs.value_and_grad(f)(x)
        assert type(gradient) is type(x)
        assert_allclose(value, flat(z))
        expected = hs.grad(flat)(z)
        a, b = leaves(gradient)
        assert_allclose([a, *b], expected)
        assert isinstance(a, np.float64)
        product = hs.hvp(f, x, dots)
        assert type(product) is type(x)
        a, b = leaves(product)
        assert_allclose([a, *b], hs.hvp(flat, z, v))
        a, b = leaves(hs.grad(lambda x, f=f, dots=dots: hs.jvp(f, x, dots)[1])(x))
        assert_allclose([a, *b], hs.hvp(flat, z, v))
        assert_allclose(
            hs.HessianOperator(f, x).to_dense(), hs.hessian(flat)(z)[np.ix_(*2 * [order(name)])], atol=1e-14
        )
        z = z + 0.1


def order(name: str) -> list[int]:
    """Return how the entries lie in the raveled vector."""
    return [1, 2, 0] if name == "nested" else [0, 1, 2]


def leaves(p: Any) -> tuple[Any, Any]:
    """Return the two leaves."""
    if isinstance(p, Pair | Params):
        return (p.a, p.b) if isinstance(p, Pair) else (p.scale, p.rest)
    return (p["layers"][1][0], p["layers"][0]["W"]) if "layers" in p else (p["a"], p["b"])


def test_empty_containers() -> None:
    for x in ([], {}, (), {"a": []}):
        for f in (lambda p: 2.0, hs.record(lambda p: 2.0)):
            assert hs.value_and_grad(f)(x) == (2.0, x)
            assert hs.hvp(f, x, x) == hs.hessian(f)(x) == hs.jacobian(f)(x) == x
            assert hs.HessianOperator(f, x).to_dense().shape == (0, 0)
            assert hs.JacobianOperator(f, x).shape == (1, 0)


def test_results_have_one_structure_traced_or_not() -> None:
    inner = lambda p: p[0] ** 2 * p[1] + np.sin(p[0])
    seen = []

    def outer(x: Any) -> Any:
        p = [x, 2.0 * x]
        given = (hs.grad(inner)(p), hs.hessian(inner)(p), hs.hvp(inner, p, p), hs.jvp(lambda p: [p[0], 1.0], p, p))
        seen.append([type(given[0]), type(given[1][0]), type(given[2]), *map(type, given[3])])
        return given[0][0] + given[1][1][0] + given[2][0] + given[3][1][0]

    expected = outer(1.3)
    assert_allclose(hs.value_and_grad(outer)(1.3)[0], expected)
    step = 1e-6
    assert_allclose(hs.grad(outer)(1.3), (outer(1.3 + step) - outer(1.3 - step)) / (2 * step), rtol=1e-8)
    assert_allclose(hs.grad(hs.checkpoint(outer))(1.3), hs.grad(outer)(1.3))
    assert_allclose([hs.record(outer)(1.3) for _ in range(2)], expected)
    assert all(kinds == [list] * 5 for kinds in seen)


# What cannot be differentiated is refused by name.


def in_places(x: Any) -> list[tuple[Any, str]]:
    """Return a leaf in every position, with the path that a message should name."""
    return [
        (x, "x"),
        ({"p": {"layers": [np.ones(2), x]}}, "x['p']['layers'][1]"),
        ((1.0, x), "x[1]"),
        (Pair(1.0, x), "x.b"),
        (Params(1.0, x), "x.rest"),
    ]


REFUSED = {
    "integers": (np.arange(3), "has dtype int64. Integers are not differentiable"),
    "an integer": (3, "has dtype int64"),
    "masked": (np.ma.array([1.0, 2.0], mask=[0, 1]), "is a MaskedArray. Its own rules.*np.where\\(mask, 0, x.data\\)"),
    "matrix": (np.matrix([[1.0, 2.0]]), "is a matrix. Its own rules.*Pass np.asarray"),
    "sparse": (scipy.sparse.csr_array(np.eye(2)), "is a csr_array.*Pass its entries"),
    "none": (None, "is None"),
    "deque": (deque([1.0, 2.0]), "is a deque.*Pass an array, or a list"),
    "text": ("a", "is a str"),
    "half": (np.ones(2, np.float16), "has dtype float16"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_leaves_that_cannot_be_differentiated_are_named(name: str) -> None:
    leaf, why = REFUSED[name]
    f = lambda p: 1.0
    for x, path in in_places(leaf):
        match = f"argument {path} ".replace("[", r"\[").replace("]", r"\]") + f"({why})"
        for call in (
            lambda x: hs.grad(f)(x),
            lambda x: hs.grad(hs.record(f))(x),
            lambda x: hs.hvp(f, x, x),
            lambda x: hs.hessian(hs.record(f))(x),
            lambda x: hs.jacobian(f)(x),
            lambda x: hs.vjp(f, x),
            lambda x: hs.HessianOperator(f, x),
            lambda x: hs.JacobianOperator(hs.record(f), x),
            lambda x: hs.taylor(f, x, x, order=2),
        ):
            with pytest.raises(hs.errors.DtypeError, match=match):
                call(x)


def test_pandas_objects_are_refused_as_arguments() -> None:
    pandas = pytest.importorskip("pandas")
    for thing in (pandas.Series([1.0, 2.0]), pandas.DataFrame({"a": [1.0, 2.0]})):
        with pytest.raises(hs.errors.DtypeError, match=r"x\[0\] is a (Series|DataFrame).*Pass a plain array"):
            hs.grad(lambda p: np.sum(p[0]))([thing])


def test_subclasses_that_only_store_numbers_are_plain_arrays(tmp_path: Any) -> None:
    stored = np.memmap(tmp_path / "x", dtype=float, shape=(3,), mode="w+")
    stored[:] = [1.0, 2.0, 3.0]
    for x in (np.arange(1.0, 4.0).view(np.recarray), stored, np.arange(1.0, 4.0).astype(">f8")):
        for f in (lambda p: np.sum(p["x"] ** 3), hs.record(lambda p: np.sum(p["x"] ** 3))):
            gradient = hs.grad(f)({"x": x})["x"]
            assert type(gradient) is np.ndarray
            assert_allclose(gradient, [3.0, 12.0, 27.0])


def test_arguments_that_are_not_differentiated_keep_their_rules() -> None:
    data = np.ma.array([1.0, 5.0, 2.0], mask=[0, 1, 0])
    f = lambda x, data: x**2 * float(data.sum())
    for function in (f, hs.record(f)):
        for _ in range(3):
            assert hs.grad(function)(2.0, data) == 12.0
            assert function(2.0, data) == 12.0


def test_computed_fields_of_dataclasses_are_refused() -> None:
    @dataclass
    class Computed:
        a: Any
        b: Any = field(init=False)

        def __post_init__(self) -> None:
            self.b = 2 * self.a

    with pytest.raises(hs.errors.OptionError, match=r"Computed has fields that it computes: b.*Make them properties"):
        hs.grad(lambda p: p.b)(Computed(1.0))
    options = Computed(3.0)
    for f in (lambda x, c: x * c.b, hs.record(lambda x, c: x * c.b), hs.checkpoint(lambda x, c: x * c.b)):
        assert hs.grad(f)(1.0, options) == 6.0


def test_what_is_not_differentiated_is_handed_on_as_it_is() -> None:
    class Options(dict):
        """A dict with an attribute."""

    options, plain = Options(n=2), {"list": [1, 2], "data": np.ones(2)}
    options.extra = 3.0

    def f(x: Any, o: Any, p: Any) -> Any:
        assert type(o) is Options
        return x ** o["n"] * o.extra * len(p["list"] + [3]) * np.sum(p["data"])

    for function in (f, hs.record(f), hs.checkpoint(f)):
        for _ in range(2):
            assert hs.grad(function)(1.0, options, plain) == 36.0
    aux = hs.grad(lambda x: (x**2, options), has_aux=True)(1.0)[1]
    assert aux is options


def test_results_in_containers_keep_their_class() -> None:
    f = lambda x: Params(x**2, [x, {"y": Pair(3.0, 2.0 * x)}])
    for function in (f, hs.record(f), hs.checkpoint(f)):
        y, y_dot = hs.jvp(function, 2.0, 1.0)
        assert y_dot == Params(np.float64(4.0), [1.0, {"y": Pair(0.0, 2.0)}]) or function is not f
        assert (y.scale, y_dot.scale, y_dot.rest[0], y_dot.rest[1]["y"].b) == (4.0, 4.0, 1.0, 2.0)
        pulled = hs.vjp(function, 2.0)[1](y)
        assert_allclose(pulled, 4.0 * 4.0 + 2.0 + 2.0 * 4.0)


def test_solvers_take_lists_as_scipy_does() -> None:
    f = lambda x: np.sum((x - np.array([1.0, 2.0])) ** 2)
    res = hs.optimize.minimize(f, [0, 0])
    assert isinstance(res.x, np.ndarray)
    assert_allclose(res.x, [1.0, 2.0])
    assert_allclose(hs.optimize.minimize(f, (0.0, 0.0), method="L-BFGS-B").x, [1.0, 2.0], atol=1e-6)
    assert_allclose(hs.optimize.least_squares(lambda x: x - np.array([1.0, 2.0]), [0.0, 0.0]).x, [1.0, 2.0])
    inside = hs.optimize.minimize(
        lambda p: (p["a"][0] - 1) ** 2 + (p["a"][1] + p["b"]) ** 2 + p["b"] ** 2, {"a": [0.0, 1.0], "b": 2.0}
    )
    assert type(inside.x["a"]) is list
    assert isinstance(inside.x["b"], np.float64)
    with pytest.raises(hs.errors.DtypeError, match="minimize: x0 is a MaskedArray"):
        hs.optimize.minimize(f, np.ma.array([0.0, 0.0]))


@pytest.mark.parametrize("operator", ["jacobian", "fisher", "empirical", "hessian", "gauss_newton"])
def test_operators_of_recorded_functions_record_once(operator: str) -> None:
    count = [0]

    def f(x: Any) -> Any:
        count[0] += 1
        return np.sin(x) * x[0]

    def scalar(x: Any) -> Any:
        return np.sum(f(x))

    x, operators = np.arange(1.0, 5.0), hs.operators
    make = {
        "jacobian": lambda r: hs.JacobianOperator(r(f), x),
        "fisher": lambda r: operators.FisherOperator(r(f), x, likelihood="gaussian"),
        "empirical": lambda r: operators.EmpiricalFisherOperator(r(lambda x: f(x) ** 2), x),
        "hessian": lambda r: hs.HessianOperator(r(scalar), x),
        "gauss_newton": lambda r: operators.GaussNewtonOperator(r(f), lambda z: np.sum(z**2), x),
    }[operator]
    for wrap in (lambda f: f, hs.record):
        count[0] = 0
        made = make(wrap)
        made @ np.ones(4)
        if hasattr(made, "to_dense"):
            made.to_dense()
        assert count[0] == 1


def test_tables_leave_arithmetic_to_traced_arrays() -> None:
    pandas = pytest.importorskip("pandas")
    x, values = np.array([1.5, 2.0, 3.0]), np.array([2.0, -1.0, 0.5])
    series, table = pandas.Series(values), pandas.DataFrame([values, values**2])
    for f, plain in (
        (lambda w: series * w + w - series, lambda w: values * w + w - values),
        (lambda w: series / w + w**series, lambda w: values / w + w**values),
        (lambda w: table * w, lambda w: table.to_numpy() * w),
        (lambda w: np.where(series > w, w, w**2), lambda w: np.where(values > w, w, w**2)),
    ):
        total, expected = (lambda w, g=g: np.sum(np.cos(g(w))) for g in (f, plain))
        np.testing.assert_allclose(hs.grad(total)(x), hs.grad(expected)(x), rtol=1e-14)
    for product in (lambda w: np.sum(table @ w), lambda w: series @ w):
        with pytest.raises(
            LeavesTapeError, match=r"tests.test_containers\.py.*Use the numbers of the table, df\.to_numpy\(\) @ x"
        ):
            hs.grad(product)(x)
