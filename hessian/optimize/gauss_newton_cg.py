"""Gauss-Newton by conjugate gradients on products with the Jacobian and its transpose, in a trust region."""

from __future__ import annotations

import dataclasses
import math

import numpy as np

from hessian.linalg.vectors import norm
from hessian.optimize.krylov import Product, Step, steihaug_toint
from hessian.optimize.levenberg_marquardt import ScaledMethod
from hessian.optimize.local_model import LocalModel
from hessian.optimize.objective import quiet
from hessian.optimize.residuals import ResidualPoint


class ScaledPath:
    """A path in scaled variables; its steps leave them, their lengths do not."""

    def __init__(self, path: LocalModel, scale: np.ndarray, dtype: np.dtype) -> None:
        self._path = path
        self._scale = scale
        self._dtype = dtype
        self.products = path.products

    @property
    def end_norm(self) -> float:
        """Length of the last iterate."""
        return self._path.end_norm

    def step(self, radius: float) -> Step:
        """Leave the path at the radius."""
        step = self._path.step(radius)
        return dataclasses.replace(step, vector=np.asarray(step.vector / self._scale).astype(self._dtype))


class GaussNewtonCG(ScaledMethod):
    """Steihaug-Toint conjugate gradients on ``D^-1 J^T W J D^-1``, one push and one pull per iteration.

    The variables are scaled by the norms of the Jacobian's columns, which are estimated beyond 64 variables (see
    :attr:`~hessian.optimize.residuals.ResidualPoint.column_norms`): conjugate gradients with the (estimated) diagonal of
    ``J^T W J`` as preconditioner.

    References
    ----------
    T. Steihaug, SIAM J. Numer. Anal. 20 (1983) 626-637. Å. Björck, Numerical Methods for Least Squares Problems (1996),
    sections 7.4 and 9.2.
    """

    name = "gauss-newton-cg"

    def scaled_model(self, point: ResidualPoint, scale: np.ndarray) -> ScaledPath:
        """Run CG on the Gauss-Newton matrix at a point, within what is left of the budget of products."""
        weights = point.weights.model

        def product(v: np.ndarray) -> np.ndarray:
            point.counters.n_hvp += 1
            with quiet():
                return np.asarray(point.pull(weights * point.push(v / scale)) / scale)

        return self._path(product, point, scale)

    def exact_model(self, point: ResidualPoint, scale: np.ndarray) -> ScaledPath:
        """Run CG on the exact Hessian at a point; a product is a push, a pull and one more tangent sweep."""
        factors = point.scale / scale
        return self._path(lambda v: np.asarray(point.product(v * factors) * factors), point, scale)

    def _path(self, product: Product, point: ResidualPoint, scale: np.ndarray) -> ScaledPath:
        gradient = point.gradient.astype(np.float64) / scale
        radius = self.bound.value
        if radius == math.inf:
            radius = min(self.longest(point, scale), self.options.max_radius)
        path = steihaug_toint(product, gradient, radius, self._residual(point, scale), self.cg_limit(point))
        return ScaledPath(path, scale, point.x.dtype)

    def _residual(self, point: ResidualPoint, scale: np.ndarray) -> float:
        """Residual to ask for: as :meth:`Method.tolerance`, in scaled variables and with gtol as a cosine."""
        size = norm(point.gradient / scale)
        self._largest_norm = max(self._largest_norm, size)
        eta = min(0.5, math.sqrt(size / self._largest_norm))
        # Cosines are measured with the columns as they are here, which may have shrunk since they set the scale.
        shrunk = float(np.min(point.scale / scale))
        return max(eta * size, 0.5 * self.options.gtol * point.length * shrunk)
