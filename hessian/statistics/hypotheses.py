"""Tests of hypotheses about parameters: by the ratio of two likelihoods, or by the distance of an estimate in standard errors."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import special

from hessian.arguments import POSITIVE, real_number
from hessian.errors import ConvergenceError, NonFiniteError, OptionError, ScaleWarning, ShapeMismatchError, message
from hessian.linalg.vectors import row_norms
from hessian.operators.jacobian_operator import JacobianOperator
from hessian.optimize.fixed import held_numbers
from hessian.optimize.result import OptimizeResult
from hessian.statistics.covariance_result import Covariance
from hessian.statistics.outputs import Outputs
from hessian.statistics.terms import scale_note
from hessian.tape.names import find_part
from hessian.tape.trees import flatten, ravel
from hessian.text import Shown

_ROUNDING = 1e-9
"""Share of the objective by which a smaller model may seem better."""
_DEPENDENT = 1e-10
"""Share of the largest singular value, rows scaled, from which on conditions count."""


@dataclass(frozen=True, eq=False, repr=False)
class HypothesisTest(Shown):
    """A test of a hypothesis.

    Attributes
    ----------
    kind : {"likelihood ratio", "Wald"}
    statistic : float
    pvalue : float
        Probability of a larger statistic where the hypothesis holds.
    df : int or tuple of int
        Degrees of freedom: of chi-square, or of the numerator and the denominator of F.
    distribution : {"chi2", "F"}
    """

    kind: str
    statistic: float
    pvalue: float
    df: Any
    distribution: str

    def __repr__(self) -> str:
        df = ", ".join(map(str, self.df)) if isinstance(self.df, tuple) else str(self.df)
        return f"<HypothesisTest {self.kind}: {self.distribution}({df}) = {self.statistic:.6g}, p = {self.pvalue:.4g}>"


def _finished(kind: str, statistic: float, df: int, rest: int | None) -> HypothesisTest:
    """Put a test together: by chi-square, or by F where the variance was estimated with so many degrees of freedom."""
    if rest is None:
        return HypothesisTest(kind, statistic, float(special.chdtrc(df, statistic)), df, "chi2")
    return HypothesisTest(kind, statistic, float(special.fdtrc(df, rest, statistic)), (df, rest), "F")


def likelihood_ratio_test(big: OptimizeResult, small: OptimizeResult, *, scale: float = 1.0) -> HypothesisTest:
    r"""Test whether a model fits no better than one that is contained in it.

    .. math:: 2 c \, (f_{small} - f_{big}) \sim \chi^2_q, \qquad
              F = \frac{(S_{small} - S_{big}) / q}{S_{big} / (m - n)} \sim F_{q, \, m - n}

    Parameters
    ----------
    big, small : OptimizeResult
        Of two fits to the same data, ``small`` with q free parameters less: parameters of the other held (``fixed=``) or tied by
        constraints that are active, or a function of its own. For results of :func:`~hessian.optimize.least_squares`, whose variance is
        estimated, the second formula holds, S being sums of squares; for linear models it is exact.
    scale : float
        c, which makes the objective a negative log-likelihood: 1 for a sum, n for a mean of n terms. It must be the same in both,
        constants included.

    Returns
    -------
    HypothesisTest

    Raises
    ------
    ConvergenceError
        A fit has not converged, or the smaller model fits better: the larger one is not at its minimum, or they are not nested.
    OptionError
        The smaller model has no fewer free parameters, one result is of least squares and the other is not, a robust loss.

    Warns
    -----
    ScaleWarning
        c times the objective is the mean of its terms, or as many times their sum, as its operations say.

    Notes
    -----
    Where the hypothesis lies on the boundary of the larger model (a variance of 0), the law is a mixture, and this p-value is too
    large. Cost: none; with constraints that of a covariance.

    References
    ----------
    S. S. Wilks, "The large-sample distribution of the likelihood ratio for testing composite hypotheses", Ann. Math. Statist. 9 (1938)
    60-62. S. G. Self and K.-Y. Liang, J. Amer. Statist. Assoc. 82 (1987) 605-610, on the boundary.

    Examples
    --------
    >>> import numpy as np
    >>> from hessian.optimize import minimize
    >>> counts = np.array([3.0, 5.0, 4.0, 4.0, 12.0, 15.0])
    >>> group = np.array([0.0, 0.0, 0.0, 0.0, 1.0, 1.0])
    >>> nll = lambda p: np.sum(np.exp(p["level"] + p["effect"] * group) - counts * (p["level"] + p["effect"] * group))
    >>> big = minimize(nll, {"level": 0.0, "effect": 0.0})
    >>> small = minimize(nll, big.x, fixed={"effect": 0.0})
    >>> likelihood_ratio_test(big, small)
    <HypothesisTest likelihood ratio: chi2(1) = 15.5348, p = 8.1e-05>
    """
    where = "likelihood_ratio_test"
    c = real_number(where, "scale", scale, POSITIVE, "It makes the objective a negative log-likelihood")
    for name, res in (("big", big), ("small", small)):
        if not res.success:
            what = f"the {name} model has stopped with status {getattr(res.get('status'), 'name', res.get('status'))}"
            why = "Its likelihood is not the largest"
            raise ConvergenceError(message(where, what, why, str(res.get("message", ""))))
    for note in _scale_notes(big, small, c):
        warnings.warn(message(where, note), ScaleWarning, stacklevel=2)
    are_squares = [("cost" in res) for res in (big, small)]
    if are_squares[0] != are_squares[1] or (are_squares[0] and not ("residual_std" in big and "residual_std" in small)):
        what = "one result is of least squares and the other is not, or a loss is robust"
        raise OptionError(message(where, what, "Their objectives are no likelihoods of one kind", "Fit both alike"))
    counts = [_count(res) for res in (big, small)]
    q = counts[0] - counts[1]
    if q <= 0:
        what = f"free parameters number {counts[0]} in big, {counts[1]} in small"
        raise OptionError(
            message(where, what, "The smaller model is contained in the larger", "Swap them, or hold some")
        )
    values = [float(res.cost if "cost" in res else res.fun) for res in (big, small)]
    gain = values[1] - values[0]
    if gain < -_ROUNDING * max(abs(value) for value in values):
        what = f"the smaller model fits better: {values[1]:.10g} is below {values[0]:.10g}"
        why = "What contains it fits at least as well at its minimum"
        raise ConvergenceError(
            message(where, what, why, "Start the larger fit from small.x, or check that they are nested")
        )
    gain = max(gain, 0.0)
    if not are_squares[0]:
        return _finished("likelihood ratio", 2.0 * c * gain, q, None)
    many = [sum(np.size(leaf) for leaf in flatten(res.fun)[0]) for res in (big, small)]
    if many[0] != many[1]:
        what = f"big has {many[0]} residuals, small {many[1]}"
        raise OptionError(message(where, what, "Both are of the same data", "Fit both to the rows that both have"))
    rest = int(big.degrees_of_freedom)
    if rest <= 0 or values[0] == 0.0:
        what = f"the larger model leaves {rest} degrees of freedom and a cost of {values[0]:.3g}"
        raise OptionError(message(where, what, "They cannot tell the variance of the errors", "Add data"))
    return _finished("likelihood ratio", gain / q / (values[0] / rest), q, rest)


def _scale_notes(big: OptimizeResult, small: OptimizeResult, c: float) -> list[str]:
    """What is to be said of the scale: once where both are alike."""
    notes = []
    for res in (big, small):
        source = res.__dict__.get("_source")
        notes.append(None if source is None or "cost" in res else scale_note(source[0], res.x, source[1], c))
    if None in notes or notes[0] == notes[1]:
        return list(dict.fromkeys(note for note in notes if note))
    names = ("the larger model", "the smaller model")
    return [f"of {name}, unlike the other, {note}" for name, note in zip(names, notes, strict=True) if note]


def _count(res: OptimizeResult) -> int:
    """Number of free parameters, less what constraints tie."""
    held = sum(len(np.ravel(place)) for key in res.get("fixed", ()) for place in find_part(res.x, key, "test").places)
    tied = int(res.covariance().tied) if "constr_violation" in res else 0
    return ravel(res.x)[0].size - held - tied


def wald_test(res: Any, R: Any, r: Any = 0.0) -> HypothesisTest:
    r"""Test conditions on parameters by how many standard errors the estimates are away from them.

    .. math:: W = (R \hat x - r)^T (R V R^T)^{-1} (R \hat x - r) \sim \chi^2_q, \qquad
              W / q \sim F_{q, \, m - n} \text{ for least squares}

    Parameters
    ----------
    res : OptimizeResult, Covariance or Laplace
        Estimates with their covariance V; of a result ``res.covariance()``. For others pass those: ``res.covariance("sandwich", ...)``.
    R : array, key, list of keys, dict, or callable
        q conditions :math:`R x = r`: a matrix of shape (q, n), or (n,), on raveled parameters; names of parameters (as for ``fixed=``
        of :func:`~hessian.optimize.minimize`), which equal r; a dict of names and values, as for ``fixed=``; or a smooth function of
        x, linearised at the estimates by its exact Jacobian.
    r : number, or array of shape (q,)
        What R x is compared with.

    Returns
    -------
    HypothesisTest

    Raises
    ------
    OptionError
        There is no such parameter.
    ShapeMismatchError
        R does not fit the parameters, or r does not fit R.
    ConvergenceError
        Conditions repeat each other, or are about what is held, or V does not exist.

    Notes
    -----
    Unlike the likelihood ratio the statistic depends on how the model is written (on sigma or on log sigma).

    References
    ----------
    A. Wald, "Tests of statistical hypotheses concerning several parameters when the number of observations is large", Trans. Amer.
    Math. Soc. 54 (1943) 426-482.

    Examples
    --------
    >>> import numpy as np
    >>> from hessian.optimize import minimize
    >>> counts = np.array([3.0, 5.0, 4.0, 4.0])
    >>> res = minimize(lambda u: np.sum(np.exp(u) - counts * u), np.zeros(1))
    >>> wald_test(res, 0, np.log(3.0))
    <HypothesisTest Wald: chi2(1) = 1.32418, p = 0.2498>
    """
    where = "wald_test"
    if isinstance(res, OptimizeResult):
        res = res.covariance()
    freedom = getattr(res, "degrees_of_freedom", math.inf)
    rest = int(freedom) if isinstance(res, Covariance) and math.isfinite(freedom) else None
    center = ravel(res.value)[0].astype(np.float64)
    values, jacobian = _conditions(R, res.value, center, where)
    if not values.size:
        raise OptionError(message(where, "there are no conditions", fix="Pass at least one"))
    if isinstance(R, Mapping) and np.any(np.asarray(r) != 0.0):
        what = "r is given with a dict of values"
        raise OptionError(message(where, what, "The dict says what each parameter is compared with", "Leave r out"))
    try:
        gap = values - np.broadcast_to(np.asarray(r, np.float64), values.shape)
    except (TypeError, ValueError):
        what = f"r has shape {np.shape(r)} for {values.size} conditions"
        raise ShapeMismatchError(message(where, what, fix="Pass a number, or one for each")) from None
    if not (np.isfinite(gap).all() and np.isfinite(jacobian).all()):
        what = "a condition or its Jacobian at the estimates holds NaN or infinity"
        raise NonFiniteError(message(where, what, fix="Pass conditions that are finite there"))
    root = res.spread.carried_root(jacobian)
    lengths = row_norms(root)
    sizes = np.where(lengths > 0.0, lengths, 1.0)
    left, singular, _ = np.linalg.svd(root / sizes[:, None], full_matrices=False)
    if not len(singular) or len(singular) < len(gap) or singular[-1] <= _DEPENDENT * singular[0]:
        what = f"the {len(gap)} conditions are not independent"
        why = "Some follow from others, or are about parameters that are held"
        raise ConvergenceError(message(where, what, why, "Leave them out"))
    scaled = (left.T @ (gap / sizes)) / singular
    statistic = float(scaled @ scaled)
    return _finished("Wald", statistic if rest is None else statistic / len(gap), len(gap), rest)


def _conditions(R: Any, x: Any, center: np.ndarray, where: str) -> tuple[np.ndarray, np.ndarray]:
    """Values and Jacobian of conditions."""
    if isinstance(R, Mapping):
        values, jacobian = _chosen(list(R), x, center, where)
        wanted = [number for key, value in R.items() for number in held_numbers(find_part(x, key, where), value, where)]
        return values - np.array(wanted), jacobian
    if callable(R):
        return _linearized(R, x)
    is_name = isinstance(R, str | int | np.integer | tuple)
    if is_name or (isinstance(R, list) and all(isinstance(key, str | tuple) for key in R)):
        return _chosen([R] if is_name else R, x, center, where)
    if np.asarray(R).dtype.kind not in "iuf":
        what = f"R is an array of dtype {np.asarray(R).dtype}"
        raise OptionError(message(where, what, "Its rows are coefficients", "Pass real numbers, or names"))
    matrix = np.atleast_2d(np.asarray(R, np.float64))
    if matrix.ndim != 2 or matrix.shape[1] != center.size or not len(matrix):
        what = f"R has shape {np.shape(R)}, there are {center.size} parameters"
        raise ShapeMismatchError(message(where, what, fix=f"Pass shape (q, {center.size}), or names"))
    return matrix @ center, matrix


def _chosen(keys: list[Any], x: Any, center: np.ndarray, where: str) -> tuple[np.ndarray, np.ndarray]:
    """Parameters by their names."""
    places = [np.ravel(place) for key in keys for place in find_part(x, key, where).places]
    rows = np.concatenate(places) if places else np.empty(0, int)
    jacobian = np.zeros((len(rows), center.size))
    jacobian[np.arange(len(rows)), rows] = 1.0
    return center[rows], jacobian


def _linearized(function: Callable[..., Any], x: Any) -> tuple[np.ndarray, np.ndarray]:
    """A function of the parameters at the estimates."""
    operator = JacobianOperator(function, x)
    return Outputs(operator.value).vector, operator.to_dense().astype(np.float64)
