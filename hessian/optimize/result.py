"""What a solver hands back: SciPy's result with a status that is advice, the history, and ways to its statistics."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Literal, Self

import numpy as np
import scipy.optimize

from hessian.errors import ConvergenceError, OptionError, message
from hessian.operators.hessian_operator import HessianOperator
from hessian.optimize.free_curvature import active_set
from hessian.optimize.result_text import result_html, result_text
from hessian.optimize.scipy_conventions import arguments_of_run
from hessian.optimize.settings import Entries
from hessian.optimize.status import Status
from hessian.rooms import room
from hessian.signatures import CovarianceKind, Point, Value
from hessian.tape.names import parameter_names
from hessian.tape.trees import ravel

if TYPE_CHECKING:
    from hessian.rooms import ConfidenceIntervals, Covariance, Summary

_NO_OPTIMUM = (
    Status.CONVERGED_FAR, Status.NEGATIVE_CURVATURE, Status.UNBOUNDED, Status.DIVERGED, Status.EXTERNAL_SADDLE,
)  # fmt: skip
"""Of these the point is no minimum that second derivatives describe, however small the gradient."""


class OptimizeResult(scipy.optimize.OptimizeResult, Entries[Point, Value]):
    """Result of :func:`hessian.optimize.minimize`: SciPy's ``OptimizeResult`` with a :class:`Status` and a history.

    Attributes
    ----------
    x : array or container of arrays
        The point kept, with the structure of ``x0``.
    fun : float
        The objective there.
    jac : like x
        The gradient there.
    gradient_norm : float
        Its 2-norm.
    success : bool
        Whether what was asked for was reached.
    status : Status
        Why the solver stopped; an integer, 0 for a verified minimum.
    message : str
        The advice of the status, with the numbers that led to it.
    smallest_eigenvalue : float
        Smallest eigenvalue of the Hessian at x as far as it was looked at, ``nan`` otherwise.
    smallest_eigenvalue_residual : float
        ``|H v - value v|`` of its unit vector v: an eigenvalue of the Hessian lies within this of it.
    saddles : list of SaddleRecord
        Saddles met and left along negative curvature.
    hess : ndarray, shape (n, n)
        Hessian of the objective at x between raveled vectors, without bounds or constraints; formed when it is asked for
        first. Beyond a few thousand variables take ``HessianOperator(fun, res.x, *args)``. (``hess_inv`` is only there
        where a method of SciPy's returns one; see :meth:`covariance`.)
    nit, nfev, njev, nhev : int
        Iterations, and evaluations of the objective, gradient and (dense) Hessian, as SciPy names them.
    n_value, n_grad, n_hvp, n_hess, n_factor : int
        Evaluations of the objective and gradient, Hessian-vector products, dense Hessians, factorisations. Never added
        together.
    history : list of IterationRecord
        One record per iteration, the start first.
    method : str
        The method that ran.
    fixed : dict
        Where parameters were held: their names and values.
    structure : str
        Of :func:`~hessian.optimize.minimize` by methods of the library's own: how the Hessian was used, ``"dense"``, ``"sparse"``,
        ``"sparse plus low rank"`` or ``"operator"``.
    """

    def raise_if_failed(self) -> Self:
        """Raise :class:`~hessian.errors.ConvergenceError` with the message unless ``success``; return the result."""
        if not self.success:
            what = f"stopped after {self.nit} iterations with status {self.status.name}"
            raise ConvergenceError(message("minimize", what, self.message))
        return self

    def remember(self, fun: Callable[..., Any], args: tuple[Any, ...]) -> None:
        """Keep the function that was minimised, for :meth:`covariance`; neither pickled nor copied, nor an entry."""
        self.__dict__["_source"] = self.__dict__["_objective"] = fun, args

    def remember_bounds(self, bounds: scipy.optimize.Bounds | None) -> None:
        """Keep the bounds on the raveled parameters, if there are any: what one of them holds has no standard error."""
        if bounds is not None:
            self.__dict__["_bounds"] = bounds

    def remember_constraints(self, constraints: list[Any]) -> None:
        """Keep the constraints, if there are any: standard errors are those along what they leave free."""
        if constraints:
            self.__dict__["_constraints"] = constraints

    def __getstate__(self) -> dict[str, Any] | None:
        """Pickle the entries and the bounds only: functions may be lambdas, and data large. That there were constraints stays known."""
        kept: dict[str, Any] = {name: self.__dict__[name] for name in ("_bounds", "_n_args") if name in self.__dict__}
        if "_source" in self.__dict__ and self.__dict__["_source"][1]:
            kept["_n_args"] = len(self.__dict__["_source"][1])
        if "_constraints" in self.__dict__:
            kept["_constraints"] = None
        return kept or None

    def covariance(
        self,
        kind: CovarianceKind | None = None,
        *,
        fun: Callable[..., Any] | None = None,
        args: Any = (),
        scale: float | None = None,
        per_example: Callable[..., Any] | None = None,
        model: Callable[..., Any] | None = None,
        likelihood: Any = None,
        groups: Any = None,
        n_obs: int | None = None,
        structure: Literal["auto", "dense", "sparse"] | None = None,
    ) -> Covariance:
        """Compute the covariance of the parameters, with standard errors and the combinations that are poorly determined.

        Parameters that were held (``fixed=``) count as known, and it says so.

        Parameters
        ----------
        kind : {"observed", "expected", "sandwich", "HC0", "HC1", "HC2", "HC3", "cluster"}
            Which; see :func:`hessian.statistics.covariance.covariance`, and for least squares
            :func:`~hessian.statistics.covariance.least_squares_covariance`. By default ``"observed"``, and ``"expected"`` for
            least squares.
        fun : callable, optional
            The function that was minimised, ``fun(x, *args)``. The result remembers it, with its arguments; to be passed
            where it has been unpickled or copied.
        args : tuple
            Further arguments of the functions passed here; by default those of the run for functions that take them, and none for
            functions of x alone.
        scale : float, optional
            Makes ``fun`` a negative log-likelihood: 1, the default, for a sum over examples; n for a mean of n terms; 1 over
            the variance for half a sum of squares, which least squares estimates where it is not given.
        per_example, model, likelihood, groups, n_obs, structure
            As there; of least squares by a sparse Jacobian the structure is ``"sparse"`` by default.

        Raises
        ------
        OptionError
            The function is not known, or as there.
        ConvergenceError
            The information is singular or indefinite, x is not the optimum, or a kink; or the status of the run says that
            there is no optimum. The message repeats the status.

        Notes
        -----
        Parameters that a bound holds (its multiplier is not zero) count as known, and it says so: errors are those of the others.
        Constraints that hold leave errors along the directions in which they stay active
        (:func:`hessian.statistics.constrained_covariance`).

        Examples
        --------
        >>> import numpy as np
        >>> from hessian.optimize import minimize
        >>> y = np.array([0.3, -1.1, 0.8, 0.4])
        >>> nll = lambda p: np.sum(0.5 * ((y - p["mean"]) / np.exp(p["log_std"])) ** 2 + p["log_std"])
        >>> res = minimize(nll, {"mean": 0.0, "log_std": 0.0})
        >>> res.covariance()
        Covariance of 2 parameters, observed
          mean           0.1 ± 0.36
          log_std  -0.331794 ± 0.35
        """
        if self.get("status") == Status.CONVERGED_AT_KINK:
            what = "the objective has a kink at x, and no derivative"
            why = "standard errors are made of second derivatives"
            raise ConvergenceError(message("covariance", what, why, "Bootstrap, or profile the objective"))
        if self.get("status") in _NO_OPTIMUM:
            what = f"the run ended with {self.status.name}. {self.status.advice}"
            raise ConvergenceError(
                message("covariance", what, "Standard errors are made of the curvature at an optimum")
            )
        try:
            return self._covariance(kind, fun, args, scale, per_example, model, likelihood, groups, n_obs, structure)
        except ConvergenceError as error:
            if self.get("success", True):
                raise
            raise ConvergenceError(f"{error} The run ended with {self.status.name}: {self.message}") from error

    def confidence_intervals(
        self,
        kind: Literal["wald", "profile"] = "wald",
        level: float = 0.95,
        *,
        fun: Callable[..., Any] | None = None,
        args: Any = (),
        scale: float | None = None,
    ) -> ConfidenceIntervals:
        """Compute an interval for every parameter by itself: an array of shape (n, 2) that knows its names.

        Parameters
        ----------
        kind : {"wald", "profile"}
            ``"wald"``: estimates and so many standard errors of :meth:`covariance`, symmetric. ``"profile"``: where the likelihood ratio
            reaches its cut (:func:`hessian.statistics.profile`), which does not depend on how the model is written.
        level : float
        fun, args, scale
            As for :meth:`covariance`.

        Raises
        ------
        OptionError, ConvergenceError
            As for :meth:`covariance` and :func:`hessian.statistics.profile`.

        Warns
        -----
        IntervalWarning
            Of kind ``"profile"``: an end of one parameter cannot be found and is NaN, the notes say why; the others are as they are.

        Examples
        --------
        >>> import numpy as np
        >>> from hessian.optimize import minimize
        >>> counts = np.array([3.0, 5.0, 4.0, 4.0])
        >>> res = minimize(lambda p: np.sum(np.exp(p["u"]) - counts * p["u"]), {"u": 0.0})
        >>> res.confidence_intervals("profile")
        95 % intervals of 1 parameter, profile
          u  1.38629  0.852801 to 1.83933
        >>> res.confidence_intervals()["u"].round(4).tolist()
        [0.8963, 1.8763]
        """
        if kind != "wald":
            fun, args = self._function(fun, args)
        return room("statistics").intervals.of_result(self, kind, level, fun, args, scale)

    def _covariance(
        self,
        kind: Any,
        fun: Any,
        args: Any,
        scale: Any,
        per_example: Any,
        model: Any,
        likelihood: Any,
        groups: Any,
        n_obs: Any,
        structure: str | None,
    ) -> Any:
        """Hand what is known to the room that computes it."""
        statistics = room("statistics")
        fun, own = self._function(fun, args)
        if "cost" not in self:

            def bound(function: Any) -> Any:
                rest = self._function(function, args)[1] if callable(function) else ()
                return (lambda x, *_: function(x, *rest)) if callable(function) else function

            given = {
                "kind": kind or "observed",
                "scale": 1.0 if scale is None else scale,
                "per_example": bound(per_example),
                "model": bound(model),
                **{"likelihood": likelihood, "groups": groups, "n_obs": n_obs, "structure": structure or "auto"},
            }
            if "_constraints" not in self.__dict__:
                return statistics.covariance(fun, self.x, *own, fixed=self._held(fun, own), **given)
            more = {"constraints": self._constraints_of_run(), "bounds": self.__dict__.get("_bounds")}
            fixed = tuple(self.get("fixed", ()))
            return statistics.constrained_covariance(fun, self.x, *own, fixed=fixed, **more, **given)
        if any(given is not None for given in (per_example, model, likelihood, n_obs)):
            what = "least squares takes neither per_example nor model, likelihood or n_obs"
            raise OptionError(message("covariance", what, "Its residuals say it all", "Leave them out"))
        if "residual_std" not in self:
            what = "a robust loss is no likelihood with a known scale"
            fix = "Write the cost as a function for minimize, and use kind='sandwich' with its per_example="
            raise OptionError(message("covariance", what, fix=fix))
        fixed = self.get("fixed", ())
        if structure is None:
            structure = "sparse" if self.get("structure") == "sparse" and kind not in ("HC2", "HC3") else "auto"
        return statistics.least_squares_covariance(
            fun, self.x, *own, kind=kind or "expected", scale=scale, groups=groups, fixed=fixed, structure=structure
        )

    def summary(
        self,
        kind: CovarianceKind | None = None,
        level: float = 0.95,
        names: Sequence[str] | None = None,
        *,
        fun: Callable[..., Any] | None = None,
        args: Any = (),
        scale: float | None = None,
        n_obs: int | None = None,
        per_example: Callable[..., Any] | None = None,
        groups: Any = None,
        model: Callable[..., Any] | None = None,
        likelihood: Any = None,
    ) -> Summary:
        r"""Make the table of a fit: estimates, standard errors, tests of zero, intervals, log-likelihood, AIC and BIC.

        .. math:: z_j = \hat x_j / \sqrt{V_{jj}}, \qquad \log L = -c f(\hat x), \qquad
                  \mathrm{AIC} = 2 k - 2 \log L, \qquad \mathrm{BIC} = k \log n - 2 \log L

        Parameters
        ----------
        kind, fun, args, per_example, model, likelihood, groups
            Which covariance V, and what it needs: as for :meth:`covariance`.
        level : float
            Of the printed intervals.
        names : sequence of str, optional
            Of the raveled parameters; by default keys of dicts and indices.
        scale : float, optional
            c, which makes ``fun`` a negative log-likelihood: 1, the default, for a sum over examples, n for a mean. (The expected
            information does not depend on it, but for ``"gaussian"`` and ``"gamma"``.) For least squares one over the variance of the
            errors, which is estimated where it is not given.
        n_obs : int, optional
            n, for BIC and ``"HC1"``; of least squares that of the residuals.

        Returns
        -------
        hessian.statistics.Summary
            With a text, a table for notebooks, ``to_latex()`` and ``to_dataframe()``.

        Raises
        ------
        OptionError, ConvergenceError
            As for :meth:`covariance`.
        ShapeMismatchError
            There is not one name for each parameter.

        Warns
        -----
        ScaleWarning
            c times ``fun`` is the mean of its terms, or as many times their sum, as its operations say. The table says so, too.

        Notes
        -----
        The log-likelihood has the constants that ``fun`` has: compare AIC between functions that have the same. A penalty in it is taken
        for a part of the likelihood. k counts the parameters that were not held by ``fixed=``, less the directions that
        constraints hold. For least squares log L is Gaussian, with
        the variance that makes it largest where none is given, which k does not count (as in statsmodels; R does); tests are Student's t
        for kinds that rest on the estimated variance, else normal. Cost: that of the covariance, and ``fun`` once.

        References
        ----------
        A. C. Davison, Statistical Models (2003), sections 4.4 and 4.7.

        Examples
        --------
        >>> import numpy as np
        >>> from hessian.optimize import least_squares
        >>> t, y = np.arange(5.0), np.array([1.1, 2.9, 5.2, 6.8, 9.1])
        >>> least_squares(lambda p: p["a"] + p["b"] * t - y, {"a": 0.0, "b": 0.0}).summary()
        Summary of 2 parameters, 5 observations
          status          CONVERGED, lm
          covariance      expected information, t of 3 degrees of freedom
          log-likelihood  2.5162
          AIC             -1.0324
          BIC             -1.8136
        <BLANKLINE>
             estimate  std. error      t       p   2.5 %  97.5 %
          a    1.040       0.146    7.11   0.006  0.574   1.506
          b    1.9900      0.0597  33.32  <0.001  1.7999  2.1801
        """
        given = {"per_example": per_example, "groups": groups, "model": model, "likelihood": likelihood}
        function, own = self._function(fun, args)
        return room("statistics").summary.summarize(
            self,
            kind,
            level,
            names,
            source=(function, own),
            scale=scale,
            n_obs=n_obs,
            given={**given, "fun": fun, "args": args},
        )

    def _constraints_of_run(self) -> list[Any]:
        """The constraints, none of a run without any, or the error that misses them."""
        found: list[Any] | None = self.__dict__.get("_constraints", [])
        if found is None:
            what, why = (
                "the result does not know its constraints",
                "Functions are neither pickled nor copied with results",
            )
            raise OptionError(message("covariance", what, why, "Take the original, or minimise again from x"))
        return found

    def _held(self, fun: Callable[..., Any], args: tuple[Any, ...]) -> tuple[str, ...]:
        """Names of the parameters that were held, and of those that a bound holds."""
        fixed = tuple(self.get("fixed", ()))
        bounds = self.__dict__.get("_bounds")
        if bounds is None:
            return fixed
        active = active_set((), bounds, ravel(self.x)[0], HessianOperator(fun, self.x, *args).gradient)
        names = parameter_names(self.x)
        return *fixed, *(names[k] for k in np.flatnonzero(active.fixed))

    def _function(self, fun: Any, args: Any) -> tuple[Any, tuple[Any, ...]]:
        """The function and its arguments: those of the run where they are not given, if it takes them."""
        args = args if isinstance(args, tuple) else (args,)
        if fun is None:
            fun, own = self._remembered()
            return fun, args or own
        own = self.__dict__.get("_source", (None, ()))[1]
        return fun, args or arguments_of_run(fun, own, len(own) or self.__dict__.get("_n_args", 0))

    def _remembered(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        """The function that was minimised and its arguments, or the error that asks for it."""
        if "_source" not in self.__dict__:
            what = "the result does not know the function that was minimised"
            why = "Functions are neither pickled nor copied with results"
            raise OptionError(message("covariance", what, why, "Pass fun=, and args= if it takes any"))
        remembered: tuple[Callable[..., Any], tuple[Any, ...]] = self.__dict__["_source"]
        return remembered

    def __getattr__(self, name: str) -> Any:
        """Entries by name, as in SciPy's result; the Hessian when it is asked for first."""
        if name == "hess" and name not in self:
            self[name] = self._hess()
        if name == "hess_inv" and name not in self:
            what = "there is no approximation of the inverse Hessian, because the Hessian itself is known"
            fix = "Call res.covariance() for standard errors, or HessianOperator(fun, res.x, *args).solve(b)"
            raise AttributeError(message("hess_inv", what, fix=fix))
        return super().__getattr__(name)

    def __dir__(self) -> list[str]:
        """Entries and methods."""
        methods = {"covariance", "confidence_intervals", "raise_if_failed", "summary"}
        return sorted({*super().__dir__(), "hess", *methods})

    def _hess(self) -> np.ndarray:
        """Form the Hessian, or say why it is not known."""
        if "_objective" not in self.__dict__ or "cost" in self:
            what = "the result does not know a function with a Hessian"
            why = "Functions are neither pickled nor copied with results, and residuals are no objective"
            fix = "Call HessianOperator(fun, res.x, *args).to_dense()"
            raise AttributeError(message("hess", what, why, fix))
        fun, args = self.__dict__["_objective"]
        return np.asarray(HessianOperator(fun, self.x, *args).to_dense())

    def __repr__(self) -> str:
        """Show the verdict first, then the numbers; the history by its length only."""
        return result_text(self) if "status" in self else super().__repr__()

    def _repr_html_(self) -> str:
        """Show the same as a table."""
        return result_html(self)
