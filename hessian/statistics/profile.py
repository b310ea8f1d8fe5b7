"""Profile likelihoods: what the others make of it when one parameter is moved, and the interval that follows."""

from __future__ import annotations

import dataclasses
import math
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from hessian.arguments import INSIDE, POSITIVE, check, real_number
from hessian.errors import ConvergenceError, OptionError, ScaleWarning, message
from hessian.optimize.objective import bound
from hessian.optimize.result import OptimizeResult
from hessian.optimize.scipy_conventions import one_number
from hessian.programs import RecordedFunction
from hessian.statistics.constrained_profile import ConstrainedMinimum
from hessian.statistics.covariance_result import two_sided
from hessian.statistics.covariance_task import free_places
from hessian.statistics.profile_path import Minimum, Side
from hessian.statistics.refits import Problem
from hessian.statistics.terms import scale_note
from hessian.tape.names import find_part, parameter_names
from hessian.tape.trees import flatten, ravel
from hessian.text import Shown


@dataclass(frozen=True, eq=False, repr=False)
class Profile(Shown):
    """Profile of one parameter.

    Attributes
    ----------
    name : str
    value : float
        The estimate, polished by Newton's method.
    standard_error : float
        From the curvature there; 0 where a bound holds it.
    level : float
    lower, upper : float
        Ends of the interval; infinite where the likelihood ratio never reaches its cut.
    cut : float
        The root of the likelihood ratio at the ends: a quantile of the normal law, or of Student's for least squares.
    nonlinearity : float
        Largest departure of an end from that of the Wald interval, in halves of its length: 0 where the log-likelihood is a parabola,
        ``inf`` where an end is. NaN where bounds make both.
    psi : ndarray, shape (k,)
        Where the parameter was held, ascending, the estimate among them.
    root : ndarray, shape (k,)
        Signed roots of the likelihood ratio there, ``±sqrt(2 c (f_p - f))``: a straight line for a parabola.
    slope : ndarray, shape (k,)
        Derivatives of their squares in the parameter.
    x : list of k points
        The fits, with the structure of the parameters.
    notes : tuple of str
        What is to be said of the ends.
    n_grad, n_hvp, n_fits : int
        Gradients (each with a value), Hessian-vector products (a dense Hessian counts one for each parameter) and fits by a solver
        that were spent.
    """

    name: str
    value: float
    standard_error: float
    level: float
    lower: float
    upper: float
    cut: float
    nonlinearity: float
    psi: np.ndarray
    root: np.ndarray
    slope: np.ndarray
    x: list[Any]
    notes: tuple[str, ...]
    n_grad: int
    n_hvp: int
    n_fits: int

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return np.array([self.lower, self.upper], dtype=dtype)

    def interval(self, level: float = 0.95) -> tuple[float, float]:
        """Return the ends of the interval at the level for which they were computed.

        Raises
        ------
        OptionError
            The level is another one.
        """
        check("interval", "level", level, INSIDE)
        if level != self.level:
            what = f"the profile of {self.name} was followed to the level {self.level:g}, not {level:g}"
            raise OptionError(
                message("interval", what, "Its ends are solutions, not multiples", "Profile at that level")
            )
        return self.lower, self.upper

    def __repr__(self) -> str:
        lines = [
            f"Profile of {self.name}",
            f"  estimate          {self.value:.6g} ± {self.standard_error:.2g}",
            f"  {100 * self.level:g} % interval     {self.lower:.6g} to {self.upper:.6g}",
            f"  nonlinearity      {self.nonlinearity:.2g}",
            f"  spent             {self.n_grad} gradients, {self.n_hvp} products",
        ]
        return "\n".join(lines + [f"  note              {note}" for note in self.notes])


def profile(
    f: Callable[..., Any],
    res: OptimizeResult,
    which: Any,
    *args: Any,
    level: float = 0.95,
    scale: float | None = None,
) -> Profile:
    r"""Compute the profile likelihood of a parameter and the interval in which it is not much lower than the best.

    .. math:: f_p(\psi) = \min_\lambda f(\psi, \lambda), \qquad
              r(\psi) = \operatorname{sign}(\psi - \hat\psi) \sqrt{2 c \, (f_p(\psi) - f(\hat x))}, \qquad
              \{\psi : |r(\psi)| \le z_{(1 + level) / 2}\}

    Parameters
    ----------
    f : callable
        What was minimised, ``f(x, *args)``; where it is recorded (:func:`hessian.record`) its programs serve all fits. The residuals for
        results of :func:`~hessian.optimize.least_squares`.
    res : OptimizeResult
        Its minimum, with the bounds and held parameters of the run.
    which : str, or key, position or index, or tuple of them
        The parameter, one number, as for ``fixed=`` of :func:`~hessian.optimize.minimize`.
    *args
        Further arguments of f.
    level : float
    scale : float, optional
        c, which makes f a negative log-likelihood: 1, the default, for a sum; n for a mean of n terms. For least squares
        :math:`1 / s^2`, s² being estimated, by default, and quantiles are Student's.

    Returns
    -------
    Profile
        :func:`hessian.plotting.plot_profile` draws it.

    Raises
    ------
    ConvergenceError
        The fit has not converged or x is not its minimum; its Hessian is singular, so that estimates are not unique; on the way a lower
        minimum turns up, or a fit of the others fails: the message says where. Inequalities that hold leave the parameter one side alone.
    OptionError
        ``which`` is no parameter, more than one, or held; the fit had a robust loss, or constraints that a pickle has lost.

    Warns
    -----
    ScaleWarning
        c f is the mean of its terms, or as many times their sum, as its operations say.

    Notes
    -----
    The path is followed from the estimate: the others are predicted along :math:`d\lambda / d\psi = -H_{\lambda\lambda}^{-1}
    H_{\lambda\psi}` and corrected by Newton steps on the last Hessian, which is formed anew where steps on it leave more than a tenth.
    The value of a fit is right to third order in what is left of its gradient; the end is found by Newton's method and cubic
    interpolation in r, whose derivative is that of f. Parameters at a bound are held there while the gradient presses, and let go. Where
    a fit by such steps fails, :func:`~hessian.optimize.minimize` makes it.

    An end is infinite where r grows by ever less as the distance is multiplied, and the bound or the edge of the domain where
    that is reached first; ``notes`` say so. Where an estimate is on its bound, or near, the law of the ratio is another one (Self
    and Liang), and the level is not what it says. The path is followed by continuity: of several minima over the others it keeps
    to the one that it comes from. At the ends the Hessian in the others is formed: where it is not positive definite, the path has
    turned into saddles, and is followed again with a Hessian, and a solver where need be, for every fit. (Not beyond 600 parameters.)

    Of a fit with constraints, each is a fit with constraints by :func:`~hessian.optimize.minimize`, and the derivative of its value that
    of the Lagrangian. Inequalities may come to hold and let go on the way, where the profile has kinks; an interval ends where
    constraints leave nothing beyond.

    Cost: three Hessians, and for each side some 4 to 8 gradients where the log-likelihood is near to a parabola; beyond 600
    parameters products with conjugate gradients in place of factors.

    References
    ----------
    D. J. Venzon and S. H. Moolgavkar, "A method for computing profile-likelihood-based confidence intervals", Applied Statistics 37
    (1988) 87-94. D. M. Bates and D. G. Watts, *Nonlinear Regression Analysis and Its Applications* (1988), section 6.1, for the root and
    its departure from a line. P. Deuflhard, *Newton Methods for Nonlinear Problems* (2011), section 2.1, for simplified steps.

    Examples
    --------
    The logarithm of a Poisson rate, whose interval is the logarithm of that of the rate:

    >>> import numpy as np
    >>> from hessian.optimize import minimize
    >>> counts = np.array([3.0, 5.0, 4.0, 4.0])
    >>> nll = lambda u: np.sum(np.exp(u) - counts * u)
    >>> res = minimize(nll, np.zeros(1))
    >>> profile(nll, res, 0)
    Profile of x[0]
      estimate          1.38629 ± 0.25
      95 % interval     0.852801 to 1.83933
      nonlinearity      0.089
      spent             6 gradients, 3 products
    """
    k = _position(res, which)
    problem, cut = prepared(f, res, args, level, scale)
    if k not in problem.free:
        what = f"{problem.names[k]} was held in the fit"
        raise OptionError(message("profile", what, "It has no estimate", "Profile another one, or fit it"))
    return follow(problem, k, ravel(res.x)[0], level, cut)


def prepared(
    f: Callable[..., Any], res: OptimizeResult, args: tuple[Any, ...], level: float, scale: float | None
) -> tuple[Problem, float]:
    """Return the problem that profiles of a fit share, and the root at which intervals end."""
    check("profile", "level", level, INSIDE)
    x, unravel = ravel(res.x)
    objective, rest, c, cut = _likelihood(f, res, args, level, scale)
    note = "" if "cost" in res else scale_note(f, res.x, args, c)
    if note:
        warnings.warn(message("profile", note), ScaleWarning, stacklevel=3)
    free = free_places(res.x, res.get("fixed", ()))
    bounds = res.__dict__.get("_bounds")
    low, high = (
        np.full(x.size, side) if bounds is None else np.broadcast_to(np.asarray(given, float), x.shape)
        for side, given in ((-math.inf, getattr(bounds, "lb", None)), (math.inf, getattr(bounds, "ub", None)))
    )
    names, constraints = parameter_names(res.x), tuple(res._constraints_of_run())
    return Problem(objective, rest, unravel, x.dtype, c, free, low, high, names, constraints), cut


def minimum_of(problem: Problem, x: np.ndarray) -> Minimum | ConstrainedMinimum:
    """Polish an estimate."""
    kind: Any = ConstrainedMinimum if problem.constraints else Minimum
    return kind.near(problem, x.astype(np.float64))


def follow(
    problem: Problem,
    k: int,
    x: np.ndarray,
    level: float,
    cut: float,
    minimum: Minimum | ConstrainedMinimum | None = None,
) -> Profile:
    """Follow the path of a parameter to both sides of an estimate; counts are of this one, and of the minimum where it is not given.

    One of several parameters, whose minimum is given, has ends that are NaN where they are not found.
    """
    is_one_of_many = minimum is not None
    problem = dataclasses.replace(problem, n_value=0, n_grad=0, n_hvp=0, n_fits=0)
    minimum = minimum or minimum_of(problem, x)
    center, bend = minimum.center(problem, k)
    held = minimum.held
    noise = 8.0 * float(np.finfo(problem.dtype).eps) * problem.scale * abs(center.fit.value)
    sides = [Side(problem, k, center, bend, sign, cut, noise) for sign in (-1.0, 1.0)]
    lower, upper = (side.run_or_say() if is_one_of_many else side.run() for side in sides)
    error = 0.0 if held[k] else 1.0 / math.sqrt(problem.scale * bend)
    reach = [
        abs(abs(end.psi - center.psi) / (cut * error) - 1.0)
        for end in (lower, upper)
        if end.kind in ("cut", "open") and error > 0.0
    ]
    notes = [end.note for end in (lower, upper) if end.note]
    if held[k]:
        notes.append(f"{problem.names[k]} is estimated on its bound: the level is not that of the usual law")
    if noise > 1e-4 * cut**2:
        notes.append(f"the objective is rounded to {noise / (2.0 * cut):.1g} of a standard error of the ends")
    signed = [(-1.0, sides[0].knots), (0.0, [center]), (1.0, sides[1].knots)]
    path = sorted(((sign, knot) for sign, knots in signed for knot in knots), key=lambda pair: pair[1].psi)
    return Profile(
        name=problem.names[k],
        value=center.psi,
        standard_error=error,
        level=level,
        # Where rounding is all that there is to the cut, an end may come out on the wrong side.
        lower=min(lower.psi, center.psi),
        upper=max(upper.psi, center.psi),
        cut=cut,
        nonlinearity=max(reach) if reach else math.nan,
        psi=np.array([knot.psi for _, knot in path]),
        root=np.array([sign * knot.root for sign, knot in path]),
        slope=np.array([2.0 * problem.scale * knot.fit.slope for _, knot in path]),
        x=[problem.unravel(knot.fit.x.astype(problem.dtype)) for _, knot in path],
        notes=tuple(dict.fromkeys(notes)),
        n_grad=problem.n_grad,
        n_hvp=problem.n_hvp,
        n_fits=problem.n_fits,
    )


def _position(res: OptimizeResult, which: Any) -> int:
    """Place of the parameter in the raveled vector."""
    part = find_part(res.x, which, "profile")
    places = np.concatenate([np.ravel(place) for place in part.places])
    if places.size != 1:
        what = f"{part.name} stands for {places.size} parameters"
        raise OptionError(
            message("profile", what, "One is profiled at a time", f"Pass {parameter_names(res.x)[places[0]]!r}")
        )
    return int(places[0])


def _likelihood(
    f: Callable[..., Any], res: OptimizeResult, args: tuple[Any, ...], level: float, scale: Any
) -> tuple[RecordedFunction, tuple[Any, ...], float, float]:
    """The objective, what makes it a negative log-likelihood, and the root at which an interval ends."""
    if not res.get("success", False):
        what = f"the fit has stopped with status {getattr(res.get('status'), 'name', res.get('status'))}"
        raise ConvergenceError(message("profile", what, "A profile starts at the minimum", str(res.get("message", ""))))
    if scale is not None:
        scale = real_number("profile", "scale", scale, POSITIVE, "It makes f a negative log-likelihood")
    if "cost" not in res:
        objective, rest = bound(one_number(f, "profile"), args)
        return objective, rest, scale or 1.0, two_sided(level)
    if "residual_std" not in res:
        what = "a robust loss is no likelihood with a known scale"
        raise OptionError(message("profile", what, fix="Write the cost as a function for minimize"))
    freedom = int(res.degrees_of_freedom)
    if scale is None and (freedom <= 0 or not res.residual_std > 0.0):
        what = f"{freedom} degrees of freedom and a cost of {res.cost:.3g} cannot tell the variance of the errors"
        raise OptionError(message("profile", what, fix="Pass scale=1/variance if the variance of the errors is known"))
    plain = getattr(f, "plain_function", f)

    def cost(x: Any, *rest: Any) -> Any:
        return 0.5 * sum(np.sum(leaf * leaf) for leaf in flatten(plain(x, *rest))[0])

    objective, rest = bound(cost, args)
    quantile = two_sided(level, math.inf if scale else freedom)
    return objective, rest, scale or float(res.residual_std) ** -2.0, quantile
