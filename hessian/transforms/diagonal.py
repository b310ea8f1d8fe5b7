"""The diagonal of the Hessian and its sum, exactly."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from hessian.programs.tasks import numbered
from hessian.tape.trace import detached
from hessian.tape.trees import split_vector
from hessian.transforms.point import FunctionAtPoint
from hessian.transforms.selection import ArgNums, curried


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
    Cost: n Hessian-vector products, in blocks that share the interpreter's work, and memory for one block. A recorded function uses its
    structure: what a section adds elementwise takes one product. For an estimate from a few products see
    :func:`hessian.curvature.diagonal`; for repeated use at one point, ``HessianOperator(f, x).diagonal()``.

    Examples
    --------
    >>> import numpy as np, hessian as hs
    >>> hs.hessian_diagonal(lambda x: x[0] ** 2 * x[1] ** 3)(np.array([1.0, 2.0])).tolist()
    [16.0, 12.0]
    """

    @curried(f, argnums, "hessian_diagonal")
    def hessian_diagonal_f(*args: Any, **kwargs: Any) -> Any:
        task = numbered("curvature", argnums, len(args), "hessian_diagonal")
        at = FunctionAtPoint(f, task, args, kwargs, where="hessian_diagonal", has_aux=has_aux)
        pieces = split_vector(at.diagonal(), at.primal.shapes)
        diagonal = at.primal.build([detached(p, x.dtype) for p, x in zip(pieces, at.primal.leaves, strict=True)])
        return (diagonal, at.aux) if has_aux else diagonal

    return hessian_diagonal_f


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

    @curried(f, argnums, "laplacian")
    def laplacian_f(*args: Any, **kwargs: Any) -> Any:
        task = numbered("curvature", argnums, len(args), "laplacian")
        at = FunctionAtPoint(f, task, args, kwargs, where="laplacian", has_aux=has_aux)
        total = np.sum(at.diagonal())
        return (total, at.aux) if has_aux else total

    return laplacian_f
