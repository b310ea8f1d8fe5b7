"""Matrices and diagonals by products with unit directions, a block of them at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from hessian.linalg.limits import block_columns

Product = Callable[[np.ndarray], np.ndarray]


def unit_rows(n: int, length: int, dtype: np.dtype) -> Iterator[tuple[int, np.ndarray]]:
    """Yield the rows of the identity of order n in blocks of at most ``length``, with the position of each block's first."""
    for start in range(0, n, length):
        stop = min(start + length, n)
        block = np.zeros((stop - start, n), dtype)
        block[np.arange(stop - start), np.arange(start, stop)] = 1.0
        yield start, block


def columns(product: Product, n: int, dtype: np.dtype) -> Iterator[tuple[int, np.ndarray]]:
    """Yield the columns of an operator of order n in blocks, with the position of each block's first, by n products."""
    for start, units in unit_rows(n, block_columns(n), dtype):
        yield start, product(units.T)


def matrix(product: Product, n: int, dtype: np.dtype) -> np.ndarray:
    """Return the matrix of an operator of order n."""
    found = np.empty((n, n), dtype)
    for start, block in columns(product, n, dtype):
        found[:, start : start + block.shape[1]] = block
    return found


def diagonal(product: Product, n: int, dtype: np.dtype) -> np.ndarray:
    """Return the diagonal of an operator of order n, of which a block of columns is held at a time."""
    found = np.empty(n, dtype)
    for start, block in columns(product, n, dtype):
        stop = start + block.shape[1]
        found[start:stop] = np.diag(block[start:stop])
    return found
