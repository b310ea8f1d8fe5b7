"""How compiling gets along with everything else in the process."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def paused_collection() -> Iterator[None]:
    """Keep Python from looking for reference cycles meanwhile: a graph grows by a million objects that all stay.

    It would look at them again and again, which takes a third of the time of a long compilation.
    """
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()
