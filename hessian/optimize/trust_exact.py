"""Trust region with exact model minimisers (Moré and Sorensen 1983), from one eigendecomposition per point."""

from __future__ import annotations

from hessian.optimize.bounds import TrustRadius
from hessian.optimize.method import Method
from hessian.optimize.objective import Point
from hessian.optimize.options import Options
from hessian.optimize.spectral import EigenModel


class TrustExact(Method):
    """Builds an :class:`~hessian.optimize.spectral.EigenModel` at every accepted point: a dense Hessian, a factorisation."""

    name = "trust-exact"
    is_dense = True

    def __init__(self, options: Options) -> None:
        super().__init__(options, TrustRadius(options.initial_radius, options.max_radius))

    def model(self, point: Point) -> EigenModel:
        """Model at a point."""
        hessian = point.dense()
        point.counters.n_factor += 1
        return EigenModel(hessian, point.gradient)
