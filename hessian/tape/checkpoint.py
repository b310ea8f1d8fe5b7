"""Checkpoints: functions whose intermediate values are computed again when a derivative needs them, instead of being kept."""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from hessian.errors import OptionError, StaleRecordingError, message
from hessian.rules.spec import NONDIFF, General
from hessian.signatures import P, Y
from hessian.tape.array_methods import primal_array
from hessian.tape.checkpoint_call import CheckpointCall
from hessian.tape.sweeps import Linearization, output_slot
from hessian.tape.tape import Tape
from hessian.tape.trees import holds_traced, join_vector, split_vector
from hessian.tape.variable import variable

#: Relative difference between two runs of a function that is rounding, second for float32.
_ROUNDING = (1e-10, 1e-4)


class _Plain(threading.local):
    depth, met = 0, False


_plain = _Plain()


@contextmanager
def looked_into() -> Iterator[_Plain]:
    """Let checkpointed functions run as they are, so that a tape shows what they do; yields what says by ``met`` whether there was one."""
    if not _plain.depth:
        _plain.met = False
    _plain.depth += 1
    try:
        yield _plain
    finally:
        _plain.depth -= 1


def checkpoint(f: Callable[P, Y]) -> Callable[P, Y]:
    r"""Return a function equal to f of which a recording keeps nothing but the arguments and the result.

    Parameters
    ----------
    f : callable
        A function written in NumPy, of arrays or containers of arrays; it must give the same result every time.

    Returns
    -------
    callable
        Of the same arguments and with the same result. A traced array that f changes in place is changed for the caller, too.

    Raises
    ------
    DtypeError
        By a call: f returns something else than real arrays.
    LeavesTapeError
        By a call: f uses a traced value that is not among its arguments.
    OptionError
        By a call: f changes a container or a plain array among its arguments, or one of several that share memory.
    StaleVariableError
        By the use of a value that left f in another way than by return.
    StaleRecordingError
        By a sweep: f, run again, does something else.

    Notes
    -----
    Memory: a recurrence of n steps keeps n sets of intermediate values; with its step checkpointed, n arguments; cut into
    :math:`\sqrt n` checkpointed stretches of :math:`\sqrt n` steps, about :math:`2 \sqrt n` arguments and one stretch.
    Cost: f runs once more for every sweep that passes through it, and without a compiled program.

    References
    ----------
    A. Griewank & A. Walther, *Evaluating Derivatives* (2008), chapter 12.

    Examples
    --------
    >>> import numpy as np, hessian as hs
    >>> stretch = hs.checkpoint(lambda x: np.sin(np.sin(np.sin(x))))
    >>> def f(x):
    ...     for _ in range(3):
    ...         x = stretch(x)
    ...     return np.sum(x)
    >>> x = np.array([0.5, 1.0])
    >>> g = lambda x: np.sum(np.sin(np.sin(np.sin(np.sin(np.sin(np.sin(np.sin(np.sin(np.sin(x))))))))))
    >>> np.allclose(hs.hvp(f, x, x), hs.hvp(g, x, x))
    True
    """
    if not callable(f):
        raise OptionError(message("checkpoint", f"the argument is {type(f).__name__}, not a function"))

    @functools.wraps(f)
    def checkpointed(*args: P.args, **kwargs: P.kwargs) -> Y:
        if not holds_traced((args, kwargs)):
            return f(*args, **kwargs)
        if _plain.depth:
            _plain.met = True
            return f(*args, **kwargs)
        call = CheckpointCall(f, args, kwargs)
        states = tuple(None if x.dtype.kind == "f" else NONDIFF for x in call.traced)
        return call.results(opaque(lambda *xs: [call.run(xs)], states, len(states))(*call.traced))

    return checkpointed


Vectors = Callable[..., list[Any]]


def opaque(function: Vectors, states: tuple[Any, ...], count: int) -> Callable[..., Any]:
    """Return a function of arrays with one array as its result, recorded as one operation; so are its derivatives.

    ``function`` returns a list of one; it takes ``count`` operands, and may be given more. Operands may carry leading batch
    axes where the operation is linear in them; the functions below know which. What is computed again is compared with what
    it was, which is the last operand of the derivatives.
    """

    def pushforward(y: Any, xs: Any, dots: Any) -> Any:
        active, shape = [i for i, dot in enumerate(dots) if dot is not None], y.shape
        ndim = np.ndim(xs[active[0]])

        def pushforward(*operands: Any) -> list[Any]:
            # A batched program calls this with more axes than it was recorded with.
            batch = operands[count].ndim - ndim
            given: list[Any] = [None] * count
            for i, dot in zip(active, operands[count:], strict=False):
                given[i] = dot
            pushed = _linearized(function, operands[:count], states, operands[-1]).pushforward(
                _active(given, states), batch
            )
            return [_or_zeros(pushed[0], operands[count].shape[:batch] + shape, y.dtype)]

        inner = (*states, *(None for _ in active), NONDIFF)
        return opaque(pushforward, inner, len(inner))(*xs, *(dots[i] for i in active), y)

    def pullback(y: Any, xs: Any, g: Any, wanted: Any) -> list[Any]:
        batch = g.ndim - y.ndim
        pieces: list[Any] = [None] * count
        varied = [x for x, state in zip(xs, states, strict=True) if state is None]
        shapes, dtypes, ndim = [np.shape(x) for x in varied], [x.dtype for x in varied], y.ndim

        def pullback(*operands: Any) -> list[Any]:
            g = operands[count]
            batch = g.ndim - ndim
            bars = _linearized(function, operands[:count], states, operands[-1]).pullback([g], batch)
            lead = g.shape[:batch]
            full = [_or_zeros(bar, lead + shape, dtype) for bar, shape, dtype in zip(bars, shapes, dtypes, strict=True)]
            return [join_vector(full, batch)]

        vector = opaque(pullback, (*states, None, NONDIFF), count + 2)(*xs, g, y)
        parts = split_vector(vector, shapes, batch)
        for i, part in zip((i for i, state in enumerate(states) if state is None), parts, strict=True):
            pieces[i] = part if part.dtype == xs[i].dtype else part.astype(xs[i].dtype)
        return pieces

    value = lambda *xs: np.asarray(function(*xs)[0])
    runs = lambda xs: _run_again(function, xs[:count], states)[:3]
    return General(
        "checkpoint", value, pushforward=pushforward, pullback=pullback, states=states, raises=Exception, runs=runs
    )


def _linearized(function: Vectors, xs: Sequence[Any], states: tuple[Any, ...], y: Any) -> Linearization:
    """Run a function again, on a tape of its own, and linearise it in the operands that have derivatives."""
    tape, slots, output, result = _run_again(function, xs, states)
    _check_again(result, y)
    return Linearization(tape, slots, [output])


def _run_again(
    function: Vectors, xs: Sequence[Any], states: tuple[Any, ...]
) -> tuple[Tape, list[int], int | None, Any]:
    """Run a function on a tape of its own; return that, the slots of operands with derivatives and of the result, and the result."""
    tape = Tape(private=True)
    variables = [
        variable(tape, tape.add_input(x, active=state is None), x) for x, state in zip(xs, states, strict=True)
    ]
    slots = [v._slot for v, state in zip(variables, states, strict=True) if state is None]
    try:
        result = function(*variables)[0]
    finally:
        tape.close()
    return tape, slots, output_slot(tape, result), result


def _check_again(result: Any, y: Any) -> None:
    """Raise if a function did something else when it ran again."""
    expected, again = primal_array(y), primal_array(result)
    if expected.shape != again.shape or np.array_equal(expected, again, equal_nan=True):
        return  # other shapes: a batch
    with np.errstate(all="ignore"):
        gap, size = np.max(np.abs(again - expected)), np.max(np.abs(expected))
    if not gap <= _ROUNDING[expected.dtype == np.float32] * size:
        what = f"the function gave another result when it ran again, by {float(gap):.1e}"
        why = "a sweep needs what it did the first time; it draws random numbers, or uses data that has changed"
        raise StaleRecordingError(message("checkpoint", what, why, "Pass what changes as an argument"))


def _active(dots: list[Any], states: tuple[Any, ...]) -> list[Any]:
    return [dot for dot, state in zip(dots, states, strict=True) if state is None]


def _or_zeros(x: Any, shape: tuple[int, ...], dtype: Any) -> Any:
    return np.zeros(shape, dtype) if x is None else x
