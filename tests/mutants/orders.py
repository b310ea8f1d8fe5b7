"""Mutants of Taylor arithmetic, implicit functions and the search for numbers that are not finite."""

from __future__ import annotations

from mutants.mutant import Mutant

_TAYLOR, _IMPLICIT, _LOCATE = "tests/test_taylor.py", "tests/test_implicit.py", "tests/test_locate.py"

ORDERS = [
    # Taylor arithmetic.
    Mutant("tape/taylor.py", "for j in range(1, k):", "for j in range(2, k):", _TAYLOR),
    Mutant("tape/taylor.py", "partial[k - j] * x.slope[j - 1]", "partial[k - j] * x[j]", _TAYLOR),
    Mutant("tape/taylor.py", "for i in range(k + 1)]", "for i in range(k)]", _TAYLOR),
    Mutant("tape/taylor.py", "return None if term is None else term / k", "return term", _TAYLOR),
    Mutant("tape/taylor.py", "if selects and suspicious(first):", "if False:", _TAYLOR),
    Mutant("tape/taylor.py", "source >= 0 and last[source] == slot", "source >= 0", _TAYLOR),
    Mutant("tape/taylor.py", "*map(self._key, sources,", "*map(lambda *_: 0, sources,", _TAYLOR),
    Mutant("transforms/higher_order.py", "math.factorial(count) * leaf[-1]", "leaf[-1]", _TAYLOR),
    Mutant("transforms/higher_order.py", "np.array_equal(a, b) for a, b", "np.allclose(a, b) for a, b", _TAYLOR),
    Mutant("transforms/third_order.py", "place[j, i] = place[i, j] =", "place[i, j] =", _TAYLOR),
    # Implicit functions.
    Mutant("optimize/equation.py", "return -inverse_op(_full(", "return inverse_op(_full(", _IMPLICIT),
    Mutant("optimize/equation.py", "transposed=not transposed)", "transposed=transposed)", _IMPLICIT),
    Mutant("optimize/equation.py", "change = -turned if change is None else change - turned", "pass", _IMPLICIT),
    Mutant("optimize/equation.py", "        if isinstance(vector, Traced):", "        if False:", _IMPLICIT),
    Mutant("optimize/equation.py", "not all(map(np.array_equal, last.point, [x, *thetas]))", "False", _IMPLICIT),
    Mutant("optimize/roots.py", "(columns, rows) if transposed else (rows, columns)", "(rows, columns)", _IMPLICIT),
    Mutant("optimize/roots.py", "not left > max(n, 10) * unit", "False", _IMPLICIT),
    Mutant("optimize/roots.py", "                _check_smooth(system, x, factors, near)\n", "", _IMPLICIT),
    Mutant("optimize/implicit.py", "except np.linalg.LinAlgError as error:", "except KeyError as error:", _IMPLICIT),
    # Where numbers stop being finite.
    Mutant("tape/origins.py", "if all(map(_is_finite, inputs)):", "if True:", _LOCATE),
    Mutant("tape/origins.py", "if tried and _count(again) < count:", "if tried:", _LOCATE),
    Mutant("tape/origins.py", "self.lines[slot] = user_line()", 'self.lines[slot] = ""', _LOCATE),
    Mutant("tape/remedies.py", "if size > 1e30 or", "if size > 1e300 or", _LOCATE),
]
