"""scipy.special: ufuncs dispatch by themselves; twins of the Python functions among them."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import scipy.special as sc

from hessian.errors import OptionError, message
from hessian.rules import special as rows
from hessian.rules.broadcast import normalize_axes
from hessian.rules.constants import held
from hessian.rules.powers import zeta_op
from hessian.rules.special import log_softmax, polygamma, softmax
from hessian.scipy.mirror import holds, mirrored

__all__ = ["log_softmax", "logsumexp", "multigammaln", "polygamma", "softmax", "zeta"]
__getattr__, __dir__ = mirrored(__name__)


def logsumexp(a: Any, axis: Any = None, b: Any = None, keepdims: bool = False, return_sign: bool = False) -> Any:
    r"""Compute :math:`\log |\sum_i b_i e^{a_i}|` without overflow, and the sign of the sum if asked for.

    Twin of :func:`scipy.special.logsumexp` that also takes traced values. The gradient in ``a`` without weights is ``softmax``; at
    infinite entries their equal shares, and 0 where every entry is -inf.

    Parameters
    ----------
    a : array_like
        Real numbers; arrays or traced values. dtype is kept.
    axis : int, tuple of int or None
        Axes to sum over; ``None`` means all.
    b : array_like, optional
        Weights, which broadcast against ``a``. Where the sum is negative and no sign is asked for, the result is NaN. An entry of
        weight 0 does not count, whatever it is.
    keepdims : bool
        Keep summed axes with length one.
    return_sign : bool
        Return a pair: the logarithm of the modulus, and the sign.

    Returns
    -------
    array or number, or a pair of these

    Raises
    ------
    AxisError
        ``axis`` is out of bounds.

    References
    ----------
    P. Blanchard, D. J. Higham & N. J. Higham, "Accurately computing the log-sum-exp and softmax functions", IMA J. Numer.
    Anal. 41 (2021).

    Examples
    --------
    >>> import numpy as np
    >>> from hessian.scipy.special import logsumexp
    >>> round(float(logsumexp(np.log([1.0, 2.0]), b=np.array([4.0, -1.0]))), 12) == round(float(np.log(2.0)), 12)
    True
    """
    if b is None and not return_sign:
        return rows.logsumexp(a, axis, keepdims)
    if not (holds(a) or holds(b)):
        return sc.logsumexp(a, axis=axis, b=b, keepdims=keepdims, return_sign=return_sign)
    if b is None:
        out = rows.logsumexp(a, axis, keepdims)
        return out, np.ones_like(out)
    a, b = rows._as_float(a), rows._as_float(b)
    counts = np.not_equal(b, 0)
    a = np.where(counts, a, -np.inf)
    axes = normalize_axes(axis, a.ndim, "logsumexp")
    top = held(np.max(a, axis=axes, keepdims=True))
    top = np.where(np.isfinite(top), top, 0.0).astype(a.dtype)
    total = np.sum(b * np.exp(a - top), axis=axes, keepdims=True)
    out, sign = np.log(np.abs(total)) + top, np.sign(total)
    out = out if return_sign else np.where(sign < 0, np.nan, out)
    out, sign = (x if keepdims else np.squeeze(x, axis=axes)[()] for x in (out, sign))
    return (out, sign) if return_sign else out


def multigammaln(a: Any, d: Any) -> Any:
    r"""Compute the logarithm of the multivariate gamma function, :math:`\frac{d(d-1)}{4} \log \pi + \sum_{j<d} \log \Gamma(a - j/2)`.

    Twin of :func:`scipy.special.multigammaln` that also takes traced values of a.

    Parameters
    ----------
    a : array_like
        Numbers above (d - 1) / 2; arrays or traced values.
    d : int
        Dimension of the matrix, a constant.

    Returns
    -------
    array, shape of a

    Raises
    ------
    OptionError
        a is not above (d - 1) / 2, or d is no whole number.

    Examples
    --------
    >>> import numpy as np, hessian as hs, scipy.special
    >>> slope = hs.grad(lambda a: hs.scipy.special.multigammaln(a, 2))(3.0)
    >>> bool(np.isclose(slope, scipy.special.psi(3.0) + scipy.special.psi(2.5)))
    True
    """
    a = rows._as_float(a)
    if not holds(a):
        return sc.multigammaln(a, d)
    if np.ndim(d) or d < 1 or np.floor(d) != d:
        raise OptionError(
            message("multigammaln", f"d is {d!r}, not the dimension of a matrix", fix="Pass a whole number")
        )
    if np.any(a <= 0.5 * (d - 1)):
        raise OptionError(message("multigammaln", f"a is not above (d - 1) / 2 = {0.5 * (d - 1)} everywhere"))
    return sum((sc.gammaln(a - j / 2) for j in range(int(d))), d * (d - 1) / 4 * math.log(math.pi))


def zeta(x: Any, q: Any = None) -> Any:
    r"""Evaluate the Riemann zeta function, or Hurwitz' with ``q``: :math:`\sum_k (k + q)^{-x}` for x > 1.

    Twin of :func:`scipy.special.zeta` that also takes traced values, in both arguments.

    Parameters
    ----------
    x : array_like
        Numbers above 1; arrays or traced values.
    q : array_like, optional
        1 by default; arrays or traced values, which broadcast against x.

    Returns
    -------
    array, shape of x and q

    Examples
    --------
    >>> import hessian as hs
    >>> from hessian.scipy.special import zeta
    >>> round(float(hs.grad(zeta)(2.0)), 12)
    -0.937548254316
    """
    if not (holds(x) or holds(q)):
        return sc.zeta(x, q)
    x = rows._as_float(x)
    return sc.zetac(x) + 1 if q is None else zeta_op(x, rows._as_float(q))
