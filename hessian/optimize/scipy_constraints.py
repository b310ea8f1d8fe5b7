"""Bounds and constraints as SciPy's minimisers take them: raveled vectors, exact Jacobians and Hessians."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Mapping, Sequence
from numbers import Real
from typing import Any

import numpy as np
from scipy.optimize import BFGS, Bounds, HessianUpdateStrategy, LinearConstraint, NonlinearConstraint

from hessian.errors import OptionError, ShapeMismatchError, message
from hessian.operators.hessian_operator import HessianOperator
from hessian.operators.jacobian_operator import JacobianOperator
from hessian.programs import RecordedFunction
from hessian.tape.origins import Origin
from hessian.tape.trees import flatten, join_vector, scipy_point
from hessian.transforms.locate import not_finite, origin_in

_CONSTRAINT_KEYS = ("type", "fun", "jac", "args")


def flat_bounds(bounds: Any, x0: Any) -> Bounds | None:
    """Write bounds on a structured x as bounds on the raveled vector.

    ``Bounds`` are broadcast to the shape of x0 or to its raveled length n. If x0 is an array: n pairs ``(low, high)`` in raveled
    order. If it is a container: a pair ``(lower, upper)``, each of the structure of x0 (its leaves are broadcast) or one number for
    all entries. ``None`` in place of a number means no bound.

    Raises
    ------
    ShapeMismatchError
        The bounds do not fit x0.
    OptionError
        A bound is NaN, or a lower bound lies above its upper bound.
    """
    if bounds is None:
        return None
    leaves, structure = flatten(scipy_point(x0) if isinstance(x0, list | tuple) else x0)
    size = sum(np.size(leaf) for leaf in leaves)
    keep: Any = False
    if isinstance(bounds, Bounds):
        shape = np.shape(leaves[0]) if structure.kind is None else (size,)
        lower, upper = (_broadcast(side, shape, size) for side in (bounds.lb, bounds.ub))
        keep = _broadcast(bounds.keep_feasible, shape, size).astype(bool)
    elif structure.kind is None:
        lower, upper = _from_pairs(bounds, size)
    else:
        if not isinstance(bounds, list | tuple) or len(bounds) != 2:
            what = f"bounds is a {type(bounds).__name__}, x0 is {structure.describe()}"
            fix = "Pass (lower, upper), each of the structure of x0, or scipy.optimize.Bounds on the raveled vector"
            raise ShapeMismatchError(message("minimize", what, fix=fix))
        lower, upper = (_side(bounds[k], leaves, structure, f"bounds[{k}]", (-math.inf, math.inf)[k]) for k in (0, 1))
    _check_order(lower, upper)
    return Bounds(lower, upper, keep_feasible=keep)


def binds(bounds: Any) -> bool:
    """Whether bounds bound anything: none, empty ones, and those of infinities and ``None`` alone do not."""
    if bounds is None:
        return False
    sides = (bounds.lb, bounds.ub) if isinstance(bounds, Bounds) else bounds
    return any(_is_number(side) for leaf in flatten(sides)[0] for side in np.ravel(np.array(leaf, dtype=object)))


def _is_number(side: Any) -> bool:
    """Whether one side is more than the absence of a bound; NaN is, and is refused later."""
    return side is not None and not (isinstance(side, Real | np.generic) and math.isinf(float(side)))


def _broadcast(side: Any, shape: tuple[int, ...], size: int) -> np.ndarray:
    """Broadcast one side of ``Bounds`` to the shape of x0, or to its raveled length."""
    array = np.asarray(side, dtype=np.float64)
    for target in (shape, (size,)):
        try:
            return np.broadcast_to(array, target).ravel()
        except ValueError:
            continue
    what = f"a bound has shape {array.shape}, x0 has shape {shape}"
    raise ShapeMismatchError(message("minimize", what, fix="Pass bounds that broadcast to the shape of x0"))


def _from_pairs(bounds: Any, size: int) -> tuple[np.ndarray, np.ndarray]:
    """Read a sequence of (low, high) pairs."""
    pairs = list(bounds)
    if len(pairs) != size or any(np.shape(pair) != (2,) for pair in pairs):
        shapes = sorted({np.shape(pair) for pair in pairs})
        what = (
            f"bounds is a sequence of {len(pairs)} items of shape {', '.join(map(str, shapes))}, x0 has {size} entries"
        )
        fix = "Pass one pair (low, high) for each entry, or scipy.optimize.Bounds(lower, upper)"
        raise ShapeMismatchError(message("minimize", what, fix=fix))
    lower = np.array([-math.inf if low is None else low for low, _ in pairs], dtype=np.float64)
    upper = np.array([math.inf if high is None else high for _, high in pairs], dtype=np.float64)
    return lower, upper


def _side(side: Any, leaves: Sequence[Any], structure: Any, name: str, absent: float) -> np.ndarray:
    """Read the lower or the upper bounds of a container."""
    one_for_all = side is None or isinstance(side, Real)
    parts = [side] * len(leaves) if one_for_all else structure.leaves_of(side, "minimize", name)
    pieces = []
    for part, leaf in zip(parts, leaves, strict=True):
        array = np.asarray(absent if part is None else part, dtype=np.float64)
        try:
            pieces.append(np.broadcast_to(array, np.shape(leaf)))
        except ValueError:
            what = f"{name} has a leaf of shape {array.shape}, its leaf of x0 has shape {np.shape(leaf)}"
            raise ShapeMismatchError(
                message("minimize", what, fix="Pass leaves that broadcast to those of x0")
            ) from None
    return join_vector(pieces)


def _check_order(lower: np.ndarray, upper: np.ndarray) -> None:
    """Refuse bounds that no x satisfies."""
    bad = np.flatnonzero(~(lower <= upper))
    if bad.size:
        k = bad[0]
        what = f"the bounds of entry {k} are {lower[k]} and {upper[k]}"
        raise OptionError(message("minimize", what, "No number lies between them", "Pass lower <= upper in each entry"))


def constraint_list(constraints: Any) -> list[Any]:
    """Return constraints as a list: a single one, a sequence of them, or none."""
    if constraints is None:
        return []
    if isinstance(constraints, NonlinearConstraint | LinearConstraint | Mapping):
        return [constraints]
    if isinstance(constraints, list | tuple):
        return list(constraints)
    raise OptionError(_not_a_constraint(constraints))


def _not_a_constraint(item: Any) -> str:
    """Message for something else than a constraint."""
    fix = (
        "Pass scipy.optimize.NonlinearConstraint, LinearConstraint, or a dict with 'type' and 'fun', or a list of them"
    )
    return message("minimize", f"constraints contains a {type(item).__name__}", fix=fix)


class ConstraintFunction:
    r"""The function of a constraint as SciPy calls it: :math:`c(x)`, :math:`J(x)` and :math:`\nabla^2 (v^T c)(x)`.

    ``fun`` gets the structure of x0 and may return a number, an array or a list of numbers; SciPy gets vectors of
    length m and matrices of shape (m, n). The point asked for last is remembered: value and Jacobian share one forward
    sweep. Without derivatives the plain function is called and nothing is recorded.
    """

    def __init__(
        self, fun: Callable[..., Any], args: tuple[Any, ...], structured: Callable[..., Any], derivatives: bool
    ) -> None:
        @functools.wraps(fun, updated=())
        def flat(x: Any) -> Any:
            return join_vector(flatten(fun(x, *args))[0])

        self._structured = structured
        self._flat = RecordedFunction(flat) if derivatives else flat
        # The multipliers are an input, not a constant: one recording serves all of them.
        self._lagrangian = RecordedFunction(functools.wraps(fun, updated=())(lambda x, v: v @ flat(x)))
        self._derivatives = derivatives
        self._x: np.ndarray | None = None
        self._operator: Any = None
        self._value = np.empty(0)
        self._jacobian: np.ndarray | None = None

    def value(self, x: np.ndarray) -> np.ndarray:
        """c(x), shape (m,)."""
        self._move(x)
        return self._value.copy()

    def jacobian(self, x: np.ndarray) -> np.ndarray:
        """J(x), shape (m, n)."""
        self._move(x)
        if self._jacobian is None:
            self._jacobian = np.asarray(self._operator.to_dense(), dtype=np.float64)
        return self._jacobian.copy()

    def hessian(self, x: np.ndarray, v: np.ndarray) -> HessianOperator:
        """Hessian of v @ c at x, shape (n, n)."""
        return HessianOperator(self._lagrangian, self._structured(x), np.array(v, dtype=np.float64))

    def _move(self, x: np.ndarray) -> None:
        """Evaluate at x unless that is where we are."""
        if self._x is not None and np.array_equal(x, self._x):
            return
        self._jacobian = None
        self._x = None  # an exception below must not leave the old value beside the new point
        if self._derivatives:
            self._operator = JacobianOperator(self._flat, self._structured(x))
            value = self._operator.value
        else:
            value = self._flat(self._structured(x))
        self._value, self._x = np.array(value, dtype=np.float64), np.array(x)


def flat_constraint(
    item: Any, order: int, start: np.ndarray, structured: Callable[..., Any]
) -> NonlinearConstraint | LinearConstraint:
    """Write a constraint on a structured x as one on the raveled vector, derivatives filled in.

    Its functions, ``jac`` and ``hess`` included, receive the structure of x0, which ``structured`` gives a vector; matrices refer to
    the raveled vector. ``order`` is the highest derivative that the method takes.

    Raises
    ------
    OptionError
        Not a constraint, or a dict with missing or unknown keys.
    ShapeMismatchError
        The matrix of a linear constraint has another number of columns than x0 has entries.
    NonFiniteError
        The constraint is not finite at the start.

    Notes
    -----
    A constraint that brings its own ``jac`` is not differentiated: its ``hess`` stays as it is, too. So do a callable
    ``hess`` and SciPy's ``SR1``. The default ``BFGS()`` and the names of finite-difference schemes give way to exact
    derivatives.
    """
    if isinstance(item, LinearConstraint):
        if item.A.shape[1] != start.size:
            what = f"A of a linear constraint has shape {item.A.shape}, x0 has {start.size} entries"
            raise ShapeMismatchError(message("minimize", what, fix="Pass one column per entry of the raveled x0"))
        return item
    if isinstance(item, Mapping):
        args = item.get("args", ())
        args = args if isinstance(args, tuple) else (args,)
        item = _from_dict(item)
    elif isinstance(item, NonlinearConstraint):
        args = ()
    else:
        raise OptionError(_not_a_constraint(item))
    has_jac = callable(item.jac)
    function = ConstraintFunction(item.fun, args, structured, derivatives=order > 0 and not has_jac)
    _check_start(function.value(start), lambda: origin_in(item.fun, (structured(start), *args), order=0))
    given: dict[str, Any] = {"keep_feasible": item.keep_feasible}
    if order > 0:
        given["jac"] = (lambda x: item.jac(structured(x), *args)) if has_jac else function.jacobian
    if order > 1:
        given["hess"] = _hess(item.hess, has_jac, function, structured)
    return NonlinearConstraint(function.value, item.lb, item.ub, **given)


def _hess(own: Any, has_jac: bool, function: ConstraintFunction, structured: Callable[..., Any]) -> Any:
    """Choose between the caller's Hessian of v @ c and the exact one."""
    if callable(own):
        return lambda x, v: own(structured(x), v)
    is_default = isinstance(own, BFGS) or not isinstance(own, HessianUpdateStrategy)
    return own if has_jac or not is_default else function.hessian


def _from_dict(item: Mapping[str, Any]) -> NonlinearConstraint:
    """Read an old-style constraint: fun == 0 or fun >= 0."""
    unknown = [key for key in item if key not in _CONSTRAINT_KEYS]
    if unknown or not callable(item.get("fun")):
        what = f"a constraint has the key {unknown[0]!r}" if unknown else "a constraint has no function 'fun'"
        raise OptionError(message("minimize", what, fix=f"The keys are {', '.join(map(repr, _CONSTRAINT_KEYS))}"))
    kind = str(item.get("type")).lower()
    if kind not in ("eq", "ineq"):
        what = f"a constraint has the type {item.get('type')!r}"
        fix = "Pass 'eq' for fun(x) == 0 or 'ineq' for fun(x) >= 0"
        raise OptionError(message("minimize", what, fix=fix))
    jac = item.get("jac")
    return NonlinearConstraint(item["fun"], 0.0, 0.0 if kind == "eq" else math.inf, jac if callable(jac) else "2-point")


def _check_start(value: np.ndarray, find: Callable[[], Origin | None]) -> None:
    """Refuse a start outside the domain of a constraint."""
    bad = np.flatnonzero(~np.isfinite(value))
    if bad.size:
        what = f"a constraint is {value[bad[0]]} at x0, in entry {bad[0]}"
        why = "The start decides the first model, so it has to lie in the domain"
        raise not_finite("minimize", what, why, "Choose an x0 at which the constraints are finite", find())


def violation(constraints: Sequence[NonlinearConstraint | LinearConstraint], bounds: Bounds | None, x: Any) -> float:
    """Return by how much the worst constraint or bound is missed at x, 0 where all hold."""
    sides = [] if bounds is None else [(x, bounds.lb, bounds.ub)]
    for item in constraints:
        sides.append((item.A @ x if isinstance(item, LinearConstraint) else item.fun(x), item.lb, item.ub))
    gaps = [np.maximum(np.subtract(low, value), np.subtract(value, high)) for value, low, high in sides]
    return max(0.0, *(float(np.max(gap, initial=0.0)) for gap in gaps)) if gaps else 0.0
