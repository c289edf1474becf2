"""One interceptor for every method: a span, who calls, and domain errors turned into a status. Servicers only raise."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping
from contextlib import aclosing
from dataclasses import dataclass
from types import TracebackType
from typing import Any, NoReturn, TypeAlias

import grpc
from opentelemetry.trace import Span, SpanKind, use_span

from comfymesh.api.access import caller
from comfymesh.api.access.audit import Audit
from comfymesh.api.access.caller import Caller
from comfymesh.api.access.gate import Gate
from comfymesh.api.access.scopes import is_audited
from comfymesh.api.errors import RefusedError, defect, refusal, to_status
from comfymesh.telemetry import tracing

Handler: TypeAlias = "grpc.RpcMethodHandler[Any, Any]"
Note: TypeAlias = Callable[[Caller, str, str, Any, str], Awaitable[None]]

MAX_REQUEST_BYTES = 16 * 1024 * 1024
"""Largest message of a request."""

_DETAILS = "grpc-status-details-bin"
_TRACE_PARENT = "traceparent"
_OURS = "/comfymesh."


class Edge(grpc.aio.ServerInterceptor):  # type: ignore[type-arg]  # generic in the stubs only
    """Wraps every handler of ours, each once. Health and reflection are left as they are.

    Args:
        gate: Lets callers in.
        audit: Is told what operators and administrators do.
    """

    def __init__(self, gate: Gate, audit: Audit) -> None:
        self._gate = gate
        self._audit = audit
        self._wrapped: dict[str, Handler] = {}

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Handler]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Handler:
        """See grpc.aio.ServerInterceptor."""
        known = self._wrapped.get(handler_call_details.method)
        if known is not None:
            return known
        handler = await continuation(handler_call_details)
        if handler is None:
            return handler
        if not handler_call_details.method.startswith(_OURS):
            return handler
        method = handler_call_details.method.lstrip("/")
        if handler.response_streaming:
            wrapped = _streaming(handler, method, self._gate)
        else:
            note = self._audit.note if is_audited(method) else None
            wrapped = _unary(handler, method, self._gate, note)
        self._wrapped[handler_call_details.method] = wrapped
        return wrapped


@dataclass(frozen=True, slots=True)
class _TooLarge:
    """Stands in for a request that was not read."""

    size: int


def _reading(read: Callable[[bytes], object]) -> Callable[[bytes], object]:
    """Reads requests of the size that we take. gRPC's own limit is higher, since it refuses without a reason."""

    def reader(data: bytes) -> object:
        return read(data) if len(data) <= MAX_REQUEST_BYTES else _TooLarge(len(data))

    return reader


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


def _unary(handler: Any, method: str, gate: Gate, note: Note | None) -> Handler:  # noqa: ANN401  # grpc's have no types
    inner, take = handler.unary_unary or handler.stream_unary, _each if handler.request_streaming else _one

    async def call(request: object, context: grpc.aio.ServicerContext[Any, Any]) -> object:
        metadata = _metadata(context)
        with use_span(_span(metadata, method), end_on_exit=True):
            async with _Edge(context, method):
                admission = await gate.admit(method, metadata)
                caller.enter(admission.caller)
                if note is None:
                    return await inner(take(request), context)
                return await _noted(inner, take(request), context, method, note)

    make = grpc.stream_unary_rpc_method_handler if handler.request_streaming else grpc.unary_unary_rpc_method_handler
    return make(call, _reading(handler.request_deserializer), handler.response_serializer)


async def _noted(
    inner: Any,  # noqa: ANN401
    request: Any,  # noqa: ANN401
    context: grpc.aio.ServicerContext[Any, Any],
    method: str,
    note: Note,
) -> object:
    """A call that is written to the audit log before it is answered."""
    who, peer = caller.current(), context.peer()
    try:
        response: object = await inner(request, context)
    except Exception as error:
        refused = refusal(error)
        await note(who, peer, method, request, refused.reason if refused else "INTERNAL")
        raise
    await note(who, peer, method, request, "OK")
    return response


def _streaming(handler: Any, method: str, gate: Gate) -> Handler:  # noqa: ANN401
    inner, take = handler.unary_stream or handler.stream_stream, _each if handler.request_streaming else _one

    async def call(request: object, context: grpc.aio.ServicerContext[Any, Any]) -> AsyncIterator[object]:
        metadata = _metadata(context)
        span, edge = _span(metadata, method), _Edge(context, method)
        async with edge:
            admission = await gate.admit(method, metadata)
            taken = take(request)
        # This generator runs in the context of the call, which is its own.
        caller.enter(admission.caller)
        async with aclosing(inner(taken, context)) as responses:
            try:
                # The span is current while the servicer works, and not while a response is on its way: whoever goes
                # away then leaves this generator to be closed in another context.
                while (response := await _next(responses, span, edge)) is not None:
                    async with edge:
                        admission = await gate.renew(admission, method, metadata)
                    yield response
            finally:
                span.end()

    make = grpc.stream_stream_rpc_method_handler if handler.request_streaming else grpc.unary_stream_rpc_method_handler
    return make(call, _reading(handler.request_deserializer), handler.response_serializer)


async def _next(responses: AsyncGenerator[object, None], span: Span, edge: _Edge) -> object | None:
    with use_span(span):
        async with edge:
            return await anext(responses, None)


def _metadata(context: grpc.aio.ServicerContext[Any, Any]) -> Mapping[str, str | bytes]:
    return dict(context.invocation_metadata() or ())


def _span(metadata: Mapping[str, str | bytes], method: str) -> Span:
    parent = tracing.parent(str(metadata.get(_TRACE_PARENT, "")))
    return tracing.tracer.start_span(method, context=parent, kind=SpanKind.SERVER)


class _Edge:
    """The edge of the process: whatever is raised within, the caller gets a status.

    Streams pass it with each message, so it is one object a call and not a generator each time.
    """

    def __init__(self, context: grpc.aio.ServicerContext[Any, Any], method: str) -> None:
        self._context = context
        self._method = method

    async def __aenter__(self) -> None:
        pass

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if isinstance(error, Exception) and not isinstance(error, grpc.aio.AbortError):
            await _abort(self._context, self._method, error)


async def _abort(context: grpc.aio.ServicerContext[Any, Any], method: str, error: Exception) -> NoReturn:
    refused = refusal(error) or defect(method, error)
    status = to_status(refused)
    await context.abort(refused.status_code, refused.message, ((_DETAILS, status.SerializeToString()),))
