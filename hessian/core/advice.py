"""Where a line of user code loses a derivative, and what to write instead."""

from __future__ import annotations

import linecache
import os
import re
import sys
from typing import Any, NoReturn

import numpy as np

from hessian.errors import LeavesTapeError, MissingRuleError, message
from hessian.rules.spec import MISSING, Operation, Traced, nearest_supported, public_name
from hessian.rules.special import TWINS

_PACKAGE = os.path.dirname(os.path.dirname(os.path.abspath(__file__))) + os.sep


def _user_frame() -> tuple[Any, set[str]]:
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


def _source_line(frame: Any) -> str:
    return linecache.getline(frame.f_code.co_filename, frame.f_lineno).strip() if frame is not None else ""


def user_line() -> str:
    """Return ``file:line: source`` of the line of user code that is running."""
    frame, _ = _user_frame()
    if frame is None:
        return "an unknown line"
    source = _source_line(frame)
    return f"{frame.f_code.co_filename}:{frame.f_lineno}" + (f": {source}" if source else "")


# What a line that loses a derivative looks like, and what to write instead.
_ADVICE = (
    (re.compile(r"\bmath\.(\w+)\("), r"Use np.\1 rather than math.\1"),
    (re.compile(r"\.dot\("), "Use A @ x rather than A.dot(x)"),
    (
        re.compile(r"\]\s*[-+*/]?=(?!=)"),
        "Assign into np.zeros_like(x) (x traced) rather than into a plain array, or use np.stack",
    ),
    (re.compile(r"\.item\("), "Use x[i] without .item()"),
    (re.compile(r"\.tolist\("), "Use list(x)"),
    (re.compile(r"\b(?:as\w*)?array\("), "Use x itself: it already is an array"),
    (re.compile(r"\b(?:float|complex|int)\("), "Use x itself, without the conversion to a Python number"),
)


def leaves_tape(how: str, fix: str = "") -> NoReturn:
    """Raise the error for a traced value that was about to become plain numbers, with advice read off the user's line."""
    frame, library_functions = _user_frame()
    source = _source_line(frame)
    twins = sorted(library_functions & TWINS.keys())
    advice = [f"Use hessian.special.{name}, which takes traced values" for name in twins]
    advice += [pattern.sub(text, found.group()) for pattern, text in _ADVICE if (found := pattern.search(source))]
    # Not every function of math has a namesake in NumPy.
    advice = [
        line for line in advice if not line.startswith("Use np.") or hasattr(np, line.split()[1].removeprefix("np."))
    ]
    raise LeavesTapeError(
        message(
            how,
            f"a traced value would become plain numbers at {user_line()}",
            "its derivative would be lost",
            ". ".join(advice) or fix or "Apply np functions to x directly",
        )
    )


def missing_rule(target: Any, args: tuple[Any, ...]) -> NoReturn:
    """Raise the error for an operation without a derivative rule."""
    name = public_name(target)
    at = next((i for i, x in enumerate(args) if isinstance(x, Traced)), 0)
    shape = getattr(args[at], "shape", ()) if args else ()
    twin = TWINS.get(name.rsplit(".", 1)[-1])
    nearest = f"hessian.special.{twin.__name__}" if twin else nearest_supported(name.rsplit(".", 1)[-1])
    raise MissingRuleError(
        message(
            name,
            f"no derivative rule, called with a traced value of shape {shape} as argument {at} at {user_line()}",
            "its derivative would be lost",
            (f"The nearest supported operation is {nearest}; " if nearest else "")
            + "write it in supported operations or declare it with a row in hessian.rules",
        )
    )


def reaches_rule(operation: Operation, carrying: list[bool]) -> bool:
    """Tell whether an operand that carries a derivative stands where the operation has one; raise if it is missing."""
    if not operation.differentiable:
        return False
    states = operation.states or (None,) * len(carrying)
    reached = [state for carries, state in zip(carrying, states, strict=True) if carries]
    if any(state is MISSING for state in reached):
        position = next(i for i, state in enumerate(states) if carrying[i] and state is MISSING)
        what = f"the derivative in argument {position} has no rule, at {user_line()}"
        raise MissingRuleError(message(operation.name, what, "it would be lost", "Keep that argument constant"))
    return any(state is None for state in reached)
