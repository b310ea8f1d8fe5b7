"""From coefficients to the entries of a sparse matrix: numbers that never change, and where the others are added, decided once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.sparse import csr_array

_SHORT = 64
"""Elements from which on a stretch is worth a call of its own."""


@dataclass(frozen=True)
class Stretch:
    """Entries at regular distances that take elements at regular distances of one array.

    Attributes
    ----------
    array : int
        Number of the array.
    source, target : slice
    sign : int
    constant : float or ndarray or None
        What is there besides; ``None`` where the entries hold something already.
    """

    array: int
    source: slice
    target: slice
    sign: int
    constant: Any

    def put(self, out: np.ndarray, flat: Sequence[np.ndarray]) -> None:
        """Enter the elements of a raveled array."""
        part, place = flat[self.array][self.source], out[self.target]
        operation = np.add if self.sign > 0 else np.subtract
        operation(place if self.constant is None else self.constant, part, out=place)


@dataclass(frozen=True)
class Scatter:
    """Entries that are sums of elements of some arrays, anywhere: those at ``places`` (``None`` for all), by a matrix."""

    arrays: tuple[int, ...]
    places: np.ndarray | None
    matrix: csr_array

    def put(self, out: np.ndarray, flat: Sequence[np.ndarray]) -> None:
        """Add the sums of elements of raveled arrays."""
        parts = [flat[array] for array in self.arrays]
        sums = self.matrix @ (np.concatenate(parts) if len(parts) > 1 else parts[0])
        if self.places is None:
            np.add(out, sums, out=out)
        else:
            out[self.places] += sums


class Placement:
    """What all entries are made of.

    Parameters
    ----------
    fixed : ndarray
        Numbers that never change, in the order of the entries.
    stretches : sequence of Stretch
    scatter : Scatter or None
    """

    def __init__(self, fixed: np.ndarray, stretches: Sequence[Stretch], scatter: Scatter | None) -> None:
        self.stretches, self.scatter = tuple(stretches), scatter
        self._size, self._dtype = len(fixed), fixed.dtype
        rest = np.ones(len(fixed), bool)
        for stretch in self.stretches:
            rest[stretch.target] = False
        self._rest = np.flatnonzero(rest)
        self._all = 2 * len(self._rest) > len(fixed)
        # Most entries are set by stretches: the others one by one.
        self._fixed = fixed if self._all else fixed[self._rest]

    @property
    def work(self) -> int:
        """Numbers that are read to fill in all entries."""
        stretches = sum(len(range(s.target.start, s.target.stop, s.target.step)) for s in self.stretches)
        return stretches + (0 if self.scatter is None else int(self.scatter.matrix.nnz))

    def __call__(self, *arrays: Any) -> np.ndarray:
        """Return the entries."""
        out = np.empty(self._size, self._dtype)
        self.fill(out, *arrays)
        return out

    def fill(self, out: np.ndarray, *arrays: Any) -> None:
        """Write the entries into given memory."""
        flat = [np.ravel(x) for x in arrays]
        if self._all:
            out[:] = self._fixed
        elif len(self._rest):
            out[self._rest] = self._fixed
        for stretch in self.stretches:
            stretch.put(out, flat)
        if self.scatter is not None:
            self.scatter.put(out, flat)


class Planner:
    """Decides how elements of arrays get to entries.

    Parameters
    ----------
    mirrors : ndarray of int
        The mirror image of every entry.
    dtype : dtype

    Attributes
    ----------
    fixed : ndarray
        What entries are besides; complete before anything is added.
    """

    def __init__(self, mirrors: np.ndarray, dtype: np.dtype) -> None:
        self._mirrors, self._dtype = mirrors, dtype
        self.fixed = np.zeros(len(mirrors))
        self._held = np.zeros(len(mirrors), bool)
        self._stretches: list[Stretch] = []
        self._loose: list[tuple[int, np.ndarray, np.ndarray, Any]] = []

    def add(self, array: int, places: np.ndarray, at: np.ndarray, weights: Any) -> None:
        """Let entries on one side of the diagonal, or on it, and their mirror images get elements of an array times weights."""
        mirrored = self._mirrors[places]
        beside = mirrored != places
        if beside.any() and not beside.all():
            for which in (~beside, beside):
                part = weights[which] if isinstance(weights, np.ndarray) else weights
                self.add(array, places[which], at[which], part)
            return
        targets = [regular(places), *((regular(mirrored),) if beside.any() else ())]
        source = regular(at) if not isinstance(weights, np.ndarray) and abs(weights) == 1.0 else None
        # An entry and its mirror image go the same way, so that they are added up in the same order.
        if len(at) >= _SHORT and source is not None and all(target is not None for target in targets):
            held, fixed = self._held[targets[0]], self.fixed[targets[0]]
            if held.all() or not held.any():
                constant = float(fixed[0]) if (fixed == fixed[0]).all() else fixed.astype(self._dtype)
                sign, constant = 1 if weights > 0 else -1, None if held[0] else constant
                for target in targets:
                    assert target is not None
                    self._stretches.append(Stretch(array, source, target, sign, constant))
                    self._held[target] = True
                return
        self._loose.append((array, places, at, weights))

    def placement(self, sizes: Sequence[int]) -> Placement:
        """Return what has been decided, for arrays of some sizes."""
        return Placement(self.fixed.astype(self._dtype), self._stretches, self._scatter(sizes) if self._loose else None)

    def _scatter(self, sizes: Sequence[int]) -> Scatter:
        arrays = sorted({array for array, *_ in self._loose})
        starts = dict(zip(arrays, np.cumsum([0, *(sizes[array] for array in arrays)]), strict=False))
        places = np.concatenate([places for _, places, _, _ in self._loose])
        columns = np.concatenate([at + starts[array] for array, _, at, _ in self._loose])
        weights = np.concatenate([np.broadcast_to(w, at.shape) for _, _, at, w in self._loose])
        used, row = np.unique(places, return_inverse=True)
        shape = (len(used), sum(sizes[array] for array in arrays))
        half = csr_array((weights.astype(self._dtype), (row.ravel(), columns)), shape=shape)
        half.sum_duplicates()
        # Rows of mirror images are the same rows: the sums are equal to the last bit.
        mirrored = self._mirrors[used]
        beside = np.flatnonzero(mirrored != used)
        targets = np.concatenate((used, mirrored[beside]))
        order = np.argsort(targets)
        matrix = csr_array(half[np.concatenate((np.arange(len(used)), beside))[order]])
        targets = targets[order]
        if 2 * len(targets) < len(self.fixed):
            return Scatter(tuple(arrays), targets, matrix)
        counts = np.zeros(len(self.fixed) + 1, matrix.indptr.dtype)
        counts[targets + 1] = np.diff(matrix.indptr)
        parts = (matrix.data, matrix.indices, np.cumsum(counts, dtype=counts.dtype))
        return Scatter(tuple(arrays), None, csr_array(parts, shape=(len(self.fixed), shape[1])))


def regular(numbers: np.ndarray) -> slice | None:
    """Return numbers at equal, positive distances as a slice; ``None`` for others."""
    if len(numbers) < 2:
        return slice(int(numbers[0]), int(numbers[0]) + 1) if len(numbers) else None
    step = int(numbers[1]) - int(numbers[0])
    if step <= 0 or not (np.diff(numbers) == step).all():
        return None
    return slice(int(numbers[0]), int(numbers[-1]) + 1, step)
