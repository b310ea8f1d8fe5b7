"""Values have the dtype that NumPy gives them, tangents that of the value, and cotangents that of the argument."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import hessian as hs
from hessian.rules import Elementwise
from hessian.rules.dispatch import DISPATCH
from hessian.rules.spec import MISSING, NONDIFF
from hessian.transforms.rule_trials import Trial, every_trial

UFUNCS = [
    (target, entry.call)
    for target, entry in DISPATCH.items()
    if isinstance(target, np.ufunc) and isinstance(entry.call, Elementwise)
]
INSIDE = np.array([0.3, 0.6, 0.8])
PARTNERS: dict[str, Callable[[np.ndarray], Any]] = {
    "float": lambda z: float(z[0]),
    "int": lambda z: 1,
    "float64": lambda z: z[0],
    "float32": lambda z: np.float32(z[0]),
    "float64 array": lambda z: z,
    "float32 array": lambda z: z.astype(np.float32),
    "int64 array": lambda z: np.ones(3, np.int64),
    "int8 array": lambda z: np.ones(3, np.int8),
    "list": lambda z: [1.0, 1.0, 1.0],
}


def dtypes_hold(f: Callable[[Any], Any], x: Any) -> None:
    with np.errstate(all="ignore"):
        plain = f(x)
        if not isinstance(plain, np.ndarray | np.generic) or plain.dtype.kind != "f":
            return
        v = np.ones_like(x)
        y, y_dot = hs.jvp(f, x, v)
        pulled, total = hs.vjp(f, x)[1](np.ones_like(plain)), lambda x: np.sum(f(x))
        of_value = {"value": y, "tangent": y_dot}
        of_argument = {
            "vjp": pulled,
            "grad": hs.grad(total)(x),
            "hvp": hs.hvp(total, x, v),
            "jacobian": hs.jacobian(f)(x),
        }
    assert {name: a.dtype for name, a in of_value.items()} == dict.fromkeys(of_value, plain.dtype)
    assert {name: a.dtype for name, a in of_argument.items()} == dict.fromkeys(of_argument, x.dtype)


def inside(call: Elementwise, i: int) -> np.ndarray:
    low, high = call.domain[i]
    return low + (high - low) * INSIDE


@pytest.mark.parametrize(("ufunc", "call"), UFUNCS, ids=[ufunc.__name__ for ufunc, _ in UFUNCS])
def test_ufuncs_of_float32_and_all_partners(ufunc: Any, call: Elementwise) -> None:
    if ufunc.nin > 2:
        pytest.skip("in the walk over the cases")
    if NONDIFF in call.d1:
        pytest.skip("takes whole numbers: in the walk over the cases")
    for i in [i for i in range(ufunc.nin) if call.d1[i] is not MISSING]:
        x = inside(call, i).astype(np.float32)
        for point in (x, x[0]):
            if ufunc.nin == 1:
                dtypes_hold(ufunc, point)
                continue
            for make in PARTNERS.values():
                partner = make(inside(call, 1 - i))
                dtypes_hold(lambda x, p=partner: ufunc(x, p) if i == 0 else ufunc(p, x), point)  # noqa: B023


def _by_its_row(trial: Trial) -> bool:
    return trial.target not in DISPATCH or isinstance(DISPATCH[trial.target].call, Elementwise)


@pytest.mark.parametrize("trial", [t for t in every_trial() if t.differentiable and not _by_its_row(t)], ids=str)
def test_functions_of_mixed_precision(trial: Trial) -> None:
    if trial.name == "numpy.full_like":
        pytest.skip("NumPy looks at the first argument alone")
    arrays = trial.arguments()[1]
    call, small = trial.function(trial.target), [a.astype(np.float32) for a in arrays]
    for i in range(len(arrays)):
        for others in (small, arrays) if len(arrays) > 1 else (small,):
            dtypes_hold(lambda x, others=others: call([*others[:i], x, *others[i + 1 :]]), small[i])  # noqa: B023


def test_a_number_to_the_power_of_float32() -> None:
    x = np.array([0.5, 1.0], np.float32)
    for f in (lambda y: 2.5**y, hs.record(lambda y: 2.5**y)):
        y, y_dot = hs.jvp(f, x, x)
        assert y.dtype == y_dot.dtype == np.float32
        np.testing.assert_allclose(y_dot, 2.5**x * np.log(2.5) * x, rtol=1e-6)


def test_containers_keep_each_precision() -> None:
    p = {"a": np.float32(0.5), "b": np.array([1.0, 2.0]), "c": np.ones(2, np.float32)}
    f = lambda p: np.sum(p["a"] * p["b"] ** 2) + np.sum(np.exp(p["c"]))
    wanted = {name: leaf.dtype for name, leaf in p.items()}
    for g in (f, hs.record(f)):
        for found in (hs.grad(g)(p), hs.hvp(g, p, p), hs.vjp(g, p)[1](1.0)):
            assert {name: leaf.dtype for name, leaf in found.items()} == wanted
        assert hs.jvp(g, p, p)[1].dtype == np.float64
