"""Functions, recorded or not, as those see them who differentiate them: one interface for both."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

from hessian.errors import StaleRecordingError
from hessian.programs.runtime.cache import Statistics
from hessian.programs.runtime.recorded import RecordedFunction
from hessian.signatures import P, Y


class PlainFunction:
    """A function that keeps no programs, in the place of a recorded one."""

    keeps_programs = False

    def __init__(self, function: Callable[..., Any]) -> None:
        self.function = function
        self.records, self.swept, self.stats = True, 0, Statistics()

    def replay(self, *_: Any, **__: Any) -> None:
        """There is no program."""

    def at(self, *_: Any) -> None:
        """There is no program."""

    def derived(self, key: Any, make: Callable[[Callable[..., Any]], Callable[..., Any]], **_: Any) -> Any:
        """Return a function that is made from this one."""
        return make(self.function)


def programs_of(f: Any) -> RecordedFunction | PlainFunction:
    """Return what runs the programs of a function, recorded or not: one interface for both."""
    return f if isinstance(f, RecordedFunction) else PlainFunction(f)


def as_recorded(f: Callable[..., Any], *, verify: Any = "doubling") -> RecordedFunction:
    """Return the recorded form of a function, itself where it is recorded already.

    Who records a function says that what it captures stays. Nobody has said so of a plain one: between calls of a user's each replay is
    to be compared with it (``verify="always"``).
    """
    return f if isinstance(f, RecordedFunction) else RecordedFunction(f, verify=verify)


class Watched:
    """The recorded form of a function, made anew where a plain one captures something that has changed.

    Attributes
    ----------
    function : RecordedFunction
    is_plain : bool
        Whether nobody but us has recorded it.
    """

    def __init__(self, f: Callable[..., Any], is_plain: bool | None = None) -> None:
        self.function = as_recorded(f, verify="always")
        self.is_plain = self.function is not f if is_plain is None else is_plain

    def __call__(self, compute: Callable[..., Any], *args: Any) -> Any:
        """Return what is computed, after another recording where the first is stale."""
        try:
            return compute(*args)
        except StaleRecordingError:
            if not self.is_plain:
                raise
        self.function = as_recorded(self.function.function, verify="always")
        return compute(*args)

    def __reduce__(self) -> Any:
        return Watched, (self.function, self.is_plain)


def record(
    f: Callable[P, Y], *, verify: Literal["doubling", "always", "never"] | bool = "doubling"
) -> RecordedFunction[P, Y]:
    r"""Record a function: replay compiled programs of what it does instead of running it.

    Parameters
    ----------
    f : callable
        A function written in NumPy. Its arguments: arrays (in containers or not) and Python floats are inputs; strings, ints,
        bools, ``None`` and lists and tuples of numbers are static, a new value makes a new recording; so does a new shape,
        dtype or structure. Where float32 is used Python floats are static as well: as inputs they could not take the
        precision of what they meet. Numbers that are differentiated are inputs, in lists as well.
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
        By a call: f uses something besides its arguments that has changed since it was recorded, or behaves in another way
        when it is recorded (it asks for the type of its arguments).
    LeavesTapeError
        By a call: f turns an input into plain numbers (``float(x)``, ``math.sin(x)``).

    Notes
    -----
    *Branches.* What leaves the tape to steer Python (``if x[0] > 0``, a boolean mask, a loop's length) is a guard. A replay
    evaluates its guards; if one differs, the next program with the same kind of arguments is tried, and then f is recorded
    again. At most 8 programs are kept per kind of arguments; where recordings keep missing, calls go to f itself, and
    recordings are tried again less and less often.

    *Exactness.* Values of f and guards are computed as f is written, operation by operation: they are f's to the last bit,
    but for products and other functions that add up inside, for arguments that do not lie in memory in C order (guards
    follow that order in sums, values do not), and for rows summed in blocks. ``np.prod`` multiplies by halves, recorded or
    differentiated. Derivatives are right up to rounding.
    The first run of a program is compared with what f gave while it was recorded: where the last digits decide everything,
    calls go to f itself.

    *State.* Arrays that f captures are copied when it is recorded. Pass data that changes as an argument. Inside another
    recording (``hs.grad`` of a function that calls this one) f itself runs, because it may use values of that one. A function
    that writes into an argument in place runs itself as well.

    *Methods.* ``@hs.record`` records a method; each object has programs of its own.

    *Exceptions.* Whether an operation raises (a Cholesky factorisation that f tries, a division under ``np.errstate``) is a guard;
    a replay that raises all the same is left to f, which catches the exception or raises it from its own line. Where the caller
    has NumPy raise floating-point errors, f runs itself. Replays give no floating-point warnings.

    *Failures.* Where no program can be made (memory, Python's limits), or one fails in another way than the operations in it may,
    a :class:`ProgramWarning` says so once, ``.stats.failures`` counts it, and f runs itself. With ``HESSIAN_DEBUG=1`` in the
    environment it raises.

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
    return RecordedFunction(programs_of(f).function, verify=verify)
