"""Layers put one after the other; a multilayer perceptron is the case of dense ones."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from operator import index
from typing import Any

import numpy as np
import numpy.typing as npt

from hessian.arguments import Rng, as_generator
from hessian.errors import OptionError, ShapeMismatchError, message
from hessian.nn.activations import Activation, get_activation
from hessian.nn.initializers import Initializer
from hessian.nn.layers import Dense, Function
from hessian.nn.model import Network, check_dtype

#: Longest representation written on one line.
_ONE_LINE = 88


@dataclass(frozen=True, init=False, repr=False)
class Sequential:
    """Layers applied one after the other; made by ``sequential``.

    The model holds no parameters. ``init`` draws them, ``apply`` is a pure function of them, so ``apply`` can be handed to
    any transform, operator or solver.

    Attributes
    ----------
    layers : tuple of Network
    """

    layers: tuple[Network, ...]

    def __init__(self, *layers: Network | str | Activation) -> None:
        if not layers:
            raise OptionError(message(type(self).__name__, "there are no layers", fix="Pass at least one"))
        object.__setattr__(self, "layers", tuple(_as_layer(type(self).__name__, layer) for layer in layers))
        _follow(type(self).__name__, self.layers)

    @property
    def n_parameters(self) -> int:
        """Numbers in all arrays of the parameters."""
        return sum(layer.n_parameters for layer in self.layers)

    @property
    def widths(self) -> tuple[int | None, ...]:
        """Width of the last axis of the input, and after each layer; None where no layer says."""
        return _follow(type(self).__name__, self.layers)

    @property
    def n_in(self) -> int | None:
        """The first of the widths."""
        return self.widths[0]

    @property
    def n_out(self) -> int | None:
        """The last of the widths."""
        return self.widths[-1]

    @property
    def keeps_width(self) -> bool:
        """Whether the last axis is known to stay as wide as it was, however wide."""
        return all(_keeps_width(layer) for layer in self.layers)

    def init(self, rng: Rng = 0, dtype: npt.DTypeLike = np.float64) -> list[Any]:
        """Draw starting parameters as each layer does, one after the other from one stream of random numbers: a list."""
        where = f"{type(self).__name__}.init"
        kind, generator = check_dtype(where, dtype), as_generator(rng, where)
        return [layer.init(generator, kind) for layer in self.layers]

    def apply(self, params: Sequence[Any], X: Any) -> Any:
        """Evaluate the layers one after the other.

        Parameters
        ----------
        params : list
            As returned by ``init``; the arrays may be traced values.
        X : array
            One example per row, as the first layer takes it. NumPy's promotion decides the dtype: float32 parameters with
            float64 ``X`` compute in float64.

        Raises
        ------
        ShapeMismatchError
            ``params`` are those of another model, or an input does not fit its layer.
        """
        _check_count(type(self).__name__, params, self.layers)
        for layer, own in zip(self.layers, params, strict=True):
            X = layer.apply(own, X)
        return X

    def __call__(self, params: Sequence[Any], X: Any) -> Any:
        """Evaluate the model, as ``apply`` does."""
        return self.apply(params, X)

    def __repr__(self) -> str:
        return _call(type(self).__name__, [repr(layer) for layer in self.layers])


def sequential(*layers: Network | str | Activation) -> Sequential:
    """Put layers one after the other.

    Parameters
    ----------
    *layers : Network, str or callable
        Layers (``Dense``, ``Convolution``, ``Pooling``, ``Recurrent``, ``Flatten``, ``Reshape``, or your own), models (``mlp``,
        ``sequential``), names listed in ``hessian.nn.ACTIVATIONS``, and functions of one array.

    Returns
    -------
    Sequential
        With ``init(rng, dtype)``, ``apply(params, X)``, ``n_parameters``, ``n_in`` and ``n_out``.

    Raises
    ------
    OptionError
        There are no layers, one is none of these, a name is unknown, or a layer does not take the width that the one
        before returns.

    Notes
    -----
    A layer of your own needs ``n_in``, ``n_out``, ``n_parameters``, ``init(rng, dtype)`` and ``apply(params, X)``.

    Examples
    --------
    >>> from hessian.nn.convolution import Convolution, Pooling
    >>> from hessian.nn.layers import Flatten, Reshape
    >>> model = sequential(Reshape((8, 8, 1)), Convolution(1, 4, 3), "tanh", Pooling(2), Flatten(), Dense(36, 10))
    >>> model.n_in, model.n_out, model.n_parameters
    (64, 10, 410)
    >>> model
    Sequential(
        Reshape((8, 8, 1)),
        Convolution(1, 4, 3),
        'tanh',
        Pooling(2),
        Flatten(),
        Dense(36, 10),
    )
    >>> model(model.init(0), np.zeros((5, 64))).shape
    (5, 10)
    """
    return Sequential(*layers)


def mlp(
    sizes: Sequence[int],
    activation: str | Activation = "tanh",
    *,
    initializer: str | Initializer = "glorot_uniform",
) -> Sequential:
    """Describe a fully connected network, ``a_{k+1} = activation(a_k @ W_k + b_k)``: dense layers one after the other.

    Parameters
    ----------
    sizes : sequence of int
        Widths from input to output, at least two: ``(64, 32, 10)`` has one hidden layer of 32; ``(3, 1)`` is a linear
        model.
    activation : str or callable
        Applied after every layer but the last, which is linear: ``tanh``, ``sigmoid``, ``relu``, ``softplus``, ``elu``, ``silu``,
        ``gelu``, ``sin``, ``softmax``, ``identity``, or any function written in NumPy.
    initializer : str or callable
        ``glorot_uniform``, ``glorot_normal``, ``he_*``, ``lecun_*``, ``zeros``, or a function ``(rng, n_in, n_out) ->
        array``.

    Returns
    -------
    Sequential
        Its parameters are a list with one ``{"W": (n_in, n_out), "b": (n_out,)}`` per layer.

    Raises
    ------
    OptionError
        There are fewer than two sizes, one is not a positive integer, or a name is unknown.

    Notes
    -----
    Cost: one evaluation is one matrix product per layer: ``2 n Σ sizes[k] sizes[k+1]`` flops.

    Examples
    --------
    >>> network = mlp((2, 4, 1), "tanh")
    >>> network
    Sequential(Dense(2, 4, activation='tanh'), Dense(4, 1))
    >>> params = network.init(0)
    >>> network.n_parameters, network(params, np.zeros((3, 2))).shape
    (17, (3, 1))
    """
    widths = _check_sizes(sizes)
    get_activation(activation)  # a network of two sizes does not use it, and a name misspelt is one all the same
    functions = [activation] * (len(widths) - 2) + ["identity"]
    return Sequential(
        *(Dense(n, m, f, initializer=initializer) for (n, m), f in zip(pairwise(widths), functions, strict=True))
    )


def _check_sizes(sizes: Sequence[int]) -> tuple[int, ...]:
    """Return the sizes as positive Python integers."""
    try:
        widths = tuple(index(size) for size in sizes)
    except TypeError as error:
        what = f"sizes is {sizes!r}"
        raise OptionError(message("mlp", what, "layer widths are integers", "Pass for example (64, 32, 10)")) from error
    if len(widths) < 2 or min(widths) < 1:
        why = "a network needs an input width and an output width, each at least 1"
        raise OptionError(message("mlp", f"sizes is {widths}", why, "Pass for example (64, 32, 10)"))
    return widths


def _as_layer(where: str, layer: Any) -> Network:
    """Return a layer; a name or a function becomes one."""
    # Layers are callable as well: they come first. A class in place of an instance has all the attributes, too.
    if isinstance(layer, Network) and not isinstance(layer, type):
        return layer
    if isinstance(layer, str) or (callable(layer) and not isinstance(layer, type)):
        return Function(layer)
    fix = "Pass layers such as Dense(3, 2), names such as 'tanh', or functions of one array"
    raise OptionError(message(where, f"{layer!r} is no layer", fix=fix))


def _keeps_width(layer: Network) -> bool:
    """Tell whether a layer returns the width it was given, whatever that is."""
    return bool(getattr(layer, "keeps_width", False))


def _follow(where: str, layers: Sequence[Network]) -> tuple[int | None, ...]:
    """Follow the width of the last axis through the layers: at first, and after each; None where it is not known."""
    widths: list[int | None] = [None]
    is_untouched = True
    for position, layer in enumerate(layers):
        before, wanted = widths[-1], layer.n_in
        if wanted is not None and before is not None and wanted != before:
            what = f"layer {position}, {layer!r}, takes width {wanted}, the layers before it return {before}"
            raise OptionError(message(where, what, fix="Make the widths agree"))
        widths.append((before if wanted is None else wanted) if _keeps_width(layer) else layer.n_out)
        if is_untouched:
            widths[0] = wanted if widths[0] is None else widths[0]
            is_untouched = _keeps_width(layer)
    return tuple(widths)


def _check_count(where: str, params: Any, layers: Sequence[Network]) -> None:
    """Refuse parameters of another number of layers."""
    if not isinstance(params, list | tuple) or len(params) != len(layers):
        found = f"{len(params)} entries" if isinstance(params, list | tuple) else f"type {type(params).__name__}"
        fix = "Pass what init() of this model returned, a list with an entry for each layer"
        raise ShapeMismatchError(message(where, f"params has {found}, the model has {len(layers)} layers", fix=fix))


def _call(name: str, arguments: Sequence[str]) -> str:
    """Write a call, on one line if it is short."""
    line = f"{name}({', '.join(arguments)})"
    if len(line) <= _ONE_LINE and "\n" not in line:
        return line
    indented = ["    " + argument.replace("\n", "\n    ") + ",\n" for argument in arguments]
    return f"{name}(\n{''.join(indented)})"
