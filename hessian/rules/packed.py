"""Complex arrays as real ones with a last axis for the two parts, as they lie in memory; rows of functions of complex arrays."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from hessian.rules.operation import Operation
from hessian.rules.pairs import Parts, joined, parts_of
from hessian.rules.spec import General, general


def parts_apart(x: np.ndarray) -> np.ndarray:
    """Read the last axis as real and imaginary part."""
    x = np.ascontiguousarray(x)
    return x.view(np.result_type(x.dtype, np.complex64))[..., 0]


def parts_last(z: np.ndarray) -> np.ndarray:
    """Return real and imaginary part along a last axis."""
    z = np.ascontiguousarray(np.asarray(z)[..., None])
    return z.view(z.real.dtype)


def packed(a: Any) -> Any:
    return np.stack(parts_of(a).both(), axis=-1)


def unpacked(x: Any) -> Any:
    return joined(x[..., 0], x[..., 1])


def complex_row(name: str, function: Callable[..., Any], pushforward: Any, pullback: Any, **fields: Any) -> General:
    """Declare a function of complex matrices by formulas in complex numbers; the parts lie along the last axis."""
    return general(
        name,
        lambda x, **params: parts_last(function(parts_apart(x), **params)),
        pushforward=lambda y, xs, dots, **params: packed(
            pushforward(unpacked(y), unpacked(xs[0]), unpacked(dots[0]), **params)
        ),
        pullback=lambda y, xs, g, wanted, **params: [
            packed(pullback(unpacked(y), unpacked(xs[0]), unpacked(g), **params))
        ],
        real_only=True,
        **fields,
    )


def on_packed(row: Operation, *matrices: Parts, **params: Any) -> Any:
    """Apply a row of packed arrays to the parts of complex ones."""
    return row(*(np.stack(matrix.both(), axis=-1) for matrix in matrices), **params)
