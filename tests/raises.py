"""Which of the package's raises a session of tests has seen.

The package is imported with every ``raise`` (and every call of a function that never returns) preceded by a note of its file
and line. :func:`sites` lists them from the sources, so that a test can name those that nobody has seen.
"""

from __future__ import annotations

import ast
import importlib.abc
import importlib.machinery
import sys
from pathlib import Path
from types import CodeType
from typing import Any

PACKAGE = Path(__file__).resolve().parents[1] / "hessian"
SEEN: set[tuple[str, int]] = set()
_NOTE = "_note_raise"
# Errors of a platform or a process that the tests cannot be in.
_PRAGMA = "# unseen:"
# What pyproject.toml leaves out.
_DEFAULT = "not long and not study"


def refusers() -> set[str]:
    """Names of the package's functions that are annotated to never return: calling one is a raise."""
    return {
        node.name
        for path in PACKAGE.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.FunctionDef) and isinstance(node.returns, ast.Name) and node.returns.id == "NoReturn"
    }


def _called(node: ast.AST) -> str | None:
    """Name of the function that a statement ``refuse(...)`` or ``return refuse(...)`` calls."""
    value = node.value if isinstance(node, ast.Expr | ast.Return) else None
    if not isinstance(value, ast.Call):
        return None
    return value.func.attr if isinstance(value.func, ast.Attribute) else getattr(value.func, "id", None)


def _is_site(node: ast.AST, names: set[str]) -> bool:
    if isinstance(node, ast.Raise):
        # What an abstract method says no object can reach.
        return not (isinstance(node.exc, ast.Name) and node.exc.id == "NotImplementedError")
    return _called(node) in names


def sites() -> dict[tuple[str, int], str]:
    """Every place of the package that raises: (file, line) -> its source line; those marked as impossible are left out."""
    names = refusers()
    places = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        text = path.read_text(encoding="utf-8")
        lines = text.splitlines()
        for node in ast.walk(ast.parse(text)):
            if _is_site(node, names) and _PRAGMA not in lines[node.lineno - 1]:
                places[str(path), node.lineno] = lines[node.lineno - 1].strip()
    return places


def is_whole_suite(config: Any) -> bool:
    """Tell whether this process has seen everything, with nothing left out by the command line but the long tests."""
    if hasattr(config, "workerinput"):
        return False
    chosen = [Path(part).name for part in config.args]
    left_out = config.option.keyword or config.option.deselect or config.option.markexpr != _DEFAULT
    return chosen == ["tests", "hessian"] and not left_out


def complaints() -> list[str]:
    """Name the raises that no test has seen, and known ones that are gone; the list of those may only get shorter."""
    known = set(Path(__file__).with_name("unseen_raises.txt").read_text(encoding="utf-8").splitlines())
    named = {place: f"{Path(place[0]).relative_to(PACKAGE.parent)}: {source}" for place, source in sites().items()}
    unseen = {text for place, text in named.items() if place not in SEEN}
    gone = [
        f"no longer there, take it out of unseen_raises.txt: {text}" for text in sorted(known - set(named.values()))
    ]
    return [f"seen by no test: {text}" for text in sorted(unseen - known)] + gone


class _Noting(ast.NodeTransformer):
    def __init__(self, path: str, names: set[str]) -> None:
        self.path, self.names = path, names

    def generic_visit(self, node: ast.AST) -> Any:
        super().generic_visit(node)
        if not (isinstance(node, ast.stmt) and _is_site(node, self.names)):
            return node
        name = ast.Name(_NOTE, ast.Load())
        key = ast.Tuple([ast.Constant(self.path), ast.Constant(node.lineno)], ast.Load())
        note = ast.Expr(ast.Call(name, [key], []))
        return [ast.fix_missing_locations(ast.copy_location(note, node)), node]


class _Loader(importlib.machinery.SourceFileLoader):
    names: set[str]

    def get_code(self, fullname: str) -> CodeType:
        """Compile anew, past the cache of byte code: what it holds knows no notes, and ours must not get into it."""
        path = self.get_filename(fullname)
        tree = ast.parse(self.get_data(path), path)
        return compile(_Noting(path, self.names).visit(tree), path, "exec", dont_inherit=True)

    def exec_module(self, module: Any) -> None:
        setattr(module, _NOTE, SEEN.add)
        super().exec_module(module)


class _Finder(importlib.abc.MetaPathFinder):
    def __init__(self) -> None:
        self.names = refusers()

    def find_spec(self, fullname: str, path: Any, target: Any = None) -> Any:
        """Find a module of the package in this tree; leave all others to Python."""
        if fullname.partition(".")[0] != "hessian":
            return None
        spec = importlib.machinery.PathFinder.find_spec(fullname, path or [str(PACKAGE.parent)], target)
        if spec is not None and spec.origin is not None and spec.origin.endswith(".py"):
            spec.loader = _Loader(fullname, spec.origin)
            spec.loader.names = self.names
        return spec


def install() -> None:
    """Note raises from now on; the package must not have been imported yet."""
    if not any(name.partition(".")[0] == "hessian" for name in sys.modules):
        sys.meta_path.insert(0, _Finder())
