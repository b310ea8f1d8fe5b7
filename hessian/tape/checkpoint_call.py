"""One call of a checkpointed function: what went in, what came out, and what was changed on the way."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from hessian.errors import DtypeError, LeavesTapeError, OptionError, StaleRecordingError, StaleVariableError, message
from hessian.rules.traced import Traced, entered
from hessian.tape.advice import user_line
from hessian.tape.array_methods import primal_array
from hessian.tape.blank import unwrapped
from hessian.tape.creation import creating
from hessian.tape.handle import Handle
from hessian.tape.memory import lying_by
from hessian.tape.tape import GuardMiss, Tape
from hessian.tape.trees import Structure, flatten, is_foreign, join_vector
from hessian.tape.variable import Array, Number, Variable, variable
from hessian.tape.views import View, chain


class OtherCourse(GuardMiss, StaleRecordingError):
    """A checkpointed function does something else than before: a program was made for others, or it depends on more."""


@dataclass
class _Course:
    """What a run of the function did, besides numbers: a later run must do the same.

    Attributes
    ----------
    structure : Structure
        Of the result.
    plan : list of tuple
        What each leaf of the result is: ``("none",)``, ``("argument", i)``, ``("value", k)``, a value in the vector, or a view
        of such: ``("view", "argument", i, shape)``.
    values : list of (shape, dtype, number)
        Of the values in the vector, and whether NumPy would have a scalar.
    views : list of list of View
        How the views were taken, in the order of the plan.
    strides : list of tuple
        Of the values in the vector, in memory.
    moved : list of int
        Arguments that were changed in place; their new values end the vector.
    seen : list of ndarray
        What left the tape to steer Python.
    """

    structure: Structure
    plan: list[tuple[Any, ...]]
    values: list[tuple[Any, ...]]
    views: list[list[View]]
    strides: list[tuple[int, ...]]
    moved: list[int]
    seen: list[np.ndarray]

    def is_like(self, other: _Course) -> bool:
        """Tell whether another run did the same."""
        mine = (self.structure, self.plan, self.values, self.moved, len(self.seen))
        same = mine == (other.structure, other.plan, other.values, other.moved, len(other.seen))
        return same and all(map(np.array_equal, self.seen, other.seen))


class CheckpointCall:
    """A call of ``f`` as a function of its traced arguments, with one vector as its result.

    Attributes
    ----------
    traced : list
        The traced arguments, each once.

    Notes
    -----
    The function always runs on values of a tape of its own, which is closed when it returns: it changes these and not the
    caller's, and what leaves by another way than return cannot be used. The vector holds the results and then the arguments
    that were changed in place, which :meth:`results` changes for the caller.
    """

    def __init__(self, f: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        self._f = f
        leaves, self._structure = flatten((args, kwargs), whole=is_foreign)
        self.traced: list[Any] = []
        self._places: list[int | None] = []
        # Arrays are copied: the function may run again after their owner has changed them.
        self._leaves: list[Any] = []
        for leaf in leaves:
            if issubclass(type(leaf), Handle):
                leaf.become_traced(leaves)  # the function may write to it
            leaf = entered(leaf)
            is_traced = isinstance(leaf, Traced)
            self._places.append(self._place(leaf) if is_traced else None)
            self._leaves.append(None if is_traced else _copied(leaf))
        self._numbers = [isinstance(x, Variable) and x.is_number for x in self.traced]
        # What is a view of what depends on how the arguments lie in memory; a program keeps them in its own.
        self._strides = [primal_array(x).strides for x in self.traced]
        self._course: _Course | None = None
        self._by_order = False
        # Sweeps ignore floating-point errors; a function that catches them must meet them again.
        self._errors = np.geterr()

    def _place(self, leaf: Any) -> int:
        """Return the number of a traced argument; the same value given twice is one argument."""
        known = next((i for i, x in enumerate(self.traced) if x is leaf), None)
        if known is None:
            self.traced.append(leaf)
        return len(self.traced) - 1 if known is None else known

    # Running.

    def run(self, values: Sequence[Any]) -> Any:
        """Run the function on values of the traced arguments; return results and changed arguments as one vector."""
        if any(isinstance(value, Variable) for value in values):
            kinds = [Number if number else Array for number in self._numbers]
            # A sweep has opened a tape for it.
            return self._run([kind(v._tape, v._slot, v._value) for kind, v in zip(kinds, values, strict=True)])
        tape = Tape(private=True)
        plain = [
            np.asarray(x)[()] if number else np.asarray(x) for x, number in zip(values, self._numbers, strict=True)
        ]
        variables = [variable(tape, tape.add_input(x, x.dtype.kind == "f"), x) for x in plain]
        try:
            vector = self._run(variables)
        except BaseException:
            self._give_up(variables)
            raise
        finally:
            tape.close()
        if isinstance(vector, Variable) and vector._tape is tape:
            vector = vector._value
        self._check_captured(tape, vector)
        self._by_order = tape.by_order
        return np.array(vector)

    def _run(self, variables: list[Any]) -> Any:
        tape, slots = variables[0]._tape, [v._slot for v in variables]
        for v, strides in zip(variables, self._strides, strict=True):
            v._value = lying_by(v._value, strides)
        leaves = [
            _copied(leaf) if at is None else variables[at] for leaf, at in zip(self._leaves, self._places, strict=True)
        ]
        before = len(tape.guards)
        args, kwargs = self._structure.build(leaves)
        # Sweeps run it when the trace that it was met in has ended.
        with np.errstate(**self._errors), creating():
            result = unwrapped(self._f(*args, **kwargs))
        self._check_arguments(leaves, (args, kwargs))
        moved = [i for i, (v, slot) in enumerate(zip(variables, slots, strict=True)) if v._slot != slot]
        pieces, course = _taken_apart(result, variables, moved, [seen for _, seen in tape.guards[before:]])
        if self._course is None:
            self._course = course
        elif not course.is_like(self._course):
            # What is returned is known only where the function runs: a program made for something else is the wrong one.
            what = "the function did something else than before (other shapes, another branch)"
            fix = "Checkpoint a function that does the same from call to call"
            raise OtherCourse(message("checkpoint", what, "a sweep runs it again", fix))
        return join_vector([*pieces, *(variables[i] for i in moved)])

    def _give_up(self, variables: list[Any]) -> None:
        """Leave arguments that the function changed before it raised unusable: what it made of them is lost."""
        for x, v in zip(self.traced, variables, strict=True):
            if v._tape.instructions[v._slot] is not None and isinstance(x, Variable):
                v._tape.failed = True
                x._owner()._adopt(v)

    def _check_arguments(self, leaves: list[Any], given: Any) -> None:
        """Raise if containers or plain arrays among the arguments were changed: the caller's are not."""
        after, structure = flatten(given, whole=is_foreign)
        same = structure == self._structure and all(a is b for a, b in zip(after, leaves, strict=True))
        if same:
            pairs = zip(leaves, self._leaves, strict=True)
            same = all(np.array_equal(a, b, equal_nan=a.dtype.kind == "f") for a, b in pairs if type(b) is np.ndarray)
        if not same:
            what = f"the function changes a container or a plain array among its arguments, at {user_line()}"
            why = "it runs again for every sweep, on copies"
            raise OptionError(message("checkpoint", what, why, "Return the new container instead"))

    def _check_captured(self, tape: Tape, vector: Any) -> None:
        """Raise if the function uses traced values that it was not given."""
        operands = [x for i in tape.instructions if i is not None for x in i.operands]
        for x in (vector, *operands):
            if isinstance(x, Traced):
                what = f"the function uses a traced value that is not among its arguments, at {user_line()}"
                why = "it is gone when the function runs again"
                raise LeavesTapeError(message("checkpoint", what, why, "Pass it as an argument"))

    # What the caller gets.

    def results(self, vector: Any) -> Any:
        """Return what the function returned, and change the arguments that it changed."""
        course = self._course
        assert course is not None
        self._check_shared(course.moved)
        start, values = 0, []
        for (shape, dtype, number), strides in zip(course.values, course.strides, strict=True):
            values.append(lying_by(_cut(vector, start, shape, dtype, number), strides))
            start += int(np.prod(shape, dtype=int))
        for i in course.moved:
            x = self.traced[i]
            x._rebind(_cut(vector, start, x.shape, x.dtype, False))
            start += x.size
        views = iter(course.views)
        leaves = []
        for kind, *at in course.plan:
            steps = next(views) if kind == "view" else ()
            kind, *at = at if kind == "view" else (kind, *at)
            leaf = None if kind == "none" else values[at[0]] if kind == "value" else self.traced[at[0]]
            for view in steps:
                leaf = view.operation(leaf, **view.params)
            leaves.append(leaf)
        _tell_guards(self.traced, course.seen)
        for x in self.traced if self._by_order else ():
            x.depends_on_memory()
        return course.structure.build(leaves)

    def _check_shared(self, moved: list[int]) -> None:
        """Raise if an argument was changed of which another one is a view: the function saw them apart."""
        roots = [x._owner() if isinstance(x, Variable) else x for x in self.traced]
        if moved and any(roots[i] is root for i in moved for j, root in enumerate(roots) if j != i):
            what = f"the function changes an argument in place that shares memory with another one, at {user_line()}"
            fix = "Pass a copy, or return the new value"
            raise OptionError(message("checkpoint", what, "NumPy would change the other one as well", fix))


def _copied(leaf: Any) -> Any:
    return leaf.copy() if isinstance(leaf, np.ndarray) and not isinstance(leaf, Traced) else leaf


def _taken_apart(
    result: Any, variables: list[Any], moved: list[int], seen: list[np.ndarray]
) -> tuple[list[Any], _Course]:
    """Return the values that a function returned, and what it did."""
    leaves, structure = flatten(result)
    chains = [chain(leaf) if isinstance(leaf, Variable) else [leaf] for leaf in leaves]
    owners = [id(links[-1]) for links in chains]
    known: dict[int, tuple[Any, ...]] = {id(v): ("argument", i) for i, v in enumerate(variables)}
    course = _Course(structure, [], [], [], [], moved, seen)
    pieces: list[Any] = []
    for leaf, links in zip(leaves, chains, strict=True):
        if leaf is None:  # of a function that changes its argument
            course.plan.append(("none",))
            continue
        # Results that share memory are views of one value.
        shared = id(links[-1]) in known or owners.count(id(links[-1])) > 1
        source = links[-1] if shared else leaf
        place = known.get(id(source))
        if place is None:
            place = known[id(source)] = ("value", len(pieces))
            pieces.append(_value(source, course))
        if shared and len(links) > 1:
            course.plan.append(("view", *place, leaf.shape))
            course.views.append([link._view for link in reversed(links[:-1])])
        else:
            course.plan.append(place)
    return pieces, course


def _value(leaf: Any, course: _Course) -> Any:
    """Return a result as it goes into the vector, noting what it is."""
    x = entered(leaf)
    x = x if isinstance(x, Traced) else np.asarray(x)
    _check_result(x)
    number = x.is_number if isinstance(x, Variable) else not isinstance(leaf, np.ndarray)
    course.values.append((x.shape, x.dtype, number))
    course.strides.append(primal_array(x).strides)
    return x


def _check_result(x: Any) -> None:
    if x.dtype.kind != "f":
        what = f"the function returned {x.dtype}"
        raise DtypeError(message("checkpoint", what, fix="Return real arrays"))
    if isinstance(x, Variable):
        if x._tape.closed:
            what = "the function returned a traced value of an earlier run"
            raise StaleVariableError(message("checkpoint", what, "it does not depend on the arguments of this call"))
        x.check_fresh()


def _cut(vector: Any, start: int, shape: tuple[int, ...], dtype: Any, number: bool) -> Any:
    """Return a piece of a vector as a value that shares memory with nothing."""
    stop = start + int(np.prod(shape, dtype=int))
    piece = vector[start] if number else vector[start:stop].reshape(shape)
    return piece.frozen() if piece.dtype == dtype else piece.astype(dtype)


def _tell_guards(traced: list[Any], seen: list[np.ndarray]) -> None:
    """Let the tape of a checkpointed function around this one know what steered Python here."""
    innermost = max(traced, key=lambda x: x.trace_level)
    tape = getattr(innermost, "_tape", None)
    if tape is not None and not tape.replayed:
        tape.guards += [(-1, value) for value in seen]
