"""The line of user code that is running, for messages."""

from __future__ import annotations

import linecache
import os
import sys
from typing import Any

_PACKAGE = os.path.dirname(os.path.dirname(os.path.abspath(__file__))) + os.sep


def user_frame() -> tuple[Any, set[str]]:
    """Return the innermost frame outside this package, NumPy and SciPy, and the functions of theirs it called."""
    frame: Any = sys._getframe(1)
    library_functions: set[str] = set()
    while frame is not None:
        name = frame.f_code.co_filename
        module = frame.f_globals.get("__name__", "").partition(".")[0]
        if module not in ("numpy", "scipy", "contextlib", "functools") and not name.startswith(_PACKAGE):
            break
        library_functions.add(frame.f_code.co_name)
        frame = frame.f_back
    return frame, library_functions


def scipy_function() -> str:
    """Return the dotted name of the function of SciPy that user code has called; empty if it is none."""
    frame: Any = sys._getframe(1)
    outermost = ""
    while frame is not None:
        module = frame.f_globals.get("__name__", "")
        if module.partition(".")[0] == "scipy":
            public = ".".join(part for part in module.split(".") if not part.startswith("_"))
            outermost = f"{public}.{frame.f_code.co_name}"
        elif not frame.f_code.co_filename.startswith(_PACKAGE) and module.partition(".")[0] not in (
            "numpy",
            "functools",
        ):
            break
        frame = frame.f_back
    return outermost


def source_line(frame: Any) -> str:
    """Return the line of code that a frame is at."""
    return linecache.getline(frame.f_code.co_filename, frame.f_lineno).strip() if frame is not None else ""


def user_line() -> str:
    """Return ``file:line: source`` of the line of user code that is running."""
    frame, _ = user_frame()
    if frame is None:
        return "an unknown line"
    source = source_line(frame)
    return f"{frame.f_code.co_filename}:{frame.f_lineno}" + (f": {source}" if source else "")
