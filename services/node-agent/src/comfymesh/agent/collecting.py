"""Takes what a prompt makes into the artifact store, as it is made."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterable, Mapping
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any

from comfymesh.agent.comfyui.errors import ComfyError, ComfyUnreachable, OutputMissing
from comfymesh.agent.comfyui.http import ComfyHttp
from comfymesh.agent.comfyui.outputs import OutputFile, OutputText, natural_order, read_outputs
from comfymesh.artifacts import media
from comfymesh.artifacts.content import Content, ContentTooLargeError
from comfymesh.artifacts.errors import StoreUnavailableError
from comfymesh.artifacts.store import BlobStore
from comfymesh.runtime.background import all_of, stop
from comfymesh.tasks.record import SMALL_BYTES, Artifact, ArtifactKind

_SHOWN_INPUT = "input"
_TEXT_TYPE = "text/plain; charset=utf-8"
_AT_ONCE = 4
_MOST_EARLY = 256
_SMALL_TOGETHER = 4 * SMALL_BYTES

_Place = tuple[str, str, str]


class OutputsLostError(Exception):
    """The prompt succeeded, but not everything that it made can be had."""


class OutputRefusedError(Exception):
    """An output is there, and not taken: wherever the graph is run, it makes it just so again.

    Attributes:
        problem: OUTPUT_TOO_LARGE or OUTPUT_NAME.
        graph_node: Which has made it.
    """

    def __init__(self, problem: str, graph_node: str, message: str) -> None:
        super().__init__(message)
        self.problem = problem
        self.graph_node = graph_node


@dataclass(frozen=True, slots=True)
class _Kept:
    """Bytes that are in the store, or, where they are few, in `small`."""

    sha256: str
    size_bytes: int
    head: bytes
    small: bytes = b""


class Collecting:
    """Collects the outputs of one attempt.

    A file is taken as soon as its graph node says that it is there, while others still run. History has the last word:
    only what it names becomes an artifact.

    Args:
        http: The instance.
        store: Where outputs go.
        tenant: Whose they are.
        max_bytes: Largest output that is taken.
        told: Is told of each file that was taken early and is in the store. Its id is its content's.
    """

    def __init__(
        self, http: ComfyHttp, store: BlobStore, tenant: str, max_bytes: int, told: Callable[[Artifact], None]
    ) -> None:
        self._told = told
        self._http = http
        self._store = store
        self._tenant = tenant
        self._max_bytes = max_bytes
        self._early: dict[_Place, asyncio.Task[_Kept]] = {}
        self._rewritten: set[_Place] = set()
        self._room = _SMALL_TOGETHER
        self._turns = asyncio.Semaphore(_AT_ONCE)

    def hint(self, graph_node: str, output: Mapping[str, Any]) -> None:
        """A graph node says what it has made."""
        for file in read_outputs({graph_node: output}).files:
            place = _place(file)
            if place in self._early:
                # A second graph node has written to the same file: what was taken of it may be the first one's.
                self._early[place].cancel()
                self._rewritten.add(place)
            elif file.type != _SHOWN_INPUT and len(self._early) < _MOST_EARLY:
                self._early[place] = asyncio.create_task(self._take_early(file))

    async def finish(self, outputs: Mapping[str, Any]) -> tuple[Artifact, ...]:
        """Every output that history names; answers once all are stored.

        Raises:
            OutputsLostError: there is none, or one is gone.
            OutputRefusedError: one is not taken.
            StoreUnavailableError: the store did not take one.
            ComfyUnreachable, ComfyError: the instance did not give one.
        """
        found = read_outputs(outputs)
        if found.rejected:
            first = found.rejected[0]
            message = f"graph node {first.graph_node} names a file that can't be taken: {first.reason}"
            raise OutputRefusedError("OUTPUT_NAME", first.graph_node, message)
        files = [file for file in found.files if file.type != _SHOWN_INPUT]
        made: list[OutputFile | OutputText] = sorted(
            [*files, *found.texts], key=lambda output: natural_order(output.graph_node)
        )
        if not made:
            raise OutputsLostError("the prompt succeeded without a single output")
        kept = await _all(map(self._output, made))
        return tuple(_artifact(str(number), *both) for number, both in enumerate(zip(made, kept, strict=True)))

    async def close(self) -> None:
        """Drop what was begun early and is not wanted."""
        await stop(*self._early.values())

    async def _output(self, output: OutputFile | OutputText) -> _Kept:
        if isinstance(output, OutputFile):
            return await self._file(output)
        return await self._keep(Content.of(output.text.encode()))

    async def _file(self, file: OutputFile) -> _Kept:
        place = _place(file)
        early = None if place in self._rewritten else self._early.get(place)
        if early is not None and not early.cancelled():
            try:
                return await early
            except (OutputMissing, ComfyUnreachable, ComfyError, StoreUnavailableError):
                del self._early[place]  # It was too early, perhaps. Now is the time.
        try:
            return await self._in_turn(file)
        except OutputMissing as error:
            raise OutputsLostError(f"{file.filename} of graph node {file.graph_node} is gone: {error}") from error

    async def _keep_file(self, file: OutputFile) -> _Kept:
        try:
            async with aclosing(self._http.view(file)) as pieces:  # else its connection stays open as long as the error
                content = await Content.collect(pieces, self._max_bytes)
        except ContentTooLargeError as error:
            which = f"{file.filename} of graph node {file.graph_node}"
            message = f"{which} has {error}; see COMFYMESH_AGENT_MAX_ARTIFACT_BYTES"
            raise OutputRefusedError("OUTPUT_TOO_LARGE", file.graph_node, message) from error
        return await self._keep(content)

    async def _keep(self, content: Content) -> _Kept:
        with content:
            if 0 < content.size_bytes <= min(SMALL_BYTES, self._room):
                self._room -= content.size_bytes
                small = b"".join([piece async for piece in content.chunks()])
                return _Kept(content.sha256, content.size_bytes, content.head, small)
            await self._store.put(self._tenant, content)
            return _Kept(content.sha256, content.size_bytes, content.head)

    async def _take_early(self, file: OutputFile) -> _Kept:
        kept = await self._in_turn(file)
        if not kept.small:
            self._told(_artifact(kept.sha256, file, kept))
        return kept

    async def _in_turn(self, file: OutputFile) -> _Kept:
        async with self._turns:
            return await self._keep_file(file)


async def _all(keepings: Iterable[Coroutine[Any, Any, _Kept]]) -> list[_Kept]:
    """What all answer. When one fails, the others are not left running."""
    first, *others = keepings
    return await all_of(first, *others) if others else [await first]


def _place(file: OutputFile) -> _Place:
    return file.type, file.subfolder, file.filename


def _artifact(artifact_id: str, output: OutputFile | OutputText, kept: _Kept) -> Artifact:
    filename, named, kind = _what_it_is(output)
    return Artifact(
        artifact_id=artifact_id,
        filename=filename,
        media_type=media.settle(kept.head, named),
        size_bytes=kept.size_bytes,
        sha256=kept.sha256,
        small=kept.small,
        graph_node=output.graph_node,
        output_key=output.key,
        kind=kind,
    )


def _what_it_is(output: OutputFile | OutputText) -> tuple[str, str, ArtifactKind]:
    if isinstance(output, OutputText):
        return f"{output.graph_node.replace('/', '_')}-{output.index}.txt", _TEXT_TYPE, ArtifactKind.OUTPUT
    return output.filename, output.media_type, ArtifactKind.TEMP if output.type == "temp" else ArtifactKind.OUTPUT
