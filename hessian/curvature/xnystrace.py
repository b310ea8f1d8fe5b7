"""The trace of a semidefinite operator by Nystrom approximations that each leave one test vector out."""

from __future__ import annotations

import math

import numpy as np
import scipy.linalg

from hessian.curvature.estimate import Estimate, widened
from hessian.curvature.leave_out import judged
from hessian.curvature.products import Products
from hessian.errors import OptionError, message
from hessian.linalg.vectors import on_sphere


def xnystrace(products: Products, k: int, rng: np.random.Generator) -> Estimate:
    r"""Estimate the trace from k products.

    Notes
    -----
    With :math:`\hat A_i` the approximation from all test vectors but :math:`w_i`, the estimates are
    :math:`t_i = \mathrm{tr} \hat A_i + c_i\, w_i^T (A - \hat A_i) w_i` with :math:`c_i = (n-k+1)/\|P_i w_i\|^2`, :math:`P_i` the
    projection off the others: what :math:`\hat A_i` leaves is zero on those, so that each is unbiased given them. With
    :math:`g = (W^T A W)^{-1}` and :math:`Z = A W g`, :math:`\mathrm{tr} \hat A_i = \mathrm{tr} \hat A - \|z_i\|^2 / g_{ii}` and
    :math:`w_i^T (A - \hat A_i) w_i = 1 / g_{ii}`; of leaving out two, the same with blocks of order two. The variance is that of
    :func:`hessian.curvature.leave_out.leave_out`, whose reasons hold for any estimate that is unbiased given the other vectors, times
    what :func:`_scarcity` says.

    A is shifted by :math:`\nu I` at the level of rounding, and :math:`\nu n` taken off the trace.

    References
    ----------
    E. N. Epperly, J. A. Tropp and R. J. Webber, SIAM J. Matrix Anal. Appl. 45 (2024), section 2.3.
    """
    n = products.n
    W = on_sphere(rng, n, k, np.dtype(np.float64))
    Q, R = np.linalg.qr(W)
    start = Q.astype(products.dtype)
    # The directions that were multiplied, which rounding to float32 has moved.
    Q, Y = start.astype(np.float64), products(start).astype(np.float64)
    scale = products.magnitude
    if not scale:
        return Estimate("trace", 0.0, 0.0, products.count, "xnystrace")
    core = Q.T @ Y / scale
    products.check_gap(scale * float(np.max(np.abs(core - core.T))))
    weights, axes = scipy.linalg.eigh(0.5 * (core + core.T), check_finite=False)
    rounding = products.eps * math.sqrt(n)
    if weights[0] < -100.0 * rounding:
        raise _indefinite(scale * float(weights[0]))
    shift = max(rounding * float(np.linalg.norm(weights)), -2.0 * float(weights[0]))
    root = axes / np.sqrt(weights + shift)
    B = (Y / scale + shift * Q) @ root
    R_inverse = scipy.linalg.solve_triangular(R, np.eye(k), check_finite=False)
    F = R_inverse @ root
    gram = B.T @ B
    estimates, variance, dof = _left_out(n, float(np.trace(gram)), F @ F.T, F @ gram @ F.T, R_inverse @ R_inverse.T)
    value = float(np.mean(estimates)) - n * shift
    deviation = _scarcity(W, B) * math.sqrt(variance)
    error = math.hypot(widened(deviation, dof), products.eps * n * float(np.linalg.norm(weights)) + n * shift)
    return Estimate("trace", scale * value, scale * error, products.count, "xnystrace", dof)


def _scarcity(W: np.ndarray, B: np.ndarray) -> float:
    r"""Return how many times less than on average the test vectors have of the directions that the approximation has found, at least 1.

    Of an outlier's direction u, :math:`\hat A` leaves :math:`b / \|W^T u\|^2` with a number b of the bulk, of which the estimates see
    b / k on average, all of them too little where :math:`\|W^T u\|^2` is below k by chance: their scatter does not show it. Directions
    in the bulk, on which the vectors have much more, do not count: each direction has its own share as its weight.
    """
    shares = len(W.T) / np.sum((W.T @ np.linalg.svd(B, full_matrices=False)[0]) ** 2, axis=0)
    return max(1.0, float(np.sum(shares**2) / np.sum(shares)))


def _left_out(
    n: int, total: float, g: np.ndarray, s: np.ndarray, inverse: np.ndarray
) -> tuple[np.ndarray, float, float]:
    """Return the estimates that leave one vector out, the variance of their mean, and its degrees of freedom.

    ``g`` is ``(W^T A W)^-1``, ``s`` is ``Z^T Z``, ``inverse`` is ``(W^T W)^-1``, and ``total`` the trace with all vectors.
    """
    k = len(g)
    own, across, lengths = np.diag(g), np.diag(s), np.diag(inverse)
    one = total - across / own + (n - k + 1) * lengths / own
    # Row i, column j: t_i with w_j left out as well; the blocks of order two are inverted by hand.
    determinant = _minors(g)
    mixed = np.multiply.outer(across, own) + np.multiply.outer(own, across) - 2.0 * g * s
    area = _minors(inverse)
    two = total - mixed / determinant + (n - k + 2) * (own[None, :] / determinant) * (area / lengths[None, :])
    delta = one[:, None] - two
    np.fill_diagonal(delta, 0.0)
    # Of what differs from a multiple of the identity, which vectors on a sphere see without variance.
    level = float(np.sum(1.0 / own) / np.sum(1.0 / lengths))
    pairs = -g / determinant + level * inverse / area
    pairs = pairs[~np.eye(k, dtype=bool)]
    return (one, *judged(one, delta, 2.0 * float(np.mean(pairs**2))))


def _minors(matrix: np.ndarray) -> np.ndarray:
    """Determinants of the blocks of order two, which are positive but for rounding; ones on the diagonal, of no block."""
    own = np.diag(matrix)
    whole = np.multiply.outer(own, own)
    found = np.maximum(whole - matrix * matrix, np.finfo(np.float64).eps * whole)
    np.fill_diagonal(found, 1.0)
    return np.asarray(found)


def _indefinite(value: float) -> OptionError:
    what = f"H is not positive semidefinite: it has an eigenvalue of at most {value:.3g}"
    return OptionError(message("trace", what, "xnystrace takes semidefinite matrices", 'Pass method="xtrace"'))
