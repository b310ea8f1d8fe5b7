r"""Dual numbers: a primal and a tangent, :math:`x + \dot x\,\varepsilon` with :math:`\varepsilon^2 = 0`.

``f(Dual(x, v))`` is ``Dual(f(x), Df(x) v)`` for any f written in NumPy. The tangent may carry leading batch axes. The sweeps
keep the primal half of their duals on the tape and carry only tangents; this class is the number itself, used where a
rule has to be differentiated on the spot and wherever it is looked at.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from hessian.errors import OptionError, ShapeMismatchError, message
from hessian.rules.spec import Operation
from hessian.tape.advice import leaves_tape, reaches_rule
from hessian.tape.array_protocol import ArrayProtocol
from hessian.tape.array_steps import local_linearization
from hessian.tape.kinds import Elements


class Dual(Elements, ArrayProtocol):
    r"""A dual number :math:`x + \dot x\,\varepsilon`.

    Parameters
    ----------
    primal : array_like, shape S
    tangent : array_like, shape B + S, or None
        ``None`` is an exact zero. B are batch axes: several directions at once.

    Examples
    --------
    >>> import numpy as np
    >>> from hessian.tape.dual import Dual
    >>> y = np.sin(Dual(0.0, 1.0)) ** 2 + 3 * Dual(0.0, 1.0)
    >>> float(y.primal), float(y.tangent)
    (0.0, 3.0)
    """

    __slots__ = ("_value", "tangent")
    trace_level = float("inf")

    def __init__(self, primal: Any, tangent: Any = None) -> None:
        if isinstance(primal, Dual):
            what = "the primal is itself a dual number"
            why = "one epsilon cannot be told from the other"
            raise OptionError(message("Dual", what, why, "Nest transforms instead: hs.jvp, hs.directional, hs.taylor"))
        self._value = primal if isinstance(primal, ArrayProtocol) else np.asarray(primal)
        self.tangent = tangent if tangent is None or isinstance(tangent, ArrayProtocol) else np.asarray(tangent)
        if self.tangent is not None:
            shape = self.tangent.shape
            if shape[len(shape) - self._value.ndim :] != self._value.shape or len(shape) < self._value.ndim:
                what = f"the tangent has shape {shape}, the primal {self._value.shape}"
                raise ShapeMismatchError(message("Dual", what, fix="Trailing axes of the tangent must be the primal's"))

    @property
    def will_change(self) -> bool:
        """Whether the numbers held now are an example that will be replaced by others."""
        return any(isinstance(x, ArrayProtocol) and x.will_change for x in (self._value, self.tangent))

    @property
    def primal(self) -> Any:
        """The value."""
        return self._value

    def __repr__(self) -> str:
        return f"Dual({self._value!r}, {self.tangent!r})"

    def trace_apply(self, operation: Operation, operands: tuple[Any, ...], params: dict[str, Any]) -> Any:
        """Evaluate on primals and push tangents through the linearised operation."""
        primals = tuple(x._value if isinstance(x, Dual) else x for x in operands)
        y = operation(*primals, **params)
        if not operation.differentiable:
            return y
        carrying = [isinstance(x, Dual) and x.tangent is not None for x in operands]
        if not reaches_rule(operation, carrying):
            return Dual(y)
        states = operation.states or (None,) * len(operands)
        positions = tuple(p for p, carries in enumerate(carrying) if carries and states[p] is None)
        step = local_linearization(operation, primals, positions, y, params)
        dots = [operands[p].tangent for p in positions]
        batch = max(t.ndim - operands[p].ndim for t, p in zip(dots, positions, strict=True))
        return Dual(y, step.pushforward(dots, batch))

    def __array__(self, dtype: Any = None, copy: Any = None) -> np.ndarray:
        if self.ndim == 0 and dtype is None:
            holder = np.empty((), dtype=object)
            holder[()] = self
            return holder
        return leaves_tape("conversion of a dual number to a plain array", "Use .primal or .tangent")

    def __bool__(self) -> bool:
        return bool(self._value)
