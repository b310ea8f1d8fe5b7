"""Twins of those functions of scipy.special that do not dispatch.

``scipy.special.logsumexp``, ``softmax`` and ``log_softmax`` are Python functions that convert their argument to an array
first, so a traced value cannot pass through them. The functions of the same names here accept both.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy.special as sc

from hessian.arguments import whole_number
from hessian.rules.broadcast import normalize_axes
from hessian.rules.dispatch import expose
from hessian.rules.polygamma import polygamma_op
from hessian.rules.softmax import log_softmax_op, logsumexp_op, softmax_op
from hessian.rules.spec import A, Traced, case


def logsumexp(a: Any, axis: Any = None, keepdims: bool = False) -> Any:
    r"""Compute the logarithm of a sum of exponentials, :math:`\log \sum_i e^{a_i}`, without overflow.

    Parameters
    ----------
    a : array_like, shape (...)
        Real numbers; arrays or traced values. dtype is kept.
    axis : int, tuple of int or None
        Axes to sum over; ``None`` means all.
    keepdims : bool
        Keep summed axes with length one.

    Returns
    -------
    ndarray or float

    Raises
    ------
    AxisError
        ``axis`` is out of bounds.

    Notes
    -----
    Twin of :func:`scipy.special.logsumexp`, which converts its argument to a plain array and cannot carry derivatives. The
    largest entry is taken out of the sum, so that ``logsumexp([0, -100])`` is ``exp(-100)`` and not 0. The gradient is
    ``softmax``; at infinite entries their equal shares, and 0 where every entry is -inf.

    Examples
    --------
    >>> import numpy as np
    >>> from hessian.scipy.special import logsumexp
    >>> round(float(logsumexp(np.log([1.0, 2.0, 3.0]))), 12) == round(float(np.log(6.0)), 12)
    True
    """
    a = _as_float(a)
    if _is_plain_complex(a):
        return sc.logsumexp(a, axis=axis, keepdims=keepdims)
    axes = normalize_axes(axis, a.ndim, "logsumexp")
    y = logsumexp_op(a, axes=axes)
    return y if keepdims else np.squeeze(y, axis=axes)[()]


def log_softmax(x: Any, axis: Any = None) -> Any:
    r"""Compute :math:`x - \log \sum_i e^{x_i}` along ``axis`` (all axes if ``None``), without overflow.

    Twin of :func:`scipy.special.log_softmax` that also takes traced values. It is formed from differences to the largest entry:
    its error is relative to the result, however large x is.

    Parameters
    ----------
    x : array_like
        Real numbers; arrays or traced values. dtype is kept.
    axis : int, tuple of int or None
        Axes to add up along; ``None`` means all.

    Returns
    -------
    array, shape of x

    Examples
    --------
    >>> from hessian.scipy.special import log_softmax
    >>> log_softmax([0.0, 0.0]).round(6).tolist()
    [-0.693147, -0.693147]
    """
    x = _as_float(x)
    if _is_plain_complex(x):
        return sc.log_softmax(x, axis)
    return log_softmax_op(x, axes=normalize_axes(axis, x.ndim, "log_softmax"))[()]


def softmax(x: Any, axis: Any = None) -> Any:
    r"""Compute :math:`e^{x_i} / \sum_j e^{x_j}` along ``axis`` (all axes if ``None``), without overflow.

    Twin of :func:`scipy.special.softmax` that also takes traced values.

    Parameters
    ----------
    x : array_like
        Real numbers; arrays or traced values. dtype is kept.
    axis : int, tuple of int or None
        Axes to add up along; ``None`` means all.

    Returns
    -------
    array, shape of x

    Examples
    --------
    >>> from hessian.scipy.special import softmax
    >>> softmax([0.0, 0.0]).tolist()
    [0.5, 0.5]
    """
    x = _as_float(x)
    if _is_plain_complex(x):
        return sc.softmax(x, axis)
    return softmax_op(x, axes=normalize_axes(axis, x.ndim, "softmax"))[()]


def _as_float(a: Any) -> Any:
    if isinstance(a, Traced):
        return a
    array = np.asarray(a)
    if array.dtype.hasobject:
        return np.reshape(np.stack(array.ravel().tolist()), array.shape)
    return array if array.dtype.kind in "fc" else array.astype(float)


def _is_plain_complex(x: Any) -> bool:
    return not isinstance(x, Traced) and x.dtype.kind == "c"


def polygamma(n: int, x: Any) -> Any:
    r"""Compute the n-th derivative of the digamma function, :math:`\psi^{(n)}(x)`, for x > 0.

    Twin of :func:`scipy.special.polygamma` that also takes traced values.

    Parameters
    ----------
    n : int
        Order of the derivative, a constant.
    x : array_like
        Positive numbers; arrays or traced values.

    Returns
    -------
    array, shape of x

    Raises
    ------
    OptionError
        The order n is not a nonnegative integer.

    References
    ----------
    Abramowitz & Stegun, *Handbook of Mathematical Functions* (1964), 6.4.10.

    Examples
    --------
    >>> import math
    >>> from hessian.scipy.special import polygamma
    >>> math.isclose(polygamma(1, 1.0), math.pi**2 / 6, rel_tol=1e-15)
    True
    """
    n = whole_number("polygamma", "the order", n, 0)
    x = _as_float(x)
    return sc.digamma(x) if n == 0 else polygamma_op(x, n=n)


# The twins are entered as their own targets, so that the registry walk covers them like any NumPy function.
for _twin, _plain in ((logsumexp, sc.logsumexp), (log_softmax, sc.log_softmax), (softmax, sc.softmax)):
    _cases = [case(A(4)), case(A(2, 3), axis=1), case(A(2, 3, 2), axis=0)]
    expose(_twin, _twin, cases=_cases, analytic=_plain, plain=_plain)

expose(
    polygamma,
    polygamma,
    cases=[case(0, A(3)), case(1, A(3)), case(3, A(2, 2))],
    domain=(0.4, 4.0),
    plain=sc.polygamma,
    real_only=True,
)
