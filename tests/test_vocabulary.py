"""One word for one thing: identifiers of the engine use the field's terms, and not the ones that were retired for them."""

from __future__ import annotations

import io
import re
import tokenize
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1] / "hessian"
ENGINE = [
    path for room in ("rules", "tape", "programs", "transforms", "operators") for path in (ROOT / room).glob("*.py")
]
RETIRED = {
    "push": "pushforward",
    "pull": "pullback",
    "bend": "linearize_pullback",
    "turn": "pullback_tangent",
    "bent": "residuals",
    "kept": "residuals, or what it is",
    "live": "useful",
    "varying": "varied",
    "own": "user_results, or what it is",
    "owned": "detached",
}
EXEMPT = {"has_own_rules"}


def retired(source: str) -> list[str]:
    """Identifiers that are made of retired words, with their lines."""
    tokens = tokenize.generate_tokens(io.StringIO(source).readline)
    names = [(t.start[0], t.string) for t in tokens if t.type == tokenize.NAME and t.string not in EXEMPT]
    words = {name: set(re.findall(r"[a-z]+", re.sub(r"([A-Z])", r"_\1", name).lower())) for _, name in names}
    return [f"{line}: {name}" for line, name in names if words[name] & RETIRED.keys()]


@pytest.mark.parametrize("path", ENGINE, ids=lambda path: str(path.relative_to(ROOT)))
def test_identifiers_use_the_words_of_the_field(path: Path) -> None:
    assert retired(path.read_text(encoding="utf-8")) == [], f"say instead: {RETIRED}"


def test_the_test_sees_a_retired_word() -> None:
    assert retired("def f(x):\n    live_mask = x\n    return BentRod(live_mask)\n") == [
        "2: live_mask",
        "3: BentRod",
        "3: live_mask",
    ]
