"""The public names: which there are, which page each has, and which are aliases. Needs no Sphinx."""

from __future__ import annotations

import ast
import importlib
import inspect
import itertools
import pkgutil
import sys
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

import hessian
from docs.tools.groups import GROUPS

INSIDE = ("hessian.cli", "hessian.__main__", "hessian.commands")
"""Modules that are run and not imported."""
SAME = {"hessian.special": "hessian.scipy.special"}
"""Rooms with two names; the second is canonical."""


@dataclass
class Name:
    """One public name: its canonical path, what it is, the page that documents it, and its other paths."""

    path: str
    value: Any
    kind: str
    page: str
    aliases: list[str] = field(default_factory=list)

    @property
    def summary(self) -> str:
        """First paragraph of its docstring, on one line."""
        if self.kind == "data":
            return summary_of_data(self.path, self.value)
        text = inspect.getdoc(self.value) or ""
        return " ".join(text.strip().split("\n\n")[0].split())

    @property
    def own(self) -> bool:
        """Whether it is ours and not handed on from SciPy."""
        module = self.value.__name__ if self.kind == "module" else getattr(self.value, "__module__", "")
        return self.kind == "data" or str(module).startswith("hessian")


def rooms() -> dict[str, ModuleType]:
    """The public modules: those that say what is public in them, in the order of the reference."""
    found = {"hessian": hessian, "hessian.scipy": importlib.import_module("hessian.scipy")}
    for info in pkgutil.walk_packages(hessian.__path__, "hessian."):
        if info.name.startswith(INSIDE) or info.name in SAME:
            continue
        module = importlib.import_module(info.name)
        if hasattr(module, "__all__"):
            found[info.name] = module
    order = {name: position for position, name in enumerate(GROUPS)}
    return dict(sorted(found.items(), key=lambda item: (order.get(item[0], len(order)), item[0])))


def grouped(room: str, module: ModuleType) -> dict[str, list[str]]:
    """Names of a room by purpose."""
    groups = {title: names.split() for title, names in GROUPS.get(room, {}).items()}
    return groups or {"": list(getattr(module, "__all__", []))}


def kind_of(value: Any) -> str:
    """What a public value is, in words of Sphinx's Python domain."""
    if isinstance(value, ModuleType):
        return "module"
    if isinstance(value, type):
        return "exception" if issubclass(value, BaseException) else "class"
    return "function" if callable(value) and hasattr(value, "__name__") else "data"


def summary_of_data(path: str, value: Any) -> str:
    """What the text below an assignment says of a constant, wherever in the package that is."""
    name = path.rpartition(".")[2]
    if (original := getattr(value, "original", None)) is not None:
        calls = [
            call for call in ("pdf", "pmf", "logpdf", "logpmf", "cdf", "logcdf", "sf", "logsf") if hasattr(value, call)
        ]
        shown = ", ".join(f"``{call}``" for call in calls)
        return f"Twin of :data:`scipy.stats.{getattr(original, 'name', name)}`: {shown} of traced values."
    for module in [module for key, module in sys.modules.items() if key.startswith("hessian.") and module]:
        if vars(module).get(name) is not value or not getattr(module, "__file__", None):
            continue
        body = ast.parse(Path(module.__file__).read_text(encoding="utf-8")).body
        for node, after in itertools.pairwise(body):
            targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
            is_it = any(isinstance(target, ast.Name) and target.id == name for target in targets)
            if is_it and isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant):
                return " ".join(inspect.cleandoc(str(after.value.value)).split("\n\n")[0].split())
    return "Version of the package." if path == "hessian.__version__" else ""


def collect() -> list[Name]:
    """Every public name once, with its aliases. The first room that has it gives the canonical path."""
    found: dict[Any, Name] = {}
    modules = rooms()
    for room, module in modules.items():
        for title_names in grouped(room, module).values():
            for name in title_names:
                value, path = getattr(module, name), f"{room}.{name}"
                kind = kind_of(value)
                if kind == "module":
                    key, path = value.__name__, SAME.get(value.__name__, value.__name__)
                    key = path
                else:
                    key = id(value) if kind != "data" or not isinstance(value, str | int) else path
                if key in found:
                    if path != found[key].path:
                        found[key].aliases.append(path)
                    continue
                found[key] = Name(path, value, kind, "")
    taken: set[str] = set()
    for name in found.values():
        name.page = page_of(name, modules, taken)
    return list(found.values())


def page_of(name: Name, modules: dict[str, ModuleType], taken: set[str]) -> str:
    """Page that documents a name: its own, but the room's for constants and for what mirrors SciPy. Files that differ only in the case of
    letters are one file on some systems: there classes say so."""
    room = name.path.rpartition(".")[0]
    if name.kind == "module":
        return f"reference/{name.path}"
    if name.kind == "data" or room.startswith(("hessian.scipy", "hessian.errors")):
        return f"reference/{room}"
    twins = [other for other in modules[room].__all__ if other.lower() == name.path.rpartition(".")[2].lower()]
    return f"reference/{name.path}-class" if len(twins) > 1 and name.kind == "class" else f"reference/{name.path}"
