"""Blocks of unit directions: how dense derivative matrices are swept out a few rows at a time."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from hessian.tape.tape import Tape
from hessian.tape.trees import Structure, join_vector, split_vector

# Elements in the largest array of a block of tangents. 2**14 doubles (128 KiB) stay below the size from which the C allocator
# maps fresh pages for every array, which costs more than the arithmetic: twice as long a block took 1.5 to 4 times the time
# on networks of 354 and 2410 parameters.
_BLOCK_ELEMENTS = 2**14


def block_length(tape: Tape, count: int) -> int:
    """Return how many directions to sweep at once: as many as fit the element budget of the largest slot."""
    largest = max((int(np.size(v)) for v in tape.values), default=1)
    return max(1, min(count, _BLOCK_ELEMENTS // max(largest, 1)))


def unit_blocks(count: int, length: int, dtype: np.dtype) -> Iterator[np.ndarray]:
    """Yield the rows of the identity of order ``count`` in blocks of at most ``length``."""
    for start in range(0, count, length):
        stop = min(start + length, count)
        block = np.zeros((stop - start, count), dtype)
        block[np.arange(stop - start), np.arange(start, stop)] = 1.0
        yield block


def sweep_rows(
    sweep: Callable[[list[Any]], list[Any]],
    seed_shapes: Sequence[tuple[int, ...]],
    length: int,
    dtype: np.dtype,
) -> Any:
    """Apply a batched linear map to every unit direction of the space of ``seed_shapes``; return the rows joined.

    ``sweep`` takes and returns leaves with one batch axis.
    """
    count = sum(math.prod(shape) for shape in seed_shapes)
    rows = []
    for block in unit_blocks(count, length, dtype):
        rows.append(join_vector(sweep(split_vector(block, seed_shapes, batch=1)), batch=1))
    if not rows:
        return join_vector(sweep(split_vector(np.zeros((0, 0), dtype), seed_shapes, batch=1)), batch=1)
    return rows[0] if len(rows) == 1 else np.concatenate(rows, axis=0)


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
