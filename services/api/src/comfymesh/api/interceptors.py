"""One interceptor for every method: a span, and domain errors turned into a status. Servicers only raise."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass
from typing import Any, NoReturn, TypeAlias

import grpc
from opentelemetry.trace import Span, SpanKind, use_span

from comfymesh.api.errors import RefusedError, defect, refusal, to_status
from comfymesh.telemetry import tracing

Handler: TypeAlias = "grpc.RpcMethodHandler[Any, Any]"

MAX_REQUEST_BYTES = 16 * 1024 * 1024
"""Largest message of a request."""

_DETAILS = "grpc-status-details-bin"
_TRACE_PARENT = "traceparent"
_OURS = "/comfymesh."


class Edge(grpc.aio.ServerInterceptor):  # type: ignore[type-arg]  # generic in the stubs only
    """Wraps every handler of ours, each once. Health and reflection are left as they are."""

    def __init__(self) -> None:
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
        wrap = _streaming if handler.response_streaming else _unary
        wrapped = self._wrapped[handler_call_details.method] = wrap(handler, handler_call_details.method.lstrip("/"))
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


def _unary(handler: Any, method: str) -> Handler:  # noqa: ANN401  # grpc's handlers carry no types
    inner, take = handler.unary_unary or handler.stream_unary, _each if handler.request_streaming else _one

    async def call(request: object, context: grpc.aio.ServicerContext[Any, Any]) -> object:
        with use_span(_span(context, method), end_on_exit=True):
            async with _edge(context, method):
                return await inner(take(request), context)

    make = grpc.stream_unary_rpc_method_handler if handler.request_streaming else grpc.unary_unary_rpc_method_handler
    return make(call, _reading(handler.request_deserializer), handler.response_serializer)


def _streaming(handler: Any, method: str) -> Handler:  # noqa: ANN401
    inner, take = handler.unary_stream or handler.stream_stream, _each if handler.request_streaming else _one

    async def call(request: object, context: grpc.aio.ServicerContext[Any, Any]) -> AsyncIterator[object]:
        span = _span(context, method)
        async with _edge(context, method):
            taken = take(request)
        async with aclosing(inner(taken, context)) as responses:
            try:
                # The span is current while the servicer works, and not while a response is on its way: whoever goes
                # away then leaves this generator to be closed in another context.
                while (response := await _next(responses, span, context, method)) is not None:
                    yield response
            finally:
                span.end()

    make = grpc.stream_stream_rpc_method_handler if handler.request_streaming else grpc.unary_stream_rpc_method_handler
    return make(call, _reading(handler.request_deserializer), handler.response_serializer)


async def _next(
    responses: AsyncGenerator[object, None], span: Span, context: grpc.aio.ServicerContext[Any, Any], method: str
) -> object | None:
    with use_span(span):
        async with _edge(context, method):
            return await anext(responses, None)


def _span(context: grpc.aio.ServicerContext[Any, Any], method: str) -> Span:
    metadata: Mapping[str, Any] = dict(context.invocation_metadata() or ())
    parent = tracing.parent(str(metadata.get(_TRACE_PARENT, "")))
    return tracing.tracer.start_span(method, context=parent, kind=SpanKind.SERVER)


@asynccontextmanager
async def _edge(context: grpc.aio.ServicerContext[Any, Any], method: str) -> AsyncIterator[None]:
    try:
        yield
    except grpc.aio.AbortError:
        raise
    except Exception as error:  # the edge of the process: whatever it is, the caller gets a status
        await _abort(context, method, error)


async def _abort(context: grpc.aio.ServicerContext[Any, Any], method: str, error: Exception) -> NoReturn:
    refused = refusal(error) or defect(method, error)
    status = to_status(refused)
    await context.abort(refused.status_code, refused.message, ((_DETAILS, status.SerializeToString()),))
