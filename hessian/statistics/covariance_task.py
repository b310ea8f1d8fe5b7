"""The way to a covariance: information and scores at a point, checked to be the optimum."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from hessian.arguments import POSITIVE, real_number, whole_number
from hessian.errors import ConvergenceError, NotScalarError, OptionError, ShapeMismatchError, message
from hessian.linalg.factoring import with_diagonal
from hessian.linalg.sums import SymmetricSum
from hessian.linalg.vectors import row_norms
from hessian.operators.hessian_operator import HessianOperator
from hessian.operators.jacobian_operator import JacobianOperator
from hessian.statistics.covariance_result import Covariance
from hessian.statistics.information import Information
from hessian.statistics.optimum import check_reach, check_smooth, check_step
from hessian.statistics.robust import ROBUST, weighted_scores
from hessian.statistics.sparse_information import SparseInformation, check_structure, refuse_dense, sparse_matrix
from hessian.statistics.spread import sandwich
from hessian.statistics.weights import weights_of
from hessian.tape.names import find_part, parameter_names
from hessian.tape.trees import ravel

KINDS = ("observed", "expected", *ROBUST)


class CovarianceTask:
    """What the kinds share: the point, its names, the gradient, and the way from information to errors."""

    degrees_of_freedom = math.inf

    def __init__(
        self,
        f: Callable[..., Any],
        x: Any,
        args: tuple[Any, ...],
        kind: str,
        scale: float,
        fixed: Iterable[Any],
        n_obs: Any,
        groups: Any,
        structure: str = "auto",
    ) -> None:
        check_kind(kind)
        check_structure(structure, "covariance")
        if kind in ("HC2", "HC3"):
            if structure == "sparse":
                what, why = f"kind={kind!r} is asked for with structure='sparse'", "Leverages are computed densely"
                raise OptionError(message("covariance", what, why, "Use kind='HC1'"))
            structure = "dense"
        self._structure = structure
        if (kind == "cluster") != (groups is not None):
            what = "kind='cluster' needs groups" if groups is None else f"groups are given with kind={kind!r}"
            fix = "Pass groups=, the cluster of every example, and kind='cluster'"
            raise OptionError(message("covariance", what, fix=fix))
        if kind == "HC1" and n_obs is None:
            what, why = "kind='HC1' needs the number of observations", "A term may stand for several of them"
            raise OptionError(message("covariance", what, why, "Pass n_obs="))
        self.kind, self.x, self.args, self.scale, self.groups = kind, x, args, scale, groups
        self.n_obs = None if n_obs is None else whole_number("covariance", "n_obs", n_obs)
        self.names = parameter_names(x)
        self._f, self._operator = f, HessianOperator(f, x, *args)
        self._free = free_places(x, fixed)
        if self.names and not self._free.size:
            what = "all parameters are held"
            raise ConvergenceError(message("covariance", what, "None of them has a standard error", "Leave one free"))
        self._free_names = [self.names[i] for i in self._free]

    def hessian(self) -> Information:
        """The Hessian of the negative log-likelihood."""
        sparse = sparse_matrix(self._operator, self._structure, "covariance")
        if sparse is not None:
            part, dtype = sparse.within(self._free).times(self.scale), self._operator.dtype
            return SparseInformation.of_sparse(part, dtype, self._free_names, where="covariance", source=self._operator)
        matrix = self._operator.to_dense()
        scaled = matrix.dtype.type(self.scale) * matrix[np.ix_(self._free, self._free)]
        return Information.of_matrix(scaled, self._free_names, where="covariance", source=self._operator)

    def normal(self, jacobian: Any, source: Any) -> Information:
        """The product of a sparse Jacobian with itself."""
        part = jacobian[:, self._free]
        matrix = SymmetricSum(with_diagonal(self.scale * (part.T @ part)))
        refuse_dense(matrix.sparse.nnz, len(self._free), "covariance")
        what, dtype = "product of the Jacobian with itself", part.dtype
        return SparseInformation.of_sparse(
            matrix, dtype, self._free_names, where="covariance", what=what, source=source
        )

    def information_of(self, root: np.ndarray, what: str, source: Any = None) -> Information:
        """The information by its root."""
        return Information.of_root(root[:, self._free], self._free_names, where="covariance", what=what, source=source)

    def leverages(self, rows: np.ndarray, what: str) -> np.ndarray:
        """Diagonal of the projection on the columns of a root of the information."""
        return row_norms(rows[:, self._free].astype(np.float64) @ self.information_of(rows, what).inverse_root) ** 2

    def scores(self, per_example: Callable[..., Any], sparse: bool) -> Any:
        """Gradients of the examples' terms, shape (n, p)."""
        operator = JacobianOperator(per_example, self.x, *self.args)
        terms = operator.value
        if np.ndim(terms) != 1 or not isinstance(terms, np.ndarray):
            what = f"per_example returns an array of shape {np.shape(terms)}"
            if np.ndim(terms) == 0:
                raise NotScalarError(message("covariance", what, fix="Return one term per example, shape (n,)"))
            raise ShapeMismatchError(message("covariance", what, fix="Return one term per example, shape (n,)"))
        self._check_unit(terms)
        scores = operator.to_sparse() if sparse else operator.to_dense()
        self._check_multiple(per_example, scores)
        self._check_weights(operator)
        return scores

    def _check_unit(self, terms: np.ndarray) -> None:
        """Refuse terms whose sum is c f but for a factor that mistakes are made of."""
        count, total, value = len(terms), float(np.sum(terms)), float(self._operator.value)
        allowed = 1e-9 + float(np.finfo(terms.dtype).eps) * count

        def is_near(a: float, b: float) -> bool:
            return a != 0.0 and abs(a - b) <= allowed * max(abs(a), abs(b))

        if is_near(self.scale * value, total):
            return
        why = "H and scores need one unit"
        if count > 1 and is_near(self.scale * value * count, total):
            what = f"scale * f is the mean of the {count} terms of per_example, not their sum"
            raise OptionError(message("covariance", what, why, f"Pass scale={self.scale * count:g}"))
        if is_near(value, total) or (count > 1 and is_near(self.scale * value, total * count)):
            what = f"the terms of per_example add up to {total:.6g}, scale * f is {self.scale * value:.6g}"
            raise OptionError(message("covariance", what, why, "Return the terms of scale * f, not those of f"))

    def _check_multiple(self, per_example: Callable[..., Any], scores: Any) -> None:
        """Refuse terms whose sum is a multiple of c f but for a constant: it has its gradient, which is zero, and as often its curvature.

        Penalties in f, which the terms leave out, change the gradient at least.
        """
        free, eps = self._free, float(np.finfo(self._operator.dtype).eps)
        rng, allowed = np.random.default_rng(0), eps**0.375
        summed = HessianOperator(lambda x, *args: np.sum(per_example(x, *args)), self.x, *self.args)
        ratios = []
        for _ in range(2):
            v = np.zeros(self._operator.shape[0], self._operator.dtype)
            v[free] = rng.standard_normal(free.size) / np.maximum(np.abs(ravel(self.x)[0][free]), 1.0)
            whole, part = (float(v @ np.asarray(H @ v, np.float64)) for H in (self._operator, summed))
            ratios.append(part / (self.scale * whole) if whole > 0.0 else math.nan)
        many = 0.5 * sum(ratios)
        if not (abs(ratios[0] - ratios[1]) <= allowed * abs(many) and abs(many - 1.0) > allowed):
            return
        gap = np.asarray(scores.sum(axis=0), np.float64).ravel() - many * self.scale * self._operator.gradient
        sizes = np.asarray(abs(scores).sum(axis=0), np.float64).ravel()
        if np.all(np.abs(gap[free]) <= allowed * sizes[free]):
            what = f"the terms of per_example add up to {many:.6g} times scale * f, but for a constant"
            raise OptionError(
                message("covariance", what, "H and scores need one unit", "Return the terms of scale * f")
            )

    def _check_weights(self, terms: JacobianOperator) -> None:
        """Refuse terms that f weighs: their gradients are not those of its own."""
        rng, allowed = np.random.default_rng(1), float(np.finfo(self._operator.dtype).eps) ** 0.375
        directions = np.zeros((2, self._operator.shape[0]), self._operator.dtype)
        directions[:, self._free] = rng.standard_normal((2, self._free.size))
        slopes = [np.asarray(terms @ u, np.float64) for u in directions]
        if self._free.size == 1 and abs(np.sum(slopes[0])) <= allowed * np.sum(np.abs(slopes[0])):
            return  # Any two lists of numbers are multiples of each other, row by row.
        weights = weights_of(self._f, self.x, self.args, list(directions), slopes, allowed)
        if weights is None:
            return
        least, most = (self.scale * end for end in (np.nanmin(weights), np.nanmax(weights)))
        what = f"scale * f weighs the terms of per_example by {least:.4g} to {most:.4g}"
        why = "Scores are the gradients of what is added up"
        fix = "Return the weighted terms; where weights count repeated rows, repeat the rows (np.repeat)"
        raise OptionError(message("covariance", what, why, fix))

    def finish(self, information: Information, scores: Any = None, leverages: np.ndarray | None = None) -> Covariance:
        """Check that x is the optimum, and put the result together."""
        check_smooth(self._operator, self._free)
        gradient = self.scale * self._operator.gradient.astype(np.float64)[self._free]
        why, fix = (
            "Curvature elsewhere is not that of the optimum",
            "Minimise with a smaller gtol, or start again from x",
        )
        information.check_optimum(gradient, "covariance", "errors", "minimum", why, fix)
        center, unravel = ravel(self.x)
        spread = information.spread(self._free, len(center))
        at = lambda x: self._operator if x is center else HessianOperator(self._f, unravel(x), *self.args)
        check_step(at, center, information, spread, self.scale, gradient, self._free)
        check_reach(at, center, spread, self.scale, self._free, self.names)
        n_groups = 0
        if scores is not None:
            free = self._free.size
            rows = weighted_scores(self.kind, scores, free, n_obs=self.n_obs, groups=self.groups, leverages=leverages)
            n_groups = rows.shape[0] if self.kind == "cluster" else 0
            spread = sandwich(spread, rows)
        return Covariance(
            kind=self.kind,
            value=unravel(center),
            standard_error=unravel(spread.deviations),
            spread=spread,
            names=self.names,
            weak_directions=information.weak_directions,
            scale=self.scale,
            degrees_of_freedom=self.degrees_of_freedom,
            n_groups=n_groups,
            fixed=tuple(np.delete(np.array(self.names, dtype=object), self._free)),
        )


def free_places(x: Any, fixed: Iterable[Any]) -> np.ndarray:
    """Positions of the parameters that were not held."""
    mask = np.ones(ravel(x)[0].size, bool)
    for key in fixed:
        for places in find_part(x, key, "covariance").places:
            mask[places] = False
    return np.flatnonzero(mask)


def check_kind(kind: Any) -> None:
    """Refuse kinds that do not exist."""
    if kind not in KINDS:
        fix = f"Pass one of {', '.join(map(repr, KINDS))}"
        raise OptionError(message("covariance", f"kind is {kind!r}", fix=fix))


def checked_scale(scale: Any) -> float:
    why = "It makes f a negative log-likelihood"
    fix = "It is 1 for a sum, n for a mean of n terms, 1/variance for half a sum of squares"
    return real_number("covariance", "scale", scale, POSITIVE, why, fix)
