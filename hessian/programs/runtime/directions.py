"""Products with many directions: batched programs of a section, and dense matrices by blocks of unit directions."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from hessian.programs.backends.base import arena
from hessian.programs.backends.choice import chosen_backend
from hessian.programs.compilation import paused_collection
from hessian.programs.ir import DIRECTION
from hessian.programs.passes.job import Group, Job
from hessian.programs.passes.restrict import groups_of
from hessian.programs.pipeline import compile_sections, run_passes
from hessian.programs.runtime.program import Program

#: Elements of the largest batched value: blocks of directions stay in the cache.
BLOCK_ELEMENTS = 2**16


def directions_of(program: Program, number: int, symmetric: bool) -> Directions:
    """Return the batched programs of a section, which its program keeps."""
    found = program.batched.get(number)
    if found is None:
        found = program.batched.setdefault(number, Directions(program, number, symmetric))
    return found


class Directions:
    """The batched programs of a section that takes one direction, compiled as they are needed.

    Parameters
    ----------
    program : Program
    number : int
        Of the section.
    symmetric : bool
        Whether the section multiplies with a symmetric matrix, so that half of it is enough.
    """

    def __init__(self, program: Program, number: int, symmetric: bool) -> None:
        self._program = program
        self._number = number
        self._section = program.sections[number]
        (self._input,), (self._output,) = self._section.inputs, self._section.outputs
        self._symmetric = symmetric
        self._compiled: dict[Any, BatchedSection] = {}
        self._groups: list[Group] | None = None

    def block_length(self) -> int:
        """Return how many directions to take at once."""
        largest = max((node.size for node in self._section.nodes if node.level == DIRECTION), default=1)
        return max(1, BLOCK_ELEMENTS // max(largest, 1))

    def rows(self, residuals: np.ndarray, directions: np.ndarray) -> np.ndarray:
        """Apply the section to every row of ``directions``, shape (k, n); return the results as rows."""
        count = len(directions)
        if not (count and self._input.size and self._output.size):
            return np.zeros((count, self._output.size), self._output.dtype)
        length = min(self.block_length(), max(count, 1))
        # Few sizes, so that few programs are compiled: powers of two, the last block padded.
        length = 1 << (length - 1).bit_length() if length < self.block_length() else length
        out = np.empty((count, self._output.size), self._output.dtype)
        with self._batched(length, None).at(residuals) as run:
            for start in range(0, count, length):
                block = directions[start : start + length]
                if len(block) < length:
                    padded = np.zeros((length, block.shape[1]), block.dtype)
                    padded[: len(block)] = block
                    block = padded
                out[start : start + length] = run(np.ascontiguousarray(block))[: count - start]
        return out

    def matrix(self, residuals: np.ndarray) -> np.ndarray:
        """Return the matrix of the section, by unit directions; rows are results, columns directions."""
        n, m = self._input.size, self._output.size
        out = np.empty((n, m), self._output.dtype)
        if not (n and m):
            return out.T
        for group in self._partition():
            for start, rows in self._unit_rows(residuals, group):
                stop = start + len(rows)
                for a, b in group.wanted:
                    out[start:stop, a:b] = rows[:, a:b]
                    if self._symmetric:
                        out[a:b, start:stop] = rows[:, a:b].T
        return out if self._symmetric else out.T

    def diagonal(self, residuals: np.ndarray) -> np.ndarray:
        """Return the diagonal of a symmetric matrix without forming it."""
        out = np.empty(self._output.size, self._output.dtype)
        for group in self._partition() if out.size else ():
            for start, rows in self._unit_rows(residuals, group):
                stop = start + len(rows)
                out[start:stop] = rows[np.arange(stop - start), np.arange(start, stop)]
        return out

    def _unit_rows(self, residuals: np.ndarray, group: Group) -> Iterator[tuple[int, np.ndarray]]:
        """Yield results for the unit directions of a group, block by block."""
        size = group.stop - group.start
        # Blocks of equal length, so that the last one is not mostly padding.
        length = -(-size // -(-size // self.block_length()))
        units = np.zeros((length, self._input.size), self._input.dtype)
        with self._batched(length, group).at(residuals) as run:
            for start in range(group.start, group.stop, length):
                stop = min(start + length, group.stop)
                places = np.arange(stop - start), np.arange(start, stop)
                units[places] = 1.0
                yield start, run(units)[: stop - start]
                units[places] = 0.0

    def _batched(self, k: int, group: Group | None) -> BatchedSection:
        key = (k, group)
        found = self._compiled.get(key)
        if found is None:
            with paused_collection():
                found = self._compiled[key] = BatchedSection(self._program, self._number, k, group)
        return found

    def _partition(self) -> list[Group]:
        """Return the groups of unit directions that make up the matrix."""
        if self._groups is None:
            whole = [Group(0, self._input.size, ((0, self._output.size),))]
            self._groups = groups_of(self._section) if self._symmetric else whole
        return self._groups


class BatchedSection:
    """A section compiled for k directions, which reads the residuals of any frame of its program."""

    def __init__(self, program: Program, number: int, k: int, group: Group | None) -> None:
        specs = [("prepare", [], None), ("rows", [0], [0])]
        job = Job(chosen_backend(), specs, program.places, k, group)
        sections = run_passes("directions", [program.sections[number]], job)
        layout, self._executable = compile_sections(sections, job, lasting="P")
        self._sizes = layout.sizes
        self._idle: list[tuple[np.ndarray, np.ndarray, np.ndarray, Any]] = []

    @contextmanager
    def at(self, residuals: np.ndarray) -> Iterator[Any]:
        """Give the function that takes k directions at the point of a frame; no other thread has its memory meanwhile."""
        try:
            owner, scratch, lasting, sections = self._idle.pop()
        except IndexError:
            owner, scratch, lasting, sections = None, arena(self._sizes["T"]), arena(self._sizes["P"]), None
        if owner is not residuals:
            sections, _ = self._executable.bind(residuals, scratch, lasting)
        with np.errstate(all="ignore"):
            sections[0]()
            yield lambda directions: sections[1](directions)[0]
        self._idle.append((residuals, scratch, lasting, sections))
