"""The front door: SciPy's ``minimize`` without the derivative arguments, since the engine supplies the derivatives."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Unpack, overload

import numpy as np
from numpy.typing import NDArray

from hessian.arguments import argument_names
from hessian.errors import OptionError, message
from hessian.linalg import limits
from hessian.optimize.choice import choose
from hessian.optimize.fixed import Held, asks_to_hold
from hessian.optimize.model_loop import ModelLoop
from hessian.optimize.objective import VectorObjective
from hessian.optimize.observer import Progress
from hessian.optimize.options import parse_options, refuse_arguments
from hessian.optimize.result import OptimizeResult
from hessian.optimize.scipy_constraints import binds, constraint_list, flat_bounds
from hessian.optimize.scipy_conventions import Callback, one_number
from hessian.optimize.scipy_methods import SCIPY_METHODS, minimize_by_scipy
from hessian.optimize.settings import Method, MinimizeArguments, Numbers, Whole
from hessian.programs import RecordedFunction
from hessian.signatures import Inexact, Structure, X
from hessian.tape.trees import scipy_point
from hessian.transforms.first_order import grad

_SUPPLIED = "Derivatives come from the engine"
_UNSUPPORTED = {
    "jac": (_SUPPLIED, "Leave jac out; if fun returns (value, gradient), let it return the value only"),
    "hess": (_SUPPLIED, "Leave hess out"),
    "hessp": (_SUPPLIED, "Leave hessp out"),
}


@overload
def minimize(
    fun: Callable[..., Any],
    x0: NDArray[Inexact],
    args: Any = (),
    method: Method | None = None,
    **settings: Unpack[MinimizeArguments],
) -> OptimizeResult[NDArray[Inexact]]: ...
@overload
def minimize(
    fun: Callable[..., Any],
    x0: NDArray[Whole] | Numbers,
    args: Any = (),
    method: Method | None = None,
    **settings: Unpack[MinimizeArguments],
) -> OptimizeResult[NDArray[np.float64]]: ...
@overload
def minimize(
    fun: Callable[..., Any],
    x0: X,
    args: Any = (),
    method: Method | None = None,
    **settings: Unpack[MinimizeArguments],
) -> OptimizeResult[X]: ...
def minimize(
    fun: Callable[..., Any],
    x0: Any,
    args: Any = (),
    method: Method | None = None,
    *,
    bounds: Any = None,
    constraints: Any = (),
    tol: float | None = None,
    callback: Callable[..., Any] | Callback | None = None,
    options: Mapping[str, Any] | None = None,
    structure: Structure = "auto",
    fixed: Any = None,
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
    method : str, optional
        ========================= ==========================================================================================
        ``"trust-ncg"``           trust region, Steihaug-Toint conjugate gradients on products; any size
        ``"trust-krylov"``        trust region, minimised exactly on a Krylov space (GLTR); keeps a vector per product
        ``"trust-exact"``         trust region, minimised exactly from the eigenvalues of the dense Hessian; small n
        ``"newton"``              line search, LDL^T factorisation of the dense Hessian, inertia corrected; small n
        ``"newton-cg"``           line search, capped conjugate gradients and negative-curvature steps; any size
        ``"arc"``                 cubic regularisation on a Krylov space; keeps a vector per product
        ``"saddle-free"``         trust region on ``|H|`` in a Krylov space; keeps a vector per product
        ========================= ==========================================================================================

        and SciPy's by their names (``"L-BFGS-B"``, ``"trust-constr"``, ``"SLSQP"``, ...) with exact gradients and Hessians,
        those of constraints included. By default ``"trust-exact"`` up to 32 variables, where a dense factorisation costs
        less than the products it saves, and ``"trust-ncg"`` with the preconditioner ``"lbfgs"`` beyond; with bounds
        ``"L-BFGS-B"``, with constraints ``"SLSQP"`` (``"trust-constr"`` beyond 100 variables). The message of the result says
        what was chosen.
    structure : {"auto", "dense", "sparse", "operator"}
        How the Hessian is used. ``"dense"``: decomposed as a matrix (``"trust-exact"``, ``"newton"``). ``"sparse"``: by few products
        (:func:`hessian.sparse.hessian`) and sparse factorisations (``"trust-exact"``, by default, ``"newton"`` and ``"arc"``), as sparse
        plus low rank (:func:`hessian.sparse.split_hessian`) where sums, norms or normalisations make it dense.
        ``"operator"``: by products only (the other methods and ``"arc"``). ``"auto"``: as the method says, but from 256 variables on
        ``"trust-exact"`` and ``"newton"`` take sparse factors where the pattern is sparse, and a run without a method looks for a
        sparse pattern, with low rank beside it or not, after 100 products and goes on with ``"trust-exact"`` on factors if there is one.
        ``res.structure`` and the message say what was chosen.
    bounds, constraints
        As :func:`scipy.optimize.minimize` takes them, for SciPy's methods; constraint functions see the structure of x0.
    fixed : dict, or list of keys, optional
        Parameters that are held, and their values: ``{"sigma": 1.0}``; those of a list are held where x0 has them. A key is a name as
        results print it (``"sigma"``, ``"beta[2]"``, ``"layers[0].W[3, 1]"``), that of a part (``"beta"``, ``"layers[0]"``) or a range
        of an array (``"beta[1:]"``); or what stands in brackets after x: a key, a position or an index, several in a tuple
        (``("beta", 2)``; ``0`` is ``x[0]`` of an array). A value is a number or fits its part. Whatever else is given (bounds,
        constraints, preconditioner) is that of all parameters. See Notes.
    tol : float, optional
        Stands for ``options["gtol"]`` where that is not given. For those of SciPy's methods that test the gradient it is the
        largest entry allowed, and nothing else; for the others it is what SciPy makes of it.
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
            Most Hessian-vector products (methods on products only); default no limit.
        max_seconds : float
            Most seconds, looked at after every iteration; default no limit.
        max_cg : int
            Most products per step; by default 2 n + 10, doubled whenever it has cut a step that was predicted well.
        initial_radius, max_radius : float
            Trust-region radius in the 2-norm (with a preconditioner M in the norm ``sqrt(s.M s)``). By default the first
            step is as long as its model makes it (a tenth of the length of x0, at least 0.1, if the model has no minimum),
            and the radius is not bounded.
        initial_regularization : float
            First weight of the cubic term of ``"arc"``; by default from the first step.
        eta : float
            Least ratio of actual to predicted reduction at which a step is accepted; default 1e-4, on sparse factors 0.1.
        preconditioner : {"jacobi", "lbfgs", "factor", "nystrom"}, array like x0, linear operator or callable
            Of the conjugate gradients of ``"trust-ncg"``: the diagonal of the Hessian (beyond 256 variables norms of its
            rows, estimated from 8 products, or exact where a sparse pattern needs no more), pairs collected at the last point, the
            factor of the sparse Hessian of an earlier point (taken anew every 5 points, and after a step of more than 10 products),
            the 40 leading eigenvalues from a random sketch (once a step takes as many products, anew after 5 points at the
            earliest), the diagonal of an M > 0, an operator that applies ``M^-1``, a
            :class:`hessian.curvature.NystromApproximation`, or a function of x that returns one of the last three. By default
            none, and ``"lbfgs"`` where no method is asked for.
        check_curvature : bool
            Look for negative curvature where the gradient is small, and move on along it; default True.
        rng : int, numpy.random.Generator or None
            Of the Lanczos start vector used for that, and of other vectors to look along; default 0.
        checkpoint : path-like
            File to keep the state of the run in, rewritten as it goes on; by default none. A file that cannot be written
            is a warning, and the run goes on.
        checkpoint_every : float
            Seconds between two writings; default 10.
        resume : bool
            Go on from the checkpoint where there is one, to the same end bit by bit; default False. Limits and
            tolerances may differ from those of the first part.
        record : bool
            Compile programs of ``fun`` (:func:`hessian.record`); default True. Long functions (2000 operations) are swept plainly
            until that has taken as long as compiling them. ``False`` never compiles.
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
        Unknown method, option, structure or argument, an option out of range, or a structure that the method does not take;
        ``fixed`` names what is not there, or twice, or all, or holds it beyond its bounds.
    TooDenseError
        ``structure="sparse"`` for a Hessian that is not: the message names the operation that makes it dense.
    DtypeError
        x0 is not numeric.
    NotScalarError
        ``fun`` does not return one number.
    NonFiniteError
        x0, ``fun(x0)`` or the gradient there is not finite. (Later such points are rejected steps.)
    CheckpointError
        The file to resume from is no checkpoint, or that of another method, start or dtype.
    StaleRecordingError
        The value of ``fun`` depends on more than its arguments (a random draw, data that change during the run).
    MissingDependencyError
        ``progress`` without tqdm.

    Notes
    -----
    Cost: ``fun`` is recorded once and replayed (see :func:`hessian.record`, whose guards and verification apply): its value
    per trial, a reverse sweep per accepted step, a tangent sweep per product, or one dense Hessian and one
    decomposition per accepted step. Exceptions raised by ``fun`` or the callback pass through,
    but ``LinAlgError`` and ``ArithmeticError`` (ZeroDivisionError, FloatingPointError, ...) at a trial point, which is then a
    rejected step; after a KeyboardInterrupt
    the best point is returned, with ``Status.INTERRUPTED``. ``nhev`` counts Hessians, not products, which SciPy adds to it:
    those are ``n_hvp``.

    *Held parameters.* The run is one in the others, whose derivatives alone are tested: ``res.gradient_norm`` is theirs. ``res.x``
    has all parameters, ``res.fixed`` those that were held, ``res.jac`` the derivatives in all of them (one more gradient), ``res.hess``
    is that of all. Entries that SciPy's methods add about Jacobians and multipliers are about the free ones. Values are
    arguments of what is recorded: where ``fun`` is recorded, another value takes no new recording.

    References
    ----------
    J. Nocedal and S. J. Wright, Numerical Optimization (2006), algorithms 4.1 and 7.2.
    J. J. Moré and D. C. Sorensen, SIAM J. Sci. Stat. Comput. 4 (1983) 553-572. Those of each method are with its class.

    Examples
    --------
    >>> import numpy as np
    >>> from hessian.optimize import minimize
    >>> res = minimize(lambda x: (x[0] - 1.0) ** 2 + 10.0 * (x[1] - x[0] ** 2) ** 2, [0.0, 0.0])
    >>> res.status.name, res.x.round(4)
    ('CONVERGED', array([1., 1.]))
    >>> minimize(lambda x: (x[0] - 1.0) ** 2 + 10.0 * (x[1] - x[0] ** 2) ** 2, [0.0, 0.0], fixed={"x[1]": 0.0}).x.round(4)
    array([0.3234, 0.    ])
    """
    is_nothing = lambda name, item: item is None or item is False
    refuse_arguments("minimize", unsupported, _UNSUPPORTED, is_nothing, argument_names(minimize))
    args = args if isinstance(args, tuple) else (args,)
    x0 = scipy_point(x0)
    if asks_to_hold(fixed):
        given = {"bounds": bounds, "constraints": constraints, "callback": callback, "options": options}
        held = Held(x0, fixed, "minimize")
        return _minimize_free(held, fun, args, method, **given, tol=tol, structure=structure)
    bounds = bounds if binds(bounds) else None
    is_constrained = bounds is not None or not (
        constraints is None or (isinstance(constraints, (list, tuple)) and not constraints)
    )
    if (method is None and is_constrained) or _is_scipys(method):
        _refuse_structure(structure)
        given = {"bounds": bounds, "constraints": constraints, "tol": tol, "callback": callback}
        return _by_scipy(fun, x0, args, method, options, given)
    _refuse_constraints(method, is_constrained)
    parsed = parse_options(options, tol, np.dtype(np.float64))
    objective = VectorObjective(fun, x0, args, record=bool(parsed.record))
    parsed = parse_options(options, tol, objective.dtype)
    solver = choose(method, structure, objective, parsed)
    note = "" if method is not None else _reason(solver.name, objective.size, structure)
    with Progress(parsed.progress, "minimize") as progress:
        objective.announce(progress.compiling)
        result = ModelLoop(objective, solver, parsed, Callback.of(callback, "minimize"), progress, note).run()
    result.structure = objective.factors.name if objective.factors.is_on else "dense" if solver.is_dense else "operator"
    return result


def _by_scipy(
    fun: Callable[..., Any],
    x0: Any,
    args: tuple[Any, ...],
    method: str | None,
    options: Mapping[str, Any] | None,
    given: dict[str, Any],
) -> OptimizeResult:
    """Minimise by a method of SciPy's."""
    called, options = _without_programs(fun, options)
    result = minimize_by_scipy(called, x0, args, method, options=options, **given)
    result.setdefault("history", [])
    result.remember(one_number(fun, "minimize"), args)
    result.remember_bounds(flat_bounds(given["bounds"], x0))
    result.remember_constraints(constraint_list(given["constraints"]))
    return result


def _minimize_free(
    held: Held,
    fun: Callable[..., Any],
    args: tuple[Any, ...],
    method: Method | None,
    *,
    bounds: Any,
    constraints: Any,
    callback: Callable[..., Any] | Callback | None,
    options: Mapping[str, Any] | None,
    **settings: Any,
) -> OptimizeResult:
    """Minimise in the parameters that are not held."""
    free: dict[str, Any] = {
        "bounds": held.bounds(bounds),
        "constraints": held.constraints(constraints),
        "callback": held.callback(callback, prefers_state=str(method).lower() == "trust-constr"),
        "options": held.options(options),
    }
    result = minimize(held.function(fun), held.first, (held.values, *args), method=method, **free, **settings)
    held.restored(result, fun, args)
    result.remember_bounds(flat_bounds(bounds, held.tree))
    result.remember_constraints(constraint_list(constraints))
    held.with_derivatives(result, "jac", lambda x: grad(one_number(fun, "minimize"))(x, *args))
    return result


def _refuse_constraints(method: str | None, is_constrained: bool) -> None:
    """Refuse bounds and constraints for methods of the library's own."""
    if is_constrained:
        what = f"method {method!r} takes neither bounds nor constraints"
        fix = "Leave method out, use 'L-BFGS-B' or 'trust-constr', or substitute variables, e.g. x = exp(u) for x > 0"
        raise OptionError(message("minimize", what, "The methods here are unconstrained", fix))


def _refuse_structure(structure: str) -> None:
    """Refuse a structure that methods of SciPy's would not look at."""
    if structure != "auto":
        what = f"structure {structure!r} is asked for with a method of SciPy's or constraints"
        fix = "Leave structure out; hs.optimize.derivatives gives SciPy's own functions sparse Hessians"
        raise OptionError(message("minimize", what, fix=fix))


def _without_programs(
    fun: Callable[..., Any], options: Mapping[str, Any] | None
) -> tuple[Callable[..., Any], Mapping[str, Any] | None]:
    """Take the option ``record`` out of those for SciPy: without it the function makes no programs."""
    if options is None or "record" not in options:
        return fun, options
    rest = {name: setting for name, setting in options.items() if name != "record"}
    if parse_options({"record": options["record"]}, None, np.dtype(np.float64)).record:
        return fun, rest
    return RecordedFunction(one_number(getattr(fun, "plain_function", fun), "minimize"), records=False), rest


def _is_scipys(method: str | None) -> bool:
    """Whether a method is one of SciPy's, by any capitalisation."""
    return str(method).lower() in {name.lower() for name in SCIPY_METHODS}


def _reason(name: str, size: int, structure: str) -> str:
    """Say why a method was chosen where none was asked for."""
    if structure in ("dense", "sparse"):
        return f"(Method {name} was chosen for a {structure} Hessian.)"
    many = "Hessian-vector products only, preconditioned by earlier ones"
    kind = "a dense factorisation per step" if size <= limits.STEP_ORDER and structure == "auto" else many
    return f"(Method {name} was chosen for {size} variables: {kind}.)"
