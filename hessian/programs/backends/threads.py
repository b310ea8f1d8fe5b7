"""The threads that blocks of rows run on."""

from __future__ import annotations

import os
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from typing import Any

from hessian.programs.ir import Node, is_ufunc
from hessian.programs.operations import rows_op
from hessian.rules.reductions import sum_op
from hessian.rules.spec import Elementwise, Linear

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


def single_threaded_blas(nodes: Iterable[Node]) -> Any:
    """Keep BLAS from starting threads of its own inside ours, unless nothing that is computed calls it: looking for it takes 0.1 ms."""
    return _controller().limit(limits=1) if any(map(_may_call_blas, nodes)) else nullcontext()


def _may_call_blas(node: Node) -> bool:
    operation = node.operation
    if operation is None or operation is rows_op:
        return False
    if isinstance(operation, Elementwise):  # np.matmul is a ufunc, too
        return not is_ufunc(operation)
    if operation is sum_op:
        return len(node.args[0].shape) > 1
    return not (isinstance(operation, Linear) and operation.moves)
