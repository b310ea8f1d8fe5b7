"""What a twin of a distribution of scipy.stats is: its standard form, written in differentiable operations.

Location, scale and shapes are handled here, once: a twin says its logarithmic density in the standardized variable, and of cdf, sf and
their logarithms those that keep their digits in the tails; the others follow, and ppf and isf, which invert them. Outside the support
the density is 0, as in SciPy, and no derivative of what is not defined there reaches anything.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import scipy.stats

from hessian.errors import MissingRuleError, message
from hessian.rules.smooth import smooth_op
from hessian.rules.spec import nondifferentiable
from hessian.rules.templates import declared, template_of_elements
from hessian.rules.traced import entered
from hessian.scipy.mirror import holds

Function = Callable[..., Any]
INF = math.inf

#: How to get a function from another one, in the order of preference.
_WAYS: Mapping[str, tuple[tuple[str, Function], ...]] = {
    "cdf": (("logcdf", np.exp), ("sf", lambda p: 1 - p), ("logsf", lambda p: -np.expm1(p))),
    "sf": (("logsf", np.exp), ("cdf", lambda p: 1 - p), ("logcdf", lambda p: -np.expm1(p))),
    "logcdf": (("cdf", np.log), ("logsf", lambda p: np.log(-np.expm1(p))), ("sf", lambda p: np.log1p(-p))),
    "logsf": (("sf", np.log), ("logcdf", lambda p: np.log(-np.expm1(p))), ("cdf", lambda p: np.log1p(-p))),
}
QUANTILES = ("ppf", "isf")
quantile_op = nondifferentiable(
    "quantile", lambda q, *shapes, of, name: np.asarray(getattr(getattr(scipy.stats, of), name)(q, *shapes))[()]
)
"""Of the standard form of SciPy's distribution ``of``: at plain numbers, from where derivatives are computed."""
_ENDS = {"cdf": (0.0, 1.0), "sf": (1.0, 0.0), "logcdf": (-INF, 0.0), "logsf": (0.0, -INF)}


class Twin:
    """A distribution of SciPy's whose functions also take traced values; whatever else it has is SciPy's.

    Parameters
    ----------
    original : rv_continuous or rv_discrete
    log : callable
        ``(z, *shapes)``: the logarithm of the density, or of the probabilities, inside the support.
    support : tuple or callable
        Its ends, or ``(*shapes)`` to them.
    inside : float or callable
        A point inside, for any shapes, to compute at where a result is not taken.
    positive : bool or callable
        Which shapes are allowed: positive ones, or those of which ``(*shapes)`` says so.
    open_low : bool
        The density is 0 at the lower end, although its formula has no value there.
    **functions
        Some of cdf, sf, logcdf and logsf, as ``(z, *shapes)``.
    """

    density, logarithm, is_discrete = "pdf", "logpdf", False

    def __init__(
        self,
        original: Any,
        log: Function,
        *,
        support: Any = (-INF, INF),
        inside: Any = 0.5,
        allowed: Function | None = None,
        open_low: bool = False,
        **functions: Function,
    ) -> None:
        self.original = original
        self._log, self._functions = log, functions
        self._support, self._inside, self._open_low = support, inside, open_low
        self._allowed = allowed or (lambda *shapes: [s > 0 for s in shapes])
        names = [name.strip() for name in (original.shapes or "").split(",") if name.strip()]
        kind = inspect.Parameter.POSITIONAL_OR_KEYWORD
        defaults = {"loc": 0.0} if self.is_discrete else {"loc": 0.0, "scale": 1.0}
        self._signature = inspect.Signature(
            [inspect.Parameter(name, kind) for name in ("k" if self.is_discrete else "x", *names)]
            + [inspect.Parameter(name, kind, default=value) for name, value in defaults.items()]
        )

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") or name == "original":
            raise AttributeError(name)
        return getattr(self.original, name)

    def __repr__(self) -> str:
        return f"<twin of scipy.stats.{self.original.name}>"

    def __call__(self, *args: Any, **keywords: Any) -> Frozen:
        """Freeze the shapes, location and scale."""
        return Frozen(self, args, keywords)

    freeze = __call__

    def apply(self, name: str, args: tuple[Any, ...], keywords: dict[str, Any]) -> Any:
        """Evaluate one of the functions: SciPy's own on plain arrays."""
        if not (any(map(holds, args)) or any(map(holds, keywords.values()))):
            return getattr(self.original, name)(*args, **keywords)
        bound = self._signature.bind(*args, **keywords)
        bound.apply_defaults()
        x, *shapes = map(_array, bound.arguments.values())
        scale = np.float64(1.0) if self.is_discrete else shapes.pop()
        if name in QUANTILES:
            return self._quantile(name, x, shapes.pop(), scale, shapes)
        z, shapes = self._standardized(x, shapes.pop(), scale, shapes)
        valid = scale > 0
        for condition in self._allowed(*shapes):
            valid = np.logical_and(valid, condition)
        # Where the arguments are not allowed, any allowed ones: the result is NaN.
        low, high = self._support(*shapes) if callable(self._support) else self._support
        evaluate = self._density if name in (self.density, self.logarithm) else self._distribution
        with np.errstate(all="ignore"):
            y = evaluate(name, z, shapes, np.where(valid, scale, 1.0), low, high)
        return np.where(np.logical_and(valid, ~np.isnan(z)), y, np.nan)[()]

    def _standardized(self, x: Any, loc: Any, scale: Any, shapes: list[Any]) -> tuple[Any, list[Any]]:
        return (x - loc) / np.where(scale > 0, scale, 1.0), shapes

    def _density(self, name: str, z: Any, shapes: list[Any], scale: Any, low: Any, high: Any) -> Any:
        within = np.logical_and(z > low if self._open_low else z >= low, z <= high)
        within = np.logical_and(within, np.isfinite(z))
        if self.is_discrete:
            within = np.logical_and(within, np.equal(np.floor(z), z))
        y = self._log(np.where(within, z, self._point(shapes)), *shapes)
        y = y if self.is_discrete else y - np.log(scale)
        # What has density 0 at an end of the support is outside of it: 0 times an infinite slope is no slope.
        within = np.logical_and(within, y > -INF)
        return np.where(within, np.exp(y), 0.0) if name == self.density else np.where(within, y, -INF)

    def _distribution(self, name: str, z: Any, shapes: list[Any], scale: Any, low: Any, high: Any) -> Any:
        z = np.floor(z) if self.is_discrete else z
        below = z < low if self.is_discrete else z <= low
        above = z >= high
        taken = np.where(np.logical_or(below, above), self._point(shapes), z)
        ends = _ENDS[name]
        return np.where(below, ends[0], np.where(above, ends[1], self._evaluate(name, taken, shapes)))

    def _quantile(self, name: str, q: Any, loc: Any, scale: Any, shapes: list[Any]) -> Any:
        """Return SciPy's quantiles with the derivatives of Newton's steps from there: each doubles the orders that are right."""
        found = quantile_op(q, *shapes, of=self.original.name, name=name)
        if self.is_discrete:
            return np.where(scale > 0, loc + found, np.nan)[()]
        with np.errstate(all="ignore"):
            # Neither at 0 and 1, nor where there is none.
            inside = np.logical_and(np.logical_and(q > 0, q < 1), np.isfinite(found))
            start = np.where(inside, found, self._point(shapes))
            wanted, z = np.where(inside, q, 0.5), start
            for _ in range(3):
                gap = (
                    self._evaluate("cdf", z, shapes) - wanted
                    if name == "ppf"
                    else wanted - self._evaluate("sf", z, shapes)
                )
                z = z - gap * np.exp(-self._log(z, *shapes))
            z = np.where(inside, smooth_op(z, np.where(inside, found, z)), found)
            return np.where(scale > 0, loc + np.where(scale > 0, scale, 1.0) * z, np.nan)[()]

    def _point(self, shapes: list[Any]) -> Any:
        return self._inside(*shapes) if callable(self._inside) else self._inside

    def _evaluate(self, name: str, z: Any, shapes: list[Any]) -> Any:
        if name in self._functions:
            return self._functions[name](z, *shapes)
        small, large = ("sf", "cdf") if name == "logsf" else ("cdf", "sf")
        if name.startswith("log") and small in self._functions and large in self._functions:
            # From the smaller of the two probabilities.
            p, q = self._functions[small](z, *shapes), self._functions[large](z, *shapes)
            return np.where(q < p, np.log1p(-np.where(q < p, q, 0.0)), np.log(p))
        for other, way in _WAYS[name]:
            if other in self._functions:
                return way(self._functions[other](z, *shapes))
        what = f"scipy.stats.{self.original.name} has no {name} that can be differentiated"
        own, names = self.original.name, ["x", *(self.original.shapes or "").replace(",", " ").split()]
        template = template_of_elements(f"{own}_{name}", f'scipy.stats.{own}.{name}, name="{own}_{name}"', names)
        fix = "Integrate its pdf, keep its arguments constant, or declare its derivative with hs.custom_rule"
        raise MissingRuleError(message(name, what, "it has no closed form", fix) + declared(template))


class Continuous(Twin):
    """A twin of an ``rv_continuous``."""


class Discrete(Twin):
    """A twin of an ``rv_discrete``; differentiable in the shapes."""

    density, logarithm, is_discrete = "pmf", "logpmf", True


def _method(name: str) -> Function:
    def call(self: Twin, *args: Any, **keywords: Any) -> Any:
        return self.apply(name, args, keywords)

    call.__name__, call.__doc__ = name, f"Evaluate ``{name}``, as the distribution of SciPy's; traced values as well."
    return call


def _frozen_method(name: str) -> Function:
    def call(self: Frozen, x: Any) -> Any:
        return self.apply(name, x)

    call.__name__, call.__doc__ = name, f"Evaluate ``{name}`` at a point."
    return call


class Frozen:
    """A twin with its shapes, location and scale given."""

    def __init__(self, twin: Twin, args: tuple[Any, ...], keywords: dict[str, Any]) -> None:
        self._twin, self.args, self.kwds = twin, args, keywords

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return getattr(self._twin.original(*self.args, **self.kwds), name)

    def apply(self, name: str, x: Any) -> Any:
        """Evaluate one of the functions."""
        return self._twin.apply(name, (x, *self.args), self.kwds)


for _kind, _names in (
    (Twin, ("cdf", "sf", "logcdf", "logsf", *QUANTILES)),
    (Continuous, ("pdf", "logpdf")),
    (Discrete, ("pmf", "logpmf")),
):
    for _name in _names:
        setattr(_kind, _name, _method(_name))
for _name in ("pdf", "logpdf", "pmf", "logpmf", "cdf", "sf", "logcdf", "logsf", *QUANTILES):
    setattr(Frozen, _name, _frozen_method(_name))


def _array(x: Any) -> Any:
    """Return an argument as a floating-point array or a traced value."""
    x = entered(x)
    if holds(x):
        return x
    x = np.asarray(x)
    return x if x.dtype.kind in "fc" else x.astype(float)
