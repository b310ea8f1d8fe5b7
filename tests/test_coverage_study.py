"""A tenth of the study of coverage: rates of standard errors, intervals, bands and bounds within the noise of their promises."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from benchmarks.coverage import Row, main, passes, table
from benchmarks.coverage_case import MODELS, PROMISES, SPARSE
from benchmarks.coverage_cases import cases
from benchmarks.coverage_models import exponential, normal, poisson

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
    every = [case for case in cases() if case.basis not in (MODELS, SPARSE)]
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


def test_what_intervals_of_few_data_cover() -> None:
    """By simulation of the formulas, without any fit."""
    rng = np.random.default_rng(0)
    y = rng.exponential(1.0, (200_000, 5)).sum(axis=1)
    deviance = 2.0 * (y - 5.0 - 5.0 * np.log(y / 5.0))
    assert exponential(5) == pytest.approx(
        [np.mean(np.abs(1.0 - y / 5.0) <= 1.96 / 5**0.5), np.mean(deviance <= 3.8415)], abs=0.004
    )
    k = rng.poisson(20.0, 200_000)
    deviance = 2.0 * (k * np.log(k / 20.0) - (k - 20.0))
    assert poisson(20.0) == pytest.approx(
        [np.mean(np.abs(k - 20.0) <= 1.96 * np.sqrt(k)), np.mean(deviance <= 3.8415)], abs=0.004
    )
    z = rng.standard_normal((200_000, 8))
    mean, scale = z.mean(axis=1), z.std(axis=1)
    deviance = 8.0 * np.log1p((mean / scale) ** 2)
    assert normal(8) == pytest.approx(
        [np.mean(np.abs(mean) <= 1.96 * scale / 8**0.5), np.mean(deviance <= 3.8415)], abs=0.004
    )


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
        "eigenvalues",
        "leverage",
        "interval",
        "Fisher",
        "class probabilities",
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
