"""How compiling gets along with everything else: garbage collection, failures, and the plain sweeps that serve meanwhile."""

from __future__ import annotations

import gc
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

from hessian.errors import ProgramWarning, message

LONG_TAPE, COMPILE_LONG_AFTER = 2000, 24
"""Instructions of a function from which on compiling takes a noticeable fraction of a second, and the plain sweeps serve until
they have taken as long: whatever comes then, it costs at most twice the cheaper of the two ways. Sweeps are counted, not
timed: results do not depend on the machine."""


class TooLong(Exception):
    """A function is long to compile, and has not been called often enough to pay for it."""


class CompilationError(Exception):
    """No program could be made: out of memory, too much for Python's compiler, or an error of the library's own."""


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


def warn_of_failure(where: str, error: BaseException) -> None:
    """Say that the plain sweeps take over for good."""
    what = f"no program could be made ({error})"
    why = "Results are those of the plain sweeps, which take several times as long"
    fix = "Pass record=False to do without programs, or report this"
    warnings.warn(message(where, what, why, fix), ProgramWarning, stacklevel=2)
