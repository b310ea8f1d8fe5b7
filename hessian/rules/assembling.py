"""NumPy's ways to put an array together from others by nesting, choosing and pieces: composed of rows."""

from __future__ import annotations

from typing import Any

import numpy as np

from hessian.errors import DtypeError, OptionError, ShapeMismatchError, message
from hessian.rules.broadcast import as_array
from hessian.rules.dispatch import composite
from hessian.rules.indexing import take
from hessian.rules.spec import A, Traced, case
from hessian.rules.traced import as_given, each_entered, entered


@composite(np.block, cases=[case([A(2), A(3)]), case([A(2, 1), A(2, 2)])], enters=as_given)
def block(arrays: Any) -> Any:
    depth = _depth(arrays)
    ndim = max(depth, _most_axes(arrays))
    return _joined(arrays, depth, ndim)


def _depth(blocks: Any) -> int:
    """Return how deep lists are nested; every block must be as deep."""
    if isinstance(blocks, tuple):
        raise DtypeError(message("block", "the blocks are in a tuple", fix="Pass lists"))
    if not isinstance(blocks, list):
        return 0
    depths = {_depth(part) for part in blocks}
    if len(depths) != 1:
        what = "it is empty" if not depths else f"blocks are nested {sorted(depths)} deep"
        raise ShapeMismatchError(message("block", what, fix="Nest all blocks alike"))
    return 1 + depths.pop()


def _most_axes(blocks: Any) -> int:
    return max(map(_most_axes, blocks)) if isinstance(blocks, list) else np.ndim(blocks)


def _joined(blocks: Any, depth: int, ndim: int) -> Any:
    if isinstance(blocks, list):
        return np.concatenate([_joined(part, depth - 1, ndim) for part in blocks], axis=-depth)
    x = as_array(blocks)
    opened = np.reshape(x, (1,) * (ndim - x.ndim) + x.shape)
    return opened if ndim else np.copy(opened)


@composite(
    np.select,
    cases=[
        case([np.array([True, False, False]), np.array([True, True, False])], [A(3), A(3)], 0.5),
        case([np.array([True, False])], [A(2, 2)]),
    ],
    enters=each_entered,
)
def select(condlist: Any, choicelist: Any, default: Any = 0) -> Any:
    if len(condlist) != len(choicelist) or not len(condlist):
        what = f"{len(condlist)} conditions for {len(choicelist)} choices"
        raise OptionError(message("select", what, fix="Pass a choice for each condition"))
    conditions = [as_array(c) for c in condlist]
    if any(c.dtype.kind != "b" for c in conditions):
        raise DtypeError(message("select", "a condition is no boolean array", fix="Compare: x > 0"))
    result = default
    for condition, choice in zip(reversed(conditions), reversed(list(choicelist)), strict=True):
        result = np.where(condition, choice, result)
    return result.lying_in(tuple(range(result.ndim))) if isinstance(result, Traced) else result


@composite(np.piecewise, untested="its arguments are functions", enters=as_given)
def piecewise(x: Any, condlist: Any, funclist: Any, *args: Any, **keywords: Any) -> Any:
    x = as_array(x)
    if np.isscalar(condlist) or (not isinstance(condlist[0], list | np.ndarray | Traced) and x.ndim):
        condlist = [condlist]
    conditions = [np.asarray(entered(c), bool) for c in condlist]
    if len(funclist) == len(conditions) + 1:
        conditions.append(~np.any(conditions, axis=0))
    elif len(funclist) != len(conditions):
        what = f"{len(conditions)} conditions for {len(funclist)} functions"
        raise OptionError(message("piecewise", what, fix="Pass a function for each, and one more for the rest"))
    y: Any = np.zeros_like(x)
    for condition, piece in zip(conditions, funclist, strict=True):
        part = x[condition]
        if not callable(piece):
            y[condition] = piece
        elif part.size:
            y[condition] = piece(part, *args, **keywords)
    return y


def joined_by(maker: Any, parts: tuple[Any, ...]) -> Any:
    """Return what ``np.r_`` or ``np.c_`` makes of parts of which some are traced: of numbered elements it says where each goes."""
    pieces: list[Any] = []
    places: list[Any] = []
    kinds: list[Any] = []
    count = 0
    for part in parts:
        if isinstance(part, str):
            if part in ("r", "c"):
                raise OptionError(message("np.r_", f"{part!r} asks for a matrix", fix="Leave it out, or use np.c_"))
            places.append(part)
            continue
        piece = as_array(_range(part) if isinstance(part, slice) else entered(part))
        is_number = np.isscalar(part) and not isinstance(part, Traced)
        pieces.append(piece)
        kinds.append(part if is_number else piece.dtype)
        places.append(np.arange(count, count + piece.size).reshape(piece.shape))
        count += piece.size
    dtype = np.result_type(*kinds)
    flat = np.concatenate([np.ravel(x if x.dtype == dtype else x.astype(dtype)) for x in pieces])
    return take(flat, maker[tuple(places)])


def _range(part: slice) -> Any:
    """Return the numbers of a slice, between traced ends only by their count, as in ``a:b:5j``."""
    if isinstance(part.step, complex):
        return np.linspace(0 if part.start is None else part.start, part.stop, int(abs(part.step)))
    return np.r_[part]
