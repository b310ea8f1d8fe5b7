"""The coverage page is what the registry says."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import scipy

from hessian.commands.coverage import coverage

PAGE = Path(__file__).resolve().parents[1] / "docs" / "coverage.md"


def test_the_page_is_current() -> None:
    text = PAGE.read_text(encoding="utf-8")
    if f"NumPy {np.__version__} and SciPy {scipy.__version__}" not in text:
        pytest.skip("written with other releases of NumPy and SciPy")
    assert text == coverage(), "python -m hessian operations --markdown > docs/coverage.md"


def test_whatever_is_missing_has_a_reason_and_a_way_around() -> None:
    rows = [line for line in coverage().splitlines() if line.startswith("| `") and "not supported" in line]
    assert len(rows) > 100
    assert not [row for row in rows if row.rstrip("| ").rpartition(": ")[2] == ""]


def test_most_of_what_is_public_works() -> None:
    works = sum(
        "not supported" not in line
        for line in coverage().splitlines()
        if line.startswith("| `") and line.count("|") == 4
    )
    assert works > 450
