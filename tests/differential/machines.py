"""What runs a program: NumPy itself, seen by the library or not, and JAX.

JAX's arrays are never written to, so :class:`Jax` models memory: it runs the program in plain NumPy beside, asks NumPy which bytes an
array lies in, and keeps for every piece of memory a flat array of JAX that it reads and writes through indices. What aliases what is
therefore NumPy's word, and the library has no part in the reference.
"""

from __future__ import annotations

from collections import UserList, deque
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

import hessian as hs

#: What an invalid call may raise.
INVALID = (ValueError, TypeError, IndexError)


class Series:
    """What a column of a table is to NumPy: something that turns into an array of objects."""

    def __init__(self, items: Sequence[Any]) -> None:
        self.items = list(items)

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, i: int) -> Any:
        return self.items[i]

    def __array__(self, dtype: Any = None, copy: Any = None) -> np.ndarray:
        return objects(self.items)


def objects(items: Sequence[Any]) -> np.ndarray:
    """Put numbers into an array: of objects where some of them are traced, for which NumPy has no dtype."""
    if all(type(item) in (float, np.float64) for item in items):
        return np.array(items)
    out = np.empty(len(items), object)
    for i, item in enumerate(items):
        out[i] = item
    return out


KINDS: dict[str, Callable[[Sequence[Any]], Any]] = {
    "list": list,
    "tuple": tuple,
    "deque": deque,
    "UserList": UserList,
    "Series": Series,
    "objects": objects,
    "array": lambda items: np.array(list(items)),
}


class Plain:
    """NumPy as it is written. ``library`` says whether checkpoints and inner gradients are the library's, or left out."""

    def __init__(self, library: bool) -> None:
        self.library = library

    def make(self, f: Callable[..., Any], *args: Any) -> Any:
        """Return ``f(np, *args)``."""
        return f(np, *args)

    def change(self, act: Callable[..., Any], value: Callable[..., Any], x: Any, *args: Any) -> Any:
        """Change x in place by ``act(x, *args)`` and return what x is called afterwards; ``value`` says it without writing."""
        return act(x, *args)

    def decide(self, predicate: Callable[[Any], Any], x: Any) -> bool:
        """Return what a predicate says of a value."""
        return bool(predicate(x))

    def sequence(self, kind: str, items: Sequence[Any]) -> Any:
        """Return a container of numbers."""
        return KINDS[kind](items)

    def put(self, s: Any, i: int, item: Any) -> None:
        """Change an entry of a list."""
        s[i] = item

    def checkpoint(self, f: Callable[..., Any], *args: Any) -> Any:
        """Call f, which computes with this machine, checkpointed."""
        return hs.checkpoint(f)(*args) if self.library else f(*args)

    def gradient(self, inner: Callable[..., Any], closed: Callable[..., Any], t: Any, *args: Any) -> Any:
        """Return the gradient of ``inner(t, *args)``; ``closed(xp, t, *args)`` is its closed form."""
        return hs.grad(inner)(t, *args) if self.library else closed(np, t, *args)


class Memory:
    """The numbers of a piece of NumPy's memory, as a flat array of JAX."""

    def __init__(self, owner: np.ndarray) -> None:
        self.owner = owner
        self.low, high = np.lib.array_utils.byte_bounds(owner)
        self.places = np.arange((high - self.low) // owner.itemsize)
        self.flat: Any = None

    def index(self, window: np.ndarray) -> np.ndarray:
        """Return where the elements of a window lie."""
        start = (window.__array_interface__["data"][0] - self.low) // window.itemsize
        return np.lib.stride_tricks.as_strided(self.places[start:], window.shape, window.strides).copy()


class Value:
    """A value of JAX beside the one that NumPy has; arrays with elements lie in a memory."""

    def __init__(self, shadow: Any, memory: Memory | None, value: Any) -> None:
        self.shadow, self.memory, self.value = shadow, memory, value
        self.shape, self.ndim, self.size = np.shape(shadow), np.ndim(shadow), np.size(shadow)

    def read(self) -> Any:
        """Return the value of now."""
        return self.value if self.memory is None else self.memory.flat[self.memory.index(self.shadow)]

    def write(self, value: Any) -> None:
        """Let the elements be another value's."""
        if self.memory is not None:
            self.memory.flat = self.memory.flat.at[self.memory.index(self.shadow)].set(value)


class Items:
    """A container of numbers."""

    def __init__(self, kind: str, items: Sequence[Any]) -> None:
        self.kind, self.items = kind, list(items)

    def __len__(self) -> int:
        return len(self.items)

    @property
    def shadow(self) -> Any:
        """The container that NumPy has."""
        return KINDS[self.kind]([_shadow(item) for item in self.items])


def _shadow(x: Any) -> Any:
    return x.shadow if isinstance(x, Value | Items) else x


class Jax:
    """The same program in JAX."""

    def __init__(self) -> None:
        import jax.numpy as jnp

        self.np = jnp
        self.memories: list[Memory] = []

    def _read(self, x: Any) -> Any:
        if isinstance(x, Items):
            return self.np.stack([self.np.asarray(self._read(item), float) for item in x.items])
        return x.read() if isinstance(x, Value) else x

    def value(self, shadow: Any, compute: Callable[[], Any]) -> Value:
        """Return a value: a window of memory that is known, or new memory for what ``compute`` returns."""
        if not (isinstance(shadow, np.ndarray) and shadow.size):
            return Value(shadow, None, compute())
        for memory in self.memories:
            if np.may_share_memory(shadow, memory.owner):
                return Value(shadow, memory, None)
        made = Memory(shadow)
        made.flat = self.np.zeros(len(made.places)).at[made.index(shadow)].set(compute())
        self.memories.append(made)
        return Value(shadow, made, None)

    def make(self, f: Callable[..., Any], *args: Any) -> Any:
        """See :class:`Plain`."""
        return self.value(f(np, *map(_shadow, args)), lambda: f(self.np, *map(self._read, args)))

    def change(self, act: Callable[..., Any], value: Callable[..., Any], x: Any, *args: Any) -> Any:
        """See :class:`Plain`."""
        made = value(self.np, self._read(x), *map(self._read, args))
        shadow = act(x.shadow, *map(_shadow, args))
        if not isinstance(x.shadow, np.ndarray):
            return Value(shadow, None, made)
        x.write(made)
        return x

    def decide(self, predicate: Callable[[Any], Any], x: Any) -> bool:
        """See :class:`Plain`."""
        return bool(predicate(_shadow(x)))

    def sequence(self, kind: str, items: Sequence[Any]) -> Items:
        """See :class:`Plain`."""
        return Items(kind, items)

    def put(self, s: Items, i: int, item: Any) -> None:
        """See :class:`Plain`."""
        s.items[i] = item

    def checkpoint(self, f: Callable[..., Any], *args: Any) -> Any:
        """See :class:`Plain`."""
        return f(*args)

    def gradient(self, inner: Callable[..., Any], closed: Callable[..., Any], t: Any, *args: Any) -> Any:
        """See :class:`Plain`."""
        return self.make(closed, t, *args)
