"""Nonlinear least squares: SciPy's ``least_squares`` without the derivative arguments, and with second derivatives' verdict."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Mapping
from typing import Any, Literal, Unpack, overload

import numpy as np
from numpy.typing import NDArray

from hessian.arguments import argument_names, unknown
from hessian.errors import OptionError, ShapeMismatchError, message
from hessian.linalg import limits
from hessian.linalg.vectors import norm
from hessian.optimize.fixed import Held, asks_to_hold
from hessian.optimize.gauss_newton_cg import GaussNewtonCG
from hessian.optimize.history import IterationRecord
from hessian.optimize.levenberg_marquardt import LevenbergMarquardt, ScaledMethod
from hessian.optimize.model_loop import ModelLoop
from hessian.optimize.objective import quiet
from hessian.optimize.observer import Progress
from hessian.optimize.optimality import Definiteness
from hessian.optimize.options import Options, parse_options, refuse_arguments
from hessian.optimize.regression import fit_statistics
from hessian.optimize.residuals import ResidualPoint, Residuals
from hessian.optimize.result import OptimizeResult
from hessian.optimize.robust_losses import find_loss
from hessian.optimize.scipy_constraints import binds
from hessian.optimize.scipy_conventions import Callback, some_numbers
from hessian.optimize.settings import LeastSquaresArguments, Numbers, Whole
from hessian.optimize.sparse_least_squares import AdaptiveGaussNewton, SparseLevenbergMarquardt, standard_errors
from hessian.optimize.status import Status
from hessian.signatures import Inexact, Structure, X
from hessian.tape.trees import ravel, scipy_point
from hessian.transforms.first_order import vjp

METHODS: dict[str, type[ScaledMethod]] = {method.name: method for method in (LevenbergMarquardt, GaussNewtonCG)}
DEFAULT_GTOL = {"float32": 1e-3, "float64": 1e-10}
"""Largest cosine between residual and columns of the Jacobian that counts as a right angle, by precision."""

_SUPPLIED = "Derivatives come from the engine"
_ONE_TEST = "There is one test of convergence, on cosines, which does not depend on units"
_UNSUPPORTED = {
    "jac": (_SUPPLIED, "Leave jac out"),
    "diff_step": (_SUPPLIED, "Leave diff_step out"),
    "jac_sparsity": (_SUPPLIED, 'Leave it out; method="gauss-newton-cg" takes products only'),
    "bounds": (
        "The methods here are unconstrained",
        "Substitute variables, e.g. x = np.exp(u) for x > 0, or use scipy.optimize.least_squares with jac=hessian.jacobian(fun)",
    ),
    "ftol": (_ONE_TEST, "Pass tol"),
    "xtol": (_ONE_TEST, "Pass tol"),
    "max_nfev": ("Iterations are limited", 'Pass options={"maxiter": ...}'),
    "verbose": ("The library does not print", 'Pass options={"progress": True} or read res.history'),
    "tr_solver": ("The method decides", 'Pass method="lm" or method="gauss-newton-cg"'),
    "tr_options": ("The method decides", 'Pass method="lm" or method="gauss-newton-cg"'),
    "kwargs": ("Arguments go by position", "Pass args, or a lambda"),
}

_UNUSED = {
    "preconditioner": ("Variables are scaled by the norms of the Jacobian's columns", "Leave it out, or pass x_scale"),
    "initial_regularization": ("Steps are bounded by a radius", "Pass initial_radius"),
}
_NO_CG = "It decomposes the Jacobian", "Leave it out, or pass method='gauss-newton-cg'"


@overload
def least_squares(
    fun: Callable[..., Any], x0: NDArray[Inexact], args: Any = (), **settings: Unpack[LeastSquaresArguments]
) -> OptimizeResult[NDArray[Inexact], Any]: ...
@overload
def least_squares(
    fun: Callable[..., Any], x0: NDArray[Whole] | Numbers, args: Any = (), **settings: Unpack[LeastSquaresArguments]
) -> OptimizeResult[NDArray[np.float64], Any]: ...
@overload
def least_squares(
    fun: Callable[..., Any], x0: X, args: Any = (), **settings: Unpack[LeastSquaresArguments]
) -> OptimizeResult[X, Any]: ...
def least_squares(
    fun: Callable[..., Any],
    x0: Any,
    args: Any = (),
    *,
    method: Literal["lm", "gauss-newton-cg"] | None = None,
    x_scale: Any = "jac",
    loss: Literal["linear", "soft_l1", "huber", "cauchy", "arctan"] = "linear",
    f_scale: float = 1.0,
    tol: float | None = None,
    callback: Callable[..., Any] | Callback | None = None,
    options: Mapping[str, Any] | None = None,
    structure: Structure = "auto",
    fixed: Any = None,
    **unsupported: Any,
) -> OptimizeResult:
    r"""Minimise half a sum of squares, or a robust loss, of any number of residuals.

    .. math:: \tfrac12 \sum_i C^2 \rho\bigl((r_i(x) / C)^2\bigr), \qquad C = \mathtt{f\_scale}

    Parameters
    ----------
    fun : callable
        ``fun(x, *args)`` returns the residuals r, an array of any shape (or a container of arrays), ordinary NumPy.
    x0, args
        As for :func:`hessian.optimize.minimize`.
    method : {"lm", "gauss-newton-cg"}, optional
        ``"lm"``: Levenberg-Marquardt as a trust region, by a singular value decomposition of the Jacobian per accepted
        step; small n. ``"gauss-newton-cg"``: conjugate gradients on products with the Jacobian and its transpose; any
        size. By default ``"lm"`` up to 128 variables.
    structure : {"auto", "dense", "sparse", "operator"}
        How the Jacobian is used: ``"dense"`` is ``"lm"``, ``"operator"`` is ``"gauss-newton-cg"``, ``"sparse"`` is ``"lm"`` with the
        Jacobian as a sparse matrix (:func:`hessian.sparse.jacobian`) and sparse factors of its product with itself, which halves the
        digits of ill-conditioned problems; standard errors are by selected solves. ``"auto"`` goes by the method, but without one
        a run of 256 variables and more looks for a sparse Jacobian after 100 products, and goes on with ``"lm"`` on sparse factors
        if they are cheap; ``res.structure`` and the message say so.
    x_scale : "jac", or numbers like x0
        Sizes of variables in units of which steps are measured. ``"jac"``: the inverse norms of the Jacobian's columns,
        never increasing (Moré 1978), so that units do not matter.
    fixed : dict, or list of keys, optional
        Parameters that are held, as for :func:`hessian.optimize.minimize`; ``x_scale`` is that of all. The Jacobian of the result has
        the columns of the others, and standard errors of what is held are 0.
    loss : {"linear", "soft_l1", "huber", "cauchy", "arctan"}
        rho(t) is t; 2 (sqrt(1 + t) - 1); t up to 1, then 2 sqrt(t) - 1; log(1 + t); arctan(t). SciPy's.
    f_scale : float
        C, the size from which on a residual counts as an outlier; the linear loss does not depend on it.
    tol : float, optional
        Stands for ``options["gtol"]`` where that is not given.
    callback : callable, optional
        As for :func:`hessian.optimize.minimize`; ``intermediate_result`` has ``cost``, and the residuals as ``fun``.
    options : dict, optional
        As for :func:`hessian.optimize.minimize`, except:

        gtol : float
            Stop when the largest cosine of an angle between the residual and a column of the Jacobian is at most this (see
            Notes); default 1e-10, and 1e-3 in float32.
        max_hvp : int
            Most products of ``"gauss-newton-cg"``, those for the scaling included.
        initial_radius, max_radius : float
            Radius in scaled variables. By default the first step is as long as the model makes it, and no longer than x.
        preconditioner, initial_regularization, and max_cg with ``"lm"``
            Have no effect here and are refused.

    Returns
    -------
    OptimizeResult
        As of :func:`~hessian.optimize.minimize` (status, history, counters), with these differences and additions:

        fun : like what ``fun`` returns
            The residuals at x. The history's ``value`` is the cost.
        cost : float
            The sum above at x.
        jac : ndarray, shape (m, n), or JacobianOperator
            Jacobian of the residuals at x between raveled vectors (without the loss's weights); an operator with
            ``"gauss-newton-cg"``.
        grad : like x
            Gradient of the cost; ``gradient_norm`` is its 2-norm.
        optimality : float
            The largest cosine; NaN where ``max_hvp`` left no product for the norms of columns.
        smallest_eigenvalue : float
            Of the *exact* Hessian of the cost (curvature of the residuals included), the variables scaled to columns of
            length 1. With the linear loss it is at most 1 where the residuals are not curved.
        standard_error, residual_std, degrees_of_freedom
            With the linear loss: the square roots of the diagonal of ``s^2 (J^T J)^-1`` with the structure of x (by ``"lm"``
            only), ``s = |r| / sqrt(m - n)``, and m - n. NaN, with a sentence in the message, where the Jacobian is
            rank-deficient or m <= n. ``res.covariance()`` gives the whole matrix.

        ``n_grad`` and ``njev`` count Jacobians with ``"lm"``, reverse sweeps with ``"gauss-newton-cg"``; ``n_hvp`` counts
        products with the Gauss-Newton matrix or the exact Hessian, and pulls for the scaling; ``n_hess`` exact Hessians.

    Raises
    ------
    OptionError
        Unknown method, loss, option or argument, or a value out of range.
    TooDenseError
        ``structure="sparse"`` where the Jacobian, or its product with itself, is not.
    DtypeError
        x0 or the residuals are not numeric.
    ShapeMismatchError
        x0 or the residuals are empty, or ``x_scale`` does not fit x0.
    NonFiniteError
        x0, a residual or the gradient there is not finite. (Later such points are rejected steps.)
    StaleRecordingError, MissingDependencyError
        As for :func:`hessian.optimize.minimize`.

    Notes
    -----
    *Model.* Gauss-Newton: ``g.s + 1/2 |W^(1/2) J s|^2`` with ``g = J^T (rho' r)``. The weights are the second derivatives of
    the loss, ``W = rho' + 2 t rho''``, which makes it the exact generalised Gauss-Newton model, but never less than
    ``rho' / 10``: far residuals have no or negative curvature, and a model of them alone no minimum. (SciPy's floor is
    rounding; iterative reweighting takes ``W = rho'``.) Where the cost falls by less than a fifth per step and the model
    mispredicts that by more than a quarter, the residuals are too large for their curvature to be neglected: the model
    then has the exact Hessian of the cost, so that convergence is quadratic there as well, where Gauss-Newton crawls.

    *Convergence* is a right angle: ``|g_j| <= gtol |J_j| |r|`` for every column, J and r weighted by ``sqrt(rho')`` and no
    residual counting as longer than C (:attr:`hessian.optimize.residuals.ResidualPoint.cosines`). A column also counts as
    converged when the residual along it is lost in rounding, which is how zero residuals end
    (:meth:`~hessian.optimize.residuals.ResidualPoint.is_stationary`; the message says so). What the status then says about a
    minimum comes from the exact Hessian, and a saddle of the cost is left along its negative curvature.

    Cost: ``fun`` is recorded once and replayed; its value per trial; per accepted step min(m, n) sweeps for the Jacobian and
    a singular value decomposition, O(m n^2), or one reverse sweep, one push and one pull per CG iteration, and 8 pulls
    for the scaling (8 more where residuals of ``"huber"`` or ``"soft_l1"`` are beyond C). One dense Hessian (or some
    Lanczos steps on its products) at the end.

    References
    ----------
    J. J. Moré, The Levenberg-Marquardt algorithm: implementation and theory, Lecture Notes in Mathematics 630 (1978)
    105-116. R. Fletcher and C. Xu, Hybrid methods for nonlinear least squares, IMA J. Numer. Anal. 7 (1987) 371-389. B.
    Triggs et al., Bundle adjustment: a modern synthesis (2000), section 4.3, for robust losses.

    Examples
    --------
    >>> import numpy as np
    >>> from hessian.optimize import least_squares
    >>> t = np.array([0.0, 1.0, 2.0, 3.0])
    >>> y = np.array([2.0, 0.7, 0.3, 0.1])
    >>> res = least_squares(lambda b: b[0] * np.exp(-b[1] * t) - y, [1.0, 1.0])
    >>> res.status.name, res.x.round(4), res.standard_error.round(4)
    ('CONVERGED', array([1.995 , 1.0095]), array([0.0313, 0.0356]))
    """
    refuse_arguments("least_squares", unsupported, _UNSUPPORTED, _changes_nothing, argument_names(least_squares))
    asked = parse_options(options, None, np.dtype(np.float64), "least_squares")
    args = args if isinstance(args, tuple) else (args,)
    x0 = scipy_point(x0)
    if asks_to_hold(fixed):
        settings = {"method": method, "loss": loss, "f_scale": f_scale, "tol": tol, "structure": structure}
        return _free_least_squares(Held(x0, fixed, "least_squares"), fun, args, x_scale, callback, options, settings)
    objective = Residuals(fun, x0, args, find_loss(loss, f_scale), asked.rng, asked.max_hvp, record=bool(asked.record))
    default = DEFAULT_GTOL[objective.dtype.name] if tol is None else tol
    parsed = parse_options(options, default, objective.dtype, "least_squares")
    kind = _method(method, objective.size, structure)
    _reject_options(parsed, kind)
    objective.is_dense, objective.is_sparse = kind.is_dense, kind is SparseLevenbergMarquardt
    scale = _fixed_scale(x_scale, objective)
    # What is said of products asks for products.
    is_free = parsed.max_cg is None and parsed.max_hvp == sys.maxsize and objective.size >= limits.SPARSE_ORDER
    is_adaptive = method is None and structure == "auto" and is_free
    solver = AdaptiveGaussNewton(parsed, scale, objective) if is_adaptive else kind(parsed, scale)
    note = "" if method is not None else f"(Method {kind.name} was chosen for {objective.size} variables.)"
    with Progress(parsed.progress, "least_squares") as progress:
        objective.announce(progress.compiling)
        return LeastSquaresLoop(objective, solver, parsed, Callback.of(callback, "least_squares"), progress, note).run()


def _free_least_squares(
    held: Held,
    fun: Callable[..., Any],
    args: tuple[Any, ...],
    x_scale: Any,
    callback: Callable[..., Any] | Callback | None,
    options: Mapping[str, Any] | None,
    settings: dict[str, Any],
) -> OptimizeResult:
    """Fit the parameters that are not held."""
    free: dict[str, Any] = {
        "x_scale": held.like_x(x_scale, "x_scale"),
        "callback": held.callback(callback),
        "options": held.options(options),
    }
    result = least_squares(held.function(fun), held.first, (held.values, *args), **free, **settings)
    held.restored(result, fun, args)
    loss = find_loss(settings["loss"], settings["f_scale"])

    def gradient(x: Any) -> Any:
        residuals, pull = vjp(some_numbers(fun, "least_squares"), x, *args)
        vector, unravel = ravel(residuals)
        slopes = loss.at(vector.astype(np.float64)).slopes
        return pull(unravel((slopes * vector).astype(vector.dtype)))

    held.with_derivatives(result, "grad", gradient)
    return result


_STRUCTURES: dict[str, type[ScaledMethod]] = {
    "dense": LevenbergMarquardt,
    "sparse": SparseLevenbergMarquardt,
    "operator": GaussNewtonCG,
}


class LeastSquaresLoop(ModelLoop):
    """The loop with gtol on cosines, and results in the words of least squares."""

    _objective: Residuals

    def _described(self, record: IterationRecord) -> OptimizeResult:
        """Call residuals ``fun``, their cost ``cost`` and its gradient ``grad``."""
        state, point = super()._described(record), self._kept_point()
        state.update(cost=state.fun, fun=point.fun, grad=state.pop("jac"), optimality=point.optimality)
        return state

    def _is_small(self) -> bool:
        """Whether the gradient is small, decided by cosines, whatever its units."""
        return self._kept_point().is_stationary(self._options.gtol)

    def _convergence(self) -> Status | None:
        """Grade a right angle, or residuals that vanish; no success where they vanish at infinity."""
        status = super()._convergence()
        return Status.CONVERGED_FAR if status is not None and status.success and self._recedes() else status

    def _recedes(self) -> bool:
        """Whether residuals have all but vanished while steps to their zero are no shorter than before.

        At a zero, a Gauss-Newton step is as short as the residuals are small; on the way to an infimum at infinity it is not.
        Squares of residuals this small are at the end of the range of numbers, so that no gradient tells.
        """
        point = self._kept_point()
        eps, tiny = self._objective.eps, float(np.finfo(point.x.dtype).tiny)
        if point.length == 0.0 or point.length > tiny**0.25:
            return False
        with quiet():
            pulled = point.pull(point.residuals / point.length).astype(np.float64)
        step = norm(pulled / point.scale * (point.length / point.scale))
        return step > math.sqrt(eps) * max(norm(point.x), norm(self._objective.first))

    def _settle(self) -> Status | None:
        """Say so where a minimum is in doubt, unless what is left of the gradient is rounding."""
        if self._kept_point().optimality <= self._options.gtol:
            return Status.CONVERGED_FAR
        is_definite = self._curvature.definiteness is Definiteness.POSITIVE
        return Status.CONVERGED if is_definite else Status.CONVERGED_SEMIDEFINITE

    def _numbers(self) -> str:
        """Say how small the cosines are."""
        point = self._kept_point()
        if math.isnan(point.optimality):
            return "(No product was left to measure the angle between residual and columns.)"
        gtol = self._options.gtol
        is_lost = point.optimality > gtol and point.is_stationary(gtol)
        lost = "; those above it are lost in the rounding of the residuals" if is_lost else ""
        if self._recedes():
            lost += "; the residuals vanish, but no step to their zero gets shorter: it may be at infinity"
        return f"(Largest cosine between residual and columns {point.optimality:.3g}, gtol {gtol:g}{lost}.)"

    def _kept_point(self) -> ResidualPoint:
        """The point, as what it is here."""
        assert isinstance(self._point, ResidualPoint)
        return self._point

    def _result(self, status: Status, details: str) -> OptimizeResult:
        """Add what belongs to least squares."""
        result, point = super()._result(status, details), self._kept_point()
        is_dense, is_sparse = self._objective.is_dense, self._objective.is_sparse
        result.structure = "dense" if is_dense else "sparse" if is_sparse else "operator"
        m, n = point.residuals.size, point.x.size
        result.update(
            fun=point.fun,
            cost=point.value,
            optimality=point.optimality,
            grad=self._objective.structured(point.gradient),
            jac=point.jacobian.astype(point.operator.dtype)
            if is_dense
            else point.sparse_jacobian
            if is_sparse
            else point.operator,
        )
        if not self._objective.loss.is_linear:
            return result
        result.degrees_of_freedom = m - n
        result.residual_std = norm(point.residuals) / math.sqrt(m - n) if m > n else math.nan
        if is_sparse:
            result.standard_error = self._objective.structured(standard_errors(point))
        if is_dense:
            statistics = fit_statistics(point.jacobian, point.residuals, self._objective.eps)
            result.standard_error = self._objective.structured(statistics.standard_error)
            result.message = " ".join(part for part in (result.message, statistics.note) if part)
        return result


def _changes_nothing(name: str, item: Any) -> bool:
    """Whether an argument of SciPy's that does not apply here has a value that asks for nothing."""
    if name == "bounds":
        return not binds(item)
    return item is None or (name == "kwargs" and item == {}) or (name == "verbose" and item == 0)


def _reject_options(options: Options, kind: type[ScaledMethod]) -> None:
    """Refuse options of :func:`hessian.optimize.minimize` that would change nothing here."""
    unused = dict(_UNUSED)
    if kind.is_dense:
        unused["max_cg"] = _NO_CG
    for name, (why, fix) in unused.items():
        if getattr(options, name) is not None:
            what = f"option {name!r} has no effect with method {kind.name!r}"
            raise OptionError(message("least_squares", what, why, fix))


def _method(name: str | None, size: int, structure: str) -> type[ScaledMethod]:
    """Choose the method by name, by the structure that is asked for, or by the number of variables."""
    if structure != "auto":
        if structure not in _STRUCTURES:
            raise unknown("least_squares", "structure", structure, ("auto", *_STRUCTURES))
        kind = _STRUCTURES[structure]
        if name is not None and str(name).lower().replace("_", "-") != kind.name:
            what = f"method {name!r} does not take structure {structure!r}"
            raise OptionError(message("least_squares", what, fix=f"Leave one of them out, or use {kind.name!r}"))
        return kind
    if name is None:
        return LevenbergMarquardt if size <= limits.LEAST_SQUARES_ORDER else GaussNewtonCG
    known = str(name).lower().replace("_", "-")
    if known in ("trf", "dogbox"):
        what = f"method {name!r} of SciPy's is for bounds, which the methods here do not take"
        raise OptionError(message("least_squares", what, fix="Leave method out, or pass 'lm' or 'gauss-newton-cg'"))
    if known not in METHODS:
        raise unknown("least_squares", "method", name, METHODS)
    return METHODS[known]


def _fixed_scale(x_scale: Any, objective: Residuals) -> np.ndarray | None:
    """Diagonal of the norm of steps for sizes of variables given; ``None`` for that of the Jacobian."""
    if isinstance(x_scale, str):
        if x_scale != "jac":
            what = f"x_scale is {x_scale!r}"
            raise OptionError(message("least_squares", what, fix="Pass 'jac', or positive numbers like x0"))
        return None
    sizes = np.asarray(ravel(x_scale)[0], dtype=np.float64)
    if sizes.size not in (1, objective.size):
        what = f"x_scale has {sizes.size} numbers for {objective.size} variables"
        raise ShapeMismatchError(
            message("least_squares", what, fix="Pass one number for each variable, or one for all")
        )
    if not np.all(np.isfinite(sizes) & (sizes > 0.0)):
        what = "x_scale has entries that are not positive and finite"
        raise OptionError(message("least_squares", what, "They are sizes of variables", "Pass numbers > 0"))
    return np.broadcast_to(1.0 / sizes, (objective.size,))
