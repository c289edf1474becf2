"""The gRPC server: its options, its health, and how it stops."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from comfymesh.api import reflected
from comfymesh.api.access.certificates import Certificates
from comfymesh.api.interceptors import MAX_REQUEST_BYTES, Door, Edge
from comfymesh.api.room import Room
from comfymesh.runtime.service import ServiceFailedError
from comfymesh.v1 import (
    alert_service_pb2_grpc,
    asset_service_pb2_grpc,
    dead_letter_service_pb2_grpc,
    fleet_service_pb2_grpc,
    group_service_pb2_grpc,
    key_service_pb2_grpc,
    scheduling_service_pb2_grpc,
    task_service_pb2_grpc,
    tenant_service_pb2_grpc,
    usage_service_pb2_grpc,
    workflow_service_pb2_grpc,
)

MAX_MESSAGE_BYTES = 4 * MAX_REQUEST_BYTES
"""gRPC refuses what is larger before anybody sees it, without a reason. So what is within this is refused by us."""

_OPTIONS = (
    ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
    # Clients behind proxies ping idle streams; the default would punish them for that.
    ("grpc.http2.min_ping_interval_without_data_ms", 10_000),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.keepalive_time_ms", 60_000),
    # A caller that has vanished is known to be gone after these two together.
    ("grpc.keepalive_timeout_ms", 20_000),
    # The timeout of keepalive does nothing without that of pings, which is a minute by default (seen with grpcio 1.85).
    ("grpc.http2.ping_timeout_ms", 20_000),
)

_ADD: Mapping[str, Callable[[Any, grpc.aio.Server], None]] = {
    "TaskService": task_service_pb2_grpc.add_TaskServiceServicer_to_server,
    "GroupService": group_service_pb2_grpc.add_GroupServiceServicer_to_server,
    "DeadLetterService": dead_letter_service_pb2_grpc.add_DeadLetterServiceServicer_to_server,
    "AssetService": asset_service_pb2_grpc.add_AssetServiceServicer_to_server,
    "FleetService": fleet_service_pb2_grpc.add_FleetServiceServicer_to_server,
    "AlertService": alert_service_pb2_grpc.add_AlertServiceServicer_to_server,
    "TenantService": tenant_service_pb2_grpc.add_TenantServiceServicer_to_server,
    "KeyService": key_service_pb2_grpc.add_KeyServiceServicer_to_server,
    "WorkflowService": workflow_service_pb2_grpc.add_WorkflowServiceServicer_to_server,
    "UsageService": usage_service_pb2_grpc.add_UsageServiceServicer_to_server,
    "SchedulingService": scheduling_service_pb2_grpc.add_SchedulingServiceServicer_to_server,
}
"""How each service of the contract is put on a server. The class of its servicer has the service's name."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where to serve, and how.

    Attributes:
        listen: host:port, port 0 for a free one.
        certificates: Encrypt the line; None where it is not.
        max_streams: Calls that may be under way over one connection; further ones wait at the caller.
        compress: Compress responses, for callers that take that.
        shared: Share the port with other processes that do so too.
    """

    listen: str
    certificates: Certificates | None = None
    max_streams: int = 1000
    compress: bool = False
    shared: bool = False


@dataclass(slots=True)
class Server:
    """A server that listens on `port`."""

    port: int
    _server: grpc.aio.Server
    _health: Any
    _room: Room

    async def announce(self, notice: float) -> None:
        """Health turns NOT_SERVING. For `notice` seconds calls are taken all the same, until all have seen that."""
        await self._health.enter_graceful_shutdown()
        await asyncio.sleep(notice)

    async def drain(self, grace: float) -> None:
        """Take no new calls and let those under way end within `grace` seconds."""
        await self._health.enter_graceful_shutdown()
        self._room.close()
        await self._server.stop(grace)


def _open_port(server: grpc.aio.Server, place: Place) -> int:
    try:
        if place.certificates is None:
            return server.add_insecure_port(place.listen)
        return server.add_secure_port(place.listen, place.certificates.credentials())
    except RuntimeError as error:
        raise ServiceFailedError(
            f"can't listen on {place.listen}: is the port in use, or the host not ours?"
        ) from error


def _added(server: grpc.aio.Server, servicer: object) -> str:
    """Puts a servicer on a server; answers the full name of its service."""
    name = type(servicer).__name__
    _ADD[name](servicer, server)
    return f"comfymesh.v1.{name}"


@asynccontextmanager
async def serving(place: Place, door: Door, servicers: Iterable[object]) -> AsyncIterator[Server]:
    """Serve whoever passes the door.

    Raises:
        ServiceFailedError: the address can't be used.
    """
    server = grpc.aio.server(
        interceptors=[Edge(door)],
        options=(
            *_OPTIONS,
            ("grpc.so_reuseport", int(place.shared)),
            ("grpc.max_concurrent_streams", place.max_streams),
        ),
        compression=grpc.Compression.Gzip if place.compress else None,
    )
    served = [_added(server, servicer) for servicer in servicers]
    checks = health.aio.HealthServicer()  # type: ignore[attr-defined]  # the stubs know only the synchronous one
    health_pb2_grpc.add_HealthServicer_to_server(checks, server)
    reflection.enable_server_reflection(
        (*served, health.SERVICE_NAME, reflection.SERVICE_NAME), server, reflected.symbols()
    )
    port = _open_port(server, place)
    await server.start()
    for name in ("", *served):
        await checks.set(name, health_pb2.HealthCheckResponse.SERVING)
    try:
        yield Server(port, server, checks, door.room)
    finally:
        await asyncio.shield(server.stop(0))
