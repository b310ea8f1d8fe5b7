"""Functions of a symmetric operator times a vector, and their quadratic forms, by Lanczos, with bounds where there are any."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from hessian.arguments import FINITE, POSITIVE, real_number, unknown, whole_number
from hessian.curvature.krylov_errors import Judgement, Spectrum, judged_form, judged_vector
from hessian.curvature.products import Products
from hessian.errors import ConvergenceError, NonFiniteError, OptionError, ShapeMismatchError, message
from hessian.linalg import limits
from hessian.linalg.dense import eigh
from hessian.linalg.lanczos import Lanczos
from hessian.linalg.monotone import KNOWN, known
from hessian.linalg.vectors import norm
from hessian.operators.vectors import as_right_hand_side
from hessian.text import Shown


@dataclass(frozen=True, eq=False, repr=False)
class MatrixFunction(Shown):
    r"""The vector :math:`f(H) v`, or the number :math:`v^T f(H) v`, with what is known of its error.

    Attributes
    ----------
    name : str
        Of f.
    value : ndarray, shape (n,), or float
    error_bound : float
        What the length of the error is proved not to be above, rounding included; ``inf`` where that is not proved.
    error_estimate : float
        The bound, where there is one; else what the last steps have changed, extrapolated.
    n_hvp : int
        Products spent.
    method : str
        ``"Lanczos"``, or ``"dense"`` by all eigenvalues.
    success : bool
        Whether the error is within ``rtol``, or at the level of rounding.
    bounds : tuple of float
        Of a quadratic form: what it is proved not to be below and above, infinite where that is not proved.
    """

    name: str
    value: Any
    error_bound: float
    error_estimate: float
    n_hvp: int
    method: str
    success: bool
    bounds: tuple[float, float] = (-math.inf, math.inf)

    @property
    def is_bound(self) -> bool:
        """Whether the error is proved, rather than estimated."""
        return math.isfinite(self.error_bound)

    def __repr__(self) -> str:
        what = (
            f"vᵀ{self.name}(H)v = {self.value:.10g}"
            if np.ndim(self.value) == 0
            else f"{self.name}(H)v, {len(self.value)} numbers"
        )
        error = (
            f"error at most {self.error_bound:.1e}"
            if self.is_bound
            else f"error estimated at {self.error_estimate:.1e}"
        )
        state = "" if self.success else ", not converged"
        return f"{what}: {error} ({self.method}, {self.n_hvp} products{state})"


Named = Literal["sqrt", "inverse_sqrt", "log", "inverse", "exp"]


def matrix_function(
    H: Any,
    func: Named | Callable[[np.ndarray], Any],
    v: Any,
    *,
    rtol: float = 1e-10,
    max_hvp: int | None = None,
    lower_bound: float | None = None,
    upper_bound: float | None = None,
) -> MatrixFunction:
    r"""Compute :math:`f(H) v = \sum_i f(\lambda_i)\, u_i u_i^T v` by products.

    Parameters
    ----------
    H : LinearOperator or matrix, shape (n, n)
        Symmetric.
    func : {"sqrt", "inverse_sqrt", "log", "inverse", "exp"} or callable
        f: a name, for which the error is bounded (so it is for ``np.sqrt``, ``np.log`` and ``np.exp``), or a function of an
        array of eigenvalues, for which it is estimated.
    v : array_like, shape (n,)
    rtol : float
        Length of the error asked for, relative to that of the result.
    max_hvp : int, optional
        Products at most. Then the best result comes back, with its error.
    lower_bound, upper_bound : float, optional
        What no eigenvalue of H is known to be below, or above: the damping of a semidefinite matrix, for example. The error of
        the exponential is bounded by the upper one, all others by the lower one. A matrix tells them itself.

    Returns
    -------
    MatrixFunction
        ``.value``, ``.error_bound``, ``.is_bound``, ``.error_estimate``, ``.n_hvp``.

    Raises
    ------
    OptionError
        f is not defined where H is seen to have an eigenvalue, a bound is refuted, H is not symmetric, or the name is unknown.
    ShapeMismatchError, NonFiniteError, DtypeError
        v does not fit; a product or the result is not finite.
    ConvergenceError
        Without ``max_hvp``: the error is above ``rtol`` after n products, or after all that fit in memory.

    Notes
    -----
    With k steps of Lanczos from v, :math:`H Q = Q T + \beta q e_k^T`, the value is :math:`\|v\| Q f(T) e_1`. Its error is
    :math:`\|v\| \beta\, g(H)\, q` with :math:`g(z) = e_k^T f[T, z] e_1`, a divided difference of order k of f, for any f. Where the
    derivatives of f have known signs, :math:`|g|` is largest at one end of the spectrum, and known there: that is the bound. Of
    the square root, its inverse, the logarithm and the inverse it is the lower end, of the exponential the upper one. Rounding is
    allowed for by what a change of H of :math:`4 \epsilon \sqrt n\, \|H\|` may do to f (the process is kept orthogonal).

    Where that end is not known, the same formula with the outermost Ritz value is an estimate, since v may have little of the eigenvector
    there, and steps go on until that value has come to rest; for other functions the estimate is what the last steps have changed, or
    the same formula as far beyond the outermost Ritz values as their residuals if that is more: func is evaluated there, too, unless
    ``lower_bound`` and ``upper_bound`` exclude it. ``.is_bound`` tells.

    ``matrix_function(H, "inverse_sqrt", z)`` of standard normal numbers z is a draw with covariance :math:`H^{-1}`.

    Cost: a product per step and :math:`O(n k^2)` flops, memory of k vectors; none for a matrix up to n = 2000, which is diagonalised.

    References
    ----------
    M. Ilic, I. W. Turner and D. P. Simpson, "A restarted Lanczos approximation to functions of a symmetric matrix", IMA J. Numer.
    Anal. 30 (2010), for the error. N. J. Higham, Functions of Matrices (2008), chapter 13. T. Chen, A. Greenbaum, C. Musco and C.
    Musco, "Error bounds for Lanczos-based matrix function approximation", SIAM J. Matrix Anal. Appl. 43 (2022).

    Examples
    --------
    >>> import numpy as np
    >>> from scipy.sparse.linalg import aslinearoperator
    >>> from hessian.curvature import matrix_function
    >>> H = aslinearoperator(np.diag(np.linspace(1.0, 4.0, 100)))
    >>> found = matrix_function(H, "sqrt", np.ones(100), lower_bound=1.0)
    >>> found.is_bound, bool(np.linalg.norm(found.value - np.sqrt(np.linspace(1.0, 4.0, 100))) <= found.error_bound)
    (True, True)
    >>> matrix_function(np.diag([0.0, np.log(2.0)]), np.exp, np.ones(2)).value.round(12).tolist()
    [1.0, 2.0]
    """
    return _Problem("matrix_function", H, func, v, rtol, lower_bound, upper_bound, is_form=False).solve(max_hvp)


def quadratic_form(
    H: Any,
    func: Named | Callable[[np.ndarray], Any],
    v: Any,
    *,
    rtol: float = 1e-10,
    max_hvp: int | None = None,
    lower_bound: float | None = None,
    upper_bound: float | None = None,
) -> MatrixFunction:
    r"""Compute :math:`v^T f(H) v = \sum_i f(\lambda_i) (u_i^T v)^2` between two bounds.

    Parameters
    ----------
    H, func, v, rtol, max_hvp, lower_bound, upper_bound
        As for :func:`hessian.curvature.matrix_function`.

    Returns
    -------
    MatrixFunction
        ``.value``, ``.bounds``, ``.error_bound``, ``.is_bound``, ``.n_hvp``.

    Raises
    ------
    OptionError, ShapeMismatchError, NonFiniteError, DtypeError, ConvergenceError
        As there.

    Notes
    -----
    Gauss's rule of the Lanczos process is one bound of functions whose even derivatives have a sign, Gauss and Radau's with a node
    at the end of the spectrum the other; the value is in the middle. Without that end the other is an estimate, and the one stands where
    H is known to be in the domain of f: ``lower_bound=0.0`` tells it of a Gauss-Newton matrix, say; the exponential's has no end.
    For other functions the error is that of the vector :math:`f(H) v`, estimated, times the length of v. About half as many products do as
    for the vector. ``quadratic_form(H, "inverse", v)`` is a variance :math:`v^T H^{-1} v` or a leverage.

    References
    ----------
    G. H. Golub and G. Meurant, Matrices, Moments and Quadrature with Applications (2010), chapters 6 and 7.

    Examples
    --------
    >>> import numpy as np
    >>> from scipy.sparse.linalg import aslinearoperator
    >>> from hessian.curvature import quadratic_form
    >>> H = aslinearoperator(np.diag(np.linspace(1.0, 4.0, 100)))
    >>> found = quadratic_form(H, "log", np.ones(100), lower_bound=1.0)
    >>> bool(found.bounds[0] <= np.sum(np.log(np.linspace(1.0, 4.0, 100))) <= found.bounds[1]), found.n_hvp < 20
    (True, True)
    """
    return _Problem("quadratic_form", H, func, v, rtol, lower_bound, upper_bound, is_form=True).solve(max_hvp)


class _Problem:
    """One function of one operator at one vector."""

    def __init__(
        self,
        where: str,
        H: Any,
        func: Any,
        v: Any,
        rtol: float,
        lower_bound: float | None,
        upper_bound: float | None,
        *,
        is_form: bool,
    ) -> None:
        self.where, self.is_form = where, is_form
        self.products = products = Products(H, where)
        self.known = known(func)
        if self.known is None and not callable(func):
            raise unknown(where, "function", func, KNOWN, "Pass one of them, or a function of an array of eigenvalues")
        self.func = self.known.value if self.known else func
        self.name = self.known.name if self.known else str(getattr(func, "__name__", "f")).replace("<lambda>", "f")
        self.rtol = real_number(where, "rtol", rtol, POSITIVE)
        self.v = as_right_hand_side(v, products.n, products.dtype, where)
        if self.v.ndim != 1:
            what = f"v has shape {self.v.shape}"
            raise ShapeMismatchError(message(where, what, fix=f"Pass a vector of {products.n} numbers"))
        self.length = norm(self.v)
        given = [
            None if b is None else real_number(where, n, b, FINITE)
            for n, b in (("lower_bound", lower_bound), ("upper_bound", upper_bound))
        ]
        self.spectrum = Spectrum(products, given[0], given[1])

    def solve(self, max_hvp: int | None) -> MatrixFunction:
        """Return the result: zero, by all eigenvalues, or by Lanczos."""
        products = self.products
        limit = None if max_hvp is None else whole_number(self.where, "max_hvp", max_hvp)
        if not self.length:
            return self._result(0.0 * self.v, Judgement(0.0, True, 0.0, (0.0, 0.0)), "Lanczos", True)
        if products.is_dense(0):
            return self._dense()
        steps = min(products.n, limits.basis_rows(products.n, 2), products.n if limit is None else limit)
        process = Lanczos(self.v, steps)
        look = 1
        while True:
            process.magnitude = max(process.magnitude, products.magnitude)
            process.absorb(products(process.next))
            products.check_gap(process.asymmetry)
            ends = process.is_invariant or process.size == steps
            if process.size < look and not ends:
                continue
            # Looking costs more than a step: it is done after every tenth part of the way.
            look = math.ceil(1.1 * process.size)
            judged = self._judged(process, ends)
            if judged is None:
                continue
            weights, found, success = judged
            if success and self.known and not found.is_proved and self.spectrum.prove_low(self.known, process):
                weights, found, success = self._judged(process, True)
            if not success and limit is None and ends:
                size = abs(found.value) if self.is_form else norm(weights)
                self._fail(process.size, found.error / size if 0.0 < size < math.inf else math.inf)
            if success or ends:
                y = np.zeros(0) if self.is_form else _lifted(process, weights)
                return self._result(y, found, "Lanczos", success)

    def _judged(self, process: Lanczos, ends: bool) -> Any:
        """Return the weights of the basis in the value, what is known of the error, and whether it is small enough.

        ``None`` where the function is not finite between eigenvalues and there are more steps to come.
        """
        theta, S, beta = process.ritz()
        self.spectrum.check(theta)
        theta = self._inside(theta)
        values = self._evaluated(theta)
        lost = np.flatnonzero(~np.isfinite(values))
        if len(lost):
            # An eigenvalue is within the residual of each Ritz value.
            around = [theta[lost] + side * beta * np.abs(S[-1, lost]) for side in (-1.0, 1.0)]
            nowhere = ~np.isfinite(self._evaluated(around[0])) & ~np.isfinite(self._evaluated(around[1]))
            if ends or nowhere.any():
                at = lost[int(np.argmax(nowhere))]
                self._refuse(float(values[at]), float(theta[at]))
            return None
        weights = S @ (values * S[0])
        judge = judged_form if self.is_form else judged_vector
        found = judge(process, theta, S, values, self.known, self.spectrum, self._evaluated)
        size = abs(found.value) if self.is_form else norm(weights)
        # Above rounding no step makes it better.
        success = found.is_settled and found.error <= max(self.rtol * size, 2.0 * found.rounding)
        return weights, found, math.isfinite(found.error) and bool(success or process.is_invariant)

    def _dense(self) -> MatrixFunction:
        """By all eigenvalues: nothing but rounding is off."""
        products = self.products
        values, vectors = eigh(products.dense())
        products.magnitude = max(products.magnitude, float(np.abs(values).max()))
        self.spectrum.check(values)
        moved = self.spectrum.moved
        theta = self._inside(values)
        f = self._evaluated(theta)
        lost = np.flatnonzero(~np.isfinite(f))
        if len(lost):
            self._refuse(float(f[lost[0]]), float(theta[lost[0]]))
        inner = vectors.T @ (self.v.astype(np.float64) / self.length)
        y = vectors @ (f * inner)
        size = float(np.abs(f).max())
        if self.known:
            off = self.known.growth(float(theta[0] if self.known.at_low else theta[-1]), moved)
        else:
            with np.errstate(all="ignore"):
                off = max(float(np.abs(self.func(theta + side * moved) - f).max()) for side in (-1.0, 1.0))
        off += products.rounding(size)
        off = off if math.isfinite(off) else math.inf
        form = float(np.sum(f * inner * inner))
        found = Judgement(off, self.known is not None, form, (form - off, form + off) if self.known else None)
        return self._result(y, found, "dense", math.isfinite(off))

    def _inside(self, theta: np.ndarray) -> np.ndarray:
        """Return Ritz values in the domain of a known function: what rounding has moved out of it comes back, or is refused."""
        if self.known is None or not math.isfinite(self.known.least):
            return theta
        moved, lowest = self.spectrum.moved, float(theta.min())
        if lowest < -moved or (self.known.is_open and lowest <= moved):
            kind = "negative" if lowest < -moved else "zero to working precision"
            what = f"H has an eigenvalue that is {kind}: at most {lowest:.3g}"
            why, fix = (
                f"{self.name} is not defined there",
                "Pass H + shift I (hs.operators.DampedOperator), or another function",
            )
            raise OptionError(message(self.where, what, why, fix))
        return np.maximum(theta, 0.0)

    def _evaluated(self, theta: np.ndarray) -> np.ndarray:
        """Return f of eigenvalues; refuse what is not one real number for each."""
        with np.errstate(all="ignore"):
            values = np.asarray(self.func(theta.copy()))
        if values.dtype.kind not in "fiub" or values.shape not in ((), theta.shape):
            what = (
                f"func returned an array of shape {values.shape} and dtype {values.dtype} for {len(theta)} eigenvalues"
            )
            raise OptionError(message(self.where, what, fix="Return one real number for each"))
        return np.broadcast_to(values.astype(np.float64), theta.shape)

    def _refuse(self, value: float, theta: float) -> None:
        what = f"func is {value} at {theta:.6g}, an approximate eigenvalue of H"
        why, fix = (
            "A function of H takes one that is defined on its spectrum",
            "Shift or scale H, or choose another function",
        )
        raise OptionError(message(self.where, what, why, fix))

    def _result(self, y: np.ndarray, found: Judgement, method: str, success: bool) -> MatrixFunction:
        """Put lengths back in."""
        dtype, length = self.products.dtype, self.length
        square = length * length
        scale = square if self.is_form else length
        with np.errstate(over="ignore"):
            value = square * found.value if self.is_form else (length * y).astype(dtype)
            error = scale * found.error
        if not np.all(np.isfinite(value)):
            what = f"the result leaves {dtype}"
            raise NonFiniteError(message(self.where, what, fix="Pass a multiple of v or of H"))
        bounds = (-math.inf, math.inf)
        if self.is_form and found.bounds is not None:
            bounds = (square * found.bounds[0], square * found.bounds[1])
        bound = error if found.is_proved else math.inf
        return MatrixFunction(self.name, value, bound, error, self.products.count, method, success, bounds)

    def _fail(self, steps: int, error: float) -> None:
        what = f"the relative error is estimated at {error:.1e} after {steps} products, asked for {self.rtol:.1e}"
        fix = "Pass max_hvp to take what there is with its error, a larger rtol, or shift H away from where f is steep"
        raise ConvergenceError(message(self.where, what, fix=fix))


def _lifted(process: Lanczos, weights: np.ndarray) -> np.ndarray:
    """Combine the basis with weights that float32 may not hold."""
    size = norm(weights) or 1.0
    return np.asarray(size * process.basis.lift(weights / size).astype(np.float64))
