"""Views: arrays that share the memory of another one, followed as NumPy's do.

On a tape nothing shares memory: every result is a value of its own. A handle that stands for a view therefore knows the handle it
was taken from and the operation that takes it. When the memory has been written to, through whatever handle, the view is taken
again; when the view is written to, the operations are undone one by one and the array that owns the memory gets the new values.
"""

from __future__ import annotations

from typing import Any, NoReturn

import numpy as np

from hessian.errors import MissingRuleError, ReadOnlyError, message
from hessian.rules import indexing, shaping
from hessian.rules.spec import Operation
from hessian.tape.advice import user_line
from hessian.tape.memory import lying_by


class View:
    """How a handle was taken from another one, and the state in which it saw the owner of the memory."""

    __slots__ = ("base", "operation", "params", "seen")

    def __init__(self, base: Any, operation: Operation, params: dict[str, Any], seen: int) -> None:
        self.base = base
        self.operation = operation
        self.params = params
        self.seen = seen

    def take(self) -> Any:
        """Take the view again."""
        return self.operation(self.base, **self.params)

    def put(self, value: Any) -> Any:
        """Return what the base holds when ``value`` has been written to the view."""
        operation, params, base = self.operation, self.params, self.base
        if operation is indexing.slice_op:
            index = (slice(None),) * (base.ndim - params["ndim"]) + tuple(params["index"])
            return indexing.assign_op(base, value, index=index, shape=base.shape, target=value.shape)
        if operation is shaping.reshape_op:
            return shaping.reshape_op(value, shape=base.shape, ndim=value.ndim)
        if operation is shaping.permute_op:
            return shaping.permute_op(value, axes=tuple(int(i) for i in np.argsort(params["axes"])))
        positions = params.get("positions")
        if positions is not None and not positions.read_only:
            return indexing.assign_op(base, value, index=positions, shape=base.shape, target=value.shape)
        if operation is shaping.broadcast_op or operation is indexing.gather_view_op:
            _read_only()
        what = f"a view taken by {operation.name!r} is assigned to, at {user_line()}"
        raise MissingRuleError(message("in-place assignment", what, fix="Assign to the array itself"))


class StridedView(View):
    """A view whose numbers lie apart in memory."""

    __slots__ = ("strides",)

    def __init__(self, view: View, strides: tuple[int, ...]) -> None:
        super().__init__(view.base, view.operation, view.params, view.seen)
        self.strides = strides

    def take(self) -> Any:
        return lying_by(super().take(), self.strides)


def chain(handle: Any) -> list[Any]:
    """Return the handles from a view down to the owner of the memory."""
    links = [handle]
    while links[-1]._view is not None:
        links.append(links[-1]._view.base)
    return links


def _read_only() -> NoReturn:
    what = f"the target is read-only, at {user_line()}"
    why = "NumPy's view shows an element in several places, or guards the array it was taken from"
    raise ReadOnlyError(message("in-place assignment", what, why, "Take a copy first"))
