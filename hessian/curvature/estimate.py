"""An estimated number, or vector of numbers, with its uncertainty."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import special

from hessian.arguments import INSIDE, check
from hessian.tape.trees import ravel
from hessian.text import Shown, with_error

KNOWN = 1e6
"""Degrees of freedom of a standard error that is made of bounds: they are no guess."""


class Uncertain(Shown):
    """What has a ``value``, a number, an array or a container of them, and its ``standard_error``, of the same structure."""

    value: Any
    standard_error: Any
    degrees_of_freedom: float = math.inf

    def interval(self, level: float = 0.95) -> tuple[Any, Any]:
        """Return the ends of a confidence interval by Student's t, for each entry by itself, in the structure of the value.

        Raises
        ------
        OptionError
            The level is not between 0 and 1.
        """
        check("interval", "level", level, INSIDE)
        quantile = -special.stdtrit(self.degrees_of_freedom, 0.5 - 0.5 * level)
        center, unravel = ravel(self.value)
        reach = quantile * (ravel(self.standard_error)[0] / _factor(self.degrees_of_freedom))
        return unravel(center - reach), unravel(center + reach)


@dataclass(frozen=True, eq=False, repr=False)
class Estimate(Uncertain):
    """An estimate with its standard error and its price.

    Attributes
    ----------
    name : str
        What was estimated.
    value : float or ndarray
    standard_error : float or ndarray
        Estimated standard deviation of ``value``, widened where few samples say it so that one, two and three of them cover the
        truth as often as standard deviations of a normal variable do, or oftener; with half the reach of a known
        one-sided error where a function says so; for an exact method, a bound on rounding; ``inf`` where nothing bounds it.
    n_hvp : int
        Products with H spent.
    method : str
    degrees_of_freedom : float
        Of the deviation that was widened, ``inf`` for exact methods: an :meth:`interval` is that of Student's t.

    Examples
    --------
    >>> from hessian.curvature import Estimate
    >>> e = Estimate("trace", 10.0, 0.5, 12, "hutchinson", 11.0)
    >>> e
    trace = 10.00 ± 0.50 (hutchinson, 12 products)
    >>> [round(float(end), 2) for end in e.interval(0.95)]
    [9.14, 10.86]
    """

    name: str
    value: Any
    standard_error: Any
    n_hvp: int
    method: str
    degrees_of_freedom: float = math.inf

    @property
    def is_exact(self) -> bool:
        """Whether only rounding separates the value from the truth."""
        return math.isinf(self.degrees_of_freedom)

    def __float__(self) -> float:
        return float(self.value)

    def __repr__(self) -> str:
        price = f"{self.n_hvp} product{'s' * (self.n_hvp != 1)}"
        if np.ndim(self.value):
            errors = np.asarray(self.standard_error)
            spread = f"standard errors up to {errors.max():.2g}"
            return f"{self.name}: {len(errors)} entries, {spread} ({self.method}, {price})"
        return f"{self.name} = {with_error(self.value, self.standard_error, self.is_exact)} ({self.method}, {price})"


def widened(deviation: Any, degrees_of_freedom: Any) -> Any:
    """Return a standard error of which one, two and three cover as many truths as standard deviations do, or more.

    A deviation that was itself estimated with few degrees of freedom is too small by chance. It is widened as Student's t is, compared
    with a normal variable, at three standard deviations; nearer to the value it then covers more than it has to.
    """
    return _factor(degrees_of_freedom) * deviation


def spread_error(degrees_of_freedom: Any) -> Any:
    """Return the standard error of an estimated variance, relative to it: three cover it where it is too small by chance.

    Below by the quantile of chi-square that a normal variable has beyond three deviations on one side; above it is less.
    """
    least = 2.0 * special.gammaincinv(0.5 * degrees_of_freedom, special.ndtr(-3.0))
    return (degrees_of_freedom / np.maximum(least, 1e-300) - 1.0) / 3.0


def _factor(degrees_of_freedom: Any) -> Any:
    """How much farther Student's t reaches than a normal variable at three standard deviations."""
    return special.stdtrit(degrees_of_freedom, special.ndtr(3.0)) / 3.0
