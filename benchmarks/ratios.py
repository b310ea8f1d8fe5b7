"""Ratios of medians, and what they were aimed at, as a markdown table."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from benchmarks.replay import TASKS, Result
from benchmarks.report import format_time
from benchmarks.timing import Measurement

#: Labels of ours; every other one but the floor's is JAX's.
OWN = ("hessian", "hs.hvp", "hs.record")


@dataclass(frozen=True)
class Ratio:
    """One time over another, and the largest value that was aimed at, if there is one."""

    what: str
    case: str
    dtype: str
    own: Measurement
    other: Measurement
    target: float | None = None

    @property
    def value(self) -> float:
        """Ratio of the medians."""
        return self.own.median / self.other.median

    @property
    def verdict(self) -> str:
        """Say whether the target is met."""
        return "" if self.target is None else "met" if self.value <= self.target else "MISSED"

    def cells(self) -> list[str]:
        """Return the row of the table."""
        target = "" if self.target is None else f"{self.target:g}"
        times = [format_time(self.own), format_time(self.other)]
        ratio = f"{self.value:.3g}" if self.value < 1000 else f"{self.value:.0f}"
        return [self.what, self.case, self.dtype, *times, ratio, target, self.verdict]


def compare(results: Iterable[Result], targets: dict[tuple[str, str, str], float]) -> list[Ratio]:
    """Return the ratios of ours to JAX's, task by task; a target is found by task, case and dtype, and is about `jax`."""
    results = list(results)
    ratios = []
    for task, title in TASKS.items():
        for result in results:
            name, dtype = result.case.name, result.case.dtype
            found = [m for m in result.measurements if m.task == task and m.label != "floor"]
            for other in (m for m in found if m.label not in OWN):
                for own in (m for m in found if m.label in OWN):
                    target = targets.get((task, name, dtype)) if other.label == "jax" else None
                    ways = "" if (own.label, other.label) == ("hessian", "jax") else f": {own.label} / {other.label}"
                    ratios.append(Ratio(f"{title}{ways}", name, dtype, own, other, target))
    return ratios


def format_markdown(ratios: Sequence[Ratio]) -> str:
    """Return the table in markdown, without the columns of targets if there is none."""
    head = ["task", "case", "dtype", "hessian, ms", "other, ms", "ratio", "at most", ""]
    rows = [head, ["---"] * len(head), *(ratio.cells() for ratio in ratios)]
    if all(ratio.target is None for ratio in ratios):
        rows = [row[:-2] for row in rows]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def format_dtypes(results: Iterable[Result]) -> str:
    """Say who returned another dtype than it was given."""
    wrong = [
        f"{m.label} returns {m.dtype} for {m.task} of {result.case.dtype} at {result.case.name}"
        for result in results
        for m in result.measurements
        if m.dtype not in (None, result.case.dtype)
    ]
    return "\n".join(["Changed dtype:", *wrong]) if wrong else ""
