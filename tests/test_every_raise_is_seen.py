"""Every refusal has a test that sees it; this one runs last and names those without."""

from __future__ import annotations

from pathlib import Path

import pytest
import raises

import hessian as hs


def _whole_suite(config: pytest.Config) -> bool:
    """Whether one process runs everything, with nothing left out by the command line but the long tests."""
    if hasattr(config, "workerinput"):
        return False
    chosen = [Path(part).name for part in config.args]
    return chosen == ["tests", "hessian"] and not config.option.keyword and not config.option.deselect


def test_the_package_is_imported_with_notes() -> None:
    with pytest.raises(hs.errors.OptionError) as caught:
        hs.grad(3)(1.0)
    last = caught.traceback[-1]
    assert (str(last.path), last.lineno + 1) in raises.SEEN & raises.sites().keys()


# Refusals that no test sees yet, as ``file: source line``. The list may only get shorter.
KNOWN = Path(__file__).with_name("unseen_raises.txt")


def test_every_raise_is_seen(request: pytest.FixtureRequest) -> None:
    if not _whole_suite(request.config):
        pytest.skip("only the whole suite can tell")
    sites = raises.sites()
    named = {place: f"{Path(place[0]).relative_to(raises.PACKAGE.parent)}: {source}" for place, source in sites.items()}
    known = set(KNOWN.read_text(encoding="utf-8").splitlines())
    unseen = {text for place, text in named.items() if place not in raises.SEEN}
    assert known <= set(named.values()), f"no longer there, take out of {KNOWN.name}: {known - set(named.values())}"
    assert unseen <= known, f"{len(unseen - known)} raises are seen by no test:\n" + "\n".join(sorted(unseen - known))
