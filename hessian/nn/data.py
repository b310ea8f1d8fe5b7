"""What is checked before training: rows that fit together, the network and the loss, and that are numbers."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from hessian.errors import DtypeError, NonFiniteError, OptionError, ShapeMismatchError, message
from hessian.nn.losses import Loss, check_labels, softmax_cross_entropy


def check_rows(
    model: Any,
    X: npt.ArrayLike,
    y: npt.ArrayLike,
    dtype: np.dtype[Any],
    loss: Loss,
    names: tuple[str, str] = ("X", "y"),
) -> tuple[np.ndarray, np.ndarray]:
    """Return the data as arrays that fit the network and the loss; floating targets take the network's dtype.

    Raises
    ------
    DtypeError
        ``dtype`` is not a real floating type.
    ShapeMismatchError
        ``X`` has another width than the network, or ``y`` another number of rows.
    OptionError
        There are no rows, or a class number is none of the network's.
    NonFiniteError
        There is NaN or infinity, in the data or after the cast to ``dtype``.
    """
    if dtype.kind != "f":
        raise DtypeError(message("train", f"dtype is {dtype}", "parameters must be real", "Pass float64 or float32"))
    inputs, targets = np.asarray(X), np.asarray(y)
    _check_shapes(model, inputs, targets, names)
    cast = _cast(inputs, dtype, names[0]), _cast(targets, dtype, names[1]) if targets.dtype.kind == "f" else targets
    width = getattr(model, "n_out", None)
    if loss is softmax_cross_entropy and targets.ndim == 1 and width is not None:
        check_labels("train", targets, width)
    return cast


def _check_shapes(model: Any, inputs: np.ndarray, targets: np.ndarray, names: tuple[str, str]) -> None:
    """Refuse shapes that fit neither the network nor each other."""
    width = getattr(model, "n_in", None)
    # A model may take sequences or images; the last axis is what n_in counts.
    axes = ", ".join(["n", "...", *([] if width is None else [str(width)])])
    if inputs.ndim == 0 or (width is not None and inputs.shape[-1] != width):
        what = f"{names[0]} has shape {inputs.shape}, the network takes ({axes})"
        fix = "Give one example per row, or change the width that the network takes"
        raise ShapeMismatchError(message("train", what, fix=fix))
    if targets.ndim == 0 or len(targets) != len(inputs):
        what = f"{names[1]} has shape {targets.shape}, {names[0]} has {len(inputs)} rows"
        raise ShapeMismatchError(message("train", what, fix=f"Give one target per row of {names[0]}"))
    if not len(inputs):
        raise OptionError(
            message("train", f"{names[0]} has no rows", "the mean over no examples is undefined", "Pass some")
        )


def _cast(array: np.ndarray, dtype: np.dtype[Any], name: str) -> np.ndarray:
    """Return an array in the network's dtype, all of it finite."""
    if array.dtype.kind not in "fiub":
        raise DtypeError(message("train", f"{name} has dtype {array.dtype}", fix="Pass real numbers"))
    with np.errstate(over="ignore"):
        cast = array.astype(dtype)
    bad = np.argwhere(~np.isfinite(cast))
    if bad.size:
        place = tuple(int(i) for i in bad[0])
        where = f"{name}[{', '.join(map(str, place))}]"
        if np.isfinite(array[place]):
            what = f"{where} is {array[place]:g}, which {dtype} cannot hold"
            raise NonFiniteError(message("train", what, fix="Rescale the data, or pass dtype=float64"))
        raise NonFiniteError(message("train", f"{where} is {array[place]}", fix="Remove or impute such rows"))
    return cast
