"""Takes what a prompt made into the artifact store."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from comfymesh.agent.comfyui.errors import OutputMissing
from comfymesh.agent.comfyui.http import ComfyHttp
from comfymesh.agent.comfyui.outputs import OutputFile, OutputText, read_outputs
from comfymesh.artifacts.content import Content, ContentTooLargeError
from comfymesh.artifacts.store import BlobStore
from comfymesh.tasks.record import Artifact, ArtifactKind

_SHOWN_INPUT = "input"


class OutputsLostError(Exception):
    """The prompt succeeded, but not everything that it made can be had."""


class Collecting:
    """Collects the outputs of prompts on one instance.

    Args:
        http: The instance.
        store: Where they go.
        max_bytes: Largest output that is taken.
    """

    def __init__(self, http: ComfyHttp, store: BlobStore, max_bytes: int) -> None:
        self._http = http
        self._store = store
        self._max_bytes = max_bytes

    async def collect(self, tenant: str, outputs: Mapping[str, Any]) -> tuple[Artifact, ...]:
        """Store every output; answers once all are stored.

        Raises:
            OutputsLostError: there is none, or one is gone, refused or too large.
            StoreUnavailableError: the store did not take one.
            ComfyUnreachable, ComfyError: the instance did not give one.
        """
        found = read_outputs(outputs)
        if found.rejected:
            first = found.rejected[0]
            raise OutputsLostError(f"graph node {first.graph_node} names a file that can't be taken: {first.reason}")
        made = [file for file in found.files if file.type != _SHOWN_INPUT]
        if not made and not found.texts:
            raise OutputsLostError("the prompt succeeded without a single output")
        artifacts = [await self._file(tenant, number, file) for number, file in enumerate(made)]
        artifacts += [await self._text(tenant, len(made) + n, text) for n, text in enumerate(found.texts)]
        return tuple(artifacts)

    async def _file(self, tenant: str, number: int, file: OutputFile) -> Artifact:
        try:
            content = await Content.collect(self._http.view(file), self._max_bytes)
        except OutputMissing as error:
            raise OutputsLostError(f"{file.filename} of graph node {file.graph_node} is gone: {error}") from error
        except ContentTooLargeError as error:
            raise OutputsLostError(f"{file.filename} has {error}; see COMFYMESH_AGENT_MAX_ARTIFACT_BYTES") from error
        with content:
            await self._store.put(tenant, content)
            kind = ArtifactKind.TEMP if file.type == "temp" else ArtifactKind.OUTPUT
            return Artifact(
                artifact_id=str(number),
                filename=file.filename,
                media_type=file.media_type,
                size_bytes=content.size_bytes,
                sha256=content.sha256,
                graph_node=file.graph_node,
                output_key=file.kind.value,
                kind=kind,
            )

    async def _text(self, tenant: str, number: int, text: OutputText) -> Artifact:
        with Content.of(text.text.encode()) as content:
            await self._store.put(tenant, content)
            return Artifact(
                artifact_id=str(number),
                filename=f"{text.graph_node.replace('/', '_')}-{text.index}.txt",
                media_type="text/plain; charset=utf-8",
                size_bytes=content.size_bytes,
                sha256=content.sha256,
                graph_node=text.graph_node,
                output_key=text.key,
                kind=ArtifactKind.OUTPUT,
            )
