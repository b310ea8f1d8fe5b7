"""The delta method: functions of estimated parameters with their standard errors, by exact derivatives."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from hessian.curvature.estimate import Uncertain
from hessian.linalg import limits
from hessian.linalg.dense import eigh
from hessian.operators.hessian_operator import HessianOperator
from hessian.operators.jacobian_operator import JacobianOperator
from hessian.sparse.detect import Source, jacobian_pattern
from hessian.statistics.covariance_result import Covariance
from hessian.statistics.laplace_result import Laplace
from hessian.statistics.outputs import Outputs
from hessian.statistics.quadratic_forms import quantile
from hessian.tape.trees import flatten, ravel
from hessian.transforms.higher_order import directional
from hessian.transforms.locate import not_finite, origin_in

# Of what second derivatives spread, the part of first derivatives up to which a function is stationary to the precision of a fit.
_STATIONARY = 1e-3
# Times what derivatives say that f changes by: beyond, they do not see it.
_UNSEEN = 10.0


@dataclass(frozen=True, eq=False, repr=False)
class DerivedQuantity(Uncertain):
    """A function of estimated parameters.

    Attributes
    ----------
    value : what the function returns
    standard_error : like value
        By first derivatives; of both orders where the function is stationary; ``inf`` where neither sees it change within a standard
        error of the parameters, though it does: at a kink, or where it is flat to third order.
    covariance : ndarray, shape (m, m)
        Between raveled entries of the value, likewise: of both orders in the entries that ``second_order`` marks.
    bias : like value
        Second-order term of its mean, ``½ tr(H_i V)`` for entry i: what curvature adds on average. Where it is not small
        beside the standard error, the function is too curved over the spread of the parameters for this method.
    second_order_error : like value
        What second derivatives alone spread, ``(½ tr(H_i V H_i V))^(1/2)``.
    second_order : like value
        Whether the function is stationary at the estimates: what first derivatives spread is below a thousandth of that. Then the
        law is not normal, but that of a quadratic form in normal variables, which :meth:`interval` then takes.
    weights : ndarray, shape (m, r)
        Eigenvalues of ``½ R^T H_i R`` for entry i, R the root of the covariance: to second order the value changes by
        ``sum_j weights[i, j] z_j^2`` beyond what first derivatives say, z being standard normal.
    """

    value: Any
    standard_error: Any
    covariance: np.ndarray
    bias: Any
    second_order_error: Any
    second_order: Any
    weights: np.ndarray

    @property
    def mean(self) -> Any:
        """The mean to second order, ``value + bias``."""
        return Outputs(self.value).structured(Outputs(self.value).vector + Outputs(self.bias).vector)

    @property
    def spread(self) -> Any:
        """The standard deviation to second order, ``(J V J^T + ½ tr(H_i V H_i V))^(1/2)``: of a quadratic f of normal x, exactly."""
        first = np.diag(self.covariance)
        second = 2.0 * np.sum(self.weights**2, axis=1)
        marked = Outputs(self.second_order).vector > 0.0
        return Outputs(self.value).structured(np.sqrt(np.where(marked, first, first + second)))

    def interval(self, level: float = 0.95) -> tuple[Any, Any]:
        """Return the ends of an interval for each entry by itself, in the structure of the value.

        Where the function is stationary: of the quadratic form, from the value to the quantile at the level where all its weights have
        one sign (a minimum of f stays a minimum), between two quantiles else. Elsewhere by the normal law.

        Raises
        ------
        OptionError
            The level is not between 0 and 1.
        """
        ends = np.array([Outputs(end).vector for end in super().interval(level)])
        marked = Outputs(self.second_order).vector > 0.0
        marked &= np.isfinite(Outputs(self.standard_error).vector)
        for i in np.flatnonzero(marked):
            weights, value = self.weights[i], Outputs(self.value).vector[i]
            is_below, is_above = bool(np.any(weights < 0.0)), bool(np.any(weights > 0.0))
            tail = 0.5 * (1.0 - level) if is_below and is_above else 1.0 - level
            ends[0, i] = value + (quantile(tail, weights) if is_below else 0.0)
            ends[1, i] = value + (quantile(1.0 - tail, weights) if is_above else 0.0)
        low, high = (Outputs(self.value).structured(end) for end in ends)
        return low, high

    def __repr__(self) -> str:
        values, errors = Outputs(self.value).vector, Outputs(self.standard_error).vector
        biases, second = Outputs(self.bias).vector, Outputs(self.second_order).vector > 0.0
        shown = [
            f"{value:.6g} (second order: mean {value + bias:.6g} ± {error:.2g})"
            if curved
            else f"{value:.6g} ± {error:.2g}"
            for value, error, bias, curved in zip(values[:8], errors[:8], biases[:8], second[:8], strict=True)
        ]
        more = ", ..." if len(values) > 8 else ""
        worst = self._worst(self.bias, errors)
        curved = f", bias up to {worst:.2g} standard errors" if worst > 0.1 else ""
        curved += ", not bounded where it is flat to second order only" if np.isinf(errors).any() else ""
        spread = self._worst(self.second_order_error, errors)
        curved += f", second-order spread up to {spread:.2g}" if spread > 1.0 and not second.all() else ""
        return f"<DerivedQuantity {', '.join(shown)}{more}{curved}>"

    def _worst(self, numbers: Any, errors: np.ndarray) -> float:
        """Largest magnitude in standard errors."""
        sizes = np.abs(Outputs(numbers).vector)
        return float(np.max(np.divide(sizes, errors, out=np.zeros_like(sizes), where=errors > 0.0), initial=0.0))


def delta_method(f: Callable[..., Any], covariance: Covariance | Laplace, *args: Any) -> DerivedQuantity:
    r"""Compute a function of estimated parameters with its standard error.

    .. math:: \operatorname{Cov} f(\hat x) \approx J V J^T, \qquad J = \partial f / \partial x \text{ at } \hat x

    Parameters
    ----------
    f : callable
        ``f(x, *args)`` returns a number, an array or a container of arrays; x has the structure of the parameters.
    covariance : Covariance or Laplace
        Of ``result.covariance()`` or :func:`laplace`, which know the estimates.
    *args
        Further arguments of f, known exactly.

    Returns
    -------
    DerivedQuantity

    Raises
    ------
    NonFiniteError
        f or a derivative of it is not finite at the estimates.

    Notes
    -----
    Where f is stationary at the estimates its first derivatives say 0 ± 0. So the second-order spread of a normal x,
    :math:`\tfrac12 \mathrm{tr}(H_i V H_j V)`, is computed too, and added there. Elsewhere ``standard_error`` is the usual one, and
    ``second_order_error`` beside it.

    Cost: one Jacobian, min(m, n) sweeps, and second derivatives along the n columns of the root of the covariance: n products with
    each of m Hessians, or second directional derivatives along n (n + 1) / 2 pairs where m is larger than n; 2 n evaluations of f a
    standard error away, which derivatives that vanish are compared with. Computed from the
    root, so that a combination of strongly correlated parameters does not cancel. Of a large sparse model n counts the parameters that f
    depends on, up to 500 of them, each of which takes a solve; the root is that of the covariance between these.

    References
    ----------
    G. W. Oehlert, "A note on the delta method", The American Statistician 46 (1992) 27-29.

    Examples
    --------
    >>> import numpy as np
    >>> from hessian.optimize import minimize
    >>> counts = np.array([3.0, 5.0, 4.0, 4.0])
    >>> res = minimize(lambda u: np.sum(np.exp(u) - counts * u), 0.0)
    >>> delta_method(np.exp, res.covariance())
    <DerivedQuantity 4 ± 1, bias up to 0.12 standard errors>

    A square at its minimum is a multiple of chi-square:

    >>> squared = delta_method(lambda u: (u - res.x) ** 2, res.covariance())
    >>> float(np.round(squared.mean[0], 4)), float(np.round(squared.spread[0], 4))
    (0.0625, 0.0884)
    >>> [round(float(end[0]), 4) for end in squared.interval(0.95)]
    [0.0, 0.2401]
    """
    operator = JacobianOperator(f, covariance.value, *args)
    outputs = Outputs(operator.value)
    jacobian = operator.to_dense().astype(np.float64)
    directions = _root(f, covariance, args)
    with np.errstate(invalid="ignore"):
        curvatures = _curvatures(f, covariance.value, directions, args, len(outputs.vector))
    if not all(np.all(np.isfinite(numbers)) for numbers in (jacobian, outputs.vector, curvatures)):
        what = "f or a derivative of it is not finite at the estimates"
        why = "The method takes f to be smooth around them"
        origin = origin_in(f, (covariance.value, *args))
        raise not_finite("delta_method", what, why, "Choose an f that is finite there", origin)
    bias = 0.5 * np.trace(curvatures, axis1=1, axis2=2)
    root = jacobian @ directions
    matrix = root @ root.T
    second = 0.5 * np.einsum("iab,jab->ij", curvatures, curvatures)
    curved = _STATIONARY**2 * np.diag(second) > np.diag(matrix)
    matrix = matrix + np.where(np.logical_and.outer(curved, curved), second, 0.0)
    errors = np.sqrt(np.diag(matrix))
    least = 100.0 * float(np.finfo(np.float64).eps) * np.abs(outputs.vector)
    unseen = _changes(f, covariance.value, directions, args, outputs.vector) > np.maximum(
        _UNSEEN * np.hypot(errors, bias), least
    )
    return DerivedQuantity(
        operator.value,
        outputs.structured(np.where(unseen, np.inf, errors)),
        matrix,
        outputs.structured(bias),
        outputs.structured(np.sqrt(np.diag(second))),
        outputs.structured(curved),
        _weights(curvatures),
    )


def _root(f: Callable[..., Any], covariance: Covariance | Laplace, args: tuple[Any, ...]) -> np.ndarray:
    """Return a root of the covariance of the parameters that f depends on, shape (n, k), zero in the rows of others."""
    n = covariance.spread.order
    if not covariance.spread.is_sparse:
        return covariance.root
    pattern = jacobian_pattern(Source(f, (covariance.value, *args), {}, 0, "delta_method")).matrix
    at = np.unique(pattern.indices)
    if len(at) > limits.SPECTRUM_ORDER:
        return covariance.root
    root = np.zeros((n, len(at)))
    if len(at):
        values, vectors = eigh(covariance.spread.columns(at)[at])
        root[at] = vectors * np.sqrt(np.maximum(values, 0.0))
    return root


def _weights(curvatures: np.ndarray) -> np.ndarray:
    """Eigenvalues of half the second derivatives along the root; those that are rounding are 0."""
    weights = 0.5 * np.linalg.eigvalsh(curvatures)
    largest = np.max(np.abs(weights), axis=1, initial=0.0, keepdims=True)
    return np.where(np.abs(weights) > 1e-12 * largest, weights, 0.0)


def _changes(f: Callable[..., Any], x: Any, root: np.ndarray, args: tuple[Any, ...], value: np.ndarray) -> np.ndarray:
    """How much f changes within a standard error of the parameters, along the columns of the root; 0 where it is undefined."""
    center, unravel = ravel(x)
    across, bend = np.zeros((2, len(value)))
    try:
        with np.errstate(all="ignore"):
            for column in root.T.astype(center.dtype):
                above, below = (Outputs(f(unravel(center + step), *args)).vector for step in (column, -column))
                across += (0.5 * (above - below)) ** 2
                bend += 0.5 * (above + below) - value
    except (ArithmeticError, ValueError):
        return np.zeros(len(value))
    return np.nan_to_num(np.sqrt(across + bend**2), nan=0.0, posinf=0.0)


def _curvatures(f: Callable[..., Any], x: Any, root: np.ndarray, args: tuple[Any, ...], m: int) -> np.ndarray:
    """Second derivatives along the columns R of the root, ``R^T H_i R`` for every output i, shape (m, r, r)."""
    center, unravel = ravel(x)
    root = root.astype(center.dtype)
    r = root.shape[1]
    found = np.empty((m, r, r))
    if m > r:
        # All outputs at once, along each pair of columns.
        columns = [unravel(column) for column in root.T]
        for a in range(r):
            for b in range(a + 1):
                second = directional(f, x, columns[a], columns[b], args=args)
                found[:, a, b] = found[:, b, a] = Outputs(second).vector
        return found
    for i in range(m):
        operator = HessianOperator(lambda x, i=i: _entry(f(x, *args), i), x)
        found[i] = root.T.astype(np.float64) @ np.asarray(operator @ root, np.float64)
    return 0.5 * (found + np.swapaxes(found, 1, 2))


def _entry(output: Any, i: int) -> Any:
    """Return one number of what a function returns."""
    for leaf in flatten(output)[0]:
        if i < np.size(leaf):
            return np.reshape(leaf, -1)[i]
        i -= np.size(leaf)
    raise IndexError(i)
