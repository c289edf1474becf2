"""Lists that servers answer a page at a time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Generic, Protocol, Self, TypeVar

from comfymesh.client.errors import ServerError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable


class Asked(Protocol):
    """A request for a page."""

    page_token: str


class Page(Protocol):
    """An answer to it."""

    next_page_token: str


P = TypeVar("P", bound=Page)


class Pages(Generic[P]):
    """The pages of a list, each fetched when it is asked for.

    No generator: one that its caller leaves halfway would have to be closed.

    Args:
        request: Asks for the first page, and then in turn for each further one.
        fetch: Sends the request.

    Raises:
        ServerError: A page names a next one that was there before, so there would be no end.
    """

    def __init__(self, request: Asked, fetch: Callable[[], Awaitable[P]]) -> None:
        self._request = request
        self._fetch = fetch
        self._more = True
        self._followed = set[str]()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> P:
        if not self._more:
            raise StopAsyncIteration
        page = await self._fetch()
        self._go_on(page.next_page_token)
        return page

    def _go_on(self, token: str) -> None:
        if token in self._followed:
            raise ServerError(
                f"The list has no end: the server answers {type(self._request).__name__} with a page token that it has "
                "answered before. Tell whoever runs it; asking again will not help.",
                reason="PAGE_TOKEN_REPEATED",
                metadata={"page_token": token},
            )
        self._request.page_token = token
        self._more = bool(token)
        if token:
            self._followed.add(token)
