"""Straight-line code: calls on named values, as Python source that is compiled or as a list of calls that is walked.

A program is one function, ``bind(K, R, T, P)``: it takes the constants and the arenas of a frame, names every view and bound
method that the sections need, and returns the sections, and the inputs it keeps. Python's compiler takes some 30 us a line, and
more than in proportion where a function has many free variables: what is long is walked, call by call, at the same speed as
compiled lines within some 5 %.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hessian.programs.compilation import paused_collection

LONG = 2000
"""Calls from which on code is walked instead of compiled."""


Name = str
"""The name of a value. Words that are arguments have names as well: text in a call is always a name."""


class Method:
    """Calls a method of its first argument."""

    __slots__ = ("name",)

    def __init__(self, name: str) -> None:
        self.name = name

    def __call__(self, x: Any, *args: Any) -> Any:
        return getattr(x, self.name)(*args)


class Attribute:
    """Takes an attribute of its argument."""

    __slots__ = ("name",)

    def __init__(self, name: str) -> None:
        self.name = name

    def __call__(self, x: Any) -> Any:
        return getattr(x, self.name)


class Item:
    """Indexes its first argument with the second, as it is written."""

    def __call__(self, x: Any, index: Any) -> Any:
        return x[index]


ITEM = Item()
DOT, SHAPED, FILL, COPY, TRANSPOSED = map(Method, ("dot", "reshape", "fill", "copy", "transpose"))
DOT_OF, REVERSED = Attribute("dot"), Attribute("T")


class Call:
    """One line: what is called on what, and the name of the result.

    Attributes
    ----------
    target : Name or None
    function : Name, Method, Attribute or Item
        The name of a function, or how to get at a part of the first argument.
    args : tuple
        Names, and numbers, flags and indices as they are.
    keywords : dict or None
        Arguments that are given by name.
    """

    __slots__ = ("args", "function", "keywords", "target")

    def __init__(
        self, target: Name | None, function: Any, args: tuple[Any, ...], keywords: dict[str, Any] | None = None
    ) -> None:
        self.target = target
        self.function = function
        self.args = args
        self.keywords = keywords

    def __str__(self) -> str:
        function, args = self.function, [_written(arg) for arg in self.args]
        args += [f"{name}={_written(arg)}" for name, arg in (self.keywords or {}).items()]
        if isinstance(function, Item):
            line = f"{args[0]}[{_index(self.args[1])}]"
        elif isinstance(function, Attribute):
            line = f"{args[0]}.{function.name}"
        elif isinstance(function, Method):
            line = f"{args[0]}.{function.name}({', '.join(args[1:])})"
        else:
            line = f"{function}({', '.join(args)})"
        return line if self.target is None else f"{self.target} = {line}"

    def resolved(self, space: Mapping[str, Any]) -> tuple[Callable[..., Any], tuple[Any, ...]] | None:
        """Return the function and its arguments, or ``None`` if one of them is not there yet."""
        function = space.get(self.function) if type(self.function) is str else self.function
        if function is None or self.keywords:
            return None
        args = []
        for arg in self.args:
            if type(arg) is str:
                if arg not in space:
                    return None
                arg = space[arg]
            args.append(arg)
        return function, tuple(args)

    def run(self, space: dict[str, Any]) -> None:
        """Make the call with what the names stand for now."""
        function = space[self.function] if type(self.function) is str else self.function
        args = [space[arg] if type(arg) is str else arg for arg in self.args]
        keywords = self.keywords
        if keywords:
            given = {name: space[arg] if type(arg) is str else arg for name, arg in keywords.items()}
            value = function(*args, **given)
        else:
            value = function(*args)
        if self.target is not None:
            space[self.target] = value


@dataclass(frozen=True)
class Function:
    """A section as code."""

    name: str
    arguments: list[Name]
    calls: list[Call]
    results: list[Name]


@dataclass(frozen=True)
class Code:
    """The code of a program.

    Attributes
    ----------
    names : dict
        Functions and NumPy objects by name.
    binding : list of Call
        What is done once per frame.
    functions : list of Function
    bound : list of Name or None
    """

    names: dict[str, Any]
    binding: list[Call]
    functions: list[Function]
    bound: list[Name | None]

    def __len__(self) -> int:
        return len(self.binding) + sum(len(function.calls) for function in self.functions)

    def __str__(self) -> str:
        """Return the code as Python source."""
        lines = ["def bind(K, R, T, P=None):", *(f"    {call}" for call in self.binding)]
        for function in self.functions:
            lines.append(f"    def {function.name}({', '.join(function.arguments)}):")
            lines += [f"        {call}" for call in function.calls]
            lines.append(f"        return {_tuple(function.results)}")
        names = _tuple([function.name for function in self.functions])
        return "\n".join([*lines, f"    return {names}, {_tuple(self.bound)}", ""])

    def bind(self) -> Callable[..., Any]:
        """Return ``bind``, compiled unless the code is long."""
        if len(self) > LONG:
            return self._walked
        scope = dict(self.names)
        exec(compile(str(self), "<hessian program>", "exec"), scope)
        return scope["bind"]

    def _walked(self, K: Any, R: Any, T: Any, P: Any = None) -> Any:
        """Do what the text says without compiling it."""
        space: dict[str, Any] = {**self.names, "K": K, "R": R, "T": T, "P": P}
        with paused_collection():
            for call in self.binding:
                call.run(space)
            bound = tuple([None if name is None else space[name] for name in self.bound])
            # Names are unique: what a section names is unknown here.
            return tuple([_walk(function, space) for function in self.functions]), bound


def _walk(function: Function, space: dict[str, Any]) -> Callable[..., Any]:
    """Return a section as a function that makes its calls one after the other."""
    calls: list[Any] = []
    for call in function.calls:
        ready = call.resolved(space) if call.target is None else None
        calls.append((call.run, (space,)) if ready is None else ready)
    arguments, results = function.arguments, function.results
    passing = [*arguments, *(call.target for call in function.calls if call.target is not None)]

    def run(*inputs: Any) -> tuple[Any, ...]:
        space.update(zip(arguments, inputs, strict=True))
        for call, args in calls:
            call(*args)
        returned = tuple([space[name] for name in results])
        for name in passing:  # results belong to the caller, arguments as well
            del space[name]
        return returned

    return run


def is_written(value: Any) -> bool:
    """Tell whether a value can stand in code as it is."""
    if type(value) is tuple:
        return all(map(is_written, value))
    return type(value) in (int, bool, type(None)) or (type(value) is float and math.isfinite(value))


def _written(arg: Any) -> str:
    return arg if type(arg) is str else "..." if isinstance(arg, slice) else repr(arg)


def _index(index: Any) -> str:
    parts = []
    for part in index if isinstance(index, tuple) else (index,):
        if isinstance(part, slice):
            pieces = ["" if x is None else str(x) for x in (part.start, part.stop)]
            parts.append(":".join(pieces) + ("" if part.step is None else f":{part.step}"))
        else:
            parts.append("..." if part is Ellipsis else repr(part))
    return ", ".join(parts) or "()"


def _tuple(names: Sequence[Any]) -> str:
    return f"({''.join(f'{name}, ' for name in names)})"
