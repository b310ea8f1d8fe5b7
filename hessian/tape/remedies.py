"""What to write instead of an operation that is not finite somewhere, or whose derivatives are not."""

from __future__ import annotations

_BOTH = "The inner np.where keeps 0 * inf out of recorded programs, and out of the gradients of other libraries"


def _guard(call: str, test: str, safe: str = "1.0", value: str = "0.0") -> str:
    """Return the guard with a safe argument inside and the value of the excluded place outside."""
    return f"Write ok = {test}; np.where(ok, {call.format(f'np.where(ok, x, {safe})')}, {value}). {_BOTH}"


_LARGE = (
    "Numbers leave the range of floating point there: work with logarithms (hs.special.logsumexp, hs.special.log_softmax, "
    "np.logaddexp(0, x) for log(1 + exp(x))), or rescale"
)
_NORM = (
    "A norm has no derivative at zero. Write s = np.sum(x**2); ok = s > 0; np.where(ok, np.sqrt(np.where(ok, s, 1.0)), 0.0), or "
    "np.sqrt(np.sum(x**2) + eps**2) with a small eps"
)
_SINGULAR = "The matrix is singular there, or nearly: add a multiple of the identity"
_LOGARITHM = "; for x log(x) use scipy.special.xlogy(x, x)"

ZERO_DIVISOR = (
    "The divisor does not depend on x: it is zero data, or the number of elements of a mean over nothing. Divide where it is not zero, "
    "and ask for the size first"
)
COMPLEX = ("_real", "_imag")
"""Ends of the names of operations that are the parts of one on complex numbers."""
_LINES = {
    "std(": "A standard deviation has no derivative where all elements are equal. Write np.sqrt(np.var(x) + eps**2) with a small eps",
    "corrcoef(": "Elements that are all equal have no correlation: leave out such rows",
}
"""Of functions that are made of others, by what the line calls."""

_REMEDIES = {
    "sqrt": _guard("np.sqrt({})", "x > 0"),
    "cbrt": _guard("np.cbrt({})", "x != 0"),
    "power": _guard("{} ** p", "x > 0"),
    "float_power": _guard("{} ** p", "x > 0"),
    **{name: _guard(f"np.{name}({{}})", "x > 0") + _LOGARITHM for name in ("log", "log2", "log10")},
    "log1p": _guard("np.log1p({})", "x > -1", "0.0"),
    "divide": _guard("y / {}", "x != 0"),
    "reciprocal": _guard("1 / {}", "x != 0"),
    **{name: _guard(f"np.{name}({{}})", "np.abs(x) < 1", "0.0") for name in ("arcsin", "arccos", "arctanh")},
    "arccosh": _guard("np.arccosh({})", "x > 1", "2.0"),
    "arctan2": _guard("np.arctan2(y, {})", "(x != 0) | (y != 0)"),
    **dict.fromkeys(("norm", "length", "unit", "hypot"), _NORM),
    **dict.fromkeys(("solve", "inv", "inverse", "logabsdet", "cholesky"), _SINGULAR),
    "exp": _LARGE,
    "modulus": (
        "np.abs(z) has no derivative at zero. Write s = z.real**2 + z.imag**2; ok = s > 0; np.where(ok, np.sqrt(np.where(ok, s, 1.0)), 0.0)"
    ),
}


def remedy(operation: str, order: int, size: float, line: str = "") -> str:
    """Return what to write instead of an operation that is not finite, or whose derivative is not, at operands of a size."""
    name = operation.rstrip("0123456789").rstrip("_") if "_" in operation else operation
    if size > 1e30 or (name.startswith(("exp", "sinh", "cosh")) and size > 50):
        return _LARGE
    if name.endswith(COMPLEX):
        call = name.rpartition("_")[0]
        if call in ("log", "log2", "log10", "sqrt"):
            return _guard(f"np.{call}({{}})", "z != 0").replace("np.where(ok, x,", "np.where(ok, z,")
    if name in ("sqrt", "divide") and size == 0.0:
        for call, fix in _LINES.items():
            if call in line:
                return fix
    generic = _guard("f({})", "a mask of the elements away from there", "a safe number", "the value there")
    return _REMEDIES.get(name, generic)
