"""Gradients of the losses of single examples, and their moments."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from hessian.errors import NonFiniteError, ShapeMismatchError, message
from hessian.operators.example_sweep import ExampleSweep, Unfit
from hessian.operators.jacobian_operator import JacobianOperator
from hessian.operators.rows import ROWS, blocks_of_rows, has_rows
from hessian.programs import record
from hessian.tape.trace import Trace, detached, trace
from hessian.tape.trees import join_vector, ravel
from hessian.text import Shown
from hessian.transforms.first_order import grad
from hessian.transforms.seeds import check_room

_SHORT = 4096
"""Parameters from which on the sweep of each row over all of a block costs more than calls do, and rows are taken one by one."""


_SAME = 1e3
"""Rounding, in units of the longest column, by which a sum of gradients differs from one that a plain sweep gives."""


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
    _squares: np.ndarray | None = None

    @cached_property
    def mean(self) -> np.ndarray:
        r"""The gradient of the mean loss, :math:`\frac1N \sum_i g_i`, shape (n,)."""
        return np.asarray(self.gradients.mean(axis=0))

    @cached_property
    def second_moment(self) -> np.ndarray:
        r""":math:`\frac1N \sum_i g_i^2`, shape (n,): the diagonal of the empirical Fisher matrix."""
        if self._squares is not None:
            return np.asarray(self._squares / len(self.losses))
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
    r"""Compute the gradients of the losses of single examples, and their second moments, in one sweep.

    Parameters
    ----------
    losses : callable
        ``losses(x, *args)`` returns the loss of every example, shape (N,), not their mean.
    x : array, or container of arrays
    *args
        Data.

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
    Cost: an evaluation and two reverse sweeps, and N n numbers. What belongs to which example is read off the operations that were recorded
    (rows of products, axes of broadcasting, places that elements are moved to): cotangents of values apart go back in one array, those
    of parameters are products of what goes in and what comes back, example by example, and the second moments of ``X @ W`` are
    :math:`(X \circ X)^T (D \circ D)` without them. Where examples meet, as in means over a batch, what they share gets an axis of
    examples; where that takes more than four times the numbers of the gradients, each example has a sweep of its own: of its row alone,
    where every one of ``args`` has N rows and that is right, which is tested, else of all. Sums with random weights are compared
    with those of a plain sweep.

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
    traced = trace(losses, (x, *args), where=where)
    is_array, shapes = traced.output_structure.kind is None, [np.shape(value) for value in traced.values]
    if not is_array or len(shapes[0]) != 1 or not shapes[0][0]:
        what = f"the losses have shape {shapes[0]}" if is_array else "the losses are a container"
        raise ShapeMismatchError(message(where, what, "It needs the loss of every example", "Return shape (N,)"))
    values = detached(traced.values[0])
    dtype = np.result_type(traced.primal.dtype, values.dtype)
    check_room(where, len(values), traced.primal.size, dtype, None, "EmpiricalFisherOperator")
    found = None if traced.tape.nested else _by_one_sweep(traced, dtype)
    if found is None:
        whole = JacobianOperator(losses, x, *args)
        gradients = _by_blocks(losses, x, args, whole, values)
        found = PerExample(values, whole.to_dense() if gradients is None else gradients)
    if not np.isfinite(found.gradients).all():
        row = int(np.flatnonzero(~np.isfinite(found.gradients).all(axis=1))[0])
        raise NonFiniteError(message(where, f"the gradient of example {row} holds NaN or inf"))
    return found


def _weights(size: int, dtype: Any) -> np.ndarray:
    return np.random.default_rng(0).standard_normal(size).astype(dtype)


def _by_one_sweep(traced: Trace, dtype: Any) -> PerExample | None:
    """Return gradients and their sums of squares; ``None`` where what examples share is too much, or a plain sweep disagrees."""
    try:
        sweep = ExampleSweep(traced, dtype)
    except Unfit:
        return None
    found = PerExample(detached(traced.values[0]), sweep.gradients, sweep.squares)
    weights = _weights(len(found.losses), dtype)
    with np.errstate(all="ignore"):
        pulled = join_vector(traced.gradient_leaves(sweep.pulled_back(weights)), 0)
        gap = np.abs(weights @ found.gradients - pulled).max(initial=0.0)
        scale = np.sqrt(np.max(sweep.squares, initial=0.0)) * np.linalg.norm(weights)
    # A plain sweep rounds to the precision of the parameters, whatever that of the losses.
    is_same = gap <= _SAME * float(np.finfo(traced.primal.dtype).eps) * scale
    return found if is_same or not np.isfinite(gap) else None


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
    return gradients if _are_those_of_all(gradients, whole) else None


def _are_those_of_all(gradients: np.ndarray, whole: JacobianOperator) -> bool:
    """Whether gradients of rows are those of all rows together; columns that are too short to tell are put right."""
    # Losses of rows alone have the same weighted sums of gradients; others differ for weights drawn at random.
    weights = _weights(len(gradients), whole.dtype)
    gap = np.abs(weights @ gradients - whole.T @ weights)
    rounding = 64.0 * float(np.finfo(whole.dtype).eps)
    scale = np.abs(weights) @ np.abs(gradients).max(axis=1, initial=0.0)
    if not gap.max(initial=0.0) <= rounding * scale:
        return False
    # Beside long columns a short one may be wrong unseen, or it is what rounding leaves of zeros.
    short = np.flatnonzero(gap > rounding * (np.abs(weights) @ np.abs(gradients)))
    if len(short) > len(gradients):
        return False
    for column in short:
        unit = np.zeros(whole.shape[1], whole.dtype)
        unit[column] = 1.0
        gradients[:, column] = whole @ unit
    return True


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
