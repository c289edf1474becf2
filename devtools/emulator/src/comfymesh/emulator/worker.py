"""The worker thread: runs prompts strictly one after another."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from comfymesh.emulator.cache import ResultCache
from comfymesh.emulator.executor import Execution
from comfymesh.emulator.faults import Fault
from comfymesh.emulator.hub import Hub
from comfymesh.emulator.node_run import Instance, WorkerEndError
from comfymesh.emulator.prompt_queue import PromptQueue

_LOOK_SECONDS = 0.01


@dataclass(slots=True)
class Worker:
    """Takes prompts from the queue and runs them.

    Attributes:
        queue: The queue.
        hub: Takes the events.
        instance: The instance.
        cache: Results of graph nodes.
        log: Takes lines for the log that clients can read.
    """

    queue: PromptQueue
    hub: Hub
    instance: Instance
    cache: ResultCache
    log: Callable[[str], None]
    unload_wanted: bool = False
    forget_wanted: bool = False

    def start(self) -> threading.Thread:
        """Starts the thread; it ends when the queue is closed."""
        thread = threading.Thread(target=self._run, name="worker", daemon=True)
        thread.start()
        return thread

    def free(self, *, unload: bool, forget: bool) -> None:
        """Asks to unload models and to forget results, once no prompt runs."""
        self.unload_wanted = self.unload_wanted or unload or forget
        self.forget_wanted = self.forget_wanted or forget
        self.queue.wake()

    def _run(self) -> None:
        try:
            while not self.instance.stopping.is_set():
                self._run_one()
                self._free()
        except WorkerEndError:
            # As on a real server, nobody notices: HTTP goes on, prompts are accepted, nothing runs any more.
            self.log("The worker thread ended\n")

    def _run_one(self) -> None:
        prompt = self.queue.take(timeout=0.5)
        if prompt is None:
            return
        self._lose_interrupts()
        # An interrupt that came before this moment is lost (ComfyUI protocol notes, section 6.3).
        self.instance.interrupted.clear()
        self.hub.current_client, self.hub.current_node = prompt.client_id, None
        ending = Execution(prompt, self.instance, self.hub, self.cache).run()
        self.instance.leak()
        self.hub.current_node = None
        self.queue.finish(prompt, ending)
        if prompt.client_id is not None:
            self.hub.send("executing", {"node": None, "prompt_id": prompt.id}, prompt.client_id)
        self.log("Prompt executed\n")

    def _lose_interrupts(self) -> None:
        began = time.monotonic()
        while time.monotonic() - began < (self.instance.faults.value(Fault.LOST_INTERRUPT) or 0.0):
            self.instance.sleep(_LOOK_SECONDS)

    def _free(self) -> None:
        if self.unload_wanted:
            self.unload_wanted = False
            self.instance.resident.unload_all()
        if self.forget_wanted:
            self.forget_wanted = False
            self.cache.clear()
