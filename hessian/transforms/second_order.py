"""Second derivatives: Hessian-vector products and dense Hessians, by forward-over-reverse sweeps."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Concatenate, Literal, overload

import numpy as np
from numpy.typing import NDArray

from hessian.programs.runtime.functions import programs_of
from hessian.programs.tasks import Task, numbered
from hessian.rules.spec import Traced
from hessian.signatures import First, Number, P, X, Y
from hessian.tape.trace import Primal
from hessian.transforms.point import FunctionAtPoint
from hessian.transforms.seeds import blocks_of, check_room
from hessian.transforms.selection import ArgNums, Derivative, HigherDerivative, selected


@overload
def hvp(f: Callable[..., Any], x: NDArray[Number], v: Any, *args: Any, argnums: First = 0) -> NDArray[Number]: ...
@overload
def hvp(f: Callable[..., Any], x: float, v: float, *args: Any, argnums: First = 0) -> float: ...
@overload
def hvp(f: Callable[..., Any], x: float, v: Any, *args: Any, argnums: First = 0) -> Any: ...
@overload
def hvp(f: Callable[..., Any], x: X, v: Any, *args: Any, argnums: First = 0) -> X: ...
@overload
def hvp(f: Callable[..., Any], x: Any, v: Any, *args: Any, argnums: ArgNums) -> Any: ...
def hvp(f: Callable[..., Any], x: Any, v: Any, *args: Any, argnums: ArgNums = 0) -> Any:
    r"""Compute the Hessian-vector product :math:`\nabla^2 f(x)\, v`.

    Parameters
    ----------
    f : callable
        Real scalar function written in NumPy: ``f(x, *args)``.
    x, v, args, argnums
        As for :func:`hessian.jvp`.

    Returns
    -------
    Same structure and dtypes as x; batch axes of v lead. Of a complex x the product is real-linear in v, not complex-linear.

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


@overload
def grad_and_hvp(
    f: Callable[..., Any], x: NDArray[Number], v: Any, *args: Any, argnums: First = 0
) -> tuple[NDArray[Number], NDArray[Number]]: ...
@overload
def grad_and_hvp(f: Callable[..., Any], x: float, v: float, *args: Any, argnums: First = 0) -> tuple[float, float]: ...
@overload
def grad_and_hvp(f: Callable[..., Any], x: float, v: Any, *args: Any, argnums: First = 0) -> tuple[float, Any]: ...
@overload
def grad_and_hvp(f: Callable[..., Any], x: X, v: Any, *args: Any, argnums: First = 0) -> tuple[X, X]: ...
@overload
def grad_and_hvp(f: Callable[..., Any], x: Any, v: Any, *args: Any, argnums: ArgNums) -> tuple[Any, Any]: ...
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
    """Return gradient (``None`` for kind ``hvp`` of a program) and product."""
    dots, batch = _directions(x, v, where)
    ran = None
    if not batch and not any(isinstance(leaf, Traced) for leaf in dots):
        ran = programs_of(f).replay(Task(kind), (x, *args), {}, dots, where)
    if ran is None:
        at = FunctionAtPoint(f, Task("curvature"), (x, *args), where=where, record=bool(batch))
        primal = at.primal
        return primal.build(at.gradient_leaves), primal.build(at.leaves(dots, batch))
    compiled, results = ran
    if kind == "hvp":
        return None, compiled.primal.build(list(results))
    leaves = list(results[1:])
    count = len(leaves) // 2
    return compiled.primal.build(leaves[:count]), compiled.primal.build(leaves[count:])


def _directions(x: Any, v: Any, where: str) -> tuple[list[Any], tuple[int, ...]]:
    """Return the leaves of a direction and its batch axes."""
    if (
        type(x) is np.ndarray
        and type(v) is np.ndarray
        and v.dtype == x.dtype
        and x.shape == v.shape
        and x.dtype.kind == "f"
    ):
        return [v], ()  # by far the most frequent
    return Primal(x, where).tangent_leaves(v)


class Hessian(HigherDerivative[X, P, Y]):
    """See :func:`hessian`."""

    where = "hessian"

    def __init__(self, f: Any, argnums: Any, has_aux: bool, max_bytes: int | None) -> None:
        super().__init__(f, argnums, has_aux)
        self.max_bytes = max_bytes

    def __call__(self, /, *args: Any, **kwargs: Any) -> Any:
        task = numbered("curvature", self.argnums, len(args), "hessian")
        at = FunctionAtPoint(self.f, task, args, kwargs, where="hessian", has_aux=self.has_aux)
        primal = at.primal
        check_room("hessian", primal.size, primal.size, primal.dtype, self.max_bytes, "hs.sparse.hessian(f)(x)")
        blocks = blocks_of(at.matrix(), primal.shapes, primal.shapes, primal.structure, primal.structure, real=True)
        return (blocks, at.aux) if self.has_aux else blocks


@overload
def hessian(f: np.ufunc, argnums: ArgNums = 0, *, max_bytes: int | None = None) -> HigherDerivative[Any, ..., Any]: ...
@overload
def hessian(
    f: Callable[Concatenate[X, P], Any],
    argnums: First = 0,
    *,
    has_aux: Literal[False] = False,
    max_bytes: int | None = None,
) -> HigherDerivative[X, P, float]: ...
@overload
def hessian(
    f: Callable[P, Any], argnums: First = 0, *, has_aux: Literal[True], max_bytes: int | None = None
) -> Derivative[P, Any]: ...
@overload
def hessian(
    f: Callable[P, Any], argnums: ArgNums, *, has_aux: bool = False, max_bytes: int | None = None
) -> Derivative[P, Any]: ...
def hessian(
    f: Callable[..., Any], argnums: ArgNums = 0, *, has_aux: bool = False, max_bytes: int | None = None
) -> Callable[..., Any]:
    r"""Return a function that computes the Hessian :math:`H_{ij} = \partial^2 f / \partial x_i \partial x_j`.

    Parameters
    ----------
    f, argnums, has_aux
        As for :func:`hessian.value_and_grad`, errors too; with ``has_aux`` the result is ``(H, aux)``.
    max_bytes : int, optional
        Memory that H may take; 8 GiB by default.

    Returns
    -------
    callable
        ``(x, ...) -> H`` of shape ``x.shape + x.shape``; containers give containers of containers of blocks. Of a complex x it
        is the real matrix of (Re, Im), of shape ``(2,) + x.shape + (2,) + x.shape``.

    Raises
    ------
    TooDenseError
        By a call: H would take more memory than ``max_bytes``. :func:`hessian.sparse.hessian` and operators do not.

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

    return Hessian(f, argnums, has_aux, max_bytes)
