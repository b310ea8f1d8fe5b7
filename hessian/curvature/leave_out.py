"""Averages over leaving out one test vector, and what leaving out two says about their variance."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from hessian.curvature.products import Products

# Samples that the pairs' variance counts for, and vectors of which all pairs are taken: k^3 flops each.
_PRIOR = 6
_PAIRED = 8


@dataclass(frozen=True, eq=False)
class Sketch:
    """Test vectors W (n, k), images ``Y = H W = Q R``, second images ``Z = H Q``, and unit vectors S of leaving one out.

    The range of Y without column i is that of ``Q (I - s_i s_i^T)``. ``S`` is ``None`` where Y has not full rank: its range is
    then that of H as far as rounding lets one see, which :func:`left` finds out.
    """

    W: np.ndarray
    Y: np.ndarray
    Q: np.ndarray
    Z: np.ndarray
    R: np.ndarray
    S: np.ndarray | None

    @property
    def projected(self) -> np.ndarray:
        """``Q^T H Q``."""
        return (self.Q.T @ self.Z).astype(np.float64)


def sketch(products: Products, W: np.ndarray) -> Sketch:
    """Spend 2 k products (fewer where H has a lower rank) on a sketch."""
    Y = products(W)
    Q, R = np.linalg.qr(Y)
    U, sizes, _ = np.linalg.svd(R.astype(np.float64))
    # Of the size of rounding in Y itself, whatever its length: a bulk far below an outlier is no rounding.
    rank = int(np.sum(sizes > 4.0 * products.eps * math.sqrt(len(R)) * sizes.max(initial=0.0)))
    if rank < len(R):
        Q = Q @ U[:, :rank].astype(Q.dtype)
        Z = products(Q) if rank else Q
        return Sketch(W, Y, Q, Z, Q.T @ Y, None)
    Z = products(Q)
    # The same numbers twice: Q^T (H W), and (H Q)^T W.
    gap = Q.T @ Y - Z.T @ W
    products.check_gap(float(np.max(np.abs(gap), initial=0.0)), math.sqrt(products.n))
    S = np.linalg.inv(R.astype(np.float64)).T
    return Sketch(W, Y, Q, Z, R.astype(np.float64), S / np.linalg.norm(S, axis=0))


def left(products: Products, found: Sketch, x: np.ndarray) -> tuple[np.ndarray, np.ndarray, bool]:
    """Return what the sketch leaves of a fresh vector x (n, 1), its image, and whether that image is rounding alone.

    One product, of those that a sketch of lower rank has saved.
    """
    v = x - found.Q @ (found.Q.T @ x)
    v = v - found.Q @ (found.Q.T @ v)
    image = products(v)
    rounding = 8.0 * products.eps * math.sqrt(products.n) * products.magnitude
    return v.astype(np.float64), image.astype(np.float64), float(np.linalg.norm(image)) <= rounding


def leave_out(
    found: Sketch, plain: np.ndarray, cross: np.ndarray, middle: np.ndarray
) -> tuple[np.ndarray, float, float]:
    r"""Return k estimates of ``tr B`` that each leave one vector out, the variance of their mean, and its degrees of freedom.

    The sketch has vectors on the sphere of radius sqrt(n); ``plain`` holds :math:`w_i^T B w_j`, ``cross`` the columns
    :math:`Q^T B w_i`, ``middle`` is :math:`Q^T B Q`.

    Notes
    -----
    With :math:`P_i` the projection off the sketch without :math:`w_i`, the estimates are
    :math:`t_i = \mathrm{tr}(B) - \mathrm{tr}(P_i B P_i) + c_i\, w_i^T P_i B P_i w_i`, where :math:`c_i = (n-k+1)/\|P_i w_i\|^2`.
    Given the other vectors, each is unbiased.

    They are not independent, and their sample variance is too small by a factor that reaches 2 and more. But let
    :math:`t_{i|j}` be the estimate that also leaves :math:`w_j` out of the sketch, and :math:`\delta_{ij} = t_i - t_{i|j}`. Given
    all but :math:`w_j`, the errors of :math:`t_j` and :math:`t_{j|i}` have mean zero, and :math:`t_{i|j}` does not depend on
    :math:`w_j`; so in the expectation of :math:`(t_i - \mathrm{tr} B)(t_j - \mathrm{tr} B)` everything cancels but
    :math:`E[\delta_{ij} \delta_{ji}]`. Hence

    .. math:: \frac{s^2}{k} + \frac{1}{k (k-1)} \sum_{i \ne j} \delta_{ij} \delta_{ji}

    with the sample variance :math:`s^2` is an unbiased estimate of the variance of the mean (of which only a second term below
    zero is not believed). It costs a few k x k products and none with H.

    The sample variance of few estimates is itself a guess, and too small where no vector happened to see an outlier. Off
    a sketch without :math:`w_i` and :math:`w_j`, the squares of :math:`w_i^T P_{ij} B P_{ij} w_j` estimate the squared norm whose
    double is the variance of one Hutchinson sample (less the part of the identity, which has none on a sphere), from more pairs
    than there are vectors. Being that of a smaller sketch it is a little larger. It enters as if it had been seen in six
    samples, and only where it is larger than what the samples say.

    How far off the variance may be itself shows in how unequal the vectors' parts in it are (:func:`degrees_of_freedom`).
    """
    if found.S is None:
        raise ValueError("leave_out needs a sketch of full rank")
    n, k = found.W.shape
    S = found.S
    inner = (found.Q.T @ found.W).astype(np.float64)
    g, p, M, x, h = S.T @ S, S.T @ inner, S.T @ middle @ S, S.T @ cross, S.T @ middle @ inner
    a = np.diag(p)
    total = float(np.trace(middle))
    lengths = n - np.sum(inner * inner, axis=0) + a**2
    rest = np.diag(plain) - 2.0 * np.sum(inner * cross, axis=0) + np.sum(inner * (middle @ inner), axis=0)
    rest = rest + 2.0 * a * np.diag(x) + a**2 * np.diag(M) - 2.0 * a * np.diag(h)
    one = total - np.diag(M) + (n - k + 1) * rest / lengths

    # Row j, column i: s_i stays the first direction, what s_j adds to it is the second.
    sine = np.sqrt(np.maximum(1.0 - g**2, np.finfo(np.float64).tiny))
    np.fill_diagonal(sine, 1.0)
    b = (p - g * a) / sine
    along_x, along_h, along_m = ((m - g * np.diag(m)) / sine for m in (x, h, M))
    twice = (np.diag(M)[:, None] - 2.0 * g * M + g**2 * np.diag(M)) / sine**2
    further = rest + 2.0 * b * along_x + b**2 * twice - 2.0 * b * along_h + 2.0 * a * b * along_m
    two = total - np.diag(M) - twice + (n - k + 2) * further / (lengths + b**2)
    delta = one - two
    # Of what differs from a multiple of the identity, which vectors on a sphere see without variance.
    level = float(np.sum(rest) / np.sum(lengths))
    gram = (found.W.T @ found.W).astype(np.float64)
    eye = np.eye(k)
    paired = 2.0 * _pair_square(S, inner, plain - level * gram, cross - level * inner, middle - level * eye)
    return (one, *judged(one, delta, paired))


def judged(one: np.ndarray, delta: np.ndarray, paired: float) -> tuple[float, float]:
    """Return the variance of the mean of k estimates that each leave one vector out, and its degrees of freedom.

    ``delta[i, j]`` is the estimate i less the one that leaves j out as well, ``paired`` a variance of one estimate as pairs see it.
    """
    k = len(one)
    np.fill_diagonal(delta, 0.0)
    both = np.sum(delta * delta.T, axis=1) / (k * (k - 1))
    own = (one - np.mean(one)) ** 2 / (k * (k - 1))
    dof = degrees_of_freedom(own, both)
    shared, sampled = float(np.sum(both)), float(np.var(one, ddof=1))
    # A part that pairs do not see at all is no reason to believe less than the samples say.
    return ((k * sampled + _PRIOR * max(paired, sampled)) / (k + _PRIOR)) / k + max(shared, 0.0), dof


def _pair_square(S: np.ndarray, inner: np.ndarray, plain: np.ndarray, cross: np.ndarray, middle: np.ndarray) -> float:
    """Mean square of ``w_i^T P_ij B P_ij w_j``, over the pairs of up to eight vectors with all others."""
    k = len(S)
    squares = []
    for i in range(min(k, _PAIRED)):
        others = np.delete(np.arange(k), i)
        s, E = S[:, i], S[:, others]
        E = E - np.outer(s, s @ E)
        E = E / np.maximum(np.linalg.norm(E, axis=0), np.finfo(np.float64).tiny)
        mine = inner[:, [i]] - np.outer(s, s @ inner[:, [i]])
        mine = mine - E * (inner[:, i] @ E)
        theirs = inner[:, others] - np.outer(s, s @ inner[:, others])
        theirs = theirs - E * np.sum(E * inner[:, others], axis=0)
        value = plain[i, others] - np.sum(mine * cross[:, others], axis=0) - cross[:, i] @ theirs
        squares.append((value + np.sum(mine * (middle @ theirs), axis=0)) ** 2)
    return float(np.mean(np.concatenate(squares)))


def degrees_of_freedom(own: np.ndarray, shared: np.ndarray) -> float:
    """Of a variance from leaving out one or two of k vectors, from the part of each vector in it.

    That of a chi-square with as large a relative variance (Satterthwaite), by the scatter of the parts: k for estimates that are
    normal. A few outliers that the sketch left make it less. Few parts may be equal by chance: there are never more than k + 1
    degrees. Nor are there fewer than the samples that pairs count for, which do not see that scatter.
    """
    k = len(own)
    parts = own + shared
    total = max(float(np.sum(parts)), float(np.sum(own)))
    # Relative first: the squares of small numbers vanish.
    parts = parts / (total or 1.0)
    scatter = float(np.sum(parts**2)) - float(np.sum(parts)) ** 2 / k
    return min(max(2.0 * (k + 1) / k / max(scatter, 1e-12), _PRIOR), k + 1.0)
