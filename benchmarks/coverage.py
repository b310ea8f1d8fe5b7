"""Measure how often the error bars of curvature estimates hold: standard errors, intervals, bands, ranges and bounds.

Run as `python -m benchmarks.coverage`; see `benchmarks/README.md`.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from scipy import stats

from benchmarks.coverage_case import MODELS, Case
from benchmarks.coverage_cases import cases
from benchmarks.machine import describe_machine
from benchmarks.options import positive_int, writable_path

DESCRIPTION = """\
Run every estimator of hessian.curvature over many seeds on nine spectra, along the axes, along pairs of axes turned by 45 degrees, and
rotated, with budgets of 2 to 300 products, and count how often 1, 2 and 3 standard errors, intervals, bands, ranges and bounds
hold what they are to hold; and eigenvalues inside, intervals of parameters, sampled Fisher matrices and probabilities. A rate falls
short where fewer hold than the binomial law of the promise leaves a chance of 1e-6."""

#: Chance left to a rate that keeps its promise, over some five thousand of them.
CHANCE = 1e-6


@dataclass(frozen=True)
class Row:
    """What one estimator held on one matrix."""

    quantity: str
    spectrum: str
    basis: str
    max_hvp: int
    seeds: int
    rates: dict[str, float]
    promises: dict[str, float]
    error: float
    width: float

    def short(self) -> dict[str, float]:
        """Return the rates that fall short of their promise by more than chance."""
        return {
            name: rate
            for name, rate in self.rates.items()
            if rate * self.seeds + 1e-9 < stats.binom.ppf(CHANCE, self.seeds, self.promises[name])
        }


class Tally:
    """What a case gave, seed after seed."""

    def __init__(self, case: Case) -> None:
        self.case = case
        self._gathered: dict[str, list[float]] = defaultdict(list)

    def add(self, seeds: Iterable[int]) -> None:
        """Run some seeds."""
        for seed in seeds:
            for name, number in self.case.hold(self.case.run(seed)).items():
                self._gathered[name].append(number)

    def row(self) -> Row | None:
        """Return what was held so far; None where no seed gave what is looked at."""
        got, case = self._gathered, self.case
        if not got:
            return None
        rates = {name: float(np.mean(got[name])) for name in case.promises}
        error, width = float(np.sqrt(np.mean(got["square"]))), float(np.median(got["width"]))
        return Row(
            case.quantity,
            case.spectrum,
            case.basis,
            case.max_hvp,
            len(got["square"]),
            rates,
            case.promises,
            error,
            width,
        )


def table(rows: Sequence[Row]) -> str:
    """Return one line for each estimator and budget: the lowest and the mean of each rate over the matrices."""
    groups: dict[tuple[str, int], list[Row]] = defaultdict(list)
    for row in rows:
        # Of every model something else may be promised.
        groups[row.quantity + (f", {row.spectrum}" if row.basis == MODELS else ""), row.max_hvp].append(row)
    lines = [
        f"{'estimate':<52} {'products':>8} {'matrices':>8}  lowest and mean rate of each promise; median width / error"
    ]
    for (quantity, max_hvp), members in sorted(groups.items()):
        parts = []
        for name, promise in members[0].promises.items():
            rates = [row.rates[name] for row in members]
            label = name.replace(" standard errors", " s.e.").replace("interval ", "")
            if name.startswith("interval") and promise != 0.95:
                continue
            seeds = sum(row.seeds for row in members)
            doubt = f" ± {np.sqrt(promise * (1.0 - promise) / seeds):.3f}" if members[0].basis == MODELS else ""
            parts.append(f"{label} ({promise:.3g}): {min(rates):.3f} {np.mean(rates):.3f}{doubt}")
        ratios = [row.width / row.error for row in members if row.error > 1e-9 * row.width and np.isfinite(row.width)]
        wide = f"{np.median(ratios):.2g}" if ratios else "not bounded"
        lines.append(f"{quantity:<52} {max_hvp:>8} {len(members):>8}  {';  '.join(parts)};  {wide}")
    return "\n".join(lines)


def passes(seeds: int, *, first: int = 0, only: str = "", step: int = 20) -> Iterator[tuple[int, list[Row]]]:
    """Run the study, or what names hold a text; yield the seeds done and what was held so far after every few of them."""
    tallies = [Tally(case) for case in cases() if only in case.quantity]
    for start in range(first, first + seeds, step):
        stop = min(start + step, first + seeds)
        for tally in tallies:
            # What takes long takes every so manyth seed.
            tally.add(range(-(-start // tally.case.stride) * tally.case.stride, stop, tally.case.stride))
        yield stop - first, [row for tally in tallies if (row := tally.row()) is not None]


def main(argv: Sequence[str] | None = None) -> int:
    """Run, print and keep; return 1 where a promise is not kept."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.coverage", description=DESCRIPTION)
    add = parser.add_argument
    add("--seeds", type=positive_int, default=400, metavar="N", help="seeds per estimate (default: 400)")
    add("--only", default="", metavar="TEXT", help="only the estimates whose name holds TEXT")
    add("--json", type=writable_path, metavar="FILE", help="write every rate to FILE, again after every 20 seeds")
    add("--plot", type=writable_path, metavar="FILE", help="draw the rates into FILE, again after every 20 seeds")
    args = parser.parse_args(argv)
    started, rows = time.perf_counter(), list[Row]()
    for done, rows in passes(args.seeds, only=args.only):
        seconds = time.perf_counter() - started
        print(
            f"{done} seeds, {seconds:.0f} s, {sum(bool(row.short()) for row in rows)} short",
            file=sys.stderr,
            flush=True,
        )
        if args.json:
            kept = {"machine": describe_machine(), "seeds": done, "rows": [_rounded(row) for row in rows]}
            args.json.write_text(json.dumps(kept, indent=1) + "\n", encoding="utf-8")
        if args.plot:
            from benchmarks.coverage_picture import draw

            draw(rows, args.plot)
    print(table(rows))
    for row in rows:
        if row.short():
            print(
                f"short of its promise: {row.quantity}, {row.spectrum}, {row.basis}, {row.max_hvp} products: {row.short()}"
            )
    short = sum(bool(row.short()) for row in rows)
    print(f"{len(rows)} estimates, up to {args.seeds} seeds each; {short} fall short of a promise")
    return 1 if short else 0


def _rounded(row: Row) -> dict[str, Any]:
    """Return a row with as many digits as it has."""
    kept = asdict(row)
    kept["rates"] = {name: round(rate, 4) for name, rate in row.rates.items()}
    kept.pop("promises")
    kept["error"], kept["width"] = float(f"{row.error:.3g}"), float(f"{row.width:.3g}")
    return kept


if __name__ == "__main__":
    sys.exit(main())
