"""Mutants of parameters that are held, of profiles, and of tests of hypotheses."""

from __future__ import annotations

from mutants.mutant import Mutant

_HELD = "tests/test_fixed.py"
_PROFILES = "tests/test_profile.py"
_TESTS = "tests/test_hypotheses.py"

STATISTICS = [
    Mutant("optimize/fixed.py", "vector[order]", "vector", _HELD),
    Mutant("optimize/fixed.py", "item.lb - moved, item.ub - moved", "item.lb, item.ub", _HELD),
    Mutant("optimize/fixed.py", "found[self.free] = free[self.free]", "found[self.held] = free[self.held]", _HELD),
    Mutant("optimize/fixed.py", 'key = ("held", self.held.tobytes(),', 'key = ("held", len(self.held),', _HELD),
    Mutant("statistics/refits.py", "return not exactly or away <= 10.0 * SETTLED", "return True", _PROFILES),
    Mutant("statistics/refits.py", "if values[0] < -_ROUNDING", "if values[0] < -math.inf", _PROFILES),
    Mutant("statistics/refits.py", "(low & (place.gradient > 0.0))", "low", _PROFILES),
    Mutant("statistics/profile_path.py", "if loss < -(1e-7 + 10.0 * self._noise):", "if False:", _PROFILES),
    Mutant("statistics/profile_path.py", "return 0.5 * (low.psi + self._wall)", "return low.psi", _PROFILES),
    Mutant("statistics/profile_path.py", "is_stuck = self._slow >= _PATIENCE", "is_stuck = False", _PROFILES),
    Mutant("statistics/profile_path.py", "last <= max(_FALLING * before, 1e-6)", "True", _PROFILES),
    Mutant(
        "statistics/profile.py",
        "two_sided(level, math.inf if scale else freedom)",
        "two_sided(level)",
        _PROFILES,
    ),
    Mutant("statistics/hypotheses.py", "gain / q / (values[0] / rest)", "gain / (values[0] / rest)", _TESTS),
    Mutant("statistics/hypotheses.py", "statistic / len(gap), len(gap), rest", "statistic, len(gap), rest", _TESTS),
    Mutant("statistics/quadratic_forms.py", "shares * 2.0 * t * values", "shares * t * values", _TESTS),
    Mutant(
        "statistics/delta.py",
        "tail = 0.5 * (1.0 - level) if is_below and is_above",
        "tail = 1.0 - level if is_below and is_above",
        _TESTS,
    ),
]
