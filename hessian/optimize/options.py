"""Options of the solvers: one dataclass, every value checked, misspelt names answered with the nearest right one."""

from __future__ import annotations

import math
import numbers
import os
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, fields
from typing import Any

import numpy as np

from hessian.arguments import (
    BUDGET,
    FILE,
    FLAG,
    LIMIT,
    POSITIVE,
    RNG,
    Wanted,
    as_seed,
    at_least,
    check,
    check_options,
    did_you_mean,
    is_real,
)
from hessian.errors import OptionError, message

DEFAULT_GTOL = {"float32": 1e-3}
"""Gradient tolerance by dtype where the usual 1e-6 is out of reach of rounding."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LoopOptions:
    """What every run has, that of training on batches included."""

    maxiter: int = 1000
    max_seconds: float = math.inf
    record: bool = True
    progress: bool = False
    checkpoint: str | os.PathLike[str] | None = None
    checkpoint_every: float = 10.0
    resume: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Options(LoopOptions):
    """What ``options`` of :func:`hessian.optimize.minimize` may contain, with defaults; see there for meanings."""

    gtol: float = 1e-6
    max_hvp: int = sys.maxsize
    max_cg: int | None = None
    initial_radius: float | None = None
    max_radius: float = math.inf
    initial_regularization: float | None = None
    preconditioner: Any = None
    eta: float | None = None
    check_curvature: bool = True
    rng: int = 0


_FROM_SCIPY = {"disp": "progress", "initial_trust_radius": "initial_radius", "max_trust_radius": "max_radius"}
LOOP_RANGES: dict[str, Wanted] = {
    "maxiter": at_least(0),
    "max_seconds": BUDGET,
    "record": FLAG,
    "progress": FLAG,
    "checkpoint": FILE,
    "checkpoint_every": BUDGET,
    "resume": FLAG,
}
_RANGES: dict[str, Wanted] = LOOP_RANGES | {
    "gtol": BUDGET,
    "max_hvp": at_least(0),
    "max_cg": at_least(1),
    "initial_radius": POSITIVE,
    "max_radius": LIMIT,
    "eta": Wanted("a number in [0, 0.25)", lambda v: is_real(v) and 0 <= v < 0.25),
    "check_curvature": FLAG,
    "initial_regularization": POSITIVE,
    "preconditioner": Wanted(
        "'jacobi', 'lbfgs', 'factor', 'nystrom', an array like x0, a linear operator or a function of x that returns one",
        lambda v: (
            v in ("jacobi", "lbfgs", "factor", "nystrom")
            if isinstance(v, str)
            else not isinstance(v, (bool, numbers.Number))
        ),
    ),
    "rng": RNG,
}


def parse_options(
    options: Mapping[str, Any] | None, tol: float | None, dtype: np.dtype[Any], where: str = "minimize"
) -> Options:
    """Check user options and fill in the defaults.

    ``None`` stands for the default (but for ``rng``, where it stands for new numbers), and ``tol`` for gtol where that is not given.

    Raises
    ------
    OptionError
        A name that does not exist (the nearest one is named), or a value out of range.
    """
    given: dict[str, Any] = {"gtol": DEFAULT_GTOL[dtype.name]} if dtype.name in DEFAULT_GTOL else {}
    if tol is not None:
        given["gtol"] = tol
    asked = check_options(where, options, option_names(), _FROM_SCIPY)
    given |= {name: setting for name, setting in asked.items() if setting is not None or name == "rng"}
    for name, setting in given.items():
        check(where, f"option {name!r}", setting, _RANGES[name])
    if "rng" in given:
        given["rng"] = as_seed(given["rng"], where)  # a run draws the same numbers more than once
    parsed = Options(**given)
    if parsed.initial_radius is not None and parsed.initial_radius > parsed.max_radius:
        what = f"initial_radius {parsed.initial_radius:g} is larger than max_radius {parsed.max_radius:g}"
        raise OptionError(message(where, what, fix="Raise max_radius or lower initial_radius"))
    check_resume(where, parsed)
    return parsed


def check_resume(where: str, options: LoopOptions) -> None:
    """Refuse to resume from nothing."""
    if options.resume and options.checkpoint is None:
        what = "resume is given without a checkpoint"
        raise OptionError(message(where, what, fix="Pass checkpoint=FILE with it"))


def option_names() -> list[str]:
    """Names an option may have, the solvers' own first."""
    shared = [field.name for field in fields(LoopOptions)]
    return [field.name for field in fields(Options) if field.name not in shared] + shared


def refuse_arguments(
    where: str,
    given: Mapping[str, Any],
    unsupported: Mapping[str, tuple[str, str]],
    asks_for_nothing: Callable[[str, Any], bool],
    known: Iterable[str],
) -> None:
    """Explain arguments of SciPy's that do not apply, by reasons and what to do instead, and those that do not exist."""
    for name, item in given.items():
        if name in option_names():
            what = f"{name} is an option, not an argument"
            raise OptionError(message(where, what, fix=f"Pass options={{{name!r}: {item!r}}}"))
        if name not in unsupported:
            question = did_you_mean(name, known)
            fix = " ".join(filter(None, [question, f"See help(hessian.optimize.{where})"]))
            raise OptionError(message(where, f"there is no argument {name!r}", fix=fix))
        if not asks_for_nothing(name, item):
            raise OptionError(message(where, f"the argument {name} is not supported", *unsupported[name]))
