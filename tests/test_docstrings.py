"""Every public name says what it is: a summary, arguments, results, errors, and of functions an example, which the suite runs."""

from __future__ import annotations

import inspect
import re
from typing import Any

import pytest
import test_dialect as dialect

FUNCTIONS = {path: item for path, item in dialect.objects().items() if inspect.isfunction(item)}
CLASSES = {path: item for path, item in dialect.objects().items() if inspect.isclass(item)}
MEMBERS = {f"{path}.{name}": member for path, kind in CLASSES.items() for name, member in dialect.members(kind)}


def has(section: str, doc: str) -> bool:
    """Whether a docstring has a section, or says of whom it is the same (*Parameters, errors and cost as in ...*)."""
    listed = re.search(rf"^ *{section}\n *-{{{len(section)}}}", doc, re.MULTILINE)
    word = {"Raises": "errors"}.get(section, section)
    return bool(listed or re.search(rf"\b{word}\b[^.]* as (in|for)\b", doc))


def missing(item: Any) -> list[str]:
    """Return what the docstring of a function leaves out."""
    doc, source = inspect.getdoc(item) or "", inspect.getsource(inspect.unwrap(item))
    wanted = ["Parameters"] * bool(inspect.signature(item).parameters) + ["Examples"]
    wanted += ["Raises"] * bool(re.search(r"^    +raise [A-Z]", source, re.MULTILINE))
    lacks = [section for section in wanted if not has(section, doc)]
    return lacks if has("Returns", doc) or "with ``has_aux`` the result is" in doc else [*lacks, "Returns"]


@pytest.mark.parametrize("path", FUNCTIONS)
def test_functions_say_what_they_take_and_give_with_an_example(path: str) -> None:
    doc = inspect.getdoc(FUNCTIONS[path]) or ""
    assert re.match(r"[A-Z].*[.:]", doc, re.DOTALL), "a summary"
    assert missing(FUNCTIONS[path]) == []
    assert ">>>" in doc


@pytest.mark.parametrize("path", CLASSES)
def test_classes_say_what_they_are_and_results_what_they_hold(path: str) -> None:
    kind = CLASSES[path]
    doc = kind.__dict__.get("__doc__") or ""
    assert doc.strip(), "a summary"
    assert not re.match(rf"{kind.__name__}\(", doc), "no docstring of its own: dataclasses make one of their fields"
    if dialect.is_row(kind):
        assert has("Attributes", doc)


@pytest.mark.parametrize("path", MEMBERS)
def test_methods_and_properties_say_what_they_do(path: str) -> None:
    member = MEMBERS[path]
    if inspect.isroutine(member) or isinstance(member, property) or hasattr(member, "func"):
        assert (inspect.getdoc(member) or "").strip()


def test_the_test_sees_what_is_left_out() -> None:
    def bare(x: float) -> float:
        """Double a number."""
        if x < 0:
            raise ValueError
        return 2 * x

    assert missing(bare) == ["Parameters", "Examples", "Raises", "Returns"]
