"""What the notifier has told and is told: read from the bus, written to the bus. Nothing here decides about alerts."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import TypeVar
from uuid import uuid4

from google.protobuf.message import DecodeError, Message

from comfymesh.api.errors import RefusedError, not_found
from comfymesh.bus import subjects
from comfymesh.bus.port import Bus, Entry
from comfymesh.bus.port import Message as Stored
from comfymesh.bus.streams import ALERTING, ALERTS, Stream
from comfymesh.tasks.moments import seconds, timestamp
from comfymesh.v1 import alert_pb2
from comfymesh.wire.v1 import alerting_pb2

M = TypeVar("M", bound=Message)

_PAGE = 256
_TEST_SECONDS = 25.0
_TITLE = "[INFO] test: this is how alerts of ComfyMesh come here"
_TEXT = "Somebody has tried this channel. There is nothing to do."


class Alerting:
    """Alerts, silences and channels, as the bus has them.

    Args:
        bus: The bus.
        clock: Answers seconds since the epoch.
        test_seconds: How long to wait for what becomes of a test.
    """

    def __init__(self, bus: Bus, clock: Callable[[], float], test_seconds: float = _TEST_SECONDS) -> None:
        self._bus = bus
        self._clock = clock
        self._test_seconds = test_seconds

    def now(self) -> float:
        """The time, seconds since the epoch."""
        return self._clock()

    async def setup(self) -> alerting_pb2.AlertingSetup:
        """The rules and channels of the notifier; empty where none has ever run."""
        return await self._last(alerting_pb2.AlertingSetup, subjects.ALERTING_SETUP)

    async def active(self) -> alerting_pb2.ActiveAlerts:
        """The alerts under way, as the notifier last said."""
        return await self._last(alerting_pb2.ActiveAlerts, subjects.ACTIVE_ALERTS)

    async def notices(
        self, wanted: Callable[[alert_pb2.AlertNotice], bool], size: int, after: int
    ) -> tuple[list[alert_pb2.AlertNotice], int]:
        """Up to `size` notices after a place, with what became of them; and the place to go on, 0 at the end."""
        found = list[alert_pb2.AlertNotice]()
        async for message in every(self._bus, ALERTS, subjects.ALL_NOTICES, after):
            notice = _read(alert_pb2.AlertNotice, message)
            if notice is None or not wanted(notice):
                continue
            if len(found) == size:
                return await self._with_deliveries(found), after
            found.append(notice)
            after = message.sequence
        return await self._with_deliveries(found), 0

    async def acknowledge(self, alert_id: str, by: str) -> None:
        """Note that somebody sees to an alert.

        Raises:
            RefusedError: ALERT_NOT_FOUND.
        """
        name = f"alerts/{alert_id}"
        if not any(alert.name == name for alert in (await self.active()).alerts):
            raise not_found("alert", name)
        told = alerting_pb2.Acknowledgement(acknowledged_by=by, time=timestamp(self._clock()))
        await self._bus.append([Entry(subjects.acknowledgement(alert_id), told.SerializeToString())])

    async def silence(self, silence: alert_pb2.Silence) -> alert_pb2.Silence:
        """Make a silence, whose fields were checked."""
        made = alert_pb2.Silence()
        made.CopyFrom(silence)
        silence_id = uuid4().hex[:12]
        made.name = f"silences/{silence_id}"
        made.create_time.CopyFrom(timestamp(self._clock()))
        if not made.HasField("start_time"):
            made.start_time.CopyFrom(made.create_time)
        await self._bus.append([Entry(subjects.silence(silence_id), made.SerializeToString(), 0)])
        return made

    async def silences(self) -> list[alert_pb2.Silence]:
        """The silences that have not ended, by the time of their end."""
        found = [
            silence
            async for message in every(self._bus, ALERTING, subjects.SILENCES, 0)
            if (silence := _read(alert_pb2.Silence, message)) is not None and self._lasts(silence)
        ]
        return sorted(found, key=lambda silence: seconds(silence.end_time))

    async def unsilence(self, silence_id: str) -> None:
        """End a silence.

        Raises:
            RefusedError: SILENCE_NOT_FOUND.
        """
        subject = subjects.silence(silence_id)
        silence = await self._last(alert_pb2.Silence, subject)
        if not silence.name or not self._lasts(silence):
            raise not_found("silence", f"silences/{silence_id}")
        await self._bus.append([Entry(subject, b"")])

    async def test(self, channel: str) -> alert_pb2.ChannelDelivery:
        """Send a message on a channel; answers what became of it.

        Raises:
            RefusedError: ALERT_CHANNEL_NOT_FOUND, NOTIFIER_SILENT.
        """
        if not any(known.name == channel for known in (await self.setup()).channels):
            raise not_found("alert_channel", f"alertChannels/{channel}")
        notice_id = f"test-{uuid4().hex[:12]}"
        notice = alert_pb2.AlertNotice(
            name=f"alertNotices/{notice_id}",
            kind=alert_pb2.AlertNotice.KIND_TEST,
            severity=alert_pb2.ALERT_SEVERITY_INFO,
            title=_TITLE,
            text=_TEXT,
            channels=[channel],
            create_time=timestamp(self._clock()),
        )
        async with self._heard(subjects.delivered(notice_id, channel)) as told:
            await self._bus.append([Entry(subjects.notice(notice_id), notice.SerializeToString(), 0)])
            try:
                async with asyncio.timeout(self._test_seconds):
                    return alert_pb2.ChannelDelivery.FromString(await told)
            except TimeoutError:
                message = (
                    f"the notifier has not said within {self._test_seconds:g} s what became of it; it does not run, or"
                    " still tries to send an earlier message on this channel"
                )
                waited = {"waited_seconds": f"{self._test_seconds:g}"}
                raise RefusedError("NOTIFIER_SILENT", message, waited) from None

    @asynccontextmanager
    async def _heard(self, subject: str) -> AsyncIterator[asyncio.Future[bytes]]:
        """What is published to a subject first."""
        told: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()

        def hear(message: Stored) -> None:
            if not told.done():
                told.set_result(message.data)

        subscription = await self._bus.subscribe(subject, hear)
        try:
            yield told
        finally:
            told.cancel()
            await subscription.close()

    async def _with_deliveries(self, notices: list[alert_pb2.AlertNotice]) -> list[alert_pb2.AlertNotice]:
        for notice in notices:
            notice_id = notice.name.partition("/")[2]
            where = (subjects.delivered(notice_id, channel) for channel in notice.channels)
            told = await asyncio.gather(*(self._bus.last(ALERTS, subject) for subject in where))
            deliveries = (_read(alert_pb2.ChannelDelivery, message) for message in told if message is not None)
            notice.deliveries.extend(delivery for delivery in deliveries if delivery is not None)
        return notices

    async def _last(self, kind: type[M], subject: str) -> M:
        message = await self._bus.last(ALERTING, subject)
        return (None if message is None else _read(kind, message)) or kind()

    def _lasts(self, silence: alert_pb2.Silence) -> bool:
        return bool(silence.name) and seconds(silence.end_time) > self._clock()


async def every(bus: Bus, stream: Stream, subject: str, after: int) -> AsyncIterator[Stored]:
    """Every message that is stored under a subject, after a place."""
    while messages := await bus.after(stream, subject, after, _PAGE):
        for message in messages:
            yield message
        after = messages[-1].sequence


def _read(kind: type[M], message: Stored) -> M | None:
    try:
        return kind.FromString(message.data)
    except DecodeError:
        return None
