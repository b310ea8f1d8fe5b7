"""Operations whose result carries no derivative: comparisons, rounding, searches, and arrays made from a shape.

They are recorded all the same, so that a recording knows what its masks depend on.
"""

from __future__ import annotations

import inspect
from typing import Any

import numpy as np

from hessian.rules.dispatch import expose
from hessian.rules.spec import OPERATIONS, Nondifferentiable, Traced, nondifferentiable


def _nondifferentiable(target: Any) -> None:
    """Declare one function whose derivative is exactly zero where it exists."""
    operation = nondifferentiable(target.__name__, _count if target is np.count_nonzero else target)
    expose(target, operation if isinstance(target, np.ufunc) else _positional(target, operation))


def _count(a: Any, axis: Any = None, keepdims: Any = False) -> Any:
    """Stand for ``np.count_nonzero``, which gives a Python int before NumPy 2.3: a value on a tape has a dtype."""
    return np.asarray(np.count_nonzero(a, axis, keepdims=keepdims))[()]


def _spelled_out(prototype: Any, dtype: Any = None, order: str = "K", subok: bool = True, shape: Any = None) -> None:
    """Stand for ``np.empty_like``, whose parameters NumPy tells from version 2.4 on."""


def _positional(target: Any, operation: Nondifferentiable) -> Any:
    """Bind keywords to positions: an operation looks for traced values among its positional arguments."""
    signature = inspect.signature(_spelled_out if target is np.empty_like else target)

    def call(*args: Any, **keywords: Any) -> Any:
        given = signature.bind(*args, **keywords).arguments
        last = max(i for i, x in enumerate(given.values()) if isinstance(x, Traced))
        items = list(given.items())
        return operation(*(x for _, x in items[: last + 1]), **dict(items[last + 1 :]))

    call.operation = operation  # type: ignore[attr-defined]  # the catalogue names its kind
    return call


for _target in (
    np.greater,
    np.greater_equal,
    np.less,
    np.less_equal,
    np.equal,
    np.not_equal,
    np.logical_and,
    np.logical_or,
    np.logical_not,
    np.logical_xor,
    np.bitwise_and,
    np.bitwise_or,
    np.bitwise_xor,
    np.invert,
    np.isnan,
    np.isinf,
    np.isfinite,
    np.signbit,
    np.sign,
    np.floor,
    np.ceil,
    np.trunc,
    np.rint,
    np.floor_divide,
    np.round,
    np.argmax,
    np.argmin,
    np.argsort,
    np.any,
    np.all,
    np.count_nonzero,
    np.isclose,
    np.searchsorted,
    np.digitize,
    np.zeros_like,
    np.ones_like,
    np.empty_like,
    np.imag,
):
    _nondifferentiable(_target)

expose(np.around, OPERATIONS["round"])
expose(np.fix, OPERATIONS["trunc"])  # deprecated by NumPy 2.5 in favour of its twin
expose(np.shape, lambda a: a.shape)
expose(np.ndim, lambda a: a.ndim)
expose(np.size, lambda a, axis=None: np.size(np.broadcast_to(0.0, a.shape), axis))
expose(np.iscomplexobj, lambda x: False)
expose(np.isrealobj, lambda x: True)
expose(np.allclose, lambda a, b, *args, **keywords: bool(np.all(np.isclose(a, b, *args, **keywords))))
expose(np.array_equal, lambda a, b, equal_nan=False: _array_equal(a, b, equal_nan))
expose(np.nonzero, lambda a: a.nonzero())
expose(np.flatnonzero, lambda a: np.ravel(a).nonzero()[0])
expose(np.result_type, lambda *xs: np.result_type(*[x.dtype if isinstance(x, Traced) else x for x in xs]))


# The scalar type of a number depends on its value, which has to leave the tape.
expose(np.min_scalar_type, lambda a: a.dtype if a.ndim else np.min_scalar_type(a.item()))


def _array_equal(a: Any, b: Any, equal_nan: bool) -> bool:
    if np.shape(a) != np.shape(b):
        return False
    same = np.equal(a, b)
    return bool(np.all(np.logical_or(same, np.logical_and(np.isnan(a), np.isnan(b))) if equal_nan else same))
