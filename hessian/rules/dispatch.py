"""Which callable of NumPy and SciPy reaches which operation, or is written in terms of others, where it meets traced values."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.special

from hessian.errors import OptionError, message
from hessian.rules.samples import Case
from hessian.rules.spec import Elementwise, register
from hessian.rules.traced import entered


@dataclass(frozen=True)
class Entry:
    """A NumPy or SciPy callable that works on traced values, with its test cases.

    ``enters`` is applied to every argument first: a list is one array, a sequence of them, or taken apart by ``call`` itself.
    """

    target: Callable[..., Any]
    call: Callable[..., Any]
    cases: tuple[Case, ...]
    domain: tuple[float, float] = (-2.0, 2.0)
    analytic: Callable[..., Any] | None = None
    kinks: str = ""
    enters: Callable[[Any], Any] = entered

    @property
    def name(self) -> str:
        """Public dotted name, such as ``numpy.linalg.solve``."""
        return public_name(self.target)


DISPATCH: dict[Any, Entry] = {}
"""From the callable a user writes to the function that applies it to traced values."""


def public_name(target: Any) -> str:
    """Return the dotted name under which a user knows ``target``."""
    name = getattr(target, "__name__", str(target))
    module = getattr(target, "__module__", None) or ""
    if isinstance(target, np.ufunc) and not module:
        # NumPy's and SciPy's ufuncs do not say where they come from.
        homes = {"numpy": np, "scipy.special": scipy.special}
        module = next((home for home, place in homes.items() if getattr(place, name, None) is target), "")
    public = ".".join(part for part in module.split(".") if not part.startswith("_"))
    public = public.replace("hessian.rules.", "hessian.")
    return f"{public}.{name}" if public else name


def expose(
    target: Any,
    call: Callable[..., Any],
    *,
    cases: Sequence[Case] = (),
    domain: tuple[float, float] = (-2.0, 2.0),
    analytic: Callable[..., Any] | None = None,
    kinks: str = "",
    enters: Callable[[Any], Any] = entered,
) -> None:
    """Let ``target``, as users write it, reach ``call`` when it meets a traced value."""
    DISPATCH[target] = Entry(target, call, tuple(cases), domain, analytic, kinks, enters)


def elementwise(ufunc: np.ufunc, **row: Any) -> Elementwise:
    """Declare the row of a ufunc and let the ufunc reach it."""
    operation = register(Elementwise(ufunc.__name__, ufunc, **row))
    expose(ufunc, operation, kinks=operation.kinks, analytic=operation.analytic)
    return operation


def composite(*targets: Any, cases: Sequence[Case], **options: Any) -> Callable[[Any], Any]:
    """Declare a NumPy function by writing it in terms of others; it then needs no derivative of its own."""

    def declare(call: Callable[..., Any]) -> Callable[..., Any]:
        for target in targets:
            expose(target, call, cases=cases, **options)
        return call

    return declare


def refuse(where: str, **keywords: Any) -> None:
    """Refuse keywords of NumPy's that have no meaning on traced values, unless they are at their default."""
    for name, value in keywords.items():
        if value is not None and value is not np._NoValue:
            raise OptionError(message(where, f"the keyword {name!r} is not supported on traced values"))
