"""The library on recorded functions, which replay a compiled tape."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import scipy

from benchmarks.cases import Case
from benchmarks.peers.base import Contender, one_shot, replayed


class RecordedPeer:
    """`hs.record(f)`, handed to the transforms and the operator; the `first` tasks start from f alone."""

    name = "hessian"

    def __init__(self) -> None:
        import hessian

        self._hs = hessian

    def versions(self) -> dict[str, str]:
        """Return the versions of the library, NumPy and SciPy."""
        own = getattr(self._hs, "__version__", "unknown")
        return {"hessian": own, "numpy": np.__version__, "scipy": scipy.__version__}

    def contenders(self, case: Case) -> list[Contender]:
        """Return one contender per task, and two ways to a first product."""
        hs, fresh, w, v = self._hs, case.bind(np), case.w, case.v

        def repeated() -> Callable[[], Any]:
            linearized = hs.HessianOperator(hs.record(fresh()), w)
            linearized @ w  # what is compared is not the first product
            return lambda: linearized @ v

        def newpoint() -> Callable[[], Any]:
            recorded = hs.record(fresh())
            return replayed(lambda w: hs.hvp(recorded, w, v), case.points())

        return [
            Contender(self.name, "repeated", repeated),
            Contender(self.name, "newpoint", newpoint),
            Contender(
                self.name,
                "gradient",
                lambda: replayed(hs.value_and_grad(hs.record(fresh())), case.points()),
                lambda pair: (np.asarray(pair[0]), pair[1]),
            ),
            Contender(self.name, "dense", lambda: replayed(hs.hessian(hs.record(fresh())), case.points())),
            Contender("hs.hvp", "first", one_shot(lambda: hs.hvp(fresh(), w, v))),
            Contender("hs.record", "first", one_shot(lambda: hs.HessianOperator(hs.record(fresh()), w) @ v)),
        ]
