"""Which callable of NumPy and SciPy reaches which operation, or is written in terms of others, where it meets traced values."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.special

from hessian.errors import OptionError, message
from hessian.rules.operation import Operation
from hessian.rules.samples import LINE, PLANE, Case
from hessian.rules.spec import Elementwise, register
from hessian.rules.traced import entered


@dataclass(frozen=True)
class Entry:
    """A NumPy or SciPy callable that works on traced values, with its test cases.

    Attributes
    ----------
    target, call : callable
        What a user writes, and what applies it to traced values.
    row : Operation or None
        The row that it is, where it is one; it says what is not said here.
    cases, analytic, real_only, kinks
        As in a row.
    domain : (low, high)
        Where samples are drawn that do not say it.
    plain : callable or None
        The function whose values it has, if that is not ``target``.
    untested : str
        Why there are no cases.
    enters : callable
        Applied to every argument first: a list is one array, a sequence of them, or taken apart by ``call`` itself.
    """

    target: Callable[..., Any]
    call: Callable[..., Any]
    row: Operation | None = None
    cases: Sequence[Case] = ()
    domain: tuple[float, float] = (-2.0, 2.0)
    analytic: Callable[..., Any] | None = None
    real_only: bool = False
    kinks: str = ""
    plain: Callable[..., Any] | None = None
    untested: str = ""
    enters: Callable[[Any], Any] = entered

    @property
    def name(self) -> str:
        """Public dotted name, such as ``numpy.linalg.solve``."""
        return public_name(self.target)


DISPATCH: dict[Any, Entry] = {}
"""From the callable a user writes to the function that applies it to traced values."""


COMPLEX_RESULTS = "its results are complex numbers, which have tests of their own"
"""Why callables are left out of tests that sum up real results."""


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


def expose(target: Any, call: Callable[..., Any], *, row: Operation | None = None, **said: Any) -> None:
    """Let ``target``, as users write it, reach ``call`` when it meets a traced value."""
    row = call if isinstance(call, Operation) else row
    of_row = {name: getattr(row, name) for name in ("cases", "analytic", "real_only", "kinks")} if row else {}
    DISPATCH[target] = Entry(target, call, row, **(of_row | said))


def elementwise(ufunc: np.ufunc, **row: Any) -> Elementwise:
    """Declare the row of a ufunc and let the ufunc reach it; special points are by default those of the line or the plane."""
    row.setdefault("points", {1: LINE, 2: PLANE}.get(len(row["d1"]), ()))
    operation = register(Elementwise(ufunc.__name__, ufunc, **row))
    expose(ufunc, operation)
    return operation


def composite(*targets: Any, **said: Any) -> Callable[[Any], Any]:
    """Declare a NumPy function by writing it in terms of others; it then needs no derivative of its own."""

    def declare(call: Callable[..., Any]) -> Callable[..., Any]:
        for target in targets:
            expose(target, call, **said)
        return call

    return declare


def refuse(where: str, /, **keywords: Any) -> None:
    """Refuse keywords of NumPy's that have no meaning on traced values, unless they are at their default."""
    for name, value in keywords.items():
        if value is not None and value is not np._NoValue:
            fix = "Pass it by name" if name == "out" else ""
            raise OptionError(message(where, f"the keyword {name!r} is not supported on traced values", fix=fix))
