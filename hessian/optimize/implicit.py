"""Solutions of equations and minima as functions of parameters, with derivatives of any order."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, overload

import numpy as np
from numpy.typing import NDArray

from hessian.errors import ConvergenceError, ShapeMismatchError, message
from hessian.optimize.equation import Equation, Plain
from hessian.optimize.minimize import minimize
from hessian.optimize.roots import find_root, polished
from hessian.optimize.scipy_conventions import one_number
from hessian.optimize.settings import Numbers, Whole
from hessian.rules.traced import Traced, entered
from hessian.signatures import Inexact, X
from hessian.tape.trace import Primal
from hessian.tape.trees import flatten, holds_traced, is_container, join_vector, map_leaves, only_numbers, scipy_point
from hessian.transforms.first_order import grad

_ITERATIONS = 200


@overload
def root(fun: Callable[..., Any], x0: NDArray[Inexact], args: Any = ()) -> NDArray[Inexact]: ...
@overload
def root(fun: Callable[..., Any], x0: NDArray[Whole] | Numbers, args: Any = ()) -> NDArray[np.float64]: ...
@overload
def root(fun: Callable[..., Any], x0: X, args: Any = ()) -> X: ...
def root(fun: Callable[..., Any], x0: Any, args: Any = ()) -> Any:
    r"""Solve :math:`F(x, \theta) = 0` for x, a function of :math:`\theta` with derivatives of any order.

    .. math:: \frac{dx}{d\theta} = -\left(\frac{\partial F}{\partial x}\right)^{-1} \frac{\partial F}{\partial \theta}

    Parameters
    ----------
    fun : callable
        ``fun(x, *args)`` returns as many numbers as x has, in an array or a container.
    x0 : array_like, or dict, list or tuple of arrays
        Start. A number or a rectangular list of numbers becomes an array with at least one axis, as in SciPy. The solution does
        not depend on it: its derivative in x0 is exactly zero.
    args : tuple
        Further arguments of fun, of any kind, θ among them; anything else than a tuple counts as one argument. What is
        differentiated must stand here: a traced value that fun takes from outside is refused.

    Returns
    -------
    x : structure of x0
        The solution itself, where :func:`scipy.optimize.root` returns a result.

    Raises
    ------
    ConvergenceError
        No solution was found.
    UndefinedDerivativeError
        ∂F/∂x is singular at the solution (a double root, a continuum of solutions), which then has no derivative.
    NonFiniteError
        F is not finite at x0, or ∂F/∂x at the solution.
    ShapeMismatchError, DtypeError
        fun does not return as many real numbers as x has.
    LeavesTapeError
        fun uses a traced value that is not among its arguments.
    StaleRecordingError
        By a derivative: fun, run again at the solution, gives something else.

    Notes
    -----
    Solved on plain numbers by MINPACK with exact Jacobians, then by Newton's method to the last digits: derivatives are those of the
    solution, not of the iterations. Dense: n pushforwards and one LU factorisation per point, kept for all derivatives there; a gradient
    is then a reverse sweep over fun and two triangular systems, a Hessian-vector product a few of each. In recorded functions the
    solution is one operation.

    References
    ----------
    S. G. Krantz and H. R. Parks, *The Implicit Function Theorem* (2013). M. Blondel et al., "Efficient and modular implicit
    differentiation", NeurIPS (2022).

    Examples
    --------
    Kepler's equation, with dE/dM = 1 / (1 - e cos E):

    >>> import numpy as np, hessian as hs
    >>> anomaly = lambda M: hs.root(lambda E, M: E - 0.5 * np.sin(E) - M, 1.0, (M,))[0]
    >>> E, slope = hs.value_and_grad(anomaly)(1.0)
    >>> bool(np.isclose(slope, 1 / (1 - 0.5 * np.cos(E))))
    True
    """
    return _solution(RootEquation, fun, x0, args)


class RootEquation(Equation):
    """F is the function."""

    where = "root"

    def values(self, x: Any, *args: Any) -> Any:
        return self.fun(x, *args)

    def find(self, system: Plain, start: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return find_root(system, start)


@overload
def fixed_point(fun: Callable[..., Any], x0: NDArray[Inexact], args: Any = ()) -> NDArray[Inexact]: ...
@overload
def fixed_point(fun: Callable[..., Any], x0: NDArray[Whole] | Numbers, args: Any = ()) -> NDArray[np.float64]: ...
@overload
def fixed_point(fun: Callable[..., Any], x0: X, args: Any = ()) -> X: ...
def fixed_point(fun: Callable[..., Any], x0: Any, args: Any = ()) -> Any:
    r"""Solve :math:`x = f(x, \theta)` for x, a function of :math:`\theta` with derivatives of any order.

    .. math:: \frac{dx}{d\theta} = \left(I - \frac{\partial f}{\partial x}\right)^{-1} \frac{\partial f}{\partial \theta}

    Parameters
    ----------
    fun : callable
        ``fun(x, *args)`` returns what x is.
    x0, args
        As for :func:`root`.

    Returns
    -------
    x : structure of x0

    Raises
    ------
    As :func:`root`.

    Notes
    -----
    The iteration x ← f(x) is followed until it has settled, so that where there are several fixed points the one it leads to is
    found; then, or from x0 where it does not settle within 200 steps, the equation is solved as by :func:`root`, whose cost it has.

    References
    ----------
    S. Bai, J. Z. Kolter and V. Koltun, "Deep equilibrium models", NeurIPS (2019).

    Examples
    --------
    Heron's iteration for the square root of a:

    >>> import numpy as np, hessian as hs
    >>> square_root = lambda a: hs.fixed_point(lambda x, a: (x + a / x) / 2, 1.0, (a,))[0]
    >>> np.allclose([square_root(4.0), hs.grad(square_root)(4.0), hs.grad(hs.grad(square_root))(4.0)], [2, 1 / 4, -1 / 32])
    True
    """
    return _solution(FixedPointEquation, fun, x0, args)


class FixedPointEquation(Equation):
    """F is what the function changes."""

    where = "fixed_point"

    def values(self, x: Any, *args: Any) -> Any:
        starts = flatten(x)[0]
        leaves = [entered(leaf) for leaf in flatten(self.fun(x, *args))[0]]
        if len(starts) == 1 and len(leaves) > 1:  # a list for an array
            leaves = [entered(leaves)]
        got, wanted = [np.shape(value) for value in leaves], [np.shape(start) for start in starts]
        if got != wanted:
            what = f"the function returned shapes {got} for x of shapes {wanted}"
            raise ShapeMismatchError(message("fixed_point", what, "a fixed point is mapped to itself"))
        return [value - start for value, start in zip(leaves, starts, strict=True)]

    def find(self, system: Plain, start: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Follow the iteration to where it has settled, then solve; where it does not settle, solve from the start."""
        x, step = start, system.residual(start)
        first = size = float(np.linalg.norm(step))
        for _ in range(_ITERATIONS):
            if not np.isfinite(size) or size <= 1e-3 * max(first, float(np.linalg.norm(x))):
                break
            x = x + step
            step = system.residual(x)
            size = float(np.linalg.norm(step))
        else:
            size = np.inf
        return find_root(system, x, near=True) if np.isfinite(size) else find_root(system, start)


@overload
def argmin(fun: Callable[..., Any], x0: NDArray[Inexact], args: Any = ()) -> NDArray[Inexact]: ...
@overload
def argmin(fun: Callable[..., Any], x0: NDArray[Whole] | Numbers, args: Any = ()) -> NDArray[np.float64]: ...
@overload
def argmin(fun: Callable[..., Any], x0: X, args: Any = ()) -> X: ...
def argmin(fun: Callable[..., Any], x0: Any, args: Any = ()) -> Any:
    r"""Minimise :math:`f(x, \theta)` over x, a function of :math:`\theta` with derivatives of any order.

    .. math:: \frac{dx}{d\theta} = -\left(\nabla_{xx}^2 f\right)^{-1} \nabla_{x\theta}^2 f

    Parameters
    ----------
    fun : callable
        ``fun(x, *args)`` returns one real number.
    x0, args
        As for :func:`root`.

    Returns
    -------
    x : structure of x0
        The minimiser itself; for the run of the solver see :func:`hessian.optimize.minimize`.

    Raises
    ------
    ConvergenceError
        No minimum was found: the solver failed, or ended at a saddle point.
    UndefinedDerivativeError
        The Hessian is singular at the minimum, which then has no derivative.
    NotScalarError
        fun does not return one number.
    NonFiniteError, DtypeError, LeavesTapeError
        As for :func:`root`.

    Notes
    -----
    Solved on plain numbers by :func:`hessian.optimize.minimize`, then by Newton's method to the last digits; further as :func:`root`
    of the gradient, with n Hessian-vector products for the factors.

    References
    ----------
    S. Gould et al., "On differentiating parameterized argmin and argmax problems", arXiv:1607.05447 (2016).

    Examples
    --------
    The minimiser of (x - a)² + b x² is a / (1 + b):

    >>> import numpy as np, hessian as hs
    >>> shrunk = lambda a, b: hs.argmin(lambda x, a, b: np.sum((x - a) ** 2 + b * x**2), [0.0], (a, b))[0]
    >>> np.allclose(hs.grad(shrunk, argnums=(0, 1))(3.0, 1.0), [1 / 2, -3 / 4])
    True
    """
    return _solution(MinimumEquation, fun, x0, args)


class MinimumEquation(Equation):
    """F is the gradient."""

    where = "argmin"

    def values(self, x: Any, *args: Any) -> Any:
        return grad(one_number(self.fun, "argmin"))(x, *args)

    def find(self, system: Plain, start: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Minimise, and see that it is a minimum."""
        slope = float(np.linalg.norm(system.residual(start)))
        x, ending = start, "the gradient is zero at x0"
        if slope > 0:
            gtol = slope * float(np.finfo(start.dtype).eps) ** 0.5
            args = self.arguments(system.thetas)
            result = minimize(self.fun, self.tree(start.copy()), args, options={"gtol": gtol})
            x, ending = np.asarray(join_vector(flatten(result.x)[0])), f"The solver: {result.message}"
        x, factors = polished(system, x.astype(start.dtype), start, ending)
        hessian = system.jacobian(x)
        diagonal = np.diag(hessian)
        units = 1 / np.sqrt(np.where(diagonal > 0, diagonal, 1))
        try:
            np.linalg.cholesky(units[:, None] * (hessian + hessian.T) * units)
        except np.linalg.LinAlgError as error:
            what = "the point found is no minimum: the Hessian there has a negative eigenvalue"
            raise ConvergenceError(message("argmin", what, fix="Start elsewhere")) from error
        return x, factors


def _solution(kind: type[Equation], fun: Callable[..., Any], x0: Any, args: Any) -> Any:
    start = Primal(_start(x0), kind.where, "x0")
    if not start.size:
        raise ShapeMismatchError(message(kind.where, "x0 has no elements", fix="Pass at least one number"))
    args = args if isinstance(args, tuple) else (args,)
    return kind(fun, start.structure, start.shapes, args).solution(join_vector(start.leaves), args)


def _start(x0: Any) -> Any:
    """Return a start as SciPy takes it, with integers as floats."""
    if not is_container(x0):
        x0 = entered(x0)
    elif holds_traced(x0) and all(not is_container(x) or only_numbers(x) for x in x0):
        x0 = entered(x0) if isinstance(x0, list) else x0
    x0 = np.reshape(x0, (1,)) if isinstance(x0, Traced) and not x0.ndim else scipy_point(x0)
    return map_leaves(_floating, x0)


def _floating(leaf: Any) -> Any:
    kind = leaf.dtype.kind if isinstance(leaf, Traced) else np.asarray(leaf).dtype.kind
    if kind not in "iub":
        return leaf
    return leaf.astype(float) if hasattr(leaf, "astype") else float(leaf)
