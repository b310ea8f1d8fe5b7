"""Arrays put together from pieces: sums of embedded parts and concatenations become one operation.

The gradient of a function of slices is a sum of arrays that are zero outside a slice. Written as one ``assemble``, each piece
goes straight to its place in the result.
"""

from __future__ import annotations

from collections.abc import Sequence

from hessian.programs.ir import Guard, Node, Section
from hessian.programs.passes.job import Job
from hessian.rules import elementwise as ew
from hessian.rules.indexing import embed_op
from hessian.rules.pieces import assemble_op
from hessian.rules.shaping import concatenate_op


def assemble(sections: Sequence[Section], job: Job) -> Sequence[Section]:
    """Put pieces together."""
    (whole,) = sections
    uses: dict[int, int] = {}
    for node in whole.nodes:
        for arg in node.args:
            uses[arg.serial] = uses.get(arg.serial, 0) + 1
    for root in whole.ends:
        uses[root.serial] = uses.get(root.serial, 0) + 1
    inner = _inside_sums(whole.nodes, uses)
    new: dict[int, Node] = {}
    made: list[Node] = []
    for node in whole.nodes:
        if node.serial not in inner:
            if node.operation in _PUT_TOGETHER:
                made.extend(_rebuilt(node, inner, new))
            else:
                made.append(node.on([new.get(arg.serial, arg) for arg in node.args]))
            new[node.serial] = made[-1]
    outputs = [new.get(node.serial, node) for node in whole.outputs]
    guards = [Guard(new.get(g.node.serial, g.node), g.seen, g.early) for g in whole.guards]
    return [Section(whole.name, whole.inputs, made, outputs, guards)]


_PUT_TOGETHER = (ew.add, embed_op, concatenate_op)


def _is_sum(node: Node) -> bool:
    """Tell whether a node is a sum whose terms may be added in another order."""
    if node.operation is not ew.add or node.bitwise:
        return False
    return all(arg.shape == node.shape and arg.dtype == node.dtype for arg in node.args)


def _inside_sums(nodes: Sequence[Node], uses: dict[int, int]) -> set[int]:
    """Return the sums that are only read by another sum."""
    inside: set[int] = set()
    for node in nodes:
        if _is_sum(node):
            inside.update(arg.serial for arg in node.args if _is_sum(arg) and uses[arg.serial] == 1)
    return inside


def _terms(node: Node, inner: set[int]) -> list[Node]:
    """Return what a sum adds up, from left to right."""
    terms, pending = [], list(reversed(node.args))
    while pending:
        term = pending.pop()
        if term.serial in inner:
            pending.extend(reversed(term.args))
        else:
            terms.append(term)
    return terms


def _rebuilt(node: Node, inner: set[int], new: dict[int, Node]) -> list[Node]:
    """Return what a node becomes, with what has to be made for it before."""
    if node.operation is concatenate_op and all(arg.dtype == node.dtype for arg in node.args):
        return [_concatenation(node, [new.get(arg.serial, arg) for arg in node.args])]
    is_sum = _is_sum(node)
    if node.operation is not embed_op and not is_sum:
        return [node.on([new.get(arg.serial, arg) for arg in node.args])]
    terms = _terms(node, inner) if is_sum else [node]
    embedded = [term for term in terms if term.operation is embed_op]
    if not embedded and len(terms) == 2:
        return [node.on([new.get(arg.serial, arg) for arg in node.args])]
    others = [new.get(term.serial, term) for term in terms if term.operation is not embed_op]
    if not embedded:
        return _sums_of(others, node)
    params = {"indices": tuple(term.params["index"] for term in embedded), "shape": node.shape}
    pieces = tuple(new.get(term.args[0].serial, term.args[0]) for term in embedded)
    level = max(piece.level for piece in pieces)
    whole = Node(assemble_op, pieces, params, node.shape, node.dtype, level, bitwise=node.bitwise)
    return [whole, *_sums_of([whole, *others], node)]


def _concatenation(node: Node, pieces: list[Node]) -> Node:
    axis, indices, start = node.params["axis"] + len(node.shape), [], 0
    for piece in pieces:
        stop = start + piece.shape[axis]
        indices.append((*(slice(None),) * axis, slice(start, stop), *(slice(None),) * (len(node.shape) - axis - 1)))
        start = stop
    params = {"indices": tuple(indices), "shape": node.shape}
    return Node(assemble_op, tuple(pieces), params, node.shape, node.dtype, node.level, bitwise=node.bitwise)


def _sums_of(terms: list[Node], like: Node) -> list[Node]:
    """Return the sums of the first terms, of ever more of them."""
    sums: list[Node] = []
    for term in terms[1:]:
        total = sums[-1] if sums else terms[0]
        sums.append(Node(ew.add, (total, term), {}, like.shape, like.dtype, max(total.level, term.level)))
    return sums
