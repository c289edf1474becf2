"""A ComfyUI server that does what a test tells it, step by step, and misbehaves on demand."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any, Self

from aiohttp import web

from comfymesh.stack.mesh import free_port

if TYPE_CHECKING:
    from types import TracebackType

SUCCESS: dict[str, Any] = {
    "prompt": [0, "", {}, {}, ["2"]],
    "outputs": {"2": {"images": [{"filename": "a_00001_.png", "subfolder": "", "type": "output"}]}},
    "status": {"status_str": "success", "completed": True, "messages": [["execution_success", {}]]},
}
INTERRUPTED: dict[str, Any] = {
    "outputs": {},
    "status": {"status_str": "error", "completed": False, "messages": [["execution_interrupted", {}]]},
}


class FakeComfy:
    """Accepts prompts and keeps them waiting until the test runs and ends them.

    What a test may set:
        answer: "accept", "drop" (queue it, then cut the connection), "cut" (do not even queue it), "fail" (queue it and
            answer 500), "break" (answer 500), "rename" (queue it under another id), "refuse" (400).
        node_errors: Part of the answer to POST /prompt.
        late_history: How many reads of a finished entry still find nothing.
        lost_interrupts: How many interrupts, by either route, have no effect on the running prompt.
        silent: Nothing is sent on sockets after the first status.
        gate: While it is not set, submissions and /system_stats are not answered.

    Args:
        has_jobs: The jobs routes exist.
    """

    def __init__(self, *, has_jobs: bool = True) -> None:
        self._has_jobs = has_jobs
        self.answer = "accept"
        self.node_errors: dict[str, Any] = {}
        self.late_history = 0
        self.lost_interrupts = 0
        self.silent = False
        self.has_socket = True
        self.pending: list[str] = []
        self.running: list[str] = []
        self.histories: dict[str, dict[str, Any]] = {}
        self.requests: list[str] = []
        self.bodies: list[Any] = []
        self.client_ids: list[str] = []
        self.first_messages: list[str] = []
        self.uploads: list[tuple[str, str, str, bytes]] = []
        self.files: dict[str, bytes] = {}
        self.entered = asyncio.Event()
        self.gate = asyncio.Event()
        self.gate.set()
        self._sockets: list[web.WebSocketResponse] = []
        self._changed = asyncio.Condition()
        self._runner: web.AppRunner | None = None
        self._port = free_port()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.gate.set()
        await self.die()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._port}"

    async def start(self) -> None:
        """Open the port; the same one again after `die`."""
        app = web.Application(client_max_size=1 << 30)
        app.add_routes(
            [
                web.get("/ws", self._ws),
                web.post("/prompt", self._prompt),
                web.get("/queue", self._queue),
                web.post("/queue", self._delete),
                web.post("/interrupt", self._interrupt),
                web.get("/history/{id}", self._history),
                web.get("/models/{folder}", self._models),
                web.get("/view", self._view),
                web.post("/upload/image", self._upload),
                web.get("/system_stats", self._system_stats),
            ]
        )
        if self._has_jobs:
            app.add_routes([web.get("/api/jobs/{id}", self._job), web.post("/api/jobs/{id}/cancel", self._cancel)])
        self._runner = web.AppRunner(app, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", self._port)
        await site.start()

    async def die(self) -> None:
        """Close the port and every connection; queue and history are gone."""
        self.pending, self.running, self.histories = [], [], {}
        if self._runner is not None:
            await self.drop_sockets()
            await self._runner.cleanup()
            self._runner = None

    async def until(self, condition: Any) -> None:
        """Wait until something that a request changes is so."""
        async with self._changed, asyncio.timeout(30):
            await self._changed.wait_for(condition)

    async def send(self, kind: str, **data: Any) -> None:
        await self.send_raw(json.dumps({"type": kind, "data": data}))

    async def send_raw(self, message: str | bytes) -> None:
        for socket in [] if self.silent else self._sockets:
            await (socket.send_str(message) if isinstance(message, str) else socket.send_bytes(message))

    async def drop_sockets(self) -> None:
        for socket in list(self._sockets):
            if socket._req is not None and socket._req.transport is not None:
                socket._req.transport.abort()
        self._sockets.clear()

    async def run(self, prompt_id: str) -> None:
        """Take a prompt out of the queue and begin it."""
        self.pending.remove(prompt_id)
        self.running.append(prompt_id)
        await self.send("execution_start", prompt_id=prompt_id)

    async def end(self, prompt_id: str, entry: dict[str, Any]) -> None:
        """Write the history of the running prompt and tell that it is over."""
        self.running.remove(prompt_id)
        self.histories[prompt_id] = entry
        await self.send("executing", node=None, prompt_id=prompt_id)

    async def replay(self, prompt_id: str, messages: list[dict[str, Any]], entry: dict[str, Any]) -> None:
        """Run a prompt as it was recorded, under another id."""
        self.pending.remove(prompt_id)
        self.running.append(prompt_id)
        for message in messages:
            if message["type"] == "executing" and message["data"]["node"] is None:
                await self.end(prompt_id, entry)
            else:
                await self.send_raw(json.dumps(message))

    async def _note(self, request: web.Request) -> None:
        async with self._changed:
            self.requests.append(f"{request.method} {request.path}")
            self._changed.notify_all()

    async def _ws(self, request: web.Request) -> web.WebSocketResponse:
        if not self.has_socket:
            raise web.HTTPForbidden
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        client_id = request.query["clientId"]
        status = {"status": {"exec_info": {"queue_remaining": 0}}, "sid": client_id}
        await socket.send_json({"type": "status", "data": status})
        self._sockets.append(socket)
        async for message in socket:
            async with self._changed:
                self.client_ids.append(client_id)
                self.first_messages.append(message.data)
                self._changed.notify_all()
        return socket

    async def _prompt(self, request: web.Request) -> web.Response:
        body = json.loads(await request.read())
        self.bodies.append(body)
        self.entered.set()
        await self.gate.wait()
        if self.answer in ("accept", "drop", "fail"):
            self.pending.append(body["prompt_id"])
            await self.send("status", status={"exec_info": {"queue_remaining": len(self.pending)}})
        if self.answer == "rename":
            self.pending.append("its-own")
        await self._note(request)
        if self.answer in ("drop", "cut"):
            assert request.transport is not None
            request.transport.abort()
        if self.answer in ("fail", "break"):
            return web.Response(status=500, text="500 Internal Server Error")
        if self.answer == "refuse":
            error = {"type": "prompt_outputs_failed_validation", "message": "no", "details": "", "extra_info": {}}
            return web.json_response({"error": error, "node_errors": self.node_errors}, status=400)
        prompt_id = "its-own" if self.answer == "rename" else body["prompt_id"]
        return web.json_response({"prompt_id": prompt_id, "number": 1, "node_errors": self.node_errors})

    async def _queue(self, request: web.Request) -> web.Response:
        await self._note(request)
        running, pending = ([[i, one, {}, {}, []] for i, one in enumerate(ids)] for ids in (self.running, self.pending))
        return web.json_response({"queue_running": running, "queue_pending": pending})

    async def _delete(self, request: web.Request) -> web.Response:
        for prompt_id in json.loads(await request.read())["delete"]:
            if prompt_id in self.pending:
                self.pending.remove(prompt_id)
        await self._note(request)
        return web.Response()

    async def _interrupt(self, request: web.Request) -> web.Response:
        prompt_id = json.loads(await request.read())["prompt_id"]
        if self.lost_interrupts:
            self.lost_interrupts -= 1
        elif prompt_id in self.running:
            await self.end(prompt_id, INTERRUPTED)
        await self._note(request)
        return web.Response()

    async def _history(self, request: web.Request) -> web.Response:
        prompt_id = request.match_info["id"]
        await self._note(request)
        if prompt_id in self.histories and self.late_history:
            self.late_history -= 1
            return web.json_response({})
        entry = self.histories.get(prompt_id)
        return web.json_response({} if entry is None else {prompt_id: entry})

    async def _job(self, request: web.Request) -> web.Response:
        prompt_id = request.match_info["id"]
        await self._note(request)
        places = (("in_progress", self.running), ("pending", self.pending), ("completed", self.histories))
        for status, ids in places:
            if prompt_id in ids:
                return web.json_response({"id": prompt_id, "status": status})
        return web.json_response({"error": "Job not found"}, status=404)

    async def _cancel(self, request: web.Request) -> web.Response:
        prompt_id = request.match_info["id"]
        found = prompt_id in self.running or prompt_id in self.pending
        if prompt_id in self.pending:
            self.pending.remove(prompt_id)
        elif prompt_id in self.running and self.lost_interrupts:
            self.lost_interrupts -= 1
        elif prompt_id in self.running:
            await self.end(prompt_id, INTERRUPTED)
        await self._note(request)
        return web.json_response({"cancelled": found})

    async def _models(self, request: web.Request) -> web.Response:
        if request.match_info["folder"] != "vae":
            return web.Response(status=404)
        return web.json_response(["a.safetensors", "sub/b.safetensors"])

    async def _view(self, request: web.Request) -> web.Response:
        query = request.query
        content = self.files.get(f"{query['type']}/{query['subfolder']}/{query['filename']}")
        return web.Response(status=404) if content is None else web.Response(body=content)

    async def _upload(self, request: web.Request) -> web.Response:
        form = await request.post()
        image = form["image"]
        assert isinstance(image, web.FileField)
        subfolder = str(form["subfolder"])
        self.uploads.append((image.filename, subfolder, str(form["type"]), image.file.read()))
        return web.json_response({"name": image.filename, "subfolder": subfolder, "type": "input"})

    async def _system_stats(self, request: web.Request) -> web.Response:
        await self._note(request)
        await self.gate.wait()
        return web.Response(text='{"system": {"ram_total": NaN}, "devices": []}')
