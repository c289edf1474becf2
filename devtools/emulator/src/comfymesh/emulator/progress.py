"""Progress of the graph nodes of one prompt, as clients see it (ComfyUI protocol notes, sections 7.3 and 7.5)."""

from __future__ import annotations

from dataclasses import dataclass, field

from comfymesh.emulator.plan import PlannedNode

_SHORTEST_PAUSE = 0.1
_SMALLEST_SHARE = 0.005


@dataclass(slots=True)
class Throttle:
    """Decides which progress of a graph node is sent: the first, the last, and others not too often.

    Attributes:
        sent_at: When something was sent last, in seconds, or None.
        sent_value: What was sent last.
    """

    sent_at: float | None = None
    sent_value: float = 0.0

    def lets_through(self, value: float, maximum: float, now: float, *, has_preview: bool) -> bool:
        """Tells whether this progress is sent, and notes it if so."""
        late = self.sent_at is None or now - self.sent_at >= _SHORTEST_PAUSE
        far = self.sent_at is None or value - self.sent_value >= _SMALLEST_SHARE * maximum
        if not (has_preview or value >= maximum or (late and far)):
            return False
        self.sent_at, self.sent_value = now, value
        return True


@dataclass(slots=True)
class ProgressBoard:
    """State of every graph node that began, in the order in which they did.

    Attributes:
        prompt_id: The prompt.
    """

    prompt_id: str
    _nodes: dict[str, dict[str, object]] = field(default_factory=dict)

    def start(self, node: PlannedNode) -> None:
        """Notes that a graph node begins."""
        self._nodes[node.id] = self._entry(node, 0.0, 1.0, "running")

    def update(self, node: PlannedNode, value: int, maximum: int) -> None:
        """Notes progress."""
        self._nodes[node.id] = self._entry(node, value, maximum, "running")

    def finish(self, node: PlannedNode) -> None:
        """Notes that a graph node is done, whether it ran or came from the cache."""
        maximum = self._nodes[node.id]["max"] if node.id in self._nodes else 1
        self._nodes[node.id] = self._entry(node, maximum, maximum, "finished")

    def as_json(self) -> dict[str, object]:
        """Returns the data of ``progress_state``: the whole list, each time."""
        return {"prompt_id": self.prompt_id, "nodes": dict(self._nodes)}

    def _entry(self, node: PlannedNode, value: object, maximum: object, state: str) -> dict[str, object]:
        return {
            "value": value,
            "max": maximum,
            "state": state,
            "node_id": node.id,
            "prompt_id": self.prompt_id,
            "display_node_id": node.display_id,
            "parent_node_id": node.parent_id,
            "real_node_id": node.display_id,
        }
