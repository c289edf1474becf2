"""What one watcher of one task is still to be told. Pure but for the wake-up.

State changes are kept, each once and in order; of progress and previews only the latest. So a watcher who does not read
costs no more than the few changes that one task can go through.
"""

from __future__ import annotations

import base64
import binascii
import bisect
from collections import deque
from collections.abc import Awaitable, Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TypeVar

from comfymesh.api.waking import Wake
from comfymesh.bus.tasklog import Stored
from comfymesh.tasks.record import FINAL
from comfymesh.v1 import task_pb2

T = TypeVar("T", task_pb2.TaskProgress, task_pb2.Preview)

Item = Stored | task_pb2.TaskProgress | task_pb2.Preview

_PASSING = frozenset({task_pb2.Task.STATE_QUEUED, task_pb2.Task.STATE_ASSIGNED})
FINAL_STATES = frozenset(task_pb2.Task.State.Value(f"STATE_{state}") for state in FINAL)


@dataclass(eq=False)
class Mailbox:
    """Collects what happens to a task until the watcher takes it.

    Attributes:
        position: Sequence of the last state that the watcher was told.
        task: The task as the watcher was told last.
        waiting: Whether it waits for a slot then.
        ended: Whether it has ended then.
    """

    position: int = 0
    task: task_pb2.Task = field(default_factory=task_pb2.Task)
    waiting: bool = False
    ended: bool = False
    _attempt: int = 0
    _states: deque[Stored] = field(default_factory=deque)
    _place: task_pb2.TaskProgress | None = None
    _progress: task_pb2.TaskProgress | None = None
    _heard: task_pb2.TaskProgress | None = None
    _preview: task_pb2.Preview | None = None
    _told: tuple[int, float] = (0, -1.0)
    _artifacts: set[bytes] = field(default_factory=set)
    _wake: Wake = field(default_factory=Wake)
    _closed: bool = False

    def begin(self, position: int, task: task_pb2.Task | None = None) -> None:
        """The watcher knows, or need not know, what was up to `position`; the task was `task` then."""
        self._tell(position, task or self.task)
        self._states = deque(stored for stored in self._states if stored.sequence > position)

    def offer(self, stored: Stored) -> None:
        """A state change. One that was told already, or is waiting to be, changes nothing.

        Changes come from two sources, of which either may be ahead of the other; they are told in order all the same.
        """
        if stored.sequence > self.position and all(known.sequence != stored.sequence for known in self._states):
            bisect.insort(self._states, stored, key=lambda known: known.sequence)
            self._wake.set()

    def offer_progress(self, progress: task_pb2.TaskProgress) -> None:
        """Progress. Takes the place of what was not told yet; what goes back, or was just heard, is dropped.

        It comes from two sources as well: what was told last before somebody listened may be told to the listener too.
        """
        latest = (self._progress.attempt, self._progress.fraction) if self._progress else self._told
        place = (progress.attempt, progress.fraction)
        if place < latest or (place == latest and progress == self._heard):
            return
        self._progress = self._heard = progress
        self._wake.set()

    @property
    def has_heard(self) -> bool:
        """Whether any progress has come."""
        return self._heard is not None

    def offer_place(self, place: task_pb2.TaskProgress) -> None:
        """The task's place in the queue. Means nothing any more once the task has left it."""
        self._place = place
        self._wake.set()

    def offer_preview(self, preview: task_pb2.Preview) -> None:
        """A preview. Takes the place of one that was not told yet."""
        self._preview = preview
        self._wake.set()

    def close(self) -> None:
        """Nothing more will come: the server is stopping."""
        self._closed = True
        self._wake.set()

    @property
    def closed(self) -> bool:
        """Whether the server is stopping."""
        return self._closed

    def take(self, *, states_only: bool = False) -> list[Item]:
        """Everything that the watcher should be told now, states first; with `states_only` the rest stays for later."""
        self._wake.clear()
        items: list[Item] = list(self._up_to_the_end()) if self._states else []
        if states_only:
            return items
        if self._place is not None:
            if self.waiting:
                items.append(self._place)
            self._place = None
        if self._progress is not None:
            if self._is_due(self._progress):
                items.append(self._news(self._progress))
            self._progress = self._early(self._progress)
        if self._preview is not None:
            if self._is_due(self._preview):
                items.append(self._preview)
            self._preview = self._early(self._preview)
        return items

    def _news(self, progress: task_pb2.TaskProgress) -> task_pb2.TaskProgress:
        """Progress, which comes with all artifacts of its attempt, with those alone that the watcher was not told."""
        if progress.attempt != self._told[0]:
            self._artifacts.clear()
        self._told = (progress.attempt, progress.fraction)
        if not progress.artifacts:
            return progress
        known = {artifact.SerializeToString(deterministic=True): artifact for artifact in progress.artifacts}
        del progress.artifacts[:]
        progress.artifacts.extend(artifact for data, artifact in known.items() if data not in self._artifacts)
        self._artifacts.update(known)
        return progress

    def _up_to_the_end(self) -> Iterator[Stored]:
        """The states that are to be told. What comes behind the final one is none, but a note on a dead letter."""
        while self._states and not self.ended:
            stored = self._states.popleft()
            self._tell(stored.sequence, stored.task)
            yield stored
        self._states.clear()

    def _tell(self, position: int, task: task_pb2.Task) -> None:
        # What is asked of the task for each progress is looked up once for each change.
        self.position, self.task, self._attempt = position, task, task.attempt
        self.waiting, self.ended = task.state == task_pb2.Task.STATE_QUEUED, task.state in FINAL_STATES

    @property
    def keeps(self) -> bool:
        """Whether there is something beside states that the watcher should be told."""
        progress, preview = self._progress, self._preview
        if (progress is not None and self._is_due(progress)) or (preview is not None and self._is_due(preview)):
            return True
        return self._place is not None and self.waiting

    def _is_due(self, item: task_pb2.TaskProgress | task_pb2.Preview) -> bool:
        """Whether it belongs to the attempt that the watcher knows to be under way; what is older is dropped."""
        return not self.waiting and not self.ended and item.attempt == self._attempt

    def _early(self, item: T) -> T | None:
        """What belongs to an attempt that the watcher will hear of in a moment waits for that."""
        return item if item.attempt > self._attempt else None

    @property
    def pending(self) -> int:
        """How many changes are still to be told."""
        return len(self._states)

    @property
    def passing(self) -> bool:
        """Whether the last change that is to be told will most likely be followed by another one at once."""
        return bool(self._states) and self._states[-1].task.state in _PASSING

    def wait(self, timeout: float) -> Awaitable[None]:
        """Wait until there is something to take, at most `timeout` seconds."""
        return self._wake.wait(timeout)

    def leave(self) -> None:
        """The watcher has gone."""
        self._wake.rest()

    async def wait_for_more(self, timeout: float) -> None:
        """Wait until there is more to take than now, at most `timeout` seconds."""
        self._wake.clear()
        await self.wait(timeout)


@lru_cache(maxsize=4096)
def make_token(sequence: int) -> str:
    """The resume token for a position. All progress between two changes has the same."""
    return base64.urlsafe_b64encode(sequence.to_bytes(8)).decode().rstrip("=")


def read_token(token: str) -> int:
    """The position in a token; 0, which asks for a fresh snapshot, where it is not one of ours."""
    try:
        data = base64.b64decode(token + "=" * (-len(token) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        return 0
    return int.from_bytes(data) if len(data) == 8 else 0
