"""Errors a benchmark command reports to its user instead of a traceback."""

from __future__ import annotations


class BenchmarkError(Exception):
    """A benchmark cannot run, or its participants do not compute the same thing."""
