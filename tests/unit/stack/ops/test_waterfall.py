"""A trace becomes lines that can be read."""

from __future__ import annotations

from collections.abc import Sequence

from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from comfymesh.stack.observability.collector import Sent
from comfymesh.stack.ops.waterfall import waterfall

MILLISECOND = 1_000_000
EPOCH = 1_700_000_000_000_000_000


def sent(
    name: str, id_: str, parent: str, start: int, end: int, *, links: Sequence[str] = (), **facts: str | int | bool
) -> Sent:
    """A span; times are milliseconds. `__` stands for a dot in the names of attributes."""
    values = {
        key.replace("__", "."): AnyValue(bool_value=value)
        if isinstance(value, bool)
        else AnyValue(int_value=value)
        if isinstance(value, int)
        else AnyValue(string_value=value)
        for key, value in facts.items()
    }
    span = Span(
        trace_id=bytes(15) + b"\x01",
        span_id=id_.encode(),
        parent_span_id=parent.encode(),
        name=name,
        start_time_unix_nano=EPOCH + start * MILLISECOND,
        end_time_unix_nano=EPOCH + end * MILLISECOND,
        attributes=[KeyValue(key=key, value=value) for key, value in values.items()],
        links=[Span.Link(span_id=link.encode()) for link in links],
    )
    return Sent("comfymesh-agent", span)


def rows(spans: Sequence[Sent]) -> list[str]:
    return waterfall(spans).splitlines()[3:]


def columns(row: str) -> tuple[str, str, str]:
    """From, took, and the span with what it is indented by."""
    return row[:10].strip(), row[12:22].strip(), row[24:58].rstrip()


CALL = sent("comfymesh.v1.TaskService/RunTask", "call", "of the caller", 0, 1000)


def test_spans_stand_below_their_parents_in_the_order_in_which_they_began() -> None:
    first = sent("attempt", "one", "call", 100, 400)
    second = sent("attempt", "two", "call", 500, 1000)
    inner = sent("claim", "three", "one", 100, 200)
    shown = [columns(row) for row in rows([second, inner, first, CALL])]
    assert shown == [
        ("0.0 ms", "1000.0 ms", "TaskService/RunTask"),
        ("100.0 ms", "300.0 ms", "  attempt"),
        ("100.0 ms", "100.0 ms", "    claim"),
        ("500.0 ms", "500.0 ms", "  attempt"),
    ]


def test_the_title_counts_and_names_the_trace() -> None:
    title = waterfall([CALL]).splitlines()[0]
    assert title == "trace 00000000000000000000000000000001: 1 spans of 1 services in 1000.0 ms"


def test_bars_lie_where_the_time_was_spent() -> None:
    late = sent("attempt", "one", "call", 500, 1000)
    whole, half = (row.split("  ")[-1].strip() for row in rows([CALL, late]))
    assert whole == "█" * 30
    assert half == "·" * 15 + "█" * 15


def test_what_takes_no_time_at_the_very_end_is_still_seen() -> None:
    (_, row) = rows([CALL, sent("commit", "one", "call", 1000, 1000)])
    assert row.endswith("·" * 29 + "█")


def test_facts_that_matter_are_told() -> None:
    facts = {"comfymesh__attempt": 2, "comfymesh__instance": "comfyui-1", "error__type": "OUT_OF_MEMORY"}
    cached = sent("KSampler", "two", "one", 1, 1, comfymesh__cached=True, comfymesh__graph_node="4")
    uncached = sent("SaveImage", "six", "one", 2, 2, comfymesh__cached=False)
    shown = rows([sent("attempt", "one", "", 0, 9, links=["zero"], **facts), cached, uncached])
    assert shown[0].endswith("attempt 2, on comfyui-1, failed OUT_OF_MEMORY, follows 1 earlier")
    assert shown[1].endswith("graph node 4, cached")
    assert "cached" not in shown[2]


def test_hostile_names_steer_no_terminal_and_break_no_column() -> None:
    (row,) = rows([sent("\x1b[2J\n" + "x" * 100, "one", "", 0, 1)])
    assert "\x1b" not in row
    assert columns(row)[2].endswith("…")


def test_no_span_is_said() -> None:
    assert waterfall([]) == "no span of this trace was sent\n"
