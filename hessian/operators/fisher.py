"""The Fisher matrix with targets drawn from the model."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import scipy.special

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

    Raises
    ------
    OptionError, ShapeMismatchError, NonFiniteError
        An option is unknown, the outputs are no array with examples in front, or gradients are not finite.

    Notes
    -----
    Cost: model recorded once; a product is a forward and a reverse sweep whatever S is, with
    :math:`\frac1S \sum_s u_{is} u_{is}^T` applied in between. The relative error of F is about :math:`(N S)^{-1/2}`.

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
        if isinstance(n_samples, bool) or not isinstance(n_samples, int) or n_samples < 1:
            raise OptionError(message(where, f"n_samples is {n_samples!r}", fix="Pass a whole number >= 1"))
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
        self._factors = np.stack([self._gradients(draw, generator) for _ in range(n_samples)])
        self._scale = 1.0 / n_samples / (self._examples if reduction == "mean" else 1)
        super().__init__(self._jacobian.shape[1], self._jacobian.dtype)

    def __repr__(self) -> str:
        samples = len(self._factors)
        return f"<FisherOperator of order {self.shape[0]}, {self._examples} examples, {samples} draw{'s' * (samples > 1)} each>"

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
        pushed = (self._jacobian @ V).reshape(self._examples, self._factors.shape[2], -1)
        along = np.einsum("sio,iok->sik", self._factors, pushed)
        back = np.einsum("sio,sik->iok", self._factors, along).reshape(-1, *V.shape[1:])
        return np.asarray(self._scale * (self._jacobian.T @ back), self.dtype)

    def _rows(self) -> np.ndarray:
        """Gradients of every example and draw, shape (S N, n)."""
        J = self._jacobian.to_dense().reshape(self._examples, self._factors.shape[2], -1)
        return np.einsum("sio,ion->sin", self._factors, J).reshape(-1, self.shape[0])

    def to_dense(self) -> np.ndarray:
        """Return the matrix, shape (n, n), from the dense Jacobian of the model."""
        rows = self._rows()
        return np.asarray(self._scale * (rows.T @ rows), self.dtype)

    def diagonal(self) -> np.ndarray:
        """Return the exact diagonal, shape (n,), from the dense Jacobian of the model."""
        rows = self._rows()
        return np.asarray(self._scale * np.einsum("ij,ij->j", rows, rows), self.dtype)


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
