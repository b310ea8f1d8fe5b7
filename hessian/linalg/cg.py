"""Conjugate gradients: one recurrence, and one loop that its callers tell when to stop."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

Product = Callable[[np.ndarray], np.ndarray]


class ConjugateGradients:
    r"""The recurrence for :math:`\min_s\; g \cdot s + \tfrac12 s \cdot A s`, from a start and its residual ``g + A s``.

    Attributes
    ----------
    iterate, residual, direction : ndarray
        s, ``r = g + A s``, and where to go from there. Arrays are replaced, never written to.
    slope : float
        ``r.M^-1 r``, which is ``-r.d``; M is symmetric positive definite, by default the identity.
    curvature : float
        ``d.A d``, once the product ``image = A d`` has been taken in.
    origin, length
        Where the last step began, and how many directions long it was.
    growth : float
        The slope by that before: how much of the last direction is in this one; 0 at first.
    products : int

    References
    ----------
    M. R. Hestenes and E. Stiefel, J. Res. Nat. Bur. Standards 49 (1952).
    """

    def __init__(
        self, residual: np.ndarray, start: np.ndarray | None = None, precondition: Product | None = None
    ) -> None:
        self._precondition = precondition
        self.origin = self.iterate = np.zeros_like(residual) if start is None else start
        self.residual = residual
        z = residual if precondition is None else precondition(residual)
        self.slope, self.direction = float(residual @ z), -z
        self.length = self.growth = 0.0
        self.products = 0

    def absorb(self, image: np.ndarray) -> None:
        """Take in the product with the direction."""
        self.image, self.curvature = image, float(self.direction @ image)
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
    max_hvp: int,
    at_direction: Hook,
    at_iterate: Hook,
    floor: float = 0.0,
) -> str:
    """Iterate until a hook names a reason to stop, and return it.

    ``at_direction`` is asked when the curvature along a direction is known, and must stop where that is not positive;
    ``at_iterate`` after a step, before the next direction is made. Else the reason is ``"solved"`` where the slope is not above a
    floor, or ``"limit"``.
    """
    for _ in range(max_hvp):
        if cg.slope <= floor:
            return "solved"
        cg.absorb(product(cg.direction))
        reason = at_direction(cg)
        if reason is None:
            cg.advance()
            reason = at_iterate(cg)
        if reason is not None:
            return reason
        cg.turn()
    return "limit"
