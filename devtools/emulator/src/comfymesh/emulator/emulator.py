"""One emulated instance: its parts, put together."""

from __future__ import annotations

import asyncio
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import TypeVar

from aiohttp import web

from comfymesh.emulator.cache import ResultCache
from comfymesh.emulator.faults import Faults
from comfymesh.emulator.folders import Folders
from comfymesh.emulator.hub import Hub
from comfymesh.emulator.models import LoadTimes, ModelFiles, ResidentModels
from comfymesh.emulator.node_run import Instance
from comfymesh.emulator.nodes import NODES
from comfymesh.emulator.prompt_queue import PromptQueue
from comfymesh.emulator.settings import Settings
from comfymesh.emulator.worker import Worker
from comfymesh.graphs import Catalog, JsonValue

_LOG_LINES = 300


class Emulator:
    """An instance without its HTTP server. Make it inside a running event loop.

    Args:
        settings: Settings.
        crash: Ends the instance at once, with an exit status.
        restart: Ends it at once; another takes its place after so many seconds.
    """

    def __init__(self, settings: Settings, crash: Callable[[int], None], restart: Callable[[float], None]) -> None:
        self.settings = settings
        self.restart = restart
        self.folders = Folders(settings)
        self.faults = Faults(settings.faults)
        self.hub = Hub(self.faults, crash)
        self.queue = PromptQueue(self.broadcast_status)
        self.instance = self._instance(crash)
        self.worker = Worker(self.queue, self.hub, self.instance, ResultCache(settings.cache_entries), self.log_line)
        self.next_number = 0
        self._log: deque[tuple[float, str]] = deque(maxlen=_LOG_LINES)
        self._catalog: tuple[dict[str, list[str]], Catalog] = ({}, Catalog({}))
        self._thread: threading.Thread | None = None
        self._sender: asyncio.Task[None] | None = None

    def _instance(self, crash: Callable[[int], None]) -> Instance:
        stopping = threading.Event()
        settings = self.settings
        files = ModelFiles(settings.base_directory, settings.models)
        # Loading waits on the same event as everything else, so that a stop cuts it short.
        instance = Instance(settings, self.folders, self.faults, files, _NO_MODELS, crash, stopping)
        instance.resident = ResidentModels(settings.resident, settings.load_times, instance.sleep)
        return instance

    def start(self) -> None:
        """Starts the worker thread and the loop that sends events."""
        self.folders.prepare()
        self._thread = self.worker.start()
        self._sender = asyncio.create_task(self.hub.run())

    async def stop(self) -> None:
        """Stops both; a running prompt is lost, as on a real server."""
        self.instance.stopping.set()
        self.queue.close()
        if self._sender is not None:
            self._sender.cancel()
            await asyncio.wait([self._sender])
        if self._thread is not None:
            await asyncio.to_thread(self._thread.join, 10)

    def status(self) -> dict[str, JsonValue]:
        """Returns the data of a ``status`` event."""
        return {"status": {"exec_info": {"queue_remaining": self.queue.remaining()}}}

    def broadcast_status(self) -> None:
        """Tells every socket how many prompts there are."""
        self.hub.send("status", self.status(), None)

    def interrupt(self) -> None:
        """Asks the running prompt to stop."""
        self.instance.interrupted.set()

    def object_info(self) -> dict[str, JsonValue]:
        """Returns all node classes as ``/object_info`` writes them."""
        names = remember(self.file_names)
        return {name: definition.as_json(names) for name, definition in NODES.items()}

    def file_names(self, kind: str) -> list[str]:
        """Returns the names of uploaded files (``input``) or of model files of a kind."""
        return self.folders.inputs() if kind == "input" else self.instance.files.names(kind)

    def catalog(self) -> Catalog:
        """Returns the catalog of this moment; made anew only when model files came or went."""
        present = {kind: self.instance.files.names(kind) for kind in _LISTED_KINDS}
        if self._catalog[0] != present:
            names = remember(lambda kind: [] if kind == "input" else self.instance.files.names(kind))
            written = {name: definition.as_json(names) for name, definition in NODES.items()}
            self._catalog = (present, Catalog.from_object_info(written))
        return self._catalog[1]

    def log_line(self, line: str) -> None:
        """Adds a line to the log that clients can read, and sends it to those who subscribed."""
        now = time.time()
        self._log.append((now, line))
        for client_id in [*self.hub.log_subscribers]:
            self.hub.send("logs", {"entries": [_log_entry(now, line)], "size": None}, client_id)

    def log_entries(self) -> list[dict[str, str]]:
        """Returns the last lines of the log, with their times."""
        return [_log_entry(when, line) for when, line in self._log]


def _log_entry(when: float, line: str) -> dict[str, str]:
    return {"t": time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(when)), "m": line}


_NO_MODELS = ResidentModels(0, LoadTimes(0.0), time.sleep)
_LISTED_KINDS = ("checkpoints", "loras", "vae", "upscale_models")
EMULATOR: web.AppKey[Emulator] = web.AppKey("emulator", Emulator)
"""Where the routes find the instance."""

T = TypeVar("T")


def remember(read: Callable[[str], T]) -> Callable[[str], T]:
    """Returns a function that reads each name once; for the length of one answer."""
    known: dict[str, T] = {}

    def remembered(name: str) -> T:
        if name not in known:
            known[name] = read(name)
        return known[name]

    return remembered
