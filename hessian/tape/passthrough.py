"""SciPy functions that convert their argument with ``np.asanyarray`` and otherwise run on NumPy calls that dispatch.

``asanyarray`` lets subclasses of ndarray pass. For the functions listed here, read and found to use nothing but NumPy calls
afterwards, a traced value travels through the conversion in such a subclass. The list is explicit on purpose: in any
other function the carrier's buffer could be read as numbers, and those would be wrong.
"""

from __future__ import annotations

import sys
from typing import Any

import numpy as np

_VETTED = {("scipy.optimize._optimize", "rosen")}
_CONVERSION = ("scipy._lib._array_api", "_asarray")


class _Carrier(np.ndarray):
    """An ndarray whose every use reaches the traced value it carries; its own buffer is NaN."""

    variable: Any

    def __array_finalize__(self, source: Any) -> None:
        self.variable = getattr(source, "variable", None)

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **keywords: Any) -> Any:
        inputs = tuple(x.variable if isinstance(x, _Carrier) else x for x in inputs)
        return self.variable.__array_ufunc__(ufunc, method, *inputs, **keywords)

    def __array_function__(self, function: Any, types: Any, args: Any, kwargs: Any) -> Any:
        args = tuple(x.variable if isinstance(x, _Carrier) else x for x in args)
        return function(*args, **kwargs)

    def __getitem__(self, index: Any) -> Any:
        return self.variable[index]


def passing_through(variable: Any) -> np.ndarray | None:
    """Return a carrier if the conversion under way belongs to a vetted SciPy function, else ``None``."""
    frame: Any = sys._getframe(2)
    frame = frame.f_back if _place(frame)[0] == "hessian.tape.creation" else frame
    if _place(frame) != _CONVERSION:
        return None
    while frame is not None and _place(frame)[0] == _CONVERSION[0]:
        frame = frame.f_back
    if frame is None or _place(frame) not in _VETTED:
        return None
    carrier = np.broadcast_to(np.full((), np.nan, variable.dtype), variable.shape).view(_Carrier)
    carrier.variable = variable
    return carrier


def asked_by_sparse() -> bool:
    """Tell whether a SciPy sparse array is asking whether its right operand is an array, before multiplying."""
    frame: Any = sys._getframe(2)
    # While a function is traced, conversions of NumPy's have a frame of this library's around them.
    module, function = _place(frame.f_back if _place(frame)[0] == "hessian.tape.creation" else frame)
    return function == "_matmul_dispatch" and module.startswith("scipy.sparse.")


def sparse_is_asking() -> bool:
    """Tell whether SciPy's sparse arrays ask for a type: to them an ndarray has a buffer that they read in C.

    Its linear solvers convert what they are given.
    """
    module = sys._getframe(2).f_globals.get("__name__", "")
    return module.startswith("scipy.sparse.") and not module.startswith("scipy.sparse.linalg.")


def _place(frame: Any) -> tuple[str, str]:
    return frame.f_globals.get("__name__", ""), frame.f_code.co_name
