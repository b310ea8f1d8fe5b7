"""Residuals as solvers see them: half their sum of squares (or a robust loss) at points that also know the Jacobian."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable
from functools import cached_property
from typing import Any

import numpy as np
from scipy.sparse import csc_array

from hessian.errors import NonFiniteError, ShapeMismatchError, message
from hessian.linalg import limits
from hessian.linalg.factor import Factor, Plan
from hessian.linalg.factoring import analyse, with_diagonal
from hessian.linalg.sums import SymmetricSum
from hessian.linalg.vectors import norm, row_norms
from hessian.operators.hessian_operator import HessianOperator
from hessian.operators.jacobian_operator import JacobianOperator
from hessian.optimize.objective import Point, VectorObjective, quiet, recorded
from hessian.optimize.robust_losses import ScaledLoss, Weights
from hessian.optimize.scipy_conventions import some_numbers
from hessian.tape.trees import flatten, map_leaves, split_vector
from hessian.transforms.locate import not_finite

PROBES = 8
"""Vectors of random signs pulled back for an estimate of the norms of the Jacobian's columns."""
NOISE = 4.0
"""Units of rounding that a residual is resolved to: one of the variables, and a few of the operations on them."""


class ResidualPoint(Point):
    """Residuals recorded at one point; the Jacobian comes when asked for, densely or by products, and is counted.

    Attributes
    ----------
    residuals : ndarray, shape (m,)
        r(x), raveled, in double precision.
    weights : Weights
        The loss there. ``value`` is its cost.
    """

    def __init__(self, objective: Residuals, operator: JacobianOperator, x: np.ndarray) -> None:
        leaves = flatten(operator.value)[0]
        self.residuals = np.concatenate([np.ravel(np.asarray(leaf, np.float64)) for leaf in leaves])
        self.weights: Weights = objective.loss.at(self.residuals)
        super().__init__(x, self.weights.cost, objective.counters)
        self._objective = objective
        self.operator = operator

    @property
    def fun(self) -> Any:
        """The residuals with the structure that ``fun`` gives them, in memory of their own."""
        return map_leaves(np.array, self.operator.value)

    def _derive(self) -> np.ndarray:
        """Return ``J^T (rho' r)``: from the dense Jacobian, or by one reverse sweep."""
        pulls = self.weights.slopes * self.residuals
        gradient = self.jacobian.T @ pulls if self._objective.is_dense else self.pull(pulls)
        return np.asarray(gradient).astype(self.x.dtype, copy=False)

    @cached_property
    def jacobian(self) -> np.ndarray:
        """Dense Jacobian of the residuals, shape (m, n), in double precision; min(m, n) sweeps."""
        with quiet():
            return self.operator.to_dense().astype(np.float64, copy=False)

    @cached_property
    def sparse_jacobian(self) -> csc_array:
        """Jacobian of the residuals as a sparse matrix, shape (m, n), in double precision; a product per color."""
        with quiet():
            return csc_array(self.operator.to_sparse(), dtype=np.float64)

    def sparse_normal(self, weights: np.ndarray, units: np.ndarray) -> csc_array:
        """Product ``J^T W J`` as a sparse matrix, its columns multiplied by ``units``."""
        jacobian = self.sparse_jacobian
        # Units first: squares of large or small columns leave the range of numbers.
        data = jacobian.data * np.repeat(units, np.diff(jacobian.indptr))
        scaled, weighted = (
            csc_array((numbers, jacobian.indices, jacobian.indptr), jacobian.shape)
            for numbers in (data, data * weights[jacobian.indices])
        )
        product = csc_array(scaled.T @ weighted)
        return csc_array(0.5 * (product + product.T))

    def sparse_curvature(self) -> csc_array:
        """Curvature of the residuals in the exact Hessian of the cost, as a sparse matrix in double precision."""
        with quiet():
            self.counters.n_hess += 1
            return csc_array(self._curvature.to_sparse(), dtype=np.float64)

    def forget_estimates(self) -> None:
        """Drop what was estimated from products, where the Jacobian is a sparse matrix from now on."""
        for name in ("column_norms", "scale", "cosines", "_rounding", "_cosine_scale"):
            self.__dict__.pop(name, None)

    @property
    def _has_jacobian(self) -> bool:
        """Whether the dense Jacobian is there, or is computed anyway."""
        return self._objective.is_dense or "jacobian" in self.__dict__

    def push(self, v: np.ndarray) -> np.ndarray:
        """Product ``J v``; one forward sweep."""
        return np.asarray(self.operator @ v.astype(self.operator.dtype, copy=False))

    def pull(self, u: np.ndarray) -> np.ndarray:
        """Product ``J^T u``, or those with the columns of a matrix; one reverse sweep."""
        return np.asarray(self.operator.T @ u.astype(self.operator.dtype, copy=False))

    @cached_property
    def column_norms(self) -> np.ndarray:
        """Norms of the columns of ``sqrt(rho') J``, shape (n,); beyond 64 variables estimated where J is not dense.

        The estimate is the root mean square of ``J^T (sqrt(rho') u)`` over vectors u of random signs, whose expected
        square is that of the norm: exact where a column has one entry that is not zero, else off by a quarter, typically.
        There are fewer of them where fewer products are left, and NaN where none is.
        """
        return self._norms(self.weights.roots)

    def _norms(self, factors: np.ndarray) -> np.ndarray:
        """Norms of the columns of the Jacobian with its rows multiplied by factors, within the budget of products."""
        if self._objective.is_sparse:
            jacobian = self.sparse_jacobian
            scaled = jacobian.data * factors[jacobian.indices]
            columns = np.repeat(np.arange(self.x.size), np.diff(jacobian.indptr))
            return np.sqrt(np.bincount(columns, scaled * scaled, self.x.size))
        sweeps, left = min(self.operator.shape), self._objective.max_hvp - self.counters.n_hvp
        is_there = self._has_jacobian
        if is_there or (self.x.size <= limits.CHECK_ORDER and sweeps <= left):
            self.counters.n_hvp += 0 if is_there else sweeps
            return row_norms((factors[:, None] * self.jacobian).T)
        probes = min(PROBES, left)
        if probes <= 0:
            return np.full(self.x.size, math.nan)
        rng = np.random.default_rng(self._objective.seed)
        signs = rng.choice((-1.0, 1.0), (factors.size, probes))
        with quiet():
            pulled = self.pull(factors[:, None] * signs).astype(np.float64)
        self.counters.n_hvp += probes
        return row_norms(pulled) / math.sqrt(probes)

    @cached_property
    def scale(self) -> np.ndarray:
        """The norms of the columns, ones for columns of zeros: in units of their inverses all variables weigh the same."""
        return _ones_for_zeros(self.column_norms)

    @property
    def optimality(self) -> float:
        """The largest cosine; NaN where no product was left for the norms."""
        return float(np.max(self.cosines))

    @cached_property
    def cosines(self) -> np.ndarray:
        r"""Cosines of the angles between the residual and the columns of the Jacobian, shape (n,).

        .. math:: |g_j| / (\|W J_j\| \|W^{-1} \rho' r\|), \qquad W^{-1} \rho' |r| = \min(\sqrt{\rho'} |r|, C)

        With the linear loss W is 1; with the others it is ``sqrt(rho')``, but never so small that a residual counts as
        longer than ``f_scale``: it pulls with no more than that, and an outlier as long as ``sqrt(rho') |r|`` would make
        every angle look right.

        They do not change with the units of variables or residuals, and are at most 1 (above that only with estimated
        norms); 0 for a residual of zeros.

        References
        ----------
        J. J. Moré, B. S. Garbow and K. E. Hillstrom, User guide for MINPACK-1 (1980), ``gtol`` of LMDER.
        """
        if self.length == 0.0:
            return np.zeros(self.x.size)
        return np.abs(self.gradient.astype(np.float64)) / self._cosine_scale / self.length

    def is_stationary(self, gtol: float) -> bool:
        """Whether every column is at a right angle, to gtol, or the residual along it is below its rounding.

        The latter is how runs to a residual of zero end. Where the solution is zero too, the rounding shrinks along with
        the residuals, and what ends is the range of their squares.
        """
        is_right = self.cosines <= gtol
        if np.all(is_right) or self.value < np.finfo(self.x.dtype).tiny:
            return True
        return bool(np.all(is_right | (np.abs(self.gradient) <= self._rounding)))

    @cached_property
    def _rounding(self) -> np.ndarray:
        """What the rounding of the residuals may do to the gradient, shape (n,).

        The rounding is that of ``J x``: what a change of the variables in their last digit does to each residual, or to all
        of them together where only the norms of columns are known.
        """
        unit = NOISE * self._objective.eps
        together = self.scale * norm(self.scale * self.x)
        if not self._has_jacobian:
            return unit * together
        sizes = np.abs(self.weights.roots[:, None] * self.jacobian)
        return unit * np.minimum(sizes.T @ (sizes @ np.abs(self.x)), together)

    @cached_property
    def length(self) -> float:
        """Norm of ``W^-1 rho' r``."""
        return norm(self.weights.lengths)

    @cached_property
    def _cosine_scale(self) -> np.ndarray:
        """Norms of the columns of ``W J``, ones for columns of zeros; W is that of the cosines."""
        weights = self.weights
        if not np.any(weights.is_far):
            return self.scale
        pulls = weights.slopes * np.abs(self.residuals)
        norms = self._norms(np.divide(pulls, weights.lengths, out=weights.roots, where=weights.is_far))
        # Without products for them, the smaller norms make the test of convergence a stricter one.
        return self.scale if np.any(np.isnan(norms)) else _ones_for_zeros(norms)

    @property
    def units(self) -> Any:
        """Inverses of the units of the variables in which the Hessian is: the norms of columns."""
        return self.scale

    @property
    def reach(self) -> float:
        """Length beside which steps in those units are long: that of x, at least that of the residual."""
        return max(norm(self.scale * self.x), self.length)

    # The exact Hessian of the cost: for the second-order check, and for models where Gauss-Newton is poor.

    @cached_property
    def _curvature(self) -> HessianOperator:
        """Hessian of ``sum_i (rho'_i r_i) r_i(x)`` with the parentheses held constant: the curvature of the residuals."""
        pulls = self.weights.slopes * self.residuals
        return self._objective.curvature(self.x, pulls.astype(self.operator.dtype))

    def product(self, v: np.ndarray) -> np.ndarray:
        """Product with the exact Hessian of the cost in variables scaled by the norms of columns."""
        self.counters.n_hvp += 1
        with quiet():
            w = (v / self.scale).astype(self.x.dtype)
            bent = self.pull(self.weights.bends * self.push(w)) + self._curvature @ w
            return np.asarray(bent / self.scale).astype(self.x.dtype)

    @property
    def is_factored(self) -> bool:
        """Whether curvature is that of sparse factors."""
        return self._objective.is_sparse

    def sparse(self) -> SymmetricSum:
        """Exact Hessian of the cost in variables scaled by the norms of columns, as a sparse matrix with its whole diagonal."""
        return self._scaled_hessian

    @cached_property
    def _scaled_hessian(self) -> SymmetricSum:
        with quiet():
            units = 1.0 / self.scale
            bent = self.sparse_curvature().multiply(units[:, None]).multiply(units)
            return SymmetricSum(with_diagonal(self.sparse_normal(self.weights.bends, units) + bent))

    @cached_property
    def _plan(self) -> Plan:
        return analyse(self.sparse().sparse)

    def factored(self, shift: float = 0.0) -> Factor:
        """Factor that plus a multiple of the identity, to see whether it is definite."""
        self.counters.n_factor += 1
        return self._plan.factor(self.sparse().sparse, shift, definite=True)

    def dense(self) -> np.ndarray:
        """Exact Hessian of the cost in variables scaled by the norms of columns, in double precision."""
        self.counters.n_hess += 1
        with quiet():
            scaled = self.jacobian / self.scale
            bent = self._curvature.to_dense() / self.scale / self.scale[:, None]
            return np.asarray(scaled.T @ (self.weights.bends[:, None] * scaled) + bent)


class Residuals(VectorObjective):
    """``fun(x, *args)`` that returns residuals of any shape, with the structure of x0 taken off.

    Parameters
    ----------
    fun, x0, args
        As for :func:`hessian.optimize.least_squares`.
    loss : ScaledLoss
    seed : int
        Of the estimate of norms.
    max_hvp : int
        Products that may be spent, those for the norms included.
    """

    where = "least_squares"
    #: Residuals may have any shape.
    _adapt = staticmethod(some_numbers)
    is_dense = True
    #: Whether the Jacobian is taken as a sparse matrix.
    is_sparse = False

    def __init__(
        self,
        fun: Callable[..., Any],
        x0: Any,
        args: tuple[Any, ...],
        loss: ScaledLoss,
        seed: int = 0,
        max_hvp: int = sys.maxsize,
        *,
        record: bool = True,
    ) -> None:
        super().__init__(fun, x0, args, record=record)
        self.loss = loss
        self.seed = seed
        self.max_hvp = max_hvp
        self.eps = float(np.finfo(self.dtype).eps)
        plain = self._fun.function

        def weighted(x: Any, pulls: Any, *rest: Any) -> Any:
            leaves = flatten(plain(x, *rest))[0]
            parts = split_vector(pulls, [np.shape(leaf) for leaf in leaves])
            return sum(np.sum(part * leaf) for part, leaf in zip(parts, leaves, strict=True))

        self._weighted = recorded(weighted, record)

    def curvature(self, vector: np.ndarray, pulls: np.ndarray) -> HessianOperator:
        """Hessian of ``pulls . r(x)``."""
        return HessianOperator(self._weighted, self._unravel(vector), pulls, *self._args)

    def _at(self, vector: np.ndarray) -> ResidualPoint:
        operator = JacobianOperator(self._fun, self._unravel(vector), *self._args)
        if vector is self._start:
            _check_residuals(operator)
        point = ResidualPoint(self, operator, vector)
        if vector is self._start:
            _check_start(point)
        return point


def _ones_for_zeros(norms: np.ndarray) -> np.ndarray:
    """Take norms of zero for ones; they divide zeros."""
    return np.where(norms == 0.0, 1.0, norms)


def _check_residuals(operator: JacobianOperator) -> None:
    """Refuse what holds no numbers."""
    leaves = [np.asarray(leaf) for leaf in flatten(operator.value)[0]]
    if not sum(leaf.size for leaf in leaves):
        what = "fun returns no residuals"
        raise ShapeMismatchError(
            message("least_squares", what, "There is nothing to fit", "Return at least one number")
        )


def _check_start(point: ResidualPoint) -> None:
    """Refuse residuals that are not finite, or whose squares overflow or vanish."""
    bad = np.flatnonzero(~np.isfinite(point.residuals))
    if bad.size:
        what = f"{bad.size} of {point.residuals.size} residuals at x0 are not finite, first number {bad[0]}"
        why = "The start decides the first model, so it has to lie in the domain"
        fix = "Choose an x0 at which fun is finite"
        raise not_finite("least_squares", what, why, fix, point.operator.origin_of_nonfinite())
    largest = float(np.max(np.abs(point.residuals)))
    if largest > 0.0 and not np.finfo(point.x.dtype).tiny <= point.value < math.inf:
        what = f"the cost at x0 is {point.value:.3g} while the largest residual is {largest:.3g}"
        fix = "Multiply the residuals by a constant that brings them near 1"
        raise NonFiniteError(message("least_squares", what, "Squares leave the range of floating point", fix))
