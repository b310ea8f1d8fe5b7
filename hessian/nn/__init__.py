"""Small networks in plain NumPy: layers, initialisers, losses and training by Newton methods."""

from hessian.nn.activations import ACTIVATIONS, get_activation
from hessian.nn.initializers import INITIALIZERS, get_initializer
from hessian.nn.layers import MLP, mlp
from hessian.nn.losses import LOSSES, accuracy, get_loss, l2_penalty, softmax_cross_entropy, squared_error
from hessian.nn.training import Objective, TrainingResult, train

__all__ = [
    "ACTIVATIONS",
    "INITIALIZERS",
    "LOSSES",
    "MLP",
    "Objective",
    "TrainingResult",
    "accuracy",
    "get_activation",
    "get_initializer",
    "get_loss",
    "l2_penalty",
    "mlp",
    "softmax_cross_entropy",
    "squared_error",
    "train",
]
