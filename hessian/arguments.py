"""What an argument may be: numbers in a range, one of several names, and the name that was meant.

Every check raises :class:`~hessian.errors.OptionError` naming who asks (``where``), the argument, what it is and what to pass.
"""

from __future__ import annotations

import functools
import inspect
import math
import numbers
import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any, TypeVar

import numpy as np

from hessian.errors import OptionError, message
from hessian.signatures import P, Y

Rng = int | np.random.Generator | None
"""Where random numbers come from: drawn afresh from a seed, from a generator as it stands, or unlike any before (``None``)."""


def is_real(item: Any) -> bool:
    """Tell whether an argument is a real number that is neither a flag nor NaN."""
    return isinstance(item, numbers.Real) and not isinstance(item, bool) and not math.isnan(item)


def is_whole(item: Any) -> bool:
    """Tell whether an argument is an integer that is not a flag."""
    return isinstance(item, numbers.Integral) and not isinstance(item, bool)


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a value must be, in words and as a test."""

    words: str
    admits: Callable[[Any], bool]


def at_least(least: int) -> Wanted:
    """Whole numbers from one on."""
    return Wanted(f"an integer >= {least}", lambda v: is_whole(v) and v >= least)


FINITE = Wanted("a finite number", lambda v: is_real(v) and math.isfinite(v))
POSITIVE = Wanted("a finite number > 0", lambda v: is_real(v) and 0 < v < math.inf)
NOT_NEGATIVE = Wanted("a finite number >= 0", lambda v: is_real(v) and 0 <= v < math.inf)
LIMIT = Wanted("a number > 0", lambda v: is_real(v) and v > 0)
BUDGET = Wanted("a number >= 0", lambda v: is_real(v) and v >= 0)
SHARE = Wanted("a number in [0, 1)", lambda v: is_real(v) and 0 <= v < 1)
INSIDE = Wanted("a number in (0, 1)", lambda v: is_real(v) and 0 < v < 1)
FLAG = Wanted("True or False", lambda v: isinstance(v, bool | np.bool_ | int) and v in (0, 1))
RNG = Wanted(
    "a seed >= 0, a numpy.random.Generator or None",
    lambda v: v is None or isinstance(v, np.random.Generator) or (is_whole(v) and v >= 0),
)
FILE = Wanted("the name of a file", lambda v: isinstance(v, str | os.PathLike))


def check(where: str, name: str, value: Any, wanted: Wanted, why: str = "", fix: str = "") -> None:
    """Refuse what is not wanted."""
    if not wanted.admits(value):
        raise OptionError(message(where, f"{name} is {value!r}, expected {wanted.words}", why, fix))


def whole_number(where: str, name: str, value: Any, least: int = 1, why: str = "") -> int:
    """Return a whole number that is large enough."""
    check(where, name, value, at_least(least), why)
    return int(value)


def real_number(where: str, name: str, value: Any, wanted: Wanted = FINITE, why: str = "", fix: str = "") -> float:
    """Return a number in a range."""
    check(where, name, value, wanted, why, fix)
    return float(value)


def as_generator(rng: Rng, where: str) -> np.random.Generator:
    """Return the generator that ``rng`` stands for: a new one for an integer, which is its seed, or for ``None``."""
    check(where, "rng", rng, RNG)
    return np.random.default_rng(rng)


def as_seed(rng: Rng, where: str) -> int:
    """Return the integer that ``rng`` stands for where the same numbers are to be drawn again: itself, or one that it draws."""
    generator = as_generator(rng, where)
    return int(rng) if isinstance(rng, numbers.Integral) else int(generator.integers(2**63))


def did_you_mean(name: Any, known: Iterable[str]) -> str:
    """Return the question that suggests the known name nearest in spelling; empty where none is near enough to be meant."""
    by_key = {_key(other): other for other in known}
    near = get_close_matches(_key(name), by_key, n=1, cutoff=0.65)
    return f"Did you mean {by_key[near[0]]!r}?" if near else ""


def _key(name: Any) -> str:
    """Return what is left of a name without case, dashes and the like."""
    return "".join(filter(str.isalnum, str(name).lower()))


def unknown(where: str, kind: str, name: Any, known: Iterable[str], fix: str = "", of: str = "") -> OptionError:
    """Build the error for a name that does not exist: all there are, and the one that was meant where one is near."""
    names = list(known)
    question = did_you_mean(name, names)
    what, all_of_them = f"there is no {kind} {name!r}{of}", f"There are {', '.join(names)}"
    return OptionError(message(where, what, all_of_them, question or fix))


def argument_names(function: Callable[..., Any]) -> tuple[str, ...]:
    """Return the names of the arguments that a function written in Python has."""
    code: Any = function.__code__  # type: ignore[attr-defined]
    names: tuple[str, ...] = code.co_varnames[: code.co_argcount + code.co_kwonlyargcount]
    return names


def only_known(function: Callable[P, Y]) -> Callable[P, Y]:
    """Let a function answer a keyword that it does not have by all it has, and the one that was meant."""
    names = argument_names(function)

    @functools.wraps(function)
    def call(*args: P.args, **kwargs: P.kwargs) -> Y:
        for name in kwargs:
            if name not in names:
                raise unknown(function.__name__, "argument", name, names)
        return function(*args, **kwargs)

    return call


Chosen = TypeVar("Chosen", bound=Callable[..., Any])


def choose(where: str, kind: str, choice: str | Chosen, table: Mapping[str, Chosen]) -> Chosen:
    """Return ``table[choice]``, or ``choice`` itself where it is a function."""
    if callable(choice):
        return choice
    if isinstance(choice, str) and choice in table:
        return table[choice]
    raise unknown(where, kind, choice, table, "Pass one of them, or a function")


def check_options(
    where: str, options: Any, known: Iterable[str], aliases: Mapping[str, str], of: str = ""
) -> dict[str, Any]:
    """Return options under their own names; refuse what is no mapping, and names that do not exist."""
    if options is None:
        return {}
    if not isinstance(options, Mapping):
        raise OptionError(
            message(where, f"options is {options!r}, not a dict", fix='Pass e.g. options={"maxiter": 50}')
        )
    names = list(known)
    for key in options:
        if aliases.get(key, key) not in names:
            raise unknown(where, "option", key, names, of=of)
    return {aliases.get(key, key): setting for key, setting in options.items()}


def first_nonfinite(name: str, array: np.ndarray) -> str:
    """Say which entry of an array that holds NaN or infinity is the first: ``b[3] is nan``."""
    bad = np.argwhere(~np.isfinite(array))
    index = tuple(map(int, bad[0]))
    place = f"{name}[{', '.join(map(str, index))}]" if index else name
    more = f", and {len(bad) - 1} more of {array.size} entries are not finite" if len(bad) > 1 else ""
    return f"{place} is {array[index]:g}{more}"


def takes(function: Callable[..., Any], count: int) -> bool:
    """Whether a function can be called with so many arguments by position; where it does not say, it is taken to."""
    try:
        inspect.signature(getattr(function, "plain_function", function)).bind(*(None,) * count)
    except TypeError:
        return False
    except ValueError:
        return True
    return True
