"""The api in this process, on a bus in memory, at a real gRPC port. There is one node; nothing runs what is created."""

from __future__ import annotations

import asyncio
import json
import secrets
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any, Self
from unittest.mock import patch

import grpc
from google.protobuf.message import Message
from google.rpc import error_details_pb2, status_pb2

from comfymesh import names
from comfymesh.api import main
from comfymesh.api.settings import ApiSettings
from comfymesh.artifacts.bus_store import BusStore
from comfymesh.artifacts.catalogs import write_catalog
from comfymesh.bus import subjects
from comfymesh.bus.port import Entry
from comfymesh.bus.tasklog import TaskLog
from comfymesh.stack.mesh import free_port
from comfymesh.testkit.memory_bus import MemoryBus
from comfymesh.testkit.refusals import answer_to
from comfymesh.testkit.waiting import DEADLINE, until
from comfymesh.v1 import (
    alert_service_pb2,
    asset_service_pb2,
    dead_letter_service_pb2,
    fleet_service_pb2,
    group_service_pb2,
    key_pb2,
    key_service_pb2,
    node_pb2,
    scheduling_service_pb2,
    task_service_pb2,
    tenant_service_pb2,
    usage_service_pb2,
    workflow_service_pb2,
)
from comfymesh.wire.v1 import node_report_pb2

BOOTSTRAP = secrets.token_hex(32)
NODE = "gpu-1"
CLASSES = {
    "Load": {"input": {"required": {"name": [["a.safetensors", "b.safetensors"], {}]}}, "output": ["IMAGE"]},
    "LoadImage": {"input": {"required": {"image": [["x.png"], {"image_upload": True}]}}, "output": ["IMAGE"]},
    "Save": {"input": {"required": {"images": ["IMAGE"]}}, "output": [], "output_node": True},
}
GRAPH = {
    "1": {"class_type": "Load", "inputs": {"name": "a.safetensors"}},
    "2": {"class_type": "Save", "inputs": {"images": ["1", 0]}},
}

_FOLLOWING = ("Watch", "Run")
"""Methods whose streams go on with what happens."""

_ALL_TOLD = {"caught_up", "synced"}
"""Messages behind all that is there."""

SERVICES = {
    service.full_name: service
    for module in (
        alert_service_pb2,
        asset_service_pb2,
        dead_letter_service_pb2,
        fleet_service_pb2,
        group_service_pb2,
        key_service_pb2,
        scheduling_service_pb2,
        task_service_pb2,
        tenant_service_pb2,
        usage_service_pb2,
        workflow_service_pb2,
    )
    for service in module.DESCRIPTOR.services_by_name.values()
}


class Bus(MemoryBus):
    """A bus that is entered, as the real one is."""

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        pass


class Refused(Exception):  # noqa: N818  # named for what it means
    """A call was refused: its code, the reason, and all details by their kind."""

    def __init__(self, error: grpc.aio.AioRpcError) -> None:
        self.code = error.code().name
        pairs: Any = error.trailing_metadata() or ()
        trailing: dict[str, Any] = dict(pairs)
        status = status_pb2.Status.FromString(trailing.get("grpc-status-details-bin", b""))
        self.message = error.details() or ""
        self.details: dict[str, Any] = {}
        for packed in status.details:
            kind = packed.TypeName().rpartition(".")[2]
            self.details[kind] = getattr(error_details_pb2, kind)()
            packed.Unpack(self.details[kind])
        info = self.details.get("ErrorInfo", error_details_pb2.ErrorInfo())
        self.reason, self.metadata = info.reason, dict(info.metadata)
        super().__init__(f"{self.code} {self.reason}: {self.message}")


class LocalApi:
    """An api that serves.

    Args:
        bus: What it is on.
        channel: A channel to it.
        target: Its address.
        stop: Set it, and the api stops.
    """

    def __init__(self, bus: Bus, channel: grpc.aio.Channel, target: str, stop: asyncio.Event) -> None:
        self.bus = bus
        self.stop = stop
        self.log = TaskLog(bus)
        self.channel = channel
        self.target = target

    async def call(self, method: str, request: Any, secret: str = BOOTSTRAP) -> Any:
        """Call a method, such as `TaskService/GetTask`; answers the response, or a list of them.

        `request` is one message, or a list of them where the method takes a stream. Streams that would go on for ever
        are left once they say that all was told that is there, and those that say no such thing when they fall silent.

        Raises:
            Refused: the call was.
        """
        return await self.raw(method, request, (("authorization", f"Bearer {secret}"),) if secret else ())

    async def raw(self, method: str, request: Any, metadata: Sequence[tuple[str, str]]) -> Any:
        """The same with these metadata."""
        described = find(method)
        given = iter(request) if described.client_streaming else request
        streams = described.client_streaming, described.server_streaming
        make: Any = {
            (False, False): self.channel.unary_unary,
            (False, True): self.channel.unary_stream,
            (True, False): self.channel.stream_unary,
            (True, True): self.channel.stream_stream,
        }[streams]
        read = response_type(described).FromString
        method_of = make(f"/comfymesh.v1.{method}", lambda message: message.SerializeToString(), read)
        call = method_of(given, metadata=metadata, timeout=DEADLINE)
        try:
            if not described.server_streaming:
                return await answer_to(call)
            return await (_some(call) if described.name.startswith(_FOLLOWING) else _all(call))
        except grpc.aio.AioRpcError as error:
            raise Refused(error) from None

    async def tenant(self, tenant_id: str, *scopes: str, **tenant: Any) -> str:
        """Make a tenant; answers the secret of a key of it, by default to submit and read."""
        request = tenant_service_pb2.CreateTenantRequest(tenant_id=tenant_id, tenant=tenant)
        await self.call("TenantService/CreateTenant", request)
        return await self.key(tenant_id, *(scopes or ("SUBMIT", "READ")))

    async def key(self, tenant_id: str, *scopes: str, **key: Any) -> str:
        """Make a key; answers its secret."""
        made = await self.make_key(tenant_id, *scopes, **key)
        return str(made.secret)

    async def make_key(self, tenant_id: str, *scopes: str, **key: Any) -> key_service_pb2.CreateKeyResponse:
        """Make a key."""
        wanted = key_pb2.Key(scopes=[f"SCOPE_{scope}" for scope in scopes], **key)
        request = key_service_pb2.CreateKeyRequest(parent=names.tenant(tenant_id), key=wanted)
        answer: key_service_pb2.CreateKeyResponse = await self.call("KeyService/CreateKey", request)
        return answer


@asynccontextmanager
async def local_api(directory: Path, bus: Bus | None = None, **settings: Any) -> AsyncIterator[LocalApi]:
    """Serve until left. Callers need keys; `BOOTSTRAP` is one."""
    bootstrap = directory / "bootstrap.key"
    bootstrap.write_text(BOOTSTRAP)
    listen = f"127.0.0.1:{free_port()}"
    chosen: dict[str, Any] = {"api_listen": listen, "api_bootstrap_key_file": str(bootstrap), **settings}
    used, stop = bus or Bus(), asyncio.Event()
    await report(used)

    async def opened(*_: object) -> Bus:
        return used

    async with AsyncExitStack() as stack:
        stack.enter_context(patch.object(main, "open_bus", opened))
        serving = asyncio.ensure_future(main.serve(ApiSettings(**chosen), stop))
        try:
            await until(partial(_ready, listen, serving), "the api")
            channel = await stack.enter_async_context(grpc.aio.insecure_channel(listen))
            api = LocalApi(used, channel, listen, stop)
            if settings.get("api_auth") != "open" and not settings.get("api_tls_certificate"):
                await until(lambda: _knows_fleet(api), "the fleet")
            yield api
        finally:
            stop.set()
            await serving


async def report(bus: Bus) -> None:
    """Let a node report that offers the classes of `CLASSES`."""
    catalog = await write_catalog(BusStore(bus), json.dumps(CLASSES).encode())
    instance = node_pb2.Instance(name="x", state=node_pb2.Instance.STATE_READY)
    availability = node_pb2.Node.AVAILABILITY_OPEN
    message = node_report_pb2.NodeReport(
        node=node_pb2.Node(name=names.node(NODE), availability=availability, instances=[instance]),
        offers=[node_report_pb2.Offer(instance="x", catalog=catalog)],
    )
    await bus.append([Entry(subjects.report(NODE), message.SerializeToString())])


def find(method: str) -> Any:
    """A method's descriptor."""
    service, _, name = method.partition("/")
    return SERVICES[f"comfymesh.v1.{service}"].methods_by_name[name]


def response_type(method: Any) -> type[Message]:
    """The class of a method's responses."""
    kind: type[Message] = method.output_type._concrete_class
    return kind


def request_type(method: Any) -> type[Message]:
    """The class of a method's requests."""
    kind: type[Message] = method.input_type._concrete_class
    return kind


def methods() -> list[str]:
    """Every method of the contract, such as `TaskService/GetTask`."""
    return sorted(
        f"{service.name}/{method.name}" for service in SERVICES.values() for method in service.methods_by_name.values()
    )


async def _all(call: Any) -> list[Any]:
    return [message async for message in call]


async def _some(call: Any) -> list[Any]:
    """What a stream has to tell at once."""
    found: list[Any] = []
    messages = aiter(call)
    while not (found and any(field.name in _ALL_TOLD for field, _ in found[-1].ListFields())):
        try:
            found.append(await asyncio.wait_for(anext(messages), 0.3 if found else None))
        except StopAsyncIteration:
            return found
        except TimeoutError:
            break
    call.cancel()
    return found


async def _ready(address: str, serving: asyncio.Future[None]) -> bool:
    if serving.done():
        await serving
    return await _listens(address)


async def _listens(address: str) -> bool:
    host, _, port = address.partition(":")
    try:
        _, writer = await asyncio.open_connection(host, int(port))
    except OSError:
        return False
    writer.close()
    return True


async def _knows_fleet(api: LocalApi) -> bool:
    request = task_service_pb2.CreateTaskRequest(validate_only=True)
    request.task.graph_json = json.dumps(GRAPH)
    try:
        await api.call("TaskService/CreateTask", request)
    except Refused:
        return False
    return True
