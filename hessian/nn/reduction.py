"""What all losses share: targets and weights as constants, and the reduction over examples."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from hessian.arguments import first_nonfinite
from hessian.errors import NonFiniteError, OptionError, ShapeMismatchError, message
from hessian.rules.spec import Traced


def as_constant(values: npt.ArrayLike, like: Any) -> Any:
    """Return targets or weights as an array of the dtype of ``like``, so that float32 predictions stay float32.

    A traced value stays traced: targets that are arguments of a recorded function change from call to call.
    """
    array = values if isinstance(values, Traced) else np.asarray(values)
    wanted = like.dtype if hasattr(like, "dtype") else np.asarray(like).dtype
    return array.astype(wanted) if wanted.kind == "f" and array.dtype != wanted else array


def check_shapes(where: str, predictions: Any, targets: Any, name: str = "predictions") -> None:
    """Refuse targets of another shape than the predictions, and no targets at all."""
    wanted = np.shape(targets)
    if np.shape(predictions) != wanted or not wanted:
        what = f"{name} have shape {np.shape(predictions)}, targets {wanted}"
        why = "they are compared entry by entry, and broadcasting would compare the wrong pairs"
        raise ShapeMismatchError(message(where, what, why, "Give both the same shape, one row per example"))


def reduce(where: str, terms: Any, reduction: str, weights: npt.ArrayLike | None = None) -> Any:
    """Sum each row of ``terms``, weigh the rows, and turn them into the reduction asked for."""
    if reduction not in ("mean", "sum"):
        raise OptionError(message(where, f"reduction is {reduction!r}", fix="Pass 'mean' or 'sum'"))
    n = np.shape(terms)[0]
    if weights is None:
        total = np.sum(terms)
        return total / n if reduction == "mean" else total
    w = _check_weights(where, weights, n, terms)
    rows = terms if np.ndim(terms) == 1 else np.sum(terms, axis=tuple(range(1, np.ndim(terms))))
    total = np.sum(w * rows)
    return total / np.sum(w) if reduction == "mean" else total


def _check_weights(where: str, weights: npt.ArrayLike, n: int, like: Any) -> Any:
    """Return weights of ``n`` rows that a mean can be taken with."""
    w = as_constant(weights, like)
    if np.shape(w) != (n,):
        what, fix = f"weights have shape {np.shape(w)}, the examples are {n}", f"Pass weights of shape ({n},)"
        raise ShapeMismatchError(message(where, what, "each weight multiplies the loss of one example", fix))
    if not np.all(np.isfinite(w)):
        raise NonFiniteError(message(where, first_nonfinite("weights", np.asarray(w)), fix="Pass finite weights"))
    if n and not w.min() >= 0:
        raise OptionError(
            message(where, f"the smallest weight is {float(w.min()):g}", "it would reward errors", "Pass weights >= 0")
        )
    if not w.sum() > 0:
        raise OptionError(message(where, "all weights are 0", "their mean is undefined", "Weigh some example"))
    return w
