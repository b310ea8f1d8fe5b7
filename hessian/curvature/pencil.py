"""Eigenpairs of pencils ``H v = lambda M v``, M positive definite: those of one matrix, and residuals of the pencil."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy.sparse.linalg import LinearOperator

from hessian.arguments import whole_number
from hessian.curvature.eigenpairs import Eigenpairs
from hessian.curvature.metric import Metric
from hessian.curvature.products import Products
from hessian.linalg import limits
from hessian.linalg.dense import symmetrized
from hessian.linalg.vectors import column_norms


def reduced(products: Products, metric: Metric) -> np.ndarray:
    """Return the matrix ``R' H R``."""
    half = metric.adjoint(products.dense().astype(np.float64))
    return symmetrized(metric.adjoint(np.ascontiguousarray(half.T)))


def pencil_pairs(
    products: Products,
    metric: Metric,
    k: int,
    which: str,
    max_hvp: int | None,
    search: Callable[..., Eigenpairs],
) -> Eigenpairs:
    """Return k eigenpairs from the ends."""
    n, where = products.n, products.where
    if max_hvp is not None:
        why = "Those of the residuals take one each"
        max_hvp = whole_number(where, "max_hvp", max_hvp, 2 * k, why) - k
    if products.matrix is not None and n <= limits.SPECTRUM_ORDER:
        standard = Products(reduced(products, metric), where)
    else:

        def apply(Y: np.ndarray) -> np.ndarray:
            Y = np.asarray(Y, np.float64)
            return metric.adjoint(products(metric.root(Y).astype(products.dtype)).astype(np.float64))

        standard = Products(
            LinearOperator((n, n), matvec=lambda y: apply(y.reshape(-1)), matmat=apply, dtype=products.dtype), where
        )
    found = search(standard, k, which, max_hvp=max_hvp)
    return pairs_of(
        found.vectors.astype(np.float64),
        products,
        metric,
        found.success,
        found.miss_probability,
        found.method,
        found.steps,
    )


def pairs_of(
    Y: np.ndarray,
    products: Products,
    metric: Metric,
    success: bool,
    miss: float,
    method: str,
    steps: int = 0,
    n_hvp: int | None = None,
) -> Eigenpairs:
    """Return the pairs of orthonormal eigenvectors of ``R' H R``, with quotients and residuals of the pencil itself.

    A quotient's error is of the order of the residual squared; the residual, with what rounding does to it, bounds the distance to an
    eigenvalue in any case.
    """
    V = metric.root(Y)
    MV = metric.product(V)
    lengths = np.sqrt(np.sum(V * MV, axis=0))
    V, MV = V / lengths, MV / lengths
    HV = products(V.astype(products.dtype)).astype(np.float64)
    values = np.sum(V * HV, axis=0)
    left = column_norms(metric.adjoint(HV - MV * values))
    size = products.magnitude * np.linalg.norm(V, axis=0) + np.abs(values) * metric.sizes(V)
    rounding = products.rounding(metric.root_norm()) * size
    order = np.argsort(values, kind="stable")
    dtype = products.dtype
    return Eigenpairs(
        values[order].astype(dtype),
        V[:, order].astype(dtype),
        (left + rounding)[order],
        products.count if n_hvp is None else n_hvp,
        success,
        miss,
        method,
        steps,
    )
