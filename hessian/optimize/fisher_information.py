"""The Fisher information of likelihoods whose distribution is known, by exact Jacobians of the model."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from hessian.errors import OptionError, ShapeMismatchError, message
from hessian.operators.jacobian_operator import JacobianOperator

Root = Callable[[np.ndarray, np.ndarray], np.ndarray]
"""From outputs z, shape (rows, k), and their Jacobian, shape (rows, k, n), to a root: rows A with A^T A the information."""


def _gaussian(z: np.ndarray, jacobian: np.ndarray) -> np.ndarray:
    """Means of unit variance: information 1."""
    return jacobian


def _bernoulli(z: np.ndarray, jacobian: np.ndarray) -> np.ndarray:
    """Log-odds: information p (1 - p)."""
    # exp(-|z| / 2) / (1 + exp(-|z|)) is sqrt(p (1 - p)), and does not overflow.
    half = np.exp(-0.5 * np.abs(z))
    return (half / (1.0 + half * half))[..., None] * jacobian


def _poisson(z: np.ndarray, jacobian: np.ndarray) -> np.ndarray:
    """Logarithms of rates: information exp(z)."""
    return np.exp(0.5 * z)[..., None] * jacobian


def _categorical(z: np.ndarray, jacobian: np.ndarray) -> np.ndarray:
    """Logits of k classes: information diag(p) - p p^T."""
    p = np.exp(z - z.max(axis=-1, keepdims=True))
    p /= p.sum(axis=-1, keepdims=True)
    mean = np.einsum("rk,rkn->rn", p, jacobian)
    return np.sqrt(p)[..., None] * (jacobian - mean[:, None, :])


LIKELIHOODS: dict[str, Root] = {
    "gaussian": _gaussian,
    "bernoulli": _bernoulli,
    "poisson": _poisson,
    "categorical": _categorical,
}


def fisher_root(model: Callable[..., Any], likelihood: str, x: Any, args: tuple[Any, ...], where: str) -> np.ndarray:
    r"""Return A with :math:`A^T A = J^T F(z) J`, the expected information of all rows, shape (rows k, n).

    Parameters
    ----------
    model : callable
        ``model(x, *args)`` returns the natural parameters z of the observations, shape (rows,) or (rows, k).
    likelihood : {"gaussian", "bernoulli", "poisson", "categorical"}
        z are means (variance 1), log-odds, logarithms of rates, or logits of classes.
    x, args
        The point and further arguments.
    where : str
        For messages.

    Raises
    ------
    OptionError
        The likelihood is unknown.
    ShapeMismatchError
        z is no array of one or two axes (two, for classes).
    """
    if likelihood not in LIKELIHOODS:
        what = f"likelihood is {likelihood!r}"
        raise OptionError(message(where, what, fix=f"Pass one of {', '.join(map(repr, LIKELIHOODS))}"))
    operator = JacobianOperator(model, x, *args)
    z = np.asarray(operator.value, dtype=np.float64) if not isinstance(operator.value, (dict, list, tuple)) else None
    if z is None or z.ndim not in (1, 2) or (likelihood == "categorical" and z.ndim != 2):
        what = f"the model returns {'a container' if z is None else f'an array of shape {z.shape}'}"
        axes = "(rows, k)" if likelihood == "categorical" else "(rows,) or (rows, k)"
        raise ShapeMismatchError(message(where, what, fix=f"Return one array of shape {axes}"))
    table = z.reshape(len(z), -1)
    jacobian = operator.to_dense()
    precision = jacobian.dtype
    root = LIKELIHOODS[likelihood](table, jacobian.astype(np.float64).reshape(*table.shape, -1))
    return root.reshape(jacobian.shape).astype(precision, copy=False)
