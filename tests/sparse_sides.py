"""What a Hessian would hold if choices had gone the other way: the reference for patterns that count all sides of a choice.

A program is run again with the decisions that Python took, and with ``where``, ``maximum``, ``clip`` and their like replaced by choices
at random (each side is taken somewhere), or by weighted sums of all sides (values that are chosen from meet where the result is used).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from differential.check import _matrix
from differential.machines import Plain
from differential.programs import Program
from differential.steps import CHANGES
from sparse_walk import ROUNDING, leaf_order

import hessian as hs


class Sides:
    """NumPy with other choices, the same ones whenever the shapes are."""

    def __init__(self, trial: int, mixed: bool) -> None:
        self.trial, self.mixed = trial, mixed

    def __getattr__(self, name: str) -> Any:
        return getattr(np, name)

    def _between(self, *sides: Any) -> Any:
        shape = np.broadcast_shapes(*map(np.shape, sides))
        rng = np.random.default_rng([self.trial, len(shape), *shape])
        if self.mixed:
            return sum(rng.uniform(0.2, 0.8, shape) * side for side in sides)
        chosen, result = rng.integers(len(sides), size=shape), sides[0]
        for k in range(1, len(sides)):
            result = np.where(chosen == k, sides[k], result)
        return result

    def where(self, condition: Any, x: Any, y: Any) -> Any:
        """Choose at random unless a constant decides."""
        if type(condition) in (np.ndarray, bool, np.bool_):
            return np.where(condition, x, y)
        return self._between(*(np.asarray(side) if isinstance(side, list) else side for side in (x, y)))

    def select(self, conditions: Any, choices: Any, default: Any) -> Any:
        """See :meth:`where`."""
        return self.where(conditions[0], _array(choices[0]), default)

    def maximum(self, x: Any, y: Any) -> Any:
        """Choose at random."""
        return self._between(_array(x), _array(y))

    minimum = maximum

    def clip(self, x: Any, low: Any, high: Any) -> Any:
        """Choose at random."""
        return self._between(x, low, high)

    def max(self, x: Any, axis: int | None = None, keepdims: bool = False) -> Any:
        """Take elements at random, or a weighted sum."""
        rng = np.random.default_rng([self.trial, *x.shape])
        if not x.size:
            return np.max(x, axis=axis, keepdims=keepdims)
        weights = rng.uniform(0.2, 0.8, x.shape)
        if not self.mixed:
            weights = np.equal(weights, np.max(weights, axis=axis, keepdims=True)).astype(float)
        return np.sum(x * weights, axis=axis, keepdims=keepdims)

    min = max


def _array(x: Any) -> Any:
    return np.stack(list(x)) if isinstance(x, list | tuple) else x


class Decided(Plain):
    """A machine that writes down what Python decides, or decides the same again, with other choices."""

    def __init__(self, decisions: list[bool], sides: Sides | None = None) -> None:
        super().__init__(library=True)
        self.decisions, self.sides, self.at = decisions, sides, 0

    def make(self, f: Callable[..., Any], *args: Any) -> Any:
        """See :class:`Plain`."""
        return f(np if self.sides is None else self.sides, *args)

    def change(self, act: Callable[..., Any], value: Callable[..., Any], x: Any, *args: Any) -> Any:
        """See :class:`Plain`."""
        if self.sides is not None and act is CHANGES[8][0] and np.ndim(x):
            x[...] = value(self.sides, x, *args)
            return x
        return act(x, *args)

    def decide(self, predicate: Callable[[Any], Any], x: Any) -> bool:
        """See :class:`Plain`."""
        if self.sides is None:
            self.decisions.append(bool(predicate(x)))
            return self.decisions[-1]
        self.at += 1
        return self.decisions[(self.at - 1) % len(self.decisions)]


def other_sides(program: Program, which: int, mixed: bool, trials: int = 12) -> Iterator[np.ndarray]:
    """Yield where the Hessian has entries with other choices, near a point of a program."""
    order, x = leaf_order(program), program.draw(which)
    decisions: list[bool] = []
    program.run(Decided(decisions), program.parameters.leaves(program.pack(x)), program.pack(x))
    for trial in range(trials):
        machine = Decided(decisions, Sides(trial, mixed))

        def f(p: Any, machine: Decided = machine) -> Any:
            machine.at = 0
            return program.run(machine, program.parameters.leaves(p), p)

        for scale in (0.0, 0.3, 0.6):
            y = x + scale * np.random.default_rng([program.seed, trial]).standard_normal(len(x))
            try:
                dense = _matrix(program, hs.hessian(f)(program.pack(y)))[np.ix_(order, order)]
            except Exception:
                continue  # what is decided here is not what NumPy can do there
            if math.isfinite(size := float(np.abs(dense).max(initial=0.0))):
                yield np.abs(dense) > ROUNDING * size


def looseness(program: Program, inside: np.ndarray, true: np.ndarray, points: int = 3) -> str:
    """Tell why a pattern has entries that no derivative fills: whether other choices would."""
    for word, mixed in (("another side", False), ("sides that meet", True)):
        for which in range(points):
            for more in other_sides(program, which, mixed):
                true = true | more
                if not (inside & ~true).any():
                    return word
    return "else"
