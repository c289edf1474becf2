"""From a request to a task that can be stored: everything is checked, all that is wrong is told at once."""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Callable, Container
from dataclasses import dataclass
from uuid import UUID, uuid4, uuid5

from comfymesh import graphs, names
from comfymesh.api import feasibility, fields, nodes_files
from comfymesh.api.access import allowance
from comfymesh.api.access.directory import Directory
from comfymesh.api.assets import Assets
from comfymesh.api.errors import RefusedError, Violation, invalid
from comfymesh.api.fleet import FleetView
from comfymesh.artifacts.content import Content
from comfymesh.artifacts.store import BlobStore
from comfymesh.graphs import Graph, GraphError, GraphErrorReason, JsonValue, Limits
from comfymesh.tasks import codec, machine, rights
from comfymesh.tasks.record import Definition, Key, SpecRef, TaskRecord
from comfymesh.telemetry import tracing
from comfymesh.v1 import task_pb2, task_service_pb2
from comfymesh.wire.v1 import spec_pb2

CreateRequest = task_service_pb2.CreateTaskRequest | task_service_pb2.RunTaskRequest

_REQUEST_NAMESPACE = UUID("0e2f4a6c-93b1-5a77-8f53-1d1b0c7e9a42")
_INLINE_BYTES = 1024 * 1024
_WINDOW_BITS = 12
_MEMORY_LEVEL = 4


@dataclass(frozen=True, slots=True)
class NewTask:
    """A task that is ready to be stored."""

    record: TaskRecord
    spec: spec_pb2.Spec

    @property
    def key(self) -> Key:
        """Whose task it is, and which."""
        return self.record.key


class Creation:
    """Checks requests and prepares tasks.

    Args:
        directory: What each tenant's graphs may name.
        fleet: What could run them.
        assets: What their inputs may name.
        store: Takes graphs that are too large for a message.
        clock: Answers seconds since the epoch.
        limits: How large a graph may be.
        settle_seconds: So long after its making, missing nodes are expected to come.
    """

    def __init__(
        self,
        directory: Directory,
        fleet: FleetView,
        assets: Assets,
        store: BlobStore,
        clock: Callable[[], float],
        limits: Limits,
        settle_seconds: float,
    ) -> None:
        self._directory = directory
        self._fleet = fleet
        self._assets = assets
        self._store = store
        self._clock = clock
        self._limits = limits
        self._settled_at = clock() + settle_seconds

    async def prepare(self, request: CreateRequest, tenant: str) -> NewTask:
        """Check a request.

        Raises:
            RefusedError: it is not valid, or nothing could run it.
        """
        task = request.task
        if wrong := fields.violations(task, request.task_id, request.request_id):
            raise invalid(wrong)
        values, bindings = await self._inputs(task, tenant)
        graph = self._graph(task.graph_json, values, {(binding.graph_node, binding.input) for binding in bindings})
        placement = codec.placement_of(task.placement)
        fit = feasibility.check(
            graph,
            self._fleet.offers(),
            placement,
            allow_partial=task.allow_partial_outputs,
            settling=self._clock() < self._settled_at,
        )
        needed = feasibility.requirements(fit.validation, placement)
        if (owner := self._directory.tenant(tenant)) is not None:
            allowance.check(owner.allowance, graph, needed)
        text = fit.validation.graph.to_json().encode()
        key, digest = identity(request, tenant)
        spec = await self._spec(text, bindings, tenant)
        definition = Definition(
            key=key,
            request_digest=digest,
            spec=SpecRef(_spec_digest(text, bindings), len(text), blobs=tuple(sorted(rights.blobs_of(spec)))),
            requirements=needed,
            work=feasibility.work(fit),
            create_time=self._clock(),
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
        )
        return NewTask(machine.create(definition), spec)

    async def _inputs(
        self, task: task_pb2.Task, tenant: str
    ) -> tuple[dict[tuple[str, str], JsonValue], list[spec_pb2.AssetBinding]]:
        values: dict[tuple[str, str], JsonValue] = {}
        bindings, missing = list[spec_pb2.AssetBinding](), list[Violation]()
        for path, value in task.inputs.items():
            graph_node, _, name = path.partition(".")
            kind = value.WhichOneof("kind")
            if kind != "asset":
                values[graph_node, name] = getattr(value, str(kind))
                continue
            known = await self._assets.use(tenant, names.parse_asset(value.asset))
            if known is None:
                missing.append(Violation(f"task.inputs[{path}]", f"there is no {value.asset}; upload it first"))
                continue
            asset = known.record
            # The file's name on the node stands in until the agent has staged it and knows the real one.
            values[graph_node, name] = asset.filename
            bindings.append(
                spec_pb2.AssetBinding(graph_node=graph_node, input=name, blob=asset.blob, filename=asset.filename)
            )
        if missing:
            raise RefusedError("ASSET_NOT_FOUND", "an input names an asset that does not exist", violations=missing)
        return values, bindings

    def _graph(self, text: str, values: dict[tuple[str, str], JsonValue], assets: Container[tuple[str, str]]) -> Graph:
        try:
            graph = graphs.parse_graph(text, self._limits)
        except GraphError as error:
            raise _unparsable(error, len(text.encode()), self._limits.max_bytes) from error
        absent = [
            Violation(f"task.inputs[{graph_node}.{name}]", f"the graph has no graph node {graph_node!r}")
            for graph_node, name in values
            if graph_node not in graph.nodes
        ]
        present = {place: value for place, value in values.items() if place[0] in graph.nodes}
        graph = graph.with_inputs(present)
        if wrong := [*absent, *nodes_files.violations(graph, present, assets)]:
            raise invalid(wrong)
        return graph

    async def _spec(self, text: bytes, bindings: list[spec_pb2.AssetBinding], tenant: str) -> spec_pb2.Spec:
        packed = _packed(text)
        if len(packed) <= _INLINE_BYTES:
            return spec_pb2.Spec(graph_zlib=packed, assets=bindings)
        with Content.of(packed) as content:
            await self._store.put(tenant, content)
            blob = spec_pb2.BlobRef(sha256=content.sha256, size_bytes=content.size_bytes)
        return spec_pb2.Spec(graph_blob=blob, assets=bindings)


def _packed(text: bytes) -> bytes:
    # The window of 4 KiB costs graphs next to nothing; the usual one would have to be cleared anew for each of them,
    # which takes ten times as long as to compress it.
    packer = zlib.compressobj(1, zlib.DEFLATED, _WINDOW_BITS, _MEMORY_LEVEL)
    return packer.compress(text) + packer.flush()


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


def _spec_digest(text: bytes, bindings: list[spec_pb2.AssetBinding]) -> str:
    """Names the graph together with its files: specs of the same name must be the same."""
    files = b"".join(binding.SerializeToString(deterministic=True) for binding in bindings)
    return hashlib.sha256(text + files).hexdigest()


def _unparsable(error: GraphError, size: int, limit: int) -> RefusedError:
    if error.reason is GraphErrorReason.TOO_LARGE:
        metadata = {"size_bytes": str(size), "limit_bytes": str(limit)}
        return RefusedError("MESSAGE_TOO_LARGE", error.message, metadata)
    metadata = {"problem": error.reason.value}
    if error.node_id is not None:
        metadata["graph_node"] = error.node_id
    if error.line is not None:
        metadata |= {"line": str(error.line), "column": str(error.column)}
    violation = Violation("task.graph_json", error.message)
    return RefusedError("GRAPH_UNPARSABLE", f"the graph can't be read: {error.message}", metadata, [violation])
