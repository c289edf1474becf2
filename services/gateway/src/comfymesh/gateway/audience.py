"""The sockets of one key, and what they are told: the prompts of the key's tenant, followed in the mesh.

Nothing in here has to outlive the process. Whose prompt it is stands on the task, so a socket is told of it by
whichever gateway it is connected to, also after that gateway or another was started again.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter, deque
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import aclosing, asynccontextmanager
from datetime import datetime

from comfymesh.client import CaughtUp, ComfyMeshError, Event, Task, TaskChanged, TaskState, Unavailable
from comfymesh.gateway.domain import history, marks, naming, narrator
from comfymesh.gateway.domain.history import PENDING, RUNNING
from comfymesh.gateway.domain.narrator import Narrator
from comfymesh.gateway.mesh import Mesh
from comfymesh.gateway.settings import GatewaySettings
from comfymesh.gateway.socket import Socket
from comfymesh.runtime.background import Background

logger = logging.getLogger(__name__)

_MOST_UNFINISHED = 20_000
_RETRY_SECONDS = 1.0
_MOST_NOTED = 256
_TO_ALL = {"progress", "progress_state", "execution_interrupted"}
"""What is told to everybody of a prompt that has no client (ComfyUI protocol notes, section 7.2)."""


class Audience:
    """Follows the prompts of one key for its sockets.

    Args:
        mesh: The mesh, called with that key.
        settings: How many prompts are followed, and whether with previews.
        background: Runs what follows.
    """

    def __init__(self, mesh: Mesh, settings: GatewaySettings, background: Background) -> None:
        self._mesh = mesh
        self._previews = settings.gateway_previews
        self._background = background
        self._turns = asyncio.Semaphore(settings.gateway_max_followed)
        self._unfinished: dict[str, Task] = {}
        self._followers: dict[str, asyncio.Task[None]] = {}
        self._narrators: dict[str, Narrator] = {}
        self._by_client: dict[str, Socket] = {}
        self._noted: dict[str, str] = {}
        self._ended: deque[tuple[str, datetime | None]] = deque(maxlen=_MOST_NOTED)
        self._ready = asyncio.Event()
        self.refused: ComfyMeshError | None = None
        self.sockets: set[Socket] = set()

    async def ready(self) -> None:
        """Wait until it is known what waits and runs.

        Raises:
            ComfyMeshError: the mesh does not tell.
        """
        await self._ready.wait()
        if self.refused is not None:
            raise self.refused

    async def run(self) -> None:
        """Follow what happens, until cancelled or refused."""
        while True:
            try:
                await self._watch()
            except Unavailable as error:
                logger.warning("prompts can't be followed at the moment: %s", error, extra={"action": "watch_broken"})
                if not self._ready.is_set():
                    self._refuse(error)
                    return
            except ComfyMeshError as error:
                self._refuse(error)
                return
            except Exception as error:  # a defect of ours ends what this key is told, and not what others are
                logger.exception("prompts can't be followed by a defect", extra={"action": "watch_defect"})
                self._refuse(ComfyMeshError(f"a defect of the gateway: {type(error).__name__}", reason="INTERNAL"))
                return
            await asyncio.sleep(_RETRY_SECONDS)

    def close(self) -> None:
        """Follow nothing any more."""
        for follower in self._followers.values():
            follower.cancel()

    def remaining(self) -> int:
        """Prompts that wait or run."""
        return len(self._unfinished)

    def note(self, task: Task, prompt_id: str) -> None:
        """A prompt was accepted here: whoever connects from now on finds it counted."""
        if not self._ready.is_set():
            self._noted[task.name] = prompt_id
        elif task.name not in self._unfinished and _creation(task) not in self._ended:
            self._take(TaskChanged(task))

    def join(self, socket: Socket) -> None:
        """Makes a socket the one that is told the events of its client, and tells it what it should know at once."""
        self.sockets.add(socket)
        self._by_client[socket.mark] = socket
        socket.tell("status", {**_status(self.remaining()), "sid": socket.client_id})
        for name, task in self._unfinished.items():
            if marks.read(task.labels).client != socket.mark:
                continue
            current = self._narrators[name].current if name in self._narrators else None
            if current is not None:
                socket.tell("executing", {"node": current})
        for task in [*self._unfinished.values()]:
            self._consider(task, midway=task.state in RUNNING)

    def leave(self, socket: Socket) -> None:
        """A socket is gone. The newer one of its client, if there is one, goes on."""
        self.sockets.discard(socket)
        if self._by_client.get(socket.mark) is socket:
            del self._by_client[socket.mark]

    async def _watch(self) -> None:
        async with aclosing(self._mesh.watch_all()) as events:
            async for event in events:
                if isinstance(event, CaughtUp):
                    await self._look()
                    self._ready.set()
                else:
                    self._take(event)

    async def _look(self) -> None:
        """Take in what was there before the watch. What the watch tells from now on comes later in the log."""
        listed = await self._mesh.tasks([*PENDING, *RUNNING], _MOST_UNFINISHED)
        found = {task.name: task for task in reversed(listed)}
        for name in [*self._noted]:
            # Accepted a moment ago; the list may not have had it yet.
            task = await self._mesh.task(self._noted.pop(name))
            if name not in found and task is not None and not task.state.final:
                found[name] = task
        missed = await self._missed(found)
        # Of some, their own watches have told the end since they were listed.
        waits = {name: task for name, task in found.items() if _creation(task) not in self._ended}
        before, self._unfinished = self._unfinished, waits | missed
        self._tell_status()
        for task in [*self._unfinished.values()]:
            self._consider(task, midway=before.get(task.name, task).state in RUNNING)

    async def _missed(self, found: Mapping[str, Task]) -> dict[str, Task]:
        """Prompts that have ended while nothing was told here, and whose clients still wait to hear of it."""
        unheard = [
            task
            for name, task in self._unfinished.items()
            if name not in found and name not in self._followers and self._receivers(task)
        ]
        now = [await self._mesh.task(naming.prompt_id(task.name) or "") for task in unheard]
        ended = (task for task in now if task is not None and task.state.final)
        return {task.name: task for task in ended if _creation(task) not in self._ended}

    def _refuse(self, error: ComfyMeshError) -> None:
        self.refused = error
        self._ready.set()
        for socket in [*self.sockets]:
            socket.end(error.reason)

    def _take(self, event: TaskChanged) -> None:
        task, known = event.task, event.task.name in self._unfinished
        if not known and _creation(task) in self._ended:
            return  # Its own watch was ahead of this one.
        if task.state.final:
            self._ended.append(_creation(task))
        ended = task.state.final and task.name not in self._followers and not self._receivers(task)
        if ended or history.is_gone(task):
            self._forget(task)
            return
        if not task.state.final or known:
            self._unfinished[task.name] = task
        if not known and not task.state.final:
            self._tell_status()
        if known or not task.state.final:
            self._consider(task, midway=False)

    def _consider(self, task: Task, *, midway: bool) -> None:
        """Follow a prompt that is under way, where somebody wants to know."""
        if task.state is not TaskState.QUEUED and task.name not in self._followers and self._receivers(task):
            follower = self._background.spawn(self._follow(task, midway=midway), "follower")
            self._followers[task.name] = follower
            follower.add_done_callback(lambda _: self._followers.pop(task.name, None))

    def _receivers(self, task: Task) -> list[Socket]:
        client = marks.read(task.labels).client
        if client is None:
            return [*self._by_client.values()]
        return [self._by_client[client]] if client in self._by_client else []

    def _forget(self, task: Task) -> None:
        if self._unfinished.pop(task.name, None) is not None:
            self._tell_status()

    def _tell_status(self) -> None:
        for socket in [*self._by_client.values()]:
            socket.tell("status", _status(self.remaining()))

    async def _follow(self, task: Task, *, midway: bool) -> None:
        try:
            async with self._turns:
                await self._narrate(task, midway=midway)
        except ComfyMeshError as error:
            logger.info("a prompt can't be followed: %s", error, extra={"action": "follow_failed", "task": task.name})
        except Exception:  # whatever is told of one prompt, others are followed
            logger.exception(
                "a prompt can't be followed by a defect", extra={"action": "follow_defect", "task": task.name}
            )
        finally:
            self._narrators.pop(task.name, None)
            latest = self._unfinished.get(task.name)
            if latest is not None and latest.state.final:
                self._forget(latest)

    async def _narrate(self, task: Task, *, midway: bool) -> None:
        prompt = await self._mesh.prompt(task)
        if prompt is None:
            return
        teller = Narrator(prompt.id, prompt.graph, prompt.outputs, midway=midway)
        self._narrators[task.name] = teller
        previews = marks.wants_previews(marks.read(task.labels), usual=self._previews)
        async with _events(self._mesh, self._unfinished.get(task.name, task), previews=previews) as events:
            async for event in events:
                final = isinstance(event, TaskChanged) and event.task.state.final
                texts = await self._mesh.texts(event.task) if final and isinstance(event, TaskChanged) else {}
                for item in teller.feed(event, texts, time.time()):
                    self._tell(task, item)

    def _tell(self, task: Task, item: narrator.Item) -> None:
        owned = marks.read(task.labels).client is not None
        match item:
            case narrator.Dequeued():
                self._tell_status()
            case narrator.Ended():
                self._ended.append(_creation(task))
                self._forget(task)
            case narrator.Told(type=kind, data=data):
                if owned or kind in _TO_ALL:
                    for socket in self._receivers(task):
                        socket.tell(kind, data)
            case narrator.Shown():
                for socket in self._receivers(task):
                    socket.show(item, with_metadata=owned)


@asynccontextmanager
async def _events(mesh: Mesh, task: Task, *, previews: bool) -> AsyncIterator[AsyncIterator[Event]]:
    """What happens to a task from here on; of one that has ended, its end."""
    if task.state.final:
        yield _one(TaskChanged(task))
        return
    async with aclosing(mesh.watch(task, previews=previews)) as events:
        yield events


async def _one(event: Event) -> AsyncIterator[Event]:
    yield event


def _creation(task: Task) -> tuple[str, datetime | None]:
    """One of all tasks that ever had its name."""
    return task.name, task.create_time


def _status(remaining: int) -> dict[str, object]:
    return {"status": {"exec_info": {"queue_remaining": remaining}}}


class Audiences:
    """The audiences of all keys.

    Args:
        make: Makes an audience.
        background: Runs them.
        linger: So many seconds one stays after its last socket has gone, for a client that comes back.
    """

    def __init__(self, make: Callable[[], Audience], background: Background, linger: float) -> None:
        self._make = make
        self._background = background
        self._linger = linger
        self._open: dict[str, Audience] = {}
        self._closing: dict[str, asyncio.TimerHandle] = {}
        self._running: dict[str, asyncio.Task[None]] = {}
        self._users = Counter[str]()
        self._noted: deque[tuple[str, Task, str]] = deque(maxlen=_MOST_NOTED)

    @property
    def sockets(self) -> int:
        """Sockets that are open."""
        return sum(len(audience.sockets) for audience in self._open.values())

    def of(self, caller: str) -> Audience:
        """The audience of a key, for which the mesh is called here. It stays until each who asked for it has left."""
        self._users[caller] += 1
        if caller in self._closing:
            self._closing.pop(caller).cancel()
        audience = self._open.get(caller)
        if audience is None or audience.refused is not None:
            self._close(caller)
            audience = self._open[caller] = self._make()
            for who, task, prompt_id in self._noted:
                if who == caller:
                    audience.note(task, prompt_id)
            self._running[caller] = self._background.spawn(audience.run(), "audience")
        return audience

    def note(self, caller: str, task: Task, prompt_id: str) -> None:
        """A prompt was accepted here."""
        if caller in self._open:
            self._open[caller].note(task, prompt_id)
        else:
            self._noted.append((caller, task, prompt_id))

    def left(self, caller: str) -> None:
        """A socket has gone, or did not come to be."""
        self._users[caller] -= 1
        if not self._users[caller]:
            del self._users[caller]
        audience = self._open.get(caller)
        if audience is not None and audience.refused is not None:
            self._close(caller)  # Keys that are none are soon many.
        elif audience is not None and not self._users[caller] and caller not in self._closing:
            loop = asyncio.get_running_loop()
            self._closing[caller] = loop.call_later(self._linger, self._close, caller)

    def _close(self, caller: str) -> None:
        self._closing.pop(caller, None)
        audience = self._open.pop(caller, None)
        if audience is not None:
            audience.close()
            self._running.pop(caller).cancel()
