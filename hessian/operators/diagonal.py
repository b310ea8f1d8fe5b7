"""The diagonal of the Hessian of a function and its sum, exactly: as few products as the structure needs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Concatenate, Literal, overload

import numpy as np

from hessian.linalg import limits
from hessian.programs.runtime.functions import programs_of
from hessian.programs.tasks import numbered
from hessian.signatures import Aux, First, P, X, Y
from hessian.tape.trace import detached
from hessian.tape.trees import split_vector
from hessian.transforms.point import FunctionAtPoint
from hessian.transforms.selection import ArgNums, Derivative


class OfDiagonal(Derivative[P, Y]):
    """What is made of the diagonal of a Hessian."""

    def _diagonal(self, args: Any, kwargs: Any) -> tuple[FunctionAtPoint, np.ndarray]:
        """Return the function at a point, and the diagonal of its Hessian there as a vector."""
        task = numbered("curvature", self.argnums, len(args), self.where)
        at = FunctionAtPoint(self.f, task, args, kwargs, where=self.where, has_aux=self.has_aux)
        # What returns something beside its value is not run again, which naming its operations takes.
        source = None if self.has_aux else (programs_of(self.f).function, args, kwargs, self.argnums, self.where)
        return at, _diagonal(at, source)


class HessianDiagonal(OfDiagonal[P, Y]):
    """See :func:`hessian_diagonal`."""

    where = "hessian_diagonal"

    def __call__(self, /, *args: Any, **kwargs: Any) -> Any:
        at, flat = self._diagonal(args, kwargs)
        pieces = split_vector(flat, at.primal.shapes)
        diagonal = at.primal.build([detached(p, x.dtype) for p, x in zip(pieces, at.primal.leaves, strict=True)])
        return (diagonal, at.aux) if self.has_aux else diagonal


@overload
def hessian_diagonal(
    f: Callable[Concatenate[X, P], Any], argnums: First = 0, *, has_aux: Literal[False] = False
) -> Derivative[Concatenate[X, P], X]: ...
@overload
def hessian_diagonal(
    f: Callable[Concatenate[X, P], tuple[Any, Aux]], argnums: First = 0, *, has_aux: Literal[True]
) -> Derivative[Concatenate[X, P], tuple[X, Aux]]: ...
@overload
def hessian_diagonal(f: Callable[P, Any], argnums: ArgNums, *, has_aux: bool = False) -> Derivative[P, Any]: ...
def hessian_diagonal(f: Callable[..., Any], argnums: ArgNums = 0, *, has_aux: bool = False) -> Callable[..., Any]:
    r"""Return a function that computes the diagonal of the Hessian, :math:`\partial^2 f / \partial x_i^2`.

    Parameters
    ----------
    f, argnums, has_aux
        As for :func:`hessian.hessian`, errors too; with ``has_aux`` the result is ``(diagonal, aux)``.

    Returns
    -------
    callable
        ``(x, ...) -> diagonal`` with structure, shapes and dtypes of x.

    Notes
    -----
    Cost: n Hessian-vector products, in blocks that share the interpreter's work, and memory for one block; a product per color of a
    sparse Hessian's pattern (:func:`hessian.sparse.hessian`), from 256 variables on and where these are few. For an estimate from a few
    products see :func:`hessian.curvature.diagonal`; for repeated use at one point, ``HessianOperator(f, x).diagonal()``.

    Examples
    --------
    >>> import numpy as np, hessian as hs
    >>> hs.hessian_diagonal(lambda x: x[0] ** 2 * x[1] ** 3)(np.array([1.0, 2.0])).tolist()
    [16.0, 12.0]
    """

    return HessianDiagonal(f, argnums, has_aux)


class Laplacian(OfDiagonal[P, Y]):
    """See :func:`laplacian`."""

    where = "laplacian"

    def __call__(self, /, *args: Any, **kwargs: Any) -> Any:
        at, flat = self._diagonal(args, kwargs)
        total = np.sum(flat)
        return (total, at.aux) if self.has_aux else total


@overload
def laplacian(
    f: Callable[P, Any], argnums: ArgNums = 0, *, has_aux: Literal[False] = False
) -> Derivative[P, float]: ...
@overload
def laplacian(
    f: Callable[P, tuple[Any, Aux]], argnums: ArgNums = 0, *, has_aux: Literal[True]
) -> Derivative[P, tuple[float, Aux]]: ...
def laplacian(f: Callable[..., Any], argnums: ArgNums = 0, *, has_aux: bool = False) -> Callable[..., Any]:
    r"""Return a function that computes the Laplacian :math:`\sum_i \partial^2 f / \partial x_i^2`.

    Parameters, errors and cost as in :func:`hessian_diagonal`, whose sum it is. For an estimate from a few products see
    :func:`hessian.curvature.trace`.

    Returns
    -------
    callable
        ``(x, ...) -> number``.

    Examples
    --------
    The potential of a charge is harmonic away from it:

    >>> import numpy as np, hessian as hs
    >>> bool(abs(hs.laplacian(lambda x: 1 / np.linalg.norm(x))(np.array([1.0, 2.0, 2.0]))) < 1e-16)
    True
    """

    return Laplacian(f, argnums, has_aux)


def _diagonal(at: FunctionAtPoint, source: tuple[Any, ...] | None) -> Any:
    """Return the diagonal at a point: read off a sparse matrix where the pattern of the function, ``source``, takes few products."""
    n = at.primal.size
    if n < limits.SPARSE_ORDER or source is None:
        return at.diagonal()
    from hessian.sparse.detect import Source
    from hessian.sparse.functions import few_products, matrix_at

    where = source[-1]
    structure = few_products(at, n // limits.SPARSE_SHARE, where, Source(*source))
    return at.diagonal() if structure is None else matrix_at(at, structure, where).diagonal()
