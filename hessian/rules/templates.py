"""Declarations to paste for functions that have no rule, with ``...`` where formulas go."""

from __future__ import annotations

import inspect
import keyword
import re
import sys
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from hessian.rules.dispatch import public_name
from hessian.rules.traced import holds_traced


def template_of(target: Any, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None) -> str:
    """Return what declares the derivative of a function as it is called."""
    if isinstance(target, np.ufunc) and target.signature is None:
        return template_of_ufunc(target, args)
    return template_of_arrays(target, _operands(target, args, kwargs or {}))


def template_of_running(name: str) -> str:
    """Return the declaration of a function of SciPy that is running; empty for what is no function, such as a class."""
    module, _, label = name.rpartition(".")
    target = getattr(sys.modules.get(module), label, None)
    operands = _operands_of_running(label) if inspect.isfunction(target) else []
    return template_of_arrays(target, operands) if operands else ""


def _operands_of_running(label: str) -> list[str]:
    """Return which arguments of the outermost function of a name that is running are arrays or hold traced values, if any are traced."""
    names: list[str] = []
    frame: Any = sys._getframe(1)
    while frame is not None:
        code, given = frame.f_code, frame.f_locals
        if code.co_name == label:
            arguments = [name for name in code.co_varnames[: code.co_argcount] if name in given]
            is_called = any(holds_traced(given[name]) for name in arguments)
            names = [name for name in arguments if _is_operand(given[name])] if is_called else names
        frame = frame.f_back
    return names


def template_of_ufunc(ufunc: np.ufunc, args: Sequence[Any] = ()) -> str:
    """Return the declaration of a function of elements: arguments that are whole numbers have no partial to be written."""
    names, label, call = _names_of_ufunc(ufunc), ufunc.__name__, expression(public_name(ufunc))
    if ufunc.nout > 1:
        label = f"{label}_0"
        call = f'lambda {", ".join(names)}: {call}({", ".join(names)})[0], name="{label}"'
    return template_of_elements(label, call, names, [_is_whole(x) for x in args[: len(names)]])


def template_of_elements(label: str, call: str, names: Sequence[str], is_whole: Sequence[bool] = ()) -> str:
    """Return the declaration of a function of elements with arguments of given names."""
    value = next(name for name in ("y", "value", "result") if name not in names)
    entry = f"lambda {', '.join([value, *names])}: ..."
    entries = ["hs.rules.MISSING" if skipped else entry for skipped in is_whole] + [entry] * (
        len(names) - len(is_whole)
    )
    return f"{label} = hs.custom_rule({call}, d1=[{', '.join(entries)}])"


def declared(template: str) -> str:
    """Return the end of a message: the declaration that gives a function its derivative."""
    words = "Declared with its formulas at the dots, it has a derivative (hs.check_rule tries it)"
    return f"\n{words}:\n{template}" if template else ""


def template_of_arrays(target: Any, operands: Sequence[str]) -> str:
    """Return the declaration of any other function, of the arguments that are arrays; others are passed by keyword."""
    name = public_name(target)
    label, call, known = name.rpartition(".")[2], expression(name), _parameters(target)
    if known[: len(operands)] != list(operands):
        given = ", ".join(f"{operand}={operand}" for operand in operands)
        call = f'lambda {", ".join(operands)}, **settings: {call}({given}, **settings), name="{label}"'
    bars = ", ".join("..." for _ in operands)
    return (
        f"{label} = hs.custom_rule(\n"
        f"    {call},\n"
        f"    pushforward=lambda y, xs, x_dots, **settings: ...,  # xs is [{', '.join(operands)}]\n"
        f"    pullback=lambda y, xs, y_bar, wanted, **settings: [{bars}],\n"
        "    batched=False,\n"
        ")"
    )


def expression(name: str) -> str:
    """Return a public name as code writes it."""
    return re.sub(r"^numpy\.", "np.", name)


def is_complex(target: Any) -> bool:
    """Tell whether a function is a ufunc whose values are complex, also of real numbers."""
    return isinstance(target, np.ufunc) and all(kinds.partition("->")[2][0] in "FDG" for kinds in target.types)


def _is_whole(x: Any) -> bool:
    return not holds_traced(x) and np.asarray(x).dtype.kind in "iub"


def _names_of_ufunc(ufunc: np.ufunc) -> list[str]:
    """Return the names of the arguments by the last signature on top of the docstring, SciPy's own below that of the machine."""
    head = "\n".join((ufunc.__doc__ or "").splitlines()[:8])
    for found in reversed(re.findall(rf"^ *{ufunc.__name__}\(([^)]*)\)?", head, re.MULTILINE)):
        names = re.findall(r"[A-Za-z_]\w*", re.sub(r"[\[=].*", "", found))[: ufunc.nin]
        if len(names) == ufunc.nin == len(set(names)):
            return [f"{name}_" if keyword.iskeyword(name) else name for name in names]
    return ["x"] if ufunc.nin == 1 else [f"x{i + 1}" for i in range(ufunc.nin)]


def _parameters(target: Any) -> list[str]:
    try:
        return list(inspect.signature(target).parameters)
    except (TypeError, ValueError):
        return []


def _operands(target: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> list[str]:
    """Return the names of the arguments that are arrays or hold traced values."""
    try:
        given = dict(inspect.signature(target).bind(*args, **kwargs).arguments)
    except (TypeError, ValueError):
        given = {f"x{i}": x for i, x in enumerate(args)} | dict(kwargs)
    return [name for name, x in given.items() if _is_operand(x)]


def _is_operand(x: Any) -> bool:
    return holds_traced(x) or isinstance(x, np.ndarray)
