"""What the curvature operators share: raveled vectors, dense forms, and linear algebra from SciPy."""

from __future__ import annotations

import warnings
from numbers import Real
from typing import Any

import numpy as np
import scipy.linalg
from scipy.sparse.linalg import LinearOperator, eigsh, minres

from hessian.arguments import NOT_NEGATIVE, check
from hessian.core.trace import Primal
from hessian.core.trees import join_vector, split_vector
from hessian.errors import ConvergenceError, DtypeError, NonFiniteError, OptionError, ShapeMismatchError, message
from hessian.programs.frames import Linearized
from hessian.programs.maps import CompiledMaps
from hessian.rules.spec import Traced
from hessian.transforms.seeds import sweep_rows, unit_blocks

_WHICH = ("LA", "SA", "LM", "SM", "BE")
# Up to this order a dense factorisation is cheaper than the products an iterative solver would spend.
_DENSE_ORDER = 600
_REFINEMENTS = 4


class SymmetricOperator(LinearOperator):
    """A symmetric linear operator on the raveled space of ``x``, given by batched products.

    A subclass fills in ``_products(dots, batch)``: leaves of directions to leaves of products. After a few of them they are
    compiled to a program; an operator of a recorded function brings one along.
    """

    def __init__(
        self, primal: Primal, program: tuple[Linearized, int] | None = None, f: Any = None, *, record: bool = True
    ) -> None:
        self.primal = primal
        self._program = program
        self._maps = CompiledMaps(type(self).__name__, f, record)
        # Whether the function uses values that somebody else is recording: then so are products.
        self._captures = False
        n = primal.size
        super().__init__(primal.dtype, (n, n))

    def _products(self, dots: list[Any], batch: tuple[int, ...]) -> list[Any]:
        raise NotImplementedError

    def dot(self, x: Any) -> Any:
        """Multiply with a vector, the columns of a matrix, a scalar or another operator; what ``@`` calls."""
        if type(x) is np.ndarray and x.shape == self.shape[1:] and x.dtype == self.dtype:
            return self._matvec(x)  # by far the most frequent, and SciPy's checks take longer than small products
        if self._captures or is_traced(x, self.primal.leaves):
            # SciPy would convert operands and results to plain arrays.
            return self._matvec(x) if np.ndim(x) == 1 else self._matmat(x)
        return super().dot(x)

    def __matmul__(self, other: Any) -> Any:
        if type(other) is np.ndarray and other.shape == self.shape[1:] and other.dtype == self.dtype:
            return self._matvec(other)
        return super().__matmul__(other)

    def _matvec(self, v: Any) -> Any:
        v = as_direction(v, self).reshape(-1)
        program = self._ready(v, 1)
        if program is not None:
            product = program[0].attempt(lambda: program[0].run(program[1], v)[0])
            if product is not None:
                return product
        return join_vector(self._products(split_vector(v, self.primal.shapes), ()))

    def _matmat(self, V: Any) -> Any:
        rows = as_rows(as_direction(V, self))
        program = self._ready(rows, self._blocks(len(rows)))
        if program is not None:
            products = program[0].attempt(lambda: program[0].rows(program[1], rows, symmetric=True))
            if products is not None:
                return products.T
        dots = split_vector(rows, self.primal.shapes, batch=1)
        return np.transpose(join_vector(self._products(dots, (len(rows),)), batch=1))

    def _blocks(self, directions: int) -> int:
        """Return how many sweeps so many directions take."""
        return 1 if self._program is not None else -(-directions // self._block_length())

    def _ready(self, direction: Any, count: int) -> tuple[Linearized, int] | None:
        """Return the program of the products, if there is one or it pays to make one; traced values are swept."""
        if self._captures or is_traced(direction, self.primal.leaves) or not self.shape[0]:
            return None
        if self._program is None:
            program = self._maps.after(count, self._length(), self._compiled_products)
            self._program = None if program is None else (program, 1)
        return self._program

    @property
    def is_compiled(self) -> bool:
        """Whether products are run by a program."""
        return self._program is not None

    def _compiled_products(self) -> Any:
        """Return what a program of the products is made from."""
        shapes = self.primal.shapes

        def product(v: Any) -> Any:
            return join_vector(self._products(split_vector(v, shapes), ()))

        return [product], [(self.shape[0], self.dtype)]

    def _length(self) -> int:
        """Return how many instructions a sweep runs through, as far as it is known."""
        return 0

    # SciPy's sums and multiples are plain operators; these stay symmetric ones. The module that makes them builds on this one.

    def __add__(self, other: Any) -> Any:
        from hessian.operators.algebra import added

        return added(self, other)

    def __radd__(self, other: Any) -> Any:
        from hessian.operators.algebra import added

        # What sum() starts from.
        return self if isinstance(other, int) and other == 0 else added(other, self)

    def __sub__(self, other: Any) -> Any:
        from hessian.operators.algebra import added, scaled

        return added(self, scaled(other, -1.0))

    def __rsub__(self, other: Any) -> Any:
        from hessian.operators.algebra import added, scaled

        return added(other, scaled(self, -1.0))

    def __neg__(self) -> Any:
        from hessian.operators.algebra import scaled

        return scaled(self, -1.0)

    def __mul__(self, other: Any) -> Any:
        from hessian.operators.algebra import scaled

        return scaled(self, other) if is_number(other) else super().__mul__(other)

    def __rmul__(self, other: Any) -> Any:
        from hessian.operators.algebra import scaled

        return scaled(self, other) if is_number(other) else super().__rmul__(other)

    def __truediv__(self, other: Any) -> Any:
        from hessian.operators.algebra import scaled

        if not is_number(other):
            return NotImplemented
        if other == 0:
            raise OptionError(
                message("operator algebra", "an operator is divided by 0", fix="Pass a number other than 0")
            )
        return scaled(self, 1.0 / float(other))

    def _adjoint(self) -> SymmetricOperator:
        return self

    def _transpose(self) -> SymmetricOperator:
        return self

    def _block_length(self) -> int:
        """Return how many directions to send through one sweep."""
        raise NotImplementedError

    def to_dense(self) -> np.ndarray:
        """Return the matrix, shape (n, n), by n products in blocks, half of them where the structure shows which."""
        program = self._ready(None, self._blocks(self.shape[0]))
        if program is not None:
            matrix = program[0].attempt(lambda: program[0].matrix(program[1], symmetric=True))
            if matrix is not None:
                return matrix
        shapes = self.primal.shapes
        if not self.shape[0]:
            return np.zeros(self.shape, self.dtype)
        return sweep_rows(lambda dots: self._products(dots, (len(dots[0]),)), shapes, self._block_length(), self.dtype)

    def diagonal(self) -> np.ndarray:
        """Return the exact diagonal, shape (n,).

        Notes
        -----
        Cost: n products in blocks, as for the dense matrix, without storing it.
        """
        program = self._ready(None, self._blocks(self.shape[0]))
        if program is not None:
            found = program[0].attempt(lambda: program[0].diagonal(program[1]))
            if found is not None:
                return found
        diagonal, start = np.empty(self.shape[0], self.dtype), 0
        for block in unit_blocks(self.shape[0], self._block_length(), self.dtype):
            k = len(block)
            rows = join_vector(self._products(split_vector(block, self.primal.shapes, batch=1), (k,)), batch=1)
            diagonal[start : start + k] = rows[np.arange(k), np.arange(start, start + k)]
            start += k
        return diagonal

    def solve(self, b: Any, *, damping: float = 0.0, rtol: float = 1e-8, maxiter: int | None = None) -> np.ndarray:
        r"""Solve :math:`(A + \lambda I) z = b`.

        Parameters
        ----------
        b : array_like, shape (n,) or (n, k)
        damping : float
            :math:`\lambda \ge 0`.
        rtol : float
            Residual asked of the iterative solver, relative to b (n > 600).
        maxiter : int or None
            Iterations of each of up to four rounds of refinement; ``None`` means 5 n.

        Returns
        -------
        ndarray, shape of b

        Raises
        ------
        ShapeMismatchError, OptionError, NonFiniteError
            b does not fit or is not finite, or the damping is negative.
        ConvergenceError
            The matrix is singular to working precision, or the iteration did not reach ``rtol``.

        Notes
        -----
        Cost: n products and a symmetric indefinite factorisation (LAPACK sysv) up to n = 600, MINRES beyond.

        References
        ----------
        C. C. Paige & M. A. Saunders, "Solution of sparse indefinite systems of linear equations", SIAM J. Numer. Anal. 12
        (1975).
        """
        rhs = np.asarray(b, dtype=self.dtype)
        if rhs.ndim not in (1, 2) or rhs.shape[0] != self.shape[0]:
            what = f"b has shape {rhs.shape}, the operator {self.shape}"
            raise ShapeMismatchError(message("solve", what, fix=f"Pass b with {self.shape[0]} rows"))
        check("solve", "damping", damping, NOT_NEGATIVE)
        if not np.isfinite(rhs).all():
            raise NonFiniteError(message("solve", "b holds NaN or inf"))
        if self.shape[0] <= _DENSE_ORDER:
            return self._solve_dense(rhs, damping)
        columns = rhs.reshape(len(rhs), -1).T
        return np.stack([self._solve_column(c, damping, rtol, maxiter) for c in columns], axis=-1).reshape(rhs.shape)

    def _solve_dense(self, rhs: np.ndarray, damping: float) -> np.ndarray:
        matrix = self.to_dense()
        matrix[np.diag_indices_from(matrix)] += damping
        try:
            with warnings.catch_warnings():
                # An ill-conditioned system is an answer without digits: SciPy warns, we refuse.
                warnings.simplefilter("error", scipy.linalg.LinAlgWarning)
                return scipy.linalg.solve(0.5 * (matrix + matrix.T), rhs, assume_a="sym")
        except (np.linalg.LinAlgError, scipy.linalg.LinAlgWarning) as error:
            fix = "Pass damping > 0"
            raise ConvergenceError(message("solve", "the matrix is singular to working precision", fix=fix)) from error

    def _solve_column(self, b: np.ndarray, damping: float, rtol: float, maxiter: int | None) -> np.ndarray:
        z, residual, goal = np.zeros_like(b), b, rtol * np.linalg.norm(b)
        # MINRES stops relative to |A| |z|; refinement on the true residual takes it the rest of the way.
        for _ in range(_REFINEMENTS):
            z = z + minres(self, residual, shift=-damping, rtol=rtol, maxiter=maxiter)[0]
            residual = b - (self @ z + damping * z)
            if np.linalg.norm(residual) <= goal:
                return z
        what = f"MINRES stopped at a residual of {np.linalg.norm(residual):.2e}, asked for {goal:.2e}"
        raise ConvergenceError(message("solve", what, fix="Raise maxiter, loosen rtol, or pass damping > 0"))

    def eigsh(
        self,
        k: int = 6,
        *,
        which: str = "LA",
        tol: float = 0.0,
        maxiter: int | None = None,
        ncv: int | None = None,
        v0: Any = None,
    ) -> tuple[np.ndarray, np.ndarray]:
        """Compute ``k`` eigenvalues and eigenvectors: :func:`scipy.sparse.linalg.eigsh` on this operator.

        Parameters
        ----------
        k : int
        which : str
            ``"LA"`` largest, ``"SA"`` smallest, ``"LM"`` and ``"SM"`` largest and smallest in magnitude, ``"BE"`` both ends.
        tol, maxiter, ncv, v0
            As SciPy's; read by the iteration only (tiny operators are diagonalised dense). The starting vector is seeded
            unless given.

        Returns
        -------
        values : ndarray, shape (k,), ascending
        vectors : ndarray, shape (n, k)

        Raises
        ------
        OptionError
            k is not in 1..n, or ``which`` is unknown.

        Notes
        -----
        Cost: n products in blocks up to n = 2 k + 20, else one product per Lanczos step (ARPACK).
        """
        n = self.shape[0]
        if which not in _WHICH:
            raise OptionError(message("eigsh", f"which is {which!r}", fix=f"Pass one of {', '.join(_WHICH)}"))
        if isinstance(k, bool) or not isinstance(k, int | np.integer) or not 0 < k <= n:
            raise OptionError(message("eigsh", f"k is {k} for an operator of order {n}", fix=f"Pass 1 <= k <= {n}"))
        # ARPACK needs k < n; tiny operators are cheaper dense anyway.
        if n <= 2 * k + 20:
            return _dense_eigenpairs(self.to_dense(), k, which)
        start = np.random.default_rng(0).standard_normal(n).astype(self.dtype) if v0 is None else v0
        values, vectors = eigsh(self, k=k, which=which, tol=tol, maxiter=maxiter, ncv=ncv, v0=start)
        order = np.argsort(values)
        return values[order], vectors[:, order]


def is_number(value: Any) -> bool:
    """Tell whether something is a real number, an array without axes included."""
    return isinstance(value, Real) or (isinstance(value, np.ndarray) and value.ndim == 0 and value.dtype.kind in "fiub")


def is_traced(x: Any, leaves: list[Any]) -> bool:
    """Tell whether a product involves traced values, in the direction or in the point."""
    return isinstance(x, Traced) or (not isinstance(x, LinearOperator) and any(isinstance(a, Traced) for a in leaves))


def read_only(vector: Any) -> Any:
    """Protect a vector that an operator keeps and hands out."""
    if isinstance(vector, np.ndarray) and not isinstance(vector, Traced):
        vector.flags.writeable = False
    return vector


def as_rows(V: Any) -> Any:
    """Return the columns of a matrix as rows: directions lead."""
    return np.transpose(V) if isinstance(V, Traced) else np.ascontiguousarray(V.T)


def as_direction(v: Any, operator: LinearOperator) -> Any:
    """Return a direction as an array of the operator's dtype."""
    v = v if isinstance(v, Traced) else np.asarray(v)
    if v.dtype.kind not in "fiub":
        what = f"the direction has dtype {v.dtype}, the operator {operator.dtype}"
        raise DtypeError(
            message(type(operator).__name__, what, "the operator is real", "Apply it to real and imaginary parts")
        )
    return v if v.dtype == operator.dtype else v.astype(operator.dtype)


def _dense_eigenpairs(matrix: np.ndarray, k: int, which: str) -> tuple[np.ndarray, np.ndarray]:
    values, vectors = scipy.linalg.eigh(0.5 * (matrix + matrix.T))
    n = len(values)
    picks = {
        "LA": np.arange(n - k, n),
        "SA": np.arange(k),
        "LM": np.sort(np.argsort(np.abs(values))[n - k :]),
        "SM": np.sort(np.argsort(np.abs(values))[:k]),
        "BE": np.concatenate([np.arange(k // 2), np.arange(n - (k - k // 2), n)]),
    }
    return values[picks[which]], vectors[:, picks[which]]
