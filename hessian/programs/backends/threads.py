"""The threads that blocks of rows run on."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from typing import Any

_POOLS: dict[tuple[int, str], ThreadPoolExecutor] = {}
if hasattr(os, "register_at_fork"):
    # A child process has the pools of its parent without their threads.
    os.register_at_fork(after_in_child=_POOLS.clear)


def pool_of(workers: int, what: str = "rows") -> ThreadPoolExecutor:
    """Return the threads that blocks run on, or something else that may wait for blocks; they wait without using the processor."""
    pool = _POOLS.get((workers, what))
    if pool is None:
        pool = _POOLS.setdefault((workers, what), ThreadPoolExecutor(workers - 1, f"hessian-{what}"))
    return pool


def worker_count() -> int:
    """Return on how many threads to run blocks: one, unless BLAS can be kept from starting its own."""
    return 1 if _controller() is None else max(1, min(8, len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else
                                                   os.cpu_count() or 1))  # fmt: skip


_CONTROLLER: list[Any] = []


def _controller() -> Any:
    """Return threadpoolctl's controller, ``None`` where it is not installed or finds no BLAS."""
    if not _CONTROLLER:
        try:
            from threadpoolctl import ThreadpoolController

            found = ThreadpoolController().select(user_api="blas")
            _CONTROLLER.append(found if len(found) else None)
        except ImportError:
            _CONTROLLER.append(None)
    return _CONTROLLER[0]


def single_threaded_blas() -> Any:
    """Keep BLAS from starting threads of its own inside ours."""
    return _controller().limit(limits=1)
