"""Snapshots of streams, as NATS makes and takes them: sequences, times and marks come back exactly as they were.

The server sends a snapshot (its own files, packed) in pieces to a subject and waits, a window ahead, for each to be
acknowledged; a restore is the same the other way. nats-py offers neither, so the requests are made here
(`$JS.API.STREAM.SNAPSHOT`, `$JS.API.STREAM.RESTORE`; nats-server, server/jetstream_api.go).
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

from comfymesh.backup.errors import BackupError
from comfymesh.backup.plan import Found
from comfymesh.bus.api import NO_STREAM, Api, ApiError
from comfymesh.bus.client import Delivery
from comfymesh.bus.connection import Connection

_CHUNK_BYTES = 128 * 1024
_SILENCE_SECONDS = 30.0
_ALL_SENT = frozenset({0, 204})
"""How the last, empty piece ends a snapshot: servers before 2.12 say nothing with it."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A stream that is being read: its configuration, what it holds, and its pieces, to be read once."""

    config: dict[str, Any]
    state: dict[str, Any]
    pieces: AsyncIterator[bytes]


class Snapshots:
    """Takes and restores snapshots.

    Args:
        connection: An open connection.
        timeout: How long to wait for an answer, in seconds.
    """

    def __init__(self, connection: Connection, timeout: float = _SILENCE_SECONDS) -> None:
        self._connection = connection
        self._api = Api(connection, timeout)
        self._timeout = timeout

    async def found(self, stream: str) -> Found | None:
        """A stream as it is; None where there is none.

        Raises:
            BusError: no answer, or a refusal.
        """
        try:
            return Found.of(await self._api.call(f"STREAM.INFO.{stream}", {}))
        except ApiError as error:
            if error.code != NO_STREAM:
                raise
            return None

    @asynccontextmanager
    async def take(self, stream: str) -> AsyncIterator[Snapshot]:
        """Read a stream as it is now, while others write to it.

        Raises:
            BusError: no answer, or a refusal.
        """
        inbox, arrived = f"_INBOX.backup.{uuid4().hex}", asyncio.Queue[Delivery]()
        subscription = await self._connection.subscribe(inbox, arrived.put_nowait)
        try:
            request = {"deliver_subject": inbox, "no_consumers": True, "chunk_size": _CHUNK_BYTES, "jsck": True}
            answer = await self._api.call(f"STREAM.SNAPSHOT.{stream}", request)
            yield Snapshot(answer["config"], answer["state"], self._pieces(stream, arrived))
        finally:
            await subscription.close()

    async def _pieces(self, stream: str, arrived: asyncio.Queue[Delivery]) -> AsyncIterator[bytes]:
        number = 0
        while True:
            try:
                piece = await asyncio.wait_for(arrived.get(), self._timeout)
            except TimeoutError:
                raise _broken(stream, f"nothing came for {self._timeout:g} s") from None
            if not piece.data:
                if piece.status not in _ALL_SENT:
                    raise _broken(stream, f"the server ended it with status {piece.status}")
                return
            number += 1
            # The subject of the acknowledgement ends with the piece's number.
            if (tail := piece.reply.rpartition(".")[2]).isdecimal() and int(tail) != number:
                raise _broken(stream, f"piece {number} is missing")
            yield piece.data
            if piece.reply:  # the last one has none
                await self._connection.publish(piece.reply, b"")

    async def restore(self, stream: str, config: dict[str, Any], state: dict[str, Any], data: Iterable[bytes]) -> Found:
        """Make a stream from a snapshot; answers it as it is then.

        Raises:
            BusError: no answer, or a refusal.
            BackupError: the server did not take it.
        """
        answer = await self._api.call(f"STREAM.RESTORE.{stream}", {"config": config, "state": state})
        for whole in data:
            for start in range(0, len(whole), _CHUNK_BYTES):
                await self._send(stream, answer["deliver_subject"], whole[start : start + _CHUNK_BYTES])
        made = await self._send(stream, answer["deliver_subject"], b"")
        return Found.of(made)

    async def _send(self, stream: str, subject: str, data: bytes) -> dict[str, Any]:
        delivery = await self._api.request(subject, data)
        answer: dict[str, Any] = json.loads(delivery.data) if delivery.data else {}
        if (error := answer.get("error")) is not None:
            raise BackupError("RESTORE_REFUSED", f"NATS does not take {stream}: {error.get('description')}")
        return answer

    async def remove(self, stream: str) -> None:
        """Remove a stream with all that it holds.

        Raises:
            BusError: no answer, or a refusal.
        """
        await self._api.call(f"STREAM.DELETE.{stream}", {})


def _broken(stream: str, why: str) -> BackupError:
    return BackupError("SNAPSHOT_BROKEN", f"the snapshot of {stream} broke off, {why}: try again")
