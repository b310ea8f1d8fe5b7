"""Blocks of rows, dealt to threads in a fixed order; their sums are added in a fixed order."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import wait
from typing import Any

import numpy as np

from hessian.programs.backends.base import Backend, arena
from hessian.programs.backends.threads import pool_of, single_threaded_blas
from hessian.programs.ir import Section
from hessian.programs.passes.place import Layout, Place
from hessian.programs.passes.rows import Blocks
from hessian.programs.verify import verify, verify_layout


def compile_block(section: Section, backend: Backend) -> Callable[[], Any]:
    """Compile a section whose inputs stay where they are; return a function that binds it to memory of its own."""
    # Memory to fill may be cut along another axis than the first: only elementwise results are computed right into it.
    known = {node.serial: Place("argument", block=node.operation is None) for node in section.inputs}
    layout = Layout([section], backend.writes, known)
    verify([section], "block")
    verify_layout(layout)
    executable, sizes = backend.compile(layout, lend=True), layout.sizes
    return lambda: executable.bind(arena(sizes["R"]), arena(sizes["T"]))[0][0]


class RowRunner:
    """Runs the part of a section that is by rows, block by block.

    It takes the values that come from outside (those by rows are cut) and the memory to fill, and returns sums over rows.
    """

    def __init__(self, blocks: Blocks, backend: Backend) -> None:
        self._blocks = blocks
        self._backend = backend
        self._bodies = {size: compile_block(section, backend) for size, section in blocks.bodies.items()}
        self._idle: list[Any] = []

    def run(self, arrays: Sequence[Any]) -> list[np.ndarray]:
        """Run all blocks; return the sums."""
        workers = self._backend.workers
        if workers == 1:
            return self._work(arrays, 0, 1)
        with single_threaded_blas(node for body in self._blocks.bodies.values() for node in body.nodes):
            jobs = [pool_of(workers).submit(self._work, arrays, i, workers) for i in range(1, workers)]
            try:
                totals = self._work(arrays, 0, workers)
            finally:
                wait(jobs)  # nobody may still write to memory that the next call uses
            for job in jobs:
                for total, part in zip(totals, job.result(), strict=True):
                    np.add(total, part, out=total)
        return totals

    def _work(self, arrays: Sequence[Any], first: int, step: int) -> list[np.ndarray]:
        """Run every ``step``-th block; return the sums over their rows."""
        try:
            bound = self._idle.pop()
        except IndexError:
            bound = {size: make() for size, make in self._bodies.items()}
        totals = [np.zeros(shape, dtype) for shape, dtype in self._blocks.sums]
        with np.errstate(all="ignore"):
            for start, stop in self._blocks.edges[first::step]:
                cut = [
                    x if axis is None else x[(slice(None),) * axis + (slice(start, stop),)]
                    for x, axis in zip(arrays, self._blocks.axes, strict=True)
                ]
                parts = bound[stop - start](*cut, *self._local(start, stop))
                for total, part in zip(totals, parts, strict=True):
                    np.add(total, part, out=total)
        self._idle.append(bound)
        return totals

    def _local(self, start: int, stop: int) -> list[np.ndarray]:
        """Return the positions that gathers of a block use, counted from its first row."""
        return [
            positions.flat[start:stop] - start * (positions.size // positions.shape[0])
            for positions in self._blocks.positions
        ]
