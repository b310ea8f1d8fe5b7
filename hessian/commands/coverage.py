"""The coverage page: every public callable of NumPy and scipy.special, and the twins of SciPy, as a document."""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy
import scipy.special

from hessian.rules.catalogue import accuracy, kind, remarks
from hessian.rules.dispatch import DISPATCH
from hessian.rules.spec import Nondifferentiable
from hessian.rules.twins import TWINS
from hessian.rules.unsupported import UNSUPPORTED, of_special
from hessian.tape.creation import BRACKETS, CONVERTING, CREATING

_MODULES = {"numpy": np, "numpy.linalg": np.linalg, "numpy.fft": np.fft, "scipy.special": scipy.special}
STATES = ("differentiable", "no derivative", "twin", "not supported")
_HEAD = f"""# What works on traced values

Written by `python -m hessian operations --markdown` with NumPy {np.__version__} and SciPy {scipy.__version__}; a test compares.

- *Differentiable*: value, gradient, products and all higher orders, by the kind of rule that `CONTRIBUTING.md` tells; what holds where no
  derivative exists; for elementwise rules the largest relative errors of value, first and second partials against mpmath, and the
  number of points they were measured at.
- *No derivative*: NumPy's own result, with a zero derivative wherever there is one.
- *Twin*: `hessian.scipy` has it under SciPy's name.
- *Not supported*: why, and what to write instead.
"""


def coverage() -> str:
    """Return the coverage page in Markdown."""
    parts, counts = [], []
    for module, room in _MODULES.items():
        rows = [(name, *_verdict(f"{module}.{name}", getattr(room, name))) for name in _names(module, room)]
        there = sum(status != "not supported" for _, status, _ in rows)
        counts.append(f"| `{module}` | {len(rows)} | {there} |")
        lines = [f"| `{name}` | {status} | {_cell(text)} |" for name, status, text in rows]
        parts += [
            f"## {module}",
            "",
            "| name | on traced values | rule, conventions, errors |",
            "|---|---|---|",
            *lines,
            "",
        ]
    twins = [f"- `hessian.{module}`: {', '.join(f'`{n}`' for n in names)}" for module, names in sorted(TWINS.items())]
    table = ["| namespace | public callables | of them work |", "|---|---|---|", *counts]
    return "\n".join([_HEAD, *table, "", *parts, "## Twins", "", *twins, ""])


def _cell(text: str) -> str:
    """Return a text as a cell of a table, whose bars are the ends of cells."""
    return text.replace("|", "\\|")


def verdicts() -> list[dict[str, str]]:
    """Return one record per public callable: its name, module and state, and what there is to say of it; twins under their own names."""
    rows = [
        {"name": f"{module}.{name}", "module": module, "state": state, "remarks": text}
        for module, room in _MODULES.items()
        for name in _names(module, room)
        for state, text in [_verdict(f"{module}.{name}", getattr(room, name))]
    ]
    seen = {row["name"] for row in rows}
    others = {
        f"{module}.{name}": (module, "twin", f"`hessian.{module}.{name}`") for module in TWINS for name in TWINS[module]
    }
    for entry in DISPATCH.values():
        module = entry.name.rpartition(".")[0]
        others.setdefault(
            entry.name, (module, "differentiable", "; ".join(filter(None, [kind(entry), remarks(entry)])))
        )
    rows += [
        {"name": name, "module": module, "state": state, "remarks": text}
        for name, (module, state, text) in others.items()
        if name not in seen
    ]
    return sorted(rows, key=lambda row: row["name"])


def _names(module: str, room: Any) -> list[str]:
    """Return the public callables of a module that are no types, and what is used with brackets."""
    names = [
        name for name in room.__all__ if callable(getattr(room, name)) and not isinstance(getattr(room, name), type)
    ]
    return sorted({*names, *(BRACKETS if module == "numpy" else ())})


def _verdict(name: str, target: Any) -> tuple[str, str]:
    """Return what a callable is on traced values, and what there is to say of it."""
    module, _, last = name.rpartition(".")
    entry = DISPATCH.get(target) if callable(target) else None
    if entry is not None:
        has_derivative = not (
            isinstance(entry.row, Nondifferentiable) or entry.untested.startswith(("it asks", "what two"))
        )
        said = [kind(entry), remarks(entry), accuracy(entry)] if has_derivative else []
        return "differentiable" if has_derivative else "no derivative", "; ".join(filter(None, said))
    if last in TWINS.get(module, ()):
        return "twin", f"`hessian.{name}`"
    if module == "numpy" and last in (*CREATING, *CONVERTING, *BRACKETS):
        return (
            "no derivative" if last == "isscalar" else "differentiable",
            "taken in lines of the function itself, written `np." + last + "`",
        )
    reason, instead = UNSUPPORTED.get(name) or of_special(last)
    return "not supported" if instead else "differentiable", f"{reason}: {instead}" if instead else reason
