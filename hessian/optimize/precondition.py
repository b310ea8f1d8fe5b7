"""Preconditioners of conjugate gradients: a diagonal, the user's own, or pairs collected from earlier iterations."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from scipy.sparse.linalg import LinearOperator

from hessian.errors import OptionError, ShapeMismatchError, message
from hessian.linalg import limits
from hessian.linalg.diagonal import row_norms
from hessian.linalg.factor import Factor
from hessian.linalg.nystrom import EigenForm, eigen_form, random_columns
from hessian.linalg.sums import SymmetricSum
from hessian.linalg.vectors import norm, signs
from hessian.optimize.krylov import Product
from hessian.optimize.objective import Point
from hessian.tape.trees import flatten, ravel

PAIRS = 10
"""Pairs of direction and product kept for the next step (Morales and Nocedal found 4 to 20 to do)."""
PROBES = 8
"""Products spent on estimated norms of rows."""
SKETCH = 40
"""Products spent on a sketch of the Hessian, and of a step from which on one is taken."""
REFRESH = 5
"""Points for which a diagonal is used before it is taken anew."""
MANY = 10
"""Products of a step from which on the Hessian is factored anew for the next."""
SHIFTS = 8
"""Shifts that are tried, each ten times the last."""
FLOOR = 1e-3
"""Least entry of a diagonal, relative to its largest."""


class Preconditioner:
    """No preconditioner, and what all have in common: ``M^-1`` at a point, learning, and a state to resume from."""

    name = "none"
    collect: Callable[[np.ndarray, np.ndarray], None] | None = None

    def at(self, point: Point, left: int) -> Product | None:
        """Return ``v -> M^-1 v`` for the system at a point, spending less than what is left of the budget of products."""
        return None

    def forget(self) -> bool:
        """Drop what was learnt and turned out wrong; False where there is nothing to drop, the user's own being at fault."""
        return False

    def state(self) -> dict[str, Any]:
        """What a resumed run has to know."""
        return {}

    def restore(self, state: dict[str, Any]) -> None:
        """Take over a state."""


def make_preconditioner(choice: Any, structured: Callable[[np.ndarray], Any], seed: int) -> Preconditioner:
    """Return the preconditioner of an option of :func:`hessian.optimize.minimize`."""
    if choice is None:
        return Preconditioner()
    if isinstance(choice, str):
        made = {"jacobi": lambda: Jacobi(seed), "nystrom": lambda: Sketched(seed), "factor": EarlierFactor}
        return made.get(choice, CollectedPairs)()
    return Given(choice, structured)


class Jacobi(Preconditioner):
    """The diagonal of H for few variables, else norms of its rows; magnitudes, and never below a floor.

    Norms are exact where a sparse pattern gives them by as many products as their estimate takes. Deterministic given the seed.
    """

    name = "jacobi"

    def __init__(self, seed: int) -> None:
        self._rng = np.random.default_rng(seed)
        self._diagonal: np.ndarray | None = None
        self._age = 0

    def at(self, point: Point, left: int) -> Product | None:
        """Divide by the diagonal, taken anew every few points while the budget lasts."""
        cost = point.x.size if point.x.size <= limits.JACOBI_ORDER else PROBES
        if (self._diagonal is None or self._age >= REFRESH) and cost < left:
            self._diagonal, self._age = self._measure(point), 0
        if self._diagonal is None:
            return None
        self._age += 1
        diagonal = self._diagonal
        return _scaled(lambda v: v / diagonal, point)

    def _measure(self, point: Point) -> np.ndarray:
        """Diagonal of H at a point, made positive, or norms of rows; ones where they are not finite."""
        n = point.x.size
        if n <= limits.JACOBI_ORDER:
            diagonal = np.array(point.diagonal())
        else:
            known = point.row_norms(PROBES)
            diagonal = self._estimated(point) if known is None else known
        size = np.abs(diagonal)
        if not np.all(np.isfinite(size)) or not np.any(size):
            return np.ones_like(point.x)
        return np.asarray(np.maximum(size, FLOOR * size.max()))

    def _estimated(self, point: Point) -> np.ndarray:
        probes = signs(self._rng, point.x.size, PROBES, point.x.dtype)
        return row_norms(np.stack([point.product(probe) for probe in probes.T], axis=1))

    def state(self) -> dict[str, Any]:
        """The diagonal, its age and the random state."""
        return {"diagonal": self._diagonal, "age": self._age, "rng": self._rng.bit_generator.state}

    def restore(self, state: dict[str, Any]) -> None:
        """Take over a state."""
        self._diagonal, self._age = state["diagonal"], state["age"]
        self._rng.bit_generator.state = state["rng"]


class Sketched(Preconditioner):
    """Nystrom's approximation of H from products with random directions; deterministic given the seed.

    It is taken once a step has taken as many products, and anew where steps with it do after a few points. Where H is not semidefinite
    in the sketch, that of H plus twice its lowest eigenvalue there: large eigenvalues are divided by, and all others count as one.

    References
    ----------
    Z. Frangella, J. A. Tropp and M. Udell, SIAM J. Matrix Anal. Appl. 44 (2023).
    """

    name = "nystrom"

    def __init__(self, seed: int) -> None:
        self._rng = np.random.default_rng(seed)
        self._form: EigenForm | None = None
        self._seen = self._age = 0

    def collect(self, direction: np.ndarray, product: np.ndarray) -> None:
        """Count products."""
        self._seen += 1

    def at(self, point: Point, left: int) -> Product | None:
        """Divide by the large eigenvalues, taken where that pays and while the budget lasts."""
        rank = min(point.x.size, SKETCH)
        if self._seen >= rank < left and (self._form is None or self._age >= REFRESH):
            self._form, self._age = self._measure(point, rank), 0
        self._seen = 0
        if self._form is None:
            return None
        self._age += 1
        form, dtype = self._form, point.x.dtype
        return _scaled(lambda v: form.precondition(v).astype(dtype, copy=False), point)

    def _measure(self, point: Point, rank: int) -> EigenForm | None:
        """Sketch H at a point; ``None`` where products are not finite or zero."""
        start = random_columns(self._rng, point.x.size, rank, point.x.dtype)
        images = np.stack([point.product(column) for column in start.T], axis=1)
        if not np.isfinite(images).all() or not images.any():
            return None
        return eigen_form(start, images, float(np.finfo(point.x.dtype).eps))

    def forget(self) -> bool:
        """Drop a sketch that rounding has spoiled."""
        had = self._form is not None
        self._form = None
        return had

    def state(self) -> dict[str, Any]:
        """The sketch, its age and the random state."""
        form = self._form
        parts = None if form is None else [form.vectors, form.values, form.lowest, form.rounding]
        return {"form": parts, "seen": self._seen, "age": self._age, "rng": self._rng.bit_generator.state}

    def restore(self, state: dict[str, Any]) -> None:
        """Take over a state."""
        self._form = None if state["form"] is None else EigenForm(*state["form"])
        self._seen, self._age = state["seen"], state["age"]
        self._rng.bit_generator.state = state["rng"]


class CollectedPairs(Preconditioner):
    """L-BFGS matrix of pairs ``(d, H d)`` that conjugate gradients met at the last point.

    References
    ----------
    J. L. Morales and J. Nocedal, SIAM J. Optim. 10 (2000) 1079-1096.
    """

    name = "lbfgs"

    def __init__(self) -> None:
        self._pairs: list[tuple[np.ndarray, np.ndarray]] = []
        self._fresh: list[tuple[np.ndarray, np.ndarray]] = []
        self._seen = 0
        self._stride = 1

    def collect(self, direction: np.ndarray, product: np.ndarray) -> None:
        """Keep some ten pairs spread evenly over a run of unknown length: every k-th, k doubling as it goes on."""
        if self._seen % self._stride == 0 and float(direction @ product) > 0.0 and np.all(np.isfinite(product)):
            self._fresh.append((direction, product))
            if len(self._fresh) >= 2 * PAIRS:
                self._fresh = self._fresh[::2]
                self._stride *= 2
        self._seen += 1

    def at(self, point: Point, left: int) -> Product | None:
        """Make the pairs of the last point the preconditioner of this one."""
        if self._fresh:
            self._pairs = self._fresh[:: -(-len(self._fresh) // PAIRS)]
        self._fresh, self._seen, self._stride = [], 0, 1
        return _scaled(_inverse_of_pairs(self._pairs), point) if self._pairs else None

    def forget(self) -> bool:
        """Drop pairs that rounding has spoiled."""
        had = bool(self._pairs)
        self._pairs, self._fresh = [], []
        return had

    def state(self) -> dict[str, Any]:
        """The pairs."""
        return {"pairs": [list(pair) for pair in self._pairs], "fresh": [list(pair) for pair in self._fresh]}

    def restore(self, state: dict[str, Any]) -> None:
        """Take over a state."""
        self._pairs, self._fresh = ([(s, y) for s, y in state[name]] for name in ("pairs", "fresh"))


def _inverse_of_pairs(pairs: list[tuple[np.ndarray, np.ndarray]]) -> Product:
    """Build the L-BFGS inverse of pairs in its compact form: four products with matrices of n rows and few columns.

    References
    ----------
    R. H. Byrd, J. Nocedal and R. B. Schnabel, Math. Program. 63 (1994) 129-156, theorem 2.2.
    """
    # Pairs scaled to s.y = 1, which changes nothing and keeps the small systems well scaled.
    scales = [1.0 / math.sqrt(float(s @ y)) for s, y in pairs]
    S = np.stack([scale * s for scale, (s, _) in zip(scales, pairs, strict=True)])
    Y = np.stack([scale * y for scale, (_, y) in zip(scales, pairs, strict=True)])
    gamma = 1.0 / float(Y[-1] @ Y[-1])
    products = (S @ Y.T).astype(np.float64)
    upper = np.linalg.inv(np.triu(products))
    middle = np.diag(np.diag(products)) + gamma * (Y @ Y.T)
    square, upper = (upper.T @ middle @ upper).astype(S.dtype), upper.astype(S.dtype)

    def apply(v: np.ndarray) -> np.ndarray:
        along, against = S @ v, Y @ v
        weights = square @ along - gamma * (upper.T @ against)
        return np.asarray(gamma * v + weights @ S - gamma * ((upper @ along) @ Y))

    return apply


class EarlierFactor(Preconditioner):
    """The sparse Hessian of an earlier point, factored: plus a multiple of the identity where it is not positive definite.

    It is factored anew every few points, and once steps with it take many products.
    """

    name = "factor"

    def __init__(self) -> None:
        self._matrix: SymmetricSum | None = None
        self._factor: Factor | None = None
        self._shift = 0.0
        self._seen = self._age = 0

    def collect(self, direction: np.ndarray, product: np.ndarray) -> None:
        """Count products."""
        self._seen += 1

    def at(self, point: Point, left: int) -> Product | None:
        """Return solves with the factor, taken anew where the last step took many products."""
        if self._factor is None and self._matrix is not None:
            self._factor = point.factored_other(self._matrix, self._shift)
        if self._factor is None or self._seen > MANY or self._age >= REFRESH:
            self._factor, self._age = self._taken(point), 0
        self._seen = 0
        self._age += 1
        factor, dtype = self._factor, point.x.dtype
        return None if factor is None else _scaled(lambda v: factor.solve(v).astype(dtype), point)

    def _taken(self, point: Point) -> Factor | None:
        """Factor the Hessian at a point; ``None`` where no shift makes it definite."""
        matrix = point.sparse()
        size = matrix.size
        if not 0.0 < size < math.inf:
            return None
        shift = 0.0
        for _ in range(SHIFTS):
            factor = point.factored(shift)
            if factor.is_definite:
                self._matrix, self._shift = matrix, shift
                return factor
            shift = max(1e-4 * size, 10.0 * shift)
        return None

    def forget(self) -> bool:
        """Drop a factor that rounding has spoiled."""
        had = self._factor is not None
        self._matrix = self._factor = None
        return had

    def state(self) -> dict[str, Any]:
        """The matrix that was factored."""
        matrix = self._matrix
        parts = None if matrix is None else matrix.parts()
        return {"matrix": parts, "shift": self._shift, "seen": self._seen, "age": self._age}

    def restore(self, state: dict[str, Any]) -> None:
        """Take over a state."""
        self._factor, self._shift = None, state["shift"]
        self._seen, self._age = state["seen"], state["age"]
        if state["matrix"] is not None:
            self._matrix = SymmetricSum.of_parts(state["matrix"])


class Given(Preconditioner):
    """The user's: a positive diagonal of M, an operator that applies ``M^-1``, or a function of x that returns one."""

    name = "given"

    def __init__(self, choice: Any, structured: Callable[[np.ndarray], Any]) -> None:
        self._choice = choice
        self._structured = structured

    def at(self, point: Point, left: int) -> Product | None:
        """Ask for it at a point."""
        is_function = callable(self._choice) and not isinstance(self._choice, LinearOperator)
        found = self._choice(self._structured(point.x)) if is_function else self._choice
        # An approximation of the Hessian is not what is applied, but what is made of it.
        found = found.preconditioner() if hasattr(found, "preconditioner") else found
        n, dtype = point.x.size, point.x.dtype
        if isinstance(found, LinearOperator) or (isinstance(found, np.ndarray) and found.shape == (n, n) and n > 1):
            if found.shape != (n, n):
                what = f"the preconditioner has shape {found.shape}"
                raise ShapeMismatchError(message("minimize", what, fix=f"There are {n} variables: pass shape {(n, n)}"))
            return _scaled(lambda v: np.asarray(found @ v).astype(dtype), point)
        leaves = flatten(found)[0]
        diagonal = ravel(found)[0] if leaves else np.empty(0)
        if diagonal.size != n:
            what = f"the preconditioner has {diagonal.size} numbers"
            raise ShapeMismatchError(message("minimize", what, fix=f"There are {n} variables: pass one for each"))
        if not np.all(np.isfinite(diagonal) & (diagonal > 0.0)):
            what = "the preconditioner's diagonal has entries that are not positive and finite"
            raise OptionError(message("minimize", what, "It stands for curvatures", "Pass numbers > 0"))
        scale = diagonal.astype(dtype)
        return _scaled(lambda v: v / scale, point)


def _scaled(apply: Product, point: Point) -> Product:
    """Multiply M by a number that keeps the length of the gradient, so that radii mean about the same at every point."""
    length = norm(apply(point.gradient))
    factor = point.gradient_norm / length if length > 0.0 and np.isfinite(length) else 1.0
    return lambda v: factor * apply(v)
