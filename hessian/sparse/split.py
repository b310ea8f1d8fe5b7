"""Hessians that are sparse plus low rank: values that everything passes through are cut, and a Lagrangian puts them back."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from hessian.arguments import whole_number
from hessian.errors import DerivativeCheckError, DtypeError, message
from hessian.programs.runtime.arguments import Arguments
from hessian.programs.runtime.functions import as_recorded
from hessian.programs.tasks import Task, numbered
from hessian.signatures import P
from hessian.sparse.cuts import CuttingWalk, widest_of
from hessian.sparse.decompress import Structure
from hessian.sparse.detect import Source, hessian_pattern
from hessian.sparse.functions import Following, matrix_at, numbers_of, structure_at
from hessian.sparse.low_rank import SparsePlusLowRank
from hessian.sparse.pattern import SparsityPattern
from hessian.sparse.replay import Replay
from hessian.tape.array_methods import primal_array
from hessian.tape.checkpoint import looked_into
from hessian.tape.tape import Tape
from hessian.transforms.first_order import grad
from hessian.transforms.point import FunctionAtPoint
from hessian.transforms.selection import ArgNums

_WHERE = "sparse.split_hessian"


class _Replayed(Source):
    """A function that replays another one: its lines are not the user's."""

    def lines(self) -> dict[int, str]:
        """Return nothing: no line is known."""
        return {}


class Parts:
    """A function apart: what it is between its cuts, as functions that are recorded.

    With the cut values t = T(x, t) taken for arguments of their own, f(x) = F(x, T(x)) has the Lagrangian
    L(x, t, z) = F(x, t) + z . (T(x, t) - t).

    Parameters
    ----------
    replay : Replay
    cuts : list of int
        Slots.
    shapes : list of tuple of int
        Of these.
    structure : Structure
        Of the second derivatives of L in x.
    doubled : bool
        Whether the replayed function takes leaves and arguments of the first one for its arguments.

    Attributes
    ----------
    uses : int
    has_products : bool
        Whether products are written by logarithms, which a factor of zero has none of.
    limits : tuple
        Of the variables that meet in a value that is not cut, and in all that is not.
    structure : Structure
    products : int
        That the matrix at a point takes.
    """

    def __init__(
        self, replay: Replay, cuts: list[int], shapes: list[tuple[int, ...]], structure: Structure, doubled: bool
    ) -> None:
        self._replay, self._doubled = replay, doubled
        self._number = {slot: k for k, slot in enumerate(cuts)}
        self._shapes, self.structure = shapes, structure
        self.products = structure.pattern.n_colors + 2 * sum(map(math.prod, shapes))
        self._r = sum(map(math.prod, shapes))
        self.uses, self.has_products = 0, False
        self.limits: tuple[int | None, int | None] = (None, None)
        self._plans: dict[Any, Any] = {}
        self._multipliers = as_recorded(self._values_and_slopes)
        self._lagrangian = as_recorded(self._bordered)

    def _values_and_slopes(self, leaves: Sequence[Any], inputs: Sequence[Any]) -> tuple[list[Any], list[Any]]:
        """Return the cut values, and the derivatives of the function in them."""

        def moved(shifts: list[Any]) -> tuple[Any, list[Any]]:
            seen: list[Any] = []

            def change(slot: int, made: Any) -> Any:
                k = self._number.get(slot)
                if k is None:
                    return made
                seen.append(made)
                return made + shifts[k]

            return self._replay(leaves, inputs, change), seen

        shifts = [np.zeros(shape, leaves[0].dtype) for shape in self._shapes]
        slopes, values = grad(moved, has_aux=True)(shifts)
        return values, slopes

    def _bordered(
        self, leaves: Sequence[Any], values: Sequence[Any], multipliers: Sequence[Any], inputs: Sequence[Any]
    ) -> Any:
        """Return the Lagrangian, whose second derivatives are the bordered matrix."""
        terms: list[Any] = []

        def change(slot: int, made: Any) -> Any:
            k = self._number.get(slot)
            if k is None:
                return made
            terms.append(np.sum(multipliers[k] * (made - values[k])))
            return values[k]

        total = self._replay(leaves, inputs, change)
        for term in terms:
            total = total + term
        return total

    def matrix(self, leaves: Sequence[Any], inputs: Sequence[Any]) -> SparsePlusLowRank:
        """Return the matrix at a point.

        With J = dt/dx, which solves ``T_x + (T_t - 1) J = 0``, it is
        ``L_xx + L_xt J + J' L_tx + J' L_tt J``: rank one for every cut value, or two if it meets variables elsewhere, too.
        """
        inputs = (*leaves, *inputs) if self._doubled else tuple(inputs)
        values, slopes = self._multipliers(leaves, inputs)
        args = (leaves, tuple(values), tuple(slopes), inputs)
        at = FunctionAtPoint(self._lagrangian, Task("curvature", (0, 1, 2)), args, {}, where=_WHERE)
        pushed, pulled = self.structure.seeds(at.dtype)
        n, r, colors = self.structure.pattern.shape[0], self._r, len(pushed)
        seeds = np.zeros((colors + 2 * r, n + 2 * r), at.dtype)
        seeds[:colors, :n] = pushed
        seeds[colors:, n:] = np.eye(2 * r)
        rows = at.rows(seeds)
        sparse = self.structure.matrix(np.ascontiguousarray(rows[:colors, :n]), pulled)
        crossed, inner = rows[colors : colors + r, :n], rows[colors : colors + r, n : n + r]
        slope, nested = rows[colors + r :, :n], rows[colors + r :, n : n + r]
        jacobian = np.array(slope)
        for k in range(1, r):
            # Later values depend on earlier ones.
            if nested[k, :k].any():
                jacobian[k] += nested[k, :k] @ jacobian[:k]
        meets = np.any(crossed != 0, axis=1)
        width = r + int(meets.sum())
        core = np.zeros((width, width), at.dtype)
        core[:r, :r] = 0.5 * (inner + inner.T)
        which = np.flatnonzero(meets)
        core[which, r + np.arange(len(which))] = core[r + np.arange(len(which)), which] = 1.0
        factors = np.concatenate((jacobian, crossed[meets])).T
        used = np.any(core != 0, axis=1)
        return SparsePlusLowRank(sparse, factors[:, used], core[np.ix_(used, used)], plans=self._plans)


class PartsOverflowError(DerivativeCheckError):
    """Parts are not finite where the Hessian is: what is cut has overflowed, or has no derivatives at this point."""


@dataclass
class _Kept:
    """What a program keeps of its parts; recorded anew after it was pickled."""

    parts: Parts | None = None
    is_known: bool = False

    def __reduce__(self) -> Any:
        return _Kept, ()


def _parts_of(source: Source, widest: int | None, most: int | None) -> tuple[Parts | None, bool]:
    """Return the parts of a function, ``None`` where nothing is cut, and whether they are those of this point only."""
    with looked_into() as checkpoints:
        traced, is_volatile = source.trace(Tape, borrows=False)
    # What decides inside of a checkpoint is not among what a program asks before it runs.
    is_volatile = is_volatile or (checkpoints.met and bool(traced.tape.guards))
    traced.scalar()
    if traced.slots[0] is None:
        return None, is_volatile
    n = traced.primal.size
    widest = widest_of(n) if widest is None else widest
    replay, doubled = Replay(traced, widest), False
    has_products = replay.has_products
    if replay.can_be_written_out:
        # Values of the tape around are constants of it alone.
        arguments = Arguments(source.args, source.kwargs, numbers_of(source.argnums))
        whole = (tuple(map(primal_array, traced.primal.leaves)), tuple(arguments.inputs))
        written = functools.partial(replay, written_out=True)
        source, doubled = _Replayed(written, whole, {}, 0, source.where), True
        traced, again = source.trace(Tape, borrows=False)
        is_volatile = is_volatile or again or replay.met_zeros
        replay = Replay(traced, widest)
    walks: list[CuttingWalk] = []

    def kind(*args: Any) -> CuttingWalk:
        walks.append(CuttingWalk(*args, n=n, widest=widest, most=most))
        return walks[0]

    found = hessian_pattern(source, traced, most, kind)
    (walk,) = walks
    is_volatile = is_volatile or walk.is_volatile
    if not walk.cuts:
        return None, is_volatile
    shapes = [tuple(traced.tape.values[slot].shape) for slot in walk.cuts]
    structure = Structure(SparsityPattern(found.matrix, symmetric=True, dense_because=found.dense_because))
    parts = Parts(replay, walk.cuts, shapes, structure, doubled)
    parts.has_products, parts.limits = has_products, (widest, most)
    return parts, is_volatile


def check_product(at: FunctionAtPoint, matrix: SparsePlusLowRank, where: str) -> None:
    """Compare a product with a random vector with that by sweeps, or raise."""
    v = np.random.default_rng(0).uniform(0.5, 1.0, matrix.shape[0]).astype(at.dtype)
    expected = at.product(v)
    with np.errstate(all="ignore"):
        found = matrix @ v
        size = matrix.magnitude(v)
        gap = np.abs(found - expected)
    if not np.isfinite(expected).all() and not np.isfinite(found).all():
        return
    # What single entries are rounded to, and a share of the largest: where everything cancels there is nothing to compare.
    coarse = at.compiled is not None and at.compiled.coarse
    eps = float(np.finfo(np.float32 if coarse else at.dtype).eps)
    allowed = math.sqrt(eps) * (size + np.abs(expected)) + 100.0 * eps * np.max(size, initial=0.0)
    if not (gap <= allowed).all():
        what = f"a product with the parts differs from the product with the Hessian by {float(np.max(gap)):.3g}"
        why = "What is cut may be what f does not depend on smoothly here, or overflow where f does not"
        kind = DerivativeCheckError if np.isfinite(found).all() else PartsOverflowError
        raise kind(message(where, what, why, "Use hs.sparse.hessian or hs.HessianOperator there"))


def parts_at(at: FunctionAtPoint, source: Source, widest: int | None = None, most: int | None = None) -> Parts | None:
    """Return the parts of a function at a point, kept with its program; ``None`` where nothing is cut.

    It is given up, by :class:`TooDense`, where more than ``most`` variables meet in what is not.
    """
    key = ("split", widest, most)
    kept = _Kept() if at.compiled is None else at.compiled.structures.setdefault(key, _Kept())
    if kept.is_known:
        return kept.parts
    parts, is_volatile = _parts_of(source, widest, most)
    kept.parts, kept.is_known = parts, not is_volatile
    return parts


def split_at(at: FunctionAtPoint, parts: Parts, source: Source, where: str) -> SparsePlusLowRank:
    """Return the matrix at a point by its parts, compared with a product on the 1st, 2nd, 4th, ... time, as programs are."""
    inputs = Arguments(source.args, source.kwargs, numbers_of(source.argnums)).inputs
    with np.errstate(all="ignore"):
        matrix = parts.matrix(tuple(at.primal.leaves), inputs)
    is_finite = matrix.is_finite()
    if not is_finite and parts.has_products:
        # A factor that has become zero, perhaps: parts of this point know better.
        anew, _ = _parts_of(source, *parts.limits)
        matrix = _whole(at, source, where) if anew is None else anew.matrix(tuple(at.primal.leaves), inputs)
    parts.uses += 1
    if not is_finite or parts.uses & (parts.uses - 1) == 0:
        check_product(at, matrix, where)
    return matrix


def _whole(at: FunctionAtPoint, source: Source, where: str) -> SparsePlusLowRank:
    """Return the matrix without columns."""
    sparse = matrix_at(at, structure_at(at, source), where)
    return SparsePlusLowRank(sparse, np.zeros((sparse.shape[0], 0), sparse.dtype), np.zeros((0, 0), sparse.dtype))


class SplitHessian(Following[P]):
    """See :func:`split_hessian`."""

    where = _WHERE

    def __init__(self, f: Callable[P, Any], argnums: ArgNums, widest: int | None) -> None:
        super().__init__(f, argnums)
        if widest is not None:
            whole_number(_WHERE, "widest", widest)
        self._widest = widest

    def __call__(self, /, *args: P.args, **kwargs: P.kwargs) -> SparsePlusLowRank:
        return self._watched(self._parts, args, kwargs)

    def _parts(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> SparsePlusLowRank:
        task = numbered("curvature", self.argnums, len(args), _WHERE)
        at = FunctionAtPoint(self.function, task, args, kwargs, where=_WHERE)
        if at.passes_traced(None):
            what, why = "a value is traced by somebody else", "the parts hold plain numbers"
            raise DtypeError(message(_WHERE, what, why, "Use hs.hessian, hs.hvp or an operator there"))
        source = Source(self.function, args, kwargs, self.argnums, _WHERE)
        parts = parts_at(at, source, self._widest)
        if parts is None:
            return _whole(at, source, _WHERE)
        return split_at(at, parts, source, _WHERE)


def split_hessian(f: Callable[P, Any], argnums: ArgNums = 0, *, widest: int | None = None) -> SplitHessian[P]:
    r"""Return a function that computes the Hessian as a sparse matrix plus one of low rank, :math:`H = S + U D U^T`.

    Where a function passes through numbers that depend on many variables (sums, means, products, norms, dot products, logsumexps), its
    Hessian is dense, and no pattern helps; with these numbers held fixed it is sparse, and what they add has a rank of one or two for each.

    Parameters
    ----------
    f : callable
        Real scalar function written in NumPy, plain or recorded: ``f(x, *args, **kwargs)``. It is recorded, as for :func:`hessian`.
    argnums : int or tuple of int
        Which positional arguments to differentiate in.
    widest : int, optional
        Up to how many variables may meet in a value without its being cut; by default 32, or :math:`\sqrt n` if that is more, as many
        as it pays to have colors for.

    Returns
    -------
    callable
        ``(x, ...) -> SparsePlusLowRank`` over the raveled x; containers are raveled leaf after leaf. Without cuts its rank is 0, and S
        is that of :func:`hessian.sparse.hessian`.

    Raises
    ------
    NotScalarError, DtypeError
        As for :func:`hessian.grad`.
    OptionError
        ``widest`` is no positive integer.
    TooDenseError
        S, too, has more entries than fit in memory: what makes it dense is none of the above.
    DerivativeCheckError
        A product with the parts is not that with the Hessian.

    Notes
    -----
    Cut is what meets nonlinearly further on, depends on more than ``widest`` variables, and has so few elements m that 2 m n numbers,
    its columns, are fewer than the entries that it would make: of group sums those of few large groups, and rows of a dense matrix up
    to n / 2, as long as all directions together fit in 0.5 GiB. With its values t = T(x, t), f(x) = F(x, T(x)) has the Lagrangian
    :math:`L(x, t, \lambda) = F(x, t) + \lambda^T (T(x, t) - t)`, and for :math:`\lambda = df/dt` the Hessian is

    .. math:: H = L_{xx} + L_{xt} J + J^T L_{tx} + J^T L_{tt} J, \qquad J = (1 - T_t)^{-1} T_x,

    so that S is L_xx, and U holds the rows of J and the columns of L_xt that are not zero. A value may depend on others that are cut.
    ``logsumexp``, ``softmax``, ``log_softmax``, norms, and products of more than ``widest`` factors (by logarithms; factors of zero stand
    apart) are written out for it, as sums of functions of single elements; checkpoints are run as if they were none. The Hessian of
    L in all its arguments is the bordered (Karush-Kuhn-Tucker) matrix of the system, had by one program: as many products as S has
    colors, and two for each element that is cut. A product with a random vector is compared with one by f itself on the 1st, 2nd,
    4th, ... call.

    Cost: f recorded, walked and recorded once more in parts; then at every point a value and a gradient of f, of the cut values and of
    L, and these products.

    References
    ----------
    J. Nocedal, S. J. Wright, Numerical Optimization (2006), chapters 12 and 16, for Lagrangians and bordered systems; A. Griewank,
    A. Walther, Evaluating Derivatives (2008), section 10.3, for Hessians by intermediate values.

    Examples
    --------
    >>> import numpy as np, hessian as hs
    >>> hess = hs.sparse.split_hessian(lambda x: np.sum(x**4) + np.sum(x**2) ** 2)
    >>> H = hess(np.ones(1000))
    >>> H
    <SparsePlusLowRank of order 1000: 1000 entries, rank 1>
    >>> float(H.sparse[0, 0]), float((H @ np.ones(1000))[0])
    (4012.0, 12012.0)
    """
    return SplitHessian(f, argnums, widest)
