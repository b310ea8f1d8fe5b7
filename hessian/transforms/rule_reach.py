"""Rules away from where they are tried first: other magnitudes and signs, ends of domains, arguments called without derivative."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np

from hessian.rules.operation import MISSING, NONDIFF, Operation
from hessian.rules.samples import Sample
from hessian.rules.spec import Elementwise
from hessian.transforms.first_order import grad, jvp, vjp
from hessian.transforms.rule_trials import Trial, joined
from hessian.transforms.rule_walk import close, fail, moved
from hessian.transforms.second_order import hvp

PLACES = 96
"""At how many places a function of elements is looked at."""
SMALLEST, LARGEST = 1e-4, 1e4
"""Magnitudes of arguments whose domain is not declared, or has no end."""
FACTORS = (0.01, 30.0, -1.0, -30.0)
"""By what the arguments of functions of whole arrays are multiplied."""
_SHARES = 10.0 ** np.arange(-1, -7, -1)
"""Steps of differences, as shares of an argument or of its distance from the end of its domain."""
_NOISE, _MOST_NOISE = 2e-14, 1e-9
"""What values may be off by, as a share; those of rows that say that they are inaccurate."""
_RTOL = 1e-5
_EPS = float(np.finfo(float).eps)


def partials_hold_far_away(row: Elementwise, params: Mapping[str, Any], rounding: bool = False) -> None:
    """Refuse first and second partials that are not the slopes somewhere in the domain; ``rounding`` forgives what cancels."""
    xs, rooms = _places(row)
    active = [i for i, state in enumerate(_states(row)) if state is None]
    value = lambda xs: np.asarray(row.function(*xs, **params))
    noise = _NOISE if row.accuracy is None else min(max(_NOISE, row.accuracy.error), _MOST_NOISE)
    why = f"looked at {PLACES} places of {_reach(row)}"
    with np.errstate(all="ignore"):
        finite = np.isfinite(value(xs))
        for i in active:
            first = _partial(row, params, (i,))
            slope, got = _slope_in(i, value, xs, rooms, noise), first(xs)
            blur = _scatter(first, xs) + _scatter_of_value(row, i, value(xs), xs, params) if rounding else 0.0
            _agree(row, f"the derivative in argument {i}", got, slope, blur, finite, why, xs)
            share = blur / np.maximum(np.abs(got), 1e-300)
            for j in active:
                name, second = f"the second derivative in arguments {i} and {j}", _partial(row, params, (i, j))
                slope, curved = _slope_in(j, first, xs, rooms, noise, blur), second(xs)
                lost = _scatter(second, xs) + share * np.abs(curved) if rounding else 0.0
                _agree(row, name, curved, slope, lost, finite, why, xs)


def _scatter_of_value(row: Elementwise, i: int, y: Any, xs: Sequence[Any], params: Mapping[str, Any]) -> np.ndarray:
    """Return by how much a first partial changes with the last bits of the value that it is given."""
    entry = getattr(row.d1[i], "formula", row.d1[i])
    if not callable(entry):
        return np.zeros(PLACES)
    return np.ptp([np.broadcast_to(entry(y * (1 + k * _EPS), *xs, **params), y.shape) for k in range(-2, 3)], axis=0)


def _scatter(f: Callable[[Sequence[Any]], Any], xs: Sequence[Any]) -> np.ndarray:
    """Return by how much a formula changes with the last bits of its arguments: what it loses by cancellation."""
    near = lambda k: [x * (1 + k * _EPS) if x.dtype.kind == "f" else x for x in xs]
    return np.ptp([f(near(k)) for k in range(-3, 4)], axis=0)


def _partial(row: Elementwise, params: Mapping[str, Any], order: tuple[int, ...]) -> Callable[[Sequence[Any]], Any]:
    """Return a partial derivative of a row as a function of its arguments."""
    if not order:
        return lambda xs: row(*xs, **params)
    *inner, i = order
    lower = _partial(row, params, tuple(inner))
    return lambda xs: grad(lambda x: np.sum(lower([*xs[:i], x, *xs[i + 1 :]])))(xs[i])


def unlisted_arguments_do_not_matter(row: Operation, xs: Sequence[Any], params: Mapping[str, Any]) -> None:
    """Refuse the states ZERO and NONDIFF of arguments in which the value has a slope."""
    for i, state in enumerate(_states(row)):
        if state is None or state is MISSING:
            continue
        given: list[Any] = list(xs)
        rooms: list[Any] = [1.0] * len(xs)
        rng = np.random.default_rng(i)
        if isinstance(row, Elementwise):
            given, rooms = _places(row)
            given[i], rooms[i] = _drawn(rng, row.domain[i], row.declares_domain)
        else:
            given[i] = np.asarray(given[i]) + rng.uniform(0.2, 0.4, np.shape(given[i]))
        try:
            with np.errstate(all="ignore"):
                value = lambda given: np.ravel(row.function(*given, **params))
                slope, error = _slope_in(i, value, given, rooms)
        except Exception:  # of an index, or of a flag: it takes no fractions
            continue
        varies = np.isfinite(error) & (abs(slope) > 100 * error)
        if np.count_nonzero(varies) > varies.size // 8:
            at = int(np.argmax(varies))
            place = f" at {_place(given, at)}" if isinstance(row, Elementwise) else ""
            what = f"argument {i} is called {state}, and differences find the slope {slope[at]:.6g} in it{place}"
            fix = "Give its partial, or hessian.rules.MISSING: then differentiating in it raises"
            fail(row.name, what, "its derivative would be taken for zero", fix)


def arrays_of_other_sizes_agree(trial: Trial) -> None:
    """Refuse pushforwards and pullbacks that are not the derivative at multiples of the arguments."""
    _, arrays = trial.arguments()
    plain, call = trial.function(trial.plain), trial.function(trial.target)
    why = f"looked at {', '.join(f'{factor:g}' for factor in FACTORS)} times the arguments"
    for factor in FACTORS:
        xs, dots = [factor * x for x in arrays], [abs(factor) * t for t in trial.tangents(arrays)]
        with np.errstate(all="ignore"):
            try:
                finite = np.isfinite(plain(xs))
            except Exception:  # outside of its domain
                continue
            if not finite.all():
                continue
            name = f"{trial} at {factor:g} times its arguments"
            y, y_dot = jvp(call, xs, dots)
            slope = _slope(partial(_at_step, plain, xs, dots))
            _agree(name, "the tangent", y_dot, slope, 0.0, finite, why)
            y_bar = trial.rng(2).uniform(-1, 1, y.shape)
            terms = [bar * dot for bar, dot in zip(vjp(call, xs)[1](y_bar), dots, strict=True)]
            scale = max(sum(float(np.abs(term).sum()) for term in terms), float(np.abs(y_bar * y_dot).sum()))
            pulled = sum(float(np.sum(term)) for term in terms)
            what = "the product of a cotangent and a pulled-back one"
            close(name, what, pulled, float(np.vdot(y_bar, y_dot)), scale, 1e-10, f"the pullback is wrong there; {why}")
            f, _ = trial.weighted()
            slope = _slope(partial(_at_step, _gradient_of(f), xs, dots))
            product = joined(hvp(f, xs, dots))
            _agree(name, "the Hessian-vector product", product, slope, 0.0, np.isfinite(slope[0]), why)


def _gradient_of(f: Callable[[Any], Any]) -> Callable[[Any], Any]:
    return lambda xs: joined(grad(f)(xs))


def _at_step(f: Callable[[Any], Any], xs: list[Any], dots: list[Any], h: float) -> Any:
    return f(moved(xs, dots, h))


def values_keep_the_precision(trial: Trial) -> None:
    """Refuse a value in float64 of arguments in float32."""
    _, arrays = trial.arguments()
    constants = [np.asarray(x).dtype.kind for x in trial.case.args if not isinstance(x, Sample)]
    if not arrays or any(kind in "iuf" for kind in constants):  # which may be what makes it double
        return
    if trial.function(trial.plain)([x.astype(np.float32) for x in arrays]).dtype == np.float64:
        what, fix = "the value of float32 arguments has dtype float64", "Return y.astype(np.result_type(np.float32, x))"
        fail(trial, what, "all that follows would be computed in float64", fix)


def _states(row: Operation) -> Sequence[Any]:
    return row.states or (None,) * len(getattr(row, "d1", ()))


def _places(row: Elementwise) -> tuple[list[Any], list[Any]]:
    """Draw arguments of a function of elements, and how far a step may go from each."""
    rng = np.random.default_rng(0)
    drawn = [_drawn(rng, ends, row.declares_domain) for ends in row.domain]
    xs: list[Any] = [x for x, _ in drawn]
    rooms: list[Any] = [room for _, room in drawn]
    for i, state in enumerate(_states(row)):
        if state is NONDIFF:
            xs[i] = rng.uniform(size=PLACES) < 0.5
    for i, place in enumerate(row.accuracy.grid if row.accuracy is not None else ()):
        if isinstance(place, list):  # numbers, or whole ones that a function wants as such
            xs[i] = rng.choice(place, PLACES)
            rooms[i] = np.minimum(rooms[i], 0.1)
        else:
            xs[i], rooms[i] = _drawn(rng, place, True)
    return xs, rooms


def _drawn(rng: np.random.Generator, ends: tuple[float, float], is_declared: bool) -> tuple[np.ndarray, np.ndarray]:
    """Draw numbers between two ends, of all magnitudes and close to the ends, and say how far a step may go."""
    low, high = ends if is_declared else (-np.inf, np.inf)
    sizes = np.exp(rng.uniform(np.log(SMALLEST), np.log(LARGEST), PLACES))
    signs, small = rng.choice([-1.0, 1.0], PLACES), 10 ** rng.uniform(-5, -0.3, PLACES)
    if np.isfinite(high - low):
        parts = [rng.uniform(low, high, PLACES), low + (high - low) * small, high - (high - low) * small]
        parts += [signs * min(-low, high) * small] if low < 0 < high else []
    else:
        parts = [low + sizes] if np.isfinite(low) else [high - sizes] if np.isfinite(high) else [signs * sizes]
    x = rng.permutation(np.choose(np.arange(PLACES) % len(parts), parts))
    return x, np.minimum(abs(x), np.minimum(x - low, high - x))


def _reach(row: Elementwise) -> str:
    if not row.declares_domain:
        return f"magnitudes {SMALLEST:g} to {LARGEST:g}, of both signs; domain= says where the function is smooth"
    return f"the domain {', '.join(f'({low:g}, {high:g})' for low, high in row.domain)}"


def _slope_in(
    i: int, f: Callable[[list[Any]], Any], xs: list[Any], rooms: list[Any], noise: float = _NOISE, scatter: Any = 0.0
) -> tuple[np.ndarray, np.ndarray]:
    along = lambda h: f([*xs[:i], xs[i] + h * rooms[i], *xs[i + 1 :]])
    size = np.abs(xs[i]) if np.ndim(rooms[i]) else np.max(np.abs(xs[i]), initial=0.0)
    return _slope(along, rooms[i], size, noise, scatter)


def _slope(
    f: Callable[[float], Any], room: Any = 1.0, size: Any = 0.0, noise: float = _NOISE, scatter: Any = 0.0
) -> tuple[np.ndarray, np.ndarray]:
    """Return central differences per ``room``, extrapolated, by the best of many steps, and how far they may be off."""
    slopes: list[np.ndarray] = []
    errors: list[np.ndarray] = []
    for h in _SHARES:
        values = [f(step) for step in (h, -h, h / 2, -h / 2)]
        wide, narrow = (
            (a - b) / (2 * step * room) for (a, b), step in zip([values[:2], values[2:]], (h, h / 2), strict=True)
        )
        slope = (4 * narrow - wide) / 3
        blur = scatter + noise * np.max(np.abs(values), axis=0) + 1e-15 * size * np.abs(slope)
        error = np.abs(slope - narrow) + blur / (h * room)
        if slopes:
            # A step over many waves may find the same wrong slope with half of it.
            errors[-1] = np.maximum(errors[-1], np.abs(slopes[-1] - slope))
        slopes.append(slope)
        errors.append(error)
    errors = [np.where(np.isfinite(error), error, np.inf) for error in errors]
    best = np.argmin(errors, axis=0)[None]
    return np.take_along_axis(np.array(slopes), best, 0)[0], np.take_along_axis(np.array(errors), best, 0)[0]


def _agree(
    subject: Any,
    name: str,
    got: Any,
    found: tuple[np.ndarray, np.ndarray],
    scatter: Any,
    finite: np.ndarray,
    why: str,
    xs: Sequence[Any] | None = None,
) -> None:
    """Refuse derivatives that are further from differences than these can be from the slope."""
    slope, error = found
    got = np.broadcast_to(got, slope.shape)
    known = finite & np.isfinite(error) & (error <= 1e-3 * np.abs(slope) + 1e-3)
    off = np.abs(got - slope) <= _RTOL * np.maximum(np.abs(slope), np.abs(got)) + 10 * (error + scatter) + 1e-300
    wrong = np.argwhere(known & ~off)
    if len(wrong):
        at = tuple(map(int, wrong[0]))
        place = f"{_place(xs, at)}" if xs is not None else str(at)
        what = f"{name} is {got[at]:.6g} at {place}, differences give {slope[at]:.6g}"
        fail(getattr(subject, "name", subject), what, why)


def _place(xs: Sequence[Any], at: Any) -> str:
    numbers = ", ".join(f"{x[at]:.6g}" if x.dtype.kind == "f" else str(x[at]) for x in xs)
    return numbers if len(xs) == 1 else f"({numbers})"
