"""Some of the parameters, whole arrays of them, with the others held where they are."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from hessian.errors import OptionError, message
from hessian.tape.names import find_part, parameter_names
from hessian.tape.trees import flatten, ravel


class Selection:
    """Which parameters are uncertain.

    Parameters
    ----------
    x : array or container of float arrays
    only : key, or list of keys, or None
        As :func:`hessian.tape.names.find_part` takes them; ``None`` selects everything.
    where : str
        Of errors.

    Attributes
    ----------
    places : ndarray of int, shape (k,)
        Of the selected numbers in the raveled x, ascending.
    order : int
        n, how many numbers x has.
    free : array or container
        x itself where everything is selected, else the list of the selected arrays.
    """

    def __init__(self, x: Any, only: Any, where: str) -> None:
        vector, unravel = ravel(x)
        self.order = vector.size
        self.is_all = only is None
        self.free = x
        self.places = np.arange(self.order)
        # Arrays as float arrays, in the structure of x.
        self._leaves, self._structure = flatten(unravel(vector))
        if only is None:
            return
        mask = np.zeros(self.order, bool)
        for key in only if isinstance(only, list) else [only]:
            for place in find_part(x, key, where).places:
                mask[place] = True
        sizes = [np.size(leaf) for leaf in self._leaves]
        parts = np.split(mask, np.cumsum(sizes)[:-1])
        self._chosen = [bool(part.any()) for part in parts]
        if any(part.any() != part.all() for part in parts):
            what = f"only={only!r} names a part of an array"
            raise OptionError(message(where, what, "Arrays are held or free as a whole", "Name arrays, or split them"))
        if not mask.any():
            raise OptionError(message(where, "only names no parameter", fix="Name one, or leave only out"))
        self.places = np.flatnonzero(mask)
        self.free = [leaf for leaf, chosen in zip(self._leaves, self._chosen, strict=True) if chosen]

    def names(self, x: Any) -> tuple[str, ...]:
        """Return the names of the selected numbers."""
        names = parameter_names(x)
        return names if self.is_all else tuple(names[place] for place in self.places)

    def function(self, f: Callable[..., Any]) -> Callable[..., Any]:
        """Return a function of the selected arrays."""
        if self.is_all:
            return f

        def of_selected(free: Any, *args: Any) -> Any:
            given = iter(free)
            pairs = zip(self._leaves, self._chosen, strict=True)
            return f(self._structure.build([next(given) if chosen else leaf for leaf, chosen in pairs]), *args)

        return of_selected

    def placed(self, numbers: np.ndarray, fill: float = 0.0) -> np.ndarray:
        """Return numbers of the selected parameters among those of all."""
        found = np.full(self.order, fill)
        found[self.places] = numbers
        return found
