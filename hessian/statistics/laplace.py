"""Laplace's approximation: the posterior as a Gaussian at its mode, by the exact Hessian or the Gauss-Newton matrix."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from hessian.arguments import POSITIVE, Rng, as_generator, check, is_real, whole_number
from hessian.curvature.estimate import spread_error, widened
from hessian.errors import OptionError, ShapeMismatchError, message
from hessian.operators.differentiated import DifferentiatedOperator
from hessian.operators.gauss_newton import GaussNewtonOperator
from hessian.operators.hessian_operator import HessianOperator
from hessian.operators.jacobian_operator import JacobianOperator
from hessian.statistics.information import Information, WeakDirection
from hessian.statistics.outputs import Outputs
from hessian.statistics.sparse_information import SparseInformation, sparse_matrix
from hessian.statistics.spread import Spread, Spreading
from hessian.tape.names import parameter_names
from hessian.tape.origins import Origin
from hessian.tape.trees import describe, flatten, is_container, join_vector, map_leaves, only_numbers, ravel
from hessian.text import Shown
from hessian.transforms.locate import not_finite, origin_in


@dataclass(frozen=True, eq=False, repr=False)
class Prediction(Shown):
    """What a model predicts where its parameters are uncertain.

    Attributes
    ----------
    mean, variance : like the model's output
        Of the model's output over the posterior: the uncertainty of the parameters, without noise of the data.
    covariance : ndarray, shape (m, m), or None
        Between raveled outputs, where it was asked for.
    method : {"linearized", "samples"}
    n_samples : int
        0 for the linearised prediction.
    standard_error : like the model's output
        Of the mean, over the samples, widened for few of them; ``inf`` for the linearised prediction, whose error nothing bounds.
        Of outputs with long tails, samples that never reached them say too little of both errors.
    variance_error : like the model's output
        Standard error of the variance, by the fourth moments of the samples, likewise.
    """

    mean: Any
    variance: Any
    covariance: np.ndarray | None
    method: str
    n_samples: int
    standard_error: Any
    variance_error: Any

    @property
    def standard_deviation(self) -> Any:
        """Square root of the variance."""
        return map_leaves(np.sqrt, self.variance)

    def __repr__(self) -> str:
        deviations = np.sqrt(Outputs(self.variance).vector)
        count = "" if self.method == "linearized" else f" of {self.n_samples}"
        return (
            f"<Prediction of {deviations.size} outputs, {self.method}{count}: "
            f"standard deviations {deviations.min(initial=math.inf):.3g} to {deviations.max(initial=0.0):.3g}, {self._doubt()}>"
        )

    def _doubt(self) -> str:
        """Say how well the mean is known."""
        if self.method == "linearized":
            return "error of the linearisation not bounded"
        return f"means ± up to {Outputs(self.standard_error).vector.max(initial=0.0):.2g}"


@dataclass(frozen=True, eq=False, repr=False)
class Laplace(Spreading):
    """Gaussian approximation of a posterior.

    Attributes
    ----------
    value : array or container
        Its mean, the mode of the posterior, x.
    standard_error : like x
        Standard deviations of the posterior.
    covariance : ndarray, shape (n, n)
        Inverse of the posterior precision, between raveled parameters. Of a large sparse model it is refused by a
        :class:`TooDenseError`: take :meth:`among`.
    root : ndarray, shape (n, n)
        ``root @ root.T`` is the covariance. Refused likewise.
    log_evidence : float
        Logarithm of the marginal likelihood of the data, constants included as far as f includes them.
    log_likelihood : float
        ``-scale * f(x)``.
    log_prior : float
        Logarithm of the prior density at x.
    log_occam : float
        Logarithm of the volume of the posterior, ``n/2 log 2 pi + 1/2 log det covariance``; the evidence is the sum of the
        three.
    effective_parameters : float
        Directions that the data determine rather than the prior, ``n - tr(prior precision @ covariance)``.
    names : tuple of str
    weak_directions : tuple of WeakDirection
    curvature : {"hessian", "gauss-newton"}
    structure : {"dense", "sparse"}
        How the covariance is held: by a root, or by the sparse factor of the precision. ``spread`` is what holds it.
    """

    value: Any
    standard_error: Any
    spread: Spread
    log_evidence: float
    log_likelihood: float
    log_prior: float
    log_occam: float
    effective_parameters: float
    names: tuple[str, ...]
    weak_directions: tuple[WeakDirection, ...]
    curvature: str

    @property
    def covariance(self) -> np.ndarray:
        """Covariance between raveled parameters, shape (n, n)."""
        return self.spread.matrix

    def __repr__(self) -> str:
        return (
            f"<Laplace approximation of {len(self.names)} parameters ({self.curvature}): log evidence {self.log_evidence:.6g}, "
            f"{self.effective_parameters:.4g} effective parameters>"
        )

    def sample(self, n_samples: int, rng: Rng = 0) -> list[Any]:
        """Draw parameters from the approximation.

        Parameters
        ----------
        n_samples : int
        rng : int, numpy.random.Generator or None

        Returns
        -------
        list
            Of parameters like x.

        Raises
        ------
        OptionError
            The number of samples is not a positive integer.
        """
        whole_number("sample", "n_samples", n_samples)
        center, unravel = ravel(self.value)
        draws = self.spread.draws(n_samples, as_generator(rng, "sample"))
        return [unravel(center + draw.astype(center.dtype)) for draw in draws]

    def predict(
        self,
        model: Callable[..., Any],
        *args: Any,
        method: str = "linearized",
        n_samples: int = 1000,
        rng: Rng = 0,
        full: bool = False,
    ) -> Prediction:
        r"""Predict with uncertain parameters.

        .. math:: \text{mean } g(\hat x), \qquad \text{covariance } J V J^T, \qquad J = \partial g / \partial x \text{ at } \hat x

        Parameters
        ----------
        model : callable
            ``model(x, *args)`` returns the outputs g, an array of any shape or a container.
        *args
            Inputs.
        method : {"linearized", "samples"}
            The formulas above by exact Jacobians, or moments of the outputs at parameters drawn from the approximation. With
            ``curvature="gauss-newton"`` the linearised prediction is the consistent one (Immer et al. 2021): samples leave
            the region where that matrix describes the network.
        n_samples, rng
            For samples.
        full : bool
            Compute the covariance between all outputs.

        Raises
        ------
        OptionError
            An unknown method, or fewer than two samples.
        NonFiniteError
            The prediction is not finite.

        Notes
        -----
        Add the variance of the noise for the variance of new data. Cost: min(m, n) sweeps for m outputs, or an evaluation
        per sample. Of a sparse model the products that a sparse Jacobian of the outputs takes, and a solve for each of them.

        References
        ----------
        D. J. C. MacKay, Neural Computation 4 (1992) 448-472. A. Immer, M. Korzepa and M. Bauer, "Improving predictions of
        Bayesian neural nets via local linearization", AISTATS (2021).
        """
        if method == "samples":
            return self._sampled(model, args, n_samples, rng, full)
        if method != "linearized":
            fix = "Pass 'linearized' or 'samples'"
            raise OptionError(message("predict", f"method is {method!r}", fix=fix))
        operator = JacobianOperator(model, self.value, *args)
        jacobian = operator.to_sparse().tocsr() if self.spread.is_sparse else operator.to_dense()
        variance, covariance = self.spread.carried(jacobian.astype(np.float64), full)
        unknown = np.full(len(variance), math.inf)
        find = operator.origin_of_nonfinite
        return _prediction(operator.value, None, variance, covariance, method, 0, (unknown, unknown), find)

    def _sampled(
        self, model: Callable[..., Any], args: tuple[Any, ...], n_samples: int, rng: Any, full: bool
    ) -> Prediction:
        draws = self.sample(n_samples, rng)
        if n_samples < 2:
            raise OptionError(message("predict", "n_samples is 1", "A variance takes two", "Pass n_samples >= 2"))
        outputs = [model(draw, *args) for draw in draws]
        table = np.stack([Outputs(output).vector for output in outputs])
        mean = table.mean(axis=0)
        apart = table - mean
        variance = np.sum(apart * apart, axis=0) / (n_samples - 1)
        covariance = apart.T @ apart / (n_samples - 1) if full else None
        # Relative to the spread: the fourth powers of small numbers vanish.
        relative = apart / np.where(variance > 0.0, np.sqrt(variance), 1.0)
        kurtosis = np.maximum(np.mean(relative**4, axis=0), 3.0)
        dof = (n_samples - 1.0) * 2.0 / (kurtosis - 1.0)
        errors = widened(np.sqrt(variance / n_samples), n_samples - 1.0), variance * spread_error(dof)
        lost = next((draw for draw, row in zip(draws, table, strict=True) if not np.isfinite(row).all()), None)
        find = lambda: None if lost is None else origin_in(model, (lost, *args), order=0)
        return _prediction(outputs[0], mean, variance, covariance, "samples", n_samples, errors, find)


def laplace(
    f: Callable[..., Any],
    x: Any,
    *args: Any,
    prior_precision: Any,
    prior_mean: Any = 0.0,
    scale: float = 1.0,
    model: Callable[..., Any] | None = None,
    structure: str = "auto",
) -> Laplace:
    r"""Approximate a posterior by a Gaussian at its mode.

    With c = ``scale`` and the prior :math:`N(\mu, \Lambda^{-1})`, :math:`\Lambda` diagonal,

    .. math::

        P = c \nabla^2 f(\hat x) + \Lambda, \qquad
        \log p(D) \approx -c f(\hat x) - \tfrac12 (\hat x - \mu)^T \Lambda (\hat x - \mu)
        + \tfrac12 \log\det\Lambda - \tfrac12 \log\det P

    Parameters
    ----------
    f : callable
        ``f(x, *args)`` returns one number, **the prior left out**; c f is the negative log-likelihood of all data. The
        evidence counts its constants: include them (:math:`\tfrac n2 \log 2\pi\sigma^2`) to compare models that differ in
        them. With ``model``, ``f(z)`` is a function of the outputs z.
    x : array or container of float arrays
        The mode :math:`\hat x`, where :math:`c f + \tfrac12 (x - \mu)^T \Lambda (x - \mu)` is least.
    *args
        Further arguments of f, or of ``model`` where there is one.
    prior_precision : number, or like x
        :math:`\Lambda > 0`: what weight decay calls l2, times c.
    prior_mean : number, or like x
        :math:`\mu`.
    scale : float
        c: 1 for a sum, n for a mean of n terms, :math:`1 / \sigma^2` for half a sum of squares.
    model : callable, optional
        ``model(x, *args)`` returns outputs z: the Gauss-Newton matrix of ``f(model(x, *args))`` then takes the place of the
        Hessian. It is never negative where f is convex in z, which a network's Hessian need not be.
    structure : {"auto", "dense", "sparse"}
        How the precision is inverted: ``"sparse"`` by a factor of the sparse matrix, ``"auto"`` so beyond 500 parameters where few products
        give it and few of its numbers are entries.

    Returns
    -------
    Laplace

    Raises
    ------
    ConvergenceError
        The precision is not positive definite (the message names the combination of parameters), or x is not the mode.
    OptionError
        The prior precision or the scale is not positive.
    ShapeMismatchError
        The prior does not have the structure of x.
    NonFiniteError
        Loss or curvature is not finite at x.
    TooDenseError
        ``structure="sparse"`` where the matrix is not.

    Notes
    -----
    Exact for a linear model with Gaussian noise. Cost: the dense matrix, n products in blocks, and an eigendecomposition,
    O(n^3): up to a few thousand parameters. Of a sparse matrix: a product per color, a factorisation, whose pivots give the
    determinant, and a few times that for the deviations (Takahashi's equations).

    References
    ----------
    D. J. C. MacKay, "A practical Bayesian framework for backpropagation networks", Neural Computation 4 (1992) 448-472. E.
    Daxberger et al., "Laplace redux", NeurIPS (2021).

    Examples
    --------
    >>> import numpy as np
    >>> y = np.array([1.2, 0.7, 1.4])
    >>> nll = lambda m: np.sum(0.5 * (y - m) ** 2 + 0.5 * np.log(2 * np.pi))
    >>> found = laplace(nll, y.sum() / 4, prior_precision=1.0)
    >>> found
    <Laplace approximation of 1 parameters (hessian): log evidence -4.03371, 0.75 effective parameters>
    >>> exact = -0.5 * (y @ np.linalg.solve(np.eye(3) + 1.0, y) + np.log(4.0) + 3 * np.log(2 * np.pi))
    >>> bool(np.isclose(found.log_evidence, exact, rtol=1e-14))
    True
    """
    where = "laplace"
    check(where, "scale", scale, POSITIVE, fix="It is 1 for a sum, n for a mean of n terms")
    center, unravel = ravel(x)
    precision = _positive(prior_precision, x)
    operator = HessianOperator(f, x, *args) if model is None else GaussNewtonOperator(model, f, x, *args)
    value = scale * float(operator.value)
    if not math.isfinite(value):
        fix = "Choose an x at which f is finite"
        raise not_finite(where, f"f is {value} at x", "", fix, operator.origin_of_nonfinite())
    names = parameter_names(x)
    information = _information(operator, scale, precision, structure, names)
    apart = center.astype(np.float64) - _like(prior_mean, x, "prior_mean")
    gradient = scale * np.asarray(operator.gradient, dtype=np.float64) + precision * apart
    why, fix = (
        "The approximation is made at the mode",
        "Minimise scale * f + 1/2 prior_precision * |x - prior_mean|^2, with a small gtol",
    )
    information.check_optimum(gradient, where, "deviations", "mode", why, fix)
    n = len(center)
    spread = information.spread(np.arange(n), n)
    deviations = spread.deviations
    log_prior = 0.5 * float(np.sum(np.log(precision)) - apart @ (precision * apart) - n * math.log(2.0 * math.pi))
    log_occam = 0.5 * (n * math.log(2.0 * math.pi) - information.log_determinant)
    return Laplace(
        value=unravel(center),
        standard_error=unravel(deviations),
        spread=spread,
        log_evidence=-value + log_prior + log_occam,
        log_likelihood=-value,
        log_prior=log_prior,
        log_occam=log_occam,
        effective_parameters=n - float(precision @ deviations**2),
        names=names,
        weak_directions=information.weak_directions,
        curvature="hessian" if model is None else "gauss-newton",
    )


def _information(
    operator: DifferentiatedOperator, scale: float, precision: np.ndarray, structure: str, names: tuple[str, ...]
) -> Information:
    """Decompose the precision of the posterior, or factor it as a sparse matrix."""
    what, sparse = "posterior precision", sparse_matrix(operator, structure, "laplace")
    if sparse is not None:
        posterior = sparse.times(scale).plus_diagonal(precision)
        return SparseInformation.of_sparse(
            posterior, operator.dtype, names, where="laplace", what=what, source=operator
        )
    matrix = operator.to_dense()
    dense = (scale * matrix.astype(np.float64) + np.diag(precision)).astype(matrix.dtype)
    return Information.of_matrix(dense, names, where="laplace", what=what, source=operator)


def _positive(prior_precision: Any, x: Any) -> np.ndarray:
    precision = _like(prior_precision, x, "prior_precision")
    if not np.all(np.isfinite(precision) & (precision > 0.0)):
        what = "prior_precision has entries that are not positive and finite"
        raise OptionError(
            message("laplace", what, "A prior without precision has no density to compare with", "Pass > 0")
        )
    return precision


def _like(numbers: Any, x: Any, name: str) -> np.ndarray:
    leaves, structure = flatten(x)
    if is_real(numbers):
        return np.full(sum(np.size(leaf) for leaf in leaves), float(numbers))
    parts = structure.leaves_of(numbers, "laplace", name)
    for part in parts:
        if is_container(part) and not only_numbers(part):
            what = f"{name} is {describe(part)} where x has an array"
            raise ShapeMismatchError(message("laplace", what, fix=f"Pass one number, or {name} like x"))
    found = [np.asarray(part) for part in parts]
    for one in found:
        if one.dtype.kind not in "fiu":
            raise OptionError(message("laplace", f"{name} has dtype {one.dtype}", fix="Pass real numbers"))
    given = [one.astype(np.float64) for one in found]
    for one, leaf in zip(given, leaves, strict=True):
        if one.ndim and one.shape != np.shape(leaf):
            what = f"{name} has an array of shape {one.shape} where x has {np.shape(leaf)}"
            raise ShapeMismatchError(message("laplace", what, fix=f"Pass one number, or {name} like x"))
    full = [np.broadcast_to(one, np.shape(leaf)) for one, leaf in zip(given, leaves, strict=True)]
    return np.asarray(join_vector(full), dtype=np.float64)


def _prediction(
    like: Any,
    mean: np.ndarray | None,
    variance: np.ndarray,
    covariance: np.ndarray | None,
    method: str,
    count: int,
    errors: tuple[np.ndarray, np.ndarray],
    find: Callable[[], Origin | None],
) -> Prediction:
    """Give moments the structure of an output."""
    outputs = Outputs(like)
    finite = np.all(np.isfinite(variance)) and np.all(np.isfinite(outputs.vector if mean is None else mean))
    if not finite:
        why = "Some parameters within the posterior lead out of the model's domain" if count else ""
        what = "the model is not finite at a draw" if count else "the model or its derivative is not finite at the mode"
        raise not_finite("predict", what, why, "Check the inputs", find())
    value = like if mean is None else outputs.structured(mean)
    mean_error, variance_error = (outputs.structured(error) for error in errors)
    return Prediction(value, outputs.structured(variance), covariance, method, count, mean_error, variance_error)
