"""Functions of several arguments as functions of those that are differentiated."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

from hessian.errors import OptionError, message
from hessian.programs.runtime.functions import programs_of
from hessian.tape.trace import check_argnums, replaced

ArgNums = int | tuple[int, ...]


def curried(f: Any, argnums: Any, where: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Return what makes a function look like f; a point in the place of f, or of ``argnums``, is told here, before it is lost."""
    if not callable(f):
        what = f"the first argument is {type(f).__name__}, not a function"
        raise OptionError(message(where, what, fix=f"Pass the function, and call the result: hs.{where}(f)(x)"))
    if not isinstance(argnums, int | tuple | list):
        why, fix = f"What hs.{where} returns is a function, and x is its argument", f"Write hs.{where}(f)(x)"
        raise OptionError(message(where, f"argnums is {argnums!r}", why, fix))
    return functools.wraps(f)


def selected(
    f: Callable[..., Any], args: Sequence[Any], argnums: ArgNums, where: str
) -> tuple[Callable[..., Any], Any, tuple[Any, ...]]:
    """Return f as a function of the arguments numbered ``argnums`` and the rest, those arguments, and the rest.

    With a tuple of numbers the first argument is a tuple, and so are derivatives and directions.
    """
    if type(argnums) is int and argnums == 0:
        return f, args[0], tuple(args[1:])
    numbers = check_argnums(argnums, len(args), where)
    single = isinstance(argnums, int)

    def make(plain: Callable[..., Any]) -> Callable[..., Any]:
        def call(chosen: Any, *rest: Any) -> Any:
            others = iter(rest)
            places = [None if i in numbers else next(others) for i in range(len(numbers) + len(rest))]
            return plain(*replaced(places, argnums, numbers, chosen))

        return call

    name = ("selected", numbers, single)
    f = programs_of(f).derived(name, make, user_results=True)
    chosen = args[numbers[0]] if single else tuple([args[i] for i in numbers])
    return f, chosen, tuple([x for i, x in enumerate(args) if i not in numbers])
