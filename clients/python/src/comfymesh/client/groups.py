"""A group of tasks, as an object to call."""

from __future__ import annotations

from contextlib import aclosing
from typing import TYPE_CHECKING

from comfymesh.client import following
from comfymesh.client.convert import group_from_proto, group_name
from comfymesh.v1 import group_service_pb2 as pb

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from comfymesh.client.events import GroupEvent
    from comfymesh.client.models import Group
    from comfymesh.client.retries import Server
    from comfymesh.client.transport import Transport


class AsyncGroupHandle:
    """Tasks that were created to belong together. Made by `AsyncClient.group`.

    Attributes:
        name: Resource name, ``groups/{group}``.
    """

    def __init__(self, name: str, transport: Transport, server: Server, timeout: float) -> None:
        self.name = group_name(name)
        self._transport = transport
        self._server = server
        self._timeout = timeout

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.name!r})"

    async def get(self) -> Group:
        """The group as it stands, with every task that was created before.

        Raises:
            NotFound: It has no tasks.
            ComfyMeshError: The call failed.
        """
        request = pb.GetGroupRequest(name=self.name)
        answer = await self._server.retry(
            lambda seconds: self._transport.call(lambda stubs: stubs.groups.GetGroup(request, timeout=seconds)),
            timeout=self._timeout,
        )
        return group_from_proto(answer.group)

    async def cancel(self, reason: str = "") -> int:
        """Asks for every task that has not ended to be stopped; returns at once.

        Args:
            reason: Why, at most 512 characters.

        Returns:
            How many tasks this call has cancelled, or asked to be.

        Raises:
            NotFound: The group has no tasks.
            ComfyMeshError: The call failed.
        """
        request = pb.CancelGroupRequest(name=self.name, reason=reason)
        answer = await self._server.retry(
            lambda seconds: self._transport.call(lambda stubs: stubs.groups.CancelGroup(request, timeout=seconds)),
            timeout=self._timeout,
        )
        return int(answer.cancelled_count)

    async def watch(self, resume_token: str | None = None, *, task_count: int = 0) -> AsyncGenerator[GroupEvent]:
        """The events of the group and of its tasks, until it has `task_count` tasks and all have ended.

        Args:
            resume_token: The token of the last event seen; without it the first events are the tasks as they stand.
            task_count: How many tasks the group will have; 0 for as many as there are.

        Raises:
            NotFound: The group has no tasks, and none were announced by `task_count`.
            ComfyMeshError: The watch was refused, or the server stayed away for too long.
        """
        request = pb.WatchGroupRequest(name=self.name, resume_token=resume_token or "", task_count=task_count)
        async with aclosing(following.group(self._transport.watch_group, self._server, request)) as events:
            async for event in events:
                yield event
