"""Brings what an attempt needs to its instance: the graph, and the files that its inputs name."""

from __future__ import annotations

import json
import re
import zlib
from collections.abc import Callable
from typing import Any

from comfymesh.agent.comfyui.http import ComfyHttp
from comfymesh.agent.domain.own_outputs import with_own_prefix
from comfymesh.artifacts.store import BlobStore, read_all
from comfymesh.bus.tasklog import TaskLog
from comfymesh.tasks.record import Key, TaskRecord
from comfymesh.wire.v1 import spec_pb2

_SUBFOLDER = "comfymesh"
_UNSAFE = re.compile(r"[^A-Za-z0-9._-]+")
_MAX_GRAPH_BYTES = 256 * 1024 * 1024
_DIGEST_DIGITS = 16
_MAX_NAME = 64


class Staging:
    """Stages attempts on one instance. Files that it has brought there already are not brought again.

    Args:
        log: Where graphs are.
        inputs: Where the files of a task are.
        http: The instance.
    """

    def __init__(self, log: TaskLog, inputs: Callable[[Key], BlobStore], http: ComfyHttp) -> None:
        self._log = log
        self._inputs = inputs
        self._http = http
        self._staged: dict[tuple[str, str, str], str] = {}

    def forget(self) -> None:
        """Bring every file again: somebody may have removed them from the instance."""
        self._staged.clear()

    async def graph(self, record: TaskRecord) -> dict[str, Any]:
        """The graph of a task, ready to be submitted.

        Raises:
            SpecMissingError, BlobMissingError: something that should be stored is not.
            StoreUnavailableError, BusUnavailableError: something can't be read now.
            ComfyUnreachable, ComfyError: the instance did not take a file.
        """
        tenant, store = record.key.tenant, self._inputs(record.key)
        spec = await self._log.spec(record)
        graph: dict[str, Any] = json.loads(await _text(spec, store, tenant))
        for binding in spec.assets:
            graph[binding.graph_node]["inputs"][binding.input] = await self._file(binding, store, tenant)
        return with_own_prefix(graph, record.key.task_id, record.attempt)

    async def _file(self, binding: spec_pb2.AssetBinding, store: BlobStore, tenant: str) -> str:
        # The digest in the name keeps files of one name, and of different tenants, apart.
        plain = _UNSAFE.sub("_", binding.filename)[-_MAX_NAME:].lstrip(".") or "file"
        name = f"{binding.blob.sha256[:_DIGEST_DIGITS]}-{plain}"
        place = (tenant, binding.blob.sha256, name)
        known = self._staged.get(place)
        if known is None:
            data = await read_all(store, tenant, binding.blob.sha256, binding.blob.size_bytes)
            known = self._staged[place] = await self._http.upload_image(data, name, f"{_SUBFOLDER}/{tenant}")
        return known


async def _text(spec: spec_pb2.Spec, store: BlobStore, tenant: str) -> bytes:
    packed = spec.graph_zlib
    if spec.HasField("graph_blob"):
        packed = await read_all(store, tenant, spec.graph_blob.sha256, spec.graph_blob.size_bytes)
    return zlib.decompressobj().decompress(packed, _MAX_GRAPH_BYTES)
