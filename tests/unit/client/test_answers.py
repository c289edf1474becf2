"""A status that has come is told, whatever grpc.aio says after it or before."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Generator
from typing import Any

import pytest
from grpc import StatusCode, aio

from comfymesh.client.answers import Answer, is_lost

REFUSED = StatusCode.NOT_FOUND, "there is no such upload", (("why", "gone"),)
LOST = StatusCode.INTERNAL, "Internal error from Core", ()
FAILED = StatusCode.INTERNAL, "a defect of the server", (("why", "defect"),)

Status = tuple[StatusCode, str, tuple[tuple[str, str], ...]]


class Call:
    """A call that gets these statuses, one in the place of the other, and shows the last."""

    def __init__(self, *statuses: Status) -> None:
        self.statuses = statuses
        self.now = statuses[0]
        self.noted: Callable[[Any], None] = lambda _: None

    def add_done_callback(self, callback: Callable[[Any], None]) -> None:
        self.noted = callback

    async def code(self) -> StatusCode:
        return self.now[0]

    async def details(self) -> str:
        return self.now[1]

    async def trailing_metadata(self) -> aio.Metadata:
        return aio.Metadata(*self.now[2])

    def __await__(self) -> Generator[Any, None, str]:
        yield from asyncio.sleep(0).__await__()
        for status in self.statuses:
            self.now = status
            self.noted(self)
        if self.statuses[0][0] is StatusCode.OK:
            return "stored"  # grpc.aio keeps a response that has come
        raise aio.AioRpcError(self.now[0], aio.Metadata(), aio.Metadata(*self.now[2]), self.now[1], "")


@pytest.mark.parametrize(
    ("statuses", "told"),
    [
        ([REFUSED], REFUSED),
        ([REFUSED, LOST], REFUSED),
        ([LOST, REFUSED], REFUSED),
        ([FAILED, LOST], FAILED),
        ([LOST], LOST),
    ],
)
async def test_what_the_server_said_is_told(statuses: list[Status], told: Status) -> None:
    with pytest.raises(aio.AioRpcError) as caught:
        await Answer(Call(*statuses))  # type: ignore[arg-type]  # as much of a call as is used
    error = caught.value
    assert (error.code(), error.details(), tuple(error.trailing_metadata() or ())) == told
    assert is_lost(error) == (told is LOST)


async def test_a_response_is_no_error_whatever_is_written_after_it() -> None:
    assert await Answer(Call((StatusCode.OK, "", ()), LOST)) == "stored"  # type: ignore[arg-type]
