"""Which backend compiles: the one that the environment names."""

from __future__ import annotations

import importlib
import os

from hessian.programs.backends.base import Backend


def chosen_backend() -> Backend:
    """Return the backend that ``HESSIAN_BACKEND`` names: the file of this room that is called so."""
    name = os.environ.get("HESSIAN_BACKEND", "") or "numpy"
    return importlib.import_module(f"hessian.programs.backends.{name}").BACKEND
