"""scipy.fft: twins of the transforms, by NumPy's, and of those by cosines and sines."""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy.fft

from hessian.errors import OptionError, message
from hessian.rules.convolution import transform_op
from hessian.rules.traced import entered
from hessian.scipy.mirror import mirrored, twin

__all__ = [
    *("dct", "dctn", "dst", "dstn", "idct", "idctn", "idst", "idstn"),
    *("fft", "fft2", "fftn", "hfft", "ifft", "ifft2", "ifftn", "ihfft"),
    *("irfft", "irfft2", "irfftn", "rfft", "rfft2", "rfftn"),
]
__getattr__, __dir__ = mirrored(__name__)


def _sized(x: Any, n: int | None) -> Any:
    """Cut the last axis to length, or pad it by zeros."""
    if n is None or n == x.shape[-1]:
        return x
    if n < x.shape[-1]:
        return x[..., :n]
    return np.concatenate([x, np.zeros((*x.shape[:-1], n - x.shape[-1]), x.dtype)], axis=-1)


def _one(kind: str) -> Any:
    def call(
        x: Any, type: int = 2, n: int | None = None, axis: int = -1, norm: str | None = None, **keywords: Any
    ) -> Any:
        _plain_only(kind, keywords)
        x = _sized(np.moveaxis(entered(x), axis, -1), n)
        return np.moveaxis(transform_op(x, kind=kind, type=type, norm=norm), -1, axis)

    call.__name__ = kind
    call.__doc__ = f"Twin of :func:`scipy.fft.{kind}` that also takes traced values."
    return twin(getattr(scipy.fft, kind))(call)


def _many(kind: str, one: Any) -> Any:
    def call(x: Any, type: int = 2, s: Any = None, axes: Any = None, norm: str | None = None, **keywords: Any) -> Any:
        _plain_only(kind, keywords)
        x = entered(x)
        axes = range(-len(s), 0) if axes is None and s is not None else range(x.ndim) if axes is None else axes
        for i, axis in enumerate([axes] if isinstance(axes, int) else axes):
            x = one(x, type, None if s is None else np.atleast_1d(s)[i], axis, norm)
        return x

    call.__name__ = kind
    call.__doc__ = f"Twin of :func:`scipy.fft.{kind}` that also takes traced values: one axis after the other."
    return twin(getattr(scipy.fft, kind))(call)


def _plain_only(where: str, keywords: dict[str, Any]) -> None:
    """Refuse what changes the numbers; how they are computed does not matter."""
    if keywords.pop("orthogonalize", None) is not None:
        raise OptionError(message(where, "orthogonalize= is not supported on traced values", fix="Use norm='ortho'"))


dct, idct, dst, idst = map(_one, ("dct", "idct", "dst", "idst"))
dctn, idctn, dstn, idstn = (_many(f"{f.__name__}n", f) for f in (dct, idct, dst, idst))


def _fourier(name: str) -> Any:
    of_numpy, several = getattr(np.fft, name), name.endswith(("2", "n"))
    last = (-2, -1) if name.endswith("2") else None

    def along(
        x: Any,
        n: Any = None,
        axis: int = -1,
        norm: str | None = None,
        overwrite_x: bool = False,
        workers: int | None = None,
        *,
        plan: Any = None,
    ) -> Any:
        return of_numpy(entered(x), n, axis, norm)

    def over(
        x: Any,
        s: Any = None,
        axes: Any = last,
        norm: str | None = None,
        overwrite_x: bool = False,
        workers: int | None = None,
        *,
        plan: Any = None,
    ) -> Any:
        x = entered(x)
        axes = tuple(range(-len(s), 0)) if axes is None and s is not None else axes
        return of_numpy(x, s, axes, norm)

    call = over if several else along
    call.__name__ = name
    call.__doc__ = f"Twin of :func:`scipy.fft.{name}` that also takes traced values."
    return twin(getattr(scipy.fft, name))(call)


fft, ifft, rfft, irfft, hfft, ihfft = map(_fourier, ("fft", "ifft", "rfft", "irfft", "hfft", "ihfft"))
fft2, ifft2, rfft2, irfft2 = map(_fourier, ("fft2", "ifft2", "rfft2", "irfft2"))
fftn, ifftn, rfftn, irfftn = map(_fourier, ("fftn", "ifftn", "rfftn", "irfftn"))
