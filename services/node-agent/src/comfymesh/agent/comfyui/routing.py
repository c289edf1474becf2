"""Tells to which prompt an event belongs. Pure."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from comfymesh.agent.comfyui.events import (
    ExecutionStarted,
    FeatureFlags,
    NodeStarted,
    Preview,
    PromptEnded,
    PromptEvent,
    TextProgress,
)

if TYPE_CHECKING:
    from collections.abc import Container

    from comfymesh.agent.comfyui.events import Event


class EventRouter:
    """Names the prompt of each event, also where the server does not.

    ComfyUI runs one prompt at a time, so an event without a prompt belongs to the one that runs now, if that is one
    of ours: previews and texts of prompts that others submitted without client id reach everybody (ComfyUI protocol
    notes, section 7.2).

    Args:
        ours: The prompt ids we follow; looked at with every event.
    """

    def __init__(self, ours: Container[str]) -> None:
        self._ours = ours
        self._running: str | None = None
        self._graph_node: str | None = None
        self._previews_are_named = False

    def reset(self) -> None:
        """Forget what runs, after a new connection: events in between were missed."""
        self._running = self._graph_node = None
        self._previews_are_named = False

    def route(self, event: Event) -> tuple[str, Event] | None:
        """Find the prompt of an event.

        Args:
            event: The next event of the socket.

        Returns:
            The prompt id, one of ours, and the event with what was missing filled in; None if it concerns none of ours.
        """
        if isinstance(event, PromptEvent):
            return self._named(event.prompt_id, event)
        if isinstance(event, NodeStarted) and event.prompt_id is not None:
            return self._named(event.prompt_id, event)
        if isinstance(event, FeatureFlags):
            self._previews_are_named = event.preview_metadata
        if isinstance(event, Preview):
            return self._preview(event)
        if isinstance(event, TextProgress) and self._running is not None:
            return self._running, replace(event, prompt_id=self._running)
        return None

    def _named(self, prompt_id: str, event: Event) -> tuple[str, Event] | None:
        if prompt_id not in self._ours:
            return None
        if isinstance(event, NodeStarted):
            self._running, self._graph_node = prompt_id, event.display_node
        elif isinstance(event, ExecutionStarted):
            self._running, self._graph_node = prompt_id, None
        elif isinstance(event, PromptEnded) and prompt_id == self._running:
            self._running = self._graph_node = None
        return prompt_id, event

    def _preview(self, event: Preview) -> tuple[str, Event] | None:
        if event.prompt_id is not None:
            return (event.prompt_id, event) if event.prompt_id in self._ours else None
        # A server that names previews sends nameless ones only for prompts that are not ours.
        if self._previews_are_named or self._running is None:
            return None
        return self._running, replace(event, prompt_id=self._running, graph_node=self._graph_node)
