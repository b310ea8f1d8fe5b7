"""The curvature of a likelihood, to which priors are added: dense, sparse, diagonal, Kronecker-factored or of low rank."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import scipy.linalg

from hessian.errors import OptionError, message
from hessian.linalg.dense import symmetrized
from hessian.linalg.nystrom import EigenForm
from hessian.linalg.sums import SymmetricSum
from hessian.linalg.vectors import norm
from hessian.operators.kfac import KroneckerBlock, over_blocks
from hessian.optimize.optimality import Definiteness
from hessian.statistics.information import Information, WeakDirection, indefinite
from hessian.statistics.sparse_information import SparseInformation
from hessian.statistics.spread import OfLayer, Spread
from hessian.statistics.structured_spread import StructuredSpread

_WHAT = "posterior precision"


class Curvature:
    """The curvature H of a negative log-likelihood, of order n, without the prior.

    Attributes
    ----------
    rounding : float
        Spacing at one of the numbers that it is made of, as far as eigenvalues of zero are seen to be none.
    """

    rounding = float(np.finfo(np.float64).eps)

    def information(self, precision: np.ndarray) -> Information:
        """Return ``H + diag(precision)``; refuse one that is not positive definite."""
        raise NotImplementedError

    def relative(self, precision: np.ndarray) -> np.ndarray | None:
        r"""Return the eigenvalues of :math:`\Lambda^{-1/2} H \Lambda^{-1/2}`, or ``None`` where a factor is all there is."""
        raise NotImplementedError

    def truncation(self, precision: np.ndarray) -> float:
        """Return what half the logarithm of the determinant may lack at most by eigenvalues that were left out."""
        return 0.0


class DenseCurvature(Curvature):
    """A matrix."""

    def __init__(self, matrix: np.ndarray, precision: np.dtype, names: Sequence[str], source: Any) -> None:
        self._matrix, self._dtype, self._names, self._source = matrix, precision, names, source
        self.rounding = float(np.finfo(precision).eps)

    def information(self, precision: np.ndarray) -> Information:
        """Decompose the sum."""
        total = (self._matrix + np.diag(precision)).astype(self._dtype)
        return Information.of_matrix(total, self._names, where="laplace", what=_WHAT, source=self._source)

    def relative(self, precision: np.ndarray) -> np.ndarray:
        """Decompose the scaled matrix."""
        root = np.sqrt(precision)
        return np.asarray(scipy.linalg.eigvalsh(symmetrized(self._matrix / root / root[:, None])))

    def __getstate__(self) -> dict[str, Any]:
        # What names the origin of NaN is a function, and finite curvature needs it no more.
        return vars(self) | {"_source": None}


class SparseCurvature(Curvature):
    """A sparse matrix, or one plus low rank."""

    def __init__(self, matrix: SymmetricSum, precision: np.dtype, names: Sequence[str], source: Any) -> None:
        self._matrix, self._dtype, self._names, self._source = matrix, precision, names, source

    def information(self, precision: np.ndarray) -> Information:
        """Factor the sum."""
        total = self._matrix.plus_diagonal(precision)
        return SparseInformation.of_sparse(
            total, self._dtype, self._names, where="laplace", what=_WHAT, source=self._source
        )

    def relative(self, precision: np.ndarray) -> None:
        """Eigenvalues take more than factors."""

    def __getstate__(self) -> dict[str, Any]:
        return vars(self) | {"_source": None}


class DiagonalCurvature(Curvature):
    """The diagonal alone."""

    def __init__(self, diagonal: np.ndarray, names: Sequence[str]) -> None:
        self._diagonal, self._names = diagonal, names

    def information(self, precision: np.ndarray) -> Information:
        """Add up."""
        total = self._diagonal + precision
        share = total / (np.abs(self._diagonal) + precision)
        at = int(np.argmin(share))
        if share[at] <= float(np.finfo(np.float64).eps):
            unit = np.zeros(len(total))
            unit[at] = 1.0
            kind = Definiteness.NEGATIVE if share[at] < 0.0 else Definiteness.ZERO
            raise indefinite(kind, float(share[at]), unit, self._names, "laplace", _WHAT)
        return StructuredInformation(
            partial(_scaled, 1.0 / np.sqrt(total)),
            partial(_scaled, 1.0 / total),
            partial(_scaled, 1.0 / np.sqrt(total)),
            1.0 / total,
            float(np.sum(np.log(total))),
            "diagonal",
            partial(_of_diagonal, 1.0 / total),
        )

    def relative(self, precision: np.ndarray) -> np.ndarray:
        """Divide."""
        return np.asarray(self._diagonal / precision)


class KroneckerCurvature(Curvature):
    """Blocks of layers, of which the eigenvectors are known; the prior has one precision in each, and is added in these."""

    def __init__(self, blocks: Sequence[KroneckerBlock]) -> None:
        self._blocks = blocks

    def _of_blocks(self, precision: np.ndarray) -> list[float]:
        """Return the precision of each block."""
        found = []
        for block in self._blocks:
            inside = precision[block.places]
            if inside.max() > inside.min():
                what = f"the prior precision differs within the layer {block.name}"
                why = "A multiple of the identity is diagonal in any basis, another diagonal is not in that of Kronecker factors"
                raise OptionError(message("laplace", what, why, 'Give each layer one, or take structure="diagonal"'))
            found.append(float(inside.max()))
        return found

    def information(self, precision: np.ndarray) -> Information:
        """Add to the eigenvalues."""
        added = self._of_blocks(precision)
        blocks = [
            replace(block, eigenvalues=block.eigenvalues.astype(np.float64) + one)
            for block, one in zip(self._blocks, added, strict=True)
        ]
        variances = np.empty(len(precision))
        for block in blocks:
            variances[block.places] = replace(block, eigenvalues=1.0 / block.eigenvalues).diagonal()
        return StructuredInformation(
            partial(_through, blocks, _inverse_root),
            partial(_through, blocks, np.reciprocal),
            partial(_into, blocks),
            variances,
            float(sum(np.sum(np.log(block.eigenvalues)) for block in blocks)),
            "kronecker",
            partial(_of_blocks, blocks),
        )

    def relative(self, precision: np.ndarray) -> np.ndarray:
        """Divide eigenvalues."""
        pairs = zip(self._blocks, self._of_blocks(precision), strict=True)
        return np.concatenate([block.eigenvalues.ravel().astype(np.float64) / one for block, one in pairs])


def _through(
    blocks: Sequence[KroneckerBlock], function: Callable[[np.ndarray], np.ndarray], V: np.ndarray
) -> np.ndarray:
    """Return a function of a block-diagonal matrix times columns."""
    return over_blocks(blocks, lambda block, M: block.apply(function, M), V)


def _into(blocks: Sequence[KroneckerBlock], V: np.ndarray) -> np.ndarray:
    """Multiply columns with the transpose of a root of the inverse that is not turned back from the eigenvectors."""

    def product(block: KroneckerBlock, M: np.ndarray) -> np.ndarray:
        left, right = block.bases
        return np.asarray((left.T @ M @ right) / np.sqrt(block.eigenvalues))

    return over_blocks(blocks, product, V)


def _inverse_root(values: np.ndarray) -> np.ndarray:
    """Return ``1 / sqrt(values)``."""
    return np.asarray(1.0 / np.sqrt(values))


def _of_diagonal(variances: np.ndarray, at: np.ndarray) -> tuple[None, None, np.ndarray]:
    """Return the variances of a layer."""
    return None, None, np.where(at < 0, 0.0, variances[at])


def _of_blocks(blocks: Sequence[KroneckerBlock], at: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the bases of a layer, whose block is that of the same parameters, and variances in them."""
    block = next(block for block in blocks if np.array_equal(block.places, at))
    left, right = block.bases
    return left, right, 1.0 / block.eigenvalues


def _scaled(weights: np.ndarray, V: np.ndarray) -> np.ndarray:
    """Multiply rows, or a vector, with weights."""
    return np.asarray((V.T * weights).T)


def _corrected_root(form: EigenForm, on_range: np.ndarray, width: np.ndarray, Z: np.ndarray) -> np.ndarray:
    """Multiply with the root of a corrected prior, of which ``width`` are the deviations."""
    return _scaled(width, form.function(Z, on_range, 1.0))


def _corrected_inward(form: EigenForm, on_range: np.ndarray, width: np.ndarray, V: np.ndarray) -> np.ndarray:
    """Multiply with the transpose of that root."""
    return form.function(_scaled(width, V), on_range, 1.0)


def _corrected(form: EigenForm, on_range: np.ndarray, width: np.ndarray, V: np.ndarray) -> np.ndarray:
    """Multiply with the covariance of a corrected prior."""
    return _corrected_root(form, on_range, width, _scaled(width, V))


class LowRankCurvature(Curvature):
    """Some eigenpairs, those that are above a floor, and how large eigenvalues of the rest are at most."""

    def __init__(self, values: np.ndarray, vectors: np.ndarray, left_out: float, floor: float = 0.0) -> None:
        keep, self._left_out = values > floor, max(left_out, floor)
        self._values, self._vectors = values[keep].astype(np.float64), vectors[:, keep].astype(np.float64)

    def _form(self, precision: np.ndarray) -> EigenForm:
        """Return the eigenpairs with both sides divided by the root of the precision."""
        root = self._vectors * np.sqrt(self._values) / np.sqrt(precision)[:, None]
        vectors, sizes, _ = scipy.linalg.svd(root, full_matrices=False)
        return EigenForm(vectors, sizes**2, 0.0, 0.0)

    def information(self, precision: np.ndarray) -> Information:
        """Correct the prior by the pairs (Woodbury)."""
        form, width = self._form(precision), 1.0 / np.sqrt(precision)
        shrunk, squares = 1.0 / (1.0 + form.values), form.vectors**2
        beside = 0.0 if len(form.values) == len(precision) else np.maximum(1.0 - np.sum(squares, axis=1), 0.0)
        return StructuredInformation(
            partial(_corrected_root, form, np.sqrt(shrunk), width),
            partial(_corrected, form, shrunk, width),
            partial(_corrected_inward, form, np.sqrt(shrunk), width),
            (beside + squares @ shrunk) / precision,
            float(np.sum(np.log(precision)) + np.sum(np.log1p(form.values))),
            "low-rank",
        )

    def relative(self, precision: np.ndarray) -> np.ndarray:
        """Return those of the corrected prior; the others are 0."""
        return self._form(precision).values

    def truncation(self, precision: np.ndarray) -> float:
        """The rest adds nothing to the range of the pairs."""
        beside = len(precision) - len(self._values)
        return 0.5 * beside * float(np.log1p(self._left_out / precision.min())) if beside else 0.0


class StructuredInformation(Information):
    """A positive definite precision by what multiplies with its inverse.

    Parameters
    ----------
    half, inverse, inward : callable
        Multiply a vector or columns with a root of the inverse, with it, or with the transpose of a root.
    variances : ndarray, shape (n,)
        Diagonal of the inverse.
    log_determinant : float
        Of the precision.
    kind : str
    of_layer : callable, optional
        As of :class:`~hessian.statistics.spread.Spread`.
    """

    def __init__(
        self,
        half: Callable[[np.ndarray], np.ndarray],
        inverse: Callable[[np.ndarray], np.ndarray],
        inward: Callable[[np.ndarray], np.ndarray],
        variances: np.ndarray,
        log_determinant: float,
        kind: str,
        of_layer: OfLayer | None = None,
    ) -> None:
        self._half, self._inverse, self._inward = half, inverse, inward
        self._variances, self._kind, self._of_layer = variances, kind, of_layer
        self._log_determinant = log_determinant

    @property
    def log_determinant(self) -> float:
        """Logarithm of the determinant."""
        return self._log_determinant

    @property
    def weak_directions(self) -> tuple[WeakDirection, ...]:
        """Nobody looks for them."""
        return ()

    def spread(self, free: np.ndarray, order: int) -> Spread:
        """Return the inverse; all of the parameters are free."""
        return StructuredSpread(self._half, self._inverse, self._inward, self._variances, self._kind, self._of_layer)

    def length(self, gradient: np.ndarray) -> float:
        """Length of a gradient in the inverse, ``sqrt(g^T I^-1 g)``."""
        size = norm(gradient)
        unit = gradient / size if size else gradient
        return size * float(np.sqrt(unit @ self._inverse(unit)))
