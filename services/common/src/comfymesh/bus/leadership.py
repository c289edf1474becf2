"""On a cluster: an answer is believed of a leader that has heard from most copies lately (docs/adr/0092).

A leader that is cut off from the copies goes on to answer reads for up to twenty seconds, while they have another one
and store what it has never seen.
"""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, TypeAlias

from comfymesh.bus.api import ApiError
from comfymesh.bus.port import BusUnavailableError

Call: TypeAlias = Callable[[str, dict[str, Any]], Awaitable[dict[str, Any]]]
"""Api.call."""

AskLeader: TypeAlias = Callable[[str, str, dict[str, Any]], Awaitable[dict[str, Any]]]
"""Leadership.ask."""

_ELECTION = 4.0
"""So long at least does a copy wait after its leader's last word before it wants to lead (nats-server, raft.go,
`minElectionTimeout`). Leaders send one a second (`hbInterval`)."""
_HEARD = 2.0
"""A leader that has not heard from a copy for longer may have lost it. The last word of an idle one is a second old."""
_WAY = 0.5
"""For what is on its way between servers."""
_LEASE = _ELECTION - _HEARD - _WAY
_SETTLE = 1.5
"""Two may answer when a leader that was cut off comes back: until it has heard of the other, within a second."""
_LOOK_AGAIN = 0.25
_PATIENCE = 5.0


class Term:
    """What is known of who leads a stream. Pure; times are of one monotonic clock, in seconds."""

    def __init__(self) -> None:
        self._leader: str | None = None
        self._since = float("-inf")
        self.until = float("-inf")

    def holds(self, now: float) -> bool:
        """Whether an answer that is asked for now, and has come before `until`, is not of one that was replaced."""
        return self._since <= now < self.until

    def wait(self, now: float) -> float:
        """How long to wait before the next look."""
        return max(self._since - now, _LOOK_AGAIN if self._leader == "" else 0.0)

    def told(self, cluster: Mapping[str, Any], asked: float, now: float) -> None:
        """Take in what was told at `now` of a stream's cluster, by one who leads or believes so."""
        leader = str(cluster.get("leader", "")) if _hears_most(cluster) else ""
        if self._leader not in (None, leader):
            self._since = now + _SETTLE
        self._leader = leader
        self.until = asked + _LEASE if leader else float("-inf")


def _hears_most(cluster: Mapping[str, Any]) -> bool:
    """Whether more than half of all copies, the leader's own among them, have been heard of lately."""
    copies = cluster.get("replicas") or []
    heard = [copy for copy in copies if copy["active"] < _HEARD * 1e9]
    return len(heard) + 1 > (len(copies) + 1) // 2


class Leadership:
    """Asks leaders of streams.

    Args:
        call: The JetStream API.
        clock: Answers seconds of a monotonic clock.
    """

    def __init__(self, call: Call, clock: Callable[[], float] = time.monotonic) -> None:
        self._call = call
        self._clock = clock
        self._terms = defaultdict[str, Term](Term)
        self._looking = defaultdict[str, asyncio.Lock](asyncio.Lock)

    async def ask(self, stream: str, method: str, body: dict[str, Any]) -> dict[str, Any]:
        """Call a method that the leader of a stream answers. What was confirmed before is in the answer.

        Raises:
            BusUnavailableError: nobody answers who surely leads.
            ApiError: the leader refused.
        """
        deadline = self._clock() + _PATIENCE
        while self._clock() < deadline:
            until = await self._sure(stream, deadline)
            refusal, answer = None, dict[str, Any]()
            try:
                answer = await self._call(method, body)
            except ApiError as error:
                refusal = error
            if self._clock() >= until:
                continue  # It took so long that another may lead by now.
            if refusal is not None:
                raise refusal
            return answer
        raise _unsure(stream)

    async def _sure(self, stream: str, deadline: float) -> float:
        """Look until somebody surely leads; answers until when. One looks for all who ask meanwhile."""
        term = self._terms[stream]
        if term.holds(self._clock()):
            return term.until
        async with self._looking[stream]:
            while not term.holds(self._clock()):
                if self._clock() >= deadline:
                    raise _unsure(stream)
                await asyncio.sleep(term.wait(self._clock()))
                asked = self._clock()
                info = await self._call(f"STREAM.INFO.{stream}", {})
                term.told(info.get("cluster", {}), asked, self._clock())
        return term.until


def _unsure(stream: str) -> BusUnavailableError:
    return BusUnavailableError(
        f"who leads {stream} has not heard from most copies for {_HEARD:g} s, so others may lead it; try again"
    )
