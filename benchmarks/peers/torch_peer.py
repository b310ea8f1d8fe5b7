"""PyTorch on the CPU, eager: `torch.func`, and double backward for repeated products."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from importlib.metadata import version
from itertools import pairwise
from typing import Any

import numpy as np

from benchmarks.machine import thread_count
from benchmarks.networks import Problem
from benchmarks.peers.base import Contender, one_shot


class TorchPeer:
    """`torch` with as many threads as NumPy's BLAS."""

    name = "torch"

    def __init__(self) -> None:
        import torch

        torch.set_num_threads(thread_count())
        self._torch = torch

    def versions(self) -> dict[str, str]:
        """Return torch's version."""
        return {"torch": version("torch")}

    def contenders(self, problem: Problem) -> list[Contender]:
        """Return one contender per task, two for repeated products."""
        torch = self._torch
        func = torch.func
        loss = self._make_loss(problem)
        w, v = torch.from_numpy(problem.w), torch.from_numpy(problem.v)

        def linearized() -> Callable[[], Any]:
            with warnings.catch_warnings():
                # About the graph that torch itself builds and folds.
                warnings.filterwarnings("ignore", "Attempted to insert a get_attr Node", UserWarning)
                product = func.linearize(func.grad(loss), w)[1]
            return lambda: product(v)

        def double_backward() -> Callable[[], Any]:
            point = w.clone().requires_grad_()
            (gradient,) = torch.autograd.grad(loss(point), point, create_graph=True)
            return lambda: torch.autograd.grad(gradient, point, v, retain_graph=True)[0]

        return [
            self._contender("torch", "gradient", one_shot(lambda: func.grad(loss)(w))),
            self._contender("torch", "hvp", one_shot(lambda: func.jvp(func.grad(loss), (w,), (v,))[1])),
            self._contender("torch", "repeated", linearized),
            self._contender("torch.bwd", "repeated", double_backward),
            self._contender("torch", "dense", one_shot(lambda: func.hessian(loss)(w))),
        ]

    def _contender(self, label: str, task: str, prepare: Callable[[], Callable[[], Any]]) -> Contender:
        """Return a contender whose result is a tensor."""
        return Contender(label, task, prepare, self._to_numpy)

    @staticmethod
    def _to_numpy(tensor: Any) -> np.ndarray:
        """Return a tensor as an array."""
        return tensor.detach().numpy()

    def _make_loss(self, problem: Problem) -> Callable[[Any], Any]:
        """Return the loss of `benchmarks.networks.make_loss` in torch's names."""
        torch = self._torch
        inputs, labels = torch.from_numpy(problem.inputs), torch.from_numpy(problem.labels)
        shapes = tuple(pairwise(problem.sizes))

        def loss(w: Any) -> Any:
            hidden = inputs
            start = 0
            for layer, (rows, columns) in enumerate(shapes):
                middle, stop = start + rows * columns, start + (rows + 1) * columns
                hidden = hidden @ w[start:middle].reshape(rows, columns) + w[middle:stop]
                if layer < len(shapes) - 1:
                    hidden = torch.tanh(hidden)
                start = stop
            shifted = hidden - torch.amax(hidden, dim=1, keepdim=True)
            log_p = shifted - torch.log(torch.sum(torch.exp(shifted), dim=1, keepdim=True))
            return -torch.mean(log_p[torch.arange(labels.shape[0]), labels])

        return loss
