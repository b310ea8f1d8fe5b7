"""Optional packages of the commands, asked for before any work and all at once."""

from __future__ import annotations

import importlib.util

from hessian.errors import MissingDependencyError, message

_NEEDS = {
    "sklearn": ("scikit-learn", "train"),
    "threadpoolctl": ("threadpoolctl", "train"),
    "matplotlib": ("matplotlib", "plot"),
}


def require_extras(command: str, *, plot: bool) -> None:
    """Refuse to begin where packages are missing, in one error that names all of them and the extras that bring them.

    Raises
    ------
    MissingDependencyError
        One is not installed.
    """
    wanted = {name: what for name, what in _NEEDS.items() if plot or name != "matplotlib"}
    missing = [what for name, what in wanted.items() if importlib.util.find_spec(name) is None]
    if missing:
        names = " and ".join(repr(package) for package, _ in missing)
        extras = ",".join(dict.fromkeys(extra for _, extra in missing))
        what = f"the package{'s' * (len(missing) > 1)} {names} {'are' if len(missing) > 1 else 'is'} not installed"
        fix = f'Run: pip install "hessian[{extras}]"'
        if plot and "plot" in extras:
            fix += " (without pictures, --no-plot, no matplotlib is needed)"
        raise MissingDependencyError(message(command, what, fix=fix))
