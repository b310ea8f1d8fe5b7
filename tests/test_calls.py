"""Every call of every supported function, valid or not, is NumPy's: the same result on traced values, or an error where NumPy has one.

Calls are made by varying the cases of the registry: other shapes, dtypes, axes, counts and keywords, arguments left out and
put in. A call that NumPy answers may be refused, by an error of the library that says why; it may not have another answer.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

from hessian.errors import HessianError
from hessian.rules.dispatch import DISPATCH, Entry
from hessian.rules.spec import Sample
from hessian.tape.array_methods import primal_array
from hessian.tape.complex_array import ComplexValue
from hessian.tape.tape import Tape
from hessian.tape.variable import Variable, variable

#: Calls of each function; HESSIAN_CALLS=5000 for a hunt.
CALLS = int(os.environ.get("HESSIAN_CALLS", "250"))
SHAPES: list[tuple[int, ...]] = [(), (1,), (3,), (4,), (2, 3), (3, 3), (3, 1), (2, 3, 3), (0,), (0, 3), (1, 1)]
NUMBERS: list[Any] = [0, 1, -1, 2, -2, 3, -4, 1.5, True, None, "x", (0, 1), (0, 0), (1,), (), [0, 2], (5, 1)]
KEYWORDS = [
    "axis",
    "keepdims",
    "n",
    "k",
    "ddof",
    "mode",
    "offset",
    "axes",
    "shape",
    "nothing",
    "where",
    "initial",
    "dtype",
]
KEYWORDS += ["equal_nan", "ord", "order", "axis1", "weights", "prepend", "returned", "optimize", "decimals", "copy"]


def numbers(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    return np.asarray(rng.integers(1, 9, shape) / 8.0)


def array(rng: np.random.Generator) -> Any:
    """Draw an array: mostly of floats, sometimes of integers or truth values, sometimes with ties or in another order."""
    x = numbers(rng, SHAPES[rng.integers(len(SHAPES))])
    kind = rng.integers(12)
    if kind < 2:
        return (x * 4).astype(int)
    if kind < 4:
        return x > 0.5
    if kind == 4:
        return x.astype(np.float32)
    if kind == 5:
        return np.asfortranarray(x)
    return x.tolist() if kind == 6 else -x if kind == 7 else x


def concrete(rng: np.random.Generator, entry: Entry, x: Any) -> Any:
    if isinstance(x, Sample):
        return x.draw(rng, entry.domain)
    if isinstance(x, list | tuple) and any(isinstance(part, Sample) for part in x):
        return type(x)([concrete(rng, entry, part) for part in x])
    return x


def varied(rng: np.random.Generator, entry: Entry) -> tuple[list[Any], dict[str, Any]]:
    """Draw a call: a case of the registry with a few things changed."""
    cases = entry.cases
    if cases:
        chosen = cases[rng.integers(len(cases))]
        args = [concrete(rng, entry, x) for x in chosen.args]
        kwargs = {name: concrete(rng, entry, x) for name, x in chosen.kwargs.items()}
    else:
        count = getattr(entry.target, "nin", 1)
        shape = SHAPES[rng.integers(len(SHAPES))]
        args, kwargs = [numbers(rng, shape) for _ in range(count)], {}
    for _ in range(rng.integers(1, 4)):
        what = rng.integers(8)
        if what < 3 and args:
            at = int(rng.integers(len(args)))
            args[at] = replaced(rng, args[at])
        elif what == 3 and args:
            args.pop(int(rng.integers(len(args))))
        elif what == 4:
            args.append(NUMBERS[rng.integers(len(NUMBERS))])
        elif what == 5 and kwargs:
            name = sorted(kwargs)[rng.integers(len(kwargs))]
            kwargs[name] = replaced(rng, kwargs[name])
        else:
            kwargs[KEYWORDS[rng.integers(len(KEYWORDS))]] = NUMBERS[rng.integers(len(NUMBERS))]
    return args, kwargs


def replaced(rng: np.random.Generator, x: Any) -> Any:
    """Draw another argument, mostly of the kind of this one."""
    if isinstance(x, list | tuple) and any(isinstance(part, np.ndarray) for part in x):
        parts = list(x)
        parts[int(rng.integers(len(parts)))] = array(rng)
        return type(x)(parts)
    if isinstance(x, np.ndarray) and x.dtype.kind == "f" and rng.integers(8):
        return array(rng)
    return NUMBERS[rng.integers(len(NUMBERS))]


def places(x: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Give the paths to arrays of floats in nested lists, tuples and dicts."""
    if isinstance(x, np.ndarray) and x.dtype.kind == "f":
        yield path
    elif isinstance(x, list | tuple):
        for i, part in enumerate(x):
            yield from places(part, (*path, i))
    elif isinstance(x, dict):
        for key, part in x.items():
            yield from places(part, (*path, key))


def traced(x: Any, chosen: set[tuple[Any, ...]], tape: Tape, path: tuple[Any, ...] = ()) -> Any:
    if path in chosen:
        return variable(tape, tape.add_input(x), x)
    if isinstance(x, list | tuple):
        return type(x)([traced(part, chosen, tape, (*path, i)) for i, part in enumerate(x)])
    if isinstance(x, dict):
        return {key: traced(part, chosen, tape, (*path, key)) for key, part in x.items()}
    return x


def outcome(call: Callable[..., Any], args: list[Any], kwargs: dict[str, Any]) -> tuple[Any, Exception | None]:
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        try:
            return call(*args, **kwargs), None
        except Exception as error:
            return None, error


def difference(found: Any, wanted: Any, values: bool = True, rough: bool = False) -> str:
    """Say how a result differs from NumPy's, or nothing."""
    if isinstance(wanted, list | tuple):
        if isinstance(wanted, list) != isinstance(found, list) or not isinstance(found, list | tuple):
            return f"{type(found).__name__} for {type(wanted).__name__}"
        if len(found) != len(wanted):
            return f"{len(found)} results for {len(wanted)}"
        return next((d for d in map(difference, found, wanted) if d), "")
    if not isinstance(wanted, np.ndarray | np.generic):
        return (
            ""
            if not isinstance(found, Variable | ComplexValue) and type(found) is type(wanted) and found == wanted
            else "no number"
        )
    plain = found._value if isinstance(found, Variable) else found
    if isinstance(found, ComplexValue):
        plain = primal_array(found) if found.ndim else primal_array(found)[()]
    if np.shape(plain) != wanted.shape:
        return f"shape {np.shape(plain)} for {wanted.shape}"
    if values is False:
        return ""
    if plain.dtype != wanted.dtype:
        return f"dtype {plain.dtype} for {wanted.dtype}"
    if isinstance(wanted, np.generic) != isinstance(plain, np.generic):
        return f"{type(plain).__name__} for {type(wanted).__name__}"
    tolerance = 1e-5 if rough or wanted.dtype == np.float32 else 1e-12
    same = (
        np.allclose(plain, wanted, tolerance, tolerance, equal_nan=True)
        if wanted.dtype.kind in "fc"
        else np.array_equal(plain, wanted)
    )
    return "" if same else f"{plain} for {wanted}"


def _has_float32(x: Any) -> bool:
    if isinstance(x, np.ndarray):
        return x.dtype == np.float32
    return isinstance(x, list | tuple | dict) and any(map(_has_float32, x.values() if isinstance(x, dict) else x))


def verdict(entry: Entry, args: list[Any], kwargs: dict[str, Any], chosen: set[tuple[Any, ...]]) -> str:
    """Say what is wrong with a call on traced values, or nothing."""
    # Real eigenvalues come as complex numbers from NumPy 2.5 on.
    plain = entry.plain if entry.plain is not None and entry.name.startswith("numpy.") else entry.target
    wanted, expected = outcome(plain, args, kwargs)
    tape = Tape()
    try:
        found, error = outcome(entry.target, *traced([args, kwargs], chosen, tape))
        if isinstance(found, Variable):
            found.check_fresh()
    finally:
        tape.close()
    if isinstance(wanted, np.ndarray | np.generic) and wanted.dtype.kind not in "fiubc":
        return "" if error is not None else f"{found} for a result of dtype {wanted.dtype}"
    if expected is None and error is None:
        return difference(found, wanted, entry.target is not np.empty_like, _has_float32([args, kwargs]))
    if error is None:
        return f"{found!r} where NumPy raises {type(expected).__name__}: {expected}"
    if expected is None:
        return "" if isinstance(error, HessianError) else f"{type(error).__name__}({error}) where NumPy has a result"
    builtin = (
        AttributeError,
        KeyError,
        AssertionError,
        RecursionError,
        NameError,
        ZeroDivisionError,
        UnboundLocalError,
    )
    if isinstance(error, builtin) and not isinstance(expected, type(error)):
        return f"{type(error).__name__}({error}) where NumPy raises {type(expected).__name__}({expected})"
    return ""


@pytest.mark.parametrize("entry", DISPATCH.values(), ids=lambda entry: entry.name)
def test_calls_are_those_of_numpy(entry: Entry) -> None:
    rng = np.random.default_rng([7, *entry.name.encode()])
    wrong: list[str] = []
    for _ in range(CALLS):
        args, kwargs = varied(rng, entry)
        if "where" in kwargs and entry.name.startswith("scipy."):
            continue  # SciPy's own functions write outside of their memory there, and the process is aborted
        at = list(places([args, kwargs]))
        if not at:
            continue
        chosen = {at[rng.integers(len(at))]} if rng.integers(3) else set(at)
        text = verdict(entry, args, kwargs, chosen)
        if text:
            wrong.append(f"{entry.name}(*{args}, **{kwargs}), traced {sorted(chosen, key=str)}: {text}")
    assert not wrong, f"{len(wrong)} calls\n" + "\n".join(wrong[:12])
