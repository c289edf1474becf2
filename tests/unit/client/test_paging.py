"""Pages follow each other to the last one, and a server that would have them go on for ever is not believed."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from comfymesh.client.errors import ServerError
from comfymesh.client.paging import Pages
from comfymesh.v1 import task_service_pb2


class Server:
    """Answers one page after another, each with the next of these tokens."""

    def __init__(self, tokens: Sequence[str]) -> None:
        self.request = task_service_pb2.ListTasksRequest()
        self.asked = list[str]()
        self._tokens = iter(tokens)

    async def answer(self) -> task_service_pb2.ListTasksResponse:
        self.asked.append(self.request.page_token)
        return task_service_pb2.ListTasksResponse(next_page_token=next(self._tokens))

    async def read(self) -> int:
        return len([page async for page in Pages(self.request, self.answer)])


async def test_pages_are_followed_to_the_last() -> None:
    server = Server(["a", "b", ""])
    assert await server.read() == 3
    assert server.asked == ["", "a", "b"]


@pytest.mark.parametrize("tokens", [["a", "a"], ["a", "b", "a"]])
async def test_a_token_that_comes_again_ends_the_list_with_an_error(tokens: list[str]) -> None:
    server = Server(tokens)
    with pytest.raises(ServerError, match="ListTasksRequest") as error:
        await server.read()
    assert (error.value.reason, error.value.metadata) == ("PAGE_TOKEN_REPEATED", {"page_token": "a"})
    assert len(server.asked) == len(tokens)
