"""Functions whose derivatives have known signs, so that errors of Krylov methods are largest at one end of the spectrum."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

Numbers = Any


@dataclass(frozen=True)
class Monotone:
    r"""A function on the line, or on its positive half, with derivatives of known signs.

    Attributes
    ----------
    name : str
    value : callable
        f of an array.
    divided : callable
        :math:`f[t, c] = (f(t) - f(c)) / (t - c)` without cancellation, of an array t and a number c.
    at_low : bool
        Whether derivatives alternate in sign, so that divided differences of any order are largest at the lower end; else all are positive,
        and they are largest at the upper end.
    gauss_is_below : bool
        Whether even derivatives are positive: then Gauss's rule is never above the integral, else never below.
    least : float
        The end of the domain.
    is_open : bool
        Whether f is not defined there.
    """

    name: str
    value: Callable[[Numbers], Numbers]
    divided: Callable[[Numbers, float], Numbers]
    at_low: bool
    gauss_is_below: bool
    least: float = 0.0
    is_open: bool = True

    def growth(self, end: float, moved: float) -> float:
        r"""Bound :math:`\|f(A + \Delta) - f(A)\|` for :math:`\|\Delta\| \le` ``moved``, where no eigenvalue is beyond ``end``.

        :math:`|f'|` at the end times that, for operator monotone functions and for the exponential.

        References
        ----------
        R. Bhatia, Matrix Analysis (1997), theorems X.1.1 and X.3.8.
        """
        if not moved:
            return 0.0
        if not self.at_low:
            with np.errstate(over="ignore"):
                return float(moved * np.exp(end + moved))
        if self.name == "sqrt":
            slope = 0.5 / np.sqrt(end - moved) if end > moved else np.inf
            return float(min(moved * slope, np.sqrt(moved)))
        return float(moved * abs(self.divided(np.array([end - moved]), end - moved)[0])) if end > moved else np.inf


def _exp_divided(t: Numbers, c: float) -> Numbers:
    gap = t - c
    small = np.abs(gap) < 1e-5
    safe = np.where(small, 1.0, gap)
    return np.exp(c) * np.where(small, 1.0 + 0.5 * gap + gap**2 / 6.0, np.expm1(safe) / safe)


def _log_divided(t: Numbers, c: float) -> Numbers:
    ratio = (t - c) / c
    small = np.abs(ratio) < 1e-5
    safe = np.where(small, 1.0, ratio)
    return np.where(small, 1.0 - 0.5 * ratio + ratio**2 / 3.0, np.log1p(safe) / safe) / c


def _inverse_sqrt_divided(t: Numbers, c: float) -> Numbers:
    root, other = np.sqrt(t), np.sqrt(c)
    return -1.0 / (root * other * (root + other))


KNOWN = {
    "sqrt": Monotone("sqrt", np.sqrt, lambda t, c: 1.0 / (np.sqrt(t) + np.sqrt(c)), True, False, is_open=False),
    "inverse_sqrt": Monotone("inverse_sqrt", lambda t: 1.0 / np.sqrt(t), _inverse_sqrt_divided, True, True),
    "log": Monotone("log", np.log, _log_divided, True, False),
    "inverse": Monotone("inverse", lambda t: 1.0 / t, lambda t, c: -1.0 / (t * c), True, True),
    "exp": Monotone("exp", np.exp, _exp_divided, False, True, least=-np.inf),
}
"""By name."""
_UFUNCS = {np.sqrt: "sqrt", np.log: "log", np.exp: "exp"}


def known(func: Any) -> Monotone | None:
    """Return what is known of a function that is given by its name or is one of NumPy's; ``None`` for any other."""
    if isinstance(func, str):
        return KNOWN.get(func)
    return KNOWN[_UFUNCS[func]] if isinstance(func, np.ufunc) and func in _UFUNCS else None
