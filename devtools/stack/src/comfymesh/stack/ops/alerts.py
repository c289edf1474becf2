"""What people are told: the notifier's messages, as a receiver of them sees them, and what fires in Prometheus."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

from comfymesh.stack.receiving import receiving


@dataclass(frozen=True, slots=True)
class Message:
    """A message of the notifier: when it came, in seconds since the epoch, and what it says."""

    at: float
    title: str
    text: str


@dataclass(slots=True)
class Inbox:
    """Where a channel of the notifier leads to.

    Attributes:
        address: Of it, as the channel of a rules file has it.
        messages: All that came, in order.
    """

    address: str = ""
    messages: list[Message] = field(default_factory=list)

    async def take(self, request: web.Request) -> web.Response:
        """Take a message in."""
        told = await request.json()
        self.messages.append(Message(time.time(), told["title"], told["message"]))
        return web.Response()


@asynccontextmanager
async def inbox() -> AsyncIterator[Inbox]:
    """Run one on a free port of loopback."""
    made = Inbox()
    async with receiving(made.take) as port:
        made.address = f"json://127.0.0.1:{port}/"
        yield made


def page(messages: Iterable[Message], rules: Iterable[Mapping[str, Any]], since: float) -> str:
    """Both as a text.

    Args:
        messages: What the notifier has sent.
        rules: The rules of Prometheus, as it tells them.
        since: Moments are told as seconds after this one.
    """
    told, firing = list(_messages(messages, since)), list(_firing(rules))
    return "\n".join(
        [
            f"What the notifier told ({len(told)} messages)",
            *(told or ["  nothing"]),
            "",
            f"What fires in Prometheus at the end ({len(firing)} alerts)",
            *(firing or ["  nothing"]),
            "",
        ]
    )


def _messages(messages: Iterable[Message], since: float) -> Iterator[str]:
    for message in messages:
        lines = [
            f"  {message.at - since:5.1f} s  {message.title}",
            *(f"    {line}" for line in message.text.splitlines()),
        ]
        yield "\n".join(lines)


def _firing(rules: Iterable[Mapping[str, Any]]) -> Iterator[str]:
    for rule in rules:
        for alert in rule.get("alerts", ()):
            if alert["state"] == "firing":
                severity, notes = alert["labels"]["severity"].upper(), alert["annotations"]
                yield f"  [{severity}] {rule['name']}: {notes['summary']} What to do: {notes['runbook_url']}"
