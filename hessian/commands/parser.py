"""The parser of the command line: errors of one line that name what was meant, and help that shows every default."""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NoReturn

from hessian.arguments import did_you_mean

EXIT_USAGE = 2


class _Help(argparse.RawDescriptionHelpFormatter):
    """Help whose descriptions keep their lines, with room for the names of options."""

    def __init__(self, prog: str) -> None:
        super().__init__(prog, max_help_position=30)


class Parser(argparse.ArgumentParser):
    """An ``ArgumentParser`` that answers a wrong argument by one line."""

    def __init__(self, *args: Any, **keywords: Any) -> None:
        super().__init__(*args, **{"formatter_class": _Help, **keywords})
        self.example = ""
        self.commands: dict[str, Parser] = {}

    def error(self, message: str) -> NoReturn:
        """Print one line and exit with 2."""
        line = " ".join(message.split())
        if self.example and "required: " in line:
            line += f". For example: {self.example}"
        self.exit(EXIT_USAGE, f"{self.prog}: error: {_ended(line)} `{self.prog} --help` lists what there is.\n")

    def parse_args(self, args: Any = None, namespace: Any = None) -> Any:
        """Parse, and name what was meant by an option that does not exist."""
        given = list(sys.argv[1:] if args is None else args)
        found, rest = self.parse_known_args(given, namespace)
        if not rest:
            return found
        parser = self.commands.get(getattr(found, "command", None) or "", self)
        parser.error(_unknown(rest, parser.flags()))

    def flags(self) -> list[str]:
        """Return the long names of all options."""
        return [flag for action in self._actions for flag in action.option_strings if flag.startswith("--")]

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        if action.choices is not None and value not in action.choices:
            kind = "command" if isinstance(action, argparse._SubParsersAction) else "choice"
            raise argparse.ArgumentError(None if kind == "command" else action, no_such(kind, value, action.choices))


def no_such(kind: str, value: Any, known: Iterable[str]) -> str:
    """Say that a name does not exist, which do, and which was meant."""
    names = list(known)
    return f"there is no {kind} {value!r}. {did_you_mean(value, names) or 'There are ' + ', '.join(names)}"


def _ended(text: str) -> str:
    return text if text.endswith(("?", "!", ".")) else f"{text}."


def _unknown(rest: Sequence[str], flags: list[str]) -> str:
    """Say which argument nobody takes, and which was meant."""
    first = next((one for one in rest if one.startswith("-")), rest[0])
    if not first.startswith("-"):
        return f"unexpected argument {first!r}"
    return f"there is no option {first.partition('=')[0]}. {did_you_mean(first.partition('=')[0], flags)}".strip()


def add(group: Any, flag: str, text: str, **keywords: Any) -> None:
    """Add one option whose help ends in its default, unless it says one itself; a switch has none."""
    if "choices" in keywords:
        keywords |= {"metavar": "NAME", "choices": list(keywords["choices"])}
    if keywords.get("action") != "store_true" and "(default" not in text:
        default = keywords.get("default")
        shown = " ".join(map(str, default)) if isinstance(default, list) else default
        text += f" (default: {'none' if shown is None or shown == '' else shown})"
    group.add_argument(flag, help=text, **keywords)


def setting(text: str) -> tuple[str, Any]:
    """Parse NAME=VALUE, the value as JSON where it is, else as text."""
    name, equals, value = text.partition("=")
    if not equals or not name.isidentifier():
        raise argparse.ArgumentTypeError(f"{text!r} is not of the form NAME=VALUE")
    try:
        return name, json.loads(value)
    except json.JSONDecodeError:
        return name, value


def at_least(kind: Callable[[str], float], lowest: float) -> Callable[[str], float]:
    """Parser of a finite number that is at least ``lowest``."""

    def parse(text: str) -> float:
        try:
            number = kind(text)
        except ValueError:
            name = {"int": "whole number", "float": "number"}[kind.__name__]
            raise argparse.ArgumentTypeError(f"{text!r} is no {name}") from None
        if not (lowest <= number < float("inf")):
            raise argparse.ArgumentTypeError(f"{text} is out of range: pass a finite number >= {lowest}")
        return number

    return parse


def fraction(text: str) -> float:
    """Parse a number strictly between 0 and 1."""
    number = at_least(float, 0.0)(text)
    if not 0 < number < 1:
        raise argparse.ArgumentTypeError(f"{text} is out of range: pass a share between 0 and 1, such as 0.25")
    return number


def names_from(known: Sequence[str]) -> Callable[[str], Sequence[str]]:
    """Parser of a comma-separated list of names."""

    def parse(text: str) -> Sequence[str]:
        found = list(dict.fromkeys(name.lower() for name in re.split(r"[,\s]+", text) if name))
        for name in found:
            if name not in known:
                raise argparse.ArgumentTypeError(no_such("method", name, known))
        if not found:
            raise argparse.ArgumentTypeError(f"no method is named. There are {', '.join(known)}")
        return found

    return parse
