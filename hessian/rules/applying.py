"""Functions that apply a function of the caller's to parts of an array, and functions that go by other names."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from hessian.rules.broadcast import as_array, normalize_axis
from hessian.rules.dispatch import DISPATCH, composite, expose, refuse
from hessian.rules.indexing import moves_elements
from hessian.rules.order import plain
from hessian.rules.reductions import cumprod, cumsum, max_, min_
from hessian.rules.shaping import vstack
from hessian.rules.smooth import smooth_op
from hessian.rules.spec import A, case, nondifferentiable
from hessian.rules.traced import each_entered

for _name, _call in (("amax", max_), ("amin", min_)):
    expose(getattr(np, _name), _call, cases=[case(A(2, 3), axis=0)], kinks="shared equally among ties")
if hasattr(np, "row_stack") and np.__dict__.get("row_stack") not in DISPATCH:
    expose(np.row_stack, vstack, enters=each_entered, untested="another name of vstack, deprecated")  # noqa: NPY201


def _cumulative(target: Any, scan: Callable[..., Any], start: float) -> None:
    def call(x: Any, /, *, axis: Any = None, dtype: Any = None, out: Any = None, include_initial: bool = False) -> Any:
        if axis is None:
            if x.ndim != 1:
                raise ValueError("For arrays which have more than one dimension ``axis`` argument is required.")
            axis = 0
        y = scan(x, axis, dtype, out)
        if not include_initial:
            return y
        shape = [1 if i == axis % x.ndim else n for i, n in enumerate(y.shape)]
        return np.concatenate([np.full(shape, start, y.dtype), y], axis=axis)

    expose(target, call, cases=[case(A(4)), case(A(2, 3), axis=0, include_initial=True)])


if hasattr(np, "unstack"):  # NumPy 2.1
    _cumulative(np.cumulative_sum, cumsum, 0.0)
    _cumulative(np.cumulative_prod, cumprod, 1.0)

    @composite(np.unstack, cases=[case(A(2, 3)), case(A(2, 3), axis=1)])
    def unstack(x: Any, /, *, axis: int = 0) -> tuple[Any, ...]:
        if x.ndim == 0:
            raise ValueError("Input array must be at least 1-d.")
        return tuple(np.moveaxis(x, axis, 0)[i] for i in range(x.shape[axis]))


@composite(np.atleast_3d, cases=[case(A()), case(A(3)), case(A(2, 3))])
def atleast_3d(*arys: Any) -> Any:
    out = []
    for a in arys:
        a = as_array(a)
        if a.ndim < 3:
            shape = [(1, 1, 1), (1, *a.shape, 1), (*a.shape, 1)][a.ndim]
            a = np.reshape(a, shape)
        out.append(a)
    return out[0] if len(out) == 1 else tuple(out)


@composite(np.choose, cases=[case(np.array([1, 0, 1]), [A(3), A(3)])], enters=each_entered)
def choose(a: Any, choices: Any, out: Any = None, mode: str = "raise") -> Any:
    if out is not None:
        raise TypeError("output must be an array")
    a = np.asarray(plain(a, "choose", "the index"))
    if a.dtype.kind not in "iub":
        raise TypeError("Cannot cast the index to dtype('int64') according to the rule 'safe'")
    count = len(choices)
    if mode == "raise" and np.any((a < 0) | (a >= count)):
        raise ValueError("invalid entry in choice array")
    if mode not in ("raise", "wrap", "clip"):
        raise ValueError(f"clipmode not understood: {mode!r}")
    a = a % count if mode == "wrap" else np.clip(a, 0, count - 1)
    items = [choices[i] for i in range(count)]
    chosen = items[-1]
    for i in range(count - 1):
        chosen = np.where(a == i, items[i], chosen)
    return chosen if count > 1 else np.broadcast_to(chosen, np.broadcast_shapes(np.shape(chosen), a.shape))


@composite(np.apply_along_axis, untested="its argument is a function", enters=lambda x: x)
def apply_along_axis(func1d: Any, axis: Any, arr: Any, *args: Any, **kwargs: Any) -> Any:
    whole: Any = arr
    axis = normalize_axis(axis, whole.ndim, "apply_along_axis")
    rows = np.moveaxis(whole, axis, -1)
    places = list(np.ndindex(rows.shape[:-1]))
    if not places:
        raise ValueError("Cannot apply_along_axis when any iteration dimensions are 0")
    results = [func1d(rows[place], *args, **kwargs) for place in places]
    results = [np.stack(r) if isinstance(r, list | tuple) else r for r in results]
    stacked = np.reshape(np.stack(results), (*rows.shape[:-1], *np.shape(results[0])))
    inner = np.ndim(results[0])
    if not inner:
        return stacked
    return np.moveaxis(stacked, range(-inner, 0), [whole.ndim + axis + i for i in range(inner)])


@composite(np.apply_over_axes, untested="its argument is a function", enters=lambda x: x)
def apply_over_axes(func: Any, a: Any, axes: Any) -> Any:
    ndim = a.ndim
    for axis in np.atleast_1d(axes):
        result = func(a, int(axis) % ndim if axis < 0 else int(axis))
        result = np.expand_dims(result, int(axis)) if result.ndim != ndim else result
        if result.ndim != ndim:
            raise ValueError("function is not returning an array of the correct shape")
        a = result
    return a


def _windows(x: Any, window_shape: Any, axis: Any = None, **keywords: Any) -> Any:
    return moves_elements(np.lib.stride_tricks.sliding_window_view, x, window_shape, axis, **keywords)


expose(np.lib.stride_tricks.sliding_window_view, _windows, cases=[case(A(5), 3), case(A(3, 4), 2, axis=1)])


@composite(np.modf, cases=[case(A(4))], analytic=lambda x: (x - np.trunc(np.real(x)), np.trunc(np.real(x)) + 0 * x))
def modf(x: Any) -> tuple[Any, Any]:
    whole = np.trunc(x)
    return np.copysign(np.where(np.isinf(x), np.zeros((), x.dtype), x - whole), x), whole


ldexp_op = nondifferentiable("ldexp", np.ldexp)


@composite(np.ldexp, cases=[case(A(3), np.array([1, -2, 0])), case(A(2, 3), 2)], analytic=lambda x, i: x * 2.0**i)
def ldexp(x1: Any, x2: Any) -> Any:
    written = ldexp_op(x1, x2)
    return smooth_op(x1 * ldexp_op(np.ones((), written.dtype), x2), written)


exponent_op = nondifferentiable("frexp", lambda x: np.frexp(x)[1])


@composite(
    np.frexp,
    cases=[case(A(4))],
    kinks="the slope on the right at powers of two",
    analytic=lambda x: (x * 0.5 ** np.frexp(np.real(x))[1], np.frexp(np.real(x))[1] + 0 * x),
)
def frexp(x: Any) -> tuple[Any, Any]:
    exponent = exponent_op(x)
    return np.ldexp(x if x.dtype.kind == "f" else x.astype(np.frexp(np.ones(1, x.dtype))[0].dtype), -exponent), exponent


if hasattr(np, "astype"):  # NumPy 2.1

    @composite(np.astype, real_only=True, cases=[case(A(3), np.float64), case(A(2, 2), np.float64, copy=False)])
    def astype(x: Any, dtype: Any, /, *, copy: bool = True, device: Any = None) -> Any:
        refuse("astype", device=device)
        return x.astype(dtype, copy=copy)


@composite(np.divmod, real_only=True, cases=[case(A(4, domain=(1.0, 5.0)), A(4, domain=(0.5, 0.9)))], analytic=None)
def divmod_(x1: Any, x2: Any) -> tuple[Any, Any]:
    return np.floor_divide(x1, x2), np.remainder(x1, x2)
