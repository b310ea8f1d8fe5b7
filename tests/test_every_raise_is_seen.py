"""Every refusal has a test that sees it; this one runs last and names those without.

Where several processes share the suite, their notes are put together and judged at the end of the session (``conftest.py``).
"""

from __future__ import annotations

import pytest
import raises

import hessian as hs


def test_the_package_is_imported_with_notes() -> None:
    with pytest.raises(hs.errors.OptionError) as caught:
        hs.grad(3)(1.0)
    last = caught.traceback[-1]
    assert (str(last.path), last.lineno + 1) in raises.SEEN & raises.sites().keys()


def test_every_raise_is_seen(request: pytest.FixtureRequest) -> None:
    if not raises.is_whole_suite(request.config):
        pytest.skip("only the whole suite can tell, and where several processes share it, its end")
    assert raises.complaints() == []
