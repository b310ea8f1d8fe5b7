"""The floor: the matrix products of a task that no way of organising the computation avoids, and nothing else.

For L layers (a product is one matrix multiplication over all N rows):

=========  =======  ====================================================================================================
task       products  which
=========  =======  ====================================================================================================
gradient   3L - 1   L forward, L - 1 backward (the inputs need no cotangent), L for the weights
hvp        8L - 5   2L - 1 of the primal (forward and backward; the gradient is not needed) and 6L - 4 tangent ones
repeated   6L - 4   2L - 1 forward, 2L - 2 backward, 2L - 1 for the weights: the inputs have no tangent
dense      L^2      the blocks on and above the diagonal; see `_dense`
=========  =======  ====================================================================================================

Operands have the memory layout they have in the computation (transposed where it transposes) and results go to
preallocated buffers. Sums of two products are counted as two products and no addition.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from benchmarks.networks import Configuration, Problem


@dataclass(frozen=True)
class Product:
    """One (rows, inner) @ (inner, columns) product; flags mark operands that are transposes of contiguous arrays."""

    rows: int
    inner: int
    columns: int
    left_transposed: bool = False
    right_transposed: bool = False

    @property
    def flops(self) -> int:
        """Multiplications and additions."""
        return 2 * self.rows * self.inner * self.columns


def products(configuration: Configuration, task: str) -> list[Product]:
    """List the unavoidable products of a task, in the order the computation meets them."""
    sizes, samples = configuration.sizes, configuration.samples
    forward = [Product(samples, a, b) for a, b in pairwise(sizes)]
    backward = [Product(samples, b, a, right_transposed=True) for a, b in reversed(list(pairwise(sizes[1:])))]
    weights = [Product(a, samples, b, left_transposed=True) for a, b in reversed(list(pairwise(sizes)))]
    tangent = forward + forward[1:] + 2 * backward + weights + weights[:-1]
    lists: dict[str, Callable[[], list[Product]]] = {
        "gradient": lambda: forward + backward + weights,
        "hvp": lambda: forward + backward + tangent,
        "repeated": lambda: tangent,
        "dense": lambda: _dense(sizes, samples),
    }
    return lists[task]()


def make_floor(problem: Problem, task: str, seed: int = 0) -> Callable[[], None]:
    """Return a function that computes the products of a task on random operands, into preallocated buffers."""
    rng = np.random.default_rng(seed)
    steps = []
    for product in products(problem.configuration, task):
        left = _operand(rng, product.rows, product.inner, product.left_transposed, problem.dtype)
        right = _operand(rng, product.inner, product.columns, product.right_transposed, problem.dtype)
        steps.append((left, right, np.empty((product.rows, product.columns), problem.dtype)))

    def run() -> None:
        for left, right, out in steps:
            np.matmul(left, right, out=out)

    return run


def _operand(rng: np.random.Generator, rows: int, columns: int, transposed: bool, dtype: np.dtype) -> np.ndarray:
    """Return a random (rows, columns) array, stored by columns if it stands for a transpose."""
    if transposed:
        return rng.standard_normal((columns, rows)).astype(dtype).T
    return rng.standard_normal((rows, columns)).astype(dtype)


def _dense(sizes: tuple[int, ...], samples: int) -> list[Product]:
    """List the products of the dense Hessian, in blocks by layer, biases included as a constant input.

    With h the input of a layer, z its pre-activation, D the cotangent of z and B the second derivatives by two of them,
    all at one sample, block (l, m) is the sum over samples of (h_l h_m^T) x B_lm: one product over the samples, of
    packed symmetric operands if l = m. For l < m the input of m also depends on the weights of l: a second product, of
    (h_l D_m) by (dh_m / dz_l). Computing B itself is of lower order and not counted.
    """
    shapes = list(pairwise(sizes))
    result = []
    for layer, (a, b) in enumerate(shapes):
        result.append(Product((a + 1) * (a + 2) // 2, samples, b * (b + 1) // 2, left_transposed=True))
        for c, d in shapes[layer + 1 :]:
            result.append(Product((a + 1) * (c + 1), samples, b * d, left_transposed=True))
            result.append(Product((a + 1) * d, samples, b * c, left_transposed=True))
    return result
