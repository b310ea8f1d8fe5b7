"""Dense Newton's method in a trust region: exact minimisers of the model from one eigendecomposition per point."""

from __future__ import annotations

import math

import numpy as np
import scipy.linalg

from hessian.optimize.krylov import Step
from hessian.optimize.objective import Point
from hessian.optimize.optimality import Curvature, Definiteness, judge
from hessian.optimize.vectors import norm


class EigenModel:
    """The model ``g.s + 1/2 s.H s`` in the eigenbasis of H, minimised exactly within any radius for O(n^2).

    With ``H = Q diag(l) Q^T`` and ``c = Q^T g``, the minimiser is ``s = Q y``, ``y_i = -c_i / (l_i + mu)``. The
    multiplier ``mu >= max(0, -l_1)`` is zero, or such that ``|s|`` is the radius (Moré and Sorensen 1983). The unknown
    here is ``sigma = mu + l_1``, with gaps ``l_i - l_1`` that are exact zeros where they should be: nothing cancels
    near the pole, so the nearly hard case needs no tolerance. The hard case (``c_1 = 0`` and a step that stays short of
    the radius) adds the eigenvector of ``l_1``; it includes g = 0, a saddle.

    Directions in which both H and g are zero to rounding are left alone, which makes a singular but consistent system
    (a rank-deficient least-squares problem) give its shortest solution.

    Eigenvalues are preferred over a modified Cholesky factorisation because the method is for small n, where the
    constant does not matter, and they answer everything at once: shorter steps after a rejection, negative curvature,
    the second-order condition.
    """

    products = 0

    def __init__(self, hessian: np.ndarray, gradient: np.ndarray) -> None:
        eps = float(np.finfo(gradient.dtype).eps)
        self._dtype = gradient.dtype
        self.is_finite = bool(np.all(np.isfinite(hessian)))
        # A Hessian that is not finite leaves a linear model. Symmetrised, because eigh would read one triangle with its
        # rounding errors; in float64, because at this size the arithmetic is free.
        symmetric = 0.5 * (hessian + hessian.T).astype(np.float64) if self.is_finite else np.zeros(hessian.shape)
        self.values, self._vectors = scipy.linalg.eigh(symmetric, driver="evd")
        self._c = self._vectors.T @ gradient
        is_flat = np.abs(self.values) <= gradient.size * eps * self.scale
        is_flat &= np.abs(self._c) <= 10.0 * eps * norm(gradient)
        self._levels = np.where(is_flat, 0.0, self.values)
        self._c = np.where(is_flat, 0.0, self._c)
        self._lowest = float(self._levels.min())
        self._gaps = self._levels - self._lowest

    @property
    def scale(self) -> float:
        """Largest magnitude of an eigenvalue."""
        return float(np.max(np.abs(self.values)))

    @property
    def end_norm(self) -> float:
        """Length of the Newton step; infinite when H has negative curvature or g leaves its range."""
        if self._lowest < 0.0 or np.any(self._c[self._levels == 0.0]):
            return math.inf
        return norm(self._at(self._lowest))

    def step(self, radius: float) -> Step:
        """Minimise the model within the radius."""
        if self.end_norm <= radius:
            return self._finish(self._at(self._lowest), 0.0, "newton")
        floor = max(self._lowest, 0.0)
        y = self._at(0.0)
        missing = radius * radius - float(y @ y) if np.all(np.isfinite(y)) else -1.0
        if missing >= 0.0:
            # Hard case: (H + mu I) s = -g leaves the lowest eigenvector free; take as much of it as reaches the radius.
            y[int(np.argmin(self._levels))] += math.sqrt(missing)
            return self._finish(y, -self._lowest, "negative-curvature")
        sigma = self._solve(radius, floor)
        return self._finish(
            self._at(sigma), sigma - self._lowest, "negative-curvature" if self._lowest < 0.0 else "boundary"
        )

    def _at(self, sigma: float) -> np.ndarray:
        """Coordinates of the minimiser for a shift; 0/0 is 0, being a direction in which nothing is wanted."""
        denominators = self._gaps + sigma
        with np.errstate(divide="ignore"):
            return -np.divide(self._c, denominators, out=np.zeros_like(self._c), where=self._c != 0.0)

    def _solve(self, radius: float, floor: float) -> float:
        """Find the shift at which the step has the length of the radius.

        Newton's method on ``1 / radius - 1 / |y(sigma)|``, which is nearly linear, within the bracket given by the
        lowest eigenspace alone and by all of c at the lowest eigenvalue.
        """
        low = max(norm(self._c[self._gaps == 0.0]) / radius, floor)
        high = norm(self._c) / radius
        sigma = low if low > 0.0 else 1e-3 * high
        for _ in range(100):
            y = self._at(sigma)
            length = norm(y)
            if abs(length - radius) <= 1e-10 * radius:
                break
            low, high = (sigma, high) if length > radius else (low, sigma)
            slope = float(y @ (y / (self._gaps + sigma)))
            proposal = sigma + (length - radius) / radius * length**2 / slope
            sigma = proposal if low < proposal < high else 0.5 * (low + high)
        return sigma

    def _finish(self, y: np.ndarray, mu: float, status: str) -> Step:
        """Leave the eigenbasis. The reduction is a sum of non-negative terms, as ``l_i + mu >= 0``."""
        predicted = 0.5 * float(y @ ((self._levels + mu) * y)) + 0.5 * mu * float(y @ y)
        vector = (self._vectors @ y).astype(self._dtype)
        return Step(vector, norm(vector), predicted, status != "newton", status)


class Newton:
    """Builds an :class:`EigenModel` at every accepted point: one dense Hessian and one factorisation each."""

    name = "newton"

    def model(self, point: Point, radius: float) -> EigenModel:
        """Model at a point; the radius does not enter before a step is asked for."""
        hessian = point.dense()
        point.counters.n_factor += 1
        return EigenModel(hessian, point.gradient)

    def curvature(self, point: Point) -> Curvature:
        """Judge the Hessian by its smallest eigenvalue."""
        model = self.model(point, math.inf)
        smallest = float(model.values[0]) if model.is_finite else math.nan
        definiteness = judge(smallest, model.scale, point.x.dtype, model.is_finite)
        return Curvature(smallest, definiteness, model if definiteness is Definiteness.NEGATIVE else None)

    def is_spent(self, point: Point) -> bool:
        """Say no: there is no budget of products to spend."""
        return False
