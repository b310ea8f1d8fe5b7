"""What statsmodels and scikit-learn say of the same models: of any point in our parameters, and of their own optimum."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from models import choices, kernels, regressions, series, survival

PEERS: dict[str, Callable[[], Peer]] = {}


@dataclass(frozen=True)
class Peer:
    """A log-likelihood and what its package says of the optimum.

    Attributes
    ----------
    loglike : callable
        Of our parameters.
    score, hessian : callable or None
        Its derivatives, where the package has them; ``accuracy`` is theirs, relative to the largest entry.
    params, bse : ndarray or None
        Its estimates and standard errors in our parameters, to ``tolerance``; NaN where it has none.
    """

    loglike: Callable[[np.ndarray], float]
    score: Callable[[np.ndarray], np.ndarray] | None = None
    hessian: Callable[[np.ndarray], np.ndarray] | None = None
    params: np.ndarray | None = None
    bse: np.ndarray | None = None
    accuracy: float = 1e-11
    tolerance: float = 1e-6


def peer(*names: str) -> Callable[[Callable[[Any], Peer]], None]:
    """Enter what makes a peer of ``statsmodels.api``, for all models of those names."""

    def enter(make: Callable[[Any], Peer]) -> None:
        for name in names:
            PEERS[name] = lambda: make(pytest.importorskip("statsmodels.api"))

    return enter


def _of(model: Any, fit: Any, **more: Any) -> Peer:
    """Make the peer of a model in the same parameters."""
    more = {"score": model.score, "hessian": model.hessian, **more}
    return Peer(model.loglike, params=np.ravel(fit.params, "F"), bse=np.ravel(fit.bse, "F"), **more)


@peer("probit")
def _probit(sm: Any) -> Peer:
    model = sm.Probit(choices.Y, choices.X)
    return _of(model, model.fit(disp=0, method="newton", tol=1e-12))


@peer("multinomial logit")
def _multinomial(sm: Any) -> Peer:
    model = sm.MNLogit(choices.KIND, choices.X)
    return _of(model, model.fit(disp=0, method="newton", tol=1e-12))


def _ordered(distr: str) -> Peer:
    from statsmodels.miscmodels.ordinal_model import OrderedModel

    model = OrderedModel(choices.LEVEL, choices.X[:, 1:], distr=distr)
    fit = model.fit(disp=0, method="bfgs", gtol=1e-8, maxiter=500)
    # Derivatives by differences.
    return _of(model, fit, hessian=None, accuracy=1e-5, tolerance=1e-4)


peer("ordered probit")(lambda sm: _ordered("probit"))
peer("ordered logit")(lambda sm: _ordered("logit"))


@peer("negative binomial by nbinom", "negative binomial by gammaln")
def _nb2(sm: Any) -> Peer:
    model = sm.NegativeBinomial(choices.COUNT, choices.X)
    return _of(model, model.fit(disp=0, method="bfgs", gtol=1e-8, maxiter=500), accuracy=1e-9)


@peer("zero-inflated Poisson by where", "zero-inflated Poisson by masks")
def _zip(sm: Any) -> Peer:
    model = sm.ZeroInflatedPoisson(choices.MANY, choices.X)
    fit = model.fit(disp=0, method="bfgs", gtol=1e-8, maxiter=500)
    # Its Hessian has zeros between the two parts of the model, where it has none: no standard errors to compare with.
    return Peer(model.loglike, model.score, params=np.asarray(fit.params))


@peer("beta regression")
def _beta(sm: Any) -> Peer:
    from statsmodels.othermod.betareg import BetaModel

    model = BetaModel(regressions.SHARE, regressions.X)
    return _of(model, model.fit(disp=0, method="bfgs", gtol=1e-8, maxiter=500))


@peer("Student-t regression")
def _student(sm: Any) -> Peer:
    from statsmodels.miscmodels.tmodel import TLinearModel

    model = TLinearModel(regressions.HEAVY, regressions.X)
    return Peer(lambda p: model.loglike(np.array([*p[:2], np.exp(p[3]), np.exp(p[2])])))


def _cox(sm: Any, ties: str) -> Peer:
    model = sm.PHReg(survival.TIME, survival.X, status=survival.SEEN.astype(int), ties=ties)
    return _of(model, model.fit(disp=0))


peer("Cox, Breslow, by a matrix", "Cox, Breslow, by cumulative sums")(lambda sm: _cox(sm, "breslow"))
peer("Cox, Efron, by a loop")(lambda sm: _cox(sm, "efron"))


@peer("random intercepts by linalg", "random intercepts by multivariate_normal")
def _intercepts(sm: Any) -> Peer:
    model = sm.MixedLM(regressions.GROUPED, regressions.X, groups=regressions.GROUP)
    fit = model.fit(reml=False, method="bfgs", gtol=1e-9)
    params = np.array([*fit.fe_params, np.log(fit.scale), np.log(fit.cov_re.item())])
    at_optimum = np.array(fit.llf)

    def loglike(p: np.ndarray) -> float:
        # It has the variances of errors and fixed effects profiled out: there is one point to compare at.
        return float(at_optimum) if np.allclose(p, params) else np.nan

    return Peer(loglike, params=params, tolerance=1e-4)


def _state_space(model: Any, variances: Any) -> Peer:
    """Make the peer of a model whose variances are logarithms here; its derivatives are those of a complex step."""
    fit = model.fit(disp=0, method="bfgs", maxiter=500, gtol=1e-8, cov_type="approx")

    def theirs(p: np.ndarray) -> np.ndarray:
        return np.where(variances, np.exp(p), p)

    return Peer(
        lambda p: model.loglike(theirs(p)),
        score=lambda p: model.score(theirs(p)) * np.where(variances, np.exp(p), 1.0),
        params=np.where(variances, np.log(np.abs(fit.params)), fit.params),
        bse=fit.bse / np.where(variances, fit.params, 1.0),
        accuracy=1e-7,
        tolerance=1e-4,
    )


@peer("local level by matrices", "local level by scalars")
def _level(sm: Any) -> Peer:
    return _state_space(sm.tsa.UnobservedComponents(series.LEVEL, "llevel"), True)


@peer("local linear trend")
def _trend(sm: Any) -> Peer:
    return _state_space(sm.tsa.UnobservedComponents(series.TREND, "lltrend"), True)


@peer("AR(2) in state-space form", "AR(2) by a Toeplitz covariance")
def _ar2(sm: Any) -> Peer:
    return _state_space(sm.tsa.SARIMAX(series.AR, order=(2, 0, 0)), [False, False, True])


@peer("hidden Markov model")
def _markov(sm: Any) -> Peer:
    model = sm.tsa.MarkovRegression(series.SWITCHING, k_regimes=2)

    def loglike(p: np.ndarray) -> float:
        stay = 1 / (1 + np.exp(-p[:2]))
        # Its first state is two steps before the first observation.
        A = np.array([[stay[0], 1 - stay[0]], [1 - stay[1], stay[1]]])
        model.initialize_known(np.linalg.solve(A.T @ A.T, [0.5, 0.5]))
        return model.loglike(np.array([stay[0], 1 - stay[1], p[2], p[3], np.exp(2 * p[4])]))

    return Peer(loglike)


@peer("VAR(1)")
def _var(sm: Any) -> Peer:
    fit = sm.tsa.VAR(series.VECTOR).fit(1)
    L = np.linalg.cholesky(fit.sigma_u_mle)
    params = np.array([*fit.params.T.ravel(), np.log(L[0, 0]), L[1, 0], np.log(L[1, 1])])
    # Its standard errors are for a covariance with degrees of freedom taken off.
    n = fit.nobs
    bse = np.array([*(fit.bse * np.sqrt((n - 3) / n)).T.ravel(), np.nan, np.nan, np.nan])
    return Peer(lambda p: fit.llf if np.allclose(p, params) else np.nan, params=params, bse=bse)


def _process(nu: float) -> Callable[[], Peer]:
    def make() -> Peer:
        sklearn = pytest.importorskip("sklearn.gaussian_process")
        k = sklearn.kernels
        shape = k.RBF(1.0) if nu == np.inf else k.Matern(1.0, nu=nu)
        process = sklearn.GaussianProcessRegressor(
            k.ConstantKernel(1.0) * shape + k.WhiteKernel(1.0), alpha=0, optimizer=None
        )
        process.fit(kernels.X, kernels.Y)
        order = [1, 0, 2]

        def score(p: np.ndarray) -> np.ndarray:
            return process.log_marginal_likelihood(p[order], eval_gradient=True)[1][order]

        # For other than half orders it takes differences.
        accuracy = 1e-10 if nu in (0.5, 1.5, 2.5, np.inf) else 1e-4
        return Peer(lambda p: process.log_marginal_likelihood(p[order]), score, accuracy=accuracy)

    return make


PEERS.update(
    {
        "Gaussian process, Matern 1/2 by cdist": _process(0.5),
        "Gaussian process, Matern 3/2, scaled points": _process(1.5),
        "Gaussian process, Matern 5/2 by pdist": _process(2.5),
        "Gaussian process, squared exponential": _process(np.inf),
        "Gaussian process, Matern 0.8 by kv and where": _process(0.8),
        "Gaussian process, Matern 1.7 by kv and a mask": _process(1.7),
    }
)
