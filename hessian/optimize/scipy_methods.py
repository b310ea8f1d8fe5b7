"""SciPy's own minimisers by name, with exact derivatives filled in."""

from __future__ import annotations

import copy
import math
import re
import warnings
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import scipy.optimize
from scipy.sparse.linalg import LinearOperator

from hessian.arguments import unknown
from hessian.errors import HessianError, OptionError, message
from hessian.linalg import limits
from hessian.optimize.objective import Point, VectorObjective
from hessian.optimize.result import OptimizeResult
from hessian.optimize.scipy_constraints import binds, constraint_list, flat_bounds, flat_constraint, violation
from hessian.optimize.scipy_conventions import Callback
from hessian.optimize.scipy_objective import FlatPoint, Space, flat_objective
from hessian.optimize.scipy_verdict import (
    look_at_curvature,
    missed_tolerance,
    projected_gradient,
    verdict,
    with_tolerances,
)
from hessian.optimize.status import Status
from hessian.tape.trees import scipy_point


@dataclass(frozen=True, slots=True)
class _Method:
    """What a method of SciPy's takes: derivatives up to an order, bounds, constraints."""

    order: int
    bounds: bool = False
    constraints: bool = False


_METHODS = {
    "L-BFGS-B":     _Method(1, bounds=True),
    "trust-constr": _Method(2, bounds=True, constraints=True),
    "SLSQP":        _Method(1, bounds=True, constraints=True),
    "BFGS":         _Method(1),
    "CG":           _Method(1),
    "TNC":          _Method(1, bounds=True),
    "COBYLA":       _Method(0, bounds=True, constraints=True),
    "COBYQA":       _Method(0, bounds=True, constraints=True),
    "Nelder-Mead":  _Method(0, bounds=True),
    "Powell":       _Method(0, bounds=True),
    "dogleg":       _Method(2),
}  # fmt: skip
SCIPY_METHODS = tuple(_METHODS)

_UNKNOWN = "Unknown solver options"
_RESERVED = ("fun", "x0", "args", "method", "jac", "hess", "hessp", "bounds", "constraints", "callback")
_REPLACED = frozenset({"x", "fun", "jac", "success", "status", "message", "niter", "method"})
_IN_X_SPACE = frozenset({"grad", "lagrangian_grad"})


def choose_scipy_method(n: int, has_bounds: bool, has_constraints: bool) -> str:
    """Return SciPy's method for a problem of n variables: by constraints and size, else by bounds."""
    if has_constraints:
        return "SLSQP" if n <= limits.SLSQP_ORDER else "trust-constr"
    return "L-BFGS-B" if has_bounds else "BFGS"


def minimize_by_scipy(
    fun: Callable[..., Any],
    x0: Any,
    args: tuple[Any, ...] = (),
    method: str | None = None,
    *,
    bounds: Any = None,
    constraints: Any = (),
    tol: float | None = None,
    callback: Callable[..., Any] | Callback | None = None,
    options: Mapping[str, Any] | None = None,
) -> OptimizeResult:
    r"""Minimise with a method of :func:`scipy.optimize.minimize`, whatever derivatives it takes supplied.

    Parameters
    ----------
    fun, x0, args
        As for :func:`hessian.optimize.minimize`. Methods without derivatives call fun as it is, so that it may be anything; the
        others record it. x0 is moved into the bounds first. These methods compute in double precision: a float32 x0 is
        converted, ``fun`` sees float64, and x and jac of the result are rounded to float32 at the very end.
    method : str, optional
        One of ``SCIPY_METHODS``, in any capitalisation; by default :func:`choose_scipy_method`.
    bounds : scipy.optimize.Bounds, sequence of (low, high) pairs, or (lower, upper)
        Bounds broadcast to the shape of x0; one pair per entry of an array; or, for a container, two containers of its
        structure. ``None`` in place of a number: no bound.
    constraints : NonlinearConstraint, LinearConstraint, dict, or list of them
        SciPy's. Functions are written in NumPy, take the structure of x0 and return a number, an array or a list;
        :math:`J` and the Hessian of :math:`v^T c` are exact unless the constraint brings its own ``jac``. Matrices
        refer to the raveled vector.
    tol : float, optional
        Largest entry of the (projected) gradient for the methods that have a test on it: ``gtol`` of L-BFGS-B, BFGS, CG, TNC,
        dogleg and trust-constr, where a success at a larger one becomes ``EXTERNAL_FAILURE``. SciPy would hand it to L-BFGS-B's
        test on the objective as well, which ends runs far from there. For the others, what SciPy makes of it.
    callback : callable, optional
        Called with ``intermediate_result`` if its only parameter has that name, with ``(x, state)`` if it takes two
        arguments, else with x. Returning True or raising StopIteration ends the run with ``Status.CALLBACK``.
    options : mapping, optional
        Passed to the method, but for ``check_curvature``: whether to look at the curvature of a solution; default True.

    Returns
    -------
    OptimizeResult
        ``x`` and ``jac`` (the gradient of the objective; absent for methods without derivatives) like x0, ``message``
        SciPy's own and what was found on top, ``status`` ``EXTERNAL_SUCCESS``, ``EXTERNAL_FAILURE`` or
        ``EXTERNAL_SADDLE`` (success with negative curvature along ``res.escape``, a direction that bounds and
        constraints leave free; ``smallest_eigenvalue`` is that on the free directions) with SciPy's integer in
        ``scipy_status``, the counters ``n_*`` of what was evaluated, ``nfev`` and the like as SciPy counts, and
        everything else the method returned (``hess_inv``, ``v``, ``multipliers``, ...) in terms of the raveled
        vector. trust-constr's Jacobians of constraints are in ``constr_jac``, its variant in ``scipy_method``. With
        constraints, ``constr_violation`` is the largest one.

    Raises
    ------
    OptionError
        Unknown method or option, bounds or constraints given to a method that would ignore them, or ill-formed ones.
    NonFiniteError
        x0, or the objective, its gradient or a constraint there, is not finite. Later values are SciPy's to judge.
    DtypeError, NotScalarError, ShapeMismatchError
        As for :func:`hessian.optimize.minimize`; bounds or constraints that do not fit x0.

    Notes
    -----
    Cost: a forward and a reverse sweep per point for methods of first order, remembered for the last point, the last
    iterate and the best point; for dogleg and trust-constr the reverse sweep only where the gradient is asked for, and
    the Hessian as a matrix (dogleg) or as products (trust-constr). Products cost trust-constr about as much as a matrix
    up to 50 variables, and a half to a fifth at 400, as measured on a Rosenbrock chain and a logistic regression with one
    equality and one inequality constraint: it asks for a handful at each point, however many variables there are.

    trust-constr's test on gtol does not look at its barrier parameter. With exact Hessians it is met early, and fun is
    then off by about ``res.barrier_parameter`` times the number of active inequalities and bounds: 8e-4 for x + y on a
    disc, where ``options={"initial_barrier_parameter": 1e-8, "initial_barrier_tolerance": 1e-8}`` gives 1e-8.

    KeyboardInterrupt ends the run with ``Status.INTERRUPTED`` at the lowest point seen; with bounds or constraints,
    where that point may be infeasible, at the last iterate.

    Examples
    --------
    >>> import numpy as np
    >>> from hessian.optimize.scipy_methods import minimize_by_scipy
    >>> disc = {"type": "ineq", "fun": lambda x: 2.0 - x @ x}
    >>> res = minimize_by_scipy(lambda x: x[0] + x[1], np.zeros(2), (), "slsqp", constraints=disc)
    >>> res.x.round(6), res.message.partition(". (")[0]
    (array([-1., -1.]), 'Optimization terminated successfully')
    """
    items = constraint_list(constraints)
    x0 = scipy_point(x0)
    bounds = bounds if binds(bounds) else None
    space = Space(x0)
    if method is None:
        method = choose_scipy_method(space.size, bounds is not None, bool(items))
    name = _canonical(method)
    _check_accepts(name, bounds is not None, bool(items))
    _check_options(name, options)
    box = flat_bounds(bounds, space.tree)
    objective = flat_objective(fun, space.clipped(box), args, _METHODS[name].order)
    heard = Callback.of(callback, "minimize", prefers_state=name == "trust-constr")
    run = _Run(objective, space, name, heard, box, items)
    own = dict(options or {})
    run.looks = bool(own.pop("check_curvature", True))
    return run.solve(tol, own)


def _canonical(method: str) -> str:
    known = {name.lower(): name for name in SCIPY_METHODS}
    key = str(method).lower().replace("_", "-")
    if key in known:
        return known[key]
    raise unknown("minimize", "method of SciPy's here that is called", method, SCIPY_METHODS)


def _check_accepts(name: str, has_bounds: bool, has_constraints: bool) -> None:
    """Refuse bounds and constraints where SciPy would ignore them with a warning."""
    for kind, given in (("bounds", has_bounds), ("constraints", has_constraints)):
        if given and not getattr(_METHODS[name], kind):
            takers = ", ".join(other for other in SCIPY_METHODS if getattr(_METHODS[other], kind))
            what = f"method {name!r} takes no {kind}"
            raise OptionError(message("minimize", what, "It would ignore them", f"Methods that take them: {takers}"))


def _check_options(name: str, options: Mapping[str, Any] | None) -> None:
    """Refuse options that are not a mapping, or are arguments in the wrong place."""
    if options is not None and not isinstance(options, Mapping):
        fix = 'Pass e.g. options={"maxiter": 100}'
        raise OptionError(message("minimize", f"options is {options!r}, not a dict", fix=fix))
    for key in options or ():
        if key in _RESERVED:
            fix = "Pass bounds and constraints beside options; derivatives come from the engine"
            raise OptionError(message("minimize", f"{key!r} is an argument, not an option of {name!r}", fix=fix))


class _Stop(Exception):
    """The callback asked to stop. Not every method of SciPy's understands StopIteration; all let this pass."""


class _Run:
    """One run of a method of SciPy's: what it calls, what was seen on the way, and the result made of it."""

    def __init__(
        self,
        objective: VectorObjective,
        space: Space,
        name: str,
        callback: Callback,
        bounds: scipy.optimize.Bounds | None,
        constraints: list[Any],
    ) -> None:
        self._objective, self._space, self._name, self._items = objective, space, name, constraints
        self.looks = True
        self._method, self._callback, self._bounds = _METHODS[name], callback, bounds
        self._last: Any = objective.start()
        self._best = self._iterate = self._last
        self._constraints = [
            flat_constraint(item, self._method.order, self._last.x, objective.structured) for item in constraints
        ]
        # A low value at an infeasible point is worth nothing.
        self._keeps_lowest = bounds is None and not constraints
        self._state: dict[str, Any] = {}
        self._iterations = 0
        # The last trial at which the objective was not finite.
        self._left: np.ndarray | None = None

    def solve(self, tol: float | None, options: dict[str, Any]) -> OptimizeResult:
        """Run the method and say how it ended."""
        try:
            raw = self._minimize(tol, options)
        except _Stop:
            return self._with_violation(self._result(self._iterate, self._state, Status.CALLBACK), self._iterate.x)
        except KeyboardInterrupt:
            # Nothing is evaluated any more: whoever interrupts may be waiting for fun itself.
            return self._result(self._best, self._state, Status.INTERRUPTED)
        point = self._known(raw.x, raw.fun)
        succeeded = raw.success and math.isfinite(point.value)
        result = self._result(point, raw, Status.EXTERNAL_SUCCESS if succeeded else Status.EXTERNAL_FAILURE)
        result.update(message=str(raw.message), scipy_status=raw.get("status"))
        if not succeeded and self._left is not None:
            origin = self._objective.origin_of_nonfinite(self._left)
            told = "" if origin is None else f" Where a trial was not finite: {origin}"
            result.update(message=result.message.rstrip(". ") + "." + told)
        if succeeded:
            self._judge(result, point, raw, tol)
        return self._with_violation(result, point.x)

    def _judge(self, result: OptimizeResult, point: Any, raw: Mapping[str, Any], tol: float | None) -> None:
        """Add what is known of a success: whether the gradient is as small as tol asks for, and the curvature."""
        notes, status = [result.message.rstrip(". ") + "."], Status.EXTERNAL_SUCCESS
        if self._method.order == 0 or not self.looks:
            notes.append("(The curvature was not looked at.)")
        else:
            status, note = self._look(result, point)
            notes.append(note)
        if self._method.order > 0:
            missed = missed_tolerance(self._name, tol, raw, projected_gradient(point.gradient, point.x, self._bounds))
            status = Status.EXTERNAL_FAILURE if missed and status.success else status
            notes.append(missed)
        result.update(status=status, success=status.success, message=" ".join(note for note in notes if note))

    def _with_violation(self, result: OptimizeResult, x: np.ndarray) -> OptimizeResult:
        """Add by how much constraints are missed, where the method did not say."""
        if self._constraints and "constr_violation" not in result:
            result["constr_violation"] = violation(self._constraints, self._bounds, x)
        return result

    def _look(self, result: OptimizeResult, point: Any) -> tuple[Status, str]:
        """Look at the curvature of a solution, for a status and a sentence."""
        try:
            constraints = [flat_constraint(item, 2, point.x, self._objective.structured) for item in self._items]
            curvature, residual = look_at_curvature(self._objective, point.x, point.gradient, constraints, self._bounds)
        except (HessianError, KeyboardInterrupt) as error:
            # Second derivatives may not exist where first ones do; the solution is SciPy's all the same.
            return Status.EXTERNAL_SUCCESS, f"(The curvature is not known. {error})"
        if curvature is not None:
            result["smallest_eigenvalue"] = curvature.smallest
            if curvature.direction is not None:
                result["escape"] = self._space.restored(curvature.direction)
        result.update(asdict(self._objective.counters))
        return verdict(curvature, residual, point.x.size)

    def _minimize(self, tol: float | None, options: dict[str, Any]) -> Any:
        tol, options = with_tolerances(self._name, tol, options)
        report = (lambda xk: self._report(xk)) if self._name == "TNC" else self._report
        # SciPy's own arithmetic on values that are not finite; what the user set to raise, call or log stays.
        quiet: Any = {kind: "ignore" for kind, action in np.geterr().items() if action == "warn"}
        with warnings.catch_warnings(), np.errstate(**quiet):
            warnings.filterwarnings("error", _UNKNOWN, scipy.optimize.OptimizeWarning)
            # Advice to save evaluations, which are shared here.
            mixed = "Equality and inequality constraints are specified in the same element"
            warnings.filterwarnings("ignore", mixed, scipy.optimize.OptimizeWarning)
            try:
                return scipy.optimize.minimize(
                    self._value,
                    np.array(self._last.x),
                    method=self._name,
                    jac=self._gradient if self._method.order > 0 else None,
                    hess=self._hessian if self._method.order > 1 else None,
                    bounds=self._bounds,
                    constraints=self._constraints,
                    tol=tol,
                    callback=report,
                    options=options,
                )
            except scipy.optimize.OptimizeWarning as warning:
                if not str(warning).startswith(_UNKNOWN):
                    raise  # the caller turns warnings into errors
                raise _unknown_option(self._name, str(warning)) from None
            except TypeError as error:  # trust-constr's way of saying so
                if re.match(r"_minimize_\w+\(\) got an unexpected keyword argument", str(error)):
                    raise _unknown_option(self._name, str(error)) from None
                raise

    # What SciPy calls.

    def _value(self, x: np.ndarray) -> float:
        return self._at(x).value

    def _gradient(self, x: np.ndarray) -> np.ndarray:
        """Gradient, in an array that SciPy may overwrite."""
        return np.array(self._at(x).gradient)

    def _hessian(self, x: np.ndarray) -> Any:
        """Hessian: a matrix for dogleg, which factorises it, else products."""
        point: Point = self._at(x)
        if self._name == "dogleg":
            return point.dense()
        return LinearOperator((x.size, x.size), matvec=point.product, rmatvec=point.product, dtype=x.dtype)

    def _report(self, intermediate_result: Any) -> None:
        """Keep the state of an iteration and pass it on; raise if the callback asks to stop."""
        is_state = isinstance(intermediate_result, Mapping)
        state = intermediate_result if is_state else {"x": intermediate_result}
        self._iterations += 1
        # trust-constr goes on writing into the same state.
        self._state = {"nit": self._iterations, **{key: copy.copy(item) for key, item in state.items()}}
        self._iterate = self._known(state["x"], state.get("fun"))
        if not self._keeps_lowest:
            self._best = self._iterate
        iterate = self._iterate
        if self._callback.asks_to_stop(
            lambda: self._space.restored(iterate.x), lambda: self._fields(iterate, self._state)
        ):
            raise _Stop

    def _at(self, x: np.ndarray) -> Any:
        """Return the point at x, evaluated once."""
        for point in (self._last, self._best, self._iterate):
            if np.array_equal(point.x, x):
                return point
        self._last = self._objective.trial(np.array(x, dtype=np.float64))  # SciPy changes x in place
        if not math.isfinite(self._last.value) and np.isfinite(self._last.x).all():
            self._left = self._last.x
        if self._keeps_lowest and self._last.value < self._best.value:
            self._best = self._last
        return self._last

    def _known(self, x: np.ndarray, value: float | None) -> Any:
        """Return the point at x where SciPy tells the value, which is all there is to a point without derivatives."""
        if self._method.order == 0 and value is not None:
            return FlatPoint(np.array(x, dtype=np.float64), float(value), np.empty(0))
        return self._at(x)

    # What the user gets.

    def _fields(self, point: Any, raw: Mapping[str, Any]) -> OptimizeResult:
        """Describe a point in the caller's terms, with whatever else SciPy says."""
        result = OptimizeResult(x=self._space.restored(point.x), fun=point.value, gradient_norm=point.gradient_norm)
        if self._method.order > 0:
            result["jac"] = self._space.restored(point.gradient)
        if self._name == "trust-constr" and "jac" in raw:
            result["constr_jac"], result["scipy_method"] = raw["jac"], raw.get("method")
        for key, item in raw.items():
            if key == "allvecs":
                result[key] = [self._space.restored(np.asarray(x)) for x in item]
            elif key not in _REPLACED:
                result[key] = self._space.restored(item) if key in _IN_X_SPACE else item
        result.setdefault("nit", self._iterations)
        result.update(asdict(self._objective.counters))
        return result

    def _result(self, point: Any, raw: Mapping[str, Any], status: Status) -> OptimizeResult:
        result = self._fields(point, raw)
        result.update(success=status.success, status=status, message=status.advice)
        result.update(method=self._name, scipy_status=None)
        return result


def _unknown_option(name: str, complaint: str) -> OptionError:
    """Build the error for an option that the method does not have."""
    unknown = complaint.partition(f"{_UNKNOWN}: ")[2] or complaint.split()[-1]
    documented = ", ".join(_documented_options(name))
    fix = f"Its documentation lists {documented}" if documented else "See scipy.optimize.show_options"
    return OptionError(message("minimize", f"method {name!r} has no option {unknown}", fix=fix))


def _documented_options(name: str) -> list[str]:
    """Read the names of a method's options off SciPy's documentation, the only public list of them."""
    text = scipy.optimize.show_options("minimize", name.lower(), disp=False) or ""
    text = re.split(r"^ *Options\n *-+\n", text, maxsplit=1, flags=re.MULTILINE)[-1]
    text = re.split(r"^ *(?:Returns|Notes|References)\n *-+\n", text, maxsplit=1, flags=re.MULTILINE)[0]
    rows = re.findall(r"^ {0,8}(\w+(?:, \w+)*) ?: ", text, flags=re.MULTILINE)
    return list(dict.fromkeys(option for row in rows for option in row.split(", ")))
