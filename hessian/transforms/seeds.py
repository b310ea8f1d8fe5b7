"""Blocks of directions, which are swept together, and blocks of matrices, which go into containers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from hessian.errors import TooDenseError, message
from hessian.linalg import limits
from hessian.tape.tape import Tape
from hessian.tape.trees import Structure


def block_length(tape: Tape, count: int) -> int:
    """Return how many directions to sweep at once: as many as fit the element budget of the largest slot."""
    largest = max((int(np.size(v)) for v in tape.values), default=1)
    return max(1, min(count, limits.block_columns(largest, limits.SWEEP_NUMBERS)))


def check_room(where: str, rows: int, columns: int, dtype: np.dtype, max_bytes: int | None, sparse: str) -> None:
    """Refuse a dense matrix that takes more memory than is allowed, and name what does not.

    Raises
    ------
    TooDenseError
    """
    most = limits.MATRIX_BYTES if max_bytes is None else max_bytes
    if rows * columns * dtype.itemsize > most:
        what = f"the dense matrix of shape ({rows}, {columns}) takes {rows * columns * dtype.itemsize / 2**30:.3g} GiB"
        why = f"max_bytes allows {most / 2**30:.3g}"
        fix = f"Use {sparse}, products with an operator (H @ v, H.solve), or pass max_bytes="
        raise TooDenseError(message(where, what, why, fix))


def blocks_of(
    matrix: Any,
    row_shapes: Sequence[tuple[int, ...]],
    column_shapes: Sequence[tuple[int, ...]],
    rows: Structure,
    columns: Structure,
) -> Any:
    """Cut a matrix into blocks of shape row + column and put them into the structure of rows, then of columns."""
    row_parts, top = [], 0
    for row_shape in row_shapes:
        height = math.prod(row_shape)
        band, left, parts = matrix[top : top + height], 0, []
        for column_shape in column_shapes:
            width = math.prod(column_shape)
            block = band[:, left : left + width].reshape(row_shape + column_shape)
            parts.append(block[()] if type(block) is np.ndarray else block)  # a number where NumPy has one
            left += width
        row_parts.append(columns.build(parts))
        top += height
    return rows.build(row_parts)
