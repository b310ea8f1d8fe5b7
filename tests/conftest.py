"""Set up a session: note the raises that its tests see, and judge them last."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

import raises

raises.install()
# What goes wrong in a program raises instead of being left to the plain sweeps.
os.environ.setdefault("HESSIAN_DEBUG", "1")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run the test that judges the whole session at its end."""
    items.sort(key=lambda item: item.path.name == "test_every_raise_is_seen.py")
