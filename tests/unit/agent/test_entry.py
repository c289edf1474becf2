"""SIGHUP asks for the settings to be read again. However early it comes, it is never the agent's end."""

from __future__ import annotations

import asyncio
import signal
import sys
import threading
from collections.abc import Iterator
from types import ModuleType

import pytest

from comfymesh.agent import entry, main
from comfymesh.agent.settings import AgentSettings


@pytest.fixture(autouse=True)
def _mask() -> Iterator[None]:
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, set())
    handler = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGHUP, signal.SIG_IGN)  # what may still wait is dropped
    signal.pthread_sigmask(signal.SIG_SETMASK, mask)
    signal.signal(signal.SIGHUP, handler)


def ask_for_a_reload() -> None:
    """Of this thread alone: others of pytest do not hold it back."""
    signal.pthread_kill(threading.get_ident(), signal.SIGHUP)


async def test_a_reload_that_is_asked_for_before_anything_is_imported_is_done(monkeypatch: pytest.MonkeyPatch) -> None:
    imported = ModuleType("comfymesh.agent.main")
    vars(imported)["main"] = ask_for_a_reload
    monkeypatch.setitem(sys.modules, "comfymesh.agent.main", imported)
    monkeypatch.setattr(sys, "argv", ["comfymesh-agent"])
    entry.main()

    async def serve(settings: AgentSettings, stop: asyncio.Event, reload: asyncio.Event) -> None:
        del settings, stop
        await reload.wait()

    monkeypatch.setattr(main, "serve", serve)
    await main._serve(AgentSettings(agent_node="a"), asyncio.Event())
    asyncio.get_running_loop().remove_signal_handler(signal.SIGHUP)


def test_a_command_ends_with_its_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    masks: list[set[int]] = []
    imported = ModuleType("comfymesh.agent.main")
    vars(imported)["main"] = lambda: masks.append(signal.pthread_sigmask(signal.SIG_BLOCK, set()))
    monkeypatch.setitem(sys.modules, "comfymesh.agent.main", imported)
    monkeypatch.setattr(sys, "argv", ["comfymesh-agent", "check"])
    entry.main()
    assert masks == [set()]
