"""Exact minimisers of a model whose Hessian is known in an orthonormal basis of eigenvectors, of all space or a part."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from hessian.linalg.dense import eigh
from hessian.linalg.vectors import norm
from hessian.optimize.krylov import Step

Lift = Callable[[np.ndarray], np.ndarray]
"""Takes coordinates in the eigenbasis to a step."""

_ROUNDS = 100
_ACCURACY = 1e-10


class SpectralModel:
    """The model ``m(s) = g.s + 1/2 s.H s`` on a space in which ``H = diag(l)`` and ``g = c``, minimised for O(k) flops.

    The minimiser within a radius is ``y_i = -c_i / (l_i + mu)``. The multiplier ``mu >= max(0, -l_1)`` is zero, or such
    that ``|y|`` is the radius (Moré and Sorensen 1983). The unknown here is ``sigma = mu + l_1``, with gaps ``l_i - l_1``
    that are exact zeros where they should be: nothing cancels near the pole, so the nearly hard case needs no tolerance.
    The hard case (``c_1 = 0`` and a step that stays short of the radius) adds the eigenvector of ``l_1``; it includes
    g = 0, a saddle.

    The minimiser of ``m(s) + w/3 |s|^3`` has the same form with ``mu = w |y|`` (Cartis, Gould and Toint 2011), so it is
    the trust-region step of the one radius at which the two multipliers agree.

    Directions in which both H and g are zero to rounding are left alone, which makes a singular but consistent system
    (a rank-deficient least-squares problem) give its shortest solution.

    Eigenvalues l come in any order, the gradient as its components c along the eigenvectors; ``lift`` takes coordinates y to a step in
    the space of x, of the precision wanted there; H and g are known with the unit roundoff ``eps``.
    """

    def __init__(self, values: np.ndarray, gradient: np.ndarray, lift: Lift, eps: float, products: int = 0) -> None:
        self.values = values
        self.products = products
        self._lift = lift
        # Everything is divided by |g| (by |H| at a saddle): it changes no step, and squares stay within the range of floats.
        self._size = max(norm(gradient), eps * self.scale) or 1.0
        is_flat = np.abs(values) <= values.size * eps * self.scale
        is_flat &= np.abs(gradient) <= 10.0 * eps * norm(gradient)
        self._levels = np.where(is_flat, 0.0, values / self._size)
        self._c = np.where(is_flat, 0.0, gradient / self._size)
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
        return self._finish(*self._coordinates(radius))

    def coordinates(self, radius: float) -> tuple[np.ndarray, float, str]:
        """Return the minimiser within the radius in the eigenbasis, its multiplier, and what ended it."""
        y, mu, status = self._coordinates(radius)
        return y, self._size * mu, status

    def _coordinates(self, radius: float) -> tuple[np.ndarray, float, str]:
        """Do so with the multiplier divided by |g|."""
        if self.end_norm <= radius:
            return self._at(self._lowest), 0.0, "newton"
        y = self._at(0.0)
        length = norm(y) if np.all(np.isfinite(y)) else math.inf
        if length <= radius:
            # Hard case: (H + mu I) s = -g leaves the lowest eigenvector free; take as much of it as reaches the radius.
            y[int(np.argmin(self._levels))] += math.sqrt(radius - length) * math.sqrt(radius + length)
            return y, -self._lowest, "negative-curvature"
        sigma = self._solve(radius, max(self._lowest, 0.0))
        status = "negative-curvature" if self._lowest < 0.0 else "boundary"
        return self._at(sigma), sigma - self._lowest, status

    def cubic_step(self, weight: float) -> Step:
        """Minimise ``m(s) + weight/3 |s|^3``; ``predicted`` is the reduction of m with the cubic term."""
        y, mu, status = self._cubic_coordinates(weight)
        # The sum of non-negative terms of _finish, and what the cubic term takes back: mu |y|^2 = weight |y|^3.
        cubic = (weight / self._size * norm(y)) * norm(y) * norm(y)
        vector = self._lift(y)
        return Step(vector, norm(vector), self._size * (self._reduction(y, mu) - cubic / 3.0), True, status)

    def cubic_coordinates(self, weight: float) -> tuple[np.ndarray, float, str]:
        """Return the minimiser of the cubic model in the eigenbasis, its multiplier, and what ended it."""
        y, mu, status = self._cubic_coordinates(weight)
        return y, self._size * mu, status

    def _cubic_coordinates(self, weight: float) -> tuple[np.ndarray, float, str]:
        """Do so with the multiplier divided by |g|."""
        if weight <= 0.0:
            return self._coordinates(math.inf)
        weight = weight / self._size
        shift = max(-self._lowest, 0.0)
        y = self._at(max(self._lowest, 0.0))
        if shift > 0.0 and np.all(np.isfinite(y)) and weight * norm(y) <= shift:
            # Hard case: even the smallest multiplier asks for a longer step than the gradient gives.
            wanted, length = shift / weight, norm(y)
            y[int(np.argmin(self._levels))] += math.sqrt(max(wanted - length, 0.0)) * math.sqrt(wanted + length)
            return y, shift, "negative-curvature"
        sigma = self._solve_cubic(weight, max(self._lowest, 0.0))
        return self._at(sigma), sigma - self._lowest, "negative-curvature" if shift > 0.0 else "cubic"

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
        for _ in range(_ROUNDS):
            y = self._at(sigma)
            length = norm(y)
            if abs(length - radius) <= _ACCURACY * radius:
                break
            low, high = (sigma, high) if length > radius else (low, sigma)
            proposal = math.nan
            if 0.0 < length < math.inf:
                unit = y / length
                proposal = sigma + (length - radius) / radius / float(unit @ (unit / (self._gaps + sigma)))
            sigma = proposal if low < proposal < high else 0.5 * (low + high)
        return sigma

    def _solve_cubic(self, weight: float, floor: float) -> float:
        """Find the shift ``sigma = mu + l_1`` at which ``mu = weight |y(sigma)|``.

        Newton's method on ``1/|y| - weight/mu``, concave and increasing between its pole and its root, safeguarded by
        bisection; both it and its slope are multiplied by ``|y|``. The bracket: at ``mu`` the step is at most
        ``|c| / sigma``.
        """
        size = norm(self._c)
        low = floor
        # sigma (sigma - l_1) = weight |c| bounds the root from above.
        root = math.hypot(self._lowest, 2.0 * math.sqrt(weight * size))
        # Whichever form of the root does not cancel.
        high = 2.0 * weight * size / (root - self._lowest) if self._lowest < 0.0 else 0.5 * (self._lowest + root)
        high = max(high, floor) * (1.0 + 1e-12) + float(np.finfo(float).tiny)
        sigma = high
        for _ in range(_ROUNDS):
            y = self._at(sigma)
            length, mu = norm(y), sigma - self._lowest
            if abs(mu - weight * length) <= _ACCURACY * mu or length == 0.0:
                break
            low, high = (sigma, high) if mu < weight * length else (low, sigma)
            unit, ratio = y / length, weight * length / mu if mu > 0.0 else math.inf
            slope = float(unit @ (unit / (self._gaps + sigma))) + ratio / mu if mu > 0.0 else math.inf
            proposal = sigma - (1.0 - ratio) / slope
            sigma = proposal if low < proposal < high else 0.5 * (low + high)
            if sigma in (low, high):
                break
        return sigma

    def _finish(self, y: np.ndarray, mu: float, status: str) -> Step:
        """Leave the eigenbasis. The reduction is a sum of non-negative terms, as ``l_i + mu >= 0``."""
        vector = self._lift(y)
        return Step(vector, norm(vector), self._size * self._reduction(y, mu), status != "newton", status)

    def _reduction(self, y: np.ndarray, mu: float) -> float:
        """Reduction of the quadratic model, divided by |g|; squares of y alone might underflow."""
        # A radius beyond floating point has an infinite multiplier: NaN, which ends the run.
        with np.errstate(invalid="ignore"):
            return 0.5 * float(y @ ((self._levels + mu) * y)) + 0.5 * float(y @ (mu * y))


class CubicModel:
    """A spectral model whose steps are bounded by a cubic term instead of a radius."""

    def __init__(self, model: SpectralModel) -> None:
        self._model = model
        self.products = model.products

    @property
    def end_norm(self) -> float:
        """Length of the Newton step."""
        return self._model.end_norm

    def step(self, weight: float) -> Step:
        """Minimise the model with a cubic term of the weight."""
        return self._model.cubic_step(weight)


class AbsoluteModel(SpectralModel):
    """The model with ``|H|`` in place of H: saddles repel where Newton's own step is drawn to them.

    The reduction predicted is that of the true model, which is at least that of this one, as ``H <= |H|``.

    References
    ----------
    Y. N. Dauphin et al., Identifying and attacking the saddle point problem in high-dimensional non-convex optimization,
    NeurIPS 27 (2014), algorithm 1.
    """

    def __init__(self, values: np.ndarray, gradient: np.ndarray, lift: Lift, eps: float, products: int = 0) -> None:
        self._signed = values
        super().__init__(np.abs(values), gradient, lift, eps, products)

    def step(self, radius: float) -> Step:
        """Minimise the model of ``|H|`` within the radius."""
        y, _, status = self.coordinates(radius)
        predicted = -self._size * (float(self._c @ y) + 0.5 * float(y @ (self._signed / self._size * y)))
        if status == "newton" and np.any(self._signed[y != 0.0] < 0.0):
            status = "saddle-free"
        vector = self._lift(y)
        return Step(vector, norm(vector), predicted, status in ("boundary", "negative-curvature"), status)


class EigenModel(SpectralModel):
    """The spectral model of a dense Hessian, from one eigendecomposition.

    Eigenvalues are preferred over the factorisations of Moré and Sorensen's iteration because the method is for small n,
    where the constant does not matter, and they answer everything at once: shorter steps after a rejection, negative
    curvature, the second-order condition.
    """

    def __init__(self, hessian: np.ndarray, gradient: np.ndarray) -> None:
        dtype = gradient.dtype
        self.is_finite = bool(np.all(np.isfinite(hessian)))
        # A Hessian that is not finite leaves a linear model. In float64, because at this size the arithmetic is free.
        values, vectors = eigh(hessian if self.is_finite else np.zeros(hessian.shape))
        eps = float(np.finfo(dtype).eps)
        super().__init__(values, vectors.T @ gradient, lambda y: (vectors @ y).astype(dtype), eps)
