"""Blocks of directions, which are swept together, and blocks of matrices, which go into containers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from hessian.linalg import limits
from hessian.tape.tape import Tape
from hessian.tape.trees import Structure


def block_length(tape: Tape, count: int) -> int:
    """Return how many directions to sweep at once: as many as fit the element budget of the largest slot."""
    largest = max((int(np.size(v)) for v in tape.values), default=1)
    return max(1, min(count, limits.block_columns(largest, limits.SWEEP_NUMBERS)))


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
