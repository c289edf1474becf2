"""ComfyUI in the simulation: a queue, a history and event sockets, in the words of the ComfyUI protocol notes.

It is spoken to at the level of HTTP calls and socket messages, so everything of the agent's own client runs for real
except the two libraries below it.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from comfymesh.testkit.history import Prompted
from comfymesh.testkit.recording import Recorder

NODE_CLASS = "SimulatedSteps"
OBJECT_INFO = {
    NODE_CLASS: {
        "input": {
            "required": {
                "steps": ["INT", {"default": 1, "min": 1, "max": 1000}],
                "seconds": ["FLOAT", {"default": 0.1, "min": 0.0, "max": 100.0}],
                "how": ["STRING", {"default": "well"}],
                "filename_prefix": ["STRING", {"default": "picture"}],
            }
        },
        "output": [],
        "output_node": True,
        "name": NODE_CLASS,
    }
}

_FOUND = 200
_MISSING = 404


def graph(content: str, steps: int, seconds: float, how: str) -> dict[str, Any]:
    """A graph of one node; `how` is well, badly (it raises), sick (out of memory), or deadly (ComfyUI dies of it)."""
    prefix = f"{content}"
    inputs = {"steps": steps, "seconds": seconds, "how": how, "filename_prefix": prefix}
    return {"1": {"class_type": NODE_CLASS, "inputs": inputs}}


class Socket:
    """One event socket, from the server's side a list of texts that wait to be read."""

    def __init__(self) -> None:
        self.texts: asyncio.Queue[str | None] = asyncio.Queue()

    def send(self, kind: str, data: dict[str, Any]) -> None:
        """Send a message."""
        self.texts.put_nowait(json.dumps({"type": kind, "data": data}))


@dataclass(slots=True, eq=False)
class _Prompt:
    number: int
    prompt_id: str
    graph: dict[str, Any]
    client_id: str
    extra_data: dict[str, Any]
    interrupted: bool = False
    messages: list[list[Any]] = field(default_factory=list)

    @property
    def inputs(self) -> dict[str, Any]:
        inputs: dict[str, Any] = self.graph["1"]["inputs"]
        return inputs

    @property
    def item(self) -> list[Any]:
        """As queue and history show it."""
        return [self.number, self.prompt_id, self.graph, self.extra_data, ["1"]]

    @property
    def task(self) -> str:
        """The task it is an attempt of, as was submitted beside the graph."""
        mark: dict[str, str] = self.extra_data.get("comfymesh", {})
        return mark.get("task", "")


class ComfyUI:
    """One server.

    Args:
        name: Its name, for the history.
        recorder: Takes down what it executes.
        rng: Decides how long things take.
        happened: Told its name, and what happened to a prompt: taken, began, ended, forgotten.

    Attributes:
        up: Whether it runs.
        deaths: How often it has died.
        pace: How many times as long everything takes.
    """

    def __init__(self, name: str, recorder: Recorder, rng: random.Random, happened: Callable[[str, str], None]) -> None:
        self.name = name
        self._happened = happened
        self._recorder = recorder
        self._rng = rng
        self._number = 0
        self._files: dict[str, bytes] = {}
        self._died = asyncio.Event()
        self._away = 0.0
        self._forget()
        self.up = True
        self.deaths = 0
        self.pace = 1.0

    def _forget(self) -> None:
        self._pending: list[_Prompt] = []
        self._running: _Prompt | None = None
        self._history: dict[str, dict[str, Any]] = {}
        self._sockets: dict[str, Socket] = {}
        self._arrived = asyncio.Event()

    async def run(self) -> None:
        """Live, and start again after each death, for ever."""
        while True:
            working = asyncio.create_task(self._work())
            try:
                await self._died.wait()
            finally:
                working.cancel()
                await asyncio.gather(working, return_exceptions=True)
            self._died.clear()
            await asyncio.sleep(self._away)
            self.up = True

    def die(self, away: float) -> None:
        """Lose everything but the files, and stay away for so many seconds."""
        self.up, self._away = False, away
        self.deaths += 1
        for socket in self._sockets.values():
            socket.texts.put_nowait(None)
        self._forget()
        self._died.set()

    def open(self, client_id: str) -> Socket:
        """Open an event socket."""
        socket = self._sockets[client_id] = Socket()
        socket.send("status", {"status": {"exec_info": {"queue_remaining": self._count()}}, "sid": client_id})
        return socket

    def drop(self, client_id: str) -> None:
        """A socket is closed."""
        self._sockets.pop(client_id, None)

    def answer(self, method: str, path: str, body: dict[str, Any]) -> tuple[int, Any]:
        """Status and JSON of a call."""
        match method, path.partition("?")[0].strip("/").split("/"):
            case "GET", [what]:
                return self._state(what)
            case "GET", ["history", prompt_id]:
                return _FOUND, {prompt_id: self._history[prompt_id]} if prompt_id in self._history else {}
            case "GET", ["api", "jobs", prompt_id]:
                return self._job(prompt_id)
            case "POST", ["api", "jobs", prompt_id, "cancel"]:
                return _FOUND, {"cancelled": self._stop(prompt_id)}
            case "POST", ["prompt"]:
                return self._submit(body)
            case "POST", [what]:
                return self._order(what, body)
            case _:
                return _MISSING, {}

    def _state(self, what: str) -> tuple[int, Any]:
        states: dict[str, Any] = {
            "system_stats": {"system": {"comfyui_version": "0.26.0"}, "devices": []},
            "features": {},
            "object_info": OBJECT_INFO,
            "queue": self._queue(),
            "history": self._history,
        }
        return (_FOUND, states[what]) if what in states else (_MISSING, {})

    def _order(self, what: str, body: dict[str, Any]) -> tuple[int, Any]:
        match what:
            case "interrupt":
                self._stop(body["prompt_id"])
            case "queue":
                self._pending = [prompt for prompt in self._pending if prompt.prompt_id not in body["delete"]]
            case "history":
                self._history = {name: entry for name, entry in self._history.items() if name not in body["delete"]}
                self._happened(self.name, "forgotten")
        return _FOUND, {}

    def file(self, name: str) -> bytes | None:
        """The bytes of an output; None where there is none."""
        return self._files.get(name)

    def _submit(self, body: dict[str, Any]) -> tuple[int, Any]:
        self._number += 1
        client_id, extra_data = body.get("client_id", ""), body.get("extra_data", {})
        self._pending.append(_Prompt(self._number, body["prompt_id"], body["prompt"], client_id, extra_data))
        self._arrived.set()
        self._happened(self.name, "taken")
        return _FOUND, {"prompt_id": body["prompt_id"], "number": self._number, "node_errors": {}}

    def _queue(self) -> dict[str, Any]:
        running = [self._running.item] if self._running else []
        return {"queue_running": running, "queue_pending": [prompt.item for prompt in self._pending]}

    def _job(self, prompt_id: str) -> tuple[int, Any]:
        if self._running is not None and self._running.prompt_id == prompt_id:
            return _FOUND, {"id": prompt_id, "status": "in_progress"}
        if any(prompt.prompt_id == prompt_id for prompt in self._pending):
            return _FOUND, {"id": prompt_id, "status": "pending"}
        if prompt_id in self._history:
            well = self._history[prompt_id]["status"]["status_str"] == "success"
            return _FOUND, {"id": prompt_id, "status": "completed" if well else "failed"}
        return _MISSING, {"error": "Job not found"}

    def _stop(self, prompt_id: str) -> bool:
        if self._running is not None and self._running.prompt_id == prompt_id:
            self._running.interrupted = True
            return True
        before = len(self._pending)
        self._pending = [prompt for prompt in self._pending if prompt.prompt_id != prompt_id]
        return len(self._pending) < before

    def _count(self) -> int:
        return len(self._pending) + (self._running is not None)

    async def _work(self) -> None:
        while True:
            while not self._pending:
                self._arrived.clear()
                await self._arrived.wait()
            prompt = self._running = self._pending.pop(0)
            self._note(prompt, "began")
            await self._execute(prompt)
            self._note(prompt, "ended")
            self._running = None
            self._tell(prompt, "executing", node=None)

    def _note(self, prompt: _Prompt, what: str) -> None:
        life = f"{self.name}/{self.deaths}"
        self._recorder.note(Prompted(self._recorder.now, life, prompt.prompt_id, what, prompt.task))
        self._happened(self.name, what)

    async def _execute(self, prompt: _Prompt) -> None:
        self._tell(prompt, "execution_start")
        self._tell(prompt, "execution_cached", nodes=[])
        self._tell(prompt, "executing", node="1", display_node="1")
        steps, how = int(prompt.inputs["steps"]), prompt.inputs["how"]
        for step in range(1, steps + 1):
            await asyncio.sleep(prompt.inputs["seconds"] * self.pace * self._rng.uniform(0.5, 1.5))
            if prompt.interrupted:
                self._end(prompt, "execution_interrupted", node_id="1", node_type=NODE_CLASS, executed=[])
                return
            self._tell(prompt, "progress", value=step, max=steps, node="1")
        if how == "deadly":
            self.die(self._rng.uniform(0.5, 3.0))
            await asyncio.Event().wait()
        if how == "well":
            self._succeed(prompt)
        else:
            kind = "torch.OutOfMemoryError" if how == "sick" else "ValueError"
            error: dict[str, Any] = {"exception_type": kind, "exception_message": "as planned", "traceback": []}
            self._end(prompt, "execution_error", node_id="1", node_type=NODE_CLASS, executed=[], **error)

    def _succeed(self, prompt: _Prompt) -> None:
        folder, _, name = prompt.inputs["filename_prefix"].rpartition("/")
        image = {"filename": f"{name}_00001_.png", "subfolder": folder, "type": "output"}
        self._files[f"{folder}/{image['filename']}"] = _picture(prompt.prompt_id)
        self._tell(prompt, "executed", node="1", display_node="1", output={"images": [image]})
        self._end(prompt, "execution_success", outputs={"1": {"images": [image]}})

    def _end(self, prompt: _Prompt, name: str, outputs: dict[str, Any] | None = None, **data: Any) -> None:
        self._tell(prompt, name, **data)
        well = name == "execution_success"
        status = {"status_str": "success" if well else "error", "completed": well, "messages": prompt.messages}
        self._history[prompt.prompt_id] = {"prompt": prompt.item, "outputs": outputs or {}, "status": status}

    def _tell(self, prompt: _Prompt, kind: str, **data: Any) -> None:
        said = {"prompt_id": prompt.prompt_id, **data}
        if kind.startswith("execution_"):
            prompt.messages.append([kind, {**said, "timestamp": 0}])
        if (socket := self._sockets.get(prompt.client_id)) is not None:
            socket.send(kind, said)


def _picture(prompt_id: str) -> bytes:
    """Bytes that are another for each prompt, and often more than a record holds."""
    digest = hashlib.sha256(prompt_id.encode()).digest()
    return b"\x89PNG" + digest * (4 if digest[0] % 2 else 40)
