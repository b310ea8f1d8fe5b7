"""The diagonal of an operator: exact, or estimated with a standard error for each entry."""

from __future__ import annotations

from typing import Any

import numpy as np

from hessian.curvature.estimate import Estimate
from hessian.curvature.leave_out import Sketch, degrees_of_freedom, left, sketch
from hessian.curvature.products import Products, as_count, as_generator, signs
from hessian.curvature.trace import exact_diagonal
from hessian.errors import OptionError, message


def diagonal(
    H: Any, budget: int | None = None, *, rng: int | np.random.Generator = 0, method: str = "auto"
) -> Estimate:
    r"""Return :math:`h_{ii}`, exactly or estimated.

    Parameters
    ----------
    H : LinearOperator or matrix, shape (n, n)
        Symmetric.
    budget : int, optional
        Products at most; by default n, which is exact.
    rng : int or numpy.random.Generator
        Seed of the test vectors.
    method : {"auto", "exact", "xdiag"}

    Returns
    -------
    Estimate
        ``.value`` and ``.standard_error`` have shape (n,).

    Raises
    ------
    OptionError
        The method is unknown, or the budget is too small for it (n, or 6 for XDiag).

    Notes
    -----
    XDiag averages, over leaving out one of k vectors w of signs,
    :math:`\mathrm{diag}(Q_i Q_i^T H) + w_i \circ (I - Q_i Q_i^T) H w_i`, :math:`Q_i` the range of the other images. The variance of
    the mean counts the dependence between its terms as for the trace, entry by entry, by leaving out two.

    Cost: n products in blocks (``H.diagonal()`` where there is one, nothing for a matrix), or ``budget`` products and
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
    budget = products.n if budget is None else as_count(budget, "budget", where)
    generator = as_generator(rng, where)
    if method == "auto":
        method = "exact" if products.matrix is not None or budget >= products.n else "xdiag"
    if method == "exact":
        entries = exact_diagonal(products, budget)
        return Estimate("diagonal", entries, products.eps * np.abs(entries), products.count, "exact")
    if method != "xdiag":
        raise OptionError(message(where, f"method is {method!r}", fix="Pass one of auto, exact, xdiag"))
    k = min(budget // 2, products.n - 1)
    if k < 3:
        what = f"xdiag with {budget} products on an operator of order {products.n}"
        raise OptionError(message(where, what, "Its standard errors take three vectors", "Pass a budget >= 6, or n"))
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
        error = np.hypot(np.hypot(image, size / products.n**0.5), rounding)
        value = (whole + x[:, 0] * image).astype(products.dtype)
        return Estimate("diagonal", value, error, products.count, "xdiag", 1.0)
    mean, variance = _xdiag(found, whole)
    error = np.sqrt(variance + rounding**2)
    return Estimate("diagonal", mean.astype(products.dtype), error, products.count, "xdiag", degrees_of_freedom(k))


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
    for i in range(k):
        for j in range(i):
            c = overlap[i, j]
            sine2 = max(1.0 - c * c, np.finfo(np.float64).tiny)
            # What leaving out the second vector as well changes: the direction of s_j orthogonal to s_i, and vice versa.
            first = (QS[:, j] - c * QS[:, i]) * (ZS[:, j] - c * ZS[:, i] + W[:, i] * c * own[i]) / sine2
            second = (QS[:, i] - c * QS[:, j]) * (ZS[:, i] - c * ZS[:, j] + W[:, j] * c * own[j]) / sine2
            shared += 2.0 * first * second
    return mean, variance + np.maximum(shared, 0.0) / (k * (k - 1))
