"""comfymesh.v1.TaskService."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from typing import Any

import grpc

from comfymesh import names
from comfymesh.api import batches, bookmark, fields, paging, waiting
from comfymesh.api.access import caller
from comfymesh.api.artifacts import Artifacts
from comfymesh.api.cancelling import cancel
from comfymesh.api.encoded import Telling, TellingMany, part
from comfymesh.api.errors import RefusedError, invalid, not_found
from comfymesh.api.fleet import FleetView
from comfymesh.api.following import Following
from comfymesh.api.insight import Insight
from comfymesh.api.query import Query
from comfymesh.api.readmodel import Place
from comfymesh.api.recent import Recent
from comfymesh.api.submitting import Submitting
from comfymesh.api.watch import make_token, read_token
from comfymesh.api.watching import Changes, Heartbeat, Told, Watching
from comfymesh.bus.port import CaughtUp
from comfymesh.bus.tasklog import Stored, TaskLog
from comfymesh.tasks.moments import seconds
from comfymesh.tasks.record import Key, State
from comfymesh.v1 import task_pb2, task_service_pb2, task_service_pb2_grpc

Context = grpc.aio.ServicerContext[Any, Any]

_GOT = part(task_service_pb2.GetTaskResponse, "task")
_LISTED = part(task_service_pb2.ListTasksResponse, "tasks")
_NEXT_PAGE = part(task_service_pb2.ListTasksResponse, "next_page_token")
_WATCHED = Telling(
    task_service_pb2.WatchTaskResponse,
    {Stored: "task", task_pb2.TaskProgress: "progress", task_pb2.Preview: "preview", Heartbeat: "heartbeat"},
)
_CHANGED = TellingMany(
    task_service_pb2.WatchTasksResponse, {Stored: "task", CaughtUp: "caught_up", Heartbeat: "heartbeat"}
)


class TaskService(task_service_pb2_grpc.TaskServiceServicer):
    """Creates, follows and stops tasks."""

    def __init__(
        self,
        log: TaskLog,
        submitting: Submitting,
        watching: Watching,
        following: Following,
        artifacts: Artifacts,
        fleet: FleetView,
        insight: Insight,
    ) -> None:
        self._fleet = fleet
        self._insight = insight
        self._log = log
        self._recent = Recent(log)
        self._submitting = submitting
        self._watching = watching
        self._following = following
        self._artifacts = artifacts

    async def CreateTask(
        self, request: task_service_pb2.CreateTaskRequest, context: Context
    ) -> task_service_pb2.CreateTaskResponse:
        """See the proto."""
        task = await self._submitting.submit(request, caller.tenant(), validate_only=request.validate_only)
        return task_service_pb2.CreateTaskResponse(task=task)

    async def BatchCreateTasks(
        self, request: task_service_pb2.BatchCreateTasksRequest, context: Context
    ) -> task_service_pb2.BatchCreateTasksResponse:
        """See the proto."""
        results = await batches.create(self._submitting, request, caller.tenant())
        return task_service_pb2.BatchCreateTasksResponse(results=results)

    async def RunTask(
        self, request: task_service_pb2.RunTaskRequest, context: Context
    ) -> AsyncGenerator[task_service_pb2.RunTaskResponse, None]:
        """See the proto."""
        new = await self._submitting.prepare(request, caller.tenant())
        # The mailbox is there before the task is, so nothing that happens to it can be missed.
        with self._watching.listening(new.key) as mailbox:
            stored = await self._submitting.store(new, request)
            mailbox.begin(stored.sequence - 1)
            mailbox.offer(stored)
            chunks: list[task_service_pb2.ArtifactChunk] = []
            told = self._watching.follow(mailbox, new.key, previews=request.include_previews, together=True)
            async with aclosing(told) as items:
                async for position, item in items:
                    response = task_service_pb2.RunTaskResponse(resume_token=make_token(position), **_event(item))
                    if isinstance(item, Changes):
                        stored = item.last
                        response.passed.extend(change.task for change in item.before)
                        if request.include_artifacts and response.task.artifacts:
                            chunks = await self._artifacts.together(stored)
                            response.artifact_chunks.extend(chunks)
                    yield response
        if request.include_artifacts and not chunks:
            token = make_token(mailbox.position)
            async for chunk in self._artifacts.pieces(stored):
                yield task_service_pb2.RunTaskResponse(resume_token=token, artifact_chunk=chunk)

    async def GetTask(
        self, request: task_service_pb2.GetTaskRequest, context: Context
    ) -> task_service_pb2.GetTaskResponse | bytes:
        """See the proto."""
        stored = await self._recent.get(Key(caller.tenant(), names.parse_task(request.name)))
        if stored is None:
            raise not_found("task", request.name)
        if stored.task.state != task_pb2.Task.STATE_QUEUED:
            return _GOT(stored.task_data)
        told = task_service_pb2.GetTaskResponse(task=stored.task, waiting=await self._insight.waiting(stored.key))
        told.task.state_reason = waiting.explain(stored.task.state_reason, self._fleet.offers())
        return told

    async def GetTaskGraph(
        self, request: task_service_pb2.GetTaskGraphRequest, context: Context
    ) -> task_service_pb2.GetTaskGraphResponse:
        """See the proto."""
        graph = await self._artifacts.graph(await self._get(request.name))
        return task_service_pb2.GetTaskGraphResponse(graph_json=graph)

    async def ListTasks(self, request: task_service_pb2.ListTasksRequest, context: Context) -> bytes:
        """See the proto."""
        wrong = [
            *paging.violations(request.page_size),
            *fields.filter_violations(
                request.states, request.labels, request.group, request.graph_digest, request.workflow
            ),
        ]
        if wrong:
            raise invalid(wrong)
        size = paging.size(request.page_size)
        place = None
        if request.page_token:
            created, task_id = paging.read_token(request, request.page_token, float, str)
            place = Place(float(created), str(task_id))
        await self._following.told()
        found, end = self._following.model.page_of_data(_query(request), size, place)
        token = paging.make_token(request, [end.created, end.task_id]) if end else ""
        return b"".join(map(_LISTED, found)) + _NEXT_PAGE(token.encode())

    async def WatchTask(self, request: task_service_pb2.WatchTaskRequest, context: Context) -> AsyncIterator[bytes]:
        """See the proto."""
        key = Key(caller.tenant(), names.parse_task(request.name))
        after = read_token(request.resume_token)
        with self._watching.listening(key) as mailbox:
            await self._watching.begin(mailbox, key, after)
            told = self._watching.follow(mailbox, key, previews=request.include_previews)
            async with aclosing(told) as items:
                async for position, item in items:
                    if isinstance(item, Changes):
                        for change in (*item.before, item.last):
                            yield _WATCHED.tell(make_token(change.sequence), change)
                    else:
                        yield _WATCHED.tell(make_token(position), item)

    async def WatchTasks(self, request: task_service_pb2.WatchTasksRequest, context: Context) -> AsyncIterator[bytes]:
        """See the proto."""
        chosen = request.states, request.labels, request.group
        wrong = [
            *fields.filter_violations(*chosen, workflow=request.workflow),
            *fields.max_changes_violations(request.max_changes),
        ]
        if wrong:
            raise invalid(wrong)
        states, labels = frozenset(request.states), dict(request.labels)
        query = Query(caller.tenant(), states, labels, request.group, workflow=request.workflow)
        at = bookmark.read_token(request.resume_token) if request.resume_token else None
        most = fields.most_changes(request.max_changes)
        changes = self._following.watch(query, at, include_existing=request.include_existing, most=most)
        async with aclosing(changes) as messages:
            async for *before, (place, item) in messages:
                yield _CHANGED.tell_together(place, item, before)

    async def CancelTask(
        self, request: task_service_pb2.CancelTaskRequest, context: Context
    ) -> task_service_pb2.CancelTaskResponse:
        """See the proto."""
        wrong = [*fields.name_violations(request.name, names.parse_task), *fields.reason_violations(request.reason)]
        if wrong:
            raise invalid(wrong)
        outcome = await cancel(self._log, await self._get(request.name), request.reason)
        state = outcome.task.record.state
        if state not in {State.CANCELLING, State.CANCELLED}:
            raise _finished(request.name, state)
        return task_service_pb2.CancelTaskResponse(task=outcome.task.task)

    async def _get(self, name: str) -> Stored:
        stored = await self._log.get(Key(caller.tenant(), names.parse_task(name)))
        if stored is None:
            raise not_found("task", name)
        return stored


def _event(item: Told) -> dict[str, Any]:
    match item:
        case Changes():
            return {"task": item.last.task}
        case task_pb2.TaskProgress():
            return {"progress": item}
        case task_pb2.Preview():
            return {"preview": item}
        case Heartbeat():
            return {"heartbeat": task_pb2.Heartbeat()}


def _finished(name: str, state: State) -> RefusedError:
    message = f"{name} can't be cancelled: it has ended and is {state}"
    return RefusedError("TASK_ALREADY_FINISHED", message, {"task": name, "state": state.value}, resource=name)


def _query(request: task_service_pb2.ListTasksRequest) -> Query:
    return Query(
        caller.tenant(),
        states=list(request.states),
        labels=dict(request.labels),
        group=request.group,
        graph_digest=request.graph_digest,
        workflow=request.workflow,
        created_after=seconds(request.created_after) if request.HasField("created_after") else None,
        created_before=seconds(request.created_before) if request.HasField("created_before") else None,
    )
