"""Looks at single tasks and what they have made, lists and cancels them. Making and following them is the client's."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Unpack

from comfymesh.client import convert, downloads, requests
from comfymesh.client.calls import Calls, task_name
from comfymesh.client.paging import Pages
from comfymesh.client.scheduling_convert import waiting_from_proto
from comfymesh.v1 import task_service_pb2

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from comfymesh.client.models import Artifact, LoadedArtifact, Task
    from comfymesh.client.requests import TaskFilter


class TaskCalls(Calls):
    """The part of a client that is about tasks which exist."""

    async def get(self, task: str | Task) -> Task:
        """The task as it stands now.

        Args:
            task: ``tasks/{task}``, its last part alone, or a task.

        Raises:
            NotFound: There is none of that name.
            ComfyMeshError: The call failed.
        """
        request = task_service_pb2.GetTaskRequest(name=task_name(task))
        answer = await self._call(self._transport.get_task, request)
        task = convert.task_from_proto(answer.task)
        if not answer.HasField("waiting"):
            return task
        return replace(task, waiting=waiting_from_proto(answer.waiting))

    async def task_graph(self, task: str | Task) -> dict[str, Any]:
        """The graph that a task runs, its inputs set. An input that receives a file holds the file's name.

        Args:
            task: ``tasks/{task}``, its last part alone, or a task.

        Raises:
            NotFound: There is none of that name.
            ComfyMeshError: The call failed.
        """
        request = task_service_pb2.GetTaskGraphRequest(name=task_name(task))
        answer = await self._ask(lambda stubs, seconds: stubs.tasks.GetTaskGraph(request, timeout=seconds))
        graph: dict[str, Any] = json.loads(answer.graph_json)
        return graph

    async def list(self, *, page_size: int = 0, **which: Unpack[TaskFilter]) -> AsyncGenerator[Task]:
        """All tasks, newest first; pages are fetched as they are needed.

        Args:
            page_size: Tasks to fetch at a time; 0 lets the server decide.
            **which: Which tasks.

        Raises:
            ComfyMeshError: The call failed.
        """
        request = requests.list_tasks(which, page_size)
        async for page in Pages(request, lambda: self._call(self._transport.list_tasks, request)):
            for message in page.tasks:
                yield convert.task_from_proto(message)

    async def cancel(self, task: str | Task, reason: str = "") -> Task:
        """Asks for a task to be stopped; returns at once.

        Args:
            task: ``tasks/{task}``, its last part alone, or a task.
            reason: Why, at most 512 characters.

        Returns:
            The task after the request was stored.

        Raises:
            NotFound: There is none of that name.
            Conflict: It has ended otherwise already.
            ComfyMeshError: The call failed.
        """
        request = task_service_pb2.CancelTaskRequest(name=task_name(task), reason=reason)
        answer = await self._call(self._transport.cancel_task, request)
        return convert.task_from_proto(answer.task)

    async def read_artifact(self, artifact: str | Artifact) -> LoadedArtifact:
        """Reads an artifact and checks its hash.

        Args:
            artifact: ``tasks/{task}/artifacts/{artifact}``, or an artifact.

        Raises:
            NotFound: There is none of that name.
            ComfyMeshError: The call failed.
        """
        name = artifact if isinstance(artifact, str) else artifact.name
        return await downloads.download(self._transport.read_artifact, self._server, name)
