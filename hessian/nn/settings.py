"""Options of the training methods that work on batches: one dataclass each, every value checked."""

from __future__ import annotations

import difflib
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from typing import Any, TypeVar

import numpy as np

from hessian.errors import OptionError, message
from hessian.optimize.options import is_integer, is_real


@dataclass(frozen=True, slots=True, kw_only=True)
class LoopOptions:
    """What every method has; see `hessian.nn.train` for the meanings."""

    maxiter: int = 100
    max_seconds: float = math.inf
    checkpoint_every: float = 5.0
    progress: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class HessianFreeOptions(LoopOptions):
    """Of ``"hessian-free"``; see `hessian.nn.hessian_free.HessianFree`."""

    gtol: float = 1e-6
    damping: float = 1.0
    max_cg: int = 100
    cg_tol: float = 5e-4
    decay: float = 0.95
    gradient_batch_size: int | None = None
    preconditioner: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class FirstOrderOptions(LoopOptions):
    """Of the first-order methods; see `hessian.nn.first_order` for the formulas."""

    learning_rate: float | Callable[[int], float] | None = None
    schedule: str | Callable[[int], float] = "constant"
    momentum: float = 0.9
    nesterov: bool = False
    decay: float = 0.9
    beta1: float = 0.9
    beta2: float = 0.999
    epsilon: float = 1e-8
    weight_decay: float = 0.0
    clip_norm: float = math.inf
    clip_value: float = math.inf


Chosen = TypeVar("Chosen", bound=LoopOptions)

_COUNT = ("an integer >= 1", lambda v: is_integer(v) and v >= 1)
_FLAG = ("True or False", lambda v: isinstance(v, (bool, np.bool_, int)) and v in (0, 1))
_POSITIVE = ("a finite number > 0", lambda v: is_real(v) and 0 < v < math.inf)
_LIMIT = ("a number > 0", lambda v: is_real(v) and v > 0)
_SHARE = ("a number in [0, 1)", lambda v: is_real(v) and 0 <= v < 1)
_SIZE = ("a finite number >= 0", lambda v: is_real(v) and 0 <= v < math.inf)
_RANGES: dict[str, tuple[str, Callable[[Any], bool]]] = {
    "maxiter": ("an integer >= 0", lambda v: is_integer(v) and v >= 0),
    "max_seconds": ("a number >= 0", lambda v: is_real(v) and v >= 0),
    "checkpoint_every": _SIZE,
    "progress": _FLAG,
    "gtol": _SIZE,
    "damping": _POSITIVE,
    "max_cg": _COUNT,
    "cg_tol": ("a number in (0, 1)", lambda v: is_real(v) and 0 < v < 1),
    "gradient_batch_size": _COUNT,
    "preconditioner": ("'diagonal' or None", lambda v: isinstance(v, str) and v == "diagonal"),
    "learning_rate": ("a finite number > 0, or a function step -> rate", lambda v: callable(v) or _POSITIVE[1](v)),
    "schedule": ("a name or a function step -> rate", lambda v: callable(v) or isinstance(v, str)),
    "momentum": _SHARE,
    "nesterov": _FLAG,
    "decay": _SHARE,
    "beta1": _SHARE,
    "beta2": _SHARE,
    "epsilon": _POSITIVE,
    "weight_decay": _SIZE,
    "clip_norm": _LIMIT,
    "clip_value": _LIMIT,
}
_CAN_BE_NONE = ("preconditioner",)
_OF_RULES = {
    "gradient-descent": (), "momentum": ("momentum", "nesterov"), "adagrad": ("epsilon",), "rmsprop": ("decay", "epsilon"),
    "adam": ("beta1", "beta2", "epsilon"),
}  # fmt: skip
"""Options in the formulas of single first-order methods; the others have no use for them."""


def parse_settings(kind: type[Chosen], method: str, options: Mapping[str, Any] | None) -> Chosen:
    """Check the options of a method and fill in the defaults; ``None`` stands for the default, or for none.

    Raises
    ------
    OptionError
        A name that this method does not have (the nearest one is named), or a value out of range.
    """
    if options is not None and not isinstance(options, Mapping):
        fix = 'Pass e.g. options={"maxiter": 50}'
        raise OptionError(message("train", f"options is {options!r}, not a dict", fix=fix))
    known, given = _names(kind, method), {}
    for key, setting in (options or {}).items():
        name = "progress" if key == "disp" else key
        if name not in known:
            what = f"there is no option {key!r} of method {method!r}"
            raise OptionError(message("train", what, f"All are {', '.join(known)}", _advice(name, known)))
        if setting is None and name not in _CAN_BE_NONE:
            continue
        expected, is_valid = _RANGES[name]
        if setting is not None and not is_valid(setting):
            raise OptionError(message("train", f"option {name!r} is {setting!r}, expected {expected}"))
        given[name] = setting
    return kind(**given)


def _names(kind: type[LoopOptions], method: str) -> list[str]:
    """Options a method has: of those in formulas only the ones in its own."""
    others = {name for names in _OF_RULES.values() for name in names} - set(_OF_RULES.get(method, ()))
    return [field.name for field in fields(kind) if method not in _OF_RULES or field.name not in others]


def _advice(name: Any, known: list[str]) -> str:
    """Say whose an option is that this method does not have, or which one was meant."""
    owners = [repr(method) for method, names in _OF_RULES.items() if name in names]
    if owners:
        return f"Leave it out, or use method={' or '.join(owners)}"
    return f"Did you mean {difflib.get_close_matches(str(name), known, n=1, cutoff=0.0)[0]!r}?"


def fingerprint_of(settings: LoopOptions) -> dict[str, Any]:
    """Return what two runs must share to be one run: every option but those that say when to stop and what to show."""
    shared = [field.name for field in fields(settings) if field.name not in {f.name for f in fields(LoopOptions)}]
    return {name: _named(getattr(settings, name)) for name in shared}


def _named(setting: Any) -> Any:
    """Return a setting that a file can hold: functions go by their names."""
    return getattr(setting, "__qualname__", type(setting).__name__) if callable(setting) else setting
