"""Asks a ComfyUI server over HTTP.

Routes and their traps: ComfyUI protocol notes, sections 3 to 6 and 8.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import quote, urlencode

from comfymesh.agent.comfyui.answers import (
    Accepted,
    Answer,
    QueueIds,
    read_accepted,
    read_job,
    read_names,
    read_prompts,
    read_queue,
    read_sizes,
    read_stored_name,
)
from comfymesh.agent.comfyui.asking import Asking
from comfymesh.agent.comfyui.errors import AnswerTooLarge, ComfyError, OutputMissing, RouteMissing, UnsupportedServer
from comfymesh.agent.http1.client import HttpClient
from comfymesh.agent.http1.connection import Connection, Patience
from comfymesh.agent.http1.errors import BodyTooLargeError
from comfymesh.agent.http1.request import Request, form

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Mapping
    from types import TracebackType

    from comfymesh.agent.comfyui.outputs import OutputFile

_MAX_ANSWER = 256 << 20
_NO_MODELS = frozenset({"configs", "custom_nodes"})
_SAFE_NAME = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,199}")
# Below the 75 s after which ComfyUI closes an idle connection, so that no request goes out on one that is just being
# closed.
_KEEPALIVE_S = 15.0


@dataclass(frozen=True, slots=True)
class Timeouts:
    """How long calls may take, in seconds.

    One slow answer is normal: a native call may hold ComfyUI's interpreter for seconds.

    Attributes:
        connect: To open a connection.
        quick: Reading state and stopping things.
        submit: POST /prompt, in which the graph is validated.
        catalog: GET /object_info, which blocks the server for seconds with many custom nodes.
        stall: Longest silence within a file transfer, whose whole length has no limit.
        least_bytes: Of a file that is read, so much has to come in `stall` seconds of waiting.
    """

    connect: float = 5.0
    quick: float = 20.0
    submit: float = 60.0
    catalog: float = 120.0
    stall: float = 60.0
    least_bytes: int = 1 << 20


DEFAULT_TIMEOUTS = Timeouts()


class ComfyHttp:
    """One ComfyUI server over HTTP; an async context manager that holds the connections.

    Every method raises `ComfyUnreachable` if the server does not answer and `ComfyError` if it answers with an error.
    No POST is ever sent twice.

    Args:
        base_url: As `http://127.0.0.1:8188`, a path in front of the routes included.
        timeouts: How long calls may take.
    """

    def __init__(self, base_url: str, timeouts: Timeouts = DEFAULT_TIMEOUTS) -> None:
        self.base_url = base_url.rstrip("/")
        self._timeouts = timeouts
        self._client: HttpClient | None = None

    async def __aenter__(self) -> Self:
        self._client = HttpClient(self.base_url, connect_seconds=self._timeouts.connect, idle_seconds=_KEEPALIVE_S)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._client is not None:
            client, self._client = self._client, None
            await client.close()

    async def system_stats(self) -> dict[str, Any]:
        """GET /system_stats: `system` and `devices`; also the readiness probe."""
        return (await self._call("GET", "/system_stats", self._timeouts.quick)).object()

    async def features(self) -> dict[str, Any]:
        """GET /features: what the server can do; empty for servers without this route."""
        try:
            return (await self._call("GET", "/features", self._timeouts.quick)).object()
        except RouteMissing:
            return {}

    async def object_info(self, node_class: str | None = None) -> dict[str, Any]:
        """GET /object_info: the catalog of node classes.

        Args:
            node_class: Only this one, which is cheap; the answer is empty if it is not installed.

        Returns:
            Class name to its description.
        """
        path = "/object_info" if node_class is None else f"/object_info/{quote(node_class, safe='')}"
        return (await self._call("GET", path, self._timeouts.catalog)).object()

    async def models(self, folder: str) -> tuple[str, ...] | None:
        """GET /models/{folder}: file names, relative to the folder; None for an unknown kind of folder."""
        answer = await self._call("GET", f"/models/{quote(folder, safe='')}", self._timeouts.quick)
        if answer.status == 404:
            return None
        names = answer.json()
        if not isinstance(names, list):
            raise ComfyError(answer.doing, answer.status, "the answer is not a list of names")
        return tuple(name for name in names if isinstance(name, str))

    async def model_folders(self) -> tuple[str, ...]:
        """GET /experiment/models: the kinds of folders that hold model files."""
        answer = await self._call("GET", "/experiment/models", self._timeouts.quick)
        return tuple(name for name in read_names(answer) if name not in _NO_MODELS)

    async def model_files(self, folder: str) -> dict[str, int]:
        """GET /experiment/models/{folder}: file names, relative to the folder, and their sizes in bytes."""
        answer = await self._call("GET", f"/experiment/models/{quote(folder, safe='')}", self._timeouts.catalog)
        return dict(zip(read_names(answer), read_sizes(answer), strict=True))

    async def submit(
        self, prompt_id: str, graph: Mapping[str, Any], *, client_id: str, extra_data: Mapping[str, Any] | None = None
    ) -> Accepted:
        """POST /prompt. The server does not deduplicate: never call this twice for one prompt id.

        Args:
            prompt_id: Canonical lower-case UUID.
            graph: ComfyUI workflow in API format.
            client_id: Whose socket gets the events; it must be connected by now.
            extra_data: As `{"preview_method": "auto"}`.

        Returns:
            What the server took over.

        Raises:
            GraphRefused: The graph is invalid; nothing was queued.
            UnsupportedServer: It queued the prompt under another id, and was asked to drop that one.
            ComfyUnreachable: Unless its reason is `CONNECTION_REFUSED`, the prompt may have been queued.
        """
        body = {"prompt": graph, "prompt_id": prompt_id, "client_id": client_id, "extra_data": extra_data or {}}
        answer = await self._call("POST", "/prompt", self._timeouts.submit, body)
        try:
            return read_accepted(answer, prompt_id)
        except UnsupportedServer as error:
            await self.delete_queued(error.prompt_id)
            raise

    async def queue(self) -> QueueIds:
        """GET /queue: the ids in there, without the graphs."""
        return read_queue(await self._call("GET", "/queue", self._timeouts.quick))

    async def prompts(self, recent: int) -> dict[str, dict[str, Any]]:
        """GET /queue and GET /history: the `extra_data` of what waits, runs and ended last, by prompt id.

        Args:
            recent: How many of those that have ended. Each answers with its whole graph.

        Raises:
            AnswerTooLarge: Those graphs are together more than is read.
        """
        # The queue first: in the other order a prompt that ends in between would be in neither.
        queue = await self._call("GET", "/queue", self._timeouts.quick)
        return read_prompts(queue, await self._call("GET", f"/history?max_items={recent}", self._timeouts.quick))

    async def history(self, prompt_id: str) -> dict[str, Any] | None:
        """GET /history/{id}: the prompt's entry; None while it waits or runs, and when it is unknown."""
        answer = await self._call("GET", f"/history/{quote(prompt_id, safe='')}", self._timeouts.quick)
        entry = answer.object().get(prompt_id)
        return entry if isinstance(entry, dict) else None

    async def job(self, prompt_id: str) -> dict[str, Any] | None:
        """GET /api/jobs/{id}: the prompt wherever it is; None if unknown.

        Raises:
            RouteMissing: The server is older than this route (0.6).
        """
        return read_job(await self._call("GET", f"/api/jobs/{quote(prompt_id, safe='')}", self._timeouts.quick))

    async def cancel_job(self, prompt_id: str) -> bool:
        """POST /api/jobs/{id}/cancel: stops the prompt whether it waits or runs.

        Returns:
            Whether there was something to stop.

        Raises:
            RouteMissing: The server is older than this route (0.26).
        """
        answer = await self._call("POST", f"/api/jobs/{quote(prompt_id, safe='')}/cancel", self._timeouts.quick)
        return answer.object().get("cancelled") is True

    async def interrupt(self, prompt_id: str) -> None:
        """POST /interrupt for this prompt only.

        Servers before 0.3.57 ignore the id and interrupt whatever runs: make sure that it is this one.
        """
        if not prompt_id:
            raise ValueError("an interrupt without prompt id would hit whatever runs")
        await self._done("/interrupt", {"prompt_id": prompt_id})

    async def delete_queued(self, prompt_id: str) -> None:
        """POST /queue: takes the prompt out if it waits; no effect otherwise."""
        await self._done("/queue", {"delete": [prompt_id]})

    async def delete_history(self, *prompt_ids: str) -> None:
        """POST /history: forgets the prompts' entries, which hold their whole graphs."""
        await self._done("/history", {"delete": prompt_ids})

    async def free(self, *, unload_models: bool, free_memory: bool) -> None:
        """POST /free: drops models, or models and cached results, once the worker is between prompts."""
        await self._done("/free", {"unload_models": unload_models, "free_memory": free_memory})

    async def upload_image(self, content: bytes, name: str, subfolder: str = "") -> str:
        """POST /upload/image into the input folder.

        Args:
            content: The file; any bytes are taken.
            name: ASCII letters, digits, `.`, `_`, `-`: the server stores anything else under a mangled name.
            subfolder: The same, with `/` between.

        Returns:
            The name to use in `LoadImage`; another one than asked for if that name holds other content.

        Raises:
            ValueError: The name or subfolder has other characters.
        """
        _require_plain(name, subfolder)
        kind, body = form({"type": "input", "subfolder": subfolder}, "image", name, content)
        request, doing = Request("POST", "/upload/image", body, kind), "POST /upload/image"
        async with self._asking(doing, request) as response:
            return read_stored_name(Answer(doing, response.status, await _read(response, doing)))

    async def view(self, file: OutputFile) -> AsyncGenerator[bytes, None]:
        """GET /view: the file's bytes in chunks, never held as a whole.

        Args:
            file: What `outputs` found.

        Yields:
            Chunks as they come, of some 256 KiB at most.

        Raises:
            OutputMissing: The server does not have it.
        """
        query = urlencode({"filename": file.filename, "subfolder": file.subfolder, "type": file.type})
        request, doing = Request("GET", f"/view?{query}"), "GET /view"
        async with self._asking(doing, request) as response:
            if response.status == 404:
                raise OutputMissing(doing, 404, f"{file.type} file {file.subfolder}/{file.filename} is not there")
            if response.status != 200:
                text = Answer(doing, response.status, await _read(response, doing)).text
                raise ComfyError(doing, response.status, text)
            async for piece in response.pieces():
                yield piece

    async def _done(self, path: str, body: Mapping[str, Any]) -> None:
        (await self._call("POST", path, self._timeouts.quick, body)).require_success()

    async def _call(self, method: str, path: str, timeout: float, body: Mapping[str, Any] | None = None) -> Answer:
        doing = f"{method} {path}"
        request = Request(method, path) if body is None else Request(method, path, (_json(body),), "application/json")
        async with self._asking(doing, request, timeout) as response:
            return Answer(doing, response.status, await _read(response, doing))

    def _asking(self, doing: str, request: Request, timeout: float | None = None) -> Asking:
        """Ask something that is over after so many seconds; without them, a file goes in or comes out."""
        if self._client is None:
            raise RuntimeError("ComfyHttp is used outside of its context")
        if timeout is None:
            over = Patience(silence=self._timeouts.stall, least=self._timeouts.least_bytes)
        else:
            over = self._client.within(timeout)
        return Asking(self._client, doing, request, over)


def _json(body: Mapping[str, Any]) -> bytes:
    return json.dumps(body, separators=(",", ":")).encode()


async def _read(response: Connection, doing: str) -> bytes:
    try:
        return await response.read(_MAX_ANSWER)
    except BodyTooLargeError as error:
        raise AnswerTooLarge(doing, response.status, str(error)) from error


def _require_plain(name: str, subfolder: str) -> None:
    parts = [name, *(subfolder.split("/") if subfolder else [])]
    if not all(_SAFE_NAME.fullmatch(part) for part in parts):
        raise ValueError(f"{name!r} in {subfolder!r} is no plain name: use ASCII letters, digits, '.', '_' and '-'")
