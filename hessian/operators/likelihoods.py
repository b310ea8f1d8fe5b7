"""What the outputs of a model mean: the negative log-likelihood of targets, draws of its gradient in the outputs, the moments of such
draws, and roots of the information."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.special

from hessian.arguments import unknown
from hessian.scipy import special

#: From outputs z, which may be traced, and targets, the terms of the negative log-likelihood, but for what does not depend on z.
Loss = Callable[[Any, Any], Any]
Draw = Callable[[np.ndarray, np.random.Generator], np.ndarray]
#: Of ``sum_o u_o J_o``, for every example and parameter: variance and fourth cumulant, from outputs z and J of shape (N, o, n).
Cumulants = Callable[[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]
#: From outputs z, shape (rows, k), and their Jacobian, shape (rows, k, n), to a root: rows A with ``A^T A`` the information.
Root = Callable[[np.ndarray, np.ndarray], np.ndarray]


@dataclass(frozen=True)
class Likelihood:
    """What the outputs z are, how gradients u of the negative log-likelihood in them are drawn, and what is known of them."""

    outputs: str
    loss: Loss
    draw: Draw
    cumulants: Cumulants
    root: Root


def _categorical_loss(z: Any, y: Any) -> Any:
    """``logsumexp(z_i) - z_i[y_i]``, (n,), for class numbers; the mean of that over the classes for rows of probabilities."""
    surprises = -special.log_softmax(z, axis=1)
    if y.ndim == 1:
        return surprises[np.arange(np.shape(z)[0]), y]
    # Classes without a share may be masked out, and 0 times inf is 0 here.
    return np.sum(y * np.where(np.equal(y, 0), 0.0, surprises), axis=1)


def _bernoulli_loss(z: Any, y: Any) -> Any:
    """``log(1 + exp(z)) - y z``, written so that nothing cancels where y is near 0 or 1."""
    likely = y >= 0.5
    signed = np.where(likely, -z, z)
    return np.logaddexp(signed, 0) - np.where(likely, 1 - y, y) * signed


def _categorical(z: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Softmax minus a drawn one-hot row."""
    p = scipy.special.softmax(z, axis=-1)
    # Of the scores z + Gumbel noise, the class with the largest is distributed as p.
    drawn = np.argmax(z + rng.gumbel(size=z.shape), axis=-1)
    return p - (np.arange(z.shape[-1]) == drawn[..., None])


def _categorical_cumulants(z: np.ndarray, J: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Sum over the classes; cumulants of independent rows add up."""
    p = scipy.special.softmax(z, axis=-1).reshape(len(z), -1, z.shape[-1])
    parts = J.reshape(*p.shape, -1)
    mean = np.einsum("itk,itkn->itn", p, parts)
    second, fourth = np.zeros((2, *mean.shape))
    for k in range(p.shape[-1]):
        square = (mean - parts[:, :, k]) ** 2
        second += p[:, :, k, None] * square
        fourth += p[:, :, k, None] * square**2
    return second.sum(axis=1), (fourth - 3.0 * second**2).sum(axis=1)


def _bernoulli(z: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    p = scipy.special.expit(z)
    return p - (rng.random(z.shape) < p)


def _gaussian(z: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return -rng.standard_normal(z.shape)


def _poisson(z: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    rate = np.exp(z.astype(np.float64))
    return rate - rng.poisson(rate)


def _independent(second: Callable[[np.ndarray], np.ndarray], fourth: Callable[[np.ndarray], np.ndarray]) -> Cumulants:
    """Of outputs that are drawn independently: sums of their own."""
    return functools.partial(_sums, second, fourth)


def _sums(second: Any, fourth: Any, z: np.ndarray, J: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    flat = z.reshape(len(z), -1).astype(np.float64)
    squares = J**2
    return np.einsum("io,ion->in", second(flat), squares), np.einsum("io,ion->in", fourth(flat), squares**2)


def _bernoulli_fourth(z: np.ndarray) -> np.ndarray:
    """Fourth cumulant of a yes or no."""
    return _spread(z) * (1.0 - 6.0 * _spread(z))


def _spread(z: np.ndarray) -> np.ndarray:
    """Variance of a yes or no."""
    return scipy.special.expit(z) * scipy.special.expit(-z)


def _root_gaussian(z: np.ndarray, jacobian: np.ndarray) -> np.ndarray:
    """Information 1."""
    return jacobian


def _root_bernoulli(z: np.ndarray, jacobian: np.ndarray) -> np.ndarray:
    """Information p (1 - p)."""
    # exp(-|z| / 2) / (1 + exp(-|z|)) is sqrt(p (1 - p)), and does not overflow.
    half = np.exp(-0.5 * np.abs(z))
    return (half / (1.0 + half * half))[..., None] * jacobian


def _root_poisson(z: np.ndarray, jacobian: np.ndarray) -> np.ndarray:
    """Information exp(z)."""
    return np.exp(0.5 * z)[..., None] * jacobian


def _root_categorical(z: np.ndarray, jacobian: np.ndarray) -> np.ndarray:
    """Information diag(p) - p p^T."""
    p = np.exp(z - z.max(axis=-1, keepdims=True))
    p /= p.sum(axis=-1, keepdims=True)
    mean = np.einsum("rk,rkn->rn", p, jacobian)
    return np.sqrt(p)[..., None] * (jacobian - mean[:, None, :])


LIKELIHOODS: dict[str, Likelihood] = {
    "gaussian": Likelihood(
        "means (variance 1)",
        lambda z, y: 0.5 * (z - y) ** 2,
        _gaussian,
        _independent(np.ones_like, np.zeros_like),
        _root_gaussian,
    ),
    "bernoulli": Likelihood(
        "log-odds",
        _bernoulli_loss,
        _bernoulli,
        _independent(_spread, _bernoulli_fourth),
        _root_bernoulli,
    ),
    "poisson": Likelihood(
        "logarithms of rates", lambda z, y: np.exp(z) - y * z, _poisson, _independent(np.exp, np.exp), _root_poisson
    ),
    "categorical": Likelihood(
        "logits of classes", _categorical_loss, _categorical, _categorical_cumulants, _root_categorical
    ),
}


def choose_likelihood(where: str, name: Any) -> Likelihood:
    """Return one by name."""
    if not isinstance(name, str) or name not in LIKELIHOODS:
        raise unknown(where, "likelihood", name, LIKELIHOODS)
    return LIKELIHOODS[name]
