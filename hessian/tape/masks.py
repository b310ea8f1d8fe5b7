"""Which elements join an input to an output: those of branches not taken do not."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from hessian.tape.steps import Reach, Step


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

    __slots__ = ("_fixed", "_useful", "_varied", "outputs", "steps")

    def __init__(
        self, steps: list[tuple[int, tuple[int, ...], Step]], outputs: Sequence[int | None], *, fixed: bool
    ) -> None:
        self.steps = steps
        self._fixed = fixed
        self.outputs = outputs
        self._useful: dict[int, np.ndarray | None] | None = None
        self._varied: dict[int, np.ndarray | None] = {}

    def mask_dead_branches(self) -> None:
        """Zero the infinite partials of elements that join no input to any output.

        A zero is only as good as the partial it meets: 0 * inf is NaN. Where ``where``, a mask or an index did not select
        an element, or selected a constant in its place, its derivative is zero whatever its partial is.
        """
        for slot, sources, step in self.steps:
            if step.needs_mask():
                mask, varied = self.useful_mask(slot), self.varied_masks(sources)
                if mask is not None or varied is not None:
                    step.restrict(mask, varied)

    def reach(self, slot: int, sources: Sequence[int]) -> Reach:
        """Return what says later which elements of an instruction and its operands matter."""
        return _Reach(self, slot, sources)

    def _find(self) -> None:
        if self._useful is None:
            self._useful = self._find_useful()
            self._varied = self._find_varied()

    def varied_masks(self, sources: Sequence[int]) -> list[np.ndarray | None] | None:
        """Return which elements of operands vary with some input; ``None`` means all."""
        self._find()
        masks = [self._varied.get(source) for source in sources]
        return None if all(mask is None for mask in masks) else masks

    def useful_mask(self, slot: int) -> np.ndarray | None:
        """Return which elements of a slot lie between some input and some output; ``None`` means all."""
        self._find()
        assert self._useful is not None
        useful, varied = self._useful.get(slot), self._varied.get(slot)
        if useful is None or varied is None:
            return varied if useful is None else useful
        return useful & varied

    def _find_useful(self) -> dict[int, np.ndarray | None]:
        """Carry masks of the elements that matter from the outputs back through every step."""
        useful: dict[int, np.ndarray | None] = {slot: None for slot in self.outputs if slot is not None}
        for slot, sources, step in reversed(self.steps):
            if slot not in useful:
                continue
            reached = step.reached(useful[slot]) if self._fixed else useful[slot]
            for source, mask in zip(sources, step.useful_operands(reached), strict=True):
                if source not in useful:
                    useful[source] = mask
                else:
                    known = useful[source]
                    useful[source] = None if known is None or mask is None else known | mask
        return useful

    def _find_varied(self) -> dict[int, np.ndarray | None]:
        """Carry masks of the elements that vary from the inputs forward through every step."""
        varied: dict[int, np.ndarray | None] = {}
        for slot, sources, step in self.steps:
            result = step.varied_result([varied.get(source) for source in sources])
            varied[slot] = step.reached(result) if self._fixed else result
        return varied


class _Reach:
    """What lies between inputs and outputs of an instruction and its operands, found when it is asked for."""

    __slots__ = ("_masks", "_slot", "_sources")

    def __init__(self, masks: Masks, slot: int, sources: Sequence[int]) -> None:
        self._masks, self._slot, self._sources = masks, slot, sources

    def __call__(self) -> np.ndarray | None:
        return self._masks.useful_mask(self._slot)

    def varied(self) -> list[np.ndarray | None] | None:
        return self._masks.varied_masks(self._sources)
