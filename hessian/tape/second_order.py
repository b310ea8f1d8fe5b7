"""The gradient of a recorded function, linearised: what Hessian-vector products share."""

from __future__ import annotations

from typing import Any

import numpy as np

from hessian.tape.sweeps import Linearization
from hessian.tape.trace import Trace


class HessianMap:
    """A recorded scalar function with its gradient, and the linear map from directions to Hessian-vector products.

    Attributes
    ----------
    traced : Trace
    gradient : list
        Leaves of the gradient.
    """

    def __init__(self, traced: Trace) -> None:
        value = traced.scalar()
        self.traced = traced
        self.linearization: Linearization = traced.linearization()
        bars = self.linearization.linearize_pullback([np.ones((), value.dtype)])
        self.gradient = traced.gradient_leaves(bars)

    def products(self, dots: list[Any], batch: tuple[int, ...] = ()) -> list[Any]:
        """Multiply leaves of directions with the Hessian: one tangent sweep."""
        return self.traced.gradient_leaves(self.linearization.pullback_tangent(dots, len(batch)), batch)
