"""Second derivatives: Hessian-vector products and dense Hessians, by forward-over-reverse sweeps."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np

from hessian.core.second_order import LinearizedGradient
from hessian.core.trace import Recording, record
from hessian.transforms.seeds import block_length, blocks_of, sweep_rows


def hessian_matrix(recording: Recording, gradient: LinearizedGradient) -> Any:
    """Return the Hessian between raveled vectors, shape (n, n), by blocks of batched products."""
    primal = recording.primal
    dtype = np.result_type(*(x.dtype for x in primal.leaves))
    length = block_length(recording.tape, primal.size)
    return sweep_rows(lambda dots: gradient.products(dots, (len(dots[0]),)), primal.shapes, length, dtype)


def hvp(f: Callable[..., Any], x: Any, v: Any, *args: Any) -> Any:
    r"""Compute the Hessian-vector product :math:`\nabla^2 f(x)\, v`.

    Parameters
    ----------
    f : callable
        Real scalar function written in NumPy: ``f(x, *args)``.
    x : array or container of float arrays
    v : same structure as x
        Direction. Leading batch axes (k, \*x.shape) give k products in one sweep; the primal is computed once.
    *args
        Further arguments of f, not differentiated.

    Returns
    -------
    Same structure and dtypes as x; batch axes of v lead.

    Raises
    ------
    ShapeMismatchError
        v does not have the structure or shapes of x.
    NotScalarError, DtypeError
        As for :func:`hessian.grad`.

    Notes
    -----
    Cost: f recorded once, one reverse sweep and one sweep of tangents, about 4 to 10 evaluations of f in all once arithmetic
    outweighs some ten microseconds per operation. For many products at one point use :class:`hessian.HessianOperator`, which
    repeats only the last sweep.

    References
    ----------
    B. A. Pearlmutter, "Fast exact multiplication by the Hessian", Neural Computation 6 (1994).

    Examples
    --------
    >>> import numpy as np, hessian as hs
    >>> hs.hvp(lambda x: x[0] ** 2 * x[1], np.array([1.0, 2.0]), np.array([1.0, 0.0])).tolist()
    [4.0, 2.0]
    """
    return _grad_and_hvp(f, x, v, args, "hvp")[1]


def grad_and_hvp(f: Callable[..., Any], x: Any, v: Any, *args: Any) -> tuple[Any, Any]:
    r"""Compute the gradient and the Hessian-vector product together, for the cost of the product.

    Parameters, errors and cost as in :func:`hvp`.

    Returns
    -------
    gradient, product
        Both with the structure of x; the gradient has no batch axes.

    Examples
    --------
    >>> import numpy as np, hessian as hs
    >>> g, hv = hs.grad_and_hvp(lambda x: np.sum(x**3), np.array([1.0, 2.0]), np.ones(2))
    >>> g.tolist(), hv.tolist()
    ([3.0, 12.0], [6.0, 12.0])
    """
    return _grad_and_hvp(f, x, v, args, "grad_and_hvp")


def _grad_and_hvp(f: Callable[..., Any], x: Any, v: Any, args: tuple[Any, ...], where: str) -> tuple[Any, Any]:
    recording = record(f, (x, *args), where=where)
    primal = recording.primal
    dots, batch = primal.tangent_leaves(v)
    linearized = LinearizedGradient(recording)
    return primal.build(linearized.gradient), primal.build(linearized.products(dots, batch))


def hessian(f: Callable[..., Any], argnums: int | tuple[int, ...] = 0) -> Callable[..., Any]:
    r"""Return a function that computes the Hessian :math:`H_{ij} = \partial^2 f / \partial x_i \partial x_j`.

    Parameters
    ----------
    f : callable
        Real scalar function written in NumPy: ``f(x, *args, **kwargs)``.
    argnums : int or tuple of int
        Which positional arguments to differentiate in.

    Returns
    -------
    callable
        ``(x, ...) -> H`` of shape ``x.shape + x.shape``; containers give containers of containers of blocks.

    Raises
    ------
    NotScalarError, DtypeError
        As for :func:`hessian.grad`.

    Notes
    -----
    Cost: n Hessian-vector products, in blocks that share the interpreter's work; memory n^2 plus a block's tangents.
    Rounding makes H symmetric to a few units in the last place; it is not symmetrised.

    Examples
    --------
    >>> import numpy as np, hessian as hs
    >>> hs.hessian(lambda x: x[0] ** 2 * x[1])(np.array([1.0, 2.0])).tolist()
    [[4.0, 2.0], [2.0, 0.0]]
    """

    @functools.wraps(f)
    def hessian_f(*args: Any, **kwargs: Any) -> Any:
        recording = record(f, args, kwargs, argnums=argnums, where="hessian")
        primal = recording.primal
        matrix = hessian_matrix(recording, LinearizedGradient(recording))
        return blocks_of(matrix, primal.shapes, primal.shapes, primal.structure, primal.structure)

    return hessian_f
