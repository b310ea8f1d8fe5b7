"""Names of parameters: those of every number in a container, and the part of a container that a name stands for."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from hessian.arguments import did_you_mean, is_whole
from hessian.errors import OptionError, message
from hessian.tape.trees import Structure, flatten


def parameter_names(x: Any) -> tuple[str, ...]:
    """Name every number of a container as one would write it (``x[3]``, ``layers[0].W[3, 1]``), in the order of the raveled vector.

    Examples
    --------
    >>> parameter_names({"layers": [{"W": np.zeros((1, 2))}], "bias": 0.0})
    ('layers[0].W[0, 0]', 'layers[0].W[0, 1]', 'bias')
    >>> parameter_names(np.zeros(2))
    ('x[0]', 'x[1]')
    >>> parameter_names({"z": np.zeros(2, complex)})
    ('z.real[0]', 'z.real[1]', 'z.imag[0]', 'z.imag[1]')

    Raises
    ------
    OptionError
        Two have one name, as ``{"a.b": 1.0, "a": {"b": 2.0}}`` makes them.
    """
    leaves, structure = flatten(x)
    found = []
    for leaf, path in zip(leaves, _paths(structure, ""), strict=True):
        name = path or "x"
        for index in np.ndindex(np.shape(leaf)):
            found.append(f"{name}[{', '.join(map(str, index))}]" if index else name)
    if len(set(found)) < len(found):
        twice = Counter(found).most_common(1)[0][0]
        what = f"two parameters are called {twice!r}"
        raise OptionError(
            message("parameters", what, "What is said of one would be taken for the other", "Rename a key")
        )
    return tuple(found)


def _paths(structure: Structure, path: str) -> list[str]:
    """Paths of the leaves of a container."""
    if structure.kind is None:
        return [path]
    return [leaf for step, child in _children(structure, path) for leaf in _paths(child, step)]


def _steps(structure: Structure) -> Sequence[Any]:
    """What the parts of a container are called: keys of a dict, fields, positions."""
    if structure.kind is complex:
        return ("real", "imag")
    return structure.keys or getattr(structure.kind, "_fields", ()) or range(len(structure.children))


def _children(structure: Structure, path: str) -> list[tuple[str, Structure]]:
    """Paths of the parts of a container, and what they are."""
    if structure.kind is complex:
        steps = [f"{path or 'x'}.{key}" for key in _steps(structure)]
    elif structure.keys or hasattr(structure.kind, "_fields"):
        steps = [f"{path}.{key}" if path else str(key) for key in _steps(structure)]
    else:
        steps = [f"{path or 'x'}[{i}]" for i in range(len(structure.children))]
    return list(zip(steps, structure.children, strict=True))


@dataclass(frozen=True)
class Part:
    """A part of a container: numbers of one of its arrays, an array, a container inside it, or all of it.

    Attributes
    ----------
    name : str
        As :func:`parameter_names` writes it.
    structure : Structure
        Of a leaf for numbers and arrays.
    places : tuple of ndarray
        Positions of its numbers in the raveled vector, an array of the shape of each leaf.
    """

    name: str
    structure: Structure
    places: tuple[np.ndarray, ...]


def find_part(x: Any, key: Any, where: str) -> Part:
    """Return the part of a container that a key stands for.

    Parameters
    ----------
    x : array or container of arrays
    key : str, or key, position or index, or tuple of them
        A name as :func:`parameter_names` writes them (``"sigma"``, ``"beta[2]"``, ``"layers[0].W[3, 1]"``), or of an array or container
        on the way to one (``"beta"``, ``"layers[0]"``); ranges are those of arrays (``"beta[1:]"``). Or what one would write in
        brackets: a key of a dict, a position in a list or an index into an array, several of them in a tuple (``("beta", 2)``).
    where : str
        Who asks, for errors.

    Raises
    ------
    OptionError
        There is no such part; the nearest name is given.

    Examples
    --------
    >>> x = {"beta": np.zeros(3), "sigma": 1.0}
    >>> [find_part(x, key, "example").places[0].tolist() for key in ("sigma", "beta[1:]", ("beta", -1))]
    [3, [1, 2], 2]
    """
    leaves, structure = flatten(x)
    sizes = [math.prod(np.shape(leaf)) for leaf in leaves]
    starts = np.concatenate([[0], np.cumsum(sizes)])[:-1].astype(int)
    places = [
        start + np.arange(size).reshape(np.shape(leaf)) for start, size, leaf in zip(starts, sizes, leaves, strict=True)
    ]
    whole = Part("x", structure, tuple(places))
    is_key = isinstance(key, Hashable) and key in structure.keys
    if isinstance(key, str) and not is_key:
        return _by_name(whole, key, where)
    part = whole
    steps = key if isinstance(key, tuple) and not is_key else (key,)
    for number, step in enumerate(steps):
        if part.structure.kind is None or (part.structure.kind is complex and not isinstance(step, str)):
            return _indexed(part, steps[number:] if len(steps[number:]) > 1 else step, key, where)
        names = list(_steps(part.structure))
        if step in names:
            position = names.index(step)
        elif _is_position(step, len(names)) and not part.structure.keys:
            position = range(len(names))[step]
        else:
            raise _no_part(whole, key, where)
        part = _child(part, position, "" if part is whole else part.name)
    return part


def _is_position(step: Any, count: int) -> bool:
    return is_whole(step) and bool(-count <= step < count)


def _child(part: Part, position: int, path: str) -> Part:
    """One of the parts of a container."""
    name, child = _children(part.structure, path)[position]
    first = sum(other.count for other in part.structure.children[:position])
    return Part(name, child, part.places[first : first + child.count])


def _parts(part: Part, path: str) -> list[Part]:
    """Every part of a container, itself first."""
    if part.structure.kind is None:
        return [part]
    inner = [_child(part, i, path) for i in range(len(part.structure.children))]
    return [part, *(found for child in inner for found in _parts(child, child.name))]


def _by_name(whole: Part, name: str, where: str) -> Part:
    """Find a part by its name, or numbers of one."""
    parts = _parts(whole, "")
    named = {part.name: part for part in parts}
    if name in named:
        return named[name]
    match = re.fullmatch(r"(.+)\[([^\[\]]*)\]", name)
    if match is None or match[1] not in named or named[match[1]].structure.kind not in (None, complex):
        raise _no_part(whole, name, where)
    index = tuple(_parsed(text, whole, name, where) for text in match[2].split(","))
    return _indexed(named[match[1]], index if len(index) > 1 else index[0], name, where)


def _parsed(text: str, whole: Part, name: str, where: str) -> int | slice:
    """Read a number or a range of an index."""
    numbers = [part.strip() for part in text.split(":")]
    pattern = r"[+-]?\d+" if len(numbers) == 1 else r"([+-]?\d+)?"
    if len(numbers) > 3 or not all(re.fullmatch(pattern, number) for number in numbers):
        raise _no_part(whole, name, where)
    if len(numbers) == 1:
        return int(numbers[0])
    return slice(*(int(number) if number else None for number in numbers))


def _indexed(part: Part, index: Any, key: Any, where: str) -> Part:
    """Numbers of an array; of a complex one their real and imaginary parts."""
    steps = index if isinstance(index, tuple) else (index,)
    is_index = all(is_whole(step) or isinstance(step, slice) for step in steps)
    try:
        chosen = [np.asarray(places[index]) if is_index else np.empty(0, int) for places in part.places]
    except IndexError:
        chosen = [np.empty(0, int)]
    if not chosen[0].size:
        raise _no_part(part, key, where)
    text = ", ".join(_written(step) for step in steps)
    return Part(f"{part.name}[{text}]", part.structure, tuple(chosen))


def _written(step: Any) -> str:
    """An index as it is written."""
    if not isinstance(step, slice):
        return str(int(step))
    ends = ["" if end is None else str(end) for end in (step.start, step.stop)]
    return ":".join([*ends, *([] if step.step is None else [str(step.step)])])


def _no_part(whole: Part, key: Any, where: str) -> OptionError:
    """Build the error for a name that stands for nothing."""
    parts = _parts(whole, "" if whole.name == "x" else whole.name)
    names = [part.name for part in parts]
    shapes = [f"{part.name} of shape {part.places[0].shape}" for part in parts if part.structure.kind is None]
    shown = ", ".join(shapes[:8]) + (", ..." if len(shapes) > 8 else "")
    what = f"there is no parameter {key!r}"
    fix = did_you_mean(key, names) or "Pass a name like 'beta', 'beta[2]' or 'layers[0].W[3, 1]', or a key or an index"
    return OptionError(message(where, what, f"There are {shown}", fix))
