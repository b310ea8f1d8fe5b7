"""Confidence intervals of all parameters of a fit, with their names."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from hessian.arguments import unknown
from hessian.errors import IntervalWarning, message
from hessian.optimize.result import OptimizeResult
from hessian.statistics.constrained_profile import ConstrainedMinimum
from hessian.statistics.profile import Profile, follow, minimum_of, prepared
from hessian.tape.names import find_part, parameter_names
from hessian.tape.trees import ravel
from hessian.text import Shown

KINDS = ("wald", "profile")


@dataclass(frozen=True, eq=False, repr=False)
class ConfidenceIntervals(Shown):
    """Intervals of the parameters, an array of shape (n, 2) that knows its names.

    ``np.asarray(intervals)`` is the array; ``intervals["beta"]`` are the rows of a parameter or of several, and so is any other key of
    ``fixed=`` of :func:`hessian.optimize.minimize`.

    Attributes
    ----------
    kind : {"wald", "profile"}
    level : float
    value : array or container
        The estimates.
    names : tuple of str
        Of the raveled parameters.
    array : ndarray, shape (n, 2)
        Lower and upper ends. Those of what was held are its value, twice; NaN where an end could not be found, and infinite where
        there is none.
    notes : tuple of str
        What is to be said of them.
    profiles : dict of str to Profile
        Of kind ``"profile"``: those of the free parameters.
    """

    kind: str
    level: float
    value: Any
    names: tuple[str, ...]
    array: np.ndarray
    notes: tuple[str, ...]
    profiles: dict[str, Profile]

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return np.array(self.array, dtype=dtype)

    def __len__(self) -> int:
        return len(self.array)

    def __iter__(self) -> Iterator[np.ndarray]:
        """Go through the rows, one for each parameter."""
        return iter(self.array)

    def __getitem__(self, key: Any) -> np.ndarray:
        """Return the rows of parameters, shape (..., 2).

        Raises
        ------
        OptionError
            There are no such parameters.
        """
        part = find_part(self.value, key, "confidence_intervals")
        if len(part.places) == 1:
            return self.array[part.places[0]]
        return self.array[np.concatenate([np.ravel(place) for place in part.places])]

    def __repr__(self) -> str:
        shown = 12
        rows = [
            (name, f"{value:.6g}", f"{low:.6g}", f"{high:.6g}")
            for name, value, (low, high) in zip(self.names, ravel(self.value)[0], self.array, strict=True)
        ][:shown]
        widths = [max(len(row[i]) for row in rows) for i in range(4)]
        count = len(self.names)
        lines = [f"{100 * self.level:g} % intervals of {count} parameter{'s' * (count != 1)}, {self.kind}"]
        for name, value, low, high in rows:
            lines.append(
                f"  {name:<{widths[0]}}  {value:>{widths[1]}}  {low:>{widths[2]}} to {high:<{widths[3]}}".rstrip()
            )
        if count > shown:
            lines.append(f"  ... {count - shown} more")
        return "\n".join(lines + [f"  note  {note}" for note in self.notes])


def of_result(
    res: OptimizeResult, kind: str, level: float, fun: Any, args: Any, scale: float | None
) -> ConfidenceIntervals:
    """Compute the intervals of a fit; :meth:`hessian.optimize.OptimizeResult.confidence_intervals` says how."""
    names = parameter_names(res.x)
    if kind not in KINDS:
        raise unknown("confidence_intervals", "kind", kind, KINDS)
    if kind == "wald":
        covariance = res.covariance(fun=fun, args=args, scale=scale)
        array = np.column_stack([ravel(end)[0] for end in covariance.interval(level)])
        held = tuple(f"{name} was held" for name in covariance.fixed)
        return ConfidenceIntervals(kind, level, res.x, names, array, held, {})
    problem, cut = prepared(fun, res, args, level, scale)
    x = ravel(res.x)[0]
    array = np.column_stack([x, x]).astype(np.float64)
    profiles, minimum = {}, minimum_of(problem, x)
    determined = minimum.determined if isinstance(minimum, ConstrainedMinimum) else np.zeros(x.size, bool)
    for k in problem.free[~determined[problem.free]]:
        found = profiles[names[k]] = follow(problem, int(k), x, level, cut, minimum)
        array[k] = found.lower, found.upper
    unknown_ends = [name for name, found in profiles.items() if np.isnan([found.lower, found.upper]).any()]
    if unknown_ends:
        names_of = f"{', '.join(unknown_ends[:4])}{' and others' * (len(unknown_ends) > 4)}"
        what = f"ends of the intervals of {names_of} are NaN: the fits on the way to them fail"
        why, fix = "The others hold", "Their notes say where; profile one alone for its error"
        warnings.warn(message("confidence_intervals", what, why, fix), IntervalWarning, stacklevel=4)
    held = tuple(
        f"{name} {'is determined by constraints' if determined[k] else 'was held'}"
        for k, name in enumerate(names)
        if name not in profiles
    )
    notes = tuple(dict.fromkeys(note for found in profiles.values() for note in found.notes))
    return ConfidenceIntervals(kind, level, res.x, names, array, held + notes, profiles)
