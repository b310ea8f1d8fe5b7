"""Kronecker-factored approximate curvature of networks, as an operator that solves and has a determinant."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np

from hessian.arguments import NOT_NEGATIVE, Rng, check, whole_number
from hessian.errors import ConvergenceError, OptionError, message
from hessian.linalg import limits
from hessian.linalg.dense import eigh
from hessian.operators.kronecker import Tap, TappedNetwork, output_roots
from hessian.operators.symmetric import SymmetricOperator
from hessian.operators.vectors import as_right_hand_side

_SHARING = ("expand", "reduce")


@dataclass(frozen=True, eq=False)
class KroneckerBlock:
    r"""The block of one layer, :math:`A \otimes B` over the rows of ``[W; b]``, by its eigenvectors.

    Attributes
    ----------
    name : str
        Where the parameters of the layer are.
    inputs : ndarray, shape (n_in + 1, n_in + 1)
        A, the second moment of what goes in, with a one for the bias.
    outputs : ndarray, shape (n_out, n_out)
        B, that of what comes back, times the number of places.
    eigenvalues : ndarray, shape (n_in + 1, n_out)
        Of the block: products of those of A and B, or corrected.
    """

    name: str
    inputs: np.ndarray
    outputs: np.ndarray
    eigenvalues: np.ndarray
    places: np.ndarray
    bases: tuple[np.ndarray, np.ndarray]

    def apply(self, function: Callable[[np.ndarray], np.ndarray], V: np.ndarray) -> np.ndarray:
        """Return a function of the block, given on its eigenvalues, times matrices of shape (k, n_in + 1, n_out)."""
        left, right = self.bases
        return np.asarray(left @ (function(self.eigenvalues) * (left.T @ V @ right)) @ right.T)

    def diagonal(self) -> np.ndarray:
        """Return the diagonal, shape (n_in + 1, n_out)."""
        left, right = self.bases
        return np.asarray(left**2 @ self.eigenvalues @ (right**2).T)

    def __repr__(self) -> str:
        return f"<KroneckerBlock {self.name}: {self.inputs.shape[0]} x {self.outputs.shape[0]}>"


def over_blocks(
    blocks: Sequence[KroneckerBlock], product: Callable[[KroneckerBlock, np.ndarray], np.ndarray], V: np.ndarray
) -> np.ndarray:
    """Multiply columns with a block-diagonal matrix, by what multiplies matrices of shape (k, n_in + 1, n_out) with each block."""
    rows = np.ascontiguousarray(V.reshape(len(V), -1).T)
    result = np.empty_like(rows)
    for block in blocks:
        result[:, block.places] = product(block, rows[:, block.places])
    return np.asarray(result.T.reshape(V.shape))


class KFACOperator(SymmetricOperator):
    r"""Kronecker-factored approximate curvature: a block :math:`A_l \otimes B_l` for every affine map of a network.

    With the rows a that go into layer l (and a one for the bias) and what comes back to its outputs,
    :math:`g = (\partial z_i / \partial s_l)^T S_i`, where :math:`S_i S_i^T` is the Hessian of the loss in the output :math:`z_i` of
    example i, the Gauss-Newton block is :math:`\sum_i (a_i a_i^T) \otimes (g_i g_i^T)`, and its approximation

    .. math:: A_l \otimes B_l, \qquad A_l = \tfrac1N \sum_i a_i a_i^T, \quad B_l = \sum_i g_i g_i^T .

    With a single example, or where the two moments are independent, that is exact.

    Parameters
    ----------
    model : Network
        Called as ``model(x, X)``: a layer, or layers one after the other (``hs.nn.mlp``, ``hs.nn.sequential``), of which those with
        parameters are dense or convolutions, or tell their affine map by the methods ``affine_rows(X)`` and
        ``shifted(params, X, shift)``.
    loss : callable
        ``loss(z, *loss_args)`` returns one real number: a sum or mean over the examples, convex in the outputs.
    x : container of arrays
        Parameters of the model.
    *args : array
        The inputs X, one example per row.
    loss_args : tuple
        Further arguments of the loss, such as targets.
    eigenvalue_corrected : bool
        Put in place of the eigenvalues of :math:`A \otimes B` the second moments of gradients in its eigenvectors, the diagonal of the
        Gauss-Newton matrix there, which no other choice brings closer in the Frobenius norm (EKFAC).
    sharing : {"expand", "reduce"}
        What is done where W is used at T places of an example, as in convolutions. ``"expand"``: every place counts as an example.
        ``"reduce"``: rows are averaged over the places, and what comes back is added up.
    n_samples : int, optional
        Draw so many cotangents of each example instead of one per output, right in the mean; for many classes.
    rng : int, numpy.random.Generator or None
        Of these draws.

    Attributes
    ----------
    blocks : tuple of KroneckerBlock
        One for each affine map, in the order of the layers.
    primal : ndarray, shape (n,)
        x, raveled.

    Raises
    ------
    OptionError
        A layer with parameters does not tell its affine map, the model does more than its layers one after the other, examples meet in
        the model or the loss, the loss is not convex in the outputs, or an option is unknown.
    ShapeMismatchError, NonFiniteError
        The parameters are those of another model; outputs or second derivatives are not finite.

    Notes
    -----
    Cost: two evaluations of the model, K products with the Hessian of the loss in the outputs for K outputs, and a reverse sweep for each
    of K (with ``n_samples``, that many; twice as many with ``eigenvalue_corrected``); an eigendecomposition of each factor. A product
    is four matrix products a layer. Memory: the factors, and the rows of all layers while they are made.

    How far the matrix is from the Gauss-Newton matrix is not bounded: products with :class:`GaussNewtonOperator` tell. Where eigenvalues
    of a factor are equal, as zeros are of fewer rows than entries, and eigenvectors are open with them, corrected eigenvalues are those
    of LAPACK's vectors.

    References
    ----------
    J. Martens and R. Grosse, "Optimizing neural networks with Kronecker-factored approximate curvature", ICML (2015). R. Grosse and
    J. Martens, "A Kronecker-factored approximate Fisher matrix for convolution layers", ICML (2016). T. George et al., "Fast approximate
    natural gradient descent in a Kronecker-factored eigenbasis", NeurIPS (2018). R. Eschenhagen et al., "Kronecker-factored approximate
    curvature for modern neural network architectures", NeurIPS (2023).

    Examples
    --------
    >>> import numpy as np, hessian as hs
    >>> network = hs.nn.mlp((3, 4, 2))
    >>> params, X = network.init(0), np.array([[1.0, -1.0, 2.0]])
    >>> K = hs.KFACOperator(network, lambda z: np.sum(z**2), params, X)
    >>> K
    <KFACOperator of order 26: 2 blocks, [0] 4 x 4 and [1] 5 x 2>
    >>> G = hs.GaussNewtonOperator(network, lambda z: np.sum(z**2), params, X)
    >>> np.allclose(K.to_dense()[16:, 16:], G.to_dense()[16:, 16:])    # one example: blocks are exact
    True
    """

    def __init__(
        self,
        model: Any,
        loss: Callable[..., Any],
        x: Any,
        *args: Any,
        loss_args: tuple[Any, ...] = (),
        eigenvalue_corrected: bool = False,
        sharing: Literal["expand", "reduce"] = "expand",
        n_samples: int | None = None,
        rng: Rng = 0,
    ) -> None:
        where = "KFACOperator"
        if sharing not in _SHARING:
            raise OptionError(message(where, f"sharing is {sharing!r}", fix='Pass "expand" or "reduce"'))
        if n_samples is not None:
            whole_number(where, "n_samples", n_samples)
        loss_args = loss_args if isinstance(loss_args, tuple) else (loss_args,)
        network = TappedNetwork(model, x, args, where)
        roots = output_roots(loss, network.outputs, loss_args, where, n_samples, rng)
        self.primal = network.vector
        self._is_corrected = eigenvalue_corrected
        moments = _moments(network, roots, sharing)
        self.blocks = tuple(_block(tap, *pair) for tap, pair in zip(network.taps, moments, strict=True))
        if eigenvalue_corrected:
            bases = [block.bases for block in self.blocks]
            corrected = second_moments(network, roots, bases)
            self.blocks = tuple(
                replace(block, eigenvalues=values) for block, values in zip(self.blocks, corrected, strict=True)
            )
        super().__init__(self.primal.size, self.primal.dtype)

    def __repr__(self) -> str:
        sizes = [f"{block.name} {block.inputs.shape[0]} x {block.outputs.shape[0]}" for block in self.blocks[:4]]
        if len(self.blocks) > len(sizes):
            sizes[-1:] = [f"{len(self.blocks) - 3} more"]
        listed = sizes[0] if len(sizes) == 1 else f"{', '.join(sizes[:-1])} and {sizes[-1]}"
        kind = ", eigenvalues corrected" if self._is_corrected else ""
        plural = "s" * (len(self.blocks) != 1)
        return f"<KFACOperator of order {self.shape[0]}: {len(self.blocks)} block{plural}, {listed}{kind}>"

    def _through(self, function: Callable[[np.ndarray], np.ndarray], V: np.ndarray) -> np.ndarray:
        """Return a function of the matrix, given on eigenvalues, times columns."""
        return np.asarray(over_blocks(self.blocks, lambda block, M: block.apply(function, M), V), self.dtype)

    def _apply(self, V: np.ndarray) -> np.ndarray:
        return self._through(lambda values: values, V)

    def diagonal(self) -> np.ndarray:
        """Return the diagonal, shape (n,), without a product."""
        result = np.zeros(self.shape[0], self.dtype)
        for block in self.blocks:
            result[block.places] = block.diagonal()
        return result

    def diagonal_products(self, most: int) -> int:
        """There is nothing to multiply."""
        return 0

    def eigenvalues(self) -> np.ndarray:
        """Return all eigenvalues, ascending, shape (n,): those of the blocks together."""
        return np.sort(np.concatenate([block.eigenvalues.ravel() for block in self.blocks]))

    def _damped(self, damping: float, where: str) -> None:
        """Refuse a damping with which the matrix is singular."""
        check(where, "damping", damping, NOT_NEGATIVE)
        values = self.eigenvalues() + damping
        if not values.size or values[0] <= self.shape[0] * float(np.finfo(self.dtype).eps) * values[-1]:
            what = "the matrix is singular to working precision"
            raise ConvergenceError(message(where, what, fix="Pass damping > 0"))

    def solve(self, b: Any, *, damping: float = 0.0, rtol: float = 1e-8, maxiter: int | None = None) -> np.ndarray:
        r"""Solve :math:`(K + \lambda I) z = b` by the eigenvectors of the blocks, exactly.

        Parameters
        ----------
        b : array_like, shape (n,) or (n, k)
        damping : float
            :math:`\lambda \ge 0`.
        rtol, maxiter
            Of operators that iterate; nothing here depends on them.

        Returns
        -------
        ndarray, shape of b

        Raises
        ------
        ConvergenceError
            The matrix is singular to working precision.
        ShapeMismatchError, OptionError, NonFiniteError, DtypeError
            b does not fit, or the damping is negative.

        Notes
        -----
        Cost: that of a product.
        """
        rhs = as_right_hand_side(b, self.shape[0], self.dtype, "solve")
        self._damped(damping, "solve")
        return self._through(lambda values: 1.0 / (values + damping), rhs)

    def logdet(self, *, damping: float = 0.0) -> float:
        r"""Return :math:`\log\det(K + \lambda I)`.

        Parameters
        ----------
        damping : float
            :math:`\lambda \ge 0`.

        Raises
        ------
        ConvergenceError
            The matrix is singular to working precision.
        OptionError
            The damping is negative.
        """
        self._damped(damping, "logdet")
        return float(np.sum(np.log(self.eigenvalues().astype(np.float64) + damping)))


def gauss_newton_diagonal(
    model: Any, loss: Callable[..., Any], x: Any, *args: Any, loss_args: tuple[Any, ...] = ()
) -> np.ndarray:
    r"""Compute the diagonal of the Gauss-Newton matrix of a network by a sweep per output, without products.

    Parameters
    ----------
    model, loss, x, *args, loss_args
        As for :class:`KFACOperator`.

    Returns
    -------
    ndarray, shape (n,)
        :math:`\sum_i \sum_k (J_i^T s_{ik})^2`, exact, in the order of the raveled x.

    Raises
    ------
    OptionError, ShapeMismatchError, NonFiniteError
        As for :class:`KFACOperator`.

    Notes
    -----
    Cost: two evaluations of the model and a reverse sweep for each of its outputs per example; the diagonal of
    :class:`GaussNewtonOperator` takes n products.

    References
    ----------
    F. Dangel, F. Kunstner and P. Hennig, "BackPACK: packing more into backprop", ICLR (2020).

    Examples
    --------
    >>> import numpy as np, hessian as hs
    >>> network = hs.nn.mlp((3, 4, 2))
    >>> params, X = network.init(0), np.arange(15.0).reshape(5, 3) / 10
    >>> loss = lambda z: np.mean(z**2)
    >>> G = hs.GaussNewtonOperator(network, loss, params, X)
    >>> np.allclose(hs.curvature.gauss_newton_diagonal(network, loss, params, X), G.diagonal())
    True
    """
    where = "gauss_newton_diagonal"
    network = TappedNetwork(model, x, args, where)
    loss_args = loss_args if isinstance(loss_args, tuple) else (loss_args,)
    roots = output_roots(loss, network.outputs, loss_args, where, None, 0)
    result = np.zeros(network.vector.size, network.vector.dtype)
    for tap, values in zip(network.taps, second_moments(network, roots), strict=True):
        result[tap.places] = values
    return result


def _moments(network: TappedNetwork, roots: np.ndarray, sharing: str) -> list[tuple[np.ndarray, np.ndarray]]:
    """Return the factors of each block."""
    # In double precision: what rounding leaves of numbers that should be zero is squared then, and smaller than any prior.
    outputs = [np.zeros((tap.places.shape[1],) * 2) for tap in network.taps]
    for column in network.pulled_back(roots):
        for total, back in zip(outputs, column, strict=True):
            flat = back.sum(axis=1) if sharing == "reduce" else back.reshape(-1, total.shape[0])
            flat = flat.astype(np.float64, copy=False)
            total += flat.T @ flat
    inputs = []
    for tap in network.taps:
        rows = tap.rows.mean(axis=1) if sharing == "reduce" else tap.rows.reshape(-1, tap.rows.shape[2])
        rows = rows.astype(np.float64, copy=False)
        inputs.append(rows.T @ rows / max(len(rows), 1))
    return list(zip(inputs, outputs, strict=True))


def _block(tap: Tap, inputs: np.ndarray, outputs: np.ndarray) -> KroneckerBlock:
    pairs = [eigh(factor) for factor in (inputs, outputs)]
    # What rounding leaves of a semidefinite matrix below zero is zero.
    left, right = (np.maximum(values, 0.0) for values, _ in pairs)
    left_basis, right_basis, inputs, outputs = (
        matrix.astype(tap.rows.dtype, copy=False) for matrix in (pairs[0][1], pairs[1][1], inputs, outputs)
    )
    values = np.outer(left, right).astype(tap.rows.dtype, copy=False)
    return KroneckerBlock(tap.name, inputs, outputs, values, tap.places, (left_basis, right_basis))


def second_moments(
    network: TappedNetwork,
    roots: np.ndarray,
    bases: list[tuple[np.ndarray, np.ndarray]] | None = None,
) -> list[np.ndarray]:
    """Return for each tap the sums over examples and cotangents of squared gradients, in some orthonormal bases or as they are."""
    rows = [tap.rows for tap in network.taps]
    if bases is not None:
        rows = [mine @ left for mine, (left, _) in zip(rows, bases, strict=True)]
    totals = [np.zeros(tap.places.shape, network.vector.dtype) for tap in network.taps]
    # Of one place: squares of outer products are outer products of squares, and what goes in is the same for all cotangents.
    sums = [
        np.zeros((len(mine), tap.places.shape[1]), total.dtype)
        for mine, tap, total in zip(rows, network.taps, totals, strict=True)
    ]
    space = [np.empty_like(part) for part in sums]
    for column in network.pulled_back(roots):
        for k, back in enumerate(column):
            turned = back if bases is None else back @ bases[k][1]
            if rows[k].shape[1] == 1:
                sums[k] += np.square(turned[:, 0], out=space[k])
            else:
                _add_squares(totals[k], rows[k], turned)
    for mine, squares, total in zip(rows, sums, totals, strict=True):
        if mine.shape[1] == 1:
            total += (mine[:, 0] ** 2).T @ squares
    return totals


def _add_squares(total: np.ndarray, rows: np.ndarray, back: np.ndarray) -> None:
    """Add the squares of each example's gradient, the sum over its places of outer products."""
    step = limits.block_columns(total.size)
    for start in range(0, len(rows), step):
        part = slice(start, start + step)
        total += np.sum((rows[part].swapaxes(1, 2) @ back[part]) ** 2, axis=0)
