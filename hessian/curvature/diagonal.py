"""The diagonal of an operator: exact, or estimated with a standard error for each entry."""

from __future__ import annotations

import math
from typing import Any, Literal

import numpy as np

from hessian.arguments import Rng, as_generator, whole_number
from hessian.curvature.estimate import Estimate, widened
from hessian.curvature.leave_out import Sketch, left, sketch
from hessian.curvature.products import Products
from hessian.curvature.trace import diagonal_products, exact_diagonal
from hessian.errors import OptionError, message
from hessian.linalg.vectors import on_sphere, signs

_LEAST, _LEAST_XDIAG = 6, 12


Method = Literal["auto", "exact", "regression", "xdiag"]


def diagonal(H: Any, max_hvp: int | None = None, *, rng: Rng = 0, method: Method = "auto") -> Estimate:
    r"""Return :math:`h_{ii}`: ``H.diagonal()`` where n products are allowed, else an estimate.

    Parameters
    ----------
    H : LinearOperator or matrix, shape (n, n)
        Symmetric.
    max_hvp : int, optional
        Products at most; by default n, which is exact.
    rng : int, numpy.random.Generator or None
        Seed of the test vectors.
    method : {"auto", "exact", "regression", "xdiag"}
        ``"auto"`` is exact where the budget allows it, else XDiag, or the regression with fewer than 24 products.

    Returns
    -------
    Estimate
        ``.value`` and ``.standard_error`` have shape (n,).

    Raises
    ------
    OptionError
        The method is unknown, or the budget is too small for it (n; 6 for the regression; 24 for XDiag).
    NonFiniteError
        The diagonal or a product holds NaN or inf.

    Notes
    -----
    With a Gaussian vector w, entry k of Hw is :math:`h_{kk} w_k` and a sum over :math:`l \ne k` of :math:`h_{kl} w_l`, which is Gaussian
    and independent of :math:`w_k`. So over m vectors it is the textbook's regression through the origin: its slope is unbiased, and
    by its standard error has Student's t distribution with m - 1 degrees of freedom, exactly, whatever H is. A diagonal matrix leaves
    no residual. What a few outliers would do to all entries is taken out first: with Q a basis of the range of k products and
    :math:`Z = HQ`, and P the projection off Q,

    .. math:: h_{kk} = q_k \cdot z_k + e_k^T H P e_k, \qquad (H P w)_k = b_k (P w)_k + \text{noise}, \quad
        e_k^T H P e_k = b_k \|P e_k\|^2

    and the same holds given Q. A third of the budget beyond six goes into Q, as much into Z, the rest into the regression.

    XDiag averages, over leaving out one of k vectors w of signs,
    :math:`\mathrm{diag}(Q_i Q_i^T H) + w_i \circ (I - Q_i Q_i^T) H w_i`, :math:`Q_i` the range of the other images. The variance of
    the mean counts the dependence between its terms as for the trace, entry by entry, by leaving out two. It is the better one
    where the spectrum decays fast, the worse one where the diagonal dominates, and its standard errors hold approximately.

    Cost: n products in blocks (``H.diagonal()`` where there is one, nothing for a matrix; of 256 variables and more a product per color of
    a sparse Hessian's pattern, where these are few), or ``max_hvp`` products and
    :math:`O(n k^2)` flops.

    References
    ----------
    E. N. Epperly, J. A. Tropp and R. J. Webber, SIAM J. Matrix Anal. Appl. 45 (2024), section 2.4.

    Examples
    --------
    >>> import numpy as np
    >>> from hessian.curvature import diagonal
    >>> diagonal(np.array([[2.0, 1.0], [1.0, 3.0]])).value.tolist()
    [2.0, 3.0]
    """
    where = "diagonal"
    products = Products(H, where)
    max_hvp = products.n if max_hvp is None else whole_number(where, "max_hvp", max_hvp)
    generator = as_generator(rng, where)
    if method == "auto":
        exact, many = max_hvp >= diagonal_products(products, max_hvp), max_hvp >= 2 * _LEAST_XDIAG
        method = "exact" if exact else "xdiag" if many else "regression"
    if method == "exact":
        entries = exact_diagonal(products, max_hvp)
        return Estimate("diagonal", entries, products.eps * np.abs(entries), products.count, "exact")
    if method == "regression":
        return _regression(products, max_hvp, generator)
    if method != "xdiag":
        raise OptionError(message(where, f"method is {method!r}", fix="Pass one of auto, exact, regression, xdiag"))
    k = min(max_hvp // 2, products.n // 2)
    if k < _LEAST_XDIAG:
        what = f"xdiag with {max_hvp} products on an operator of order {products.n}"
        why = "Fewer vectors of signs agree by chance too often"
        raise OptionError(message(where, what, why, f'Pass max_hvp >= {2 * _LEAST_XDIAG}, or method="auto"'))
    found = sketch(products, signs(generator, products.n, k, products.dtype))
    whole = np.einsum("nk,nk->n", found.Q, found.Z, dtype=np.float64)
    rounding = products.eps * products.n**0.5 * float(np.abs(whole).max(initial=0.0))
    if found.S is None:
        x = signs(generator, products.n, 1, products.dtype)
        _, image, spans = left(products, found, x)
        size = float(np.linalg.norm(image))
        if spans:
            error = np.full(products.n, rounding + size)
            return Estimate("diagonal", whole.astype(products.dtype), error, products.count, "xdiag")
        # One fresh vector's estimate of what the sketch leaves: no entry is known better than the typical one.
        image = (image - found.Q @ (found.Q.T @ image))[:, 0]
        error = np.hypot(widened(np.hypot(image, size / products.n**0.5), 1.0), rounding)
        value = (whole + x[:, 0] * image).astype(products.dtype)
        return Estimate("diagonal", value, error, products.count, "xdiag", 1.0)
    mean, variance = _xdiag(found, whole)
    error = np.hypot(widened(np.sqrt(variance), k - 1.0), rounding)
    return Estimate("diagonal", mean.astype(products.dtype), error, products.count, "xdiag", k - 1.0)


def _xdiag(found: Sketch, whole: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the mean over leaving one out, and its variance."""
    assert found.S is not None
    S = found.S
    k = S.shape[1]
    Q, Z, W = (a.astype(np.float64) for a in (found.Q, found.Z, found.W))
    QS, ZS = Q @ S, Z @ S
    # Only its own image sticks out of the range of the others: s_j . r_i = 0 unless i = j.
    own = np.sum(S * found.R, axis=0)
    one = whole[:, None] - QS * ZS + W * QS * own
    mean = one.mean(axis=1)
    variance = np.sum((one - mean[:, None]) ** 2, axis=1) / (k * (k - 1))
    overlap = S.T @ S
    shared = np.zeros(len(whole))
    for i in range(1, k):
        c = overlap[i, :i]
        sine2 = np.maximum(1.0 - c * c, np.finfo(np.float64).tiny)
        # What leaving out the second vector as well changes: the direction of s_j orthogonal to s_i, and vice versa.
        first = (QS[:, :i] - QS[:, [i]] * c) * (ZS[:, :i] - ZS[:, [i]] * c + W[:, [i]] * (c * own[i]))
        second = (QS[:, [i]] - QS[:, :i] * c) * (ZS[:, [i]] - ZS[:, :i] * c + W[:, :i] * (c * own[:i]))
        shared += 2.0 * np.sum(first * second / sine2**2, axis=1)
    return mean, variance + np.maximum(shared, 0.0) / (k * (k - 1))


def _regression(products: Products, max_hvp: int, rng: np.random.Generator) -> Estimate:
    """Regress every row of ``H P w`` on that of ``P w``, over Gaussian w, with P off the range of a sketch."""
    n = products.n
    if max_hvp < _LEAST:
        what = f"max_hvp is {max_hvp} products on an operator of order {n}"
        raise OptionError(
            message(products.where, what, "Its standard errors take six", f"Pass max_hvp >= {_LEAST}, or n")
        )
    k = (max_hvp - _LEAST) // 3
    Q = Z = np.zeros((n, 0))
    if k:
        found = sketch(products, on_sphere(rng, n, k, products.dtype))
        Q, Z = found.Q.astype(np.float64), found.Z.astype(np.float64)
    W = rng.standard_normal((max_hvp - products.count, n)).astype(products.dtype).T
    Y = products(W)
    products.check_symmetric(W.T @ Y, 2.0 * n)
    W, Y = W.astype(np.float64), Y.astype(np.float64)
    inner = Q.T @ W
    sizes = np.sum(Y * Y, axis=1)
    W, Y = W - Q @ inner, Y - Z @ inner
    shares = np.maximum(1.0 - np.sum(Q * Q, axis=1), products.eps)
    squares = np.sum(W * W, axis=1)
    slope = np.sum(W * Y, axis=1) / squares
    m = W.shape[1]
    noise = np.sum((Y - slope[:, None] * W) ** 2, axis=1) / (m - 1)
    value = np.sum(Q * Z, axis=1) + shares * slope
    dof = m - 1.0
    error = widened(shares * np.sqrt(noise / squares), dof)
    rounding = products.eps * (np.sqrt(sizes / m) + products.magnitude * np.sqrt(np.sum(Q * Q, axis=1)))
    if float(np.linalg.norm(Y)) <= 8.0 * products.eps * math.sqrt(n) * products.magnitude * math.sqrt(m):
        # Not one of the vectors sees anything but rounding of what the sketch leaves: its range is that of H.
        dof = math.inf
    value = value.astype(products.dtype)
    return Estimate("diagonal", value, np.hypot(error, math.sqrt(n) * rounding), products.count, "regression", dof)
