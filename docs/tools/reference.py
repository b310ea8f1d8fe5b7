"""Pages of the reference, written from the public names: one for each room, one for each name."""

from __future__ import annotations

import inspect
from types import ModuleType

from docs.tools.groups import INSIDE, TITLES
from docs.tools.names import SAME, Name, collect, grouped, rooms

ROLES = {"function": "func", "class": "class", "exception": "exc", "data": "data", "module": "mod"}


def pages() -> dict[str, str]:
    """Text of every page of the reference, by the name of its file without suffix."""
    names, modules = collect(), rooms()
    by_path = {name.path: name for name in names} | {alias: name for name in names for alias in name.aliases}
    found = {"reference/index": _index(modules)}
    for room, module in modules.items():
        found[f"reference/{room}"] = _room(room, module, by_path)
    for name in names:
        if name.page not in found:
            found[name.page] = _page(name)
    return found


def _heading(text: str, line: str = "=") -> str:
    return f"{text}\n{line * len(text)}\n\n"


def _toctree(entries: list[str], options: str = "hidden") -> str:
    listed = "\n".join(f"   {entry}" for entry in entries)
    return f".. toctree::\n   :{options}:\n\n{listed}\n\n"


def _table(rows: list[tuple[str, str]]) -> str:
    """A table without heads: what, and what it does."""
    lines = [".. list-table::", "   :class: names", "   :widths: 35 65", ""]
    for left, right in rows:
        lines += [f"   * - {left}", f"     - {right}"]
    return "\n".join(lines) + "\n\n"


def _index(modules: dict[str, ModuleType]) -> str:
    text = _heading("Reference")
    text += "Every public name has one page. ``hs`` is ``import hessian as hs``; rooms are loaded when first used.\n\n"
    text += _table([(f":mod:`{room}`", TITLES[room]) for room in modules if room in TITLES])
    text += "What NumPy and SciPy functions do on traced values, with conventions and accuracy: :doc:`operations`"
    text += "; what is missing, and why: :doc:`/coverage`.\n\n"
    return text + _toctree(
        [*(f"{room} <{room}>" for room in modules if not room.startswith("hessian.scipy.")), "operations", "/coverage"]
    )


def _room(room: str, module: ModuleType, by_path: dict[str, Name]) -> str:
    """Page of a module: its names by purpose; constants, and what mirrors SciPy, are documented here."""
    text = _heading(f"{room}: {TITLES[room]}" if room in TITLES else room)
    text += f".. module:: {room}\n\n{_opening(module)}\n\n"
    pages, here = [], []
    if room == "hessian.scipy":
        return text + _mirror()
    for title, members in grouped(room, module).items():
        text += _heading(title, "-") if title else ""
        rows = []
        for member in members:
            name = by_path[SAME.get(f"{room}.{member}", f"{room}.{member}")]
            rows.append((_link(name, member), _summary(name, room)))
            if name.page == f"reference/{room}":
                here.append(name)
            elif name.path == f"{room}.{member}" and name.kind != "module":
                pages.append(f"{member} <{name.page.removeprefix('reference/')}>")
        if not all(name.kind == "data" for name in here) or not room.startswith("hessian.scipy"):
            text += _table(rows)
    text += "".join(_described(name) for name in here)
    return text + (_toctree(pages) if pages else "")


def _mirror() -> str:
    """The modules of SciPy that have twins."""
    inside = [room for room in rooms() if room.startswith("hessian.scipy.")]
    text = (
        "What is not listed in a room is SciPy's own object: ``hs.scipy.linalg.svdvals is scipy.linalg.svdvals``.\n\n"
    )
    rows = [(f":mod:`{room}`", ", ".join(f"``{name}``" for name in rooms()[room].__all__)) for room in inside]
    return text + _table(rows) + _toctree(inside)


def _opening(module: ModuleType) -> str:
    return (inspect.getdoc(module) or "").strip()


def _link(name: Name, shown: str) -> str:
    return f":{ROLES[name.kind]}:`{shown} <{name.path}>`"


def _summary(name: Name, room: str) -> str:
    alias = (
        f"Documented as :{ROLES[name.kind]}:`{name.path}`. "
        if name.path.rpartition(".")[0] != room and name.kind != "module"
        else ""
    )
    return (alias + name.summary) or " "


def _described(name: Name) -> str:
    """What a room's page says about a name that has no page of its own."""
    room, _, last = name.path.rpartition(".")
    if name.kind == "data" or not name.own:
        kind = "data" if name.kind == "data" else "function"
        return f".. py:{kind}:: {name.path}\n   :no-contents-entry:\n\n   {name.summary or name.path}\n\n"
    return f".. currentmodule:: {room}\n\n.. auto{name.kind}:: {last}\n\n"


def _page(name: Name) -> str:
    """Page of one function or class."""
    room, _, last = name.path.rpartition(".")
    text = _heading(name.path) + f".. currentmodule:: {room}\n\n.. auto{name.kind}:: {last}{_signature(name)}\n\n"
    if name.aliases:
        text += "Also named " + ", ".join(f"``{alias}``" for alias in name.aliases) + ".\n\n"
    if name.kind == "class":
        text += "".join(_member(last, member, value) for member, value in members(name.value))
    return text


def _signature(name: Name) -> str:
    """How a class is called, by its ``__init__``: Sphinx would ask the ``__new__`` of SciPy's operators, which takes anything."""
    if name.kind != "class" or not getattr(name.value.__init__, "__module__", "").startswith("hessian"):
        return ""
    parameters = list(inspect.signature(name.value.__init__).parameters.values())[1:]
    plain = [parameter.replace(annotation=inspect.Parameter.empty) for parameter in parameters]
    return str(inspect.Signature(plain)) if "<" not in str(inspect.Signature(plain)) else ""


def members(cls: type) -> list[tuple[str, object]]:
    """Public members of a class that the package wrote and documented, properties first."""
    found = []
    for member in dir(cls):
        home = next((base for base in cls.__mro__ if member in vars(base)), object)
        value = vars(home).get(member)
        inside = home.__module__.startswith(("hessian.operators.", "hessian.optimize.")) and member in INSIDE
        if member.startswith("_") or inside or not home.__module__.startswith("hessian"):
            continue
        if not (inspect.getdoc(value) if callable(value) or isinstance(value, property) else None):
            continue
        found.append((member, value))
    return sorted(found, key=lambda item: not isinstance(item[1], property))


def _member(cls: str, member: str, value: object) -> str:
    directive = "autoproperty" if isinstance(value, property) else "automethod"
    return f".. {directive}:: {cls}.{member}\n\n"
