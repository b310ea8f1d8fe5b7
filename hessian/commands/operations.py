"""``hessian operations``: what works on traced values, all of it or what is asked for."""

from __future__ import annotations

import argparse
import fnmatch
from typing import Any

from hessian.commands.coverage import STATES, coverage, verdicts
from hessian.commands.output import as_json, say
from hessian.commands.parser import no_such
from hessian.errors import OptionError, message
from hessian.rules.catalogue import catalogue


def run_operations(args: argparse.Namespace) -> int:
    """Print the catalogue of derivative rules, or those that match; return the exit code."""
    is_filtered = args.name is not None or args.module is not None or args.state is not None
    if args.markdown:
        if is_filtered or args.json:
            raise OptionError(message("operations", "--markdown is the whole page", fix="Leave the other options out"))
        print(coverage(), end="")
        return 0
    rows = matching(args.name, args.module, None if args.state is None else args.state.replace("-", " "))
    if args.json:
        say(as_json(rows))
    elif not is_filtered:
        print(catalogue())
    else:
        width = max(len(row["name"]) for row in rows)
        for row in rows:
            print(f"{row['name']:<{width}}  {row['state']:<14}  {row['remarks']}".rstrip())
    return 0


def matching(name: str | None, module: str | None, state: str | None) -> list[dict[str, Any]]:
    """Return what is known of the callables that match.

    Raises
    ------
    OptionError
        None does.
    """
    every = verdicts()
    modules = sorted({row["module"] for row in every})
    if module is not None and not any(_is_in(one, module) for one in modules):
        raise OptionError(message("operations", no_such("module", module, modules)))
    rows = [row for row in every if module is None or _is_in(row["module"], module)]
    rows = [row for row in rows if state is None or row["state"] == state]
    found = rows if name is None else [row for row in rows if _fits(name, row["name"])]
    if not found:
        among = "".join(f" in {module}" * (module is not None)) + (f" that is {state}" if state else "")
        last = [row["name"].rpartition(".")[2] for row in rows]
        nearest = no_such("operation", name, last).partition(". ")[2] if name is not None else ""
        fix = (
            nearest if nearest.startswith("Did") else f"`hessian operations` lists all; states are {', '.join(STATES)}"
        )
        named = "" if name is None else f" has {name!r} in its name"
        raise OptionError(message("operations", f"no operation{among}{named or ' is there'}", fix=fix))
    return found


def _is_in(module: str, asked: str) -> bool:
    """Whether a module is the one asked for or in it, with or without the first name."""
    return module == asked or module.startswith(f"{asked}.") or module.endswith(f".{asked}")


def _fits(pattern: str, name: str) -> bool:
    """Whether a name holds a text, or is what a pattern with * or ? stands for."""
    pattern = pattern.lower().removeprefix("np.").removeprefix("sc.")
    if any(sign in pattern for sign in "*?["):
        return fnmatch.fnmatch(name.lower(), pattern) or fnmatch.fnmatch(name.lower().rpartition(".")[2], pattern)
    return pattern in name.lower()
