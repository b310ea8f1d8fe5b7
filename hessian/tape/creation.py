"""NumPy's creation functions while a function is traced, seen by the user's own lines only.

``np.array``, ``np.asarray``, ``np.zeros`` and the like take no part in NumPy's dispatch. While a function is traced they are
replaced in the namespace of NumPy, on the tracing thread, for calls that are written ``np.zeros(...)`` in code outside installed
packages (but for that of the function itself): what holds traced values becomes one traced array, a new plain array of floats a
:class:`~hessian.tape.blank.Blank`. Functions that could not use lists of traced values stack them. Everybody else gets what
NumPy gives: compiled code, which reads the memory of arrays without asking what they are, calls these functions as well,
and has no frame of its own, so that the call is looked for in the bytecode of the line that is running. Names that a module
has imported from NumPy (``from numpy import zeros``) are out of reach.
"""

from __future__ import annotations

import dis
import functools
import os
import sys
import sysconfig
import threading
import weakref
from collections.abc import Callable
from types import CodeType, FrameType, TracebackType
from typing import Any

import numpy as np

from hessian.rules.assembling import joined_by
from hessian.rules.dispatch import DISPATCH
from hessian.rules.memory import in_order
from hessian.rules.traced import Traced, entered, holds_traced
from hessian.tape.blank import Blank, blank, plain, shown, unwrapped, wrapped
from hessian.tape.elementwise_calls import called_by_elements

_LIBRARIES = tuple(
    os.path.normcase(path) + os.sep
    for path in {*sysconfig.get_paths().values(), os.path.dirname(os.path.dirname(os.path.abspath(__file__)))}
    if path and os.path.isabs(path)
)
_LOCK = threading.Lock()
_users: dict[str, bool] = {}
_calls: weakref.WeakKeyDictionary[CodeType, dict[int, str]] = weakref.WeakKeyDictionary()


class _Local(threading.local):
    depth = 0


_local = _Local()
_count = 0


def _is_users(frame: FrameType, name: str) -> bool:
    """Tell whether a line of the user's own calls a function of NumPy by this name."""
    if not _is_of_user(frame):
        return False
    calls = _calls.get(frame.f_code)
    if calls is None:
        calls = _calls[frame.f_code] = _calls_of_numpy(frame)
    return calls.get(frame.f_lasti) == name


def _is_of_user(frame: FrameType) -> bool:
    """Tell whether code is the user's: of no installed package, or of that of the traced function."""
    module = frame.f_globals.get("__name__") or ""
    known = _users.get(module)
    if known is None:
        file = os.path.normcase(frame.f_code.co_filename)
        known = _users[module] = not file.startswith(_LIBRARIES) and not file.startswith("<frozen")
    return known or _is_of_traced_package(frame)


def _is_of_traced_package(frame: FrameType) -> bool:
    """Tell whether code is of the package of the traced function: the one that this library has called."""
    package, caller = _package(frame), frame
    if package in ("hessian", "numpy", "scipy"):
        return False
    while caller.f_back is not None and _package(caller.f_back) != "hessian":
        caller = caller.f_back
    return _package(caller) == package


def _package(frame: FrameType) -> str:
    return str(frame.f_globals.get("__name__") or "").partition(".")[0]


def _calls_of_numpy(frame: FrameType) -> dict[int, str]:
    """Return the functions of NumPy that code calls as attributes of it, by places in the bytecode while they run."""
    calls: dict[int, str] = {}
    started: dict[tuple[int, int], str] = {}
    before, running = None, ""
    for instruction in dis.get_instructions(frame.f_code):
        if running and before is not None:
            # Of a call that runs, Python 3.11 tells the end.
            calls |= dict.fromkeys(range(before.offset, instruction.offset, 2), running)
        running, where = "", instruction.positions
        if where is not None and where.lineno is not None and where.col_offset is not None:
            start = where.lineno, where.col_offset
            if instruction.opname in ("LOAD_ATTR", "LOAD_METHOD") and _names_numpy(frame, before):
                started[start] = str(instruction.argval)
            elif instruction.opname.startswith("CALL"):
                running = started.get(start, "")
        before = instruction
    return calls


def _names_numpy(frame: FrameType, instruction: dis.Instruction | None) -> bool:
    """Tell whether an instruction loads NumPy by a name."""
    if instruction is None or not instruction.opname.startswith("LOAD_") or not isinstance(instruction.argval, str):
        return False
    return frame.f_globals.get(instruction.argval) is np or frame.f_locals.get(instruction.argval) is np


def _creating(original: Callable[..., Any]) -> Callable[..., Any]:
    """Return a creation function whose arrays may become traced."""
    name = original.__name__

    @functools.wraps(original)
    def create(*args: Any, **keywords: Any) -> Any:
        if not _local.depth or not _is_users(sys._getframe(1), name):
            return original(*args, **keywords)
        if holds_traced([*args, *keywords.values()]):
            return _from_traced(original, *args, **keywords)
        return wrapped(original(*map(plain, args), **{name: plain(x) for name, x in keywords.items()}))

    return create


def _from_traced(original: Callable[..., Any], *args: Any, **keywords: Any) -> Any:
    """Create from traced numbers: ``np.full(shape, x[0])``, ``np.full_like(data, x[0])``."""
    if original is _FULL_LIKE:
        given = {name: entered(unwrapped(value)) for name, value in keywords.items()}
        return DISPATCH[original].call(*[entered(unwrapped(value)) for value in args], **given)
    if original is not _FULL:
        return original(*args, **keywords)
    shape, value, dtype = (lambda shape, fill_value, dtype=None, **_: (shape, fill_value, dtype))(*args, **keywords)
    value = entered(value)
    return np.copy(np.broadcast_to(value if dtype is None else value.astype(dtype), shape))


def _converting(original: Callable[..., Any], copies: bool) -> Callable[..., Any]:
    """Return a conversion (``np.array``, ``np.asarray``) that takes traced values."""
    name = original.__name__

    @functools.wraps(original)
    def convert(a: Any = None, *args: Any, **keywords: Any) -> Any:
        a = keywords.pop("object", a) if copies else a
        given = keywords | _LAYOUTS.get(name, {})
        if not _local.depth or not _is_users(sys._getframe(1), name):
            return original(a, *args, **keywords)
        if type(a) is Blank and not isinstance(plain(a), Traced):
            result = original(plain(a), *args, **keywords)
            is_view = isinstance(result, np.ndarray) and np.may_share_memory(result, a._value)
            return shown(result, a, lambda: _converted(a, copies, *args, **given)) if is_view else blank(result)
        dtype = keywords.get("dtype", args[0] if args else None)
        if not holds_traced(a) or (dtype is not None and np.dtype(dtype).hasobject):
            result = original(unwrapped(a), *args, **keywords)
            # What an object hands out may be its own memory.
            is_new = type(a) in (list, tuple) or (copies and keywords.get("copy", True) is True)
            return blank(result) if is_new else result
        return _converted(entered(unwrapped(a)), copies, *args, **given)

    return convert


_LAYOUTS: dict[str, dict[str, Any]] = {
    "ascontiguousarray": {"order": "C", "ndmin": 1},
    "asfortranarray": {"order": "F", "ndmin": 1},
}


def _converted(x: Any, copies: bool, dtype: Any = None, order: Any = None, **keywords: Any) -> Any:
    """Return a traced value as the array that NumPy would make, which is the value itself only where it lies as asked for."""
    copy, ndmin = keywords.get("copy", copies), keywords.get("ndmin", 0)
    if dtype is not None and np.dtype(dtype) != x.dtype:
        x, copy = x.astype(dtype), False
    x = np.reshape(x, ()) if x.is_number else np.copy(x) if copy else x
    x = in_order(x, order)
    return x if x.ndim >= ndmin else np.reshape(x, (1,) * (ndmin - x.ndim) + x.shape)


def _stacking(original: Callable[..., Any]) -> Callable[..., Any]:
    """Return a function that takes lists of traced values."""
    enters = DISPATCH[original].enters

    @functools.wraps(original)
    def call(*args: Any, **keywords: Any) -> Any:
        if _local.depth and any(type(x) in (list, tuple) and holds_traced(x) for x in args):
            args = tuple(enters(unwrapped(x)) if type(x) in (list, tuple) else x for x in args)
        return original(*args, **keywords)

    return call


def _ends(part: Any) -> Any:
    return [part.start, part.stop, part.step] if isinstance(part, slice) else part


class _Joining:
    """``np.r_`` and ``np.c_``, which join what stands between brackets; with traced values in it, into a traced array."""

    def __init__(self, original: Any) -> None:
        self._original = original

    def __getattr__(self, name: str) -> Any:
        return getattr(self._original, name)

    def __len__(self) -> int:
        return len(self._original)

    def __getitem__(self, key: Any) -> Any:
        parts = key if isinstance(key, tuple) else (key,)
        if _local.depth and any(holds_traced(_ends(part)) for part in parts):
            return joined_by(self._original, tuple(map(unwrapped, parts)))
        result = self._original[unwrapped(key)]
        return blank(result) if _local.depth and _is_of_user(sys._getframe(1)) else result


def _isscalar(element: Any) -> bool:
    """Stand for ``np.isscalar``, which looks at types: a traced number is one where NumPy has a number."""
    return element.is_number if isinstance(element, Traced) else _ISSCALAR(element)


def _by_elements(original: Callable[..., Any]) -> Callable[..., Any]:
    """Return the call of ``np.vectorize``, whose arrays may be traced."""

    @functools.wraps(original)
    def call(self: Any, *args: Any, **keywords: Any) -> Any:
        is_traced = _local.depth and callable(self.pyfunc) and holds_traced([*args, *keywords.values()])
        return (called_by_elements if is_traced and self.signature is None else original)(self, *args, **keywords)

    return call


_FULL, _FULL_LIKE, _ISSCALAR = np.full, np.full_like, np.isscalar
CREATING = (
    *("zeros", "ones", "empty", "full", "eye", "identity", "arange", "tri", "fromiter", "linspace", "copy"),
    *("zeros_like", "ones_like", "empty_like", "full_like"),
)
CONVERTING = {
    "array": True,
    "asarray": False,
    "asanyarray": False,
    "ascontiguousarray": False,
    "asfortranarray": False,
}


BRACKETS = ("r_", "c_", "s_", "isscalar")
"""Names that are not called with arrays, or not at all."""
_STACKING = (
    "mean",
    "var",
    "std",
    "median",
    "average",
    "quantile",
    "percentile",
    "cov",
    "corrcoef",
    "gradient",
    "interp",
    "polyfit",
)
"""Functions that make plain arrays of lists, so that lists of traced numbers fail; others compute with the numbers themselves."""


@functools.cache
def _replacements() -> list[tuple[Any, dict[str, Any], dict[str, Any]]]:
    """Return namespaces with the names to put in and the originals to put back."""
    tables: list[tuple[Any, dict[str, Any], dict[str, Any]]] = []
    for module, names in ((np, _STACKING), (np.linalg, np.linalg.__all__)):
        new: dict[str, Any] = {name: _stacking(f) for name in names if (f := module.__dict__[name]) in DISPATCH}
        if module is np:
            new |= {name: _creating(getattr(np, name)) for name in CREATING}
            new |= {name: _converting(getattr(np, name), copies) for name, copies in CONVERTING.items()}
            new |= {"r_": _Joining(np.r_), "c_": _Joining(np.c_), "isscalar": functools.wraps(np.isscalar)(_isscalar)}
        tables.append((module, new, {name: module.__dict__[name] for name in new}))
    call = np.vectorize.__call__
    return [*tables, (np.vectorize, {"__call__": _by_elements(call)}, {"__call__": call})]


def _put(namespace: Any, names: dict[str, Any]) -> None:
    for name, value in names.items():
        setattr(namespace, name, value)


class creating:
    """Replace NumPy's creation functions while a function is traced; nested uses are counted."""

    __slots__ = ()

    def __enter__(self) -> None:
        global _count
        _local.depth += 1
        with _LOCK:
            _count += 1
            if _count == 1:
                for module, new, _ in _replacements():
                    _put(module, new)

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        global _count
        _local.depth -= 1
        with _LOCK:
            _count -= 1
            if not _count:
                for module, _, old in _replacements():
                    _put(module, old)
