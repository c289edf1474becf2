"""Clients that put a mesh under load and take down everything that they see of it.

The same clients serve the simulation and the chaos suite: they know the API as a small port, and chance and time as
arguments.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import Protocol
from uuid import UUID

from comfymesh.testkit.history import (
    Answered,
    Called,
    Closed,
    Opened,
    Progressed,
    Read,
    Recorder,
    Refused,
    Told,
)
from comfymesh.v1 import task_pb2, task_service_pb2

CONTENT_LABEL = "content"
"""Label of a task that names its content, so that the log can be compared with what was asked for."""

_RETRYABLE = frozenset(
    {"UNAVAILABLE", "BUS_UNAVAILABLE", "SERVER_DRAINING", "DEADLINE_EXCEEDED", "NO_FEASIBLE_NODE", "CANCELLED"}
)


Message = task_service_pb2.WatchTaskResponse | task_service_pb2.RunTaskResponse
"""What a stream tells."""


class CallFailedError(Exception):
    """A call that was not answered; `reason` is the machine-readable one, or the name of the status code."""

    def __init__(self, reason: str) -> None:
        self.reason = reason
        super().__init__(reason)

    @property
    def retryable(self) -> bool:
        """Whether it may be answered when it is made again."""
        return self.reason in _RETRYABLE


class Api(Protocol):
    """A mesh's API as clients see it. Every call raises CallFailedError where it is not answered."""

    async def create(self, task: task_pb2.Task, request_id: str) -> task_pb2.Task:
        """CreateTask."""
        ...

    def run(self, task: task_pb2.Task, request_id: str) -> AsyncGenerator[task_service_pb2.RunTaskResponse]:
        """RunTask."""
        ...

    async def get(self, name: str) -> task_pb2.Task:
        """GetTask."""
        ...

    async def cancel(self, name: str) -> task_pb2.Task:
        """CancelTask."""
        ...

    def watch(self, name: str, token: str) -> AsyncGenerator[task_service_pb2.WatchTaskResponse]:
        """WatchTask."""
        ...

    async def read(self, artifact: str) -> tuple[int, str]:
        """The size and the SHA-256 of an artifact's bytes."""
        ...


@dataclass(frozen=True, slots=True)
class Watch:
    """A watcher: when it comes, and after how many messages it breaks each of its streams off (0: never)."""

    after: float
    patience: int = 0


@dataclass(frozen=True, slots=True)
class Job:
    """What a client does with one task. Times in seconds.

    Attributes:
        at: When it is created.
        content: Names its content.
        request_id: Of its creation.
        runs: Whether it is created and watched in one call.
        repeats: After how long the same creation is sent again, and again.
        reuses: Whether its request ID is then sent with other content.
        watches: Its watchers.
        cancel: After how long it is cancelled; None for never.
        looks: After how long each GetTask follows the one before.
    """

    at: float
    content: str
    request_id: str
    runs: bool = False
    repeats: tuple[float, ...] = ()
    reuses: bool = False
    watches: tuple[Watch, ...] = ()
    cancel: float | None = None
    looks: tuple[float, ...] = ()


def jobs(rng: random.Random, count: int, spread: float) -> list[Job]:
    """So many jobs within `spread` seconds."""
    return [_job(rng, number, spread) for number in range(count)]


def _job(rng: random.Random, number: int, spread: float) -> Job:
    return Job(
        at=rng.uniform(0, spread),
        content=f"c{number}",
        request_id=str(UUID(int=rng.getrandbits(128), version=4)),
        runs=rng.random() < 0.3,
        repeats=tuple(rng.uniform(0, 3) for _ in range(rng.choice((0, 0, 1, 2)))),
        reuses=rng.random() < 0.1,
        watches=tuple(Watch(rng.expovariate(1), rng.choice((0, 0, 1, 2, 5))) for _ in range(rng.choice((0, 1, 1, 2)))),
        cancel=rng.expovariate(0.5) if rng.random() < 0.2 else None,
        looks=tuple(rng.expovariate(1) for _ in range(rng.choice((0, 0, 2)))),
    )


class Clients:
    """Carries out jobs.

    Args:
        api: The mesh.
        recorder: Takes down what is seen.
        rng: Decides how long to wait before a call is made again.
        make: Makes the task of a content; the label is set here.
    """

    def __init__(self, api: Api, recorder: Recorder, rng: random.Random, make: Callable[[str], task_pb2.Task]) -> None:
        self._api = api
        self._recorder = recorder
        self._rng = rng
        self._make = make
        self._tokens: dict[str, str] = {}

    async def run(self, jobs: Sequence[Job]) -> None:
        """Do every job; answers once every task's watchers have been told its end."""
        async with asyncio.TaskGroup() as group:
            for job in jobs:
                group.create_task(self._do(job))

    async def _do(self, job: Job) -> None:
        await asyncio.sleep(job.at)
        if job.runs:
            await self._run(f"{job.content}/run", job)
        name = await self._create(job.content, job.request_id)
        if not name:
            return
        async with asyncio.TaskGroup() as group:
            group.create_task(self._repeat(job))
            group.create_task(self._look(job, name))
            for number, watch in enumerate(job.watches):
                group.create_task(self._watch(f"{job.content}/{number}", watch, name))
            if job.cancel is not None:
                group.create_task(self._cancel(job.cancel, name))

    async def _create(self, content: str, request_id: str) -> str:
        while True:
            call = self._called_create(content, request_id)
            try:
                answer = await self._api.create(self._task(content), request_id)
            except CallFailedError as error:
                self._recorder.note(Refused(self._recorder.now, call, error.reason))
                if not error.retryable:
                    return ""
                await self._pause()
            else:
                self._answered(call, answer)
                return answer.name

    async def _run(self, watcher: str, job: Job) -> None:
        """Create and watch in one call; where that breaks, the watch goes on with its token."""
        name = reason = ""
        while not name:
            call = self._called_create(job.content, job.request_id)
            try:
                async with aclosing(self._api.run(self._task(job.content), job.request_id)) as messages:
                    async for message in messages:
                        if not name:
                            name = message.task.name
                            self._answered(call, message.passed[0] if message.passed else message.task)
                            self._recorder.note(Opened(self._recorder.now, watcher, _id(name)))
                        self._tokens[watcher] = message.resume_token
                        self._note_message(watcher, _id(name), message)
                reason = ""
            except CallFailedError as error:
                reason = error.reason
                if not name:
                    self._recorder.note(Refused(self._recorder.now, call, reason))
                    await self._pause()
        self._recorder.note(Closed(self._recorder.now, watcher, _id(name), reason))
        if reason:
            await self._watch(watcher, Watch(0.0), name)

    def _called_create(self, content: str, request_id: str) -> int:
        call = self._recorder.next_call()
        self._recorder.note(Called(self._recorder.now, call, "create", request_id=request_id, content=content))
        return call

    def _task(self, content: str) -> task_pb2.Task:
        task = self._make(content)
        task.labels[CONTENT_LABEL] = content
        return task

    async def _repeat(self, job: Job) -> None:
        for wait in job.repeats:
            await asyncio.sleep(wait)
            await self._create(job.content, job.request_id)
        if job.reuses:
            await self._create(f"{job.content}-other", job.request_id)

    async def _look(self, job: Job, name: str) -> None:
        for wait in job.looks:
            await asyncio.sleep(wait)
            await self._ask("get", name)

    async def _cancel(self, wait: float, name: str) -> None:
        await asyncio.sleep(wait)
        while not await self._ask("cancel", name):
            await self._pause()

    async def _ask(self, method: str, name: str) -> bool:
        """Make a call about a task; answers whether there is no need to make it again."""
        call = self._recorder.next_call()
        self._recorder.note(Called(self._recorder.now, call, method, _id(name)))
        try:
            task = await (self._api.get(name) if method == "get" else self._api.cancel(name))
        except CallFailedError as error:
            self._recorder.note(Refused(self._recorder.now, call, error.reason))
            return not error.retryable
        self._answered(call, task)
        return True

    def _answered(self, call: int, task: task_pb2.Task) -> None:
        self._recorder.note(Answered(self._recorder.now, call, _id(task.name), *seen(task)))

    async def _watch(self, watcher: str, watch: Watch, name: str) -> None:
        await asyncio.sleep(watch.after)
        patience = watch.patience
        while True:
            try:
                done = await self._follow(watcher, name, patience)
                reason = "" if done else "broken off"
            except CallFailedError as error:
                reason, done = error.reason, not error.retryable
            self._recorder.note(Closed(self._recorder.now, watcher, _id(name), reason))
            if done:
                return
            patience = 2 * patience  # However impatient, it sees the end in the end.
            await self._pause()

    async def _follow(self, watcher: str, name: str, patience: int) -> bool:
        """Read one stream, from the last token that the watcher was given; answers whether it ended by itself."""
        token, count = self._tokens.get(watcher, ""), 0
        self._recorder.note(Opened(self._recorder.now, watcher, _id(name), token))
        async with aclosing(self._api.watch(name, token)) as messages:
            async for message in messages:
                self._tokens[watcher] = message.resume_token
                self._note_message(watcher, _id(name), message)
                count += 1
                if count == patience:
                    return False
        return True

    def _note_message(self, watcher: str, task: str, message: Message) -> None:
        now, token = self._recorder.now, message.resume_token
        match message.WhichOneof("event"):
            case "task":
                passed = message.passed if isinstance(message, task_service_pb2.RunTaskResponse) else ()
                for told in (*passed, message.task):
                    self._recorder.note(Told(now, watcher, task, token, *seen(told)))
            case "progress":
                progress = message.progress
                phase = task_pb2.TaskProgress.Phase.Name(progress.phase).removeprefix("PHASE_")
                self._recorder.note(Progressed(now, watcher, task, token, progress.attempt, progress.fraction, phase))
            case _:
                return

    async def _pause(self) -> None:
        await asyncio.sleep(self._rng.uniform(0.1, 1.0))


async def read_all(api: Api, recorder: Recorder, task: str, artifact: str, tries: int = 5) -> None:
    """Read an artifact and take down what came."""
    for number in range(1, tries + 1):
        try:
            size, digest = await api.read(artifact)
        except CallFailedError as error:
            recorder.note(Read(recorder.now, task, artifact, error=error.reason))
            if not error.retryable or number == tries:
                return
            await asyncio.sleep(1)
        else:
            recorder.note(Read(recorder.now, task, artifact, size, digest))
            return


def seen(task: task_pb2.Task) -> tuple[str, int, int]:
    """What tells one record of a task from another: state, attempt, update time in microseconds."""
    state = task_pb2.Task.State.Name(task.state).removeprefix("STATE_")
    return state, task.attempt, task.update_time.seconds * 1_000_000 + task.update_time.nanos // 1000


def _id(name: str) -> str:
    return name.rpartition("/")[2]
