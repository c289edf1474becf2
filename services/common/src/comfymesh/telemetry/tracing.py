"""Spans of one task across processes. The context travels in the task's record, so it outlives any process."""

from __future__ import annotations

from opentelemetry import trace
from opentelemetry.context import Context, attach
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


def failed(span: trace.Span, error: Exception) -> None:
    """What `span` is of has failed."""
    span.record_exception(error)
    span.set_status(trace.Status(trace.StatusCode.ERROR, f"{type(error).__name__}: {error}"))


def parent(trace_parent: str) -> Context | None:
    """The context that a `traceparent` describes, as a parent for spans; None for an empty one."""
    return _PROPAGATOR.extract({"traceparent": trace_parent}) if trace_parent else None
