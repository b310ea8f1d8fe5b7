"""Exception classes of the library and the one formatter of their messages.

Every class derives from :class:`HessianError` and from the builtin a NumPy user would have caught, so ``except ValueError``
keeps working. A message says what is wrong (observed and expected), where, why it matters and what to do.
"""

from __future__ import annotations

from pickle import PicklingError

from numpy.linalg import LinAlgError

__all__ = [
    "CheckpointError",
    "CheckpointWarning",
    "ConvergenceError",
    "DerivativeCheckError",
    "DtypeError",
    "HessianError",
    "IntervalWarning",
    "LeavesTapeError",
    "MissingDependencyError",
    "MissingRuleError",
    "NonFiniteError",
    "NotScalarError",
    "OptionError",
    "PickleError",
    "ProgramWarning",
    "ReadOnlyError",
    "ScaleWarning",
    "ShapeMismatchError",
    "StaleRecordingError",
    "StaleVariableError",
    "TooDenseError",
    "UndefinedDerivativeError",
]


class HessianError(Exception):
    """Base of every error the library raises on purpose."""


class ShapeMismatchError(HessianError, ValueError):
    """Arrays that must agree in shape or structure do not."""


class DtypeError(HessianError, TypeError):
    """An argument has a dtype that cannot be differentiated."""


class NotScalarError(HessianError, ValueError):
    """A function that must return one number returned something else."""


class MissingRuleError(HessianError, TypeError):
    """An operation was applied to a traced value and has no derivative rule."""


class LeavesTapeError(HessianError, TypeError):
    """A traced value was about to be turned into plain numbers, losing its derivative."""


class StaleVariableError(HessianError, RuntimeError):
    """A traced value was used after its recording ended."""


class StaleRecordingError(HessianError, RuntimeError):
    """A recorded function depends on something that has changed and is not among its arguments."""


class ReadOnlyError(HessianError, ValueError):
    """An array was assigned to that NumPy would protect from it."""


class NonFiniteError(HessianError, ValueError):
    """A value that must be finite is NaN or infinite."""


class UndefinedDerivativeError(HessianError, LinAlgError):
    """A derivative of a matrix function does not exist at this matrix, or has no correct digit there."""


class OptionError(HessianError, ValueError):
    """An option has a value outside what is accepted."""


class TooDenseError(HessianError, MemoryError):
    """A matrix would take more memory than is allowed; its products, or a sparse one, do not."""


class DerivativeCheckError(HessianError, AssertionError):
    """Derivatives disagree with an independent check."""


class ConvergenceError(HessianError, RuntimeError):
    """A solver stopped before reaching what was asked of it."""


class CheckpointError(HessianError, ValueError):
    """A file to resume from is no checkpoint, or belongs to another run."""


class PickleError(HessianError, PicklingError):
    """An object cannot be pickled as it is; the message says what to pickle instead."""


class CheckpointWarning(UserWarning):
    """A checkpoint could not be written; the run goes on."""


class ProgramWarning(UserWarning):
    """A program could not be compiled or run; the plain sweeps give the results, more slowly."""


class ScaleWarning(UserWarning):
    """A function is the mean of its terms where a sum was meant, so that standard errors are those of one example."""


class IntervalWarning(UserWarning):
    """An end of an interval is not known, and is NaN: the path to it could not be followed."""


class MissingDependencyError(HessianError, ImportError):
    """An optional package that this call needs is not installed."""


def message(where: str, what: str, why: str = "", fix: str = "") -> str:
    """Format ``where: what. why. fix.`` with each sentence closed once."""
    sentences = [_closed(part.strip()) for part in (what, why, fix) if part.strip()]
    capitalised = [sentences[0], *(sentence[0].upper() + sentence[1:] for sentence in sentences[1:])]
    return f"{where}: {' '.join(capitalised)}"


def _closed(sentence: str) -> str:
    """End a sentence once."""
    return sentence if sentence.endswith(("?", "!")) else sentence.rstrip(".") + "."


def missing_dependency(where: str, package: str, extra: str) -> MissingDependencyError:
    """Build the error for an absent optional package, naming the extra that brings it."""
    return MissingDependencyError(
        message(where, f"the package {package!r} is not installed", fix=f'Run: pip install "hessian[{extra}]"')
    )
