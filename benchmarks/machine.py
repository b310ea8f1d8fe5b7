"""What a result depends on besides the code: processor, cores, threads and versions."""

from __future__ import annotations

import os
import platform
from pathlib import Path


def describe_machine() -> dict[str, str | int]:
    """Return processor model, cores this process may use, BLAS threads, load, operating system and Python version."""
    return {
        "cpu": cpu_model(),
        "cores": available_cores(),
        "threads": thread_count(),
        "blas": blas_name(),
        "load": load_average(),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
    }


def cpu_model() -> str:
    """Return the processor's name."""
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()


def available_cores() -> int:
    """Return the number of cores this process may run on."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def thread_count() -> int:
    """Return the number of threads of NumPy's BLAS, or of cores where threadpoolctl is not installed to ask."""
    return max((pool["num_threads"] for pool in _blas_pools()), default=available_cores())


def blas_name() -> str:
    """Return name, version and kernel of the BLAS libraries in use, or why they are not known."""
    names = {f"{p['internal_api']} {p['version']} ({p.get('architecture', 'one kernel')})" for p in _blas_pools()}
    return ", ".join(sorted(names)) or "unknown (no threadpoolctl)"


def load_average() -> str:
    """Return how many processes wanted a core in the last minute: above the number of cores, times are inflated."""
    return f"{os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else "unknown"


def _blas_pools() -> list[dict]:
    """Return threadpoolctl's description of the loaded BLAS libraries."""
    try:
        from threadpoolctl import threadpool_info
    except ImportError:
        return []
    return [pool for pool in threadpool_info() if pool["user_api"] == "blas"]
