"""The engine: traced values, the tape, dual numbers and the sweeps."""

from hessian.core.dual import Dual
from hessian.core.sweeps import Linearization
from hessian.core.tape import Tape
from hessian.core.trace import Recording, record
from hessian.core.variable import Variable

__all__ = ["Dual", "Linearization", "Recording", "Tape", "Variable", "record"]
