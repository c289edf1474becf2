"""Prompts that an earlier life of this agent has left in a ComfyUI.

A node submits while it claims (ADR 12). So when an agent dies, its ComfyUI may have prompts of which the log knows
nothing, or which it has given to somebody else since. Those that may still become this node's wait for that, and the
others are stopped.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import re
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from comfymesh.agent.comfyui.control import Standing
from comfymesh.agent.comfyui.errors import AnswerTooLarge, ComfyError, ComfyUnreachable
from comfymesh.agent.comfyui.session import ComfySession
from comfymesh.bus.port import BusUnavailableError
from comfymesh.bus.tasklog import TaskLog, UnreadableRecordError
from comfymesh.tasks.record import HELD, Key, State, TaskRecord, prompt_id

logger = logging.getLogger(__name__)

_MARK = "comfymesh"
_TOKEN = re.compile(r"[A-Za-z0-9_-]{1,64}")
_RECENT = (64, 16, 4, 1)
"""So many prompts that have ended are looked at: more than an agent has at a ComfyUI when it dies. Each comes with its
whole graph, some 20 kB. Fewer where that is more than can be read: an instance must come up all the same."""
_LOOK_SECONDS = 1.0

_Attempt = tuple[Key, int]


def mark(key: Key, attempt: int) -> dict[str, Any]:
    """What is submitted beside the graph of an attempt, so that a later life of the agent knows whose the prompt is."""
    return {_MARK: {"tenant": key.tenant, "task": key.task_id, "attempt": attempt}}


def may_become_ours(record: TaskRecord | None, attempt: int, node: str, instance: str) -> bool:
    """Whether the log gives this attempt to the instance, or might yet."""
    if record is None:
        return False
    if record.state is State.QUEUED:
        return record.attempt == attempt - 1
    return record.state in HELD and (record.attempt, record.node, record.instance) == (attempt, node, instance)


class Leftovers:
    """What is left of earlier lives at one instance.

    Args:
        session: With the instance.
        log: Says whose an attempt is.
        node: This node.
        instance: The instance's name.
    """

    def __init__(self, session: ComfySession, log: TaskLog, node: str, instance: str) -> None:
        self._session = session
        self._log = log
        self._place = (node, instance)
        self._found: dict[str, _Attempt] = {}
        self._none = asyncio.Event()
        self._none.set()
        self._retired = False

    async def find(self) -> None:
        """Look for them, before the first prompt of this life.

        Raises:
            ComfyUnreachable, ComfyError: ComfyUI does not say.
        """
        for found, extra_data in (await self._prompts()).items():
            attempt = _read(extra_data)
            # Other people may use the same ComfyUI, and other nodes. The id can't be there by chance.
            if attempt is not None and found == prompt_id(*attempt, *self._place):
                self._found[found] = attempt
        self._tell_whether_none()

    async def _prompts(self) -> dict[str, dict[str, Any]]:
        for recent in _RECENT[:-1]:
            with contextlib.suppress(AnswerTooLarge):
                return await self._session.http.prompts(recent)
        return await self._session.http.prompts(_RECENT[-1])

    def take(self, prompt: str) -> bool:
        """An attempt looks after a prompt from now on. Answers whether it was among the leftovers."""
        taken = self._found.pop(prompt, None) is not None
        self._tell_whether_none()
        return taken

    def retire(self) -> None:
        """The instance takes nothing new: what the log has not given to it yet is not waited for any more."""
        self._retired = True

    def lose(self) -> None:
        """The instance is gone, and they are with it."""
        self._found.clear()
        self._tell_whether_none()

    async def wait_none(self) -> None:
        """Wait until nothing is left."""
        await self._none.wait()

    @property
    def none(self) -> bool:
        """Whether nothing is left."""
        return not self._found

    async def clear(self, sweep: Callable[[Key, int], Awaitable[None]]) -> None:
        """Stop those that are nobody's, until none is left.

        Args:
            sweep: Removes what such an attempt has written.
        """
        while self._found:
            for prompt, (key, attempt) in list(self._found.items()):
                try:
                    await self._look_at(prompt, key, attempt, sweep)
                except (BusUnavailableError, ComfyUnreachable, ComfyError) as error:
                    logger.debug("a prompt that was left behind can't be looked at now: %s", error)
            await asyncio.sleep(_LOOK_SECONDS)

    async def _look_at(self, prompt: str, key: Key, attempt: int, sweep: Callable[[Key, int], Awaitable[None]]) -> None:
        record = await self._record(key)
        waits = record is not None and record.state is State.QUEUED
        wanted = may_become_ours(record, attempt, *self._place) and not (waits and self._retired)
        if wanted or prompt not in self._found:
            return
        if await self._session.look(prompt) in {Standing.PENDING, Standing.RUNNING}:
            fields = {"action": "leftover_stopped", "tenant": key.tenant, "task": key.task_id, "attempt": attempt}
            logger.info("stopping a prompt that an earlier life of this agent has left behind", extra=fields)
            await self._session.cancel(prompt)
            return  # Whether that took hold is seen the next time.
        await sweep(key, attempt)  # First: without its history, nobody would come back to it.
        await self._session.http.delete_history(prompt)
        self.take(prompt)

    def _tell_whether_none(self) -> None:
        if self._found:
            self._none.clear()
        else:
            self._none.set()

    async def _record(self, key: Key) -> TaskRecord | None:
        try:
            stored = await self._log.get(key)
        except UnreadableRecordError:
            return None
        return stored.record if stored else None


def _read(extra_data: Mapping[str, Any]) -> _Attempt | None:
    """Whose a prompt is, where it is one of ours. What stands there may be anybody's."""
    match extra_data.get(_MARK):
        case {"tenant": str(tenant), "task": str(task), "attempt": int(attempt)} if _plain(tenant) and _plain(task):
            return Key(tenant, task), attempt
        case _:
            return None


def _plain(part: str) -> bool:
    return _TOKEN.fullmatch(part) is not None
