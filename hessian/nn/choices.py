"""Look-up of a named choice, with an error that suggests the nearest name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from difflib import get_close_matches
from typing import TypeVar

from hessian.errors import OptionError, message

Function = TypeVar("Function", bound=Callable[..., object])


def choose(kind: str, choice: str | Function, table: Mapping[str, Function]) -> Function:
    """Return ``table[choice]``, or ``choice`` itself where it is a function."""
    if callable(choice):
        return choice
    if isinstance(choice, str) and choice in table:
        return table[choice]
    near = get_close_matches(str(choice), table, n=1, cutoff=0.5)
    hint = f"Did you mean {near[0]!r}? " if near else ""
    raise OptionError(
        message("hessian.nn", f"unknown {kind} {choice!r}", fix=f"{hint}Pass a function or one of: {', '.join(table)}")
    )
