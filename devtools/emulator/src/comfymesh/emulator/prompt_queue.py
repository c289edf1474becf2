"""Prompts that wait, the one that runs, and the history of those that ended."""

from __future__ import annotations

import heapq
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

from comfymesh.graphs import JsonValue

_HISTORY_CAP = 10_000


@dataclass(order=True, slots=True)
class Prompt:
    """One prompt, ordered as in ComfyUI's queue: two with the same number and id cannot be ordered.

    Attributes:
        number: Sort key; lower runs first.
        id: Prompt id.
        graph: The graph as an object, values converted.
        extra_data: What came with it, with client id and time of creation.
        outputs: Output graph nodes to run.
    """

    number: float
    id: str
    graph: dict[str, JsonValue]
    extra_data: dict[str, JsonValue]
    outputs: list[str]

    def as_item(self) -> list[JsonValue]:
        """Returns the queue item (ComfyUI protocol notes, section 5.1)."""
        return [self.number, self.id, self.graph, self.extra_data, list[JsonValue](self.outputs)]

    @property
    def client_id(self) -> str | None:
        """The client id that gets its events, or None."""
        client_id = self.extra_data.get("client_id")
        return None if client_id is None else str(client_id) if isinstance(client_id, str) else f"\0{client_id}"


@dataclass(slots=True)
class Ending:
    """How a prompt ended: what history keeps besides the prompt itself."""

    outputs: dict[str, object]
    meta: dict[str, JsonValue]
    status: dict[str, JsonValue]


@dataclass(slots=True)
class Snapshot:
    """The queue at one moment: what runs, and what waits, in heap order."""

    running: list[Prompt]
    pending: list[Prompt] = field(default_factory=list)


class PromptQueue:
    """The queue and history of an instance, in memory only. Safe to use from any thread.

    Args:
        on_change: Called after every change of the number of prompts.
    """

    def __init__(self, on_change: Callable[[], None]) -> None:
        self._on_change = on_change
        self._changed = threading.Condition()
        self._pending: list[Prompt] = []
        self._running: list[Prompt] = []
        self._history: dict[str, dict[str, object]] = {}
        self._closed = False

    def put(self, prompt: Prompt) -> None:
        """Adds a prompt.

        Raises:
            TypeError: Number and id equal those of a waiting prompt. It is in the queue nevertheless.
        """
        with self._changed:
            # Comparing two prompts of the same number and id goes on to compare their graphs, which fails after the
            # prompt was appended: the server answers 500 and runs it (ComfyUI protocol notes, section 4).
            heapq.heappush(self._pending, prompt)
            self._changed.notify()
        self._on_change()

    def take(self, timeout: float | None) -> Prompt | None:
        """Waits for the next prompt and makes it the running one; None on time-out and once closed."""
        with self._changed:
            if not self._pending and not self._closed:
                self._changed.wait(timeout)
            if self._closed or not self._pending:
                return None
            prompt = heapq.heappop(self._pending)
            self._running.append(prompt)
        self._on_change()
        return prompt

    def finish(self, prompt: Prompt, ending: Ending) -> None:
        """Moves a running prompt to the history."""
        with self._changed:
            self._running.remove(prompt)
            if len(self._history) >= _HISTORY_CAP:
                self._history.pop(next(iter(self._history)))
            self._history.pop(prompt.id, None)
            self._history[prompt.id] = {
                "prompt": prompt.as_item(),
                "outputs": ending.outputs,
                "status": ending.status,
                "meta": ending.meta,
            }
        self._on_change()

    def wake(self) -> None:
        """Wakes the worker, so that it looks for other work than prompts."""
        with self._changed:
            self._changed.notify_all()

    def close(self) -> None:
        """Ends every wait for a prompt, now and later."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def snapshot(self) -> Snapshot:
        """Returns what runs and what waits."""
        with self._changed:
            return Snapshot([*self._running], [*self._pending])

    def remaining(self) -> int:
        """Returns how many prompts wait or run."""
        return len(self._running) + len(self._pending)

    def is_running(self, prompt_id: str) -> bool:
        """Tells whether this prompt is the running one."""
        return any(prompt.id == prompt_id for prompt in self._running)

    def delete(self, prompt_id: str) -> bool:
        """Removes one waiting prompt with this id and tells whether there was one."""
        with self._changed:
            found = next((prompt for prompt in self._pending if prompt.id == prompt_id), None)
            if found is None:
                return False
            self._pending = [prompt for prompt in self._pending if prompt is not found]
            heapq.heapify(self._pending)
        self._on_change()
        return True

    def clear(self) -> None:
        """Removes every waiting prompt."""
        with self._changed:
            self._pending = []
        self._on_change()

    def history(self, max_items: int | None = None, offset: int = -1) -> Mapping[str, Mapping[str, object]]:
        """Returns a part of the history, oldest first: the newest items, or those from an offset on."""
        with self._changed:
            ids = [*self._history]
            if max_items is not None and offset < 0:
                offset = max(0, len(ids) - max_items)
            end = None if max_items is None else max(0, offset) + max_items
            return {prompt_id: self._history[prompt_id] for prompt_id in ids[max(0, offset) : end]}

    def entry(self, prompt_id: str) -> Mapping[str, object] | None:
        """Returns one entry of the history, or None."""
        return self._history.get(prompt_id)

    def forget(self, prompt_ids: Iterator[str] | list[str] | None) -> None:
        """Removes entries of the history; all of them for None."""
        with self._changed:
            for prompt_id in [*self._history] if prompt_ids is None else prompt_ids:
                self._history.pop(prompt_id, None)
