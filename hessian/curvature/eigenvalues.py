"""Eigenpairs of symmetric operators and pencils, with bounds on their errors."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any, Literal

from hessian.arguments import FINITE, INSIDE, Rng, as_generator, real_number, whole_number
from hessian.curvature.eigenpairs import Eigenpairs
from hessian.curvature.interior import closest_pairs
from hessian.curvature.lanczos import extreme_pairs
from hessian.curvature.metric import metric_of
from hessian.curvature.pencil import pencil_pairs
from hessian.curvature.products import Products
from hessian.errors import OptionError, message

_WHICH = ("LA", "SA", "LM", "BE", "closest")


def eigenvalues(
    H: Any,
    k: int | None = None,
    which: Literal["LA", "SA", "LM", "BE", "closest"] | None = None,
    *,
    sigma: float | None = None,
    M: Any = None,
    rtol: float | None = None,
    max_hvp: int | None = None,
    block: int = 1,
    confirm: bool = True,
    rng: Rng = 0,
) -> Eigenpairs:
    r"""Compute eigenpairs :math:`H v = \lambda v` or :math:`H v = \lambda M v`, from the ends or inside; ``H.eigsh(k)`` is SciPy's way.

    Parameters
    ----------
    H : LinearOperator or matrix, shape (n, n)
        Symmetric.
    k : int, optional
        How many, copies counted; by default 6, or all of fewer.
    which : {"LA", "SA", "LM", "BE", "closest"}, optional
        Largest, smallest, largest in magnitude, half of them from either end, or closest to ``sigma``; by default largest, or closest
        where ``sigma`` is given.
    sigma : float, optional
        :math:`\sigma`; 0 by default.
    M : LinearOperator, matrix or vector, optional
        Positive definite, by default the identity: dense, sparse, the diagonal of a diagonal one (n masses, in the shape of the point
        too), or an operator.
    rtol : float, optional
        Residual asked for, relative to the largest magnitude; by default the precision to the power 2/3.
    max_hvp : int, optional
        Products at most. Then the best pairs found come back, converged or not; their residuals say how good they are.
    block : int
        Directions per step. A step costs that many products at once, and needs them at a better price to pay. For the ends only.
    confirm : bool
        Look a second time, from a random start orthogonal to what was found. One start sees one copy of a multiple
        eigenvalue only.
    rng : int, numpy.random.Generator or None
        Seed of the starting directions.

    Returns
    -------
    Eigenpairs
        ``.values``, ``.vectors``, ``.residuals``, ``.n_hvp``.

    Raises
    ------
    OptionError
        k is not in 1..n, ``max_hvp`` is below k, H or M is not symmetric, M is not positive definite, or ``which`` is unknown; for
        the closest, there is no matrix to factor.
    ShapeMismatchError
        H is not square, or M does not fit.
    NonFiniteError
        A product holds NaN or inf.
    ConvergenceError
        Without ``max_hvp``: the tolerance was not met. For the closest: not met, or eigenvalues that inertias count were not found.

    Notes
    -----
    For orthonormal v, :math:`|\lambda - \theta| \le \|H v - \theta v\|` for some eigenvalue :math:`\lambda` (Parlett 1998,
    theorem 4.5.1); the residuals come from coefficients of products already made, for no further product.

    Let u be the kth value, and suppose an eigenvalue beyond it were missing. In its second look, j steps from a random start
    in the complement of dimension at most n, Lanczos has a largest Ritz value :math:`\theta'` with residual r. Either
    probability is a bound on seeing that little:
    :math:`1.648 \sqrt n \exp(-\sqrt\epsilon (2j - 1))` with :math:`\epsilon = (u - \theta') / (u - \theta_{\min})` (Kuczynski and
    Wozniakowski), or :math:`(2/\pi) \arctan(r / (u - \theta'))`, since the Ritz vector's polynomial only grows beyond its roots,
    so that the start must have had so small a part of the missing vector, compared with the one found. The search ends when
    either is below 1e-3 at each end in question.

    With M, the same for :math:`R^T H R` with :math:`R R^T = M^{-1}`: by a Cholesky factor of a dense M, a sparse one of a sparse M,
    roots of a diagonal; of an operator by Lanczos (:func:`hessian.curvature.matrix_function`), at some tens of products with M each. An
    eigenvalue lies within :math:`\|H v - \theta M v\|_{M^{-1}} / \|v\|_M`, which is computed from products with v itself.

    The closest to :math:`\sigma` are the largest of :math:`(H - \sigma M)^{-1}`, by block Lanczos on solves with a sparse factor
    (``H.to_sparse()`` where H is an operator). How many eigenvalues are below a number x is the number of negative pivots of
    :math:`H - x M` (Sylvester): two further factors, in gaps on either side of :math:`\sigma`, show that none between was missed; the
    iteration goes on until that many are found. A sparse factor without exchanges is one of a matrix nearby; how near is measured by
    eight random vectors, up to a factor that they underestimate with a chance of 1e-7 (``.miss_probability``), and has to be less than
    the gap. Where it is more, a second look from a random start in the complement bounds the chance, as above. All of a matrix up to
    n = 500 are computed.

    Cost: one product per step and direction; n products where n is at most 2k + 20, none for a
    matrix up to n = 500. Memory: a basis of up to
    max(2k + 30, 120) vectors, of up to n where n is at most 500: then a look takes n products at most.

    References
    ----------
    K. Wu and H. Simon, "Thick-restart Lanczos method for large symmetric eigenvalue problems", SIAM J. Matrix Anal. Appl. 22
    (2000). B. N. Parlett, The Symmetric Eigenvalue Problem (1998). J. Kuczynski and H. Wozniakowski, "Estimating the largest
    eigenvalue by the power and Lanczos algorithms with a random start", SIAM J. Matrix Anal. Appl. 13 (1992), theorem 4.1. R. G. Grimes,
    J. G. Lewis and H. D. Simon, "A shifted block Lanczos algorithm for solving sparse symmetric generalized eigenproblems", SIAM J.
    Matrix Anal. Appl. 15 (1994).

    Examples
    --------
    >>> import numpy as np
    >>> from hessian.curvature import eigenvalues
    >>> n = 100
    >>> laplacian = 2 * np.eye(n) - np.eye(n, k=1) - np.eye(n, k=-1)
    >>> found = eigenvalues(laplacian, 2)
    >>> exact = 2 - 2 * np.cos(np.array([n - 1, n]) * np.pi / (n + 1))
    >>> bool(np.all(np.abs(found.values - exact) <= found.residuals)), bool(found.residuals.max() < 1e-9)
    (True, True)

    Squared frequencies of three masses on springs, and the one closest to 1:

    >>> springs = np.array([[1.0, -1.0, 0.0], [-1.0, 2.0, -1.0], [0.0, -1.0, 1.0]])
    >>> np.abs(eigenvalues(springs, M=np.array([1.0, 2.0, 1.0])).values).round(12).tolist()
    [0.0, 1.0, 2.0]
    >>> eigenvalues(springs, 1, sigma=1.1, M=np.array([1.0, 2.0, 1.0])).values.round(12).tolist()
    [1.0]
    """
    where = "eigenvalues"
    products = Products(H, where)
    n = products.n
    which = which or ("LA" if sigma is None else "closest")
    if which not in _WHICH:
        raise OptionError(message(where, f"which is {which!r}", fix=f"Pass one of {', '.join(_WHICH)}"))
    if sigma is not None and which != "closest":
        what = f"sigma is {sigma!r} and which is {which!r}"
        raise OptionError(message(where, what, fix='Pass which="closest" with it, or leave which out'))
    k = min(6, n) if k is None else k
    if whole_number(where, "k", k) > n:
        raise OptionError(message(where, f"k is {k} for an operator of order {n}", fix=f"Pass 1 <= k <= {n}"))
    whole_number(where, "block", block)
    generator = as_generator(rng, where)
    if max_hvp is not None:
        whole_number(where, "max_hvp", max_hvp, k, f"{k} eigenpairs need at least {k} products")
    rtol = products.eps ** (2 / 3) if rtol is None else real_number(where, "rtol", rtol, INSIDE)
    metric = None if M is None else metric_of(M, n, where)
    if which == "closest":
        center = 0.0 if sigma is None else real_number(where, "sigma", sigma, FINITE)
        return closest_pairs(products, k, center, metric, rtol=rtol, max_hvp=max_hvp, rng=generator)
    search = partial(extreme_pairs, rtol=rtol, block=block, confirm=confirm, rng=generator)
    if metric is None:
        return replace(search(products, k, which, max_hvp=max_hvp), which=which)
    return replace(pencil_pairs(products, metric, k, which, max_hvp, search), which=which)
