"""Check that all participants agree, then time them in interleaved rounds."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from statistics import median, quantiles
from typing import Any

import numpy as np

from benchmarks.errors import BenchmarkError
from benchmarks.peers import Contender

#: Largest relative difference (2-norm) of a result from the hand-written one, by dtype.
TOLERANCES = {"float64": 1e-10, "float32": 1e-4}

#: A sample is the mean over as many calls as fit into this time, in seconds, so that the clock's cost does not show.
SAMPLE_SECONDS = 5e-3

#: Pause before each turn: the previous library's worker threads spin for a while after their last task.
SETTLE_SECONDS = 1e-2

#: A call longer than this is not preceded by an untimed one: caches and branch predictors no longer matter.
WARM_UP_BELOW = 0.25

#: What samples are taken by: the time on the wall, or that of the processor, which a busy machine leaves alone.
CLOCKS = {"wall": time.perf_counter, "processor": time.process_time}

MIN_ROUNDS = 3
FIRST_RESULTS = 3
FIRST_BUDGET = 6.0


@dataclass
class Measurement:
    """Times of one contender, in seconds.

    Parameters
    ----------
    label, task
        As in `Contender`.
    first
        From nothing to the first result, several times: preparing, compiling where that happens, and one call.
    samples
        Seconds per call, one entry per round.
    loops
        Calls per sample.
    difference
        Relative difference of the result from the reference, the largest one of several parts; None without a result.
    dtype
        Data type of the result; None without a result.
    """

    label: str
    task: str
    first: list[float] = field(default_factory=list)
    samples: list[float] = field(default_factory=list)
    loops: int = 1
    difference: float | None = None
    dtype: str | None = None

    @property
    def median(self) -> float:
        """Median seconds per call."""
        return median(self.samples)

    @property
    def first_median(self) -> float:
        """Median seconds to the first result."""
        return median(self.first)

    @property
    def spread(self) -> float:
        """Interquartile range over median: how noisy the machine was."""
        if len(self.samples) < 2:
            return 0.0
        low, _, high = quantiles(self.samples, n=4, method="inclusive")
        return (high - low) / self.median

    def to_json(self) -> dict[str, Any]:
        """Return every raw number."""
        return asdict(self)

    @classmethod
    def from_json(cls, numbers: dict[str, Any]) -> Measurement:
        """Return the measurement that :meth:`to_json` has written."""
        return cls(**numbers)


@dataclass
class _Turn:
    """A contender that passed the check, ready to be timed."""

    run: Callable[[], Any]
    measurement: Measurement
    forget: Callable[[], None] | None = None
    single: float = 0.0
    spent: float = 0.0


def measure(
    contenders: Sequence[Contender], *, dtype: str, rounds: int, budget: float, seed: int = 0, clock: str = "wall"
) -> list[Measurement]:
    """Check all contenders against the first one with a result for their task, then time them.

    Each round gives every contender one turn, in a new random order, so that a slow minute of the machine hits all of
    them. A contender that has spent `budget` seconds drops out after `MIN_ROUNDS` rounds.

    Raises
    ------
    BenchmarkError
        If a contender's result differs from the reference by more than `TOLERANCES`; nothing is timed then.
    """
    turns = _check(contenders, TOLERANCES[dtype])
    rng = np.random.default_rng(seed)
    # Objects alive now are left out of collections, or everybody would pay for the size of the libraries loaded.
    gc.collect()
    gc.freeze()
    try:
        for done in range(rounds):
            for index in rng.permutation(len(turns)):
                turn = turns[index]
                if done < MIN_ROUNDS or turn.spent < budget:
                    _take(turn, CLOCKS[clock])
    finally:
        gc.unfreeze()
    return [turn.measurement for turn in turns]


def relative_difference(result: np.ndarray, reference: np.ndarray) -> float:
    """Return |result - reference| / |reference| in the 2-norm, computed in float64; infinite if shapes differ."""
    if result.shape != reference.shape:
        return float("inf")
    exact = np.asarray(reference, np.float64)
    return float(np.linalg.norm(np.asarray(result, np.float64) - exact) / np.linalg.norm(exact))


def _largest_difference(parts: tuple[np.ndarray, ...], reference: tuple[np.ndarray, ...]) -> float:
    """Return the largest relative difference of a part; NaN if one is."""
    return float(np.max([relative_difference(*pair) for pair in zip(parts, reference, strict=True)]))


def _check(contenders: Sequence[Contender], tolerance: float) -> list[_Turn]:
    """Run each contender from nothing, compare its result, and return the turns."""
    turns, problems = [], []
    references: dict[str, tuple[str, tuple[np.ndarray, ...]]] = {}
    for contender in contenders:
        measurement = Measurement(contender.label, contender.task)
        run, result = _first_results(contender, measurement)
        turns.append(_Turn(run, measurement, contender.forget))
        if contender.to_numpy is None:
            continue
        arrays = contender.to_numpy(result)
        parts = arrays if isinstance(arrays, tuple) else (arrays,)
        label, reference = references.setdefault(contender.task, (contender.label, parts))
        measurement.dtype = ", ".join(dict.fromkeys(str(part.dtype) for part in parts))
        measurement.difference = _largest_difference(parts, reference)
        if not measurement.difference <= tolerance:
            problems.append(f"{contender.task}: {contender.label} differs from {label} by {measurement.difference:.1e}")
    if problems:
        raise BenchmarkError(
            f"participants do not agree to {tolerance:.0e}, so there is nothing to compare. " + "; ".join(problems)
        )
    return turns


def _first_results(contender: Contender, measurement: Measurement) -> tuple[Callable[[], Any], Any]:
    """Time a contender from nothing to a result, a few times, and return the last function and result."""
    while True:
        if contender.forget:
            contender.forget()
        begin = time.perf_counter()
        run = contender.prepare()
        result = run()
        measurement.first.append(time.perf_counter() - begin)
        if len(measurement.first) == FIRST_RESULTS or sum(measurement.first) > FIRST_BUDGET:
            return run, result


def _take(turn: _Turn, clock: Callable[[], float]) -> None:
    """Take one sample."""
    measurement = turn.measurement
    begin = time.perf_counter()
    if not measurement.samples and turn.forget:
        turn.single = measurement.first[-1]
    elif not measurement.samples:
        turn.single = min(_elapsed(turn.run, 1, clock) for _ in range(1 if measurement.first[-1] > FIRST_BUDGET else 2))
        measurement.loops = max(1, int(SAMPLE_SECONDS / turn.single))
    time.sleep(SETTLE_SECONDS)
    if turn.single < WARM_UP_BELOW:
        turn.run()
    if turn.forget:
        turn.forget()
    measurement.samples.append(_elapsed(turn.run, measurement.loops, clock) / measurement.loops)
    turn.spent += time.perf_counter() - begin


def _elapsed(run: Callable[[], Any], loops: int, clock: Callable[[], float]) -> float:
    """Return the seconds that `loops` calls take."""
    begin = clock()
    for _ in range(loops):
        run()
    return clock() - begin
