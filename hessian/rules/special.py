"""Rows of scipy.special, and twins of those of its functions that do not dispatch.

``scipy.special.logsumexp``, ``softmax`` and ``log_softmax`` are Python functions that convert their argument to an array
first, so a traced value cannot pass through them. The functions of the same names here accept both.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import scipy.special as sc

from hessian.errors import OptionError, message
from hessian.rules import elementwise as ew
from hessian.rules.broadcast import normalize_axes
from hessian.rules.softmax import log_softmax_op, logsumexp_op, softmax_op
from hessian.rules.spec import A, Elementwise, Traced, case, elementwise, expose, register

_POSITIVE, _OPEN_UNIT = (0.4, 4.0), (0.1, 0.9)
_INV_SQRT_2PI, _2_SQRT_PI = 1 / math.sqrt(2 * math.pi), 2 / math.sqrt(math.pi)

polygamma_op: Elementwise = register(
    Elementwise(
        "polygamma",
        lambda x, *, n: _polygamma(x, n),
        d1=[lambda y, x, *, n: polygamma_op(x, n=n + 1)],
        d2={(0, 0): lambda y, x, *, n: polygamma_op(x, n=n + 2)},
        domain=[_POSITIVE],
        flops=40.0,
    )
)


def _polygamma(x: Any, n: int) -> Any:
    """Evaluate psi^(n)(x) = (-1)^(n+1) n! zeta(n+1, x) for n >= 1 (Abramowitz & Stegun 6.4.10)."""
    return (-1.0) ** (n + 1) * math.factorial(n) * sc.zeta(n + 1, x)


expit = elementwise(
    sc.expit,
    # expit(-x) rather than 1 - y, which has no digits left for large x.
    d1=[lambda y, x: y * sc.expit(-x)],
    d2={(0, 0): lambda y, x: y * sc.expit(-x) * (sc.expit(-x) - y)},
    analytic=lambda z: 1 / (1 + np.exp(-z)),
    flops=12.0,
)
log_expit = elementwise(
    sc.log_expit,
    d1=[lambda y, x: sc.expit(-x)],
    d2={(0, 0): lambda y, x: -sc.expit(x) * sc.expit(-x)},
    analytic=lambda z: -np.log(1 + np.exp(-z)),
    flops=20.0,
)
logit = elementwise(
    sc.logit,
    d1=[lambda y, x: 1 / (x * (1 - x))],
    d2={(0, 0): lambda y, x: (2 * x - 1) / (x * (1 - x) * x * (1 - x))},
    domain=[_OPEN_UNIT],
    analytic=lambda z: np.log(z / (1 - z)),
    flops=12.0,
)
erf = elementwise(
    sc.erf,
    d1=[lambda y, x: _2_SQRT_PI * np.exp(-x * x)],
    d2={(0, 0): lambda y, x: (-2 * _2_SQRT_PI) * x * np.exp(-x * x)},
    flops=20.0,
)
erfc = elementwise(
    sc.erfc,
    d1=[lambda y, x: -_2_SQRT_PI * np.exp(-x * x)],
    d2={(0, 0): lambda y, x: (2 * _2_SQRT_PI) * x * np.exp(-x * x)},
    flops=20.0,
)
ndtr = elementwise(
    sc.ndtr,
    d1=[lambda y, x: _INV_SQRT_2PI * np.exp(-0.5 * x * x)],
    d2={(0, 0): lambda y, x: -_INV_SQRT_2PI * x * np.exp(-0.5 * x * x)},
    flops=20.0,
)


def _mills(y: Any, x: Any) -> Any:
    """Return the inverse Mills ratio phi(x) / Phi(x), from log Phi so that the far tail keeps its digits."""
    return _INV_SQRT_2PI * np.exp(-0.5 * x * x - y)


log_ndtr = elementwise(
    sc.log_ndtr,
    d1=[_mills],
    d2={(0, 0): lambda y, x: -_mills(y, x) * (x + _mills(y, x))},
    analytic=lambda z: np.log(sc.ndtr(z)),
    flops=40.0,
)
gammaln = elementwise(
    sc.gammaln,
    d1=[lambda y, x: sc.digamma(x)],
    d2={(0, 0): lambda y, x: polygamma_op(x, n=1)},
    domain=[_POSITIVE],
    analytic=sc.loggamma,
    flops=40.0,
)
digamma = elementwise(
    sc.digamma,
    d1=[lambda y, x: polygamma_op(x, n=1)],
    d2={(0, 0): lambda y, x: polygamma_op(x, n=2)},
    domain=[_POSITIVE],
    flops=40.0,
)
gamma = elementwise(
    sc.gamma,
    d1=[lambda y, x: y * sc.digamma(x)],
    d2={(0, 0): lambda y, x: y * (sc.digamma(x) * sc.digamma(x) + polygamma_op(x, n=1))},
    domain=[_POSITIVE],
    flops=40.0,
)


def _ratio(x: Any, y: Any) -> Any:
    """Return x / y, and 0 at 0 / 0: x log(y) vanishes along x = 0."""
    return x / np.where(np.logical_and(np.equal(x, 0), np.equal(y, 0)), 1.0, y)


xlogy = elementwise(
    sc.xlogy,
    d1=[lambda z, x, y: np.log(y), lambda z, x, y: _ratio(x, y)],
    d2={(0, 1): lambda z, x, y: 1 / y, (1, 1): lambda z, x, y: -_ratio(x, y * y)},
    domain=[(-2.0, 2.0), _POSITIVE],
    kinks="0 in y where x = 0",
    flops=12.0,
)
xlog1py = elementwise(
    sc.xlog1py,
    d1=[lambda z, x, y: np.log1p(y), lambda z, x, y: _ratio(x, 1 + y)],
    d2={(0, 1): lambda z, x, y: 1 / (1 + y), (1, 1): lambda z, x, y: -_ratio(x, (1 + y) * (1 + y))},
    domain=[(-2.0, 2.0), (-0.6, 3.0)],
    kinks="0 in y where x = 0",
    flops=12.0,
)
entr = elementwise(
    sc.entr,
    d1=[lambda y, x: -np.log(x) - 1],
    d2={(0, 0): lambda y, x: -1 / x},
    domain=[_POSITIVE],
    kinks="inf at 0",
    analytic=lambda z: -z * np.log(z),
    flops=12.0,
)
rel_entr = elementwise(
    sc.rel_entr,
    d1=[lambda z, x, y: np.log(x / y) + 1, lambda z, x, y: -_ratio(x, y)],
    d2={(0, 0): lambda z, x, y: 1 / x, (0, 1): lambda z, x, y: -1 / y, (1, 1): lambda z, x, y: _ratio(x, y * y)},
    domain=[_POSITIVE, _POSITIVE],
    analytic=lambda x, y: x * np.log(x / y),
    flops=14.0,
)
kl_div = elementwise(
    sc.kl_div,
    d1=[lambda z, x, y: np.log(x / y), lambda z, x, y: 1 - _ratio(x, y)],
    d2={(0, 0): lambda z, x, y: 1 / x, (0, 1): lambda z, x, y: -1 / y, (1, 1): lambda z, x, y: _ratio(x, y * y)},
    domain=[_POSITIVE, _POSITIVE],
    analytic=lambda x, y: x * np.log(x / y) - x + y,
    flops=14.0,
)
expose(
    sc.betaln,
    lambda a, b: sc.gammaln(a) + sc.gammaln(b) - sc.gammaln(a + b),
    cases=[case(A(3, domain=_POSITIVE), A(3, domain=_POSITIVE))],
    analytic=lambda a, b: sc.loggamma(a) + sc.loggamma(b) - sc.loggamma(a + b),
)


for _ufunc, _operation in ((sc.log1p, ew.log1p), (sc.expm1, ew.expm1), (sc.exp2, ew.exp2), (sc.cbrt, ew.cbrt)):
    expose(_ufunc, _operation, analytic=_operation.analytic)


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
    `softmax`; at infinite entries their equal shares, and 0 where every entry is -inf.

    References
    ----------
    P. Blanchard, D. J. Higham & N. J. Higham, "Accurately computing the log-sum-exp and softmax functions", IMA J. Numer.
    Anal. 41 (2021).

    Examples
    --------
    >>> import numpy as np
    >>> from hessian.special import logsumexp
    >>> round(float(logsumexp(np.log([1.0, 2.0, 3.0]))), 12) == round(float(np.log(6.0)), 12)
    True
    """
    a = _as_float(a)
    axes = normalize_axes(axis, a.ndim, "logsumexp")
    y = logsumexp_op(a, axes=axes)
    return y if keepdims else np.squeeze(y, axis=axes)[()]


def log_softmax(x: Any, axis: Any = None) -> Any:
    r"""Compute :math:`x - \log \sum_i e^{x_i}` along ``axis`` (all axes if ``None``), without overflow.

    Twin of :func:`scipy.special.log_softmax` that also takes traced values. It is formed from differences to the largest entry:
    its error is relative to the result, however large x is.

    Examples
    --------
    >>> from hessian.special import log_softmax
    >>> log_softmax([0.0, 0.0]).round(6).tolist()
    [-0.693147, -0.693147]
    """
    x = _as_float(x)
    return log_softmax_op(x, axes=normalize_axes(axis, x.ndim, "log_softmax"))[()]


def softmax(x: Any, axis: Any = None) -> Any:
    r"""Compute :math:`e^{x_i} / \sum_j e^{x_j}` along ``axis`` (all axes if ``None``), without overflow.

    Twin of :func:`scipy.special.softmax` that also takes traced values.

    Examples
    --------
    >>> from hessian.special import softmax
    >>> softmax([0.0, 0.0]).tolist()
    [0.5, 0.5]
    """
    x = _as_float(x)
    return softmax_op(x, axes=normalize_axes(axis, x.ndim, "softmax"))[()]


def _as_float(a: Any) -> Any:
    if isinstance(a, Traced):
        return a
    array = np.asarray(a)
    if array.dtype.hasobject:
        return np.reshape(np.stack(array.ravel().tolist()), array.shape)
    return array if array.dtype.kind == "f" else array.astype(float)


def polygamma(n: int, x: Any) -> Any:
    r"""Compute the n-th derivative of the digamma function, :math:`\psi^{(n)}(x)`, for x > 0.

    Twin of :func:`scipy.special.polygamma` that also takes traced values.

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
    >>> from hessian.special import polygamma
    >>> math.isclose(polygamma(1, 1.0), math.pi**2 / 6, rel_tol=1e-15)
    True
    """
    if isinstance(n, bool) or not isinstance(n, int | np.integer) or n < 0:
        raise OptionError(message("polygamma", f"the order is {n!r}", fix="Pass an integer >= 0"))
    x = _as_float(x)
    return sc.digamma(x) if n == 0 else polygamma_op(x, n=int(n))


# The twins are entered as their own targets, so that the registry walk covers them like any NumPy function.
for _twin, _reference in ((logsumexp, sc.logsumexp), (log_softmax, sc.log_softmax), (softmax, sc.softmax)):
    expose(_twin, _twin, cases=[case(A(4)), case(A(2, 3), axis=1), case(A(2, 3, 2), axis=0)], analytic=_reference)

expose(polygamma, polygamma, cases=[case(0, A(3)), case(1, A(3)), case(3, A(2, 2))], domain=_POSITIVE)

TWINS = {"polygamma": polygamma, "logsumexp": logsumexp, "softmax": softmax, "log_softmax": log_softmax}
"""Functions of scipy.special that do not dispatch, by name."""
