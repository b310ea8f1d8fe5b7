"""Truncated Newton in a trust region: conjugate gradients on Hessian-vector products (Steihaug 1983, Toint 1981)."""

from __future__ import annotations

from typing import Any

from hessian.optimize.bounds import TrustRadius
from hessian.optimize.krylov import CGPath, IndefinitePreconditioner, Product, steihaug_toint
from hessian.optimize.method import Method
from hessian.optimize.objective import Point
from hessian.optimize.options import Options
from hessian.optimize.precondition import Preconditioner


class TrustNCG(Method):
    """Builds a :class:`~hessian.optimize.krylov.CGPath` at every accepted point."""

    name = "trust-ncg"

    def __init__(self, options: Options, preconditioner: Preconditioner) -> None:
        super().__init__(options, TrustRadius(options.initial_radius, options.max_radius))
        self._preconditioner = preconditioner
        self.identity = {"preconditioner": preconditioner.name}

    def model(self, point: Point) -> CGPath:
        """Run CG at a point, within what is left of the budget of products."""
        tolerance = self.tolerance(point)
        precondition = self._preconditioner.at(point, self.options.max_hvp - point.counters.n_hvp)
        try:
            return self._path(point, tolerance, precondition)
        except IndefinitePreconditioner:
            if not self._preconditioner.forget():
                raise
            return self._path(point, tolerance, None)

    def _path(self, point: Point, tolerance: float, precondition: Product | None) -> CGPath:
        return steihaug_toint(
            point.product,
            point.gradient,
            self.bound.value,
            tolerance,
            self.cg_limit(point),
            precondition=precondition,
            collect=self._preconditioner.collect,
        )

    def state(self) -> dict[str, Any]:
        """Add what the preconditioner has learnt."""
        return {**super().state(), "preconditioner": self._preconditioner.state()}

    def restore(self, state: dict[str, Any]) -> None:
        """Take over a state."""
        super().restore(state)
        self._preconditioner.restore(state["preconditioner"])
