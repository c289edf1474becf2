"""Guarded appends, whoever carries them out: a refusal is believed once its reason can be read (docs/adr/0091).

On a cluster, who leads refuses a guarded message also while another one of the same subject is on its way to the copies
(server error 10164). That one can't be read yet, and may come to nothing.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeAlias

from comfymesh.bus import streams
from comfymesh.bus.port import BusUnavailableError, Entry, Message, SequenceConflictError
from comfymesh.bus.streams import Stream
from comfymesh.runtime.faultpoints import FaultPoint, reached

_SECONDS = 5.0
"""For as long as a confirmation is waited for, it is looked what has become of another message."""
_LOOK_SECONDS = 0.05

Propose: TypeAlias = Callable[[Sequence[Entry]], Awaitable[list[int | None]]]
"""Sends messages to be stored; answers their sequences, None for each that was refused by its guard."""

Last: TypeAlias = Callable[[Stream, str], Awaitable[Message | None]]
"""Bus.last."""


async def append(entries: Sequence[Entry], propose: Propose, last: Last) -> list[int]:
    """Bus.append of a bus that has these two."""
    stored = [
        await _insist(entry, propose, last) if sequence is None else sequence
        for entry, sequence in zip(entries, await propose(entries), strict=True)
    ]
    reached(FaultPoint.APPEND_CONFIRMED)
    return stored


async def _insist(entry: Entry, propose: Propose, last: Last) -> int:
    """Propose again what was refused, until it is stored or something else can be read in its place."""
    stream, clock = streams.of(entry.subject), asyncio.get_running_loop().time
    end = clock() + _SECONDS
    while clock() < end:
        there = await last(stream, entry.subject)
        if entry.expected != (there.sequence if there else 0):
            raise SequenceConflictError(entry, there)
        await asyncio.sleep(_LOOK_SECONDS)
        (sequence,) = await propose([entry])
        if sequence is not None:
            return sequence
    raise BusUnavailableError(f"{entry.subject} is being changed, and nobody confirms it; try again")
