"""Kinks: what an operation is to the two sides of them, and which powers of a result that vanishes there are smooth.

A row declares ``root=Root(degrees, power)``: a product of ``degree`` equal results is ``power(product, degree, *operands)``, a
smooth function of the operands. The tape finds such products (:mod:`hessian.tape.roots`) and records them as
:data:`smooth_op`: the value is that of what was written, to the last bit, the derivatives are those of the smooth function.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from hessian.rules.spec import ZERO, Elementwise, register


@dataclass(frozen=True)
class Root:
    """What powers of an operation's result are smooth.

    Parameters
    ----------
    degrees : tuple of int
        Numbers of equal factors whose product is smooth.
    power : callable
        ``(product, degree, *operands, **params) -> array``: that product, written in differentiable operations.
        ``product(a, b)`` is the product of what the factors are where one root is replaced by ``a``, another by ``b`` and any
        further one by 1: ``(c |x|) (|x| / d)`` is ``product(x, x)``, which is ``(c x) (x / d)``.
    """

    degrees: tuple[int, ...]
    power: Callable[..., Any]


@dataclass(frozen=True)
class Sides:
    """Where an operation has kinks, and its slopes to the two sides of them.

    Parameters
    ----------
    tie : callable
        ``(y, *xs, **params) -> mask`` of the results that are at a kink.
    slope : callable
        ``(y, xs, dots, **params) -> y_dot``: there, the tangent to the side that tangents of all arguments lead to.
    """

    tie: Callable[..., Any]
    slope: Callable[..., Any]


smooth_op: Elementwise = register(Elementwise("smooth", lambda smooth, written: written, d1=[1, ZERO], d2={}))
"""Of a smooth function and the value as it was written: the value of the second with the derivatives of the first."""
