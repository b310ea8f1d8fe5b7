"""Linear maps of an operator that are compiled once they have been applied often enough to pay for it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from hessian.programs.compilation import (
    COMPILE_LONG_AFTER,
    LONG_TAPE,
    CompilationError,
    paused_collection,
    report_failure,
)
from hessian.programs.runtime.point import ProgramAtPoint
from hessian.programs.runtime.recorded import RecordedFunction
from hessian.programs.tasks import compile_maps

COMPILE_AFTER = 3
"""Sweeps from which on products are compiled: compiling takes as long as some ten to twenty of them on small problems."""

Maps = Callable[[], dict[str, tuple[Callable[[Any], Any], int, np.dtype]]]
"""Linear maps of raveled vectors by name, each with size and dtype of what it takes."""


class CompiledMaps:
    """The program of an operator that has none yet; its sections have the names of the maps.

    Parameters
    ----------
    where : str
        For warnings.
    f : callable
        The function; one that keeps programs of its own hears of sweeps made without them.
    record : bool
        ``False`` never compiles.
    """

    def __init__(self, where: str, f: Any, record: bool) -> None:
        self._where = where
        self._f = f if isinstance(f, RecordedFunction) else None
        self._wanted = record and (self._f is None or self._f.records)
        self._swept = 0

    def after(self, sweeps: int, length: int, maps: Maps) -> ProgramAtPoint | None:
        """Count sweeps of a function of so many instructions; return the program once it pays to make one."""
        self._swept += sweeps
        if self._f is not None:
            self._f.swept += sweeps
        if not self._wanted or self._swept < (COMPILE_AFTER if length < LONG_TAPE else COMPILE_LONG_AFTER):
            return None
        try:
            with paused_collection():
                program = ProgramAtPoint(compile_maps(maps()), ())
        except (CompilationError, MemoryError, RecursionError) as error:
            self._failed(error)
            return None
        program.on_failure = self._failed
        return program

    def _failed(self, error: BaseException) -> None:
        """Do without a program for good."""
        self._wanted = False
        if self._f is not None:
            self._f.stats.failures += 1
        report_failure(self._where, error)
