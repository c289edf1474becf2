"""An instance while it serves: what attempts need of it."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from comfymesh.agent.collecting import Collecting
from comfymesh.agent.comfyui.errors import ComfyError, ComfyUnreachable
from comfymesh.agent.comfyui.session import ComfySession
from comfymesh.agent.domain import verdict
from comfymesh.agent.domain.folders import ROOT, Folders
from comfymesh.agent.domain.line import Line
from comfymesh.agent.domain.peak import Peaks
from comfymesh.agent.domain.preloaded import Preloaded
from comfymesh.agent.domain.residency import Residency
from comfymesh.agent.leftovers import Leftovers
from comfymesh.agent.runtimes.contract import RuntimeFailed
from comfymesh.agent.staging import Staging
from comfymesh.agent.url_inputs import FetchFiles, none_is_fetched
from comfymesh.artifacts.store import BlobStore
from comfymesh.bus.tasklog import TaskLog
from comfymesh.tasks.events import Event
from comfymesh.tasks.record import Artifact, Key

logger = logging.getLogger(__name__)

_FORGET_SECONDS = 1.0
_EVIDENCE_SECONDS = 5.0
_EVIDENCE_LINES = 100

LogTail = Callable[[int], Awaitable[str]]
"""Answers the last lines that an instance wrote, as many as asked for at most."""


async def _no_words(_: int) -> str:
    return ""


@dataclass(slots=True)
class Files:
    """Where the files of attempts come from and go to.

    Attributes:
        store: Takes outputs.
        max_artifact_bytes: Largest output that is taken. May be changed.
        folders: What their folders on an instance are called.
        inputs: Where the files are that a task reads, if not in `store`.
        fetch: Fetches files that tasks name by URL.
    """

    store: BlobStore
    max_artifact_bytes: int
    folders: Folders
    inputs: Callable[[Key], BlobStore] | None = None
    fetch: FetchFiles = none_is_fetched

    def of(self, key: Key) -> BlobStore:
        """Where the files are that a task reads."""
        return self.inputs(key) if self.inputs else self.store


async def _leave_alone(_: Sequence[str]) -> None:
    """Remove nothing."""


class Workplace:
    """A session with an instance, and the ways in and out of it. Stays open until the last attempt has left.

    Args:
        session: The session, opened and closed with the workplace.
        log: Where graphs are.
        files: Where files come from and go to.
        leftovers: Prompts that are there already.
        log_tail: Where the last words of the instance are.
        residency: Model files in the instance's memory; one that nobody is told of where there is none.

    Attributes:
        line: Prompts that were submitted and have not ended.
        accepting: Whether new attempts may come.
        sweep: Removes folders of ours from the instance, with all that is there.
        told_end: Is told how each attempt has ended, before the log is.
        residency: Model files in the instance's memory.
        peaks: The most GPU memory that it held while prompts ran.
        preloaded: Files that it was to load ahead of work.
    """

    def __init__(  # what an attempt needs of its instance
        self,
        session: ComfySession,
        log: TaskLog,
        files: Files,
        leftovers: Leftovers,
        log_tail: LogTail = _no_words,
        residency: Residency | None = None,
    ) -> None:
        self.session = session
        self.leftovers = leftovers
        self.staging = Staging(log, files.of, files.folders, session.http, self._try_to_sweep, files.fetch)
        self._files = files
        self._log_tail = log_tail
        self.line = Line()
        self.accepting = True
        self.sweep: Callable[[Sequence[str]], Awaitable[None]] = _leave_alone
        self.told_end: Callable[[Event], None] = lambda _: None
        self._evidence: str | None = None
        self.residency = residency or Residency()
        self.peaks = Peaks()
        self.preloaded = Preloaded()
        self._attempts = 0
        self._empty = asyncio.Event()
        self._empty.set()
        self._ended: list[tuple[str, str]] = []
        self._forgetting: asyncio.Task[None] | None = None
        self._clearing: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        await self.session.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.staging.close()
        self.leftovers.lose()
        busy = [task for task in (self._forgetting, self._clearing) if task is not None]
        for task in busy:
            task.cancel()
        await asyncio.gather(*busy, return_exceptions=True)
        if self._ended:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_FORGET_SECONDS):
                    await self._forget()
        await self.session.__aexit__(kind, error, trace)

    @property
    def open(self) -> bool:
        """Whether new attempts may come, and would be heard of."""
        return self.accepting and self.session.connected

    @property
    def empty(self) -> bool:
        """Whether no attempt is here."""
        return not self._attempts

    async def take_stock(self) -> None:
        """Find out what an earlier life of this agent has left in the instance, and see to it.

        Raises:
            ComfyUnreachable, ComfyError: the instance does not say.
        """
        await self.leftovers.find()
        if self.leftovers.none:
            await self._try_to_sweep([ROOT])  # No prompt is there that reads or writes any of it.
        else:
            self._clearing = asyncio.create_task(self._clear())

    def collecting(self, tenant: str, told: Callable[[Artifact], None]) -> Collecting:
        """A collection of outputs for an attempt of this tenant; `told` hears of what is stored before the end."""
        return Collecting(self.session.http, self._files.store, tenant, self._files.max_artifact_bytes, told)

    def enter(self) -> None:
        """An attempt has come."""
        self._attempts += 1
        self._empty.clear()

    def leave(self) -> None:
        """An attempt has gone."""
        self._attempts -= 1
        if not self._attempts:
            self._empty.set()

    async def with_evidence(self, end: Event) -> Event:
        """How an attempt ended, with the last words of the instance where they may say more and can be had."""
        self.told_end(end)
        if not verdict.wants_log_tail(end):
            return end
        words = await self._last_words()
        return end if words is None else verdict.with_log_tail(end, words)

    async def keep_evidence(self) -> str:
        """Read the last words of the instance, which is about to be stopped, for all attempts that end by that."""
        self._evidence = await self._last_words() or ""
        return self._evidence

    async def _last_words(self) -> str | None:
        if self._evidence is not None:
            return self._evidence
        try:
            async with asyncio.timeout(_EVIDENCE_SECONDS):
                return await self._log_tail(_EVIDENCE_LINES)
        except (RuntimeFailed, OSError, TimeoutError) as error:
            logger.info("the output of an instance can't be read: %s", error)
            return None

    @property
    def free(self) -> bool:
        """Whether nothing is here that could be lost: no attempt, nor a prompt that may be one's."""
        return self.empty and self.leftovers.none

    async def wait_empty(self) -> None:
        """Wait until no attempt is left."""
        await self._empty.wait()

    async def wait_free(self) -> None:
        """Wait until nothing is here that could be lost, or the instance is gone."""
        while not self.free:
            await self.leftovers.wait_none()
            await self.wait_empty()

    def retire(self) -> None:
        """Take nothing new from this moment on."""
        self.accepting = False
        self.leftovers.retire()

    def forget(self, prompt_id: str, key: Key, attempt: int) -> None:
        """Drop a prompt's history entry, which holds its whole graph, and what it wrote. Soon, together with others."""
        self._ended.append((prompt_id, self._files.folders.of_attempt(key, attempt)))
        if self._forgetting is None or self._forgetting.done():
            self._forgetting = asyncio.create_task(self._forget_soon())

    async def _forget_soon(self) -> None:
        while self._ended:
            await asyncio.sleep(_FORGET_SECONDS)
            await self._forget()

    async def _forget(self) -> None:
        ended, self._ended = self._ended, []
        prompts, folders = [prompt for prompt, _ in ended], [folder for _, folder in ended]
        try:
            await self.session.http.delete_history(*prompts)
            await self.sweep(folders)
        except (ComfyUnreachable, ComfyError, RuntimeFailed) as error:
            logger.debug("what %d prompts left stays: %s", len(ended), error)

    async def _clear(self) -> None:
        """Stop and remove what earlier lives have left. What they brought goes when no attempt is here to need it."""
        await self.leftovers.clear(self._sweep_attempt)
        await self.wait_empty()
        while not await self.staging.remove_all(lambda: self.empty):
            await self.wait_empty()

    async def _sweep_attempt(self, key: Key, attempt: int) -> None:
        await self._try_to_sweep([self._files.folders.of_attempt(key, attempt)])

    async def _try_to_sweep(self, folders: Sequence[str]) -> None:
        try:
            await self.sweep(folders)
        except RuntimeFailed as error:
            logger.debug("%d folders stay: %s", len(folders), error)
