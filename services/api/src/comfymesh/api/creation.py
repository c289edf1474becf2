"""From a request to a task that can be stored: everything is checked, all that is wrong is told at once."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from uuid import UUID, uuid4, uuid5

from comfymesh import names
from comfymesh.api import feasibility, fields, misspelt, nodes_files, packing
from comfymesh.api.access import allowance
from comfymesh.api.access.directory import Directory
from comfymesh.api.errors import RefusedError, Violation, invalid
from comfymesh.api.feasibility import Fit
from comfymesh.api.fleet import FleetView
from comfymesh.api.inputs import Given, Inputs, Place, field_of, with_kinds
from comfymesh.api.workflows.registry import Workflows
from comfymesh.api.workflows.resolving import Resolved, resolve
from comfymesh.artifacts.content import Content
from comfymesh.artifacts.store import BlobStore
from comfymesh.graphs import Catalog, Checker, Graph
from comfymesh.runtime import logcontext, redaction
from comfymesh.tasks import machine, rights
from comfymesh.tasks.parts import placement_of
from comfymesh.tasks.record import ANYWHERE, Definition, Key, Placement, Requirements, SpecRef, TaskRecord, Work
from comfymesh.telemetry import tracing
from comfymesh.v1 import task_pb2, task_service_pb2
from comfymesh.wire.v1 import spec_pb2

CreateRequest = task_service_pb2.CreateTaskRequest | task_service_pb2.RunTaskRequest

_REQUEST_NAMESPACE = UUID("0e2f4a6c-93b1-5a77-8f53-1d1b0c7e9a42")
_INLINE_BYTES = 1024 * 1024


@dataclass(frozen=True, slots=True)
class NewTask:
    """A task that was checked.

    Attributes:
        record: Its first record.
        graph: The text of its graph.
        files: The spec, still without the graph.
    """

    record: TaskRecord
    graph: bytes
    files: spec_pb2.Spec

    @property
    def key(self) -> Key:
        """Whose task it is, and which."""
        return self.record.key


class Creation:
    """Checks requests and prepares tasks.

    Args:
        directory: What each tenant's graphs may name.
        fleet: What could run them.
        inputs: Reads what they set.
        workflows: What they may be made of.
        store: Takes graphs that are too large for a message.
        clock: Answers seconds since the epoch.
        settle_seconds: So long after its making, missing nodes are expected to come.
    """

    def __init__(
        self,
        directory: Directory,
        fleet: FleetView,
        inputs: Inputs,
        workflows: Workflows,
        store: BlobStore,
        clock: Callable[[], float],
        settle_seconds: float,
    ) -> None:
        self._directory = directory
        self._fleet = fleet
        self._inputs = inputs
        self._workflows = workflows
        self._store = store
        self._clock = clock
        self._settled_at = clock() + settle_seconds
        self._checker = Checker()

    async def prepare(self, request: CreateRequest, tenant: str) -> NewTask:
        """Check a request.

        Raises:
            RefusedError: it is not valid, or nothing could run it.
        """
        task = request.task
        logcontext.conceal(partial(_words, task))
        if wrong := fields.violations(task, request.task_id, request.request_id):
            raise invalid(wrong)
        resolved = await resolve(self._workflows, task, tenant)
        try:
            return await self._checked(request, resolved, tenant)
        except RefusedError as error:
            raise resolved.in_callers_words(error) from None

    async def _checked(self, request: CreateRequest, resolved: Resolved, tenant: str) -> NewTask:
        task = resolved.task
        given = await self._inputs.read(task, tenant)
        graph, added = self._graph(task.graph_json, given)
        placement = placement_of(task.placement) if task.HasField("placement") else ANYWHERE
        fit = await self._fit(graph, placement, allow_partial=task.allow_partial_outputs)
        if not resolved.version:  # Whoever runs a workflow has not named its graph nodes' inputs.
            await self._check_names(graph, added)
        needed = feasibility.requirements(fit.validation, placement)
        owner = self._directory.tenant(tenant)
        if owner is not None:
            allowance.check(owner.allowance, graph, needed, given.urls)
        text = fit.validation.graph.to_json().encode()
        files = spec_pb2.Spec(
            assets=given.assets,
            urls=with_kinds(given.urls, graph, fit.catalog),
            url_hosts=owner.allowance.url_hosts if owner is not None and given.urls else (),
        )
        spec = SpecRef(_spec_digest(text, files), len(text), blobs=tuple(sorted(rights.blobs_of(files))))
        definition = _definition(
            identity(request, tenant), resolved, spec, needed, feasibility.work(fit), self._clock()
        )
        return NewTask(machine.create(definition), text, files)

    async def _fit(self, graph: Graph, placement: Placement, *, allow_partial: bool) -> Fit:
        """An instance that could run a graph. Nothing is refused for the lack of what is only being read yet."""
        check = partial(feasibility.check, graph, allow_partial=allow_partial, validate=self._checker.validate)
        try:
            return check(self._fleet.offers(), placement, settling=self._settling())
        except RefusedError:
            if not await self._fleet.looked():
                raise
        return check(self._fleet.offers(), placement, settling=self._settling())

    async def _check_names(self, graph: Graph, added: Sequence[Place]) -> None:
        """Refuse inputs that are misspelt. What an instance has of which the catalog is only being read is not."""
        wrong = [*misspelt.violations(graph, added, self._catalogs())] if added else []
        if wrong and await self._fleet.looked():
            wrong = [*misspelt.violations(graph, added, self._catalogs())]
        if wrong:
            raise invalid(wrong)

    def _catalogs(self) -> Iterable[Catalog]:
        """What the fleet offers, each once."""
        offered = (offer.catalog for offer in self._fleet.offers())
        return {id(catalog): catalog for catalog in offered if catalog is not None}.values()

    def _settling(self) -> bool:
        return self._clock() < self._settled_at

    def _graph(self, text: str, given: Given) -> tuple[Graph, list[Place]]:
        """The graph with what is given, and which inputs of that it did not have."""
        graph = self._workflows.graph(text, "task.graph_json")
        absent = [
            Violation(field_of(place), f"the graph has no graph node {place[0]!r}")
            for place in given.values
            if place[0] not in graph.nodes
        ]
        present = {place: value for place, value in given.values.items() if place[0] in graph.nodes}
        added = [place for place in present if place[1] not in graph.nodes[place[0]].inputs]
        graph = graph.with_inputs(present)
        if wrong := [*absent, *nodes_files.violations(graph, present, given.files)]:
            raise invalid(wrong)
        return graph, added

    async def seal(self, new: NewTask) -> tuple[TaskRecord, spec_pb2.Spec]:
        """The record and the spec of a task, as they are to be stored. A graph that is too large for them is stored."""
        record, spec, packed = new.record, new.files, packing.pack(new.graph)
        if len(packed) <= _INLINE_BYTES:
            spec.graph_zlib = packed
            return record, spec
        with Content.of(packed) as content:
            await self._store.put(record.key.tenant, content)
            spec.graph_blob.sha256, spec.graph_blob.size_bytes = content.sha256, content.size_bytes
        ref = replace(record.definition.spec, blobs=tuple(sorted(rights.blobs_of(spec))))
        return replace(record, definition=replace(record.definition, spec=ref)), spec


def _definition(
    named: tuple[Key, str], resolved: Resolved, spec: SpecRef, needed: Requirements, work: Work, now: float
) -> Definition:
    """What never changes of a task: what its caller asks for, and what was made of that."""
    task = resolved.task
    return Definition(
        key=named[0],
        request_digest=named[1],
        spec=spec,
        requirements=needed,
        work=work,
        create_time=now,
        display_name=task.display_name,
        priority=task.priority,
        labels=dict(task.labels),
        execution_timeout=fields.execution_timeout(task),
        start_timeout=fields.start_timeout(task),
        max_retries=task.max_retries,
        allow_partial_outputs=task.allow_partial_outputs,
        trace_parent=tracing.current(),
        group=names.parse_group(task.group) if task.group else "",
        callback_url=task.callback_url,
        callback_states=fields.callback_states(task),
        workflow_version=resolved.version,
    )


def _words(task: task_pb2.Task) -> Iterator[str]:
    """Everything in a request that a caller may have written."""
    yield from redaction.words_of_json(task.graph_json)
    yield from (value.string_value for value in task.inputs.values())


def identity(request: CreateRequest, tenant: str) -> tuple[Key, str]:
    """Which task a request with a request id makes, and the digest of its content."""
    return Key(tenant, _task_id(request, tenant)), _request_digest(request)


def derived_key(request_id: str, tenant: str) -> Key:
    """The task that follows from a request ID, the same for all replicas."""
    return Key(tenant, f"t{uuid5(_REQUEST_NAMESPACE, f'{tenant}/{request_id.lower()}').hex}")


def _task_id(request: CreateRequest, tenant: str) -> str:
    """The task's id: given, or derived from the request's so that all replicas find the same one, or new."""
    if request.task_id:
        return request.task_id
    if request.request_id:
        return derived_key(request.request_id, tenant).task_id
    return f"t{uuid4().hex}"


def _request_digest(request: CreateRequest) -> str:
    """Equal for repetitions of one request: same content, same request ID."""
    content = request.task.SerializeToString(deterministic=True)
    return hashlib.sha256(request.request_id.lower().encode() + b"/" + content).hexdigest()


def _spec_digest(text: bytes, files: spec_pb2.Spec) -> str:
    """Names the graph together with its files: specs of the same name must be the same."""
    bindings = (*files.assets, *files.urls)
    told = b"".join(binding.SerializeToString(deterministic=True) for binding in bindings)
    return hashlib.sha256(text + told + "\n".join(files.url_hosts).encode()).hexdigest()
