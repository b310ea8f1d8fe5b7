"""What a recorded function keeps: programs by the kind of the arguments, and whether recording has been of use."""

from __future__ import annotations

import threading
from collections import OrderedDict
from dataclasses import dataclass
from typing import Any

from hessian.programs.tasks import CompiledTask, Task

#: Programs kept for one kind of arguments, which differ in their guards, and kinds of arguments kept in all.
MAX_VARIANTS, MAX_KINDS = 8, 64
#: After so many recordings of one kind without twice as many replays, recording does not pay and stops. So it does for new
#: kinds after four times as many of them without as many replays.
PATIENCE = 16
#: Calls after which recordings are tried again, so many of them; twice as many calls the next time.
PAUSE, TRIALS = 64, 2


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
        Calls left to the plain function: inside another recording, where results are not finite, where guards change so often
        that recording does not pay, and where a program cannot do what the function does (arguments changed in place; sums
        whose last digits decide).
    failures : int
        Times that a program could not be made, or failed in another way than the operations in it may: an error of the
        library's own, or memory. The plain function has done its work, and the first one is told by a warning.
    """

    recordings: int = 0
    replays: int = 0
    guard_misses: int = 0
    verifications: int = 0
    plain: int = 0
    failures: int = 0


class RecompilePolicy:
    """Tells whether recordings have been of use; where they have not, they are tried again less and less often."""

    __slots__ = ("_factor", "_limit", "_pause", "_skipped", "recordings", "replays")

    def __init__(self, limit: int, factor: int) -> None:
        self._limit = limit
        self._factor = factor
        self._pause = PAUSE
        self._skipped = 0
        self.recordings = 0
        self.replays = 0

    def allows(self) -> bool:
        """Tell whether to look for a program, and count the refusals."""
        if self.recordings < self._limit or self.replays >= self._factor * self.recordings:
            return True
        self._skipped += 1
        if self._skipped < self._pause:
            return False
        self._skipped, self._pause = 0, 2 * self._pause
        self.recordings, self.replays = self._limit - TRIALS, 0
        return True


class Specialization:
    """A program of one kind of arguments, with its own count of replays."""

    __slots__ = ("compiled", "replays", "scale")

    def __init__(self, compiled: CompiledTask) -> None:
        self.compiled = compiled
        self.replays = 0
        self.scale = 0.0


class Specializations:
    """The programs for one kind of arguments, the one that matched last in front; ``ordered`` if the kind has an order in memory."""

    __slots__ = (
        *(
            "by_order",
            "failed",
            "items",
            "ordered",
            "policy",
            "postponed",
            "shared",
            "static_floats",
            "unfit",
            "writes",
        ),
    )

    def __init__(self, shared: RecompilePolicy, ordered: bool) -> None:
        self.ordered = ordered
        self.items: list[Specialization] = []
        self.policy = RecompilePolicy(PATIENCE, 2)
        # That of all kinds of arguments together.
        self.shared = shared
        # What recording has shown of the function: programs cannot do the one, and have to be told of the other.
        self.writes = False
        self.failed = False
        self.unfit = False
        self.postponed = False
        self.static_floats = False
        self.by_order = False

    def add(self, specialization: Specialization, most: int) -> None:
        """Put a new program in front; the one that matched longest ago goes when there are more than ``most``."""
        self.items = [specialization, *self.items[: most - 1]]

    def drop(self, specialization: Specialization) -> None:
        """Forget a program."""
        self.items = [v for v in self.items if v is not specialization]

    def promote(self, specialization: Specialization) -> None:
        """Put the program that matched in front, unless it has been dropped meanwhile."""
        others = [v for v in self.items if v is not specialization]
        if len(others) < len(self.items):
            self.items = [specialization, *others]


class Cache:
    """The programs of a function by the kind of the arguments, the kind used last at the end."""

    def __init__(self) -> None:
        self.kinds: OrderedDict[Any, Specializations] = OrderedDict()
        self._tasks: dict[Task, RecompilePolicy] = {}
        self._lock = threading.RLock()

    def find(self, task: Task, key: Any, order: tuple[Any, ...]) -> Specializations | None:
        """Return the programs of a kind; ``None`` where there have been too many kinds that never came again."""
        key = (task, key, order)
        specializations = self.kinds.get(key)
        if specializations is None:
            return self._opened(task, key, bool(order))
        if len(self.kinds) > MAX_KINDS // 2:
            with self._lock:
                if key in self.kinds:
                    self.kinds.move_to_end(key)
        return specializations

    def _opened(self, task: Task, key: Any, ordered: bool) -> Specializations | None:
        """Open a place for programs of a new kind."""
        with self._lock:
            shared = self._tasks.setdefault(task, RecompilePolicy(4 * PATIENCE, 1))
            if not shared.allows():
                return None
            specializations = self.kinds.setdefault(key, Specializations(shared, ordered))
            while len(self.kinds) > MAX_KINDS:
                self.kinds.popitem(last=False)
        return specializations

    def __getstate__(self) -> dict[str, Any]:
        return {"kinds": self.kinds, "tasks": self._tasks}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__()  # type: ignore[misc]
        self.kinds, self._tasks = state["kinds"], state["tasks"]
