"""What a server answers to a stream of requests, also where it does so before all of them were sent."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Generic, TypeVar

from grpc import StatusCode, aio

if TYPE_CHECKING:
    from collections.abc import Coroutine, Generator

R = TypeVar("R")
T = TypeVar("T")

_LOST_STATUS = "Internal error from Core"
"""What grpc.aio says of a call that has ended when it writes to it (grpc.aio._call, _write)."""


def is_lost(error: aio.AioRpcError) -> bool:
    """Whether this is no answer of a server: the stream ended while it was being written."""
    return _says_nothing(error.code(), error.details())


class Answer(Generic[R]):
    """The answer to a call; await it instead of the call.

    A server may refuse a stream at its first message. Whatever is written after that fails, and grpc.aio (1.85) then
    puts an error of its own in the place of the status that has come (https://github.com/grpc/grpc/issues/36066). So
    the status is noted when it comes: done-callbacks run for each that a call gets, before the next one.

    Args:
        call: The call, of which nothing is written yet.
    """

    def __init__(self, call: aio.StreamUnaryCall[Any, R]) -> None:
        self._call = call
        self._refusal: aio.AioRpcError | None = None
        call.add_done_callback(self._note)

    def __await__(self) -> Generator[Any, None, R]:
        """The response.

        Raises:
            AioRpcError: The call failed.
        """
        return self._told().__await__()

    async def _told(self) -> R:
        try:
            return await self._call
        except aio.AioRpcError as error:
            raise self._refusal or error from None

    def _note(self, call: Any) -> None:  # noqa: ANN401  # grpc's stubs type it as something else
        code, details = _now(call.code()), _now(call.details())
        if code is not StatusCode.OK and not _says_nothing(code, details):
            self._refusal = aio.AioRpcError(code, aio.Metadata(), _now(call.trailing_metadata()), details, "")


def _says_nothing(code: StatusCode, details: str | None) -> bool:
    return code is StatusCode.INTERNAL and details == _LOST_STATUS


def _now(told: Coroutine[Any, Any, T]) -> T:
    """What a coroutine answers that has nothing to wait for."""
    try:
        told.send(None)
    except StopIteration as end:
        answer: T = end.value
        return answer
    told.close()
    raise AssertionError("a call that is done has its status")
