"""Directions in parameter space worth looking along: eigenvectors, random filters, negative curvature."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from hessian.arguments import Rng, as_generator, whole_number
from hessian.curvature.eigenvalues import eigenvalues
from hessian.errors import OptionError, message
from hessian.operators.hessian_operator import HessianOperator
from hessian.tape.trees import flatten, ravel
from hessian.text import Shown

_NORMALIZATIONS = ("filter", "array", "unit")
_SCALE_PRODUCTS = 10
_ROUNDING = 100.0


@dataclass(frozen=True, eq=False, repr=False)
class Direction(Shown):
    """A direction with the name it has on an axis.

    Attributes
    ----------
    vector : like x
    label : str
    curvature : float
        ``v.Hv / v.v`` where it is known, NaN elsewhere.
    residual : float
        ``|Hv - curvature v|`` for the unit vector: an eigenvalue lies within it of the curvature; NaN where unknown.
    """

    vector: Any
    label: str
    curvature: float = math.nan
    residual: float = math.nan

    def __repr__(self) -> str:
        if math.isnan(self.curvature):
            return f"<Direction {self.label}>"
        return f"<Direction {self.label}: curvature {self.curvature:.6g}, residual {self.residual:.1g}>"


@dataclass(frozen=True, eq=False, repr=False)
class NegativeCurvature(Shown):
    """What was found below zero at a point.

    Attributes
    ----------
    directions : tuple of Direction
        Orthonormal, the lowest curvature first. For each, ``v.Hv`` was computed by a product of its own and is negative
        beyond rounding: a proof that x is no minimum, whatever the iteration missed. The gradient does not rise along any.
    slopes : tuple of float
        ``g.v``, at most 0.
    smallest, residual : float
        Smallest eigenvalue found, and the distance within which H has one.
    miss_probability : float
        Bound on the probability, over random starts, that a smaller eigenvalue was missed; NaN where the budget ended first.
    n_hvp : int
        Products spent.
    """

    directions: tuple[Direction, ...]
    slopes: tuple[float, ...]
    smallest: float
    residual: float
    miss_probability: float
    n_hvp: int

    def __bool__(self) -> bool:
        return bool(self.directions)

    def __repr__(self) -> str:
        count = len(self.directions)
        found = (
            f"{count} direction{'s' * (count != 1)} of negative curvature" if count else "no negative curvature found"
        )
        text = f"smallest eigenvalue {self.smallest:.6g} within {self.residual:.1g}, {self.n_hvp} products"
        chance = (
            ""
            if math.isnan(self.miss_probability)
            else f", a smaller one missed with probability <= {self.miss_probability:.1g}"
        )
        return f"<NegativeCurvature: {found} ({text}{chance})>"


def eigen_directions(
    f: Callable[..., Any],
    x: Any,
    *args: Any,
    k: int = 2,
    which: Literal["LA", "SA", "LM", "BE"] = "LA",
    rtol: float | None = None,
    max_hvp: int | None = None,
    rng: Rng = 0,
) -> tuple[Direction, ...]:
    """Compute eigenvectors of the Hessian as directions of x.

    Parameters
    ----------
    f, x, args
        As for :class:`hessian.HessianOperator`.
    k, which, rtol, max_hvp, rng
        As for :func:`hessian.curvature.eigenvalues`.

    Returns
    -------
    tuple of Direction
        Unit vectors with the structure of x, the largest eigenvalue first (with ``which="SA"`` the smallest). The entry of
        largest magnitude is positive, so that pictures do not flip.

    Raises
    ------
    OptionError, ConvergenceError, NonFiniteError
        As for :func:`hessian.curvature.eigenvalues`.

    Examples
    --------
    >>> import numpy as np
    >>> first, second = eigen_directions(lambda p: p["a"] ** 2 + 4.0 * p["b"] ** 2, {"a": 1.0, "b": 1.0})
    >>> first, round(float(first.vector["b"]), 9)
    (<Direction eigenvector 1: curvature 8, residual 1e-14>, 1.0)
    """
    pairs = eigenvalues(HessianOperator(f, x, *args), k, which, rtol=rtol, max_hvp=max_hvp, rng=rng)
    unravel = ravel(x)[1]
    order = range(k) if which == "SA" else range(k - 1, -1, -1)
    return tuple(
        Direction(
            unravel(_positive(pairs.vectors[:, i])),
            f"eigenvector {number}" if which != "SA" else f"lowest eigenvector {number}",
            float(pairs.values[i]),
            float(pairs.residuals[i]),
        )
        for number, i in enumerate(order, start=1)
    )


def random_directions(
    x: Any, k: int = 2, *, normalize: Literal["filter", "array", "unit"] = "filter", filter_axis: int = -1, rng: Rng = 0
) -> tuple[Direction, ...]:
    r"""Draw Gaussian directions scaled to the weights, so that slices of different networks can be compared.

    Parameters
    ----------
    x : array or container of float arrays
    k : int
        How many.
    normalize : {"filter", "array", "unit"}
        ``"filter"``: each filter d of the direction becomes :math:`d\, \|w\| / \|d\|` for the filter w of the weights.
        ``"array"``: the same with each array as a whole. ``"unit"``: length 1, weights notwithstanding.
    filter_axis : int
        Axis of an array that counts filters, those of all weights into one unit. The last, the default, is right for
        weights applied as ``X @ W`` (a filter is a column) and for convolutions of shape (height, width, in, out), as in
        :mod:`hessian.nn`; 0 is right for ``W @ x`` (a filter is a row).
    rng : int, numpy.random.Generator or None

    Returns
    -------
    tuple of Direction
        With the structure of x.

    Raises
    ------
    OptionError
        An unknown normalisation, k below 1, an axis that an array does not have, or weights that are all zero.

    Notes
    -----
    An array with fewer than two axes (a bias) is one filter, as a whole; Li et al. leave biases where they are, which is
    the same here for biases of zero. Filters of zeros are left where they are.

    References
    ----------
    H. Li, Z. Xu, G. Taylor, C. Studer and T. Goldstein, "Visualizing the loss landscape of neural nets", NeurIPS (2018),
    section 4.

    Examples
    --------
    >>> import numpy as np
    >>> W = np.array([[3.0, 0.0], [4.0, 1.0]])
    >>> (drawn,) = random_directions({"W": W, "b": np.zeros(2)}, 1)
    >>> np.linalg.norm(drawn.vector["W"], axis=0).round(12).tolist(), bool(np.any(drawn.vector["b"]))
    ([5.0, 1.0], False)
    """
    where = "random_directions"
    if normalize not in _NORMALIZATIONS:
        fix = f"Pass one of {', '.join(map(repr, _NORMALIZATIONS))}"
        raise OptionError(message(where, f"normalize is {normalize!r}", fix=fix))
    whole_number(where, "k", k)
    generator = as_generator(rng, where)
    leaves, structure = flatten(x)
    arrays = [np.asarray(leaf) for leaf in leaves]
    if normalize != "unit" and not any(np.any(array) for array in arrays):
        why = "Directions are scaled to the weights"
        raise OptionError(message(where, "all weights are zero", why, 'Pass normalize="unit"'))
    found = []
    for number in range(1, k + 1):
        draws = [generator.standard_normal(array.shape).astype(array.dtype) for array in arrays]
        if normalize == "unit":
            length = math.sqrt(sum(float(np.sum(np.square(draw, dtype=np.float64))) for draw in draws))
            scaled = [draw / draw.dtype.type(length) for draw in draws]
        else:
            axis = filter_axis if normalize == "filter" else None
            scaled = [_scaled_like(draw, array, axis, where) for draw, array in zip(draws, arrays, strict=True)]
        found.append(Direction(structure.build(scaled), f"random direction {number}"))
    return tuple(found)


def negative_curvature(
    f: Callable[..., Any],
    x: Any,
    *args: Any,
    k: int = 1,
    max_hvp: int | None = None,
    rng: Rng = 0,
) -> NegativeCurvature:
    r"""Look for directions with :math:`v^T H v < 0`, and prove them.

    Parameters
    ----------
    f, x, args
        As for :class:`hessian.HessianOperator`.
    k : int
        Smallest eigenvalues to compute.
    max_hvp : int, optional
        Products at most, those for proofs not counted (at most k + 10).
    rng : int, numpy.random.Generator or None

    Returns
    -------
    NegativeCurvature
        True where a direction was found; those of non-negative curvature are left out.

    Notes
    -----
    A negative Rayleigh quotient proves a negative eigenvalue (Courant-Fischer). The opposite is only known with the
    probability given, unless the whole spectrum was computed (probability 0). Rounding in ``v.Hv`` is taken as
    :math:`100\,\epsilon` times the magnitude of H. Cost: the search by Lanczos, one product per direction, ten for the magnitude.

    Raises
    ------
    OptionError, ConvergenceError, NonFiniteError
        As for :func:`hessian.curvature.eigenvalues`.

    Examples
    --------
    >>> import numpy as np
    >>> saddle = lambda x: x[0] ** 4 / 4 - x[0] ** 2 / 2 + x[1] ** 2 / 2
    >>> found = negative_curvature(saddle, np.zeros(2))
    >>> bool(found), np.abs(found.directions[0].vector).tolist(), found.directions[0].curvature
    (True, [1.0, 0.0], -1.0)
    >>> bool(negative_curvature(saddle, np.array([1.0, 0.0])))
    False
    """
    H = HessianOperator(f, x, *args)
    n = H.shape[0]
    whole_number("negative_curvature", "k", k)
    pairs = eigenvalues(H, min(k, n), "SA", max_hvp=max_hvp, rng=rng)
    few = min(n, _SCALE_PRODUCTS)
    largest = eigenvalues(H, 1, "LM", max_hvp=few, confirm=False, rng=rng)
    scale = max(float(np.abs(largest.values).max()), float(np.abs(pairs.values).max()))
    rounding = _ROUNDING * float(np.finfo(H.dtype).eps) * scale
    unravel, gradient = ravel(x)[1], H.gradient
    products = np.asarray(H @ pairs.vectors)
    directions, slopes = [], []
    for v, image in zip(pairs.vectors.T, products.T, strict=True):
        curvature = float(v @ image) / float(v @ v)
        if curvature >= -rounding:
            continue
        residual = float(np.linalg.norm(image - curvature * v))
        v = _positive(v)
        slope = float(gradient @ v)
        directions.append(Direction(unravel(-v if slope > 0.0 else v), "negative curvature", curvature, residual))
        slopes.append(-abs(slope))
    spent = pairs.n_hvp + largest.n_hvp + pairs.vectors.shape[1]
    return NegativeCurvature(
        tuple(directions),
        tuple(slopes),
        float(pairs.values[0]),
        float(pairs.residuals[0]),
        pairs.miss_probability,
        spent,
    )


def _positive(vector: np.ndarray) -> np.ndarray:
    """Give a vector the sign in which its largest entry is positive."""
    return vector if vector[np.argmax(np.abs(vector))] > 0.0 else -vector


def _scaled_like(draw: np.ndarray, weights: np.ndarray, axis: int | None, where: str) -> np.ndarray:
    """Scale the filters of a draw to the norms of those of the weights."""
    others: tuple[int, ...] | None = None
    if axis is not None and weights.ndim >= 2:
        if not -weights.ndim <= axis < weights.ndim:
            what = f"filter_axis is {axis} for an array of shape {weights.shape}"
            raise OptionError(message(where, what, fix="Pass -1 for X @ W, 0 for W @ x"))
        others = tuple(i for i in range(weights.ndim) if i != axis % weights.ndim)
    goal = np.sqrt(np.sum(weights * weights, axis=others, keepdims=True))
    length = np.sqrt(np.sum(draw * draw, axis=others, keepdims=True))
    return (draw * (goal / np.where(length > 0.0, length, 1.0))).astype(weights.dtype)
