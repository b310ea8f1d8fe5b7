"""Log-determinant and Frobenius norm."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import scipy.linalg
import scipy.sparse

from hessian.arguments import NOT_NEGATIVE, Rng, as_generator, real_number, whole_number
from hessian.curvature.estimate import KNOWN, Estimate, widened
from hessian.curvature.leave_out import leave_out, left, sketch
from hessian.curvature.products import Products
from hessian.curvature.quadrature import Runs, joined
from hessian.curvature.trace import DEFAULT_MAX_HVP, unit_products
from hessian.errors import OptionError, message
from hessian.linalg.vectors import on_sphere


def logdet(H: Any, max_hvp: int | None = None, *, damping: float = 0.0, rng: Rng = 0) -> Estimate:
    r"""Estimate :math:`\log\det(H + \lambda I) = \sum_i \log(\lambda_i + \lambda)` of a positive definite matrix.

    Parameters
    ----------
    H, max_hvp, rng
        As for :func:`hessian.curvature.trace`.
    damping : float
        :math:`\lambda \ge 0`.

    Returns
    -------
    Estimate

    Raises
    ------
    OptionError
        H + damping I is seen not to be positive definite, or ``max_hvp`` is below 8.

    Notes
    -----
    Stochastic Lanczos quadrature: two vectors first, until the bounds below are close compared with the spread; then
    as many more as the budget allows.

    Even derivatives of the logarithm are negative and odd ones positive. So for each vector Gauss's rule is a bound from above, and
    Gauss-Radau's with a node at :math:`a \le \lambda_{\min}` one from below. As a serves :math:`\theta_{\min} - \|r\|`, the smallest
    Ritz value less its residual, once that is below half of it in every run; before, ``damping`` where no Ritz value of H is below zero;
    and otherwise :math:`n \epsilon \|H\|`, below which a matrix is not definite to working precision. The value is
    Gauss's.

    The standard error is the sum of a bound on rounding and two parts: the standard deviation of the mean over vectors, by the
    spread of the logarithm over the spectrum (:meth:`hessian.curvature.quadrature.Quadrature.moments`), and half the distance of
    the bounds, so that two standard errors, and ``.interval(0.95)``, reach the lower one. The second part is a bound rather than a
    deviation, one-sided (the value tends to be too high), and large where the spectrum reaches so far down that the budget does not
    resolve it. Raise max_hvp then, or the damping. For an exact result the standard error is a bound on rounding to first
    order, :math:`4 \epsilon \sqrt n\, \|H + \lambda I\|\, \mathrm{tr}\,(H + \lambda I)^{-1}`.

    Cost: ``max_hvp`` products; exact, with n products and a Cholesky factorisation, where n is not larger. A matrix that is given is
    factored up to n = 2000.

    References
    ----------
    S. Ubaru, J. Chen and Y. Saad, SIAM J. Matrix Anal. Appl. 38 (2017), algorithm 1. G. H. Golub and G. Meurant, Matrices, Moments
    and Quadrature with Applications (2010), chapter 6.

    Examples
    --------
    >>> import numpy as np
    >>> from hessian.curvature import logdet
    >>> logdet(np.diag([1.0, np.e, np.e**2]))
    logdet = 3 (exact, 0 products)
    """
    where = "logdet"
    products = Products(H, where)
    max_hvp = DEFAULT_MAX_HVP if max_hvp is None else whole_number(where, "max_hvp", max_hvp)
    damping = real_number(where, "damping", damping, NOT_NEGATIVE)
    generator = as_generator(rng, where)
    n = products.n
    if products.is_dense(max_hvp):
        return _dense_logdet(products, damping)
    if max_hvp < 8:
        why = "It takes two test vectors of four Lanczos steps"
        raise OptionError(message(where, f"max_hvp is {max_hvp}", why, "Pass at least 8 products"))

    def log(nodes: np.ndarray) -> np.ndarray:
        if nodes.min() + damping <= 0.0:
            raise _not_definite(float(nodes.min()) + damping)
        return np.log(nodes + damping)

    runs, look = Runs(products, 2, generator), 6
    while runs.steps < max_hvp // 2 and not runs.is_complete:
        runs.grow()
        # Bounds cost more than a step: they are looked at after every tenth part of the way.
        if runs.steps >= look:
            deviation = math.sqrt(runs.quadrature().moments(log)[1])
            if log_gap([runs], products, damping) <= 0.2 * deviation:
                break
            look = math.ceil(1.1 * runs.steps)
    every = [runs]
    more = (max_hvp - products.count) // runs.steps
    if more:
        further = Runs(products, more, generator)
        for _ in range(runs.steps):
            further.grow()
        every.append(further)
    rule = joined([part.quadrature() for part in every])
    mean, variance = rule.moments(log)
    # To first order, what a change of H by rounding does to the logarithm: by the mean of the inverse.
    inverse = rule.moments(lambda nodes: (products.magnitude + damping) / (nodes + damping))[0]
    rounding = products.rounding(max(inverse, abs(mean)))
    dof, gap = rule.degrees_of_freedom(log), log_gap(every, products, damping)
    error = n * (widened(math.sqrt(variance), dof) + 0.5 * gap + rounding)
    return Estimate("logdet", n * mean, error, products.count, "Lanczos quadrature", KNOWN if gap else dof)


def _dense_logdet(products: Products, damping: float) -> Estimate:
    n = products.n
    matrix = products.dense().astype(np.float64)
    matrix[np.diag_indices(n)] += damping
    try:
        factor = scipy.linalg.cholesky(matrix, lower=True, check_finite=False)
    except np.linalg.LinAlgError:
        raise _not_definite(float(scipy.linalg.eigvalsh(matrix, subset_by_index=[0, 0])[0])) from None
    logs = 2.0 * np.log(np.diag(factor))
    inverse = scipy.linalg.lapack.dtrtri(factor, lower=1)[0]
    norm = min(float(np.abs(matrix).sum(axis=0).max()), float(np.linalg.norm(matrix)))
    rounding = products.rounding(norm) * float(np.sum(np.tril(inverse) ** 2))
    return Estimate("logdet", float(logs.sum()), rounding, products.count, "exact")


def log_gap(every: list[Runs], products: Products, damping: float = 0.0, bound: float | None = None) -> float:
    """Return how far Gauss's mean logarithm is above Gauss-Radau's, between which the truth lies for these vectors.

    The second rule's node is the smallest Ritz value less its residual where that is resolved; ``damping``, where no Ritz value
    of H is below zero; the smallest eigenvalue that rounding would leave visible; or a bound that is known.
    """
    if all(part.is_complete for part in every):
        return 0.0
    floor = products.n * products.eps * (products.magnitude + damping)
    lowest, residuals = (np.concatenate(parts) for parts in zip(*(part.lowest() for part in every), strict=True))
    if lowest.min() + damping <= 0.0:
        return math.inf
    if np.all(residuals <= 0.5 * (lowest + damping)):
        floor = max(floor, float((lowest - residuals).min()) + damping)
    elif lowest.min() >= 0.0:
        floor = max(floor, damping)
    if bound is not None:
        floor = max(floor, bound + damping)
    floor = min(floor, float(lowest.min()) + damping)
    below = joined([part.quadrature(node=floor - damping) for part in every])

    def floored(nodes: np.ndarray) -> np.ndarray:
        return np.log(np.maximum(nodes + damping, floor))

    above = joined([part.quadrature() for part in every])
    return max(0.0, above.moments(floored)[0] - below.moments(floored)[0])


def remainder(every: list[Runs], f: Callable[[np.ndarray], np.ndarray]) -> float:
    """Extrapolate what further Lanczos steps would change, from the last four.

    With ratio r of successive changes the rest of a geometric series is the last change by r / (1 - r). Where convergence is
    slower than geometric, r tends to 1, and the estimate with it to the right order.
    """
    steps = every[0].steps
    if all(part.is_complete for part in every):
        return 0.0
    if steps < 5:
        return abs(_mean(every, f, steps) - _mean(every, f, 1))
    last, before, first = (_mean(every, f, k) for k in (steps, steps - 2, steps - 4))
    change, ratio = abs(last - before), abs(last - before) / max(abs(before - first), 1e-300)
    ratio = min(ratio, 0.95)
    return change * max(1.0, ratio / (1.0 - ratio))


def _mean(every: list[Runs], f: Callable[[np.ndarray], np.ndarray], steps: int) -> float:
    """Mean of f over the spectrum after so many steps."""
    return joined([part.quadrature(steps) for part in every]).moments(f)[0]


def _not_definite(value: float) -> OptionError:
    what = f"the matrix is not positive definite: its smallest eigenvalue is at most {value:.3g}"
    return OptionError(message("logdet", what, "The logarithm is not real", "Pass damping > 0, or use eigenvalues"))


def frobenius_norm(H: Any, max_hvp: int | None = None, *, rng: Rng = 0) -> Estimate:
    r"""Estimate :math:`\|H\|_F = (\sum_{ij} h_{ij}^2)^{1/2} = (\sum_i \lambda_i^2)^{1/2}`.

    Parameters
    ----------
    H, max_hvp, rng
        As for :func:`hessian.curvature.trace`.

    Returns
    -------
    Estimate

    Raises
    ------
    OptionError
        ``max_hvp`` is below 6, or H is not symmetric.

    Notes
    -----
    The norm squared is the trace of :math:`H^2`, taken by XTrace from one product per vector and one per sketched direction:
    :math:`x \cdot H^2 x = \|Hx\|^2`, and the range of H is that of :math:`H^2`. The standard error of the root is that of the square
    by twice the root (delta method).

    Cost: ``max_hvp`` products; exact with n products where n is not larger, with none for a matrix.

    References
    ----------
    E. N. Epperly, J. A. Tropp and R. J. Webber, SIAM J. Matrix Anal. Appl. 45 (2024), section 2.

    Examples
    --------
    >>> import numpy as np
    >>> from hessian.curvature import frobenius_norm
    >>> frobenius_norm(np.diag([3.0, 4.0]))
    frobenius norm = 5 (exact, 0 products)
    """
    where, name = "frobenius_norm", "frobenius norm"
    products = Products(H, where)
    n = products.n
    max_hvp = DEFAULT_MAX_HVP if max_hvp is None else whole_number(where, "max_hvp", max_hvp)
    generator = as_generator(rng, where)
    if products.matrix is not None:
        entries = products.matrix.data if scipy.sparse.issparse(products.matrix) else products.matrix
        return _norm(float(np.linalg.norm(np.asarray(entries, np.float64))), products)
    if max_hvp >= n:
        squares = sum(float(np.sum(np.square(block, dtype=np.float64))) for _, block in unit_products(products))
        return _norm(math.sqrt(squares), products)
    if max_hvp < 6:
        why = "Its standard error takes three vectors and their sketch"
        raise OptionError(message(where, f"max_hvp is {max_hvp}", why, "Pass at least 6 products"))
    found = sketch(products, on_sphere(generator, n, min(max_hvp // 2, n - 1), products.dtype))
    # Of a norm near one, so that fourth powers of numbers fit.
    scale = products.magnitude or 1.0
    Z, Y = found.Z.astype(np.float64) / scale, found.Y.astype(np.float64) / scale
    middle = Z.T @ Z
    if found.S is None:
        known = float(np.trace(middle))
        _, image, spans = left(products, found, on_sphere(generator, n, 1, products.dtype))
        rest = float(np.sum((image / scale) ** 2))
        size = math.sqrt(known + (0.0 if spans else rest))
        if spans:
            error = products.eps * n * size + (math.sqrt(rest) if size else 0.0)
            return Estimate(name, scale * size, scale * error, products.count, "xtrace of the square")
        # One sample of a square varies by its own size at most, times the root of two.
        error = math.hypot(widened(math.sqrt(0.5) * rest / size, 1.0), products.eps * n * size)
        return Estimate(name, scale * size, scale * error, products.count, "xtrace of the square", 1.0)
    squares_of, variance, dof = leave_out(found, Y.T @ Y, Z.T @ Y, middle)
    square = float(np.mean(squares_of))
    if not square > 0.0:
        what = "the estimate of the squared norm is not positive"
        raise OptionError(message(where, what, fix="Raise max_hvp"))
    size = math.sqrt(square)
    error = math.hypot(widened(math.sqrt(variance) / (2.0 * size), dof), products.eps * n * size)
    return Estimate(name, scale * size, scale * error, products.count, "xtrace of the square", dof)


def _norm(value: float, products: Products) -> Estimate:
    return Estimate("frobenius norm", value, products.eps * products.n * value, products.count, "exact")
