"""A tenth of the study of coverage: rates of standard errors, intervals, bands and bounds within the noise of their promises."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from benchmarks.coverage import Row, main, passes, table
from benchmarks.coverage_cases import PROMISES, cases

SHARES = {"1 standard errors": 0.7, "2 standard errors": 0.95, "3 standard errors": 0.99}


def row(rates: dict[str, float], seeds: int = 400) -> Row:
    """A row of nothing but rates."""
    return Row("trace", "flat", "axes", 4, seeds, rates, {name: PROMISES[name] for name in rates}, 1.0, 1.0)


def test_rates_short_of_their_promise_are_told_from_noise() -> None:
    assert not row(SHARES).short()
    assert list(row(SHARES | {"2 standard errors": 0.85}).short()) == ["2 standard errors"]
    assert not row(SHARES | {"2 standard errors": 0.85}, seeds=20).short()
    assert "0.850" in table([row(SHARES | {"2 standard errors": 0.85})])


def test_the_study_covers_nine_spectra_in_three_bases_and_budgets_from_2_to_300() -> None:
    every = list(cases())
    assert len({case.spectrum for case in every}) == 9
    assert {case.basis for case in every} == {"axes", "pairs", "rotated"}
    budgets = {case.max_hvp for case in every if case.max_hvp}
    assert (min(budgets), max(budgets)) == (2, 300)


def test_a_part_of_the_study_runs_from_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--seeds", "4", "--only", "block spectra", "--json", str(tmp_path / "rates.json")]) == 0
    kept = json.loads((tmp_path / "rates.json").read_text())
    assert kept["seeds"] == 4
    assert len(kept["rows"]) == 9
    assert "0 fall short of a promise" in capsys.readouterr().out


@pytest.mark.long
@pytest.mark.parametrize(
    "only",
    [
        "trace, hutch",
        "trace, xtrace",
        "trace, xnystrace",
        "diagonal",
        "Frobenius",
        "log-",
        "inertia",
        "summary",
        "condition",
        "density",
        "Nystrom",
        "function, ",
        "quadratic form",
    ],
)
def test_error_bars_hold_as_often_as_they_promise(only: str) -> None:
    *_, (_, rows) = passes(40, first=1000, only=only)
    short = {(r.quantity, r.spectrum, r.basis, r.max_hvp): r.short() for r in rows if r.short()}
    assert not short
    # Nor are they held by being absurdly wide: half of the widths below three times the error.
    ratios = [r.width / r.error for r in rows if 1e-9 * r.width < r.error and np.isfinite(r.width) and r.width > 0.0]
    if only in ("trace, hutch", "trace, xtrace", "trace, xnystrace", "diagonal", "Frobenius"):
        assert np.median(ratios) < 3.0
