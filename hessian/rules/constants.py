"""Values that are taken as constants where they stand: steps chosen by a controller, shifts that cancel."""

from __future__ import annotations

from typing import Any

import numpy as np

from hessian.rules.spec import Nondifferentiable, register

held_op: Nondifferentiable = register(Nondifferentiable("held", np.positive))


def held(x: Any) -> Any:
    """Return the number without its derivative; a recording still knows what it depends on."""
    return held_op(x)
