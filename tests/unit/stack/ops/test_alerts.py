"""What people are told is written down, from both who tell."""

from __future__ import annotations

import asyncio
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from comfymesh.stack.ops.alerts import Message, inbox, page
from comfymesh.stack.receiving import receiving


def rule(name: str, *states: str) -> dict[str, Any]:
    alerts = [
        {
            "state": state,
            "labels": {"severity": "error"},
            "annotations": {"summary": f"{name} is so.", "runbook_url": f"docs/alerts.md#{name}"},
        }
        for state in states
    ]
    return {"name": name, "alerts": alerts}


def test_messages_and_what_fires_are_told() -> None:
    told = page(
        [Message(107.5, "[ERROR] task-failed", "first\nsecond")],
        [rule("hot", "firing", "pending"), rule("cold", "pending"), {"name": "a recording"}],
        since=100.0,
    )
    assert told.splitlines() == [
        "What the notifier told (1 messages)",
        "    7.5 s  [ERROR] task-failed",
        "    first",
        "    second",
        "",
        "What fires in Prometheus at the end (1 alerts)",
        "  [ERROR] hot: hot is so. What to do: docs/alerts.md#hot",
    ]


def test_silence_is_told() -> None:
    assert page([], [], since=0.0).count("  nothing") == 2


@pytest.mark.asyncio
async def test_an_inbox_takes_what_a_channel_sends() -> None:
    async with inbox() as taking, aiohttp.ClientSession() as session:
        url = taking.address.replace("json://", "http://")
        async with session.post(url, json={"title": "a title", "message": "a text"}) as answer:
            assert answer.status == 200
    assert [(message.title, message.text) for message in taking.messages] == [("a title", "a text")]


@pytest.mark.asyncio
async def test_a_request_that_is_never_answered_holds_no_server_up() -> None:
    taken = asyncio.Event()

    async def take(_: web.Request) -> web.Response:
        taken.set()
        await asyncio.Event().wait()
        raise AssertionError

    async with aiohttp.ClientSession() as session:
        async with receiving(take) as port:
            asking = asyncio.create_task(session.get(f"http://127.0.0.1:{port}/"))
            await taken.wait()
        with pytest.raises(aiohttp.ClientError):
            await asking
