"""Options of the solvers: one dataclass, every value checked, misspelt names answered with the nearest right one."""

from __future__ import annotations

import difflib
import math
import numbers
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

import numpy as np

from hessian.errors import OptionError, message

DEFAULT_GTOL = {"float32": 1e-3}
"""Gradient tolerance by dtype where the usual 1e-6 is out of reach of rounding."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What ``options`` of :func:`hessian.optimize.minimize` may contain, with defaults; see there for meanings."""

    gtol: float = 1e-6
    maxiter: int = 1000
    max_hvp: int = sys.maxsize
    max_cg: int | None = None
    max_seconds: float = math.inf
    initial_radius: float | None = None
    max_radius: float = math.inf
    initial_regularization: float | None = None
    preconditioner: Any = None
    eta: float = 1e-4
    check_curvature: bool = True
    seed: int = 0
    record: bool = True
    progress: bool = False
    checkpoint: str | os.PathLike[str] | None = None
    checkpoint_every: float = 10.0
    resume: bool = False


_FROM_SCIPY = {"disp": "progress", "initial_trust_radius": "initial_radius", "max_trust_radius": "max_radius"}
_POSITIVE = "a number > 0"
_RANGES: dict[str, tuple[str, Any]] = {
    "gtol": ("a number >= 0", lambda v: is_real(v) and v >= 0),
    "maxiter": ("an integer >= 0", lambda v: is_integer(v) and v >= 0),
    "max_hvp": ("an integer >= 0", lambda v: is_integer(v) and v >= 0),
    "max_cg": ("an integer >= 1", lambda v: is_integer(v) and v >= 1),
    "initial_radius": ("a finite number > 0", lambda v: is_real(v) and 0 < v < math.inf),
    "max_radius": ("a number > 0", lambda v: is_real(v) and v > 0),
    "eta": ("a number in [0, 0.25)", lambda v: is_real(v) and 0 <= v < 0.25),
    "check_curvature": ("True or False", lambda v: isinstance(v, (bool, np.bool_, int)) and v in (0, 1)),
    "max_seconds": ("a number >= 0", lambda v: is_real(v) and v >= 0),
    "initial_regularization": ("a finite number > 0", lambda v: is_real(v) and 0 < v < math.inf),
    "preconditioner": (
        "'jacobi', 'lbfgs', an array like x0, a linear operator or a function of x that returns one",
        lambda v: v in ("jacobi", "lbfgs") if isinstance(v, str) else not isinstance(v, (bool, numbers.Number)),
    ),
    "checkpoint": ("the name of a file", lambda v: isinstance(v, (str, os.PathLike))),
    "checkpoint_every": ("a number of seconds >= 0", lambda v: is_real(v) and v >= 0),
    "resume": ("True or False", lambda v: isinstance(v, (bool, np.bool_, int)) and v in (0, 1)),
    "seed": ("an integer >= 0", lambda v: is_integer(v) and v >= 0),
    "record": ("True or False", lambda v: isinstance(v, (bool, np.bool_, int)) and v in (0, 1)),
    "progress": ("True or False", lambda v: isinstance(v, (bool, np.bool_, int)) and v in (0, 1)),
}


def parse_options(
    options: Mapping[str, Any] | None, tol: float | None, dtype: np.dtype[Any], where: str = "minimize"
) -> Options:
    """Check user options and fill in the defaults.

    ``None`` stands for the default, and ``tol`` for gtol where that is not given.

    Raises
    ------
    OptionError
        A name that does not exist (the nearest one is named), or a value out of range.
    """
    if options is not None and not isinstance(options, Mapping):
        raise OptionError(message(where, f"options is {options!r}, not a dict", fix='Pass e.g. options={"gtol": 1e-8}'))
    given: dict[str, Any] = {"gtol": DEFAULT_GTOL[dtype.name]} if dtype.name in DEFAULT_GTOL else {}
    if tol is not None:
        given["gtol"] = tol
    for key, setting in (options or {}).items():
        name = _FROM_SCIPY.get(key, key)
        if name not in _RANGES:
            raise OptionError(_unknown(key, where))
        if setting is not None:
            given[name] = setting
    for name, setting in given.items():
        expected, is_valid = _RANGES[name]
        if not is_valid(setting):
            raise OptionError(message(where, f"option {name!r} is {setting!r}, expected {expected}"))
    parsed = Options(**given)
    if parsed.initial_radius is not None and parsed.initial_radius > parsed.max_radius:
        what = f"initial_radius {parsed.initial_radius:g} is larger than max_radius {parsed.max_radius:g}"
        raise OptionError(message(where, what, fix="Raise max_radius or lower initial_radius"))
    if parsed.resume and parsed.checkpoint is None:
        what = "resume is given without a checkpoint"
        raise OptionError(message(where, what, fix='Pass options={"checkpoint": FILE, "resume": True}'))
    return parsed


def option_names() -> list[str]:
    """Names an option may have."""
    return [field.name for field in fields(Options)]


def _unknown(key: Any, where: str) -> str:
    """Message for an option that does not exist."""
    near = difflib.get_close_matches(str(key), option_names(), n=1, cutoff=0.0)[0]
    everything = ", ".join(option_names())
    return message(
        where,
        f"there is no option {key!r}",
        f"The nearest is {near!r}; all are {everything}",
        f"Did you mean {near!r}?",
    )


def is_real(item: Any) -> bool:
    """A real number that is not a flag and not NaN."""
    return isinstance(item, (numbers.Real, np.number)) and not isinstance(item, bool) and not math.isnan(item)


def is_integer(item: Any) -> bool:
    """An integer that is not a flag."""
    return isinstance(item, (numbers.Integral, np.integer)) and not isinstance(item, bool)
