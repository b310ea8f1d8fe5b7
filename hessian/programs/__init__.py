"""Recorded programs: derivative sweeps compiled to straight-line NumPy."""

from hessian.programs.runtime.cache import Statistics
from hessian.programs.runtime.functions import record
from hessian.programs.runtime.recorded import RecordedFunction

__all__ = ["RecordedFunction", "Statistics", "record"]


def __dir__() -> list[str]:
    return sorted(__all__)
