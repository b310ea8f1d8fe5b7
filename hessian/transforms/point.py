"""A function at a point: value, gradient and linear maps, by a program that has run there or by plain sweeps.

Both ways have the same methods. What a program cannot say, or must not (traced values, results that are not finite), the sweeps do.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from typing import Any

import numpy as np
from scipy.sparse.linalg import LinearOperator

from hessian.linalg.blocks import unit_rows
from hessian.programs.runtime.functions import PlainFunction, programs_of
from hessian.programs.runtime.maps import CompiledMaps
from hessian.programs.runtime.point import Product, ProgramAtPoint
from hessian.programs.tasks import CompiledTask, Task, local_maps
from hessian.rules.spec import Traced
from hessian.tape.maps import JacobianMap, LocalMaps
from hessian.tape.trace import chosen_arguments
from hessian.tape.trees import Structure, join_vector, split_vector
from hessian.transforms.seeds import block_length


class Sweeps:
    """The linear maps of a traced function between raveled vectors, by plain sweeps."""

    def __init__(self, local: LocalMaps) -> None:
        self.local = local

    def block_length(self, size: int) -> int:
        """Return how many of so many directions to send through one sweep."""
        return block_length(self.local.tapes[0], size)

    @property
    def gradient(self) -> list[Any]:
        """Leaves of the gradient."""
        assert not isinstance(self.local, JacobianMap)
        return self.local.gradient

    def product(self, name: str, v: Any) -> Any:
        """Apply a map to a vector."""
        return self.local.maps[name](v)

    def rows(self, name: str, V: Any) -> Any:
        """Apply a map to every row."""
        return self.local.maps[name](V, 1)

    def matrix(self, name: str, symmetric: bool) -> Any:
        """Return the matrix of a map, by unit directions in blocks; rows are results, columns directions."""
        images = _joined([images for _, images in self._images(name)])
        return images if symmetric else np.transpose(images)

    def diagonal(self, name: str) -> Any:
        """Return the diagonal of a map of a space to itself."""
        return _joined([images[units == 1.0] for units, images in self._images(name)])

    def _images(self, name: str) -> Iterator[tuple[np.ndarray, Any]]:
        """Yield blocks of unit directions and their images."""
        apply = self.local.maps[name]
        for _, units in unit_rows(apply.size, self.block_length(apply.size), apply.dtype):
            yield units, apply(units, 1)


def _joined(blocks: list[Any]) -> Any:
    return blocks[0] if len(blocks) == 1 else np.concatenate(blocks, axis=0)


class FunctionAtPoint:
    """A function, plain or recorded, at a point.

    Parameters
    ----------
    task : Task
        ``curvature``, ``gauss_newton`` or ``map``.
    record : bool
        ``False`` makes no program: everything is a plain sweep.
    lasts : bool
        Whether a program of the maps may be made once so many products have been swept that it pays.
    has_aux : bool
        Whether the function returns ``(result, aux)``, by plain sweeps.

    Attributes
    ----------
    primal : Primal
    values : sequence
        Leaves of what the function returns.
    structure : Structure
        Of what it returns.
    captures : bool
        Whether the function uses values that somebody else is recording: then so are products.
    is_swept : bool
        Whether everything is swept: products of traced values, and of nothing.
    compiled : CompiledTask or None
        The task whose program has run.
    source : tuple
        The plain function, the arguments, and the numbers of those that are differentiated.
    products : dict
        Products with single vectors that a program does, by name of the map, with all decided beforehand; empty without a program.
    """

    def __init__(
        self,
        f: Callable[..., Any],
        task: Task,
        args: Sequence[Any],
        kwargs: dict[str, Any] | None = None,
        *,
        where: str,
        record: bool = True,
        lasts: bool = False,
        has_aux: bool = False,
    ) -> None:
        programs = programs_of(f)
        self.source = programs.function, args, task.argnums
        record = record and not has_aux
        self._stats, self._where, self._is_compilable = programs.stats, where, record and lasts
        self._symmetric = task.kind != "map"
        self._program: ProgramAtPoint | None = None
        self.products: dict[str, Product] = {}
        self.captures = self._is_traced = False
        self.values: Sequence[Any]
        self.structure: Structure
        self.compiled: CompiledTask | None = None
        ran = programs.at(task, args, kwargs or {}, where) if record else None
        if ran is None:
            self._later = CompiledMaps(where, programs, record and lasts)
            local = local_maps(programs.function, task, args, kwargs or {}, where, has_aux=has_aux)
            self.sweeps, self.aux = Sweeps(local), local.traced.aux
            self.primal, self.values, self.structure = local.primal, local.values, local.traced.output_structure
            self.captures = any(tape.nested for tape in local.tapes)
            self._is_traced = any(isinstance(leaf, Traced) for leaf in self.primal.leaves)
        else:
            self.compiled, self._ran = ran
            self.primal = chosen_arguments(args, task.argnums, where)[0]
            self.values, self.structure = self._ran.values, self.compiled.output
        self.sizes = {"product" if self._symmetric else "pushforward": self.primal.size}
        if not self._symmetric:
            self.sizes["pullback"] = sum(math.prod(y.shape) for y in self.values)
        self.is_swept = self.captures or self._is_traced or not all(self.sizes.values())
        if ran is not None and not self.is_swept:
            self._take(self._ran)

    def __getstate__(self) -> dict[str, Any]:
        """What a pickle or a copy holds: the tape, with the values at this point, and no program, which is made anew where it pays."""
        later = CompiledMaps(self._where, PlainFunction(self.source[0]), self._is_compilable)
        state = self.__dict__ | {
            "sweeps": self.sweeps,
            "_later": later,
            "_program": None,
            "products": {},
            "compiled": None,
        }
        state.pop("_ran", None)
        return state

    @cached_property
    def sweeps(self) -> Sweeps:
        # Set by the constructor unless there is a program, whose results may have to be computed without it.
        self._stats.plain += 1
        return Sweeps(self._ran.plain())

    @property
    def _recorded(self) -> ProgramAtPoint | None:
        """The program of a recorded function, unless sweeps have had to be made already."""
        return None if "sweeps" in self.__dict__ else self._ran

    def operations(self) -> set[Any]:
        """Return the operations that the function is made of."""
        if self._recorded is not None:
            return self._recorded.operations()
        return {step.operation for tape in self.sweeps.local.tapes for step in tape.instructions if step is not None}

    def passes_traced(self, x: Any) -> bool:
        """Tell whether a product with x involves traced values, in the direction or in the point."""
        return self.captures or isinstance(x, Traced) or (self._is_traced and not isinstance(x, LinearOperator))

    @property
    def gradient(self) -> Any:
        """The gradient as a vector."""
        gradient = None if self._recorded is None else self._recorded.vector("gradient")
        return join_vector(self.sweeps.gradient) if gradient is None else gradient

    @property
    def gradient_leaves(self) -> list[Any]:
        """The gradient as leaves."""
        gradient = None if self._recorded is None else self._recorded.vector("gradient")
        return self.sweeps.gradient if gradient is None else _pieces(gradient, self.primal.leaves)

    def product(self, v: Any, name: str = "product") -> Any:
        """Apply a map to a vector of its length and precision."""
        product = self.products[name](v) if self._runs(name, 1, v) else None
        return self.sweeps.product(name, v) if product is None else product

    def rows(self, V: Any, name: str = "product", out: np.ndarray | None = None) -> Any:
        """Apply a map to every row; the result may lie in ``out``."""
        program = self._runs(name, len(V), V)
        rows = None if program is None else program.rows(name, V, self._symmetric, out)
        return self.sweeps.rows(name, V) if rows is None else rows

    def matrix(self, name: str = "product") -> Any:
        """Return the matrix of a map; rows are results, columns directions."""
        if not all(self.sizes.values()):
            other = {"pushforward": "pullback", "pullback": "pushforward"}.get(name, name)
            return np.zeros((self.sizes[other], self.sizes[name]), self.dtype)
        program = self._runs(name, self.sizes[name])
        matrix = None if program is None else program.matrix(name, self._symmetric)
        return self.sweeps.matrix(name, self._symmetric) if matrix is None else matrix

    def jacobian(self) -> Any:
        """Return the Jacobian, shape (m, n), by whichever of the maps takes fewer directions."""
        n, m = self.sizes.values()
        return np.transpose(self.matrix("pullback")) if m <= n else self.matrix("pushforward")

    def diagonal(self) -> Any:
        """Return the diagonal of a symmetric map."""
        if not self.primal.size:
            return np.zeros(0, self.dtype)
        program = self._runs("product", self.primal.size)
        diagonal = None if program is None else program.diagonal("product")
        return self.sweeps.diagonal("product") if diagonal is None else diagonal

    def leaves(self, leaves: list[Any], batch: tuple[int, ...], name: str = "product") -> list[Any]:
        """Apply a map to leaves with batch axes in front, which results have as well."""
        program = self._runs(name, math.prod(batch), next((leaf for leaf in leaves if isinstance(leaf, Traced)), None))
        rows = None
        if program is not None:
            vectors = join_vector(leaves, len(batch)).astype(self.dtype, copy=False)
            each = vectors.reshape(-1, self.sizes[name])
            rows = program.rows(name, each, self._symmetric) if batch else self.products[name](vectors)
        if rows is None:
            return self.sweeps.local.maps[name].apply(leaves, batch)
        like = self.values if name == "pushforward" else self.primal.leaves
        return _pieces(rows.reshape(*batch, rows.shape[-1]), like, len(batch))

    @property
    def dtype(self) -> np.dtype:
        """Precision of vectors: that of the point, and of the values where maps end there."""
        return (
            self.primal.dtype if self._symmetric else np.result_type(self.primal.dtype, *(y.dtype for y in self.values))
        )

    def _runs(self, name: str, directions: int, vectors: Any = None) -> ProgramAtPoint | None:
        """Return the program, if there is one or it pays to make one for so many directions more; traced values are swept."""
        if self.is_swept or isinstance(vectors, Traced):
            return None
        if self._program is None:
            sweeps = directions if directions < 2 else -(-directions // self.sweeps.block_length(self.sizes[name]))
            program = self._later.after(sweeps, self.sweeps.local)
            if program is not None:
                self._take(program)
        return self._program

    def _take(self, program: ProgramAtPoint) -> None:
        self._program = program
        for name in self.sizes:
            self.products[name] = program.product(name)


def _pieces(vectors: Any, like: Sequence[Any], batch: int = 0) -> list[Any]:
    """Cut vectors into leaves of the shapes and the precision of others."""
    pieces = zip(split_vector(vectors, [x.shape for x in like], batch), like, strict=True)
    return [piece.astype(x.dtype, copy=False) for piece, x in pieces]
