"""Checkpoints: functions whose intermediate values are computed again when a derivative needs them, instead of being kept."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from hessian.core.sweeps import Linearization, record_function
from hessian.core.tape import GuardMiss
from hessian.core.trees import Structure, flatten, join_vector, split_vector
from hessian.errors import DtypeError, OptionError, StaleRecordingError, message
from hessian.rules.spec import NONDIFF, General, Traced


def checkpoint(f: Callable[..., Any]) -> Callable[..., Any]:
    r"""Return a function equal to f of which a recording keeps nothing but the arguments and the result.

    Parameters
    ----------
    f : callable
        A function written in NumPy, of arrays or containers of arrays; it must give the same result every time.

    Returns
    -------
    callable
        Of the same arguments and with the same result.

    Raises
    ------
    DtypeError
        By a call: f returns something else than real arrays.
    StaleRecordingError
        By a sweep: f, run again, returns other shapes.

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
    def checkpointed(*args: Any, **kwargs: Any) -> Any:
        leaves, structure = flatten((args, kwargs))
        at = [i for i, leaf in enumerate(leaves) if isinstance(leaf, Traced)]
        if not at:
            return f(*args, **kwargs)
        return _Call(f, leaves, structure, at).apply()

    return checkpointed


class OtherShapes(GuardMiss, StaleRecordingError):
    """A checkpointed function returns other shapes than before: a program was made for others, or it depends on more."""


class _Call:
    """One call of a checkpointed function, as a function of its traced leaves with one vector as its result."""

    def __init__(self, f: Callable[..., Any], leaves: list[Any], structure: Structure, at: list[int]) -> None:
        self._f = f
        # Arrays are copied: the function may run again after their owner has changed them.
        self._leaves = [
            leaf.copy() if isinstance(leaf, np.ndarray) and not isinstance(leaf, Traced) else leaf for leaf in leaves
        ]
        self._structure = structure
        self._at = at
        self._result: Structure | None = None
        self._shapes: list[tuple[int, ...]] = []

    def apply(self) -> Any:
        traced = [self._leaves[i] for i in self._at]
        for i in self._at:
            self._leaves[i] = None
        states = tuple(None if x.dtype.kind == "f" else NONDIFF for x in traced)
        vector = opaque(lambda *xs: [self._run(xs)], states, len(traced))(*traced)
        assert self._result is not None
        return self._result.build(split_vector(vector, self._shapes))

    def _run(self, values: Sequence[Any]) -> Any:
        leaves = list(self._leaves)
        for i, value in zip(self._at, values, strict=True):
            leaves[i] = value
        args, kwargs = self._structure.build(leaves)
        results, structure = flatten(self._f(*args, **kwargs))
        arrays = [x if isinstance(x, Traced) else np.asarray(x) for x in results]
        if any(x.dtype.kind != "f" for x in arrays):
            what = f"the function returned {next(x.dtype for x in arrays if x.dtype.kind != 'f')}"
            raise DtypeError(message("checkpoint", what, fix="Return real arrays"))
        shapes = [x.shape for x in arrays]
        if self._result is None:
            self._result, self._shapes = structure, shapes
        elif structure != self._result or shapes != self._shapes:
            # Here shapes are known only where the function runs: a program made for others is the wrong one.
            what = f"the function returned arrays of shapes {shapes}, and {self._shapes} before"
            fix = "Checkpoint a function whose result does not change from call to call"
            raise OtherShapes(message("checkpoint", what, "a sweep runs it again", fix))
        return join_vector(arrays)


Vectors = Callable[..., list[Any]]


def opaque(function: Vectors, states: tuple[Any, ...], count: int) -> Callable[..., Any]:
    """Return a function of arrays with one array as its result, recorded as one operation; so are its derivatives.

    ``function`` returns a list of one. Operands may carry leading batch axes where the operation is linear in them; the
    functions below know which.
    """

    def pushforward(y: Any, xs: Any, dots: Any) -> Any:
        live, shape = [i for i, dot in enumerate(dots) if dot is not None], y.shape
        ndim = np.ndim(xs[live[0]])

        def push(*operands: Any) -> list[Any]:
            # A batched program calls this with more axes than it was recorded with.
            batch = operands[count].ndim - ndim
            given: list[Any] = [None] * count
            for i, dot in zip(live, operands[count:], strict=True):
                given[i] = dot
            pushed = _linearized(function, operands[:count], states).push(_active(given, states), batch)
            return [_or_zeros(pushed[0], operands[count].shape[:batch] + shape, y.dtype)]

        inner = (*states, *(None for _ in live))
        return opaque(push, inner, len(inner))(*xs, *(dots[i] for i in live))

    def pullback(y: Any, xs: Any, g: Any, wanted: Any) -> list[Any]:
        batch = g.ndim - y.ndim
        pieces: list[Any] = [None] * count
        shapes = [np.shape(x) for x, state in zip(xs, states, strict=True) if state is None]
        ndim = y.ndim

        def pull(*operands: Any) -> list[Any]:
            batch = operands[count].ndim - ndim
            lead = operands[count].shape[:batch]
            bars = _linearized(function, operands[:count], states).pull([operands[count]], batch)
            own = [x for x, state in zip(operands, states, strict=False) if state is None]
            full = [_or_zeros(bar, lead + shape, x.dtype) for bar, shape, x in zip(bars, shapes, own, strict=True)]
            return [join_vector(full, batch)]

        vector = opaque(pull, (*states, None), count + 1)(*xs, g)
        parts = split_vector(vector, shapes, batch)
        for i, part in zip((i for i, state in enumerate(states) if state is None), parts, strict=True):
            pieces[i] = part
        return pieces

    operation = General(
        "checkpoint", lambda *xs: np.asarray(function(*xs)[0]), pushforward=pushforward, pullback=pullback, flops=1.0
    )
    operation.states = states if any(states) else None
    return operation


def _linearized(function: Vectors, xs: Sequence[Any], states: tuple[Any, ...]) -> Linearization:
    """Run a function again, recorded in the operands that have derivatives."""
    own = [i for i, state in enumerate(states) if state is None]

    def run(*values: Any) -> list[Any]:
        operands = list(xs)
        for i, value in zip(own, values, strict=True):
            operands[i] = value
        return function(*operands)

    return record_function(run, [xs[i] for i in own])


def _active(dots: list[Any], states: tuple[Any, ...]) -> list[Any]:
    return [dot for dot, state in zip(dots, states, strict=True) if state is None]


def _or_zeros(x: Any, shape: tuple[int, ...], dtype: Any) -> Any:
    return np.zeros(shape, dtype) if x is None else x
