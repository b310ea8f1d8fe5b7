"""Which functions of SciPy do not let traced values in and have a twin in :mod:`hessian.scipy`, by name.

Errors point to them without loading the twins, which stand above this layer; the walk over the mirror compares.
"""

from __future__ import annotations

TWINS: dict[str, tuple[str, ...]] = {"scipy.special": ("log_softmax", "logsumexp", "polygamma", "softmax")}
"""Names of twins by the module of SciPy that has the function."""

MODULES = frozenset(TWINS) | {".".join(name.split(".")[:2]) for name in TWINS}
"""Modules of SciPy that :mod:`hessian.scipy` mirrors."""


def twin_of(dotted: str) -> str:
    """Return the dotted name of the twin of a function of SciPy's, empty if it has none."""
    module, _, name = dotted.rpartition(".")
    return f"hessian.{dotted}" if name in TWINS.get(module, ()) else ""
