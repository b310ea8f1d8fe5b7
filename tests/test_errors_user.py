"""Bad input gets an error that says what is wrong, where, and what to do."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.sparse
import scipy.special
from numpy import array, asarray, empty, ones, zeros

import hessian as hs
from hessian.errors import (
    DtypeError,
    HessianError,
    LeavesTapeError,
    MissingRuleError,
    NotScalarError,
    ShapeMismatchError,
    StaleVariableError,
)

X = np.array([0.5, 1.5, 2.0, 3.0])
HERE = Path(__file__).name
MATRIX = np.arange(12.0).reshape(3, 4)


def total(x: Any) -> Any:
    return np.sum(x**2)


def text_of(error: BaseException) -> str:
    """Join the message with the notes, as a traceback prints them."""
    return "\n".join([str(error), *getattr(error, "__notes__", [])])


def failure(call: Callable[[], Any], kind: type[BaseException]) -> str:
    """Run ``call``, which must raise ``kind``, and give what the user reads."""
    with pytest.raises(kind) as caught:
        call()
    return text_of(caught.value)


def assert_says(text: str, *parts: str) -> None:
    """Require every part in the text, whatever the case of its letters."""
    for part in parts:
        assert part.lower() in text.lower(), f"{part!r} is not in:\n{text}"


# Shapes and structures.

SCALAR_CALLS: dict[str, Callable[[Any, Any], Any]] = {
    "hvp": lambda x, v: hs.hvp(total, x, v),
    "grad_and_hvp": lambda x, v: hs.grad_and_hvp(total, x, v),
    "jvp": lambda x, v: hs.jvp(total, x, v),
    "directional": lambda x, v: hs.directional(total, x, v, v),
    "taylor": lambda x, v: hs.taylor(total, x, v, order=3),
}


@pytest.mark.parametrize("name", SCALAR_CALLS)
@pytest.mark.parametrize("shape", [(3,), (), (4, 1), (2, 2), (5,)])
def test_wrong_shape_of_a_tangent(name: str, shape: tuple[int, ...]) -> None:
    text = failure(lambda: SCALAR_CALLS[name](X, np.ones(shape)), ShapeMismatchError)
    assert_says(text, name, str(shape), "(4,)")


@pytest.mark.parametrize("name", SCALAR_CALLS)
def test_wrong_structure_of_a_tangent(name: str) -> None:
    text = failure(lambda: SCALAR_CALLS[name](X, {"a": np.ones(4)}), HessianError)
    assert_says(text, name)
    assert issubclass(ShapeMismatchError, ValueError)


def test_wrong_structure_of_a_tangent_of_a_tree() -> None:
    x = {"a": X, "b": np.ones(2)}

    def f(p: Any) -> Any:
        return np.sum(p["a"] ** 2) + np.sum(p["b"])

    for v in ({"a": X}, {"a": X, "c": np.ones(2)}, [X, np.ones(2)], X):
        failure(lambda v=v: hs.hvp(f, x, v), ShapeMismatchError)
    text = failure(lambda: hs.hvp(f, x, {"a": X, "b": np.ones(3)}), ShapeMismatchError)
    assert_says(text, "(3,)", "(2,)")


@pytest.mark.parametrize("shape", [(3,), (), (4, 1)])
def test_wrong_shape_of_a_cotangent(shape: tuple[int, ...]) -> None:
    _, pullback = hs.vjp(np.sin, X)
    text = failure(lambda: pullback(np.ones(shape)), ShapeMismatchError)
    assert_says(text, "cotangent", str(shape), "(4,)")


@pytest.mark.parametrize("shape", [(3,), (5,), (3, 2), (5, 5)])
def test_wrong_shape_in_an_operator_product(shape: tuple[int, ...]) -> None:
    operator = hs.HessianOperator(total, X)
    with pytest.raises(ValueError, match=r".+"):
        operator @ np.ones(shape)


# Kinds of numbers.

GRADIENT_CALLS: dict[str, Callable[[Callable[..., Any], Any], Any]] = {
    "grad": lambda f, x: hs.grad(f)(x),
    "value_and_grad": lambda f, x: hs.value_and_grad(f)(x),
    "hessian": lambda f, x: hs.hessian(f)(x),
    "hvp": lambda f, x: hs.hvp(f, x, np.ones(np.shape(x))),
    "HessianOperator": lambda f, x: hs.HessianOperator(f, x),
}
ALL_CALLS = GRADIENT_CALLS | {
    "jacobian": lambda f, x: hs.jacobian(f)(x),
    "jvp": lambda f, x: hs.jvp(f, x, np.ones(np.shape(x))),
    "vjp": lambda f, x: hs.vjp(f, x),
}


@pytest.mark.parametrize("name", ALL_CALLS)
@pytest.mark.parametrize("x", [np.arange(4), np.array([True, False]), 3], ids=["int_array", "bool_array", "int"])
def test_integer_parameters(name: str, x: Any) -> None:
    text = failure(lambda: ALL_CALLS[name](total, x), DtypeError)
    assert issubclass(DtypeError, TypeError)
    assert_says(text, name, "bool" if np.asarray(x).dtype == bool else "int", "float")


@pytest.mark.parametrize("name", ALL_CALLS)
def test_integer_leaf_of_a_tree(name: str) -> None:
    tree = {"a": X, "count": np.arange(3)}
    calls = ALL_CALLS | {
        "hvp": lambda f, x: hs.hvp(f, x, {"a": X, "count": np.ones(3)}),
        "jvp": lambda f, x: hs.jvp(f, x, {"a": X, "count": np.ones(3)}),
    }
    text = failure(lambda: calls[name](lambda p: np.sum(p["a"]) * np.sum(p["count"]), tree), DtypeError)
    assert_says(text, "int")


@pytest.mark.parametrize("name", ALL_CALLS)
@pytest.mark.parametrize(
    "x", [None, "abc", np.array(["a"]), object(), [None, X]], ids=["None", "str", "str_array", "object", "list"]
)
def test_parameters_that_are_not_numbers(name: str, x: Any) -> None:
    calls = ALL_CALLS | {"hvp": lambda f, x: hs.hvp(f, x, x), "jvp": lambda f, x: hs.jvp(f, x, x)}
    failure(lambda: calls[name](total, x), HessianError)


@pytest.mark.parametrize("v", [np.ones(4) * 1j, np.array(["a", "b", "c", "d"])], ids=["complex", "str"])
def test_tangents_that_are_not_real(v: Any) -> None:
    failure(lambda: hs.hvp(total, X, v), DtypeError)
    failure(lambda: hs.jvp(total, X, v), DtypeError)


def test_integer_tangents_are_fine() -> None:
    assert hs.jvp(total, X, np.ones(4, int))[1] == 2 * X.sum()


# What f returns.


@pytest.mark.parametrize("name", GRADIENT_CALLS)
@pytest.mark.parametrize(
    ("f", "shape"),
    [(lambda x: x**2, "(4,)"), (lambda x: x[:1] ** 2, "(1,)"), (lambda x: np.outer(x, x), "(4, 4)")],
    ids=["vector", "one_element", "matrix"],
)
def test_f_is_not_scalar(name: str, f: Callable[[Any], Any], shape: str) -> None:
    text = failure(lambda: GRADIENT_CALLS[name](f, X), NotScalarError)
    assert_says(text, name, shape, "jacobian" if name in ("grad", "value_and_grad") else "scalar")


@pytest.mark.parametrize("name", GRADIENT_CALLS)
@pytest.mark.parametrize("value", [None, "text", {"loss": 1.0}], ids=["None", "str", "dict"])
def test_f_returns_no_number(name: str, value: Any) -> None:
    text = failure(lambda: GRADIENT_CALLS[name](lambda x: value, X), HessianError)
    assert_says(text, name)


def test_a_forgotten_return_is_named() -> None:
    def forgets(x: Any) -> Any:
        np.sum(x**2)

    text = failure(lambda: hs.grad(forgets)(X), HessianError)
    assert_says(text, "return", "None")


@pytest.mark.parametrize("call", [hs.grad, hs.value_and_grad, hs.jacobian, hs.hessian])
def test_has_aux_without_a_pair(call: Callable[..., Any]) -> None:
    for f in (total, lambda x: (total(x), 1, 2), lambda x: [total(x)]):
        text = failure(lambda f=f: call(f, has_aux=True)(X), HessianError)
        assert_says(text, "has_aux", "aux")


def test_a_pair_without_has_aux() -> None:
    text = failure(lambda: hs.grad(lambda x: (total(x), {"norm": 1.0}))(X), HessianError)
    assert_says(text, "has_aux")


# Arguments.


@pytest.mark.parametrize("argnums", [1, 2, -2, (0, 1), (0, 5)])
def test_argnums_beyond_the_arguments(argnums: Any) -> None:
    text = failure(lambda: hs.grad(total, argnums=argnums)(X), HessianError)
    assert_says(text, "argnums", "1")


@pytest.mark.parametrize("argnums", ["x", 1.5, None, (0, "y"), (0, 0)])
def test_argnums_of_the_wrong_kind(argnums: Any) -> None:
    text = failure(lambda: hs.grad(total, argnums=argnums)(X), HessianError)
    assert_says(text, "argnums")


@pytest.mark.parametrize("transform", [hs.grad, hs.value_and_grad, hs.jacobian, hs.hessian])
def test_missing_argument(transform: Callable[..., Any]) -> None:
    with pytest.raises((TypeError, HessianError)):
        transform(total)()

    def two(x: Any, scale: Any) -> Any:
        return scale * np.sum(x**2)

    with pytest.raises(TypeError, match="scale"):
        transform(two)(X)


@pytest.mark.parametrize("transform", [hs.grad, hs.value_and_grad, hs.jacobian, hs.hessian])
@pytest.mark.parametrize("f", [None, 3.0, X], ids=["None", "number", "array"])
def test_f_is_not_callable(transform: Callable[..., Any], f: Any) -> None:
    text = failure(lambda: transform(f)(X), HessianError)
    assert_says(text, transform.__name__, type(f).__name__, "function")


def test_parameter_passed_by_keyword() -> None:
    """Parameters are positional; by keyword alone there is nothing at the position to differentiate."""
    with pytest.raises((TypeError, HessianError)):
        hs.grad(total)(x=X)


def test_exceptions_of_the_user_pass_through() -> None:
    def f(x: Any) -> Any:
        raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        hs.grad(f)(X)
    # An exception leaves no state behind.
    np.testing.assert_array_equal(hs.grad(total)(X), 2 * X)


def test_shape_errors_of_numpy_pass_through() -> None:
    with pytest.raises(ValueError, match=r"shape|mismatch|match|broadcast"):
        hs.grad(lambda x: np.sum(x + np.ones(3)))(X)
    with pytest.raises(ValueError, match=r"shape|mismatch|match|dimension"):
        hs.grad(lambda x: np.sum(MATRIX.T @ x))(X)
    with pytest.raises(IndexError):
        hs.grad(lambda x: x[7])(X)


# Values that leave the tape: the message names the user's line and the token that fixes it.


def uses_float(x: Any) -> Any:
    return x.sum() * float(x[0])


def uses_float_on_an_array(x: Any) -> Any:
    return x.sum() * float(x)


def uses_complex(x: Any) -> Any:
    return x.sum() * complex(x[0])


def uses_asarray(x: Any) -> Any:
    return np.sum(asarray(x) ** 2)


def uses_array_with_dtype(x: Any) -> Any:
    return np.sum(array(x, dtype=float) ** 2)


def uses_dot_of_a_plain_array(x: Any) -> Any:
    return np.sum(MATRIX.dot(x))


def uses_math_sin(x: Any) -> Any:
    return math.sin(x[0])


def uses_math_exp(x: Any) -> Any:
    return math.exp(x[1]) + x[0]


def uses_item(x: Any) -> Any:
    return x.sum() * x[0].item()


def uses_tolist(x: Any) -> Any:
    return sum(x.tolist())


def assigns_into_a_plain_array(x: Any) -> Any:
    a = zeros(4)
    a[0] = x[0]
    return np.sum(a)


def assigns_a_slice_into_a_plain_array(x: Any) -> Any:
    a = zeros(4)
    a[1:3] = x[:2] ** 2
    return np.sum(a)


def adds_into_a_plain_array(x: Any) -> Any:
    a = ones(4)
    a += x
    return np.sum(a)


def uses_out(x: Any) -> Any:
    a = empty(4)
    np.multiply(x, x, out=a)
    return np.sum(a)


LEAVING: dict[str, tuple[Callable[[Any], Any], tuple[str, ...]]] = {
    "float": (uses_float, ("float(x[0])",)),
    "float_of_array": (uses_float_on_an_array, ("float(x)",)),
    "complex": (uses_complex, ("complex(x[0])",)),
    "asarray": (uses_asarray, ("asarray(x)",)),
    "array_with_dtype": (uses_array_with_dtype, ("array(x, dtype=float)",)),
    "A.dot(x)": (uses_dot_of_a_plain_array, ("MATRIX.dot(x)", "A @ x")),
    "math.sin": (uses_math_sin, ("math.sin(x[0])", "np.sin")),
    "math.exp": (uses_math_exp, ("math.exp(x[1])", "np.exp")),
    "item": (uses_item, ("x[0].item()",)),
    "tolist": (uses_tolist, ("x.tolist()",)),
    "setitem": (assigns_into_a_plain_array, ("a[0] = x[0]", "zeros_like")),
    "setitem_slice": (assigns_a_slice_into_a_plain_array, ("a[1:3] = x[:2] ** 2", "zeros_like")),
    "inplace_add": (adds_into_a_plain_array, ("a += x",)),
    "out": (uses_out, ("out=a", "out")),
}


@pytest.mark.parametrize("name", LEAVING)
@pytest.mark.parametrize("call", ["grad", "hessian", "hvp", "HessianOperator"])
def test_a_value_leaves_the_tape(name: str, call: str) -> None:
    f, parts = LEAVING[name]
    text = failure(lambda: GRADIENT_CALLS[call](f, X), (HessianError, TypeError, ValueError))
    assert_says(text, HERE, *parts)


@pytest.mark.parametrize("name", ["float", "asarray", "A.dot(x)", "item", "tolist", "array_with_dtype"])
def test_class_of_the_error_when_a_value_leaves_the_tape(name: str) -> None:
    f, _ = LEAVING[name]
    failure(lambda: hs.grad(f)(X), LeavesTapeError)
    assert issubclass(LeavesTapeError, TypeError)


def test_the_line_number_is_the_users() -> None:
    text = failure(lambda: hs.grad(uses_asarray)(X), LeavesTapeError)
    line = uses_asarray.__code__.co_firstlineno + 1
    assert_says(text, f"{HERE}:{line}")


def test_twins_of_functions_that_cannot_dispatch() -> None:
    logits = MATRIX[0]
    for name in ("logsumexp", "softmax", "log_softmax"):
        original = getattr(scipy.special, name)
        text = failure(lambda f=original: hs.grad(lambda x: np.sum(f(x * logits)))(X), (HessianError, TypeError))
        assert_says(text, f"hessian.scipy.special.{name}", HERE)


# Operations without a rule.


def uses_kolmogorov(x: Any) -> Any:
    return np.sum(scipy.special.kolmogorov(x))


def uses_mathieu(x: Any) -> Any:
    return np.sum(scipy.special.mathieu_a(1.5, x))


MISSING = {
    "kolmogorov": (uses_kolmogorov, "scipy.special.kolmogorov(x)", ""),
    "mathieu": (uses_mathieu, "scipy.special.mathieu_a(1.5, x)", ""),
}


@pytest.mark.parametrize("name", MISSING)
def test_an_operation_without_a_rule(name: str) -> None:
    f, source, nearest = MISSING[name]
    text = failure(lambda: hs.grad(f)(X), MissingRuleError)
    assert issubclass(MissingRuleError, TypeError)
    line = f.__code__.co_firstlineno + 1
    assert_says(text, name, source, f"{HERE}:{line}", nearest, "argument")


@pytest.mark.parametrize(
    "f",
    [
        lambda x: np.add.reduceat(x, [0, 2])[0],
        lambda x: np.sum(np.multiply.outer(x, x)),
        lambda x: np.add.accumulate(x)[-1],
        lambda x: np.subtract.reduce(x),
    ],
    ids=["reduceat", "outer", "accumulate", "subtract.reduce"],
)
def test_methods_of_ufuncs_work_or_say_why(f: Callable[[Any], Any]) -> None:
    try:
        found = hs.grad(f)(X)
    except MissingRuleError as error:
        assert_says(text_of(error), HERE)
        return
    step = 1e-6
    expected = [(f(X + step * e) - f(X - step * e)) / (2 * step) for e in np.eye(4)]
    np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_sparse_matrices_built_from_traced_values() -> None:
    def f(x: Any) -> Any:
        return np.sum(scipy.sparse.csr_array(x[None, :]) @ X)

    failure(lambda: hs.grad(f)(X), (HessianError, TypeError, ValueError))


# Traced values out of their time.


def test_a_traced_value_used_after_its_recording() -> None:
    kept: list[Any] = []

    def leaks(x: Any) -> Any:
        kept.append(x * 2.0)
        return np.sum(x**2)

    hs.grad(leaks)(X)
    for use in (lambda: kept[0] + 1.0, lambda: np.sum(kept[0]), lambda: hs.grad(lambda x: np.sum(x * kept[0]))(X)):
        text = failure(use, StaleVariableError)
        assert issubclass(StaleVariableError, RuntimeError)
        assert_says(text, "returned", "has_aux")


def test_a_leaked_value_in_a_later_result_is_an_error() -> None:
    kept: list[Any] = []

    def leaks(x: Any) -> Any:
        kept.append(x[0])
        return np.sum(x**2)

    hs.grad(leaks)(X)
    failure(lambda: hs.grad(lambda x: kept[0])(X), StaleVariableError)


# Options.


@pytest.mark.parametrize("order", [-1, 1.5, "2", None])
def test_order_of_taylor(order: Any) -> None:
    text = failure(lambda: hs.taylor(total, X, X, order=order), HessianError)
    assert_says(text, "taylor", "order")


def test_directional_without_a_direction() -> None:
    """No direction is the zeroth derivative or an error, never something else."""
    try:
        found = hs.directional(total, X)
    except (HessianError, TypeError):
        return
    assert found == total(X)


@pytest.mark.parametrize("damping", [-1.0, np.nan])
def test_damping_of_solve(damping: Any) -> None:
    operator = hs.HessianOperator(total, X)
    text = failure(lambda: operator.solve(np.ones(4), damping=damping), HessianError)
    assert_says(text, "damping")


def test_keyword_only_options() -> None:
    with pytest.raises(TypeError):
        hs.HessianOperator(total, X).solve(np.ones(4), 0.5)


def test_check_derivatives_sees_a_wrong_derivative() -> None:
    """A function that hides part of itself in a constant is inconsistent with its own values."""

    def hides(x: Any) -> Any:
        # The one question about its type that a traced value cannot answer.
        return np.sum(x * x) if type(x) is np.ndarray else np.sum(x * X)

    failure(lambda: hs.check_derivatives(hides, X), hs.errors.DerivativeCheckError)


def test_errors_are_exported_and_derive_from_builtins() -> None:
    builtins = {"ShapeMismatchError": ValueError, "DtypeError": TypeError, "NotScalarError": ValueError}
    builtins |= {"MissingRuleError": TypeError, "LeavesTapeError": TypeError, "StaleVariableError": RuntimeError}
    for name, builtin in builtins.items():
        kind = getattr(hs.errors, name)
        assert issubclass(kind, HessianError)
        assert issubclass(kind, builtin)
