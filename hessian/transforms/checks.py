"""Checking derivatives against what they must satisfy, whoever wrote the function."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from hessian.arguments import Rng, as_generator, whole_number
from hessian.errors import DerivativeCheckError, message
from hessian.tape.maps import HessianMap
from hessian.tape.trace import Primal, trace
from hessian.tape.trees import join_vector, split_vector
from hessian.text import Shown
from hessian.transforms.locate import not_finite, origin_in
from hessian.transforms.selection import ArgNums, selected


@dataclass(frozen=True, repr=False)
class DerivativeReport(Shown):
    """What :func:`check_derivatives` found.

    Attributes
    ----------
    value_slope, gradient_slope : float
        Observed orders of the Taylor remainders after the gradient term (expected 2 or more) and after the Hessian term
        (expected 3 or more); ``inf`` where the remainder is rounding alone.
    symmetry : float
        ``|u^T H v - v^T H u|`` relative to ``|u| |H v| + |v| |H u|``.
    gradient_error : float
        Gradient along a direction against central differences of f, relative.
    product_error : float
        Hessian-vector product against central differences of the gradient, relative.
    success : bool
    """

    value_slope: float
    gradient_slope: float
    symmetry: float
    gradient_error: float
    product_error: float
    success: bool

    def __repr__(self) -> str:
        rows = (
            ("Taylor remainder after the gradient", f"order {self.value_slope:.2f}", "2 or more"),
            ("Taylor remainder after the Hessian", f"order {self.gradient_slope:.2f}", "3 or more"),
            ("symmetry of the Hessian", f"{self.symmetry:.1e}", "rounding"),
            ("gradient against differences of f", f"{self.gradient_error:.1e}", "small"),
            ("H v against differences of the gradient", f"{self.product_error:.1e}", "small"),
        )
        lines = [f"{name:<41}{seen:>12}   expected {wanted}" for name, seen, wanted in rows]
        return "\n".join(["derivatives: passed" if self.success else "derivatives: FAILED", *lines])


class _Probe:
    """The function along random directions, between raveled vectors."""

    def __init__(self, f: Callable[..., Any], x: Any, args: tuple[Any, ...]) -> None:
        self.f, self.args = f, args
        self.primal = Primal(x, "check_derivatives")
        self.x = np.asarray(join_vector(self.primal.leaves))
        self.curvature = HessianMap(trace(f, (x, *args), where="check_derivatives"))

    def value(self, vector: np.ndarray) -> float:
        return float(self.f(self.primal.build(split_vector(vector, self.primal.shapes)), *self.args))

    def gradient(self, vector: np.ndarray) -> np.ndarray:
        point = self.primal.build(split_vector(vector, self.primal.shapes))
        return np.asarray(
            join_vector(HessianMap(trace(self.f, (point, *self.args), where="check_derivatives")).gradient)
        )

    def product(self, v: np.ndarray) -> np.ndarray:
        return np.asarray(join_vector(self.curvature.products(split_vector(v, self.primal.shapes))))


def check_derivatives(
    f: Callable[..., Any], x: Any, *args: Any, argnums: ArgNums = 0, rng: Rng = 0, directions: int = 3
) -> DerivativeReport:
    r"""Check gradient and Hessian of ``f`` at ``x`` against properties that any correct derivative has.

    Along random directions: the Taylor remainders :math:`|f(x+hv) - f - h g^T v|` and
    :math:`|f(x+hv) - f - h g^T v - \tfrac{h^2}{2} v^T H v|` must fall like h^2 and h^3, the Hessian must be symmetric, and
    gradient and product must agree with central differences.

    Parameters
    ----------
    f : callable
        Real scalar function: ``f(x, *args)``.
    x : array or container of float64 arrays
    *args
        Further arguments of f, not differentiated unless ``argnums`` names them.
    argnums : int or tuple of int
        Which of f's arguments, x first, to differentiate.
    rng : int, numpy.random.Generator or None
        Of the random directions.
    directions : int
        How many to try; the worst is reported.

    Returns
    -------
    DerivativeReport

    Raises
    ------
    DerivativeCheckError
        Some property fails; the message holds the report.
    NonFiniteError
        f is not finite at x.

    Notes
    -----
    Cost: one recording, then per direction 10 evaluations of f, 2 gradients and 2 products. A kink of f within reach of the
    steps (``0.1 * max(1, abs(x))`` along the direction) fails the check: f has no derivative there to be checked.

    Examples
    --------
    >>> import numpy as np, hessian as hs
    >>> hs.check_derivatives(lambda x: np.sum(np.sin(x) * x), np.array([0.3, 0.7])).success
    True
    """
    whole_number("check_derivatives", "directions", directions)
    probe = _Probe(*selected(f, (x, *args), argnums, "check_derivatives"))
    value = float(probe.curvature.values[0])
    if not np.isfinite(value):
        fix = "Choose a point inside the domain of f"
        origin = origin_in(f, (x, *args), argnums=argnums, order=0)
        raise not_finite("check_derivatives", f"f(x) is {value}", "", fix, origin)
    generator = as_generator(rng, "check_derivatives")
    found = np.array([_along_one_direction(probe, value, generator) for _ in range(directions)])
    slopes, errors = found[:, :2].min(axis=0), found[:, 2:].max(axis=0)
    rounding = float(np.finfo(probe.x.dtype).eps)
    # Central differences with step eps^(1/3) are good to about eps^(2/3); two digits of slack for curved functions.
    passed = bool(
        slopes[0] > 1.7
        and slopes[1] > 2.6
        and errors[0] < 1e4 * rounding
        and max(errors[1:]) < 100 * rounding ** (2 / 3)
    )
    value_slope, gradient_slope, symmetry, gradient_error, product_error = (float(x) for x in (*slopes, *errors))
    report = DerivativeReport(value_slope, gradient_slope, symmetry, gradient_error, product_error, passed)
    if not passed:
        text = message("check_derivatives", f"derivatives of f disagree with f itself\n{report}")
        origin = origin_in(f, (x, *args), argnums=argnums) if np.isnan(errors).any() else None
        raise DerivativeCheckError(text if origin is None else f"{text} {origin}")
    return report


def _along_one_direction(probe: _Probe, value: float, rng: np.random.Generator) -> list[float]:
    n, dtype = probe.x.size, probe.x.dtype
    scale = max(1.0, float(np.abs(probe.x).max(initial=0.0)))
    u, v = (d / np.linalg.norm(d) for d in rng.standard_normal((2, n)).astype(dtype))
    gradient = np.asarray(join_vector(probe.curvature.gradient))
    hu, hv = probe.product(u), probe.product(v)
    steps = scale * 0.1 * 0.5 ** np.arange(8)
    changes = np.array([probe.value(probe.x + h * v) - value for h in steps])
    noise = 64 * float(np.finfo(dtype).eps) * (abs(value) + float(np.abs(changes).max()))
    first = changes - steps * (gradient @ v)
    second = first - 0.5 * steps**2 * (v @ hv)
    h = scale * float(np.finfo(dtype).eps) ** (1 / 3)
    slope = (probe.value(probe.x + h * v) - probe.value(probe.x - h * v)) / (2 * h)
    turned = (probe.gradient(probe.x + h * v) - probe.gradient(probe.x - h * v)) / (2 * h)
    size_g, size_h = np.linalg.norm(gradient), max(float(np.linalg.norm(hu)), float(np.linalg.norm(hv)))
    tiny = float(np.finfo(dtype).tiny)
    return [
        _order(steps, first, noise),
        _order(steps, second, noise),
        float(abs(u @ hv - v @ hu) / (2 * size_h + tiny)),
        # At an optimum the gradient vanishes, and what differences leave is of the size of curvature over the scale of x.
        float(abs(slope - gradient @ v) / (size_g + abs(value) + scale * size_h + tiny)),
        float(np.linalg.norm(turned - hv) / (size_h + size_g + tiny)),
    ]


def _order(steps: np.ndarray, remainder: np.ndarray, noise: float) -> float:
    """Fit the order of a remainder over the steps where it stands above rounding; ``inf`` if it never does."""
    size = np.abs(remainder)
    above = size > noise
    if above.sum() < 3:
        return float("inf")
    # The smallest steps above the noise are the most asymptotic.
    chosen = np.flatnonzero(above)[-4:]
    return float(np.polyfit(np.log(steps[chosen]), np.log(size[chosen]), 1)[0])
