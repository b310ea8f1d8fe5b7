"""Small networks in plain NumPy: layers, initialisers, losses and training by Newton methods."""

import importlib
from typing import TYPE_CHECKING, Any

from hessian.nn.activations import ACTIVATIONS, get_activation
from hessian.nn.convolution import Convolution, Pooling
from hessian.nn.initializers import INITIALIZERS, get_initializer
from hessian.nn.layers import Dense, Flatten, Function, Reshape
from hessian.nn.losses import (
    LOSSES,
    get_loss,
    l2_penalty,
    softmax_cross_entropy,
    squared_error,
)
from hessian.nn.metrics import accuracy, r2
from hessian.nn.model import Network
from hessian.nn.recurrent import Recurrent
from hessian.nn.sequential import Sequential, mlp, sequential
from hessian.nn.training import BATCH_METHODS, TrainingObjective, TrainingResult, train

if TYPE_CHECKING:
    from hessian.nn.sklearn.estimators import NewtonLogisticRegression, NewtonMLPClassifier, NewtonMLPRegressor

__all__ = [
    "ACTIVATIONS",
    "BATCH_METHODS",
    "INITIALIZERS",
    "LOSSES",
    "Convolution",
    "Dense",
    "Flatten",
    "Function",
    "Network",
    "NewtonLogisticRegression",
    "NewtonMLPClassifier",
    "NewtonMLPRegressor",
    "Pooling",
    "Recurrent",
    "Reshape",
    "Sequential",
    "TrainingObjective",
    "TrainingResult",
    "accuracy",
    "get_activation",
    "get_initializer",
    "get_loss",
    "l2_penalty",
    "mlp",
    "r2",
    "sequential",
    "softmax_cross_entropy",
    "squared_error",
    "train",
]

# These need scikit-learn, an optional package that takes a second to import: loaded when first asked for.
_ON_DEMAND = frozenset({"NewtonLogisticRegression", "NewtonMLPClassifier", "NewtonMLPRegressor"})


def __getattr__(name: str) -> Any:
    if name in _ON_DEMAND:
        return getattr(importlib.import_module("hessian.nn.sklearn.estimators"), name)
    raise AttributeError(f"module 'hessian.nn' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
