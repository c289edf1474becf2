"""The API as the gateway calls it: by the SDK, with the key of whoever is being served, and with no other."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections import OrderedDict
from collections.abc import AsyncGenerator, Iterable, Sequence
from contextlib import aclosing
from contextvars import ContextVar
from dataclasses import dataclass, field

from comfymesh.client import (
    Artifact,
    Asset,
    AsyncClient,
    Conflict,
    Event,
    InputValue,
    Node,
    NotFound,
    Task,
    TasksEvent,
    TaskState,
)
from comfymesh.gateway.domain import history, naming
from comfymesh.gateway.domain.fresh import Fresh
from comfymesh.gateway.domain.history import Prompt
from comfymesh.gateway.domain.marks import GATEWAY
from comfymesh.gateway.domain.naming import UploadName
from comfymesh.gateway.domain.submission import Submission, outputs
from comfymesh.graphs import Catalog, JsonValue

_KEY: ContextVar[str] = ContextVar("key", default="")
_AT_ONCE = 16
_GRAPH_BYTES = 64 * 1024 * 1024
_MOST_TEXT_BYTES = 1024 * 1024
_MOST_CATALOGS = 32
_CATALOG_SECONDS = 1.0


def serve_as(key: str) -> None:
    """From here on, whatever this asyncio task or those that it starts ask of the mesh is asked with this key."""
    _KEY.set(key)


def current_key() -> str:
    """The key with which the mesh is called here; empty for none."""
    return _KEY.get()


def current_caller() -> str:
    """Names whom the mesh is called for, without telling the key."""
    return hashlib.sha256(_KEY.get().encode("utf-8", "surrogatepass")).hexdigest()


@dataclass(frozen=True, slots=True)
class Offered:
    """The node classes that a caller may use: as ComfyUI tells of them, written down, and read."""

    digest: str
    classes: dict[str, JsonValue] = field(repr=False)
    text: bytes = field(repr=False)
    catalog: Catalog = field(repr=False)


class Mesh:
    """Calls of the API.

    Args:
        client: A client whose key is `current_key`.
    """

    def __init__(self, client: AsyncClient) -> None:
        self._client = client
        self._offered: OrderedDict[str, tuple[float, Offered]] = OrderedDict()
        self._graphs: OrderedDict[tuple[str, str], tuple[int, dict[str, JsonValue]]] = OrderedDict()
        self._graph_bytes = 0
        self._fresh = Fresh()

    async def offered(self) -> Offered:
        """What the fleet offers the caller now, or did a moment ago."""
        caller, now = current_caller(), asyncio.get_running_loop().time()
        asked, known = self._offered.get(caller, (0.0, None))
        if known is None or now - asked > _CATALOG_SECONDS:
            found = await self._client.catalog(known.digest if known else "")
            if found is not None:
                known = await asyncio.to_thread(_offered, found.digest, dict(found.classes))
            assert known is not None
            self._offered[caller] = now, known
            self._offered.move_to_end(caller)
            while len(self._offered) > _MOST_CATALOGS:
                self._offered.popitem(last=False)
        return known

    async def submit(
        self, submission: Submission, graph: dict[str, JsonValue], files: dict[tuple[str, str], Asset]
    ) -> Task:
        """Creates the task of a prompt. Repeated with the same prompt it answers the same task."""
        given: dict[str, InputValue] = {f"{node}.{name}": asset for (node, name), asset in files.items()}
        task = await self._client.create(
            graph,
            given,
            task_id=naming.task_id(submission.prompt_id),
            request_id=submission.prompt_id,
            labels=submission.marks.labels(),
            priority=submission.priority,
            allow_partial_outputs=True,
        )
        self._fresh.note(current_caller(), submission.prompt_id, asyncio.get_running_loop().time())
        return task

    async def tasks(self, states: Sequence[TaskState], most: int) -> list[Task]:
        """Prompts in one of these states, newest first. Those that came through this gateway are never missing."""
        found: list[Task] = []
        listed = self._client.list(page_size=min(most, 1000), states=states, labels=GATEWAY)
        async with aclosing(listed) as tasks:
            async for task in tasks:
                if len(found) == most:
                    break
                if not history.is_gone(task):
                    found.append(task)
        return [*await self._unlisted(found, states), *found][:most]

    async def _unlisted(self, found: Iterable[Task], states: Sequence[TaskState]) -> list[Task]:
        listed = {naming.prompt_id(task.name) or "" for task in found}
        names = self._fresh.unlisted(current_caller(), listed, asyncio.get_running_loop().time())
        turns = asyncio.Semaphore(_AT_ONCE)

        async def one(prompt_id: str) -> Task | None:
            async with turns:
                return await self.task(prompt_id)

        return [task for task in await asyncio.gather(*map(one, names)) if task is not None and task.state in states]

    async def task(self, prompt_id: str) -> Task | None:
        """The task of a prompt; None where there is none that came through a gateway."""
        if not naming.is_prompt_id(prompt_id):
            return None
        try:
            task = await self._client.get(naming.task_id(prompt_id))
        except NotFound:
            return None
        return task if GATEWAY.items() <= task.labels.items() and not history.is_gone(task) else None

    async def prompt(self, task: Task) -> Prompt | None:
        """A task with all that ComfyUI would show of it; None where it is no prompt."""
        prompt_id = naming.prompt_id(task.name)
        if prompt_id is None:
            return None
        graph, offered = await self._graph(task), await self.offered()
        return Prompt(task, prompt_id, graph, tuple(outputs(graph, offered.catalog)), await self.texts(task))

    async def prompts(self, tasks: Iterable[Task]) -> list[Prompt]:
        """The same of many."""
        turns = asyncio.Semaphore(_AT_ONCE)

        async def one(task: Task) -> Prompt | None:
            async with turns:
                try:
                    return await self.prompt(task)
                except NotFound:  # its time was over just now
                    return None

        return [prompt for prompt in await asyncio.gather(*map(one, tasks)) if prompt is not None]

    async def texts(self, task: Task) -> dict[str, str]:
        """What its artifacts say that are texts."""
        return {
            artifact.name: (await self._client.read_artifact(artifact)).data.decode(errors="replace")
            for artifact in task.artifacts
            if history.is_text(artifact) and artifact.size_bytes <= _MOST_TEXT_BYTES
        }

    async def cancel(self, tasks: Iterable[Task], reason: str) -> int:
        """Stops tasks; answers how many there were to stop."""
        turns = asyncio.Semaphore(_AT_ONCE)

        async def one(task: Task) -> bool:
            async with turns:
                try:
                    await self._client.cancel(task, reason)
                except (Conflict, NotFound):
                    return False
                return True

        return sum(await asyncio.gather(*map(one, tasks)))

    def watch(self, task: Task, *, previews: bool) -> AsyncGenerator[Event]:
        """What happens to a task."""
        return self._client.watch(task, previews=previews)

    def watch_all(self) -> AsyncGenerator[TasksEvent]:
        """What happens to all prompts."""
        return self._client.watch_tasks(labels=GATEWAY)

    async def nodes(self) -> Sequence[Node]:
        """The fleet."""
        return await self._client.nodes()

    async def upload(self, content: bytes, name: UploadName) -> Asset:
        """Keeps a file under a name."""
        return await self._client.upload(content, filename=name.kept)

    async def find(self, name: UploadName) -> Asset | None:
        """The file of a name; of several that were put there, the latest."""
        if name.asset is not None:
            try:
                return await self._client.asset(name.asset)
            except NotFound:
                return None
        # The last part is the same in both ways in which the file may be kept.
        stem = name.kept.rpartition(".")[0] or name.kept
        latest = None
        async with aclosing(self._client.assets(stem[:128], page_size=1000)) as assets:
            async for asset in assets:
                if name.matches(asset.filename, asset.sha256) and _is_later(asset, latest):
                    latest = asset
        return latest

    async def artifact(self, name: str) -> Artifact | None:
        """The artifact that clients know by a name."""
        wanted = naming.artifact_of(name)
        if wanted is None:
            return None
        task = await self.task(naming.prompt_id(wanted.partition("/artifacts/")[0]) or "")
        found = (artifact for artifact in task.artifacts if artifact.name == wanted) if task else ()
        return next((each for each in found if naming.output_name(each.filename, each.name) == name), None)

    def read(self, what: Asset | Artifact, offset: int = 0, length: int = 0) -> AsyncGenerator[bytes]:
        """The bytes of a file."""
        return self._client.read(what, offset, length)

    async def _graph(self, task: Task) -> dict[str, JsonValue]:
        place = current_caller(), task.name
        if place not in self._graphs:
            graph: dict[str, JsonValue] = await self._client.task_graph(task)
            self._keep(place, graph)
            return graph
        self._graphs.move_to_end(place)
        return self._graphs[place][1]

    def _keep(self, place: tuple[str, str], graph: dict[str, JsonValue]) -> None:
        size = len(json.dumps(graph))
        self._graph_bytes += size - self._graphs.get(place, (0, {}))[0]
        self._graphs[place] = size, graph
        while self._graph_bytes > _GRAPH_BYTES:
            _, (size, _graph) = self._graphs.popitem(last=False)
            self._graph_bytes -= size


def _offered(digest: str, classes: dict[str, JsonValue]) -> Offered:
    return Offered(digest, classes, json.dumps(classes).encode(), Catalog.from_object_info(classes))


def _is_later(asset: Asset, other: Asset | None) -> bool:
    times = [each.create_time.timestamp() if each and each.create_time else 0.0 for each in (asset, other)]
    return other is None or times[0] >= times[1]
