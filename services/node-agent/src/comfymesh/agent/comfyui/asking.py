"""A request to ComfyUI, and what it is called where there is no answer."""

from __future__ import annotations

from typing import TYPE_CHECKING

from comfymesh.agent.comfyui.errors import REASON_BROKEN, REASON_REFUSED, REASON_TIMEOUT, ComfyUnreachable
from comfymesh.agent.http1.errors import BrokenError, ConnectError

if TYPE_CHECKING:
    from types import TracebackType

    from comfymesh.agent.http1.client import HttpClient
    from comfymesh.agent.http1.connection import Connection, Patience
    from comfymesh.agent.http1.request import Request

_NO_ANSWER = (ConnectError, TimeoutError, BrokenError)


class Asking:
    """An async context manager: inside of it the head of the answer is there, and its body can be read.

    What goes wrong on the way in or inside is told as `ComfyUnreachable`.

    Args:
        client: The server.
        doing: What is tried, as "POST /prompt".
        request: What is sent.
        patience: How long it may take.
    """

    __slots__ = ("_asked", "_client", "_doing", "_response")

    def __init__(self, client: HttpClient, doing: str, request: Request, patience: Patience) -> None:
        self._client = client
        self._doing = doing
        self._asked = request, patience
        self._response: Connection

    async def __aenter__(self) -> Connection:
        try:
            self._response = await self._client.ask(*self._asked)
        except _NO_ANSWER as error:
            raise _unreachable(self._doing, error) from error
        return self._response

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._client.leave(self._response)
        if isinstance(error, _NO_ANSWER):
            raise _unreachable(self._doing, error) from error


def _unreachable(doing: str, error: Exception) -> ComfyUnreachable:
    match error:
        case ConnectError():
            return ComfyUnreachable(doing, REASON_REFUSED, str(error))
        case TimeoutError():
            return ComfyUnreachable(doing, REASON_TIMEOUT, str(error))
        case _:
            return ComfyUnreachable(doing, REASON_BROKEN, str(error))
