"""How compiling gets along with everything else: garbage collection, failures, and the plain sweeps that serve meanwhile."""

from __future__ import annotations

import gc
import os
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from hessian.errors import ProgramWarning, message
from hessian.tape.tape import GuardMiss

LONG_TAPE, COMPILE_LONG_AFTER = 2000, 24
"""Instructions of a function from which on compiling takes a noticeable fraction of a second, and the plain sweeps serve until
they have taken as long: whatever comes then, it costs at most twice the cheaper of the two ways. Sweeps are counted, not
timed: results do not depend on the machine."""


class TooLong(Exception):
    """A function is long to compile, and has not been called often enough to pay for it."""


class CompilationError(Exception):
    """No program could be made: out of memory, too much for Python's compiler, or an error of the library's own."""


class OperationError(Exception):
    """An operation of a program has raised what it may raise at the values it was given: the plain function meets it too."""


OUT_OF_ROOM = (MemoryError, RecursionError)
"""What is nobody's error, and may not happen again."""


def is_debugging() -> bool:
    """Tell whether errors of the library's own are to be seen, not survived."""
    return os.environ.get("HESSIAN_DEBUG", "") not in ("", "0")


def watched(function: Callable[..., Any], errors: Any) -> Callable[..., Any]:
    """Return a function whose ``errors`` are told from those of the program around it."""

    def call(*args: Any, **keywords: Any) -> Any:
        try:
            return function(*args, **keywords)
        except (GuardMiss, OperationError):
            raise
        except errors as error:
            raise OperationError(str(error)) from error

    return call


@contextmanager
def compiling() -> Iterator[None]:
    """Turn whatever goes wrong here into a :class:`CompilationError`; interrupts pass."""
    try:
        yield
    except Exception as error:
        raise CompilationError(f"{type(error).__name__}: {error}") from error


@contextmanager
def paused_collection() -> Iterator[None]:
    """Keep Python from looking for reference cycles meanwhile: a graph grows by a million objects that all stay.

    It would look at them again and again, which takes a third of the time of a long compilation.
    """
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def report_failure(where: str, error: BaseException, *, tell: bool = True) -> None:
    """Say that the plain sweeps take over for good; while debugging, raise what was no lack of memory or of depth."""
    cause = error.__cause__ if isinstance(error, CompilationError) and error.__cause__ is not None else error
    if is_debugging() and not isinstance(cause, OUT_OF_ROOM):
        raise error
    if not tell:
        return
    made = isinstance(error, (CompilationError, *OUT_OF_ROOM))
    reason = str(error) if isinstance(error, CompilationError) else f"{type(error).__name__}: {error}"
    what = f"no program could be made ({reason})" if made else f"a program failed ({reason})"
    why = "Results are those of the plain sweeps, which take several times as long"
    fix = "Pass record=False to do without programs, or report this"
    warnings.warn(message(where, what, why, fix), ProgramWarning, stacklevel=2)
