"""The delta method: functions of estimated parameters with their standard errors, by exact derivatives."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from hessian.core.trees import ravel
from hessian.curvature.laplace import Laplace
from hessian.curvature.outputs import Outputs
from hessian.errors import NonFiniteError, message
from hessian.operators.jacobian_operator import JacobianOperator
from hessian.optimize.covariance import Covariance
from hessian.transforms.higher_order import directional


@dataclass(frozen=True, eq=False, repr=False)
class DerivedQuantity:
    """A function of estimated parameters.

    Attributes
    ----------
    value : what the function returns
    standard_error : like value
    covariance : ndarray, shape (m, m)
        Between raveled entries of the value.
    bias : like value
        Second-order term of its mean, ``½ tr(H_i V)`` for entry i: what curvature adds on average. Where it is not small
        beside the standard error, the function is too curved over the spread of the parameters for this method.
    """

    value: Any
    standard_error: Any
    covariance: np.ndarray
    bias: Any

    def __repr__(self) -> str:
        values, errors = Outputs(self.value).vector, Outputs(self.standard_error).vector
        shown = [f"{value:.6g} ± {error:.2g}" for value, error in zip(values[:8], errors[:8], strict=True)]
        more = ", ..." if len(values) > 8 else ""
        worst = self._worst_bias(errors)
        curved = f", bias up to {worst:.2g} standard errors" if worst > 0.1 else ""
        return f"<DerivedQuantity {', '.join(shown)}{more}{curved}>"

    def _worst_bias(self, errors: np.ndarray) -> float:
        """Largest bias in standard errors."""
        biases = np.abs(Outputs(self.bias).vector)
        return float(np.max(np.divide(biases, errors, out=np.zeros_like(biases), where=errors > 0.0), initial=0.0))


def delta_method(g: Callable[..., Any], covariance: Covariance | Laplace, *args: Any) -> DerivedQuantity:
    r"""Compute a function of estimated parameters with its standard error.

    .. math:: \operatorname{Cov} g(\hat x) \approx G V G^T, \qquad G = \partial g / \partial x \text{ at } \hat x

    Parameters
    ----------
    g : callable
        ``g(x, *args)`` returns a number, an array or a container of arrays; x has the structure of the parameters.
    covariance : Covariance or Laplace
        Of ``result.covariance()`` or :func:`laplace`, which know the estimates.
    *args
        Further arguments of g, known exactly.

    Returns
    -------
    DerivedQuantity

    Raises
    ------
    NonFiniteError
        g or a derivative of it is not finite at the estimates.

    Notes
    -----
    Cost: one Jacobian, min(m, n) sweeps, and n second directional derivatives for the bias. Computed from the root of the
    covariance, so that a combination of strongly correlated parameters does not cancel.

    References
    ----------
    G. W. Oehlert, "A note on the delta method", The American Statistician 46 (1992) 27-29.

    Examples
    --------
    >>> import numpy as np
    >>> from hessian.optimize import minimize
    >>> counts = np.array([3.0, 5.0, 4.0, 4.0])
    >>> res = minimize(lambda u: np.sum(np.exp(u) - counts * u), 0.0)
    >>> delta_method(np.exp, res.covariance())
    <DerivedQuantity 4 ± 1, bias up to 0.12 standard errors>
    """
    operator = JacobianOperator(g, covariance.x, *args)
    outputs = Outputs(operator.value)
    jacobian = operator.to_dense().astype(np.float64)
    bias = _bias(g, covariance, args)
    if not all(np.all(np.isfinite(numbers)) for numbers in (jacobian, outputs.vector, bias)):
        what = "g or a derivative of it is not finite at the estimates"
        why = "The method takes g to be smooth around them"
        raise NonFiniteError(message("delta_method", what, why, "Choose a g that is finite there"))
    root = jacobian @ covariance.root
    errors = np.sqrt(np.sum(root * root, axis=1))
    return DerivedQuantity(operator.value, outputs.structured(errors), root @ root.T, outputs.structured(bias))


def _bias(g: Callable[..., Any], covariance: Covariance | Laplace, args: tuple[Any, ...]) -> np.ndarray:
    """Half the trace of second derivatives times the covariance, by second derivatives along the columns of its root."""
    center, unravel = ravel(covariance.x)
    total: Any = 0.0
    for column in covariance.root.T:
        direction = unravel(column.astype(center.dtype))
        total = total + Outputs(directional(g, covariance.x, direction, direction, args=args)).vector
    return np.asarray(0.5 * total)
