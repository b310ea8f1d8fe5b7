"""Operations that only programs have, and what the pieces of an ``assemble`` do to what they are put into."""

from __future__ import annotations

import numpy as np

from hessian.programs.ir import Node
from hessian.rules.memory import laid_out
from hessian.rules.patterns import broadcast
from hessian.rules.shaping import broadcast_op, permute_op
from hessian.rules.spec import A, Linear, case, linear, nondifferentiable

lay_out_op = linear(
    "lay_out",
    lambda x, *, strides: laid_out(x, strides=strides) if x.ndim == len(strides) else x.copy(),
    transpose=lambda g, x_shape, *, strides: g,
    moves=True,
    pattern=lambda y, xs, **params: broadcast(y, xs),
    cases=[case(A(2, 3), strides=(8, 16))],
    real_only=True,
)
"""A copy with given strides."""
arrange_op: Linear = linear(
    "arrange",
    lambda x, *, axes: np.ascontiguousarray(permute_op.function(x, axes=axes)),
    transpose=lambda g, x_shape, *, axes: arrange_op(g, axes=tuple(int(i) for i in np.argsort(axes))),
    moves=True,
    cases=[case(A(2, 3), axes=(1, 0))],
)
"""A permutation of axes in memory, where ``permute`` is a view."""
spread_op = linear(
    "spread",
    lambda x, *, shape, ndim: np.array(broadcast_op.function(x, shape=shape, ndim=ndim)),
    transpose=broadcast_op.transpose,
    moves=True,
    cases=[case(A(3), shape=(2, 3), ndim=1)],
)
"""A broadcast in memory, where ``broadcast_to`` is a view."""
reserve_op = nondifferentiable("reserve", lambda: None)
"""Memory that is filled by what reads it."""
take_op = nondifferentiable("take", lambda x, index: x.reshape(-1).take(index, mode="clip"))
"""Elements at flat positions."""
rows_op = nondifferentiable("rows", lambda *arrays, blocks: blocks.run(arrays), raises=())
"""A part of a section that is computed in blocks of rows: takes values and the memory to fill, gives sums over rows.
What it runs tells whose errors they are."""
place_op = nondifferentiable("place", lambda *arrays, placement: placement(*arrays), raises=())
"""Numbers of sparse matrices, put where they belong by something that ``fill`` s memory with them."""
item_op = nondifferentiable("item", lambda parts, *, i: parts[i])
"""One of several results."""


def roles(node: Node) -> list[str]:
    """Say of each piece of an ``assemble`` whether it is assigned to its place or added to what is there."""
    seen = np.zeros(node.shape, bool)
    words = []
    for index in node.params["indices"]:
        words.append("add" if seen[index].any() else "assign")
        seen[index] = True
    return words


def holes(node: Node) -> np.ndarray:
    """Mark the elements of an ``assemble`` to which something is added and nothing assigned."""
    assigned, added = np.zeros(node.shape, bool), np.zeros(node.shape, bool)
    for index, role in zip(node.params["indices"], roles(node), strict=True):
        (assigned if role == "assign" else added)[index] = True
    return added & ~assigned


def is_covered(node: Node) -> bool:
    """Tell whether the pieces of an ``assemble`` reach every element."""
    seen = np.zeros(node.shape, bool)
    for index in node.params["indices"]:
        seen[index] = True
    return bool(seen.all())
