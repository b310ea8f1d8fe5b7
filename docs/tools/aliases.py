"""Lets links find their page: another path of a public name (``hessian.operators.HessianOperator``), a name without its room in a docstring
(``KFACOperator``), a name inside the package that has no page (shown as code, if it exists), and names of NumPy and SciPy, whose sites
are known without asking them for an inventory: a build needs no network."""

from __future__ import annotations

import importlib
import re
from typing import Any

from docutils import nodes
from sphinx.domains.python import ObjectEntry
from sphinx.util.nodes import make_refnode

from docs.tools.names import collect

SITES = {
    "numpy": "https://numpy.org/doc/stable/reference/generated/{}.html",
    "scipy": "https://docs.scipy.org/doc/scipy/reference/generated/{}.html",
}


def _enter(app: Any, env: Any) -> None:
    """Enter aliases into the index of objects."""
    objects = env.domains["py"].objects
    for name in collect():
        entry = objects.get(name.path)
        for alias in name.aliases if entry else ():
            objects[alias] = ObjectEntry(entry.docname, entry.node_id, entry.objtype, True)
            for path, member in [item for item in objects.items() if item[0].startswith(f"{name.path}.")]:
                objects[alias + path[len(name.path) :]] = ObjectEntry(
                    member.docname, member.node_id, member.objtype, True
                )


def _resolve(app: Any, env: Any, node: Any, content: Any) -> nodes.Node | None:
    """What Sphinx could not find."""
    target = node.get("reftarget", "").removesuffix("()")
    if node.get("refdomain") != "py" or not target:
        return None
    if (site := SITES.get(target.partition(".")[0])) and "." in target:
        return nodes.reference("", "", content, internal=False, refuri=site.format(target))
    objects = env.domains["py"].objects
    found = {(e.docname, e.node_id) for path, e in objects.items() if path.endswith(f".{target}") and not e.aliased}
    if len(found) == 1:
        ((page, place),) = found
        return make_refnode(app.builder, node["refdoc"], page, place, content)
    return content if target.startswith("hessian.") and _exists(target) else None


def _exists(path: str) -> bool:
    """Whether a dotted path leads to something, through modules and attributes."""
    parts = path.split(".")
    for count in range(len(parts), 0, -1):
        try:
            value: Any = importlib.import_module(".".join(parts[:count]))
        except ImportError:
            continue
        for part in parts[count:]:
            if part in getattr(value, "__annotations__", {}):
                return True
            value = getattr(value, part, None)
        return value is not None
    return False


def _initials(app: Any, what: str, name: str, value: Any, options: Any, lines: list[str]) -> None:
    """References begin with initials, which reStructuredText would take for the letters of a list."""
    lines[:] = [re.sub(r"^(\s*[A-Z])\. ", r"\1\\. ", line) for line in lines]


def setup(app: Any) -> dict[str, bool]:
    app.connect("env-updated", _enter)
    app.connect("autodoc-process-docstring", _initials, priority=100)
    app.connect("missing-reference", _resolve)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
