"""The Krylov space of the gradient, grown one product at a time, and the models on it."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from hessian.linalg import limits
from hessian.linalg.lanczos import Lanczos
from hessian.linalg.vectors import norm
from hessian.optimize.krylov import Product, is_due
from hessian.optimize.spectral import Lift, SpectralModel


class KrylovSpace:
    """The space ``span{g, Hg, H^2 g, ...}`` and the model of the function on it.

    With ``H Q = Q T + beta q e_k^T`` the residual ``|g + H Q h + mu Q h|`` is ``beta |h_k|``.

    References
    ----------
    N. I. M. Gould, S. Lucidi, M. Roma and Ph. L. Toint, SIAM J. Optim. 9 (1999) 504-525.
    """

    def __init__(self, product: Product, gradient: np.ndarray, max_hvp: int) -> None:
        n = gradient.size
        self._product = product
        self._process = Lanczos(gradient, min(n, max_hvp, limits.basis_rows(n, 5)))
        self._size = norm(gradient)
        self.products = 0

    @property
    def is_complete(self) -> bool:
        """Whether the space cannot or must not grow."""
        process = self._process
        return not process.is_finite or process.size >= process.basis.capacity or process.is_invariant

    @property
    def residual_scale(self) -> float:
        """The last beta; 0 in a space that H maps to itself."""
        return 0.0 if self._process.is_invariant else self._process.betas[-1]

    def grow(self) -> None:
        """Spend one product on one more dimension; a product that is not finite ends the space where it is."""
        self._process.absorb(self._product(self._process.next))
        self.products += 1

    def model(self, kind: type[SpectralModel] = SpectralModel) -> tuple[SpectralModel, np.ndarray]:
        """Return the model on the space, and the last row of T's eigenvectors, which gives residuals.

        Where not even the first product was finite, the model is linear along the gradient.
        """
        process, dtype = self._process, self._process.next.dtype
        eps = float(np.finfo(dtype).eps)
        if not process.size:
            along: Lift = lambda y: (y[0] * process.next).astype(dtype)
            return kind(np.zeros(1), np.array([self._size]), along, eps, self.products), np.zeros(1)
        values, vectors, _ = process.ritz()
        basis = process.basis.rows
        lift: Lift = lambda y: (vectors @ y).astype(dtype) @ basis
        return kind(values, self._size * vectors[0], lift, eps, self.products), vectors[-1]


def grow_until(
    space: KrylovSpace,
    residual: Callable[[SpectralModel, np.ndarray], float],
    tolerance: float,
    kind: type[SpectralModel] = SpectralModel,
) -> SpectralModel:
    """Grow a space until the residual of its model's step is within the tolerance, or it is complete.

    The eigenvalues of T are wanted to know; where they cost as much as products do they are asked for at every sixteenth
    part of the way only.
    """
    while True:
        space.grow()
        k = space.products
        if not space.is_complete and not is_due(k, 16):
            continue
        model, last = space.model(kind)
        if space.is_complete or residual(model, last) * space.residual_scale <= tolerance:
            return model
