"""Clients that put a mesh under load and take down everything that they see of it.

The same clients serve the simulation and the chaos suite: they know the API as a small port, and chance and time as
arguments. `plans` says what they do.
"""

from __future__ import annotations

import asyncio
import itertools
import random
from collections.abc import Callable, Sequence
from contextlib import aclosing

from comfymesh.testkit.crowds import FINAL_STATES, Crowd
from comfymesh.testkit.history import Answered, Called, Closed, Opened, Progressed, Read, Refused, Told
from comfymesh.testkit.meshapi import CONTENT_LABEL, Api, CallFailedError, Message, id_of, seen
from comfymesh.testkit.plans import Follower, Job, Sweep, Watch, Work
from comfymesh.testkit.recording import Recorder
from comfymesh.v1 import task_pb2, task_service_pb2

_LOOK_SECONDS = 0.5
_LONGEST_LOOK_SECONDS = 3.0


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
        self._followers = itertools.count()
        self._crowd = Crowd(api, recorder, rng, self._task)

    async def run(self, work: Sequence[Work]) -> None:
        """Do all of it; answers once every task's watchers, and who follows many, have been told its end."""
        created, over = set[str](), asyncio.Event()
        async with asyncio.TaskGroup() as group:
            for one in work:
                if isinstance(one, Follower):
                    name = f"f{next(self._followers)}"
                    group.create_task(self._crowd.follow_all(name, one, created, over))
            async with asyncio.TaskGroup() as doing:
                for one in work:
                    if isinstance(one, Job):
                        doing.create_task(self._do(one, created))
                    elif isinstance(one, Sweep):
                        doing.create_task(self._crowd.sweep(one, created))
            over.set()

    async def _do(self, job: Job, created: set[str]) -> None:
        await asyncio.sleep(job.at)
        if job.runs:
            await self._run(f"{job.content}/run", job)
        name = await self._create(job.content, job.request_id)
        if not name:
            return
        created.add(id_of(name))
        async with asyncio.TaskGroup() as group:
            group.create_task(self._repeat(job))
            group.create_task(self._look(job, name))
            group.create_task(self._see_to(job, name, created))
            for number, watch in enumerate(job.watches):
                group.create_task(self._watch(f"{job.content}/{number}", watch, name))
            if job.cancel is not None:
                group.create_task(self._cancel(job.cancel, name))

    async def _see_to(self, job: Job, name: str, created: set[str]) -> None:
        """Wait for the end; see to it where it is a failure."""
        if not job.letters:
            return
        wait = _LOOK_SECONDS
        while not await self._has_ended(name):  # the mesh is asked, as a client would
            await asyncio.sleep(wait)
            wait = min(1.5 * wait, _LONGEST_LOOK_SECONDS)
        async with asyncio.TaskGroup() as group:
            for number, method in enumerate(job.letters):
                group.create_task(self._resolve(method, name, f"{job.content}/letter{number}", created))

    async def _has_ended(self, name: str) -> bool:
        try:
            return (await self._api.get(name)).state in FINAL_STATES
        except CallFailedError:
            return False

    async def _resolve(self, method: str, name: str, watcher: str, created: set[str]) -> None:
        """Requeue a dead letter and watch what becomes of it, or drop it."""
        answer = await self._see_to_letter(method, name)
        if answer is not None and method == "requeue":
            created.add(id_of(answer.name))
            await self._watch(watcher, Watch(0.0), answer.name)

    async def _see_to_letter(self, method: str, name: str) -> task_pb2.Task | None:
        """The answer, as soon as there is one; None where it is refused."""
        while True:
            call = self._recorder.next_call()
            self._recorder.note(Called(self._recorder.now, call, method, id_of(name)))
            try:
                task = await (self._api.requeue(name) if method == "requeue" else self._api.drop(name))
            except CallFailedError as error:
                self._recorder.note(Refused(self._recorder.now, call, error.reason))
                if not error.retryable:
                    return None
                await self._pause()
            else:
                self._answered(call, task)
                return task

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
                            self._recorder.note(Opened(self._recorder.now, watcher, id_of(name)))
                        self._tokens[watcher] = message.resume_token
                        self._note_message(watcher, id_of(name), message)
                reason = ""
            except CallFailedError as error:
                reason = error.reason
                if not name:
                    self._recorder.note(Refused(self._recorder.now, call, reason))
                    await self._pause()
        self._recorder.note(Closed(self._recorder.now, watcher, id_of(name), reason))
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
        self._recorder.note(Called(self._recorder.now, call, method, id_of(name)))
        try:
            task = await (self._api.get(name) if method == "get" else self._api.cancel(name))
        except CallFailedError as error:
            self._recorder.note(Refused(self._recorder.now, call, error.reason))
            return not error.retryable
        self._answered(call, task)
        return True

    def _answered(self, call: int, task: task_pb2.Task) -> None:
        self._recorder.note(Answered(self._recorder.now, call, id_of(task.name), *seen(task)))

    async def _watch(self, watcher: str, watch: Watch, name: str) -> None:
        await asyncio.sleep(watch.after)
        patience = watch.patience
        while True:
            try:
                done = await self._follow(watcher, name, patience)
                reason = "" if done else "broken off"
            except CallFailedError as error:
                reason, done = error.reason, not error.retryable
            self._recorder.note(Closed(self._recorder.now, watcher, id_of(name), reason))
            if done:
                return
            patience = 2 * patience  # However impatient, it sees the end in the end.
            await self._pause()

    async def _follow(self, watcher: str, name: str, patience: int) -> bool:
        """Read one stream, from the last token that the watcher was given; answers whether it ended by itself."""
        token, count = self._tokens.get(watcher, ""), 0
        self._recorder.note(Opened(self._recorder.now, watcher, id_of(name), token))
        async with aclosing(self._api.watch(name, token)) as messages:
            async for message in messages:
                self._tokens[watcher] = message.resume_token
                self._note_message(watcher, id_of(name), message)
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
