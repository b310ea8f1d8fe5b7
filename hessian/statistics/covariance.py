"""The covariance of estimated parameters: observed, expected or robust, by exact second derivatives at the optimum."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any, Literal

import numpy as np
from scipy.sparse import diags_array

from hessian.errors import OptionError, ShapeMismatchError, message
from hessian.linalg import limits
from hessian.operators.jacobian_operator import JacobianOperator
from hessian.signatures import CovarianceKind
from hessian.statistics.covariance_result import Covariance
from hessian.statistics.covariance_task import CovarianceTask, check_kind, checked_scale, free_places
from hessian.statistics.families import choose_family
from hessian.statistics.fisher_information import fisher_root
from hessian.statistics.robust import ROBUST
from hessian.statistics.sparse_information import SparseInformation
from hessian.tape.trees import flatten, join_vector


def covariance(
    f: Callable[..., Any],
    x: Any,
    *args: Any,
    kind: CovarianceKind = "observed",
    scale: float = 1.0,
    per_example: Callable[..., Any] | None = None,
    model: Callable[..., Any] | None = None,
    likelihood: Any = None,
    groups: Any = None,
    n_obs: int | None = None,
    fixed: Iterable[Any] = (),
    structure: Literal["auto", "dense", "sparse"] = "auto",
) -> Covariance:
    r"""Compute the covariance of the minimiser of a negative log-likelihood.

    With c = ``scale``, H the exact Hessian of c f at x, :math:`s_i` the gradient of the i-th example's term and F(z) the
    information of an observation about its natural parameters z:

    .. math:: V_{observed} = H^{-1}, \qquad V_{expected} = (J^T F(z) J)^{-1} / c, \qquad
              V_{sandwich} = H^{-1} \Bigl(\sum_i s_i s_i^T\Bigr) H^{-1}

    ``"HC1"`` to ``"HC3"`` and ``"cluster"`` weigh the scores (:func:`~hessian.statistics.robust.weighted_scores`).

    Parameters
    ----------
    f : callable
        ``f(x, *args)`` returns one number. **c f is the negative log-likelihood of all data**, constants aside.
    x : array or container of float arrays
        Its minimiser.
    *args
        Further arguments of all functions here.
    kind : {"observed", "expected", "sandwich", "HC0", "HC1", "HC2", "HC3", "cluster"}
        ``"observed"`` and ``"expected"`` hold where the likelihood is right, and agree in large samples; the sandwich
        holds where only the gradient is right, for independent examples (heteroscedasticity, a wrong distribution), or
        for independent clusters of them. ``"HC0"`` is another name of the sandwich; ``"HC1"`` multiplies it with n / (n - p);
        ``"HC2"`` and ``"HC3"`` correct scores by leverages, which the model tells.
    scale : float
        c: 1 for a sum of negative log-likelihoods, the number of examples n for their mean, :math:`1 / \sigma^2` for half
        a sum of squares of residuals with the variance :math:`\sigma^2`. The expected information is that of all rows
        of the model whatever f is a multiple of, but multiplied with c for ``"gaussian"`` and ``"gamma"``, whose variance or shape it
        stands for.
    per_example : callable
        For the sandwich: ``per_example(x, *args)`` returns the n terms of c f, shape (n,), a penalty left out. (For a
        cluster of dependent examples, their sum may be one term, too.)
    model : callable
        For ``"expected"``, ``"HC2"``, ``"HC3"``: ``model(x, *args)`` returns z, shape (n,) or (n, k); (n,) for leverages.
    likelihood : str or callable
        Likewise: ``"gaussian"``: z are means with variance 1 (set ``scale``); ``"bernoulli"``: log-odds; ``"probit"``:
        z with P(1) = Phi(z); ``"poisson"``: logarithms of rates; ``"exponential"``: logarithms of means; ``"gamma"``: those of
        means with shape 1 (set ``scale``), or (n, 2) of means and shapes; ``"negative_binomial"``: (n, 2) logarithms of means m
        and dispersions a, of variance m + a m²; ``"categorical"``: logits of classes; ``"ordered_logit"``, ``"ordered_probit"``:
        z_j with P(y <= j) = F(z_j), increasing, one fewer than classes. Or the log-partition function A of an exponential
        family, A(z) -> (n,), z its natural parameters: their information is A''(z).
    groups : array_like, shape (n,)
        For ``"cluster"``: the cluster of every example, of any kind of labels.
    n_obs : int
        For ``"HC1"``: n, the number of observations; for ``"cluster"`` by default that of the terms.
    fixed : iterable of keys
        Parameters that were held (``fixed=`` of :func:`hessian.optimize.minimize`, whose result passes them on, with those that a bound
        holds): matrices are those of the others, and these count as known.
    structure : {"auto", "dense", "sparse"}
        How the Hessian is inverted: ``"sparse"`` by a factor of the sparse matrix, ``"auto"`` so beyond 500 parameters where few products
        give it and few of its numbers are entries. Leverages (HC2, HC3) are dense.

    Returns
    -------
    Covariance

    Raises
    ------
    TooDenseError
        ``structure="sparse"`` where the Hessian is not.
    ConvergenceError
        The information matrix is singular or has a negative eigenvalue (the message names the combination of parameters),
        or x is more than a tenth of a standard error from the minimum of the quadratic model there, or that minimum is none of f:
        it recedes as one goes there.
    OptionError
        The kind is unknown, an argument that it needs is missing, the scale is not positive, or the terms of the
        sandwich add up to c f times or by their number, or to f where c is not 1, or f is their weighted sum (as far as its operations
        say, and without a penalty); too few observations or clusters, or a leverage of 1.
    NotScalarError, NonFiniteError, ShapeMismatchError, DtypeError
        By functions that do not return what they should.

    Notes
    -----
    A penalty in f counts as information with ``"observed"``, as it should for the curvature of a posterior; the frequentist
    error of a penalised estimate is the sandwich. The sandwich is White's; that of clusters is multiplied with
    G / (G - 1) (n - 1) / (n - p) for G clusters, as Stata and statsmodels do. (statsmodels' HC1 to HC3 of models that are no linear
    regressions are HC0.) The matrix is scaled to a diagonal of 1 before it is decomposed, so that the units of
    the parameters do not matter: neither to the inverse, nor to what counts as singular or as a weak direction.

    Cost: the dense Hessian (n products in blocks) and an eigendecomposition, O(p^3) for p parameters; for the sandwich
    and the expected information a Jacobian, min(n k, p) sweeps.

    References
    ----------
    B. Efron and D. V. Hinkley, Biometrika 65 (1978) 457-482, observed and expected information. H. White, Econometrica 50
    (1982) 1-25, theorem 3.2, the sandwich; J. G. MacKinnon and H. White, J. Econometrics 29 (1985) 305-325, HC1 to HC3. P. McCullagh
    and J. A. Nelder, Generalized Linear Models (1989), section 2.5.

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
    task = CovarianceTask(f, x, args, kind, checked_scale(scale), fixed, n_obs, groups, structure)
    if kind == "observed":
        return task.finish(task.hessian())
    if kind == "expected":
        if model is None or likelihood is None:
            what = "kind='expected' needs the distribution of the data"
            why = "An expectation over data cannot be read off the data's own likelihood"
            fix = 'Pass model=(x -> z) and likelihood="bernoulli" (or the like), or use kind="observed"'
            raise OptionError(message("covariance", what, why, fix))
        root = fisher_root(model, likelihood, x, args, "covariance")
        if choose_family("covariance", likelihood).scaled:
            root = math.sqrt(task.scale) * root
        return task.finish(task.information_of(root.reshape(-1, root.shape[-1]), "Fisher information"))
    if per_example is None:
        what = f"kind={kind!r} needs the gradient of every example"
        fix = "Pass per_example=, a function of (x, *args) that returns the terms of the sum, shape (n,)"
        raise OptionError(message("covariance", what, fix=fix))
    information, leverages = task.hessian(), None
    scores = task.scores(per_example, isinstance(information, SparseInformation))
    if kind in ("HC2", "HC3"):
        leverages = task.leverages(_rows_of_model(model, likelihood, x, args, kind, len(scores)), "Fisher information")
    return task.finish(information, scores, leverages)


def _rows_of_model(model: Any, likelihood: Any, x: Any, args: tuple[Any, ...], kind: str, count: int) -> np.ndarray:
    """A root of the expected information with one row for every example."""
    if model is None or likelihood is None:
        what = f"kind={kind!r} needs leverages, which come from the model"
        fix = 'Pass model=(x -> z, shape (n,)) and likelihood="bernoulli" (or the like), or use kind="HC1"'
        raise OptionError(message("covariance", what, fix=fix))
    root = fisher_root(model, likelihood, x, args, "covariance")
    if root.shape[:2] != (count, 1):
        what = f"the model has outputs of shape {root.shape[:2]} for {count} examples"
        why = "A leverage is that of an example with one output"
        raise ShapeMismatchError(message("covariance", what, why, 'Use kind="HC1"'))
    return root[:, 0]


def least_squares_covariance(
    f: Callable[..., Any],
    x: Any,
    *args: Any,
    kind: CovarianceKind = "expected",
    scale: float | None = None,
    groups: Any = None,
    fixed: Iterable[Any] = (),
    structure: Literal["auto", "dense", "sparse"] = "auto",
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
    kind : {"expected", "observed", "sandwich", "HC0", "HC1", "HC2", "HC3", "cluster"}
        ``"expected"`` is the Gauss-Newton one that regression programs report and NIST certifies. Of the kinds with a
        sandwich every residual is an observation; leverages are those of the Jacobian.
    scale : float, optional
        One over the variance of the errors where that is known; by default :math:`1 / s^2`, and intervals are Student's then. The
        sandwich does not depend on it.
    groups : array_like of the shape of the residuals
        For ``"cluster"``: the cluster of every residual.
    fixed : iterable of keys
        Parameters that were held, as for :func:`covariance`; n counts the others.
    structure : {"auto", "dense", "sparse"}
        Of ``"expected"``: ``"sparse"`` factors :math:`J^T J` as a sparse matrix, which halves the digits of ill-conditioned problems;
        ``"auto"`` does where J does not fit in memory. Of the others as for :func:`covariance`.

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
    check_kind(kind)
    operator = JacobianOperator(f, x, *args)
    residuals = join_vector([np.asarray(leaf, np.float64) for leaf in flatten(operator.value)[0]])
    is_robust, degrees = kind in ROBUST, math.inf
    if scale is None:
        n = len(free_places(x, fixed))
        freedom = residuals.size - n
        degrees = math.inf if is_robust else freedom
        if freedom <= 0 and not is_robust:
            what = f"{residuals.size} residuals for {n} parameters leave no degrees of freedom"
            fix = "Pass scale=1/variance if the variance of the errors is known"
            raise OptionError(message("covariance", what, "They cannot tell the variance of the errors", fix))
        squares = float(residuals @ residuals)
        scale = freedom / squares if squares > 0.0 and freedom > 0 else 1.0
        if squares == 0.0 and not is_robust:
            what = "all residuals are zero"
            fix = "Pass scale=1/variance if the variance of the errors is known"
            raise OptionError(message("covariance", what, "They cannot tell the variance of the errors", fix))

    def cost(point: Any, *rest: Any) -> Any:
        leaves = flatten(f(point, *rest))[0]
        return 0.5 * sum(np.sum(leaf * leaf) for leaf in leaves)

    task = CovarianceTask(cost, x, args, kind, checked_scale(scale), fixed, residuals.size, groups, structure)
    task.degrees_of_freedom = degrees
    if kind == "observed":
        return task.finish(task.hessian())
    if kind == "expected":
        fits = 8 * math.prod(operator.shape) <= limits.MATRIX_BYTES
        if structure == "sparse" or (structure == "auto" and not fits):
            return task.finish(task.normal(operator.to_sparse(), operator))
        root = math.sqrt(task.scale) * operator.to_dense()
        return task.finish(task.information_of(root, "Jacobian", operator))
    information = task.hessian()
    if isinstance(information, SparseInformation):
        return task.finish(information, diags_array(task.scale * residuals) @ operator.to_sparse())
    jacobian = operator.to_dense()
    leverages = task.leverages(jacobian, "Jacobian") if kind in ("HC2", "HC3") else None
    return task.finish(information, task.scale * residuals[:, None] * jacobian, leverages)
