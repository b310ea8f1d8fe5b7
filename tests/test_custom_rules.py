"""Rules of users' own: right ones work wherever NumPy's functions do, wrong ones of every kind are told."""

from __future__ import annotations

import pickle
from typing import Any

import numpy as np
import pytest
import scipy.fft
import scipy.special as sc
from numpy import asarray

import hessian as hs
from hessian.errors import DerivativeCheckError, DtypeError, MissingRuleError, OptionError, ShapeMismatchError
from hessian.rules import MISSING, NONDIFF, ZERO
from hessian.rules.samples import Case, Sample
from hessian.transforms import rule_walk as walk
from hessian.transforms.rule_trials import Trial

dawsn = hs.custom_rule(sc.dawsn, d1=[lambda y, x: 1 - 2 * x * y])
cube = hs.custom_rule(lambda x: x**3, name="cube", d1=[lambda y, x: 3 * x * x], d2={(0, 0): lambda y, x: 6 * x})
dct = hs.custom_rule(
    lambda x: scipy.fft.dct(x, norm="ortho"), name="dct", transpose=lambda g, shape: idct(g), analytic=None
)
idct = hs.custom_rule(lambda x: scipy.fft.idct(x, norm="ortho"), name="idct", transpose=lambda g, shape: dct(g))
times = hs.custom_rule(lambda a, b: a @ b, name="times", labels="ij,jk->ik")
power = hs.custom_rule(
    lambda x, *, n: x**n,
    name="power",
    d1=[lambda y, x, *, n: n * x ** (n - 1)],
    domain=[(0.5, 2.0)],
    variants=[{"n": 3}],
)
mean = hs.custom_rule(
    lambda x, *, axes: np.mean(x**2, axis=axes, keepdims=True),
    name="mean_square",
    pushforward=lambda y, xs, dots, *, axes: 2 * np.mean(xs[0] * dots[0], axis=axes, keepdims=True),
    pullback=lambda y, xs, g, wanted, *, axes: [2 * xs[0] * g / xs[0].shape[axes[0]]],
    pattern="axes",
)
chosen = hs.custom_rule(
    lambda mask, x: np.where(mask, np.sin(x), 0.0),
    name="chosen",
    d1=[NONDIFF, lambda y, m, x: np.where(m, np.cos(x), 0.0)],
)
RNG = np.random.default_rng(0)
RIGHT: list[tuple[Any, tuple[Any, ...], dict[str, Any]]] = [
    (dawsn, (), {}),
    (cube, (), {}),
    (dct, (RNG.standard_normal(5),), {}),
    (dct, (RNG.standard_normal((2, 3)),), {}),
    (times, (RNG.standard_normal((2, 3)), RNG.standard_normal((3, 4))), {}),
    (power, (), {}),
    (mean, (RNG.standard_normal((3, 4)),), {"axes": (-1,)}),
    (chosen, (), {}),
]


@pytest.mark.parametrize(("row", "args", "settings"), RIGHT, ids=lambda x: getattr(x, "name", ""))
def test_right_rules_pass(row, args, settings):
    hs.check_rule(row, *args, **settings)


def f(x):
    return np.sum(dawsn(x) * cube(x)) + np.sum(dct(x) ** 3) + np.sum(times(x.reshape(2, 2), x.reshape(2, 2)))


def test_rules_work_plainly_recorded_nested_batched_and_pickled():
    x, v = np.array([0.3, -0.7, 1.1, 0.2]), np.array([1.0, 2.0, -1.0, 0.5])
    hs.check_derivatives(f, x)
    H = hs.hessian(f)(x)
    np.testing.assert_allclose(hs.hvp(f, x, np.eye(4)), H, rtol=1e-13)
    np.testing.assert_allclose(hs.jacobian(hs.grad(f))(x), H, rtol=1e-12)
    recorded = hs.record(f)
    for program in (recorded, pickle.loads(pickle.dumps(recorded))):
        for _ in range(2):
            np.testing.assert_allclose(hs.hvp(program, x, v), H @ v, rtol=1e-12)
        np.testing.assert_allclose(hs.HessianOperator(program, 2 * x).to_dense(), hs.hessian(f)(2 * x), rtol=1e-12)
    assert pickle.loads(pickle.dumps(dawsn)) is dawsn
    res = hs.optimize.minimize(lambda x: np.sum((dct(x) - v) ** 2), x)
    np.testing.assert_allclose(res.x, scipy.fft.idct(v, norm="ortho"), atol=1e-6)


def test_results_are_arrays_of_their_own():
    memory = np.zeros(3)

    def reusing(x):
        memory[:] = np.sin(x)
        return memory

    sine = hs.custom_rule(reusing, d1=[lambda y, x: np.cos(x)])
    twice = lambda x: np.sum(sine(x) * sine(2 * x))
    x = np.arange(3.0)
    for g in (twice, hs.record(twice)):
        np.testing.assert_allclose(hs.grad(g)(x), np.cos(x) * np.sin(2 * x) + 2 * np.sin(x) * np.cos(2 * x))
    assert sine([0.0, 0.0, 0.0]).tolist() == [0.0, 0.0, 0.0]


def _elementwise(function: Any, **row: Any) -> Any:
    return hs.custom_rule(function, name="wrong", **row)


def _general(pushforward: Any, pullback: Any, **row: Any) -> Any:
    function = lambda x: x * np.sum(x, axis=-1, keepdims=True)
    return hs.custom_rule(function, name="wrong", pushforward=pushforward, pullback=pullback, **row)


_total = lambda x: np.sum(x, axis=-1, keepdims=True)
_push = lambda y, xs, dots: dots[0] * _total(xs[0]) + xs[0] * _total(dots[0])
_pull = lambda y, xs, g, wanted: [g * _total(xs[0]) + _total(xs[0] * g)]
_V, _M = np.array([0.3, -0.7, 1.1]), np.array([[0.3, -0.7, 1.1], [0.2, 0.9, -0.4]])
_COUNT = iter(range(10**6))
WRONG: dict[str, tuple[Any, tuple[Any, ...], str]] = {
    "a sign": (_elementwise(np.sin, d1=[lambda y, x: -np.cos(x)]), (), "the tangent is"),
    "a partial that is not a derivative of the other": (
        _elementwise(np.sin, d1=[lambda y, x: np.cos(x)], d2={(0, 0): lambda y, x: y}),
        (),
        "the Hessian-vector product is",
    ),
    "a table with a hole": (
        _elementwise(np.multiply, d1=[lambda y, a, b: b, lambda y, a, b: a], d2={}),
        (),
        "A second derivative",
    ),
    "a third derivative that is lost": (
        _elementwise(np.sin, d1=[lambda y, x: np.cos(x)], d2={(0, 0): lambda y, x: -np.round(y, 14)}),
        (),
        "the third derivative is",
    ),
    "a removable singularity": (
        _elementwise(np.sinc, d1=[lambda y, x: (np.cos(np.pi * x) - y) / x]),
        (),
        "the derivative in argument 0 is nan at 0.0, around it 0",
    ),
    "a singular second derivative": (
        _elementwise(lambda x: x**2, d1=[lambda y, x: 2 * x], d2={(0, 0): lambda y, x: 2 * x / x}, domain=[(0.5, 2.0)]),
        (),
        "the second derivative in arguments 0 and 0 is nan at 0.0, around it 2",
    ),
    "plain numbers": (_elementwise(np.sin, d1=[lambda y, x: np.cos(asarray(x))]), (), "LeavesTapeError"),
    "a changed argument": (_elementwise(lambda x: np.sin(x, out=x), d1=[lambda y, x: np.cos(x)]), (), "wrong"),
    "a value that changes": (
        _elementwise(lambda x: np.sin(x) + next(_COUNT), d1=[lambda y, x: np.cos(x)]),
        (),
        "the value is",
    ),
    "a function that is not linear": (
        hs.custom_rule(lambda x: x**2, name="wrong", transpose=lambda g, shape: g),
        (_V,),
        "the tangent is",
    ),
    "a transpose that is the map": (
        hs.custom_rule(lambda x: np.cumsum(x, axis=-1), name="wrong", transpose=lambda g, shape: np.cumsum(g, axis=-1)),
        (_V,),
        "not the transpose of the pushforward",
    ),
    "a map along the first axis": (
        hs.custom_rule(
            lambda x: np.cumsum(x, axis=0),
            name="wrong",
            transpose=lambda g, shape: np.flip(np.cumsum(np.flip(g, 0), 0), 0),
        ),
        (_V,),
        "act on trailing axes",
    ),
    "positions of what is added": (
        hs.custom_rule(
            lambda x: x + np.flip(x, -1),
            name="wrong",
            transpose=lambda g, shape: g + np.flip(g, -1),
            pattern=lambda y, xs: [np.eye(3) == 1],
        ),
        (_V,),
        "the pattern of argument 0 has nothing at",
    ),
    "labels of another product": (
        hs.custom_rule(lambda a, b: a @ b, name="wrong", labels="ij,kj->ik"),
        (np.eye(3) + 0.1 * np.arange(9.0).reshape(3, 3), np.ones((3, 3)) + np.diag(_V)),
        "wrong",
    ),
    "a pushforward": (_general(lambda y, xs, dots: dots[0] * _total(xs[0]), _pull), (_V,), "the tangent is"),
    "a pullback": (
        _general(_push, lambda y, xs, g, wanted: [g * _total(xs[0])]),
        (_V,),
        "not the transpose of the pushforward",
    ),
    "a curved operation called straight": (
        _general(_push, _pull, curved=False),
        (_V,),
        "the Hessian-vector product is",
    ),
    "a pullback of another shape": (_general(_push, lambda y, xs, g, wanted: [_total(g)]), (_M,), "wrong"),
    "an argument called a flag": (
        _elementwise(
            lambda n, x: x**n, d1=[NONDIFF, lambda y, n, x: n * x ** (n - 1.0)], domain=[(1.0, 3.0), (0.5, 2.0)]
        ),
        (),
        "argument 0 is called NONDIFF, and differences find the slope",
    ),
    "a factor called a mask": (
        _elementwise(lambda m, x: m * np.sin(x), d1=[NONDIFF, lambda y, m, x: m * np.cos(x)]),
        (),
        "argument 0 is called NONDIFF",
    ),
    "an argument called zero": (_elementwise(np.multiply, d1=[ZERO, lambda y, a, b: a]), (), "the tangent is"),
    "an order called an index": (
        hs.custom_rule(
            lambda n, x: x**n,
            name="wrong",
            states=(NONDIFF, None),
            pushforward=lambda y, xs, dots: xs[0] * xs[1] ** (xs[0] - 1) * dots[1],
            pullback=lambda y, xs, g, wanted: [None, xs[0] * xs[1] ** (xs[0] - 1) * g],
        ),
        (3, _V),
        "argument 0 is called NONDIFF",
    ),
    "double precision": (
        _elementwise(lambda x: np.sin(np.asarray(x, float)), d1=[lambda y, x: np.cos(x)]),
        (),
        "the value of float32 arguments has dtype float64",
    ),
    "double precision of arrays": (
        hs.custom_rule(
            lambda x: np.sin(np.asarray(x, float)),
            name="wrong",
            pushforward=lambda y, xs, dots: np.cos(xs[0]) * dots[0],
            pullback=lambda y, xs, g, wanted: [np.cos(xs[0]) * g],
        ),
        (_V,),
        "the value of float32 arguments has dtype float64",
    ),
    "a partial that ends": (
        _elementwise(np.sin, d1=[lambda y, x: np.where(abs(x) < 100, np.cos(x), 0.0)]),
        (),
        "Looked at 96 places of magnitudes 0.0001 to 10000, of both signs",
    ),
    "a partial of positive numbers": (
        _elementwise(np.arctan, d1=[lambda y, x: np.where(x > -3, 1 / (1 + x * x), x)]),
        (),
        "the derivative in argument 0 is -",
    ),
    "a partial that is wrong close to an end": (
        _elementwise(np.log, d1=[lambda y, x: 1 / np.maximum(x, 1e-2)], domain=[(0.0, 5.0)]),
        (),
        "Looked at 96 places of the domain (0, 5)",
    ),
    "a partial that is wrong on the way to infinity": (
        _elementwise(np.log, d1=[lambda y, x: 1 / np.minimum(x, 50.0)], domain=[(0.0, np.inf)]),
        (),
        "Looked at 96 places of the domain (0, inf)",
    ),
    "a partial that is wrong below a bound": (
        _elementwise(np.exp, d1=[lambda y, x: np.maximum(y, 1e-10)], domain=[(-np.inf, 0.0)]),
        (),
        "the derivative in argument 0 is 1e-10",
    ),
    "a partial that overflows": (
        _elementwise(lambda x: np.logaddexp(0, x), d1=[lambda y, x: np.exp(x) / (1 + np.exp(x))]),
        (),
        "the derivative in argument 0 is nan",
    ),
    "a second partial that ends": (
        _elementwise(np.sin, d1=[lambda y, x: np.cos(x)], d2={(0, 0): lambda y, x: np.where(x < 9, -y, y)}),
        (),
        "the second derivative in arguments 0 and 0 is",
    ),
    "a partial in two arguments that is wrong for one sign": (
        _elementwise(
            np.hypot, d1=[lambda y, a, b: a / y, lambda y, a, b: np.where(a * b < -50, 0.0, b / y)], kinks="at 0"
        ),
        (),
        "arguments 0 and 1 is 0 at",
    ),
    "a pushforward that ends": (
        _general(lambda y, xs, dots: np.where(abs(xs[0]) < 9, _push(y, xs, dots), 0.0), _pull),
        (_V,),
        "at 30 times its arguments: the tangent is",
    ),
    "a pullback that ends": (
        _general(_push, lambda y, xs, g, wanted: [np.where(abs(xs[0]) < 9, _pull(y, xs, g, wanted)[0], 0.0)]),
        (_V,),
        "The pullback is wrong there",
    ),
    "a bend that ends": (
        _general(
            _push,
            _pull,
            pullback_of_tangent=lambda y, xs, g, dots: [np.where(abs(xs[0]) < 9, _pull(y, xs, g, None)[0], 0.0)],
        ),
        (_V,),
        "the Hessian-vector product is",
    ),
    "elements called apart": (_general(_push, _pull, core=(0, 0)), (_V,), "the pattern of argument 0 has nothing at"),
}


@pytest.mark.parametrize("name", WRONG)
def test_wrong_rules_are_told(name):
    row, args, told = WRONG[name]
    with pytest.raises(DerivativeCheckError, match="wrong") as caught:
        hs.check_rule(row, *args)
    assert told in str(caught.value)


@pytest.mark.parametrize(
    ("said", "match"),
    [
        ({}, "no rule is given"),
        ({"d1": [1], "transpose": lambda g, shape: g}, "a rule is given by d1, transpose"),
        ({"pushforward": lambda *a: None}, "a rule is given by pushforward"),
        ({"labels": "ij,jk->ik", "d2": {}}, "d2 is given without d1"),
        ({"d1": [1], "d3": {}}, "unexpected keyword argument 'd3'"),
        ({"d1": lambda y, x: np.cos(x)}, r"d1 is function, not a list\. .*Pass d1=\[...\]"),
        ({"d1": [lambda y, x, a: np.cos(x), None]}, r"d1\[1\] is None\. .*rules\.MISSING where it is not known"),
        ({"d1": [1], "name": "my rule"}, "name is 'my rule'"),
        ({"d1": [1], "batched": False}, "batched=False is given with d1"),
        (
            {"pushforward": len, "pullback": len, "core": (1, 1), "batched": False},
            "batched=False is given with pushforward, pullback, core",
        ),
    ],
)
def test_one_kind_of_rule_is_given(said, match):
    with pytest.raises(OptionError, match=match):
        hs.custom_rule(np.sin, **said)


def test_what_is_no_rule_is_refused():
    with pytest.raises(OptionError, match="the first argument is int, not a function"):
        hs.custom_rule(3, d1=[1])
    with pytest.raises(MissingRuleError, match="is no sum of products"):
        hs.custom_rule(np.multiply, labels="ij,k->ik")
    with pytest.raises(OptionError, match="not a rule with derivatives"):
        hs.check_rule(np.sin)
    with pytest.raises(OptionError, match=r"nothing to try custom\.dct at"):
        hs.check_rule(dct)
    local = hs.custom_rule(np.sin, d1=[lambda y, x: np.cos(x)])
    with pytest.raises(OptionError, match=r"the rule custom\.sin is no name of module"):
        pickle.dumps(local)


def test_calls_that_lose_a_derivative_raise():
    with pytest.raises(DtypeError, match="n is an array passed by keyword"):
        power(np.ones(3), n=np.arange(3))
    with pytest.raises(DtypeError, match="n is an array passed by keyword"):
        hs.grad(lambda x: np.sum(power(np.ones(3), n=x)))(2.0)
    summed = hs.custom_rule(np.sum, d1=[1])
    with pytest.raises(ShapeMismatchError, match=r"the function maps shapes \(3,\) to \(\)"):
        summed(np.ones(3))


def test_an_argument_may_have_no_derivative():
    step = hs.custom_rule(lambda a, x: np.floor(a) * x, name="step", d1=[ZERO, lambda y, a, x: np.floor(a)])
    hs.check_rule(step)
    assert hs.grad(lambda a: step(a, 2.0))(1.5) == 0.0


def test_far_places_forgive_what_is_no_fault():
    """Steps, ends of domains, indices, what cancels, an argument whose derivative is missing."""
    hs.check_rule(hs.custom_rule(lambda a, x: np.floor(a) * x, name="step", d1=[ZERO, lambda y, a, x: np.floor(a)]))
    hs.check_rule(hs.custom_rule(np.arccosh, d1=[lambda y, x: 1 / np.sqrt(x * x - 1)], domain=[(1.0, np.inf)]))
    hs.check_rule(hs.custom_rule(lambda x: np.log(-x), name="log", d1=[lambda y, x: 1 / x], domain=[(-np.inf, 0.0)]))
    taken = hs.custom_rule(
        lambda i, x: x[..., i],
        name="taken",
        states=(NONDIFF, None),
        pushforward=lambda y, xs, dots: dots[1][..., xs[0]],
        pullback=lambda y, xs, g, wanted: [None, g[..., None] * (np.arange(3) == xs[0])],
    )
    hs.check_rule(taken, 1, _V)
    struve = hs.custom_rule(
        sc.struve,
        d1=[MISSING, lambda y, v, x: struve(v - 1, x) - v / x * y],
        domain=[(0.5, 2.0), (0.0, np.inf)],
        kinks="at 0",
    )
    hs.check_rule(struve)
    # 1 - y has no digits left far out.
    hs.check_rule(hs.custom_rule(sc.expit, d1=[lambda y, x: y * (1 - y)]))
    with pytest.raises(
        DerivativeCheckError, match=r"\(It is taken to be smooth from -2 to 2: domain= says where it is\.\)"
    ):
        hs.check_rule(hs.custom_rule(np.tan, d1=[lambda y, x: 1 + y * y]))
    hs.check_rule(hs.custom_rule(np.tan, d1=[lambda y, x: 1 + y * y], domain=[(-1.4, 1.4)]))
    with pytest.raises(MissingRuleError, match="the derivative in argument 0 has no rule"):
        hs.grad(struve)(0.5, 1.0)


def _trial(target: Any, **row: Any) -> Trial:
    return Trial("named", target, Case((Sample((3,)),)), np.sin, np.sin, **row)


@pytest.mark.parametrize(
    ("check", "target", "match"),
    [
        (walk.value_is_that_of_the_plain_function, lambda x: np.sin(x.astype(np.float32)), "the value is"),
        (
            walk.value_is_that_of_the_plain_function,
            lambda x: np.sin(x)[:2],
            r"the value has shape \(2,\), expected \(3,\)",
        ),
        (
            walk.precision_stays,
            lambda x: np.sin(x) * (1.0 if type(x) is np.ndarray else np.ones(3)),
            "has dtype float64",
        ),
        (walk.nothing_is_differentiated, lambda x: np.sin(x) + next(_COUNT), "the value is"),
        (walk.nothing_is_differentiated, np.sin, "the gradient of a product with it is"),
    ],
)
def test_the_walk_tells(check, target, match):
    with pytest.raises(DerivativeCheckError, match=f"named.*{match}"):
        check(_trial(target))


def test_the_walk_tells_another_dtype():
    trial = Trial("named", lambda x: x * 1.0, Case((Sample((3,), make=lambda rng: np.ones(3)),)), np.float32, None)
    with pytest.raises(DerivativeCheckError, match="has dtype float64, the plain function gives float32"):
        walk.value_is_that_of_the_plain_function(trial)


def test_the_walk_tells_results_that_share_memory(monkeypatch):
    monkeypatch.setattr(walk, "hvp", lambda f, xs, dots: dots)
    with pytest.raises(DerivativeCheckError, match="a result shares memory"):
        walk.inputs_are_left_alone_and_results_stay(_trial(np.sin))
    monkeypatch.setattr(walk, "hvp", lambda f, xs, dots: [np.multiply(dots[0], 2, out=dots[0])])
    with pytest.raises(DerivativeCheckError, match="an argument or an earlier result was written to"):
        walk.inputs_are_left_alone_and_results_stay(_trial(np.sin))


PRODUCTS: list[tuple[Any, str, tuple[int, ...], tuple[int, ...]]] = [
    (lambda a, b: np.einsum("...ij,...ij->...", a, b), "ij,ij->", (3, 2), (3, 2)),
    (lambda a, b: np.swapaxes(a @ b, -1, -2), "ij,jk->ki", (3, 2), (2, 4)),
    (lambda a, b: b[..., :, None] * a[..., None, :], "i,k->ki", (3,), (2,)),
    (lambda a, b: (np.swapaxes(a, -1, -2) @ b[..., None])[..., 0], "ji,j->i", (3, 2), (3,)),
]


@pytest.mark.parametrize(
    ("function", "labels", "left", "right"), PRODUCTS, ids=lambda x: x if isinstance(x, str) else ""
)
def test_products_of_any_labels_are_right_in_programs(function, labels, left, right):
    row = hs.custom_rule(function, name="product", labels=labels)
    hs.check_rule(row, RNG.standard_normal(left), RNG.standard_normal(right))
    n = int(np.prod(left))
    weight = RNG.standard_normal(np.shape(function(np.ones(left), np.ones(right))))
    f = lambda x: np.sum(weight * row(np.sin(x[:n]).reshape(left), np.cos(x[n:]).reshape(right)) ** 2)
    x = RNG.standard_normal(n + int(np.prod(right)))
    recorded = hs.record(f)
    np.testing.assert_allclose(hs.HessianOperator(recorded, x).to_dense(), hs.hessian(f)(x), rtol=1e-11, atol=1e-12)


def test_functions_of_users_run_on_one_thread():
    running = []

    def alone(x):
        assert not running
        running.append(x)
        y = np.sin(x)
        running.clear()
        return y

    sine = hs.custom_rule(alone, d1=[lambda y, x: np.cos(x)])
    x = np.linspace(0.1, 1.0, 2**15)
    f = hs.record(lambda w: np.sum(sine(w * x) * x))
    for _ in range(2):
        np.testing.assert_allclose(hs.grad(f)(0.3), np.sum(np.cos(0.3 * x) * x * x))


def test_a_rule_is_not_taken_for_the_row_of_its_name():
    for name in ("power", "sum", "reshape", "negative", "multiply", "section", "numpy"):
        row = hs.custom_rule(lambda x: np.sin(x), name=name, d1=[lambda y, x: np.cos(x)])
        f = lambda x, row=row: np.sum(row(x) * x) + row(x[0])
        x = np.linspace(0.1, 1.0, 4)
        np.testing.assert_allclose(hs.HessianOperator(hs.record(f), x).to_dense(), hs.hessian(f)(x), rtol=1e-12)


def test_a_function_that_is_no_analytic_one_of_complex_numbers_may_say_so():
    row = {"d1": [lambda y, x: np.exp(x) / x], "domain": [(0.4, 4.0)]}
    with pytest.raises(DerivativeCheckError, match="give its row real_only=True then"):
        hs.check_rule(hs.custom_rule(sc.expi, analytic=sc.expi, **row))
    hs.check_rule(hs.custom_rule(sc.expi, **row), np.array([0.5, 1.5]))


@pytest.mark.parametrize(
    ("rule", "text"),
    [
        (
            {"pushforward": lambda y, xs, d: np.sum(d[0], -1), "pullback": lambda y, xs, g, w: [g]},
            r"returned shape \(\) for argument 0",
        ),
        (
            {"pushforward": lambda y, xs, d: d[0], "pullback": lambda y, xs, g, w: [g * np.ones(3)]},
            r"pushforward returned shape \(3,\) for a value",
        ),
        (
            {"pushforward": lambda y, xs, d: np.sum(d[0], -1), "pullback": lambda y, xs, g, w: g},
            "returned float64 instead of a list of 1",
        ),
        ({"transpose": lambda g, shape: g}, r"transpose returned shape \(\) for an argument of shape \(3,\)"),
    ],
)
def test_results_of_wrong_shape_are_refused(rule, text):
    """They were broadcast: gradients of another shape than x, or wrong ones of its shape."""
    total = hs.custom_rule(lambda x: np.sum(x), name="total", **rule)
    wrong = hs.jvp if text.startswith("push") else hs.hvp
    with pytest.raises(ShapeMismatchError, match=text):
        wrong(lambda x: total(x) ** 2, np.ones(3), np.ones(3))


def test_formulas_that_forget_batch_axes_are_told_of_them():
    first = hs.custom_rule(
        lambda x: x[0] * 1.0,
        name="first",
        pushforward=lambda y, xs, d: float(d[0][0]),
        pullback=lambda y, xs, g, w: [np.array([g, 0.0])],
    )
    assert np.array_equal(hs.grad(lambda x: first(x) ** 2)(np.ones(2)), [2.0, 0.0])
    with pytest.raises(TypeError) as raised:
        hs.jvp(first, np.ones(2), np.ones((3, 2)))
    assert "batch axes (3,) in front" in raised.value.__notes__[0]


def test_formulas_may_write_into_arrays():
    """What waits to be written when a formula returns is a part of its result, in all sweeps and programs."""

    def pullback(y, xs, g, wanted):
        out = np.zeros_like(g, shape=(*g.shape[:-1], 4))
        out[..., 0] = g[..., 0] * xs[0][1]
        out[..., 1] = g[..., 0] * xs[0][0]
        out[..., 2] = 2 * xs[0][2] * g[..., 1]
        return [out]

    def pushforward(y, xs, dots):
        (x,), (d,) = xs, dots
        return np.stack([x[0] * d[..., 1] + x[1] * d[..., 0], 2 * x[2] * d[..., 2]], -1)

    pair = hs.custom_rule(lambda x: np.stack([x[0] * x[1], x[2] ** 2]), pushforward=pushforward, pullback=pullback)
    x = np.array([0.7, -1.3, 2.1, 0.4])
    f, wanted = lambda x: np.sum(pair(x) ** 2), lambda x: (x[0] * x[1]) ** 2 + x[2] ** 4
    products = lambda f: hs.jacobian(lambda x: hs.jvp(hs.grad(f), x, x)[1])(x)
    np.testing.assert_allclose(hs.hvp(hs.record(f), x, x), hs.hvp(wanted, x, x), rtol=1e-13)
    np.testing.assert_allclose(hs.third_derivative(f)(x), hs.third_derivative(wanted)(x), rtol=1e-13)
    np.testing.assert_allclose(products(f), products(wanted), rtol=1e-13)
    np.testing.assert_allclose(hs.taylor(f, x, x, order=3), hs.taylor(wanted, x, x, order=3), rtol=1e-13)


def _pair(x):
    return np.stack([x[0] * x[1], x[1] ** 2])


def _filled(y, xs, g, wanted):
    (x,), out = xs, np.zeros(np.shape(g))
    out[..., 0] = g[..., 0] * x[1]
    out[..., 1] = g[..., 0] * x[0] + 2 * x[1] * g[..., 1]
    return [out]


def _filled_forward(y, xs, dots):
    (x,), (d,), out = xs, dots, np.zeros(np.shape(dots[0]))
    out[..., 0] = x[0] * d[..., 1] + x[1] * d[..., 0]
    out[..., 1] = 2 * x[1] * d[..., 1]
    return out


def _by_matrix(y, xs, g, wanted):
    (x,), J = xs, np.zeros((2, 2))
    J[0, 0], J[0, 1], J[1, 1] = x[1], x[0], 2 * x[1]
    return [g @ J]


def _by_matrix_forward(y, xs, dots):
    (x,) = xs
    return dots[0] @ np.array([[x[1], x[0]], [0.0, 2 * x[1]]]).T


def _one_direction(y, xs, g, wanted):
    (x,), out = xs, np.zeros(2)
    out[0] = g[0] * x[1]
    out[1] = g[0] * x[0] + 2 * x[1] * g[1]
    return [out]


def _one_direction_forward(y, xs, dots):
    ((x, z),), (d,), out = xs, dots, np.zeros_like(xs[0])
    out[0], out[1] = d[0] * z + d[1] * x, 2 * z * d[1]
    return out


def _cubed(y, x):
    out = np.zeros(np.shape(x))
    for i in np.ndindex(*np.shape(x)):
        out[i] = 3 * x[i] ** 2
    return out


FILLING: dict[str, tuple[Any, Any]] = {
    "arrays": (hs.custom_rule(_pair, pushforward=_filled_forward, pullback=_filled), _pair),
    "matrices": (hs.custom_rule(_pair, pushforward=_by_matrix_forward, pullback=_by_matrix), _pair),
    "one direction": (
        hs.custom_rule(_pair, pushforward=_one_direction_forward, pullback=_one_direction, batched=False),
        _pair,
    ),
    "partials": (hs.custom_rule(lambda x: x**3, name="cubed", d1=[_cubed]), lambda x: x**3),
    "second partials": (
        hs.custom_rule(lambda x: x**3, name="cubed", d1=[_cubed], d2={(0, 0): lambda y, x: 6 * x}),
        lambda x: x**3,
    ),
    "transposes": (
        hs.custom_rule(lambda x: np.flip(x, -1), name="flipped", transpose=lambda g, shape: _flipped(g)),
        lambda x: x[::-1],
    ),
}


def _flipped(g):
    out = np.zeros(np.shape(g))
    out[..., 0], out[..., 1] = g[..., 1], g[..., 0]
    return out


@pytest.mark.parametrize("name", FILLING)
def test_formulas_may_fill_arrays_that_they_make(name):
    """In plain second order they run outside of the function that is traced."""
    row, plain = FILLING[name]
    x, v = np.array([0.5, 1.3]), np.array([1.0, 2.0])
    f, wanted = (lambda x, g=g: np.sum(np.exp(g(x)) * x) for g in (row, plain))
    hs.check_rule(row, x)
    for transform in (
        lambda f: hs.hvp(f, x, v),
        lambda f: hs.hessian(f)(x),
        lambda f: hs.jacobian(hs.grad(f))(x),
        lambda f: hs.third_derivative(f)(x),
        lambda f: hs.taylor(f, x, v, order=4),
        lambda f: hs.hvp(hs.record(f), x, v),
        lambda f: hs.HessianOperator(hs.record(f), x).to_dense(),
    ):
        np.testing.assert_allclose(transform(f), transform(wanted), rtol=1e-11)
