"""A program of several sections at one point: what depends on the point is computed once and stays for every direction."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import wait
from typing import Any

import numpy as np

from hessian.programs.backends.lent import LONG, lending
from hessian.programs.backends.threads import pool_of, single_threaded_blas, worker_count
from hessian.programs.compilation import OUT_OF_ROOM, OperationError
from hessian.programs.runtime.directions import Directions, directions_of
from hessian.programs.runtime.program import Program, is_finite, run_first
from hessian.tape.maps import LocalMaps
from hessian.tape.tape import GuardMiss

Product = Callable[[Any], "np.ndarray | None"]
"""A product with one direction; ``None`` where it must be computed in another way."""


class ProgramAtPoint:
    """A program whose first section has run at a point; the others run when they are asked for, by name.

    Attributes
    ----------
    values : tuple
        Results of the first section.
    finite : bool
        Whether they are finite.
    recover : callable or None
        Traces the function at copies of the inputs.
    on_failure : callable or None
        Is told the error that has broken the program: from then on the plain sweeps serve.

    Notes
    -----
    The frame belongs to this object until it is dropped, then to the next one. Sections that take a direction may run in
    several threads at once: the second one gets scratch memory of its own.
    """

    checked = None  # the first section returns the function's own results

    def __init__(self, program: Program, inputs: Sequence[Any], check: bool = False) -> None:
        self.program = program
        self._frame = program.frame()
        self.recover: Callable[[list[Any]], LocalMaps] | None = None
        self.on_failure: Callable[[BaseException], None] | None = None
        self._broken = False
        self._lock = threading.Lock()
        frame = self._frame
        # Sections that nobody runs at the moment, and what calls them.
        self._idle = [(frame.sections, frame.call)]
        self.values, _, self.finite = frame.call(run_first, frame.sections, inputs, False)
        # Results of the sections that take no direction, as far as they have run.
        self._results: list[tuple[Any, ...]] = [self.values]

    def plain(self) -> LocalMaps:
        """Trace the function at this point: plain sweeps know branches not taken, and no guards."""
        if self.recover is None:
            raise RuntimeError("ProgramAtPoint.plain: no function to trace")
        return self.recover([np.array(x)[()] for x in self._frame.inputs])

    def operations(self) -> set[Any]:
        """Return the operations that the program is made of."""
        return {node.operation for section in self.program.sections for node in section.nodes}

    def vector(self, name: str) -> np.ndarray | None:
        """Return the result of a section that takes no direction; it runs once."""
        return self.attempt(lambda: self._prepared(name)[0])

    def product(self, name: str) -> Product:
        """Return the function that runs a section on one direction, with all decided that does not depend on the direction.

        It takes an array of just the shape and dtype of the section's own.
        """
        number = self.program.numbers[name]
        given, early = self.program.sections[number].inputs[0], self.program.last_at_point
        shape, dtype, idle, results = given.shape, given.dtype, self._idle, self._results

        def product(v: Any) -> np.ndarray | None:
            if type(v) is not np.ndarray or v.shape != shape or v.dtype != dtype or self._broken:
                return None
            try:
                if len(results) <= early:
                    self._prepare(early)
                try:
                    run = idle.pop()
                except IndexError:
                    run = self._frame.more()
                product = run[1](_finite, run[0][number], v)
            except Exception as error:
                self._meet(error)
                return None
            idle.append(run)
            return product

        return product

    def rows(
        self, name: str, directions: np.ndarray, symmetric: bool, out: np.ndarray | None = None
    ) -> np.ndarray | None:
        """Run a section for every row of ``directions``, shape (k, n); return the results as rows, in ``out`` where it helps."""
        checked: list[bool] = []
        return self.attempt(lambda: self._rows(name, directions, symmetric, out, checked), checked)

    def _rows(
        self, name: str, directions: np.ndarray, symmetric: bool, out: np.ndarray | None, checked: list[bool]
    ) -> np.ndarray | None:
        batched = self._directions(name, symmetric)
        dtype = self.program.sections[self.program.numbers[name]].inputs[0].dtype
        directions = np.ascontiguousarray(directions, dtype)
        if len(directions) and batched.block_length() == 1:
            # One direction fills the cache: the section as it is does as well as a batch of one, and is there already.
            checked.append(True)
            return self._one_by_one(name, directions, out)
        return batched.rows(self._frame.residuals, directions)

    def _one_by_one(self, name: str, directions: np.ndarray, out: np.ndarray | None) -> np.ndarray | None:
        """Run a section for every row of long ``directions``, on as many threads as there are; ``None`` if a result is not finite."""
        product, output = self.product(name), self.program.sections[self.program.numbers[name]].outputs[0]
        shape, failed = (len(directions), output.size), []
        fits = out is not None and out.shape == shape and out.dtype == output.dtype
        results = out if out is not None and fits else np.empty(shape, output.dtype)

        def work(first: int, step: int) -> None:
            for i in range(first, len(directions), step):
                with lending(results[i]):
                    x = product(directions[i])
                if x is None:
                    failed.append(i)
                    return
                if not np.may_share_memory(x, results[i]):
                    results[i] = x

        workers = min(worker_count(), len(directions)) if output.size >= LONG else 1
        if workers == 1:
            work(0, 1)
        else:
            with single_threaded_blas(self.program.sections[self.program.numbers[name]].nodes):
                jobs = [pool_of(workers, "directions").submit(work, i, workers) for i in range(1, workers)]
                try:
                    work(0, workers)
                finally:
                    wait(jobs)
                for job in jobs:
                    job.result()
        return None if failed else results

    def matrix(self, name: str, symmetric: bool) -> np.ndarray | None:
        """Return the matrix that a section multiplies with."""
        return self.attempt(lambda: self._directions(name, symmetric).matrix(self._frame.residuals))

    def diagonal(self, name: str) -> np.ndarray | None:
        """Return the diagonal of the symmetric matrix that a section multiplies with."""
        return self.attempt(lambda: self._directions(name, True).diagonal(self._frame.residuals))

    def _directions(self, name: str, symmetric: bool) -> Directions:
        """Return the batched programs of a section, once what they read has been computed."""
        number = self.program.numbers[name]
        self._prepare(self.program.last_at_point)
        return directions_of(self.program, number, symmetric)

    def _prepared(self, name: str) -> tuple[Any, ...]:
        number = self.program.numbers[name]
        self._prepare(number)
        return self._results[number]

    def _prepare(self, number: int) -> None:
        """Run the sections up to a number that take no direction and have not run yet."""
        if len(self._results) > number:
            return
        # Nobody uses the memory of the frame yet: products wait for these sections.
        with self._lock:
            self._frame.call(self._run_until, number)

    def _run_until(self, number: int) -> None:
        while len(self._results) <= number:
            self._results.append(self._frame.sections[len(self._results)]())

    def attempt(self, run: Callable[[], np.ndarray | None], checked: Sequence[bool] = ()) -> np.ndarray | None:
        """Run a part of the program; ``None`` where its result must be computed without it, unless that is ``checked`` meanwhile."""
        if self._broken:
            return None
        try:
            result = run()
        except Exception as error:
            self._meet(error)
            return None
        if checked or result is None:
            return result
        with np.errstate(all="ignore"):
            return result if is_finite(result) else None

    def _meet(self, error: Exception) -> None:
        """Do without the program for good, unless the function itself may meet the error, or there was no room."""
        if isinstance(error, (GuardMiss, OperationError, *OUT_OF_ROOM)):
            return
        self._broken = True
        if self.on_failure is None:
            raise error
        self.on_failure(error)

    def __del__(self) -> None:
        frame = getattr(self, "_frame", None)
        if frame is not None:
            self.program.release(frame)


def _finite(section: Callable[[Any], tuple[Any]], direction: np.ndarray) -> np.ndarray | None:
    """Run a section; ``None`` if its result is not finite."""
    (result,) = section(direction)
    return result if is_finite(result) else None
