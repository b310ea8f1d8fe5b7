"""The covariance of estimated parameters: observed, expected or robust, by exact second derivatives at the optimum."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from hessian.arguments import POSITIVE, real_number
from hessian.curvature.estimate import Uncertain
from hessian.errors import NotScalarError, OptionError, ShapeMismatchError, message
from hessian.linalg.vectors import row_norms
from hessian.operators.hessian_operator import HessianOperator
from hessian.operators.jacobian_operator import JacobianOperator
from hessian.statistics.fisher_information import fisher_root
from hessian.statistics.information import Information, WeakDirection
from hessian.tape.names import find_part, parameter_names
from hessian.tape.trees import flatten, join_vector, ravel

KINDS = ("observed", "expected", "sandwich")


@dataclass(frozen=True, eq=False, repr=False)
class Covariance(Uncertain):
    """Covariance of the parameters at an optimum.

    Attributes
    ----------
    kind : {"observed", "expected", "sandwich"}
    value : array or container
        The estimates, x.
    standard_error : like x
        Square roots of the variances.
    matrix : ndarray, shape (n, n)
        Covariance between raveled parameters.
    root : ndarray, shape (n, k)
        ``root @ root.T`` is the matrix; standard errors and whatever is derived from the covariance come from it, so that
        nothing cancels.
    names : tuple of str
        Of the raveled parameters.
    weak_directions : tuple of WeakDirection
        Combinations of parameters that the information matrix hardly determines, the weakest first; empty where there are
        none.
    scale : float
        What f was multiplied with.
    fixed : tuple of str
        Those of the names that were held: known exactly, with rows and columns of zeros.
    """

    kind: str
    value: Any
    standard_error: Any
    matrix: np.ndarray
    root: np.ndarray
    names: tuple[str, ...]
    weak_directions: tuple[WeakDirection, ...]
    scale: float
    fixed: tuple[str, ...] = ()

    @property
    def correlation(self) -> np.ndarray:
        """Correlations of the raveled parameters, shape (n, n), with ones on the diagonal; zeros beside what was held."""
        lengths = row_norms(self.root)
        unit = self.root / np.where(lengths > 0.0, lengths, 1.0)[:, None]
        correlation = unit @ unit.T
        np.fill_diagonal(correlation, 1.0)
        return correlation

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return np.array(self.matrix, dtype=dtype, copy=copy)

    def __repr__(self) -> str:
        """List estimates with their standard errors, and the weak directions."""
        shown = 12
        pairs = zip(self.names, ravel(self.value)[0][:shown], ravel(self.standard_error)[0][:shown], strict=False)
        rows = [
            (name, f"{value:.6g}", "held" if name in self.fixed else f"± {error:.2g}") for name, value, error in pairs
        ]
        widths = [max(len(row[i]) for row in rows) for i in range(3)]
        held = f", {len(self.fixed)} of them held" if self.fixed else ""
        lines = [f"Covariance of {len(self.names)} parameters{held}, {self.kind}"]
        lines += [f"  {name:<{widths[0]}}  {x:>{widths[1]}} {error:<{widths[2]}}".rstrip() for name, x, error in rows]
        if len(self.names) > shown:
            lines.append(f"  ... {len(self.names) - shown} more")
        for weak in self.weak_directions[:3]:
            lines.append(f"  weak: {weak.text} (relative information {weak.eigenvalue:.2g})")
        return "\n".join(lines)


def covariance(
    f: Callable[..., Any],
    x: Any,
    *args: Any,
    kind: str = "observed",
    scale: float = 1.0,
    per_example: Callable[..., Any] | None = None,
    model: Callable[..., Any] | None = None,
    likelihood: str | None = None,
    fixed: Iterable[Any] = (),
) -> Covariance:
    r"""Compute the covariance of the minimiser of a negative log-likelihood.

    With c = ``scale``, H the exact Hessian of c f at x, :math:`s_i` the gradient of the i-th example's term and F(z) the
    information of an observation about its natural parameters z:

    .. math:: V_{observed} = H^{-1}, \qquad V_{expected} = (J^T F(z) J)^{-1} / c, \qquad
              V_{sandwich} = H^{-1} \Bigl(\sum_i s_i s_i^T\Bigr) H^{-1}

    Parameters
    ----------
    f : callable
        ``f(x, *args)`` returns one number. **c f is the negative log-likelihood of all data**, constants aside.
    x : array or container of float arrays
        Its minimiser.
    *args
        Further arguments of all functions here.
    kind : {"observed", "expected", "sandwich"}
        ``"observed"`` and ``"expected"`` hold where the likelihood is right, and agree in large samples; the sandwich
        holds where only the gradient is right, for independent examples (heteroscedasticity, a wrong distribution).
    scale : float
        c: 1 for a sum of negative log-likelihoods, the number of examples n for their mean, :math:`1 / \sigma^2` for half
        a sum of squares of residuals with the variance :math:`\sigma^2`. For ``"expected"`` it multiplies the information
        of the model: 1 except for a Gaussian, where it is :math:`1 / \sigma^2`.
    per_example : callable
        For the sandwich: ``per_example(x, *args)`` returns the n terms of c f, shape (n,), a penalty left out. (For a
        cluster of dependent examples, their sum is one term.)
    model : callable
        For ``"expected"``: ``model(x, *args)`` returns z, shape (n,) or (n, k).
    likelihood : {"gaussian", "bernoulli", "poisson", "categorical"}
        For ``"expected"``: z are means with variance 1 (set ``scale``), log-odds, logarithms of rates, logits of classes.
    fixed : iterable of keys
        Parameters that were held (``fixed=`` of :func:`hessian.optimize.minimize`, whose result passes them on): matrices are those of
        the others, and these count as known.

    Returns
    -------
    Covariance

    Raises
    ------
    ConvergenceError
        The information matrix is singular or has a negative eigenvalue (the message names the combination of parameters),
        or x is more than a tenth of a standard error from the minimum of the quadratic model there.
    OptionError
        The kind is unknown, a function that it needs is missing, the scale is not positive, the expected information of
        a likelihood without a scale is asked for with one, or the terms of the sandwich add up to c f times or by their
        number, or to f where c is not 1.
    NotScalarError, NonFiniteError, ShapeMismatchError, DtypeError
        By functions that do not return what they should.

    Notes
    -----
    A penalty in f counts as information with ``"observed"``, as it should for the curvature of a posterior; the frequentist
    error of a penalised estimate is the sandwich. The sandwich is White's, without a correction for small samples (HC0):
    multiply by n / (n - p) for HC1. The matrix is scaled to a diagonal of 1 before it is decomposed, so that the units of
    the parameters do not matter: neither to the inverse, nor to what counts as singular or as a weak direction.

    Cost: the dense Hessian (n products in blocks) and an eigendecomposition, O(p^3) for p parameters; for the sandwich
    and the expected information a Jacobian, min(n k, p) sweeps.

    References
    ----------
    B. Efron and D. V. Hinkley, Biometrika 65 (1978) 457-482, observed and expected information. H. White, Econometrica 50
    (1982) 1-25, theorem 3.2, the sandwich. P. McCullagh and J. A. Nelder, Generalized Linear Models (1989), section 2.5.

    Examples
    --------
    >>> import numpy as np
    >>> from hessian.statistics.covariance import covariance
    >>> counts = np.array([3.0, 5.0, 4.0, 4.0])
    >>> nll = lambda u: np.sum(np.exp(u) - counts * u)
    >>> rate = covariance(nll, np.log(4.0))
    >>> rate
    Covariance of 1 parameters, observed
      x  1.38629 ± 0.25
    >>> bool(np.isclose(rate.matrix[0, 0], 1 / counts.sum()))
    True
    """
    task = _Task(f, x, args, kind, _checked_scale(scale), fixed)
    if kind == "observed":
        return task.finish(task.hessian())
    if kind == "expected":
        if model is None or likelihood is None:
            what = "kind='expected' needs the distribution of the data"
            why = "An expectation over data cannot be read off the data's own likelihood"
            fix = 'Pass model=(x -> z) and likelihood="bernoulli" (or the like), or use kind="observed"'
            raise OptionError(message("covariance", what, why, fix))
        if likelihood != "gaussian" and task.scale != 1.0:
            what = f"scale is {task.scale:g} with likelihood={likelihood!r}"
            why = "The expected information is that of all rows of the model, whatever f is a multiple of"
            raise OptionError(message("covariance", what, why, "Leave scale at 1"))
        root = math.sqrt(task.scale) * fisher_root(model, likelihood, x, args, "covariance")
        return task.finish(task.information_of(root, "Fisher information"))
    if per_example is None:
        what = "kind='sandwich' needs the gradient of every example"
        fix = "Pass per_example=, a function of (x, *args) that returns the terms of the sum, shape (n,)"
        raise OptionError(message("covariance", what, fix=fix))
    return task.finish(task.hessian(), task.scores(per_example))


def least_squares_covariance(
    f: Callable[..., Any],
    x: Any,
    *args: Any,
    kind: str = "expected",
    scale: float | None = None,
    fixed: Iterable[Any] = (),
) -> Covariance:
    r"""Compute the covariance of a least-squares estimate, whose ``f`` returns residuals.

    With J the Jacobian of the residuals r and H the exact Hessian of :math:`\tfrac12 |r|^2`,

    .. math:: V_{expected} = s^2 (J^T J)^{-1}, \qquad V_{observed} = s^2 H^{-1}, \qquad
              V_{sandwich} = H^{-1} \Bigl(\sum_i r_i^2 j_i j_i^T\Bigr) H^{-1}, \qquad s^2 = \frac{|r|^2}{m - n}

    Parameters
    ----------
    f : callable
        ``f(x, *args)`` returns m residuals.
    x : array or container of float arrays
        n parameters.
    *args
        Further arguments of f.
    kind : {"expected", "observed", "sandwich"}
        ``"expected"`` is the Gauss-Newton one that regression programs report and NIST certifies.
    scale : float, optional
        One over the variance of the errors where that is known; by default :math:`1 / s^2`. The sandwich does not depend
        on it.
    fixed : iterable of keys
        Parameters that were held, as for :func:`covariance`; n counts the others.

    Returns
    -------
    Covariance

    Raises
    ------
    ConvergenceError, NonFiniteError
        As for :func:`covariance`.
    OptionError
        The kind is unknown, the scale is not positive, or there are no degrees of freedom to estimate the variance from.

    References
    ----------
    D. M. Bates and D. G. Watts, Nonlinear Regression Analysis and Its Applications (1988), section 2; for the observed
    information J. R. Donaldson and R. B. Schnabel, Technometrics 29 (1987) 67-82.

    Examples
    --------
    >>> import numpy as np
    >>> y = np.array([1.0, 3.0, 2.0, 4.0])
    >>> mean = least_squares_covariance(lambda b: b - y, np.array([2.5]))
    >>> bool(np.isclose(mean.standard_error[0], np.std(y, ddof=1) / 2))
    True
    """
    operator = JacobianOperator(f, x, *args)
    residuals = join_vector([np.asarray(leaf, np.float64) for leaf in flatten(operator.value)[0]])
    if scale is None:
        n = len(_free(x, fixed))
        freedom = residuals.size - n
        if freedom <= 0 and kind != "sandwich":
            what = f"{residuals.size} residuals for {n} parameters leave no degrees of freedom"
            fix = "Pass scale=1/variance if the variance of the errors is known"
            raise OptionError(message("covariance", what, "They cannot tell the variance of the errors", fix))
        squares = float(residuals @ residuals)
        scale = freedom / squares if squares > 0.0 and freedom > 0 else 1.0
        if squares == 0.0 and kind != "sandwich":
            what = "all residuals are zero"
            fix = "Pass scale=1/variance if the variance of the errors is known"
            raise OptionError(message("covariance", what, "They cannot tell the variance of the errors", fix))

    def cost(point: Any, *rest: Any) -> Any:
        leaves = flatten(f(point, *rest))[0]
        return 0.5 * sum(np.sum(leaf * leaf) for leaf in leaves)

    task = _Task(cost, x, args, kind, _checked_scale(scale), fixed)
    if kind == "observed":
        return task.finish(task.hessian())
    jacobian = operator.to_dense()
    if kind == "expected":
        return task.finish(task.information_of(math.sqrt(task.scale) * jacobian, "Jacobian", operator))
    return task.finish(task.hessian(), task.scale * residuals[:, None] * jacobian)


class _Task:
    """What the kinds share: the point, its names, the gradient, and the way from information to errors."""

    def __init__(
        self, f: Callable[..., Any], x: Any, args: tuple[Any, ...], kind: str, scale: float, fixed: Iterable[Any] = ()
    ) -> None:
        if kind not in KINDS:
            what = f"kind is {kind!r}"
            raise OptionError(message("covariance", what, fix=f"Pass one of {', '.join(map(repr, KINDS))}"))
        self.kind, self.x, self.args, self.scale = kind, x, args, scale
        self.names = parameter_names(x)
        self._free = _free(x, fixed)
        self._free_names = [self.names[k] for k in self._free]
        self._operator = HessianOperator(f, x, *args)

    def hessian(self) -> Information:
        """The Hessian of the negative log-likelihood."""
        matrix = self._operator.to_dense()[np.ix_(self._free, self._free)]
        scaled = matrix.dtype.type(self.scale) * matrix
        return Information.of_matrix(scaled, self._free_names, where="covariance", source=self._operator)

    def information_of(self, root: np.ndarray, what: str, source: Any = None) -> Information:
        """The information by its root."""
        return Information.of_root(root[:, self._free], self._free_names, where="covariance", what=what, source=source)

    def scores(self, per_example: Callable[..., Any]) -> np.ndarray:
        """Gradients of the examples' terms, shape (n, p)."""
        operator = JacobianOperator(per_example, self.x, *self.args)
        terms = operator.value
        if np.ndim(terms) != 1 or not isinstance(terms, np.ndarray):
            what = f"per_example returns an array of shape {np.shape(terms)}"
            if np.ndim(terms) == 0:
                raise NotScalarError(message("covariance", what, fix="Return one term per example, shape (n,)"))
            raise ShapeMismatchError(message("covariance", what, fix="Return one term per example, shape (n,)"))
        self._check_unit(terms)
        return operator.to_dense()

    def _check_unit(self, terms: np.ndarray) -> None:
        """Refuse terms whose sum is c f but for a factor that mistakes are made of."""
        count, total, value = len(terms), float(np.sum(terms)), float(self._operator.value)
        allowed = 1e-9 + float(np.finfo(terms.dtype).eps) * count

        def is_near(a: float, b: float) -> bool:
            return a != 0.0 and abs(a - b) <= allowed * max(abs(a), abs(b))

        if is_near(self.scale * value, total):
            return
        why = "H and scores need one unit"
        if count > 1 and is_near(self.scale * value * count, total):
            what = f"scale * f is the mean of the {count} terms of per_example, not their sum"
            raise OptionError(message("covariance", what, why, f"Pass scale={self.scale * count:g}"))
        if is_near(value, total) or (count > 1 and is_near(self.scale * value, total * count)):
            what = f"the terms of per_example add up to {total:.6g}, scale * f is {self.scale * value:.6g}"
            raise OptionError(message("covariance", what, why, "Return the terms of scale * f, not those of f"))

    def finish(self, information: Information, scores: np.ndarray | None = None) -> Covariance:
        """Check that x is the optimum, and put the result together."""
        gradient = self.scale * self._operator.gradient.astype(np.float64)[self._free]
        why, fix = (
            "Curvature elsewhere is not that of the optimum",
            "Minimise with a smaller gtol, or start again from x",
        )
        information.check_optimum(gradient, "covariance", "errors", "minimum", why, fix)
        root = information.inverse_root
        if scores is not None:
            # Triangular, so that the root has no more columns than there are parameters.
            root = root @ np.asarray(np.linalg.qr(scores.astype(np.float64)[:, self._free] @ root, mode="r")).T
        center, unravel = ravel(self.x)
        root, inner = np.zeros((center.size, root.shape[1])), root
        root[self._free] = inner
        errors = row_norms(root)
        return Covariance(
            kind=self.kind,
            value=unravel(center),
            standard_error=unravel(errors),
            matrix=root @ root.T,
            root=root,
            names=self.names,
            weak_directions=information.weak_directions,
            scale=self.scale,
            fixed=tuple(np.delete(np.array(self.names, dtype=object), self._free)),
        )


def _free(x: Any, fixed: Iterable[Any]) -> np.ndarray:
    """Positions of the parameters that were not held."""
    mask = np.ones(ravel(x)[0].size, bool)
    for key in fixed:
        for places in find_part(x, key, "covariance").places:
            mask[places] = False
    return np.flatnonzero(mask)


def _checked_scale(scale: Any) -> float:
    why = "It makes f a negative log-likelihood"
    fix = "It is 1 for a sum, n for a mean of n terms, 1/variance for half a sum of squares"
    return real_number("covariance", "scale", scale, POSITIVE, why, fix)
