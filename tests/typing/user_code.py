"""What a user's type checker knows: read by mypy --strict and by pyright (``tests/test_types.py``), never run.

A line that is wrong on purpose is excused by both; an excuse that is not needed is an error.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, assert_type

import numpy as np
import numpy.typing as npt

import hessian as hs
from hessian.optimize import OptimizeResult, Status
from hessian.statistics import ConfidenceIntervals, Covariance, Summary

Vector = npt.NDArray[np.float64]
Params = dict[str, Vector]


def loss(x: Vector, y: Vector, scale: float = 1.0) -> float:
    return float(scale * np.sum((x - y) ** 2))


def cube(x: float) -> float:
    return x**3


def of_dict(params: Params, X: Vector) -> np.floating[Any]:
    return np.sum((X @ params["w"]) ** 2)


def with_aux(x: Vector, k: int) -> tuple[float, Params]:
    return float(np.sum(x**k)), {"x": x}


def by_name(x: Vector, *, power: int) -> float:
    return float(np.sum(x**power))


def many(*numbers: float) -> float:
    return sum(numbers)


def residuals(x: Vector, t: Vector) -> Vector:
    return np.exp(-t) - x


class Model:
    def loss(self, x: Vector) -> float:
        return float(np.sum(x**2))

    @hs.record
    def recorded(self, x: Vector, k: int) -> float:
        return float(np.sum(x**k))

    def slope(self, x: Vector) -> Vector:
        return hs.grad(self.loss)(x)


class Energy:
    def __call__(self, x: Vector, temperature: float) -> float:
        return float(np.sum(x**2) / temperature)


x: Vector = np.ones(3)
params: Params = {"w": x}

# Gradients have the type of what they are taken in; the other arguments stay.
assert_type(hs.grad(loss)(x, x), Vector)
assert_type(hs.grad(loss)(x, y=x, scale=2.0), Vector)
assert_type(hs.grad(loss, 1)(x, x), Vector)
assert_type(hs.grad(loss, (0, 1))(x, x), tuple[Vector, Vector])
assert_type(hs.grad(loss, (0, 2))(x, x), tuple[Any, ...])
assert_type(hs.grad(loss, 2)(x, x, 3.0), Any)
assert_type(hs.grad(cube)(1.0), float)
assert_type(hs.grad(hs.grad(cube))(1.0), float)
assert_type(hs.grad(hs.grad(hs.grad(cube)))(1.0), float)
assert_type(hs.grad(of_dict)(params, x), Params)
assert_type(hs.grad(with_aux, has_aux=True)(x, 2), tuple[Vector, Params])
assert_type(hs.grad(by_name)(x, power=3), Vector)
assert_type(hs.grad(many)(1.0, 2.0), float)
assert_type(hs.grad(Model().loss)(x), Vector)
assert_type(hs.grad(Energy())(x, 300.0), Vector)
assert_type(hs.grad(hs.record(loss))(x, x), Vector)
assert_type(hs.value_and_grad(loss)(x, x), tuple[float, Vector])
assert_type(hs.value_and_grad(loss, (0, 1))(x, x), tuple[float, tuple[Vector, Vector]])
assert_type(hs.value_and_grad(with_aux, has_aux=True)(x, 2), tuple[tuple[float, Params], Vector])
slope: Callable[[Vector, Vector], Vector] = hs.grad(loss)
hs.grad(loss)(x)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
hs.grad(loss)("x", x)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
hs.grad(loss)(x, x, scales=1.0)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
hs.grad(loss, has_axu=True)  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue]
hs.grad(x)  # type: ignore[call-overload]  # pyright: ignore[reportArgumentType, reportCallIssue]

# Lambdas and functions of NumPy's have no types to keep, and no false ones.
hs.grad(lambda v: np.sum(v**2))(x)
hs.grad(lambda p: p["w"] @ p["w"])(params)
hs.grad(lambda a, b: loss(a, b), 1)(x, x)
hs.value_and_grad(lambda v: np.sum(v**2))(x)[1]
hs.grad(partial(loss, scale=2.0))(x, x)
hs.grad(hs.grad(lambda v: v**3))(1.0)
hs.hessian(lambda v: np.sum(v**2))(x)
hs.hessian(lambda v: v**3)(1.0)
hs.hessian(lambda p: p["w"] @ p["w"])(params)
hs.jacobian(lambda v: v**2)(x)
hs.sparse.hessian(lambda v: np.sum(v**2))(x)
assert_type(hs.grad(np.sin)(0.0), Any)
hs.hessian(np.sin)(0.0)

# Second derivatives, products.
assert_type(hs.hessian(loss)(x, x), Vector)
assert_type(hs.hessian(cube)(1.0), float)
assert_type(hs.hessian(of_dict)(params, x), Any)
assert_type(hs.hessian_diagonal(of_dict)(params, x), Params)
assert_type(hs.laplacian(loss)(x, x), float)
assert_type(hs.jacobian(residuals)(x, x), Vector)
assert_type(hs.jacobian(hs.grad(loss))(x, x), Vector)
assert_type(hs.hvp(loss, x, x, x), Vector)
assert_type(hs.hvp(cube, 1.0, 1.0), float)
assert_type(hs.hvp(of_dict, params, params, x), Params)
assert_type(hs.grad_and_hvp(loss, x, x, x), tuple[Vector, Vector])
assert_type(hs.jvp(residuals, x, x, x), tuple[Vector, Vector])
value, pullback = hs.vjp(residuals, x, x)
assert_type(value, Vector)
assert_type(pullback(x), Vector)
hs.hessian(loss)(x, x, scales=2.0)  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue]

# Recorded functions keep their signature, methods too.
recorded = hs.record(loss)
assert_type(recorded(x, x, scale=2.0), float)
assert_type(Model().recorded(x, 2), float)
assert_type(hs.grad(Model().recorded)(x, 2), Vector)
assert_type(hs.checkpoint(residuals)(x, x), Vector)
recorded(x)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
hs.record(loss, verify="sometimes")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


def uses(f: hs.RecordedFunction[[Vector], float], result: OptimizeResult) -> float:
    return f(x) + result.fun


# Sparse derivatives.
sparse = hs.sparse.hessian(loss)
assert_type(sparse.pattern(x, x).n_colors, int)
sparse(x, x).toarray()
sparse("x", x)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]

# Operators.
H = hs.HessianOperator(loss, x, x)
assert_type(H @ x, npt.NDArray[Any])
assert_type(H @ np.eye(3), npt.NDArray[Any])
assert_type(H @ [1.0, 0.0, 0.0], npt.NDArray[Any])
assert_type(H.solve(x), npt.NDArray[Any])
assert_type(H.to_dense(), npt.NDArray[Any])
assert_type(H.gradient, npt.NDArray[Any])
assert_type((H * 2.0 + H).solve(x, damping=1.0), npt.NDArray[Any])
assert_type((-H) @ x, npt.NDArray[Any])
assert_type(H.eigsh(2, which="SA")[0], npt.NDArray[Any])
assert_type(hs.JacobianOperator(residuals, x, x) @ x, npt.NDArray[Any])
assert_type(hs.GaussNewtonOperator(residuals, lambda r: np.sum(r**2), x, x) @ x, npt.NDArray[Any])
H.eigsh(2, which="AS")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
H.solve(x, dampign=1.0)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]

# Solvers.
result = hs.optimize.minimize(loss, x, args=(x,), method="trust-ncg", options={"maxiter": 5})
assert_type(result, OptimizeResult[Vector])
assert_type(result.x, Vector)
assert_type(result.fun, float)
assert_type(result.status, Status)
assert_type(result.status.advice, str)
assert_type(result.n_hvp, int)
assert_type(result.raise_if_failed().x, Vector)
assert_type(result.summary(), Summary)
assert_type(result.covariance(kind="sandwich"), Covariance)
assert_type(result.covariance().standard_error, Any)
assert_type(result.confidence_intervals("profile"), ConfidenceIntervals)
assert_type(hs.optimize.minimize(loss, [1.0, 2.0], (x,)).x, Vector)
assert_type(hs.optimize.minimize(loss, np.arange(3)).x, Vector)
assert_type(hs.optimize.minimize(cube, 1.0).x, Vector)
assert_type(hs.optimize.minimize(of_dict, params, (x,), "L-BFGS-B", bounds=[(0, 1)]).x, Params)
assert_type(hs.optimize.least_squares(residuals, x, (x,), loss="huber").x, Vector)
assert_type(hs.optimize.least_squares(residuals, x, (x,)).status, Status)
settings = {"maxiter": 5, "gtol": 1e-8}
hs.optimize.minimize(loss, x, options=settings)
hs.optimize.minimize(loss, x, method="trust-ngc")  # type: ignore[call-overload]  # pyright: ignore[reportArgumentType, reportCallIssue]
hs.optimize.minimize(loss, x, metod="newton")  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue]
hs.optimize.minimize(loss, x, structure="spares")  # type: ignore[call-overload]  # pyright: ignore[reportArgumentType, reportCallIssue]
hs.optimize.least_squares(residuals, x, loss="hubert")  # type: ignore[call-overload]  # pyright: ignore[reportArgumentType, reportCallIssue]
result.covariance(kind="sandwitch")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
assert_type(hs.root(residuals, x, (x,)), Vector)
assert_type(hs.argmin(of_dict, params, (x,)), Params)

# Curvature.
assert_type(hs.curvature.trace(H, 40, method="xtrace"), hs.curvature.Estimate)
assert_type(hs.curvature.eigenvalues(H, 2), hs.curvature.Eigenpairs)
assert_type(hs.curvature.eigenvalues(H, 2).values, npt.NDArray[Any])
assert_type(hs.curvature.spectral_density(H), hs.curvature.SpectralDensity)
assert_type(hs.curvature.trace(H).interval(0.9), tuple[Any, Any])
hs.curvature.trace(H, method="xtrce")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
hs.curvature.eigenvalues(H, which="AL")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
hs.curvature.matrix_function(H, "sqrtt", x)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]

# Training.
fit = hs.nn.train(hs.nn.mlp((3, 1)), np.ones((5, 3)), x, loss="squared_error", method="adam")
assert_type(fit, hs.nn.TrainingResult)
assert_type(fit.status, Status)
assert_type(fit.metrics["loss"], float)
assert_type(fit.predict(np.ones((5, 3))), npt.NDArray[Any])
hs.nn.train(hs.nn.mlp((3, 1)), np.ones((5, 3)), x, methd="adam")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
hs.nn.train(hs.nn.mlp((3, 1)), np.ones((5, 3)), x, method="adma")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
