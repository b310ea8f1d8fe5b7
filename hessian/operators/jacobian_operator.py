"""The Jacobian of a function at a point as a linear operator."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from typing import Any

import numpy as np
from scipy.sparse.linalg import LinearOperator

from hessian.operators.vectors import as_direction, as_rows, is_traced, refuse_mask
from hessian.programs import RecordedFunction
from hessian.programs.runtime.maps import CompiledMaps
from hessian.programs.runtime.point import ProgramAtPoint
from hessian.programs.tasks import Task
from hessian.tape.sweeps import Linearization
from hessian.tape.trace import Primal, Trace, detached, trace
from hessian.tape.trees import join_vector, split_vector
from hessian.transforms.first_order import jacobian_matrix


class JacobianOperator(LinearOperator):
    r"""The Jacobian :math:`J = \partial f / \partial x` as a :class:`scipy.sparse.linalg.LinearOperator`.

    Parameters
    ----------
    f : callable
        ``f(x, *args)`` returns an array or a container of arrays; m entries in all.
    x : array of any shape, or container of float arrays
        n entries in all. The operator maps raveled vectors: ``J @ v`` pushes forward, ``J.T @ u`` pulls back.
    *args
        Further arguments of f, not differentiated.
    record : bool
        ``False`` makes no program: every product is a plain sweep.

    Attributes
    ----------
    value
        f(x), in the structure f returns.
    shape : (m, n)

    Raises
    ------
    DtypeError
        x holds integers or complex numbers.
    ShapeMismatchError
        By a product, for a vector of another length.

    Notes
    -----
    ``J @ v`` takes traced values, and J may be made at one; for the transpose of traced values use :func:`hessian.vjp`.
    Cost: the constructor records f once; the first product linearises; each product after that is one sweep.

    Examples
    --------
    >>> import numpy as np, hessian as hs
    >>> J = hs.JacobianOperator(lambda x: x**2, np.array([1.0, 2.0]))
    >>> (J @ np.ones(2)).tolist(), (J.T @ np.array([0.0, 1.0])).tolist()
    ([2.0, 4.0], [0.0, 4.0])
    """

    def __init__(self, f: Callable[..., Any], x: Any, *args: Any, record: bool = True) -> None:
        self._program: ProgramAtPoint | None = None
        self._maps = CompiledMaps("JacobianOperator", f, record)
        # Whether the function uses values that somebody else is recording: then so are products.
        self._captures = False
        found = None
        if record and isinstance(f, RecordedFunction):
            found = f.linearize(Task("map"), (x, *args), {}, "JacobianOperator")
        if found is not None:
            compiled, self._linearized = found
            self._program = self._linearized
            values, structure = self._linearized.values, compiled.output
            self.primal = Primal(x, "JacobianOperator")
        else:
            self._traced = trace(f, (x, *args), where="JacobianOperator")
            values, structure = tuple(self._traced.values), self._traced.output_structure
            self.primal = self._traced.primal
            self._captures = self._traced.tape.nested
        self.value = structure.build([detached(value) for value in values])
        self._output_shapes = [value.shape for value in values]
        dtype = np.result_type(self.primal.dtype, *(value.dtype for value in values))
        super().__init__(dtype, (sum(int(value.size) for value in values), self.primal.size))

    def __repr__(self) -> str:
        return f"<JacobianOperator of shape {self.shape}, dtype {self.dtype}>"

    @cached_property
    def _traced(self) -> Trace:
        # Set by the constructor unless there is a program, whose results may have to be computed without it.
        return self._linearized.plain()

    @cached_property
    def _linearization(self) -> Linearization:
        return self._traced.linearization()

    def dot(self, x: Any) -> Any:
        """Multiply with a vector, the columns of a matrix, a scalar or another operator; what ``@`` calls."""
        if self._captures or is_traced(x, self.primal.leaves):
            # SciPy would convert operands and results to plain arrays.
            return self._matvec(x) if np.ndim(x) == 1 else self._matmat(x)
        return super().dot(refuse_mask(x, type(self).__name__, "the direction"))

    def _pushforward(self, dots: list[Any], batch: tuple[int, ...]) -> Any:
        pushed = self._linearization.pushforward(dots, len(batch))
        values = self._traced.values
        leaves = [
            np.zeros(batch + value.shape, self.dtype) if dot is None else dot
            for dot, value in zip(pushed, values, strict=True)
        ]
        return np.copy(join_vector(leaves, batch=len(batch)))

    def _pullback(self, bars: list[Any], batch: tuple[int, ...]) -> Any:
        pulled = self._linearization.pullback(bars, len(batch))
        return join_vector(self._traced.gradient_leaves(pulled, batch), batch=len(batch))

    def _ready(self, direction: Any) -> ProgramAtPoint | None:
        """Return the program, if there is one or it pays to make one."""
        if self._captures or is_traced(direction, self.primal.leaves) or not all(self.shape):
            return None
        if self._program is None:
            self._program = self._maps.after(1, len(self._traced.tape), self._compiled_maps)
        return self._program

    def _compiled_maps(self) -> Any:
        """Return what a program of the products is made from."""
        shapes, outputs = self.primal.shapes, self._output_shapes
        return {
            "pushforward": (lambda v: self._pushforward(split_vector(v, shapes), ()), self.shape[1], self.dtype),
            "pullback": (lambda u: self._pullback(split_vector(u, outputs), ()), self.shape[0], self.dtype),
        }

    def _apply(self, x: Any, section: str) -> Any:
        """Run a section of the program on one direction, or on each of the rows of a matrix; ``None`` without one."""
        program = self._ready(x)
        if program is None:
            return None
        if x.ndim == 1:
            return program.attempt(lambda: program.run(section, x)[0])
        return program.attempt(lambda: program.rows(section, x, symmetric=False))

    def _matvec(self, v: Any) -> Any:
        v = as_direction(v, self).reshape(-1)
        found = self._apply(v, "pushforward")
        return self._pushforward(split_vector(v, self.primal.shapes), ()) if found is None else found

    def _rmatvec(self, u: Any) -> Any:
        u = as_direction(u, self).reshape(-1)
        found = self._apply(u, "pullback")
        return self._pullback(split_vector(u, self._output_shapes), ()) if found is None else found

    def _matmat(self, V: Any) -> Any:
        rows = as_rows(as_direction(V, self))
        found = self._apply(rows, "pushforward")
        return (
            self._pushforward(split_vector(rows, self.primal.shapes, batch=1), (len(rows),)) if found is None else found
        ).T

    def _rmatmat(self, U: Any) -> Any:
        rows = as_rows(as_direction(U, self))
        found = self._apply(rows, "pullback")
        return (
            self._pullback(split_vector(rows, self._output_shapes, batch=1), (len(rows),)) if found is None else found
        ).T

    def to_dense(self) -> np.ndarray:
        """Return the Jacobian, shape (m, n), by min(m, n) sweeps in blocks."""
        program = self._ready(None)
        if program is not None:
            m, n = self.shape
            matrix = program.attempt(
                lambda: (
                    program.matrix("pullback", symmetric=False).T
                    if m < n
                    else program.matrix("pushforward", symmetric=False)
                )
            )
            if matrix is not None:
                return np.ascontiguousarray(matrix, self.dtype)
        dense = np.copy(jacobian_matrix(self._traced))
        return dense.astype(self.dtype, copy=False)
