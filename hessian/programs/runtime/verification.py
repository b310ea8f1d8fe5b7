"""Whether a replay gives what the plain function gives, up to rounding."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from hessian.errors import ShapeMismatchError, StaleRecordingError, message
from hessian.programs.capture import Entangled
from hessian.programs.compilation import CompilationError, OperationError, report_failure
from hessian.programs.runtime.arguments import Arguments
from hessian.programs.runtime.cache import Specialization
from hessian.programs.tasks import CompiledTask, WeakNumbers, derive
from hessian.tape.tape import GuardMiss

#: Relative difference between a replay and the plain function that is rounding, second where float32 is used.
_ROUNDING = (1e-10, 1e-4)
#: Neighbouring arguments at which rounding is measured, and how often their largest change it may be.
_NEIGHBOURS, _SAFETY = 4, 100.0


def agrees(
    f: Callable[..., Any],
    specialization: Specialization,
    arguments: Arguments,
    results: Sequence[Any],
    *,
    user_results: bool,
) -> bool:
    """Compare a replay with the plain function; return whether they agree, and raise if data has changed."""
    # The function may write into its arguments.
    args, kwargs = arguments.rebuild([np.array(x, order="K")[()] for x in arguments.inputs])
    # Under the caller's settings for floating-point errors: the function may catch what they make of them.
    outcome = f(*args, **kwargs)
    gap = distance(specialization, results, outcome)
    if gap == 0.0:
        return True
    name = getattr(f, "__qualname__", "the function")
    why = (
        "something it uses besides its arguments has changed (data it captures, a random draw), which a recording "
        "cannot see"
    )
    try:
        given = specialization.compiled.program.sections[0].inputs[len(arguments.inputs) :]
        directions = [np.zeros(node.shape, node.dtype) for node in given]
        again = derive(f, specialization.compiled.task, arguments, directions, "record", user_results=user_results)
        if distance(specialization, again.seen, outcome) != 0.0:
            if _reproduces(again, specialization, (*arguments.inputs, *directions), results) and _is_rounding(
                f, specialization, arguments, results, outcome
            ):
                # Nothing has changed, but what is left after cancellation is rounding, and NumPy's scalars round otherwise.
                return False
            why += ", or it asks for the type of its arguments"
        elif _reproduces(again, specialization, (*arguments.inputs, *directions), results):
            # The function is as it was, and its program adds up in another order, on which all depends here.
            return False
    except (Entangled, WeakNumbers):
        pass
    except CompilationError as error:
        report_failure("record", error, tell=False)
    raise StaleRecordingError(
        message(
            "record",
            f"{name} now gives another value than its recording replays, by {gap:.1e} relative to its size",
            why,
            "Pass what changes as an argument; or do not record it (record=False in solvers); verify='never' switches this check off",
        )
    )


def _reproduces(
    again: CompiledTask, specialization: Specialization, inputs: Sequence[Any], results: Sequence[Any]
) -> bool:
    """Tell whether a fresh program gives what a replay gave."""
    try:
        fresh = again.checked(again.program.run(inputs, True))
    except (GuardMiss, OperationError):
        return True
    return difference(specialization, results, fresh) == 0.0


def _is_rounding(
    f: Callable[..., Any], specialization: Specialization, arguments: Arguments, results: Sequence[Any], outcome: Any
) -> bool:
    """Tell whether results differ from those of the plain function by what an error in the last place of its arguments does."""
    rng = np.random.default_rng(0)
    leaves_of = specialization.compiled.output.leaves_of
    expected = [np.asarray(leaf, float) for leaf in leaves_of(outcome, "record", "the result")]

    def gaps(leaves: Sequence[Any]) -> np.ndarray:
        pairs = zip(leaves, expected, strict=True)
        return np.array([np.max(np.abs(np.asarray(leaf, float) - here), initial=0.0) for leaf, here in pairs])

    def beside(x: Any) -> Any:
        copy = np.array(x, order="K")
        if copy.dtype.kind == "f":
            copy += rng.choice([-1.0, 1.0], copy.shape).astype(copy.dtype) * np.spacing(copy)
        return copy[()]

    spread = np.zeros(len(expected))
    with np.errstate(all="ignore"):
        for _ in range(_NEIGHBOURS):
            args, kwargs = arguments.rebuild([beside(x) for x in arguments.inputs])
            spread = np.maximum(spread, gaps(leaves_of(f(*args, **kwargs), "record", "the result")))
        return bool(np.all(gaps(results) <= _SAFETY * spread))


def distance(specialization: Specialization, results: Sequence[Any], outcome: Any) -> float:
    """Return the relative difference between results and what the plain function returned; 0 if it is rounding."""
    try:
        leaves = specialization.compiled.output.leaves_of(outcome, "record", "the result")
    except ShapeMismatchError:
        return math.inf
    return difference(specialization, results, leaves)


def difference(specialization: Specialization, results: Sequence[Any], leaves: Sequence[Any]) -> float:
    """Return the relative difference between a replay and what it should be; 0 if it is rounding."""
    if len(results) != len(leaves):
        return math.inf
    worst = 0.0
    for result, leaf in zip(results, leaves, strict=True):
        expected, found = np.asarray(leaf), np.asarray(result)
        if expected.dtype.kind == "c" and not np.any(expected.imag):
            expected = expected.real  # eigenvalues, from NumPy 2.5 on
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
        specialization.scale = max(specialization.scale, size)
        relative = gap / specialization.scale if specialization.scale else math.inf
        if relative > _ROUNDING[specialization.compiled.coarse]:
            worst = max(worst, relative)
    return worst
