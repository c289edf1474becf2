"""What a node may have had before: attempts that it has ended, and whatever the log had before this life of its agent.

Pure. Sequences are those of the task log, which only grows: no clock is compared with another's.
"""

from __future__ import annotations

from collections import OrderedDict

from comfymesh.tasks.record import Key

_REMEMBERED = 4096

_Name = tuple[Key, int]


class Past:
    """Tells which work is repeated, and which offers this node can't have had before.

    An attempt is offered by one record: the one that says that its task waits for it. So an earlier life can have had
    an attempt only where the log had that record before this life began. What this life has itself stored lies behind
    that, and only whoever leads the log can confirm it; where the log ends might also be answered by a server that was
    cut off and does not know that it leads no more. Of this life, the latest attempts are known by name, and of all
    that were forgotten the highest sequence.

    Args:
        remembered: So many attempts are known by name.
    """

    def __init__(self, remembered: int = _REMEMBERED) -> None:
        self._remembered = remembered
        self._ended: OrderedDict[_Name, int] = OrderedDict()
        self._began: int | None = None
        self._forgotten = 0

    def stored(self, sequence: int) -> None:
        """The log has confirmed a record of this life, at this sequence. Before the first, no offer is fresh."""
        if self._began is None or sequence < self._began:
            self._began = sequence

    def end(self, name: _Name, sequence: int) -> None:
        """An attempt has ended, or was refused, of which a record at `sequence` told: its offer's, or a later one."""
        self._ended[name] = sequence
        while len(self._ended) > self._remembered:
            self._forgotten = max(self._forgotten, self._ended.popitem(last=False)[1])

    def has(self, name: _Name) -> bool:
        """Whether an attempt is known to have ended here."""
        return name in self._ended

    def is_fresh(self, sequence: int) -> bool:
        """Whether this node can't have had an attempt before that is offered by the record at `sequence`."""
        return self._began is not None and sequence > max(self._began, self._forgotten)
