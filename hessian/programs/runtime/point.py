"""A program of several sections at one point: what depends on the point is computed once and stays for every direction."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from hessian.programs.compilation import OUT_OF_ROOM, OperationError
from hessian.programs.runtime.directions import Directions, directions_of
from hessian.programs.runtime.program import Program, is_finite
from hessian.tape.tape import GuardMiss
from hessian.tape.trace import Trace


class ProgramAtPoint:
    """A program whose first section has run at a point; the others run when they are asked for, by name.

    Attributes
    ----------
    values : tuple
        Results of the first section.
    finite : bool
        Whether they are finite.
    recover : callable or None
        Makes a plain recording from copies of the inputs.
    on_failure : callable or None
        Is told the error that has broken the program: from then on the plain sweeps serve.

    Notes
    -----
    The frame belongs to this object until it is dropped, then to the next one. Sections that take a direction may run in
    several threads at once: the second one gets scratch memory of its own.
    """

    def __init__(self, program: Program, inputs: Sequence[Any]) -> None:
        self.program = program
        self._frame = program.frame()
        self.recover: Callable[[list[Any]], Trace] | None = None
        self.on_failure: Callable[[BaseException], None] | None = None
        self._broken = False
        self._lock = threading.Lock()
        self._idle = [self._frame.sections]
        with np.errstate(all="ignore"):
            self.values = self._frame.sections[0](*inputs)
            self.finite = all(map(is_finite, self.values))
        # Results of the sections that take no direction, as far as they have run.
        self._results: list[tuple[Any, ...]] = [self.values]

    def plain(self) -> Trace:
        """Record the function at this point without a program: it knows branches not taken, and no guards."""
        if self.recover is None:
            raise RuntimeError("ProgramAtPoint.plain: no function to trace")
        return self.recover([np.array(x)[()] for x in self._frame.inputs])

    def operations(self) -> set[Any]:
        """Return the operations that the program is made of."""
        return {node.operation for section in self.program.sections for node in section.nodes}

    def result(self, name: str) -> tuple[Any, ...]:
        """Return the results of a section that takes no direction; it runs once."""
        number = self.program.numbers[name]
        with np.errstate(all="ignore"):
            self._prepare(number)
        return self._results[number]

    def run(self, name: str, direction: Any) -> tuple[Any, ...]:
        """Run a section that takes a direction."""
        number = self.program.numbers[name]
        with np.errstate(all="ignore"):
            self._prepare(number - 1)
            try:
                sections = self._idle.pop()
            except IndexError:
                sections = self._frame.more()
            results = sections[number](self._cast(number, direction))
        self._idle.append(sections)
        return results

    def rows(self, name: str, directions: np.ndarray, symmetric: bool) -> np.ndarray:
        """Run a section for every row of ``directions``, shape (k, n); return the results as rows."""
        batched = self._directions(name, symmetric)
        if len(directions) and batched.block_length() == 1:
            # One direction fills the cache: the section as it is does as well as a batch of one, and is there already.
            return np.stack([self.run(name, row)[0] for row in np.ascontiguousarray(directions)])
        return batched.rows(self._frame.residuals, self._cast(self.program.numbers[name], directions))

    def _cast(self, number: int, directions: Any) -> Any:
        """Return directions in the precision in which the section takes them."""
        dtype = self.program.sections[number].inputs[0].dtype
        return directions if directions.dtype == dtype else directions.astype(dtype)

    def matrix(self, name: str, symmetric: bool) -> np.ndarray:
        """Return the matrix that a section multiplies with."""
        return self._directions(name, symmetric).matrix(self._frame.residuals)

    def diagonal(self, name: str) -> np.ndarray:
        """Return the diagonal of the symmetric matrix that a section multiplies with."""
        return self._directions(name, True).diagonal(self._frame.residuals)

    def _directions(self, name: str, symmetric: bool) -> Directions:
        """Return the batched programs of a section, once what they read has been computed."""
        number = self.program.numbers[name]
        with np.errstate(all="ignore"):
            self._prepare(number - 1)
        return directions_of(self.program, number, symmetric)

    def _prepare(self, number: int) -> None:
        """Run the sections up to a number that take no direction and have not run yet."""
        if len(self._results) > number:
            return
        with self._lock:
            while len(self._results) <= number:
                at = len(self._results)
                takes_direction = bool(self.program.sections[at].inputs)
                self._results.append(() if takes_direction else self._frame.sections[at]())

    def attempt(self, run: Callable[[], np.ndarray]) -> np.ndarray | None:
        """Run a part of the program; ``None`` where its result must be computed without it."""
        if self._broken:
            return None
        try:
            result = run()
        except (GuardMiss, OperationError, *OUT_OF_ROOM):
            return None
        except Exception as error:
            self._broken = True
            if self.on_failure is None:
                raise
            self.on_failure(error)
            return None
        with np.errstate(all="ignore"):
            return result if is_finite(result) else None

    def __del__(self) -> None:
        frame = getattr(self, "_frame", None)
        if frame is not None:
            self.program.release(frame)
