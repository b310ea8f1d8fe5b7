"""Calls that rules are tried on: those that the rows declare, with arguments drawn for them."""

from __future__ import annotations

import math
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from hessian.rules.dispatch import DISPATCH, Entry
from hessian.rules.operation import MISSING, NONDIFF, OPERATIONS, Operation
from hessian.rules.samples import Case, Sample, within
from hessian.rules.spec import Elementwise, Nondifferentiable

_SHAPES: dict[int, list[tuple[tuple[int, ...], ...]]] = {
    1: [((3, 4),), ((),), ((0, 3),)],
    2: [((3, 4), (3, 4)), ((4,), (3, 4)), ((3, 1), (1, 4)), ((3,), ()), ((0, 3), (3,))],
}


@dataclass(frozen=True)
class Trial:
    """One call of one callable.

    Attributes
    ----------
    name : str
    target : callable
        What is called on traced values.
    case : Case
        Its arguments.
    plain : callable
        The function whose values it has.
    analytic : callable or None
        That function for complex numbers; ``None`` where there is none.
    row : Operation or None
        The row that the target is, where it is one.
    domains : tuple of (low, high)
        Where arrays are drawn, one after the other; the rest from ``domain``.
    """

    name: str
    target: Callable[..., Any]
    case: Case
    plain: Callable[..., Any]
    analytic: Callable[..., Any] | None
    row: Operation | None = None
    domains: Sequence[tuple[float, float]] = ()
    domain: tuple[float, float] = (-2.0, 2.0)

    def __str__(self) -> str:
        shapes = [x.shape if isinstance(x, Sample) else _brief(x) for x in self.case.args]
        keywords = "".join(f",{k}={_brief(v)}" for k, v in self.case.kwargs.items())
        return f"{self.name}({','.join(map(str, shapes))}{keywords})".replace(" ", "")

    @property
    def differentiable(self) -> bool:
        """Whether there is a derivative to be tried."""
        return not isinstance(self.row, Nondifferentiable)

    def rng(self, salt: int = 0) -> np.random.Generator:
        """Seed by the name of the trial, so that adding a row changes no other trial."""
        return np.random.default_rng([zlib.crc32(str(self).encode()), salt])

    def arguments(self) -> tuple[list[Any], list[np.ndarray]]:
        """Draw the call's positional arguments; second, the arrays among them, in order."""
        rng, domains, arrays = self.rng(), iter(self.domains), []

        def draw(x: Any) -> Any:
            if _holds_samples(x):
                return [draw(item) for item in x]
            if isinstance(x, Sample):
                arrays.append(x.draw(rng, next(domains, self.domain)))
                return arrays[-1]
            return x

        return [draw(x) for x in self.case.args], arrays

    def function(self, target: Callable[..., Any]) -> Callable[[list[Any]], Any]:
        """Return a call of ``target`` as a function of a list of its arrays, the result raveled into one vector."""

        def place(x: Any, arrays: Iterator[Any]) -> Any:
            if _holds_samples(x):
                return [place(item, arrays) for item in x]
            return next(arrays) if isinstance(x, Sample) else x

        def call(arrays: list[Any]) -> Any:
            supply = iter(arrays)
            return joined(target(*[place(x, supply) for x in self.case.args], **self.case.kwargs))

        return call

    def tangents(self, arrays: Sequence[np.ndarray], salt: int = 1) -> list[np.ndarray]:
        """Draw a tangent for each array."""
        rng = self.rng(salt)
        return [rng.uniform(-1, 1, a.shape) for a in arrays]

    def weighted(self) -> tuple[Callable[[Any], Any], list[np.ndarray]]:
        """Return a scalar function that sees the result nonlinearly, so that every second derivative counts, and its arrays."""
        _, arrays = self.arguments()
        call = self.function(self.target)
        weight = self.rng(3).uniform(0.5, 1.5, call(arrays).shape)

        def f(xs: Any) -> Any:
            y = call(xs)
            return np.sum(weight * y) + 0.5 * np.sum(y * y)

        return f, arrays


def _holds_samples(x: Any) -> bool:
    return isinstance(x, list) and any(isinstance(item, Sample) for item in x)


def _brief(x: Any) -> str:
    if _holds_samples(x):
        return "+".join(str(item.shape) for item in x)
    if isinstance(x, np.ndarray) and x.dtype.kind == "f":
        return f"constant{x.shape}".replace(" ", "")
    return getattr(x, "__name__", None) or repr(x).replace("\n", "")


def joined(result: Any) -> Any:
    """Ravel a result (an array, or a sequence of results) into one vector."""
    if isinstance(result, list | tuple):
        return np.concatenate([joined(r) for r in result])
    return np.ravel(result)


def trials_of_row(row: Operation, cases: Iterable[Case] = ()) -> list[Trial]:
    """Return trials of a row by itself."""
    analytic = None if row.real_only else row.analytic or row.function
    return [
        Trial(row.name, row, case, row.function, analytic, row, getattr(row, "domain", ()))
        for case in [*cases, *row.cases] or _cases_by_arity(row)
    ]


def trials_of_entry(entry: Entry) -> list[Trial]:
    """Return trials of a NumPy or SciPy callable."""
    plain, row = entry.plain or entry.target, entry.row
    analytic = None if entry.real_only else entry.analytic or entry.target
    domains = getattr(row, "domain", ()) if entry.call is row else ()
    cases = entry.cases or (_cases_by_arity(row) if entry.call is row else ())
    return [Trial(entry.name, entry.target, case, plain, analytic, row, domains, entry.domain) for case in cases]


def _cases_by_arity(row: Operation | None) -> list[Case]:
    """Return calls of an elementwise function of numbers, on arrays that broadcast."""
    if not isinstance(row, Elementwise):
        return []
    count = len(row.d1)
    shapes = _SHAPES.get(count, [((3, 4),) * count, ((4,), *((3, 4),) * (count - 1))])
    states = row.states or (None,) * count

    def draw(shape: tuple[int, ...], state: Any, ends: tuple[float, float]) -> Any:
        if state is MISSING:
            return np.random.default_rng(0).uniform(*within(ends), shape)
        return np.arange(math.prod(shape)).reshape(shape) % 2 == 0 if state is NONDIFF else Sample(shape)

    return [Case(tuple(map(draw, given, states, row.domain)), dict(row.variants[0])) for given in shapes]


def every_trial() -> list[Trial]:
    """Return trials of every callable that is dispatched, and of rows that no callable reaches by itself."""
    exposed = {entry.row for entry in DISPATCH.values()}
    trials = [trial for entry in DISPATCH.values() if not entry.untested for trial in trials_of_entry(entry)]
    rows = [row for row in OPERATIONS.values() if row.cases and row not in exposed]
    return trials + [trial for row in rows for trial in trials_of_row(row)]
