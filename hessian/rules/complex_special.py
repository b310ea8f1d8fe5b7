"""Special functions of complex numbers: those of SciPy whose derivatives are made of functions that it evaluates for them, too."""

from __future__ import annotations

from typing import Any

from hessian.rules import integrals, special, special_functions  # noqa: F401  # whose rows are to be there
from hessian.rules.complex_elementwise import expm1, holomorphic, log1p
from hessian.rules.pairs import Parts, joined, of_complex, parts_of
from hessian.rules.spec import OPERATIONS, Elementwise


def _slope(row: Any) -> Any:
    """Return the derivative that a row declares, of complex numbers."""
    formula = getattr(row.d1[0], "formula", row.d1[0])

    def slope(a: Parts) -> Parts:
        z = joined(*a)
        return parts_of(formula(row(z), z))

    return slope


for _name in ("erf", "erfc", "erfi", "dawsn", "exp1", "expi", "spence"):
    _row: Any = OPERATIONS[_name]
    assert isinstance(_row, Elementwise)
    holomorphic(_row, _slope(_row), domain=[(0.3, 1.5), (0.2, 1.0)])
of_complex(OPERATIONS["scipy_log1p"])(log1p)
of_complex(OPERATIONS["scipy_expm1"])(expm1)
