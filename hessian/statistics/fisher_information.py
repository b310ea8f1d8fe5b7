"""The Fisher information of likelihoods whose distribution is known, by exact Jacobians of the model."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from hessian.errors import ShapeMismatchError, message
from hessian.operators.jacobian_operator import JacobianOperator
from hessian.operators.likelihoods import choose_likelihood


def fisher_root(model: Callable[..., Any], likelihood: str, x: Any, args: tuple[Any, ...], where: str) -> np.ndarray:
    r"""Return A with :math:`A^T A = J^T F(z) J`, the expected information of all rows, shape (rows k, n).

    Parameters
    ----------
    model : callable
        ``model(x, *args)`` returns the natural parameters z of the observations, shape (rows,) or (rows, k).
    likelihood : {"gaussian", "bernoulli", "poisson", "categorical"}
        z are means (variance 1), log-odds, logarithms of rates, or logits of classes.

    Raises
    ------
    OptionError
        The likelihood is unknown.
    ShapeMismatchError
        z is no array of one or two axes (two, for classes).
    """
    root_of = choose_likelihood(where, likelihood).root
    operator = JacobianOperator(model, x, *args)
    z = np.asarray(operator.value, dtype=np.float64) if not isinstance(operator.value, (dict, list, tuple)) else None
    if z is None or z.ndim not in (1, 2) or (likelihood == "categorical" and z.ndim != 2):
        what = f"the model returns {'a container' if z is None else f'an array of shape {z.shape}'}"
        axes = "(rows, k)" if likelihood == "categorical" else "(rows,) or (rows, k)"
        raise ShapeMismatchError(message(where, what, fix=f"Return one array of shape {axes}"))
    table = z.reshape(len(z), -1)
    jacobian = operator.to_dense()
    precision = jacobian.dtype
    root = root_of(table, jacobian.astype(np.float64).reshape(*table.shape, -1))
    return root.reshape(jacobian.shape).astype(precision, copy=False)
