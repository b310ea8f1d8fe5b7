"""Results as tables for a terminal."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from benchmarks import floor
from benchmarks.networks import TASKS, Configuration
from benchmarks.timing import Measurement

TITLES = {
    "gradient": "Gradient, one-shot (recording included)",
    "hvp": "HVP, one-shot (recording included; R-op returns the gradient as well)",
    "repeated": "HVP, repeated at one point (linearised before)",
    "dense": "Dense Hessian, one-shot",
}

#: Interquartile range over median from which a time is marked as noisy.
NOISY = 0.25


@dataclass(frozen=True)
class Result:
    """The measurements of one configuration and dtype."""

    configuration: Configuration
    dtype: str
    measurements: list[Measurement]

    def find(self, task: str, label: str) -> Measurement | None:
        """Return a contender's measurement of a task, if it has one."""
        return next((m for m in self.measurements if (m.task, m.label) == (task, label)), None)

    def to_json(self) -> dict[str, Any]:
        """Return every raw number."""
        return {
            "configuration": self.configuration.name,
            "sizes": self.configuration.sizes,
            "samples": self.configuration.samples,
            "parameters": self.configuration.parameters,
            "dtype": self.dtype,
            "floor": {
                task: {"products": len(steps), "flops": sum(step.flops for step in steps)}
                for task in TASKS
                if (steps := floor.products(self.configuration, task))
            },
            "measurements": [measurement.to_json() for measurement in self.measurements],
        }


def format_report(results: Sequence[Result], subject: str) -> str:
    """Return all tables; ratios are the subject's time over the other's."""
    parts = []
    for dtype in dict.fromkeys(result.dtype for result in results):
        chosen = [result for result in results if result.dtype == dtype]
        for task in TASKS:
            parts.append(_task_table(chosen, task, dtype, subject))
        parts.append(_first_table(chosen, dtype))
    parts.append(_key_numbers(results, subject))
    parts.append(_dtype_notes(results))
    return "\n\n".join(part for part in parts if part)


def format_header(machine: dict[str, str | int], versions: dict[str, str]) -> str:
    """Return machine and versions, which a time means nothing without."""
    packages = ", ".join(f"{name} {version}" for name, version in versions.items())
    return (
        f"{machine['cpu']}, {machine['cores']} cores, {machine['threads']} threads, BLAS {machine['blas']}, "
        f"{machine['system']}, load average {machine['load']}\nPython {machine['python']}, {packages}"
    )


def format_table(rows: Iterable[Sequence[str]]) -> str:
    """Align columns: the first to the left, the others to the right."""
    rows = list(rows)
    widths = [max(len(cell) for cell in column) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  ".join(
            cell.rjust(width) if place else cell.ljust(width)
            for place, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        for row in rows
    )


def format_time(measurement: Measurement) -> str:
    """Return a median in milliseconds, marked if noisy."""
    return f"{'~' if measurement.spread > NOISY else ''}{_milliseconds(measurement.median)}"


def _task_table(results: Sequence[Result], task: str, dtype: str, subject: str) -> str:
    """Return median milliseconds and ratios of one task."""
    results = [result for result in results if any(m.task == task for m in result.measurements)]
    labels = list(dict.fromkeys(m.label for result in results for m in result.measurements if m.task == task))
    if not labels:
        return ""
    labels.sort(key=lambda label: label != subject)
    rows = [["", *labels]]
    for result in results:
        own = result.find(task, subject)
        row = [result.configuration.name]
        for label in labels:
            other = result.find(task, label)
            row.append(_cell(other, own if label != subject else None))
        rows.append(row)
    return f"{TITLES[task]}, {dtype}: ms (ratio {subject} / other)\n{format_table(rows)}"


def _cell(measurement: Measurement | None, own: Measurement | None) -> str:
    """Return a time, marked if noisy, and the subject's ratio to it."""
    if measurement is None:
        return "-"
    ratio = f" ({own.median / measurement.median:.3g}x)" if own else ""
    return f"{format_time(measurement)}{ratio}"


def _first_table(results: Sequence[Result], dtype: str) -> str:
    """Return the milliseconds from nothing to a first result where a contender prepares or compiles."""
    columns = list(
        dict.fromkeys(
            (m.task, m.label)
            for task in TASKS
            for result in results
            for m in result.measurements
            if m.task == task and m.label != "floor" and (task == "repeated" or m.label == "jax.jit")
        )
    )
    if not columns:
        return ""
    rows = [["", *(f"{task}:{label}" for task, label in columns)]]
    for result in results:
        found = [result.find(task, label) for task, label in columns]
        rows.append([result.configuration.name, *(_milliseconds(m.first_median) if m else "-" for m in found)])
    return f"Time to first result (linearising or compiling, and one call), {dtype}: ms\n{format_table(rows)}"


def _key_numbers(results: Sequence[Result], subject: str) -> str:
    """Return the ratios that have a target."""
    lines = []
    for result in results:
        name = f"{result.configuration.name} {result.dtype}"
        own, gradient = result.find("hvp", subject), result.find("gradient", subject)
        if own and result.configuration.name == "small":
            for label in ("autograd", "torch"):
                if other := result.find("hvp", label):
                    lines.append(_target(f"{name}: one-shot HVP, {subject} / {label}", own.median / other.median, 0.5))
        if own and gradient and result.configuration.name == "wide":
            lines.append(_target(f"{name}: one-shot HVP / one-shot gradient", own.median / gradient.median, 3.0))
    return "\n".join(["Targets", *lines]) if lines else ""


def _target(text: str, ratio: float, limit: float) -> str:
    """Return one line about one target."""
    return f"  {text}: {ratio:.2f}, target at most {limit:g}: {'met' if ratio <= limit else 'MISSED'}"


def _dtype_notes(results: Sequence[Result]) -> str:
    """Say who returned another dtype than it was given."""
    wrong = sorted(
        {
            f"  {m.label} returns {m.dtype} for {m.task} of {result.dtype}"
            for result in results
            for m in result.measurements
            if m.dtype not in (None, result.dtype)
        }
    )
    return "\n".join(["Changed dtype", *wrong]) if wrong else ""


def _milliseconds(seconds: float) -> str:
    """Return milliseconds with three digits."""
    value = 1e3 * seconds
    return f"{value:.3f}" if value < 10 else f"{value:.1f}" if value < 1000 else f"{value:.0f}"
