"""The order in which waiting tasks come: how many are before one, without counting them. Pure."""

from __future__ import annotations

from bisect import bisect_left, insort

Turn = tuple[int, float]
"""When a waiting task's turn comes: its priority, negated, and the time of its creation. Lower ones come first."""

_BLOCK = 1000


class Line:
    """Turns in order, in blocks, so that neither a change nor a question touches more than a thousandth of them."""

    def __init__(self) -> None:
        self._blocks: list[list[Turn]] = []

    def add(self, turn: Turn) -> None:
        """A task has begun to wait."""
        if not self._blocks:
            self._blocks.append([])
        index = min(self._block(turn), len(self._blocks) - 1)
        block = self._blocks[index]
        insort(block, turn)
        if len(block) > 2 * _BLOCK:
            self._blocks[index : index + 1] = [block[:_BLOCK], block[_BLOCK:]]

    def remove(self, turn: Turn) -> None:
        """A task that was added waits no longer."""
        index = self._block(turn)
        block = self._blocks[index]
        del block[bisect_left(block, turn)]
        if not block:
            del self._blocks[index]

    def before(self, turn: Turn) -> int:
        """How many turns come before this one."""
        index = self._block(turn)
        within = bisect_left(self._blocks[index], turn) if index < len(self._blocks) else 0
        return sum(map(len, self._blocks[:index])) + within

    def _block(self, turn: Turn) -> int:
        """The first block that does not lie before `turn` as a whole."""
        return bisect_left(self._blocks, turn, key=_last)


def _last(block: list[Turn]) -> Turn:
    return block[-1] if block else (0, 0.0)
