"""What a row says of itself, held against what it does: sparsity, completeness of second partials, special points."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from hessian.rules.operation import NONDIFF, Operation
from hessian.rules.samples import within
from hessian.rules.spec import Elementwise
from hessian.tape.trace import trace
from hessian.transforms.first_order import grad, jvp
from hessian.transforms.rule_trials import Trial
from hessian.transforms.rule_walk import close, fail
from hessian.transforms.second_order import hvp


@dataclass(frozen=True)
class Instance:
    """An operation as some function has applied it.

    Attributes
    ----------
    row : Operation
    operands : list of ndarray
    active : list of int
        Operands that carry derivatives.
    params : dict
    """

    row: Operation
    operands: list[Any]
    active: list[int]
    params: dict[str, Any]

    def __str__(self) -> str:
        return f"{self.row.name}({','.join(str(np.shape(x)) for x in self.operands)})".replace(" ", "")

    @property
    def key(self) -> tuple[Any, ...]:
        """What other applications of the operation differ from this one in."""
        return (self.row, *(np.shape(x) for x in self.operands), *self.active, repr(self.params))


def instances(trial: Trial) -> list[Instance]:
    """Return the operations that a call and its derivatives up to the third order are made of."""
    f, arrays = trial.weighted()
    dots = trial.tangents(arrays)
    third = grad(lambda xs: sum(np.sum(h * t) for h, t in zip(hvp(f, xs, dots), dots, strict=True)))
    tape = trace(third, (arrays,), where=str(trial)).tape
    applied: dict[Any, Instance] = {}
    for instruction in tape.instructions:
        if instruction is None or not instruction.operation.differentiable:
            continue
        sources, states = instruction.sources, instruction.operation.states
        active = [
            p for p, s in enumerate(sources) if s >= 0 and tape.active[s] and (states is None or states[p] is None)
        ]
        operands = [tape.values[s] if s >= 0 else x for s, x in zip(sources, instruction.operands, strict=True)]
        one = Instance(instruction.operation, operands, active, instruction.params)
        if active:
            applied.setdefault(one.key, one)
    return list(applied.values())


def pattern_covers(one: Instance) -> None:
    """Refuse a pattern that misses an entry of the Jacobian, or of second derivatives."""
    operands, active = one.operands, one.active

    def f(xs: Sequence[Any]) -> Any:
        given = list(operands)
        for p, x in zip(active, xs, strict=True):
            given[p] = x
        return one.row(*given, **one.params)

    chosen = [np.asarray(operands[p]) for p in active]
    y = np.asarray(one.row.function(*operands, **one.params))
    pattern = one.row.pattern(y, operands, **one.params)
    size = sum(x.size for x in chosen)
    if not size or not y.size:
        return
    units = np.split(np.eye(size), np.cumsum([x.size for x in chosen])[:-1], axis=1)
    dots = [part.reshape((size, *x.shape)).astype(x.dtype) for part, x in zip(units, chosen, strict=True)]
    weight = np.random.default_rng(0).uniform(0.5, 1.5, y.shape).astype(y.dtype)
    _, slopes = jvp(f, chosen, dots)
    curvatures = hvp(lambda xs: np.sum(weight * f(xs)), chosen, dots)
    starts = np.cumsum([0, *(x.size for x in chosen)])
    for i, p in enumerate(active):
        rows = slice(starts[i], starts[i + 1])
        _inside(one, f"of argument {p}", pattern.jacobians[p], np.reshape(slopes[rows], (chosen[i].size, y.size)).T)
        for j, q in enumerate(active):
            second = np.reshape(curvatures[j][rows], (chosen[i].size, chosen[j].size))
            _inside(one, f"of arguments {p} and {q}", pattern.hessian(p, q), second)


def _inside(one: Instance, of: str, pattern: Any, numbers: np.ndarray) -> None:
    """Refuse numbers that are not zero where the pattern has nothing."""
    outside = np.abs(numbers) > 1e-12 * np.abs(numbers).max(initial=0.0)
    if pattern is not None:
        outside &= ~pattern.toarray().astype(bool)
    if outside.any():
        at = tuple(map(int, np.argwhere(outside)[0]))
        what = f"the pattern {of} has nothing at {at}, where the derivative is {numbers[at]:.6g}"
        fail(one, what, "derivatives that a pattern misses are taken for zeros", "Say the pattern of the row")


def second_partials_are_the_slopes_of_the_first(row: Elementwise) -> None:
    """Refuse a table ``d2`` that is not complete: the tangents of ``d1`` must be what it lists, and nothing else."""
    if row.d2 is None:
        return
    rng, params = np.random.default_rng(0), dict(row.variants[0])
    states = row.states or (None,) * len(row.d1)
    xs: list[Any] = [rng.uniform(*within(ends), 5) for ends in row.domain]
    xs = [x > 0 if state is NONDIFF else x for x, state in zip(xs, states, strict=True)]
    for j in (j for j, state in enumerate(states) if state is None):
        given = lambda x, j=j: [x if i == j else other for i, other in enumerate(xs)]
        y = np.asarray(row.function(*xs, **params))
        for i, entry in enumerate(row.d1):
            # The formula itself: a partial that is recorded would answer with the entry it is compared with.
            formula = getattr(entry, "formula", entry)
            slope: Any = 0.0
            if callable(formula):
                along = lambda x, formula=formula, given=given: formula(row(*given(x), **params), *given(x), **params)
                _, slope = jvp(along, xs[j], np.ones(5))
            listed = row.d2.get((i, j), 0)
            listed = np.broadcast_to(listed(y, *xs, **params) if callable(listed) else listed, 5)
            slope = np.broadcast_to(slope, 5)
            why = "d2 is complete: an entry that is not listed is an exact zero"
            close(row.name, f"the second partial {i, j}", listed, slope, rtol=1e-11, why=why)


_ALWAYS: dict[int, Sequence[Any]] = {1: [0.0, 1.0, -1.0], 2: [(0.0, 0.0), (0.0, 1.0), (1.0, 0.0), (1.0, 1.0)]}
"""Special points of every row: a removable singularity that its author has not thought of lies there as a rule."""
_NEAR = (1e-5, 1e-7)


def derivatives_continue_to_special_points(row: Elementwise) -> None:
    """Refuse a derivative that is not the limit of those around a point, where these have one and the row states no convention."""
    if row.kinks:
        return
    count = len(row.d1)
    always: Sequence[Any] = _ALWAYS.get(count, [(0.0,) * count])
    points = [p if isinstance(p, tuple) else (p,) for p in (*row.points, *always)]
    for params in row.variants:
        for point in points:
            _continues(row, np.array(point, float), dict(params))


def _continues(row: Elementwise, point: np.ndarray, params: dict[str, Any]) -> None:
    active = [i for i in range(len(point)) if row.states is None or row.states[i] is None]
    scale = np.zeros(len(point))
    scale[active] = np.maximum(1.0, np.abs(point[active]))
    is_inside = bool(np.isfinite(point).all())
    signs = [(s, *(s * t for _ in point[1:])) for s in (1, -1) for t in (1, -1)]
    around = [point + h * scale * sign for h in _NEAR for sign in signs] if is_inside else []
    xs = list(np.array([point, *around]).T)
    for i, place in enumerate(row.accuracy.grid if row.accuracy is not None else ()):
        # Whole numbers that a function wants as such.
        if isinstance(place, list) and all(isinstance(n, int) for n in place):
            if not np.isfinite(xs[i]).all():
                return
            xs[i] = xs[i].astype(int)
    with np.errstate(all="ignore"):
        y = np.asarray(row.function(*xs, **params))
        if not np.isfinite(y[0]):
            return
        for name, values in _derivatives(row, xs, active, params).items():
            limit = _limit(values[1:], y[1:])
            if limit is None:
                # At an infinity of its only argument a function with a value has levelled off.
                wrong = np.isnan(values[0]) and not is_inside and len(point) == 1
            else:
                wrong = not abs(values[0] - limit[0]) <= limit[1]
            if wrong:
                where = "" if limit is None else f", around it {limit[0]:.6g}"
                what = f"{name} is {values[0]:.6g} at {', '.join(map(str, point.tolist()))}{where}"
                fail(
                    row.name,
                    what,
                    "the function has a value there",
                    "Write the formula for this point apart, or state kinks=",
                )


def _derivatives(
    row: Elementwise, xs: list[np.ndarray], active: list[int], params: dict[str, Any]
) -> dict[str, np.ndarray]:
    """Return all first and second partials at points."""

    def total(chosen: list[Any]) -> Any:
        given = list(xs)
        for i, x in zip(active, chosen, strict=True):
            given[i] = x
        return np.sum(row(*given, **params))

    chosen = [xs[i] for i in active]
    table = {f"the derivative in argument {i}": g for i, g in zip(active, grad(total)(chosen), strict=True)}
    for k, i in enumerate(active):
        slopes = grad(lambda xs, k=k: np.sum(grad(total)(xs)[k]))(chosen)
        table |= {f"the second derivative in arguments {i} and {j}": h for j, h in zip(active, slopes, strict=True)}
    return table


def _limit(values: np.ndarray, y: np.ndarray) -> tuple[float, float] | None:
    """Return the limit of values around a point, those nearest last, and how far it may be off; ``None`` where there is none."""
    known = np.isfinite(values) & np.isfinite(y)
    far, near = (values[part][known[part]] for part in (slice(0, len(values) // 2), slice(len(values) // 2, None)))
    if not len(near) or not len(far):
        return None
    limit = float(np.mean(near))
    spread = float(np.ptp(np.append(near, far)))
    return (limit, 10 * spread + 1e-6 * max(1.0, abs(limit))) if spread <= 1e-2 * max(1.0, abs(limit)) else None
