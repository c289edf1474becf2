"""Servers on loopback that take what the notifier sends, and remember it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

from comfymesh.stack.receiving import receiving
from comfymesh.testkit.waiting import until


@dataclass(frozen=True, slots=True)
class Received:
    """A request that came in."""

    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        """Its body."""
        return json.loads(self.body)


@dataclass
class Receiver:
    """An HTTP server.

    Attributes:
        received: All that came, in order.
        answers: What it answers, one each; then `answer`.
        answer: A status; None to take a request and never answer it.
        body: What it says, JSON or a text.
        headers: With which headers.
    """

    port: int = 0
    received: list[Received] = field(default_factory=list)
    answers: list[int | None] = field(default_factory=list)
    answer: int | None = 200
    body: dict[str, Any] | str = field(default_factory=dict)
    headers: dict[str, str] = field(default_factory=dict)

    @property
    def url(self) -> str:
        """Where it is."""
        return f"http://127.0.0.1:{self.port}"

    async def until_received(self, count: int) -> list[Received]:
        """Wait until so many requests have come."""
        return await until(lambda: self.received if len(self.received) >= count else None, f"{count} requests")

    async def take(self, request: web.Request) -> web.Response:
        """Take a request."""
        self.received.append(
            Received(request.method, request.path, dict(request.query), dict(request.headers), await request.read())
        )
        answer = self.answers.pop(0) if self.answers else self.answer
        if answer is None:
            await asyncio.Event().wait()
        text = self.body if isinstance(self.body, str) else json.dumps(self.body)
        return web.Response(text=text, status=answer or 200, headers=self.headers)


@asynccontextmanager
async def receiver() -> AsyncIterator[Receiver]:
    """Run one."""
    made = Receiver()
    async with receiving(made.take) as made.port:
        yield made
