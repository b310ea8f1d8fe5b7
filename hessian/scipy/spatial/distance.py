"""scipy.spatial.distance: twins of distances between all pairs of points."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import scipy.spatial.distance

from hessian.arguments import choose
from hessian.rules.traced import entered
from hessian.scipy.mirror import holds, mirrored, twin

__all__ = ["cdist", "pdist", "squareform"]
__getattr__, __dir__ = mirrored(__name__)


def _share(top: Any, bottom: Any) -> Any:
    """Return a quotient that is 0 where both are 0."""
    empty = np.equal(bottom, 0)
    return np.where(empty, 0.0, top / np.where(empty, 1.0, bottom))


def _cosine(a: Any, b: Any) -> Any:
    return 1 - np.sum(a * b, axis=-1) / (np.linalg.norm(a, axis=-1) * np.linalg.norm(b, axis=-1))


#: Norms of differences, which have no derivative at 0.
NORMS: dict[str, Callable[..., Any]] = {
    "euclidean": lambda gap: np.linalg.norm(gap, axis=-1),
    "minkowski": lambda gap, p=2: np.linalg.norm(gap, ord=p, axis=-1),
    "seuclidean": lambda gap, V: np.linalg.norm(gap / np.sqrt(V), axis=-1),
    "mahalanobis": lambda gap, VI: np.sqrt(np.sum((gap @ VI) * gap, axis=-1)),
}


def _norm(name: str) -> Callable[..., Any]:
    return lambda a, b, **keywords: NORMS[name](a - b, **keywords)


#: Distances along the last axis, which broadcast.
METRICS: dict[str, Callable[..., Any]] = {
    **{name: _norm(name) for name in NORMS},
    "sqeuclidean": lambda a, b: np.sum(np.square(a - b), axis=-1),
    "cityblock": lambda a, b: np.sum(np.abs(a - b), axis=-1),
    "chebyshev": lambda a, b: np.max(np.abs(a - b), axis=-1),
    "canberra": lambda a, b: np.sum(_share(np.abs(a - b), np.abs(a) + np.abs(b)), axis=-1),
    "braycurtis": lambda a, b: np.sum(np.abs(a - b), axis=-1) / np.sum(np.abs(a + b), axis=-1),
    "cosine": _cosine,
    "correlation": lambda a, b: _cosine(a - np.mean(a, axis=-1, keepdims=True), b - np.mean(b, axis=-1, keepdims=True)),
}
_OTHER_NAMES = {"manhattan": "cityblock", "l1": "cityblock", "l2": "euclidean", "pnorm": "minkowski"}


def _metric(where: str, name: Any) -> Callable[..., Any]:
    if callable(name):
        return lambda a, b: np.stack([name(u, v) for u, v in zip(_rows(a, b), _rows(b, a), strict=True)])
    return choose(where, "metric", _OTHER_NAMES.get(name, name), METRICS)


def _rows(x: Any, like: Any) -> Any:
    return np.reshape(np.broadcast_to(x, np.broadcast_shapes(x.shape, like.shape)), (-1, x.shape[-1]))


@twin(scipy.spatial.distance.cdist)
def cdist(XA: Any, XB: Any, metric: Any = "euclidean", **keywords: Any) -> Any:
    """Return the distances between the rows of two matrices.

    Twin of :func:`scipy.spatial.distance.cdist` that also takes traced values: metrics of real vectors, or a function of two of them. At
    distance 0 the Euclidean distance has the gradient 0 and no second derivative; its square is smooth. From a point to itself,
    as in ``cdist(X / length, X / length)``, the distance is the constant 0.
    """
    a, b = entered(XA), entered(XB)
    name = _OTHER_NAMES.get(metric, metric) if isinstance(metric, str) else ""
    if name in NORMS and holds(a) and a.same_as(b):
        itself = np.eye(a.shape[0], dtype=a.dtype)
        return NORMS[name](a[:, None, :] - b[None, :, :] + itself[:, :, None], **keywords) * (1 - itself)
    y = _metric("cdist", metric)(a[:, None, :], b[None, :, :], **keywords)
    return np.reshape(y, (a.shape[0], b.shape[0]))


@twin(scipy.spatial.distance.pdist)
def pdist(X: Any, metric: Any = "euclidean", **keywords: Any) -> Any:
    """Return the distances between all pairs of rows of a matrix, as a vector.

    Twin of :func:`scipy.spatial.distance.pdist` that also takes traced values.
    """
    x = entered(X)
    i, j = np.triu_indices(x.shape[0], 1)
    return _metric("pdist", metric)(x[i], x[j], **keywords)


@twin(scipy.spatial.distance.squareform)
def squareform(X: Any, force: str = "no", checks: bool = True) -> Any:
    """Turn a vector of distances into a symmetric matrix, or back. Twin of :func:`scipy.spatial.distance.squareform`."""
    x = entered(X)
    if x.ndim == 2:
        return x[np.triu_indices(x.shape[0], 1)]
    n = int(np.ceil(np.sqrt(2 * x.size)))
    place = np.zeros((n, n), int)
    place[np.triu_indices(n, 1)] = np.arange(x.size) + 1
    return np.concatenate([np.zeros(1, x.dtype), x])[place + place.T]
