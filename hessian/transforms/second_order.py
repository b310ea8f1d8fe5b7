"""Second derivatives: Hessian-vector products and dense Hessians, by forward-over-reverse sweeps."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any

import numpy as np

from hessian.programs import RecordedFunction
from hessian.programs.runtime.point import ProgramAtPoint
from hessian.programs.tasks import CompiledTask, Task, numbered
from hessian.rules.spec import Traced
from hessian.tape.second_order import HessianMap
from hessian.tape.trace import Primal, Trace, trace
from hessian.tape.trees import flatten, join_vector, split_vector
from hessian.transforms.seeds import block_length, blocks_of, sweep_rows
from hessian.transforms.selection import ArgNums, selected


def hessian_matrix(traced: Trace, gradient: HessianMap) -> Any:
    """Return the Hessian between raveled vectors, shape (n, n), by blocks of batched products."""
    primal = traced.primal
    dtype = primal.dtype
    if not primal.size:
        return np.zeros((0, 0), dtype)
    length = block_length(traced.tape, primal.size)
    return sweep_rows(lambda dots: gradient.products(dots, (len(dots[0]),)), primal.shapes, length, dtype)


def hvp(f: Callable[..., Any], x: Any, v: Any, *args: Any, argnums: ArgNums = 0) -> Any:
    r"""Compute the Hessian-vector product :math:`\nabla^2 f(x)\, v`.

    Parameters
    ----------
    f : callable
        Real scalar function written in NumPy: ``f(x, *args)``.
    x : array or container of float arrays
    v : same structure as x
        Direction. Leading batch axes (k, \*x.shape) give k products in one sweep; the primal is computed once.
    *args
        Further arguments of f, not differentiated unless ``argnums`` names them.
    argnums : int or tuple of int
        Which of f's arguments, x first, to differentiate; v and the results are like it, tuples for a tuple.

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
    f, x, args = selected(f, (x, *args), argnums, "hvp")
    return _grad_and_hvp(f, x, v, args, "hvp", "hvp")[1]


def grad_and_hvp(f: Callable[..., Any], x: Any, v: Any, *args: Any, argnums: ArgNums = 0) -> tuple[Any, Any]:
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
    f, x, args = selected(f, (x, *args), argnums, "grad_and_hvp")
    return _grad_and_hvp(f, x, v, args, "grad_and_hvp")


def _grad_and_hvp(
    f: Callable[..., Any], x: Any, v: Any, args: tuple[Any, ...], where: str, kind: str = "product"
) -> tuple[Any, Any]:
    if isinstance(f, RecordedFunction):
        replayed = _replayed(f, x, v, args, where, kind)
        if replayed is not None:
            return replayed
    traced = trace(f, (x, *args), where=where)
    primal = traced.primal
    dots, batch = primal.tangent_leaves(v)
    linearized = HessianMap(traced)
    return primal.build(linearized.gradient), primal.build(linearized.products(dots, batch))


def _replayed(
    f: RecordedFunction, x: Any, v: Any, args: tuple[Any, ...], where: str, kind: str
) -> tuple[Any, Any] | None:
    """Return gradient (``None`` for kind ``hvp``) and product of a recorded function; ``None`` where sweeps have to do it."""
    if type(x) is np.ndarray and type(v) is np.ndarray and v.dtype == x.dtype and x.shape == v.shape:
        dots = [v]  # by far the most frequent
    else:
        if any(isinstance(leaf, Traced) for leaf in (*flatten(x)[0], *flatten(v)[0])):
            return None
        dots, batch = Primal(x, where).tangent_leaves(v)
        if batch:
            operator = f.linearize(Task("curvature"), (x, *args), {}, where)
            return None if operator is None else _replayed_batch(operator, dots, batch)
    replayed = f.replay(Task(kind), (x, *args), {}, dots, where)
    if replayed is None:
        return None
    compiled, found = replayed
    if kind == "hvp":
        return None, compiled.primal.build(list(found))
    leaves = list(found[1:])
    count = len(leaves) // 2
    return compiled.primal.build(leaves[:count]), compiled.primal.build(leaves[count:])


def _replayed_batch(
    operator: tuple[CompiledTask, ProgramAtPoint], dots: list[Any], batch: tuple[int, ...]
) -> tuple[Any, Any] | None:
    """Return gradient and products for directions with leading axes."""
    compiled, linearized = operator
    vectors = join_vector(dots, len(batch)).astype(compiled.dtype, copy=False)
    rows = linearized.attempt(
        lambda: linearized.rows("product", vectors.reshape(math.prod(batch), vectors.shape[-1]), symmetric=True)
    )
    gradient = linearized.attempt(lambda: linearized.result("gradient")[0])
    if rows is None or gradient is None:
        return None
    leaves = [
        [piece.astype(dot.dtype, copy=False) for piece, dot in zip(pieces, dots, strict=True)]
        for pieces in (
            split_vector(gradient, compiled.shapes),
            split_vector(rows.reshape(*batch, vectors.shape[-1]), compiled.shapes, len(batch)),
        )
    ]
    return compiled.primal.build(leaves[0]), compiled.primal.build(leaves[1])


def hessian(f: Callable[..., Any], argnums: ArgNums = 0, *, has_aux: bool = False) -> Callable[..., Any]:
    r"""Return a function that computes the Hessian :math:`H_{ij} = \partial^2 f / \partial x_i \partial x_j`.

    Parameters
    ----------
    f : callable
        Real scalar function written in NumPy: ``f(x, *args, **kwargs)``.
    argnums : int or tuple of int
        Which positional arguments to differentiate in.
    has_aux : bool
        ``f`` returns ``(value, aux)``, and the result is ``(H, aux)``.

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
        if isinstance(f, RecordedFunction) and not has_aux:
            found = f.linearize(numbered("curvature", argnums, len(args), "hessian"), args, kwargs, "hessian")
            if found is not None:
                compiled, linearized = found
                matrix = linearized.attempt(lambda: linearized.matrix("product", symmetric=True))
                if matrix is not None:
                    return blocks_of(matrix, compiled.shapes, compiled.shapes, compiled.primal, compiled.primal)
                f.stats.plain += 1
        traced = trace(f, args, kwargs, argnums=argnums, has_aux=has_aux, where="hessian")
        primal = traced.primal
        matrix = hessian_matrix(traced, HessianMap(traced))
        blocks = blocks_of(matrix, primal.shapes, primal.shapes, primal.structure, primal.structure)
        return (blocks, traced.aux) if has_aux else blocks

    return hessian_f
