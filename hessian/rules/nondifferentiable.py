"""Operations whose result carries no derivative: comparisons, rounding, searches, and arrays made from a shape.

They are recorded all the same, so that a recording knows what its masks depend on.
"""

from __future__ import annotations

import inspect
from typing import Any

import numpy as np

from hessian.rules.dispatch import expose
from hessian.rules.spec import OPERATIONS, A, Nondifferentiable, Traced, case, nondifferentiable


def _declare(*targets: Any, cases: Any = (), function: Any = None, untested: str = "") -> None:
    """Declare functions whose derivative is exactly zero where it exists."""
    for target in targets:
        row = nondifferentiable(target.__name__, function or target, cases=cases)
        expose(target, row if isinstance(target, np.ufunc) else _positional(target, row), row=row, untested=untested)


def _count(a: Any, axis: Any = None, keepdims: Any = False) -> Any:
    """Stand for ``np.count_nonzero``, which gives a Python int before NumPy 2.3: a value on a tape has a dtype."""
    return np.asarray(np.count_nonzero(a, axis, keepdims=keepdims))[()]


_SPELLED_OUT: dict[Any, Any] = {
    np.empty_like: lambda prototype, dtype=None, order="K", subok=True, shape=None: None,
    np.lexsort: lambda keys, axis=-1: None,
}
"""Functions written in C, whose parameters NumPy tells from version 2.4 on."""


def _positional(target: Any, row: Nondifferentiable) -> Any:
    """Bind keywords to positions: an operation looks for traced values among its positional arguments."""
    signature = inspect.signature(_SPELLED_OUT.get(target, target))

    def call(*args: Any, **keywords: Any) -> Any:
        given = signature.bind(*args, **keywords).arguments
        last = max(i for i, x in enumerate(given.values()) if isinstance(x, Traced))
        items = list(given.items())
        return row(*(x for _, x in items[: last + 1]), **dict(items[last + 1 :]))

    return call


_bits = A(6, make=lambda rng: rng.uniform(-1, 1, 6) > 0)

_declare(np.logical_not, np.isnan, np.isinf, np.isfinite, np.signbit, np.sign, cases=[case(A(6))])
_declare(np.floor, np.ceil, np.trunc, np.rint, np.round, cases=[case(A(6))])
_declare(np.greater, np.greater_equal, np.less, np.less_equal, np.equal, np.not_equal, cases=[case(A(6), A(6))])
_declare(np.logical_and, np.logical_or, np.logical_xor, np.floor_divide, cases=[case(A(6), A(6))])
_declare(np.bitwise_and, np.bitwise_or, np.bitwise_xor, cases=[case(_bits, _bits)])
_declare(np.invert, cases=[case(_bits)])
_declare(np.argmax, np.argmin, np.argsort, np.any, np.all, cases=[case(A(6))])
_declare(np.count_nonzero, function=_count, cases=[case(A(6))])
_declare(np.isclose, cases=[case(A(6), 1.0)])
_declare(np.searchsorted, cases=[case(A(6, make=lambda rng: np.sort(rng.uniform(-1, 1, 6))), 0.3)])
_declare(np.argpartition, cases=[case(A(6), 2)])
_declare(np.nanargmax, np.nanargmin, np.spacing, np.isneginf, np.isposinf, cases=[case(A(6))])
_declare(np.isin, cases=[case(A(6), np.array([0.5]))])
_declare(np.lexsort, cases=[case(A(2, 6))])
_declare(np.digitize, cases=[case(A(6), np.array([0.0, 1.0]))])
_declare(np.zeros_like, np.ones_like, np.imag, cases=[case(A(6))])
_declare(np.empty_like, untested="its numbers are whatever the memory holds")

expose(np.around, OPERATIONS["round"])
expose(np.fix, OPERATIONS["trunc"])  # deprecated by NumPy 2.5 in favour of its twin
for _target, _call in (
    (np.shape, lambda a: a.shape),
    (np.ndim, lambda a: a.ndim),
    (np.size, lambda a, axis=None: np.size(np.broadcast_to(0.0, a.shape), axis)),
    (np.iscomplexobj, lambda x: x.dtype.kind == "c"),
    (np.isrealobj, lambda x: x.dtype.kind != "c"),
    (np.allclose, lambda a, b, *args, **keywords: bool(np.all(np.isclose(a, b, *args, **keywords)))),
    (np.array_equal, lambda a, b, equal_nan=False: _array_equal(a, b, equal_nan)),
    (np.array_equiv, lambda a1, a2: _array_equiv(a1, a2)),
    (np.nonzero, lambda a: a.nonzero()),
    (np.argwhere, lambda a: np.transpose(a.nonzero()) if a.ndim else np.argwhere(np.asarray(a != 0))),
    (np.diag_indices_from, lambda arr: np.diag_indices_from(np.broadcast_to(0.0, arr.shape))),
    (np.tril_indices_from, lambda arr, k=0: np.tril_indices_from(np.broadcast_to(0.0, arr.shape), k)),
    (np.triu_indices_from, lambda arr, k=0: np.triu_indices_from(np.broadcast_to(0.0, arr.shape), k)),
    (np.flatnonzero, lambda a: np.ravel(a).nonzero()[0]),
    (np.result_type, lambda *xs: np.result_type(*[x.dtype if isinstance(x, Traced) else x for x in xs])),
    # The scalar type of a number depends on its value, which has to leave the tape.
    (np.min_scalar_type, lambda a: a.dtype if a.ndim else np.min_scalar_type(a.item())),
):
    expose(_target, _call, untested="it asks for a shape, a type or a truth value")


def _array_equiv(a: Any, b: Any) -> bool:
    try:
        np.broadcast_shapes(np.shape(a), np.shape(b))
    except ValueError:
        return False
    return bool(np.all(np.equal(a, b)))


def _array_equal(a: Any, b: Any, equal_nan: bool) -> bool:
    if np.shape(a) != np.shape(b):
        return False
    same = np.equal(a, b)
    return bool(np.all(np.logical_or(same, np.logical_and(np.isnan(a), np.isnan(b))) if equal_nan else same))
