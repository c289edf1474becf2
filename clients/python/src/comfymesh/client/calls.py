"""What every part of a client does: call a server that may not answer at once."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from comfymesh.client.access import Access
from comfymesh.client.models import Task
from comfymesh.client.retries import RetryPolicy, Server
from comfymesh.client.transport import Stubs, Transport

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

Q = TypeVar("Q")
A = TypeVar("A")


class Calls:
    """Calls of one server.

    Attributes:
        target: Address of the server, ``host:port``, or of several.
    """

    def __init__(self, target: str, timeout: float, retries: RetryPolicy, access: Access | None = None) -> None:
        self.target = target
        self._timeout = timeout
        self._server = Server(retries)
        self._transport = Transport(target, access)

    async def _call(self, method: Callable[[Q, float], Awaitable[A]], request: Q) -> A:
        return await self._server.retry(lambda seconds: method(request, seconds), timeout=self._timeout)

    async def _ask(self, start: Callable[[Stubs, float], Awaitable[A]]) -> A:
        """The same for a call that `start` begins, given how many seconds it may take."""
        return await self._server.retry(
            lambda seconds: self._transport.call(lambda stubs: start(stubs, seconds)), timeout=self._timeout
        )


def task_name(task: str | Task) -> str:
    """The resource name of a task, from itself, its name, or the last part of its name."""
    name = task.name if isinstance(task, Task) else task
    return name if "/" in name else f"tasks/{name}"
