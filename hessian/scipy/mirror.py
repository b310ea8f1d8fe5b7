"""How a module of this room stands for the one of SciPy's of that name, and what a twin is.

A module has the twins it defines; any other name is SciPy's own object, looked up when it is first asked for. A twin called with plain
arrays is the function of SciPy: its values are SciPy's, bit for bit.
"""

from __future__ import annotations

import functools
import importlib
import inspect
import sys
from collections.abc import Callable
from typing import Any

from hessian.rules.traced import Traced, holds_traced
from hessian.rules.twins import MODULES


def mirrored(module: str) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """Return ``__getattr__`` and ``__dir__`` of a module: what it does not define is SciPy's.

    Examples
    --------
    >>> import scipy.linalg
    >>> import hessian.scipy as twins
    >>> twins.linalg.svdvals is scipy.linalg.svdvals
    True
    """
    name = module.removeprefix("hessian.")

    def of_scipy(attribute: str) -> Any:
        dotted = f"{name}.{attribute}"
        if dotted in MODULES:
            return importlib.import_module(f"hessian.{dotted}")
        if not attribute.startswith("__"):
            try:
                return getattr(importlib.import_module(name), attribute)
            except AttributeError:
                pass
        raise AttributeError(f"module {module!r} has no attribute {attribute!r}")

    def names() -> list[str]:
        own = vars(sys.modules[module])
        return sorted({*dir(importlib.import_module(name)), *own.get("__all__", ())} - {"annotations"})

    return of_scipy, names


def twin(original: Callable[..., Any]) -> Callable[[Callable[..., Any]], Any]:
    """Declare the twin of a function of SciPy: the decorated function where an argument holds traced values, else SciPy's own."""

    def declare(call: Callable[..., Any]) -> Any:
        @functools.wraps(call)
        def either(*args: Any, **keywords: Any) -> Any:
            is_traced = any(map(holds, args)) or any(map(holds, keywords.values()))
            return (call if is_traced else original)(*args, **keywords)

        either.__signature__ = inspect.signature(call)  # type: ignore[attr-defined]
        either.original = original  # type: ignore[attr-defined]
        return either

    return declare


def holds(x: Any) -> bool:
    """Tell whether an argument is traced or a sequence with a traced value in it; large plain arrays are not looked through."""
    return isinstance(x, Traced) or (not callable(x) and holds_traced(x))
