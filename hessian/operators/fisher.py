"""The Fisher matrix with targets drawn from the model."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from functools import cached_property
from typing import Any

import numpy as np
import scipy.special

from hessian.arguments import whole_number
from hessian.errors import NonFiniteError, OptionError, ShapeMismatchError, message
from hessian.operators.algebra import ComposedOperator
from hessian.operators.jacobian_operator import JacobianOperator

Draw = Callable[[np.ndarray, np.random.Generator], np.ndarray]


class FisherOperator(ComposedOperator):
    r"""The Fisher matrix :math:`F = \frac{c}{S} \sum_i \sum_s g_{is} g_{is}^T`, targets drawn from the model.

    :math:`g_{is} = J_i^T u_{is}` is the gradient of :math:`-\log p(y_{is} \mid z_i)`, :math:`z = \mathrm{model}(x)`, at a target
    :math:`y_{is} \sim p(\cdot \mid z_i)`. Its expectation over the draws is the Fisher information, which for the likelihoods
    below is the Gauss-Newton matrix (their outputs are natural parameters).

    Parameters
    ----------
    model : callable
        ``model(x, *args)`` returns the outputs z, one row (or one number) per example.
    x : array of any shape, or container of float arrays
    *args
        Further arguments of the model, not differentiated.
    likelihood : {"categorical", "bernoulli", "gaussian", "poisson"} or callable
        What the outputs mean: logits of classes, logits of one (or several independent) yes, means of unit variance, logarithms
        of rates. A callable ``draw(z, rng)`` draws targets and returns the gradients u of their negative log-likelihood
        in z, of the shape of z.
    n_samples : int
        S, draws per example.
    reduction : {"mean", "sum"}
        c is 1/N for the mean over the N examples, 1 for the sum.
    rng : int or numpy.random.Generator
        Seed of the draws, which are made once: the operator is a fixed matrix.
    record : bool
        ``False`` makes no program: every product is a plain sweep.

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
        likelihood: str | Draw = "categorical",
        n_samples: int = 1,
        reduction: str = "mean",
        rng: int | np.random.Generator = 0,
        record: bool = True,
    ) -> None:
        where = "FisherOperator"
        if reduction not in ("mean", "sum"):
            raise OptionError(message(where, f"reduction is {reduction!r}", fix='Pass "mean" or "sum"'))
        whole_number(where, "n_samples", n_samples)
        draw = likelihood if callable(likelihood) else _DRAWS.get(likelihood)
        if draw is None:
            raise OptionError(message(where, f"likelihood is {likelihood!r}", fix=f"Pass one of {', '.join(_DRAWS)}"))
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
        generator = rng if isinstance(rng, np.random.Generator) else np.random.default_rng(rng)
        self._examples = self.value.shape[0]
        self._draw, self._samples = draw, n_samples
        # Draws are made again, for their fourth moments, from where the generator stands now.
        self._start = copy.deepcopy(generator)
        self._factors, self._moments = self._collected(generator)
        self._scale = 1.0 / n_samples / (self._examples if reduction == "mean" else 1)
        super().__init__(self._jacobian.shape[1], self._jacobian.dtype)

    def __repr__(self) -> str:
        samples = self._samples
        return f"<FisherOperator of order {self.shape[0]}, {self._examples} examples, {samples} draw{'s' * (samples > 1)} each>"

    def _collected(self, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray | None]:
        """Draw: gradients, shape (S, N, o), or where that is less memory the sums of their outer products, shape (N, o, o)."""
        outputs = self.value.size // self._examples
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
            raise NonFiniteError(message("FisherOperator", "a gradient at a drawn target is NaN or inf"))
        return u.reshape(self._examples, -1)

    def _apply(self, V: np.ndarray) -> np.ndarray:
        pushed = (self._jacobian @ V).reshape(self._examples, self.value.size // self._examples, -1)
        if self._moments is not None:
            back = self._moments @ pushed
        else:
            along = np.einsum("sio,iok->sik", self._factors, pushed)
            back = np.einsum("sio,sik->iok", self._factors, along)
        return np.asarray(self._scale * (self._jacobian.T @ back.reshape(-1, *V.shape[1:])), self.dtype)

    def _rows(self) -> Iterator[np.ndarray]:
        """Yield factors R of the matrix, ``c/S sum R^T R``, each of shape (N, n): one per draw, or one per output."""
        J = self._jacobian.to_dense().reshape(self._examples, -1, self.shape[0])
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
        """Standard errors of the diagonal over the draws, shape (n,), given the examples.

        From the spread of each example's squared gradients over its draws; of a single draw their squares, which are larger on
        average. The spread of few squares is itself a guess, with a seventh of the degrees of freedom of numbers that are normal
        (their kurtosis is 15, not 3), and a few examples may make up most of an entry (Satterthwaite). The errors are widened as
        Student's t is, so that two of them cover 95 %. Cost: the dense Jacobian of the model, and all draws once more.
        """
        J = self._jacobian.to_dense().reshape(self._examples, -1, self.shape[0]).astype(np.float64)
        rng = copy.deepcopy(self._start)
        total, squares = np.zeros((2, self._examples, self.shape[0]))
        for _ in range(self._samples):
            one = np.einsum("io,ion->in", self._gradients(self._draw, rng).astype(np.float64), J) ** 2
            total += one
            squares += one**2
        spread = squares
        if self._samples > 1:
            spread = np.maximum(squares - total**2 / self._samples, 0.0) * (self._samples / (self._samples - 1.0))
        whole = np.sum(spread, axis=0)
        relative = spread / np.where(whole > 0.0, whole, 1.0)
        counts = self._samples / np.maximum(np.sum(relative**2, axis=0), 1e-300)
        # Of which two cover as much as of a normal variable's two.
        factor = 0.5 * scipy.special.stdtrit(np.clip(counts / 7.0, 1.0, 1e9), scipy.special.ndtr(2.0))
        return self._scale * factor * np.sqrt(whole)


def _categorical(z: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Softmax minus a drawn one-hot row."""
    p = scipy.special.softmax(z, axis=-1)
    # Of the scores z + Gumbel noise, the class with the largest is distributed as p.
    drawn = np.argmax(z + rng.gumbel(size=z.shape), axis=-1)
    return p - (np.arange(z.shape[-1]) == drawn[..., None])


def _bernoulli(z: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    p = scipy.special.expit(z)
    return p - (rng.random(z.shape) < p)


def _gaussian(z: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return -rng.standard_normal(z.shape)


def _poisson(z: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    rate = np.exp(z.astype(np.float64))
    return rate - rng.poisson(rate)


_DRAWS: dict[Any, Draw] = {
    "categorical": _categorical,
    "bernoulli": _bernoulli,
    "gaussian": _gaussian,
    "poisson": _poisson,
}
