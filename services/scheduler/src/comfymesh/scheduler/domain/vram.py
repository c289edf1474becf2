"""How much GPU memory graphs need: what their callers declare, raised by what is learned from how they went.

Graphs with the same node classes and model files are one *make*; pictures of any size are of it, so the largest counts.
Two things are learned of a make. On each GPU class, the most that was in use while it ran: ComfyUI uses what there is,
so that says nothing of other classes, but it says what is left for others on a GPU that instances share. And how much
was not enough anywhere: what ran out of memory twice goes where there is more than the first or second time, until it
succeeds with less. What others leave on a shared GPU is hardly ever the same twice.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from comfymesh.tasks.record import ModelFile, Requirements

_MOST_MAKES = 20_000
_MOST_CLASSES = 16
"""GPU classes whose peaks are kept of a make: their names are whatever nodes say."""
_ENOUGH = 2
"""Times that a make runs out of so much, or more, before it is believed: the agent frees memory after the first."""
_FORGETS = 8
"""A peak comes down by one in so many parts of what a run needs less: it held what ComfyUI had kept, or was one large
picture among many small ones."""

Make = tuple[tuple[str, ...], tuple[ModelFile, ...]]


def make_of(requirements: Requirements) -> Make:
    """What graphs that need this are, as far as memory goes."""
    return (requirements.node_classes, requirements.models)


@dataclass(slots=True)
class _Learned:
    """What is learned of a make, in bytes.

    Attributes:
        peaks: The most in use while it ran, of late, by GPU class.
        ran_out: Of how much it ran out: the most, in falling order.
        too_little: The most that is known not to be enough; 0 where nothing is.
    """

    peaks: dict[str, int] = field(default_factory=dict)
    ran_out: tuple[int, ...] = ()
    too_little: int = 0


class Needs:
    """What is learned of every make. The one that ran longest ago is forgotten first."""

    def __init__(self) -> None:
        self._known: dict[Make, _Learned] = {}

    def peak(self, make: Make, gpu_class: str) -> int:
        """The most that was in use on such a GPU; 0 where that is not known."""
        known = self._known.get(make)
        return known.peaks.get(gpu_class, 0) if known else 0

    def too_little(self, make: Make) -> int:
        """So much is not enough; 0 where nothing is known."""
        known = self._known.get(make)
        return known.too_little if known else 0

    def ran(self, make: Make, gpu_class: str, available: int, peak: int) -> bool:
        """It succeeded where so much was available, with so much in use. Answers whether `too_little` has changed."""
        known = self._touch(make)
        if peak > 0:
            known = known or self._new(make)
            above = max(known.peaks.pop(gpu_class, 0) - peak, 0)
            known.peaks[gpu_class] = peak + above - above // _FORGETS
            if len(known.peaks) > _MOST_CLASSES:
                del known.peaks[next(iter(known.peaks))]
        if known is None or not available:
            return False
        known.ran_out = tuple(had for had in known.ran_out if had < available)
        return _set(known, min(known.too_little, max(known.ran_out, default=0)))

    def ran_out(self, make: Make, available: int) -> bool:
        """It ran out of memory where so much was available. Answers whether `too_little` has changed."""
        if not available:
            return False
        known = self._touch(make) or self._new(make)
        known.ran_out = tuple(sorted((*known.ran_out, available), reverse=True)[:_ENOUGH])
        enough = known.ran_out[_ENOUGH - 1] if len(known.ran_out) >= _ENOUGH else 0
        return _set(known, max(known.too_little, enough))

    def _touch(self, make: Make) -> _Learned | None:
        """What is known of a make, which has run: it is the last to be forgotten."""
        if (known := self._known.pop(make, None)) is not None:
            self._known[make] = known
        return known

    def _new(self, make: Make) -> _Learned:
        if len(self._known) >= _MOST_MAKES:
            del self._known[next(iter(self._known))]
        learned = self._known[make] = _Learned()
        return learned


def _set(known: _Learned, too_little: int) -> bool:
    changed = known.too_little != too_little
    known.too_little = too_little
    return changed
