"""What every row says, whatever its kind, and the registry of rows.

This module knows no tape: values that are being traced subclass :class:`Traced`, and that class is the whole hook.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from hessian.errors import OptionError, message
from hessian.rules.patterns import Pattern, as_matrix
from hessian.rules.samples import Case
from hessian.rules.traced import PLAIN, Traced, entered


class State:
    """A named state of one argument of a rule."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __repr__(self) -> str:
        return self.name


ZERO = State("ZERO")
"""The derivative in this argument is exactly zero wherever it exists."""
NONDIFF = State("NONDIFF")
"""The argument is a flag or an index; differentiating in it has no meaning."""
MISSING = State("MISSING")
"""The derivative exists and nobody has written it down; asking for it raises."""


class Operation:
    """A NumPy-level function that the sweeps differentiate; called, it is applied: to arrays, or by the innermost traced value.

    Parameters
    ----------
    name : str
    function : callable
        ``(*arrays, **params) -> array``.
    states : sequence or None
        Per argument ``None`` (a rule), :data:`ZERO`, :data:`NONDIFF` or :data:`MISSING`; ``None`` if all have rules.
    raises : exception class or tuple of them
        What the function may raise at some values of its operands.
    view : bool
        NumPy's result shares memory with the operand; if ``copies``, only where the memory allows it.
    annihilates : tuple of int
        Arguments whose constant zeros make the result zero whatever the others are: it has no derivative there.
    kinks : str
        The convention where the derivative does not exist.
    sides : Sides or None
        Where the kinks are, and the slopes to their two sides.
    root : Root or None
        Which powers of a result that is not smooth are.
    cases : sequence of Case
        Calls the registry walk tests it by; those of a function of one or two numbers are drawn without.
    analytic : callable or None
        Complex-capable twin for the complex-step test, where the function itself does not accept complex numbers.
    real_only : bool
        There is none: the walk takes differences instead.
    home : str
        Module that has the row under some name, for pickles; empty for one of the registry.
    """

    differentiable = True
    of_complex: Callable[..., Any] | None = None
    """What it does with complex numbers (:mod:`hessian.rules.pairs`), where that does not follow from its kind."""
    retains = True
    """Whether a sweep may read operands again after recording; if not, constants need no snapshot."""

    def __init__(
        self,
        name: str,
        function: Callable[..., Any],
        *,
        states: Sequence[State | None] | None = None,
        raises: Any = (np.linalg.LinAlgError, ArithmeticError, ValueError),
        view: bool = False,
        copies: bool = False,
        annihilates: tuple[int, ...] = (),
        kinks: str = "",
        sides: Any = None,
        root: Any = None,
        cases: Sequence[Case] = (),
        analytic: Callable[..., Any] | None = None,
        real_only: bool = False,
        home: str = "",
    ) -> None:
        self.name = name
        self.function = function
        self.states = tuple(states) if states is not None and any(states) else None
        self.raises = raises
        self.view = view
        self.copies = copies
        self.annihilates = annihilates
        self.kinks = kinks
        self.sides = sides
        self.root = root
        self.cases = tuple(cases)
        self.analytic = analytic
        self.real_only = real_only
        self.home = home

    @property
    def runs_user_code(self) -> bool:
        """Whether the function is a user's: it may raise anything, and need not bear to be called from several threads."""
        return self.raises is Exception

    def __call__(self, *operands: Any, **params: Any) -> Any:
        innermost, level, foreign = None, -1.0, False
        for x in operands:
            kind = type(x)
            if kind is np.ndarray:
                foreign = foreign or x.dtype.hasobject
            elif kind in PLAIN:
                pass
            elif isinstance(x, Traced):
                if x.trace_level > level:
                    innermost, level = x, x.trace_level
            else:
                foreign = True
        if foreign:
            # A list may hold traced values of a tape inside all of those seen so far.
            whole = tuple([entered(x) for x in operands])
            if any(new is not old for new, old in zip(whole, operands, strict=True)):
                return self(*whole, **params)
        if innermost is None:
            return self.function(*operands, **params)
        return innermost.trace_apply(self, operands, params)

    def pattern(self, y: Any, xs: Sequence[Any], **params: Any) -> Pattern:
        """Return which entries of the result depend on which of the arguments, and which of these meet nonlinearly.

        Of y and xs only the shapes are read, and the numbers of arguments without derivative that say what goes where.
        """
        jacobians, pairs = self._sparsity(y, xs, params)
        states = self.states or (None,) * len(xs)
        smooth = [state is None for state in states]
        return Pattern(
            tuple(as_matrix(j) if known else None for j, known in zip(jacobians, smooth, strict=True)),
            tuple(pair for pair in pairs if smooth[pair[0]] and smooth[pair[1]]),
        )

    def _sparsity(self, y: Any, xs: Sequence[Any], params: dict[str, Any]) -> tuple[Sequence[Any], Sequence[Any]]:
        """Return Jacobians and pairs for all arguments."""
        return [None] * len(xs), ()

    def __repr__(self) -> str:
        return f"<{type(self).__name__.lower()} operation {self.name}>"

    def __reduce__(self) -> Any:
        # An operation is its row: pickles carry the name.
        if not self.home:
            return operation_named, (self.name,)
        name = next((name for name, x in vars(sys.modules[self.home]).items() if x is self), None)
        if name is None:
            what, why = f"the rule {self.name} is no name of module {self.home}", "a pickle holds the name"
            raise OptionError(message("pickle", what, why, "Assign it to a name at the top of the module"))
        return _row_of, (self.home, name)


def _row_of(home: str, name: str) -> Operation:
    return getattr(importlib.import_module(home), name)


OPERATIONS: dict[str, Operation] = {}
"""Every operation by name, for the walk and for documentation."""


def operation_named(name: str) -> Operation:
    """Return the operation registered under ``name``."""
    if name not in OPERATIONS:
        what = f"there is no operation named {name!r}"
        raise OptionError(message("rules", what, fix="Load pickles with the version of hessian that wrote them"))
    return OPERATIONS[name]


def register(operation: Operation) -> Any:
    """Enter ``operation`` into the registry under its name, once."""
    if operation.name in OPERATIONS:
        raise OptionError(message("rules", f"an operation named {operation.name!r} is already registered"))
    OPERATIONS[operation.name] = operation
    return operation
