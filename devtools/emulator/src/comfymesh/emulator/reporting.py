"""Tells clients how far the graph nodes of a prompt are."""

from __future__ import annotations

import io
import os
import time
from dataclasses import dataclass, field

from PIL import Image

from comfymesh.comfyui.frames import preview_frame, preview_frame_with_metadata, text_frame
from comfymesh.emulator.faults import Fault
from comfymesh.emulator.hub import Hub
from comfymesh.emulator.node_run import Instance, WorkerEndError
from comfymesh.emulator.plan import PlannedNode
from comfymesh.emulator.progress import ProgressBoard, Throttle
from comfymesh.emulator.prompt_queue import Prompt

_JPEG_QUALITY = 95


@dataclass(slots=True)
class Reporter:
    """Sends starts, progress, previews and ends of graph nodes, in ComfyUI's order (protocol notes, section 9).

    Attributes:
        hub: Takes the events.
        instance: The instance, for its faults and its interrupt flag.
        board: State of all graph nodes.
        prompt: The prompt.
    """

    hub: Hub
    instance: Instance
    board: ProgressBoard
    prompt: Prompt
    _throttles: dict[str, Throttle] = field(default_factory=dict)

    def started(self, node: PlannedNode) -> None:
        """Tells that a graph node begins."""
        if self.instance.faults.value(Fault.EXIT_MID_RUN) == 0:
            self._crash()
        self.board.start(node)
        self._send_state()
        if self.prompt.client_id is not None:
            data = {"node": node.id, "display_node": node.display_id, "prompt_id": self.prompt.id}
            self.hub.current_node = node.display_id
            self.hub.send("executing", data, self.prompt.client_id)

    def finished(self, node: PlannedNode) -> None:
        """Tells that a graph node is done."""
        self.board.finish(node)
        self._send_state()

    def wants_previews(self) -> bool:
        """Tells whether previews are sent for this prompt."""
        asked = self.prompt.extra_data.get("preview_method")
        known = isinstance(asked, str) and asked in {"none", "auto", "latent2rgb", "taesd"}
        return (asked if known else self.instance.settings.preview_method) != "none"

    def progress(self, node: PlannedNode, value: int, maximum: int, preview: Image.Image | None) -> None:
        """Tells progress, unless it was told a moment ago.

        Raises:
            InterruptedRunError: The prompt shall stop.
        """
        self._misbehave(value)
        throttle = self._throttles.setdefault(node.id, Throttle())
        if not throttle.lets_through(value, maximum, time.monotonic(), has_preview=preview is not None):
            return
        self.instance.check_interrupted()
        client = self.prompt.client_id
        jpeg = _jpeg(preview) if preview is not None and self.hub.has_receiver(client) else None
        self.board.update(node, value, maximum)
        self._send_state()
        with_metadata = jpeg is not None and self.hub.wants_metadata(client)
        if jpeg is not None and with_metadata:
            self.hub.send_frame(preview_frame_with_metadata(jpeg, self._metadata(node)), client)
        data = {"value": value, "max": maximum, "prompt_id": self.prompt.id, "node": node.id}
        self.hub.send("progress", data, client)
        if jpeg is not None and not with_metadata:
            self.hub.send_frame(preview_frame(jpeg), client)

    def text(self, node: PlannedNode, text: str) -> None:
        """Shows a line of text for a graph node."""
        self.hub.send_frame(text_frame(node.id, text), self.prompt.client_id)

    def _send_state(self) -> None:
        self.hub.send("progress_state", self.board.as_json(), self.prompt.client_id)

    def _metadata(self, node: PlannedNode) -> dict[str, str | None]:
        return {
            "node_id": node.id,
            "prompt_id": self.prompt.id,
            "display_node_id": node.display_id,
            "parent_node_id": node.parent_id,
            "real_node_id": node.display_id,
        }

    def _misbehave(self, value: int) -> None:
        self.instance.sleep(self.instance.faults.value(Fault.SLOW_STEPS) or 0.0)
        stalled = self.instance.faults.take(Fault.STALL_IN_STEP)
        if stalled is not None:
            self.instance.sleep(stalled)
        exit_at = self.instance.faults.value(Fault.EXIT_MID_RUN)
        if exit_at is not None and value >= exit_at:
            self._crash()

    def _crash(self) -> None:
        self.instance.crash(os.EX_SOFTWARE)
        raise WorkerEndError


def _jpeg(picture: Image.Image) -> bytes:
    written = io.BytesIO()
    picture.save(written, "JPEG", quality=_JPEG_QUALITY)
    return written.getvalue()
