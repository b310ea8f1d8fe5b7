"""Linear maps of an operator that are compiled once they have been applied often enough to pay for it."""

from __future__ import annotations

from hessian.programs.compilation import (
    COMPILE_LONG_AFTER,
    LONG_TAPE,
    CompilationError,
    paused_collection,
    report_failure,
)
from hessian.programs.runtime.functions import PlainFunction
from hessian.programs.runtime.point import ProgramAtPoint
from hessian.programs.runtime.recorded import RecordedFunction
from hessian.programs.tasks import compile_maps
from hessian.tape.maps import LocalMaps

COMPILE_AFTER = 3
"""Sweeps from which on products are compiled: compiling takes as long as some ten to twenty of them on small problems."""


class CompiledMaps:
    """The program of linear maps at a point that have none yet; its sections have the names of the maps.

    Parameters
    ----------
    where : str
        For warnings.
    programs : RecordedFunction or PlainFunction
        Hears of sweeps made without a program.
    record : bool
        ``False`` never compiles.
    """

    def __init__(self, where: str, programs: RecordedFunction | PlainFunction, record: bool) -> None:
        self._where = where
        self._programs = programs
        self._wanted = record and programs.records
        self._swept = 0

    def after(self, sweeps: int, local: LocalMaps) -> ProgramAtPoint | None:
        """Count sweeps; return the program of the maps once it pays to make one."""
        self._swept += sweeps
        self._programs.swept += sweeps
        is_long = sum(map(len, local.tapes)) >= LONG_TAPE
        if not self._wanted or self._swept < (COMPILE_LONG_AFTER if is_long else COMPILE_AFTER):
            return None
        try:
            with paused_collection():
                program = ProgramAtPoint(compile_maps(local.maps), ())
        except (CompilationError, MemoryError, RecursionError) as error:
            self._failed(error)
            return None
        program.on_failure = self._failed
        return program

    def _failed(self, error: BaseException) -> None:
        """Do without a program for good."""
        self._wanted = False
        self._programs.stats.failures += 1
        report_failure(self._where, error)
