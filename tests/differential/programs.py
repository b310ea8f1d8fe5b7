"""Random programs by seed: parameters in a container, steps, and the sum of what is there at the end."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from random_operations import fixed

from differential import sequences
from differential.machines import Items, Jax, Plain
from differential.steps import ON_VALUES

#: Values of more elements or axes are dropped, so that programs stay small.
LARGEST, AXES = 30, 4

_ON_SEQUENCES = {"made": sequences.made, "put": sequences.put, "used": sequences.used}
_WEIGHTS = dict.fromkeys(ON_VALUES, 1.0) | {"made": 6.0, "put": 1.5, "used": 7.0}
_WEIGHTS |= {"more": 8.0, "view": 12.0, "changed": 14.0, "set_elements": 10.0, "predicated": 4.0, "branched": 3.0}
_WEIGHTS |= {"checkpointed": 6.0, "checkpointed_dictionary": 2.0, "gradient": 2.0, "refused": 3.0, "wrong": 0.5}


@dataclass(frozen=True)
class Point:
    """Parameters in a container: ``build`` makes them of arrays and numbers of given shapes, ``leaves`` finds these again."""

    shapes: tuple[tuple[int, ...], ...]
    build: Callable[[list[Any]], Any]
    leaves: Callable[[Any], list[Any]]
    order: str = "C"


def _same(p: Any) -> list[Any]:
    return list(p)


CONTAINERS: dict[str, Point] = {
    "vector": Point(((5,),), lambda z: z[0], lambda p: [p]),
    "matrix": Point(((3, 2),), lambda z: z[0], lambda p: [p]),
    "matrix in F": Point(((2, 3),), lambda z: z[0], lambda p: [p], "F"),
    "square": Point(((3, 3),), lambda z: z[0], lambda p: [p]),
    "number": Point(((),), lambda z: z[0], lambda p: [p]),
    "list of numbers": Point(((), (), ()), list, _same),
    "tuple of numbers": Point(((), (), (), ()), tuple, _same),
    "list of arrays": Point(((2,), (2, 2)), list, _same),
    "number and array": Point(((), (4,)), list, _same),
    "dict": Point(((2, 2), (3,)), lambda z: {"a": z[0], "b": z[1]}, lambda p: [p["a"], p["b"]]),
    "nested": Point(
        ((), (3,), (), (1, 2)),
        lambda z: {"layers": [{"w": z[1]}, (z[0], z[3])], "rate": z[2]},
        lambda p: [p["layers"][1][0], p["layers"][0]["w"], p["rate"], p["layers"][1][1]],
    ),
}


class Program:
    """A random function of a container of parameters."""

    def __init__(self, seed: int, container: str, steps: list[tuple[str, int, int, int]]) -> None:
        self.seed, self.container, self.steps = seed, container, steps
        self.parameters = CONTAINERS[container]

    @classmethod
    def of(cls, seed: int) -> Program:
        """Draw a program."""
        rng = np.random.default_rng([9, seed])
        names = list(_WEIGHTS)
        weights = np.array([_WEIGHTS[name] for name in names])
        chosen = rng.choice(len(names), int(rng.integers(3, 13)), p=weights / weights.sum())
        steps = [(names[i], *map(int, rng.integers(0, [6, 6, 420]))) for i in chosen]
        return cls(seed, str(rng.choice(list(CONTAINERS))), steps)

    def __repr__(self) -> str:
        return f"Program({self.seed}, {self.container!r}, {self.steps})"

    def smaller(self) -> Iterator[Program]:
        """Return the programs with a step less."""
        for i in range(len(self.steps)):
            yield Program(self.seed, self.container, self.steps[:i] + self.steps[i + 1 :])

    def draw(self, which: int) -> np.ndarray:
        """Return a point, all numbers in a vector."""
        size = sum(int(np.prod(shape)) for shape in self.parameters.shapes)
        return 0.8 * np.random.default_rng([9, self.seed, which]).standard_normal(size)

    def cut(self, flat: Any) -> list[Any]:
        """Cut a vector into arrays and numbers."""
        sizes = [int(np.prod(shape)) for shape in self.parameters.shapes]
        ends = np.cumsum(sizes)
        return [
            flat[end - size : end].reshape(shape)
            for end, size, shape in zip(ends, sizes, self.parameters.shapes, strict=True)
        ]

    def pack(self, flat: np.ndarray) -> Any:
        """Put a vector into the container."""
        parts = [part.copy(order=self.parameters.order)[()] for part in self.cut(flat)]
        return self.parameters.build(parts)

    def unpack(self, container: Any) -> np.ndarray:
        """Return the numbers of a container in a vector."""
        return np.concatenate([np.ravel(leaf) for leaf in self.parameters.leaves(container)])

    def function(self, library: bool) -> Callable[[Any], Any]:
        """Return the function of the container in plain NumPy."""
        machine = Plain(library)
        return lambda p: self.run(machine, self.parameters.leaves(p), p)

    def with_jax(self, at: np.ndarray) -> Callable[[Any], Any]:
        """Return the function of a vector in JAX, near a point: branches go where they go there."""
        import jax.numpy as jnp

        shadows = self.parameters.leaves(self.pack(at))

        def f(flat: Any) -> Any:
            machine = Jax()
            parts = [
                machine.value(np.copy(shadow, order="K")[()], lambda part=part: part)
                for shadow, part in zip(shadows, self.cut(jnp.asarray(flat)), strict=True)
            ]
            whole = Items(self.container.split()[0], parts) if self.is_list_of_numbers else None
            return self.run(machine, parts, whole).read()

        return f

    @property
    def is_list_of_numbers(self) -> bool:
        """Whether the parameters are a sequence that NumPy makes an array of."""
        return self.container.endswith("of numbers")

    def run(self, m: Any, values: list[Any], p: Any) -> Any:
        """Run the steps on a machine and sum up what is there."""
        values = list(values)
        lists = [p] if self.is_list_of_numbers else []
        for name, a, b, k in self.steps:
            i, y = -1 - a % len(values), values[-1 - b % len(values)]
            x = values[i]
            on_lists = name in _ON_SEQUENCES
            made = self._on_sequences(m, name, lists, x, k) if on_lists else ON_VALUES[name](m, x, y, k)
            if name in ("changed", "set_elements"):
                values[i] = made
            elif made is not None and made.size <= LARGEST and made.ndim <= AXES:
                values.append(made)
        return self._total(m, values, lists)

    @staticmethod
    def _on_sequences(m: Any, name: str, lists: list[Any], x: Any, k: int) -> Any:
        if name == "made" or not lists:
            lists.append(sequences.made(m, x, x, k))
            return None
        return _ON_SEQUENCES[name](m, lists[-1 - k // 50 % len(lists)], x, k)

    @staticmethod
    def _total(m: Any, values: list[Any], lists: list[Any]) -> Any:
        total = 0.0
        for k, value in enumerate(values):
            total = m.make(lambda xp, t, v, k=k: t + xp.sum(fixed(v.shape, k + 3) * xp.sin(v)), total, value)
        for s in lists:
            total = m.make(lambda xp, t, s: t + (sum(item * item for item in s)), total, s)
        return total
