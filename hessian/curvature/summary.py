"""What a number of products can tell about an operator, together."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from html import escape
from typing import Any, Literal

import numpy as np

from hessian.arguments import FINITE, NOT_NEGATIVE, Rng, as_generator, check, real_number, whole_number
from hessian.curvature.density import SpectralDensity, density_of
from hessian.curvature.density_text import bars, caption, picture
from hessian.curvature.eigenpairs import Eigenpairs
from hessian.curvature.eigenvalues import eigenvalues
from hessian.curvature.estimate import KNOWN, Estimate, widened
from hessian.curvature.functions import log_gap, remainder
from hessian.curvature.inertia import Inertia, count_signs, floor_of
from hessian.curvature.products import Products
from hessian.curvature.quadrature import Quadrature, Runs, joined
from hessian.errors import OptionError, message
from hessian.linalg.dense import values_and_ends
from hessian.text import html_table, named_values, with_error

LEAST = 12


@dataclass(frozen=True, eq=False, repr=False)
class CurvatureSummary:
    """What is known of a spectrum; prints as a table, in notebooks with a picture.

    Attributes
    ----------
    n : int
        Order of the operator.
    n_hvp : int
        Products spent on all of it.
    eigenvalues : Eigenpairs
        At both ends, with their residuals.
    trace, frobenius_norm : Estimate
    logdet : Estimate or None
        ``None`` where H is not seen to be positive definite.
    inertia : Inertia
    condition_number : float
        A bound from below, from the values at hand (infinite for singular matrices); exact where all eigenvalues are.
    density : SpectralDensity
    is_exact : bool
        Whether all eigenvalues were computed.
    """

    n: int
    n_hvp: int
    eigenvalues: Eigenpairs
    trace: Estimate
    frobenius_norm: Estimate
    logdet: Estimate | None
    inertia: Inertia
    condition_number: float
    density: SpectralDensity
    is_exact: bool

    def rows(self) -> list[tuple[str, str]]:
        """Return the table: what, and its value with its uncertainty."""
        k = len(self.eigenvalues.values)
        bound = "" if self.is_exact or math.isinf(self.condition_number) else "at least "
        unknown = "none: not seen to be positive definite"
        supposed = "" if self.is_decided else ", if positive definite"
        # A Ritz value bounds the eigenvalue nearest to zero where all have one sign.
        condition = f"{bound}{self.condition_number:.4g}" + (supposed if self.logdet is not None else "")
        if (
            not self.is_exact
            and self.condition_number <= 1.0
            and min(self.inertia.ranges[0][0], self.inertia.ranges[2][0])
        ):
            condition = "not known: what is nearest to zero lies inside the spectrum"
        return [
            ("largest eigenvalues", self._listed(range(k - 1, k // 2 - 1, -1))),
            ("smallest eigenvalues", self._listed(range(max(1, k // 2)))),
            ("trace", _shown(self.trace)),
            ("Frobenius norm", _shown(self.frobenius_norm)),
            ("log-determinant", unknown if self.logdet is None else _shown(self.logdet) + supposed),
            ("signs", self.inertia.counts()),
            ("condition number", condition),
        ]

    @property
    def is_decided(self) -> bool:
        """Whether the signs leave no doubt that all eigenvalues are positive, or that some are not."""
        negative, zero, _ = self.inertia.ranges
        return not self.inertia.standard_error or negative[0] > 0 or zero[0] > 0 or negative[1] == zero[1] == 0

    def notes(self) -> list[str]:
        """Say what the numbers leave open, and what may look like a contradiction."""
        found = [note for note in [self.inertia.doubt()] if note]
        if self.is_exact:
            return found
        values = self.eigenvalues.values
        negative, zero, positive = self.inertia.ranges
        if not self.is_decided:
            unsure = " or ".join(
                f"{high} {name}" for (_, high), name in ((negative, "negative"), (zero, "zero")) if high
            )
            found.append(f"{self.n_hvp} products do not decide whether H is positive definite: up to {unsure}")
        nodes = self.density.nodes[self.density.weights > 0.0]
        slack = self.inertia.threshold
        # Of any Krylov space, the ends of the spectrum are beyond the Ritz values.
        if nodes.min() < values[0] - slack:
            found.append(f"the smallest eigenvalue is at most {nodes.min():.4g}: more products find it")
        if nodes.max() > values[-1] + slack:
            found.append(f"the largest eigenvalue is at least {nodes.max():.4g}: more products find it")
        listed = int(np.sum(np.abs(values) <= slack))
        if self.n > zero[0] > listed > 0:
            found.append("products do not tell how often an eigenvalue occurs: those listed may be multiple")
        view = self.density.view()
        below = self.n * view.below_zero()
        above = self.n * (1.0 - view.zero_share) - below
        for count, (_, most), side in ((below, negative, "below"), (above, positive, "above")):
            if count > most + 0.5:
                found.append(f"the density {side} zero is smoothing: by the signs at most {most} eigenvalues are there")
        return found

    def heading(self) -> str:
        """Return what was looked at, and at what price."""
        how = "all eigenvalues" if self.is_exact else "estimates with standard errors"
        return f"Curvature of order {self.n}, from {self.n_hvp} products: {how}"

    def __repr__(self) -> str:
        view = self.density.view()
        names = ("density", *[""] * 9)
        lines = [line for line in (bars(view), *caption(view)) if line]
        table = [*self.rows(), *zip(names, lines, strict=False)]
        table += zip(("notes", *[""] * 9), self.notes(), strict=False)
        return f"{self.heading()}\n{named_values(table, '  ')}"

    def _repr_html_(self) -> str:
        """Return the table and a picture of the density for a notebook."""
        below = "".join(f"<div>{escape(note)}</div>" for note in self.notes())
        return f"<div>{html_table(self.rows(), self.heading())}{picture(self.density.view())}{below}</div>"

    def _listed(self, positions: range) -> str:
        """Write eigenvalues with the bounds on their errors."""
        values, bounds = self.eigenvalues.values, self.eigenvalues.residuals
        # Below a millionth of the scale, a bound would only be noise to read.
        small = 1e-6 * float(np.abs(values).max())
        zero = self.inertia.threshold
        parts = [
            f"0 ± {zero:.1g}"
            if zero and abs(values[k]) <= zero
            else f"{values[k]:.6g}"
            if bounds[k] <= small
            else with_error(float(values[k]), float(bounds[k]), False)
            for k in positions
        ]
        return ", ".join(parts) or "none"


def _shown(estimate: Estimate) -> str:
    return with_error(estimate.value, estimate.standard_error, estimate.is_exact)


def summary(
    H: Any,
    max_hvp: int = 60,
    *,
    lower_bound: float | None = None,
    threshold: float | Literal["gradient"] | None = None,
    rng: Rng = 0,
) -> CurvatureSummary:
    r"""Spend a budget of products on extreme eigenvalues, trace, norm, log-determinant, inertia and density.

    Parameters
    ----------
    H : LinearOperator or matrix, shape (n, n)
        Symmetric.
    max_hvp : int
        Products at most, at least 12.
    lower_bound : float, optional
        What no eigenvalue is known to be below, from a factorisation at hand or the l2 penalty of a convex objective. If it is
        positive, the signs are known, and the log-determinant is bounded by it instead of by what so many products see.
    threshold : float or "gradient", optional
        Magnitude up to which eigenvalues count as zero in all numbers and in the picture, where that is more than rounding; as in
        :func:`inertia`.
    rng : int, numpy.random.Generator or None
        Seed.

    Returns
    -------
    CurvatureSummary

    Raises
    ------
    OptionError
        ``max_hvp`` is below 12 and below n, H is not symmetric, an eigenvalue is below the bound, or the threshold is refused as by
        :func:`inertia`.
    NonFiniteError
        A product holds NaN or inf, or squares of eigenvalues leave the precision.

    Notes
    -----
    Where n is within the budget, and up to n = 5000 where H is a matrix or a Hessian whose pattern gives it by so few products,
    everything is computed from all eigenvalues. Else half of the budget goes into Lanczos for both ends. The eigenpairs that have
    converged are taken out of the problem exactly, and the rest of the budget into Lanczos quadrature from a few vectors orthogonal to
    them, whose nodes give the trace, the norm, the log-determinant, the counts and the density of what is left, with standard errors
    from the spread of the spectrum (:mod:`hessian.curvature.quadrature`). The standard errors are thus those of a problem without its
    outliers.

    Cost: ``max_hvp`` products; from a matrix of order 5000, 11 s on one core and four matrices' memory.

    References
    ----------
    A. S. Gambhir, A. Stathopoulos and K. Orginos, "Deflation as a method of variance reduction for estimating the trace of a
    matrix inverse", SIAM J. Sci. Comput. 39 (2017).

    Examples
    --------
    >>> import numpy as np
    >>> from hessian.curvature import summary
    >>> found = summary(np.diag([1.0, 2.0, 4.0]))
    >>> found.trace.value, found.condition_number, found.inertia.positive, found.n_hvp
    (7.0, 4.0, 3, 0)
    """
    where = "summary"
    products = Products(H, where)
    whole_number(where, "max_hvp", max_hvp)
    generator = as_generator(rng, where)
    if lower_bound is not None:
        check(where, "lower_bound", lower_bound, FINITE)
    if threshold == "gradient":
        products.floor = floor_of(products)
    elif threshold is not None:
        wanted = 'Pass such a number, or "gradient"'
        products.floor = real_number(where, "threshold", threshold, NOT_NEGATIVE, fix=wanted)
    n = products.n
    if products.is_formed(max_hvp):
        return _exact(products, lower_bound)
    if max_hvp < LEAST:
        what = f"max_hvp is {max_hvp} products for an operator of order {n}"
        raise OptionError(message(where, what, "Extremes and a quadrature share it", f"Pass at least {LEAST}, or {n}"))
    half = max_hvp // 2
    k = int(np.clip(half // 4, 2, min(8, n)))
    ends = eigenvalues(H, k, "BE", max_hvp=half, confirm=False, rng=generator)
    products.count, products.magnitude = ends.n_hvp, float(np.abs(ends.values).max())
    return _estimated(products, ends, max_hvp, generator, lower_bound)


def _exact(products: Products, lower_bound: float | None) -> CurvatureSummary:
    """Compute everything from all eigenvalues."""
    n = products.n
    k = min(n, 8)
    matrix = products.dense()
    values, picked, vectors = values_and_ends(matrix, k)
    values = values.astype(np.float64)
    largest = float(np.abs(values).max())
    products.require_size(largest)
    rounding = products.rounding(largest)
    _check_bound(lower_bound, float(values[0]), rounding)
    left = np.linalg.norm((matrix @ vectors).astype(np.float64) - vectors * values[picked], axis=0)
    ends = Eigenpairs(values[picked], vectors, left + rounding, products.count, True, 0.0, "dense", which="BE")
    rule = Quadrature.of(values)

    def exact(name: str, value: float, error: float) -> Estimate:
        return Estimate(name, value, error, products.count, "exact")

    total = exact("trace", float(values.sum()), rounding * math.sqrt(n))
    norm = exact("frobenius norm", float(np.linalg.norm(values)), rounding)
    definite = bool(values[0] > products.zero_cut(largest))
    logs = float(np.log(values).sum()) if definite else math.nan
    logdet = exact("logdet", logs, n * rounding / values[0]) if definite else None
    signs = count_signs(rule, None, products, exact=True)
    smallest = float(np.abs(values).min())
    condition = largest / smallest if smallest > products.zero_cut(largest) else math.inf
    density = density_of(rule, None, products, exact=True)
    return CurvatureSummary(n, products.count, ends, total, norm, logdet, signs, condition, density, True)


def _estimated(
    products: Products, ends: Eigenpairs, max_hvp: int, rng: np.random.Generator, lower_bound: float | None
) -> CurvatureSummary:
    """Take out what has converged, and sample the rest."""
    n = products.n
    # What is taken out must be so well known that its error is below any that sampling makes.
    # Half of the second bound is the allowance for rounding in every residual.
    good = ends.residuals <= max(1e-5, 8.0 * products.eps * math.sqrt(n)) * products.magnitude
    known, vectors = ends.values[good].astype(np.float64), ends.vectors[:, good]
    every = _processes(products, vectors, max_hvp - ends.n_hvp, rng)
    complete = all(part.is_complete for part in every)
    rest = joined([part.quadrature() for part in every])
    doubt = float(ends.residuals[good].sum())

    def total(name: str, f: Any, known_part: float, doubt: float, gap: float | None = None) -> Estimate:
        (mean, variance), dof = rest.moments(f), rest.degrees_of_freedom(f)
        deviation = widened(math.sqrt(variance), dof)
        # A logarithm has bounds on what the steps left out, a one-sided error; a power converges fast enough to tell.
        error = rest.n * (math.hypot(deviation, remainder(every, f)) if gap is None else deviation + 0.5 * gap) + doubt
        error += products.eps * n * abs(mean)
        value, dof = rest.n * mean + known_part, KNOWN if gap else dof
        return Estimate(name, value, error, products.count, "Lanczos quadrature", dof)

    trace = total("trace", lambda t: t, float(known.sum()), doubt)
    # Of a norm near one, so that fourth powers of numbers fit.
    scale = products.magnitude or 1.0
    square = total("square", lambda t: (t / scale) ** 2, float(np.sum((known / scale) ** 2)), 2.0 * doubt / scale)
    # Ritz values of one Krylov space: no norm is less than theirs.
    size = max(math.sqrt(square.value), float(np.linalg.norm(ends.values.astype(np.float64) / scale)))
    error = scale * square.standard_error / (2.0 * size) if size else 0.0
    norm = Estimate("frobenius norm", scale * size, error, products.count, square.method, square.degrees_of_freedom)
    lowest = min(float(rest.nodes.min()), float(ends.values.min()))
    zero = products.zero_cut(products.magnitude)
    _check_bound(lower_bound, lowest, products.rounding(products.magnitude))
    definite = lowest > zero
    # Rounding hides what is below zero: a bound has to be above it.
    known_bound = lower_bound if lower_bound is not None and lower_bound > zero else None
    logdet = None
    if definite:
        gap = log_gap(every, products, bound=known_bound)
        logdet = total("logdet", np.log, float(np.log(known).sum()), doubt / lowest, gap)
    condition = _condition(np.concatenate([ends.values, rest.nodes.ravel()]), known, definite, products)
    signs = count_signs(rest, known, products, exact=False, complete=complete)
    signs = _at_least(signs, ends.values, zero)
    if known_bound is not None:
        signs = Inertia(0, 0, n, 0.0, 0, n, signs.threshold, products.count, "known bound")
    shorter = rest if complete else joined([part.quadrature(max(1, part.steps - 2)) for part in every])
    density, signs = _drawn(rest, shorter, known, products, ends, signs, lower_bound)
    return CurvatureSummary(n, products.count, ends, trace, norm, logdet, signs, condition, density, False)


def _drawn(
    rest: Quadrature,
    before: Quadrature,
    known: np.ndarray,
    products: Products,
    ends: Eigenpairs,
    signs: Inertia,
    lower_bound: float | None,
) -> tuple[SpectralDensity, Inertia]:
    """Return a density without what the counts exclude, and counts without what its bounds exclude."""
    n, zero = products.n, products.zero_cut(products.magnitude)
    # Where the counts exclude negative eigenvalues, the density has none either.
    floor = 0.0 if not signs.ranges[0][1] else -math.inf
    floor = floor if lower_bound is None else max(floor, lower_bound)
    ritz = ends.values.astype(float)
    density = density_of(rest, known, products, exact=False, before=before, ritz=ritz, lower_bound=floor)
    low, high = density.bounds
    if signs.standard_error and (low > zero or high < -zero):
        # The same probability that the bounds have: the counts are not to doubt what these say.
        minus, plus = (0, n) if low > zero else (n, 0)
        signs = replace(signs, negative=minus, zero=0, positive=plus, standard_error=0.0, method="Lanczos bounds")
    return density, signs


def _at_least(signs: Inertia, ritz: np.ndarray, zero: float) -> Inertia:
    """Count the signs of Ritz values, too: no Krylov space has more of a sign than the operator."""
    return replace(
        signs,
        at_least_negative=max(signs.at_least_negative, int(np.sum(ritz < -zero))),
        at_least_positive=max(signs.at_least_positive, int(np.sum(ritz > zero))),
    )


def _processes(products: Products, known: np.ndarray, left: int, rng: np.random.Generator) -> list[Runs]:
    """Spend what is left on Lanczos from a few vectors, and where few steps were enough, on more vectors."""
    p = 2 if left < 40 else 4
    every, start = [Runs(products, p, rng, known=known)], products.count
    while every[0].steps < min(left // p, products.n - known.shape[1]) and not every[0].is_complete:
        every[0].grow()
    more = (left - (products.count - start)) // every[0].steps
    if more:
        every.append(Runs(products, more, rng, known=known))
        while every[1].steps < every[0].steps:
            every[1].grow()
    return every


def _condition(spectrum: np.ndarray, known: np.ndarray, definite: bool, products: Products) -> float:
    """Bound the condition number from below by values at hand."""
    inner = np.abs(spectrum).min() if definite or spectrum.max() < 0.0 else np.abs(known).min(initial=math.inf)
    # A node inside an indefinite spectrum says nothing about the eigenvalue nearest to zero.
    largest = float(np.abs(spectrum).max())
    return largest / min(float(inner), largest) if inner > products.zero_cut(largest) else math.inf


def _check_bound(lower_bound: float | None, lowest: float, zero: float) -> None:
    """Refuse a bound that a Ritz value refutes."""
    if lower_bound is not None and lowest < lower_bound - zero:
        what = f"lower_bound is {lower_bound:.6g}, and H has an eigenvalue of at most {lowest:.6g}"
        raise OptionError(message("summary", what, "Estimates would rest on it", "Pass a bound that holds, or none"))
