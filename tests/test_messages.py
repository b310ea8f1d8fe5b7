"""Every refusal of the engine is seen once: what is wrong, and a word of what to do."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import scipy.sparse

import hessian as hs
from hessian.errors import HessianError
from hessian.tape import Dual, Linearization, Tape

X = np.array([1.0, 2.0, 3.0])
M = np.arange(6.0).reshape(2, 3) + 1.0

SAYINGS: dict[str, tuple[Callable[[Any], Any], Any, str]] = {
    "add keyword": (lambda x: np.sum(np.add(x, x, where=[True, False, True])), X, "where"),
    "sparse elementwise": (lambda x: np.sum(scipy.sparse.csr_matrix(np.eye(3)) * x), X, "Use A @ x"),
    "active index": (lambda x: x[x[0]], X, "index"),
    "integer of active": (lambda x: x[0] * int(x[1]), X, "int"),
    "complex result": (lambda x: np.sum(x * 1j), X, "complex"),
    "axis twice": (lambda x: np.sum(x, axis=(0, 0)), M, "twice"),
    "axis too large": (lambda x: np.sum(x, axis=5), M, "out of bounds"),
    "index too long": (lambda x: x[0, 0, 0], M, "too many parts"),
    "pad mode": (lambda x: np.sum(np.pad(x, 1, mode="mean")), X, "no derivative rule"),
    "norm": (lambda x: np.linalg.norm(x, ord=3), M, "matrix norm"),
    "norm axes": (lambda x: np.linalg.norm(x, axis=(0, 1, 2)), M[None], "names 3 axes"),
    "matmul scalars": (lambda x: x @ x[0], X, "0-dimensional"),
    "matmul shapes": (lambda x: np.sum(x @ x), M, "do not match"),
    "sparse shapes": (lambda x: np.sum(scipy.sparse.csr_array(np.eye(4)) @ x), X, "do not match"),
    "tensordot axes": (lambda x: np.sum(np.tensordot(x, x, axes=([0], [1]))), M, "do not match"),
    "cross lengths": (lambda x: np.sum(np.cross(x[:2], x[:2])), X, "expected 3"),
    "einsum operands": (lambda x: np.einsum("i,i->", x), X, "names 2 operands"),
    "einsum form": (lambda x: np.sum(np.einsum(x, [52], [0])), X, "the axes are named by"),
    "einsum keyword": (lambda x: np.sum(np.einsum("i->i", x, order="C")), X, "the keyword 'order'"),
    "einsum labels": (lambda x: np.sum(np.einsum("ijk->i", x)), M, "does not fit"),
    "reshape size": (lambda x: np.sum(np.reshape(x, (4, 2))), M, "does not fit"),
    "reshape unknown": (lambda x: np.sum(np.reshape(x, (4, -1))), M, "does not fit"),
    "permutation": (lambda x: np.sum(np.transpose(x, (0, 0))), M, "do not permute"),
    "squeeze": (lambda x: np.sum(np.squeeze(x, axis=0)), M, "not of length 1"),
    "uneven split": (lambda x: np.split(x, 2)[0][0], X, "array_split"),
    "concatenate dtype": (lambda x: np.sum(np.concatenate([x, x], dtype=np.float32)), X, "not supported"),
    "ambiguous assignment": (lambda x: assigned_twice(x), X, "twice"),
    "clip keyword": (lambda x: np.sum(np.clip(x, 0.0, 1.0, dtype=float)), X, "not supported"),
    "string result": (lambda x: "three", X, "returned"),
}


def assigned_twice(x):
    y = x * 1.0
    y[[0, 0]] = x[:2]
    return np.sum(y)


@pytest.mark.parametrize("name", SAYINGS)
def test_a_refusal_says_why(name):
    f, x, saying = SAYINGS[name]
    with pytest.raises(Exception, match=saying) as caught:
        hs.grad(f)(x)
    assert isinstance(caught.value, HessianError | ValueError | IndexError | TypeError)


@pytest.mark.parametrize(
    ("call", "saying"),
    [
        (lambda: hs.hvp(lambda p: np.sum(p["a"]) * np.sum(p["b"]), {"a": X, "b": X}, {"a": M, "b": X}), "batch shapes"),
        (lambda: hs.hvp(np.sum, X, np.array(["a", "b", "c"])), "dtype"),
        (lambda: hs.grad(lambda x: np.sum(x > 0))(X), "returned a value of dtype"),
        (lambda: hs.vjp(np.sin, X)[1](1j * X), "complex128"),
        (lambda: hs.taylor(np.sum, X, np.eye(3), order=2), "batch axes"),
        (lambda: hs.check_derivatives(lambda x: np.sum(np.log(x - 1)), X), "Choose a point"),
        (lambda: hs.check_derivatives(np.sum, X, directions=0), "directions"),
        (lambda: hs.special.logsumexp(X, axis=3), "out of bounds"),
        (lambda: len(Dual(1.0, 1.0)), "0-dimensional"),
        (lambda: list(Dual(1.0, 1.0)), "0-dimensional"),
        (lambda: Dual(X, X).nothing, "no attribute"),
        (lambda: Linearization(Tape(), [], []).pullback_tangent([]), "linearize_pullback first"),
        (lambda: hs.HessianOperator(np.sum, X).solve(X, damping="1"), "damping"),
    ],
)
def test_a_bad_call_says_why(call, saying):
    with np.errstate(all="ignore"), pytest.raises(Exception, match=saying):
        call()


def test_rules_are_registered_once():
    from hessian.rules.spec import Elementwise, register

    with pytest.raises(HessianError, match="already registered"):
        register(Elementwise("exp", np.exp, d1=[1], d2={}))


def test_operations_of_an_unknown_kind_have_no_derivative():
    from hessian.rules.spec import Operation
    from hessian.tape.array_steps import local_linearization

    with pytest.raises(HessianError, match="kind Operation"):
        local_linearization(Operation("mystery", np.sin), (X,), (0,), np.sin(X), {})
