"""``np.vectorize`` of functions of numbers, called with traced arrays: one call per element, as NumPy makes them."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from hessian.rules.memory import lying_like, numbered
from hessian.rules.traced import Traced, entered, holds_traced
from hessian.tape.blank import unwrapped


def called_by_elements(vectorized: Any, *args: Any, **keywords: Any) -> Any:
    """Return what a :class:`numpy.vectorize` without a signature gives: broadcast arrays of its function's results."""
    given: dict[Any, Any] = {**dict(enumerate(args)), **keywords}
    spread = {name: entered(unwrapped(x)) for name, x in given.items() if name not in vectorized.excluded}
    spread = {name: x if isinstance(x, Traced) else np.asarray(x) for name, x in spread.items()}
    shape = np.broadcast_shapes(*(x.shape for x in spread.values()))
    arrays = {name: np.broadcast_to(x, shape) for name, x in spread.items()}
    if not math.prod(shape):
        # NumPy's own error, or an array of the declared types.
        return np.vectorize(vectorized.pyfunc, otypes=vectorized.otypes)(*map(np.zeros, [shape] * len(spread)))
    # NumPy's results lie in memory as its operands do.
    like = np.frompyfunc(lambda *_: 0, len(spread), 1)(*map(numbered, spread.values()))
    results: list[Any] = []
    for index in np.ndindex(shape):
        numbers = given | {name: _number(x[index]) for name, x in arrays.items()}
        positional = [numbers.pop(place) for place in range(len(args))]
        results.append(vectorized.pyfunc(*positional, **numbers))
    if isinstance(results[0], tuple):
        columns = list(zip(*results, strict=True))
        return tuple(_joined(list(column), like, vectorized.otypes, i) for i, column in enumerate(columns))
    return _joined(results, like, vectorized.otypes, 0)


def _number(x: Any) -> Any:
    """Return an element as NumPy hands it over: a number of Python's where nothing is traced."""
    return x if isinstance(x, Traced) else x.item()


def _joined(results: list[Any], like: Any, otypes: Any, place: int) -> Any:
    """Return one array of the results, of the declared type or, as in NumPy, of that of the first of them."""
    first = results[0]
    dtype = np.dtype(otypes[place]) if otypes else first.dtype if isinstance(first, Traced) else np.asarray(first).dtype
    if not holds_traced(results):
        return np.asarray(results, dtype).reshape(np.shape(like))
    joined = lying_like(np.reshape(entered(results), np.shape(like)), like)
    return joined if joined.dtype == dtype else joined.astype(dtype)
