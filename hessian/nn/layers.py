"""Fully connected networks as pure functions of a container of arrays."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from operator import index
from typing import Any

import numpy as np
import numpy.typing as npt

from hessian.errors import OptionError, ShapeMismatchError, message
from hessian.nn.activations import Activation, get_activation
from hessian.nn.initializers import Initializer, draw_weights, get_initializer
from hessian.nn.model import check_arrays, check_dtype

Layer = dict[str, Any]
Parameters = list[Layer]


@dataclass(frozen=True)
class MLP:
    """A multilayer perceptron: ``a_{k+1} = activation(a_k @ W_k + b_k)``, with ``output`` in place of ``activation`` at
    the end.

    The network holds no parameters. ``init`` draws them, ``apply`` is a pure function of them, so ``apply`` can be
    handed to any transform, operator or solver.

    Attributes
    ----------
    sizes : tuple of int
        Widths from input to output; ``len(sizes) - 1`` layers.
    activation, output : str or callable
        Names listed in `hessian.nn.ACTIVATIONS`, or functions of one array.
    initializer : str or callable
        A name listed in `hessian.nn.INITIALIZERS`, or a function ``(rng, n_in, n_out) -> (n_in, n_out) array``.
    """

    sizes: tuple[int, ...]
    activation: str | Activation = "tanh"
    output: str | Activation = "identity"
    initializer: str | Initializer = "glorot_uniform"

    @property
    def n_parameters(self) -> int:
        """Number of weights and biases."""
        return sum((n_in + 1) * n_out for n_in, n_out in self._shapes())

    @property
    def n_in(self) -> int:
        """Features of an input row, ``sizes[0]``."""
        return self.sizes[0]

    @property
    def n_out(self) -> int:
        """Outputs for each row, ``sizes[-1]``."""
        return self.sizes[-1]

    def _shapes(self) -> list[tuple[int, int]]:
        """(n_in, n_out) of each layer."""
        return list(zip(self.sizes[:-1], self.sizes[1:], strict=True))

    def init(self, seed: int | np.random.Generator = 0, dtype: npt.DTypeLike = np.float64) -> Parameters:
        """Draw starting parameters: weights from the initialiser, biases zero.

        Parameters
        ----------
        seed : int or numpy.random.Generator
            The same seed gives the same parameters; float32 ones are the float64 ones, rounded.
        dtype : dtype
            A real floating type.

        Returns
        -------
        list of dict
            One ``{"W": (n_in, n_out), "b": (n_out,)}`` per layer.

        Raises
        ------
        DtypeError
            If `dtype` is not a real floating type.
        ShapeMismatchError
            If an initialiser of your own returns another shape.
        """
        kind = check_dtype("MLP.init", dtype)
        rng = np.random.default_rng(seed)
        parameters = []
        for n_in, n_out in self._shapes():
            weights = draw_weights("MLP.init", self.initializer, rng, n_in, n_out)
            parameters.append({"W": weights.astype(kind), "b": np.zeros(n_out, kind)})
        return parameters

    def apply(self, params: Sequence[Layer], X: Any) -> Any:
        """Evaluate the network on the rows of `X`.

        Parameters
        ----------
        params : list of dict
            As returned by `init`; the arrays may be traced values.
        X : array, (n, sizes[0])
            One example per row.

        Returns
        -------
        array, (n, sizes[-1])

        Raises
        ------
        ShapeMismatchError
            If `X` is not a matrix of ``sizes[0]`` columns, or `params` are those of another network.

        Notes
        -----
        NumPy's promotion decides the dtype: float32 parameters with float64 `X` compute in float64. `train` casts `X`
        first.
        """
        self._check(params, X)
        activation, output = get_activation(self.activation), get_activation(self.output)
        a = X
        for layer in params[:-1]:
            a = activation(a @ layer["W"] + layer["b"])
        return output(a @ params[-1]["W"] + params[-1]["b"])

    __call__ = apply

    def _check(self, params: Sequence[Layer], X: Any) -> None:
        """Refuse inputs that matmul would reject with less to say, or broadcast in silence."""
        if np.ndim(X) != 2 or np.shape(X)[1] != self.sizes[0]:
            raise ShapeMismatchError(
                message(
                    "MLP.apply",
                    f"X has shape {np.shape(X)}, expected (n, {self.sizes[0]})",
                    "each row is one example of sizes[0] features",
                    "Reshape X, or change the first of the network's sizes",
                )
            )
        if len(params) != len(self.sizes) - 1:
            raise ShapeMismatchError(
                message(
                    "MLP.apply",
                    f"params has {len(params)} layers, the network has {len(self.sizes) - 1}",
                    fix="Pass what init() of this network returned",
                )
            )
        for k, (layer, (n_in, n_out)) in enumerate(zip(params, self._shapes(), strict=True)):
            check_arrays(f"MLP.apply, layer {k}", layer, {"W": (n_in, n_out), "b": (n_out,)})


def mlp(
    sizes: Sequence[int],
    activation: str | Activation = "tanh",
    *,
    output: str | Activation = "identity",
    initializer: str | Initializer = "glorot_uniform",
) -> MLP:
    """Describe a fully connected network, ``a_{k+1} = activation(a_k @ W_k + b_k)``.

    Parameters
    ----------
    sizes : sequence of int
        Widths from input to output, at least two: ``(64, 32, 10)`` has one hidden layer of 32; ``(3, 1)`` is a linear
        model.
    activation : str or callable
        Applied after every layer but the last: ``tanh``, ``sigmoid``, ``relu``, ``softplus``, ``elu``, ``silu``,
        ``gelu``, ``sin``, ``softmax``, ``identity``, or any function written in NumPy.
    output : str or callable
        Applied after the last layer. Leave it ``"identity"`` for `softmax_cross_entropy`, which takes logits.
    initializer : str or callable
        ``glorot_uniform``, ``glorot_normal``, ``he_*``, ``lecun_*``, ``zeros``, or a function ``(rng, n_in, n_out) ->
        array``.

    Returns
    -------
    MLP
        With ``init(seed)`` and ``apply(params, X)``.

    Raises
    ------
    OptionError
        If there are fewer than two sizes, one is not a positive integer, or a name is unknown.

    Cost
    ----
    One evaluation is one matrix product per layer: ``2 n Σ sizes[k] sizes[k+1]`` flops.

    Examples
    --------
    >>> import numpy as np
    >>> network = mlp((2, 4, 1), "tanh")
    >>> params = network.init(seed=0)
    >>> network.n_parameters, network(params, np.zeros((3, 2))).shape
    (17, (3, 1))
    """
    widths = _check_sizes(sizes)
    get_activation(activation)
    get_activation(output)
    get_initializer(initializer)
    return MLP(widths, activation, output, initializer)


def _check_sizes(sizes: Sequence[int]) -> tuple[int, ...]:
    """Return the sizes as positive Python integers."""
    try:
        widths = tuple(index(size) for size in sizes)
    except TypeError as error:
        raise OptionError(
            message("mlp", f"sizes is {sizes!r}", "layer widths are integers", "Pass for example (64, 32, 10)")
        ) from error
    if len(widths) < 2 or min(widths) < 1:
        raise OptionError(
            message(
                "mlp",
                f"sizes is {widths}",
                "a network needs an input width and an output width, each at least 1",
                "Pass for example (64, 32, 10)",
            )
        )
    return widths
