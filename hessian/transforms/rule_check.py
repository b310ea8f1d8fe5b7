"""The walk over the registry, on one row."""

from __future__ import annotations

from typing import Any

import numpy as np

from hessian.errors import DerivativeCheckError, OptionError, message
from hessian.rules.operation import Operation
from hessian.rules.samples import Case, Sample
from hessian.rules.spec import Elementwise, Nondifferentiable
from hessian.transforms.rule_claims import (
    derivatives_continue_to_special_points,
    instances,
    pattern_covers,
    second_partials_are_the_slopes_of_the_first,
)
from hessian.transforms.rule_reach import (
    arrays_of_other_sizes_agree,
    partials_hold_far_away,
    unlisted_arguments_do_not_matter,
    values_keep_the_precision,
)
from hessian.transforms.rule_trials import trials_of_row
from hessian.transforms.rule_walk import PROPERTIES


def check_rule(row: Operation, *args: Any, **settings: Any) -> None:
    r"""Try everything that the rule of an operation has to satisfy.

    Value and dtype; the pushforward against differences of the function, the pullback against the pushforward; second and third
    order against differences of the order below, along three paths; batches against loops; float32, in the value too; arguments that
    stay as they are; recorded functions; the sparsity that the row says; that arguments called ``ZERO`` or ``NONDIFF`` do not matter.

    Of a function of elements also: that ``d2`` is complete, that derivatives at 0, 1, -1 and its special ``points`` are the limits of those
    around, and first and second partials at 96 places: of the declared ``domain``, also close to its ends, or else of magnitudes 1e-4 to
    1e4 and both signs. Of any other also: first and second order at 0.01, 30, -1 and -30 times the arguments, where it is finite.

    Parameters
    ----------
    row : Operation
        Made by :func:`hessian.custom_rule`.
    *args : arrays
        Arguments to try it at; a function of elements is tried on arrays of several shapes drawn from its ``domain``, too. Whole
        numbers and masks are constants.
    **settings
        Passed on by keyword.

    Returns
    -------
    None
        What holds is not spoken of.

    Raises
    ------
    DerivativeCheckError
        Something does not hold: what, at which arguments, and why it matters.
    OptionError
        ``row`` is no rule, or there is nothing to try it at.

    Notes
    -----
    Cost: some hundred calls of the function; arguments of some ten numbers are best. Kinks within 0.01 of the arguments look like wrong
    derivatives. What is wrong only beyond the places named above or in a
    narrow strip between them, and digits that formulas lose far away by cancellation, are not seen.

    Examples
    --------
    >>> import numpy as np, hessian as hs
    >>> area = hs.custom_rule(lambda a, b: a * b, name="area", d1=[lambda y, a, b: b, lambda y, a, b: a])
    >>> hs.check_rule(area)
    >>> wrong = hs.custom_rule(lambda a, b: a * b, name="wrong", d1=[lambda y, a, b: b, lambda y, a, b: b])
    >>> hs.check_rule(wrong)
    Traceback (most recent call last):
    ...
    hessian.errors.DerivativeCheckError: custom.wrong((3,4),(3,4)): the tangent is ...
    """
    if not isinstance(row, Operation) or isinstance(row, Nondifferentiable):
        what = f"the first argument is {row!r}, not a rule with derivatives"
        raise OptionError(message("check_rule", what, fix="Pass what hs.custom_rule has returned"))
    given = [Case(tuple(map(_sample, args)), settings)] if args else []
    trials = trials_of_row(row, given)
    if isinstance(row, Elementwise) and args:
        trials += trials_of_row(row)
    if not trials:
        raise OptionError(
            message(
                "check_rule", f"there is nothing to try {row.name} at", fix="Pass arguments: hs.check_rule(row, a, b)"
            )
        )
    for trial in trials:
        for holds in (*PROPERTIES, values_keep_the_precision):
            _tried(holds, trial)
        if not isinstance(row, Elementwise):
            _tried(arrays_of_other_sizes_agree, trial)
        for one in _tried(instances, trial):
            if one.row is row:
                _tried(pattern_covers, one)
    _tried(unlisted_arguments_do_not_matter, row, args, settings or dict(getattr(row, "variants", [{}])[0]))
    if isinstance(row, Elementwise):
        _tried(second_partials_are_the_slopes_of_the_first, row)
        _tried(derivatives_continue_to_special_points, row)
        for params in [settings] if settings else row.variants:
            _tried(partials_hold_far_away, row, params, True)


_UNDECLARED = "(It is taken to be smooth from -2 to 2: domain= says where it is.)"


def _tried(check: Any, subject: Any, *more: Any) -> Any:
    """Return the result of a check; what it meets with is an error of the rule."""
    try:
        return check(subject, *more)
    except DerivativeCheckError as error:
        row = getattr(subject, "row", subject)
        if isinstance(row, Elementwise) and not row.declares_domain and "domain=" not in str(error):
            raise DerivativeCheckError(f"{error} {_UNDECLARED}") from None
        raise
    except Exception as error:
        what = f"trying whether {check.__name__.replace('_', ' ')} raised {type(error).__name__}: {error}"
        raise DerivativeCheckError(message(getattr(subject, "name", str(subject)), what)) from error


def _sample(x: Any) -> Any:
    """Return an argument as what is drawn for it: itself."""
    array = np.asarray(x)
    return Sample(array.shape, make=lambda rng: array.copy()) if array.dtype.kind == "f" else x
