"""Laplace's approximation: the posterior as a Gaussian at its mode, by the exact Hessian, the Gauss-Newton matrix or parts of these."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Literal

import numpy as np

from hessian.arguments import POSITIVE, check
from hessian.errors import ShapeMismatchError, message
from hessian.operators.differentiated import DifferentiatedOperator
from hessian.operators.gauss_newton import GaussNewtonOperator
from hessian.operators.hessian_operator import HessianOperator
from hessian.statistics.laplace_curvature import check_convex, curvature_of
from hessian.statistics.laplace_result import Laplace, Mode, Prior, approximation
from hessian.statistics.optimum import check_smooth
from hessian.statistics.prior import finite_like, positive_like
from hessian.statistics.selection import Selection
from hessian.statistics.structured import DenseCurvature, SparseCurvature
from hessian.tape.trees import ravel
from hessian.transforms.locate import not_finite


def laplace(
    f: Callable[..., Any],
    x: Any,
    *args: Any,
    prior_precision: Any,
    prior_mean: Any = 0.0,
    scale: float = 1.0,
    model: Callable[..., Any] | None = None,
    structure: Literal["auto", "dense", "sparse", "diagonal", "kronecker", "low-rank"] | Any = "auto",
    rank: int | None = None,
    only: Any = None,
    at_mode: bool = True,
) -> Laplace:
    r"""Approximate a posterior by a Gaussian at its mode.

    With c = ``scale`` and the prior :math:`N(\mu, \Lambda^{-1})`, :math:`\Lambda` diagonal,

    .. math::

        P = c \nabla^2 f(\hat x) + \Lambda, \qquad
        \log p(D) \approx -c f(\hat x) - \tfrac12 (\hat x - \mu)^T \Lambda (\hat x - \mu)
        + \tfrac12 \log\det\Lambda - \tfrac12 \log\det P

    Parameters
    ----------
    f : callable
        ``f(x, *args)`` returns one number, **the prior left out**; c f is the negative log-likelihood of all data. The
        evidence counts its constants: include them (:math:`\tfrac n2 \log 2\pi\sigma^2`) to compare models that differ in
        them. With ``model``, ``f(z)`` is a function of the outputs z.
    x : array or container of float arrays
        The mode :math:`\hat x`, where :math:`c f + \tfrac12 (x - \mu)^T \Lambda (x - \mu)` is least.
    *args
        Further arguments of f, or of ``model`` where there is one.
    prior_precision : number, or like x
        :math:`\Lambda > 0`: what weight decay calls l2, times c. What it is for parameters that are held does not matter.
    prior_mean : number, or like x
        :math:`\mu`.
    scale : float
        c: 1 for a sum, n for a mean of n terms, :math:`1 / \sigma^2` for half a sum of squares.
    model : callable, optional
        ``model(x, *args)`` returns outputs z: the Gauss-Newton matrix of ``f(model(x, *args))`` then takes the place of the
        Hessian. It is never negative where f is convex in z, which a network's Hessian need not be.
    structure : {"auto", "dense", "sparse", "diagonal", "kronecker", "low-rank"}, KFACOperator or NystromApproximation
        ``"sparse"``: the precision is inverted by a factor of the sparse matrix; ``"auto"``: so beyond 500 parameters where few
        products give it and few of its numbers are entries, else dense. The others are approximations that leave curvature out:
        ``"diagonal"``, its diagonal; ``"kronecker"``, the blocks of :class:`hessian.KFACOperator`, to whose eigenvalues the prior is
        added, one precision in each layer; ``"low-rank"``, its largest eigenpairs by Lanczos, as far as they are above rounding. An
        operator is taken for the curvature of f without ``scale``; its blocks or eigenpairs are what counts.
    rank : int, optional
        Eigenpairs of ``"low-rank"``; by default 50, or n if that is less.
    only : key, or list of keys, optional
        The arrays of x that are uncertain (``[-1]``: the last layer of a network); the others are held where they are, and take no
        part in prior, evidence and predictions. Keys are those of ``fixed=`` of :func:`hessian.optimize.minimize`.
    at_mode : bool
        Refuse an x that is not the mode. Structures that leave curvature of a Hessian out would hide a saddle: up to 30 products more
        look for one. With False the numbers are those of the Gaussian about x, wherever that is.

    Returns
    -------
    Laplace

    Raises
    ------
    ConvergenceError
        The precision is not positive definite (the message names the combination of parameters), x is not the mode, or f has a kink
        at x and no derivative.
    OptionError
        The prior precision or the scale is not positive; ``only`` names no array; the structure is unknown, or takes a network; the
        precision differs within a layer of Kronecker factors.
    ShapeMismatchError
        The prior does not have the structure of x.
    NonFiniteError
        Loss, curvature or the mean of the prior is not finite at x.
    TooDenseError
        ``structure="sparse"`` where the matrix is not.

    Notes
    -----
    Exact for a linear model with Gaussian noise. Cost: the dense matrix, n products in blocks, and an eigendecomposition,
    O(n^3): up to a few thousand parameters. Of a sparse matrix: a product per color, a factorisation, whose pivots give the
    determinant, and a few times that for the deviations (Takahashi's equations). Of a diagonal: n products, or a sweep per output
    of a network of affine layers. Of Kronecker factors: those of :class:`hessian.KFACOperator`. Of low rank: the products of
    :func:`hessian.curvature.eigenvalues`, and O(n r^2).

    References
    ----------
    D. J. C. MacKay, "A practical Bayesian framework for backpropagation networks", Neural Computation 4 (1992) 448-472. E.
    Daxberger et al., "Laplace redux", NeurIPS (2021).

    Examples
    --------
    >>> import numpy as np
    >>> y = np.array([1.2, 0.7, 1.4])
    >>> nll = lambda m: np.sum(0.5 * (y - m) ** 2 + 0.5 * np.log(2 * np.pi))
    >>> found = laplace(nll, y.sum() / 4, prior_precision=1.0)
    >>> found
    <Laplace approximation of 1 parameters (hessian): log evidence -4.03371, 0.75 effective parameters>
    >>> exact = -0.5 * (y @ np.linalg.solve(np.eye(3) + 1.0, y) + np.log(4.0) + 3 * np.log(2 * np.pi))
    >>> bool(np.isclose(found.log_evidence, exact, rtol=1e-14))
    True
    """
    where = "laplace"
    check(where, "scale", scale, POSITIVE, fix="It is 1 for a sum, n for a mean of n terms")
    chosen = Selection(x, only, where)
    if not chosen.order:
        what, why = "x holds no numbers", "It has no curvature"
        raise ShapeMismatchError(message(where, what, why, "Pass at least one parameter"))
    prior = Prior(positive_like(prior_precision, x, chosen.places), finite_like(prior_mean, x))
    free = chosen.free
    if model is None:
        operator: DifferentiatedOperator = HessianOperator(chosen.function(f), free, *args)
    else:
        operator = GaussNewtonOperator(chosen.function(model), f, free, *args)
    value = scale * float(operator.value)
    if not math.isfinite(value):
        fix = "Choose an x at which f is finite"
        raise not_finite(where, f"f is {value} at x", "", fix, operator.origin_of_nonfinite())
    network = None if model is None else (model, f, x, args)
    if at_mode and model is None:
        check_smooth(operator, np.arange(len(chosen.places)), where, "Hold what is at its kink (only=)")
    names = chosen.names(x)
    curvature = curvature_of(operator, network, chosen, names, scale, structure, rank)
    if at_mode and model is None and not isinstance(curvature, DenseCurvature | SparseCurvature):
        check_convex(operator, scale, prior.precision[chosen.places], names)
    gradient = scale * np.asarray(operator.gradient, dtype=np.float64)
    center, unravel = ravel(x)
    kind = "hessian" if model is None else "gauss-newton"
    return approximation(Mode(unravel(center), chosen, curvature, kind, -value, gradient), prior, at_mode)
