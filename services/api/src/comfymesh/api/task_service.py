"""comfymesh.v1.TaskService."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from typing import Any

import grpc

from comfymesh import names
from comfymesh.api import paging, waiting
from comfymesh.api.artifacts import Artifacts
from comfymesh.api.creation import CreateRequest, Creation, NewTask, identity
from comfymesh.api.errors import RefusedError, Violation, invalid, not_found
from comfymesh.api.fleet import FleetView
from comfymesh.api.hub import Hub
from comfymesh.api.readmodel import Place, Query, ReadModel
from comfymesh.api.tenancy import DEFAULT_TENANT
from comfymesh.api.watch import Item, make_token, read_token
from comfymesh.api.watching import Heartbeat, Watching
from comfymesh.bus.tasklog import StaleRecordError, Stored, TaskLog
from comfymesh.tasks import codec
from comfymesh.tasks.codec import seconds
from comfymesh.tasks.events import CancelRequested
from comfymesh.tasks.record import Key, State
from comfymesh.v1 import task_pb2, task_service_pb2, task_service_pb2_grpc

Context = grpc.aio.ServicerContext[Any, Any]

_MAX_REASON = 512
_CANCEL_TRIES = 10
_MAX_CONDITIONS = 64


class TaskService(task_service_pb2_grpc.TaskServiceServicer):
    """Creates, follows and stops tasks."""

    def __init__(
        self,
        log: TaskLog,
        creation: Creation,
        hub: Hub,
        watching: Watching,
        model: ReadModel,
        artifacts: Artifacts,
        fleet: FleetView,
    ) -> None:
        self._fleet = fleet
        self._log = log
        self._creation = creation
        self._hub = hub
        self._watching = watching
        self._model = model
        self._artifacts = artifacts

    async def CreateTask(
        self, request: task_service_pb2.CreateTaskRequest, context: Context
    ) -> task_service_pb2.CreateTaskResponse:
        """See the proto."""
        new = await self._prepare(request)
        if request.validate_only and isinstance(new, NewTask):
            return task_service_pb2.CreateTaskResponse(task=codec.to_message(new.record).task)
        stored = await self._store(new, request)
        return task_service_pb2.CreateTaskResponse(task=stored.task)

    async def RunTask(
        self, request: task_service_pb2.RunTaskRequest, context: Context
    ) -> AsyncIterator[task_service_pb2.RunTaskResponse]:
        """See the proto."""
        new = await self._prepare(request)
        # The mailbox is there before the task is, so nothing that happens to it can be missed.
        async with self._watching.listening(new.key, previews=request.include_previews) as mailbox:
            stored = await self._store(new, request)
            mailbox.begin(stored.sequence - 1)
            mailbox.offer(stored)
            chunks: list[task_service_pb2.ArtifactChunk] = []
            async for position, item in self._watching.follow(mailbox, new.key, previews=request.include_previews):
                response = task_service_pb2.RunTaskResponse(resume_token=make_token(position), **_event(item))
                if request.include_artifacts and response.task.artifacts:
                    chunks = await self._artifacts.together(DEFAULT_TENANT, response.task.artifacts)
                    response.artifact_chunks.extend(chunks)
                yield response
        if request.include_artifacts and not chunks:
            token = make_token(mailbox.position)
            async for chunk in self._artifacts.pieces(DEFAULT_TENANT, mailbox.task.artifacts):
                yield task_service_pb2.RunTaskResponse(resume_token=token, artifact_chunk=chunk)

    async def GetTask(
        self, request: task_service_pb2.GetTaskRequest, context: Context
    ) -> task_service_pb2.GetTaskResponse:
        """See the proto."""
        task = (await self._get(request.name)).task
        if task.state == task_pb2.Task.STATE_QUEUED:
            task.state_reason = waiting.explain(task.state_reason, self._fleet.offers())
        return task_service_pb2.GetTaskResponse(task=task)

    async def ListTasks(
        self, request: task_service_pb2.ListTasksRequest, context: Context
    ) -> task_service_pb2.ListTasksResponse:
        """See the proto."""
        size = paging.size(request.page_size)
        if len(request.labels) + len(request.states) > _MAX_CONDITIONS:
            raise invalid(
                [Violation("labels", f"at most {_MAX_CONDITIONS} labels and states can be asked for at once")]
            )
        place = None
        if request.page_token:
            created, task_id = paging.read_token(request, request.page_token, float, str)
            place = Place(float(created), str(task_id))
        found, end = self._model.page(_query(request), size, place)
        token = paging.make_token(request, [end.created, end.task_id]) if end else ""
        return task_service_pb2.ListTasksResponse(tasks=[stored.task for stored in found], next_page_token=token)

    async def WatchTask(
        self, request: task_service_pb2.WatchTaskRequest, context: Context
    ) -> AsyncIterator[task_service_pb2.WatchTaskResponse]:
        """See the proto."""
        key = Key(DEFAULT_TENANT, names.parse_task(request.name))
        after = read_token(request.resume_token)
        async for position, item in self._watching.watch(key, after, previews=request.include_previews):
            yield task_service_pb2.WatchTaskResponse(resume_token=make_token(position), **_event(item))

    async def CancelTask(
        self, request: task_service_pb2.CancelTaskRequest, context: Context
    ) -> task_service_pb2.CancelTaskResponse:
        """See the proto."""
        if len(request.reason) > _MAX_REASON:
            raise invalid([Violation("reason", f"has {len(request.reason)} characters, at most {_MAX_REASON}")])
        stored = await self._get(request.name)
        for _ in range(_CANCEL_TRIES):
            if stored.record.state in {State.CANCELLING, State.CANCELLED}:
                return task_service_pb2.CancelTaskResponse(task=stored.task)
            if stored.record.is_final:
                raise _finished(request.name, stored.record.state)
            try:
                changed = await self._log.change(stored, CancelRequested(request.reason), time.time())
            except StaleRecordError as error:
                if error.last is None:
                    raise not_found("task", request.name) from error
                stored = error.last
            else:
                return task_service_pb2.CancelTaskResponse(task=changed.task)
        message = f"{request.name} changed {_CANCEL_TRIES} times while it was being cancelled; try again"
        raise RefusedError("BUS_UNAVAILABLE", message, retry_after=0.1)

    async def _get(self, name: str) -> Stored:
        stored = await self._log.get(Key(DEFAULT_TENANT, names.parse_task(name)))
        if stored is None:
            raise not_found("task", name)
        return stored

    async def _prepare(self, request: CreateRequest) -> NewTask | Stored:
        """A task to be stored; or, where that is refused now, what an earlier call with the same request ID has stored.

        The fleet may have changed since then, and a task that was accepted stays accepted.
        """
        try:
            return await self._creation.prepare(request, DEFAULT_TENANT)
        except RefusedError:
            earlier = await self._earlier(request)
            if earlier is None:
                raise
            return earlier

    async def _earlier(self, request: CreateRequest) -> Stored | None:
        key, digest = identity(request, DEFAULT_TENANT)
        if not request.request_id or not names.is_task_id(key.task_id):
            return None
        stored = await self._log.get(key)
        return stored if stored and stored.message.request_digest == digest else None

    async def _store(self, new: NewTask | Stored, request: CreateRequest) -> Stored:
        """The task in the log: made now, or by an earlier call with the same request ID."""
        if isinstance(new, Stored):
            return await self._get(names.task(new.key.task_id))
        try:
            return await self._log.create(new.record, new.spec)
        except StaleRecordError as error:
            if error.last is None:
                raise not_found("task", names.task(new.record.key.task_id)) from error
            return _repeated(error.last, new, request)


def _event(item: Item | Heartbeat) -> dict[str, Any]:
    match item:
        case Stored():
            return {"task": item.task}
        case task_pb2.TaskProgress():
            return {"progress": item}
        case task_pb2.Preview():
            return {"preview": item}
        case Heartbeat():
            return {"heartbeat": task_pb2.Heartbeat()}


def _repeated(stored: Stored, new: NewTask, request: CreateRequest) -> Stored:
    name = names.task(stored.key.task_id)
    if request.request_id and stored.message.request_digest == new.record.definition.request_digest:
        return stored
    if request.task_id:
        raise RefusedError("TASK_ALREADY_EXISTS", f"there is a {name} already; choose another id", {"task": name})
    message = f"request_id {request.request_id} made {name} out of other content; use a new one"
    raise RefusedError("REQUEST_ID_REUSED", message, {"task": name})


def _finished(name: str, state: State) -> RefusedError:
    message = f"{name} can't be cancelled: it has ended and is {state}"
    return RefusedError("TASK_ALREADY_FINISHED", message, {"task": name, "state": state.value}, resource=name)


def _query(request: task_service_pb2.ListTasksRequest) -> Query:
    return Query(
        DEFAULT_TENANT,
        states=list(request.states),
        labels=dict(request.labels),
        created_after=seconds(request.created_after) if request.HasField("created_after") else None,
        created_before=seconds(request.created_before) if request.HasField("created_before") else None,
    )
