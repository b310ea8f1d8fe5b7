"""Curvature of networks by layers: what goes into every affine map and what comes back to it, and Kronecker products of both."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np

from hessian.arguments import Rng, as_generator
from hessian.errors import NonFiniteError, OptionError, ShapeMismatchError, message
from hessian.linalg import limits
from hessian.linalg.vectors import signs
from hessian.operators.hessian_operator import HessianOperator
from hessian.tape.trace import trace
from hessian.tape.trees import ravel

#: Rounding, in units of the largest output, by which those of blocks of examples differ.
_SAME = 1e4


@runtime_checkable
class AffineLayer(Protocol):
    """A layer with an affine map of its inputs in it, ``rows @ W + b``, of which it tells the rows.

    Its parameters are a dict with ``W``, whose entries are those of a matrix with a column per output, and ``b``.
    """

    def affine_rows(self, X: Any) -> np.ndarray:
        """Return what W multiplies, shape (examples, places, inputs)."""

    def shifted(self, params: Any, X: Any, shift: Any) -> Any:
        """Evaluate the layer with ``shift``, shape (examples, places, outputs), added to its affine map."""


@dataclass(frozen=True, eq=False)
class Tap:
    """An affine map in a network.

    Attributes
    ----------
    name : str
        Where its parameters are: ``[2]`` of a list.
    places : ndarray of int, shape (inputs + 1, outputs)
        Of each entry of W, and in the last row of b, in the raveled parameters.
    rows : ndarray, shape (examples, places, inputs + 1)
        What they multiply, a one for b.
    """

    name: str
    places: np.ndarray
    rows: np.ndarray


def leaves(model: Any, params: Any, places: Any, name: str = "") -> Iterator[tuple[str, Any, Any, Any]]:
    """Yield the layers of a network that are no networks themselves: name, layer, parameters, and where these are."""
    parts = getattr(model, "layers", None)
    if parts is None:
        yield name or "the model", model, params, places
        return
    for k, (layer, mine, where) in enumerate(zip(parts, params, places, strict=True)):
        yield from leaves(layer, mine, where, f"{name}[{k}]")


class TappedNetwork:
    """A network whose affine maps are open: their inputs are known, and derivatives in their outputs can be had.

    Parameters
    ----------
    model : Network
        A layer, or layers one after the other (``model.layers``): what has parameters is an :class:`AffineLayer`.
    params
        Point.
    args : tuple
        Inputs, one example per row, and nothing else.
    where : str
        Of errors.
    """

    def __init__(self, model: Any, params: Any, args: tuple[Any, ...], where: str) -> None:
        if len(args) != 1:
            what, fix = (
                f"the model has {len(args)} arguments after its parameters",
                "Pass the inputs, one example per row",
            )
            raise OptionError(message(where, what, "Layers take their inputs and nothing else", fix))
        if not hasattr(model, "apply") and not hasattr(model, "layers"):
            what, why = f"the model is {model!r}, which does not tell its layers", "Each has a block of the matrix"
            raise OptionError(
                message(where, what, why, "Pass a layer or a network of hs.nn, or use GaussNewtonOperator")
            )
        X = args[0]
        if np.ndim(X) and not len(X):
            raise ShapeMismatchError(message(where, "there are no examples", fix="Pass at least one row"))
        self.vector, unravel = ravel(params)
        self._steps: list[tuple[Any, Any, bool]] = []
        self.taps: list[Tap] = []
        self._X, state = X, X
        size = self.vector.size
        if hasattr(model, "layers") and len(model.layers) != len(params):
            what = f"params has {len(params)} entries, the model has {len(model.layers)} layers"
            raise ShapeMismatchError(message(where, what, fix="Pass what model.init() returns"))
        for name, layer, mine, numbers in leaves(model, params, unravel(np.arange(size, dtype=float))):
            is_tapped = getattr(layer, "n_parameters", 0) > 0
            if is_tapped and not isinstance(layer, AffineLayer):
                what = f"layer {name}, {layer!r}, does not tell the rows of an affine map"
                why = "Kronecker factors are moments of what goes into a layer and of what comes back to it"
                fix = "Use dense and convolution layers, give yours the methods affine_rows and shifted, or use GaussNewtonOperator"
                raise OptionError(message(where, what, why, fix))
            if is_tapped:
                self.taps.append(_tap(name, layer, numbers, state))
            state = layer.apply(mine, state)
            self._steps.append((layer, mine, is_tapped))
        self.outputs = np.asarray(state)
        self._check(model, params, where)

    def _check(self, model: Any, params: Any, where: str) -> None:
        """Refuse a model that does more than its layers, and parameters outside of them."""
        known = np.concatenate([tap.places.ravel() for tap in self.taps]) if self.taps else np.zeros(0)
        if known.size != self.vector.size:
            what = f"the layers have {known.size} parameters, params {self.vector.size}"
            raise ShapeMismatchError(message(where, what, fix="Pass what model.init() returns"))
        if not np.array_equal(np.asarray(model(params, self._X)), self.outputs, equal_nan=True):
            what, why = "the model is not its layers one after the other", "Their inputs would be others"
            raise OptionError(message(where, what, why, "Use GaussNewtonOperator"))
        if not np.isfinite(self.outputs).all():
            raise NonFiniteError(message(where, "an output of the model is NaN or inf"))
        self._check_apart(model, params, where)

    def _check_apart(self, model: Any, params: Any, where: str) -> None:
        """Refuse a model in which examples meet, as in means over a batch: half of them, drawn at random, have other outputs then."""
        if self.n_examples < 2:
            return
        half = np.random.default_rng(0).permutation(self.n_examples)[: self.n_examples // 2]
        whole, alone = self.outputs[half], np.asarray(model(params, np.asarray(self._X)[half]))
        size = np.abs(self.outputs).max(initial=0.0)
        if (
            alone.shape != whole.shape
            or np.abs(alone - whole).max(initial=0.0) > _SAME * np.finfo(whole.dtype).eps * size
        ):
            what, why = "examples meet in the model", "What comes back to a layer would not be that of its own example"
            raise OptionError(message(where, what, why, "Use GaussNewtonOperator"))

    @property
    def n_examples(self) -> int:
        """Number of examples."""
        return int(self.outputs.shape[0])

    def _shifted(self, shifts: Sequence[Any]) -> Any:
        state, given = self._X, iter(shifts)
        for layer, mine, is_tapped in self._steps:
            state = layer.shifted(mine, state, next(given)) if is_tapped else layer.apply(mine, state)
        return state

    def pulled_back(self, cotangents: np.ndarray) -> Iterator[list[np.ndarray]]:
        """Yield for each cotangent of the outputs, shape (examples * outputs, k), what comes back: (examples, places, outputs) a tap."""
        n = self.n_examples
        shapes = [(n, tap.rows.shape[1], tap.places.shape[1]) for tap in self.taps]
        zeros = [np.zeros(shape, self.vector.dtype) for shape in shapes]
        traced = trace(self._shifted, (zeros,), where="pulled_back")
        linearization = traced.linearization()
        block = limits.block_columns(sum(zero.size for zero in zeros), limits.CACHED_NUMBERS)
        for start in range(0, cotangents.shape[1], block):
            bars = np.ascontiguousarray(cotangents[:, start : start + block].T).reshape(-1, *self.outputs.shape)
            found = linearization.pullback([bars], 1)
            for k in range(len(bars)):
                yield [zero if back is None else back[k] for back, zero in zip(found, zeros, strict=True)]


def _tap(name: str, layer: Any, numbers: Any, X: Any) -> Tap:
    rows = np.asarray(layer.affine_rows(X))
    b = np.asarray(numbers["b"]).reshape(1, -1)
    places = np.concatenate([np.asarray(numbers["W"]).reshape(-1, b.size), b]).astype(np.intp)
    return Tap(name, places, np.concatenate([rows, np.ones((*rows.shape[:2], 1), rows.dtype)], axis=2))


def output_roots(
    loss: Any, outputs: np.ndarray, loss_args: tuple[Any, ...], where: str, n_samples: int | None, rng: Rng
) -> np.ndarray:
    r"""Return cotangents S, shape (examples * outputs, k), with :math:`S_i S_i^T` the Hessian of the loss in the outputs of example i.

    With ``n_samples`` there are so many columns, drawn: the roots times independent signs, whose outer products are right in the mean.
    """
    n = outputs.shape[0]
    at = HessianOperator(loss, outputs, *loss_args)
    width = outputs.size // max(n, 1)
    blocks = np.empty((n, width, width), at.dtype)
    for k in range(width):
        unit = np.zeros((n, width), at.dtype)
        unit[:, k] = 1.0
        blocks[:, :, k] = (at @ unit.ravel()).reshape(n, width)
    _check_apart(at, blocks, where)
    values, vectors = np.linalg.eigh(0.5 * (blocks + blocks.swapaxes(1, 2)))
    largest = np.abs(values).max(initial=0.0)
    lost = float(np.finfo(at.dtype).eps) * 8.0 * width * largest
    if (values < -lost).any():
        what = f"the loss is not convex in the outputs: it has an eigenvalue of {values.min():.3g} there"
        why = "What comes back to a layer would have no second moments"
        raise OptionError(message(where, what, why, "Use HessianOperator or GaussNewtonOperator"))
    roots = np.sqrt(np.where(values > lost, values, 0.0))[:, None, :] * vectors
    if n_samples is not None:
        drawn = signs(as_generator(rng, where), n * width, n_samples, at.dtype).reshape(n, width, n_samples)
        roots = roots @ drawn / np.sqrt(n_samples)
    columns = roots.reshape(n * width, -1)
    return np.asarray(columns[:, np.abs(columns).max(axis=0, initial=0.0) > 0.0], at.dtype)


def _check_apart(at: HessianOperator, blocks: np.ndarray, where: str) -> None:
    """Refuse a loss in which examples meet: its Hessian in the outputs would have more than a block for each."""
    if not np.isfinite(blocks).all():
        raise NonFiniteError(message(where, "a second derivative of the loss in the outputs is NaN or inf"))
    n, width = blocks.shape[:2]
    probe = np.random.default_rng(0).standard_normal((n, width)).astype(at.dtype)
    image = (at @ probe.ravel()).reshape(n, width)
    gap = np.abs(image - np.einsum("nij,nj->ni", blocks, probe)).max(initial=0.0)
    size = np.abs(image).max(initial=0.0)
    if gap > 1e3 * float(np.finfo(at.dtype).eps) * width * max(size, np.abs(blocks).max(initial=0.0)):
        what, why = "examples meet in the loss", "Its Hessian in the outputs has more than a block for each row"
        raise OptionError(message(where, what, why, "Pass a sum or mean over rows, or use GaussNewtonOperator"))
