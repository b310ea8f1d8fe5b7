"""What a case of the study of coverage is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from scipy.special import ndtr

LEVELS = (0.5, 0.9, 0.95, 0.99)
#: What is promised of k standard errors.
PROMISES = {f"{k} standard errors": float(2.0 * ndtr(k) - 1.0) for k in (1, 2, 3)} | {
    f"interval {level:g}": level for level in LEVELS
}
MODELS, SPARSE = "models", "sparse"
"""In place of eigenvectors, where there is a model or one sparse matrix instead of nine spectra."""


@dataclass(frozen=True)
class Case:
    """One estimator on one matrix with one budget: what ``run`` returns for a seed, ``hold`` says of it."""

    quantity: str
    spectrum: str
    basis: str
    max_hvp: int
    run: Callable[[int], Any]
    hold: Callable[[Any], dict[str, float]]
    promises: dict[str, float] = field(default_factory=lambda: dict(PROMISES))
    #: What takes long is run on every so manyth seed.
    stride: int = 1
