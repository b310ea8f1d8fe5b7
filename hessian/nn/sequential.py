"""Layers put together: one after the other, and around a skip connection."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from hessian.errors import OptionError, ShapeMismatchError, message
from hessian.nn.activations import Activation
from hessian.nn.dense import Dense, dense
from hessian.nn.functions import Function
from hessian.nn.initializers import Initializer
from hessian.nn.model import Model, check_arrays, check_dtype

#: Longest representation written on one line.
_ONE_LINE = 88


@dataclass(frozen=True, init=False, repr=False)
class Sequential:
    """Layers applied one after the other; made by `sequential`.

    The model holds no parameters. ``init`` draws them, ``apply`` is a pure function of them, so ``apply`` can be handed to
    any transform, operator or solver.

    Attributes
    ----------
    layers : tuple of Model
    """

    layers: tuple[Model, ...]

    def __init__(self, *layers: Model | str | Activation) -> None:
        if not layers:
            raise OptionError(message(type(self).__name__, "there are no layers", fix="Pass at least one"))
        object.__setattr__(self, "layers", tuple(_as_layer(type(self).__name__, layer) for layer in layers))
        _widths(type(self).__name__, self.layers)

    @property
    def n_parameters(self) -> int:
        """Numbers in all arrays of the parameters."""
        return sum(layer.n_parameters for layer in self.layers)

    @property
    def n_in(self) -> int | None:
        """Width of the last axis of the input, or None where no layer says."""
        return _widths(type(self).__name__, self.layers)[0]

    @property
    def n_out(self) -> int | None:
        """Width of the last axis of the output, or None where no layer says."""
        return _widths(type(self).__name__, self.layers)[1]

    @property
    def keeps_width(self) -> bool:
        """Whether the last axis is known to stay as wide as it was, however wide."""
        return all(_keeps_width(layer) for layer in self.layers)

    def init(self, seed: int | np.random.Generator = 0, dtype: npt.DTypeLike = np.float64) -> list[Any]:
        """Draw starting parameters, layer after layer from one stream of random numbers.

        Parameters
        ----------
        seed : int or numpy.random.Generator
            The same seed gives the same parameters; float32 ones are the float64 ones, rounded.
        dtype : dtype
            A real floating type.

        Returns
        -------
        list
            The parameters of each layer; an empty dict for one that has none.

        Raises
        ------
        DtypeError
            If `dtype` is not a real floating type.
        ShapeMismatchError
            If an initialiser of your own returns another shape.
        """
        kind, rng = check_dtype(f"{type(self).__name__}.init", dtype), np.random.default_rng(seed)
        return [layer.init(rng, kind) for layer in self.layers]

    def apply(self, params: Sequence[Any], X: Any) -> Any:
        """Evaluate the layers one after the other.

        Parameters
        ----------
        params : list
            As returned by `init`; the arrays may be traced values.
        X : array
            One example per row, as the first layer takes it.

        Returns
        -------
        array
            As the last layer returns it.

        Raises
        ------
        ShapeMismatchError
            If `params` are those of another model, or an input does not fit its layer.

        Notes
        -----
        NumPy's promotion decides the dtype: float32 parameters with float64 `X` compute in float64.
        """
        _check_count(type(self).__name__, params, self.layers)
        for layer, own in zip(self.layers, params, strict=True):
            X = layer.apply(own, X)
        return X

    def __call__(self, params: Sequence[Any], X: Any) -> Any:
        """Evaluate the model, as `apply` does."""
        return self.apply(params, X)

    def __repr__(self) -> str:
        return _call(type(self).__name__, [repr(layer) for layer in self.layers])


@dataclass(frozen=True, init=False, repr=False)
class Residual:
    """A skip connection around layers: ``X + body(X)``, or ``X @ W + body(X)`` where the widths differ.

    Parameters
    ----------
    *layers : Model, str or callable
        The body, as for `sequential`.
    initializer : str or callable
        Of the projection ``W``, which exists where the body is known to return another width than it takes. It acts on
        the last axis and has no bias.

    Attributes
    ----------
    body : Sequential
    projection : Dense or None

    References
    ----------
    He, Zhang, Ren and Sun (2016), eq. 1 and 2.

    Examples
    --------
    >>> block = Residual(Dense(4, 4, initializer="zeros"), "tanh")
    >>> block(block.init(), np.ones((1, 4))).tolist()
    [[1.0, 1.0, 1.0, 1.0]]
    >>> {name: type(own).__name__ for name, own in Residual(Dense(4, 6)).init().items()}
    {'body': 'list', 'projection': 'dict'}
    """

    body: Sequential
    initializer: str | Initializer = "glorot_uniform"

    def __init__(self, *layers: Model | str | Activation, initializer: str | Initializer = "glorot_uniform") -> None:
        object.__setattr__(self, "body", Sequential(*layers))
        object.__setattr__(self, "initializer", initializer)
        # An unknown initialiser is refused here rather than when it is first needed.
        Dense(1, 1, initializer=initializer)

    @property
    def projection(self) -> Dense | None:
        """The map of the skip connection, or None where the input itself is added."""
        n_in, n_out = self.body.n_in, self.body.n_out
        if n_in is None or n_out is None or n_in == n_out:
            return None
        return Dense(n_in, n_out, bias=False, initializer=self.initializer)

    @property
    def n_parameters(self) -> int:
        """Numbers in all arrays of the body and the projection."""
        return self.body.n_parameters + (0 if self.projection is None else self.projection.n_parameters)

    @property
    def n_in(self) -> int | None:
        """Width of the last axis of the input, or None where no layer says."""
        return self.body.n_in

    @property
    def n_out(self) -> int | None:
        """Width of the last axis of the output, or None where no layer says."""
        return self.body.n_out

    @property
    def keeps_width(self) -> bool:
        """Whether the last axis stays as wide as it was: what is added to the input has its width."""
        return self.projection is None

    def init(self, seed: int | np.random.Generator = 0, dtype: npt.DTypeLike = np.float64) -> dict[str, Any]:
        """Draw starting parameters, of the body first.

        Parameters, errors and dtype are those of `Sequential.init`.

        Returns
        -------
        dict
            ``{"body": list}``, and ``"projection": {"W": (n_in, n_out)}`` where there is one.
        """
        rng = np.random.default_rng(seed)
        drawn: dict[str, Any] = {"body": self.body.init(rng, dtype)}
        return drawn if self.projection is None else drawn | {"projection": self.projection.init(rng, dtype)}

    def apply(self, params: Any, X: Any) -> Any:
        """Evaluate the body and add the skip connection.

        Raises
        ------
        ShapeMismatchError
            If `params` are those of another model, an input does not fit its layer, or the body returns another shape
            than the skip connection.
        """
        wanted = {"body"} if self.projection is None else {"body", "projection"}
        if not isinstance(params, dict) or set(params) != wanted:
            found = sorted(params) if isinstance(params, dict) else type(params).__name__
            raise ShapeMismatchError(
                message(
                    "Residual",
                    f"params is {found}, expected a dict with {sorted(wanted)}",
                    fix="Pass what init() of this model returned",
                )
            )
        change = self.body.apply(params["body"], X)
        skipped = X if self.projection is None else self._project(params["projection"], X)
        if np.shape(skipped) != np.shape(change):
            raise ShapeMismatchError(
                message(
                    "Residual",
                    f"the body returned shape {np.shape(change)}, the skip connection has {np.shape(skipped)}",
                    "they are added entry by entry, and broadcasting would add the wrong ones",
                    "Keep the number of rows and places, and let the body's layers say their widths",
                )
            )
        return skipped + change

    def _project(self, params: Any, X: Any) -> Any:
        """Map the input to the width of the output."""
        assert self.projection is not None
        check_arrays("Residual", params, self.projection.shapes)
        return dense(params, X)

    def __call__(self, params: Any, X: Any) -> Any:
        """Evaluate the model, as `apply` does."""
        return self.apply(params, X)

    def __repr__(self) -> str:
        extra = [] if self.initializer == "glorot_uniform" else [f"initializer={self.initializer!r}"]
        return _call("Residual", [*(repr(layer) for layer in self.body.layers), *extra])


def sequential(*layers: Model | str | Activation) -> Sequential:
    """Put layers one after the other.

    Parameters
    ----------
    *layers : Model, str or callable
        Layers (`Dense`, `Convolution`, `Pooling`, `Residual`, `LayerNorm`, `Embedding`, `Recurrent`, `GRU`, `Flatten`,
        `Reshape`), models (`mlp`, `sequential`), names listed in `hessian.nn.ACTIVATIONS`, and functions of one array.

    Returns
    -------
    Sequential
        With ``init(seed, dtype)``, ``apply(params, X)``, ``n_parameters``, ``n_in`` and ``n_out``.

    Raises
    ------
    OptionError
        If there are no layers, one is none of these, a name is unknown, or a layer does not take the width that the one
        before returns.

    Notes
    -----
    ``sequential(Dense(3, 5), "tanh", Dense(5, 2))`` draws, seed for seed, the weights of ``mlp((3, 5, 2))``.

    Examples
    --------
    >>> from hessian.nn.normalization import LayerNorm
    >>> model = sequential(Dense(64, 32), "tanh", Residual(Dense(32, 32), "tanh"), LayerNorm(32), Dense(32, 10))
    >>> model.n_in, model.n_out, model.n_parameters
    (64, 10, 3530)
    >>> model
    Sequential(
        Dense(64, 32),
        'tanh',
        Residual(Dense(32, 32), 'tanh'),
        LayerNorm(32),
        Dense(32, 10),
    )
    >>> model(model.init(seed=0), np.zeros((5, 64))).shape
    (5, 10)
    """
    return Sequential(*layers)


def _as_layer(where: str, layer: Any) -> Model:
    """Return a layer; a name or a function becomes one."""
    # Layers are callable as well: they come first. A class in place of an instance has all the attributes, too.
    if isinstance(layer, Model) and not isinstance(layer, type):
        return layer
    if isinstance(layer, str) or (callable(layer) and not isinstance(layer, type)):
        return Function(layer)
    raise OptionError(
        message(
            where,
            f"{layer!r} is no layer",
            fix="Pass layers such as Dense(3, 2), names such as 'tanh', or functions of one array",
        )
    )


def _keeps_width(layer: Model) -> bool:
    """Tell whether a layer returns the width it was given, whatever that is."""
    return bool(getattr(layer, "keeps_width", False))


def _widths(where: str, layers: Sequence[Model]) -> tuple[int | None, int | None]:
    """Follow the width of the last axis through the layers: (first, last), None where unknown."""
    first: int | None = None
    width: int | None = None
    untouched = True
    for position, layer in enumerate(layers):
        if layer.n_in is not None and width is not None and layer.n_in != width:
            raise OptionError(
                message(
                    where,
                    f"layer {position}, {layer!r}, takes width {layer.n_in}, the layers before it return {width}",
                    fix="Make the widths agree",
                )
            )
        if untouched:
            first = layer.n_in if first is None else first
            untouched = _keeps_width(layer)
        kept = width if layer.n_in is None else layer.n_in
        width = kept if _keeps_width(layer) else layer.n_out
    return first, width


def _check_count(where: str, params: Any, layers: Sequence[Model]) -> None:
    """Refuse parameters of another number of layers."""
    if not isinstance(params, list | tuple) or len(params) != len(layers):
        found = f"{len(params)} entries" if isinstance(params, list | tuple) else f"type {type(params).__name__}"
        raise ShapeMismatchError(
            message(
                where,
                f"params has {found}, the model has {len(layers)} layers",
                fix="Pass what init() of this model returned, a list with an entry for each layer",
            )
        )


def _call(name: str, arguments: Sequence[str]) -> str:
    """Write a call, on one line if it is short."""
    line = f"{name}({', '.join(arguments)})"
    if len(line) <= _ONE_LINE and "\n" not in line:
        return line
    indented = ["    " + argument.replace("\n", "\n    ") + ",\n" for argument in arguments]
    return f"{name}(\n{''.join(indented)})"
