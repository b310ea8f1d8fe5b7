"""Options of the training methods that work on batches: one dataclass each, every value checked."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from typing import Any, TypeVar

from hessian.arguments import (
    INSIDE,
    NOT_NEGATIVE,
    POSITIVE,
    SHARE,
    Wanted,
    at_least,
    check,
    check_options,
)
from hessian.errors import OptionError, message
from hessian.optimize.options import LOOP_RANGES, LoopOptions, check_resume


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchOptions(LoopOptions):
    """What every method has; see ``hessian.nn.train`` for the meanings."""

    maxiter: int = 100
    checkpoint_every: float = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class HessianFreeOptions(BatchOptions):
    """Of ``"hessian-free"``; see ``hessian.nn.batch_methods.hessian_free.HessianFree``."""

    gtol: float = 1e-6
    damping: float = 1.0
    max_cg: int = 100
    cg_tol: float = 5e-4
    decay: float = 0.95
    gradient_batch_size: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class FirstOrderOptions(BatchOptions):
    """Of the first-order methods; see ``hessian.nn.batch_methods.first_order`` for the formulas."""

    learning_rate: float | Callable[[int], float] | None = None
    schedule: str = "constant"
    momentum: float = 0.9
    decay: float = 0.9
    beta1: float = 0.9
    beta2: float = 0.999
    epsilon: float = 1e-8


Chosen = TypeVar("Chosen", bound=BatchOptions)

_RANGES: dict[str, Wanted] = LOOP_RANGES | {
    "gtol": NOT_NEGATIVE,
    "damping": POSITIVE,
    "max_cg": at_least(1),
    "cg_tol": INSIDE,
    "gradient_batch_size": at_least(1),
    "learning_rate": Wanted(
        f"{POSITIVE.words}, or a function step -> rate", lambda v: callable(v) or POSITIVE.admits(v)
    ),
    "schedule": Wanted("'constant' or 'cosine'", lambda v: isinstance(v, str) and v in ("constant", "cosine")),
    "momentum": SHARE,
    "decay": SHARE,
    "beta1": SHARE,
    "beta2": SHARE,
    "epsilon": POSITIVE,
}
_OF_RULES = {
    "gradient-descent": (), "momentum": ("momentum",), "adagrad": ("epsilon",), "rmsprop": ("decay", "epsilon"),
    "adam": ("beta1", "beta2", "epsilon"),
}  # fmt: skip
"""Options in the formulas of single first-order methods; the others have no use for them."""


def parse_settings(kind: type[Chosen], method: str, options: Mapping[str, Any] | None) -> Chosen:
    """Check the options of a method and fill in the defaults; ``None`` stands for the default.

    Raises
    ------
    OptionError
        A name that this method does not have (the nearest one is named), or a value out of range.
    """
    known, given = _names(kind, method), {}
    for name in _of_others(options, known):
        what = f"there is no option {name!r} of method {method!r}"
        takers = " or ".join(repr(other) for other, names in _OF_RULES.items() if name in names)
        raise OptionError(
            message("train", what, f"All are {', '.join(known)}", f"Leave it out, or use method={takers}")
        )
    for name, setting in check_options("train", options, known, {"disp": "progress"}, f" of method {method!r}").items():
        if setting is not None:
            check("train", f"option {name!r}", setting, _RANGES[name])
            given[name] = setting
    parsed = kind(**given)
    check_resume("train", parsed)
    return parsed


def _names(kind: type[BatchOptions], method: str) -> list[str]:
    """Options a method has: of those in formulas only the ones in its own."""
    others = {name for names in _OF_RULES.values() for name in names} - set(_OF_RULES.get(method, ()))
    return [field.name for field in fields(kind) if method not in _OF_RULES or field.name not in others]


def _of_others(options: Mapping[str, Any] | None, known: list[str]) -> list[str]:
    """Options given that only other methods have."""
    others = {name for names in _OF_RULES.values() for name in names}.difference(known)
    return [name for name in options if name in others] if isinstance(options, Mapping) else []


def fingerprint_of(settings: BatchOptions) -> dict[str, Any]:
    """Return what two runs must share to be one run: every option but those of the loop."""
    shared = [field.name for field in fields(settings) if field.name not in {f.name for f in fields(BatchOptions)}]
    return {name: _named(getattr(settings, name)) for name in shared}


def _named(setting: Any) -> Any:
    """Return a setting that a file can hold: functions go by their names."""
    return getattr(setting, "__qualname__", type(setting).__name__) if callable(setting) else setting
