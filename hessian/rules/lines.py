"""The line of user code that is running, for messages."""

from __future__ import annotations

import linecache
import os
import sys
from typing import Any

_PACKAGE = os.path.dirname(os.path.dirname(os.path.abspath(__file__))) + os.sep


_BETWEEN = ("numpy", "scipy", "pandas", "contextlib", "functools")
"""Modules that stand between a user's line and this package."""


def user_frame() -> Any:
    """Return the innermost frame outside this package, NumPy, SciPy and pandas."""
    frame: Any = sys._getframe(1)
    while frame is not None:
        if _module(frame) not in _BETWEEN and not _is_of_package(frame):
            break
        frame = frame.f_back
    return frame


def in_pandas() -> bool:
    """Tell whether a user's line runs code of pandas."""
    frame: Any = sys._getframe(1)
    while frame is not None and (_module(frame) in _BETWEEN or _is_of_package(frame)):
        if _module(frame) == "pandas":
            return True
        frame = frame.f_back
    return False


def _module(frame: Any) -> str:
    return str(frame.f_globals.get("__name__", "")).partition(".")[0]


def scipy_functions(error: BaseException | None = None) -> list[str]:
    """Return the dotted names of SciPy's functions and classes that user code is in, or was at an error, the one it has called first.

    Those of ``numpy.polynomial``, which do not dispatch either, count with them.
    """
    frames: list[Any] = []
    if error is not None:
        place = error.__traceback__
        while place is not None:
            frames.insert(0, place.tb_frame)
            place = place.tb_next
    else:
        frame: Any = sys._getframe(1)
        while frame is not None:
            frames.append(frame)
            frame = frame.f_back
    called: list[str] = []
    for frame in frames:
        module = frame.f_globals.get("__name__", "")
        if module.startswith(("scipy._lib.", "scipy._external.")):
            # Conversions, which nobody calls, and decorators, which may convert before they call what they decorate.
            decorated = frame.f_locals.get("f")
            if (getattr(decorated, "__module__", None) or "").startswith("scipy."):
                called[:0] = [f"{_public(decorated.__module__)}.{decorated.__name__}"]
        elif callable(decorated := frame.f_locals.get("hypotest_fun_in")):  # tests and moments of scipy.stats
            called[:0] = [f"{_public(module)}.{decorated.__name__}"]
        elif module.startswith(("scipy.", "numpy.polynomial.")):
            called[:0] = [f"{_public(module)}.{part}" for part in reversed(_qualified(frame))]
        elif not _is_of_package(frame) and module.partition(".")[0] not in _BETWEEN:
            break
    return called


def _qualified(frame: Any) -> list[str]:
    """Parts of the name of the function of a frame; of a method that another class lends, the class of the object comes first.

    It comes in place of a private one.
    """
    parts = frame.f_code.co_qualname.split(".")
    if len(parts) < 2 or "self" not in frame.f_locals:
        return parts
    heir = type(frame.f_locals["self"]).__name__
    if heir == parts[0]:
        return parts
    return [heir, *parts[parts[0].startswith("_") :]]


def _public(module: str) -> str:
    return ".".join(part for part in module.split(".") if not part.startswith("_"))


def _is_of_package(frame: Any) -> bool:
    return bool(frame.f_code.co_filename.startswith(_PACKAGE))


def source_lines(filename: str) -> list[str]:
    """Return the source of a file; nothing where there is none, or where what has taken the place of linecache fails, as doctest's may."""
    try:
        return linecache.getlines(filename)
    except Exception:
        return []


def source_line(frame: Any) -> str:
    """Return the line of code that a frame is at."""
    lines = source_lines(frame.f_code.co_filename)[frame.f_lineno - 1 :][:1] if frame is not None else []
    return lines[0].strip() if lines else ""


def user_line() -> str:
    """Return ``file:line: source`` of the line of user code that is running."""
    frame = user_frame()
    if frame is None:
        return "an unknown line"
    source = source_line(frame)
    return f"{frame.f_code.co_filename}:{frame.f_lineno}" + (f": {source}" if source else "")
