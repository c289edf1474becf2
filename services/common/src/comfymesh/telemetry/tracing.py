"""Spans of one task across processes. The context travels in the task's record, so it outlives any process.

Contexts are those of OpenTelemetry, so that callers, logs and examples of histograms know the present span. What is
recorded is not the SDK's (see `spans`).
"""

from __future__ import annotations

import random
import time
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import lru_cache
from uuid import UUID

from opentelemetry import trace
from opentelemetry.context import Context, attach, detach
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from comfymesh.telemetry.spans import Attributes, Finished, Kind, Recorder, Sink, Value

__all__ = ["Attributes", "Context", "Kind", "Span"]

_PROPAGATOR = TraceContextTextMapPropagator()
_SAMPLED = trace.TraceFlags(trace.TraceFlags.SAMPLED)
_KNOWN_PARENTS = 1024
_LONGEST_PARENT = 128


class Span:
    """Something that takes time. This one is not recorded: what it is told, it forgets.

    Attributes:
        within: The context in which it is the present span; None where that is the one that there is.
    """

    __slots__ = ("_within",)

    is_recording = False

    def __init__(self, within: Context | None = None) -> None:
        self._within = within

    @property
    def within(self) -> Context | None:
        """See above."""
        return self._within

    def tell(self, name: str, value: Value) -> None:
        """Something to know about it."""

    def fail(self, reason: str) -> None:
        """It has failed. Only the reason is told, which is one of ours: words may be a caller's."""

    def end(self, now: int = 0) -> None:
        """It has ended: now, or at `now`, nanoseconds since the epoch. A second end does nothing."""


class _Recorded(Span):
    """A span that is recorded."""

    __slots__ = ("_sink", "_value")

    is_recording = True

    def __init__(self, value: Finished, sink: Sink) -> None:
        self._within = None
        self._value = value
        self._sink = sink

    @property
    def within(self) -> Context:
        """See Span. Made when it is asked for: most spans have no parts."""
        if self._within is None:
            context = trace.SpanContext(self._value.trace_id, self._value.span_id, False, _SAMPLED)  # noqa: FBT003
            self._within = trace.set_span_in_context(trace.NonRecordingSpan(context), Context())
        return self._within

    def tell(self, name: str, value: Value) -> None:
        self._value.attributes[name] = value

    def fail(self, reason: str) -> None:
        self._value.attributes["error.type"] = self._value.error = reason

    def end(self, now: int = 0) -> None:
        if not self._value.end:
            self._value.end = now or time.time_ns()
            self._sink(self._value)


class _Process:
    """What this process does about spans: nothing, until it is told."""

    recorder: Recorder | None = None


def record(recorder: Recorder | None) -> Recorder | None:
    """From now on spans of this process are recorded; by None they are not. Answers how it was before."""
    before, _Process.recorder = _Process.recorder, recorder
    return before


def begin(
    name: str,
    context: Context | None = None,
    *,
    kind: Kind = Kind.INTERNAL,
    attributes: Attributes | None = None,
    links: Sequence[int] = (),
    span_id: int = 0,
    start: int = 0,
) -> Span:
    """A span begins. Whoever began its trace has decided whether it is recorded; of a new one, this process does.

    Args:
        name: What it is.
        context: Has the span that it is a part of; None for the present one.
        kind: Who it is of.
        attributes: What else there is to say.
        links: Ids of spans of the same trace which it follows from.
        span_id: Its id, where that follows from what it is of; 0 for a new one.
        start: When it began, nanoseconds since the epoch; 0 for now.
    """
    recorder, parent = _Process.recorder, trace.get_current_span(context).get_span_context()
    if recorder is None or (parent.is_valid and not parent.trace_flags & trace.TraceFlags.SAMPLED):
        return Span(context)
    trace_id = parent.trace_id if parent.is_valid else random.getrandbits(128) or 1
    span_id = span_id or random.getrandbits(64) or 1
    if not parent.is_valid and not recorder.keeps(trace_id):
        return Span(_unsampled(trace_id, span_id))
    begun, told = start or time.time_ns(), dict(attributes) if attributes else {}
    links = links if parent.is_valid else ()
    value = Finished(name, trace_id, span_id, parent.span_id, parent.is_remote, begun, 0, kind, told, links)
    return _Recorded(value, recorder.sink)


def _unsampled(trace_id: int, span_id: int) -> Context:
    """So that everybody else who has to do with this trace leaves it alone too, and logs can name it."""
    return trace.set_span_in_context(trace.NonRecordingSpan(trace.SpanContext(trace_id, span_id, False)), Context())  # noqa: FBT003


# The present span


def current() -> str:
    """The present span as a W3C `traceparent`; empty where there is none."""
    carrier: dict[str, str] = {}
    _PROPAGATOR.inject(carrier)
    return carrier.get("traceparent", "")


def ids() -> dict[str, str]:
    """The present span as fields for logs: `trace_id` and `span_id`; empty where there is none."""
    span = trace.get_current_span().get_span_context()
    if not span.is_valid:
        return {}
    return {"trace_id": trace.format_trace_id(span.trace_id), "span_id": trace.format_span_id(span.span_id)}


def enter(span: Span) -> None:
    """From now on `span` is the present one in this context, for as long as that lasts."""
    if span.within is not None:
        attach(span.within)


def use(span: Span, *, ends: bool = False) -> AbstractContextManager[object]:
    """`span` is the present one, for as long as this is entered. It tells of no exception; it may end with it."""
    return _Entered(span, ends=ends) if span.within is not None else _NOTHING


def part(name: str) -> AbstractContextManager[object]:
    """A span within the present one, for as long as it is entered. Of what is raised meanwhile it does not tell."""
    return use(begin(name), ends=True)


class _Entered:
    """A span while it is the present one."""

    __slots__ = ("_ends", "_span", "_token")

    def __init__(self, span: Span, *, ends: bool) -> None:
        self._span = span
        self._ends = ends

    def __enter__(self) -> None:
        if self._span.within is not None:
            self._token = attach(self._span.within)

    def __exit__(self, *_: object) -> None:
        detach(self._token)
        if self._ends:
            self._span.end()


_NOTHING = nullcontext()


# Spans of others


@lru_cache(_KNOWN_PARENTS)
def parent(trace_parent: str) -> Context | None:
    """The context that a `traceparent` describes, as a parent for spans; None for one that is empty or absurdly long.

    Of one task it is asked for again and again.
    """
    if not trace_parent or len(trace_parent) > _LONGEST_PARENT:
        return None
    return _PROPAGATOR.extract({"traceparent": trace_parent}, Context())


def trace_id(trace_parent: str) -> dict[str, str]:
    """The id of the trace that a `traceparent` names, as a field for logs; nothing for an empty one."""
    return {"trace_id": trace_parent.split("-")[1]} if trace_parent.count("-") == 3 else {}


def past(name: str, trace_parent: str, since: float, attributes: Attributes) -> None:
    """A span that began at `since` (seconds since the epoch) and ends now, below what `trace_parent` describes."""
    if trace_parent:
        begin(name, parent(trace_parent), start=round(since * 1e9), attributes=attributes).end()


def id_of(uuid: str) -> int:
    """The id of the span of something that a UUID names, so that others can name it who were never told of it."""
    return UUID(uuid).int >> 64 or 1
