"""Pickles: what is made of a function that no pickle can hold says what to pickle instead."""

from __future__ import annotations

import functools
import sys
from types import FrameType, FunctionType
from typing import Any

from hessian.errors import PickleError, message

_OTHERS = ("copy", "cloudpickle", "dill")
"""Packages that ask objects for their state and take every function: copies, and picklers that write code down."""


def name_in_module(item: Any, *parts: Any, instead: str = "") -> str | None:
    """Return the name that stands for an object, if its module has it under one; else see that the functions it is made of have names.

    What decorates a function (``@hs.record``) is pickled as functions are: by its name.

    Raises
    ------
    PickleError
        One is a lambda, was defined within a function, or is hidden by what decorates it.
    """
    if _by_name(item) is item:
        return str(item.__qualname__)
    functions = [_innermost(f) for f in parts]
    f = next((f for f in functions if isinstance(f, FunctionType) and _by_name(f) is not f), None)
    if f is None or _asked_by_others(sys._getframe(1)):
        return None
    what = f"{type(item).__name__} of {f.__qualname__}, a function that has no name in its module {f.__module__}"
    why = "A pickle holds no functions, only their names"
    fix = instead or "Define the function with def at the top of a module, or pickle its data and make this anew"
    raise PickleError(message("pickle", what, why, f"{fix}. Or use cloudpickle, which writes functions down"))


def _innermost(f: Any) -> Any:
    while isinstance(f, functools.partial):
        f = f.func
    return f


def _by_name(item: Any) -> Any:
    """Return what the module of an object has under its name."""
    found: Any = sys.modules.get(getattr(item, "__module__", None) or "")
    for name in str(getattr(item, "__qualname__", "")).split("."):
        found = getattr(found, name, None)
    return found


def _asked_by_others(frame: FrameType | None) -> bool:
    """Tell whether somebody else than Python's pickle asks."""
    while frame is not None:
        if not {*_OTHERS}.isdisjoint(str(frame.f_globals.get("__name__")).split(".")):
            return True
        frame = frame.f_back
    return False
