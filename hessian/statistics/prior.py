"""What a prior is given as: one number, or numbers like x."""

from __future__ import annotations

from typing import Any

import numpy as np

from hessian.arguments import is_real
from hessian.errors import NonFiniteError, OptionError, ShapeMismatchError, message
from hessian.tape.trees import describe, flatten, is_container, join_vector, only_numbers


def positive_like(prior_precision: Any, x: Any, places: np.ndarray) -> np.ndarray:
    """Return a positive precision for each number of x; beside the places of what is uncertain nothing depends on it."""
    given = numbers_like(prior_precision, x, "prior_precision")
    precision = np.ones(given.size)
    precision[places] = given[places]
    if not np.all(np.isfinite(precision) & (precision > 0.0)):
        what = "prior_precision has entries that are not positive and finite"
        raise OptionError(
            message("laplace", what, "A prior without precision has no density to compare with", "Pass > 0")
        )
    return precision


def finite_like(prior_mean: Any, x: Any) -> np.ndarray:
    """Return a finite mean for each number of x."""
    mean = numbers_like(prior_mean, x, "prior_mean")
    if not np.all(np.isfinite(mean)):
        raise NonFiniteError(message("laplace", "prior_mean holds NaN or infinity", fix="Pass finite numbers"))
    return mean


def numbers_like(numbers: Any, x: Any, name: str) -> np.ndarray:
    """Return a number for each number of x."""
    leaves, structure = flatten(x)
    if is_real(numbers):
        return np.full(sum(np.size(leaf) for leaf in leaves), float(numbers))
    parts = structure.leaves_of(numbers, "laplace", name)
    for part in parts:
        if is_container(part) and not only_numbers(part):
            what = f"{name} is {describe(part)} where x has an array"
            raise ShapeMismatchError(message("laplace", what, fix=f"Pass one number, or {name} like x"))
    found = [np.asarray(part) for part in parts]
    for one in found:
        if one.dtype.kind not in "fiu":
            raise OptionError(message("laplace", f"{name} has dtype {one.dtype}", fix="Pass real numbers"))
    given = [one.astype(np.float64) for one in found]
    for one, leaf in zip(given, leaves, strict=True):
        if one.ndim and one.shape != np.shape(leaf):
            what = f"{name} has an array of shape {one.shape} where x has {np.shape(leaf)}"
            raise ShapeMismatchError(message("laplace", what, fix=f"Pass one number, or {name} like x"))
    full = [np.broadcast_to(one, np.shape(leaf)) for one, leaf in zip(given, leaves, strict=True)]
    return np.asarray(join_vector(full), dtype=np.float64)
