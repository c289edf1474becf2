"""A trace as text: each span below its parent, when it began, how long it took, and a bar. Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence

from comfymesh.stack.observability.collector import Sent

_BAR = 30
_NAME, _SERVICE = 34, 9
_FACTS = {
    "comfymesh.attempt": "attempt",
    "comfymesh.instance": "on",
    "error.type": "failed",
    "comfymesh.graph_node": "graph node",
}


def waterfall(spans: Sequence[Sent]) -> str:
    """The spans of one trace, as lines of a table; of none, a sentence that says so.

    A span whose parent is not among them stands at the left: the caller's own span is nobody's here.
    """
    if not spans:
        return "no span of this trace was sent\n"
    begun = min(sent.span.start_time_unix_nano for sent in spans)
    whole = max(sent.span.end_time_unix_nano for sent in spans) - begun
    services = {sent.service for sent in spans}
    title = f"trace {spans[0].span.trace_id.hex()}: {len(spans)} spans of {len(services)} services in {_ms(whole)}"
    head = f"{'from':>10}  {'took':>10}  {'span':<{_NAME}}  {'service':<{_SERVICE}}"
    rows = [_row(depth, sent, begun, whole) for depth, sent in _nested(spans)]
    return "\n".join([title, "", head, *rows]) + "\n"


def _nested(spans: Sequence[Sent]) -> Iterator[tuple[int, Sent]]:
    """Each span and how deep it is, parents before children, and those in the order in which they began."""
    known = {sent.span.span_id for sent in spans}
    below: Mapping[bytes, list[Sent]] = defaultdict(list)
    for sent in sorted(spans, key=lambda sent: sent.span.start_time_unix_nano):
        parent = sent.span.parent_span_id
        below[parent if parent in known else b""].append(sent)
    waiting = [(0, sent) for sent in reversed(below[b""])]
    while waiting:
        depth, sent = waiting.pop()
        yield depth, sent
        waiting += [(depth + 1, child) for child in reversed(below[sent.span.span_id])]


def _row(depth: int, sent: Sent, begun: int, whole: int) -> str:
    start, end = sent.span.start_time_unix_nano - begun, sent.span.end_time_unix_nano - begun
    name = _short("  " * depth + _clean(sent.span.name.removeprefix("comfymesh.v1.")), _NAME)
    service = _short(sent.service.removeprefix("comfymesh-"), _SERVICE)
    row = f"{_ms(start):>10}  {_ms(end - start):>10}  {name:<{_NAME}}  {service:<{_SERVICE}}  "
    return f"{row}{_bar(start, end, whole)}  {_facts(sent)}".rstrip()


def _bar(start: int, end: int, whole: int) -> str:
    left = min(start * _BAR // max(whole, 1), _BAR - 1)
    length = min(max(round((end - start) * _BAR / max(whole, 1)), 1), _BAR - left)
    return ("·" * left + "█" * length).ljust(_BAR, "·")


def _facts(sent: Sent) -> str:
    told = [f"{word} {_clean(str(sent.attributes[key]))}" for key, word in _FACTS.items() if key in sent.attributes]
    links = len(sent.span.links)
    return ", ".join(
        [
            *told,
            *(["cached"] if sent.attributes.get("comfymesh.cached") else []),
            *([f"follows {links} earlier"] if links else []),
        ]
    )


def _ms(nanoseconds: int) -> str:
    return f"{nanoseconds / 1e6:.1f} ms"


def _short(text: str, longest: int) -> str:
    return text if len(text) <= longest else text[: longest - 1] + "…"


def _clean(text: str) -> str:
    """Names of graph nodes come from ComfyUI: nothing of them may steer a terminal."""
    return "".join(character if character.isprintable() else "\N{REPLACEMENT CHARACTER}" for character in text)
