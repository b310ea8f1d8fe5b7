"""Covariances where constraints tie parameters: on the directions along which what is active stays active."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import scipy.linalg
from scipy.optimize import Bounds, LinearConstraint

from hessian.errors import ConvergenceError, OptionError, message
from hessian.operators.hessian_operator import HessianOperator
from hessian.optimize.free_curvature import ActiveSet, active_set
from hessian.optimize.scipy_constraints import flat_constraint
from hessian.statistics.covariance import covariance
from hessian.statistics.covariance_result import Covariance
from hessian.statistics.covariance_task import free_places
from hessian.statistics.information import WeakDirection, describe_combination
from hessian.statistics.spread import DenseSpread
from hessian.tape.names import parameter_names
from hessian.tape.trees import flatten, ravel


def constrained_covariance(
    f: Callable[..., Any],
    x: Any,
    *args: Any,
    constraints: Sequence[Any],
    bounds: Bounds | None,
    fixed: Iterable[Any] = (),
    per_example: Callable[..., Any] | None = None,
    model: Callable[..., Any] | None = None,
    **given: Any,
) -> Covariance:
    r"""Compute the covariance of a minimiser under constraints, :math:`Z V_u Z^T`.

    The columns of Z span the null space of the gradients of what holds x, and V_u is the covariance of u in
    :math:`x = \hat x + Z u` by the Lagrangian :math:`f - \lambda^T c`, whose Hessian is that of f along the surface.

    Parameters
    ----------
    f, x, *args, fixed, per_example, model
        As for :func:`~hessian.statistics.covariance.covariance`.
    constraints : sequence
        As :func:`hessian.optimize.minimize` takes them.
    bounds : scipy.optimize.Bounds or None
        On the raveled parameters.
    **given
        What else that function takes.

    Returns
    -------
    Covariance

    Raises
    ------
    ConvergenceError
        Constraints leave no direction, or as there.
    OptionError
        A constraint brings its own Jacobian, so that its second derivatives are not known.

    Notes
    -----
    Inequalities and bounds hold where their multipliers are not zero. Cost: the Jacobians of the constraints, a singular value
    decomposition of the active rows, and the covariance of as many parameters as there are directions left.

    References
    ----------
    J. Aitchison and S. D. Silvey, Ann. Math. Statist. 29 (1958) 813-828.

    Examples
    --------
    >>> import numpy as np
    >>> from hessian.statistics import constrained_covariance
    >>> counts, p = np.array([30.0, 50.0, 20.0]), np.array([0.3, 0.5, 0.2])
    >>> one = {"type": "eq", "fun": lambda p: np.sum(p) - 1.0}
    >>> found = constrained_covariance(lambda p: -np.sum(counts * np.log(p)), p, constraints=[one], bounds=None)
    >>> np.allclose(found.matrix, (np.diag(p) - np.outer(p, p)) / 100.0)
    True
    """
    center, unravel = ravel(x)
    flat = [flat_constraint(item, 2, center, unravel) for item in constraints]
    gradient = HessianOperator(f, x, *args).gradient
    free = np.zeros(center.size, bool)
    free[free_places(x, fixed)] = True
    active = active_set(flat, _held_too(bounds, center, free), center, gradient)
    free &= ~active.fixed
    basis = _tangent(active, free)
    curved = _curved(constraints, active.weights)

    def point(u: Any) -> Any:
        return unravel(center + basis @ u["free"])

    level = sum(weight @ _values(function, more, x) for function, more, weight in curved)

    def lagrangian(u: Any, *rest: Any) -> Any:
        at = point(u)
        return f(at, *rest) - sum(weight @ _values(function, more, at) for function, more, weight in curved) + level

    found = covariance(
        lagrangian,
        {"free": np.zeros(basis.shape[1], center.dtype)},
        *args,
        per_example=None if per_example is None else lambda u, *rest: per_example(point(u), *rest),
        model=None if model is None else lambda u, *rest: model(point(u), *rest),
        **given,
    )
    names = parameter_names(x)
    spread = DenseSpread(basis @ found.root)
    return replace(
        found,
        value=unravel(center),
        standard_error=unravel(spread.deviations),
        spread=spread,
        names=names,
        weak_directions=tuple(_named(weak, basis, names) for weak in found.weak_directions),
        fixed=tuple(name for name, is_free in zip(names, free, strict=True) if not is_free),
        tied=int(np.count_nonzero(free)) - basis.shape[1],
    )


def _held_too(bounds: Bounds | None, x: np.ndarray, free: np.ndarray) -> Bounds:
    """Bounds that hold what the caller holds, so that no multiplier has to explain its derivative."""
    low, high = (np.full(x.size, -np.inf), np.full(x.size, np.inf)) if bounds is None else (bounds.lb, bounds.ub)
    return Bounds(np.where(free, low, x), np.where(free, high, x))


def _tangent(active: ActiveSet, free: np.ndarray) -> np.ndarray:
    """Orthonormal directions along which nothing that holds changes, shape (n, m)."""
    places = np.flatnonzero(free)
    units = np.zeros((free.size, places.size))
    units[places, np.arange(places.size)] = 1.0
    basis = units @ scipy.linalg.null_space(active.held[:, free], rcond=1e-9) if len(active.held) else units
    if not basis.shape[1]:
        what = "constraints and bounds hold every direction"
        raise ConvergenceError(message("covariance", what, "Nothing is left that could vary", "Leave a constraint out"))
    return np.asarray(basis)


def _curved(
    constraints: Sequence[Any], weights: list[np.ndarray]
) -> list[tuple[Callable[..., Any], tuple[Any, ...], np.ndarray]]:
    """Functions of the constraints that hold and may be curved, their arguments and multipliers."""
    found = []
    for item, weight in zip(constraints, weights, strict=True):
        if isinstance(item, LinearConstraint) or not np.any(weight):
            continue
        is_dict = isinstance(item, Mapping)
        function, jac = (item["fun"], item.get("jac")) if is_dict else (item.fun, item.jac)
        if callable(jac):
            what = "a constraint brings its own Jacobian"
            why = "Its second derivatives are not known, and standard errors depend on them"
            raise OptionError(message("covariance", what, why, "Leave jac out, and minimise again"))
        more = item.get("args", ()) if is_dict else ()
        found.append((function, more if isinstance(more, tuple) else (more,), weight))
    return found


def _values(function: Callable[..., Any], args: tuple[Any, ...], x: Any) -> Any:
    """What a constraint returns, as a vector."""
    leaves = flatten(function(x, *args))[0]
    return np.concatenate([np.reshape(leaf, -1) for leaf in leaves])


def _named(weak: WeakDirection, basis: np.ndarray, names: tuple[str, ...]) -> WeakDirection:
    """A direction in the free coordinates as one in the parameters."""
    vector = basis @ weak.vector
    return replace(weak, vector=vector, text=describe_combination(vector, names))
