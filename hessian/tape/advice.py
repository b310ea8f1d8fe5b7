"""Where a line of user code loses a derivative, and what to write instead."""

from __future__ import annotations

import ast
import dis
import itertools
import sys
from typing import Any, NoReturn

import numpy as np

from hessian.errors import LeavesTapeError, MissingRuleError, message
from hessian.rules.dispatch import public_name
from hessian.rules.lines import in_pandas, scipy_functions, source_lines, user_frame, user_line
from hessian.rules.spec import MISSING, Operation, Traced
from hessian.rules.templates import declared, is_complex, template_of, template_of_running
from hessian.rules.twins import twin_of
from hessian.rules.unsupported import UNSUPPORTED

#: Functions of math that NumPy has, with the number of arguments up to which they mean the same.
_MATH = {
    **dict.fromkeys(
        ("sin", "cos", "tan", "sinh", "cosh", "tanh", "asin", "acos", "atan", "asinh", "acosh", "atanh"), 1
    ),
    **dict.fromkeys(
        ("exp", "exp2", "expm1", "log", "log2", "log10", "log1p", "sqrt", "cbrt", "fabs", "degrees", "radians"), 1
    ),
    **dict.fromkeys(("floor", "ceil", "trunc", "prod", "isnan", "isinf", "isfinite"), 1),
    **dict.fromkeys(("atan2", "hypot", "pow", "fmod"), 2),
}
_OTHER_NAMES = {"math.fsum": "np.sum", "math.erf": "scipy.special.erf", "math.erfc": "scipy.special.erfc"}
_OTHER_NAMES |= {"math.gamma": "scipy.special.gamma", "math.lgamma": "scipy.special.gammaln"}
_CONVERSIONS = ("float", "int", "complex", "np.float64", "np.float32", "numpy.float64", "numpy.float32")
_DOORS = tuple(f"hessian.tape.{module}" for module in ("advice", "array_methods", "variable", "creation"))
"""Modules through which a traced value is asked for plain numbers."""
_MAKERS = ("array", "asarray", "asanyarray", "ascontiguousarray", "asfortranarray")


def _running(frame: Any) -> tuple[str, str]:
    """Return the name of the instruction a frame is at, and the source it belongs to."""
    if frame is None:
        return "", ""
    code, at = frame.f_code, frame.f_lasti
    line, last, start, stop = next(itertools.islice(code.co_positions(), at // 2, None), (None,) * 4)
    name = dis.opname[code.co_code[at]]
    if line is None or last is None or start is None or stop is None:
        return name, ""
    lines = [text.encode() for text in source_lines(code.co_filename)[line - 1 : last]]
    if not lines:
        return name, ""
    lines[-1] = lines[-1][:stop]
    lines[0] = lines[0][start:]
    return name, b"".join(lines).decode(errors="replace")


def _advice(instruction: str, source: str) -> str:
    """Return what to write instead of an instruction that makes plain numbers, where that is known."""
    if instruction in ("STORE_SUBSCR", "STORE_SLICE"):
        return "Assign into np.zeros_like(x), or a copy that the function itself makes, np.array(y, dtype=float)"
    if instruction == "BINARY_OP":
        return "Write y = y + x instead of y += x for a plain array y"
    try:
        call = ast.parse(source.strip(), mode="eval").body
    except SyntaxError:
        return ""
    return _advice_on_call(call) if isinstance(call, ast.Call) else ""


def _advice_on_call(call: ast.Call) -> str:
    name, method = ast.unparse(call.func), getattr(call.func, "attr", "")
    first = call.args[0] if call.args else None
    if name.startswith("math."):
        known = _MATH.get(method, 0) >= len(call.args) > 0
        other = f"np.{method}" if known else _OTHER_NAMES.get(name)
        return f"Use {other} rather than {name}" if other else ""
    if name.startswith(("np.int", "np.uint", "numpy.int", "numpy.uint")) or name == "np.bool_":
        return f"Use x.astype({name}), where no derivative is meant"
    if name in _CONVERSIONS:
        return "Use x itself, without the conversion to a Python number"
    maker = name.rpartition(".")[2]
    if maker in _MAKERS and name in (maker, f"np.{maker}", f"numpy.{maker}"):
        if isinstance(first, ast.List | ast.Tuple | ast.ListComp):
            return "Use np.stack, whose parts have one shape"
        return "Use x itself: it already is an array"
    if name.startswith(("np.", "numpy.", "scipy.", "sc.")) and isinstance(first, ast.List | ast.Tuple | ast.ListComp):
        return f"Use {name}(np.stack(...)): NumPy takes a list of traced numbers for objects"
    if method == "dot" and name not in ("np.dot", "numpy.dot"):
        return "Use A @ x rather than A.dot(x)"
    return {"item": "Use x[i] without .item()", "tolist": "Use list(x)"}.get(method, "") if first is None else ""


def _instead_of_solver() -> str:
    """Return what to write instead of a solver or an estimator of this library that asks for plain numbers, if one does."""
    frame: Any = sys._getframe(1)
    while frame is not None and frame.f_globals.get("__name__", "") in _DOORS:
        frame = frame.f_back
    room = frame.f_globals.get("__name__", "").split(".")[:2] if frame is not None else []
    if room == ["hessian", "optimize"]:
        return "Use hs.argmin or hs.root, whose solutions have derivatives in their args"
    if room in (["hessian", "curvature"], ["hessian", "statistics"], ["hessian", "nn"]):
        return f"Call hs.{room[1]} outside of what is differentiated: it computes with plain numbers"
    return ""


def _instead_of_scipy() -> tuple[str, str]:
    """Return what to write instead of the function of SciPy, or of pandas, that is running, if any is, and a declaration of its rule."""
    called = scipy_functions()
    twin = next(filter(None, map(twin_of, called)), "")
    if twin:
        return f"Use {twin}, which takes traced values", ""
    if in_pandas():
        return (
            "Use the numbers of the table, df.to_numpy() @ x for df @ x: pandas makes plain arrays of what it is given",
            "",
        )
    if not called:
        return "", ""
    # Of a method that users do not call by its name its class comes next.
    named = [name for name in called[:2] if name.rpartition(".")[2][0].isalpha()]
    name = named[0] if named else called[0].rpartition(".")[0]
    return f"Write what {name} computes in NumPy: it takes plain arrays", template_of_running(name)


def leaves_tape(how: str, fix: str = "") -> NoReturn:
    """Raise the error for a traced value that was about to become plain numbers, with advice read off what is running."""
    solver = _instead_of_solver()
    scipy, template = ("", "") if solver else _instead_of_scipy()
    text = message(
        how,
        f"a traced value would become plain numbers at {user_line()}",
        "its derivative would be lost",
        solver or scipy or _advice(*_running(user_frame())) or fix or "Apply np functions to x directly",
    )
    raise LeavesTapeError(text + declared(template))


def missing_rule(target: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> NoReturn:
    """Raise the error for an operation without a derivative rule."""
    name, given = public_name(target), (*args, *kwargs.values())
    at = next((i for i, x in enumerate(given) if isinstance(x, Traced)), 0)
    shape = getattr(given[at], "shape", ()) if given else ()
    twin, (scipy, template) = twin_of(name), _instead_of_scipy()
    # What SciPy calls inside of the function that a user has called is not what to write about.
    why, line = ("", "") if scipy else UNSUPPORTED.get(name, ("", ""))
    if is_complex(target):
        template = ""
    elif not why and not scipy:
        template = template_of(target, args, kwargs)
    line = f"Write {line}" if line.startswith("`") else line
    other = "" if why else "write it in supported operations or declare its derivative with hs.custom_rule"
    raise MissingRuleError(
        message(
            name,
            f"no derivative rule, called with a traced value of shape {shape} as argument {at} at {user_line()}",
            why or "its derivative would be lost",
            "; or ".join(filter(None, [twin and f"Use {twin}", scipy or line, other])),
        )
        + declared(template)
    )


def reaches_rule(operation: Operation, carrying: list[bool]) -> bool:
    """Tell whether an operand that carries a derivative stands where the operation has one; raise if it is missing."""
    if not operation.differentiable:
        return False
    states = operation.states or (None,) * len(carrying)
    reached = [state for carries, state in zip(carrying, states, strict=True) if carries]
    if any(state is MISSING for state in reached):
        position = next(i for i, state in enumerate(states) if carrying[i] and state is MISSING)
        what = f"the derivative in argument {position} has no rule, at {user_line()}"
        fix = "Keep that argument constant, or declare all partials with hs.custom_rule"
        text = message(operation.name, what, "it would be lost", fix)
        function = operation.function
        raise MissingRuleError(text + declared(template_of(function) if isinstance(function, np.ufunc) else ""))
    return any(state is None for state in reached)
