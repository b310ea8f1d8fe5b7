"""Gradients of the losses of single examples, and their moments."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from hessian.errors import NonFiniteError, ShapeMismatchError, message
from hessian.operators.jacobian_operator import JacobianOperator
from hessian.operators.rows import ROWS, blocks_of_rows, has_rows
from hessian.programs import record
from hessian.tape.trees import ravel
from hessian.text import Shown
from hessian.transforms.first_order import grad
from hessian.transforms.seeds import check_room

_SHORT = 4096
"""Parameters from which on the sweep of each row over all of a block costs more than calls do, and rows are taken one by one."""


@dataclass(frozen=True, eq=False, repr=False)
class PerExample(Shown):
    r"""What :func:`per_example` returns.

    Attributes
    ----------
    losses : ndarray, shape (N,)
    gradients : ndarray, shape (N, n)
        :math:`g_i = \nabla \ell_i(x)`, a row for each example, raveled as x is.
    """

    losses: np.ndarray
    gradients: np.ndarray

    @cached_property
    def mean(self) -> np.ndarray:
        r"""The gradient of the mean loss, :math:`\frac1N \sum_i g_i`, shape (n,)."""
        return np.asarray(self.gradients.mean(axis=0))

    @cached_property
    def second_moment(self) -> np.ndarray:
        r""":math:`\frac1N \sum_i g_i^2`, shape (n,): the diagonal of the empirical Fisher matrix."""
        return np.asarray(np.mean(self.gradients**2, axis=0))

    @cached_property
    def variance(self) -> np.ndarray:
        r""":math:`\frac1N \sum_i (g_i - \bar g)^2`, shape (n,), about the mean: nothing cancels."""
        return np.asarray(self.gradients.var(axis=0))

    @cached_property
    def norms(self) -> np.ndarray:
        """2-norms of the gradients, shape (N,): which examples pull."""
        return np.asarray(np.linalg.norm(self.gradients, axis=1))

    def __repr__(self) -> str:
        size, n = self.gradients.shape
        noise = float(np.sqrt(np.sum(self.variance)))
        length = float(np.linalg.norm(self.mean))
        return f"<PerExample: {size} gradients of {n} parameters, mean of length {length:.4g}, spread {noise:.4g}>"


def per_example(losses: Callable[..., Any], x: Any, *args: Any) -> PerExample:
    r"""Compute the gradients of the losses of single examples.

    Parameters
    ----------
    losses : callable
        ``losses(x, *args)`` returns the loss of every example, shape (N,), not their mean.
    x : array, or container of arrays
    *args
        Data. Where every one is an array of N rows and each loss depends on its row alone, blocks of rows are evaluated by themselves,
        which costs a fraction of sweeps over all of them; whether that is so is tested.

    Returns
    -------
    PerExample
        ``.losses``, ``.gradients``, and of these ``.mean``, ``.second_moment``, ``.variance``, ``.norms``.

    Raises
    ------
    ShapeMismatchError
        The losses are not a vector.
    NonFiniteError
        A gradient is not finite.
    TooDenseError
        The gradients do not fit in memory.

    Notes
    -----
    Cost: with rows in ``args``, an evaluation and a reverse sweep of each row alone (of few parameters, of 16 rows at a time), and a sweep
    over all rows as a test; else a reverse sweep of all for each example. Memory: N n numbers.

    References
    ----------
    F. Dangel, F. Kunstner and P. Hennig, "BackPACK: packing more into backprop", ICLR (2020).

    Examples
    --------
    >>> import numpy as np, hessian as hs
    >>> X, y = np.array([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]]), np.array([1.0, -1.0, 2.0])
    >>> found = hs.curvature.per_example(lambda w, X, y: 0.5 * (X @ w - y) ** 2, np.zeros(2), X, y)
    >>> found.gradients.tolist()
    [[-1.0, -2.0], [3.0, 4.0], [-10.0, -12.0]]
    >>> np.allclose(found.second_moment, np.mean((X * y[:, None]) ** 2, axis=0))
    True
    """
    where = "per_example"
    whole = JacobianOperator(losses, x, *args)
    values = np.asarray(whole.value)
    if values.ndim != 1 or not values.size:
        what = f"the losses have shape {values.shape}"
        raise ShapeMismatchError(message(where, what, "It needs the loss of every example", "Return shape (N,)"))
    size, n = whole.shape
    check_room(where, size, n, whole.dtype, None, "EmpiricalFisherOperator")
    found = _by_blocks(losses, x, args, whole, values)
    gradients = whole.to_dense() if found is None else found
    if not np.isfinite(gradients).all():
        row = int(np.flatnonzero(~np.isfinite(gradients).all(axis=1))[0])
        raise NonFiniteError(message(where, f"the gradient of example {row} holds NaN or inf"))
    return PerExample(values, gradients)


def _by_blocks(
    losses: Callable[..., Any], x: Any, args: tuple[Any, ...], whole: JacobianOperator, values: np.ndarray
) -> np.ndarray | None:
    """Return the gradients by blocks of rows; ``None`` where rows are not those of examples."""
    size = len(values)
    if size == 1 or not has_rows(args, size):
        return None
    block = max(1, min(ROWS, _SHORT // max(whole.shape[1], 1)))
    gradients = _one_by_one(losses, x, args, whole) if block == 1 else _together(losses, x, args, whole, block)
    if gradients is None:
        return None
    # Losses of rows alone have the same weighted sums of gradients; others differ for weights drawn at random.
    weights = np.random.default_rng(0).standard_normal(size).astype(whole.dtype)
    gap = np.abs(weights @ gradients - whole.T @ weights).max(initial=0.0)
    scale = np.abs(weights) @ np.abs(gradients).max(axis=1, initial=0.0)
    return gradients if gap <= 64.0 * float(np.finfo(whole.dtype).eps) * scale else None


def _one_by_one(
    losses: Callable[..., Any], x: Any, args: tuple[Any, ...], whole: JacobianOperator
) -> np.ndarray | None:
    gradients = np.empty(whole.shape, whole.dtype)
    gradient = grad(record(lambda x, *rows: np.sum(losses(x, *rows))))
    for k in range(len(gradients)):
        try:
            gradients[k] = ravel(gradient(x, *(a[k : k + 1] for a in args)))[0]
        except Exception:  # What fails on some of the rows is not a function of single rows: all are taken together.
            return None
    return gradients


def _together(
    losses: Callable[..., Any], x: Any, args: tuple[Any, ...], whole: JacobianOperator, block: int
) -> np.ndarray | None:
    gradients = np.empty(whole.shape, whole.dtype)
    for part, found in blocks_of_rows(losses, x, args, np.shape(whole.value), block):
        if found is None:
            return None
        gradients[part] = found.to_dense()
    return gradients
