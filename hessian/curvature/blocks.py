"""Spectra of the diagonal blocks that belong to layers or other parts of the parameters."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from hessian.arguments import Rng, as_seed, whole_number
from hessian.curvature.eigenpairs import Eigenpairs
from hessian.curvature.eigenvalues import eigenvalues
from hessian.curvature.estimate import Estimate, with_error
from hessian.curvature.products import Products
from hessian.curvature.trace import trace
from hessian.errors import OptionError, message
from hessian.operators.restricted import RestrictedOperator, named_blocks
from hessian.text import Shown


@dataclass(frozen=True, eq=False, repr=False)
class BlockSpectrum(Shown):
    """One block's curvature.

    Attributes
    ----------
    name : str
    size : int
    lowest, highest : Eigenpairs
        Extreme eigenvalues of the block, at most k of each.
    trace : Estimate
    n_hvp : int
        Products with the whole operator.
    """

    name: str
    size: int
    lowest: Eigenpairs
    highest: Eigenpairs
    trace: Estimate
    n_hvp: int

    def __repr__(self) -> str:
        ends = (self.lowest.values[0], self.lowest.residuals[0]), (self.highest.values[-1], self.highest.residuals[-1])
        scale = max(abs(float(value)) for value, _ in ends)
        low, high = (
            f"{value:.4g}" if bound <= 1e-4 * scale else with_error(float(value), float(bound), False)
            for value, bound in ends
        )
        return f"{self.name}: {self.size} parameters, eigenvalues {low} to {high}, {self.trace!r}"


def block_spectra(
    H: Any,
    blocks: Mapping[str, Any] | None = None,
    *,
    k: int = 3,
    depth: int | None = None,
    max_hvp: int | None = None,
    rng: Rng = 0,
) -> dict[str, BlockSpectrum]:
    r"""Compute extreme eigenvalues and the trace of each diagonal block :math:`E_b^T H E_b`.

    Parameters
    ----------
    H : LinearOperator or matrix, shape (n, n)
        Symmetric.
    blocks : mapping, optional
        Names to slices, indices, or paths (:class:`hessian.operators.restricted.RestrictedOperator`). By default the parts of x,
        where H was made at a container of arrays.
    k : int
        Eigenvalues at either end.
    depth : int, optional
        How far containers are opened: 1 gives layers, by default every array.
    max_hvp : int, optional
        Products at most for each block; without one, all is exact or converged but the trace, which takes 60.
    rng : int, numpy.random.Generator or None
        Every block draws the same numbers.

    Returns
    -------
    dict of str to BlockSpectrum
        In the order of the blocks.

    Raises
    ------
    OptionError
        There are no blocks to be had from H, or ``max_hvp`` is below 12.

    Notes
    -----
    Cost: products with the whole operator, on vectors that are zero outside of a block. Blocks of at most a third of the budget (of
    60 without one) are formed. The eigenvalues of blocks lie within the range of H's own (Cauchy), and their traces add up to its
    trace where they cover everything.

    Examples
    --------
    >>> import numpy as np, hessian as hs
    >>> from hessian.curvature import block_spectra
    >>> x = {"a": np.ones(2), "b": np.array([2.0])}
    >>> H = hs.HessianOperator(lambda p: np.sum(p["a"] ** 3) + p["b"][0] ** 2, x)
    >>> [round(float(part.highest.values[-1]), 12) for part in block_spectra(H).values()]
    [6.0, 2.0]
    """
    where = "block_spectra"
    products = Products(H, where)
    source = H if products.matrix is None else products.matrix
    if blocks is None:
        parts: Mapping[str, Any] = {f"{name}": place for name, place in named_blocks(source, depth).items()}
    else:
        parts = blocks
    if not parts:
        raise OptionError(message(where, "there is no block", fix="Pass a mapping of names to slices"))
    whole_number(where, "k", k)
    if max_hvp is not None:
        whole_number(where, "max_hvp", max_hvp, 12, "Two ends and a trace share it")
    seed = as_seed(rng, where)
    return {name: _spectrum(name, RestrictedOperator(source, part), k, max_hvp, seed) for name, part in parts.items()}


def _spectrum(name: str, block: RestrictedOperator, k: int, max_hvp: int | None, seed: int) -> BlockSpectrum:
    size = block.shape[0]
    k = min(k, size)
    share = (60 if max_hvp is None else max_hvp) // 3
    if size <= share:
        matrix = Products(block, f"block_spectra, block {name!r}").dense()
        low, high = eigenvalues(matrix, k, "SA"), eigenvalues(matrix, k, "LA")
        return BlockSpectrum(name, size, low, high, trace(matrix), size)
    each = None if max_hvp is None else max(share, k)
    low, high = (eigenvalues(block, k, which, max_hvp=each, rng=seed) for which in ("SA", "LA"))
    total = trace(block, share if max_hvp is not None else None, rng=seed)
    return BlockSpectrum(name, size, low, high, total, low.n_hvp + high.n_hvp + total.n_hvp)
