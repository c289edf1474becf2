"""The server as a cluster: a guarded message is on its way to the copies first (docs/adr/0091).

Meanwhile who leads refuses any other guarded message on its subject, and whoever reads finds the one before it. It may
come to nothing, as when the leader dies.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Sequence

from comfymesh.bus.port import BusUnavailableError, Entry, SequenceConflictError
from comfymesh.testkit.simulation.bus import TIMEOUT, Roughness, SimulatedServer, begin
from comfymesh.testkit.simulation.chance import exponential


class SimulatedCluster(SimulatedServer):
    """See the module. Where `rough` replicates nothing, it is like one server.

    Args:
        clock: Answers seconds since the epoch.
        rough: How long messages are on their way, and how often they come to nothing.
        rng: Decides which do.
    """

    def __init__(self, clock: Callable[[], float], rough: Roughness, rng: random.Random) -> None:
        super().__init__(clock)
        self._rough = rough
        self._rng = rng
        self._on_their_way = set[str]()

    async def append(self, entries: Sequence[Entry]) -> list[int]:
        """See Bus.append. Goes on without whoever has called."""
        if not self._rough.replicating or all(entry.expected is None for entry in entries):
            return await super().append(entries)
        refused = [entry for entry in entries if self._refuses(entry)]
        sent = [entry for entry in entries if entry not in refused]
        guarded = {entry.subject for entry in sent if entry.expected is not None}
        self._on_their_way |= guarded
        on_its_way = begin(self._replicate(sent, guarded))
        if refused:
            raise SequenceConflictError(refused[0].subject, refused[0].expected or 0)
        await asyncio.wait([on_its_way], timeout=TIMEOUT)
        stored = on_its_way.result() if on_its_way.done() else None
        if stored is None:
            raise BusUnavailableError("the simulated copies do not confirm it")
        return stored

    def _refuses(self, entry: Entry) -> bool:
        if entry.expected is None:
            return False
        return entry.subject in self._on_their_way or entry.expected != self.last_sequence(entry.subject)

    async def _replicate(self, entries: Sequence[Entry], guarded: set[str]) -> list[int] | None:
        """The sequences of what is stored in the end, None where it is not."""
        rough, rng = self._rough, self._rng
        try:
            if guarded and rng.random() < rough.forsaken:
                await asyncio.sleep(rng.uniform(0.0, TIMEOUT))
                return None
            if guarded:
                await asyncio.sleep(exponential(rng) * rough.replicating)
            return await super().append(entries)
        except SequenceConflictError:
            return None  # What it builds on was in the server's memory, and is forgotten.
        finally:
            self._on_their_way -= guarded
