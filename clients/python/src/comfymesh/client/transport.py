"""The wire: with `answers` all that knows grpc. Calls go in, messages come out, every failure is a ComfyMeshError."""

from __future__ import annotations

import asyncio
import random
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, cast, get_type_hints

import grpc
from grpc import StatusCode, aio

from comfymesh.client import tracing
from comfymesh.client.access import Access
from comfymesh.client.alert_methods import AlertMethods
from comfymesh.client.answers import Answer, is_lost
from comfymesh.client.errors import CLOSED, DeadlineExceeded, Unavailable
from comfymesh.client.replicas import Replicas
from comfymesh.client.silence import Silence
from comfymesh.client.statuses import DETAILS_KEY, STREAM_BROKEN, Status, error_from_status
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

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterable

    from comfymesh.client.errors import ComfyMeshError
    from comfymesh.v1 import asset_service_pb2 as assets_pb
    from comfymesh.v1 import group_service_pb2 as groups_pb
    from comfymesh.v1 import task_service_pb2 as tasks_pb

Q = TypeVar("Q")
R = TypeVar("R")

SILENCE_LIMIT = 60.0
"""Seconds without a message after which a stream counts as broken. The server sends a heartbeat after 15."""

_OPTIONS = (
    # A preview or a long error may exceed gRPC's 4 MiB; what may be sent is for the server to say.
    ("grpc.max_receive_message_length", 64 * 1024 * 1024),
    ("grpc.max_send_message_length", -1),
    # So much of a stream may be on its way. gRPC's 64 KiB are used up, by hundreds of watches on one connection, within
    # the time that a busy server takes to read that there is room again; then all of them stand still.
    ("grpc.http2.lookahead_bytes", 1024 * 1024),
    # The SDK decides when to try again; gRPC's own pauses of up to two minutes would get in its way.
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 1000),
    ("grpc.enable_retries", 0),
    # A server that has vanished is known to be gone after half a minute.
    ("grpc.keepalive_time_ms", 20_000),
    ("grpc.keepalive_timeout_ms", 10_000),
    ("grpc.http2.ping_timeout_ms", 10_000),
)

_SOONER = {"grpc.keepalive_time_ms": 10_000, "grpc.keepalive_timeout_ms": 4_000, "grpc.http2.ping_timeout_ms": 4_000}
_OPTIONS_OF_SEVERAL = tuple({**dict(_OPTIONS), **_SOONER}.items())
"""Where another one can be asked, so soon that it can answer before the call's time is over."""


@dataclass(frozen=True, slots=True)
class Stubs:
    """An open channel, and the methods that can be called over it."""

    channel: aio.Channel
    tasks: task_service_pb2_grpc.TaskServiceStub
    assets: asset_service_pb2_grpc.AssetServiceStub
    fleet: fleet_service_pb2_grpc.FleetServiceStub
    groups: group_service_pb2_grpc.GroupServiceStub
    letters: dead_letter_service_pb2_grpc.DeadLetterServiceStub
    alerts: alert_service_pb2_grpc.AlertServiceStub
    scheduling: scheduling_service_pb2_grpc.SchedulingServiceStub
    tenants: tenant_service_pb2_grpc.TenantServiceStub
    keys: key_service_pb2_grpc.KeyServiceStub
    usage: usage_service_pb2_grpc.UsageServiceStub
    workflows: workflow_service_pb2_grpc.WorkflowServiceStub


_STUBS = {name: stub for name, stub in get_type_hints(Stubs).items() if name != "channel"}
"""How each of them is made. A new service is a line in `Stubs`."""


class _Known:
    """A channel on which every call says who makes it, and from where in a trace."""

    def __init__(self, channel: aio.Channel, access: Access) -> None:
        self._channel = channel
        self._access = access

    def __getattr__(self, kind: str) -> Callable[..., Callable[..., Any]]:
        """One of the four ways to make a method, such as `unary_unary`."""
        make = getattr(self._channel, kind)

        def known(*of: Any, **how: Any) -> Callable[..., Any]:  # noqa: ANN401  # as the stubs have it
            method = make(*of, **how)
            return lambda *args, **more: method(*args, metadata=(*self._access.metadata(), *tracing.metadata()), **more)

        return known


class Transport(AlertMethods):
    """A channel to the server that is asked; when that fails a call, the next call goes to the next server.

    Args:
        target: Address, ``host:port`` or any other gRPC target; several with commas between.
        access: Who calls, and how the line is protected.

    Raises:
        InvalidRequest: A key would be shown to everybody on the way, or an address is missing.
    """

    def __init__(self, target: str, access: Access | None = None) -> None:
        self.target = target
        self._access = access or Access()
        self._replicas = Replicas(target, random.random())  # noqa: S311  # spreads load, keeps no secret
        for name in self._replicas.names:
            self._access.check(name)
        self._opened: dict[str, Stubs] = {}
        self._closed = False

    async def close(self) -> None:
        """Closes the channels; calls under way fail, and what would try them again finds no other channel."""
        self._closed = True
        opened, self._opened = self._opened, {}
        for stubs in opened.values():
            await stubs.channel.close(None)

    async def call(self, start: Callable[[Stubs], Awaitable[R]]) -> R:
        """A call that `start` begins."""
        return await self._unary(start(self._open))

    def stream(self, start: Callable[[Stubs], aio.UnaryStreamCall[Any, R]]) -> AsyncGenerator[R]:
        """The messages of a stream that `start` begins."""
        return self._stream(start(self._open))

    async def create_task(self, request: tasks_pb.CreateTaskRequest, timeout: float) -> tasks_pb.CreateTaskResponse:
        """TaskService.CreateTask."""
        return await self._unary(self._open.tasks.CreateTask(request, timeout=timeout))

    async def batch_create_tasks(
        self, request: tasks_pb.BatchCreateTasksRequest, timeout: float
    ) -> tasks_pb.BatchCreateTasksResponse:
        """TaskService.BatchCreateTasks."""
        return await self._unary(self._open.tasks.BatchCreateTasks(request, timeout=timeout))

    async def get_task(self, request: tasks_pb.GetTaskRequest, timeout: float) -> tasks_pb.GetTaskResponse:
        """TaskService.GetTask."""
        return await self._unary(self._open.tasks.GetTask(request, timeout=timeout))

    async def list_tasks(self, request: tasks_pb.ListTasksRequest, timeout: float) -> tasks_pb.ListTasksResponse:
        """TaskService.ListTasks."""
        return await self._unary(self._open.tasks.ListTasks(request, timeout=timeout))

    async def cancel_task(self, request: tasks_pb.CancelTaskRequest, timeout: float) -> tasks_pb.CancelTaskResponse:
        """TaskService.CancelTask."""
        return await self._unary(self._open.tasks.CancelTask(request, timeout=timeout))

    def run_task(self, request: tasks_pb.RunTaskRequest) -> AsyncGenerator[tasks_pb.RunTaskResponse]:
        """TaskService.RunTask."""
        return self._stream(self._open.tasks.RunTask(request))

    def watch_task(self, request: tasks_pb.WatchTaskRequest) -> AsyncGenerator[tasks_pb.WatchTaskResponse]:
        """TaskService.WatchTask."""
        return self._stream(self._open.tasks.WatchTask(request))

    def watch_tasks(self, request: tasks_pb.WatchTasksRequest) -> AsyncGenerator[tasks_pb.WatchTasksResponse]:
        """TaskService.WatchTasks."""
        return self._stream(self._open.tasks.WatchTasks(request))

    def watch_group(self, request: groups_pb.WatchGroupRequest) -> AsyncGenerator[groups_pb.WatchGroupResponse]:
        """GroupService.WatchGroup."""
        return self._stream(self._open.groups.WatchGroup(request))

    def read_artifact(self, request: assets_pb.ReadArtifactRequest) -> AsyncGenerator[assets_pb.ReadArtifactResponse]:
        """AssetService.ReadArtifact."""
        return self._stream(self._open.assets.ReadArtifact(request))

    async def begin_upload(
        self, request: assets_pb.BeginUploadRequest, timeout: float
    ) -> assets_pb.BeginUploadResponse:
        """AssetService.BeginUpload."""
        return await self._unary(self._open.assets.BeginUpload(request, timeout=timeout))

    async def upload_asset(
        self, requests: AsyncIterator[assets_pb.UploadAssetRequest]
    ) -> assets_pb.UploadAssetResponse:
        """AssetService.UploadAsset."""
        asked, call = self._replicas.current, self._open.assets.UploadAsset()
        answer = Answer(call)
        try:
            await self._send(call, requests)
            async with asyncio.timeout(SILENCE_LIMIT):
                return await self._unary(answer, asked)
        except TimeoutError:
            raise self._failed(asked, self._silent()) from None
        finally:
            call.cancel()

    @property
    def _alerts(self) -> alert_service_pb2_grpc.AlertServiceStub:
        return self._open.alerts

    @property
    def _open(self) -> Stubs:
        if self._closed:
            raise RuntimeError(CLOSED)
        # At the first call and not before, because a channel belongs to the loop that is running then.
        name = self._replicas.current
        if name not in self._opened:
            channel = self._channel(name)
            known: Any = _Known(channel, self._access)
            made = {field: stub(known) for field, stub in _STUBS.items()}
            self._opened[name] = Stubs(channel, **made)
        return self._opened[name]

    def _channel(self, name: str) -> aio.Channel:
        options = _OPTIONS_OF_SEVERAL if self._replicas.several else _OPTIONS
        tls = self._access.tls
        if tls is None:
            return aio.insecure_channel(name, options=options)
        ca, key, certificate = (
            Path(path).read_bytes() if path else None for path in (tls.ca, tls.key, tls.certificate)
        )
        return aio.secure_channel(name, grpc.ssl_channel_credentials(ca, key, certificate), options=options)

    async def _unary(self, call: Awaitable[R], asked: str = "") -> R:
        asked = asked or self._replicas.current
        try:
            return await call
        except aio.AioRpcError as error:
            raise self._failed(asked, self._error(error)) from None
        except asyncio.CancelledError:
            self._unless_cancelled_here()
            raise self._failed(asked, self._broken()) from None

    def _stream(self, call: aio.UnaryStreamCall[Q, R]) -> AsyncGenerator[R]:
        return self._messages(call, self._replicas.current)

    async def _messages(self, call: aio.UnaryStreamCall[Q, R], asked: str) -> AsyncGenerator[R]:
        silence = Silence(SILENCE_LIMIT, call.cancel)
        try:
            async for message in call:
                silence.end()
                yield message
                silence.begin()
        except aio.AioRpcError as error:
            raise self._failed(asked, self._silent() if silence.was_too_long else self._error(error)) from None
        except asyncio.CancelledError:
            self._unless_cancelled_here()
            raise self._failed(asked, self._silent() if silence.was_too_long else self._broken()) from None
        finally:
            silence.close()
            call.cancel()

    def _failed(self, asked: str, error: ComfyMeshError) -> ComfyMeshError:
        """The error; another server is asked next where this one did not do what it should."""
        if isinstance(error, Unavailable | DeadlineExceeded):
            self._replicas.leave(asked)
        return error

    async def _send(self, call: aio.StreamUnaryCall[Q, R], requests: AsyncIterator[Q]) -> None:
        """Writes the messages, or as many as the server waits for before it answers."""
        try:
            async for request in requests:
                if call.done():
                    return
                async with asyncio.timeout(SILENCE_LIMIT):
                    await call.write(request)
            await call.done_writing()
        except (aio.AioRpcError, asyncio.InvalidStateError):
            return  # the server has answered before the end; its answer says why

    def _unless_cancelled_here(self) -> None:
        """Passes a cancellation of the running task on.

        grpc.aio raises CancelledError also when the server, on its way down, ends a stream with CANCELLED. That is a
        broken stream to us, and nobody's wish to stop this task.
        """
        task = asyncio.current_task()
        if task is not None and task.cancelling():
            raise asyncio.CancelledError

    def _broken(self) -> Unavailable:
        text = f"{self.target} ended the stream in the middle."
        return Unavailable(text, reason=STREAM_BROKEN, code="UNAVAILABLE")

    def _silent(self) -> Unavailable:
        text = f"{self.target} has been silent for {SILENCE_LIMIT:.0f} s; the connection counts as lost."
        return Unavailable(text, reason=STREAM_BROKEN, code="UNAVAILABLE")

    def _error(self, error: aio.AioRpcError) -> ComfyMeshError:
        # The stubs of grpc type one pair as the whole metadata.
        trailing = cast("Iterable[tuple[str, bytes]]", error.trailing_metadata() or ())
        found = [value for key, value in trailing if key == DETAILS_KEY]
        # The mesh never ends a call so: it is gRPC's server, which stops before the call was done.
        if is_lost(error) or (error.code() is StatusCode.CANCELLED and not found):
            return self._broken()
        return error_from_status(
            Status(
                code=error.code().name,
                message=error.details() or "",
                details=found[0] if found else None,
                target=self.target,
            )
        )
