"""Drives a ComfyUI without a mesh: what the mesh is measured against."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from contextlib import AsyncExitStack
from types import TracebackType
from typing import Any, Self
from uuid import uuid4

import aiohttp

from benchmarks.graphs import Graph


class DirectClient:
    """One HTTP client with kept connections and one long-lived event socket: as good as it gets.

    Args:
        url: Address of the ComfyUI.
    """

    def __init__(self, url: str) -> None:
        self._url = url
        self._client_id = uuid4().hex
        self._ends: dict[str, asyncio.Future[None]] = {}
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        self._http = await self._stack.enter_async_context(aiohttp.ClientSession(self._url))
        socket = await self._stack.enter_async_context(self._http.ws_connect(f"/ws?clientId={self._client_id}"))
        await socket.receive()
        self._reading = asyncio.create_task(self._read(socket))
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._reading.cancel()
        await asyncio.gather(self._reading, return_exceptions=True)
        await self._stack.aclose()

    async def run(self, graph: Graph) -> bytes:
        """Run one graph; answers the bytes of its first picture."""
        return await self._finish(await self._submit(graph))

    async def burst(self, graphs: Sequence[Graph]) -> list[bytes]:
        """Queue all graphs at once and bring their pictures as they come."""
        finishing = [asyncio.create_task(self._finish(await self._submit(graph))) for graph in graphs]
        return await asyncio.gather(*finishing)

    async def _submit(self, graph: Graph) -> str:
        prompt_id = str(uuid4())
        self._ends[prompt_id] = asyncio.get_running_loop().create_future()
        body = {"prompt": graph, "prompt_id": prompt_id, "client_id": self._client_id}
        async with self._http.post("/prompt", json=body) as answer:
            answer.raise_for_status()
            await answer.read()
        return prompt_id

    async def _finish(self, prompt_id: str) -> bytes:
        await self._ends[prompt_id]
        del self._ends[prompt_id]
        async with self._http.get(f"/history/{prompt_id}") as answer:
            outputs = (await answer.json())[prompt_id]["outputs"]
        file = next(image for output in outputs.values() for image in output["images"])
        query = {name: file[name] for name in ("filename", "subfolder", "type")}
        async with self._http.get("/view", params=query) as answer:
            answer.raise_for_status()
            return await answer.read()

    async def _read(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        async for message in socket:
            if message.type is aiohttp.WSMsgType.TEXT:
                self._take(json.loads(message.data))

    def _take(self, event: dict[str, Any]) -> None:
        data = event["data"]
        if event["type"] == "executing" and data["node"] is None:
            end = self._ends.get(data["prompt_id"])
            if end is not None and not end.done():
                end.set_result(None)
