"""Trust region on a Krylov space: the model is minimised exactly within the radius, not just up to its boundary."""

from __future__ import annotations

import numpy as np

from hessian.optimize.bounds import CubicWeight, TrustRadius, unit_length
from hessian.optimize.lanczos import KrylovSpace, grow_until
from hessian.optimize.method import Method
from hessian.optimize.objective import Point
from hessian.optimize.optimality import Curvature
from hessian.optimize.options import Options
from hessian.optimize.spectral import AbsoluteModel, CubicModel, SpectralModel


class TrustKrylov(Method):
    """Generalised Lanczos trust region: Lanczos from the gradient until the step's residual is small.

    Where Steihaug-Toint leaves the space at the boundary, this method goes on to the minimiser on the boundary, which pays
    where the Hessian is indefinite or ill-conditioned. It keeps the basis: one vector per product.

    References
    ----------
    N. I. M. Gould, S. Lucidi, M. Roma and Ph. L. Toint, SIAM J. Optim. 9 (1999) 504-525, algorithm 4.1.
    """

    name = "trust-krylov"
    kind: type[SpectralModel] = SpectralModel

    def __init__(self, options: Options) -> None:
        super().__init__(options, TrustRadius(options.initial_radius, options.max_radius))

    def model(self, point: Point) -> SpectralModel:
        """Grow a Krylov space at a point."""
        space = KrylovSpace(point.product, point.gradient, self.cg_limit(point))
        tolerance = self.tolerance(point)

        def residual(model: SpectralModel, last: np.ndarray) -> float:
            # Without a bound coordinates may be infinite, and the residual unknown: the space grows.
            with np.errstate(invalid="ignore"):
                return abs(float(last @ model.coordinates(self.bound.value)[0]))

        return grow_until(space, residual, tolerance, self.kind)


class Arc(Method):
    """Adaptive regularisation by cubics on a Krylov space.

    Each step minimises ``m(s) + w/3 |s|^3`` over the space spanned by the Lanczos process from the gradient, which grows
    until ``|grad of that| <= eta |g|``. A rejected step raises the weight and solves on the same space again, without
    a product.

    References
    ----------
    C. Cartis, N. I. M. Gould and Ph. L. Toint, Math. Program. 127 (2011) 245-295, algorithm 2.1 and section 6.
    """

    name = "arc"

    def __init__(self, options: Options) -> None:
        super().__init__(options, CubicWeight(options.initial_regularization))

    def model(self, point: Point) -> CubicModel:
        """Grow a Krylov space at a point."""
        space = KrylovSpace(point.product, point.gradient, self.cg_limit(point))
        tolerance = self.tolerance(point)

        def residual(model: SpectralModel, last: np.ndarray) -> float:
            self.bound.prepare(CubicModel(model), point)
            return abs(float(last @ model.cubic_coordinates(self.bound.value)[0]))

        return CubicModel(grow_until(space, residual, tolerance))

    def escape(self, point: Point, curvature: Curvature) -> CubicModel:
        """Follow negative curvature for a tenth of the length of x, at least 1/10."""
        self.bound.value = abs(curvature.smallest) / unit_length(point)
        model = super().escape(point, curvature)
        assert isinstance(model, SpectralModel)
        return CubicModel(model)


class SaddleFree(TrustKrylov):
    """Trust region on the model with ``|H|`` in place of H, on a Krylov space (saddle-free Newton).

    The space grows until the Newton step of ``|T|`` in it leaves a residual that is small enough, as for the definite
    Hessian that is met near a minimum.

    References
    ----------
    Y. N. Dauphin et al., NeurIPS 27 (2014), algorithm 1.
    """

    name = "saddle-free"
    kind = AbsoluteModel
