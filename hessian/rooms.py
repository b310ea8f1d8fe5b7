"""Rooms by name, loaded when first asked for: those that take long to import, and the one that a result reaches up to.

``res.covariance()`` belongs to the result of a solver, and :mod:`hessian.statistics` stands on the solvers: here, and only here,
a module gets at one above it.
"""

from __future__ import annotations

import importlib
import sys
from types import ModuleType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    # What results return, by its types; nothing here imports it.
    from hessian.statistics import ConfidenceIntervals as ConfidenceIntervals
    from hessian.statistics import Covariance as Covariance
    from hessian.statistics import Summary as Summary

ROOMS = frozenset({"curvature", "nn", "optimize", "plotting", "sparse", "statistics", "transforms.rule_check"})


def room(name: str) -> ModuleType:
    """Return a room, loading it where need be."""
    if name not in ROOMS:
        # With the module at hand Python suggests the name that was meant.
        raise AttributeError(f"module 'hessian' has no attribute {name!r}", name=name, obj=sys.modules["hessian"])
    return importlib.import_module(f"hessian.{name}")
