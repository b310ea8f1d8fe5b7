"""What is expected of data whose distribution is known: roots of the information about the outputs of a model, by name or by a
log-partition function."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import special

from hessian.arguments import unknown
from hessian.errors import OptionError, message
from hessian.operators.hessian_operator import HessianOperator
from hessian.operators.likelihoods import LIKELIHOODS, Root

# From this shape on the series of trigamma has all digits; below, the difference has lost two.
_SERIES = 15.0
# Logarithm of what the tail of a count may weigh beside its mode, and the longest sum that one row may ask for.
_TAIL = 60.0
_LONGEST = 10_000_000


@dataclass(frozen=True)
class Family:
    """What the outputs z are, how many a row has, and a root of the information about them.

    Attributes
    ----------
    outputs : str
    counts : tuple of int
        Outputs that a row may have; empty where any number will do.
    root : callable
        From z, shape (rows, k), and its Jacobian, shape (rows, k, n): rows A with ``A^T A`` the information.
    scaled : bool
        Whether a dispersion multiplies all of it: one over the variance, or the shape, which ``scale`` says.
    """

    outputs: str
    counts: tuple[int, ...]
    root: Root
    scaled: bool = False


def choose_family(where: str, likelihood: Any) -> Family:
    """Return one by its name, or that of a log-partition function."""
    if callable(likelihood):
        return Family("natural parameters", (), lambda z, jacobian: _root_of_partition(likelihood, z, jacobian, where))
    if not isinstance(likelihood, str) or likelihood not in FAMILIES:
        raise unknown(where, "likelihood", likelihood, FAMILIES, "Or pass a log-partition function of the outputs")
    return FAMILIES[likelihood]


def _root_of_partition(partition: Callable[[Any], Any], z: np.ndarray, jacobian: np.ndarray, where: str) -> np.ndarray:
    """Information A''(z) of every row, from the log-partition function A by exact second derivatives."""
    rows, k = z.shape
    point = z if k > 1 else z[:, 0]
    H = HessianOperator(lambda outputs: np.sum(partition(outputs)), point)
    blocks = np.asarray(H @ np.tile(np.eye(k), (rows, 1))).reshape(rows, k, k)
    probe = np.random.default_rng(0).standard_normal((rows, k))
    product, expected = np.asarray(H @ probe.ravel()).reshape(rows, k), np.einsum("rij,rj->ri", blocks, probe)
    size = float(np.max(np.abs(blocks), initial=0.0))
    if not np.max(np.abs(product - expected), initial=0.0) <= 1e-9 * size:
        what = "the log-partition function mixes rows of its argument"
        raise OptionError(message(where, what, "Observations are independent", "Return one number per row"))
    values, vectors = np.linalg.eigh(blocks)
    if not np.all(values >= -1e-12 * size):
        what = f"the log-partition function has the second derivative {np.min(values):.3g}"
        raise OptionError(message(where, what, "It is a variance, and at least 0", "Check its sign, and the outputs"))
    roots = np.sqrt(np.maximum(values, 0.0))[..., None] * np.swapaxes(vectors, 1, 2)
    return np.einsum("rij,rjn->rin", roots, jacobian)


def _root_probit(z: np.ndarray, jacobian: np.ndarray) -> np.ndarray:
    """Information ``phi(z)^2 / (Phi(z) Phi(-z))``."""
    log_density = -0.5 * (z * z + np.log(2.0 * np.pi))
    return np.exp(log_density - 0.5 * (special.log_ndtr(z) + special.log_ndtr(-z)))[..., None] * jacobian


def _root_gamma(z: np.ndarray, jacobian: np.ndarray) -> np.ndarray:
    """Information a of the logarithm of the mean, ``a^2 (trigamma(a) - 1 / a)`` of that of the shape a."""
    if z.shape[1] == 1:
        return jacobian
    shape = np.exp(z[:, 1])
    u = 1.0 / np.maximum(shape, _SERIES)
    # a² trigamma(a) - a = 1/2 + 1/(6 a) - 1/(30 a³) + ..., Abramowitz and Stegun 6.4.12.
    odd = u * (1 / 6 - u**2 * (1 / 30 - u**2 * (1 / 42 - u**2 * (1 / 30 - u**2 * (5 / 66 - u**2 * 691 / 2730)))))
    about_shape = np.where(shape > _SERIES, 0.5 + odd, shape * (shape * special.polygamma(1, shape) - 1.0))
    return np.sqrt(np.column_stack([shape, about_shape]))[..., None] * jacobian


def _root_negative_binomial(z: np.ndarray, jacobian: np.ndarray) -> np.ndarray:
    """Information ``m / (1 + a m)`` of the logarithm of the mean m; of that of the dispersion a by a sum over counts."""
    mean, dispersion = np.exp(z).T
    pairs, places = np.unique(np.exp(z), axis=0, return_inverse=True)
    about_dispersion = np.array([_dispersion_information(m, 1.0 / a) for m, a in pairs])[places.reshape(-1)]
    return np.sqrt(np.column_stack([mean / (1.0 + dispersion * mean), about_dispersion]))[..., None] * jacobian


def _dispersion_information(mean: float, size: float) -> float:
    """Expected square of the derivative in log(size), summed over the counts; nothing in it cancels where size is large."""
    u = mean / (size + mean)
    spread = 1.0 + mean / size
    last = mean + 12.0 * np.sqrt(mean * spread) + _TAIL * spread + _TAIL
    if not last <= _LONGEST:
        what = f"counts of mean {mean:.3g} and dispersion {1.0 / size:.3g} reach beyond {_LONGEST:g}"
        why = "The expected information about the dispersion is a sum over all of them"
        raise OptionError(message("covariance", what, why, 'Use kind="observed"'))
    y = np.arange(int(last))
    log_ratio = np.log((size + y) / (y + 1.0) * u)
    log_mass = np.concatenate([[0.0], np.cumsum(log_ratio)])
    mass = np.exp(log_mass - log_mass.max())
    slope = np.concatenate([[0.0], np.cumsum((mean - y) / ((size + y) * (size + mean)))]) + _log1p_rest(u)
    return float(size**2 * (mass @ slope**2) / mass.sum())


def _log1p_rest(u: float) -> float:
    """``u + log(1 - u)`` for u in (0, 1)."""
    if u > 0.1:
        return float(u + np.log1p(-u))
    powers = np.arange(2, 20)
    return -float(np.sum(u**powers / powers))


def _root_ordered(link: str) -> Root:
    """Roots for classes in order: ``P(y <= j) = F(z_j)``, a row for every class, of the square root of its probability."""
    cdf = special.expit if link == "logit" else special.ndtr

    def density(z: np.ndarray) -> np.ndarray:
        if link == "logit":
            return special.expit(z) * special.expit(-z)
        return np.exp(-0.5 * z * z) / np.sqrt(2.0 * np.pi)

    def root(z: np.ndarray, jacobian: np.ndarray) -> np.ndarray:
        edge = np.full((len(z), 1), np.inf)
        low, high = np.hstack([-edge, z]), np.hstack([z, edge])
        # By the tail that is small, so that the difference keeps its digits.
        probability = np.where(low > 0.0, cdf(-low) - cdf(-high), cdf(high) - cdf(low))
        if not np.all(probability >= 0.0):
            row = int(np.argmax(np.any(~(probability >= 0.0), axis=1)))
            what = f"the outputs of row {row} do not increase: {np.array2string(z[row], precision=4, threshold=6)}"
            why = "They are cumulative: P(y <= j) = F(z_j)"
            raise OptionError(message("covariance", what, why, "Return thresholds minus the linear predictor"))
        slope = density(z)[..., None] * jacobian
        none = np.zeros_like(slope[:, :1])
        change = np.concatenate([slope, none], axis=1) - np.concatenate([none, slope], axis=1)
        weight = np.divide(1.0, np.sqrt(probability), out=np.zeros_like(probability), where=probability > 0.0)
        return weight[..., None] * change

    return root


FAMILIES: dict[str, Family] = {
    "gaussian": Family("means (variance 1)", (), LIKELIHOODS["gaussian"].root, scaled=True),
    "bernoulli": Family("log-odds", (), LIKELIHOODS["bernoulli"].root),
    "poisson": Family("logarithms of rates", (), LIKELIHOODS["poisson"].root),
    "categorical": Family("logits of classes", (), LIKELIHOODS["categorical"].root),
    "probit": Family("z with P(y = 1) = Phi(z)", (), _root_probit),
    "exponential": Family("logarithms of means", (1,), lambda z, jacobian: jacobian),
    "gamma": Family("logarithms of means (shape 1), or of means and shapes", (1, 2), _root_gamma, scaled=True),
    "negative_binomial": Family("logarithms of means and of dispersions", (2,), _root_negative_binomial),
    "ordered_logit": Family("log-odds of y <= j, increasing", (), _root_ordered("logit")),
    "ordered_probit": Family("z_j with P(y <= j) = Phi(z_j), increasing", (), _root_ordered("probit")),
}
"""By name; variance of a count ``m + a m^2`` with mean m and dispersion a, of a positive number ``m^2 / a`` with shape a."""
