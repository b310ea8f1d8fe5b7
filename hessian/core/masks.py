"""Which elements join an input to an output: those of branches not taken do not."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from hessian.core.steps import Step


class Masks:
    """Masks of the elements of a tape that matter, found when somebody asks.

    They know the steps, and no sweep: what a sweep keeps may ask for masks, and is freed with it.
    """

    __slots__ = ("_live", "_varying", "outputs", "steps")

    def __init__(self, steps: list[tuple[int, tuple[int, ...], Step]], outputs: Sequence[int | None]) -> None:
        self.steps = steps
        self.outputs = outputs
        self._live: dict[int, np.ndarray | None] | None = None
        self._varying: dict[int, np.ndarray | None] = {}

    def mask_dead_branches(self) -> None:
        """Zero the infinite partials of elements that join no input to any output.

        A zero is only as good as the partial it meets: 0 * inf is NaN. Where ``where``, a mask or an index did not select
        an element, or selected a constant in its place, its derivative is zero whatever its partial is.
        """
        for slot, _, step in self.steps:
            if step.needs_mask():
                mask = self.live_mask(slot)
                if mask is not None:
                    step.restrict(mask)

    def live_mask(self, slot: int) -> np.ndarray | None:
        """Return which elements of a slot lie between some input and some output; ``None`` means all."""
        if self._live is None:
            self._live = self._find_live()
            self._varying = self._find_varying()
        live, varying = self._live.get(slot), self._varying.get(slot)
        if live is None or varying is None:
            return varying if live is None else live
        return live & varying

    def _find_live(self) -> dict[int, np.ndarray | None]:
        """Carry masks of the elements that matter from the outputs back through every step."""
        live: dict[int, np.ndarray | None] = {slot: None for slot in self.outputs if slot is not None}
        for slot, sources, step in reversed(self.steps):
            if slot not in live:
                continue
            for source, mask in zip(sources, step.live_operands(live[slot]), strict=True):
                if source not in live:
                    live[source] = mask
                else:
                    known = live[source]
                    live[source] = None if known is None or mask is None else known | mask
        return live

    def _find_varying(self) -> dict[int, np.ndarray | None]:
        """Carry masks of the elements that vary from the inputs forward through every step."""
        varying: dict[int, np.ndarray | None] = {}
        for slot, sources, step in self.steps:
            varying[slot] = step.varying_result([varying.get(source) for source in sources])
        return varying
