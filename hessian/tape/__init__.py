"""The engine: traced values, the tape, dual numbers and the sweeps."""

from hessian.tape import in_place  # noqa: F401
from hessian.tape.dual import Dual
from hessian.tape.sweeps import Linearization
from hessian.tape.tape import Tape
from hessian.tape.trace import Trace, trace
from hessian.tape.variable import Variable

__all__ = ["Dual", "Linearization", "Tape", "Trace", "Variable", "trace"]


def __dir__() -> list[str]:
    return sorted(__all__)
