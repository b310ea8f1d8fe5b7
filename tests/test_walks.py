"""The walks that CONTRIBUTING.md describes are the ways the calls go: every function it names is called, in its order."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import hessian as hs

ROOT = Path(hs.__file__).parent
TEXT = (ROOT.parent / "CONTRIBUTING.md").read_text(encoding="utf-8")


def calls_of(run: Callable[[], Any]) -> list[str]:
    """Functions of the package that a call runs through, in order, as ``file: qualified name``."""
    seen: list[str] = []

    def note(frame: Any, event: str, argument: Any) -> None:
        path = Path(frame.f_code.co_filename)
        if event == "call" and ROOT in path.parents:
            seen.append(f"{path.relative_to(ROOT).as_posix()}: {frame.f_code.co_qualname}")

    before = sys.getprofile()
    sys.setprofile(note)
    try:
        run()
    finally:
        sys.setprofile(before)
    return seen


def described(beginning: str) -> list[str]:
    """Functions that one walk of the text names, each in the file named last."""
    walk = TEXT.split("## Three walks", 1)[1].split(beginning, 1)[1].split("\n\n", 2)[1]
    named, file = [], ""
    for name in re.findall(r"`([\w./<>]+)`", walk):
        if name.endswith(".py"):
            file = name
        elif file:
            named.append(f"{file}: {name}")
    return named


def loss(w: np.ndarray) -> Any:
    A = np.arange(12.0).reshape(4, 3) / 10
    return np.sum(np.logaddexp(0, A @ w)) + 0.5 * w @ w


def compiled() -> Callable[[], Any]:
    H = hs.HessianOperator(hs.record(loss), np.ones(3))
    H @ np.ones(3)
    return lambda: H @ np.ones(3)


@pytest.mark.parametrize(
    ("beginning", "prepare"),
    [
        ("A plain product", lambda: lambda: hs.hvp(loss, np.ones(3), np.ones(3))),
        ("A compiled product", compiled),
        ("A product of conjugate", lambda: lambda: hs.optimize.minimize(loss, np.ones(3), method="trust-ncg")),
    ],
)
def test_a_walk_goes_as_described(beginning: str, prepare: Callable[[], Callable[[], Any]]) -> None:
    wanted, seen = described(beginning), calls_of(prepare())
    assert len(wanted) >= 3
    at = 0
    for name in wanted:
        assert name in seen[at:], f"{name} is not called after {seen[at - 1] if at else 'the start'}"
        at = seen.index(name, at) + 1
