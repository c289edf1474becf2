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

from comfymesh.bus.api import ApiError, Call
from comfymesh.bus.port import BusUnavailableError

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
"""Two may answer when a leader that was cut off comes back: until it has heard of the other, within a second. But not
where a leader has heard of all: who led before has answered it, so it knows."""
_LOOK_AGAIN = 0.25
_PATIENCE = 5.0


class Term:
    """What is known of who leads a stream. Pure; times are of one monotonic clock, in seconds.

    Attributes:
        since: From when on only who was told of answers. Another moment whenever another leads, or one was doubted.
    """

    def __init__(self) -> None:
        self.since = float("-inf")
        self._leader: str | None = None
        self._asked = float("-inf")

    def holds(self, moment: float, now: float) -> bool:
        """Whether one leads who was asked at `moment` or later, and nobody else answers."""
        return bool(self._leader) and self._asked >= moment and self.since <= now

    def wait(self, now: float) -> float:
        """How long to wait before the next look."""
        return max(self.since - now, _LOOK_AGAIN if self._leader == "" else 0.0)

    def told(self, cluster: Mapping[str, Any], asked: float, now: float) -> None:
        """Take in what was told at `now` of a stream's cluster, by one who leads or believes so."""
        copies = cluster.get("replicas") or []
        heard = sum(map(_is_heard, copies))
        leader = _leader(cluster) if heard + 1 > (len(copies) + 1) // 2 else ""
        if self._leader not in (None, leader):
            self.since = now + (_SETTLE if heard < len(copies) else 0.0)
        self._leader, self._asked = leader, asked


def _leader(cluster: Mapping[str, Any]) -> str:
    """Who leads, and since when, which servers from 2.12 on say: it may have been replaced meanwhile."""
    return f"{leader} {cluster.get('leader_since', '')}" if (leader := cluster.get("leader")) else ""


def _is_heard(copy: Mapping[str, Any]) -> bool:
    """Whether its leader has heard of it lately.

    Of one that it never heard since it was elected, the server says 0 too; but that one lacks what was stored.
    """
    return copy["active"] < _HEARD * 1e9 and (copy["active"] > 0 or bool(copy.get("current")))


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
        while True:
            since = await self._sure(stream, self._clock() - _LEASE, deadline)
            refusal, answer = None, dict[str, Any]()
            try:
                answer = await self._call(method, body)
            except ApiError as error:
                refusal = error
            # It may have taken long. What was told a little before it came, or since, holds for it too.
            if await self._sure(stream, self._clock() - _LEASE, deadline) != since:
                continue
            if refusal is not None:
                raise refusal
            return answer

    async def _sure(self, stream: str, moment: float, deadline: float) -> float:
        """Look until one surely leads who was asked at `moment` or later; answers since when nobody else does.

        One looks for all who want to know meanwhile.
        """
        term = self._terms[stream]
        if term.holds(moment, self._clock()):
            return term.since
        async with self._looking[stream]:
            while not term.holds(moment, self._clock()):
                if self._clock() >= deadline:
                    raise _unsure(stream)
                await asyncio.sleep(term.wait(self._clock()))
                asked = self._clock()
                info = await self._call(f"STREAM.INFO.{stream}", {})
                term.told(info.get("cluster", {}), asked, self._clock())
        return term.since


def _unsure(stream: str) -> BusUnavailableError:
    return BusUnavailableError(
        f"who leads {stream} has not heard from most copies for {_HEARD:g} s, so others may lead it; try again"
    )
