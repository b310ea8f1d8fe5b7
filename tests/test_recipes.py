"""The recipe for a backend in CONTRIBUTING.md, followed to the letter, gives one that agrees with the plain sweeps."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from functions import CASES, Case, direction, flatten
from numpy.testing import assert_allclose

import hessian as hs
from hessian.programs import backends

TEXT = (Path(hs.__file__).parents[1] / "CONTRIBUTING.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module", autouse=True)
def reference(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    code = re.search(r"```python\n(.*?)```", TEXT.split("## Recipe: add a backend", 1)[1], re.DOTALL)
    assert code is not None
    room = tmp_path_factory.mktemp("backends")
    (room / "reference.py").write_text(code[1], encoding="utf-8")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(backends, "__path__", [*backends.__path__, str(room)])
        patch.setenv("HESSIAN_BACKEND", "reference")
        yield


def close(actual: object, expected: object) -> None:
    a, b = (flatten(x) if not np.isscalar(x) else np.asarray([x]) for x in (actual, expected))
    assert_allclose(a, b, rtol=0, atol=1e-10 * max(np.max(np.abs(b), initial=0.0), 1e-3))


@pytest.mark.parametrize("case", CASES[::6], ids=lambda case: case.name)
def test_a_backend_by_the_recipe_agrees_with_plain_sweeps(case: Case) -> None:
    f = case.with_numpy
    recorded, v = hs.record(f), direction(case.x)
    for _ in range(2):
        close(hs.value_and_grad(recorded)(case.x)[1], hs.grad(f)(case.x))
        close(hs.hvp(recorded, case.x, v), hs.hvp(f, case.x, v))
        H = hs.HessianOperator(recorded, case.x)
        close(H @ flatten(v), hs.hvp(f, case.x, v))
        close(H.to_dense(), hs.HessianOperator(f, case.x).to_dense())
    assert recorded.stats.plain == recorded.stats.failures == 0
    assert all("Layout" in program.source for program in recorded.programs)
