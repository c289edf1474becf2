"""What an api has read before anybody is let in."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any, cast

import pytest

from comfymesh.api.sources import Sources
from comfymesh.testkit.waiting import until

READ = ("directory.ready", "assets.ready", "shelf.ready", "fleet.caught_up", "fleet.intents_read", "hub.ready")


@pytest.mark.parametrize("late", READ)
async def test_nobody_is_let_in_before_all_has_been_read(late: str) -> None:
    read = {name: asyncio.Event() for name in READ}
    looked = asyncio.Event()

    async def look() -> bool:
        looked.set()
        return True

    parts: dict[str, Any] = {part: SimpleNamespace() for part in ("log", "model", "lag")}
    for name, event in read.items():
        part, _, attribute = name.partition(".")
        setattr(parts.setdefault(part, SimpleNamespace(looked=look)), attribute, event)
        if name != late:
            event.set()
    ready = asyncio.ensure_future(cast("Any", Sources)(**parts).ready(asyncio.Event(), asyncio.Event()))
    for _ in range(50):
        await asyncio.sleep(0)
    assert not ready.done()
    assert not looked.is_set()
    read[late].set()
    await until(ready.done, "the end of the start")
    assert looked.is_set()
