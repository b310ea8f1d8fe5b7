"""Randomised low-rank approximation of semidefinite curvature: as an operator, for systems, determinants and preconditioning."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from hessian.arguments import NOT_NEGATIVE, Rng, as_generator, real_number, whole_number
from hessian.curvature.misses import MISS, share
from hessian.curvature.products import Products
from hessian.errors import OptionError, message
from hessian.linalg import limits
from hessian.linalg.lanczos import Lanczos
from hessian.linalg.nystrom import EigenForm, eigen_form, random_columns
from hessian.operators.symmetric import SymmetricOperator
from hessian.operators.vectors import as_right_hand_side
from hessian.text import Shown

LOOKS = 10
"""Products that are spent by default on the error."""


class NystromApproximation(SymmetricOperator, Shown):
    r"""The operator :math:`\hat H = U \Lambda U^T` that :func:`nystrom` returns.

    Attributes
    ----------
    values : ndarray, shape (r,)
        :math:`\Lambda \ge 0`, descending.
    vectors : ndarray, shape (n, r)
        U, orthonormal columns.
    error_estimate : float
        What was seen of :math:`\|H - \hat H\|_2`, which is not less but for rounding; NaN where nobody looked.
    error_bound : float
        What it is not above, but with ``miss_probability``; ``inf`` where nobody looked.
    miss_probability : float
        Of a random start that overlooks a larger error: 1e-3, or 0 where the bound is one of rounding.
    n_hvp : int
        Products spent on sketch and error.
    """

    def __init__(
        self,
        form: EigenForm,
        dtype: np.dtype,
        error_estimate: float,
        error_bound: float,
        miss_probability: float,
        n_hvp: int,
    ) -> None:
        super().__init__(form.order, dtype)
        self._form = form
        self.values = form.values.astype(dtype)
        self.vectors = form.vectors.astype(dtype)
        self.error_estimate, self.error_bound = error_estimate, error_bound
        self.miss_probability = miss_probability
        self.n_hvp = n_hvp

    @property
    def rank(self) -> int:
        """Columns of U, which is the rank unless eigenvalues are zero."""
        return len(self.values)

    def __repr__(self) -> str:
        first, last = float(self.values[0]), float(self.values[-1])
        seen = "error not looked at"
        if math.isfinite(self.error_bound):
            odds = f" (but for a chance of {self.miss_probability:g})" if self.miss_probability else ""
            seen = f"error at most {self.error_bound:.2g}{odds}"
        return (
            f"<NystromApproximation of order {self.shape[0]}, rank {self.rank}: eigenvalues {first:.4g} to {last:.4g}, "
            f"{seen}, {self.n_hvp} products>"
        )

    def _apply(self, V: np.ndarray) -> np.ndarray:
        return self._form.apply(V).astype(self.dtype, copy=False)

    def to_dense(self) -> np.ndarray:
        """Return the matrix, shape (n, n)."""
        return ((self._form.vectors * self._form.values) @ self._form.vectors.T).astype(self.dtype)

    def diagonal(self) -> np.ndarray:
        """Return the diagonal, shape (n,)."""
        return np.asarray((self._form.vectors**2 @ self._form.values).astype(self.dtype))

    def solve(self, b: Any, *, damping: float = 0.0, rtol: float = 1e-8, maxiter: int | None = None) -> np.ndarray:
        r"""Solve :math:`(\hat H + \mu I) x = b` by the eigenvectors.

        Parameters
        ----------
        b : array_like, shape (n,) or (n, k)
        damping : float
            :math:`\mu`; positive, unless the rank is n.
        rtol, maxiter
            Of operators that iterate; nothing here depends on them.

        Returns
        -------
        ndarray, shape of b

        Raises
        ------
        ConvergenceError
            The matrix is singular.
        OptionError, ShapeMismatchError, NonFiniteError, DtypeError
            The damping is negative, or b does not fit.

        Notes
        -----
        Cost: O(n r). The solution of :math:`(H + \mu I) x = b` is another one, by up to :math:`\|H - \hat H\| / \mu` relative to itself:
        :func:`hessian.curvature.inverse_product` with ``preconditioner=`` has it.
        """
        where = "NystromApproximation.solve"
        rhs = as_right_hand_side(b, self.shape[0], self.dtype, where)
        damping = real_number(where, "damping", damping, NOT_NEGATIVE)
        inverse = 1.0 / self._form.damped(damping, where)
        return self._form.function(rhs, inverse, 1.0 / damping if damping else 0.0).astype(self.dtype, copy=False)

    def logdet(self, damping: float = 0.0) -> float:
        r"""Return :math:`\log\det(\hat H + \mu I)`.

        Raises
        ------
        ConvergenceError
            The matrix is singular: :math:`\mu = 0` below rank n.
        OptionError
            The damping is negative.

        Notes
        -----
        That of :math:`H + \mu I` is not less (but for rounding), and not more than :math:`(n - r) \log(1 + \|H - \hat H\| / \mu)`
        above: the error is semidefinite and zero on the r directions of the sketch.
        """
        where = "NystromApproximation.logdet"
        damping = real_number(where, "damping", damping, NOT_NEGATIVE)
        logs = float(np.sum(np.log(self._form.damped(damping, where))))
        beside = self.shape[0] - self.rank
        return logs + (beside * math.log(damping) if beside else 0.0)

    def spread(self, z: Any, damping: float = 0.0) -> np.ndarray:
        r"""Return :math:`(\hat H + \mu I)^{-1/2} z`: of standard normal numbers, a draw with the inverse as its covariance.

        Raises
        ------
        ConvergenceError, OptionError, ShapeMismatchError, NonFiniteError, DtypeError
            As for :meth:`solve`.
        """
        where = "NystromApproximation.spread"
        rhs = as_right_hand_side(z, self.shape[0], self.dtype, where)
        damping = real_number(where, "damping", damping, NOT_NEGATIVE)
        root = 1.0 / np.sqrt(self._form.damped(damping, where))
        return self._form.function(rhs, root, damping**-0.5 if damping else 0.0).astype(self.dtype, copy=False)

    def preconditioner(self, damping: float = 0.0) -> SymmetricOperator:
        r"""Return :math:`P^{-1} = (\ell + \mu) U (\Lambda + \mu)^{-1} U^T + (I - U U^T)`, :math:`\ell` the smallest eigenvalue.

        Definite always. For ``preconditioner=`` of :func:`hessian.optimize.minimize` and of
        :func:`hessian.curvature.inverse_product`, which make it themselves of an approximation, and for ``M=`` of SciPy's solvers.

        Raises
        ------
        OptionError
            The damping is negative.

        Notes
        -----
        The condition number of :math:`P^{-1/2} (H + \mu I) P^{-1/2}` is at most :math:`(\ell + \mu + \|H - \hat H\|) / \mu`.

        References
        ----------
        Z. Frangella, J. A. Tropp and M. Udell, "Randomized Nystrom preconditioning", SIAM J. Matrix Anal. Appl. 44 (2023),
        proposition 5.3.
        """
        return NystromPreconditioner(self._form, self.dtype, damping)


class NystromPreconditioner(SymmetricOperator):
    r"""The inverse :math:`P^{-1}` of the preconditioner of an approximation (:meth:`NystromApproximation.preconditioner`)."""

    def __init__(self, form: EigenForm, dtype: Any, damping: float = 0.0) -> None:
        self.damping = real_number("NystromApproximation.preconditioner", "damping", damping, NOT_NEGATIVE)
        super().__init__(form.order, dtype)
        self._form = form

    def __repr__(self) -> str:
        return (
            f"<NystromPreconditioner of order {self.shape[0]}, rank {len(self._form.values)}, damping {self.damping:g}>"
        )

    def _apply(self, V: np.ndarray) -> np.ndarray:
        return self._form.precondition(V, self.damping).astype(self.dtype, copy=False)


def nystrom(H: Any, rank: int, *, max_hvp: int | None = None, rng: Rng = 0) -> NystromApproximation:
    r"""Approximate a positive semidefinite operator by one of low rank, :math:`\hat H = H\Omega (\Omega^T H \Omega)^{-1} (H\Omega)^T`.

    Parameters
    ----------
    H : LinearOperator or matrix, shape (n, n)
        Symmetric, positive semidefinite: a Gauss-Newton or Fisher matrix, or the Hessian of a convex function.
    rank : int
        Random directions :math:`\Omega`, in 1..n: a product each.
    max_hvp : int, optional
        Products at most; by default 10 more than ``rank``. What the sketch leaves is spent on the error.
    rng : int, numpy.random.Generator or None
        Seed of the directions.

    Returns
    -------
    NystromApproximation
        ``.values``, ``.vectors``, ``@``, ``.solve(b, damping=)``, ``.logdet(damping)``, ``.preconditioner(damping)``, ``.error_bound``.

    Raises
    ------
    OptionError
        H is seen to have a negative eigenvalue, by a vector that proves it; the rank is not in 1..n, or above ``max_hvp``.
    NonFiniteError
        A product holds NaN or inf.

    Notes
    -----
    Of a semidefinite H the error :math:`E = H - \hat H` is semidefinite, too. Lanczos steps from a fresh random start, orthogonal, give the
    largest Ritz value of E, which its norm is not below. With j of them its norm is above that by a share of
    :math:`(\log(1.648 \sqrt n / \delta) / (2j - 1))^2` at most, but with probability :math:`\delta` (Kuczynski and Wozniakowski); by
    :math:`\sqrt{2n/\pi} / \delta` times after few. The same steps find negative curvature that the sketch has not seen; what nobody
    has seen is not excluded. In expectation the error is a few times the eigenvalue of H behind the rank, plus the tail's sum by the rank.

    Cost: ``max_hvp`` products, those of the sketch in blocks; :math:`O(n r^2)` flops and 2 n r numbers.

    References
    ----------
    J. A. Tropp, A. Yurtsever, M. Udell and V. Cevher, NeurIPS (2017), algorithm 3. Z. Frangella, J. A. Tropp and M. Udell, SIAM J.
    Matrix Anal. Appl. 44 (2023). J. Kuczynski and H. Wozniakowski, SIAM J. Matrix Anal. Appl. 13 (1992), theorem 4.1.

    Examples
    --------
    >>> import numpy as np
    >>> from hessian.curvature import nystrom
    >>> spectrum = 0.5 ** np.arange(200.0)
    >>> found = nystrom(np.diag(spectrum), 20)
    >>> bool(np.linalg.norm(np.diag(spectrum) - found.to_dense(), 2) <= found.error_bound), bool(found.error_bound < 1e-4)
    (True, True)
    >>> exact = np.sum(np.log(spectrum + 0.1))
    >>> bool(abs(found.logdet(0.1) - exact) < 1e-3)
    True
    """
    where = "nystrom"
    products = Products(H, where)
    n = products.n
    if whole_number(where, "rank", rank) > n:
        raise OptionError(message(where, f"rank is {rank} for an operator of order {n}", fix=f"Pass 1 <= rank <= {n}"))
    why = "Every direction of the sketch takes a product"
    max_hvp = rank + LOOKS if max_hvp is None else whole_number(where, "max_hvp", max_hvp, rank, why)
    generator = as_generator(rng, where)
    return approximation(products, rank, max_hvp, generator)


def approximation(products: Products, rank: int, max_hvp: int, rng: np.random.Generator) -> NystromApproximation:
    """Sketch, and look at the error with what is left of so many products."""
    n, before = products.n, products.count
    start = random_columns(rng, n, rank, products.dtype)
    images = products(start)
    form = eigen_form(start, images, products.eps)
    if form.lowest < -_rounding(products):
        raise _indefinite(products, form.lowest)
    steps = min(max_hvp - rank, n, limits.basis_rows(n, 2))
    rounding = _rounding(products) + form.rounding
    # The space of the sketch is everything, or everything is zero.
    if rank == n or not products.magnitude:
        error, miss = (0.0, rounding), 0.0
    elif steps < 1:
        error, miss = (math.nan, math.inf), MISS
    else:
        error, miss = _error(products, start, images, form, steps, rng), MISS
    return NystromApproximation(form, products.dtype, *error, miss, products.count - before)


def _rounding(products: Products) -> float:
    """What products may be off by, and leave of a semidefinite matrix."""
    return 100.0 * products.eps * math.sqrt(products.n) * products.magnitude


def _error(
    products: Products, start: np.ndarray, images: np.ndarray, form: EigenForm, steps: int, rng: np.random.Generator
) -> tuple[float, float]:
    """Return the largest Ritz value of what the form leaves, and what the largest eigenvalue is not above but rarely."""
    n, rounding = products.n, _rounding(products) + form.rounding
    process = Lanczos(rng.standard_normal(n).astype(products.dtype), steps)
    while process.size < steps and not process.is_invariant:
        image = products(process.next)
        process.absorb((image - form.apply(process.next)).astype(products.dtype))
    theta, S, beta = process.ritz()
    if theta[0] < -rounding:
        further = process.basis.lift(S[:, 0]).astype(np.float64)
        # What the process knows of the product.
        image = theta[0] * further + beta * S[-1, 0] * process.next + form.apply(further)
        _look_down(products, start.astype(np.float64), images.astype(np.float64), further, image)
    seen = max(float(theta[-1]), 0.0)
    # A component of a random unit vector is below d with probability d sqrt(2 n / pi) at most.
    once = math.sqrt(2.0 * n / math.pi) / MISS
    part = share(n, process.size, MISS)
    bound = min(math.hypot(process.alphas[0], process.betas[0]) * once, seen / (1.0 - part) if part < 1.0 else math.inf)
    if process.is_invariant:
        # The space of a random start holds a vector of every eigenvalue, to the rounding at which it ended.
        bound = min(bound, seen + process.betas[-1] * once)
    return seen, bound + rounding


def _look_down(
    products: Products, start: np.ndarray, images: np.ndarray, further: np.ndarray, image: np.ndarray
) -> None:
    """Refuse an H whose lowest Ritz value in the space of the sketch and one more vector is negative; of all of them images are given.

    What a sketch leaves of a semidefinite matrix is semidefinite.
    """
    inside = start.T @ further
    rest, rest_image = further - start @ inside, image - images @ inside
    length = float(np.linalg.norm(rest))
    if not length > 0.0:
        return
    basis, mapped = np.column_stack([start, rest / length]), np.column_stack([images, rest_image / length])
    core = basis.T @ mapped
    lowest = float(np.linalg.eigvalsh(0.5 * (core + core.T))[0])
    if lowest < -_rounding(products) / length:
        raise _indefinite(products, lowest)


def _indefinite(products: Products, value: float) -> OptionError:
    what = f"H is not positive semidefinite: it has an eigenvalue of at most {value:.3g}"
    why = "Nystrom's approximation exists for semidefinite matrices"
    fix = f"Pass a Gauss-Newton or Fisher operator, or H + shift I (hs.operators.DampedOperator) with a shift above {-value:.3g}"
    return OptionError(message(products.where, what, why, fix))
