"""Stores new tasks, each once however often it is asked for."""

from __future__ import annotations

from dataclasses import dataclass

from comfymesh import names
from comfymesh.api.access.quotas import Quotas
from comfymesh.api.creation import CreateRequest, Creation, NewTask, derived_key, identity
from comfymesh.api.errors import RefusedError, not_found
from comfymesh.bus.tasklog import MadeElsewhereError, StaleRecordError, Stored, TaskLog
from comfymesh.runtime.faultpoints import FaultPoint, reached
from comfymesh.tasks import codec
from comfymesh.v1 import task_pb2


@dataclass(frozen=True, slots=True)
class Submitting:
    """Accepts tasks.

    Attributes:
        creation: Checks them.
        log: Takes them.
        quotas: How many a tenant may have.
    """

    creation: Creation
    log: TaskLog
    quotas: Quotas

    async def submit(self, request: CreateRequest, tenant: str, *, validate_only: bool) -> task_pb2.Task:
        """The task that a request makes, has made, or, with `validate_only`, would make.

        Raises:
            RefusedError: it is not valid, or nothing could run it.
        """
        new = await self.prepare(request, tenant)
        if validate_only and isinstance(new, NewTask):
            return codec.to_task(new.record)
        return (await self.store(new, request)).task

    async def prepare(self, request: CreateRequest, tenant: str) -> NewTask | Stored:
        """A task to be stored; or, where that is refused now, what an earlier call with the same request ID has stored.

        The fleet may have changed since then, and a task that was accepted stays accepted.

        Raises:
            RefusedError: it is not valid, or nothing could run it.
        """
        try:
            return await self.creation.prepare(request, tenant)
        except RefusedError:
            earlier = await self._earlier(request, tenant)
            if earlier is None:
                raise
            return earlier

    async def store(self, new: NewTask | Stored, request: CreateRequest) -> Stored:
        """The task in the log: made now, or by an earlier call with the same request ID.

        Raises:
            RefusedError: there is another task of that id, or the tenant has as many as it may.
        """
        if isinstance(new, Stored):
            return new
        if request.request_id and request.task_id:
            await self._bind(new, request)
        reached(FaultPoint.TASK_CHECKED)
        try:
            stored = await self._create(new, request)
        except StaleRecordError as error:
            if error.last is None:
                raise not_found("task", names.task(new.key.task_id)) from error
            return _repeated(error.last, new, request)
        except MadeElsewhereError as error:
            raise reused(request.request_id, names.task(error.task_id)) from error
        reached(FaultPoint.TASK_STORED)
        return stored

    async def _create(self, new: NewTask, request: CreateRequest) -> Stored:
        try:
            async with self.quotas.task(new.key.tenant) as counted:
                stored = await self.log.create(*await self.creation.seal(new))
                counted(stored.sequence)
        except RefusedError:
            # What was accepted stays so, however little room there is now.
            if (earlier := await self._earlier(request, new.key.tenant)) is None:
                raise
            return earlier
        return stored

    async def _bind(self, new: NewTask, request: CreateRequest) -> None:
        """A request ID makes one task; with an id of the caller's own that does not follow from the name."""
        derived = derived_key(request.request_id, new.key.tenant)
        if derived == new.key:
            return
        try:
            await self.log.bind(derived, new.key.task_id)
        except StaleRecordError as error:
            raise reused(request.request_id, names.task(derived.task_id)) from error
        except MadeElsewhereError as error:
            raise reused(request.request_id, names.task(error.task_id)) from error

    async def _earlier(self, request: CreateRequest, tenant: str) -> Stored | None:
        key, digest = identity(request, tenant)
        if not request.request_id or not names.is_task_id(key.task_id):
            return None
        stored = await self.log.get(key)
        return stored if stored and stored.message.request_digest == digest else None


def _repeated(stored: Stored, new: NewTask, request: CreateRequest) -> Stored:
    name = names.task(stored.key.task_id)
    if request.request_id and stored.message.request_digest == new.record.definition.request_digest:
        return stored
    if request.task_id:
        raise RefusedError("TASK_ALREADY_EXISTS", f"there is a {name} already; choose another id", {"task": name})
    raise reused(request.request_id, name)


def reused(request_id: str, name: str) -> RefusedError:
    """A request ID that has made the task `name` out of something else."""
    message = f"request_id {request_id} has made {name} out of another request; use a new one"
    return RefusedError("REQUEST_ID_REUSED", message, {"task": name})
