"""Reads and changes workflows for callers."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from weakref import WeakValueDictionary

from comfymesh import names, workflows
from comfymesh.api import fields, graph_texts
from comfymesh.api.access.quotas import Quotas
from comfymesh.api.errors import RefusedError, Violation, invalid, not_found
from comfymesh.api.following import Following
from comfymesh.api.workflows import changes
from comfymesh.api.workflows.changes import Version
from comfymesh.api.workflows.shelf import Shelf
from comfymesh.api.workflows.store import Content, Head, Packed, WorkflowStore
from comfymesh.bus.port import SequenceConflictError
from comfymesh.graphs import Graph, Limits
from comfymesh.v1.workflow_pb2 import Workflow, WorkflowVersion
from comfymesh.v1.workflow_service_pb2 import CreateWorkflowRequest, UpdateWorkflowRequest
from comfymesh.wire.v1.workflow_record_pb2 import WorkflowVersionRef

_TRIES = 10


class Workflows:
    """All that callers can do with stored workflows, but run them.

    Args:
        store: Where they are.
        shelf: Tells when a change has arrived here.
        following: Tells whether tasks were made of one.
        quotas: How many a tenant may have.
        use: Notes that an asset of a tenant is used, by its SHA-256.
        clock: Answers seconds since the epoch.
        limits: How large a graph may be.
    """

    def __init__(
        self,
        store: WorkflowStore,
        shelf: Shelf,
        following: Following,
        quotas: Quotas,
        use: Callable[[str, str], Awaitable[object]],
        clock: Callable[[], float],
        limits: Limits,
    ) -> None:
        self._store = store
        self._shelf = shelf
        self._following = following
        self._quotas = quotas
        self._use = use
        self._clock = clock
        self._limits = limits
        self._turns = WeakValueDictionary[tuple[str, str], asyncio.Lock]()

    async def get(self, tenant: str, name: str) -> Workflow:
        """A workflow with its default version, deleted ones as well.

        Raises:
            RefusedError: there is none.
        """
        return await self._shown(tenant, await self._head(tenant, name))

    async def version(self, tenant: str, name: str) -> tuple[WorkflowVersionRef, Content]:
        """A version that a name means, of a deleted workflow as well; the default one where it names none.

        Raises:
            RefusedError: there is none.
        """
        workflow_id, number = names.parse_runnable(name)
        head = await self._store.head(tenant, workflow_id)
        return await self._content(tenant, head, head.version(number), name)

    async def runnable(self, tenant: str, name: str) -> tuple[str, Content]:
        """The full name and the content of a version that tasks can be made of.

        Raises:
            RefusedError: there is none, or it is deleted.
        """
        workflow_id, number = names.parse_runnable(name)
        head = await self._store.head(tenant, workflow_id)
        version = None if head.is_deleted else head.version(number)
        found, content = await self._content(tenant, head, version, name)
        return names.workflow_version(workflow_id, found.number), content

    async def versions(self, tenant: str, name: str) -> list[WorkflowVersion]:
        """All versions, newest first, without their content.

        Raises:
            RefusedError: there is no such workflow.
        """
        head = await self._head(tenant, name)
        return [version_message(name, version) for version in reversed(head.record.versions)]

    async def create(self, tenant: str, request: CreateWorkflowRequest) -> Workflow:
        """Store a workflow.

        Raises:
            RefusedError: it is not valid, there is another of that name, or the tenant may have no more.
        """
        async with self._turn(tenant, request.workflow_id):
            return await self._create(tenant, request)

    async def _create(self, tenant: str, request: CreateWorkflowRequest) -> Workflow:
        workflow, workflow_id = request.workflow, request.workflow_id
        wrong = changes.violations(workflow)
        if not names.is_workflow_id(workflow_id):
            words = "must be 1 to 63 characters out of a-z0-9- that begin with a letter"
            wrong.insert(0, Violation("workflow_id", words))
        content = self._checked(Content(workflow.graph_json, tuple(workflow.inputs)), wrong)
        for _ in range(_TRIES):
            known = await self._store.head(tenant, workflow_id)
            if known.is_there and not known.is_deleted:
                await self._shelf.until(known.sequence)
                return await self._repeated(tenant, known, workflow, content)
            self._quotas.check_workflows(tenant)
            version = Version(content, Packed.of(content))
            self._quotas.check_bytes(tenant, len(version.packed.data))
            record = changes.created(known, workflow_id, workflow, version, self._clock())
            if request.validate_only:
                return _with_content(Head(record).workflow, content)
            await self._use_defaults(tenant, content)
            try:
                head = await self._store.write(tenant, workflow_id, record, known.sequence, version.packed)
            except SequenceConflictError:
                continue
            await self._shelf.until(head.sequence)
            return _with_content(head.workflow, content)
        raise _stale(names.workflow(workflow_id))

    async def update(self, tenant: str, request: UpdateWorkflowRequest) -> Workflow:
        """Change a workflow.

        Raises:
            RefusedError: there is none, the change is not valid, or somebody else was first.
        """
        async with self._turn(tenant, names.parse_workflow(request.workflow.name)):
            return await self._update(tenant, request)

    async def _update(self, tenant: str, request: UpdateWorkflowRequest) -> Workflow:
        workflow, paths = request.workflow, list(request.update_mask.paths)
        workflow_id = names.parse_workflow(workflow.name)
        if wrong := [*changes.mask_violations(paths), *changes.violations(workflow)]:
            raise invalid(wrong)
        for _ in range(_TRIES):
            known = await self._head(tenant, workflow.name, alive=True)
            _, current = await self._content(tenant, known, known.version(0), workflow.name)
            content = changes.wanted_content(current, workflow, paths)
            version = None
            if content != current:
                version = Version(self._checked(content, []), Packed.of(content))
            record = changes.updated(known, workflow, paths, version, self._clock())
            if record == known.record:
                await self._shelf.until(known.sequence)
                return await self._shown(tenant, known)  # Perhaps by an earlier try of this call.
            if workflow.etag not in ("", str(known.sequence)):
                break
            if version is not None:
                self._quotas.check_bytes(tenant, len(version.packed.data))
            if request.validate_only:
                return _with_content(Head(record, known.sequence).workflow, content)
            await self._use_defaults(tenant, content)
            try:
                packed = version.packed if version else None
                head = await self._store.write(tenant, workflow_id, record, known.sequence, packed)
            except SequenceConflictError:
                continue
            await self._shelf.until(head.sequence)
            return await self._shown(tenant, head)
        raise _stale(workflow.name)

    async def delete(self, tenant: str, name: str, etag: str) -> None:
        """Delete a workflow; again is fine.

        Raises:
            RefusedError: there is none, or somebody else has changed it.
        """
        async with self._turn(tenant, names.parse_workflow(name)):
            await self._delete(tenant, name, etag)

    async def _delete(self, tenant: str, name: str, etag: str) -> None:
        workflow_id = names.parse_workflow(name)
        for _ in range(_TRIES):
            known = await self._store.head(tenant, workflow_id)
            if known.is_deleted:
                if not known.is_there:  # Perhaps the one who marked it did not come so far.
                    await self._store.drop_versions(tenant, workflow_id, known.sequence)
                await self._shelf.until(known.sequence)
                return
            if not known.is_there:
                raise not_found("workflow", name)
            if etag not in ("", str(known.sequence)):
                break
            used = await self._has_tasks_of(tenant, name)
            record = changes.deleted(known, self._clock(), used=used)
            try:
                if used:
                    sequence = (await self._store.write(tenant, workflow_id, record, known.sequence)).sequence
                else:
                    sequence = await self._store.mark_gone(tenant, workflow_id, record, known.sequence)
            except SequenceConflictError:
                continue
            if not used:
                await self._store.drop_versions(tenant, workflow_id, sequence)
            await self._shelf.until(sequence)
            return
        raise _stale(name)

    async def delete_version(self, tenant: str, name: str) -> None:
        """Delete a version that nothing needs; again is fine.

        Raises:
            RefusedError: there never was one, or it is needed.
        """
        workflow_id, number = names.parse_workflow_version(name)
        async with self._turn(tenant, workflow_id):
            for _ in range(_TRIES):
                known = await self._store.head(tenant, workflow_id)
                version = known.version(number)
                if version is None:
                    if known.is_there and number <= known.record.workflow.latest_version:
                        await self._shelf.until(known.sequence)
                        return
                    raise not_found("workflow", name)
                await self._check_unused(tenant, known, name, number)
                record = changes.without_version(known, number, self._clock())
                try:
                    head = await self._store.write(tenant, workflow_id, record, known.sequence)
                except SequenceConflictError:
                    continue
                if all(other.digest != version.digest for other in record.versions):
                    await self._store.drop_version(tenant, workflow_id, version, head.sequence)
                await self._shelf.until(head.sequence)
                return
        raise _stale(name)

    async def _use_defaults(self, tenant: str, content: Content) -> None:
        """Before a version is stored: a sweep that has not seen it yet may be about to remove what it names."""
        for asset in {spec.default_value.asset for spec in content.inputs} - {""}:
            await self._use(tenant, names.parse_asset(asset))

    async def _has_tasks_of(self, tenant: str, name: str) -> bool:
        """Whether tasks were made of it that are kept, those included that have just been made."""
        await self._following.current(tenant)
        return self._following.model.has_tasks_of(tenant, name)

    async def _check_unused(self, tenant: str, known: Head, name: str, number: int) -> None:
        if number == known.record.workflow.default_version:
            words = "it is the default version; make another the default one first"
        elif await self._has_tasks_of(tenant, name):
            words = "tasks that are kept were made of it; it can go once they have left the log"
        else:
            return
        raise RefusedError("WORKFLOW_VERSION_IN_USE", f"{name} can't be deleted: {words}", {"version": name})

    def _turn(self, tenant: str, workflow_id: str) -> asyncio.Lock:
        """Changes of one workflow take turns here, so that none stores a version in vain.

        What other processes do meanwhile is found by the guard.
        """
        return self._turns.setdefault((tenant, workflow_id), asyncio.Lock())

    def graph(self, text: str, field: str) -> Graph:
        """The graph in a field of a request.

        Raises:
            RefusedError: it can't be read.
        """
        return graph_texts.read(text, self._limits, field)

    def _checked(self, content: Content, wrong: list[Violation]) -> Content:
        if not content.graph_json:
            raise invalid([*wrong, Violation("workflow.graph_json", "is required: a ComfyUI graph in API format")])
        graph = self.graph(content.graph_json, "workflow.graph_json")
        found = [Violation(f"workflow.{path}", words) for path, words in workflows.violations(content.inputs, graph)]
        for index, spec in enumerate(content.inputs):
            if spec.HasField("default_value") and not found:
                found += fields.value_violations(f"workflow.inputs[{index}].default_value", spec.default_value)
        if wrong or found:
            raise invalid([*wrong, *found])
        return content

    async def _head(self, tenant: str, name: str, *, alive: bool = False) -> Head:
        head = await self._store.head(tenant, names.parse_workflow(name))
        if not head.is_there or (alive and head.is_deleted):
            raise not_found("workflow", name)
        return head

    async def _content(
        self, tenant: str, head: Head, version: WorkflowVersionRef | None, name: str
    ) -> tuple[WorkflowVersionRef, Content]:
        if version is not None:
            workflow_id = names.parse_workflow(head.record.workflow.name)
            if (content := await self._store.content(tenant, workflow_id, version)) is not None:
                return version, content
        raise not_found("workflow", name)

    async def _shown(self, tenant: str, head: Head) -> Workflow:
        shown = head.workflow
        _, content = await self._content(tenant, head, head.version(0), shown.name)
        return _with_content(shown, content)

    async def _repeated(self, tenant: str, known: Head, workflow: Workflow, content: Content) -> Workflow:
        """What is there, where a creation asks for just that."""
        there = await self._shown(tenant, known)
        words = all(getattr(there, field) == getattr(workflow, field) for field in ("display_name", "description"))
        same = words and dict(there.labels) == dict(workflow.labels)
        if same and Content(there.graph_json, tuple(there.inputs)) == content:
            return there
        message = f"there is a {there.name} already, with other content; choose another id, or update it"
        raise RefusedError("WORKFLOW_ALREADY_EXISTS", message, {"workflow": there.name})


def version_message(workflow: str, version: WorkflowVersionRef, content: Content | None = None) -> WorkflowVersion:
    """A version as callers see it."""
    return WorkflowVersion(
        name=f"{workflow}/versions/{version.number}",
        number=version.number,
        graph_json=content.graph_json if content else "",
        inputs=content.inputs if content else (),
        graph_digest=version.graph_digest,
        create_time=version.create_time,
    )


def _with_content(workflow: Workflow, content: Content) -> Workflow:
    workflow.graph_json = content.graph_json
    workflow.inputs.extend(content.inputs)
    return workflow


def _stale(name: str) -> RefusedError:
    message = f"{name} was changed by somebody else; read it again, and then change it"
    return RefusedError("ETAG_MISMATCH", message, {"resource": name})
