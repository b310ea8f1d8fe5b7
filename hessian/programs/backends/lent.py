"""Memory that a caller lends for the next long result: fresh memory is zeroed page by page, which takes longer than to compute it."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

LONG = 2**15
"""Elements from which on results ask for lent memory."""
_LENT = threading.local()


@contextmanager
def lending(array: np.ndarray) -> Iterator[None]:
    """Let the next result of just this shape and type in this thread lie in an array."""
    _LENT.array = array
    try:
        yield
    finally:
        _LENT.array = None


def allocated(shape: tuple[int, ...], dtype: Any) -> np.ndarray:
    """Return memory for a result: what is lent, if it fits, or new memory."""
    array: np.ndarray | None = getattr(_LENT, "array", None)
    if array is None or array.shape != shape or array.dtype != dtype:
        return np.empty(shape, dtype)
    _LENT.array = None
    return array
