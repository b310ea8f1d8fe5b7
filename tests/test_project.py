"""The shape of the project: layers, light imports, the README's promises, metadata."""

from __future__ import annotations

import ast
import doctest
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "hessian"
MODULES = sorted(path for path in PACKAGE.rglob("*.py"))

# From the bottom up; a module may import from its own layer's package and from layers before it, never from one after
# it.
LAYERS = (
    "errors", "signatures", "pickles", "rooms", "arguments", "text", "linalg", "rules", "tape", "scipy", "special", "programs",
    "transforms", "sparse", "operators", "optimize", "nn",
    "curvature", "statistics", "plotting", "commands", "cli", "__main__",
)  # fmt: skip
# Imported where they are used, never by `import hessian`.
HEAVY = ("matplotlib", "tqdm", "sklearn", "jax", "torch", "autograd", "IPython", "pandas")
# Modules whose classes derive from those of a heavy package; `__getattr__` of their package loads them on first use.
ON_DEMAND = {"hessian.nn.sklearn.base"}


def _dotted(path: Path) -> str:
    """Name of the module a file holds."""
    parts = list(path.relative_to(ROOT).with_suffix("").parts)
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def _layer(dotted: str) -> str | None:
    """Layer of a module; the top package itself is in none."""
    parts = dotted.split(".")
    return parts[1] if len(parts) > 1 else None


def _is_type_checking(node: ast.AST) -> bool:
    """Whether a node is ``if TYPE_CHECKING:``; what it holds is never imported."""
    return isinstance(node, ast.If) and ast.unparse(node.test) in {"TYPE_CHECKING", "typing.TYPE_CHECKING"}


def _nodes(tree: ast.AST, *, into_functions: bool) -> list[ast.AST]:
    """Nodes of a module that run, at import or at all."""
    found, queue = [], [tree]
    while queue:
        node = queue.pop()
        found.append(node)
        for child in ast.iter_child_nodes(node):
            deferred = isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
            if not _is_type_checking(child) and (into_functions or not deferred):
                queue.append(child)
    return found


def _imports(path: Path, *, into_functions: bool = True) -> list[tuple[int, str]]:
    """(line, dotted name) of everything a module imports, relative imports resolved, submodules named as far as they
    are."""
    package = _dotted(path).split(".")
    if path.name != "__init__.py":
        package = package[:-1]
    found = []
    for node in _nodes(ast.parse(path.read_text(encoding="utf-8")), into_functions=into_functions):
        if isinstance(node, ast.Import):
            found += [(node.lineno, alias.name) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            prefix = package[: len(package) - node.level + 1] if node.level else []
            base = ".".join([*prefix, *([node.module] if node.module else [])])
            found += [(node.lineno, f"{base}.{alias.name}") for alias in node.names]
    return found


def upward_imports(path: Path) -> list[str]:
    """Describe each import of a module that points to a higher layer."""
    own = _layer(_dotted(path))
    wrong = []
    for line, name in _imports(path):
        parts = name.split(".")
        if parts[0] != "hessian" or (own == "cli" and name == "hessian.__version__"):
            continue
        target = parts[1] if len(parts) > 1 and parts[1] in LAYERS else None
        if target is None:
            wrong.append(f"{path.relative_to(ROOT)}:{line} imports the top package ({name})")
        elif LAYERS.index(target) > LAYERS.index(own):
            wrong.append(f"{path.relative_to(ROOT)}:{line} imports {name}, above its layer {own}")
    return wrong


@pytest.mark.parametrize("path", MODULES, ids=_dotted)
def test_imports_point_down(path: Path) -> None:
    own = _layer(_dotted(path))
    if own is None:
        return
    assert own in LAYERS, f"{own} has no place in the layers of this test and of CONTRIBUTING.md"
    assert upward_imports(path) == []


def test_the_layer_test_sees_an_upward_import(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.modules[__name__], "ROOT", tmp_path)
    module = tmp_path / "hessian" / "rules" / "bad.py"
    module.parent.mkdir(parents=True)
    module.write_text(
        "def f():\n    from hessian.tape import dual\n    from ..optimize import minimize\n    import hessian\n"
    )
    assert {text.split(" imports ")[1] for text in upward_imports(module)} == {
        "hessian.tape.dual, above its layer rules",
        "hessian.optimize.minimize, above its layer rules",
        "the top package (hessian)",
    }


def _modules_imported(path: Path, known: set[str]) -> set[str]:
    """Modules of the package that a module imports anywhere, in functions and for the type checker too.

    But for the hook that names, for the type checker, what results return of a room above it.
    """
    found, tree = set(), ast.parse(path.read_text(encoding="utf-8"))
    for node in _nodes(tree, into_functions=True) if _dotted(path) == "hessian.rooms" else ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {name.name for name in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {f"{node.module}.{name.name}" for name in node.names} | {node.module}
    return found & known - {_dotted(path)}


def circles(paths: list[Path]) -> list[str]:
    """Modules left when those that import none of the rest have been taken away, again and again."""
    known = {_dotted(path) for path in paths}
    left = {_dotted(path): _modules_imported(path, known) for path in paths}
    # A package that only re-exports stands above its modules, which import each other by their own names.
    left = {name: {other for other in found if not name.startswith(f"{other}.")} for name, found in left.items()}
    while free := [name for name, found in left.items() if not found & left.keys()]:
        left = {name: found for name, found in left.items() if name not in free}
    return sorted(left)


def test_no_circle_of_modules() -> None:
    assert circles(MODULES) == []


def test_the_circle_test_sees_a_circle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.modules[__name__], "ROOT", tmp_path)
    (tmp_path / "hessian").mkdir()
    texts = {
        "a": "def f():\n    from hessian.b import g\n",
        "b": "from hessian import c\n",
        "c": "import hessian.a\n",
        "d": "",
    }
    paths = [tmp_path / "hessian" / f"{name}.py" for name in texts]
    for path, text in zip(paths, texts.values(), strict=True):
        path.write_text(text)
    assert circles(paths) == ["hessian.a", "hessian.b", "hessian.c"]


LONGEST_FILE, LONGEST_FUNCTION = 450, 50


def too_long(path: Path) -> list[str]:
    """Name a file of too many lines, and its functions of too many lines besides their docstrings."""
    text = path.read_text(encoding="utf-8")
    lines = len(text.splitlines())
    found = [f"{path.name}: {lines} lines"] if lines > LONGEST_FILE else []
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            first, last = node.body[0].lineno, node.body[0].end_lineno or node.body[0].lineno
            size = (node.end_lineno or node.lineno) - node.lineno + 1
            size -= last - first + 1 if ast.get_docstring(node) is not None else 0
            if size > LONGEST_FUNCTION:
                found.append(f"{node.name}: {size} lines")
    return found


@pytest.mark.parametrize("path", MODULES, ids=_dotted)
def test_files_and_functions_are_short(path: Path) -> None:
    assert too_long(path) == []


def test_the_length_test_sees_what_is_too_long(tmp_path: Path) -> None:
    path = tmp_path / "long.py"
    body = "    x = 1\n" * (LONGEST_FUNCTION - 1)
    path.write_text(f'def f():\n    """Say\n    much."""\n{body}\n\ndef g():\n{body}    x = 2\n')
    assert too_long(path) == [f"g: {LONGEST_FUNCTION + 1} lines"]
    path.write_text("\n" * (LONGEST_FILE + 1))
    assert too_long(path) == [f"long.py: {LONGEST_FILE + 1} lines"]


def test_few_places_ask_whether_a_function_is_recorded() -> None:
    """Plain and recorded functions have one interface, `hessian.programs.runtime.functions.programs_of`."""
    asks = re.compile(r"isinstance\([^)]*RecordedFunction")
    found = [path for path in MODULES for _ in asks.findall(path.read_text(encoding="utf-8"))]
    assert len(found) <= 4, sorted(map(_dotted, found))


@pytest.mark.parametrize("path", [path for path in MODULES if path.name == "__init__.py"], ids=_dotted)
def test_package_files_only_reexport(path: Path) -> None:
    statements = ast.parse(path.read_text(encoding="utf-8")).body
    for node in statements:
        is_docstring = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
        is_name = isinstance(node, ast.Assign) and all(
            isinstance(target, ast.Name) and target.id in {"__all__", "__version__"} for target in node.targets
        )
        is_import = isinstance(node, ast.Import | ast.ImportFrom)
        is_completion = ast.unparse(node) == "def __dir__() -> list[str]:\n    return sorted(__all__)"
        assert is_docstring or is_name or is_import or is_completion or _is_on_demand(path, node), ast.unparse(node)


def _is_on_demand(path: Path, node: ast.stmt) -> bool:
    """Whether a statement belongs to a package's re-export on first use (PEP 562): the top package's, that of `nn`, and
    those of `scipy`, which mirror SciPy's."""
    if (PACKAGE / "scipy") in (path.parent, path.parent.parent):
        return ast.unparse(node) == "__getattr__, __dir__ = mirrored(__name__)"
    if path.parent not in {PACKAGE, PACKAGE / "nn"}:
        return False
    if isinstance(node, ast.FunctionDef):
        return node.name == "__getattr__"
    if isinstance(node, ast.Assign):
        return ast.unparse(node.targets[0]) == "_ON_DEMAND"
    return isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"


@pytest.mark.parametrize("path", MODULES, ids=_dotted)
def test_heavy_packages_are_imported_where_they_are_used(path: Path) -> None:
    found = [name for _, name in _imports(path, into_functions=False) if name.split(".")[0] in HEAVY]
    assert (found != []) == (_dotted(path) in ON_DEMAND), found


def test_import_hessian_loads_no_plotting_or_training_library() -> None:
    code = f"import sys, hessian; print(sorted(set(sys.modules) & set({HEAVY!r})))"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert run.stdout.strip() == "[]"


def test_no_module_shadows_the_function_hessian() -> None:
    assert not (PACKAGE / "hessian.py").exists()


def test_the_package_is_typed_and_its_version_is_the_projects() -> None:
    import hessian

    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert (PACKAGE / "py.typed").exists()
    assert hessian.__version__ == project["version"]


def test_runtime_dependencies_and_extras() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert project["dependencies"] == ["numpy>=2.0", "scipy>=1.14"]
    assert set(project["optional-dependencies"]) == {
        "sparse",
        "train",
        "plot",
        "threads",
        "notebooks",
        "docs",
        "types",
        "test",
        "peers",
        "all",
    }


def _code_blocks(document: Path) -> list[tuple[int, str]]:
    """(line, text) of each Python block with a prompt in a Markdown file."""
    text = document.read_text(encoding="utf-8")
    blocks = re.finditer(r"^```python\n(.*?)^```", text, flags=re.MULTILINE | re.DOTALL)
    return [(text[: m.start()].count("\n") + 1, m.group(1)) for m in blocks if ">>>" in m.group(1)]


@pytest.mark.parametrize("name", ["README.md", "CONTRIBUTING.md"])
def test_examples_in_documents_run(name: str) -> None:
    names: dict[str, object] = {}
    for line, block in _code_blocks(ROOT / name):
        example = doctest.DocTestParser().get_doctest(block, names, name, name, line)
        runner = doctest.DocTestRunner(optionflags=doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS)
        runner.run(example, clear_globs=False)
        names.update(example.globs)
        assert runner.failures == 0
    assert names, f"{name} has no example"


def test_readme_gives_the_two_commands_that_ci_runs() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    commands = dict(re.findall(r"<!-- command: (\w+) -->\n+```sh\n([^\n]+)\n```", readme))
    assert set(commands) == {"train", "test"}
    assert commands["train"].endswith("python -m hessian train digits")
    assert commands["test"].endswith("python -m pytest -n 2")
    script = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    assert all(f"readme_command {name}" in script for name in commands)


def test_changelog_names_this_version() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert f"## [{project['version']}]" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
