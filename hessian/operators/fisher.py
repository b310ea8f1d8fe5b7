"""The Fisher matrix with targets drawn from the model."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from functools import cached_property
from typing import Any, Literal

import numpy as np
import scipy.special

from hessian.arguments import Rng, as_generator, whole_number
from hessian.errors import OptionError, ShapeMismatchError, message
from hessian.operators.jacobian_operator import JacobianOperator
from hessian.operators.likelihoods import Draw, choose_likelihood
from hessian.operators.symmetric import SymmetricOperator
from hessian.transforms.locate import not_finite


class FisherOperator(SymmetricOperator):
    r"""The Fisher matrix :math:`F = \frac{c}{S} \sum_i \sum_s g_{is} g_{is}^T`, targets drawn from the model.

    :math:`g_{is} = J_i^T u_{is}` is the gradient of :math:`-\log p(y_{is} \mid z_i)`, :math:`z = \mathrm{model}(x)`, at a target
    :math:`y_{is} \sim p(\cdot \mid z_i)`. Its expectation over the draws is the Fisher information, which for the likelihoods
    below is the Gauss-Newton matrix (their outputs are natural parameters).

    Parameters
    ----------
    model : callable
        ``model(x, *args)`` returns the outputs z, one row (or one number) per example.
    x, args, record
        As for :class:`hessian.HessianOperator`.
    likelihood : {"categorical", "bernoulli", "gaussian", "poisson"} or callable
        What the outputs mean: logits of classes, logits of one (or several independent) yes, means of unit variance, logarithms
        of rates. A callable ``draw(z, rng)`` draws targets and returns the gradients u of their negative log-likelihood
        in z, of the shape of z.
    n_samples : int
        S, draws per example.
    reduction : {"mean", "sum"}
        c is 1/N for the mean over the N examples, 1 for the sum.
    rng : int, numpy.random.Generator or None
        Seed of the draws, which are made once: the operator is a fixed matrix.

    Attributes
    ----------
    value : ndarray
        The outputs z.
    standard_error : ndarray, shape (n,)
        Of the diagonal, over the draws.

    Raises
    ------
    OptionError, ShapeMismatchError, NonFiniteError
        An option is unknown, the outputs are no array with examples in front, or gradients are not finite.

    Notes
    -----
    Cost: model recorded once; a product is a forward and a reverse sweep whatever S is, with
    :math:`\frac1S \sum_s u_{is} u_{is}^T` applied in between. Draws are kept as that matrix once there are more of them than outputs
    per example, so that memory does not grow with S. The relative error of F is about :math:`(N S)^{-1/2}`.

    References
    ----------
    J. Martens, "New insights and perspectives on the natural gradient method", JMLR 21 (2020), sections 5 and 9.

    Examples
    --------
    >>> import numpy as np, hessian as hs
    >>> from hessian.operators.fisher import FisherOperator
    >>> X = np.array([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]])
    >>> F = FisherOperator(lambda w: X @ w, np.zeros(2), likelihood="bernoulli")
    >>> np.allclose(F.to_dense(), X.T @ X / 4 / 3)    # at p = 1/2 every draw gives (1/2)^2
    True
    """

    def __init__(
        self,
        model: Callable[..., Any],
        x: Any,
        *args: Any,
        likelihood: Literal["categorical", "bernoulli", "gaussian", "poisson"] | Draw = "categorical",
        n_samples: int = 1,
        reduction: Literal["mean", "sum"] = "mean",
        rng: Rng = 0,
        record: bool = True,
    ) -> None:
        where = "FisherOperator"
        if reduction not in ("mean", "sum"):
            raise OptionError(message(where, f"reduction is {reduction!r}", fix='Pass "mean" or "sum"'))
        whole_number(where, "n_samples", n_samples)
        known = None if callable(likelihood) else choose_likelihood(where, likelihood)
        draw: Any = likelihood if known is None else known.draw
        self._cumulants = None if known is None else known.cumulants
        self._jacobian = JacobianOperator(model, x, *args, record=record)
        self.primal = self._jacobian.primal
        self.value = self._jacobian.value
        if not isinstance(self.value, np.ndarray) or not self.value.ndim or not self.value.size:
            what = f"the model returns {type(self.value).__name__}"
            raise ShapeMismatchError(message(where, what, fix="Return an array, examples along its first axis"))
        if likelihood == "categorical" and self.value.ndim < 2:
            what = f"the outputs have shape {self.value.shape}"
            raise ShapeMismatchError(
                message(where, what, "Classes are the last axis", 'Return (N, K), or use "bernoulli"')
            )
        generator = as_generator(rng, where)
        self._examples = self.value.shape[0]
        self._outputs = self.value.size // self._examples
        self._draw, self._samples = draw, n_samples
        # Draws are made again, for their fourth moments, from where the generator stands now.
        self._start = copy.deepcopy(generator)
        self._factors, self._moments = self._collected(generator)
        self._scale = 1.0 / n_samples / (self._examples if reduction == "mean" else 1)
        super().__init__(self._jacobian.shape[1], self._jacobian.dtype)

    def __repr__(self) -> str:
        draws = f"{self._samples} draw{'s' * (self._samples > 1)} each"
        doubt = "standard errors of its diagonal only"
        if self._cumulants is None:
            doubt = "what was never drawn not bounded"
        return f"<FisherOperator of order {self.shape[0]}, {self._examples} examples, {draws}: {doubt}>"

    def _collected(self, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray | None]:
        """Draw: gradients, shape (S, N, o), or where that is less memory the sums of their outer products, shape (N, o, o)."""
        outputs = self._outputs
        if self._samples <= outputs:
            return np.stack([self._gradients(self._draw, rng) for _ in range(self._samples)]), None
        moments = np.zeros((self._examples, outputs, outputs), self.value.dtype)
        for _ in range(self._samples):
            u = self._gradients(self._draw, rng)
            moments += u[:, :, None] * u[:, None, :]
        return moments[:0], moments

    def _gradients(self, draw: Draw, rng: np.random.Generator) -> np.ndarray:
        """Draw targets, and return gradients in the outputs, one row per example."""
        u = np.asarray(draw(self.value, rng), self.value.dtype)
        if u.shape != self.value.shape:
            what = f"the gradients have shape {u.shape}, the outputs {self.value.shape}"
            raise ShapeMismatchError(message("FisherOperator", what, fix="Return one gradient per output"))
        if not np.isfinite(u).all():
            what = "a gradient at a drawn target is NaN or inf"
            raise not_finite("FisherOperator", what, "", "", self._jacobian.origin_of_nonfinite())
        return u.reshape(self._examples, -1)

    def _apply(self, V: np.ndarray) -> np.ndarray:
        pushed = (self._jacobian @ V).reshape(self._examples, self._outputs, -1)
        if self._moments is not None:
            back = self._moments @ pushed
        else:
            along = np.einsum("sio,iok->sik", self._factors, pushed)
            back = np.einsum("sio,sik->iok", self._factors, along)
        return np.asarray(self._scale * (self._jacobian.T @ back.reshape(-1, *V.shape[1:])), self.dtype)

    def _slopes(self) -> np.ndarray:
        """Dense Jacobian of the model, shape (N, o, n)."""
        return self._jacobian.to_dense().reshape(self._examples, self._outputs, self.shape[0])

    def _rows(self) -> Iterator[np.ndarray]:
        """Yield factors R of the matrix, ``c/S sum R^T R``, each of shape (N, n): one per draw, or one per output."""
        J = self._slopes()
        if self._moments is None:
            yield from (np.einsum("io,ion->in", factor, J) for factor in self._factors)
            return
        # What rounding leaves of a semidefinite matrix below zero is zero.
        sizes, vectors = np.linalg.eigh(self._moments)
        roots = np.sqrt(np.maximum(sizes, 0.0))[:, None, :] * vectors
        yield from (np.einsum("io,ion->in", roots[:, :, k], J) for k in range(roots.shape[2]))

    def to_dense(self) -> np.ndarray:
        """Return the matrix, shape (n, n), from the dense Jacobian of the model."""
        total = np.zeros(self.shape, self.dtype)
        for rows in self._rows():
            total += rows.T @ rows
        return np.asarray(self._scale * total, self.dtype)

    def diagonal(self) -> np.ndarray:
        """Return the exact diagonal, shape (n,), from the dense Jacobian of the model."""
        total = np.zeros(self.shape[0], self.dtype)
        for rows in self._rows():
            total += np.einsum("ij,ij->j", rows, rows)
        return np.asarray(self._scale * total, self.dtype)

    @cached_property
    def standard_error(self) -> np.ndarray:
        r"""Standard errors of the diagonal over the draws, shape (n,), given the examples.

        The variance of a squared gradient :math:`g^2` is :math:`2 V^2 + \kappa_4`, with the variance V and the fourth cumulant of g that
        the likelihood has: nothing is guessed, and a target too rare to be drawn is no less of an error. Nor is one that was drawn
        against odds: two errors are never less than the largest part that one draw has in an entry.

        Of draws by a callable nothing is known but what was drawn: the variance is that of their squares, or if that is larger the one
        that normal gradients have, widened for few of them, and what was never drawn is not bounded. Cost: the dense Jacobian of the
        model, and all draws once more.
        """
        J = self._slopes().astype(np.float64)
        rng = copy.deepcopy(self._start)
        total, squares = np.zeros((2, self._examples, self.shape[0]))
        largest = np.zeros(self.shape[0])
        for _ in range(self._samples):
            one = np.einsum("io,ion->in", self._gradients(self._draw, rng).astype(np.float64), J) ** 2
            total += one
            squares += one**2
            largest = np.maximum(largest, one.max(axis=0))
        if self._cumulants is not None:
            second, fourth = self._cumulants(self.value, J)
            spread = np.sqrt(np.sum(self._samples * np.maximum(2.0 * second**2 + fourth, 0.0), axis=0))
        else:
            spread = self._guessed(total, squares)
        return self._scale * np.maximum(spread, 0.5 * largest)

    def _guessed(self, total: np.ndarray, squares: np.ndarray) -> np.ndarray:
        """Standard deviations of sums of draws by what was drawn: sums and sums of squares, a row per example."""
        # About their mean, without bias where there are two.
        apart = (squares - total**2 / self._samples) * self._samples / max(self._samples - 1.0, 1.0)
        spread = np.maximum(apart, 2.0 * total**2 / self._samples)
        whole = np.sum(spread, axis=0)
        relative = spread / np.where(whole > 0.0, whole, 1.0)
        # Few examples may make up most of an entry (Satterthwaite), and squares of normal gradients have a kurtosis of 15, not 3.
        dof = self._samples / np.maximum(np.sum(relative**2, axis=0), 1e-300) / 7.0
        # Of which three cover as much as of a normal variable's three.
        factor = scipy.special.stdtrit(np.clip(dof, 3.0, 1e9), scipy.special.ndtr(3.0)) / 3.0
        return factor * np.sqrt(whole)
