"""What turns sections with places into something that runs.

A backend is a file of this room with an instance named ``BACKEND``. The environment variable ``HESSIAN_BACKEND`` names the one that
is used; ``numpy`` if it is not set.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from hessian.programs.ir import Node
from hessian.programs.passes.place import Layout


@dataclass(frozen=True)
class Executable:
    """Compiled sections.

    Attributes
    ----------
    bind : callable
        ``(R, T, P=None) -> (sections, inputs)``: given the arenas of a frame, the sections as functions, and the arrays in
        which the frame keeps the inputs of the first section (``None`` for one that stays where the caller has it).
    code : object
        What runs, for readers: its ``str``.
    """

    bind: Callable[..., tuple[tuple[Callable[..., Any], ...], tuple[Any, ...]]]
    code: object


class Backend:
    """Says what it can compute into given memory, and compiles sections whose values have been given places."""

    @property
    def workers(self) -> int:
        """On how many threads blocks of rows run; 0 for a backend that runs sections whole."""
        return 0

    def writes(self, node: Node) -> bool:
        """Tell whether a node can be computed into memory that is given; else its operation is called."""
        raise NotImplementedError

    def compile(self, layout: Layout, *, lend: bool = False) -> Executable:
        """Compile the sections of a layout; with ``lend`` results stay where they are instead of being handed out as copies."""
        raise NotImplementedError


def arena(size: int) -> np.ndarray:
    """Return zeroed memory that starts on a cache line."""
    raw = np.zeros(size + 64, np.uint8)
    start = -raw.ctypes.data % 64
    return raw[start : start + size]
