"""Regular colorings of patterns that live on a line or a plane: colors repeat along every axis.

A color is a remainder of a sum of multiples of the coordinates. Candidates are tried on a small part of the pattern, the fewest colors
first, and the first that holds there is held against all of it: nothing is taken on trust.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
from scipy.sparse import csr_array

Check = Callable[[csr_array, np.ndarray], bool]
_OFFSETS = 96
_PERIOD = 32
_PLANE_COLORS = 13
_TRIES = 4
"""Candidates that held on the part and not on the whole before it is given up."""


def lattice_colors(matrix: csr_array, check: Check) -> np.ndarray | None:
    """Return a regular coloring that passes a check, with few colors; ``None`` where there is none."""
    n = matrix.shape[1]
    offsets = _offsets(matrix)
    if offsets is None:
        return None
    found = []
    reach = int(offsets.max(initial=0))
    if reach <= _PERIOD:
        numbers = np.arange(n)
        periods = ((p, numbers % p) for p in range(1, 2 * reach + 2))
        found.append(_first(matrix, _part(matrix, np.arange(min(n, 16 * (reach + 1)))), periods, check))
    for width in _widths(offsets, n):
        row, column = np.divmod(np.arange(n), width)
        inside = np.flatnonzero((row < 12) & (column < 12))
        forms = ((p, (a * row + b * column) % p) for p, a, b in _forms())
        found.append(_first(matrix, _part(matrix, inside), forms, check))
    good = [colors for colors in found if colors is not None]
    return min(good, key=lambda colors: int(colors.max())) if good else None


def _offsets(matrix: csr_array) -> np.ndarray | None:
    """Return how far columns are from rows, each distance once; ``None`` if there are many."""
    n = max(matrix.shape)
    rows = np.repeat(np.arange(matrix.shape[0]), np.diff(matrix.indptr))
    distances = np.flatnonzero(np.bincount(np.abs(matrix.indices - rows), minlength=n))
    return distances if len(distances) <= _OFFSETS else None


def _widths(offsets: np.ndarray, n: int) -> list[int]:
    """Return how wide a plane may be whose rows follow one another."""
    near = {int(d) + shift for d in offsets for shift in (-2, -1, 0, 1, 2)}
    return [width for width in sorted(near) if width >= 4 and n % width == 0 and n // width >= 4][:8]


def _forms() -> Iterator[tuple[int, int, int]]:
    for p in range(2, _PLANE_COLORS + 1):
        for a in range(p):
            for b in range(a, p):
                yield p, a, b
                if a != b:
                    yield p, b, a


def _part(matrix: csr_array, inside: np.ndarray) -> tuple[csr_array, np.ndarray]:
    rows = inside[inside < matrix.shape[0]]
    part = csr_array(matrix[rows][:, inside])
    part.sort_indices()
    return part, inside


def _first(
    matrix: csr_array,
    part: tuple[csr_array, np.ndarray],
    candidates: Iterator[tuple[int, np.ndarray]],
    check: Check,
) -> np.ndarray | None:
    """Return the first candidate that holds on the part and on the whole."""
    small, inside = part
    tries = 0
    for _, colors in candidates:
        if check(small, colors[inside]):
            if check(matrix, colors):
                return colors
            tries += 1
            if tries >= _TRIES:
                return None
    return None
