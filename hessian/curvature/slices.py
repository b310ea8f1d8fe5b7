"""The loss along a line or over a plane through a point, with its exact Taylor models beside it."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from numbers import Real
from typing import Any

import numpy as np

from hessian.arguments import whole_number
from hessian.curvature.directions import Direction
from hessian.errors import NotScalarError, OptionError, message
from hessian.linalg.dense import symmetrized
from hessian.operators.hessian_operator import HessianOperator
from hessian.tape.trace import Primal
from hessian.tape.trees import join_vector, split_vector
from hessian.text import Shown
from hessian.transforms.higher_order import directional, taylor

Span = float | tuple[float, float] | Sequence[float] | np.ndarray


@dataclass(frozen=True, eq=False, repr=False)
class LineSlice(Shown):
    """The loss at ``x + t v``.

    Attributes
    ----------
    t : ndarray, shape (m,)
        Multiples of the direction as it was given.
    values : ndarray, shape (m,)
        The loss; NaN or infinite where it is.
    coefficients : ndarray, shape (4,)
        Exact Taylor coefficients at t = 0: ``sum_k c_k t^k`` up to the third power.
    label : str
        Of the direction.
    length : float
        Norm of the direction.
    """

    t: np.ndarray
    values: np.ndarray
    coefficients: np.ndarray
    label: str
    length: float

    @property
    def value(self) -> float:
        """The loss at x."""
        return float(self.coefficients[0])

    @property
    def quadratic(self) -> np.ndarray:
        """The second-order model on the grid, shape (m,): off by O(t^3)."""
        return np.polynomial.polynomial.polyval(self.t, self.coefficients[:3])

    @property
    def cubic(self) -> np.ndarray:
        """The third-order model on the grid, shape (m,): off by O(t^4)."""
        return np.polynomial.polynomial.polyval(self.t, self.coefficients)

    def __repr__(self) -> str:
        slope, half_bend, third = self.coefficients[1:]
        return (
            f"<LineSlice along {self.label}: {len(self.t)} points from {self.t[0]:g} to {self.t[-1]:g}, loss {self.value:.6g}, "
            f"slope {slope:.3g}, curvature {2 * half_bend:.3g}, third derivative {6 * third:.3g}>"
        )


@dataclass(frozen=True, eq=False, repr=False)
class PlaneSlice(Shown):
    """The loss at ``x + a u + b v``.

    Attributes
    ----------
    a, b : ndarray, shapes (m,) and (k,)
        Multiples of the two directions as they were given.
    values : ndarray, shape (m, k)
        The loss at ``a[i], b[j]``; NaN or infinite where it is.
    value : float
        The loss at x.
    gradient : ndarray, shape (2,)
        Its derivatives in a and b there.
    hessian : ndarray, shape (2, 2)
    third : ndarray, shape (4,)
        Third derivatives: aaa, aab, abb, bbb.
    labels : tuple of two str
    lengths : tuple of two float
        Norms of the directions.
    """

    a: np.ndarray
    b: np.ndarray
    values: np.ndarray
    value: float
    gradient: np.ndarray
    hessian: np.ndarray
    third: np.ndarray
    labels: tuple[str, str]
    lengths: tuple[float, float]

    @property
    def quadratic(self) -> np.ndarray:
        """The second-order model on the grid, shape (m, k)."""
        a, b = self.a[:, None], self.b[None, :]
        (aa, ab), (_, bb) = self.hessian
        return self.value + self.gradient[0] * a + self.gradient[1] * b + 0.5 * (aa * a**2 + 2 * ab * a * b + bb * b**2)

    @property
    def cubic(self) -> np.ndarray:
        """The third-order model on the grid, shape (m, k)."""
        a, b = self.a[:, None], self.b[None, :]
        aaa, aab, abb, bbb = self.third
        return self.quadratic + (aaa * a**3 + 3 * aab * a**2 * b + 3 * abb * a * b**2 + bbb * b**3) / 6.0

    def __repr__(self) -> str:
        low, high = np.linalg.eigvalsh(self.hessian)
        return (
            f"<PlaneSlice along {self.labels[0]} and {self.labels[1]}: {len(self.a)} x {len(self.b)} points, "
            f"loss {self.value:.6g}, curvatures {low:.3g} and {high:.3g} in (a, b)>"
        )


def line_slice(
    f: Callable[..., Any], x: Any, direction: Any, *args: Any, span: Span = 1.0, points: int = 51
) -> LineSlice:
    r"""Evaluate a loss along a line, :math:`f(x + t v)`, and its exact quadratic and cubic models at t = 0.

    Parameters
    ----------
    f : callable
        ``f(x, *args)`` returns one number.
    x : array or container of float arrays
    direction : Direction, or like x
        v, used as it is: t counts multiples of it.
    *args
        Further arguments of f.
    span : float, pair or array
        t runs from -span to span, or between the two of a pair, or over the array (three numbers or more).
    points : int
        Of the grid, where span is no array; odd numbers have t = 0 on it.

    Returns
    -------
    LineSlice

    Raises
    ------
    ShapeMismatchError
        The direction does not have the structure of x.
    OptionError
        A span without extent, or too few points.
    NotScalarError, DtypeError
        As for :func:`hessian.grad`.

    Notes
    -----
    Cost: one evaluation of f per point, and a Taylor expansion of order 3. f is called plainly, and replayed where it is
    recorded already: a replayed value was measured to take 1.1 to 1.5 times a plain one up to a few thousand parameters and
    0.7 times at 26 000, and recording as long as some ten values or more, so that ``hs.record(f)`` pays for large networks.
    Values that are not finite are part of the picture and raise no warning.

    Examples
    --------
    >>> import numpy as np
    >>> line = line_slice(lambda x: np.sum(np.exp(x)), np.zeros(2), np.array([1.0, 0.0]), span=(-1.0, 1.0), points=3)
    >>> line
    <LineSlice along direction: 3 points from -1 to 1, loss 2, slope 1, curvature 1, third derivative 1>
    >>> line.quadratic.tolist(), (line.values - 1.0 == np.exp(line.t)).tolist()
    ([1.5, 2.0, 3.5], [True, True, True])
    """
    where = "line_slice"
    line = _Directions(x, (direction,), where)
    t = _grid(span, points, where)
    coefficients = np.asarray(taylor(f, x, line.trees[0], *args, order=3), dtype=np.float64)
    if coefficients.shape != (4,):
        what = f"f returns an array of shape {coefficients.shape[1:]}"
        raise NotScalarError(message(where, what, "A loss is one number", "Return one number"))
    values = np.array([line.evaluate(f, (step,), args) for step in t])
    return LineSlice(t, values, coefficients, line.labels[0], line.lengths[0])


def plane_slice(
    f: Callable[..., Any], x: Any, first: Any, second: Any, *args: Any, span: Any = 1.0, points: int = 31
) -> PlaneSlice:
    r"""Evaluate a loss over a plane, :math:`f(x + a u + b v)`, and its exact quadratic and cubic models at the origin.

    Parameters
    ----------
    f, x, args
        As for :func:`line_slice`.
    first, second : Direction, or like x
        u and v.
    span : float or pair, or a list of two of those
        As for :func:`line_slice`, for both directions or (in a list) for each.
    points : int
        Along each axis.

    Returns
    -------
    PlaneSlice

    Raises
    ------
    As for :func:`line_slice`.

    Notes
    -----
    The directions need not be orthogonal; ``hessian`` is in (a, b), so its eigenvalues are curvatures of f only for
    orthonormal directions. Cost: points squared evaluations of f, two Hessian-vector products, and four contractions of
    the third derivative.

    Examples
    --------
    >>> import numpy as np
    >>> plane = plane_slice(lambda x: x[0] ** 2 * x[1], np.ones(2), np.array([1.0, 0.0]), np.array([0.0, 1.0]), points=5)
    >>> plane.hessian.tolist(), plane.third.tolist(), bool(np.allclose(plane.cubic, plane.values))
    ([[2.0, 2.0], [2.0, 0.0]], [0.0, 2.0, 0.0, 0.0], True)
    """
    where = "plane_slice"
    plane = _Directions(x, (first, second), where)
    spans = span if isinstance(span, list) else [span, span]
    if len(spans) != 2:
        raise OptionError(message(where, f"span lists {len(spans)} axes", fix="Pass one span, or a list of two"))
    a, b = (_grid(one, points, where) for one in spans)
    H = HessianOperator(f, x, *args)
    both = np.stack(plane.vectors, axis=1)
    u, v = plane.trees
    third = [directional(f, x, *three, args=args) for three in ((u, u, u), (u, u, v), (u, v, v), (v, v, v))]
    bends = both.T @ np.asarray(H @ both)
    values = np.array([[plane.evaluate(f, (i, j), args) for j in b] for i in a])
    return PlaneSlice(
        a,
        b,
        values,
        float(H.value),
        np.asarray(both.T @ H.gradient, dtype=np.float64),
        symmetrized(bends),
        np.array([float(derivative) for derivative in third]),
        (plane.labels[0], plane.labels[1]),
        (plane.lengths[0], plane.lengths[1]),
    )


class _Directions:
    """A point and directions from it, raveled, with their names."""

    def __init__(self, x: Any, directions: tuple[Any, ...], where: str) -> None:
        self._primal = Primal(x, where)
        self._origin = join_vector(self._primal.leaves)
        self.vectors: list[np.ndarray] = []
        self.labels: list[str] = []
        for number, direction in enumerate(directions, start=1):
            vector = direction.vector if isinstance(direction, Direction) else direction
            leaves, batch = self._primal.tangent_leaves(vector, "direction")
            if batch:
                raise OptionError(message(where, f"the direction has batch axes {batch}", fix="Pass one direction"))
            self.vectors.append(join_vector(leaves))
            plain = "direction" if len(directions) == 1 else f"direction {number}"
            self.labels.append(direction.label if isinstance(direction, Direction) else plain)
        self.trees = [self._build(vector) for vector in self.vectors]
        self.lengths = [float(np.linalg.norm(vector.astype(np.float64))) for vector in self.vectors]
        if not all(length > 0.0 and math.isfinite(length) for length in self.lengths):
            what = "a direction is zero or not finite"
            raise OptionError(message(where, what, "The slice would be one point", "Pass a direction with a length"))

    def _build(self, vector: np.ndarray) -> Any:
        """Give a vector the structure of x."""
        return self._primal.build(split_vector(vector, self._primal.shapes))

    def evaluate(self, f: Callable[..., Any], steps: tuple[float, ...], args: tuple[Any, ...]) -> float:
        """The loss some way along each direction."""
        point = self._origin
        for step, vector in zip(steps, self.vectors, strict=True):
            point = point + point.dtype.type(step) * vector
        with np.errstate(all="ignore"):
            return float(f(self._build(point), *args))


def _grid(span: Any, points: int, where: str) -> np.ndarray:
    """Places along an axis."""
    ends = [float(t) for t in ((-span, span) if isinstance(span, Real) else span)]  # type: ignore[operator]
    if len(ends) > 2 and all(map(math.isfinite, ends)):
        return np.array(ends)
    if len(ends) != 2 or not all(map(math.isfinite, ends)) or not ends[0] < ends[1]:
        fix = "Pass a number > 0, a pair (low, high), or an array of at least three places"
        raise OptionError(message(where, f"span is {span!r}", fix=fix))
    whole_number(where, "points", points, 2)
    return np.linspace(ends[0], ends[1], points)
