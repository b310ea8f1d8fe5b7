"""The trace of an operator from a few products, with its standard error."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any, Literal

import numpy as np

from hessian.arguments import Rng, as_generator, whole_number
from hessian.curvature.estimate import Estimate, widened
from hessian.curvature.leave_out import Sketch, leave_out, left, sketch
from hessian.curvature.products import Products
from hessian.curvature.xnystrace import xnystrace
from hessian.errors import OptionError, message
from hessian.linalg.blocks import columns
from hessian.linalg.vectors import on_sphere, signs
from hessian.operators.symmetric import SymmetricOperator

_LEAST = {"hutchinson": 2, "hutch++": 6, "xtrace": 6, "xnystrace": 4}
DEFAULT_MAX_HVP = 60
# Fewer vectors of signs agree by chance too often on x_k x_l, which is all that one entry h_kl is seen by: of ten, eight or more are
# equal in one of ten draws, which are off by 0.6 h_kl and hardly spread. Of twenty, three errors hold as often as promised.
_LEAST_SIGNS = 20
# Pairs of images that agree, in advance.
_AGREEING = 2.0
# Below that, the few estimates that leave one vector out say too little about their own spread.
_LEAST_FOR_XTRACE = 20


Method = Literal["auto", "exact", "hutchinson", "hutch++", "xtrace", "xnystrace"]


def trace(H: Any, max_hvp: int | None = None, *, rng: Rng = 0, method: Method = "auto") -> Estimate:
    r"""Estimate :math:`\mathrm{tr}\, H = \sum_i \lambda_i`.

    Parameters
    ----------
    H : LinearOperator or matrix, shape (n, n)
        Symmetric.
    max_hvp : int, optional
        Products at most; 60 by default.
    rng : int, numpy.random.Generator or None
        Seed of the test vectors.
    method : {"auto", "exact", "hutchinson", "hutch++", "xtrace", "xnystrace"}
        ``"auto"`` is exact where the budget allows it (of a sparse Hessian few products do), else XTrace, or Hutchinson with fewer than
        20 products. ``"xnystrace"`` takes positive semidefinite matrices.

    Returns
    -------
    Estimate
        ``.value``, ``.standard_error``, ``.n_hvp``.

    Raises
    ------
    OptionError
        The method is unknown, the budget is too small for it, or H is not symmetric; for XNysTrace, H is seen to be indefinite.
    NonFiniteError
        A product holds NaN or inf.

    Notes
    -----
    With twenty vectors x of independent signs or more, Hutchinson's mean of :math:`x \cdot Hx` has variance
    :math:`\frac2m \sum_{k \ne l} h_{kl}^2` for m products. The entries :math:`r_k = x_k (Hx)_k` have variances
    :math:`\sum_{l \ne k} h_{kl}^2`, so that twice the sum of *their* sample variances estimates it without bias, from n numbers
    per product instead of one: that is the standard error here, and far steadier than the spread of m samples.

    Fewer signs too often agree by chance, and then an entry :math:`h_{kl}`, seen by :math:`x_k x_l` alone, looks like no error
    at all, or the matrix like zero. So fewer vectors are uniform on the sphere of radius :math:`\sqrt n`: there the variance is
    :math:`\frac{2 n}{(n+2) m} (\|H\|_F^2 - \mathrm{tr}^2 H / n)`, whose bracket is the expectation of
    :math:`\|Hx - \tfrac1n \mathrm{tr}(H)\, x\|^2`, and nothing is overlooked. How well m of these squares say it depends on how many
    eigenvalues share in it: m degrees of freedom where it is one, more by :math:`1 / \cos^2` for the angles between the vectors
    :math:`Hx - \tfrac1n \mathrm{tr}(H)\, x`, which point the same way where one outlier makes them.

    Hutch++ projects off the range of m/3 products (of fewer, where less than four samples would be left), whose part of the trace
    it takes exactly, and applies Hutchinson to the rest; given that range, the standard error is Hutchinson's. XTrace uses
    every vector for both, m/2 times over leaving one out; its variance is the unbiased one from leaving out two
    (:func:`hessian.curvature.leave_out.leave_out`), drawn towards that of Hutchinson on the rest. On a decaying spectrum the
    error of both falls as 1/m or faster, Hutchinson's as :math:`1/\sqrt m`.

    XNysTrace (:mod:`hessian.curvature.xnystrace`) is for positive semidefinite matrices: Nystrom approximations that each leave one
    vector out need no second products, so that with as many it sketches with twice the vectors. It is unbiased for any
    symmetric matrix, and refuses one that is indefinite as far as its vectors see. Take it where eigenvalues decay: of
    :math:`0.9^i`, n = 1000, its relative error after 60 products is 1.6e-3 and XTrace's 7.7e-3, of :math:`0.7^i` 7e-9 and 9e-6, of
    evenly spaced ones 3.3e-3 and 4.4e-3 (root mean square over 60 seeds); rank 45 is exact, and 4e-2 with XTrace. Take XTrace where a
    few stand far above a bulk, fewer than half of the products: with three outliers 1.1e-3 against 2.0e-3 (1.9e-3 against 9.6e-3
    after 20 products), with twenty ones above 980 of 1e-3 it is 1.6e-5 against 1.2e-3, since its second products sharpen the sketch.

    The standard errors of few products are themselves uncertain, and widened for it: one, two and three of them cover as much as
    a normal variable's, ``.interval()`` what it is asked for (:func:`hessian.curvature.estimate.widened`).

    Where the images of the test vectors are linearly dependent to working precision, XTrace spends one more product on a fresh
    vector. If nothing but rounding comes back, the sketch spans the range of H and the result is exact; else that vector's
    estimate of the rest is added, with its own standard error and one degree of freedom.

    Cost: ``max_hvp`` products, at once where they do not depend on each other, and :math:`O(n m^2)` flops for the last two;
    n products for the exact trace (none for a matrix; of 256 variables and more a product per color of a sparse Hessian's pattern, where
    these are few).

    References
    ----------
    M. F. Hutchinson, Comm. Statist. Simulation Comput. 18 (1989). R. A. Meyer, C. Musco, C. Musco and D. P. Woodruff,
    "Hutch++: optimal stochastic trace estimation" (2021), algorithm 1. E. N. Epperly, J. A. Tropp and R. J. Webber, "XTrace:
    making the most of every sample in stochastic trace estimation", SIAM J. Matrix Anal. Appl. 45 (2024), section 2.

    Examples
    --------
    >>> import numpy as np
    >>> from hessian.curvature import trace
    >>> spectrum = 0.7 ** np.arange(500.0)
    >>> estimate = trace(np.diag(spectrum), 60, method="xtrace")
    >>> bool(abs(estimate.value - 1 / 0.3) < 3 * estimate.standard_error), bool(estimate.standard_error < 1e-4)
    (True, True)
    >>> trace(np.diag(spectrum))
    trace = 3.333333333 (exact, 0 products)
    >>> estimate = trace(np.diag(spectrum), 60, method="xnystrace")
    >>> bool(abs(estimate.value - 1 / 0.3) < 3 * estimate.standard_error), bool(estimate.standard_error < 1e-7)
    (True, True)
    """
    where = "trace"
    products = Products(H, where)
    max_hvp = (
        min(DEFAULT_MAX_HVP, max(products.n, _LEAST.get(method, 2)))
        if max_hvp is None
        else whole_number(where, "max_hvp", max_hvp)
    )
    generator = as_generator(rng, where)
    if method == "auto":
        method = (
            "exact"
            if max_hvp >= diagonal_products(products, max_hvp)
            else "xtrace"
            if max_hvp >= _LEAST_FOR_XTRACE
            else "hutchinson"
        )
    if method == "exact":
        return _exact(products, max_hvp)
    if method not in _LEAST:
        fix = f"Pass one of auto, exact, {', '.join(_LEAST)}"
        raise OptionError(message(where, f"method is {method!r}", fix=fix))
    if max_hvp < _LEAST[method]:
        what = f"max_hvp is {max_hvp} product{'s' * (max_hvp != 1)}"
        why = f"{method} has no standard error below {_LEAST[method]}"
        raise OptionError(message(where, what, why, f"Pass at least {_LEAST[method]}"))
    if method == "xtrace":
        return _xtrace(products, min(max_hvp // 2, products.n // 2), generator)
    if method == "xnystrace":
        return xnystrace(products, _vectors(method, min(max_hvp, products.n // 2), products.n), generator)
    if method == "hutch++":
        return _hutch(products, max_hvp, min(max_hvp // 3, (max_hvp - 4) // 2, products.n // 2), generator)
    return _hutch(products, max_hvp, 0, generator)


def diagonal_products(products: Products, max_hvp: int) -> int:
    """Return how many products the diagonal takes: none of a matrix, few where the operator knows a sparse pattern, else n."""
    if products.matrix is not None:
        return 0
    if isinstance(products.source, SymmetricOperator):
        return products.source.diagonal_products(max_hvp)
    return products.n


def exact_diagonal(products: Products, max_hvp: int) -> np.ndarray:
    """Return the diagonal: read off a matrix, by the operator's own way, or by n products in blocks."""
    n = products.n
    if products.matrix is not None:
        return np.asarray(products.matrix.diagonal(), products.dtype)
    count = diagonal_products(products, max_hvp)
    if max_hvp < count:
        what = f"max_hvp is {max_hvp} products, exact results take {count}"
        raise OptionError(message(products.where, what, fix="Raise max_hvp or choose another method"))
    # Of an operator of somebody else's the diagonal does not tell whether it is symmetric: its products do.
    if isinstance(products.source, SymmetricOperator):
        products.count += count
        diagonal = np.asarray(products.source.diagonal(), products.dtype)
        products.require_finite(diagonal, "the diagonal")
        return diagonal
    diagonal = np.empty(n, products.dtype)
    for start, block in unit_products(products):
        stop = start + block.shape[1]
        diagonal[start:stop] = np.diag(block[start:stop])
    return diagonal


def unit_products(products: Products) -> Iterator[tuple[int, np.ndarray]]:
    """Yield the columns of H in blocks, each with the position of its first, by n products.

    ``Hr`` and ``H^T r`` for one random r come out with them: where they differ, H is not symmetric.
    """
    n = products.n
    r = on_sphere(np.random.default_rng(0), n, 1, np.dtype(np.float64))[:, 0]
    across, along = np.empty(n), np.zeros(n)
    for start, block in columns(products, n, products.dtype):
        stop = start + block.shape[1]
        across[start:stop] = r @ block
        along += block @ r[start:stop]
        yield start, block
    gap = float(np.max(np.abs(across - along), initial=0.0))
    products.check_gap(gap, math.sqrt(n))


def _exact(products: Products, max_hvp: int) -> Estimate:
    diagonal = exact_diagonal(products, max_hvp).astype(np.float64)
    rounding = products.eps * math.sqrt(products.n) * float(np.abs(diagonal).sum())
    return Estimate("trace", float(diagonal.sum()), rounding, products.count, "exact")


def _hutch(products: Products, max_hvp: int, k: int, rng: np.random.Generator) -> Estimate:
    """Hutchinson's estimate, of what k directions leave of it (Hutch++) if k is not zero."""
    Q, head, size = None, 0.0, 0.0
    if k:
        # Not signs: what is left of two equal outliers next to the axes would be orthogonal to half of all samples.
        found = sketch(products, on_sphere(rng, products.n, k, products.dtype))
        # Outliers of either sign may cancel; what rounding does to them does not.
        Q, head, size = (
            found.Q,
            float(np.trace(found.projected)),
            math.sqrt(products.n) * float(np.linalg.norm(found.projected)),
        )
    m = max(2, max_hvp - products.count)
    rest, variance, dof = (_of_signs if m >= _LEAST_SIGNS else _of_sphere)(products, m, Q, rng)
    rounding = products.eps * math.sqrt(products.n) * (abs(head + rest) + size + math.sqrt(0.5 * variance * m))
    error = math.hypot(widened(math.sqrt(variance), dof), rounding)
    return Estimate("trace", head + rest, error, products.count, "hutch++" if k else "hutchinson", dof)


def _of_signs(products: Products, m: int, Q: np.ndarray | None, rng: np.random.Generator) -> tuple[float, float, float]:
    """Mean of m samples with signs, its variance and degrees of freedom."""
    n = products.n
    total, squares = np.zeros(n), 0.0
    samples: list[np.ndarray] = []
    for start in range(0, m, products.columns_at_once()):
        x = signs(rng, n, min(products.columns_at_once(), m - start), products.dtype)
        v = _off(Q, x)
        image = products(v)
        products.check_symmetric(v.T @ image, n)
        entries = (x * _off(Q, image)).astype(np.float64)
        total += entries.sum(axis=1)
        squares += float(np.sum(entries * entries))
        samples.append(entries.sum(axis=0))
    mean = total / m
    # Rounding leaves a difference of large numbers where H is diagonal and every sample the same.
    spread = max(0.0, squares - m * float(mean @ mean) - products.eps * squares) / (m - 1)
    return float(np.mean(np.concatenate(samples))), 2.0 * spread / m, m - 1.0


def _of_sphere(
    products: Products, m: int, Q: np.ndarray | None, rng: np.random.Generator
) -> tuple[float, float, float]:
    """Mean of a few samples from the sphere, its variance and degrees of freedom."""
    n = products.n
    order = n - (0 if Q is None else Q.shape[1])
    v = _off(Q, _off(Q, on_sphere(rng, n, m, products.dtype)))
    v = v * (math.sqrt(order) / np.linalg.norm(v, axis=0)).astype(v.dtype)
    image = products(v)
    products.check_symmetric(v.T @ image, n)
    v, image = v.astype(np.float64), _off(Q, image).astype(np.float64)
    mean = float(np.mean(np.sum(v * image, axis=0)))
    apart = image - (mean / order) * v
    # The mean that is taken off varies itself: what that takes from the squares goes back.
    square = float(np.mean(np.sum(apart * apart, axis=0))) / max(1.0 - 2.0 / ((order + 2) * m), 0.5)
    return mean, 2.0 * order / (order + 2) * square / m, _shared_out(apart)


def _shared_out(images: np.ndarray) -> float:
    """Degrees of freedom of the mean square of random images: as many as vectors where they point the same way, else more."""
    m = images.shape[1]
    lengths = np.linalg.norm(images, axis=0)
    units = images / np.where(lengths > 0.0, lengths, 1.0)
    agreement = 0.5 * (float(np.sum((units.T @ units) ** 2)) - m)
    # Few pairs may be orthogonal by chance: so it is as if two more had been seen to agree.
    return m * (0.5 * m * (m - 1) + _AGREEING) / (max(agreement, 0.0) + _AGREEING)


def _off(Q: np.ndarray | None, v: np.ndarray) -> np.ndarray:
    """Project off the columns of Q, if there are any."""
    return v if Q is None else v - Q @ (Q.T @ v)


def _vectors(method: str, k: int, n: int) -> int:
    """Return how many vectors a method that leaves them out is to have; refuse fewer than two."""
    if k < 2:
        raise OptionError(message("trace", f"{method} on an operator of order {n}", fix='Pass method="exact"'))
    return k


def _xtrace(products: Products, k: int, rng: np.random.Generator) -> Estimate:
    """XTrace with k vectors."""
    n = products.n
    found = sketch(products, on_sphere(rng, n, _vectors("xtrace", k, n), products.dtype))
    middle = found.projected
    rounding = products.eps * n * float(np.linalg.norm(middle))
    if found.S is None:
        return _low_rank(products, found, rounding, rng)
    plain = (found.W.T @ found.Y).astype(np.float64)
    estimates, variance, dof = leave_out(found, plain, found.R, middle)
    error = math.hypot(widened(math.sqrt(variance), dof), rounding)
    return Estimate("trace", float(np.mean(estimates)), error, products.count, "xtrace", dof)


def _low_rank(products: Products, found: Sketch, rounding: float, rng: np.random.Generator) -> Estimate:
    """Take the trace on a sketch of lower rank, and look with a fresh vector at what it leaves."""
    n, rank = found.Q.shape
    value = float(np.trace(found.projected))
    v, image, spans = left(products, found, on_sphere(rng, n, 1, products.dtype))
    image = image - found.Q @ (found.Q.T @ image)
    size = float(np.linalg.norm(image))
    if spans:
        # The norm of the rest is about ``size``, its trace at most sqrt(n) times that.
        return Estimate("trace", value, rounding + math.sqrt(n) * size, products.count, "xtrace")
    value += (n - rank) * float(np.vdot(v, image)) / float(np.vdot(v, v))
    error = rounding + widened(math.sqrt(2.0) * size, 1.0)
    return Estimate("trace", value, error, products.count, "xtrace", 1.0)
