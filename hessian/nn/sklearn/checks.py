"""What the scikit-learn estimators check before they fit: parameters, weights of rows and classes."""

from __future__ import annotations

import numbers
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import scipy.sparse

from hessian.arguments import NOT_NEGATIVE, real_number, whole_number
from hessian.errors import OptionError, ShapeMismatchError, message
from hessian.nn.activations import Activation, get_activation
from hessian.optimize.choice import METHODS
from hessian.optimize.scipy_methods import SCIPY_METHODS


def check_hidden_sizes(where: str, sizes: Any) -> tuple[int, ...]:
    """Return the widths of the hidden layers; a number stands for one layer, nothing for none."""
    widths = sizes if isinstance(sizes, Sequence | np.ndarray) else (sizes,)
    return tuple(whole_number(where, f"hidden_layer_sizes[{i}]", width) for i, width in enumerate(widths))


def check_activation(activation: Any) -> Activation:
    """Return the activation of a name of scikit-learn's or of this library's."""
    return get_activation("sigmoid" if activation == "logistic" else activation)


def check_penalty(where: str, penalty: Any) -> None:
    """Refuse what a Newton method cannot minimise, saying why."""
    if penalty == "l2":
        return
    reasons = {
        "l1": "The absolute value has a kink where it matters, and Newton's method needs second derivatives",
        "elasticnet": "Its l1 part has a kink where it matters, and Newton's method needs second derivatives",
        None: "Where classes can be separated, the loss alone has no minimum",
    }
    known = penalty if penalty is None or isinstance(penalty, str) else "?"
    fix = "Raise C" if penalty is None else "Pass penalty='l2'"
    raise OptionError(message(where, f"penalty is {penalty!r}, only 'l2' is supported", reasons.get(known, ""), fix))


def check_method(where: str, method: Any) -> None:
    """Refuse SciPy's methods, whose options are not those an estimator sets; what does not exist at all is refused later."""
    if isinstance(method, str) and method.lower() in {name.lower() for name in SCIPY_METHODS}:
        why = "It takes neither tol nor check_curvature in the sense of this class"
        fix = f"Pass one of {', '.join(METHODS)}, or None"
        raise OptionError(message(where, f"method {method!r} is one of SciPy's", why, fix))


def check_options(where: str, options: Any, own: Mapping[str, Any]) -> dict[str, Any]:
    """Return further options of the solver, none of which has a parameter of its own."""
    if options is None:
        return {}
    if not isinstance(options, Mapping):
        raise OptionError(message(where, f"options is {options!r}, not a dict", fix='Pass e.g. {"max_hvp": 1000}'))
    twice = sorted(set(options) & set(own))
    if twice:
        what = f"options sets {twice[0]!r}, which the estimator sets itself"
        raise OptionError(message(where, what, fix="Use tol, max_iter, check_curvature, random_state or verbose"))
    return dict(options)


def as_array(X: Any) -> Any:
    """Return a sparse matrix as a sparse array, whose ``@`` the engine differentiates, and anything else as it is."""
    return scipy.sparse.csr_array(X) if scipy.sparse.issparse(X) else X


def check_weights(where: str, weights: Any, n: int) -> np.ndarray | None:
    """Return the weights of the rows in float64, from one number or one per row; None where all rows count once."""
    if weights is None:
        return None
    from sklearn.utils import check_array

    if isinstance(weights, numbers.Number):
        weights = np.full(n, weights)
    array = check_array(weights, ensure_2d=False, dtype=np.float64, input_name="sample_weight")
    if array.shape != (n,):
        what = f"sample_weight has shape {array.shape}, X has {n} rows"
        raise ShapeMismatchError(message(where, what, fix=f"Pass one weight per row, ({n},)"))
    if np.any(array < 0):
        first = int(np.argmax(array < 0))
        why = "An objective that rewards errors has no minimum"
        raise OptionError(message(where, f"sample_weight[{first}] is {array[first]:g}", why, "Pass weights >= 0"))
    if not np.any(array > 0):
        raise OptionError(message(where, "every sample_weight is zero", "Nothing is left to fit", "Raise some"))
    return array


def check_classes(where: str, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the distinct labels, sorted, and each row's position among them."""
    from sklearn.utils.multiclass import check_classification_targets

    check_classification_targets(y)
    classes, labels = np.unique(y, return_inverse=True)
    if len(classes) < 2:
        what = f"y contains only one class, {classes.tolist()[0]!r}"
        raise OptionError(message(where, what, "A classifier tells classes apart", "Add rows of another class"))
    return classes, labels


def weigh_classes(
    where: str, class_weight: Any, classes: np.ndarray, labels: np.ndarray, weights: np.ndarray | None
) -> np.ndarray | None:
    """Multiply the weights of the rows by those of their classes; every class has to keep some weight.

    "balanced" gives every class the same total: the weight of class k is ``Σ w / (K Σ_{i in k} w_i)``.
    """
    if class_weight is None and weights is None:
        return None
    rows = np.ones(len(labels)) if weights is None else weights
    totals = np.bincount(labels, rows, minlength=len(classes))
    if class_weight is not None:
        factors = _class_factors(where, class_weight, classes, totals)
        rows, totals = rows * factors[labels], totals * factors
    if not np.all(totals > 0):
        empty = classes.tolist()[int(np.argmin(totals))]
        what = f"the rows of class {empty!r} have no weight"
        why = "Its probability is best at zero, which no finite parameters give, so there is no minimum"
        raise OptionError(message(where, what, why, "Leave these rows out, or raise a weight"))
    return rows


def _class_factors(where: str, class_weight: Any, classes: np.ndarray, totals: np.ndarray) -> np.ndarray:
    if isinstance(class_weight, str) and class_weight == "balanced":
        with np.errstate(divide="ignore"):
            factors = np.sum(totals) / (len(classes) * totals)
        # A class without weight has none to be multiplied; the total of zero is reported by the caller.
        return np.where(totals > 0, factors, 0.0)
    if not isinstance(class_weight, dict):
        fix = "Pass 'balanced', a dict of weights by class, or None"
        raise OptionError(message(where, f"class_weight is {class_weight!r}", fix=fix))
    labels = classes.tolist()
    unknown = [key for key in class_weight if key not in labels]
    # Keys beyond the classes of y are the rule in a small fold; with a class left out, too, one of them is a mistake.
    if unknown and any(label not in class_weight for label in labels):
        what = f"class_weight names {unknown}, y has the classes {labels}"
        raise OptionError(message(where, what, "One that is not named weighs 1", "Name the classes as y does"))
    return np.array(
        [real_number(where, f"class_weight[{c!r}]", class_weight.get(c, 1.0), NOT_NEGATIVE) for c in labels]
    )
