"""The covariance of estimated parameters, as a result."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import special

from hessian.arguments import INSIDE, check
from hessian.linalg.vectors import row_norms
from hessian.statistics.information import WeakDirection
from hessian.statistics.spread import Spread, Spreading
from hessian.tape.trees import ravel


@dataclass(frozen=True, eq=False, repr=False)
class Covariance(Spreading):
    """Covariance of the parameters at an optimum.

    Attributes
    ----------
    kind : {"observed", "expected", "sandwich", "HC0", "HC1", "HC2", "HC3", "cluster"}
    value : array or container
        The estimates, x.
    standard_error : like x
        Square roots of the variances.
    matrix : ndarray, shape (n, n)
        Covariance between raveled parameters. Of a large sparse model it is refused by a :class:`TooDenseError`: take :meth:`among`.
    root : ndarray, shape (n, k)
        ``root @ root.T`` is the matrix; standard errors and whatever is derived from the covariance come from it, so that
        nothing cancels. Refused likewise.
    names : tuple of str
        Of the raveled parameters.
    weak_directions : tuple of WeakDirection
        Combinations of parameters that the information matrix hardly determines, the weakest first; empty where there are
        none. Of a sparse model at most three, as far as a few solves find them.
    scale : float
        What f was multiplied with.
    degrees_of_freedom : float
        Of the variance of the errors where that was estimated along with them, by which an :meth:`interval` is Student's; else
        ``inf``, and it is normal.
    fixed : tuple of str
        Those of the names that were held, by a bound for one: known exactly, with rows and columns of zeros.
    n_groups : int
        Clusters; 0 for other kinds.
    tied : int
        How many directions of the others constraints hold; the matrix is singular then.
    structure : {"dense", "sparse"}
        How it is held: by a root, or by the sparse factor of its inverse. ``spread`` is what holds it.
    """

    kind: str
    value: Any
    standard_error: Any
    spread: Spread
    names: tuple[str, ...]
    weak_directions: tuple[WeakDirection, ...]
    scale: float
    degrees_of_freedom: float = math.inf
    n_groups: int = 0
    fixed: tuple[str, ...] = ()
    tied: int = 0

    def interval(self, level: float = 0.95) -> tuple[Any, Any]:
        """Return the ends of a confidence interval for each parameter by itself, in the structure of the value.

        Raises
        ------
        OptionError
            The level is not between 0 and 1.
        """
        check("interval", "level", level, INSIDE)
        center, unravel = ravel(self.value)
        reach = two_sided(level, self.degrees_of_freedom) * ravel(self.standard_error)[0]
        return unravel(center - reach), unravel(center + reach)

    @property
    def matrix(self) -> np.ndarray:
        """Covariance between raveled parameters, shape (n, n)."""
        return self.spread.matrix

    @property
    def correlation(self) -> np.ndarray:
        """Correlations of the raveled parameters, shape (n, n), with ones on the diagonal; zeros beside what was held."""
        lengths = row_norms(self.root)
        unit = self.root / np.where(lengths > 0.0, lengths, 1.0)[:, None]
        correlation = unit @ unit.T
        np.fill_diagonal(correlation, 1.0)
        return correlation

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return np.array(self.matrix, dtype=dtype, copy=copy)

    def __repr__(self) -> str:
        """List estimates with their standard errors, and the weak directions."""
        shown = 12
        pairs = zip(self.names, ravel(self.value)[0][:shown], ravel(self.standard_error)[0][:shown], strict=False)
        rows = [
            (name, f"{value:.6g}", "held" if name in self.fixed else f"± {error:.2g}") for name, value, error in pairs
        ]
        widths = [max(len(row[i]) for row in rows) for i in range(3)]
        held = f", {len(self.fixed)} of them held" if self.fixed else ""
        held += f", tied by {self.tied} constraint{'s' * (self.tied > 1)}" if self.tied else ""
        lines = [f"Covariance of {len(self.names)} parameters{held}, {self.kind}"]
        lines += [f"  {name:<{widths[0]}}  {x:>{widths[1]}} {error:<{widths[2]}}".rstrip() for name, x, error in rows]
        if len(self.names) > shown:
            lines.append(f"  ... {len(self.names) - shown} more")
        for weak in self.weak_directions[:3]:
            lines.append(f"  weak: {weak.text} (relative information {weak.eigenvalue:.2g})")
        return "\n".join(lines)


def two_sided(level: float, degrees_of_freedom: float = math.inf) -> float:
    """Return the quantile that a variable of Student's law stays within on both sides with a probability; normal where it is infinite.

    By the tail, whose digits the level does not have.
    """
    return -float(special.stdtrit(degrees_of_freedom, 0.5 - 0.5 * level))
