"""Mutants of parameters that are held, of profiles, and of tests of hypotheses."""

from __future__ import annotations

from mutants.mutant import Mutant

_HELD = "tests/test_fixed.py"
_PROFILES = "tests/test_profile.py"
_TESTS = "tests/test_hypotheses.py"
_LAPLACE = "tests/test_laplace.py"
_REPORTS = "tests/test_laplace_reports.py"

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
    Mutant("statistics/selection.py", "next(given) if chosen else leaf", "leaf if chosen else leaf", _LAPLACE),
    Mutant("statistics/structured.py", "beside = len(precision) - len(self._values)", "beside = 1", _LAPLACE),
    Mutant("statistics/structured.py", "np.maximum(1.0 - np.sum(squares, axis=1), 0.0)", "1.0", _LAPLACE),
    Mutant("statistics/structured.py", "sizes**2, 0.0, 0.0", "sizes, 0.0, 0.0", _LAPLACE),
    Mutant("statistics/structured.py", "if inside.max() > inside.min():", "if False:", _LAPLACE),
    Mutant(
        "statistics/structured.py",
        "block.eigenvalues.ravel().astype(np.float64) / one",
        "block.eigenvalues.ravel()",
        _LAPLACE,
    ),
    Mutant("statistics/laplace_curvature.py", "eigenvalues=scale * block", "eigenvalues=1.0 * block", _LAPLACE),
    Mutant(
        "statistics/laplace_curvature.py",
        "places = np.searchsorted(chosen.places, block.places)",
        "places = block.places",
        _LAPLACE,
    ),
    Mutant("statistics/laplace_result.py", "0.5 - 0.5 * self.prior.precision", "0.5 - self.prior.precision", _LAPLACE),
    Mutant("statistics/evidence.py", "if np.any(relative < -len(relative)", "if False and (-len(relative)", _LAPLACE),
    Mutant(
        "statistics/evidence.py", "max(8.0 * rounding * largest, -float(relative.min(initial=0.0)))", "0.0", _REPORTS
    ),
    Mutant("statistics/prior.py", "precision[places] = given[places]", "precision[:] = given", _REPORTS),
    Mutant("statistics/laplace_curvature.py", "if found.values[0] < -(1.0 + slack):", "if False:", _REPORTS),
    Mutant(
        "statistics/laplace_curvature.py",
        "if found.values[0] < -(1.0 + slack):",
        "if found.values[0] < -1.0:",
        _REPORTS,
    ),
    Mutant(
        "statistics/laplace_curvature.py",
        "pairs.vectors, max(float(values[0]), 0.0), floor)",
        "pairs.vectors, 0.0)",
        _REPORTS,
    ),
    Mutant("statistics/class_prediction.py", "- covariance - covariance.swapaxes(1, 2)", "", _REPORTS),
    Mutant(
        "statistics/class_prediction.py", "+ _probabilities(table) * gains.sum(axis=1, keepdims=True)", "", _REPORTS
    ),
    Mutant("statistics/class_prediction.py", "if len(shape) == 1 and inputs and", "if False and", _REPORTS),
    Mutant("statistics/example_jacobians.py", "np.sqrt(rows**2 @ variances)", "(rows**2 @ variances)", _REPORTS),
    Mutant("operators/kfac.py", "flat = flat.astype(np.float64, copy=False)", "pass", _REPORTS),
    Mutant("statistics/evidence.py", "labels[place] = number", "labels[place] = 1", _LAPLACE),
    Mutant("statistics/class_prediction.py", "math.pi / 8.0 * variances", "math.pi / 4.0 * variances", _LAPLACE),
    Mutant("statistics/class_prediction.py", "/ math.sqrt(n_samples)", "", _LAPLACE),
    Mutant(
        "statistics/example_jacobians.py",
        "return bool(np.all(np.abs(found - wanted) <=",
        "return True or bool(np.all(np.abs(found - wanted) <=",
        _LAPLACE,
    ),
    Mutant("operators/kronecker.py", "self._check_apart(model, params, where)", "pass", "tests/test_kfac.py"),
]
