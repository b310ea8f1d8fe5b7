"""Symmetric matrices that are sparse plus low rank: products, systems, the dense matrix."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import scipy.linalg
import scipy.sparse.linalg
from scipy.sparse import block_array, csc_array, eye_array

from hessian.errors import ConvergenceError, OptionError, ShapeMismatchError, message
from hessian.linalg.factor import Factor
from hessian.linalg.factoring import analyse, factor, with_diagonal
from hessian.transforms.seeds import check_room

_WHERE = "SparsePlusLowRank"
_EPS = float(np.finfo(np.float64).eps)


class SparsePlusLowRank:
    r"""A symmetric matrix :math:`S + U D U^T`, S sparse of order n and U with r columns; made by :func:`split_hessian`.

    Parameters
    ----------
    sparse : csc_array, shape (n, n)
        S, symmetric.
    factors : ndarray, shape (n, r)
        U.
    core : ndarray, shape (r, r)
        D, symmetric; need not be regular.

    Attributes
    ----------
    sparse, factors, core
    shape : tuple of int
    dtype : dtype
    rank : int
        r, the number of columns.

    Raises
    ------
    ShapeMismatchError
        Shapes do not fit.

    Examples
    --------
    >>> import numpy as np
    >>> from scipy.sparse import eye_array
    >>> from hessian.sparse import SparsePlusLowRank
    >>> A = SparsePlusLowRank(eye_array(3, format="csc"), np.ones((3, 1)), np.array([[2.0]]))
    >>> A
    <SparsePlusLowRank of order 3: 3 entries, rank 1>
    >>> (A @ np.ones(3)).tolist(), A.solve([7.0, 7.0, 7.0]).round(12).tolist()
    ([7.0, 7.0, 7.0], [1.0, 1.0, 1.0])
    """

    def __init__(self, sparse: Any, factors: Any, core: Any, *, plans: dict[Any, Any] | None = None) -> None:
        self.sparse = csc_array(sparse)
        self.factors, self.core = np.asarray(factors), np.asarray(core)
        n = self.sparse.shape[0]
        if self.sparse.shape != (n, n) or self.factors.ndim != 2 or self.factors.shape[0] != n:
            what = f"S has shape {self.sparse.shape}, U has shape {self.factors.shape}"
            raise ShapeMismatchError(message(_WHERE, what, fix="Pass S of shape (n, n) and U of shape (n, r)"))
        r = self.factors.shape[1]
        if self.core.shape != (r, r):
            what, fix = f"D has shape {self.core.shape}, U has {r} columns", "Pass D of shape (r, r)"
            raise ShapeMismatchError(message(_WHERE, what, fix=fix))
        self.shape = (n, n)
        self.dtype = np.result_type(self.sparse.dtype, self.factors.dtype, self.core.dtype)
        # What depends on the pattern of S alone, shared by the matrices of a function.
        self._plans = {} if plans is None else plans

    @property
    def rank(self) -> int:
        """Number of columns of U."""
        return int(self.factors.shape[1])

    def __repr__(self) -> str:
        return f"<SparsePlusLowRank of order {self.shape[0]}: {self.sparse.nnz} entries, rank {self.rank}>"

    def __matmul__(self, v: Any) -> np.ndarray:
        """Return the product with a vector, or with the columns of a matrix."""
        v = self._fitting(v, "v")
        return np.asarray(self.sparse @ v + self.factors @ (self.core @ (self.factors.T @ v)))

    def _fitting(self, b: Any, name: str) -> np.ndarray:
        b = np.asarray(b)
        if b.ndim not in (1, 2) or b.shape[0] != self.shape[0]:
            n = self.shape[0]
            what, fix = f"{name} has shape {b.shape}, the matrix has order {n}", f"Pass shape ({n},) or ({n}, k)"
            raise ShapeMismatchError(message(_WHERE, what, fix=fix))
        return b

    def magnitude(self, v: Any) -> np.ndarray:
        """Return ``|S| |v| + |U| |D| |U'| |v|``: what rounding errors of a product are a share of."""
        v, factors = np.abs(self._fitting(v, "v")), np.abs(self.factors)
        return np.asarray(abs(self.sparse) @ v + factors @ (np.abs(self.core) @ (factors.T @ v)))

    def to_dense(self) -> np.ndarray:
        """Return the dense matrix, shape (n, n), symmetric to the last bit.

        Raises
        ------
        TooDenseError
            It takes more memory than is allowed.
        """
        check_room(_WHERE, *self.shape, self.dtype, None, "its parts")
        dense = self.sparse.toarray() + self.factors @ self.core @ self.factors.T
        return np.asarray(0.5 * (dense + dense.T))

    def diagonal(self) -> np.ndarray:
        """Return the diagonal, shape (n,)."""
        return np.asarray(self.sparse.diagonal() + np.sum((self.factors @ self.core) * self.factors, axis=1))

    def orthogonal(self) -> tuple[np.ndarray, np.ndarray]:
        """Return columns V and signs s with ``U D U' = V diag(s) V'``: the core may be singular."""
        factors, core = self.factors.astype(np.float64), self.core.astype(np.float64)
        with np.errstate(all="ignore"):
            sizes = np.max(np.abs(factors), axis=0, initial=0.0)
            sizes = np.where((sizes > 0.0) & np.isfinite(sizes), sizes, 1.0)
            values, vectors = scipy.linalg.eigh(core * sizes[:, None] * sizes, check_finite=False)
        keep = np.abs(values) > len(values) * _EPS * np.max(np.abs(values), initial=0.0)
        scaled = vectors[:, keep] * np.sqrt(np.abs(values[keep]))
        return (factors / sizes) @ scaled, np.sign(values[keep])

    def _plan(self) -> tuple[csc_array, Any]:
        matrix = with_diagonal(self.sparse)
        if "plan" not in self._plans and matrix.shape[0]:
            self._plans["plan"] = analyse(matrix)
        return matrix, self._plans.get("plan")

    def factor(self, *, damping: float = 0.0) -> Factor:
        r"""Factor :math:`S + U D U^T + \lambda I`, with a status instead of an error, by a factor of :math:`S + \lambda I`.

        Returns
        -------
        Factor
            With ``status``, ``inertia`` (where it is known), ``solve``, ``logdet``. Its status is ``SINGULAR`` also where S alone is,
            so that :meth:`solve` may know an answer where this has none.
        """
        self._check_damping(damping)
        matrix, plan = self._plan()
        columns, signs = self.orthogonal()
        return factor(matrix, damping, plan=plan, low_rank=(columns, np.diag(signs)))

    def _check_damping(self, damping: float) -> None:
        if not (np.ndim(damping) == 0 and math.isfinite(damping)):
            what, fix = f"damping is {damping!r}", "Pass a finite number"
            raise OptionError(message(f"{_WHERE}.solve", what, fix=fix))
        if not self.is_finite():
            what = "the matrix has entries that are not finite"
            raise ConvergenceError(message(f"{_WHERE}.solve", what, fix="Look at the point: f has no Hessian there"))

    def is_finite(self) -> bool:
        """Tell whether all numbers of its parts are finite."""
        return all(bool(np.isfinite(part).all()) for part in (self.sparse.data, self.factors, self.core))

    def solve(self, b: Any, *, damping: float = 0.0) -> np.ndarray:
        r"""Solve :math:`(S + U D U^T + \lambda I) y = b`.

        Parameters
        ----------
        b : array_like, shape (n,) or (n, k)
        damping : float
            :math:`\lambda`.

        Returns
        -------
        ndarray
            y, float64, with a backward error at rounding level.

        Raises
        ------
        ConvergenceError
            The matrix is singular to working precision, or holds numbers that are not finite.
        ShapeMismatchError, OptionError
            b does not fit; the damping is no number.

        Notes
        -----
        With :math:`U D U^T = V s V^T`, s signs, it is the bordered system

        .. math:: \begin{pmatrix} S + \lambda I & V \\ V^T & -s \end{pmatrix} \begin{pmatrix} y \\ w \end{pmatrix}
                  = \begin{pmatrix} b \\ 0 \end{pmatrix},

        which is regular wherever the matrix is, and quasi-definite for positive definite S and positive s (Vanderbei, SIAM J. Optim. 5
        (1995) 100-113). It is solved by a factor of :math:`S + \lambda I` and a matrix of order r, and as a whole, with pivoting, where S
        alone is (nearly) singular. Both are refined once. Singular is what changes of the last digits of its entries make singular:
        Skeel's condition number is looked at along a vector.

        Cost: a factorisation of S and r + 2 k solves.

        Examples
        --------
        >>> import numpy as np, hessian as hs
        >>> H = hs.sparse.split_hessian(lambda x: np.sum(x**2) ** 2, widest=2)(np.array([1.0, 2.0, 2.0]))
        >>> H.rank, H.solve([44.0, 88.0, 88.0]).round(10).tolist()
        (1, [0.4074074074, 0.8148148148, 0.8148148148])
        """
        b = self._fitting(b, "b").astype(np.float64)
        self._check_damping(damping)
        if not self.shape[0]:
            return np.zeros(b.shape)
        columns, signs = self.orthogonal()
        # One column more asks how far the last digits of the entries matter.
        probe = np.random.default_rng(0).choice([-1.0, 1.0], self.shape[0])
        probe *= self.magnitude(np.ones(self.shape[0])) + abs(damping)
        both = np.column_stack((b, probe))
        for solver in (self._by_parts, self._as_a_whole):
            solve = solver(columns, signs, float(damping))
            y = None if solve is None else self._refined(solve, both, float(damping))
            if y is not None and _largest(y)[-1] < 0.01 / _EPS:
                return np.asarray(y[:, 0] if b.ndim == 1 else y[:, :-1])
        what, why = "the matrix is singular to working precision", "no solution, or many, would be as good as any"
        raise ConvergenceError(message(f"{_WHERE}.solve", what, why, "Pass damping > 0"))

    def _refined(self, solve: Any, b: np.ndarray, damping: float) -> np.ndarray | None:
        """Return the solution, refined where that changes anything; ``None`` where it does not solve."""
        with np.errstate(all="ignore"):
            y = solve(b)
            for most in (16.0 * _EPS, 1e3 * _EPS):
                residual = b - self._damped(y, damping)
                scale = _largest(self.magnitude(y) + abs(damping) * np.abs(y) + np.abs(b))
                if not np.isfinite(scale).all():
                    return None
                if (_largest(residual) <= most * scale).all():
                    return y
                y = y + solve(residual)
        return None

    def _damped(self, y: np.ndarray, damping: float) -> np.ndarray:
        return self @ y + damping * y

    def _by_parts(self, columns: np.ndarray, signs: np.ndarray, damping: float) -> Any:
        matrix, plan = self._plan()
        if matrix.nnz == self.shape[0]:
            return _by_division(matrix.data + damping, columns, signs)
        found = factor(matrix, damping, plan=plan, low_rank=(columns, np.diag(signs)))
        return found.solve if found.can_solve else None

    def _as_a_whole(self, columns: np.ndarray, signs: np.ndarray, damping: float) -> Any:
        n = self.shape[0]
        shifted = self.sparse.astype(np.float64) + damping * eye_array(n, format="csc")
        bordered = csc_array(block_array([[shifted, columns], [columns.T, -np.diag(signs)]], format="csc"))
        try:
            lu = scipy.sparse.linalg.splu(bordered)
        except RuntimeError:
            # Exactly singular.
            return None
        return lambda b: lu.solve(np.concatenate((b, np.zeros((len(signs), b.shape[1])))))[:n]


def _by_division(diagonal: np.ndarray, columns: np.ndarray, signs: np.ndarray) -> Any:
    """Return what solves with a diagonal matrix plus one of low rank; ``None`` where a part of it is singular."""
    if not diagonal.all():
        return None
    with np.errstate(all="ignore"):
        through = columns / diagonal[:, None]
        capacitance = np.diag(signs) + columns.T @ through
        try:
            inverse = np.linalg.inv(capacitance)
        except np.linalg.LinAlgError:
            return None

    def solve(b: np.ndarray) -> np.ndarray:
        z = b / diagonal[:, None]
        return np.asarray(z - through @ (inverse @ (columns.T @ z)))

    return solve


def _largest(columns: np.ndarray) -> np.ndarray:
    """Return the largest magnitude in every column; along rows in memory it takes a tenth of the time."""
    return np.asarray(np.max(np.abs(np.ascontiguousarray(columns.T)), axis=1, initial=0.0))
