"""What the study of coverage runs on models: intervals of parameters, sampled Fisher matrices, probabilities of classes.

An interval of 95 % rests on many data. What one of so few covers is known where the model has a sufficient statistic: that is what
the interval is held to, and what it falls short of 95 % by is the method's, not the implementation's.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import scipy.optimize
from scipy import stats
from scipy.special import expit, softmax

import hessian as hs
from benchmarks.coverage_case import MODELS, PROMISES, Case
from hessian.optimize import minimize

LEVEL = 0.95
REACH = float(stats.norm.ppf(0.5 + 0.5 * LEVEL))
CUT = REACH**2
SHARES = {name: promise for name, promise in PROMISES.items() if name.endswith("errors")}

Problem = tuple[Callable[[np.ndarray], Any], np.ndarray]


def models() -> Iterator[Case]:
    """Yield everything that the study runs on models."""
    yield from _intervals("exponential, n = 5", 2.0, _exponential, exponential(5))
    yield from _intervals("Poisson, n = 5, mean 4", 4.0, _poisson, poisson(20.0))
    yield from _intervals("mean of normal, n = 8", 1.0, _normal, normal(8))
    yield from _intervals("logistic, n = 200, 3 coefficients", -0.5, _logistic, (LEVEL, LEVEL))
    for n_samples in (1, 10):
        yield _fisher(n_samples)
    for n_samples in (10, 1000):
        yield _classes(n_samples)


def exponential(n: int) -> tuple[float, float]:
    """Return what Wald and profile intervals of a rate cover: with G the sum by its mean, a gamma variable, |1 - G/n| and the deviance."""
    deviance = lambda g: 2.0 * n * (g / n - 1.0 - math.log(g / n)) - CUT
    low, high = scipy.optimize.brentq(deviance, 1e-9, n), scipy.optimize.brentq(deviance, n, 10.0 * n)
    law, reach = stats.gamma(n), REACH / math.sqrt(n)
    return float(law.cdf(n * (1 + reach)) - law.cdf(n * (1 - reach))), float(law.cdf(high) - law.cdf(low))


def poisson(total: float) -> tuple[float, float]:
    """Return what they cover of the mean of counts with that expected total, by the law of the total."""
    k = np.arange(1.0, 200.0)
    weights = stats.poisson.pmf(k, total)
    deviance = 2.0 * (k * np.log(k / total) - (k - total))
    return float(weights[np.abs(k - total) <= REACH * np.sqrt(k)].sum()), float(weights[deviance <= CUT].sum())


def normal(n: int) -> tuple[float, float]:
    """Return what they cover of a mean whose scale is estimated with it, by the law of t."""
    law = stats.t(n - 1)
    wald, profile = REACH * math.sqrt((n - 1) / n), math.sqrt((n - 1) * math.expm1(CUT / n))
    return float(2.0 * law.cdf(wald) - 1.0), float(2.0 * law.cdf(profile) - 1.0)


def _exponential(rng: np.random.Generator) -> Problem:
    y = rng.exponential(0.5, 5)
    return lambda p: p[0] * np.sum(y) - len(y) * np.log(p[0]), np.array([0.8 / np.mean(y)])


def _poisson(rng: np.random.Generator) -> Problem:
    y = rng.poisson(4.0, 5)
    return lambda p: len(y) * p[0] - np.sum(y) * np.log(p[0]), np.array([0.8 * np.mean(y) + 0.1])


def _normal(rng: np.random.Generator) -> Problem:
    y = rng.normal(1.0, 2.0, 8)
    return lambda p: 0.5 * np.sum((y - p[0]) ** 2) * np.exp(-2.0 * p[1]) + len(y) * p[1], np.zeros(2)


def _logistic(rng: np.random.Generator) -> Problem:
    X = np.column_stack([np.random.default_rng(1).standard_normal((200, 2)), np.ones(200)])
    y = rng.random(200) < expit(X @ np.array([-0.5, 1.0, 0.3]))
    return lambda b: np.sum(np.logaddexp(0.0, X @ b)) - np.sum((X @ b)[y]), np.zeros(3)


def _intervals(
    model: str, truth: float, simulate: Callable[[np.random.Generator], Problem], exact: tuple[float, float]
) -> Iterator[Case]:
    """Yield both kinds of intervals of the first parameter."""

    def hold(ends: Any) -> dict[str, float]:
        low, high = ends
        return {
            "covers": float(low <= truth <= high),
            "square": (0.5 * (low + high) - truth) ** 2,
            "width": 0.25 * (high - low),
        }

    for kind, promise in zip(("wald", "profile"), exact, strict=True):

        def run(seed: int, kind: Any = kind) -> Any:
            f, x = simulate(np.random.default_rng(seed))
            return minimize(f, x).confidence_intervals(kind, LEVEL)[0]

        yield Case(f"interval, {kind}", model, MODELS, 0, run, hold, {"covers": promise}, 2)


def _within(value: np.ndarray, error: np.ndarray, truth: np.ndarray) -> dict[str, float]:
    """Return the shares within multiples of the standard error."""
    off = np.abs(value - truth)
    shares = {f"{k} standard errors": float(np.mean(off <= k * error + 1e-12)) for k in (1, 2, 3)}
    return shares | {"square": float(np.mean(off**2)), "width": float(np.median(error))}


def _table() -> tuple[np.ndarray, np.ndarray]:
    """Inputs of thirty examples and weights of three classes, one of them rare."""
    rng = np.random.default_rng(2)
    return rng.standard_normal((30, 4)), rng.standard_normal((4, 3)) + np.array([0.0, 0.0, -2.0])


def _fisher(n_samples: int) -> Case:
    """The diagonal of a Fisher matrix with drawn targets."""
    X, W = _table()
    p = softmax(X @ W, axis=1)
    truth = np.einsum("id,ik->dk", X**2, p * (1.0 - p)).ravel() / len(X)

    def run(seed: int) -> Any:
        return hs.FisherOperator(lambda w: X @ w, W, likelihood="categorical", n_samples=n_samples, rng=seed)

    hold = lambda F: _within(F.diagonal(), F.standard_error, truth)
    return Case(f"Fisher diagonal, {n_samples} draws", "3 classes, 30 examples", MODELS, 0, run, hold, SHARES)


def _classes(n_samples: int) -> Case:
    """Probabilities of two classes over a Laplace approximation, which one integral gives."""
    X = _table()[0]
    y = np.random.default_rng(3).integers(0, 2, len(X))
    model = lambda w, X: X @ w
    loss = lambda z: hs.nn.softmax_cross_entropy(z, y, reduction="sum")
    fit = minimize(lambda w: loss(model(w, X)) + 0.5 * np.sum(w**2), np.zeros((4, 2)))
    found = hs.statistics.laplace(loss, fit.x, X, model=model, prior_precision=1.0)
    told = found.predict_classes(model, X, method="mean")
    apart = np.array([-1.0, 1.0])
    mean, spread = told.logits @ apart, np.sqrt(np.einsum("i,nij,j->n", apart, told.covariance, apart))
    nodes, weights = np.polynomial.hermite_e.hermegauss(100)
    yes = expit(mean[:, None] + spread[:, None] * nodes) @ weights / weights.sum()
    truth = np.stack([1.0 - yes, yes], axis=1)

    def run(seed: int) -> Any:
        return found.predict_classes(model, X, method="samples", n_samples=n_samples, rng=seed)

    hold = lambda got: _within(got.probabilities, got.standard_error, truth)
    return Case(f"class probabilities, {n_samples} draws", "2 classes, 30 examples", MODELS, 0, run, hold, SHARES)
