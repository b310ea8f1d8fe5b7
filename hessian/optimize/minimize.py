"""The front door: SciPy's ``minimize`` without the derivative arguments, since the engine supplies the derivatives."""

from __future__ import annotations

import dataclasses
import difflib
import inspect
import sys
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from hessian.errors import OptionError, message, missing_dependency
from hessian.optimize.newton import Newton
from hessian.optimize.objective import Objective, Point
from hessian.optimize.options import Options, option_names, parse_options
from hessian.optimize.result import IterationRecord, OptimizeResult
from hessian.optimize.truncated_newton import TruncatedNewton
from hessian.optimize.trust_region import Method, Observer, TrustRegion

METHODS = ("truncated-newton", "newton")
DENSE_LIMIT = 32
"""Up to this many variables ``method=None`` takes the dense method. Measured on Rosenbrock chains and logistic
regressions of 1e3 to 2e4 rows: up to here it takes 0.1 to 1.6 times the time of truncated Newton, most where the
Hessian is ill-conditioned and ten times less work; at 64 variables and 2e4 rows it takes 3 times as long."""

_SUPPLIED = "Derivatives come from the engine"
_UNCONSTRAINED = "The methods here are unconstrained"
_ELSEWHERE = "use scipy.optimize.minimize with jac=hessian.grad(fun)"
_UNSUPPORTED = {
    "jac": (_SUPPLIED, "Leave jac out; if fun returns (value, gradient), let it return the value only"),
    "hess": (_SUPPLIED, "Leave hess out"),
    "hessp": (_SUPPLIED, "Leave hessp out"),
    "bounds": (_UNCONSTRAINED, f"Substitute variables, e.g. x = np.exp(u) for x > 0, or {_ELSEWHERE}"),
    "constraints": (_UNCONSTRAINED, f"Eliminate or penalise the constraints, or {_ELSEWHERE}"),
}


def minimize(
    fun: Callable[..., Any],
    x0: Any,
    args: Any = (),
    method: str | None = None,
    *,
    tol: float | None = None,
    callback: Callable[..., Any] | None = None,
    options: Mapping[str, Any] | None = None,
    **unsupported: Any,
) -> OptimizeResult:
    """Minimise a scalar function of any number of variables with exact second derivatives.

    Parameters
    ----------
    fun : callable
        ``fun(x, *args) -> scalar``, ordinary NumPy.
    x0 : array_like, or dict, list or tuple of arrays
        Start. ``fun`` receives, and ``res.x`` has, its structure. Integers are converted to float64 and a list of
        numbers to an array, as SciPy does; float32 is kept. Never modified.
    args : tuple
        Further arguments of ``fun``; anything else than a tuple counts as one argument.
    method : {"truncated-newton", "newton"}, optional
        ``"truncated-newton"``: trust region, Steihaug-Toint conjugate gradients on Hessian-vector products; any size.
        ``"newton"``: trust region, exact model minimiser from the eigendecomposition of the dense Hessian; small n.
        By default ``"newton"`` up to 32 variables.
    tol : float, optional
        Stands for ``options["gtol"]`` where that is not given.
    callback : callable, optional
        Called after every iteration, accepted or not. With a single parameter named ``intermediate_result`` it gets an
        :class:`OptimizeResult` with ``x, fun, jac, gradient_norm, nit``, the counters and the fields of
        :class:`IterationRecord`, otherwise the current x. Returning True or raising StopIteration ends the run with
        ``Status.CALLBACK``.
    options : dict, optional
        gtol : float
            Stop when the 2-norm of the gradient is at most this; default 1e-6, and 1e-3 in float32.
        maxiter : int
            Most iterations, rejected ones included; default 1000.
        max_hvp : int
            Most Hessian-vector products (truncated Newton only); default no limit.
        max_cg : int
            Most products per step; default 2 n + 10.
        initial_radius, max_radius : float
            Trust-region radius in the 2-norm. By default the first step is as long as its model makes it (a tenth of
            the length of x0, at least 0.1, if the model has no minimum), and the radius is not bounded.
        eta : float
            Least ratio of actual to predicted reduction at which a step is accepted; default 1e-4.
        check_curvature : bool
            Look for negative curvature where the gradient is small, and move on along it; default True.
        seed : int
            Of the Lanczos start vector used for that; default 0.
        progress : bool
            Show a progress bar on the standard error stream (needs tqdm); default False. SciPy's name ``disp`` means
            the same.

    Returns
    -------
    OptimizeResult
        With a :class:`Status` that says how much is known about ``x``, separate counters and a history.

    Raises
    ------
    OptionError
        Unknown method, option or argument, or an option out of range.
    DtypeError
        x0 is complex or not numeric.
    NotScalarError
        ``fun`` does not return one number.
    NonFiniteError
        x0, ``fun(x0)`` or the gradient there is not finite. (Later such points are rejected steps.)
    StaleRecordingError
        The value of ``fun`` depends on more than its arguments (a random draw, data that change during the run).
    MissingDependencyError
        ``progress`` without tqdm.

    Notes
    -----
    Cost: ``fun`` is recorded once and replayed (see :func:`hessian.record`, whose guards and verification apply): its value
    per trial, a reverse sweep per accepted step, a tangent sweep per CG iteration, or one dense Hessian and one
    eigendecomposition per accepted step. Exceptions raised by ``fun`` or the callback,
    KeyboardInterrupt included, pass through. ``nhev`` counts Hessians, not products, which SciPy adds to it: those are
    ``n_hvp``.

    References
    ----------
    J. Nocedal and S. J. Wright, Numerical Optimization (2006), algorithms 4.1 and 7.2.
    J. J. Moré and D. C. Sorensen, SIAM J. Sci. Stat. Comput. 4 (1983) 553-572.

    Examples
    --------
    >>> import numpy as np
    >>> from hessian.optimize import minimize
    >>> res = minimize(lambda x: (x[0] - 1.0) ** 2 + 10.0 * (x[1] - x[0] ** 2) ** 2, [0.0, 0.0])
    >>> res.status.name, res.x.round(4)
    ('CONVERGED', array([1., 1.]))
    """
    _reject(unsupported)
    objective = Objective(fun, x0, args if isinstance(args, tuple) else (args,))
    parsed = parse_options(options, tol, objective.dtype)
    solver = _method(method, objective.size, parsed)
    with _Progress(parsed) as progress:
        observe = _observer(callback, objective, progress)
        return TrustRegion(objective, solver, parsed, observe).run()


def _reject(unsupported: Mapping[str, Any]) -> None:
    """Explain arguments of SciPy's that do not apply here; ``None`` means not given, as there."""
    for name, item in unsupported.items():
        if name in _UNSUPPORTED and item is not None:
            why, fix = _UNSUPPORTED[name]
            raise OptionError(message("minimize", f"the argument {name} is not supported", why, fix))
        if name in option_names():
            fix = f"Pass options={{{name!r}: {item!r}}}"
            raise OptionError(message("minimize", f"{name} is an option, not an argument", fix=fix))
        if name not in _UNSUPPORTED:
            fix = "See help(hessian.optimize.minimize)"
            raise OptionError(message("minimize", f"there is no argument {name!r}", fix=fix))


def _method(name: str | None, size: int, options: Options) -> Method:
    """Choose the method by name, or by the number of variables."""
    if name is None:
        name = "newton" if size <= DENSE_LIMIT else "truncated-newton"
    known = str(name).lower().replace("_", "-")
    if known == "newton":
        return Newton()
    if known == "truncated-newton":
        return TruncatedNewton(options)
    near = difflib.get_close_matches(known, METHODS, n=1, cutoff=0.0)[0]
    if known in ("newton-cg", "trust-ncg", "trust-krylov", "trust-exact", "dogleg"):
        near = "newton" if known in ("trust-exact", "dogleg") else "truncated-newton"
    what = f"method {name!r} does not exist here, only {' or '.join(map(repr, METHODS))}"
    raise OptionError(message("minimize", what, fix=f"Use method={near!r}"))


def _observer(callback: Callable[..., Any] | None, objective: Objective, progress: _Progress) -> Observer:
    """Adapt the user's callback, by SciPy's convention, and the progress bar to the loop."""
    if callback is not None and not callable(callback):
        what = f"callback is {callback!r}, which cannot be called"
        raise OptionError(message("minimize", what, fix="Pass a function or leave it out"))
    takes_state = callback is not None and _parameters(callback) == {"intermediate_result"}

    def observe(record: IterationRecord, point: Point) -> bool:
        progress.update(record)
        if callback is None:
            return False
        try:
            if takes_state:
                answer = callback(intermediate_result=_state(objective, record, point))
            else:
                answer = callback(objective.structured(point.x))
        except StopIteration:
            return True
        return isinstance(answer, (bool, np.bool_)) and bool(answer)

    return observe


def _parameters(callback: Callable[..., Any]) -> set[str]:
    """Names of a callable's parameters; none for those that do not tell."""
    try:
        return set(inspect.signature(callback).parameters)
    except (TypeError, ValueError):
        return set()


def _state(objective: Objective, record: IterationRecord, point: Point) -> OptimizeResult:
    """Everything about an iteration, in arrays the callback may keep or change."""
    fields = dataclasses.asdict(record)
    fields["nit"] = fields.pop("iteration")
    fields["fun"] = fields.pop("value")
    counts = {"nfev": record.n_value, "njev": record.n_grad, "nhev": record.n_hess}
    return OptimizeResult(x=objective.structured(point.x), jac=objective.structured(point.gradient), **fields, **counts)


class _Progress:
    """Progress bar on the standard error stream, or nothing."""

    def __init__(self, options: Options) -> None:
        self._bar: Any = None
        if options.progress:
            try:
                from tqdm import tqdm
            except ImportError as error:
                raise missing_dependency("minimize", "tqdm", "train") from error
            self._bar = tqdm(desc="minimize", unit=" it", file=sys.stderr)

    def __enter__(self) -> _Progress:
        return self

    def __exit__(self, *exception: object) -> None:
        if self._bar is not None:
            self._bar.close()

    def update(self, record: IterationRecord) -> None:
        """Advance by one iteration."""
        if self._bar is not None:
            shown = {"f": f"{record.value:.8g}", "|g|": f"{record.gradient_norm:.2e}", "hvp": record.n_hvp}
            self._bar.set_postfix(shown, refresh=False)
            self._bar.update()
