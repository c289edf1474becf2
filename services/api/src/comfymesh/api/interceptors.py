"""One interceptor for every method: a span, who calls, and domain errors turned into a status. Servicers only raise."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import aclosing, suppress
from contextvars import ContextVar
from dataclasses import dataclass
from types import TracebackType
from typing import Any, NoReturn, TypeAlias

import grpc

from comfymesh.api import metering
from comfymesh.api.access import caller
from comfymesh.api.access.audit import Audit
from comfymesh.api.access.gate import Admission, Gate
from comfymesh.api.access.scopes import is_audited
from comfymesh.api.errors import RefusedError, defect, refusal, to_status
from comfymesh.api.room import Room
from comfymesh.bus.port import BusError
from comfymesh.runtime import logcontext
from comfymesh.telemetry import tracing

Handler: TypeAlias = "grpc.RpcMethodHandler[Any, Any]"

MAX_REQUEST_BYTES = 16 * 1024 * 1024
"""Largest message of a request."""

Metadata = Mapping[str, str | bytes]

_DETAILS = "grpc-status-details-bin"
_TRACE_PARENT = "traceparent"
_REQUEST_ID = "x-request-id"
_LONGEST_REQUEST_ID = 128
_OURS = "/comfymesh."


_admitted: ContextVar[tuple[Admission, Metadata]] = ContextVar("admitted")
"""How the call that runs in this context was let in, and with what: gRPC makes that anew whenever it is asked."""


@dataclass(frozen=True, slots=True)
class Door:
    """What every call passes: who comes in, how many at a time, and who is told of what operators do."""

    gate: Gate
    room: Room
    audit: Audit


class Edge(grpc.aio.ServerInterceptor):  # type: ignore[type-arg]  # generic in the stubs only
    """Wraps every handler of ours, each once. Health and reflection are left as they are.

    Args:
        door: What every call passes.
    """

    def __init__(self, door: Door) -> None:
        self._door = door
        self._wrapped: dict[str, Handler] = {}

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Handler]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Handler:
        """See grpc.aio.ServerInterceptor.

        Who calls is looked at here, when only the metadata have come: of whoever is not let in no message is read, and
        one may have 64 MiB.
        """
        method = handler_call_details.method
        handler = self._wrapped.get(method) or await self._wrap(continuation, handler_call_details)
        if method not in self._wrapped:
            return handler
        metadata = dict(handler_call_details.invocation_metadata or ())
        try:
            # What handles the call runs in the same context, which is the call's own.
            _admitted.set((await self._door.gate.admit(method.lstrip("/"), metadata), metadata))
        except Exception as error:  # the call's edge makes a status of whatever it is
            return _refusing(error, method.lstrip("/"), metadata)
        return handler

    async def _wrap(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Handler]],
        details: grpc.HandlerCallDetails,
    ) -> Handler:
        handler = await continuation(details)
        if handler is None:
            return handler
        if not details.method.startswith(_OURS):
            return handler
        wrap = _streaming if handler.response_streaming else _unary
        wrapped = self._wrapped[details.method] = wrap(handler, details.method.lstrip("/"), self._door)
        return wrapped


class _Call:
    """One call, and the edge of the process around it: whatever is raised within, the caller gets a status."""

    def __init__(self, context: grpc.aio.ServicerContext[Any, Any], method: str, metadata: Metadata) -> None:
        self.context = context
        self.method = method
        self.metadata = metadata
        self._began = time.perf_counter()
        self._status = "OK"
        self._reason = ""

    @property
    def request_id(self) -> str:
        """What the caller calls it; empty where that is nothing to repeat."""
        said = self.metadata.get(_REQUEST_ID, "")
        return said if isinstance(said, str) and len(said) <= _LONGEST_REQUEST_ID else ""

    async def __aenter__(self) -> None:
        pass

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if isinstance(error, Exception) and not isinstance(error, grpc.aio.AbortError):
            await self._abort(error)
        elif isinstance(error, asyncio.CancelledError | GeneratorExit):
            self._status = "CANCELLED"

    async def _abort(self, error: Exception) -> NoReturn:
        refused = refusal(error) or defect(self.method, error, self.request_id)
        status = to_status(refused, self.request_id)
        self._status, self._reason = refused.status_code.name, refused.reason
        metering.refused(refused.reason)
        await self.context.abort(refused.status_code, refused.message, ((_DETAILS, status.SerializeToString()),))

    def enter(self, admission: Admission) -> None:
        """The caller is let in: from now on it is known who it is."""
        caller.enter(admission.caller)
        named = {"request_id": self.request_id} if self.request_id else {}
        logcontext.bind(method=self.method, tenant=admission.caller.tenant, **named)

    def end(self, span: tracing.Span) -> None:
        """It is over: measure it, with its span as an example."""
        metering.called(self.method, self._status, time.perf_counter() - self._began, span.within)
        if self._reason:
            span.fail(self._reason)
        span.end()


@dataclass(frozen=True, slots=True)
class _TooLarge:
    """Stands in for a request that was not read."""

    size: int


def _reading(read: Callable[[bytes], object]) -> Callable[[bytes], object]:
    """Reads requests of the size that we take. gRPC's own limit is higher, since it refuses without a reason."""

    def reader(data: bytes) -> object:
        return read(data) if len(data) <= MAX_REQUEST_BYTES else _TooLarge(len(data))

    return reader


def _writing(write: Callable[[Any], bytes]) -> Callable[[object], bytes]:
    """Writes responses. Some servicers encode theirs by themselves."""

    def writer(response: object) -> bytes:
        return response if isinstance(response, bytes) else write(response)

    return writer


def _one(request: object) -> object:
    """A request that is not too large."""
    if isinstance(request, _TooLarge):
        sizes = {"size_bytes": str(request.size), "limit_bytes": str(MAX_REQUEST_BYTES)}
        message = f"the request has {request.size} bytes, at most {MAX_REQUEST_BYTES} are taken; upload files as assets"
        raise RefusedError("MESSAGE_TOO_LARGE", message, sizes)
    return request


async def _each(requests: Any) -> AsyncIterator[object]:  # noqa: ANN401  # as grpc hands them over
    """A stream of requests that are not too large."""
    async for request in requests:
        yield _one(request)


def _unary(handler: Any, method: str, door: Door) -> Handler:  # noqa: ANN401  # grpc's handlers carry no types
    inner, take = handler.unary_unary or handler.stream_unary, _each if handler.request_streaming else _one
    audited = is_audited(method)

    async def answer(request: object, context: grpc.aio.ServicerContext[Any, Any]) -> object:
        admission, metadata = _admitted.get()
        call = _Call(context, method, metadata)
        span = _span(call)
        try:
            # The call runs in a context of its own, which ends with it.
            tracing.enter(span)
            async with call:
                door.room.enter()
                try:
                    call.enter(admission)
                    if audited:
                        return await _noted(inner, take(request), context, method, door.audit)
                    return await inner(take(request), context)
                finally:
                    door.room.leave()
        finally:
            call.end(span)

    make = grpc.stream_unary_rpc_method_handler if handler.request_streaming else grpc.unary_unary_rpc_method_handler
    return make(answer, _reading(handler.request_deserializer), _writing(handler.response_serializer))


def _refusing(error: Exception, method: str, metadata: Metadata) -> Handler:
    """Tells why a call is refused, of whatever kind its method is: as one that takes a stream, and reads none of it."""

    async def answer(_requests: object, context: grpc.aio.ServicerContext[Any, Any]) -> object:
        call = _Call(context, method, metadata)
        span = _span(call)
        try:
            tracing.enter(span)
            async with call:
                raise error
        finally:
            call.end(span)

    return grpc.stream_unary_rpc_method_handler(answer)


async def _noted(
    inner: Any,  # noqa: ANN401
    request: Any,  # noqa: ANN401
    context: grpc.aio.ServicerContext[Any, Any],
    method: str,
    audit: Audit,
) -> object:
    """A call that is written to the audit log before it is answered."""
    who, peer = caller.current(), context.peer()
    try:
        response: object = await inner(request, context)
    except asyncio.CancelledError:
        with suppress(BusError):  # Nobody waits to hear that; it is in the process's own log.
            await audit.note(who, peer, method, request, "CANCELLED")  # It may have been done all the same.
        raise
    except Exception as error:
        refused = refusal(error)
        await audit.note(who, peer, method, request, refused.reason if refused else "INTERNAL")
        raise
    await audit.note(who, peer, method, request, "OK")
    return response


def _streaming(handler: Any, method: str, door: Door) -> Handler:  # noqa: ANN401
    inner, take = handler.unary_stream or handler.stream_stream, _each if handler.request_streaming else _one

    async def answer(request: object, context: grpc.aio.ServicerContext[Any, Any]) -> AsyncIterator[object]:
        admission, metadata = _admitted.get()
        call = _Call(context, method, metadata)
        span = _span(call)
        try:
            async with call:
                door.room.enter()
            try:
                # What passes here once for each message is kept short: a span or a context manager around every message
                # was a quarter of the Python that a watcher costs.
                async with call:
                    # This generator runs in the context of the call, which is its own and ends with it.
                    call.enter(admission)
                    tracing.enter(span)
                    async with aclosing(inner(take(request), context)) as responses:
                        async for response in responses:
                            if not door.gate.holds(admission):
                                admission = await door.gate.renew(method, call.metadata)
                            yield response
            finally:
                door.room.leave()
        finally:
            call.end(span)

    make = grpc.stream_stream_rpc_method_handler if handler.request_streaming else grpc.unary_stream_rpc_method_handler
    return make(answer, _reading(handler.request_deserializer), _writing(handler.response_serializer))


def _span(call: _Call) -> tracing.Span:
    parent = tracing.parent(str(call.metadata.get(_TRACE_PARENT, "")))
    span = tracing.begin(call.method, parent, kind=tracing.Kind.SERVER)
    if request_id := call.request_id:
        span.tell("rpc.request_id", request_id)
    return span
