"""Which elements join an input to an output: those of branches not taken do not."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from hessian.core.steps import Reach, Step


class Masks:
    """Masks of the elements of a tape that matter, found when somebody asks.

    They know the steps, and no sweep: what a sweep keeps may ask for masks, and is freed with it.

    Parameters
    ----------
    steps : list of (slot, sources, step)
    outputs : sequence of int or None
    fixed : bool
        Whether constants of the tape are constants of the function. A cotangent that is held fixed is none: a zero in it
        says nothing about what it is next to the point.
    """

    __slots__ = ("_fixed", "_live", "_varying", "outputs", "steps")

    def __init__(
        self, steps: list[tuple[int, tuple[int, ...], Step]], outputs: Sequence[int | None], *, fixed: bool
    ) -> None:
        self.steps = steps
        self._fixed = fixed
        self.outputs = outputs
        self._live: dict[int, np.ndarray | None] | None = None
        self._varying: dict[int, np.ndarray | None] = {}

    def mask_dead_branches(self) -> None:
        """Zero the infinite partials of elements that join no input to any output.

        A zero is only as good as the partial it meets: 0 * inf is NaN. Where ``where``, a mask or an index did not select
        an element, or selected a constant in its place, its derivative is zero whatever its partial is.
        """
        for slot, sources, step in self.steps:
            if step.needs_mask():
                mask, varying = self.live_mask(slot), self.varying_masks(sources)
                if mask is not None or varying is not None:
                    step.restrict(mask, varying)

    def reach(self, slot: int, sources: Sequence[int]) -> Reach:
        """Return what says later which elements of an instruction and its operands matter."""
        return _Reach(self, slot, sources)

    def _find(self) -> None:
        if self._live is None:
            self._live = self._find_live()
            self._varying = self._find_varying()

    def varying_masks(self, sources: Sequence[int]) -> list[np.ndarray | None] | None:
        """Return which elements of operands vary with some input; ``None`` means all."""
        self._find()
        masks = [self._varying.get(source) for source in sources]
        return None if all(mask is None for mask in masks) else masks

    def live_mask(self, slot: int) -> np.ndarray | None:
        """Return which elements of a slot lie between some input and some output; ``None`` means all."""
        self._find()
        assert self._live is not None
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
            reached = step.reached(live[slot]) if self._fixed else live[slot]
            for source, mask in zip(sources, step.live_operands(reached), strict=True):
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
            result = step.varying_result([varying.get(source) for source in sources])
            varying[slot] = step.reached(result) if self._fixed else result
        return varying


class _Reach:
    """What lies between inputs and outputs of an instruction and its operands, found when it is asked for."""

    __slots__ = ("_masks", "_slot", "_sources")

    def __init__(self, masks: Masks, slot: int, sources: Sequence[int]) -> None:
        self._masks, self._slot, self._sources = masks, slot, sources

    def __call__(self) -> np.ndarray | None:
        return self._masks.live_mask(self._slot)

    def varying(self) -> list[np.ndarray | None] | None:
        return self._masks.varying_masks(self._sources)
