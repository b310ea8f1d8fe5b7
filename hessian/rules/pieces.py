"""Arrays put together from pieces: what many assignments to rows or elements make of an array, as one operation."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from hessian.rules.indexing import slice_op
from hessian.rules.spec import A, case, linear


def _assemble(*pieces: Any, indices: Sequence[Any], shape: tuple[int, ...]) -> np.ndarray:
    stay = sum(1 for part in indices[0] if part is None or isinstance(part, slice))
    lead = pieces[0].shape[: pieces[0].ndim - stay]
    every = (slice(None),) * len(lead)
    out, seen = np.zeros((*lead, *shape), pieces[0].dtype), np.zeros(shape, bool)
    for piece, index in zip(pieces, indices, strict=True):
        if seen[index].any():
            out[every + tuple(index)] += piece
        else:
            # Not added to zero, which would lose the sign of one.
            out[every + tuple(index)] = piece
        seen[index] = True
    return out


def _transpose(g: Any, positions: Any, shapes: Any, *, indices: Any, shape: tuple[int, ...]) -> list[Any]:
    return [slice_op(g, index=tuple(indices[p]), ndim=len(shape)) for p in positions]


assemble_op = linear(
    "assemble",
    _assemble,
    transpose=_transpose,
    variadic=True,
    moves=True,
    pattern="transpose",
    cases=[
        case(A(3), A(2), indices=((slice(0, 3),), (slice(2, 4),)), shape=(4,)),
        case(A(3), A(2, 1), indices=((0, slice(None)), (slice(1, 3), slice(2, 3))), shape=(3, 3)),
    ],
)
"""The sum of pieces, each in its place in an array of zeros."""
