"""The server as a cluster: a guarded message is on its way to the copies first (docs/adr/0091).

Meanwhile who leads refuses any other guarded message on its subject, and whoever reads finds the one before it. It may
come to nothing, as when the leader dies.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Sequence

from comfymesh.bus.port import BusUnavailableError, Entry
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

    async def propose(self, entries: Sequence[Entry]) -> list[int | None]:
        """See guards.Propose. Goes on without whoever has called."""
        if not self._rough.replicating or all(entry.expected is None for entry in entries):
            return await super().propose(entries)
        sent = [entry for entry in entries if not self._refuses(entry)]
        guarded = {entry.subject for entry in sent if entry.expected is not None}
        self._on_their_way |= guarded
        on_its_way = begin(self._replicate(sent, guarded))
        await asyncio.wait([on_its_way], timeout=TIMEOUT)
        stored = on_its_way.result() if on_its_way.done() else None
        if stored is None:
            raise BusUnavailableError("the simulated copies do not confirm it")
        return [stored.get(entry) for entry in entries]

    def _refuses(self, entry: Entry) -> bool:
        if entry.expected is None:
            return False
        return entry.subject in self._on_their_way or entry.expected != self.last_sequence(entry.subject)

    async def _replicate(self, entries: Sequence[Entry], guarded: set[str]) -> dict[Entry, int | None] | None:
        """The sequences of what is stored in the end, None where nothing is."""
        rough, rng = self._rough, self._rng
        try:
            if guarded and rng.random() < rough.forsaken:
                await asyncio.sleep(rng.uniform(0.0, TIMEOUT))
                return None
            if guarded:
                await asyncio.sleep(exponential(rng) * rough.replicating)
            return dict(zip(entries, await super().propose(entries), strict=True))
        finally:
            self._on_their_way -= guarded
