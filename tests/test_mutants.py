"""The hand-made faults of ``tests/mutants`` can still be made: each stands once in the package, and its tests exist.

Where code has changed on purpose, write the fault anew there; ``python tests/mutants/run.py`` says whether a test sees it.
"""

from __future__ import annotations

from collections import Counter

import pytest
from mutants.mutant import ROOT, Mutant
from mutants.run import MUTANTS

ALL = [mutant for part in MUTANTS.values() for mutant in part]


@pytest.mark.parametrize("mutant", ALL, ids=str)
def test_a_mutant_still_applies(mutant: Mutant) -> None:
    path = ROOT / "hessian" / mutant.file
    assert path.exists(), f"{mutant.file} is gone: put the fault where its code went"
    assert mutant.fault(path.read_text(encoding="utf-8")) is None
    files = [part for part in mutant.tests.split() if part.endswith(".py")]
    assert files
    assert all((ROOT / name).exists() for name in files)


def test_mutants_are_spread_over_the_package() -> None:
    assert len(ALL) >= 60
    assert len({str(mutant) for mutant in ALL}) == len(ALL)
    rooms = Counter(mutant.file.split("/")[0] for mutant in ALL)
    assert {room for room, count in rooms.items() if count >= 4} >= {
        "tape",
        "rules",
        "programs",
        "operators",
        "optimize",
        "curvature",
    }
