"""Conjugate gradients: one recurrence, and one loop that its callers tell when to stop."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

Product = Callable[[np.ndarray], np.ndarray]


class ConjugateGradients:
    r"""The recurrence for :math:`\min_s\; g \cdot s + \tfrac12 s \cdot A s`, one direction at a time.

    Parameters
    ----------
    residual : ndarray, shape (n,)
        ``g + A s`` at the start: g itself where that is zero.
    start : ndarray, shape (n,), optional
        s to begin with; zero by default.
    precondition : callable, optional
        ``v -> M^-1 v``, M symmetric positive definite.

    Attributes
    ----------
    iterate, residual, direction : ndarray
        s, ``r = g + A s``, and where to go from there. Arrays are replaced, never written to.
    slope : float
        ``r.M^-1 r``, which is ``-r.d``.
    image, curvature
        ``A d`` and ``d.A d`` of the direction.
    origin, length
        Where the last step began, and how many directions long it was.
    growth : float
        The slope by that before: the part of the last direction in this one; 0 at first.
    products : int

    References
    ----------
    M. R. Hestenes and E. Stiefel, J. Res. Nat. Bur. Standards 49 (1952).
    """

    __slots__ = (
        "_precondition",
        "curvature",
        "direction",
        "growth",
        "image",
        "iterate",
        "length",
        "origin",
        "products",
        "residual",
        "slope",
    )

    def __init__(
        self, residual: np.ndarray, start: np.ndarray | None = None, precondition: Product | None = None
    ) -> None:
        self._precondition = precondition
        self.origin = self.iterate = np.zeros_like(residual) if start is None else start
        self.residual = residual
        z = residual if precondition is None else precondition(residual)
        self.slope, self.direction = float(residual @ z), -z
        self.image, self.curvature = residual, math.nan
        self.length = self.growth = 0.0
        self.products = 0

    def absorb(self, image: np.ndarray) -> None:
        """Take in the product with the direction."""
        self.image = image
        self.curvature = float(self.direction @ image)
        self.products += 1

    def advance(self) -> None:
        """Go to the minimum along the direction."""
        self.length = self.slope / self.curvature
        self.origin = self.iterate
        self.iterate = self.iterate + self.length * self.direction
        self.residual = self.residual + self.length * self.image

    def turn(self) -> None:
        """Find the next direction, conjugate to all before."""
        r = self.residual
        z = r if self._precondition is None else self._precondition(r)
        before, self.slope = self.slope, float(r @ z)
        self.growth = self.slope / before
        self.direction = self.growth * self.direction - z


Hook = Callable[[ConjugateGradients], str | None]


def run(
    cg: ConjugateGradients,
    product: Product,
    max_products: int,
    at_direction: Hook,
    at_iterate: Hook,
    floor: float = 0.0,
) -> str:
    """Iterate until a hook names a reason to stop, and return it.

    Parameters
    ----------
    cg : ConjugateGradients
    product : callable
        ``v -> A v``.
    max_products : int
    at_direction : callable
        Asked when the curvature along a direction is known, before the step: it must stop where that is not positive.
    at_iterate : callable
        Asked after the step, before the next direction is made.
    floor : float
        Slopes up to this are nothing.

    Returns
    -------
    str
        What a hook said; ``"solved"`` where the slope is nothing, ``"limit"`` where the products are spent.

    Notes
    -----
    Cost: one product per iteration, and of vectors two products, three sums and as many multiples.
    """
    for _ in range(max_products):
        if cg.slope <= floor:
            return "solved"
        cg.absorb(product(cg.direction))
        reason = at_direction(cg)
        if reason is not None:
            return reason
        cg.advance()
        reason = at_iterate(cg)
        if reason is not None:
            return reason
        cg.turn()
    return "limit"
