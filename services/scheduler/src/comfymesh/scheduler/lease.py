"""The lease by which one of several schedulers acts and the others stand by.

It is for order and speed, not for safety: two who act at once can't do harm, since every append to the task log is
guarded. The rules are in `domain/candidacy.py`; this is their IO.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable
from types import TracebackType
from typing import Self

from comfymesh.bus import subjects
from comfymesh.bus.port import Bus, BusError, Entry, Message, SequenceConflictError, Subscription
from comfymesh.bus.streams import LEASES
from comfymesh.runtime.background import Background
from comfymesh.runtime.faultpoints import FaultPoint, reached
from comfymesh.runtime.health import HEALTH
from comfymesh.scheduler.domain.candidacy import Candidacy, Look, Step, Take, Terms, Wait

logger = logging.getLogger(__name__)

_ROLE = "scheduler"
_RETRY_SECONDS = 0.1
_RELEASE_SECONDS = 1.0


class Lease:
    """Competes for the lease while it is entered.

    `leading` may be asked at any time and is right even after the process was held up for long. Who wants to act on a
    change waits for `changed`.

    Args:
        bus: Where the lease is.
        holder: Name of this process; no other may have it, not even its own next life.
        terms: Time limits; the same for all who compete.
        clock: Answers seconds of a monotonic clock; the system's where there is none.
    """

    def __init__(
        self,
        bus: Bus,
        holder: str,
        terms: Terms | None = None,
        clock: Callable[[], float] | None = None,
    ) -> None:
        self._bus = bus
        self._holder = holder
        self._terms = terms or Terms()
        self._clock = clock or time.monotonic
        self._candidacy = Candidacy(holder, self._terms)
        self._subject = subjects.lease(_ROLE)
        self._stirred = asyncio.Event()
        self._told = 0
        self._change = asyncio.Event()
        self._subscription: Subscription | None = None
        self._work = Background()
        self.failed = self._work.failed

    async def __aenter__(self) -> Self:
        """Begin to compete."""
        self._subscription = await self._bus.subscribe(self._subject, self._hear)
        self._work.spawn(self._compete(), "lease")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop, and let another take over at once."""
        await self._work.close()
        self._candidacy.refused()
        self._change.set()
        if self._subscription is not None:
            await self._subscription.close()
        await self._release()

    @property
    def leading(self) -> bool:
        """Whether this process acts."""
        return self._candidacy.leads(self._clock())

    async def changed(self) -> bool:
        """Wait until `leading` is other than this answered last (at first: other than False), and answer what it is.

        Where it was lost and won again meanwhile, both are told, one after the other.
        """
        while self._reign == self._told:
            self._change.clear()
            await self._change.wait()
        self._told = 0 if self._told else self._reign
        return self._told > 0

    @property
    def _reign(self) -> int:
        return self._candidacy.reign(self._clock())

    def _hear(self, message: Message) -> None:
        # Only a hint that there may be something to see, and lost hints do no harm: the lease is looked at anyway.
        if message.data.decode(errors="replace") != self._holder:
            self._stirred.set()

    async def _compete(self) -> None:
        reign = 0
        while True:
            await self._step()
            before, reign = reign, self._reign
            if reign != before:
                said = "this scheduler leads" if reign else "this scheduler stands by"
                logger.info(said, extra={"action": "lease_changed", "holder": self._holder, "leading": reign > 0})
                self._change.set()

    async def _step(self) -> None:
        step = self._candidacy.next(self._clock())
        try:
            async with asyncio.timeout(self._patience(step)):
                match step:
                    case Look():
                        await self._look()
                    case Take(after):
                        await self._take(after)
                    case Wait():
                        await self._stirred.wait()
                        self._stirred.clear()
                        await self._look()
        except TimeoutError:
            if isinstance(step, Take):
                self._candidacy.unsure()
        except BusError as error:
            logger.debug("the lease can't be reached: %s", error)
            if isinstance(step, Take):
                self._candidacy.unsure()
            await asyncio.sleep(_RETRY_SECONDS)

    def _patience(self, step: Step) -> float:
        """How long a step may last. One that leads looks up again at the moment at which it must not any more."""
        now = self._clock()
        if isinstance(step, Wait):
            return step.until - now
        return self._candidacy.lapses - now if self._candidacy.leads(now) else self._terms.ttl

    async def _look(self) -> None:
        last = await self._bus.last(LEASES, self._subject)
        HEALTH.well("lease")
        sequence, named = (last.sequence, last.data.decode(errors="replace")) if last else (0, "")
        self._candidacy.saw(sequence, named, self._clock())

    async def _take(self, after: int) -> None:
        sent = self._clock()
        try:
            (sequence,) = await self._bus.append([Entry(self._subject, self._holder.encode(), after)])
        except SequenceConflictError:
            self._candidacy.refused()
        else:
            reached(FaultPoint.LEASE_TAKEN)
            HEALTH.well("lease")
            self._candidacy.took(sequence, sent)

    async def _release(self) -> None:
        """Say that nobody holds the lease, if we do. Where that fails, the others wait until it has expired."""
        with contextlib.suppress(BusError, TimeoutError):
            async with asyncio.timeout(_RELEASE_SECONDS):
                last = await self._bus.last(LEASES, self._subject)
                if last is not None and last.data == self._holder.encode():
                    await self._bus.append([Entry(self._subject, b"", last.sequence)])
