"""A ComfyUI server and its runtime that do what a test tells them, and nothing else. No socket, no process."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from types import TracebackType
from typing import Any, Self, TypeVar

from comfymesh.agent.comfyui.answers import QueueIds
from comfymesh.agent.comfyui.control import Standing
from comfymesh.agent.comfyui.errors import (
    REASON_REFUSED,
    REASON_TIMEOUT,
    AnswerTooLarge,
    ComfyUnreachable,
    OutputMissing,
)
from comfymesh.agent.comfyui.events import Event, ExecutionStarted, NodeOutput
from comfymesh.agent.comfyui.http import ComfyHttp
from comfymesh.agent.comfyui.outcome import Interrupted, Lost, Outcome
from comfymesh.agent.comfyui.outputs import OutputFile
from comfymesh.agent.comfyui.pulse import Sign
from comfymesh.agent.comfyui.session import ComfySession
from comfymesh.agent.runtimes.contract import Endpoint, Running, Status, silently

T = TypeVar("T")

URL = "http://comfyui.invalid"


def silent(doing: str = "GET /anything") -> ComfyUnreachable:
    """What the calls of a server that hangs raise."""
    return ComfyUnreachable(doing, REASON_TIMEOUT, "as the test wants it")


def unreachable(doing: str = "GET /anything") -> ComfyUnreachable:
    """What a dead server's calls raise."""
    return ComfyUnreachable(doing, REASON_REFUSED, "as the test wants it")


@dataclass(eq=False)
class Prompt:
    """A prompt that somebody follows.

    Attributes:
        prompt_id: Its id.
        graph: What was submitted; None where it was resumed.
        extra_data: What was submitted with it.
    """

    prompt_id: str
    graph: Mapping[str, Any] | None
    extra_data: Mapping[str, Any] | None
    observer: Callable[[Event], None]
    over: asyncio.Future[Outcome] = field(default_factory=lambda: asyncio.get_running_loop().create_future())

    def begin(self) -> None:
        """ComfyUI begins to execute it."""
        self.tell(ExecutionStarted(self.prompt_id))

    def tell(self, event: Event) -> None:
        """Something happens to it."""
        self.observer(event)

    def show(self, graph_node: str, output: Mapping[str, Any]) -> None:
        """A graph node has made something."""
        self.tell(NodeOutput(self.prompt_id, graph_node, graph_node, output))

    def end(self, outcome: Outcome) -> None:
        """It is over."""
        self.over.set_result(outcome)

    def break_off(self, error: Exception) -> None:
        """Whoever follows it gets an error."""
        self.over.set_exception(error)


class ScriptedHttp(ComfyHttp):
    """The server's routes.

    Attributes:
        files: What can be viewed, by file name; an error is raised instead of an answer.
        viewed: File names in the order in which they were asked for.
        held: Views wait until it is set.
        viewing: How many views are on their way.
        uploaded: Path and content, in order.
        upload_error: Raised by uploads.
        readable: So many history entries can be read at once.
        stats: What /system_stats answers.
        info: What /object_info answers.
        sizes: Model files and their sizes, by folder.
        forgotten: Prompts whose history was dropped.
        ids: What /queue answers.
        freed: What was asked of /free, in order.
        there: What `prompts` answers.
    """

    def __init__(self) -> None:
        super().__init__(URL)
        self.files: dict[str, bytes | Exception] = {}
        self.viewed: list[str] = []
        self.held = asyncio.Event()
        self.held.set()
        self.viewing = 0
        self.uploaded: list[tuple[str, bytes]] = []
        self.upload_error: Exception | None = None
        self.readable = 1000
        self.stats: dict[str, Any] | Exception = {"system": {"comfyui_version": "1.2.3"}}
        self.info: dict[str, Any] | Exception = {}
        self.sizes: dict[str, dict[str, int]] = {}
        self.forgotten: list[str] = []
        self.ids = QueueIds((), ())
        self.freed: list[tuple[bool, bool]] = []
        self.there: dict[str, dict[str, Any]] | Exception = {}

    async def system_stats(self) -> dict[str, Any]:
        """See ComfyHttp."""
        return _answer(self.stats)

    async def prompts(self, recent: int) -> dict[str, dict[str, Any]]:
        """See ComfyHttp."""
        if recent > self.readable:
            raise AnswerTooLarge("GET /history", 200, "too large")
        return _answer(self.there)

    async def object_info(self, node_class: str | None = None) -> dict[str, Any]:  # noqa: ARG002  # the contract's
        """See ComfyHttp."""
        return _answer(self.info)

    async def upload_image(self, content: bytes, name: str, subfolder: str = "") -> str:
        """See ComfyHttp."""
        if self.upload_error is not None:
            raise self.upload_error
        self.uploaded.append((f"{subfolder}/{name}", content))
        return f"{subfolder}/{name}"

    async def view(self, file: OutputFile) -> AsyncGenerator[bytes, None]:
        """See ComfyHttp."""
        self.viewed.append(file.filename)
        self.viewing += 1
        try:
            await self.held.wait()
            missing = OutputMissing("GET /view", 404, f"{file.filename} is not there")
            yield _answer(self.files.get(file.filename, missing))
        finally:
            self.viewing -= 1

    async def model_folders(self) -> tuple[str, ...]:
        """See ComfyHttp."""
        return tuple(self.sizes)

    async def model_files(self, folder: str) -> dict[str, int]:
        """See ComfyHttp."""
        return self.sizes[folder]

    async def queue(self) -> QueueIds:
        """See ComfyHttp."""
        return self.ids

    async def free(self, *, unload_models: bool, free_memory: bool) -> None:
        """See ComfyHttp."""
        self.freed.append((unload_models, free_memory))

    async def delete_history(self, *prompt_ids: str) -> None:
        """See ComfyHttp."""
        self.forgotten += prompt_ids


class ScriptedSession(ComfySession):
    """The session with the server.

    Attributes:
        http: Its routes.
        standing: What `look` answers; UNKNOWN for every other prompt.
        look_error: Raised by `look`.
        refusal: Raised by `execute`.
        stop_error: Raised by `cancel`.
        obedient: Whether a prompt that is to be stopped ends as interrupted.
        submitted: Prompts that were executed, in order.
        cancelled: Prompts that should have been stopped, in order.
        closed: Whether it was left.
        signed: What `signs` answers.
        given_up: What `give_up` was told, by prompt.
        abandoned: What `abandon` was told.
    """

    http: ScriptedHttp

    def __init__(self) -> None:
        super().__init__(URL)
        self.http = ScriptedHttp()
        self.standing: dict[str, Standing] = {}
        self.look_error: Exception | None = None
        self.refusal: Exception | None = None
        self.stop_error: Exception | None = None
        self.obedient = True
        self.submitted: list[str] = []
        self.cancelled: list[str] = []
        self.closed = False
        self.signed: tuple[Sign, ...] = ()
        self.given_up: dict[str, Lost] = {}
        self.abandoned: Lost | None = None
        self.hears = asyncio.Event()
        self.hears.set()
        self._followed: dict[str, Prompt] = {}
        self._arrived: asyncio.Queue[Prompt] = asyncio.Queue()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.closed = True

    async def prompt(self) -> Prompt:
        """The next prompt that somebody follows."""
        return await self._arrived.get()

    @property
    def connected(self) -> bool:
        """See ComfySession."""
        return self.hears.is_set()

    async def lost(self, seconds: float) -> bool:
        """See ComfySession."""
        await asyncio.sleep(seconds)
        return not self.connected

    async def wait_connected(self) -> None:
        """See ComfySession."""
        await self.hears.wait()

    async def execute(
        self,
        prompt_id: str,
        graph: Mapping[str, Any],
        *,
        extra_data: Mapping[str, Any] | None = None,
        observer: Callable[[Event], None],
    ) -> Outcome:
        """See ComfySession."""
        if self.refusal is not None:
            raise self.refusal
        self.submitted.append(prompt_id)
        return await self._until_over(prompt_id, graph, extra_data, observer)

    async def resume(self, prompt_id: str, observer: Callable[[Event], None]) -> Outcome:
        """See ComfySession."""
        return await self._until_over(prompt_id, None, None, observer)

    async def cancel(self, prompt_id: str) -> None:
        """See ComfySession."""
        self.cancelled.append(prompt_id)
        if self.stop_error is not None:
            raise self.stop_error
        prompt = self._followed.get(prompt_id)
        if prompt is not None and self.obedient and not prompt.over.done():
            prompt.end(Interrupted())

    def signs(self) -> tuple[Sign, ...]:
        """See ComfySession."""
        return self.signed

    async def give_up(self, prompt_id: str, lost: Lost) -> None:
        """See ComfySession."""
        self.given_up[prompt_id] = lost
        await self.cancel(prompt_id)

    def abandon(self, lost: Lost) -> None:
        """See ComfySession."""
        self.abandoned = lost
        for prompt in self._followed.values():
            if not prompt.over.done():
                prompt.end(lost)

    async def look(self, prompt_id: str) -> Standing:
        """See ComfySession."""
        if self.look_error is not None:
            raise self.look_error
        return self.standing.get(prompt_id, Standing.UNKNOWN)

    async def _until_over(
        self,
        prompt_id: str,
        graph: Mapping[str, Any] | None,
        extra_data: Mapping[str, Any] | None,
        observer: Callable[[Event], None],
    ) -> Outcome:
        prompt = self._followed[prompt_id] = Prompt(prompt_id, graph, extra_data, observer)
        self._arrived.put_nowait(prompt)
        try:
            return await prompt.over
        finally:
            del self._followed[prompt_id]


class ScriptedRuntime:
    """Owns a server.

    Attributes:
        status: What `poll` answers; an error is raised instead. A start makes it Running.
        start_error: Raised by `start`.
        told_at_start: What `start` tells.
        starts: When it was started, seconds of the event loop.
        stopped: With how much grace it was stopped, if it was.
        stop_error: Raised by `stop`.
        memory: What `memory_bytes` answers.
        removed: Folders that were removed, in order.
        polls: How often `poll` was asked.
    """

    def __init__(self) -> None:
        self.sees_process = True
        self.polls = 0
        self.status: Status | Exception = Running()
        self.start_error: Exception | None = None
        self.told_at_start: tuple[str, ...] = ()
        self.starts: list[float] = []
        self.stopped: timedelta | None = None
        self.stop_error: Exception | None = None
        self.memory: int | None = None
        self.removed: list[str] = []
        self.closed = False

    async def start(self, tell: Callable[[str], None] = silently) -> Endpoint:
        """See Runtime.start."""
        for words in self.told_at_start:
            tell(words)
        self.starts.append(asyncio.get_running_loop().time())
        if self.start_error is not None:
            raise self.start_error
        self.status = Running()
        return Endpoint(URL)

    async def stop(self, grace: timedelta) -> None:
        """See Runtime.stop."""
        if self.stop_error is not None:
            raise self.stop_error
        self.stopped = grace

    async def poll(self) -> Status:
        """See Runtime.poll."""
        self.polls += 1
        if isinstance(self.status, Exception):
            raise self.status
        return self.status

    async def log_tail(self, lines: int) -> str:  # noqa: ARG002  # the contract's
        """See Runtime.log_tail."""
        return "its last words"

    async def remove_folders(self, folders: Sequence[str]) -> None:
        """See Runtime.remove_folders."""
        self.removed += folders

    async def memory_bytes(self) -> int | None:
        """See Runtime.memory_bytes."""
        return self.memory

    async def close(self) -> None:
        """See Runtime.close."""
        self.closed = True


def _answer(scripted: T | Exception) -> T:
    if isinstance(scripted, Exception):
        raise scripted
    return scripted
