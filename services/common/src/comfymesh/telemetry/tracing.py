"""Spans of one task across processes. The context travels in the task's record, so it outlives any process."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from contextvars import ContextVar
from uuid import UUID

from opentelemetry import trace
from opentelemetry.context import Context, attach
from opentelemetry.sdk.trace.id_generator import RandomIdGenerator
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

_PROPAGATOR = TraceContextTextMapPropagator()

tracer = trace.get_tracer("comfymesh")


def current() -> str:
    """The present span as a W3C `traceparent`; empty where nothing is recorded."""
    carrier: dict[str, str] = {}
    _PROPAGATOR.inject(carrier)
    return carrier.get("traceparent", "")


def enter(span: trace.Span) -> None:
    """From now on `span` is the present one in this context, for as long as that lasts."""
    attach(trace.set_span_in_context(span))


def trace_id(trace_parent: str) -> dict[str, str]:
    """The id of the trace that a `traceparent` names, as a field for logs; nothing for an empty one."""
    return {"trace_id": trace_parent.split("-")[1]} if trace_parent.count("-") == 3 else {}


def use(span: trace.Span) -> AbstractContextManager[trace.Span]:
    """`span` is the present one, for as long as this is entered. It does not end with it."""
    return trace.use_span(span, record_exception=False, set_status_on_exception=False)


def failed(span: trace.Span, reason: str) -> None:
    """What `span` is of has failed. Only the reason is told, which is one of ours: words may be a caller's."""
    span.set_attribute("error.type", reason)
    span.set_status(trace.Status(trace.StatusCode.ERROR, reason))


def parent(trace_parent: str) -> Context | None:
    """The context that a `traceparent` describes, as a parent for spans; None for an empty one."""
    return _PROPAGATOR.extract({"traceparent": trace_parent}) if trace_parent else None


def part(name: str) -> AbstractContextManager[trace.Span | None]:
    """A span within the present one, for as long as it is entered. Of what is raised meanwhile it does not tell.

    Where the present one is not recorded, it would not be either, and is not made.
    """
    if not trace.get_current_span().is_recording():
        return nullcontext()
    return tracer.start_as_current_span(name, record_exception=False, set_status_on_exception=False)


def past(name: str, trace_parent: str, since: float, attributes: Mapping[str, str | int]) -> None:
    """A span that began at `since` (seconds since the epoch) and ends now, below what `trace_parent` describes."""
    if trace_parent:
        begun = round(since * 1e9)
        tracer.start_span(name, parent(trace_parent), start_time=begun, attributes=attributes).end()


# Spans whose ids follow from what they are of

_NEXT_ID: ContextVar[int | None] = ContextVar("next_span_id", default=None)


class Ids(RandomIdGenerator):
    """Random ids, but for a span that is begun within `known_as`."""

    def generate_span_id(self) -> int:
        """See IdGenerator."""
        return _NEXT_ID.get() or super().generate_span_id()


@contextmanager
def known_as(span_id: int) -> Iterator[None]:
    """The span that is begun within has this id, so that others can name it who were never told of it."""
    token = _NEXT_ID.set(span_id)
    try:
        yield
    finally:
        _NEXT_ID.reset(token)


def id_of(uuid: str) -> int:
    """The id of the span of something that a UUID names."""
    return UUID(uuid).int >> 64 or 1


def link(context: Context | None, span_id: int) -> trace.Link | None:
    """A link to another span of the trace in `context`; None where nothing is traced."""
    span = trace.get_current_span(context).get_span_context()
    if not span.is_valid:
        return None
    return trace.Link(trace.SpanContext(span.trace_id, span_id, is_remote=True, trace_flags=span.trace_flags))
