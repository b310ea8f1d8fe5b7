"""Functions of rows of data, and their Jacobians for a few rows at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from hessian.operators.jacobian_operator import JacobianOperator

ROWS = 16
"""Rows whose Jacobians are computed together: an evaluation costs some of them, and each has a sweep over all of these."""


def has_rows(args: tuple[Any, ...], size: int) -> bool:
    """Whether every argument is an array of so many rows, and there is one."""
    return bool(args) and all(isinstance(a, np.ndarray) and a.ndim > 0 and len(a) == size for a in args)


def blocks_of_rows(
    f: Callable[..., Any], x: Any, args: tuple[Any, ...], shape: tuple[int, ...], block: int = ROWS
) -> Iterator[tuple[slice, JacobianOperator | None]]:
    """Yield blocks of rows and the Jacobian of f for each; ``None`` where f fails on them, or has not so many outputs of ``shape[1:]``."""
    for start in range(0, shape[0], block):
        part = slice(start, min(start + block, shape[0]))
        try:
            found = JacobianOperator(f, x, *(a[part] for a in args))
        except Exception:  # What fails on some of the rows is not a function of single rows.
            yield part, None
            continue
        is_one = np.shape(found.value) == (part.stop - part.start, *shape[1:])
        yield part, found if is_one else None
