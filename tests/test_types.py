"""What type checkers know of the library in a user's code, and that the names they are told are those that there are."""

from __future__ import annotations

import inspect
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

import pytest
import test_dialect as dialect

import hessian as hs
from hessian.optimize import choice, options, scipy_methods, settings

ROOT = Path(__file__).resolve().parents[1]
USER_CODE = Path(__file__).parent / "typing" / "user_code.py"

MYPY = """\
[mypy]
strict = true
warn_unused_ignores = true
[mypy-hessian.*]
follow_imports = silent
"""


def run(command: list[str], folder: Path) -> str:
    environment = {**os.environ, "MYPYPATH": str(ROOT)}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
    return done.stdout + done.stderr if done.returncode else ""


@pytest.fixture
def user_code(tmp_path: Path) -> Path:
    return Path(shutil.copy(USER_CODE, tmp_path))


@pytest.mark.long
def test_mypy_in_its_strict_mode_knows_what_calls_return(user_code: Path) -> None:
    pytest.importorskip("mypy")
    config = user_code.with_name("mypy.ini")
    config.write_text(MYPY)
    command = [
        sys.executable,
        "-m",
        "mypy",
        "--config-file",
        str(config),
        "--cache-dir",
        str(ROOT / ".mypy_cache" / "user"),
    ]
    assert run([*command, user_code.name], user_code.parent) == ""


@pytest.mark.long
def test_pyright_knows_what_calls_return(user_code: Path) -> None:
    pytest.importorskip("pyright")
    config = user_code.with_name("pyrightconfig.json")
    settings = {"extraPaths": [str(ROOT)], "pythonVersion": f"{sys.version_info[0]}.{sys.version_info[1]}"}
    strict = {"reportUnnecessaryTypeIgnoreComment": "error", "enableTypeIgnoreComments": False}
    config.write_text(json.dumps({"include": [user_code.name], "typeCheckingMode": "standard", **settings, **strict}))
    command = [sys.executable, "-m", "pyright", "--pythonpath", sys.executable, "-p", str(config)]
    assert run(command, user_code.parent) == ""


def test_names_of_methods_and_of_options_are_those_there_are() -> None:
    assert set(get_args(settings.Method)) == {*choice.METHODS, *scipy_methods.SCIPY_METHODS}
    of_minimize = settings.MinimizeOptions.__annotations__
    assert set(of_minimize) == {*options.option_names(), *options._FROM_SCIPY}
    by_keyword = {**settings.MinimizeArguments.__annotations__, "fun": 0, "x0": 0, "args": 0, "method": 0}
    assert set(by_keyword) | {"unsupported"} == set(inspect.signature(hs.optimize.minimize).parameters)
    by_keyword = {**settings.LeastSquaresArguments.__annotations__, "fun": 0, "x0": 0, "args": 0}
    assert set(by_keyword) | {"unsupported"} == set(inspect.signature(hs.optimize.least_squares).parameters)


def documented_names() -> Iterator[tuple[str, str, set[str], Any, str]]:
    """Arguments that are said to be one of several names: path, argument, these names, the function, its annotation."""
    for path, item in dialect.objects().items():
        members = [] if dialect.is_row(item) else [(path, item)]
        if inspect.isclass(item):
            members += [
                (f"{path}.{name}", method) for name, method in dialect.members(item) if inspect.isfunction(method)
            ]
        for name, function in members:
            called = function.__init__ if inspect.isclass(function) else function
            for argument, names in re.findall(
                r'^\s*(\w+) : \{("[^}]*)\}', inspect.getdoc(function) or "", re.MULTILINE
            ):
                known = inspect.signature(called).parameters
                if argument in known and known[argument].annotation is not inspect.Parameter.empty:  # no option
                    parts = {part.strip(' "') for part in names.split(",")}
                    yield name, argument, parts, called, known[argument].annotation


def literals(annotation: Any) -> set[str]:
    """Return the names that an annotation allows."""
    if get_origin(annotation) is Literal:
        return set(get_args(annotation))
    return set().union(*map(literals, get_args(annotation)))


@pytest.mark.parametrize("said", [*documented_names()], ids=lambda said: f"{said[0]}-{said[1]}")
def test_names_that_a_docstring_lists_are_those_that_type_checkers_know(
    said: tuple[str, str, set[str], Any, str],
) -> None:
    _, _, names, function, annotation = said
    if isinstance(annotation, str):
        annotation = eval(annotation, inspect.unwrap(function).__globals__)
    assert literals(annotation) == names
