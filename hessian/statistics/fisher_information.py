"""The Fisher information of likelihoods whose distribution is known, by exact Jacobians of the model."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from hessian.errors import ShapeMismatchError, message
from hessian.operators.jacobian_operator import JacobianOperator
from hessian.statistics.families import choose_family


def fisher_root(model: Callable[..., Any], likelihood: Any, x: Any, args: tuple[Any, ...], where: str) -> np.ndarray:
    r"""Return A with :math:`A^T A = J^T F(z) J`, the expected information of all rows, shape (rows, k, n).

    The second axis has what the family makes of a row: k outputs, or one more than that for classes in order.

    Parameters
    ----------
    model : callable
        ``model(x, *args)`` returns the outputs z of the observations, shape (rows,) or (rows, k).
    likelihood : str or callable
        A name of :data:`~hessian.statistics.families.FAMILIES`, which says what z are; or the log-partition function A of an
        exponential family, ``A(z) -> (rows,)``, of natural parameters z.

    Raises
    ------
    OptionError
        The likelihood is unknown, z are none of its outputs, or A is no log-partition function.
    ShapeMismatchError
        z is no array of one or two axes (two, for classes), or has another number of outputs than the likelihood.
    """
    family = choose_family(where, likelihood)
    operator = JacobianOperator(model, x, *args)
    z = np.asarray(operator.value, dtype=np.float64) if not isinstance(operator.value, (dict, list, tuple)) else None
    if z is None or z.ndim not in (1, 2) or (likelihood == "categorical" and z.ndim != 2):
        what = f"the model returns {'a container' if z is None else f'an array of shape {z.shape}'}"
        axes = "(rows, k)" if likelihood == "categorical" else "(rows,) or (rows, k)"
        raise ShapeMismatchError(message(where, what, fix=f"Return one array of shape {axes}"))
    table = z.reshape(len(z), -1)
    if family.counts and table.shape[1] not in family.counts:
        what = f"the model returns an array of shape {z.shape}, likelihood is {likelihood!r}"
        raise ShapeMismatchError(
            message(where, what, f"Its outputs are {family.outputs}", "Return one column for each")
        )
    jacobian = operator.to_dense()
    precision = jacobian.dtype
    root = family.root(table, jacobian.astype(np.float64).reshape(*table.shape, -1))
    return root.astype(precision, copy=False)
