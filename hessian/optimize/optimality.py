"""Second-order optimality: what the smallest eigenvalue of the Hessian says about a point with a small gradient."""

from __future__ import annotations

import enum
from dataclasses import dataclass

import numpy as np

from hessian.optimize.globalize import Model

ROUNDING = 100.0
"""Eigenvalues below this many units of rounding of the largest count as zero."""


class Definiteness(enum.Enum):
    """Sign of the smallest eigenvalue, as far as it is known."""

    POSITIVE = "positive"
    ZERO = "zero"
    NEGATIVE = "negative"
    UNDECIDED = "undecided"


@dataclass(frozen=True, slots=True)
class Curvature:
    """Smallest eigenvalue found, what it proves, and a model that leads along it when it is negative."""

    smallest: float
    definiteness: Definiteness
    escape: Model | None = None


def judge(smallest: float, scale: float, dtype: np.dtype, is_certain: bool) -> Definiteness:
    """Grade a smallest eigenvalue against the rounding error of a Hessian whose largest magnitude is ``scale``.

    A negative value is proof by itself, being a Rayleigh quotient; a value that is not ``is_certain`` proves nothing
    else.
    """
    threshold = ROUNDING * float(np.finfo(dtype).eps) * scale
    if smallest < -threshold:
        return Definiteness.NEGATIVE
    if not is_certain:
        return Definiteness.UNDECIDED
    return Definiteness.POSITIVE if smallest > threshold else Definiteness.ZERO
