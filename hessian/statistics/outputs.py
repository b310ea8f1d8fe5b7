"""What a function of the parameters returns, as a vector and back."""

from __future__ import annotations

from typing import Any

import numpy as np

from hessian.tape.trees import flatten, join_vector, split_vector


class Outputs:
    """A number, an array or a container of arrays.

    Attributes
    ----------
    vector : ndarray, shape (m,)
        Raveled, in double precision.
    """

    def __init__(self, value: Any) -> None:
        leaves, self._structure = flatten(value)
        self._shapes = [np.shape(leaf) for leaf in leaves]
        self.vector = np.asarray(join_vector([np.asarray(leaf, dtype=np.float64) for leaf in leaves]))

    def structured(self, vector: np.ndarray) -> Any:
        """Give a vector the structure of the value."""
        return self._structure.build([piece[()] for piece in split_vector(vector, self._shapes)])
