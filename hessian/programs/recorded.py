"""Recorded functions: a cache of programs, looked up by the kind of the arguments and tried in turn by their guards."""

from __future__ import annotations

import functools
import math
import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from hessian.errors import OptionError, ShapeMismatchError, StaleRecordingError, message
from hessian.programs.arguments import Arguments
from hessian.programs.derive import Recorded, Task, check_recordable, derive, plain_recording
from hessian.programs.emit import GuardMiss
from hessian.programs.frames import Linearized

#: Programs kept for one kind of arguments, which differ in their guards, and kinds of arguments kept in all.
MAX_VARIANTS, MAX_KINDS = 8, 64
#: After so many recordings of one kind without twice as many replays, recording does not pay and stops.
PATIENCE = 16
#: Relative difference between a replay and the plain function that is rounding without a second look.
_ROUNDING = {np.dtype(np.float64): 1e-10, np.dtype(np.float32): 1e-4}


@dataclass
class Statistics:
    """What a recorded function has done.

    Attributes
    ----------
    recordings : int
        Times the plain function was recorded and compiled.
    replays : int
        Times a program ran instead.
    guard_misses : int
        Programs tried and found to be for another branch.
    verifications : int
        Replays compared with the plain function.
    plain : int
        Calls left to the plain function: inside another recording, where results are not finite, or where guards change so
        often that recording does not pay.
    """

    recordings: int = 0
    replays: int = 0
    guard_misses: int = 0
    verifications: int = 0
    plain: int = 0


class Variant:
    """A program of one kind of arguments, with its own count of replays."""

    __slots__ = ("recorded", "replays", "scale")

    def __init__(self, recorded: Recorded) -> None:
        self.recorded = recorded
        self.replays = 0
        self.scale = 0.0


class Variants:
    """The programs for one kind of arguments, the one that matched last in front."""

    __slots__ = ("items", "recordings", "replays")

    def __init__(self) -> None:
        self.items: list[Variant] = []
        self.recordings = 0
        self.replays = 0

    @property
    def pays(self) -> bool:
        """Whether recordings have been of use."""
        return self.recordings < PATIENCE or self.replays >= 2 * self.recordings

    def add(self, variant: Variant) -> None:
        """Put a new program in front; the one that matched longest ago goes when there are too many."""
        self.items = [variant, *self.items[: MAX_VARIANTS - 1]]
        self.recordings += 1

    def promote(self, variant: Variant) -> None:
        """Put the program that matched in front."""
        self.items = [variant, *(v for v in self.items if v is not variant)]


class RecordedFunction:
    """A function that replays programs instead of running; made by :func:`record`.

    Attributes
    ----------
    function : callable
        The plain function.
    stats : Statistics
    """

    def __init__(self, f: Callable[..., Any], *, verify: Any = "doubling") -> None:
        check_recordable(f)
        if verify not in ("doubling", True, False, "always", "never"):
            fix = "Pass 'doubling' (the 1st, 2nd, 4th, ... replay), 'always' or 'never'"
            raise OptionError(message("record", f"verify is {verify!r}", fix=fix))
        self.function: Callable[..., Any] = f.function if isinstance(f, RecordedFunction) else f
        self.verify = {True: "doubling", False: "never"}.get(verify, verify)
        self.stats = Statistics()
        self._cache: OrderedDict[Any, Variants] = OrderedDict()
        self._derived: dict[Any, RecordedFunction] = {}
        self._lock = threading.RLock()
        # Names and documentation, not the attributes: they could take the place of ours.
        functools.update_wrapper(self, self.function, updated=())

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        replayed = self.replay(Task("value"), args, kwargs)
        if replayed is None:
            return self.function(*args, **kwargs)
        recorded, results = replayed
        return recorded.output.build(results)

    def __repr__(self) -> str:
        name = getattr(self.function, "__qualname__", repr(self.function))
        count = sum(len(variants.items) for variants in self._cache.values())
        return f"<RecordedFunction {name}: {count} programs, {self.stats}>"

    @property
    def plain_function(self) -> Callable[..., Any]:
        """The plain function, where it is to be recorded by somebody else."""
        return self.function

    @property
    def programs(self) -> list[Any]:
        """The compiled programs, the most recently used kind of arguments last; ``.source`` and ``print`` show them."""
        return [variant.recorded.program for variants in self._cache.values() for variant in variants.items]

    def derived(self, key: Any, make: Callable[[Callable[..., Any]], Callable[..., Any]]) -> RecordedFunction:
        """Return the recorded form of a function that is made from the plain one; made once per key."""
        found = self._derived.get(key)
        if found is None:
            with self._lock:
                found = RecordedFunction(make(self.function), verify=self.verify)
                found.stats = self.stats
                found = self._derived.setdefault(key, found)
                while len(self._derived) > MAX_KINDS:
                    self._derived.pop(next(iter(self._derived)))
        return found

    # Replaying.

    def replay(
        self, task: Task, args: Sequence[Any], kwargs: dict[str, Any], directions: Sequence[Any] = (), where: str = ""
    ) -> tuple[Recorded, tuple[Any, ...]] | None:
        """Run the program of a task of one section; ``None`` if the plain sweeps have to do it."""
        arguments = Arguments(args, kwargs)
        variants = self._variants(task, arguments, directions)
        if variants is None:
            return None
        inputs = (*arguments.inputs, *directions)
        for variant in variants.items:
            try:
                results, value, finite = variant.recorded.program.run(inputs, self._is_due(variant))
            except GuardMiss:
                self.stats.guard_misses += 1
                continue
            return self._replayed(variants, variant, arguments, results, value, finite)
        recorded = self._record(task, variants, arguments, directions, where)
        results, _, finite = recorded.program.run(inputs)
        return self._checked(recorded, results, finite)

    def linearize(
        self, task: Task, args: Sequence[Any], kwargs: dict[str, Any], where: str
    ) -> tuple[Recorded, Linearized] | None:
        """Run the first section of the program of a task at a point; ``None`` if the plain sweeps have to do it."""
        arguments = Arguments(args, kwargs)
        variants = self._variants(task, arguments, ())
        if variants is None:
            return None
        for variant in variants.items:
            try:
                linearized = Linearized(variant.recorded.program, arguments.inputs)
            except GuardMiss:
                self.stats.guard_misses += 1
                continue
            if self._replayed(variants, variant, arguments, linearized.values, None, linearized.finite) is None:
                return None
            recorded = variant.recorded
            break
        else:
            recorded = self._record(task, variants, arguments, (), where)
            linearized = Linearized(recorded.program, arguments.inputs)
            if self._checked(recorded, linearized.values, linearized.finite) is None:
                return None
        linearized.recover = functools.partial(plain_recording, self.function, task, arguments, where)
        return recorded, linearized

    def _variants(self, task: Task, arguments: Arguments, directions: Sequence[Any]) -> Variants | None:
        """Return the programs for the kind of these arguments; ``None`` if none may be used."""
        if arguments.traced:
            self.stats.plain += 1
            return None
        key = (task, arguments.key, tuple([(v.shape, v.dtype) for v in directions]))
        variants = self._cache.get(key)
        if variants is None:
            with self._lock:
                variants = self._cache.setdefault(key, Variants())
                while len(self._cache) > MAX_KINDS:
                    self._cache.popitem(last=False)
        if not variants.pays:
            self.stats.plain += 1
            return None
        return variants

    def _record(
        self, task: Task, variants: Variants, arguments: Arguments, directions: Sequence[Any], where: str
    ) -> Recorded:
        recorded = derive(self.function, task, arguments, directions, where or "record")
        with self._lock:
            variants.add(Variant(recorded))
            self.stats.recordings += 1
        return recorded

    def _is_due(self, variant: Variant) -> bool:
        """Tell whether the next replay of a program is to be compared with the plain function."""
        count = variant.replays + 1
        return self.verify == "always" or (self.verify == "doubling" and count & (count - 1) == 0)

    def _replayed(
        self,
        variants: Variants,
        variant: Variant,
        arguments: Arguments,
        results: tuple[Any, ...],
        value: tuple[Any, ...] | None,
        finite: bool,
    ) -> tuple[Recorded, tuple[Any, ...]] | None:
        """Count a replay, verify it if it is its turn, and refuse results that are not finite."""
        if variants.items[0] is not variant:
            variants.promote(variant)
        due = self._is_due(variant)
        variant.replays += 1
        variants.replays += 1
        self.stats.replays += 1
        if due:
            self._verify(variant, arguments, results[: variant.recorded.count] if value is None else value)
        return self._checked(variant.recorded, results, finite)

    def _checked(
        self, recorded: Recorded, results: tuple[Any, ...], finite: bool
    ) -> tuple[Recorded, tuple[Any, ...]] | None:
        """Pass finite results. Programs know no branches not taken: infinite partials are left to the plain sweeps."""
        if finite:
            return recorded, results
        self.stats.plain += 1
        return None

    # Verification.

    def _verify(self, variant: Variant, arguments: Arguments, results: Sequence[Any]) -> None:
        """Compare a replay with the plain function."""
        self.stats.verifications += 1
        args, kwargs = arguments.rebuild(arguments.inputs)
        with np.errstate(all="ignore"):
            outcome = self.function(*args, **kwargs)
        difference = self._difference(variant, results, outcome)
        if difference == 0.0:
            return
        # A fresh recording runs the same operations in the same order as the replay: what differs now is the data.
        again = derive(self.function, Task("value"), arguments, (), "record")
        fresh, _, _ = again.program.run(arguments.inputs)
        if self._difference(variant, results, again.output.build(fresh)) == 0.0:
            return
        name = getattr(self.function, "__qualname__", "the function")
        raise StaleRecordingError(
            message(
                "record",
                f"{name} now gives another value than its recording replays, by {difference:.1e} relative to its size",
                "something it uses besides its arguments has changed (data it captures, a random draw), which a recording "
                "cannot see",
                "Pass what changes as an argument; or do not record it; verify='never' switches this check off",
            )
        )

    @staticmethod
    def _difference(variant: Variant, results: Sequence[Any], outcome: Any) -> float:
        """Return the relative difference between a replay and what it should be; 0 if it is rounding."""
        try:
            leaves = variant.recorded.output.leaves_of(outcome, "record", "the result")
        except ShapeMismatchError:
            return math.inf
        worst = 0.0
        for result, leaf in zip(results, leaves, strict=True):
            expected, found = np.asarray(leaf), np.asarray(result)
            if expected.dtype.hasobject or expected.shape != found.shape:
                return math.inf
            if expected.size == 0 or np.array_equal(expected, found, equal_nan=expected.dtype.kind == "f"):
                continue
            with np.errstate(all="ignore"):
                gap = float(np.max(np.abs(expected.astype(float) - found.astype(float))))
                size = float(np.max(np.abs(expected)))
            if not math.isfinite(gap):
                return math.inf
            # Values shrink towards zero in a minimisation; their rounding does not.
            variant.scale = max(variant.scale, size)
            relative = gap / variant.scale if variant.scale else math.inf
            if relative > _ROUNDING.get(found.dtype, 1e-10):
                worst = max(worst, relative)
        return worst

    def __getstate__(self) -> dict[str, Any]:
        return {"function": self.function, "verify": self.verify, "stats": self.stats, "cache": self._cache}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(state["function"], verify=state["verify"])  # type: ignore[misc]
        self.stats, self._cache = state["stats"], state["cache"]


def record(f: Callable[..., Any], *, verify: Any = "doubling") -> RecordedFunction:
    r"""Record a function: replay compiled programs of what it does instead of running it.

    Parameters
    ----------
    f : callable
        A function written in NumPy. Its arguments: arrays (in containers or not) and Python floats are inputs; strings, ints,
        bools and ``None`` are static, a new value makes a new recording; so does a new shape, dtype or structure. Beside
        float32 arrays Python floats are static as well: as inputs they could not take the precision of what they meet.
    verify : {'doubling', 'always', 'never'}
        When a replay is compared with the plain function: the 1st, 2nd, 4th, 8th, ... replay of each program, each, or none.

    Returns
    -------
    RecordedFunction
        Call it like f, or hand it to any transform, operator or solver. ``.stats`` counts what it did, ``.programs`` are the
        compiled programs (``print(program)``, ``program.source``), ``.function`` is f.

    Raises
    ------
    StaleRecordingError
        By a call: f uses something besides its arguments that has changed since it was recorded.
    LeavesTapeError
        By a call: f turns an input into plain numbers (``float(x)``, ``math.sin(x)``).

    Notes
    -----
    *Branches.* What leaves the tape to steer Python (``if x[0] > 0``, a boolean mask, a loop's length) is a guard. A replay
    evaluates its guards; if one differs, the next program with the same kind of arguments is tried, and then f is recorded
    again. At most 8 programs are kept per kind of arguments; where recordings keep missing, calls go to f itself.

    *State.* Arrays that f captures are copied when it is recorded. Pass data that changes as an argument.

    *Infinite partials* (the square root at 0 in a branch not taken) are left to the plain sweeps, which know what was not
    taken: a replay whose results are not finite is computed again without a program.

    Results are memory of their own, never overwritten by later calls. Recorded functions may be used from several threads
    and pickled if f can be.

    Cost: a recording takes about 0.1 ms per array operation; a replay what NumPy takes, without dispatch, allocation or
    bookkeeping.

    Examples
    --------
    >>> import numpy as np, hessian as hs
    >>> f = hs.record(lambda x: np.sum(np.exp(x) * x))
    >>> gradient = hs.grad(f)
    >>> [gradient(np.array([t, 0.0])).tolist() for t in (0.0, 0.0, 0.0)]
    [[1.0, 1.0], [1.0, 1.0], [1.0, 1.0]]
    >>> f.stats.recordings, f.stats.replays
    (1, 2)
    """
    return RecordedFunction(f, verify=verify)
