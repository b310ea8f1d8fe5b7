"""Time the library's recorded functions and JAX's compiled ones on one case."""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from benchmarks.cases import Case
from benchmarks.errors import BenchmarkError
from benchmarks.peers.base import Contender
from benchmarks.timing import Measurement, measure

#: The things that are timed -> how the tables call them.
TASKS = {
    "repeated": "HVP, repeated at one point",
    "newpoint": "HVP at a new point",
    "gradient": "value and gradient",
    "first": "function to first HVP",
    "dense": "dense Hessian",
}


class CasePeer(Protocol):
    """A library, or a reference, that takes part on a case."""

    def contenders(self, case: Case) -> list[Contender]:
        """Return the ways it performs the tasks on a case."""


@dataclass(frozen=True)
class Result:
    """The measurements of one case."""

    case: Case
    measurements: list[Measurement]

    def find(self, task: str, label: str) -> Measurement | None:
        """Return a contender's measurement of a task, if it has one."""
        return next((m for m in self.measurements if (m.task, m.label) == (task, label)), None)

    def to_json(self) -> dict[str, Any]:
        """Return every raw number."""
        return {
            "case": self.case.name,
            "description": self.case.description,
            "parameters": self.case.w.size,
            "dtype": self.case.dtype,
            "measurements": [measurement.to_json() for measurement in self.measurements],
        }


def measure_case(
    case: Case,
    peers: Sequence[CasePeer],
    tasks: Sequence[str],
    *,
    rounds: int,
    budget: float,
    seed: int,
    clock: str = "wall",
) -> Result:
    """Time the tasks in interleaved rounds; `first`, which empties JAX's caches, in rounds of its own.

    Raises
    ------
    BenchmarkError
        If the results differ by more than `benchmarks.timing.TOLERANCES`.
    """
    contenders = [c for peer in peers for c in peer.contenders(case) if c.task in tasks]
    groups = ([c for c in contenders if c.task != "first"], [c for c in contenders if c.task == "first"])
    measurements = []
    for group in groups:
        measurements += measure(group, dtype=case.dtype, rounds=rounds, budget=budget, seed=seed, clock=clock)
    return Result(case, measurements)


def measure_alone(
    module: str, arguments: Sequence[str], participants: Sequence[str], cases: Sequence[Case]
) -> list[Result]:
    """Run a benchmark once per participant, each alone in a process of its own, and put their measurements together.

    Raises
    ------
    BenchmarkError
        A process failed.
    """
    results = [Result(case, []) for case in cases]
    with tempfile.TemporaryDirectory() as folder:
        for name in participants:
            file = Path(folder) / f"{name}.json"
            command = [sys.executable, "-m", module, *arguments, "--only", name, "--json", str(file)]
            if subprocess.run(command, stdout=subprocess.DEVNULL, check=False).returncode:
                raise BenchmarkError(f"{name} failed in a process of its own")
            for found in json.loads(file.read_text())["results"]:
                place = next(r for r in results if (r.case.name, r.case.dtype) == (found["case"], found["dtype"]))
                place.measurements.extend(Measurement.from_json(m) for m in found["measurements"])
    return results


def write_json(
    options: argparse.Namespace, machine: dict[str, str | int], versions: dict[str, str], results: Sequence[Result]
) -> None:
    """Write every raw number to the file that was asked for, if one was."""
    if not options.json:
        return
    settings = {name: value for name, value in vars(options).items() if name != "json"}
    found = [result.to_json() for result in results]
    content = {"machine": machine, "versions": versions, "settings": settings, "results": found}
    options.json.write_text(json.dumps(content, indent=1) + "\n")
    print(f"\nRaw numbers in {options.json}.")
