"""Parsers of command-line options shared by the benchmark commands."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterable
from difflib import get_close_matches
from pathlib import Path


def names(noun: str, known: Iterable[str], *, none: bool = False) -> Callable[[str], list[str]]:
    """Return the parser of a comma-separated list of known names."""
    known = list(known)

    def parse(text: str) -> list[str]:
        found = list(dict.fromkeys(name.strip() for name in text.split(",") if name.strip()))
        if none and found == ["none"]:
            return []
        if not found:
            raise argparse.ArgumentTypeError(f"no {noun} named; known: {', '.join(known)}")
        for name in found:
            if name not in known:
                close = get_close_matches(name, known, n=1)
                hint = f"did you mean {close[0]!r}? " if close else ""
                raise argparse.ArgumentTypeError(f"unknown {noun} {name!r}; {hint}known: {', '.join(known)}")
        return found

    return parse


def positive_int(text: str) -> int:
    """Parse an integer of at least 1."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number of at least 1")
    return int(text)


def writable_path(text: str) -> Path:
    """Parse a file name in a folder that exists, before minutes of measuring rather than after."""
    path = Path(text)
    if not path.parent.is_dir():
        raise argparse.ArgumentTypeError(f"folder {str(path.parent)!r} does not exist; create it first")
    if path.is_dir():
        raise argparse.ArgumentTypeError(f"{text!r} is a folder; name a file")
    return path


def add_measuring(parser: argparse.ArgumentParser, *, rounds: int = 15) -> None:
    """Add the options of every command that times in rounds: how long, from which seed, and where numbers go."""
    add = parser.add_argument
    add("--rounds", type=positive_int, default=rounds, metavar="N", help=f"interleaved rounds (default: {rounds})")
    add(
        "--budget",
        type=float,
        default=10.0,
        metavar="SECONDS",
        help="time after which a slow participant sits out the rounds past the third (default: 10)",
    )
    add("--seed", type=int, default=0, metavar="N", help="seed of data, parameters and turns (default: 0)")
    add("--json", type=writable_path, metavar="FILE", help="write every raw number to FILE")


def add_names(parser: argparse.ArgumentParser, option: str, noun: str, known: Iterable[str], text: str) -> None:
    """Add an option that takes some of the known names, by default all."""
    known = list(known)
    parser.add_argument(option, type=names(noun, known), default=known, metavar="LIST", help=f"{text} (default: all)")
