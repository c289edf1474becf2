"""A span as a light value of our own. Pure.

The SDK's spans have locks, bounded dictionaries and copies, for whoever may do what with them. These need none: the
event loop alone fills them, and nobody touches them once they have ended (ADR 59).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum, auto

Value = str | bool | int | float


class Kind(Enum):
    """What a span is: a part of something, or a call that is answered."""

    INTERNAL = auto()
    SERVER = auto()


@dataclass(slots=True, eq=False)
class Finished:
    """Something that took time.

    Attributes:
        name: What it was.
        trace_id: Its trace, 128 bits.
        span_id: Its own id, 64 bits.
        parent_id: The span that it is a part of; 0 for the root of its trace.
        of_other: Whether that span is another process's.
        start: When it began, nanoseconds since the epoch.
        end: When it ended.
        kind: Who it is of.
        attributes: What else there is to say.
        links: Ids of spans of the same trace which it follows from.
        error: Why it has failed, one of our reasons; empty where it has not.
    """

    name: str
    trace_id: int
    span_id: int
    parent_id: int
    of_other: bool
    start: int
    end: int = 0
    kind: Kind = Kind.INTERNAL
    attributes: dict[str, Value] = field(default_factory=dict)
    links: Sequence[int] = ()
    error: str = ""


Sink = Callable[[Finished], None]
"""Takes what has ended. It is called by the event loop, so it must not wait."""


@dataclass(frozen=True, slots=True)
class Recorder:
    """What a process does about spans.

    Attributes:
        ratio: Share of the traces that begin here which are recorded.
        sink: Takes those spans that have ended.
    """

    ratio: float
    sink: Sink

    def keeps(self, trace_id: int) -> bool:
        """Whether a trace that begins here is recorded; the lower half of its id decides, as in OpenTelemetry."""
        return trace_id & _HALF < round(self.ratio * (_HALF + 1))


_HALF = (1 << 64) - 1

Attributes = Mapping[str, Value]
