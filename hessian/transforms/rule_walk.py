"""The walk over rules: what every derivative has to satisfy, each property tried on one call of one function.

A property that does not hold raises :class:`~hessian.errors.DerivativeCheckError`. Slopes to compare with come from a complex step,
which is free of cancellation, or from extrapolated differences where the function takes no complex numbers.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from itertools import pairwise
from typing import Any, NoReturn

import numpy as np

from hessian.errors import DerivativeCheckError, ProgramWarning, message
from hessian.programs import record
from hessian.transforms.first_order import grad, jvp, value_and_grad, vjp
from hessian.transforms.higher_order import taylor
from hessian.transforms.rule_trials import Trial, joined
from hessian.transforms.second_order import hvp

_STEP = 1e-30
"""Complex steps are free of cancellation: the step can be as small as the exponent range allows."""


def fail(subject: Any, what: str, why: str = "", fix: str = "") -> NoReturn:
    """Raise the error of a property that does not hold."""
    raise DerivativeCheckError(message(str(subject), what, why, fix))


def close(trial: Any, what: str, got: Any, wanted: Any, scale: float = 1.0, rtol: float = 1e-11, why: str = "") -> None:
    """Refuse numbers that differ by more than a share of the largest."""
    got, wanted = np.asarray(got), np.asarray(wanted)
    if got.shape != wanted.shape:
        fail(trial, f"{what} has shape {got.shape}, expected {wanted.shape}", why)
    size = max(scale, float(np.abs(wanted).max(initial=0.0)))
    with np.errstate(invalid="ignore"):
        wrong = np.argwhere(~((np.abs(got - wanted) <= rtol * size) | (got == wanted)))
    if len(wrong):
        at = tuple(map(int, wrong[0]))
        fail(trial, f"{what} is {got[at]:.12g} at {at}, expected {wanted[at]:.12g}", why)


def extrapolated(f: Callable[[float], Any], h: float = 4e-3, rows: int = 4) -> np.ndarray:
    """Ridders' extrapolation of central differences; the steps are short so as not to straddle a kink."""
    table = [(f(h / 2**i) - f(-h / 2**i)) / (2 * h / 2**i) for i in range(rows)]
    for order in range(1, rows):
        table = [(4**order * b - a) / (4**order - 1) for a, b in pairwise(table)]
    return table[0]


def moved(arrays: list[np.ndarray], dots: list[np.ndarray], h: Any) -> list[np.ndarray]:
    """Return arrays a step along tangents."""
    return [a + h * t for a, t in zip(arrays, dots, strict=True)]


def value_is_that_of_the_plain_function(trial: Trial) -> None:
    args, arrays = trial.arguments()
    plain = joined(trial.plain(*args, **trial.case.kwargs))
    traced, _ = vjp(trial.function(trial.target), arrays)
    close(trial, "the value", traced, plain, rtol=1e-14)
    if traced.dtype != plain.dtype:
        fail(trial, f"the value has dtype {traced.dtype}, the plain function gives {plain.dtype}")


def tangent_is_the_slope(trial: Trial) -> None:
    _, arrays = trial.arguments()
    dots = trial.tangents(arrays)
    _, got = jvp(trial.function(trial.target), arrays, dots)
    why = "the first derivative is wrong"
    if trial.analytic is not None:
        wanted, rtol = trial.function(trial.analytic)(moved(arrays, dots, 1j * _STEP)).imag / _STEP, 1e-11
        why += ", or the function is no analytic one of complex numbers: give its row real_only=True then"
    else:
        wanted, rtol = extrapolated(lambda h: trial.function(trial.plain)(moved(arrays, dots, h))), 1e-9
    close(trial, "the tangent", got, wanted, rtol=rtol, why=why)


def both_modes_are_adjoint(trial: Trial) -> None:
    _, arrays = trial.arguments()
    call, dots = trial.function(trial.target), trial.tangents(arrays)
    y, y_dot = jvp(call, arrays, dots)
    y_bar = trial.rng(2).uniform(-1, 1, y.shape)
    bars = vjp(call, arrays)[1](y_bar)
    left = float(np.vdot(y_bar, y_dot))
    right = sum(float(np.vdot(bar, dot)) for bar, dot in zip(bars, dots, strict=True))
    scale = sum(float(np.abs(bar * dot).sum()) for bar, dot in zip(bars, dots, strict=True))
    why = "the pullback is not the transpose of the pushforward"
    close(trial, "the product of a cotangent and a pulled-back one", right, left, max(1.0, scale), 1e-13, why)


def second_order_is_the_slope_of_the_gradient(trial: Trial) -> None:
    f, arrays = trial.weighted()
    dots = trial.tangents(arrays)
    got = joined(hvp(f, arrays, dots))
    slope = extrapolated(lambda h: joined(grad(f)(moved(arrays, dots, h))))
    close(trial, "the Hessian-vector product", got, slope, rtol=2e-9, why="a second derivative is wrong")


def modes_agree_at_second_order(trial: Trial) -> None:
    """Forward-over-reverse, forward over a recorded gradient, reverse-over-reverse: three paths through the rules."""
    f, arrays = trial.weighted()
    dots = trial.tangents(arrays)
    product = joined(hvp(f, arrays, dots))
    _, along = jvp(grad(f), arrays, dots)
    twice = grad(lambda xs: sum(np.sum(g * t) for g, t in zip(grad(f)(xs), dots, strict=True)))(arrays)
    scale = float(np.abs(product).max(initial=1.0))
    close(trial, "the tangent of the gradient", joined(along), product, scale, rtol=1e-12)
    close(trial, "the gradient of the gradient", joined(twice), product, scale, rtol=1e-12)


def third_order_is_the_slope_of_the_second(trial: Trial) -> None:
    f, arrays = trial.weighted()
    dots = trial.tangents(arrays)
    curve = lambda xs: sum(np.sum(h * t) for h, t in zip(hvp(f, xs, dots), dots, strict=True))
    _, along = jvp(curve, arrays, dots)
    slope = extrapolated(lambda h: np.asarray(curve(moved(arrays, dots, h))))
    close(
        trial,
        "the third derivative",
        along,
        slope,
        rtol=2e-8,
        why="the second is written in what has no right derivative",
    )
    gradient = grad(curve)(arrays)
    direct = sum(float(np.vdot(g, t)) for g, t in zip(gradient, dots, strict=True))
    flat = joined(gradient)
    scale = float(np.abs(flat).max(initial=1.0)) * max(1, flat.size)
    close(trial, "the third derivative in reverse", direct, along, scale, rtol=1e-11)


def taylor_arithmetic_agrees_with_sweeps(trial: Trial) -> None:
    f, arrays = trial.weighted()
    dots = trial.tangents(arrays)
    curve = lambda xs: sum(np.sum(h * t) for h, t in zip(hvp(f, xs, dots), dots, strict=True))
    slope = lambda xs: jvp(curve, xs, dots)[1]
    third, fourth = jvp(slope, arrays, dots)
    expected = np.array([curve(arrays) / 2, third / 6, fourth / 24])
    scale = float(np.abs(expected).max(initial=1e-3))
    close(trial, "its Taylor series", taylor(f, arrays, dots, order=4)[2:], expected, scale, rtol=1e-11)


def batches_equal_loops(trial: Trial) -> None:
    f, arrays = trial.weighted()
    call = trial.function(trial.target)
    loops = [trial.tangents(arrays, salt) for salt in (4, 5, 6)]
    batch = [np.stack(ts) for ts in zip(*loops, strict=True)]
    why = "tangents and cotangents may have leading batch axes, so functions of a row act on trailing axes"
    _, got = jvp(call, arrays, batch)
    close(trial, "a batch of tangents", got, np.stack([jvp(call, arrays, ts)[1] for ts in loops]), rtol=1e-13, why=why)
    products = hvp(f, arrays, batch)
    scale = max((float(np.abs(p).max(initial=1.0)) for p in products), default=1.0)
    for i, ts in enumerate(loops):
        for one, many in zip(hvp(f, arrays, ts), products, strict=True):
            close(trial, "a batch of products", many[i], one, scale, rtol=1e-13, why=why)
    # The same through a recorded gradient, where batched tangents meet recorded operations.
    _, nested = jvp(grad(f), arrays, batch)
    for many, again in zip(products, nested, strict=True):
        close(trial, "a batch of tangents of the gradient", again, many, scale, rtol=1e-12, why=why)


def batched_products_can_be_differentiated(trial: Trial) -> None:
    f, arrays = trial.weighted()
    loops = [trial.tangents(arrays, salt) for salt in (4, 5)]
    batch = [np.stack(ts) for ts in zip(*loops, strict=True)]
    together = grad(lambda xs: sum(np.sum(h) for h in hvp(f, xs, batch)))(arrays)
    apart = [grad(lambda xs, ts=ts: sum(np.sum(h) for h in hvp(f, xs, ts)))(arrays) for ts in loops]
    scale = max((float(np.abs(p).max(initial=1.0)) for ps in apart for p in ps), default=1.0)
    for i, one in enumerate(together):
        close(trial, "the gradient of a batch of products", one, apart[0][i] + apart[1][i], scale, rtol=1e-11)


def precision_stays(trial: Trial) -> None:
    _, arrays = trial.arguments()
    call = trial.function(trial.target)
    small = [a.astype(np.float32) for a in arrays]
    if call(small).dtype != np.float32:
        return  # the function itself gives float64 for float32 arguments
    dots = [t.astype(np.float32) for t in trial.tangents(arrays)]
    y, y_dot = jvp(call, small, dots)
    gradient, product = grad(lambda xs: np.sum(call(xs)))(small), hvp(lambda xs: np.sum(call(xs) ** 2), small, dots)
    for leaf in [y, y_dot, *gradient, *product]:
        if leaf.dtype != np.float32:
            fail(trial, f"a derivative of float32 numbers has dtype {leaf.dtype}", "constants are to be Python numbers")
    _, exact = jvp(call, arrays, trial.tangents(arrays))
    close(trial, "the tangent in float32", y_dot, exact, scale=float(np.abs(y).max(initial=1.0)), rtol=3e-4)


def inputs_are_left_alone_and_results_stay(trial: Trial) -> None:
    f, arrays = trial.weighted()
    dots = trial.tangents(arrays)
    given = [*arrays, *dots]
    before = [a.copy() for a in given]
    first = hvp(f, arrays, dots)
    seen = [h.copy() for h in first]
    second = hvp(f, arrays, [2 * t for t in dots])
    if not all(map(np.array_equal, [*given, *first], [*before, *seen])):
        fail(trial, "an argument or an earlier result was written to", "arrays are the caller's")
    if any(np.shares_memory(a, b) for a in first if np.size(a) for b in [*given, *second]):
        fail(trial, "a result shares memory with an argument or another result")


def recorded_functions_agree(trial: Trial) -> None:
    f, arrays = trial.weighted()
    dots = trial.tangents(arrays)
    value, gradient = value_and_grad(f)(arrays)
    product = joined(hvp(f, arrays, dots))
    with warnings.catch_warnings():
        warnings.simplefilter("error", ProgramWarning)
        program = record(f)
        for _ in range(2):  # compiled, then replayed
            again, slope = value_and_grad(program)(arrays)
            close(trial, "the value of a recorded function", again, value, rtol=1e-12)
            scale = float(np.abs(joined(gradient)).max(initial=1.0))
            close(trial, "the gradient of a recorded function", joined(slope), joined(gradient), scale, rtol=1e-12)
            scale = float(np.abs(product).max(initial=1.0))
            close(trial, "a product of a recorded function", joined(hvp(program, arrays, dots)), product, scale, 1e-11)


def nothing_is_differentiated(trial: Trial) -> None:
    """Of an operation without derivative: a value, and whatever it gives is a constant factor."""
    _, arrays = trial.arguments()
    call = trial.function(trial.target)
    constant = call(arrays)
    floats = [i for i, a in enumerate(arrays) if a.dtype.kind == "f"]
    along = lambda xs: call([xs[floats.index(i)] if i in floats else a for i, a in enumerate(arrays)])
    chosen = [arrays[i] for i in floats]
    value, _ = vjp(along, chosen)
    if not np.array_equal(value, constant):
        fail(trial, f"the value is {value}, the plain function gives {constant}")
    if chosen:
        gradient = grad(lambda xs: np.sum(along(xs) * 1.0 * xs[0].ravel()[0]))(chosen)
        expected = [np.zeros_like(x) for x in chosen]
        expected[0].flat[0] = np.sum(constant * 1.0)
        close(trial, "the gradient of a product with it", joined(gradient), joined(expected), rtol=1e-14)


PROPERTIES: tuple[Callable[[Trial], None], ...] = (
    value_is_that_of_the_plain_function,
    tangent_is_the_slope,
    both_modes_are_adjoint,
    second_order_is_the_slope_of_the_gradient,
    modes_agree_at_second_order,
    third_order_is_the_slope_of_the_second,
    taylor_arithmetic_agrees_with_sweeps,
    batches_equal_loops,
    batched_products_can_be_differentiated,
    precision_stays,
    inputs_are_left_alone_and_results_stay,
    recorded_functions_agree,
)
"""Of a call that has derivatives."""
