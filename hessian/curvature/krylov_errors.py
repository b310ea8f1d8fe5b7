"""Errors of functions of a symmetric matrix on a Krylov space: bounds for functions with signs of derivatives, else estimates."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import scipy.sparse

from hessian.curvature.products import Products
from hessian.curvature.quadrature import with_node
from hessian.errors import OptionError, message
from hessian.linalg.factoring import factor
from hessian.linalg.lanczos import Lanczos
from hessian.linalg.monotone import Monotone

FAR = 4.0
"""Residuals by which an end of the spectrum is looked for beyond a Ritz value: an eigenvalue is within one, if not the last."""


@dataclass(frozen=True)
class Judgement:
    """What is known after so many steps, for a vector of length one.

    Attributes
    ----------
    error : float
        Bound or estimate, ``rounding`` included.
    is_proved : bool
        Whether it is a bound.
    value : float
        Of the quadratic form.
    bounds : tuple of float or None
        Of the quadratic form, each infinite where it is not proved.
    rounding : float
    is_settled : bool
        Whether the end of the spectrum that the error rests on is proved, or seen by a Ritz value that has come to rest there.
    """

    error: float
    is_proved: bool
    value: float
    bounds: tuple[float, float] | None = None
    rounding: float = 0.0
    is_settled: bool = True


@dataclass(frozen=True)
class End:
    """The end of the spectrum that errors depend on: where it is, whether that is proved, and else whether a Ritz value rests there."""

    at: float
    is_proved: bool
    is_settled: bool = True


class Spectrum:
    """What is known of the ends of the spectrum: by the user, by the entries of a matrix, by a factorisation."""

    def __init__(self, products: Products, low: float | None, high: float | None) -> None:
        self._products, self._given = products, (low, high)
        self.low, self.high = -math.inf if low is None else low, math.inf if high is None else high
        self._tried = False
        if products.matrix is not None:
            diagonal = np.asarray(products.matrix.diagonal(), np.float64)
            around = np.asarray(abs(products.matrix).sum(axis=1), np.float64).ravel() - np.abs(diagonal)
            # Gershgorin's discs, and what rounding leaves of the sums.
            slack = 4.0 * products.eps * float(np.max(np.abs(diagonal) + around))
            self.low = max(self.low, float(np.min(diagonal - around)) - slack)
            self.high = min(self.high, float(np.max(diagonal + around)) + slack)

    @property
    def eps(self) -> float:
        """Spacing of the numbers of products at one."""
        return self._products.eps

    @property
    def moved(self) -> float:
        """What rounding does to H, by its norm."""
        return self._products.rounding(self._products.magnitude)

    def check(self, theta: np.ndarray) -> None:
        """Refuse a bound that a Ritz value refutes: no quotient is beyond the spectrum."""
        low, high = self._given
        for name, bound, sign, seen in (("lower", low, 1.0, theta.min()), ("upper", high, -1.0, theta.max())):
            if bound is not None and sign * (seen - bound) < -100.0 * self.moved:
                beyond = "most" if name == "lower" else "least"
                what = f"{name}_bound is {bound:.6g}, and H has an eigenvalue of at {beyond} {seen:.6g}"
                fix = "Pass a bound that holds, or none"
                raise OptionError(message(self._products.where, what, "Errors would rest on it", fix))

    def end(self, known: Monotone, theta: np.ndarray, residual: float) -> End:
        """Return the end of the spectrum that errors depend on; where it is not proved as the Ritz value there has it."""
        if not known.at_low:
            if math.isfinite(self.high):
                return End(self.high, True)
            # The exponential of an end that is off by one is off by a factor of three.
            return End(float(theta[-1]) + residual, False, residual <= 1.0)
        lowest = float(theta[0])
        useful = self.low > self.moved or (not known.is_open and self.low >= 0.0)
        if useful:
            return End(min(self.low, lowest), True)
        is_settled = residual <= 0.5 * lowest
        return End(lowest - residual if is_settled else 0.5 * lowest, False, is_settled)

    def is_within(self, known: Monotone) -> bool:
        """Whether no eigenvalue is known to be outside the domain of the function, or may be: then Gauss's rule is a bound."""
        return self.low >= known.least

    def prove_low(self, known: Monotone, process: Lanczos) -> bool:
        """Look whether half of the lowest Ritz value is below the spectrum of a sparse matrix, by a factorisation; once."""
        matrix = self._products.matrix
        if self._tried or not known.at_low or not scipy.sparse.issparse(matrix):
            return False
        self._tried = True
        half = 0.5 * process.extreme(0)[0]
        if not half > 0.0 or not factor(matrix, -half, definite=True).is_definite:
            return False
        self.low = half
        return True


Function = Callable[[np.ndarray], np.ndarray]


def judged_vector(
    process: Lanczos,
    theta: np.ndarray,
    S: np.ndarray,
    values: np.ndarray,
    known: Monotone | None,
    spectrum: Spectrum,
    func: Function,
) -> Judgement:
    """Judge ``Q f(T) e_1``."""
    size, eps = float(np.abs(values).max()), spectrum.eps
    form = float(np.sum(S[0] ** 2 * values))
    rounding = 4.0 * eps * math.sqrt(process.basis.n) * size
    if known is None:
        error = (
            0.0 if process.is_invariant else max(_changed(process, func), _beyond(process, theta, S, spectrum, func))
        )
        around = np.stack([func(theta + side * spectrum.moved) for side in (-1.0, 1.0)])
        rounding += float(np.max(np.abs(around - values), initial=0.0, where=np.isfinite(around)))
        return Judgement(error + rounding, False, form, None, rounding)
    end = _end(process, theta, S, known, spectrum)
    allowance = rounding + known.growth(end.at, spectrum.moved)
    # Where the function is defined at the end of its domain, that is the worst that an end which nobody has seen can be.
    far = end.at if end.is_settled or known.is_open else known.least
    error = _largest(process, theta, S, known, far, eps) + allowance
    return Judgement(error, end.is_proved, form, None, allowance, end.is_settled or not known.is_open)


def _end(process: Lanczos, theta: np.ndarray, S: np.ndarray, known: Monotone, spectrum: Spectrum) -> End:
    """Return the end of the spectrum that counts: all eigenvalues are known of the whole space."""
    at = 0 if known.at_low else -1
    if process.size == process.basis.n:
        return End(float(theta[at]), True)
    return spectrum.end(known, theta, process.betas[-1] * abs(float(S[-1, at])))


def _largest(process: Lanczos, theta: np.ndarray, S: np.ndarray, known: Monotone, end: float, eps: float) -> float:
    """Return ``beta |e_k' f[T, z] e_1|`` at the end z, where it is largest, and what rounding may hide of it."""
    beta = 0.0 if process.size == process.basis.n else process.betas[-1]
    if not beta:
        return 0.0
    with np.errstate(all="ignore"):
        divided = known.divided(theta, end)
        terms = S[0] * S[-1] * divided
        error = beta * (abs(float(np.sum(terms))) + 4.0 * eps * float(np.sum(np.abs(terms))))
    return math.inf if math.isnan(error) else error


def judged_form(
    process: Lanczos,
    theta: np.ndarray,
    S: np.ndarray,
    values: np.ndarray,
    known: Monotone | None,
    spectrum: Spectrum,
    func: Function,
) -> Judgement:
    """Judge ``e_1' f(T) e_1``: between Gauss's rule and that of Gauss and Radau for functions that are known."""
    vector = judged_vector(process, theta, S, values, known, spectrum, func)
    if known is None:
        return vector
    gauss, rounding = vector.value, vector.rounding
    end = _end(process, theta, S, known, spectrum)
    is_proved = end.is_proved
    node = max(end.at - spectrum.moved, known.least) if known.at_low else end.at + spectrum.moved
    apart = vector.error - rounding
    clear = theta[0] - node > spectrum.moved if known.at_low else node - theta[-1] > spectrum.moved
    if clear and not process.is_invariant:
        nodes, vectors = with_node(process, process.size, node)
        # The node itself, which the eigensolver has to rounding.
        nodes[0 if known.at_low else -1] = node
        with np.errstate(all="ignore"):
            radau = float(np.sum(vectors[0] ** 2 * known.value(nodes)))
        if math.isfinite(radau):
            apart = min(apart, abs(radau - gauss))
    far = apart if is_proved else math.inf
    near = 0.0 if is_proved or spectrum.is_within(known) else math.inf
    low, high = (gauss - near, gauss + far) if known.gauss_is_below else (gauss - far, gauss + near)
    middle = gauss + (0.5 if known.gauss_is_below else -0.5) * apart
    error = 0.5 * apart + rounding
    return Judgement(error, is_proved, middle, (low - rounding, high + rounding), rounding, vector.is_settled)


def _changed(process: Lanczos, func: Function) -> float:
    """Extrapolate from what the last eighth of the steps and the eighth before have changed."""
    k = process.size
    span = max(1, k // 8)
    if k < 3:
        return math.inf
    last, before, first = (_weights(process, k - j * span, func) for j in range(3))
    change = float(np.linalg.norm(last - np.pad(before, (0, len(last) - len(before)))))
    earlier = float(np.linalg.norm(before - np.pad(first, (0, len(before) - len(first)))))
    ratio = min(change / earlier, 0.95) if earlier > 0.0 else 0.95
    return change * max(1.0, ratio / (1.0 - ratio))


def _beyond(process: Lanczos, theta: np.ndarray, S: np.ndarray, spectrum: Spectrum, func: Function) -> float:
    """Return ``beta |e_k' f[T, z] e_1|`` at the ends of the spectrum, as far as they may well be beyond the Ritz values there.

    A function that is constant as far as anybody has looked does not change, whatever it does beyond.
    """
    beta = process.betas[-1]
    low, high = beta * np.abs(S[-1, [0, -1]])
    ends = np.array([theta[0] - FAR * low, theta[0] - low, theta[-1] + high, theta[-1] + FAR * high])
    ends = np.clip(ends, spectrum.low, spectrum.high)
    with np.errstate(all="ignore"):
        values = func(np.concatenate([theta, ends]))
        slopes = (values[: len(theta), None] - values[len(theta) :]) / (theta[:, None] - ends)
        found = beta * np.abs((S[0] * S[-1]) @ slopes)
    return float(np.max(found, initial=0.0, where=np.isfinite(found)))


def _weights(process: Lanczos, steps: int, func: Function) -> np.ndarray:
    """Return ``f(T) e_1`` after so many steps."""
    theta, S, _ = process.ritz(steps)
    return np.asarray(S @ (func(theta) * S[0]))
