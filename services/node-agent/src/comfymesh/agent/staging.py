"""Brings what an attempt needs to its instance: the graph, and the files that its inputs name."""

from __future__ import annotations

import asyncio
import json
import re
import zlib
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from contextlib import aclosing
from typing import Any

from comfymesh.agent.comfyui.http import ComfyHttp
from comfymesh.agent.domain.folders import INPUTS, Folders
from comfymesh.agent.domain.own_outputs import with_own_prefix
from comfymesh.agent.domain.shelf import Shelf
from comfymesh.agent.url_inputs import Fetched, FetchFiles, none_is_fetched
from comfymesh.artifacts.store import BlobStore, read_all
from comfymesh.bus.tasklog import TaskLog
from comfymesh.tasks.record import Key, TaskRecord
from comfymesh.wire.v1 import spec_pb2

_UNSAFE = re.compile(r"[^A-Za-z0-9._-]+")
_MAX_GRAPH_BYTES = 256 * 1024 * 1024
_MAX_NAME = 64
_MOST_FILES = 1000
_MOST_BYTES = 8 * 1024**3

_User = tuple[Key, int]


class Staging:
    """Stages attempts on one instance. Files that it has brought there already are not brought again.

    Those that were not used for longest are removed when there are too many, but none that an attempt needs.

    Args:
        log: Where graphs are.
        inputs: Where the files of a task are.
        folders: What the folders of files are called.
        http: The instance.
        sweep: Removes folders from it.
        fetch: Fetches files that are somewhere else.
        shelf: How much stays there.
    """

    def __init__(  # where things come from, go to, and how they go away
        self,
        log: TaskLog,
        inputs: Callable[[Key], BlobStore],
        folders: Folders,
        http: ComfyHttp,
        sweep: Callable[[Sequence[str]], Awaitable[None]],
        fetch: FetchFiles = none_is_fetched,
        shelf: Shelf | None = None,
    ) -> None:
        self._log = log
        self._inputs = inputs
        self._folders = folders
        self._http = http
        self._sweep = sweep
        self._fetch = fetch
        self._shelf = shelf or Shelf(_MOST_FILES, _MOST_BYTES)
        # No file is brought while others are removed: it might be one of them.
        self._moving = asyncio.Lock()
        self._clearing: asyncio.Task[None] | None = None

    def forget(self) -> None:
        """Bring every file again: somebody may have removed them from the instance."""
        self._shelf.doubt()

    def release(self, key: Key, attempt: int) -> None:
        """An attempt has ended and needs no file any more."""
        self._shelf.release((key, attempt))
        if self._shelf.full and (self._clearing is None or self._clearing.done()):
            self._clearing = asyncio.create_task(self._clear_out())

    async def remove_all(self, may: Callable[[], bool]) -> bool:
        """Remove whatever was brought, by earlier lives as well, if `may` says so; answers whether it did."""
        async with self._moving:
            if not may():
                return False
            self._shelf.strike_all()
            await self._sweep([INPUTS])
            return True

    async def close(self) -> None:
        """Remove no more."""
        if self._clearing is not None:
            self._clearing.cancel()
            await asyncio.gather(self._clearing, return_exceptions=True)

    async def graph(self, record: TaskRecord) -> dict[str, Any]:
        """The graph of a task, ready to be submitted.

        Raises:
            SpecMissingError, BlobMissingError: something that should be stored is not.
            StoreUnavailableError, BusUnavailableError: something can't be read now.
            ComfyUnreachable, ComfyError: the instance did not take a file.
            InputError: a file that is somewhere else can't be had.
        """
        store = self._inputs(record.key)
        spec = await self._log.spec(record)
        graph: dict[str, Any] = json.loads(await _text(spec, store, record.key.tenant))
        for binding in spec.assets:
            graph[binding.graph_node]["inputs"][binding.input] = await self._file(binding, store, record)
        async with aclosing(self._fetch(spec.urls, spec.url_hosts)) as found:
            async for url, file in found:
                graph[url.graph_node]["inputs"][url.input] = await self._fetched(file, record)
        return with_own_prefix(graph, self._folders.of_attempt(record.key, record.attempt))

    async def _file(self, binding: spec_pb2.AssetBinding, store: BlobStore, record: TaskRecord) -> str:
        name = _UNSAFE.sub("_", binding.filename)[-_MAX_NAME:].lstrip(".") or "file"
        blob, tenant = binding.blob, record.key.tenant
        return await self._placed(
            blob.sha256, name, record, lambda: read_all(store, tenant, blob.sha256, blob.size_bytes)
        )

    async def _fetched(self, fetched: Fetched, record: TaskRecord) -> str:
        async def read() -> bytes:
            return fetched.data

        return await self._placed(fetched.sha256, fetched.name, record, read)

    async def _placed(
        self, sha256: str, name: str, record: TaskRecord, read: Callable[[], Coroutine[Any, Any, bytes]]
    ) -> str:
        """The path of a file on the instance, where it is brought unless it is there."""
        folder = self._folders.of_input(record.key.tenant, sha256, name)
        user = (record.key, record.attempt)
        known = self._shelf.take(folder, user)
        if known is not None:
            return known
        async with self._moving:
            return self._shelf.take(folder, user) or await self._bring(await read(), folder, name, user)

    async def _bring(self, data: bytes, folder: str, name: str, user: _User) -> str:
        path = await self._http.upload_image(data, name, folder)
        self._shelf.put(folder, path, len(data), user)
        return path

    async def _clear_out(self) -> None:
        async with self._moving:
            if folders := self._shelf.clear_out():
                await self._sweep(folders)


async def _text(spec: spec_pb2.Spec, store: BlobStore, tenant: str) -> bytes:
    packed = spec.graph_zlib
    if spec.HasField("graph_blob"):
        packed = await read_all(store, tenant, spec.graph_blob.sha256, spec.graph_blob.size_bytes)
    return zlib.decompressobj().decompress(packed, _MAX_GRAPH_BYTES)
