"""Every refusal has a test that sees it; this one runs last and names those without."""

from __future__ import annotations

from pathlib import Path

import pytest
import raises

import hessian as hs


def _whole_suite(config: pytest.Config) -> bool:
    """Whether nothing was left out by the command line but the long tests."""
    chosen = [Path(part).name for part in config.args]
    return chosen == ["tests", "hessian"] and not config.option.keyword and not config.option.deselect


def test_the_package_is_imported_with_notes() -> None:
    with pytest.raises(hs.errors.OptionError) as caught:
        hs.grad(3)(1.0)
    last = caught.traceback[-1]
    assert (str(last.path), last.lineno + 1) in raises.SEEN & raises.sites().keys()


def test_every_raise_is_seen(request: pytest.FixtureRequest) -> None:
    if not _whole_suite(request.config):
        pytest.skip("only the whole suite can tell")
    places = raises.sites()
    unseen = [f"{path}:{line}: {source}" for (path, line), source in places.items() if (path, line) not in raises.SEEN]
    assert not unseen, f"{len(unseen)} of {len(places)} raises are seen by no test:\n" + "\n".join(unseen)
