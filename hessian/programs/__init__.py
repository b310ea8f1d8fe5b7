"""Recorded programs: derivative sweeps compiled to straight-line NumPy."""

from hessian.programs.runtime.recorded import RecordedFunction, Statistics, record

__all__ = ["RecordedFunction", "Statistics", "record"]
