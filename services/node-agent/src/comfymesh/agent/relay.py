"""Passes on how far an attempt is: its progress always, previews only while somebody watches."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Mapping
from typing import Any

from comfymesh.agent.comfyui.events import Event, ExecutionSucceeded, Preview
from comfymesh.agent.comfyui.progress import PromptProgress
from comfymesh.bus import subjects
from comfymesh.bus.port import Bus, BusUnavailableError, MessageTooLargeError
from comfymesh.runtime.background import stop
from comfymesh.tasks.moments import timestamp
from comfymesh.tasks.parts import to_artifact
from comfymesh.tasks.record import Artifact, Key
from comfymesh.v1 import task_pb2

logger = logging.getLogger(__name__)

Phase = task_pb2.TaskProgress.Phase

_PROGRESS_SECONDS = 0.05
_STORING_SECONDS = 0.25
"""From when ComfyUI has executed what nothing was told of yet: its end is about to be told, as in `claim`."""
_PREVIEW_SECONDS = 0.25
_INTEREST_SECONDS = 3.0
_ETA_AFTER_SECONDS = 1.0
_ETA_AFTER_FRACTION = 0.02
_MOST_STEPS = 1000
_MORE_ARTIFACTS = 16
"""So many artifacts make a message as dear again as one without: progress comes that much less often."""


class Relay:
    """Tells the progress of one attempt. The first of a burst goes out at once, of the rest only the latest.

    Args:
        bus: Where to.
        key: The task.
        attempt: The attempt.
    """

    def __init__(self, bus: Bus, key: Key, attempt: int) -> None:
        self._bus = bus
        self._key = key
        self._attempt = attempt
        self._progress = PromptProgress({})
        self._phase = task_pb2.TaskProgress.PHASE_STAGING
        self._began: float | None = None
        self._artifacts: list[task_pb2.Artifact] = []
        self._preview: Preview | None = None
        self._preview_sent = 0.0
        self._interest = float("-inf")
        self._changed = asyncio.Event()
        self._open = False
        self._quiet_until = float("-inf")
        self._first: asyncio.TimerHandle | None = None
        self._telling: asyncio.Task[None] | None = None

    def open(self) -> None:
        """From now on it may be told."""
        self._open = True
        if self._changed.is_set():
            self._news()

    async def close(self) -> None:
        """Tell nothing more."""
        self._open = False
        if self._first is not None:
            self._first.cancel()
        await stop(self._telling)

    def executing(self, graph: Mapping[str, Any]) -> None:
        """The graph is about to be submitted."""
        classes = {node_id: str(node["class_type"]) for node_id, node in graph.items()}
        self._progress = PromptProgress(classes, {node_id: _weight(node) for node_id, node in graph.items()})
        self._phase = task_pb2.TaskProgress.PHASE_EXECUTING

    def began(self) -> None:
        """ComfyUI has begun to execute it."""
        self._began = time.monotonic()
        self._quiet_until = self._began + _PROGRESS_SECONDS

    def storing(self) -> None:
        """The outputs are being stored."""
        self._phase = task_pb2.TaskProgress.PHASE_STORING
        self._news()

    def stored(self, artifact: Artifact) -> None:
        """An artifact can be read. It is told with all progress from now on, so that no watcher can miss it."""
        self._artifacts.append(to_artifact(self._key.task_id, artifact))
        self._news()

    def wanted(self) -> None:
        """Somebody watches previews."""
        self._interest = time.monotonic()

    def feed(self, event: Event) -> None:
        """An event of the prompt."""
        if isinstance(event, Preview):
            now = time.monotonic()
            if now - self._interest < _INTEREST_SECONDS and now - self._preview_sent >= _PREVIEW_SECONDS:
                self._preview, self._preview_sent = event, now
                self._news()
            return
        if isinstance(event, ExecutionSucceeded):
            self._put_off()
        before = self._progress.view
        self._progress.feed(event)
        if self._progress.view != before:
            self._news()

    def _news(self) -> None:
        """Nothing is told of an attempt's first moments: many are over before anybody could look."""
        self._changed.set()
        if self._open and self._first is None:
            left = max(0.0, self._quiet_until - time.monotonic())
            self._first = asyncio.get_running_loop().call_later(left, self._begin)

    def _put_off(self) -> None:
        if self._telling is None:
            self._quiet_until = time.monotonic() + _STORING_SECONDS
            if self._first is not None:
                self._first.cancel()
                self._first = None
                self._news()

    def _begin(self) -> None:
        self._telling = asyncio.create_task(self._tell())

    async def _tell(self) -> None:
        try:
            await self._keep_telling()
        except Exception:  # progress is not worth an attempt; its end is told all the same
            told = {"action": "progress_defect", "task": self._key.task_id, "attempt": self._attempt}
            logger.exception("the progress of task %s is not told any more", self._key.task_id, extra=told)

    async def _keep_telling(self) -> None:
        """Send what is new, until cancelled."""
        while True:
            await self._changed.wait()
            self._changed.clear()
            with contextlib.suppress(BusUnavailableError, MessageTooLargeError):
                await self._send()
            await asyncio.sleep(_PROGRESS_SECONDS * (1 + len(self._artifacts) / _MORE_ARTIFACTS))

    async def _send(self) -> None:
        await self._bus.publish(subjects.progress(self._key), self._message().SerializeToString())
        preview, self._preview = self._preview, None
        if preview is not None:
            message = task_pb2.Preview(
                attempt=self._attempt,
                graph_node=preview.graph_node or "",
                media_type=preview.media_type,
                data=preview.image,
            )
            await self._bus.publish(subjects.preview(self._key), message.SerializeToString())

    def _message(self) -> task_pb2.TaskProgress:
        view = self._progress.view
        message = task_pb2.TaskProgress(
            attempt=self._attempt,
            phase=self._phase,
            fraction=1.0 if self._phase == task_pb2.TaskProgress.PHASE_STORING else view.fraction,
            graph_nodes_done=view.graph_nodes_done,
            graph_node_count=view.graph_node_count,
            graph_node=view.graph_node,
            graph_node_class=view.graph_node_class,
            step=view.step,
            step_count=view.step_count,
            update_time=timestamp(time.time()),
            artifacts=self._artifacts,
        )
        if (eta := self._eta(view.fraction)) is not None:
            message.eta.FromMilliseconds(round(eta * 1000))
        return message

    def _eta(self, fraction: float) -> float | None:
        """Time to the end if it goes on as it went; None while that would be a mere guess."""
        if self._began is None or fraction < _ETA_AFTER_FRACTION:
            return None
        elapsed = time.monotonic() - self._began
        return elapsed * (1 - fraction) / fraction if elapsed >= _ETA_AFTER_SECONDS else None


def _weight(node: Mapping[str, Any]) -> float:
    """A graph node's share of the whole bar: a sampler's steps are where the time goes, and it says how many."""
    steps = node["inputs"].get("steps")
    return float(min(max(steps, 1), _MOST_STEPS)) if isinstance(steps, int) else 1.0
