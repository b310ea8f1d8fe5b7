"""Krylov methods on Hessian-vector products: the Steihaug-Toint path of a model, Lanczos for its lowest eigenvalue.

The model is ``m(s) = g.s + 1/2 s.B s``. Nothing here spends a product on what is known: the value of the model follows
from the conjugate gradient recurrences, and a smaller radius from the path that is already there.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from hessian.errors import OptionError, message
from hessian.linalg.cg import ConjugateGradients, Product, run
from hessian.linalg.lanczos import Lanczos
from hessian.linalg.vectors import norm


class IndefinitePreconditioner(OptionError):
    """A preconditioner turned out not to be positive definite."""


ROUNDED = 10.0
"""Curvatures ``d.Bd`` below so many units of rounding of ``|d| |Bd|`` have no sign."""


@dataclass(frozen=True, slots=True)
class Step:
    """A proposed step: ``predicted`` is ``-m(s)``; ``on_boundary`` if a larger radius would have given a longer one."""

    vector: np.ndarray
    norm: float
    predicted: float
    on_boundary: bool
    status: str


@dataclass(frozen=True, slots=True)
class Segment:
    """The piece ``start + t direction``, ``0 <= t <= length``, of a path, with the model along it.

    ``m(start + t direction) = value + t slope + t^2 curvature / 2``. Norms are those of the trust region; where that is not
    the 2-norm, ``inner`` and ``square`` are the products of start and direction, and of direction with itself, in it.
    """

    start: np.ndarray
    direction: np.ndarray
    start_norm: float
    end_norm: float
    length: float
    value: float
    slope: float
    curvature: float
    inner: float | None = None
    square: float | None = None

    def cut(self, radius: float) -> tuple[np.ndarray, float, float, bool]:
        """Farthest point of the segment within the radius, its norm, the model there, and whether the radius cut it."""
        t, is_cut = self.length, False
        if self.end_norm > radius:
            t, is_cut = min(self.length, self._root(radius)), True
        vector = self.start + t * self.direction
        length = norm(vector) if self.square is None else min(radius, self.end_norm)
        # In this order t^2 does not overflow on a nearly flat segment.
        return vector, length, self.value + t * (self.slope + 0.5 * t * self.curvature), is_cut

    def _root(self, radius: float) -> float:
        """Place at which the segment meets the radius."""
        if self.inner is None or self.square is None:
            return boundary_root(self.start, self.direction, radius)
        scale = math.sqrt(self.square)
        return _positive_root(self.inner / scale, (radius - self.start_norm) * (radius + self.start_norm)) / scale


def boundary_root(start: np.ndarray, direction: np.ndarray, radius: float) -> float:
    """Solve ``|start + t direction| = radius`` for the root ``t >= 0``, from a start within the radius."""
    scale = norm(direction)
    return _positive_root(float(start @ direction) / scale, radius * radius - float(start @ start)) / scale


def _positive_root(b: float, c: float) -> float:
    """Larger root of ``t^2 + 2 b t - c = 0``, ``c >= 0``, in whichever of its two forms does not cancel."""
    c = max(c, 0.0)
    root = math.hypot(b, math.sqrt(c))
    return c / (b + root) if b > 0 else root - b


class CGPath:
    """The curve of CG iterates from the origin, to be cut at any radius up to the one it was computed for.

    The norms of the iterates increase (Steihaug 1983), and the iterates do not depend on the radius: only
    the place where the curve is left does. A rejected step is therefore shortened without a product. To keep that cheap
    in memory, only those segments are stored in which the norm passes a power of two, and the last: two vectors per
    octave. The radius rule shrinks to powers of two for this reason, and cutting there is exact. At another radius the
    path is left at the end of a stored segment, somewhat early.

    Attributes
    ----------
    products : int
        Hessian-vector products spent.
    status : str
        How the path ended: ``converged``, ``boundary``, ``negative-curvature``, ``no-curvature``, ``cg-limit`` or
        ``not-finite``.
    """

    def __init__(self, scale: float, radius: float, tolerance: float, eps: float, is_preconditioned: bool) -> None:
        self._scale, self._radius, self._tolerance, self._rounding = scale, radius, tolerance, ROUNDED * eps
        self._norm = self._value = 0.0
        # With M, the products <s, M d> and <d, M d> follow from scalars: M itself is never applied.
        self._is_preconditioned, self._inner, self._square = is_preconditioned, 0.0, 0.0
        self._stored: list[Segment] = []
        self._last: Any = None
        self.status, self.products = "", 0

    def follow(self, cg: ConjugateGradients, product: Product, max_hvp: int) -> None:
        """Let conjugate gradients lay the path."""
        status = run(cg, product, max_hvp, self._at_direction, self._at_iterate)
        # A residual whose square is nothing has long been small.
        self.status = {"limit": "cg-limit", "solved": "converged"}.get(status, status)
        self.products = cg.products

    @property
    def end_norm(self) -> float:
        """Norm of the last iterate; infinite when the path leaves along negative curvature."""
        return float(self._last.end_norm)

    def step(self, radius: float) -> Step:
        """Leave the path at the radius."""
        pieces = (self._last, *reversed(self._stored))
        segment = next(piece for piece in pieces if piece.start_norm < radius or piece.start_norm == 0.0)
        vector, length, value, is_cut = segment.cut(radius)
        is_last = segment is self._last
        is_whole = is_last and not is_cut
        status = self.status if is_whole or (is_last and segment.curvature <= 0.0) else "boundary"
        return Step(vector, length, -self._scale * value, not is_whole, status)

    def _at_direction(self, cg: ConjugateGradients) -> str | None:
        """Leave along a direction whose curvature is not positive, or not finite."""
        self._inner = cg.growth * (self._inner + cg.length * self._square)
        self._square = cg.slope + cg.growth**2 * self._square
        curvature = cg.curvature
        if not math.isfinite(curvature):
            self._last = self._last or self._segment(cg, cg.iterate, math.inf, math.inf, 0.0)
            return "not-finite"
        rounding = self._rounding * norm(cg.direction) * norm(cg.image)
        if curvature <= rounding:
            # A curvature below its rounding is none, with either sign: the step to its minimum would be rounding.
            is_none = abs(curvature) <= rounding
            self._last = self._segment(cg, cg.iterate, math.inf, math.inf, 0.0 if is_none else curvature)
            return "no-curvature" if is_none else "negative-curvature"
        return None

    def _at_iterate(self, cg: ConjugateGradients) -> str | None:
        """Stop at the radius, or at a small residual."""
        if self._is_preconditioned:
            end_norm = math.sqrt(self._norm**2 + cg.length * (2.0 * self._inner + cg.length * self._square))
        else:
            end_norm = norm(cg.iterate)
        self._last = self._segment(cg, cg.origin, end_norm, cg.length, cg.curvature)
        if end_norm >= self._radius:
            return "boundary"
        if _octave(end_norm) > _octave(self._norm):
            self._stored.append(self._last)
        self._norm, self._value = end_norm, self._value - 0.5 * cg.length * cg.slope
        return "converged" if norm(cg.residual) * self._scale <= self._tolerance else None

    def _segment(self, cg: ConjugateGradients, start: Any, end_norm: float, length: float, curvature: float) -> Segment:
        """A piece of the path along the direction."""
        along = (start, cg.direction, self._norm, end_norm, length, self._value, -cg.slope, curvature)
        return Segment(*along, self._inner, self._square) if self._is_preconditioned else Segment(*along)


def steihaug_toint(
    product: Product,
    gradient: np.ndarray,
    radius: float,
    tolerance: float,
    max_hvp: int,
    *,
    precondition: Product | None = None,
    collect: Callable[[np.ndarray, np.ndarray], None] | None = None,
) -> CGPath:
    """Run conjugate gradients on ``B s = -g`` within a radius, or along the first negative curvature.

    It stops when the residual is small, the path crosses the radius, or the curvature is not positive beyond rounding.

    Parameters
    ----------
    tolerance : float
        Bound on the residual ``|g + B s|`` at which to stop.
    precondition : callable, optional
        ``v -> M^-1 v``, M symmetric positive definite. The radius is then one of the norm ``sqrt(s.M s)``.
    collect : callable, optional
        Receives every direction d and its product ``B d``.

    Returns
    -------
    CGPath
        The path, to be cut at ``radius`` or at any smaller power of two.

    Notes
    -----
    Cost: one product and a few vector operations per iteration. With the residual ``r = g + B s`` at hand the model is
    known from scalars, ``m(s + a d) = m(s) - a r.r + a^2/2 d.Bd`` (r.d = -r.r): every segment decreases it, so the sum
    does not cancel. A product that is not finite ends the path where it is; at the very first one, the gradient alone
    is followed (a linear model).

    The model is divided by ``|g|``, which changes no iterate and keeps ``r.r`` from overflow and underflow.

    References
    ----------
    T. Steihaug, SIAM J. Numer. Anal. 20 (1983) 626-637. Ph. L. Toint, in: Sparse Matrices and Their Uses (1981) 57-88.
    A. R. Conn, N. I. M. Gould and Ph. L. Toint, Trust-Region Methods (2000), algorithm 7.5.1.
    """
    scale = norm(gradient)

    def scaled(d: np.ndarray) -> np.ndarray:
        image = product(d)
        if collect is not None:
            collect(d, image)
        return image / scale

    eps = float(np.finfo(gradient.dtype).eps)
    cg = ConjugateGradients(gradient / scale, precondition=precondition)
    path = CGPath(scale, radius, tolerance, eps, precondition is not None)
    path.follow(cg, scaled, max_hvp)
    if precondition is not None:
        _check_positive(cg.slope)
    return path


def _check_positive(square: float) -> None:
    """Refuse a preconditioner that is not positive definite: CG would go astray without a sign of it."""
    if not square > 0.0:
        what = f"the preconditioner gives v.M^-1 v = {square:.3g} for a vector that is not zero"
        fix = "Return M^-1 v of a symmetric positive definite M"
        raise IndefinitePreconditioner(message("minimize", what, "Conjugate gradients need it positive definite", fix))


def _octave(length: float) -> float:
    """Exponent of the power of two at or below a length."""
    return math.frexp(length)[1] if length > 0.0 else -math.inf


@dataclass(frozen=True, slots=True)
class LowestEigenpair:
    """Approximate smallest eigenvalue and its unit vector, and whether the sign is settled.

    ``scale`` is the largest magnitude seen, ``residual`` is ``|B v - value v|``: an eigenvalue lies within it of ``value``.
    """

    value: float
    vector: np.ndarray
    scale: float
    residual: float
    is_certain: bool


def lanczos_lowest(
    product: Product,
    start: np.ndarray,
    max_hvp: int,
    is_late: Callable[[], bool] = lambda: False,
    orthogonal: int | None = None,
) -> LowestEigenpair:
    """Estimate the smallest eigenvalue of B by the Lanczos process.

    Parameters
    ----------
    start : ndarray, shape (n,)
        Random: every eigenvector should take part in it.
    max_hvp : int
        Bound on the number of products and of vectors kept, at least 1.
    is_late : callable
        Asked after every product whether to stop.
    orthogonal : int, optional
        Vectors up to which the basis is kept orthogonal; by default all.

    Returns
    -------
    LowestEigenpair
        ``value`` is a Rayleigh quotient, so it bounds the smallest eigenvalue from above: a negative one *proves*
        negative curvature.

    Notes
    -----
    Stops early, with ``is_certain``, when the Krylov space is exhausted, when the value is negative to one digit, or
    when it is positive with a residual below ``0.01 value / sqrt(n)``. The last is a probable inference, not a proof:
    an eigenvector u of a missed eigenvalue <= 0 would meet the Ritz vector y in ``|u.y| <= residual / value`` at most,
    but it meets a random start in about ``1 / sqrt(n)``, and the Lanczos polynomial grows towards it. The residual is asked
    for at every fourth part of the way, as eigenvalues of T cost as much as products do.

    Cost: one product per step, and k^2 n flops for k steps to keep the basis orthogonal. Beyond the vectors that are, the Rayleigh
    quotient and its residual take one more product.
    """
    n = start.size
    steps = min(max_hvp, n)
    whole = steps if orthogonal is None else min(max(orthogonal, 1), steps)
    if whole < steps:
        steps -= 1  # whose product is the one of the Rayleigh quotient
    process = Lanczos(start, steps, orthogonal=whole)
    while True:
        process.absorb(product(process.next))
        if not process.is_finite:
            return LowestEigenpair(math.nan, process.next, math.nan, math.nan, False)
        is_last = process.is_invariant or process.size == steps or is_late()
        if is_last or is_due(process.size, 4):
            value, weights = process.extreme(0)
            residual = process.betas[-1] * abs(float(weights[-1]))
            if is_last or _is_settled(value, residual, n):
                break
    vector = process.basis.lift(weights)
    scale = max(abs(value), abs(process.extreme(-1)[0]))
    if process.size <= whole:
        return LowestEigenpair(value, vector, scale, residual, process.is_invariant or _is_settled(value, residual, n))
    vector /= norm(vector)
    w = product(vector)
    value = float(vector @ w)
    residual = norm(w - value * vector)
    return LowestEigenpair(value, vector, scale, residual, _is_settled(value, residual, n))


def is_due(step: int, part: int) -> bool:
    """Whether a step is one of those taken at every n-th part of the way, each as far from the last as that."""
    rate = math.log1p(1.0 / part)
    return step <= part or int(math.log(step) / rate) > int(math.log(step - 1) / rate)


def _is_settled(value: float, residual: float, n: int) -> bool:
    """Whether the sign of the smallest eigenvalue is that of a value with such a residual."""
    return residual < abs(value) * (0.1 if value < 0.0 else 0.01 / math.sqrt(n))
