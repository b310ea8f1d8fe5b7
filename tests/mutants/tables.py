"""Mutants of covariances and of tables of fits."""

from __future__ import annotations

from mutants.mutant import Mutant

_KINDS, _SUMMARY, _TIED = (
    f"tests/test_{name}.py" for name in ("covariance_kinds", "summary", "constrained_covariance")
)
_HOSTILE = "tests/test_statistics_hostile.py"

TABLES = [
    Mutant("statistics/robust.py", "scores * np.sqrt(rows / (rows - parameters))", "scores", _KINDS),
    Mutant("statistics/robust.py", 'left if kind == "HC3" else np.sqrt(left)', "left", _KINDS),
    Mutant("statistics/robust.py", "count / (count - 1) *", "", _KINDS),
    Mutant("statistics/robust.py", "    if np.any(left < _WHOLE):", "    if False:", _KINDS),
    Mutant("statistics/optimum.py", "if not missed <= _LEFT * away:", "if False:", _KINDS),
    Mutant(
        "statistics/optimum.py",
        "gradient + scale * np.asarray(operator_at(x) @ (moved - x), np.float64)[free]",
        "0.0",
        _KINDS,
    ),
    Mutant("statistics/optimum.py", "if slopes is not None:", "if False:", _HOSTILE),
    Mutant("statistics/optimum.py", "if max(sides) < _THERE:", "if False:", _HOSTILE),
    Mutant("statistics/robust.py", "    if np.any(lost):", "    if False:", _HOSTILE),
    Mutant("statistics/profile.py", "lower=min(lower.psi, center.psi)", "lower=lower.psi", _HOSTILE),
    Mutant("statistics/families.py", "0.5 + odd", "0.5", _KINDS),
    Mutant("statistics/families.py", "_log1p_rest(u)", "0.0", _KINDS),
    Mutant(
        "statistics/families.py",
        "np.where(low > 0.0, cdf(-low) - cdf(-high), cdf(high) - cdf(low))",
        "cdf(high) - cdf(low)",
        _KINDS,
    ),
    Mutant("statistics/families.py", "<= 1e-9 * size:", "<= 1e9:", _KINDS),
    Mutant("optimize/result.py", "*(names[k] for k in np.flatnonzero(active.fixed))", "", _KINDS),
    Mutant("statistics/covariance.py", "degrees = math.inf if is_robust else freedom", "degrees = math.inf", _KINDS),
    Mutant("statistics/terms.py", "all(other < _WHOLE for _, other in largest)", "True", _SUMMARY),
    Mutant("statistics/terms.py", "elif not shape and name not in _PICKED:", "elif not shape:", _SUMMARY),
    Mutant("statistics/summary.py", "aic=2.0 * k", "aic=2.0 * len(covariance.names)", f"{_SUMMARY} {_TIED}"),
    Mutant("statistics/summary.py", "unravel(2.0 * special", "unravel(special", _SUMMARY),
    Mutant("statistics/tangent.py", "np.where(free, low, x), np.where(free, high, x)", "low, high", _TIED),
    Mutant("statistics/tangent.py", "f(at, *rest) - sum(weight @", "f(at, *rest) - 0.0 * sum(weight @", _TIED),
]
