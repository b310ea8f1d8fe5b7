"""What type checkers are told about functions of functions: type variables, and the names that arguments may have.

Nothing here does anything: annotations are strings wherever they stand.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, ParamSpec, Protocol, TypeVar

import numpy as np

if TYPE_CHECKING:
    from typing_extensions import TypeVar as WithDefault

    Point = WithDefault("Point", default=Any)
    Value = WithDefault("Value", default=float)
    """Of what has a default, checkers in their strict mode accept the name alone: ``OptimizeResult``."""
else:
    Point, Value = TypeVar("Point"), TypeVar("Value")

X = TypeVar("X", bound=Any)
"""What a function is differentiated in: an array, a number, or a container of these."""
Z = TypeVar("Z", bound=Any)
"""The argument behind it."""
Y = TypeVar("Y")
"""What a function returns."""
Out = TypeVar("Out", covariant=True)
"""The same, of classes: what returns a special case is one."""
Aux = TypeVar("Aux")
"""What it returns beside its value."""
P = ParamSpec("P")
"""Arguments that stay as they are."""
Rest = ParamSpec("Rest")
"""Those behind the first, which is ``self``."""
Real = TypeVar("Real", bound=np.floating[Any])
"""Precision of an array of real numbers."""
Inexact = TypeVar("Inexact", bound=np.inexact[Any])
"""The same, of complex numbers, too."""
Number = TypeVar("Number", bound=np.generic)
"""Type of the numbers of an array."""


class Multiplies(Protocol):
    """An operator, of SciPy or of anybody else."""

    def matvec(self, x: Any, /) -> Any:
        """Multiply with a vector."""

    def matmat(self, X: Any, /) -> Any:
        """Multiply with the columns of a matrix."""


First = Literal[0]
Second = Literal[1]

Structure = Literal["auto", "dense", "sparse", "operator"]
"""How curvature is used by solvers."""
CovarianceKind = Literal["observed", "expected", "sandwich", "HC0", "HC1", "HC2", "HC3", "cluster"]
"""Covariances of parameters."""
Which = Literal["LA", "SA", "LM", "SM", "BE"]
"""Which eigenvalues, as ARPACK calls them."""
