"""Twins of the distributions of vectors in scipy.stats: normal, t, Dirichlet."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import scipy.special as sc
import scipy.stats

from hessian.errors import OptionError, ShapeMismatchError, message
from hessian.rules.broadcast import as_floats
from hessian.rules.traced import entered
from hessian.rules.triangular import PLAIN, triangular_op
from hessian.scipy.mirror import holds

_LOG_2PI = math.log(2 * math.pi)


class Multivariate:
    """A distribution of vectors of SciPy's whose density also takes traced values; whatever else it has is SciPy's.

    ``log`` is the logarithm of the density, with SciPy's arguments; further functions are those of its parameters.
    """

    def __init__(self, original: Any, log: Callable[..., Any], **functions: Callable[..., Any]) -> None:
        self.original, self._log, self._functions = original, log, functions

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") or name == "original":
            raise AttributeError(name)
        function = getattr(self.original, name)
        if name not in self._functions:
            return function
        own = self._functions[name]
        is_traced = lambda args, keywords: any(map(holds, args)) or any(map(holds, keywords.values()))
        return lambda *args, **keywords: (own if is_traced(args, keywords) else function)(*args, **keywords)

    def __call__(self, *args: Any, **keywords: Any) -> FrozenMultivariate:
        """Freeze the parameters."""
        return FrozenMultivariate(self, args, keywords)

    def logpdf(self, *args: Any, **keywords: Any) -> Any:
        """Evaluate the logarithm of the density, as the distribution of SciPy's; traced values as well."""
        if any(map(holds, args)) or any(map(holds, keywords.values())):
            return self._log(*args, **keywords)
        return self.original.logpdf(*args, **keywords)

    def pdf(self, *args: Any, **keywords: Any) -> Any:
        """Evaluate the density."""
        if any(map(holds, args)) or any(map(holds, keywords.values())):
            return np.exp(self._log(*args, **keywords))
        return self.original.pdf(*args, **keywords)


class FrozenMultivariate:
    """A distribution of vectors with its parameters given."""

    def __init__(self, twin: Multivariate, args: tuple[Any, ...], keywords: dict[str, Any]) -> None:
        self._twin, self._args, self._keywords = twin, args, keywords

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        if name in self._twin._functions:
            return lambda: getattr(self._twin, name)(*self._args, **self._keywords)
        return getattr(self._twin.original(*self._args, **self._keywords), name)

    def logpdf(self, x: Any) -> Any:
        """Evaluate the logarithm of the density."""
        return self._twin.logpdf(x, *self._args, **self._keywords)

    def pdf(self, x: Any) -> Any:
        """Evaluate the density."""
        return self._twin.pdf(x, *self._args, **self._keywords)


def _array(x: Any) -> Any:
    x = entered(x)
    return x if holds(x) else as_floats(x)


def _placed(where: str, x: Any, mean: Any, matrix: Any) -> tuple[Any, Any, int]:
    """Return points as they lie around the mean, the matrix of the spread and the dimension."""
    x, mean, matrix = _array(x), None if mean is None else _array(mean), _array(matrix)
    n = mean.size if mean is not None and mean.ndim else matrix.shape[-1] if matrix.ndim else 1
    if matrix.ndim == 0:
        matrix = matrix * np.eye(n)
    elif matrix.ndim == 1:
        matrix = matrix[:, None] * np.eye(n)
    if matrix.shape != (n, n):
        raise ShapeMismatchError(message(where, f"a matrix of shape {matrix.shape} with a mean of {n} numbers"))
    # SciPy takes a vector for one point, or of one dimension for many.
    if x.ndim == 0:
        x = np.reshape(x, (1, 1))
    elif x.ndim == 1 and n == 1:
        x = x[:, None]
    if x.shape[-1] != n:
        raise ShapeMismatchError(message(where, f"points of shape {x.shape} with a mean of {n} numbers"))
    return x if mean is None else x - np.reshape(mean, (n,)), matrix, n


def _standardized(where: str, x: Any, mean: Any, matrix: Any) -> tuple[Any, Any, int]:
    """Return squared Mahalanobis distances, the logarithm of the determinant and the dimension, by one Cholesky factor."""
    gap, matrix, n = _placed(where, x, mean, matrix)
    factor = np.linalg.cholesky(matrix)
    whitened = triangular_op(factor, np.reshape(gap, (-1, n)).T, **PLAIN)
    distance = np.reshape(np.sum(whitened * whitened, axis=0), gap.shape[:-1])
    return distance, 2 * np.sum(np.log(np.diagonal(factor))), n


def _squeezed(y: Any) -> Any:
    return y[0] if y.shape == (1,) else y[()]


def _normal(x: Any, mean: Any = None, cov: Any = 1, allow_singular: bool = False) -> Any:
    if allow_singular:
        return _singular_normal(x, mean, cov)
    distance, logdet, n = _standardized("multivariate_normal", x, mean, cov)
    return _squeezed(-0.5 * (n * _LOG_2PI + logdet + distance))


def _singular_normal(x: Any, mean: Any, cov: Any) -> Any:
    """Return the logarithm of the density on the support, the span of a given matrix of less than full rank."""
    if holds(cov):
        what = "cov is traced, with allow_singular=True"
        why = "at a singular matrix the density has no derivative in it"
        raise OptionError(message("multivariate_normal", what, why, "Pass allow_singular=False, or a cov that is data"))
    gap, matrix, _ = _placed("multivariate_normal", x, mean, cov)
    values, vectors = np.linalg.eigh(matrix)
    # SciPy's verdict on what is zero.
    least = 1e6 * np.finfo(float).eps * np.max(np.abs(values))
    kept = values > least
    within = np.linalg.norm(gap @ vectors[:, ~kept], axis=-1) < 1e3 * least if not kept.all() else True
    whitened = gap @ (vectors[:, kept] / np.sqrt(values[kept]))
    density = -0.5 * (kept.sum() * _LOG_2PI + np.sum(np.log(values[kept])) + np.sum(whitened * whitened, axis=-1))
    return _squeezed(np.where(within, density, -np.inf))


def _entropy(mean: Any = None, cov: Any = 1) -> Any:
    start = np.zeros(np.size(mean) if mean is not None and np.ndim(mean) else np.shape(cov)[-1] if np.ndim(cov) else 1)
    _, logdet, n = _standardized("multivariate_normal", start, start, cov)
    return 0.5 * (n * (_LOG_2PI + 1) + logdet)


def _student(x: Any, loc: Any = None, shape: Any = 1, df: Any = 1) -> Any:
    distance, logdet, n = _standardized("multivariate_t", x, loc, shape)
    df = _array(df)
    front = sc.gammaln(0.5 * (df + n)) - sc.gammaln(0.5 * df) - 0.5 * n * (np.log(df) + math.log(math.pi))
    return _squeezed(front - 0.5 * logdet - 0.5 * (df + n) * np.log1p(distance / df))


def _dirichlet(x: Any, alpha: Any) -> Any:
    x, alpha = _array(x), _array(alpha)
    if x.shape[0] + 1 == alpha.shape[0]:
        x = np.concatenate([x, 1 - np.sum(x, axis=0, keepdims=True)], axis=0)
    if x.shape[0] != alpha.shape[0]:
        raise ShapeMismatchError(message("dirichlet", f"{x.shape[0]} shares with {alpha.shape[0]} concentrations"))
    front = sc.gammaln(np.sum(alpha)) - np.sum(sc.gammaln(alpha))
    return (front + np.sum(sc.xlogy(alpha - 1, x.T).T, axis=0))[()]


multivariate_normal = Multivariate(scipy.stats.multivariate_normal, _normal, entropy=_entropy)
multivariate_t = Multivariate(scipy.stats.multivariate_t, _student)
dirichlet = Multivariate(scipy.stats.dirichlet, _dirichlet)
