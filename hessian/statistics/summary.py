"""The table of a fit: estimates with standard errors, tests and intervals, and what the likelihood says."""

from __future__ import annotations

import math
import re
import textwrap
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from scipy import special

from hessian.arguments import INSIDE, POSITIVE, check, real_number, whole_number
from hessian.curvature.estimate import Uncertain
from hessian.errors import MissingDependencyError, OptionError, ScaleWarning, ShapeMismatchError, message
from hessian.statistics.covariance_result import Covariance, two_sided
from hessian.statistics.covariance_task import free_places
from hessian.statistics.delta import DerivedQuantity, delta_method
from hessian.statistics.terms import scale_note
from hessian.tape.names import parameter_names
from hessian.tape.trees import flatten, ravel
from hessian.text import by_error, grid_html, grid_latex, grid_text, named_values

_KINDS = {
    "observed": "observed information",
    "expected": "expected information",
    "sandwich": "sandwich (HC0)",
    **{f"HC{k}": f"sandwich (HC{k})" for k in range(4)},
}
# Rows that are printed; of more, so many first and last ones.
_MOST, _FIRST, _LAST = 60, 40, 10
# Standard errors that curvature may add to the mean of a function before the table says so.
_CURVED = 0.1


@dataclass(frozen=True, eq=False, repr=False)
class Summary(Uncertain):
    """The table of a fit.

    Attributes
    ----------
    value : array or container
        The estimates.
    standard_error : like value
        Zero for parameters that are held.
    statistic : like value
        Estimate over standard error: z, or Student's t where the variance of the errors was estimated; NaN where a parameter is held.
    pvalue : like value
        Probability of a larger one, to both sides, were the parameter zero.
    names : tuple of str
        Of the raveled parameters.
    level : float
        Of the printed intervals; :meth:`interval` takes any.
    log_likelihood : float
        ``-scale * fun``, with the constants that the function has.
    aic, bic : float
        ``2 k - 2 log L`` and ``k log n - 2 log L`` for k parameters that were not held by the caller, less the directions that
        constraints hold; ``bic`` is NaN without ``n_obs``.
    n_obs : int or None
        Number of observations.
    covariance : Covariance
        What the errors come from; its ``degrees_of_freedom`` are those of t, ``inf`` for z.
    status, method : Status, str
        How the run ended, and which it was.
    notes : tuple of str
        What a reader has to know: parameters on a bound, weak directions, a scale that was forgotten, a run that stopped early.
    derived : DerivedQuantity or None
        Where the entries are functions of the parameters (:meth:`transformed`): what the delta method says of them.
    """

    value: Any
    standard_error: Any
    statistic: Any
    pvalue: Any
    names: tuple[str, ...]
    level: float
    log_likelihood: float
    aic: float
    bic: float
    n_obs: int | None
    covariance: Covariance
    status: Any
    method: str
    notes: tuple[str, ...]
    derived: DerivedQuantity | None = None

    def interval(self, level: float = 0.95) -> tuple[Any, Any]:
        """Return the ends of Wald's confidence interval for each entry by itself, in the structure of the value."""
        if self.derived is None:
            return self.covariance.interval(level)
        ends = self.derived.interval(level)
        if math.isinf(self.covariance.degrees_of_freedom):
            return ends
        center, unravel = ravel(self.value)
        reach = two_sided(level, self.covariance.degrees_of_freedom) * ravel(self.standard_error)[0]
        curved = ravel(self.derived.second_order)[0] > 0.0
        low, high = (
            unravel(np.where(curved, ravel(end)[0], center + sign * reach))
            for end, sign in zip(ends, (-1, 1), strict=True)
        )
        return low, high

    def transformed(self, f: Callable[..., Any], *args: Any, names: Sequence[str] | None = None) -> Summary:
        """Return the table of functions of the parameters, by the delta method.

        Parameters
        ----------
        f : callable
            ``f(x, *args)`` returns a number, an array or a container of them; x has the structure of the parameters.
        *args
            Further arguments of f, known exactly.
        names : sequence of str, optional
            Of the raveled result; by default its keys and indices.

        Returns
        -------
        Summary
            With the result of :func:`hessian.statistics.delta_method` in ``derived``. Tests are of whether f is zero. Where f is
            stationary its interval is that of second order, and there is no test.

        Raises
        ------
        NonFiniteError, ShapeMismatchError
            f or a derivative of it is not finite, or there is not one name for each entry.

        Examples
        --------
        >>> import numpy as np
        >>> from hessian.optimize import minimize
        >>> y = np.array([0.3, -1.1, 0.8, 0.4])
        >>> nll = lambda p: np.sum(0.5 * ((y - p["mean"]) / np.exp(p["log_std"])) ** 2 + p["log_std"])
        >>> table = minimize(nll, {"mean": 0.0, "log_std": 0.0}).summary()
        >>> table = table.transformed(lambda p: {"std": np.exp(p["log_std"])})
        >>> round(float(table.value["std"]), 3), round(float(table.standard_error["std"]), 3)
        (0.718, 0.254)
        """
        found = delta_method(f, self.covariance, *args)
        own = parameter_names(found.value)
        own = tuple("f" + name[1:] if re.match(r"x(\[|$)", name) else name for name in own)
        curved = np.asarray(ravel(found.second_order)[0]) > 0.0
        statistic, pvalue = _tests(found, self.covariance.degrees_of_freedom, curved)
        notes = [
            *self.notes,
            "these are functions of the parameters, with errors by the delta method; tests are of zero.",
        ]
        with np.errstate(divide="ignore", invalid="ignore"):
            off = np.abs(ravel(found.bias)[0] / ravel(found.standard_error)[0])
        for k in np.flatnonzero((off > _CURVED) & ~curved):
            notes.append(f"curvature adds {off[k]:.2g} standard errors to the mean of {own[k]}.")
        return replace(
            self,
            value=found.value,
            standard_error=found.standard_error,
            statistic=statistic,
            pvalue=pvalue,
            names=_chosen_names(names, own),
            notes=tuple(notes),
            derived=found,
        )

    def to_dataframe(self) -> Any:
        """Return the numbers as a ``pandas.DataFrame``, a row for each parameter.

        Raises
        ------
        MissingDependencyError
            pandas is not installed.
        """
        try:
            import pandas
        except ImportError:
            what, fix = "the package 'pandas' is not installed", "Run: pip install pandas"
            raise MissingDependencyError(message("Summary.to_dataframe", what, fix=fix)) from None
        numbers = zip(self._header[1:], self._numbers().T, strict=True)
        return pandas.DataFrame(dict(numbers), index=list(self.names))

    def to_latex(self) -> str:
        r"""Return the table as a ``tabular`` of LaTeX, whose rules need ``\usepackage{booktabs}``."""
        facts = ", ".join(f"{name} {text}" for name, text in self._facts() if name != "status")
        facts = facts.replace("covariance ", "", 1)
        facts = facts[0].upper() + facts[1:] + ("" if self.n_obs is None else f", {self.n_obs} observations")
        notes = [f"Note: {note}" for note in self.notes]
        return grid_latex(self._header, self._rows(range(len(self.names))), [facts, *notes])

    def __repr__(self) -> str:
        """Lay out what is known of the fit, and a row for each parameter."""
        parts = [self._title, named_values(self._facts(), "  "), "", grid_text(self._header, self._shown())]
        for note in self.notes:
            parts.append(textwrap.fill(f"Note: {note}", 110, initial_indent="  ", subsequent_indent="    "))
        return "\n".join(parts)

    def _repr_html_(self) -> str:
        """Show the same as a table."""
        facts = [f"{name}: {text}" for name, text in self._facts()]
        return grid_html(self._header, self._shown(), self._title, facts, [f"Note: {note}" for note in self.notes])

    @property
    def _title(self) -> str:
        of = "" if self.n_obs is None else f", {self.n_obs} observations"
        what = "parameter" if self.derived is None else "derived quantity"
        many = {"parameter": "parameters", "derived quantity": "derived quantities"}[what]
        return f"Summary of {len(self.names)} {what if len(self.names) == 1 else many}{of}"

    @property
    def _header(self) -> list[str]:
        ends = (50.0 * (1.0 - self.level), 50.0 * (1.0 + self.level))
        letter = "z" if math.isinf(self.covariance.degrees_of_freedom) else "t"
        return ["", "estimate", "std. error", letter, "p", *(f"{end:.4g} %" for end in ends)]

    def _facts(self) -> list[tuple[str, str]]:
        """Name and text of what is known of the fit."""
        kind = _KINDS.get(self.covariance.kind, f"cluster-robust, {self.covariance.n_groups} groups")
        freedom = (
            ""
            if math.isinf(self.covariance.degrees_of_freedom)
            else f", t of {self.covariance.degrees_of_freedom:g} degrees of freedom"
        )
        numbers = (("log-likelihood", self.log_likelihood), ("AIC", self.aic), ("BIC", self.bic))
        return [
            ("status", f"{getattr(self.status, 'name', self.status)}, {self.method}"),
            ("covariance", kind + freedom),
            # Zero has no sign.
            *((name, f"{round(number, 4) + 0.0:.4f}") for name, number in numbers if not math.isnan(number)),
        ]

    def _numbers(self) -> np.ndarray:
        """Columns of the table, shape (n, 6); NaN where a parameter is held."""
        columns = (self.value, self.standard_error, self.statistic, self.pvalue, *self.interval(self.level))
        numbers = np.column_stack([np.asarray(ravel(column)[0], np.float64) for column in columns])
        if self.derived is None:
            fixed = set(self.covariance.fixed)
            numbers[[name in fixed for name in self.covariance.names], 1:] = np.nan
        return numbers

    def _rows(self, places: Sequence[int]) -> list[list[str]]:
        numbers, rows = self._numbers(), []
        for i in places:
            # A line or a tab in a name would take the table apart.
            name = " ".join(self.names[i].split())
            value, error, statistic, pvalue, low, high = (float(number) for number in numbers[i])
            if math.isnan(error):
                rows.append([name, f"{value:.6g}", "held", "", "", "", ""])
                continue
            cells = [by_error(number, error) for number in (value, error, low, high)]
            small = "" if math.isnan(pvalue) else "<0.001" if pvalue < 0.0005 else f"{pvalue:.3f}"
            rows.append([name, *cells[:2], _ratio(statistic), small, *cells[2:]])
        return rows

    def _shown(self) -> list[list[str]]:
        """The rows that are printed."""
        n = len(self.names)
        if n <= _MOST:
            return self._rows(range(n))
        gap = [f"... {n - _FIRST - _LAST} more", *[""] * 6]
        return [*self._rows(range(_FIRST)), gap, *self._rows(range(n - _LAST, n))]


def _ratio(statistic: float) -> str:
    """Write a statistic; nothing where there is none."""
    return "" if math.isnan(statistic) else f"{statistic:.2f}" if abs(statistic) < 1e5 else f"{statistic:.3g}"


def _tests(found: Uncertain, degrees_of_freedom: float, untested: Any = False) -> tuple[Any, Any]:
    """Statistics and two-sided probabilities of tests of zero; NaN where a number is known, or not to be tested."""
    center, unravel = ravel(found.value)
    errors = np.asarray(ravel(found.standard_error)[0], np.float64)
    with np.errstate(divide="ignore", invalid="ignore"):
        statistic = np.where((errors > 0.0) & ~np.asarray(untested, bool), center / errors, np.nan)
    return unravel(statistic), unravel(2.0 * special.stdtr(degrees_of_freedom, -np.abs(statistic)))


def _chosen_names(names: Sequence[str] | None, own: tuple[str, ...]) -> tuple[str, ...]:
    """The names that were asked for, one for each entry, or its own."""
    chosen = own if names is None else (names,) if isinstance(names, str) else tuple(map(str, names))
    if not len(set(chosen)) == len(chosen) == len(own):
        what = f"{len(chosen)} names, {len(set(chosen))} of them different, for {len(own)} parameters"
        raise ShapeMismatchError(message("summary", what, fix="Pass one for each, in the order of the raveled x"))
    return chosen


def summarize(
    result: Any,
    kind: str | None,
    level: float,
    names: Sequence[str] | None,
    *,
    source: tuple[Callable[..., Any], tuple[Any, ...]],
    scale: float | None,
    n_obs: int | None,
    given: dict[str, Any],
) -> Summary:
    """Make the table of a result; see :meth:`hessian.optimize.OptimizeResult.summary`."""
    check("summary", "level", level, INSIDE)
    is_squares = "cost" in result
    if scale is not None:
        scale = real_number("summary", "scale", scale, POSITIVE, "It makes f a negative log-likelihood")
    n_obs = _observations(result, n_obs, is_squares)
    covariance = result.covariance(kind, scale=scale, n_obs=None if is_squares else n_obs, **given)
    likelihood = _least_squares_likelihood(result, scale) if is_squares else -(scale or 1.0) * float(result.fun)
    k = len(free_places(result.x, tuple(result.get("fixed", ())))) - covariance.tied
    statistic, pvalue = _tests(covariance, covariance.degrees_of_freedom)
    return Summary(
        value=covariance.value,
        standard_error=covariance.standard_error,
        statistic=statistic,
        pvalue=pvalue,
        names=_chosen_names(names, covariance.names),
        level=float(level),
        log_likelihood=likelihood,
        aic=2.0 * k - 2.0 * likelihood,
        bic=math.nan if n_obs is None else k * math.log(n_obs) - 2.0 * likelihood,
        n_obs=n_obs,
        covariance=covariance,
        status=result.get("status"),
        method=str(result.get("method", "")),
        notes=tuple(_notes(result, covariance, None if is_squares else source, scale or 1.0)),
    )


def _observations(result: Any, n_obs: int | None, is_squares: bool) -> int | None:
    """The number of observations: of least squares that of the residuals."""
    if n_obs is not None:
        n_obs = whole_number("summary", "n_obs", n_obs)
    if not is_squares:
        return n_obs
    count = sum(np.size(leaf) for leaf in flatten(result.fun)[0])
    if n_obs not in (None, count):
        what = f"n_obs is {n_obs}, there are {count} residuals"
        raise OptionError(
            message("summary", what, "Every residual of least squares is an observation", "Leave n_obs out")
        )
    return count


def _least_squares_likelihood(result: Any, scale: float | None) -> float:
    """Gaussian log-likelihood of residuals: with the variance that makes it largest, or a known one."""
    m = sum(np.size(leaf) for leaf in flatten(result.fun)[0])
    squares = 2.0 * float(result.cost)
    if scale is None and squares == 0.0:
        return math.inf
    if scale is None:
        return -0.5 * m * (math.log(2.0 * math.pi * squares / m) + 1.0)
    return 0.5 * m * math.log(scale / (2.0 * math.pi)) - 0.5 * scale * squares


def _notes(result: Any, covariance: Covariance, source: Any, scale: float) -> list[str]:
    """What a reader has to know."""
    notes = []
    if not result.get("success", True):
        notes.append(
            f"the run ended with {result.status.name}; its point is within a tenth of a standard error of the minimum "
            "of the quadratic model there."
        )
    by_bounds = [name for name in covariance.fixed if name not in _held_by_caller(result, covariance)]
    if by_bounds:
        shown = ", ".join(by_bounds[:4]) + (", ..." if len(by_bounds) > 4 else "")
        notes.append(f"a bound holds {shown}: standard errors are those of the other parameters with it known.")
    if covariance.tied:
        many = covariance.tied > 1
        notes.append(
            f"{covariance.tied} constraint{'s tie' if many else ' ties'} the parameters: standard errors are those along the directions "
            f"that {'they leave' if many else 'it leaves'} free."
        )
    for weak in covariance.weak_directions[:3]:
        notes.append(f"the data hardly determine {weak.text} (relative information {weak.eigenvalue:.2g}).")
    what = "" if source is None else scale_note(source[0], covariance.value, source[1], scale)
    if what:
        notes.append(what)
        warnings.warn(message("summary", what), ScaleWarning, stacklevel=4)
    return notes


def _held_by_caller(result: Any, covariance: Covariance) -> set[str]:
    free = set(free_places(result.x, tuple(result.get("fixed", ()))))
    return {name for k, name in enumerate(covariance.names) if k not in free}
