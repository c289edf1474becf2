"""Clients that deal with many tasks at once: batches, groups, streams of many tasks."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from contextlib import aclosing

from comfymesh.testkit.history import Answered, Called, Heard, Joined, Left, Refused, Summed
from comfymesh.testkit.meshapi import Api, CallFailedError, Followed, id_of, seen
from comfymesh.testkit.plans import Follower, Sweep
from comfymesh.testkit.recording import Recorder
from comfymesh.v1 import group_pb2, task_pb2, task_service_pb2

FINAL_STATES = frozenset(
    {
        task_pb2.Task.STATE_SUCCEEDED,
        task_pb2.Task.STATE_FAILED,
        task_pb2.Task.STATE_CANCELLED,
        task_pb2.Task.STATE_EXPIRED,
    }
)

_COUNTS = ("queued", "assigned", "running", "cancelling", "succeeded", "failed", "cancelled", "expired")


class Crowd:
    """Carries out sweeps, and follows.

    Args:
        api: The mesh.
        recorder: Takes down what is seen.
        rng: Decides how long to wait before a call is made again.
        make: Makes the task of a content.
    """

    def __init__(self, api: Api, recorder: Recorder, rng: random.Random, make: Callable[[str], task_pb2.Task]) -> None:
        self._api = api
        self._recorder = recorder
        self._rng = rng
        self._make = make

    async def sweep(self, sweep: Sweep, created: set[str]) -> None:
        """Create a group of tasks, and follow it to its end."""
        await asyncio.sleep(sweep.at)
        await self._create_all(sweep, created)
        async with asyncio.TaskGroup() as group:
            group.create_task(self._repeat(sweep, created))
            group.create_task(self._follow_group(sweep))
            if sweep.cancel is not None:
                group.create_task(self._cancel(sweep))

    async def follow_all(self, follower: str, plan: Follower, created: set[str], over: asyncio.Event) -> None:
        """Follow everything until all that was `created` has ended, once it is `over` that more is created."""
        await asyncio.sleep(plan.at)
        ended = set[str]()

        def is_enough(message: Followed) -> bool:
            if message.WhichOneof("event") == "task" and message.task.state in FINAL_STATES:
                ended.add(id_of(message.task.name))
            return over.is_set() and created <= ended

        await self._follow(follower, "", 0, plan.patience, is_enough)
        self._recorder.note(Left(self._recorder.now, follower, tuple(sorted(created))))

    async def _create_all(self, sweep: Sweep, created: set[str]) -> None:
        """Send the batch until each of its items has been accepted, or refused for good."""
        open_items = list(sweep.items)
        while open_items:
            open_items = await self._create_some(sweep, open_items, created)
            if open_items:
                await self._pause()

    async def _create_some(
        self, sweep: Sweep, items: list[tuple[str, str]], created: set[str]
    ) -> list[tuple[str, str]]:
        """One batch call; answers what has to be sent again. Each item is a call of its own to the history."""
        calls = [self._called(content, request_id) for content, request_id in items]
        requests = [
            task_service_pb2.CreateTaskRequest(task=self._make(content), request_id=request_id)
            for content, request_id in items
        ]
        results: list[task_pb2.Task | CallFailedError]
        try:
            results = list(await self._api.create_batch(requests, f"groups/{sweep.group}"))
        except CallFailedError as error:
            results = [error for _ in items]
        again = []
        for item, call, result in zip(items, calls, results, strict=True):
            if isinstance(result, CallFailedError):
                self._recorder.note(Refused(self._recorder.now, call, result.reason))
                if result.retryable:
                    again.append(item)
            else:
                created.add(id_of(result.name))
                self._recorder.note(Answered(self._recorder.now, call, id_of(result.name), *seen(result)))
        return again

    def _called(self, content: str, request_id: str) -> int:
        call = self._recorder.next_call()
        self._recorder.note(Called(self._recorder.now, call, "create", request_id=request_id, content=content))
        return call

    async def _repeat(self, sweep: Sweep, created: set[str]) -> None:
        for wait in sweep.repeats:
            await asyncio.sleep(wait)
            await self._create_all(sweep, created)

    async def _cancel(self, sweep: Sweep) -> None:
        await asyncio.sleep(sweep.cancel or 0.0)
        group = f"groups/{sweep.group}"
        while True:
            call = self._recorder.next_call()
            self._recorder.note(Called(self._recorder.now, call, "cancel group", group))
            try:
                await self._api.cancel_group(group)
            except CallFailedError as error:
                self._recorder.note(Refused(self._recorder.now, call, error.reason))
                if not error.retryable:
                    return
                await self._pause()
            else:
                self._recorder.note(Answered(self._recorder.now, call, group, "", 0, 0))
                return

    async def _follow_group(self, sweep: Sweep) -> None:
        group = f"groups/{sweep.group}"
        last = group_pb2.Group()

        def never(message: Followed) -> bool:
            if message.WhichOneof("event") == "group":
                last.CopyFrom(message.group)  # type: ignore[union-attr]  # only a group's stream tells it
            return False

        await self._follow(group, group, len(sweep.items), sweep.patience, never)
        self._recorder.note(Left(self._recorder.now, group))
        counts = {word.upper(): getattr(last, f"{word}_count") for word in _COUNTS}
        self._recorder.note(Summed(self._recorder.now, group, {word: n for word, n in counts.items() if n}))

    async def _follow(
        self, follower: str, scope: str, count: int, patience: int, is_enough: Callable[[Followed], bool]
    ) -> None:
        """Follow to the end, over as many streams as it takes."""
        token = ""
        while True:
            self._recorder.note(Joined(self._recorder.now, follower, scope, token))
            reason, left = "broken off", patience
            try:
                async with aclosing(self._api.follow(scope, count, token)) as messages:
                    async for message in messages:
                        token = message.resume_token
                        self._note(follower, message)
                        left -= 1
                        if is_enough(message):
                            return
                        if left == 0:
                            break
                    else:
                        return
            except CallFailedError as error:
                reason = error.reason
                if reason == "RESUME_TOKEN_UNKNOWN":
                    token = ""
            self._recorder.note(Left(self._recorder.now, follower, reason=reason))
            patience = 2 * patience  # However impatient, it hears the end in the end.
            await self._pause()

    def _note(self, follower: str, message: Followed) -> None:
        now, token = self._recorder.now, message.resume_token
        match message.WhichOneof("event"):
            case "task":
                self._recorder.note(Heard(now, follower, token, id_of(message.task.name), *seen(message.task)))
            case "caught_up":
                self._recorder.note(Heard(now, follower, token, "", "CAUGHT_UP"))
            case _:
                self._recorder.note(Heard(now, follower, token, "", "HEARTBEAT"))

    async def _pause(self) -> None:
        await asyncio.sleep(self._rng.uniform(0.1, 1.0))
