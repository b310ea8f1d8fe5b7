"""Gaussian approximations of posteriors: what they know, draw and predict, and which prior the evidence prefers."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from hessian.arguments import Rng, as_generator, whole_number
from hessian.errors import OptionError, message
from hessian.operators.jacobian_operator import JacobianOperator
from hessian.statistics.class_prediction import ClassPrediction, predict_classes
from hessian.statistics.evidence import best_precision
from hessian.statistics.example_jacobians import by_examples, variances_of
from hessian.statistics.information import WeakDirection
from hessian.statistics.prediction import Prediction, prediction, sampled
from hessian.statistics.prior import finite_like, positive_like
from hessian.statistics.selection import Selection
from hessian.statistics.spread import Spread, Spreading
from hessian.statistics.structured import Curvature
from hessian.statistics.structured_spread import PlacedSpread
from hessian.tape.trees import ravel


@dataclass(frozen=True, eq=False)
class Mode:
    """What was computed at x, without the prior.

    Attributes
    ----------
    value : array or container
        x.
    selection : Selection
        Which of its parameters are uncertain, k of them.
    curvature : Curvature
        Of the negative log-likelihood in these, times its scale.
    kind : {"hessian", "gauss-newton"}
        Which.
    log_likelihood : float
    gradient : ndarray, shape (k,)
        Of the negative log-likelihood.
    """

    value: Any
    selection: Selection
    curvature: Curvature
    kind: str
    log_likelihood: float
    gradient: np.ndarray


@dataclass(frozen=True, eq=False)
class Prior:
    """A normal prior of all parameters, raveled: precisions, shape (n,), and means."""

    precision: np.ndarray
    mean: np.ndarray


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
    truncation : float
        What eigenvalues that ``structure="low-rank"`` left out may take off the log evidence at most,
        ``(n - r) / 2 log(1 + largest / min(precision))``, where the largest of them is not above the smallest of the pairs, or what
        rounding may be of the largest, provided that none was missed, or above the ``error_bound`` of a :class:`NystromApproximation`,
        and the curvature is semidefinite. 0 elsewhere, which says nothing of what diagonals and Kronecker factors leave out.
    structure : {"dense", "sparse", "diagonal", "kronecker", "low-rank"}
        How the covariance is held: by a root, by the sparse factor of the precision, or as it was asked for. ``spread`` is what
        holds it.
    mode, prior
        What was computed at x without the prior, and the prior.
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
    truncation: float
    mode: Mode
    prior: Prior

    @property
    def covariance(self) -> np.ndarray:
        """Covariance between raveled parameters, shape (n, n)."""
        return self.spread.matrix

    def __repr__(self) -> str:
        return (
            f"<Laplace approximation of {len(self.names)} parameters ({self._kind()}): log evidence {self.log_evidence:.6g}, "
            f"{self.effective_parameters:.4g} effective parameters>"
        )

    def _kind(self) -> str:
        return self.curvature if self.structure in ("dense", "sparse") else f"{self.curvature}, {self.structure}"

    @property
    def prior_precision(self) -> Any:
        """Of each parameter, like x; ``inf`` where it is held."""
        places, unravel = self.mode.selection.places, ravel(self.value)[1]
        return unravel(self.mode.selection.placed(self.prior.precision[places], math.inf))

    @property
    def evidence_gradient(self) -> Any:
        r"""Derivatives of the log evidence in the logarithms of the prior precisions, like x, with x and the curvature as they are.

        .. math:: \tfrac12 - \tfrac12 \Lambda_j \left((\hat x_j - \mu_j)^2 + V_{jj}\right)

        Sums of them belong to parameters that share a precision. Likelihood and prior together do not change with the mode to first
        order; that the curvature does is left out.
        """
        at, unravel = self.mode.selection.places, ravel(self.value)[1]
        apart = ravel(self.value)[0].astype(np.float64) - self.prior.mean
        deviations = self.spread.deviations
        slopes = 0.5 - 0.5 * self.prior.precision * (apart**2 + deviations**2)
        return unravel(self.mode.selection.placed(slopes[at]))

    def with_prior(self, prior_precision: Any, prior_mean: Any = None) -> Laplace:
        """Return the approximation with another prior, about the same x and by the same curvature, which need not be the mode then.

        Parameters
        ----------
        prior_precision, prior_mean
            As for :func:`laplace`; by default the mean stays as it is.

        Raises
        ------
        OptionError, ShapeMismatchError, ConvergenceError
            As for :func:`laplace`.

        Notes
        -----
        Cost: none of the model's.
        """
        mean = self.prior.mean if prior_mean is None else finite_like(prior_mean, self.value)
        prior = Prior(positive_like(prior_precision, self.value, self.mode.selection.places), mean)
        return approximation(self.mode, prior, at_mode=False)

    def tune_prior(self, groups: Any = None) -> Laplace:
        r"""Return the approximation whose prior has the largest evidence, with x and the curvature as they are.

        Parameters
        ----------
        groups : key, or list of keys, optional
            Parts of x with a precision factor of their own (``[0, "x[1].W"]``); parameters outside of them share another. By
            default there is one factor for all.

        Raises
        ------
        ConvergenceError
            There is no maximum: x is the prior mean, or the data do not depend on x, or there is negative curvature.
        OptionError
            A key names no part of x, or one that was named.

        Notes
        -----
        With :math:`\mu_i` the eigenvalues of :math:`\Lambda^{-1/2} H \Lambda^{-1/2}` the best multiple :math:`\alpha` of
        :math:`\Lambda` solves

        .. math:: \alpha\, (\hat x - \mu)^T \Lambda (\hat x - \mu) = \sum_i \mu_i / (\mu_i + \alpha)

        MacKay's condition, of which one side rises and the other falls: there is one solution. With groups, and for sparse factors, the
        negative log evidence is convex in the logarithms, and L-BFGS minimises it.

        x is the mode for the old prior. To have both, minimise with ``found.prior_precision``, approximate and tune again until it
        stays. Cost: one eigendecomposition of the structure, or one of the precision for each of some tens of evaluations; nothing of
        the model's.

        References
        ----------
        D. J. C. MacKay, "Bayesian interpolation", Neural Computation 4 (1992) 415-447.

        Examples
        --------
        >>> import numpy as np
        >>> from hessian.statistics import laplace
        >>> y = np.array([1.2, 0.7, 1.4])
        >>> found = laplace(lambda m: np.sum(0.5 * (y - m) ** 2), y.sum() / 4, prior_precision=1.0).tune_prior()
        >>> slope = float(found.evidence_gradient)
        >>> round(float(found.prior_precision), 6), abs(slope) < 1e-12
        (1.080255, True)
        """
        factor = best_precision(
            self.mode, self.prior, groups, lambda prior: approximation(self.mode, prior, at_mode=False)
        )
        return approximation(self.mode, Prior(factor * self.prior.precision, self.prior.mean), at_mode=False)

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
        method: Literal["linearized", "samples"] = "linearized",
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
        per sample. Of a sparse model the products that a sparse Jacobian of the outputs takes, and a solve for each of them. With a
        structure a sweep for each output of all examples together where the model is one of affine layers, else for each output, in
        blocks: no matrix of n x n is formed.

        References
        ----------
        D. J. C. MacKay, Neural Computation 4 (1992) 448-472. A. Immer, M. Korzepa and M. Bauer, "Improving predictions of
        Bayesian neural nets via local linearization", AISTATS (2021).
        """
        if method == "samples":
            draws = self.sample(n_samples, rng)
            if n_samples < 2:
                raise OptionError(message("predict", "n_samples is 1", "A variance takes two", "Pass n_samples >= 2"))
            return sampled(model, draws, args, full)
        if method != "linearized":
            fix = "Pass 'linearized' or 'samples'"
            raise OptionError(message("predict", f"method is {method!r}", fix=fix))
        chosen = self.mode.selection
        operator = JacobianOperator(chosen.function(model), chosen.free, *args)
        # Of a matrix that is at hand, only layers know the Jacobian by fewer sweeps.
        is_apart = self.structure != "sparse" and (self.structure != "dense" or hasattr(model, "layers"))
        table = _rows_of(operator.value) if is_apart and not full else None
        if table is None:
            variance, covariance = self._inner.carried_by(operator, full)
        else:
            parts = by_examples(model, self.value, chosen, args, operator, table, self._inner)
            variance = np.concatenate([variances_of(self._inner, part) for part in parts]).ravel()
            covariance = None
        unknown = np.full(len(variance), math.inf)
        find = operator.origin_of_nonfinite
        return prediction(operator.value, None, variance, covariance, method, 0, (unknown, unknown), find)

    def predict_classes(
        self,
        model: Callable[..., Any],
        *args: Any,
        method: Literal["pairs", "probit", "samples", "mean"] = "pairs",
        n_samples: int = 1000,
        rng: Rng = 0,
    ) -> ClassPrediction:
        r"""Predict probabilities of classes with uncertain logits, :math:`z_i \sim N(g_i(\hat x), J_i V J_i^T)`.

        Parameters
        ----------
        model : callable
            ``model(x, *args)`` returns logits, shape (N, K), for softmax, or log-odds, shape (N,) or (N, 1).
        *args
            Inputs. Where each is an array of N rows, and examples do not meet in the model, they are taken in blocks.
        method : {"pairs", "probit", "samples", "mean"}
            ``"pairs"``: :math:`1 / \sum_j e^{-u_{kj}}` with :math:`u_{kj} = (z_k - z_j) / \sqrt{1 + \tfrac{\pi}{8} \operatorname{Var}
            (z_k - z_j)}`, made to sum to 1; ``"probit"``: softmax of :math:`z_k / \sqrt{1 + \tfrac{\pi}{8} \operatorname{Var} z_k}`;
            ``"samples"``: the mean of softmax over draws of the linearised logits, with its standard error; ``"mean"``: softmax of the
            logits at x, which leaves the uncertainty out. For log-odds the first two are the same.
        n_samples, rng
            For samples.

        Raises
        ------
        OptionError
            An unknown method, or fewer than two samples.
        ShapeMismatchError
            The outputs are neither of these shapes, or log-odds of more or fewer examples than any input has rows.
        NonFiniteError
            Logits or their derivatives are not finite.

        Notes
        -----
        What all logits have in common changes no probability, and data do not determine it: its variance is that of the prior. The
        variances of ``"probit"``, which other libraries have, count it, and with a weak prior make all classes equally likely. Its
        errors and those of ``"pairs"`` are not bounded; the latter were up to 0.02 where both were compared with samples.

        Samples are of N x K logits, not of n parameters. Cost: of a network of affine layers K reverse sweeps, else N / 16 evaluations
        of 16 rows with 16 K sweeps each; and a product with a root of the covariance for each logit.

        References
        ----------
        D. J. C. MacKay, "The evidence framework applied to classification networks", Neural Computation 4 (1992) 720-736. A. Immer, M.
        Korzepa and M. Bauer, AISTATS (2021). J. Daunizeau, "Semi-analytical approximations to statistical moments of sigmoid and
        softmax mappings of normal variables", arXiv:1703.00091 (2017), for ``"pairs"``.

        Examples
        --------
        >>> import numpy as np, hessian as hs
        >>> X, y = np.array([[1.0], [-1.0], [0.5], [-0.5]]), np.array([1, 0, 0, 1])
        >>> model = lambda w, X: X @ w
        >>> loss = lambda z: hs.nn.softmax_cross_entropy(z, y, reduction="sum")
        >>> res = hs.optimize.minimize(lambda w: loss(model(w, X)) + 0.5 * np.sum(w**2), np.zeros((1, 2)))
        >>> found = hs.statistics.laplace(loss, res.x, X, model=model, prior_precision=1.0)
        >>> certain = found.predict_classes(model, np.array([[2.0]]), method="mean").probabilities[0, 1]
        >>> doubtful = found.predict_classes(model, np.array([[2.0]])).probabilities[0, 1]
        >>> bool(0.5 < doubtful < certain)
        True
        """
        generator = as_generator(rng, "predict_classes")
        return predict_classes(model, self.value, self.mode.selection, args, self._inner, method, n_samples, generator)

    @property
    def _inner(self) -> Spread:
        """The covariance of what is uncertain."""
        return self.spread.inner if isinstance(self.spread, PlacedSpread) else self.spread


def _rows_of(output: Any) -> np.ndarray | None:
    """Return an array of outputs as a table with a row for each example; ``None`` where it is none."""
    is_table = isinstance(output, np.ndarray) and output.ndim and output.size
    return output.reshape(len(output), -1).astype(np.float64) if is_table else None


def approximation(mode: Mode, prior: Prior, at_mode: bool) -> Laplace:
    """Add a prior to what was computed at x; with ``at_mode`` refuse an x that is not the mode."""
    chosen, names = mode.selection, mode.selection.names(mode.value)
    center, unravel = ravel(mode.value)
    precision = prior.precision[chosen.places]
    apart = (center.astype(np.float64) - prior.mean)[chosen.places]
    information = mode.curvature.information(precision)
    if at_mode:
        why = "The approximation is made at the mode"
        fix = "Minimise scale * f + 1/2 prior_precision * |x - prior_mean|^2, with a small gtol, or pass at_mode=False"
        information.check_optimum(mode.gradient + precision * apart, "laplace", "deviations", "mode", why, fix)
    k = len(chosen.places)
    inner = information.spread(np.arange(k), k)
    spread = inner if chosen.is_all else PlacedSpread(inner, chosen.places, chosen.order)
    deviations = inner.deviations
    log_prior = 0.5 * float(np.sum(np.log(precision)) - apart @ (precision * apart) - k * math.log(2.0 * math.pi))
    log_occam = 0.5 * (k * math.log(2.0 * math.pi) - information.log_determinant)
    return Laplace(
        value=mode.value,
        standard_error=unravel(chosen.placed(deviations)),
        spread=spread,
        log_evidence=mode.log_likelihood + log_prior + log_occam,
        log_likelihood=mode.log_likelihood,
        log_prior=log_prior,
        log_occam=log_occam,
        effective_parameters=k - float(precision @ deviations**2),
        names=names,
        weak_directions=information.weak_directions,
        curvature=mode.kind,
        truncation=mode.curvature.truncation(precision),
        mode=mode,
        prior=prior,
    )
