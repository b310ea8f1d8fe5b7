"""A list of traced numbers that stands alone in a call: NumPy makes an array of objects of it before anybody can dispatch."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import scipy.special as sc
from numpy import array
from numpy.testing import assert_allclose

import hessian as hs
from hessian.errors import LeavesTapeError
from hessian.special import logsumexp
from hessian.tape.kinds import _BY_NAME

Z = np.array([0.3, 0.7, 0.9])
_DOMAINS = {"arccosh": lambda t: 1 + t}


@pytest.mark.parametrize("name", sorted(_BY_NAME - {"arctan2", "fmod", "hypot"}))
def test_elementary_functions_of_a_list(name: str) -> None:
    function, inside = getattr(np, name), _DOMAINS.get(name, lambda t: t)
    f = lambda x: np.sum(function([inside(x[0]), inside(x[1] * x[2])]) ** 2)
    g = lambda x: np.sum(function(np.stack([inside(x[0]), inside(x[1] * x[2])])) ** 2)
    assert_allclose(hs.grad(f)(Z), hs.grad(g)(Z), rtol=1e-14)
    assert_allclose(hs.hessian(f)(Z), hs.hessian(g)(Z), rtol=1e-13, atol=1e-14)
    assert_allclose(hs.hessian(hs.record(f))(Z), hs.hessian(g)(Z), rtol=1e-13, atol=1e-14)


CALLS: dict[str, tuple[Callable[[Any], Any], Callable[[Any], Any]]] = {
    "arctan2": (lambda x: np.sum(np.arctan2([x[0], x[1]], [x[2], x[0]])), lambda x: np.sum(np.arctan2(x[:2], x[[2, 0]]))),
    "hypot": (lambda x: np.sum(np.hypot([x[0], x[1]], [x[2], x[0]])), lambda x: np.sum(np.hypot(x[:2], x[[2, 0]]))),
    "nested": (lambda x: np.sum(np.exp([[x[0], x[1]], [x[1], x[2]]]) @ x[:2]), lambda x: np.sum(np.exp(x[[[0, 1], [1, 2]]]) @ x[:2])),
    "dot": (lambda x: np.dot([x[0], x[1]], [2.0, x[2]]), lambda x: 2 * x[0] + x[1] * x[2]),
    "objects": (lambda x: np.sum(np.array([x[0], x[1] * x[2]], dtype=object) ** 2), lambda x: x[0] ** 2 + (x[1] * x[2]) ** 2),
    "methods of objects": (lambda x: np.array([x[0] ** 2, x[1]], dtype=object).sum(), lambda x: x[0] ** 2 + x[1]),
    "objects times a matrix": (lambda x: (np.eye(2) @ np.array([x[0] ** 2, x[1]], dtype=object))[0], lambda x: x[0] ** 2),
    "then traced": (lambda x: np.sum(np.sin([x[0], x[1]]) * x[:2]), lambda x: np.sum(np.sin(x[:2]) * x[:2])),
    "twin": (lambda x: logsumexp([x[0], x[1]]), lambda x: logsumexp(x[:2])),
}  # fmt: skip


@pytest.mark.parametrize("name", CALLS)
def test_lists_alone_are_their_numbers(name: str) -> None:
    f, g = CALLS[name]
    for derivative in (hs.grad, hs.hessian, lambda f: hs.jacobian(hs.grad(f)), lambda f: hs.hessian(hs.record(f))):
        assert_allclose(derivative(f)(Z), derivative(g)(Z), rtol=1e-13, atol=1e-14)


@pytest.mark.parametrize(
    "f",
    [
        lambda x: np.sum(np.exp([x[0], 1.0])),
        lambda x: np.sum(sc.gammaln([x[0], x[1]])),
        lambda x: np.sum(np.logaddexp([x[0]], [x[1]])),
    ],
)
def test_what_numpy_has_no_loop_for_says_what_to_write(f: Callable[[Any], Any]) -> None:
    with pytest.raises(TypeError) as raised:
        hs.grad(f)(Z)
    assert "np.stack(list)" in "".join(raised.value.__notes__)


def test_what_turns_objects_into_floats_says_what_to_write() -> None:
    with pytest.raises(LeavesTapeError, match=r"Use np\.nanmean\(np\.stack\(\.\.\.\)\)"):
        hs.grad(lambda x: np.nanmean([x[0], x[1]]))(Z)
    with pytest.raises(LeavesTapeError):
        hs.grad(lambda x: np.sum(array([x[0], x[1]], dtype=float)))(Z)


def test_numbers_have_no_more_attributes_than_those_of_numpy() -> None:
    def f(x: Any) -> Any:
        assert not hasattr(x[0], "sin")
        assert "sin" not in dir(x[0])
        with pytest.raises(AttributeError, match="'sin'"):
            x[0].sin()
        with pytest.raises(AttributeError, match="'nonsense'"):
            _ = x[0].nonsense
        return x[0] ** 2

    assert hs.grad(f)(Z)[0] == 0.6


def test_functions_of_scipy_that_take_plain_arrays_are_named() -> None:
    import scipy.linalg
    import scipy.spatial

    A = np.eye(3) + 0.1
    with pytest.raises(LeavesTapeError, match=r"Write what scipy\.linalg\.polar computes in NumPy"):
        hs.grad(lambda x: np.sum(scipy.linalg.polar(x * A)[0]))(Z)
    with pytest.raises(LeavesTapeError, match=r"Write what scipy\.spatial\.procrustes computes"):
        hs.grad(lambda x: np.sum(scipy.spatial.procrustes(x * A, A)[0]))(Z)


def test_attributes_that_numpy_has_no_function_for_get_no_advice() -> None:
    for name, ending in (("view", r"\)\.$"), ("nonsense", r"\)\.$"), ("gradient", r"Use np\.gradient\(x\)\.$")):
        for of in (lambda x: x, lambda x: x[0]):
            with pytest.raises(AttributeError, match=f"no attribute '{name}' .*{ending}"):
                hs.grad(lambda x, of=of, name=name: getattr(of(x), name))(Z)
