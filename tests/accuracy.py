"""The accuracy walk: value and partials of every elementwise row, as they are used, against what they truly are.

Run as a script it measures every row and writes ``hessian/rules/measured.py``, which ``python -m hessian operations`` prints.
"""

from __future__ import annotations

import itertools
import math
import sys
import zlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from mpmath import mp
from reference import Truth, exact, truth

import hessian as hs
from hessian.rules import OPERATIONS, Elementwise
from hessian.rules.measured import MEASURED
from hessian.rules.spec import LINE, NONDIFF, PLANE
from hessian.tape.steps import ElementwiseStep
from hessian.tape.sweeps import record_function

ROWS = [row for row in OPERATIONS.values() if isinstance(row, Elementwise) and row.reference]
TOLERANCE = {np.dtype(np.float64): 1e-13, np.dtype(np.float32): 1e-5}
_SPANS = {np.dtype(np.float64): 300, np.dtype(np.float32): 38}
_ALWAYS: dict[int, list[Any]] = {1: [0.0, 1.0, -1.0], 2: [(0.0, 0.0), (0.0, 1.0), (1.0, 0.0), (1.0, 1.0)], 3: []}
"""Special points of every row: a removable singularity that its author has not thought of lies there as a rule."""
_TABLE = Path(__file__).parents[1] / "hessian" / "rules" / "measured.py"
_HEAD = '''"""Written by ``python tests/accuracy.py``: what each elementwise row reaches in float64 against mpmath.

Number of points, then the largest relative error of the value, of first and of second partials.
"""

import math

MEASURED: dict[str, tuple[int, float, float, float]] = {'''
_ULPS = 4
"""Rounding of the arguments, in units of the last place, that a row is not blamed for."""


class _Everything:
    """Says that every element of a result matters and every element of its operands varies."""

    def __call__(self) -> None:
        return None

    def varied(self) -> None:
        return None


def points(row: Elementwise, dtype: Any, count: int = 200) -> tuple[list[np.ndarray], np.ndarray]:
    """Return arguments as arrays, and which of their elements are the row's special points.

    Magnitudes are spread evenly over the exponents of the type, with both signs; pairs are of unrelated magnitudes, of the
    same one, and moderate.
    """
    dtype, n = np.dtype(dtype), len(row.d1)
    rng = np.random.default_rng(zlib.crc32(row.name.encode()))
    span = _SPANS[dtype]
    quarter = count // 4
    signs = lambda *shape: rng.choice([-1.0, 1.0], shape)
    if n == 1:
        wide = np.geomspace(10.0**-span, 10.0**span, quarter)
        columns = [np.concatenate([wide, -wide])]
    else:
        wide = 10.0 ** rng.uniform(-span, span, (n, quarter)) * signs(n, quarter)
        alike = 10.0 ** rng.uniform(-span, span - 1, quarter) * rng.uniform(0.2, 5, (n, quarter)) * signs(n, quarter)
        columns = list(np.concatenate([wide, alike], axis=1))
    drawn = [rng.uniform(low, high, quarter) for low, high in row.domain]
    moderate = rng.normal(0, 6, (n, max(count - quarter - len(columns[0]), 0)))
    columns = [np.concatenate([c, m, d]) for c, m, d in zip(columns, moderate, drawn, strict=True)]
    if row.accuracy is not None and row.accuracy.grid:
        columns = [_within(place, len(columns[0]), rng) for place in row.accuracy.grid]
    for i, entry in enumerate(row.d1):
        if entry is NONDIFF and not (row.accuracy and row.accuracy.grid):
            columns[i] = (columns[i] > 0).astype(float)
    named = (*row.points, *_ALWAYS.get(n, ()))
    if row.accuracy is not None and row.accuracy.grid:
        # Those that the row names: limits of functions as expensive as these take minutes.
        named = () if row.points in (LINE, PLANE) else row.points
    special = [p if isinstance(p, tuple) else (p,) for p in named]
    with np.errstate(over="ignore"):
        # Whole numbers that a function wants as such stay as they are.
        kinds = [dtype if c.dtype.kind == "f" else c.dtype for c in columns]
        arrays = [np.append(c, [p[i] for p in special]).astype(kinds[i]) for i, c in enumerate(columns)]
    return arrays, np.arange(len(arrays[0])) >= len(columns[0])


def _within(place: Any, count: int, rng: np.random.Generator) -> np.ndarray:
    """Draw from a list of numbers, or from (low, high): half of them evenly, half spread over the exponents."""
    if isinstance(place, list):
        return rng.choice(np.asarray(place), count)
    low, high = place
    evenly = rng.uniform(max(low, -1e6), min(high, 1e6), count - count // 2)
    ends = (low or 1e-6, high) if low >= 0 else (max(-high, 1e-6), max(-low, high))
    spread = np.exp(rng.uniform(np.log(ends[0]), np.log(ends[1]), count // 2))
    signs = rng.choice([-1.0, 1.0], count // 2) if low < 0 < high else np.sign(high) or -1.0
    return rng.permutation(np.concatenate([evenly, np.clip(signs * spread, low, high)]))


def evaluate(row: Elementwise, arrays: list[np.ndarray], params: dict[str, Any]) -> dict[Any, np.ndarray]:
    """Return value and partials as a sweep holds them, and under ``("nested", i, j)`` as nested gradients give them."""
    active = [i for i in range(len(arrays)) if row.states is None or row.states[i] is None]
    with np.errstate(all="ignore"):
        y = row.function(*arrays, **params)
        step = ElementwiseStep(row, tuple(arrays), tuple(active), y, params)
        found: dict[Any, np.ndarray] = {(): y}
        for i, partial in zip(active, step.partials, strict=True):
            found[i,] = np.broadcast_to(np.asarray(partial, y.dtype), y.shape)
        for i, j in itertools.product(active, repeat=2):
            found[i, j] = np.zeros_like(y)
        for i, j, second in step.linearize_pullback(np.ones_like(y), _Everything(), record_function) or []:
            found[active[i], active[j]] = np.broadcast_to(second, y.shape)
        for i in active:
            found |= _nested(row, arrays, params, active, i)
    return found


def _nested(
    row: Elementwise, arrays: list[np.ndarray], params: dict[str, Any], active: list[int], i: int
) -> dict[Any, np.ndarray]:
    def total(xs: list[Any]) -> Any:
        operands = list(arrays)
        for p, x in zip(active, xs, strict=True):
            operands[p] = x
        return np.sum(row(*operands, **params))

    chosen = [arrays[p] for p in active]
    slope = hs.grad(total)(chosen)
    twice = hs.grad(lambda xs: np.sum(hs.grad(total)(xs)[active.index(i)]))(chosen)
    return {("nested", i): slope[active.index(i)]} | {("nested", i, j): c for j, c in zip(active, twice, strict=True)}


@dataclass
class Report:
    """What one row reaches: the largest relative error per order, and every point where too little is reached."""

    count: int = 0
    worst: list[float] = field(default_factory=lambda: [0.0, 0.0, 0.0])
    failures: list[str] = field(default_factory=list)


def measure(row: Elementwise, dtype: Any, count: int = 200) -> Report:
    """Compare a row with the truth at all its points; one of few digits, whose truth takes long, at a quarter of them."""
    report = Report()
    if row.accuracy is not None and row.accuracy.grid:
        count = max(count // 4, 8)
    arrays, special = points(row, dtype, count)
    for params in row.variants:
        found = evaluate(row, arrays, dict(params))
        for k in range(len(special)):
            point = tuple(float(a[k]) for a in arrays)
            true = truth(row, point, dict(params), bool(special[k]))
            report.count += 1
            for key, got in found.items():
                place = key[1:] if key[:1] == ("nested",) else key
                _judge(report, row, dict(params), dtype, point, bool(special[k]), key, place, true, float(got[k]))
    return report


def _judge(
    report: Report,
    row: Elementwise,
    params: dict[str, Any],
    dtype: Any,
    point: tuple[float, ...],
    special: bool,
    key: Any,
    place: Any,
    true: Truth,
    got: float,
) -> None:
    wanted = true[place]
    if wanted is None:
        return
    info = np.finfo(dtype)
    tiny, most, tolerance = float(info.tiny), float(info.max), TOLERANCE[np.dtype(dtype)]
    if row.accuracy is not None and place:
        tolerance = max(tolerance, row.accuracy.partials)
    if abs(wanted) > most:
        capped = special and row.kinks and math.isfinite(got)
        error = 0.0 if got * mp.sign(wanted) > (0 if capped else 0.99 * most) else math.inf
    elif abs(wanted) < tiny:
        error = 0.0 if abs(got - wanted) <= 4 * tiny else math.inf
    else:
        error = float(abs(got - wanted) / abs(wanted)) if math.isfinite(got) else math.inf
    if error > tolerance and not special and math.isfinite(got):
        slack = _slack(row, params, point, place, wanted, _ULPS * float(info.eps))
        error = float(max(abs(got - wanted) - slack, 0) / max(abs(wanted), tiny))
    report.worst[len(place)] = max(report.worst[len(place)], error)
    if error > tolerance:
        report.failures.append(f"{row.name}{params or ''} {key} at {point}: {got!r}, truly {mp.nstr(wanted, 17)}")


def _slack(
    row: Elementwise, params: dict[str, Any], point: tuple[float, ...], place: Any, wanted: Any, amount: float
) -> Any:
    """Return by how much the truth changes when an argument is off by some units in its last place."""
    change = mp.mpf(0)
    for i, sign in itertools.product(range(len(point)), (1, -1)):
        moved = list(point)
        with mp.workdps(50):
            moved[i] = mp.mpf(point[i]) * (1 + sign * mp.mpf(amount))
        there = exact(row, tuple(moved), params)[place]
        if not mp.isnan(there):
            change += abs(there - wanted) / 2
    return change


def main(names: list[str]) -> None:
    """Measure rows, all or some, on the whole grid and enter them in the table."""
    table = dict(MEASURED)
    for row in ROWS:
        if names and row.name not in names:
            continue
        report = measure(row, np.float64)
        table[row.name] = (report.count, *(float(f"{error:.1e}") for error in report.worst))
        print(row.name, *table[row.name], *report.failures[:5], sep="\n    ", flush=True)
        known = {row.name for row in ROWS}
        lines = [f'    "{name}": {table[name]},' for name in sorted(table) if name in known]
        _TABLE.write_text("\n".join([_HEAD, *lines, "}", ""]).replace("inf", "math.inf"))


if __name__ == "__main__":
    main(sys.argv[1:])
