"""What an attempt does, as spans: one for the attempt, within it one for each of its parts and each graph node.

The id of the attempt's span follows from its prompt id. So a later attempt can link to it without having been told, and
what an agent has sent before it was killed hangs together with what the next one sends, who adopts the prompt.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from comfymesh.agent.claim import Claim
from comfymesh.agent.comfyui.events import (
    Event,
    ExecutionCached,
    ExecutionFailed,
    ExecutionInterrupted,
    ExecutionSucceeded,
    NodeStarted,
    PromptEnded,
)
from comfymesh.tasks import events
from comfymesh.tasks.record import prompt_id
from comfymesh.telemetry import tracing

_MOST_NODES = 512
"""Spans of graph nodes of one attempt: loops can run more, and nobody reads those."""
_MOST_TEXT = 128
_ENDS = ExecutionSucceeded | ExecutionFailed | ExecutionInterrupted | PromptEnded


class AttemptTrace:
    """The spans of one attempt. Where nothing is traced, it does nothing.

    Args:
        claim: The attempt.
        prompt_id: What ComfyUI calls it.
    """

    def __init__(self, claim: Claim, prompt_id: str) -> None:
        self._claim = claim
        self._prompt_id = prompt_id
        self._graph: Mapping[str, Any] = {}
        self._span = tracing.Span()
        self._node: tracing.Span | None = None
        self._nodes = 0

    @contextmanager
    def running(self) -> Iterator[None]:
        """The attempt, from its beginning to its end."""
        record = self._claim.record
        self._span = tracing.begin(
            "attempt",
            tracing.parent(record.definition.trace_parent),
            attributes=self._attributes(),
            links=[tracing.id_of(prompt_id(record.key, f.attempt, f.node, f.instance)) for f in record.failures],
            span_id=tracing.id_of(self._prompt_id),
        )
        try:
            with tracing.use(self._span):
                yield
        finally:
            self._end_node()
            self._span.end()

    def submit(self, graph: Mapping[str, Any]) -> None:
        """The graph is about to be submitted."""
        self._graph = graph

    def feed(self, event: Event) -> None:
        """Take in an event of the prompt."""
        if not self._span.is_recording:
            return
        match event:
            case NodeStarted():
                self._end_node()
                self._node = self._begin_node(event.graph_node, event.display_node, time.time_ns(), cached=False)
            case ExecutionCached():
                now = time.time_ns()
                for graph_node in event.graph_nodes:
                    if (span := self._begin_node(graph_node, graph_node, now, cached=True)) is not None:
                        span.end(now)
            case _ if isinstance(event, _ENDS):
                self._end_node()
            case _:
                pass

    def ended(self, end: events.Event) -> None:
        """How the attempt has ended."""
        if isinstance(end, events.AttemptFailed):
            self._span.fail(end.error.failure)
        self._span.tell("comfymesh.attempt.end", type(end).__name__)

    def _attributes(self) -> dict[str, str | int]:
        key, record = self._claim.key, self._claim.record
        return {
            "comfymesh.tenant": key.tenant,
            "comfymesh.task": key.task_id,
            "comfymesh.attempt": self._claim.number,
            "comfymesh.node": record.node,
            "comfymesh.instance": record.instance,
        }

    def _begin_node(self, graph_node: str, display_node: str, now: int, *, cached: bool) -> tracing.Span | None:
        self._nodes += 1
        if self._nodes > _MOST_NODES:
            return None
        known = self._graph.get(display_node)
        name = str(known["class_type"])[:_MOST_TEXT] if known else "graph node"
        attributes: tracing.Attributes = {
            "comfymesh.graph_node": graph_node[:_MOST_TEXT],
            "comfymesh.cached": cached,
        }
        return tracing.begin(name, self._span.within, start=now, attributes=attributes)

    def _end_node(self) -> None:
        node, self._node = self._node, None
        if node is not None:
            node.end()
