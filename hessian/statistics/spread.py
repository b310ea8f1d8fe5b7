"""Covariance matrices as they are held: by a root, or by the sparse factor of their inverse."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from typing import Any

import numpy as np
import scipy.linalg
from scipy.sparse import csc_array, diags_array, issparse

from hessian.curvature.estimate import Uncertain
from hessian.errors import ShapeMismatchError, TooDenseError, message
from hessian.linalg import limits
from hessian.linalg.factor import Factor
from hessian.linalg.factoring import analyse
from hessian.linalg.sum_factor import factor_sum
from hessian.linalg.sums import SymmetricSum
from hessian.linalg.vectors import row_norms
from hessian.statistics.sandwich_diagonal import sandwich_diagonal
from hessian.tape.names import find_part

_DEPENDENT = 1e-12
"""Share of a variance below which what is left of it is rounding."""


OfLayer = Callable[[np.ndarray], tuple[np.ndarray | None, np.ndarray | None, np.ndarray]]
"""Takes where the parameters of an affine layer are, shape (p, q), -1 for those that are known; gives bases L and R, ``None`` for the
identity, and variances D, shape (p, q), with which their covariance is ``(L x R) diag(D) (L x R)^T``."""


class Spread:
    """A covariance matrix of order n.

    Attributes
    ----------
    order : int
    is_sparse : bool
        Whether the matrix is not at hand, but solves with its inverse.
    kind : str
        How it is held.
    of_layer : callable or None
        Its block of an affine layer, where layers are independent of each other and each is known by its eigenvectors.
    """

    order: int
    of_layer: OfLayer | None = None
    is_sparse = True
    kind = "sparse"

    @property
    def deviations(self) -> np.ndarray:
        """Square roots of the diagonal, shape (n,)."""
        raise NotImplementedError

    @property
    def root(self) -> np.ndarray:
        """A matrix R with ``R R'`` the covariance, shape (n, k)."""
        raise NotImplementedError

    @cached_property
    def matrix(self) -> np.ndarray:
        """The covariance, shape (n, n)."""
        check_room("covariance", self.order, self.order)
        found = self.columns(np.arange(self.order))
        return np.asarray(0.5 * (found + found.T))

    def product(self, v: np.ndarray) -> np.ndarray:
        """Multiply with a vector, or with the columns of a matrix."""
        raise NotImplementedError

    def columns(self, at: np.ndarray) -> np.ndarray:
        """Return some columns of the covariance, shape (n, k)."""
        units = np.zeros((self.order, len(at)))
        units[at, np.arange(len(at))] = 1.0
        return self.product(units)

    def draws(self, count: int, rng: np.random.Generator) -> np.ndarray:
        """Draw from the normal law with this covariance and mean zero, shape (count, n)."""
        raise NotImplementedError

    def carried(self, jacobian: Any, full: bool) -> tuple[np.ndarray, np.ndarray | None]:
        """Return the variances of outputs with a sparse Jacobian, shape (m, n), and their covariance where it is asked for."""
        m = jacobian.shape[0]
        variances, covariance = np.empty(m), None
        if full:
            check_room("covariance", m, m)
            covariance = np.empty((m, m))
        width = limits.block_columns(self.order)
        for start in range(0, m, width):
            part = slice(start, min(start + width, m))
            rows = jacobian[part].toarray()
            solved = self.product(rows.T)
            variances[part] = np.sum(rows * solved.T, axis=1)
            if covariance is not None:
                covariance[:, part] = jacobian @ solved
        return variances, covariance if covariance is None else 0.5 * (covariance + covariance.T)

    def carried_by(self, operator: Any, full: bool) -> tuple[np.ndarray, np.ndarray | None]:
        """Return the variances of the outputs of a Jacobian operator, and their covariance where it is asked for."""
        return self.carried(operator.to_sparse().tocsr().astype(np.float64), full)

    def blocks(self, jacobian: np.ndarray) -> np.ndarray:
        """Return the covariance of the outputs of each example, (N, K, K), from their Jacobians, (N, K, n)."""
        count, width, n = jacobian.shape
        rows = jacobian.reshape(-1, n)
        return np.asarray(jacobian @ self.product(rows.T).T.reshape(count, width, n).swapaxes(1, 2))

    def variances(self, jacobian: np.ndarray) -> np.ndarray:
        """Return the variances of the outputs of each example, (N, K), from their Jacobians, (N, K, n)."""
        return np.diagonal(self.blocks(jacobian), axis1=1, axis2=2)

    def carried_root(self, jacobian: np.ndarray) -> np.ndarray:
        """Return a root of the covariance of a few outputs, with zeros for what depends on others to working precision."""
        _, covariance = self.carried(csc_array(jacobian).tocsr(), True)
        assert covariance is not None
        lengths = np.sqrt(np.diag(covariance))
        scale = np.where(lengths > 0.0, lengths, 1.0)
        values, vectors = scipy.linalg.eigh(covariance / scale / scale[:, None])
        values = np.where(values > _DEPENDENT * np.max(values, initial=0.0), values, 0.0)
        return np.asarray(scale[:, None] * vectors * np.sqrt(values))


class DenseSpread(Spread):
    """By a root, from which everything comes, so that nothing cancels."""

    is_sparse = False
    kind = "dense"

    def __init__(self, root: np.ndarray) -> None:
        self._root, self.order = root, len(root)

    @property
    def root(self) -> np.ndarray:
        """As given."""
        return self._root

    @cached_property
    def matrix(self) -> np.ndarray:
        """Root times root."""
        return np.asarray(self._root @ self._root.T)

    @property
    def deviations(self) -> np.ndarray:
        """Lengths of rows of the root."""
        return row_norms(self._root)

    def product(self, v: np.ndarray) -> np.ndarray:
        """Multiply with the root twice."""
        return np.asarray(self._root @ (self._root.T @ v))

    def columns(self, at: np.ndarray) -> np.ndarray:
        """Multiply the root with rows of it."""
        return np.asarray(self._root @ self._root[at].T)

    def carried(self, jacobian: Any, full: bool) -> tuple[np.ndarray, np.ndarray | None]:
        """Multiply the root with a dense Jacobian."""
        root = jacobian @ self._root
        return np.sum(root * root, axis=1), root @ root.T if full else None

    def carried_by(self, operator: Any, full: bool) -> tuple[np.ndarray, np.ndarray | None]:
        """Multiply the root with the dense Jacobian."""
        return self.carried(operator.to_dense().astype(np.float64), full)

    def blocks(self, jacobian: np.ndarray) -> np.ndarray:
        """Multiply the root with each."""
        root = jacobian @ self._root
        return np.asarray(root @ root.swapaxes(1, 2))

    def carried_root(self, jacobian: np.ndarray) -> np.ndarray:
        """Multiply the root with it."""
        return np.asarray(jacobian @ self._root)

    def draws(self, count: int, rng: np.random.Generator) -> np.ndarray:
        """Multiply standard normal numbers with the root."""
        return np.asarray(rng.standard_normal((count, self._root.shape[1])) @ self._root.T)


class FactoredSpread(Spread):
    """The inverse of ``D C D``, C sparse, or sparse plus low rank, by a factor of C; rows and columns of zeros for what is known.

    Parameters
    ----------
    matrix : SymmetricSum of order k
        C, positive definite.
    found : Factor
        Of it.
    scale : ndarray, shape (k,)
        D.
    free : ndarray of int, shape (k,)
        Where its rows are among all.
    order : int
        How many there are in all.
    """

    def __init__(self, matrix: SymmetricSum, found: Factor, scale: np.ndarray, free: np.ndarray, order: int) -> None:
        self._matrix, self._scale, self._free, self.order = matrix, scale, free, order
        self._factor: Factor | None = found

    def __getstate__(self) -> dict[str, Any]:
        # Factors of SuperLU's are not pickled: they are made again.
        return vars(self) | {"_factor": None}

    @property
    def factor(self) -> Factor:
        """The factor of C."""
        if self._factor is None:
            self._factor = factor_sum(analyse(self._matrix.sparse), self._matrix, definite=True)
        return self._factor

    @cached_property
    def deviations(self) -> np.ndarray:
        """Square roots of the diagonal of the inverse, by the pattern of the factor."""
        found = np.zeros(self.order)
        found[self._free] = np.sqrt(self.factor.inverse_diagonal()) / self._scale
        return found

    def sandwiched(self, scores: Any) -> tuple[np.ndarray, np.ndarray] | None:
        """Return the diagonal of ``V S' S V``, and where it is known; ``None`` where it is by solves."""
        if self._matrix.rank or not issparse(scores):
            return None
        rows = scores.tocsc()[:, self._free] @ diags_array(1.0 / self._scale)
        known = sandwich_diagonal(csc_array(self._matrix.sparse), self.factor, csc_array(rows.T @ rows))
        if known is None:
            return None
        variances, is_right = np.zeros(self.order), np.ones(self.order, bool)
        variances[self._free], is_right[self._free] = known[0] / self._scale**2, known[1]
        return variances, is_right

    @cached_property
    def root(self) -> np.ndarray:
        """By a solve for each column."""
        check_room("root of a covariance", self.order, self.order)
        return self._placed(self.factor.spread(np.eye(len(self._free))))

    def _placed(self, rows: np.ndarray) -> np.ndarray:
        found = np.zeros((self.order, *rows.shape[1:]))
        found[self._free] = (rows.T / self._scale).T
        return found

    def product(self, v: np.ndarray) -> np.ndarray:
        """Solve."""
        return self._placed(self.factor.solve((v[self._free].T / self._scale).T))

    def draws(self, count: int, rng: np.random.Generator) -> np.ndarray:
        """Multiply standard normal numbers with a root that the factor has."""
        return self._placed(self.factor.spread(rng.standard_normal((count, len(self._free))).T)).T


class SandwichSpread(Spread):
    """The covariance ``V S' S V`` of V and the scores S, shape (m, n)."""

    def __init__(self, inner: Spread, scores: Any) -> None:
        self._inner, self._scores, self.order = inner, scores, inner.order

    @cached_property
    def deviations(self) -> np.ndarray:
        """Lengths of the columns of ``S V``: by some factors where scores are as sparse as the information, else by a solve for each."""
        found, left = np.empty(self.order), np.arange(self.order)
        variances = self._inner.sandwiched(self._scores) if isinstance(self._inner, FactoredSpread) else None
        if variances is not None:
            left = np.flatnonzero(~variances[1])
            found = np.sqrt(np.where(variances[1], variances[0], 0.0))
        width = limits.block_columns(self.order)
        for start in range(0, len(left), width):
            at = left[start : start + width]
            found[at] = row_norms((self._scores @ self._inner.columns(at)).T)
        return found

    @cached_property
    def root(self) -> np.ndarray:
        """``V S'``, by a solve for each score."""
        check_room("root of a covariance", self.order, self._scores.shape[0])
        scores = self._scores.toarray() if issparse(self._scores) else self._scores
        return self._inner.product(scores.T)

    def product(self, v: np.ndarray) -> np.ndarray:
        """Solve twice."""
        return self._inner.product(self._scores.T @ (self._scores @ self._inner.product(v)))

    def draws(self, count: int, rng: np.random.Generator) -> np.ndarray:
        """Give every score a random factor."""
        return self._inner.product(self._scores.T @ rng.standard_normal((self._scores.shape[0], count))).T


def sandwich(spread: Spread, scores: Any) -> Spread:
    """Return the covariance ``V S' S V``."""
    if spread.is_sparse:
        return SandwichSpread(spread, scores)
    # Triangular, so that the root has no more columns than there are parameters.
    triangle = np.asarray(np.linalg.qr(scores.astype(np.float64) @ spread.root, mode="r"))
    return DenseSpread(spread.root @ triangle.T)


def check_room(name: str, rows: int, columns: int) -> None:
    """Refuse a dense matrix that does not fit, and say what does."""
    size = 8 * rows * columns
    if size > limits.MATRIX_BYTES:
        what = f"the {name} of {rows} numbers is dense: it takes {size / 2**30:.3g} GiB"
        why = "The inverse of a sparse matrix is not sparse"
        fix = "Use .standard_error, .among(...) for some of them, or products, .multiply(v)"
        raise TooDenseError(message("covariance", what, why, fix))


class Spreading(Uncertain):
    """Estimated parameters, ``value``, with a covariance."""

    spread: Spread

    @property
    def structure(self) -> str:
        """How the covariance is held: ``"dense"``, by a root, ``"sparse"``, by the factor of its inverse, or as it was asked for."""
        return self.spread.kind

    @property
    def root(self) -> np.ndarray:
        """A matrix that times its transpose is the covariance, shape (n, k)."""
        return self.spread.root

    def among(self, *keys: Any) -> np.ndarray:
        """Return the covariance between some parameters, shape (k, k).

        Parameters
        ----------
        *keys
            Names (``"sigma"``, ``"beta[2]"``, ``"level[10:20]"``), or keys or positions, as ``fixed=`` of
            :func:`hessian.optimize.minimize` takes them.

        Raises
        ------
        OptionError, ShapeMismatchError
            There is no such parameter; none is named.

        Notes
        -----
        Cost: of a sparse model a solve for each.

        Examples
        --------
        >>> import numpy as np
        >>> from hessian.statistics import covariance
        >>> found = covariance(lambda x: x[0] ** 2 + 2.0 * x[1] ** 2 + 4.0 * x[2] ** 2, np.zeros(3))
        >>> found.among("x[2]", "x[0]").round(12).tolist()
        [[0.125, 0.0], [0.0, 0.5]]
        """
        places = [np.ravel(place) for key in keys for place in find_part(self.value, key, "among").places]
        if not places:
            fix = "Pass names, as in among('x[0]', 'x[3]')"
            raise ShapeMismatchError(message("among", "no parameter is named", fix=fix))
        at = np.concatenate(places).astype(np.intp)
        found = self.spread.columns(at)[at]
        return np.asarray(0.5 * (found + found.T))

    def multiply(self, v: Any) -> np.ndarray:
        """Return the matrix times a vector, or times the columns of one: of a sparse model by a solve each.

        ``w @ c.multiply(w)`` is the variance of the combination ``w @ x`` of raveled parameters.

        Raises
        ------
        ShapeMismatchError
            v does not fit.
        """
        n, v = self.spread.order, np.asarray(v, np.float64)
        if v.ndim not in (1, 2) or v.shape[0] != n:
            what, fix = f"v has shape {v.shape}", f"Pass shape ({n},) or ({n}, k)"
            raise ShapeMismatchError(message("multiply", what, fix=fix))
        return self.spread.product(v)
