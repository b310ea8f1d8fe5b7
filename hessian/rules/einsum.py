"""``einsum``: lowered to transpose, reshape and matmul, so that BLAS does the work in every sweep."""

from __future__ import annotations

import math
import string
from typing import Any

import numpy as np

from hessian.errors import OptionError, ShapeMismatchError, message
from hessian.rules.broadcast import as_array
from hessian.rules.dispatch import composite
from hessian.rules.memory import lying_like, shrunk
from hessian.rules.products import matmul_op
from hessian.rules.spec import A, case


def _parse(subscripts: str, shapes: list[tuple[int, ...]]) -> tuple[list[str], str]:
    """Return operand labels and output labels with every ellipsis replaced by letters."""
    text = subscripts.replace(" ", "")
    inputs, arrow, output = text.partition("->")
    if any(not (c.isascii() and c.isalpha()) for c in text.replace("->", "", 1).replace("...", "").replace(",", "")):
        raise OptionError(message("einsum", f"{subscripts!r} names an axis by something else than a letter"))
    terms = inputs.split(",")
    if len(terms) != len(shapes):
        raise ShapeMismatchError(
            message("einsum", f"{subscripts!r} names {len(terms)} operands, {len(shapes)} are given")
        )
    spare = [chr(c) for c in range(ord("a"), ord("z") + 1) if chr(c) not in text]
    widths = [len(shape) - len(term.replace("...", "")) for term, shape in zip(terms, shapes, strict=True)]
    widest = max((w for w, term in zip(widths, terms, strict=True) if "..." in term), default=0)
    if widest > len(spare) or any(w < 0 or (w and "..." not in t) for w, t in zip(widths, terms, strict=True)):
        raise ShapeMismatchError(message("einsum", f"{subscripts!r} does not fit operands of shapes {shapes}"))
    dots = "".join(spare[:widest])
    terms = [t.replace("...", dots[widest - w :]) for t, w in zip(terms, widths, strict=True)]
    if not arrow:
        letters = "".join(terms)
        output = ("..." if "..." in text else "") + "".join(
            sorted(c for c in set(letters) - set(dots) if letters.count(c) == 1)
        )
    if widest and arrow and "..." not in output:
        raise ShapeMismatchError(message("einsum", f"the output of {subscripts!r} lacks the ellipsis of its operands"))
    lengths: dict[str, int] = {}
    for term, shape in zip(terms, shapes, strict=True):
        for label, length in zip(term, shape, strict=True):
            if lengths.setdefault(label, length) != length and 1 not in (length, lengths[label]):
                what = f"label {label!r} stands for lengths {lengths[label]} and {length} in {subscripts!r}"
                raise ShapeMismatchError(message("einsum", what))
            lengths[label] = max(length, lengths[label])
    return terms, output.replace("...", dots)


def _collapse(x: Any, labels: str, keep: set[str]) -> tuple[Any, str]:
    """Take diagonals of repeated labels and sum over those not in ``keep``."""
    for c in sorted({c for c in labels if labels.count(c) > 1}):
        while labels.count(c) > 1:
            i, j = labels.index(c), labels.rindex(c)
            if x.shape[i] != x.shape[j]:
                what = f"label {c!r} stands for lengths {x.shape[i]} and {x.shape[j]} in one operand"
                raise ShapeMismatchError(message("einsum", what))
            x = np.diagonal(x, axis1=i, axis2=j)
            labels = labels[:i] + labels[i + 1 : j] + labels[j + 1 :] + c
    gone = tuple(i for i, c in enumerate(labels) if c not in keep)
    return (np.sum(x, axis=gone) if gone else x), "".join(c for c in labels if c in keep)


def _arrange(x: Any, labels: str, wanted: str) -> Any:
    return np.transpose(x, tuple(labels.index(c) for c in wanted)) if labels != wanted else x


def _without_stretched(x: Any, labels: str, other: Any, others: str) -> tuple[Any, str]:
    """Drop labels of length one that the other operand stretches: NumPy broadcasts them."""
    gone = {c for c in labels if c in others and x.shape[labels.index(c)] == 1 != other.shape[others.index(c)]}
    if not gone:
        return x, labels
    return _collapse(x, labels, set(labels) - gone)


def _pair(a: Any, la: str, b: Any, lb: str, out: set[str]) -> tuple[Any, str]:
    """Contract two operands by one stacked matrix product; ``out`` are the labels needed afterwards."""
    a, la = _without_stretched(a, la, b, lb)
    b, lb = _without_stretched(b, lb, a, la)
    a, la = _collapse(a, la, out | set(lb))
    b, lb = _collapse(b, lb, out | set(la))
    shared = [c for c in la if c in lb]
    loop = "".join(c for c in shared if c in out)
    summed = "".join(c for c in shared if c not in out)
    free_a, free_b = ("".join(c for c in labels if c not in shared) for labels in (la, lb))
    if not summed:
        left = np.reshape(_arrange(a, la, loop + free_a), _extent(a, la, loop + free_a) + (1,) * len(free_b))
        right = _arrange(b, lb, loop + free_b)
        right = np.reshape(right, _extent(b, lb, loop) + (1,) * len(free_a) + _extent(b, lb, free_b))
        return left * right, loop + free_a + free_b
    batch = np.broadcast_shapes(_extent(a, la, loop), _extent(b, lb, loop))
    rows, columns = _extent(a, la, free_a), _extent(b, lb, free_b)
    left = np.reshape(
        _arrange(a, la, loop + free_a + summed),
        (*_extent(a, la, loop), math.prod(rows), math.prod(_extent(a, la, summed))),
    )
    right = np.reshape(
        _arrange(b, lb, loop + summed + free_b),
        (*_extent(b, lb, loop), math.prod(_extent(b, lb, summed)), math.prod(columns)),
    )
    return np.reshape(matmul_op(left, right), batch + rows + columns), loop + free_a + free_b


def _lettered(given: list[Any]) -> tuple[str, tuple[Any, ...]]:
    """Return what is written with lists of whole numbers, ``einsum(a, [0, 1], b, [1, 2], [0, 2])``, with letters."""
    lists = [*given[1::2], *([given[-1]] if len(given) % 2 else [])]
    operands = tuple(given[: len(given) - len(given) % 2 : 2])
    if not all(type(labels) in (list, tuple) and all(map(_is_label, labels)) for labels in lists) or not operands:
        what = f"the axes are named by {', '.join(map(repr, lists)) or 'nothing'}"
        raise OptionError(
            message("einsum", what, fix="Write einsum('ij,jk->ik', a, b), or lists of whole numbers below 52")
        )
    # The order of these letters is that of the numbers, by which NumPy sorts the axes of a result that is not named.
    terms = ["".join("..." if label is Ellipsis else _LETTERS[label] for label in labels) for labels in lists]
    output = f"->{terms.pop()}" if len(given) % 2 else ""
    return ",".join(terms) + output, operands


_LETTERS = string.ascii_uppercase + string.ascii_lowercase


def _is_label(label: Any) -> bool:
    return label is Ellipsis or (isinstance(label, int | np.integer) and int(label) in range(len(_LETTERS)))


def _extent(x: Any, labels: str, wanted: str) -> tuple[int, ...]:
    return tuple(x.shape[labels.index(c)] for c in wanted)


@composite(
    np.einsum,
    cases=[
        case("ij,jk->ik", A(2, 3), A(3, 4)),
        case("ij,jk", A(2, 3), A(3, 4)),
        case("ii->i", A(3, 3)),
        case("ii", A(3, 3)),
        case("ij->j", A(2, 3)),
        case("...ij,...kj->...ik", A(5, 2, 3), A(5, 4, 3)),
        case("i,j->ji", A(2), A(3)),
        case("bhqd,bhkd->bhqk", A(2, 2, 3, 2), A(2, 2, 3, 2)),
        case("ij,jk,kl->il", A(2, 3), A(3, 2), A(2, 2)),
        case("i,i,i->", A(3), A(3), A(3)),
        case("iij,j->i", A(2, 2, 3), A(3)),
        case(A(2, 3), [0, 1], A(3, 4), [1, 30], [30, 0]),
        case(A(2, 3), [5, 1], A(3, 4), [1, 3]),
        case(A(5, 2, 3), (..., 0, 1), A(3), [1]),
    ],
)
def einsum(subscripts: Any, *operands: Any, out: Any = None, optimize: Any = False, **keywords: Any) -> Any:
    if out is not None or keywords:
        name = next(iter(keywords), "out")
        raise OptionError(message("einsum", f"the keyword {name!r} is not supported on traced values"))
    if not isinstance(subscripts, str):
        subscripts, operands = _lettered([subscripts, *operands])
    if not (isinstance(optimize, bool | str) or (isinstance(optimize, list | tuple) and "einsum_path" in optimize[:1])):
        raise OptionError(message("einsum", f"optimize is {optimize!r}", fix="Pass True, False or 'greedy'"))
    arrays = [as_array(x) for x in operands]
    terms, output = _parse(subscripts, [x.shape for x in arrays])
    pairs = list(zip(arrays, terms, strict=True))
    if len(pairs) == 1:
        return _arrange(*_collapse(*pairs[0], set(output)), output)
    if len(pairs) > 2:
        path = np.einsum_path(subscripts, *(np.broadcast_to(0.0, x.shape) for x in arrays), optimize="greedy")[0][1:]
    else:
        path = [(0, 1)]
    for step in path:
        taken = [pairs.pop(i) for i in sorted(step, reverse=True)]
        while len(taken) > 1:
            (b, lb), (a, la) = taken.pop(), taken.pop()
            needed = set(output).union(*(labels for _, labels in pairs + taken))
            taken.append(_pair(a, la, b, lb, needed))
        pairs.append(taken[0])
    result = _arrange(*_collapse(*pairs[0], set(output)), output)
    if result.ndim < 2:
        return result if result.ndim else result[()]
    return lying_like(result, np.einsum(subscripts, *map(shrunk, arrays), optimize=optimize))
