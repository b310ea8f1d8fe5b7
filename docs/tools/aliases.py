"""Lets links to another path of a public name, such as ``hessian.operators.HessianOperator``, reach its one page, and links to names of
NumPy, SciPy and matplotlib their sites, without asking these for an inventory: a build needs no network."""

from __future__ import annotations

from typing import Any

from docutils import nodes
from sphinx.domains.python import ObjectEntry

from docs.tools.names import collect

SITES = {
    "numpy": "https://numpy.org/doc/stable/reference/generated/{}.html",
    "scipy": "https://docs.scipy.org/doc/scipy/reference/generated/{}.html",
    "matplotlib": "https://matplotlib.org/stable/search.html?q={}",
}


def _elsewhere(app: Any, env: Any, node: Any, content: Any) -> nodes.reference | None:
    target = node.get("reftarget", "")
    site = SITES.get(target.partition(".")[0]) if node.get("refdomain") == "py" and "." in target else None
    return nodes.reference("", "", content, internal=False, refuri=site.format(target)) if site else None


def _enter(app: Any, env: Any) -> None:
    objects = env.domains["py"].objects
    for name in collect():
        entry = objects.get(name.path)
        for alias in name.aliases if entry else ():
            objects[alias] = ObjectEntry(entry.docname, entry.node_id, entry.objtype, True)
            for path, member in [item for item in objects.items() if item[0].startswith(f"{name.path}.")]:
                objects[alias + path[len(name.path) :]] = ObjectEntry(
                    member.docname, member.node_id, member.objtype, True
                )


def setup(app: Any) -> dict[str, bool]:
    app.connect("env-updated", _enter)
    app.connect("missing-reference", _elsewhere)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
