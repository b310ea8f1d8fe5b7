"""Third-derivative tensors."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Concatenate, Literal, overload

import numpy as np

from hessian.linalg.blocks import unit_rows
from hessian.signatures import First, P, X, Y
from hessian.tape.maps import HessianMap, JacobianMap
from hessian.tape.trace import Primal, Trace, chosen_arguments, replaced
from hessian.transforms.seeds import arrays_of, block_length
from hessian.transforms.selection import ArgNums, Derivative, HigherDerivative


class ThirdDerivative(HigherDerivative[X, P, Y]):
    """See :func:`third_derivative`."""

    where = "third_derivative"

    def __call__(self, /, *args: Any, **kwargs: Any) -> Any:
        primal, numbers = chosen_arguments(args, self.argnums, "third_derivative")
        plain = getattr(self.f, "plain_function", self.f)
        whole = lambda x: plain(*replaced(args, self.argnums, numbers, x), **kwargs)
        traced = Trace(primal, whole, where="third_derivative", has_aux=self.has_aux)
        call = (lambda x: whole(x)[0]) if self.has_aux else whole
        blocks = _blocks(_tensor(call, primal, block_length(traced.tape, primal.size)), primal)
        return (blocks, traced.aux) if self.has_aux else blocks


@overload
def third_derivative(
    f: Callable[Concatenate[X, P], Any], argnums: First = 0, *, has_aux: Literal[False] = False
) -> HigherDerivative[X, P, float]: ...
@overload
def third_derivative(f: Callable[P, Any], argnums: First = 0, *, has_aux: Literal[True]) -> Derivative[P, Any]: ...
@overload
def third_derivative(f: Callable[P, Any], argnums: ArgNums, *, has_aux: bool = False) -> Derivative[P, Any]: ...
def third_derivative(f: Callable[..., Any], argnums: ArgNums = 0, *, has_aux: bool = False) -> Callable[..., Any]:
    r"""Return a function that computes the tensor :math:`T_{ijk} = \partial^3 f / \partial x_i \partial x_j \partial x_k`.

    Parameters
    ----------
    f, argnums, has_aux
        As for :func:`hessian.hessian`, errors too; with ``has_aux`` the result is ``(T, aux)``.

    Returns
    -------
    callable
        ``(x, ...) -> T`` of shape ``x.shape + x.shape + x.shape``; containers give containers of containers of containers.

    Notes
    -----
    Cost: the tensor is symmetric, so n (n + 1) / 2 pairs of directions, each a pushforward of a Hessian-vector product, in blocks; memory
    n³, and a block's sweeps. A contraction with directions is :func:`hessian.directional`; with two of them, a vector,
    ``hs.jvp(lambda x: hs.hvp(f, x, v), x, w)``.

    Examples
    --------
    >>> import numpy as np, hessian as hs
    >>> T = hs.third_derivative(lambda x: x[0] ** 2 * x[1])(np.array([1.0, 2.0]))
    >>> T[0, 0].tolist(), T[1, 1].tolist()
    ([0.0, 2.0], [0.0, 0.0])
    """
    return ThirdDerivative(f, argnums, has_aux)


def _tensor(call: Callable[[Any], Any], primal: Primal, length: int) -> Any:
    """Return the tensor between raveled vectors, shape (n, n, n)."""
    n, pairs, firsts, seconds = primal.size, [np.zeros((0, primal.size), primal.dtype)], [], []
    for start, block in unit_rows(n, length, primal.dtype):

        def products(x: Any, block: np.ndarray = block) -> Any:
            traced = Trace(Primal(x, "third_derivative"), call, where="third_derivative")
            return HessianMap(traced).maps["product"](block, 1)

        outer, k = JacobianMap(Trace(primal, products, where="third_derivative", user_results=False)), len(block)
        # By symmetry, directions up to the last one of this block are enough.
        for first, directions in unit_rows(start + k, block_length(outer.tapes[0], n), primal.dtype):
            given = np.zeros((len(directions), n), primal.dtype)
            given[:, : start + k] = directions
            pairs.append(outer.maps["pushforward"](given, 1).reshape(-1, n))
            firsts.append(np.repeat(np.arange(first, first + len(given)), k))
            seconds.append(np.tile(np.arange(start, start + k), len(given)))
    place = np.zeros((n, n), int)
    if firsts:
        i, j = np.concatenate(firsts), np.concatenate(seconds)
        place[j, i] = place[i, j] = np.arange(len(i))
    return np.concatenate(pairs)[place]


def _blocks(tensor: Any, primal: Primal) -> Any:
    """Cut a tensor along all axes into the structure of the primal."""

    def cut(part: Any, axis: int, shape: tuple[int, ...]) -> Any:
        if axis == 3:
            block = part.reshape(shape)
            return block[()] if type(block) is np.ndarray else block
        parts, start = [], 0
        for leaf, _ in arrays_of(primal.structure, primal.shapes):
            stop = start + math.prod(leaf)
            parts.append(cut(part[(slice(None),) * axis + (slice(start, stop),)], axis + 1, shape + leaf))
            start = stop
        return primal.structure.of_numbers().build(parts)

    return cut(tensor, 0, ())
