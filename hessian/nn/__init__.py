"""Small networks in plain NumPy: layers, initialisers, losses and training by Newton methods."""

from hessian.nn.activations import ACTIVATIONS, get_activation
from hessian.nn.convolution import Convolution, Pooling, average_pool, convolution, max_pool
from hessian.nn.dense import Dense, Embedding, dense, embedding
from hessian.nn.functions import Flatten, Function, Reshape
from hessian.nn.initializers import INITIALIZERS, get_initializer
from hessian.nn.layers import MLP, mlp
from hessian.nn.likelihoods import gaussian_nll, poisson, sigmoid_cross_entropy
from hessian.nn.losses import LOSSES, accuracy, get_loss, huber, l2_penalty, r2, softmax_cross_entropy, squared_error
from hessian.nn.model import Model
from hessian.nn.normalization import LayerNorm, layer_norm
from hessian.nn.recurrent import GRU, Recurrent, gru, recurrent
from hessian.nn.sequential import Residual, Sequential, sequential
from hessian.nn.training import Objective, TrainingResult, train

__all__ = [
    "ACTIVATIONS",
    "GRU",
    "INITIALIZERS",
    "LOSSES",
    "MLP",
    "Convolution",
    "Dense",
    "Embedding",
    "Flatten",
    "Function",
    "LayerNorm",
    "Model",
    "Objective",
    "Pooling",
    "Recurrent",
    "Reshape",
    "Residual",
    "Sequential",
    "TrainingResult",
    "accuracy",
    "average_pool",
    "convolution",
    "dense",
    "embedding",
    "gaussian_nll",
    "get_activation",
    "get_initializer",
    "get_loss",
    "gru",
    "huber",
    "l2_penalty",
    "layer_norm",
    "max_pool",
    "mlp",
    "poisson",
    "r2",
    "recurrent",
    "sequential",
    "sigmoid_cross_entropy",
    "softmax_cross_entropy",
    "squared_error",
    "train",
]
