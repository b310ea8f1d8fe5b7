"""Sharpness along training: the largest eigenvalue of the Hessian where the parameters are, by warm-started Lanczos."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from hessian.arguments import INSIDE, POSITIVE, SHARE, Rng, as_generator, check, whole_number
from hessian.curvature.misses import beyond
from hessian.errors import NonFiniteError, ShapeMismatchError, message
from hessian.linalg.lanczos import Lanczos
from hessian.operators.hessian_operator import HessianOperator
from hessian.programs.runtime.functions import as_recorded
from hessian.tape.trees import ravel
from hessian.text import Shown
from hessian.transforms.first_order import value_and_grad
from hessian.transforms.locate import not_finite

_STIR = 0.1
_DOUBT = 0.05
_FEWEST = 3


@dataclass(frozen=True, eq=False, repr=False)
class SharpnessTrace(Shown):
    """Sharpness at points along a trajectory.

    Attributes
    ----------
    iterations : ndarray of int, shape (m,)
    sharpness : ndarray, shape (m,)
        Largest eigenvalue found at each point. It is a Rayleigh quotient: the true one is at least this.
    residuals : ndarray, shape (m,)
        An eigenvalue lies within this of it.
    standard_error : ndarray, shape (m,)
        The true sharpness is above it by at most two of them, with probability 0.95 over the random starts, at each point;
        ``inf`` where so few products bound nothing.
    losses : ndarray, shape (m,)
    n_hvp : ndarray of int, shape (m,)
        Hessian-vector products spent at each point.
    threshold : float
        Sharpness above which the steps are unstable on the quadratic model; NaN where the step size is not known.
    """

    iterations: np.ndarray
    sharpness: np.ndarray
    residuals: np.ndarray
    losses: np.ndarray
    n_hvp: np.ndarray
    threshold: float = math.nan
    standard_error: np.ndarray = field(default_factory=lambda: np.zeros(0))

    @property
    def ratio(self) -> np.ndarray:
        """Sharpness over the threshold, shape (m,): 1 at the edge of stability."""
        return self.sharpness / self.threshold

    def __repr__(self) -> str:
        if not len(self.iterations):
            return "<SharpnessTrace: no points>"
        edge = "" if math.isnan(self.threshold) else f", threshold {self.threshold:.4g}"
        return (
            f"<SharpnessTrace: {len(self.iterations)} points, iterations {self.iterations[0]} to {self.iterations[-1]}, "
            f"sharpness {self.sharpness[0]:.4g} to {self.sharpness[-1]:.4g}{edge}, {self._doubt()}, {self.n_hvp.sum()} products>"
        )

    def _doubt(self) -> str:
        """Say how far above what was found the truth may be."""
        worst = 2.0 * float(np.max(self.standard_error, initial=0.0))
        if not len(self.standard_error) or math.isinf(worst):
            return "not bounded from above"
        return f"at most {worst:.2g} more"


class SharpnessMeter:
    r"""Measures the largest eigenvalue of the Hessian at one point after the other.

    Parameters
    ----------
    f : callable
        ``f(x, *args)`` returns one number; recorded once, and its value looked at in each measurement: data that change belong into args.
    *args
        Further arguments of f.
    step_size : float, optional
        :math:`\eta` of the descent that is watched, for the threshold.
    momentum : float
        :math:`\beta` of heavy-ball momentum.
    rtol : float
        Residual asked for, relative to the eigenvalue. Its error is of second order in the residual where the eigenvalue is
        well separated.
    max_hvp : int
        Most products at a point; what is found by then is reported with its residual.
    rng : int, numpy.random.Generator or None
        Of the starts.

    Attributes
    ----------
    trace : SharpnessTrace
        What has been measured so far.

    Notes
    -----
    Lanczos starts from the eigenvector found at the last point, stirred with a tenth of a random vector so that another
    eigenvalue can overtake; a few products per point where the parameters have moved little. The threshold is
    :math:`2 (1 + \beta) / \eta`: on a quadratic, gradient descent (with momentum) grows along eigenvectors above it.

    A Ritz value is a bound from below. From above, the chance that j steps from a random start leave more than a share of the
    span (Kuczynski and Wozniakowski 1992) is small only after some products more than convergence takes: the bound is ``inf``
    for the few of a warm start, and narrows with a smaller ``rtol``.

    References
    ----------
    J. Cohen, S. Kaur, Y. Li, J. Z. Kolter and A. Talwalkar, "Gradient descent on neural networks typically occurs at the edge
    of stability", ICLR (2021), section 2 and appendix B.

    Examples
    --------
    >>> import numpy as np
    >>> meter = SharpnessMeter(lambda x: np.sum(x**4) / 12, step_size=0.5)
    >>> [round(meter.measure(np.array([t, 0.5])), 9) for t in (1.0, 2.0)]
    [1.0, 4.0]
    >>> meter.trace.ratio.round(9).tolist()
    [0.25, 1.0]
    """

    def __init__(
        self,
        f: Callable[..., Any],
        *args: Any,
        step_size: float | None = None,
        momentum: float = 0.0,
        rtol: float = 1e-3,
        max_hvp: int = 200,
        rng: Rng = 0,
    ) -> None:
        where = "SharpnessMeter"
        if step_size is not None:
            check(where, "step_size", step_size, POSITIVE)
        check(where, "momentum", momentum, SHARE)
        check(where, "rtol", rtol, INSIDE)
        whole_number(where, "max_hvp", max_hvp)
        self._f = as_recorded(f, verify="always")
        self._args, self._rtol, self._limit = args, float(rtol), max_hvp
        self._threshold = math.nan if step_size is None else 2.0 * (1.0 + momentum) / step_size
        self._rng = as_generator(rng, where)
        self._vector: np.ndarray | None = None
        self._rows: list[tuple[int, float, float, float, int, float]] = []

    @property
    def trace(self) -> SharpnessTrace:
        """What has been measured so far."""
        columns = list(zip(*self._rows, strict=True)) if self._rows else [()] * 6
        return SharpnessTrace(
            np.array(columns[0], dtype=int),
            np.array(columns[1], dtype=float),
            np.array(columns[2], dtype=float),
            np.array(columns[3], dtype=float),
            np.array(columns[4], dtype=int),
            self._threshold,
            np.array(columns[5], dtype=float),
        )

    def __repr__(self) -> str:
        return f"<SharpnessMeter: {self.trace!r}>"

    def measure(self, x: Any, iteration: int | None = None) -> float:
        """Return the sharpness at a point, and add it to the trace under the next number unless one is given.

        Raises
        ------
        NonFiniteError
            A product holds NaN or infinity.
        ShapeMismatchError
            There is no parameter.
        """
        H = HessianOperator(self._f, x, *self._args)
        if not H.shape[0]:
            what = "x holds no numbers"
            raise ShapeMismatchError(
                message("SharpnessMeter", what, "It has no curvature", "Pass at least one parameter")
            )
        start, stir = self._start(H)
        value, self._vector, residual, products, above = _largest(H, start, self._rtol, self._limit, stir)
        number = (self._rows[-1][0] + 1 if self._rows else 0) if iteration is None else iteration
        self._rows.append((number, value, residual, float(H.value), products, 0.5 * above))
        return value

    def _start(self, H: HessianOperator) -> tuple[np.ndarray, float]:
        """The last eigenvector, stirred, and the part of it that is random."""
        fresh = self._rng.standard_normal(H.shape[0])
        fresh /= np.linalg.norm(fresh)
        is_fresh = self._vector is None or len(self._vector) != len(fresh)
        start = fresh if self._vector is None or is_fresh else self._vector + _STIR * fresh
        length = float(np.linalg.norm(start))
        return (start / length).astype(H.dtype), (1.0 if is_fresh else _STIR) / length


def sharpness_along(f: Callable[..., Any], points: Iterable[Any], *args: Any, **options: Any) -> SharpnessTrace:
    """Measure the sharpness at each of a sequence of points.

    Parameters
    ----------
    f, args
        As for :class:`SharpnessMeter`.
    points : iterable
        Of arrays or containers, all of one structure.
    **options
        Of :class:`SharpnessMeter`.

    Returns
    -------
    SharpnessTrace

    Examples
    --------
    >>> import numpy as np
    >>> trace = sharpness_along(lambda x: np.sum(x**4) / 12, [np.array([t, 0.5]) for t in (1.0, 2.0, 3.0)])
    >>> trace.sharpness.round(9).tolist()
    [1.0, 4.0, 9.0]
    """
    meter = SharpnessMeter(f, *args, **options)
    for point in points:
        meter.measure(point)
    return meter.trace


def edge_of_stability(
    f: Callable[..., Any], x: Any, *args: Any, step_size: float, steps: int, every: int = 10, **options: Any
) -> tuple[SharpnessTrace, Any]:
    r"""Run gradient descent with a fixed step and measure the sharpness as it goes.

    .. math:: x_{k+1} = x_k - \eta \nabla f(x_k)

    Parameters
    ----------
    f : callable
        ``f(x, *args)`` returns one number, of all data: the theory is of full batches.
    x : array or container of float arrays
        Start; not modified.
    *args
        Further arguments of f.
    step_size : float
        :math:`\eta`.
    steps : int
        How many.
    every : int
        Steps between two measurements; the start and the end are measured too.
    **options
        ``rtol``, ``max_hvp`` and ``rng`` of :class:`SharpnessMeter`.

    Returns
    -------
    trace : SharpnessTrace
        With the threshold :math:`2 / \eta`.
    x : like the start
        The last point.

    Raises
    ------
    NonFiniteError
        The loss or its gradient became NaN or infinite: the step is too long for the start, not merely at the edge.
    OptionError
        A step size, a number of steps or an option out of range.

    Notes
    -----
    Cost: a value and a gradient per step; some 3 to 20 products per measurement.

    References
    ----------
    J. Cohen et al., ICLR (2021). Sharpness rises until 2 / eta and then hovers there.

    Examples
    --------
    >>> import numpy as np
    >>> trace, x = edge_of_stability(lambda x: 1.5 * np.sum(x**2), np.ones(2), step_size=0.1, steps=20)
    >>> trace.iterations.tolist(), trace.sharpness.round(9).tolist(), round(trace.threshold, 9)
    ([0, 10, 20], [3.0, 3.0, 3.0], 20.0)
    """
    where = "edge_of_stability"
    check(where, "step_size", step_size, POSITIVE)
    whole_number(where, "steps", steps)
    whole_number(where, "every", every)
    recorded = as_recorded(f)
    meter = SharpnessMeter(recorded, *args, step_size=step_size, **options)
    gradient_at = value_and_grad(recorded)
    vector, unravel = ravel(x)
    for step in range(steps + 1):
        x = unravel(vector)
        if step % every == 0 or step == steps:
            meter.measure(x, step)
        if step == steps:
            break
        value, gradient = gradient_at(x, *args)
        vector = vector - vector.dtype.type(step_size) * ravel(gradient)[0]
        if not (math.isfinite(float(value)) and np.all(np.isfinite(vector))):
            what = f"the descent left all bounds at step {step}"
            why = f"A step size of {step_size:g} is unstable there"
            raise NonFiniteError(message(where, what, why, "Lower step_size, or start where the loss is flatter"))
    return meter.trace, unravel(vector)


def _largest(
    H: HessianOperator, start: np.ndarray, rtol: float, limit: int, stir: float
) -> tuple[float, np.ndarray, float, int, float]:
    """Largest Ritz value in a growing Krylov space, its vector and residual, the products spent, and what may be above it."""
    eps, n = float(np.finfo(start.dtype).eps), start.size
    process = Lanczos(start, min(limit, n))
    while True:
        process.absorb(np.asarray(H @ process.next))
        if not process.is_finite:
            why = "Curvature is defined where the loss is smooth and finite"
            what = "a Hessian-vector product holds NaN or infinity"
            raise not_finite("SharpnessMeter", what, why, "", H.origin_of_nonfinite())
        values, vectors, _ = process.ritz()
        count = process.size
        rounding = 4.0 * eps * math.sqrt(n) * max(abs(values[0]), abs(values[-1]))
        residual = process.betas[-1] * abs(float(vectors[-1, -1])) + rounding
        is_close = count >= _FEWEST and residual <= rtol * abs(values[-1])
        if is_close or process.is_invariant or count == process.basis.capacity:
            break
    vector = process.basis.lift(vectors[:, -1])
    above = rounding
    if count < n:
        above += beyond(n, count, float(values[-1] - values[0]), _DOUBT, stir=stir)
    return float(values[-1]), vector / np.linalg.norm(vector), float(residual), count, above
