"""Recorded functions: a cache of programs, looked up by the kind of the arguments and tried in turn by their guards."""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable, Sequence
from typing import Any, Concatenate, Generic, overload

import numpy as np

from hessian.errors import OptionError, message
from hessian.pickles import name_in_module
from hessian.programs.capture import Entangled
from hessian.programs.compilation import (
    COMPILE_LONG_AFTER,
    LONG_TAPE,
    OUT_OF_ROOM,
    CompilationError,
    OperationError,
    TooLong,
    paused_collection,
    report_failure,
)
from hessian.programs.runtime.arguments import Arguments, Identity
from hessian.programs.runtime.cache import MAX_KINDS, MAX_VARIANTS, Cache, Specialization, Specializations, Statistics
from hessian.programs.runtime.point import ProgramAtPoint
from hessian.programs.runtime.program import Program
from hessian.programs.runtime.verification import agrees, difference
from hessian.programs.tasks import CompiledTask, Task, Unfit, WeakNumbers, check_recordable, derive, local_maps
from hessian.signatures import P, Rest, Y
from hessian.tape.maps import LocalMaps
from hessian.tape.tape import GuardMiss, is_tracing


class RecordedFunction(Generic[P, Y]):
    """A function that replays programs instead of running; made by :func:`record`.

    Attributes
    ----------
    function : callable
        The plain function.
    stats : Statistics
    records : bool
        Whether programs are made at all; if not, it is the plain function in every way.
    eager : bool
        Whether a function that is long to compile is compiled at once, as :func:`record` asks for, or once it has been
        swept often enough to pay for it.
    swept : int
        Sweeps made without a program.
    announce : callable or None
        Called before a program is made.
    """

    keeps_programs = True

    def __init__(
        self, f: Callable[P, Y], *, verify: Any = "doubling", records: bool = True, eager: bool = True
    ) -> None:
        check_recordable(f)
        if verify not in ("doubling", True, False, "always", "never"):
            fix = "Pass 'doubling' (the 1st, 2nd, 4th, ... replay), 'always' or 'never'"
            raise OptionError(message("record", f"verify is {verify!r}", fix=fix))
        self.function: Callable[P, Y] = f
        self.verify = {True: "doubling", False: "never"}.get(verify, verify)
        self.records, self.eager, self.swept = records, eager, 0
        self.stats = Statistics()
        # Whether the function's results are its own: else they are derivatives, which need only be right up to rounding.
        self._user_results = True
        # Arguments of a derived function of which every number is an input, as it is of those that are differentiated.
        self._inputs: tuple[int, ...] = ()
        self._cache = Cache()
        self._derived: dict[Any, RecordedFunction] = {}
        self._lock = threading.RLock()
        self.announce: Callable[[], None] | None = None
        # Names and documentation, not the attributes: they could take the place of ours.
        functools.update_wrapper(self, self.function, updated=())

    def __call__(self, /, *args: P.args, **kwargs: P.kwargs) -> Y:
        replayed = self.replay(Task("value"), args, kwargs)
        if replayed is None:
            return self.function(*args, **kwargs)
        compiled, results = replayed
        output: Y = compiled.output.build(results)
        return output

    def __repr__(self) -> str:
        name = getattr(self.function, "__qualname__", repr(self.function))
        count = sum(len(specializations.items) for specializations in self._cache.kinds.values())
        return f"<RecordedFunction {name}: {count} programs, {self.stats}>"

    @property
    def plain_function(self) -> Callable[P, Y]:
        """The plain function, where it is to be recorded by somebody else."""
        return self.function

    @property
    def programs(self) -> list[Any]:
        """The compiled programs, the most recently used kind of arguments last; ``.source`` and ``print`` show them."""
        return [
            specialization.compiled.program
            for specializations in self._cache.kinds.values()
            for specialization in specializations.items
        ]

    @overload
    def __get__(self, instance: None, owner: Any = None) -> RecordedFunction[P, Y]: ...
    @overload
    def __get__(
        self: RecordedFunction[Concatenate[Any, Rest], Y], instance: object, owner: Any = None
    ) -> RecordedFunction[Rest, Y]: ...
    def __get__(self, instance: Any, owner: Any = None) -> Any:
        """Return the recorded form of the bound method, where a method has been recorded."""
        if instance is None or not hasattr(self.function, "__get__"):
            return self
        make = lambda plain: plain.__get__(instance, owner)
        return self.derived(("method", Identity(instance)), make, user_results=True)

    def derived(
        self,
        key: Any,
        make: Callable[[Callable[..., Any]], Callable[..., Any]],
        *,
        user_results: bool = False,
        inputs: tuple[int, ...] = (),
    ) -> RecordedFunction:
        """Return the recorded form of a function that is made from the plain one; made once per key.

        ``user_results=False`` says that its results are derivatives; of the arguments numbered ``inputs`` every number is an input.
        """
        found = self._derived.get(key)
        if found is None:
            with self._lock:
                found = RecordedFunction(
                    make(self.function), verify=self.verify, records=self.records, eager=self.eager
                )
                found.stats, found._user_results, found._inputs = self.stats, user_results, inputs
                found = self._derived.setdefault(key, found)
                while len(self._derived) > MAX_KINDS:
                    self._derived.pop(next(iter(self._derived)))
        return found

    # Replaying.

    def replay(
        self, task: Task, args: Sequence[Any], kwargs: dict[str, Any], directions: Sequence[Any] = (), where: str = ""
    ) -> tuple[CompiledTask, tuple[Any, ...]] | None:
        """Run the program of a task of one section; ``None`` if the plain sweeps have to do it."""
        ran = self._run(Program.run, task, args, kwargs, directions, where)
        return None if ran is None else (ran[0], ran[1].values)

    def at(
        self, task: Task, args: Sequence[Any], kwargs: dict[str, Any], where: str
    ) -> tuple[CompiledTask, ProgramAtPoint] | None:
        """Run the first section of the program of a task at a point; ``None`` if the plain sweeps have to do it."""
        ran = self._run(ProgramAtPoint, task, args, kwargs, (), where)
        if ran is None:
            return None
        compiled, at_point, arguments = ran
        at_point.recover = functools.partial(_sweeps, self.function, task, arguments, where)
        at_point.on_failure = functools.partial(self._failed, where=where)
        return compiled, at_point

    def _run(
        self,
        start: Callable[..., Any],
        task: Task,
        args: Sequence[Any],
        kwargs: dict[str, Any],
        directions: Sequence[Any],
        where: str,
    ) -> tuple[CompiledTask, Any, Arguments] | None:
        """Start a program on inputs, with its results compared with the plain function's where that is due."""
        arguments, specializations = self._prepared(task, args, kwargs, directions)
        if specializations is None:
            return None
        inputs = (*arguments.inputs, *directions)
        for specialization in specializations.items:
            # Decided once: another thread may count a replay meanwhile, and only a run that is due has what is compared.
            due = self._is_due(specialization)
            try:
                run = start(specialization.compiled.program, inputs, due)
            except Exception as error:
                if self._misses(specializations, specialization, error, where):
                    continue
                return None
            stands = self._replayed(specializations, specialization, arguments, run, due)
            return (specialization.compiled, run, arguments) if stands else None
        new = self._record(task, specializations, arguments, directions, where)
        if new is None:
            # With Python floats as static arguments there may be a program.
            again = specializations.static_floats
            return self._run(start, task, args, kwargs, directions, where) if again else None
        try:
            run = start(new.compiled.program, inputs, True)
        except Exception as error:
            self._refuse(specializations, new, error, where)
            return None
        return (new.compiled, run, arguments) if self._first(specializations, new, run) else None

    def _misses(
        self, specializations: Specializations, specialization: Specialization, error: Exception, where: str
    ) -> bool:
        """Tell whether a replay has missed a guard, so that another program may be the right one; else leave it to the function."""
        if isinstance(error, GuardMiss):
            self.stats.guard_misses += 1
            return True
        if isinstance(error, (OperationError, *OUT_OF_ROOM)):
            # The function may catch it, or raise it from its own line.
            self.stats.plain += 1
        else:
            self._refuse(specializations, specialization, error, where)
        return False

    def _prepared(
        self, task: Task, args: Sequence[Any], kwargs: dict[str, Any], directions: Sequence[Any]
    ) -> tuple[Arguments, Specializations | None]:
        """Return the arguments taken apart and the programs for their kind; ``None`` if none may be used."""
        numbers = (task.argnums,) if isinstance(task.argnums, int) else task.argnums
        numbers = self._inputs if task.kind == "value" else numbers
        arguments = Arguments(args, kwargs, numbers)
        specializations = self._specializations(task, arguments, directions)
        if specializations is not None and specializations.static_floats:
            arguments = Arguments(args, kwargs, numbers, static_floats=True)
            specializations = self._specializations(task, arguments, directions)
        if specializations is not None and specializations.by_order and (order := arguments.order()):
            specializations = self._specializations(task, arguments, directions, order)
        return arguments, specializations

    def _specializations(
        self, task: Task, arguments: Arguments, directions: Sequence[Any], order: tuple[Any, ...] = ()
    ) -> Specializations | None:
        """Return the programs for the kind of these arguments; ``None`` if none may be used."""
        # Inside another recording the function may use values of that one besides its arguments.
        # Under error settings that raise, it may raise where a replay does not.
        if not self.records or arguments.traced or is_tracing() or "raise" in np.geterr().values():
            self.stats.plain += 1
            return None
        key = (arguments.key, tuple([(v.shape, v.dtype) for v in directions]))
        specializations = self._cache.find(task, key, order)
        if specializations is not None and specializations.unfit:
            return None
        if specializations is not None and specializations.postponed and not self._pays():
            # What is swept plainly instead: the value and a derivative; operators count their products.
            self.swept += 2
            specializations = None
        if (
            specializations is None
            or specializations.writes
            or specializations.failed
            or not (specializations.static_floats or specializations.policy.allows())
        ):
            self.stats.plain += 1
            return None
        return specializations

    def _record(
        self, task: Task, specializations: Specializations, arguments: Arguments, directions: Sequence[Any], where: str
    ) -> Specialization | None:
        """Record the function and compile it; ``None`` if no program can do what it does."""
        specializations.policy.recordings += 1
        specializations.shared.recordings += 1
        if self.announce is not None:
            self.announce()
        try:
            with paused_collection():
                compiled = derive(
                    *(self.function, task, arguments, directions, where or "record"),
                    user_results=self._user_results,
                    longest=None if self._pays() else LONG_TAPE,
                )
        except TooLong:
            specializations.postponed = True
            self.swept += 2
            self.stats.plain += 1
            return None
        except WeakNumbers:
            specializations.static_floats = True
            return None
        except Unfit:
            specializations.unfit = True
            return None
        except Entangled:
            self.stats.plain += 1
            return None
        except (CompilationError, MemoryError, RecursionError) as error:
            # Where it was the function's own, the plain call raises it again.
            self.stats.plain += 1
            specializations.failed = True
            self._failed(error, where)
            return None
        if compiled.writes:
            specializations.writes = True
            self.stats.plain += 1
            return None
        specialization = Specialization(compiled)
        with self._lock:
            # Programs for another order in memory than usual are kept apart, if it matters.
            if not (compiled.by_order and not specializations.ordered and arguments.order()):
                specializations.add(specialization, MAX_VARIANTS)
            specializations.by_order = specializations.by_order or compiled.by_order
            self.stats.recordings += 1
        return specialization

    def _pays(self) -> bool:
        """Tell whether a function may be compiled however long it is."""
        return self.eager or self.swept >= COMPILE_LONG_AFTER

    def _is_due(self, specialization: Specialization) -> bool:
        """Tell whether the next replay of a program is to be compared with the plain function."""
        count = specialization.replays + 1
        return self.verify == "always" or (self.verify == "doubling" and count & (count - 1) == 0)

    def _first(self, specializations: Specializations, specialization: Specialization, run: Any) -> bool:
        """Compare the first run of a program with what the function gave while it was recorded."""
        compiled = specialization.compiled
        if run.finite and difference(specialization, compiled.checked(run), compiled.seen) != 0.0:
            self._refuse(specializations, specialization)
            return False
        return self._stands(run)

    def _refuse(
        self,
        specializations: Specializations,
        specialization: Specialization,
        error: Exception | None = None,
        where: str = "",
    ) -> None:
        """Forget a program that does not do what the function does: the plain function is right."""
        with self._lock:
            specializations.drop(specialization)
        self.stats.plain += 1
        # What an operation raises at the last digits of its operands is for the function to meet.
        if error is not None and not isinstance(error, GuardMiss | OperationError):
            specializations.failed = True
            self._failed(error, where)

    def _failed(self, error: BaseException, where: str = "") -> None:
        """Count a failure, and tell the first one."""
        self.stats.failures += 1
        report_failure(where or "record", error, tell=self.stats.failures == 1)

    def _replayed(
        self,
        specializations: Specializations,
        specialization: Specialization,
        arguments: Arguments,
        run: Any,
        due: bool,
    ) -> bool:
        """Count a replay, verify it if it is due, and refuse results that are not finite."""
        if not specializations.items or specializations.items[0] is not specialization:
            specializations.promote(specialization)
        specialization.replays += 1
        specializations.policy.replays += 1
        specializations.shared.replays += 1
        self.stats.replays += 1
        # What is not finite is computed again by the plain function anyway.
        if due and run.finite:
            self.stats.verifications += 1
            results = specialization.compiled.checked(run)
            if not agrees(self.function, specialization, arguments, results, user_results=self._user_results):
                self._refuse(specializations, specialization)
                return False
        return self._stands(run)

    def _stands(self, run: Any) -> bool:
        """Pass finite results. Programs know no branches not taken: infinite partials are left to the plain sweeps."""
        self.stats.plain += not run.finite
        return bool(run.finite)

    def __reduce_ex__(self, protocol: Any) -> Any:
        return name_in_module(self, self.function) or super().__reduce_ex__(protocol)

    def __getstate__(self) -> dict[str, Any]:
        return {
            **{"function": self.function, "verify": self.verify, "stats": self.stats},
            **{"cache": self._cache, "user_results": self._user_results, "inputs": self._inputs},
            **{"records": self.records, "eager": self.eager},
        }

    def __setstate__(self, state: dict[str, Any]) -> None:
        settings = {name: state[name] for name in ("verify", "records", "eager")}
        self.__init__(state["function"], **settings)  # type: ignore[misc]
        self.stats, self._cache = state["stats"], state["cache"]
        self._user_results, self._inputs = state["user_results"], state["inputs"]


def _sweeps(f: Callable[..., Any], task: Task, arguments: Arguments, where: str, inputs: list[Any]) -> LocalMaps:
    """Trace a function without a program, at inputs that a program has kept."""
    args, kwargs = arguments.rebuild(inputs)
    return local_maps(f, task, args, kwargs, where)
