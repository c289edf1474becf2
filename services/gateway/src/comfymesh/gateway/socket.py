"""One socket of a client: what it says, and what it is sent (ComfyUI protocol notes, section 7)."""

from __future__ import annotations

import asyncio
import json
import logging

from aiohttp import WSCloseCode, WSMsgType, web

from comfymesh.comfyui.frames import preview_frame, preview_frame_with_metadata
from comfymesh.gateway.domain.marks import client_mark
from comfymesh.gateway.domain.narrator import Shown
from comfymesh.gateway.domain.outbox import Outbox

logger = logging.getLogger(__name__)

MOST_SAID_BYTES = 64 * 1024
"""Clients say little: which features they have."""

_MOST_SAID = 1_000
_SEND_SECONDS = 30.0
_STALE = {"progress", "progress_state"}


class Socket:
    """A socket that is open.

    Args:
        connection: Its connection.
        client_id: Whose it is.
        features: What the server can do.
    """

    def __init__(self, connection: web.WebSocketResponse, client_id: str, features: dict[str, object]) -> None:
        self._connection = connection
        self._features = features
        self._outbox = Outbox()
        self._news = asyncio.Event()
        self._wants_metadata = False
        self._end: tuple[int, str] | None = None
        self.client_id = client_id
        self.mark = client_mark(client_id)

    def tell(self, kind: str, data: object) -> None:
        """Have an event sent."""
        about = (kind, data.get("prompt_id")) if kind in _STALE and isinstance(data, dict) else None
        self._put(json.dumps({"type": kind, "data": data}), about)

    def show(self, shown: Shown, *, with_metadata: bool) -> None:
        """Have a preview sent, in the way that the client knows."""
        if with_metadata and self._wants_metadata:
            frame = preview_frame_with_metadata(shown.picture, shown.metadata, shown.media_type)
        else:
            frame = preview_frame(shown.picture, shown.media_type)
        self._put(frame, ("preview", shown.metadata["prompt_id"]))

    def end(self, why: str) -> None:
        """Have the socket closed; its client may come back."""
        self._end = WSCloseCode.TRY_AGAIN_LATER, why[:100]
        self._news.set()

    def _put(self, message: str | bytes, slot: tuple[str, object] | None) -> None:
        self._outbox.put(message, slot)
        if self._outbox.too_slow:
            self._end = WSCloseCode.POLICY_VIOLATION, "too slow a reader"
        self._news.set()

    async def serve(self) -> None:
        """Listen and send, until the socket is closed."""
        sending = asyncio.ensure_future(self._send())
        listening = asyncio.ensure_future(self._listen())
        try:
            await asyncio.wait({sending, listening}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (sending, listening):
                task.cancel()
            await asyncio.gather(sending, listening, return_exceptions=True)
            code, why = self._end or (WSCloseCode.OK, "")
            await self._connection.close(code=code, message=why.encode(), drain=False)

    async def _send(self) -> None:
        while self._end is None:
            self._news.clear()
            while self._end is None and (message := self._outbox.take()) is not None:
                try:
                    async with asyncio.timeout(_SEND_SECONDS):
                        if isinstance(message, bytes):
                            await self._connection.send_bytes(message)
                        else:
                            await self._connection.send_str(message)
                except TimeoutError:
                    self._end = WSCloseCode.POLICY_VIOLATION, "too slow a reader"
                except ConnectionError:
                    return
            if self._end is None:
                await self._news.wait()

    async def _listen(self) -> None:
        is_first = True
        said = 0
        async for message in self._connection:
            said += 1
            if said > _MOST_SAID:
                self._end = WSCloseCode.POLICY_VIOLATION, "too many messages"
                return
            if message.type is not WSMsgType.TEXT:
                continue
            try:
                spoken = json.loads(message.data)
            except (ValueError, RecursionError):
                continue
            if is_first and isinstance(spoken, dict) and spoken.get("type") == "feature_flags":
                asked = spoken.get("data")
                self._wants_metadata = isinstance(asked, dict) and bool(asked.get("supports_preview_metadata"))
                self.tell("feature_flags", self._features)
            is_first = False
