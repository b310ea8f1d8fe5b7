"""Scores of examples weighed for the sandwich: for small samples, by leverages, or added up in clusters."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.sparse import csc_array, issparse

from hessian.errors import OptionError, ShapeMismatchError, message

ROBUST = ("sandwich", "HC0", "HC1", "HC2", "HC3", "cluster")
"""Kinds with scores in the middle; the first two are one."""
# A leverage this near to 1 leaves a residual of rounding.
_WHOLE = 1e-10


def weighted_scores(
    kind: str, scores: Any, parameters: int, *, n_obs: int | None, groups: Any, leverages: np.ndarray | None
) -> Any:
    r"""Return rows whose products :math:`S^T S` stand between the inverse Hessians.

    With n examples of scores :math:`s_i` and leverages :math:`h_i`, and p parameters: :math:`s_i` for HC0, times
    :math:`\sqrt{n / (n - p)}` for HC1, over :math:`\sqrt{1 - h_i}` for HC2 and :math:`1 - h_i` for HC3; for G clusters their sums,
    times the root of :math:`\frac{G}{G - 1} \frac{n - 1}{n - p}`.

    Raises
    ------
    OptionError
        There are too few examples or clusters, or a leverage is 1.
    ShapeMismatchError
        There is not one group for every example.

    References
    ----------
    J. G. MacKinnon and H. White, J. Econometrics 29 (1985) 305-325. A. C. Cameron and D. L. Miller, J. Human Resources 50 (2015)
    317-372, equation 12.
    """
    if kind in ("sandwich", "HC0"):
        return scores
    rows = scores.shape[0] if n_obs is None else n_obs
    if kind in ("HC1", "cluster") and rows <= parameters:
        what = f"{rows} observations for {parameters} parameters"
        raise OptionError(message("covariance", what, f"{kind} divides by their difference", 'Use kind="HC0"'))
    if kind == "HC1":
        return scores * np.sqrt(rows / (rows - parameters))
    if kind == "cluster":
        sums = _sums(scores, groups)
        count = sums.shape[0]
        if count < 2:
            what = "all examples are in one group"
            raise OptionError(message("covariance", what, "Its scores add up to zero", "Pass at least two groups"))
        return sums * np.sqrt(count / (count - 1) * (rows - 1) / (rows - parameters))
    assert leverages is not None
    left = 1.0 - leverages
    if np.any(left < _WHOLE):
        what = f"example {int(np.argmin(left))} has leverage 1"
        why = "A parameter is determined by it alone, so that nothing is left to tell its error"
        raise OptionError(message("covariance", what, why, 'Use kind="HC0"'))
    return scores / (left if kind == "HC3" else np.sqrt(left))[:, None]


def _sums(scores: Any, groups: Any) -> Any:
    """Sums of scores in groups, shape (G, p), sparse where scores are."""
    count = scores.shape[0]
    places, distinct = _numbered(groups, count)
    if issparse(scores):
        members = csc_array((np.ones(count), (places, np.arange(count))), shape=(distinct, count))
        return members @ scores
    sums = np.zeros((distinct, scores.shape[1]))
    np.add.at(sums, places, scores.astype(np.float64))
    return sums


def _numbered(groups: Any, count: int) -> tuple[np.ndarray, int]:
    """Number the groups: that of every example, and how many there are."""
    labels = np.asarray(groups)
    if labels.size != count:
        what = f"groups has shape {labels.shape}, there are {count} examples"
        raise ShapeMismatchError(message("covariance", what, fix="Pass the group of every example, shape (n,)"))
    if labels.dtype.kind in "US" and not isinstance(groups, np.ndarray):
        # Of a list of strings and NaN an array makes the string "nan".
        labels = np.asarray(groups, dtype=object)
    labels = labels.ravel()
    is_mixed = labels.dtype.kind == "O"
    lost = np.array([_is_missing(label) for label in labels], bool) if is_mixed else labels != labels
    lost = lost | np.ma.getmaskarray(groups).ravel() if isinstance(groups, np.ma.MaskedArray) else lost
    if np.any(lost):
        what = f"{int(np.sum(lost))} examples have the group NaN, None or NaT, or a masked one"
        raise OptionError(message("covariance", what, fix="Leave these examples out, or give them groups"))
    if not is_mixed:
        distinct, places = np.unique(labels, return_inverse=True)
        return places.reshape(-1), len(distinct)
    # Labels of several types have no order.
    numbers: dict[Any, int] = {}
    try:
        return np.array([numbers.setdefault(label, len(numbers)) for label in labels], np.intp), len(numbers)
    except TypeError as error:
        what = f"a group is no label: {error}"
        raise OptionError(message("covariance", what, fix="Pass numbers or strings")) from None


def _is_missing(label: Any) -> bool:
    """Whether a label stands for none: what is not itself, or does not say whether it is."""
    try:
        return label is None or bool(label != label)
    except (TypeError, ValueError):
        return not isinstance(label, list | np.ndarray)
