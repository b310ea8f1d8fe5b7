"""Blocks of directions, which are swept together, and blocks of matrices, which go into containers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from hessian.errors import TooDenseError, message
from hessian.linalg import limits
from hessian.rules.pairs import joined
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
    *,
    real: bool = False,
) -> Any:
    """Cut a matrix into blocks of shape row + column and put them into the structure of rows, then of columns.

    Where one of the two is complex, so is the block: ``Re + i Im`` of results, ``∂/∂Re + i ∂/∂Im`` of arguments. Where both are, or all
    is to be ``real``, complex ones have a first axis of length two, of real and imaginary part.
    """
    row_groups, column_groups = arrays_of(rows, row_shapes), arrays_of(columns, column_shapes)
    row_parts, top = [], 0
    for row_shape, row_pair in row_groups:
        height = math.prod(row_shape)
        band, left, parts = matrix[top : top + height], 0, []
        for column_shape, column_pair in column_groups:
            width = math.prod(column_shape)
            block = band[:, left : left + width].reshape(row_shape + column_shape)
            if row_pair is not column_pair and not real:
                block = joined(*(np.take(block, i, axis=0 if row_pair else len(row_shape)) for i in (0, 1)))
            parts.append(block[()] if type(block) is np.ndarray else block)  # a number where NumPy has one
            left += width
        row_parts.append(columns.of_numbers().build(parts))
        top += height
    return rows.of_numbers().build(row_parts)


def arrays_of(structure: Structure, shapes: Sequence[tuple[int, ...]]) -> list[tuple[tuple[int, ...], bool]]:
    """Return shapes of arrays, and whether they are complex: these have an axis for their two parts, which follow each other."""
    given, groups = iter(shapes), []
    for is_pair in structure.pairs():
        shape = next(given)
        if is_pair:
            next(given)
        groups.append(((2, *shape) if is_pair else shape, is_pair))
    return groups
