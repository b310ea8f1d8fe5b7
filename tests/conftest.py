"""Set up a session: note the raises that its tests see, and judge them last."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parent))

import raises

raises.install()
if "PYTEST_XDIST_WORKER" in os.environ:
    # Processes that share the suite have a core each.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
# Read by type checkers, never run.
collect_ignore = ["typing"]
_COMPLAINTS = pytest.StashKey[list[str]]()
# What goes wrong in a program raises instead of being left to the plain sweeps.
os.environ.setdefault("HESSIAN_DEBUG", "1")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run the test that judges the whole session at its end."""
    items.sort(key=lambda item: item.path.name == "test_every_raise_is_seen.py")


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Hand on what a process has seen; judge what all of them have seen together."""
    config: Any = session.config
    if hasattr(config, "workeroutput"):
        config.workeroutput["seen"] = sorted(raises.SEEN)
    elif getattr(config.option, "numprocesses", None) and raises.is_whole_suite(config):
        found = raises.complaints()
        if found:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED
        config.stash[_COMPLAINTS] = found


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """Take in what a process has seen."""
    raises.SEEN.update(tuple(place) for place in getattr(node, "workeroutput", {}).get("seen", ()))


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    """Name the refusals that no process has seen."""
    for line in config.stash.get(_COMPLAINTS, []):
        terminalreporter.write_line(f"FAILED {line}", red=True)
