"""scipy.interpolate: twins of piecewise polynomials, differentiable in where they are evaluated and in the data they are made of.

Knots are plain numbers. Splines are linear in their data: the map to their coefficients is found once, by SciPy, on unit data.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy.interpolate

from hessian.errors import OptionError, message
from hessian.rules.broadcast import as_floats
from hessian.rules.traced import entered
from hessian.scipy.mirror import holds, mirrored

__all__ = ["BSpline", "CubicSpline", "PchipInterpolator", "make_interp_spline"]
__getattr__, __dir__ = mirrored(__name__)


def _array(x: Any) -> Any:
    x = entered(x)
    return x if holds(x) else as_floats(x)


class _Piecewise:
    """A piecewise polynomial: coefficients of powers, the highest first, of x minus the start of its piece."""

    def __init__(self, c: Any, breaks: np.ndarray, extrapolate: Any) -> None:
        self.c, self.x, self.extrapolate = c, breaks, True if extrapolate is None else extrapolate

    def __call__(self, x: Any, nu: int = 0, extrapolate: Any = None) -> Any:
        """Evaluate, or a derivative of order ``nu``."""
        x = _array(x)
        beyond = self.extrapolate if extrapolate is None else extrapolate
        low, high = self.x[0], self.x[-1]
        if beyond == "periodic":
            x = low + np.remainder(x - low, high - low)
        piece = np.clip(np.searchsorted(self.x[1:-1], x, side="right"), 0, len(self.x) - 2)
        c = self.c
        for _ in range(nu):
            powers = np.arange(c.shape[0] - 1, 0, -1.0)
            c = c[:-1] * np.reshape(powers, (-1,) + (1,) * (c.ndim - 1)) if c.shape[0] > 1 else 0.0 * c
        extra = (1,) * (c.ndim - 2)
        s = np.reshape(x - np.take(self.x, piece), np.shape(x) + extra)
        y: Any = np.take(c[0], piece, axis=0)
        for row in range(1, c.shape[0]):
            y = y * s + np.take(c[row], piece, axis=0)
        if beyond is False:
            inside = np.reshape(np.logical_and(x >= low, x <= high), np.shape(x) + extra)
            y = np.where(inside, y, np.nan)
        return y


class _Twin:
    """A twin of an interpolator: SciPy's own object where data and points are plain."""

    def __init__(self, plain: Any, polynomial: _Piecewise) -> None:
        self._plain, self._polynomial = plain, polynomial

    def __call__(self, x: Any, nu: int = 0, extrapolate: Any = None) -> Any:
        """Evaluate at x, or a derivative of order ``nu``."""
        if self._plain is not None and not holds(x):
            return self._plain(x, nu, extrapolate)
        return self._polynomial(x, nu, extrapolate)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        if self._plain is None:
            what = f"{name!r} is not supported where the data is traced"
            raise OptionError(message(type(self).__name__, what, fix="Evaluate it, or its derivatives by nu="))
        return getattr(self._plain, name)


def _linear_coefficients(make: Any, y: Any, n: int) -> Any:
    """Return the coefficients of traced data, by those of unit data."""
    units = make(np.eye(n))
    return np.tensordot(units, y, axes=([2], [0]))


class CubicSpline(_Twin):
    """Interpolate by a cubic spline.

    Twin of :class:`scipy.interpolate.CubicSpline`: x is plain; y, and where the spline is evaluated, may be traced.
    """

    def __init__(self, x: Any, y: Any, axis: int = 0, bc_type: Any = "not-a-knot", extrapolate: Any = None) -> None:
        y = _array(y)
        if extrapolate is None:
            extrapolate = "periodic" if isinstance(bc_type, str) and bc_type == "periodic" else True
        if holds(y):
            if axis:
                raise OptionError(
                    message("CubicSpline", f"axis={axis} with traced data", fix="Use np.moveaxis and axis=0")
                )
            x = np.asarray(x, float)
            c = _linear_coefficients(_cubic_map(x, bc_type), y, len(x))
            super().__init__(None, _Piecewise(c, x, extrapolate))
        else:
            plain = scipy.interpolate.CubicSpline(x, y, axis, bc_type, extrapolate)
            super().__init__(plain, _Piecewise(plain.c, plain.x, extrapolate))


def _cubic_map(x: np.ndarray, bc_type: Any) -> Any:
    if bc_type == "periodic":

        def periodic(units: np.ndarray) -> np.ndarray:
            # The last value is the first one's.
            units = units.copy()
            units[-1] = units[0]
            return np.asarray(scipy.interpolate.CubicSpline(x, units, bc_type="periodic").c)

        return periodic
    if not isinstance(bc_type, str):
        flat = all(not np.any(value) for _, value in (end for end in bc_type if not isinstance(end, str)))
        if not flat:
            what = "bc_type with slopes that are not zero, with traced data"
            raise OptionError(message("CubicSpline", what, fix="Use 'natural', 'clamped', 'not-a-knot' or 'periodic'"))
    return lambda units: scipy.interpolate.CubicSpline(x, units, bc_type=bc_type).c


class PchipInterpolator(_Twin):
    """Interpolate monotonically by cubics (Fritsch & Butland, 1984).

    Twin of :class:`scipy.interpolate.PchipInterpolator`: x is plain; y, and where it is evaluated, may be traced. Where slopes of the data
    change sign its derivative is 0 from both sides, and the second derivative jumps.
    """

    def __init__(self, x: Any, y: Any, axis: int = 0, extrapolate: Any = None) -> None:
        y = _array(y)
        if holds(y):
            if axis:
                raise OptionError(message("PchipInterpolator", f"axis={axis} with traced data", fix="Use np.moveaxis"))
            x = np.asarray(x, float)
            super().__init__(None, _Piecewise(_hermite(x, y, _pchip_slopes(x, y)), x, extrapolate))
        else:
            plain = scipy.interpolate.PchipInterpolator(x, y, axis, extrapolate)
            super().__init__(plain, _Piecewise(plain.c, plain.x, extrapolate))


def _steps(x: np.ndarray, like: Any) -> np.ndarray:
    return np.reshape(np.diff(x), (-1,) + (1,) * (like.ndim - 1))


def _pchip_slopes(x: np.ndarray, y: Any) -> Any:
    h = _steps(x, y)
    m = np.diff(y, axis=0) / h
    if len(x) == 2:
        return np.concatenate([m, m], axis=0)
    before, after = m[:-1], m[1:]
    same = before * after > 0
    w1, w2 = 2 * h[1:] + h[:-1], h[1:] + 2 * h[:-1]
    mean = (w1 / np.where(same, before, 1.0) + w2 / np.where(same, after, 1.0)) / (w1 + w2)
    inner = np.where(same, 1 / np.where(same, mean, 1.0), 0.0)
    return np.concatenate([_edge(h[0], h[1], m[0], m[1])[None], inner, _edge(h[-1], h[-2], m[-1], m[-2])[None]], axis=0)


def _edge(h0: Any, h1: Any, m0: Any, m1: Any) -> Any:
    d = ((2 * h0 + h1) * m0 - h0 * m1) / (h0 + h1)
    turned = np.not_equal(np.sign(d), np.sign(m0))
    steep = np.logical_and(np.not_equal(np.sign(m0), np.sign(m1)), np.abs(d) > 3 * np.abs(m0))
    return np.where(turned, 0.0, np.where(steep, 3 * m0, d))


def _hermite(x: np.ndarray, y: Any, slopes: Any) -> Any:
    h = _steps(x, y)
    m = np.diff(y, axis=0) / h
    t = (slopes[:-1] + slopes[1:] - 2 * m) / h
    return np.stack([t / h, (m - slopes[:-1]) / h - t, slopes[:-1], y[:-1]], axis=0)


def _unit_pieces(t: np.ndarray, count: int, k: int) -> np.ndarray:
    """Return the B-splines' coefficients as piecewise polynomials, between all knots."""
    pieces = [scipy.interpolate.PPoly.from_spline(scipy.interpolate.BSpline(t, unit, k)).c for unit in np.eye(count)]
    return np.stack(pieces, axis=-1)


class BSpline(_Twin):
    """A spline in terms of B-splines.

    Twin of :class:`scipy.interpolate.BSpline`: knots are plain; coefficients, and where it is evaluated, may be traced.
    """

    def __init__(self, t: Any, c: Any, k: int, extrapolate: Any = True, axis: int = 0) -> None:
        c = _array(c)
        t = np.asarray(t, float)
        count = len(t) - k - 1
        unit = _unit_pieces(t, count, k)
        # Pieces between knots that fall together have no length.
        inside = slice(k, len(t) - k - 1)
        starts, coefficients = t[k : len(t) - k], unit[:, inside]
        kept = np.diff(starts) > 0
        breaks = np.append(starts[:-1][kept], starts[-1])
        units = coefficients[:, kept]
        if holds(c):
            if axis:
                raise OptionError(message("BSpline", f"axis={axis} with traced coefficients", fix="Use np.moveaxis"))
            super().__init__(None, _Piecewise(np.tensordot(units, c[:count], axes=([2], [0])), breaks, extrapolate))
        else:
            plain = scipy.interpolate.BSpline(t, c, k, extrapolate, axis)
            whole = np.tensordot(units, np.moveaxis(c, axis, 0)[:count], axes=([2], [0]))
            super().__init__(plain, _Piecewise(whole, breaks, extrapolate))


def make_interp_spline(x: Any, y: Any, k: int = 3, t: Any = None, **keywords: Any) -> Any:
    """Interpolate by a spline of degree k. Twin of :func:`scipy.interpolate.make_interp_spline`, in y and where it is evaluated."""
    y = _array(y)
    if not holds(y):
        plain = scipy.interpolate.make_interp_spline(x, y, k, t, **keywords)
        return BSpline(plain.t, plain.c, plain.k)
    unit = scipy.interpolate.make_interp_spline(x, np.eye(y.shape[0]), k, t, **keywords)
    return BSpline(unit.t, np.tensordot(unit.c, y, axes=([1], [0])), unit.k)
